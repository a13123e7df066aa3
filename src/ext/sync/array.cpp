/// AtomicIntArray: many cells.
#include "core/base/thread_number.hpp"
#include "ext/python/refcount.hpp"
#include "ext/sync/cell_methods.hpp"

namespace threadproof::ext {
namespace {

using Object = CellsObject<std::int64_t>;

/// fetch_add at an index that depends on the thread: threads that count together need not write the same
/// cell.
PyObject* array_add(Object& self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    Arguments<1> arguments("add", given, count, names, 0, 1, {"delta"});
    std::int64_t by = arguments[0] ? Int::value(self.object(), "add", arguments[0]) : 1, old;
    std::size_t index = thread_number() % self.count;
    if (probe::atomic_is_watched())
        probe::write_atomic({self.object(), static_cast<std::int64_t>(index), false, Use::kAtomic}, true);
    auto& cell = self.cells[index];
    auto step = [by](std::int64_t value, std::int64_t* sum) { return Add::step(value, by, sum); };
    // relaxed: a count orders nothing
    if (!change(cell, step, &old, std::memory_order_relaxed))
        raise_overflow<Int>(self.object(), "add", old, "+", by);
    Py_RETURN_NONE;
}

PyObject* array_sum(Object& self, PyObject*) {
    // a Python int: the sum of 64-bit numbers may need more bits
    Ref total = Ref::steal(checked(PyLong_FromLong(0)));
    for (auto& cell : self) {
        if (probe::atomic_is_watched())
            probe::about_to_read(probe::AtomicStep{.atomic = self.object(), .index = &cell - self.cells});
        Ref value = Ref::steal(checked(Int::object(load(cell, std::memory_order_seq_cst))));
        if (probe::atomic_is_watched())
            probe::read_atomic({self.object(), &cell - self.cells, true, Use::kAtomic}, true);
        total = Ref::steal(checked(PyNumber_Add(total.get(), value.get())));
    }
    return total.release();
}

PyObject* array_repr(Object& self) {
    Ref values = Ref::steal(checked(PyList_New(0)));
    for (auto& cell : self) {
        Ref value = Ref::steal(checked(Int::object(load(cell, std::memory_order_seq_cst))));
        if (PyList_Append(values.get(), value.get()) < 0) throw PythonError{};
    }
    return PyUnicode_FromFormat("<%s %R>", short_name(self.object()), values.get());
}

Py_ssize_t array_length(Object& self) { return static_cast<Py_ssize_t>(self.count); }

PyObject* array_new(PyTypeObject* type, PyObject* arguments, PyObject* names) {
    Py_ssize_t length;
    static const char* parameters[] = {"length", nullptr};
    if (!PyArg_ParseTupleAndKeywords(arguments, names, "n:AtomicIntArray", const_cast<char**>(parameters),
                                     &length))
        throw PythonError{};
    if (length < 1) {
        PyErr_Format(PyExc_ValueError, "AtomicIntArray() wants a length of at least 1, got %zd", length);
        throw PythonError{};
    }
    Ref self = Object::make(type, static_cast<std::size_t>(length));
    // or threads that share an array would wait for each other at its reference count, whichever cells they
    // use
    defer_counting(self.get());
    return self.release();
}

const PyMethodDef* array_methods() {
    std::vector<Row> rows;
    add_common<Many<Int>>(rows);
    add_arithmetic<Many<Int>>(rows);
    add_bits<Many<Int>>(rows);
    return methods_of(
        true, rows,
        {
            {"add", method<array_add>(), kNamed,
             "add($self, /, delta=1)\n--\n\nAdd `delta` to one of the numbers, which depends on "
             "the calling thread.\n\nOne atomic, relaxed step; never blocks. Threads that count "
             "with this seldom write the same\nnumber, and `sum` returns the count."},
            {"sum", method<array_sum>(), METH_NOARGS,
             "sum($self, /)\n--\n\nThe sum of all numbers, of any size.\n\nEach number is one "
             "atomic read: while others add, the sum lies between those before and after the\n"
             "call if all add with one sign."},
            stats_method<std::int64_t>(),
        });
}

}  // namespace

void add_array(PyObject* module) {
    TypeBuilder<Object>(
        "threadproof.sync.AtomicIntArray",
        "AtomicIntArray(length)\n--\n\nThat many 64-bit ints, at first 0, each alone on its cache "
        "lines: threads that change different ones do not\nslow each other down. To count in "
        "many threads, see `add` and `sum`.\n\nOn free-threaded Python an array is freed by the "
        "garbage collector, not with its last reference: counting\nreferences would make the "
        "threads wait for each other.")
        .subclassable()
        .with<array_new>(Py_tp_new)
        .with<array_repr>(Py_tp_repr)
        .with<array_length>(Py_sq_length)
        .methods(array_methods())
        .add_to(module);
}

}  // namespace threadproof::ext
