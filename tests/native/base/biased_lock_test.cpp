/// The biased lock: its owner and other threads are never inside together, and no change is lost.
#include <thread>
#include <vector>

#include "core/base/biased_lock.hpp"
#include "kit/actor.hpp"
#include "kit/check.hpp"

using cells::Actor;
using threadproof::BiasedLock;
using threadproof::Threads;

namespace {

void another_thread_waits_for_the_owner_inside() {
    BiasedLock lock{};
    int inside = 1;
    CHECK(lock.enter());
    Actor other([&] {
        lock.lock(false);
        CHECK(inside == 0);
        lock.unlock();
    });
    other.must_wait();
    inside = 0;
    lock.leave();
    other.finish();
}

void the_owner_of_a_shared_lock_has_to_lock() {
    BiasedLock lock{};
    lock.lock(true);
    lock.unlock();
    CHECK(lock.enter());  // its own lock() does not share it
    lock.leave();
    Actor([&] {
        lock.lock(false);
        lock.unlock();
    }).finish();
    CHECK(!lock.enter());
    Actor other([&] {
        lock.lock(false);  // the owner has withdrawn
        lock.unlock();
    });
    CHECK(other.stopped() == Actor::kDone);
    lock.lock(true);
    lock.unlock();
}

void threads_wait_for_each_other() {
    BiasedLock lock{};
    lock.lock(true);
    Actor other([&] {
        lock.lock(false);
        lock.unlock();
    });
    other.must_wait();
    lock.unlock();
    other.finish();
}

/// Changes by the owner, and by others that come in the middle of them.
void no_change_is_lost() {
    constexpr int kRounds = 200, kChanges = 2'000;
    for (int round = 0; round < kRounds; ++round) {
        BiasedLock lock{};
        int sum = 0;
        auto change = [&](bool owner) {
            if (owner && lock.enter()) {
                ++sum;
                lock.leave();
                return;
            }
            lock.lock(owner);
            ++sum;
            lock.unlock();
        };
        std::vector<std::thread> others;
        for (int i = 0; i < kChanges; ++i) {
            if (i == kChanges / 4 || i == kChanges / 2)
                others.emplace_back([&] {
                    for (int j = 0; j < kChanges / 20; ++j) change(false);
                });
            change(true);
        }
        for (auto& each : others) each.join();
        CHECK(sum == kChanges + 2 * (kChanges / 20));
    }
}

}  // namespace

int main() {
    Threads::mine();  // the owner
    another_thread_waits_for_the_owner_inside();
    the_owner_of_a_shared_lock_has_to_lock();
    threads_wait_for_each_other();
    no_change_is_lost();
}
