/// All of CPython's private structures that the probe reads: the interpreter's frames, the storage of an
/// instance's attributes, the dict behind a view, and the flags that interrupt a thread.
///
/// No public function shows these, so this is the only file that includes CPython's internal headers
/// (tests/package/test_layers.py). A micro release may change any of it, and the headers of the build may be
/// those of another one. So before anything is read, the offsets of CPython's own table for debuggers are
/// compared with those of the headers (different_structure()), and then a self-test compares what is read
/// with what a known program has there (threadproof/probe/selftest.py). The probe refuses to start where
/// either differs. Nothing of PyInterpreterState is used: no table has its fields.
///
/// | internal                                  | guard                                               |
/// |-------------------------------------------|-----------------------------------------------------|
/// | frames: current_frame, previous, owner,   | the table; the self-test compares operands of every |
/// | f_executable, instr_ptr, localsplus,      | kind of site, and a whole stack                     |
/// | stackpointer, f_globals                   |                                                     |
/// | tagged references, code units             | the self-test's operands and offsets                |
/// | the managed dict, inline values, the      | the self-test's read_object(): an instance with and |
/// | class's cached keys, a view's dict        | without a dict, an attribute there and not there    |
/// | PyThreadState.threading_local_key, ...    | declared in the public headers                      |
/// | PyThreadState.eval_breaker and its bits   | the table; the self-test sets and takes an interrupt|
/// | the bits of a lock, the owner of an RLock | the self-test of contention: locks held, not held,  |
/// |                                           | and waited for                                      |
/// | PyMethodDef, tp_dealloc, tp_new,          | public structures                                   |
/// | vectorcall                                |                                                     |
///
/// Include this file first: it decides what Python.h declares.
#pragma once

#define Py_BUILD_CORE_MODULE 1  // as in CPython's own modules: makes its internals visible; before Python.h
#include "ext/probe/events.hpp"

#ifdef THREADPROOF_PROBE

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include <cstring>
#include <utility>
extern "C" {
#include "internal/pycore_ceval.h"
#include "internal/pycore_critical_section.h"
#include "internal/pycore_debug_offsets.h"
#include "internal/pycore_dict.h"
#include "internal/pycore_frame.h"
#include "internal/pycore_interp.h"
#include "internal/pycore_interpframe.h"
#include "internal/pycore_lock.h"
#include "internal/pycore_object.h"
#include "internal/pycore_pystate.h"
#include "internal/pycore_runtime.h"
}
#pragma GCC diagnostic pop

