/// Per variable, the accesses that a later one could race with: the last write, and the reads since.
///
/// A variable is a field of an object; both are numbers here. Objects are spread over shards, each behind a
/// lock of its own that is held for a few steps and calls nothing.
///
/// Invariants:
/// 1. A cell's reads are those that a later write could race with: one, if the last read is ordered after the
///    earlier ones (FastTrack's epoch), else one for each thread.
/// 2. After forget(object) none of its cells is left, so an object at the same address starts clean.
/// 3. generation(object) grows with every forget() in its bucket: a thread that has cached an access sees
///    that the cell may have been forgotten since.
/// 4. A shard counts its cells, and `total` those of all shards. When total reaches the limit, the shard that
///    needs another cell first forgets all it has; and so does an object with too many named cells
///    (Cells::kMostNamed). Forgetting can hide a race, not invent one.
///
/// Field            | written                    | read                  | guard
/// -----------------|----------------------------|-----------------------|-------------------------------
/// shard.*          | plain                      | plain                 | the shard's lock
/// generation       | release, in forget()       | acquire               | none
/// total, limit     | relaxed                    | relaxed               | none: a bound orders nothing
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <stdexcept>

#include "core/base/hints.hpp"
#include "core/base/locks.hpp"
#include "core/base/memory.hpp"
#include "core/probe/object_filter.hpp"
#include "core/race/cells.hpp"

namespace threadproof::race {

using probe::ObjectFilter;

class Shadow {
 public:
    /// `filter` counts the objects that have cells.
    explicit Shadow(ObjectFilter& filter) : filter_(filter) {}

    /// Whether the variable's cell has an access, of the thread's since this epoch, that covers one of this kind.
    bool has_seen(Object object, Field field, Epoch since, bool writes, std::uint32_t flags) {
        std::uint64_t hash = mixed(object);
        Shard& shard = shards_[hash % kShards];
        std::lock_guard hold(shard.lock);
        Cells* cells = shard.objects.find(object);
        Cell* cell = cells ? cells->find(field) : nullptr;
        return cell && cell->has_seen(since, writes, flags);
    }

    /// Calls visit(cell) with the variable's cell, added if there is none, under the lock of its shard.
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

    /// Around a fork: no other thread is in the middle of a step.
    void lock_for_fork() {
        for (Shard& shard : shards_) shard.lock.lock();
    }
    void unlock_after_fork() {
        for (Shard& shard : shards_) shard.lock.unlock();
    }

    /// The object is deallocated.
    void forget(Object object) {
        if (!filter_.has(object, ObjectFilter::kCells)) return;
        std::uint64_t hash = mixed(object);
        Shard& shard = shards_[hash % kShards];
        std::lock_guard hold(shard.lock);
        Cells* cells = shard.objects.find(object);
        if (!cells) return;
        count(shard, -static_cast<std::ptrdiff_t>(cells->count()));
        shard.objects.erase(object);
        filter_.remove(object, ObjectFilter::kCells);
        // release: pairs with the acquire load in generation(); makes the erasure visible
        generations_[hash % kGenerations].fetch_add(1, std::memory_order_release);
    }

    /// What threads have cached of the object counts no more.
    void outdate(Object object) {
        // release: as in forget()
        generations_[mixed(object) % kGenerations].fetch_add(1, std::memory_order_release);
    }

    /// The same, if the object has cells; false if it has none.
    bool outdate_if_known(Object object) {
        if (!filter_.has(object, ObjectFilter::kCells)) return false;
        outdate(object);
        return true;
    }

    /// No thread's cache answers for an access of before. Release: as in forget().
    void outdate_caches() {
        for (auto& each : generations_) each.fetch_add(1, std::memory_order_release);
    }

    /// acquire: pairs with the release in forget().
    TP_HOT std::uint32_t generation(std::uint64_t hash) const {
        return generations_[hash % kGenerations].load(std::memory_order_acquire);
    }

    /// The limit of cells, over all shards: the cells of a long list are all in one shard.
    void limit(std::size_t cells) { limit_.store(cells, std::memory_order_relaxed); }

    /// The cells of all objects.
    std::size_t count() const { return total_.load(std::memory_order_relaxed); }

    /// Asserts the invariants; std::logic_error if one is broken. No other thread may be in a step.
    void check() {
        std::size_t all = 0;
        for (Shard& shard : shards_) {
            std::lock_guard hold(shard.lock);
            std::size_t cells = 0;
            shard.objects.each([&](Object object, const Cells& of) {
                of.check();
                cells += of.count();
                if (!filter_.has(object, ObjectFilter::kCells))
                    throw std::logic_error("an object with cells is not in the filter");
            });
            if (cells != shard.cells) throw std::logic_error("a shard's count is not that of its cells");
            all += cells;
        }
        if (all != total_.load(std::memory_order_relaxed))
            throw std::logic_error("the total is not the sum of the shards' cells");
    }

 private:
    // many more than threads, so that two seldom lock the same one
    static constexpr std::size_t kShards = 1024;
    static constexpr std::size_t kGenerations = 1 << 12;  // 16 kB: every access reads one of them
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
            filter_.add(object, ObjectFilter::kCells);
        }
        std::size_t before = cells->count();
        Cell& cell = cells->add(field);
        count(shard, static_cast<std::ptrdiff_t>(cells->count() - before));
        return cell;
    }

    void empty(Shard& shard) {
        shard.objects.each(
            [&](Object object, const Cells&) { filter_.remove(object, ObjectFilter::kCells); });
        shard.objects.clear();
        count(shard, -static_cast<std::ptrdiff_t>(shard.cells));
    }

    void count(Shard& shard, std::ptrdiff_t change) {
        // unsigned arithmetic wraps around, so `change` may be negative
        shard.cells += static_cast<std::size_t>(change);
        total_.fetch_add(static_cast<std::size_t>(change), std::memory_order_relaxed);
    }

    ObjectFilter& filter_;
    std::array<Shard, kShards> shards_;
    std::array<std::atomic<std::uint32_t>, kGenerations> generations_{};
    std::atomic<std::size_t> total_{0};
    std::atomic<std::size_t> limit_{kUnlimited};
};

}  // namespace threadproof::race
