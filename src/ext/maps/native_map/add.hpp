/// Adding to a key's value. Small ints are added under the bucket's lock, or in the loop of an exchange,
/// because making an int calls no user code; other numbers are added outside, and stored if the value is
/// still the same; other objects are added by their own +, once, with the key reserved.
#pragma once

#include <cstdint>
#include <optional>

#include "ext/maps/native_map/compute.hpp"
#include "ext/maps/native_map/watched.hpp"
#include "ext/python/atoms.hpp"
#include "ext/python/numbers.hpp"

namespace threadproof::ext {

/// The sum of a small int and a value; null if the value is not a small int, or if there is no memory, and
/// then an exception is set.
TP_HOT PyObject* small_sum(PyObject* base, std::int64_t delta) {
    std::int64_t number = 0;
    bool small = PyLong_CheckExact(base) && small_int(base, &number);
    return small ? PyLong_FromLongLong(number + delta) : nullptr;  // below 2^61: no overflow
}

/// add_small() where overwrite() cannot do it.
template <class Map>
TP_APART Ref add_small_anywhere(MapObject<Map>& self, Lookup lookup, std::int64_t delta, PyObject* initial) {
    Word old = 0;
    Ref sum;
    // made before the sum is stored: another thread may release the slot's reference right after that
    std::optional<Incoming> fresh;
    self.change(lookup, [&](Word current) {
        old = 0;
        fresh.reset();
        sum = Ref::steal(small_sum(current ? Policy::object(current) : initial, delta));
        if (!sum) return current;
        old = current;
        return fresh.emplace(sum.get()).word();
    });
    if (!sum && PyErr_Occurred()) throw PythonError{};
    if (fresh) fresh->release();
    release_value(old);
    return sum;
}

/// Adds a small int to a key's value if that is a small int too, or absent while `initial` is one. Returns
/// the sum; null, and nothing is done, for other values.
template <class Map>
Ref add_small(MapObject<Map>& self, const Lookup& lookup, std::int64_t delta, PyObject* initial) {
    if constexpr (Map::kOverwritesLocked) {
        Word old;
        Ref sum;
        auto next = [&](Word current) {
            sum = Ref::steal(small_sum(Policy::object(current), delta));
            return Policy::value(Py_XNewRef(sum.get()));
        };
        if (TP_LIKELY(self.core().overwrite(lookup, next, &old))) {
            release_value(old);
            return sum;
        }
        if (TP_UNLIKELY(PyErr_Occurred() != nullptr)) throw PythonError{};
    }
    return add_small_anywhere(self, lookup, delta, initial);
}

/// Adds numbers outside the lock, and stores the sum if the value is still the one that was added to. Null,
/// and nothing is done, for other values.
template <class Map>
Ref add_numbers(MapObject<Map>& self, const Lookup& lookup, PyObject* delta, PyObject* initial) {
    for (;;) {
        Ref old = self.look_up(lookup);
        PyObject* base = old ? old.get() : initial;
        if (!is_number(base) || !is_number(delta)) return Ref();
        Ref sum = Ref::steal(checked(PyNumber_Add(base, delta)));
        Incoming fresh(sum.get());
        Word seen = Policy::value(old.get()), replaced = 0;
        bool stored = false;
        self.change(lookup, [&](Word current) {
            stored = current == seen;
            replaced = stored ? current : 0;
            return stored ? fresh.word() : current;
        });
        if (!stored) continue;
        fresh.release();
        release_value(replaced);
        return sum;
    }
}

/// Adds to a key's value, or to `initial` if it is absent, and returns the sum. Throws.
template <class Map>
Ref add(MapObject<Map>& self, const Lookup& lookup, PyObject* key, PyObject* delta, PyObject* initial) {
    WatchedChange change(self, lookup, key);
    std::int64_t number;
    if (!self.weighs() && PyLong_CheckExact(delta) && small_int(delta, &number)) {
        if (Ref sum = add_small(self, lookup, number, initial)) return sum;
    }
    if (!self.weighs())
        if (Ref sum = add_numbers(self, lookup, delta, initial)) return sum;
    return compute(self, lookup, key, When::kAlways, Deadline(), [&](PyObject* old) {
        PyObject* sum = outliving([&] { return PyNumber_Add(old ? old : initial, delta); });
        if (!sum) note_addition(self.object(), key);
        return sum;
    });
}

template <class Map>
PyObject* map_add(MapObject<Map>& self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    self.share();
    Arguments<3> arguments("add", given, count, names, 1, 3, {"key", "delta", "initial"});
    PyObject* key = arguments[0];
    return or_none(add(self, Lookup(key), key, arguments.get(1, one), arguments.get(2, zero)));
}

}  // namespace threadproof::ext
