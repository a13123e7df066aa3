/// A concurrent map after Go's sync.Map: what is in the read table is read and written with no lock; new keys
/// go to a dirty table under a mutex, until they have been missed often enough to be promoted.
///
/// How it works. A cell is a key and a word that is exchanged atomically: its value. The read table finds
/// cells and never changes, so whoever reads, overwrites, removes or brings back a key that is in it takes no
/// lock. A key that is not in it goes to the dirty table, under the mutex, and the view of the read table is
/// marked `amended`: from then on, who misses a key there looks for it in the dirty table, under the mutex,
/// and counts a miss. When there have been as many misses as the dirty table has cells, it is promoted: a new
/// read table gets the cells of both but for the deleted ones, which are expunged.
///
/// Go promotes, and copies, the whole map at once. Here it is made of parts, each with a read and a dirty
/// table of its own; the first bits of a key's spread hash say which is its part, and a part that has grown
/// too big splits in two. So nothing a thread does is longer than a part. The parts share one mutex.
///
/// A cell's value | what it is                  | what that says of the rest
/// ---------------|-----------------------------|----------------------------------------------------------------------------
/// live           | a value or a turn, owned    | the cell is in its part's read table or in its dirty table, and in no other
/// deleted        | 0                           | as live, and no other cell has an equal key: storing here brings the key back
/// expunged       | kExpunged, and a link to    | the cell is in no table that can be reached any more, and its value never
///                | the next one to be freed    | changes again: who meets it has an old view, and looks again for the new one
///
/// Only a deleted cell is expunged, and only by the holder of the mutex.
///
/// Invariants
///  1. An equal key has at most one cell in the tables that can be reached.
///  2. A read table never changes. All else in a part changes only under the mutex, save cells' values and `tombstones`.
///  3. A view is amended if and only if its part has a dirty table.
///  4. A part of depth d has the cells whose spread hashes begin with its d bits, and 2^(bits - d) slots of the directory.
///  5. What is unlinked (cells, tables, parts, directories) outlives the readers that were pinned then; of keys, those that
///     match() looks into.
///  6. No policy code that can run a user's code (equal, drop) runs with the mutex held, inside a Pin or inside a Section.
///  7. While a snapshot is open, nobody changes a value in a part before the part is saved.
///
/// Field             | written                        | read                              | guard
/// ------------------|--------------------------------|-----------------------------------|----------------------
/// root, parts[]     | release                        | acquire                           | mutex; gate to detach
/// part.view         | release                        | acquire                           | mutex
/// cell.value        | acq_rel exchange               | acquire                           | a Section
/// part.dirty, .misses, sums | plain                  | plain                             | mutex
/// part.saved        | release                        | acquire, inside a Section         | mutex
/// part.tombstones, .cells   | relaxed                | relaxed: hints                    | none
/// shot              | release, gate closed           | acquire, inside a Section         | the gate
/// hits              | relaxed, by stripes            | relaxed: a figure                 | none
/// lock order        | whole -> the gate's -> mutex
///
/// Ancestors: Go's sync.Map (sync/map.go until Go 1.23) and, for the parts, extendible hashing (Fagin and others, 1979).
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "core/maps/map_base.hpp"
#include "core/maps/sync_map/parts.hpp"

namespace threadproof {

/// The policy is that of map_base.hpp.
template <class P>
class SyncMap : public MapBase<P> {
    using Base = MapBase<P>;
    using Base::ask, Base::look_behind, Base::require, Base::visible;
    using typename Base::Answers, typename Base::Closed, typename Base::Gate, typename Base::Guard,
        typename Base::Section;
    using Cell = SyncCell;
    using Table = SyncTable;
    using Part = SyncPart;
    using Directory = SyncDirectory;
    using Parts = SyncParts<P>;
    using Spot = typename Parts::Spot;
    using Leftovers = typename Parts::Leftovers;

