/// An exact count that many threads change and any thread may read at one instant, with no lock.
///
/// Each change is bracketed: it is begun before the change is published and ended after. A reader that finds,
/// in every stripe, as many begun as ended had an instant at which no change was under way, and the sum
/// belongs to it.
///
/// Invariants: 1. in each stripe begun >= ended, for additions and removals alike;
///             2. with no change under way, begun == ended everywhere and added - removed is the number of entries.
///
/// Field                    | written                          | read                 | guard
/// -------------------------|----------------------------------|----------------------|------------------------------
/// begun_*                  | seq_cst add, before publication  | seq_cst, in try_read | none
/// added, removed (= ended) | seq_cst add, after publication   | seq_cst, in try_read | none
///
/// All orders are seq_cst because the argument in try_read() speaks of one order of all four; on x86 the
/// additions are locked instructions under any order and the loads are plain.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/base/hints.hpp"
#include "core/base/memory.hpp"

namespace threadproof {

class StripedCount {
 public:
    /// 8 lines: enough that a few threads seldom share one, few enough that a read touches 512 bytes.
    static constexpr unsigned kStripes = 8;

    struct alignas(kCacheLine) Stripe {
        std::atomic<std::uint64_t> begun_add{0}, added{0}, begun_remove{0}, removed{0};
    };

    Stripe& stripe(unsigned thread) { return stripes_[thread % kStripes]; }

    /// The sum at an instant within this call, or false when changes kept getting in the way.
    bool try_read(std::int64_t* count) const {
        std::uint64_t added[kStripes], removed[kStripes], sum = 0;
        for (unsigned i = 0; i < kStripes; ++i) {
            added[i] = stripes_[i].added.load();
            removed[i] = stripes_[i].removed.load();
            sum += added[i] - removed[i];
        }
        // begun never falls below ended. So begun, read now, equal to ended, read then, means that neither
        // moved in between; and all those spans share the instant between the two loops.
        for (unsigned i = 0; i < kStripes; ++i) {
            if (stripes_[i].begun_add.load() != added[i] || stripes_[i].begun_remove.load() != removed[i])
                return false;
        }
        *count = static_cast<std::int64_t>(sum);
        return true;
    }

    /// A sum that is exact only while nothing changes: good enough to decide on a resize.
    std::int64_t estimate() const {
        std::uint64_t sum = 0;
        for (const Stripe& s : stripes_)
            // no order: a hint
            sum += s.added.load(std::memory_order_relaxed) - s.removed.load(std::memory_order_relaxed);
        return static_cast<std::int64_t>(sum);
    }

 private:
    Stripe stripes_[kStripes];
};

/// One change of the count, from before its publication to after it. At an instant it counts as one.
class CountChange {
 public:
    TP_HOT CountChange(StripedCount::Stripe& stripe, std::int64_t by) : stripe_(stripe), by_(by) {
        if (by_ > 0) stripe_.begun_add.fetch_add(static_cast<std::uint64_t>(by_));
        if (by_ < 0) stripe_.begun_remove.fetch_add(static_cast<std::uint64_t>(-by_));
    }
    TP_HOT ~CountChange() {
        if (by_ > 0) stripe_.added.fetch_add(static_cast<std::uint64_t>(by_));
        if (by_ < 0) stripe_.removed.fetch_add(static_cast<std::uint64_t>(-by_));
    }
    CountChange(const CountChange&) = delete;
    CountChange& operator=(const CountChange&) = delete;

 private:
    StripedCount::Stripe& stripe_;
    const std::int64_t by_;
};

}  // namespace threadproof
