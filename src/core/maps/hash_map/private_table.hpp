/// A table that one thread fills before any other thread can reach it: with no locks, and in one size.
/// BucketMap::publish() then makes it the whole content of a map that is empty.
///
/// Invariants
///  1. No other thread has the table until release().
///  2. count() is the number of its entries, each of which has its own references.
///  3. Every bucket with entries has parity().
#pragma once

#include <cstdint>

#include "core/maps/hash_map/resize.hpp"

namespace threadproof {

template <class P>
class PrivateTable : MapBase<P> {
    using Tables = ResizableTable<P>;
    using Chains = typename Tables::Chains;
    using Table = typename Chains::Table;
    using Bucket = typename Chains::Bucket;

 public:
    using typename MapBase<P>::Lookup;

    /// Room for `count` keys. Throws bad_alloc.
    PrivateTable(Tables& tables, std::uint64_t count)
        : parity_(tables.chains.parity()), table_(tables.make_private(count)) {}
    /// Releases the entries, if the table has not been published.
    ~PrivateTable() {
        if (!table_) return;
        Tables::each_home_of(table_, [&](Table& table, Bucket& home) {
            Chains::each_slot(table, home, [](Bucket&, int, Word key, Word value) {
                P::release(key);
                P::release(value);
            });
        });
        table_->free_now();
    }
    PrivateTable(const PrivateTable&) = delete;
    PrivateTable& operator=(const PrivateTable&) = delete;

    /// Prefetches the buckets of keys that are about to be stored.
    void prefetch(const Lookup* lookups, unsigned count) {
        for (unsigned i = 0; i < count; ++i) Chains::prefetch_to_write(table_->home(lookups[i].hash));
    }

    /// Stores a value, with a reference of the caller's; *old is the value that it replaces, or 0, and its
    /// reference goes to the caller. False, and nothing has changed: only the user's comparison can decide
    /// whether the key is there, or there is no memory.
    bool put(const Lookup& lookup, Word value, Word* old) {
        using Found = typename Chains::Found;
        typename Chains::Cursor at = Chains::at_home(*table_, lookup.hash);
        Found found = Chains::seek(at, lookup, nullptr);
        if (TP_UNLIKELY(found == Found::kAsk)) return false;
        if (found == Found::kYes) {
            *old = at.bucket->value[at.slot].load(std::memory_order_relaxed);
            at.bucket->value[at.slot].store(value, std::memory_order_relaxed);
            return true;
        }
        int slot = 0;
        Bucket* bucket = Chains::free_slot(*table_, *at.home, &slot);
        if (TP_UNLIKELY(!bucket)) return false;
        Chains::fill(*at.home, *bucket, slot, lookup.hash, P::key_to_store(lookup), value, parity_);
        ++count_;
        *old = 0;
        return true;
    }

    std::int64_t count() const { return count_; }
    std::uint32_t parity() const { return parity_; }
    Table* table() const { return table_; }

    /// The table, whose entries belong to the caller now.
    Table* release() { return std::exchange(table_, nullptr); }

 private:
    const std::uint32_t parity_;  ///< the map's, when this was made
    Table* table_;
    std::int64_t count_ = 0;
};

}  // namespace threadproof
