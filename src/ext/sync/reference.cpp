/// AtomicReference: one cell that owns a reference to any object.
///
/// How an object is read with no lock. Between reading the address of the object and taking a reference to
/// it, another thread may take the object out of the cell and release it. So the reader tries to take a
/// reference (try_incref() fails if the object may have died), and reads the cell again.
///  - If the address is still there: the reference is to the object that the cell owns, whether it was there
///    throughout or has been put back.
///  - If not: the reference may be to another object at the same address. The reader releases it, and begins
///    again.
/// Every object in a cell has been enabled for try_incref() by the thread that put it in, and a dead one
/// stays readable while a thread may be reading it (see refcount.hpp).
#include "ext/probe/structures.hpp"
#include "ext/python/arguments.hpp"
#include "ext/python/refcount.hpp"
#include "ext/sync/cells.hpp"

namespace threadproof::ext {
namespace {

using Cell = AtomicCell<PyObject*>;
using probe::Use;

/// One reference to the object, for a cell to own.
PyObject* ref_for_cell(PyObject* object) {
    enable_try_incref(object);
    return Py_NewRef(object);
}

/// A new reference to the object in the cell.
PyObject* load_ref(Cell& cell) {
    for (;;) {
        // acquire: pairs with the seq_cst exchange of the thread that put it in; makes the object visible
        PyObject* object = cell.value.load(std::memory_order_acquire);
        bool counted = try_incref(object);
        // acquire: keeps this load after the count
        if (counted && cell.value.load(std::memory_order_acquire) == object) return object;
        if (counted) drop_reference(object);
        cell.contended.fetch_add(1, std::memory_order_relaxed);  // relaxed: a metric
    }
}

/// Puts an object in, and returns the old one with the cell's reference to it.
Ref exchange_ref(Cell& cell, PyObject* object) {
    return Ref::steal(cell.value.exchange(ref_for_cell(object), std::memory_order_seq_cst));
}

/// The same if the object there is `expected`; returns whether it was. The caller has a reference to
/// `expected`, so its address cannot be another object's meanwhile.
bool replace_ref(Cell& cell, PyObject* expected, PyObject* object) {
    Ref fresh = Ref::steal(ref_for_cell(object));
    PyObject* seen = expected;
    if (!cell.value.compare_exchange_strong(seen, fresh.get(), std::memory_order_seq_cst)) return false;
    fresh.release();
    Ref old = Ref::steal(seen);
    return true;
}

struct ReferenceObject : CellsObject<PyObject*> {
    int traverse(visitproc visit, void* arg) noexcept {
        if (cells) Py_VISIT(cell().value.load(std::memory_order_relaxed));  // relaxed: the world is stopped
        return 0;
    }
    void clear() noexcept {
        if (cells) exchange_ref(cell(), Py_None);
    }
    // NOLINTNEXTLINE(bugprone-derived-method-shadowing-base-method): on purpose; TypeBuilder calls this one
    void destroy() noexcept {
        // acquire: as in load_ref()
        if (cells) drop_reference(cell().value.load(std::memory_order_acquire));
        CellsObject::destroy();
    }
};

using Builder = TypeBuilder<ReferenceObject>;

/// References may be nested to any depth: CPython's trashcan frees them without a deep recursion.
void reference_dealloc(PyObject* self) noexcept {
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, reference_dealloc) Builder::dealloc(self);
    Py_TRASHCAN_END
}

void will_read(ReferenceObject& self) {
    if (probe::atomic_is_watched()) probe::about_to_read(probe::AtomicStep{.atomic = self.object()});
}

void was_read(ReferenceObject& self, Use use, PyObject* object) {
    if (probe::atomic_is_watched())
        probe::read_atomic({.atomic = self.object(), .use = use}, object != Py_None);
}

void will_write(ReferenceObject& self, Use use) {
    if (!probe::atomic_is_watched()) return;
    PyObject* there = self.cell().value.load(std::memory_order_relaxed);  // relaxed: only its address counts
    probe::write_atomic({.atomic = self.object(), .use = use}, there != Py_None);
}

PyObject* reference_load(ReferenceObject& self, PyObject*) {
    will_read(self);
    PyObject* object = load_ref(self.cell());
    was_read(self, Use::kPlain, object);
    return object;
}

PyObject* reference_store(ReferenceObject& self, PyObject* object) {
    will_write(self, Use::kPlain);
    exchange_ref(self.cell(), object);
    Py_RETURN_NONE;
}

PyObject* reference_exchange(ReferenceObject& self, PyObject* object) {
    will_write(self, Use::kAtomic);
    Ref old = exchange_ref(self.cell(), object);
    was_read(self, Use::kAtomic, old.get());
    return old.release();
}

PyObject* reference_compare_exchange(ReferenceObject& self, PyObject* const* given, Py_ssize_t count,
                                     PyObject* names) {
    Arguments<2> arguments("compare_exchange", given, count, names, 2, 2, {"expected", "new"});
    will_write(self, Use::kAtomic);
    bool replaced = replace_ref(self.cell(), arguments[0], arguments[1]);
    was_read(self, Use::kAtomic, arguments[0]);
    return PyBool_FromLong(replaced);
}

PyObject* reference_update(ReferenceObject& self, PyObject* fn) {
    check_callable(self.object(), fn);
    for (;;) {
        will_read(self);
        Ref old = Ref::steal(load_ref(self.cell()));
        was_read(self, Use::kAtomic, old.get());
        Ref fresh = Ref::steal(checked(outliving([&] { return PyObject_CallOneArg(fn, old.get()); })));
        will_write(self, Use::kAtomic);
        if (replace_ref(self.cell(), old.get(), fresh.get())) return fresh.release();
        self.cell().contended.fetch_add(1, std::memory_order_relaxed);  // relaxed: a metric
    }
}

PyObject* reference_stats(ReferenceObject& self, PyObject*) {
    return make_stats(self.cell().contended.load(std::memory_order_relaxed));
}

PyObject* reference_repr(ReferenceObject& self) {
    int inside = Py_ReprEnter(self.object());
    if (inside < 0) throw PythonError{};
    if (inside) return PyUnicode_FromFormat("%s(...)", short_name(self.object()));
    Ref object = Ref::steal(load_ref(self.cell()));
    PyObject* text =
        outliving([&] { return PyUnicode_FromFormat("%s(%R)", short_name(self.object()), object.get()); });
    Py_ReprLeave(self.object());
    return text;
}

PyObject* reference_new(PyTypeObject* type, PyObject* arguments, PyObject* names) {
    PyObject* given = initial_value(type, arguments, names);
    Ref self = ReferenceObject::make(type, 1);
    // release: pairs with the acquire in load_ref()
    reinterpret_cast<ReferenceObject&>(*self.get())
        .cell()
        .value.store(ref_for_cell(given ? given : Py_None), std::memory_order_release);
    return self.release();
}

PyMethodDef methods[] = {
    {"load", method<reference_load>(), METH_NOARGS,
     "load($self, /)\n--\n\nThe object. One atomic step; never blocks, and writers do not wait for it."},
    {"store", method<reference_store>(), METH_O,
     "store($self, new, /)\n--\n\nSet the object. One atomic step; never blocks. The old object is released "
     "after "
     "it, which can run its\n`__del__`."},
    {"exchange", method<reference_exchange>(), METH_O,
     "exchange($self, new, /)\n--\n\nSet the object, and return the old one. One atomic step; never blocks."},
    {"compare_exchange", method<reference_compare_exchange>(), kNamed,
     "compare_exchange($self, expected, new, /)\n--\n\nSet the object to `new` if it is `expected`; return "
     "whether it was.\n\nObjects are compared by identity: an equal one is another, even a str or an int. So "
     "pass "
     "what `load` returned.\nOne atomic step; never blocks."},
    {"update", method<reference_update>(), METH_O,
     "update($self, fn, /)\n--\n\nSet the object to `fn(object)`; return the new object.\n\n`fn` runs with "
     "no lock "
     "held. It runs again whenever another thread has set another object meanwhile, so\nit may run several "
     "times, "
     "and must not set this reference itself. It has to make a new object, not\nchange the old one, which "
     "others "
     "are reading. If it raises, nothing has changed."},
    {"stats", method<reference_stats>(), METH_NOARGS,
     "stats($self, /)\n--\n\nHow contended it is: an AtomicStats."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "__class_getitem__($type, item, /)\n--\n\n"},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

void add_reference(PyObject* module) {
    Builder(
        "threadproof.sync.AtomicReference",
        "AtomicReference(value=None)\n--\n\nOne object, which threads read and replace without a lock.\n\n"
        "A reader that gets an object sees everything that was done to it before it was set. There is no\n"
        "weaker memory order, because an object that is read is going to be used.")
        .subclassable()
        .with<reference_new>(Py_tp_new)
        .with<reference_repr>(Py_tp_repr)
        .dealloc_by(reference_dealloc)
        .methods(methods)
        .add_to(module);
}

}  // namespace threadproof::ext
