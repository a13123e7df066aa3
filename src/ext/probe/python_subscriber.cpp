/// Subscribers that are callbacks in Python.
///
/// A callback gets one object, of the class that probe/events.py has for the event. It runs in the thread
/// that the event is about, inside a Suspension, and no signal handler interrupts it. Its exceptions go to
/// sys.unraisablehook.

#include "ext/probe/internals.hpp"

#ifdef THREADPROOF_PROBE

#include <array>
#include <cstring>
#include <initializer_list>
#include <mutex>

#include "ext/probe/api.hpp"
#include "ext/probe/entry.hpp"
#include "ext/probe/events_in_python.hpp"
#include "ext/probe/interrupts.hpp"
#include "ext/probe/stacks.hpp"

namespace threadproof::probe {
namespace {

constexpr std::size_t kEvents = std::size(kEventNames);
using Callbacks = std::array<PyObject*, kEvents>;  // owned, or null

/// For each event, its name as a str and the class of its objects; set once.
std::array<PyObject*, kEvents> names, classes;

constexpr const char* kLockKindNames[] = {TP_LOCK_KINDS(TP_NAME)};
constexpr const char* kAttemptNames[] = {TP_ATTEMPTS(TP_NAME)};
constexpr const char* kWaitReasonNames[] = {TP_WAIT_REASONS(TP_NAME)};
constexpr const char* kPartNames[] = {"", TP_PARTS(TP_NAME)};

template <class Enum, std::size_t kCount>
Ref name_of(const char* const (&enum_names)[kCount], Enum value) {
    return Ref::steal(checked(PyUnicode_InternFromString(enum_names[static_cast<std::size_t>(value)])));
}
Ref number(std::uint64_t value) { return Ref::steal(checked(PyLong_FromUnsignedLongLong(value))); }
Ref truth(bool value) { return Ref::borrow(value ? Py_True : Py_False); }
Ref or_none(PyObject* object) { return Ref::borrow(object ? object : Py_None); }

/// Field       | written         | read            | guard
/// ------------|-----------------|-----------------|------------------------------------------
/// callbacks_  | plain           | plain           | mutex_, for the moment of taking a reference
/// used        | plain           | plain           | the mutex of subscribe_python()
class PythonSubscriber final : public Subscriber {
 public:
    void set(Callbacks callbacks) {
        {
            std::lock_guard hold(mutex_);
            std::swap(callbacks_, callbacks);
        }
        for (PyObject* old : callbacks) ext::drop_reference(old);
    }

    void on(const LockEvent& event) override {
        constexpr EventKind kKinds[] = {EventKind::kAcquiring, EventKind::kAcquired, EventKind::kAbandoned,
                                        EventKind::kReleasing};
        call_back(kKinds[static_cast<int>(event.step)], event.lock, [&](auto&& call) {
            call(name_of(kLockKindNames, event.kind), name_of(kAttemptNames, event.attempt),
                 truth(event.internal));
        });
    }
    void on(const OrderEvent& event) override {
        EventKind kind = event.step == OrderStep::kPublish ? EventKind::kPublishing : EventKind::kObserved;
        call_back(kind, event.object, [&](auto&& call) { call(number(event.key)); });
    }
    void on(const ItemEvent& event) override {
        constexpr EventKind kKinds[] = {EventKind::kSending, EventKind::kUnsent, EventKind::kReceived};
        call_back(kKinds[static_cast<int>(event.step)], event.channel,
                  [&](auto&& call) { call(or_none(event.item)); });
    }
    void on(const PermitEvent& event) override {
        if (event.step == PermitStep::kWithdraw) return;  // the release that was announced has raised
        EventKind kind = event.step == PermitStep::kGive ? EventKind::kGivingPermits : EventKind::kTookPermit;
        call_back(kind, event.object, [&](auto&& call) { call(number(event.initial), number(event.count)); });
    }
    void on(const WaitEvent& event) override {
        call_back(event.step == WaitStep::kBegin ? EventKind::kWaiting : EventKind::kWaited, event.object,
                  [&](auto&& call) {
                      call(name_of(kWaitReasonNames, event.reason), name_of(kAttemptNames, event.attempt));
                  });
    }
    void on(const ThreadEvent& event) override {
        constexpr EventKind kKinds[] = {EventKind::kCreatingThread, EventKind::kThreadBegan,
                                        EventKind::kThreadEnding, EventKind::kJoined};
        if (event.step > ThreadStep::kJoin) return;
        call_back(kKinds[static_cast<int>(event.step)], nullptr,
                  [&](auto&& call) { call(number(event.thread), or_none(event.name)); });
    }
    bool access(const Variable& variable, unsigned flags) override {
        call_back(EventKind::kAccessing, variable.object, [&](auto&& call) {
            call(name_of(kPartNames, variable.part), or_none(variable.name), number(flags));
        });
        return true;
    }
    void step(const Variable& variable, unsigned flags) override { access(variable, flags); }
    void on(const MapEvent& event) override {
        constexpr EventKind kKinds[] = {EventKind::kReadKey,   EventKind::kChangingKey,
                                        EventKind::kReadMap,   EventKind::kChangingMap,
                                        EventKind::kComputing, EventKind::kComputed};
        call_back(kKinds[static_cast<int>(event.step)], event.map,
                  [&](auto&& call) { call(or_none(event.key)); });
    }
    void on(const ObjectEvent& event) override {
        // a deallocation must not run Python code, so no callback can have an interest in it
        call_back(event.step == ObjectStep::kAllocated ? EventKind::kAllocated : EventKind::kOwned, nullptr,
                  [&](auto&& call) { call(number(event.object)); });
    }
    void on(const ModuleEvent& event) override {
        call_back(event.step == ModuleStep::kRan ? EventKind::kModuleRan : EventKind::kModuleSeen, nullptr,
                  [&](auto&& call) { call(or_none(event.name)); });
    }

