/// threadproof._core.SnapshotMap and Snapshot: the native bases of those in threadproof.maps.
#pragma once

#include "ext/python/compat.hpp"

namespace threadproof::ext {

/// Adds the types to the module. Throws.
void add_snapshot_map(PyObject* module);

}  // namespace threadproof::ext
