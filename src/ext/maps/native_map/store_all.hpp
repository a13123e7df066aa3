/// Storing many keys with their values: in set_many, update, and everything that is made of these.
///
/// An empty HashMap is filled by way of a private table: sized once, filled with no locks, and published in one
/// step. Only keys that CPython hashes and compares itself go there, so no user code can run and look for keys
/// that are not published yet. The first other key ends that; it and the rest are stored one after the other, as
/// by m[key] = value.
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "ext/maps/native_map/sequence.hpp"
#include "ext/maps/native_map/whole_map.hpp"

namespace threadproof::ext {

/// Calls each(i, lookup) for every key from `first` on. A key that cannot be hashed raises after those before it
/// are done.
template <class Map, class Each>
void each_key(MapObject<Map>& self, Sequence& keys, Each each, Py_ssize_t first = 0) {
    constexpr Py_ssize_t kGroup = MapObject<Map>::kGroup;
    static_assert(Sequence::kPiece % kGroup == 0, "a Sequence lends the keys of a group until the next");
    Lookup lookups[kGroup];
    for (Py_ssize_t end; first < keys.size(); first = end) {
        end = std::min(first - first % kGroup + kGroup, keys.size());
        unsigned wanted = static_cast<unsigned>(end - first), count = 0;
        Raised error;
        try {
            for (; count < wanted; ++count) lookups[count].set(keys[first + count]);
        } catch (const PythonError&) {
            error.fetch();
        }
        self.core().prefetch_group(lookups, count);
        for (unsigned i = 0; i < count; ++i) each(first + i, lookups[i]);
        error.rethrow();
    }
}

/// Values that were replaced, and whose references are released when no key is half stored any more.
class ReplacedValues {
 public:
    ReplacedValues() = default;
    ~ReplacedValues() {
        for (Word value : values_) Policy::release(value);
    }
    ReplacedValues(const ReplacedValues&) = delete;
    ReplacedValues& operator=(const ReplacedValues&) = delete;

    /// Whether there is memory for one more.
    bool has_room() {
        if (TP_LIKELY(values_.size() < values_.capacity())) return true;
        try {
            values_.reserve(2 * values_.size() + kFirst);
            return true;
        } catch (const std::bad_alloc&) {
            return false;
        }
    }
    void add(Word value) { values_.push_back(value); }

 private:
    static constexpr std::size_t kFirst = 16;  // most inputs have no key twice, and need no more
    std::vector<Word> values_;
};

/// The lookup of a key; false if hashing it could call user code.
TP_HOT bool set_natively(Lookup& lookup, PyObject* key) {
    if (TP_LIKELY(lookup.set_quickly(key))) return true;
    bool native = is_atom(key) || Py_TYPE(key)->tp_hash == PyBaseObject_Type.tp_hash;
    if (PyTuple_CheckExact(key)) {
        native = true;
        for (Py_ssize_t i = 0; native && i < PyTuple_GET_SIZE(key); ++i)
            native = is_atom(PyTuple_GET_ITEM(key, i));
    }
    if (native) lookup.set(key);
    return native;
}

/// Stores keys and values in a private table, from the first on; *done counts them. Ends at the first key that
/// user code might have to hash or compare, at a value that may not be stored, and for want of memory.
template <class Filled>
void fill(Filled& filled, Sequence& keys, Sequence& values, ReplacedValues& replaced, Py_ssize_t* done) {
    constexpr Py_ssize_t kGroup = 16;  // outstanding cache misses a core can keep
    Lookup lookups[kGroup];
    for (Py_ssize_t first = 0; first < keys.size(); first += kGroup) {
        unsigned wanted = static_cast<unsigned>(std::min(kGroup, keys.size() - first)), count = 0;
        for (; count < wanted && set_natively(lookups[count], keys[first + count]); ++count)
            keys.prefetch(first + kGroup + count);
        filled.prefetch(lookups, count);
        for (unsigned i = 0; i < count; ++i) {
            PyObject* value = values[first + i];
            Word old;
            if (value == remove_sentinel || !replaced.has_room()) return;
            if (!filled.put(lookups[i], Policy::value(value), &old)) return;
            Py_INCREF(value);
            if (old) replaced.add(old);
            ++*done;
        }
        if (count < wanted) return;
    }
}

/// Fills an empty map; returns how many of the keys are stored now, which is 0 if the map is not empty. Throws
/// if reading the keys or values does, with those before stored.
template <class Map>
Py_ssize_t fill_empty(MapObject<Map>& self, Sequence& keys, Sequence& values) {
    ReplacedValues replaced;
    Raised error;
    Py_ssize_t done = 0;
    try {
        auto filled = self.core().make_private(static_cast<std::uint64_t>(keys.size()));
        try {
            fill(filled, keys, values, replaced, &done);
        } catch (const PythonError&) {
            error.fetch();
        }
        // not beside a computation: clear() would drop its result
        if (done && !self.core().publish(filled, [&] { return self.computations.running() == 0; })) return 0;
    } catch (const std::bad_alloc&) {  // a small table that grows may do
        return 0;
    }
    error.rethrow();
    return done;
}

/// m[key] = value for all, in order. Throws, with those before the error stored.
template <class Map>
void store_all(MapObject<Map>& self, Sequence& keys, Sequence& values) {
    constexpr Py_ssize_t kWorthwhile = stress::shrunk(16, 2);  // below, a small table has grown at once
    constexpr bool kFills = requires { typename Map::Filled; };
    Py_ssize_t done = 0;
    bool sized = false;
    if constexpr (kFills) {
        const bool many = keys.size() >= kWorthwhile;
        if (many && !map_is_watched() && self.core().size() == 0) done = fill_empty(self, keys, values);
        sized = done || (many && self.core().expect(static_cast<std::uint64_t>(keys.size())));
    }
    each_key(
        self, keys,
        [&](Py_ssize_t i, const Lookup& lookup) {
            if (map_is_watched()) announce_change(self, lookup, keys[i], Use::kPlain);
            self.store(lookup, values[i]);
        },
        done);
    if constexpr (kFills)
        if (sized) self.core().trim();  // one key may have come many times
}

// ---- other sources than lists of keys and of values

/// A tuple to be filled; user code cannot find it meanwhile. Throws.
inline Ref untracked_tuple(Py_ssize_t size) {
    Ref tuple = Ref::steal(checked(PyTuple_New(size)));
    if (size) PyObject_GC_UnTrack(tuple.get());  // the empty one is never tracked
    return tuple;
}

/// The keys and values of one instant of an exact dict, or of a subclass that is read like one.
struct DictItems {
    Ref keys, values;

