/// CacheMap: a HashMap with a bound. Reads take no lock, and each change brings the policy up to date before the call
/// ends, so that what is above the bound is gone then.
///
/// How it works. The table is a HashMap's, and is right at every moment: what is stored is visible at once. The
/// policy (policy.hpp) comes after it. A read notes its node in a lossy buffer of its thread (read_buffers.hpp);
/// when that is full, the policy takes it, if no other thread has the policy's lock. A change puts the node into
/// a queue (nodes.hpp), under the lock of its bucket; after the change, outside all locks, one of the threads
/// that have changed something takes the queue, lets the policy choose the entries that have to go, and removes
/// them from the table, like any thread that removes a key.
///
/// The bound holds whenever no call is under way. While calls are, it is exceeded by the entries that they have
/// stored and not yet evicted: by kMostQueued and one for each thread at the most, as threads wait above that.
///
/// Invariants
///  1. Each slot with a key has a node, whose index is the slot's data; the node has the key's hash.
///  2. Every node whose entry readers see is in a list of the policy, or in the queue, or has been chosen to be
///     evicted by the holder of evicting_.
///  3. With no call under way, the policy's lists have exactly the entries of the map, and their weight is at
///     most the bound.
///  4. No code of a user's runs under evicting_ or lock_.
///
/// Field       | written                       | read                 | guard
/// ------------|-------------------------------|----------------------|----------------------------------
/// policy_     | plain                         | plain                | lock_
/// evicting_   | a lock that is only tried     |                      | it is held while entries are chosen
///             |                               |                      | and removed
/// nodes_, reads_: see nodes.hpp, read_buffers.hpp
/// settled_    | relaxed                       | relaxed: a hint      | evicting_
/// over_       | relaxed, or seq_cst           | relaxed              | none: it is looked at again
/// evicted_to_ | once, before the map is shared | plain               | never changes
/// generation_ | plain                         | plain                | evicting_
/// lock order  | evicting_ -> lock_ -> nodes_; evicting_ -> the gate -> one bucket -> nodes_; a pin -> lock_
///             | (only tried); in a forked child, once: one bucket -> lock_
///
/// Ancestors: Caffeine (buffers of reads and writes that whoever gets the lock drains), BP-Wrapper.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <utility>

#include "core/base/hints.hpp"
#include "core/base/locks.hpp"
#include "core/maps/cache/nodes.hpp"
#include "core/maps/cache/policy.hpp"
#include "core/maps/cache/read_buffers.hpp"
#include "core/maps/hash_map/map.hpp"

namespace threadproof {

/// The weight of the value that this thread is storing in a cache that weighs, or kSameWeight: that of the value
/// before, which for a new key is 1. Not an argument, because it would go through every layer of every map.
inline constexpr std::uint32_t kSameWeight = ~std::uint32_t{0};
inline thread_local std::uint32_t weight_of_next_value __attribute__((tls_model("initial-exec"))) =
    kSameWeight;

/// What a cache knows of its entries: their nodes, the reads and changes of them, and the policy.
template <bool kThreads>
class CacheTracker {
 public:
    static constexpr bool kOn = true;
    static constexpr std::uint64_t kUnbounded = std::uint64_t{1} << 62;
    using Index = CacheNodes::Index;
    using Policy = CachePolicy<CacheNodes>;

    explicit CacheTracker(std::uint64_t secret) : policy_(nodes_, kUnbounded, secret) {}

    /// Whether values have weights of their own.
    std::atomic<bool> weighs{false};

    // ---- as a tracker of a HashMap

    TP_HOT void read(Index i) {
        if (TP_UNLIKELY(i && reads_.note(my_thread(), i))) take_reads(my_thread());
    }
    TP_HOT void missed() { reads_.note_miss(my_thread()); }
    Index take(std::uint64_t hash) { return nodes_.take(hash); }
    void give(Index i) { nodes_.give(i); }
    void changed(Index i) {
        // relaxed, both: the queue publishes it; and a flag that is set before the map is shared
        if (TP_UNLIKELY(weighs.load(std::memory_order_relaxed)) && weight_of_next_value != kSameWeight)
            nodes_[i].wanted.store(weight_of_next_value, std::memory_order_relaxed);
        nodes_.changed(i);
    }
    void removed(Index i) { nodes_.removed(i); }
    /// Its entry, which is in no list, has been removed. By the holder of evicting_, under the bucket's lock.
    void evicted(Index i) { nodes_.evicted(i); }

