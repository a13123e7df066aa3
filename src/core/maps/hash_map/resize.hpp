/// A table of buckets that grows and shrinks while threads use it.
///
/// A resize adds a second table, root -> next, and the writers share the work: each moves the bucket of its
/// own key and a few more. A moved bucket stays as it is, for readers that came before; a thread that arrives
/// at one continues in the next table. When the last bucket has moved, the next table becomes the root, and
/// the old one is retired once no reader can be in it.
///
/// Where a key is: position.hpp gives a hash one position, and every table gives a position one home bucket.
/// So growing splits a bucket and shrinking merges some, and an iteration only needs to know its position.
///
/// Invariants
///  1. A key is in at most one slot of all tables. Its home is Table::home(hash) of the first table of the
///     chain root -> next whose bucket for that hash is not moved.
///  2. A moved home never changes again, except that the thread that has detached its table empties it.
///  3. At most one resize is under way: root.next is set once, and root is replaced only when all its buckets
///     have moved.
///  4. A thread never waits for one bucket's lock while it holds another's.
///
/// Field          | written                                | read            | guard
/// ---------------|----------------------------------------|-----------------|-------------------------
/// root_          | release, by the mover of the last      | acquire         | that bucket's lock; for
///                | bucket, or by detach()                 |                 | detach() the gate
/// placement_     | when made                              | plain           | never changes
/// ids_           | relaxed                                | by the addition | none: only has to be new
/// reserved_bits_ | relaxed                                | relaxed: a hint | none
/// cleared_bits_  | relaxed, by detach()                   | relaxed: a hint | none
/// resizes_, lock_waits_ | relaxed                         | relaxed: metric | none
///
/// The map around it is its Host, which has two functions:
///
///     before_change(table, home)   called under a home's lock before its entries move or others join them
///     estimate()                   about how many keys there are
///
/// Ancestors: papaya and java.util.concurrent.ConcurrentHashMap (incremental moves).
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <utility>

#include "core/base/count.hpp"
#include "core/base/hints.hpp"
#include "core/base/reclaim.hpp"
#include "core/base/stress.hpp"
#include "core/maps/hash_map/buckets.hpp"
#include "core/maps/hash_map/position.hpp"
#include "core/maps/hash_map/table.hpp"

namespace threadproof {

template <class P>
class ResizableTable : MapBase<P> {
    using Base = MapBase<P>;
    using Base::require;
    using typename Base::Alone, typename Base::Guard, typename Base::Lock;

 public:
    using typename Base::Walk;
    using Chains = BucketChains<P>;
    using Table = typename Chains::Table;
    using Bucket = typename Chains::Bucket;
    using Cursor = typename Chains::Cursor;

    // Keys per bucket, on average, before the table grows: the slots of a bucket. Then 4 in 10 chains have a
    // second bucket, with a sixth of the keys (Poisson), and a table of n keys takes about as many bytes as a
    // dict's.
    static constexpr unsigned kLoad = Bucket::kSlots;
    // Tables of less than 2^7 buckets, which are 16 KiB, grow by a factor of 4: another copy of a table would
    // cost more than the memory.
    static constexpr unsigned kSmall = 7;
    // Shrink below one key per 4 buckets, to 1/8 of the table, which then has 2 keys per bucket. So a map of
    // about one size does not grow and shrink in turn. Emptying a map visits few more buckets than it has.
    static constexpr unsigned kSparse = 4, kShrinkBits = 3;
    // 2^5 buckets are one page: there is nothing to give back below.
    static constexpr unsigned kNotWorth = stress::shrunk(5u, 0u);
    // Further buckets that a writer moves: a table is moved after 1/9 of a write per bucket, and filling the
    // next table takes 5 writes per bucket.
    static constexpr unsigned kHelp = stress::shrunk(8u, 1u);
    // 2 buckets hold 10 keys before they grow; the smallest dict holds 5.
    static constexpr unsigned kFirstBits = stress::shrunk(1u, 0u);
    // Writers that collide get room: up to 8 buckets a key, and up to 2^12 buckets, which are half a MiB.
    static constexpr unsigned kRoom = 8, kRoomiest = 12;
    // Each observed collision implies thousands of transfers of a cache line between cores
    // (docs/decisions.md), so a few collisions justify resizing a table this small.
    static constexpr unsigned kCollisions = stress::shrunk(4u, 1u);
    // A table of at most 2^7 buckets, of 640 keys, moves at once, in some 10 us: that costs less than sharing it out.
    static constexpr std::size_t kAtOnce = stress::shrunk(std::size_t{1} << 7, std::size_t{0});
    // Changes of a stripe between two checks of the load: a check reads 12 cache lines.
    static constexpr unsigned kLookEvery = stress::shrunk(16u, 1u);
    // Bits that a table grows by after a clear: the copies of all steps are a fifteenth of the keys then. Not after it
    // has shrunk: one peak would then have each later one take room for 16 times the keys.
    static constexpr unsigned kAfterClear = 4;
    // No table has more buckets than addresses allow.
    static constexpr unsigned kMostBits = 40;

