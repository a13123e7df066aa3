/// A persistent trie: a map from 64-bit hashes to words, of which every version can be kept. This file has its
/// nodes, and reads them; trie_cell.hpp has the reference to the newest version, and changes it.
///
/// How it works. A version is a tree of nodes. A node has up to 32 slots, present or not by five bits of the
/// hash; a slot holds a leaf (a hash and its word) or a node for the next five bits. A change copies the nodes
/// on the way to its slot, at most 13, and shares all others with the version it came from; nodes that it
/// made itself since the last version was handed out it changes in place. Two versions are compared by
/// walking only what they do not share.
///
/// A leaf's word is an entry, which is one key and its value, or something else that the policy keeps for
/// several keys of one hash. A reader reads an entry without retaining it, and takes a reference only to the
/// value that it returns: so readers write to nothing else that they share.
///
/// Invariants
///  1. A node changes only while its `owner` is the mark of the one cell that has it, and then only the words of
///     its slots. A version that has been handed out never changes.
///  2. Slots stand in the order of their bits, and `inner` is a subset of `present`.
///  3. Below the root every node has at least two leaves, so a version depends on its contents alone.
///  4. A root's `weight` is the sum of the weights given to its leaves, and its `bytes` are those of its nodes.
///  5. The memory of a node, and of an entry with the key that match() reads, outlives every reader that was
///     pinned when it died.
///  6. The words of a `moved` node belong to another node; it is dead.
///
/// Field          | written                           | read                         | guard
/// ---------------|-----------------------------------|------------------------------|---------------------
/// slot.word      | release, by the owner             | acquire                      | the cell's lock
/// root.weight,   | before the version is handed out  | plain, by its owners         | the cell's lock
/// root.bytes     |                                   |                              |
/// other node     | before the node is published      | plain, by owners of its      | never change; a slot or
/// fields         |                                   | version and pinned threads   | a root publishes them
/// node.moved     | plain                             | plain, by its deallocation   | the cell's lock
/// entry fields   | before the entry is published     | plain, by its owners and     | never change; a slot or
///                |                                   | pinned threads               | a root publishes them
/// node.dead,     | release, when the last owner left | acquire, after a retain      | none: see below
/// entry.dead     | or the node's words were moved    |                              |
///
/// Why `dead` proves a read. A reader, pinned, loads a word from a node or an entry, retains the object that
/// the word leads to, and then loads `dead`; if the word is in a slot, it also loads the slot again. When the
/// last owner leaves, `dead` is stored, and afterwards the words are released.
///  - If the reader sees false, and the word in its slot: the word was not released yet when the reader
///    retained its object, so that is the object of the word.
///  - If not: the word may have been released, and another object may be at that address. The reader
///    releases what it has, and begins again with the newest version.
///
/// Sources: Bagwell, Ideal hash trees; Steindorfer and Vinju, Optimizing hash-array mapped tries (the
/// canonical form); Clojure's transients (the owner marks).
///
/// What a Policy has:
///
///     kThreads                     false where a global lock serialises all calls: pins and locks vanish
///     NoCollection                 while it lives, making a node runs no user code
///     retain(word), release(word)  one reference more; one less, which may run any code
///     try_retain(word)             one reference more to an object that may be dying; false if it has died
///     enable_try_retain(word)      makes try_retain succeed in other threads; done for the values of entries. It
///                                  may fail before, in other threads than the one that made the object
///     make_node(slots)             a node of zeroes with one owner; takes bytes_of(slots)
///     word(node), node(word)       convert one into the other
///     address(word)                of the object, to be fetched into the processor's cache
///     entry(word)                  the entry that a leaf's word is, or null
///     match(key, lookup)           native comparison; may read the key of an entry without retaining it
///
/// When its last owner releases a node or an entry, the policy sets `dead`, then releases what that owns (a node
/// that has `moved` owns nothing), and lets its memory outlive the pinned readers: see invariant 5.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <utility>

#include "core/base/hints.hpp"
#include "core/maps/equality_cache.hpp"

