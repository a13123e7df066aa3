/// The Python types of a native map and of its iterators.
#pragma once

#include <initializer_list>
#include <vector>

#include "ext/maps/adopt.hpp"
#include "ext/maps/native_map/iterate.hpp"
#include "ext/maps/native_map/many_keys.hpp"
#include "ext/maps/native_map/one_key.hpp"
#include "ext/maps/native_map/whole_map.hpp"

namespace threadproof::ext {

/// Makes the core of a new map. One whose class has parameters has a specialisation. Throws.
template <class Map>
void construct_core(MapObject<Map>& self, PyTypeObject*) {
    self.storage.construct(fresh_secret());
}

template <class Map>
PyObject* map_new(PyTypeObject* type, PyObject*, PyObject*) {
    const char* base = MapObject<Map>::type->tp_name;
    // A subclass's instances are deallocated by way of CPython's trashcan: deeply nested maps need that.
    if (type == MapObject<Map>::type) {
        PyErr_Format(PyExc_TypeError, "%s is a base class; use threadproof.%s instead", base,
                     last_name(base));
        throw PythonError{};
    }
    return new_object(
               type,
               [type](PyObject* object) { construct_core(*reinterpret_cast<MapObject<Map>*>(object), type); })
        .release();
}

/// The methods of every native map, and some more. Most have only a signature: the contract has the words,
/// which adopt_methods() adds. They live as long as the process, as the type does.
template <class Map>
const PyMethodDef* map_methods(std::initializer_list<PyMethodDef> more) {
    auto* all = new std::vector<PyMethodDef>{
        {"get", method<map_get<Map>>(), kNamed, "get($self, key, /, default=None)\n--\n\n"},
        {"swap", method<map_swap<Map>>(), kNamed, "swap($self, key, value, /, default=None)\n--\n\n"},
        // ...: a default that is not there
        {"pop", method<map_pop<Map>>(), kNamed, "pop($self, key, /, default=...)\n--\n\n"},
        {"popitem", method<map_popitem<Map>>(), METH_NOARGS, "popitem($self, /)\n--\n\n"},
        {"setdefault", method<map_setdefault<Map>>(), kNamed,
         "setdefault($self, key, /, default=None)\n--\n\n"},
        {"compare_and_swap", method<map_compare_and_swap<Map>>(), kNamed,
         "compare_and_swap($self, key, expected, new, /, *, equal=None)\n--\n\n"},
        {"compare_and_delete", method<map_compare_and_delete<Map>>(), kNamed,
         "compare_and_delete($self, key, expected, /, *, equal=None)\n--\n\n"},
        {"compute", method<map_compute<Map>>(), kNamed,
         "compute($self, key, fn, /, default=None, *, timeout=None)\n--\n\n"},
        {"compute_if_absent", method<map_compute_if_absent<Map>>(), kNamed,
         "compute_if_absent($self, key, fn, /, *, timeout=None)\n--\n\n"},
        {"compute_if_present", method<map_compute_if_present<Map>>(), kNamed,
         "compute_if_present($self, key, fn, /, *, timeout=None)\n--\n\n"},
        {"merge", method<map_merge<Map>>(), kNamed,
         "merge($self, key, value, fn, /, *, timeout=None)\n--\n\n"},
        {"add", method<map_add<Map>>(), kNamed, "add($self, key, /, delta=1, initial=0)\n--\n\n"},
        {"get_many", method<map_get_many<Map>>(), kNamed, "get_many($self, keys, /, default=None)\n--\n\n"},
        {"set_many", method<map_set_many<Map>>(), kNamed, "set_many($self, keys, values, /)\n--\n\n"},
        {"delete_many", method<map_delete_many<Map>>(), METH_O, "delete_many($self, keys, /)\n--\n\n"},
        {"count_many", method<map_count_many<Map>>(), kNamed, "count_many($self, keys, /, delta=1)\n--\n\n"},
        {"clear", method<map_clear<Map>>(), METH_NOARGS, "clear($self, /)\n--\n\n"},
        {"drain", method<map_drain<Map>>(), METH_NOARGS, "drain($self, /)\n--\n\n"},
        {"snapshot", method<map_snapshot<Map>>(), METH_NOARGS, "snapshot($self, /)\n--\n\n"},
        {"check", method<map_check<Map>>(), METH_NOARGS,
         "check($self, /)\n--\n\nAssert the invariants; no other thread may write meanwhile."},
        {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS,
         "__class_getitem__($type, item, /)\n--\n\n"},
        {"_entries", method<map_entries<Map>>(), METH_NOARGS,
         "_entries($self, /)\n--\n\nThe entries, as iteration sees them."},
        {"_iterate_values", method<map_iterate_values<Map>>(), METH_NOARGS,
         "_iterate_values($self, /)\n--\n\nThe values, as iteration sees them."},
        {"_store_dict", method<map_store_dict<Map>>(), METH_O,
         "_store_dict($self, entries, /)\n--\n\nStore the entries that a dict has at one instant."},
        {"_store_map", method<map_store_map<Map>>(), METH_O,
         "_store_map($self, other, /)\n--\n\nStore the entries of another map of this type; return whether "
         "it "
         "is one."},
        {"_store_pairs", method<map_store_pairs<Map>>(), METH_O,
         "_store_pairs($self, pairs, /)\n--\n\nStore the tuples of two at the beginning; return how many."},
        {"_computations", method<map_computations<Map>>(), METH_NOARGS,
         "_computations($self, /)\n--\n\nThe running computations: (key, thread, seconds) for each."},
        {"_count_references", method<map_count_references<Map>>(), METH_NOARGS,
         "_count_references($self, /)\n--\n\nNever defer reference counting; see the class method "
         "counted()."},
    };
    all->insert(all->end(), more);
    all->push_back({nullptr, nullptr, 0, nullptr});
    return all->data();
}

/// Adds the type, `threadproof._core.NAME`, to the module, and makes that of its iterators. Throws.
template <class Map>
void add_native_map(PyObject* module, const char* name, const char* iterator_name, const char* doc,
                    std::initializer_list<PyMethodDef> more) {
    const PyMethodDef* methods = map_methods<Map>(more);
    MapObject<Map>::iterator_type = TypeBuilder<MapIterator<Map>>(iterator_name, nullptr)
                                        .not_callable()
                                        .with_cpython(Py_tp_iter, PyObject_SelfIter)
                                        .template with<iterator_next<Map>>(Py_tp_iternext)
                                        .make(module);
    MapObject<Map>::type = TypeBuilder<MapObject<Map>>(name, doc)
                               .subclassable()
                               .template with<map_new<Map>>(Py_tp_new)
                               .template with<map_iterate<Map, Yield::kKeys>>(Py_tp_iter)
                               .with_cpython(Py_tp_hash, PyObject_HashNotImplemented)
                               .template with<map_subscript<Map>>(Py_mp_subscript)
                               .template with<map_ass_subscript<Map>>(Py_mp_ass_subscript)
                               .template with<map_length<Map>>(Py_mp_length)
                               .template with<map_contains<Map>>(Py_sq_contains)
                               .methods(methods)
                               .add_to(module);
    let_adopt(MapObject<Map>::type, methods);
}

}  // namespace threadproof::ext
