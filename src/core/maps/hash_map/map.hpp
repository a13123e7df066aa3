/// HashMap, a concurrent hash map: reads take no lock, writes lock one bucket, resizes are shared out among
/// the writers, and a step on the whole map (clear, drain, snapshot) happens at one instant.
///
/// How it works. A reader pins itself (threads.hpp), finds the home bucket of the key (resize.hpp), retains
/// the value and checks that the bucket's version has not changed (buckets.hpp). A writer locks the home
/// bucket and changes it. If only the user's == can decide whether two keys are equal, the operation releases
/// everything, calls it, and continues from its cursor if nothing has changed. This file has the operations
/// on one key; bucket_map.hpp has those on all keys.
///
/// Each operation has a fast path and a slow path. The fast path (get_fast, overwrite, the first attempt of
/// change) covers the common case with its state in registers. If it fails, it has changed nothing, and the
/// slow path begins anew. The slow path covers every case.
///
/// Ancestors: CLHT and xsync (cache-line buckets, lock-free reads), F14 (stored hashes), papaya and
/// java.util.concurrent.ConcurrentHashMap (incremental moves), seize (pins).
#pragma once

#include <atomic>
#include <cstdint>

#include "core/maps/hash_map/bucket_map.hpp"

namespace threadproof {

/// The tracker of a HashMap gets every read and change of an entry, with the data of the entry's slot (SlotData).
/// HashMap itself has none; a cache's policy is one. A tracker has
///
///     read(data, valid)     an entry was read; pinned, no lock. valid() is true while it still has that value
///     take(hash)            the data for a new key, or 0: no memory. This and the next run under the bucket's lock
///     give(data)            the key was not stored: there was no memory
///     changing(data)        the entry is about to get another value, or to be seen for the first time
///     changed(data)         it has, and the caller still has the lock
///     overwritten(data)     the same; the value before was no reservation
///     removed(data)         the key has been removed
///     replaced(key, old, next)     before the last two: what has left, and the value that has come, or 0
///     has_expired(data)     the entry counts as absent: it is removed, with an Expiring alive, before the change
struct NoTracker {
    static constexpr bool kOn = false;
};

template <class P, class Tracker = NoTracker>
class HashMap : public BucketMap<P> {
    using Base = BucketMap<P>;

 protected:
    using Base::ask, Base::resolve, Base::visible;
    using Base::consider_resize, Base::dispose, Base::empty_slot, Base::fill_slot, Base::host, Base::insert,
        Base::overwrite_or_remove;
    using Base::gate_, Base::snapshots_, Base::tables_;
    using typename Base::DeferredCleanup, typename Base::EqualityCache, typename Base::Guard,
        typename Base::WriterSection;
    using typename Base::Chains, typename Base::Table, typename Base::Bucket, typename Base::Cursor;
    using Found = typename Chains::Found;
    using Step = typename Chains::Step;
    using Taken = typename Chains::Taken;

 public:
    using Base::is_reservation, Base::release_key;
    using typename Base::Entry, typename Base::Lookup, typename Base::Tables;

    static constexpr bool kKeepsDeleted = false;
    static constexpr bool kOverwritesLocked = true;  ///< overwrite()'s `next` may read the current value

    using Base::Base;
    /// With the arguments of the tracker. Throws bad_alloc.
    template <class... Given>
        requires(sizeof...(Given) > 0)
    explicit HashMap(std::uint64_t secret, Given... given) : Base(secret), tracker_(given...) {}

    // ---- reading

    /// The value of a key: on kPresent *value is retained for the caller. Lock-free. kAbsent, kPresent,
    /// kError, kNoMemory.
    TP_HOT Outcome get(const Lookup& lookup, Word* value) {
        Word found;  // not *value, which has an address and so lives in memory
        if (TP_UNLIKELY(!get_fast<true>(lookup, &found))) return get_slow<true>(lookup, value);
        *value = found;
        return TP_LIKELY(!is_reservation(found)) ? Outcome::kPresent : resolve(value);
    }

    TP_HOT Outcome contains(const Lookup& lookup) {
        Word value;
        return TP_LIKELY(get_fast<false>(lookup, &value)) ? Outcome::kPresent
                                                          : get_slow<false>(lookup, &value);
    }

