/// Samples the waits that no function shows: for the interpreter's own locks of objects, and for a world that is
/// stopped; and objects whose reference counts several threads change.
///
/// A thread that waits for such a lock sleeps at a semaphore on its own stack, in the entry of the interpreter's
/// parking lot, and the address of the lock is the word before it. Linux shows the address of the semaphore in
/// /proc/self/task/<thread>/syscall. So a sample costs the thread nothing. The stacks of the thread that sleeps, and of
/// the thread that holds the lock, are read while they go on (ext/probe/other_threads.hpp).
///
/// Field             | written                      | read    | guard
/// ------------------|------------------------------|---------|--------------------------------------
/// stopping_, done_  | relaxed                      | relaxed | none: seen at the next sample, the next start
/// thread_           | by start() and stop()        |         | control_
/// samples_, counts_ | plain                        | plain   | mutex_, for a few steps
/// stacks_           | record(), forget()           | frames()| mutex_; then its own
/// codes_            | by the sampler's thread      | frames()| its own
#pragma once

#include "ext/probe/other_threads.hpp"

#ifdef THREADPROOF_SAMPLER

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

namespace threadproof::ext {

/// A wait that was sampled. Threads are named by their identifiers, since their numbers are their own.
struct SampledWait {
    unsigned long thread;
    std::uint64_t object;  // its address; 0: the world was stopped
    std::string type;      // of the object; empty: a lock of the interpreter that is in no object
    std::uint32_t stack, holder_stack;  // of Sampler::frames()
    unsigned long holder;               // 0: not known
    auto operator<=>(const SampledWait&) const = default;
};

/// Each sample stands for the time since the one before.
struct WaitSum {
    std::uint64_t samples = 0, nanoseconds = 0;
};

/// An object whose reference count was changing when it was looked at.
struct SampledCount {
    std::uint64_t object;
    std::string type, name;            // name: as a thread's code has it
    std::uint32_t stack, other_stack;  // of probe::call_stacks()
    auto operator<=>(const SampledCount&) const = default;
};
struct CountSum {
    std::uint64_t samples = 0, changes = 0, nanoseconds = 0;
};

class Sampler {
 public:
    /// Whether the system lets this process read its own memory and state through the kernel: some containers do not.
    static bool works();
    void start();  // throws std::system_error if there can be no thread
    /// The caller is attached; it is detached meanwhile.
    void stop();
    /// Around a fork in the parent; for the child, which has no such thread.
    void forget();

    std::map<SampledWait, WaitSum> waits();
    std::map<SampledCount, CountSum> counts();
    /// The stack of this number, the innermost frame first: copies of code, with the offset of the instruction.
    std::vector<std::pair<probe::CodeCopy, std::int64_t>> frames(std::uint32_t stack);
    /// Asserts the invariants; std::logic_error if one is broken.
    void check();

 private:
    struct Parked {
        int task;             // the kernel's number of the thread
        std::uint64_t mutex;  // the address of the lock for which it sleeps
    };

    void run();
    /// A thread that sleeps at a lock, and the one that holds it, before their stacks have numbers.
    struct Seen {
        unsigned long thread, holder;
        std::uint64_t object;
        std::string type;
        std::vector<probe::Frame> frames, holder_frames;
    };

    struct Tasks {
        std::vector<Parked> parked;
        std::vector<int> running;
        std::size_t count = 0;  // without the sampler's own
    };

    static std::unique_ptr<probe::Depot<probe::Frame>> new_depot();

    Tasks read_tasks();
    std::vector<Seen> look_at_all(const std::vector<Parked>& parked);
    std::optional<Seen> look_at(const Parked& parked, const std::vector<probe::OtherThread>& threads);
    bool read_parked(int task, Parked& parked, bool& running);
    void record(const std::vector<Seen>& seen, std::int64_t since);
    std::int64_t record_counts(const std::vector<int>& running);

    std::mutex control_;
    std::thread thread_;
    std::atomic<bool> stopping_{false};
    std::atomic<bool> done_{false};
    std::mutex mutex_;
    std::map<SampledWait, WaitSum> samples_;
    std::map<SampledCount, CountSum> counts_;
    std::unique_ptr<probe::Depot<probe::Frame>> stacks_ = new_depot();
    probe::CodeCopies codes_;
    std::unordered_map<int, int> files_;  // the open file of each task; of the sampler's thread only
};

Sampler& sampler();

}  // namespace threadproof::ext

#endif
