/// Objects of CPython's own immutable types: to hash, compare or add them calls no user code.
#pragma once

#include "ext/python/compat.hpp"

namespace threadproof::ext {

/// An exact str, int, bool, float or bytes, or None: hashing it, and comparing it with another, calls no code
/// but CPython's.
inline bool is_atom(PyObject* object) {
    PyTypeObject* type = Py_TYPE(object);
    return type == &PyUnicode_Type || type == &PyLong_Type || type == &PyFloat_Type || type == &PyBytes_Type
           || type == &PyBool_Type || object == Py_None;
}

/// An exact int or float: adding two of them calls no code but CPython's.
inline bool is_number(PyObject* object) { return PyLong_CheckExact(object) || PyFloat_CheckExact(object); }

}  // namespace threadproof::ext
