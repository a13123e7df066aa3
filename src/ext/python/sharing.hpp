/// What an object does about its reference count when threads share it.
#pragma once

#include "ext/python/py.hpp"

namespace threadproof::ext {

/// Every thread that names the object counts a reference to it, and those counts are then the bottleneck of
/// ordinary loops (0.65 of one thread's throughput with two). So the first access by another thread than the
/// object's maker asks the interpreter to defer them; from then on the collector, not the last reference,
/// frees the object. As zeroes it is new.
class Sharing {
 public:
    /// Count every reference after all.
    void count_references() { counted_ = true; }

    /// An access by the calling thread.
    TP_HOT void note([[maybe_unused]] PyObject* self) {
#ifdef Py_GIL_DISABLED
        // relaxed: a hint
        if (TP_LIKELY(_Py_IsOwnedByCurrentThread(self) || deferred_.load(std::memory_order_relaxed))) return;
        deferred_.store(true, std::memory_order_relaxed);
        if (!counted_) PyUnstable_Object_EnableDeferredRefcount(self);
#endif
    }

 private:
    bool counted_;                ///< references are counted one by one, whoever shares it
    std::atomic<bool> deferred_;  ///< the interpreter has been told not to
};

}  // namespace threadproof::ext
