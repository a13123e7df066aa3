/// The entries of a map in a resizable table of buckets, and the steps on all of them. HashMap is built on
/// it, and so can be any other map that keeps its entries in this way. Operations on one key are in the
/// derived class.
///
/// How it works. An operation that changes a key is inside a WriterSection of the gate. A step on the whole
/// map (clear, drain, snapshot) quiesces it for some microseconds: it closes the gate, waits for the writers
/// inside, acts, and opens the gate. Everything that takes time is done before or after: a snapshot copies
/// beside the writers (snapshot.hpp), and detached entries belong to the thread that detached them.
///
/// Invariants
///  1. The entries are in `tables_`, whose invariants are in resize.hpp and buckets.hpp.
///  2. count_ is the number of keys that readers see, at every instant with no change under way.
///  3. A bucket with entries has the map's parity, except while a snapshot is open and has not saved it.
///  4. No policy code that can run a user's code (equal, release) runs with a lock held, inside a Pin or
///     inside a WriterSection.
///
/// Field          | written                     | read                            | guard
/// ---------------|-----------------------------|---------------------------------|-----------------
/// tables_        | see resize.hpp              |                                 |
/// snapshots_     | with the map quiesced       | inside a WriterSection          | the gate
/// count_, gate_  | see count.hpp, gate.hpp     |                                 |
/// lock_waits_    | relaxed                     | relaxed: a metric               | none
/// lock order     | whole_ -> the gate's; whole_ -> one bucket -> (shrinking: its target, only tried) ->
///                | Snapshot::lock
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

#include "core/base/hints.hpp"
#include "core/base/reclaim.hpp"
#include "core/base/stress.hpp"
#include "core/maps/hash_map/private_table.hpp"
#include "core/maps/hash_map/resize.hpp"
#include "core/maps/map_base.hpp"
#include "core/maps/snapshot.hpp"

namespace threadproof {

template <class P>
class BucketMap : public MapBase<P> {
    using Base = MapBase<P>;
    friend class ResizableTable<P>;

 protected:
    using Base::require, Base::visible;
    using typename Base::Gate, typename Base::Guard, typename Base::Quiesce, typename Base::WriterSection;
    using Chains = BucketChains<P>;
    using Table = typename Chains::Table;
    using Bucket = typename Chains::Bucket;
    using Cursor = typename Chains::Cursor;
    using Snapshots = SnapshotSlot<P>;

 public:
    using Tables = ResizableTable<P>;
    using Base::release_all;
    using typename Base::Entries, typename Base::Entry, typename Base::TakenEntry, typename Base::Walk;
    using Detached = Table*;  ///< a chain of tables taken out of the map by detach()

    /// Throws bad_alloc.
    explicit BucketMap(std::uint64_t secret) : tables_(secret, lock_waits_) {}

    BucketMap(const BucketMap&) = delete;
    BucketMap& operator=(const BucketMap&) = delete;

    /// The number of keys at one instant within this call.
    std::int64_t size() { return Base::exact(count_, gate_); }

    /// Detaches all entries in one atomic step and leaves an empty map. The caller owns the result, and
    /// passes it to take_all() and then retire(). `allowed(count)` decides, with the map quiesced: if it
    /// returns false, the result is null and nothing has changed. Throws bad_alloc, with nothing changed.
    template <class Allowed>
    Detached detach(Allowed allowed) {
        std::lock_guard one_at_a_time(whole_);
        Table* fresh = tables_.make_first();
        Quiesce quiesce(gate_);
        std::int64_t count = 0;
        count_.try_read(&count);
        if (!allowed(count)) {
            fresh->free_now();
            return nullptr;
        }
        stress::reach(stress::Window::kGateClosed);
        CountChange gone(count_.stripe(0), -count);
        return tables_.detach(fresh);
    }

    /// Takes every entry out of detached tables and passes it, with the references of its slot, to
    /// sink(TakenEntry), outside all locks. The key's reference has to be released by release_key().
    template <class Sink>
    void take_all(Detached detached, Sink sink) {
        each_some(detached, [&](const typename Chains::Some& some) {
            for (const auto& entry : some) sink(entry);
        });
    }

    void retire(Detached detached) {
        while (detached) {
            Table* next = detached->next.load(std::memory_order_acquire);
            detached->retire();
            detached = next;
        }
    }

    /// Removes everything in one atomic step. The old entries are released afterwards, by this thread.
    void clear() { Base::clear(*this); }

    /// All entries as they were at one instant, each retained for the caller. Writers continue meanwhile: one
    /// that changes a bucket that is not saved saves it first. Throws bad_alloc, with nothing retained.
    Entries snapshot() {
        return snapshots_.take(
            gate_, whole_, [&](auto&) { forget_stale_snapshot(); }, [&] { tables_.chains.flip_parity(); },
            [&] { tables_.each_home([&](Table& table, Bucket& home) { before_change(table, home); }); });
    }

