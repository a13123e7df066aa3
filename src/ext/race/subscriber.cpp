/// From the probe's events to the steps of the detector.

#include "ext/race/race.hpp"

#ifdef THREADPROOF_PROBE

#include "ext/probe/entry.hpp"
#include "ext/probe/objects.hpp"
#include "ext/probe/stacks.hpp"

namespace threadproof::ext {

using probe::address_of;
using race::Sync;
using race::SyncKey;
using race::Thread;

namespace {

constexpr Sync kModules = 1;  // by which imports order: no object has this address

/// The detector's part of the calling thread. Null until its first event, and after its end.
struct MyThread {
    Thread* thread = nullptr;
    bool unwatched = false;   // it came when there were too many
    std::uint32_t calls = 0;  // of containers' methods, while sampling
};
constinit thread_local MyThread my_thread __attribute__((tls_model("initial-exec")));

/// Ends the detector's part of a thread that C code has started, when the thread ends. It is attached to no
/// interpreter then.
struct EndOfThread {
    EndOfThread() = default;
    EndOfThread(const EndOfThread&) = delete;
    ~EndOfThread() { race_subscriber().end_adopted_thread(); }
    void arm() {}  // makes the thread's own one
};
thread_local EndOfThread end_of_thread;

Sync sync_of(PyObject* object) { return reinterpret_cast<Sync>(object); }

}  // namespace

RaceSubscriber& race_subscriber() {
    static auto& subscriber = *new RaceSubscriber;
    return subscriber;
}

// ---- sessions

void RaceSubscriber::start(std::size_t history, PyObject* on_race) {
    if (slot_ == probe::kMostSubscribers) slot_ = probe::subscribe(*this);
    if (slot_ == probe::kMostSubscribers) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the probe has no room for the race detector; end a subscription first");
        throw PythonError{};
    }
    history_ = history;
    Py_XDECREF(std::exchange(on_race_, Py_XNewRef(on_race)));
    in_session_ = true;
    update_interests();
}

void RaceSubscriber::arm(PyObject* name) {
    Thread* thread = me();
    detector_.report_anew();  // each session has its own report
    {
        std::lock_guard hold(mutex_);
        if (thread) note_start(thread->serial, {Py_NewRef(name), 0, 0});
    }
    armed_ = true;
    update_interests();
}

void RaceSubscriber::stop() {
    Py_XDECREF(std::exchange(on_race_, nullptr));
    in_session_ = armed_ = false;
    update_interests();
}

void RaceSubscriber::assume_threads() {
    detector_.assume_thread();
    update_interests();
}

void RaceSubscriber::sample(std::uint32_t burst, std::uint32_t seed) {
    sampling_.begin_round(burst, seed);
    update_interests();
}

void RaceSubscriber::exclude(int change) {
    if (Thread* thread = me()) thread->excluded += change;
}

/// While one thread runs, nothing can race, so accesses and locks need not be listened to.
std::uint32_t RaceSubscriber::wanted() const {
    std::uint32_t mask = probe::kDeallocations | probe::kForks | probe::kThreadLife;
    if (in_session_)
        mask |= probe::kOrder | probe::kItems | probe::kPermits | probe::kMaps | probe::kAllocations
                | probe::kOwnership;
    if (armed_) mask |= probe::kModules;
    if (armed_ && !detector_.alone()) mask |= probe::kAccesses | probe::kLocks | probe::kHandOvers;
    if (sampling_.on()) mask |= probe::kSites;
    return mask;
}

/// Without mutex_: set_interests() may detach the thread. Two threads may be here at once, so each checks again
/// afterwards.
void RaceSubscriber::update_interests() {
    if (slot_ == probe::kMostSubscribers) return;  // start() has not come, or failed
    std::uint32_t mask;
    do {
        mask = wanted();
        probe::set_interests(slot_, mask);
    } while (mask != wanted());
}

// ---- threads

TP_HOT Thread* RaceSubscriber::me() {
    return TP_LIKELY(my_thread.thread != nullptr) ? my_thread.thread : adopt();
}

TP_COLD Thread* RaceSubscriber::adopt() {
    if (my_thread.unwatched) return nullptr;
    my_thread.thread = detector_.adopt_thread();
    my_thread.unwatched = !my_thread.thread;
    end_of_thread.arm();
    update_interests();
    return my_thread.thread;
}

void RaceSubscriber::end_adopted_thread() {
    if (my_thread.thread) detector_.end_adopted_thread(*my_thread.thread);
    my_thread.thread = nullptr;
    my_thread.unwatched = true;
}

