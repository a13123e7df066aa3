/// The sampler's thread: which threads sleep at a lock of the interpreter, and whose.

#include "ext/probe/internals.hpp"

#include "ext/watch/sampler.hpp"

#ifdef THREADPROOF_SAMPLER

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <utility>

#include "ext/probe/stacks.hpp"
#include "ext/watch/refcounts.hpp"

namespace threadproof::ext {
namespace {

constexpr std::size_t kDeepest = 64;            // frames, as for other waits
constexpr std::int64_t kInterval = 10'000'000;  // ns: 100 samples a second, as other profilers take
constexpr std::int64_t kSpared = 50;  // times as long as the world was stopped it runs: 2 % of the time
constexpr std::int64_t kCountsEach = 50'000'000;  // ns between two looks at reference counts, at least
constexpr std::size_t kMostSamples = 10'000;      // different ones: 1 MB

std::int64_t clock_now() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * std::int64_t{1'000'000'000} + time.tv_nsec;
}

}  // namespace

Sampler& sampler() {
    static auto& one = *new Sampler;  // never destroyed: its thread may run until the process ends
    return one;
}

bool Sampler::works() {
    static const std::uint64_t word = 1;
    return probe::word_at(reinterpret_cast<std::uint64_t>(&word)) == word
           && access("/proc/thread-self/syscall", R_OK) == 0;
}

void Sampler::start() {
    std::lock_guard hold(control_);
    if (thread_.joinable() && !done_.load(std::memory_order_relaxed)) return;
    if (thread_.joinable()) thread_.join();  // it has ended by itself
    done_.store(false, std::memory_order_relaxed);
    stopping_.store(false, std::memory_order_relaxed);
    thread_ = std::thread([this] { run(); });
}

void Sampler::stop() {
    std::lock_guard hold(control_);
    if (!thread_.joinable()) return;
    stopping_.store(true, std::memory_order_relaxed);
    Py_BEGIN_ALLOW_THREADS thread_.join();
    Py_END_ALLOW_THREADS
}

void Sampler::forget() {
    std::lock_guard hold(mutex_);
    samples_.clear();
    counts_.clear();
    stacks_ = new_depot();
    codes_.clear();
}

std::map<SampledWait, WaitSum> Sampler::waits() {
    std::lock_guard hold(mutex_);
    return samples_;
}

std::map<SampledCount, CountSum> Sampler::counts() {
    std::lock_guard hold(mutex_);
    return counts_;
}

std::vector<std::pair<probe::CodeCopy, std::int64_t>> Sampler::frames(std::uint32_t stack) {
    std::lock_guard hold(mutex_);
    std::vector<std::pair<probe::CodeCopy, std::int64_t>> frames;
    if (stack > stacks_->count()) return frames;
    for (const probe::Frame& frame : stacks_->get(stack))
        frames.emplace_back(codes_.get(static_cast<std::uint32_t>(frame.code)), frame.offset);
    return frames;
}

void Sampler::check() {
    std::lock_guard hold(mutex_);
    stacks_->check();
    codes_.check();
}

std::unique_ptr<probe::Depot<probe::Frame>> Sampler::new_depot() {
    return std::make_unique<probe::Depot<probe::Frame>>(kMostSamples);
}

/// Signals of the program are for its own threads. Once one thread is left, there is nothing to sample, and a program
/// that forks then must not have two.
void Sampler::run() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
    std::int64_t last = clock_now(), next_counts = last + kCountsEach;
    while (!stopping_.load(std::memory_order_relaxed)) {
        std::this_thread::sleep_for(std::chrono::nanoseconds(kInterval));
        std::int64_t begin = clock_now(), since = begin - std::exchange(last, begin);
        Tasks tasks = read_tasks();
        if (tasks.count < 2) break;
        std::vector<Seen> seen = look_at_all(tasks.parked);
        bool counts = tasks.running.size() >= 2 && begin >= next_counts;
        record(seen, since);
        if (!counts) continue;
        PyGILState_STATE state = PyGILState_Ensure();
        {
            probe::Suspension suspension;
            next_counts = record_counts(tasks.running);
        }
        PyGILState_Release(state);
    }
    for (auto [task, file] : files_) close(file);
    files_.clear();
    done_.store(true, std::memory_order_relaxed);
}

