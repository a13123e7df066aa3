/// Sampling: each instruction is judged in a burst of some dozen executions, and then not again until the
/// next round.
///
/// The length of a burst differs between instructions and between rounds, so that instructions do not keep
/// step; the seed decides it.
///
/// Field                  | written             | read       | guard
/// -----------------------|---------------------|------------|---------------------------------------------
/// burst, seed, round     | relaxed             | relaxed    | none: bounds order nothing
/// bursts.round, .count   | relaxed             | relaxed    | none: two threads at one site may count as one
/// segments               | release, under mutex| acquire    | mutex, for the writers
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "core/base/hints.hpp"
#include "core/probe/object.hpp"

namespace threadproof::race {

class Sampling {
 public:
    Sampling() = default;
    Sampling(const Sampling&) = delete;
    ~Sampling() {
        for (auto& segment : segments_) delete[] segment.load(std::memory_order_relaxed);
    }

    /// From now on each site is judged at least `burst` times and fewer than twice as often; 0: always.
    void begin_round(std::uint32_t burst, std::uint32_t seed) {
        burst_.store(burst, std::memory_order_relaxed);
        seed_.store(seed, std::memory_order_relaxed);
        round_.fetch_add(1, std::memory_order_relaxed);
    }

    TP_HOT bool on() const { return burst_.load(std::memory_order_relaxed) != 0; }

    /// The site has been judged: returns whether that was the last time in this round.
    bool ends_burst(std::uint32_t site) {
        std::uint32_t round = round_.load(std::memory_order_relaxed);
        std::uint32_t burst = burst_.load(std::memory_order_relaxed);
        if (burst == 0) return false;
        Burst& at = burst_of(site);
        if (at.round.exchange(round, std::memory_order_relaxed) != round) {
            std::uint64_t hash =
                probe::hash_on(probe::hash_on(seed_.load(std::memory_order_relaxed), round), site);
            at.count.store(static_cast<std::uint32_t>(hash % burst), std::memory_order_relaxed);
        }
        // a load and a store, not an atomic addition: losing a count is cheaper than contending for it
        std::uint32_t count = at.count.load(std::memory_order_relaxed) + 1;
        at.count.store(count, std::memory_order_relaxed);
        return count >= 2 * burst;
    }

 private:
    struct Burst {
        std::atomic<std::uint32_t> round{0};
        std::atomic<std::uint32_t> count{0};
    };
    static constexpr std::size_t kFirst = 1024;   // sites of the first segment; each further one doubles all
    static constexpr std::size_t kSegments = 23;  // for 2^32 sites

    /// Segment s has the sites from kFirst << (s - 1) on, and the first one those from 0 on.
    Burst& burst_of(std::uint32_t site) {
        auto segment = static_cast<std::size_t>(std::bit_width(site / kFirst));
        std::size_t begin = segment == 0 ? 0 : kFirst << (segment - 1);
        // acquire: pairs with the release store in make(); makes the zeroed bursts visible
        Burst* bursts = segments_[segment].load(std::memory_order_acquire);
        if (TP_UNLIKELY(!bursts)) bursts = make(segment);
        return bursts[site - begin];
    }

    TP_APART Burst* make(std::size_t segment) {
        std::lock_guard hold(mutex_);
        Burst* bursts = segments_[segment].load(std::memory_order_relaxed);  // relaxed: the mutex orders it
        if (bursts) return bursts;
        bursts = new Burst[segment == 0 ? kFirst : kFirst << (segment - 1)];
        // release: pairs with the acquire load in burst_of()
        segments_[segment].store(bursts, std::memory_order_release);
        return bursts;
    }

    std::atomic<std::uint32_t> burst_{0};
    std::atomic<std::uint32_t> seed_{0};
    std::atomic<std::uint32_t> round_{0};
    std::mutex mutex_;
    std::array<std::atomic<Burst*>, kSegments> segments_{};
};

}  // namespace threadproof::race
