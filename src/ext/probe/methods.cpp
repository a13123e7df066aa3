/// Intercepts methods of C types and functions of C modules.
///
/// Every caller of such a method goes through the function pointer in its PyMethodDef: bound methods, map(),
/// functools.partial, `with`, and C code. intercept_method() puts a trampoline there, once per process, which
/// publishes events and calls the original.
///
/// A trampoline has to know its original, and C function pointers carry no data. So there is one trampoline
/// for each number and calling convention, made by templates.

#include "ext/probe/internals.hpp"

#ifdef THREADPROOF_PROBE

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <vector>

#include "ext/probe/accesses.hpp"
#include "ext/probe/api.hpp"
#include "ext/probe/blocking.hpp"
#include "ext/probe/entry.hpp"
#include "ext/probe/methods.hpp"
#include "ext/probe/objects.hpp"
#include "ext/probe/stacks.hpp"
#include "ext/python/compat.hpp"

namespace threadproof::probe {
namespace {

// Half as many again as interceptors.py and probe/library have: 152.
constexpr std::size_t kMostMethods = 256;

struct Method {
    PyCFunction original;
    MethodAction action;
    unsigned one_step;  // the Containers that it goes over in one step
    Py_ssize_t first;   // of the arguments that it goes over
};
std::array<Method, kMostMethods> methods;
std::array<const PyMethodDef*, kMostMethods> definitions;  // theirs, in the same order
std::size_t method_count = 0;

PyObject* excluded_lock = nullptr;  // threading's own, which every thread acquires at its start and end
PyTypeObject* reentrant = nullptr;  // the type of threading.RLock()
// Methods of the two types of locks, called directly: an interception changes nothing.
PyCFunction is_lock_held, is_rlock_held, is_rlock_owned;

/// One call of an intercepted method.
struct Call {
    PyObject* self;
    PyObject* const* arguments;  // by position, then those by name
    Py_ssize_t count;            // by position
    PyObject* names;
    PyObject* keywords = nullptr;  // a dict, if they come as one

    PyObject* first() const { return count > 0 ? arguments[0] : nullptr; }

    /// Null if there is no such argument.
    PyObject* named(const char* name) const {
        for (Py_ssize_t i = 0; names && i < PyTuple_GET_SIZE(names); ++i)
            if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, i), name) == 0)
                return arguments[count + i];
        return keywords ? PyDict_GetItemString(keywords, name) : nullptr;
    }
    PyObject* argument(Py_ssize_t position, const char* name) const {
        return position < count ? arguments[position] : named(name);
    }
};

// ---- locks

bool is_internal(PyObject* lock) {
    return this_thread.internal > 0 || lock == excluded_lock || caller() == Caller::kUninstrumented;
}

LockEvent lock_event(LockStep step, PyObject* lock) {
    LockKind kind = Py_IS_TYPE(lock, reentrant) ? LockKind::kReentrant : LockKind::kMutex;
    return {step, lock, kind, Attempt::kBlocking, is_internal(lock), lock == excluded_lock};
}

bool lock_is_free(void* lock) { return is_lock_held(static_cast<PyObject*>(lock), nullptr) == Py_False; }
bool rlock_is_free(void* lock) { return is_rlock_held(static_cast<PyObject*>(lock), nullptr) == Py_False; }

void before_acquire(const Call& call) {
    if (!listening(kLockAttempts)) return;
    LockEvent event = lock_event(LockStep::kAcquiring, call.self);
    // acquire(blocking=True, timeout=-1); `with` passes neither, and _acquire_restore() a tuple
    PyObject *blocking = call.argument(0, "blocking"), *timeout = call.argument(1, "timeout");
    event.attempt = attempt_of(blocking, timeout);
    if (event.attempt == Attempt::kTimed) event.timeout = seconds_of(timeout);
    event.reentered = event.kind == LockKind::kReentrant && is_rlock_owned(call.self, nullptr) == Py_True;
    event.is_ready = event.kind == LockKind::kReentrant ? rlock_is_free : lock_is_free;
    publish(event);
}

