/// threadproof._core: the list of what the native extension exports.

#include "ext/explore/explore.hpp"
#include "ext/maps/adopt.hpp"
#include "ext/maps/cache.hpp"
#include "ext/maps/cache_loads.hpp"
#include "ext/maps/cached_function.hpp"
#include "ext/maps/contract.hpp"
#include "ext/maps/hash_map.hpp"
#include "ext/maps/locked_map.hpp"
#include "ext/maps/reservation.hpp"
#include "ext/maps/snapshot_map.hpp"
#include "ext/maps/sync_map.hpp"
#include "ext/maps/trie.hpp"
#include "ext/maps/values.hpp"
#include "ext/probe/api.hpp"
#include "ext/python/provided.hpp"
#include "ext/python/types.hpp"
#include "ext/python/waiting.hpp"
#include "ext/race/race.hpp"
#include "ext/stress.hpp"
#include "ext/sync/cells.hpp"
#include "ext/sync/rw_lock.hpp"
#include "ext/watch/contention.hpp"

namespace threadproof::ext {
namespace {

// ---- REMOVE

struct RemoveObject {
    PyObject_HEAD
};

PyObject* remove_repr(RemoveObject&) { return PyUnicode_FromString("threadproof.REMOVE"); }

/// A string from __reduce__ is the name of a global: pickle and copy then return the one REMOVE.
PyObject* remove_reduce(RemoveObject&, PyObject*) { return PyUnicode_FromString("REMOVE"); }

PyMethodDef remove_methods[] = {
    {"__reduce__", method<remove_reduce>(), METH_NOARGS, "__reduce__($self, /)\n--\n\n"},
    {nullptr, nullptr, 0, nullptr},
};

void add_remove(PyObject* module) {
    PyTypeObject* type =
        TypeBuilder<RemoveObject>("threadproof._core.RemoveType",
                                  "The type of REMOVE, which a function given to compute() or "
                                  "merge() returns to delete the key.")
            .not_callable()
            .with<remove_repr>(Py_tp_repr)
            .methods(remove_methods)
            .add_to(module);
    Ref remove = Ref::steal(checked(type->tp_alloc(type, 0)));
    if (PyModule_AddObjectRef(module, "REMOVE", remove.get()) < 0) throw PythonError{};
}

// ---- garbage collections

/// A key that a reader was comparing when it was removed is released some time later, at the latest by the
/// next collection; the memory of a freed table that no other table gets, by the second one.
PyObject* after_collection(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
    if (count > 0 && PyUnicode_Check(arguments[0])
        && PyUnicode_CompareWithASCIIString(arguments[0], "stop") == 0)
        Reclaimer::collect();
    Py_RETURN_NONE;
}

PyMethodDef after_collection_definition = {
    "_after_collection", method<after_collection>(), METH_FASTCALL,
    "_after_collection(phase, info, /)\n--\n\nReleases removed keys after a collection; in gc.callbacks."};

void follow_collections() {
    if (!kThreads) return;  // with a GIL no key has to wait
    Ref gc = Ref::steal(checked(PyImport_ImportModule("gc")));
    Ref callbacks = Ref::steal(checked(PyObject_GetAttrString(gc.get(), "callbacks")));
    Ref callback = Ref::steal(checked(PyCFunction_New(&after_collection_definition, nullptr)));
    if (PyList_Append(callbacks.get(), callback.get()) < 0) throw PythonError{};
}

// ---- metrics of the process

PyObject* retired_bytes(PyObject*, PyObject*) { return PyLong_FromUnsignedLongLong(Reclaimer::bytes()); }
PyObject* kept_bytes(PyObject*, PyObject*) { return PyLong_FromUnsignedLongLong(KeptMemory::bytes()); }

PyObject* known_threads(PyObject*, PyObject*) { return PyLong_FromLong(Threads::enrolled()); }

// ---- the module

/// The list of retired keys belongs to the process, and each key to one interpreter.
void check_main_interpreter() {
    if (PyInterpreterState_Get() == PyInterpreterState_Main()) return;
    PyErr_SetString(PyExc_ImportError,
                    "threadproof works in the main interpreter only; use threads, or processes, instead");
    throw PythonError{};
}

/// The types and the list of retired keys belong to the process.
void check_first_time() {
    static bool loaded = false;
    if (!std::exchange(loaded, true)) return;
    PyErr_SetString(PyExc_ImportError,
                    "threadproof._core is loaded in this process already, and cannot be loaded again");
    throw PythonError{};
}

int execute(PyObject* module) {
    wait_a_little.store(wait_detached, std::memory_order_relaxed);
    Threads::notice_forks();
    check_main_interpreter();
    check_first_time();
    add_provided(module);
    add_waiting(module);
    add_remove(module);
    add_values(module);
    add_contract(module);
    add_reservation(module);
    add_hash_map(module);
    add_cache(module);
    add_cache_loads(module);
    add_cached_function(module);
    add_sync_map(module);
    add_locked_map(module);
    add_trie(module);
    add_snapshot_map(module);
    add_numbers(module);
    add_array(module);
    add_reference(module);
    add_rw_lock(module);
    if (!probe::add_probe(module) || !add_race(module) || !add_explore(module) || !add_contention(module))
        throw PythonError{};
    add_stress(module);
    follow_collections();
    return 0;
}

PyModuleDef_Slot slots[] = {
    {Py_mod_exec, slot<execute>()},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, nullptr},
};

PyMethodDef functions[] = {
    {"adopt_methods", method<adopt_methods>(), kNamed,
     "adopt_methods($module, cls, contract, /)\n--\n\nPut the methods of a native map into a subclass, with "
     "the "
     "contract's text as their documentation."},
    {"retired_bytes", method<retired_bytes>(), METH_NOARGS,
     "retired_bytes($module, /)\n--\n\nBytes of replaced tables, of all maps, that threads may still read."},
    {"kept_bytes", method<kept_bytes>(), METH_NOARGS,
     "kept_bytes($module, /)\n--\n\nBytes of freed tables that the next tables will get."},
    {"known_threads", method<known_threads>(), METH_NOARGS,
     "known_threads($module, /)\n--\n\nHow many threads have used a structure and have not ended."},
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
}  // namespace threadproof::ext

PyMODINIT_FUNC PyInit__core() { return PyModuleDef_Init(&threadproof::ext::definition); }
