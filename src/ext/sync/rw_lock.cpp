/// The core's RWQueue as a Python type: a mutex around it, and a gate for every thread that waits.
///
/// Everything between entering and the first line of the `with` block is one native call, so that no
/// exception from a signal handler can come in between and leave the lock held.
///
/// Field           | written             | read                | guard
/// ----------------|---------------------|---------------------|--------------------------------------------------------
/// queue, figures  | under the mutex     | under the mutex     | mutex
/// generation      | under the mutex     | under the mutex     | mutex
#include "ext/sync/rw_lock.hpp"

#include <structmember.h>

#include <mutex>
#include <new>
#include <type_traits>

#include "core/sync/rw_queue.hpp"
#include "ext/maps/turn.hpp"

namespace threadproof::ext {
namespace {

using Lock = std::conditional_t<kThreads, ByteLock, NoLock>;
using Answer = RWQueue::Answer;
using Waiter = RWQueue::Waiter;

PyTypeObject* hold_type;

struct Figures {
    std::uint64_t reads = 0, writes = 0, contended = 0, timeouts = 0;
};

struct LockObject {
    PyObject_HEAD PyObject* weak_references;
    /// held for some dozen steps that call nothing of Python: see ByteLock for what that is worth in a fork
    Lock mutex;
    std::uint32_t generation;  ///< of the process in which the queue is right
    Figures figures;
    RWQueue queue;
};

/// What `with` takes: it holds nothing itself, so it may be used any number of times.
struct HoldObject {
    PyObject_HEAD PyObject* lock;
    PyObject* timeout;
    Side side;
};

LockObject* as_lock(PyObject* self) { return reinterpret_cast<LockObject*>(self); }
HoldObject* as_hold(PyObject* self) { return reinterpret_cast<HoldObject*>(self); }
const char* name_of(Side side) { return side == Side::kRead ? "read" : "write"; }

/// Where one thread waits. Who opens it holds the mutex, and so does, later, who waited: the gate outlives
/// its opening.
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
    explicit Inside(LockObject* lock) : hold_(lock->mutex) {
        // relaxed: changes only in a fork
        std::uint32_t now = process_generation.load(std::memory_order_relaxed);
        if (lock->generation != now) lock->queue.forget_others(thread_number(), Gate::open);
        lock->generation = now;
    }

