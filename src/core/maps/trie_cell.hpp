/// TrieCell: the atomic reference to the newest version of a trie, and the changes of it.
///
/// How it works. A reader walks the newest version with no lock. A writer takes the cell's lock for its one
/// step. It copies the nodes on the way to its slot, and gives the copies the cell's mark, a number that no
/// other cell has or had. A node with the mark is in the newest version only, so the next writer changes it in
/// place: it stores another word in the slot, which readers see at once. A node with a slot more or less is a
/// new node, to which the words of the old one are moved. When a version is handed out, the cell drops its mark:
/// no node has the next one, so the first writer afterwards copies its nodes again.
///
/// Invariants, besides those of trie.hpp
///  1. The nodes whose owner is `mark_` are in the newest version, and in no other that has an owner besides
///     the cell. The parent of such a node is one too.
///  2. `mark_` is 0 while the newest version is one that was handed out.
///  3. `sequence_` is odd while a change is half done: then the sums and the slots may disagree.
///  4. No policy code that can run a user's code (release) runs with the lock held. Memory is asked for before
///     anything changes.
///
/// Field          | written                           | read                         | guard
/// ---------------|-----------------------------------|------------------------------|---------------------
/// root_          | release                           | acquire                      | lock_
/// mark_          | relaxed                           | relaxed                      | lock_; sequence_ to read
/// weight_        | release                           | acquire                      | lock_; sequence_ to read
/// bytes_         | relaxed                           | relaxed: a metric            | lock_
/// sequence_      | release, before and after         | acquire                      | lock_
/// retries_       | relaxed                           | relaxed: a metric            | none
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <utility>

#include "core/base/hints.hpp"
#include "core/base/locks.hpp"
#include "core/base/memory.hpp"
#include "core/base/reclaim.hpp"
#include "core/base/stress.hpp"
#include "core/maps/trie.hpp"

namespace threadproof {

template <class Policy>
class TrieCell : Trie<Policy> {
    using Tree = Trie<Policy>;
    using Tree::kBits, Tree::kLevels, Tree::spread, Tree::bit_of;
    using Node = typename Tree::Node;

    struct NoPin {
        NoPin() {}
        ~NoPin() {}
    };
    using Guard = std::conditional_t<Policy::kThreads, Pin, NoPin>;
    using Lock = std::conditional_t<Policy::kThreads, ByteLock, NoLock>;

 public:
    using Owned = typename Tree::Owned;

    /// A version that was handed out.
    explicit TrieCell(Owned version)
        : root_(version.word()), weight_(version.node()->weight), bytes_(version.node()->bytes) {
        version.release();
    }
    ~TrieCell() { Owned last(root_.load(std::memory_order_relaxed)); }  // relaxed: no other thread has it
    TrieCell(const TrieCell&) = delete;
    TrieCell& operator=(const TrieCell&) = delete;

    // ---- reading

    /// Looks for a key in the newest version without calling user code. kPresent with its value, retained for
    /// the caller.
    template <class Lookup>
    TP_HOT Found read(const Lookup& lookup, Word* value) const {
        for (;;) {
            bool retained;
            {
                Guard pin;
                const EntryFields* entry;
                Found found = Tree::find_entry(newest(), lookup, &entry);
                if (found != Found::kPresent) return found;
                *value = entry->value;
                stress::reach(stress::Window::kReadLoaded);
                retained = Policy::try_retain(*value);
                // acquire: pairs with the release store of `dead`, see trie.hpp
                if (TP_LIKELY(retained && !entry->dead.load(std::memory_order_acquire))) return found;
            }
            if (retained) Policy::release(*value);
        }
    }

