/// threadproof._core: the list of what the native extension exports.

#define PY_SSIZE_T_CLEAN
#include <Python.h>

namespace {

constexpr const char* kDeadlockDoc =
    "Waiting would never end: the thread would wait for itself, directly or through other threads.";

constexpr const char* kRemoveDoc =
    "The type of REMOVE, which a function given to compute() or merge() returns to delete the key.";

PyObject* remove_repr(PyObject*) {
    return PyUnicode_FromString("threadproof.REMOVE");
}

/// A string from __reduce__ names a global: pickle and copy then hand out the one REMOVE there is.
PyObject* remove_reduce(PyObject*, PyObject*) {
    return PyUnicode_FromString("REMOVE");
}

PyMethodDef remove_methods[] = {
    {"__reduce__", remove_reduce, METH_NOARGS, "__reduce__($self, /)\n--\n\n"},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot remove_slots[] = {
    {Py_tp_doc, const_cast<char*>(kRemoveDoc)},
    {Py_tp_repr, reinterpret_cast<void*>(remove_repr)},
    {Py_tp_methods, remove_methods},
    {0, nullptr},
};

PyType_Spec remove_spec = {
    .name = "threadproof._core.RemoveType",
    .basicsize = sizeof(PyObject),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = remove_slots,
};

/// Adds `value`, whose reference it takes; null means that making it has failed.
bool add(PyObject* module, const char* name, PyObject* value) {
    bool added = value != nullptr && PyModule_AddObjectRef(module, name, value) == 0;
    Py_XDECREF(value);
    return added;
}

bool add_remove(PyObject* module) {
    PyObject* type = PyType_FromSpec(&remove_spec);
    if (type == nullptr) return false;
    PyObject* remove = PyType_GenericAlloc(reinterpret_cast<PyTypeObject*>(type), 0);
    return add(module, "RemoveType", type) && add(module, "REMOVE", remove);
}

int execute(PyObject* module) {
    PyObject* deadlock = PyErr_NewExceptionWithDoc("threadproof.DeadlockError", kDeadlockDoc, PyExc_RuntimeError, nullptr);
    return add(module, "DeadlockError", deadlock) && add_remove(module) ? 0 : -1;
}

PyModuleDef_Slot slots[] = {
    {Py_mod_exec, reinterpret_cast<void*>(execute)},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, nullptr},
};

PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "threadproof._core",
    .m_doc = "The native part of threadproof.",
    .m_size = 0,
    .m_methods = nullptr,
    .m_slots = slots,
    .m_traverse = nullptr,
    .m_clear = nullptr,
    .m_free = nullptr,
};

}  // namespace

PyMODINIT_FUNC PyInit__core() {
    return PyModuleDef_Init(&definition);
}
