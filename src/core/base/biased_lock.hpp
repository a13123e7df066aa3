/// A lock that one thread, its owner, holds nearly always: the owner enters with plain stores until another thread
/// locks for the first time. From then on all threads take an ordinary lock.
///
/// Why there is one owner. It is the thread that has the slot owner_ now: the one that made the lock, or a later one.
/// A slot belongs to one thread at a time, and goes to another only when its thread has ended, or is not there in a
/// forked child (threads.hpp). That thread is not inside then, and does not wait to be. Both threads take the
/// registry's lock, which makes the last owner's work visible to the next one. The thread that CPython notes in an
/// object would not do: a collection can make another one the object's owner at any time.
///
/// Why the owner and another thread are never inside together. The owner stores busy_ and loads shared_; another
/// thread stores shared_, under the ordinary lock, and loads busy_. The light barrier here and the heavy one there
/// order the store before the load on both sides, as for pins (threads.hpp). So the owner sees that the lock is
/// shared, and withdraws; or the other thread sees that the owner is inside, and waits.
///
/// Invariants
///  1. busy_ is true only while the owner is in enter(), or inside after it; it waits for no thread there.
///  2. shared_ never becomes false again.
///
/// Field   | written                                      | read                                  | guard
/// --------|----------------------------------------------|---------------------------------------|-------------
/// owner_  | when made                                    | plain                                 | never changes
/// busy_   | relaxed + light barrier, release at the end  | acquire, after a heavy barrier        | its owner
/// shared_ | relaxed + heavy barrier                      | acquire, after a light one; plain     | lock_
///         |                                              | under the lock                        |
///
/// Source: biased locking (Kawachiya, Koseki, Onodera: Lock reservation, OOPSLA 2002).
#pragma once

#include <atomic>

#include "core/base/hints.hpp"
#include "core/base/locks.hpp"
#include "core/base/threads.hpp"

namespace threadproof {

class BiasedLock {
 public:
    /// The calling thread's. Throws bad_alloc if that has no slot yet.
    BiasedLock() : owner_(&Threads::mine()) {}
    BiasedLock(const BiasedLock&) = delete;
    BiasedLock& operator=(const BiasedLock&) = delete;

    /// True if the calling thread is the owner and inside now, until leave(). If false, it takes lock().
    TP_HOT bool enter() {
        if (TP_UNLIKELY(!Threads::has(owner_))) return false;
        busy_.store(true, std::memory_order_relaxed);  // relaxed: the barrier orders it
        Threads::light_barrier();
        // acquire: pairs with the release in unlock(), of a thread that shares it; a hint here, as lock() follows
        if (TP_LIKELY(!shared_.load(std::memory_order_acquire))) return true;
        leave();
        return false;
    }
    // release: pairs with the acquire in lock(); makes the work inside visible
    TP_HOT void leave() { busy_.store(false, std::memory_order_release); }

    /// For all threads. The owner is not inside after enter().
    void lock() {
        lock_.lock();
        if (Threads::has(owner_)) return;
        if (!shared_.load(std::memory_order_relaxed)) {  // relaxed: the lock guards it
            shared_.store(true, std::memory_order_relaxed);
            Threads::heavy_barrier();  // pairs with the light barrier in enter()
        }
        // acquire: pairs with the release in leave(). Each time: the thread that has shared it may have been stopped.
        for (unsigned round = 0; busy_.load(std::memory_order_acquire); ++round) pause_round(round);
    }
    void unlock() { lock_.unlock(); }

 private:
    const ThreadSlot* const owner_;
    std::atomic<bool> busy_{false}, shared_{false};
    PatientLock lock_;
};

/// The same where a global lock serialises all calls: every thread enters unless another one holds the lock. No thread
/// gives the global lock up between enter() and leave().
class SerializedLock {
 public:
    TP_HOT bool enter() { return !lock_.is_held(); }
    TP_HOT void leave() {}
    void lock() { lock_.lock(); }
    void unlock() { lock_.unlock(); }

 private:
    PatientLock lock_;
};

}  // namespace threadproof
