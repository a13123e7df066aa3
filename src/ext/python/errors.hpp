/// Python exceptions in C++: PythonError is thrown wherever one is set, and entry.hpp catches it.
#pragma once

#include "ext/python/ref.hpp"

namespace threadproof::ext {

/// A Python exception is set. Unwinds to the nearest Entry.
struct PythonError {};

/// Throws if `object` is null, because a Python exception is set then.
inline PyObject* checked(PyObject* object) {
    if (!object) throw PythonError{};
    return object;
}

/// A Python exception put aside while something else is done.
class Raised {
 public:
    Raised() = default;
    explicit Raised(PyObject* stolen) : error_(Ref::steal(stolen)) {}

    /// Takes the exception that is set.
    void fetch() {
#if PY_VERSION_HEX >= 0x030C0000
        error_ = Ref::steal(PyErr_GetRaisedException());
#else
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        if (!type) return;
        PyErr_NormalizeException(&type, &value, &traceback);
        if (traceback) PyException_SetTraceback(value, traceback);
        Py_XDECREF(traceback);
        Py_XDECREF(type);
        error_ = Ref::steal(value);
#endif
    }

    explicit operator bool() const { return static_cast<bool>(error_); }
    PyObject* get() const { return error_.get(); }
    PyObject* release() { return error_.release(); }

    /// Sets the exception again and throws; does nothing if there is none.
    void rethrow() {
        if (!error_) return;
        restore();
        throw PythonError{};
    }

    /// Sets the exception again, or none.
    void restore() noexcept {
#if PY_VERSION_HEX >= 0x030C0000
        PyErr_SetRaisedException(error_.release());
#else
        PyObject* value = error_.release();
        if (value) PyErr_Restore(Py_NewRef(Py_TYPE(value)), value, PyException_GetTraceback(value));
        else PyErr_Clear();
#endif
    }

 private:
    Ref error_;
};

[[noreturn]] inline void raise_key_error(PyObject* key) {
    // A tuple as it is would be taken for the exception's arguments.
    Ref arguments = Ref::steal(checked(PyTuple_Pack(1, key)));
    PyErr_SetObject(PyExc_KeyError, arguments.get());
    throw PythonError{};
}

/// The name of the object's type, as Python's type(object).__name__.
inline Ref type_name(PyObject* object) { return Ref::steal(checked(PyType_GetName(Py_TYPE(object)))); }

}  // namespace threadproof::ext