    /// How many keys 2^bits buckets hold before they grow.
    static std::uint64_t capacity(unsigned bits) { return kLoad * (std::uint64_t{1} << bits); }

    static unsigned bits_for(std::uint64_t count) {
        unsigned bits = kFirstBits;
        while (capacity(bits) < count && bits < kMostBits) ++bits;
        return bits;
    }

    /// `lock_waits` counts how often a thread waits for a bucket's lock. It belongs to the map, which keeps
    /// it away from the fields that every call reads. Throws bad_alloc.
    ResizableTable(std::uint64_t secret, std::atomic<std::uint64_t>& lock_waits)
        : placement_(secret), lock_waits_(lock_waits) {
        root_.store(make_first(), std::memory_order_relaxed);  // relaxed: no other thread has the map yet
    }
    /// No thread is using the map, and its entries have been released.
    ~ResizableTable() {
        for (Table* table = root_.load(std::memory_order_relaxed); table;) {
            Table* next = table->next.load(std::memory_order_relaxed);
            table->free_now();
            table = next;
        }
    }
    ResizableTable(const ResizableTable&) = delete;
    ResizableTable& operator=(const ResizableTable&) = delete;

    // ---- arriving at the bucket of a key

    TP_HOT Table* root() const {
        // acquire: pairs with the release of the mover of the last bucket, and with detach()
        return root_.load(std::memory_order_acquire);
    }

    /// Finds the bucket in which a hash has its home now; pinned.
    TP_HOT void arrive(Cursor& at, std::uint64_t hash) const {
        at.table = root();
        for (;;) {
            at.home = &at.table->home(hash);
            // acquire: pairs with the release in publish(); makes the hashes of that version visible
            at.meta = at.home->meta.load(std::memory_order_acquire);
            if (TP_LIKELY(!(at.meta & kMoved))) break;
            at.table = at.table->next.load(std::memory_order_acquire);  // acquire: pairs with resize()
        }
        at.bucket = at.home;
        at.slot = 0;
    }

    /// Holds the lock of the home bucket of a hash, in the table where that is now. Helps a resize meanwhile.
    /// If this moves the last bucket of a table, the table goes to *emptied, for the caller to retire.
    class Locked {
     public:
        template <class Host>
        TP_HOT Locked(Host& host, ResizableTable& tables, Cursor& at, std::uint64_t hash, Table** emptied)
            : at_(at) {
            Table* table = tables.root();
            if (TP_UNLIKELY(table->next.load(std::memory_order_acquire) != nullptr)) {
                *emptied = tables.help(host, table, hash);
                table = tables.root();
            }
            for (;;) {
                at.home = &table->home(hash);
                if (TP_UNLIKELY(!at.home->lock.try_lock())) tables.collide(host, table, at.home->lock);
                at.meta = at.home->meta.load(std::memory_order_relaxed);  // relaxed: the lock guards it
                if (TP_LIKELY(!(at.meta & kMoved))) break;
                at.home->lock.unlock();
                table = table->next.load(std::memory_order_acquire);
                table->home(hash).touch();
            }
            at.table = table;
            at.bucket = at.home;
            at.slot = 0;
        }
        TP_HOT ~Locked() { at_.home->lock.unlock(); }
        Locked(const Locked&) = delete;
        Locked& operator=(const Locked&) = delete;

     private:
        Cursor& at_;
    };

    /// Holds the lock of the bucket that owns the walk's position, and passes the positions that this bucket
    /// owns. Pinned.
    class LockedAt {
     public:
        LockedAt(ResizableTable& tables, Walk& walk) {
            table = tables.root();
            unsigned bits = table->bits();
            for (;;) {
                bucket = &table->at_position(walk.position);
                tables.lock(bucket->lock);
                // relaxed: the lock guards it
                if (TP_LIKELY(!(bucket->meta.load(std::memory_order_relaxed) & kMoved))) break;
                bucket->lock.unlock();
                table = table->next.load(std::memory_order_acquire);
                bits = table->bits() > bits ? table->bits() : bits;
            }
            whole = bits == table->bits() && walk.position << bits == 0;
            walk.pass(bits);  // to the first position behind the finest bucket on the way
        }
        ~LockedAt() { bucket->lock.unlock(); }
        LockedAt(const LockedAt&) = delete;
        LockedAt& operator=(const LockedAt&) = delete;

