/// The core's Trie as Python types. Its nodes are Python objects that never change: a version is its root, counting references
/// keeps what versions share alive, and the collector sees every node once, whoever shares it. Its words are chains: tuples that
/// are not looked into here.
#include "ext/trie.hpp"

#include <algorithm>
#include <new>

#include "core/trie.hpp"

namespace threadproof::ext {
namespace {

PyTypeObject* node_type;
PyTypeObject* trie_type;
PyObject* no_chain;  // the empty tuple

struct NodeHead {
    PyVarObject base;
};

struct Node : NodeHead, TrieFields {
    TrieSlot* slots() { return reinterpret_cast<TrieSlot*>(this + 1); }
    const TrieSlot* slots() const { return reinterpret_cast<const TrieSlot*>(this + 1); }
};
inline constexpr std::size_t kCollectorHead = kThreads ? 0 : 2 * sizeof(void*);  // before an object that the collector follows
static_assert(sizeof(Node) % alignof(TrieSlot) == 0);

struct NodePolicy {
    using Node = ext::Node;

    static PyObject* object(Word word) { return reinterpret_cast<PyObject*>(word); }
    static Word word(const Node* node) { return reinterpret_cast<Word>(node); }
    static Node* node(Word word) { return reinterpret_cast<Node*>(word); }

    static std::int64_t bytes_of(unsigned slots) {
        return static_cast<std::int64_t>(kCollectorHead + sizeof(Node) + slots * sizeof(TrieSlot));
    }

    /// The slots are for the caller to fill before anything else happens: the collector may come right after.
    static Node* make_node(unsigned slots) {
        Node* node = stress::starve() ? nullptr : PyObject_GC_NewVar(Node, node_type, slots);
        if (!node) throw std::bad_alloc();
        new (static_cast<TrieFields*>(node)) TrieFields{};
        PyObject_GC_Track(node);
        return node;
    }

