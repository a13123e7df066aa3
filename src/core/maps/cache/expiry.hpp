/// Expiry: for how long the entries of a cache live, and which of them are over.
///
/// Each entry has a deadline (CacheTimes). A writer, under the lock of the bucket, first stores the earlier one of the
/// old and the new deadline, with the mark kUnsettled, then the value, and then the new deadline. A reader takes the
/// value, reads the deadline, and looks whether the entry still has that value. So it knows the deadline of its
/// value, or one with the mark, which is no later than that. If one with the mark is over, the reader does not know
/// of which value it is: it waits for the writer. No value is seen after its deadline, and none is missing before.
/// A reader that finds the deadline over replaces it by kOver: what was absent once does not come back in a call that
/// began earlier. A read puts a deadline without the mark off, where entries expire after access, by a compare-and-swap.
///
/// A call judges entries by the time at which it began. Its time is in a thread-local variable (Moment), because it
/// would have to go through every layer of the map, and because a clock may be a function of the user's, which may
/// not run under a lock.
///
/// Field      | written                              | read    | guard
/// -----------|--------------------------------------|---------|--------------------
/// lives_,    | once, before the map is shared       | plain   | never changes
/// clock_     |                                      |         |
/// latest_    | relaxed, compare-and-swap: it grows  | relaxed | none
/// wheel_     | plain                                | plain   | the policy's lock
#pragma once

#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <utility>

#include "core/base/hints.hpp"
#include "core/base/stress.hpp"
#include "core/maps/cache/nodes.hpp"
#include "core/maps/cache/sketch.hpp"
#include "core/maps/cache/timer_wheel.hpp"

namespace threadproof {

/// In ns, each 0 where it is not wanted.
struct Lifetimes {
    Instant write = 0;    ///< from the storing of the value to its end
    Instant access = 0;   ///< from the last read or store
    Instant refresh = 0;  ///< from the storing of the value to the time at which it should be loaded again
    std::uint32_t jitter = 0;  ///< in 65,536ths: lifetimes are shorter by up to that part
    bool own = false;          ///< every value comes with a deadline of its own
};

/// The clock of a cache: ns since any time. `context` is what came with it.
using CacheClock = std::int64_t (*)(void* context);

/// What a call on a cache with expiry knows.
struct CacheCall {
    enum class Verdict : std::uint8_t { kUnsure, kUnsettled, kFresh, kExpired };
    Instant now;
    Instant deadline;    ///< of the entry that was read last, if the verdict is kFresh or kExpired
    std::uint32_t node;  ///< its node
    Verdict verdict;
    bool peeks;  ///< the read is no use of the entry
};
inline thread_local CacheCall cache_call __attribute__((tls_model("initial-exec"))) = {};

/// The time of the calls on one cache while it lives. Calls can be nested: a comparison may use another cache.
class Moment {
 public:
    explicit Moment(Instant now, bool peeks = false) : outer_(std::exchange(cache_call, CacheCall{})) {
        cache_call.now = now;
        cache_call.peeks = peeks;
    }
    ~Moment() { cache_call = outer_; }
    Moment(const Moment&) = delete;
    Moment& operator=(const Moment&) = delete;

 private:
    const CacheCall outer_;
};

/// The deadline of the value that this thread is storing in a cache where each has its own; 0: never.
inline thread_local Instant deadline_of_next_value __attribute__((tls_model("initial-exec"))) = 0;
/// Whether the value that this thread is storing was there before, so that its deadline stays.
inline thread_local bool next_value_is_restored __attribute__((tls_model("initial-exec"))) = false;

class Expiry {
    struct Links {
        CacheNodes* nodes;
        WheelLinks& operator()(std::uint32_t i) const { return nodes->times(i).links; }
    };

 public:
    using Index = CacheNodes::Index;
    using Verdict = CacheCall::Verdict;

    /// `clock`: null for the monotonic clock. Throws bad_alloc.
    Expiry(CacheNodes& nodes, const Lifetimes& lives, CacheClock clock, void* context, std::uint64_t secret)
        : nodes_(nodes), lives_(lives), clock_(clock), context_(context), secret_(secret), wheel_({&nodes}) {
        nodes.keep_times(has_limits(), lives.refresh != 0);
    }

    /// From a time of the clock. The bias lets clocks begin at 0, or below.
    static Instant instant(std::int64_t ns) { return static_cast<Instant>(ns) + kBias; }