namespace threadproof {

/// A hash and its word; or, for a node of the next level, that node as a word.
struct TrieSlot {
    std::uint64_t hash;
    Word word;

    /// The word, which the owner of the slot's node may be changing.
    TP_HOT Word load() const {
        // acquire: pairs with the release in store()
        return std::atomic_ref<Word>(const_cast<Word&>(word)).load(std::memory_order_acquire);
    }
    /// Publishes another word of the same hash, or another node.
    void store(Word next) {
        // release: pairs with the acquire in load(); makes the entry or node visible
        std::atomic_ref<Word>(word).store(next, std::memory_order_release);
    }
};

/// How many bits are set. Source: Warren, Hacker's Delight, 5-1. For the oldest x86-64 processors the compiler's
/// own is a call.
TP_HOT unsigned ones(std::uint32_t bits) {
#if defined(__POPCNT__) || !defined(__x86_64__)
    return static_cast<unsigned>(__builtin_popcount(bits));
#else
    bits -= bits >> 1 & 0x55555555;
    bits = (bits & 0x33333333) + (bits >> 2 & 0x33333333);
    return ((bits + (bits >> 4)) & 0x0f0f0f0f) * 0x01010101 >> 24;
#endif
}

/// What every node has besides what the policy adds for counting.
struct TrieFields {
    std::int64_t weight;     ///< of a root: what its leaves weigh
    std::int64_t bytes;      ///< of a root: what its nodes take
    std::uint64_t owner;     ///< the mark of the cell that made it
    std::uint32_t present;   ///< which of the 32 slots are there
    std::uint32_t inner;     ///< which of them hold nodes
    std::atomic<bool> dead;  ///< it has no owner any more, or its words were moved
    bool moved;              ///< its words belong to another node

    unsigned count() const { return ones(present); }
    TP_HOT unsigned index(std::uint32_t bit) const { return ones(present & (bit - 1)); }
};

/// What every entry has besides what the policy adds for counting.
struct EntryFields {
    Word key;
    Word value;              ///< 0: none, for reasons of the policy
    std::atomic<bool> dead;  ///< it has no owner any more
};

/// The result of looking for a key. kAsk: only user code can compare the keys, which have to be retained
/// then.
enum class Found : std::uint8_t { kAbsent, kPresent, kAsk };

template <class Policy>
class Trie {
 protected:
    static constexpr unsigned kBits = 5;     // 32 slots: the bitmap is a word, and a copy a few cache lines
    static constexpr unsigned kLevels = 13;  // of five bits in a hash of 64

 public:
    using Node = typename Policy::Node;  ///< derives from TrieFields; slots() gives its TrieSlots

    /// One owner's share of a node or a word; null for none.
    class Owned {
     public:
        Owned() = default;
        explicit Owned(Word word) : word_(word) {}
        explicit Owned(Node* node) : word_(Policy::word(node)) {}
        Owned(Owned&& other) noexcept : word_(std::exchange(other.word_, 0)) {}
        Owned& operator=(Owned&& other) noexcept {
            Owned old(std::exchange(word_, std::exchange(other.word_, 0)));
            return *this;
        }
        ~Owned() {
            if (word_) Policy::release(word_);
        }
        static Owned share(Word word) {
            if (word) Policy::retain(word);
            return Owned(word);
        }

        Word word() const { return word_; }
        Node* node() const { return Policy::node(word_); }
        Word release() { return std::exchange(word_, 0); }
        explicit operator bool() const { return word_ != 0; }

     private:
        Word word_ = 0;
    };

    /// For a step on all words of a node. Entries lie anywhere in memory: so each is on its way while the step
    /// waits for the first.
    static void prefetch(const TrieSlot* slots, unsigned count) {
        for (const TrieSlot& slot : std::span(slots, count))
            __builtin_prefetch(Policy::address(slot.word), 1);
    }

    static Owned empty() {
        Owned node(Policy::make_node(0));
        node.node()->bytes = Policy::bytes_of(0);
        return node;
    }

