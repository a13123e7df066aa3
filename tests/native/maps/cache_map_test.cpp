/// A cache's core. Without a bound it is a map like any other: random operations, see random_test.hpp. With a small
/// one, threads store, read and remove keys while entries are evicted all the time.
#include "core/maps/cache/map.hpp"

namespace cells {
template <class P>
struct WithNodes : P {
    using SlotData = std::uint32_t;
};
template <class P>
using Cache = threadproof::CacheMap<WithNodes<P>>;
}  // namespace cells

#define CELLS_MAP cells::Cache
#include "kit/claims.hpp"
#include "maps/random_test.hpp"

using namespace cells;

namespace {

void the_bound_holds_after_each_call() {
    for (std::uint64_t max : {0, 1, 2, 7, 300}) {
        Map map(max + 5);
        map.set_max(max);
        for (std::uint64_t i = 0; i < 3000; ++i) {
            put(map, i % 1000, i);
            CHECK(map.size() <= static_cast<std::int64_t>(max));
            if (i % 100 == 0) map.check();
        }
        CHECK(map.size() == static_cast<std::int64_t>(max));
        map.set_max(max / 2);
        CHECK(map.size() == static_cast<std::int64_t>(max / 2));
        map.check();
        map.release_contents();
    }
}

/// Evicted entries go to a function of the caller's, with their references.
void every_entry_that_goes_is_sent() {
    static std::uint64_t sent;
    sent = 0;
    Map map(1);
    map.set_max(50);
    map.send_evicted(
        [](void* context, Word key, Word value) {
            CHECK(key_of(value) == Policy::number(key));
            CHECK(static_cast<Map*>(context)->size() <= 50);  // no lock is held
            Map::release_key(key);
            Policy::release(value);
            ++sent;
        },
        &map);
    for (std::uint64_t i = 0; i < 1000; ++i) put(map, i, i);
    CHECK(sent == 950 && map.size() == 50);
    CHECK(map.cache_stats().evictions == 950 && map.cache_stats().weight == 50);
    map.release_contents();
}

void a_key_that_is_read_again_and_again_stays() {
    Map map(1);
    map.set_max(100);
    for (std::uint64_t i = 0; i < 20000; ++i) {
        put(map, i + 10, i);
        CHECK(look(map, i % 10) != kNone || put(map, i % 10, i));
    }
    for (std::uint64_t i = 0; i < 10; ++i) CHECK(look(map, i) != kNone);
    map.check();
    map.release_contents();
}

void a_key_that_is_computed_is_not_evicted() {
    Map map(1);
    map.set_max(10);
    put(map, 1, 5);
    {
        Computation present(map, 1), absent(map, 2);
        CHECK(present.begun() && absent.begun());
        // each three times: more often than the key
        for (std::uint64_t i = 30; i < 300; ++i) put(map, i / 3, i);
        CHECK(look(map, 1) == 5);
        present.store(6);
        absent.store(7);
    }
    CHECK(map.size() <= 10);
    map.check();
    map.release_contents();
}

void a_cleared_cache_fills_again() {
    Map map(1);
    map.set_max(100);
    for (int round = 0; round < 20; ++round) {
        for (std::uint64_t i = 0; i < 150; ++i) put(map, i, i);
        CHECK(map.size() == 100);
        if (round % 2) drain(map);
        else map.clear();
        CHECK(map.size() == 0);
        map.check();
    }
    CHECK(map.cache_stats().bytes < 64 * 1024);
    map.release_contents();
}

void work_above_the_bound(Map& map, std::uint64_t seed, std::int64_t bound) {
    std::mt19937_64 random(seed);
    for (int i = 0; i < 20000; ++i) {
        std::uint64_t key = random() % 400, dice = random() % 1000;
        if (dice < 500) put(map, key, i);
        else if (dice < 600) remove(map, key);
        else if (dice < 900) look(map, key);
        else if (dice < 980) compute(map, key, i);
        else if (dice < 985) iterate(map);
        else if (dice < 988) snapshot(map);
        else if (dice < 990) drain(map);
        else if (dice < 991) map.clear();
        else CHECK(map.size() <= bound + 128 + 8);
    }
}

void threads_share_a_small_bound() {
    for (std::int64_t max : {1, 20, 150}) {
        Map map(3);
        map.set_max(static_cast<std::uint64_t>(max));
        std::vector<std::thread> threads;
        for (unsigned i = 0; i < 4; ++i) threads.emplace_back([&, i] { work_above_the_bound(map, i, max); });
        for (std::thread& each : threads) each.join();
        threadproof::Reclaimer::collect();
        map.check();
        CHECK(map.size() <= max && static_cast<std::int64_t>(iterate(map).size()) == map.size());
        map.release_contents();
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 1) run_random_test("cache_map_test", argc, argv, 10000);
    return run_claims(argc, argv,
                      {
                          CLAIM(the_bound_holds_after_each_call),
                          CLAIM(every_entry_that_goes_is_sent),
                          CLAIM(a_key_that_is_read_again_and_again_stays),
                          CLAIM(a_key_that_is_computed_is_not_evicted),
                          CLAIM(a_cleared_cache_fills_again),
                          CLAIM(threads_share_a_small_bound),
                      });
}
