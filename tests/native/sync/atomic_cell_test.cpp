/// Atomic cells without Python: nothing is lost, a refused change changes nothing, and comparisons of floats
/// come to an end.
#include <cmath>
#include <functional>
#include <limits>
#include <thread>
#include <vector>

#include "core/sync/atomic_cell.hpp"
#include "kit/check.hpp"

using namespace threadproof;

namespace {

constexpr std::memory_order kOrders[] = {std::memory_order_relaxed, std::memory_order_acquire,
                                         std::memory_order_release, std::memory_order_acq_rel,
                                         std::memory_order_seq_cst};

void cells_do_not_share_lines() {
    AtomicCell<std::int64_t> cells[2];
    CHECK(reinterpret_cast<std::uintptr_t>(&cells[0]) % kNoSharing == 0);
    CHECK(reinterpret_cast<std::uintptr_t>(&cells[1]) - reinterpret_cast<std::uintptr_t>(&cells[0])
          >= kNoSharing);
}

void every_order_gives_the_same_values() {
    for (std::memory_order order : kOrders) {
        AtomicCell<std::int64_t> cell;
        std::int64_t old;
        CHECK(exchange<std::int64_t>(cell, 1, order) == 0);
        CHECK(!compare_exchange<std::int64_t>(cell, 0, 2, order));
        CHECK(compare_exchange<std::int64_t>(cell, 1, 2, order));
        CHECK(change(
            cell, [](std::int64_t value, std::int64_t* fresh) { return *fresh = value + 1, true; }, &old,
            order));
        CHECK(old == 2 && load(cell, std::memory_order_relaxed) == 3);
    }
}

void a_refused_change_changes_nothing() {
    AtomicCell<std::int64_t> cell;
    std::int64_t old = 0;
    store<std::int64_t>(cell, 7, std::memory_order_release);
    CHECK(!change(
        cell, [](std::int64_t, std::int64_t* fresh) { return *fresh = 8, false; }, &old,
        std::memory_order_seq_cst));
    CHECK(old == 7 && load(cell, std::memory_order_acquire) == 7);
}

void floats_that_are_the_same_are_exchanged() {
    const double nan = std::nan("");
    AtomicCell<double> cell;
    CHECK(compare_exchange(cell, -0.0, nan, std::memory_order_seq_cst));
    CHECK(!compare_exchange(cell, 0.0, 1.0, std::memory_order_seq_cst));
    CHECK(compare_exchange(cell, -nan, 1.0, std::memory_order_seq_cst));
    CHECK(load(cell, std::memory_order_seq_cst) == 1.0);
}

void no_addition_is_lost() {
    constexpr int kThreads = 4, kTimes = 20000;
    AtomicCell<std::int64_t> cell;
    AtomicCell<double> real;
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i)
        threads.emplace_back([&, i] {
            std::int64_t old;
            double seen;
            for (int n = 0; n < kTimes; ++n) {
                change(
                    cell, [](std::int64_t value, std::int64_t* fresh) { return *fresh = value + 1, true; },
                    &old, kOrders[i]);
                do seen = load(real, std::memory_order_relaxed);
                while (!compare_exchange(real, seen, seen + 1, std::memory_order_relaxed));
            }
        });
    for (std::thread& thread : threads) thread.join();
    CHECK(load(cell, std::memory_order_relaxed) == kThreads * kTimes);
    CHECK(load(real, std::memory_order_relaxed) == kThreads * kTimes);
}

/// Stores before a release are visible after the acquire that reads it; otherwise TSan reports a race.
void a_release_publishes_what_was_written_before() {
    AtomicCell<bool> ready;
    int data = 0;
    std::thread writer([&] {
        data = 42;
        store(ready, true, std::memory_order_release);
    });
    while (!load(ready, std::memory_order_acquire)) std::this_thread::yield();
    CHECK(data == 42);
    writer.join();
}

}  // namespace

int main() {
    cells_do_not_share_lines();
    every_order_gives_the_same_values();
    a_refused_change_changes_nothing();
    floats_that_are_the_same_are_exchanged();
    no_addition_is_lost();
    a_release_publishes_what_was_written_before();
    std::printf("atomic_cell_test: ok\n");
}
