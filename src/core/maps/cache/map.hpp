/// CacheMap: a HashMap with a bound. Reads take no lock, and each change brings the policy up to date before the call
/// ends, so that what is above the bound is gone then.
///
/// How it works. The table is a HashMap's, and is right at every moment: what is stored is visible at once. The
/// policy (policy.hpp) comes after it. A read, and an overwrite where there are no weights and times, notes its node
/// in a lossy buffer of its thread (read_buffers.hpp); when that is full, the policy takes it, if no other thread has
/// its lock. Another change puts the node into a queue (nodes.hpp), under the lock of its bucket; after it, outside
/// all locks, one of the threads that have changed something takes the queue, lets the policy choose the entries
/// that have to go, and removes them from the table, like any thread that removes a key.
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
///  5. A call on one key treats an entry that was over when the call began as absent: reads look at its deadline
///     (expiry.hpp), changes remove it first. Before a step on the whole map, expire_due() removes all of them.
///
/// Field       | written                       | read                 | guard
/// ------------|-------------------------------|----------------------|----------------------------------
/// evicting_   | a lock that is only tried     |                      | it is held while entries are chosen
///             |                               |                      | and removed; memory is retired after it
/// the tracker's: see tracker.hpp
/// settled_    | relaxed                       | relaxed: a hint      | evicting_
/// over_       | relaxed, or seq_cst           | relaxed              | none: it is looked at again
/// sent_to_    | once, before the map is shared | plain               | never changes
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
#include <vector>

#include "core/base/hints.hpp"
#include "core/base/locks.hpp"
#include "core/maps/cache/tracker.hpp"
#include "core/maps/hash_map/map.hpp"

namespace threadproof {

/// P::SlotData is std::uint32_t: the index of the slot's node.
template <class P>
class CacheMap : public HashMap<P, CacheTracker<P>> {
    using Tracker = CacheTracker<P>;
    using Base = HashMap<P, Tracker>;
    using Base::dispose, Base::host, Base::overwrite_or_remove, Base::consider_resize;
    using Base::gate_, Base::tables_, Base::tracker;
    using typename Base::Bucket, typename Base::Chains, typename Base::Cursor, typename Base::DeferredCleanup,
        typename Base::Table, typename Base::WriterSection;
    using Index = CacheNodes::Index;
    struct Filled;                            ///< hidden, all:
    using Base::make_private, Base::publish;  ///< a private table has no nodes

 public:
    static constexpr std::uint64_t kUnbounded = Tracker::kUnbounded;

    using Base::is_reservation, Base::release_key;
    using typename Base::Entry, typename Base::Lookup, typename Base::Tables;

    /// Throws bad_alloc.
    explicit CacheMap(std::uint64_t secret) : Base(secret, ~secret) {}

    /// Calls to(context, key, value, cause) for every entry, and every value of a key, that leaves the map, in the
    /// thread whose call removes it, outside all locks. The references are the callee's. Before the map is shared.
    void send_departures(void (*to)(void*, Word, Word, Cause), void* context) {
        sent_to_ = to;
        sent_context_ = context;
        tracker().listens.store(true, std::memory_order_relaxed);
    }
    /// Sends no more: the map is about to be destroyed, or the caller has seen to it.
    void stop_sending() {
        tracker().listens.store(false, std::memory_order_relaxed);
        sent_to_ = nullptr;
    }

    // ---- as a HashMap's, with misses counted, and without entries that have expired

