/// Keys, values and errors between Python and the core: words to references, outcomes to exceptions, and the
/// objects that native maps use.
#pragma once

#include <cstdint>
#include <new>

#include "core/maps/map_base.hpp"
#include "ext/maps/python_policy.hpp"
#include "ext/python/errors.hpp"

namespace threadproof::ext {

using Policy = PythonPolicy;
using Lookup = Policy::Lookup;

/// The reference that a value's word stands for, which goes to the Ref; none for 0.
inline Ref into_ref(Word value) { return Ref::steal(value ? Policy::object(value) : nullptr); }

/// Releases that reference.
inline void release_value(Word value) {
    if (value) Policy::release(value);
}

/// Throws for the outcomes that are errors.
TP_HOT Outcome checked(Outcome outcome) {
    if (TP_LIKELY(outcome <= Outcome::kPresent)) return outcome;
    if (outcome == Outcome::kNoMemory) throw std::bad_alloc();
    throw PythonError{};
}

/// A value on its way into the map, with a reference for its slot, which is released if the value does not
/// reach the slot.
class Incoming {
 public:
    explicit Incoming(PyObject* value) : object_(Py_NewRef(value)) {}
    ~Incoming() { drop_reference(object_); }
    Incoming(const Incoming&) = delete;
    Incoming& operator=(const Incoming&) = delete;

    Word word() const { return Policy::value(object_); }
    /// The slot has the reference now.
    void release() { object_ = nullptr; }

 private:
    PyObject* object_;
};

inline PyObject* or_none(Ref value) { return value ? value.release() : Py_NewRef(Py_None); }

/// Calls a user's function with one argument or two; null: an exception is set.
inline PyObject* call(PyObject* fn, PyObject* first, PyObject* second = nullptr) {
    PyObject* arguments[] = {first, second};
    return outliving([&] { return PyObject_Vectorcall(fn, arguments, second ? 2 : 1, nullptr); });
}

/// Whether the two are identical or ==; or, if `equal` is not None, the result of equal(). Throws.
bool values_equal(PyObject* current, PyObject* expected, PyObject* equal);

/// A secret for each map, so that keys cannot be made to collide in one bucket. Source of the mixer: Steele
/// and others, splitmix64.
std::uint64_t fresh_secret();

inline PyObject* one;              ///< the int 1
inline PyObject* zero;             ///< the int 0
inline PyObject* remove_sentinel;  ///< threadproof.REMOVE

/// Makes these; the module has REMOVE. Throws.
void add_values(PyObject* module);

}  // namespace threadproof::ext
