/// A map's core without Python: random operations by one thread against std::map, then by several threads,
/// each value proving its key, with clears, snapshots and resizes in between. Prints its seed; the first
/// argument sets it, the second the number of operations of each thread.
#pragma once

#include <map>
#include <random>
#include <string>
#include <thread>

#include "maps/operations.hpp"

namespace cells {

inline void compare(Map& map, const std::map<std::uint64_t, std::uint64_t>& model) {
    map.check();
    CHECK(map.size() == static_cast<std::int64_t>(model.size()));
    CHECK(iterate(map).size() == model.size());
    for (auto [key, low] : model) CHECK(look(map, key) == static_cast<std::int64_t>(low));
    Map::Entries all = map.snapshot();
    CHECK(all.size() == model.size());
    for (const Map::Entry& e : all)
        CHECK(model.at(Policy::number(e.key)) == static_cast<std::uint64_t>(low_of(e.value)));
    Map::release_all(all);
}

template <class AnyMap>
void make_room(AnyMap& map, std::uint64_t keys) {
    if constexpr (requires { map.reserve(keys); }) map.reserve(keys);
}

inline void one_thread_equals_a_std_map(std::uint64_t seed, std::uint64_t operations, std::uint64_t keys) {
    std::mt19937_64 random(seed);
    Map map(seed);
    std::map<std::uint64_t, std::uint64_t> model;
    for (std::uint64_t i = 0; i < operations; ++i) {
        std::uint64_t key = random() % keys, low = random() & 0xffffffff, dice = random() % 1000;
        bool shrink = (i / (4 * keys)) % 2;  // phases that grow and phases that shrink
        if (dice < (shrink ? 200u : 500u)) put(map, key, low), model[key] = low;
        else if (dice < 700) CHECK(remove(map, key) == (model.erase(key) == 1));
        else if (dice < 999)
            CHECK(look(map, key) == (model.contains(key) ? static_cast<std::int64_t>(model[key]) : -1));
        else if (i % 7 == 0) map.clear(), model.clear();
        else compare(map, model);
    }
    compare(map, model);
    make_room(map, 3 * keys);
    compare(map, model);
    map.release_contents();
}

inline void compute(Map& map, std::uint64_t key, std::uint64_t low) {
    Computation computation(map, key);
    if (!computation.begun()) return;
    if (low % 3 == 0) computation.restore();
    else if (low % 3 == 1) computation.remove();
    else computation.store(low);
}

/// A private table is published if no other thread has stored a key meanwhile.
template <class AnyMap>
void clear_and_refill(AnyMap& map, std::uint64_t key, std::uint64_t low) {
    map.clear();
    if constexpr (requires { map.make_private(1); }) {
        std::vector<std::uint64_t> keys;
        for (std::uint64_t i = 0; i < low % 100; ++i) keys.push_back((key + i) % (key + 10));
        if (fill(map, keys, low, low % 2 == 0)) map.trim();
    }
}

inline void work(Map& map, std::uint64_t seed, std::uint64_t operations, std::uint64_t keys) {
    std::mt19937_64 random(seed);
    for (std::uint64_t i = 0; i < operations; ++i) {
        std::uint64_t key = random() % keys, low = random() & 0xffffffff, dice = random() % 10000;
        bool shrink = (i / keys) % 2;
        if (dice < (shrink ? 2000u : 4000u)) put(map, key, low);
        else if (dice < 6000) remove(map, key);
        else if (dice < 9000) look(map, key);
        else if (dice < 9900) compute(map, key, low);
        else if (dice < 9960) CHECK(map.size() >= 0);
        else if (dice < 9980) iterate(map);
        else if (dice < 9990) snapshot(map);
        else if (dice < 9995) drain(map);
        else clear_and_refill(map, key, low);
    }
}

inline void many_threads_keep_their_values(std::uint64_t seed, std::uint64_t operations, std::uint64_t keys) {
    Map map(seed);
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back([&, i] { work(map, seed * 31 + i, operations, keys); });
    for (std::thread& t : threads) t.join();
    threadproof::Reclaimer::collect();
    map.check();
    CHECK(static_cast<std::int64_t>(iterate(map).size()) == map.size());
    map.release_contents();
}

inline int run_random_test(const char* name, int argc, char** argv, std::uint64_t usual = 30000) {
    std::uint64_t seed = argc > 1 ? std::stoull(argv[1]) : std::random_device()();
    std::uint64_t operations = argc > 2 ? std::stoull(argv[2]) : usual;
    std::printf("%s: seed %llu, %llu operations a thread\n", name, static_cast<unsigned long long>(seed),
                static_cast<unsigned long long>(operations));
    using Hash = std::uint64_t (*)(std::uint64_t);
    const Hash hashes[] = {Policy::itself, [](std::uint64_t) { return std::uint64_t{7}; },
                           [](std::uint64_t k) { return k % 4; }, [](std::uint64_t k) { return k << 40; }};
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
    std::printf("%s: ok\n", name);
    return 0;
}

}  // namespace cells