    /// The slot of a hash, and the word that it had, or 0 if there is none. The caller owns the node, or is
    /// pinned.
    struct Place {
        Word word;
        const TrieSlot* slot;
        const Node* node;
    };
    static TP_HOT Place place(const Node* node, std::uint64_t hash) {
        for (std::uint64_t rest = spread(hash);; rest >>= kBits) {
            std::uint32_t bit = bit_of(rest);
            if (!(node->present & bit)) return {0, nullptr, node};
            const TrieSlot& slot = node->slots()[node->index(bit)];
            if (node->inner & bit) {
                node = Policy::node(slot.load());
                continue;
            }
            return {slot.hash == hash ? slot.load() : 0, &slot, node};
        }
    }
    /// The word of a hash, or 0. The caller owns the node, or is pinned.
    static TP_HOT Word find(const Node* node, std::uint64_t hash) { return place(node, hash).word; }

    /// Looks for a key without calling user code; kPresent with its entry. The caller owns the node, or is
    /// pinned.
    template <class Lookup>
    TP_HOT static Found find_entry(const Node* node, const Lookup& lookup, const EntryFields** entry) {
        Word word = find(node, lookup.hash);
        if (!word) return Found::kAbsent;
        *entry = Policy::entry(word);
        Match match = *entry ? Policy::match((*entry)->key, lookup) : Match::kAsk;
        if (match == Match::kAsk) return Found::kAsk;
        return match == Match::kYes && (*entry)->value ? Found::kPresent : Found::kAbsent;
    }

    /// Goes through the words of a version, which has an owner meanwhile.
    class Walk {
     public:
        explicit Walk(const Node* root) { enter(root); }

        /// The next word; 0 at the end.
        Word next() {
            while (depth_ > 0) {
                Step& step = steps_[depth_ - 1];
                if (!step.left) {
                    --depth_;
                    continue;
                }
                std::uint32_t bit = lowest(step.left);
                step.left &= step.left - 1;
                Word word = (step.slot++)->word;
                if (!(step.node->inner & bit)) return word;
                enter(Policy::node(word));
            }
            return 0;
        }

     private:
        struct Step {
            const Node* node;
            const TrieSlot* slot;
            std::uint32_t left;  ///< the bits of the slots from here on
        };
        void enter(const Node* node) {
            prefetch(node->slots(), node->count());
            steps_[depth_++] = {node, node->slots(), node->present};
        }

        unsigned depth_ = 0;
        Step steps_[kLevels];
    };

    /// Calls visit(word) for every word.
    template <class Visit>
    static void each(const Node* node, Visit& visit) {
        Walk walk(node);
        while (Word word = walk.next()) visit(word);
    }

    /// The word of some leaf, or 0.
    static Word first(const Node* node) {
        while (node->present) {
            Word word = node->slots()[0].word;
            if (!(node->inner & lowest(node->present))) return word;
            node = Policy::node(word);
        }
        return 0;
    }

    /// Calls visit(before, after) for every hash whose words differ; 0 stands for none. Shared nodes are
    /// skipped.
    template <class Visit>
    static void differences(const Node* before, const Node* after, Visit& visit) {
        if (before == after) return;
        for (std::uint32_t bits = before->present | after->present; bits; bits &= bits - 1) {
            Side a(before, lowest(bits)), b(after, lowest(bits));
            if (a.slot && b.slot && a.slot->word == b.slot->word) continue;
            if (a.node && b.node) differences(a.node, b.node, visit);
            else if (a.node) against_leaf(a.node, b.slot, [&](Word many, Word one) { visit(many, one); });
            else if (b.node) against_leaf(b.node, a.slot, [&](Word many, Word one) { visit(one, many); });
            else leaves(a.slot, b.slot, visit);
        }
    }

    /// Throws std::logic_error when an invariant does not hold.
    static void check(const Node* root) {
        if (check_below(root, 0, 0) == 0 && root->weight != 0)
            throw std::logic_error("an empty version weighs something");
        if (bytes_below(root) != root->bytes)
            throw std::logic_error("a version's nodes take other bytes than it says");
    }

