/// The names of racing variables for reports, taken while their objects are alive.
#pragma once

#include "ext/probe/events.hpp"

#ifdef THREADPROOF_PROBE

#include <cstddef>
#include <mutex>
#include <unordered_map>

#include "core/race/origins.hpp"
#include "ext/probe/objects.hpp"

namespace threadproof::ext {

struct Description {
    PyObject *owner, *name;  // a type or module by its name, and an attribute's name or a key's repr; or None
    const char* part;
    race::Origin origin;  // of the object
};

/// Field    | written | read  | guard
/// ---------|---------|-------|-------
/// by_race_ | plain   | plain | mutex_
class Descriptions {
 public:
    /// Describes the race of this number, or describes it anew. Runs no user code.
    void add(std::size_t race, const probe::Variable& variable, race::Origin origin);

    /// The strings stay valid; they are null where the race was not described.
    Description of(std::size_t race) const;

    /// Around a fork: no other thread is in the middle of a step.
    void lock_for_fork() { mutex_.lock(); }
    void unlock_after_fork() { mutex_.unlock(); }

 private:
    mutable std::mutex mutex_;
    std::unordered_map<std::size_t, Description> by_race_;
};

}  // namespace threadproof::ext

#endif