    // ---- for the map

    bool any_changed() const { return nodes_.any_changed(); }

    struct Choice {
        unsigned victims;
        bool more;              ///< there are more that have to go
        std::uint64_t entries;  ///< that stay
    };
    /// The entries that have to go, which are in no list then: their indices. Brings the policy up to date before.
    template <std::size_t kMost>
    Choice choose(std::array<Index, kMost>& victims) {
        std::lock_guard hold(lock_);
        take_reads_locked(my_thread());
        nodes_.take_changed([&](Index i, bool dead) { dead ? bury(i) : update(i); });
        if (TP_UNLIKELY(nodes_.live() == 0)) {
            nodes_.shrink();
            policy_.shrink();
        }
        unsigned count = 0;
        bool done =
            policy_.settle([&](Index loser) { victims[count++] = loser; }, static_cast<unsigned>(kMost));
        return {count, !done, policy_.count()};
    }

    /// Calls see(policy) with the policy up to date but for reads and changes that are under way.
    template <class See>
    auto with_policy(See see) {
        std::lock_guard hold(lock_);
        take_reads_locked(my_thread());
        return see(policy_);
    }

    /// Whether the policy does not know the entry of a node and has not been told of it; see CacheMap::mend().
    bool is_lost(Index i) {
        std::lock_guard hold(lock_);
        return nodes_[i].segment == Segment::kNone && !nodes_.is_queued(i);
    }

    CacheNodes& nodes() { return nodes_; }
    std::uint64_t hits() const { return reads_.hits(); }
    std::uint64_t misses() const { return reads_.misses(); }
    std::uint64_t bytes() const { return nodes_.bytes() + reads_.bytes(); }

    void check(std::uint64_t entries) {
        std::lock_guard hold(lock_);
        nodes_.check();
        policy_.check();
        if (policy_.count() != entries) throw std::logic_error("the policy has the entries of the map");
        if (nodes_.live() != entries) throw std::logic_error("each entry has a node, and no other has");
    }

 private:
    static unsigned my_thread() {
        if constexpr (kThreads) return Threads::mine().index;
        else return 0;
    }

    TP_APART void take_reads(unsigned thread) {
        // One in kCalm buffers while nearly all reads are hits. Relaxed, both: a hint.
        bool skip = calm_.load(std::memory_order_relaxed) && ++skipped_ % kCalm != 0;
        if (skip || !lock_.try_lock()) return reads_.take(thread, [](Index) {});
        take_reads_locked(thread);
        lock_.unlock();
    }
    void take_reads_locked(unsigned thread) {
        reads_.take(thread, [&](Index i) {
            if (nodes_.known(i) && nodes_[i].segment != Segment::kNone) policy_.use(i);
        });
        calm_.store(policy_.calm(), std::memory_order_relaxed);
    }

    void update(Index i) {
        CacheNode& node = nodes_[i];
        std::uint32_t weight =
            node.wanted.load(std::memory_order_relaxed);  // relaxed: the queue made it visible
        if (node.segment != Segment::kNone) {
            policy_.reweigh(i, weight);
            policy_.use(i);
        } else {
            node.weight = weight;
            policy_.insert(i);
        }
    }
    void bury(Index i) {
        policy_.remove(i);
        nodes_.give(i);
    }

    // Of a hit's time, 3 in 5 parts are the policy's step.
    static constexpr unsigned kCalm = 8;
    static inline thread_local unsigned skipped_ __attribute__((tls_model("initial-exec"))) = 0;

    CacheNodes nodes_;
    ReadBuffers reads_;
    std::atomic<bool> calm_{false};
    alignas(kNoSharing) PatientLock lock_;
    Policy policy_;
};

/// P::SlotData is std::uint32_t: the index of the slot's node.
template <class P>
class CacheMap : public HashMap<P, CacheTracker<P::kThreads>> {
    using Tracker = CacheTracker<P::kThreads>;
    using Base = HashMap<P, Tracker>;
    using Base::dispose, Base::host, Base::overwrite_or_remove, Base::consider_resize;
    using Base::gate_, Base::tables_, Base::tracker;
    using typename Base::Bucket, typename Base::Chains, typename Base::Cursor, typename Base::DeferredCleanup,
        typename Base::Table, typename Base::WriterSection;
    using Index = CacheNodes::Index;