    /// The word of a hash in the newest version, retained, or none. Takes the lock when another thread has just
    /// stored the word, or replaces it.
    Owned get(std::uint64_t hash) {
        typename Tree::Place place;
        bool retained;
        {
            Guard pin;
            place = Tree::place(newest(), hash);
            if (!place.word) return Owned();
            stress::reach(stress::Window::kReadLoaded);
            retained = Policy::try_retain(place.word);
            stress::reach(stress::Window::kReadHeld);
            // acquire, both: as in read()
            if (TP_LIKELY(retained && !place.node->dead.load(std::memory_order_acquire)
                          && place.slot->load() == place.word))
                return Owned(place.word);
        }
        Owned useless(retained ? place.word : 0);
        std::lock_guard hold(lock_);
        Word word = Tree::find(root_now(), hash);
        if (word) Policy::enable_try_retain(word);  // so that the next get() needs no lock
        return Owned::share(word);
    }

    /// What the newest version weighs, at one instant within this call.
    std::int64_t weight() const {
        for (unsigned round = 0;; ++round) {
            std::uint64_t before = sequence_.load(std::memory_order_acquire);  // acquire: pairs with ~Change
            std::int64_t weight = weight_.load(std::memory_order_acquire);  // acquire: pairs with add_sums()
            // relaxed: comes after the acquire above
            if (TP_LIKELY(before % 2 == 0 && sequence_.load(std::memory_order_relaxed) == before))
                return weight;
            pause_round(round);
        }
    }
    std::int64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }  // relaxed: a metric

    /// The newest version, which no thread changes from now on. One atomic read if nothing has changed since the
    /// last call; else it takes the lock.
    Owned version() {
        if (Owned quick = version_quickly()) return quick;
        std::lock_guard hold(lock_);
        Change change(*this);
        drop_mark();
        Word root = root_.load(std::memory_order_relaxed);  // relaxed: the lock guards it
        Policy::enable_try_retain(root);                    // so that the next version() needs no lock
        return Owned::share(root);
    }

    // ---- changing

    /// The next word of a hash, or 0 for none, and how much more the version weighs with it.
    struct Next {
        Word word;
        std::int64_t growth;
    };

    /// Calls choose(word, next) for the word of a hash, or 0, under the lock, and stores the next word if it
    /// returns true. The version retains that word. choose() runs no user code, and nothing changes the word until
    /// the next one is stored. Throws bad_alloc, with nothing changed.
    template <class Choose>
    TP_HOT void change(std::uint64_t hash, Choose choose) {
        {
            Unlinked unlinked;
            [[maybe_unused]] typename Policy::NoCollection none;
            std::lock_guard hold(lock_);
            Path path(root_now(), hash);
            Next next{0, 0};
            const Word seen = path.word(hash);
            if (!choose(seen, next) || next.word == seen) return;
            store(path, hash, next, unlinked);
        }
        Reclaimer::poll();
    }

    /// Puts `word` at a hash that has exactly `seen`; false if it has something else.
    bool replace(std::uint64_t hash, Word seen, Word word, std::int64_t growth) {
        bool there = false;
        change(hash, [&](Word now, Next& next) {
            next = {word, growth};
            return there = now == seen;
        });
        if (!there) retries_.fetch_add(1, std::memory_order_relaxed);  // relaxed: a metric
        return there;
    }

    /// Makes `next` the newest version if `base` still is. Both have been handed out.
    bool publish(const Owned& base, Owned next) {
        {
            std::lock_guard hold(lock_);
            // The base has an owner, so its address is not another version's. Relaxed: the lock guards it.
            if (root_.load(std::memory_order_relaxed) != base.word()) {
                retries_.fetch_add(1, std::memory_order_relaxed);  // relaxed: a metric
                return false;
            }
            next = swap_root(std::move(next));
        }
        next = Owned();
        Reclaimer::poll();
        return true;
    }

    /// Makes `next`, which has been handed out, the newest version and returns the one before.
    Owned exchange(Owned next) {
        std::lock_guard hold(lock_);
        return swap_root(std::move(next));
    }

    std::uint64_t retries() const { return retries_.load(std::memory_order_relaxed); }

    /// The newest version while all other threads are stopped.
    Node* stopped() const { return root_now(); }

