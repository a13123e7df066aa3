/// The values and the hashes of CPython's exact ints and floats, without a call.
///
/// Python hashes a number by its value modulo the prime 2^61 - 1, so that equal numbers of any type have
/// equal hashes. The hash of a negative number is minus that of its absolute value, except that -1 becomes
/// -2.
/// Source: the Python Standard Library, "Hashing of numeric types".
#pragma once

#include <cstdint>
#include <cstring>

#include "core/base/hints.hpp"
#include "ext/python/compat.hpp"

namespace threadproof::ext {

/// An exact int's sign (1, 0, -1), and its digits of 30 bits, the lowest first.
struct Digits {
    static_assert(PYLONG_BITS_IN_DIGIT == 30);
    std::int64_t sign;
    std::uintptr_t count;
    const digit* digits;

    TP_HOT explicit Digits(PyObject* object) {
        const auto* number = reinterpret_cast<const PyLongObject*>(object);
#if PY_VERSION_HEX >= 0x030C0000
        std::uintptr_t tag = number->long_value.lv_tag;
        digits = number->long_value.ob_digit;
        sign = 1 - static_cast<std::int64_t>(tag & 3);
        count = tag >> 3;
#else
        Py_ssize_t size = Py_SIZE(object);
        digits = number->ob_digit;
        sign = size < 0 ? -1 : size > 0;
        count = static_cast<std::uintptr_t>(size < 0 ? -size : size);
#endif
    }

    TP_HOT std::uint64_t low_two() const {
        return digits[0] | static_cast<std::uint64_t>(digits[1]) << PyLong_SHIFT;
    }
};

/// The value of an exact int of at most two digits (|v| < 2^60); false if it has more.
TP_HOT bool small_int(PyObject* object, std::int64_t* value) {
    Digits number(object);
    if (number.count > 2) return false;
    *value = number.sign * static_cast<std::int64_t>(number.count == 2 ? number.low_two() : number.digits[0]);
    return true;
}

inline constexpr unsigned kHashBits = 61;
static_assert(_PyHASH_BITS == kHashBits);
inline constexpr std::uint64_t kHashPrime = (std::uint64_t{1} << kHashBits) - 1;

TP_HOT Py_hash_t signed_hash(std::uint64_t hash, bool negative) {
    Py_hash_t result = negative ? -static_cast<Py_hash_t>(hash) : static_cast<Py_hash_t>(hash);
    return result == -1 ? -2 : result;
}

/// The hash of an exact int of three digits (2^60 <= |v| < 2^90); false if it has more or less.
TP_HOT bool hash_of_int(PyObject* object, Py_hash_t* hash) {
    Digits number(object);
    if (number.count != 3) return false;
    // The third digit counts 2^60; modulo the prime, 2^61 is 1. So the sum is less than twice the prime.
    std::uint64_t high = number.digits[2];
    std::uint64_t sum = number.low_two() + ((high & 1) << 60) + (high >> 1);
    *hash = signed_hash(sum >= kHashPrime ? sum - kHashPrime : sum, number.sign < 0);
    return true;
}

/// The hash of a float; false for infinities and NaNs.
TP_HOT bool hash_of_float(double value, Py_hash_t* hash) {
    std::uint64_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    unsigned exponent = static_cast<unsigned>(bits >> 52) & 0x7ff;
    if (exponent == 0x7ff) return false;
    std::uint64_t whole = bits & ((std::uint64_t{1} << 52) - 1);  // the value is whole * 2^(exponent - 1075)
    if (exponent) whole |= std::uint64_t{1} << 52;
    else exponent = 1;
    // modulo the prime, 2^61 is 1: multiplying by a power of two rotates 61 bits; and -1075 is 23 modulo 61
    unsigned turned = (exponent + 23) % kHashBits;
    *hash = signed_hash((whole << turned | whole >> (kHashBits - turned)) & kHashPrime, bits >> 63);
    return true;
}

/// The hash of an exact float or int, if that takes no call.
TP_HOT bool hash_of_number(PyObject* object, Py_hash_t* hash) {
    if (PyLong_CheckExact(object)) return hash_of_int(object, hash);
    return PyFloat_CheckExact(object) && hash_of_float(PyFloat_AS_DOUBLE(object), hash);
}

}  // namespace threadproof::ext
