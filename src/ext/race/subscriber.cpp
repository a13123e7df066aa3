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
        if (thread) started_.try_emplace(thread->id, Started{Py_NewRef(name), 0, 0});
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
    if (Thread* thread = me()) detector_.create_thread(*thread);
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
    if (!my_thread.unwatched) my_thread.thread = detector_.adopt_thread();
    return my_thread.thread;
}

/// Null if there is none, or if it is unwatched.
Thread* RaceSubscriber::child_of(probe::ThreadNumber number) {
    std::lock_guard hold(mutex_);
    auto found = children_.find(number);
    return found == children_.end() ? nullptr : found->second;
}

void RaceSubscriber::create_thread(const probe::ThreadEvent& event) {
    Thread* parent = me();
    std::uint32_t stack = probe::capture_stack(history_ + probe::kOwnFrames);
    Thread* child = parent ? detector_.create_thread(*parent) : nullptr;
    {
        std::lock_guard hold(mutex_);
        children_.emplace(event.thread, child);
        if (child) started_.try_emplace(child->id, Started{Py_NewRef(event.name), parent->id, stack});
    }
    update_interests();
}

void RaceSubscriber::begin_thread(probe::ThreadNumber number) {
    std::lock_guard hold(mutex_);
    auto found = children_.find(number);
    if (found == children_.end()) return;  // nobody listened when it was created
    my_thread.thread = found->second;
    my_thread.unwatched = !found->second;
}

void RaceSubscriber::end_thread() {
    if (my_thread.thread) detector_.end_thread(*my_thread.thread);
    my_thread.thread = nullptr;
    my_thread.unwatched = true;
}

void RaceSubscriber::on(const probe::ThreadEvent& event) {
    switch (event.step) {
        case probe::ThreadStep::kCreate: return create_thread(event);
        case probe::ThreadStep::kBegin: return begin_thread(event.thread);
        case probe::ThreadStep::kEnd: return end_thread();
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
    if (event.step == probe::PermitStep::kGive)
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
    descriptions_.add(variable, origins_.of(address_of(variable.object)));
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
    origins_.note(event.object, {thread->id, probe::capture_stack(history_ + probe::kOwnFrames)});
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
