/// The order that synchronisation objects create: for each, the clocks that releases stored for later
/// acquires.
///
/// An object may have one clock, a clock for each of its keys, and a queue of permits with one clock each. A
/// key names a part of the object that orders independently: an item of a channel, a key of a map, a cell of
/// an array.
///
/// Invariants:
/// 1. Every object with clocks, messages or permits is marked in the filter, and is in the shard of its hash.
/// 2. After forget(object) none of its clocks is left, so an object at the same address starts clean.
///
/// An object that is handed over through a list or a dict is ordered, too: what came before it was put in, before
/// what follows for the thread that takes it out. The container's other items are not.
///
/// Field                                   | written | read  | guard
/// ----------------------------------------|---------|-------|---------------------
/// clocks, messages, permits, handed_over  | plain   | plain | their shard's mutex
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <stdexcept>
#include <unordered_map>

#include "core/base/memory.hpp"
#include "core/probe/object_filter.hpp"
#include "core/race/clock.hpp"

namespace threadproof::race {

using probe::ObjectFilter;

/// A synchronisation object: its address, or a small number for one that is no Python object.
using Sync = std::uintptr_t;

/// The part of a synchronisation object that orders.
using SyncKey = std::uint64_t;

class SyncObjects {
 public:
    /// `filter` marks the objects that have clocks, permits or messages.
    explicit SyncObjects(ObjectFilter& filter) : filter_(filter) {}

    /// `clock` covers everything that was released to the object.
    void acquire(Clock& clock, Sync sync) {
        Shard& shard = shard_of(sync);
        std::lock_guard hold(shard.mutex);
        if (auto found = shard.clocks.find(sync); found != shard.clocks.end()) clock.join(found->second);
    }

    void release(const Clock& clock, Sync sync) {
        Shard& shard = shard_of(sync);
        std::lock_guard hold(shard.mutex);
        shard.clocks[sync].join(clock);
    }

    /// The same for one key of the object.
    void acquire(Clock& clock, Sync sync, SyncKey key) {
        Shard& shard = shard_of(sync);
        std::lock_guard hold(shard.mutex);
        if (MessageClock* message = shard.message(sync, key)) clock.join(message->clock);
    }

    /// `items` more items of this key are in the channel. Equal items share a clock: a receiver cannot tell
    /// which of them it got, so it is ordered after the senders of all that were in the channel.
    void release(const Clock& clock, Sync sync, SyncKey key, std::size_t items) {
        Shard& shard = shard_of(sync);
        std::lock_guard hold(shard.mutex);
        MessageClock& message = shard.messages[sync][key];
        message.clock.join(clock);
        message.items += items;
    }

    /// One item of this key is no longer in the channel.
    void remove_item(Sync channel, SyncKey item) {
        Shard& shard = shard_of(channel);
        std::lock_guard hold(shard.mutex);
        if (MessageClock* message = shard.message(channel, item); message && message->items <= 1)
            shard.messages[channel].erase(item);
        else if (message) --message->items;
    }

    /// Each permit has the clock of the thread that released it; the `initial` ones order nothing.
    void give_permits(const Clock& clock, Sync sync, std::size_t initial, std::size_t permits) {
        Shard& shard = shard_of(sync);
        std::lock_guard hold(shard.mutex);
        auto& queue = shard.permits.try_emplace(sync, initial).first->second;
        queue.insert(queue.end(), permits, clock);
    }

    /// Takes the oldest permit; false if there is none.
    bool take_permit(Clock& clock, Sync sync, std::size_t initial) {
        Shard& shard = shard_of(sync);
        std::lock_guard hold(shard.mutex);
        auto& queue = shard.permits.try_emplace(sync, initial).first->second;
        if (queue.empty()) return false;
        clock.join(queue.front());
        queue.pop_front();
        return true;
    }

    /// An item is put into a container. While one thread alone uses the container, that costs one clock for all
    /// its items; from the second thread on, each item has its own. Whether it has: a release.
    bool put(const Clock& clock, ThreadId me, Sync container, SyncKey item) {
        Shard& shard = shard_of(container);
        std::lock_guard hold(shard.mutex);
        HandOvers& there = shard.handed_over[container];
        if (there.owner == 0) there.owner = me;
        if (there.owner == me) {
            there.rest.join(clock);
            return false;
        }
        there.owner = kShared;
        if (there.items.size() >= kMostItems) there.forget_items();
        there.items[item].join(clock);
        return true;
    }