    TP_HOT Outcome get(const Lookup& lookup, Word* value) {
        if (TP_UNLIKELY(tracker().expiry() != nullptr)) return get_timed(lookup, value);
        Outcome outcome = Base::get(lookup, value);
        if (TP_UNLIKELY(outcome == Outcome::kAbsent)) tracker().missed();
        return outcome;
    }
    TP_HOT Outcome contains(const Lookup& lookup) {
        if (TP_LIKELY(!tracker().expiry())) return Base::contains(lookup);
        Moment moment(tracker().expiry()->now(), true);
        Word value;
        Outcome outcome = get_fresh(lookup, &value);
        if (outcome == Outcome::kPresent) P::release(value);
        return outcome;
    }
    template <class Each>
    void get_group(const Lookup* lookups, unsigned count, Each each) {
        auto counted = [&](unsigned i, Outcome outcome, Word value) {
            if (outcome == Outcome::kAbsent) tracker().missed();
            each(i, outcome, value);
        };
        if (TP_LIKELY(!tracker().expiry())) return Base::get_group(lookups, count, counted);
        Moment moment(tracker().expiry()->now());
        Outcome outcome = Outcome::kAbsent;
        for (unsigned i = 0; i < count && outcome <= Outcome::kPresent; ++i) {
            Word value = 0;
            outcome = get_fresh(lookups[i], &value);
            counted(i, outcome, value);
        }
    }

    // ---- as a HashMap's, with the bound kept

    template <bool kThrough = false, class Decide>
    TP_HOT Outcome change(const Lookup& lookup, Decide&& decide, Word* reservation = nullptr) {
        if (TP_UNLIKELY(tracker().expiry() != nullptr))
            return change_timed<kThrough>(lookup, decide, reservation);
        Outcome outcome = Base::template change<kThrough>(lookup, decide, reservation);
        keep_bound();
        return outcome;
    }
    template <class Next>
    TP_HOT bool overwrite(const Lookup& lookup, Next next, Word* old) {
        if (TP_UNLIKELY(tracker().expiry() != nullptr)) return false;  // it looks at no time
        bool found = Base::overwrite(lookup, next, old);
        if (found) keep_bound();
        return found;
    }
    template <class Next>
    TP_HOT bool store(const Lookup& lookup, Next next, Word* old) {
        if (TP_UNLIKELY(tracker().expiry() != nullptr)) return false;
        bool stored = Base::store(lookup, next, old);
        if (stored) keep_bound();
        return stored;
    }
    TP_HOT bool erase(const Lookup& lookup, Word* old) {
        if (TP_UNLIKELY(tracker().expiry() != nullptr)) return false;
        bool erased = Base::erase(lookup, old);
        if (erased) keep_bound();
        return erased;
    }
    bool replace_exact(std::uint64_t hash, Word key, Word value, Word next) {
        Expiry* expiry = tracker().expiry();
        bool found;
        {
            Moment moment(expiry ? expiry->now() : 0);
            found = Base::replace_exact(hash, key, value, next);
        }
        keep_bound();
        return found;
    }
    template <class Sink>
    void take_all(typename Base::Detached detached, Sink sink) {
        forget_all(detached, Cause::kRemoved);
        Base::take_all(detached, sink);
        keep_bound();
    }
    /// Removes everything in one atomic step.
    void clear() {
        auto detached = Base::detach([](std::int64_t) { return true; });
        forget_all(detached, Cause::kCleared);
        Base::take_all(detached, [](Entry entry) {
            release_key(entry.key);
            P::release(entry.value);
        });
        Base::retire(detached);
        keep_bound();
    }

    // ---- time

    /// Before the map is shared, and once. Throws bad_alloc.
    void set_expiry(const Lifetimes& lives, CacheClock clock, void* context, std::uint64_t secret) {
        tracker().set_expiry(lives, clock, context, secret);
    }

    /// Removes the entries that have expired, all of them.
    void expire_due() {
        if (TP_LIKELY(!tracker().expiry())) return;
        Moment moment(tracker().expiry()->now());
        for (unsigned round = 0;;) {
            if (!evicting_.try_lock()) pause_round(round++);
            else if (!evict_some(true)) return keep_bound();
        }
    }

    /// Begins a new life for the key's value: it has been replaced by itself, which is no change to the table.
    void renew(const Lookup& lookup) {
        Expiry* expiry = tracker().expiry();
        if (TP_LIKELY(!expiry)) return;
        Moment moment(expiry->now(), true);
        Word value;
        if (get_fresh(lookup, &value) != Outcome::kPresent) return;
        P::release(value);
        if (!cache_call.deadline) return;
        stress::reach(stress::Window::kRenewing);
        renew_seen(lookup.hash, cache_call.node, cache_call.deadline);
        keep_bound();
    }