    /// The time; never before one that it has returned. May run user code: outside all locks.
    Instant now() {
        if (TP_LIKELY(!clock_)) return monotonic();
        Instant now = instant(clock_(context_));
        Instant latest = latest_.load(std::memory_order_relaxed);  // relaxed, all: only the number
        while (latest < now && !latest_.compare_exchange_weak(latest, now, std::memory_order_relaxed)) {
        }
        return std::max(latest, now);
    }
    /// The time as far as it is known without the user's clock.
    Instant latest() const { return clock_ ? latest_.load(std::memory_order_relaxed) : monotonic(); }

    /// The entry is about to get a new value. Under the lock of its bucket, in a Moment.
    void announce(Index i) {
        if (next_value_is_restored) return;
        CacheTimes& times = nodes_.times(i);
        // relaxed, all: the lock guards them, and the release of the value publishes them
        const Instant old = times.deadline.load(std::memory_order_relaxed);
        if (Instant first = earlier(old, deadline_from_now(limit_from_now(i), i)))
            times.deadline.store(first | kUnsettled, std::memory_order_relaxed);
        if (lives_.refresh)
            nodes_.refresh_at(i).store(after(cache_call.now, lives_.refresh, i), std::memory_order_relaxed);
    }

    /// The entry has the new value. Under the same lock, in the same Moment.
    void stamp(Index i) {
        if (next_value_is_restored) return;
        stress::reach(stress::Window::kStamping);
        CacheTimes& times = nodes_.times(i);
        const Instant limit = limit_from_now(i);
        // relaxed: published by the next
        if (has_limits()) nodes_.limit(i).store(limit, std::memory_order_relaxed);
        // release: pairs with judge(); makes the value visible
        times.deadline.store(deadline_from_now(limit, i), std::memory_order_release);
    }
    /// Its key has gone. release: pairs with judge(); makes that visible
    void clear(Index i) { nodes_.times(i).deadline.store(0, std::memory_order_release); }

    /// After a wait for the writer: what was announced counts, if the writer has not gone on (it was not forked).
    void settle(Index i) {
        CacheTimes* times = nodes_.find_times(i);
        if (!times) return;
        Instant deadline = times->deadline.load(std::memory_order_relaxed);  // relaxed, both: only the number
        if (deadline & kUnsettled)
            times->deadline.compare_exchange_strong(deadline, deadline & ~kUnsettled,
                                                    std::memory_order_relaxed);
    }

    /// Sets cache_call.verdict on an entry that was read; valid(): it still has the value that was read. Pinned.
    /// Returns whether that was a use of the entry.
    template <class Valid>
    bool judge(Index i, Valid valid) {
        CacheCall& call = cache_call;
        CacheTimes* times = i ? nodes_.find_times(i) : nullptr;
        // acquire: pairs with stamp(); if the deadline is that of a later value, valid() sees that value
        const Instant deadline = times ? times->deadline.load(std::memory_order_acquire) : 0;
        call.node = i;
        call.deadline = deadline & ~kUnsettled;
        const bool settled = deadline == call.deadline;
        call.verdict = !valid()                         ? Verdict::kUnsure
                       : !over(call.deadline, call.now) ? Verdict::kFresh
                       : settled                        ? Verdict::kExpired
                                                        : Verdict::kUnsettled;
        if (call.verdict == Verdict::kExpired && !mark_over(*times, deadline))
            call.verdict = Verdict::kUnsure;
        if (call.verdict != Verdict::kFresh || call.peeks) return false;
        if (lives_.access && deadline && settled) put_off(i, *times, deadline, call.now);
        return true;
    }

    /// Whether the entry of a node is over; `mark`: and has exactly this deadline. Under the lock of its bucket.
    bool is_over(Index i, Instant now) const { return over(deadline_of(i), now); }
    bool has_deadline(Index i, Instant mark) const {
        return nodes_.times(i).deadline.load(std::memory_order_relaxed) == mark;
    }

    /// Whether the value of the entry that was read last should be loaded again: true for one call each time. Pinned.
    bool claim_refresh() {
        auto* refresh_at = cache_call.node ? nodes_.find_refresh_at(cache_call.node) : nullptr;
        if (!refresh_at) return false;
        Instant at = refresh_at->load(std::memory_order_relaxed);  // relaxed, both: only the number
        return over(at, cache_call.now)
               && refresh_at->compare_exchange_strong(at, cache_call.now + lives_.refresh,
                                                      std::memory_order_relaxed);
    }

    // ---- under the policy's lock

