/// CacheNodes: the policy's part of the entries of a cache, 32 bytes each, and the queue of those that have changed.
///
/// A slot of the table has its key, its value, and the index of its node. Writers take a node for a new key,
/// under the lock of the key's bucket, and pass each change to the policy by putting the node into the queue.
/// The holder of the policy's lock takes the whole queue and brings the policy up to date.
///
/// A node's state is one byte: kQueued while it is in the queue, kDead once its key has been removed. A writer
/// sets both bits in one step, and puts the node into the queue if kQueued was not set; the policy clears kQueued
/// before it looks at the node. So a node is in the queue once at most, its last change is never missed, and
/// kDead is the last change of all: the policy that finds it can free the node. No memory is needed to queue.
///
/// Invariants
///  1. A node is free, or belongs to one key from its insertion to the policy's step after the key's removal.
///  2. The nodes in the queue are those with kQueued; each is there once.
///  3. The segment of a free node is kNone.
///  4. Indices below used_ have memory, see chunks.hpp; with times, also for these.
///  5. The deadline of a node is 0 from the removal of its key to the first value of another.
///
/// Field            | written                            | read                      | guard
/// -----------------|------------------------------------|---------------------------|----------------------
/// node.hash        | plain, before the slot has it      | plain                     | constant while it has a key
/// node.newer,      | plain                              | plain                     | the policy's lock; older
/// .older, .weight, |                                    |                           | of a free node: lock_
/// .segment         |                                    |                           |
/// node.wanted      | relaxed, under the bucket's lock   | relaxed, by the policy    | published by the queue
/// node.state       | acq_rel                            | acq_rel                   | none
/// node.next        | relaxed, before it is in the queue | relaxed, out of the queue | none
/// queue_           | seq_cst                            | acquire exchange          | none
/// all_, *timed_    | see chunks.hpp                     |                           | lock_
/// timed_           | once, before the map is shared     | plain                     | never changes
/// times.deadline   | release, or relaxed before the     | acquire                   | none
///                  | value, under the bucket's lock,    |                           |
///                  | and compare-and-swap by readers    |                           |
/// limit,           | relaxed, under the bucket's lock   | relaxed                   | published by deadline
/// refresh_at       |                                    |                           |
/// times.links      | plain                              | plain                     | the policy's lock
/// free_, used_     | plain                              | plain                     | lock_
/// live_            | relaxed                            | relaxed: a metric         | lock_
///
/// Source of the queue: Treiber's stack, of which only all nodes are taken, so that no address can come again.
#pragma once

#include <sched.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

#include "core/base/hints.hpp"
#include "core/base/locks.hpp"
#include "core/base/memory.hpp"
#include "core/maps/cache/chunks.hpp"
#include "core/maps/cache/segments.hpp"
#include "core/maps/cache/timer_wheel.hpp"

namespace threadproof {

struct CacheNode {
    std::uint64_t hash;
    std::uint32_t newer, older;
    std::uint32_t weight;
    std::atomic<std::uint32_t> next;    ///< in the queue
    std::atomic<std::uint32_t> wanted;  ///< the weight of the entry's value now
    Segment segment;
    std::atomic<std::uint8_t> state;
};
static_assert(sizeof(CacheNode) == 32);

/// When an entry expires.
struct CacheTimes {
    std::atomic<Instant> deadline;  ///< of the value, see expiry.hpp; 0: never
    WheelLinks links;
};

class CacheNodes {
 public:
    using Node = CacheNode;
    using Index = std::uint32_t;  ///< 0: none

    CacheNodes() = default;
    CacheNodes(const CacheNodes&) = delete;
    CacheNodes& operator=(const CacheNodes&) = delete;

    TP_HOT Node& operator[](Index i) const { return all_[i]; }

    /// From now on nodes have times; `limits`: and times to which reads can put their deadlines off; `refreshes`: and
    /// times to be loaded again. Before the map is shared. Throws bad_alloc.
    void keep_times(bool limits, bool refreshes) {
        auto timed = std::make_unique<Times>(limits, refreshes);
        for (Index i = 1; i < used_; ++i)
            if (!timed->make(i)) throw std::bad_alloc();
        timed_ = std::move(timed);
    }
    CacheTimes& times(Index i) const { return timed_->all[i]; }
    std::atomic<Instant>& limit(Index i) const { return timed_->limits[i]; }
    std::atomic<Instant>& refresh_at(Index i) const { return timed_->refresh_at[i]; }
    /// For a pinned reader, whose index may be of a node that was freed since; null: there are no times now.
    CacheTimes* find_times(Index i) const { return timed_->all.find(i); }
    std::atomic<Instant>* find_limit(Index i) const { return timed_->limits.find(i); }
    std::atomic<Instant>* find_refresh_at(Index i) const { return timed_->refresh_at.find(i); }

