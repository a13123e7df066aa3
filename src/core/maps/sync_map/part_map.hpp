/// The cells of a SyncMap, how one of them is read, and the steps on all of them. Operations on one key are
/// in map.hpp, which also has the algorithm and the invariants.
///
/// Field          | written                     | read                     | guard
/// ---------------|-----------------------------|--------------------------|-----------------
/// parts_         | see parts.hpp               |                          |
/// snapshots_     | with the map quiesced       | inside a WriterSection   | the gate
/// hits_          | see thread_counts.hpp       |                          |
/// count_, gate_  | see count.hpp, gate.hpp     |                          |
/// number_        | plain                       | plain                    | whole_
/// lock order     | whole_ -> the gate's -> mutex
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

#include "core/maps/map_base.hpp"
#include "core/maps/snapshot.hpp"
#include "core/maps/sync_map/parts.hpp"
#include "core/maps/sync_map/thread_counts.hpp"

namespace threadproof {

template <class P>
class PartMap : public MapBase<P> {
    using Base = MapBase<P>;

 protected:
    using Base::is_reservation, Base::require, Base::visible;
    using typename Base::Gate, typename Base::Guard, typename Base::Quiesce, typename Base::WriterSection;
    using Cell = SyncCell;
    using Table = SyncTable;
    using Part = SyncPart;
    using Directory = SyncDirectory;
    using Parts = SyncParts<P>;
    using PartView = typename Parts::PartView;
    using Snapshots = SnapshotSlot<P>;

 public:
    using Base::release_all;
    using typename Base::Entries, typename Base::Entry, typename Base::TakenEntry, typename Base::Walk;
    using Detached = Directory*;  ///< the parts taken out of the map by detach()

    /// Throws bad_alloc.
    explicit PartMap(std::uint64_t secret) : parts_(secret) {}

    PartMap(const PartMap&) = delete;
    PartMap& operator=(const PartMap&) = delete;

    /// The number of keys at one instant within this call.
    std::int64_t size() { return Base::exact(count_, gate_); }

    /// Detaches all entries in one atomic step and leaves an empty map. The caller owns the result, and
    /// passes it to take_all() and then retire(). `allowed(count)` decides, with the map quiesced: if it
    /// returns false, the result is null and nothing has changed. Throws bad_alloc, with nothing changed.
    template <class Allowed>
    Detached detach(Allowed allowed) {
        std::lock_guard one_at_a_time(whole_);
        Directory* fresh = Directory::first();
        if (!fresh) throw std::bad_alloc();
        Quiesce quiesce(gate_);
        std::lock_guard hold(parts_.mutex);  // readers promote too, and do not pass the gate
        std::int64_t count = 0;
        count_.try_read(&count);
        if (!allowed(count)) {
            fresh->each(Part::free_with_tables);
            Directory::free(as_word(fresh));
            return nullptr;
        }
        stress::reach(stress::Window::kGateClosed);
        CountChange gone(count_.stripe(0), -count);
        return parts_.replace_all(fresh);
    }

    /// Takes every entry out of detached parts and passes it, with references to key and value, to
    /// sink(TakenEntry), outside all locks. The key's reference has to be released by release_key().
    template <class Sink>
    void take_all(Detached detached, Sink sink) {
        detached->each([&](Part& part) {
            Parts::each_cell(part, [&](std::uint64_t hash, Cell& cell) {
                // Readers may still be looking at it. acq_rel: pairs with the acquire in read_cell(), and
                // with the release of the writer that stored the value.
                Word value = cell.value.exchange(kExpunged, std::memory_order_acq_rel);
                if (value) {
                    P::retain(cell.key);
                    sink(TakenEntry{{cell.key, value}, hash});
                }
                Parts::retire_cell(&cell);
            });
        });
    }

    void retire(Detached detached) {
        if (!detached) return;
        detached->each([&](Part& part) {
            parts_.retire(part.view_now().table_now());
            if (part.dirty) parts_.retire(part.dirty);
            parts_.retire(&part);
        });
        parts_.retire(detached);
    }

    /// Releases a key's reference from take_all(). The cell has its own, for readers that may be comparing
    /// it.
    static void release_key(Word key) { P::release(key); }

    /// Removes everything in one atomic step. The old entries are released afterwards, by this thread.
    void clear() { Base::clear(*this); }

    /// All entries as they were at one instant, each retained for the caller. Writers continue meanwhile: one
    /// that changes a part that is not saved saves it first. Throws bad_alloc, with nothing retained.
    Entries snapshot() {
        return snapshots_.take(
            gate_, whole_, [&](auto& snapshot) { snapshot.number = ++number_; }, [] {},
            [&] {
                for (Walk walk; !walk.done;) {
                    std::lock_guard hold(parts_.mutex);
                    Part& part = *parts_.root_now()->part(walk.position);
                    save(part);
                    walk.pass(part.depth);
                }
            });
    }

