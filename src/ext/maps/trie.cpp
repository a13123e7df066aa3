#include "ext/maps/trie.hpp"

#include <new>

namespace threadproof::ext {
namespace {

PyTypeObject* entry_type;
PyTypeObject* node_type;
PyObject* no_chain;  // the empty tuple
PyObject* missing;   // threadproof.missing.MISSING

// before an object that the collector follows
constexpr std::size_t kCollectorHead = kThreads ? 0 : 2 * sizeof(void*);

EntryObject* as_entry(PyObject* object) { return reinterpret_cast<EntryObject*>(object); }
Node* as_node(PyObject* object) { return reinterpret_cast<Node*>(object); }

void append(PyObject* list, Ref item) {
    if (PyList_Append(list, checked(item.get())) < 0) throw PythonError{};
}

/// Memory that pinned readers may be looking at goes when they have left.
void retire(Word word, void (*free)(Word), std::size_t bytes) {
    if constexpr (kThreads) {
        // who has never pinned would take another's pins for its own, and think itself alone
        Threads::mine();
        Reclaimer::retire(Retired{word, free}, bytes);
    } else {
        free(word);
    }
}

// ---- an entry

/// Takes a reference to each of these.
EntryObject* new_entry(Py_hash_t hash, Word key, PyObject* value, PyObject* computation) {
    EntryObject* entry = stress::starve() ? nullptr : PyObject_GC_New(EntryObject, entry_type);
    if (!entry) throw std::bad_alloc();
    PythonPolicy::hold(key);
    if (value) allow_try_incref(value);
    new (static_cast<EntryFields*>(entry)) EntryFields{key, reinterpret_cast<Word>(Py_XNewRef(value)), false};
    entry->hash = hash;
    entry->computation = Py_XNewRef(computation);
    PyObject_GC_Track(reinterpret_cast<PyObject*>(entry));
    return entry;
}

/// A key's word does not depend on its hash, which is known already and must not be asked for again: it is
/// user code.
Word key_word(PyObject* key, Py_hash_t hash) {
    PyTypeObject* type = Py_TYPE(key);
    bool native = type == &PyUnicode_Type || type == &PyLong_Type || type == &PyFloat_Type
                  || type == &PyBytes_Type || type == &PyBool_Type;
    if (!native) return reinterpret_cast<Word>(key) | PythonPolicy::kObject;
    PythonPolicy::Probe probe(key);
    if (static_cast<Py_hash_t>(probe.hash) == hash) return probe.word;
    PyErr_Format(PyExc_ValueError, "Entry() wants the hash of %R, got %zd", key, hash);
    throw PythonError{};
}

PyObject* entry_new(PyTypeObject*, PyObject* arguments, PyObject* names) {
    Py_ssize_t hash;
    PyObject *key, *value, *computation = Py_None;
    static const char* parameters[] = {"", "", "", "", nullptr};
    if (!PyArg_ParseTupleAndKeywords(arguments, names, "nOO|O:Entry", const_cast<char**>(parameters), &hash,
                                     &key, &value, &computation))
        return nullptr;
    return reinterpret_cast<PyObject*>(new_entry(hash, key_word(key, hash),
                                                 value == missing ? nullptr : value,
                                                 computation == Py_None ? nullptr : computation));
}

PyObject* entry_hash(PyObject* self, void*) { return PyLong_FromSsize_t(as_entry(self)->hash); }
PyObject* entry_key(PyObject* self, void*) { return Py_NewRef(PythonPolicy::object(as_entry(self)->key)); }
PyObject* entry_value(PyObject* self, void*) {
    return Py_NewRef(as_entry(self)->value ? NodePolicy::object(as_entry(self)->value) : missing);
}
PyObject* entry_computation(PyObject* self, void*) {
    return Py_NewRef(as_entry(self)->computation ? as_entry(self)->computation : Py_None);
}

int entry_traverse(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(PythonPolicy::object(as_entry(self)->key));
    if (as_entry(self)->value) Py_VISIT(NodePolicy::object(as_entry(self)->value));
    Py_VISIT(as_entry(self)->computation);
    return 0;
}

void free_entry(Word word) {
    EntryObject* entry = NodePolicy::entry_object(word);
    if (PythonPolicy::deferred(entry->key)) PythonPolicy::drop(entry->key);
    PyObject_GC_Del(entry);
}

/// What it holds goes at once; its memory, and a key that readers compare without holding it, when they have
/// left.
void entry_dealloc(PyObject* self) {
    PyObject_GC_UnTrack(self);
    PyTypeObject* type = Py_TYPE(self);
    EntryObject* entry = as_entry(self);
    std::size_t weight = sizeof(EntryObject);
    entry->dead.store(true, std::memory_order_release);  // release: pairs with Trie::Cell::read()
    if (entry->value) NodePolicy::drop(entry->value);
    drop_reference(entry->computation);
    if (PythonPolicy::deferred(entry->key)) weight += PythonPolicy::weight(entry->key);
    else PythonPolicy::drop(entry->key);
    retire(reinterpret_cast<Word>(entry), free_entry, weight);
    Py_DECREF(type);
}

PyGetSetDef entry_getset[] = {
    {"hash", entry_hash, nullptr, "The hash of the key.", nullptr},
    {"key", entry_key, nullptr, "The key.", nullptr},
    {"value", entry_value, nullptr, "What readers see: MISSING for no value.", nullptr},
    {"computation", entry_computation, nullptr, "The computation that is deciding the value, or None.",
     nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMethodDef entry_methods[] = {
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "__class_getitem__($type, item, /)\n--\n\n"},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot entry_slots[] = {
    {Py_tp_doc, const_cast<char*>("Entry(code, key, value, computation=None, /)\n--\n\nA key with its value, "
                                  "for good. MISSING is no value, "
                                  "also while the first one is being computed.")},
    {Py_tp_new, slot<entry_new>()},
    {Py_tp_dealloc, reinterpret_cast<void*>(entry_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(entry_traverse)},
    {Py_tp_getset, entry_getset},
    {Py_tp_methods, entry_methods},
    {0, nullptr},
};

PyType_Spec entry_spec = {
    .name = "threadproof._core.Entry",
    .basicsize = sizeof(EntryObject),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = entry_slots,
};

// ---- a version

PyObject* node_get(PyObject* self, PyObject* code) {
    return Chain(Trie::find(as_node(self), hash_from(code))).tuple();
}

PyObject* node_changed(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
    check_count("changed", count, 3);
    std::uint64_t hash = hash_from(arguments[0]);
    Word word = word_from(arguments[1]);
    if (word) NodePolicy::open(word);
    return given(
        Trie::changed(as_node(self), hash, word, static_cast<std::int64_t>(hash_from(arguments[2]))));
}

PyObject* node_chains(PyObject* self, PyObject*) {
    Ref list = Ref::steal(checked(PyList_New(0)));
    auto visit = [&](Word word) { append(list.get(), Ref::steal(Chain(word).tuple())); };
    Trie::each(as_node(self), visit);
    return list.release();
}

PyObject* node_first(PyObject* self, PyObject*) { return Chain(Trie::first(as_node(self))).tuple(); }

PyObject* node_differences(PyObject* self, PyObject* other) {
    Owned theirs = version_from(other);
    Ref list = Ref::steal(checked(PyList_New(0)));
    auto visit = [&](Word before, Word after) {
        Ref from = Ref::steal(checked(Chain(before).tuple())), to = Ref::steal(checked(Chain(after).tuple()));
        append(list.get(), Ref::steal(PyTuple_Pack(2, from.get(), to.get())));
    };
    Trie::differences(as_node(self), theirs.node(), visit);
    return list.release();
}

Py_ssize_t node_length(PyObject* self) { return static_cast<Py_ssize_t>(as_node(self)->weight); }

int node_traverse(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    const Node* node = as_node(self);
    for (unsigned i = 0; i < node->count(); ++i) Py_VISIT(NodePolicy::object(node->slots()[i].word));
    return 0;
}

void free_node(Word word) { PyObject_GC_Del(NodePolicy::object(word)); }

/// What it holds goes at once; its memory when the readers that may be looking at it have left.
void node_dealloc(PyObject* self) {
    PyObject_GC_UnTrack(self);
    PyTypeObject* type = Py_TYPE(self);
    Node* node = as_node(self);
    node->dead.store(true, std::memory_order_release);  // release: pairs with Trie::Cell::get()
    for (unsigned i = 0; i < node->count(); ++i) NodePolicy::drop(node->slots()[i].word);
    retire(NodePolicy::word(node), free_node, static_cast<std::size_t>(NodePolicy::bytes_of(node->count())));
    Py_DECREF(type);
}

PyMethodDef node_methods[] = {
    {"get", method<node_get>(), METH_O,
     "get($self, code, /)\n--\n\nThe chain of a hash; () if there is none."},
    {"changed", method<node_changed>(), METH_FASTCALL,
     "changed($self, code, chain, growth, /)\n--\n\nThe version with this chain at the hash, () for none, "
     "and with `growth` more values."},
    {"chains", method<node_chains>(), METH_NOARGS, "chains($self, /)\n--\n\nA list of all chains."},
    {"first", method<node_first>(), METH_NOARGS, "first($self, /)\n--\n\nSome chain; () if there is none."},
    {"differences", method<node_differences>(), METH_O,
     "differences($self, other, /)\n--\n\nPairs of the chains here and there, for every hash where they are "
     "not the same; () for none.\n\n"
     "Takes time proportional to the number of changes that lead from one version to the other."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "__class_getitem__($type, item, /)\n--\n\n"},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot node_slots[] = {
    {Py_tp_doc, const_cast<char*>("A version of a SnapshotMap, which never changes. Its length is the number "
                                  "of values in its chains.")},
    {Py_tp_dealloc, reinterpret_cast<void*>(node_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(node_traverse)},
    {Py_mp_length, slot<node_length>()},
    {Py_tp_methods, node_methods},
    {0, nullptr},
};

PyType_Spec node_spec = {
    .name = "threadproof._core.TrieVersion",
    .basicsize = sizeof(Node),
    .itemsize = sizeof(TrieSlot),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = node_slots,
};

PyObject* checked_type(PyObject* object, PyTypeObject* type) {
    if (Py_IS_TYPE(object, type)) return object;
    PyErr_Format(PyExc_TypeError, "wanted a %s, got %s", type->tp_name, Py_TYPE(object)->tp_name);
    throw PythonError{};
}

PyTypeObject* added(PyObject* module, PyType_Spec* spec, const char* name) {
    PyObject* type = PyType_FromModuleAndSpec(module, spec, nullptr);
    if (type && PyModule_AddObjectRef(module, name, type) < 0) return nullptr;
    return reinterpret_cast<PyTypeObject*>(type);
}

}  // namespace

std::int64_t NodePolicy::bytes_of(unsigned slots) {
    return static_cast<std::int64_t>(kCollectorHead + sizeof(Node) + slots * sizeof(TrieSlot));
}

/// The slots are for the caller to fill before anything else happens: the collector may come right after.
Node* NodePolicy::make_node(unsigned slots) {
    Node* node = stress::starve() ? nullptr : PyObject_GC_NewVar(Node, node_type, slots);
    if (!node) throw std::bad_alloc();
    new (static_cast<TrieFields*>(node)) TrieFields{};
    PyObject_GC_Track(node);
    return node;
}

EntryObject* Chain::find(const PythonPolicy::Probe& probe) const {
    for (Py_ssize_t i = 0; i < size(); ++i) {
        EntryObject* entry = (*this)[i];
        Match match = PythonPolicy::match(entry->key, probe);
        if (match == Match::kAsk) match = PythonPolicy::equal(entry->key, probe);
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
        if (several) PyTuple_SET_ITEM(several.get(), place++, Py_NewRef(reinterpret_cast<PyObject*>(entry)));
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

PyObject* missing_value() { return missing; }

Owned make_entry(Py_hash_t hash, Word key, PyObject* value) {
    return Owned(reinterpret_cast<Word>(new_entry(hash, key, value, nullptr)));
}

Node* empty_version() {
    static Node* node = NodePolicy::node(Trie::empty().give());
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

Owned version_from(PyObject* object) {
    return Owned::share(reinterpret_cast<Word>(checked_type(object, node_type)));
}

void check_count(const char* method, Py_ssize_t count, Py_ssize_t wanted) {
    if (count == wanted) return;
    PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments, got %zd", method, wanted, count);
    throw PythonError{};
}

PyObject* given(Owned version) { return NodePolicy::object(version.give()); }

bool add_trie(PyObject* module) {
    Ref home = Ref::steal(PyImport_ImportModule("threadproof.missing"));
    missing = home ? PyObject_GetAttrString(home.get(), "MISSING") : nullptr;
    no_chain = PyTuple_New(0);
    entry_type = added(module, &entry_spec, "Entry");
    node_type = added(module, &node_spec, "TrieVersion");
    return missing && no_chain && entry_type && node_type;
}

}  // namespace threadproof::ext
