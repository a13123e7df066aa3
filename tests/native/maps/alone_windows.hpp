/// A thread that is Alone (core/base/threads.hpp) is held in the middle of a change of a map, for which it has taken no
/// lock; another thread comes. The program's first thread uses no map, so that it has no slot: it would be a second
/// thread. Only the stress build has the windows.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <set>
#include <vector>

#include "kit/actor.hpp"
#include "kit/claims.hpp"

namespace cells {

inline void alone(std::function<void()> step) { Actor(std::move(step)).finish(); }

/// A map with keys below `keys`, in four buckets; filled and released by a thread that is alone.
struct Filled : Map {
    explicit Filled(std::uint64_t keys) : Map(1) {
        alone([&] {
            reserve(Map::Tables::capacity(2));
            for (std::uint64_t key = 0; key < keys; ++key) put(*this, key, key);
            CHECK(stats().buckets == 4 && !stats().resizing);
        });
    }
    ~Filled() {
        alone([&] {
            check();
            release_contents();
        });
    }
};

/// One thread is held in a window of `first`; `second` of another begins when that is over.
inline void one_after_the_other(std::function<void()> first, Window window, std::function<void()> second) {
    Actor early(std::move(first), window);
    early.must_be_held();
    Actor late = Actor::without_slot(std::move(second));
    late.must_wait();
    early.finish();
    late.finish();
}

inline void the_second_thread_waits_until_a_key_is_stored() {
    Filled map(4);
    one_after_the_other([&] { put(map, 5, 50); }, Window::kPublishing, [&] { CHECK(look(map, 5) == 50); });
    one_after_the_other([&] { put(map, 6, 60); }, Window::kPublishing,
                        [&] { put(map, 10, 100); });  // one home
    alone([&] { CHECK(look(map, 6) == 60 && look(map, 10) == 100 && map.size() == 7); });
}

inline void the_second_thread_waits_until_a_key_is_removed() {
    Filled map(4);
    one_after_the_other([&] { CHECK(remove(map, 1)); }, Window::kVacating,
                        [&] { CHECK(look(map, 1) == kNone); });
    one_after_the_other([&] { CHECK(remove(map, 2)); }, Window::kVacating, [&] { put(map, 6, 60); });
    alone([&] { CHECK(look(map, 2) == kNone && look(map, 6) == 60 && map.size() == 3); });
}

inline void the_second_thread_waits_until_a_change_is_counted() {
    Filled map(4);
    std::int64_t size = 0;
    one_after_the_other([&] { put(map, 5, 5); }, Window::kChanged, [&] { size = map.size(); });
    CHECK(size == 5);
    one_after_the_other([&] { remove(map, 5); }, Window::kChanged, [&] { size = map.size(); });
    CHECK(size == 4);
}

inline void the_second_thread_waits_until_a_bucket_is_moved() {
    for (Window window : {Window::kMigrateCopying, Window::kMigrateCopied, Window::kMigrated}) {
        Filled map(15);
        one_after_the_other([&] { map.reserve(Map::Tables::capacity(3)); }, window,
                            [&] { CHECK(remove(map, 0) && remove(map, 1)), put(map, 1, 11); });
        alone([&] {
            CHECK(look(map, 0) == kNone && look(map, 1) == 11 && look(map, 2) == 2 && map.size() == 14);
        });
    }
}

/// Each public step, as the first of a thread.
inline std::vector<void (*)(Map&, const std::set<std::uint64_t>&)> first_steps() {
    using Keys = const std::set<std::uint64_t>&;
    return {
        [](Map& map, Keys keys) { CHECK(map.size() == static_cast<std::int64_t>(keys.size())); },
        [](Map& map, Keys keys) { CHECK(map.stats().size == static_cast<std::int64_t>(keys.size())); },
        [](Map& map, Keys keys) {
            for (std::uint64_t key = 0; key < 40; ++key) CHECK(has(map, key) == keys.contains(key));
        },
        [](Map& map, Keys keys) {
            for (std::uint64_t key = 0; key < 40; ++key)
                CHECK((look(map, key) != kNone) == keys.contains(key));
        },
        [](Map& map, Keys keys) {
            std::vector<Policy::Lookup> lookups;
            for (std::uint64_t key = 0; key < Map::kGroup; ++key) lookups.emplace_back(key);
            map.prefetch_group(lookups.data(), Map::kGroup);
            map.get_group(lookups.data(), Map::kGroup, [&](unsigned key, Outcome outcome, Word value) {
                CHECK((outcome == Outcome::kPresent) == keys.contains(key));
                if (outcome == Outcome::kPresent) spend(key, value);
            });
        },
        [](Map& map, Keys keys) { CHECK(iterate(map) == keys); },
        [](Map& map, Keys keys) { CHECK(snapshot(map) == keys); },
        [](Map& map, Keys keys) { CHECK(drain(map) == keys); },
        [](Map& map, Keys) {
            map.clear();
            CHECK(map.size() == 0);
        },
        [](Map& map, Keys) { CHECK(!map.replace_exact(0, 1, 1, 1)); },
        [](Map& map, Keys) { map.reserve(100); },
        [](Map& map, Keys) { map.expect(100); },
        [](Map& map, Keys) { map.trim(); },
        [](Map& map, Keys keys) {
            for (std::uint64_t key = 0; key < 40; ++key)
                if (!keys.contains(key)) put(map, key, key);
            CHECK(map.size() == 40);
        },
        [](Map& map, Keys keys) {
            for (std::uint64_t key = 0; key < 40; ++key) CHECK(remove(map, key) == keys.contains(key));
            CHECK(map.size() == 0);
        },
        [](Map& map, Keys) {
            Computation computation(map, 3);
            CHECK(computation.begun() && computation.store(33));
        },
    };
}

inline void each_first_step_of_a_thread_sees_all_of_a_change_or_nothing() {
    struct Change {
        Window window;
        void (*step)(Map&);
        std::set<std::uint64_t> added, removed;
    };
    const Change changes[] = {
        {Window::kPublishing, [](Map& map) { put(map, 30, 30); }, {30}, {}},
        {Window::kChanged, [](Map& map) { put(map, 30, 30); }, {30}, {}},
        {Window::kVacating, [](Map& map) { remove(map, 1); }, {}, {1}},
        {Window::kChanged, [](Map& map) { remove(map, 1); }, {}, {1}},
        {Window::kMigrateCopying, [](Map& map) { map.reserve(40); }, {}, {}},
        {Window::kMigrateCopied, [](Map& map) { map.reserve(40); }, {}, {}},
        {Window::kMigrated, [](Map& map) { map.reserve(40); }, {}, {}},
    };
    for (const Change& change : changes) {
        for (auto step : first_steps()) {
            Filled map(15);
            std::set<std::uint64_t> keys;
            for (std::uint64_t key = 0; key < 15; ++key) keys.insert(key);
            keys.insert(change.added.begin(), change.added.end());
            for (std::uint64_t key : change.removed) keys.erase(key);
            one_after_the_other([&] { change.step(map); }, change.window, [&] { step(map, keys); });
        }
    }
}

inline void two_threads_take_locks() {
    Filled map(4);
    Actor other([&] { look(map, 1); }, Window::kReadArrived);
    other.must_be_held();
    Actor writer([&] { put(map, 5, 50); }, Window::kPublishing);
    writer.must_be_held();
    alone([&] { put(map, 6, 60), CHECK(look(map, 6) == 60); });  // another home: it waits for nobody
    Actor same([&] { put(map, 9, 90); });
    same.must_wait();  // for the lock
    writer.finish();
    same.finish();
    other.finish();
    alone([&] { CHECK(look(map, 5) == 50 && look(map, 9) == 90 && map.size() == 7); });
}

/// The thread that was alone is not there.
inline void a_forked_child_does_not_wait_for_a_thread_that_was_alone() {
    Filled map(4), other(4);
    Actor writer([&] { put(map, 5, 50); }, Window::kPublishing);
    writer.must_be_held();
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        put(other, 5, 50);
        CHECK(look(other, 5) == 50 && other.size() == 5 && look(map, 1) == 1);
        put(map, 6, 60);  // another home
        CHECK(look(map, 6) == 60);
        _exit(0);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    writer.finish();
    alone([&] { CHECK(look(map, 5) == 50 && map.size() == 5); });
}

inline int run_alone(int argc, char** argv, std::initializer_list<Claim> more) {
    std::vector<Claim> claims{
        CLAIM(the_second_thread_waits_until_a_key_is_stored),
        CLAIM(the_second_thread_waits_until_a_key_is_removed),
        CLAIM(the_second_thread_waits_until_a_change_is_counted),
        CLAIM(the_second_thread_waits_until_a_bucket_is_moved),
        CLAIM(each_first_step_of_a_thread_sees_all_of_a_change_or_nothing),
        CLAIM(two_threads_take_locks),
        CLAIM(a_forked_child_does_not_wait_for_a_thread_that_was_alone),
    };
    claims.insert(claims.end(), more);
    int failed = 0;
    for (const Claim& claim : claims) {
        if (argc > 1 && !std::strstr(claim.name, argv[1])) continue;
        // in a thread of its own: what run_claims() looks at after a claim takes a slot
        std::thread([&] { failed |= run_claims(1, argv, {claim}); }).join();
    }
    return failed;
}

}  // namespace cells