/// Null if there is none, or if it is unwatched.
Thread* RaceSubscriber::child_of(probe::ThreadNumber number) {
    std::lock_guard hold(mutex_);
    auto found = children_.find(number);
    return found == children_.end() ? nullptr : found->second.thread;
}

void RaceSubscriber::create_thread(const probe::ThreadEvent& event) {
    Thread* parent = me();
    std::uint32_t stack = probe::capture_stack(history_ + probe::kOwnFrames);
    Thread* child = parent ? detector_.create_thread(*parent, event.awaited) : nullptr;
    {
        std::lock_guard hold(mutex_);
        children_.try_emplace(event.thread, Child{child});
        if (child) note_start(child->serial, {Py_NewRef(event.name), parent->serial, stack});
    }
    update_interests();
}

void RaceSubscriber::begin_thread(probe::ThreadNumber number) {
    {
        std::lock_guard hold(mutex_);
        auto found = children_.find(number);
        if (found != children_.end()) {
            my_thread.thread = found->second.thread;
            my_thread.unwatched = !found->second.thread;
            found->second.began = true;
            return;
        }
    }
    if (in_session_) me();  // C code has started it, or nobody listened when it was created
}

void RaceSubscriber::end_thread(probe::ThreadNumber number) {
    Thread* thread = my_thread.thread;
    my_thread.thread = nullptr;
    my_thread.unwatched = true;
    if (!thread) return;
    race::Serial serial = thread->serial;
    bool forgotten = !thread->is_awaited();
    detector_.end_thread(*thread);
    std::lock_guard hold(mutex_);
    if (forgotten) children_.erase(number);
    ended_.push_back(serial);
    forget_names();
}

/// Nobody joins it any more. One that has not begun never will: its start has failed.
void RaceSubscriber::forget_thread(probe::ThreadNumber number) {
    Child child{nullptr};
    {
        std::lock_guard hold(mutex_);
        auto found = children_.find(number);
        if (found == children_.end()) return;
        child = found->second;
        children_.erase(found);
        if (child.thread && !child.began) ended_.push_back(child.thread->serial);
    }
    if (!child.thread) return;
    bool awaited = child.thread->is_awaited();
    if (!child.began) {
        if (Thread* thread = me()) detector_.join_thread(*thread, *child.thread);
        detector_.end_thread(*child.thread);  // after which one that is not awaited is no more
    }
    if (awaited) detector_.forget_thread(*child.thread);
    update_interests();
}

/// The caller holds mutex_.
void RaceSubscriber::note_start(race::Serial thread, Started started) {
    if (!started_.try_emplace(thread, started).second) Py_DECREF(started.name);
}

/// The name of a thread in a race, and that of the thread that started it, stay.
void RaceSubscriber::keep_name(race::Serial thread) {
    for (int depth = 0; depth < 2; ++depth) {
        auto found = started_.find(thread);
        if (found == started_.end()) return;
        if (reported_.try_emplace(thread, found->second).second) Py_INCREF(found->second.name);
        thread = found->second.by;
    }
}

void RaceSubscriber::forget_names() {
    while (ended_.size() > kMostEnded) {
        auto found = started_.find(ended_.front());
        ended_.pop_front();
        if (found == started_.end()) continue;
        Py_DECREF(found->second.name);
        started_.erase(found);
    }
}

void RaceSubscriber::on(const probe::ThreadEvent& event) {
    switch (event.step) {
        case probe::ThreadStep::kCreate: return create_thread(event);
        case probe::ThreadStep::kBegin: return begin_thread(event.thread);
        case probe::ThreadStep::kEnd: return end_thread(event.thread);
        case probe::ThreadStep::kForgotten: return forget_thread(event.thread);
        case probe::ThreadStep::kJoinEnded:
            if (Thread* thread = me()) detector_.join_ended_threads(*thread);
            return;
        case probe::ThreadStep::kJoin: break;
    }
    Thread *thread = me(), *child = child_of(event.thread);
    if (!thread || !child) return;
    detector_.join_thread(*thread, *child);
    update_interests();
}

// ---- order

