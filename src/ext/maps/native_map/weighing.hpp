/// What a cache asks about a value before it stores it: its weight and its deadline, by the functions that its user
/// gave. The answers reach the core in thread-local variables.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "core/maps/cache/map.hpp"
#include "ext/python/errors.hpp"

namespace threadproof::ext {

/// While it lives, the values that the thread stores have the weight of those that they replace; and, with
/// kRestored, their deadline.
class NextValue {
 public:
    enum Origin { kNew, kRestored };

    explicit NextValue(Origin origin = kNew) noexcept
        : weight_(std::exchange(weight_of_next_value, kSameWeight)),
          deadline_(std::exchange(deadline_of_next_value, 0)),
          restored_(std::exchange(next_value_is_restored, origin == kRestored)) {}
    ~NextValue() {
        weight_of_next_value = weight_;
        deadline_of_next_value = deadline_;
        next_value_is_restored = restored_;
    }
    NextValue(const NextValue&) = delete;
    NextValue& operator=(const NextValue&) = delete;

 private:
    const std::uint32_t weight_;
    const Instant deadline_;
    const bool restored_;
};

/// A time of a cache's clock, in seconds, in ns; within 73 years of 0.
inline std::int64_t nanoseconds(double seconds) {
    constexpr double kMost = 0x1p61;
    return static_cast<std::int64_t>(std::clamp(std::floor(seconds * 1e9), -kMost, kMost));
}

/// While it lives, the values that the thread stores in this cache have the weight and the deadline.
class Weighing {
 public:
    /// Calls cache._describe(key, value), which raises or returns a weight from 0 to 2^32 - 2, and a time in seconds,
    /// or infinity. Null: the weight of an entry stays. Throws.
    Weighing(PyObject* cache, PyObject* key, PyObject* value) {
        if (TP_UNLIKELY(cache != nullptr)) ask(cache, key, value);
    }

 private:
    TP_COLD static void ask(PyObject* cache, PyObject* key, PyObject* value) {
        Ref answer = Ref::steal(checked(PyObject_CallMethod(cache, "_describe", "OO", key, value)));
        unsigned int weight;
        double deadline;
        if (!PyArg_ParseTuple(answer.get(), "Id", &weight, &deadline)) throw PythonError{};
        weight_of_next_value = weight;
        deadline_of_next_value = std::isinf(deadline) ? 0 : Expiry::instant(nanoseconds(deadline));
    }

    NextValue outer_;
};

/// For the maps that do not weigh.
struct Unweighed {};

}  // namespace threadproof::ext
