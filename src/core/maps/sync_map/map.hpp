/// SyncMap, a concurrent map after Go's sync.Map: keys in the read table are read and written with no lock;
/// new keys go to a dirty table, under a mutex, until they have been missed often enough to be promoted.
///
/// How it works. A cell is a key and a word that is exchanged atomically: its value. The read table finds
/// cells and never changes, so reading, overwriting, removing or bringing back a key that is in it takes no
/// lock. A key that is not in it goes to the dirty table, under the mutex, and the view of the read table is
/// marked as amended: from then on a thread that misses a key in the read table looks for it in the dirty
/// table, under the mutex, and counts a miss. When there have been as many misses as the dirty table has
/// cells, it is promoted: a new read table gets the cells of both, except the deleted ones, which are
/// expunged.
///
/// Go promotes, and copies, the whole map at once. Here the map is made of parts, each with a read and a
/// dirty table of its own. The first bits of a key's spread hash choose the part, and a part that has grown
/// too big splits in two. So no operation takes longer than one part does. The parts share one mutex.
///
/// A cell's value | word                      | consequences
/// ---------------|---------------------------|--------------------------------------------------------------
/// live           | a value or a reservation, | the cell is in its part's read table or in its dirty table,
///                | owned by the cell         | and in no other
/// deleted        | 0                         | as live, and no other cell has an equal key: storing here
///                |                           | brings the key back, if the key that is stored is as good as
///                |                           | the one that is there; else the part is rebuilt first, which
///                |                           | expunges the cell
/// expunged       | kExpunged, and a link to  | the cell is in no table that can be reached any more, and its
///                | the next cell to be freed | value never changes again: a thread that sees it has an old
///                |                           | view, and looks for the new one
///
/// Only a deleted cell is expunged, and only by the holder of the mutex.
///
/// Invariants
///  1. Among the cells in reachable tables, at most one has a given key.
///  2. A read table never changes. Everything else in a part changes only under the mutex, except the values
///     of cells and `tombstones`.
///  3. A view is amended if and only if its part has a dirty table.
///  4. A part of depth d has the cells whose spread hashes begin with its d bits, and 2^(bits - d) slots of
///     the directory.
///  5. What is unlinked (cells, tables, parts, directories) outlives the readers that were pinned then; so do
///     the keys that match() reads.
///  6. No policy code that can run a user's code (equal, release) runs with the mutex held, inside a Pin or
///     inside a WriterSection.
///  7. While a snapshot is open, no thread changes a value in a part before the part is saved.
///
/// Field                     | written               | read                      | guard
/// --------------------------|-----------------------|---------------------------|----------------------
/// root, parts[]             | release               | acquire                   | mutex; gate to detach
/// part.view                 | release               | acquire                   | mutex
/// cell.value                | acq_rel exchange      | acquire                   | a WriterSection
/// part.dirty, .misses, sums | plain                 | plain                     | mutex
/// part.saved                | release               | acquire, in a section     | mutex
/// part.tombstones, .cells   | relaxed               | relaxed: hints            | none
/// the other fields: see part_map.hpp
///
/// Why a cell's value may be exchanged without the mutex. A writer finds a cell in the view it arrived by,
/// and exchanges the cell's value. Let another thread replace that view meanwhile, which expunges deleted
/// cells.
///  - If the exchange comes first: expunge() sees its result. A live value makes it fail, and the cell goes
///    into the new table; a deleted cell may go.
///  - If expunge() comes first: the writer's compare-exchange expects 0 or a live value and finds kExpunged.
///    It fails, and the writer begins again, under the mutex or by the new view.
///
/// Ancestors: Go's sync.Map (sync/map.go until Go 1.23) and, for the parts, extendible hashing (Fagin and
/// others, 1979).
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "core/maps/sync_map/part_map.hpp"

