/// The tables of a SyncMap, and the steps on them under the mutex: adding a new key, promoting the new keys
/// of a part, splitting a part.
///
/// map.hpp has the algorithm, the states of a cell's value, and the invariants. Nothing here waits for
/// another thread. dispose() and the functions below it can run a user's code, and are called outside the
/// mutex.
///
/// Field          | written                            | read                          | guard
/// ---------------|------------------------------------|-------------------------------|--------------------
/// root_          | release                            | acquire; plain under the mutex| mutex
/// secret_        | when made                          | plain                         | never changes
/// sums           | plain                              | plain                         | mutex
/// the fields of a part: see map.hpp
#pragma once

#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>

#include "core/maps/map_base.hpp"
#include "core/maps/sync_map/table.hpp"

namespace threadproof {

template <class P>
class SyncParts : MapBase<P> {
    using Base = MapBase<P>;
    using Base::require;
    using Lookup = typename P::Lookup;
    using Cell = SyncCell;
    using Table = SyncTable;
    using Part = SyncPart;
    using Directory = SyncDirectory;

 public:
    // A part splits beyond this many cells. To copy them takes some microseconds; a directory for 5e6 keys is
    // a quarter of a megabyte.
    static constexpr std::uint32_t kPart = stress::shrunk(256u, 4u);
    // The directory doubles only when the parts have this many cells on average: many keys of one hash cannot
    // be split, and must not double it without end.
    static constexpr std::uint64_t kDense = stress::shrunk(32u, 1u);
    // Fewer tombstones than this are not worth a new table: a key that is removed and stored again keeps its
    // cell.
    static constexpr std::int32_t kFew = stress::shrunk(8, 1);
    // For 3 cells a dirty table has 8 slots, which hold 6, and takes 256 bytes: two lines that no other data
    // shares.
    static constexpr std::size_t kFirstDirty = 3;
    // A part that has got many new keys gets more: with 4, a key is moved once on average until it settles, with 2
    // twice. A dirty table does not live long enough for its empty slots to matter.
    static constexpr std::size_t kDirtyGrowth = 4;
    static constexpr std::size_t kCellBytes = sizeof(Cell) + 2 * sizeof(void*);  // with an allocator's header

    explicit SyncParts(std::uint64_t secret) : secret_(secret) {
        Directory* first = Directory::first();
        if (!first) throw std::bad_alloc();
        replace_all(first);
    }

    /// No thread may be using the map, and its values have been released.
    ~SyncParts() {
        Directory* root = root_now();
        root->each([](Part& part) {
            each_cell(part, [](std::uint64_t, Cell& cell) { free_cell(as_word(&cell)); });
            Part::free_with_tables(part);
        });
        Directory::free(as_word(root));
    }

    SyncParts(const SyncParts&) = delete;
    SyncParts& operator=(const SyncParts&) = delete;

    // ---- finding

    /// The part to which a key belongs, and its view, as they were on arrival.
    struct PartView {
        Part* part;
        View view;
    };

    /// Spreads a hash over 64 bits, differently in each map. Source: the folded product of wyhash, by Wang
    /// Yi.
    TP_HOT std::uint64_t spread(std::uint64_t hash) const {
        // 2^64 / the golden ratio
        unsigned __int128 product = static_cast<unsigned __int128>(hash ^ secret_) * 0x9e3779b97f4a7c15;
        return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
    }

    TP_HOT PartView arrive(std::uint64_t hash) const { return arrive_at(spread(hash)); }
    TP_HOT PartView arrive_at(std::uint64_t position) const {
        // acquire: pairs with the release in split() and replace_all()
        Part* part = root_.load(std::memory_order_acquire)->part(position);
        // acquire: pairs with the release in promote() and insert()
        return {part, View{part->view.load(std::memory_order_acquire)}};
    }

    /// Whether nothing has replaced the part or its view since arrival. Under the mutex: then it stays so.
    bool current(const PartView& at, std::uint64_t position) const {
        return root_now()->part(position) == at.part && at.part->view_now().word == at.view.word;
    }

    /// The directory, for the holder of the mutex or a thread that has stopped all others.
    Directory* root_now() const {
        return root_.load(std::memory_order_relaxed);
    }  // relaxed: the mutex guards it

    template <class Visit>
    static void each_cell(Part& part, Visit visit) {
        part.view_now().table().each(visit);
        if (part.dirty) part.dirty->each(visit);
    }

    // ---- changing, under the mutex