 protected:
    /// Brings high bits to where the walk begins; reversible, so different hashes stay different. Dense
    /// hashes stay dense.
    static std::uint64_t spread(std::uint64_t hash) { return hash ^ hash >> 20 ^ hash >> 40; }
    static std::uint32_t bit_of(std::uint64_t rest) { return std::uint32_t{1} << (rest & 31); }
    static std::uint32_t lowest(std::uint32_t bits) { return bits & (0 - bits); }

 private:
    /// The content of a node's slot.
    struct Side {
        const TrieSlot* slot = nullptr;
        const Node* node = nullptr;

        Side(const Node* parent, std::uint32_t bit) {
            if (!(parent->present & bit)) return;
            slot = &parent->slots()[parent->index(bit)];
            if (parent->inner & bit) node = Policy::node(slot->word);
        }
    };

    /// A node on one side and at most one leaf on the other.
    template <class Visit>
    static void against_leaf(const Node* many, const TrieSlot* one, Visit visit) {
        Word twin = one ? find_below(many, one->hash) : 0;
        if (one && !twin) visit(Word{0}, one->word);
        auto pair = [&](Word word) {
            if (word != twin) visit(word, Word{0});
            else if (word != one->word) visit(word, one->word);
        };
        each(many, pair);
    }

    /// The word of a hash in a subtree: by search, as its level is not known here and such subtrees are
    /// small.
    static Word find_below(const Node* node, std::uint64_t hash) {
        const TrieSlot* slot = node->slots();
        for (std::uint32_t bits = node->present; bits; bits &= bits - 1, ++slot) {
            if (node->inner & lowest(bits)) {
                if (Word found = find_below(Policy::node(slot->word), hash)) return found;
            } else if (slot->hash == hash) {
                return slot->word;
            }
        }
        return 0;
    }

    template <class Visit>
    static void leaves(const TrieSlot* a, const TrieSlot* b, Visit& visit) {
        if (a && b && a->hash == b->hash) return visit(a->word, b->word);
        if (a) visit(a->word, Word{0});
        if (b) visit(Word{0}, b->word);
    }

    static std::int64_t bytes_below(const Node* node) {
        std::int64_t bytes = Policy::bytes_of(node->count());
        const TrieSlot* slot = node->slots();
        for (std::uint32_t bits = node->present; bits; bits &= bits - 1, ++slot) {
            if (node->inner & lowest(bits)) bytes += bytes_below(Policy::node(slot->word));
        }
        return bytes;
    }

    /// How many leaves there are.
    static std::int64_t check_below(const Node* node, std::uint64_t prefix, unsigned level) {
        if (node->moved || node->dead.load(std::memory_order_relaxed))  // relaxed: nothing changes it
            throw std::logic_error("a version has a node whose words were moved");
        if (node->inner & ~node->present) throw std::logic_error("a node has a slot that is not there");
        if (level >= kLevels) throw std::logic_error("a node is deeper than a hash has bits");
        std::int64_t leaves = 0;
        const TrieSlot* slot = node->slots();
        for (std::uint32_t bits = node->present; bits; bits &= bits - 1, ++slot) {
            std::uint64_t path = prefix | static_cast<std::uint64_t>(__builtin_ctz(bits)) << (kBits * level);
            if (node->inner & lowest(bits)) {
                leaves += check_below(Policy::node(slot->word), path, level + 1);
                continue;
            }
            std::uint64_t mask = kBits * (level + 1) >= 64 ? ~std::uint64_t{0}
                                                           : (std::uint64_t{1} << (kBits * (level + 1))) - 1;
            if ((spread(slot->hash) & mask) != path)
                throw std::logic_error("a leaf is on another hash's way");
            ++leaves;
        }
        if (level > 0 && leaves < 2)
            throw std::logic_error("a node below the root has fewer than two leaves");
        return leaves;
    }
};

}  // namespace threadproof