 public:
    static constexpr std::uint64_t kUnbounded = Tracker::kUnbounded;

    using Base::is_reservation, Base::release_key;
    using typename Base::Entry, typename Base::Lookup, typename Base::Tables;

    /// Throws bad_alloc.
    explicit CacheMap(std::uint64_t secret) : Base(secret, ~secret) {}

    /// Calls to(context, key, value) for every evicted entry, outside all locks, instead of releasing its
    /// references, which are the callee's. Before the map is shared.
    void send_evicted(void (*to)(void*, Word, Word), void* context) {
        evicted_to_ = to;
        evicted_context_ = context;
    }

    // ---- as a HashMap's, with misses counted

    TP_HOT Outcome get(const Lookup& lookup, Word* value) {
        Outcome outcome = Base::get(lookup, value);
        if (TP_UNLIKELY(outcome == Outcome::kAbsent)) tracker().missed();
        return outcome;
    }
    template <class Each>
    void get_group(const Lookup* lookups, unsigned count, Each each) {
        Base::get_group(lookups, count, [&](unsigned i, Outcome outcome, Word value) {
            if (outcome == Outcome::kAbsent) tracker().missed();
            each(i, outcome, value);
        });
    }

    // ---- as a HashMap's, with the bound kept

    template <bool kThrough = false, class Decide>
    TP_HOT Outcome change(const Lookup& lookup, Decide&& decide, Word* reservation = nullptr) {
        Outcome outcome = Base::template change<kThrough>(lookup, decide, reservation);
        keep_bound();
        return outcome;
    }
    template <class Next>
    TP_HOT bool overwrite(const Lookup& lookup, Next next, Word* old) {
        bool found = Base::overwrite(lookup, next, old);
        if (found) keep_bound();
        return found;
    }
    bool replace_exact(std::uint64_t hash, Word key, Word value, Word next) {
        bool found = Base::replace_exact(hash, key, value, next);
        keep_bound();
        return found;
    }
    template <class Sink>
    void take_all(typename Base::Detached detached, Sink sink) {
        Tables::each_home_of(detached, [&](Table& table, Bucket& home) {
            Chains::each_slot(table, home, [&](Bucket& bucket, int slot, Word, Word) {
                tracker().removed(bucket.data.of[slot].load(std::memory_order_relaxed));
            });
        });
        Base::take_all(detached, sink);
        keep_bound();
    }
    void clear() { MapBase<P>::clear(*this); }

    // ---- the bound

    static constexpr bool kWeighs = true;
    bool weighs() { return tracker().weighs.load(std::memory_order_relaxed); }
    /// From now on weight_of_next_value counts. Before the map is shared.
    void set_weighs() { tracker().weighs.store(true, std::memory_order_relaxed); }

    /// Another bound; the entries above it are gone when it returns. Throws bad_alloc, with nothing changed.
    void set_max(std::uint64_t max) {
        tracker().with_policy([&](auto& policy) { policy.set_max(max); });
        over_.store(true, std::memory_order_seq_cst);
        keep_bound();
    }

    struct CacheStats {
        typename Base::Stats table;
        std::uint64_t max, weight, hits, misses, evictions, sketch_resets, bytes;
        double window_share, half_ratio, double_ratio;
    };
    CacheStats cache_stats() {
        CacheStats s{};
        s.table = Base::stats();
        tracker().with_policy([&](auto& policy) {
            s.max = policy.max();
            s.weight = policy.weight();
            s.hits = tracker().hits();
            s.misses = tracker().misses();
            s.evictions = policy.evictions();
            s.sketch_resets = policy.sketch_resets();
            s.bytes = s.table.bytes + policy.bytes() + tracker().bytes();
            s.window_share = policy.window_share();
            s.half_ratio = policy.half_ratio();
            s.double_ratio = policy.double_ratio();
        });
        return s;
    }

    void check() {
        Base::check();
        tracker().check(static_cast<std::uint64_t>(Base::size()));
    }

 private:
    // Entries evicted in one step: bounds the stack, and the time for which another thread's changes wait.
    static constexpr unsigned kBatch = stress::shrunk(32u, 2u);
    // New entries that may wait for a thread that evicts: more would be memory that nobody has asked for.
    static constexpr std::uint64_t kMostQueued = stress::shrunk(std::uint64_t{128}, std::uint64_t{2});

