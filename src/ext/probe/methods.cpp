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
#include "ext/probe/entry.hpp"
#include "ext/probe/methods.hpp"
#include "ext/probe/objects.hpp"
#include "ext/probe/stacks.hpp"
#include "ext/python/compat.hpp"
#include "ext/sync/rw_lock.hpp"

namespace threadproof::probe {
namespace {

constexpr std::size_t kMostMethods = 256;  // half as many again as interceptors.py has

struct Method {
    PyCFunction original;
    MethodAction action;
};
std::array<Method, kMostMethods> methods;
std::size_t method_count = 0;

PyObject* excluded_lock = nullptr;  // threading's own, which every thread acquires at its start and end
PyTypeObject* reentrant = nullptr;  // the type of threading.RLock()

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
    return {step, lock, kind, Attempt::kBlocking, is_internal(lock)};
}

void before_acquire(const Call& call) {
    if (!listening(kLockAttempts)) return;
    LockEvent event = lock_event(LockStep::kAcquiring, call.self);
    // acquire(blocking=True, timeout=-1); `with` passes neither
    event.attempt = attempt_of(call.argument(0, "blocking"), call.argument(1, "timeout"));
    publish(event);
}

/// `result` is null where the acquisition raised.
void after_acquire(const Call& call, PyObject* result) {
    bool acquired = result && result != Py_False;
    if (acquired && !listening(kLocks)) return;
    if (!acquired && !listening(kLockAttempts)) return;
    publish(lock_event(acquired ? LockStep::kAcquired : LockStep::kAbandoned, call.self));
}

// ---- an RWLock

LockEvent hold_event(LockStep step, PyObject* hold) {
    LockKind kind = ext::is_write_hold(hold) ? LockKind::kExclusive : LockKind::kShared;
    PyObject* lock = ext::lock_of_hold(hold);
    return {step, lock, kind, Attempt::kBlocking, is_internal(lock)};
}

// ---- atomics

/// Whether the step's memory order ("seq_cst" unless named) is "acq_rel", "seq_cst" or `side`.
bool orders(const Call& call, const char* side) {
    PyObject* order = call.named("order");
    if (!order || !PyUnicode_Check(order)) return true;
    auto is = [&](const char* name) { return PyUnicode_CompareWithASCIIString(order, name) == 0; };
    return is(side) || is("acq_rel") || is("seq_cst");
}

bool is_indexed_action(MethodAction action) {
    return action >= MethodAction::kLoadAt && action <= MethodAction::kUpdateAt;
}

/// The key of a cell in an array of atomics; 0 for one atomic alone.
std::uint64_t key_of_cell(MethodAction action, const Call& call) {
    return is_indexed_action(action) && call.first() && is_plain_key(call.first())
               ? number_of_key(call.first())
               : 0;
}

void publish_atomic(MethodAction action, const Call& call) {
    if (orders(call, "release") && caller() != Caller::kUninstrumented)
        publish(OrderEvent{OrderStep::kPublish, call.self, key_of_cell(action, call)});
}

void observe_atomic(MethodAction action, const Call& call) {
    if (orders(call, "acquire") && caller() != Caller::kUninstrumented)
        publish(OrderEvent{OrderStep::kObserve, call.self, key_of_cell(action, call)});
}

/// The function given to update(), which reads the old value and computes the new one: self is (the atomic,
/// its key, the function).
PyObject* run_update(PyObject* self, PyObject* value) {
    PyObject* atomic = PyTuple_GET_ITEM(self, 0);
    std::uint64_t key = PyLong_AsUnsignedLongLongMask(PyTuple_GET_ITEM(self, 1));
    contained([&] { publish(OrderEvent{OrderStep::kObserve, atomic, key}); });
    PyObject* made = PyObject_CallOneArg(PyTuple_GET_ITEM(self, 2), value);
    contained([&] { publish(OrderEvent{OrderStep::kPublish, atomic, key}); });
    return made;
}

PyMethodDef run_update_definition = {"update", ext::method<run_update>(), METH_O, nullptr};

PyObject* ordered_function(MethodAction action, const Call& call, PyObject* function) {
    Ref self = Ref::steal(Py_BuildValue(
        "OKO", call.self, static_cast<unsigned long long>(key_of_cell(action, call)), function));
    return self ? PyCFunction_New(&run_update_definition, self.get()) : nullptr;
}

// ---- containers

void change_item(PyObject* self, PyObject* key) {
    if (key) record_access(PyDict_Check(self) ? key_of(self, key) : item_of(self, key), kWrite | kAtomic);
    record_change(self);
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
void update_dict(PyObject* self, PyObject* other) {
    if (!other) return;
    record_whole(other, kIterate | kAtomic);
    if (!PyDict_CheckExact(other)) return record_change(self);
    for (const Ref& each : keys_of(other)) record_store(self, each.get(), kAtomic);
}

void access_container(MethodAction action, const Call& call) {
    PyObject *self = call.self, *first = call.first();
    switch (action) {
        case MethodAction::kChange: return record_change(self);
        case MethodAction::kRead: record_access(structure_of(self), kAtomic); return;
        case MethodAction::kReadItem:
            if (first) record_access(key_of(self, first), kCheck);
            return;
        case MethodAction::kExtend:  // set.update() takes several
            for (Py_ssize_t i = 0; i < call.count; ++i) record_whole(call.arguments[i], kIterate | kAtomic);
            return record_change(self);
        case MethodAction::kUpdateDict: update_dict(self, first); return update_dict(self, call.keywords);
        case MethodAction::kReadArgument: return record_whole(first, kIterate | kAtomic);
        case MethodAction::kChangeArgument:
            if (first && PyList_Check(first)) record_change(first);
            return;
        case MethodAction::kStoreItem: return store_item(self, first);
        case MethodAction::kChangeItem: return change_item(self, first);
        default: return;
    }
}

void before_container(MethodAction action, const Call& call) {
    if (!listening(kAccesses)) return;
    bool wanted = false;
    each_access_subscriber([&](Subscriber& subscriber) { wanted |= subscriber.wants_call(); });
    if (wanted && caller() == Caller::kProgram) access_container(action, call);
}

// ---- channels

/// get(block=True, timeout=None).
void before_receive(const Call& call) {
    if (!listening(kWaits)) return;
    Attempt attempt = attempt_of(call.argument(0, "block"), call.argument(1, "timeout"));
    publish(WaitEvent{WaitStep::kBegin, WaitReason::kItem, call.self, attempt});
}

// ---- all methods

/// Publishes the events of a call before the original runs.
void before(MethodAction action, const Call& call) {
    switch (action) {
        case MethodAction::kAcquire: return before_acquire(call);
        case MethodAction::kRelease:
            if (listening(kLocks)) publish(lock_event(LockStep::kReleasing, call.self));
            return;
        case MethodAction::kEnter:
            if (listening(kLockAttempts)) publish(hold_event(LockStep::kAcquiring, call.self));
            return;
        case MethodAction::kLeave:
            if (listening(kLocks)) publish(hold_event(LockStep::kReleasing, call.self));
            return;
        case MethodAction::kSend:
            if (PyObject* item = call.argument(0, "item"))
                publish(ItemEvent{ItemStep::kSend, call.self, item});
            return;
        case MethodAction::kReceive: return before_receive(call);
        case MethodAction::kStore:
        case MethodAction::kExchange:
        case MethodAction::kStoreAt:
        case MethodAction::kExchangeAt:
            if (listening(kOrder)) publish_atomic(action, call);
            return;
        case MethodAction::kPublish: return publish(OrderEvent{OrderStep::kPublish, call.self});
        case MethodAction::kLoad:
        case MethodAction::kUpdate:
        case MethodAction::kLoadAt:
        case MethodAction::kUpdateAt: return;
        default: return before_container(action, call);
    }
}

/// Publishes the events of a call after the original; `result` is null if that raised.
void after(MethodAction action, const Call& call, PyObject* result) {
    switch (action) {
        case MethodAction::kAcquire: return after_acquire(call, result);
        case MethodAction::kReceive:
            publish(WaitEvent{WaitStep::kEnd, WaitReason::kItem, call.self});
            if (result) publish(ItemEvent{ItemStep::kReceive, call.self, result});
            return;
        case MethodAction::kEnter:
            if (listening(result ? kLocks : kLockAttempts))
                publish(hold_event(result ? LockStep::kAcquired : LockStep::kAbandoned, call.self));
            return;
        case MethodAction::kLoad:
        case MethodAction::kExchange:
        case MethodAction::kUpdate:
        case MethodAction::kLoadAt:
        case MethodAction::kExchangeAt:
        case MethodAction::kUpdateAt:
            if (result && listening(kOrder)) observe_atomic(action, call);
            return;
        default: return;
    }
}

/// The events that intercepted methods publish.
constexpr std::uint32_t kOfMethods = kLockAttempts | kLocks | kOrder | kItems | kWaits | kAccesses;

template <class To>
PyObject* intercepted(std::size_t number, const Call& call, To&& to) {
    void* original = reinterpret_cast<void*>(methods[number].original);
    if (!listening(kOfMethods)) return to(original);
    MethodAction action = methods[number].action;
    contained([&] { before(action, call); });
    PyObject* result = to(original);
    if (TP_LIKELY(result != nullptr)) contained([&] { after(action, call, result); });
    else with_exception_aside([&] { after(action, call, nullptr); });
    return result;
}

constexpr std::size_t kMostArguments = 8;  // of a method that updates an atomic: it has four at most

/// update(fn), with an fn that publishes its read and its result.
PyObject* updated(std::size_t number, const Call& call, PyCFunctionFastWithKeywords original) {
    MethodAction action = methods[number].action;
    auto position = is_indexed_action(action) ? 1 : 0;
    Py_ssize_t all = call.count + (call.names ? PyTuple_GET_SIZE(call.names) : 0);
    if (call.count <= position || all > static_cast<Py_ssize_t>(kMostArguments))
        return original(call.self, call.arguments, call.count, call.names);
    Ref function = Ref::steal(ordered_function(action, call, call.arguments[position]));
    if (!function) return nullptr;
    std::array<PyObject*, kMostArguments> arguments;
    std::copy_n(call.arguments, all, arguments.begin());
    arguments[static_cast<std::size_t>(position)] = function.get();
    return original(call.self, arguments.data(), call.count, call.names);
}

/// The function for method kNumber, in each calling convention.
template <std::size_t kNumber>
struct Trampoline {
    static bool updates() {
        MethodAction action = methods[kNumber].action;
        return (action == MethodAction::kUpdate || action == MethodAction::kUpdateAt) && listening(kOrder);
    }

    static PyObject* one(PyObject* self, PyObject* argument) {  // METH_O, METH_NOARGS and METH_VARARGS
        Call call{self, &argument, argument ? 1 : 0, nullptr};
        return intercepted(kNumber, call, [&](void* to) -> PyObject* {
            auto original = reinterpret_cast<PyCFunction>(to);
            if (!updates()) return original(self, argument);
            Ref function = Ref::steal(ordered_function(methods[kNumber].action, call, argument));
            return function ? original(self, function.get()) : nullptr;
        });
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
            auto original = reinterpret_cast<PyCFunctionFastWithKeywords>(to);
            return updates() ? updated(kNumber, call, original) : original(self, arguments, count, names);
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
    static const PyCFunction fast[] = {method<Trampoline<kNumbers>::fast>()...};
    static const PyCFunction fast_named[] = {method<Trampoline<kNumbers>::fast_named>()...};
    static const PyCFunction named[] = {method<Trampoline<kNumbers>::named>()...};
    static const PyCFunction with_class[] = {method<Trampoline<kNumbers>::with_class>()...};
    switch (flags & (METH_VARARGS | METH_FASTCALL | METH_NOARGS | METH_O | METH_KEYWORDS | METH_METHOD)) {
        case METH_NOARGS:
        case METH_O:
        case METH_VARARGS: return one[number];
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

inquiry flag_truth = nullptr;

int intercepted_truth(PyObject* flag) noexcept {
    int truth = flag_truth(flag);
    if (listening(kOrder))
        contained([&] { observe_atomic(MethodAction::kLoad, {flag, nullptr, 0, nullptr}); });
    return truth;
}

}  // namespace

PyObject* intercept_method(PyObject*, PyObject* arguments) {
    PyObject* owner;
    const char *name, *action;
    if (!PyArg_ParseTuple(arguments, "Oss:intercept_method", &owner, &name, &action)) throw PythonError{};
    Ref descriptor = Ref::steal(checked(PyObject_GetAttrString(owner, name)));
    PyMethodDef* definition = method_count < kMostMethods ? definition_of(descriptor.get()) : nullptr;
    PyCFunction replacement =
        definition ? trampoline(method_count, definition->ml_flags, std::make_index_sequence<kMostMethods>{})
                   : nullptr;
    if (!replacement) {
        PyErr_Format(PyExc_TypeError, "%R cannot be intercepted", descriptor.get());
        throw PythonError{};
    }
    methods[method_count++] = {definition->ml_meth, action_named(action)};
    definition->ml_meth = replacement;
    Py_RETURN_NONE;
}

PyObject* intercept_truth(PyObject*, PyObject* type) {
    flag_truth =
        std::exchange(reinterpret_cast<PyTypeObject*>(type)->tp_as_number->nb_bool, intercepted_truth);
    Py_RETURN_NONE;
}

PyObject* exclude_lock(PyObject*, PyObject* lock) {
    excluded_lock = Py_NewRef(lock);
    reentrant = Py_TYPE(lock);  // threading's own is an RLock
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
