/// Where objects were made, for as long as they live.
///
/// Only some of them are noted, a bounded number for each place in the source: a report names one object, and a program that
/// makes a million of a kind pays for none of the later ones.
///
/// Invariants: 1. an address has an origin only while the object that was noted lives: whoever notes objects of a type
///                reports their deaths; 2. every noted address has its bit in `known_`, so most deaths take no lock.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "core/shadow.hpp"

namespace threadproof::race {

struct Origin {
    std::uint32_t thread = 0, stack = 0;
};

class Origins {
 public:
    /// The first note of an object stays: the constructor of a base class is called by that of the class.
    void note(Object object, Origin origin) {
        known_[place(object)].store(true, std::memory_order_relaxed);  // relaxed: whoever frees the object has it from us
        std::lock_guard hold(mutex_);
        origins_.try_emplace(object, origin);
    }

    void forget(Object object) {
        if (!known_[place(object)].load(std::memory_order_relaxed)) return;
        std::lock_guard hold(mutex_);
        origins_.erase(object);
    }

    /// Its stack is 0 where nothing is known.
    Origin of(Object object) const {
        std::lock_guard hold(mutex_);
        auto found = origins_.find(object);
        return found == origins_.end() ? Origin{} : found->second;
    }

    /// For a fork: nobody is in the middle of a step from hold_still() to let_go().
    void hold_still() { mutex_.lock(); }
    void let_go() { mutex_.unlock(); }

 private:
    static constexpr std::size_t kKnown = 1 << 16;  // 64 kB that stay in a second-level cache, for some thousands of objects

    static std::size_t place(Object object) { return mixed(object) % kKnown; }

    mutable std::mutex mutex_;
    std::unordered_map<Object, Origin> origins_;
    std::vector<std::atomic<bool>> known_ = std::vector<std::atomic<bool>>(kKnown);
};

}  // namespace threadproof::race
