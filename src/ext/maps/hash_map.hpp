/// threadproof._core.HashMap: the native base of threadproof.maps.HashMap.
#pragma once

#include "ext/python/compat.hpp"

namespace threadproof::ext {

/// Adds the types to the module. Throws.
void add_hash_map(PyObject* module);

}  // namespace threadproof::ext
