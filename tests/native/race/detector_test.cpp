/// The race detector's core without Python: what is ordered and what is not, operation by operation; then
/// threads that hand a variable on under real locks, whose every step the detector must find ordered.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

#include "core/race/detector.hpp"
#include "core/race/origins.hpp"
#include "core/race/sampling.hpp"

using namespace threadproof::race;

/// A fork holds all of the detector's locks at once, in one order; TSan's search for deadlocks ends at 64
/// locks.
extern "C" const char* __tsan_default_options() { return "detect_deadlocks=0"; }

namespace {

#define CHECK(condition)  \
    ((condition) ? void() \
                 : (std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition), std::abort()))

constexpr Object kObject = 0x1000;
constexpr Field kField = 7;
constexpr Sync kLock = 0x2000, kOther = 0x3000;

/// A detector with two threads that know nothing of each other's steps.
struct World {
    std::unique_ptr<ObjectFilter> filter = std::make_unique<ObjectFilter>();
    std::unique_ptr<Detector> detector = std::make_unique<Detector>(*filter);
    Thread& parent = *detector->adopt_thread();
    Thread& a = *detector->create_thread(parent);
    Thread& b = *detector->create_thread(parent);

    Outcome access(Thread& thread, bool write, std::uint32_t stack, std::uint16_t flags = 0,
                   Object object = kObject, Field field = kField) {
        return detector->access(thread, object, field, flags | (write ? kWrite : 0), [&] { return stack; });
    }
    void write(Thread& thread, std::uint32_t stack, std::uint16_t flags = 0) {
        access(thread, true, stack, flags);
    }
    void read(Thread& thread, std::uint32_t stack, std::uint16_t flags = 0) {
        access(thread, false, stack, flags);
    }
    /// A read, and a write with the edge that the value itself has: acquired by the one, released before the
    /// other.
    bool read_value(Thread& thread, std::uint32_t stack, std::uint16_t flags = kStep) {
        detector->acquire(thread, kObject, kField);
        return detector->step(thread, kObject, kField, flags, [&] { return stack; });
    }
    bool write_value(Thread& thread, std::uint32_t stack, std::uint16_t flags = kStep) {
        detector->release(thread, kObject, kField);
        return detector->step(thread, kObject, kField, flags | kWrite, [&] { return stack; });
    }
    bool update_value(Thread& thread, std::uint32_t stack) {
        return read_value(thread, stack) | write_value(thread, stack + 1);
    }
    std::size_t races() const { return detector->races().size(); }
    Race only() const {
        CHECK(races() == 1);
        return detector->races()[0];
    }
};

void a_clock_covers_what_it_has_learned() {
    Clock clock, other;
    CHECK(clock.covers(Epoch()));
    clock.learn(Epoch(3, 5));
    CHECK(clock.covers(Epoch(3, 5)) && !clock.covers(Epoch(3, 6)) && !clock.covers(Epoch(4, 1)));
    other.learn(Epoch(9, 2));
    clock.join(other);
    CHECK(clock.covers(Epoch(9, 2)) && clock.covers(Epoch(3, 5)) && !other.covers(Epoch(3, 1)));
}

void a_depot_gives_equal_sequences_one_number() {
    Depot<int> depot;
    CHECK(depot.number_of({}) == 0 && depot.get(0).empty());
    std::uint32_t first = depot.number_of({1, 2}), second = depot.number_of({2, 1});
    CHECK(first != second && depot.number_of({1, 2}) == first && depot.get(second) == (std::vector{2, 1}));
    depot.check();
}

void an_origin_is_kept_until_its_object_is_deallocated() {
    ObjectFilter filter;
    Origins origins(filter);
    origins.note(16, {1, 2}), origins.note(16, {3, 4});
    origins.check();
    CHECK(origins.of(16).thread == 1 && origins.of(16).stack == 2 && origins.of(32).stack == 0);
    origins.forget(16);
    CHECK(origins.of(16).stack == 0 && !filter.any(16));
}

void two_writes_race() {
    World w;
    w.write(w.a, 1), w.write(w.b, 2);
    Race race = w.only();
    CHECK(race.earlier.stack == 1 && race.later.stack == 2 && race.earlier.write && race.later.write);
    CHECK(race.object == kObject && race.field == kField && race.earlier_thread == w.a.serial);
}

