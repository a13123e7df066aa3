/// The seam between the events of a program and the tools that watch it: typed events, and subscribers.
///
/// The interceptors (methods.cpp, functions.cpp, instructions.cpp, threads.cpp, deallocations.cpp) and
/// threadproof's own structures publish; the race detector, a profiler, an explorer of schedules and
/// callbacks in Python subscribe. Neither side includes the other. While no subscriber is interested in an
/// event, publishing it costs one relaxed load of the interests.
///
/// | event       | published                                                                            |
/// |-------------|--------------------------------------------------------------------------------------|
/// | LockEvent   | before an acquisition, which may block; after it; before a release                   |
/// | OrderEvent  | before a step that later observers are ordered after; after such an observation      |
/// | ItemEvent   | before an item is sent through a channel; after it was received, or was refused      |
/// | HandOverEvent | before an object is put into a container; after it was got from there               |
/// | PermitEvent | before a semaphore is released; after it was acquired; after a release that raised   |
/// | WaitEvent   | before and after the thread waits for a thread, an item or a computation             |
/// | ThreadEvent | before a thread is started; at its begin and end; after it was joined                |
/// | access      | before an access to a variable: an attribute, a global, an item of a container       |
/// | possible    | before what may be an access: see possible.hpp                                       |
/// | step        | after a read, before a write, of the value of a map's key or of an atomic            |
/// | SiteEvent   | after an instruction was judged                                                      |
/// | MapEvent    | before a concurrent map changes; after it was read; around a computation             |
/// | ObjectEvent | where an object is allocated, has one owner left, is deallocated                     |
/// | ModuleEvent | after a module's top level ran; after an import has waited for that                  |
/// | StateEvent  | before a step on the state of an object that is atomic, and not a lock's             |
/// | ClockEvent  | before a clock is read: a subscriber may set the time                                |
/// | fork        | before os.fork(), and after it in the parent and in the child                        |
///
/// A subscriber is called by the thread that the event is about, attached to the interpreter, while no lock
/// of the probe is held. It may block in an event that is published *before* a step; it then has to detach
/// the thread. It must not raise; but it may set this_thread.verdict, and then the interceptor does not execute
/// the step. Python code that it calls runs inside a Suspension, in which the thread
/// publishes nothing. In a deallocation it must neither block nor run Python code: the collector may see the
/// object.
///
/// Field of interests | written                  | read              | guard
/// -------------------|--------------------------|-------------------|------------------------------------------
/// all                | relaxed, under a mutex   | relaxed           | none: being late is harmless
/// of[slot]           | release, under a mutex   | acquire           | none: publishes the subscriber
/// subscribers[slot]  | relaxed, before of[slot] | relaxed, after it | none: a subscriber is never freed
/// of_accesses        | release, under a mutex   | acquire           | none: publishes the subscribers; during a
///                    |                          |                   | change, an event may reach one twice, or not
///
/// this_thread is read and written by its own thread only.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "core/base/hints.hpp"
#include "core/probe/object.hpp"
#include "core/probe/variable.hpp"
#include "ext/python/py.hpp"

#if PY_VERSION_HEX >= 0x030E0000 && PY_VERSION_HEX < 0x03100000
// the interpreters whose frames internals.hpp knows; elsewhere nothing subscribes
#define THREADPROOF_PROBE 1
#endif

