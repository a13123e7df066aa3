/// Atomic cells as Python types. A method makes values of its arguments, makes one call on the core, and
/// makes an object of the answer; so nothing Python could interrupt happens within the atomic step.
///
/// An object of every type here is a count and a block of cells; a single atomic has one, AtomicIntArray
/// many. The cells are apart from the object, whose reference count the threads that share it write as well.
#include "ext/sync/atomics.hpp"

#include <structmember.h>

#include <cstdarg>
#include <cstring>
#include <string>
#include <vector>

#include "core/base/thread_number.hpp"
#include "core/sync/atomic_cell.hpp"

namespace threadproof::ext {
namespace {

template <class T>
struct CellsObject {
    PyObject_HEAD PyObject* weak_references;
    std::size_t count;
    AtomicCell<T>* cells;  ///< never null, once the object is made
};

template <class T>
CellsObject<T>* as_cells(PyObject* self) {
    return reinterpret_cast<CellsObject<T>*>(self);
}

const char* short_name(PyObject* self) {
    const char* dot = std::strrchr(Py_TYPE(self)->tp_name, '.');
    return dot ? dot + 1 : Py_TYPE(self)->tp_name;
}

/// Raises `error` with the words "Type.method() ...".
[[noreturn]] void fail(PyObject* error, PyObject* self, const char* method, const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    Ref words = Ref::steal(PyUnicode_FromFormatV(format, arguments));
    va_end(arguments);
    if (words) PyErr_Format(error, "%s%s%s() %U", short_name(self), *method ? "." : "", method, words.get());
    throw PythonError{};
}

// ---- values

struct Int {
    using Value = std::int64_t;
    static PyObject* object(Value value) { return PyLong_FromLongLong(value); }
    static Value value(PyObject* self, const char* method, PyObject* given) {
        if (!PyIndex_Check(given))
            fail(PyExc_TypeError, self, method, "wants an int, got %s", Py_TYPE(given)->tp_name);
        Ref index = Ref::steal(checked(outliving([&] { return PyNumber_Index(given); })));
        int overflow;
        Value value = PyLong_AsLongLongAndOverflow(index.get(), &overflow);
        if (overflow)
            fail(PyExc_OverflowError, self, method, "takes ints from -2**63 to 2**63 - 1, got %R",
                 index.get());
        return value;
    }
};

struct Float {
    using Value = double;
    static PyObject* object(Value value) { return PyFloat_FromDouble(value); }
    static Value value(PyObject* self, const char* method, PyObject* given) {
        if (!PyFloat_Check(given) && !PyIndex_Check(given))
            fail(PyExc_TypeError, self, method, "wants a float, got %s", Py_TYPE(given)->tp_name);
        Value value = outliving([&] { return PyFloat_AsDouble(given); });
        if (value == -1 && PyErr_Occurred()) throw PythonError{};
        return value;
    }
};

struct Flag {
    using Value = bool;
    static PyObject* object(Value value) { return PyBool_FromLong(value); }
    static Value value(PyObject* self, const char* method, PyObject* given) {
        if (!PyBool_Check(given)) fail(PyExc_TypeError, self, method, "wants True or False, got %R", given);
        return given == Py_True;
    }
};

// ---- orders

enum class Access { kLoad, kStore, kChange };

constexpr struct {
    const char* name;
    std::memory_order order;
    bool loads, stores;
} kOrders[] = {
    {"relaxed", std::memory_order_relaxed, true, true},  {"acquire", std::memory_order_acquire, true, false},
    {"release", std::memory_order_release, false, true}, {"acq_rel", std::memory_order_acq_rel, false, false},
    {"seq_cst", std::memory_order_seq_cst, true, true},
};

std::memory_order order_of(PyObject* self, const char* method, PyObject* given, Access access) {
    if (!given) return std::memory_order_seq_cst;
    for (const auto& known : kOrders) {
        if (!PyUnicode_Check(given) || PyUnicode_CompareWithASCIIString(given, known.name) != 0) continue;
        if (access == Access::kChange || (access == Access::kLoad ? known.loads : known.stores))
            return known.order;
    }
    fail(PyExc_ValueError, self, method, "cannot have the order %R, only %s or 'seq_cst'", given,
         access == Access::kLoad    ? "'relaxed', 'acquire'"
         : access == Access::kStore ? "'relaxed', 'release'"
                                    : "'relaxed', 'acquire', 'release', 'acq_rel'");
}

// ---- arguments

/// A type with one cell: its methods need no index.
template <class K>
struct One {
    using Kind = K;
    using Value = typename K::Value;
    static constexpr int kIndex = 0;
    static AtomicCell<Value>& cell(PyObject* self, const char*, PyObject*) {
        return as_cells<Value>(self)->cells[0];
    }
};

/// A type with many: the first argument of its methods says which.
template <class K>
struct Many {
    using Kind = K;
    using Value = typename K::Value;
    static constexpr int kIndex = 1;
    static AtomicCell<Value>& cell(PyObject* self, const char* method, PyObject* given) {
        if (!PyIndex_Check(given))
            fail(PyExc_TypeError, self, method, "wants an int as index, got %s", Py_TYPE(given)->tp_name);
        Py_ssize_t count = static_cast<Py_ssize_t>(as_cells<Value>(self)->count);
        // far beyond is clipped, and refused below
        Py_ssize_t index = outliving([&] { return PyNumber_AsSsize_t(given, nullptr); });
        if (index == -1 && PyErr_Occurred()) throw PythonError{};
        if (index < -count || index >= count)
            fail(PyExc_IndexError, self, method, "has no number %R, as its length is %zd", given, count);
        return as_cells<Value>(self)->cells[index < 0 ? index + count : index];
    }
};

template <int kMost>
struct Names {
    const char* names[kMost];
};

/// The names of a method's arguments: the index first, if there is one, and the order last.
template <class Owner, class... Operands>
constexpr auto parameters(Operands... operands) {
    if constexpr (Owner::kIndex) return Names<sizeof...(Operands) + 2>{{"index", operands..., "order"}};
    else return Names<sizeof...(Operands) + 1>{{operands..., "order"}};
}

/// The arguments of a method: which cell, up to two operands, and the order.
template <class Owner, int kOperands>
class Call {
 public:
    using Value = typename Owner::Value;

