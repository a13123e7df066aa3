/// The cells of variables, and the containers that hold them: by name, by position, by object.
///
/// An object's few named variables are found by a linear search, many by hashing, and positions (the elements
/// of a list) by their index. Nothing here locks: a shard of the Shadow guards its objects.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

#include "core/base/stress.hpp"
#include "core/probe/object.hpp"
#include "core/race/access.hpp"

namespace threadproof::race {

using probe::mixed;
using probe::Object;

/// The reads of a variable that a later write could race with: none, one, or one for each of several threads.
class Reads {
 public:
    Reads() = default;
    Reads(Reads&& other) noexcept : one_(std::exchange(other.one_, Access{})) {}
    Reads& operator=(Reads&& other) noexcept {
        std::swap(one_, other.one_);
        return *this;
    }
    ~Reads() { clear(); }

    template <class Visit>
    void each(Visit&& visit) const {
        if (several())
            for (const Access& access : *several()) visit(access);
        else if (one_.epoch) visit(one_);
    }

    /// The thread's read in this epoch or a later one, if there is one.
    const Access* since(Epoch first) const {
        if (!several()) return one_.epoch.is_since(first) ? &one_ : nullptr;
        for (const Access& access : *several())
            if (access.epoch.is_since(first)) return &access;
        return nullptr;
    }

    /// `clock` is the reader's.
    void remember(const Access& access, const Clock& clock) {
        if (!several() && clock.covers(one_.epoch)) one_ = access;
        else replace(access);
    }

    void clear() {
        delete several();
        one_ = Access{};
    }

 private:
    using Several = std::vector<Access>;

    /// The reserved thread id kMostThreads tags several reads; the 48-bit count then holds the vector's
    /// address.
    Several* several() const {
        return one_.epoch.thread() == Epoch::kMostThreads ? reinterpret_cast<Several*>(one_.epoch.count())
                                                          : nullptr;
    }

    void replace(const Access& access) {
        if (!several()) {
            auto first = std::make_unique<Several>(1, one_);
            one_ = Access{Epoch(Epoch::kMostThreads, reinterpret_cast<std::uintptr_t>(first.release()))};
        }
        for (Access& other : *several())
            if (other.epoch.thread() == access.epoch.thread()) {
                other = access;
                return;
            }
        several()->push_back(access);
    }

    Access one_;
};

/// The accesses to one variable that a later one can still race with.
struct Cell {
    Access write;
    Reads reads;

    template <class Visit>
    void each_read(Visit&& visit) const {
        reads.each(visit);
    }

    /// Whether the cell has an access, of the thread's since this epoch, that covers one of this kind.
    bool has_seen(Epoch since, bool writes, std::uint32_t flags) const {
        if (write.epoch.is_since(since) && write.has(flags)) return true;
        const Access* read = writes ? nullptr : reads.since(since);
        return read && read->has(flags);
    }
};

/// Cells by position, in segments that double: a cell never moves, at most half are unused, and pages that
/// are never accessed stay unmapped.
class Row {
 public:
    /// The cell at this position, or null.
    Cell* find(std::size_t position) {
        auto [segment, offset] = locate(position);
        return segment < segments_.size() && segments_[segment] ? &segments_[segment].get()[offset] : nullptr;
    }

    /// Makes the position's segment.
    void grow(std::size_t position) {
        std::size_t segment = locate(position).segment, size = size_of(segment);
        if (segment >= segments_.size()) segments_.resize(segment + 1);
        // an unused cell is all zeroes
        segments_[segment] = {static_cast<Cell*>(std::calloc(size, sizeof(Cell))), Free{size}};
        if (!segments_[segment]) throw std::bad_alloc();
        count_ += size;
    }
    std::size_t count() const { return count_; }

    template <class Visit>
    void each(Visit&& visit) const {
        for (const auto& segment : segments_)
            for (std::size_t i = 0; segment && i < segment.get_deleter().size; ++i) visit(segment.get()[i]);
    }

 private:
    static constexpr std::size_t kFirst = 4;  // cells of the first segment: most lists are short

    struct Location {
        std::size_t segment, offset;
    };
    struct Free {
        std::size_t size = 0;
        void operator()(Cell* cells) const {
            std::destroy_n(cells, size);
            std::free(cells);
        }
    };

    static std::size_t size_of(std::size_t segment) { return kFirst << segment; }
    static Location locate(std::size_t position) {
        std::size_t segment = static_cast<std::size_t>(std::bit_width(position / kFirst + 1)) - 1;
        return {segment, position - kFirst * ((std::size_t{1} << segment) - 1)};
    }

    std::vector<std::unique_ptr<Cell, Free>> segments_;
    std::size_t count_ = 0;
};

/// The cells of one object.
class Cells {
 public:
    /// The cell of this field, or null.
    Cell* find(Field field) {
        if (field & kPosition) return row_.find(field & ~kPosition);
        if (named_.size() > kFew) return find_hashed(field);
        for (Named& named : named_)
            if (named.field == field) return &named.cell;
        return nullptr;
    }