namespace threadproof::probe {

// ---- events

/// The events that a subscriber wants; bits of a mask.
enum Interest : std::uint32_t {
    kLockAttempts = 1 << 0,  // LockEvents before an acquisition
    kLocks = 1 << 1,         // all other LockEvents
    kOrder = 1 << 2,
    kItems = 1 << 3,
    kPermits = 1 << 4,
    kWaits = 1 << 5,
    kThreadLife = 1 << 6,
    kAccesses = 1 << 7,
    kSites = 1 << 8,  // every SiteEvent; without it only those of idle sites
    kMaps = 1 << 9,
    kAllocations = 1 << 10,
    kOwnership = 1 << 11,
    kDeallocations = 1 << 12,  // of objects in the filter only
    kModules = 1 << 13,
    kForks = 1 << 14,
    kHandOvers = 1 << 15,
    kStates = 1 << 16,
    kClocks = 1 << 17,
    kPossible = 1 << 18,  // accesses that may be none
    kBlocks = 1 << 19,
};

/// A thread's serial number, from 1 on; 0 is no thread.
using ThreadNumber = std::uint64_t;

/// X(constant, name in Python), for the enumerations that Python code sees too.
#define TP_LOCK_KINDS(X)       \
    X(kMutex, "mutex")         \
    X(kReentrant, "reentrant") \
    X(kShared, "shared")       \
    X(kExclusive, "exclusive")
#define TP_ATTEMPTS(X)       \
    X(kBlocking, "blocking") \
    X(kTimed, "timed")       \
    X(kTry, "try")
#define TP_WAIT_REASONS(X)         \
    X(kJoin, "join")               \
    X(kItem, "item")               \
    X(kComputation, "computation") \
    X(kSleep, "sleep")
#define TP_PARTS(X)            \
    X(kAttribute, "attribute") \
    X(kItem, "item")           \
    X(kGlobal, "global")       \
    X(kStructure, "structure") \
    X(kCell, "cell")           \
    X(kIterator, "iterator")   \
    X(kIndex, "index")         \
    X(kValue, "value")
#define TP_CONSTANT(constant, name) constant,
#define TP_NAME(constant, name) name,

enum class LockKind : std::uint8_t { TP_LOCK_KINDS(TP_CONSTANT) };
/// How long a step may block.
enum class Attempt : std::uint8_t { TP_ATTEMPTS(TP_CONSTANT) };
enum class LockStep : std::uint8_t { kAcquiring, kAcquired, kAbandoned, kReleasing };

/// Whether a step on this object would not block now. Runs no code of the program.
using IsReady = bool (*)(void* object);

struct LockEvent {
    LockStep step;
    PyObject* lock;
    LockKind kind = LockKind::kMutex;
    Attempt attempt = Attempt::kBlocking;
    /// A library's own lock, acquired for its own purposes: inside an intercepted function, or by code of the
    /// standard library whose locks order nothing that the program may rely on.
    bool internal = false;
    bool excluded = false;  // threading's own, which every thread acquires at its start and end
    // of kAcquiring:
    double timeout = -1;         // seconds; of kTimed
    bool reentered = false;      // the thread has it already
    IsReady is_ready = nullptr;  // whether another thread's acquisition would not block
};

enum class OrderStep : std::uint8_t { kPublish, kObserve };

/// The steps of a thread before kPublish are ordered before the steps of any thread after a later kObserve of
/// the same object and key.
struct OrderEvent {
    OrderStep step;
    PyObject* object;
    std::uint64_t key = 0;  // which part of the object orders; 0: the object as a whole
};

enum class ItemStep : std::uint8_t { kSend, kUnsend, kReceive };

struct ItemEvent {
    ItemStep step;
    PyObject* channel;
    PyObject* item;
};

enum class HandOverStep : std::uint8_t { kPut, kGet, kTake };

/// A container in the role of a channel, such as a deque with append() and popleft(). kTake: the item is not in
/// there any more; kGet: other threads may get it, too.
struct HandOverEvent {
    HandOverStep step;
    PyObject* container;
    PyObject* item;
};

enum class PermitStep : std::uint8_t { kGive, kTake, kWithdraw };

struct PermitEvent {
    PermitStep step;
    PyObject* object;
    std::size_t initial;    // permits that were there before the first event of this object
    std::size_t count = 1;  // of kGive and kWithdraw
    /// Of kTake: where the initial permits and those given are used up, it is an observation of the object.
    bool or_observe = false;
};

enum class WaitStep : std::uint8_t { kBegin, kEnd };
enum class WaitReason : std::uint8_t { TP_WAIT_REASONS(TP_CONSTANT) };

struct WaitEvent {
    WaitStep step;
    WaitReason reason;
    PyObject* object;
    Attempt attempt = Attempt::kBlocking;
    // of kBegin:
    double timeout = -1;         // seconds; of kTimed
    IsReady is_ready = nullptr;  // null: not known
};

/// A step that reads or writes the state of an object at once, without a lock that is published: of a library's
/// object, such as an Event, or of a map or an atomic of ours.
struct StateEvent {
    PyObject* object;
    std::uint64_t part = 0;  // 0: the object as a whole
    bool write = false;
};

/// The program is about to read a clock. A subscriber that sets `time` decides what it reads, in nanoseconds.
struct ClockEvent {
    std::int64_t* time;
};

/// kJoinEnded: the calling thread has waited for all threads of threading that have ended. kForgotten: nobody can
/// join the thread any more; if it never began, it will not. The last two have no name in Python.
enum class ThreadStep : std::uint8_t { kCreate, kBegin, kEnd, kJoin, kJoinEnded, kForgotten };

struct ThreadEvent {
    ThreadStep step;
    ThreadNumber thread;       // which is created, begins, ends, was joined by the calling one, is forgotten
    PyObject* name = nullptr;  // of kCreate
    bool awaited = false;      // of kCreate: it may be joined
};

/// The part of an object that a variable is. A global is an item of its module's dict that has a name.
enum class Part : std::uint8_t { kNone, TP_PARTS(TP_CONSTANT) };

/// A variable of the program. `name` is its name in a report (an attribute's name, a key) or null. Borrowed.
struct Variable {
    PyObject* object;
    Field field;
    Part part;
    PyObject* name;
};

/// One instruction of the program, by its serial number.
struct SiteEvent {
    std::uint32_t site;
    bool idle;  // the instruction has accessed nothing that threads can share, and hardly ever will
};

enum class MapStep : std::uint8_t {
    kReadKey,
    kChangeKey,
    kReadAll,
    kChangeAll,
    kComputationBegin,
    kComputationEnd
};

struct MapEvent {
    MapStep step;
    PyObject* map;
    PyObject* key = nullptr;  // null where the step is about the whole map
};

enum class ObjectStep : std::uint8_t { kAllocated, kOwned, kDeallocated };

struct ObjectEvent {
    ObjectStep step;
    Object object;  // an address: kOwned may name an object that is about to be deallocated
};

enum class ModuleStep : std::uint8_t { kRan, kSeen };

struct ModuleEvent {
    ModuleStep step;
    PyObject* name;
};

enum class BlockStep : std::uint8_t { kBlocked, kUnblocked, kGaveUp, kReleasing, kCreated };

/// A thread that cannot go on: unlike the events of locks and waits, it is published only where there is contention,
/// so that a free lock costs one test. kBlocked: the calling thread is about to block at the object; then comes
/// kUnblocked, or kGaveUp where it got nothing (a timeout, an exception). kReleasing: the calling thread is about to
/// let a blocked thread go on. kCreated: such an object is new.
struct BlockEvent {
    BlockStep step;
    PyObject* object;
};

enum class ForkStep : std::uint8_t { kBefore, kInParent, kInChild };

// ---- subscribers

/// Receives the events of its interests. A subscriber must stay valid until the process ends.
class Subscriber {
 public:
    virtual void on(const LockEvent&) {}
    virtual void on(const OrderEvent&) {}
    virtual void on(const ItemEvent&) {}
    virtual void on(const HandOverEvent&) {}
    virtual void on(const PermitEvent&) {}
    virtual void on(const WaitEvent&) {}
    virtual void on(const ThreadEvent&) {}
    virtual void on(const MapEvent&) {}
    virtual void on(const ObjectEvent&) {}
    virtual void on(const ModuleEvent&) {}
    virtual void on(const StateEvent&) {}
    virtual void on(const ClockEvent&) {}
    virtual void on(const BlockEvent&) {}
    virtual void on(ForkStep) {}
    /// An access, with its AccessFlags. Returns whether it was news: then the probe checks for other
    /// variables that the same step may change. (The most frequent event by far, so its parts are passed in
    /// registers.)
    virtual bool access(const Variable&, [[maybe_unused]] unsigned flags) { return false; }
    /// An access that may be none, for a subscriber with kPossible. If `opaque` is there, such an object may do
    /// more than one step with the variable, and what it does in between is not published unless its `code`
    /// (null: it is in C) is instrumented.
    virtual void possible(const Variable&, [[maybe_unused]] unsigned flags,
                          [[maybe_unused]] PyTypeObject* opaque, [[maybe_unused]] PyObject* code) {}
    /// A step on a value whose every step is atomic and orders: that of a key of a concurrent map, or of an
    /// atomic. Its flags have kStep. For a subscriber with kAccesses.
    virtual void step(const Variable&, [[maybe_unused]] unsigned flags) {}
    /// Whether the subscriber wants the accesses of the next call of a container's method. It is asked first
    /// because that is cheaper than determining these accesses.
    virtual bool wants_call() { return true; }
    /// Whether the subscriber needs no further events of this site. The probe stops watching a site once all
    /// subscribers with kAccesses agree.
    virtual bool done_with(const SiteEvent& event) { return event.idle; }

