/// threadproof._core.probe: the functions that threadproof/probe calls, and the tables of names that both
/// sides share.

#include "ext/probe/api.hpp"

#include "ext/python/submodule.hpp"

#ifdef THREADPROOF_PROBE
#include <pthread.h>

#include <array>
#include <mutex>

#include "ext/probe/accesses.hpp"
#include "ext/probe/entry.hpp"
#include "ext/probe/events_in_python.hpp"
#include "ext/probe/methods.hpp"
#include "ext/probe/objects.hpp"
#include "ext/probe/sites.hpp"
#include "ext/probe/stacks.hpp"
#endif

namespace threadproof::probe {
namespace {

using ext::add_names;
using ext::method;

#ifdef THREADPROOF_PROBE

// ---- forks

/// The subscribers that were called before the fork, so that the same ones are called after it. Used only
/// between the two calls.
std::array<Subscriber*, kMostSubscribers> forking;

/// No thread is in the middle of a step during a fork: otherwise a mutex that another thread holds would stay
/// locked in the child. Interests are locked first, so that they do not change; then subscribers, because
/// they call the probe while they hold their own mutexes. fork() is C: no exception is thrown through it.
void before_fork() noexcept {
    lock_subscribers();
    forking.fill(nullptr);
    auto* next = forking.data();
    each_subscriber(kForks, [&](Subscriber& subscriber) { *next++ = &subscriber; });
    for (Subscriber* each : forking)
        if (each) each->on(ForkStep::kBefore);
    lock_threads();
    lock_dicts();
    lock_accesses();
    call_stacks().lock_for_fork();
}

/// A subscriber may change its interests in the child, so they are unlocked first.
void after_fork(ForkStep step) noexcept {
    call_stacks().unlock_after_fork();
    unlock_accesses();
    unlock_dicts();
    unlock_threads();
    auto called = forking;
    unlock_subscribers();
    for (Subscriber* each : called)
        if (each) each->on(step);
}

void follow_forks() {
    static std::once_flag once;
    std::call_once(once, [] {
        pthread_atfork(
            before_fork, []() noexcept { after_fork(ForkStep::kInParent); },
            []() noexcept { after_fork(ForkStep::kInChild); });
    });
}

// ---- the rest

/// configure(types with items by position, unsafe iterators, prefixes of uninstrumented files): once.
PyObject* configure(PyObject*, PyObject* arguments) {
    PyObject *indexed, *iterators, *uninstrumented;
    if (!PyArg_ParseTuple(arguments, "O!O!O!:configure", &PyTuple_Type, &indexed, &PyTuple_Type, &iterators,
                          &PyTuple_Type, &uninstrumented))
        throw PythonError{};
    Ref monitoring = Ref::steal(checked(PyImport_ImportModule("sys")));
    monitoring = Ref::steal(checked(PyObject_GetAttrString(monitoring.get(), "monitoring")));
    Ref disable = Ref::steal(checked(PyObject_GetAttrString(monitoring.get(), "DISABLE")));
    set_disable(disable.get());
    set_types(indexed, iterators);
    set_readers();
    set_uninstrumented(uninstrumented);
    follow_forks();
    Py_RETURN_NONE;
}

template <std::uint32_t ThisThread::* kDepth>
PyObject* change_depth(PyObject*, PyObject* change) {
    long by = PyLong_AsLong(change);
    if (by == -1 && PyErr_Occurred()) throw PythonError{};
    this_thread.*kDepth += static_cast<std::uint32_t>(by);
    Py_RETURN_NONE;
}

PyObject* capture(PyObject*, PyObject* frames) {
    std::size_t most = PyLong_AsSize_t(frames);
    if (most == static_cast<std::size_t>(-1) && PyErr_Occurred()) throw PythonError{};
    return PyLong_FromUnsignedLong(capture_stack(most));
}

/// [(code, offset of the instruction), ...], the innermost first.
PyObject* frames_of(PyObject*, PyObject* number) {
    unsigned long stack = PyLong_AsUnsignedLong(number);
    if (stack == static_cast<unsigned long>(-1) && PyErr_Occurred()) throw PythonError{};
    Ref list = Ref::steal(checked(PyList_New(0)));
    for (const Frame& frame : call_stacks().get(static_cast<std::uint32_t>(stack))) {
        Ref item = Ref::steal(checked(Py_BuildValue("On", reinterpret_cast<PyObject*>(frame.code),
                                                    static_cast<Py_ssize_t>(frame.offset))));
        if (PyList_Append(list.get(), item.get()) < 0) throw PythonError{};
    }
    return list.release();
}

void add_tables(PyObject* module) {
    static constexpr const char* kLockKindNames[] = {TP_LOCK_KINDS(TP_NAME)};
    static constexpr const char* kAttemptNames[] = {TP_ATTEMPTS(TP_NAME)};
    static constexpr const char* kWaitReasonNames[] = {TP_WAIT_REASONS(TP_NAME)};
    static constexpr const char* kPartNames[] = {TP_PARTS(TP_NAME)};
    add_names(module, "EVENTS", kEventNames);
    add_names(module, "SITE_KINDS", kSiteKindNames);
    add_names(module, "METHOD_ACTIONS", kMethodActionNames);
    add_names(module, "LOCK_KINDS", kLockKindNames);
    add_names(module, "ATTEMPTS", kAttemptNames);
    add_names(module, "WAIT_REASONS", kWaitReasonNames);
    add_names(module, "PARTS", kPartNames);
    Ref flags = Ref::steal(checked(PyDict_New())), containers = Ref::steal(checked(PyDict_New()));
    auto add = [](const Ref& dict, const char* name, long value) {
        Ref number = Ref::steal(checked(PyLong_FromLong(value)));
        if (PyDict_SetItemString(dict.get(), name, number.get()) < 0) throw PythonError{};
    };
#define TP_ADD_FLAG(constant, value, name) add(flags, #name, value);
#define TP_ADD_CONTAINER(constant, value, name) add(containers, #name, value);
    TP_ACCESS_FLAGS(TP_ADD_FLAG)
    TP_CONTAINERS(TP_ADD_CONTAINER)
#undef TP_ADD_FLAG
#undef TP_ADD_CONTAINER
    if (PyModule_AddObjectRef(module, "ACCESS_FLAGS", flags.get()) < 0) throw PythonError{};
    if (PyModule_AddObjectRef(module, "CONTAINERS", containers.get()) < 0) throw PythonError{};
}

#endif

PyMethodDef functions[] = {
    // publish.cpp, on every interpreter
    {"publish", method<publish_order>(), METH_O, "publish($module, sync, /)\n--\n\n"},
    {"observe", method<observe_order>(), METH_O, "observe($module, sync, /)\n--\n\n"},
    {"send", method<item_step<ItemStep::kSend>>(), METH_FASTCALL, "send($module, channel, item, /)\n--\n\n"},
    {"unsend", method<item_step<ItemStep::kUnsend>>(), METH_FASTCALL,
     "unsend($module, channel, item, /)\n--\n\n"},
    {"receive", method<item_step<ItemStep::kReceive>>(), METH_FASTCALL,
     "receive($module, channel, item, /)\n--\n\n"},
    {"give_permits", method<give_permits>(), METH_VARARGS,
     "give_permits($module, sync, initial, count, /)\n--\n\n"},
    {"withdraw_permits", method<withdraw_permits>(), METH_VARARGS,
     "withdraw_permits($module, sync, count, /)\n--\n\n"},
    {"take_permit", method<take_permit>(), METH_VARARGS,
     "take_permit($module, sync, initial, or_observe=False, /)\n--\n\n"},
    {"read_key", method<key_was_read>(), METH_FASTCALL,
     "read_key($module, shared, key, found, check, /)\n--\n\n"},
    {"observe_key", method<key_was_observed>(), METH_FASTCALL,
     "observe_key($module, shared, key, /)\n--\n\n"},
    {"change_key", method<key_will_change<Use::kPlain>>(), METH_FASTCALL,
     "change_key($module, shared, key, found, /)\n--\n\n"},
    {"update_key", method<key_will_change<Use::kAtomic>>(), METH_FASTCALL,
     "update_key($module, shared, key, found, /)\n--\n\n"},
    {"begin_computation", method<computation_began>(), METH_FASTCALL,
     "begin_computation($module, shared, key, /)\n--\n\n"},
    {"end_computation", method<computation_ended>(), METH_FASTCALL,
     "end_computation($module, shared, key, found, /)\n--\n\n"},
    {"about_to_read", method<map_will_be_read>(), METH_O, "about_to_read($module, shared, /)\n--\n\n"},
    {"read_map", method<map_was_read>(), METH_O, "read_map($module, shared, /)\n--\n\n"},
    {"change_map", method<map_will_change>(), METH_O, "change_map($module, shared, /)\n--\n\n"},
#ifdef THREADPROOF_PROBE
    {"joining", method<joining_begins>(), METH_FASTCALL, "joining($module, thread, timeout, /)\n--\n\n"},
    {"joined", method<joining_ends>(), METH_O, "joined($module, thread, /)\n--\n\n"},
    {"own", method<own>(), METH_O, "own($module, address, /)\n--\n\n"},
    {"allocated", method<allocated>(), METH_O, "allocated($module, instance, /)\n--\n\n"},
    {"modules_seen", method<modules_seen>(), METH_O, "modules_seen($module, names, /)\n--\n\n"},
    // threads.cpp
    {"intercept_starts", method<intercept_starts>(), METH_O,
     "intercept_starts($module, starting, /)\n--\n\n"},
    {"intercept_exit", method<intercept_exit>(), METH_O, "intercept_exit($module, leaving, /)\n--\n\n"},
    {"join_thread", method<join_thread>(), METH_O, "join_thread($module, thread, /)\n--\n\n"},
    {"join_ended_threads", method<join_ended_threads>(), METH_NOARGS,
     "join_ended_threads($module, /)\n--\n\n"},
    {"is_new_thread", method<is_new_thread>(), METH_NOARGS, "is_new_thread($module, /)\n--\n\n"},
    {"thread_number", method<number_of_thread>(), METH_NOARGS, "thread_number($module, /)\n--\n\n"},
    // instructions.cpp
    {"instruction", method<instruction>(), METH_FASTCALL, "instruction(code, offset, /)\n--\n\n"},
    {"module_returned", method<module_returned>(), METH_FASTCALL,
     "module_returned(code, offset, value, /)\n--\n\n"},
    {"sites_sampled", method<sites_sampled>(), METH_NOARGS, "sites_sampled($module, /)\n--\n\n"},
    {"count_sites", method<count_sites>(), METH_NOARGS, "count_sites($module, /)\n--\n\n"},
    {"sites_given_up", method<sites_given_up>(), METH_NOARGS, "sites_given_up($module, /)\n--\n\n"},
    {"record_operands", method<record_operands>(), METH_O, "record_operands($module, into, /)\n--\n\n"},
    {"different_structure", method<different_structure_name>(), METH_NOARGS,
     "different_structure($module, /)\n--\n\n"},
    {"takes_interrupts", method<takes_interrupts>(), METH_NOARGS, "takes_interrupts($module, /)\n--\n\n"},
    {"read_object", method<read_object>(), METH_VARARGS,
     "read_object($module, instance, attribute, /)\n--\n\n"},
    // sites.cpp
    {"register", method<register_code>(), METH_VARARGS,
     "register($module, code, placements, replace=False, /)\n--\n\n"},
    {"registered", method<is_registered>(), METH_O, "registered($module, code, /)\n--\n\n"},
    // methods.cpp, functions.cpp, deallocations.cpp
    {"intercept_method", method<intercept_method>(), METH_VARARGS,
     "intercept_method($module, owner, name, action, one_step=0, first=0, /)\n--\n\n"},
    {"order_bytes", method<order_bytes>(), METH_O, "order_bytes($module, by, /)\n--\n\n"},
    {"intercept_consumer", method<intercept_consumer>(), METH_VARARGS,
     "intercept_consumer($module, function, one_step, first, /)\n--\n\n"},
    {"add_reader", method<add_reader>(), METH_VARARGS,
     "add_reader($module, callback, size, one_step, first, /)\n--\n\n"},
    {"exclude_lock", method<exclude_lock>(), METH_O, "exclude_lock($module, lock, /)\n--\n\n"},
    {"replace_list_append", method<replace_list_append>(), METH_NOARGS,
     "replace_list_append($module, /)\n--\n\n"},
    {"count_appends", method<count_appends>(), METH_VARARGS,
     "count_appends($module, function, items, /)\n--\n\n"},
    {"intercept_function", method<intercept_function>(), METH_VARARGS,
     "intercept_function($module, function, before, after, always, internal, generator, state='', "
     "/)\n--\n\n"},
    {"intercept_caches", method<intercept_caches>(), METH_O,
     "intercept_caches($module, cache_type, /)\n--\n\n"},
    {"ordered", method<ordered>(), METH_FASTCALL, "ordered($module, sync, callback, /)\n--\n\n"},
    {"undisturbed", method<undisturbed>(), METH_O, "undisturbed($module, callback, /)\n--\n\n"},
    {"intercept_deallocation", method<intercept_deallocation>(), METH_O,
     "intercept_deallocation($module, owner, /)\n--\n\n"},
    // blocking.cpp
    {"intercept_creation", method<intercept_creation>(), METH_O,
     "intercept_creation($module, owner, /)\n--\n\n"},
    {"set_lock_types", method<set_lock_types>(), METH_VARARGS,
     "set_lock_types($module, mutex, reentrant, queue, handle, /)\n--\n\n"},
    {"lock_state", method<lock_state>(), METH_O, "lock_state($module, lock, /)\n--\n\n"},
    // python_subscriber.cpp
    {"set_event_classes", method<set_event_classes>(), METH_O,
     "set_event_classes($module, by_name, /)\n--\n\n"},
    {"subscribe", method<subscribe_python>(), METH_O, "subscribe($module, callbacks, /)\n--\n\n"},
    {"unsubscribe", method<unsubscribe_python>(), METH_O, "unsubscribe($module, slot, /)\n--\n\n"},
    // here
    {"configure", method<configure>(), METH_VARARGS,
     "configure($module, indexed, iterators, uninstrumented, /)\n--\n\n"},
    {"suspend", method<change_depth<&ThisThread::suspended>>(), METH_O,
     "suspend($module, change, /)\n--\n\n"},
    {"intercept_crashes", method<intercept_crashes>(), METH_O,
     "intercept_crashes($module, function, /)\n--\n\n"},
    {"call_outermost", method<call_outermost>(), METH_FASTCALL,
     "call_outermost($module, function, /, *args)\n--\n\n"},
    {"print_exception", method<print_exception>(), METH_O, "print_exception($module, error, /)\n--\n\n"},
    {"capture", method<capture>(), METH_O, "capture($module, frames, /)\n--\n\n"},
    {"frames", method<frames_of>(), METH_O, "frames($module, stack, /)\n--\n\n"},
#endif
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition =
    ext::submodule_definition("threadproof._core.probe", "What threadproof.probe is made of.", functions);

}  // namespace

#ifdef THREADPROOF_PROBE

void report_unraisable() noexcept {
    PyObject* before = nullptr;
    try {
        throw;
    } catch (const PythonError&) {  // the exception is set, in the place of any other
    } catch (const std::bad_alloc&) {
        before = PyErr_GetRaisedException();
        PyErr_NoMemory();
    } catch (const std::exception& error) {
        before = PyErr_GetRaisedException();
        PyErr_SetString(PyExc_RuntimeError, error.what());
    }
    PyErr_WriteUnraisable(nullptr);
    if (before) PyErr_SetRaisedException(before);
}

#endif

bool add_probe(PyObject* module) {
    PyObject* made = ext::add_submodule(module, definition, "probe");
    show_listening_in(made);
#ifdef THREADPROOF_PROBE
    add_tables(made);
#endif
    return true;
}

}  // namespace threadproof::probe
