/// The shards of a LockedMap, and the steps on all of them. Operations on one key are in map.hpp, which also has
/// the invariants.
///
/// A step on the whole map holds the locks of all shards, in their order, so two of them cannot wait for each
/// other. It allocates memory before that, and releases references and memory afterwards.
///
/// Field                      | written                | read                      | guard
/// ---------------------------|------------------------|---------------------------|-------------------
/// shards_, spread_, sharing_ | when made              | plain                     | none
/// shard.table, .size,        | plain, by its holder   | plain, by its holder, or  | shard.lock
/// .changes                   |                        | beside other readers      |
/// shard.contended            | relaxed                | relaxed: a metric         | none
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#include "core/maps/hash_map/position.hpp"
#include "core/maps/locked_map/lock.hpp"
#include "core/maps/locked_map/table.hpp"
#include "core/maps/map_base.hpp"

namespace threadproof {

template <class P>
class ShardMap : public MapBase<P> {
    using Base = MapBase<P>;

 protected:
    using Base::is_reservation, Base::require, Base::visible;
    using Table = LockedTable;
    using Slot = Table::Entry;

 public:
    using Base::release_all;
    using typename Base::Entry, typename Base::TakenEntry;
    using Entries = std::vector<Entry>;
    using Detached = Table*;  ///< the tables taken out of the map by detach()

    /// The position of an iteration: in the shard of its first bits, it has passed the entries whose numbers are
    /// smaller than the rest. All zeroes is the beginning.
    struct Walk {
        std::uint64_t position = 0;
        std::uint64_t end = 0;  ///< entries of the shard from this number on are newer; 0: not asked yet
        bool done = false;
    };

    /// A map of 2^shard_bits tables. `sharing`: with reader-writer locks instead of mutexes. Throws bad_alloc.
    explicit ShardMap(std::uint64_t secret, unsigned shard_bits = 0, bool sharing = false)
        : spread_{Placement(secret).multiplier(), shard_bits}, sharing_(sharing), shards_(make_shards()) {}

    ShardMap(const ShardMap&) = delete;
    ShardMap& operator=(const ShardMap&) = delete;

    /// The number of keys at one instant within this call.
    std::int64_t size() {
        AllShared hold(*this);
        return sum();
    }

    /// Detaches all entries in one atomic step and leaves an empty map. The caller owns the result, and
    /// passes it to take_all() and then retire(). `allowed(count)` decides, with the map held: if it returns
    /// false, the result is null and nothing has changed. Throws bad_alloc, with nothing changed.
    template <class Allowed>
    Detached detach(Allowed allowed) {
        auto taken = std::make_unique<Table[]>(count());
        AllExclusive hold(*this);
        if (!allowed(sum())) return nullptr;
        stress::reach(stress::Window::kGateClosed);
        for (std::size_t i = 0; i < count(); ++i) shards_[i].table.move_to(taken[i]);
        each_shard([](Shard& shard) { shard.size = 0, ++shard.changes; });
        return taken.release();
    }

    /// Passes every entry of detached tables to sink(TakenEntry), with the references of the map.
    template <class Sink>
    void take_all(Detached detached, Sink sink) {
        for (std::size_t i = 0; i < count(); ++i)
            for (const Slot& slot : detached[i])
                if (slot.key) sink(TakenEntry{{slot.key, slot.value}, slot.hash});
    }

    void retire(Detached detached) { delete[] detached; }

    /// Releases a key's reference from take_all().
    static void release_key(Word key) { P::release(key); }

    /// Removes everything in one atomic step, which takes the same time at any size. The old entries are
    /// released afterwards, by this thread.
    void clear() { Base::clear(*this); }

    /// All entries as they were at one instant, each retained for the caller. Writers wait. Throws bad_alloc,
    /// with nothing retained.
    Entries snapshot() {
        Entries entries;
        for (std::size_t room = 16;;
             room += room / 8 + 16) {  // more may come before all locks are held again
            entries.reserve(room);
            AllShared hold(*this);
            room = static_cast<std::size_t>(sum());
            if (room > entries.capacity()) continue;
            each_shard([&](Shard& shard) {
                for (const Slot& slot : shard.table) prefetch_behind(shard, slot), copy(slot, entries);
            });
            return entries;
        }
    }

