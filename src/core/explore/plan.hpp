/// The plan of one run: the threads to choose, and the rule by which to choose after those.
#pragma once

#include <cstdint>
#include <vector>

#include "core/explore/steps.hpp"

namespace threadproof::explore {

/// X(constant, name in Python).
#define TP_POLICIES(X)                                                                       \
    X(kContinue, "continue") /* the running thread, or else the one with the least number */ \
    X(kRandom, "random")     /* any */                                                       \
    X(kPriorities, "pct")    /* the thread of the highest priority; some steps lower it */   \
    X(kPartialOrder, "pos")  /* the step of the highest priority */

#define TP_POLICY_CONSTANT(constant, name) constant,
enum class Policy : std::uint8_t { TP_POLICIES(TP_POLICY_CONSTANT) };
#undef TP_POLICY_CONSTANT

struct Plan {
    std::vector<ThreadId> prefix{};  // the thread of each step, from the first on
    Policy policy = Policy::kContinue;
    std::uint64_t seed = 0;
    std::uint32_t depth = 3;    // of kPriorities: one more than the steps that lower a priority
    std::uint32_t length = 50;  // of kPriorities: as many steps are expected
    Threads asleep = 0;  // at the last step of the prefix: their next steps have been explored from there
    bool everywhere = false;  // a thread may be preempted before any step, also a release or its end
    /// If not empty: the sites of accesses before which a thread may be preempted, in ascending order.
    std::vector<std::uint64_t> sites{};
    bool timeouts_any = false;  // a timeout may come at any time; else only when no thread could run
    std::uint32_t most_steps = 20'000;
};

/// SplitMix64 (Steele, Lea, Flood, 2014): the same numbers on every machine.
class Random {
 public:
    explicit Random(std::uint64_t seed = 0) : state_(seed) {}

    std::uint64_t next() {
        std::uint64_t mixed = state_ += 0x9e3779b97f4a7c15;
        mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
        mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
        return mixed ^ (mixed >> 31);
    }
    /// 0 to below - 1. The bias of at most below / 2^32 is no concern: the numbers only have to vary.
    std::uint32_t below(std::uint32_t below) {
        return static_cast<std::uint32_t>((next() >> 32) * below >> 32);
    }

 private:
    std::uint64_t state_;
};

}  // namespace threadproof::explore
