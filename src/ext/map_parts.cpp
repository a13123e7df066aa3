#include "ext/map_parts.hpp"

#include <random>
#include <string>

namespace threadproof::ext {
namespace {

struct NativeType {
    PyTypeObject* type;
    const PyMethodDef* methods;
};
std::vector<NativeType>& native_types = *new std::vector<NativeType>;  // filled while the module is made

/// The methods of the native map that a class derives from.
const PyMethodDef* methods_of(PyObject* cls) {
    for (const NativeType& native : native_types) {
        if (PyType_Check(cls) && PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(cls), native.type)) return native.methods;
    }
    PyErr_Format(PyExc_TypeError, "adopt_methods() wants a subclass of a native map of threadproof._core, got %R", cls);
    throw PythonError{};
}

/// The documentation of a method: the signature from here, the words from the contract's class.
std::string documentation(const PyMethodDef& method, PyObject* contract) {
    std::string text = method.ml_doc ? method.ml_doc : "";
    if (!PyObject_HasAttrString(contract, method.ml_name)) return text;
    Ref function = Ref::steal(checked(PyObject_GetAttrString(contract, method.ml_name)));
    Ref words = Ref::steal(checked(PyObject_GetAttrString(function.get(), "__doc__")));
    if (words.get() == Py_None) return text;
    const char* utf8 = PyUnicode_AsUTF8(words.get());
    if (!utf8) throw PythonError{};
    return text + utf8;
}

}  // namespace

void raise_key_error(PyObject* key) {
    // A tuple would be taken for the exception's arguments.
    Ref arguments = Ref::steal(checked(PyTuple_Pack(1, key)));
    PyErr_SetObject(PyExc_KeyError, arguments.get());
    throw PythonError{};
}

bool values_equal(PyObject* current, PyObject* expected, PyObject* equal) {
    int same;
    if (equal == Py_None) {
        same = outliving([&] { return PyObject_RichCompareBool(current, expected, Py_EQ); });
    } else {
        PyObject* arguments[] = {current, expected};
        Ref verdict = Ref::steal(checked(outliving([&] { return PyObject_Vectorcall(equal, arguments, 2, nullptr); })));
        same = PyObject_IsTrue(verdict.get());
    }
    if (same < 0) throw PythonError{};
    return same;
}

std::uint64_t fresh_secret() {
    if constexpr (stress::kOn) return 0x5eed;  // the stress build repeats itself
    static const std::uint64_t process = std::uint64_t{std::random_device()()} << 32 | std::random_device()();
    static std::atomic<std::uint64_t> count{0};
    std::uint64_t x = process + 0x9e3779b97f4a7c15 * count.fetch_add(1, std::memory_order_relaxed);  // only has to be new
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
    native_types.push_back({type, methods});
    return type;
}

/// Puts the native methods into a subclass itself, as its own: CPython's fast calls are for methods of the very class, and are
/// 10 ns faster than inherited ones. The definitions live as long as the process, as the class does.
PyObject* adopt_methods(PyObject*, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    Arguments<2> arguments("adopt_methods", given, count, names, 2, 2, {"cls", "contract"});
    PyObject *cls = arguments[0], *contract = arguments[1];
    for (const PyMethodDef* method = methods_of(cls); method->ml_name; ++method) {
        if (method->ml_flags & METH_CLASS) continue;
        auto* text = new std::string(documentation(*method, contract));
        auto* definition = new PyMethodDef{method->ml_name, method->ml_meth, method->ml_flags, text->c_str()};
        Ref descriptor = Ref::steal(checked(PyDescr_NewMethod(reinterpret_cast<PyTypeObject*>(cls), definition)));
        if (PyObject_SetAttrString(cls, method->ml_name, descriptor.get()) < 0) throw PythonError{};
    }
    Py_RETURN_NONE;
}

}  // namespace threadproof::ext
