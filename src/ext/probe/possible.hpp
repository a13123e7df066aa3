/// Accesses that a subscriber has to know of if it is to say what threads cannot do to each other: they may be
/// reads, writes, or none. An explorer of schedules wants them; a race detector would report what is none.
///
/// Nothing here runs code of the program.
#pragma once

#include <cstddef>

#include "ext/probe/events.hpp"

namespace threadproof::probe {

/// Whether any subscriber wants them: asked before each of the functions below.
TP_HOT bool records_possible() { return listening(kPossible); }

/// o.name where the class decides: a method, a descriptor, an attribute of a type in C.
void record_possible_attribute(PyObject* object, PyObject* name, unsigned flags);
/// C.name, loaded to be called.
void record_possible_method(PyTypeObject* type, PyObject* name);
/// o[k], k in o, of an object that is no container known here.
void record_possible_item(PyObject* object, unsigned flags);
/// Takes the next item out of an iterator: changes it, and reads the containers behind it.
void record_possible_advance(PyObject* iterator);
/// A call. `self` may be null, and so may the arguments.
void record_possible_call(PyObject* function, PyObject* self, PyObject* const* arguments, std::size_t count);

}  // namespace threadproof::probe