void a_read_races_with_a_write_either_way() {
    World first, second;
    first.write(first.a, 1), first.read(first.b, 2);
    CHECK(!first.only().later.write);
    second.read(second.a, 1), second.write(second.b, 2);
    CHECK(!second.only().earlier.write);
}

void reads_do_not_race_and_each_is_remembered() {
    World w;
    Thread& c = *w.detector->create_thread(w.parent);
    w.read(w.a, 1), w.read(w.b, 2);
    CHECK(w.races() == 0);
    w.write(c, 3);
    CHECK(w.races() == 2);
}

void a_lock_orders_and_another_lock_does_not() {
    for (Sync second : {kLock, kOther}) {
        World w;
        w.detector->acquire_lock(w.a, kLock), w.write(w.a, 1), w.detector->release_lock(w.a, kLock);
        w.detector->acquire_lock(w.b, second), w.write(w.b, 2), w.detector->release_lock(w.b, second);
        CHECK(w.races() == (second == kLock ? 0 : 1));
        if (second == kLock) continue;
        CHECK(w.detector->locks(w.only().earlier.locks) == std::vector<Sync>{kLock});
        CHECK(w.detector->locks(w.only().later.locks) == std::vector<Sync>{kOther}
              && w.only().later.flags & kLocked);
    }
}

void a_lock_that_another_thread_releases_is_not_held() {
    for (bool reentrant : {false, true}) {
        World w;
        w.detector->acquire_lock(w.a, kLock, reentrant), w.detector->acquire_lock(w.a, kLock, reentrant);
        CHECK(w.a.held.size() == (reentrant ? 2 : 0));
        w.detector->drop_lock(w.a, kLock);
        CHECK(w.a.held.empty());
    }
}

void excluded_accesses_race_with_nothing_and_locks_still_order() {
    World w;
    w.a.excluded = 1;
    w.write(w.a, 1), w.write(w.b, 2);
    CHECK(w.races() == 0);
    w.detector->release(w.a, kLock);
    w.a.excluded = 0;
    w.write(w.b, 3), w.detector->release(w.b, kOther), w.detector->acquire(w.a, kOther), w.write(w.a, 4);
    CHECK(w.races() == 0);
}

void what_is_written_after_a_release_is_not_ordered_by_it() {
    World w;
    w.detector->release(w.a, kLock), w.write(w.a, 1);
    w.detector->acquire(w.b, kLock), w.write(w.b, 2);
    CHECK(w.races() == 1);
}

void starting_and_joining_order() {
    World w;
    w.write(w.a, 1);
    w.detector->join_thread(w.parent, w.a);
    w.write(w.parent, 2);
    Thread& child = *w.detector->create_thread(w.parent);
    w.write(child, 3);
    CHECK(w.races() == 0);
    w.write(w.parent, 4);
    CHECK(w.races() == 1);
}

void permits_order_one_giver_with_one_taker() {
    World mutex, pair;
    mutex.detector->take_permit(mutex.a, kLock, 1), mutex.write(mutex.a, 1),
        mutex.detector->give_permits(mutex.a, kLock, 1, 1);
    mutex.detector->take_permit(mutex.b, kLock, 1), mutex.write(mutex.b, 2);
    CHECK(mutex.races() == 0);
    pair.detector->take_permit(pair.a, kLock, 2), pair.write(pair.a, 1),
        pair.detector->give_permits(pair.a, kLock, 2, 1);
    // the second initial permit, which no thread released
    pair.detector->take_permit(pair.b, kLock, 2), pair.write(pair.b, 2);
    CHECK(pair.races() == 1);
}

void a_write_after_the_own_read_is_an_update() {
    World w;
    w.read(w.a, 1, kCheck), w.write(w.a, 2), w.write(w.b, 3);
    CHECK(w.only().earlier.flags == (kCheck | kUpdate));
}

void a_write_after_the_own_check_is_its_act_also_where_another_wrote_in_between() {
    World w;
    w.read(w.a, 1, kCheck), w.write(w.b, 2), w.write(w.a, 3);
    CHECK(w.races() == 2);
    CHECK(w.detector->races()[1].later.flags == (kCheck | kUpdate));
}

