/// Goes between C methods and their callers, and hears of objects' deaths.
///
/// A method of a C type is a PyMethodDef whose function pointer everybody who calls it goes through: bound
/// methods, map(), functools.partial, `with`, and C code. race_hook_method() puts a function of ours there,
/// once per process, which tells the detector and calls the original. A type's tp_dealloc is replaced
/// likewise.
///
/// A replacement has to know which original it stands for, and C function pointers carry no data: so there is
/// one function for each number and calling convention, made by templates.

#include "ext/race/race.hpp"
#include "ext/sync/rw_lock.hpp"

#ifdef THREADPROOF_RACE

#include <algorithm>
#include <array>
#include <cstring>

namespace threadproof::ext {
namespace {

using race::Thread;

/// What a method does, as far as order and races are concerned.
enum class Action {
    kAcquire,
    kRelease,
    kPut,
    kGet,
    kLoad,  // of an atomic, and so the next two
    kStore,
    kExchange,
    kUpdate,  // by a function
    kLoadAt,  // of an array of atomics, and so the next three
    kStoreAt,
    kExchangeAt,
    kUpdateAt,
    kEnter,  // one side of an RWLock
    kLeave,
    kChange,  // what a container holds
    kRead,
    kReadItem,
    kStoreItem,
    kChangeItem,
    kExtend,  // by what the argument holds
    kUpdateDict,
    kReadKey,  // by the key, with no decision hanging on it
    kReadArgument,
    kChangeArgument,
    kRegister,  // what is to be called at exit
};
constexpr const char* kActionNames[] = {
    "acquire",     "release", "put",         "get",      "load",          "store",
    "exchange",    "update",  "load_at",     "store_at", "exchange_at",   "update_at",
    "enter",       "leave",   "change",      "read",     "read_item",     "store_item",
    "change_item", "extend",  "update_dict", "read_key", "read_argument", "change_argument",
    "register"};

constexpr std::size_t kMostMethods = 256;
constexpr std::size_t kMostTypes = 96;
// of so many calls of a container's methods one is judged, while sampling
constexpr std::uint32_t kSampledCalls = 16;

struct Hook {
    PyCFunction original;
    Action action;
};
std::array<Hook, kMostMethods> hooks;
std::size_t hook_count = 0;

PyObject* excluded_lock = nullptr;  // threading's own, which every thread takes at its start and end

/// One call of a hooked method.
struct Call {
    PyObject* self;
    PyObject* const* arguments;  // by position, then those by name
    Py_ssize_t count;            // by position
    PyObject* names;
    PyObject* keywords = nullptr;  // a dict, where they come as one

    PyObject* first() const { return count > 0 ? arguments[0] : nullptr; }
    PyObject* named(const char* name) const {
        for (Py_ssize_t i = 0; names && i < PyTuple_GET_SIZE(names); ++i)
            if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, i), name) == 0)
                return arguments[count + i];
        return nullptr;
    }
};

bool is_the_programs(PyObject* lock) { return lock != excluded_lock && race_caller() != Caller::kMuted; }

/// threading's own lock is an RLock.
bool is_reentrant(PyObject* lock) { return Py_IS_TYPE(lock, Py_TYPE(excluded_lock)); }

race::Sync sync_of(const Call& call) { return ext::sync_of(call.self); }

// ---- atomics

/// Whether the step's memory order, which is "seq_cst" unless named, is one of "acq_rel", "seq_cst" and
/// `side`.
bool orders(const Call& call, const char* side) {
    PyObject* order = call.named("order");
    if (!order || !PyUnicode_Check(order)) return true;
    auto is = [&](const char* name) { return PyUnicode_CompareWithASCIIString(order, name) == 0; };
    return is(side) || is("acq_rel") || is("seq_cst");
}

bool indexed(Action action) { return action >= Action::kLoadAt && action <= Action::kUpdateAt; }

