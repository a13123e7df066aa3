/// The operations on one chain of buckets: find a key, read a value, publish an entry, vacate a slot, copy.
///
/// A chain is read with no lock and changed under the lock of its home bucket. Two words carry the order: the
/// key of a slot, which is 0 while the slot is free, and the version in the home's meta word, which changes
/// whenever a key comes or goes.
///
///     a writer stores   publish(): hash, value, version, key        vacate(): version, key = 0, value = 0
///     a reader loads    V1 = version, hashes, key, value, (retains the value), value again, V2 = version
///
/// Every store of a hash, key or value is a release, and every load of one an acquire (of hashes, by the
/// fence in read()). So a load that sees such a store also sees, in V2, all versions stored before it. If V1
/// == V2 and the value is the same twice, the result was true at one moment of the reader's call; if not, the
/// reader begins again. There are two races, with two cases each.
///
/// A writer publishes K while a reader looks for K.
///  - V1 is the new version: its acquire pairs with the release in publish(). The reader sees the hash and
///    the value. It finds K if it sees the key; if not, the key is not stored yet, and K is rightly absent.
///  - V1 is an older version: if the reader sees the key, it sees the new version in V2, and begins again. If
///    not, K is rightly absent.
/// A writer vacates the slot of K, and perhaps publishes L there later, while a reader looks for K.
///  - All the reader's loads come before those stores: K had that value when the value was loaded. Before the
///    reader has retained it, the value may be replaced and die, and another object may take its address.
///    Then the slot has changed in between, and the second load of the value or V2 shows that. If both are as
///    before, the object that was retained is the value of K.
///  - A load sees one of those stores (a 0, or the hash, key or value of L): the version of vacate() was
///    stored before, in the same thread or under an earlier hold of the lock. So V2 differs from V1, and the
///    reader begins again, whether it has missed K or found something in its place.
/// A key that moves to another table sets kMoved, which is part of the meta word that V1 and V2 are read
/// from.
///
/// Invariants
///  1. key == 0 if and only if value == 0, except inside the lock; such a slot is free.
///  2. Only the holder of a home's lock changes its chain, and only while the home is not moved.
///  3. Between two equal reads of a home's meta word no key was added to the chain, removed or moved.
///  4. A bucket with entries has the map's parity, except while a snapshot is open that has not saved it.
///
/// Field    | written                        | read                                         | guard
/// ---------|--------------------------------|----------------------------------------------|----------------
/// parity_  | relaxed, with the map quiesced | relaxed, inside a WriterSection or under a   | the map's gate
///          |                                | home's lock                                  |
/// the fields of a bucket: see table.hpp
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>

#include "core/base/hints.hpp"
#include "core/base/stress.hpp"
#include "core/maps/hash_map/table.hpp"
#include "core/maps/map_base.hpp"

namespace threadproof {

template <class P>
class BucketChains : MapBase<P> {
    using Base = MapBase<P>;
    using Base::is_reservation, Base::require, Base::visible;
    using typename Base::EqualityCache, typename Base::Lock;

 public:
    using typename Base::Entry, typename Base::Lookup, typename Base::TakenEntry;
    using Table = threadproof::Table<Lock, SlotData<P>>;
    using Bucket = typename Table::Bucket;

    /// The position of a search in a chain, and enough to recognise the chain later.
    struct Cursor {
        Table* table;
        std::uint64_t id;    ///< the table's, kept because the table may be gone later
        Bucket* home;        ///< null: the search has not begun, and the other fields are not set
        std::uint32_t meta;  ///< home's, as it was on arrival
        Bucket* bucket;
        int slot;
        Word key;
    };

    // ---- searching

    enum class Found : std::uint8_t { kNo, kYes, kAsk };

