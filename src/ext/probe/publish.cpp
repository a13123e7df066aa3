/// The functions by which Python code publishes: the interceptors of probe/library, and those of
/// threadproof's structures that are written in Python.

#include "ext/probe/api.hpp"
#include "ext/probe/events.hpp"
#include "ext/probe/structures.hpp"

#ifdef THREADPROOF_PROBE
#include "ext/probe/objects.hpp"
#endif

namespace threadproof::probe {

using ext::PythonError;

namespace {

/// The arguments of a METH_FASTCALL function.
void want(const char* function, Py_ssize_t count, Py_ssize_t wanted) {
    if (count == wanted) return;
    PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments, got %zd", function, wanted, count);
    throw PythonError{};
}

/// A number of permits.
std::size_t at_least_0(Py_ssize_t count) { return count < 0 ? 0 : static_cast<std::size_t>(count); }

}  // namespace

PyObject* publish_order(PyObject*, PyObject* object) {
    publish(OrderEvent{OrderStep::kPublish, object});
    Py_RETURN_NONE;
}

PyObject* observe_order(PyObject*, PyObject* object) {
    publish(OrderEvent{OrderStep::kObserve, object});
    Py_RETURN_NONE;
}

template <ItemStep kStep>
PyObject* item_step(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
    want("send, unsend or receive", count, 2);
    publish(ItemEvent{kStep, arguments[0], arguments[1]});
    Py_RETURN_NONE;
}
template PyObject* item_step<ItemStep::kSend>(PyObject*, PyObject* const*, Py_ssize_t);
template PyObject* item_step<ItemStep::kUnsend>(PyObject*, PyObject* const*, Py_ssize_t);
template PyObject* item_step<ItemStep::kReceive>(PyObject*, PyObject* const*, Py_ssize_t);

PyObject* give_permits(PyObject*, PyObject* arguments) {
    PyObject* object;
    Py_ssize_t initial, count;
    if (!PyArg_ParseTuple(arguments, "Onn:give_permits", &object, &initial, &count)) throw PythonError{};
    publish(PermitEvent{PermitStep::kGive, object, at_least_0(initial), at_least_0(count)});
    Py_RETURN_NONE;
}

PyObject* withdraw_permits(PyObject*, PyObject* arguments) {
    PyObject* object;
    Py_ssize_t count;
    if (!PyArg_ParseTuple(arguments, "On:withdraw_permits", &object, &count)) throw PythonError{};
    publish(PermitEvent{PermitStep::kWithdraw, object, 0, at_least_0(count)});
    Py_RETURN_NONE;
}

PyObject* take_permit(PyObject*, PyObject* arguments) {
    PyObject* object;
    Py_ssize_t initial;
    int or_observe = 0;
    if (!PyArg_ParseTuple(arguments, "On|p:take_permit", &object, &initial, &or_observe)) throw PythonError{};
    publish(PermitEvent{PermitStep::kTake, object, at_least_0(initial), 1, or_observe != 0});
    Py_RETURN_NONE;
}

PyObject* key_was_read(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
    want("read_key", count, 4);
    Use use = arguments[3] == Py_True ? Use::kCheck : Use::kPlain;
    read_key(arguments[0], arguments[1], use, arguments[2] == Py_True);
    Py_RETURN_NONE;
}

PyObject* key_was_observed(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
    want("observe_key", count, 2);
    read_key(arguments[0], arguments[1], Use::kAtomic, true);
    Py_RETURN_NONE;
}

template <Use kUse>
PyObject* key_will_change(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
    want(kUse == Use::kAtomic ? "update_key" : "change_key", count, 3);
    change_key(arguments[0], arguments[1], kUse, arguments[2] == Py_True);
    Py_RETURN_NONE;
}
template PyObject* key_will_change<Use::kPlain>(PyObject*, PyObject* const*, Py_ssize_t);
template PyObject* key_will_change<Use::kAtomic>(PyObject*, PyObject* const*, Py_ssize_t);

PyObject* computation_began(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
    want("begin_computation", count, 2);
    begin_computation(arguments[0], arguments[1]);
    Py_RETURN_NONE;
}

PyObject* computation_ended(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
    want("end_computation", count, 3);
    end_computation(arguments[0], arguments[1], arguments[2] == Py_True);
    Py_RETURN_NONE;
}

PyObject* map_will_be_read(PyObject*, PyObject* map) {
    about_to_read(map);
    Py_RETURN_NONE;
}

PyObject* map_was_read(PyObject*, PyObject* map) {
    read_map(map);
    Py_RETURN_NONE;
}

PyObject* map_will_change(PyObject*, PyObject* map) {
    change_map(map);
    Py_RETURN_NONE;
}

#ifdef THREADPROOF_PROBE

Attempt attempt_of(PyObject* blocking, PyObject* timeout) {
    if (blocking && PyObject_IsTrue(blocking) == 0) return Attempt::kTry;
    bool timed = timeout && timeout != Py_None && PyNumber_Check(timeout) && PyFloat_AsDouble(timeout) >= 0;
    PyErr_Clear();  // the function itself raises for any other value
    return timed ? Attempt::kTimed : Attempt::kBlocking;
}

double seconds_of(PyObject* timeout) {
    double seconds = timeout && PyNumber_Check(timeout) ? PyFloat_AsDouble(timeout) : -1;
    PyErr_Clear();
    return seconds;
}

PyObject* joining_begins(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
    want("joining", count, 2);
    if (!listening(kWaits)) Py_RETURN_NONE;
    WaitEvent event{WaitStep::kBegin, WaitReason::kJoin, arguments[0], attempt_of(nullptr, arguments[1])};
    if (event.attempt == Attempt::kTimed) event.timeout = seconds_of(arguments[1]);
    publish(event);
    Py_RETURN_NONE;
}

PyObject* joining_ends(PyObject*, PyObject* thread) {
    publish(WaitEvent{WaitStep::kEnd, WaitReason::kJoin, thread});
    Py_RETURN_NONE;
}

PyObject* own(PyObject*, PyObject* address) {
    void* object = PyLong_AsVoidPtr(address);
    if (!object && PyErr_Occurred()) throw PythonError{};
    publish(ObjectEvent{ObjectStep::kOwned, reinterpret_cast<Object>(object)});
    Py_RETURN_NONE;
}

PyObject* allocated(PyObject*, PyObject* object) {
    if (!PyType_Check(object) && is_tracked(Py_TYPE(object)))
        publish(ObjectEvent{ObjectStep::kAllocated, address_of(object)});
    Py_RETURN_NONE;
}

void publish_modules_seen(PyObject* names) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); ++i)
        publish(ModuleEvent{ModuleStep::kSeen, PyTuple_GET_ITEM(names, i)});
}

PyObject* modules_seen(PyObject*, PyObject* names) {
    if (PyTuple_Check(names)) publish_modules_seen(names);
    Py_RETURN_NONE;
}

#endif

}  // namespace threadproof::probe