    /// What a step leaves for the time after evicting_ is released.
    struct Evicted {
        std::array<Index, kBatch> nodes;
        std::array<Entry, kBatch> entries;
        std::array<DeferredCleanup, kBatch> cleanups;
        unsigned count = 0;  ///< of entries
    };

    /// After every change, outside all locks and pins.
    TP_HOT void keep_bound() {
        if (TP_UNLIKELY(tracker().any_changed() || over_.load(std::memory_order_relaxed))) evict();
    }

    TP_APART void evict() {
        // Either this thread gets evicting_; or the thread that has it releases it after our change, and then looks
        // at the queue. seq_cst: pairs with the fence below, in that thread.
        std::atomic_thread_fence(std::memory_order_seq_cst);
        for (unsigned round = 0; tracker().any_changed() || over_.load(std::memory_order_relaxed);) {
            if (evicting_.try_lock()) evict_some();
            else if (tracker().nodes().live() < settled_.load(std::memory_order_relaxed) + kMostQueued)
                return;
            else pause_round(round++);
        }
    }

    /// One step, under evicting_, which it releases.
    void evict_some() {
        Evicted evicted;
        if (TP_UNLIKELY(generation_ != process_generation.load(std::memory_order_relaxed))) mend();
        over_.store(false, std::memory_order_relaxed);  // relaxed, all: guarded by evicting_, or a hint
        auto [chosen, more, entries] = tracker().choose(evicted.nodes);
        for (unsigned i = 0; i < chosen; ++i) remove(evicted, i);
        if (more) over_.store(true, std::memory_order_relaxed);
        else settled_.store(entries, std::memory_order_relaxed);
        evicting_.unlock();
        std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with the fence in evict()
        for (unsigned i = 0; i < chosen; ++i) dispose(evicted.cleanups[i]);
        for (unsigned i = 0; i < evicted.count; ++i) send(evicted.entries[i]);
    }

    /// In a forked child: a thread of the parent had chosen entries, and not yet removed them. They are new again.
    TP_COLD void mend() {
        generation_ = process_generation.load(std::memory_order_relaxed);
        tables_.each_home([&](Table& table, Bucket& home) {
            Chains::each_slot(table, home, [&](Bucket& bucket, int slot, Word, Word value) {
                Index i = bucket.data.of[slot].load(std::memory_order_relaxed);
                if (!is_reservation(value) && tracker().is_lost(i)) tracker().changed(i);
            });
        });
    }

    /// Removes the entry of a node that the policy has chosen, if it still has one.
    void remove(Evicted& evicted, unsigned chosen) {
        const Index i = evicted.nodes[chosen];
        DeferredCleanup& cleanup = evicted.cleanups[chosen];
        Word value = 0;
        WriterSection section(gate_);
        Cursor at{};
        {
            typename Tables::Locked home(host(), tables_, at, tracker().nodes()[i].hash, &cleanup.emptied);
            // a computation keeps its key: its result is a change, which brings the node back
            if (!seek_node(at, i, &value) || is_reservation(value)) return;
            overwrite_or_remove(at, value, 0, cleanup);
            tracker().evicted(i);
        }
        consider_resize(at.table, -1);
        evicted.entries[evicted.count++] = {std::exchange(cleanup.key, 0), value};
    }

    static bool seek_node(Cursor& at, Index i, Word* value) {
        bool found = false;
        Chains::each_slot(*at.table, *at.home, [&](Bucket& bucket, int slot, Word key, Word word) {
            if (bucket.data.of[slot].load(std::memory_order_relaxed) != i) return;
            at.bucket = &bucket;
            at.slot = slot;
            at.key = key;
            *value = word;
            found = true;
        });
        return found;
    }

    void send(const Entry& entry) {
        if (evicted_to_) return evicted_to_(evicted_context_, entry.key, entry.value);
        release_key(entry.key);
        P::release(entry.value);
    }

    PatientLock evicting_;
    std::uint32_t generation_ = process_generation.load(std::memory_order_relaxed);
    std::atomic<std::uint64_t> settled_{0};  ///< entries that stayed in the last step
    std::atomic<bool> over_{false};          ///< more has to be evicted, though nothing has changed
    void (*evicted_to_)(void*, Word, Word) = nullptr;
    void* evicted_context_ = nullptr;
};

}  // namespace threadproof
