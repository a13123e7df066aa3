/// The table of a LockedMap, without its lock: entries in the order of insertion, and cells that find them.
///
///     cells_   [code, index + 1]   by the code of a hash, which is 32 bits of it: linear probing
///     entries_ {key, value, hash, number}
///
/// A cell has the whole code, so a search touches no entry but that of its hash, and the cells can be moved to
/// a larger array without looking at the entries. A removed entry leaves a hole, which the next compaction
/// closes; the cells have no tombstones. Iteration goes by numbers: they grow along the entries and are never
/// given twice, so a position is right whatever the table does meanwhile.
///
/// Ancestors: CPython's dict (a dense array of entries, and an index), Knuth's algorithm R (TAOCP 3, 6.4) for
/// removal with linear probing.
///
/// Invariants
///  1. The cells that are not empty are live_ many, at most limit_, and each has the code and the index of an
///     entry with a key; each such entry has one.
///  2. Between the home of a code and each of its cells, no cell is empty.
///  3. The numbers of entries_[0 .. used_) grow, and next_number_ is greater than all of them.
///  4. Only entries_[0 .. used_) are initialised; the last of them has a key.
///
/// All fields: plain, by the holder of the map's lock, or a thread that has the table to itself.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/base/hints.hpp"
#include "core/base/memory.hpp"
#include "core/base/threads.hpp"

namespace threadproof {

/// Where a hash belongs: the first bits of its product with a secret multiplier choose the shard, the next 32
/// are its code.
struct Spread {
    std::uint64_t multiplier;
    unsigned shard_bits;

    // in two steps: a shift by 64 is undefined
    TP_HOT std::size_t shard(std::uint64_t hash) const { return hash * multiplier >> 1 >> (63 - shard_bits); }
    TP_HOT std::uint64_t code(std::uint64_t hash) const { return hash * multiplier << shard_bits >> 32; }
};

class LockedTable {
 public:
    struct alignas(32) Entry {  // so that each is in one cache line
        Word key;               ///< 0: removed
        Word value;
        std::uint64_t hash, number;
    };

    LockedTable() = default;
    ~LockedTable() { free_memory(); }
    LockedTable(const LockedTable&) = delete;
    LockedTable& operator=(const LockedTable&) = delete;

    /// Before the first entry.
    void spread_by(Spread spread) { spread_ = spread; }

    /// Moves all entries to a new table. This one continues with the same numbers.
    void move_to(LockedTable& other) {
        std::swap(cells_, other.cells_);
        std::swap(entries_, other.entries_);
        std::swap(bits_, other.bits_);
        std::swap(room_, other.room_);
        std::swap(used_, other.used_);
        std::swap(live_, other.live_);
        std::swap(limit_, other.limit_);
    }

    std::size_t live() const { return live_; }
    std::uint64_t next_number() const { return next_number_; }
    std::size_t bytes() const { return cells_bytes(cells_ == kNoCells ? 0 : bits_) + room_ * sizeof(Entry); }

    // ---- searching

    TP_HOT std::uint64_t code(std::uint64_t hash) const { return spread_.code(hash); }
    /// The cell where the search for a code begins.
    TP_HOT std::size_t home(std::uint64_t code) const { return code >> (32 - bits_); }

    /// The next entry with this code, or null: from cell `at` on, which is then that of the entry.
    TP_HOT Entry* next(std::uint64_t code, std::size_t& at) const {
        for (;; pass(at)) {
            std::uint64_t cell = cells_[at];
            if (TP_UNLIKELY(cell == 0)) return nullptr;
            if (TP_LIKELY(cell >> 32 == code)) return &entries_[static_cast<std::uint32_t>(cell) - 1];
        }
    }
    TP_HOT void pass(std::size_t& at) const { at = (at + 1) & mask(); }

    // ---- changing

    /// Makes room for one more entry; entries and cells may move. False when there is no memory.
    TP_HOT bool make_room() { return TP_LIKELY(used_ < room_ && live_ < limit_) || make_room_slow(); }

    /// There is room. Owns the references from now on.
    TP_HOT void insert(std::uint64_t hash, Word key, Word value) {
        entries_[used_] = {key, value, hash, next_number_++};
        place(spread_.code(hash), used_++);
        ++live_;
    }

    /// Removes the entry of a cell, whose references go to the caller. Entries and cells may move.
    void remove(std::size_t at) {
        Entry& entry = entries_[static_cast<std::uint32_t>(cells_[at]) - 1];
        entry.key = entry.value = 0;
        vacate(at);
        --live_;
        while (used_ && !entries_[used_ - 1].key) --used_;
        // far below the room of 1.5 that growing leaves, so that few changes do not come here twice
        if (TP_UNLIKELY(live_ < room_ / 8 && room_ > kSmall)) shrink();
    }

    // ---- all entries

    Entry* begin() const { return entries_; }
    Entry* end() const { return entries_ + used_; }

    /// The first entry whose number is at least this.
    Entry* from(std::uint64_t number) const {
        if (!used_ || number <= entries_->number) return entries_;
        // without holes, the numbers of neighbours differ by 1
        std::uint64_t guess = number - entries_->number;
        if (guess < used_ && entries_[guess].number == number) return entries_ + guess;
        Entry* last = entries_ + std::min<std::uint64_t>(guess, used_);
        return std::partition_point(entries_, last, [&](const Entry& each) { return each.number < number; });
    }

