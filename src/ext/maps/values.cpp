#include "ext/maps/values.hpp"

#include <random>

namespace threadproof::ext {

bool values_equal(PyObject* current, PyObject* expected, PyObject* equal) {
    int same;
    if (equal == Py_None) {
        same = outliving([&] { return PyObject_RichCompareBool(current, expected, Py_EQ); });
    } else {
        Ref verdict = Ref::steal(checked(call(equal, current, expected)));
        same = PyObject_IsTrue(verdict.get());
    }
    if (same < 0) throw PythonError{};
    return same;
}

void refuse_remove() {
    PyErr_SetString(
        PyExc_ValueError,
        "REMOVE cannot be stored as a value: a function given to compute() or merge() returns it to delete "
        "the key; outside of one, use del or pop()");
    throw PythonError{};
}

std::uint64_t fresh_secret() {
    if constexpr (stress::kOn) return 0x5eed;  // the stress build does the same in every run
    static const std::uint64_t process = std::uint64_t{std::random_device()()} << 32 | std::random_device()();
    static std::atomic<std::uint64_t> count{0};
    // relaxed: the number only has to be new. 0x9e37... is 2^64 / the golden ratio.
    std::uint64_t x = process + 0x9e3779b97f4a7c15 * count.fetch_add(1, std::memory_order_relaxed);
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

void add_values(PyObject* module) {
    remove_sentinel = checked(PyObject_GetAttrString(module, "REMOVE"));
    one = checked(PyLong_FromLong(1));
    zero = checked(PyLong_FromLong(0));
}

}  // namespace threadproof::ext
