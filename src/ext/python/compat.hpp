/// Python.h, and the differences between the versions and builds of CPython.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cxxabi.h>
#include <unistd.h>

#include "core/base/hints.hpp"

namespace threadproof::ext {

/// Whether threads of Python run at the same time: the build has no global interpreter lock.
#ifdef Py_GIL_DISABLED
inline constexpr bool kThreads = true;
#else
inline constexpr bool kThreads = false;
#endif

/// Calls a function that can release the interpreter. Before 3.14, if a daemon thread reacquires the
/// interpreter during finalization, CPython ends it by unwinding its stack; destructors would then count
/// references without holding the interpreter. Here such a thread is suspended forever instead, as CPython
/// does from 3.14 on.
template <class Call>
TP_HOT auto outliving(Call call) -> decltype(call()) {
#if PY_VERSION_HEX < 0x030E0000
    try {
        return call();
    } catch (abi::__forced_unwind&) {
        for (;;) pause();
    }
#else
    return call();
#endif
}

/// Holds an object's own lock, which its methods acquire, too. CPython releases it if the thread blocks. In
/// builds with a global interpreter lock, that is the lock of every object.
#ifdef Py_GIL_DISABLED
class CriticalSection {
 public:
    explicit CriticalSection(PyObject* object) { PyCriticalSection_Begin(&section_, object); }
    ~CriticalSection() { PyCriticalSection_End(&section_); }
    CriticalSection(const CriticalSection&) = delete;
    CriticalSection& operator=(const CriticalSection&) = delete;

 private:
    PyCriticalSection section_;
};
#else
struct CriticalSection {
    explicit CriticalSection(PyObject*) {}
};
#endif

/// The calling thread's state if it holds the interpreter, else null.
inline PyThreadState* attached_thread() {
#if PY_VERSION_HEX >= 0x030D0000
    return PyThreadState_GetUnchecked();
#else
    // 3.11 returns the state of whichever thread holds the interpreter
    PyThreadState* current = _PyThreadState_UncheckedGet();
    return current == PyGILState_GetThisThreadState() ? current : nullptr;
#endif
}

}  // namespace threadproof::ext
