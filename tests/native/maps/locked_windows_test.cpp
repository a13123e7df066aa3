/// LockedMap's critical interleavings, each enforced: a thread is held in the middle of one step while another
/// step is taken. Only the stress build has the windows; its tables begin with room for one entry, and its
/// iterations copy two entries at a time.
#define CELLS_MAP Configured
#include "core/maps/locked_map/map.hpp"

template <class P>
struct Configured : threadproof::LockedMap<P> {
    static inline unsigned shard_bits = 0;
    static inline bool sharing = false;
    explicit Configured(std::uint64_t secret) : threadproof::LockedMap<P>(secret, shard_bits, sharing) {}
};

#include <deque>
#include <map>

#include "kit/actor.hpp"
#include "kit/claims.hpp"

using namespace cells;

namespace {

/// Maps made meanwhile have this kind of lock, and that many shards.
struct Kind {
    explicit Kind(bool sharing, unsigned shard_bits = 0) {
        Map::sharing = sharing;
        Map::shard_bits = shard_bits;
    }
    ~Kind() {
        Map::sharing = false;
        Map::shard_bits = 0;
    }
};

void all_is_well(Map& map, std::map<std::uint64_t, std::int64_t> contents) {
    map.check();
    CHECK(map.size() == static_cast<std::int64_t>(contents.size()));
    for (auto [key, value] : contents) CHECK(look(map, key) == value);
    CHECK(iterate(map).size() == contents.size());
}

void fill(Map& map, std::uint64_t from, std::uint64_t to) {
    for (std::uint64_t key = from; key < to; ++key) put(map, key, key);
}

// ---- the lock

void a_reader_of_a_mutex_waits_for_the_reader_inside() {
    Kind kind(false);
    Map map(1);
    fill(map, 1, 3);
    std::int64_t one = 0, two = 0;
    Actor inside([&] { one = look(map, 1); }, Window::kReadArrived);
    inside.must_be_held();
    Actor outside([&] { two = look(map, 2); });
    outside.must_wait();
    inside.finish(), outside.finish();
    CHECK(one == 1 && two == 2);
    CHECK(map.stats().contended >= 1);
}

void readers_of_a_reader_writer_lock_are_inside_together_and_a_writer_waits_for_them() {
    Kind kind(true);
    Map map(1);
    fill(map, 1, 3);
    std::int64_t one = 0, two = 0;
    Actor first([&] { one = look(map, 1); }, Window::kReadArrived);
    first.must_be_held();
    Actor second([&] { two = look(map, 2); }, Window::kReadArrived);
    second.must_be_held();
    CHECK(look(map, 2) == 2);  // and a third
    CHECK(map.size() == 2 && snapshot(map).size() == 2);
    Actor writer([&] { put(map, 1, 10), put(map, 2, 20); });
    writer.must_wait();
    first.finish();
    writer.must_wait();
    second.finish(), writer.finish();
    CHECK(one == 1 && two == 2);
    all_is_well(map, {{1, 10}, {2, 20}});
}

void a_writer_that_waits_keeps_new_readers_out() {
    Kind kind(true);
    Map map(1);
    fill(map, 1, 2);
    std::int64_t before = 0, after = 0;
    Actor inside([&] { before = look(map, 1); }, Window::kReadArrived);
    inside.must_be_held();
    Actor writer([&] { put(map, 1, 10); });
    writer.must_wait();
    Actor late([&] { after = look(map, 1); });
    late.must_wait();
    inside.finish(), writer.finish(), late.finish();
    CHECK(before == 1 && after == 10);
}

void a_reader_waits_for_the_writer_inside() {
    for (bool sharing : {false, true}) {
        Kind kind(sharing);
        Map map(1);
        Actor writer([&] { put(map, 1, 10); }, Window::kChanged);
        writer.must_be_held();
        std::int64_t seen = 0;
        Actor reader([&] { seen = look(map, 1); });
        reader.must_wait();
        writer.finish(), reader.finish();
        CHECK(seen == 10);
    }
}

void a_lock_that_a_thread_of_the_parent_process_holds_is_free_in_a_child() {
    for (bool sharing : {false, true}) {
        Kind kind(sharing);
        for (Window window : {Window::kReadArrived, Window::kChanged}) {
            Map map(1);
            fill(map, 1, 2);
            Actor holder([&] { window == Window::kReadArrived ? (void)look(map, 1) : (void)put(map, 2, 2); },
                         window);
            holder.must_be_held();
            threadproof::process_generation.fetch_add(1);  // as in a forked child, where the holder is not
            CHECK(look(map, 1) == 1);
            put(map, 1, 10);
            CHECK(map.size() == (window == Window::kReadArrived ? 1 : 2));
            threadproof::process_generation.fetch_sub(1);
            // The holder is here after all, and gives up what it does not hold: the map is not used any more.
            holder.finish();
        }
    }
}

// ---- shards

void keys_of_other_shards_wait_for_nobody() {
    for (bool sharing : {false, true}) {
        Kind kind(sharing, 4);
        Map map(1);
        fill(map, 0, 64);
        Actor writer([&] { put(map, 100, 100); }, Window::kChanged);
        writer.must_be_held();
        std::deque<Actor> readers;
        int passed = 0;
        for (std::uint64_t key = 0; key < 32; ++key)
            passed += readers.emplace_back([&map, key] { look(map, key); }).stopped() == Actor::kDone;
        CHECK(passed > 16);  // of 16 shards, one is held
        writer.finish();
    }
}

void the_length_waits_for_a_change_that_is_under_way() {
    for (bool sharing : {false, true}) {
        Kind kind(sharing, 2);
        Map map(1);
        fill(map, 1, 9);
        Actor writer([&] { put(map, 100, 1); }, Window::kChanged);
        writer.must_be_held();
        std::int64_t length = 0;
        Actor counter([&] { length = map.size(); });
        counter.must_wait();
        writer.finish(), counter.finish();
        CHECK(length == 9);
    }
}

void a_writer_waits_for_a_clear_and_stores_behind_it() {
    Kind kind(false, 2);
    Map map(1);
    fill(map, 1, 9);
    Actor clearer([&] { map.clear(); }, Window::kGateClosed);
    clearer.must_be_held();
    Actor writer([&] { put(map, 3, 30); });
    writer.must_wait();
    clearer.finish(), writer.finish();
    all_is_well(map, {{3, 30}});
}

// ---- the user's comparison

/// A key that only equal() can compare, and others of its hash.
constexpr std::uint64_t kAskedKey = 3, kOther = 6, kThird = 9;
void collide() {
    Policy::hash_of = [](std::uint64_t) { return std::uint64_t{7}; };
}

void a_reader_that_compares_a_key_begins_again_if_the_entries_have_moved() {
    for (int change : {0, 1, 2, 3, 4}) {
        collide();
        Map map(1);
        put(map, kOther, 1), put(map, kAskedKey, 2);
        std::int64_t seen = 0;
        Actor reader([&] { seen = look(map, kAskedKey); }, Window::kReadAsked);
        reader.must_be_held();
        if (change == 0) remove(map, kOther);  // the cells move back
        if (change == 1) remove(map, kAskedKey);
        if (change == 2) map.clear(), put(map, kAskedKey, 3);
        if (change == 3) remove(map, kOther), fill(map, 100, 120), put(map, kAskedKey, 3);
        if (change == 4) fill(map, 100, 120);  // the cells are others
        reader.finish();
        CHECK(seen == (change == 1 ? kNone : change == 2 || change == 3 ? 3 : 2));
        map.check();
    }
}

void a_key_that_two_threads_put_is_there_once() {
    for (int nth : {1, 2}) {
        collide();
        Map map(1);
        put(map, kOther, 1), put(map, kThird, 1);
        Actor writer([&] { put(map, kAskedKey, 2); }, Window::kWriteAsked, nth);
        writer.must_be_held();
        put(map, kAskedKey, 3);
        writer.finish();
        all_is_well(map, {{kOther, 1}, {kThird, 1}, {kAskedKey, 2}});
    }
}

void a_key_that_is_removed_while_it_is_compared_is_stored_anew() {
    collide();
    Map map(1);
    put(map, kAskedKey, 1);
    Actor writer([&] { put(map, kAskedKey, 2); }, Window::kWriteAsked);
    writer.must_be_held();
    remove(map, kAskedKey);
    writer.finish();
    all_is_well(map, {{kAskedKey, 2}});
}

void no_key_is_compared_twice_though_the_entries_move() {
    collide();
    Map map(1);
    for (std::uint64_t key = 0; key < 30; key += 3) put(map, key, key);
    std::int64_t before = Policy::asked.load();
    Actor reader([&] { CHECK(look(map, 300) == kNone); }, Window::kReadAsked, 10);  // the last of them
    reader.must_be_held();
    put(map, 1, 1), remove(map, 1);
    reader.finish();
    CHECK(Policy::asked.load() - before == 10);
}

// ---- iterating

void an_iteration_has_every_key_once_while_the_table_grows_and_is_compacted() {
    for (unsigned shard_bits : {0u, 2u}) {
        Kind kind(false, shard_bits);
        for (int nth : {1, 2, 3}) {
            Map map(1);
            fill(map, 0, 20);
            std::set<std::uint64_t> seen;
            Actor iterator([&] { seen = iterate(map); }, Window::kIterateBatch, nth);
            iterator.must_be_held();
            fill(map, 100, 200);
            for (std::uint64_t key = 100; key < 195; ++key) remove(map, key);
            for (std::uint64_t key = 0; key < 20; key += 2) remove(map, key);
            fill(map, 200, 300);
            iterator.finish();
            for (std::uint64_t key = 1; key < 20; key += 2) CHECK(seen.contains(key));
        }
    }
}

/// iterate() fails if a key comes twice.
void a_key_that_goes_and_comes_back_is_not_seen_twice() {
    for (int nth : {1, 2, 3}) {
        Map map(1);
        fill(map, 0, 8);
        Actor iterator([&] { iterate(map); }, Window::kIterateBatch, nth);
        iterator.must_be_held();
        for (std::uint64_t key = 0; key < 8; ++key) remove(map, key), put(map, key, key);
        iterator.finish();
    }
}

void a_key_that_was_seen_before_a_clear_is_not_seen_after_it() {
    Map map(1);
    fill(map, 0, 8);
    Actor iterator([&] { iterate(map); }, Window::kIterateBatch);
    iterator.must_be_held();
    map.clear();
    for (std::uint64_t key = 8; key-- > 0;) put(map, key, key);
    iterator.finish();
    CHECK(iterate(map).size() == 8);
}

// ---- memory

void a_table_gives_its_memory_back_and_works_with_many_holes() {
    Map map(1);
    const std::uint64_t empty = map.stats().bytes;
    fill(map, 0, 10000);
    const std::uint64_t full = map.stats().bytes;
    for (std::uint64_t key = 0; key < 9999; ++key) remove(map, key);
    CHECK(map.stats().bytes - empty < (full - empty) / 100);
    all_is_well(map, {{9999, 9999}});
    for (std::uint64_t key = 0; key < 5000; ++key) put(map, key, key), remove(map, key + 9999);
    CHECK(map.size() == 5000);
    map.check();
}

}  // namespace

