/// The parts of a SyncMap: cells, tables of cells, parts, which have two tables each, and the directory of
/// parts.
///
///     directory -> part -> view: read table -> cell {key, value}
///                       -> dirty table -----^
///
/// Everything that a reader can reach without the mutex (the directory, the parts in it, a part's view, a
/// read table) is published by a release store and found by an acquire load. It never changes afterwards,
/// except for the fields that SyncPart names.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#include "core/base/hints.hpp"
#include "core/base/memory.hpp"
#include "core/base/threads.hpp"

namespace threadproof {

#ifdef THREADPROOF_PACKED  // to measure the cost of shared cache lines: benchmarks/false_sharing.py
inline constexpr std::size_t kApart = alignof(std::uint64_t);
#else
inline constexpr std::size_t kApart = kNoSharing;
#endif

template <class T>
TP_HOT Word as_word(T* object) {
    return reinterpret_cast<Word>(object);
}
template <class T>
TP_HOT T* as(Word word) {
    return reinterpret_cast<T*>(word);
}

/// Zeroed memory that begins with a T; null when there is none.
template <class T>
T* allocate(std::size_t bytes) {
    return static_cast<T*>(allocate_zeroed(bytes, alignof(T) > alignof(std::max_align_t)));
}
constexpr std::size_t round_up(std::size_t bytes) {
    return (bytes + kNoSharing - 1) / kNoSharing * kNoSharing;
}

/// Owns an object that is not published yet.
template <class T>
struct Freeing {
    void operator()(T* object) const { T::free(as_word(object)); }
};
template <class T>
using Owned = std::unique_ptr<T, Freeing<T>>;

/// The bit that marks the value of an expunged cell. A policy's words do not have it.
inline constexpr Word kExpunged = 2;
TP_HOT bool live(Word value) { return value && !(value & kExpunged); }

/// A key and its value, which is exchanged atomically; map.hpp has the table of its states.
struct SyncCell {
    Word key;
    std::atomic<Word> value;

    static SyncCell* make() { return new (std::nothrow) SyncCell{}; }
    static void free(Word cell) { delete as<SyncCell>(cell); }
};

/// Finds cells by the hashes of their keys: open addressing, linear probing, no removal. Once published, a
/// read table never changes; before that, and as a dirty table, it is guarded by the mutex.
class SyncTable {
 public:
    /// A table for this many cells; null when there is no memory.
    static SyncTable* make(std::size_t cells) {
        // At most 3/4 full: a search for an absent key then looks at 8 slots on average (Knuth, TAOCP 3,
        // 6.4).
        std::size_t slots = std::bit_ceil(cells + cells / 3 + 1);
        std::size_t bytes = round_up(sizeof(SyncTable) + slots * sizeof(Slot));
        SyncTable* table = allocate<SyncTable>(bytes);
        if (!table) return nullptr;
        table->mask_ = slots - 1;
        table->bytes_ = bytes;
        return table;
    }
    static void free(Word table) { Released{as<void>(table), as<SyncTable>(table)->bytes_}.all(); }

    std::size_t bytes() const { return bytes_; }
    std::size_t used() const { return used_; }
    bool full() const { return used_ >= (mask_ + 1) * 3 / 4; }

    /// The table is not full.
    void add(std::uint64_t spread, std::uint64_t hash, SyncCell* cell) {
        std::uint64_t at = spread;
        while (slots()[at & mask_].cell) ++at;
        slots()[at & mask_] = {hash, cell};
        ++used_;
    }

    /// The next cell of a hash, or null. The search begins with the spread hash in `at`, which moves on.
    TP_HOT SyncCell* next(std::uint64_t hash, std::uint64_t& at) const {
        for (;;) {
            const Slot& slot = slots()[at++ & mask_];
            if (TP_LIKELY(slot.hash == hash) || !slot.cell) return slot.cell;
        }
    }

    template <class Visit>
    void each(Visit visit) const {
        for (std::size_t i = 0; i <= mask_; ++i)
            if (slots()[i].cell) visit(slots()[i].hash, *slots()[i].cell);
    }

 private:
    struct Slot {
        std::uint64_t hash;
        SyncCell* cell;
    };

    Slot* slots() { return reinterpret_cast<Slot*>(this + 1); }
    const Slot* slots() const { return reinterpret_cast<const Slot*>(this + 1); }

    std::uint64_t mask_;
    std::size_t used_, bytes_;
};

/// A part's read table, and whether there are cells that are not in it.
struct View {
    static constexpr Word kAmended = 1;
    Word word;

    TP_HOT bool amended() const { return word & kAmended; }
    TP_HOT const SyncTable& table() const { return *as<SyncTable>(word & ~kAmended); }
    SyncTable* table_now() const { return as<SyncTable>(word & ~kAmended); }
};

/// The cells whose spread hashes begin with the same `depth` bits.
struct SyncPart {
    // Read by every call, and written when a table is promoted and when a first new key comes.
    alignas(kApart) std::atomic<Word> view;  ///< see View
    std::uint64_t first;                     ///< of the spread hashes that begin with its bits; never changes
    unsigned depth;                          ///< how many bits that are; never changes

