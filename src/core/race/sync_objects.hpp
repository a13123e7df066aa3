/// The order that synchronisation objects create: for each, the clocks that releases stored for later
/// acquires.
///
/// An object may have one clock, a clock for each of its keys, and a queue of permits with a clock for those
/// that were given together. A key names a part of the object that orders by itself: an item of a channel, a
/// key of a map, a cell of an array.
///
/// Invariants:
/// 1. `filter` counts every object that has state here, so that most deallocations take no lock.
/// 2. An object has clocks of at most kMostKeys keys. When there are more, all become one, which stands for
///    every key that has none of its own. That can hide a race, not invent one.
///
/// An object that is handed over through a list or a dict is ordered, too: what came before it was put in, before
/// what follows for the thread that takes it out. The container's other items are not.
///
/// Field   | written | read  | guard
/// --------|---------|-------|---------------------
/// states  | plain   | plain | their shard's mutex
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <unordered_map>

#include "core/base/memory.hpp"
#include "core/base/stress.hpp"
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
    /// `filter` counts the objects that have state here.
    explicit SyncObjects(ObjectFilter& filter) : filter_(filter) {}

    /// The object has state from now on, so its deallocation is reported.
    void add(Sync sync) {
        Shard& shard = shard_of(sync);
        std::lock_guard hold(shard.mutex);
        state_of(shard, sync);
    }

    /// `clock` covers everything that was released to the object.
    void acquire(Clock& clock, Sync sync) {
        Shard& shard = shard_of(sync);
        std::lock_guard hold(shard.mutex);
        clock.join(state_of(shard, sync).clock);
    }

    void release(const Clock& clock, Sync sync) {
        Shard& shard = shard_of(sync);
        std::lock_guard hold(shard.mutex);
        state_of(shard, sync).clock.join(clock);
    }

    /// The same for one key of the object.
    void acquire(Clock& clock, Sync sync, SyncKey key) {
        Shard& shard = shard_of(sync);
        std::lock_guard hold(shard.mutex);
        State& state = state_of(shard, sync);
        if (!state.keys) return;
        auto found = state.keys->of.find(key);
        clock.join(found == state.keys->of.end() ? state.keys->others : found->second.clock);
    }

    /// `items` more items of this key are in the channel. Equal items share a clock: a receiver cannot tell
    /// which of them it got, so it is ordered after the senders of all that were in the channel.
    void release(const Clock& clock, Sync sync, SyncKey key, std::size_t items) {
        Shard& shard = shard_of(sync);
        std::lock_guard hold(shard.mutex);
        State& state = state_of(shard, sync);
        if (!state.keys) state.keys = std::make_unique<Keys>();
        MessageClock& message = state.keys->at(key);
        message.clock.join(clock);
        message.items += items;
    }

    /// One item of this key is no longer in the channel.
    void remove_item(Sync channel, SyncKey item) {
        Shard& shard = shard_of(channel);
        std::lock_guard hold(shard.mutex);
        State& state = state_of(shard, channel);
        if (!state.keys) return;
        auto found = state.keys->of.find(item);
        if (found == state.keys->of.end()) return;
        if (found->second.items <= 1) state.keys->of.erase(found);
        else --found->second.items;
    }

    /// Each permit carries the clock of the thread that gave it, which is at the epoch `now`; the `initial`
    /// ones order nothing.
    void give_permits(const Clock& clock, Epoch now, Sync sync, std::size_t initial, std::size_t permits) {
        Shard& shard = shard_of(sync);
        std::lock_guard hold(shard.mutex);
        if (permits > 0) permits_of(state_of(shard, sync), initial).push_back({clock, now, permits});
    }

    /// Takes back what the thread of this slot gave last.
    void withdraw_permits(ThreadId giver, Sync sync, std::size_t permits) {
        Shard& shard = shard_of(sync);
        std::lock_guard hold(shard.mutex);
        State& state = state_of(shard, sync);
        if (!state.permits) return;
        auto& queue = *state.permits;
        auto last = std::find_if(queue.rbegin(), queue.rend(),
                                 [&](const Permits& each) { return each.giver.thread() == giver; });
        if (last == queue.rend()) return;
        last->count -= std::min(last->count, permits);
        if (last->count == 0) queue.erase(std::next(last).base());
    }

    /// Takes the oldest permit; false if there is none.
    bool take_permit(Clock& clock, Sync sync, std::size_t initial) {
        Shard& shard = shard_of(sync);
        std::lock_guard hold(shard.mutex);
        auto& queue = permits_of(state_of(shard, sync), initial);
        if (queue.empty()) return false;
        clock.join(queue.front().clock);
        if (--queue.front().count == 0) queue.pop_front();
        return true;
    }

    /// An item is put into a container. While one thread alone uses the container, that costs one clock for all
    /// its items; from the second thread on, each item has its own. Whether it has: a release.
    bool put(const Clock& clock, ThreadId me, Sync container, SyncKey item) {
        Shard& shard = shard_of(container);
        std::lock_guard hold(shard.mutex);
        State& state = state_of(shard, container);
        if (!state.handed_over) state.handed_over = std::make_unique<HandOvers>();
        HandOvers& there = *state.handed_over;
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

    /// The thread has got the item from the container; and if `out`, no other thread will. Whether that orders.
    bool take(Clock& clock, ThreadId me, Sync container, SyncKey item, bool out) {
        if (!filter_.has(container, ObjectFilter::kOrder)) return false;
        Shard& shard = shard_of(container);
        std::lock_guard hold(shard.mutex);
        auto found = shard.states.find(container);
        if (found == shard.states.end() || !found->second.handed_over) return false;
        HandOvers& there = *found->second.handed_over;
        if (there.owner == me) return false;
        there.owner = kShared;
        auto put = there.items.find(item);
        clock.join(put == there.items.end() ? there.rest : put->second);
        if (out && put != there.items.end()) there.items.erase(put);
        return true;
    }

    /// The object is deallocated; true if it may have been a synchronisation object. `handed_over`: items went
    /// through it.
    bool forget(Sync sync, bool& handed_over) {
        if (!filter_.has(sync, ObjectFilter::kOrder)) return false;
        Shard& shard = shard_of(sync);
        std::lock_guard hold(shard.mutex);
        auto found = shard.states.find(sync);
        if (found == shard.states.end()) return false;
        handed_over = found->second.handed_over != nullptr;
        shard.states.erase(found);
        filter_.remove(sync, ObjectFilter::kOrder);
        return true;
    }

    /// The objects that have state, and the keys and items that have clocks of their own.
    std::size_t count() {
        std::size_t all = 0;
        for (Shard& shard : shards_) {
            std::lock_guard hold(shard.mutex);
            for (const auto& [sync, state] : shard.states)
                all += 1 + (state.keys ? state.keys->of.size() : 0)
                       + (state.handed_over ? state.handed_over->items.size() : 0);
        }
        return all;
    }

    /// Asserts the invariants; std::logic_error if one is broken.
    void check() {
        for (Shard& shard : shards_) {
            std::lock_guard hold(shard.mutex);
            for (const auto& [sync, state] : shard.states) {
                if (&shard != &shard_of(sync) || !filter_.has(sync, ObjectFilter::kOrder))
                    throw std::logic_error("a synchronisation object is not in the filter");
                if (state.keys && state.keys->of.size() > kMostKeys)
                    throw std::logic_error("a synchronisation object has too many keys");
            }
        }
    }

    /// Around a fork: no other thread is in the middle of a step.
    void lock_for_fork() {
        for (Shard& shard : shards_) shard.mutex.lock();
    }
    void unlock_after_fork() {
        for (Shard& shard : shards_) shard.mutex.unlock();
    }

 private:
    static constexpr std::size_t kShards = 64;  // several times the threads that synchronise at once

    // keys of one object, such as a map that is a cache: a clock of each takes some 100 bytes
    static constexpr std::size_t kMostKeys = stress::shrunk<std::size_t>(1 << 16, 4);

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

    struct Keys {
        std::unordered_map<SyncKey, MessageClock> of;
        Clock others;  // of all keys that have no clock of their own

        /// The key's clock, made if there is none.
        MessageClock& at(SyncKey key) {
            if (of.size() == kMostKeys && !of.contains(key)) {
                for (const auto& [each, message] : of) others.join(message.clock);
                of.clear();
            }
            auto [place, fresh] = of.try_emplace(key);
            if (fresh) place->second.clock = others;
            return place->second;
        }
    };

    /// Permits that one thread gave at once.
    struct Permits {
        Clock clock;
        Epoch giver;
        std::size_t count;
    };

    struct State {
        Clock clock;
        std::unique_ptr<Keys> keys;
        std::unique_ptr<std::deque<Permits>> permits;
        std::unique_ptr<HandOvers> handed_over;
    };

    struct alignas(kCacheLine) Shard {
        std::mutex mutex;
        std::unordered_map<Sync, State> states;
    };

    Shard& shard_of(Sync sync) { return shards_[probe::mixed(sync) % kShards]; }

    /// The object's state, made if there is none.
    State& state_of(Shard& shard, Sync sync) {
        auto [place, fresh] = shard.states.try_emplace(sync);
        if (fresh) filter_.add(sync, ObjectFilter::kOrder);
        return place->second;
    }

    static std::deque<Permits>& permits_of(State& state, std::size_t initial) {
        if (!state.permits) {
            state.permits = std::make_unique<std::deque<Permits>>();
            if (initial > 0) state.permits->push_back({Clock{}, Epoch{}, initial});
        }
        return *state.permits;
    }

    ObjectFilter& filter_;
    std::array<Shard, kShards> shards_;
};

}  // namespace threadproof::race