        Table* table;
        Bucket* bucket;
        bool whole;  ///< the positions passed are those of the bucket: all its keys are in them
    };

    /// Calls visit(table, home) for each home bucket in turn, under its lock. Every key of the map is in one
    /// of them meanwhile.
    template <class Visit>
    void each_home(Visit visit) {
        unsigned ahead = 0;
        for (Walk walk; !walk.done; --ahead) {
            Guard guard;
            if (ahead == 0) prefetch_walk(walk, ahead = kAhead);
            LockedAt home(*this, walk);
            visit(*home.table, *home.bucket);
        }
    }

    static constexpr unsigned kAhead = 16;  // about as many cache misses as a core can keep outstanding
    static constexpr unsigned kCached =
        stress::shrunk(13u, 1u);  // less than 2^13 buckets fit a second-level cache

    /// Passes empty buckets, with no lock; pinned. A key that is there throughout is not passed: it stays in its slot
    /// until its bucket is moved, and a chain's further buckets are not passed.
    void skip_empty(Walk& walk) const {
        Table* table = root();
        const unsigned bits = table->bits();
        for (unsigned i = 0; i < kPassed && !walk.done; ++i, walk.pass(bits)) {
            Bucket& bucket = table->at_position(walk.position);
            // acquire: as in arrive()
            if (bucket.meta.load(std::memory_order_acquire) & (kMoved | kChained) || bucket.any_key()) return;
            if (bits >= kCached) Chains::prefetch(bucket_ahead(table, walk.position, kAhead));
            stress::reach(stress::Window::kIterateBatch);
        }
    }
    static constexpr unsigned kPassed =
        1024;  // in one pin, during which no memory is freed: some microseconds

    /// Prefetches the buckets that a walk comes to next, and the objects in them; pinned. In a large table they
    /// lie far apart, and the processor does not foresee them.
    void prefetch_walk(const Walk& walk, unsigned count) const {
        Table* table = root();
        if (table->bits() < kCached) return;
        for (unsigned i = 0; i < count; ++i) Chains::prefetch(bucket_ahead(table, walk.position, i));
        for (unsigned i = 0; i < count; ++i) Chains::prefetch_objects(bucket_ahead(table, walk.position, i));
    }

    /// Takes a lock, and counts whether it had to wait.
    TP_HOT void lock(Lock& mutex) {
        if (TP_LIKELY(mutex.try_lock())) return;
        lock_waits_.fetch_add(1, std::memory_order_relaxed);  // relaxed: only a metric
        mutex.lock();
    }

    // ---- resizing

    /// After a key has come (by = 1) or gone (-1): resizes a table that is too full or too empty. `mine` is
    /// the caller's stripe of the count. It checks only once in several changes, which is enough, because the
    /// next check finds what this one has missed.
    template <class Host>
    TP_HOT void consider_resize(Host& host, Table* table, int by, const StripedCount::Stripe& mine) {
        // relaxed: a hint
        std::uint64_t changes = (by > 0 ? mine.added : mine.removed).load(std::memory_order_relaxed);
        if (TP_LIKELY(table->size() >= 4 * kLookEvery && changes % kLookEvery)) return;
        check_load(host, table, by, changes);
    }

    /// Resizes a table that is too full or too empty, but smaller tables after fewer changes: as many as a
    /// twentieth of the keys.
    template <class Host>
    TP_APART void check_load(Host& host, Table* table, int by, std::uint64_t changes) {
        std::uint64_t size = table->size();
        if (changes & (std::clamp<std::uint64_t>(size / 4, 1, kLookEvery) - 1)) return;
        std::uint64_t count = host.estimate();
        bool full = count > capacity(table->bits()) || (count > size && table->crowded());
        if (by > 0 && full) grow(table);
        if (by < 0 && count < size / kSparse && table->bits() > least_bits())
            resize(table, std::max(least_bits(), table->bits() - std::min(kShrinkBits, table->bits())));
    }

