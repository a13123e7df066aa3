/// How a Python class gets the native methods of its base as methods of its own.
#pragma once

#include "ext/python/compat.hpp"

namespace threadproof::ext {

/// Lets subclasses of a native type adopt these methods of it. Type and methods live as long as the process.
void let_adopt(PyTypeObject* base, const PyMethodDef* methods);

/// The function adopt_methods(cls, contract) of the module. Throws.
PyObject* adopt_methods(PyObject*, PyObject* const* given, Py_ssize_t count, PyObject* names);

}  // namespace threadproof::ext
