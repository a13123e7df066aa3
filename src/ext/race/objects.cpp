/// What must be known of Python objects to tell which variable an access means: whose dict it is that is
/// being asked, which class an attribute comes from, and whether a container's own code runs or a subclass's.

#include "ext/race/internals.hpp"

#ifdef THREADPROOF_RACE

#include <unordered_map>

namespace threadproof::ext {
namespace {

// ---- dicts of objects

/// The objects whose `__dict__` the program has asked for. Both names of such an attribute, o.x and
/// o.__dict__["x"], are one variable, of the object. Where a dict is given to several objects it is a
/// variable of the dict.
struct Dicts {
    std::mutex mutex;
    std::unordered_map<PyObject*, PyObject*> owners;  // dict -> object, or itself
    std::unordered_map<PyObject*, PyObject*> dicts;   // object -> dict
};
Dicts& dicts = *new Dicts;

race::Known& known() { return race_state().detector.known(); }
bool may_be_noted(PyObject* object) {
    return known().has(reinterpret_cast<race::Object>(object), race::Known::kDict);
}
void mark_noted(PyObject* object) {
    known().mark(reinterpret_cast<race::Object>(object), race::Known::kDict);
}

/// The built-in base whose methods a class written in Python has, where it does not replace them.
PyTypeObject* built_in(PyTypeObject* type) {
    while (type->tp_base && type->tp_dealloc == race_state().subtype_dealloc) type = type->tp_base;
    return type;
}

}  // namespace

PyObject* owner_of_dict(PyObject* dict, PyObject* otherwise) {
    if (!dict || !may_be_noted(dict)) return otherwise;
    std::lock_guard hold(dicts.mutex);
    auto place = dicts.owners.find(dict);
    return place == dicts.owners.end() ? otherwise : place->second;
}

void note_dict(PyObject* object, PyObject* dict, bool given) {
    if (!dict || !PyDict_Check(dict)) return;
    mark_noted(dict);
    mark_noted(object);
    std::lock_guard hold(dicts.mutex);
    if (dicts.owners.try_emplace(dict, given ? dict : object).second && !given) dicts.dicts[object] = dict;
}

void note_own_dict(PyObject* object) {
    if (!(Py_TYPE(object)->tp_flags & Py_TPFLAGS_MANAGED_DICT)) return;
    Ref dict = Ref::steal(PyObject_GenericGetDict(object, nullptr));  // as the program is about to do
    if (dict) note_dict(object, dict.get(), false);
    else PyErr_Clear();
}

void forget_dicts(PyObject* object) {
    if (TP_LIKELY(!may_be_noted(object))) return;
    std::lock_guard hold(dicts.mutex);
    dicts.owners.erase(object);
    if (auto place = dicts.dicts.find(object); place != dicts.dicts.end()) {
        dicts.owners.erase(place->second);
        dicts.dicts.erase(place);
    }
}

bool has_own_attribute(PyObject* object, PyObject* name) {
    PyObject* dict = attribute_dict(object);
    if (!dict) return has_inline_value(object, name);
    int found = PyDict_Contains(dict, name);
    if (found < 0) PyErr_Clear();
    return found > 0;
}

PyObject* class_that_has(PyTypeObject* type, PyObject* name) {
    PyObject* order = type->tp_mro;
    for (Py_ssize_t i = 0; order && i < PyTuple_GET_SIZE(order); ++i) {
        Ref dict = Ref::steal(PyType_GetDict(reinterpret_cast<PyTypeObject*>(PyTuple_GET_ITEM(order, i))));
        if (dict && PyDict_Contains(dict.get(), name) > 0) return PyTuple_GET_ITEM(order, i);
    }
    PyErr_Clear();
    return reinterpret_cast<PyObject*>(type);
}

// ---- containers

namespace {

/// Storing and deleting have one slot for two methods, of which a subclass may replace only one.
bool has_built_in(PyTypeObject* type, const char* method) {
    Ref name = Ref::steal(PyUnicode_InternFromString(method));
    PyObject* found = name ? _PyType_Lookup(type, name.get()) : nullptr;
    return found && Py_IS_TYPE(found, &PyWrapperDescr_Type);
}

}  // namespace

bool runs_own_code(PyObject* container, Access access) {
    PyTypeObject *type = Py_TYPE(container), *base = built_in(type);
    if (type == base) return true;
    auto *mapping = type->tp_as_mapping, *base_mapping = base->tp_as_mapping;
    auto *sequence = type->tp_as_sequence, *base_sequence = base->tp_as_sequence;
    switch (access) {
        case Access::kLoad:
            return mapping && base_mapping && mapping->mp_subscript == base_mapping->mp_subscript;
        case Access::kStore:
        case Access::kDelete:
            if (mapping && base_mapping && mapping->mp_ass_subscript == base_mapping->mp_ass_subscript)
                return true;
            return has_built_in(type, access == Access::kStore ? "__setitem__" : "__delitem__");
        case Access::kContains:
            return sequence && base_sequence && sequence->sq_contains == base_sequence->sq_contains;
        case Access::kLength:
            return sequence && base_sequence && sequence->sq_length == base_sequence->sq_length;
        case Access::kIterate: return type->tp_iter == base->tp_iter;
    }
    return false;
}

bool is_shared_iterator(PyObject* object) {
    for (PyTypeObject* type : race_state().iterators)
        if (Py_IS_TYPE(object, type)) return !PyUnstable_Object_IsUniquelyReferenced(object);
    return false;
}

}  // namespace threadproof::ext

#endif
