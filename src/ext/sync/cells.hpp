/// CellsObject: an atomic as a Python object. It is a count and a block of cells; AtomicInt and the other
/// single atomics have one cell, an AtomicIntArray many. The cells are not in the object's own memory,
/// because the threads that share the object also write its reference count.
#pragma once

#include <cstdarg>
#include <cstddef>
#include <string>

#include "core/sync/atomic_cell.hpp"
#include "ext/python/types.hpp"

namespace threadproof::ext {

template <class T>
struct CellsObject {
    PyObject_HEAD PyObject* weak_references;
    std::size_t count;
    AtomicCell<T>* cells;  ///< never null once the object is made

    AtomicCell<T>& cell() { return cells[0]; }
    AtomicCell<T>* begin() { return cells; }
    AtomicCell<T>* end() { return cells + count; }
    PyObject* object() { return reinterpret_cast<PyObject*>(this); }

    /// A new object of a type with `count` cells. Throws.
    static Ref make(PyTypeObject* type, std::size_t count) {
        return new_object(type, [count](PyObject* object) {
            auto& made = reinterpret_cast<CellsObject&>(*object);
            made.cells = new AtomicCell<T>[count];
            made.count = count;
        });
    }
    void destroy() noexcept { delete[] cells; }
};

inline const char* short_name(PyObject* self) { return last_name(Py_TYPE(self)->tp_name); }

/// Raises `error` with the message "Type.method() ...", or "Type() ..." for an empty method.
[[noreturn]] inline void fail(PyObject* error, PyObject* self, const char* method, const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    Ref text = Ref::steal(PyUnicode_FromFormatV(format, arguments));
    va_end(arguments);
    if (text) PyErr_Format(error, "%s%s%s() %U", short_name(self), *method ? "." : "", method, text.get());
    throw PythonError{};
}

inline void check_callable(PyObject* self, PyObject* fn) {
    if (!PyCallable_Check(fn))
        fail(PyExc_TypeError, self, "update", "wants fn(old) -> new, got %s", Py_TYPE(fn)->tp_name);
}

/// AtomicX(value): the only argument, or null. Throws.
inline PyObject* initial_value(PyTypeObject* type, PyObject* arguments, PyObject* names) {
    PyObject* value = nullptr;
    static const char* parameters[] = {"value", nullptr};
    std::string format = std::string("|O:") + last_name(type->tp_name);
    if (!PyArg_ParseTupleAndKeywords(arguments, names, format.c_str(), const_cast<char**>(parameters),
                                     &value))
        throw PythonError{};
    return value;
}

/// An AtomicStats. Throws.
PyObject* make_stats(unsigned long long contended);

template <class T>
PyObject* cells_stats(CellsObject<T>& self, PyObject*) {
    unsigned long long contended = 0;
    // relaxed: a metric
    for (AtomicCell<T>& cell : self) contended += cell.contended.load(std::memory_order_relaxed);
    return make_stats(contended);
}

template <class T>
PyMethodDef stats_method() {
    return {"stats", method<cells_stats<T>>(), METH_NOARGS,
            "stats($self, /)\n--\n\nHow contended it is: an AtomicStats."};
}

/// These add their types to the module. They throw.
void add_numbers(PyObject* module);
void add_array(PyObject* module);
void add_reference(PyObject* module);

}  // namespace threadproof::ext
