/// The objects that threads block at: their state, and their creation.

#include "ext/probe/blocking.hpp"

#ifdef THREADPROOF_PROBE

#include <array>

#include "ext/probe/api.hpp"
#include "ext/probe/entry.hpp"
#include "ext/probe/methods.hpp"

namespace threadproof::probe {

constinit LockTypes lock_types{};

namespace {

/// Whether the method returns `wanted` for the object.
bool returns(PyCFunction function, PyObject* object, PyObject* wanted) {
    if (!function) return false;
    Ref result = Ref::steal(function(object, nullptr));
    if (!result) PyErr_Clear();
    return result.get() == wanted;
}

// ---- creations

constexpr std::size_t kMostCreated = 8;  // twice what contention watches: Lock, RLock, SimpleQueue, RWLock

std::array<newfunc, kMostCreated> constructors;
std::size_t constructor_count = 0;

template <std::size_t kNumber>
PyObject* create(PyTypeObject* type, PyObject* arguments, PyObject* names) noexcept {
    PyObject* made = constructors[kNumber](type, arguments, names);
    if (made && listening(kBlocks)) contained([&] { publish(BlockEvent{BlockStep::kCreated, made}); });
    return made;
}

template <std::size_t... kNumbers>
newfunc creator(std::size_t number, std::index_sequence<kNumbers...>) {
    static const newfunc all[] = {&create<kNumbers>...};
    return all[number];
}

}  // namespace

bool is_empty_queue(PyObject* queue) { return returns(lock_types.queue_is_empty, queue, Py_True); }
bool is_running_thread(PyObject* handle) { return returns(lock_types.thread_is_done, handle, Py_False); }

PyObject* set_lock_types(PyObject*, PyObject* arguments) {
    PyObject *mutex, *recursive, *queue, *handle;
    if (!PyArg_ParseTuple(arguments, "O!O!O!O!:set_lock_types", &PyType_Type, &mutex, &PyType_Type,
                          &recursive, &PyType_Type, &queue, &PyType_Type, &handle))
        throw PythonError{};
    if (lock_types.mutex) Py_RETURN_NONE;
    lock_types.queue_is_empty = original_method(queue, "empty");
    lock_types.thread_is_done = original_method(handle, "is_done");
    lock_types.queue = reinterpret_cast<PyTypeObject*>(Py_NewRef(queue));
    lock_types.reentrant = reinterpret_cast<PyTypeObject*>(Py_NewRef(recursive));
    lock_types.mutex = reinterpret_cast<PyTypeObject*>(Py_NewRef(mutex));
    Py_RETURN_NONE;
}

/// (held, held by another thread, a thread sleeps for it).
PyObject* lock_state(PyObject*, PyObject* lock) {
    bool mutex = Py_IS_TYPE(lock, lock_types.mutex);
    if (!mutex && !Py_IS_TYPE(lock, lock_types.reentrant)) {
        PyErr_Format(PyExc_TypeError, "lock_state() wants a lock, got %R", lock);
        throw PythonError{};
    }
    bool held = is_locked(mutex ? mutex_of(lock) : recursive_of(lock).mutex);
    return Py_BuildValue("OOO", held ? Py_True : Py_False, is_held_by_another(lock) ? Py_True : Py_False,
                         has_blocked_threads(lock) ? Py_True : Py_False);
}

PyObject* intercept_creation(PyObject*, PyObject* object) {
    auto* type = reinterpret_cast<PyTypeObject*>(object);
    if (!PyType_Check(object) || !type->tp_new || constructor_count == kMostCreated) {
        PyErr_Format(PyExc_TypeError, "the creation of %R cannot be intercepted", object);
        throw PythonError{};
    }
    constructors[constructor_count] = type->tp_new;
    type->tp_new = creator(constructor_count++, std::make_index_sequence<kMostCreated>{});
    Py_RETURN_NONE;
}

}  // namespace threadproof::probe

#endif