 private:
    std::lock_guard<Lock> hold_;
};

void count_entry(LockObject* lock, Side side) {
    ++(side == Side::kRead ? lock->figures.reads : lock->figures.writes);
}

Answer enter_at_once(LockObject* lock, Side side) {
    Inside inside(lock);
    Answer answer = lock->queue.try_enter(thread_number(), side);
    if (answer == Answer::kInside) count_entry(lock, side);
    return answer;
}

Answer enter_or_queue(LockObject* lock, Waiter& waiter) {
    Inside inside(lock);
    ++lock->figures.contended;
    return lock->queue.enter(waiter);
}

/// After waiting: whether the thread is inside. If the wait was cut short, but it was let in just then, it
/// may stay in (keep) or has to leave.
bool settle(LockObject* lock, Waiter& waiter, bool keep) {
    Inside inside(lock);
    bool entered = !lock->queue.give_up(waiter, Gate::open);
    if (entered && keep) count_entry(lock, waiter.side);
    else if (entered) lock->queue.leave(waiter.thread, waiter.side, Gate::open);
    else if (keep) ++lock->figures.timeouts;
    return entered;
}

[[noreturn]] void refuse_upgrade() {
    PyErr_SetString(deadlock_error(),
                    "RWLock.write() inside read(): this thread would wait for itself to stop reading, and "
                    "two that did so for each other; "
                    "leave read() first and look again inside write(), or begin with write()");
    throw PythonError{};
}

[[noreturn]] void time_out(LockObject* lock, Side side, PyObject* timeout) {
    std::size_t readers;
    bool writing;
    {
        Inside inside(lock);
        readers = lock->queue.readers();
        writing = lock->queue.writing();
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
    for (unsigned round = 0; round < 16 && deadline.never(); ++round) {
        // relaxed: settle() looks under the mutex
        if (waiter.inside.load(std::memory_order_relaxed)) return GateWait::kOpen;
        pause_round(round);
        // one that came now would not end the sleep
        if (outliving([&] { return PyErr_CheckSignals(); }) < 0) return GateWait::kRaised;
    }
    return wait_at_gate(waiter.gate, deadline);
}

void enter(LockObject* lock, Side side, PyObject* timeout) {
    Answer answer = enter_at_once(lock, side);
    if (answer == Answer::kInside) return;
    if (answer == Answer::kUpgrade) refuse_upgrade();
    Deadline deadline = Deadline::after(reinterpret_cast<PyObject*>(lock), name_of(side), timeout);
    Gate gate;
    Waiter waiter{.thread = thread_number(), .side = side, .gate = gate.lock()};
    GateWait waited =
        enter_or_queue(lock, waiter) == Answer::kWait ? wait_until_inside(waiter, deadline) : GateWait::kOpen;
    bool entered = settle(lock, waiter, waited != GateWait::kRaised);
    if (waited == GateWait::kRaised) throw PythonError{};
    if (!entered) time_out(lock, side, timeout);
}

// ---- RWLockHold

PyObject* hold_enter(PyObject* self, PyObject*) {
    enter(as_lock(as_hold(self)->lock), as_hold(self)->side, as_hold(self)->timeout);
    return Py_NewRef(as_hold(self)->lock);
}

PyObject* hold_exit(PyObject* self, PyObject* const*, Py_ssize_t) {
    LockObject* lock = as_lock(as_hold(self)->lock);
    Side side = as_hold(self)->side;
    bool left;
    {
        Inside inside(lock);
        left = lock->queue.leave(thread_number(), side, Gate::open);
    }
    if (left) Py_RETURN_NONE;
    PyErr_Format(PyExc_RuntimeError,
                 "RWLock.%s() is left by a thread that is not inside; the thread that entered has to leave",
                 name_of(side));
    throw PythonError{};
}

int hold_traverse(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(as_hold(self)->lock);
    Py_VISIT(as_hold(self)->timeout);
    return 0;
}

/// A hold never changes, so it has no tp_clear: a cycle through it ends at the lock's other end.
void hold_dealloc(PyObject* self) {
    PyObject_GC_UnTrack(self);
    PyTypeObject* type = Py_TYPE(self);
    Py_DECREF(as_hold(self)->lock);
    Py_DECREF(as_hold(self)->timeout);
    type->tp_free(self);
    Py_DECREF(type);
}

PyMethodDef hold_methods[] = {
    {"__enter__", method<hold_enter>(), METH_NOARGS,
     "__enter__($self, /)\n--\n\nEnter the lock, and return it."},
    {"__exit__", method<hold_exit>(), METH_FASTCALL,
     "__exit__($self, kind, error, traceback, /)\n--\n\nLeave the lock; what the block raised goes on."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot hold_slots[] = {
    {Py_tp_doc,
     const_cast<char*>("One side of an RWLock, for `with`. It can be used again, and inside itself.")},
    {Py_tp_dealloc, reinterpret_cast<void*>(hold_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(hold_traverse)},
    {Py_tp_methods, hold_methods},
    {0, nullptr},
};

PyType_Spec hold_spec = {
    .name = "threadproof.sync.RWLockHold",
    .basicsize = sizeof(HoldObject),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = hold_slots,
};

// ---- RWLock

template <Side kSide>
PyObject* lock_hold(PyObject* self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    Arguments<1> arguments(name_of(kSide), given, count, names, 0, 1, {"timeout"});
    PyObject* timeout = arguments.get(0, Py_None);
    Deadline::after(self, name_of(kSide), timeout);  // so that a wrong one is refused here, not in `with`
    PyObject* hold = checked(hold_type->tp_alloc(hold_type, 0));
    as_hold(hold)->lock = Py_NewRef(self);
    as_hold(hold)->timeout = Py_NewRef(timeout);
    as_hold(hold)->side = kSide;
    return hold;
}

PyObject* lock_stats(PyObject* self, PyObject*) {
    LockObject* lock = as_lock(self);
    Figures figures;
    std::size_t readers, waiting;
    bool writing;
    {
        Inside inside(lock);
        figures = lock->figures;
        readers = lock->queue.readers();
        writing = lock->queue.writing();
        waiting = lock->queue.waiting();
    }
    Ref module = Ref::steal(checked(PyImport_ImportModule("threadproof.sync.rw_lock")));
    return PyObject_CallMethod(module.get(), "RWLockStats", "nOnKKKK", readers, writing ? Py_True : Py_False,
                               waiting, figures.reads, figures.writes, figures.contended, figures.timeouts);
}

PyObject* lock_new(PyTypeObject* type, PyObject* arguments, PyObject* names) {
    static const char* parameters[] = {nullptr};
    if (!PyArg_ParseTupleAndKeywords(arguments, names, ":RWLock", const_cast<char**>(parameters)))
        throw PythonError{};
    Ref self = Ref::steal(checked(type->tp_alloc(type, 0)));
    LockObject* lock = as_lock(self.get());
    new (&lock->figures) Figures;
    new (&lock->queue) RWQueue;
    lock->generation = process_generation.load(std::memory_order_relaxed);  // relaxed: changes only in a fork
    return self.release();
}

int lock_traverse(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    return 0;
}

void lock_dealloc(PyObject* self) {
    PyObject_GC_UnTrack(self);
    PyTypeObject* type = Py_TYPE(self);
    if (as_lock(self)->weak_references) PyObject_ClearWeakRefs(self);
    as_lock(self)->queue.~RWQueue();
    type->tp_free(self);
    Py_DECREF(type);
}

PyMethodDef lock_methods[] = {
    {"read", method<lock_hold<Side::kRead>>(), METH_FASTCALL | METH_KEYWORDS,
     "read($self, /, timeout=None)\n--\n\n`with lock.read():` runs the block while other readers may run "
     "theirs, and no writer.\n\nEntering waits "
     "for a writer inside, and for one that waited already. TimeoutError after `timeout`\nseconds; 0 never "
     "waits. A thread that is inside, "
     "reading or writing, enters at once."},
    {"write", method<lock_hold<Side::kWrite>>(), METH_FASTCALL | METH_KEYWORDS,
     "write($self, /, timeout=None)\n--\n\n`with lock.write():` runs the block while nobody else is "
     "inside.\n\nEntering waits for all who are inside, "
     "and for writers and readers whose turn is first. TimeoutError\nafter `timeout` seconds; 0 never waits. "
     "A thread that writes enters again at "
     "once; DeadlockError for\none that only reads, which would wait for itself."},
    {"stats", method<lock_stats>(), METH_NOARGS,
     "stats($self, /)\n--\n\nWho is inside, who waits, and how often that was: an RWLockStats."},
    {nullptr, nullptr, 0, nullptr},
};

PyMemberDef lock_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(LockObject, weak_references), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

constexpr const char* kLockDoc =
    "RWLock()\n--\n\nMany readers, or one writer.\n\n"
    "A writer that waits goes before readers that come later. When it leaves, the readers that wait by then\n"
    "all enter, and then the next writer: neither side can keep the other out. Threads are let in, in that\n"
    "order, by the one that leaves.\n\n"
    "A thread may enter again on the side it is on, and a writer may read. A reader may not write: leave\n"
    "`read()` first. The last `write()` left inside a `read()` lets other readers in.\n\n"
    "In the child of a fork only the holds of the forking thread remain; what others were writing may be\n"
    "half done there.";

PyType_Slot lock_slots[] = {
    {Py_tp_doc, const_cast<char*>(kLockDoc)},
    {Py_tp_new, slot<lock_new>()},
    {Py_tp_dealloc, reinterpret_cast<void*>(lock_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(lock_traverse)},
    {Py_tp_methods, lock_methods},
    {Py_tp_members, lock_members},
    {0, nullptr},
};

PyType_Spec lock_spec = {
    .name = "threadproof.sync.RWLock",
    .basicsize = sizeof(LockObject),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = lock_slots,
};

}  // namespace

PyObject* lock_of_hold(PyObject* hold) { return as_hold(hold)->lock; }
bool is_write_hold(PyObject* hold) { return as_hold(hold)->side == Side::kWrite; }

bool add_rw_lock(PyObject* module) {
    hold_type = reinterpret_cast<PyTypeObject*>(PyType_FromModuleAndSpec(module, &hold_spec, nullptr));
    Ref lock_type = Ref::steal(PyType_FromModuleAndSpec(module, &lock_spec, nullptr));
    return hold_type && lock_type
           && PyModule_AddObjectRef(module, "RWLockHold", reinterpret_cast<PyObject*>(hold_type)) == 0
           && PyModule_AddObjectRef(module, "RWLock", lock_type.get()) == 0;
}

}  // namespace threadproof::ext