/// Which of the atomics of an array it is; 0 for one alone.
race::Topic topic_of(Action action, const Call& call) {
    return indexed(action) && call.first() && plain_key(call.first()) ? number_of_key(call.first()) : 0;
}

void publish(Action action, const Call& call) {
    if (!orders(call, "release") || race_caller() == Caller::kMuted) return;
    if (Thread* me = race_thread()) race_state().detector.release(*me, sync_of(call), topic_of(action, call));
}

void observe(Action action, const Call& call) {
    if (!orders(call, "acquire") || race_caller() == Caller::kMuted) return;
    if (Thread* me = race_thread()) race_state().detector.acquire(*me, sync_of(call), topic_of(action, call));
}

/// The function given to update(), which sees the old value and makes the new one: (call's self, topic,
/// function).
PyObject* run_update(PyObject* about, PyObject* value) {
    PyObject* atomic = PyTuple_GET_ITEM(about, 0);
    race::Topic topic = PyLong_AsUnsignedLongLongMask(PyTuple_GET_ITEM(about, 1));
    Thread* me = race_thread();
    if (me) race_state().detector.acquire(*me, ext::sync_of(atomic), topic);
    PyObject* made = PyObject_CallOneArg(PyTuple_GET_ITEM(about, 2), value);
    if (me) race_state().detector.release(*me, ext::sync_of(atomic), topic);
    return made;
}

PyMethodDef run_update_definition = {"update", run_update, METH_O, nullptr};

PyObject* ordered_function(Action action, const Call& call, PyObject* function) {
    Ref about = Ref::steal(
        Py_BuildValue("OKO", call.self, static_cast<unsigned long long>(topic_of(action, call)), function));
    return about ? PyCFunction_New(&run_update_definition, about.get()) : nullptr;
}

// ---- an RWLock

// A reader comes after the writers before it, and a writer after the readers, too.
constexpr race::Topic kByWriters = 1, kByReaders = 2;

void enter(PyObject* hold) {
    Thread* me = race_thread();
    if (!me || race_caller() == Caller::kMuted) return;
    race::Sync lock = ext::sync_of(lock_of_hold(hold));
    race_state().detector.acquire(*me, lock, kByWriters);
    if (is_write_hold(hold)) race_state().detector.acquire(*me, lock, kByReaders);
    race_state().detector.note_lock(*me, lock);
}

void leave(PyObject* hold) {
    Thread* me = race_thread();
    if (!me || race_caller() == Caller::kMuted) return;
    race::Sync lock = ext::sync_of(lock_of_hold(hold));
    race_state().detector.forget_lock(*me, lock);
    race_state().detector.release(*me, lock, is_write_hold(hold) ? kByWriters : kByReaders);
}

// ---- all methods

void change_item(PyObject* self, PyObject* key) {
    if (key) touch(PyDict_Check(self) ? key_of(self, key) : item_of(self, key), true, race::kAtomic);
    touch(structure_of(self), true, race::kStructure | race::kAtomic);
}

/// d.setdefault(key): the structure changes only if the key is new.
void store_item(PyObject* self, PyObject* key) {
    if (key && PyDict_Check(self)) touch_store(self, key, race::kAtomic);
    else change_item(self, key);
}

/// d.update(other): each key of a dict that runs no code of the user's, and d as a whole.
void update_dict(PyObject* self, PyObject* other) {
    if (!other) return;
    touch_whole(other, race::kIterate | race::kAtomic);
    PyObject *key, *value;
    if (PyDict_CheckExact(other)) {
        std::vector<Ref> keys;
        for (Py_ssize_t place = 0; PyDict_Next(other, &place, &key, &value);)
            keys.push_back(Ref::borrow(key));
        for (const Ref& each : keys) touch_store(self, each.get(), race::kAtomic);
    } else {
        touch(structure_of(self), true, race::kStructure | race::kAtomic);
    }
}