namespace threadproof::probe {

// ---- frames

using RunningFrame = _PyInterpreterFrame;                // not a Python object
constexpr std::size_t kCodeUnit = sizeof(_Py_CODEUNIT);  // bytes

/// The frame's code; null for a frame that runs no Python code.
inline PyObject* code_of(const RunningFrame* frame) {
    if (frame->owner == FRAME_OWNED_BY_INTERPRETER) return nullptr;
    PyObject* code = PyStackRef_AsPyObjectBorrow(frame->f_executable);
    return code && PyCode_Check(code) ? code : nullptr;
}

/// The thread's innermost frame. In a callback of sys.monitoring it runs Python code.
inline RunningFrame* innermost_frame() { return PyThreadState_Get()->current_frame; }

/// The innermost frame that runs Python code, from `frame` outwards.
inline RunningFrame* python_frame(RunningFrame* frame) {
    while (frame && (!code_of(frame) || _PyFrame_IsIncomplete(frame))) frame = frame->previous;
    return frame;
}

inline RunningFrame* caller_of(RunningFrame* frame) { return python_frame(frame->previous); }

/// The position of the frame's current instruction, in code units.
inline std::int64_t unit_in(RunningFrame* frame) { return _PyInterpreterFrame_LASTI(frame); }

/// Null if there is none.
inline PyObject* borrowed(_PyStackRef operand) {
    return PyStackRef_IsNull(operand) ? nullptr : PyStackRef_AsPyObjectBorrow(operand);
}

/// Borrowed from the frame. The top of the stack is number 1. CPython saves the stack pointer before it calls
/// a callback of sys.monitoring.
TP_HOT PyObject* on_stack(RunningFrame* frame, std::uint32_t number) {
    return borrowed(frame->stackpointer[-static_cast<std::ptrdiff_t>(number)]);
}
TP_HOT PyObject* local_in(RunningFrame* frame, std::uint32_t index) {
    return borrowed(frame->localsplus[index]);
}
TP_HOT PyObject* globals_in(RunningFrame* frame) { return frame->f_globals; }

/// Calls visit(word) for `deepest` frames, from `first` outwards. Two words are equal if code and instruction
/// are equal, and otherwise only by chance. It follows no pointers except those from frame to frame. So it
/// also visits a function that has not begun yet, which python_frame() omits; such a function is among the
/// callers only while a finaliser runs.
template <class Visit>
TP_HOT void each_call(RunningFrame* first, std::size_t deepest, Visit&& visit) {
    for (RunningFrame* frame = first; frame && deepest > 0; frame = frame->previous) {
        if (frame->owner == FRAME_OWNED_BY_INTERPRETER) continue;
        // addresses have 48 bits
        visit(frame->f_executable.bits ^ reinterpret_cast<std::uintptr_t>(frame->instr_ptr) << 16);
        --deepest;
    }
}

/// Visits the frame's own references to objects: what it runs, its variables, its operands.
template <class Visit>
void each_reference(const RunningFrame* frame, Visit&& visit) {
    auto visit_one = [&](_PyStackRef reference) {
        if (!PyStackRef_IsNullOrInt(reference)) visit(PyStackRef_AsPyObjectBorrow(reference));
    };
    visit_one(frame->f_executable);
    if (!code_of(frame)) return;
    visit_one(frame->f_funcobj);
    // CPython saves the stack pointer before it calls a function in C
    for (const _PyStackRef* each = frame->localsplus; each < frame->stackpointer; ++each) visit_one(*each);
}

/// Removes the thread's frames, as if its next call were the first one of the thread; returns the innermost.
inline RunningFrame* hide_frames() {
    PyThreadState* thread = PyThreadState_Get();
#if PY_VERSION_HEX >= 0x030F0000
    return std::exchange(thread->current_frame, thread->base_frame);
#else
    return std::exchange(thread->current_frame, nullptr);
#endif
}

inline void show_frames(RunningFrame* innermost) { PyThreadState_Get()->current_frame = innermost; }

// ---- objects

/// The dict that holds the object's attributes; null if the program has not asked for it yet.
inline PyObject* attribute_dict(PyObject* object) {
    if (!(Py_TYPE(object)->tp_flags & Py_TPFLAGS_MANAGED_DICT)) return nullptr;
    auto* managed = reinterpret_cast<PyDictObject**>(reinterpret_cast<char*>(object) + MANAGED_DICT_OFFSET);
    // acquire: as _PyObject_GetManagedDict(); pairs with CPython's release store of the new dict
    return reinterpret_cast<PyObject*>(__atomic_load_n(managed, __ATOMIC_ACQUIRE));
}

/// The value of an attribute of an object that has no dict yet, borrowed, or null: the instances of a class share a
/// table of names, and each has an array of values.
inline PyObject* inline_value(PyObject* object, PyObject* name) {
    if (!(Py_TYPE(object)->tp_flags & Py_TPFLAGS_INLINE_VALUES)) return nullptr;
    PyDictValues* values = _PyObject_InlineValues(object);
    PyDictKeysObject* keys = reinterpret_cast<PyHeapTypeObject*>(Py_TYPE(object))->ht_cached_keys;
    if (!values->valid || !keys) return nullptr;
    for (Py_ssize_t i = 0; i < keys->dk_nentries; ++i)
        if (DK_UNICODE_ENTRIES(keys)[i].me_key == name) return values->values[i];
    return nullptr;
}
inline bool has_inline_value(PyObject* object, PyObject* name) {
    return inline_value(object, name) != nullptr;
}

/// The result of dict.keys(), values() and items(); CPython declares it in no header.
struct DictView {
    PyObject base;
    PyObject* dict;
};

/// What a types.MappingProxyType shows, which has the layout of a view; `object` itself if it is none.
inline PyObject* behind_proxy(PyObject* object) {
    return Py_IS_TYPE(object, &PyDictProxy_Type) ? reinterpret_cast<DictView*>(object)->dict : object;
}

/// The dict behind one of its views, or behind a proxy; `object` itself if it is neither.
inline PyObject* behind_view(PyObject* object) {
    bool view = PyDictViewSet_Check(object) || PyDictValues_Check(object);
    return view ? reinterpret_cast<DictView*>(object)->dict : behind_proxy(object);
}

// ---- locks

/// The layouts of _thread.lock and _thread.RLock, which CPython declares in no header.
struct MutexObject {
    PyObject base;
    PyMutex mutex;
};
struct ReentrantObject {
    PyObject base;
    _PyRecursiveMutex lock;
};

inline PyMutex& mutex_of(PyObject* lock) { return reinterpret_cast<MutexObject*>(lock)->mutex; }
inline _PyRecursiveMutex& recursive_of(PyObject* lock) {
    return reinterpret_cast<ReentrantObject*>(lock)->lock;
}

/// relaxed, both: a hint, on which no access to what the lock guards depends
TP_HOT bool is_locked(const PyMutex& mutex) {
    return (__atomic_load_n(&mutex._bits, __ATOMIC_RELAXED) & _Py_LOCKED) != 0;
}
TP_HOT bool has_parked(const PyMutex& mutex) {
    return (__atomic_load_n(&mutex._bits, __ATOMIC_RELAXED) & _Py_HAS_PARKED) != 0;
}
/// As CPython's PyMutex_LockFast(): acquire; pairs with the release of the thread that unlocks it.
TP_HOT bool try_acquire(PyMutex& mutex) { return PyMutex_LockFast(&mutex) != 0; }
/// The thread that holds it, as PyThread_get_thread_ident_ex() has it; relaxed: only a thread that holds it stores its own
TP_HOT auto owner_of(const _PyRecursiveMutex& lock) {
    return __atomic_load_n(&lock.thread, __ATOMIC_RELAXED);
}
/// As CPython's _PyRecursiveMutex_Lock() where the lock is free: acquire; pairs with the release of the last unlock.
TP_HOT bool try_acquire(_PyRecursiveMutex& lock) {
    if (!try_acquire(lock.mutex)) return false;
    // relaxed: other threads only compare it with their own
    __atomic_store_n(&lock.thread, PyThread_get_thread_ident_ex(), __ATOMIC_RELAXED);
    return true;
}

#ifdef Py_GIL_DISABLED

/// The object whose own lock has this address, if any object has.
inline PyObject* object_of_lock(std::uintptr_t mutex) {
    return reinterpret_cast<PyObject*>(mutex - offsetof(PyObject, ob_mutex));
}

/// Calls visit(address of a mutex) for the locks of objects that the thread holds, or has given up while it is stopped.
/// The world is stopped.
template <class Visit>
void each_object_lock(const PyThreadState* thread, Visit&& visit) {
    for (std::uintptr_t next = thread->critical_section; next & ~std::uintptr_t{_Py_CRITICAL_SECTION_MASK};) {
        auto* section =
            reinterpret_cast<PyCriticalSection*>(next & ~std::uintptr_t{_Py_CRITICAL_SECTION_MASK});
        visit(reinterpret_cast<std::uintptr_t>(section->_cs_mutex));
        if (next & _Py_CRITICAL_SECTION_TWO_MUTEXES)
            visit(
                reinterpret_cast<std::uintptr_t>(reinterpret_cast<PyCriticalSection2*>(section)->_cs_mutex2));
        next = section->_cs_prev;
    }
}

/// While there is one, no other thread runs code of the interpreter.
class StoppedWorld {
 public:
    StoppedWorld() : interpreter_(PyInterpreterState_Get()) { _PyEval_StopTheWorld(interpreter_); }
    ~StoppedWorld() { _PyEval_StartTheWorld(interpreter_); }
    StoppedWorld(const StoppedWorld&) = delete;
    StoppedWorld& operator=(const StoppedWorld&) = delete;