    /// When the entry is over; 0: never.
    Instant deadline(Index i) const { return deadline_of(i); }
    void schedule(Index i) { wheel_.schedule(i, deadline_of(i)); }
    void unschedule(Index i) { wheel_.remove(i); }

    /// Calls take(i) for the entries that are over, at most `most`; false if there may be more.
    template <class Take>
    bool take_due(Instant now, Take take, unsigned most, bool exactly) {
        auto due = [&](Index i) -> Instant {
            Instant deadline = deadline_of(i);
            if (!deadline) return TimerWheel<Links>::kNever;
            if (deadline > now) return deadline;
            take(i);
            return 0;
        };
        return wheel_.advance(now, due, most, exactly);
    }
    /// ns until entries may be due; -1: none will be.
    std::int64_t until_due() const {
        Instant due = wheel_.next_due(), now = latest();
        return !due ? -1 : due > now ? static_cast<std::int64_t>(due - now) : 0;
    }
    void check() const { wheel_.check(); }

 private:
    static constexpr Instant kBias = Instant{1} << 62;
    // Before every time that a clock has.
    static constexpr Instant kOver = 1;
    // A bit that no time has: with the bias, clocks have 2^61 ns, 73 years, before and after 0.
    static constexpr Instant kUnsettled = Instant{1} << 63;
    // Reads put a deadline off by at least a millisecond: a key that many threads read is not written all the time.
    static constexpr Instant kStep = 1'000'000;

    static Instant monotonic() {
        timespec time;
        clock_gettime(CLOCK_MONOTONIC, &time);
        return instant(time.tv_sec * std::int64_t{1'000'000'000} + time.tv_nsec);
    }

    static bool over(Instant deadline, Instant now) { return deadline && deadline <= now; }
    static Instant earlier(Instant a, Instant b) { return !a ? b : !b ? a : std::min(a, b); }

    Instant deadline_of(Index i) const {
        return nodes_.times(i).deadline.load(std::memory_order_relaxed) & ~kUnsettled;
    }
    /// Of a value that is stored now: the time to which reads can put its deadline off, and its first deadline.
    Instant limit_from_now(Index i) const {
        return lives_.own ? deadline_of_next_value : after(cache_call.now, lives_.write, i);
    }
    Instant deadline_from_now(Instant limit, Index i) const {
        return earlier(limit, after(cache_call.now, lives_.access, i));
    }

    /// now + life, less some jitter; 0 if life is.
    Instant after(Instant now, Instant life, Index i) const {
        if (!life) return 0;
        Instant by = life;
        if (lives_.jitter) {
            // not by the node's hash: a pinned reader's node can have been freed, with its memory
            std::uint64_t chance = spread(std::uint64_t{i} << 32 ^ now ^ secret_) >> 48;  // 16 bits
            by -= static_cast<Instant>(static_cast<double>(life) * static_cast<double>(lives_.jitter)
                                       * static_cast<double>(chance) / 0x1p32);
        }
        return now + by;
    }

    /// Whether there is a time to which reads can put a deadline off.
    bool has_limits() const { return lives_.access && lives_.write; }
    /// For a pinned reader. 0: any time.
    Instant limit_of(Index i) const {
        auto* limit = has_limits() ? nodes_.find_limit(i) : nullptr;
        return limit ? limit->load(std::memory_order_relaxed) : 0;
    }

    /// A reader has found an entry expired: so do all that come later, even if they began earlier, and none puts the
    /// deadline off any more. False if another thread has changed it.
    static bool mark_over(CacheTimes& times, Instant deadline) {
        // acq_rel: pairs with itself, and with stamp()
        return deadline == kOver
               || times.deadline.compare_exchange_strong(deadline, kOver, std::memory_order_acq_rel);
    }

    TP_APART void put_off(Index i, CacheTimes& times, Instant deadline, Instant now) {
        stress::reach(stress::Window::kPuttingOff);
        Instant later = earlier(limit_of(i), after(now, lives_.access, i));
        // The node may have another entry by now: that has another deadline, unless it was stored in the same ns.
        if (later >= deadline + kStep)
            times.deadline.compare_exchange_strong(deadline, later, std::memory_order_relaxed);
    }

    CacheNodes& nodes_;
    const Lifetimes lives_;
    const CacheClock clock_;
    void* const context_;
    const std::uint64_t secret_;
    std::atomic<Instant> latest_{0};
    TimerWheel<Links> wheel_;
};

}  // namespace threadproof