    template <class... Operands>
    Call(PyObject* self, const char* method, PyObject* const* given, Py_ssize_t count, PyObject* names,
         Access access, int required, Operands... operands)
        : self_(self),
          method_(method),
          arguments_(method, given, count, names, Owner::kIndex + required, Owner::kIndex + kOperands,
                     parameters<Owner>(operands...).names),
          cell(Owner::cell(self, method, arguments_[0])),
          order(order_of(self, method, arguments_[Owner::kIndex + kOperands], access)) {}

    Value value(int operand) const {
        return Owner::Kind::value(self_, method_, arguments_[Owner::kIndex + operand]);
    }
    Value value(int operand, Value otherwise) const {
        return arguments_[Owner::kIndex + operand] ? value(operand) : otherwise;
    }
    PyObject* object(int operand) const { return arguments_[Owner::kIndex + operand]; }

 private:
    PyObject* self_;
    const char* method_;
    Arguments<Owner::kIndex + kOperands + 1> arguments_;

 public:
    AtomicCell<Value>& cell;
    const std::memory_order order;
};

// ---- methods of numbers and flags

template <class Owner>
PyObject* cell_load(PyObject* self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    Call<Owner, 0> call(self, "load", given, count, names, Access::kLoad, 0);
    return Owner::Kind::object(load(call.cell, call.order));
}

template <class Owner>
PyObject* cell_store(PyObject* self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    Call<Owner, 1> call(self, "store", given, count, names, Access::kStore, 1, "value");
    store(call.cell, call.value(0), call.order);
    Py_RETURN_NONE;
}

template <class Owner>
PyObject* cell_exchange(PyObject* self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    Call<Owner, 1> call(self, "exchange", given, count, names, Access::kChange, 1, "value");
    return Owner::Kind::object(exchange(call.cell, call.value(0), call.order));
}

template <class Owner>
PyObject* cell_compare_exchange(PyObject* self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    Call<Owner, 2> call(self, "compare_exchange", given, count, names, Access::kChange, 2, "expected", "new");
    auto expected = call.value(0), fresh = call.value(1);
    return PyBool_FromLong(compare_exchange(call.cell, expected, fresh, call.order));
}

struct Add {
    static constexpr const char *kMethod = "fetch_add", *kSign = "+";
    static bool step(std::int64_t a, std::int64_t b, std::int64_t* sum) {
        return !__builtin_add_overflow(a, b, sum);
    }
    static bool step(double a, double b, double* sum) { return *sum = a + b, true; }
};
struct Subtract {
    static constexpr const char *kMethod = "fetch_sub", *kSign = "-";
    static bool step(std::int64_t a, std::int64_t b, std::int64_t* difference) {
        return !__builtin_sub_overflow(a, b, difference);
    }
    static bool step(double a, double b, double* difference) { return *difference = a - b, true; }
};

template <class K>
[[noreturn]] void overflow(PyObject* self, const char* method, typename K::Value old, const char* sign,
                           typename K::Value by) {
    Ref left = Ref::steal(checked(K::object(old))), right = Ref::steal(checked(K::object(by)));
    fail(PyExc_OverflowError, self, method,
         "left the value as it is: %R %s %R is not in -2**63 to 2**63 - 1; an AtomicReference can hold any "
         "int",
         left.get(), sign, right.get());
}

/// fetch_add and fetch_sub: the value changes unless the result does not fit.
template <class Owner, class Operation>
PyObject* cell_fetch(PyObject* self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    using Value = typename Owner::Value;
    Call<Owner, 1> call(self, Operation::kMethod, given, count, names, Access::kChange, 0, "delta");
    Value by = call.value(0, 1), old;
    auto step = [by](Value value, Value* fresh) { return Operation::step(value, by, fresh); };
    if (!change(call.cell, step, &old, call.order))
        overflow<typename Owner::Kind>(self, Operation::kMethod, old, Operation::kSign, by);
    return Owner::Kind::object(old);
}

struct And {
    static constexpr const char *kMethod = "fetch_and", *kOperand = "mask";
    static std::int64_t step(std::int64_t a, std::int64_t b) { return a & b; }
};
struct Or {
    static constexpr const char *kMethod = "fetch_or", *kOperand = "mask";
    static std::int64_t step(std::int64_t a, std::int64_t b) { return a | b; }
};
struct Xor {
    static constexpr const char *kMethod = "fetch_xor", *kOperand = "mask";
    static std::int64_t step(std::int64_t a, std::int64_t b) { return a ^ b; }
};
struct Max {
    static constexpr const char *kMethod = "fetch_max", *kOperand = "value";
    template <class Value>
    static Value step(Value a, Value b) {
        return b > a ? b : a;
    }
};
struct Min {
    static constexpr const char *kMethod = "fetch_min", *kOperand = "value";
    template <class Value>
    static Value step(Value a, Value b) {
        return b < a ? b : a;
    }
};

/// The other fetch_ methods: there always is a result.
template <class Owner, class Operation>
PyObject* cell_combine(PyObject* self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    using Value = typename Owner::Value;
    Call<Owner, 1> call(self, Operation::kMethod, given, count, names, Access::kChange, 1,
                        Operation::kOperand);
    Value operand = call.value(0), old;
    change(
        call.cell,
        [operand](Value value, Value* fresh) { return *fresh = Operation::step(value, operand), true; }, &old,
        call.order);
    return Owner::Kind::object(old);
}

void check_callable(PyObject* self, PyObject* fn) {
    if (!PyCallable_Check(fn))
        fail(PyExc_TypeError, self, "update", "wants fn(old) -> new, got %s", Py_TYPE(fn)->tp_name);
}

template <class Owner>
PyObject* cell_update(PyObject* self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    Call<Owner, 1> call(self, "update", given, count, names, Access::kChange, 1, "fn");
    PyObject* fn = call.object(0);
    check_callable(self, fn);
    for (;;) {
        auto old = load(call.cell, std::memory_order_seq_cst);
        Ref argument = Ref::steal(checked(Owner::Kind::object(old)));
        Ref result = Ref::steal(checked(outliving([&] { return PyObject_CallOneArg(fn, argument.get()); })));
        auto fresh = Owner::Kind::value(self, "update", result.get());
        if (compare_exchange(call.cell, old, fresh, call.order)) return Owner::Kind::object(fresh);
        call.cell.contended.fetch_add(1, std::memory_order_relaxed);  // a figure for stats()
    }
}

template <class K>
PyObject* number_repr(PyObject* self) {
    Ref value = Ref::steal(
        checked(K::object(load(as_cells<typename K::Value>(self)->cells[0], std::memory_order_seq_cst))));
    return PyUnicode_FromFormat("%s(%R)", short_name(self), value.get());
}

int flag_bool(PyObject* self) { return load(as_cells<bool>(self)->cells[0], std::memory_order_seq_cst); }

// ---- AtomicIntArray

AtomicCell<std::int64_t>* begin_of(PyObject* self) { return as_cells<std::int64_t>(self)->cells; }
AtomicCell<std::int64_t>* end_of(PyObject* self) {
    return begin_of(self) + as_cells<std::int64_t>(self)->count;
}

/// fetch_add at an index the thread chooses: what threads count together, they need not count in one place.
PyObject* array_add(PyObject* self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    Arguments<1> arguments("add", given, count, names, 0, 1, {"delta"});
    std::int64_t by = arguments[0] ? Int::value(self, "add", arguments[0]) : 1, old;
    auto& cell = begin_of(self)[thread_number() % as_cells<std::int64_t>(self)->count];
    auto step = [by](std::int64_t value, std::int64_t* sum) { return Add::step(value, by, sum); };
    // relaxed: a count orders nothing
    if (!change(cell, step, &old, std::memory_order_relaxed)) overflow<Int>(self, "add", old, "+", by);
    Py_RETURN_NONE;
}

PyObject* array_sum(PyObject* self, PyObject*) {
    // a Python int: the sum of 64-bit numbers may need more
    Ref total = Ref::steal(checked(PyLong_FromLong(0)));
    for (auto* cell = begin_of(self); cell != end_of(self); ++cell) {
        Ref value = Ref::steal(checked(Int::object(load(*cell, std::memory_order_seq_cst))));
        total = Ref::steal(checked(PyNumber_Add(total.get(), value.get())));
    }
    return total.release();
}

PyObject* array_repr(PyObject* self) {
    Ref values = Ref::steal(checked(PyList_New(0)));
    for (auto* cell = begin_of(self); cell != end_of(self); ++cell) {
        Ref value = Ref::steal(checked(Int::object(load(*cell, std::memory_order_seq_cst))));
        if (PyList_Append(values.get(), value.get()) < 0) throw PythonError{};
    }
    return PyUnicode_FromFormat("<%s %R>", short_name(self), values.get());
}

Py_ssize_t array_length(PyObject* self) {
    return static_cast<Py_ssize_t>(as_cells<std::int64_t>(self)->count);
}

// ---- AtomicReference

using ReferenceCell = AtomicCell<PyObject*>;

ReferenceCell& reference_cell(PyObject* self) { return as_cells<PyObject*>(self)->cells[0]; }

/// A reference to the object in the cell. Between reading its address and counting a reference another thread
/// may take the object out and drop it; so count only if it is alive, and look again: if it is still there,
/// it was there all the time or again, and either way the reference is to what the cell holds. No lock is
/// needed, since put_in() lets every object be counted this way, and a dead one stays readable for as long as
/// anybody may look (see try_incref).
PyObject* held(ReferenceCell& cell) {
    for (;;) {
        // acquire: pairs with put_in(); shows the object
        PyObject* object = cell.value.load(std::memory_order_acquire);
        bool counted = try_incref(object);
        // acquire: not before the count
        if (counted && cell.value.load(std::memory_order_acquire) == object) return object;
        if (counted) drop_reference(object);
        cell.contended.fetch_add(1, std::memory_order_relaxed);  // a figure for stats()
    }
}

/// One reference to the object, for a cell to own.
PyObject* for_cell(PyObject* object) {
    allow_try_incref(object);
    return Py_NewRef(object);
}

/// Puts the object in and takes the old one out, with the cell's reference to it.
Ref put_in(ReferenceCell& cell, PyObject* object) {
    return Ref::steal(cell.value.exchange(for_cell(object), std::memory_order_seq_cst));
}

/// The same if the object there is `expected`. The caller holds that, so its address is nobody else's
/// meanwhile.
bool put_in_place_of(ReferenceCell& cell, PyObject* expected, PyObject* object) {
    Ref fresh = Ref::steal(for_cell(object));
    PyObject* seen = expected;
    if (!cell.value.compare_exchange_strong(seen, fresh.get(), std::memory_order_seq_cst)) return false;
    fresh.release();
    Ref old = Ref::steal(seen);
    return true;
}

PyObject* reference_load(PyObject* self, PyObject*) { return held(reference_cell(self)); }

PyObject* reference_store(PyObject* self, PyObject* object) {
    put_in(reference_cell(self), object);
    Py_RETURN_NONE;
}

PyObject* reference_exchange(PyObject* self, PyObject* object) {
    return put_in(reference_cell(self), object).release();
}

PyObject* reference_compare_exchange(PyObject* self, PyObject* const* given, Py_ssize_t count,
                                     PyObject* names) {
    Arguments<2> arguments("compare_exchange", given, count, names, 2, 2, {"expected", "new"});
    return PyBool_FromLong(put_in_place_of(reference_cell(self), arguments[0], arguments[1]));
}

PyObject* reference_update(PyObject* self, PyObject* fn) {
    check_callable(self, fn);
    for (;;) {
        Ref old = Ref::steal(held(reference_cell(self)));
        Ref fresh = Ref::steal(checked(outliving([&] { return PyObject_CallOneArg(fn, old.get()); })));
        if (put_in_place_of(reference_cell(self), old.get(), fresh.get())) return fresh.release();
        reference_cell(self).contended.fetch_add(1, std::memory_order_relaxed);  // a figure for stats()
    }
}

PyObject* reference_repr(PyObject* self) {
    int inside = Py_ReprEnter(self);
    if (inside < 0) throw PythonError{};
    if (inside) return PyUnicode_FromFormat("%s(...)", short_name(self));
    Ref object = Ref::steal(held(reference_cell(self)));
    PyObject* words =
        outliving([&] { return PyUnicode_FromFormat("%s(%R)", short_name(self), object.get()); });
    Py_ReprLeave(self);
    return words;
}

int reference_traverse(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    // the world stands
    if (as_cells<PyObject*>(self)->cells)
        Py_VISIT(reference_cell(self).value.load(std::memory_order_relaxed));
    return 0;
}

int reference_clear(PyObject* self) {
    if (as_cells<PyObject*>(self)->cells) put_in(reference_cell(self), Py_None);
    return 0;
}

// ---- life

template <class T>
Ref made(PyTypeObject* type, std::size_t count) {
    Ref self = Ref::steal(checked(type->tp_alloc(type, 0)));
    as_cells<T>(self.get())->cells = new AtomicCell<T>[count];
    as_cells<T>(self.get())->count = count;
    return self;
}

/// AtomicX(value): the only argument, or null.
PyObject* initial_value(PyTypeObject* type, PyObject* arguments, PyObject* names) {
    PyObject* value = nullptr;
    static const char* parameters[] = {"value", nullptr};
    std::string format =
        std::string("|O:")
        + (std::strrchr(type->tp_name, '.') ? std::strrchr(type->tp_name, '.') + 1 : type->tp_name);
    if (!PyArg_ParseTupleAndKeywords(arguments, names, format.c_str(), const_cast<char**>(parameters),
                                     &value))
        throw PythonError{};
    return value;
}

template <class K>
PyObject* number_new(PyTypeObject* type, PyObject* arguments, PyObject* names) {
    using Value = typename K::Value;
    PyObject* given = initial_value(type, arguments, names);
    Ref self = made<Value>(type, 1);
    // nobody looks yet
    if (given)
        store(as_cells<Value>(self.get())->cells[0], K::value(self.get(), "", given),
              std::memory_order_relaxed);
    return self.release();
}

PyObject* reference_new(PyTypeObject* type, PyObject* arguments, PyObject* names) {
    PyObject* given = initial_value(type, arguments, names);
    Ref self = made<PyObject*>(type, 1);
    // release: pairs with held()
    reference_cell(self.get()).value.store(for_cell(given ? given : Py_None), std::memory_order_release);
    return self.release();
}

/// Threads that share an array would otherwise wait for each other at its reference count, whatever cells
/// they use.
void defer_counting(PyObject* self) {
#ifdef Py_GIL_DISABLED
    PyUnstable_Object_EnableDeferredRefcount(self);
#else
    (void)self;
#endif
}

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
    Ref self = made<std::int64_t>(type, static_cast<std::size_t>(length));
    defer_counting(self.get());
    return self.release();
}

int cells_traverse(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    return 0;
}

template <class T>
void cells_dealloc(PyObject* self) {
    PyObject_GC_UnTrack(self);
    PyTypeObject* type = Py_TYPE(self);
    if (as_cells<T>(self)->weak_references) PyObject_ClearWeakRefs(self);
    delete[] as_cells<T>(self)->cells;
    type->tp_free(self);
    Py_DECREF(type);
}

/// References to references may be nested as deep as one likes: the trashcan frees them with no deep
/// recursion.
void reference_dealloc(PyObject* self) {
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, reference_dealloc)
        // acquire: pairs with put_in()
        if (as_cells<PyObject*>(self)->cells)
            drop_reference(reference_cell(self).value.load(std::memory_order_acquire));
    cells_dealloc<PyObject*>(self);
    Py_TRASHCAN_END
}

