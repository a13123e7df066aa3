/// The map's core without Python: random operations by one thread against std::map, then by several threads, each value
/// proving its key, with clears, snapshots and resizes in between. Prints its seed; the first argument sets it, the
/// second the number of operations of each thread.
#include <map>
#include <random>
#include <string>
#include <thread>

#include "cell_policy.hpp"

using namespace cells;
using threadproof::Outcome;

namespace {

/// Values prove their key: the key in the high half, anything in the low half.
Word value_for(std::uint64_t key, std::uint64_t low) { return word(Pool::make(key << 32 | (low & 0xffffffff))); }
std::uint64_t key_of(Word value) { return cell(value)->number.load() >> 32; }

void put(Map& map, std::uint64_t key, std::uint64_t low) {
    Word fresh = value_for(key, low), old = 0, turn = 0;
    Policy::Probe probe(key);
    Outcome outcome = map.change(probe, [&](Word current) { return old = current, fresh; }, &turn);
    CHECK(outcome == Outcome::kAbsent || outcome == Outcome::kPresent || outcome == Outcome::kBusy);
    if (outcome == Outcome::kBusy) return Policy::drop(turn), Policy::drop(fresh);
    if (old) CHECK(key_of(old) == key), Policy::drop(old);
}

bool remove(Map& map, std::uint64_t key) {
    Word old = 0, turn = 0;
    Outcome outcome = map.change(Policy::Probe(key), [&](Word current) { return old = current, Word{0}; }, &turn);
    if (turn) Policy::drop(turn);
    if (old) CHECK(key_of(old) == key), Policy::drop(old);
    return outcome == Outcome::kPresent;
}

/// The low half of the key's value, or -1.
std::int64_t look(Map& map, std::uint64_t key) {
    Word value = 0;
    Outcome outcome = map.get(Policy::Probe(key), &value);
    CHECK(outcome == Outcome::kAbsent || outcome == Outcome::kPresent);
    if (outcome == Outcome::kAbsent) return -1;
    CHECK(key_of(value) == key);
    std::int64_t low = static_cast<std::int64_t>(cell(value)->number.load() & 0xffffffff);
    Policy::drop(value);
    return low;
}

/// A computation: takes the key's turn, and settles it by a new value, by removal, or by putting the old one back.
void compute(Map& map, std::uint64_t key, std::uint64_t low) {
    Cell* turn = Pool::make(0);
    Word mine = word(turn, Map::kTurn), other = 0;
    turn->references.fetch_add(1);  // one reference for the slot, one for us
    Policy::Probe probe(key);
    Outcome outcome = map.change(probe, [&](Word current) { return turn->behind.store(current), mine; }, &other);
    if (outcome == Outcome::kBusy) return Policy::drop(other), Policy::drop(mine), Policy::drop(mine);
    Word old = turn->behind.load();
    if (old) CHECK(key_of(old) == key);
    Word next = low % 3 == 0 ? old : low % 3 == 1 ? 0 : value_for(key, low);
    if (next && next == old) Policy::hold(old);
    if (map.replace_exact(probe.hash, 0, mine, next)) Policy::drop(mine);
    else if (next) Policy::drop(next);  // cleared meanwhile: whoever cleared drops the slot's reference
    Policy::drop(mine);
}

std::size_t iterate(Map& map, bool once) {
    std::vector<Map::Entry> batch;
    std::map<std::uint64_t, int> seen;
    for (Map::Walk walk; map.next_batch(walk, batch); Map::drop_all(batch))
        for (const Map::Entry& e : batch) {
            CHECK(key_of(e.value) == Policy::number(e.key));
            CHECK(++seen[Policy::number(e.key)] == 1 || !once);
        }
    return seen.size();
}

void compare(Map& map, const std::map<std::uint64_t, std::uint64_t>& model) {
    map.check();
    CHECK(map.size() == static_cast<std::int64_t>(model.size()));
    CHECK(iterate(map, true) == model.size());
    for (auto [key, low] : model) CHECK(look(map, key) == static_cast<std::int64_t>(low));
    std::vector<Map::Entry> all = map.snapshot();
    CHECK(all.size() == model.size());
    for (const Map::Entry& e : all) CHECK(model.at(Policy::number(e.key)) == (cell(e.value)->number.load() & 0xffffffff));
    Map::drop_all(all);
}

void one_thread_equals_a_std_map(std::uint64_t seed, std::uint64_t operations, std::uint64_t keys) {
    std::mt19937_64 random(seed);
    Map map(seed);
    std::map<std::uint64_t, std::uint64_t> model;
    for (std::uint64_t i = 0; i < operations; ++i) {
        std::uint64_t key = random() % keys, low = random() & 0xffffffff, dice = random() % 1000;
        bool shrink = (i / (4 * keys)) % 2;  // phases that grow and phases that shrink
        if (dice < (shrink ? 200u : 500u)) put(map, key, low), model[key] = low;
        else if (dice < 700) CHECK(remove(map, key) == (model.erase(key) == 1));
        else if (dice < 999) CHECK(look(map, key) == (model.contains(key) ? static_cast<std::int64_t>(model[key]) : -1));
        else if (i % 7 == 0) map.clear(), model.clear();
        else compare(map, model);
    }
    compare(map, model);
    map.reserve(3 * keys);
    compare(map, model);
    map.empty();
}

void work(Map& map, std::uint64_t seed, std::uint64_t operations, std::uint64_t keys) {
    std::mt19937_64 random(seed);
    for (std::uint64_t i = 0; i < operations; ++i) {
        std::uint64_t key = random() % keys, low = random() & 0xffffffff, dice = random() % 10000;
        bool shrink = (i / keys) % 2;
        if (dice < (shrink ? 2000u : 4000u)) put(map, key, low);
        else if (dice < 6000) remove(map, key);
        else if (dice < 9000) look(map, key);
        else if (dice < 9900) compute(map, key, low);
        else if (dice < 9960) CHECK(map.size() >= 0);
        else if (dice < 9980) iterate(map, true);
        else if (dice < 9995) {
            std::vector<Map::Entry> all = map.snapshot();
            for (const Map::Entry& e : all) CHECK(key_of(e.value) == Policy::number(e.key));
            Map::drop_all(all);
        } else map.clear();
    }
}

void many_threads_keep_their_values(std::uint64_t seed, std::uint64_t operations, std::uint64_t keys) {
    Map map(seed);
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back([&, i] { work(map, seed * 31 + i, operations, keys); });
    for (std::thread& t : threads) t.join();
    threadproof::Reclaimer::collect();
    map.check();
    CHECK(static_cast<std::int64_t>(iterate(map, true)) == map.size());
    map.empty();
}

void nothing_is_left() {
    threadproof::Reclaimer::collect();
    CHECK(Pool::living() == 0);
    CHECK(Policy::keys_living.load() == 0);
    CHECK(threadproof::Reclaimer::bytes() == 0);
}

}  // namespace

int main(int argc, char** argv) {
    std::uint64_t seed = argc > 1 ? std::stoull(argv[1]) : std::random_device()();
    std::uint64_t operations = argc > 2 ? std::stoull(argv[2]) : 30000;
    std::printf("hash_map_test: seed %llu, %llu operations a thread\n", static_cast<unsigned long long>(seed), static_cast<unsigned long long>(operations));
    using Hash = std::uint64_t (*)(std::uint64_t);
    const Hash hashes[] = {[](std::uint64_t k) { return k; }, [](std::uint64_t) { return std::uint64_t{7}; }, [](std::uint64_t k) { return k % 4; },
                           [](std::uint64_t k) { return k << 40; }};
    for (Hash hash : hashes) {
        Policy::hash_of = hash;
        bool good = hash(1000) > 4;
        for (std::uint64_t keys : {3, 40, good ? 5000 : 60}) {
            one_thread_equals_a_std_map(seed, operations, keys);
            nothing_is_left();
            many_threads_keep_their_values(seed, operations, keys);
            nothing_is_left();
        }
    }
    std::printf("hash_map_test: ok\n");
}
