/// HashMap's critical interleavings, each enforced: a thread is held in the middle of one step while another
/// step is taken. Only the stress build has the windows; there the first table is one bucket, and each write
/// moves its own bucket and one more. One file of more than 600 lines: a list of claims about one structure.
///
/// In a table of 2^b buckets a key's home is its number modulo 2^b; its number modulo 3 chooses its kind
/// (cell_policy.hpp).
#include <algorithm>
#include <array>
#include <vector>

#include "kit/actor.hpp"
#include "kit/claims.hpp"

using namespace cells;
using threadproof::Reclaimer;

namespace {

constexpr std::uint64_t kHomes = 4;
// all of home 1: a number, a cell looked into, a cell asked
constexpr std::array<std::uint64_t, 3> kOneOfEachKind = {1, 5, 9};
// added: another key of the same kind and home
constexpr std::uint64_t kAgain = 12;
constexpr Window kReading[] = {Window::kReadArrived, Window::kReadHashed, Window::kReadMatched,
                               Window::kReadLoaded, Window::kReadHeld};

/// A map of four buckets, which it keeps when keys go.
struct FourBuckets : Map {
    FourBuckets() : Map(1) {
        reserve(Map::Tables::capacity(2));
        CHECK(stats().buckets == kHomes);
    }
    ~FourBuckets() { release_contents(); }
};

void grow(Map& map) { map.reserve(64 * map.stats().buckets); }

/// 64 buckets with 15 keys left in them, too few, and none of the buckets moved yet to the 8 that are enough.
struct AboutToShrink : Map {
    static constexpr std::uint64_t kKeys = 81;  // one more than 16 buckets hold
    std::set<std::uint64_t> left;

    explicit AboutToShrink(std::uint64_t first = 3, std::uint64_t step = 4) : Map(1) {
        for (std::uint64_t key = 0; key < kKeys; ++key) put(*this, key, key);
        while (stats().resizing) put(*this, 0, 0);
        CHECK(stats().buckets == 64);
        for (std::uint64_t key = first; left.size() < 15; key += step) left.insert(key);
        for (std::uint64_t key = 0; key < kKeys; ++key)
            if (!left.contains(key)) remove(*this, key);
        CHECK(stats().resizing && stats().moved_buckets == 0);
    }
    ~AboutToShrink() { release_contents(); }

