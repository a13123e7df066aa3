/// Contention as a subscriber of the probe: where threads wait, for which object, and for whom.
///
/// | file            | responsibility                                                      |
/// |-----------------|---------------------------------------------------------------------|
/// | contention.cpp  | from the probe's events to waits in core/watch                      |
/// | objects.cpp     | the objects waited at: which one, of which kind, created where      |
/// | api.cpp         | threadproof._core.contention: sessions, and what they have recorded |
#pragma once

#include "ext/probe/events.hpp"

namespace threadproof::ext {

/// Adds threadproof._core.contention, if the probe supports the interpreter; throws.
bool add_contention(PyObject* module);

}  // namespace threadproof::ext

#ifdef THREADPROOF_PROBE

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/watch/ledger.hpp"
#include "ext/watch/objects.hpp"

namespace threadproof::ext {

/// A wait that has not ended.
struct OpenWait {
    watch::LockNumber lock;
    std::uint32_t stack;
    PyObject* object;  // at which the thread is blocked: borrowed, the thread has a reference
    watch::Nanoseconds begin;
};

/// A thread of the program, as long as it is known.
///
/// Field                | written                        | read  | guard
/// ---------------------|--------------------------------|-------|--------------------------------------
/// number, ident        | once                           | plain | never change after they are published
/// begin, end, name,    | plain                          | plain | Session::mutex
/// started              |                                |       |
/// open                 | plain, by its thread           | plain | mutex
/// ledger               | by its thread                  |       | its own
struct Member {
    probe::ThreadNumber number = 0;
    unsigned long ident = 0;
    watch::Nanoseconds begin = 0, end = 0;  // end 0: it runs
    std::string name;                       // empty: not known
    std::uint32_t started = 0;              // the stack of its start
    std::mutex mutex;
    std::vector<OpenWait> open;  // several, if a signal handler waits inside a wait
    watch::Ledger ledger;
};

/// All that is recorded from one start to the next. A forked child begins with another one: what other threads were
/// changing at that moment is never used again.
struct Session {
    Session(std::uint64_t number, watch::Nanoseconds time) : serial(number), begin(time) {}

    const std::uint64_t serial;
    const watch::Nanoseconds begin;
    watch::Nanoseconds end = 0;
    std::mutex mutex;
    std::map<probe::ThreadNumber, std::unique_ptr<Member>> members;
    watch::Releases releases;
    WaitObjects objects;
};

class ContentionSubscriber final : public probe::Subscriber {
 public:
    /// Begins a session; `rows` are those of objects.hpp. Throws.
    void start(PyObject* rows);
    void stop();
    /// The last session; null before the first.
    Session* session() const { return session_.load(std::memory_order_acquire); }

    void on(const probe::BlockEvent& event) override;
    void on(const probe::ThreadEvent& event) override;
    void on(probe::ForkStep step) override;

 private:
    void begin_wait(Session& session, PyObject* object);
    void end_wait(Session& session, bool got);
    void release(Session& session, PyObject* object);
    watch::Holder joined(Session& session, PyObject* object);
    Member& me(Session& session);
    Member& member(Session& session, probe::ThreadNumber number);
    void begin_session(bool running);

    std::atomic<Session*> session_{
        nullptr};  // release, acquire: publishes it; never freed, threads may be in it
    std::atomic<std::size_t> in_queues_{0};  // threads blocked in a SimpleQueue; relaxed: a hint
    std::size_t slot_ = probe::kMostSubscribers;
};

ContentionSubscriber& contention_subscriber();

/// Of the monotonic clock.
watch::Nanoseconds now();

}  // namespace threadproof::ext

#endif
