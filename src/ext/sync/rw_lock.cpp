/// RWLock: the core's RWQueue as a Python type, with a mutex around it and a gate for every thread that
/// waits.
///
/// Everything between entering and the first line of the `with` block is one native call, so that an
/// exception from a signal handler cannot come in between and leave the lock held.
///
/// Field: queue, metrics and generation are written and read under the mutex.
#include "ext/sync/rw_lock.hpp"

#include <mutex>
#include <new>
#include <type_traits>

#include "core/sync/rw_queue.hpp"
#include "ext/probe/structures.hpp"
#include "ext/python/arguments.hpp"
#include "ext/python/provided.hpp"
#include "ext/python/types.hpp"
#include "ext/python/waiting.hpp"

namespace threadproof::ext {
namespace {

using Lock = std::conditional_t<kThreads, ByteLock, NoLock>;
using Answer = RWQueue::Answer;
using Waiter = RWQueue::Waiter;

PyTypeObject* hold_type;
Provided stats_class("RWLockStats", "a class", [](PyObject* cls) { return PyType_Check(cls) != 0; });

struct Metrics {
    std::uint64_t reads = 0, writes = 0, contended = 0, timeouts = 0;
};

struct LockObject {
    PyObject_HEAD PyObject* weak_references;
    Lock mutex;                ///< held for a few steps that call nothing of Python: so it is free in a fork
    std::uint32_t generation;  ///< of the process in which the queue is right
    Metrics metrics;
    RWQueue queue;

    PyObject* object() { return reinterpret_cast<PyObject*>(this); }
    void destroy() noexcept { queue.~RWQueue(); }
};

/// One side of a lock, for `with`. It has no state of its own, so it can be used any number of times. It
/// never changes, so it has no tp_clear: the collector breaks a cycle through it at the lock.
struct HoldObject {
    PyObject_HEAD PyObject* lock;
    PyObject* timeout;
    Side side;

    LockObject& of() { return reinterpret_cast<LockObject&>(*lock); }
    int traverse(visitproc visit, void* arg) noexcept {
        Py_VISIT(lock);
        Py_VISIT(timeout);
        return 0;
    }
    void destroy() noexcept {
        Py_DECREF(lock);
        Py_DECREF(timeout);
    }
};

const char* name_of(Side side) { return side == Side::kRead ? "read" : "write"; }

/// The place where one thread waits. The thread that opens it holds the mutex, and the waiting thread
/// acquires the mutex afterwards: so the gate outlives its opening.
class Gate {
 public:
    Gate() : lock_(PyThread_allocate_lock()) {
        if (!lock_) throw std::bad_alloc();
        PyThread_acquire_lock(lock_, WAIT_LOCK);
    }
    ~Gate() { PyThread_free_lock(lock_); }
    Gate(const Gate&) = delete;
    Gate& operator=(const Gate&) = delete;

    PyThread_type_lock lock() { return lock_; }
    static void open(Waiter& waiter) { PyThread_release_lock(waiter.gate); }

 private:
    PyThread_type_lock lock_;
};

/// The mutex, and the queue as it is in this process.
class Inside {
 public:
    explicit Inside(LockObject& lock) : hold_(lock.mutex) {
        // relaxed: changes only in a fork
        std::uint32_t now = process_generation.load(std::memory_order_relaxed);
        if (lock.generation != now) lock.queue.forget_others(thread_number(), Gate::open);
        lock.generation = now;
    }

