#include "ext/sync/cell_methods.hpp"

#include "ext/python/provided.hpp"

namespace threadproof::ext {
namespace {

constexpr struct {
    const char* name;
    std::memory_order order;
    bool loads, stores;
} kOrders[] = {
    {"relaxed", std::memory_order_relaxed, true, true},  {"acquire", std::memory_order_acquire, true, false},
    {"release", std::memory_order_release, false, true}, {"acq_rel", std::memory_order_acq_rel, false, false},
    {"seq_cst", std::memory_order_seq_cst, true, true},
};

Provided stats_class("AtomicStats", "a class", [](PyObject* cls) { return PyType_Check(cls) != 0; });

}  // namespace

Int::Value Int::value(PyObject* self, const char* method, PyObject* given) {
    if (!PyIndex_Check(given))
        fail(PyExc_TypeError, self, method, "wants an int, got %s", Py_TYPE(given)->tp_name);
    Ref index = Ref::steal(checked(outliving([&] { return PyNumber_Index(given); })));
    int overflow;
    Value value = PyLong_AsLongLongAndOverflow(index.get(), &overflow);
    if (overflow)
        fail(PyExc_OverflowError, self, method, "takes ints from -2**63 to 2**63 - 1, got %R", index.get());
    return value;
}

Float::Value Float::value(PyObject* self, const char* method, PyObject* given) {
    if (!PyFloat_Check(given) && !PyIndex_Check(given))
        fail(PyExc_TypeError, self, method, "wants a float, got %s", Py_TYPE(given)->tp_name);
    Value value = outliving([&] { return PyFloat_AsDouble(given); });
    if (value == -1 && PyErr_Occurred()) throw PythonError{};
    return value;
}

Flag::Value Flag::value(PyObject* self, const char* method, PyObject* given) {
    if (!PyBool_Check(given)) fail(PyExc_TypeError, self, method, "wants True or False, got %R", given);
    return given == Py_True;
}

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

void append(std::vector<Row>& rows, std::initializer_list<Row> more) {
    rows.insert(rows.end(), more.begin(), more.end());
}

const PyMethodDef* methods_of(bool indexed, const std::vector<Row>& rows,
                              const std::vector<PyMethodDef>& others) {
    auto& methods = *new std::vector<PyMethodDef>(others);
    for (const Row& row : rows) {
        const char* first = indexed ? "($self, index, " : "($self, ";
        auto* text = new std::string(std::string(row.name) + first + row.signature + ")\n--\n\n" + row.text);
        methods.push_back({row.name, row.function, kNamed, text->c_str()});
    }
    methods.push_back({nullptr, nullptr, 0, nullptr});
    return methods.data();
}

PyObject* make_stats(unsigned long long contended) {
    return PyObject_CallFunction(stats_class.get(), "K", contended);
}

}  // namespace threadproof::ext
