/// What Python calls of the race detector: threads, synchronisation, and the races found.

#include "ext/race/race.hpp"

#ifndef THREADPROOF_RACE

bool threadproof::ext::add_race(PyObject*) { return true; }

#else

#include <pthread.h>

#include <map>
#include <mutex>

namespace threadproof::ext {

constinit thread_local ThisThread this_thread;

RaceState& make_race_state() { return *(the_race_state = new RaceState); }

namespace {

using race::Field;
using race::Thread;

std::uint64_t spread(std::uint64_t value) {
    value *= 0x9E3779B97F4A7C15u;
    return value ^ value >> 29;
}

}  // namespace

std::uint64_t number_of_key(PyObject* key) {
    if (!plain_key(key)) return spread(reinterpret_cast<std::uintptr_t>(key));
    std::int64_t small;
    // hash(-1) == hash(-2)
    if (PyLong_CheckExact(key) && small_int(key, &small) && small == -1) return spread(~std::uint64_t{0});
    return spread(static_cast<std::uint64_t>(PyObject_Hash(key)));
}

namespace {

/// (owner, part, name) for people, made while the object is surely alive.
struct Description {
    Ref owner, name;
    const char* part;
    race::Origin origin;
};
std::mutex described_mutex;
std::map<std::pair<race::Object, Field>, Description>& described =
    *new std::map<std::pair<race::Object, Field>, Description>;

const char* name_of_part(Part part) {
    switch (part) {
        case Part::kAttribute: return "attribute";
        case Part::kItem: return "item";
        case Part::kGlobal: return "global";
        case Part::kIndex: return "index";
        case Part::kStructure: return "structure";
        case Part::kIterator: return "iterator";
        default: return "cell";
    }
}

PyObject* owner_of(const Variable& variable) {
    if (variable.part == Part::kGlobal) {
        PyObject* module = PyDict_GetItemString(variable.object, "__name__");
        return module && PyUnicode_CheckExact(module) ? Py_NewRef(module) : PyUnicode_FromString("?");
    }
    auto* type = PyType_Check(variable.object) ? reinterpret_cast<PyTypeObject*>(variable.object)
                                               : Py_TYPE(variable.object);
    return PyType_GetQualName(type);
}

/// A key's repr only where that runs no user code.
PyObject* text_of(PyObject* name) {
    if (!name) return Py_NewRef(Py_None);
    return plain_key(name) ? PyObject_Repr(name) : PyUnicode_FromFormat("<%s>", Py_TYPE(name)->tp_name);
}

void describe(const Variable& variable) {
    Raised pending;  // none, as a rule; but a C method may be on its way out with one
    pending.fetch();
    bool named = variable.part == Part::kItem || variable.part == Part::kIndex;
    Description made{Ref::steal(owner_of(variable)),
                     Ref::steal(named ? text_of(variable.name) : Py_XNewRef(variable.name)),
                     name_of_part(variable.part),
                     race_state().origins.of(reinterpret_cast<race::Object>(variable.object))};
    PyErr_Clear();
    std::lock_guard hold(described_mutex);
    described.insert_or_assign({reinterpret_cast<race::Object>(variable.object), variable.field},
                               std::move(made));
    try {
        pending.rethrow();
    } catch (const PythonError&) {  // set again, for whoever had it
    }
}

/// A fork finds no thread in the middle of a step: what it left behind would be locked for ever in the child.
void follow_forks() {
    static std::once_flag once;
    static auto hold = [] {
        described_mutex.lock(), race_state().origins.hold_still(), race_state().detector.hold_still(),
            race_state().stacks.hold_still();
    };
    static auto let_go = [] {
        race_state().stacks.let_go(), race_state().detector.let_go(), race_state().origins.let_go(),
            described_mutex.unlock();
    };
    static auto child = [] {
        let_go();
        if (this_thread.thread) race_state().detector.survive_fork(*this_thread.thread);
    };
    std::call_once(once, [&] { pthread_atfork(hold, let_go, child); });
}

// frames of race/session.py and threading.py above the program's, where Python asks for a stack
constexpr std::size_t kOurs = 4;

/// Calls it between two instructions of the program, which it must not notice.
void tell(PyObject* callable) {
    Raised pending;
    pending.fetch();
    Thread* me = race_thread();
    ++me->quiet;
    if (PyObject* result = PyObject_CallNoArgs(callable)) Py_DECREF(result);
    else PyErr_WriteUnraisable(callable);
    --me->quiet;
    try {
        pending.rethrow();
    } catch (const PythonError&) {  // set again, for whoever had it
    }
}

}  // namespace

Thread* adopt_thread() {
    if (!this_thread.over) this_thread.thread = race_state().detector.adopt();
    return this_thread.thread;
}

bool plain_key(PyObject* key) {
    if (is_atom(key)) return true;
    if (!PyTuple_CheckExact(key)) return false;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(key); ++i)
        if (!plain_key(PyTuple_GET_ITEM(key, i))) return false;
    return true;
}