    /// Whether the key's value should be loaded again. True for one call until that has been stored, or until the
    /// time for it has come once more.
    bool claim_refresh(const Lookup& lookup) {
        Expiry* expiry = tracker().expiry();
        if (!expiry) return false;
        Moment moment(expiry->now(), true);
        Word value;
        if (get_fresh(lookup, &value) != Outcome::kPresent) return false;
        P::release(value);
        typename Base::Guard guard;
        return expiry->claim_refresh();
    }

    /// ns until entries may expire; -1: none will.
    std::int64_t until_due() {
        Expiry* expiry = tracker().expiry();
        if (!expiry) return -1;
        if (tracker().any_changed()) return 0;
        return tracker().with_policy([&](auto&) { return expiry->until_due(); });
    }

    // ---- the bound

    static constexpr bool kWeighs = true;
    /// Whether values are described before they are stored.
    bool weighs() { return tracker().weighs.load(std::memory_order_relaxed); }
    /// From now on weight_of_next_value and, with an expiry of that kind, deadline_of_next_value count. Before the
    /// map is shared.
    void set_weighs() { tracker().weighs.store(true, std::memory_order_relaxed); }

    /// Another bound; the entries above it are gone when it returns. Throws bad_alloc, with nothing changed.
    void set_max(std::uint64_t max) {
        tracker().with_policy([&](auto& policy) { policy.set_max(max); });
        over_.store(true, std::memory_order_seq_cst);
        keep_bound();
    }

    /// The entries that would be evicted last, and first, and those that expire first: at most so many of each.
    /// Their order is that of one instant; entries that have gone since are missing. Throws bad_alloc.
    struct Ranks {
        typename Base::Entries hottest, coldest, oldest;  ///< each with references
    };
    Ranks ranks(std::uint64_t hottest, std::uint64_t coldest, std::uint64_t oldest) {
        auto known = tracker().ranks(hottest, coldest, oldest);
        Ranks ranks;
        try {
            find_all(known.hottest, ranks.hottest);
            find_all(known.coldest, ranks.coldest);
            find_all(known.oldest, ranks.oldest);
        } catch (...) {
            for (auto* list : {&ranks.hottest, &ranks.coldest, &ranks.oldest}) Base::release_all(*list);
            throw;
        }
        return ranks;
    }

    /// From now on reads are not counted, and no ratios are estimated. Before the map is shared.
    void count_nothing() { tracker().count_nothing(); }

    struct CacheStats {
        typename Base::Stats table;
        std::uint64_t max, weight, hits, misses, evictions, expired, lost_departures, sketch_resets, bytes;
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
            s.expired = tracker().expired();
            s.lost_departures = tracker().lost_departures();
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
    // Entries evicted in one step: bounds the stack, and the time for which another thread's changes wait. Nearly
    // always one is, and room for 32 took 70 instructions more.
    static constexpr unsigned kBatch = stress::shrunk(8u, 2u);
    // New entries that may wait for a thread that evicts: more would be memory that nobody has asked for.
    static constexpr std::uint64_t kMostQueued = stress::shrunk(std::uint64_t{128}, std::uint64_t{2});

    /// What a step leaves for the time after evicting_ is released.
    struct Evicted {
        std::array<Index, kBatch> nodes;
        std::array<Entry, kBatch> entries;
        std::array<Cause, kBatch> causes;
        std::array<DeferredCleanup, kBatch> cleanups;
        CacheNodes::Memory unlinked;
        unsigned count = 0;  ///< of entries
    };

    // ---- time

