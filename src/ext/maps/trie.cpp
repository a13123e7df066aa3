#include "ext/maps/trie.hpp"

#include "ext/maps/values.hpp"

#include <new>

#include "ext/python/provided.hpp"
#include "ext/python/types.hpp"

namespace threadproof::ext {
namespace {

PyTypeObject* entry_type;
PyTypeObject* node_type;
PyObject* no_chain;  // the empty tuple
Provided missing("MISSING", "any object", [](PyObject*) { return true; });

// CPython's header before an object that the collector follows
constexpr std::size_t kCollectorHead = kThreads ? 0 : 2 * sizeof(void*);

/// Frees memory when no pinned reader can be reading it.
void retire(Word word, void (*free)(Word), std::size_t bytes) {
    if constexpr (kThreads) Reclaimer::retire(Retired{word, free}, bytes);
    else free(word);
}

// ---- an entry

/// Takes a reference to each of these. Throws bad_alloc.
EntryObject* new_entry(Py_hash_t hash, Word key, PyObject* value, PyObject* computation) {
    if (value) storable(value);
    EntryObject* entry = stress::starve() ? nullptr : PyObject_GC_New(EntryObject, entry_type);
    if (!entry) throw std::bad_alloc();
    PythonPolicy::retain(key);
    if (value) enable_try_incref(value);
    new (static_cast<EntryFields*>(entry)) EntryFields{key, reinterpret_cast<Word>(Py_XNewRef(value)), false};
    entry->hash = hash;
    entry->computation = Py_XNewRef(computation);
    PyObject_GC_Track(entry->object());
    return entry;
}

/// The word of a key. It does not depend on the key's hash, which is known already: hashing a key twice could
/// run user code twice.
Word key_word(PyObject* key, Py_hash_t hash) {
    PyTypeObject* type = Py_TYPE(key);
    bool native = type == &PyUnicode_Type || type == &PyLong_Type || type == &PyFloat_Type
                  || type == &PyBytes_Type || type == &PyBool_Type;
    if (!native) return reinterpret_cast<Word>(key) | PythonPolicy::kObject;
    PythonPolicy::Lookup lookup(key);
    if (static_cast<Py_hash_t>(lookup.hash) == hash) return lookup.word;
    PyErr_Format(PyExc_ValueError, "Entry() wants the hash of %R, got %zd", key, hash);
    throw PythonError{};
}

PyObject* entry_new(PyTypeObject*, PyObject* arguments, PyObject* names) {
    Py_ssize_t hash;
    PyObject *key, *value, *computation = Py_None;
    static const char* parameters[] = {"", "", "", "", nullptr};
    if (!PyArg_ParseTupleAndKeywords(arguments, names, "nOO|O:Entry", const_cast<char**>(parameters), &hash,
                                     &key, &value, &computation))
        throw PythonError{};
    if (computation != Py_None && !as_reservation(computation)) {
        PyErr_Format(PyExc_TypeError, "Entry() wants a Reservation as the computation, got %R", computation);
        throw PythonError{};
    }
    return new_entry(hash, key_word(key, hash), value == missing.get() ? nullptr : value,
                     computation == Py_None ? nullptr : computation)
        ->object();
}

PyObject* entry_hash(EntryObject& self, void*) { return PyLong_FromSsize_t(self.hash); }
PyObject* entry_key(EntryObject& self, void*) { return Py_NewRef(PythonPolicy::object(self.key)); }
PyObject* entry_value(EntryObject& self, void*) {
    return Py_NewRef(self.value ? NodePolicy::object(self.value) : missing.get());
}
PyObject* entry_computation(EntryObject& self, void*) {
    return Py_NewRef(self.computation ? self.computation : Py_None);
}

void free_entry(Word word) {
    EntryObject* entry = NodePolicy::entry_object(word);
    if (PythonPolicy::deferred(entry->key)) PythonPolicy::release(entry->key);
    PyObject_GC_Del(entry);
}

/// Releases at once the objects that the entry owns, except a key that readers compare without retaining it.
/// That key, and the memory, wait for the readers.
void entry_dealloc(PyObject* self) noexcept {
    PyObject_GC_UnTrack(self);
    PyTypeObject* type = Py_TYPE(self);
    auto* entry = reinterpret_cast<EntryObject*>(self);
    std::size_t weight = sizeof(EntryObject);
    // release: pairs with the acquire in TrieCell::read(); comes before the value is released
    entry->dead.store(true, std::memory_order_release);
    if (entry->value) NodePolicy::release(entry->value);
    drop_reference(entry->computation);
    if (PythonPolicy::deferred(entry->key)) weight += PythonPolicy::weight(entry->key);
    else PythonPolicy::release(entry->key);
    retire(reinterpret_cast<Word>(entry), free_entry, weight);
    Py_DECREF(type);
}

PyGetSetDef entry_attributes[] = {
    {"hash", getter_of<entry_hash>(), nullptr, "The hash of the key.", nullptr},
    {"key", getter_of<entry_key>(), nullptr, "The key.", nullptr},
    {"value", getter_of<entry_value>(), nullptr, "The value that readers see; MISSING for none.", nullptr},
    {"computation", getter_of<entry_computation>(), nullptr,
     "The computation that is under way at the key, or None.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMethodDef entry_methods[] = {
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "__class_getitem__($type, item, /)\n--\n\n"},
    {nullptr, nullptr, 0, nullptr},
};

// ---- a version

void append(PyObject* list, Ref item) {
    if (PyList_Append(list, checked(item.get())) < 0) throw PythonError{};
}

PyObject* node_get(Node& self, PyObject* code) { return Chain(Trie::find(&self, hash_from(code))).tuple(); }

PyObject* node_chains(Node& self, PyObject*) {
    Ref list = Ref::steal(checked(PyList_New(0)));
    auto visit = [&](Word word) { append(list.get(), Ref::steal(Chain(word).tuple())); };
    Trie::each(&self, visit);
    return list.release();
}

PyObject* node_first(Node& self, PyObject*) { return Chain(Trie::first(&self)).tuple(); }

PyObject* node_differences(Node& self, PyObject* other) {
    Owned theirs = version_from(other);
    Ref list = Ref::steal(checked(PyList_New(0)));
    auto visit = [&](Word before, Word after) {
        Ref from = Ref::steal(checked(Chain(before).tuple())), to = Ref::steal(checked(Chain(after).tuple()));
        append(list.get(), Ref::steal(PyTuple_Pack(2, from.get(), to.get())));
    };
    Trie::differences(&self, theirs.node(), visit);
    return list.release();
}

Py_ssize_t node_length(Node& self) { return static_cast<Py_ssize_t>(self.weight); }

void free_node(Word word) { PyObject_GC_Del(NodePolicy::object(word)); }

/// Releases at once the objects that the node owns. Its memory waits for the readers that may be reading it.
void node_dealloc(PyObject* self) noexcept {
    PyObject_GC_UnTrack(self);
    PyTypeObject* type = Py_TYPE(self);
    auto* node = reinterpret_cast<Node*>(self);
    // release: pairs with the acquire in TrieCell::get(); comes before the words are released
    node->dead.store(true, std::memory_order_release);
    if (!node->moved) {
        Trie::prefetch(node->slots(), node->count());
        for (unsigned i = 0; i < node->count(); ++i) NodePolicy::release(node->slots()[i].word);
    }
    retire(NodePolicy::word(node), free_node, static_cast<std::size_t>(NodePolicy::bytes_of(node->count())));
    Py_DECREF(type);
}

PyMethodDef node_methods[] = {
    {"get", method<node_get>(), METH_O,
     "get($self, code, /)\n--\n\nThe chain of a hash; () if there is none."},
    {"chains", method<node_chains>(), METH_NOARGS, "chains($self, /)\n--\n\nA list of all chains."},
    {"first", method<node_first>(), METH_NOARGS, "first($self, /)\n--\n\nSome chain; () if there is none."},
    {"differences", method<node_differences>(), METH_O,
     "differences($self, other, /)\n--\n\nPairs of the chains here and there, for every hash where they are "
     "not the same; () for none.\n\n"
     "Takes time proportional to the number of changes that lead from one version to the other."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "__class_getitem__($type, item, /)\n--\n\n"},
    {nullptr, nullptr, 0, nullptr},
};

PyObject* checked_type(PyObject* object, PyTypeObject* type) {
    if (Py_IS_TYPE(object, type)) return object;
    PyErr_Format(PyExc_TypeError, "wanted a %s, got %s", type->tp_name, Py_TYPE(object)->tp_name);
    throw PythonError{};
}

}  // namespace

int EntryObject::traverse(visitproc visit, void* arg) noexcept {
    Py_VISIT(PythonPolicy::object(key));
    if (value) Py_VISIT(NodePolicy::object(value));
    Py_VISIT(computation);
    return 0;
}

int Node::traverse(visitproc visit, void* arg) noexcept {
    for (unsigned i = 0; !moved && i < count(); ++i) Py_VISIT(NodePolicy::object(slots()[i].word));
    return 0;
}

std::int64_t NodePolicy::bytes_of(unsigned slots) {
    return static_cast<std::int64_t>(kCollectorHead + sizeof(Node) + slots * sizeof(TrieSlot));
}

/// The caller fills the slots before it calls anything that can start a collection.
Node* NodePolicy::make_node(unsigned slots) {
    Node* node = stress::starve() ? nullptr : PyObject_GC_NewVar(Node, node_type, slots);
    if (!node) throw std::bad_alloc();
    new (static_cast<TrieFields*>(node)) TrieFields{};
    PyObject_GC_Track(node);
    return node;
}

EntryObject* Chain::find(const PythonPolicy::Lookup& lookup) const {
    for (Py_ssize_t i = 0; i < size(); ++i) {
        EntryObject* entry = (*this)[i];
        Match match = PythonPolicy::match(entry->key, lookup);
        if (match == Match::kAsk) match = PythonPolicy::equal(entry->key, lookup);
        if (match == Match::kError) throw PythonError{};
        if (match == Match::kYes) return entry;
    }
    return nullptr;
}

Owned Chain::with(const EntryObject* old, EntryObject* fresh) const {
    Py_ssize_t size = this->size() + (fresh != nullptr) - (old != nullptr), place = 0;
    if (size == 0) return Owned();
    Ref several = Ref::steal(size == 1 || stress::starve() ? nullptr : PyTuple_New(size));
    if (size > 1 && !several) throw std::bad_alloc();
    EntryObject* last = nullptr;
    auto put = [&](EntryObject* entry) {
        last = entry;
        if (several) PyTuple_SET_ITEM(several.get(), place++, Py_NewRef(entry->object()));
    };
    for (Py_ssize_t i = 0; i < this->size(); ++i) {
        if ((*this)[i] != old) put((*this)[i]);
    }
    if (fresh) put(fresh);
    if (several) return Owned(reinterpret_cast<Word>(several.release()) | NodePolicy::kSeveral);
    return Owned::share(reinterpret_cast<Word>(last));
}

PyObject* Chain::tuple() const {
    if (!word_) return Py_NewRef(no_chain);
    PyObject* object = NodePolicy::object(word_);
    return word_ & NodePolicy::kSeveral ? Py_NewRef(object) : PyTuple_Pack(1, object);
}

PyObject* missing_value() { return missing.get(); }

Owned make_entry(Py_hash_t hash, Word key, PyObject* value, PyObject* computation) {
    return Owned(reinterpret_cast<Word>(new_entry(hash, key, value, computation)));
}

Node* empty_version() {
    static Node* node = NodePolicy::node(Trie::empty().release());
    return node;
}

std::uint64_t hash_from(PyObject* code) {
    Py_ssize_t hash = PyNumber_AsSsize_t(code, PyExc_OverflowError);
    if (hash == -1 && PyErr_Occurred()) throw PythonError{};
    return static_cast<std::uint64_t>(hash);
}

Word word_from(PyObject* chain) {
    checked_type(chain, &PyTuple_Type);
    Py_ssize_t size = PyTuple_GET_SIZE(chain);
    for (Py_ssize_t i = 0; i < size; ++i) checked_type(PyTuple_GET_ITEM(chain, i), entry_type);
    if (size > 1) return reinterpret_cast<Word>(chain) | NodePolicy::kSeveral;
    return size == 1 ? reinterpret_cast<Word>(PyTuple_GET_ITEM(chain, 0)) : 0;
}

EntryObject* entry_from(PyObject* object) {
    return reinterpret_cast<EntryObject*>(checked_type(object, entry_type));
}

Owned version_from(PyObject* object) {
    return Owned::share(reinterpret_cast<Word>(checked_type(object, node_type)));
}

void check_count(const char* method, Py_ssize_t count, Py_ssize_t wanted) {
    if (count == wanted) return;
    PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments, got %zd", method, wanted, count);
    throw PythonError{};
}

void add_trie(PyObject* module) {
    no_chain = checked(PyTuple_New(0));
    entry_type = TypeBuilder<EntryObject>(
                     "threadproof._core.Entry",
                     "Entry(code, key, value, computation=None, /)\n--\n\nA key with its value, which never "
                     "changes. The value MISSING is none, also while the first value is being computed.")
                     .with<entry_new>(Py_tp_new)
                     .dealloc_by(entry_dealloc)
                     .methods(entry_methods)
                     .attributes(entry_attributes)
                     .add_to(module);
    node_type = TypeBuilder<Node>("threadproof._core.TrieVersion",
                                  "A version of a SnapshotMap, which never changes. Its length is the number "
                                  "of values in its chains.")
                    .not_callable()
                    .items_of(sizeof(TrieSlot))
                    .with<node_length>(Py_mp_length)
                    .dealloc_by(node_dealloc)
                    .methods(node_methods)
                    .add_to(module);
    make_immortal(reinterpret_cast<PyObject*>(entry_type));
    make_immortal(reinterpret_cast<PyObject*>(node_type));
}

}  // namespace threadproof::ext
