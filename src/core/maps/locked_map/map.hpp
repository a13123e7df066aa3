/// LockedMap, a map of tables that each have one lock: a mutex, or a reader-writer lock. With one table it is the
/// map that many programs write, a dict and a lock; with many, one that is striped. This file has the operations
/// on one key; shard_map.hpp has those on all keys.
///
/// How it works. The hash of a key chooses its shard. An operation holds the shard's lock while it searches the
/// table and retains, stores or removes one value. If only the user's == can decide whether two keys are equal,
/// it retains the stored key, gives the lock up, calls ==, and continues at that key, or begins again if another
/// thread has moved the entries meanwhile (shard.changes).
///
/// Invariants
///  1. An entry lies in the shard of its hash, and no two entries have equal keys.
///  2. An entry has a value, or a reservation, and a reference to it and to its key.
///  3. shard.size is how many keys readers see.
///  4. shard.changes is another number whenever entries or cells have moved, come or gone.
///  5. No policy code that can run a user's code (equal, release) runs under a lock.
///  6. A thread that holds a lock waits for no thread that waits for a lock, but for the next shard's, in order.
///
/// No memory order but the lock's (lock.hpp): everything else is plain.
///
/// Ancestors: java.util.concurrent.ConcurrentHashMap before Java 8 (segments), and Go's sync.RWMutex.
#pragma once

#include <cstdint>
#include <utility>

#include "core/maps/locked_map/shard_map.hpp"

namespace threadproof {

/// The policy is that of map_base.hpp, of which try_retain and deferred are not needed: the lock keeps keys and
/// values alive.
template <class P>
class LockedMap : public ShardMap<P> {
    using Base = ShardMap<P>;
    using Base::ask, Base::seen, Base::shard_of, Base::sharing, Base::visible;
    using typename Base::EqualityCache, typename Base::Exclusive, typename Base::Shared, typename Base::Shard,
        typename Base::Slot;

 public:
    using Base::is_reservation;
    using typename Base::Entry, typename Base::Lookup;

    static constexpr bool kKeepsDeleted = false;
    static constexpr bool kOverwritesLocked = true;  ///< overwrite()'s `next` may read the current value

    using Base::Base;
    ~LockedMap() { this->release_contents(); }

    // ---- reading

    /// The value of a key: on kPresent *value is retained for the caller. kAbsent, kPresent, kError, kNoMemory.
    TP_HOT Outcome get(const Lookup& lookup, Word* value) { return read<true>(lookup, value); }

    TP_HOT Outcome contains(const Lookup& lookup) {
        Word value;
        return read<false>(lookup, &value);
    }

    static constexpr unsigned kGroup = 16;  // as HashMap's, for the binding
    template <class Each>
    void get_group(const Lookup* lookups, unsigned count, Each each) {
        Base::get_each(*this, lookups, count, each);
    }

    /// A table may be read under its lock only.
    void prefetch_group(const Lookup*, unsigned) {}

    // ---- writing

    /// The general way to change a key. `decide(current)` gets the value, or 0, under the shard's lock, and
    /// returns the value to store: `current` to leave it, 0 to remove the key. It runs no user code.
    /// References: the map's goes to the caller when the value is replaced or removed; the one to the new
    /// value goes to the map. kBusy puts a retained reservation into *reservation.
    template <class Decide>
    TP_HOT Outcome change(const Lookup& lookup, Decide&& decide, Word* reservation = nullptr) {
        Word removed = 0;
        Attempt attempt;
        Shard& shard = shard_of(lookup.hash);
        {
            Exclusive hold(shard);
            Cursor at(shard, lookup);
            attempt = try_change(shard, at, lookup, nullptr, decide, reservation, &removed);
        }
        if (removed) P::release(removed);
        if (TP_LIKELY(attempt != Attempt::kAsk)) return static_cast<Outcome>(attempt);
        return change_slow(lookup, decide, reservation);
    }

