/// The sampler's thread: which threads sleep at a lock of the interpreter, and whose.

#include "ext/probe/internals.hpp"

#include "ext/watch/sampler.hpp"

#ifdef THREADPROOF_SAMPLER

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <utility>

#include "ext/probe/stacks.hpp"
#include "ext/watch/refcounts.hpp"

namespace threadproof::ext {
namespace {

constexpr std::size_t kDeepest = 64;    // frames, as for other waits
constexpr std::int64_t kInterval = 5'000'000;  // ns: 200 samples a second, 0.1 % of a core with 16 threads
constexpr std::int64_t kSpared = 100;  // times as long as the world was stopped it runs: 1 % of the time
constexpr std::uint64_t kCountsEach = 4;  // ticks between two looks at reference counts: 20 ms
constexpr std::int64_t kLongest = 50'000'000;  // ns between two samples, however long a stop takes
constexpr std::size_t kMostSamples = 10'000;  // different ones: 1 MB

std::int64_t clock_now() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * std::int64_t{1'000'000'000} + time.tv_nsec;
}

/// A word of this process; nothing where no memory is: the thread whose stack it was may have ended.
std::optional<std::uint64_t> word_at(std::uint64_t address) {
    std::uint64_t word;
    iovec here{&word, sizeof word}, there{reinterpret_cast<void*>(address), sizeof word};
    if (process_vm_readv(getpid(), &here, 1, &there, 1, 0) != sizeof word) return {};
    return word;
}

/// The name of the type of the object with this lock; empty if there is no object. The world is stopped, and a thread
/// that uses the object sleeps.
std::string type_of(std::uint64_t mutex) {
    std::uint64_t object = reinterpret_cast<std::uint64_t>(probe::object_of_lock(mutex));
    if (object % alignof(PyObject)) return {};
    auto type = word_at(object + offsetof(PyObject, ob_type));
    auto meta = type ? word_at(*type + offsetof(PyObject, ob_type)) : std::nullopt;
    auto flags = meta ? word_at(*meta + offsetof(PyTypeObject, tp_flags)) : std::nullopt;
    if (!flags || !(*flags & Py_TPFLAGS_TYPE_SUBCLASS)) return {};
    return reinterpret_cast<PyTypeObject*>(*type)->tp_name;
}

}  // namespace

Sampler& sampler() {
    static auto& one = *new Sampler;  // never destroyed: its thread may run until the process ends
    return one;
}

void Sampler::start() {
    std::lock_guard hold(control_);
    if (thread_.joinable()) return;
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
}

std::map<SampledWait, WaitSum> Sampler::waits() {
    std::lock_guard hold(mutex_);
    return samples_;
}

std::map<SampledCount, CountSum> Sampler::counts() {
    std::lock_guard hold(mutex_);
    return counts_;
}

/// Signals of the program are for its own threads.
void Sampler::run() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
    std::int64_t last = clock_now(), pause = kInterval;
    for (std::uint64_t tick = 0; !stopping_.load(std::memory_order_relaxed); ++tick) {
        std::this_thread::sleep_for(std::chrono::nanoseconds(pause));
        std::vector<int> running;
        std::vector<Parked> parked = parked_threads(running);
        std::int64_t begin = clock_now(), since = begin - std::exchange(last, begin);
        bool look_at_counts = running.size() >= 2 && tick % kCountsEach == 0;
        if (!parked.empty() || look_at_counts) {
            PyGILState_STATE state = PyGILState_Ensure();
            {
                probe::Suspension suspension;
                if (!parked.empty()) record(parked, since);
                if (look_at_counts) record_counts(running);
            }
            PyGILState_Release(state);
        }
        pause = std::clamp(kSpared * (clock_now() - begin), kInterval, kLongest);
    }
    for (auto [task, file] : files_) close(file);
    files_.clear();
}

std::vector<Sampler::Parked> Sampler::parked_threads(std::vector<int>& running) {
    std::vector<Parked> parked;
    DIR* tasks = opendir("/proc/self/task");
    if (!tasks) return parked;
    int own = static_cast<int>(syscall(SYS_gettid));
    while (dirent* entry = readdir(tasks)) {
        int task = std::atoi(entry->d_name);
        Parked each{task, 0};
        bool runs = false;
        if (task > 0 && task != own && read_parked(task, each, runs)) parked.push_back(each);
        if (runs) running.push_back(task);
    }
    closedir(tasks);
    return parked;
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
    auto mutex = word_at(futex - sizeof(std::uint64_t));
    if (!mutex || *mutex < 4096) return false;
    parked.mutex = *mutex;
    return true;
}

/// Where a thread was when the world was stopped.
struct Sampler::Stopped {
    PyThreadState* thread;
    std::vector<std::uint64_t> locks;  // of objects, the innermost first; 0: it is about to get one
    bool waits() const { return !locks.empty() && locks.front() == 0; }
    bool has(std::uint64_t mutex) const { return std::find(locks.begin(), locks.end(), mutex) != locks.end(); }
};

/// The thread may have been woken since: by the stop, at which the holder gave up the lock, and then it still waits to
/// get it; or before, and then it is not counted.
std::optional<SampledWait> Sampler::wait_of(const Parked& parked, const std::vector<Stopped>& threads) {
    const Stopped *waiting = nullptr, *holding = nullptr;
    bool stopped_world = false;
    for (const Stopped& each : threads) {
        if (static_cast<int>(each.thread->native_thread_id) == parked.task) waiting = &each;
        else if (each.has(parked.mutex)) holding = &each;
        stopped_world |= reinterpret_cast<std::uint64_t>(&each.thread->state) == parked.mutex;
    }
    std::string type = stopped_world ? "" : type_of(parked.mutex);
    if (!waiting || (!stopped_world && (type.empty() || !waiting->waits()))) return {};
    auto object = reinterpret_cast<std::uint64_t>(probe::object_of_lock(parked.mutex));
    return SampledWait{waiting->thread->thread_id,
                       stopped_world ? 0 : object,
                       type,
                       probe::capture_stack_of(waiting->thread, kDeepest),
                       holding ? probe::capture_stack_of(holding->thread, kDeepest) : 0,
                       holding ? holding->thread->thread_id : 0};
}

void Sampler::record(const std::vector<Parked>& parked, std::int64_t since) {
    std::map<SampledWait, std::uint64_t> seen;
    {
        probe::StoppedWorld world;
        std::vector<Stopped> threads;
        world.each_thread([&](PyThreadState* thread) {
            Stopped& stopped = threads.emplace_back(Stopped{thread, {}});
            probe::each_object_lock(thread, [&](std::uintptr_t mutex) { stopped.locks.push_back(mutex); });
        });
        for (const Parked& each : parked)
            if (auto wait = wait_of(each, threads)) ++seen[*wait];
    }
    std::lock_guard hold(mutex_);
    for (const auto& [wait, count] : seen)
        if (samples_.size() < kMostSamples || samples_.contains(wait)) {
            samples_[wait].samples += count;
            samples_[wait].nanoseconds += count * static_cast<std::uint64_t>(since);
        }
}

void Sampler::record_counts(const std::vector<int>& running) {
    std::vector<ChangingCount> changing = changing_counts(running);
    std::lock_guard hold(mutex_);
    for (const ChangingCount& each : changing) {
        if (counts_.size() >= kMostSamples && !counts_.contains(each.which)) continue;
        CountSum& sum = counts_[each.which];
        ++sum.samples;
        sum.changes += each.changes;
        sum.nanoseconds += each.nanoseconds;
    }
}

}  // namespace threadproof::ext

#endif