template <class T>
PyObject* cells_stats(PyObject* self, PyObject*) {
    unsigned long long contended = 0;
    for (std::size_t i = 0; i < as_cells<T>(self)->count; ++i)
        contended += as_cells<T>(self)->cells[i].contended.load(std::memory_order_relaxed);
    Ref module = Ref::steal(checked(PyImport_ImportModule("threadproof.sync.atomics")));
    return PyObject_CallMethod(module.get(), "AtomicStats", "K", contended);
}

// ---- what Python sees

constexpr int kNamed = METH_FASTCALL | METH_KEYWORDS;

/// A method that single atomics and arrays share: its documentation is put together from the parts that
/// differ.
struct Row {
    const char* name;
    PyCFunction function;
    const char* signature;  ///< after self and the index
    const char* words;
};

/// The definitions live as long as the process, as the types do.
PyMethodDef* methods_of(bool indexed, const std::vector<Row>& rows, const std::vector<PyMethodDef>& others) {
    auto& methods = *new std::vector<PyMethodDef>(others);
    for (const Row& row : rows) {
        const char* first = indexed ? "($self, index, " : "($self, ";
        auto* text = new std::string(std::string(row.name) + first + row.signature + ")\n--\n\n" + row.words);
        methods.push_back({row.name, row.function, kNamed, text->c_str()});
    }
    methods.push_back({nullptr, nullptr, 0, nullptr});
    return methods.data();
}

