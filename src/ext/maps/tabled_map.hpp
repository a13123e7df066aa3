/// TabledMap as a Python type: chains in dicts, each under its own lock.
#pragma once

#include "ext/python/py.hpp"

namespace threadproof::ext {

/// Adds the type to the module. Throws.
void add_tabled_map(PyObject* module);

}  // namespace threadproof::ext
