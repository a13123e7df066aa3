/// What is known of types in C: which cannot change, which publish their steps themselves. All others are taken
/// to change with each call.

#include "ext/probe/internals.hpp"

#ifdef THREADPROOF_PROBE

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <string_view>

#include "ext/probe/accesses.hpp"
#include "ext/probe/api.hpp"
#include "ext/probe/entry.hpp"
#include "ext/probe/methods.hpp"
#include "ext/probe/objects.hpp"
#include "ext/probe/possible.hpp"
#include "ext/probe/sites.hpp"
#include "ext/python/atoms.hpp"

namespace threadproof::probe {
namespace {

// Beginnings of the names of types whose objects never change, or whose methods publish their own events, or
// that are no memory of the program's threads, such as files.
constexpr std::string_view kSettled[] = {
    "_thread.",
    "_queue.SimpleQueue",
    "re.",
    "datetime.",
    "decimal.",
    "_struct.Struct",
    "_io.TextIOWrapper",
    "_io.Buffered",
    "_io.FileIO",
    "_contextvars",
    "operator.",
    "types.Generic",
    "types.Union",
    "property",
    "staticmethod",
    "classmethod",
    "method",
    "builtin",
    "wrapper_descriptor",
    "getset_",
    "member_",
    "mappingproxy",
    "classmethod_",
    "frame",
    "traceback",
    "super",
    "ellipsis",
    "NotImplemented",
};

// Functions of builtins that change no argument.
constexpr std::string_view kHarmless[] = {
    "isinstance", "issubclass", "id",      "callable", "len",     "hash",    "print",   "repr",
    "abs",        "chr",        "ord",     "hex",      "oct",     "bin",     "round",   "divmod",
    "pow",        "input",      "globals", "locals",   "getattr", "hasattr", "setattr", "delattr",
    "vars",       "dir",        "format",  "ascii",    "iter",    "aiter",   "compile", "__build_class__",
};

// Methods of containers that make a view, or a part of that iterates later.
constexpr std::string_view kViews[] = {"keys", "values", "items", "__init__", "__init_subclass__", "__new__"};

template <std::size_t kCount>
bool is_one_of(const std::string_view (&names)[kCount], std::string_view name) {
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

bool is_settled(PyObject* object) {
    PyTypeObject* type = Py_TYPE(object);
    if (ext::is_atom(object) || type == &PyTuple_Type || type == &PyFrozenSet_Type || type == &PyComplex_Type
        || type == &PyRange_Type || type == &PySlice_Type || type == &PyCode_Type || type == &PyModule_Type
        || type == &PyFunction_Type || PyType_Check(object))
        return true;
    std::string_view name = type->tp_name, own = "threadproof._core";
    if (name.starts_with(own.substr(0, own.find('.') + 1))) return true;  // publishes its own events
    return std::any_of(std::begin(kSettled), std::end(kSettled),
                       [&](std::string_view each) { return name.starts_with(each); });
}

/// Its methods are written in Python: they are watched, or belong to a library.
bool is_of_program(PyTypeObject* type) { return type->tp_flags & Py_TPFLAGS_HEAPTYPE && is_tracked(type); }

bool is_function(PyObject* object) { return object && Py_IS_TYPE(object, &PyFunction_Type); }

void publish_possible(const Variable& variable, unsigned flags, PyTypeObject* opaque = nullptr,
                      PyObject* code = nullptr) {
    this_thread.accessed = true;
    if (!in_program()) return;
    each_subscriber(kPossible,
                    [&](Subscriber& subscriber) { subscriber.possible(variable, flags, opaque, code); });
}

void change(PyObject* object) { publish_possible(structure_of(object), kWrite); }

/// The variable of record_own_attribute().
Variable own_attribute(PyObject* object, PyObject* name) {
    PyObject* dict = attribute_dict(object);
    PyObject* owner = owner_of_dict(dict, nullptr);
    if (!owner) return attribute_of(object, name);
    return owner == dict ? item_of(dict, name) : attribute_of(owner, name);
}

// Files whose objects threads are meant to share: what they do is controlled.
constexpr std::string_view kControlled[] = {
    "/threading.py",      "/queue.py",           "/concurrent/futures/", "/threadproof/maps/",
    "/threadproof/sync/", "/threadproof/probe/", "/threadproof/explore/"};

bool is_controlled(std::string_view file) {
    return std::any_of(std::begin(kControlled), std::end(kControlled),
                       [&](std::string_view part) { return file.find(part) != std::string_view::npos; });
}

/// A method in Python that is not watched: it may do anything to its object.
void record_library_call(PyObject* function, PyObject* self) {
    if (!self || is_settled(self) || is_container(self)) return;
    auto* code = reinterpret_cast<PyCodeObject*>(PyFunction_GET_CODE(function));
    const char* file = PyUnicode_AsUTF8(code->co_filename);
    if (!file) return PyErr_Clear();
    if (!is_controlled(file))
        publish_possible(structure_of(self), 0, Py_TYPE(self), reinterpret_cast<PyObject*>(code));
}

// ---- descriptors

/// What binds a function to its object, and does nothing else.
bool only_binds(PyTypeObject* type) {
    return type == &PyFunction_Type || type == &PyMethodDescr_Type || type == &PyWrapperDescr_Type
           || type == &PyClassMethodDescr_Type || type == &PyStaticMethod_Type || type == &PyClassMethod_Type
           || type == &PyInstanceMethod_Type;
}

/// The type's method, if that is written in Python, or else null.
PyObject* python_method(PyTypeObject* type, const char* method) {
    Ref name = Ref::steal(PyUnicode_InternFromString(method));
    PyObject* found = name ? _PyType_Lookup(type, name.get()) : nullptr;
    return is_function(found) ? found : nullptr;
}

/// An attribute that a descriptor computes. Where that is a library's code, it may do anything.
void record_descriptor(const Variable& variable, PyTypeObject* descriptor, unsigned flags) {
    bool in_c = !(descriptor->tp_flags & Py_TPFLAGS_HEAPTYPE);
    if (in_c && descriptor->tp_descr_set) return publish_possible(variable, flags);
    PyObject* method = python_method(descriptor, flags & kWrite ? "__set__" : "__get__");
    publish_possible(variable, flags, descriptor, method ? PyFunction_GET_CODE(method) : nullptr);
}

}  // namespace

void record_possible_attribute(PyObject* object, PyObject* name, unsigned flags) {
    PyTypeObject* type = Py_TYPE(object);
    if (is_thread_local(type) || (is_settled(object) && type != &PyFunction_Type)) return;
    PyObject* found = _PyType_Lookup(type, name);
    PyTypeObject* descriptor = found ? Py_TYPE(found) : nullptr;
    if (descriptor == &PyProperty_Type) return;  // its functions are watched
    bool in_class = type->tp_flags & Py_TPFLAGS_HEAPTYPE && found;
    if (in_class) publish_possible(attribute_of(class_that_has(type, name), name), 0);
    bool has_dict = type->tp_dictoffset || type->tp_flags & Py_TPFLAGS_MANAGED_DICT;
    if (!found) return has_dict ? publish_possible(own_attribute(object, name), flags) : void();
    if (only_binds(descriptor)) {
        if (has_dict && in_class) publish_possible(own_attribute(object, name), flags);
        return;
    }
    if (descriptor->tp_descr_get || descriptor->tp_descr_set)
        record_descriptor(own_attribute(object, name), descriptor, flags);
    else if (has_dict) publish_possible(own_attribute(object, name), flags);
}

void record_possible_method(PyTypeObject* type, PyObject* name) {
    if (type->tp_flags & Py_TPFLAGS_HEAPTYPE)
        publish_possible(attribute_of(class_that_has(type, name), name), 0);
}

void record_possible_item(PyObject* object, unsigned flags) {
    if (is_settled(object) || is_container(behind_view(object))) return;
    if (is_of_program(Py_TYPE(object))) {
        PyObject* method = python_method(Py_TYPE(object), "__getitem__");
        if (!method) method = python_method(Py_TYPE(object), "__contains__");
        return method ? record_library_call(method, object) : void();
    }
    publish_possible(structure_of(object), flags & kWrite);
}

// ---- iterators

namespace {

/// For tp_traverse of an iterator: the containers and iterators that it goes over.
int follow(PyObject* object, void*) {
    if (is_container(object)) publish_possible(structure_of(object), kIterate);
    else if (PyIter_Check(object)) record_possible_advance(object);
    else if (PyTuple_CheckExact(object))
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(object); ++i)
            follow(PyTuple_GET_ITEM(object, i), nullptr);
    return 0;
}

}  // namespace

void record_possible_advance(PyObject* iterator) {
    PyTypeObject* type = Py_TYPE(iterator);
    if (PyGen_Check(iterator)) {
        if (!PyUnstable_Object_IsUniquelyReferenced(iterator)) change(iterator);
        return;
    }
    if (!PyIter_Check(iterator) || is_of_program(type)) return;
    if (!PyUnstable_Object_IsUniquelyReferenced(iterator)) change(iterator);
    if (type->tp_traverse) type->tp_traverse(iterator, follow, nullptr);
}

// ---- calls

namespace {

/// A function in C may change these arguments.
void change_arguments(PyObject* const* arguments, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
        PyObject* each = arguments[i];
        if (!each || is_settled(each)) continue;
        if (PyIter_Check(each)) record_possible_advance(each);
        else if (is_container(each) || !is_tracked(Py_TYPE(each))) change(each);
    }
}

/// Functions that record_call() knows: only iterators and unknown objects are left.
void advance_arguments(PyObject* const* arguments, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
        if (arguments[i] && !is_container(behind_view(arguments[i]))) change_arguments(arguments + i, 1);
}

/// o.__setattr__(name, value) and its like, of `object` or a type in C.
bool record_attribute_method(std::string_view name, PyObject* self, PyObject* attribute) {
    bool store = name == "__setattr__" || name == "__delattr__";
    if ((!store && name != "__getattribute__") || !attribute || !PyUnicode_CheckExact(attribute))
        return false;
    PyObject* interned = Py_NewRef(attribute);  // as in record_attribute_call()
    PyUnicode_InternInPlace(&interned);
    record_attribute(self, interned, home_of(Py_TYPE(self), interned, store), store ? unsigned{kWrite} : 0U,
                     false);
    return true;
}

void call_method(std::string_view name, PyObject* self, PyObject* const* arguments, std::size_t count) {
    if (!self || is_one_of(kViews, name)) return;
    if (record_attribute_method(name, self, count ? arguments[0] : nullptr) || is_settled(self)) return;
    if (PyIter_Check(self)) record_possible_advance(self);
    change(self);
    change_arguments(arguments, count);
}

void call_builtin(PyMethodDef* definition, PyObject* self, PyObject* const* arguments, std::size_t count) {
    if (is_intercepted(definition)) return;
    if (self && !PyModule_Check(self)) return call_method(definition->ml_name, self, arguments, count);
    if (!is_one_of(kHarmless, definition->ml_name)) change_arguments(arguments, count);
}

/// With `self` as the first of the arguments, if that is not there.
template <class Call>
void with_self(PyObject* self, PyObject* const* arguments, std::size_t count, Call&& call) {
    if (!self && count > 0) call(arguments[0], arguments + 1, count - 1);
    else call(self, arguments, count);
}

/// An object in C that is called: functools.partial, operator.itemgetter, a cache, a weak reference.
void call_object(PyObject* object, PyObject* const* arguments, std::size_t count) {
    PyTypeObject* type = Py_TYPE(object);
    if (std::string_view(type->tp_name) == "functools.partial") {
        Ref function = Ref::steal(PyObject_GetAttrString(object, "func"));
        if (!function) return PyErr_Clear();
        return record_possible_call(function.get(), nullptr, arguments, count);
    }
    if (is_of_program(type)) return;  // its __call__ is Python code
    publish_possible(structure_of(object), 0, type);
    change_arguments(arguments, count);
}

}  // namespace