    /// The most common change in its most common case: a key that is there gets another value. In every other
    /// case it returns false and has changed nothing; then call change(). `next(current)` is called under the
    /// shard's lock and runs no user code. It returns the new value with a reference for the map, or 0 to leave
    /// the old one, whose reference goes to the caller.
    template <class Next>
    TP_HOT bool overwrite(const Lookup& lookup, Next next, Word* old) {
        Shard& shard = shard_of(lookup.hash);
        Exclusive hold(shard);
        Cursor at(shard, lookup);
        if (TP_UNLIKELY(seek(shard, at, lookup, nullptr) != Found::kYes)) return false;
        Word current = at.slot->value;
        if (TP_UNLIKELY(is_reservation(current))) return false;
        Word fresh = next(current);
        if (TP_UNLIKELY(!fresh)) return false;
        at.slot->value = fresh;
        *old = current;
        return true;
    }

    /// Replaces exactly this value (and key, unless that is 0) by `next`. Compares by identity only. False if
    /// they are no longer there. References as in change(); kNoMemory cannot happen.
    bool replace_exact(std::uint64_t hash, Word key, Word value, Word next) {
        Shard& shard = shard_of(hash);
        Word removed = 0;
        {
            Exclusive hold(shard);
            Cursor at(shard, hash);
            while ((at.slot = shard.table.next(at.code, at.cell))) {
                if (at.slot->hash == hash && at.slot->value == value && (!key || at.slot->key == key)) break;
                shard.table.pass(at.cell);
            }
            if (!at.slot) return false;
            replace(shard, at, next, &removed);
        }
        if (removed) P::release(removed);
        return true;
    }

 private:
    // ---- finding

    /// A place in a search: the entry at cell `cell`, and shard.changes as it was then.
    struct Cursor {
        std::uint64_t code, changes;
        std::size_t cell;
        Slot* slot = nullptr;

        TP_HOT Cursor(Shard& shard, std::uint64_t hash)
            : code(shard.table.code(hash)), changes(shard.changes), cell(shard.table.home(code)) {}
        TP_HOT Cursor(Shard& shard, const Lookup& lookup) : Cursor(shard, lookup.hash) {}
        /// Not in the table yet: resume() begins a search.
        Cursor() : code(0), changes(0), cell(0) {}

        void resume(Shard& shard, const Lookup& lookup, EqualityCache& cache) {
            if (changes == shard.changes) return;
            if (changes) cache.restart();
            *this = Cursor(shard, lookup);
        }
    };

    enum class Found : std::uint8_t { kNo, kYes, kAsk };

    /// Searches the key, from the cursor on. kAsk: only the user's comparison can decide whether the cursor's
    /// entry is the key's, and the cache does not know.
    TP_HOT static Found seek(Shard& shard, Cursor& at, const Lookup& lookup, EqualityCache* cache) {
        while ((at.slot = shard.table.next(at.code, at.cell))) {
            if (TP_LIKELY(at.slot->hash == lookup.hash)) {
                Match match = P::match(at.slot->key, lookup);
                if (TP_LIKELY(match == Match::kYes)) return Found::kYes;
                if (match == Match::kAsk) match = cache ? cache->recall(at.slot->key) : Match::kAsk;
                if (match != Match::kNo) return match == Match::kYes ? Found::kYes : Found::kAsk;
            }
            shard.table.pass(at.cell);
        }
        return Found::kNo;
    }

    // ---- reading

    template <bool kTake>
    TP_HOT Outcome read(const Lookup& lookup, Word* value) {
        Shard& shard = shard_of(lookup.hash);
        Found found;
        Word visible = 0;
        {
            Shared hold(shard, sharing());
            stress::reach(stress::Window::kReadArrived);
            Cursor at(shard, lookup);
            found = seek(shard, at, lookup, nullptr);
            if (TP_LIKELY(found == Found::kYes)) visible = take<kTake>(*at.slot);
        }
        if (TP_UNLIKELY(found == Found::kAsk)) return read_slow<kTake>(lookup, value);
        *value = visible;
        return TP_LIKELY(visible != 0) ? Outcome::kPresent : Outcome::kAbsent;
    }