    /// Copies the next buckets with entries into `batch`, each retained for the caller, until those are at least
    /// `wanted`; false at the end. A key that is present throughout an iteration is seen exactly once, and none is
    /// seen twice. Throws bad_alloc, with nothing retained.
    bool next_batch(Walk& walk, std::vector<Entry>& batch, std::size_t wanted = 1) {
        unsigned ahead = 0;
        return Base::next_batch(walk, batch, wanted, [&](Walk& next, std::vector<Entry>& out) {
            const std::uint64_t from = next.position;
            Guard guard;
            if (ahead == 0) {
                ahead = buckets_for(wanted - out.size());
                tables_.prefetch_walk(next, ahead);
            }
            --ahead;
            typename Tables::LockedAt home(tables_, next);
            // A bucket can be wider than the remaining positions: the tables may be resized during an
            // iteration.
            Chains::copy_chain(*home.table, *home.bucket, out, [&](std::uint64_t hash) {
                if (TP_LIKELY(home.whole)) return true;
                std::uint64_t position = tables_.placement().position(hash);
                return position >= from && (next.done || position < next.position);
            });
            stress::reach(stress::Window::kIterateBatch);
        });
    }

    /// Releases a key's reference that a slot had. A key that a pinned reader may still be comparing waits
    /// for that reader.
    static void release_key(Word key) {
        if (P::kThreads && P::deferred(key)) Reclaimer::retire(Retired{key, P::release}, P::weight(key));
        else P::release(key);
    }

    /// Makes room for `count` keys now, so that no insert up to there starts a resize. Throws bad_alloc;
    /// nothing has changed.
    void reserve(std::uint64_t count) {
        const unsigned bits = Tables::bits_for(count);
        resize_until([&](Table* root) {
            if (root->bits() >= bits) return true;
            if (!tables_.resize(root, bits)) throw std::bad_alloc();
            return false;
        });
        tables_.set_reserved_bits(bits);
    }

    // ---- many keys at once

    using Filled = PrivateTable<P>;

    /// A table for that many keys, to be filled and published. Throws bad_alloc.
    auto make_private(std::uint64_t count) { return Filled(tables_, count); }

    /// Makes a filled table the map's content, in one atomic step, if the map has no keys and allowed() is
    /// true: it is called with the map quiesced, and answers for reservations of keys without a value, which
    /// would be detached as by clear(). False, and nothing has changed, if not.
    template <class Allowed>
    bool publish(Filled& filled, Allowed allowed) {
        stress::reach(stress::Window::kFilled);
        Detached before;
        {
            std::lock_guard one_at_a_time(whole_);  // no snapshot is open, and the parity stays
            if (filled.parity() != tables_.chains.parity())
                Tables::each_home_of(filled.table(),
                                     [&](Table&, Bucket& home) { tables_.chains.set_parity(home); });
            Quiesce quiesce(gate_);
            std::int64_t count = 0;
            count_.try_read(&count);
            if (count != 0 || !allowed()) return false;
            stress::reach(stress::Window::kGateClosed);
            CountChange come(count_.stripe(0), filled.count());
            before = tables_.exchange(filled.release());
            stress::reach(stress::Window::kChanged);
        }
        Base::release_detached(*this, before);
        return true;
    }

    /// Starts one resize for so many keys that are about to be stored, if they alone need a larger table and
    /// no resize is under way; returns whether it has. Does not wait.
    bool expect(std::uint64_t count) {
        return start_resize([&](Table* root) { return std::max(root->bits(), Tables::bits_for(count)); });
    }

    /// Gives back the room of a table that has turned out to be too large for its keys.
    void trim() {
        if (!start_resize([&](Table* root) { return tables_.bits_if_sparse(root, estimate()); })) return;
        try {
            resize_until([](Table*) { return true; });
        } catch (const std::bad_alloc&) {  // writers move the rest when there is memory again
        }
    }

    /// Calls visit(key, value) for every entry, reservations included, with no lock, until that returns
    /// something but 0. No thread may be changing the map: for a garbage collector that has stopped the
    /// world.
    template <class Visit>
    int visit_stopped(Visit visit) {
        int stop = 0;
        Tables::each_home_of(tables_.root(), [&](Table& table, Bucket& home) {
            Chains::each_slot(table, home, [&](Bucket&, int, Word key, Word value) {
                if (!stop) stop = visit(key, value);
            });
        });
        return stop;
    }

