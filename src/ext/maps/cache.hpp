/// The native base of threadproof.maps.Cache.
#pragma once

#include "ext/python/compat.hpp"

namespace threadproof::ext {

/// Adds the type to the module. Throws.
void add_cache(PyObject* module);

}  // namespace threadproof::ext
