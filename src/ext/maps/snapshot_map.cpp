/// SnapshotMap: the atomic reference to the newest version of a trie as a Python map. Snapshot: one version
/// as a Python mapping. The hot operations are native. ChainedMap has the rest, in Python, on top of the
/// methods whose names begin with an underscore.
///
/// Writing a key whose value is being computed has to wait: ChainedMap waits, too, in `_exchange`.
#include "ext/maps/snapshot_map.hpp"

#include <mutex>
#include <new>

#include "ext/maps/adopt.hpp"
#include "ext/maps/trie.hpp"
#include "ext/python/arguments.hpp"
#include "ext/python/provided.hpp"
#include "ext/python/refcount.hpp"
#include "ext/python/types.hpp"

namespace threadproof::ext {
namespace {

using Lookup = PythonPolicy::Lookup;

PyTypeObject* map_type;
PyTypeObject* snapshot_type;
PyTypeObject* iterator_type;
PyObject* exchange_name;  // "_exchange"

bool is_snapshot_type(PyObject* cls) {
    return PyType_Check(cls) && PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(cls), snapshot_type);
}
/// The class that snapshot() makes instances of.
Provided snapshot_class("Snapshot", "a subclass of threadproof._core.Snapshot", is_snapshot_type);

PyObject* or_else(Ref found, PyObject* otherwise) { return found ? found.release() : Py_NewRef(otherwise); }

PyObject* or_key_error(Ref found, PyObject* key) {
    if (!found) raise_key_error(key);
    return found.release();
}

/// The value in the entry of a key, or null. Comparing keys can run user code.
TP_APART Ref ask(Owned word, const Lookup& lookup) {
    EntryObject* entry = Chain(word.word()).find(lookup);
    return Ref::borrow(entry && entry->value ? NodePolicy::object(entry->value) : nullptr);
}

// ---- the methods of reading, for a type that has look_up(lookup): the value of a key, or null

template <class Self>
PyObject* mapping_subscript(Self& self, PyObject* key) {
    return or_key_error(self.look_up(Lookup(key)), key);
}

template <class Self>
int mapping_contains(Self& self, PyObject* key) {
    return static_cast<bool>(self.look_up(Lookup(key)));
}

template <class Self>
PyObject* mapping_get(Self& self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    if (TP_LIKELY(!names && count == 1)) return or_else(self.look_up(Lookup(given[0])), Py_None);
    Arguments<2> arguments("get", given, count, names, 1, 2, {"key", "default"});
    return or_else(self.look_up(Lookup(arguments[0])), arguments.get(1, Py_None));
}

// ---- iterating

enum class Yield { kKeys, kItems };

/// An iteration over a version. Threads may share it; each gets other entries.
struct SnapshotIterator {
    PyObject_HEAD Yield yield;
    PatientLock lock;  ///< guards what follows; held for a few steps that call nothing
    Word root;         ///< owned; 0 once it is exhausted
    Trie::Walk walk;
    Word word;        ///< the leaf whose entries are being yielded; the root owns it
    Py_ssize_t next;  ///< its entries before this one have been yielded

    int traverse(visitproc visit, void* arg) noexcept {
        Py_VISIT(NodePolicy::object(root));
        return 0;
    }
    void clear() noexcept { Owned released(std::exchange(root, 0)); }
    void destroy() noexcept { clear(); }
};

PyObject* iterate(Owned version, Yield yield) {
    PyObject* object = checked(iterator_type->tp_alloc(iterator_type, 0));
    auto* iterator = reinterpret_cast<SnapshotIterator*>(object);
    new (&iterator->lock) PatientLock;
    new (&iterator->walk) Trie::Walk(version.node());
    iterator->yield = yield;
    iterator->root = version.release();
    return object;
}

/// The next entry with a value, retained for the caller; none at the end. The root goes to *done then.
Owned advance(SnapshotIterator& it, Owned* done) {
    std::lock_guard hold(it.lock);
    while (it.root) {
        Chain chain(it.word);
        while (it.next < chain.size()) {
            EntryObject* entry = chain[it.next++];
            if (entry->value) return Owned::share(reinterpret_cast<Word>(entry));
        }
        it.word = it.walk.next();
        it.next = 0;
        if (!it.word) *done = Owned(std::exchange(it.root, 0));
    }
    return Owned();
}

PyObject* iterator_next(SnapshotIterator& it) {
    Owned done, owned = advance(it, &done);
    if (!owned) return nullptr;
    EntryObject* entry = NodePolicy::entry_object(owned.word());
    PyObject* key = PythonPolicy::object(entry->key);
    return it.yield == Yield::kKeys ? Py_NewRef(key) : PyTuple_Pack(2, key, NodePolicy::object(entry->value));
}

// ---- Snapshot

/// One version. It never changes, so it has no tp_clear: the collector breaks a cycle through it at another
/// object.
struct SnapshotObject {
    PyObject_HEAD Word root;

