/// Waiting for other threads, briefly: two small locks, and how to pass the time.
#pragma once

#include <sched.h>
#include <time.h>

#include <atomic>
#include <cstdint>

#include "core/base/hints.hpp"

namespace threadproof {

/// How a thread waits for another without holding anybody up; `round` counts the attempts so far.
/// A binding replaces it by one that lets go of its interpreter meanwhile. Relaxed: set once, at start-up.
inline void yield_or_nap(unsigned round) {
    if (round < 32) {  // a whole-map step lasts microseconds: yielding is enough
        sched_yield();
    } else {  // the thread waited for has lost its core: 50 us is a small part of what it takes to come back
        timespec nap{0, 50'000};
        nanosleep(&nap, nullptr);
    }
}
inline std::atomic<void (*)(unsigned)> wait_a_little{yield_or_nap};
inline void pause_round(unsigned round) { wait_a_little.load(std::memory_order_relaxed)(round); }

/// A lock of one byte, held for some dozen instructions and never while its holder waits for anything. Zeroed
/// memory is an unlocked one. Nobody queues, so nobody is handed the lock while asleep: a process that forks
/// while its other threads are stopped finds every such lock free, or held by a thread in the middle of those
/// instructions, which cannot be stopped there.
class ByteLock {
 public:
    TP_HOT bool try_lock() {
        // acquire: pairs with unlock()
        return locked_.load(std::memory_order_relaxed) == 0
               && locked_.exchange(1, std::memory_order_acquire) == 0;
    }
    void lock() {
        for (unsigned round = 0; !try_lock(); ++round) {
            // 100 looks take longer than the dozens of instructions the lock is held for: after that its
            // holder has lost its core
            for (int look = 0; look < 100 && locked_.load(std::memory_order_relaxed); ++look) relax();
            if (locked_.load(std::memory_order_relaxed)) pause_round(round);
        }
    }
    TP_HOT void unlock() { locked_.store(0, std::memory_order_release); }  // release: pairs with try_lock()

 private:
    static void relax() {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        asm volatile("yield");
#endif
    }

    std::atomic<std::uint8_t> locked_;
};

/// The lock where a global lock serialises all calls anyway.
struct NoLock {
    std::uint8_t unused;
    bool try_lock() { return true; }
    void lock() {}
    void unlock() {}
};

/// Which fork of the process this is; never 0. What threads of an earlier one held has no owner any more.
/// Relaxed everywhere: it changes only right after a fork, while one thread runs.
inline std::atomic<std::uint32_t> process_generation{1};

/// A lock for rare, short steps: it naps instead of queueing, may be held while its owner waits for
/// others, and counts as free in a child process whose parent's thread held it.
class PatientLock {
 public:
    void lock() {
        for (unsigned round = 0; !try_lock(); ++round) pause_round(round);
    }
    bool try_lock() {
        std::uint32_t seen = owner_.load(std::memory_order_relaxed);
        std::uint32_t mine = process_generation.load(std::memory_order_relaxed);
        // acquire: pairs with unlock()
        return seen != mine && owner_.compare_exchange_strong(seen, mine, std::memory_order_acquire);
    }
    void unlock() { owner_.store(0, std::memory_order_release); }  // release: pairs with try_lock()

 private:
    std::atomic<std::uint32_t> owner_{0};  ///< 0: free; else the generation of the process that holds it
};

}  // namespace threadproof
