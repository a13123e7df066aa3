/// threadproof._core.SnapshotMap and Snapshot: the native bases of those in threadproof.maps.
#pragma once

#include "ext/python/py.hpp"

namespace threadproof::ext {

bool add_snapshot_map(PyObject* module);

}  // namespace threadproof::ext
