/// TimerWheel: the entries of a cache by the time at which they expire. Scheduling one, and taking it out, takes
/// constant time; an entry is moved to a finer level kLevels - 1 times at the most before it is due.
///
/// Time is divided into ticks of 2^20 ns, about a millisecond. Level 0 has a list for each of the next ticks, and
/// level n one for each 64^n ticks. An entry is on the level of the highest group of six bits in which its tick
/// differs from the present one, so that the lists of a level are all later than those of finer levels.
///
/// Invariants
///  1. Each entry is in the list that its deadline, as it was when it was scheduled, and time_ name.
///  2. A bit of occupied_ is set if and only if the list is not empty.
///  3. No list is earlier than time_.
///
/// A deadline that has become later since is noticed when the entry is due: it is scheduled again.
///
/// One thread at a time uses a wheel: the holder of the policy's lock.
///
/// Source: Varghese and Lauck, Hashed and hierarchical timing wheels.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <stdexcept>

namespace threadproof {

/// A time in ns; 0 is none, which stands for never.
using Instant = std::uint64_t;

/// What TimerWheel needs of a node: neighbours in its list. `earlier` of the first entry names the list.
struct WheelLinks {
    std::uint32_t earlier, later;  ///< 0: none
};

/// `Links`: links(i) is the WheelLinks of a node.
template <class Links>
class TimerWheel {
 public:
    using Index = std::uint32_t;
    static constexpr Instant kNever = ~Instant{0};

    explicit TimerWheel(Links links) : links_(links) {}

    /// The entry is due at `deadline`; it may be scheduled already.
    void schedule(Index i, Instant deadline) {
        remove(i);
        if (deadline) link(i, list_for(deadline));
    }

    void remove(Index i) {
        WheelLinks& links = links_(i);
        if (!links.earlier) return;
        if (links.later) links_(links.later).earlier = links.earlier;
        if (links.earlier & kList) {
            unsigned list = links.earlier & ~kList;
            if (!(first_[list] = links.later))
                occupied_[list / kLists] &= ~(std::uint64_t{1} << list % kLists);
        } else {
            links_(links.earlier).later = links.later;
        }
        links = {};
    }

    /// Moves to `now`, and calls due(i) for the entries that were scheduled for before its tick, and with `exactly`
    /// for those of its tick; for others, too. due() gets an entry that is in no list; it returns 0 to take it, or
    /// the time for which to schedule it, or kNever. Returns false after `most` have been taken: then call it again.
    template <class Due>
    bool advance(Instant now, Due due, unsigned most, bool exactly = false) {
        const std::uint64_t tick = now >> kTickBits;
        for (;;) {
            unsigned list = next_list();
            if (list == kNone || start(list) > tick || (list < kLists && start(list) == tick)) break;
            time_ = start(list);
            while (Index i = first_[list]) {
                remove(i);
                if (put_back(i, due(i)) && --most == 0) return false;
            }
        }
        time_ = std::max(time_, tick);
        return !exactly || sweep(due, most);
    }

    /// A time before which no entry is due; 0 if there is none.
    Instant next_due() const {
        unsigned list = next_list();
        return list == kNone ? 0 : std::max<Instant>(start(list) << kTickBits, 1);
    }

    /// Asserts the invariants; returns the number of entries.
    std::uint64_t check() const {
        std::uint64_t count = 0;
        for (unsigned list = 0; list < first_.size(); ++list) {
            bool occupied = occupied_[list / kLists] >> list % kLists & 1;
            require(occupied == (first_[list] != 0), "a bit tells whether a list has entries");
            require(!occupied || start(list) + span(list) > time_,
                    "no list is earlier than the present tick");
            Index earlier = list | kList;
            for (Index i = first_[list]; i; earlier = i, i = links_(i).later, ++count)
                require(links_(i).earlier == earlier, "neighbours in a list of the wheel agree");
        }
        return count;
    }

 private:
    // A millisecond: what the page promises. Finer ones would move entries more often.
    static constexpr unsigned kTickBits = 20;
    // A word has a bit for each list of a level.
    static constexpr unsigned kBits = 6, kLists = 1 << kBits;
    // 64 bits of ns, without those of a tick
    static constexpr unsigned kLevels = (64 - kTickBits + kBits - 1) / kBits;
    static constexpr Index kList = Index{1} << 31;
    static constexpr unsigned kNone = kLevels * kLists;

    void link(Index i, unsigned list) {
        Index first = first_[list];
        links_(i) = {list | kList, first};
        if (first) links_(first).earlier = i;
        first_[list] = i;
        occupied_[list / kLists] |= std::uint64_t{1} << list % kLists;
    }

    /// Returns whether the entry was taken.
    bool put_back(Index i, Instant again) {
        if (again && again != kNever) link(i, list_for(again));
        return !again;
    }

    unsigned list_for(Instant deadline) const {
        std::uint64_t tick = std::max(deadline >> kTickBits, time_);
        unsigned level = tick == time_ ? 0 : static_cast<unsigned>(std::bit_width(tick ^ time_) - 1) / kBits;
        return level * kLists + digit(tick, level);
    }

    static unsigned digit(std::uint64_t tick, unsigned level) { return tick >> level * kBits & (kLists - 1); }
    static std::uint64_t span(unsigned list) { return std::uint64_t{1} << list / kLists * kBits; }
    /// The first tick of a list.
    std::uint64_t start(unsigned list) const {
        std::uint64_t above = std::uint64_t{kLists} * span(list);
        std::uint64_t base = above ? time_ & ~(above - 1) : 0;
        return base + list % kLists * span(list);
    }

    /// The earliest list with entries: one that an advance() has begun, or the first of the finest level.
    unsigned next_list() const {
        for (unsigned level = 1; level < kLevels; ++level)
            if (occupied_[level] >> digit(time_, level) & 1) return level * kLists + digit(time_, level);
        for (unsigned level = 0; level < kLevels; ++level)
            if (occupied_[level])
                return level * kLists + static_cast<unsigned>(std::countr_zero(occupied_[level]));
        return kNone;
    }

    /// The entries of the present tick that are due.
    template <class Due>
    bool sweep(Due due, unsigned most) {
        for (Index i = first_[digit(time_, 0)], later; i; i = later) {
            later = links_(i).later;
            remove(i);
            if (put_back(i, due(i)) && --most == 0) return false;
        }
        return true;
    }

    static void require(bool holds, const char* invariant) {
        if (!holds) throw std::logic_error(invariant);
    }

    Links links_;
    std::uint64_t time_ = 0;  ///< the present tick
    std::array<std::uint64_t, kLevels> occupied_{};
    std::array<Index, kLevels * kLists> first_{};
};

}  // namespace threadproof
