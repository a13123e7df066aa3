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
    map.send_departures(
        [](void* context, Word key, Word value, threadproof::Cause) {
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

// ---- time

/// The clock of the maps here: each step is a second.
std::atomic<std::int64_t> seconds{0};
std::int64_t now(void*) { return seconds.load() * 1'000'000'000; }
threadproof::Lifetimes lives(std::uint64_t write, std::uint64_t access, std::uint64_t refresh = 0) {
    constexpr std::uint64_t kSecond = 1'000'000'000;
    return {.write = write * kSecond, .access = access * kSecond, .refresh = refresh * kSecond};
}

void an_entry_is_absent_from_its_deadline_on() {
    Map map(1);
    map.set_expiry(lives(10, 0), now, nullptr, 1);
    put(map, 1, 5);
    seconds += 9;
    put(map, 2, 6);
    CHECK(look(map, 1) == 5 && look(map, 2) == 6);
    seconds += 1;
    CHECK(look(map, 1) == kNone && look(map, 2) == 6);
    CHECK(put(map, 1, 7));  // it is new
    map.expire_due();
    CHECK(map.size() == 2 && map.cache_stats().expired == 1);
    seconds += 100;
    map.expire_due();
    CHECK(map.size() == 0 && map.cache_stats().expired == 3 && map.until_due() == -1);
    map.check();
    map.release_contents();
}

void a_read_puts_the_deadline_off_up_to_the_limit() {
    Map map(1);
    map.set_expiry(lives(25, 10), now, nullptr, 1);
    put(map, 1, 5);
    for (int i = 0; i < 2; ++i) {
        seconds += 9;
        CHECK(look(map, 1) == 5);
        map.expire_due();
    }
    seconds += 7;
    CHECK(look(map, 1) == kNone);
    map.expire_due();
    CHECK(map.size() == 0);
    map.check();
    map.release_contents();
}

/// The old value of a computation that stores nothing keeps its deadline, and another value has a new one.
void a_computed_value_begins_to_live_when_it_is_stored() {
    Map map(1);
    map.set_expiry(lives(10, 0), now, nullptr, 1);
    put(map, 1, 5);
    {
        Computation computation(map, 1);
        CHECK(computation.begun());
        seconds += 11;
        CHECK(look(map, 1) == kNone);
        computation.store(6);
    }
    seconds += 9;
    CHECK(look(map, 1) == 6);
    map.check();
    map.release_contents();
}

void one_call_refreshes_an_old_value() {
    Map map(1);
    map.set_expiry(lives(0, 0, 10), now, nullptr, 1);
    put(map, 1, 5);
    Policy::Lookup lookup(1);
    CHECK(!map.claim_refresh(lookup));
    seconds += 10;
    CHECK(map.claim_refresh(lookup) && !map.claim_refresh(lookup));
    put(map, 1, 6);
    CHECK(!map.claim_refresh(lookup));
    map.release_contents();
}

/// Each value is the second in which it expires: none is seen in that second.
void no_thread_sees_a_value_that_has_expired() {
    Map map(3);
    map.set_max(200);
    map.set_expiry({.own = true}, now, nullptr, 1);
    auto work = [&](unsigned number) {
        std::mt19937_64 random(number);
        for (int i = 0; i < 20000; ++i) {
            std::uint64_t key = random() % 300, dice = random() % 100;
            // before the call: the clock may go on during it
            std::int64_t began = seconds;
            threadproof::deadline_of_next_value = threadproof::Expiry::instant((began + 5) * 1'000'000'000);
            if (dice < 40) put(map, key, static_cast<std::uint64_t>(began + 5));
            else if (dice < 90)
                CHECK([&](auto found) { return found == kNone || found > began; }(look(map, key)));
            else if (dice < 98) remove(map, key);
            else if (dice < 99) seconds += 1;
            else map.expire_due();
        }
    };
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < 4; ++i) threads.emplace_back(work, i);
    for (std::thread& each : threads) each.join();
    threadproof::Reclaimer::collect();
    map.expire_due();
    map.check();
    seconds += 10;
    map.expire_due();
    CHECK(map.size() == 0);
    map.check();
    map.release_contents();
}

/// Each value that is stored leaves once.
void every_value_that_leaves_is_sent() {
    static std::atomic<std::uint64_t> sent;
    sent = 0;
    std::atomic<std::uint64_t> stored{0};
    Map map(1);
    map.set_max(50);
    map.set_expiry(lives(5, 0), now, nullptr, 1);
    map.send_departures(
        [](void*, Word key, Word value, threadproof::Cause) {
            Map::release_key(key);
            Policy::release(value);
            ++sent;
        },
        &map);
    auto work = [&](unsigned number) {
        std::mt19937_64 random(number);
        for (int i = 0; i < 10000; ++i) {
            std::uint64_t key = random() % 100, dice = random() % 100;
            if (dice < 60) put(map, key, i), ++stored;
            else if (dice < 90) remove(map, key);
            else if (dice < 95) seconds += 1;
            else if (dice < 97) drain(map);
            else map.clear();
        }
    };
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < 4; ++i) threads.emplace_back(work, i);
    for (std::thread& each : threads) each.join();
    map.clear();
    CHECK(sent == stored);
    map.check();
    map.release_contents();
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
                          CLAIM(an_entry_is_absent_from_its_deadline_on),
                          CLAIM(a_read_puts_the_deadline_off_up_to_the_limit),
                          CLAIM(a_computed_value_begins_to_live_when_it_is_stored),
                          CLAIM(one_call_refreshes_an_old_value),
                          CLAIM(no_thread_sees_a_value_that_has_expired),
                          CLAIM(every_value_that_leaves_is_sent),
                      });
}