    /// Searches the chain, from the cursor on, for a slot that holds the key. kAsk: only the user's
    /// comparison can decide, and `cache` does not have its answer. Pinned, or under the lock.
    TP_HOT static Found seek(Cursor& at, const Lookup& lookup, const EqualityCache* cache) {
        for (;;) {
            for (unsigned hits = at.bucket->matches(lookup.hash) >> at.slot << at.slot; TP_LIKELY(hits != 0);
                 hits &= hits - 1) {
                int slot = std::countr_zero(hits);
                stress::reach(stress::Window::kReadHashed);
                // acquire: pairs with the release in publish(); makes the version and the value visible
                Word key = at.bucket->key[slot].load(std::memory_order_acquire);
                if (!key) continue;
                Match match = P::match(key, lookup);
                if (TP_UNLIKELY(match == Match::kAsk) && cache) match = cache->recall(key);
                if (match == Match::kNo) continue;
                at.slot = slot;
                at.key = key;
                return TP_LIKELY(match == Match::kYes) ? Found::kYes : Found::kAsk;
            }
            // acquire: pairs with the release in extend(); makes the link visible
            std::uint32_t meta =
                at.bucket == at.home ? at.meta : at.bucket->meta.load(std::memory_order_acquire);
            Bucket* next = at.table->after(*at.bucket, meta);
            if (TP_LIKELY(!next)) return Found::kNo;
            at.bucket = next;
            at.slot = 0;
        }
    }

    /// Continues a search from its position before the comparison, if nothing in the chain has changed;
    /// otherwise the search begins again. Returns whether the cursor is at an equal key now.
    static bool resume(Cursor& at, const Cursor& before, EqualityCache& cache) {
        if (before.home == nullptr) return false;
        if (before.id != at.table->id() || before.home != at.home || before.meta != at.meta) {
            cache.restart();
            return false;
        }
        at.bucket = before.bucket;
        at.slot = before.slot;
        at.key = before.key;
        return cache.recall(at.key) == Match::kYes;
    }

    /// At the beginning of a hash's chain in a table that no other thread can reach.
    static Cursor at_home(Table& table, std::uint64_t hash) {
        Bucket& home = table.home(hash);
        return {&table, 0, &home, home.meta.load(std::memory_order_relaxed), &home, 0, 0};
    }

    /// Searches a locked chain for a slot with exactly this value (and key, unless that is 0).
    static bool seek_exact(Cursor& at, Word key, Word value) {
        for (; at.bucket; at.bucket = at.table->after(*at.bucket)) {
            for (at.slot = 0; at.slot < Bucket::kSlots; ++at.slot) {
                // relaxed, both: the lock guards them
                at.key = at.bucket->key[at.slot].load(std::memory_order_relaxed);
                if (at.bucket->value[at.slot].load(std::memory_order_relaxed) == value
                    && (!key || at.key == key))
                    return true;
            }
        }
        return false;
    }

    // ---- reading, pinned and with no lock

    /// The result of one attempt to read. kReleaseValue and kReleaseKey: try again, but first release the
    /// value, or the key, whose reference turned out to be useless. kLock: only possible under the lock.
    /// kAsk: only the user's comparison can decide.
    enum class Step : std::uint8_t { kHit, kMiss, kRetry, kReleaseValue, kReleaseKey, kLock, kAsk };

    /// The result of reading one slot; on kHit and kReleaseValue the value is retained, if it was wanted.
    struct Taken {
        Word value;
        Step step;
    };

    /// Retains the value in a slot that has the key, if it is wanted (kTake), and makes sure that it is the
    /// key's: kHit. `meta` is the home's, read before the key was.
    template <bool kTake>
    TP_HOT static Taken take(const Bucket& home, std::uint32_t meta, const std::atomic<Word>& slot) {
        stress::reach(stress::Window::kReadMatched);
        // acquire: pairs with the release of the writer that stored the value; makes the object visible
        Word word = slot.load(std::memory_order_acquire);
        if (TP_UNLIKELY(!word)) return {0, Step::kRetry};  // vacated since the key was read
        if constexpr (!kTake) {
            // the value behind a reservation can be seen only by retaining that
            if (TP_UNLIKELY(is_reservation(word))) return {0, Step::kLock};
            return {0, TP_LIKELY(unchanged(home, meta)) ? Step::kHit : Step::kRetry};
        }
        stress::reach(stress::Window::kReadLoaded);
        if (TP_UNLIKELY(!P::try_retain(word))) return {0, Step::kLock};
        stress::reach(stress::Window::kReadHeld);
        // The word is retained, and was this key's value at that moment if neither the slot nor the version
        // has changed. acquire: keeps the read of the version after this one.
        return {word, TP_LIKELY(slot.load(std::memory_order_acquire) == word && unchanged(home, meta))
                          ? Step::kHit
                          : Step::kReleaseValue};
    }