    bool one_move() {  // by way of a key that is never there
        remove(*this, kKeys);
        return stats().resizing;
    }
};

template <class Key, class Value>
bool is_one_of(const Key& value, std::initializer_list<Value> allowed) {
    return std::find(allowed.begin(), allowed.end(), value) != allowed.end();
}

// ---- reading

/// Reads a key, held in a window of the read, during `step(map, key)`, with so many other keys before it in
/// its chain.
template <class Step>
std::int64_t read_during(Step step, std::uint64_t key, Window window, std::uint64_t others) {
    FourBuckets map;
    for (std::uint64_t i = 0; i < others; ++i) put(map, 4 * i + 101, 0);
    put(map, key, 1);
    std::int64_t seen = 0;
    Actor reader([&] { seen = look(map, key); }, window);
    reader.must_be_held();
    step(map, key);
    reader.finish();
    map.check();
    return seen;
}

/// Reads each kind of key so, from its home bucket and, where that is full, from the next.
template <class Step>
void while_reading(Step step, std::initializer_list<std::int64_t> allowed) {
    for (std::uint64_t key : kOneOfEachKind)
        for (Window window : kReading)
            for (std::uint64_t others : {0, 5})
                CHECK(is_one_of(read_during(step, key, window, others), allowed));
}

void a_read_goes_on_in_a_table_that_has_been_replaced() {
    while_reading([](Map& map, std::uint64_t) { grow(map); }, {1});
}

void a_read_during_a_replacement_of_the_table_sees_one_of_the_values() {
    while_reading([](Map& map, std::uint64_t key) { grow(map), put(map, key, 2); }, {1, 2});
}

void memory_is_kept_while_a_reader_may_look_at_it() {
    FourBuckets map;
    put(map, 1, 1);
    Actor reader([&] { look(map, 1); }, Window::kReadArrived);
    reader.must_be_held();
    Reclaimer::collect();
    CHECK(Reclaimer::bytes() == 0);
    grow(map);
    Reclaimer::collect();
    CHECK(Reclaimer::bytes() > 0);
    reader.finish();
    Reclaimer::collect();
    CHECK(Reclaimer::bytes() == 0);
}

void a_key_is_kept_while_a_reader_compares_it() {
    FourBuckets map;
    put(map, 5, 1);
    Actor reader([&] { look(map, 5); }, Policy::kComparing);
    reader.must_be_held();
    remove(map, 5);
    for (int i = 0; i < 10; ++i) put(map, 1, i), Reclaimer::collect();
    CHECK(Policy::keys_living.load() == 2);  // 5, which is kept, and 1
    reader.finish();
}

void a_key_is_kept_while_a_reader_compares_it_and_the_map_is_drained() {
    FourBuckets map;
    put(map, 5, 1);
    Actor reader([&] { look(map, 5); }, Policy::kComparing);
    reader.must_be_held();
    CHECK(drain(map) == std::set<std::uint64_t>{5});
    Reclaimer::collect();
    CHECK(Policy::keys_living.load() == 1);
    reader.finish();
}

void a_read_returns_no_value_of_a_key_that_took_the_slot() {
    while_reading([](Map& map, std::uint64_t key) { remove(map, key), put(map, key + kAgain, 2); },
                  {1, kNone});
}

void a_read_returns_no_value_that_was_overwritten_and_is_another_keys_now() {
    while_reading([](Map& map, std::uint64_t key) { put(map, key, 2), put(map, key + 1, 3); }, {1, 2});
}

void a_read_sees_one_of_the_values_of_a_key_put_back() {
    while_reading([](Map& map, std::uint64_t key) { remove(map, key), put(map, key, 2); }, {1, 2, kNone});
}

void a_read_during_a_clear_sees_what_was_there_or_nothing() {
    while_reading([](Map& map, std::uint64_t) { map.clear(); }, {1, kNone});
}

void a_read_during_a_computation_sees_the_old_value() {
    for (std::uint64_t key : kOneOfEachKind) {
        for (Window window : kReading) {
            FourBuckets map;
            put(map, key, 1);
            std::int64_t seen = 0;
            Actor reader([&] { seen = look(map, key); }, window);
            reader.must_be_held();
            Computation computation(map, key);
            reader.finish();
            CHECK(seen == 1 && look(map, key) == 1 && has(map, key));
            CHECK(computation.store(2));
            CHECK(look(map, key) == 2);
        }
    }
}

void a_read_in_vain_looks_again_when_the_key_came() {
    for (std::uint64_t key : {13, 17, 21}) {
        for (Window window : {Window::kReadArrived, Window::kReadMissed}) {
            FourBuckets map;
            // the home is full: the key will overflow
            for (std::uint64_t i = 0; i < 5; ++i) put(map, 4 * i + 101, 0);
            std::int64_t seen = 0;
            Actor reader([&] { seen = look(map, key); }, window);
            reader.must_be_held();
            put(map, key, 1);
            reader.finish();
            CHECK(is_one_of(seen, {kNone, std::int64_t{1}}));
            CHECK(look(map, key) == 1);
        }
    }
}

/// The reader has found the hash of a key that is gone; the slot then gets another key, which must not pass
/// for it.
void a_key_on_its_way_into_a_slot_does_not_pass_for_the_one_before() {
    for (std::uint64_t key : kOneOfEachKind) {
        FourBuckets map;
        put(map, key, 1), remove(map, key);
        std::int64_t seen = 0;
        Actor reader([&] { seen = look(map, key); }, Window::kReadHashed);
        reader.must_be_held();
        Actor writer([&] { put(map, key + kAgain, 2); }, Window::kPublishing);
        writer.must_be_held();
        reader.finish();
        CHECK(seen == kNone);
        CHECK(look(map, key + kAgain) == kNone);
        writer.finish();
        CHECK(look(map, key + kAgain) == 2);
    }
}

/// The reader comes when the removal has changed the version, and is not yet to be seen in the slot.
void a_key_going_from_a_slot_does_not_lend_its_name_to_the_next() {
    for (std::uint64_t key : kOneOfEachKind) {
        FourBuckets map;
        put(map, key, 1);
        Actor remover([&] { remove(map, key); }, Window::kVacating);
        remover.must_be_held();
        std::int64_t seen = 0;
        Actor reader([&] { seen = look(map, key); }, Window::kReadMatched);
        reader.must_be_held();
        remover.finish();
        put(map, key + kAgain, 2);
        reader.finish();
        CHECK(is_one_of(seen, {kNone, std::int64_t{1}}));
    }
}

void readers_find_what_is_there_while_a_chain_gets_longer() {
    for (std::uint64_t key : {13, 17, 21}) {
        FourBuckets map;
        for (std::uint64_t i = 0; i < 5; ++i) put(map, 4 * i + 101, i);
        Actor writer([&] { put(map, key, 9); }, Window::kOverflowLinked);
        writer.must_be_held();
        for (std::uint64_t i = 0; i < 5; ++i) CHECK(look(map, 4 * i + 101) == static_cast<std::int64_t>(i));
        CHECK(look(map, key) == kNone);
        writer.finish();
        CHECK(look(map, key) == 9);
    }
}

void no_key_is_compared_twice_though_the_search_begins_again() {
    Policy::hash_of = [](std::uint64_t) { return std::uint64_t{7}; };
    for (bool write : {false, true}) {
        for (int asked = 1; asked <= 3; ++asked) {  // so often before the chain changes
            FourBuckets map;
            for (std::uint64_t key : {0, 3, 6, 9}) put(map, key, 1);
            Policy::asked.store(0);
            auto search = [&] { write ? (void)put(map, 9, 2) : (void)look(map, 9); };
            Actor searcher(search, write ? Window::kWriteAsked : Window::kReadArrived,
                           write ? asked : asked + 1);
            searcher.must_be_held();
            put(map, 1, 1);  // a key of another kind, for which nobody is asked: the search begins again
            searcher.finish();
            CHECK(Policy::asked.load() == 4);
            CHECK(look(map, 9) == (write ? 2 : 1));
        }
    }
}

/// While one asks about the keys before it, the other puts the key into a slot that the first has passed.
void a_key_that_two_threads_put_is_there_once_though_both_had_to_ask() {
    Policy::hash_of = [](std::uint64_t) { return std::uint64_t{7}; };
    FourBuckets map;
    for (std::uint64_t key : {0, 3, 6}) put(map, key, 1);
    remove(map, 0);
    Actor writer([&] { put(map, 9, 1); }, Window::kWriteAsked);
    writer.must_be_held();
    put(map, 9, 2);
    writer.finish();
    CHECK(map.size() == 3 && look(map, 9) == 1);
    CHECK(iterate(map) == (std::set<std::uint64_t>{3, 6, 9}));
    map.check();
}

// ---- moving

void a_key_is_found_all_the_time_it_is_moved_to_a_larger_table() {
    for (Window window : {Window::kMigrateCopying, Window::kMigrateCopied}) {
        for (int nth = 1; nth <= 4; ++nth) {
            FourBuckets map;
            for (std::uint64_t key = 0; key < 16; ++key) put(map, key, key);
            Actor mover([&] { grow(map); }, window, nth);
            mover.must_be_held();
            for (std::uint64_t key = 0; key < 16; ++key)
                CHECK(look(map, key) == static_cast<std::int64_t>(key));
            mover.finish();
            map.check();
        }
    }
}

void a_key_is_found_all_the_time_it_is_moved_to_a_smaller_table() {
    for (Window window : {Window::kMigrateCopying, Window::kMigrateCopied}) {
        for (int nth = 1; nth <= 6; ++nth) {
            AboutToShrink map;
            Actor mover(
                [&] {
                    while (map.one_move()) {
                    }
                },
                window, nth);
            mover.must_be_held();
            for (std::uint64_t key = 0; key < AboutToShrink::kKeys; ++key)
                CHECK((look(map, key) != kNone) == map.left.contains(key));
            mover.finish();
            map.check();
            CHECK(iterate(map) == map.left);
        }
    }
}

void a_moved_key_is_read_where_it_has_been_changed_since() {
    for (std::uint64_t key : {4, 8, 12}) {
        FourBuckets map;
        put(map, key, 1);
        Word first;  // held, so that it could still be read
        CHECK(map.get(Policy::Lookup(key), &first) == Outcome::kPresent);
        // in the second bucket that is moved: the key was in the first
        Actor mover([&] { grow(map); }, Window::kMigrateCopied, 2);
        mover.must_be_held();
        put(map, key, 2);
        CHECK(look(map, key) == 2);
        mover.finish();
        map.check();
        Policy::release(first);
    }
}

/// Holds a mover of bucket 0 while another thread changes a key of it, which has to wait.
template <class Change>
void changed_while_moved(Change change, std::int64_t expected) {
    for (std::uint64_t key : {4, 8, 12}) {
        for (Window window : {Window::kMigrateCopying, Window::kMigrateCopied}) {
            FourBuckets map;
            put(map, 0, 0), put(map, key, 1);
            Actor mover([&] { grow(map); }, window);
            mover.must_be_held();
            Actor changer([&] { change(map, key); });
            changer.must_wait();
            mover.finish();
            changer.finish();
            CHECK(look(map, key) == expected);
            map.check();
        }
    }
}

void a_key_removed_while_it_is_moved_stays_away() {
    changed_while_moved([](Map& map, std::uint64_t key) { CHECK(remove(map, key)); }, kNone);
}

void a_value_put_while_its_key_is_moved_stays_there() {
    changed_while_moved([](Map& map, std::uint64_t key) { put(map, key, 2); }, 2);
}

void a_key_that_comes_or_goes_is_moved_when_it_has() {
    for (std::uint64_t key : {4, 8, 12}) {
        for (bool come : {false, true}) {
            FourBuckets map;
            if (!come) put(map, key, 1);
            Actor writer([&] { come ? (void)put(map, key, 1) : (void)remove(map, key); },
                         come ? Window::kPublishing : Window::kVacating);
            writer.must_be_held();
            Actor mover([&] { grow(map); });
            mover.must_wait();
            writer.finish();
            mover.finish();
            CHECK(look(map, key) == (come ? 1 : kNone));
            map.check();
        }
    }
}

void two_buckets_that_shrink_into_one_are_moved_one_after_the_other() {
    AboutToShrink map(1, 1);  // 1 to 15 are left
    // moves the buckets 19 and 0, which are empty, and has chosen
    Actor writer([&] { put(map, 64 + 19, 1); }, Window::kPublishing);
    // a slot of the new bucket 3, where 19 and 11 meet
    writer.must_be_held();
    Actor mover([&] { remove(map, 64 + 11); });  // moves bucket 11
    mover.stopped();
    writer.finish();
    mover.finish();
    while (map.one_move()) {
    }
    map.left.insert(64 + 19);
    CHECK(iterate(map) == map.left);
    map.check();
}

void room_is_reserved_though_another_thread_moves_the_last_bucket() {
    FourBuckets map;
    Actor mover([&] { grow(map); }, Window::kMigrated);
    mover.must_be_held();
    Actor reserver([&] { grow(map); });  // there is nothing left to move, and memory enough
    reserver.must_wait();
    mover.finish();
    reserver.finish();
    CHECK(map.stats().buckets > kHomes);
    map.check();
}

// ---- the whole map

void a_clear_waits_for_the_writer_inside_and_takes_its_key() {
    for (Window window : {Window::kPublishing, Window::kChanged}) {
        FourBuckets map;
        put(map, 2, 2);
        Actor writer([&] { put(map, 1, 1); }, window);
        writer.must_be_held();
        Actor clearer([&] { map.clear(); }, Window::kGateClosed);
        clearer.must_wait();
        writer.finish();
        clearer.finish();
        CHECK(map.size() == 0 && look(map, 1) == kNone);
        map.check();
    }
}

void a_writer_waits_for_the_clear_and_keeps_its_key() {
    FourBuckets map;
    put(map, 2, 2);
    Actor clearer([&] { map.clear(); }, Window::kGateClosed);
    clearer.must_be_held();
    Actor writer([&] { put(map, 1, 1); });
    writer.must_wait();
    CHECK(look(map, 2) == 2 && look(map, 1) == kNone);  // readers do not wait
    clearer.finish();
    writer.finish();
    CHECK(map.size() == 1 && look(map, 1) == 1 && look(map, 2) == kNone);
    map.check();
}

void a_clear_takes_keys_half_moved() {
    for (int moves = 0; moves < 8; ++moves) {
        AboutToShrink map;
        for (int i = 0; i < moves; ++i) map.one_move();
        map.clear();
        CHECK(map.size() == 0 && iterate(map).empty());
        map.check();
    }
}

void a_result_is_dropped_when_its_computation_was_cleared_or_drained() {
    for (std::uint64_t key : kOneOfEachKind) {
        for (bool present : {false, true}) {
            for (bool drained : {false, true}) {
                FourBuckets map;
                if (present) put(map, key, 1);
                Computation computation(map, key);
                CHECK(map.size() == present);
                if (drained) CHECK(drain(map).size() == present);
                else map.clear();
                CHECK(!computation.store(2));
                CHECK(map.size() == 0 && look(map, key) == kNone);
                map.check();
            }
        }
    }
}

void a_result_waits_for_a_clear_and_is_dropped() {
    FourBuckets map;
    put(map, 1, 1);
    Computation computation(map, 1);
    Actor clearer([&] { map.clear(); }, Window::kGateClosed);
    clearer.must_be_held();
    bool stored = true;
    Actor settler([&] { stored = computation.store(2); });
    settler.must_wait();
    clearer.finish();
    settler.finish();
    CHECK(!stored && map.size() == 0);
    map.check();
}

void a_computation_goes_with_its_bucket_to_the_next_table() {
    for (bool present : {false, true}) {
        FourBuckets map;
        if (present) put(map, 1, 1);
        Computation computation(map, 1);
        grow(map);
        CHECK(look(map, 1) == (present ? 1 : kNone));
        CHECK(!put(map, 1, 3));  // busy
        CHECK(computation.store(2));
        CHECK(look(map, 1) == 2 && map.size() == 1);
        map.check();
    }
}

void the_length_counts_a_key_from_when_it_can_be_found() {
    for (std::uint64_t key : kOneOfEachKind) {
        FourBuckets map;
        Actor writer([&] { put(map, key, 1); }, Window::kChanged);
        writer.must_be_held();
        CHECK(look(map, key) == 1);
        std::int64_t length = -1;
        Actor counter([&] { length = map.size(); });
        CHECK(counter.stopped() == Actor::kWaiting || length == 1);
        writer.finish();
        counter.finish();
        CHECK(length == 1);
    }
}

void the_length_counts_a_key_no_longer_than_it_can_be_found() {
    for (std::uint64_t key : kOneOfEachKind) {
        FourBuckets map;
        put(map, key, 1);
        Actor remover([&] { remove(map, key); }, Window::kChanged);
        remover.must_be_held();
        CHECK(look(map, key) == kNone);
        std::int64_t length = -1;
        Actor counter([&] { length = map.size(); });
        CHECK(counter.stopped() == Actor::kWaiting || length == 0);
        remover.finish();
        counter.finish();
        CHECK(length == 0);
    }
}

/// Takes a snapshot of keys 0 to 9, their values being their numbers, with `change(map)` between its instant
/// and its copying.
template <class Change>
void changed_while_copied(Change change) {
    FourBuckets map;
    for (std::uint64_t key = 0; key < 10; ++key) put(map, key, key);
    Map::Entries copied;
    Actor copier([&] { copied = map.snapshot(); }, Window::kSnapshotOpen);
    copier.must_be_held();
    change(map);
    copier.finish();
    for (const Map::Entry& e : copied)
        CHECK(static_cast<std::uint64_t>(low_of(e.value)) == Policy::number(e.key));
    CHECK(keys_of(copied) == (std::set<std::uint64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
    map.check();
}

void a_snapshot_has_the_values_of_its_instant_though_they_are_overwritten() {
    changed_while_copied([](Map& map) {
        for (std::uint64_t key = 0; key < 10; ++key) put(map, key, 50);
    });
}

void a_snapshot_has_no_key_that_came_after_its_instant() {
    changed_while_copied([](Map& map) {
        for (std::uint64_t key = 10; key < 16; ++key) put(map, key, key);
    });
}

void a_snapshot_has_the_keys_that_went_after_its_instant() {
    changed_while_copied([](Map& map) {
        for (std::uint64_t key = 0; key < 10; ++key) remove(map, key);
    });
}

void a_snapshot_has_its_instant_though_the_table_grows() {
    changed_while_copied([](Map& map) {
        grow(map);
        for (std::uint64_t key = 0; key < 40; ++key) put(map, key, 50);
    });
}

void a_snapshot_has_the_values_that_computations_began_with() {
    changed_while_copied([](Map& map) {
        for (std::uint64_t key = 0; key < 10; ++key) CHECK(Computation(map, key).store(50));
        for (std::uint64_t key = 0; key < 10; ++key) CHECK(Computation(map, key).remove());
    });
}

void a_snapshot_has_its_instant_though_the_table_shrinks() {
    for (int before = 0; before < 12; ++before) {
        AboutToShrink map;
        for (int i = 0; i < before; ++i) map.one_move();
        Map::Entries copied;
        Actor copier([&] { copied = map.snapshot(); }, Window::kSnapshotOpen);
        copier.must_be_held();
        for (std::uint64_t key = 0; key < AboutToShrink::kKeys; key += 3) put(map, key, 50);
        while (map.one_move()) {
        }
        copier.finish();
        for (const Map::Entry& e : copied)
            CHECK(static_cast<std::uint64_t>(low_of(e.value)) == Policy::number(e.key));
        CHECK(keys_of(copied) == map.left);
        map.check();
    }
}

/// Iterates over what stays there throughout, with `move(map)` before each step from the `first` on.
template <class Move>
std::set<std::uint64_t> seen_while_moved(Map& map, int first, Move move) {
    std::set<std::uint64_t> seen;
    std::vector<Map::Entry> batch;
    Map::Walk walk;
    for (int step = 0; map.next_batch(walk, batch); ++step) {
        for (std::uint64_t key : keys_of(batch)) CHECK(seen.insert(key).second);  // none twice
        if (step >= first) move(map);
    }
    return seen;
}

void an_iteration_meets_every_key_once_while_the_table_shrinks() {
    for (int first = 0; first < 12; ++first) {
        for (int moves = 1; moves <= 9; ++moves) {
            AboutToShrink map;
            CHECK(seen_while_moved(map, first,
                                   [&](Map&) {
                                       for (int i = 0; i < moves; ++i) map.one_move();
                                   })
                  == map.left);
        }
    }
}

void an_iteration_meets_every_key_once_while_the_table_grows() {
    std::set<std::uint64_t> all;
    for (std::uint64_t key = 0; key < 16; ++key) all.insert(key);
    for (int first = 0; first < 4; ++first) {
        for (std::uint64_t moves = 1; moves <= 4; ++moves) {
            Map map(1);
            for (std::uint64_t key : all) put(map, key, key);
            std::uint64_t passing = 100;
            std::set<std::uint64_t> seen = seen_while_moved(map, first, [&](Map&) {
                // the first begins a resize, the others move
                for (std::uint64_t i = 0; i < moves; ++i) put(map, ++passing, 0);
            });
            std::erase_if(seen, [](std::uint64_t key) { return key >= 100; });
            CHECK(seen == all);
            map.release_contents();
        }
    }
}

void readers_and_writers_elsewhere_do_not_wait_for_an_iteration() {
    FourBuckets map;
    for (std::uint64_t key = 0; key < 8; ++key) put(map, key, key);
    std::set<std::uint64_t> seen;
    Actor iterator([&] { seen = iterate(map); }, Window::kIterateBatch);  // at bucket 0
    iterator.must_be_held();
    for (std::uint64_t key = 0; key < 8; ++key) CHECK(look(map, key) == static_cast<std::int64_t>(key));
    put(map, 1, 50), remove(map, 2);
    iterator.finish();
    CHECK(seen == (std::set<std::uint64_t>{0, 1, 3, 4, 5, 6, 7}));
}

void a_small_table_gets_more_buckets_when_its_writers_meet() {
    for (std::uint64_t keys : {1, 8}) {
        FourBuckets map;
        for (std::uint64_t key = 0; key < keys; ++key) put(map, key, 0);
        std::uint64_t resizes = map.stats().resizes;
        Actor first([&] { put(map, 17, 1); }, Window::kPublishing);
        first.must_be_held();
        Actor second([&] { put(map, 21, 2); });  // of the same bucket
        second.must_wait();
        first.finish();
        second.finish();
        CHECK(map.stats().resizes - resizes == (keys == 8));  // to 16 buckets: too many for one key
        CHECK(look(map, 17) == 1 && look(map, 21) == 2);
        map.check();
    }
}

// ---- a key stored or removed by the short way

void a_key_that_another_thread_has_stored_meanwhile_is_there_once() {
    for (std::uint64_t key : kOneOfEachKind) {
        for (std::uint64_t others : {0, 5}) {
            FourBuckets map;
            for (std::uint64_t i = 0; i < others; ++i) put(map, 4 * i + 101, 0);
            Actor writer([&] { put(map, key, 1); }, Window::kWriteHashed);
            writer.must_be_held();
            put(map, key, 2);
            writer.finish();
            CHECK(look(map, key) == 1 && map.size() == static_cast<std::int64_t>(others + 1));
            map.check();
        }
    }
}

void a_key_is_stored_where_its_bucket_has_moved_meanwhile() {
    for (std::uint64_t key : kOneOfEachKind) {
        FourBuckets map;
        put(map, 2, 2);
        Actor writer([&] { put(map, key, 1); }, Window::kWriteHashed);
        writer.must_be_held();
        grow(map);
        writer.finish();
        CHECK(look(map, key) == 1 && map.size() == 2);
        map.check();
    }
}

void a_key_that_has_moved_meanwhile_is_removed_where_it_is() {
    for (std::uint64_t key : kOneOfEachKind) {
        FourBuckets map;
        put(map, key, 1);
        bool removed = false;
        Actor remover([&] { removed = remove(map, key); }, Window::kWriteHashed);
        remover.must_be_held();
        grow(map);
        remover.finish();
        CHECK(removed && look(map, key) == kNone && map.size() == 0);
        map.check();
    }
}

void a_removal_leaves_the_key_that_has_taken_the_slot() {
    for (std::uint64_t key : kOneOfEachKind) {
        FourBuckets map;
        put(map, key, 1);
        bool removed = false;
        Actor remover([&] { removed = remove(map, key); }, Window::kWriteHashed);
        remover.must_be_held();
        remove(map, key), put(map, key + kAgain, 2);
        remover.finish();
        CHECK(!removed && look(map, key + kAgain) == 2 && map.size() == 1);
        map.check();
    }
}

// ---- a private table and its publication

const std::vector<std::uint64_t> kMany = {1, 5, 9, 13, 17, 21, 2, 3, 4};  // more than one bucket's of home 1

void must_have(Map& map, const std::vector<std::uint64_t>& keys, std::int64_t low) {
    for (std::uint64_t key : keys) CHECK(look(map, key) == low);
    CHECK(map.size() == static_cast<std::int64_t>(keys.size()));
    CHECK(iterate(map).size() == keys.size());
    map.check();
}

void a_filled_table_is_seen_when_it_is_published_and_not_before() {
    for (Window window : {Window::kFilled, Window::kGateClosed}) {
        FourBuckets map;
        Actor filler([&] { CHECK(fill(map, kMany, 1)); }, window);
        filler.must_be_held();
        for (std::uint64_t key : kMany) CHECK(look(map, key) == kNone && !has(map, key));
        CHECK(iterate(map).empty() && map.size() == 0);
        filler.finish();
        must_have(map, kMany, 1);
    }
}

void a_read_during_a_publication_sees_the_value_or_nothing() {
    for (std::uint64_t key : kOneOfEachKind) {
        for (Window window : {Window::kReadArrived, Window::kReadMissed}) {
            FourBuckets map;
            std::int64_t seen = 0;
            Actor reader([&] { seen = look(map, key); }, window);
            reader.must_be_held();
            CHECK(fill(map, kMany, 1));
            reader.finish();
            CHECK(is_one_of(seen, {kNone, std::int64_t{1}}));
            must_have(map, kMany, 1);
        }
    }
}

void a_publication_waits_for_the_writer_inside_and_is_refused() {
    for (Window window : {Window::kPublishing, Window::kChanged}) {
        FourBuckets map;
        Actor writer([&] { put(map, 1, 7); }, window);
        writer.must_be_held();
        bool published = true;
        Actor filler([&] { published = fill(map, kMany, 1); });
        filler.must_wait();
        writer.finish();
        filler.finish();
        CHECK(!published);
        must_have(map, {1}, 7);
    }
}

void a_writer_waits_for_the_publication_and_keeps_its_value() {
    for (bool removes : {false, true}) {
        FourBuckets map;
        Actor filler([&] { CHECK(fill(map, kMany, 1)); }, Window::kGateClosed);
        filler.must_be_held();
        Actor writer([&] { removes ? (void)remove(map, 1) : (void)put(map, 1, 7); });
        writer.must_wait();
        filler.finish();
        writer.finish();
        CHECK(look(map, 1) == (removes ? kNone : 7) && look(map, 5) == 1);
        CHECK(map.size() == static_cast<std::int64_t>(kMany.size() - removes));
        map.check();
    }
}

void a_clear_before_a_publication_leaves_it_and_one_after_takes_it() {
    FourBuckets map;
    Actor early([&] { CHECK(fill(map, kMany, 1)); }, Window::kFilled);
    early.must_be_held();
    map.clear();
    early.finish();
    must_have(map, kMany, 1);
    map.clear();
    Actor late([&] { CHECK(fill(map, kMany, 2)); }, Window::kGateClosed);
    late.must_be_held();
    Actor clearer([&] { map.clear(); });
    clearer.must_wait();
    late.finish();
    clearer.finish();
    must_have(map, {}, 0);
}

void a_table_that_was_filled_before_a_snapshot_is_in_the_next() {
    FourBuckets map;
    Actor filler([&] { CHECK(fill(map, kMany, 1)); }, Window::kFilled);
    filler.must_be_held();
    CHECK(snapshot(map).empty());
    filler.finish();
    must_have(map, kMany, 1);
    CHECK(snapshot(map).size() == kMany.size());
    must_have(map, kMany, 1);
}

void a_publication_waits_for_the_open_snapshot_which_does_not_have_it() {
    FourBuckets map;
    std::set<std::uint64_t> seen;
    Actor taker([&] { seen = snapshot(map); }, Window::kSnapshotOpen);
    taker.must_be_held();
    Actor filler([&] { CHECK(fill(map, kMany, 1)); });
    filler.must_wait();
    taker.finish();
    filler.finish();
    CHECK(seen.empty());
    must_have(map, kMany, 1);
}

void a_publication_replaces_a_table_that_has_been_resized_meanwhile() {
    FourBuckets map;
    Actor filler([&] { CHECK(fill(map, kMany, 1)); }, Window::kFilled);
    filler.must_be_held();
    grow(map);
    filler.finish();
    must_have(map, kMany, 1);
    put(map, 99, 1);
    CHECK(remove(map, 99));
    must_have(map, kMany, 1);
}

void a_publication_is_counted_from_when_it_can_be_seen() {
    FourBuckets map;
    Actor filler([&] { CHECK(fill(map, kMany, 1)); }, Window::kChanged);
    filler.must_be_held();
    for (std::uint64_t key : kMany) CHECK(look(map, key) == 1);
    std::int64_t size = 0;
    Actor counter([&] { size = map.size(); });
    counter.must_wait();
    filler.finish();
    counter.finish();
    CHECK(size == static_cast<std::int64_t>(kMany.size()));
}

void an_iteration_during_a_publication_sees_no_key_twice() {
    for (int steps = 1; steps <= 4; ++steps) {
        FourBuckets map;
        std::set<std::uint64_t> seen;
        Actor iterator([&] { seen = iterate(map); }, Window::kIterateBatch, steps);
        iterator.must_be_held();
        Actor filler([&] { CHECK(fill(map, kMany, 1)); });
        iterator.finish();  // the bucket that it has locked is not one that the publication waits for
        filler.finish();
        must_have(map, kMany, 1);
    }
}

void a_publication_beside_a_computation_is_refused_or_counts_as_a_clear() {
    for (bool allowed : {false, true}) {
        FourBuckets map;
        Computation computation(map, 2);
        CHECK(fill(map, kMany, 1, allowed) == allowed);
        CHECK(computation.store(7) == !allowed);
        if (allowed) must_have(map, kMany, 1);
        else must_have(map, {2}, 7);
    }
}

void a_private_table_has_a_key_once_and_gives_up_what_is_not_published() {
    FourBuckets map;
    CHECK(fill(map, {1, 5, 9, 1, 5, 1}, 1));
    must_have(map, {1, 5, 9}, 1);
    CHECK(!fill(map, kMany, 2));
    must_have(map, {1, 5, 9}, 1);
}

void a_private_table_that_was_too_large_is_replaced() {
    FourBuckets map;
    map.clear();  // nothing is reserved now
    auto filled = map.make_private(640);
    Word old = 0;
    CHECK(filled.put(Policy::Lookup(1), value_for(1, 1), &old) && !old);
    CHECK(map.publish(filled, [] { return true; }));
    CHECK(map.stats().buckets == 128);
    map.trim();
    CHECK(map.stats().buckets == 1 && !map.stats().resizing);
    must_have(map, {1}, 1);
}

}  // namespace

int main(int argc, char** argv) {
    return run_claims(argc, argv,
                      {
                          CLAIM(a_read_goes_on_in_a_table_that_has_been_replaced),
                          CLAIM(a_read_during_a_replacement_of_the_table_sees_one_of_the_values),
                          CLAIM(memory_is_kept_while_a_reader_may_look_at_it),
                          CLAIM(a_key_is_kept_while_a_reader_compares_it),
                          CLAIM(a_key_is_kept_while_a_reader_compares_it_and_the_map_is_drained),
                          CLAIM(a_read_returns_no_value_of_a_key_that_took_the_slot),
                          CLAIM(a_read_returns_no_value_that_was_overwritten_and_is_another_keys_now),
                          CLAIM(a_read_sees_one_of_the_values_of_a_key_put_back),
                          CLAIM(a_read_during_a_clear_sees_what_was_there_or_nothing),
                          CLAIM(a_read_during_a_computation_sees_the_old_value),
                          CLAIM(a_read_in_vain_looks_again_when_the_key_came),
                          CLAIM(a_key_on_its_way_into_a_slot_does_not_pass_for_the_one_before),
                          CLAIM(a_key_going_from_a_slot_does_not_lend_its_name_to_the_next),
                          CLAIM(readers_find_what_is_there_while_a_chain_gets_longer),
                          CLAIM(no_key_is_compared_twice_though_the_search_begins_again),
                          CLAIM(a_key_that_two_threads_put_is_there_once_though_both_had_to_ask),
                          CLAIM(a_key_is_found_all_the_time_it_is_moved_to_a_larger_table),
                          CLAIM(a_key_is_found_all_the_time_it_is_moved_to_a_smaller_table),
                          CLAIM(a_moved_key_is_read_where_it_has_been_changed_since),
                          CLAIM(a_key_removed_while_it_is_moved_stays_away),
                          CLAIM(a_value_put_while_its_key_is_moved_stays_there),
                          CLAIM(a_key_that_comes_or_goes_is_moved_when_it_has),
                          CLAIM(two_buckets_that_shrink_into_one_are_moved_one_after_the_other),
                          CLAIM(room_is_reserved_though_another_thread_moves_the_last_bucket),
                          CLAIM(a_clear_waits_for_the_writer_inside_and_takes_its_key),
                          CLAIM(a_writer_waits_for_the_clear_and_keeps_its_key),
                          CLAIM(a_clear_takes_keys_half_moved),
                          CLAIM(a_result_is_dropped_when_its_computation_was_cleared_or_drained),
                          CLAIM(a_result_waits_for_a_clear_and_is_dropped),
                          CLAIM(a_computation_goes_with_its_bucket_to_the_next_table),
                          CLAIM(the_length_counts_a_key_from_when_it_can_be_found),
                          CLAIM(the_length_counts_a_key_no_longer_than_it_can_be_found),
                          CLAIM(a_snapshot_has_the_values_of_its_instant_though_they_are_overwritten),
                          CLAIM(a_snapshot_has_no_key_that_came_after_its_instant),
                          CLAIM(a_snapshot_has_the_keys_that_went_after_its_instant),
                          CLAIM(a_snapshot_has_its_instant_though_the_table_grows),
                          CLAIM(a_snapshot_has_the_values_that_computations_began_with),
                          CLAIM(a_snapshot_has_its_instant_though_the_table_shrinks),
                          CLAIM(an_iteration_meets_every_key_once_while_the_table_shrinks),
                          CLAIM(an_iteration_meets_every_key_once_while_the_table_grows),
                          CLAIM(readers_and_writers_elsewhere_do_not_wait_for_an_iteration),
                          CLAIM(a_small_table_gets_more_buckets_when_its_writers_meet),
                          CLAIM(a_key_that_another_thread_has_stored_meanwhile_is_there_once),
                          CLAIM(a_key_is_stored_where_its_bucket_has_moved_meanwhile),
                          CLAIM(a_key_that_has_moved_meanwhile_is_removed_where_it_is),
                          CLAIM(a_removal_leaves_the_key_that_has_taken_the_slot),
                          CLAIM(a_filled_table_is_seen_when_it_is_published_and_not_before),
                          CLAIM(a_read_during_a_publication_sees_the_value_or_nothing),
                          CLAIM(a_publication_waits_for_the_writer_inside_and_is_refused),
                          CLAIM(a_writer_waits_for_the_publication_and_keeps_its_value),
                          CLAIM(a_clear_before_a_publication_leaves_it_and_one_after_takes_it),
                          CLAIM(a_table_that_was_filled_before_a_snapshot_is_in_the_next),
                          CLAIM(a_publication_waits_for_the_open_snapshot_which_does_not_have_it),
                          CLAIM(a_publication_replaces_a_table_that_has_been_resized_meanwhile),
                          CLAIM(a_publication_is_counted_from_when_it_can_be_seen),
                          CLAIM(an_iteration_during_a_publication_sees_no_key_twice),
                          CLAIM(a_publication_beside_a_computation_is_refused_or_counts_as_a_clear),
                          CLAIM(a_private_table_has_a_key_once_and_gives_up_what_is_not_published),
                          CLAIM(a_private_table_that_was_too_large_is_replaced),
                      });
}
