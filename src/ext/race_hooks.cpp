/// Goes between C methods and their callers, and hears of objects' deaths.
///
/// A method of a C type is a PyMethodDef whose function pointer everybody who calls it goes through: bound methods, map(),
/// functools.partial, `with`, and C code. race_hook_method() puts a function of ours there, once per process, which
/// tells the detector and calls the original. A type's tp_dealloc is replaced likewise.
///
/// A replacement has to know which original it stands for, and C function pointers carry no data: so there is one
/// function for each number and calling convention, made by templates.

#include "ext/race.hpp"

#ifdef THREADPROOF_RACE

#include <array>
#include <cstring>

namespace threadproof::ext {
namespace {

using race::Thread;

/// What a method does, as far as order and races are concerned.
enum class Action { kAcquire, kRelease, kPut, kGet, kChange, kRead, kReadItem, kStoreItem, kChangeItem };
constexpr const char* kActionNames[] = {"acquire", "release", "put", "get", "change", "read", "read_item", "store_item", "change_item"};

constexpr std::size_t kMostMethods = 160;
constexpr std::size_t kMostTypes = 48;
constexpr std::uint32_t kSampledCalls = 16;  // of so many calls of a container's methods one is judged, while sampling

struct Hook {
    PyCFunction original;
    Action action;
};
std::array<Hook, kMostMethods> hooks;
std::size_t hook_count = 0;

PyObject* excluded_lock = nullptr;  // threading's own, which every thread takes at its start and end

bool is_the_programs(PyObject* lock) { return lock != excluded_lock && race_caller() != Caller::kMuted; }

/// threading's own lock is an RLock.
bool is_reentrant(PyObject* lock) { return Py_IS_TYPE(lock, Py_TYPE(excluded_lock)); }

void change_item(PyObject* self, PyObject* key) {
    if (key) touch(item_of(self, key), true, race::kAtomic);
    touch(structure_of(self), true, race::kStructure | race::kAtomic);
}

/// d.setdefault(key): the structure changes only if the key is new.
void store_item(PyObject* self, PyObject* key) {
    if (key && PyDict_Check(self)) touch_store(self, key, race::kAtomic);
    else change_item(self, key);
}

void before(Action action, PyObject* self, PyObject* key) {
    if (action == Action::kAcquire || action == Action::kGet || !watching()) return;
    if (action == Action::kRelease || action == Action::kPut) {
        Thread* me = is_the_programs(self) || action == Action::kPut ? race_thread() : nullptr;
        if (!me) return;
        auto sync = reinterpret_cast<race::Sync>(self);
        action == Action::kPut ? race_state().detector.release(*me, sync) : race_state().detector.give_lock(*me, sync);
        return;
    }
    if (race_state().sampling.on() && ++this_thread.calls % kSampledCalls != 0) return;
    if (race_caller() != Caller::kProgram) return;
    switch (action) {
        case Action::kChange: return touch(structure_of(self), true, race::kStructure | race::kAtomic);
        case Action::kRead: return touch(structure_of(self), false, race::kAtomic);
        case Action::kReadItem: return key ? touch(item_of(self, key), false, race::kCheck) : void();
        case Action::kStoreItem: return store_item(self, key);
        default: return change_item(self, key);
    }
}

void after(Action action, PyObject* self, PyObject* result) {
    if ((action != Action::kAcquire && action != Action::kGet) || !result || result == Py_False || !watching()) return;
    Thread* me = action == Action::kGet || is_the_programs(self) ? race_thread() : nullptr;
    if (!me) return;
    auto sync = reinterpret_cast<race::Sync>(self);
    action == Action::kGet ? race_state().detector.acquire(*me, sync) : race_state().detector.take_lock(*me, sync, is_reentrant(self));
}

template <class Call>
PyObject* hooked(std::size_t number, PyObject* self, PyObject* key, Call&& call) {
    Action action = hooks[number].action;
    before(action, self, key);
    PyObject* result = call(reinterpret_cast<void*>(hooks[number].original));
    after(action, self, result);
    return result;
}

template <std::size_t kNumber>
struct Replacement {
    static PyObject* one(PyObject* self, PyObject* argument) {  // METH_O, METH_NOARGS and METH_VARARGS
        return hooked(kNumber, self, argument, [&](void* to) { return reinterpret_cast<PyCFunction>(to)(self, argument); });
    }
    static PyObject* fast(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
        return hooked(kNumber, self, count > 0 ? arguments[0] : nullptr,
                      [&](void* to) { return reinterpret_cast<PyCFunctionFast>(to)(self, arguments, count); });
    }
    static PyObject* fast_named(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names) {
        return hooked(kNumber, self, count > 0 ? arguments[0] : nullptr,
                      [&](void* to) { return reinterpret_cast<PyCFunctionFastWithKeywords>(to)(self, arguments, count, names); });
    }
    static PyObject* named(PyObject* self, PyObject* arguments, PyObject* names) {
        return hooked(kNumber, self, nullptr,
                      [&](void* to) { return reinterpret_cast<PyCFunctionWithKeywords>(to)(self, arguments, names); });
    }
    static PyObject* with_class(PyObject* self, PyTypeObject* defining, PyObject* const* arguments, size_t count, PyObject* names) {
        return hooked(kNumber, self, count > 0 ? arguments[0] : nullptr,
                      [&](void* to) { return reinterpret_cast<PyCMethod>(to)(self, defining, arguments, count, names); });
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

/// race_hook_method(type, name, action); at most once for each method.
PyObject* race_hook_method(PyObject*, PyObject* arguments) {
    PyObject* type;
    const char *name, *action;
    if (!PyArg_ParseTuple(arguments, "O!ss:race_hook_method", &PyType_Type, &type, &name, &action)) return nullptr;
    Ref descriptor = Ref::steal(checked(PyObject_GetAttrString(type, name)));
    bool plain = Py_IS_TYPE(descriptor.get(), &PyMethodDescr_Type) && hook_count < kMostMethods;
    PyMethodDef* definition = plain ? reinterpret_cast<PyMethodDescrObject*>(descriptor.get())->d_method : nullptr;
    void* ours = definition ? replacement(hook_count, definition->ml_flags, std::make_index_sequence<kMostMethods>{}) : nullptr;
    if (!ours) {
        PyErr_Format(PyExc_TypeError, "%R cannot be watched", descriptor.get());
        return nullptr;
    }
    hooks[hook_count++] = {definition->ml_meth, action_named(action)};
    definition->ml_meth = reinterpret_cast<PyCFunction>(ours);
    Py_RETURN_NONE;
}

PyObject* race_exclude(PyObject*, PyObject* lock) {
    excluded_lock = Py_NewRef(lock);
    Py_RETURN_NONE;
}

// ------------------------------------------------------------------------------------------------ deaths

std::array<destructor, kMostTypes> originals;
std::array<destructor, kMostTypes> replacements;
std::size_t type_count = 0;

void end_of_watched(race::Object object) {
    if (!race_state().detector.forget(object)) return;
    if (Thread* me = race_thread()) race_state().detector.drop_lock(*me, object);
}

template <std::size_t kNumber>
void died(PyObject* object) {
    if (race_state().armed.load(std::memory_order_relaxed)) end_of_watched(reinterpret_cast<race::Object>(object));
    race_state().origins.forget(reinterpret_cast<race::Object>(object));
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
    {"race_hook_method", method<race_hook_method>(), METH_VARARGS, "race_hook_method($module, owner, name, action, /)\n--\n\n"},
    {"race_exclude", race_exclude, METH_O, "race_exclude($module, lock, /)\n--\n\n"},
    {"race_hook_death", race_hook_death, METH_O, "race_hook_death($module, owner, /)\n--\n\n"},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace threadproof::ext

#endif
