/// threadproof._core.race: the functions that threadproof/race calls.

#include "ext/race/race.hpp"

#ifndef THREADPROOF_PROBE

bool threadproof::ext::add_race(PyObject*) { return true; }

#else

#include "ext/python/submodule.hpp"

namespace threadproof::ext {
namespace {

/// start(frames of a stack, called at each race or None).
PyObject* start(PyObject*, PyObject* arguments) {
    Py_ssize_t history;
    PyObject* on_race;
    if (!PyArg_ParseTuple(arguments, "nO:start", &history, &on_race)) throw PythonError{};
    race_subscriber().start(static_cast<std::size_t>(history), on_race == Py_None ? nullptr : on_race);
    Py_RETURN_NONE;
}

PyObject* arm(PyObject*, PyObject* name) {
    race_subscriber().arm(name);
    Py_RETURN_NONE;
}

PyObject* stop(PyObject*, PyObject*) {
    race_subscriber().stop();
    Py_RETURN_NONE;
}

PyObject* assume_threads(PyObject*, PyObject*) {
    race_subscriber().assume_threads();
    Py_RETURN_NONE;
}

PyObject* sample(PyObject*, PyObject* arguments) {
    unsigned burst, seed;
    if (!PyArg_ParseTuple(arguments, "II:sample", &burst, &seed)) throw PythonError{};
    race_subscriber().sample(burst, seed);
    Py_RETURN_NONE;
}

PyObject* limit(PyObject*, PyObject* variables) {
    std::size_t limit = PyLong_AsSize_t(variables);
    if (limit == static_cast<std::size_t>(-1) && PyErr_Occurred()) throw PythonError{};
    race_subscriber().limit(limit);
    Py_RETURN_NONE;
}

PyObject* exclude(PyObject*, PyObject* change) {
    long by = PyLong_AsLong(change);
    if (by == -1 && PyErr_Occurred()) throw PythonError{};
    race_subscriber().exclude(static_cast<int>(by));
    Py_RETURN_NONE;
}

// ---- results

PyObject* locks_held(std::uint32_t number) {
    std::vector<race::Sync> locks = race_subscriber().locks(number);
    Ref tuple = Ref::steal(checked(PyTuple_New(static_cast<Py_ssize_t>(locks.size()))));
    for (std::size_t i = 0; i < locks.size(); ++i)
        PyTuple_SET_ITEM(tuple.get(), static_cast<Py_ssize_t>(i),
                         checked(PyLong_FromVoidPtr(reinterpret_cast<void*>(locks[i]))));
    return tuple.release();
}

/// (thread, write, flags, stack, locks), or None for an access that did not happen.
PyObject* as_tuple(const race::Access& access, race::Serial thread) {
    if (!access.epoch) return Py_NewRef(Py_None);
    return Py_BuildValue("INIIN", thread, PyBool_FromLong(access.write), static_cast<unsigned>(access.flags),
                         access.stack, checked(locks_held(access.locks)));
}

PyObject* as_tuple(const race::Race& race, std::size_t number) {
    Description about = race_subscriber().descriptions().of(number);
    auto or_none = [](PyObject* object) { return object ? object : Py_None; };
    return Py_BuildValue("nOsONNNNNK(II)", static_cast<Py_ssize_t>(race.object), or_none(about.owner),
                         about.part, or_none(about.name), as_tuple(race.earlier, race.earlier_thread),
                         as_tuple(race.later, race.later_thread), as_tuple(race.then, race.later_thread),
                         as_tuple(race.before, race.earlier_thread), PyBool_FromLong(race.between),
                         static_cast<unsigned long long>(race.times), about.origin.thread,
                         about.origin.stack);
}

/// [race, ...] in the order in which they were found, without the first `since`.
PyObject* races(PyObject*, PyObject* since) {
    std::size_t number = PyLong_AsSize_t(since);
    if (number == static_cast<std::size_t>(-1) && PyErr_Occurred()) throw PythonError{};
    std::vector<race::Race> all = race_subscriber().races();
    Ref list = Ref::steal(checked(PyList_New(0)));
    for (; number < all.size(); ++number) {
        Ref item = Ref::steal(checked(as_tuple(all[number], number)));
        if (PyList_Append(list.get(), item.get()) < 0) throw PythonError{};
    }
    return list.release();
}

PyObject* race_count(PyObject*, PyObject*) { return PyLong_FromSize_t(race_subscriber().race_count()); }

/// {name: how many}, of everything that a long run could add to.
PyObject* counts(PyObject*, PyObject*) {
    Ref found = Ref::steal(checked(PyDict_New()));
    for (const auto& [name, count] : race_subscriber().counts()) {
        Ref number = Ref::steal(checked(PyLong_FromSize_t(count)));
        if (PyDict_SetItemString(found.get(), name, number.get()) < 0) throw PythonError{};
    }
    return found.release();
}

PyObject* check(PyObject*, PyObject*) {
    race_subscriber().check();
    Py_RETURN_NONE;
}

/// {thread: (name, started by this thread, at this stack)}.
PyObject* threads(PyObject*, PyObject*) {
    Ref found = Ref::steal(checked(PyDict_New()));
    for (const auto& [thread, started] : race_subscriber().started()) {
        Ref number = Ref::steal(checked(PyLong_FromUnsignedLong(thread)));
        Ref about = Ref::steal(checked(Py_BuildValue("OII", started.name, started.by, started.stack)));
        if (PyDict_SetItem(found.get(), number.get(), about.get()) < 0) throw PythonError{};
    }
    return found.release();
}

PyMethodDef functions[] = {
    {"start", method<start>(), METH_VARARGS, "start($module, history, on_race, /)\n--\n\n"},
    {"arm", method<arm>(), METH_O, "arm($module, name, /)\n--\n\n"},
    {"stop", method<stop>(), METH_NOARGS, "stop($module, /)\n--\n\n"},
    {"assume_threads", method<assume_threads>(), METH_NOARGS, "assume_threads($module, /)\n--\n\n"},
    {"sample", method<sample>(), METH_VARARGS, "sample($module, burst, seed, /)\n--\n\n"},
    {"limit", method<limit>(), METH_O, "limit($module, variables, /)\n--\n\n"},
    {"exclude", method<exclude>(), METH_O, "exclude($module, change, /)\n--\n\n"},
    {"races", method<races>(), METH_O, "races($module, since, /)\n--\n\n"},
    {"race_count", method<race_count>(), METH_NOARGS, "race_count($module, /)\n--\n\n"},
    {"counts", method<counts>(), METH_NOARGS, "counts($module, /)\n--\n\n"},
    {"check", method<check>(), METH_NOARGS, "check($module, /)\n--\n\n"},
    {"threads", method<threads>(), METH_NOARGS, "threads($module, /)\n--\n\n"},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition =
    submodule_definition("threadproof._core.race", "What threadproof.race is made of.", functions);

}  // namespace

bool add_race(PyObject* module) {
    add_submodule(module, definition, "race");
    return true;
}

}  // namespace threadproof::ext

#endif
