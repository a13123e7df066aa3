/// Call stacks, and the owner of the code that called a C function. CPython's frames are read in
/// internals.hpp.
#pragma once

#include "core/probe/depot.hpp"
#include "ext/probe/events.hpp"

namespace threadproof::probe {

/// One line of a call stack: a code object, and the offset of its current instruction.
struct Frame {
    std::uintptr_t code;
    std::int64_t offset;
    friend bool operator==(const Frame&, const Frame&) = default;
};

/// Frames of the probe and of threading.py above the program's frames, if Python code publishes. The stack is
/// captured that many frames deeper then.
inline constexpr std::size_t kOwnFrames = 4;

/// The number of the thread's call stack in call_stacks(), innermost frame first. Its code objects are kept
/// for the life of the process.
std::uint32_t capture_stack(std::size_t frames);

/// The same of another thread, while the world is stopped.
std::uint32_t capture_stack_of(PyThreadState* thread, std::size_t frames);

Depot<Frame>& call_stacks();

/// While there is one, the thread's stacks are captured from the frame that was the innermost one when it was
/// made: a callback that asks for the place of its event has frames of its own.
class FromHere {
 public:
    FromHere();
    ~FromHere();
    FromHere(const FromHere&) = delete;
    FromHere& operator=(const FromHere&) = delete;
};

/// The owner of the code that the innermost Python frame runs.
enum class Caller : std::uint8_t {
    kProgram,         // code that is instrumented
    kLibrary,         // other code
    kUninstrumented,  // library code whose locks do not order the program
};
Caller caller();
/// The same for the innermost frame that runs no uninstrumented code: the caller of a structure in Python.
Caller program_caller();

/// The code of the innermost Python frame, borrowed; null if there is none.
PyObject* innermost_code();

/// The instruction that the innermost frame executes: equal words are, but for chance, equal instructions.
std::uint64_t innermost_call();

/// What the calling thread has of each threading.local goes, as at the thread's end.
void forget_thread_locals();

}  // namespace threadproof::probe