    template <class Visit>
    void each_thread(Visit&& visit) const {
        PyThreadState* thread = PyInterpreterState_ThreadHead(interpreter_);
        for (; thread; thread = PyThreadState_Next(thread)) visit(thread);
    }

 private:
    PyInterpreterState* interpreter_;
};

/// Whether the thread may have been running when the world was stopped; it may have released the interpreter as well.
inline bool was_running(const PyThreadState* thread) {
    int state = __atomic_load_n(&thread->state, __ATOMIC_RELAXED);
    bool stopped = state == _Py_THREAD_SUSPENDED;
#ifdef _Py_THREAD_SUSPENDED_WAITING  // since 3.15: it sleeps until the world goes on
    stopped |= state == _Py_THREAD_SUSPENDED_WAITING;
#endif
    return stopped && thread->current_frame && thread->current_frame->stackpointer;
}

/// Whether the count of references is changed by all threads together: not that of an immortal object, nor of one
/// that the interpreter counts in another way, such as a function.
inline bool has_shared_count(PyObject* object) {
    return __atomic_load_n(&object->ob_ref_local, __ATOMIC_RELAXED) != _Py_IMMORTAL_REFCNT_LOCAL
           && !_PyObject_HasDeferredRefcount(object);
}
inline Py_ssize_t shared_count(PyObject* object) {
    return __atomic_load_n(&object->ob_ref_shared, __ATOMIC_RELAXED);
}

#endif

// ---- the interpreter

/// Each threading.local has a thread's values by that thread's key, and a callback of the sentinel's weak
/// references removes them.
inline void forget_locals() {
    PyThreadState* thread = PyThreadState_Get();
    Py_CLEAR(thread->threading_local_sentinel);
    Py_CLEAR(thread->threading_local_key);
}

/// Removes and returns the pending signals and asynchronous exceptions that would interrupt the thread before
/// its next call or jump.
inline std::uintptr_t take_interrupts() {
    PyThreadState* thread = PyThreadState_Get();
    auto waits = [&](std::uintptr_t bit) { return _Py_eval_breaker_bit_is_set(thread, bit) ? bit : 0; };
    std::uintptr_t pending = waits(_PY_SIGNALS_PENDING_BIT) | waits(_PY_ASYNC_EXCEPTION_BIT);
    _Py_unset_eval_breaker_bit(thread, pending);
    return pending;
}

inline void restore_interrupts(std::uintptr_t pending) {
    _Py_set_eval_breaker_bit(PyThreadState_Get(), pending);
}

/// The structure whose fields are elsewhere in this interpreter than in the headers that this was built with;
/// null if there is none. CPython publishes the offsets for debuggers, and reading them follows no pointer.
inline const char* different_structure() {
    const _Py_DebugOffsets& here = _PyRuntime.debug_offsets;
    static constexpr _Py_DebugOffsets kBuilt = _Py_DebugOffsets_INIT("");
    auto same = [](const auto& one, const auto& other) { return std::memcmp(&one, &other, sizeof one) == 0; };
    // the cookie and the version begin the table in every release; another minor release has other tables
    if (std::memcmp(here.cookie, _Py_Debug_Cookie, sizeof here.cookie) != 0) return "the runtime";
    if (here.version >> 16 != kBuilt.version >> 16) return "the runtime";
    if (here.free_threaded != kBuilt.free_threaded) return "the runtime";
    if (!same(here.thread_state, kBuilt.thread_state)) return "PyThreadState";
    if (!same(here.interpreter_frame, kBuilt.interpreter_frame)) return "_PyInterpreterFrame";
    if (!same(here.code_object, kBuilt.code_object)) return "PyCodeObject";
    if (!same(here.type_object, kBuilt.type_object)) return "PyTypeObject";
    if (!same(here.dict_object, kBuilt.dict_object)) return "PyDictObject";
    if (!same(here.pyobject, kBuilt.pyobject)) return "PyObject";
    return nullptr;
}

}  // namespace threadproof::probe

#endif
