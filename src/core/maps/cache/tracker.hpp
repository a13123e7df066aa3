/// CacheTracker: what a cache knows of its entries: their nodes, the reads and changes of them, their times, and the
/// policy. The tracker of a HashMap; how it works is said in cache/map.hpp.
///
/// Field       | written                       | read                 | guard
/// ------------|-------------------------------|----------------------|----------------------------------
/// policy_     | plain                         | plain                | lock_
/// expiry_     | once, before the map is shared| plain                | never changes; see expiry.hpp
/// counts_     | once, before the map is shared| plain                | never changes
/// weighs,     | relaxed, before the map is    | relaxed              | none
/// listens     | shared                        |                      |
/// expired_    | relaxed                       | relaxed: a metric    | none
/// departures  | plain                         | plain                | one thread's
/// nodes_, reads_: see nodes.hpp, read_buffers.hpp
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

#include "core/base/hints.hpp"
#include "core/base/locks.hpp"
#include "core/base/threads.hpp"
#include "core/maps/cache/expiry.hpp"
#include "core/maps/cache/nodes.hpp"
#include "core/maps/cache/policy.hpp"
#include "core/maps/cache/read_buffers.hpp"

namespace threadproof {

/// Why an entry, or the value of a key, has left a cache.
enum class Cause : std::uint8_t { kSize, kExpired, kReplaced, kRemoved, kCleared };

/// The weight of the value that this thread is storing in a cache that weighs, or kSameWeight: that of the value
/// before, which for a new key is 1. Not an argument, because it would go through every layer of every map.
inline constexpr std::uint32_t kSameWeight = ~std::uint32_t{0};
inline thread_local std::uint32_t weight_of_next_value __attribute__((tls_model("initial-exec"))) =
    kSameWeight;

/// While it lives, the entries that this thread removes have another cause.
class Because {
 public:
    explicit Because(Cause cause) : outer_(std::exchange(now_, cause)) {}
    ~Because() { now_ = outer_; }
    Because(const Because&) = delete;
    Because& operator=(const Because&) = delete;
    static Cause now() { return now_; }

 private:
    static inline thread_local Cause now_ __attribute__((tls_model("initial-exec"))) = Cause::kRemoved;
    const Cause outer_;
};

template <class P>
class CacheTracker {
 public:
    static constexpr bool kOn = true;
    static constexpr std::uint64_t kUnbounded = std::uint64_t{1} << 62;
    using Index = CacheNodes::Index;
    using Policy = CachePolicy<CacheNodes>;

    explicit CacheTracker(std::uint64_t secret) : policy_(nodes_, kUnbounded, secret) {}

    /// Whether values have weights of their own.
    std::atomic<bool> weighs{false};
    /// Whether departures are collected.
    std::atomic<bool> listens{false};

    /// An entry, or a value of a key, that has left; with references of its own.
    struct Departure {
        Word key, value;
        Cause cause;
    };
    /// Those of the call that this thread is in.
    static std::vector<Departure>& departures() {
        static thread_local std::vector<Departure> mine;
        return mine;
    }
    std::uint64_t lost_departures() const { return lost_.load(std::memory_order_relaxed); }

    /// Before the map is shared. Throws bad_alloc.
    void set_expiry(const Lifetimes& lives, CacheClock clock, void* context, std::uint64_t secret) {
        expiry_ = std::make_unique<Expiry>(nodes_, lives, clock, context, secret);
    }
    /// Null: nothing expires.
    TP_HOT Expiry* expiry() const { return expiry_.get(); }
    void count_expired() { expired_.fetch_add(1, std::memory_order_relaxed); }
    std::uint64_t expired() const { return expired_.load(std::memory_order_relaxed); }

    // ---- as a tracker of a HashMap