#define TP_ORDERED "One atomic step; waits for nobody. `order` is the step's memory order, by its C++ name."

template <class Owner>
void add_common(std::vector<Row>& rows) {
    rows.insert(
        rows.end(),
        {
            {"load", method<cell_load<Owner>>(), "/, *, order='seq_cst'", "The value. " TP_ORDERED},
            {"store", method<cell_store<Owner>>(), "value, /, *, order='seq_cst'",
             "Set the value. " TP_ORDERED},
            {"exchange", method<cell_exchange<Owner>>(), "value, /, *, order='seq_cst'",
             "Set the value, and return the old one. " TP_ORDERED},
            {"compare_exchange", method<cell_compare_exchange<Owner>>(),
             "expected, new, /, *, order='seq_cst'",
             "Set the value to `new` if it equals `expected`; return whether it did.\n\n" TP_ORDERED
             " Where it did not,\nthe step was a read. Numbers are equal as == has it, and NaN equals NaN."},
        });
}

template <class Owner>
void add_arithmetic(std::vector<Row>& rows) {
    rows.insert(
        rows.end(),
        {
            {"fetch_add", method<cell_fetch<Owner, Add>>(), "/, delta=1, *, order='seq_cst'",
             "Add `delta`; return the value from before.\n\n" TP_ORDERED
             " An int that would not fit into\n64 bits is an OverflowError, and "
             "nothing has changed."},
            {"fetch_sub", method<cell_fetch<Owner, Subtract>>(), "/, delta=1, *, order='seq_cst'",
             "Subtract `delta`; return the value from before. Otherwise as `fetch_add`."},
            {"fetch_max", method<cell_combine<Owner, Max>>(), "value, /, *, order='seq_cst'",
             "Set the value to `value` if that is greater; return the value from before. " TP_ORDERED},
            {"fetch_min", method<cell_combine<Owner, Min>>(), "value, /, *, order='seq_cst'",
             "Set the value to `value` if that is less; return the value from before. " TP_ORDERED},
            {"update", method<cell_update<Owner>>(), "fn, /, *, order='seq_cst'",
             "Set the value to `fn(value)`; return the new value.\n\n`fn` runs holding nothing. It runs "
             "again whenever another thread changed "
             "the value meanwhile, so it\nmay run several times and must not change this atomic itself. The "
             "atomic step is the last run's\n"
             "store. What `fn` raises reaches the caller, and nothing has changed."},
        });
}

