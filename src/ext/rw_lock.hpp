/// threadproof.sync.RWLock, and RWLockHold, which its read() and write() return.
#pragma once

#include "ext/py.hpp"

namespace threadproof::ext {

bool add_rw_lock(PyObject* module);

}  // namespace threadproof::ext