    static void hold(Word word) { Py_INCREF(object(word)); }
    static bool try_hold(Word word) { return try_incref(object(word)); }
    static void open(Word word) { allow_try_incref(object(word)); }
    static void drop(Word word) { Py_DECREF(object(word)); }
};

using Trie = threadproof::Trie<NodePolicy>;
using Owned = Trie::Owned;

Node* as_node(PyObject* object) { return reinterpret_cast<Node*>(object); }
Word word_of(PyObject* chain) { return chain == no_chain ? 0 : reinterpret_cast<Word>(chain); }
PyObject* chain_of(Word word) { return Py_NewRef(word ? NodePolicy::object(word) : no_chain); }
PyObject* given(Owned owned) { return owned ? NodePolicy::object(owned.give()) : Py_NewRef(no_chain); }

std::uint64_t hash_from(PyObject* code) {
    Py_ssize_t hash = PyNumber_AsSsize_t(code, PyExc_OverflowError);
    if (hash == -1 && PyErr_Occurred()) throw PythonError{};
    return static_cast<std::uint64_t>(hash);
}

std::int64_t number_from(PyObject* number) { return static_cast<std::int64_t>(hash_from(number)); }

/// Arguments of one method, by place only.
void check_count(const char* method, Py_ssize_t count, Py_ssize_t wanted) {
    if (count == wanted) return;
    PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments, got %zd", method, wanted, count);
    throw PythonError{};
}

PyObject* checked_type(PyObject* object, PyTypeObject* type, const char* method) {
    if (Py_IS_TYPE(object, type)) return object;
    PyErr_Format(PyExc_TypeError, "%s() wants a %s, got %s", method, type->tp_name, Py_TYPE(object)->tp_name);
    throw PythonError{};
}

PyObject* checked_chain(PyObject* object, const char* method) { return checked_type(object, &PyTuple_Type, method); }

Owned version_from(PyObject* object, const char* method) {
    return Owned::share(reinterpret_cast<Word>(checked_type(object, node_type, method)));
}

// ------------------------------------------------------------------------------------------------ a version

PyObject* node_get(PyObject* self, PyObject* code) { return chain_of(Trie::find(as_node(self), hash_from(code))); }

PyObject* node_changed(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
    check_count("changed", count, 3);
    PyObject* chain = checked_chain(arguments[1], "changed");
    if (word_of(chain)) NodePolicy::open(word_of(chain));
    return given(Trie::changed(as_node(self), hash_from(arguments[0]), word_of(chain), number_from(arguments[2])));
}

void append(PyObject* list, Ref item) {
    if (PyList_Append(list, checked(item.get())) < 0) throw PythonError{};
}

PyObject* node_chains(PyObject* self, PyObject*) {
    Ref list = Ref::steal(checked(PyList_New(0)));
    auto visit = [&](Word chain) { append(list.get(), Ref::borrow(NodePolicy::object(chain))); };
    Trie::each(as_node(self), visit);
    return list.release();
}

PyObject* node_first(PyObject* self, PyObject*) { return chain_of(Trie::first(as_node(self))); }

PyObject* node_differences(PyObject* self, PyObject* other) {
    checked_type(other, node_type, "differences");
    Ref list = Ref::steal(checked(PyList_New(0)));
    auto visit = [&](Word before, Word after) {
        Ref from = Ref::steal(chain_of(before)), to = Ref::steal(chain_of(after));
        append(list.get(), Ref::steal(PyTuple_Pack(2, from.get(), to.get())));
    };
    Trie::differences(as_node(self), as_node(other), visit);
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
    if constexpr (kThreads) {
        Threads::mine();  // who has never pinned would take another's pins for its own, and think itself alone
        std::size_t bytes = static_cast<std::size_t>(NodePolicy::bytes_of(node->count()));
        Reclaimer::retire(Retired{NodePolicy::word(node), free_node}, bytes);
    } else {
        free_node(NodePolicy::word(node));
    }
    Py_DECREF(type);
}

// ------------------------------------------------------------------------------------------------ the newest version

struct TrieObject {
    PyObject_HEAD
    bool built;  ///< the core below has been constructed
    // Room for the core, which wants an alignment that Python's allocator does not give.
    alignas(16) unsigned char room[sizeof(Trie::Cell) + alignof(Trie::Cell)];
};

Trie::Cell& core(PyObject* self) {
    auto address = reinterpret_cast<std::uintptr_t>(reinterpret_cast<TrieObject*>(self)->room);
    return *reinterpret_cast<Trie::Cell*>((address + alignof(Trie::Cell) - 1) & ~(std::uintptr_t{alignof(Trie::Cell)} - 1));
}

bool& built(PyObject* self) { return reinterpret_cast<TrieObject*>(self)->built; }

/// One for all: no version is a better beginning, and to clear a trie must not need memory.
Node* empty_version() {
    static Node* node = NodePolicy::node(Trie::empty().give());
    return node;
}

PyObject* trie_new(PyTypeObject* type, PyObject* arguments, PyObject* names) {
    PyObject* version = reinterpret_cast<PyObject*>(empty_version());
    static const char* parameters[] = {"", nullptr};
    if (!PyArg_ParseTupleAndKeywords(arguments, names, "|O!:Trie", const_cast<char**>(parameters), node_type, &version)) return nullptr;
    Ref self = Ref::steal(checked(type->tp_alloc(type, 0)));
    new (&core(self.get())) Trie::Cell(Owned::share(reinterpret_cast<Word>(version)));
    built(self.get()) = true;
    return self.release();
}

PyObject* trie_get(PyObject* self, PyObject* code) { return given(core(self).get(hash_from(code))); }

PyObject* trie_replace(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
    check_count("replace", count, 4);
    PyObject *seen = checked_chain(arguments[1], "replace"), *chain = checked_chain(arguments[2], "replace");
    return PyBool_FromLong(core(self).replace(hash_from(arguments[0]), word_of(seen), word_of(chain), number_from(arguments[3])));
}

PyObject* trie_version(PyObject* self, PyObject*) { return given(core(self).version()); }

PyObject* trie_publish(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
    check_count("publish", count, 2);
    return PyBool_FromLong(core(self).publish(version_from(arguments[0], "publish"), version_from(arguments[1], "publish")));
}

PyObject* trie_clear(PyObject* self, PyObject*) { return given(core(self).exchange(Owned::share(NodePolicy::word(empty_version())))); }

PyObject* trie_retries(PyObject* self, PyObject*) { return PyLong_FromUnsignedLongLong(core(self).retries()); }

PyObject* trie_bytes(PyObject* self, PyObject*) { return PyLong_FromLongLong(core(self).bytes()); }

PyObject* trie_check(PyObject* self, PyObject*) {
    Trie::check(core(self).version().node());
    Py_RETURN_NONE;
}

Py_ssize_t trie_length(PyObject* self) { return static_cast<Py_ssize_t>(core(self).weight()); }

int trie_traverse(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    if (built(self)) Py_VISIT(reinterpret_cast<const PyObject*>(core(self).stopped()));
    return 0;
}

int trie_tp_clear(PyObject* self) {
    if (built(self)) core(self).exchange(Owned::share(NodePolicy::word(empty_version())));
    return 0;
}

void trie_dealloc(PyObject* self) {
    PyObject_GC_UnTrack(self);
    PyTypeObject* type = Py_TYPE(self);
    if (built(self)) core(self).~Cell();
    type->tp_free(self);
    Py_DECREF(type);
}

PyMethodDef node_methods[] = {
    {"get", method<node_get>(), METH_O, "get($self, code, /)\n--\n\nThe chain of a hash; () if there is none."},
    {"changed", method<node_changed>(), METH_FASTCALL,
     "changed($self, code, chain, growth, /)\n--\n\nThe version with this chain at the hash, () for none, and with `growth` more values."},
    {"chains", method<node_chains>(), METH_NOARGS, "chains($self, /)\n--\n\nA list of all chains."},
    {"first", method<node_first>(), METH_NOARGS, "first($self, /)\n--\n\nSome chain; () if there is none."},
    {"differences", method<node_differences>(), METH_O,
     "differences($self, other, /)\n--\n\nPairs of the chains here and there, for every hash where they are not the same object; () for "
     "none.\n\nTakes time proportional to the number of changes that lead from one version to the other."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot node_slots[] = {
    {Py_tp_doc, const_cast<char*>("A version of a Trie, which never changes. Its length is the number of values in its chains.")},
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
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = node_slots,
};

PyMethodDef trie_methods[] = {
    {"get", method<trie_get>(), METH_O, "get($self, code, /)\n--\n\nThe chain of a hash; () if there is none. Waits for nobody."},
    {"replace", method<trie_replace>(), METH_FASTCALL,
     "replace($self, code, seen, chain, growth, /)\n--\n\nPut `chain`, with `growth` more values, in the place of `seen`; say whether "
     "`seen` was still there.\n\n() is none."},
    {"version", method<trie_version>(), METH_NOARGS, "version($self, /)\n--\n\nThe newest version."},
    {"publish", method<trie_publish>(), METH_FASTCALL,
     "publish($self, base, newer, /)\n--\n\nMake `newer` the newest version; say whether `base` still was."},
    {"clear", method<trie_clear>(), METH_NOARGS, "clear($self, /)\n--\n\nMake the newest version an empty one; return what it was."},
    {"bytes", method<trie_bytes>(), METH_NOARGS, "bytes($self, /)\n--\n\nWhat the nodes of the newest version take."},
    {"retries", method<trie_retries>(), METH_NOARGS, "retries($self, /)\n--\n\nHow often a writer was overtaken, and began again."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "__class_getitem__($type, item, /)\n--\n\n"},
    {"check", method<trie_check>(), METH_NOARGS, "check($self, /)\n--\n\nAssert the invariants of the newest version."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot trie_slots[] = {
    {Py_tp_doc, const_cast<char*>("Trie(version=<empty>, /)\n--\n\nAn atomic reference to the newest version of a map from hashes to chains, which "
                                  "are tuples.")},
    {Py_tp_new, slot<trie_new>()},
    {Py_tp_dealloc, reinterpret_cast<void*>(trie_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(trie_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(trie_tp_clear)},
    {Py_mp_length, slot<trie_length>()},
    {Py_tp_methods, trie_methods},
    {0, nullptr},
};

PyType_Spec trie_spec = {
    .name = "threadproof._core.Trie",
    .basicsize = sizeof(TrieObject),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = trie_slots,
};

PyTypeObject* added(PyObject* module, PyType_Spec* spec, const char* name) {
    PyObject* type = PyType_FromModuleAndSpec(module, spec, nullptr);
    if (type && PyModule_AddObjectRef(module, name, type) < 0) return nullptr;
    return reinterpret_cast<PyTypeObject*>(type);
}

}  // namespace

bool add_trie(PyObject* module) {
    no_chain = PyTuple_New(0);
    node_type = added(module, &node_spec, "TrieVersion");
    trie_type = node_type ? added(module, &trie_spec, "Trie") : nullptr;
    return no_chain && trie_type;
}

}  // namespace threadproof::ext
