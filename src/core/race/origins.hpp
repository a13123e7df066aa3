/// Where objects were made, for as long as they live.
///
/// Only some of them are noted, a bounded number for each place in the source: a report names one object, and
/// a program that makes a million of a kind pays for none of the later ones.
///
/// Invariants: 1. an address has an origin only while the object that was noted lives: whoever notes objects of a type
///                reports their deaths; 2. `known` counts every noted address, so most deaths take no lock.
#pragma once

#include <cstdint>
#include <mutex>
#include <unordered_map>

#include "core/race/known.hpp"

namespace threadproof::race {

struct Origin {
    std::uint32_t thread = 0, stack = 0;
};

class Origins {
 public:
    explicit Origins(Known& known) : known_(known) {}

    /// The first note of an object stays: the constructor of a base class is called by that of the class.
    void note(Object object, Origin origin) {
        std::lock_guard hold(mutex_);
        if (origins_.try_emplace(object, origin).second) known_.add(object, Known::kOrigin);
    }

    void forget(Object object) {
        if (!known_.has(object, Known::kOrigin)) return;
        std::lock_guard hold(mutex_);
        if (origins_.erase(object) != 0) known_.remove(object, Known::kOrigin);
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
    Known& known_;
    mutable std::mutex mutex_;
    std::unordered_map<Object, Origin> origins_;
};

}  // namespace threadproof::race
