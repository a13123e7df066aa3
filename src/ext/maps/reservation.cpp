#include "ext/maps/reservation.hpp"

#include <time.h>

#include <algorithm>
#include <mutex>
#include <vector>

#include "core/base/threads.hpp"
#include "ext/maps/values.hpp"
#include "ext/probe/events.hpp"
#include "ext/probe/structures.hpp"
#include "ext/python/arguments.hpp"
#include "ext/python/types.hpp"

namespace threadproof::ext {
namespace {

PyTypeObject* reservation_type;

/// An edge of the waits-for graph.
struct Edge {
    unsigned long thread;
    Reservation* wanted;
    std::uint32_t generation;  ///< of the process: in a forked child, the threads of the parent wait no more
};

// Held for a few steps that call nothing: never while waiting or while the interpreter is released.
PatientLock graph_lock;
// In the order in which they were added. Never destroyed: daemon threads may wait until the process ends.
std::vector<Edge>& edges = *new std::vector<Edge>;
thread_local int reservations_held = 0;

/// The coarse clock takes a quarter of the time of the exact one, and is 1 to 4 ms behind.
std::int64_t coarse_now() {
    timespec now;
#ifdef CLOCK_MONOTONIC_COARSE
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
#else
    clock_gettime(CLOCK_MONOTONIC, &now);
#endif
    return now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
}

bool is_survivor(unsigned long thread) {
    return thread == reinterpret_cast<unsigned long>(reinterpret_cast<void*>(Threads::survivor()));
}

/// Relaxed: it changes only in a fork.
std::uint32_t generation_now() { return process_generation.load(std::memory_order_relaxed); }

/// What a thread waits for, or null. It has several edges if a signal handler waits inside a wait: the last
/// is the wait that is under way.
Reservation* wanted_by(unsigned long thread) {
    auto waits = [&](const Edge& edge) {
        return edge.thread == thread && (edge.generation == generation_now() || is_survivor(thread));
    };
    auto last = std::find_if(edges.rbegin(), edges.rend(), waits);
    return last == edges.rend() ? nullptr : last->wanted;
}

/// The keys on the path from a reservation to one of `thread`; empty if there is no such path. Under the
/// graph's lock.
std::vector<PyObject*> path_to(unsigned long thread, Reservation* from) {
    std::vector<PyObject*> keys;
    // a path has at most one step for each edge
    for (std::size_t steps = 0; from && !from->over() && steps <= edges.size(); ++steps) {
        keys.push_back(from->key);
        if (from->owner == thread) return keys;
        from = wanted_by(from->owner);
    }
    return {};
}

[[noreturn]] void raise_deadlock(const std::vector<Ref>& keys) {
    if (keys.size() == 1) {
        PyErr_Format(deadlock_error(),
                     "the value of key %R is being computed by this very thread; return it from fn instead",
                     keys[0].get());
        throw PythonError{};
    }
    Ref path = Ref::steal(checked(PyUnicode_FromFormat("key %R", keys[1].get())));
    for (std::size_t i = 2; i < keys.size(); ++i)
        path = Ref::steal(checked(
            PyUnicode_FromFormat("%U, whose computation waits for key %R", path.get(), keys[i].get())));
    PyErr_Format(deadlock_error(),
                 "waiting for key %R would never end: its computation waits for %U, which this very thread "
                 "is computing",
                 keys[0].get(), path.get());
    throw PythonError{};
}

/// Under the graph's lock.
PyThread_type_lock gate_of(Reservation* reservation) {
    if (reservation->gate) return reservation->gate;
    reservation->gate = PyThread_allocate_lock();
    if (!reservation->gate) throw std::bad_alloc();
    PyThread_acquire_lock(reservation->gate, WAIT_LOCK);
    return reservation->gate;
}

/// Adds an edge and returns the gate to wait at; null if there is nothing to wait for. Throws with
/// DeadlockError.
PyThread_type_lock add_edge(Reservation* wanted, unsigned long thread) {
    std::vector<Ref> keys;
    {
        std::lock_guard hold(graph_lock);
        if (wanted->over()) return nullptr;
        for (PyObject* key : path_to(thread, wanted)) keys.push_back(Ref::borrow(key));
        if (keys.empty()) {
            PyThread_type_lock gate = gate_of(wanted);
            edges.push_back({thread, wanted, generation_now()});
            return gate;
        }
    }
    raise_deadlock(keys);
}

void remove_edge(unsigned long thread) {
    std::lock_guard hold(graph_lock);
    auto last =
        std::find_if(edges.rbegin(), edges.rend(), [&](const Edge& edge) { return edge.thread == thread; });
    edges.erase(std::next(last).base());
}

// ---- the type

PyObject* reservation_new(PyTypeObject*, PyObject* arguments, PyObject* names) {
    PyObject* key;
    static const char* parameters[] = {"key", nullptr};
    if (!PyArg_ParseTupleAndKeywords(arguments, names, "O:Reservation", const_cast<char**>(parameters), &key))
        throw PythonError{};
    return Reservation::make(key)->object();
}

PyObject* reservation_wait(Reservation& self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    Arguments<1> arguments("wait", given, count, names, 0, 1, {"timeout"});
    self.wait(Deadline::after(self.object(), "wait", arguments.get(0, Py_None)));
    Py_RETURN_NONE;
}

PyObject* reservation_end(Reservation& self, PyObject*) {
    self.end();
    Py_RETURN_NONE;
}

PyObject* reservation_attach(Reservation& self, PyObject* follower) { return or_none(self.attach(follower)); }

PyObject* reservation_discard(Reservation& self, PyObject*) { return PyBool_FromLong(self.discard()); }

PyObject* reservation_held(PyObject*, PyObject*) { return PyBool_FromLong(holds_reservation()); }

PyObject* reservation_key(Reservation& self, void*) { return Py_NewRef(self.key); }

PyMethodDef methods[] = {
    {"wait", method<reservation_wait>(), kNamed,
     "wait($self, /, timeout=None)\n--\n\nWait until the computation has ended.\n\nTimeoutError after "
     "`timeout` seconds. DeadlockError at once if the wait would never end: the calling thread\nhas the "
     "reservation itself, or it waits, through other threads, for a reservation of the calling thread."},
    {"end", method<reservation_end>(), METH_NOARGS,
     "end($self, /)\n--\n\nLet the threads that wait continue. Called by the thread that made the "
     "reservation, once."},
    {"attach", method<reservation_attach>(), METH_O,
     "attach($self, follower, /)\n--\n\nLet follower.succeed(value) or follower.fail(error) be called with "
     "the outcome of a load, if it has no\nfollower. Return the one that it has; None: it is over."},
    {"discard", method<reservation_discard>(), METH_NOARGS,
     "discard($self, /)\n--\n\nDo not store the value that is being loaded; return False if it is too late."},
    {"held", method<reservation_held>(), METH_NOARGS | METH_STATIC,
     "held()\n--\n\nWhether the calling thread has a reservation now, at any key of any map."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef attributes[] = {
    {"key", getter_of<reservation_key>(), nullptr, "The key whose value is being computed.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

}  // namespace

Reservation* Reservation::make(PyObject* key) {
    auto* made = reinterpret_cast<Reservation*>(checked(reservation_type->tp_alloc(reservation_type, 0)));
    made->key = Py_NewRef(key);
    made->owner = PyThread_get_thread_ident();
    made->generation = generation_now();
    made->began = coarse_now();
    ++reservations_held;
    return made;
}

/// Whether a thread may be waiting at the gate.
bool has_gate(const Reservation& reservation) {
    std::lock_guard hold(graph_lock);
    return reservation.gate && !reservation.over();
}

void Reservation::end() noexcept {
    if (probe::blocks_are_watched() && has_gate(*this))
        probe::Blocked::publish_block(probe::BlockStep::kReleasing, object());
    std::lock_guard hold(graph_lock);
    // release: pairs with the acquire in over(); publishes the result
    if (ended.exchange(true, std::memory_order_release)) return;
    --reservations_held;
    if (gate) PyThread_release_lock(gate);
}

namespace {

bool is_over(void* reservation) { return static_cast<Reservation*>(reservation)->over(); }

/// A subscriber may hold the thread back until the computation has ended, or let it give up or unwind.
GateWait wait_published(Reservation& self, PyThread_type_lock gate, const Deadline& deadline) {
    probe::WaitEvent event{probe::WaitStep::kBegin, probe::WaitReason::kComputation, self.object()};
    if (!deadline.never()) event.attempt = probe::Attempt::kTimed;
    if (!deadline.never()) event.timeout = static_cast<double>(deadline.microseconds_left()) * 1e-6;
    event.is_ready = is_over;
    probe::publish(event);
    switch (probe::take_verdict()) {
        case probe::Verdict::kExecute: return wait_at_gate(gate, deadline);
        case probe::Verdict::kGiveUp: return GateWait::kTimeout;
        case probe::Verdict::kUnwind: break;
    }
    probe::raise_unwinding();
    return GateWait::kRaised;
}

}  // namespace

void Reservation::wait(const Deadline& deadline) {
    unsigned long thread = PyThread_get_thread_ident();
    PyThread_type_lock gate = add_edge(this, thread);
    if (!gate) return;
    probe::Blocked blocked(object());
    bool watched = probe::listening(probe::kWaits);
    GateWait waited = watched ? wait_published(*this, gate, deadline) : wait_at_gate(gate, deadline);
    remove_edge(thread);
    if (waited == GateWait::kRaised) throw PythonError{};
    if (waited == GateWait::kOpen) return blocked.got();
    PyErr_Format(PyExc_TimeoutError, "the computation running at key %R took longer than the timeout", key);
    throw PythonError{};
}

bool Reservation::orphaned() const { return generation != generation_now() && !is_survivor(owner); }

Ref Reservation::attach(PyObject* new_follower) {
    std::lock_guard hold(graph_lock);
    if (closed) return Ref();
    if (!follower) follower = Py_NewRef(new_follower);
    return Ref::borrow(follower);
}

Ref Reservation::close() noexcept {
    std::lock_guard hold(graph_lock);
    closed = true;
    return Ref::steal(std::exchange(follower, nullptr));
}

double Reservation::seconds() const { return static_cast<double>(coarse_now() - began) / 1e9; }

bool Reservation::over() const {
    // acquire: pairs with the release in end(); makes the result visible
    return ended.load(std::memory_order_acquire) || orphaned();
}

int Reservation::traverse(visitproc visit, void* arg) noexcept {
    Py_VISIT(key);
    if (owns_old) Py_VISIT(old_value);
    Py_VISIT(result);
    Py_VISIT(follower);
    return 0;
}

void Reservation::clear() noexcept {
    Py_CLEAR(key);
    if (std::exchange(owns_old, false)) Py_CLEAR(old_value);
    Py_CLEAR(result);
    Py_CLEAR(follower);
}

void Reservation::destroy() noexcept {
    if (owner == PyThread_get_thread_ident()) end();  // its thread has not called it
    clear();
    if (gate) PyThread_free_lock(gate);
}

Reservation* as_reservation(PyObject* object) {
    return Py_IS_TYPE(object, reservation_type) ? reinterpret_cast<Reservation*>(object) : nullptr;
}

bool holds_reservation() { return reservations_held > 0; }

void add_reservation(PyObject* module) {
    reservation_type = TypeBuilder<Reservation>(
                           "threadproof._core.Reservation",
                           "Reservation(key)\n--\n\nReserves a key for the calling thread while user code "
                           "computes the key's value. Making it begins it.")
                           .with<reservation_new>(Py_tp_new)
                           .methods(methods)
                           .attributes(attributes)
                           .add_to(module);
}

}  // namespace threadproof::ext
