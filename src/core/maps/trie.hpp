/// A persistent trie: a map from 64-bit hashes to words, of which every version can be kept.
///
/// How it works. A version is a tree of nodes that never change. A node has up to 32 slots, present or not by
/// five bits of the hash; a slot holds a leaf (a hash and its word) or a node for the next five bits. A
/// change copies the nodes on the way to its slot, at most 13, and shares all others with the version it came
/// from. `Cell` is the atomic reference to the newest version: a reader walks it with no lock; a writer makes
/// a new version of the one it read, and starts over if another writer was faster. Two versions are compared
/// by walking only what they do not share.
///
/// A leaf's word is an entry, which is one key and its value, or something else that the policy keeps for
/// several keys of one hash. A reader reads an entry without retaining it, and takes a reference only to the
/// value that it returns: so readers write to nothing else that they share.
///
/// Invariants
///  1. A node never changes once others can see it.
///  2. Slots stand in the order of their bits, and `inner` is a subset of `present`.
///  3. Below the root every node has at least two leaves, so a version depends on its contents alone.
///  4. A root's `weight` is the sum of the weights given to its leaves, and its `bytes` are those of its nodes.
///  5. The memory of a node, and of an entry with the key that match() reads, outlives every reader that was
///     pinned when it died.
///
/// Field        | written                           | read                         | guard
/// -------------|-----------------------------------|------------------------------|-----------------------
/// node fields  | before the node is published      | plain, by owners of its      | never change; root
///              |                                   | version and pinned threads   | publishes them
/// entry fields | before the entry is published     | plain, by its owners and     | never change; root
///              |                                   | pinned threads               | publishes them
/// node.dead,   | release, when the last owner left | acquire, after a retain      | none: see below
/// entry.dead   |                                   |                              |
/// cell.root    | acq_rel exchange                  | acquire                      | a pin, until the node
///              |                                   |                              | is retained
///
/// Why `dead` proves a read. A reader, pinned, loads a word from a node or an entry, retains the object that
/// the word leads to, and then loads `dead`. When the last owner leaves, `dead` is stored, and afterwards the
/// words are released.
///  - If the reader sees false: the word was not released yet when the reader retained its object, so that is
///    the object of the word.
///  - If it sees true: the word may have been released, and another object may be at that address. The reader
///    releases what it has, and begins again with the newest version.
///
/// Sources: Bagwell, Ideal hash trees; Steindorfer and Vinju, Optimizing hash-array mapped tries (the
/// canonical form).
///
/// What a Policy has:
///
///     kThreads                     false where a global lock serialises all calls: pins vanish
///     retain(word), release(word)  one reference more; one less, which may run any code
///     try_retain(word)             one reference more to an object that may be dying; false if it has died
///     enable_try_retain(word)      makes try_retain succeed in other threads; done for the values of entries
///     make_node(slots)             a node of zeroes with one owner; takes bytes_of(slots)
///     word(node), node(word)       convert one into the other
///     entry(word)                  the entry that a leaf's word is, or null
///     match(key, lookup)           native comparison; may read the key of an entry without retaining it
///
/// When its last owner releases a node or an entry, the policy sets `dead`, then releases what that owns, and
/// lets its memory outlive the pinned readers: see invariant 5.
#pragma once

#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <utility>

#include "core/base/hints.hpp"
#include "core/base/memory.hpp"
#include "core/base/reclaim.hpp"
#include "core/maps/equality_cache.hpp"

namespace threadproof {

/// A hash and its word; or, for a node of the next level, that node as a word.
struct TrieSlot {
    std::uint64_t hash;
    Word word;
};

/// What every node has besides what the policy adds for counting.
struct TrieFields {
    std::int64_t weight;     ///< of a root: what its leaves weigh
    std::int64_t bytes;      ///< of a root: what its nodes take
    std::uint32_t present;   ///< which of the 32 slots are there
    std::uint32_t inner;     ///< which of them hold nodes
    std::atomic<bool> dead;  ///< it has no owner any more

    unsigned count() const { return static_cast<unsigned>(__builtin_popcount(present)); }
    unsigned index(std::uint32_t bit) const {
        return static_cast<unsigned>(__builtin_popcount(present & (bit - 1)));
    }
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
    struct NoPin {
        NoPin() {}
        ~NoPin() {}
    };
    using Guard = std::conditional_t<Policy::kThreads, Pin, NoPin>;

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

    static Owned empty() {
        Owned node(Policy::make_node(0));
        node.node()->bytes = Policy::bytes_of(0);
        return node;
    }