Variable item_of(PyObject* container, PyObject* key) {
    return {container, field_of(Part::kItem, number_of_key(key)), Part::kItem, key};
}
Variable global_of(PyObject* globals, PyObject* name) {
    return {globals, field_of(Part::kItem, number_of_key(name)), Part::kGlobal, name};
}

namespace {

race::Found find(const Variable& variable, bool write, unsigned traits) {
    Thread* me = race_thread();
    if (!me) return race::Found::kRepeated;
    this_thread.touched = true;
    auto object = reinterpret_cast<race::Object>(variable.object);
    auto found =
        race_state().detector.access(*me, object, variable.field, write, static_cast<std::uint16_t>(traits),
                                     [me] { return race_capture_stack(*me); });
    if (TP_UNLIKELY(found == race::Found::kRace)) {
        describe(variable);
        if (race_state().on_race) tell(race_state().on_race);
    }
    return found;
}

}  // namespace

void touch(const Variable& variable, bool write, unsigned traits) { find(variable, write, traits); }

/// A key of an object's `__dict__` is that attribute of the object.
Variable key_of(PyObject* dict, PyObject* key) {
    PyObject* owner = PyUnicode_CheckExact(key) ? owner_of_dict(dict, dict) : dict;
    if (owner == dict) return item_of(dict, key);
    PyObject* name = Py_NewRef(key);
    PyUnicode_InternInPlace(&name);  // kept, as interned names mostly are: variables are told apart by it
    return attribute_of(owner, name);
}

void touch_store(PyObject* dict, PyObject* key, unsigned traits) {
    // stored before, in this epoch: it is there
    if (find(key_of(dict, key), true, traits) == race::Found::kRepeated || !plain_key(key)) return;
    int there = PyDict_Contains(dict, key);
    if (there < 0) PyErr_Clear();
    if (there == 0) touch(structure_of(dict), true, race::kStructure | race::kAtomic);
}

