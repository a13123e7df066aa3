/// threadproof.sync.RWLock, and RWLockHold, which its read() and write() return.
#pragma once

#include "ext/python/compat.hpp"

namespace threadproof::ext {

/// Adds the types to the module. Throws.
void add_rw_lock(PyObject* module);

}  // namespace threadproof::ext