    void on(ForkStep step) override {
        if (step == ForkStep::kBefore) mutex_.lock();
        else mutex_.unlock();
    }

    bool used = false;

 private:
    /// A new reference, or null.
    Ref callback(EventKind kind) {
        std::lock_guard hold(mutex_);
        return Ref::borrow(callbacks_[static_cast<std::size_t>(kind)]);
    }

    /// Calls the callback with the event; `with(call)` passes the details to call().
    template <class With>
    void call_back(EventKind kind, PyObject* object, With&& with) {
        if (this_thread.suspended) return;  // a callback starts or joins a thread
        Ref function = callback(kind);
        if (!function) return;
        Suspension suspension;
        InterruptsHeld held;
        FromHere from_here;
        with_exception_aside(
            [&] { with([&](auto... details) { call(function.get(), kind, object, {details.get()...}); }); });
    }

    static void call(PyObject* function, EventKind kind, PyObject* object,
                     std::initializer_list<PyObject*> details) {
        auto index = static_cast<std::size_t>(kind);
        Ref thread = number(thread_number());
        std::array<PyObject*, 8> arguments{names[index], object ? object : Py_None, thread.get()};
        std::copy(details.begin(), details.end(), arguments.begin() + 3);
        Ref event = Ref::steal(
            checked(PyObject_Vectorcall(classes[index], arguments.data(), 3 + details.size(), nullptr)));
        Ref result = Ref::steal(PyObject_CallOneArg(function, event.get()));
        if (!result) PyErr_WriteUnraisable(function);
    }

    std::mutex mutex_;
    Callbacks callbacks_{};
};

std::mutex slots_mutex;
std::array<PythonSubscriber, kMostSubscribers>& subscribers =
    *new std::array<PythonSubscriber, kMostSubscribers>;

/// The index of an event, by its name; ValueError if there is none.
std::size_t event_named(PyObject* name) {
    for (std::size_t i = 0; i < kEvents; ++i)
        if (PyUnicode_Check(name) && PyUnicode_CompareWithASCIIString(name, kEventNames[i]) == 0) return i;
    PyErr_Format(PyExc_ValueError, "there is no event %R", name);
    throw PythonError{};
}

/// Takes a slot for one of the subscribers that is not used; throws if there is none.
std::size_t take_slot() {
    std::lock_guard hold(slots_mutex);
    for (PythonSubscriber& each : subscribers) {
        if (each.used) continue;
        std::size_t slot = subscribe(each);
        if (slot == kMostSubscribers) break;
        each.used = true;
        return slot;
    }
    PyErr_Format(PyExc_RuntimeError, "there are %zu subscribers already; end one of them first",
                 kMostSubscribers);
    throw PythonError{};
}

/// The Python subscriber in the slot; null if there is none, or another one.
PythonSubscriber* subscriber_in(std::size_t slot) {
    if (slot >= kMostSubscribers) return nullptr;
    Subscriber* there = interests.subscribers[slot].load(std::memory_order_relaxed);
    std::lock_guard hold(slots_mutex);
    for (PythonSubscriber& each : subscribers)
        if (&each == there && each.used) return &each;
    return nullptr;
}

}  // namespace

PyObject* set_event_classes(PyObject*, PyObject* by_name) {
    if (!PyDict_Check(by_name)) {
        PyErr_Format(PyExc_TypeError, "a dict of names and classes is wanted, got %R", by_name);
        throw PythonError{};
    }
    PyObject *name, *cls;
    for (Py_ssize_t place = 0; PyDict_Next(by_name, &place, &name, &cls);) {
        std::size_t index = event_named(name);
        names[index] = Py_NewRef(name);
        classes[index] = Py_NewRef(cls);
    }
    Py_RETURN_NONE;
}

PyObject* subscribe_python(PyObject*, PyObject* by_name) {
    if (!PyDict_Check(by_name)) {
        PyErr_Format(PyExc_TypeError, "a dict of names and callbacks is wanted, got %R", by_name);
        throw PythonError{};
    }
    Callbacks callbacks{};
    std::uint32_t mask = kForks;  // for the mutex
    PyObject *name, *callback;
    for (Py_ssize_t place = 0; PyDict_Next(by_name, &place, &name, &callback);) {
        std::size_t index = event_named(name);
        callbacks[index] = callback;
        mask |= kEventInterests[index];
    }
    std::size_t slot = take_slot();
    for (PyObject* each : callbacks) Py_XINCREF(each);
    subscriber_in(slot)->set(callbacks);
    set_interests(slot, mask);
    return PyLong_FromSize_t(slot);
}

PyObject* unsubscribe_python(PyObject*, PyObject* number) {
    std::size_t slot = PyLong_AsSize_t(number);
    PythonSubscriber* subscriber = subscriber_in(slot);
    if (!subscriber) {
        if (!PyErr_Occurred()) PyErr_Format(PyExc_ValueError, "there is no subscriber %R", number);
        throw PythonError{};
    }
    set_interests(slot, 0);
    subscriber->set({});
    unsubscribe(slot);
    std::lock_guard hold(slots_mutex);
    subscriber->used = false;
    Py_RETURN_NONE;
}

}  // namespace threadproof::probe

#endif
