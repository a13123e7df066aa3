/// Which entry of all clocks belongs to which thread. A program may start threads for ever; the clocks have
/// room for those that run, and some more.
///
/// A thread has a *slot*, its entry in every clock, and a *serial number*, its name in reports. The slot of a
/// thread that has ended is given to a later thread, whose counts go on where those of the former ended.
///
/// Why no race is lost by that: a clock that covers a step of the later thread covers all steps of the
/// former, too. That is true if the former's steps are ordered before the later one's, so the slot is given to
/// a thread whose creator's clock covers the former's last access. That holds where the creator has joined
/// the former, or has got what it did last through a queue, a lock or a future. Where no ended thread is
/// covered, the new one gets a slot of its own. Only when there are kMostEnded ended threads that nobody has
/// waited for does a new thread get the slot of the one that ended first: races between these two, that many
/// threads apart, can be missed; none is invented.
///
/// Invariants:
/// 1. A slot has at most one thread that runs. `ended` lists the slots that have none, once each, in the order
///    in which their threads ended.
/// 2. The counts of a slot only rise, from thread to thread. `needed` is at least the count of the last access
///    by any of its threads.
///
/// The Detector's mutex guards all of it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <stdexcept>
#include <vector>

#include "core/base/stress.hpp"
#include "core/race/clock.hpp"

namespace threadproof::race {

/// The number of a thread among all that ever ran; 0 is no thread.
using Serial = std::uint32_t;

class Slots {
 public:
    // threads apart at which a race may be missed if nobody ever waits for any; a clock of as many is 8 kB
    static constexpr std::size_t kMostEnded = stress::shrunk<std::size_t>(1024, 8);
    // threads that reports can still name when their slots have others: 16 bytes each
    static constexpr std::size_t kRemembered = 4096;

    /// The slot for a new thread, and its first count there; the slot is 0 when too many threads run.
    /// `creator` has what is ordered before the new thread.
    Epoch take(const Clock& creator, Serial serial) {
        ThreadId slot = choose(creator);
        if (slot == 0) return {};
        Slot& taken = at(slot);
        if (taken.serial != 0) former_.push_back({taken.began, taken.serial});
        if (former_.size() > kRemembered) former_.pop_front();
        taken.began = Epoch(slot, ++taken.last);
        taken.serial = serial;
        return taken.began;
    }

    /// The slot's thread has ended at this count, and has accessed variables up to `needed`.
    void end(Epoch last, std::uint64_t needed) {
        Slot& slot = at(last.thread());
        slot.last = last.count();
        slot.needed = std::max(slot.needed, needed);
        ended_.push_back(last.thread());
    }

    /// Whose step it was; 0 if there have been too many threads since.
    Serial thread_of(Epoch epoch) const {
        if (!epoch) return 0;
        const Slot& slot = slots_[epoch.thread() - 1];
        auto ran = [&](Epoch began) {
            return began.thread() == epoch.thread() && began.count() <= epoch.count();
        };
        if (ran(slot.began)) return slot.serial;
        auto former = std::find_if(former_.rbegin(), former_.rend(),
                                   [&](const Former& each) { return ran(each.began); });
        return former == former_.rend() ? 0 : former->serial;
    }

    /// Calls visit(epoch) with the last step of each slot without a thread.
    template <class Visit>
    void each_ended(Visit&& visit) const {
        for (ThreadId slot : ended_) visit(Epoch(slot, slots_[slot - 1].last));
    }

    /// The slots that there are, with and without a thread.
    std::size_t count() const { return slots_.size(); }

    void check() const {
        std::vector<ThreadId> slots(ended_.begin(), ended_.end());
        std::sort(slots.begin(), slots.end());
        if (std::adjacent_find(slots.begin(), slots.end()) != slots.end())
            throw std::logic_error("a slot is free twice");
        for (const Slot& slot : slots_)
            if (slot.needed > slot.last) throw std::logic_error("a slot needs more than its last count");
    }

 private:
    struct Former {
        Epoch began;
        Serial serial;
    };
    struct Slot {
        std::uint64_t last = 0;    // at which its last thread began, or ended
        std::uint64_t needed = 0;  // a clock that covers this covers every access of its threads
        Epoch began;               // of its last thread
        Serial serial = 0;         // of that thread
    };

    Slot& at(ThreadId slot) { return slots_[slot - 1]; }

    ThreadId choose(const Clock& creator) {
        auto covered = std::find_if(ended_.begin(), ended_.end(),
                                    [&](ThreadId slot) { return creator.count_of(slot) >= at(slot).needed; });
        if (covered != ended_.end()) return taken_from(covered);
        bool full = slots_.size() + 1 >= Epoch::kMostThreads;
        if (ended_.size() >= kMostEnded || (full && !ended_.empty())) return taken_from(ended_.begin());
        if (full) return 0;
        slots_.emplace_back();
        return static_cast<ThreadId>(slots_.size());
    }

    ThreadId taken_from(std::deque<ThreadId>::iterator place) {
        ThreadId slot = *place;
        ended_.erase(place);
        return slot;
    }

    std::vector<Slot> slots_;
    std::deque<ThreadId> ended_;
    std::deque<Former> former_;
};

}  // namespace threadproof::race
