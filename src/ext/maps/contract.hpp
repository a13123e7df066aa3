/// The argument checks of threadproof.maps.contract, which raise: each error's text is defined there, once.
#pragma once

#include "ext/python/ref.hpp"

namespace threadproof::ext {

/// Calls contract.check_function(owner, method, fn) for an fn that cannot be called.
[[noreturn]] void refuse_function(PyObject* owner, const char* method, PyObject* fn);

/// Calls contract.check_lengths(owner, keys, values) for two numbers that differ.
[[noreturn]] void refuse_lengths(PyObject* owner, Py_ssize_t keys, Py_ssize_t values);

}  // namespace threadproof::ext