void RaceSubscriber::on(const probe::LockEvent& event) {
    Thread* thread = me();
    if (!thread) return;
    if (event.internal) return on_guard(*thread, event);
    // A reader is ordered after the writers before it, and a writer after the readers, too.
    constexpr SyncKey kByWriters = 1, kByReaders = 2;
    Sync lock = sync_of(event.lock);
    bool shared = event.kind == probe::LockKind::kShared;
    if (shared || event.kind == probe::LockKind::kExclusive) {
        if (event.step == probe::LockStep::kAcquired) {
            detector_.acquire(*thread, lock, kByWriters);
            if (!shared) detector_.acquire(*thread, lock, kByReaders);
            detector_.add_lock(*thread, lock);
        } else if (event.step == probe::LockStep::kReleasing) {
            detector_.remove_lock(*thread, lock);
            detector_.release(*thread, lock, shared ? kByReaders : kByWriters);
        }
    } else if (event.step == probe::LockStep::kAcquired) {
        detector_.acquire_lock(*thread, lock, event.kind == probe::LockKind::kReentrant);
    } else if (event.step == probe::LockStep::kReleasing) {
        detector_.release_lock(*thread, lock);
    }
}

void RaceSubscriber::on_guard(Thread& thread, const probe::LockEvent& event) {
    Sync lock = sync_of(event.lock);
    if (event.kind == probe::LockKind::kShared) return;  // it excludes no other reader
    if (event.step == probe::LockStep::kAcquired)
        detector_.acquire_guard(thread, lock, event.kind == probe::LockKind::kReentrant);
    else if (event.step == probe::LockStep::kReleasing) detector_.release_guard(thread, lock);
}

void RaceSubscriber::on(const probe::OrderEvent& event) {
    Thread* thread = me();
    if (!thread) return;
    Sync sync = sync_of(event.object);
    bool publishes = event.step == probe::OrderStep::kPublish;
    if (event.key == 0) {
        if (publishes) detector_.release(*thread, sync);
        else detector_.acquire(*thread, sync);
    } else {
        if (publishes) detector_.release(*thread, sync, event.key);
        else detector_.acquire(*thread, sync, event.key);
    }
}

void RaceSubscriber::on(const probe::ItemEvent& event) {
    Thread* thread = me();
    if (!thread) return;
    Sync channel = sync_of(event.channel);
    auto item = static_cast<SyncKey>(address_of(event.item));
    switch (event.step) {
        case probe::ItemStep::kSend: return detector_.send(*thread, channel, item);
        case probe::ItemStep::kUnsend: return detector_.unsend(channel, item);
        case probe::ItemStep::kReceive: return detector_.receive(*thread, channel, item);
    }
}

void RaceSubscriber::on(const probe::HandOverEvent& event) {
    Thread* thread = me();
    if (!thread) return;
    probe::Object container = address_of(event.container), item = address_of(event.item);
    if (event.step == probe::HandOverStep::kPut) return detector_.put(*thread, container, item);
    detector_.take(*thread, container, item, event.step == probe::HandOverStep::kTake);
}

void RaceSubscriber::on(const probe::PermitEvent& event) {
    Thread* thread = me();
    if (!thread) return;
    Sync sync = sync_of(event.object);
    if (event.step == probe::PermitStep::kWithdraw) detector_.withdraw_permits(*thread, sync, event.count);
    else if (event.step == probe::PermitStep::kGive)
        detector_.give_permits(*thread, sync, event.initial, event.count);
    else if (!detector_.take_permit(*thread, sync, event.initial) && event.or_observe)
        detector_.acquire(*thread, sync);
}

/// The steps on one key of a map are ordered by the key. A change of the whole map counts for every key, and
/// a read of the whole map is ordered after every change.
void RaceSubscriber::on(const probe::MapEvent& event) {
    constexpr SyncKey kAnyKey = 1;    // released by each change of a key, for reads of the whole map
    constexpr SyncKey kEveryKey = 2;  // released by each change of the whole map
    constexpr SyncKey kOddKeys = 3;   // of all keys whose comparison would be user code
    Thread* thread = me();
    if (!thread) return;
    Sync map = sync_of(event.map);
    auto key = [&] { return probe::is_plain_key(event.key) ? probe::number_of_key(event.key) : kOddKeys; };
    switch (event.step) {
        case probe::MapStep::kReadKey:
        case probe::MapStep::kComputationBegin:
            detector_.acquire(*thread, map, key());
            return detector_.acquire(*thread, map, kEveryKey);
        case probe::MapStep::kChangeKey:
        case probe::MapStep::kComputationEnd:
            detector_.release(*thread, map, key());
            return detector_.release(*thread, map, kAnyKey);
        case probe::MapStep::kReadAll:
            detector_.acquire(*thread, map, kAnyKey);
            return detector_.acquire(*thread, map, kEveryKey);
        case probe::MapStep::kChangeAll: return detector_.release(*thread, map, kEveryKey);
    }
}

void RaceSubscriber::on(const probe::ModuleEvent& event) {
    Thread* thread = me();
    if (!thread) return;
    SyncKey name = probe::number_of_key(event.name);
    if (event.step == probe::ModuleStep::kRan) detector_.release(*thread, kModules, name);
    else detector_.acquire(*thread, kModules, name);
}