void one_mistake_gives_one_report() {
    World w;
    w.write(w.a, 1), w.access(w.a, true, 2, 0, kObject + 16);
    w.read(w.b, 3), w.access(w.b, false, 4, 0, kObject + 16);
    CHECK(w.races() == 1);
    w.write(w.b, 5);
    CHECK(w.only().then.stack == 5 && w.only().then.write);
}

void the_same_two_places_are_reported_once_and_counted() {
    World w;
    for (int i = 0; i < 3; ++i)
        w.write(w.a, 1), w.detector->release(w.a, kOther), w.write(w.b, 2), w.detector->release(w.b, kLock);
    CHECK(w.races() == 2 && w.detector->races()[0].times == 3);  // a before b, and b before a
}

void an_object_at_a_dead_ones_address_is_another() {
    World w;
    w.write(w.a, 1), w.write(w.b, 2);
    w.detector->forget(kObject);
    w.write(w.b, 3), w.write(w.b, 4);
    CHECK(w.races() == 1);
    w.detector->forget(kObject);
    w.write(w.a, 5);
    CHECK(w.races() == 1);
    w.detector->release(w.a, kLock), w.detector->forget(kLock), w.detector->acquire(w.b, kLock);
    w.write(w.b, 6);
    CHECK(w.races() == 2);
}

void many_fields_of_one_object_are_apart() {
    World w;
    for (Field field = 0; field < 100; ++field) w.access(w.a, true, 1, 0, kObject, field);
    for (Field field = 100; field < 200; ++field) w.access(w.b, true, 2, 0, kObject, field);
    CHECK(w.races() == 0);
    w.access(w.b, true, 3, 0, kObject, 50);
    CHECK(w.only().field == 50);
}

void an_item_orders_its_sender_with_its_receiver() {
    constexpr SyncKey kItem = 1, kAnother = 2;
    World w;
    w.write(w.a, 1);
    w.detector->send(w.a, kLock, kItem), w.detector->send(w.parent, kLock, kAnother);
    w.detector->receive(w.b, kLock, kAnother);
    w.read(w.b, 2);
    CHECK(w.races() == 1);
    World v;
    v.write(v.a, 1), v.detector->send(v.a, kLock, kItem);
    v.detector->receive(v.b, kLock, kItem), v.read(v.b, 2);
    CHECK(v.races() == 0);
}

void an_item_is_on_its_way_until_it_is_received_or_taken_back() {
    World w;
    w.write(w.a, 1);
    w.detector->send(w.a, kLock, 1), w.detector->unsend(kLock, 1);
    w.detector->receive(w.b, kLock, 1), w.read(w.b, 2);
    CHECK(w.races() == 1);
    World v;
    v.write(v.a, 1);
    v.detector->send(v.a, kLock, 1), v.detector->send(v.parent, kLock, 1);
    v.detector->receive(v.parent, kLock, 1), v.detector->receive(v.b, kLock, 1);
    v.read(v.b, 2);
    CHECK(v.races() == 0);
}

void keys_of_one_object_order_apart() {
    World w;
    w.write(w.a, 1);
    w.detector->release(w.a, kLock, 1), w.detector->acquire(w.b, kLock, 2);
    w.read(w.b, 2);
    CHECK(w.races() == 1);
    World v;
    v.write(v.a, 1);
    v.detector->release(v.a, kLock, 1), v.detector->acquire(v.b, kLock, 1);
    v.detector->acquire(v.b, kLock, 1), v.read(v.b, 2);
    CHECK(v.races() == 0);
    v.detector->release(v.b, kLock, 1), v.detector->forget(kLock), v.detector->acquire(v.a, kLock, 1);
    v.write(v.a, 3);
    CHECK(v.races() == 1);
}

void an_owned_object_s_accesses_are_ordered_before_its_owner() {
    World w;
    w.write(w.a, 1), w.access(w.parent, false, 2, 0, kObject, 8);
    w.detector->own(w.b, kObject);
    w.write(w.b, 3), w.access(w.b, true, 4, 0, kObject, 8);
    CHECK(w.races() == 0);
}

