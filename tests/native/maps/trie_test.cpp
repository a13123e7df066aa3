/// The trie without Python: random changes by one thread against std::map, with every version kept and
/// compared; then by several threads, each value proving its key. Prints its seed; the first argument sets
/// it, the second the number of changes.
#include <map>
#include <random>
#include <string>
#include <thread>

#include "maps/node_policy.hpp"

using namespace threadproof;
using namespace cells;

namespace {

using Tree = Trie<NodePolicy>;
using Owned = Tree::Owned;
using Model = std::map<std::uint64_t, Word>;

/// Hashes that share many of the bits the walk begins with, now and then, and those that do not.
std::uint64_t some_hash(std::mt19937_64& random, std::uint64_t keys) {
    std::uint64_t key = random() % keys;
    return key % 3 == 0 ? key : key % 3 == 1 ? key << 52 : key * 0x9e3779b97f4a7c15;
}

Owned leaf(std::uint64_t hash) { return Owned(NodePolicy::make_entry(hash)); }
std::uint64_t hash_of(Word word) { return cell(NodePolicy::entry(word)->key)->number.load(); }

/// Whether reading and getting agree on a hash, while no thread changes the trie.
void compare_read(TrieCell<NodePolicy>& trie, std::uint64_t hash) {
    Word value;
    Owned got = trie.get(hash);
    Found found = trie.read(NodePolicy::Lookup{hash}, &value);
    CHECK(found == (!got ? Found::kAbsent : hash % 5 == 0 ? Found::kAsk : Found::kPresent));
    if (found != Found::kPresent) return;
    CHECK(value == NodePolicy::entry(got.word())->value);
    NodePolicy::release(value);
}

void compare(const Tree::Node* version, const Model& model) {
    Tree::check(version);
    CHECK(version->weight == static_cast<std::int64_t>(model.size()));
    std::size_t seen = 0;
    auto visit = [&](Word w) { ++seen, CHECK(model.at(hash_of(w)) == w); };
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
        CHECK(found.emplace(hash_of(from ? from : to), std::pair{from, to}).second);
    };
    Tree::differences(a, b, visit);
    CHECK(found == expected);
}

void one_thread_equals_a_std_map_in_every_version(std::uint64_t seed, std::uint64_t changes,
                                                  std::uint64_t keys) {
    std::mt19937_64 random(seed);
    TrieCell<NodePolicy> trie(Tree::empty());
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
        compare_read(trie, some_hash(random, keys));
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
    TrieCell<NodePolicy> a(Tree::empty()), b(Tree::empty());
    std::vector<std::uint64_t> hashes;
    for (int i = 0; i < 500; ++i) hashes.push_back(some_hash(random, 300));
    auto put = [](auto& trie, std::uint64_t hash) {
        trie.replace(hash, trie.get(hash).word(), leaf(hash).word(), 0);
    };
    for (std::uint64_t hash : hashes) put(a, hash), a.version();
    for (std::uint64_t hash : hashes) put(b, hash + 1);
    std::reverse(hashes.begin(), hashes.end());
    for (std::uint64_t hash : hashes) put(b, hash);
    for (std::uint64_t hash : hashes)
        if (!a.get(hash + 1)) b.replace(hash + 1, b.get(hash + 1).word(), 0, 0);
    CHECK(a.bytes() == b.bytes());
    Tree::check(b.version().node());
}

void work(TrieCell<NodePolicy>& trie, std::atomic<std::int64_t>& size, std::uint64_t seed,
          std::uint64_t changes) {
    std::mt19937_64 random(seed);
    for (std::uint64_t i = 0; i < changes; ++i) {
        std::uint64_t hash = some_hash(random, 100);
        Owned seen = trie.get(hash);
        if (seen) CHECK(hash_of(seen.word()) == hash && NodePolicy::references(seen.word()).load() > 0);
        Owned next = random() % 2 ? leaf(hash) : Owned();
        int growth = static_cast<int>(static_cast<bool>(next)) - static_cast<int>(static_cast<bool>(seen));
        if (random() % 4 == 0 && trie.replace(hash, seen.word(), next.word(), growth)) size.fetch_add(growth);
        if (random() % 500 == 0) Tree::check(trie.version().node());
        if (random() % 2000 == 0) size.fetch_sub(trie.exchange(Tree::empty()).node()->weight);
    }
}

void read_all(const TrieCell<NodePolicy>& trie, std::atomic<bool>& done) {
    while (!done.load()) {
        for (std::uint64_t key = 0; key < 100; ++key) {
            Word value;
            if (trie.read(NodePolicy::Lookup{key}, &value) != Found::kPresent) continue;
            CHECK(cell(value)->number.load() == key);
            NodePolicy::release(value);
        }
    }
}

void several_threads_find_the_values_of_their_keys(std::uint64_t seed, std::uint64_t changes) {
    TrieCell<NodePolicy> trie(Tree::empty());
    std::atomic<std::int64_t> size{0};
    std::vector<std::thread> threads;
    std::atomic<bool> done{false};
    std::thread reader(read_all, std::cref(trie), std::ref(done));
    for (unsigned i = 0; i < 3; ++i)
        threads.emplace_back(work, std::ref(trie), std::ref(size), seed + i, changes);
    for (std::thread& thread : threads) thread.join();
    done.store(true);
    reader.join();
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
    several_threads_find_the_values_of_their_keys(seed, changes);
    CHECK(living.load() == 0);
    CHECK(Pool::living() == 0);
    std::printf("ok\n");
}
