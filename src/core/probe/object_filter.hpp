/// A counting filter over objects: may any state exist for this object? Most objects are deallocated without
/// any state, and then one load decides it.
///
/// Objects share counters, so the filter may answer yes for an object that has no state. It never answers no
/// for one that has.
///
/// Every step is relaxed: a thread adds an object while it uses the object, and the reference count orders
/// every use before the deallocation.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/base/hints.hpp"
#include "core/probe/object.hpp"

namespace threadproof::probe {

class ObjectFilter {
 public:
    /// The kinds of state an object may have; each has its own 16 bits of a counter word.
    enum State : unsigned {
        kCells,   // the race detector's cells of the object's variables
        kOrder,   // clocks, permits, items or values of a synchronisation object
        kOrigin,  // where the object was allocated
        kNoted,   // anything else: the owner of the state looks it up in a table of its own
    };

    void add(Object object, State state) {
        counter_of(object).fetch_add(one(state), std::memory_order_relaxed);
    }
    void remove(Object object, State state) {
        counter_of(object).fetch_sub(one(state), std::memory_order_relaxed);
    }

    TP_HOT bool any(Object object) const { return counter_of(object).load(std::memory_order_relaxed) != 0; }
    TP_HOT bool has(Object object, State state) const {
        return (counter_of(object).load(std::memory_order_relaxed) & kMost * one(state)) != 0;
    }

 private:
    static constexpr std::size_t kCounters = 1 << 16;  // most deallocated objects find a 0; 512 kB
    static constexpr int kBits = 16;  // overflows when 65,536 objects with a state share a counter: 4 billion
    static constexpr std::uint64_t kMost = (std::uint64_t{1} << kBits) - 1;

    static std::uint64_t one(State state) { return std::uint64_t{1} << kBits * state; }

    std::atomic<std::uint64_t>& counter_of(Object object) { return counters_[mixed(object) % kCounters]; }
    const std::atomic<std::uint64_t>& counter_of(Object object) const {
        return counters_[mixed(object) % kCounters];
    }

    std::vector<std::atomic<std::uint64_t>> counters_ = std::vector<std::atomic<std::uint64_t>>(kCounters);
};

}  // namespace threadproof::probe
