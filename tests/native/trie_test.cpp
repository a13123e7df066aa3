/// The trie without Python: random changes by one thread against std::map, with every version kept and compared; then by
/// several threads, each word proving its hash. Prints its seed; the first argument sets it, the second the number of changes.
#include <map>
#include <random>
#include <string>
#include <thread>

#include "cell_policy.hpp"
#include "core/trie.hpp"

using namespace threadproof;
using namespace cells;

namespace {

std::atomic<std::int64_t> nodes_living{0};

/// Nodes are counted here and marked in bit 0 of their words; leaves are cells, whose number is their hash.
struct NodePolicy {
    struct Node : TrieFields {
        std::atomic<std::int64_t> references;
        TrieSlot* slots() { return reinterpret_cast<TrieSlot*>(this + 1); }
        const TrieSlot* slots() const { return reinterpret_cast<const TrieSlot*>(this + 1); }
    };

    static Word word(const Node* node) { return reinterpret_cast<Word>(node) | 1; }
    static Node* node(Word word) { return reinterpret_cast<Node*>(word - 1); }
    static bool is_node(Word word) { return word & 1; }
    static std::int64_t bytes_of(unsigned slots) { return static_cast<std::int64_t>(sizeof(Node) + slots * sizeof(TrieSlot)); }

