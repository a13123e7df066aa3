/// Finds the object whose dict an access means, the class that an attribute comes from, and whether a
/// container runs the code of its built-in type or that of a subclass.

#include "ext/probe/internals.hpp"

#ifdef THREADPROOF_PROBE

#include <algorithm>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "ext/probe/entry.hpp"
#include "ext/probe/objects.hpp"

namespace threadproof::probe {
namespace {

std::uint64_t spread(std::uint64_t value) {
    value *= 0x9E3779B97F4A7C15u;  // 2^64 / the golden ratio
    return value ^ value >> 29;
}

}  // namespace

ObjectFilter& object_filter() {
    static auto& filter =
        *new ObjectFilter;  // never destroyed: objects are deallocated until the process ends
    return filter;
}

// ---- variables

std::uint64_t number_of_key(PyObject* key) {
    if (!is_plain_key(key)) return spread(reinterpret_cast<std::uintptr_t>(key));
    std::int64_t small;
    // hash(-1) == hash(-2)
    if (PyLong_CheckExact(key) && ext::small_int(key, &small) && small == -1)
        return spread(~std::uint64_t{0});
    return spread(static_cast<std::uint64_t>(PyObject_Hash(key)));
}

bool is_plain_key(PyObject* key) {
    if (ext::is_atom(key)) return true;
    if (!PyTuple_CheckExact(key)) return false;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(key); ++i)
        if (!is_plain_key(PyTuple_GET_ITEM(key, i))) return false;
    return true;
}

Variable item_of(PyObject* container, PyObject* key) {
    return {container, field_of(Part::kItem, number_of_key(key)), Part::kItem, key};
}

Variable global_of(PyObject* globals, PyObject* name) {
    return {globals, field_of(Part::kItem, number_of_key(name)), Part::kGlobal, name};
}

Variable key_of(PyObject* dict, PyObject* key) {
    PyObject* owner = PyUnicode_CheckExact(key) ? owner_of_dict(dict, dict) : dict;
    if (owner == dict) return item_of(dict, key);
    PyObject* name = Py_NewRef(key);
    // never released, as most interned names are not: its address is the field
    PyUnicode_InternInPlace(&name);
    return attribute_of(owner, name);
}

// ---- dicts of objects

namespace {

/// The objects whose `__dict__` the program has asked for. Both names of such an attribute, o.x and
/// o.__dict__["x"], are one variable: the object's. Where several objects share a dict, it is the dict's.
struct Dicts {
    std::mutex mutex;
    std::unordered_map<PyObject*, PyObject*> owners;  // dict -> object, or itself
    std::unordered_map<PyObject*, PyObject*> dicts;   // object -> dict
};
Dicts& dicts = *new Dicts;

bool may_be_noted(PyObject* object) { return object_filter().has(address_of(object), ObjectFilter::kNoted); }

/// The filter counts each entry of the two tables.
void count_note(PyObject* object) { object_filter().add(address_of(object), ObjectFilter::kNoted); }
void uncount_note(PyObject* object) { object_filter().remove(address_of(object), ObjectFilter::kNoted); }

void erase_owner(PyObject* dict) {
    if (dicts.owners.erase(dict) != 0) uncount_note(dict);
}

/// `owner` is the object, or the dict itself.
void note_dict(PyObject* object, PyObject* dict, PyObject* owner) {
    std::lock_guard hold(dicts.mutex);
    if (!dicts.owners.try_emplace(dict, owner).second) return;
    count_note(dict);
    if (owner != object) return;
    auto [place, fresh] = dicts.dicts.try_emplace(object, dict);
    if (fresh) count_note(object);
    else erase_owner(std::exchange(place->second, dict));  // the object has got another dict
}

}  // namespace

PyObject* owner_of_dict(PyObject* dict, PyObject* otherwise) {
    if (!dict || !may_be_noted(dict)) return otherwise;
    std::lock_guard hold(dicts.mutex);
    auto place = dicts.owners.find(dict);
    return place == dicts.owners.end() ? otherwise : place->second;
}

void note_assigned_dict(PyObject* object, PyObject* dict) {
    if (dict && PyDict_Check(dict)) note_dict(object, dict, dict);
}

