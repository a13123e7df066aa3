/// threadproof._core.LockedMap: the native base of threadproof.maps.LockedMap and ShardedMap.
#pragma once

#include "ext/python/compat.hpp"

namespace threadproof::ext {

/// Adds the types to the module. Throws.
void add_locked_map(PyObject* module);

}  // namespace threadproof::ext
