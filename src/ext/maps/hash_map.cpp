/// The core's HashMap as a Python type: native_map/, and the methods that only HashMap has.
#include "ext/maps/hash_map.hpp"

#include "core/maps/hash_map/map.hpp"
#include "ext/maps/native_map/type.hpp"

namespace threadproof::ext {
namespace {

using Map = threadproof::HashMap<PythonPolicy>;

PyObject* map_reserve(MapObject<Map>& self, PyObject* argument) {
    self.share();
    Py_ssize_t count = PyNumber_AsSsize_t(argument, PyExc_OverflowError);
    if (count == -1 && PyErr_Occurred()) throw PythonError{};
    if (count < 0) {
        PyErr_Format(PyExc_ValueError, "%s.reserve() wants how many keys to make room for, got %zd",
                     self.name(), count);
        throw PythonError{};
    }
    self.core().reserve(static_cast<std::uint64_t>(count));
    Py_RETURN_NONE;
}

PyObject* map_stats(MapObject<Map>& self, PyObject*) {
    self.share();
    Map::Stats s = self.core().stats();
    return Py_BuildValue("(LKKKKKKOKK)", static_cast<long long>(s.size), s.buckets, s.capacity,
                         s.overflow_buckets, s.longest_chain, s.resizes, s.moved_buckets,
                         s.resizing ? Py_True : Py_False, s.bytes, s.lock_waits);
}

}  // namespace

void add_hash_map(PyObject* module) {
    add_native_map<Map>(
        module, "threadproof._core.HashMap", "threadproof._core.HashMapIterator",
        "The native base of threadproof.maps.HashMap, where the methods are explained.",
        {
            {"reserve", method<map_reserve>(), METH_O,
             "reserve($self, count, /)\n--\n\nMake room for `count` keys, so that adding up to there does "
             "not grow the table.\n\nTakes time proportional to `count`; other threads continue. The room "
             "stays until `clear`. MemoryError, and\nnothing has changed, when there is no memory for it."},
            {"_stats", method<map_stats>(), METH_NOARGS,
             "_stats($self, /)\n--\n\nThe fields of HashMapStats, in order."},
        });
}

}  // namespace threadproof::ext