    /// The value that readers see, retained if it is wanted, or 0.
    template <bool kTake>
    TP_HOT static Word take(const Slot& slot) {
        Word visible = seen(slot.value);
        if (kTake && TP_LIKELY(visible != 0)) P::retain(visible);
        return visible;
    }

    template <bool kTake>
    TP_APART Outcome read_slow(Lookup lookup, Word* value) {
        Shard& shard = shard_of(lookup.hash);
        EqualityCache cache;
        for (Cursor at;;) {
            Found found;
            Word visible = 0, key = 0;
            {
                Shared hold(shard, sharing());
                at.resume(shard, lookup, cache);
                found = seek(shard, at, lookup, &cache);
                if (found == Found::kYes) visible = take<kTake>(*at.slot);
                if (found == Found::kAsk) P::retain(key = at.slot->key);
            }
            if (found != Found::kAsk) {
                *value = visible;
                return visible ? Outcome::kPresent : Outcome::kAbsent;
            }
            stress::reach(stress::Window::kReadAsked);
            if (Outcome failed = ask(key, lookup, cache); failed != Outcome::kPresent) return failed;
        }
    }

    // ---- writing

    /// An Outcome, or: only a user's comparison can decide.
    enum class Attempt : std::uint8_t { kAbsent, kPresent, kBusy, kError, kNoMemory, kAsk };

    /// One attempt at a change, by the holder of the shard. On kAsk with a cache given, the cursor's key is
    /// retained.
    template <class Decide>
    TP_HOT Attempt try_change(Shard& shard, Cursor& at, const Lookup& lookup, EqualityCache* cache,
                              Decide& decide, Word* reservation, Word* removed) {
        Found found = seek(shard, at, lookup, cache);
        if (TP_UNLIKELY(found == Found::kAsk)) {
            if (cache) P::retain(at.slot->key);
            return Attempt::kAsk;
        }
        Word current = found == Found::kYes ? at.slot->value : 0;
        if (TP_UNLIKELY(is_reservation(current))) {
            P::retain(current);
            *reservation = current;
            return Attempt::kBusy;
        }
        Word next = decide(current);
        if (current) {
            if (next != current) replace(shard, at, next, removed);
            return Attempt::kPresent;
        }
        return !next || insert(shard, lookup, next) ? Attempt::kAbsent : Attempt::kNoMemory;
    }

    template <class Decide>
    TP_APART Outcome change_slow(Lookup lookup, Decide& decide, Word* reservation) {
        Shard& shard = shard_of(lookup.hash);
        EqualityCache cache;
        for (Cursor at;;) {
            Word removed = 0, key = 0;
            Attempt attempt;
            {
                Exclusive hold(shard);
                at.resume(shard, lookup, cache);
                attempt = try_change(shard, at, lookup, &cache, decide, reservation, &removed);
                if (attempt == Attempt::kAsk) key = at.slot->key;
            }
            if (removed) P::release(removed);
            if (attempt != Attempt::kAsk) return static_cast<Outcome>(attempt);
            stress::reach(stress::Window::kWriteAsked);
            if (Outcome failed = ask(key, lookup, cache); failed != Outcome::kPresent) return failed;
        }
    }

    /// Replaces the value at the cursor, or removes the entry if `next` is 0: its key's reference then goes to
    /// *removed. The old value's goes to the caller.
    TP_HOT static void replace(Shard& shard, Cursor& at, Word next, Word* removed) {
        shard.size += visible(next) - visible(at.slot->value);
        if (TP_LIKELY(next != 0)) {
            at.slot->value = next;
            return;
        }
        *removed = at.slot->key;
        ++shard.changes;
        shard.table.remove(at.cell);
    }

    /// False when there is no memory.
    TP_HOT static bool insert(Shard& shard, const Lookup& lookup, Word value) {
        ++shard.changes;
        if (TP_UNLIKELY(!shard.table.make_room())) return false;
        shard.table.insert(lookup.hash, P::key_to_store(lookup), value);
        shard.size += visible(value);
        stress::reach(stress::Window::kChanged);
        return true;
    }
};

}  // namespace threadproof
