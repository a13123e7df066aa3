/// An exact count that many threads change and any thread may read at one instant, with no lock.
///
/// Each change is bracketed: it is begun before it is published, and ended afterwards. A reader that finds as
/// many changes begun as ended, in every stripe, has found an instant at which no change was under way. Its
/// sum is the count at that instant.
///
/// Invariants: 1. in each stripe begun >= ended, for additions and removals alike;
///             2. with no change under way, begun == ended everywhere and added - removed is the number of
///                entries.
///
/// Field                    | written                          | read                 | guard
/// -------------------------|----------------------------------|----------------------|-------
/// begun_*                  | seq_cst add, before publication  | seq_cst, in try_read | none
/// added, removed (= ended) | seq_cst add, after publication   | seq_cst, in try_read | none
///
/// All orders are seq_cst because try_read() relies on one total order of all four fields. On x86 the
/// additions are locked instructions under any order, and the loads are plain.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/base/hints.hpp"
#include "core/base/memory.hpp"

namespace threadproof {

class StripedCount {
 public:
    /// 8 stripes: enough that a few threads seldom share one, and so few that a read touches only 512 bytes.
    static constexpr unsigned kStripes = 8;

    struct alignas(kCacheLine) Stripe {
        std::atomic<std::uint64_t> begun_add{0}, added{0}, begun_remove{0}, removed{0};
    };

    Stripe& stripe(unsigned thread) { return stripes_[thread % kStripes]; }

    /// The count at an instant within this call; false if a change was under way.
    bool try_read(std::int64_t* count) const {
        std::uint64_t added[kStripes], removed[kStripes], sum = 0;
        for (unsigned i = 0; i < kStripes; ++i) {
            added[i] = stripes_[i].added.load();
            removed[i] = stripes_[i].removed.load();
            sum += added[i] - removed[i];
        }
        // `begun` never falls below `ended`, and both only grow. So if `begun`, read now, equals `ended`,
        // read above, neither has changed in between. The instant between the two loops is in that interval
        // for every stripe.
        //  - A change begun before this read of its stripe's `begun`, and ended after the read of `ended`
        //    above: begun > ended, and the sum is not used.
        //  - A change begun after this read is not counted at all. A change ended before the read of `ended`
        //    is counted fully. Both are outside the interval.
        for (unsigned i = 0; i < kStripes; ++i) {
            if (stripes_[i].begun_add.load() != added[i] || stripes_[i].begun_remove.load() != removed[i])
                return false;
        }
        *count = static_cast<std::int64_t>(sum);
        return true;
    }

    /// Whether invariant 1 holds, at any time: `ended`, read first, is never more than `begun`.
    bool check() const {
        for (const Stripe& s : stripes_) {
            std::uint64_t added = s.added.load(), removed = s.removed.load();
            if (s.begun_add.load() < added || s.begun_remove.load() < removed) return false;
        }
        return true;
    }

    /// A sum that is exact only while nothing changes: accurate enough to decide on a resize.
    std::int64_t estimate() const {
        std::uint64_t sum = 0;
        for (const Stripe& s : stripes_)
            // relaxed: a hint
            sum += s.added.load(std::memory_order_relaxed) - s.removed.load(std::memory_order_relaxed);
        return static_cast<std::int64_t>(sum);
    }

 private:
    Stripe stripes_[kStripes];
};

/// One change of the count: made before the change is published, and destroyed after.
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
