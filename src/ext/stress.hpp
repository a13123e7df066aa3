/// The stress build's controls, as Python functions of threadproof._core; in an ordinary build there are
/// none.
#pragma once

#include "ext/python/py.hpp"

namespace threadproof::ext {

#ifdef THREADPROOF_STRESS
bool add_stress(PyObject* module);
#else
inline bool add_stress(PyObject*) { return true; }
#endif

}  // namespace threadproof::ext
