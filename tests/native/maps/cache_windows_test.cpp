/// A cache's critical interleavings, each enforced: a writer is held between the storing of a value and that of its
/// deadline, while readers come. Only the stress build has the windows.
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
#include <atomic>

#include "kit/actor.hpp"
#include "kit/claims.hpp"

using namespace cells;

namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
std::atomic<std::int64_t> seconds{0};
std::int64_t now(void*) { return seconds.load() * kSecond; }

/// A cache in which each value is the second in which it expires.
struct Timed : Map {
    Timed() : Map(1) {
        seconds = 0;
        set_expiry({.own = true}, now, nullptr, 1);
    }
    ~Timed() {
        check();
        release_contents();
    }
};

void put_until(Map& map, std::uint64_t key, std::int64_t end) {
    threadproof::deadline_of_next_value = threadproof::Expiry::instant(end * kSecond);
    put(map, key, static_cast<std::uint64_t>(end));
    threadproof::deadline_of_next_value = 0;
}

void a_new_key_is_not_seen_after_its_deadline() {
    Timed map;
    std::int64_t seen = 0;
    Actor writer([&] { put_until(map, 1, 5); }, Window::kStamping);
    writer.must_be_held();
    seconds = 4;
    CHECK(look(map, 1) == 5);
    seconds = 5;
    Actor reader([&] { seen = look(map, 1); });
    reader.must_wait();
    writer.finish(), reader.finish();
    CHECK(seen == kNone);
}

/// Neither longer than it lives, nor as long as the value before.
void a_replacement_is_not_seen_after_its_deadline() {
    for (std::int64_t old : {3, 20}) {
        Timed map;
        put_until(map, 1, old);
        std::int64_t seen = 0;
        Actor writer([&] { put_until(map, 1, 5); }, Window::kStamping);
        writer.must_be_held();
        CHECK(look(map, 1) == 5 && has(map, 1));
        seconds = 5;
        Actor reader([&] { seen = look(map, 1); });
        reader.must_wait();
        writer.finish(), reader.finish();
        CHECK(seen == kNone && !has(map, 1));
    }
}

void a_replacement_is_not_missing_because_the_old_value_is_over() {
    Timed map;
    put_until(map, 1, 3);
    std::int64_t seen = 0;
    Actor writer([&] { put_until(map, 1, 5); }, Window::kStamping);
    writer.must_be_held();
    CHECK(look(map, 1) == 5);
    seconds = 3;
    Actor reader([&] { seen = look(map, 1); });
    reader.must_wait();
    writer.finish(), reader.finish();
    CHECK(seen == 5);
}

/// A read of the new value that comes before its deadline does not put off that of the old one.
void a_read_between_the_two_puts_nothing_off() {
    Map map(1);
    seconds = 0;
    map.set_expiry({.write = 10 * kSecond, .access = 4 * kSecond}, now, nullptr, 1);
    put(map, 1, 1);
    seconds = 2;
    Actor writer([&] { put(map, 1, 2); }, Window::kStamping);
    writer.must_be_held();
    seconds = 3;
    CHECK(look(map, 1) == 2);
    writer.finish();
    seconds = 5;
    CHECK(look(map, 1) == 2);
    seconds = 9;
    CHECK(look(map, 1) == kNone);
    map.expire_due();
    map.check();
    map.release_contents();
}

/// A reader that began before the deadline, and is slower than one that began after it, does not bring it back.
void what_was_absent_once_does_not_come_back() {
    Map map(1);
    seconds = 0;
    map.set_expiry({.access = 4 * kSecond}, now, nullptr, 1);
    put(map, 1, 1);
    seconds = 3;
    std::int64_t seen = 0;
    Actor reader([&] { seen = look(map, 1); }, Window::kReadHeld);
    reader.must_be_held();
    seconds = 4;
    CHECK(!has(map, 1));
    reader.finish();
    CHECK(seen == kNone && look(map, 1) == kNone);
    map.expire_due();
    map.check();
    map.release_contents();
}

/// The slot of a new key has its node before readers find the key, and not that of the key before.
void a_new_key_is_judged_by_its_own_deadline() {
    Timed map;
    put_until(map, 1, 3), put_until(map, 2, 3);
    remove(map, 1), remove(map, 2);
    put_until(map, 101, 1);  // has the slot of 1 and the node of 2
    Actor writer([&] { put_until(map, 1, 9); }, Window::kChanged);
    writer.must_be_held();
    seconds = 2;
    CHECK(look(map, 1) == 9);
    writer.finish();
    CHECK(look(map, 1) == 9);
}

