/// All that we know of CPython's private structures: the interpreter's frames, where an instance keeps its
/// attributes, what is behind a view of a dict, and the flags that interrupt a thread.
///
/// No public function shows these. So no other file includes CPython's internal headers
/// (tests/package/test_layers.py), and Python code checks at start-up that what is read here is what a known
/// program really has there (race/selftest.py), and refuses to go on otherwise. To be included first, for it
/// decides what Python.h shows.
#pragma once

#define Py_BUILD_CORE_MODULE 1  // what CPython's own modules say to see its internals; before Python.h
#include "ext/race/race.hpp"

#ifdef THREADPROOF_RACE

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
extern "C" {
#include "internal/pycore_ceval.h"
#include "internal/pycore_dict.h"
#include "internal/pycore_frame.h"
#include "internal/pycore_interp.h"
#include "internal/pycore_interpframe.h"
#include "internal/pycore_object.h"
}
#pragma GCC diagnostic pop

namespace threadproof::ext {

// ---- frames

using Running = _PyInterpreterFrame;                     // a frame while it runs, which is no Python object
constexpr std::size_t kCodeUnit = sizeof(_Py_CODEUNIT);  // bytes

/// Null for a frame that is not of Python code.
inline PyObject* code_of(const Running* frame) {
    if (frame->owner == FRAME_OWNED_BY_INTERPRETER) return nullptr;
    PyObject* code = PyStackRef_AsPyObjectBorrow(frame->f_executable);
    return code && PyCode_Check(code) ? code : nullptr;
}

/// The thread's innermost frame; of Python code, where an instruction of it is about to run.
inline Running* innermost() { return PyThreadState_Get()->current_frame; }

/// The innermost frame of Python code, at or below `frame`.
inline Running* python_frame(Running* frame) {
    while (frame && (!code_of(frame) || _PyFrame_IsIncomplete(frame))) frame = frame->previous;
    return frame;
}

inline Running* caller_of(Running* frame) { return python_frame(frame->previous); }

/// The code units before the instruction that the frame is at.
inline std::int64_t unit_in(Running* frame) { return _PyInterpreterFrame_LASTI(frame); }

inline PyObject* borrowed(_PyStackRef operand) {
    return PyStackRef_IsNull(operand) ? nullptr : PyStackRef_AsPyObjectBorrow(operand);
}

/// Borrowed from the frame; null where there is none. The top of the stack is number 1. CPython has saved
/// where it is by the time it calls sys.monitoring's callbacks.
TP_HOT PyObject* on_stack(Running* frame, std::uint32_t number) {
    return borrowed(frame->stackpointer[-static_cast<std::ptrdiff_t>(number)]);
}
TP_HOT PyObject* local_in(Running* frame, std::uint32_t index) { return borrowed(frame->localsplus[index]); }
TP_HOT PyObject* globals_in(Running* frame) { return frame->f_globals; }

/// Calls visit(word) for `deepest` frames from the innermost outwards. Words are equal where code and
/// instructions are, and else only by chance. It follows no pointers but those from frame to frame. So a
/// function that has yet to begin counts, too, which python_frame() leaves out; it is among the callers only
/// where a finaliser runs at that moment.
template <class Visit>
TP_HOT void each_place(std::size_t deepest, Visit&& visit) {
    for (Running* frame = innermost(); frame && deepest > 0; frame = frame->previous) {
        if (frame->owner == FRAME_OWNED_BY_INTERPRETER) continue;
        // addresses have 48 bits
        visit(frame->f_executable.bits ^ reinterpret_cast<std::uintptr_t>(frame->instr_ptr) << 16);
        --deepest;
    }
}

// ---- objects

/// The dict that holds the object's attributes, if it has been asked for.
inline PyObject* attribute_dict(PyObject* object) {
    if (!(Py_TYPE(object)->tp_flags & Py_TPFLAGS_MANAGED_DICT)) return nullptr;
    auto* managed = reinterpret_cast<PyDictObject**>(reinterpret_cast<char*>(object) + MANAGED_DICT_OFFSET);
    // acquire: as _PyObject_GetManagedDict
    return reinterpret_cast<PyObject*>(__atomic_load_n(managed, __ATOMIC_ACQUIRE));
}

/// Of an object that has no dict yet: the names that a class's instances have had are in a table that they
/// share, and an instance has the values.
inline bool has_inline_value(PyObject* object, PyObject* name) {
    if (!(Py_TYPE(object)->tp_flags & Py_TPFLAGS_INLINE_VALUES)) return false;
    PyDictValues* values = _PyObject_InlineValues(object);
    PyDictKeysObject* keys = reinterpret_cast<PyHeapTypeObject*>(Py_TYPE(object))->ht_cached_keys;
    if (!values->valid || !keys) return false;
    for (Py_ssize_t i = 0; i < keys->dk_nentries; ++i)
        if (DK_UNICODE_ENTRIES(keys)[i].me_key == name) return values->values[i] != nullptr;
    return false;
}

/// What dict.keys(), values() and items() return; CPython declares it in no header.
struct DictView {
    PyObject base;
    PyObject* dict;
};

/// The container behind one of its views; itself if it is none.
inline PyObject* behind_view(PyObject* object) {
    bool view = PyDictViewSet_Check(object) || PyDictValues_Check(object);
    return view ? reinterpret_cast<DictView*>(object)->dict : object;
}

// ---- the interpreter

/// Takes what would interrupt the thread before its next call or jump, and returns it.
inline std::uintptr_t hold_interrupts() {
    PyThreadState* thread = PyThreadState_Get();
    auto waits = [&](std::uintptr_t bit) { return _Py_eval_breaker_bit_is_set(thread, bit) ? bit : 0; };
    std::uintptr_t pending = waits(_PY_SIGNALS_PENDING_BIT) | waits(_PY_ASYNC_EXCEPTION_BIT);
    _Py_unset_eval_breaker_bit(thread, pending);
    return pending;
}

inline void let_interrupts_come(std::uintptr_t pending) {
    _Py_set_eval_breaker_bit(PyThreadState_Get(), pending);
}

/// CPython has a shortcut for list.append that no method definition sees: this takes it away.
inline void forget_list_append() { PyInterpreterState_Get()->callable_cache.list_append = Py_None; }

}  // namespace threadproof::ext

#endif
