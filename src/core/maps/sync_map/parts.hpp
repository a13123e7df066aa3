/// The tables of a SyncMap, and what happens to them under the mutex: a new key comes, a part's new keys are
/// promoted, a part splits.
///
/// map.hpp says how it works, what a cell's value may be, and the invariants. Nothing here waits, and nothing
/// calls a user's code but retire() and tidy(), which are for outside the mutex.
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
    using Probe = typename P::Probe;
    using Cell = SyncCell;
    using Table = SyncTable;
    using Part = SyncPart;
    using Directory = SyncDirectory;

 public:
    // A part splits beyond this many cells: to copy them takes some microseconds, and a directory for 5e6
    // keys is a quarter of a megabyte.
    static constexpr std::uint32_t kPart = stress::shrunk(256u, 4u);
    // Cells a part that the directory must have before it doubles: many keys of one hash cannot be split, and
    // must not try for ever.
    static constexpr std::uint64_t kDense = stress::shrunk(32u, 1u);
    // Fewer tombstones than this are not worth a new table: a key that comes and goes keeps its cell.
    static constexpr std::int32_t kFew = stress::shrunk(8, 1);
    static constexpr std::size_t kCellBytes = sizeof(Cell) + 2 * sizeof(void*);  // and what an allocator adds

    explicit SyncParts(std::uint64_t secret) : secret_(secret) {
        Directory* first = Directory::first();
        if (!first) throw std::bad_alloc();
        replace_all(first);
    }

    /// Nobody may be using the map; its values are gone.
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

    /// Where a key belongs, as it was when we came.
    struct Spot {
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

    TP_HOT Spot arrive(std::uint64_t hash) const { return arrive_at(spread(hash)); }
    TP_HOT Spot arrive_at(std::uint64_t position) const {
        // acquire: pairs with split() and detach()
        Part* part = root_.load(std::memory_order_acquire)->part(position);
        // acquire: pairs with promote() and insert()
        return {part, View{part->view.load(std::memory_order_acquire)}};
    }

    /// Whether a spot is still what it was. Under the mutex: then it stays so.
    bool current(const Spot& at, std::uint64_t position) const {
        return root_now()->part(position) == at.part && at.part->view_now().word == at.view.word;
    }

    /// The directory, for who holds the mutex, or has stopped everybody.
    Directory* root_now() const { return root_.load(std::memory_order_relaxed); }  // ours

    template <class Visit>
    static void each_cell(Part& part, Visit visit) {
        part.view_now().table().each(visit);
        if (part.dirty) part.dirty->each(visit);
    }

    // ---- changing, under the mutex

    /// What a step leaves to be given up outside the mutex and the Section.
    struct Leftovers {
        Word held = 0;      ///< a value held for nothing any more
        Word expunged = 0;  ///< the first expunged cell, which leads to the others
        Table* table = nullptr;
        Part* part = nullptr;
        Directory* directory = nullptr;
        bool crowded = false;  ///< the key's part has too many tombstones
    };

    /// Puts a new cell into the dirty table. From the mark in the view on, readers look for it there. False,
    /// and nothing has changed, when there is no memory.
    bool insert(Part& part, const Probe& probe, Word value, StripedCount::Stripe& stripe, Leftovers& left) {
        Cell* cell = make_room(part) ? Cell::make() : nullptr;
        if (!cell) return false;  // an empty dirty table may stay; it does no harm
        cell->key = P::stored(probe);
        cell->value.store(value, std::memory_order_relaxed);  // published by the view, or by the mutex
        P::open(cell->key);
        P::open(value);
        CountChange counted(stripe, Base::visible(value));
        part.dirty->add(spread(probe.hash), probe.hash, cell);
        stress::reach(stress::Window::kAmending);
        View view = part.view_now();
        // release: pairs with arrive()
        if (!view.amended()) part.view.store(view.word | View::kAmended, std::memory_order_release);
        part.cells.fetch_add(1, std::memory_order_relaxed);  // a hint to others
        ++sums.cells;
        ++sums.dirty;
        if (can_split(part)) rebuild(part, left);
        return true;
    }

    /// Sees to it that there is a dirty table with room for one cell more. Nobody looks at it without the
    /// mutex.
    bool make_room(Part& part) {
        Table* old = part.dirty;
        if (old && !old->full()) return true;
        // 3: in 4 slots, the fewest that are worth a line
        Table* table = Table::make(old ? 2 * old->used() : 3);
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

    /// A key was looked for in vain in the read table; when that has happened once for each cell that is not
    /// in it, they go there.
    void count_miss(Part& part, Leftovers& left) {
        ++sums.misses;
        if (++part.misses >= part.dirty->used()) rebuild(part, left);
    }

    bool can_split(const Part& part) const {
        unsigned bits = root_now()->bits();
        return part.cells.load(std::memory_order_relaxed) > kPart
               && (part.depth < bits || sums.cells >> bits >= kDense);
    }

    /// Brings all cells of a part into a new read table, or those of two parts, and leaves the deleted ones
    /// out. Nothing happens when there is no memory for it: the part works on, and tries again after as many
    /// misses.
    TP_APART void rebuild(Part& part, Leftovers& left) {
        timespec begin, end;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        part.misses = 0;
        const bool promoting = part.dirty != nullptr, splitting = can_split(part);
        if (!(splitting ? split(part, left) : promote(part, left))) return;
        clock_gettime(CLOCK_MONOTONIC, &end);
        sums.promotions += promoting;
        sums.splits += splitting;
        sums.last_ns = static_cast<std::uint64_t>((end.tv_sec - begin.tv_sec) * 1'000'000'000 + end.tv_nsec
                                                  - begin.tv_nsec);
        sums.worst_ns = std::max(sums.worst_ns, sums.last_ns);
    }

    bool promote(Part& part, Leftovers& left) {
        Table* tables[1];
        if (!fill(part, tables, left)) return false;
        stress::reach(stress::Window::kPromoting);
        left.table = part.view_now().table_now();
        // release: pairs with arrive(); publishes the table
        part.view.store(as_word(tables[0]), std::memory_order_release);
        // a hint: what was deleted meanwhile is counted again
        part.tombstones.store(0, std::memory_order_relaxed);
        part.cells.store(tables[0]->used(), std::memory_order_relaxed);  // a hint to others
        sums.bytes -= left.table->bytes();
        forget_dirty(part);
        return true;
    }

    /// Puts two parts in the place of one. Who came before finds in the old one's read table what was in it,
    /// and its mark.
    bool split(Part& part, Leftovers& left) {
        Directory* root = root_now();
        Owned<Directory> wider(part.depth < root->bits() ? nullptr : root->doubled());
        Owned<Part> halves[2] = {
            Owned<Part>(Part::make(part.depth + 1, part.first)),
            Owned<Part>(Part::make(part.depth + 1, part.first | std::uint64_t{1} << (63 - part.depth)))};
        Table* tables[2];
        if ((part.depth == root->bits() && !wider) || !halves[0] || !halves[1] || !fill(part, tables, left))
            return false;
        stress::reach(stress::Window::kPromoting);
        Directory* directory = wider ? wider.get() : root;
        for (int i = 0; i < 2; ++i) {
            // published with the part, as the rest
            halves[i]->view.store(as_word(tables[i]), std::memory_order_relaxed);
            halves[i]->cells.store(tables[i]->used(), std::memory_order_relaxed);
            halves[i]->saved.store(part.saved.load(std::memory_order_relaxed), std::memory_order_relaxed);
            directory->put(halves[i].release());
        }
        left.table = part.view_now().table_now();
        left.part = &part;
        sums.bytes += part.bytes();  // two for one
        sums.bytes -= left.table->bytes();
        ++sums.parts;
        forget_dirty(part);
        if (!wider) return true;
        left.directory = root;
        sums.bytes += directory->bytes() - root->bytes();
        root_.store(wider.release(), std::memory_order_release);  // release: pairs with arrive()
        return true;
    }

    /// Makes a table for all cells of a part, or for those of each half, and expunges those that are deleted.
    /// False, and nothing has changed, when there is no memory.
    template <std::size_t kTables>
    bool fill(Part& part, Table* (&tables)[kTables], Leftovers& left) {
        std::size_t cells[kTables] = {};
        auto half_of = [&](std::uint64_t hash) {
            return kTables == 1 ? 0 : spread(hash) >> (63 - part.depth) & 1;
        };
        each_cell(part, [&](std::uint64_t hash, Cell&) { ++cells[half_of(hash)]; });
        Owned<Table> made[kTables];
        for (std::size_t i = 0; i < kTables; ++i) {
            made[i].reset(Table::make(cells[i]));
            if (!made[i]) return false;
        }
        each_cell(part, [&](std::uint64_t hash, Cell& cell) {
            if (!expunge(cell, left)) made[half_of(hash)]->add(spread(hash), hash, &cell);
        });
        for (std::size_t i = 0; i < kTables; ++i) {
            sums.bytes += made[i]->bytes();
            tables[i] = made[i].release();
        }
        return true;
    }

    /// Makes a deleted cell one that nobody can bring back; false if it is not deleted.
    bool expunge(Cell& cell, Leftovers& left) {
        Word value = cell.value.load(std::memory_order_relaxed);  // looked at again by the exchange
        // release: what comes before in this thread is not seen later; acquire: of the deletion
        if (value
            || !cell.value.compare_exchange_strong(value, left.expunged | kExpunged,
                                                   std::memory_order_acq_rel))
            return false;
        left.expunged = as_word(&cell);
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

    /// Puts other parts in the place of all; returns the old ones.
    Directory* replace_all(Directory* first) {
        Part& part = *first->part(0);
        sums.cells = sums.dirty = sums.amended = 0;
        sums.parts = 1;
        sums.bytes = first->bytes() + part.bytes() + part.table_bytes();
        // release: publishes the new parts; acquire: the old ones' content
        return root_.exchange(first, std::memory_order_acq_rel);
    }

    // ---- freeing, outside the mutex and every pin

    /// Gives up what a step left, and rebuilds the part of a hash if it has too many tombstones now.
    TP_HOT void dispose(Leftovers& left, std::uint64_t hash) {
        if (TP_LIKELY(left.held != 0)) P::drop(left.held);
        if (TP_UNLIKELY(left.crowded)) tidy(hash);
        if (TP_UNLIKELY(left.table != nullptr)) retire_all(left);
        Reclaimer::poll();
    }

    /// Rebuilds the part of a hash, if it has too many tombstones.
    TP_COLD void tidy(std::uint64_t hash) {
        Leftovers left;
        {
            std::lock_guard hold(mutex);
            Part& part = *root_now()->part(spread(hash));
            if (part.crowded(kFew)) rebuild(part, left);
        }
        dispose(left, hash);
    }

    TP_COLD void retire_all(const Leftovers& left) {
        for (Word at = left.expunged; at;) {
            Cell* cell = as<Cell>(at);
            // relaxed: it does not change any more
            at = cell->value.load(std::memory_order_relaxed) & ~kExpunged;
            retire_cell(cell);
        }
        retire(left.table);
        if (left.part) retire(left.part);
        if (left.directory) retire(left.directory);
    }

    template <class T>
    static void retire(T* unlinked) {
        if constexpr (P::kThreads) Reclaimer::retire(Retired{as_word(unlinked), T::free}, unlinked->bytes());
        else T::free(as_word(unlinked));
    }
    /// A key that readers look into waits for them with its cell; another goes at once.
    static void retire_cell(Cell* cell) {
        const Word key = cell->key;
        if (!P::kThreads) free_cell(as_word(cell));
        else if (P::deferred(key))
            Reclaimer::retire(Retired{as_word(cell), free_cell}, kCellBytes + P::weight(key));
        else {
            Reclaimer::retire(Retired{as_word(cell), Cell::free}, kCellBytes);
            P::drop(key);
        }
    }
    static void free_cell(Word word) {
        Word key = as<Cell>(word)->key;
        Cell::free(word);
        P::drop(key);
    }

    // ---- figures

    /// Asserts the invariants, and returns how many keys readers see; nobody may be changing the map.
    std::int64_t check() {
        std::uint64_t cells = 0, dirty = 0, parts = 0, amended = 0, bytes = 0;
        std::int64_t seen = 0;
        Directory& root = *root_now();
        root.each([&](Part& part) {
            seen += check_part(root, part);
            cells += part.cells.load(std::memory_order_relaxed);  // nobody changes it
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
            // relaxed: nobody changes the map
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
        require(cells == part.cells.load(std::memory_order_relaxed), "a part knows how many cells it has");
        return seen;
    }

    // Read by every call, written when the directory doubles.
    alignas(kApart) std::atomic<Directory*> root_{nullptr};
    const std::uint64_t secret_;

 public:
    // Written by whoever has the mutex.
    alignas(kApart) typename Base::Lock mutex{};

    /// What stats() tells, under the mutex.
    struct Sums {
        std::uint64_t misses, promotions, splits, cells, dirty, amended, parts, expunged, last_ns, worst_ns,
            bytes;
    } sums{};
};

}  // namespace threadproof