    /// One attempt to read a key from the cursor on. `there`: the cursor is at an equal key already.
    template <bool kTake>
    TP_HOT static Step read(Cursor& at, const Lookup& lookup, const EqualityCache* cache, Word* value,
                            bool there = false) {
        stress::reach(stress::Window::kReadArrived);
        Found found = there ? Found::kYes : seek(at, lookup, cache);
        if (TP_UNLIKELY(found == Found::kAsk)) return Step::kAsk;
        if (found == Found::kNo) {
            stress::reach(stress::Window::kReadMissed);
            // acquire fence: keeps the read of the version after those of the hashes
            std::atomic_thread_fence(std::memory_order_acquire);
            return TP_LIKELY(unchanged(*at.home, at.meta)) ? Step::kMiss : Step::kRetry;
        }
        Taken taken = take<kTake>(*at.home, at.meta, at.bucket->value[at.slot]);
        *value = taken.value;
        return taken.step;
    }

    /// Whether no key came, went or moved on since `meta` was read. Relaxed: in every caller an acquire
    /// stands between the reads of the slot and this one.
    TP_HOT static bool unchanged(const Bucket& home, std::uint32_t meta) {
        return home.meta.load(std::memory_order_relaxed) == meta;
    }

    /// Retains the key to compare, so that it can be compared without a pin, and copies the cursor to
    /// `asked`. (The cursor comes as single words: a reader's own stays in registers as long as its address
    /// is not taken.)
    TP_APART static Step retain_key(Cursor& asked, Table* table, Bucket* home, std::uint32_t meta,
                                    Bucket* bucket, int slot, Word key) {
        asked.table = table;
        asked.id = table->id();
        asked.home = home;
        asked.meta = meta;
        asked.bucket = bucket;
        asked.slot = slot;
        asked.key = key;
        if (!P::try_retain(key)) return Step::kLock;
        if (bucket->key[slot].load(std::memory_order_acquire) == key && unchanged(*home, meta))
            return Step::kAsk;
        return Step::kReleaseKey;  // another object may have been at its address when it was retained
    }

    // ---- changing, under the home's lock

    /// A free slot of the chain, with a new bucket if there is none; null when there is no memory.
    TP_HOT static Bucket* free_slot(Table& table, Bucket& home, int* slot) {
        const std::intptr_t first = home.first_free();
        *slot = static_cast<int>(first);
        return TP_LIKELY(first >= 0) ? &home : free_slot_behind(table, home, slot);
    }

    /// The same, where the home bucket is full.
    TP_APART static Bucket* free_slot_behind(Table& table, Bucket& home, int* slot) {
        for (Bucket* bucket = &home;;) {
            for (int i = 0; i < Bucket::kSlots; ++i) {
                if (bucket->key[i].load(std::memory_order_relaxed)) continue;  // relaxed: the lock guards it
                *slot = i;
                return bucket;
            }
            Bucket* next = table.after(*bucket);
            if (!next) {
                next = table.extend(*bucket);
                if (!next) return nullptr;
                stress::reach(stress::Window::kOverflowLinked);
            }
            bucket = next;
        }
    }

    /// Fills a free slot. The head of this file has the reasons for this order.
    void publish(Bucket& home, Bucket& bucket, int slot, std::uint64_t hash, Word key, Word value) {
        // release: pairs with the acquire fence in read(); a reader that misses the slot's last key, because
        // it sees this hash, sees the version of that key's going
        bucket.hash[slot].store(hash, std::memory_order_release);
        // release: pairs with the acquire in take(); as with the hash, for a reader that has found the last
        // key
        bucket.value[slot].store(value, std::memory_order_release);
        stress::reach(stress::Window::kPublishing);
        // release: pairs with the acquire on arrival; makes hash and value visible
        home.meta.store(next_version(home), std::memory_order_release);
        // release: pairs with the acquire in seek(); makes version and value visible
        bucket.key[slot].store(key, std::memory_order_release);
    }

