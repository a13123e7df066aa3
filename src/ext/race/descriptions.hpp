/// The names of racing variables for reports, taken while their objects are alive.
#pragma once

#include "ext/probe/events.hpp"

#ifdef THREADPROOF_PROBE

#include <map>
#include <mutex>
#include <utility>

#include "core/race/origins.hpp"
#include "ext/probe/objects.hpp"

namespace threadproof::ext {

struct Description {
    PyObject *owner, *name;  // a type or module by its name, and an attribute's name or a key's repr; or None
    const char* part;
    race::Origin origin;  // of the object
};

/// Field        | written | read  | guard
/// -------------|---------|-------|-------
/// by_variable_ | plain   | plain | mutex_
class Descriptions {
 public:
    /// Runs no user code.
    void add(const probe::Variable& variable, race::Origin origin);

    /// The strings stay valid; they are null if the variable was not described.
    Description of(probe::Object object, probe::Field field) const;

    /// Around a fork: no other thread is in the middle of a step.
    void lock_for_fork() { mutex_.lock(); }
    void unlock_after_fork() { mutex_.unlock(); }

 private:
    mutable std::mutex mutex_;
    std::map<std::pair<probe::Object, probe::Field>, Description> by_variable_;
};

}  // namespace threadproof::ext

#endif