    /// get() for up to kGroup keys at once; calls each(i, outcome, value) for them in order. The memory of
    /// all is prefetched before the first is read. After an outcome that is an error there are no more calls.
    static constexpr unsigned kGroup = 16;  // outstanding cache misses a core can keep
    template <class Each>
    void get_group(const Lookup* lookups, unsigned count, Each each) {
        Word values[kGroup];
        Step steps[kGroup];
        {
            Guard guard;
            Table* table = tables_.root();
            Chains::prefetch_all(table, lookups, count);
            for (unsigned i = 0; i < count; ++i) {
                Cursor at;
                tables_.arrive(at, lookups[i].hash);
                steps[i] = Chains::template read<true>(at, lookups[i], nullptr, &values[i]);
                if (steps[i] == Step::kHit) note_read(at, values[i]);
                // a key that needs the user's comparison begins anew, with this pin released
                if (TP_UNLIKELY(steps[i] == Step::kAsk)) steps[i] = Step::kRetry;
            }
        }
        Cursor nothing_asked;
        bool failed = false;
        for (unsigned i = 0; i < count; ++i) {
            if (failed) {  // the caller is about to raise an error, and no user code may run any more
                if (steps[i] == Step::kHit || steps[i] == Step::kReleaseValue) P::release(values[i]);
                continue;
            }
            Outcome outcome = steps[i] == Step::kMiss ? Outcome::kAbsent
                              : steps[i] != Step::kHit
                                  ? read_slow<true>(steps[i], nothing_asked, lookups[i], &values[i])
                              : is_reservation(values[i]) ? resolve(&values[i])
                                                          : Outcome::kPresent;
            failed = outcome > Outcome::kPresent;
            each(i, outcome, values[i]);
        }
    }

    /// Prefetches the memory of keys that are about to be changed.
    void prefetch_group(const Lookup* lookups, unsigned count) {
        Guard guard;
        Table* table = tables_.root();
        if (table->bits() >= Tables::kSmall)  // smaller ones are in a cache
            Chains::prefetch_all(table, lookups, count);
    }

    // ---- writing

    /// The general way to change a key. `decide(current)` gets the value, or 0, under the bucket's lock, and
    /// returns the value to store: `current` to leave it, 0 to remove the key. It runs no user code.
    /// References: the slot's goes to the caller when the value is replaced or removed; the one to the new
    /// value goes to the slot. kBusy puts a retained reservation into *reservation. With kThrough, decide()
    /// is called with reservations as well.
    template <bool kThrough = false, class Decide>
    TP_HOT Outcome change(const Lookup& lookup, Decide&& decide, Word* reservation = nullptr) {
        DeferredCleanup cleanup;
        Attempt attempt;
        {
            WriterSection section(gate_);
            Cursor at;
            attempt = try_change<kThrough>(at, lookup, nullptr, decide, reservation, cleanup);
        }
        dispose(cleanup);
        if constexpr (Tracker::kOn)
            if (TP_UNLIKELY(attempt == Attempt::kExpired)) P::release(std::exchange(*reservation, 0));
        if (TP_LIKELY(attempt < Attempt::kAsk)) return static_cast<Outcome>(attempt);
        return change_slow<kThrough>(lookup, decide, reservation);
    }

    /// The most common change in its most common case: a key in its home bucket gets another value. In every
    /// other case it returns false and has changed nothing; then call change(). `next(current)` is called
    /// under the bucket's lock and runs no user code. It returns the new value with a reference for the slot,
    /// or 0 to leave the old one, whose reference goes to the caller. change() could do the same, but not in
    /// registers: an overwrite took 18 ns instead of 20.
    template <class Next>
    TP_HOT bool overwrite(const Lookup& lookup, Next next, Word* old) {
        return overwrite_or_add<false>(lookup, next, old);
    }
    /// The same, and a new key, too, gets a value: next(0), and *old is 0.
    template <class Next>
    TP_HOT bool store(const Lookup& lookup, Next next, Word* old) {
        if (TP_UNLIKELY(!overwrite_or_add<true>(lookup, next, old))) return false;
        if (TP_UNLIKELY(!*old)) Reclaimer::poll();  // what replaced tables have left
        return true;
    }