    /// get(), in a Moment: without noting an expired entry, or a miss.
    TP_APART Outcome get_fresh(const Lookup& lookup, Word* value) {
        for (;;) {
            cache_call.verdict = CacheCall::Verdict::kFresh;
            Outcome outcome = Base::get(lookup, value);
            if (outcome != Outcome::kPresent || cache_call.verdict == CacheCall::Verdict::kFresh)
                return outcome;
            P::release(*value);
            if (cache_call.verdict == CacheCall::Verdict::kExpired) return Outcome::kAbsent;
            if (cache_call.verdict == CacheCall::Verdict::kUnsettled) wait_for_writer(lookup);
        }
    }

    /// Waits for the writer that has the bucket of a key, which is about to store the deadline of a value.
    TP_COLD void wait_for_writer(const Lookup& lookup) {
        DeferredCleanup cleanup;
        {
            WriterSection section(gate_);
            Cursor at{};
            typename Tables::Locked home(host(), tables_, at, lookup.hash, &cleanup.emptied);
            typename Base::Guard guard;
            tracker().expiry()->settle(cache_call.node);
        }
        dispose(cleanup);
    }

    TP_APART Outcome get_timed(const Lookup& lookup, Word* value) {
        Outcome outcome;
        bool expired;
        {
            Moment moment(tracker().expiry()->now());
            outcome = get_fresh(lookup, value);
            expired = outcome == Outcome::kAbsent && cache_call.verdict == CacheCall::Verdict::kExpired;
        }
        if (outcome == Outcome::kAbsent) tracker().missed();
        if (TP_UNLIKELY(expired) && evicting_.try_lock()) {
            evict_some();
            keep_bound();
        }
        return outcome;
    }

    /// If the entry of the node still has that deadline. By now the node can be another key's, or have no memory.
    void renew_seen(std::uint64_t hash, Index node, Instant deadline) {
        DeferredCleanup cleanup;
        {
            WriterSection section(gate_);
            Cursor at{};
            typename Tables::Locked home(host(), tables_, at, hash, &cleanup.emptied);
            Word value = 0;
            bool same = seek_node(at, node, &value) && tracker().nodes()[node].hash == hash
                        && tracker().expiry()->has_deadline(node, deadline);
            if (same && !is_reservation(value)) tracker().changed(node);
        }
        dispose(cleanup);
    }

    template <bool kThrough, class Decide>
    TP_APART Outcome change_timed(const Lookup& lookup, Decide& decide, Word* reservation) {
        Outcome outcome;
        {
            Moment moment(tracker().expiry()->now());
            outcome = Base::template change<kThrough>(lookup, decide, reservation);
        }
        keep_bound();
        return outcome;
    }

    template <class Known>
    void find_all(const Known& known, typename Base::Entries& found) {
        Moment moment(tracker().expiry() ? tracker().expiry()->now() : 0, true);
        for (auto [node, hash] : known) {
            found.push_back({});  // outside all locks: it may throw
            if (!find(node, hash, found.back())) found.pop_back();
        }
    }
    /// The entry of a node that the policy has known with that hash, as readers see it; false if it has none.
    bool find(Index i, std::uint64_t hash, Entry& found) {
        DeferredCleanup cleanup;
        {
            WriterSection section(gate_);
            Cursor at{};
            typename Tables::Locked home(host(), tables_, at, hash, &cleanup.emptied);
            Word value = 0;
            if (seek_node(at, i, &value) && !tracker().has_expired(i)) {
                if (is_reservation(value)) value = P::old_value(value);
                if (value) {
                    found = {at.key, value};
                    P::retain(at.key);
                    P::retain(value);
                }
            }
        }
        dispose(cleanup);
        return found.key != 0;
    }

    /// Passes the entries of detached tables to the policy as removed.
    void forget_all(typename Base::Detached detached, Cause cause) {
        Because because(cause);
        Tables::each_home_of(detached, [&](Table& table, Bucket& home) {
            Chains::each_slot(table, home, [&](Bucket& bucket, int slot, Word key, Word value) {
                tracker().replaced(key, value, 0);
                tracker().removed(bucket.data.of[slot].load(std::memory_order_relaxed));
            });
        });
    }

    // ---- evicting

