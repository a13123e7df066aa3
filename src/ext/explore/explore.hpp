/// The explorer of schedules as a subscriber of the probe: each controlled thread announces its next step, and
/// waits until it is chosen.
///
/// | file           | responsibility                                                        |
/// |----------------|-----------------------------------------------------------------------|
/// | control.cpp    | from the probe's events to operations of core/explore/scheduler.hpp   |
/// | workers.cpp    | the system's threads that run the program's, one after another        |
/// | api.cpp        | threadproof._core.explore: runs, their logs, the waiting threads      |
#pragma once

#include "ext/probe/events.hpp"

namespace threadproof::ext {

/// Adds threadproof._core.explore, if the probe supports the interpreter; throws.
bool add_explore(PyObject* module);

}  // namespace threadproof::ext

#ifdef THREADPROOF_PROBE

#include <mutex>
#include <unordered_map>

#include "core/explore/scheduler.hpp"

namespace threadproof::ext {

/// The numbers of a run's objects, from 1 on, in the order of first use. An address can be that of several objects,
/// one after another, and each has a number of its own: or the log would depend on the allocator.
///
/// Field            | written | read  | guard
/// -----------------|---------|-------|--------
/// numbers_, last_  | plain   | plain | mutex_
class ObjectNumbers {
 public:
    std::uint64_t of(const void* object);
    /// The object is deallocated, by any thread.
    void forget(const void* object);
    void clear();
    std::mutex& mutex() { return mutex_; }

 private:
    std::mutex mutex_;
    std::unordered_map<const void*, std::uint64_t> numbers_;
    std::uint64_t last_ = 0;
};

/// Field        | written                       | read                   | guard
/// -------------|-------------------------------|------------------------|-------------------------------------
/// everything   | plain, with the baton         | plain, with the baton  | the baton (core/explore/scheduler.hpp)
class Control final : public probe::Subscriber {
 public:
    /// Receives events from now on; throws if all slots of subscribers are taken. `wait_code` is the code of
    /// threading.Condition.wait, which is never deallocated.
    void start(PyObject* wait_code);
    void stop();

    // ---- a run

    /// The calling thread runs the test. Null are: `recorder`, called with each step before it is announced, and
    /// then so many frames of the step's `stack` are kept; `stuck`, called at a deadlock while all threads wait.
    void begin(explore::Plan plan, std::size_t stack, PyObject* stuck, PyObject* recorder);
    /// The test has returned or raised: waits until all other threads of the run have ended.
    void finish();
    explore::Scheduler& scheduler() { return scheduler_; }
    /// The calling thread in the run; null if it is not controlled.
    static const explore::Thread* calling_thread();
    /// The thread that took the lock; null if none has.
    const explore::Thread* holder_of(const void* lock) const;

    // ---- threads

    /// A new controlled thread, which a worker with this baton will run.
    explore::Thread& create(explore::Baton& baton, unsigned long system_id, PyObject* object);
    /// The calling thread is this one: waits until it is chosen. False if the run is over.
    bool enter(explore::Thread& thread);
    /// The calling thread is about to end: a step, for the threads that join it, or ask whether it is alive.
    void announce_end();
    /// The calling thread has ended.
    void leave();

    // ---- events

    void on(const probe::LockEvent& event) override;
    void on(const probe::WaitEvent& event) override;
    void on(const probe::StateEvent& event) override;
    void on(const probe::ClockEvent& event) override;
    void on(const probe::ObjectEvent& event) override;
    void on(probe::ForkStep step) override;
    bool access(const probe::Variable& variable, unsigned flags) override;
    bool done_with(const probe::SiteEvent&) override { return false; }  // or later runs had fewer steps

 private:
    bool is_in_run() const;
    bool is_new_waiter(const probe::LockEvent& event) const;
    void acquire(const probe::LockEvent& event);
    void release(const probe::LockEvent& event);
    /// Announces the operation, and waits until it is chosen.
    void step(explore::Operation operation, const probe::Variable& about);
    void record(const explore::Operation& operation, const probe::Variable& about);
    explore::Thread* next_after(explore::Thread& ended);
    void hand_to(explore::Thread& next, explore::Thread& me);
    explore::VariableId variable_of(const void* object, std::uint64_t part = 0);
    void notice_deadlock();

    explore::Scheduler scheduler_;
    explore::Baton main_;
    ObjectNumbers objects_;
    std::unordered_map<const void*, explore::ThreadId> holders_;  // of locks
    PyObject* wait_code_ = nullptr;
    std::size_t slot_ = probe::kMostSubscribers;
    std::size_t stack_ = 0;
    // owned, or null
    PyObject* stuck_ = nullptr;
    PyObject* recorder_ = nullptr;
};

Control& control();

/// For the table in api.cpp: start(function, object) -> (number of the thread, ident of the system's).
PyObject* start_thread(PyObject*, PyObject* const* arguments, Py_ssize_t count);
PyObject* work(PyObject*, PyObject*);
/// In a forked child, the parent's workers do not exist.
PyObject* forget_workers(PyObject*, PyObject*);

}  // namespace threadproof::ext

#endif
