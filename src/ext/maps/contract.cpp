#include "ext/maps/contract.hpp"

#include "ext/python/provided.hpp"

namespace threadproof::ext {
namespace {

bool is_callable(PyObject* object) { return PyCallable_Check(object); }

Provided check_function("check_function", "a function", is_callable);
Provided check_lengths("check_lengths", "a function", is_callable);

[[noreturn]] void raise_accepted(const char* check) {
    PyErr_Format(PyExc_SystemError, "%s() accepted what the native map refused", check);
    throw PythonError{};
}

}  // namespace

void refuse_function(PyObject* owner, const char* method, PyObject* fn) {
    Ref result = Ref::steal(checked(PyObject_CallFunction(check_function.get(), "OsO", owner, method, fn)));
    raise_accepted(check_function.name());
}

void refuse_lengths(PyObject* owner, Py_ssize_t keys, Py_ssize_t values) {
    Ref result = Ref::steal(checked(PyObject_CallFunction(check_lengths.get(), "Onn", owner, keys, values)));
    raise_accepted(check_lengths.name());
}

}  // namespace threadproof::ext
