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
/// Field                      | written | read  | guard
/// ---------------------------|---------|-------|---------------------
/// clocks, messages, permits  | plain   | plain | their shard's mutex
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

    /// The object is deallocated; true if it may have been a synchronisation object.
    bool forget(Sync sync) {
        if (!filter_.has(sync, ObjectFilter::kOrder)) return false;
        Shard& shard = shards_[probe::mixed(sync) % kShards];
        std::lock_guard hold(shard.mutex);
        shard.clocks.erase(sync);
        shard.permits.erase(sync);
        shard.messages.erase(sync);
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

    struct alignas(kCacheLine) Shard {
        std::mutex mutex;
        std::unordered_map<Sync, Clock> clocks;
        std::unordered_map<Sync, std::deque<Clock>> permits;
        std::unordered_map<Sync, std::unordered_map<SyncKey, MessageClock>> messages;

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
