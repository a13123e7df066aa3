/// From the probe's events to the waits of threads.

#include "ext/probe/internals.hpp"

#include "ext/watch/contention.hpp"

#ifdef THREADPROOF_PROBE

#include <time.h>

#include "ext/probe/api.hpp"
#include "ext/probe/blocking.hpp"
#include "ext/probe/entry.hpp"
#include "ext/probe/stacks.hpp"

namespace threadproof::ext {

using probe::BlockStep;
using probe::ThreadStep;
using watch::Holder;

namespace {

constexpr std::size_t kDeepest = 64;          // frames of a wait, as Go's profiles have
constexpr std::size_t kDeepestCreation = 16;  // of a lock's creation: the library has up to 5 of them

/// The calling thread's member, and the session that it belongs to.
struct Mine {
    std::uint64_t session = 0;
    Member* member = nullptr;
};
constinit thread_local Mine mine;

bool is_queue(PyObject* object) { return Py_TYPE(object) == probe::lock_types.queue; }

std::uintptr_t address(PyObject* object) { return reinterpret_cast<std::uintptr_t>(object); }

}  // namespace

watch::Nanoseconds now() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * std::int64_t{1'000'000'000} + time.tv_nsec;
}

ContentionSubscriber& contention_subscriber() {
    static auto& subscriber = *new ContentionSubscriber;  // never destroyed: threads may be in it
    return subscriber;
}

// ---- sessions

void ContentionSubscriber::begin_session(bool running) {
    static std::uint64_t serial = 0;  // one thread begins sessions
    auto* session = new Session(++serial, now());
    if (!running) session->end = session->begin;
    session_.store(session, std::memory_order_release);
}

void ContentionSubscriber::start(PyObject* rows) {
    if (slot_ == probe::kMostSubscribers) slot_ = probe::subscribe(*this);
    if (slot_ == probe::kMostSubscribers) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the probe has no room for the contention profiler; end a subscription first");
        throw PythonError{};
    }
    begin_session(true);
    session()->objects.set_rows(rows);
    me(*session());
    probe::set_interests(slot_, probe::kBlocks | probe::kThreadLife | probe::kForks);
}

void ContentionSubscriber::stop() {
    if (slot_ == probe::kMostSubscribers || session()->end) return;
    session()->end = now();
    probe::set_interests(slot_, 0);
}

/// Only the forking thread is in the child. The child is not profiled: its parent's report would not have it.
void ContentionSubscriber::on(probe::ForkStep step) {
    if (step != probe::ForkStep::kInChild) return;
    begin_session(false);
    probe::set_interests(slot_, 0);
}

// ---- threads

Member& ContentionSubscriber::member(Session& session, probe::ThreadNumber number) {
    std::lock_guard hold(session.mutex);
    auto& found = session.members[number];
    if (!found) {
        found = std::make_unique<Member>();
        found->number = number;
        found->begin = now();
    }
    return *found;
}

Member& ContentionSubscriber::me(Session& session) {
    if (mine.session != session.serial) {
        mine = {session.serial, &member(session, probe::thread_number())};
        mine.member->ident = PyThread_get_thread_ident();
    }
    return *mine.member;
}

void ContentionSubscriber::on(const probe::ThreadEvent& event) {
    Session& session = *this->session();
    if (event.step == ThreadStep::kCreate) {
        std::uint32_t stack = probe::capture_stack(kDeepest);
        const char* name = event.name ? PyUnicode_AsUTF8(event.name) : nullptr;
        if (!name) PyErr_Clear();
        Member& made = member(session, event.thread);
        std::lock_guard hold(session.mutex);
        made.name = name ? name : "";
        made.started = stack;
    } else if (event.step == ThreadStep::kBegin) {
        Member& member = me(session);
        std::lock_guard hold(session.mutex);
        member.begin = now();
    } else if (event.step == ThreadStep::kEnd) {
        Member& member = me(session);
        std::lock_guard hold(session.mutex);
        member.end = now();
    }
}

// ---- waits

void ContentionSubscriber::on(const probe::BlockEvent& event) {
    Session& session = *this->session();
    switch (event.step) {
        case BlockStep::kBlocked: return begin_wait(session, event.object);
        case BlockStep::kUnblocked: return end_wait(session, true);
        case BlockStep::kGaveUp: return end_wait(session, false);
        case BlockStep::kReleasing: return release(session, event.object);
        case BlockStep::kCreated:
            return session.objects.note_creation(event.object, probe::capture_stack(kDeepestCreation));
    }
}

void ContentionSubscriber::begin_wait(Session& session, PyObject* object) {
    if (is_queue(object)) in_queues_.fetch_add(1, std::memory_order_relaxed);
    watch::Nanoseconds begin = now();
    OpenWait wait{session.objects.number_of(object), probe::capture_stack(kDeepest), object, begin};
    Member& member = me(session);
    std::lock_guard hold(member.mutex);
    member.open.push_back(wait);
}

void ContentionSubscriber::end_wait(Session& session, bool got) {
    if (mine.session != session.serial) return;  // it began before the session, or before a fork
    Member& member = *mine.member;
    OpenWait open;
    {
        std::lock_guard hold(member.mutex);
        if (member.open.empty()) return;
        open = member.open.back();
        member.open.pop_back();
    }
    if (is_queue(open.object)) in_queues_.fetch_sub(1, std::memory_order_relaxed);
    watch::Nanoseconds end = now(), longest = -1;
    watch::Wait wait{{open.lock, open.stack, {}}, open.begin, end, got};
    session.releases.divide(address(open.object), open.begin, end,
                            [&](watch::Nanoseconds from, watch::Nanoseconds until, Holder holder) {
                                if (holder.thread == 0) holder = joined(session, open.object);
                                member.ledger.add_part({open.lock, open.stack, holder}, until - from);
                                if (until - from <= longest) return;
                                longest = until - from;
                                wait.path.holder = holder;
                            });
    member.ledger.add_wait(wait);
}

/// The thread of a handle, and where it was started: it ended the wait by its end.
Holder ContentionSubscriber::joined(Session& session, PyObject* object) {
    probe::ThreadNumber number = probe::number_of_handle(object);
    if (number == 0) return {};
    std::lock_guard hold(session.mutex);
    auto found = session.members.find(number);
    return {found == session.members.end() ? 0 : found->second->started, number};
}

void ContentionSubscriber::release(Session& session, PyObject* object) {
    if (is_queue(object) && in_queues_.load(std::memory_order_relaxed) == 0) return;
    Member& member = me(session);
    session.releases.note(address(object), now(), {probe::capture_stack(kDeepest), member.number});
}

}  // namespace threadproof::ext

#endif
