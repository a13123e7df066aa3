/// The stress build's controls, as Python functions of threadproof._core; in an ordinary build there are
/// none.
#pragma once

#include "ext/python/compat.hpp"

namespace threadproof::ext {

#ifdef THREADPROOF_STRESS
void add_stress(PyObject* module);
#else
inline void add_stress(PyObject*) {}
#endif

}  // namespace threadproof::ext
