/// The waits of one thread: their sums by lock and stacks, and the longest ones, each by itself.
///
/// Invariants:
/// 1. Every wait is in the sums. `longest` has those of at least `threshold` nanoseconds, at most kMostWaits.
/// 2. Sums beyond kMostSums are added to those of stack 0 of their lock.
///
/// All fields are guarded by the mutex, which its thread locks for each wait, and a reader for a copy.
#pragma once

#include <algorithm>
#include <cstddef>
#include <mutex>
#include <stdexcept>
#include <unordered_map>
#include <vector>

#include "core/watch/releases.hpp"

namespace threadproof::watch {

using LockNumber = std::uint32_t;

/// What the waits of one sum have in common.
struct Path {
    LockNumber lock;
    std::uint32_t stack;  // of the waiting thread
    Holder holder;
    friend bool operator==(const Path&, const Path&) = default;
};

struct Sum {
    std::uint64_t count = 0;
    Nanoseconds delay = 0, most = 0;
};

/// One wait. The holder is the one with the longest part.
struct Wait {
    Path path;
    Nanoseconds begin, end;
    bool got;  // false: a timeout, or an exception
    Nanoseconds delay() const { return end - begin; }
};

class Ledger {
 public:
    struct Hash {
        std::size_t operator()(const Path& path) const {
            std::uint64_t hash = path.lock;
            for (std::uint64_t each :
                 {std::uint64_t{path.stack}, std::uint64_t{path.holder.stack}, path.holder.thread})
                hash = (hash ^ each) * 0x9E3779B97F4A7C15u;
            return hash ^ hash >> 32;
        }
    };
    using Sums = std::unordered_map<Path, Sum, Hash>;

    /// Adds a wait, whose parts add_part() has added before.
    void add_wait(const Wait& wait) {
        std::lock_guard hold(mutex_);
        Sum& sum = sum_of(wait.path);
        ++sum.count;
        sum.most = std::max(sum.most, wait.delay());
        keep(wait);
    }

    void add_part(const Path& path, Nanoseconds delay) {
        std::lock_guard hold(mutex_);
        sum_of(path).delay += delay;
    }

    Sums sums() const {
        std::lock_guard hold(mutex_);
        return sums_;
    }
    std::vector<Wait> longest() const {
        std::lock_guard hold(mutex_);
        return longest_;
    }

    /// Around a fork.
    void lock() { mutex_.lock(); }
    void unlock() { mutex_.unlock(); }

    /// Asserts the invariants; std::logic_error if one is broken.
    void check() const {
        std::lock_guard hold(mutex_);
        if (longest_.size() > kMostWaits) throw std::logic_error("a ledger keeps too many waits");
        for (const Wait& each : longest_)
            if (each.delay() < threshold_) throw std::logic_error("a ledger keeps a wait that is too short");
    }

 private:
    static constexpr std::size_t kMostWaits = 2048;  // of a thread: a timeline has fewer pixels
    static constexpr std::size_t kMostSums = 4096;   // 300 kB a thread; recursion makes many stacks

    Sum& sum_of(Path path) {
        if (sums_.size() >= kMostSums && !sums_.contains(path)) path = {path.lock, 0, {}};
        return sums_[path];
    }

    /// When there is no room, the shorter half goes.
    void keep(const Wait& wait) {
        if (wait.delay() < threshold_) return;
        if (longest_.size() == kMostWaits) {
            auto middle = longest_.begin() + kMostWaits / 2;
            std::nth_element(longest_.begin(), middle, longest_.end(),
                             [](const Wait& one, const Wait& other) { return one.delay() > other.delay(); });
            threshold_ = middle->delay();
            longest_.erase(middle, longest_.end());
            if (wait.delay() < threshold_) return;
        }
        longest_.push_back(wait);
    }

    mutable std::mutex mutex_;
    Sums sums_;
    std::vector<Wait> longest_;
    Nanoseconds threshold_ = 0;
};

}  // namespace threadproof::watch
