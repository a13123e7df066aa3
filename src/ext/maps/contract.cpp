#include "ext/maps/contract.hpp"

#include <cstring>

#include "ext/probe/events.hpp"
#include "ext/python/entry.hpp"
#include "ext/python/provided.hpp"

namespace threadproof::ext {
namespace {

bool is_callable(PyObject* object) { return PyCallable_Check(object); }

Provided check_function("check_function", "a function", is_callable);
Provided check_lengths("check_lengths", "a function", is_callable);

bool is_dict_type(PyObject* cls) {
    return PyType_Check(cls) && PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(cls), &PyDict_Type);
}
Provided frozen_dict("FrozenDict", "a subclass of dict", is_dict_type);

[[noreturn]] void raise_accepted(const char* check) {
    PyErr_Format(PyExc_SystemError, "%s() accepted what the native map refused", check);
    throw PythonError{};
}

bool is_async_code(PyObject* function) {
    auto* code = reinterpret_cast<PyCodeObject*>(PyFunction_GET_CODE(function));
    return code->co_flags & (CO_COROUTINE | CO_ASYNC_GENERATOR);
}

PyObject* is_async_function(PyObject*, PyObject* fn) { return PyBool_FromLong(is_async(fn)); }

/// owner.name = function(); no signal handler runs between the function's end and the assignment. What the function
/// did is published for later observers of `sync` before anybody can see the result, and if it raises as well.
PyObject* call_into(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
    if (count != 4) {
        PyErr_SetString(PyExc_TypeError,
                        "call_into() wants an object, a name, a function and an object to order by");
        throw PythonError{};
    }
    Ref result = Ref::steal(PyObject_CallNoArgs(arguments[2]));
    probe::publish(probe::OrderEvent{probe::OrderStep::kPublish, arguments[3]});
    if (!result || PyObject_SetAttr(arguments[0], arguments[1], result.get()) < 0) throw PythonError{};
    Py_RETURN_NONE;
}

PyMethodDef functions[] = {
    {"call_into", method<call_into>(), METH_FASTCALL,
     "call_into(owner, name, fn, sync, /)\n--\n\nSet an attribute to fn(), which no interrupt divides."},
    {"is_async", method<is_async_function>(), METH_O,
     "is_async(fn, /)\n--\n\nWhether calling it gives a coroutine or an asynchronous generator."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

PyObject* frozen_dict_type() { return frozen_dict.get(); }

bool is_async(PyObject* fn) {
    if (PyFunction_Check(fn)) return is_async_code(fn);
    if (PyMethod_Check(fn)) return is_async(PyMethod_GET_FUNCTION(fn));
    if (PyCFunction_Check(fn) || PyType_Check(fn)) return false;
    // a functools.partial, or an object with a method __call__
    const char* wrapped = std::strcmp(Py_TYPE(fn)->tp_name, "functools.partial") == 0 ? "func" : "__call__";
    Ref inner = Ref::steal(PyObject_GetAttrString(fn, wrapped));
    if (!inner) {
        PyErr_Clear();
        return false;
    }
    if (PyMethod_Check(inner.get()) || PyFunction_Check(inner.get())) return is_async(inner.get());
    return wrapped[0] == 'f' && is_async(inner.get());
}

void refuse_coroutine(PyObject* coroutine) {
    Ref closed = Ref::steal(PyObject_CallMethod(coroutine, "close", nullptr));
    if (!closed) throw PythonError{};
    PyErr_Format(
        PyExc_TypeError,
        "the function returned a coroutine, %R, and a map would keep it: only its first reader could await "
        "it; let the function return a task or a future, or await outside and store the result",
        coroutine);
    throw PythonError{};
}

void note_addition(PyObject* owner, PyObject* key) {
    Raised raised;
    raised.fetch();
    Ref note = Ref::steal(PyUnicode_FromFormat("in %s.add() at key %R", Py_TYPE(owner)->tp_name, key));
    Ref noted = note ? Ref::steal(PyObject_CallMethod(raised.get(), "add_note", "O", note.get())) : Ref();
    if (!noted) PyErr_Clear();  // the error that is noted is the one to be shown
    raised.restore();
}

void add_contract(PyObject* module) {
    if (PyModule_AddFunctions(module, functions) < 0) throw PythonError{};
}

void refuse_function(PyObject* owner, const char* method, PyObject* fn) {
    Ref result = Ref::steal(checked(PyObject_CallFunction(check_function.get(), "OsO", owner, method, fn)));
    raise_accepted(check_function.name());
}

void refuse_lengths(PyObject* owner, Py_ssize_t keys, Py_ssize_t values) {
    Ref result = Ref::steal(checked(PyObject_CallFunction(check_lengths.get(), "Onn", owner, keys, values)));
    raise_accepted(check_lengths.name());
}

}  // namespace threadproof::ext
