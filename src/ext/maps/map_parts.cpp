#include "ext/maps/map_parts.hpp"

#include <cstring>
#include <random>

#include "ext/maps/adopt.hpp"

namespace threadproof::ext {

bool values_equal(PyObject* current, PyObject* expected, PyObject* equal) {
    int same;
    if (equal == Py_None) {
        same = outliving([&] { return PyObject_RichCompareBool(current, expected, Py_EQ); });
    } else {
        PyObject* arguments[] = {current, expected};
        Ref verdict =
            Ref::steal(checked(outliving([&] { return PyObject_Vectorcall(equal, arguments, 2, nullptr); })));
        same = PyObject_IsTrue(verdict.get());
    }
    if (same < 0) throw PythonError{};
    return same;
}

std::uint64_t fresh_secret() {
    if constexpr (stress::kOn) return 0x5eed;  // the stress build repeats itself
    static const std::uint64_t process = std::uint64_t{std::random_device()()} << 32 | std::random_device()();
    static std::atomic<std::uint64_t> count{0};
    // only has to be new
    std::uint64_t x = process + 0x9e3779b97f4a7c15 * count.fetch_add(1, std::memory_order_relaxed);
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

bool add_map_parts(PyObject* module) {
    remove_sentinel = PyObject_GetAttrString(module, "REMOVE");
    one = PyLong_FromLong(1);
    zero = PyLong_FromLong(0);
    return remove_sentinel && one && zero;
}

PyTypeObject* add_native_map(PyObject* module, PyType_Spec* spec, const PyMethodDef* methods) {
    auto* type = reinterpret_cast<PyTypeObject*>(PyType_FromModuleAndSpec(module, spec, nullptr));
    const char* name = std::strrchr(spec->name, '.') + 1;
    if (!type || PyModule_AddObjectRef(module, name, reinterpret_cast<PyObject*>(type)) < 0) return nullptr;
    let_adopt(type, methods);
    return type;
}

}  // namespace threadproof::ext