void the_child_of_a_fork_is_alone_and_comes_after_everything() {
    World w;
    w.write(w.a, 1), w.write(w.parent, 2, kAtomic);
    std::size_t before = w.races();
    w.detector->lock_for_fork(), w.detector->unlock_after_fork();
    w.detector->continue_in_child(w.b);
    w.write(w.b, 3);
    CHECK(w.races() == before && w.detector->alone());
}

void two_updates_are_reported_though_the_value_itself_orders_them() {
    World w;
    CHECK(!w.update_value(w.a, 1) && w.update_value(w.b, 3));
    Race race = w.only();
    CHECK(race.before.stack == 1 && race.earlier.stack == 2 && race.later.stack == 3 && race.then.stack == 4);
    CHECK(race.then.has(kUpdate) && !race.between);
}

void a_lock_or_another_value_orders_updates() {
    World w;
    w.detector->acquire_lock(w.a, kLock);
    w.update_value(w.a, 1);
    w.detector->release_lock(w.a, kLock);
    w.detector->acquire_lock(w.b, kLock);
    CHECK(!w.update_value(w.b, 3));
    w.detector->release_lock(w.b, kLock);
    w.detector->release(w.b, kObject, kField + 1);
    w.detector->acquire(w.a, kObject, kField + 1);
    CHECK(!w.update_value(w.a, 1) && w.races() == 0);
}

void a_write_between_a_read_and_its_write_is_reported() {
    World w;
    w.read_value(w.a, 1);
    CHECK(!w.write_value(w.b, 2) && w.write_value(w.a, 3));
    CHECK(w.only().between && w.only().earlier.stack == 2);
}

void a_write_amid_another_thread_s_update_is_reported_once() {
    World w;
    w.update_value(w.a, 1);
    CHECK(w.write_value(w.b, 3, kStep | kAtomic) && w.only().then.stack == 0);
    w.update_value(w.a, 1);
    CHECK(!w.write_value(w.b, 3, kStep | kAtomic));
}

void atomic_steps_and_writes_that_depend_on_nothing_are_silent() {
    World w;
    for (Thread* thread : {&w.a, &w.b, &w.a}) {
        w.read_value(*thread, 1);
        CHECK(!w.write_value(*thread, 2, kStep | kAtomic));  // such as a compare_exchange() of what was read
        CHECK(!w.write_value(*thread, 3));
    }
    CHECK(w.races() == 0);
}

void a_check_that_another_thread_s_act_has_decided_is_reported() {
    World w;
    w.read_value(w.a, 1, kStep | kCheck | kAbsent), w.write_value(w.a, 2, kStep | kAbsent);
    CHECK(w.read_value(w.b, 1, kStep | kCheck) && w.only().then.stack == 0);
    World same;
    same.read_value(same.a, 1), same.write_value(same.a, 2);
    CHECK(!same.read_value(same.b, 1));
}

void the_value_of_a_dead_object_is_not_that_of_the_next() {
    World w;
    w.update_value(w.a, 1), w.read_value(w.a, 1);
    CHECK(w.detector->forget(kObject));
    CHECK(!w.update_value(w.b, 3));
    w.write_value(w.a, 5);  // amid an update of b; it does not depend on the read of the object before
    CHECK(w.only().later.stack == 5 && w.only().then.stack == 0);
}

/// ---- objects handed over

constexpr Object kList = 0x4000, kItem = 0x5000;

void what_follows_a_put_is_not_ordered_by_it() {
    World w;
    w.access(w.a, true, 1, 0, kItem);
    w.detector->put(w.a, kList, kItem);
    CHECK(w.access(w.a, true, 2, 0, kItem) == Outcome::kNew);
    CHECK(w.access(w.a, true, 2, 0, kItem) == Outcome::kRepeated);
    w.write(w.a, 3);
    w.detector->take(w.b, kList, kItem, true);
    w.write(w.b, 4);
    CHECK(w.only().earlier.stack == 3);
    w.access(w.b, true, 5, 0, kItem);
    CHECK(w.races() == 2 && w.detector->races()[1].earlier.stack == 2);
}

