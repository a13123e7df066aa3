#include "ext/maps/turn.hpp"

#include <time.h>

#include <algorithm>
#include <mutex>
#include <vector>

namespace threadproof::ext {
namespace {

PyTypeObject* turn_type;
PyObject* deadlock;

/// An edge of the graph: a thread and the turn it waits for.
struct Wait {
    unsigned long thread;
    TurnObject* turn;
};

// held for a few steps that call nothing: never while waiting, or letting go of the interpreter
PatientLock graph_lock;
// never destroyed: daemon threads may wait until the very end
std::vector<Wait>& waits = *new std::vector<Wait>;
thread_local int turns_held = 0;

TurnObject* as_turn(PyObject* object) { return reinterpret_cast<TurnObject*>(object); }
PyObject* as_object(TurnObject* turn) { return reinterpret_cast<PyObject*>(turn); }

bool over(const TurnObject* turn) {
    // acquire: pairs with end_turn(); shows the result
    return turn->ended.load(std::memory_order_acquire) || orphaned(turn);
}

TurnObject* wanted_by(unsigned long thread) {
    for (auto wait = waits.rbegin(); wait != waits.rend();
         ++wait)  // the innermost: a signal handler may wait inside a wait
        if (wait->thread == thread) return wait->turn;
    return nullptr;
}

/// The keys on the way from a turn to one that `thread` has; empty where no way leads there. Under the
/// graph's lock.
std::vector<PyObject*> way_back(TurnObject* turn, unsigned long thread) {
    std::vector<PyObject*> keys;
    for (std::size_t steps = 0; turn && !over(turn) && steps <= waits.size(); ++steps) {
        keys.push_back(turn->key);
        if (turn->owner == thread) return keys;
        turn = wanted_by(turn->owner);
    }
    return {};
}

[[noreturn]] void raise_deadlock(const std::vector<Ref>& keys) {
    if (keys.size() == 1) {
        PyErr_Format(deadlock,
                     "the value of key %R is being computed by this very thread; return it from fn instead",
                     keys[0].get());
        throw PythonError{};
    }
    Ref way = Ref::steal(checked(PyUnicode_FromFormat("key %R", keys[1].get())));
    for (std::size_t i = 2; i < keys.size(); ++i)
        way = Ref::steal(checked(
            PyUnicode_FromFormat("%U, whose computation waits for key %R", way.get(), keys[i].get())));
    PyErr_Format(deadlock,
                 "waiting for key %R would never end: its computation waits for %U, which this very thread "
                 "is computing",
                 keys[0].get(), way.get());
    throw PythonError{};
}

PyThread_type_lock made_gate(TurnObject* turn) {
    if (turn->gate) return turn->gate;
    turn->gate = PyThread_allocate_lock();
    if (!turn->gate) throw std::bad_alloc();
    PyThread_acquire_lock(turn->gate, WAIT_LOCK);
    return turn->gate;
}

/// Enters the graph, or finds that there is no need (null). Throws with DeadlockError.
PyThread_type_lock join_graph(TurnObject* turn, unsigned long thread) {
    std::vector<Ref> keys;
    {
        std::lock_guard hold(graph_lock);
        if (over(turn)) return nullptr;
        for (PyObject* key : way_back(turn, thread)) keys.push_back(Ref::borrow(key));
        if (keys.empty()) {
            PyThread_type_lock gate = made_gate(turn);
            waits.push_back({thread, turn});
            return gate;
        }
    }
    raise_deadlock(keys);
}

void leave_graph(unsigned long thread) {
    std::lock_guard hold(graph_lock);
    auto mine =
        std::find_if(waits.rbegin(), waits.rend(), [&](const Wait& wait) { return wait.thread == thread; });
    waits.erase(std::next(mine).base());
}

/// Who comes through opens the gate again for the next.
PyLockStatus pass(PyThread_type_lock gate, long long microseconds) {
    PyLockStatus status;
    PyThreadState* thread = PyEval_SaveThread();
    status = PyThread_acquire_lock_timed(gate, microseconds, 1);
    if (status == PY_LOCK_ACQUIRED) PyThread_release_lock(gate);
    outliving([&] { PyEval_RestoreThread(thread); });
    return status;
}

std::int64_t monotonic_nanoseconds() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
}

PyObject* turn_new(PyTypeObject*, PyObject* arguments, PyObject* names) {
    PyObject* key;
    static const char* parameters[] = {"key", nullptr};
    if (!PyArg_ParseTupleAndKeywords(arguments, names, "O:Turn", const_cast<char**>(parameters), &key))
        return nullptr;
    return as_object(begin_turn(key));
}

PyObject* turn_wait(PyObject* self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    Arguments<1> arguments("wait", given, count, names, 0, 1, {"timeout"});
    wait_for_turn(as_turn(self), Deadline::after(self, "wait", arguments.get(0, Py_None)));
    Py_RETURN_NONE;
}

PyObject* turn_end(PyObject* self, PyObject*) {
    end_turn(as_turn(self));
    Py_RETURN_NONE;
}

PyObject* turn_held(PyObject*, PyObject*) { return PyBool_FromLong(holds_turn()); }

PyObject* turn_key(PyObject* self, void*) { return Py_NewRef(as_turn(self)->key); }

int turn_traverse(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(as_turn(self)->key);
    Py_VISIT(as_turn(self)->old);
    Py_VISIT(as_turn(self)->result);
    return 0;
}

int turn_clear(PyObject* self) {
    Py_CLEAR(as_turn(self)->key);
    Py_CLEAR(as_turn(self)->old);
    Py_CLEAR(as_turn(self)->result);
    return 0;
}

void turn_dealloc(PyObject* self) {
    PyObject_GC_UnTrack(self);
    PyTypeObject* type = Py_TYPE(self);
    // its thread has forgotten it
    if (as_turn(self)->owner == PyThread_get_thread_ident()) end_turn(as_turn(self));
    turn_clear(self);
    if (as_turn(self)->gate) PyThread_free_lock(as_turn(self)->gate);
    type->tp_free(self);
    Py_DECREF(type);
}

PyMethodDef turn_methods[] = {
    {"wait", method<turn_wait>(), METH_FASTCALL | METH_KEYWORDS,
     "wait($self, /, timeout=None)\n--\n\nWait until the turn has ended.\n\nTimeoutError after `timeout` "
     "seconds; DeadlockError at "
     "once if it would never end because the\ncalling thread has the turn itself, or others that have to end "
     "first wait for a turn of "
     "the\ncalling thread."},
    {"end", method<turn_end>(), METH_NOARGS,
     "end($self, /)\n--\n\nLet everybody who waits go on. The thread that made the turn calls this, once."},
    {"held", method<turn_held>(), METH_NOARGS | METH_STATIC,
     "held()\n--\n\nWhether the calling thread has a turn now, at any key of any map."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef turn_getset[] = {
    {"key", turn_key, nullptr, "The key whose value is being decided.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot turn_slots[] = {
    {Py_tp_doc,
     const_cast<char*>(
         "Turn(key)\n--\n\nA thread's turn at a key, while user code decides the key's new value. Making it "
         "begins it.")},
    {Py_tp_new, slot<turn_new>()},
    {Py_tp_dealloc, reinterpret_cast<void*>(turn_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(turn_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(turn_clear)},
    {Py_tp_methods, turn_methods},
    {Py_tp_getset, turn_getset},
    {0, nullptr},
};

PyType_Spec turn_spec = {
    .name = "threadproof._core.Turn",
    .basicsize = sizeof(TurnObject),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = turn_slots,
};

}  // namespace

bool add_turn(PyObject* module) {
    deadlock = PyErr_NewExceptionWithDoc(
        "threadproof.DeadlockError",
        "Waiting would never end: the thread would wait for itself, directly or through other threads.",
        PyExc_RuntimeError, nullptr);
    if (!deadlock || PyModule_AddObjectRef(module, "DeadlockError", deadlock) < 0) return false;
    turn_type = reinterpret_cast<PyTypeObject*>(PyType_FromModuleAndSpec(module, &turn_spec, nullptr));
    return turn_type && PyModule_AddObjectRef(module, "Turn", reinterpret_cast<PyObject*>(turn_type)) == 0;
}

PyObject* deadlock_error() { return deadlock; }

TurnObject* begin_turn(PyObject* key) {
    TurnObject* turn = as_turn(checked(turn_type->tp_alloc(turn_type, 0)));
    turn->key = Py_NewRef(key);
    turn->owner = PyThread_get_thread_ident();
    turn->generation = process_generation.load(std::memory_order_relaxed);
    ++turns_held;
    return turn;
}

bool orphaned(const TurnObject* turn) {
    return turn->generation != process_generation.load(std::memory_order_relaxed)
           && turn->owner != reinterpret_cast<unsigned long>(reinterpret_cast<void*>(Threads::survivor()));
}

void end_turn(TurnObject* turn) {
    std::lock_guard hold(graph_lock);
    if (turn->ended.exchange(true, std::memory_order_release)) return;  // release: pairs with over()
    --turns_held;
    if (turn->gate) PyThread_release_lock(turn->gate);
}

bool holds_turn() { return turns_held > 0; }

Deadline Deadline::after(PyObject* owner, const char* method, PyObject* timeout) {
    Deadline deadline;
    if (timeout == Py_None) return deadline;
    bool number = PyFloat_Check(timeout) || PyLong_Check(timeout);
    double seconds = number ? PyFloat_AsDouble(timeout) : -1;
    if (number && seconds == -1 && PyErr_Occurred()) {  // an int too big for a float: for ever, or nonsense
        PyErr_Clear();
        Ref zero = Ref::steal(checked(PyLong_FromLong(0)));
        if (PyObject_RichCompareBool(timeout, zero.get(), Py_LT) != 0)
            refuse("check_timeout", owner, method, timeout);
    } else if (!(seconds >= 0)) refuse("check_timeout", owner, method, timeout);
    else if (seconds < 1e9) {  // beyond 30 years: for ever
        deadline.never_ = false;
        deadline.nanoseconds_ = monotonic_nanoseconds() + static_cast<std::int64_t>(seconds * 1e9);
    }
    return deadline;
}

std::int64_t Deadline::microseconds_left() const {
    return std::max<std::int64_t>(0, (nanoseconds_ - monotonic_nanoseconds()) / 1000);
}

GateWait wait_at_gate(PyThread_type_lock gate, const Deadline& deadline) {
    for (;;) {
        PyLockStatus status = pass(gate, deadline.never() ? -1 : deadline.microseconds_left());
        if (status == PY_LOCK_ACQUIRED) return GateWait::kOpen;
        if (status == PY_LOCK_FAILURE) return GateWait::kTimeout;
        if (Py_MakePendingCalls() < 0 || PyErr_CheckSignals() < 0) return GateWait::kRaised;
    }
}

void wait_for_turn(TurnObject* turn, const Deadline& deadline) {
    unsigned long thread = PyThread_get_thread_ident();
    PyThread_type_lock gate = join_graph(turn, thread);
    if (!gate) return;
    GateWait waited = wait_at_gate(gate, deadline);
    leave_graph(thread);
    if (waited == GateWait::kRaised) throw PythonError{};
    if (waited == GateWait::kOpen) return;
    PyErr_Format(PyExc_TimeoutError, "the computation running at key %R took longer than the timeout",
                 turn->key);
    throw PythonError{};
}

void refuse(const char* name, PyObject* owner, const char* method, PyObject* argument) {
    Ref contract = Ref::steal(checked(PyImport_ImportModule("threadproof.maps.contract")));
    Ref result =
        Ref::steal(checked(PyObject_CallMethod(contract.get(), name, "OsO", owner, method, argument)));
    PyErr_Format(PyExc_SystemError, "%s() accepted what %s() refused", name, method);
    throw PythonError{};
}

}  // namespace threadproof::ext