    /// The references and memory that a step leaves to be released outside the mutex and the WriterSection.
    struct DeferredCleanup {
        Word retained = 0;  ///< a value whose reference is not needed any more
        Word expunged = 0;  ///< the first expunged cell, which leads to the others
        Table* table = nullptr;
        Part* part = nullptr;
        Directory* directory = nullptr;
        bool crowded = false;  ///< the key's part has too many tombstones
    };

    /// Puts a new cell into the dirty table, where readers search for it once the view is amended. False if
    /// there is no memory; nothing has changed then.
    bool insert(Part& part, const Lookup& lookup, Word value, StripedCount::Stripe& stripe,
                DeferredCleanup& cleanup) {
        Cell* cell = make_room(part) ? Cell::make() : nullptr;
        if (!cell) return false;  // an empty dirty table may remain, and does no harm
        cell->key = P::key_to_store(lookup);
        cell->value.store(value, std::memory_order_relaxed);  // relaxed: the view or the mutex publishes it
        P::enable_try_retain(cell->key);
        P::enable_try_retain(value);
        CountChange counted(stripe, Base::visible(value));
        part.dirty->add(spread(lookup.hash), lookup.hash, cell);
        stress::reach(stress::Window::kAmending);
        View view = part.view_now();
        // release: pairs with the acquire in arrive()
        if (!view.amended()) part.view.store(view.word | View::kAmended, std::memory_order_release);
        // relaxed, both: written under the mutex only, and a hint to other threads
        part.cells.store(part.cells.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        ++sums.cells;
        ++sums.dirty;
        if (can_split(part)) rebuild(part, cleanup);
        return true;
    }

    /// Makes sure that there is a dirty table with room for one cell more. No thread reads it without the
    /// mutex.
    bool make_room(Part& part) {
        Table* old = part.dirty;
        if (old && !old->full()) return true;
        Table* table = Table::make(old ? kDirtyGrowth * old->used() : kFirstDirty);
        if (!table) return false;
        sums.bytes += table->bytes();
        if (old) {
            old->each([&](std::uint64_t hash, Cell& cell) { table->add(spread(hash), hash, &cell); });
            sums.bytes -= old->bytes();
            Table::free(as_word(old));
        } else {
            ++sums.amended;
        }
        part.dirty = table;
        return true;
    }

    /// A key was not in the read table. When that has happened once for each cell of the dirty table, all of
    /// them go to a new read table.
    void count_miss(Part& part, DeferredCleanup& cleanup) {
        ++sums.misses;
        if (++part.misses >= part.dirty->used()) rebuild(part, cleanup);
    }

    bool can_split(const Part& part) const {
        unsigned bits = root_now()->bits();
        return part.cells.load(std::memory_order_relaxed) > kPart
               && (part.depth < bits || sums.cells >> bits >= kDense);
    }

    /// Copies all cells of a part, except the deleted ones, into a new read table, or into those of two
    /// parts. If there is no memory, nothing changes: the part works on, and tries again after as many more
    /// misses.
    TP_APART void rebuild(Part& part, DeferredCleanup& cleanup) {
        timespec begin, end;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        part.misses = 0;
        const bool promoting = part.dirty != nullptr, splitting = can_split(part);
        if (!(splitting ? split(part, cleanup) : promote(part, cleanup))) return;
        clock_gettime(CLOCK_MONOTONIC, &end);
        sums.promotions += promoting;
        sums.splits += splitting;
        sums.last_ns = static_cast<std::uint64_t>((end.tv_sec - begin.tv_sec) * 1'000'000'000 + end.tv_nsec
                                                  - begin.tv_nsec);
        sums.worst_ns = std::max(sums.worst_ns, sums.last_ns);
    }

    bool promote(Part& part, DeferredCleanup& cleanup) {
        Table* tables[1];
        if (!fill(part, tables, cleanup)) return false;
        stress::reach(stress::Window::kPromoting);
        cleanup.table = part.view_now().table_now();
        // release: pairs with the acquire in arrive(); publishes the table
        part.view.store(as_word(tables[0]), std::memory_order_release);
        // relaxed: a hint, which loses the cells that were deleted meanwhile
        part.tombstones.store(0, std::memory_order_relaxed);
        part.cells.store(tables[0]->used(), std::memory_order_relaxed);  // relaxed: a hint to other threads
        sums.bytes -= cleanup.table->bytes();
        forget_dirty(part);
        return true;
    }

    /// Replaces one part by two. A thread that came before finds the old part's read table as it was, and its
    /// view as amended as it was.
    bool split(Part& part, DeferredCleanup& cleanup) {
        Directory* root = root_now();
        Owned<Directory> wider(part.depth < root->bits() ? nullptr : root->doubled());
        Owned<Part> halves[2] = {
            Owned<Part>(Part::make(part.depth + 1, part.first)),
            Owned<Part>(Part::make(part.depth + 1, part.first | std::uint64_t{1} << (63 - part.depth)))};
        Table* tables[2];
        if ((part.depth == root->bits() && !wider) || !halves[0] || !halves[1]
            || !fill(part, tables, cleanup))
            return false;
        stress::reach(stress::Window::kPromoting);
        Directory* directory = wider ? wider.get() : root;
        for (int i = 0; i < 2; ++i) {
            // relaxed, all: put() publishes the part
            halves[i]->view.store(as_word(tables[i]), std::memory_order_relaxed);
            halves[i]->cells.store(tables[i]->used(), std::memory_order_relaxed);
            halves[i]->saved.store(part.saved.load(std::memory_order_relaxed), std::memory_order_relaxed);
            directory->put(halves[i].release());
        }
        cleanup.table = part.view_now().table_now();
        cleanup.part = &part;
        sums.bytes += part.bytes();  // two for one
        sums.bytes -= cleanup.table->bytes();
        ++sums.parts;
        forget_dirty(part);
        if (!wider) return true;
        cleanup.directory = root;
        sums.bytes += directory->bytes() - root->bytes();
        root_.store(wider.release(), std::memory_order_release);  // release: pairs with arrive_at()
        return true;
    }

    /// Makes a table for all cells of a part, or for those of each half, and expunges those that are deleted.
    /// False, and nothing has changed, when there is no memory.
    template <std::size_t kTables>
    bool fill(Part& part, Table* (&tables)[kTables], DeferredCleanup& cleanup) {
        std::size_t cells[kTables] = {};
        auto half_of = [&](std::uint64_t hash) {
            return kTables == 1 ? 0 : spread(hash) >> (63 - part.depth) & 1;
        };
        each_cell(part, [&](std::uint64_t hash, Cell&) { ++cells[half_of(hash)]; });
        Owned<Table> fresh[kTables];
        for (std::size_t i = 0; i < kTables; ++i) {
            fresh[i].reset(Table::make(cells[i]));
            if (!fresh[i]) return false;
        }
        each_cell(part, [&](std::uint64_t hash, Cell& cell) {
            if (!expunge(cell, cleanup)) fresh[half_of(hash)]->add(spread(hash), hash, &cell);
        });
        for (std::size_t i = 0; i < kTables; ++i) {
            sums.bytes += fresh[i]->bytes();
            tables[i] = fresh[i].release();
        }
        return true;
    }

    /// Expunges a deleted cell, so that no thread can bring its key back; false if the cell is not deleted.
    bool expunge(Cell& cell, DeferredCleanup& cleanup) {
        Word value = cell.value.load(std::memory_order_relaxed);  // relaxed: the exchange compares it again
        // acquire: pairs with the release of the exchange that deleted it. release: pairs with the acquire in
        // retain_key(), whose thread then sees that the cell has gone.
        if (value
            || !cell.value.compare_exchange_strong(value, cleanup.expunged | kExpunged,
                                                   std::memory_order_acq_rel))
            return false;
        cleanup.expunged = as_word(&cell);
        ++sums.expunged;
        --sums.cells;
        return true;
    }

    void forget_dirty(Part& part) {
        if (!part.dirty) return;
        sums.dirty -= part.dirty->used();
        sums.bytes -= part.dirty->bytes();
        --sums.amended;
        Table::free(as_word(std::exchange(part.dirty, nullptr)));
    }

    /// Replaces all parts by one new part, and returns the old ones.
    Directory* replace_all(Directory* first) {
        Part& part = *first->part(0);
        sums.cells = sums.dirty = sums.amended = 0;
        sums.parts = 1;
        sums.bytes = first->bytes() + part.bytes() + part.table_bytes();
        // release: publishes the new part; acquire: makes the content of the old ones visible
        return root_.exchange(first, std::memory_order_acq_rel);
    }

    // ---- freeing, outside the mutex and every pin

    /// Releases the leftovers of a step, and rebuilds the part of a hash if that has too many tombstones now.
    TP_HOT void dispose(DeferredCleanup& cleanup, std::uint64_t hash) {
        if (TP_LIKELY(cleanup.retained != 0)) P::release(cleanup.retained);
        if (TP_UNLIKELY(cleanup.crowded)) tidy(hash);
        if (TP_UNLIKELY(cleanup.table != nullptr)) retire_all(cleanup);
        Reclaimer::poll();
    }

    /// Rebuilds the part of a hash, if it has too many tombstones.
    TP_COLD void tidy(std::uint64_t hash) {
        DeferredCleanup cleanup;
        {
            std::lock_guard hold(mutex);
            Part& part = *root_now()->part(spread(hash));
            if (part.crowded(kFew)) rebuild(part, cleanup);
        }
        dispose(cleanup, hash);
    }

    TP_COLD void retire_all(const DeferredCleanup& cleanup) {
        for (Word at = cleanup.expunged; at;) {
            Cell* cell = as<Cell>(at);
            // relaxed: an expunged cell does not change
            at = cell->value.load(std::memory_order_relaxed) & ~kExpunged;
            retire_cell(cell);
        }
        retire(cleanup.table);
        if (cleanup.part) retire(cleanup.part);
        if (cleanup.directory) retire(cleanup.directory);
    }

    template <class T>
    static void retire(T* unlinked) {
        if constexpr (P::kThreads) Reclaimer::retire(Retired{as_word(unlinked), T::free}, unlinked->bytes());
        else T::free(as_word(unlinked));
    }
    /// A key that match() reads is released after the readers, with its cell. Another is released at once.
    static void retire_cell(Cell* cell) {
        const Word key = cell->key;
        if (!P::kThreads) free_cell(as_word(cell));
        else if (P::deferred(key))
            Reclaimer::retire(Retired{as_word(cell), free_cell}, kCellBytes + P::weight(key));
        else {
            Reclaimer::retire(Retired{as_word(cell), Cell::free}, kCellBytes);
            P::release(key);
        }
    }
    static void free_cell(Word word) {
        Word key = as<Cell>(word)->key;
        Cell::free(word);
        P::release(key);
    }

    // ---- checks

    /// Asserts the invariants, and returns how many keys readers see; no thread may be changing the map.
    std::int64_t check() {
        std::uint64_t cells = 0, dirty = 0, parts = 0, amended = 0, bytes = 0;
        std::int64_t seen = 0;
        Directory& root = *root_now();
        root.each([&](Part& part) {
            seen += check_part(root, part);
            cells += part.cells.load(std::memory_order_relaxed);
            dirty += part.dirty ? part.dirty->used() : 0;
            amended += part.dirty != nullptr;
            bytes += part.bytes() + part.table_bytes();
            ++parts;
        });
        require(cells == sums.cells && dirty == sums.dirty && amended == sums.amended && parts == sums.parts,
                "cells are counted");
        require(bytes + root.bytes() == sums.bytes, "memory is counted");
        return seen;
    }

 private:
    std::int64_t check_part(Directory& root, Part& part) {
        std::int64_t seen = 0;
        std::uint64_t cells = 0;
        require(part.view_now().amended() == (part.dirty && part.dirty->used()),
                "a view is amended if its part has a dirty table");
        each_cell(part, [&](std::uint64_t hash, Cell& cell) {
            // relaxed: no thread changes the map
            Word value = cell.value.load(std::memory_order_relaxed), key = cell.key;
            require(root.part(spread(hash)) == &part, "a cell lies in its part");
            require(live(value) || value == 0, "an expunged cell is in no table");
            int times = 0;
            for (Table* table : {part.view_now().table_now(), part.dirty}) {
                for (std::uint64_t at = spread(hash); Cell* other = table ? table->next(hash, at) : nullptr;)
                    times += other->key == key;
            }
            require(times == 1, "a key has one cell only");
            seen += Base::visible(value);
            ++cells;
        });
        require(cells == part.cells.load(std::memory_order_relaxed), "a part's cells are counted");
        return seen;
    }

    // Read by every call, and written when the directory doubles.
    alignas(kApart) std::atomic<Directory*> root_{nullptr};
    const std::uint64_t secret_;

 public:
    // Written by the holder of the mutex.
    alignas(kApart) typename Base::Lock mutex{};

    /// The metrics of all parts, under the mutex.
    struct Sums {
        std::uint64_t misses, promotions, splits, cells, dirty, amended, parts, expunged, last_ns, worst_ns,
            bytes;
    } sums{};
};

}  // namespace threadproof
