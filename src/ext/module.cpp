/// threadproof._core: the list of what the native extension exports.

#include "ext/maps/adopt.hpp"
#include "ext/maps/hash_map.hpp"
#include "ext/maps/map_parts.hpp"
#include "ext/maps/snapshot_map.hpp"
#include "ext/maps/sync_map.hpp"
#include "ext/maps/trie.hpp"
#include "ext/maps/turn.hpp"
#include "ext/probe/api.hpp"
#include "ext/python/py.hpp"
#include "ext/race/race.hpp"
#include "ext/stress.hpp"
#include "ext/sync/atomics.hpp"
#include "ext/sync/rw_lock.hpp"

using namespace threadproof;
using ext::Ref;

namespace {

constexpr const char* kRemoveDoc =
    "The type of REMOVE, which a function given to compute() or merge() returns to delete the key.";

PyObject* remove_repr(PyObject*) { return PyUnicode_FromString("threadproof.REMOVE"); }

/// A string from __reduce__ names a global: pickle and copy then hand out the one REMOVE there is.
PyObject* remove_reduce(PyObject*, PyObject*) { return PyUnicode_FromString("REMOVE"); }

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

/// A key that a reader was comparing when it went is dropped a little later; a collection drops it now.
PyObject* after_collection(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
    if (count > 0 && PyUnicode_Check(arguments[0])
        && PyUnicode_CompareWithASCIIString(arguments[0], "stop") == 0)
        Reclaimer::collect();
    Py_RETURN_NONE;
}

PyMethodDef after_collection_definition = {
    "_after_collection", ext::method<after_collection>(), METH_FASTCALL,
    "_after_collection(phase, info, /)\n--\n\nWhat gc.callbacks holds of threadproof."};

bool follow_collections() {
    if (!ext::kThreads) return true;  // with a GIL nothing has to wait
    Ref gc = Ref::steal(PyImport_ImportModule("gc"));
    Ref callbacks = Ref::steal(gc ? PyObject_GetAttrString(gc.get(), "callbacks") : nullptr);
    Ref callback = Ref::steal(callbacks ? PyCFunction_New(&after_collection_definition, nullptr) : nullptr);
    return callback && PyList_Append(callbacks.get(), callback.get()) == 0;
}

/// One interpreter: words of several would meet in one list of retired keys, and each belongs to its own.
bool in_main_interpreter() {
    if (PyInterpreterState_Get() == PyInterpreterState_Main()) return true;
    PyErr_SetString(PyExc_ImportError,
                    "threadproof works in the main interpreter only; use threads, or processes, instead");
    return false;
}

/// Once: the types and the list of retired keys belong to the process.
bool first_time() {
    static bool loaded = false;
    if (!std::exchange(loaded, true)) return true;
    PyErr_SetString(PyExc_ImportError,
                    "threadproof._core is loaded in this process already, and cannot be loaded again");
    return false;
}

int execute(PyObject* module) {
    wait_a_little.store(ext::wait_detached, std::memory_order_relaxed);
    Threads::mine();  // from now on forks are noticed, also where nothing else needs the threads' slots
    bool done = in_main_interpreter() && first_time() && ext::add_turn(module) && add_remove(module)
                && ext::add_map_parts(module) && ext::add_hash_map(module) && ext::add_sync_map(module)
                && ext::add_trie(module) && ext::add_snapshot_map(module) && ext::add_atomics(module)
                && ext::add_rw_lock(module) && probe::add_probe(module) && ext::add_race(module)
                && ext::add_stress(module) && follow_collections();
    return done ? 0 : -1;
}

PyModuleDef_Slot slots[] = {
    {Py_mod_exec, ext::slot<execute>()},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, nullptr},
};

PyMethodDef functions[] = {
    {"adopt_methods", ext::method<ext::adopt_methods>(), METH_FASTCALL | METH_KEYWORDS,
     "adopt_methods($module, cls, contract, /)\n--\n\nPut the methods of a native map into a subclass, with "
     "the contract's words as "
     "their documentation."},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "threadproof._core",
    .m_doc = "The native part of threadproof.",
    .m_size = 0,
    .m_methods = functions,
    .m_slots = slots,
    .m_traverse = nullptr,
    .m_clear = nullptr,
    .m_free = nullptr,
};

}  // namespace

PyMODINIT_FUNC PyInit__core() { return PyModuleDef_Init(&definition); }