    /// The removal of a key in its most common case: it is in its home bucket, and no comparison of the user's is
    /// needed. Its value goes to *old with the slot's reference. In every other case it returns false and has changed
    /// nothing; then call change().
    TP_HOT bool erase(const Lookup& lookup, Word* old) {
        DeferredCleanup cleanup;
        {
            WriterSection section(gate_);
            Table* table = tables_.root();
            if (TP_UNLIKELY(table->next.load(std::memory_order_acquire) || snapshots_.any())) return false;
            Bucket& home = table->home(lookup.hash);
            std::intptr_t slot = home.first_match(lookup.hash);  // a hint, as in overwrite()
            stress::reach(stress::Window::kWriteHashed);
            if (TP_UNLIKELY(slot < 0 || !home.lock.try_lock())) return false;
            bool found = take_out(home, static_cast<int>(slot), lookup, old, cleanup);
            home.lock.unlock();
            if (TP_UNLIKELY(!found)) return false;
            consider_resize(table, -1);
        }
        dispose(cleanup);
        return true;
    }

    /// Replaces exactly this value (and key, unless that is 0) by `next`. Compares by identity only. False if
    /// they are no longer there. References as in change(); kNoMemory cannot happen.
    bool replace_exact(std::uint64_t hash, Word key, Word value, Word next) {
        DeferredCleanup cleanup;
        bool found = false;
        {
            WriterSection section(gate_);
            Cursor at;
            int grown = 0;
            {
                typename Tables::Locked home(host(), tables_, at, hash, &cleanup.emptied);
                found = Chains::seek_exact(at, key, value);
                // before it is replaced: the slot's reference may be what keeps a reservation alive
                if (found) grown = visible(next) - visible(value);
                if (found) exchange(at, value, next, cleanup);
            }
            if (grown) consider_resize(at.table, grown);
        }
        dispose(cleanup);
        return found;
    }

    // ---- the tracker

    Tracker& tracker() { return tracker_; }

 protected:
    /// The entry at the cursor had the value.
    TP_HOT void note_read(const Cursor& at, Word value) {
        if constexpr (Tracker::kOn)
            tracker_.read(data_of(*at.bucket, at.slot), [&] {
                // acquire, both: pair with the releases of writers; the version shows that it is the same entry
                return at.bucket->value[at.slot].load(std::memory_order_acquire) == value
                       && at.home->meta.load(std::memory_order_acquire) == at.meta;
            });
    }

    // acquire: pairs with the release in set(); that the data are another key's is seen with that key's going
    TP_HOT static auto data_of(Bucket& bucket, int slot) {
        if constexpr (Tracker::kOn) return bucket.data.of[slot].load(std::memory_order_acquire);
        else return 0;
    }

    /// After the value in a slot, or the key, has gone; under the lock.
    template <class Data>
    TP_HOT void note_change([[maybe_unused]] Data data, [[maybe_unused]] Word key,
                            [[maybe_unused]] Word current, [[maybe_unused]] Word next) {
        if constexpr (Tracker::kOn) {
            if (is_reservation(next)) return;
            tracker_.replaced(key, current, next);
            if (!next) tracker_.removed(data);
            else if (is_reservation(current)) tracker_.changed(data);
            else tracker_.overwritten(data);
        }
    }

    /// Removes the entry at the cursor if the tracker says that it has expired: its value goes to *expired.
    TP_HOT bool remove_expired([[maybe_unused]] Cursor& at, [[maybe_unused]] Word current,
                               [[maybe_unused]] DeferredCleanup& cleanup, [[maybe_unused]] Word* expired) {
        if constexpr (Tracker::kOn) {
            if (!current || TP_LIKELY(!tracker_.has_expired(data_of(*at.bucket, at.slot)))) return false;
            typename Tracker::Expiring because;
            exchange(at, current, 0, cleanup);
            *expired = current;
            return true;
        }
        return false;
    }

    /// Replaces the value at the cursor by `next`, or removes the key if that is 0.
    TP_HOT void exchange(Cursor& at, Word current, Word next, DeferredCleanup& cleanup) {
        auto data = data_of(*at.bucket, at.slot);
        if constexpr (Tracker::kOn)
            if (next && !is_reservation(next)) tracker_.changing(data);
        overwrite_or_remove(at, current, next, cleanup);
        note_change(data, at.key, current, next);
    }

 private:
    // ---- storing and removing