 private:
    const Node* newest() const {
        return Policy::node(root_.load(std::memory_order_acquire));  // acquire: pairs with Change
    }
    Node* root_now() const {
        return Policy::node(root_.load(std::memory_order_relaxed));  // relaxed: the lock guards it
    }

    /// version() where nothing has changed since the last one was handed out; else none.
    Owned version_quickly() {
        std::uint64_t before = sequence_.load(std::memory_order_acquire);  // acquire: pairs with ~Change
        // relaxed: when it changes, so does the sequence
        if (before % 2 || mark_.load(std::memory_order_relaxed)) return Owned();
        Word root;
        bool retained;
        {
            Guard pin;
            root = root_.load(std::memory_order_acquire);  // acquire: as in newest()
            retained = Policy::try_retain(root);
        }
        Owned version(retained ? root : 0);
        // relaxed: comes after the acquire above. Another root was stored after the sequence had become odd.
        return sequence_.load(std::memory_order_relaxed) == before ? std::move(version) : Owned();
    }

    /// While this lives, a change is half done. Under the lock. What a reader checks by the sequence is stored by
    /// releases, so it sees the odd number with it.
    class Change {
     public:
        explicit Change(TrieCell& cell) : sequence_(cell.sequence_) {
            // relaxed: only the holder of the lock writes it
            sequence_.store(sequence_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        }
        ~Change() {
            // release: pairs with the acquire in weight() and version(); makes the change visible
            sequence_.store(sequence_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
        }
        Change(const Change&) = delete;
        Change& operator=(const Change&) = delete;

     private:
        std::atomic<std::uint64_t>& sequence_;
    };

    /// The newest version is about to be handed out: it gets its sums, and no writer may change its nodes any more.
    void drop_mark() {
        if (!mark_.load(std::memory_order_relaxed)) return;  // relaxed, all: the lock guards them
        root_now()->weight = weight_.load(std::memory_order_relaxed);
        root_now()->bytes = bytes_.load(std::memory_order_relaxed);
        mark_.store(0, std::memory_order_relaxed);
    }

    /// Under the lock. Neither version changes from now on.
    Owned swap_root(Owned next) {
        Change change(*this);
        drop_mark();
        weight_.store(next.node()->weight, std::memory_order_release);  // release: as in add_sums()
        bytes_.store(next.node()->bytes, std::memory_order_relaxed);
        return Owned(root_.exchange(next.release(), std::memory_order_acq_rel));  // release: as in link()
    }

    /// What a step leaves to be released after the lock: at most the word of a slot, and the node that had it.
    struct Unlinked {
        Owned words[2];
        unsigned count = 0;
        void add(Word word) { words[count++] = Owned(word); }
    };

    // ---- one change, under the lock

    /// The way from the root to the place of a hash.
    struct Path {
        Node* nodes[kLevels];
        TrieSlot* slots[kLevels];  ///< the last is null if there is no leaf
        std::uint32_t bits[kLevels];
        unsigned depth = 0;  ///< of the last

        TP_HOT Path(Node* root, std::uint64_t hash) {
            std::uint64_t rest = spread(hash);
            for (Node* node = root;; rest >>= kBits, ++depth) {
                const std::uint32_t bit = bits[depth] = bit_of(rest);
                nodes[depth] = node;
                slots[depth] = node->present & bit ? node->slots() + node->index(bit) : nullptr;
                if (!(node->inner & bit)) return;
                node = Policy::node(slots[depth]->word);
            }
        }

        TrieSlot* leaf() const { return slots[depth]; }
        Word word(std::uint64_t hash) const { return leaf() && leaf()->hash == hash ? leaf()->word : 0; }
    };

    /// The content that a slot is to get. A leaf is borrowed; a node is owned.
    struct Content {
        TrieSlot leaf{0, 0};  ///< no word: no leaf
        Owned node{};

        bool none() const { return !leaf.word && !node; }
        /// For its slot, with a reference.
        TrieSlot take() { return node ? TrieSlot{0, node.release()} : retained(leaf); }
    };

    /// Stores a word that differs from the one there. First everything is made that needs memory, from the leaf
    /// to the first node that can be changed in place, or to a new root; then it is linked.
    void store(Path& path, std::uint64_t hash, const Next& next, Unlinked& unlinked) {
        // relaxed: the lock guards it
        std::uint64_t mark = mark_.load(std::memory_order_relaxed);
        if (!mark) mark = fresh_mark();
        std::int64_t bytes = 0;
        Content content = at_leaf(path, hash, next.word, mark, bytes);
        for (unsigned at = path.depth;; --at) {
            Node* old = path.nodes[at];
            const std::uint32_t bit = path.bits[at];
            const bool ours = old->owner == mark, top = at == 0;
            if (ours && fits(*old, bit, content))
                return put(*path.slots[at], content, {next.growth, bytes}, unlinked);
            if (!top && becomes_leaf(*old, bit, content)) {  // the parent gets it
                bytes -= Policy::bytes_of(old->count());
                if (content.none()) content.leaf = other_slot(*old, bit);
                continue;
            }
            Owned fresh = with(*old, bit, content, mark, ours, bytes);
            if (!ours && !top) {
                content = {{0, 0}, std::move(fresh)};
                continue;
            }
            return link(path, at, std::move(fresh), mark, {next.growth, bytes}, unlinked);
        }
    }

    /// The content for the slot where the way ends.
    Content at_leaf(const Path& path, std::uint64_t hash, Word word, std::uint64_t mark,
                    std::int64_t& bytes) {
        const TrieSlot* there = path.leaf();
        if (!word || !there || there->hash == hash) return {{hash, word}, Owned()};
        std::uint64_t rest = spread(hash) >> kBits * path.depth >> kBits;
        return {{0, 0}, both(*there, {hash, word}, rest, path.depth + 1, mark, bytes)};
    }

    /// Whether only the word of the slot has to change.
    static bool fits(const Node& node, std::uint32_t bit, const Content& content) {
        return (node.present & bit) && !content.none()
               && static_cast<bool>(node.inner & bit) == static_cast<bool>(content.node);
    }

    /// Whether the node would have but one leaf.
    static bool becomes_leaf(const Node& node, std::uint32_t bit, const Content& content) {
        if (content.node) return false;
        if (content.leaf.word) return node.present == bit;
        return node.count() == 2 && !(node.inner & ~bit);
    }
    static TrieSlot other_slot(const Node& node, std::uint32_t bit) {
        return node.slots()[node.index(bit) == 0 ? 1 : 0];
    }

    /// A node for a leaf that was there and a new one.
    Owned both(const TrieSlot& there, const TrieSlot& fresh, std::uint64_t rest, unsigned level,
               std::uint64_t mark, std::int64_t& bytes) {
        std::uint32_t old_bit = bit_of(spread(there.hash) >> (kBits * level)), bit = bit_of(rest);
        if (old_bit == bit) {
            Owned below = both(there, fresh, rest >> kBits, level + 1, mark, bytes);
            Owned above = make(bit, bit, mark, bytes);
            above.node()->slots()[0] = {0, below.release()};
            return above;
        }
        Owned pair = make(old_bit | bit, 0, mark, bytes);
        TrieSlot* slots = pair.node()->slots();
        slots[old_bit > bit] = retained(there);
        slots[old_bit < bit] = retained(fresh);
        return pair;
    }

    /// A node with the content in a slot, and otherwise the slots of `old`. If they are to be `moved`, it does
    /// not retain their words.
    Owned with(const Node& old, std::uint32_t bit, Content& content, std::uint64_t mark, bool moved,
               std::int64_t& bytes) {
        const bool gone = content.none();
        Owned owned = make(gone ? old.present & ~bit : old.present | bit,
                           (old.inner & ~bit) | (content.node ? bit : 0), mark, bytes);
        bytes -= Policy::bytes_of(old.count());
        const unsigned place = old.index(bit), behind = place + ((old.present & bit) != 0);
        TrieSlot* to = owned.node()->slots();
        copy(to, old.slots(), place, moved);
        to += place;
        if (!gone) *to++ = content.take();
        copy(to, old.slots() + behind, old.count() - behind, moved);
        return owned;
    }

    static void copy(TrieSlot* to, const TrieSlot* from, unsigned count, bool moved) {
        if (count) std::memcpy(static_cast<void*>(to), from, count * sizeof(TrieSlot));
        if (moved) return;
        Tree::prefetch(to, count);
        for (unsigned i = 0; i < count; ++i) Policy::retain(to[i].word);
    }

    /// The caller fills its slots at once, and calls nothing that could see or free it.
    static Owned make(std::uint32_t present, std::uint32_t inner, std::uint64_t mark, std::int64_t& bytes) {
        const unsigned count = ones(present);
        Owned owned(Policy::make_node(count));
        owned.node()->present = present;
        owned.node()->inner = inner;
        owned.node()->owner = mark;
        bytes += Policy::bytes_of(count);
        return owned;
    }

    static TrieSlot retained(TrieSlot slot) {
        Policy::retain(slot.word);
        return slot;
    }

    // ---- linking: from here on nothing fails

    struct Growth {
        std::int64_t weight, bytes;
    };

    /// Stores another word in a slot of a node that has the mark.
    void put(TrieSlot& slot, Content& content, const Growth& growth, Unlinked& unlinked) {
        unlinked.add(slot.word);
        const Word next = content.take().word;
        if (growth.weight == 0 && growth.bytes == 0) return slot.store(next);
        Change change(*this);
        slot.store(next);
        stress::reach(stress::Window::kChanged);
        add_sums(growth);
    }

    /// Puts `fresh` in the place of a node that has the mark, or of the root.
    void link(const Path& path, unsigned at, Owned fresh, std::uint64_t mark, const Growth& growth,
              Unlinked& unlinked) {
        Node& old = *path.nodes[at];
        if (old.owner == mark) {
            if (old.present & path.bits[at]) unlinked.add(path.slots[at]->word);  // the one that is not moved
            old.moved = true;
            // release: pairs with the acquire in get(); comes before the words are released by the next owner
            old.dead.store(true, std::memory_order_release);
        }
        Change change(*this);
        if (at == 0) {
            mark_.store(mark, std::memory_order_relaxed);  // relaxed: see the sequence
            unlinked.add(Policy::word(&old));
            root_.store(fresh.release(), std::memory_order_release);  // release: pairs with newest()
        } else {
            unlinked.add(Policy::word(&old));
            path.slots[at - 1]->store(fresh.release());
        }
        stress::reach(stress::Window::kChanged);
        add_sums(growth);
    }

    void add_sums(const Growth& growth) {
        // relaxed, three times: the lock guards them
        bytes_.store(bytes_.load(std::memory_order_relaxed) + growth.bytes, std::memory_order_relaxed);
        // release: pairs with the acquire in weight(); the sequence is odd
        weight_.store(weight_.load(std::memory_order_relaxed) + growth.weight, std::memory_order_release);
    }

    /// A number that no cell has had.
    static std::uint64_t fresh_mark() {
        static std::atomic<std::uint64_t> last{0};
        return last.fetch_add(1, std::memory_order_relaxed) + 1;  // relaxed: only has to be new
    }

    // Read by every call, and written when a version or the root's slots are replaced.
    alignas(kNoSharing) std::atomic<Word> root_;

    // Written by writers.
    alignas(kNoSharing) Lock lock_{};
    std::atomic<std::uint64_t> sequence_{0};
    std::atomic<std::uint64_t> mark_{0};  ///< of the nodes that are changed in place; 0: of none
    std::atomic<std::int64_t> weight_;    ///< of the newest version
    std::atomic<std::int64_t> bytes_;     ///< of the newest version's nodes
    std::atomic<std::uint64_t> retries_{0};
};

}  // namespace threadproof