// ---- accesses and objects

bool RaceSubscriber::access(const probe::Variable& variable, unsigned flags) {
    Thread* thread = me();
    if (TP_UNLIKELY(!thread || thread->excluded)) return false;
    if (TP_LIKELY(detector_.is_cached(*thread, address_of(variable.object), variable.field, flags)))
        return false;
    return access_uncached(variable, flags);
}

TP_APART bool RaceSubscriber::access_uncached(const probe::Variable& variable, unsigned flags) {
    race::Outcome outcome =
        detector_.access_uncached(*my_thread.thread, address_of(variable.object), variable.field, flags,
                                  [this] { return probe::capture_stack(history_); });
    if (outcome == race::Outcome::kRace) report(variable);
    return outcome != race::Outcome::kRepeated;
}

void RaceSubscriber::step(const probe::Variable& variable, unsigned flags) {
    Thread* thread = me();
    if (!thread) return;
    // in a map that is written in Python, some frames of its own are above the program's
    auto capture = [this] { return probe::capture_stack(history_ + probe::kOwnFrames); };
    if (detector_.step(*thread, address_of(variable.object), variable.field, flags, capture))
        report(variable);
}

void RaceSubscriber::report(const probe::Variable& variable) {
    probe::Suspension suspension;
    race::Origin origin = origins_.of(address_of(variable.object));
    for (std::size_t number : my_thread.thread->news) {
        race::Race race = detector_.race(number);
        descriptions_.add(number, variable, origin);
        std::lock_guard hold(mutex_);
        for (race::Serial thread : {race.earlier_thread, race.later_thread, origin.thread}) keep_name(thread);
    }
    Ref callback = Ref::borrow(on_race_);
    if (!callback) return;
    probe::with_exception_aside([&] {
        Ref result = Ref::steal(PyObject_CallNoArgs(callback.get()));
        if (!result) PyErr_WriteUnraisable(callback.get());
    });
}

void RaceSubscriber::on(const probe::ObjectEvent& event) {
    if (event.step == probe::ObjectStep::kDeallocated) return deallocate(event.object);
    Thread* thread = me();
    if (!thread) return;
    if (event.step == probe::ObjectStep::kOwned) return detector_.own(*thread, event.object);
    origins_.note(event.object, {thread->serial, probe::capture_stack(history_ + probe::kOwnFrames)});
}

void RaceSubscriber::deallocate(probe::Object object) {
    origins_.forget(object);
    if (detector_.forget(object) && my_thread.thread) detector_.drop_lock(*my_thread.thread, object);
}

bool RaceSubscriber::wants_call() {
    // while sampling, each thread judges one of so many calls of containers' methods
    constexpr std::uint32_t kSampledCalls = 16;
    return TP_LIKELY(!sampling_.on()) || ++my_thread.calls % kSampledCalls == 0;
}

bool RaceSubscriber::done_with(const probe::SiteEvent& event) {
    return event.idle || sampling_.ends_burst(event.site);
}

// ---- what there is

std::vector<std::pair<const char*, std::size_t>> RaceSubscriber::counts() {
    race::Detector::Counts of = detector_.counts();
    std::size_t stacks = probe::call_stacks().count(), origins = origins_.count();
    std::lock_guard hold(mutex_);
    return {{"threads", of.threads},   {"slots", of.slots},
            {"cells", of.cells},       {"sync_objects", of.sync_objects},
            {"values", of.values},     {"lock_sets", of.lock_sets},
            {"races", of.races},       {"stacks", stacks},
            {"origins", origins},      {"children", children_.size()},
            {"names", started_.size()}};
}

void RaceSubscriber::check() {
    probe::check_interests();
    detector_.check();
    origins_.check();
    probe::call_stacks().check();
    std::lock_guard hold(mutex_);
    if (ended_.size() > kMostEnded) throw std::logic_error("too many threads that have ended are named");
}

// ---- forks

void RaceSubscriber::on(probe::ForkStep step) {
    if (step == probe::ForkStep::kBefore) {
        mutex_.lock();
        descriptions_.lock_for_fork();
        origins_.lock_for_fork();
        detector_.lock_for_fork();
        return;
    }
    detector_.unlock_after_fork();
    origins_.unlock_after_fork();
    descriptions_.unlock_after_fork();
    mutex_.unlock();
    if (step == probe::ForkStep::kInParent || !my_thread.thread) return;
    detector_.continue_in_child(*my_thread.thread);
    update_interests();
}

}  // namespace threadproof::ext

#endif
