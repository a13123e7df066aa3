/// The lock of a table: a mutex, or a reader-writer lock, by how it is used. Readers of a mutex call lock(), as
/// writers do; readers of a reader-writer lock call lock_shared() and are inside together.
///
/// A writer claims the lock first, which keeps new readers out, and then waits for the readers inside: a
/// stream of readers cannot keep a writer out. Threads do not queue.
///
/// The state has the generation of the process whose threads hold the lock (process_generation). A lock that a
/// thread of the parent process held at a fork counts as free in the child: its holder is not there, and a
/// holder that waits, which is where others can fork, has not changed the table yet.
///
/// Field  | written                                                   | read
/// -------|-----------------------------------------------------------|------------------------------
/// state_ | acquire, to hold it; release, to give it up               | relaxed, before an attempt;
///        |                                                           | acquire, to wait for readers
#pragma once

#include <atomic>
#include <cstdint>

#include "core/base/hints.hpp"
#include "core/base/locks.hpp"

namespace threadproof {

/// Zeroed memory is a free one.
class TableLock {
 public:
    /// Holds it alone. Returns whether it was found taken.
    TP_HOT bool lock() {
        std::uint64_t seen = state_.load(std::memory_order_relaxed);
        // acquire: pairs with the release in unlock() and unlock_shared(); makes the table's changes visible
        if (TP_LIKELY(!holders(seen))
            && TP_LIKELY(
                state_.compare_exchange_strong(seen, generation() | kWriter, std::memory_order_acquire)))
            return false;
        wait_to_lock();
        return true;
    }
    /// No thread changes the state while a writer is inside: a plain store.
    TP_HOT void unlock() { state_.store(0, std::memory_order_release); }  // release: pairs with lock()

    /// Holds it beside other readers. Returns whether a writer was found inside, or waiting.
    TP_HOT bool lock_shared() {
        if (TP_LIKELY(try_lock_shared())) return false;
        wait_to_share();
        return true;
    }
    // release: pairs with the acquire in wait_for_readers(); the reads come before the writer's changes
    TP_HOT void unlock_shared() { state_.fetch_sub(kReader, std::memory_order_release); }

    bool free() const { return !held(state_.load(std::memory_order_relaxed)); }

 private:
    static constexpr std::uint64_t kWriter = 1;  ///< a writer is inside, or waits for the readers inside
    static constexpr std::uint64_t kReader = 2;  ///< times the readers inside
    static constexpr unsigned kGeneration = 32;  ///< the bits from here on: whose threads the holders are

    static std::uint64_t generation() {
        return std::uint64_t{process_generation.load(std::memory_order_relaxed)} << kGeneration;
    }
    TP_HOT static std::uint32_t holders(std::uint64_t state) { return static_cast<std::uint32_t>(state); }
    static bool held(std::uint64_t state) {
        return holders(state) && state >> kGeneration == generation() >> kGeneration;
    }

    TP_HOT bool try_lock_shared() {
        std::uint64_t seen = state_.load(std::memory_order_relaxed);
        for (;;) {
            bool others = held(seen);
            if (others && seen & kWriter) return false;
            std::uint64_t next = others ? seen + kReader : generation() | kReader;
            // acquire: pairs with the release in unlock()
            if (TP_LIKELY(state_.compare_exchange_weak(seen, next, std::memory_order_acquire))) return true;
        }
    }

    /// Keeps other writers and new readers out, if no other writer does.
    bool claim() {
        std::uint64_t seen = state_.load(std::memory_order_relaxed);
        for (;;) {
            bool others = held(seen);
            if (others && seen & kWriter) return false;
            std::uint64_t next = others ? seen | kWriter : generation() | kWriter;
            // acquire: as in lock()
            if (state_.compare_exchange_weak(seen, next, std::memory_order_acquire)) return true;
        }
    }

    TP_COLD void wait_to_lock() {
        wait_until([&] { return claim(); });
        // acquire: pairs with the release in unlock_shared()
        wait_until([&] { return holders(state_.load(std::memory_order_acquire)) == kWriter; });
    }
    TP_COLD void wait_to_share() {
        wait_until([&] { return try_lock_shared(); });
    }

    template <class Try>
    void wait_until(Try done) {
        for (unsigned round = 0;; ++round) {
            // 100 attempts take longer than most holds: after that the holder has probably lost its core
            for (int attempt = 0; attempt < 100; ++attempt) {
                if (done()) return;
                relax();
            }
            pause_round(round);
        }
    }

    std::atomic<std::uint64_t> state_{0};
};

/// The lock for builds where a global lock serialises all calls.
struct NoTableLock {
    bool lock() { return false; }
    void unlock() {}
    bool lock_shared() { return false; }
    void unlock_shared() {}
    bool free() const { return true; }
};

}  // namespace threadproof
