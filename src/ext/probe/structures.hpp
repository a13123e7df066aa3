/// What threadproof's own structures publish: its maps, atomics and RWLock, in C++ and in Python.
///
/// A structure first asks map_is_watched() and its like, which is one relaxed load and a branch, and calls the
/// others only where the answer is yes. None of them raises: a failure of a subscriber goes to
/// sys.unraisablehook, and a Python exception that is set stays set.
///
/// A step also publishes a StateEvent before it: a subscriber may hold the thread back there. The functions that are
/// called before a step do that, and about_to_read() and its like where only the functions after it exist.
///
/// A step publishes twice: the order that it makes (MapEvent, OrderEvent), and the value that it reads or
/// writes (Subscriber::step). The order comes first, so that a write belongs to the time after its release.
#pragma once

#include "ext/probe/events.hpp"

namespace threadproof::probe {

/// How a step uses the value of a key, or of an atomic.
enum class Use : std::uint8_t {
    kPlain,   // it reads or writes, and that is all: m[k], m[k] = v, load(), store()
    kCheck,   // it reads, and often decides: k in m, m.get(k)
    kAtomic,  // it reads and writes in one: add(), setdefault(), exchange()
};

// ---- maps

TP_HOT bool map_is_watched() { return TP_UNLIKELY(listening(kMaps | kAccesses)); }

/// Before a read of the map. All of a map is one variable here: its keys are compared only in the step itself.
void about_to_read(PyObject* map) noexcept;
/// Before a step that may change it, unless change_key() or its like comes first.
void about_to_change(PyObject* map) noexcept;
/// Whether hashing and comparing the key runs no user code; false where nothing can be interested.
bool is_native_key(PyObject* key) noexcept;
/// After a key was read; `found`: it had a value.
void read_key(PyObject* map, PyObject* key, Use use, bool found) noexcept;
/// Before each attempt to change a key; `found`: it has a value now, as far as that is known.
void change_key(PyObject* map, PyObject* key, Use use, bool found) noexcept;
/// After a key was reserved, before its function runs.
void begin_computation(PyObject* map, PyObject* key) noexcept;
/// After the function has returned or raised, before the outcome is stored. `found`: there was an old value.
void end_computation(PyObject* map, PyObject* key, bool found) noexcept;
/// After a look at the whole map, and before a change of it.
void read_map(PyObject* map) noexcept;
void change_map(PyObject* map) noexcept;

// ---- atomics

TP_HOT bool atomic_is_watched() { return TP_UNLIKELY(listening(kOrder | kAccesses)); }

/// One atomic, or a cell of an array of them.
struct AtomicStep {
    PyObject* atomic;
    std::int64_t index = -1;  // -1: it is no array
    bool orders = true;       // the memory order releases (of a write), acquires (of a read)
    Use use = Use::kPlain;
};
/// Before a read, unless write_atomic() comes first.
void about_to_read(const AtomicStep& step) noexcept;
/// After a read; `truth`: what was read is true, and not 0, False or None.
void read_atomic(const AtomicStep& step, bool truth) noexcept;
/// Before each attempt to write; `truth` is that of the value there.
void write_atomic(const AtomicStep& step, bool truth) noexcept;

// ---- locks

TP_HOT bool lock_is_watched() { return TP_UNLIKELY(listening(kLocks | kLockAttempts)); }

void publish_lock(LockStep step, PyObject* lock, LockKind kind) noexcept;

/// Before an acquisition: `timeout` in seconds, or -1; `reentered`: the thread has the lock already.
void publish_attempt(PyObject* lock, LockKind kind, double timeout, bool reentered,
                     IsReady is_ready) noexcept;

// ---- contention

TP_HOT bool blocks_are_watched() { return TP_UNLIKELY(listening(kBlocks)); }

/// While there is one, the calling thread is blocked at the object; it gets what it waits for if got() is called.
class Blocked {
 public:
    explicit Blocked(PyObject* object) noexcept : object_(blocks_are_watched() ? object : nullptr) {
        if (object_) publish_block(BlockStep::kBlocked, object_);
    }
    ~Blocked() {
        if (object_) publish_block(got_ ? BlockStep::kUnblocked : BlockStep::kGaveUp, object_);
    }
    Blocked(const Blocked&) = delete;
    Blocked& operator=(const Blocked&) = delete;

    void got() { got_ = true; }

    static void publish_block(BlockStep step, PyObject* object) noexcept;

 private:
    PyObject* object_;
    bool got_ = false;
};

}  // namespace threadproof::probe