    static Node* make_node(unsigned slots) {
        Node* node = new (std::malloc(static_cast<std::size_t>(bytes_of(slots)))) Node{};
        node->references.store(1);
        nodes_living.fetch_add(1);
        return node;
    }
    static std::atomic<std::int64_t>& references(Word word) { return is_node(word) ? node(word)->references : cell(word)->references; }
    static void hold(Word word) { CHECK(references(word).fetch_add(1) > 0); }
    static bool try_hold(Word word) {
        std::int64_t seen = references(word).load();
        while (seen > 0)
            if (references(word).compare_exchange_weak(seen, seen + 1)) return true;
        return false;
    }
    static void open(Word) {}
    static void drop(Word word) {
        if (!is_node(word)) return Pool::release(cell(word));
        Node* last = node(word);
        if (last->references.fetch_sub(1) > 1) return;
        last->dead.store(true, std::memory_order_release);  // release: pairs with Cell::get()
        for (unsigned i = 0; i < last->count(); ++i) drop(last->slots()[i].word);
        nodes_living.fetch_sub(1);
        Threads::mine();
        Reclaimer::retire(Retired{word, [](Word dead) { std::free(node(dead)); }}, static_cast<std::size_t>(bytes_of(last->count())));
    }
};

using Tree = Trie<NodePolicy>;
using Owned = Tree::Owned;
using Model = std::map<std::uint64_t, Word>;

/// Hashes that share many of the bits the walk begins with, now and then, and those that do not.
std::uint64_t some_hash(std::mt19937_64& random, std::uint64_t keys) {
    std::uint64_t key = random() % keys;
    return key % 3 == 0 ? key : key % 3 == 1 ? key << 52 : key * 0x9e3779b97f4a7c15;
}

Owned leaf(std::uint64_t hash) { return Owned(word(Pool::make(hash))); }

void compare(const Tree::Node* version, const Model& model) {
    Tree::check(version);
    CHECK(version->weight == static_cast<std::int64_t>(model.size()));
    std::size_t seen = 0;
    auto visit = [&](Word w) { ++seen, CHECK(model.at(cell(w)->number.load()) == w); };
    Tree::each(version, visit);
    CHECK(seen == model.size());
    for (auto [hash, w] : model) CHECK(Tree::find(version, hash) == w);
    CHECK((Tree::first(version) == 0) == model.empty());
}

void compare_difference(const Tree::Node* a, const Model& before, const Tree::Node* b, const Model& after) {
    std::map<std::uint64_t, std::pair<Word, Word>> expected, found;
    for (auto [hash, w] : before) expected[hash].first = w;
    for (auto [hash, w] : after) expected[hash].second = w;
    std::erase_if(expected, [](const auto& item) { return item.second.first == item.second.second; });
    auto visit = [&](Word from, Word to) {
        CHECK(from != to);
        CHECK(found.emplace(cell(from ? from : to)->number.load(), std::pair{from, to}).second);
    };
    Tree::differences(a, b, visit);
    CHECK(found == expected);
}

void one_thread_equals_a_std_map_in_every_version(std::uint64_t seed, std::uint64_t changes, std::uint64_t keys) {
    std::mt19937_64 random(seed);
    Tree::Cell trie(Tree::empty());
    Model model;
    std::vector<std::pair<Owned, Model>> kept;
    for (std::uint64_t i = 0; i < changes; ++i) {
        std::uint64_t hash = some_hash(random, keys);
        bool shrink = (i / (4 * keys)) % 2, remove = random() % 10 < (shrink ? 7u : 3u);
        Word seen = model.contains(hash) ? model[hash] : 0;
        Owned next = remove ? Owned() : leaf(hash);
        CHECK(trie.replace(hash, seen, next.word(), static_cast<int>(!remove) - (seen != 0)));
        CHECK(!trie.replace(hash, leaf(hash).word(), 0, 0));
        if (remove) model.erase(hash);
        else model[hash] = next.word();
        if (random() % (changes / 8) == 0) kept.emplace_back(trie.version(), model);
    }
    compare(trie.version().node(), model);
    kept.emplace_back(trie.version(), model);
    kept.emplace_back(Tree::empty(), Model());
    for (auto& [version, contents] : kept) {
        compare(version.node(), contents);
        for (auto& [other, theirs] : kept) compare_difference(version.node(), contents, other.node(), theirs);
    }
}

/// What a version weighs depends on nothing but what it has, so two ways to the same contents must agree.
void a_version_depends_on_its_contents_alone(std::uint64_t seed) {
    std::mt19937_64 random(seed);
    Owned a = Tree::empty(), b = Tree::empty();
    std::vector<std::uint64_t> hashes;
    for (int i = 0; i < 500; ++i) hashes.push_back(some_hash(random, 300));
    for (std::uint64_t hash : hashes) a = Tree::changed(a.node(), hash, leaf(hash).word(), 0);
    for (std::uint64_t hash : hashes) b = Tree::changed(b.node(), hash + 1, leaf(hash + 1).word(), 0);
    std::reverse(hashes.begin(), hashes.end());
    for (std::uint64_t hash : hashes) b = Tree::changed(b.node(), hash, leaf(hash).word(), 0);
    for (std::uint64_t hash : hashes)
        if (!Tree::find(a.node(), hash + 1)) b = Tree::changed(b.node(), hash + 1, 0, 0);
    CHECK(a.node()->bytes == b.node()->bytes);
    Tree::check(b.node());
}

void work(Tree::Cell& trie, std::atomic<std::int64_t>& size, std::uint64_t seed, std::uint64_t changes) {
    std::mt19937_64 random(seed);
    for (std::uint64_t i = 0; i < changes; ++i) {
        std::uint64_t hash = some_hash(random, 100);
        Owned seen = trie.get(hash);
        if (seen) CHECK(cell(seen.word())->number.load() == hash && cell(seen.word())->references.load() > 0);
        Owned next = random() % 2 ? leaf(hash) : Owned();
        int growth = static_cast<int>(static_cast<bool>(next)) - static_cast<int>(static_cast<bool>(seen));
        if (random() % 4 == 0 && trie.replace(hash, seen.word(), next.word(), growth)) size.fetch_add(growth);
        if (random() % 500 == 0) Tree::check(trie.version().node());
        if (random() % 2000 == 0) size.fetch_sub(trie.exchange(Tree::empty()).node()->weight);
    }
}

void several_threads_find_the_words_of_their_hashes(std::uint64_t seed, std::uint64_t changes) {
    Tree::Cell trie(Tree::empty());
    std::atomic<std::int64_t> size{0};
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < 3; ++i) threads.emplace_back(work, std::ref(trie), std::ref(size), seed + i, changes);
    for (std::thread& thread : threads) thread.join();
    CHECK(trie.weight() == size.load());
    Tree::check(trie.version().node());
}

}  // namespace

int main(int count, char** arguments) {
    std::uint64_t seed = count > 1 ? std::stoull(arguments[1]) : std::random_device()();
    std::uint64_t changes = count > 2 ? std::stoull(arguments[2]) : 40'000;
    std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
    one_thread_equals_a_std_map_in_every_version(seed, changes, 1000);
    one_thread_equals_a_std_map_in_every_version(seed, changes, 20);
    a_version_depends_on_its_contents_alone(seed);
    several_threads_find_the_words_of_their_hashes(seed, changes);
    CHECK(nodes_living.load() == 0);
    CHECK(Pool::living() == 0);
    std::printf("ok\n");
}