    /// Removes a key from a slot of its locked home bucket, if it is there and has a value.
    TP_HOT bool take_out(Bucket& home, int slot, const Lookup& lookup, Word* old, DeferredCleanup& cleanup) {
        // relaxed, all: the lock guards them
        if (TP_UNLIKELY(home.meta.load(std::memory_order_relaxed) & kMoved)) return false;
        if (TP_UNLIKELY(home.hash[slot].load(std::memory_order_relaxed) != lookup.hash)) return false;
        const Word key = home.key[slot].load(std::memory_order_relaxed),
                   current = home.value[slot].load(std::memory_order_relaxed);
        if (TP_UNLIKELY(!key || is_reservation(current) || P::match(key, lookup) != Match::kYes))
            return false;
        *old = current;
        cleanup.key = key;
        auto data = data_of(home, slot);
        empty_slot(home, home, slot, -1);
        note_change(data, key, current, 0);
        return true;
    }

    /// overwrite(), and store() with kAdd.
    template <bool kAdd, class Next>
    TP_HOT bool overwrite_or_add(const Lookup& lookup, Next next, Word* old) {
        WriterSection section(gate_);
        Table* table = tables_.root();
        if (TP_UNLIKELY(table->next.load(std::memory_order_acquire) || snapshots_.any())) return false;
        Bucket& home = table->home(lookup.hash);
        // acquire: keeps the search for the hash, by which a new key is known, after it
        [[maybe_unused]] const std::uint32_t seen = kAdd ? home.meta.load(std::memory_order_acquire) : 0;
        // a hint, checked below: a new key need not lock twice
        std::intptr_t slot = home.first_match(lookup.hash);
        if constexpr (kAdd) {
            // acquire: as in seek(). 0: the slot is free, and has the hash of the key that was there
            bool free = slot >= 0 && !home.key[slot].load(std::memory_order_acquire);
            if (TP_UNLIKELY(slot < 0 || free))
                return *old = 0, add_new(*table, home, seen, free, lookup, next);
        }
        if (TP_UNLIKELY(slot < 0 || !home.lock.try_lock())) return false;
        bool moved =
            home.meta.load(std::memory_order_relaxed) & kMoved;  // relaxed, all: the lock guards them
        bool found = false;
        if (TP_LIKELY(!moved && home.hash[slot].load(std::memory_order_relaxed) == lookup.hash)) {
            Word key = home.key[slot].load(std::memory_order_relaxed),
                 current = home.value[slot].load(std::memory_order_relaxed);
            found = key && !is_reservation(current) && P::match(key, lookup) == Match::kYes;
            Word fresh = found ? next(current) : 0;
            found = fresh != 0;
            if (found) {
                *old = current;
                // release: pairs with the acquire in take(); makes the object visible
                home.value[slot].store(fresh, std::memory_order_release);
                note_change(data_of(home, static_cast<int>(slot)), key, current, fresh);
            }
        }
        home.lock.unlock();
        return found;
    }

    /// Adds a key whose hash was not in its home bucket when the version was `seen`, if the key is not further
    /// back in the chain. `search`: the hash was in a free slot, and can be in another, too. False, and nothing has
    /// changed, if there is more to do. Inside a WriterSection.
    template <class Next>
    TP_APART bool add_new(Table& table, Bucket& home, std::uint32_t seen, bool search, Lookup lookup,
                          Next next) {
        stress::reach(stress::Window::kWriteHashed);
        if (TP_UNLIKELY(!home.lock.try_lock())) return false;
        // relaxed: the lock guards it. Unchanged: no key has come since.
        bool added = !(seen & kMoved) && home.meta.load(std::memory_order_relaxed) == seen;
        if (added && (search || seen & kChained)) {
            Cursor at{&table, 0, &home, seen, &home, 0, 0};
            added = Chains::seek(at, lookup, nullptr) == Found::kNo;
        }
        int slot = 0;
        Bucket* bucket = added ? Chains::free_slot(table, home, &slot) : nullptr;
        // no snapshot is open, as none opens with a writer inside
        added = bucket && fill_tracked(home, *bucket, slot, lookup, next);
        home.lock.unlock();
        if (added) consider_resize(&table, 1);
        return added;
    }

    /// fill_slot(). False when there is no memory: nothing has changed.
    template <class Next>
    TP_HOT bool fill_tracked(Bucket& home, Bucket& bucket, int slot, const Lookup& lookup, Next next) {
        if constexpr (Tracker::kOn) {
            auto data = tracker_.take(lookup.hash);
            if (!data) return false;
            tracker_.changing(data);
            fill_slot(home, bucket, slot, lookup, next(0), data);
            tracker_.changed(data);
        } else {
            fill_slot(home, bucket, slot, lookup, next(0));
        }
        return true;
    }