void a_put_orders_all_that_came_before_it_however_often_its_thread_has_put() {
    World w;
    w.detector->put(w.a, kList, kItem);
    w.write(w.a, 1);
    w.detector->put(w.a, kList, kItem + 64);
    w.access(w.a, true, 1, 0, kItem);  // in the epoch of the last put, too
    w.detector->put(w.a, kList, kItem + 64);
    w.detector->take(w.b, kList, kItem + 64, true);
    w.write(w.b, 2), w.access(w.b, true, 2, 0, kItem);
    CHECK(w.races() == 0);
}

void a_put_brings_along_what_its_thread_has_got_since_the_one_before() {
    World w;
    Thread& c = *w.detector->create_thread(w.parent);
    w.write(c, 1);
    w.detector->send(c, kLock, 5);
    w.detector->put(w.a, kList, kItem);
    w.detector->receive(w.a, kLock, 5);
    w.detector->put(w.a, kList, kObject);
    w.detector->take(w.b, kList, kObject, true);
    w.write(w.b, 2);
    CHECK(w.races() == 0);
}

void a_repeated_access_after_a_put_stands_for_the_one_before() {
    World w;
    w.write(w.a, 1);
    w.detector->put(w.a, kList, kItem);
    CHECK(w.access(w.a, true, 2) == Outcome::kRepeated);
    w.detector->release(w.a, kLock);
    CHECK(w.access(w.a, true, 2) == Outcome::kNew);
}

