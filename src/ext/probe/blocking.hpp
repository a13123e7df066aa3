/// Whether a call is about to block: the state of the interpreter's locks, read without a call.
#pragma once

#include "ext/probe/internals.hpp"

#ifdef THREADPROOF_PROBE

namespace threadproof::probe {

/// The types whose state is_held_by_another() and its like read; null until set_lock_types().
struct LockTypes {
    PyTypeObject *mutex, *reentrant, *queue;
    PyCFunction queue_is_empty, thread_is_done;  // methods without arguments
};
extern constinit LockTypes lock_types __attribute__((visibility("hidden")));

/// Whether acquiring the lock would block the calling thread now.
TP_HOT bool is_held_by_another(PyObject* lock) {
    if (Py_IS_TYPE(lock, lock_types.mutex)) return is_locked(mutex_of(lock));
    if (!Py_IS_TYPE(lock, lock_types.reentrant)) return false;
    return is_locked(recursive_of(lock).mutex)
           && owner_of(recursive_of(lock)) != PyThread_get_thread_ident_ex();
}

/// Whether a thread sleeps until the lock is released.
TP_HOT bool has_blocked_threads(PyObject* lock) {
    if (Py_IS_TYPE(lock, lock_types.mutex)) return has_parked(mutex_of(lock));
    return Py_IS_TYPE(lock, lock_types.reentrant) && has_parked(recursive_of(lock).mutex);
}

bool is_empty_queue(PyObject* queue);
bool is_running_thread(PyObject* handle);

}  // namespace threadproof::probe

#endif
