/// The biased lock: its owner and other threads are never inside together, and no change is lost.
#include <memory>
#include <thread>
#include <vector>

#include "core/base/biased_lock.hpp"
#include "kit/actor.hpp"
#include "kit/check.hpp"

using cells::Actor;
using threadproof::BiasedLock;
using threadproof::SerializedLock;
using threadproof::Threads;
using threadproof::ThreadSlot;

namespace {

void another_thread_waits_for_the_owner_inside() {
    BiasedLock lock;
    int inside = 1;
    CHECK(lock.enter());
    Actor other([&] {
        lock.lock();
        CHECK(inside == 0);
        lock.unlock();
    });
    other.must_wait();
    inside = 0;
    lock.leave();
    other.finish();
}

void the_owner_of_a_shared_lock_has_to_lock() {
    BiasedLock lock;
    lock.lock();
    lock.unlock();
    CHECK(lock.enter());  // its own lock() does not share it
    lock.leave();
    Actor([&] {
        lock.lock();
        lock.unlock();
    }).finish();
    CHECK(!lock.enter());
    Actor other([&] {
        lock.lock();  // the owner has withdrawn
        lock.unlock();
    });
    CHECK(other.stopped() == Actor::kDone);
    lock.lock();
    lock.unlock();
}

void threads_wait_for_each_other() {
    BiasedLock lock;
    lock.lock();
    Actor other([&] {
        lock.lock();
        lock.unlock();
    });
    other.must_wait();
    lock.unlock();
    other.finish();
}

/// The owner has locked, and waits for other threads, as an iteration does: nothing makes another thread the owner.
void no_other_thread_enters_as_the_owner() {
    BiasedLock lock;
    lock.lock();
    Actor([&] { CHECK(!lock.enter()); }).finish();
    lock.unlock();
    CHECK(lock.enter());  // it has not been shared
    lock.leave();
}

/// A thread that has ended is inside no lock; the next one with its slot sees its work.
void a_slot_changes_hands_with_its_locks() {
    std::unique_ptr<BiasedLock> lock;
    int work = 0;
    const ThreadSlot* first = nullptr;
    std::thread([&] {
        first = &Threads::mine();
        lock = std::make_unique<BiasedLock>();
        CHECK(lock->enter());
        work = 1;
        lock->leave();
    }).join();
    std::thread([&] {
        if (&Threads::mine() != first) return;
        CHECK(lock->enter() && work == 1);
        lock->leave();
    }).join();
    CHECK(!lock->enter());
}

void with_a_global_lock_each_thread_enters_unless_another_has_locked() {
    SerializedLock lock;
    CHECK(lock.enter());
    lock.leave();
    lock.lock();
    Actor([&] { CHECK(!lock.enter()); }).finish();
    lock.unlock();
    Actor([&] { CHECK(lock.enter()), lock.leave(); }).finish();
}

/// Changes by the owner, and by others that come in the middle of them.
void no_change_is_lost() {
    constexpr int kRounds = 200, kChanges = 2'000;
    for (int round = 0; round < kRounds; ++round) {
        BiasedLock lock;
        int sum = 0;
        auto change = [&] {
            if (lock.enter()) {
                ++sum;
                lock.leave();
                return;
            }
            lock.lock();
            ++sum;
            lock.unlock();
        };
        std::vector<std::thread> others;
        for (int i = 0; i < kChanges; ++i) {
            if (i == kChanges / 4 || i == kChanges / 2)
                others.emplace_back([&] {
                    for (int j = 0; j < kChanges / 20; ++j) change();
                });
            change();
        }
        for (auto& each : others) each.join();
        CHECK(sum == kChanges + 2 * (kChanges / 20));
    }
}

}  // namespace

int main() {
    another_thread_waits_for_the_owner_inside();
    the_owner_of_a_shared_lock_has_to_lock();
    threads_wait_for_each_other();
    no_other_thread_enters_as_the_owner();
    a_slot_changes_hands_with_its_locks();
    with_a_global_lock_each_thread_enters_unless_another_has_locked();
    no_change_is_lost();
}
