#include "ext/python/provided.hpp"

#include <cstring>
#include <vector>

#include "ext/python/entry.hpp"

namespace threadproof::ext {
namespace {

/// All of them: each enters itself while the extension is loaded.
std::vector<Provided*>& all() {
    static auto& list = *new std::vector<Provided*>;
    return list;
}

PyObject* provide(PyObject*, PyObject* const* given, Py_ssize_t count) {
    if (count != 2) {
        PyErr_Format(PyExc_TypeError, "provide() takes 2 arguments, got %zd", count);
        throw PythonError{};
    }
    const char* name = PyUnicode_AsUTF8(given[0]);
    if (!name) throw PythonError{};
    for (Provided* each : all()) {
        if (std::strcmp(each->name(), name) != 0) continue;
        each->set(given[1]);
        Py_RETURN_NONE;
    }
    PyErr_Format(PyExc_ValueError, "threadproof._core has no use for an object named %R", given[0]);
    throw PythonError{};
}

PyMethodDef functions[] = {
    {"provide", method<provide>(), METH_FASTCALL,
     "provide(name, value, /)\n--\n\nHand over an object that the extension uses and the package defines."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

Provided::Provided(const char* name, const char* wanted, bool (*accepts)(PyObject*))
    : name_(name), wanted_(wanted), accepts_(accepts) {
    all().push_back(this);
}

void Provided::set(PyObject* object) {
    if (accepts_(object)) {
        object_ = Py_NewRef(object);  // even if set before: a caller may still use the old one
        return;
    }
    PyErr_Format(PyExc_TypeError, "provide('%s') wants %s, got %R", name_, wanted_, object);
    throw PythonError{};
}

void Provided::raise_missing() const {
    PyErr_Format(PyExc_SystemError, "nothing has been provided to threadproof._core as '%s'", name_);
    throw PythonError{};
}

void add_provided(PyObject* module) {
    if (PyModule_AddFunctions(module, functions) < 0) throw PythonError{};
}

}  // namespace threadproof::ext
