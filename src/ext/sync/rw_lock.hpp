/// threadproof.sync.RWLock, and RWLockHold, which its read() and write() return.
#pragma once

#include "ext/python/py.hpp"

namespace threadproof::ext {

bool add_rw_lock(PyObject* module);

/// Of an RWLockHold: the lock, borrowed, and whether it is the writers' side.
PyObject* lock_of_hold(PyObject* hold);
bool is_write_hold(PyObject* hold);

}  // namespace threadproof::ext