    /// Fills a free slot of a table that no other thread can reach. Relaxed, all: the table's publication
    /// publishes them.
    static void fill(Bucket& home, Bucket& bucket, int slot, std::uint64_t hash, Word key, Word value,
                     std::uint32_t parity) {
        bucket.hash[slot].store(hash, std::memory_order_relaxed);
        bucket.key[slot].store(key, std::memory_order_relaxed);
        bucket.value[slot].store(value, std::memory_order_relaxed);
        bucket.data.reset(slot);
        std::uint32_t meta = home.meta.load(std::memory_order_relaxed);
        home.meta.store(meta | kVersion | parity, std::memory_order_relaxed);
    }

    /// Frees a slot: the version first, so that a reader that sees 0 sees that the version has changed.
    void vacate(Bucket& home, Bucket& bucket, int slot) {
        home.meta.store(next_version(home),
                        std::memory_order_relaxed);  // relaxed: the next store publishes it
        stress::reach(stress::Window::kVacating);
        bucket.key[slot].store(0, std::memory_order_release);    // release: pairs with the acquire in seek()
        bucket.value[slot].store(0, std::memory_order_release);  // release: pairs with the acquire in take()
    }

    // ---- parity: the buckets that a snapshot has not saved yet

    /// At the instant of a snapshot, with the map quiesced: no bucket counts as saved.
    void flip_parity() { parity_.fetch_xor(kParity, std::memory_order_relaxed); }  // relaxed: see the table
    std::uint32_t parity() const { return parity_.load(std::memory_order_relaxed); }
    /// The bucket counts as saved. Relaxed, both: the lock guards the word; at worst, a reader sees a change
    /// of the chain where there is none.
    void set_parity(Bucket& home) {
        std::uint32_t meta = home.meta.load(std::memory_order_relaxed);
        home.meta.store((meta & ~kParity) | parity_.load(std::memory_order_relaxed),
                        std::memory_order_relaxed);
    }
    bool has_parity(const Bucket& home) const {
        return ((home.meta.load(std::memory_order_relaxed) ^ parity_.load(std::memory_order_relaxed))
                & kParity)
               == 0;
    }

    // ---- many entries, under the home's lock

    /// Calls visit(bucket, slot, key, value) for every entry of a locked chain.
    template <class Visit>
    static void each_slot(Table& table, Bucket& home, Visit visit) {
        for (Bucket* bucket = &home; bucket; bucket = table.after(*bucket)) {
            for (int slot = 0; slot < Bucket::kSlots; ++slot) {
                // relaxed, both: the lock guards them
                if (Word key = bucket->key[slot].load(std::memory_order_relaxed))
                    visit(*bucket, slot, key, bucket->value[slot].load(std::memory_order_relaxed));
            }
        }
    }

    /// Appends the entries whose hashes are wanted, as readers see them, each retained. Throws bad_alloc, and
    /// then has appended none.
    template <class Container, class Wanted>
    static void copy_chain(Table& table, Bucket& home, Container& out, Wanted wanted) {
        const std::size_t before = out.size();
        try {
            each_slot(table, home, [&](Bucket& bucket, int slot, Word key, Word value) {
                if (!wanted(bucket.hash[slot].load(std::memory_order_relaxed))) return;
                if (is_reservation(value)) value = P::old_value(value);
                if (!value) return;
                out.push_back({key, value});
                P::retain(key);
                P::retain(value);
            });
        } catch (const std::bad_alloc&) {
            // not their last references, which belong to the slots: releasing these runs no code
            for (; out.size() > before; out.pop_back()) {
                P::release(out.back().key);
                P::release(out.back().value);
            }
            throw;
        }
    }

    /// Some entries taken out of a chain: at most kMost, which bounds the stack and the time under the lock.
    struct Some {
        static constexpr int kMost = 32;
        TakenEntry entries[kMost];
        int count = 0;
        const TakenEntry* begin() const { return entries; }
        const TakenEntry* end() const { return entries + count; }
        std::int64_t visible_count() const {
            return std::count_if(begin(), end(), [](const Entry& entry) { return visible(entry.value); });
        }
    };

