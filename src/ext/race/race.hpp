/// The race detector as a subscriber of the probe.
///
/// | file             | responsibility                                                 |
/// |------------------|----------------------------------------------------------------|
/// | subscriber.cpp   | from the probe's events to steps of core/race/detector.hpp     |
/// | descriptions.cpp | names of racing variables, taken while the objects are alive   |
/// | api.cpp          | threadproof._core.race: sessions, sampling, the races found    |
#pragma once

#include "ext/probe/events.hpp"

namespace threadproof::ext {

/// Adds threadproof._core.race, if the probe supports the interpreter; throws.
bool add_race(PyObject* module);

}  // namespace threadproof::ext

#ifdef THREADPROOF_PROBE

#include <cstddef>
#include <deque>
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/race/detector.hpp"
#include "core/race/origins.hpp"
#include "core/race/sampling.hpp"
#include "ext/race/descriptions.hpp"

namespace threadproof::ext {

/// A thread whose start was published: its name, and by which thread and where it was started.
struct Started {
    PyObject* name;  // owned
    race::Serial by;
    std::uint32_t stack;
};

/// A thread whose creation was published; null if it came when there were too many.
struct Child {
    race::Thread* thread;
    bool began = false;
};

/// Field                  | written                 | read    | guard
/// -----------------------|-------------------------|---------|---------------------------------------
/// children_, started_,   | plain                   | plain   | mutex_
/// ended_, reported_      |                         |         |
/// in_session_, armed_    | seq_cst                 | seq_cst | none: update_interests() checks again
/// history_, on_race_     | plain, between sessions | plain   | none: the start of a session orders
/// slot_                  | plain, once             | plain   | none: the first session's start orders
class RaceSubscriber final : public probe::Subscriber {
 public:
    // ---- sessions

    /// Receives the events that order the threads, and allocations. `history` frames of a stack are kept.
    /// on_race is called at each new race, and when a reported race gets another access; null: no function is
    /// called.
    void start(std::size_t history, PyObject* on_race);
    /// Receives accesses, too, once a second thread runs. `name` is that of the calling thread.
    void arm(PyObject* name);
    /// Keeps its state, and receives only the end of threads.
    void stop();
    /// There are threads whose start was not published.
    void assume_threads();
    /// Begins a round of sampling, or ends sampling (burst 0).
    void sample(std::uint32_t burst, std::uint32_t seed);
    /// Changes how often the calling thread's accesses are excluded.
    void exclude(int change);

    // ---- events

    void on(const probe::LockEvent& event) override;
    void on(const probe::OrderEvent& event) override;
    void on(const probe::ItemEvent& event) override;
    void on(const probe::HandOverEvent& event) override;
    void on(const probe::PermitEvent& event) override;
    void on(const probe::ThreadEvent& event) override;
    bool access(const probe::Variable& variable, unsigned flags) override;
    void step(const probe::Variable& variable, unsigned flags) override;
    void on(const probe::MapEvent& event) override;
    void on(const probe::ObjectEvent& event) override;
    void on(const probe::ModuleEvent& event) override;
    void on(probe::ForkStep step) override;
    bool wants_call() override;
    bool done_with(const probe::SiteEvent& event) override;
    /// The calling thread ends, and C code had started it.
    void end_adopted_thread();
    using probe::Subscriber::on;

    // ---- results

    std::vector<race::Race> races() const { return detector_.races(); }
    std::size_t race_count() const { return detector_.race_count(); }
    std::vector<race::Sync> locks(std::uint32_t number) const { return detector_.locks(number); }
    /// Remember about so many variables.
    void limit(std::size_t variables) { detector_.limit(variables); }
    const Descriptions& descriptions() const { return descriptions_; }
    /// How much there is of everything that a long run could add to, by name.
    std::vector<std::pair<const char*, std::size_t>> counts();
    /// Asserts the invariants of the detector; std::logic_error if one is broken. No other thread may be in a
    /// step.
    void check();
    /// Of the threads in races, those whose start was published. Their names stay valid.
    std::map<race::Serial, Started> started() {
        std::lock_guard hold(mutex_);
        return reported_;
    }

 private:
    static constexpr std::size_t kMostEnded = race::Slots::kRemembered;  // whom the detector can tell apart

    race::Thread* me();
    race::Thread* adopt();
    race::Thread* child_of(probe::ThreadNumber number);
    void on_guard(race::Thread& thread, const probe::LockEvent& event);
    void create_thread(const probe::ThreadEvent& event);
    void begin_thread(probe::ThreadNumber number);
    void end_thread(probe::ThreadNumber number);
    void forget_thread(probe::ThreadNumber number);
    void note_start(race::Serial thread, Started started);
    void keep_name(race::Serial thread);
    void forget_names();
    void deallocate(probe::Object object);
    bool access_uncached(const probe::Variable& variable, unsigned flags);
    void report(const probe::Variable& variable);
    std::uint32_t wanted() const;
    void update_interests();

    race::Detector detector_{probe::object_filter()};
    race::Origins origins_{probe::object_filter()};
    race::Sampling sampling_;
    Descriptions descriptions_;
    std::size_t slot_ = probe::kMostSubscribers;  // none yet
    std::size_t history_ = 0;
    PyObject* on_race_ = nullptr;

    std::atomic<bool> in_session_{false}, armed_{false};

    std::mutex mutex_;
    std::unordered_map<probe::ThreadNumber, Child> children_;
    // The names of all that run and of some that have ended, then of those in races. Names are objects of
    // Python, so their last references go where threads are attached.
    std::map<race::Serial, Started> started_, reported_;
    std::deque<race::Serial> ended_;
};

/// The only one. It is made at the first call and never destroyed, because objects are deallocated until the
/// process ends.
RaceSubscriber& race_subscriber();

}  // namespace threadproof::ext

#endif