    /// Makes a cell for a field that has none. An object with too many named ones loses them first.
    Cell& add(Field field) {
        if (field & kPosition) {
            row_.grow(field & ~kPosition);
            return *row_.find(field & ~kPosition);
        }
        if (named_.size() == kMostNamed) {
            named_.clear();
            index_.clear();
        }
        // most objects have few variables, and few get more
        std::size_t spare = named_.size() > kFew ? named_.size() / 2 : 1;
        if (named_.size() == named_.capacity()) named_.reserve(named_.size() + spare);
        named_.push_back({field, Cell{}});
        if (named_.size() > kFew) index();
        return named_.back().cell;
    }

    /// All cells that have memory, used or not.
    std::size_t count() const { return named_.size() + row_.count(); }

    template <class Visit>
    void each(Visit&& visit) const {
        for (const Named& named : named_) visit(named.cell);
        row_.each(visit);
    }

    void check() const {
        std::size_t indexed = 0;
        for (std::uint32_t entry : index_) indexed += entry != 0;
        if (named_.size() > kMostNamed) throw std::logic_error("an object has too many cells");
        if (named_.size() > kFew && indexed != named_.size())
            throw std::logic_error("a cell is not in its object's index");
    }

 private:
    // up to here a linear search is faster than hashing
    static constexpr std::size_t kFew = stress::shrunk<std::size_t>(8, 1);

    // of one object, such as a dict whose keys come and go: 16 MB
    static constexpr std::size_t kMostNamed = stress::shrunk<std::size_t>(1 << 18, 256);

    struct Named {
        Field field;
        Cell cell;
    };

    std::uint32_t& slot(std::uint64_t at) { return index_[at & (index_.size() - 1)]; }

    Cell* find_hashed(Field field) {
        for (std::uint64_t at = mixed(field << 4);; ++at) {
            std::uint32_t number = slot(at);
            if (number == 0) return nullptr;
            if (named_[number - 1].field == field) return &named_[number - 1].cell;
        }
    }

    /// Puts the last cell into the index, or rebuilds the index when it would be more than half full.
    void index() {
        if (index_.size() >= 2 * named_.size()) return enter(named_.size());
        index_.assign(std::bit_ceil(4 * named_.size()), 0);
        for (std::size_t number = 1; number <= named_.size(); ++number) enter(number);
    }
    void enter(std::size_t number) {
        std::uint64_t at = mixed(named_[number - 1].field << 4);
        while (slot(at) != 0) ++at;
        slot(at) = static_cast<std::uint32_t>(number);
    }

    std::vector<Named> named_;
    // 1 + a position in named_, or 0; its size is a power of two; empty while the cells are few
    std::vector<std::uint32_t> index_;
    Row row_;
};

/// The objects of a shard: open addressing over a power of two of slots, at most half of them used.
class Objects {
 public:
    Cells* find(Object object) {
        if (slots_.empty()) return nullptr;
        for (std::uint64_t at = start_of(object);; ++at) {
            Slot& slot = slot_at(at);
            if (slot.object == object) return slot.cells.get();
            if (!slot.cells) return nullptr;
        }
    }

    /// `object` has no cells yet.
    Cells& add(Object object) {
        if (2 * (size_ + 1) > slots_.size()) enlarge();
        ++size_;
        return *place({object, std::make_unique<Cells>()}).cells;
    }

    /// `object` has cells.
    void erase(Object object) {
        std::uint64_t at = start_of(object);
        while (slot_at(at).object != object) ++at;
        slot_at(at) = Slot{};
        --size_;
        // entries that collided with it move closer to where their search begins
        for (++at; slot_at(at).cells; ++at) place(std::exchange(slot_at(at), Slot{}));
    }

    void clear() {
        slots_.clear();
        size_ = 0;
    }

    template <class Visit>
    void each(Visit&& visit) const {
        for (const Slot& slot : slots_)
            if (slot.cells) visit(slot.object, *slot.cells);
    }

 private:
    static constexpr std::size_t kFirst = 4;  // slots

    struct Slot {
        Object object = 0;
        std::unique_ptr<Cells> cells;
    };

    /// Where the search for an object begins; the bits below choose the shard.
    static std::uint64_t start_of(Object object) { return mixed(object) >> 16; }
    Slot& slot_at(std::uint64_t at) { return slots_[at & (slots_.size() - 1)]; }

    Slot& place(Slot&& slot) {
        std::uint64_t at = start_of(slot.object);
        while (slot_at(at).cells) ++at;
        return slot_at(at) = std::move(slot);
    }

    void enlarge() {
        std::vector<Slot> old(slots_.empty() ? kFirst : 2 * slots_.size());
        old.swap(slots_);
        for (Slot& slot : old)
            if (slot.cells) place(std::move(slot));
    }

    std::vector<Slot> slots_;
    std::size_t size_ = 0;
};

}  // namespace threadproof::race