    /// Takes entries out of a locked chain, with the references of their slots. False when there are none.
    bool take_some(Table& table, Bucket& home, Some& some) {
        some.count = 0;
        each_slot(table, home, [&](Bucket& bucket, int slot, Word key, Word value) {
            if (some.count == Some::kMost) return;
            // relaxed: the chain is locked
            some.entries[some.count++] = {{key, value}, bucket.hash[slot].load(std::memory_order_relaxed)};
            vacate(home, bucket, slot);
        });
        return some.count > 0;
    }

    // ---- the processor's cache

    static void prefetch(const Bucket& bucket) {
        __builtin_prefetch(&bucket);
        __builtin_prefetch(reinterpret_cast<const char*>(&bucket) + kCacheLine);
    }

    static void prefetch_to_write(const Bucket& bucket) {
        __builtin_prefetch(&bucket, 1);
        __builtin_prefetch(reinterpret_cast<const char*>(&bucket) + kCacheLine, 1);
    }

    /// The keys and values of a bucket. Relaxed, both: only addresses, which need not be right.
    static void prefetch_objects(const Bucket& bucket) {
        for (int i = 0; i < Bucket::kSlots; ++i)
            if (Word key = bucket.key[i].load(std::memory_order_relaxed))
                P::prefetch(key, bucket.value[i].load(std::memory_order_relaxed));
    }

    /// Prefetches the home buckets of all keys before any is read, and then the objects in them; pinned.
    static void prefetch_all(Table* table, const Lookup* lookups, unsigned count) {
        for (unsigned i = 0; i < count; ++i) prefetch(table->home(lookups[i].hash));
        for (unsigned i = 0; i < count; ++i)
            prefetch_value(table, table->home(lookups[i].hash), lookups[i].hash);
    }

    // ---- metrics and checks

    static std::uint64_t length(Table& table, Bucket& home) {
        std::uint64_t buckets = 0;
        for (Bucket* bucket = &home; bucket; bucket = table.after(*bucket)) ++buckets;
        return buckets;
    }

    /// Asserts the invariants of a chain that no thread is changing; returns how many keys readers see.
    std::int64_t check(Table& table, Bucket& home) const {
        std::int64_t seen = 0;
        for (Bucket* bucket = &home; bucket; bucket = table.after(*bucket)) {
            for (int i = 0; i < Bucket::kSlots; ++i) {
                Word key = bucket->key[i].load(std::memory_order_relaxed),
                     value = bucket->value[i].load(std::memory_order_relaxed);
                require((key == 0) == (value == 0), "a key without a value, or the reverse");
                if (!key) continue;
                require(&table.home(bucket->hash[i].load(std::memory_order_relaxed)) == &home,
                        "a key lies in its home chain");
                require(has_parity(home), "a bucket with entries has the map's parity");
                require(times_in_chain(table, home, key) == 1, "a key is in one slot only");
                seen += visible(value);
            }
        }
        return seen;
    }

 private:
    std::uint32_t next_version(const Bucket& home) const {
        std::uint32_t meta = home.meta.load(std::memory_order_relaxed);  // relaxed: the lock guards it
        return ((meta + kVersion) & ~kParity) | parity_.load(std::memory_order_relaxed);
    }

    /// Prefetches the object that a read of this hash would retain, or the next bucket of the chain. It only
    /// computes addresses, so they need not be right.
    static void prefetch_value(Table* table, const Bucket& bucket, std::uint64_t hash) {
        if (unsigned hits = bucket.matches(hash)) {
            int slot = std::countr_zero(hits);
            P::prefetch(bucket.key[slot].load(std::memory_order_relaxed),
                        bucket.value[slot].load(std::memory_order_relaxed));
        } else if (Bucket* next = table->after(bucket)) {
            prefetch(*next);
        }
    }

    static int times_in_chain(Table& table, Bucket& home, Word key) {
        int times = 0;
        each_slot(table, home, [&](Bucket&, int, Word other, Word) { times += other == key; });
        return times;
    }

    std::atomic<std::uint32_t> parity_{0};
};

}  // namespace threadproof