/// `result` is null where the acquisition raised.
void after_acquire(const Call& call, PyObject* result) {
    bool acquired = result && result != Py_False;
    if (acquired && !listening(kLocks)) return;
    if (!acquired && !listening(kLockAttempts)) return;
    publish(lock_event(acquired ? LockStep::kAcquired : LockStep::kAbandoned, call.self));
}

// ---- containers

void change_item(PyObject* self, PyObject* key) {
    if (key) record_access(PyDict_Check(self) ? key_of(self, key) : item_of(self, key), kWrite | kAtomic);
    record_change(self);
}

/// The value of the key; null if it is not there, or if looking it up would run user code.
Ref value_of(PyObject* dict, PyObject* key) {
    return PyDict_Check(dict) && key && is_plain_key(key) ? plain_value(dict, key) : Ref();
}

/// d.pop(key): nothing changes if the key is not there. What the thread is about to get comes after it was put
/// there, and so does the pop().
void take_item(PyObject* self, PyObject* key) {
    Ref value = value_of(self, key);
    if (value) hand_over(HandOverStep::kGet, self, value.get());
    if (value || !PyDict_Check(self) || !key || !is_plain_key(key)) change_item(self, key);
    else record_access(key_of(self, key), kAtomic);
}

/// d.setdefault(key): the structure changes only if the key is new.
void store_item(PyObject* self, PyObject* key) {
    if (key && PyDict_Check(self)) record_store(self, key, kAtomic);
    else change_item(self, key);
}

/// The keys of a dict that other threads may be changing: its lock keeps its table from being replaced.
std::vector<Ref> keys_of(PyObject* dict) {
    std::vector<Ref> keys;
    keys.reserve(static_cast<std::size_t>(PyDict_GET_SIZE(dict)));
    PyObject *key, *value;
    ext::CriticalSection section(dict);
    for (Py_ssize_t place = 0; PyDict_Next(dict, &place, &key, &value);) keys.push_back(Ref::borrow(key));
    return keys;
}

/// d.update(other): each key of an exact dict, or else d as a whole.
void update_dict(PyObject* self, PyObject* other, unsigned one_step) {
    if (!other) return;
    record_consumed(other, one_step);
    if (!PyDict_CheckExact(other)) return record_change(self);
    for (const Ref& each : keys_of(other)) record_store(self, each.get(), kAtomic);
}

void access_container(const Method& method, const Call& call) {
    PyObject *self = call.self, *first = call.first();
    auto consume = [&] { record_arguments(call.arguments, call.count, method.first, method.one_step); };
    switch (method.action) {
        case MethodAction::kChange: return record_change(self);
        case MethodAction::kRead: record_access(structure_of(self), kAtomic); return;
        case MethodAction::kLoadItem:
            if (first) record_access(key_of(self, first), 0);
            return;
        case MethodAction::kReadItem:
            if (first) record_access(PyDict_Check(self) ? key_of(self, first) : item_of(self, first), kCheck);
            return;
        case MethodAction::kExtend: consume(); return record_change(self);
        case MethodAction::kReadWith: record_access(structure_of(self), kAtomic); return consume();
        case MethodAction::kGoOver: record_access(structure_of(self), kIterate); return;
        case MethodAction::kConsume: return consume();
        case MethodAction::kUpdateDict:
            update_dict(self, first, method.one_step);
            return update_dict(self, call.keywords, method.one_step);
        case MethodAction::kPutArgument:
        case MethodAction::kTakeArgument:
        case MethodAction::kChangeArgument:
            if (first && PyList_Check(first)) record_change(first);
            return;
        case MethodAction::kStoreItem: return store_item(self, first);
        case MethodAction::kPutItem:
        case MethodAction::kChangeItem: return change_item(self, first);
        case MethodAction::kTakeItem: return take_item(self, first);
        case MethodAction::kPut:
        case MethodAction::kInsert:
        case MethodAction::kTake:
        case MethodAction::kTakePair: return record_change(self);
        default: return;
    }
}

void before_container(const Method& method, const Call& call) {
    if (records_calls()) access_container(method, call);
}

// ---- objects handed over