template <class Owner>
void add_bits(std::vector<Row>& rows) {
    rows.insert(rows.end(),
                {
                    {"fetch_and", method<cell_combine<Owner, And>>(), "mask, /, *, order='seq_cst'",
                     "Keep the bits that are in `mask` too; return the value from before. " TP_ORDERED},
                    {"fetch_or", method<cell_combine<Owner, Or>>(), "mask, /, *, order='seq_cst'",
                     "Set the bits of `mask`; return the value from before. " TP_ORDERED},
                    {"fetch_xor", method<cell_combine<Owner, Xor>>(), "mask, /, *, order='seq_cst'",
                     "Flip the bits of `mask`; return the value from before. " TP_ORDERED},
                });
}

template <class T>
PyMethodDef stats_method() {
    return {"stats", method<cells_stats<T>>(), METH_NOARGS,
            "stats($self, /)\n--\n\nHow contended it is: an AtomicStats."};
}

template <class K>
PyMethodDef* number_methods() {
    std::vector<Row> rows;
    add_common<One<K>>(rows);
    if constexpr (!std::is_same_v<K, Flag>) add_arithmetic<One<K>>(rows);
    if constexpr (std::is_same_v<K, Int>) add_bits<One<K>>(rows);
    return methods_of(false, rows, {stats_method<typename K::Value>()});
}