    /// Releases all entries of a map that no other thread uses any more: for its destruction. The code that
    /// runs here must not use the map.
    void release_contents() {
        each_some(tables_.root(), [&](const typename Chains::Some& some) {
            CountChange gone(count_.stripe(0), -some.visible_count());
            for (const Entry& entry : some) {
                release_key(entry.key);
                P::release(entry.value);
            }
        });
    }

    struct Stats {
        std::int64_t size;
        std::uint64_t buckets, capacity, overflow_buckets, longest_chain, resizes, moved_buckets, bytes,
            lock_waits;
        bool resizing;
    };

    /// Takes constant time, except for the longest chain, which is searched for in at most 1,024 buckets.
    Stats stats() {
        Stats s{};
        s.size = size();
        Guard guard;
        Table* root = tables_.root();
        Table* next = root->next.load(std::memory_order_acquire);
        s.buckets = root->size();
        s.capacity = Tables::capacity(root->bits());
        s.overflow_buckets = root->spare_used();
        s.bytes = sizeof(*this) + root->bytes();
        s.resizing = next != nullptr;
        if (next) {
            s.moved_buckets = root->moved.load(std::memory_order_relaxed);  // relaxed from here on: metrics
            s.overflow_buckets += next->spare_used();
            s.bytes += next->bytes();
        }
        s.resizes = tables_.resizes();
        s.lock_waits = lock_waits_.load(std::memory_order_relaxed);
        s.longest_chain = Tables::longest_chain(*root);
        return s;
    }

    /// Asserts the invariants; no thread may be changing the map. Throws logic_error naming the broken one.
    void check() {
        forget_stale_snapshot();
        Base::check_at_rest(count_, gate_, tables_.check());
        require(!snapshots_.any(), "no whole-map step is under way");
    }

 protected:
    /// No thread may be using the map, and release_contents() has emptied it.
    ~BucketMap() = default;

    // ---- as a Host of tables_

    /// Saves a bucket for the open snapshot, if there is one that has not got it; under the bucket's lock,
    /// before any change.
    TP_HOT void before_change(Table& table, Bucket& home) {
        if (auto* snapshot = snapshots_.any(); TP_UNLIKELY(snapshot != nullptr)) save(*snapshot, table, home);
    }

    /// About how many keys there are.
    std::uint64_t estimate() const {
        return static_cast<std::uint64_t>(std::max<std::int64_t>(count_.estimate(), 0));
    }

    /// This map as the Host of its tables.
    TP_HOT BucketMap& host() { return *this; }

    // ---- changing one slot: inside a WriterSection, and under the lock of the home (Tables::Locked)

    /// The work that a change leaves for after its WriterSection.
    struct DeferredCleanup {
        Table* emptied = nullptr;  ///< unlinked: only threads pinned before can be in it
        Word key = 0;              ///< removed; its slot's reference
    };

    /// Outside the WriterSection.
    TP_HOT void dispose(DeferredCleanup& cleanup) {
        if (TP_UNLIKELY(cleanup.emptied != nullptr)) cleanup.emptied->retire();
        if (cleanup.key) release_key(cleanup.key);
        Reclaimer::poll();
    }

    /// Replaces the value at the cursor by `next`, or removes the key if `next` is 0. The reference to
    /// `current` goes to the caller.
    TP_HOT void overwrite_or_remove(Cursor& at, Word current, Word next, DeferredCleanup& cleanup) {
        before_change(*at.table, *at.home);
        int by = visible(next) - visible(current);
        if (TP_LIKELY(next && by == 0)) {
            // release: pairs with the acquire in take(); makes the object visible
            at.bucket->value[at.slot].store(next, std::memory_order_release);
            return;
        }
        CountChange counted(stripe(), by);
        if (next) {
            at.bucket->value[at.slot].store(next, std::memory_order_release);  // as above
        } else {
            cleanup.key = at.key;
            tables_.chains.vacate(*at.home, *at.bucket, at.slot);
        }
        stress::reach(stress::Window::kChanged);
    }

    struct Inserted {
        Bucket* bucket;  ///< null: there was no memory
        int slot;
    };

    /// Adds a key to the chain. (The result comes in registers; a place for it would be an argument too many.)
    Inserted insert(Table& table, Bucket& home, typename Base::Lookup lookup, Word value,
                    SlotData<P> data = {}) {
        int slot = 0;
        before_change(table, home);
        Bucket* bucket = Chains::free_slot(table, home, &slot);
        if (!bucket) return {nullptr, 0};
        fill_slot(home, *bucket, slot, lookup, value, data);
        return {bucket, slot};
    }

    /// Vacates a slot whose value readers see, if `by` is -1.
    TP_HOT void empty_slot(Bucket& home, Bucket& bucket, int slot, int by) {
        CountChange counted(stripe(), by);
        tables_.chains.vacate(home, bucket, slot);
        stress::reach(stress::Window::kChanged);
    }

