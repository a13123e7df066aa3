/// The explorer of schedules as a subscriber of the probe: each controlled thread announces its next step, and
/// waits until it is chosen.
///
/// | file           | responsibility                                                        |
/// |----------------|-----------------------------------------------------------------------|
/// | control.cpp    | from the probe's events to operations of core/explore/scheduler.hpp   |
/// | workers.cpp    | the system's threads that run the program's, one after another        |
/// | watchdog.cpp   | threads that wait for what is not controlled, and the thread that looks for them |
/// | api.cpp        | threadproof._core.explore: runs, their logs, the waiting threads      |
#pragma once

#include "ext/probe/events.hpp"

namespace threadproof::ext {

/// Adds threadproof._core.explore, if the probe supports the interpreter; throws.
bool add_explore(PyObject* module);

}  // namespace threadproof::ext

#ifdef THREADPROOF_PROBE

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

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

/// Where a controlled thread is. Only kProgram lets the watchdog take the baton from it.
enum class Where : std::uint8_t {
    kHandler,    // in a function of Control, with the baton or waiting for it
    kProgram,    // in the program's code, with the baton
    kTaken,      // there without the baton: the watchdog has taken it
    kBack,       // in a function of Control, waiting for the baton that was taken
    kAbandoned,  // in the program's code, and no thread of the run any more
};

constexpr std::uint64_t word_of(std::uint64_t run, Where where) {
    return run << 8 | static_cast<std::uint64_t>(where);
}
constexpr Where where_in(std::uint64_t word) { return static_cast<Where>(word & 0xff); }

/// A thread's number has a seat, for all runs.
///
/// Field   | written                                             | read                 | guard
/// --------|-----------------------------------------------------|----------------------|---------------------------
/// word    | CAS by the thread and the watchdog; store, release  | acquire, or by CAS   | none
/// state   | relaxed, by the thread before it is in kProgram     | relaxed, watchdog    | word: its release, acquire
struct Seat {
    std::atomic<std::uint64_t> word{0};  // the number of the run, and a Where
    std::atomic<PyThreadState*> state{nullptr};
};

/// The system's thread that looks every few milliseconds whether the running thread waits for what is not
/// controlled, and if so, takes its baton. While only such threads are left in a run, it has the baton.
///
/// Field            | written                                  | read                      | guard
/// -----------------|------------------------------------------|---------------------------|--------------
/// stopping, woken  | plain                                    | plain                     | mutex
/// others           | plain, by its own thread                 | plain, by its own thread  | none
struct Watchdog {
    std::thread thread;
    std::mutex mutex;
    std::condition_variable changed;
    bool stopping = false;
    bool woken = false;
    std::uint64_t seen = 0;                         // the progress at the last look
    unsigned still = 0;                             // looks since then
    std::chrono::steady_clock::time_point since{};  // when it got the baton
    std::chrono::steady_clock::time_point
        reminded{};  // when it last interrupted the thread that runs the test
};

/// Field                | written                       | read                   | guard
/// ---------------------|-------------------------------|------------------------|-------------------------------------
/// seats_               | see Seat                      |                        |
/// running_, progress_  | relaxed, with the baton       | relaxed, by any        | none: a hint for the watchdog
/// unattended_          | release, with the baton       | acquire, watchdog      | itself: it passes the baton
/// watchdog_            | plain, by start() and stop()  | plain                  | its thread's start and join
/// everything else      | plain, with the baton         | plain, with the baton  | the baton (core/explore/scheduler.hpp)
class Control final : public probe::Subscriber {
 public:
    /// Receives events from now on; throws if all slots of subscribers are taken. `wait_code` is the code of
    /// threading.Condition.wait, which is never deallocated; `scope` contains the names of files that are watched.
    void start(PyObject* wait_code, PyObject* scope);
    void stop();

    // ---- a run

    /// The calling thread runs the test. Null are: `recorder`, called with each step before it is announced, and
    /// then so many frames of the step's `stack` are kept; `stuck`, called at a deadlock while all threads wait;
    /// `blocked`, called with a thread's number when that waits for what is not controlled, and with -1 to
    /// interrupt the thread that runs the test in such a wait. After `hang` seconds in which only such threads
    /// are left, it is a deadlock.
    void begin(explore::Plan plan, std::size_t stack, PyObject* stuck, PyObject* recorder, PyObject* blocked,
               double hang);
    /// The test has returned or raised: waits until all other threads of the run have ended.
    void finish();
    explore::Scheduler& scheduler() { return scheduler_; }
    /// In this run, check() is called before each step is announced.
    void check_before_steps(PyObject* check) { Py_XSETREF(checker_, Py_NewRef(check)); }
    /// Whether the calling thread is controlled. If so, it has the baton afterwards.
    bool is_controlled();
    /// The calling thread's number in its run; -1 if it is not controlled.
    static int calling_number();
    /// The variables of this run with which a library's code did more than one step, and the names of types.
    const std::vector<std::pair<explore::VariableId, std::string>>& opaque() const { return opaque_; }
    /// How many threads of this run were left to their waits.
    unsigned abandoned() const { return abandoned_; }
    /// The thread that took the lock; null if none has.
    const explore::Thread* holder_of(const void* lock) const;

