/// What the race detector remembers of each variable: its last write, and the reads since.
///
/// A variable is a field of an object; both are numbers to us. Each object has a short list of cells, one per field, and
/// the objects are spread over shards, each behind a lock of its own that is held for a few steps and calls nothing.
///
/// Invariants: 1. a cell's reads are those that some later write could still race with: one, when the last read covers
///                 those before it (FastTrack's epoch), else one per thread;
///             2. after forget(object) nothing of it is left, so an object that gets its address starts clean;
///             3. generation(object) grows with every forget() of its bucket, so whoever remembers having looked at
///                a cell can tell that it may be another one now.
///
/// Field            | written                    | read                  | guard
/// -----------------|----------------------------|-----------------------|-------------------------------
/// shard.objects    | plain                      | plain                 | the shard's lock
/// known            | relaxed, before a cell     | relaxed, by forget()  | none: the object's own thread of
///                  |                            |                       | life orders its use before its death
/// generation       | release, in forget()       | acquire               | none
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "core/clock.hpp"
#include "core/memory.hpp"

namespace threadproof::race {

using Object = std::uintptr_t;
using Field = std::uint64_t;

/// What is known of an access besides reading or writing. The front end sets them, the detector adds kUpdate and kCheck to a
/// write that follows a read of the same variable.
enum Trait : std::uint16_t {
    kUpdate = 1,     // part of a read-modify-write
    kCheck = 2,      // a read that a decision hangs on, or the write decided on
    kAtomic = 4,     // one atomic step of a container
    kIterate = 8,    // goes over the whole container
    kStructure = 16, // changes which elements there are
    kLocked = 32,    // at least one lock was held
};

struct Access {
    Epoch epoch;
    std::uint32_t stack = 0;
    std::uint32_t locks = 0;
    std::uint16_t traits = 0;
    bool write = false;
};

/// One variable's history, as far as it can still race.
struct Cell {
    Field field = 0;
    Access write;
    Access read;                                 // the one read that matters, or
    std::unique_ptr<std::vector<Access>> reads;  // one for each thread, where none covers the others

    template <class Visit>
    void each_read(Visit&& visit) const {
        if (reads) for (const Access& access : *reads) visit(access);
        else if (read.epoch) visit(read);
    }

    void forget_reads() {
        read = Access{};
        reads.reset();
    }

    /// `clock` is the reader's.
    void remember_read(const Access& access, const Clock& clock) {
        if (!reads && clock.covers(read.epoch)) {
            read = access;
            return;
        }
        if (!reads) reads = std::make_unique<std::vector<Access>>(1, read);
        for (Access& other : *reads)
            if (other.epoch.thread() == access.epoch.thread()) {
                other = access;
                return;
            }
        reads->push_back(access);
    }
};

/// The cells of one object: a list while they are few, and a table besides when they are many.
class Cells {
 public:
    const std::vector<Cell>& all() const { return cells_; }

    Cell& at(Field field) {
        if (table_.empty()) {
            for (Cell& cell : cells_)
                if (cell.field == field) return cell;
        } else if (auto place = table_.find(field); place != table_.end()) {
            return cells_[place->second];
        }
        return add(field);
    }

 private:
    static constexpr std::size_t kFew = 8;  // that many are found faster by looking than by hashing

    Cell& add(Field field) {
        cells_.emplace_back().field = field;
        if (cells_.size() == kFew + 1)
            for (std::size_t i = 0; i + 1 < cells_.size(); ++i) table_.emplace(cells_[i].field, i);
        if (cells_.size() > kFew) table_.emplace(field, cells_.size() - 1);
        return cells_.back();
    }

    std::vector<Cell> cells_;
    std::unordered_map<Field, std::size_t> table_;
};

/// The bits of an address that tell objects apart, well mixed.
inline std::uint64_t mixed(std::uint64_t value) {
    value = (value >> 4) * 0x9E3779B97F4A7C15u;  // 2^64 / the golden ratio; objects are aligned to 16 bytes
    return value ^ value >> 32;
}

class Shadow {
 public:
    /// Calls visit(cell) with the variable's cell, made if need be, under the lock of its shard.
    template <class Visit>
    void with_cell(Object object, Field field, Visit&& visit) {
        std::uint64_t hash = mixed(object);
        known_[hash % kKnown].store(true, std::memory_order_relaxed);  // relaxed: see the table above
        Shard& shard = shards_[hash % kShards];
        std::lock_guard hold(shard.mutex);
        visit(shard.objects[object].at(field));
    }

    /// Calls visit(cell) with each of the object's cells, under the lock of its shard.
    template <class Visit>
    void each_cell(Object object, Visit&& visit) {
        Shard& shard = shards_[mixed(object) % kShards];
        std::lock_guard hold(shard.mutex);
        if (auto place = shard.objects.find(object); place != shard.objects.end())
            for (const Cell& cell : place->second.all()) visit(cell);
    }

    /// For a fork: nobody is in the middle of a step from hold_still() to let_go().
    void hold_still() {
        for (Shard& shard : shards_) shard.mutex.lock();
    }
    void let_go() {
        for (Shard& shard : shards_) shard.mutex.unlock();
    }

    /// The object is no more. Cheap for objects that no thread ever shared with us.
    void forget(Object object) {
        std::uint64_t hash = mixed(object);
        if (!known_[hash % kKnown].load(std::memory_order_relaxed)) return;
        Shard& shard = shards_[hash % kShards];
        std::lock_guard hold(shard.mutex);
        if (shard.objects.erase(object) == 0) return;
        generations_[hash % kGenerations].fetch_add(1, std::memory_order_release);  // release: pairs with generation()
    }

    std::uint32_t generation(Object object) const {
        return generations_[mixed(object) % kGenerations].load(std::memory_order_acquire);
    }

    void clear() {
        for (Shard& shard : shards_) {
            std::lock_guard hold(shard.mutex);
            shard.objects.clear();
        }
        for (auto& generation : generations_) generation.fetch_add(1, std::memory_order_release);
    }

 private:
    static constexpr std::size_t kShards = 1024;       // many more than threads: two seldom meet
    static constexpr std::size_t kKnown = 1 << 20;     // a megabyte in which most dying objects find a 0
    static constexpr std::size_t kGenerations = 1 << 16;

    struct alignas(kCacheLine) Shard {
        std::mutex mutex;
        std::unordered_map<Object, Cells> objects;
    };

    std::array<Shard, kShards> shards_;
    std::vector<std::atomic<bool>> known_ = std::vector<std::atomic<bool>>(kKnown);
    std::array<std::atomic<std::uint32_t>, kGenerations> generations_{};
};

}  // namespace threadproof::race
