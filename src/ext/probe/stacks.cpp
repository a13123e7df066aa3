/// Captures the stacks of stacks.hpp from the interpreter's frames.

#include "ext/probe/internals.hpp"

#ifdef THREADPROOF_PROBE

#include "ext/probe/sites.hpp"
#include "ext/probe/stacks.hpp"

namespace threadproof::probe {
namespace {

/// The stacks that this thread captured lately, by a hash of their frames. 128 kB a thread: recursion makes
/// many stacks of few functions.
thread_local NumberCache<8192> recent_stacks;

/// The frame to begin with, if `from_here`; null in a thread that has none yet.
constinit thread_local RunningFrame* here = nullptr;
constinit thread_local bool from_here = false;

RunningFrame* first_frame() { return from_here ? here : innermost_frame(); }

/// The offset of the frame's current instruction, or of the site that is instrumented there.
std::int64_t offset_in(RunningFrame* frame) {
    std::int64_t unit = unit_in(frame);
    const CodeSites* code = sites_of(code_of(frame));
    const Site* site = code ? code->at(static_cast<std::size_t>(unit)) : nullptr;
    return (site ? site->instruction : unit) * static_cast<std::int64_t>(kCodeUnit);
}

std::uint32_t store_stack(std::size_t most) {
    Depot<Frame>::Sequence frames;
    frames.reserve(most);
    for (RunningFrame* frame = python_frame(first_frame()); frame && frames.size() < most;
         frame = caller_of(frame))
        frames.push_back({reinterpret_cast<std::uintptr_t>(code_of(frame)), offset_in(frame)});
    return call_stacks().number_of(frames, [](const auto& kept) {
        for (const Frame& frame : kept) Py_INCREF(reinterpret_cast<PyObject*>(frame.code));
    });
}

}  // namespace

Depot<Frame>& call_stacks() {
    static auto& stacks = *new Depot<Frame>;  // never destroyed: reports are made until the process ends
    return stacks;
}

FromHere::FromHere() {
    here = innermost_frame();
    from_here = true;
}
FromHere::~FromHere() { from_here = false; }

std::uint32_t capture_stack(std::size_t frames) {
    std::uint64_t hash = hash_on(kHashSeed, frames);
    each_call(first_frame(), frames, [&](std::uint64_t call) { hash = hash_on(hash, call); });
    return recent_stacks.number_of(hash, [frames] { return store_stack(frames); });
}

PyObject* innermost_code() {
    RunningFrame* frame = python_frame(innermost_frame());
    return frame ? code_of(frame) : nullptr;
}

std::uint64_t innermost_call() {
    std::uint64_t found = 0;
    each_call(python_frame(innermost_frame()), 1, [&](std::uint64_t call) { found = call; });
    return found;
}

void forget_thread_locals() { forget_locals(); }

std::uint32_t capture_stack_of(PyThreadState* thread, std::size_t frames) {
    here = thread->current_frame;
    from_here = true;
    std::uint32_t stack = store_stack(frames);
    from_here = false;
    return stack;
}

Caller caller() {
    RunningFrame* frame = python_frame(innermost_frame());
    return frame ? owner_of_code(code_of(frame)) : Caller::kLibrary;
}

Caller program_caller() {
    for (RunningFrame* frame = python_frame(innermost_frame()); frame; frame = caller_of(frame)) {
        Caller owner = owner_of_code(code_of(frame));
        if (owner != Caller::kUninstrumented) return owner;
    }
    return Caller::kLibrary;
}

}  // namespace threadproof::probe

#endif
