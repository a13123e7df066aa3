/// Looking at some of the accesses only: each place in the program until it has been seen some dozen times,
/// then no more until the next round.
///
/// How often that is differs from place to place and from round to round, so that places do not keep step;
/// the seed says how.
///
/// Everything is relaxed: these are bounds and orders nothing. Two threads at one place may count as one.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/base/hints.hpp"
#include "core/race/depot.hpp"

namespace threadproof::race {

/// A counter that loses counts rather than time when threads meet.
inline std::uint32_t counted(std::atomic<std::uint32_t>& count) {
    std::uint32_t now = count.load(std::memory_order_relaxed) + 1;
    count.store(now, std::memory_order_relaxed);
    return now;
}

/// What a place remembers of its bursts.
struct Bursts {
    std::uint32_t number = 0;  // the place's own
    std::atomic<std::uint32_t> round{0};
    std::atomic<std::uint32_t> looks{0};
};

class Sampling {
 public:
    /// From now on a place is looked at `burst` times at least and less than twice that; 0: always.
    void begin_round(std::uint32_t burst, std::uint32_t seed) {
        burst_.store(burst, std::memory_order_relaxed);
        seed_.store(seed, std::memory_order_relaxed);
        counted(round_);
    }

    TP_HOT bool on() const { return burst_.load(std::memory_order_relaxed) != 0; }

    /// The place is being looked at: whether that was the last time in this round.
    bool last_look(Bursts& place) const {
        std::uint32_t round = round_.load(std::memory_order_relaxed),
                      burst = burst_.load(std::memory_order_relaxed);
        if (place.round.exchange(round, std::memory_order_relaxed) != round) {
            std::uint64_t chance =
                hash_on(hash_on(seed_.load(std::memory_order_relaxed), round), place.number);
            place.looks.store(static_cast<std::uint32_t>(chance % burst), std::memory_order_relaxed);
        }
        return counted(place.looks) >= 2 * burst;
    }

    /// A place is not looked at any more, in this round or for good.
    void give_up() { given_up_.fetch_add(1, std::memory_order_relaxed); }
    std::uint64_t given_up() const { return given_up_.load(std::memory_order_relaxed); }

 private:
    std::atomic<std::uint32_t> burst_{0};
    std::atomic<std::uint32_t> round_{0};
    std::atomic<std::uint32_t> seed_{0};
    std::atomic<std::uint64_t> given_up_{0};
};

}  // namespace threadproof::race
