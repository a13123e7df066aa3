/// The race detector's core over a long run: threads, locks and keys come and go, and memory stays; no race is
/// lost, and none invented, where a thread gets the slot of one that has ended.
#include <malloc.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "core/race/detector.hpp"

using namespace threadproof::race;

namespace {

#define CHECK(condition)  \
    ((condition) ? void() \
                 : (std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition), std::abort()))

constexpr Object kObject = 0x1000;
constexpr Sync kLock = 0x2000;

struct World {
    std::unique_ptr<ObjectFilter> filter = std::make_unique<ObjectFilter>();
    std::unique_ptr<Detector> detector = std::make_unique<Detector>(*filter);
    Thread& main = *detector->adopt_thread();

    Thread& start() { return *detector->create_thread(main); }
    void end(Thread& thread) { detector->end_thread(thread); }
    void join(Thread& by, Thread& thread) {
        detector->join_thread(by, thread);
        detector->forget_thread(thread);
    }
    void write(Thread& thread, std::uint32_t stack, Object object = kObject) {
        detector->access(thread, object, 1, kWrite, [&] { return stack; });
    }
    std::size_t races() const { return detector->races().size(); }
};

std::size_t memory() { return mallinfo2().uordblks + mallinfo2().hblkhd; }

/// The memory that 100 rounds add after 20,000 rounds, at most, for each round.
template <class Round>
void stays(const char* name, Round&& round) {
    for (int i = 0; i < 5'000; ++i) round(i);
    std::size_t before = memory();
    for (int i = 5'000; i < 20'000; ++i) round(i);
    auto more = static_cast<long long>(memory()) - static_cast<long long>(before);
    if (more > 200'000) std::fprintf(stderr, "%s: %lld bytes more\n", name, more);
    CHECK(more <= 200'000);
}

void threads_that_are_joined_leave_nothing() {
    World w;
    stays("joined", [&](int) {
        Thread& thread = w.start();
        w.write(thread, 1);
        w.end(thread);
        w.join(w.main, thread);
    });
    CHECK(w.races() == 0 && w.detector->alone());
    w.detector->check();
}

void threads_that_nobody_waits_for_leave_a_bounded_rest() {
    World w;
    stays("not joined", [&](int i) {
        Thread& thread = w.start();
        w.detector->acquire(thread, kLock);
        w.write(thread, 1, kObject + 16 * static_cast<Object>(i % 100));
        w.detector->release(thread, kLock);
        w.end(thread);
        w.detector->forget_thread(thread);
    });
    CHECK(w.races() == 0);
    w.detector->check();
}

void locks_that_come_and_go_leave_nothing_in_the_filter() {
    World w;
    stays("locks", [&](int i) {
        Sync lock = kLock + 64 * static_cast<Sync>(i);
        w.detector->acquire_lock(w.main, lock);
        w.detector->release_lock(w.main, lock);
        w.detector->give_permits(w.main, lock + 16, 0, 3);
        w.detector->send(w.main, lock + 32, 5);
        for (Sync part = 0; part < 48; part += 16) {
            CHECK(w.filter->any(lock + part) && w.detector->forget(lock + part));
            CHECK(!w.filter->any(lock + part));
        }
    });
}

void a_lock_that_was_only_acquired_is_known_when_it_goes() {
    World w;
    w.detector->acquire_lock(w.main, kLock);
    CHECK(w.detector->forget(kLock) && !w.filter->any(kLock));
}

void many_keys_of_one_object_become_one_that_still_orders() {
    World w;
    Thread &a = w.start(), &b = w.start();
    w.write(a, 1);
    w.detector->release(a, kLock, 7);
    for (SyncKey key = 100; key < 200'000; ++key) w.detector->release(w.main, kLock, key);
    w.detector->check();
    w.detector->acquire(b, kLock, 7);
    w.write(b, 2);
    CHECK(w.races() == 0);
}

void values_of_one_object_are_bounded_and_an_update_is_found_all_the_same() {
    World w;
    Thread &a = w.start(), &b = w.start();
    auto step = [&](Thread& thread, Field key, unsigned flags, std::uint32_t stack) {
        if (flags & kWrite) w.detector->release(thread, kLock, key);
        else w.detector->acquire(thread, kLock, key);
        w.detector->step(thread, kLock, key, flags | kStep, [&] { return stack; });
    };
    auto update = [&](Thread& thread, Field key, std::uint32_t stack) {
        step(thread, key, 0, stack), step(thread, key, kWrite, stack + 1);
    };
    step(a, 7, 0, 9);
    for (Field key = 100; key < 200'000; ++key) update(a, key, 1);
    CHECK(w.detector->counts().values <= 1 << 16);
    w.detector->check();
    step(a, 7, kWrite, 9);  // it depends on a read that is forgotten
    step(b, 7, kWrite, 8);
    CHECK(w.races() == 0);
    step(a, 7, 0, 5), update(b, 7, 6), step(a, 7, kWrite, 9);
    CHECK(w.races() == 1);
}

void a_value_whose_steps_order_nothing_leaves_nothing() {
    World w;
    stays("values without order", [&](int i) {
        Object atomic = kObject + 16 * static_cast<Object>(i);
        w.detector->step(w.main, atomic, 1, kStep, [] { return 1u; });
        CHECK(w.filter->any(atomic));
        w.detector->forget(atomic);
        CHECK(!w.filter->any(atomic) && w.detector->counts().values == 0);
    });
}

void permits_take_no_memory_each() {
    World w;
    std::size_t before = memory();
    w.detector->give_permits(w.main, kLock, ~std::size_t{0} / 2, ~std::size_t{0} / 2);
    CHECK(memory() - before < 10'000);
    CHECK(w.detector->take_permit(w.main, kLock, 0));
}

void withdrawn_permits_order_nobody() {
    World w;
    Thread &a = w.start(), &b = w.start();
    w.detector->give_permits(b, kLock, 0, 1);
    w.write(a, 1);
    w.detector->give_permits(a, kLock, 0, 2);
    w.detector->withdraw_permits(a, kLock, 2);
    CHECK(w.detector->take_permit(b, kLock, 0) && !w.detector->take_permit(b, kLock, 0));
    w.write(b, 2);
    CHECK(w.races() == 1);
}

/// ---- slots

void a_later_thread_in_the_slot_does_not_hide_the_race_of_the_former() {
    World w;
    Thread& reader = w.start();
    Thread& former = w.start();
    w.write(former, 1);
    w.end(former);
    w.join(w.main, former);
    Thread& later = w.start();  // after the join: in the former's slot
    w.detector->release(later, kLock);
    w.write(reader, 2);  // knows neither
    CHECK(w.races() == 1);
    Race race = w.detector->races()[0];
    CHECK(race.later_thread == reader.serial && race.earlier_thread != later.serial);
}

void who_is_ordered_after_the_later_thread_is_ordered_after_the_former() {
    World w;
    Thread& reader = w.start();
    Thread& former = w.start();
    std::uint32_t slot = former.now().thread();
    w.write(former, 1);
    w.end(former);
    w.join(w.main, former);
    Thread& later = w.start();
    CHECK(later.now().thread() == slot);
    w.detector->release(later, kLock);
    w.detector->acquire(reader, kLock);
    w.write(reader, 2);
    CHECK(w.races() == 0);
}

void a_thread_that_nobody_waited_for_keeps_its_slot() {
    World w;
    Thread& former = w.start();
    std::uint32_t slot = former.now().thread();
    w.write(former, 1);
    w.end(former);
    w.detector->forget_thread(former);
    Thread& later = w.start();
    CHECK(later.now().thread() != slot);
    w.write(later, 2);
    CHECK(w.races() == 1);
}

void what_a_thread_did_before_its_last_release_is_enough_to_get_its_slot() {
    World w;
    Thread& former = w.start();
    std::uint32_t slot = former.now().thread();
    w.write(former, 1);
    w.detector->send(former, kLock, 5);
    w.end(former);
    w.detector->receive(w.main, kLock, 5);  // the main thread has the result, and never joins
    w.detector->forget_thread(former);
    Thread& later = w.start();
    CHECK(later.now().thread() == slot);
    w.write(later, 2);
    CHECK(w.races() == 0);
}

void a_thread_can_be_joined_when_its_slot_has_another() {
    World w;
    Thread& waits = w.start();
    Thread& former = w.start();
    w.write(former, 1);
    w.end(former);
    w.detector->join_thread(w.main, former);
    w.start();
    w.detector->join_thread(waits, former);
    w.write(waits, 2);
    CHECK(w.races() == 0);
}

void all_that_have_ended_can_be_joined_at_once() {
    World w;
    Thread& thread = w.start();
    w.write(thread, 1);
    w.end(thread);
    w.detector->forget_thread(thread);
    w.detector->join_ended_threads(w.main);
    w.write(w.main, 2);
    CHECK(w.races() == 0);
}

void in_a_forked_child_the_parent_s_threads_do_not_run() {
    World w;
    Thread &a = w.start(), &b = w.start();
    w.write(a, 1);
    w.detector->continue_in_child(w.main);
    w.detector->join_thread(w.main, a), w.detector->join_thread(w.main, b);
    CHECK(w.detector->alone());
    w.write(w.main, 2);
    CHECK(w.races() == 0);
    Thread &c = w.start(), &d = w.start();
    CHECK(!w.detector->alone());
    w.write(c, 3), w.write(d, 4);
    CHECK(w.races() == 1);
    w.detector->check();
}

/// ---- reports

void the_next_write_is_of_the_same_thread_and_object() {
    World w;
    Thread &a = w.start(), &b = w.start(), &c = w.start();
    constexpr Object kOther = kObject + 64;
    auto read = [&](Thread& thread, Object object) {
        w.detector->access(thread, object, 1, 0, [] { return 2u; });
    };
    w.write(a, 1, kObject), w.write(a, 1, kOther);
    read(b, kObject);
    read(c, kOther);
    w.write(c, 3, kOther);
    Race race = w.detector->races()[0];
    CHECK(race.object == kOther && race.later_thread == c.serial && race.later.epoch == c.now());
    CHECK(race.then.stack == 3 && race.then.epoch == c.now() && race.times == 2);
    w.write(b, 4, kObject);
    CHECK(w.detector->races()[0].then.stack == 3 && w.detector->races()[0].object == kOther);
}

}  // namespace

int main() {
    threads_that_are_joined_leave_nothing();
    threads_that_nobody_waits_for_leave_a_bounded_rest();
    locks_that_come_and_go_leave_nothing_in_the_filter();
    a_lock_that_was_only_acquired_is_known_when_it_goes();
    many_keys_of_one_object_become_one_that_still_orders();
    values_of_one_object_are_bounded_and_an_update_is_found_all_the_same();
    a_value_whose_steps_order_nothing_leaves_nothing();
    permits_take_no_memory_each();
    withdrawn_permits_order_nobody();
    a_later_thread_in_the_slot_does_not_hide_the_race_of_the_former();
    who_is_ordered_after_the_later_thread_is_ordered_after_the_former();
    a_thread_that_nobody_waited_for_keeps_its_slot();
    what_a_thread_did_before_its_last_release_is_enough_to_get_its_slot();
    a_thread_can_be_joined_when_its_slot_has_another();
    all_that_have_ended_can_be_joined_at_once();
    in_a_forked_child_the_parent_s_threads_do_not_run();
    the_next_write_is_of_the_same_thread_and_object();
    std::puts("ok");
}