void positions_are_apart_near_and_far() {
    World w;
    for (Field place : {0, 1, 3, 4, 11, 12, 1000, 1'000'000})
        w.access(w.a, true, 1, 0, kObject, kPosition | place);
    w.access(w.b, true, 2, 0, kObject, kPosition | 2),
        w.access(w.b, true, 2, 0, kObject, kPosition | 999'999);
    CHECK(w.races() == 0);
    w.access(w.b, true, 3, 0, kObject, kPosition | 12);
    CHECK(w.only().field == (kPosition | 12));
    w.detector->check();
}

void what_is_forgotten_for_want_of_room_is_no_race() {
    World w;
    w.detector->limit(1000);
    for (Object object = kObject; object < kObject + 16 * 100'000; object += 16)
        w.access(w.a, true, 1, 0, object);
    w.detector->check();
    w.write(w.b, 2);
    CHECK(w.races() == 0);
    w.write(w.a, 3);
    CHECK(w.races() == 1);
}

void an_object_whose_keys_come_and_go_has_a_bound() {
    World w;
    for (Field key = 0; key < 300'000; ++key) w.access(w.a, true, 1, 0, kObject, 16 * key);
    CHECK(w.detector->counts().cells <= 1 << 18);
    w.detector->check();
    w.access(w.b, true, 2, 0, kObject, 0);  // forgotten
    CHECK(w.races() == 0);
    w.access(w.b, true, 2, 0, kObject, 16 * 299'999);
    CHECK(w.races() == 1);
}

void a_list_may_be_long_as_long_as_all_together_are_not_too_many() {
    World w;
    w.detector->limit(200'000);
    for (Field place = 0; place < 50'000; ++place) w.access(w.a, true, 1, 0, kObject, kPosition | place);
    w.detector->check();
    w.access(w.b, true, 2, 0, kObject, kPosition | 7);
    CHECK(w.races() == 1);
}

void the_filter_counts_each_state_of_an_object() {
    ObjectFilter filter;
    filter.add(kObject, ObjectFilter::kCells), filter.add(kObject, ObjectFilter::kCells);
    filter.add(kObject, ObjectFilter::kOrigin);
    CHECK(filter.has(kObject, ObjectFilter::kCells) && filter.has(kObject, ObjectFilter::kOrigin));
    CHECK(!filter.has(kObject, ObjectFilter::kNoted));
    filter.remove(kObject, ObjectFilter::kCells);
    CHECK(filter.has(kObject, ObjectFilter::kCells));
    filter.remove(kObject, ObjectFilter::kCells), filter.remove(kObject, ObjectFilter::kOrigin);
    CHECK(!filter.has(kObject, ObjectFilter::kCells) && !filter.any(kObject));
    filter.add(kObject, ObjectFilter::kNoted);
    filter.remove(kObject, ObjectFilter::kNoted);
    CHECK(!filter.any(kObject));
}

void the_first_access_of_an_epoch_is_the_one_that_is_remembered() {
    World w;
    CHECK(w.access(w.a, true, 1) == Outcome::kNew && w.access(w.a, true, 2) == Outcome::kRepeated);
    CHECK(w.access(w.a, false, 3) == Outcome::kRepeated && w.access(w.a, false, 4, kCheck) == Outcome::kNew);
    CHECK(w.access(w.b, true, 5) == Outcome::kRace);
    CHECK(w.detector->races()[0].earlier.stack == 1);
}

void the_epoch_cache_ends_with_its_epoch_and_keeps_a_few_of_a_set() {
    EpochCache cache;
    std::uint64_t tag = 0x1234567800000001;
    CHECK(!cache.has_or_add(tag, 1, kCheck) && cache.has_or_add(tag, 1, kCheck)
          && cache.has_or_add(tag, 1, 0));
    CHECK(!cache.has_or_add(tag, 1, EpochCache::kWrite));
    CHECK(cache.has_or_add(tag, 1, EpochCache::kWrite | kCheck));
    CHECK(cache.kinds(tag, 1) == (EpochCache::kWrite | kCheck) && cache.kinds(tag, 2) == 0);
    CHECK(!cache.has_or_add(tag, 2, 0) && cache.has_or_add(tag, 2, 0));
    for (std::uint64_t other = 1; other < 10; ++other) cache.has_or_add(tag + other, 2, 0);
    CHECK(!cache.has_or_add(tag, 2, 0));
}

void a_number_cache_looks_up_once_for_each_hash() {
    NumberCache<8> cache;
    std::uint32_t looked_up = 0;
    auto look_up = [&] { return ++looked_up; };
    CHECK(cache.number_of(5, look_up) == 1 && cache.number_of(5, look_up) == 1
          && cache.number_of(6, look_up) == 2);
}

void a_full_depot_takes_no_more() {
    Depot<int> depot(1);
    CHECK(depot.number_of({1}) == 1 && depot.number_of({2}) == 0 && depot.number_of({1}) == 1
          && depot.get(0).empty());
}

/// How often each of 50 sites is judged in each of 3 rounds.
std::vector<int> bursts_of(std::uint32_t seed) {
    Sampling sampling;
    std::vector<int> executions;
    for (int round = 0; round < 3; ++round) {
        sampling.begin_round(10, seed);
        for (std::uint32_t site = 0; site < 50; ++site) {
            executions.push_back(1);
            while (!sampling.ends_burst(site * 1000)) ++executions.back();
        }
    }
    return executions;
}

void bursts_are_the_same_for_the_same_seed_and_within_their_bounds() {
    std::vector<int> executions = bursts_of(1);
    CHECK(executions == bursts_of(1) && executions != bursts_of(2));
    for (int each : executions) CHECK(each > 10 && each <= 20);
    CHECK(!std::equal(executions.begin(), executions.begin() + 50, executions.begin() + 50));
}

void every_site_has_a_burst_of_its_own() {
    Sampling sampling;
    sampling.begin_round(1, 1);
    for (std::uint32_t site : {0u, 1u, 1023u, 1024u, 2047u, 2048u, 4095u, 4096u, 1'000'000u}) {
        CHECK(!sampling.ends_burst(site) && sampling.ends_burst(site));
    }
}

/// Real threads, real locks: each lock guards its own variables.
void threads_that_lock_are_silent(int threads, int steps) {
    constexpr int kLocks = 4;
    ObjectFilter filter;
    auto detector = std::make_unique<Detector>(filter);
    Thread& parent = *detector->adopt_thread();
    std::mutex locks[kLocks];
    std::vector<std::thread> running;
    std::vector<Thread*> children;
    for (int i = 0; i < threads; ++i) children.push_back(detector->create_thread(parent));
    for (int i = 0; i < threads; ++i)
        running.emplace_back([&, i, me = children[i]] {
            for (int step = 0; step < steps; ++step) {
                int which = (step * 7 + i) % kLocks;
                Object object = kObject + 16 * static_cast<Object>(which);
                std::lock_guard hold(locks[which]);
                detector->acquire_lock(*me, kLock + static_cast<Sync>(which) * 16);
                detector->access(*me, object, static_cast<Field>(step % 20), step % 3 == 0 ? kWrite : 0,
                                 [&] { return 1u; });
                if (step % 50 == 0) detector->forget(object);
                detector->release_lock(*me, kLock + static_cast<Sync>(which) * 16);
            }
        });
    for (std::thread& thread : running) thread.join();
    detector->check();
    CHECK(detector->races().empty());
    for (Thread* child : children)
        detector->join_thread(parent, *child), detector->join_thread(parent, *child);
    CHECK(detector->alone());
}

/// Real threads whose order the detector does not see: it must neither miss the race nor corrupt its own
/// memory.
void threads_that_do_not_lock_are_found(int threads, int steps) {
    ObjectFilter filter;
    auto detector = std::make_unique<Detector>(filter);
    Thread& parent = *detector->adopt_thread();
    std::vector<std::thread> running;
    for (int i = 0; i < threads; ++i)
        running.emplace_back([&, i, me = detector->create_thread(parent)] {
            for (int step = 0; step < steps; ++step) {
                Object object = kObject + 16 * static_cast<Object>(step % 8);
                detector->access(*me, object, 1, step % 2 == 0 ? kWrite : 0,
                                 [&] { return static_cast<std::uint32_t>(i + 1); });
                detector->release(*me, kOther + 16 * static_cast<Sync>(i));
                if (step % 64 == 0) detector->forget(object);
            }
        });
    for (std::thread& thread : running) thread.join();
    detector->check();
    CHECK(!detector->races().empty());
}

}  // namespace

int main() {
    a_clock_covers_what_it_has_learned();
    a_depot_gives_equal_sequences_one_number();
    an_origin_is_kept_until_its_object_is_deallocated();
    two_writes_race();
    a_read_races_with_a_write_either_way();
    reads_do_not_race_and_each_is_remembered();
    a_lock_orders_and_another_lock_does_not();
    a_lock_that_another_thread_releases_is_not_held();
    excluded_accesses_race_with_nothing_and_locks_still_order();
    what_is_written_after_a_release_is_not_ordered_by_it();
    starting_and_joining_order();
    permits_order_one_giver_with_one_taker();
    a_write_after_the_own_read_is_an_update();
    a_write_after_the_own_check_is_its_act_also_where_another_wrote_in_between();
    one_mistake_gives_one_report();
    the_same_two_places_are_reported_once_and_counted();
    an_object_at_a_dead_ones_address_is_another();
    many_fields_of_one_object_are_apart();
    an_item_orders_its_sender_with_its_receiver();
    an_item_is_on_its_way_until_it_is_received_or_taken_back();
    keys_of_one_object_order_apart();
    an_owned_object_s_accesses_are_ordered_before_its_owner();
    the_child_of_a_fork_is_alone_and_comes_after_everything();
    two_updates_are_reported_though_the_value_itself_orders_them();
    a_lock_or_another_value_orders_updates();
    a_write_between_a_read_and_its_write_is_reported();
    a_write_amid_another_thread_s_update_is_reported_once();
    atomic_steps_and_writes_that_depend_on_nothing_are_silent();
    a_check_that_another_thread_s_act_has_decided_is_reported();
    the_value_of_a_dead_object_is_not_that_of_the_next();
    what_follows_a_put_is_not_ordered_by_it();
    a_put_orders_all_that_came_before_it_however_often_its_thread_has_put();
    a_put_brings_along_what_its_thread_has_got_since_the_one_before();
    a_repeated_access_after_a_put_stands_for_the_one_before();
    positions_are_apart_near_and_far();
    what_is_forgotten_for_want_of_room_is_no_race();
    an_object_whose_keys_come_and_go_has_a_bound();
    a_list_may_be_long_as_long_as_all_together_are_not_too_many();
    the_filter_counts_each_state_of_an_object();
    the_first_access_of_an_epoch_is_the_one_that_is_remembered();
    the_epoch_cache_ends_with_its_epoch_and_keeps_a_few_of_a_set();
    a_number_cache_looks_up_once_for_each_hash();
    a_full_depot_takes_no_more();
    bursts_are_the_same_for_the_same_seed_and_within_their_bounds();
    every_site_has_a_burst_of_its_own();
    threads_that_lock_are_silent(4, 5000);
    threads_that_do_not_lock_are_found(4, 5000);
    std::puts("detector: ok");
}
