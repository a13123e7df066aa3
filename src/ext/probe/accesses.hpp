/// From a step of the program to its accesses: the variables that an instruction, or a method of a container,
/// reads and writes.
///
/// The functions here publish accesses. None of them runs user code: keys whose hash or equality is user code
/// are distinguished by identity.
#pragma once

#include "ext/probe/events.hpp"

namespace threadproof::probe {

// ---- attributes

/// Where an attribute of a type's instances is stored, as far as threads can race for it.
enum class AttributeHome : std::uint8_t {
    kNowhere,  // no object that is tracked
    kSlot,
    kDict,  // the object's own
    kModule,
    kClass,
    kDefault,  // a value of the class, for instances that have none of their own
};
AttributeHome home_of(PyTypeObject* type, PyObject* name, bool store);

/// An attribute in the object's own dict: one variable by either name, o.x and o.__dict__["x"].
void record_own_attribute(PyObject* object, PyObject* name, unsigned flags);
/// Any other attribute. `method`: it is loaded to be called.
void record_attribute_elsewhere(PyObject* object, PyObject* name, AttributeHome home, unsigned flags,
                                bool method);

TP_HOT void record_attribute(PyObject* object, PyObject* name, AttributeHome home, unsigned flags,
                             bool method) {
    if (TP_LIKELY(home == AttributeHome::kDict)) record_own_attribute(object, name, flags);
    else record_attribute_elsewhere(object, name, home, flags, method);
}

// ---- containers

void record_item(PyObject* object, PyObject* key, unsigned flags);        // o[k], o[k] = v
void record_deletion(PyObject* object, PyObject* key);                    // del o[k]
void record_membership(PyObject* object, PyObject* key);                  // k in o
void record_slice_store(PyObject* object);                                // o[i:j] = v
void record_combination(PyObject* left, PyObject* right, bool in_place);  // +, |, += and their like
/// Reads all of a container, or its size. An iterator that several threads may have is advanced by it.
void record_whole(PyObject* object, unsigned flags);
/// Assigns a key of a dict: a new key changes the structure, too.
void record_store(PyObject* dict, PyObject* key, unsigned flags);
/// Adds or removes an element.
void record_change(PyObject* container);

// ---- globals and calls

/// Whether another file stores the global as an attribute of its module: then its readers are watched.
bool is_stored_from_outside(PyObject* name);

/// A call of `function` with these arguments, if it is a builtin that reads containers or attributes.
void record_call(PyObject* function, PyObject* const* arguments, std::size_t count);

/// Builtins that read their container arguments: {function: AccessFlags}.
void set_readers(PyObject* readers);

void lock_accesses();  // around a fork
void unlock_accesses();

}  // namespace threadproof::probe