    /// To the size of next_larger_now(), or to the next one if there is no memory for that.
    void grow(Table* table) {
        const unsigned least = next_larger(table->bits()), bits = next_larger_now(table->bits());
        if (!resize(table, bits) && bits > least) resize(table, least);
    }

    /// The size, in bits, that suits so many keys in this table; its own if it is not too sparse.
    unsigned bits_if_sparse(Table* table, std::uint64_t count) {
        if (count >= table->size() / kSparse) return table->bits();
        return std::min(table->bits(), std::max(least_bits(), bits_for(count)));
    }

    /// Starts moving to a table of 2^bits buckets, unless a resize is under way or another thread is making
    /// the table for one. False when there is no memory: the map then works on with longer chains, and tries
    /// again later. `at_once`: as many keys as it holds are about to come. Pinned.
    bool resize(Table* table, unsigned bits, bool at_once = false) {
        // acquire: pairs with the release below, of a thread that had no memory
        if (root() != table || table->resizing.exchange(true, std::memory_order_acquire)) return true;
        Table* next = make(bits);
        if (!next) {
            table->resizing.store(false, std::memory_order_release);
            return false;
        }
        if (at_once) next->use_large_pages();
        resizes_.fetch_add(1, std::memory_order_relaxed);
        // release: pairs with the acquire in arrive(); publishes the new table
        table->next.store(next, std::memory_order_release);
        return true;
    }

    /// Moves the bucket of the hash and kHelp more. Returns the table if that has moved its last bucket: the
    /// table is unlinked, and the caller retires it.
    template <class Host>
    TP_APART Table* help(Host& host, Table* table, std::uint64_t hash) {
        Table& next = *table->next.load(std::memory_order_acquire);  // acquire: pairs with resize()
        const Alone alone;
        const bool unlocked{alone};
        bool last = move(host, *table, next, table->index(table->home(hash)), unlocked);
        const std::size_t size = table->size(), most = size <= kAtOnce ? size : kHelp;
        // Relaxed: it only shares out the work. It counts round and round, so that a bucket that a thread
        // took and could not move is tried again.
        std::uint64_t first = table->cursor.fetch_add(most, std::memory_order_relaxed);
        for (unsigned i = 0; i < kHelp; ++i) prefetch_move(*table, next, (first + i) & (size - 1));
        for (std::size_t i = 0; i < most; ++i)
            last |= move(host, *table, next, (first + i) & (size - 1), unlocked);
        return last ? table : nullptr;
    }

    /// The size, in bits, of a table that has become too full. After a clear it grows in fewer steps up to the size
    /// from before: by 16, so that a map that gets few keys this time has little room for nothing.
    unsigned next_larger_now(unsigned bits) const {
        const unsigned before = cleared_bits_.load(std::memory_order_relaxed);
        return std::max(next_larger(bits), std::min(before, bits + kAfterClear));
    }

    /// From now on a table of at least that many bits is not shrunk below. Relaxed: a hint.
    void set_reserved_bits(unsigned bits) { reserved_bits_.store(bits, std::memory_order_relaxed); }
    /// The same, if fewer are reserved now.
    void reserve_bits(unsigned bits) {
        unsigned least = reserved_bits_.load(std::memory_order_relaxed);
        while (least < bits
               && !reserved_bits_.compare_exchange_weak(least, bits, std::memory_order_relaxed)) {
        }
    }

    // ---- all tables at once

    /// A table to begin with. Throws bad_alloc.
    Table* make_first() {
        Table* first = make(kFirstBits);
        if (!first) throw std::bad_alloc();
        return first;
    }

    /// A table for that many keys that only the caller can reach. Throws bad_alloc.
    Table* make_private(std::uint64_t count) {
        Table* table = make(std::max(bits_for(count), reserved_bits_.load(std::memory_order_relaxed)));
        if (!table) throw std::bad_alloc();
        table->use_large_pages();
        return table;
    }

    /// Puts another table in the place of all; returns the chain of the old ones. The map is quiesced.
    Table* detach(Table* first) {
        reserved_bits_.store(0, std::memory_order_relaxed);
        cleared_bits_.store(root()->bits(), std::memory_order_relaxed);
        return exchange(first);
    }
    /// The same, and what was reserved stays reserved.
    Table* exchange(Table* first) {
        // release: publishes the new table; acquire: makes the content of the old ones visible
        return root_.exchange(first, std::memory_order_acq_rel);
    }