/// The arguments that a method puts into a container.
void put_arguments(MethodAction action, const Call& call) {
    auto put = [&](PyObject* container, Py_ssize_t place) {
        if (container && place < call.count) hand_over(HandOverStep::kPut, container, call.arguments[place]);
    };
    switch (action) {
        case MethodAction::kPut:
        case MethodAction::kPutItem: return put(call.self, 0);
        case MethodAction::kInsert:
        case MethodAction::kStoreItem: return put(call.self, 1);
        case MethodAction::kPutArgument:
        case MethodAction::kTakeArgument: return put(call.first(), 1);
        case MethodAction::kExtend: {
            PyObject* from = call.first();
            if (!from || !(PyList_CheckExact(from) || PyTuple_CheckExact(from))) return;
            for (Py_ssize_t i = 0; i < Py_SIZE(from); ++i)
                if (Ref item = Ref::steal(PySequence_GetItem(from, i)))
                    hand_over(HandOverStep::kPut, call.self, item.get());
                else return PyErr_Clear();
            return;
        }
        default: return;
    }
}

/// What a method gets out of a container.
void take_result(MethodAction action, const Call& call, PyObject* result) {
    switch (action) {
        case MethodAction::kTakeItem:
        case MethodAction::kTake: return hand_over(HandOverStep::kTake, call.self, result);
        case MethodAction::kStoreItem: return hand_over(HandOverStep::kGet, call.self, result);
        case MethodAction::kTakeArgument:
            if (call.first()) hand_over(HandOverStep::kTake, call.first(), result);
            return;
        case MethodAction::kTakePair:
            for (Py_ssize_t i = 0; PyTuple_Check(result) && i < PyTuple_GET_SIZE(result); ++i)
                hand_over(HandOverStep::kTake, call.self, PyTuple_GET_ITEM(result, i));
            return;
        default: return;
    }
}

// ---- channels

bool has_items(void* channel) {
    bool items = false;
    with_exception_aside([&] {
        static PyObject* name = PyUnicode_InternFromString("qsize");
        Suspension suspension;
        Ref size = Ref::steal(checked(PyObject_CallMethodNoArgs(static_cast<PyObject*>(channel), name)));
        items = PyObject_IsTrue(size.get()) == 1;
    });
    return items;
}

/// get(block=True, timeout=None).
void before_receive_now(const Call& call) {
    publish(WaitEvent{WaitStep::kBegin, WaitReason::kItem, call.self, Attempt::kTry});
}

void before_receive(const Call& call) {
    if (!listening(kWaits)) return;
    PyObject *block = call.argument(0, "block"), *timeout = call.argument(1, "timeout");
    WaitEvent event{WaitStep::kBegin, WaitReason::kItem, call.self, attempt_of(block, timeout)};
    if (event.attempt == Attempt::kTimed) event.timeout = seconds_of(timeout);
    event.is_ready = has_items;
    publish(event);
}

// ---- time

void before_sleep(const Call& call) {
    double seconds = call.first() ? seconds_of(call.first()) : -1;
    if (!(seconds >= 0)) return;  // the function itself raises
    publish(WaitEvent{WaitStep::kBegin, WaitReason::kSleep, call.self, Attempt::kTimed, seconds});
}

/// The time that a subscriber sets; null if none does.
PyObject* read_clock(MethodAction action) {
    constexpr std::int64_t kUnset = -1;
    std::int64_t time = kUnset;
    contained([&] { publish(ClockEvent{&time}); });
    if (time == kUnset) return nullptr;
    return action == MethodAction::kReadClockNs ? PyLong_FromLongLong(time)
                                                : PyFloat_FromDouble(static_cast<double>(time) * 1e-9);
}

// ---- bytes

/// Stands for all sockets, pipes and files, because which of them are two ends of one is not known here: Go's
/// syscall package does so too (ioSync). Null: bytes order nothing. Release in order_bytes(), acquire here: makes the
/// object visible.
std::atomic<PyObject*> all_bytes{nullptr};

void publish_bytes(OrderStep step) {
    if (PyObject* all = all_bytes.load(std::memory_order_acquire)) publish(OrderEvent{step, all});
}

// ---- all methods