    /// After every change, outside all locks and pins.
    TP_HOT void keep_bound() {
        if (TP_UNLIKELY(tracker().any_changed() || over_.load(std::memory_order_relaxed))) evict();
        if (TP_UNLIKELY(tracker().listens.load(std::memory_order_relaxed))) send_departed();
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

    /// One step, under evicting_, which it releases. Returns whether there is more to evict. The caller looks at the
    /// queue again, see evict(): another thread may have left its change to this one.
    bool evict_some(bool exactly = false) {
        Evicted evicted;
        if (TP_UNLIKELY(generation_ != process_generation.load(std::memory_order_relaxed))) mend();
        over_.store(false, std::memory_order_relaxed);  // relaxed, all: guarded by evicting_, or a hint
        auto [expired, chosen, more, entries] = tracker().choose(evicted.nodes, evicted.unlinked, exactly);
        for (unsigned i = 0; i < chosen; ++i) remove(evicted, i, i < expired);
        if (more) over_.store(true, std::memory_order_relaxed);
        else settled_.store(entries, std::memory_order_relaxed);
        stress::reach(stress::Window::kEvicted);
        evicting_.unlock();
        std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with the fence in evict()
        for (const Released& memory : evicted.unlinked) {
            stress::reach(stress::Window::kGivingBack);
            Reclaimer::retire(memory);
        }
        for (unsigned i = 0; i < chosen; ++i) dispose(evicted.cleanups[i]);
        for (unsigned i = 0; i < evicted.count; ++i) send(evicted.entries[i], evicted.causes[i]);
        return more;
    }

    /// In a forked child: a thread of the parent had chosen entries, and not yet removed them. They are new again.
    TP_COLD void mend() {
        generation_ = process_generation.load(std::memory_order_relaxed);
        tables_.each_home([&](Table& table, Bucket& home) {
            Chains::each_slot(table, home, [&](Bucket& bucket, int slot, Word, Word value) {
                Index i = bucket.data.of[slot].load(std::memory_order_relaxed);
                if (!is_reservation(value) && tracker().is_lost(i)) tracker().keep(i);
            });
        });
    }

    /// Removes the entry of a node that has been chosen, if it still has one, and, if it has to be, an expired one.
    void remove(Evicted& evicted, unsigned chosen, bool expired) {
        const Index i = evicted.nodes[chosen];
        DeferredCleanup& cleanup = evicted.cleanups[chosen];
        Word value = 0;
        WriterSection section(gate_);
        Cursor at{};
        {
            typename Tables::Locked home(host(), tables_, at, tracker().nodes()[i].hash, &cleanup.emptied);
            // a computation keeps its key: its result is a change, which brings the node back
            if (!seek_node(at, i, &value) || is_reservation(value)) return;
            // a read, or another value, has put its deadline off
            if (expired && !tracker().expiry()->is_over(i, tracker().expiry()->latest()))
                return tracker().keep(i);
            overwrite_or_remove(at, value, 0, cleanup);
            tracker().evicted(i);
        }
        if (expired) tracker().count_expired();
        consider_resize(at.table, -1);
        evicted.causes[evicted.count] = expired ? Cause::kExpired : Cause::kSize;
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

    void send(const Entry& entry, Cause cause) {
        if (sent_to_) return sent_to_(sent_context_, entry.key, entry.value, cause);
        release_key(entry.key);
        P::release(entry.value);
    }

    /// Those of the call that ends; a listener's calls have their own.
    TP_APART void send_departed() {
        typename std::vector<typename Tracker::Departure> mine;
        mine.swap(Tracker::departures());
        for (const auto& gone : mine) send({gone.key, gone.value}, gone.cause);
    }

    PatientLock evicting_;
    std::uint32_t generation_ = process_generation.load(std::memory_order_relaxed);
    std::atomic<std::uint64_t> settled_{0};  ///< entries that stayed in the last step
    std::atomic<bool> over_{false};          ///< more has to be evicted, though nothing has changed
    void (*sent_to_)(void*, Word, Word, Cause) = nullptr;
    void* sent_context_ = nullptr;
};

}  // namespace threadproof