    /// Calls visit(table, home) for every home bucket of a chain of tables that has not moved, with no lock.
    /// The chain is detached, or no thread is changing it.
    template <class Visit>
    static void each_home_of(Table* chain, Visit visit) {
        for (Table* table = chain; table; table = table->next.load(std::memory_order_acquire))
            for (std::size_t i = 0; i < table->size(); ++i)
                if (!(table->at(i).meta.load(std::memory_order_relaxed) & kMoved))
                    visit(*table, table->at(i));
    }

    // ---- metrics and checks

    std::uint64_t resizes() const { return resizes_.load(std::memory_order_relaxed); }

    /// Of at most 1,024 chains, evenly spread.
    static std::uint64_t longest_chain(Table& table) {
        std::uint64_t longest = 0, step = std::max<std::uint64_t>(1, table.size() / 1024);
        for (std::uint64_t i = 0; i < table.size(); i += step)
            longest = std::max(longest, Chains::length(table, table.at(i)));
        return longest;
    }

    /// Asserts the invariants of tables that no thread is changing; returns how many keys readers see.
    std::int64_t check() {
        std::int64_t seen = 0;
        for (Table* table = root(); table; table = table->next.load(std::memory_order_acquire)) {
            std::uint64_t moved = 0;
            for (std::size_t i = 0; i < table->size(); ++i) {
                if (table->at(i).meta.load(std::memory_order_relaxed) & kMoved) ++moved;
                else seen += check_home(*table, table->at(i));
            }
            require(moved == table->moved.load(std::memory_order_relaxed), "moved buckets are counted");
            require(moved == 0 || table->next.load(std::memory_order_relaxed),
                    "a moved bucket has a next table");
            require(moved < table->size(), "a table whose buckets have all moved is unlinked");
        }
        return seen;
    }

    Chains chains;  ///< the operations on one chain, with the map's parity

    const Placement& placement() const { return placement_; }

 private:
    /// Null when there is no memory.
    Table* make(unsigned bits) {
        std::uint64_t id = ids_.fetch_add(1, std::memory_order_relaxed) + 1;
        return Table::make(bits, placement_.multiplier(), id);
    }

    /// No table shrinks below that.
    unsigned least_bits() const {
        return std::max({kFirstBits, kNotWorth, reserved_bits_.load(std::memory_order_relaxed)});
    }

    static unsigned next_larger(unsigned bits) { return bits + (bits < kSmall ? 2 : 1); }

    /// lock(), for a writer of a key that finds another writer in its bucket.
    template <class Host>
    TP_COLD void collide(Host& host, Table* table, Lock& mutex) {
        std::uint64_t count = table->collisions.fetch_add(1, std::memory_order_relaxed) + 1;  // a hint
        if (count % kCollisions == 0) spread(host, table);
        lock(mutex);
    }

    /// Gives a small table more buckets than its keys need, so that its writers collide less. It keeps them
    /// until it is cleared.
    template <class Host>
    void spread(Host& host, Table* table) {
        unsigned bits = next_larger(table->bits());
        if (bits > kRoomiest || std::uint64_t{1} << bits > kRoom * host.estimate()) return;
        reserve_bits(bits);
        resize(table, bits);
    }

    /// The bucket `count` buckets behind that of a position; beyond the last one: the first.
    static Bucket& bucket_ahead(Table* table, std::uint64_t position, std::uint64_t count) {
        return table->at_position(position + (count << (64 - table->bits())));
    }

    /// Prefetches a bucket, and the two that it goes to where the table doubles.
    static void prefetch_move(Table& from, Table& to, std::size_t index) {
        Chains::prefetch(from.at(index));
        if (to.bits() != from.bits() + 1 || from.bits() < kLineBits) return;
        const std::size_t first = finer_index(index);
        Chains::prefetch_to_write(to.at(first));
        Chains::prefetch_to_write(to.at(first + kLineMask + 1));
    }