/// What a call publishes before the original runs.
void before(const Method& method, const Call& call) {
    MethodAction action = method.action;
    switch (action) {
        case MethodAction::kAcquire: return before_acquire(call);
        case MethodAction::kRelease:
            if (listening(kLocks)) publish(lock_event(LockStep::kReleasing, call.self));
            return;
        case MethodAction::kReadState: return publish(StateEvent{call.self});
        case MethodAction::kSleep: return before_sleep(call);
        case MethodAction::kSend:
            publish(StateEvent{.object = call.self, .write = true});
            if (PyObject* item = call.argument(0, "item"))
                publish(ItemEvent{ItemStep::kSend, call.self, item});
            return;
        case MethodAction::kReceive: return before_receive(call);
        case MethodAction::kReceiveNow: return before_receive_now(call);
        case MethodAction::kPublish: return publish(OrderEvent{OrderStep::kPublish, call.self});
        case MethodAction::kSendBytes: return publish_bytes(OrderStep::kPublish);
        case MethodAction::kReceiveBytes:
        case MethodAction::kJoin:
        case MethodAction::kCreate: return;
        default:
            before_container(method, call);
            // after the access, for that is ordered before whoever takes the item out, too
            if (listening(kHandOvers)) put_arguments(action, call);
            return;
    }
}

/// Publishes the events of a call after the original; `result` is null if that raised.
void after(MethodAction action, const Call& call, PyObject* result) {
    switch (action) {
        case MethodAction::kAcquire: return after_acquire(call, result);
        case MethodAction::kReceive:
        case MethodAction::kReceiveNow:
            publish(WaitEvent{WaitStep::kEnd, WaitReason::kItem, call.self});
            if (result) publish(ItemEvent{ItemStep::kReceive, call.self, result});
            return;
        case MethodAction::kReceiveBytes:
            if (result) publish_bytes(OrderStep::kObserve);
            return;
        default:
            if (result && listening(kHandOvers)) take_result(action, call, result);
            return;
    }
}

/// The events that intercepted methods publish.
constexpr std::uint32_t kOfMethods =
    kLockAttempts | kLocks | kOrder | kItems | kWaits | kAccesses | kHandOvers | kStates | kClocks;

/// The result of a call whose original does not run.
TP_COLD PyObject* refused(Verdict verdict, MethodAction action, const Call& call) {
    if (verdict == Verdict::kUnwind) {
        raise_unwinding();
        return nullptr;
    }
    if (action == MethodAction::kAcquire) Py_RETURN_FALSE;
    if (action != MethodAction::kReceive) Py_RETURN_NONE;
    Suspension suspension;
    static PyObject* name = PyUnicode_InternFromString("get_nowait");
    return PyObject_CallMethodNoArgs(call.self, name);  // raises Empty
}

/// The original of a call, as a function without a type of its own: there are thousands of trampolines.
struct Original {
    PyObject* (*function)(const void*);
    const void* call;
    PyObject* operator()() const { return function(call); }
};

/// Whether the call is about to block; a thread that comes in between is not seen.
bool will_block(MethodAction action, const Call& call) {
    switch (action) {
        case MethodAction::kAcquire: return is_held_by_another(call.self);
        case MethodAction::kReceive: return is_empty_queue(call.self);
        case MethodAction::kJoin: return is_running_thread(call.self);
        default: return false;
    }
}

/// Whether the call, which would block, only tries.
bool is_try(MethodAction action, const Call& call) {
    if (action == MethodAction::kJoin) return false;
    const char* name = action == MethodAction::kAcquire ? "blocking" : "block";
    return attempt_of(call.argument(0, name), call.argument(1, "timeout")) == Attempt::kTry;
}

/// acquire() without arguments of a lock that is free, with CPython's own first step, which ends it: so the call of
/// the original is saved, and pays for the trampoline.
TP_HOT bool acquires_at_once(MethodAction action, const Call& call) {
    if (action != MethodAction::kAcquire || call.count != 0 || call.names || call.keywords) return false;
    if (Py_IS_TYPE(call.self, lock_types.mutex)) return try_acquire(mutex_of(call.self));
    return Py_IS_TYPE(call.self, lock_types.reentrant) && try_acquire(recursive_of(call.self));
}

/// Whether the call publishes no block: one test for a lock that nobody else wants.
bool is_quiet(MethodAction action, const Call& call) {
    switch (action) {
        case MethodAction::kAcquire: return !is_held_by_another(call.self);
        case MethodAction::kRelease: return !has_blocked_threads(call.self);
        case MethodAction::kReceive:
        case MethodAction::kSend:
        case MethodAction::kJoin:
        case MethodAction::kCreate: return false;
        default: return true;
    }
}