    /// False when there is no memory: nothing has changed.
    TP_HOT bool insert_tracked(Table& table, Bucket& home, const Lookup& lookup, Word value) {
        if constexpr (Tracker::kOn) {
            auto data = tracker_.take(lookup.hash);
            if (!data) return false;
            if (!is_reservation(value)) tracker_.changing(data);
            if (!insert(table, home, lookup, value, data).bucket) return tracker_.give(data), false;
            if (!is_reservation(value)) tracker_.changed(data);
            return true;
        }
        return insert(table, home, lookup, value).bucket != nullptr;
    }

    // ---- reading

    /// get_slow() in the most common case: an equal key in the first two buckets of its chain. In every other
    /// case it returns false and has retained nothing. get_slow() would do the same, but not in registers:
    /// this takes 15 instructions less for a Python int (by Callgrind).
    template <bool kTake>
    TP_HOT bool get_fast(Lookup lookup, Word* value) {
        Taken taken;
        {
            Guard guard;
            Table* table = tables_.root();  // and acquire, all: as in arrive() and seek()
            Bucket& home = table->home(lookup.hash);
            std::uint32_t meta = home.meta.load(std::memory_order_acquire);
            stress::reach(stress::Window::kReadArrived);
            if (TP_UNLIKELY(meta & kMoved)) return false;
            Bucket* bucket = &home;
            std::intptr_t slot = home.first_match(lookup.hash);
            if (TP_UNLIKELY(slot < 0)) {
                bucket = table->after(home, meta);
                if (!bucket) return false;
                // its second cache line: the right value is not known before the hashes have arrived
                __builtin_prefetch(&bucket->meta);
                if ((slot = bucket->first_match(lookup.hash)) < 0) return false;
            }
            stress::reach(stress::Window::kReadHashed);
            Word key = bucket->key[slot].load(std::memory_order_acquire);
            if (TP_UNLIKELY(!P::same(key, lookup)) && (!key || P::match(key, lookup) != Match::kYes))
                return false;
            taken = Chains::template take<kTake>(home, meta, bucket->value[slot]);
            if (kTake && TP_LIKELY(taken.step == Step::kHit))
                note_read({table, 0, &home, meta, bucket, static_cast<int>(slot), 0}, taken.value);
        }
        *value = taken.value;
        if (TP_LIKELY(taken.step == Step::kHit)) return true;
        if (kTake && taken.step == Step::kReleaseValue) P::release(taken.value);
        return false;
    }

    /// The value of a key, retained, or whether there is one: one attempt without the user's comparison, and
    /// then the rest.
    template <bool kTake>
    TP_APART Outcome get_slow(Lookup lookup, Word* value) {
        Step step;
        Cursor asked;
        {
            Guard guard;
            Cursor at;
            tables_.arrive(at, lookup.hash);
            step = Chains::template read<kTake>(at, lookup, nullptr, value);
            if (kTake && step == Step::kHit) note_read(at, *value);
            if (TP_UNLIKELY(step == Step::kAsk))
                step = Chains::retain_key(asked, at.table, at.home, at.meta, at.bucket, at.slot, at.key);
        }
        if (TP_LIKELY(step == Step::kHit))
            return kTake && is_reservation(*value) ? resolve(value) : Outcome::kPresent;
        if (TP_LIKELY(step == Step::kMiss)) return Outcome::kAbsent;
        return read_slow<kTake>(step, asked, lookup, value);
    }

    /// Repeats attempts until one has a result. `asked` is the position of the first one, on kAsk and
    /// kReleaseKey.
    template <bool kTake>
    TP_APART Outcome read_slow(Step step, Cursor& asked, Lookup lookup, Word* value) {
        EqualityCache cache;
        if (step != Step::kAsk && step != Step::kReleaseKey) asked.home = nullptr;
        for (;;) {
            if (step == Step::kReleaseValue) P::release(*value);
            if (step == Step::kReleaseKey) P::release(asked.key);
            if (step == Step::kLock) return read_locked<kTake>(lookup, value);
            if (step == Step::kAsk) {
                if (Outcome failed = ask(asked.key, lookup, cache); failed != Outcome::kPresent)
                    return failed;
            }
            {
                Guard guard;
                Cursor at;
                tables_.arrive(at, lookup.hash);
                step =
                    Chains::template read<kTake>(at, lookup, &cache, value, Chains::resume(at, asked, cache));
                if (kTake && step == Step::kHit) note_read(at, *value);
                if (step == Step::kAsk)
                    step = Chains::retain_key(asked, at.table, at.home, at.meta, at.bucket, at.slot, at.key);
            }
            if (step == Step::kMiss) return Outcome::kAbsent;
            if (step == Step::kHit)
                return kTake && is_reservation(*value) ? resolve(value) : Outcome::kPresent;
        }
    }

