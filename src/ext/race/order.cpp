/// What Python says of the order between threads: an object to synchronise by, permits, items of channels,
/// keys of maps.

#include "ext/race/race.hpp"

#ifdef THREADPROOF_RACE

namespace threadproof::ext {
namespace {

using race::Detector;
using race::Thread;
using race::Topic;

// A map's steps on one key are ordered by the key. What changes the whole map counts for every key, and what
// looks at the whole map has seen every change.
constexpr Topic kAnyKey = 1;    // released by each change of a key, for who looks at the whole map
constexpr Topic kEveryKey = 2;  // released by a change of the whole map
constexpr Topic kOddKeys = 3;   // keys that we may not compare, for that is user code

Topic topic_of_key(PyObject* key) { return plain_key(key) ? number_of_key(key) : kOddKeys; }
Topic topic_of_item(PyObject* item) { return reinterpret_cast<Topic>(item); }

template <class Act>
PyObject* order(Act&& act) {
    if (Thread* me = race_thread()) act(race_state().detector, *me);
    Py_RETURN_NONE;
}

PyObject* race_acquire(PyObject*, PyObject* object) {
    return order([&](Detector& detector, Thread& me) { detector.acquire(me, sync_of(object)); });
}

PyObject* race_release(PyObject*, PyObject* object) {
    return order([&](Detector& detector, Thread& me) { detector.release(me, sync_of(object)); });
}

PyObject* race_take_permit(PyObject*, PyObject* arguments) {
    PyObject* object;
    Py_ssize_t initial;
    if (!PyArg_ParseTuple(arguments, "On:race_take_permit", &object, &initial)) return nullptr;
    Thread* me = race_thread();
    return PyBool_FromLong(
        me && race_state().detector.take_permit(*me, sync_of(object), static_cast<std::size_t>(initial)));
}

PyObject* race_give_permits(PyObject*, PyObject* arguments) {
    PyObject* object;
    Py_ssize_t initial, permits;
    if (!PyArg_ParseTuple(arguments, "Onn:race_give_permits", &object, &initial, &permits)) return nullptr;
    return order([&](Detector& detector, Thread& me) {
        detector.give_permits(me, sync_of(object), static_cast<std::size_t>(initial),
                              static_cast<std::size_t>(permits));
    });
}

/// A function of (object, topic), such as race_send(channel, item).
template <auto kStep, auto kTopicOf>
PyObject* with_topic(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
    if (count != 2) {
        PyErr_Format(PyExc_TypeError, "an object and its topic are wanted, got %zd arguments", count);
        return nullptr;
    }
    return order([&](Detector& detector, Thread& me) {
        kStep(detector, me, sync_of(arguments[0]), kTopicOf(arguments[1]));
    });
}

void send(Detector& detector, Thread& me, race::Sync channel, Topic item) {
    detector.send(me, channel, item);
}
void receive(Detector& detector, Thread& me, race::Sync channel, Topic item) {
    detector.receive(me, channel, item);
}
void unsend(Detector& detector, Thread& me, race::Sync channel, Topic item) {
    detector.unsend(me, channel, item);
}

void see_key(Detector& detector, Thread& me, race::Sync map, Topic key) {
    detector.acquire(me, map, key);
    detector.acquire(me, map, kEveryKey);
}

void change_key(Detector& detector, Thread& me, race::Sync map, Topic key) {
    detector.release(me, map, key);
    detector.release(me, map, kAnyKey);
}

PyObject* race_see_map(PyObject*, PyObject* map) {
    return order([&](Detector& detector, Thread& me) {
        detector.acquire(me, sync_of(map), kAnyKey);
        detector.acquire(me, sync_of(map), kEveryKey);
    });
}

PyObject* race_change_map(PyObject*, PyObject* map) {
    return order([&](Detector& detector, Thread& me) { detector.release(me, sync_of(map), kEveryKey); });
}

/// race_last_use(address): of an object that only the caller has left.
PyObject* race_last_use(PyObject*, PyObject* address) {
    void* object = PyLong_AsVoidPtr(address);
    if (!object && PyErr_Occurred()) return nullptr;
    return order([&](Detector& detector, Thread& me) {
        detector.last_use(me, reinterpret_cast<race::Object>(object));
    });
}

}  // namespace

PyMethodDef race_order_functions[] = {
    {"race_acquire", race_acquire, METH_O, "race_acquire($module, sync, /)\n--\n\n"},
    {"race_release", race_release, METH_O, "race_release($module, sync, /)\n--\n\n"},
    {"race_take_permit", race_take_permit, METH_VARARGS,
     "race_take_permit($module, sync, initial, /)\n--\n\n"},
    {"race_give_permits", race_give_permits, METH_VARARGS,
     "race_give_permits($module, sync, initial, permits, /)\n--\n\n"},
    {"race_send", method<with_topic<send, topic_of_item>>(), METH_FASTCALL,
     "race_send($module, channel, item, /)\n--\n\n"},
    {"race_receive", method<with_topic<receive, topic_of_item>>(), METH_FASTCALL,
     "race_receive($module, channel, item, /)\n--\n\n"},
    {"race_unsend", method<with_topic<unsend, topic_of_item>>(), METH_FASTCALL,
     "race_unsend($module, channel, item, /)\n--\n\n"},
    {"race_see_key", method<with_topic<see_key, topic_of_key>>(), METH_FASTCALL,
     "race_see_key($module, shared, key, /)\n--\n\n"},
    {"race_change_key", method<with_topic<change_key, topic_of_key>>(), METH_FASTCALL,
     "race_change_key($module, shared, key, /)\n--\n\n"},
    {"race_see_map", race_see_map, METH_O, "race_see_map($module, shared, /)\n--\n\n"},
    {"race_change_map", race_change_map, METH_O, "race_change_map($module, shared, /)\n--\n\n"},
    {"race_last_use", race_last_use, METH_O, "race_last_use($module, address, /)\n--\n\n"},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace threadproof::ext

#endif
