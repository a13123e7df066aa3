/// From a step of the program to its accesses: the variables that an instruction, or a method of a container,
/// reads and writes.
///
/// The functions here publish accesses. None of them runs user code: keys whose hash or equality is user code
/// are distinguished by identity.
#pragma once

#include "ext/probe/events.hpp"
#include "ext/python/atoms.hpp"

namespace threadproof::probe {

/// What is gone over, by its exact type: X(constant, value, name in Python). consumers.py says which code
/// goes over which of them in one step.
#define TP_CONTAINERS(X)                 \
    X(kLists, 1, LIST)                   \
    X(kListSubclasses, 2, LIST_SUBCLASS) \
    X(kDicts, 4, DICT)                   \
    X(kDictSubclasses, 8, DICT_SUBCLASS) \
    X(kSets, 16, SET)                    \
    X(kSetSubclasses, 32, SET_SUBCLASS)  \
    X(kKeys, 64, KEYS)                   \
    X(kValues, 128, VALUES)              \
    X(kItemsViews, 256, ITEMS)

enum Containers : std::uint16_t {
#define TP_CONTAINER(constant, value, name) constant = (value),
    TP_CONTAINERS(TP_CONTAINER)
#undef TP_CONTAINER
};

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

void record_item(PyObject* object, PyObject* key, unsigned flags);  // o[k], o[k] = v
void record_deletion(PyObject* object, PyObject* key);              // del o[k]
void record_membership(PyObject* object, PyObject* key);            // k in o
void record_slice_store(PyObject* object);                          // o[i:j] = v
/// +, |, += and their like. In place, the left operand changes. As the left operand, `one_step` are read in one
/// step; a view on the right is gone over.
void record_combination(PyObject* left, PyObject* right, bool in_place, unsigned one_step);
void record_comparison(PyObject* left, PyObject* right, unsigned one_step);  // ==, <= and their like
void record_match_keys(PyObject* mapping, PyObject* keys);                   // case {"key": ...}
void record_match_class(PyObject* object, PyObject* type, PyObject* names, std::size_t positional);
/// Goes over all of a container: in one step if it is in `one_step`, or else item by item.
void record_consumed(PyObject* object, unsigned one_step);
/// What reads all of a container, or its size. An iterator that several threads may have is advanced by it.
void record_whole(PyObject* object, unsigned flags);
/// Assigns a key of a dict: a new key changes the structure, too.
void record_store(PyObject* dict, PyObject* key, unsigned flags);
/// The value of a key whose equality is no user code, while that of the dict's other keys may be; null if the key
/// is not there.
ext::Ref plain_value(PyObject* dict, PyObject* key);
/// Adds or removes an element.
void record_change(PyObject* container);

/// The item goes into the container, or comes from it. Values that no thread can change are not published.
TP_HOT void hand_over(HandOverStep step, PyObject* container, PyObject* item) {
    if (!ext::is_atom(item)) publish(HandOverEvent{step, container, item});
}

// ---- globals and calls

/// Whether another file stores the global as an attribute of its module: then its readers are watched.
bool is_stored_from_outside(PyObject* name);

/// A call of `function` with these arguments: of a builtin or a type that reads containers or attributes.
void record_call(PyObject* function, PyObject* const* arguments, std::size_t count);

/// Whether record_call() knows the function.
bool is_reader(PyObject* function);
/// Whether it is a class whose instances have attributes for each thread.
bool is_thread_local(PyTypeObject* type);

/// Prepares for what record_call() compares functions with.
void set_readers();

/// Whether a method or function that the thread is about to call has its accesses recorded.
bool records_calls();
/// The arguments from `first` on are gone over.
void record_arguments(PyObject* const* arguments, Py_ssize_t count, Py_ssize_t first, unsigned one_step);

void lock_accesses();  // around a fork
void unlock_accesses();

}  // namespace threadproof::probe
