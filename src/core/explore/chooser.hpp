/// The choice of the next thread, by the plan of a run.
///
/// kRandom is a random walk. kPriorities is PCT (Burckhardt et al., ASPLOS 2010): random priorities, of which
/// depth - 1 random steps lower one. kPartialOrder is POS (Yuan et al., CAV 2018): a random priority for each
/// step, drawn again for those that depend on the step just taken.
///
/// One thread at a time calls it, the running one; a handover orders it before the next.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <vector>

#include "core/explore/plan.hpp"

namespace threadproof::explore {

class Chooser {
 public:
    void begin(const Plan& plan) {
        plan_ = &plan;
        random_ = Random(plan.seed);
        priorities_.fill(0);
        lowest_ = kHighest / 2;
        step_ = 0;
        changes_.clear();
        if (plan.policy != Policy::kPriorities) return;
        for (std::uint32_t i = 1; i < plan.depth; ++i) changes_.push_back(random_.below(plan.length));
    }

    /// A thread is there. PCT's first priorities are above all lowered ones.
    void add(ThreadId thread) {
        if (plan_->policy == Policy::kPriorities)
            priorities_[thread] = kHighest / 2 + 1 + random_.below(kHighest / 2);
    }

    /// One of the candidates, which are not empty. `next` are the operations of all threads.
    template <class Next>
    ThreadId choose(Threads candidates, ThreadId running, const Next& next) {
        if (std::has_single_bit(candidates)) return first(candidates);
        switch (plan_->policy) {
            case Policy::kContinue: return candidates & bit(running) ? running : first(candidates);
            case Policy::kRandom: return nth(candidates, random_.below(std::popcount(candidates)));
            case Policy::kPriorities: return by_thread(candidates, running, next);
            case Policy::kPartialOrder: return by_step(candidates);
        }
        return first(candidates);
    }

    /// The thread takes its step: dependent steps of others get new priorities.
    template <class Next>
    void took(ThreadId thread, Threads pending, const Next& next) {
        if (plan_->policy != Policy::kPartialOrder) return;
        priorities_[thread] = 0;
        for (; pending; pending &= pending - 1) {
            ThreadId other = first(pending);
            if (other != thread && are_dependent(next(other), next(thread))) priorities_[other] = 0;
        }
    }

 private:
    static constexpr std::uint32_t kHighest = 1U << 31;

    static Threads bit(ThreadId thread) { return thread < kMostThreads ? only(thread) : 0; }
    static ThreadId first(Threads threads) { return static_cast<ThreadId>(std::countr_zero(threads)); }
    static ThreadId nth(Threads threads, std::uint32_t n) {
        for (; n > 0; --n) threads &= threads - 1;
        return first(threads);
    }

    ThreadId highest(Threads candidates) const {
        ThreadId best = first(candidates);
        for (; candidates; candidates &= candidates - 1)
            if (priorities_[first(candidates)] > priorities_[best]) best = first(candidates);
        return best;
    }

    template <class Next>
    ThreadId by_thread(Threads candidates, ThreadId running, const Next& next) {
        bool changes = std::find(changes_.begin(), changes_.end(), step_++) != changes_.end();
        // a thread that sleeps lets the others run, or a loop that waits so would never end
        bool yields = running < kMostThreads && next(running).kind == StepKind::kSleep;
        if ((changes || yields) && running < kMostThreads) priorities_[running] = --lowest_;
        return highest(candidates);
    }

    ThreadId by_step(Threads candidates) {
        for (Threads rest = candidates; rest; rest &= rest - 1)
            if (priorities_[first(rest)] == 0) priorities_[first(rest)] = 1 + random_.below(kHighest);
        return highest(candidates);
    }

    const Plan* plan_ = nullptr;
    Random random_;
    std::array<std::uint32_t, kMostThreads> priorities_{};  // 0: none yet
    std::uint32_t lowest_ = 0;
    std::uint32_t step_ = 0;              // choices so far
    std::vector<std::uint32_t> changes_;  // the choices at which the running thread's priority is lowered
};

}  // namespace threadproof::explore
