/// Who has seen what: the epochs and vector clocks by which the race detector decides whether two steps are
/// ordered.
///
/// A thread's own count goes up each time it publishes what it has done (a release). An epoch is one thread
/// at one count. A clock holds, for every thread, the count up to which its steps are known to have come
/// before. So a step at epoch e came before whatever a thread does now exactly if that thread's clock covers
/// e.
///
/// Papers: Flanagan and Freund, FastTrack (PLDI 2009): most variables need one epoch, not a clock.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace threadproof::race {

using ThreadId = std::uint32_t;

/// One thread at one of its counts, in one word; the default one belongs to nobody and comes before
/// everything.
class Epoch {
 public:
    static constexpr int kCountBits = 48;  // 2^48 releases: 8 years at a million a second
    static constexpr ThreadId kMostThreads = (1u << (64 - kCountBits)) - 1;

    constexpr Epoch() = default;
    constexpr Epoch(ThreadId thread, std::uint64_t count)
        : word_(std::uint64_t{thread} << kCountBits | count) {}

    constexpr ThreadId thread() const { return static_cast<ThreadId>(word_ >> kCountBits); }
    constexpr std::uint64_t count() const { return word_ & ((std::uint64_t{1} << kCountBits) - 1); }
    constexpr explicit operator bool() const { return word_ != 0; }
    friend constexpr bool operator==(Epoch, Epoch) = default;

 private:
    std::uint64_t word_ = 0;
};

/// For every thread, the count up to which its steps came before; 0 for threads it has not heard of.
class Clock {
 public:
    std::uint64_t count_of(ThreadId thread) const { return thread < counts_.size() ? counts_[thread] : 0; }
    bool covers(Epoch epoch) const { return epoch.count() <= count_of(epoch.thread()); }

    /// After this, covers(epoch) holds, and all that held before.
    void learn(Epoch epoch) {
        if (epoch.thread() >= counts_.size()) counts_.resize(epoch.thread() + 1);
        counts_[epoch.thread()] = std::max(counts_[epoch.thread()], epoch.count());
    }

    /// After this, it covers all that either covered.
    void join(const Clock& other) {
        if (other.counts_.size() > counts_.size()) counts_.resize(other.counts_.size());
        for (std::size_t i = 0; i < other.counts_.size(); ++i)
            counts_[i] = std::max(counts_[i], other.counts_[i]);
    }

 private:
    std::vector<std::uint64_t> counts_;
};

}  // namespace threadproof::race
