/// SnapshotMap: the atomic reference to the newest version of a trie as a Python map. Snapshot: one version
/// as a Python mapping. The hot operations are native. ChainedMap has the rest, in Python, on top of the
/// methods whose names begin with an underscore.
///
/// Writing a key whose value is being computed has to wait: ChainedMap does that too, in `_exchange`. Its
/// computations and drain() are those of chain_map.hpp.
#include "ext/maps/snapshot_map.hpp"

#include <mutex>
#include <new>

#include "ext/maps/adopt.hpp"
#include "ext/maps/chain_map.hpp"
#include "ext/maps/contract.hpp"
#include "ext/maps/native_map/sequence.hpp"
#include "ext/probe/structures.hpp"
#include "ext/python/arguments.hpp"
#include "ext/python/provided.hpp"
#include "ext/python/refcount.hpp"
#include "ext/python/types.hpp"

namespace threadproof::ext {
namespace {

using Lookup = PythonPolicy::Lookup;
using probe::map_is_watched;
using probe::Use;

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

/// The value of a key, or null; published as read if it is that of a map.
template <class Self>
TP_HOT Ref read(Self& self, PyObject* key, Use use) {
    Lookup lookup(key);
    if constexpr (Self::kChanges)
        if (map_is_watched()) probe::about_to_read(self.object());
    Ref found = self.look_up(lookup);
    if constexpr (Self::kChanges)
        if (map_is_watched()) probe::read_key(self.object(), key, use, static_cast<bool>(found));
    return found;
}

template <class Self>
PyObject* mapping_subscript(Self& self, PyObject* key) {
    return or_key_error(read(self, key, Use::kPlain), key);
}

template <class Self>
int mapping_contains(Self& self, PyObject* key) {
    return static_cast<bool>(read(self, key, Use::kCheck));
}

template <class Self>
PyObject* mapping_get(Self& self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    if (TP_LIKELY(!names && count == 1)) return or_else(read(self, given[0], Use::kCheck), Py_None);
    Arguments<2> arguments("get", given, count, names, 1, 2, {"key", "default"});
    return or_else(read(self, arguments[0], Use::kCheck), arguments.get(1, Py_None));
}

// ---- iterating

enum class Yield { kKeys, kValues, kItems };

/// An iteration over a version. Threads may share it; each gets other entries.
struct SnapshotIterator {
    PyObject_HEAD Yield yield;
    PatientLock
        lock;   ///< guards what follows, where threads share it; held for a few steps that call nothing
    Word root;  ///< owned; 0 once it is exhausted
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

/// The next entry with a value; null at the end. The root, which owns the entry, goes to *done then.
TP_HOT EntryObject* advance(SnapshotIterator& it, Owned* done) {
    while (it.root) {
        Chain chain(it.word);
        while (it.next < chain.size()) {
            EntryObject* entry = chain[it.next++];
            if (TP_LIKELY(entry->value != 0)) return entry;
        }
        it.word = it.walk.next();
        it.next = 0;
        if (!it.word) *done = Owned(std::exchange(it.root, 0));
    }
    return nullptr;
}

PyObject* iterator_next(SnapshotIterator& it) {
    Owned done;
    Ref key, value;
    {
        std::unique_lock hold(it.lock, std::defer_lock);
        if (!is_unique(reinterpret_cast<PyObject*>(&it))) hold.lock();
        EntryObject* entry = advance(it, &done);
        if (!entry) return nullptr;
        if (it.yield != Yield::kValues) key = Ref::borrow(PythonPolicy::object(entry->key));
        if (it.yield != Yield::kKeys) value = Ref::borrow(NodePolicy::object(entry->value));
    }
    if (it.yield == Yield::kKeys) return key.release();
    if (it.yield == Yield::kValues) return value.release();
    PyObject* pair = checked(PyTuple_New(2));
    PyTuple_SET_ITEM(pair, 0, key.release());
    PyTuple_SET_ITEM(pair, 1, value.release());
    return pair;
}

// ---- Snapshot

/// One version. It never changes, so it has no tp_clear: the collector breaks a cycle through it at another
/// object.
struct SnapshotObject {
    PyObject_HEAD Word root;

