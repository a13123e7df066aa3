/// The trie's critical interleavings, each enforced, and its changes without memory: only the stress build has
/// the windows, and allocations that fail.
#include <map>
#include <optional>

#include "kit/actor.hpp"
#include "kit/claims.hpp"
#include "maps/node_policy.hpp"

using namespace cells;

namespace {

using Tree = Trie<NodePolicy>;
using Trieing = TrieCell<NodePolicy>;
using Owned = Tree::Owned;

Owned some_value(std::uint64_t number) { return Owned(word(Pool::make(number))); }
Owned some_entry(std::uint64_t hash) { return Owned(NodePolicy::make_entry(hash)); }

void put(Trieing& trie, std::uint64_t hash, const Owned& next) {
    Owned seen = trie.get(hash);
    CHECK(trie.replace(hash, seen.word(), next.word(), next ? !seen : -static_cast<int>(!!seen)));
}
std::uint64_t number_in(const Owned& value) { return cell(value.word())->number.load(); }

/// The hashes of a version with the words there.
std::map<std::uint64_t, Word> contents(const Owned& version, std::uint64_t hashes) {
    Tree::check(version.node());
    std::map<std::uint64_t, Word> all;
    for (std::uint64_t hash = 0; hash < hashes; ++hash)
        if (Word found = Tree::find(version.node(), hash)) all[hash] = found;
    CHECK(version.node()->weight == static_cast<std::int64_t>(all.size()));
    return all;
}

/// Overwrites, adds and removes.
void change_all(Trieing& trie, std::uint64_t hashes) {
    for (std::uint64_t hash = 0; hash < hashes; ++hash)
        put(trie, hash, hash % 3 ? some_entry(hash) : Owned());
}

void a_version_that_was_handed_out_never_changes() {
    Trieing trie(Tree::empty());
    for (std::uint64_t hash = 0; hash < 100; hash += 2) put(trie, hash, some_entry(hash));
    Owned version = trie.version();
    auto before = contents(version, 100);
    change_all(trie, 100);
    CHECK(contents(version, 100) == before);
    CHECK(contents(trie.version(), 100).size() == 66);
}

void a_version_that_was_taken_out_and_put_back_never_changes() {
    Trieing trie(Tree::empty());
    for (std::uint64_t hash = 0; hash < 40; ++hash) put(trie, hash, some_entry(hash));
    Owned base = Tree::empty(), version = trie.exchange(Owned::share(base.word()));
    auto before = contents(version, 40);
    CHECK(trie.publish(base, Owned::share(version.word())));
    change_all(trie, 40);
    CHECK(contents(version, 40) == before);
}

void a_version_that_another_cell_has_too_never_changes() {
    Trieing one(Tree::empty());
    for (std::uint64_t hash = 0; hash < 40; ++hash) put(one, hash, some_entry(hash));
    Trieing other(one.version());
    auto before = contents(other.version(), 40);
    change_all(one, 40);
    CHECK(contents(other.version(), 40) == before);
    before = contents(one.version(), 40);
    change_all(other, 40);
    CHECK(contents(one.version(), 40) == before);
}

void a_word_that_is_replaced_while_a_reader_takes_it_is_not_returned() {
    Trieing trie(Tree::empty());
    put(trie, 1, some_value(1));
    Owned seen;
    Actor reader([&] { seen = trie.get(1); }, Window::kReadLoaded);
    reader.must_be_held();
    put(trie, 1, some_value(2));
    Owned again = some_value(99);  // at the address of the first
    reader.finish();
    CHECK(number_in(seen) == 2);
}

void a_word_that_is_replaced_after_its_node_is_not_returned() {
    Trieing trie(Tree::empty());
    put(trie, 1, some_value(1));
    Owned seen;
    Actor reader([&] { seen = trie.get(1); }, Window::kReadLoaded);
    reader.must_be_held();
    // as where CPython merges the counts of two threads later, the node is not freed at once
    Owned late = Owned::share(NodePolicy::word(trie.stopped()));
    put(trie, 2, some_value(2));  // moves the words to a node of two slots
    put(trie, 1, some_value(3));
    Owned again = some_value(99);  // at the address of the first
    reader.finish();
    CHECK(number_in(seen) == 3);
}

void the_weight_waits_for_a_change_that_is_under_way() {
    Trieing trie(Tree::empty());
    put(trie, 1, some_value(1));
    Actor writer([&] { put(trie, 2, some_value(2)); }, Window::kChanged);
    writer.must_be_held();
    std::int64_t weight = 0;
    Actor reader([&] { weight = trie.get(2) ? trie.weight() : -1; });
    reader.must_wait();
    writer.finish();
    reader.finish();
    CHECK(weight == 2);
}

void a_version_has_no_change_that_is_under_way() {
    Trieing trie(Tree::empty());
    put(trie, 1, some_value(1));
    Actor writer([&] { put(trie, 2, some_value(2)); }, Window::kChanged);
    writer.must_be_held();
    Owned version;
    Actor reader([&] { version = trie.version(); });
    reader.must_wait();
    writer.finish();
    reader.finish();
    CHECK(contents(version, 3).size() == 2);
}

/// Hashes that meet on the first levels, so that nodes become leaves and leaves nodes.
std::uint64_t deep(std::uint64_t number) { return number % 4 << 20 | number / 4 % 2 << 10 | number / 8; }

void a_change_that_gets_no_memory_changes_nothing() {
    Trieing trie(Tree::empty());
    for (std::uint64_t number = 0; number < 64; ++number) {
        for (bool removing : {false, true, false}) {
            const std::uint64_t hash = deep(number);
            if (number % 7 == 0) trie.version();
            for (std::int64_t allocations = 0;; ++allocations) {
                Owned next = removing ? Owned() : some_entry(hash), seen = trie.get(hash);
                const std::int64_t weight = trie.weight(), bytes = trie.bytes();
                stress::allocations_left.store(allocations);
                bool failed = false;
                try {
                    put(trie, hash, next);
                } catch (const std::bad_alloc&) {
                    failed = true;
                }
                stress::allocations_left.store(-1);
                if (!failed) break;
                CHECK(trie.weight() == weight && trie.bytes() == bytes);
                CHECK(trie.get(hash).word() == seen.word());
            }
        }
    }
    CHECK(trie.weight() == 64);
    Tree::check(trie.version().node());
    for (std::uint64_t number = 0; number < 64; ++number) put(trie, deep(number), Owned());
    CHECK(trie.weight() == 0 && trie.bytes() == Tree::empty().node()->bytes);
    Tree::check(trie.version().node());
}

}  // namespace

int main(int argc, char** argv) {
    return run_claims(argc, argv,
                      {
                          CLAIM(a_version_that_was_handed_out_never_changes),
                          CLAIM(a_version_that_was_taken_out_and_put_back_never_changes),
                          CLAIM(a_version_that_another_cell_has_too_never_changes),
                          CLAIM(a_word_that_is_replaced_while_a_reader_takes_it_is_not_returned),
                          CLAIM(a_word_that_is_replaced_after_its_node_is_not_returned),
                          CLAIM(the_weight_waits_for_a_change_that_is_under_way),
                          CLAIM(a_version_has_no_change_that_is_under_way),
                          CLAIM(a_change_that_gets_no_memory_changes_nothing),
                      });
}
