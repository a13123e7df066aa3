/// threadproof._core.explore: what threadproof/explore is made of.

#include "ext/explore/explore.hpp"
#include "ext/python/submodule.hpp"

#ifndef THREADPROOF_PROBE

namespace threadproof::ext {

bool add_explore(PyObject*) { return true; }

}  // namespace threadproof::ext

#else

#include <algorithm>
#include <cstring>
#include <iterator>

#include "core/explore/shared.hpp"
#include "ext/probe/entry.hpp"

namespace threadproof::ext {
namespace {

constexpr const char* kKindNames[] = {TP_STEP_KINDS(TP_NAME)};
constexpr const char* kPolicyNames[] = {TP_POLICIES(TP_NAME)};
constexpr const char* kEndingNames[] = {TP_ENDINGS(TP_NAME)};

explore::Policy policy_named(const char* name) {
    const auto* found = std::find_if(std::begin(kPolicyNames), std::end(kPolicyNames),
                                     [&](const char* each) { return std::strcmp(each, name) == 0; });
    if (found != std::end(kPolicyNames))
        return static_cast<explore::Policy>(found - std::begin(kPolicyNames));
    PyErr_Format(PyExc_ValueError, "there is no policy '%s'", name);
    throw PythonError{};
}

PyObject* or_null(PyObject* object) { return object == Py_None ? nullptr : object; }

PyObject* subscribe(PyObject*, PyObject* arguments) {
    PyObject *unwinding, *wait_code, *scope;
    if (!PyArg_ParseTuple(arguments, "OO!O:subscribe", &unwinding, &PyCode_Type, &wait_code, &scope))
        throw PythonError{};
    probe::set_unwinding(unwinding);
    control().start(wait_code, scope);
    Py_RETURN_NONE;
}

PyObject* unsubscribe(PyObject*, PyObject*) {
    control().stop();
    Py_RETURN_NONE;
}

/// The fields of a Plan, then the arguments of Control::begin().
PyObject* begin(PyObject*, PyObject* arguments) {
    explore::Plan plan;
    const char *prefix, *policy;
    Py_ssize_t count, stack;
    unsigned long long seed, asleep;
    Py_buffer sites;
    int everywhere, timeouts_any;
    PyObject *stuck, *recorder, *blocked;
    double hang;
    if (!PyArg_ParseTuple(arguments, "y#sKIIKpy*pInOOOd:begin", &prefix, &count, &policy, &seed, &plan.depth,
                          &plan.length, &asleep, &everywhere, &sites, &timeouts_any, &plan.most_steps, &stack,
                          &stuck, &recorder, &blocked, &hang))
        throw PythonError{};
    plan.prefix.assign(prefix, prefix + count);
    plan.policy = policy_named(policy);
    plan.seed = seed;
    plan.asleep = asleep;
    plan.everywhere = everywhere != 0;
    plan.sites.resize(static_cast<std::size_t>(sites.len) / sizeof(std::uint64_t));
    std::memcpy(plan.sites.data(), sites.buf, plan.sites.size() * sizeof(std::uint64_t));
    PyBuffer_Release(&sites);
    plan.timeouts_any = timeouts_any != 0;
    control().begin(std::move(plan), static_cast<std::size_t>(stack), or_null(stuck), or_null(recorder),
                    or_null(blocked), hang);
    Py_RETURN_NONE;
}

/// (how the run ended, the step at which it left the plan, the threads that were abandoned)
PyObject* finish(PyObject*, PyObject*) {
    control().finish();
    const explore::Scheduler& scheduler = control().scheduler();
    return Py_BuildValue("snI", kEndingNames[static_cast<int>(scheduler.ending())],
                         static_cast<Py_ssize_t>(scheduler.diverged_at()), control().abandoned());
}

PyObject* fail(PyObject*, PyObject*) {
    if (Handler handler(control()); handler) control().scheduler().end(explore::Ending::kFailed);
    Py_RETURN_NONE;
}

PyObject* check_before_steps(PyObject*, PyObject* check) {
    control().check_before_steps(check);
    Py_RETURN_NONE;
}

PyObject* is_controlled(PyObject*, PyObject*) { return PyBool_FromLong(control().is_controlled()); }

/// Of the calling thread; -1 if it is not controlled.
PyObject* number(PyObject*, PyObject*) { return PyLong_FromLong(Control::calling_number()); }

/// Also for a thread that is none of the run.
PyObject* is_over(PyObject*, PyObject*) {
    Handler handler(control());
    return PyBool_FromLong(!handler || control().scheduler().is_over());
}

template <class Each, class Make>
PyObject* list_of(const Each& all, Make&& make) {
    Ref list = Ref::steal(checked(PyList_New(static_cast<Py_ssize_t>(std::size(all)))));
    Py_ssize_t place = 0;
    for (const auto& each : all) PyList_SET_ITEM(list.get(), place++, checked(make(each)));
    return list.release();
}

/// [(thread, kind, write, timed out, choice, running, variable, stack, enabled, asleep), ...]
PyObject* log(PyObject*, PyObject*) {
    return list_of(control().scheduler().log(), [](const explore::Step& step) {
        return Py_BuildValue(
            "iiNNNiIIKKK", step.thread, static_cast<int>(step.kind), PyBool_FromLong(step.write),
            PyBool_FromLong(step.timed_out), PyBool_FromLong(step.choice), step.running, step.variable,
            step.stack, static_cast<unsigned long long>(step.site),
            static_cast<unsigned long long>(step.enabled), static_cast<unsigned long long>(step.asleep));
    });
}

/// What most strategies need of the log: (the sites of shared accesses, as bytes; the number of choices).
PyObject* summary(PyObject*, PyObject*) {
    const explore::Scheduler& scheduler = control().scheduler();
    const auto& log = scheduler.log();
    const auto& threads = scheduler.threads();
    std::size_t first = threads.size() > 1 ? threads[1]->created_at : log.size();
    std::vector<std::uint64_t> sites = explore::shared_sites(log, first);
    auto choices =
        std::count_if(log.begin(), log.end(), [](const explore::Step& step) { return step.choice; });
    Ref bytes = Ref::steal(
        checked(PyBytes_FromStringAndSize(reinterpret_cast<const char*>(sites.data()),
                                          static_cast<Py_ssize_t>(sites.size() * sizeof(std::uint64_t)))));
    return Py_BuildValue("On", bytes.get(), static_cast<Py_ssize_t>(choices));
}

/// Whether a thread besides the test's own has not ended.
PyObject* is_running(PyObject*, PyObject*) {
    Handler handler(control());
    const auto& threads = control().scheduler().threads();
    return PyBool_FromLong(
        std::any_of(threads.begin() + 1, threads.end(), [](const auto& thread) { return !thread->ended; }));
}

/// The threads that took the steps.
PyObject* sequence(PyObject*, PyObject*) {
    const auto& steps = control().scheduler().log();
    PyObject* bytes = checked(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(steps.size())));
    char* to = PyBytes_AS_STRING(bytes);
    for (const explore::Step& step : steps) *to++ = static_cast<char>(step.thread);
    return bytes;
}

/// [(parent, number of the log's step before which it was created), ...]
PyObject* threads(PyObject*, PyObject*) {
    return list_of(control().scheduler().threads(), [](const std::unique_ptr<explore::Thread>& thread) {
        return Py_BuildValue("iI", thread->parent, thread->created_at);
    });
}

/// What each thread would do next: [(ended, kind, variable, write, object or None, holder or None), ...]. Called
/// while they wait: an object is alive only then.
PyObject* pending(PyObject*, PyObject*) {
    return list_of(control().scheduler().threads(), [](const std::unique_ptr<explore::Thread>& thread) {
        const explore::Operation& next = thread->next;
        PyObject* subject = Py_None;
        const explore::Thread* other = nullptr;
        if (next.kind == explore::StepKind::kJoin) {
            other = static_cast<const explore::Thread*>(next.subject);
        } else if (next.subject && !thread->ended) {
            subject = static_cast<PyObject*>(next.subject);
            other = control().holder_of(next.subject);
        }
        Ref number = other ? Ref::steal(checked(PyLong_FromLong(other->id))) : Ref::borrow(Py_None);
        return Py_BuildValue("NiINOO", PyBool_FromLong(thread->ended), static_cast<int>(next.kind),
                             next.variable, PyBool_FromLong(next.write), subject, number.get());
    });
}

/// What threading.get_ident() is in each thread.
PyObject* idents(PyObject*, PyObject*) {
    return list_of(control().scheduler().threads(), [](const std::unique_ptr<explore::Thread>& thread) {
        return PyLong_FromUnsignedLongLong(thread->system_id);
    });
}

/// [(variable, name of a type), ...]
PyObject* opaque(PyObject*, PyObject*) {
    return list_of(control().opaque(), [](const std::pair<explore::VariableId, std::string>& each) {
        return Py_BuildValue("Is", each.first, each.second.c_str());
    });
}

PyObject* check(PyObject*, PyObject*) {
    control().scheduler().check();
    Py_RETURN_NONE;
}

PyMethodDef functions[] = {
    {"subscribe", method<subscribe>(), METH_VARARGS,
     "subscribe($module, unwinding, wait_code, scope, /)\n--\n\n"},
    {"unsubscribe", method<unsubscribe>(), METH_NOARGS, "unsubscribe($module, /)\n--\n\n"},
    {"begin", method<begin>(), METH_VARARGS,
     "begin($module, prefix, policy, seed, depth, length, asleep, everywhere, sites, timeouts_any, "
     "most_steps, stack, stuck, recorder, blocked, hang, /)\n--\n\n"},
    {"finish", method<finish>(), METH_NOARGS, "finish($module, /)\n--\n\n"},
    {"fail", method<fail>(), METH_NOARGS, "fail($module, /)\n--\n\n"},
    {"check_before_steps", method<check_before_steps>(), METH_O,
     "check_before_steps($module, check, /)\n--\n\n"},
    {"is_controlled", method<is_controlled>(), METH_NOARGS, "is_controlled($module, /)\n--\n\n"},
    {"number", method<number>(), METH_NOARGS, "number($module, /)\n--\n\n"},
    {"idents", method<idents>(), METH_NOARGS, "idents($module, /)\n--\n\n"},
    {"is_over", method<is_over>(), METH_NOARGS, "is_over($module, /)\n--\n\n"},
    {"start", method<start_thread>(), METH_FASTCALL, "start($module, function, thread, /)\n--\n\n"},
    {"log", method<log>(), METH_NOARGS, "log($module, /)\n--\n\n"},
    {"summary", method<summary>(), METH_NOARGS, "summary($module, /)\n--\n\n"},
    {"is_running", method<is_running>(), METH_NOARGS, "is_running($module, /)\n--\n\n"},
    {"sequence", method<sequence>(), METH_NOARGS, "sequence($module, /)\n--\n\n"},
    {"threads", method<threads>(), METH_NOARGS, "threads($module, /)\n--\n\n"},
    {"pending", method<pending>(), METH_NOARGS, "pending($module, /)\n--\n\n"},
    {"opaque", method<opaque>(), METH_NOARGS, "opaque($module, /)\n--\n\n"},
    {"check", method<check>(), METH_NOARGS, "check($module, /)\n--\n\n"},
    {"forget_workers", method<forget_workers>(), METH_NOARGS, "forget_workers($module, /)\n--\n\n"},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition =
    submodule_definition("threadproof._core.explore", "What threadproof.explore is made of.", functions);

}  // namespace

bool add_explore(PyObject* module) {
    PyObject* made = add_submodule(module, definition, "explore");
    add_names(made, "KINDS", kKindNames);
    return true;
}

}  // namespace threadproof::ext

#endif