    static constexpr bool kChanges = false;

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
PyObject* snapshot_values(SnapshotObject& self, PyObject*) { return iterate(self.version(), Yield::kValues); }
PyObject* snapshot_version(SnapshotObject& self, void*) { return into_object(self.version()); }

PyMethodDef snapshot_methods[] = {
    {"get", method<mapping_get<SnapshotObject>>(), kNamed, "get($self, key, /, default=None)\n--\n\n"},
    {"_entries", method<snapshot_entries>(), METH_NOARGS,
     "_entries($self, /)\n--\n\nThe entries, as iteration sees them."},
    {"_values", method<snapshot_values>(), METH_NOARGS,
     "_values($self, /)\n--\n\nThe values, as iteration sees them."},
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
    ComputationList computations;
    std::uint64_t home;
    AlignedStorage<TrieCell> storage;

    static constexpr bool kChanges = true;

    PyObject* object() { return reinterpret_cast<PyObject*>(this); }
    TP_HOT TrieCell& core() {
        sharing.note_access(object());
        return storage.get();
    }

    TP_HOT Ref look_up(const Lookup& lookup) {
        Word value;
        Found found = core().read(lookup, &value);
        if (TP_LIKELY(found == Found::kPresent)) return Ref::steal(NodePolicy::object(value));
        return found == Found::kAbsent ? Ref() : ask(core().get(lookup.hash), lookup);
    }

    /// Puts an empty version in the place of the newest, and returns that.
    Owned take() { return storage.get().exchange(Owned::share(NodePolicy::word(empty_version()))); }

    // ---- as a Store of chain_map.hpp

    Owned chain_of(std::uint64_t hash) { return core().get(hash); }
    bool replace(std::uint64_t hash, Word seen, Word next, std::int64_t growth) {
        return core().replace(hash, seen, next, growth);
    }

    struct Detached {
        Owned version;

        template <class Visit>
        void each(Visit visit) {
            Trie::each(version.node(), visit);
        }
        void retire() { version = Owned(); }
    };
    bool detach(Detached& taken, bool refusing) {
        while (refusing) {
            taken.version = core().version();
            bool running = false;
            taken.each([&](Word word) { running = running || any_running(word, home); });
            if (running) return false;
            if (core().publish(taken.version, Owned::share(NodePolicy::word(empty_version())))) return true;
        }
        taken.version = take();
        return true;
    }
    bool reattach(Detached& taken) {
        return core().publish(Owned::share(NodePolicy::word(empty_version())),
                              Owned::share(taken.version.word()));
    }

    int traverse(visitproc visit, void* arg) noexcept {
        if (storage.constructed()) Py_VISIT(NodePolicy::object(NodePolicy::word(storage.get().stopped())));
        return 0;
    }
    void clear() noexcept {
        if (storage.constructed()) take();
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
        Owned fresh = value ? make_entry(static_cast<Py_hash_t>(lookup.hash),
                                         entry && entry->value ? entry->key : lookup.word, value)
                            : Owned();
        Owned next = Chain(seen.word()).with(entry, NodePolicy::entry_object(fresh.word()));
        return map.core().replace(lookup.hash, seen.word(), next.word(),
                                  (value != nullptr) - (old_value() != nullptr));
    }
};

/// One step that changes a key, where no user code has to run: the key's hash has no entry, or one entry, whose
/// key compares natively and which has no computation.
class QuickExchange {
 public:
    /// `value` null: remove the key. `wanted`: keep the old value.
    TP_HOT QuickExchange(const Lookup& lookup, PyObject* value, bool wanted)
        : lookup_(lookup),
          wanted_(wanted),
          fresh_(value ? make_entry(static_cast<Py_hash_t>(lookup.hash), lookup.word, value) : Owned()) {}