namespace threadproof {

/// The policy is that of map_base.hpp.
template <class P>
class SyncMap : public PartMap<P> {
    using Base = PartMap<P>;
    using Base::ask, Base::resolve, Base::visible;
    using Base::count_hit, Base::stripe, Base::save, Base::saved, Base::parts_, Base::gate_;
    using typename Base::Cell, typename Base::Table, typename Base::Part, typename Base::Parts,
        typename Base::PartView, typename Base::Step;
    using typename Base::EqualityCache, typename Base::Guard, typename Base::WriterSection;
    using DeferredCleanup = typename Parts::DeferredCleanup;

 public:
    using Base::is_reservation;
    using typename Base::Entry, typename Base::Lookup;

    static constexpr bool kKeepsDeleted = true;
    static constexpr bool kOverwritesLocked = false;

    using Base::Base;

    // ---- reading

    /// The value of a key: on kPresent *value is retained for the caller. Takes a lock only to search among
    /// keys that are not promoted yet. kAbsent, kPresent, kError, kNoMemory.
    TP_HOT Outcome get(const Lookup& lookup, Word* value) { return read<true>(lookup, value); }

    /// contains() that counts neither hit nor miss, so that nothing is promoted by it. False also where only a
    /// user's comparison can tell.
    bool has_uncounted(const Lookup& lookup) {
        Word value = 0;
        Step step;
        {
            Guard guard;
            PartView at = parts_.arrive(lookup.hash);
            step = look_in_read<false>(at, lookup, nullptr, &value);
            if (step == Step::kDirty) {
                std::lock_guard hold(parts_.mutex);
                Cell* cell;
                bool found = parts_.current(at, parts_.spread(lookup.hash))
                             && seek(*at.part->dirty, lookup, nullptr, &cell) == Found::kYes;
                step = found ? Base::template read_cell<false>(*cell, &value) : Step::kMiss;
            }
        }
        if (value) P::release(value);  // as in contains()
        return step == Step::kHit;
    }

    TP_HOT Outcome contains(const Lookup& lookup) {
        Word value = 0;
        Outcome outcome = read<false>(lookup, &value);
        if (TP_UNLIKELY(value != 0)) P::release(value);  // retained to look behind a reservation
        return outcome;
    }

    static constexpr unsigned kGroup = 16;  // as HashMap's, for the binding
    template <class Each>
    void get_group(const Lookup* lookups, unsigned count, Each each) {
        Base::get_each(*this, lookups, count, each);
    }

    /// Nothing can be prefetched: four loads lead to a value, each to the address of the next.
    void prefetch_group(const Lookup*, unsigned) {}

    // ---- writing

    /// The general way to change a key. `decide(current)` gets the value, or 0, and returns the value to
    /// store: `current` to leave it, 0 to remove the key. It runs no user code, and is called again when
    /// another thread was faster. References: the map's goes to the caller when the value is replaced or
    /// removed; the one to the new value goes to the map. kBusy puts a retained reservation into
    /// *reservation.
    template <class Decide>
    TP_HOT Outcome change(const Lookup& lookup, Decide&& decide, Word* reservation = nullptr) {
        DeferredCleanup cleanup;
        Attempt attempt;
        {
            WriterSection section(gate_);
            attempt = try_change(lookup, nullptr, decide, reservation, cleanup);
        }
        parts_.dispose(cleanup, lookup.hash);
        if (TP_LIKELY(attempt < Attempt::kRetry)) return static_cast<Outcome>(attempt);
        return change_slow(lookup, decide, reservation);
    }

    /// The most common changes in their most common cases: a key of the read table gets another value, or a key
    /// that is in no table is added, and *old is 0 then. In every other case it returns false and has changed
    /// nothing; then call change(). `next(current)` may be called several times, runs no user code, and does not
    /// read the current value, which no thread retains. It returns the new value with a reference for the cell.
    /// That must not be the only reference: a value that is not stored is released here. The old value's reference
    /// goes to the caller.
    template <class Next>
    TP_HOT bool store(const Lookup& lookup, Next next, Word* old) {
        DeferredCleanup cleanup;
        {
            WriterSection section(gate_);
            PartView at = parts_.arrive(lookup.hash);
            Cell* cell;
            Found found = seek(at.view.table(), lookup, nullptr, &cell);
            if (TP_LIKELY(found == Found::kYes)) return saved(*at.part) && overwrite(*cell, next, old);
            if (found == Found::kAsk || !add_new(at, lookup, next, cleanup)) return false;
        }
        parts_.dispose(cleanup, lookup.hash);
        *old = 0;
        return true;
    }