void touch_container(Action action, PyObject* self, PyObject* key) {
    switch (action) {
        case Action::kChange: return touch(structure_of(self), true, race::kStructure | race::kAtomic);
        case Action::kRead: return touch(structure_of(self), false, race::kAtomic);
        case Action::kReadItem: return key ? touch(key_of(self, key), false, race::kCheck) : void();
        case Action::kReadKey: return key ? touch(key_of(self, key), false, 0) : void();
        case Action::kExtend:
            return touch_whole(key, race::kIterate | race::kAtomic),
                   touch(structure_of(self), true, race::kStructure | race::kAtomic);
        case Action::kUpdateDict: return update_dict(self, key);
        case Action::kReadArgument: return touch_whole(key, race::kIterate | race::kAtomic);
        case Action::kChangeArgument:
            return key && PyList_Check(key) ? touch(structure_of(key), true, race::kStructure | race::kAtomic)
                                            : void();
        case Action::kStoreItem: return store_item(self, key);
        case Action::kChangeItem: return change_item(self, key);
        default: return;
    }
}

/// What a call publishes and touches, before it does so.
void before(Action action, const Call& call) {
    Thread* me = race_thread();
    if (!me) return;
    switch (action) {
        case Action::kRelease:
            return is_the_programs(call.self) ? race_state().detector.give_lock(*me, sync_of(call)) : void();
        case Action::kPut:
            return race_state().detector.send(*me, sync_of(call),
                                              reinterpret_cast<race::Topic>(call.arguments[0]));
        case Action::kStore:
        case Action::kExchange:
        case Action::kStoreAt:
        case Action::kExchangeAt: return publish(action, call);
        case Action::kLeave: return leave(call.self);
        case Action::kRegister: return race_state().detector.release(*me, sync_of(call));
        default: break;
    }
    if (race_state().sampling.on() && ++this_thread.calls % kSampledCalls != 0) return;
    if (race_caller() != Caller::kProgram) return;
    touch_container(action, call.self, call.first());
    if (action == Action::kUpdateDict && call.keywords) update_dict(call.self, call.keywords);
}

/// What a call that succeeded has observed.
void after(Action action, const Call& call, PyObject* result) {
    Thread* me = race_thread();
    if (!me) return;
    switch (action) {
        case Action::kAcquire:
            return result != Py_False && is_the_programs(call.self)
                       ? race_state().detector.take_lock(*me, sync_of(call), is_reentrant(call.self))
                       : void();
        case Action::kGet:
            return race_state().detector.receive(*me, sync_of(call), reinterpret_cast<race::Topic>(result));
        case Action::kLoad:
        case Action::kExchange:
        case Action::kUpdate:
        case Action::kLoadAt:
        case Action::kExchangeAt:
        case Action::kUpdateAt: return observe(action, call);
        case Action::kEnter: return enter(call.self);
        default: return;
    }
}

template <class To>
PyObject* hooked(std::size_t number, const Call& call, To&& to) {
    void* original = reinterpret_cast<void*>(hooks[number].original);
    if (!watching()) return to(original);
    Action action = hooks[number].action;
    before(action, call);
    PyObject* result = to(original);
    if (result && watching()) after(action, call, result);
    return result;
}

constexpr std::size_t kMostArguments = 8;  // of a method that updates an atomic: it has four at most

/// update(fn) with an fn that says what it sees and makes.
PyObject* updated(std::size_t number, const Call& call, PyCFunctionFastWithKeywords original) {
    Action action = hooks[number].action;
    auto place = indexed(action) ? 1 : 0;
    Py_ssize_t all = call.count + (call.names ? PyTuple_GET_SIZE(call.names) : 0);
    if (call.count <= place || all > static_cast<Py_ssize_t>(kMostArguments))
        return original(call.self, call.arguments, call.count, call.names);
    Ref function = Ref::steal(ordered_function(action, call, call.arguments[place]));
    if (!function) return nullptr;
    std::array<PyObject*, kMostArguments> arguments;
    std::copy_n(call.arguments, all, arguments.begin());
    arguments[static_cast<std::size_t>(place)] = function.get();
    return original(call.self, arguments.data(), call.count, call.names);
}

