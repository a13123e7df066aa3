/// Two small locks, and how a thread waits for another for a short time.
#pragma once

#include <sched.h>
#include <time.h>

#include <atomic>
#include <cstdint>

#include "core/base/hints.hpp"

namespace threadproof {

/// Lets other threads run for a while; `round` counts the attempts so far.
inline void yield_or_nap(unsigned round) {
    if (round < 32) {  // a whole-map step lasts microseconds: some yields are enough
        sched_yield();
    } else {  // the other thread has lost its core: it takes far longer than 50 us to get it back
        timespec nap{0, 50'000};
        nanosleep(&nap, nullptr);
    }
}
/// What pause_round() does. A binding replaces it by a function that releases its interpreter meanwhile.
/// Relaxed: set once, before there are other threads.
inline std::atomic<void (*)(unsigned)> wait_a_little{yield_or_nap};
inline void pause_round(unsigned round) { wait_a_little.load(std::memory_order_relaxed)(round); }

/// A hint to the processor that the thread is spinning.
inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

/// A lock of one byte. Zeroed memory is an unlocked one. Its holder never waits for another thread and never
/// releases the interpreter. Most holds last some dozen instructions; the longest, of a SyncMap's mutex while
/// it rebuilds a part, last some microseconds and can allocate memory.
///
/// Threads do not queue, so the lock is never handed to a thread that sleeps. A process that forks while its
/// other threads are stopped by the interpreter therefore finds every such lock free: a thread can be stopped
/// only where it releases the interpreter, and there it holds none.
class ByteLock {
 public:
    TP_HOT bool try_lock() {
        // acquire: pairs with the release in unlock(); makes the last holder's changes visible
        return locked_.load(std::memory_order_relaxed) == 0
               && locked_.exchange(1, std::memory_order_acquire) == 0;
    }
    void lock() {
        for (unsigned round = 0; !try_lock(); ++round) {
            // 100 attempts take longer than most holds: after that the holder has probably lost its core
            for (int look = 0; look < 100 && locked_.load(std::memory_order_relaxed); ++look) relax();
            if (locked_.load(std::memory_order_relaxed)) pause_round(round);
        }
    }
    TP_HOT void unlock() { locked_.store(0, std::memory_order_release); }  // release: pairs with try_lock()

 private:
    std::atomic<std::uint8_t> locked_;
};

/// The lock for builds where a global lock serialises all calls.
struct NoLock {
    std::uint8_t unused;
    bool try_lock() { return true; }
    void lock() {}
    void unlock() {}
};

/// Counts the forks that lead to this process, from 1. A lock held in an earlier generation has no owner
/// here. Relaxed everywhere: it changes only right after a fork, while one thread runs.
inline std::atomic<std::uint32_t> process_generation{1};

/// A lock for rare, short steps. Threads nap instead of queueing. Its owner may wait for other threads. In a
/// forked child the lock counts as free if a thread of the parent held it.
class PatientLock {
 public:
    void lock() {
        for (unsigned round = 0; !try_lock(); ++round) pause_round(round);
    }
    bool try_lock() {
        std::uint32_t seen = owner_.load(std::memory_order_relaxed);
        std::uint32_t mine = process_generation.load(std::memory_order_relaxed);
        // acquire: pairs with the release in unlock()
        return seen != mine && owner_.compare_exchange_strong(seen, mine, std::memory_order_acquire);
    }
    void unlock() { owner_.store(0, std::memory_order_release); }  // release: pairs with try_lock()
    /// Whether a thread of this process holds it. Relaxed: the caller has what orders it.
    bool is_held() const {
        return owner_.load(std::memory_order_relaxed) == process_generation.load(std::memory_order_relaxed);
    }

 private:
    std::atomic<std::uint32_t> owner_{0};  ///< 0: free; else the generation of the process that holds it
};

}  // namespace threadproof
