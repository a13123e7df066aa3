/// threadproof._core.SyncMap: the native base of threadproof.maps.SyncMap.
#pragma once

#include "ext/python/py.hpp"

namespace threadproof::ext {

bool add_sync_map(PyObject* module);

}  // namespace threadproof::ext
