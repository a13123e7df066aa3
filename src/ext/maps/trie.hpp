/// The core's Trie with Python objects. Its nodes and entries are Python objects that never change: a version
/// is its root; reference counts keep alive what versions share; and the garbage collector visits each
/// reference once, however many versions share it.
///
/// Python sees the entries of the keys with one hash as a chain, which is a tuple. In the trie the word of a
/// chain with one entry is that entry itself. So readers reach its value in one step less and take no
/// reference to the chain.
#pragma once

#include "core/maps/trie_cell.hpp"
#include "ext/maps/python_policy.hpp"

namespace threadproof::ext {

struct NodeHead {
    PyVarObject base;
};

struct Node : NodeHead, TrieFields {
    PyObject* object() { return &base.ob_base; }
    int traverse(visitproc visit, void* arg) noexcept;

    TrieSlot* slots() { return reinterpret_cast<TrieSlot*>(this + 1); }
    const TrieSlot* slots() const { return reinterpret_cast<const TrieSlot*>(this + 1); }
};
static_assert(sizeof(Node) % alignof(TrieSlot) == 0);

struct EntryHead {
    PyObject_HEAD
};

/// A key with its value. A key whose first value is being computed has none.
struct EntryObject : EntryHead, EntryFields {
    Py_hash_t hash;
    PyObject* computation;  ///< the Reservation, while a function computes the value; or null

    PyObject* object() { return &ob_base; }
    int traverse(visitproc visit, void* arg) noexcept;
};

struct NodePolicy {
    static constexpr bool kThreads = ext::kThreads;
    static constexpr Word kSeveral = 1;  ///< marks the word of a tuple of entries

    using Node = ext::Node;

#if PY_VERSION_HEX < 0x030c0000
    /// Until CPython 3.12 an allocation can begin a collection, which runs user code.
    struct NoCollection {
        const int before = PyGC_Disable();
        NoCollection() = default;
        ~NoCollection() {
            if (before) PyGC_Enable();
        }
        NoCollection(const NoCollection&) = delete;
        NoCollection& operator=(const NoCollection&) = delete;
    };
#else
    struct NoCollection {};
#endif

    static void* address(Word word) { return object(word); }
    static PyObject* object(Word word) { return reinterpret_cast<PyObject*>(word & ~kSeveral); }
    static EntryObject* entry_object(Word word) { return reinterpret_cast<EntryObject*>(word); }
    static Word word(const Node* node) { return reinterpret_cast<Word>(node); }
    static Node* node(Word word) { return reinterpret_cast<Node*>(word); }

    static std::int64_t bytes_of(unsigned slots);
    static Node* make_node(unsigned slots);

    TP_HOT static const EntryFields* entry(Word word) {
        return word & kSeveral ? nullptr : entry_object(word);
    }
    TP_HOT static Match match(Word key, const PythonPolicy::Lookup& lookup) {
        return PythonPolicy::match(key, lookup);
    }
    TP_HOT static void retain(Word word) { Py_INCREF(object(word)); }
    TP_HOT static bool try_retain(Word word) { return try_incref(object(word)); }
    static void enable_try_retain(Word word) { enable_try_incref(object(word)); }
    TP_HOT static void release(Word word) { drop_reference(object(word)); }
};

using Trie = threadproof::Trie<NodePolicy>;
using TrieCell = threadproof::TrieCell<NodePolicy>;
using Owned = Trie::Owned;

/// The entries of a leaf's word, which has an owner meanwhile.
class Chain {
 public:
    explicit Chain(Word word) : word_(word) {}
    Py_ssize_t size() const {
        return word_ & NodePolicy::kSeveral ? PyTuple_GET_SIZE(NodePolicy::object(word_)) : word_ != 0;
    }
    EntryObject* operator[](Py_ssize_t i) const {
        if (!(word_ & NodePolicy::kSeveral)) return NodePolicy::entry_object(word_);
        return reinterpret_cast<EntryObject*>(PyTuple_GET_ITEM(NodePolicy::object(word_), i));
    }

    /// The entry of a key, or null. Comparing keys can run user code. Throws.
    EntryObject* find(const PythonPolicy::Lookup& lookup) const;

    /// The word of these entries with `fresh` in the place of `old`; either may be null. Throws bad_alloc.
    Owned with(const EntryObject* old, EntryObject* fresh) const;

    /// The tuple that Python sees.
    PyObject* tuple() const;

 private:
    Word word_;
};

/// threadproof.missing.MISSING, borrowed. Throws if it has not been provided.
PyObject* missing_value();

/// An entry of a key's word, a value and a reservation, each of the last two or null. Throws bad_alloc.
Owned make_entry(Py_hash_t hash, Word key, PyObject* value, PyObject* computation = nullptr);

/// The one empty version, not owned: so clearing a map needs no memory.
Node* empty_version();

// Arguments from Python. These throw.
std::uint64_t hash_from(PyObject* code);
Word word_from(PyObject* chain);
EntryObject* entry_from(PyObject* object);
Owned version_from(PyObject* object);
void check_count(const char* method, Py_ssize_t count, Py_ssize_t wanted);

/// The reference to a version goes to Python.
inline PyObject* into_object(Owned version) { return NodePolicy::object(version.release()); }

/// Adds the types to the module. Throws.
void add_trie(PyObject* module);

}  // namespace threadproof::ext