    /// False, and nothing has changed, where user code has to run, or a computation may be running.
    TP_HOT bool run(SnapshotMapObject& map) {
        bool done = false;
        Owned spare;
        map.core().change(lookup_.hash, [&](Word there, TrieCell::Next& next) {
            next = {fresh_.word(), fresh_ ? 1 : 0};
            if (!there) return done = true;
            EntryObject* entry = there & NodePolicy::kSeveral ? nullptr : NodePolicy::entry_object(there);
            if (!entry || entry->computation || PythonPolicy::match(entry->key, lookup_) != Match::kYes)
                return false;
            --next.growth;
            found_ = true;
            if (wanted_) old_ = Ref::borrow(NodePolicy::object(entry->value));
            if (fresh_) spare = keep_key(entry->key);
            return done = true;
        });
        return done;
    }

    bool found() const { return found_; }
    Ref old_value() { return std::move(old_); }

 private:
    /// As a dict does, the map keeps the key that it has. Returns the other.
    Owned keep_key(Word key) {
        Word& ours = NodePolicy::entry_object(fresh_.word())->key;
        if (ours == key) return Owned();
        PythonPolicy::retain(key);
        return Owned(reinterpret_cast<Word>(PythonPolicy::object(std::exchange(ours, key))));
    }

    const Lookup& lookup_;
    const bool wanted_;
    Owned fresh_;
    Ref old_;
    bool found_ = false;
};

/// ChainedMap publishes it there.
Ref exchange_in_python(SnapshotMapObject& map, PyObject* key, PyObject* value, Use use) {
    PyObject* missing = missing_value();
    PyObject* blind = use == Use::kPlain ? Py_True : Py_False;
    PyObject* arguments[] = {map.object(), key, value ? value : missing, blind};
    Ref old = Ref::steal(
        checked(outliving([&] { return PyObject_VectorcallMethod(exchange_name, arguments, 4, nullptr); })));
    return old.get() == missing ? Ref() : std::move(old);
}

/// The same, one step after the other: comparing keys may run user code, and writers wait for computations.
TP_APART Ref exchange_slowly(SnapshotMapObject& map, const Lookup& lookup, PyObject* key, PyObject* value,
                             Use use) {
    for (;;) {
        Exchange step(map, lookup);
        if (step.entry && running_in(step.entry, map.home)) return exchange_in_python(map, key, value, use);
        if (map_is_watched()) probe::change_key(map.object(), key, use, step.old_value() != nullptr);
        if ((step.entry || value) && !step.put(map, lookup, value)) continue;
        if ((use == Use::kAtomic || !value) && map_is_watched())
            probe::read_key(map.object(), key, Use::kAtomic, true);
        return Ref::borrow(step.old_value());
    }
}

/// Stores a value (null: removes the key); returns the value that was there, or null.
Ref exchange(SnapshotMapObject& map, PyObject* key, PyObject* value) {
    Lookup lookup(key);
    if (!map_is_watched()) {
        QuickExchange quick(lookup, value, true);
        if (TP_LIKELY(quick.run(map))) return quick.old_value();
    }
    return exchange_slowly(map, lookup, key, value, Use::kAtomic);
}

/// The same for a caller that does not use that value; whether there was one.
TP_HOT bool store(SnapshotMapObject& map, const Lookup& lookup, PyObject* key, PyObject* value) {
    if (!map_is_watched()) {
        QuickExchange quick(lookup, value, false);
        if (TP_LIKELY(quick.run(map))) return quick.found();
    }
    return static_cast<bool>(exchange_slowly(map, lookup, key, value, Use::kPlain));
}

int map_ass_subscript(SnapshotMapObject& self, PyObject* key, PyObject* value) {
    if (!store(self, Lookup(key), key, value) && !value) raise_key_error(key);
    return 0;
}

// ---- many keys, each of which is one step

PyObject* map_set_many(SnapshotMapObject& self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    Arguments<2> arguments("set_many", given, count, names, 2, 2, {"keys", "values"});
    Sequence keys(arguments[0]), values(arguments[1]);
    if (keys.size() != values.size()) refuse_lengths(self.object(), keys.size(), values.size());
    for (Py_ssize_t i = 0; i < keys.size(); ++i) store(self, Lookup(keys[i]), keys[i], values[i]);
    Py_RETURN_NONE;
}

PyObject* map_set_pairs(SnapshotMapObject& self, PyObject* sequence) {
    Sequence pairs(sequence);
    Py_ssize_t i = 0;
    for (; i < pairs.size(); ++i) {
        PyObject* pair = pairs[i];
        if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2) break;
        PyObject* key = PyTuple_GET_ITEM(pair, 0);
        store(self, Lookup(key), key, PyTuple_GET_ITEM(pair, 1));
    }
    return PyLong_FromSsize_t(i);
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

/// The newest version, published as a look at the whole map.
Owned whole(SnapshotMapObject& self) {
    if (map_is_watched()) probe::about_to_read(self.object());
    Owned version = self.core().version();
    if (map_is_watched()) probe::read_map(self.object());
    return version;
}

PyObject* map_snapshot(SnapshotMapObject& self, PyObject*) {
    return make_snapshot(reinterpret_cast<PyTypeObject*>(snapshot_class.get()), whole(self));
}
PyObject* map_iter(SnapshotMapObject& self) { return iterate(whole(self), Yield::kKeys); }
PyObject* map_entries(SnapshotMapObject& self, PyObject*) { return iterate(whole(self), Yield::kItems); }
PyObject* map_values(SnapshotMapObject& self, PyObject*) { return iterate(whole(self), Yield::kValues); }
Py_ssize_t map_length(SnapshotMapObject& self) {
    if (map_is_watched()) probe::about_to_read(self.object());
    auto size = static_cast<Py_ssize_t>(self.core().weight());
    if (map_is_watched()) probe::read_map(self.object());
    return size;
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
    return new_object(type,
                      [](PyObject* object) {
                          auto* map = reinterpret_cast<SnapshotMapObject*>(object);
                          map->home = new_home();
                          map->storage.construct(Owned::share(NodePolicy::word(empty_version())));
                      })
        .release();
}

PyMethodDef map_methods[] = {
    {"get", method<mapping_get<SnapshotMapObject>>(), kNamed, "get($self, key, /, default=None)\n--\n\n"},
    {"swap", method<map_swap>(), kNamed, "swap($self, key, value, /, default=None)\n--\n\n"},
    // ...: a default that is not there
    {"pop", method<map_pop>(), kNamed, "pop($self, key, /, default=...)\n--\n\n"},
    {"clear", method<chain_clear<SnapshotMapObject>>(), METH_NOARGS, "clear($self, /)\n--\n\n"},
    {"drain", method<chain_drain<SnapshotMapObject>>(), METH_NOARGS, "drain($self, /)\n--\n\n"},
    {"snapshot", method<map_snapshot>(), METH_NOARGS,
     "snapshot($self, /)\n--\n\nThe map at this instant, which never changes: a Snapshot. One atomic read at "
     "any "
     "size, which copies nothing.\nNever blocks."},
    {"_entries", method<map_entries>(), METH_NOARGS,
     "_entries($self, /)\n--\n\nThe entries, as iteration sees them."},
    {"_values", method<map_values>(), METH_NOARGS,
     "_values($self, /)\n--\n\nThe values, as iteration sees them."},
    {"set_many", method<map_set_many>(), kNamed, "set_many($self, keys, values, /)\n--\n\n"},
    {"_set_pairs", method<map_set_pairs>(), METH_O,
     "_set_pairs($self, pairs, /)\n--\n\nStore the pairs of a list or tuple up to the first that is no tuple "
     "of two; return how many those are."},
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
    {"_compute", method<chain_compute<SnapshotMapObject>>(), METH_FASTCALL,
     "_compute($self, key, step, timeout, /)\n--\n\n"},
    {"_running", method<chain_running<SnapshotMapObject>>(), METH_O, "_running($self, entry, /)\n--\n\n"},
    {"_computations", method<chain_computations<SnapshotMapObject>>(), METH_NOARGS,
     "_computations($self, /)\n--\n\nThe running computations: (key, thread, seconds) for each."},
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
