/// The rules of the reader-writer lock without threads: the order of entering, one step at a time, and then
/// at random.
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/sync/rw_queue.hpp"
#include "kit/check.hpp"

using threadproof::RWQueue;
using threadproof::Side;
using Answer = RWQueue::Answer;

namespace {

constexpr Side kRead = Side::kRead, kWrite = Side::kWrite;

/// Threads that are numbers, and their states.
struct Lock {
    RWQueue queue;
    std::deque<RWQueue::Waiter> waiters;
    std::string entered;  ///< the threads let in by others, in order: 'a' + thread

    auto wake() {
        return [this](RWQueue::Waiter& waiter) { entered += static_cast<char>('a' + waiter.thread); };
    }
    Answer enter(RWQueue::Thread thread, Side side) {
        auto& waiter = waiters.emplace_back();
        waiter.thread = thread;
        waiter.side = side;
        Answer answer = queue.enter(waiter);
        queue.check();
        return answer;
    }
    bool leave(RWQueue::Thread thread, Side side) {
        bool left = queue.leave(thread, side, wake());
        queue.check();
        return left;
    }
    bool give_up(RWQueue::Thread thread) {
        for (auto& waiter : waiters)
            if (waiter.thread == thread && !waiter.inside) {
                bool gone = queue.give_up(waiter, wake());
                waiter.inside = true;  // out of the way of the next search
                queue.check();
                return gone;
            }
        return false;
    }
};

void readers_enter_together_and_a_writer_alone() {
    Lock lock;
    CHECK(lock.enter(0, kRead) == Answer::kInside);
    CHECK(lock.enter(1, kRead) == Answer::kInside);
    CHECK(lock.enter(2, kWrite) == Answer::kWait);
    CHECK(lock.queue.readers() == 2 && !lock.queue.writing() && lock.queue.waiting() == 1);
    CHECK(lock.leave(0, kRead) && lock.entered.empty());
    CHECK(lock.leave(1, kRead) && lock.entered == "c" && lock.queue.writing());
}

void a_waiting_writer_goes_before_later_readers() {
    Lock lock;
    lock.enter(0, kRead);
    lock.enter(1, kWrite);
    CHECK(lock.enter(2, kRead) == Answer::kWait);
    lock.leave(0, kRead);
    CHECK(lock.entered == "b");
    lock.leave(1, kWrite);
    CHECK(lock.entered == "bc");
}

void readers_go_before_the_next_writer() {
    Lock lock;
    lock.enter(0, kWrite);
    lock.enter(1, kWrite);
    lock.enter(2, kRead);
    lock.enter(3, kWrite);
    lock.enter(4, kRead);
    lock.leave(0, kWrite);
    CHECK(lock.entered == "ce");
    lock.enter(5, kRead);
    lock.leave(2, kRead);
    lock.leave(4, kRead);
    CHECK(lock.entered == "ceb");
    lock.leave(1, kWrite);
    CHECK(lock.entered == "cebf");
    lock.leave(5, kRead);
    CHECK(lock.entered == "cebfd");
}

void a_thread_inside_enters_again() {
    Lock lock;
    lock.enter(0, kRead);
    lock.enter(1, kWrite);
    CHECK(lock.enter(0, kRead) == Answer::kInside);
    CHECK(lock.enter(0, kWrite) == Answer::kUpgrade);
    lock.leave(0, kRead);
    CHECK(lock.entered.empty());
    lock.leave(0, kRead);
    CHECK(lock.enter(1, kWrite) == Answer::kInside && lock.enter(1, kRead) == Answer::kInside);
}

void a_writer_that_goes_on_reading_lets_readers_in() {
    Lock lock;
    lock.enter(0, kWrite);
    lock.enter(0, kRead);
    lock.enter(1, kRead);
    lock.enter(2, kWrite);
    lock.leave(0, kWrite);
    CHECK(lock.entered == "b" && lock.queue.readers() == 2);
    lock.leave(0, kRead);
    lock.leave(1, kRead);
    CHECK(lock.entered == "bc");
}

void a_writer_that_gives_up_lets_the_readers_behind_it_in() {
    Lock lock;
    lock.enter(0, kRead);
    lock.enter(1, kWrite);
    lock.enter(2, kRead);
    CHECK(lock.give_up(1) && lock.entered == "c");
    CHECK(!lock.leave(1, kWrite) && !lock.leave(0, kWrite));
}

/// A thread that waits, and in between, as its signal handler, waits for the same lock and leaves it again.
void a_wait_within_a_wait_comes_first() {
    for (Side outer : {kRead, kWrite}) {
        for (Side inner : {kRead, kWrite}) {
            Lock lock;
            lock.enter(0, kWrite);
            CHECK(lock.enter(1, outer) == Answer::kWait && lock.enter(2, kRead) == Answer::kWait);
            CHECK(lock.enter(1, inner) == Answer::kWait);
            lock.leave(0, kWrite);
            for (char reader : lock.entered)
                if (reader == 'c') lock.leave(2, kRead);
            CHECK(lock.waiters[3].inside && !lock.waiters[1].inside);
            CHECK(lock.enter(1, kRead) == Answer::kInside && lock.leave(1, kRead));
            CHECK(lock.leave(1, inner));
            if (!lock.waiters[1].inside) CHECK(lock.waiters[2].inside && lock.leave(2, kRead));
            CHECK(lock.waiters[1].inside && lock.leave(1, outer));
        }
    }
}

void a_wait_within_a_wait_may_be_given_up() {
    Lock lock;
    lock.enter(0, kWrite);
    lock.enter(1, kRead);
    lock.enter(1, kWrite);
    CHECK(lock.queue.give_up(lock.waiters[2], lock.wake()));
    lock.leave(0, kWrite);
    CHECK(lock.entered == "b" && lock.waiters[1].inside);
}

void after_a_fork_only_one_thread_is_left() {
    Lock lock;
    lock.enter(0, kRead);
    lock.enter(1, kRead);
    lock.enter(2, kWrite);
    lock.queue.forget_others(1, lock.wake());
    lock.queue.check();
    CHECK(lock.queue.readers() == 1 && lock.queue.waiting() == 0 && lock.leave(1, kRead));
    CHECK(lock.enter(3, kWrite) == Answer::kInside);
    lock.queue.forget_others(1, lock.wake());
    CHECK(lock.enter(1, kWrite) == Answer::kInside);
}

/// Threads enter, leave and give up at random; check() holds all the time, and at the end every thread has
/// been inside.
void every_thread_gets_in(unsigned seed) {
    constexpr int kThreads = 6;
    std::mt19937 random(seed);
    Lock lock;
    std::vector<std::unique_ptr<RWQueue::Waiter>> waiters[kThreads];  // the innermost last
    auto leave = [&](int i) {
        RWQueue::Waiter& last = *waiters[i].back();
        if (last.inside) CHECK(lock.leave(static_cast<RWQueue::Thread>(i), last.side));
        else CHECK(lock.queue.give_up(last, lock.wake()));
        waiters[i].pop_back();
    };
    auto enter = [&](int i) {
        auto waiter = std::make_unique<RWQueue::Waiter>();
        waiter->thread = static_cast<RWQueue::Thread>(i);
        waiter->side = random() % 3 ? kRead : kWrite;
        if (lock.queue.enter(*waiter) != Answer::kUpgrade) waiters[i].push_back(std::move(waiter));
    };
    for (int step = 0; step < 20000; ++step) {
        int i = static_cast<int>(random() % kThreads);
        if (waiters[i].empty() || (waiters[i].size() < 4 && random() % 4 == 0)) enter(i);
        else if (waiters[i].back()->inside || random() % 4 == 0) leave(i);
        lock.queue.check();
    }
    // those inside leave until all have been inside: no thread has to give up
    for (int left = 4 * kThreads + 1; left > 0;) {
        int before = left;
        left = 0;
        for (int i = 0; i < kThreads; ++i) {
            if (!waiters[i].empty() && waiters[i].back()->inside) leave(i);
            left += static_cast<int>(waiters[i].size());
        }
        CHECK(left < before || left == 0);
    }
    CHECK(lock.queue.readers() == 0 && !lock.queue.writing() && lock.queue.waiting() == 0);
}

}  // namespace

int main(int argc, char** argv) {
    unsigned seed = argc > 1 ? static_cast<unsigned>(std::stoul(argv[1])) : std::random_device()();
    std::printf("rw_queue_test: seed %u\n", seed);
    readers_enter_together_and_a_writer_alone();
    a_waiting_writer_goes_before_later_readers();
    readers_go_before_the_next_writer();
    a_thread_inside_enters_again();
    a_writer_that_goes_on_reading_lets_readers_in();
    a_writer_that_gives_up_lets_the_readers_behind_it_in();
    a_wait_within_a_wait_comes_first();
    a_wait_within_a_wait_may_be_given_up();
    after_a_fork_only_one_thread_is_left();
    every_thread_gets_in(seed);
    std::printf("rw_queue_test: ok\n");
}