void note_own_dict(PyObject* object) {
    if (!(Py_TYPE(object)->tp_flags & Py_TPFLAGS_MANAGED_DICT)) return;
    Ref dict = Ref::steal(PyObject_GenericGetDict(object, nullptr));  // as the program is about to do
    if (dict) note_dict(object, dict.get(), object);
    else PyErr_Clear();
}

void forget_dicts(PyObject* object) {
    if (TP_LIKELY(!may_be_noted(object))) return;
    std::lock_guard hold(dicts.mutex);
    erase_owner(object);
    if (auto place = dicts.dicts.find(object); place != dicts.dicts.end()) {
        erase_owner(place->second);
        dicts.dicts.erase(place);
        uncount_note(object);
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

void lock_dicts() { dicts.mutex.lock(); }
void unlock_dicts() { dicts.mutex.unlock(); }

// ---- types

namespace {

std::vector<PyTypeObject*>& indexed_types = *new std::vector<PyTypeObject*>;
std::vector<PyTypeObject*>& iterator_types = *new std::vector<PyTypeObject*>;
destructor subtype_dealloc = nullptr;  // tp_dealloc of every class written in Python

void add_types(PyObject* tuple, std::vector<PyTypeObject*>& into) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); ++i)
        into.push_back(reinterpret_cast<PyTypeObject*>(Py_NewRef(PyTuple_GET_ITEM(tuple, i))));
}

/// Storing and deleting have one slot for two methods, of which a subclass may override only one.
bool has_built_in(PyTypeObject* type, const char* method) {
    Ref name = Ref::steal(PyUnicode_InternFromString(method));
    PyObject* found = name ? _PyType_Lookup(type, name.get()) : nullptr;
    return found && Py_IS_TYPE(found, &PyWrapperDescr_Type);
}

}  // namespace

void set_types(PyObject* indexed, PyObject* iterators) {
    Ref plain = Ref::steal(
        checked(PyObject_CallFunction(reinterpret_cast<PyObject*>(&PyType_Type), "s(){}", "Plain")));
    subtype_dealloc = reinterpret_cast<PyTypeObject*>(plain.get())->tp_dealloc;
    add_types(indexed, indexed_types);
    add_types(iterators, iterator_types);
}

PyTypeObject* built_in_base(PyTypeObject* type) {
    while (type->tp_base && type->tp_dealloc == subtype_dealloc) type = type->tp_base;
    return type;
}

bool is_keyed(PyObject* container) { return PyDict_Check(container) || PyAnySet_Check(container); }

bool is_indexed(PyObject* container) {
    if (PyList_Check(container)) return true;
    return std::any_of(indexed_types.begin(), indexed_types.end(),
                       [&](PyTypeObject* type) { return PyObject_TypeCheck(container, type); });
}

bool runs_built_in_code(PyObject* container, Operation operation) {
    PyTypeObject *type = Py_TYPE(container), *base = built_in_base(type);
    if (type == base) return true;
    auto *mapping = type->tp_as_mapping, *base_mapping = base->tp_as_mapping;
    auto *sequence = type->tp_as_sequence, *base_sequence = base->tp_as_sequence;
    switch (operation) {
        case Operation::kLoad:
            return mapping && base_mapping && mapping->mp_subscript == base_mapping->mp_subscript;
        case Operation::kStore:
        case Operation::kDelete:
            if (mapping && base_mapping && mapping->mp_ass_subscript == base_mapping->mp_ass_subscript)
                return true;
            return has_built_in(type, operation == Operation::kStore ? "__setitem__" : "__delitem__");
        case Operation::kContains:
            return sequence && base_sequence && sequence->sq_contains == base_sequence->sq_contains;
        case Operation::kLength:
            return sequence && base_sequence && sequence->sq_length == base_sequence->sq_length;
        case Operation::kIterate: return type->tp_iter == base->tp_iter;
    }
    return false;
}

bool is_shared_iterator(PyObject* object) {
    for (PyTypeObject* type : iterator_types)
        if (Py_IS_TYPE(object, type)) return !PyUnstable_Object_IsUniquelyReferenced(object);
    return false;
}

}  // namespace threadproof::probe

#endif
