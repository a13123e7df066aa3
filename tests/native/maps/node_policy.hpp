/// A trie's nodes and entries without Python.
#pragma once

#include "core/maps/trie_cell.hpp"
#include "maps/cell_policy.hpp"

namespace cells {

using namespace threadproof;

inline std::atomic<std::int64_t> living{0};  // nodes and entries

/// Nodes and entries are counted here, marked in bits 0 and 1 of their words, and freed for real, for ASan to
/// see. A key is a cell that match() looks into unheld, a value one of the Pool's; their numbers are the
/// hash. Every fifth key has to be asked for, as a user's would. A leaf can also be a value of the Pool itself:
/// as a tuple of CPython, it may be another at the same address as soon as it is released.
struct NodePolicy {
    static constexpr bool kThreads = true;
    static constexpr Word kNode = 1, kEntry = 2;

    struct Entry : EntryFields {
        std::atomic<std::int64_t> references{1};
    };
    struct Lookup {
        std::uint64_t hash;
    };

    struct Node : TrieFields {
        std::atomic<std::int64_t> references;
        TrieSlot* slots() { return reinterpret_cast<TrieSlot*>(this + 1); }
        const TrieSlot* slots() const { return reinterpret_cast<const TrieSlot*>(this + 1); }
    };

    struct NoCollection {};
    static void* address(Word word) { return reinterpret_cast<void*>(word & ~(kNode | kEntry)); }
    static Word word(const Node* node) { return reinterpret_cast<Word>(node) | kNode; }
    static Node* node(Word word) { return reinterpret_cast<Node*>(word - kNode); }
    static Entry* entry(Word word) {
        return word & kEntry ? reinterpret_cast<Entry*>(word - kEntry) : nullptr;
    }
    static Match match(Word key, const Lookup& lookup) {
        if (lookup.hash % 5 == 0) return Match::kAsk;
        return cell(key)->number.load() == lookup.hash ? Match::kYes : Match::kNo;
    }
    static std::int64_t bytes_of(unsigned slots) {
        return static_cast<std::int64_t>(sizeof(Node) + slots * sizeof(TrieSlot));
    }

    static Node* make_node(unsigned slots) {
        if (stress::starve()) throw std::bad_alloc();
        Node* node = new (std::malloc(static_cast<std::size_t>(bytes_of(slots)))) Node{};
        node->references.store(1);
        living.fetch_add(1);
        return node;
    }
    static Word make_entry(std::uint64_t hash) {
        Entry* entry = new Entry;
        Cell* key = new Cell;
        key->number.store(hash);
        entry->key = cells::word(key);
        entry->value = cells::word(Pool::make(hash));
        living.fetch_add(1);
        return reinterpret_cast<Word>(entry) | kEntry;
    }
    static std::atomic<std::int64_t>& references(Word word) {
        return word & kNode    ? node(word)->references
               : word & kEntry ? entry(word)->references
                               : cell(word)->references;
    }
    static void retain(Word word) { CHECK(references(word).fetch_add(1) > 0); }
    static bool try_retain(Word word) {
        std::int64_t seen = references(word).load();
        while (seen > 0)
            if (references(word).compare_exchange_weak(seen, seen + 1)) return true;
        return false;
    }
    static void enable_try_retain(Word) {}
    static void release(Word word) {
        if (!(word & (kNode | kEntry))) return Pool::release(cell(word));
        if (references(word).fetch_sub(1) > 1) return;
        Threads::mine();
        living.fetch_sub(1);
        if (word & kNode) end_node(word);
        else end_entry(word);
    }

 private:
    static void end_node(Word word) {
        Node* last = node(word);
        last->dead.store(true, std::memory_order_release);  // release: pairs with Cell::get()
        for (unsigned i = 0; !last->moved && i < last->count(); ++i) release(last->slots()[i].word);
        Reclaimer::retire(Retired{word, [](Word dead) { std::free(node(dead)); }},
                          static_cast<std::size_t>(bytes_of(last->count())));
    }
    static void end_entry(Word word) {
        entry(word)->dead.store(true, std::memory_order_release);  // release: pairs with Cell::read()
        Pool::release(cell(entry(word)->value));
        auto free = [](Word dead) {
            delete cell(entry(dead)->key);
            delete entry(dead);
        };
        Reclaimer::retire(Retired{word, free}, sizeof(Entry));
    }
};

}  // namespace cells
