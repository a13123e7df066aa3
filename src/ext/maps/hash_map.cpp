/// The core's HashMap as a Python type: what native_map.hpp makes of it, and what only it has.
#include "ext/maps/hash_map.hpp"

#include "core/maps/hash_map/map.hpp"
#include "ext/maps/native_map.hpp"

namespace threadproof::ext {
namespace {

using Map = threadproof::HashMap<PythonPolicy>;
using Native = NativeMap<Map>;

PyObject* map_reserve(PyObject* self, PyObject* argument) {
    Native::share(self);
    Py_ssize_t count = PyNumber_AsSsize_t(argument, PyExc_OverflowError);
    if (count == -1 && PyErr_Occurred()) return nullptr;
    if (count < 0) {
        PyErr_Format(PyExc_ValueError, "%s.reserve() wants how many keys to make room for, got %zd",
                     Py_TYPE(self)->tp_name, count);
        return nullptr;
    }
    Native::core(self).reserve(static_cast<std::uint64_t>(count));
    Py_RETURN_NONE;
}

PyObject* map_stats(PyObject* self, PyObject*) {
    Native::share(self);
    Map::Stats s = Native::core(self).stats();
    return Py_BuildValue("(LKKKKKKOKKK)", static_cast<long long>(s.size), s.buckets, s.capacity,
                         s.overflow_buckets, s.longest_chain, s.resizes, s.moved_buckets,
                         s.resizing ? Py_True : Py_False, s.bytes, s.retired_bytes, s.lock_waits);
}

}  // namespace

bool add_hash_map(PyObject* module) {
    return Native::add(module, "threadproof._core.HashMap", "threadproof._core.HashMapIterator",
                       "The native base of threadproof.maps.HashMap, where the methods are explained.",
                       {
                           {"reserve", method<map_reserve>(), METH_O,
                            "reserve($self, count, /)\n--\n\nMake room for `count` keys, so that adding up "
                            "to there does not grow the table.\n\nTakes time "
                            "proportional to `count`; other threads go on. The room stays until `clear`. "
                            "MemoryError, and\nnothing has changed, when there "
                            "is no memory for it."},
                           {"_stats", method<map_stats>(), METH_NOARGS,
                            "_stats($self, /)\n--\n\nThe fields of HashMapStats, in order."},
                       });
}

}  // namespace threadproof::ext