    /// Copies the next entries of a shard into `batch`, each retained for the caller, at most `wanted`; false at
    /// the end. A key that is there throughout an iteration is seen exactly once, and none is seen twice. Throws
    /// bad_alloc, with nothing retained.
    bool next_batch(Walk& walk, std::vector<Entry>& batch, std::size_t wanted = 1) {
        batch.clear();
        batch.reserve(wanted);
        while (!walk.done && batch.empty()) copy_some(walk, batch, wanted);
        stress::reach(stress::Window::kIterateBatch);
        return !batch.empty();
    }

    /// Calls visit(key, value) for every entry, reservations included, with no lock, until that returns
    /// something but 0. No thread may be changing the map: for a garbage collector that has stopped the
    /// world.
    template <class Visit>
    int visit_stopped(Visit visit) {
        int stop = 0;
        each_shard([&](Shard& shard) {
            for (const Slot& slot : shard.table)
                if (slot.key && !stop) stop = visit(slot.key, slot.value);
        });
        return stop;
    }

    /// Releases all entries of a map that no other thread uses any more: for its destruction. The code that
    /// runs here must not use the map.
    void release_contents() {
        each_shard([](Shard& shard) {
            Table taken;
            shard.table.move_to(taken);
            shard.size = 0, ++shard.changes;
            for (const Slot& slot : taken) {
                if (!slot.key) continue;
                P::release(slot.key);
                P::release(slot.value);
            }
        });
    }

    struct Stats {
        std::vector<std::int64_t> sizes;  ///< of the shards
        std::uint64_t contended, bytes;
    };

    /// Throws bad_alloc.
    Stats stats() {
        Stats s{std::vector<std::int64_t>(count()), 0, sizeof(*this) + count() * sizeof(Shard)};
        AllShared hold(*this);
        for (std::size_t i = 0; i < count(); ++i) {
            s.sizes[i] = shards_[i].size;
            s.contended += shards_[i].contended.load(std::memory_order_relaxed);  // relaxed: a metric
            s.bytes += shards_[i].table.bytes();
        }
        return s;
    }

    /// Asserts the invariants; no thread may be changing the map. Throws logic_error naming the broken one.
    void check() {
        for (std::size_t i = 0; i < count(); ++i) {
            Shard& shard = shards_[i];
            require(shard.lock.free(), "no thread holds a lock");
            require(shard.table.check(), "cells and entries fit together");
            std::int64_t seen = 0;
            for (const Slot& slot : shard.table) {
                if (!slot.key) continue;
                require(spread_.shard(slot.hash) == i, "an entry lies in its shard");
                require(slot.value, "an entry has a value, or a reservation");
                seen += visible(slot.value);
            }
            require(seen == shard.size, "the size is the number of keys that readers see");
        }
    }

 protected:
    /// No thread may be using the map, and release_contents() has emptied it.
    ~ShardMap() = default;

    using Lock = std::conditional_t<P::kThreads, TableLock, NoTableLock>;

    struct alignas(kNoSharing) Shard {
        Lock lock;
        std::int64_t size = 0;      ///< keys that readers see
        std::uint64_t changes = 1;  ///< counts what moves entries or cells, or makes others of them
        Table table;
        std::atomic<std::uint64_t> contended{0};
    };

    /// Holds a shard, to change it.
    class Exclusive {
     public:
        TP_HOT explicit Exclusive(Shard& shard) : shard_(shard) {
            if (TP_UNLIKELY(shard.lock.lock())) note_wait(shard);
        }
        TP_HOT ~Exclusive() { shard_.lock.unlock(); }
        Exclusive(const Exclusive&) = delete;
        Exclusive& operator=(const Exclusive&) = delete;

     private:
        Shard& shard_;
    };

    /// Holds a shard, to read it: beside other readers if the map has reader-writer locks.
    class Shared {
     public:
        TP_HOT Shared(Shard& shard, bool sharing) : shard_(shard), sharing_(sharing) {
            if (TP_UNLIKELY(sharing ? shard.lock.lock_shared() : shard.lock.lock())) note_wait(shard);
        }
        TP_HOT ~Shared() { sharing_ ? shard_.lock.unlock_shared() : shard_.lock.unlock(); }
        Shared(const Shared&) = delete;
        Shared& operator=(const Shared&) = delete;