// More keys than the nodes that a cache keeps when it is empty: its last removal gives memory back.
constexpr std::uint64_t kMany = 200;

void fill(Map& map) {
    for (std::uint64_t key = 1; key <= kMany; ++key) put(map, key, key);
}
void empty(Map& map) {
    for (std::uint64_t key = 1; key <= kMany; ++key) remove(map, key);
}

/// A cache whose entries expire, by reads and writes, and not all at once.
struct Spread : Map {
    Spread() : Map(1) {
        seconds = 0;
        set_expiry({.write = 9 * kSecond, .access = 9 * kSecond, .jitter = 1 << 15}, now, nullptr, 1);
    }
    ~Spread() {
        check();
        release_contents();
    }
};

/// A change that comes while another thread evicts is left to that thread, whatever that one's call is.
void a_change_is_left_to_the_thread_that_evicts() {
    for (bool reads : {false, true}) {
        Timed map;
        put_until(map, 1, 1);
        seconds = 1;
        Actor evicting(
            [&] {
                if (reads) CHECK(look(map, 1) == kNone);
                else map.expire_due();
            },
            Window::kEvicted);
        evicting.must_be_held();
        put_until(map, 2, 5);
        evicting.finish();
        map.check();
        CHECK(map.size() == 1);
    }
}

/// Retiring memory can wait for other threads, or release the interpreter.
void memory_is_given_back_with_no_lock_held() {
    Spread map;
    fill(map);
    Actor emptying([&] { empty(map); }, Window::kGivingBack);
    emptying.must_be_held();
    Actor writer([&] { fill(map); });
    CHECK(writer.stopped() == Actor::kDone);
    writer.finish(), emptying.finish();
    CHECK(look(map, kMany) == static_cast<std::int64_t>(kMany));
}

/// A pinned reader puts the deadline of an entry off that has gone, with the memory of all nodes.
void a_reader_may_be_later_than_the_memory_of_its_node() {
    Spread map;
    fill(map);
    seconds = 2;
    std::int64_t seen = 0;
    Actor reader([&] { seen = look(map, kMany); }, Window::kPuttingOff);
    reader.must_be_held();
    empty(map);
    reader.finish();
    CHECK(seen == static_cast<std::int64_t>(kMany) && look(map, kMany) == kNone);
}

void a_renewal_may_be_later_than_the_memory_of_its_node() {
    Spread map;
    fill(map);
    Actor renewing([&] { map.renew(Policy::Lookup(kMany)); }, Window::kRenewing);
    renewing.must_be_held();
    empty(map);
    renewing.finish();
    CHECK(look(map, kMany) == kNone);
}

/// The clock stands: a new entry has the same deadline, and the node.
void a_renewal_of_a_key_is_not_that_of_another() {
    Timed map;
    put_until(map, 1, 5);
    Actor renewing([&] { map.renew(Policy::Lookup(1)); }, Window::kRenewing);
    renewing.must_be_held();
    remove(map, 1);
    put_until(map, 2, 5);
    renewing.finish();
    seconds = 4;
    CHECK(look(map, 1) == kNone && look(map, 2) == 5);
    seconds = 5;
    CHECK(look(map, 2) == kNone);
}

}  // namespace

int main(int argc, char** argv) {
    return run_claims(argc, argv,
                      {
                          CLAIM(a_new_key_is_not_seen_after_its_deadline),
                          CLAIM(a_replacement_is_not_seen_after_its_deadline),
                          CLAIM(a_replacement_is_not_missing_because_the_old_value_is_over),
                          CLAIM(a_read_between_the_two_puts_nothing_off),
                          CLAIM(what_was_absent_once_does_not_come_back),
                          CLAIM(a_new_key_is_judged_by_its_own_deadline),
                          CLAIM(a_change_is_left_to_the_thread_that_evicts),
                          CLAIM(memory_is_given_back_with_no_lock_held),
                          CLAIM(a_reader_may_be_later_than_the_memory_of_its_node),
                          CLAIM(a_renewal_may_be_later_than_the_memory_of_its_node),
                          CLAIM(a_renewal_of_a_key_is_not_that_of_another),
                      });
}
