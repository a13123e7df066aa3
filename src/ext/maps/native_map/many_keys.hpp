/// The methods of a native map for many keys, each of which is one atomic step. Keys are looked up in groups,
/// whose buckets are prefetched together.
#pragma once

#include <algorithm>
#include <memory>

#include "ext/maps/native_map/store_all.hpp"
#include "ext/maps/native_map/tally.hpp"

namespace threadproof::ext {

/// The keys of a group of get_many(), whose values are in `list`.
template <class Map>
TP_COLD void publish_reads(MapObject<Map>& self, Sequence& keys, PyObject* list, Py_ssize_t first,
                           unsigned group, PyObject* otherwise) {
    for (Py_ssize_t i = first; i < first + group; ++i)
        read_key(self.object(), keys[i], Use::kCheck, PyList_GET_ITEM(list, i) != otherwise);
}

template <class Map>
PyObject* map_get_many(MapObject<Map>& self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    constexpr Py_ssize_t kGroup = MapObject<Map>::kGroup;
    self.share();
    Arguments<2> arguments("get_many", given, count, names, 1, 2, {"keys", "default"});
    Sequence keys(arguments[0]);
    PyObject* otherwise = arguments.get(1, Py_None);
    Ref list = Ref::steal(checked(PyList_New(keys.size())));
    PyObject_GC_UnTrack(list.get());  // user code cannot find it while it has holes
    Lookup lookups[kGroup];
    for (Py_ssize_t first = 0; first < keys.size(); first += kGroup) {
        unsigned group = static_cast<unsigned>(std::min(kGroup, keys.size() - first));
        for (unsigned i = 0; i < group; ++i) {
            keys.prefetch(first + kGroup + i);
            lookups[i].set(keys[first + i]);
        }
        Outcome worst = Outcome::kPresent;
        if (map_is_watched()) about_to_read(self.object());
        self.core().get_group(lookups, group, [&](unsigned i, Outcome outcome, Word value) {
            PyObject* item = outcome == Outcome::kPresent ? Policy::object(value) : Py_NewRef(otherwise);
            PyList_SET_ITEM(list.get(), first + i, item);
            worst = std::max(worst, outcome);
        });
        checked(worst);
        if (map_is_watched()) publish_reads(self, keys, list.get(), first, group, otherwise);
    }
    PyObject_GC_Track(list.get());
    return list.release();
}

template <class Map>
PyObject* map_set_many(MapObject<Map>& self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    self.share();
    Arguments<2> arguments("set_many", given, count, names, 2, 2, {"keys", "values"});
    Sequence keys(arguments[0]), values(arguments[1]);
    if (keys.size() != values.size()) refuse_lengths(self.object(), keys.size(), values.size());
    store_all(self, keys, values);
    Py_RETURN_NONE;
}

template <class Map>
PyObject* map_delete_many(MapObject<Map>& self, PyObject* iterable) {
    self.share();
    Sequence keys(iterable);
    Py_ssize_t deleted = 0;
    each_key(self, keys, [&](Py_ssize_t i, const Lookup& lookup) {
        WatchedChange change(self, lookup, keys[i]);
        if (self.remove(lookup)) ++deleted;
    });
    return PyLong_FromSsize_t(deleted);
}

template <class Map>
PyObject* map_count_many(MapObject<Map>& self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    self.share();
    Arguments<2> arguments("count_many", given, count, names, 1, 2, {"keys", "delta"});
    Sequence keys(arguments[0]);
    PyObject* delta = arguments.get(1, one);
    // not on the stack: the + of `delta` may call count_many(), and so on
    auto tally = std::make_unique<Tally<Map>>(self, delta, keys.size());
    Raised error;
    try {
        tally->count_all(keys);
    } catch (const PythonError&) {
        error.fetch();
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
        error.fetch();
    }
    tally->finish(error);
    Py_RETURN_NONE;
}

}  // namespace threadproof::ext
