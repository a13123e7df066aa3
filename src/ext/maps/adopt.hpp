/// How a Python class gets the native methods of its base as its own.
#pragma once

#include "ext/python/py.hpp"

namespace threadproof::ext {

/// Lets subclasses of a native type adopt these of its methods. Both live as long as the process.
void let_adopt(PyTypeObject* base, const PyMethodDef* methods);

/// The function adopt_methods(cls, contract) of the module.
PyObject* adopt_methods(PyObject*, PyObject* const* given, Py_ssize_t count, PyObject* names);

}  // namespace threadproof::ext
