/// threadproof.sync.RWLock, and RWLockHold, which its read() and write() return.
#pragma once

#include "ext/python/compat.hpp"

namespace threadproof::ext {

/// Adds the types to the module. Throws.
void add_rw_lock(PyObject* module);

/// The lock of an RWLockHold, borrowed, and whether it is the writers' side.
PyObject* lock_of_hold(PyObject* hold);
bool is_write_hold(PyObject* hold);

}  // namespace threadproof::ext
