/// Arguments: the arguments of a call of a METH_FASTCALL | METH_KEYWORDS method.
#pragma once

#include "ext/python/errors.hpp"

namespace threadproof::ext {

/// The arguments of one call, borrowed, in the order of the parameters: the `required` ones, which are passed
/// by position only, and then optional ones, passed by position (`positional` in all) or by name.
template <int kMost>
class Arguments {
 public:
    Arguments(const char* function, PyObject* const* given, Py_ssize_t count, PyObject* names, int required,
              int positional, const char* const (&parameters)[kMost]) {
        if (count > positional)
            fail(function, "takes at most %d positional arguments, got %zd", positional, count);
        for (Py_ssize_t i = 0; i < count; ++i) values_[i] = given[i];
        Py_ssize_t named = names ? PyTuple_GET_SIZE(names) : 0;
        for (Py_ssize_t i = 0; i < named; ++i)
            by_name(function, PyTuple_GET_ITEM(names, i), given[count + i], required, parameters);
        for (int i = 0; i < required; ++i)
            if (!values_[i]) fail(function, "is missing argument %d, '%s'", i + 1, parameters[i]);
    }

    /// Null if it was not given.
    PyObject* operator[](int i) const { return values_[i]; }
    PyObject* get(int i, PyObject* otherwise) const { return values_[i] ? values_[i] : otherwise; }

 private:
    void by_name(const char* function, PyObject* name, PyObject* value, int required,
                 const char* const (&parameters)[kMost]) {
        for (int i = required; i < kMost; ++i) {
            if (PyUnicode_CompareWithASCIIString(name, parameters[i]) != 0) continue;
            if (values_[i]) fail(function, "got its argument '%s' twice%s", parameters[i], "");
            values_[i] = value;
            return;
        }
        PyErr_Format(PyExc_TypeError, "%s() has no argument named '%U'", function, name);
        throw PythonError{};
    }

    template <class A, class B>
    [[noreturn]] static void fail(const char* function, const char* format, A a, B b) {
        Ref what = Ref::steal(PyUnicode_FromFormat(format, a, b));
        if (what) PyErr_Format(PyExc_TypeError, "%s() %U", function, what.get());
        throw PythonError{};
    }

    PyObject* values_[kMost] = {};
};

}  // namespace threadproof::ext
