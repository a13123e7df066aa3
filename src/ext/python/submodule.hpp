/// Modules inside threadproof._core.
#pragma once

#include <cstddef>

#include "ext/python/py.hpp"

namespace threadproof::ext {

/// The definition of a module that has functions and no state.
constexpr PyModuleDef submodule_definition(const char* name, const char* doc, PyMethodDef* functions) {
    return {
        .m_base = PyModuleDef_HEAD_INIT,
        .m_name = name,
        .m_doc = doc,
        .m_size = -1,
        .m_methods = functions,
        .m_slots = nullptr,
        .m_traverse = nullptr,
        .m_clear = nullptr,
        .m_free = nullptr,
    };
}

/// Makes the module of this definition, whose name is "threadproof._core." and `name`, an attribute of the parent
/// that can also be imported. Borrowed; throws.
inline PyObject* add_submodule(PyObject* parent, PyModuleDef& definition, const char* name) {
    Ref module = Ref::steal(checked(PyModule_Create(&definition)));
#ifdef Py_GIL_DISABLED
    PyUnstable_Module_SetGIL(module.get(), Py_MOD_GIL_NOT_USED);
#endif
    PyObject* modules = PyImport_GetModuleDict();
    if (PyDict_SetItemString(modules, definition.m_name, module.get()) < 0) throw PythonError{};
    if (PyModule_AddObjectRef(parent, name, module.get()) < 0) throw PythonError{};
    return module.get();
}

/// A tuple of these names as an attribute of the module; throws.
template <std::size_t kCount>
void add_names(PyObject* module, const char* name, const char* const (&names)[kCount]) {
    Ref tuple = Ref::steal(checked(PyTuple_New(kCount)));
    for (std::size_t i = 0; i < kCount; ++i)
        PyTuple_SET_ITEM(tuple.get(), static_cast<Py_ssize_t>(i), checked(PyUnicode_FromString(names[i])));
    if (PyModule_AddObjectRef(module, name, tuple.get()) < 0) throw PythonError{};
}

}  // namespace threadproof::ext
