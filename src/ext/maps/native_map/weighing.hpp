/// Weighing: the weight of a value that a cache is about to store, by the function that its user gave.
#pragma once

#include <cstdint>
#include <utility>

#include "core/maps/cache/map.hpp"
#include "ext/python/errors.hpp"

namespace threadproof::ext {

/// While it lives, the values that the thread stores have the weight of those that they replace.
class SameWeight {
 public:
    SameWeight() noexcept : outer_(std::exchange(weight_of_next_value, kSameWeight)) {}
    ~SameWeight() { weight_of_next_value = outer_; }
    SameWeight(const SameWeight&) = delete;
    SameWeight& operator=(const SameWeight&) = delete;

 private:
    const std::uint32_t outer_;
};

/// While it lives, the values that the thread stores in this cache have the weight.
class Weighing {
 public:
    /// Calls cache._weigh(key, value), which raises or returns an int from 0 to 2^32 - 2. Null: the weight of an
    /// entry stays. Throws.
    Weighing(PyObject* cache, PyObject* key, PyObject* value) {
        if (TP_UNLIKELY(cache != nullptr)) weight_of_next_value = ask(cache, key, value);
    }

 private:
    TP_COLD static std::uint32_t ask(PyObject* cache, PyObject* key, PyObject* value) {
        Ref weight = Ref::steal(checked(PyObject_CallMethod(cache, "_weigh", "OO", key, value)));
        unsigned long number = PyLong_AsUnsignedLong(weight.get());
        if (PyErr_Occurred()) throw PythonError{};
        return static_cast<std::uint32_t>(number);
    }

    SameWeight outer_;
};

/// For the maps that do not weigh.
struct Unweighed {};

}  // namespace threadproof::ext