PyMethodDef* array_methods() {
    std::vector<Row> rows;
    add_common<Many<Int>>(rows);
    add_arithmetic<Many<Int>>(rows);
    add_bits<Many<Int>>(rows);
    return methods_of(true, rows,
                      {
                          {"add", method<array_add>(), kNamed,
                           "add($self, /, delta=1)\n--\n\nAdd `delta` to one of the numbers, which one "
                           "depending on the calling thread.\n\nOne atomic, relaxed "
                           "step; waits for nobody. Threads that count with this seldom write the "
                           "same\nnumber, and `sum` has the count."},
                          {"sum", method<array_sum>(), METH_NOARGS,
                           "sum($self, /)\n--\n\nThe sum of all numbers, of any size.\n\nEach number is one "
                           "atomic read: while others add, the sum lies between "
                           "those before and after the\ncall if all add with one sign."},
                          stats_method<std::int64_t>(),
                      });
}

PyMethodDef reference_methods[] = {
    {"load", method<reference_load>(), METH_NOARGS,
     "load($self, /)\n--\n\nThe object. One atomic step; waits for nobody, and writers do not wait for it."},
    {"store", method<reference_store>(), METH_O,
     "store($self, new, /)\n--\n\nSet the object. One atomic step; waits for nobody. The old object is let "
     "go of after it, which can run "
     "its\n`__del__`."},
    {"exchange", method<reference_exchange>(), METH_O,
     "exchange($self, new, /)\n--\n\nSet the object, and return the old one. One atomic step; waits for "
     "nobody."},
    {"compare_exchange", method<reference_compare_exchange>(), kNamed,
     "compare_exchange($self, expected, new, /)\n--\n\nSet the object to `new` if it is `expected`; return "
     "whether it was.\n\nThe very object "
     "counts: an equal one is another, be it a str or an int. So pass what `load` returned.\nOne atomic "
     "step; waits for nobody."},
    {"update", method<reference_update>(), METH_O,
     "update($self, fn, /)\n--\n\nSet the object to `fn(object)`; return the new object.\n\n`fn` runs "
     "holding nothing. It runs again whenever "
     "another thread has set another object meanwhile, so\nit may run several times and must not set this "
     "reference itself. It has to make a "
     "new object, not\nchange the old one, which others are reading. What it raises reaches the caller, and "
     "nothing has\nchanged."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "__class_getitem__($type, item, /)\n--\n\n"},
    stats_method<PyObject*>(),
    {nullptr, nullptr, 0, nullptr},
};