    /// A node for a new key with this hash; 0 when there is no memory. May be called under a bucket's lock.
    Index take(std::uint64_t hash) {
        Lock hold(lock_);
        Index i = free_;
        if (i) {
            free_ = (*this)[i].older;
        } else {
            if (!all_.make(used_) || (timed_ && !timed_->make(used_))) return 0;
            i = used_++;
        }
        Node& node = (*this)[i];
        // `segment` is kNone already: the policy may be looking at a node that it has a stale read of
        node.hash = hash;
        node.wanted.store(1, std::memory_order_relaxed);
        node.state.store(0, std::memory_order_relaxed);  // relaxed: the slot publishes the index
        live_.store(live_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        return i;
    }

    /// A node that no slot has, and that is in no list and not in the queue.
    void give(Index i) {
        Lock hold(lock_);
        (*this)[i].older = free_;
        free_ = i;
        live_.store(live_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
    }

    using Memory = std::vector<Released>;

    /// Unlinks the memory of the nodes, if there are many and all are free, and adds it to `unlinked`: the caller
    /// retires that when it holds no lock, as readers look at times with none, and retiring can wait. It holds the
    /// policy's lock, under which stale indices are looked at.
    void shrink(Memory& unlinked) {
        if (live() != 0 || !is_large()) return;
        try {
            unlinked.reserve(ChunkArray<Node>::most() + (timed_ ? Times::most() : 0));
        } catch (const std::bad_alloc&) {
            return;
        }
        Lock hold(lock_);
        // again, under the lock: a writer may have taken a node
        if (live() != 0 || any_changed()) return;
        free_ = 0;
        used_ = 1;
        auto keep = [&](Released memory) { unlinked.push_back(memory); };
        all_.release(keep);
        if (timed_) timed_->release(keep);
    }

    /// Whether the index may be that of a node, whatever the node is now.
    bool known(Index i) const { return i && all_.find(i) != nullptr; }

    /// Nodes that are not free.
    std::uint64_t live() const { return live_.load(std::memory_order_relaxed); }

    std::uint64_t bytes() const { return all_.bytes() + (timed_ ? timed_->bytes() : 0); }

    // ---- the queue

    /// The entry has another value, or is visible for the first time. Under the lock of its bucket.
    void changed(Index i) { queue(i, kQueued); }
    /// The key has been removed. Under the lock of its bucket; nothing follows.
    void removed(Index i) { queue(i, kQueued | kDead); }

    /// The same for a key that the policy has had removed, whose node is in no list: it is free at once, if it is
    /// not in the queue.
    void evicted(Index i) {
        if (!((*this)[i].state.fetch_or(kDead, std::memory_order_acq_rel) & kQueued)) give(i);
    }

    bool is_queued(Index i) const { return (*this)[i].state.load(std::memory_order_acquire) & kQueued; }
    bool any_changed() const { return queue_.load(std::memory_order_seq_cst) != 0; }

    /// Takes all nodes out of the queue, and calls see(index, dead) for each, the oldest first. The caller holds
    /// the policy's lock. Returns their number.
    template <class See>
    unsigned take_changed(See see) {
        // acquire: pairs with queue(); makes the nodes' fields visible
        Index newest = queue_.exchange(0, std::memory_order_acquire), oldest = 0;
        unsigned count = 0;
        while (newest) {  // turns the list round
            Node& node = (*this)[newest];
            Index next = node.next.load(std::memory_order_relaxed);
            node.next.store(oldest, std::memory_order_relaxed);
            oldest = newest;
            newest = next;
            ++count;
        }
        while (oldest) {
            Node& node = (*this)[oldest];
            Index i = oldest;
            // before the node can be queued again, which writes to it
            oldest = node.next.load(std::memory_order_relaxed);
            // acquire: pairs with queue(); makes the change before a set bit visible. release: keeps the read
            // of `next` before it
            std::uint8_t state =
                node.state.fetch_and(static_cast<std::uint8_t>(~kQueued), std::memory_order_acq_rel);
            see(i, (state & kDead) != 0);
        }
        return count;
    }

    /// Asserts that the queue is empty: no operation is under way.
    void check() const {
        if (any_changed()) throw std::logic_error("the policy has seen every change");
    }

 private:
    static constexpr std::uint8_t kQueued = 1, kDead = 2;

    bool is_large() {
        Lock hold(lock_);
        return used_ > ChunkArray<Node>::kFirst;
    }

    /// Held for some instructions, possibly under a bucket's lock: its owner calls nothing that can release the
    /// interpreter, as the threads that wait for it do not.
    class Lock {
     public:
        explicit Lock(ByteLock& lock) : lock_(lock) {
            while (!lock_.try_lock()) sched_yield();
        }
        ~Lock() { lock_.unlock(); }
        Lock(const Lock&) = delete;
        Lock& operator=(const Lock&) = delete;

     private:
        ByteLock& lock_;
    };

    void queue(Index i, std::uint8_t bits) {
        Node& node = (*this)[i];
        // release: pairs with take_changed(); makes `wanted` visible
        if (node.state.fetch_or(bits, std::memory_order_acq_rel) & kQueued) return;
        Index newest = queue_.load(std::memory_order_relaxed);
        do {
            node.next.store(newest, std::memory_order_relaxed);
            // seq_cst: before the look at the policy's lock, see CacheMap::evict()
        } while (
            !queue_.compare_exchange_weak(newest, i, std::memory_order_seq_cst, std::memory_order_relaxed));
    }

    /// What nodes have where entries expire. Apart: most caches need no limits, and many no times.
    struct Times {
        Times(bool with_limits, bool with_refreshes) : limited(with_limits), refreshed(with_refreshes) {}
        bool make(Index i) {
            return all.make(i) && (!limited || limits.make(i)) && (!refreshed || refresh_at.make(i));
        }
        template <class Free>
        void release(Free free) {
            all.release(free), limits.release(free), refresh_at.release(free);
        }
        static constexpr unsigned most() { return 3 * ChunkArray<CacheTimes>::most(); }
        std::uint64_t bytes() const {
            return sizeof(*this) + all.bytes() + limits.bytes() + refresh_at.bytes();
        }

        const bool limited, refreshed;
        ChunkArray<CacheTimes> all;
        ChunkArray<std::atomic<Instant>> limits, refresh_at;
    };

    ChunkArray<Node> all_;
    std::unique_ptr<Times> timed_;  ///< null: there are none
    ByteLock lock_{};
    Index free_ = 0, used_ = 1;
    std::atomic<std::uint64_t> live_{0};
    alignas(kNoSharing) std::atomic<Index> queue_{0};
};

}  // namespace threadproof