enum class Block : std::uint8_t { kDone, kQuiet, kPublished };

/// What is to be done for the call: nothing, for it is done; the original only; or with_blocks().
TP_APART Block block_of(MethodAction action, const Call& call) {
    if (acquires_at_once(action, call)) return Block::kDone;
    return is_quiet(action, call) ? Block::kQuiet : Block::kPublished;
}

/// Calls the original, and publishes that the thread is blocked, lets another one go on, or has made a lock.
TP_APART PyObject* with_blocks(MethodAction action, const Call& call, Original original) {
    if (will_block(action, call) && !is_try(action, call)) {
        contained([&] { publish(BlockEvent{BlockStep::kBlocked, call.self}); });
        PyObject* result = original();
        BlockStep end = result && result != Py_False ? BlockStep::kUnblocked : BlockStep::kGaveUp;
        with_exception_aside([&] { publish(BlockEvent{end, call.self}); });
        return result;
    }
    if (action == MethodAction::kRelease || action == MethodAction::kSend)
        contained([&] { publish(BlockEvent{BlockStep::kReleasing, call.self}); });
    PyObject* result = original();
    if (action == MethodAction::kCreate && result)
        contained([&] { publish(BlockEvent{BlockStep::kCreated, result}); });
    return result;
}

/// The call of the original without the events of other subscribers.
template <class Run>
TP_HOT PyObject* run_between_blocks(MethodAction action, const Call& call, const Run& run) {
    switch (listening(kBlocks) ? block_of(action, call) : Block::kQuiet) {
        case Block::kDone: return Py_NewRef(Py_True);
        case Block::kQuiet: return run();
        case Block::kPublished: break;
    }
    auto original = [](const void* function) { return (*static_cast<const Run*>(function))(); };
    return with_blocks(action, call, {original, &run});
}

template <class To>
PyObject* intercepted(std::size_t number, const Call& call, To&& to) {
    void* original = reinterpret_cast<void*>(methods[number].original);
    if (!listening(kOfMethods | kBlocks)) return to(original);
    MethodAction action = methods[number].action;
    auto run = [&] { return to(original); };
    if (!listening(kOfMethods)) return run_between_blocks(action, call, run);
    if (action == MethodAction::kReadClock || action == MethodAction::kReadClockNs) {
        PyObject* time = read_clock(action);
        return time ? time : run();
    }
    contained([&] { before(methods[number], call); });
    Verdict verdict = take_verdict();
    // a lock that a thread releases while it unwinds is released
    bool executes = TP_LIKELY(verdict == Verdict::kExecute) || action == MethodAction::kRelease;
    PyObject* result = executes ? run_between_blocks(action, call, run) : refused(verdict, action, call);
    if (TP_LIKELY(result != nullptr)) contained([&] { after(action, call, result); });
    else with_exception_aside([&] { after(action, call, nullptr); });
    return result;
}

/// The function for method kNumber, in each calling convention.
template <std::size_t kNumber>
struct Trampoline {
    static PyObject* positional(PyObject* self, PyObject* arguments) {
        Call call{self, &PyTuple_GET_ITEM(arguments, 0), PyTuple_GET_SIZE(arguments), nullptr};
        return intercepted(kNumber, call,
                           [&](void* to) { return reinterpret_cast<PyCFunction>(to)(self, arguments); });
    }
    static PyObject* one(PyObject* self, PyObject* argument) {  // METH_O and METH_NOARGS
        Call call{self, &argument, argument ? 1 : 0, nullptr};
        return intercepted(kNumber, call,
                           [&](void* to) { return reinterpret_cast<PyCFunction>(to)(self, argument); });
    }
    static PyObject* fast(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
        return intercepted(kNumber, {self, arguments, count, nullptr}, [&](void* to) {
            return reinterpret_cast<PyCFunctionFast>(to)(self, arguments, count);
        });
    }
    static PyObject* fast_named(PyObject* self, PyObject* const* arguments, Py_ssize_t count,
                                PyObject* names) {
        Call call{self, arguments, count, names};
        return intercepted(kNumber, call, [&](void* to) {
            return reinterpret_cast<PyCFunctionFastWithKeywords>(to)(self, arguments, count, names);
        });
    }
    static PyObject* named(PyObject* self, PyObject* arguments, PyObject* names) {
        Call call{self, &PyTuple_GET_ITEM(arguments, 0), PyTuple_GET_SIZE(arguments), nullptr, names};
        return intercepted(kNumber, call, [&](void* to) {
            return reinterpret_cast<PyCFunctionWithKeywords>(to)(self, arguments, names);
        });
    }
    static PyObject* with_class(PyObject* self, PyTypeObject* defining, PyObject* const* arguments,
                                size_t count, PyObject* names) {
        Call call{self, arguments, static_cast<Py_ssize_t>(count), names};
        return intercepted(kNumber, call, [&](void* to) {
            return reinterpret_cast<PyCMethod>(to)(self, defining, arguments, count, names);
        });
    }
};

