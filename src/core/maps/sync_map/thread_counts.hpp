/// A count to which each thread adds in a place of its own: adding writes to no memory that other threads write,
/// and loses nothing.
///
/// The first threads of the process have their places in the object. The others have theirs in chunks, each made
/// when the first of its threads adds: a chunk has twice as many as the one before.
///
/// Invariant: only the thread whose slot in Threads has the number i writes to place i. A thread that gets the
/// slot of one that has ended continues its count.
///
/// Field       | written                          | read              | guard
/// ------------|----------------------------------|-------------------|-----------------------------
/// a place     | relaxed, by its thread           | relaxed: a metric | none
/// chunks_     | acq_rel, once each               | acquire           | none
/// spilled_    | relaxed, where there is no memory| relaxed: a metric | none
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>

#include "core/base/hints.hpp"
#include "core/maps/sync_map/table.hpp"

namespace threadproof {

class ThreadCounts {
 public:
    ThreadCounts() = default;
    ThreadCounts(const ThreadCounts&) = delete;
    ThreadCounts& operator=(const ThreadCounts&) = delete;
    /// No thread may be using it.
    ~ThreadCounts() {
        for (unsigned i = 0; i < kChunks; ++i)
            // relaxed: no other thread has it
            if (Place* chunk = chunks_[i].load(std::memory_order_relaxed)) free(chunk, i);
    }

    /// `thread`: the number of the calling thread's slot.
    TP_HOT void add(unsigned thread) {
        if (TP_LIKELY(thread < kFirst)) increment(first_[thread]);
        else add_in_chunk(thread);
    }

    std::uint64_t sum() const {
        std::uint64_t all = spilled_.load(std::memory_order_relaxed);  // relaxed, all: a metric
        for (const Place& place : first_) all += place.count.load(std::memory_order_relaxed);
        each_chunk([&](const Place& chunk, unsigned size) {
            for (unsigned i = 0; i < size; ++i) all += (&chunk)[i].count.load(std::memory_order_relaxed);
        });
        return all;
    }

    /// The memory of the chunks.
    std::size_t bytes() const {
        std::size_t all = 0;
        each_chunk([&](const Place&, unsigned size) { all += size * sizeof(Place); });
        return all;
    }

 private:
    // As many as StripedCount has: most programs have no more threads that work at the same time.
    static constexpr unsigned kFirst = stress::shrunk(8u, 1u);
    static constexpr unsigned kChunks = 24;  // 2^24 * kFirst threads: more than a process can have

    struct alignas(kApart) Place {
        std::atomic<std::uint64_t> count{0};
    };
    static_assert(sizeof(Place) % kApart == 0, "two places share no line");

    /// Relaxed, and no locked instruction: only this thread writes here.
    TP_HOT static void increment(Place& mine) {
        mine.count.store(mine.count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }

    static unsigned size_of(unsigned chunk) { return kFirst << chunk; }
    static void free(Place* chunk, unsigned number) {
        Released{chunk, size_of(number) * sizeof(Place)}.all();
    }

    TP_APART void add_in_chunk(unsigned thread) {
        // chunk i has the threads from kFirst * 2^i to twice that
        const auto number = static_cast<unsigned>(std::bit_width(thread / kFirst)) - 1;
        Place* chunk = chunks_[number].load(std::memory_order_acquire);  // acquire: pairs with make()
        if (TP_UNLIKELY(!chunk)) chunk = make(number);
        if (TP_LIKELY(chunk != nullptr)) increment(chunk[thread - size_of(number)]);
        else spilled_.fetch_add(1, std::memory_order_relaxed);  // relaxed: a metric
    }

    /// Null where there is no memory.
    TP_COLD Place* make(unsigned number) {
        auto* fresh = allocate<Place>(size_of(number) * sizeof(Place));
        Place* there = nullptr;
        // release: pairs with the acquire in add_in_chunk(); publishes the zeroes. acquire: for another's chunk
        if (!fresh || chunks_[number].compare_exchange_strong(there, fresh, std::memory_order_acq_rel))
            return fresh;
        free(fresh, number);
        return there;
    }

    template <class Visit>
    void each_chunk(Visit visit) const {
        for (unsigned i = 0; i < kChunks; ++i)
            // acquire: pairs with the release in make()
            if (const Place* chunk = chunks_[i].load(std::memory_order_acquire)) visit(*chunk, size_of(i));
    }

    Place first_[kFirst];
    alignas(kApart) std::atomic<Place*> chunks_[kChunks]{};
    std::atomic<std::uint64_t> spilled_{0};
};

}  // namespace threadproof
