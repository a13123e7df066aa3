/// SyncMap's critical interleavings, each enforced: a thread is held in the middle of one step while another
/// step is taken. Only the stress build has the windows; its parts split beyond 4 cells, and one tombstone
/// among no other keys makes a new table.
#define CELLS_MAP threadproof::SyncMap
#include "core/maps/sync_map/map.hpp"

#include <barrier>
#include <map>

#include "kit/actor.hpp"
#include "kit/claims.hpp"

using namespace cells;
using threadproof::Reclaimer;

namespace {

/// A map whose keys are all in the read table.
struct Settled : Map {
    explicit Settled(std::set<std::uint64_t> keys) : Map(1) {
        for (std::uint64_t key : keys) put(*this, key, key);
        for (int round = 0; round < 5; ++round)
            for (std::uint64_t key : keys) look(*this, key);
        CHECK(stats().dirty_cells == 0 && stats().read_cells == keys.size());
    }
    ~Settled() { release_contents(); }
};

void promote(Map& map) {
    for (std::uint64_t key = 0; map.stats().dirty_cells; ++key) look(map, key % 64);
}

void all_is_well(Map& map, std::map<std::uint64_t, std::int64_t> contents) {
    map.check();
    CHECK(map.size() == static_cast<std::int64_t>(contents.size()));
    for (auto [key, value] : contents) CHECK(look(map, key) == value);
    CHECK(iterate(map).size() == contents.size());
}

void a_key_missed_in_the_read_table_is_found_though_it_is_promoted_meanwhile() {
    Settled map({});
    put(map, 1, 10);
    std::int64_t seen = 0;
    Actor reader([&] { seen = look(map, 1); }, Window::kReadMissed);
    reader.must_be_held();
    promote(map);
    reader.finish();
    CHECK(seen == 10);
    all_is_well(map, {{1, 10}});
}

void keys_of_the_read_table_wait_for_no_promotion() {
    Settled map({1, 2, 3});
    put(map, 4, 4);
    Actor promoter([&] { look(map, 4); }, Window::kPromoting);
    promoter.must_be_held();
    CHECK(look(map, 1) == 1);
    put(map, 1, 11), put(map, 2, 12), remove(map, 3);
    promoter.finish();
    all_is_well(map, {{1, 11}, {2, 12}, {4, 4}});
}

void keys_of_the_read_table_wait_for_no_split() {
    Settled map({1, 2, 3, 4});
    Actor splitter([&] { put(map, 5, 5); }, Window::kPromoting);
    splitter.must_be_held();
    put(map, 1, 11), remove(map, 2), remove(map, 3), put(map, 3, 13);
    splitter.finish();
    CHECK(map.stats().parts == 2);
    all_is_well(map, {{1, 11}, {3, 13}, {4, 4}, {5, 5}});
}

/// Expunges key 1, whose tombstone is in the read table beside others.
void expunge_one(Map& map) {
    std::uint64_t before = map.stats().expunged;
    put(map, 3, 3);
    promote(map);
    CHECK(map.stats().expunged == before + 1);
}

void a_writer_that_meets_an_expunged_cell_stores_elsewhere() {
    for (Window window : {Window::kReadArrived, Window::kExchanging, Window::kReadMissed}) {
        Settled map({1, 2, 4});
        remove(map, 1);
        Actor writer([&] { put(map, 1, 10); }, window);
        if (window == Window::kReadMissed) {
            writer.finish();  // a deleted cell is brought back with no look at the dirty table
            all_is_well(map, {{1, 10}, {2, 2}, {4, 4}});
            continue;
        }
        writer.must_be_held();
        expunge_one(map);
        writer.finish();
        all_is_well(map, {{1, 10}, {2, 2}, {3, 3}, {4, 4}});
    }
}

void a_key_brought_back_during_a_promotion_is_not_expunged() {
    Settled map({1, 2, 4});
    put(map, 3, 3);
    Actor promoter([&] { look(map, 3); }, Window::kPromoting);
    promoter.must_be_held();
    remove(map, 1), put(map, 1, 10);
    promoter.finish();
    all_is_well(map, {{1, 10}, {2, 2}, {3, 3}, {4, 4}});
}

void of_two_writers_of_a_key_the_slower_replaces_what_the_faster_stored() {
    for (int other : {0, 1}) {
        Settled map({1, 2});
        bool removed = false;
        Actor remover([&] { removed = remove(map, 1); }, Window::kExchanging);
        remover.must_be_held();
        if (other == 0) put(map, 1, 10);
        else remove(map, 1);
        remover.finish();
        CHECK(removed == (other == 0));
        all_is_well(map, {{2, 2}});
    }
}

void a_read_sees_one_of_the_values_while_they_change() {
    for (Window window :
         {Window::kReadArrived, Window::kReadMatched, Window::kReadLoaded, Window::kReadHeld}) {
        Settled map({1, 2});
        std::int64_t seen = 0;
        Actor reader([&] { seen = look(map, 1); }, window);
        reader.must_be_held();
        put(map, 1, 10);
        put(map, 2, 20);  // whose cell may have the address of the value that went
        reader.finish();
        CHECK(seen == 1 || seen == 10);
    }
}

void a_key_is_kept_while_a_reader_compares_it() {
    for (bool drained : {false, true}) {
        Settled map({5, 2, 8});
        Actor reader([&] { look(map, 5); }, Policy::kComparing);
        reader.must_be_held();
        if (drained) CHECK(drain(map).size() == 3);
        else remove(map, 5), remove(map, 2), remove(map, 8);
        Reclaimer::collect();
        CHECK(Policy::keys_living.load() == 3);
        reader.finish();
    }
}

void a_key_asked_about_that_is_expunged_meanwhile_is_not_asked() {
    Settled map({3, 2, 4});
    std::int64_t seen = 0;
    // the first look only finds that it has to ask
    Actor reader([&] { seen = look(map, 3); }, Window::kReadArrived, 2);
    reader.must_be_held();
    remove(map, 3);
    put(map, 1, 1);
    promote(map);
    put(map, 4, 40);  // a value that may have the address of the key that went
    std::int64_t asked = Policy::asked.load();
    reader.finish();
    CHECK(seen == kNone && Policy::asked.load() == asked);
}

void a_key_that_two_threads_put_is_there_once() {
    Settled map({});
    Actor first([&] { put(map, 3, 1); }, Window::kReadMissed);
    first.must_be_held();
    put(map, 3, 2);
    first.finish();
    all_is_well(map, {{3, 1}});
}

void a_clear_waits_for_the_writer_inside_and_takes_its_key() {
    for (Window window : {Window::kExchanging, Window::kReadMissed}) {
        Settled map({1, 2});
        Actor writer([&] { window == Window::kExchanging ? remove(map, 1) : put(map, 3, 3); }, window);
        writer.must_be_held();
        Actor clearer([&] { map.clear(); });
        clearer.must_wait();
        writer.finish();
        clearer.finish();
        all_is_well(map, {});
    }
}

void a_reader_that_promotes_while_the_map_is_cleared_promotes_the_old_one_or_the_new() {
    Settled map({1, 2});
    put(map, 3, 3);
    Actor reader([&] { look(map, 3); }, Window::kPromoting);
    reader.must_be_held();
    Actor clearer([&] { map.clear(); });
    clearer.must_wait();
    reader.finish();
    clearer.finish();
    all_is_well(map, {});
}

void the_length_waits_for_a_change_that_is_under_way() {
    for (bool present : {true, false}) {
        Settled map({1, 2});
        std::int64_t length = 0;
        Actor writer([&] { present ? (void)remove(map, 1) : (void)put(map, 3, 3); },
                     present ? Window::kChanged : Window::kAmending);
        writer.must_be_held();
        Actor counter([&] { length = map.size(); });
        counter.must_wait();
        writer.finish();
        counter.finish();
        CHECK(length == (present ? 1 : 3));
    }
}

void a_snapshot_has_its_instant_though_keys_come_and_go_and_change() {
    Settled map({1, 2, 3});
    put(map, 4, 4);
    std::map<std::uint64_t, std::int64_t> seen;
    Actor keeper(
        [&] {
            Map::Entries all = map.snapshot();
            for (const Map::Entry& e : all) seen[Policy::number(e.key)] = low_of(e.value);
            Map::release_all(all);
        },
        Window::kSnapshotOpen);
    keeper.must_be_held();
    put(map, 1, 10), remove(map, 2), put(map, 4, 40), put(map, 5, 50), put(map, 6, 60), remove(map, 3),
        put(map, 3, 30);
    keeper.finish();
    CHECK((seen == std::map<std::uint64_t, std::int64_t>{{1, 1}, {2, 2}, {3, 3}, {4, 4}}));
    all_is_well(map, {{1, 10}, {3, 30}, {4, 40}, {5, 50}, {6, 60}});
}

void an_iteration_meets_every_key_once_while_parts_split() {
    Settled map({1, 2, 3, 4, 5, 6, 7, 8});
    std::set<std::uint64_t> seen;
    Actor iterator([&] { seen = iterate(map); }, Window::kIterateBatch);
    iterator.must_be_held();
    for (std::uint64_t key = 100; key < 200; ++key) put(map, key, key);
    iterator.finish();
    for (std::uint64_t key = 1; key <= 8; ++key) CHECK(seen.contains(key));
}

void a_computation_keeps_its_turn_while_its_key_is_promoted() {
    Settled map({1});
    Computation computation(map, 2);  // in the dirty table
    CHECK(look(map, 2) == kNone);
    promote(map);
    CHECK(try_put(map, 2, 5) == Outcome::kBusy);
    CHECK(computation.store(20));
    all_is_well(map, {{1, 1}, {2, 20}});
}

void many_keys_of_one_hash_do_not_make_the_directory_grow_for_ever() {
    Policy::hash_of = [](std::uint64_t) { return std::uint64_t{7}; };
    Settled map({});
    for (std::uint64_t key = 0; key < 300; ++key) put(map, key, key);
    CHECK(map.stats().bytes < 300 * 1000);
    for (std::uint64_t key = 0; key < 300; ++key) CHECK(look(map, key) == static_cast<std::int64_t>(key));
    map.check();
}

void reads_of_many_threads_are_all_counted() {
    Settled map({1, 2, 3});
    const std::uint64_t before = map.stats().hits;
    constexpr int kThreads = 9;  // in the stress build they have their places in four chunks
    std::barrier together(kThreads);
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i)
        threads.emplace_back([&] {
            together.arrive_and_wait();
            for (int reads = 0; reads < 100; ++reads) CHECK(look(map, 1) == 1);
            together.arrive_and_wait();  // until then each has a slot of its own
        });
    for (std::thread& thread : threads) thread.join();
    CHECK(map.stats().hits == before + 100 * kThreads);
}