    Node* node() { return NodePolicy::node(root); }
    Owned version() { return Owned::share(root); }

    TP_HOT Ref look_up(const Lookup& lookup) {
        const EntryFields* entry;
        Found found = Trie::find_entry(node(), lookup, &entry);
        if (TP_LIKELY(found == Found::kPresent)) return Ref::borrow(NodePolicy::object(entry->value));
        return found == Found::kAbsent ? Ref() : ask(Owned::share(Trie::find(node(), lookup.hash)), lookup);
    }

    int traverse(visitproc visit, void* arg) noexcept {
        Py_VISIT(NodePolicy::object(root));
        return 0;
    }
    void destroy() noexcept { Owned released(std::exchange(root, 0)); }
};

PyObject* make_snapshot(PyTypeObject* type, Owned version) {
    PyObject* self = checked(type->tp_alloc(type, 0));
    reinterpret_cast<SnapshotObject*>(self)->root = version.release();
    return self;
}

PyObject* snapshot_new(PyTypeObject* type, PyObject*, PyObject*) {
    return make_snapshot(type, Owned::share(NodePolicy::word(empty_version())));
}

PyObject* snapshot_of(PyObject* type, PyObject* version) {
    return make_snapshot(reinterpret_cast<PyTypeObject*>(type), version_from(version));
}

Py_ssize_t snapshot_length(SnapshotObject& self) { return static_cast<Py_ssize_t>(self.node()->weight); }
PyObject* snapshot_iter(SnapshotObject& self) { return iterate(self.version(), Yield::kKeys); }
PyObject* snapshot_entries(SnapshotObject& self, PyObject*) { return iterate(self.version(), Yield::kItems); }
PyObject* snapshot_version(SnapshotObject& self, void*) { return into_object(self.version()); }

PyMethodDef snapshot_methods[] = {
    {"get", method<mapping_get<SnapshotObject>>(), kNamed, "get($self, key, /, default=None)\n--\n\n"},
    {"_entries", method<snapshot_entries>(), METH_NOARGS,
     "_entries($self, /)\n--\n\nThe entries, as iteration sees them."},
    {"_of", method<snapshot_of>(), METH_O | METH_CLASS,
     "_of($type, version, /)\n--\n\nThe snapshot that is this version."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "__class_getitem__($type, item, /)\n--\n\n"},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef snapshot_attributes[] = {
    {"_version", getter_of<snapshot_version>(), nullptr, "The version that it is.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

// ---- SnapshotMap

struct SnapshotMapObject {
    PyObject_HEAD Sharing sharing;
    AlignedStorage<Trie::Cell> storage;

    PyObject* object() { return reinterpret_cast<PyObject*>(this); }
    TP_HOT Trie::Cell& core() {
        sharing.note_access(object());
        return storage.get();
    }

    TP_HOT Ref look_up(const Lookup& lookup) {
        Word value;
        Found found = core().read(lookup, &value);
        if (TP_LIKELY(found == Found::kPresent)) return Ref::steal(NodePolicy::object(value));
        return found == Found::kAbsent ? Ref() : ask(core().get(lookup.hash), lookup);
    }

    /// Makes an empty version the newest, and returns the one before.
    Owned detach() { return storage.get().exchange(Owned::share(NodePolicy::word(empty_version()))); }

    int traverse(visitproc visit, void* arg) noexcept {
        if (storage.constructed()) Py_VISIT(NodePolicy::object(NodePolicy::word(storage.get().stopped())));
        return 0;
    }
    void clear() noexcept {
        if (storage.constructed()) detach();
    }
    void destroy() noexcept { storage.destroy(); }
};

/// One read of a key, and the replacement of its result.
struct Exchange {
    Owned seen;
    EntryObject* entry;  ///< the key's entry in `seen`, or null

    Exchange(SnapshotMapObject& map, const Lookup& lookup)
        : seen(map.core().get(lookup.hash)), entry(Chain(seen.word()).find(lookup)) {}

    PyObject* old_value() const { return entry && entry->value ? NodePolicy::object(entry->value) : nullptr; }

    /// Stores a value (null: removes the key); false when the key's chain has changed since.
    bool put(SnapshotMapObject& map, const Lookup& lookup, PyObject* value) {
        Owned fresh =
            value ? make_entry(static_cast<Py_hash_t>(lookup.hash), entry ? entry->key : lookup.word, value)
                  : Owned();
        Owned next = Chain(seen.word()).with(entry, NodePolicy::entry_object(fresh.word()));
        return map.core().replace(lookup.hash, seen.word(), next.word(),
                                  (value != nullptr) - (old_value() != nullptr));
    }
};

Ref exchange_in_python(SnapshotMapObject& map, PyObject* key, PyObject* value) {
    PyObject* missing = missing_value();
    PyObject* arguments[] = {map.object(), key, value ? value : missing};
    Ref old = Ref::steal(
        checked(outliving([&] { return PyObject_VectorcallMethod(exchange_name, arguments, 3, nullptr); })));
    return old.get() == missing ? Ref() : std::move(old);
}

/// Stores a value (null: removes the key); returns the value that was there, or null.
Ref exchange(SnapshotMapObject& map, PyObject* key, PyObject* value) {
    for (Lookup lookup(key);;) {
        Exchange step(map, lookup);
        if (step.entry && step.entry->computation) return exchange_in_python(map, key, value);
        if (!step.entry && !value) return Ref();
        if (step.put(map, lookup, value)) return Ref::borrow(step.old_value());
    }
}

int map_ass_subscript(SnapshotMapObject& self, PyObject* key, PyObject* value) {
    if (!exchange(self, key, value) && !value) raise_key_error(key);
    return 0;
}

PyObject* map_swap(SnapshotMapObject& self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    Arguments<3> arguments("swap", given, count, names, 2, 3, {"key", "value", "default"});
    return or_else(exchange(self, arguments[0], arguments[1]), arguments.get(2, Py_None));
}

PyObject* map_pop(SnapshotMapObject& self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    Arguments<2> arguments("pop", given, count, names, 1, 2, {"key", "default"});
    Ref old = exchange(self, arguments[0], nullptr);
    return arguments[1] ? or_else(std::move(old), arguments[1]) : or_key_error(std::move(old), arguments[0]);
}

PyObject* map_snapshot(SnapshotMapObject& self, PyObject*) {
    return make_snapshot(reinterpret_cast<PyTypeObject*>(snapshot_class.get()), self.core().version());
}
PyObject* map_iter(SnapshotMapObject& self) { return iterate(self.core().version(), Yield::kKeys); }
PyObject* map_entries(SnapshotMapObject& self, PyObject*) {
    return iterate(self.core().version(), Yield::kItems);
}
Py_ssize_t map_length(SnapshotMapObject& self) { return static_cast<Py_ssize_t>(self.core().weight()); }

PyObject* map_clear(SnapshotMapObject& self, PyObject*) {
    self.detach();
    Py_RETURN_NONE;
}

// ---- the steps that ChainedMap is made of

PyObject* map_chain(SnapshotMapObject& self, PyObject* code) {
    return Chain(self.core().get(hash_from(code)).word()).tuple();
}

PyObject* map_put(SnapshotMapObject& self, PyObject* const* arguments, Py_ssize_t count) {
    check_count("_put", count, 4);
    std::uint64_t hash = hash_from(arguments[0]);
    auto growth = static_cast<std::int64_t>(hash_from(arguments[3]));
    return PyBool_FromLong(
        self.core().replace(hash, word_from(arguments[1]), word_from(arguments[2]), growth));
}

PyObject* map_version(SnapshotMapObject& self, PyObject*) { return into_object(self.core().version()); }

PyObject* map_advance(SnapshotMapObject& self, PyObject* const* arguments, Py_ssize_t count) {
    check_count("_advance", count, 2);
    return PyBool_FromLong(self.core().publish(version_from(arguments[0]), version_from(arguments[1])));
}

PyObject* map_take(SnapshotMapObject& self, PyObject*) { return into_object(self.detach()); }

PyObject* map_retries(SnapshotMapObject& self, PyObject*) {
    return PyLong_FromUnsignedLongLong(self.core().retries());
}

PyObject* map_bytes(SnapshotMapObject& self, PyObject*) { return PyLong_FromLongLong(self.core().bytes()); }

PyObject* map_check(SnapshotMapObject& self, PyObject*) {
    Trie::check(self.core().version().node());
    Py_RETURN_NONE;
}

// ---- the types

PyObject* map_new(PyTypeObject* type, PyObject*, PyObject*) {
    // A subclass's instances are deallocated by way of CPython's trashcan: deeply nested maps need that.
    if (type == map_type) {
        PyErr_SetString(PyExc_TypeError,
                        "threadproof._core.SnapshotMap is a base class; use threadproof.SnapshotMap instead");
        throw PythonError{};
    }
    Ref self = Ref::steal(checked(type->tp_alloc(type, 0)));
    reinterpret_cast<SnapshotMapObject*>(self.get())
        ->storage.construct(Owned::share(NodePolicy::word(empty_version())));
    return self.release();
}

PyMethodDef map_methods[] = {
    {"get", method<mapping_get<SnapshotMapObject>>(), kNamed, "get($self, key, /, default=None)\n--\n\n"},
    {"swap", method<map_swap>(), kNamed, "swap($self, key, value, /, default=None)\n--\n\n"},
    // ...: a default that is not there
    {"pop", method<map_pop>(), kNamed, "pop($self, key, /, default=...)\n--\n\n"},
    {"clear", method<map_clear>(), METH_NOARGS, "clear($self, /)\n--\n\n"},
    {"snapshot", method<map_snapshot>(), METH_NOARGS,
     "snapshot($self, /)\n--\n\nThe map at this instant, which never changes: a Snapshot. One atomic read at "
     "any "
     "size, which copies nothing.\nNever blocks."},
    {"_entries", method<map_entries>(), METH_NOARGS,
     "_entries($self, /)\n--\n\nThe entries, as iteration sees them."},
    {"_chain", method<map_chain>(), METH_O,
     "_chain($self, code, /)\n--\n\nThe chain of a hash; () if there is none. Never blocks."},
    {"_put", method<map_put>(), METH_FASTCALL,
     "_put($self, code, seen, chain, growth, /)\n--\n\nPut `chain`, with `growth` more values, in the place "
     "of `seen`; return whether `seen` was still there.\n\n() is no chain."},
    {"_version", method<map_version>(), METH_NOARGS, "_version($self, /)\n--\n\nThe newest version."},
    {"_advance", method<map_advance>(), METH_FASTCALL,
     "_advance($self, base, newer, /)\n--\n\nMake `newer` the newest version if `base` still is; return "
     "whether it "
     "was."},
    {"_take", method<map_take>(), METH_NOARGS,
     "_take($self, /)\n--\n\nMake an empty version the newest; return the one that was."},
    {"_bytes", method<map_bytes>(), METH_NOARGS,
     "_bytes($self, /)\n--\n\nThe bytes of the newest version's nodes."},
    {"_retries", method<map_retries>(), METH_NOARGS,
     "_retries($self, /)\n--\n\nHow often a writer found another version than the one it had read, and began "
     "again."},
    {"_check_version", method<map_check>(), METH_NOARGS,
     "_check_version($self, /)\n--\n\nAssert the invariants of the newest version."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "__class_getitem__($type, item, /)\n--\n\n"},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

void add_snapshot_map(PyObject* module) {
    exchange_name = checked(PyUnicode_InternFromString("_exchange"));
    iterator_type = TypeBuilder<SnapshotIterator>("threadproof._core.SnapshotIterator", nullptr)
                        .not_callable()
                        .with_cpython(Py_tp_iter, PyObject_SelfIter)
                        .with<iterator_next>(Py_tp_iternext)
                        .make(module);
    snapshot_type =
        TypeBuilder<SnapshotObject>("threadproof._core.Snapshot",
                                    "The native base of threadproof.maps.Snapshot, where the methods are "
                                    "explained.")
            .subclassable()
            .with<snapshot_new>(Py_tp_new)
            .with<snapshot_iter>(Py_tp_iter)
            .with<mapping_subscript<SnapshotObject>>(Py_mp_subscript)
            .with<snapshot_length>(Py_mp_length)
            .with<mapping_contains<SnapshotObject>>(Py_sq_contains)
            .methods(snapshot_methods)
            .attributes(snapshot_attributes)
            .add_to(module);
    map_type = TypeBuilder<SnapshotMapObject>("threadproof._core.SnapshotMap",
                                              "The native base of threadproof.maps.SnapshotMap, where the "
                                              "methods are explained.")
                   .subclassable()
                   .with<map_new>(Py_tp_new)
                   .with<map_iter>(Py_tp_iter)
                   .with_cpython(Py_tp_hash, PyObject_HashNotImplemented)
                   .with<mapping_subscript<SnapshotMapObject>>(Py_mp_subscript)
                   .with<map_ass_subscript>(Py_mp_ass_subscript)
                   .with<map_length>(Py_mp_length)
                   .with<mapping_contains<SnapshotMapObject>>(Py_sq_contains)
                   .methods(map_methods)
                   .add_to(module);
    let_adopt(map_type, map_methods);
    let_adopt(snapshot_type, snapshot_methods);
}

}  // namespace threadproof::ext
