/// The methods of atomics whose values are numbers or flags. A method converts its arguments to values, makes
/// one call on the core, and converts the result to an object: so no Python code runs within the atomic step.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "ext/probe/structures.hpp"
#include "ext/python/arguments.hpp"
#include "ext/sync/cells.hpp"

namespace threadproof::ext {

using probe::Use;

// ---- kinds of value

struct Int {
    using Value = std::int64_t;
    static PyObject* object(Value value) { return PyLong_FromLongLong(value); }
    static Value value(PyObject* self, const char* method, PyObject* given);
};

struct Float {
    using Value = double;
    static PyObject* object(Value value) { return PyFloat_FromDouble(value); }
    static Value value(PyObject* self, const char* method, PyObject* given);
};

struct Flag {
    using Value = bool;
    static PyObject* object(Value value) { return PyBool_FromLong(value); }
    static Value value(PyObject* self, const char* method, PyObject* given);
};

// ---- arguments

/// The operation of a method on a cell, which decides the memory orders that are allowed.
enum class Access { kLoad, kStore, kChange };

/// The memory order by its C++ name; seq_cst if none is given. Throws.
std::memory_order order_of(PyObject* self, const char* method, PyObject* given, Access access);

/// A type with one cell: its methods need no index.
template <class K>
struct One {
    using Kind = K;
    using Value = typename K::Value;
    static constexpr int kIndex = 0;
    static AtomicCell<Value>& cell(CellsObject<Value>& self, const char*, PyObject*) { return self.cell(); }
};

/// A type with many cells: the first argument of its methods is the index of one.
template <class K>
struct Many {
    using Kind = K;
    using Value = typename K::Value;
    static constexpr int kIndex = 1;
    static AtomicCell<Value>& cell(CellsObject<Value>& self, const char* method, PyObject* given) {
        if (!PyIndex_Check(given))
            fail(PyExc_TypeError, self.object(), method, "wants an int as index, got %s",
                 Py_TYPE(given)->tp_name);
        Py_ssize_t count = static_cast<Py_ssize_t>(self.count);
        // an int beyond Py_ssize_t is clipped to it, and refused below
        Py_ssize_t index = outliving([&] { return PyNumber_AsSsize_t(given, nullptr); });
        if (index == -1 && PyErr_Occurred()) throw PythonError{};
        if (index < -count || index >= count)
            fail(PyExc_IndexError, self.object(), method, "has no number %R, as its length is %zd", given,
                 count);
        return self.cells[index < 0 ? index + count : index];
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

inline bool acquires(std::memory_order order) {
    return order != std::memory_order_relaxed && order != std::memory_order_release;
}
inline bool releases(std::memory_order order) {
    return order != std::memory_order_relaxed && order != std::memory_order_acquire;
}

/// The arguments of a call: the cell, up to two operands, and the order.
template <class Owner, int kOperands>
class Call {
 public:
    using Value = typename Owner::Value;

    template <class... Operands>
    Call(CellsObject<Value>& self, const char* method, PyObject* const* given, Py_ssize_t count,
         PyObject* names, Access access, int required, Operands... operands)
        : self_(self.object()),
          cells_(self.cells),
          method_(method),
          arguments_(method, given, count, names, Owner::kIndex + required, Owner::kIndex + kOperands,
                     parameters<Owner>(operands...).names),
          cell(Owner::cell(self, method, arguments_[0])),
          order(order_of(self_, method, arguments_[Owner::kIndex + kOperands], access)) {}

    Value value(int operand) const {
        return Owner::Kind::value(self_, method_, arguments_[Owner::kIndex + operand]);
    }
    Value value(int operand, Value otherwise) const {
        return arguments_[Owner::kIndex + operand] ? value(operand) : otherwise;
    }
    PyObject* object(int operand) const { return arguments_[Owner::kIndex + operand]; }

    /// Publishes that the cell is about to be read, was read, or is about to be written.
    void will_read() const {
        if (probe::atomic_is_watched()) probe::about_to_read(step(Use::kPlain, true));
    }
    void was_read(Use use, Value value) const {
        if (probe::atomic_is_watched()) probe::read_atomic(step(use, acquires(order)), value != Value{});
    }
    void will_write(Use use) const {
        if (probe::atomic_is_watched()) publish_write(use);
    }

 private:
    probe::AtomicStep step(Use use, bool orders) const {
        std::int64_t index = Owner::kIndex ? &cell - cells_ : -1;
        return {self_, index, orders, use};
    }
    TP_COLD void publish_write(Use use) const {
        probe::write_atomic(step(use, releases(order)), load(cell, std::memory_order_relaxed) != Value{});
    }

    PyObject* self_;
    const AtomicCell<Value>* cells_;
    const char* method_;
    Arguments<Owner::kIndex + kOperands + 1> arguments_;

 public:
    AtomicCell<Value>& cell;
    const std::memory_order order;
};

// ---- methods

template <class Owner>
PyObject* cell_load(CellsObject<typename Owner::Value>& self, PyObject* const* given, Py_ssize_t count,
                    PyObject* names) {
    Call<Owner, 0> call(self, "load", given, count, names, Access::kLoad, 0);
    call.will_read();
    auto value = load(call.cell, call.order);
    call.was_read(Use::kPlain, value);
    return Owner::Kind::object(value);
}

template <class Owner>
PyObject* cell_store(CellsObject<typename Owner::Value>& self, PyObject* const* given, Py_ssize_t count,
                     PyObject* names) {
    Call<Owner, 1> call(self, "store", given, count, names, Access::kStore, 1, "value");
    auto value = call.value(0);
    call.will_write(Use::kPlain);
    store(call.cell, value, call.order);
    Py_RETURN_NONE;
}

template <class Owner>
PyObject* cell_exchange(CellsObject<typename Owner::Value>& self, PyObject* const* given, Py_ssize_t count,
                        PyObject* names) {
    Call<Owner, 1> call(self, "exchange", given, count, names, Access::kChange, 1, "value");
    auto value = call.value(0);
    call.will_write(Use::kAtomic);
    auto old = exchange(call.cell, value, call.order);
    call.was_read(Use::kAtomic, old);
    return Owner::Kind::object(old);
}

template <class Owner>
PyObject* cell_compare_exchange(CellsObject<typename Owner::Value>& self, PyObject* const* given,
                                Py_ssize_t count, PyObject* names) {
    Call<Owner, 2> call(self, "compare_exchange", given, count, names, Access::kChange, 2, "expected", "new");
    auto expected = call.value(0), fresh = call.value(1);
    call.will_write(Use::kAtomic);
    bool exchanged = compare_exchange(call.cell, expected, fresh, call.order);
    call.was_read(Use::kAtomic, expected);
    return PyBool_FromLong(exchanged);
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
[[noreturn]] void raise_overflow(PyObject* self, const char* method, typename K::Value old, const char* sign,
                                 typename K::Value by) {
    Ref left = Ref::steal(checked(K::object(old))), right = Ref::steal(checked(K::object(by)));
    fail(PyExc_OverflowError, self, method,
         "left the value as it is: %R %s %R is not in -2**63 to 2**63 - 1; an AtomicReference can hold any "
         "int",
         left.get(), sign, right.get());
}

/// fetch_add and fetch_sub: the value changes unless the result does not fit.
template <class Owner, class Operation>
PyObject* cell_fetch(CellsObject<typename Owner::Value>& self, PyObject* const* given, Py_ssize_t count,
                     PyObject* names) {
    using Value = typename Owner::Value;
    Call<Owner, 1> call(self, Operation::kMethod, given, count, names, Access::kChange, 0, "delta");
    Value by = call.value(0, 1), old;
    auto step = [by](Value value, Value* fresh) { return Operation::step(value, by, fresh); };
    call.will_write(Use::kAtomic);
    bool changed = change(call.cell, step, &old, call.order);
    call.was_read(Use::kAtomic, old);
    if (!changed)
        raise_overflow<typename Owner::Kind>(self.object(), Operation::kMethod, old, Operation::kSign, by);
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

/// The other fetch_ methods: there is always a result.
template <class Owner, class Operation>
PyObject* cell_combine(CellsObject<typename Owner::Value>& self, PyObject* const* given, Py_ssize_t count,
                       PyObject* names) {
    using Value = typename Owner::Value;
    Call<Owner, 1> call(self, Operation::kMethod, given, count, names, Access::kChange, 1,
                        Operation::kOperand);
    Value operand = call.value(0), old;
    auto step = [operand](Value value, Value* fresh) {
        *fresh = Operation::step(value, operand);
        return true;
    };
    call.will_write(Use::kAtomic);
    change(call.cell, step, &old, call.order);
    call.was_read(Use::kAtomic, old);
    return Owner::Kind::object(old);
}

template <class Owner>
PyObject* cell_update(CellsObject<typename Owner::Value>& self, PyObject* const* given, Py_ssize_t count,
                      PyObject* names) {
    Call<Owner, 1> call(self, "update", given, count, names, Access::kChange, 1, "fn");
    PyObject* fn = call.object(0);
    check_callable(self.object(), fn);
    for (;;) {
        call.will_read();
        auto old = load(call.cell, std::memory_order_seq_cst);
        call.was_read(Use::kAtomic, old);
        Ref argument = Ref::steal(checked(Owner::Kind::object(old)));
        Ref result = Ref::steal(checked(outliving([&] { return PyObject_CallOneArg(fn, argument.get()); })));
        auto fresh = Owner::Kind::value(self.object(), "update", result.get());
        call.will_write(Use::kAtomic);
        if (compare_exchange(call.cell, old, fresh, call.order)) return Owner::Kind::object(fresh);
        call.cell.contended.fetch_add(1, std::memory_order_relaxed);  // relaxed: a metric
    }
}

// ---- tables of methods

/// A method that single atomics and arrays share. Its documentation is composed of the parts that differ.
struct Row {
    const char* name;
    PyCFunction function;
    const char* signature;  ///< after self and the index
    const char* text;
};

/// Not in this header: GCC 12 warns wrongly of an inlined insertion at the end.
void append(std::vector<Row>& rows, std::initializer_list<Row> more);

/// The definitions of methods: rows, for a type whose methods take an index or not, and others. They live as
/// long as the process, as the types do.
const PyMethodDef* methods_of(bool indexed, const std::vector<Row>& rows,
                              const std::vector<PyMethodDef>& others);

#define TP_ORDERED "One atomic step; never blocks. `order` is the step's memory order, by its C++ name."

template <class Owner>
void add_common(std::vector<Row>& rows) {
    append(rows, {
                     {"load", method<cell_load<Owner>>(), "/, *, order='seq_cst'", "The value. " TP_ORDERED},
                     {"store", method<cell_store<Owner>>(), "value, /, *, order='seq_cst'",
                      "Set the value. " TP_ORDERED},
                     {"exchange", method<cell_exchange<Owner>>(), "value, /, *, order='seq_cst'",
                      "Set the value, and return the old one. " TP_ORDERED},
                     {"compare_exchange", method<cell_compare_exchange<Owner>>(),
                      "expected, new, /, *, order='seq_cst'",
                      "Set the value to `new` if it equals `expected`; return whether it did.\n\n" TP_ORDERED
                      " If it did not,\nthe step was a read. Numbers are compared as by ==, except that NaN "
                      "equals NaN."},
                 });
}

template <class Owner>
void add_arithmetic(std::vector<Row>& rows) {
    append(
        rows,
        {
            {"fetch_add", method<cell_fetch<Owner, Add>>(), "/, delta=1, *, order='seq_cst'",
             "Add `delta`; return the value from before.\n\n" TP_ORDERED
             " An int that would not fit into\n64 bits is an OverflowError, and nothing has changed."},
            {"fetch_sub", method<cell_fetch<Owner, Subtract>>(), "/, delta=1, *, order='seq_cst'",
             "Subtract `delta`; return the value from before. Otherwise as `fetch_add`."},
            {"fetch_max", method<cell_combine<Owner, Max>>(), "value, /, *, order='seq_cst'",
             "Set the value to `value` if that is greater; return the value from before. " TP_ORDERED},
            {"fetch_min", method<cell_combine<Owner, Min>>(), "value, /, *, order='seq_cst'",
             "Set the value to `value` if that is less; return the value from before. " TP_ORDERED},
            {"update", method<cell_update<Owner>>(), "fn, /, *, order='seq_cst'",
             "Set the value to `fn(value)`; return the new value.\n\n`fn` runs with no lock held. It runs "
             "again "
             "whenever another thread has changed the value meanwhile, so it\nmay run several times, and "
             "must not "
             "change this atomic itself. The atomic step is the store after the\nlast run. If `fn` raises, "
             "nothing "
             "has changed."},
        });
}

template <class Owner>
void add_bits(std::vector<Row>& rows) {
    append(rows, {
                     {"fetch_and", method<cell_combine<Owner, And>>(), "mask, /, *, order='seq_cst'",
                      "Keep the bits that are also in `mask`; return the value from before. " TP_ORDERED},
                     {"fetch_or", method<cell_combine<Owner, Or>>(), "mask, /, *, order='seq_cst'",
                      "Set the bits of `mask`; return the value from before. " TP_ORDERED},
                     {"fetch_xor", method<cell_combine<Owner, Xor>>(), "mask, /, *, order='seq_cst'",
                      "Flip the bits of `mask`; return the value from before. " TP_ORDERED},
                 });
}

}  // namespace threadproof::ext