    /// Publishes a key in a free slot of a chain that an open snapshot has saved.
    TP_HOT void fill_slot(Bucket& home, Bucket& bucket, int slot, typename Base::Lookup lookup, Word value,
                          SlotData<P> data = {}) {
        CountChange counted(stripe(), visible(value));
        bucket.data.set(slot, data);
        tables_.chains.publish(home, bucket, slot, lookup.hash, P::key_to_store(lookup), value);
        stress::reach(stress::Window::kChanged);
    }

    /// After the lock is released: by = 1 if readers see one key more, -1 if they see one less.
    void consider_resize(Table* table, int by) { tables_.consider_resize(host(), table, by, stripe()); }

 private:
    /// About how many buckets have so many entries.
    static unsigned buckets_for(std::size_t entries) {
        return static_cast<unsigned>(std::min<std::size_t>(entries / 4 + 1, Tables::kAhead));
    }

    StripedCount::Stripe& stripe() { return count_.stripe(Base::my_stripe()); }

    /// Starts a resize to bits(root), if that is another size, there is memory for it, and no resize is under way.
    template <class Bits>
    bool start_resize(Bits bits) {
        WriterSection section(gate_);
        Table* root = tables_.root();
        // acquire: pairs with the release in resize()
        if (root->next.load(std::memory_order_acquire)) return false;
        const unsigned wanted = bits(root);
        return wanted != root->bits() && tables_.resize(root, wanted);
    }

    /// Moves buckets until no resize is under way and done(root) is true, which may start one. Throws bad_alloc
    /// when there is no memory to move a bucket.
    template <class Done>
    void resize_until(Done done) {
        std::uint64_t failed = 0;  // rounds since a bucket was moved
        for (unsigned round = 0;; ++round) {
            Table* emptied = nullptr;
            bool wait = false;
            {
                WriterSection section(gate_);
                Table* root = tables_.root();
                // acquire, both: pair with the release in resize()
                if (!root->next.load(std::memory_order_acquire) && done(root)) break;
                // relaxed, both: only whether it has changed
                std::uint64_t moved = root->moved.load(std::memory_order_relaxed);
                // for the thread that makes the next table, or that makes it the root
                wait = !root->next.load(std::memory_order_acquire) || moved == root->size();
                if (!wait) {
                    emptied = tables_.help(*this, root, 0);
                    failed = root->moved.load(std::memory_order_relaxed) == moved ? failed + 1 : 0;
                    if (failed > root->size()) throw std::bad_alloc();  // every bucket has been tried since
                }
            }
            if (emptied) emptied->retire();
            Reclaimer::poll();
            if (wait) pause_round(round);
        }
    }

    TP_COLD void save(typename Snapshots::Snapshot& snapshot, Table& table, Bucket& home) {
        if (snapshot.stale() || tables_.chains.has_parity(home)) return;
        // not pause_round(): a thread that holds a bucket must not release the interpreter
        while (!snapshot.lock.try_lock()) sched_yield();
        try {
            Chains::copy_chain(table, home, snapshot.entries, [](std::uint64_t) { return true; });
        } catch (const std::bad_alloc&) {
            snapshot.failed = true;  // the snapshot fails, the writer does not
        }
        snapshot.lock.unlock();
        tables_.chains.set_parity(home);
    }

    /// In a child process: closes a snapshot that the parent had open at the fork, and gives all buckets the
    /// map's parity.
    void forget_stale_snapshot() {
        if (snapshots_.forget_stale())
            tables_.each_home([&](Table&, Bucket& home) { tables_.chains.set_parity(home); });
    }

    /// Takes all entries out of a chain of tables, some at a time, and passes them to sink(some).
    template <class Sink>
    void each_some(Table* chain, Sink sink) {
        typename Chains::Some some;
        Tables::each_home_of(chain, [&](Table& table, Bucket& home) {
            // relaxed: no writer is left; 0: there has never been an entry
            if (home.meta.load(std::memory_order_relaxed) == 0) return;
            while (take_some(table, home, some)) sink(some);
        });
    }

    bool take_some(Table& table, Bucket& home, typename Chains::Some& some) {
        tables_.lock(home.lock);
        bool taken = tables_.chains.take_some(table, home, some);
        home.lock.unlock();
        return taken;
    }

 protected:
    // Read by every call, and written by few: together, and apart from what is written often.
    alignas(kNoSharing) Tables tables_;
    Gate gate_;
    Snapshots snapshots_;

    alignas(kNoSharing) StripedCount count_;

 private:
    PatientLock whole_;  ///< one clear, drain or snapshot at a time
    std::atomic<std::uint64_t> lock_waits_{0};
};

}  // namespace threadproof