    template <class Valid>
    TP_HOT void read(Index i, Valid valid) {
        if (TP_UNLIKELY(expiry_ != nullptr) && !expiry_->judge(i, valid)) return;
        if (TP_UNLIKELY(i && reads_.note(my_thread(), i))) take_reads(my_thread());
    }
    TP_HOT void missed() {
        if (TP_LIKELY(counts_)) reads_.note_miss(my_thread());
    }
    /// From now on reads are not counted, and no ratios are estimated. Before the map is shared.
    void count_nothing() {
        counts_ = false;
        policy_.estimate_nothing();
    }
    Index take(std::uint64_t hash) { return nodes_.take(hash); }
    void give(Index i) {
        if (TP_UNLIKELY(expiry_ != nullptr)) expiry_->clear(i);
        nodes_.give(i);
    }
    void changing(Index i) {
        if (TP_UNLIKELY(expiry_ != nullptr)) expiry_->announce(i);
    }
    void changed(Index i) {
        // relaxed, both: the queue publishes it; and a flag that is set before the map is shared
        if (TP_UNLIKELY(weighs.load(std::memory_order_relaxed)) && weight_of_next_value != kSameWeight)
            nodes_[i].wanted.store(weight_of_next_value, std::memory_order_relaxed);
        if (TP_UNLIKELY(expiry_ != nullptr)) expiry_->stamp(i);
        nodes_.changed(i);
    }
    /// Without weights and times that is a use, as a read is: the policy knows the entry, or finds it in the queue.
    TP_HOT void overwritten(Index i) {
        if (TP_UNLIKELY(expiry_ != nullptr || weighs.load(std::memory_order_relaxed))) return changed(i);
        if (TP_LIKELY(!reads_.note_write(my_thread(), i))) return;
        // full: the next step of the policy empties it. Not here, under the lock of a bucket.
        if (skips()) reads_.take(my_thread(), [](Index) {});
        else nodes_.changed(i);
    }
    void removed(Index i) {
        if (TP_UNLIKELY(expiry_ != nullptr)) {
            expiry_->clear(i);
            if (Because::now() == Cause::kExpired) count_expired();
        }
        nodes_.removed(i);
    }
    TP_HOT bool has_expired(Index i) const {
        return TP_UNLIKELY(expiry_ != nullptr) && i && expiry_->is_over(i, cache_call.now);
    }
    /// While it lives, the entry that is removed has expired.
    struct Expiring : Because {
        Expiring() : Because(Cause::kExpired) {}
    };
    void replaced(Word key, Word old, Word next) {
        if (TP_UNLIKELY(listens.load(std::memory_order_relaxed))) depart(key, old, next);
    }
    /// Its entry, which is in no list, has been removed. By the holder of evicting_, under the bucket's lock.
    void evicted(Index i) {
        if (TP_UNLIKELY(expiry_ != nullptr)) expiry_->clear(i);
        nodes_.evicted(i);
    }
    /// An entry that is in no list stays. Under its bucket's lock.
    void keep(Index i) { nodes_.changed(i); }

    // ---- for the map

    bool any_changed() const { return nodes_.any_changed(); }

    struct Choice {
        unsigned expired, victims;  ///< how many of the indices: first those that have expired
        bool more;                  ///< there are more that have to go
        std::uint64_t entries;      ///< that stay
    };
    /// The entries that have to go, which are in no list then: their indices. Brings the policy up to date before.
    /// The caller retires `unlinked`, with no lock held.
    template <std::size_t kMost>
    Choice choose(std::array<Index, kMost>& victims, CacheNodes::Memory& unlinked, bool exactly = false) {
        std::lock_guard hold(lock_);
        take_reads_locked(my_thread());
        nodes_.take_changed([&](Index i, bool dead) { dead ? bury(i) : update(i); });
        if (TP_UNLIKELY(nodes_.live() == 0)) {
            nodes_.shrink(unlinked);
            policy_.shrink();
        }
        unsigned count = 0;
        bool done = true;
        if (TP_UNLIKELY(expiry_ != nullptr)) {
            auto take = [&](Index due) { policy_.remove(victims[count++] = due); };
            done = expiry_->take_due(expiry_->latest(), take, static_cast<unsigned>(kMost), exactly);
        }
        const unsigned expired = count;
        auto evict = [&](Index loser) {
            if (TP_UNLIKELY(expiry_ != nullptr)) expiry_->unschedule(loser);
            victims[count++] = loser;
        };
        if (done) done = policy_.settle(evict, static_cast<unsigned>(kMost) - count);
        return {expired, count, !done, policy_.count()};
    }

    /// Calls see(policy) with the policy up to date but for reads and changes that are under way.
    template <class See>
    auto with_policy(See see) {
        std::lock_guard hold(lock_);
        take_reads_locked(my_thread());
        return see(policy_);
    }

