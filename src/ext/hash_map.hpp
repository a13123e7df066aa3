/// threadproof._core.HashMap: the native base of threadproof.maps.HashMap.
#pragma once

#include "ext/py.hpp"

namespace threadproof::ext {

bool add_hash_map(PyObject* module);

/// The function adopt_methods(cls, contract) of the module.
PyObject* adopt_methods(PyObject*, PyObject* const* given, Py_ssize_t count, PyObject* names);

}  // namespace threadproof::ext
