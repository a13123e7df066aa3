/// What the race detector remembers of each variable: its last write, and the reads since.
///
/// A variable is a field of an object; both are numbers to us. An object's variables are found by looking
/// while they are few, by hashing when they are many, and by position where the fields are positions (a
/// list's elements). The objects are spread over shards, each behind a lock of its own that is held for a few
/// steps and calls nothing.
///
/// Invariants: 1. a cell's reads are those that some later write could still race with: one, when the last read covers
///                 those before it (FastTrack's epoch), else one per thread;
///             2. after forget(object) nothing of it is left, so an object that gets its address starts clean;
///             3. generation(object) grows with every forget() of its bucket, so whoever remembers having looked at
///                a cell can tell that it may be another one now;
///             4. a shard counts the cells it holds, and `total` all of them: where these are as many as the limit, the
///                shard that is to add one first forgets all it has. What is forgotten can hide a race and cannot invent one.
///
/// Field            | written                    | read                  | guard
/// -----------------|----------------------------|-----------------------|-------------------------------
/// shard.*          | plain                      | plain                 | the shard's lock
/// generation       | release, in forget()       | acquire               | none
/// total, limit     | relaxed                    | relaxed               | none: a bound, not an order
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

#include "core/base/hints.hpp"
#include "core/base/locks.hpp"
#include "core/base/memory.hpp"
#include "core/base/stress.hpp"
#include "core/race/clock.hpp"
#include "core/race/known.hpp"

namespace threadproof::race {

using Field = std::uint64_t;

/// A field with this bit is a position: the other bits are small, and neighbours are touched together.
inline constexpr Field kPosition = Field{1} << 63;

/// What is known of an access besides reading or writing. The front end sets them, the detector adds kUpdate
/// and kCheck to a write that follows a read of the same variable.
enum Trait : std::uint16_t {
    kUpdate = 1,      // part of a read-modify-write
    kCheck = 2,       // a read that a decision hangs on, or the write decided on
    kAtomic = 4,      // one atomic step of a container
    kIterate = 8,     // goes over the whole container
    kStructure = 16,  // changes which elements there are
    kLocked = 32,     // at least one lock was held
};

struct Access {
    static constexpr int kLockBits = 23;  // what the word has left; a lock set beyond 8 million is not kept

    Epoch epoch;
    std::uint32_t stack = 0;
    std::uint32_t locks : kLockBits = 0;
    std::uint32_t traits : 8 = 0;
    std::uint32_t write : 1 = 0;

    bool has(std::uint32_t wanted) const { return (traits & wanted) == wanted; }
};
static_assert(sizeof(Access) == 16, "there are two of them for every variable a program touches");

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