    /// Whether the invariants hold.
    bool check() const {
        std::size_t live = 0, cells = 0;
        for (std::size_t at = 0; at <= mask(); ++at) cells += cells_[at] != 0;
        for (const Entry& entry : *this) {
            if (&entry != entries_ && entry.number <= (&entry - 1)->number) return false;
            if (entry.number >= next_number_) return false;
            if (!entry.key) continue;
            ++live;
            std::size_t at = home(spread_.code(entry.hash));
            while (Entry* found = next(spread_.code(entry.hash), at)) {
                if (found == &entry) break;
                pass(at);
            }
            if (!cells_[at]) return false;
        }
        return live == live_ && cells == live_ && live_ <= limit_ && used_ <= room_
               && (!used_ || entries_[used_ - 1].key);
    }

 private:
    static constexpr std::size_t kSmall = stress::shrunk(64, 4);  // 2 KB of entries: not worth a second look
    static constexpr std::size_t kFirstRoom = stress::shrunk(8, 1);
    static constexpr unsigned kFirstBits = stress::shrunk(3, 1);
    static constexpr unsigned kMostBits = 32;  // as many as a code has
    /// The cells of a table without memory: never written, as limit_ is 0 then.
    static inline std::uint64_t kNoCells[2] = {0, 0};

    std::size_t mask() const { return (std::size_t{1} << bits_) - 1; }
    static std::size_t cells_bytes(unsigned bits) {
        if (!bits) return 0;
        std::size_t bytes = sizeof(std::uint64_t) << bits;
        return (bytes + kNoSharing - 1) / kNoSharing * kNoSharing;
    }

    void place(std::uint64_t code, std::size_t index) {
        std::size_t at = home(code);
        while (cells_[at]) pass(at);
        cells_[at] = code << 32 | (index + 1);
    }

    /// Empties a cell, and moves cells behind it back: those that a search would not find behind the gap.
    void vacate(std::size_t gap) {
        for (std::size_t at = (gap + 1) & mask(); cells_[at]; pass(at)) {
            std::size_t passed = (at - home(cells_[at] >> 32)) & mask();
            if (passed < ((at - gap) & mask())) continue;
            cells_[gap] = cells_[at];
            gap = at;
        }
        cells_[gap] = 0;
    }

    TP_COLD bool make_room_slow() {
        std::size_t holes = used_ - live_;
        // Compacting moves at most two entries for each hole that it closes.
        if (used_ == room_ && holes >= (live_ + 1) / 2 && holes && live_ < limit_) return compact(), true;
        if (used_ == room_ && !resize_entries(std::max(kFirstRoom, room_ + (room_ + 1) / 2))) return false;
        return live_ < limit_ || resize_cells(std::max(kFirstBits, bits_ + 1));
    }

    /// Closes the holes.
    void compact() {
        close_holes();
        std::memset(cells_, 0, sizeof(std::uint64_t) << bits_);
        for (std::size_t i = 0; i < used_; ++i) place(spread_.code(entries_[i].hash), i);
    }
    void close_holes() {
        used_ = static_cast<std::size_t>(std::remove_if(begin(), end(), is_hole) - begin());
    }
    static bool is_hole(const Entry& entry) { return !entry.key; }

    /// Closes the holes, and gives memory back, unless there is none for the smaller arrays.
    TP_COLD void shrink() {
        compact();
        resize_entries(std::max(kFirstRoom, 2 * live_));
        unsigned bits = kFirstBits;
        while ((std::size_t{1} << bits) < 2 * live_) ++bits;
        if (bits < bits_) resize_cells(bits);
    }

    bool resize_entries(std::size_t room) {
        if (stress::starve() || room > UINT32_MAX) return false;  // a cell has 32 bits for index + 1
        auto* larger = static_cast<Entry*>(std::aligned_alloc(alignof(Entry), room * sizeof(Entry)));
        if (!larger) return false;
        if (used_) std::memcpy(larger, entries_, used_ * sizeof(Entry));
        std::free(entries_);
        entries_ = larger;
        room_ = room;
        return true;
    }

    bool resize_cells(unsigned bits) {
        if (bits > kMostBits) return false;
        auto* fresh = static_cast<std::uint64_t*>(allocate_zeroed(cells_bytes(bits), false));
        if (!fresh) return false;
        std::uint64_t* old = std::exchange(cells_, fresh);
        unsigned old_bits = std::exchange(bits_, bits);
        // 3/4 of them, so that a search for an absent key looks at 8 on average, which is a cache line (Knuth,
        // TAOCP 3, 6.4)
        limit_ = mask() - (mask() >> 2);
        if (old == kNoCells) return true;
        // in the order of the codes, so both arrays are passed through from their beginnings to their ends
        for (std::size_t at = 0; at >> old_bits == 0; ++at)
            if (old[at]) place(old[at] >> 32, static_cast<std::uint32_t>(old[at]) - 1);
        Released{old, cells_bytes(old_bits)}.all();
        return true;
    }

    void free_memory() {
        if (cells_ != kNoCells) Released{cells_, cells_bytes(bits_)}.all();
        std::free(entries_);
    }

    std::uint64_t* cells_ = kNoCells;
    Entry* entries_ = nullptr;
    unsigned bits_ = 1;      ///< there are 2^bits_ cells
    std::size_t limit_ = 0;  ///< how many cells may be taken: fewer than all, so that a search ends
    std::size_t room_ = 0, used_ = 0, live_ = 0;
    std::uint64_t next_number_ = 1;
    Spread spread_{};
};

}  // namespace threadproof