    /// Replaces exactly this value (and key, unless that is 0) by `next`. Compares by identity only. The
    /// caller has a reference to the value. False if they are no longer there. References as in change();
    /// kNoMemory cannot happen.
    bool replace_exact(std::uint64_t hash, Word key, Word value, Word next) {
        for (;;) {
            DeferredCleanup cleanup;
            Attempt attempt;
            {
                WriterSection section(gate_);
                attempt = try_replace_exact(hash, key, value, next, cleanup);
            }
            parts_.dispose(cleanup, hash);
            if (attempt != Attempt::kRetry) return attempt == Attempt::kPresent;
        }
    }

 private:
    // ---- finding

    /// A search that has to call a user's comparison: it searches, releases everything, compares the keys
    /// that it could not decide, and searches again.
    struct Search {
        const Lookup lookup;
        EqualityCache cache{};
        /// keys to compare, and keys whose references turned out to be useless
        std::vector<Word> unknown{}, unwanted{};

        explicit Search(const Lookup& l) : lookup(l) { cache.restart(); }
        ~Search() {
            for (Word key : unknown) P::release(key);
            for (Word key : unwanted) P::release(key);
        }

        /// Whether the cell's key is one to compare.
        bool note(const Cell& cell) {
            make_room(unknown);  // first: it can throw
            make_room(unwanted);
            Word retained = 0;
            bool there = Base::retain_key(cell, &retained);
            if (retained) (there ? unknown : unwanted).push_back(retained);
            return there;
        }

        /// For one more; doubles, so that many take no quadratic time.
        static void make_room(std::vector<Word>& keys) {
            if (keys.size() == keys.capacity()) keys.reserve(2 * keys.size() + 1);
        }

        /// Asks about the keys in order, until one is the key looked for. kPresent: look again.
        Outcome ask_all() {
            Outcome outcome = Outcome::kPresent;
            std::size_t asked = 0;
            for (bool found = false; !found && outcome == Outcome::kPresent && asked < unknown.size();
                 ++asked) {
                outcome = ask(unknown[asked], lookup, cache);
                found = outcome == Outcome::kPresent && cache.recall(unknown[asked]) == Match::kYes;
            }
            for (; asked < unknown.size(); ++asked) P::release(unknown[asked]);
            unknown.clear();
            return outcome;
        }
    };

    enum class Found : std::uint8_t { kNo, kYes, kAsk };

    /// Searches a table for the key. kAsk: for some keys only the user's comparison can decide; they are
    /// noted in `search`, if there is one.
    TP_HOT Found seek(const Table& table, const Lookup& lookup, Search* search, Cell** found) const {
        bool unknown = false;
        stress::reach(stress::Window::kReadArrived);
        for (std::uint64_t at = parts_.spread(lookup.hash); Cell* cell = table.next(lookup.hash, at);) {
            Match match = P::match(cell->key, lookup);
            if (TP_UNLIKELY(match == Match::kAsk)) {
                if (!search) return Found::kAsk;
                match = search->cache.recall(cell->key);
                if (match == Match::kAsk) unknown |= search->note(*cell);
            }
            if (match != Match::kYes) continue;
            *found = cell;
            return Found::kYes;
        }
        return unknown ? Found::kAsk : Found::kNo;
    }