    /// The read of this very epoch, if there is one.
    const Access* at(Epoch epoch) const {
        if (!several()) return one_.epoch == epoch ? &one_ : nullptr;
        for (const Access& access : *several())
            if (access.epoch == epoch) return &access;
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

    /// An epoch of a thread that cannot be says that there are several, and its count is where: addresses
    /// have 48 bits.
    Several* several() const {
        return one_.epoch.thread() == Epoch::kMostThreads ? reinterpret_cast<Several*>(one_.epoch.count())
                                                          : nullptr;
    }

    void replace(const Access& access) {
        if (!several()) {
            auto made = std::make_unique<Several>(1, one_);
            one_ = Access{Epoch(Epoch::kMostThreads, reinterpret_cast<std::uintptr_t>(made.release()))};
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

/// One variable's history, as far as it can still race.
struct Cell {
    Access write;
    Reads reads;

    template <class Visit>
    void each_read(Visit&& visit) const {
        reads.each(visit);
    }

    /// Whether a further access of this kind, in this epoch, tells nothing new.
    bool knows(Epoch now, bool writes, std::uint32_t traits) const {
        if (write.epoch == now && write.has(traits)) return true;
        const Access* read = writes ? nullptr : reads.at(now);
        return read && read->has(traits);
    }
};

/// Cells by position, in segments that double: a cell never moves, at most half are idle, and those nobody
/// touches stay pages of zeroes that the system has not given us yet.
class Row {
 public:
    /// The cell at this position, or null.
    Cell* find(std::size_t position) {
        auto [segment, place] = locate(position);
        return segment < segments_.size() && segments_[segment] ? &segments_[segment].get()[place] : nullptr;
    }

    /// Makes the position's segment.
    void grow(std::size_t position) {
        std::size_t segment = locate(position).segment, size = size_of(segment);
        if (segment >= segments_.size()) segments_.resize(segment + 1);
        // zeroes are an unused cell
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

    struct Place {
        std::size_t segment, place;
    };
    struct Free {
        std::size_t size = 0;
        void operator()(Cell* cells) const {
            std::destroy_n(cells, size);
            std::free(cells);
        }
    };

    static std::size_t size_of(std::size_t segment) { return kFirst << segment; }
    static Place locate(std::size_t position) {
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

    /// Makes a cell for a field that has none.
    Cell& add(Field field) {
        if (field & kPosition) {
            row_.grow(field & ~kPosition);
            return *row_.find(field & ~kPosition);
        }
        // most objects have few variables, and few get more
        std::size_t spare = named_.size() > kFew ? named_.size() / 2 : 1;
        if (named_.size() == named_.capacity()) named_.reserve(named_.size() + spare);
        named_.push_back({field, Cell{}});
        if (named_.size() > kFew) index();
        return named_.back().cell;
    }

    /// The cells made, and those made with them for their neighbours.
    std::size_t count() const { return named_.size() + row_.count(); }

    template <class Visit>
    void each(Visit&& visit) const {
        for (const Named& named : named_) visit(named.cell);
        row_.each(visit);
    }

    void check() const {
        std::size_t indexed = 0;
        for (std::uint32_t place : index_) indexed += place != 0;
        if (named_.size() > kFew && indexed != named_.size())
            throw std::logic_error("a cell is not in its object's index");
    }

 private:
    // found faster by looking than by hashing
    static constexpr std::size_t kFew = stress::shrunk<std::size_t>(8, 1);

    struct Named {
        Field field;
        Cell cell;
    };

    std::uint32_t& slot(std::uint64_t at) { return index_[at & (index_.size() - 1)]; }

    Cell* find_hashed(Field field) {
        for (std::uint64_t at = mixed(field << 4);; ++at) {
            std::uint32_t place = slot(at);
            if (place == 0) return nullptr;
            if (named_[place - 1].field == field) return &named_[place - 1].cell;
        }
    }

    /// The last cell goes into the index, which is made anew when it would be more than half full.
    void index() {
        if (index_.size() >= 2 * named_.size()) return enter(named_.size());
        index_.assign(std::bit_ceil(4 * named_.size()), 0);
        for (std::size_t place = 1; place <= named_.size(); ++place) enter(place);
    }
    void enter(std::size_t place) {
        std::uint64_t at = mixed(named_[place - 1].field << 4);
        while (slot(at) != 0) ++at;
        slot(at) = static_cast<std::uint32_t>(place);
    }

    std::vector<Named> named_;
    // 1 + a place in named_, or 0; a power of two; empty while the cells are few
    std::vector<std::uint32_t> index_;
    Row row_;
};

/// The objects of a shard: open addressing over a power of two of slots, at most half of them taken.
class Objects {
 public:
    Cells* find(Object object) {
        if (slots_.empty()) return nullptr;
        for (std::uint64_t at = position(object);; ++at) {
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
        std::uint64_t at = position(object);
        while (slot_at(at).object != object) ++at;
        slot_at(at) = Slot{};
        --size_;
        // who was pushed aside comes closer
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

    /// Where the search for an object begins; shards go by the bits below.
    static std::uint64_t position(Object object) { return mixed(object) >> 16; }
    Slot& slot_at(std::uint64_t at) { return slots_[at & (slots_.size() - 1)]; }

    Slot& place(Slot&& slot) {
        std::uint64_t at = position(slot.object);
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

class Shadow {
 public:
    /// `known` is told of the objects that have cells.
    explicit Shadow(Known& known) : known_(known) {}

    /// Whether a further access of this kind, in this epoch, tells nothing new.
    bool knows(Object object, Field field, Epoch now, bool writes, std::uint32_t traits) {
        std::uint64_t hash = mixed(object);
        Shard& shard = shards_[hash % kShards];
        std::lock_guard hold(shard.lock);
        Cells* cells = shard.objects.find(object);
        Cell* cell = cells ? cells->find(field) : nullptr;
        return cell && cell->knows(now, writes, traits);
    }

    /// Calls visit(cell) with the variable's cell, made if need be, under the lock of its shard.
    template <class Visit>
    void with_cell(Object object, Field field, Visit&& visit) {
        Shard& shard = shards_[mixed(object) % kShards];
        std::lock_guard hold(shard.lock);
        visit(cell_of(shard, object, field));
    }

    /// Calls visit(cell) with each of the object's cells, under the lock of its shard.
    template <class Visit>
    void each_cell(Object object, Visit&& visit) {
        Shard& shard = shards_[mixed(object) % kShards];
        std::lock_guard hold(shard.lock);
        if (Cells* cells = shard.objects.find(object)) cells->each(visit);
    }

    /// For a fork: nobody is in the middle of a step from hold_still() to let_go().
    void hold_still() {
        for (Shard& shard : shards_) shard.lock.lock();
    }
    void let_go() {
        for (Shard& shard : shards_) shard.lock.unlock();
    }

    /// The object is no more.
    void forget(Object object) {
        if (!known_.has(object, Known::kCells)) return;
        std::uint64_t hash = mixed(object);
        Shard& shard = shards_[hash % kShards];
        std::lock_guard hold(shard.lock);
        Cells* cells = shard.objects.find(object);
        if (!cells) return;
        count(shard, -static_cast<std::ptrdiff_t>(cells->count()));
        shard.objects.erase(object);
        known_.remove(object, Known::kCells);
        // release: pairs with generation()
        generations_[hash % kGenerations].fetch_add(1, std::memory_order_release);
    }

    TP_HOT std::uint32_t generation(std::uint64_t hash) const {
        return generations_[hash % kGenerations].load(std::memory_order_acquire);
    }

    /// How many cells to keep. Not so many of each shard: all of a long list are in one.
    void limit(std::size_t cells) { limit_.store(cells, std::memory_order_relaxed); }

    /// Between two steps, not during one.
    void check() {
        std::size_t all = 0;
        for (Shard& shard : shards_) {
            std::lock_guard hold(shard.lock);
            std::size_t cells = 0;
            shard.objects.each([&](Object object, const Cells& of) {
                of.check();
                cells += of.count();
                if (!known_.has(object, Known::kCells))
                    throw std::logic_error("an object with cells is not known");
            });
            if (cells != shard.cells) throw std::logic_error("a shard has lost count of its cells");
            all += cells;
        }
        if (all != total_.load(std::memory_order_relaxed))
            throw std::logic_error("the shards' cells do not make their total");
    }

 private:
    static constexpr std::size_t kShards = 1024;          // many more than threads: two seldom meet
    static constexpr std::size_t kGenerations = 1 << 12;  // 16 kB, for every access looks there
    static constexpr std::size_t kUnlimited = ~std::size_t{0};

    struct alignas(kCacheLine) Shard {
        ByteLock lock{};
        std::size_t cells = 0;
        Objects objects;
    };

    Cell& cell_of(Shard& shard, Object object, Field field) {
        Cells* cells = shard.objects.find(object);
        Cell* cell = cells ? cells->find(field) : nullptr;
        return cell ? *cell : add(shard, object, field);
    }

    TP_APART Cell& add(Shard& shard, Object object, Field field) {
        if (total_.load(std::memory_order_relaxed) >= limit_.load(std::memory_order_relaxed)) empty(shard);
        Cells* cells = shard.objects.find(object);
        if (!cells) {
            cells = &shard.objects.add(object);
            known_.add(object, Known::kCells);
        }
        std::size_t before = cells->count();
        Cell& cell = cells->add(field);
        count(shard, static_cast<std::ptrdiff_t>(cells->count() - before));
        return cell;
    }

    void empty(Shard& shard) {
        shard.objects.each([&](Object object, const Cells&) { known_.remove(object, Known::kCells); });
        shard.objects.clear();
        count(shard, -static_cast<std::ptrdiff_t>(shard.cells));
    }

    void count(Shard& shard, std::ptrdiff_t change) {
        // what is added to an unsigned number may be negative
        shard.cells += static_cast<std::size_t>(change);
        total_.fetch_add(static_cast<std::size_t>(change), std::memory_order_relaxed);
    }

    Known& known_;
    std::array<Shard, kShards> shards_;
    std::array<std::atomic<std::uint32_t>, kGenerations> generations_{};
    std::atomic<std::size_t> total_{0};
    std::atomic<std::size_t> limit_{kUnlimited};
};

}  // namespace threadproof::race
