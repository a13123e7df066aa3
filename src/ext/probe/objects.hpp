/// Variables of the program, and the properties of Python objects that decide which variable an access means.
#pragma once

#include "core/probe/object_filter.hpp"
#include "ext/probe/events.hpp"
#include "ext/python/numbers.hpp"

namespace threadproof::probe {

/// The objects whose deallocation is published: those that have state here, or with a subscriber.
ObjectFilter& object_filter();

inline Object address_of(PyObject* object) { return reinterpret_cast<Object>(object); }

// ---- variables

TP_HOT Field field_of(Part part, std::uint64_t rest) {
    constexpr int kShift = 60;  // three bits for a part that is not a position
    std::uint64_t high = part == Part::kIndex ? kPosition : static_cast<std::uint64_t>(part) << kShift;
    return high | (rest & ((std::uint64_t{1} << kShift) - 1));
}

inline Variable attribute_of(PyObject* object, PyObject* name) {
    return {object, field_of(Part::kAttribute, reinterpret_cast<std::uintptr_t>(name) >> 4), Part::kAttribute,
            name};
}
inline Variable structure_of(PyObject* container) {
    return {container, field_of(Part::kStructure, 0), Part::kStructure, nullptr};
}
inline Variable iterator_of(PyObject* iterator) {
    return {iterator, field_of(Part::kIterator, 0), Part::kIterator, nullptr};
}
inline Variable cell_of(PyObject* cell, PyObject* name) {
    return {cell, field_of(Part::kCell, 0), Part::kCell, name};
}

/// An item of a list, a deque or an array. A key that is not a valid index stands for the structure.
TP_HOT Variable index_of(PyObject* list, PyObject* index) {
    std::int64_t position;
    if (!PyLong_CheckExact(index) || !ext::small_int(index, &position)) return structure_of(list);
    Py_ssize_t size = Py_SIZE(list);  // of a deque and an array, too
    if (position < 0) position += size;
    if (position < 0 || position >= size) return structure_of(list);  // it is about to raise IndexError
    return {list, field_of(Part::kIndex, static_cast<std::uint64_t>(position)), Part::kIndex, index};
}

Variable item_of(PyObject* container, PyObject* key);
/// As item_of(); but a str key of an object's `__dict__` stands for that attribute of the object.
Variable key_of(PyObject* dict, PyObject* key);
Variable global_of(PyObject* globals, PyObject* name);

/// Equal keys have equal numbers. Keys whose equality is user code are distinguished by identity, which can
/// hide a race, not invent one.
std::uint64_t number_of_key(PyObject* key);

/// Whether hashing and comparing the key runs no user code.
bool is_plain_key(PyObject* key);

// ---- dicts of objects

/// The object whose attributes the dict holds, or the dict itself if it belongs to several; `otherwise` if
/// unknown.
PyObject* owner_of_dict(PyObject* dict, PyObject* otherwise);

/// The program is about to ask for the object's `__dict__`.
void note_own_dict(PyObject* object);
/// The program is about to assign a dict to the object's `__dict__`.
void note_assigned_dict(PyObject* object, PyObject* dict);
void forget_dicts(PyObject* object);

void lock_dicts();  // around a fork
void unlock_dicts();

/// Whether the object itself has the attribute; runs no user code.
bool has_own_attribute(PyObject* object, PyObject* name);

/// The class, of the type and its bases, that has the attribute.
PyObject* class_that_has(PyTypeObject* type, PyObject* name);

// ---- types

/// The built-in base whose methods a class written in Python inherits; the type itself if it is built in.
PyTypeObject* built_in_base(PyTypeObject* type);

/// Whether the deallocation of the type's instances is intercepted.
bool is_tracked(PyTypeObject* type);

bool is_keyed(PyObject* container);    // a dict, a set
bool is_indexed(PyObject* container);  // a list, a deque, a bytearray, an array
inline bool is_container(PyObject* object) { return is_keyed(object) || is_indexed(object); }

/// Whether an operation on a container runs the code of the built-in type, and not of a subclass that
/// overrides it.
enum class Operation : std::uint8_t { kLoad, kStore, kDelete, kContains, kLength, kIterate };
bool runs_built_in_code(PyObject* container, Operation operation);

/// Whether the object is an iterator that is not safe to share, and that more than this thread's frame may
/// have.
bool is_shared_iterator(PyObject* object);

/// Names the types of configure(): those with items by position, besides list, and unsafe iterators.
void set_types(PyObject* indexed, PyObject* iterators);

}  // namespace threadproof::probe