    /// The thread has got the item from the container; and if `out`, no other thread will.
    void take(Clock& clock, ThreadId me, Sync container, SyncKey item, bool out) {
        if (!filter_.has(container, ObjectFilter::kOrder)) return;
        Shard& shard = shard_of(container);
        std::lock_guard hold(shard.mutex);
        auto found = shard.handed_over.find(container);
        if (found == shard.handed_over.end() || found->second.owner == me) return;
        HandOvers& there = found->second;
        there.owner = kShared;
        auto put = there.items.find(item);
        clock.join(put == there.items.end() ? there.rest : put->second);
        if (out && put != there.items.end()) there.items.erase(put);
    }

    /// The object is deallocated; true if it may have been a synchronisation object. `handed_over`: items went
    /// through it.
    bool forget(Sync sync, bool& handed_over) {
        if (!filter_.has(sync, ObjectFilter::kOrder)) return false;
        Shard& shard = shards_[probe::mixed(sync) % kShards];
        std::lock_guard hold(shard.mutex);
        shard.clocks.erase(sync);
        shard.permits.erase(sync);
        shard.messages.erase(sync);
        handed_over = shard.handed_over.erase(sync) > 0;
        return true;
    }

    /// Around a fork: no other thread is in the middle of a step.
    void lock_for_fork() {
        for (Shard& shard : shards_) shard.mutex.lock();
    }
    void unlock_after_fork() {
        for (Shard& shard : shards_) shard.mutex.unlock();
    }

    /// Asserts the invariants; std::logic_error if one is broken.
    void check() {
        for (Shard& shard : shards_) {
            std::lock_guard hold(shard.mutex);
            for (const auto& [sync, clock] : shard.clocks) check_place(shard, sync);
            for (const auto& [sync, queue] : shard.permits) check_place(shard, sync);
            for (const auto& [sync, keys] : shard.messages) check_place(shard, sync);
        }
    }

 private:
    static constexpr std::size_t kShards = 64;  // several times the threads that synchronise at once

    /// The clock of one key, and how many items of a channel it stands for.
    struct MessageClock {
        Clock clock;
        std::size_t items = 0;
    };

    static constexpr ThreadId kShared = ~ThreadId{0};
    static constexpr std::size_t kMostItems = 4096;  // in one container; more of them share a clock

    /// What the threads did that put items into a container.
    struct HandOvers {
        ThreadId owner = 0;                        // the only thread that has used the container, or kShared
        Clock rest;                                // of all items but those that have a clock of their own
        std::unordered_map<SyncKey, Clock> items;  // put in since it is shared

        void forget_items() {
            for (const auto& [item, clock] : items) rest.join(clock);
            items.clear();
        }
    };

    struct alignas(kCacheLine) Shard {
        std::mutex mutex;
        std::unordered_map<Sync, Clock> clocks;
        std::unordered_map<Sync, std::deque<Clock>> permits;
        std::unordered_map<Sync, std::unordered_map<SyncKey, MessageClock>> messages;
        std::unordered_map<Sync, HandOvers> handed_over;

        /// Null if there is none.
        MessageClock* message(Sync sync, SyncKey key) {
            auto object = messages.find(sync);
            if (object == messages.end()) return nullptr;
            auto found = object->second.find(key);
            return found == object->second.end() ? nullptr : &found->second;
        }
    };

    void check_place(const Shard& shard, Sync sync) const {
        if (!filter_.has(sync, ObjectFilter::kOrder))
            throw std::logic_error("an object with a clock is not in the filter");
        if (&shard != &shards_[probe::mixed(sync) % kShards])
            throw std::logic_error("an object is in another object's shard");
    }

    Shard& shard_of(Sync sync) {
        filter_.mark(sync, ObjectFilter::kOrder);
        return shards_[probe::mixed(sync) % kShards];
    }

    ObjectFilter& filter_;
    std::array<Shard, kShards> shards_;
};

}  // namespace threadproof::race