 public:
    using Base::drop_all, Base::is_turn;
    using typename Base::Entry, typename Base::Probe;
    static constexpr bool kKeepsDeleted = true;
    static constexpr bool kOverwritesLocked = false;
    using Chain = Directory*;           ///< what detach() takes out of a map
    using Entries = std::deque<Entry>;  ///< grows without moving what it holds

    explicit SyncMap(std::uint64_t secret) : parts_(secret) {}

    /// Nobody may be using the map.
    ~SyncMap() { empty(); }

    SyncMap(const SyncMap&) = delete;
    SyncMap& operator=(const SyncMap&) = delete;

    // ---- one key

    /// Takes out a copy of the value: on kPresent *value is held for the caller. Takes no lock but to look
    /// among keys that are not promoted yet. kAbsent, kPresent, kError, kNoMemory.
    TP_HOT Outcome get(const Probe& probe, Word* value) { return read<true>(probe, value); }

    TP_HOT Outcome contains(const Probe& probe) {
        Word value = 0;
        Outcome outcome = read<false>(probe, &value);
        if (TP_UNLIKELY(value != 0)) P::drop(value);  // held to look behind a turn
        return outcome;
    }

    /// get() for several keys; there are no more after an outcome that is an error.
    static constexpr unsigned kGroup = 16;  // as HashMap's, for the binding
    template <class Each>
    void get_group(const Probe* probes, unsigned count, Each each) {
        Outcome outcome = Outcome::kPresent;
        for (unsigned i = 0; i < count && outcome <= Outcome::kPresent; ++i) {
            Word value = 0;
            outcome = get(probes[i], &value);
            each(i, outcome, value);
        }
    }
    void prefetch_group(const Probe*, unsigned) {
    }  // four loads lead to a value, each to where the next one is

    /// The one way to change a key. `decide(current)` gets the value, or 0, and returns the value to have:
    /// `current` to leave it, 0 to remove the key. It runs no user code, and is called again when another
    /// thread was faster. References: the map's to the value that is replaced or removed goes to the caller;
    /// the one to the new value goes to the map. kBusy puts a held turn into *turn.
    template <class Decide>
    TP_HOT Outcome change(const Probe& probe, Decide&& decide, Word* turn = nullptr) {
        Leftovers left;
        Attempt attempt;
        {
            Section section(gate_);
            attempt = try_change(probe, nullptr, decide, turn, left);
        }
        parts_.dispose(left, probe.hash);
        if (TP_LIKELY(attempt < Attempt::kRetry)) return static_cast<Outcome>(attempt);
        return change_slow(probe, decide, turn);
    }

    /// The commonest change in the commonest case: a key of the read table gets another value. False, and
    /// nothing is done, in every other case: then change() it. `next(current)` may be called several times,
    /// runs no user code, and does not look into the current value, which nobody holds; it returns the new
    /// one with a reference for the cell, not the only one, for what is not stored is dropped here. The old
    /// value's reference goes to the caller.
    template <class Next>
    TP_HOT bool overwrite(const Probe& probe, Next next, Word* old) {
        Section section(gate_);
        Spot at = parts_.arrive(probe.hash);
        Cell* cell;
        if (seek(at.view.table(), probe, nullptr, &cell) != Found::kYes || TP_UNLIKELY(!saved(*at.part)))
            return false;
        Word current = cell->value.load(std::memory_order_acquire);  // acquire: pairs with whoever stored it
        for (;;) {
            if (TP_UNLIKELY(!live(current) || is_turn(current))) return false;
            Word fresh = next(current);
            P::open(fresh);
            // release: publishes the value
            if (cell->value.compare_exchange_strong(current, fresh, std::memory_order_acq_rel)) break;
            P::drop(fresh);
        }
        *old = current;
        return true;
    }