    /// Copies the entries of the next part that has some into `batch`, each retained for the caller; false at
    /// the end. A key that is there throughout an iteration is seen exactly once, and none is seen twice.
    /// kDeletedToo: with the keys of deleted cells, and 0 for their values. Releases references that it took for
    /// nothing, which can run any code. Throws bad_alloc, with nothing retained.
    template <bool kDeletedToo = false>
    bool next_batch(Walk& walk, std::vector<Entry>& batch) {
        return Base::next_batch(walk, batch, 1, [&](Walk& next, std::vector<Entry>& out) {
            try {
                copy_part<kDeletedToo>(next, out);
            } catch (const std::bad_alloc&) {
                release_some(out, [](const Entry&) { return true; });
                throw;
            }
            release_some(out, [](const Entry& entry) { return entry.key == 0; });  // see copy_cell()
        });
    }

    /// The same, but runs no code of a user's: a reference that was taken for nothing is the value of an entry
    /// without a key. Throws bad_alloc; the caller owns what is in the batch then, and has to drop it.
    template <bool kDeletedToo>
    bool next_raw_batch(Walk& walk, std::vector<Entry>& batch) {
        return Base::next_batch(
            walk, batch, 1, [&](Walk& next, std::vector<Entry>& out) { copy_part<kDeletedToo>(next, out); });
    }

    /// Calls visit(key, value) for every cell, deleted ones and reservations included, with no lock, until
    /// that returns something but 0. No thread may be changing the map: for a garbage collector that has
    /// stopped the world.
    template <class Visit>
    int visit_stopped(Visit visit) {
        int stop = 0;
        parts_.root_now()->each([&](Part& part) {
            Parts::each_cell(part, [&](std::uint64_t, Cell& cell) {
                // relaxed: the world is stopped
                if (!stop) stop = visit(cell.key, cell.value.load(std::memory_order_relaxed));
            });
        });
        return stop;
    }

    /// Releases the values of a map that no other thread uses any more: for its destruction. The code that
    /// runs here must not use the map.
    void release_contents() {
        parts_.root_now()->each([&](Part& part) {
            Parts::each_cell(part, [&](std::uint64_t, Cell& cell) {
                Word value = cell.value.exchange(0, std::memory_order_acq_rel);
                if (!value) return;
                {
                    CountChange gone(stripe(), -visible(value));
                }
                P::release(value);
            });
        });
    }

    struct Stats {
        std::int64_t size;
        std::uint64_t hits, misses, promotions, splits, read_cells, dirty_cells, amended, parts, expunged,
            last_ns, worst_ns, bytes;
    };

    /// Takes constant time, and the mutex.
    Stats stats() {
        Stats s{};
        s.size = size();
        s.hits = hits_.sum();
        std::lock_guard hold(parts_.mutex);
        s.misses = parts_.sums.misses;
        s.promotions = parts_.sums.promotions;
        s.splits = parts_.sums.splits;
        s.read_cells = parts_.sums.cells - parts_.sums.dirty;
        s.dirty_cells = parts_.sums.dirty;
        s.amended = parts_.sums.amended;
        s.parts = parts_.sums.parts;
        s.expunged = parts_.sums.expunged;
        s.last_ns = parts_.sums.last_ns;
        s.worst_ns = parts_.sums.worst_ns;
        s.bytes = sizeof(*this) + hits_.bytes() + parts_.sums.bytes + parts_.sums.cells * Parts::kCellBytes;
        return s;
    }

    /// Asserts the invariants; no thread may be changing the map. Throws logic_error naming the broken one.
    void check() {
        Base::check_at_rest(count_, gate_, parts_.check());
        require(!snapshots_.current(), "no whole-map step is under way");
    }

 protected:
    /// No thread may be using the map.
    ~PartMap() { release_contents(); }

    // ---- reading one cell, pinned

    /// The result of one attempt to read. kReleaseValue: try again, but first release the value, whose
    /// reference turned out to be useless. kDirty: the key can only be in the dirty table. kAsk: only the
    /// user's comparison can decide.
    enum class Step : std::uint8_t { kHit, kMiss, kRetry, kReleaseValue, kDirty, kAsk };

    /// Retains a cell's value, if it is wanted (kTake) or a reservation. An expunged cell is kMiss like a
    /// deleted one: the key had no value when its view was replaced, which was after the reader came.
    template <bool kTake>
    TP_HOT static Step read_cell(const Cell& cell, Word* value) {
        stress::reach(stress::Window::kReadMatched);
        // acquire: pairs with the release of the writer that stored the value; makes the object visible
        Word word = cell.value.load(std::memory_order_acquire);
        if (TP_UNLIKELY(!live(word))) return Step::kMiss;
        if (!kTake && !is_reservation(word)) return Step::kHit;
        stress::reach(stress::Window::kReadLoaded);
        if (TP_UNLIKELY(!P::try_retain(word)))
            return Step::kRetry;  // it has died, so it is not here any more
        *value = word;
        stress::reach(stress::Window::kReadHeld);
        // Retained, so its address is not another value's: if it is still here, it is this cell's value.
        return TP_LIKELY(cell.value.load(std::memory_order_acquire) == word) ? Step::kHit
                                                                             : Step::kReleaseValue;
    }