    // ---- threads

    /// A new controlled thread, which a worker with this baton will run.
    explore::Thread& create(explore::Baton& baton, unsigned long system_id, PyObject* object);
    /// The calling thread is this one: waits until it is chosen. False if the run is over.
    bool enter(explore::Thread& thread);
    /// The calling thread is about to end: a step, for the threads that join it, or ask whether it is alive.
    /// False if it was abandoned: then leave() is not to be called.
    bool announce_end();
    /// The calling thread has ended.
    void leave();

    // ---- the handler: what a controlled thread does between two parts of the program

    /// The calling thread is in the handler, and has the baton; false if it is not controlled.
    bool enter_handler();
    /// It goes on with the program.
    void leave_handler();

    // ---- events

    void on(const probe::LockEvent& event) override;
    void on(const probe::WaitEvent& event) override;
    void on(const probe::StateEvent& event) override;
    void on(const probe::ClockEvent& event) override;
    void on(const probe::ObjectEvent& event) override;
    void on(probe::ForkStep step) override;
    bool access(const probe::Variable& variable, unsigned flags) override;
    void possible(const probe::Variable& variable, unsigned flags, PyTypeObject* opaque,
                  PyObject* code) override;
    bool done_with(const probe::SiteEvent&) override { return false; }  // or later runs had fewer steps

 private:
    /// The calling thread runs this one from now on; it is in the handler.
    void sit_down(explore::Thread& thread);
    bool is_new_waiter(const probe::LockEvent& event) const;
    void acquire(const probe::LockEvent& event);
    void release(const probe::LockEvent& event);
    /// Announces the operation, and waits until it is chosen.
    void step(explore::Operation operation, const probe::Variable& about);
    void record(const explore::Operation& operation, const probe::Variable& about);
    explore::Thread* next_after(explore::Thread& ended);
    /// Gives the baton to `next`, or to the watchdog if that is null, and waits for it.
    void hand_to(explore::Thread* next, explore::Thread& me);
    void give(explore::Thread* next);

    // ---- the watchdog
    void start_watchdog();
    void stop_watchdog();
    void wake_watchdog();
    void watch();
    void look();
    void take_from(explore::ThreadId id, std::uint64_t word);
    void attend();
    void abandon_all();
    void interrupt();
    template <class... Arguments>
    void call(PyObject* function, const char* format, Arguments... arguments);
    explore::VariableId variable_of(const void* object, std::uint64_t part = 0);
    void notice_deadlock();
    void release_kept();
    bool is_in_scope(PyObject* code);

    explore::Scheduler scheduler_;
    explore::Baton main_;
    ObjectNumbers objects_;
    std::unordered_map<const void*, explore::ThreadId> holders_;  // of locks
    std::vector<std::pair<explore::VariableId, std::string>> opaque_;
    std::unordered_set<PyObject*> kept_;  // owned, until the next run: their deallocations are not published
    PyObject* wait_code_ = nullptr;
    PyObject* scope_ = nullptr;  // owned
    std::size_t slot_ = probe::kMostSubscribers;
    std::size_t stack_ = 0;
    // owned, or null
    PyObject* stuck_ = nullptr;
    PyObject* recorder_ = nullptr;
    PyObject* blocked_ = nullptr;
    PyObject* checker_ = nullptr;
    double hang_ = 0;
    unsigned abandoned_ = 0;
    std::array<Seat, explore::kMostThreads> seats_;
    std::atomic<std::uint64_t> run_{0};
    std::atomic<explore::ThreadId> running_{0};
    std::atomic<std::uint64_t> progress_{0};  // steps of all runs
    std::atomic<bool> unattended_{false};     // the watchdog has the baton
    Watchdog* watchdog_ = nullptr;            // leaked in a forked child
};

/// While there is one, the calling thread is in the handler, unless it converts to false.
class Handler {
 public:
    explicit Handler(Control& control) : control_(control), inside_(control.enter_handler()) {}
    ~Handler() {
        if (inside_) control_.leave_handler();
    }
    Handler(const Handler&) = delete;
    Handler& operator=(const Handler&) = delete;
    explicit operator bool() const { return inside_; }

 private:
    Control& control_;
    bool inside_;
};

Control& control();

/// For the table in api.cpp: start(function, object) -> (number of the thread, ident of the system's).
PyObject* start_thread(PyObject*, PyObject* const* arguments, Py_ssize_t count);
PyObject* work(PyObject*, PyObject*);
/// In a forked child, the parent's workers do not exist.
PyObject* forget_workers(PyObject*, PyObject*);

}  // namespace threadproof::ext

#endif