    // Written by the threads that change keys.
    alignas(kApart) SyncTable* dirty;
    std::size_t misses;                    ///< keys that were not in the read table, since it was made
    std::atomic<std::size_t> cells;        ///< in both tables
    std::atomic<std::int32_t> tombstones;  ///< deleted ones, except some deleted during a promotion
    std::atomic<std::uint64_t> saved;      ///< the number of the last snapshot that has saved the part

    static SyncPart* make(unsigned depth, std::uint64_t first) {
        SyncPart* part = allocate<SyncPart>(bytes());
        if (!part) return nullptr;
        part->depth = depth;
        part->first = first;
        return part;
    }
    static void free(Word part) { Released{as<void>(part), bytes()}.all(); }
    static void free_with_tables(SyncPart& part) {
        SyncTable::free(as_word(part.view_now().table_now()));
        if (part.dirty) SyncTable::free(as_word(part.dirty));
        free(as_word(&part));
    }

    static std::size_t bytes() { return round_up(sizeof(SyncPart)); }
    std::size_t table_bytes() const { return view_now().table().bytes() + (dirty ? dirty->bytes() : 0); }

    /// The view, for the holder of the mutex or a thread that has the part to itself. Relaxed: see there.
    View view_now() const { return View{view.load(std::memory_order_relaxed)}; }

    /// Counts one tombstone more or less; whether there are too many now.
    bool bury(std::int32_t by, std::int32_t few) {
        tombstones.fetch_add(by, std::memory_order_relaxed);  // relaxed: a hint
        return by > 0 && crowded(few);
    }
    /// Whether at least `few` of its cells, and more than half of them, are deleted.
    bool crowded(std::int32_t few) const {
        std::int32_t dead = tombstones.load(std::memory_order_relaxed);
        return dead >= few && 2 * static_cast<std::size_t>(dead) > cells.load(std::memory_order_relaxed);
    }
};

#ifndef THREADPROOF_PACKED
static_assert(offsetof(SyncPart, dirty) - offsetof(SyncPart, view) >= kNoSharing,
              "what readers read is on no line with what writers write");
static_assert(sizeof(SyncPart) % kNoSharing == 0, "two parts share no line");
#endif

/// 2^bits slots, by the first bits of a spread hash. Parts of lesser depth have several in a row.
class SyncDirectory {
 public:
    /// One part, with an empty read table; null when there is no memory.
    static SyncDirectory* first() {
        Owned<SyncDirectory> directory(make(0));
        Owned<SyncPart> part(SyncPart::make(0, 0));
        SyncTable* table = directory && part ? SyncTable::make(0) : nullptr;
        if (!table) return nullptr;
        part->view.store(as_word(table), std::memory_order_relaxed);  // relaxed: not published yet
        directory->put(part.release());
        return directory.release();
    }
    /// The same parts, with twice the slots; null when there is no memory.
    SyncDirectory* doubled() const {
        SyncDirectory* wider = make(bits_ + 1);
        for (std::size_t i = 0; wider && i < wider->size(); ++i)
            // relaxed: published with the directory
            wider->parts()[i].store(at(i / 2), std::memory_order_relaxed);
        return wider;
    }
    static void free(Word directory) {
        Released{as<void>(directory), as<SyncDirectory>(directory)->bytes()}.all();
    }

    unsigned bits() const { return static_cast<unsigned>(bits_); }
    std::size_t bytes() const { return round_up(sizeof(SyncDirectory) + size() * sizeof(void*)); }
    std::size_t size() const { return std::size_t{1} << bits_; }

    /// The part for a spread hash.
    TP_HOT SyncPart* part(std::uint64_t spread) const { return at(index(spread)); }

    void put(SyncPart* part) {
        std::size_t first = index(part->first);
        // release: pairs with the acquire in at(); publishes the part
        for (std::size_t i = 0; i < slots_of(*part); ++i)
            parts()[first + i].store(part, std::memory_order_release);
    }

    template <class Visit>
    void each(Visit visit) const {
        for (std::size_t i = 0; i < size();) {
            SyncPart* part = at(i);
            i += slots_of(*part);  // first: the visit may free it
            visit(*part);
        }
    }

 private:
    static SyncDirectory* make(unsigned bits) {
        SyncDirectory* directory =
            allocate<SyncDirectory>(round_up(sizeof(SyncDirectory) + (sizeof(void*) << bits)));
        if (directory) directory->bits_ = bits;
        return directory;
    }

    std::size_t slots_of(const SyncPart& part) const { return std::size_t{1} << (bits_ - part.depth); }
    TP_HOT std::size_t index(std::uint64_t spread) const {
        return spread >> 1 >> (63 - bits_);  // in two steps: a shift by 64 is undefined
    }
    TP_HOT SyncPart* at(std::size_t index) const {
        return parts()[index].load(std::memory_order_acquire);  // acquire: pairs with the release in put()
    }
    std::atomic<SyncPart*>* parts() { return reinterpret_cast<std::atomic<SyncPart*>*>(this + 1); }
    const std::atomic<SyncPart*>* parts() const {
        return reinterpret_cast<const std::atomic<SyncPart*>*>(this + 1);
    }

    std::uint64_t bits_;
};

}  // namespace threadproof
