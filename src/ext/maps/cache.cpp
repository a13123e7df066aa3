/// The core's CacheMap as a Python type: native_map/, and the methods that only Cache has.
#include "ext/maps/cache.hpp"

#include "core/maps/cache/map.hpp"
#include "ext/maps/native_map/type.hpp"

namespace threadproof::ext {
namespace {

/// As other maps', but that each slot has the index of its node.
struct CachePolicyOfPython : PythonPolicy {
    using SlotData = std::uint32_t;
};
using Map = threadproof::CacheMap<CachePolicyOfPython>;

/// Calls the object's method _evicted(key, value), which does not raise, and releases the two. An exception that is
/// set stays: eviction may come at the end of a call that has failed.
void send_evicted(void* context, Word key, Word value) {
    Raised raised;
    raised.fetch();
    {
        Ref result = Ref::steal(PyObject_CallMethod(static_cast<PyObject*>(context), "_evicted", "OO",
                                                    Policy::object(key), Policy::object(value)));
        if (!result) PyErr_WriteUnraisable(static_cast<PyObject*>(context));
    }
    Map::release_key(key);
    Policy::release(value);
    raised.restore();
}

PyObject* cache_send_evicted(MapObject<Map>& self, PyObject*) {
    self.core().send_evicted(send_evicted, self.object());
    Py_RETURN_NONE;
}

PyObject* cache_weigh_values(MapObject<Map>& self, PyObject*) {
    self.core().set_weighs();
    Py_RETURN_NONE;
}

/// None: no bound.
PyObject* cache_set_max(MapObject<Map>& self, PyObject* argument) {
    self.share();
    std::uint64_t max = Map::kUnbounded;
    if (argument != Py_None) {
        max = PyLong_AsUnsignedLongLong(argument);
        if (PyErr_Occurred()) throw PythonError{};
    }
    self.core().set_max(max);
    Py_RETURN_NONE;
}

PyObject* cache_stats(MapObject<Map>& self, PyObject*) {
    self.share();
    Map::CacheStats s = self.core().cache_stats();
    return Py_BuildValue("(LKKKKdKddKKKKOKK)", static_cast<long long>(s.table.size), s.weight, s.hits,
                         s.misses, s.evictions, s.window_share, s.sketch_resets, s.half_ratio, s.double_ratio,
                         s.table.buckets, s.table.overflow_buckets, s.table.longest_chain, s.table.resizes,
                         s.table.resizing ? Py_True : Py_False, s.bytes, s.table.lock_waits);
}

}  // namespace

void add_cache(PyObject* module) {
    add_native_map<Map>(
        module, "threadproof._core.Cache", "threadproof._core.CacheIterator",
        "The native base of threadproof.maps.Cache, where the methods are explained.",
        {
            {"_set_max", method<cache_set_max>(), METH_O,
             "_set_max($self, bound, /)\n--\n\nAnother bound on the weight of all entries, or "
             "None. What is above it is "
             "gone on return."},
            {"_send_evicted", method<cache_send_evicted>(), METH_NOARGS,
             "_send_evicted($self, /)\n--\n\nFrom now on call self._evicted(key, value) for "
             "every entry that is "
             "evicted, with no lock held. Before the\ncache is shared."},
            {"_weigh_values", method<cache_weigh_values>(), METH_NOARGS,
             "_weigh_values($self, /)\n--\n\nFrom now on call self._weigh(key, value) before a value is "
             "stored: "
             "its weight. Before the cache is shared."},
            {"_stats", method<cache_stats>(), METH_NOARGS,
             "_stats($self, /)\n--\n\nMetrics, from which CacheStats is made."},
        });
}

}  // namespace threadproof::ext
