/// CachedFunction: what threadproof.cached makes of a function.
#pragma once

#include "ext/python/compat.hpp"

namespace threadproof::ext {

/// Adds the type to the module. Throws.
void add_cached_function(PyObject* module);

}  // namespace threadproof::ext
