/// Reference counts that several threads change: taking a reference to an object that may be dying, and
/// deferring the counts of an object that many threads use.
#pragma once

#include <atomic>

#include "ext/python/compat.hpp"

namespace threadproof::ext {

#ifdef Py_GIL_DISABLED
/// Takes a reference to an object whose last one another thread may be releasing. False if that may be so:
/// then only a thread with the lock that guards the object's place can take one. The object may even be dead:
/// CPython keeps its memory typed and mapped until every thread that may be reading it has moved on; dict and
/// list rely on that too (_Py_TryIncrefCompare in pycore_object.h, QSBR in InternalDocs).
TP_HOT bool try_incref(PyObject* object) {
    // relaxed, and acq_rel below: the orders of CPython's own _Py_TryIncRefFast() and _Py_TryIncRefShared()
    std::uint32_t local = __atomic_load_n(&object->ob_ref_local, __ATOMIC_RELAXED);
    if (local == _Py_IMMORTAL_REFCNT_LOCAL) return true;
    if (_Py_IsOwnedByCurrentThread(object)) {
        __atomic_store_n(&object->ob_ref_local, local + 1, __ATOMIC_RELAXED);
        return true;
    }
    Py_ssize_t shared = __atomic_load_n(&object->ob_ref_shared, __ATOMIC_RELAXED);
    do {
        // 0: other threads may not count here yet, see enable_try_incref(); merged: it is being deallocated
        if (shared == 0 || shared == _Py_REF_MERGED) return false;
    } while (!__atomic_compare_exchange_n(&object->ob_ref_shared, &shared,
                                          shared + (1 << _Py_REF_SHARED_SHIFT), true, __ATOMIC_ACQ_REL,
                                          __ATOMIC_RELAXED));
    return true;
}
/// From now on, until the object dies, try_incref() succeeds in every thread. The caller has a reference.
inline void enable_try_incref(PyObject* object) { PyUnstable_EnableTryIncRef(object); }

/// Lets threads use the object without counting references to it one by one. The garbage collector frees it
/// then, instead of the release of the last reference.
inline void defer_counting(PyObject* object) { PyUnstable_Object_EnableDeferredRefcount(object); }

/// Whether the calling thread has the only reference, so that no other thread can use the object meanwhile.
TP_HOT bool is_unique(PyObject* object) {
    // relaxed, both: a reference that another thread has was counted before it got it
    return _Py_IsOwnedByCurrentThread(object) && __atomic_load_n(&object->ob_ref_local, __ATOMIC_RELAXED) == 1
           && __atomic_load_n(&object->ob_ref_shared, __ATOMIC_RELAXED) == 0;
}

/// The object is never freed, and references to it are not counted: for a type whose instances come and go in
/// many threads. No other thread has it yet. As CPython's own _Py_SetImmortal().
inline void make_immortal(PyObject* object) {
    PyObject_GC_UnTrack(object);
    object->ob_tid = 0;
    object->ob_ref_shared = 0;
    object->ob_ref_local = _Py_IMMORTAL_REFCNT_LOCAL;
}
#else
TP_HOT bool try_incref(PyObject* object) {
    Py_INCREF(object);
    return true;
}
inline void enable_try_incref(PyObject*) {}
inline void defer_counting(PyObject*) {}
TP_HOT bool is_unique(PyObject*) { return true; }  // the global lock keeps other threads out
inline void make_immortal(PyObject*) {}
#endif

/// Defers the counting of an object's references when a second thread uses it. Every thread that names an
/// object counts a reference to it, and then that count is the bottleneck of ordinary loops (two threads had
/// 0.65 of the throughput of one). So the first access by a thread other than the object's creator asks the
/// interpreter to defer the count. Zeroed memory is a new Sharing.
///
/// Field     | written                                  | read    | guard
/// ----------|------------------------------------------|---------|------------------------------
/// counted_  | before other threads have the object     | plain   | none
/// deferred_ | relaxed, by the first access of a second | relaxed | none: repeating it is harmless
///           | thread                                   |         |
class Sharing {
 public:
    /// Count every reference, also when threads share the object. Call it before they do.
    void count_references() { counted_ = true; }

    /// An access by the calling thread.
    TP_HOT void note_access([[maybe_unused]] PyObject* self) {
#ifdef Py_GIL_DISABLED
        if (TP_LIKELY(_Py_IsOwnedByCurrentThread(self) || deferred_.load(std::memory_order_relaxed))) return;
        deferred_.store(true, std::memory_order_relaxed);
        if (!counted_) defer_counting(self);
#endif
    }

 private:
    bool counted_;
    std::atomic<bool> deferred_;
};

}  // namespace threadproof::ext