    /// An entry as the policy knows it. Its node may have another entry by the time it is looked at.
    struct Ranked {
        Index node;
        std::uint64_t hash;
    };
    struct Ranks {
        std::vector<Ranked> hottest, coldest, oldest;
    };
    /// The entries that would be evicted last, and first, and those that are over first: at most so many of each,
    /// at one instant. Throws bad_alloc.
    Ranks ranks(std::uint64_t hottest, std::uint64_t coldest, std::uint64_t oldest) {
        return with_policy([&](auto& policy) {
            Ranks ranks;
            auto into = [&](std::vector<Ranked>& list, std::uint64_t most) {
                return [&, most](Index i) {
                    if (list.size() < most) list.push_back({i, nodes_[i].hash});
                    return list.size() < most;
                };
            };
            policy.segments().each_hottest(into(ranks.hottest, hottest));
            policy.segments().each_coldest(into(ranks.coldest, coldest));
            if (expiry_ && oldest) ranks.oldest = first_to_expire(policy, oldest);
            return ranks;
        });
    }

    /// Whether the policy does not know the entry of a node and has not been told of it; see CacheMap::mend().
    bool is_lost(Index i) {
        std::lock_guard hold(lock_);
        return nodes_[i].segment == Segment::kNone && !nodes_.is_queued(i);
    }

    CacheNodes& nodes() { return nodes_; }
    std::uint64_t hits() const { return counts_ ? reads_.hits() : 0; }
    std::uint64_t misses() const { return reads_.misses(); }
    std::uint64_t bytes() const { return nodes_.bytes() + reads_.bytes() + (expiry_ ? sizeof(Expiry) : 0); }

    void check(std::uint64_t entries) {
        std::lock_guard hold(lock_);
        nodes_.check();
        policy_.check();
        if (expiry_) expiry_->check();
        if (policy_.count() != entries) throw std::logic_error("the policy has the entries of the map");
        if (nodes_.live() != entries) throw std::logic_error("each entry has a node, and no other has");
    }

 private:
    static unsigned my_thread() {
        if constexpr (P::kThreads) return Threads::mine().index;
        else return 0;
    }

    /// Whether the policy can do without a buffer: of kCalm it takes one, while nearly all reads are hits.
    bool skips() {
        return calm_.load(std::memory_order_relaxed) && ++skipped_ % kCalm != 0;  // relaxed: a hint
    }
    TP_APART void take_reads(unsigned thread) {
        if (skips() || !lock_.try_lock()) return reads_.take(thread, [](Index) {});
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
        if (TP_UNLIKELY(expiry_ != nullptr)) expiry_->schedule(i);
    }
    void bury(Index i) {
        if (TP_UNLIKELY(expiry_ != nullptr)) expiry_->unschedule(i);
        policy_.remove(i);
        nodes_.give(i);
    }

    /// The `most` entries with the earliest deadlines, in their order. Under lock_. Reads all entries.
    std::vector<Ranked> first_to_expire(const Policy& policy, std::uint64_t most) {
        std::vector<std::pair<Instant, Index>> due;  // a heap, with the latest on top
        policy.segments().each_coldest([&](Index i) {
            Instant deadline = expiry_->deadline(i);
            if (!deadline) return true;
            due.emplace_back(deadline, i);
            std::push_heap(due.begin(), due.end());
            if (due.size() > most) std::pop_heap(due.begin(), due.end()), due.pop_back();
            return true;
        });
        std::sort_heap(due.begin(), due.end());
        std::vector<Ranked> ranked;
        for (auto [deadline, i] : due) ranked.push_back({i, nodes_[i].hash});
        return ranked;
    }

    /// Under the bucket's lock, right after the step. Retaining runs no user code.
    TP_COLD void depart(Word key, Word old, Word next) {
        if (old & kReservation) old = P::old_value(old);
        if (!old || old == next) return;  // a failed computation stores the old value again
        try {
            departures().push_back({key, old, next ? Cause::kReplaced : Because::now()});
        } catch (const std::bad_alloc&) {
            lost_.fetch_add(1, std::memory_order_relaxed);
            return;
        }
        P::retain(key);
        P::retain(old);
    }

    static constexpr Word kReservation = 1;  // as MapBase has it
    // Of a hit's time, 3 in 5 parts are the policy's step.
    static constexpr unsigned kCalm = 8;
    static inline thread_local unsigned skipped_ __attribute__((tls_model("initial-exec"))) = 0;

    CacheNodes nodes_;
    ReadBuffers reads_;
    std::unique_ptr<Expiry> expiry_;
    bool counts_ = true;
    std::atomic<bool> calm_{false};
    std::atomic<std::uint64_t> expired_{0}, lost_{0};
    alignas(kNoSharing) PatientLock lock_;
    Policy policy_;
};

}  // namespace threadproof
