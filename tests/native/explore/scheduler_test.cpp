/// The scheduler without Python: a program is a list of operations for each thread, run by plan after plan, here by
/// one thread of the system.
#include "core/explore/scheduler.hpp"
#include "core/explore/shared.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

using namespace threadproof::explore;

namespace {

#define CHECK(condition)  \
    ((condition) ? void() \
                 : (std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition), std::abort()))

bool is_set(void* flag) { return *static_cast<bool*>(flag); }

Operation access(VariableId variable, bool write) {
    return {.kind = StepKind::kAccess, .write = write, .variable = variable};
}

/// A run of programs that never block, in one thread: the threads of the run announce in turn.
struct World {
    Scheduler scheduler;
    std::vector<Baton> batons{8};
    std::vector<Thread*> threads;
    Thread* running = nullptr;

    explicit World(const Plan& plan, std::size_t count = 3) {
        threads.push_back(&scheduler.begin(plan, batons[0]));
        running = threads[0];
        for (std::size_t i = 1; i < count; ++i) threads.push_back(&scheduler.create(batons[i], i, running));
    }

    /// The running thread announces; the chosen one runs.
    ThreadId step(Operation operation) {
        if (operation.variable) operation.variable = scheduler.variable(operation.variable, 0);
        Thread* next = scheduler.announce(*running, operation);
        if (next) running = next;
        return next ? next->id : kNobody;
    }
};

void the_running_thread_continues() {
    World world({});
    for (int i = 0; i < 5; ++i) CHECK(world.step(access(1, true)) == 0);
    CHECK(world.scheduler.log().size() == 5);
    CHECK(world.scheduler.log()[0].enabled == 0b111);
    world.scheduler.check();
}

/// A step of a thread at a site.
Step step_at(ThreadId thread, VariableId variable, bool write, std::uint64_t site) {
    Step step{};
    step.thread = thread;
    step.variable = variable;
    step.write = write;
    step.site = site;
    return step;
}

void accesses_to_what_two_threads_share_and_one_writes_matter() {
    std::vector<Step> log{
        step_at(0, 1, true, 10),                             // before there are two threads
        step_at(1, 1, false, 11), step_at(2, 1, false, 12),  // only read
        step_at(1, 2, true, 13),  step_at(1, 2, true, 14),   // of one thread
        step_at(2, 3, true, 17),  step_at(1, 3, false, 16), step_at(1, 3, true, 17),  // shared
        step_at(1, 0, true, 18),  step_at(2, 0, true, 19),                            // of no variable
        step_at(1, 3, true, 0),                                                       // at no site
    };
    CHECK((shared_sites(log, 1) == std::vector<std::uint64_t>{16, 17}));
    CHECK((shared_sites(log, 0) == std::vector<std::uint64_t>{10, 11, 12, 16, 17}));
    CHECK(shared_sites({}, 0).empty());
}

void a_prefix_is_followed() {
    World world({.prefix = {0, 1, 1, 2, 0}});
    CHECK(world.step(access(1, true)) == 0);
    CHECK(world.step(access(1, true)) == 1);
    CHECK(world.step(access(2, true)) == 1);
    CHECK(world.step(access(2, true)) == 2);
    CHECK(world.step(access(2, true)) == 0);
    world.scheduler.check();
}

void a_prefix_that_cannot_be_followed_ends_the_run() {
    World world({.prefix = {0, 5}});
    CHECK(world.step(access(1, true)) == 0);
    CHECK(world.step(access(1, true)) == kNobody);
    CHECK(world.scheduler.ending() == Ending::kDiverged);
    CHECK(world.scheduler.diverged_at() == 1);
    CHECK(world.scheduler.answer(*world.running) == Answer::kAbort);
}

