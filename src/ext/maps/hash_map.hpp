/// threadproof._core.HashMap: the native base of threadproof.maps.HashMap.
#pragma once

#include "ext/python/py.hpp"

namespace threadproof::ext {

bool add_hash_map(PyObject* module);

}  // namespace threadproof::ext