/// The trampoline of method `number` in the given calling convention; null for an unknown convention.
template <std::size_t... kNumbers>
PyCFunction trampoline(std::size_t number, int flags, std::index_sequence<kNumbers...>) {
    using ext::method;
    static const PyCFunction one[] = {method<Trampoline<kNumbers>::one>()...};
    static const PyCFunction positional[] = {method<Trampoline<kNumbers>::positional>()...};
    static const PyCFunction fast[] = {method<Trampoline<kNumbers>::fast>()...};
    static const PyCFunction fast_named[] = {method<Trampoline<kNumbers>::fast_named>()...};
    static const PyCFunction named[] = {method<Trampoline<kNumbers>::named>()...};
    static const PyCFunction with_class[] = {method<Trampoline<kNumbers>::with_class>()...};
    switch (flags & (METH_VARARGS | METH_FASTCALL | METH_NOARGS | METH_O | METH_KEYWORDS | METH_METHOD)) {
        case METH_NOARGS:
        case METH_O: return one[number];
        case METH_VARARGS: return positional[number];
        case METH_FASTCALL: return fast[number];
        case METH_FASTCALL | METH_KEYWORDS: return fast_named[number];
        case METH_VARARGS | METH_KEYWORDS: return named[number];
        case METH_METHOD | METH_FASTCALL | METH_KEYWORDS: return with_class[number];
        default: return nullptr;
    }
}

MethodAction action_named(const char* name) {
    for (std::size_t i = 0; i < std::size(kMethodActionNames); ++i)
        if (std::strcmp(kMethodActionNames[i], name) == 0) return static_cast<MethodAction>(i);
    PyErr_Format(PyExc_ValueError, "there is no action of a method '%s'", name);
    throw PythonError{};
}

/// The PyMethodDef of a method of a C type, or of a function of a C module; null for anything else.
PyMethodDef* definition_of(PyObject* callable) {
    if (Py_IS_TYPE(callable, &PyMethodDescr_Type))
        return reinterpret_cast<PyMethodDescrObject*>(callable)->d_method;
    return PyCFunction_CheckExact(callable) ? reinterpret_cast<PyCFunctionObject*>(callable)->m_ml : nullptr;
}

}  // namespace

PyObject* intercept_method(PyObject*, PyObject* arguments) {
    PyObject* owner;
    const char *name, *action;
    unsigned one_step = 0;
    Py_ssize_t first = 0;
    if (!PyArg_ParseTuple(arguments, "Oss|In:intercept_method", &owner, &name, &action, &one_step, &first))
        throw PythonError{};
    Ref descriptor = Ref::steal(checked(PyObject_GetAttrString(owner, name)));
    PyMethodDef* definition = method_count < kMostMethods ? definition_of(descriptor.get()) : nullptr;
    PyCFunction replacement =
        definition ? trampoline(method_count, definition->ml_flags, std::make_index_sequence<kMostMethods>{})
                   : nullptr;
    if (!replacement) {
        PyErr_Format(PyExc_TypeError, "%R cannot be intercepted", descriptor.get());
        throw PythonError{};
    }
    definitions[method_count] = definition;
    methods[method_count++] = {definition->ml_meth, action_named(action), one_step, first};
    definition->ml_meth = replacement;
    Py_RETURN_NONE;
}

