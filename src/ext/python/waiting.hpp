/// Waiting for another thread of Python: for a short time, until a gate opens, until a deadline.
#pragma once

#include <cstdint>

#include "core/base/locks.hpp"
#include "ext/python/errors.hpp"

namespace threadproof::ext {

/// Adds DeadlockError and check_timeout() to the module. Throws.
void add_waiting(PyObject* module);

/// threadproof.DeadlockError, borrowed.
PyObject* deadlock_error();

/// yield_or_nap() with the interpreter released, if the thread holds it: the thread that it waits for may
/// need it.
inline void wait_detached(unsigned round) {
    PyThreadState* thread = attached_thread();
    if (thread) PyEval_SaveThread();
    yield_or_nap(round);
    if (thread) outliving([&] { PyEval_RestoreThread(thread); });
}

/// When a wait is over: never, or at a moment of the monotonic clock.
class Deadline {
 public:
    Deadline() = default;
    /// In `timeout` seconds, or never for None. Throws with TypeError or ValueError for anything that is
    /// neither None nor a number of at least 0; the message names owner.method().
    static Deadline after(PyObject* owner, const char* method, PyObject* timeout);
    bool never() const { return never_; }
    std::int64_t microseconds_left() const;

 private:
    bool never_ = true;
    std::int64_t nanoseconds_ = 0;
};

/// How a wait ended. kRaised: a signal handler has set an exception.
enum class GateWait { kOpen, kTimeout, kRaised };

/// Waits until another thread releases the lock, with the interpreter released, and releases it again at
/// once, so that a gate that was opened is open for every thread.
GateWait wait_at_gate(PyThread_type_lock gate, const Deadline& deadline);

}  // namespace threadproof::ext