template <std::size_t kNumber>
struct Replacement {
    static bool updates() {
        return hooks[kNumber].action == Action::kUpdate || hooks[kNumber].action == Action::kUpdateAt;
    }

    static PyObject* one(PyObject* self, PyObject* argument) {  // METH_O, METH_NOARGS and METH_VARARGS
        return hooked(kNumber, {self, &argument, argument ? 1 : 0, nullptr}, [&](void* to) -> PyObject* {
            if (!updates() || !watching()) return reinterpret_cast<PyCFunction>(to)(self, argument);
            Ref function =
                Ref::steal(ordered_function(hooks[kNumber].action, {self, &argument, 1, nullptr}, argument));
            return function ? reinterpret_cast<PyCFunction>(to)(self, function.get()) : nullptr;
        });
    }
    static PyObject* fast(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
        return hooked(kNumber, {self, arguments, count, nullptr}, [&](void* to) {
            return reinterpret_cast<PyCFunctionFast>(to)(self, arguments, count);
        });
    }
    static PyObject* fast_named(PyObject* self, PyObject* const* arguments, Py_ssize_t count,
                                PyObject* names) {
        Call call{self, arguments, count, names};
        return hooked(kNumber, call, [&](void* to) {
            auto original = reinterpret_cast<PyCFunctionFastWithKeywords>(to);
            return updates() && watching() ? updated(kNumber, call, original)
                                           : original(self, arguments, count, names);
        });
    }
    static PyObject* named(PyObject* self, PyObject* arguments, PyObject* names) {
        return hooked(
            kNumber, {self, &PyTuple_GET_ITEM(arguments, 0), PyTuple_GET_SIZE(arguments), nullptr, names},
            [&](void* to) { return reinterpret_cast<PyCFunctionWithKeywords>(to)(self, arguments, names); });
    }
    static PyObject* with_class(PyObject* self, PyTypeObject* defining, PyObject* const* arguments,
                                size_t count, PyObject* names) {
        return hooked(kNumber, {self, arguments, static_cast<Py_ssize_t>(count), names}, [&](void* to) {
            return reinterpret_cast<PyCMethod>(to)(self, defining, arguments, count, names);
        });
    }
};

