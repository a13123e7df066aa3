/// The atomic reference to the newest version of a trie as a Python map, and a version of it as another. What
/// is hot is here; the rest is ChainedMap's, in Python, over the steps whose names begin with an underscore.
///
/// Writing a key at which a function is deciding the value means to wait: that is ChainedMap's too, in
/// `_exchange`.
#include "ext/maps/snapshot_map.hpp"

#include <mutex>
#include <new>

#include "ext/maps/adopt.hpp"
#include "ext/maps/trie.hpp"
#include "ext/python/sharing.hpp"

namespace threadproof::ext {
namespace {

using Probe = PythonPolicy::Probe;

PyTypeObject* map_type;
PyTypeObject* snapshot_type;
PyTypeObject* iterator_type;
PyTypeObject* snapshots_made;  // the subclass of snapshot_type that snapshot() makes
PyObject* exchange_name;       // "_exchange"
PyObject* missing;

constexpr int kNamed = METH_FASTCALL | METH_KEYWORDS;

/// What is there, or what is said otherwise.
PyObject* or_else(Ref found, PyObject* otherwise) { return found ? found.release() : Py_NewRef(otherwise); }

PyObject* or_key_error(Ref found, PyObject* key) {
    if (!found) raise_key_error(key);
    return found.release();
}

/// The value in the entry of a key, or null. Compares keys by what may be user code.
TP_APART Ref ask(Owned word, const Probe& probe) {
    EntryObject* entry = Chain(word.word()).find(probe);
    return Ref::borrow(entry && entry->value ? NodePolicy::object(entry->value) : nullptr);
}

/// The methods of reading, for whoever has look_up(self, probe), which returns the value of a key, or null.
template <auto look_up>
struct Reading {
    static PyObject* subscript(PyObject* self, PyObject* key) {
        return or_key_error(look_up(self, Probe(key)), key);
    }
    static int contains(PyObject* self, PyObject* key) {
        return static_cast<bool>(look_up(self, Probe(key)));
    }
    static PyObject* get(PyObject* self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
        if (TP_LIKELY(!names && count == 1)) return or_else(look_up(self, Probe(given[0])), Py_None);
        Arguments<2> arguments("get", given, count, names, 1, 2, {"key", "default"});
        return or_else(look_up(self, Probe(arguments[0])), arguments.get(1, Py_None));
    }
};

// ---- iterating

enum class Yield { kKeys, kItems };

/// An iteration over a version. Threads may share it; each gets other entries.
struct IteratorObject {
    PyObject_HEAD Yield yield;
    PatientLock lock;  ///< for what follows; held for a few steps that call nothing
    Word root;         ///< 0 once it is exhausted
    Trie::Walk walk;
    Word word;        ///< what is being handed out; the root owns it
    Py_ssize_t next;  ///< its entries before this one have been
};

IteratorObject* as_iterator(PyObject* self) { return reinterpret_cast<IteratorObject*>(self); }

PyObject* iterate(Owned version, Yield yield) {
    auto* iterator = as_iterator(checked(iterator_type->tp_alloc(iterator_type, 0)));
    new (&iterator->lock) PatientLock;
    new (&iterator->walk) Trie::Walk(version.node());
    iterator->yield = yield;
    iterator->root = version.give();
    return reinterpret_cast<PyObject*>(iterator);
}

/// The next entry with a value, held for the caller; none at the end. The root goes to *done then.
Owned advance(IteratorObject* it, Owned* done) {
    std::lock_guard hold(it->lock);
    while (it->root) {
        Chain chain(it->word);
        while (it->next < chain.size()) {
            EntryObject* entry = chain[it->next++];
            if (entry->value) return Owned::share(reinterpret_cast<Word>(entry));
        }
        it->word = it->walk.next();
        it->next = 0;
        if (!it->word) *done = Owned(std::exchange(it->root, 0));
    }
    return Owned();
}

PyObject* iterator_next(PyObject* self) {
    Owned done, held = advance(as_iterator(self), &done);
    if (!held) return nullptr;
    EntryObject* entry = NodePolicy::entry_object(held.word());
    PyObject* key = PythonPolicy::object(entry->key);
    return as_iterator(self)->yield == Yield::kKeys ? Py_NewRef(key)
                                                    : PyTuple_Pack(2, key, NodePolicy::object(entry->value));
}

int iterator_traverse(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(NodePolicy::object(as_iterator(self)->root));
    return 0;
}

int iterator_clear(PyObject* self) {
    Owned root(std::exchange(as_iterator(self)->root, 0));
    return 0;
}

void iterator_dealloc(PyObject* self) {
    PyObject_GC_UnTrack(self);
    PyTypeObject* type = Py_TYPE(self);
    iterator_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

PyType_Slot iterator_slots[] = {
    {Py_tp_dealloc, reinterpret_cast<void*>(iterator_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(iterator_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(iterator_clear)},
    {Py_tp_iter, reinterpret_cast<void*>(PyObject_SelfIter)},
    {Py_tp_iternext, slot<iterator_next>()},
    {0, nullptr},
};

PyType_Spec iterator_spec = {
    .name = "threadproof._core.SnapshotIterator",
    .basicsize = sizeof(IteratorObject),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = iterator_slots,
};

// ---- Snapshot

/// A version. It never changes, so it needs no tp_clear: a cycle through it ends elsewhere.
struct SnapshotObject {
    PyObject_HEAD Word root;
};

SnapshotObject* as_snapshot(PyObject* self) { return reinterpret_cast<SnapshotObject*>(self); }
Node* root_of(PyObject* self) { return NodePolicy::node(as_snapshot(self)->root); }
Owned version_of(PyObject* self) { return Owned::share(as_snapshot(self)->root); }

PyObject* make_snapshot(PyTypeObject* type, Owned version) {
    PyObject* self = checked(type->tp_alloc(type, 0));
    as_snapshot(self)->root = version.give();
    return self;
}

TP_HOT Ref snapshot_look_up(PyObject* self, const Probe& probe) {
    const EntryFields* entry;
    Found found = Trie::look(root_of(self), probe, &entry);
    if (TP_LIKELY(found == Found::kPresent)) return Ref::borrow(NodePolicy::object(entry->value));
    return found == Found::kAbsent ? Ref() : ask(Owned::share(Trie::find(root_of(self), probe.hash)), probe);
}

using SnapshotReading = Reading<snapshot_look_up>;

PyObject* snapshot_new(PyTypeObject* type, PyObject*, PyObject*) {
    return make_snapshot(type, Owned::share(NodePolicy::word(empty_version())));
}

PyObject* snapshot_of(PyObject* type, PyObject* version) {
    return make_snapshot(reinterpret_cast<PyTypeObject*>(type), version_from(version));
}

Py_ssize_t snapshot_length(PyObject* self) { return static_cast<Py_ssize_t>(root_of(self)->weight); }
PyObject* snapshot_iter(PyObject* self) { return iterate(version_of(self), Yield::kKeys); }
PyObject* snapshot_entries(PyObject* self, PyObject*) { return iterate(version_of(self), Yield::kItems); }
PyObject* snapshot_version(PyObject* self, void*) { return given(version_of(self)); }

int snapshot_traverse(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(NodePolicy::object(as_snapshot(self)->root));
    return 0;
}

void snapshot_dealloc(PyObject* self) {
    PyObject_GC_UnTrack(self);
    PyTypeObject* type = Py_TYPE(self);
    Owned root(as_snapshot(self)->root);
    type->tp_free(self);
    Py_DECREF(type);
}

PyMethodDef snapshot_methods[] = {
    {"get", method<SnapshotReading::get>(), kNamed, "get($self, key, /, default=None)\n--\n\n"},
    {"_entries", method<snapshot_entries>(), METH_NOARGS,
     "_entries($self, /)\n--\n\nThe entries, as iteration sees them."},
    {"_of", method<snapshot_of>(), METH_O | METH_CLASS,
     "_of($type, version, /)\n--\n\nThe snapshot that is this version."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "__class_getitem__($type, item, /)\n--\n\n"},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef snapshot_getset[] = {
    {"_version", snapshot_version, nullptr, "What it is a snapshot of.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot snapshot_slots[] = {
    {Py_tp_doc,
     const_cast<char*>("The native base of threadproof.maps.Snapshot, where the methods are explained.")},
    {Py_tp_new, slot<snapshot_new>()},
    {Py_tp_dealloc, reinterpret_cast<void*>(snapshot_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(snapshot_traverse)},
    {Py_tp_iter, slot<snapshot_iter>()},
    {Py_mp_subscript, slot<SnapshotReading::subscript>()},
    {Py_mp_length, slot<snapshot_length>()},
    {Py_sq_contains, slot<SnapshotReading::contains>()},
    {Py_tp_methods, snapshot_methods},
    {Py_tp_getset, snapshot_getset},
    {0, nullptr},
};

PyType_Spec snapshot_spec = {
    .name = "threadproof._core.Snapshot",
    .basicsize = sizeof(SnapshotObject),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = snapshot_slots,
};

// ---- SnapshotMap

struct MapObject {
    PyObject_HEAD Sharing sharing;
    bool built;  ///< the core below has been constructed
    // Room for the core, which wants an alignment that Python's allocator does not give.
    alignas(16) unsigned char room[sizeof(Trie::Cell) + alignof(Trie::Cell)];
};

MapObject* as_map(PyObject* self) { return reinterpret_cast<MapObject*>(self); }

/// The core, without asking who shares the map.
TP_HOT Trie::Cell& cell_of(PyObject* self) {
    auto address = reinterpret_cast<std::uintptr_t>(as_map(self)->room);
    return *reinterpret_cast<Trie::Cell*>((address + alignof(Trie::Cell) - 1)
                                          & ~(std::uintptr_t{alignof(Trie::Cell)} - 1));
}

TP_HOT Trie::Cell& core(PyObject* self) {
    as_map(self)->sharing.note(self);
    return cell_of(self);
}

TP_HOT Ref map_look_up(PyObject* self, const Probe& probe) {
    Word value;
    Found found = core(self).read(probe, &value);
    if (TP_LIKELY(found == Found::kPresent)) return Ref::steal(NodePolicy::object(value));
    return found == Found::kAbsent ? Ref() : ask(core(self).get(probe.hash), probe);
}

using MapReading = Reading<map_look_up>;

/// One look at a key, and what is to be in the place of what it found there.
struct Exchange {
    Owned seen;
    EntryObject* entry;  ///< that of the key, among what was seen; or null

    Exchange(PyObject* self, const Probe& probe)
        : seen(core(self).get(probe.hash)), entry(Chain(seen.word()).find(probe)) {}

    PyObject* old() const { return entry && entry->value ? NodePolicy::object(entry->value) : nullptr; }

    /// Puts a value (null: nothing) in; false when something else is there by now.
    bool put(PyObject* self, const Probe& probe, PyObject* value) {
        Owned fresh =
            value ? make_entry(static_cast<Py_hash_t>(probe.hash), entry ? entry->key : probe.word, value)
                  : Owned();
        Owned next = Chain(seen.word()).with(entry, NodePolicy::entry_object(fresh.word()));
        return core(self).replace(probe.hash, seen.word(), next.word(),
                                  (value != nullptr) - (old() != nullptr));
    }
};

Ref exchange_in_python(PyObject* self, PyObject* key, PyObject* value) {
    PyObject* arguments[] = {self, key, value ? value : missing};
    Ref old = Ref::steal(
        checked(outliving([&] { return PyObject_VectorcallMethod(exchange_name, arguments, 3, nullptr); })));
    return old.get() == missing ? Ref() : std::move(old);
}

/// Puts a value (null: nothing) at a key; returns the one that was there, or null.
Ref exchange(PyObject* self, PyObject* key, PyObject* value) {
    for (Probe probe(key);;) {
        Exchange step(self, probe);
        if (step.entry && step.entry->computation) return exchange_in_python(self, key, value);
        if (!step.entry && !value) return Ref();
        if (step.put(self, probe, value)) return Ref::borrow(step.old());
    }
}

int map_ass_subscript(PyObject* self, PyObject* key, PyObject* value) {
    if (!exchange(self, key, value) && !value) raise_key_error(key);
    return 0;
}

PyObject* map_swap(PyObject* self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    Arguments<3> arguments("swap", given, count, names, 2, 3, {"key", "value", "default"});
    return or_else(exchange(self, arguments[0], arguments[1]), arguments.get(2, Py_None));
}

PyObject* map_pop(PyObject* self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    Arguments<2> arguments("pop", given, count, names, 1, 2, {"key", "default"});
    Ref old = exchange(self, arguments[0], nullptr);
    return arguments[1] ? or_else(std::move(old), arguments[1]) : or_key_error(std::move(old), arguments[0]);
}

PyObject* map_snapshot(PyObject* self, PyObject*) {
    return make_snapshot(snapshots_made, core(self).version());
}
PyObject* map_iter(PyObject* self) { return iterate(core(self).version(), Yield::kKeys); }
PyObject* map_entries(PyObject* self, PyObject*) { return iterate(core(self).version(), Yield::kItems); }
Py_ssize_t map_length(PyObject* self) { return static_cast<Py_ssize_t>(core(self).weight()); }

Owned emptied(PyObject* self) {
    return cell_of(self).exchange(Owned::share(NodePolicy::word(empty_version())));
}

PyObject* map_clear(PyObject* self, PyObject*) {
    emptied(self);
    Py_RETURN_NONE;
}

// The steps that the rest is made of

PyObject* map_chain(PyObject* self, PyObject* code) {
    return Chain(core(self).get(hash_from(code)).word()).tuple();
}

PyObject* map_put(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
    check_count("_put", count, 4);
    std::uint64_t hash = hash_from(arguments[0]);
    auto growth = static_cast<std::int64_t>(hash_from(arguments[3]));
    return PyBool_FromLong(
        core(self).replace(hash, word_from(arguments[1]), word_from(arguments[2]), growth));
}

PyObject* map_version(PyObject* self, PyObject*) { return given(core(self).version()); }

PyObject* map_advance(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
    check_count("_advance", count, 2);
    return PyBool_FromLong(core(self).publish(version_from(arguments[0]), version_from(arguments[1])));
}

PyObject* map_take(PyObject* self, PyObject*) { return given(emptied(self)); }
PyObject* map_retries(PyObject* self, PyObject*) { return PyLong_FromUnsignedLongLong(core(self).retries()); }
PyObject* map_bytes(PyObject* self, PyObject*) { return PyLong_FromLongLong(core(self).bytes()); }

PyObject* map_check(PyObject* self, PyObject*) {
    Trie::check(core(self).version().node());
    Py_RETURN_NONE;
}

// Life and death

PyObject* map_new(PyTypeObject* type, PyObject*, PyObject*) {
    if (type == map_type) {  // the subclass also spares deeply nested maps a deep recursion when they die
        PyErr_SetString(PyExc_TypeError,
                        "threadproof._core.SnapshotMap is a base class; use threadproof.SnapshotMap instead");
        return nullptr;
    }
    Ref self = Ref::steal(checked(type->tp_alloc(type, 0)));
    new (&cell_of(self.get())) Trie::Cell(Owned::share(NodePolicy::word(empty_version())));
    as_map(self.get())->built = true;
    return self.release();
}

int map_traverse(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    if (as_map(self)->built) Py_VISIT(reinterpret_cast<const PyObject*>(cell_of(self).stopped()));
    return 0;
}

int map_tp_clear(PyObject* self) {
    if (as_map(self)->built) emptied(self);
    return 0;
}

void map_dealloc(PyObject* self) {
    PyObject_GC_UnTrack(self);
    PyTypeObject* type = Py_TYPE(self);
    if (as_map(self)->built) cell_of(self).~Cell();
    type->tp_free(self);
    Py_DECREF(type);
}

PyMethodDef map_methods[] = {
    {"get", method<MapReading::get>(), kNamed, "get($self, key, /, default=None)\n--\n\n"},
    {"swap", method<map_swap>(), kNamed, "swap($self, key, value, /, default=None)\n--\n\n"},
    {"pop", method<map_pop>(), kNamed, "pop($self, key, /, default=...)\n--\n\n"},  // ...: none
    {"clear", method<map_clear>(), METH_NOARGS, "clear($self, /)\n--\n\n"},
    {"snapshot", method<map_snapshot>(), METH_NOARGS,
     "snapshot($self, /)\n--\n\nThe map at this instant, for good: a Snapshot. One atomic read at any size, "
     "which copies nothing.\nWaits for nobody."},
    {"_entries", method<map_entries>(), METH_NOARGS,
     "_entries($self, /)\n--\n\nThe entries, as iteration sees them."},
    {"_chain", method<map_chain>(), METH_O,
     "_chain($self, code, /)\n--\n\nThe chain of a hash; () if there is none. Waits for nobody."},
    {"_put", method<map_put>(), METH_FASTCALL,
     "_put($self, code, seen, chain, growth, /)\n--\n\nPut `chain`, with `growth` more values, in the place "
     "of `seen`; say whether `seen` "
     "was still there.\n\n() is none."},
    {"_version", method<map_version>(), METH_NOARGS, "_version($self, /)\n--\n\nThe newest version."},
    {"_advance", method<map_advance>(), METH_FASTCALL,
     "_advance($self, base, newer, /)\n--\n\nMake `newer` the newest version; say whether `base` still was."},
    {"_take", method<map_take>(), METH_NOARGS,
     "_take($self, /)\n--\n\nMake the newest version an empty one; return what it was."},
    {"_bytes", method<map_bytes>(), METH_NOARGS,
     "_bytes($self, /)\n--\n\nWhat the nodes of the newest version take."},
    {"_retries", method<map_retries>(), METH_NOARGS,
     "_retries($self, /)\n--\n\nHow often a writer was overtaken, and began again."},
    {"_check_version", method<map_check>(), METH_NOARGS,
     "_check_version($self, /)\n--\n\nAssert the invariants of the newest version."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "__class_getitem__($type, item, /)\n--\n\n"},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot map_slots[] = {
    {Py_tp_doc,
     const_cast<char*>("The native base of threadproof.maps.SnapshotMap, where the methods are explained.")},
    {Py_tp_new, slot<map_new>()},
    {Py_tp_dealloc, reinterpret_cast<void*>(map_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(map_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(map_tp_clear)},
    {Py_tp_iter, slot<map_iter>()},
    {Py_tp_hash, reinterpret_cast<void*>(PyObject_HashNotImplemented)},
    {Py_mp_subscript, slot<MapReading::subscript>()},
    {Py_mp_ass_subscript, slot<map_ass_subscript>()},
    {Py_mp_length, slot<map_length>()},
    {Py_sq_contains, slot<MapReading::contains>()},
    {Py_tp_methods, map_methods},
    {0, nullptr},
};

PyType_Spec map_spec = {
    .name = "threadproof._core.SnapshotMap",
    .basicsize = sizeof(MapObject),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = map_slots,
};

/// Snapshot is known to Python alone, and what makes it is native.
PyObject* make_snapshots_of(PyObject*, PyObject* cls) {
    if (!PyType_Check(cls) || !PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(cls), snapshot_type)) {
        PyErr_Format(PyExc_TypeError,
                     "make_snapshots_of() wants a subclass of threadproof._core.Snapshot, got %R", cls);
        return nullptr;
    }
    snapshots_made = reinterpret_cast<PyTypeObject*>(Py_NewRef(cls));
    Py_RETURN_NONE;
}

PyMethodDef functions[] = {
    {"make_snapshots_of", make_snapshots_of, METH_O,
     "make_snapshots_of(cls, /)\n--\n\nLet SnapshotMap.snapshot() make instances of this subclass of "
     "Snapshot."},
    {nullptr, nullptr, 0, nullptr},
};

PyTypeObject* made(PyObject* module, PyType_Spec* spec) {
    return reinterpret_cast<PyTypeObject*>(PyType_FromModuleAndSpec(module, spec, nullptr));
}

}  // namespace

bool add_snapshot_map(PyObject* module) {
    missing = missing_value();
    exchange_name = PyUnicode_InternFromString("_exchange");
    iterator_type = made(module, &iterator_spec);
    snapshot_type = snapshots_made = made(module, &snapshot_spec);
    map_type = made(module, &map_spec);
    if (!exchange_name || !iterator_type || !snapshot_type || !map_type) return false;
    let_adopt(map_type, map_methods);
    let_adopt(snapshot_type, snapshot_methods);
    return PyModule_AddFunctions(module, functions) == 0
           && PyModule_AddObjectRef(module, "Snapshot", reinterpret_cast<PyObject*>(snapshot_type)) == 0
           && PyModule_AddObjectRef(module, "SnapshotMap", reinterpret_cast<PyObject*>(map_type)) == 0;
}

}  // namespace threadproof::ext
