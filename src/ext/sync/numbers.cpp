/// AtomicInt, AtomicFloat and AtomicFlag: one cell each.
#include <type_traits>

#include "ext/sync/cell_methods.hpp"

namespace threadproof::ext {
namespace {

template <class K>
PyObject* number_new(PyTypeObject* type, PyObject* arguments, PyObject* names) {
    using Object = CellsObject<typename K::Value>;
    PyObject* given = initial_value(type, arguments, names);
    Ref self = Object::make(type, 1);
    // relaxed: no other thread has it yet
    if (given)
        store(reinterpret_cast<Object&>(*self.get()).cell(), K::value(self.get(), "", given),
              std::memory_order_relaxed);
    return self.release();
}

template <class K>
PyObject* number_repr(CellsObject<typename K::Value>& self) {
    Ref value = Ref::steal(checked(K::object(load(self.cell(), std::memory_order_seq_cst))));
    return PyUnicode_FromFormat("%s(%R)", short_name(self.object()), value.get());
}

int flag_bool(CellsObject<bool>& self) {
    if (probe::atomic_is_watched()) probe::about_to_read(probe::AtomicStep{.atomic = self.object()});
    bool value = load(self.cell(), std::memory_order_seq_cst);
    if (probe::atomic_is_watched()) probe::read_atomic({.atomic = self.object(), .use = Use::kCheck}, value);
    return value;
}

template <class K>
const PyMethodDef* number_methods() {
    std::vector<Row> rows;
    add_common<One<K>>(rows);
    if constexpr (!std::is_same_v<K, Flag>) add_arithmetic<One<K>>(rows);
    if constexpr (std::is_same_v<K, Int>) add_bits<One<K>>(rows);
    return methods_of(false, rows, {stats_method<typename K::Value>()});
}

template <class K>
auto number_type(const char* name, const char* doc) {
    return TypeBuilder<CellsObject<typename K::Value>>(name, doc)
        .subclassable()
        .template with<number_new<K>>(Py_tp_new)
        .template with<number_repr<K>>(Py_tp_repr)
        .methods(number_methods<K>());
}

}  // namespace

void add_numbers(PyObject* module) {
    number_type<Int>(
        "threadproof.sync.AtomicInt",
        "AtomicInt(value=0)\n--\n\nAn int of 64 bits that threads change together. A result that "
        "does not fit raises OverflowError.")
        .add_to(module);
    number_type<Float>("threadproof.sync.AtomicFloat",
                       "AtomicFloat(value=0.0)\n--\n\nA float that threads change together.")
        .add_to(module);
    number_type<Flag>(
        "threadproof.sync.AtomicFlag",
        "AtomicFlag(value=False)\n--\n\nTrue or False, which threads change together. Its truth is "
        "its value.")
        .with<flag_bool>(Py_nb_bool)
        .add_to(module);
}

}  // namespace threadproof::ext