 private:
    std::lock_guard<Lock> hold_;
};

void count_entry(LockObject& lock, Side side) {
    ++(side == Side::kRead ? lock.metrics.reads : lock.metrics.writes);
}

Answer enter_at_once(LockObject& lock, Side side) {
    Inside inside(lock);
    Answer answer = lock.queue.try_enter(thread_number(), side);
    if (answer == Answer::kInside) count_entry(lock, side);
    return answer;
}

Answer enter_or_queue(LockObject& lock, Waiter& waiter) {
    Inside inside(lock);
    ++lock.metrics.contended;
    return lock.queue.enter(waiter);
}

/// After waiting: whether the thread is inside. If it was let in although its wait was cut short, it stays
/// inside (keep) or leaves.
bool settle(LockObject& lock, Waiter& waiter, bool keep) {
    Inside inside(lock);
    bool entered = !lock.queue.give_up(waiter, Gate::open);
    if (entered && keep) count_entry(lock, waiter.side);
    else if (entered) lock.queue.leave(waiter.thread, waiter.side, Gate::open);
    else if (keep) ++lock.metrics.timeouts;
    return entered;
}

[[noreturn]] void refuse_upgrade() {
    PyErr_SetString(deadlock_error(),
                    "RWLock.write() inside read(): this thread would wait for itself to stop reading, and "
                    "two that did so for each other; "
                    "leave read() first and look again inside write(), or begin with write()");
    throw PythonError{};
}

[[noreturn]] void time_out(LockObject& lock, Side side, PyObject* timeout) {
    std::size_t readers;
    bool writing;
    {
        Inside inside(lock);
        readers = lock.queue.readers();
        writing = lock.queue.writing();
    }
    PyErr_Format(
        PyExc_TimeoutError,
        "RWLock.%s() could not enter within %R seconds; now there are %zu readers and %d writers inside",
        name_of(side), timeout, readers, writing ? 1 : 0);
    throw PythonError{};
}

/// Most holds are short: yielding a few times costs less than going to sleep and being woken, which takes 10
/// us.
GateWait wait_until_inside(Waiter& waiter, const Deadline& deadline) {
    const std::uint32_t generation = process_generation.load(std::memory_order_relaxed);
    for (unsigned round = 0; round < 16 && deadline.never(); ++round) {
        // relaxed: settle() reads it again under the mutex
        if (waiter.inside.load(std::memory_order_relaxed)) return GateWait::kOpen;
        pause_round(round);
        // a signal that comes before the sleep does not end it
        if (outliving([&] { return PyErr_CheckSignals(); }) < 0) return GateWait::kRaised;
        // its handler has forked: in the child, settle() forgets the threads that are not there
        if (generation != process_generation.load(std::memory_order_relaxed)) return GateWait::kOpen;
    }
    return wait_at_gate(waiter.gate, deadline);
}

void enter(LockObject& lock, Side side, PyObject* timeout) {
    Answer answer = enter_at_once(lock, side);
    if (answer == Answer::kInside) return;
    if (answer == Answer::kUpgrade) refuse_upgrade();
    Deadline deadline = Deadline::after(lock.object(), name_of(side), timeout);
    probe::Blocked blocked(lock.object());
    Gate gate;
    Waiter waiter{.thread = thread_number(), .side = side, .gate = gate.lock()};
    GateWait waited =
        enter_or_queue(lock, waiter) == Answer::kWait ? wait_until_inside(waiter, deadline) : GateWait::kOpen;
    bool entered = settle(lock, waiter, waited != GateWait::kRaised);
    if (waited == GateWait::kRaised) throw PythonError{};
    if (!entered) time_out(lock, side, timeout);
    blocked.got();
}

bool has_waiters(LockObject& lock) {
    Inside inside(lock);
    return lock.queue.waiting() > 0;
}

// ---- RWLockHold

void publish(const HoldObject& hold, probe::LockStep step) {
    bool shared = hold.side == Side::kRead;
    probe::publish_lock(step, hold.lock, shared ? probe::LockKind::kShared : probe::LockKind::kExclusive);
}

template <Side kSide>
bool is_free(void* lock) {
    Inside inside(*static_cast<LockObject*>(lock));
    const RWQueue& queue = static_cast<LockObject*>(lock)->queue;
    return !queue.writing() && (kSide == Side::kRead ? queue.waiting() == 0 : queue.readers() == 0);
}

bool is_inside(LockObject& lock) {
    Inside inside(lock);
    return lock.queue.has(thread_number());
}

/// A subscriber may hold the thread back until the lock is free, or let it give up or unwind; throws then.
void publish_attempt(HoldObject& self) {
    bool shared = self.side == Side::kRead;
    double timeout = self.timeout == Py_None ? -1 : PyFloat_AsDouble(self.timeout);
    PyErr_Clear();  // an int beyond the range of a float waits as long as it takes
    probe::publish_attempt(self.lock, shared ? probe::LockKind::kShared : probe::LockKind::kExclusive,
                           timeout, is_inside(self.of()),
                           shared ? is_free<Side::kRead> : is_free<Side::kWrite>);
    switch (probe::take_verdict()) {
        case probe::Verdict::kExecute: return;
        case probe::Verdict::kGiveUp: time_out(self.of(), self.side, self.timeout);
        case probe::Verdict::kUnwind: probe::raise_unwinding(); throw PythonError{};
    }
}

/// Also where entering failed: the thread has asked for the lock.
TP_COLD void enter_watched(HoldObject& self) {
    publish_attempt(self);
    try {
        enter(self.of(), self.side, self.timeout);
    } catch (...) {
        publish(self, probe::LockStep::kAbandoned);
        throw;
    }
    publish(self, probe::LockStep::kAcquired);
}

PyObject* hold_enter(HoldObject& self, PyObject*) {
    if (probe::lock_is_watched()) enter_watched(self);
    else enter(self.of(), self.side, self.timeout);
    return Py_NewRef(self.lock);
}

PyObject* hold_exit(HoldObject& self, PyObject* const*, Py_ssize_t) {
    bool left;
    if (probe::lock_is_watched()) publish(self, probe::LockStep::kReleasing);
    if (probe::blocks_are_watched() && has_waiters(self.of()))
        probe::Blocked::publish_block(probe::BlockStep::kReleasing, self.lock);
    {
        Inside inside(self.of());
        left = self.of().queue.leave(thread_number(), self.side, Gate::open);
    }
    if (left) Py_RETURN_NONE;
    PyErr_Format(PyExc_RuntimeError,
                 "RWLock.%s() is left by a thread that is not inside; the thread that entered has to leave",
                 name_of(self.side));
    throw PythonError{};
}

PyMethodDef hold_methods[] = {
    {"__enter__", method<hold_enter>(), METH_NOARGS,
     "__enter__($self, /)\n--\n\nEnter the lock, and return it."},
    {"__exit__", method<hold_exit>(), METH_FASTCALL,
     "__exit__($self, kind, error, traceback, /)\n--\n\nLeave the lock; an exception of the block goes on."},
    {nullptr, nullptr, 0, nullptr},
};

// ---- RWLock

template <Side kSide>
PyObject* lock_hold(LockObject& self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    Arguments<1> arguments(name_of(kSide), given, count, names, 0, 1, {"timeout"});
    PyObject* timeout = arguments.get(0, Py_None);
    Deadline::after(self.object(), name_of(kSide),
                    timeout);  // a wrong timeout is refused here, not in `with`
    PyObject* object = checked(hold_type->tp_alloc(hold_type, 0));
    auto& hold = reinterpret_cast<HoldObject&>(*object);
    hold.lock = Py_NewRef(self.object());
    hold.timeout = Py_NewRef(timeout);
    hold.side = kSide;
    return object;
}

PyObject* lock_stats(LockObject& self, PyObject*) {
    Metrics metrics;
    std::size_t readers, waiting;
    bool writing;
    {
        Inside inside(self);
        metrics = self.metrics;
        readers = self.queue.readers();
        writing = self.queue.writing();
        waiting = self.queue.waiting();
    }
    return PyObject_CallFunction(stats_class.get(), "nOnKKKK", readers, writing ? Py_True : Py_False, waiting,
                                 metrics.reads, metrics.writes, metrics.contended, metrics.timeouts);
}

PyObject* lock_new(PyTypeObject* type, PyObject* arguments, PyObject* names) {
    static const char* parameters[] = {nullptr};
    if (!PyArg_ParseTupleAndKeywords(arguments, names, ":RWLock", const_cast<char**>(parameters)))
        throw PythonError{};
    Ref self = Ref::steal(checked(type->tp_alloc(type, 0)));
    auto& lock = reinterpret_cast<LockObject&>(*self.get());
    new (&lock.metrics) Metrics;
    new (&lock.queue) RWQueue;
    lock.generation = process_generation.load(std::memory_order_relaxed);  // relaxed: changes only in a fork
    return self.release();
}

PyMethodDef lock_methods[] = {
    {"read", method<lock_hold<Side::kRead>>(), kNamed,
     "read($self, /, timeout=None)\n--\n\n`with lock.read():` runs the block while other readers may run "
     "theirs, "
     "and no writer.\n\nEntering waits for a writer inside, and for one that was waiting before. "
     "TimeoutError after "
     "`timeout`\nseconds; 0 never waits. A thread that is inside, reading or writing, enters at once."},
    {"write", method<lock_hold<Side::kWrite>>(), kNamed,
     "write($self, /, timeout=None)\n--\n\n`with lock.write():` runs the block while no other thread is "
     "inside.\n\nEntering waits for all threads inside, and for the writers and readers that go first. "
     "TimeoutError"
     "\nafter `timeout` seconds; 0 never waits. A thread that writes enters again at once; DeadlockError "
     "for\none "
     "that only reads, which would wait for itself."},
    {"stats", method<lock_stats>(), METH_NOARGS,
     "stats($self, /)\n--\n\nWhich threads are inside and waiting, and how often they entered and waited: an "
     "RWLockStats."},
    {nullptr, nullptr, 0, nullptr},
};

constexpr const char* kLockDoc =
    "RWLock()\n--\n\nMany readers, or one writer.\n\n"
    "A waiting writer goes before readers that come later. When it leaves, all readers that are waiting "
    "then\n"
    "enter, and after them the next writer: neither side can starve the other. The thread that leaves lets\n"
    "the next ones in, in that order.\n\n"
    "A thread may enter again on the side it is on, and a writer may read. A reader may not write: leave\n"
    "`read()` first. When a thread leaves its last `write()` and is still inside a `read()`, other readers "
    "enter.\n\n"
    "In a forked child only the holds of the forking thread remain; data that other threads were writing "
    "may\n"
    "be half done there.";

}  // namespace

void add_rw_lock(PyObject* module) {
    hold_type = TypeBuilder<HoldObject>("threadproof.sync.RWLockHold",
                                        "One side of an RWLock, for `with`. It can be used again, and inside "
                                        "itself.")
                    .not_callable()
                    .methods(hold_methods)
                    .add_to(module);
    TypeBuilder<LockObject>("threadproof.sync.RWLock", kLockDoc)
        .subclassable()
        .with<lock_new>(Py_tp_new)
        .methods(lock_methods)
        .add_to(module);
}

}  // namespace threadproof::ext