void a_thread_that_is_not_ready_is_not_chosen() {
    bool free = false;
    World world({}, 2);
    Operation waits{
        .kind = StepKind::kAcquire, .write = true, .variable = 1, .subject = &free, .is_ready = is_set};
    CHECK(world.step(waits) == 1);
    free = true;
    CHECK(world.scheduler.leave(*world.threads[1]) == world.threads[0]);
    CHECK(world.scheduler.answer(*world.threads[0]) == Answer::kExecute);
}

void a_deadlock_is_noticed() {
    bool free = false;
    World world({}, 2);
    Operation waits{.kind = StepKind::kAcquire, .subject = &free, .is_ready = is_set};
    CHECK(world.step(waits) == 1);
    CHECK(world.step(waits) == kNobody);
    CHECK(world.scheduler.ending() == Ending::kDeadlock);
    // the other one unwinds, and then the thread that runs the test
    CHECK(world.scheduler.leave(*world.threads[1]) == world.threads[0]);
    CHECK(world.scheduler.leave(*world.threads[0]) == nullptr);
}

void time_passes_only_when_no_thread_can_run() {
    bool free = false;
    World world({}, 2);
    Time before = world.scheduler.now();
    Operation waits{.kind = StepKind::kAcquire,
                    .subject = &free,
                    .is_ready = is_set,
                    .deadline = world.scheduler.deadline(1.5)};
    CHECK(world.step(waits) == 1);
    CHECK(world.scheduler.now() == before);
    CHECK(world.scheduler.leave(*world.threads[1]) == world.threads[0]);
    CHECK(world.scheduler.now() == before + 1'500'000'000);
    CHECK(world.scheduler.answer(*world.threads[0]) == Answer::kTimedOut);
}

void the_first_deadline_is_first() {
    World world({}, 2);
    Operation sleeps{.kind = StepKind::kSleep, .deadline = world.scheduler.deadline(2)};
    CHECK(world.step(sleeps) == 1);
    sleeps.deadline = world.scheduler.deadline(1);
    CHECK(world.step(sleeps) == 1);  // its own is earlier
    CHECK(world.scheduler.answer(*world.threads[1]) == Answer::kExecute);
}

void a_timeout_may_come_at_any_time() {
    bool free = false;
    World world({.prefix = {0}, .timeouts_any = true}, 2);
    Operation waits{.kind = StepKind::kAcquire,
                    .subject = &free,
                    .is_ready = is_set,
                    .deadline = world.scheduler.deadline(1)};
    CHECK(world.step(waits) == 0);
    CHECK(world.scheduler.answer(*world.threads[0]) == Answer::kTimedOut);
}

void a_run_of_too_many_steps_ends() {
    World world({.most_steps = 10});
    for (int i = 0; i < 10; ++i) CHECK(world.step(access(1, true)) != kNobody);
    CHECK(world.step(access(1, true)) == kNobody);
    CHECK(world.scheduler.ending() == Ending::kTooLong);
}

void a_loop_that_waits_lets_others_go_first() {
    World world({});
    for (std::uint32_t i = 0; i < Scheduler::kFairness; ++i) CHECK(world.step(access(1, false)) == 0);
    CHECK(world.step(access(1, false)) == 1);
}

Operation read_at(std::uint64_t site, VariableId variable) {
    Operation operation = access(variable, false);
    operation.site = site;
    return operation;
}

void a_thread_that_repeats_a_read_lets_another_take_a_step() {
    World world({}, 2);
    CHECK(world.step(read_at(10, 1)) == 0);
    CHECK(world.step(read_at(11, 2)) == 0);
    CHECK(world.step(read_at(10, 1)) == 0);
    CHECK(world.step(read_at(11, 2)) == 1);  // the read at 10 was repeated
    CHECK(!(world.scheduler.log().back().enabled & only(0)));
    CHECK(world.step(access(3, true)) == 1);
    CHECK(world.scheduler.log().back().enabled == 0b11);
}

void a_read_of_a_changed_variable_is_no_repetition() {
    World world({.prefix = {0, 1, 1}}, 2);
    CHECK(world.step(read_at(10, 1)) == 0);
    CHECK(world.step(read_at(10, 1)) == 1);
    CHECK(world.step(access(1, true)) == 1);
    CHECK(world.scheduler.leave(*world.threads[1]) == world.threads[0]);
    CHECK(!world.threads[0]->spins);
}

void a_loop_that_starts_threads_does_not_wait() {
    World world({}, 2);
    for (int i = 0; i < 3; ++i) {
        CHECK(world.step(read_at(10, 1)) == 0);
        world.scheduler.create(world.batons[2], 0, world.threads[0]);
    }
}

void a_thread_that_repeats_a_read_continues_if_no_other_can() {
    World world({}, 1);
    for (int i = 0; i < 5; ++i) CHECK(world.step(read_at(10, 1)) == 0);
}

void others_go_on_while_a_thread_is_outside() {
    World world({}, 2);
    CHECK(world.step(access(1, true)) == 0);
    CHECK(world.scheduler.put_outside(*world.threads[0]) == world.threads[1]);
    world.running = world.threads[1];
    CHECK(world.step(access(1, true)) == 1);
    CHECK(world.scheduler.log().back().enabled == 0b10);
    // nobody else is left, and the run is not over
    CHECK(world.scheduler.leave(*world.threads[1]) == nullptr);
    CHECK(!world.scheduler.is_over());
    CHECK(world.scheduler.resume() == nullptr);
    world.scheduler.come_back(0);
    CHECK(world.scheduler.resume() == world.threads[0]);
    CHECK(world.scheduler.log().back().kind == StepKind::kReturn);
    CHECK(world.scheduler.outside() == 0);
    CHECK(world.scheduler.uncontrolled());
    world.scheduler.check();
}

void time_passes_after_waits_outside() {
    World world({}, 2);
    CHECK(world.step({.kind = StepKind::kSleep, .deadline = world.scheduler.deadline(1)}) == 1);
    Time before = world.scheduler.now();
    CHECK(world.scheduler.put_outside(*world.threads[1]) == nullptr);
    CHECK(world.scheduler.now() == before);
    CHECK(world.scheduler.let_time_pass());
    CHECK(world.scheduler.resume() == world.threads[0]);
    CHECK(world.scheduler.now() == before + 1'000'000'000);
}

void a_run_ends_without_the_threads_that_are_abandoned() {
    World world({.prefix = {1}}, 2);
    CHECK(world.step(access(1, true)) == 1);
    CHECK(world.scheduler.put_outside(*world.threads[1]) == world.threads[0]);
    CHECK(world.scheduler.leave(*world.threads[0]) == nullptr);
    world.scheduler.abandon(1);
    CHECK(world.scheduler.resume() == world.threads[0]);  // which waits for the end
    CHECK(world.scheduler.ending() == Ending::kComplete);
}

void sleeping_threads_wake_up_by_a_dependent_step() {
    // thread 1 sleeps from the first step on; thread 0 reads, which depends on nothing that 1 would do
    World world({.prefix = {1, 0}, .asleep = 0b010}, 2);
    CHECK(world.step(access(1, false)) == 1);  // begins
    CHECK(world.step(access(1, true)) == 0);   // 1 would write, 0 reads: dependent, so 1 is awake
    CHECK(world.step(access(2, false)) == 0);
    CHECK(world.scheduler.log().back().asleep == 0);
}

void a_run_ends_where_all_threads_sleep() {
    World world({.prefix = {1, 0}, .asleep = 0b010}, 2);
    CHECK(world.step(access(1, false)) == 1);
    CHECK(world.step(access(2, true)) == 0);  // independent: 1 goes on sleeping
    CHECK(world.scheduler.leave(*world.threads[0]) != nullptr);
    CHECK(world.scheduler.ending() == Ending::kExplored);
}

void the_same_seed_gives_the_same_schedule() {
    for (Policy policy : {Policy::kRandom, Policy::kPriorities, Policy::kPartialOrder}) {
        auto schedule = [&](std::uint64_t seed) {
            World world({.policy = policy, .seed = seed});
            for (VariableId i = 0; i < 40; ++i) world.step(access(i % 3 + 1, i % 2 == 0));
            std::vector<ThreadId> threads;
            for (const Step& step : world.scheduler.log()) threads.push_back(step.thread);
            world.scheduler.check();
            return threads;
        };
        CHECK(schedule(1) == schedule(1));
        std::vector<std::vector<ThreadId>> all;
        for (std::uint64_t seed = 0; seed < 20; ++seed) all.push_back(schedule(seed));
        std::sort(all.begin(), all.end());
        CHECK(std::unique(all.begin(), all.end()) - all.begin() > 5);
    }
}

void the_sixty_fifth_thread_is_refused() {
    World world({}, 1);
    for (int i = 1; i < kMostThreads; ++i) world.scheduler.create(world.batons[1], 0, world.threads[0]);
    try {
        world.scheduler.create(world.batons[1], 0, world.threads[0]);
        CHECK(false);
    } catch (const std::length_error&) {
    }
}

/// Threads of the system hand the baton to each other: what they do in between needs no lock.
void batons_order_what_threads_do() {
    constexpr int kSteps = 2000;
    Scheduler scheduler;
    std::vector<Baton> batons{3};
    int shared = 0;
    Thread& main =
        scheduler.begin({.policy = Policy::kRandom, .seed = 7, .most_steps = 1'000'000}, batons[0]);
    auto step = [&](Thread& me) {
        Thread* next = scheduler.announce(me, access(scheduler.variable(1, 0), true));
        if (next && next != &me) {
            next->baton->give();
            me.baton->wait();
        }
        ++shared;
    };
    std::vector<std::thread> system;
    for (int i = 1; i < 3; ++i) {
        Thread& made = scheduler.create(batons[i], 0, &main);
        system.emplace_back([&, thread = &made] {
            thread->baton->wait();
            for (int j = 0; j < kSteps; ++j) step(*thread);
            if (Thread* next = scheduler.leave(*thread)) next->baton->give();
        });
    }
    for (int j = 0; j < kSteps; ++j) step(main);
    if (Thread* next = scheduler.leave(main)) {
        next->baton->give();
        batons[0].wait();
    }
    for (auto& each : system) each.join();
    CHECK(scheduler.ending() == Ending::kComplete);
    CHECK(shared == 3 * kSteps);
    scheduler.check();
}

}  // namespace

int main() {
    the_running_thread_continues();
    accesses_to_what_two_threads_share_and_one_writes_matter();
    a_prefix_is_followed();
    a_prefix_that_cannot_be_followed_ends_the_run();
    a_thread_that_is_not_ready_is_not_chosen();
    a_deadlock_is_noticed();
    time_passes_only_when_no_thread_can_run();
    the_first_deadline_is_first();
    a_timeout_may_come_at_any_time();
    a_run_of_too_many_steps_ends();
    a_loop_that_waits_lets_others_go_first();
    a_thread_that_repeats_a_read_lets_another_take_a_step();
    a_read_of_a_changed_variable_is_no_repetition();
    a_loop_that_starts_threads_does_not_wait();
    a_thread_that_repeats_a_read_continues_if_no_other_can();
    others_go_on_while_a_thread_is_outside();
    time_passes_after_waits_outside();
    a_run_ends_without_the_threads_that_are_abandoned();
    sleeping_threads_wake_up_by_a_dependent_step();
    a_run_ends_where_all_threads_sleep();
    the_same_seed_gives_the_same_schedule();
    the_sixty_fifth_thread_is_refused();
    batons_order_what_threads_do();
    std::puts("scheduler: ok");
    return 0;
}
