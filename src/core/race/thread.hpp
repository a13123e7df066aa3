/// What the detector keeps of one thread of the program, and of one race.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/probe/depot.hpp"
#include "core/race/access.hpp"
#include "core/race/clock.hpp"
#include "core/race/epoch_cache.hpp"
#include "core/race/slots.hpp"
#include "core/race/sync_objects.hpp"
#include "core/race/updates.hpp"

namespace threadproof::race {

using probe::NumberCache;

/// Two unordered accesses. `then` is the write with which the later thread followed its read, if it did.
struct Race {
    Object object;
    Field field;
    Access earlier, later, then;
    Serial earlier_thread = 0, later_thread = 0;
    /// Of a value whose steps order (step()): the read that the earlier write may depend on, and whether the
    /// earlier write came between `later` and `then`.
    Access before{};
    bool between = false;
    std::uint64_t times = 1;
};

/// What an access came to: it repeats another one of this epoch, it is new, or it has found a race, or has
/// more to say of one.
enum class Outcome { kRepeated, kNew, kRace };

/// What the detector keeps of one thread of the program.
class Thread {
 public:
    Thread(Epoch first, Serial serial)
        : serial(serial), slot(first.thread()), count(first.count()), began(count) {
        clock.learn(first);
        published.store(count, std::memory_order_relaxed);
    }

    Epoch now() const { return Epoch(slot, count); }
    /// As now(), for another thread.
    Epoch published_now() const { return Epoch(slot, published.load(std::memory_order_relaxed)); }

    /// Whether another thread may join it. For its own thread, and after its end.
    bool is_awaited() const { return awaited.load(std::memory_order_relaxed); }

    const Serial serial;
    std::vector<std::size_t> news;  // races that its last access has found, or has more to say of
    int excluded = 0;        // > 0: the program excludes its accesses; its synchronisation still orders
    std::vector<Sync> held;  // locks and guards, in the order of their acquisition

 private:
    friend class Detector;

    std::atomic<bool> joined{false};  // a thread that several others join is counted once
    bool ended = false;
    std::atomic<bool> awaited{true};  // relaxed: under mutex_, or a hint

    /// Accesses to the object that were made up to this count do not stand for later ones.
    struct HandedOver {
        Object object = 0;
        std::uint64_t count = 0;
    };
    // an object is put into few containers, and seldom used again once others have been
    static constexpr std::size_t kHandedOver = 4;

    /// The clock, which is about to cover more.
    Clock& learn() {
        ++learned;
        return clock;
    }
    /// Another number whenever the clock may cover more than before.
    std::uint64_t clock_version() const { return count + learned; }

    void note_put(Object item) {
        auto same = [&](const HandedOver& each) { return each.object == item; };
        auto known = std::find_if(handed_over.begin(), handed_over.end(), same);
        if (known == handed_over.end()) known = handed_over.begin() + next_handed_over++ % kHandedOver;
        *known = {item, count};
    }

    /// The first epoch whose accesses to the object stand for one that follows.
    Epoch since(Object object) const {
        std::uint64_t first = began;
        for (const HandedOver& each : handed_over)
            if (each.object == object) first = std::max(first, each.count + 1);
        return Epoch(slot, first);
    }

    /// A reported read: if a write of the same thread follows, the report gets it.
    struct PendingRead {
        Object object = 0;
        Field field = 0;
        std::uint32_t generation = 0;
        std::size_t number = 0;  // of the reported race
    };
    // a write that depends on a read follows it soon, with few other reported reads in between
    static constexpr std::size_t kPendingReads = 16;

    const ThreadId slot;
    Clock clock;
    std::uint64_t count;
    std::uint64_t learned = 0;  // how often the clock has covered more of other threads
    // The count at its last release. An access since then stands for a second one, which is no news: in `cache` by
    // this count. Only puts into containers of its own have begun the epochs since.
    std::uint64_t began;
    bool has_put = false;  // such a put, in this epoch: the next access that is news begins another one
    // count, for the threads that are adopted; relaxed: late is harmless
    std::atomic<std::uint64_t> published{0};
    std::uint32_t adoptions = 0;    // of other threads that it has noticed
    std::uint64_t last_access = 0;  // the count at its last access
    EpochCache cache;
    RecentReads reads;  // of values whose steps order
    std::array<HandedOver, kHandedOver> handed_over;
    std::size_t next_handed_over = 0;
    NumberCache<64> lock_sets;  // a thread holds few different sets of locks again and again
    std::array<PendingRead, kPendingReads> pending_reads;
    std::vector<Race> pending_races;  // this thread's own ones, by the same positions; none before the first
    std::size_t next_pending = 0;
};

}  // namespace threadproof::race
