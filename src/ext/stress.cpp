#include "ext/stress.hpp"

#ifdef THREADPROOF_STRESS

#include <cstdlib>
#include <new>

#include "core/base/stress.hpp"
#include "ext/python/entry.hpp"

// The allocations of this extension, except those of allocate_zeroed() and of Python.
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
    return threadproof::stress::starve() ? nullptr : std::malloc(bytes);
}
void* operator new(std::size_t bytes) {
    if (void* memory = operator new(bytes, std::nothrow)) return memory;
    throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace threadproof::ext {
namespace {

PyObject* fail_allocations(PyObject*, PyObject* left) {
    long long next = PyLong_AsLongLong(left);
    if (next == -1 && PyErr_Occurred()) throw PythonError{};
    return PyLong_FromLongLong(stress::allocations_left.exchange(next));
}

PyMethodDef functions[] = {
    {"stress_fail_allocations", method<fail_allocations>(), METH_O,
     "stress_fail_allocations(left, /)\n--\n\nLet that many allocations of the extension succeed, and all "
     "after them fail; -1: all "
     "succeed.\n\nReturns how many were left."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

void add_stress(PyObject* module) {
    if (PyModule_AddFunctions(module, functions) < 0) throw PythonError{};
}

}  // namespace threadproof::ext

#endif