Sampler::Tasks Sampler::read_tasks() {
    Tasks tasks;
    DIR* folder = opendir("/proc/self/task");
    if (!folder) return tasks;
    int own = static_cast<int>(syscall(SYS_gettid));
    // NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread reads this folder
    while (dirent* entry = readdir(folder)) {
        int task = static_cast<int>(std::strtol(entry->d_name, nullptr, 10));  // 0: `.` and `..`
        if (task == 0 || task == own) continue;
        Parked each{task, 0};
        bool running = false;
        if (read_parked(task, each, running)) tasks.parked.push_back(each);
        if (running) tasks.running.push_back(task);
        ++tasks.count;
    }
    closedir(folder);
    return tasks;
}

std::vector<Sampler::Seen> Sampler::look_at_all(const std::vector<Parked>& parked) {
    std::vector<Seen> seen;
    if (parked.empty()) return seen;
    std::vector<probe::OtherThread> threads = probe::other_threads();
    for (const Parked& each : parked)
        if (auto one = look_at(each, threads)) seen.push_back(std::move(*one));
    return seen;
}

/// `202 0x7f...`: the thread sleeps at a futex of this address; `running`: it does not sleep.
bool Sampler::read_parked(int task, Parked& parked, bool& running) {
    auto [found, fresh] = files_.try_emplace(task, -1);
    if (fresh) {
        std::string path = "/proc/self/task/" + std::to_string(task) + "/syscall";
        found->second = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    }
    char text[64];
    ssize_t size = found->second < 0 ? -1 : pread(found->second, text, sizeof text - 1, 0);
    if (size <= 0) {  // it has ended
        if (found->second >= 0) close(found->second);
        files_.erase(found);
        return false;
    }
    text[size] = 0;
    running = text[0] == 'r';
    char* rest;
    if (std::strtol(text, &rest, 10) != SYS_futex || rest == text) return false;
    std::uint64_t futex = std::strtoull(rest, nullptr, 16);
    auto mutex = probe::word_at(futex - sizeof(std::uint64_t));
    if (!mutex || *mutex < 4096) return false;
    parked.mutex = *mutex;
    return true;
}

/// Nothing if the thread has gone on meanwhile, or sleeps at something else.
std::optional<Sampler::Seen> Sampler::look_at(const Parked& parked,
                                              const std::vector<probe::OtherThread>& threads) {
    Seen seen{0, 0, probe::object_of_mutex(parked.mutex), "", {}, {}};
    const probe::OtherThread* waiting = nullptr;
    auto holds = [&](const probe::OtherThread& thread) {
        auto locks = probe::object_locks(thread);
        return std::find(locks.begin(), locks.end(), parked.mutex) != locks.end();
    };
    for (const probe::OtherThread& each : threads) {
        if (each.state == parked.mutex) seen.object = 0;
        if (each.task == parked.task) waiting = &each;
        else if (seen.holder == 0 && holds(each)) {
            seen.holder_frames = probe::frames_of(each, kDeepest, codes_);
            if (holds(each)) seen.holder = each.ident;  // still: so they are of that time
            else seen.holder_frames.clear();
        }
    }
    if (!waiting) return {};
    seen.thread = waiting->ident;
    seen.frames = probe::frames_of(*waiting, kDeepest, codes_);
    if (seen.object) {
        seen.type = probe::type_of_object(seen.object);
        auto locks = probe::object_locks(*waiting);
        if (seen.type.empty() || locks.empty() || locks.front() != 0) return {};
    }
    Parked again{parked.task, 0};
    bool running = false;
    if (!read_parked(parked.task, again, running) || again.mutex != parked.mutex) return {};
    return seen;
}

void Sampler::record(const std::vector<Seen>& seen, std::int64_t since) {
    std::lock_guard hold(mutex_);
    for (const Seen& each : seen) {
        SampledWait wait{each.thread,
                         each.object,
                         each.type,
                         stacks_->number_of(each.frames),
                         stacks_->number_of(each.holder_frames),
                         each.holder};
        if (samples_.size() >= kMostSamples && !samples_.contains(wait)) continue;
        ++samples_[wait].samples;
        samples_[wait].nanoseconds += static_cast<std::uint64_t>(since);
    }
}

/// Returns the time of the next look: the world is stopped for at most 2 % of the time.
std::int64_t Sampler::record_counts(const std::vector<int>& running) {
    std::int64_t stopped = 0;
    std::vector<ChangingCount> changing = changing_counts(running, stopped);
    std::lock_guard hold(mutex_);
    for (const ChangingCount& each : changing) {
        if (counts_.size() >= kMostSamples && !counts_.contains(each.which)) continue;
        CountSum& sum = counts_[each.which];
        ++sum.samples;
        sum.changes += each.changes;
        sum.nanoseconds += each.nanoseconds;
    }
    return clock_now() + std::max(kSpared * stopped, kCountsEach);
}

}  // namespace threadproof::ext

#endif
