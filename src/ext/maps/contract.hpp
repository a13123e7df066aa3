/// The argument checks of threadproof.maps.contract, which raise: each error's text is defined there, once.
#pragma once

#include "ext/python/errors.hpp"

namespace threadproof::ext {

/// Calls contract.check_function(owner, method, fn) for an fn that it refuses.
[[noreturn]] void refuse_function(PyObject* owner, const char* method, PyObject* fn);

/// Calls contract.check_lengths(owner, keys, values) for two numbers that differ.
[[noreturn]] void refuse_lengths(PyObject* owner, Py_ssize_t keys, Py_ssize_t values);

/// contract.FrozenDict, borrowed. Throws if it has not been provided.
PyObject* frozen_dict_type();

/// Whether calling it gives a coroutine or an asynchronous generator: an `async def`, as a function, a bound
/// method, or in a functools.partial.
bool is_async(PyObject* fn);

[[noreturn]] void refuse_coroutine(PyObject* coroutine);

/// Whether it is list, dict or set: as an fn(key) it would take the key apart, where an empty one is wanted.
inline bool is_container_type(PyObject* fn) {
    return fn == reinterpret_cast<PyObject*>(&PyList_Type) || fn == reinterpret_cast<PyObject*>(&PyDict_Type)
           || fn == reinterpret_cast<PyObject*>(&PySet_Type);
}

/// Calls contract.check_function() for a function that is none, or async. Throws then.
inline void check_function_of(PyObject* owner, const char* method, PyObject* fn) {
    if (!PyCallable_Check(fn) || is_async(fn)) refuse_function(owner, method, fn);
}

/// The result of a user's function; throws if it is a coroutine, which is closed.
inline Ref checked_result(PyObject* object) {
    Ref result = Ref::steal(checked(object));
    if (PyCoro_CheckExact(result.get())) refuse_coroutine(result.get());
    return result;
}

/// Adds a note to the exception that is set: at which key of which map add() was called.
void note_addition(PyObject* owner, PyObject* key);

/// Adds functions to the module. Throws.
void add_contract(PyObject* module);

}  // namespace threadproof::ext