int main(int argc, char** argv) {
    return run_claims(
        argc, argv,
        {
            CLAIM(a_reader_of_a_mutex_waits_for_the_reader_inside),
            CLAIM(readers_of_a_reader_writer_lock_are_inside_together_and_a_writer_waits_for_them),
            CLAIM(a_writer_that_waits_keeps_new_readers_out),
            CLAIM(a_reader_waits_for_the_writer_inside),
            CLAIM(a_lock_that_a_thread_of_the_parent_process_holds_is_free_in_a_child),
            CLAIM(keys_of_other_shards_wait_for_nobody),
            CLAIM(the_length_waits_for_a_change_that_is_under_way),
            CLAIM(a_writer_waits_for_a_clear_and_stores_behind_it),
            CLAIM(a_reader_that_compares_a_key_begins_again_if_the_entries_have_moved),
            CLAIM(a_key_that_two_threads_put_is_there_once),
            CLAIM(a_key_that_is_removed_while_it_is_compared_is_stored_anew),
            CLAIM(no_key_is_compared_twice_though_the_entries_move),
            CLAIM(an_iteration_has_every_key_once_while_the_table_grows_and_is_compacted),
            CLAIM(a_key_that_goes_and_comes_back_is_not_seen_twice),
            CLAIM(a_key_that_was_seen_before_a_clear_is_not_seen_after_it),
            CLAIM(a_table_gives_its_memory_back_and_works_with_many_holes),
        });
}