    /// The first read of an object by a thread other than its creator, while no other thread has shared it:
    /// it takes the lock once, so that later reads need not.
    template <bool kTake>
    TP_APART Outcome read_locked(Lookup lookup, Word* value) {
        *value = 0;
        Outcome outcome = change<true>(lookup, [&](Word current) {
            if (current && (kTake || is_reservation(current))) {
                P::enable_try_retain(current);
                P::retain(current);
                *value = current;
            }
            return current;
        });
        if (outcome != Outcome::kPresent || !is_reservation(*value)) return outcome;
        outcome = resolve(value);
        if (!kTake && outcome == Outcome::kPresent) P::release(*value);
        return outcome;
    }

    // ---- writing

    /// An Outcome, or: only a user's comparison can decide; or: an entry that the tracker refuses has been removed.
    enum class Attempt : std::uint8_t { kAbsent, kPresent, kBusy, kError, kNoMemory, kAsk, kExpired };

    /// One attempt at a change, inside a WriterSection. On kAsk with a cache given, at.key is retained.
    template <bool kThrough, class Decide>
    TP_HOT Attempt try_change(Cursor& at, const Lookup& lookup, EqualityCache* cache, Decide&& decide,
                              Word* reservation, DeferredCleanup& cleanup) {
        int grown = 0;
        Attempt attempt;
        {
            Cursor before = at;
            typename Tables::Locked home(host(), tables_, at, lookup.hash, &cleanup.emptied);
            if (cache) {
                at.id = at.table->id();
                Chains::resume(at, before, *cache);
            }
            Found found = Chains::seek(at, lookup, cache);
            if (TP_UNLIKELY(found == Found::kAsk)) {
                if (cache) P::retain(at.key);
                return Attempt::kAsk;
            }
            // relaxed: the lock guards it
            Word current =
                found == Found::kYes ? at.bucket->value[at.slot].load(std::memory_order_relaxed) : 0;
            if (!kThrough && TP_UNLIKELY(is_reservation(current))) {
                P::retain(current);
                *reservation = current;
                return Attempt::kBusy;
            }
            if (!kThrough && remove_expired(at, current, cleanup, reservation)) return Attempt::kExpired;
            attempt = current ? Attempt::kPresent : Attempt::kAbsent;
            Word next = decide(current);
            if constexpr (kThrough && Tracker::kOn)  // read_locked()
                if (current) tracker_.read(data_of(*at.bucket, at.slot), [] { return true; });
            if (next == current) return attempt;
            grown = visible(next) - visible(current);
            if (current) exchange(at, current, next, cleanup);
            else if (!insert_tracked(*at.table, *at.home, lookup, next)) return Attempt::kNoMemory;
        }
        if (grown) consider_resize(at.table, grown);
        return attempt;
    }

    template <bool kThrough, class Decide>
    TP_APART Outcome change_slow(Lookup lookup, Decide&& decide, Word* reservation) {
        EqualityCache cache;
        Cursor at;
        at.home = nullptr;
        for (;;) {
            DeferredCleanup cleanup;
            Attempt attempt;
            {
                WriterSection section(gate_);
                attempt = try_change<kThrough>(at, lookup, &cache, decide, reservation, cleanup);
            }
            dispose(cleanup);
            if constexpr (Tracker::kOn) {
                if (attempt == Attempt::kExpired) {
                    P::release(std::exchange(*reservation, 0));
                    at.home = nullptr;
                    continue;
                }
            }
            if (attempt != Attempt::kAsk) return static_cast<Outcome>(attempt);
            stress::reach(stress::Window::kWriteAsked);
            if (Outcome failed = ask(at.key, lookup, cache); failed != Outcome::kPresent) return failed;
        }
    }

    [[no_unique_address]] Tracker tracker_;
};

}  // namespace threadproof
