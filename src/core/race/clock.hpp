/// Epochs and vector clocks, by which the race detector decides whether two steps are ordered.
///
/// A thread's own count goes up at each release, when the thread publishes what it has done. An epoch is one
/// thread at one count. A clock holds, for every thread, the count up to which that thread's steps are
/// ordered before. So a step at epoch e is ordered before what a thread does now exactly if the thread's
/// clock covers e.
///
/// Source: Flanagan and Freund, FastTrack (PLDI 2009): most variables need one epoch, not a clock.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace threadproof::race {

using ThreadId = std::uint32_t;

/// One thread at one of its counts, in one word. The default epoch belongs to no thread and is ordered before
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

    /// Whether it is `first` or a later one of the same thread.
    constexpr bool is_since(Epoch first) const { return thread() == first.thread() && word_ >= first.word_; }

 private:
    std::uint64_t word_ = 0;
};

/// For every thread, the count up to which its steps are ordered before; 0 for a thread without any.
class Clock {
 public:
    std::uint64_t count_of(ThreadId thread) const { return thread < counts_.size() ? counts_[thread] : 0; }
    bool covers(Epoch epoch) const { return epoch.count() <= count_of(epoch.thread()); }

    /// Afterwards covers(epoch) holds, and everything that was covered before still is.
    void learn(Epoch epoch) {
        if (epoch.thread() >= counts_.size()) counts_.resize(epoch.thread() + 1);
        counts_[epoch.thread()] = std::max(counts_[epoch.thread()], epoch.count());
    }

    /// Afterwards it covers every epoch that either clock covered.
    void join(const Clock& other) {
        if (other.counts_.size() > counts_.size()) counts_.resize(other.counts_.size());
        for (std::size_t i = 0; i < other.counts_.size(); ++i)
            counts_[i] = std::max(counts_[i], other.counts_[i]);
    }

 private:
    std::vector<std::uint64_t> counts_;
};

}  // namespace threadproof::race