    /// The cell with exactly this value (and key, unless that is 0), or null.
    Cell* seek_exact(const Table& table, std::uint64_t hash, Word key, Word value) const {
        for (std::uint64_t at = parts_.spread(hash); Cell* cell = table.next(hash, at);) {
            // acquire: as in change_value()
            if ((!key || cell->key == key) && cell->value.load(std::memory_order_acquire) == value)
                return cell;
        }
        return nullptr;
    }

    // ---- reading

    template <bool kTake>
    TP_HOT Outcome read(const Lookup& lookup, Word* value) {
        Step step;
        {
            Guard guard;
            PartView at = parts_.arrive(lookup.hash);
            step = look_in_read<kTake>(at, lookup, nullptr, value);
        }
        if (TP_UNLIKELY(step > Step::kMiss)) return read_slow<kTake>(step, lookup, value);
        count_hit();
        return TP_LIKELY(step == Step::kHit)
                   ? (TP_UNLIKELY(is_reservation(*value)) ? resolve(value) : Outcome::kPresent)
                   : Outcome::kAbsent;
    }

    /// One attempt in the read table, pinned. A key that is not in it is in the dirty table, if the view is
    /// amended.
    template <bool kTake>
    TP_HOT Step look_in_read(const PartView& at, const Lookup& lookup, Search* search, Word* value) const {
        Cell* cell;
        switch (seek(at.view.table(), lookup, search, &cell)) {
            case Found::kYes: return Base::template read_cell<kTake>(*cell, value);
            case Found::kNo: return at.view.amended() ? Step::kDirty : Step::kMiss;
            default: return Step::kAsk;
        }
    }

    /// Repeats attempts until one has a result.
    template <bool kTake>
    TP_APART Outcome read_slow(Step step, Lookup lookup, Word* value) try {
        Search search(lookup);
        for (;;) {
            if (step == Step::kReleaseValue) P::release(std::exchange(*value, 0));
            if (step == Step::kAsk) {
                if (Outcome failed = search.ask_all(); failed != Outcome::kPresent) return failed;
            }
            DeferredCleanup cleanup;
            {
                Guard guard;
                PartView at = parts_.arrive(lookup.hash);
                step = look_in_read<kTake>(at, lookup, &search, value);
                stress::reach(stress::Window::kReadMissed);
                if (step == Step::kDirty) step = look_in_dirty<kTake>(at, search, value, cleanup);
                else if (step <= Step::kMiss) count_hit();
            }
            parts_.dispose(cleanup, lookup.hash);
            if (step == Step::kMiss) return Outcome::kAbsent;
            if (step == Step::kHit) return is_reservation(*value) ? resolve(value) : Outcome::kPresent;
        }
    } catch (const std::bad_alloc&) {
        return Outcome::kNoMemory;
    }

    template <bool kTake>
    Step look_in_dirty(const PartView& at, Search& search, Word* value, DeferredCleanup& cleanup) {
        std::lock_guard hold(parts_.mutex);
        if (!parts_.current(at, parts_.spread(search.lookup.hash))) return Step::kRetry;
        Cell* cell;
        Found found = seek(*at.part->dirty, search.lookup, &search, &cell);
        if (found == Found::kAsk) return Step::kAsk;
        Step step = found == Found::kYes ? Base::template read_cell<kTake>(*cell, value) : Step::kMiss;
        parts_.count_miss(*at.part, cleanup);
        return step;
    }

    // ---- writing

    /// An Outcome, or: begin again; only a user's comparison can decide.
    enum class Attempt : std::uint8_t { kAbsent, kPresent, kBusy, kError, kNoMemory, kRetry, kAsk };

    /// One attempt at a change, inside a WriterSection.
    template <class Decide>
    TP_HOT Attempt try_change(const Lookup& lookup, Search* search, Decide& decide, Word* reservation,
                              DeferredCleanup& cleanup) {
        PartView at = parts_.arrive(lookup.hash);
        Cell* cell;
        Found found = seek(at.view.table(), lookup, search, &cell);
        if (found == Found::kAsk) return Attempt::kAsk;
        if (TP_LIKELY(found == Found::kYes) && TP_LIKELY(saved(*at.part))) {
            Attempt attempt = change_value(*at.part, *cell, lookup, decide, reservation, cleanup);
            if (TP_LIKELY(attempt != Attempt::kRetry)) return attempt;
        }
        return try_change_locked(at, found == Found::kYes ? cell : nullptr, lookup, search, decide,
                                 reservation, cleanup);
    }

