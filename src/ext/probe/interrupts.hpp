/// Keeps signals away from the Python code that the probe runs in the middle of the program.
#pragma once

#include "ext/probe/events.hpp"

namespace threadproof::probe {

/// While there is one, no signal handler and no asynchronous exception interrupts this thread. They run when
/// the program continues, as they would have without the probe.
class InterruptsHeld {
 public:
    InterruptsHeld();
    ~InterruptsHeld();
    InterruptsHeld(const InterruptsHeld&) = delete;
    InterruptsHeld& operator=(const InterruptsHeld&) = delete;

 private:
    std::uintptr_t pending_;
};

}  // namespace threadproof::probe