 protected:
    ~Subscriber() = default;
};

inline constexpr std::size_t kMostSubscribers = 4;  // the race detector, another tool, and room for two

struct alignas(64) Interests {
    std::atomic<std::uint32_t> all{0};  // of any subscriber
    std::array<std::atomic<std::uint32_t>, kMostSubscribers> of{};
    std::array<std::atomic<Subscriber*>, kMostSubscribers> subscribers{};
    /// Those with kAccesses, and null behind the last one: accesses are by far the most frequent events.
    std::array<std::atomic<Subscriber*>, kMostSubscribers + 1> of_accesses{};
};
// hidden: or a shared library's address of it would be one more load
extern constinit Interests interests __attribute__((visibility("hidden")));

/// Takes a slot for the subscriber, with no interest yet; kMostSubscribers if all are taken.
std::size_t subscribe(Subscriber& subscriber);
void unsubscribe(std::size_t slot);
/// A thread that is publishing at this moment may still call the subscriber afterwards. The caller holds no
/// lock: the thread may be detached for a moment.
void set_interests(std::size_t slot, std::uint32_t mask);
/// Asserts that the fields of interests agree; std::logic_error if not.
void check_interests();

/// Keeps the module's attribute `listening` up to date: whether any subscriber is interested in the events
/// that structures written in Python publish. Reading an attribute costs them less than a call.
void show_listening_in(PyObject* module);

void lock_subscribers();  // around a fork
void unlock_subscribers();

/// Whether any subscriber has one of these interests.
TP_HOT bool listening([[maybe_unused]] std::uint32_t mask) {
#if defined(THREADPROOF_PROBE) && defined(__x86_64__)
    // a relaxed load and a test, which GCC makes two instructions of, and keeps a register for
    bool any;
    __asm__("testl %[mask], %[all]" : "=@ccnz"(any) : [all] "m"(interests.all), [mask] "ir"(mask) : "cc");
    return any;
#elif defined(THREADPROOF_PROBE)
    return (interests.all.load(std::memory_order_relaxed) & mask) != 0;
#else
    return false;
#endif
}

/// Calls call(subscriber) for each subscriber with this interest.
template <class Call>
TP_HOT void each_subscriber(std::uint32_t interest, Call&& call) {
    for (std::size_t slot = 0; slot < kMostSubscribers; ++slot)
        // acquire: pairs with the release store in set_interests(); makes the subscriber visible
        if (interests.of[slot].load(std::memory_order_acquire) & interest)
            call(*interests.subscribers[slot].load(std::memory_order_relaxed));
}

// ---- the calling thread

/// A subscriber's decision about the step of the event. The interceptor takes it once, after publishing.
enum class Verdict : std::uint8_t {
    kExecute,
    kGiveUp,  // the step ends at once, as if its timeout had passed
    kUnwind,  // it raises the exception of set_unwinding() instead
};

struct ThisThread {
    std::uint32_t suspended = 0;  // > 0: what the thread does is the probe's doing, or a subscriber's
    std::uint32_t internal = 0;   // > 0: it is inside an intercepted function of a library
    Verdict verdict = Verdict::kExecute;
    bool accessed = false;         // it has accessed a variable since this was last set to false
    ThreadNumber number = 0;       // 0: none assigned yet
    PyObject* computed = nullptr;  // the function that ran last for a functools.lru_cache; borrowed
};
// Every watched instruction reads these words: initial-exec spares a call, and takes little of the space that
// dlopen() has left.
extern constinit thread_local ThisThread this_thread __attribute__((tls_model("initial-exec")));

/// While there is one, the thread publishes nothing but threads and deallocations.
class Suspension {
 public:
    Suspension() { ++this_thread.suspended; }
    ~Suspension() { --this_thread.suspended; }
    Suspension(const Suspension&) = delete;
    Suspension& operator=(const Suspension&) = delete;
};

/// Whether the thread's steps are the program's own now.
TP_HOT bool in_program() { return (this_thread.suspended | this_thread.internal) == 0; }

ThreadNumber new_thread_number();
inline ThreadNumber thread_number() {
    if (this_thread.number == 0) this_thread.number = new_thread_number();
    return this_thread.number;
}

// ---- publishing

/// The interest that an event belongs to.
TP_HOT std::uint32_t interest_of(const LockEvent& event) {
    return event.step == LockStep::kAcquiring ? kLockAttempts : kLocks;
}
TP_HOT std::uint32_t interest_of(const OrderEvent&) { return kOrder; }
TP_HOT std::uint32_t interest_of(const ItemEvent&) { return kItems; }
TP_HOT std::uint32_t interest_of(const HandOverEvent&) { return kHandOvers; }
TP_HOT std::uint32_t interest_of(const PermitEvent&) { return kPermits; }
TP_HOT std::uint32_t interest_of(const WaitEvent&) { return kWaits; }
TP_HOT std::uint32_t interest_of(const ThreadEvent&) { return kThreadLife; }
TP_HOT std::uint32_t interest_of(const MapEvent&) { return kMaps; }
TP_HOT std::uint32_t interest_of(const ModuleEvent&) { return kModules; }
TP_HOT std::uint32_t interest_of(const StateEvent&) { return kStates; }
TP_HOT std::uint32_t interest_of(const ClockEvent&) { return kClocks; }
TP_HOT std::uint32_t interest_of(const BlockEvent&) { return kBlocks; }
TP_HOT std::uint32_t interest_of(const ObjectEvent& event) {
    switch (event.step) {
        case ObjectStep::kAllocated: return kAllocations;
        case ObjectStep::kOwned: return kOwnership;
        default: return kDeallocations;
    }
}

/// Whether the thread publishes such an event now. Threads and deallocations are always published, whoever
/// causes them. Locks, waits and states inside a library's function are, too: threads wait for each other there.
template <class Event>
TP_HOT bool may_publish(const Event&) {
    return in_program();
}
TP_HOT bool may_publish(const LockEvent&) { return this_thread.suspended == 0; }
TP_HOT bool may_publish(const WaitEvent&) { return this_thread.suspended == 0; }
TP_HOT bool may_publish(const BlockEvent&) { return this_thread.suspended == 0; }
TP_HOT bool may_publish(const ThreadEvent&) { return true; }
TP_HOT bool may_publish(const StateEvent&) { return this_thread.suspended == 0; }
TP_HOT bool may_publish(const ClockEvent&) { return this_thread.suspended == 0; }
TP_HOT bool may_publish(const ObjectEvent& event) {
    return event.step == ObjectStep::kDeallocated || in_program();
}

template <class Event>
TP_APART void deliver(const Event& event) {
    each_subscriber(interest_of(event), [&](Subscriber& subscriber) { subscriber.on(event); });
}

/// Delivers the event to the subscribers that want it. If making the event costs something, check listening()
/// first.
template <class Event>
TP_HOT void publish(const Event& event) {
    if (TP_UNLIKELY(listening(interest_of(event))) && may_publish(event)) deliver(event);
}

/// Calls call(subscriber) for each subscriber with kAccesses.
template <class Call>
TP_HOT void each_access_subscriber(Call&& call) {
    // acquire: pairs with the release stores in set_interests(); makes the subscriber visible
    for (auto* next = interests.of_accesses.data(); Subscriber* each = next->load(std::memory_order_acquire);
         ++next)
        call(*each);
}

/// The decision about the step that was published last.
TP_HOT Verdict take_verdict() {
    if (TP_LIKELY(this_thread.verdict == Verdict::kExecute)) return Verdict::kExecute;
    return std::exchange(this_thread.verdict, Verdict::kExecute);
}

/// The class of the exception that unwinds a thread; for good.
void set_unwinding(PyObject* exception);
/// Sets that exception.
TP_COLD void raise_unwinding();
/// Clears the exception that is set if it is that one; whether it was.
TP_COLD bool clear_unwinding();

/// Publishes an access; whether it was news for any subscriber. The caller has checked listening().
bool record_access(const Variable& variable, unsigned flags);

}  // namespace threadproof::probe