bool is_intercepted(const PyMethodDef* definition) {
    auto end = definitions.begin() + static_cast<std::ptrdiff_t>(method_count);
    return std::find(definitions.begin(), end, definition) != end;
}

PyObject* order_bytes(PyObject*, PyObject* by) {
    all_bytes.store(by == Py_None ? nullptr : by, std::memory_order_release);  // pairs with publish_bytes()
    Py_RETURN_NONE;
}

PyCFunction original_method(PyObject* type, const char* name) {
    Ref descriptor = Ref::steal(checked(PyObject_GetAttrString(type, name)));
    PyMethodDef* definition = definition_of(descriptor.get());
    if (!definition || !(definition->ml_flags & METH_NOARGS)) {
        PyErr_Format(PyExc_TypeError, "%R cannot be called directly", descriptor.get());
        throw PythonError{};
    }
    for (std::size_t i = 0; i < method_count; ++i)
        if (definitions[i] == definition) return methods[i].original;
    return definition->ml_meth;
}

PyObject* exclude_lock(PyObject*, PyObject* lock) {
    excluded_lock = Py_NewRef(lock);
    if (reentrant) Py_RETURN_NONE;
    reentrant = Py_TYPE(lock);  // threading's own is an RLock
    auto* reentrant_type = reinterpret_cast<PyObject*>(reentrant);
    Ref module = Ref::steal(checked(PyImport_ImportModule("_thread")));
    Ref plain = Ref::steal(checked(PyObject_CallMethod(module.get(), "allocate_lock", nullptr)));
    is_lock_held = original_method(reinterpret_cast<PyObject*>(Py_TYPE(plain.get())), "locked");
    is_rlock_held = original_method(reentrant_type, "locked");
    is_rlock_owned = original_method(reentrant_type, "_is_owned");
    Py_RETURN_NONE;
}

/// CPython has a shortcut for the very object that list.append was at its start, and that calls no method
/// definition. So list gets another object for the same definition. What holds the old one, such as the code
/// of a loop that runs, finds out by the type's version.
PyObject* replace_list_append(PyObject*, PyObject*) {
    Ref methods_of_list = Ref::steal(checked(PyType_GetDict(&PyList_Type)));
    PyObject* old = checked(PyDict_GetItemString(methods_of_list.get(), "append"));
    Py_INCREF(old);  // for ever: caches of the interpreter have it borrowed
    PyMethodDef* definition = definition_of(old);
    if (!definition) {
        PyErr_Format(PyExc_TypeError, "%R cannot be intercepted", old);
        throw PythonError{};
    }
    Ref made = Ref::steal(checked(PyDescr_NewMethod(&PyList_Type, definition)));
    if (PyDict_SetItemString(methods_of_list.get(), "append", made.get()) < 0) throw PythonError{};
    PyType_Modified(&PyList_Type);
    Py_RETURN_NONE;
}

namespace {

/// For count_appends(): the list, and the calls of its append() that went through the method definition.
struct Counted {
    PyObject* list;
    PyCFunction original;
    std::atomic<Py_ssize_t> calls;
} counted;

PyObject* counting_append(PyObject* self, PyObject* item) {
    // relaxed: one thread counts, and reads the sum itself
    if (self == counted.list) counted.calls.fetch_add(1, std::memory_order_relaxed);
    return counted.original(self, item);
}

}  // namespace

PyObject* count_appends(PyObject*, PyObject* arguments) {
    PyObject *function, *list;
    if (!PyArg_ParseTuple(arguments, "OO!:count_appends", &function, &PyList_Type, &list))
        throw PythonError{};
    Ref method =
        Ref::steal(checked(PyObject_GetAttrString(reinterpret_cast<PyObject*>(&PyList_Type), "append")));
    PyMethodDef* definition = definition_of(method.get());
    if (!definition) return PyLong_FromLong(0);
    counted.list = list;
    counted.original = definition->ml_meth;
    counted.calls = 0;
    definition->ml_meth = ext::method<counting_append>();
    Ref result = Ref::steal(PyObject_CallOneArg(function, list));
    definition->ml_meth = counted.original;
    counted.list = nullptr;
    return result ? PyLong_FromSsize_t(counted.calls) : nullptr;
}

}  // namespace threadproof::probe

#endif