template <class T>
PyMemberDef weak_reference_member[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(CellsObject<T>, weak_references), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

/// Makes the type threadproof.sync.NAME, of these slots and those that all atomics share, and adds it to the
/// module.
template <class T>
bool add_type(PyObject* module, const char* full_name, const char* doc, std::vector<PyType_Slot> slots) {
    constexpr bool kObjects = std::is_same_v<T, PyObject*>;
    slots.insert(slots.end(), {
                                  {Py_tp_doc, const_cast<char*>(doc)},
                                  {Py_tp_dealloc,
                                   reinterpret_cast<void*>(kObjects ? reference_dealloc : cells_dealloc<T>)},
                                  {Py_tp_members, weak_reference_member<T>},
                                  {0, nullptr},
                              });
    PyType_Spec spec = {
        .name = full_name,
        .basicsize = sizeof(CellsObject<T>),
        .itemsize = 0,
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
        .slots = slots.data(),
    };
    Ref type = Ref::steal(PyType_FromModuleAndSpec(module, &spec, nullptr));
    return type && PyModule_AddObjectRef(module, std::strrchr(full_name, '.') + 1, type.get()) == 0;
}

template <class K>
std::vector<PyType_Slot> number_slots() {
    return {
        {Py_tp_new, slot<number_new<K>>()},
        {Py_tp_repr, slot<number_repr<K>>()},
        {Py_tp_traverse, reinterpret_cast<void*>(cells_traverse)},
        {Py_tp_methods, number_methods<K>()},
    };
}

bool add_numbers(PyObject* module) {
    std::vector<PyType_Slot> flag_slots = number_slots<Flag>();
    flag_slots.push_back({Py_nb_bool, reinterpret_cast<void*>(flag_bool)});
    return add_type<std::int64_t>(module, "threadproof.sync.AtomicInt",
                                  "AtomicInt(value=0)\n--\n\nAn int of 64 bits that threads change together. "
                                  "Results that do not fit "
                                  "raise OverflowError.",
                                  number_slots<Int>())
           && add_type<double>(module, "threadproof.sync.AtomicFloat",
                               "AtomicFloat(value=0.0)\n--\n\nA float that threads change together.",
                               number_slots<Float>())
           && add_type<bool>(module, "threadproof.sync.AtomicFlag",
                             "AtomicFlag(value=False)\n--\n\nTrue or False, which threads change together. "
                             "Its truth is its value.",
                             flag_slots);
}

}  // namespace

