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
///  4. Indices below used_ have memory, in chunks: chunk 0 has kFirst nodes, chunk i > 0 has kFirst << (i - 1).
///     A chunk does not move.
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
/// chunks_          | release, once                      | acquire                   | lock_
/// free_, used_     | plain                              | plain                     | lock_
/// live_            | relaxed                            | relaxed: a metric         | lock_
///
/// Source of the queue: Treiber's stack, of which only all nodes are taken, so that no address can come again.
#pragma once

#include <sched.h>

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <stdexcept>

#include "core/base/hints.hpp"
#include "core/base/locks.hpp"
#include "core/base/memory.hpp"
#include "core/maps/cache/segments.hpp"

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

class CacheNodes {
 public:
    using Node = CacheNode;
    using Index = std::uint32_t;  ///< 0: none

    CacheNodes() = default;
    ~CacheNodes() {
        for (unsigned i = 0; i < kChunks; ++i)
            if (Node* chunk = chunks_[i].load(std::memory_order_relaxed)) released(chunk, i).all();
    }
    CacheNodes(const CacheNodes&) = delete;
    CacheNodes& operator=(const CacheNodes&) = delete;

    TP_HOT Node& operator[](Index i) const {
        unsigned chunk = chunk_of(i);
        // acquire: pairs with the release in take(); makes the zeroed memory visible
        return chunks_[chunk].load(std::memory_order_acquire)[i - first_of(chunk)];
    }

    /// A node for a new key with this hash; 0 when there is no memory. May be called under a bucket's lock.
    Index take(std::uint64_t hash) {
        Lock hold(lock_);
        Index i = free_;
        if (i) {
            free_ = (*this)[i].older;
        } else {
            if (!make_chunk(chunk_of(used_))) return 0;
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

    /// Gives back the memory of the nodes, if there are many and all are free. The caller holds the policy's lock,
    /// under which stale indices are looked at.
    void shrink() {
        if (live() != 0) return;
        Lock hold(lock_);
        // again, under the lock: a writer may have taken a node
        if (live() != 0 || any_changed() || used_ <= kFirst) return;
        free_ = 0;
        used_ = 1;
        for (unsigned i = 0; i < kChunks; ++i)
            if (Node* chunk = chunks_[i].exchange(nullptr, std::memory_order_relaxed))
                released(chunk, i).all();
    }

    /// Whether the index may be that of a node, whatever the node is now.
    bool known(Index i) const { return i && chunks_[chunk_of(i)].load(std::memory_order_acquire) != nullptr; }

    /// Nodes that are not free.
    std::uint64_t live() const { return live_.load(std::memory_order_relaxed); }

    std::uint64_t bytes() const {
        std::uint64_t sum = 0;
        for (unsigned i = 0; i < kChunks; ++i)
            if (chunks_[i].load(std::memory_order_relaxed)) sum += size_of(i) * sizeof(Node);
        return sum;
    }

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
    // 2 KiB; and 26 chunks have 2^31 nodes
    static constexpr Index kFirst = 64;
    static constexpr unsigned kChunks = 26;

    /// Held for some instructions, possibly under a bucket's lock: its owner does not release the interpreter.
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

    static unsigned chunk_of(Index i) { return static_cast<unsigned>(std::bit_width(i / kFirst)); }
    static Index first_of(unsigned chunk) { return chunk ? kFirst << (chunk - 1) : 0; }
    static std::size_t size_of(unsigned chunk) { return chunk ? std::size_t{kFirst} << (chunk - 1) : kFirst; }
    static Released released(Node* chunk, unsigned i) { return {chunk, size_of(i) * sizeof(Node)}; }

    bool make_chunk(unsigned chunk) {
        if (chunk >= kChunks) return false;
        if (chunks_[chunk].load(std::memory_order_relaxed)) return true;
        void* memory = allocate_zeroed(size_of(chunk) * sizeof(Node));
        // release: pairs with the acquire in []; publishes the zeroed memory
        chunks_[chunk].store(static_cast<Node*>(memory), std::memory_order_release);
        return memory != nullptr;
    }

    void queue(Index i, std::uint8_t bits) {
        Node& node = (*this)[i];
        // release: pairs with take_changed(); makes `wanted` visible
        if (node.state.fetch_or(bits, std::memory_order_acq_rel) & kQueued) return;
        Index newest = queue_.load(std::memory_order_relaxed);
        do {
            node.next.store(newest, std::memory_order_relaxed);
            // seq_cst: before the look at the policy's lock, see CacheMap::maintain()
        } while (
            !queue_.compare_exchange_weak(newest, i, std::memory_order_seq_cst, std::memory_order_relaxed));
    }

    std::array<std::atomic<Node*>, kChunks> chunks_{};
    ByteLock lock_{};
    Index free_ = 0, used_ = 1;
    std::atomic<std::uint64_t> live_{0};
    alignas(kNoSharing) std::atomic<Index> queue_{0};
};

}  // namespace threadproof
