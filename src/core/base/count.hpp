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
/// begun_*                  | before publication: relaxed by   | seq_cst, in try_read | none
///                          | the stripe's only writer, else a |                      |
///                          | seq_cst add                      |                      |
/// added, removed (= ended) | seq_cst add, after publication   | seq_cst, in try_read | none
///
/// try_read() relies on one total order of the loads and of the additions, which are seq_cst. A stripe of one
/// writer needs no addition to begin a change: the store comes before that of the key or value that publishes the
/// change, which is a release. So a thread that has seen the change sees in `begun` that it has begun. The addition
/// to `ended` stays: it is a full fence, so that the change is visible to all threads when the operation ends.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/base/hints.hpp"
#include "core/base/memory.hpp"

namespace threadproof {

class StripedCount {
 public:
    /// The first 8 threads have a stripe each, and all others share 4: few have to wait for each other's cache
    /// lines, and a read touches 768 bytes. (A thread's number is free again when the thread has ended.)
    static constexpr unsigned kOwned = 8, kShared = 4, kStripes = kOwned + kShared;

    struct alignas(kCacheLine) Stripe {
        std::atomic<std::uint64_t> begun_add{0}, added{0}, begun_remove{0}, removed{0};
        bool shared = false;  ///< more than one thread changes it
    };

    StripedCount() {
        for (unsigned i = kOwned; i < kStripes; ++i) stripes_[i].shared = true;
    }

    Stripe& stripe(unsigned thread) {
        return stripes_[TP_LIKELY(thread < kOwned) ? thread : kOwned + thread % kShared];
    }

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

/// One change of the count: made before the change is published, and destroyed after. In the calling thread's
/// stripe, or in any with no other thread changing the map.
class CountChange {
 public:
    TP_HOT CountChange(StripedCount::Stripe& stripe, std::int64_t by) : stripe_(stripe), by_(by) {
        if (by_ > 0) begin(stripe_.begun_add, static_cast<std::uint64_t>(by_));
        if (by_ < 0) begin(stripe_.begun_remove, static_cast<std::uint64_t>(-by_));
    }
    TP_HOT ~CountChange() {
        if (by_ > 0) stripe_.added.fetch_add(static_cast<std::uint64_t>(by_));
        if (by_ < 0) stripe_.removed.fetch_add(static_cast<std::uint64_t>(-by_));
    }
    CountChange(const CountChange&) = delete;
    CountChange& operator=(const CountChange&) = delete;

 private:
    TP_HOT void begin(std::atomic<std::uint64_t>& begun, std::uint64_t by) {
        // relaxed, both: only this thread writes it, and the release that publishes the change comes after
        if (TP_LIKELY(!stripe_.shared))
            begun.store(begun.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
        else begun.fetch_add(by);
    }

    StripedCount::Stripe& stripe_;
    const std::int64_t by_;
};

}  // namespace threadproof