    /// The word of a hash, or 0. The caller owns the node, or is pinned.
    static TP_HOT Word find(const Node* node, std::uint64_t hash, const Node** holder = nullptr) {
        for (std::uint64_t rest = spread(hash);; rest >>= kBits) {
            std::uint32_t bit = bit_of(rest);
            if (!(node->present & bit)) return 0;
            const TrieSlot& slot = node->slots()[node->index(bit)];
            if (node->inner & bit) {
                node = Policy::node(slot.word);
                continue;
            }
            if (holder) *holder = node;
            return slot.hash == hash ? slot.word : 0;
        }
    }

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

    /// The version in which `hash` has `word` (0: nothing), and which weighs `growth` more. Throws
    /// std::bad_alloc.
    static Owned with_change(const Node* root, std::uint64_t hash, Word word, std::int64_t growth) {
        Change change{hash, word, 0};
        Owned next = change.node(root, spread(hash), 0);
        if (next.node() == root) return next;
        next.node()->weight = root->weight + growth;
        next.node()->bytes = root->bytes + change.bytes;
        return next;
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
        void enter(const Node* node) { steps_[depth_++] = {node, node->slots(), node->present}; }

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

    /// The atomic reference to the newest version.
    class Cell {
     public:
        explicit Cell(Owned version) : root_(version.release()) {
            Policy::enable_try_retain(root_.load(std::memory_order_relaxed));
        }
        ~Cell() { Owned last(root_.load(std::memory_order_relaxed)); }  // relaxed: no other thread has it
        Cell(const Cell&) = delete;
        Cell& operator=(const Cell&) = delete;

        /// Looks for a key in the newest version without calling user code. kPresent with its value, retained
        /// for the caller.
        template <class Lookup>
        TP_HOT Found read(const Lookup& lookup, Word* value) const {
            for (;;) {
                bool retained;
                {
                    Guard pin;
                    const EntryFields* entry;
                    Found found = find_entry(newest(), lookup, &entry);
                    if (found != Found::kPresent) return found;
                    *value = entry->value;
                    retained = Policy::try_retain(*value);
                    // acquire: pairs with the release store of `dead`, see the head of this file
                    if (TP_LIKELY(retained && !entry->dead.load(std::memory_order_acquire))) return found;
                }
                if (retained) Policy::release(*value);
            }
        }

        /// The word of a hash in the newest version, retained, or none.
        Owned get(std::uint64_t hash) const {
            for (;;) {
                Word word;
                bool retained;
                {
                    Guard pin;
                    const Node* holder = nullptr;
                    word = find(newest(), hash, &holder);
                    if (!word) return Owned();
                    retained = Policy::try_retain(word);
                    // acquire: as in read()
                    if (TP_LIKELY(retained && !holder->dead.load(std::memory_order_acquire)))
                        return Owned(word);
                }
                if (retained) Policy::release(word);
            }
        }

        /// The newest version.
        Owned version() const {
            for (;;) {
                Guard pin;
                Word root = root_.load(std::memory_order_acquire);  // acquire: pairs with publish()
                // if not, it has died, and there is a newer one
                if (Policy::try_retain(root)) return Owned(root);
            }
        }

        std::int64_t weight() const {
            Guard pin;
            return newest()->weight;
        }
        std::int64_t bytes() const {
            Guard pin;
            return newest()->bytes;
        }

        /// Puts `word` at a hash that has exactly `seen`; false if it has something else.
        bool replace(std::uint64_t hash, Word seen, Word word, std::int64_t growth) {
            if (word) Policy::enable_try_retain(word);
            for (;;) {
                Owned base = version();
                if (find(base.node(), hash) != seen) return false;
                if (word == seen) return true;
                if (publish(base, with_change(base.node(), hash, word, growth))) return true;
                retries_.fetch_add(1, std::memory_order_relaxed);  // relaxed: a metric
            }
        }

        /// Makes `next` the newest version if `base` still is.
        bool publish(const Owned& base, Owned next) {
            Policy::enable_try_retain(next.word());
            Word expected = base.word();
            // release: pairs with the acquire in newest() and version(), publishes the nodes; acquire: makes
            // the old version visible, which is released here. The base has an owner, so its address is not
            // another version's.
            if (!root_.compare_exchange_strong(expected, next.word(), std::memory_order_acq_rel,
                                               std::memory_order_relaxed))
                return false;
            next.release();
            Policy::release(expected);  // the cell's share
            Reclaimer::poll();
            return true;
        }

        /// Makes `next` the newest version and returns the one before.
        Owned exchange(Owned next) {
            Policy::enable_try_retain(next.word());
            return Owned(root_.exchange(next.release(), std::memory_order_acq_rel));  // as in publish()
        }

        std::uint64_t retries() const { return retries_.load(std::memory_order_relaxed); }

        /// The newest version while all other threads are stopped.
        const Node* stopped() const { return Policy::node(root_.load(std::memory_order_relaxed)); }

     private:
        const Node* newest() const {
            return Policy::node(root_.load(std::memory_order_acquire));  // acquire: pairs with publish()
        }

        alignas(kCacheLine) std::atomic<Word> root_;
        std::atomic<std::uint64_t> retries_{0};  ///< times that a writer lost the CAS in publish()
    };

 private:
    /// Brings high bits to where the walk begins; reversible, so different hashes stay different. Dense
    /// hashes stay dense.
    static std::uint64_t spread(std::uint64_t hash) { return hash ^ hash >> 20 ^ hash >> 40; }
    static std::uint32_t bit_of(std::uint64_t rest) { return std::uint32_t{1} << (rest & 31); }
    static std::uint32_t lowest(std::uint32_t bits) { return bits & (0 - bits); }

    /// One hash with its new word, on the way down.
    struct Change {
        std::uint64_t hash;
        Word word;
        std::int64_t bytes;  ///< by how much the version grows

        /// The replacement of a node: often a copy; the node itself if nothing changes.
        Owned node(const Node* old, std::uint64_t rest, unsigned level) {
            std::uint32_t bit = bit_of(rest);
            if (!(old->present & bit)) return word ? with_slot(old, bit) : same(old);
            const TrieSlot& slot = old->slots()[old->index(bit)];
            if (old->inner & bit) {
                Owned below = node(Policy::node(slot.word), rest >> kBits, level + 1);
                return below.word() == slot.word ? same(old) : with_node(old, bit, std::move(below));
            }
            if (slot.hash != hash)
                return word ? with_node(old, bit, both(slot, rest >> kBits, level + 1)) : same(old);
            return word ? with_word(old, bit, 0, retained({hash, word})) : without(old, bit);
        }

     private:
        static Owned same(const Node* old) { return Owned::share(Policy::word(old)); }

        /// A node for a leaf that was there and the new one.
        Owned both(const TrieSlot& there, std::uint64_t rest, unsigned level) {
            std::uint32_t old_bit = bit_of(spread(there.hash) >> (kBits * level)), bit = bit_of(rest);
            if (old_bit == bit) {
                Owned below = both(there, rest >> kBits, level + 1);
                Owned above = make(bit, bit);
                above.node()->slots()[0] = {0, below.release()};
                return above;
            }
            Owned pair = make(old_bit | bit, 0);
            TrieSlot* slots = pair.node()->slots();
            slots[old_bit > bit] = retained(there);
            slots[old_bit < bit] = retained({hash, word});
            return pair;
        }

        Owned with_slot(const Node* old, std::uint32_t bit) {
            Owned copy = make(old->present | bit, old->inner, old);
            TrieSlot* to = copy.node()->slots();
            const TrieSlot* from = old->slots();
            for (std::uint32_t bits = old->present | bit; bits; bits &= bits - 1) {
                *to++ = retained(lowest(bits) == bit ? TrieSlot{hash, word} : *from++);
            }
            return copy;
        }

        Owned without(const Node* old, std::uint32_t bit) {
            Owned copy = make(old->present & ~bit, old->inner, old);
            TrieSlot* to = copy.node()->slots();
            const TrieSlot* from = old->slots();
            for (std::uint32_t bits = old->present; bits; bits &= bits - 1, ++from) {
                if (lowest(bits) != bit) *to++ = retained(*from);
            }
            return copy;
        }

        /// With a node in a slot; or with its leaf, if it has but one.
        Owned with_node(const Node* old, std::uint32_t bit, Owned below) {
            const Node* node = below.node();
            if (node->count() > 1 || node->inner) return with_word(old, bit, bit, {0, below.release()});
            bytes -= Policy::bytes_of(1);
            return with_word(old, bit, 0, retained(node->slots()[0]));
        }

        /// With `fresh`, which it takes over, in a slot; `inner` is the slot's bit if that is a node.
        Owned with_word(const Node* old, std::uint32_t bit, std::uint32_t inner, TrieSlot fresh) {
            Owned keep(fresh.word);  // until the copy has it
            Owned copy = make(old->present, (old->inner & ~bit) | inner, old);
            TrieSlot* to = copy.node()->slots();
            const TrieSlot* from = old->slots();
            for (std::uint32_t bits = old->present; bits; bits &= bits - 1, ++from) {
                *to++ = lowest(bits) == bit ? TrieSlot{fresh.hash, keep.release()} : retained(*from);
            }
            return copy;
        }

        /// A replacement for node `old`. The caller fills its slots at once, and calls nothing that could see
        /// or free it.
        Owned make(std::uint32_t present, std::uint32_t inner, const Node* old = nullptr) {
            unsigned count = static_cast<unsigned>(__builtin_popcount(present));
            Owned owned(Policy::make_node(count));
            owned.node()->present = present;
            owned.node()->inner = inner;
            bytes += Policy::bytes_of(count) - (old ? Policy::bytes_of(old->count()) : 0);
            return owned;
        }
    };

    static TrieSlot retained(TrieSlot slot) {
        Policy::retain(slot.word);
        return slot;
    }

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