    /// Moves one bucket's entries to the next table, if that has not been done and there is memory for it.
    /// True if it was the last bucket: the next table is the root now. `alone`: the thread is, and needs no lock.
    template <class Host>
    bool move(Host& host, Table& from, Table& to, std::size_t index, bool alone) {
        Bucket& home = from.at(index);
        // relaxed: read again under the lock
        if (home.meta.load(std::memory_order_relaxed) & kMoved) return false;
        // Growing, the targets can be reached only through this bucket and need no lock. Shrinking, keys of
        // other buckets may be in use in the target already.
        Bucket* target =
            to.bits() < from.bits() ? &to.at(coarser_index(index, from.bits(), to.bits())) : nullptr;
        if (!alone) lock_both(home, target);
        bool last = false;
        if (!(home.meta.load(std::memory_order_relaxed) & kMoved)) {  // relaxed: the lock guards it
            host.before_change(from, home);
            if (target) host.before_change(to, *target);
            if (copy_entries(from, to, home, alone || !target)) {
                stress::reach(stress::Window::kMigrateCopied);
                // relaxed: the lock guards it. release: pairs with the acquire in arrive(); publishes the copies
                home.meta.store(home.meta.load(std::memory_order_relaxed) | kMoved,
                                std::memory_order_release);
                // Counted under the lock: nothing can come between a move and its count, not even a fork.
                // acq_rel: the last mover sees all the other moves, and root_ publishes them.
                last = count_move(from, alone) == from.size();
                if (last) {
                    stress::reach(stress::Window::kMigrated);
                    root_.store(&to, std::memory_order_release);  // release: pairs with root()
                }
            }
        }
        if (alone) return last;
        home.lock.unlock();
        if (target) target->lock.unlock();
        return last;
    }

    static std::uint64_t count_move(Table& table, bool alone) {
        if (!alone) return table.moved.fetch_add(1, std::memory_order_acq_rel) + 1;
        std::uint64_t moved = table.moved.load(std::memory_order_relaxed) + 1;
        table.moved.store(moved, std::memory_order_relaxed);  // relaxed: the end of Alone publishes it
        return moved;
    }

    /// Locks both without waiting for one while it holds the other: a thread that waits can be stopped there,
    /// by a collection or a fork, and must then hold nothing.
    void lock_both(Bucket& home, Bucket* target) {
        lock(home.lock);
        if (!target) return;
        target->touch();
        for (Bucket *held = &home, *wanted = target; !wanted->lock.try_lock(); std::swap(held, wanted)) {
            held->lock.unlock();
            lock(wanted->lock);
        }
    }

    /// `unreached`: no other thread can reach the targets now.
    bool copy_entries(Table& from, Table& to, Bucket& home, bool unreached) {
        for (Bucket* bucket = &home; bucket; bucket = from.after(*bucket)) {
            for (int i = 0; i < Bucket::kSlots; ++i) {
                // relaxed, all: the lock guards them
                Word key = bucket->key[i].load(std::memory_order_relaxed);
                if (!key) continue;
                std::uint64_t hash = bucket->hash[i].load(std::memory_order_relaxed);
                Bucket& target = to.home(hash);
                if (unreached) target.touch_unreached();
                int slot;
                Bucket* place = Chains::free_slot(to, target, &slot);
                if (!place) {
                    take_back(from, to, home, bucket, i);
                    return false;
                }
                stress::reach(stress::Window::kMigrateCopying);
                bucket->data.move_to(place->data, i, slot);
                chains.publish(target, *place, slot, hash, key,
                               bucket->value[i].load(std::memory_order_relaxed));
            }
        }
        return true;
    }

    /// Undoes copy_entries() up to a slot. No other thread has seen the copies: their keys are still looked
    /// for in `from`.
    void take_back(Table& from, Table& to, Bucket& home, const Bucket* end, int end_slot) {
        for (Bucket* bucket = &home;; bucket = from.after(*bucket)) {
            for (int i = 0; i < Bucket::kSlots; ++i) {
                if (bucket == end && i == end_slot) return;
                // relaxed, all: the locks guard them
                Word key = bucket->key[i].load(std::memory_order_relaxed);
                if (!key) continue;
                Cursor copy;
                copy.table = &to;
                copy.home = copy.bucket = &to.home(bucket->hash[i].load(std::memory_order_relaxed));
                if (Chains::seek_exact(copy, key, bucket->value[i].load(std::memory_order_relaxed)))
                    chains.vacate(*copy.home, *copy.bucket, copy.slot);
            }
        }
    }

    std::int64_t check_home(Table& table, Bucket& home) {
        Chains::each_slot(table, home, [&](Bucket& bucket, int slot, Word, Word) {
            std::uint64_t hash = bucket.hash[slot].load(std::memory_order_relaxed);
            require(&table.at_position(placement_.position(hash)) == &home,
                    "a home owns its keys' positions");
        });
        return chains.check(table, home);
    }

    std::atomic<Table*> root_{nullptr};
    const Placement placement_;
    std::atomic<std::uint64_t>& lock_waits_;
    std::atomic<std::uint64_t> ids_{0}, resizes_{0};
    std::atomic<unsigned> reserved_bits_{0}, cleared_bits_{0};
};

}  // namespace threadproof