    /// The same for a key that is not in the read table, or in one that is being replaced or has to be saved.
    template <class Decide>
    TP_APART Attempt try_change_locked(const PartView& at, Cell* cell, const Lookup& lookup, Search* search,
                                       Decide& decide, Word* reservation, DeferredCleanup& cleanup) {
        // Another writer has won the exchange, and the value it replaced has to be released first.
        if (cleanup.retained) return Attempt::kRetry;
        stress::reach(stress::Window::kReadMissed);
        std::lock_guard hold(parts_.mutex);
        if (!parts_.current(at, parts_.spread(lookup.hash))) return Attempt::kRetry;
        Part& part = *at.part;
        save(part);
        if (cell) return change_locked(part, *cell, lookup, decide, reservation, cleanup);
        if (part.dirty) {
            Found found = seek(*part.dirty, lookup, search, &cell);
            if (found == Found::kAsk) return Attempt::kAsk;
            if (found == Found::kYes) {
                Attempt attempt = change_locked(part, *cell, lookup, decide, reservation, cleanup);
                if (!cleanup.table) parts_.count_miss(part, cleanup);
                return attempt;
            }
        }
        Word value = decide(Word{0});
        return !value || parts_.insert(part, lookup, value, stripe(), cleanup) ? Attempt::kAbsent
                                                                               : Attempt::kNoMemory;
    }

    template <class Decide>
    TP_APART Outcome change_slow(Lookup lookup, Decide& decide, Word* reservation) try {
        Search search(lookup);
        for (;;) {
            DeferredCleanup cleanup;
            Attempt attempt;
            {
                WriterSection section(gate_);
                attempt = try_change(lookup, &search, decide, reservation, cleanup);
            }
            parts_.dispose(cleanup, lookup.hash);
            if (attempt < Attempt::kRetry) return static_cast<Outcome>(attempt);
            if (attempt == Attempt::kRetry) continue;
            stress::reach(stress::Window::kWriteAsked);
            if (Outcome failed = search.ask_all(); failed != Outcome::kPresent) return failed;
        }
    } catch (const std::bad_alloc&) {
        return Outcome::kNoMemory;
    }

    /// change_value() under the mutex, where a deleted cell with another key than the one to store is expunged:
    /// the next attempt adds a cell.
    template <class Decide>
    Attempt change_locked(Part& part, Cell& cell, const Lookup& lookup, Decide& decide, Word* reservation,
                          DeferredCleanup& cleanup) {
        Attempt attempt = change_value(part, cell, lookup, decide, reservation, cleanup);
        // relaxed: only whether it is deleted still, which only another writer changes
        if (attempt != Attempt::kRetry || cell.value.load(std::memory_order_relaxed) != 0) return attempt;
        parts_.rebuild(part, cleanup);
        return cleanup.table ? Attempt::kRetry : Attempt::kNoMemory;
    }

