/// The core's SyncMap as a Python type: native_map/, and the methods that only SyncMap has.
#include "ext/maps/sync_map.hpp"

#include "core/maps/sync_map/map.hpp"
#include "ext/maps/native_map/type.hpp"

namespace threadproof::ext {
namespace {

using Map = threadproof::SyncMap<PythonPolicy>;

PyObject* map_stats(MapObject<Map>& self, PyObject*) {
    self.share();
    Map::Stats s = self.core().stats();
    return Py_BuildValue("(LKKKKKKKKKKKK)", static_cast<long long>(s.size), s.hits, s.misses, s.promotions,
                         s.splits, s.read_cells, s.dirty_cells, s.amended, s.parts, s.expunged, s.last_ns,
                         s.worst_ns, s.bytes);
}

}  // namespace

void add_sync_map(PyObject* module) {
    add_native_map<Map>(
        module, "threadproof._core.SyncMap", "threadproof._core.SyncMapIterator",
        "The native base of threadproof.maps.SyncMap, where the methods are explained.",
        {
            {"_stats", method<map_stats>(), METH_NOARGS,
             "_stats($self, /)\n--\n\nMetrics, from which SyncMapStats is made."},
            {"_all_entries", method<map_all_entries<Map>>(), METH_NOARGS,
             "_all_entries($self, /)\n--\n\nThe entries, as iteration sees them, and (key,) for each key "
             "that is deleted and still in a table."},
        });
}

}  // namespace threadproof::ext
