/// The core's Trie with Python's objects. Its nodes and entries are Python objects that never change: a
/// version is its root, counting references keeps what versions share alive, and the collector sees
/// everything once, whoever shares it.
///
/// Python sees the entries of the keys of one hash as a chain, which is a tuple. In the trie the word of a
/// chain of one is that entry itself, so that readers reach its value with one step less and count no chain.
#pragma once

#include "core/maps/trie.hpp"
#include "ext/maps/python_policy.hpp"

namespace threadproof::ext {

struct NodeHead {
    PyVarObject base;
};

struct Node : NodeHead, TrieFields {
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
    PyObject* computation;  ///< what ChainedMap keeps here while a function decides the value, or null
};

/// What other threads try to hold is an object that readers can still see; see try_incref().
struct NodePolicy {
    static constexpr bool kThreads = ext::kThreads;
    static constexpr Word kSeveral = 1;  ///< marks the word of a tuple of entries

    using Node = ext::Node;

    static PyObject* object(Word word) { return reinterpret_cast<PyObject*>(word & ~kSeveral); }
    static EntryObject* entry_object(Word word) { return reinterpret_cast<EntryObject*>(word); }
    static Word word(const Node* node) { return reinterpret_cast<Word>(node); }
    static Node* node(Word word) { return reinterpret_cast<Node*>(word); }

    static std::int64_t bytes_of(unsigned slots);
    static Node* make_node(unsigned slots);

    TP_HOT static const EntryFields* entry(Word word) {
        return word & kSeveral ? nullptr : entry_object(word);
    }
    TP_HOT static Match match(Word key, const PythonPolicy::Probe& probe) {
        return PythonPolicy::match(key, probe);
    }
    TP_HOT static void hold(Word word) { Py_INCREF(object(word)); }
    TP_HOT static bool try_hold(Word word) { return try_incref(object(word)); }
    static void open(Word word) { allow_try_incref(object(word)); }
    TP_HOT static void drop(Word word) { drop_reference(object(word)); }
};

using Trie = threadproof::Trie<NodePolicy>;
using Owned = Trie::Owned;

/// The entries that a word stands for. Somebody owns the word meanwhile.
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

    /// The entry of a key, or null. Compares keys by what may be user code.
    EntryObject* find(const PythonPolicy::Probe& probe) const;

    /// The word of these entries with `fresh` in the place of `old`; either may be null. Throws
    /// std::bad_alloc.
    Owned with(const EntryObject* old, EntryObject* fresh) const;

    /// The tuple that Python sees.
    PyObject* tuple() const;

 private:
    Word word_;
};

/// threadproof.missing.MISSING, borrowed.
PyObject* missing_value();

/// An entry of a key's word and a value. Throws std::bad_alloc.
Owned make_entry(Py_hash_t hash, Word key, PyObject* value);

/// One for all, and it is not owned: no version is a better beginning, and to clear a map must not need
/// memory.
Node* empty_version();

/// Arguments that Python passes, or throws.
std::uint64_t hash_from(PyObject* code);
Word word_from(PyObject* chain);
Owned version_from(PyObject* object);
void check_count(const char* method, Py_ssize_t count, Py_ssize_t wanted);

/// A reference for Python to a version.
PyObject* given(Owned version);

bool add_trie(PyObject* module);

}  // namespace threadproof::ext