    /// Calls `decide` for a cell's value, retained, and exchanges it. kRetry when another thread was faster,
    /// when the cell is expunged, or when it is deleted and has another key than the one to store.
    template <class Decide>
    TP_HOT Attempt change_value(Part& part, Cell& cell, const Lookup& lookup, Decide& decide,
                                Word* reservation, DeferredCleanup& cleanup) {
        // acquire: pairs with the release in exchange()
        Word current = cell.value.load(std::memory_order_acquire);
        if (current) {
            if (!live(current) || !P::try_retain(current)) return Attempt::kRetry;
            cleanup.retained = current;
            if (cell.value.load(std::memory_order_acquire) != current) return Attempt::kRetry;
            if (TP_UNLIKELY(is_reservation(current))) {
                *reservation = std::exchange(cleanup.retained, 0);
                return Attempt::kBusy;
            }
        } else if (TP_UNLIKELY(!P::as_good(cell.key, lookup))) {
            Word next = decide(current);
            if (!next) return Attempt::kAbsent;
            return Attempt::kRetry;
        }
        Word next = decide(current);
        stress::reach(stress::Window::kExchanging);
        // Retained, so its address is not another value's: if it is still there, or there again, it is the
        // same.
        if (next != current && !exchange(part, cell, current, next, cleanup)) return Attempt::kRetry;
        return current ? Attempt::kPresent : Attempt::kAbsent;
    }

    /// Replaces `current` by `next`, if it is still there. The caller has a reference to `current`; the part
    /// is saved.
    TP_HOT bool exchange(Part& part, Cell& cell, Word current, Word next, DeferredCleanup& cleanup) {
        if (next) P::enable_try_retain(next);
        const int by = visible(next) - visible(current);
        {
            CountChange counted(stripe(), by);
            // release: pairs with the acquire in read_cell(), makes the object visible; acquire: of the old
            // one
            if (!cell.value.compare_exchange_strong(current, next, std::memory_order_acq_rel)) {
                CountChange taken_back(stripe(), -by);
                return false;
            }
            stress::reach(stress::Window::kChanged);
        }
        if (!next || !current) cleanup.crowded = part.bury(next ? -1 : 1, Parts::kFew);
        return true;
    }

    template <class Next>
    TP_HOT static bool overwrite(Cell& cell, Next& next, Word* old) {
        // acquire: pairs with the release of the writer that stored it
        Word current = cell.value.load(std::memory_order_acquire);
        for (;;) {
            if (TP_UNLIKELY(!live(current) || is_reservation(current))) return false;
            Word fresh = next(current);
            P::enable_try_retain(fresh);
            // release: pairs with the acquire in read_cell(); makes the object visible
            if (cell.value.compare_exchange_strong(current, fresh, std::memory_order_acq_rel)) break;
            P::release(fresh);
        }
        *old = current;
        return true;
    }

    /// Adds a key that was not in the read table; false, and nothing has changed, if that was replaced since, if
    /// the key may be in the dirty table, or if there is no memory.
    template <class Next>
    TP_APART bool add_new(const PartView& at, const Lookup& lookup, Next& next, DeferredCleanup& cleanup) {
        stress::reach(stress::Window::kReadMissed);
        std::lock_guard hold(parts_.mutex);
        if (!parts_.current(at, parts_.spread(lookup.hash))) return false;
        Part& part = *at.part;
        Cell* cell;
        if (part.dirty && seek(*part.dirty, lookup, nullptr, &cell) != Found::kNo) return false;
        save(part);
        Word value = next(Word{0});
        if (parts_.insert(part, lookup, value, stripe(), cleanup)) return true;
        P::release(value);  // the caller has another reference: this runs no user code
        return false;
    }

    Attempt try_replace_exact(std::uint64_t hash, Word key, Word value, Word next, DeferredCleanup& cleanup) {
        PartView at = parts_.arrive(hash);
        Cell* cell = seek_exact(at.view.table(), hash, key, value);
        if (!cell && !at.view.amended()) return Attempt::kAbsent;
        if (cell && saved(*at.part))
            return exchange(*at.part, *cell, value, next, cleanup) ? Attempt::kPresent : Attempt::kAbsent;
        std::lock_guard hold(parts_.mutex);
        if (!parts_.current(at, parts_.spread(hash))) return Attempt::kRetry;
        save(*at.part);
        if (!cell) cell = seek_exact(*at.part->dirty, hash, key, value);
        return cell && exchange(*at.part, *cell, value, next, cleanup) ? Attempt::kPresent : Attempt::kAbsent;
    }
};

}  // namespace threadproof
