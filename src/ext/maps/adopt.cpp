#include "ext/maps/adopt.hpp"

#include <string>
#include <vector>

#include "ext/python/arguments.hpp"

namespace threadproof::ext {
namespace {

struct Adoptable {
    PyTypeObject* base;
    const PyMethodDef* methods;
};

std::vector<Adoptable>& adoptables() {
    static auto& all = *new std::vector<Adoptable>;
    return all;
}

/// The documentation of a method: its definition's own, or the contract's text if the definition has only a
/// signature.
std::string documentation(const PyMethodDef& method, PyObject* contract) {
    std::string text = method.ml_doc ? method.ml_doc : "";
    if (!text.ends_with("--\n\n") || !PyObject_HasAttrString(contract, method.ml_name)) return text;
    Ref function = Ref::steal(checked(PyObject_GetAttrString(contract, method.ml_name)));
    Ref doc = Ref::steal(checked(PyObject_GetAttrString(function.get(), "__doc__")));
    if (doc.get() == Py_None) return text;
    const char* utf8 = PyUnicode_AsUTF8(doc.get());
    if (!utf8) throw PythonError{};
    return text + utf8;
}

const PyMethodDef* methods_for(PyObject* cls) {
    if (PyType_Check(cls))
        for (const Adoptable& known : adoptables())
            if (PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(cls), known.base)) return known.methods;
    PyErr_Format(PyExc_TypeError,
                 "adopt_methods() wants a subclass of one of threadproof._core's maps, got %R", cls);
    throw PythonError{};
}

}  // namespace

void let_adopt(PyTypeObject* base, const PyMethodDef* methods) { adoptables().push_back({base, methods}); }

/// CPython's fast calls are only for methods of the class itself, and are 10 ns faster than inherited ones.
/// The definitions live as long as the process, as the class does.
PyObject* adopt_methods(PyObject*, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    Arguments<2> arguments("adopt_methods", given, count, names, 2, 2, {"cls", "contract"});
    PyObject *cls = arguments[0], *contract = arguments[1];
    Ref own = Ref::steal(checked(PyObject_GetAttrString(cls, "__dict__")));  // what the class defines stays
    for (const PyMethodDef* method = methods_for(cls); method->ml_name; ++method) {
        if (method->ml_flags & METH_CLASS || PyMapping_HasKeyString(own.get(), method->ml_name)) continue;
        auto* text = new std::string(documentation(*method, contract));
        auto* definition = new PyMethodDef{method->ml_name, method->ml_meth, method->ml_flags, text->c_str()};
        Ref descriptor =
            Ref::steal(checked(PyDescr_NewMethod(reinterpret_cast<PyTypeObject*>(cls), definition)));
        if (PyObject_SetAttrString(cls, method->ml_name, descriptor.get()) < 0) throw PythonError{};
    }
    Py_RETURN_NONE;
}

}  // namespace threadproof::ext
