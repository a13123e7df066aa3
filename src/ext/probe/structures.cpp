/// Publishes the steps of threadproof's own structures.

#include "ext/probe/structures.hpp"

#ifdef THREADPROOF_PROBE

#include "ext/probe/entry.hpp"
#include "ext/probe/objects.hpp"
#include "ext/probe/stacks.hpp"

namespace threadproof::probe {
namespace {

unsigned flags_of(Use use, bool found) {
    unsigned flags = kStep;
    if (use == Use::kCheck) flags |= kCheck;
    if (use == Use::kAtomic) flags |= kAtomic;
    return found ? flags : flags | kAbsent;
}

/// The values of keys and atomics that the program's own code uses: what a library does with them is its own
/// affair, as with all other variables.
void publish_step(const Variable& variable, unsigned flags) {
    if (!listening(kAccesses) || !in_program() || program_caller() != Caller::kProgram) return;
    each_access_subscriber([&](Subscriber& subscriber) { subscriber.step(variable, flags); });
}

/// Atomics within threadproof's own Once and Pool order nothing that the program may rely on.
bool is_own() { return caller() == Caller::kUninstrumented; }

std::uint64_t key_of(const AtomicStep& step) { return static_cast<std::uint64_t>(step.index + 1); }

Variable variable_of(const AtomicStep& step, PyObject* index) {
    return {step.atomic, key_of(step), Part::kValue, index};
}

void publish_atomic_step(const AtomicStep& step, unsigned flags) {
    Ref index;
    if (step.index >= 0) index = Ref::steal(checked(PyLong_FromLongLong(step.index)));
    publish_step(variable_of(step, index.get()), flags);
}

}  // namespace

bool is_native_key(PyObject* key) noexcept { return is_plain_key(key); }

TP_COLD void about_to_read(PyObject* map) noexcept {
    with_exception_aside([&] { publish(StateEvent{.object = map}); });
}

TP_COLD void about_to_change(PyObject* map) noexcept {
    with_exception_aside([&] { publish(StateEvent{.object = map, .write = true}); });
}

TP_COLD void about_to_read(const AtomicStep& step) noexcept {
    with_exception_aside([&] { publish(StateEvent{step.atomic, key_of(step)}); });
}

TP_COLD void read_key(PyObject* map, PyObject* key, Use use, bool found) noexcept {
    with_exception_aside([&] {
        publish(MapEvent{MapStep::kReadKey, map, key});
        publish_step(item_of(map, key), flags_of(use, found));
    });
}

TP_COLD void change_key(PyObject* map, PyObject* key, Use use, bool found) noexcept {
    about_to_change(map);
    with_exception_aside([&] {
        publish(MapEvent{MapStep::kChangeKey, map, key});
        publish_step(item_of(map, key), kWrite | flags_of(use, found));
    });
}

TP_COLD void begin_computation(PyObject* map, PyObject* key) noexcept {
    about_to_change(map);
    with_exception_aside([&] { publish(MapEvent{MapStep::kComputationBegin, map, key}); });
}

TP_COLD void end_computation(PyObject* map, PyObject* key, bool found) noexcept {
    about_to_change(map);
    with_exception_aside([&] {
        publish(MapEvent{MapStep::kComputationEnd, map, key});
        publish_step(item_of(map, key), kWrite | flags_of(Use::kAtomic, found));
    });
}

TP_COLD void read_map(PyObject* map) noexcept {
    with_exception_aside([&] { publish(MapEvent{MapStep::kReadAll, map}); });
}

TP_COLD void change_map(PyObject* map) noexcept {
    about_to_change(map);
    with_exception_aside([&] { publish(MapEvent{MapStep::kChangeAll, map}); });
}

TP_COLD void read_atomic(const AtomicStep& step, bool truth) noexcept {
    with_exception_aside([&] {
        if (is_own()) return;
        if (step.orders) publish(OrderEvent{OrderStep::kObserve, step.atomic, key_of(step)});
        publish_atomic_step(step, flags_of(step.use, truth));
    });
}

TP_COLD void write_atomic(const AtomicStep& step, bool truth) noexcept {
    with_exception_aside([&] {
        publish(StateEvent{step.atomic, key_of(step), true});
        if (is_own()) return;
        if (step.orders) publish(OrderEvent{OrderStep::kPublish, step.atomic, key_of(step)});
        publish_atomic_step(step, kWrite | flags_of(step.use, truth));
    });
}

TP_COLD void publish_lock(LockStep step, PyObject* lock, LockKind kind) noexcept {
    with_exception_aside([&] {
        bool internal = this_thread.internal > 0 || is_own();
        publish(LockEvent{step, lock, kind, Attempt::kBlocking, internal});
    });
}

TP_COLD void publish_attempt(PyObject* lock, LockKind kind, double timeout, bool reentered,
                             IsReady is_ready) noexcept {
    with_exception_aside([&] {
        LockEvent event{LockStep::kAcquiring, lock, kind};
        event.attempt = timeout < 0 ? Attempt::kBlocking : timeout > 0 ? Attempt::kTimed : Attempt::kTry;
        event.internal = this_thread.internal > 0 || is_own();
        event.timeout = timeout;
        event.reentered = reentered;
        event.is_ready = is_ready;
        publish(event);
    });
}

TP_COLD void Blocked::publish_block(BlockStep step, PyObject* object) noexcept {
    with_exception_aside([&] { publish(BlockEvent{step, object}); });
}

}  // namespace threadproof::probe

#else

namespace threadproof::probe {

bool is_native_key(PyObject*) noexcept { return false; }
void about_to_read(PyObject*) noexcept {}
void about_to_change(PyObject*) noexcept {}
void about_to_read(const AtomicStep&) noexcept {}
void read_key(PyObject*, PyObject*, Use, bool) noexcept {}
void change_key(PyObject*, PyObject*, Use, bool) noexcept {}
void begin_computation(PyObject*, PyObject*) noexcept {}
void end_computation(PyObject*, PyObject*, bool) noexcept {}
void read_map(PyObject*) noexcept {}
void change_map(PyObject*) noexcept {}
void read_atomic(const AtomicStep&, bool) noexcept {}
void write_atomic(const AtomicStep&, bool) noexcept {}
void publish_lock(LockStep, PyObject*, LockKind) noexcept {}
void publish_attempt(PyObject*, LockKind, double, bool, IsReady) noexcept {}
void Blocked::publish_block(BlockStep, PyObject*) noexcept {}

}  // namespace threadproof::probe

#endif