bool add_atomics(PyObject* module) {
    return add_numbers(module)
           && add_type<std::int64_t>(module, "threadproof.sync.AtomicIntArray",
                                     "AtomicIntArray(length)\n--\n\nSo many 64-bit ints, at first 0, each "
                                     "alone on its cache lines: threads that "
                                     "change different ones do not\nslow each other down. For counts that "
                                     "many threads add to, see `add` and `sum`.\n\nOn "
                                     "free-threaded Python an array dies at a collection, not with its last "
                                     "reference, because counting\nthose "
                                     "would be what the threads wait for.",
                                     {
                                         {Py_tp_new, slot<array_new>()},
                                         {Py_tp_repr, slot<array_repr>()},
                                         {Py_tp_traverse, reinterpret_cast<void*>(cells_traverse)},
                                         {Py_sq_length, reinterpret_cast<void*>(array_length)},
                                         {Py_tp_methods, array_methods()},
                                     })
           && add_type<PyObject*>(module, "threadproof.sync.AtomicReference",
                                  "AtomicReference(value=None)\n--\n\nOne object, which threads read and "
                                  "replace without a lock.\n\nA reader that "
                                  "gets an object sees all that was done to it before it was set; there is "
                                  "no weaker\nmemory order, for what is read is "
                                  "going to be used.",
                                  {
                                      {Py_tp_new, slot<reference_new>()},
                                      {Py_tp_repr, slot<reference_repr>()},
                                      {Py_tp_traverse, reinterpret_cast<void*>(reference_traverse)},
                                      {Py_tp_clear, reinterpret_cast<void*>(reference_clear)},
                                      {Py_tp_methods, reference_methods},
                                  });
}

}  // namespace threadproof::ext
