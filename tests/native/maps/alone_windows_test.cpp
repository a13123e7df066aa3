/// A thread that is Alone (core/base/threads.hpp) is held in the middle of a change of a HashMap, for which it has
/// taken no lock; another thread comes. The program's first thread uses no map, so that it has no slot: it would be a
/// second thread. Only the stress build has the windows.
#include <vector>

#include "kit/actor.hpp"
#include "kit/claims.hpp"

using namespace cells;

namespace {

void alone(std::function<void()> step) { Actor(std::move(step)).finish(); }

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
void one_after_the_other(std::function<void()> first, Window window, std::function<void()> second) {
    Actor early(std::move(first), window);
    early.must_be_held();
    Actor late(std::move(second));
    late.must_wait();
    early.finish();
    late.finish();
}

void the_second_thread_waits_until_a_key_is_stored() {
    Filled map(4);
    one_after_the_other([&] { put(map, 5, 50); }, Window::kPublishing, [&] { CHECK(look(map, 5) == 50); });
    one_after_the_other([&] { put(map, 6, 60); }, Window::kPublishing,
                        [&] { put(map, 10, 100); });  // one home
    alone([&] { CHECK(look(map, 6) == 60 && look(map, 10) == 100 && map.size() == 7); });
}

void the_second_thread_waits_until_a_key_is_removed() {
    Filled map(4);
    one_after_the_other([&] { CHECK(remove(map, 1)); }, Window::kVacating,
                        [&] { CHECK(look(map, 1) == kNone); });
    one_after_the_other([&] { CHECK(remove(map, 2)); }, Window::kVacating, [&] { put(map, 6, 60); });
    alone([&] { CHECK(look(map, 2) == kNone && look(map, 6) == 60 && map.size() == 3); });
}

void the_second_thread_waits_until_a_change_is_counted() {
    Filled map(4);
    std::int64_t size = 0;
    one_after_the_other([&] { put(map, 5, 5); }, Window::kChanged, [&] { size = map.size(); });
    CHECK(size == 5);
    one_after_the_other([&] { remove(map, 5); }, Window::kChanged, [&] { size = map.size(); });
    CHECK(size == 4);
}

void the_second_thread_waits_until_a_bucket_is_moved() {
    for (Window window : {Window::kMigrateCopying, Window::kMigrateCopied, Window::kMigrated}) {
        Filled map(20);
        one_after_the_other([&] { map.reserve(Map::Tables::capacity(3)); }, window,
                            [&] { CHECK(remove(map, 0) && remove(map, 1)), put(map, 1, 11); });
        alone([&] {
            CHECK(look(map, 0) == kNone && look(map, 1) == 11 && look(map, 2) == 2 && map.size() == 19);
        });
    }
}

void two_threads_take_locks() {
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

}  // namespace

int main(int argc, char** argv) {
    int failed = 0;
    for (const Claim& claim : {
             CLAIM(the_second_thread_waits_until_a_key_is_stored),
             CLAIM(the_second_thread_waits_until_a_key_is_removed),
             CLAIM(the_second_thread_waits_until_a_change_is_counted),
             CLAIM(the_second_thread_waits_until_a_bucket_is_moved),
             CLAIM(two_threads_take_locks),
         }) {
        if (argc > 1 && !std::strstr(claim.name, argv[1])) continue;
        // in a thread of its own: what run_claims() looks at after a claim takes a slot
        std::thread([&] { failed |= run_claims(1, argv, {claim}); }).join();
    }
    return failed;
}