void a_new_key_that_another_thread_has_added_and_promoted_is_not_added_again() {
    Settled map({});
    Actor writer([&] { put(map, 1, 10); }, Window::kReadMissed);
    writer.must_be_held();
    put(map, 1, 11);
    promote(map);
    writer.finish();
    all_is_well(map, {{1, 10}});
}

void every_miss_is_counted_and_as_many_as_there_are_new_keys_promote_them() {
    Settled map({});
    put(map, 1, 1), put(map, 2, 2), put(map, 3, 3);
    const auto before = map.stats();
    CHECK(before.dirty_cells == 3);
    look(map, 1), look(map, 60);
    CHECK(map.stats().misses == before.misses + 2 && map.stats().promotions == before.promotions);
    look(map, 2);
    CHECK(map.stats().misses == before.misses + 3 && map.stats().promotions == before.promotions + 1);
    CHECK(map.stats().dirty_cells == 0);
}

}  // namespace

int main(int argc, char** argv) {
    return run_claims(
        argc, argv,
        {
            CLAIM(a_key_missed_in_the_read_table_is_found_though_it_is_promoted_meanwhile),
            CLAIM(keys_of_the_read_table_wait_for_no_promotion),
            CLAIM(keys_of_the_read_table_wait_for_no_split),
            CLAIM(a_writer_that_meets_an_expunged_cell_stores_elsewhere),
            CLAIM(a_key_brought_back_during_a_promotion_is_not_expunged),
            CLAIM(of_two_writers_of_a_key_the_slower_replaces_what_the_faster_stored),
            CLAIM(a_read_sees_one_of_the_values_while_they_change),
            CLAIM(a_key_is_kept_while_a_reader_compares_it),
            CLAIM(a_key_asked_about_that_is_expunged_meanwhile_is_not_asked),
            CLAIM(a_key_that_two_threads_put_is_there_once),
            CLAIM(a_clear_waits_for_the_writer_inside_and_takes_its_key),
            CLAIM(a_reader_that_promotes_while_the_map_is_cleared_promotes_the_old_one_or_the_new),
            CLAIM(the_length_waits_for_a_change_that_is_under_way),
            CLAIM(a_snapshot_has_its_instant_though_keys_come_and_go_and_change),
            CLAIM(an_iteration_meets_every_key_once_while_parts_split),
            CLAIM(a_computation_keeps_its_turn_while_its_key_is_promoted),
            CLAIM(reads_of_many_threads_are_all_counted),
            CLAIM(a_new_key_that_another_thread_has_added_and_promoted_is_not_added_again),
            CLAIM(every_miss_is_counted_and_as_many_as_there_are_new_keys_promote_them),
            CLAIM(many_keys_of_one_hash_do_not_make_the_directory_grow_for_ever),
        });
}