void record_possible_call(PyObject* function, PyObject* self, PyObject* const* arguments, std::size_t count) {
    if (!function || !in_program()) return;
    PyTypeObject* type = Py_TYPE(function);
    if (type == &PyFunction_Type)
        return record_library_call(function, self ? self : count > 0 ? arguments[0] : nullptr);
    if (type == &PyMethod_Type && is_function(PyMethod_GET_FUNCTION(function)))
        return record_library_call(PyMethod_GET_FUNCTION(function), PyMethod_GET_SELF(function));
    if (type == &PyMethod_Type)
        return record_possible_call(PyMethod_GET_FUNCTION(function), nullptr, nullptr, 0);
    if (PyType_Check(function)) return advance_arguments(arguments, count);
    if (is_reader(function)) return advance_arguments(arguments, count);
    if (type == &PyMethodDescr_Type) {
        auto* definition = reinterpret_cast<PyMethodDescrObject*>(function)->d_method;
        return with_self(self, arguments, count, [&](PyObject* of, PyObject* const* rest, std::size_t left) {
            if (of) call_builtin(definition, of, rest, left);
        });
    }
    if (PyCFunction_Check(function))
        return call_builtin(reinterpret_cast<PyCFunctionObject*>(function)->m_ml,
                            PyCFunction_GET_SELF(function), arguments, count);
    if (type == &PyWrapperDescr_Type) {
        const char* name = reinterpret_cast<PyWrapperDescrObject*>(function)->d_base->name;
        return with_self(self, arguments, count, [&](PyObject* of, PyObject* const* rest, std::size_t left) {
            call_method(name, of, rest, left);
        });
    }
    if (std::string_view(type->tp_name) == "method-wrapper") {
        Ref of = Ref::steal(PyObject_GetAttrString(function, "__self__"));
        Ref name = Ref::steal(PyObject_GetAttrString(function, "__name__"));
        const char* text = name ? PyUnicode_AsUTF8(name.get()) : nullptr;
        if (of && text) call_method(text, of.get(), arguments, count);
        return PyErr_Clear();
    }
    if (type != &PyClassMethodDescr_Type) call_object(function, arguments, count);
}

}  // namespace threadproof::probe

#endif
