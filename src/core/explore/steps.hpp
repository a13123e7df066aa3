/// What a controlled thread announces before it does it, and what the log keeps of it.
#pragma once

#include <cstdint>
#include <limits>

namespace threadproof::explore {

/// The number of a thread within its run, in the order of creation; 0 is the one that runs the test.
using ThreadId = std::uint8_t;
/// A set of threads, a bit each.
using Threads = std::uint64_t;

inline constexpr ThreadId kMostThreads =
    64;  // as many as Threads has bits; a test of more is none to explore
inline constexpr ThreadId kNobody = kMostThreads;

constexpr Threads only(ThreadId thread) { return Threads{1} << thread; }

/// Nanoseconds of the virtual clock.
using Time = std::int64_t;
inline constexpr Time kNever = std::numeric_limits<Time>::max();

/// X(constant, name in Python).
#define TP_STEP_KINDS(X)   \
    X(kBegin, "begin")     \
    X(kAccess, "access")   \
    X(kAcquire, "acquire") \
    X(kTry, "try")         \
    X(kRelease, "release") \
    X(kSend, "send")       \
    X(kReceive, "receive") \
    X(kJoin, "join")       \
    X(kWait, "wait")       \
    X(kSleep, "sleep")     \
    X(kEnd, "end")         \
    X(kReturn, "return")

#define TP_STEP_CONSTANT(constant, name) constant,
enum class StepKind : std::uint8_t { TP_STEP_KINDS(TP_STEP_CONSTANT) };
#undef TP_STEP_CONSTANT

/// The number of a variable within its run, from 1 on, in the order of first use; 0 is none.
using VariableId = std::uint32_t;

/// A thread's next step. `is_ready(subject)` answers whether it could be taken now; null: always.
struct Operation {
    StepKind kind = StepKind::kBegin;
    bool write = false;
    VariableId variable = 0;
    void* subject = nullptr;
    bool (*is_ready)(void* subject) = nullptr;
    Time deadline = kNever;   // then it is taken in any case, and fails
    std::uint32_t stack = 0;  // of a run whose story is wanted
    std::uint64_t site = 0;   // the instruction of an access; 0: none
    std::uint64_t item = 0;   // of the variable, such as an index: another one is no repetition
};

/// Two steps of which it matters which is first.
constexpr bool are_dependent(const Operation& one, const Operation& other) {
    return one.variable != 0 && one.variable == other.variable && (one.write || other.write);
}

/// One line of the log: the step that was taken, and the choice that there was.
struct Step {
    ThreadId thread;
    StepKind kind;
    bool write;
    bool timed_out;
    bool choice;       // the search may choose here; else the running thread has to continue
    ThreadId running;  // took the step before; kNobody if it has ended
    VariableId variable;
    std::uint32_t stack;
    std::uint64_t site;
    Threads enabled;
    Threads asleep;  // of the enabled: what they would do next has been explored from here
};

}  // namespace threadproof::explore
