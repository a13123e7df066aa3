/// ReadBuffers: the nodes that were read, until the policy takes them. Reading an entry costs one store to memory
/// that other threads seldom write.
///
/// They are lossy: where two threads share a buffer, one read may overwrite another, and a full buffer is emptied
/// without the policy if another thread has its lock. The policy decides by the frequencies of many reads.
///
/// Field          | written                         | read                      | guard
/// ---------------|---------------------------------|---------------------------|------------------------------
/// buffers_[i]    | release, once                   | acquire                   | none
/// nodes, count,  | relaxed, by the threads with    | relaxed                   | none: each read is a hint
/// hits, misses   | this stripe                     |                           |
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <new>

#include "core/base/hints.hpp"
#include "core/base/memory.hpp"
#include "core/base/stress.hpp"

namespace threadproof {

class ReadBuffers {
 public:
    ReadBuffers() = default;
    ~ReadBuffers() {
        for (auto& buffer : buffers_) delete buffer.load(std::memory_order_relaxed);
    }
    ReadBuffers(const ReadBuffers&) = delete;
    ReadBuffers& operator=(const ReadBuffers&) = delete;

    /// Notes a read by a thread. Returns whether the buffer is full: then the caller empties it, by take().
    TP_HOT bool note(unsigned thread, std::uint32_t node) {
        // acquire: pairs with the release in make(); makes the zeroed memory visible
        Buffer* buffer = buffers_[thread % kStripes].load(std::memory_order_acquire);
        if (TP_UNLIKELY(!buffer)) buffer = make(thread % kStripes);
        if (TP_UNLIKELY(!buffer)) return false;
        std::uint32_t count = buffer->count.load(std::memory_order_relaxed);
        if (TP_LIKELY(count < kRoom)) buffer->nodes[count].store(node, std::memory_order_relaxed);
        buffer->count.store(count + 1, std::memory_order_relaxed);
        return TP_UNLIKELY(count + 1 >= kRoom);
    }

    /// The same for an overwrite, which is a use and no hit: take() counts it, so that it is taken off here.
    TP_HOT bool note_write(unsigned thread, std::uint32_t node) {
        bool full = note(thread, node);
        Buffer* buffer = buffers_[thread % kStripes].load(std::memory_order_acquire);
        if (TP_LIKELY(buffer != nullptr)) add(buffer->hits, ~std::uint64_t{0});
        return full;
    }

    /// Counts a read that found nothing.
    void note_miss(unsigned thread) {
        Buffer* buffer = buffers_[thread % kStripes].load(std::memory_order_acquire);
        if (TP_UNLIKELY(!buffer)) buffer = make(thread % kStripes);
        if (TP_LIKELY(buffer != nullptr)) add(buffer->misses, 1);
    }

    /// Reads that found an entry, and that found none; threads that share a buffer lose some.
    std::uint64_t hits() const {
        std::uint64_t all = sum([](const Buffer& buffer) {
            return buffer.hits.load(std::memory_order_relaxed) + buffer.count.load(std::memory_order_relaxed);
        });
        return all >> 63 ? 0 : all;  // below 0 where threads have lost some
    }
    std::uint64_t misses() const {
        return sum([](const Buffer& buffer) { return buffer.misses.load(std::memory_order_relaxed); });
    }

    /// Empties the thread's buffer; calls see(node) for each read, in their order.
    template <class See>
    void take(unsigned thread, See see) {
        Buffer* buffer = buffers_[thread % kStripes].load(std::memory_order_acquire);
        if (!buffer) return;
        std::uint32_t count = std::min(buffer->count.load(std::memory_order_relaxed), kRoom);
        for (std::uint32_t i = 0; i < count; ++i) see(buffer->nodes[i].load(std::memory_order_relaxed));
        buffer->count.store(0, std::memory_order_relaxed);
        add(buffer->hits, count);
    }

    std::uint64_t bytes() const {
        return sum([](const Buffer&) { return sizeof(Buffer); });
    }

 private:
    // Threads that share a buffer lose reads and wait for its cache line: with 16, 4 threads of 16 or so do.
    static constexpr unsigned kStripes = 16;
    // Two cache lines with the counts: taking the policy's lock costs as much as 3 of its steps.
    static constexpr std::uint32_t kRoom = stress::shrunk(27u, 2u);

    struct alignas(kNoSharing) Buffer {
        std::atomic<std::uint32_t> count{0};
        std::array<std::atomic<std::uint32_t>, kRoom> nodes{};
        std::atomic<std::uint64_t> hits{0}, misses{0};
    };

    static void add(std::atomic<std::uint64_t>& counter, std::uint64_t by) {
        counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
    }
    template <class Of>
    std::uint64_t sum(Of of) const {
        std::uint64_t all = 0;
        for (const auto& each : buffers_)
            if (const Buffer* buffer = each.load(std::memory_order_acquire)) all += of(*buffer);
        return all;
    }

    /// Null when there is no memory: reads are not noted then.
    TP_COLD Buffer* make(unsigned stripe) {
        Buffer* fresh = stress::starve() ? nullptr : new (std::nothrow) Buffer;
        Buffer* none = nullptr;
        // release: pairs with note(); acquire: of another thread's
        if (fresh && !buffers_[stripe].compare_exchange_strong(none, fresh, std::memory_order_acq_rel)) {
            delete fresh;
            return none;
        }
        return fresh;
    }

    std::array<std::atomic<Buffer*>, kStripes> buffers_{};
};

}  // namespace threadproof
