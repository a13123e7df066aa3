/// Where objects were allocated, for as long as they live.
///
/// A bounded number of objects is noted for each place in the source: a report names one object, and a
/// program that allocates a million of one class does not pay for the later ones.
///
/// Invariants:
/// 1. An address has an origin only while the noted object lives: every noted type is tracked, so its
///    deallocations are reported.
/// 2. `filter` counts every noted address, so most deallocations take no lock.
///
/// Field     | written | read  | guard
/// ----------|---------|-------|------
/// origins   | plain   | plain | mutex
#pragma once

#include <cstdint>
#include <mutex>
#include <stdexcept>
#include <unordered_map>

#include "core/probe/object_filter.hpp"

namespace threadproof::race {

using probe::Object;
using probe::ObjectFilter;

struct Origin {
    std::uint32_t thread = 0, stack = 0;
};

class Origins {
 public:
    explicit Origins(ObjectFilter& filter) : filter_(filter) {}

    /// Only the first note of an object counts: a class's constructor calls that of its base class.
    void note(Object object, Origin origin) {
        std::lock_guard hold(mutex_);
        if (origins_.try_emplace(object, origin).second) filter_.add(object, ObjectFilter::kOrigin);
    }

    void forget(Object object) {
        if (!filter_.has(object, ObjectFilter::kOrigin)) return;
        std::lock_guard hold(mutex_);
        if (origins_.erase(object) != 0) filter_.remove(object, ObjectFilter::kOrigin);
    }

    /// An origin of an object that was not noted has stack 0.
    Origin of(Object object) const {
        std::lock_guard hold(mutex_);
        auto found = origins_.find(object);
        return found == origins_.end() ? Origin{} : found->second;
    }

    /// The objects whose origin is noted.
    std::size_t count() const {
        std::lock_guard hold(mutex_);
        return origins_.size();
    }

    /// Around a fork: no other thread is in the middle of a step.
    void lock_for_fork() { mutex_.lock(); }
    void unlock_after_fork() { mutex_.unlock(); }

    /// Asserts invariant 2; std::logic_error if it is broken. Invariant 1 is the probe's: it reports the
    /// deallocations.
    void check() const {
        std::lock_guard hold(mutex_);
        for (const auto& [object, origin] : origins_) {
            if (!filter_.has(object, ObjectFilter::kOrigin))
                throw std::logic_error("an object with an origin is not in the filter");
        }
    }

 private:
    ObjectFilter& filter_;
    mutable std::mutex mutex_;
    std::unordered_map<Object, Origin> origins_;
};

}  // namespace threadproof::race