    /// Retains a cell's key; false if the cell is expunged. A key that match() does not read is freed
    /// together with its cell, so it may be dying, or its address may be another key's: then the reference is
    /// useless.
    static bool retain_key(const Cell& cell, Word* key) {
        if (!P::try_retain(cell.key)) return false;
        *key = cell.key;
        // acquire: pairs with the release in expunge(), after which the key goes
        return !(cell.value.load(std::memory_order_acquire) & kExpunged);
    }

    TP_HOT void count_hit() { hits_.add(Base::my_stripe()); }

    StripedCount::Stripe& stripe() { return count_.stripe(Base::my_stripe()); }

    // ---- saving for a snapshot

    /// Whether values in the part may be changed without the mutex.
    TP_HOT bool saved(const Part& part) const {
        auto* snapshot = snapshots_.current();
        // acquire: pairs with the release in save(), after which others change the part
        return TP_LIKELY(!snapshot) || part.saved.load(std::memory_order_acquire) == snapshot->number;
    }

    /// Saves a part for the open snapshot, if there is one that has not got it. Under the mutex: until the
    /// part is marked as saved no thread changes a value in it, so each value can be retained as it is.
    void save(Part& part) {
        if (TP_LIKELY(saved(part))) return;
        auto& snapshot = *snapshots_.current();
        try {
            Parts::each_cell(part, [&](std::uint64_t, Cell& cell) {
                Word value = cell.value.load(std::memory_order_acquire);  // acquire: as in read_cell()
                if (is_reservation(value)) value = P::old_value(value);
                if (!value) return;
                snapshot.entries.push_back({cell.key, value});
                P::retain(cell.key);
                P::retain(value);
            });
        } catch (const std::bad_alloc&) {
            snapshot.failed = true;  // the snapshot fails, the writer does not
        }
        // release: pairs with the acquire in saved(); the copy comes before later changes
        part.saved.store(snapshot.number, std::memory_order_release);
    }

 private:
    // ---- iterating

    template <bool kDeletedToo>
    void copy_part(Walk& walk, std::vector<Entry>& batch) {
        {
            Guard guard;
            copy_next<kDeletedToo>(walk, batch);
        }
        stress::reach(stress::Window::kIterateBatch);
    }

    /// Copies the part at the walk's position, pinned.
    template <bool kDeletedToo>
    void copy_next(Walk& walk, std::vector<Entry>& batch) {
        const std::uint64_t from = walk.position;
        auto copy = [&](std::uint64_t hash, Cell& cell) {
            if (parts_.spread(hash) >= from) copy_cell<kDeletedToo>(cell, batch);
        };
        for (;;) {
            PartView at = parts_.arrive_at(from);
            if (at.view.amended()) {
                std::lock_guard hold(parts_.mutex);
                if (!parts_.current(at, from)) continue;
                Parts::each_cell(*at.part, copy);
            } else {
                at.view.table().each(copy);
            }
            return walk.pass(at.part->depth);
        }
    }

    /// References that turned out to be useless cannot be released here, pinned: they go into the batch as
    /// entries without a key.
    template <bool kDeletedToo>
    void copy_cell(Cell& cell, std::vector<Entry>& batch) {
        for (;;) {
            // first: it can throw
            if (batch.capacity() - batch.size() < 3) batch.reserve(2 * batch.size() + 3);
            Word value = 0, key = 0;
            Step step = read_cell<true>(cell, &value);
            Word seen = step == Step::kHit && is_reservation(value) ? P::old_value(value) : value;
            if (seen && seen != value) P::retain(seen);
            if (seen != value) batch.push_back({0, value});  // the reservation
            bool again = step == Step::kReleaseValue || step == Step::kRetry;
            bool wanted = !again && (seen || (kDeletedToo && !value)) && retain_key(cell, &key);
            if (!wanted && key) batch.push_back({0, key});
            batch.push_back({wanted ? key : 0, seen});
            if (!again) return;
        }
    }

    /// Releases the unwanted entries; each owns its references.
    template <class Unwanted>
    static void release_some(std::vector<Entry>& entries, Unwanted unwanted) {
        for (const Entry& entry : entries) {
            if (!unwanted(entry)) continue;
            if (entry.key) P::release(entry.key);
            if (entry.value) P::release(entry.value);
        }
        std::erase_if(entries, unwanted);
    }

 protected:
    Parts parts_;

    // Read by every call, and written by few.
    alignas(kApart) Gate gate_;
    Snapshots snapshots_;

 private:
    ThreadCounts hits_;

 protected:
    alignas(kApart) StripedCount count_;

 private:
    alignas(kApart) std::uint64_t number_ = 0;  ///< of the last snapshot
    PatientLock whole_;                         ///< one clear, drain or snapshot at a time
};

}  // namespace threadproof