/// The function that stands for method `number` in the given calling convention; null for one we do not know.
template <std::size_t... kNumbers>
void* replacement(std::size_t number, int flags, std::index_sequence<kNumbers...>) {
    static void* const one[] = {reinterpret_cast<void*>(&Replacement<kNumbers>::one)...};
    static void* const fast[] = {reinterpret_cast<void*>(&Replacement<kNumbers>::fast)...};
    static void* const fast_named[] = {reinterpret_cast<void*>(&Replacement<kNumbers>::fast_named)...};
    static void* const named[] = {reinterpret_cast<void*>(&Replacement<kNumbers>::named)...};
    static void* const with_class[] = {reinterpret_cast<void*>(&Replacement<kNumbers>::with_class)...};
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

Action action_named(const char* name) {
    for (std::size_t i = 0; i < std::size(kActionNames); ++i)
        if (std::strcmp(kActionNames[i], name) == 0) return static_cast<Action>(i);
    PyErr_Format(PyExc_ValueError, "a method of the race detector has no action '%s'", name);
    throw PythonError{};
}

/// Of a method of a C type, or of a function of a C module.
PyMethodDef* definition_of(PyObject* callable) {
    if (Py_IS_TYPE(callable, &PyMethodDescr_Type))
        return reinterpret_cast<PyMethodDescrObject*>(callable)->d_method;
    return PyCFunction_CheckExact(callable) ? reinterpret_cast<PyCFunctionObject*>(callable)->m_ml : nullptr;
}

/// race_hook_method(type or module, name, action); at most once for each method.
PyObject* race_hook_method(PyObject*, PyObject* arguments) {
    PyObject* type;
    const char *name, *action;
    if (!PyArg_ParseTuple(arguments, "Oss:race_hook_method", &type, &name, &action)) return nullptr;
    Ref descriptor = Ref::steal(checked(PyObject_GetAttrString(type, name)));
    PyMethodDef* definition = hook_count < kMostMethods ? definition_of(descriptor.get()) : nullptr;
    void* ours = definition
                     ? replacement(hook_count, definition->ml_flags, std::make_index_sequence<kMostMethods>{})
                     : nullptr;
    if (!ours) {
        PyErr_Format(PyExc_TypeError, "%R cannot be watched", descriptor.get());
        return nullptr;
    }
    hooks[hook_count++] = {definition->ml_meth, action_named(action)};
    definition->ml_meth = reinterpret_cast<PyCFunction>(ours);
    Py_RETURN_NONE;
}

inquiry flag_truth = nullptr;

int hooked_truth(PyObject* flag) {
    int truth = flag_truth(flag);
    if (watching()) observe(Action::kLoad, {flag, nullptr, 0, nullptr});
    return truth;
}

/// race_hook_truth(AtomicFlag): `while not flag` is a load of it, too. At most once.
PyObject* race_hook_truth(PyObject*, PyObject* type) {
    flag_truth = std::exchange(reinterpret_cast<PyTypeObject*>(type)->tp_as_number->nb_bool, hooked_truth);
    Py_RETURN_NONE;
}

PyObject* race_exclude(PyObject*, PyObject* lock) {
    excluded_lock = Py_NewRef(lock);
    Py_RETURN_NONE;
}

// ---- deaths

std::array<destructor, kMostTypes> originals;
std::array<destructor, kMostTypes> replacements;
std::size_t type_count = 0;

/// Nothing that is known of it may be taken for what is known of the next object at its address.
TP_APART void forget(PyObject* object) {
    auto address = reinterpret_cast<race::Object>(object);
    race_state().origins.forget(address);
    forget_dicts(object);
    if (!race_state().detector.forget(address)) return;
    if (Thread* me = race_thread()) race_state().detector.drop_lock(*me, address);
}

template <std::size_t kNumber>
void died(PyObject* object) {
    if (race_state().detector.known().any(reinterpret_cast<race::Object>(object))) forget(object);
    originals[kNumber](object);
}

template <std::size_t... kNumbers>
destructor death(std::size_t number, std::index_sequence<kNumbers...>) {
    static const destructor all[] = {&died<kNumbers>...};
    return all[number];
}

/// race_hook_death(type); at most once for each type.
PyObject* race_hook_death(PyObject*, PyObject* object) {
    if (!PyType_Check(object) || type_count == kMostTypes) {
        PyErr_Format(PyExc_TypeError, "%R cannot be watched", object);
        return nullptr;
    }
    auto* type = reinterpret_cast<PyTypeObject*>(object);
    originals[type_count] = type->tp_dealloc;
    replacements[type_count] = death(type_count, std::make_index_sequence<kMostTypes>{});
    type->tp_dealloc = replacements[type_count++];
    Py_RETURN_NONE;
}

}  // namespace

bool counts_death(PyTypeObject* type) {
    for (std::size_t i = 0; i < type_count; ++i)
        if (replacements[i] == type->tp_dealloc) return true;
    return false;
}

PyMethodDef race_hook_functions[] = {
    {"race_hook_method", method<race_hook_method>(), METH_VARARGS,
     "race_hook_method($module, owner, name, action, /)\n--\n\n"},
    {"race_hook_truth", race_hook_truth, METH_O, "race_hook_truth($module, flag_type, /)\n--\n\n"},
    {"race_exclude", race_exclude, METH_O, "race_exclude($module, lock, /)\n--\n\n"},
    {"race_hook_death", race_hook_death, METH_O, "race_hook_death($module, owner, /)\n--\n\n"},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace threadproof::ext

#endif
