/// threadproof._core.SyncMap: the native base of threadproof.maps.SyncMap.
#pragma once

#include "ext/python/compat.hpp"

namespace threadproof::ext {

/// Adds the types to the module. Throws.
void add_sync_map(PyObject* module);

}  // namespace threadproof::ext