     private:
        Shard& shard_;
        const bool sharing_;
    };

    TP_HOT Shard& shard_of(std::uint64_t hash) { return shards_[spread_.shard(hash)]; }
    TP_HOT bool sharing() const { return sharing_; }

    /// The value that readers see, for the holder of the shard, or 0.
    TP_HOT static Word seen(Word value) {
        return TP_LIKELY(!is_reservation(value)) ? value : P::old_value(value);
    }

 private:
    TP_COLD static void note_wait(Shard& shard) {
        shard.contended.fetch_add(1, std::memory_order_relaxed);  // relaxed: a metric
    }

    /// Holds all shards.
    template <bool kShared>
    class All {
     public:
        explicit All(ShardMap& map) : map_(map) {
            map_.each_shard([&](Shard& shard) {
                if (shared() ? shard.lock.lock_shared() : shard.lock.lock()) note_wait(shard);
            });
        }
        ~All() {
            map_.each_shard(
                [&](Shard& shard) { shared() ? shard.lock.unlock_shared() : shard.lock.unlock(); });
        }
        All(const All&) = delete;
        All& operator=(const All&) = delete;

     private:
        bool shared() const { return kShared && map_.sharing_; }
        ShardMap& map_;
    };
    using AllShared = All<true>;
    using AllExclusive = All<false>;

    std::unique_ptr<Shard[]> make_shards() const {
        auto shards = std::make_unique<Shard[]>(count());
        for (std::size_t i = 0; i < count(); ++i) shards[i].table.spread_by(spread_);
        return shards;
    }

    std::size_t count() const { return std::size_t{1} << spread_.shard_bits; }

    template <class Visit>
    void each_shard(Visit visit) {
        for (std::size_t i = 0; i < count(); ++i) visit(shards_[i]);
    }

    std::int64_t sum() {
        std::int64_t sum = 0;
        each_shard([&](Shard& shard) { sum += shard.size; });
        return sum;
    }

    /// Key and value of a later entry, whose references are about to be counted: in other shards than those of
    /// its neighbours in memory, each would be a cache miss. 8 entries later: a miss takes as long as copying them.
    TP_HOT static void prefetch_behind(const Shard& shard, const Slot& slot) {
        const Slot* later = &slot + 8;
        if (later >= shard.table.end()) return;
        P::prefetch(later->key, later->value);
        P::prefetch(0, later->key);
    }

    static void copy(const Slot& slot, std::vector<Entry>& entries) {
        Word value = slot.key ? seen(slot.value) : 0;
        if (!value) return;
        P::retain(slot.key);
        P::retain(value);
        entries.push_back({slot.key, value});  // there is room
    }

    // ---- iterating

    unsigned number_bits() const { return 64 - spread_.shard_bits; }
    std::uint64_t position(std::size_t shard, std::uint64_t number) const {
        return shard << 1 << (number_bits() - 1) | number;
    }

    /// Copies entries of the walk's shard, as many as are wanted, and passes them.
    void copy_some(Walk& walk, std::vector<Entry>& batch, std::size_t wanted) {
        const std::size_t index = walk.position >> 1 >> (number_bits() - 1);
        const std::uint64_t number = walk.position & ~position(~std::size_t{0}, 0);
        Shard& shard = shards_[index];
        Shared hold(shard, sharing_);
        if (!walk.end) walk.end = shard.table.next_number();
        for (const Slot* slot = shard.table.from(number); slot != shard.table.end(); ++slot) {
            if (slot->number >= walk.end) break;
            if (batch.size() == wanted) return;
            prefetch_behind(shard, *slot);
            copy(*slot, batch);
            walk.position = position(index, slot->number + 1);
        }
        walk.position = position(index + 1, 0);
        walk.end = 0;
        walk.done = index + 1 == count();
    }

    // Read by every call, and never written.
    const Spread spread_;
    const bool sharing_;
    const std::unique_ptr<Shard[]> shards_;
};

}  // namespace threadproof