namespace {

// ---- for Python

PyObject* race_arm(PyObject*, PyObject* arguments) {
    PyObject* local;
    if (!PyArg_ParseTuple(arguments, "O!:race_arm", &PyType_Type, &local)) return nullptr;
    RaceState& state = race_state();
    if (state.extra < 0) state.extra = PyUnstable_Eval_RequestCodeExtraIndex(nullptr);
    state.local_type = reinterpret_cast<PyTypeObject*>(Py_NewRef(local));
    race_thread();
    follow_forks();
    state.detector.report_anew();  // each session has its own report
    state.armed.store(true, std::memory_order_relaxed);
    Py_RETURN_NONE;
}

PyObject* race_disarm(PyObject*, PyObject*) {
    race_state().armed.store(false, std::memory_order_relaxed);
    Py_RETURN_NONE;
}

PyObject* race_fork(PyObject*, PyObject*) {
    Thread* me = race_thread();
    Thread* child = me ? race_state().detector.start(*me) : nullptr;
    return Py_BuildValue("NI", PyLong_FromVoidPtr(child), child ? child->id : 0u);
}

PyObject* race_join(PyObject*, PyObject* token) {
    Thread *me = race_thread(), *child = race_thread_at(token);
    if (me && child) race_state().detector.join(*me, *child);
    Py_RETURN_NONE;
}

PyObject* race_thread_id(PyObject*, PyObject*) {
    Thread* me = race_thread();
    return PyLong_FromUnsignedLong(me ? me->id : 0);
}

PyObject* race_quiet(PyObject*, PyObject* change) {
    long by = PyLong_AsLong(change);
    if (by == -1 && PyErr_Occurred()) return nullptr;
    if (Thread* me = race_thread()) me->quiet += static_cast<int>(by);
    Py_RETURN_NONE;
}

/// How many instructions have been given up while sampling, in all.
PyObject* race_given_up(PyObject*, PyObject*) {
    return PyLong_FromUnsignedLongLong(race_state().sampling.given_up());
}

/// race_sample(accesses of a burst, or 0 for all; seed) begins a round, and returns race_given_up().
PyObject* race_sample(PyObject*, PyObject* arguments) {
    unsigned burst, seed;
    if (!PyArg_ParseTuple(arguments, "II:race_sample", &burst, &seed)) return nullptr;
    race_state().sampling.begin_round(burst, seed);
    return race_given_up(nullptr, nullptr);
}

/// How many variables to remember, about; the same for whatever comes.
PyObject* race_limit(PyObject*, PyObject* variables) {
    std::size_t limit = PyLong_AsSize_t(variables);
    if (limit == static_cast<std::size_t>(-1) && PyErr_Occurred()) return nullptr;
    race_state().detector.limit(limit);
    Py_RETURN_NONE;
}

PyObject* race_ignore(PyObject*, PyObject* change) {
    long by = PyLong_AsLong(change);
    if (by == -1 && PyErr_Occurred()) return nullptr;
    if (Thread* me = race_thread()) me->ignored += static_cast<int>(by);
    Py_RETURN_NONE;
}

/// Where an object comes to be, if that was not said before; its type's death is reported.
PyObject* race_made(PyObject*, PyObject* object) {
    Thread* me = race_thread();
    bool reported = !PyType_Check(object) && race_knows_death(Py_TYPE(object));
    if (me && reported)
        race_state().origins.note(reinterpret_cast<race::Object>(object),
                                  {me->id, race_capture_stack(*me, kOurs)});
    Py_RETURN_NONE;
}

/// race_configure_reports(frames of a stack, called at each race or None).
PyObject* race_configure_reports(PyObject*, PyObject* arguments) {
    Py_ssize_t deepest;
    PyObject* on_race;
    if (!PyArg_ParseTuple(arguments, "nO:race_configure_reports", &deepest, &on_race)) return nullptr;
    race_state().deepest = static_cast<std::size_t>(deepest);
    Py_XDECREF(std::exchange(race_state().on_race, on_race == Py_None ? nullptr : Py_NewRef(on_race)));
    Py_RETURN_NONE;
}

PyObject* race_alone(PyObject*, PyObject*) { return PyBool_FromLong(race_state().detector.alone()); }

PyObject* race_capture(PyObject*, PyObject*) {
    Thread* me = race_thread();
    return PyLong_FromUnsignedLong(me ? race_capture_stack(*me, kOurs) : 0);
}

/// [(code, offset of the instruction), ...], the innermost first.
PyObject* race_frames(PyObject*, PyObject* number) {
    unsigned long stack = PyLong_AsUnsignedLong(number);
    if (stack == static_cast<unsigned long>(-1) && PyErr_Occurred()) return nullptr;
    Ref list = Ref::steal(checked(PyList_New(0)));
    for (const Frame& frame : race_state().stacks.get(static_cast<std::uint32_t>(stack))) {
        Ref item = Ref::steal(checked(Py_BuildValue("On", reinterpret_cast<PyObject*>(frame.code),
                                                    static_cast<Py_ssize_t>(frame.offset))));
        if (PyList_Append(list.get(), item.get()) < 0) return nullptr;
    }
    return list.release();
}

PyObject* locks_held(std::uint32_t number) {
    std::vector<race::Sync> locks = race_state().detector.locks(number);
    Ref list = Ref::steal(checked(PyTuple_New(static_cast<Py_ssize_t>(locks.size()))));
    for (std::size_t i = 0; i < locks.size(); ++i)
        PyTuple_SET_ITEM(list.get(), static_cast<Py_ssize_t>(i),
                         checked(PyLong_FromVoidPtr(reinterpret_cast<void*>(locks[i]))));
    return list.release();
}

/// (thread, write, traits, stack, locks), or None for an access that did not happen.
PyObject* as_tuple(const race::Access& access) {
    if (!access.epoch) return Py_NewRef(Py_None);
    return Py_BuildValue("INIIN", access.epoch.thread(), PyBool_FromLong(access.write),
                         static_cast<unsigned>(access.traits), access.stack,
                         checked(locks_held(access.locks)));
}

PyObject* race_races(PyObject*, PyObject*) {
    Ref list = Ref::steal(checked(PyList_New(0)));
    for (const race::Race& race : race_state().detector.races()) {
        std::lock_guard hold(described_mutex);
        const Description& about = described[{race.object, race.field}];
        auto or_none = [](const Ref& ref) { return ref ? ref.get() : Py_None; };
        Ref item = Ref::steal(checked(Py_BuildValue(
            "nOsONNNK(II)", static_cast<Py_ssize_t>(race.object), or_none(about.owner),
            about.part ? about.part : "item", or_none(about.name), as_tuple(race.earlier),
            as_tuple(race.later), as_tuple(race.then), static_cast<unsigned long long>(race.times),
            about.origin.thread, about.origin.stack)));
        if (PyList_Append(list.get(), item.get()) < 0) return nullptr;
    }
    return list.release();
}

PyMethodDef race_functions[] = {
    {"race_arm", race_arm, METH_VARARGS, "race_arm($module, local_type, /)\n--\n\n"},
    {"race_disarm", race_disarm, METH_NOARGS, "race_disarm($module, /)\n--\n\n"},
    {"race_fork", race_fork, METH_NOARGS, "race_fork($module, /)\n--\n\n"},
    {"race_join", race_join, METH_O, "race_join($module, token, /)\n--\n\n"},
    {"race_thread_id", race_thread_id, METH_NOARGS, "race_thread_id($module, /)\n--\n\n"},
    {"race_quiet", race_quiet, METH_O, "race_quiet($module, change, /)\n--\n\n"},
    {"race_sample", race_sample, METH_VARARGS, "race_sample($module, burst, seed, /)\n--\n\n"},
    {"race_given_up", race_given_up, METH_NOARGS, "race_given_up($module, /)\n--\n\n"},
    {"race_limit", race_limit, METH_O, "race_limit($module, variables, /)\n--\n\n"},
    {"race_ignore", race_ignore, METH_O, "race_ignore($module, change, /)\n--\n\n"},
    {"race_made", race_made, METH_O, "race_made($module, instance, /)\n--\n\n"},
    {"race_configure_reports", race_configure_reports, METH_VARARGS,
     "race_configure_reports($module, deepest, on_race, /)\n--\n\n"},
    {"race_alone", race_alone, METH_NOARGS, "race_alone($module, /)\n--\n\n"},
    {"race_capture", race_capture, METH_NOARGS, "race_capture($module, /)\n--\n\n"},
    {"race_frames", method<race_frames>(), METH_O, "race_frames($module, stack, /)\n--\n\n"},
    {"race_races", method<race_races>(), METH_NOARGS, "race_races($module, /)\n--\n\n"},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

bool add_race(PyObject* module) {
    return PyModule_AddFunctions(module, race_functions) == 0
           && PyModule_AddFunctions(module, race_frame_functions) == 0
           && PyModule_AddFunctions(module, race_hook_functions) == 0
           && PyModule_AddFunctions(module, race_call_functions) == 0
           && PyModule_AddFunctions(module, race_order_functions) == 0;
}

}  // namespace threadproof::ext

#endif
