/// threadproof.sync's atomics: AtomicInt, AtomicFloat, AtomicFlag, AtomicReference, AtomicIntArray.
#pragma once

#include "ext/python/py.hpp"

namespace threadproof::ext {

bool add_atomics(PyObject* module);

}  // namespace threadproof::ext
