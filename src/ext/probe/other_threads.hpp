/// Other threads' frames and locks of objects, read while they run: for samples.
///
/// Everything is copied through the kernel, so memory that is gone is an error and no crash (code_copies.hpp). The facts
/// of a thread that runs may be of two moments; a caller reads a fact again that has to hold all the time, such as the lock at which
/// the thread sleeps. Stopping the world would be exact, but it waits for whoever sorts a long list, and stops everybody
/// meanwhile; and the holder of a lock gives it up before it stops.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ext/probe/code_copies.hpp"
#include "ext/probe/stacks.hpp"

#ifdef THREADPROOF_SAMPLER

namespace threadproof::probe {

/// A thread of the interpreter at one moment.
struct OtherThread {
    std::uint64_t address;  // of its PyThreadState
    std::uint64_t state;    // the address of the word at which it sleeps while the world is stopped
    unsigned long ident;    // as threading.get_ident()
    int task;               // the kernel's number
    std::uint64_t frame;    // its innermost frame
    std::uint64_t section;  // its innermost critical section
};

std::vector<OtherThread> other_threads();

/// The mutexes of the objects that the thread has locked, the innermost first; 0: it is about to lock one.
std::vector<std::uint64_t> object_locks(const OtherThread& thread);

/// The address of the object whose own lock has this address, and the name of its type; empty if no object has.
std::uint64_t object_of_mutex(std::uint64_t mutex);
std::string type_of_object(std::uint64_t object);

/// Its call stack, the innermost frame first, with the numbers of `codes` for code. Frames whose words do not fit together
/// are left out.
std::vector<Frame> frames_of(const OtherThread& thread, std::size_t most, CodeCopies& codes);

}  // namespace threadproof::probe

#endif