    /// Throws.
    explicit DictItems(PyObject* dict) {
        while (!copy(dict, PyDict_Size(dict))) {
        }
    }

 private:
    /// False if the dict has another size by now.
    bool copy(PyObject* dict, Py_ssize_t size) {
        keys = untracked_tuple(size);
        values = untracked_tuple(size);
        CriticalSection locked(dict);
        if (PyDict_Size(dict) != size) return false;
        PyObject *key, *value;
        for (Py_ssize_t at = 0, i = 0; i < size && PyDict_Next(dict, &at, &key, &value); ++i) {
            PyTuple_SET_ITEM(keys.get(), i, Py_NewRef(key));
            PyTuple_SET_ITEM(values.get(), i, Py_NewRef(value));
        }
        return true;
    }
};

template <class Map>
void store_all(MapObject<Map>& self, PyObject* keys, PyObject* values) {
    Sequence all_keys(keys), all_values(values);
    store_all(self, all_keys, all_values);
}

template <class Map>
PyObject* map_store_dict(MapObject<Map>& self, PyObject* dict) {
    self.share();
    if (!PyDict_Check(dict)) {
        PyErr_Format(PyExc_TypeError, "_store_dict() wants a dict, got %R", dict);
        throw PythonError{};
    }
    DictItems items(dict);
    store_all(self, items.keys.get(), items.values.get());
    Py_RETURN_NONE;
}

/// Stores the entries of another map of this type; False, and nothing is done, if it is none.
template <class Map>
PyObject* map_store_map(MapObject<Map>& self, PyObject* other) {
    self.share();
    if (!PyObject_TypeCheck(other, MapObject<Map>::type)) Py_RETURN_FALSE;
    auto& source = *reinterpret_cast<MapObject<Map>*>(other);
    source.share();
    source.expire();
    OwnedEntries<Map, typename Map::Entries> owned;
    source.core().snapshot().swap(owned.entries);
    if (map_is_watched()) read_map(other);
    const auto size = static_cast<Py_ssize_t>(owned.entries.size());
    Ref keys = untracked_tuple(size), values = untracked_tuple(size);
    for (Py_ssize_t i = 0; i < size; ++i) {  // the references go to the tuples
        const auto& entry = owned.entries[static_cast<std::size_t>(i)];
        PyTuple_SET_ITEM(keys.get(), i, Policy::object(entry.key));
        PyTuple_SET_ITEM(values.get(), i, Policy::object(entry.value));
    }
    owned.entries.clear();
    store_all(self, keys.get(), values.get());
    Py_RETURN_TRUE;
}

/// Stores the pairs at the beginning of a list or tuple, as long as they are tuples of two; returns how many.
template <class Map>
PyObject* map_store_pairs(MapObject<Map>& self, PyObject* pairs) {
    self.share();
    Ref all = Ref::steal(checked(PySequence_Tuple(pairs)));
    Py_ssize_t count = 0;
    auto pair = [&](Py_ssize_t i) { return PyTuple_GET_ITEM(all.get(), i); };
    while (count < PyTuple_GET_SIZE(all.get()) && PyTuple_CheckExact(pair(count))
           && PyTuple_GET_SIZE(pair(count)) == 2)
        ++count;
    Ref keys = untracked_tuple(count), values = untracked_tuple(count);
    for (Py_ssize_t i = 0; i < count; ++i) {
        PyTuple_SET_ITEM(keys.get(), i, Py_NewRef(PyTuple_GET_ITEM(pair(i), 0)));
        PyTuple_SET_ITEM(values.get(), i, Py_NewRef(PyTuple_GET_ITEM(pair(i), 1)));
    }
    store_all(self, keys.get(), values.get());
    return PyLong_FromSsize_t(count);
}

}  // namespace threadproof::ext