    /// Puts `next` in the place of exactly this value (and key, unless 0): an identity, compared with nothing
    /// else. The caller holds it. False when it is no longer there; references as in change(); kNoMemory
    /// cannot happen.
    bool replace_exact(std::uint64_t hash, Word key, Word value, Word next) {
        for (;;) {
            Leftovers left;
            Attempt attempt;
            {
                Section section(gate_);
                attempt = try_replace_exact(hash, key, value, next, left);
            }
            parts_.dispose(left, hash);
            if (attempt != Attempt::kRetry) return attempt == Attempt::kPresent;
        }
    }

    // ---- the whole map

    /// The number of keys at one instant within this call.
    std::int64_t size() { return Base::exact(count_, gate_); }

    /// Detaches all entries in one atomic step and leaves an empty map; the caller owns what it returns and
    /// passes it to take_all() and then retire_chain(). `allowed(count)` has the last word, with the map
    /// stopped: false, and null is returned and nothing has changed. Throws bad_alloc, with nothing changed.
    template <class Allowed>
    Chain detach(Allowed allowed) {
        std::lock_guard whole(whole_);
        Directory* fresh = Directory::first();
        if (!fresh) throw std::bad_alloc();
        Closed closed(gate_);
        std::lock_guard hold(parts_.mutex);  // readers, who promote too, do not pass the gate
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

    /// Takes every entry out of a detached chain and hands it, with its references, to sink(entry), outside
    /// all locks. The key's is to be given up with drop_key().
    template <class Sink>
    void take_all(Chain chain, Sink sink) {
        chain->each([&](Part& part) {
            Parts::each_cell(part, [&](std::uint64_t, Cell& cell) {
                // readers may still be looking at it
                Word value = cell.value.exchange(kExpunged, std::memory_order_acq_rel);
                if (value) {
                    P::hold(cell.key);
                    sink(Entry{cell.key, value});
                }
                Parts::retire_cell(&cell);
            });
        });
    }

    void retire_chain(Chain chain) {
        if (!chain) return;
        chain->each([&](Part& part) {
            parts_.retire(part.view_now().table_now());
            if (part.dirty) parts_.retire(part.dirty);
            parts_.retire(&part);
        });
        parts_.retire(chain);
    }

    /// Removes everything. One atomic step; the old entries are dropped afterwards, by this thread.
    void clear() {
        Chain chain = detach([](std::int64_t) { return true; });
        take_all(chain, [](Entry entry) {
            drop_key(entry.key);
            P::drop(entry.value);
        });
        retire_chain(chain);
    }

    /// For a key's reference from take_all(); the cell has its own, for readers that may be comparing it.
    static void drop_key(Word key) { P::drop(key); }

    /// All entries as they were at one instant, each held for the caller. Writers go on meanwhile: whoever
    /// changes a part that is not saved yet saves it first. Throws bad_alloc, holding nothing.
    Entries snapshot() {
        Entries entries;  // made first: making one can throw, swapping two cannot
        // not on the stack: a forked child keeps the map, but not this thread's stack
        auto shot = std::make_unique<Snapshot>();
        {
            std::lock_guard whole(whole_);
            shot->number = ++shots_;
            {
                Closed closed(gate_);
                shot_.store(shot.get(), std::memory_order_release);
            }
            stress::reach(stress::Window::kSnapshotOpen);
            for (Walk walk; !walk.done;) {
                std::lock_guard hold(parts_.mutex);
                Part& part = *parts_.root_now()->part(walk.position);
                save(part);
                walk.pass(part.depth);
            }
            Closed closed(gate_);
            shot_.store(nullptr, std::memory_order_release);
        }
        entries.swap(shot->entries);
        if (!shot->failed) return entries;
        drop_all(entries);
        throw std::bad_alloc();
    }

    /// How far an iteration has come: every key whose spread hash is below `position` has been seen.
    struct Walk {
        std::uint64_t position = 0;
        bool done = false;

        /// Moves on behind the part of this depth.
        void pass(unsigned depth) {
            position = (position | ~std::uint64_t{0} >> depth) + 1;
            done = position == 0;
        }
    };

    /// Copies the entries of the next part that has some into `batch`, each held for the caller; false at the
    /// end. A key that is there throughout an iteration is seen exactly once, and none is seen twice.
    /// kDeletedToo: with their keys, and 0 for the value. Throws bad_alloc, holding nothing.
    template <bool kDeletedToo = false>
    bool next_batch(Walk& walk, std::vector<Entry>& batch) {
        batch.clear();
        while (batch.empty() && !walk.done) {
            Walk next = walk;
            try {
                Guard guard;
                copy_next<kDeletedToo>(next, batch);
            } catch (const std::bad_alloc&) {
                drop_held(batch, [](const Entry&) { return true; });
                throw;
            }
            stress::reach(stress::Window::kIterateBatch);
            drop_held(batch, [](const Entry& entry) { return entry.key == 0; });  // values held in vain
            walk = next;
        }
        return !batch.empty();
    }

    /// Calls visit(key, value) for every cell, deleted ones and turns included, with no lock. Nobody may be
    /// changing the map: for a garbage collector that has stopped the world.
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

    /// Drops the values of a map that nobody uses any more: what is dropped here must not come back to it.
    /// For its destruction.
    void empty() {
        parts_.root_now()->each([&](Part& part) {
            Parts::each_cell(part, [&](std::uint64_t, Cell& cell) {
                Word value = cell.value.exchange(0, std::memory_order_acq_rel);
                if (!value) return;
                {
                    CountChange gone(stripe(), -visible(value));
                }
                P::drop(value);
            });
        });
    }

    struct Stats {
        std::int64_t size;
        std::uint64_t hits, misses, promotions, splits, read_cells, dirty_cells, amended, parts, expunged,
            last_ns, worst_ns, bytes;
    };

    /// Cheap, whatever the size.
    Stats stats() {
        Stats s{};
        s.size = size();
        for (const Hits& h : hits_) s.hits += h.count.load(std::memory_order_relaxed);  // a figure
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
        s.bytes = sizeof(*this) + parts_.sums.bytes + parts_.sums.cells * Parts::kCellBytes;
        return s;
    }

    /// Asserts the invariants; nobody may be changing the map. Throws logic_error naming the one that does
    /// not hold.
    void check() {
        std::int64_t seen = parts_.check(), count = -1;
        require(count_.try_read(&count), "no change is under way");
        require(count == seen, "len() is the number of keys");
        require(!gate_.closed() && !open_shot(), "no whole-map step is under way");
    }

 private:
    // ---- finding

    /// Holds a cell's key; false if the cell is expunged. A key that match() does not look into goes at once
    /// with its cell, so it may be dying, or its address may be another's: then what is held is held for
    /// nothing.
    static bool hold_key(const Cell& cell, Word* held) {
        if (!P::try_hold(cell.key)) return false;
        *held = cell.key;
        // acquire: pairs with expunge(), after which the key goes
        return !(cell.value.load(std::memory_order_acquire) & kExpunged);
    }

    /// A search that has to ask a user's comparison. It looks, lets go of everything, asks about what it met,
    /// and looks again.
    struct Search {
        const Probe probe;
        Answers answers{};
        std::vector<Word> unknown{}, vain{};  ///< keys to ask about, and what is held for nothing

        explicit Search(const Probe& p) : probe(p) { answers.restart(); }
        ~Search() {
            for (Word key : unknown) P::drop(key);
            for (Word key : vain) P::drop(key);
        }

        /// Whether the cell's key is one to ask about.
        bool note(const Cell& cell) {
            unknown.reserve(unknown.size() + 1);  // first: it can throw
            vain.reserve(vain.size() + 1);
            Word held = 0;
            bool there = hold_key(cell, &held);
            if (held) (there ? unknown : vain).push_back(held);
            return there;
        }

        /// Asks about the keys met, in order, until one is the key looked for. kPresent: look again.
        Outcome ask_all() {
            Outcome outcome = Outcome::kPresent;
            std::size_t asked = 0;
            for (bool found = false; !found && outcome == Outcome::kPresent && asked < unknown.size();
                 ++asked) {
                outcome = ask(unknown[asked], probe, answers);
                found = outcome == Outcome::kPresent && answers.recall(unknown[asked]) == Match::kYes;
            }
            for (; asked < unknown.size(); ++asked) P::drop(unknown[asked]);
            unknown.clear();
            return outcome;
        }
    };

    enum class Found : std::uint8_t { kNo, kYes, kAsk };

    /// Looks for the key in a table. kAsk: only the user's comparison can tell of some keys, which are noted
    /// in `search`.
    TP_HOT Found seek(const Table& table, const Probe& probe, Search* search, Cell** found) const {
        bool unknown = false;
        stress::reach(stress::Window::kReadArrived);
        for (std::uint64_t at = parts_.spread(probe.hash); Cell* cell = table.next(probe.hash, at);) {
            Match match = P::match(cell->key, probe);
            if (TP_UNLIKELY(match == Match::kAsk)) {
                if (!search) return Found::kAsk;
                match = search->answers.recall(cell->key);
                if (match == Match::kAsk) unknown |= search->note(*cell);
            }
            if (match != Match::kYes) continue;
            *found = cell;
            return Found::kYes;
        }
        return unknown ? Found::kAsk : Found::kNo;
    }

    // ---- reading

    /// What one look came to. kDrop: look again, but first drop the value, which is held for nothing.
    enum class Step : std::uint8_t { kHit, kMiss, kRetry, kDrop, kDirty, kAsk };

    template <bool kTake>
    TP_HOT Outcome read(const Probe& probe, Word* value) {
        Step step;
        {
            Guard guard;
            Spot at = parts_.arrive(probe.hash);
            step = look_in_read<kTake>(at, probe, nullptr, value);
        }
        if (TP_UNLIKELY(step > Step::kMiss)) return read_slow<kTake>(step, probe, value);
        count_hit();
        return TP_LIKELY(step == Step::kHit)
                   ? (TP_UNLIKELY(is_turn(*value)) ? look_behind(value) : Outcome::kPresent)
                   : Outcome::kAbsent;
    }

    /// One look at the read table, pinned. What is not in it is in the dirty table, if the view is amended.
    template <bool kTake>
    TP_HOT Step look_in_read(const Spot& at, const Probe& probe, Search* search, Word* value) const {
        Cell* cell;
        switch (seek(at.view.table(), probe, search, &cell)) {
            case Found::kYes: return look_at<kTake>(*cell, value);
            case Found::kNo: return at.view.amended() ? Step::kDirty : Step::kMiss;
            default: return Step::kAsk;
        }
    }

    /// An expunged cell says kMiss like a deleted one: the key had no value when its view was replaced, which
    /// was after we came.
    template <bool kTake>
    TP_HOT Step look_at(const Cell& cell, Word* value) const {
        stress::reach(stress::Window::kReadMatched);
        // acquire: pairs with the release of whoever stored it
        Word word = cell.value.load(std::memory_order_acquire);
        if (TP_UNLIKELY(!live(word))) return Step::kMiss;
        if (!kTake && !is_turn(word)) return Step::kHit;
        stress::reach(stress::Window::kReadLoaded);
        if (TP_UNLIKELY(!P::try_hold(word))) return Step::kRetry;  // it has died, so it is not here any more
        *value = word;
        stress::reach(stress::Window::kReadHeld);
        return TP_LIKELY(cell.value.load(std::memory_order_acquire) == word) ? Step::kHit : Step::kDrop;
    }

    /// Goes on from a look that has not settled the matter.
    template <bool kTake>
    TP_APART Outcome read_slow(Step step, Probe probe, Word* value) try {
        Search search(probe);
        for (;;) {
            if (step == Step::kDrop) P::drop(std::exchange(*value, 0));
            if (step == Step::kAsk) {
                if (Outcome failed = search.ask_all(); failed != Outcome::kPresent) return failed;
            }
            Leftovers left;
            {
                Guard guard;
                Spot at = parts_.arrive(probe.hash);
                step = look_in_read<kTake>(at, probe, &search, value);
                stress::reach(stress::Window::kReadMissed);
                if (step == Step::kDirty) step = look_in_dirty<kTake>(at, search, value, left);
                else if (step <= Step::kMiss) count_hit();
            }
            parts_.dispose(left, probe.hash);
            if (step == Step::kMiss) return Outcome::kAbsent;
            if (step == Step::kHit) return is_turn(*value) ? look_behind(value) : Outcome::kPresent;
        }
    } catch (const std::bad_alloc&) {
        return Outcome::kNoMemory;
    }

    template <bool kTake>
    Step look_in_dirty(const Spot& at, Search& search, Word* value, Leftovers& left) {
        std::lock_guard hold(parts_.mutex);
        if (!parts_.current(at, parts_.spread(search.probe.hash))) return Step::kRetry;
        Cell* cell;
        Found found = seek(*at.part->dirty, search.probe, &search, &cell);
        if (found == Found::kAsk) return Step::kAsk;
        Step step = found == Found::kYes ? look_at<kTake>(*cell, value) : Step::kMiss;
        parts_.count_miss(*at.part, left);
        return step;
    }

    TP_HOT void count_hit() {
        std::atomic<std::uint64_t>& mine = hits_[Base::my_stripe() % kStripes].count;
        // no order, and threads of one stripe may lose some
        mine.store(mine.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }

    // ---- writing

    /// An Outcome, or: look again; only a user's comparison can tell.
    enum class Attempt : std::uint8_t { kAbsent, kPresent, kBusy, kError, kNoMemory, kRetry, kAsk };

    /// One attempt at a change, inside a Section.
    template <class Decide>
    TP_HOT Attempt try_change(const Probe& probe, Search* search, Decide& decide, Word* turn,
                              Leftovers& left) {
        Spot at = parts_.arrive(probe.hash);
        Cell* cell;
        Found found = seek(at.view.table(), probe, search, &cell);
        if (found == Found::kAsk) return Attempt::kAsk;
        if (TP_LIKELY(found == Found::kYes) && TP_LIKELY(saved(*at.part))) {
            Attempt attempt = change_value(*at.part, *cell, decide, turn, left);
            if (TP_LIKELY(attempt != Attempt::kRetry)) return attempt;
        }
        return try_change_locked(at, found == Found::kYes ? cell : nullptr, probe, search, decide, turn,
                                 left);
    }

    /// The same for a key that is not in the read table, or in one that is being replaced or has to be saved.
    template <class Decide>
    TP_APART Attempt try_change_locked(const Spot& at, Cell* cell, const Probe& probe, Search* search,
                                       Decide& decide, Word* turn, Leftovers& left) {
        // another writer was faster, and what it replaced is to be dropped first
        if (left.held) return Attempt::kRetry;
        stress::reach(stress::Window::kReadMissed);
        std::lock_guard hold(parts_.mutex);
        if (!parts_.current(at, parts_.spread(probe.hash))) return Attempt::kRetry;
        Part& part = *at.part;
        save(part);
        if (cell) return change_value(part, *cell, decide, turn, left);
        if (part.dirty) {
            Found found = seek(*part.dirty, probe, search, &cell);
            if (found == Found::kAsk) return Attempt::kAsk;
            if (found == Found::kYes) {
                Attempt attempt = change_value(part, *cell, decide, turn, left);
                parts_.count_miss(part, left);
                return attempt;
            }
        }
        Word value = decide(Word{0});
        return !value || parts_.insert(part, probe, value, stripe(), left) ? Attempt::kAbsent
                                                                           : Attempt::kNoMemory;
    }

    template <class Decide>
    TP_APART Outcome change_slow(Probe probe, Decide& decide, Word* turn) try {
        Search search(probe);
        for (;;) {
            Leftovers left;
            Attempt attempt;
            {
                Section section(gate_);
                attempt = try_change(probe, &search, decide, turn, left);
            }
            parts_.dispose(left, probe.hash);
            if (attempt < Attempt::kRetry) return static_cast<Outcome>(attempt);
            if (attempt == Attempt::kRetry) continue;
            stress::reach(stress::Window::kWriteAsked);
            if (Outcome failed = search.ask_all(); failed != Outcome::kPresent) return failed;
        }
    } catch (const std::bad_alloc&) {
        return Outcome::kNoMemory;
    }

    /// Asks `decide` about a cell's value, held, and exchanges it. kRetry when another thread was faster, or
    /// the cell is expunged.
    template <class Decide>
    TP_HOT Attempt change_value(Part& part, Cell& cell, Decide& decide, Word* turn, Leftovers& left) {
        Word current = cell.value.load(std::memory_order_acquire);  // acquire: pairs with exchange()
        if (current) {
            if (!live(current) || !P::try_hold(current)) return Attempt::kRetry;
            left.held = current;
            if (cell.value.load(std::memory_order_acquire) != current) return Attempt::kRetry;
            if (TP_UNLIKELY(is_turn(current))) {
                *turn = std::exchange(left.held, 0);
                return Attempt::kBusy;
            }
        }
        Word next = decide(current);
        stress::reach(stress::Window::kExchanging);
        // Held, so its address is not another value's: if it is still there, or there again, it is the value.
        if (next != current && !exchange(part, cell, current, next, left)) return Attempt::kRetry;
        return current ? Attempt::kPresent : Attempt::kAbsent;
    }

    /// Puts `next` in the place of `current`, if it is still there. The caller holds `current`; the part is
    /// saved.
    TP_HOT bool exchange(Part& part, Cell& cell, Word current, Word next, Leftovers& left) {
        if (next) P::open(next);
        const int by = visible(next) - visible(current);
        {
            CountChange counted(stripe(), by);
            // release: publishes the value to look_at(); acquire: of what was there
            if (!cell.value.compare_exchange_strong(current, next, std::memory_order_acq_rel)) {
                CountChange taken_back(stripe(), -by);
                return false;
            }
            stress::reach(stress::Window::kChanged);
        }
        if (!next || !current) left.crowded = part.bury(next ? -1 : 1, Parts::kFew);
        return true;
    }

    Attempt try_replace_exact(std::uint64_t hash, Word key, Word value, Word next, Leftovers& left) {
        Spot at = parts_.arrive(hash);
        Cell* cell = seek_exact(at.view.table(), hash, key, value);
        if (!cell && !at.view.amended()) return Attempt::kAbsent;
        if (cell && saved(*at.part))
            return exchange(*at.part, *cell, value, next, left) ? Attempt::kPresent : Attempt::kAbsent;
        std::lock_guard hold(parts_.mutex);
        if (!parts_.current(at, parts_.spread(hash))) return Attempt::kRetry;
        save(*at.part);
        if (!cell) cell = seek_exact(*at.part->dirty, hash, key, value);
        return cell && exchange(*at.part, *cell, value, next, left) ? Attempt::kPresent : Attempt::kAbsent;
    }

    Cell* seek_exact(const Table& table, std::uint64_t hash, Word key, Word value) const {
        for (std::uint64_t at = parts_.spread(hash); Cell* cell = table.next(hash, at);) {
            // acquire: as in change_value()
            if ((!key || cell->key == key) && cell->value.load(std::memory_order_acquire) == value)
                return cell;
        }
        return nullptr;
    }

    StripedCount::Stripe& stripe() { return count_.stripe(Base::my_stripe()); }

    // ---- many entries

    /// What a snapshot has copied so far, by its own thread and by writers that were about to change a part.
    struct Snapshot {
        const std::uint32_t generation = process_generation.load(std::memory_order_relaxed);
        std::uint64_t number = 0;
        Entries entries;
        bool failed = false;

        /// Whether it was begun before a fork, in the parent: nobody waits for it here.
        bool stale() const { return generation != process_generation.load(std::memory_order_relaxed); }
    };

    TP_HOT Snapshot* open_shot() const {
        // acquire: pairs with snapshot(), which waits for every Section before it goes
        Snapshot* shot = shot_.load(std::memory_order_acquire);
        return TP_LIKELY(!shot) || shot->stale() ? nullptr : shot;
    }

    /// Whether values in the part may be changed without the mutex.
    TP_HOT bool saved(const Part& part) const {
        Snapshot* shot = open_shot();
        // acquire: pairs with save()
        return TP_LIKELY(!shot) || part.saved.load(std::memory_order_acquire) == shot->number;
    }

    /// Copies a part for the open snapshot, if there is one that has not got it. Under the mutex: until the
    /// mark nobody changes a value in it, so each can be held as it is.
    void save(Part& part) {
        if (TP_LIKELY(saved(part))) return;
        Snapshot& shot = *open_shot();
        try {
            Parts::each_cell(part, [&](std::uint64_t, Cell& cell) {
                Word value = cell.value.load(std::memory_order_acquire);  // acquire: as in look_at()
                if (is_turn(value)) value = P::behind(value);
                if (!value) return;
                shot.entries.push_back({cell.key, value});
                P::hold(cell.key);
                P::hold(value);
            });
        } catch (const std::bad_alloc&) {
            shot.failed = true;  // the snapshot fails, the writer does not
        }
        // release: pairs with saved(): the copy comes before what follows
        part.saved.store(shot.number, std::memory_order_release);
    }

    /// Copies the part at the walk's position, pinned. Values held in vain are among the entries with no key.
    template <bool kDeletedToo>
    void copy_next(Walk& walk, std::vector<Entry>& batch) {
        const std::uint64_t from = walk.position;
        auto copy = [&](std::uint64_t hash, Cell& cell) {
            if (parts_.spread(hash) >= from) copy_cell<kDeletedToo>(cell, batch);
        };
        for (;;) {
            Spot at = parts_.arrive_at(from);
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

    template <bool kDeletedToo>
    void copy_cell(Cell& cell, std::vector<Entry>& batch) {
        for (;;) {
            // first: it can throw
            if (batch.capacity() - batch.size() < 3) batch.reserve(2 * batch.size() + 3);
            Word value = 0, key = 0;
            Step step = look_at<true>(cell, &value);
            Word seen = step == Step::kHit && is_turn(value) ? P::behind(value) : value;
            if (seen && seen != value) P::hold(seen);
            if (seen != value) batch.push_back({0, value});  // the turn
            bool again = step == Step::kDrop || step == Step::kRetry;
            bool wanted = !again && (seen || (kDeletedToo && !value)) && hold_key(cell, &key);
            if (!wanted && key) batch.push_back({0, key});
            batch.push_back({wanted ? key : 0, seen});
            if (!again) return;
        }
    }

    /// Drops the entries that are `unwanted`; each has a reference to what it has.
    template <class Unwanted>
    static void drop_held(std::vector<Entry>& entries, Unwanted unwanted) {
        std::erase_if(entries, [&](const Entry& entry) {
            if (!unwanted(entry)) return false;
            if (entry.key) P::drop(entry.key);
            if (entry.value) P::drop(entry.value);
            return true;
        });
    }

    // ---- fields

    static constexpr unsigned kStripes = 8;  // as StripedCount's
    struct alignas(kApart) Hits {
        std::atomic<std::uint64_t> count{0};
    };
    static_assert(sizeof(Hits) % kApart == 0, "two stripes share no line");

    Parts parts_;

    // Read by every call, written by hardly any.
    alignas(kApart) Gate gate_;
    std::atomic<Snapshot*> shot_{nullptr};

    alignas(kApart) Hits hits_[kStripes];
    alignas(kApart) StripedCount count_;

    alignas(kApart) std::uint64_t shots_ = 0;  ///< under whole_
    PatientLock whole_;                        ///< one clear, drain or snapshot at a time
};

}  // namespace threadproof
