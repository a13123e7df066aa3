/// What every file of the binding needs of CPython: scopes, argument checks, and the differences between
/// versions.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cxxabi.h>
#include <unistd.h>

#include <cstdint>
#include <new>
#include <stdexcept>
#include <utility>

#include "core/base/reclaim.hpp"

namespace threadproof::ext {

/// Calls something that can let go of the interpreter. Before 3.14, CPython ends a daemon thread that comes
/// back when the interpreter is finalizing by unwinding its stack, and destructors would then count
/// references with no interpreter held: such a thread stays here for good instead, as it does from 3.14 on.
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

/// Drops a reference; that can run any code.
TP_HOT void drop_reference(PyObject* object) {
    outliving([&] { Py_XDECREF(object); });
}

/// One strong reference.
class Ref {
 public:
    Ref() = default;
    static Ref steal(PyObject* object) { return Ref(object); }
    static Ref borrow(PyObject* object) { return Ref(Py_XNewRef(object)); }
    Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
    Ref& operator=(Ref&& other) noexcept {
        Ref old(std::exchange(object_, std::exchange(other.object_, nullptr)));
        return *this;
    }
    ~Ref() { drop_reference(object_); }

    PyObject* get() const { return object_; }
    PyObject* release() { return std::exchange(object_, nullptr); }
    explicit operator bool() const { return object_ != nullptr; }

 private:
    explicit Ref(PyObject* object) : object_(object) {}
    PyObject* object_ = nullptr;
};

/// A Python exception is set: unwinds to the nearest entry<> below.
struct PythonError {};

/// A Python exception put aside while something else is done.
class Raised {
 public:
    void fetch() {
#if PY_VERSION_HEX >= 0x030C0000
        error_ = Ref::steal(PyErr_GetRaisedException());
#else
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        PyErr_NormalizeException(&type, &value, &traceback);
        if (traceback) PyException_SetTraceback(value, traceback);
        Py_XDECREF(traceback);
        Py_XDECREF(type);
        error_ = Ref::steal(value);
#endif
    }

    explicit operator bool() const { return static_cast<bool>(error_); }

    /// Goes on with the exception; does nothing if there is none.
    void rethrow() {
        if (!error_) return;
#if PY_VERSION_HEX >= 0x030C0000
        PyErr_SetRaisedException(error_.release());
#else
        PyObject* value = error_.release();
        PyErr_Restore(Py_NewRef(Py_TYPE(value)), value, PyException_GetTraceback(value));
#endif
        throw PythonError{};
    }

 private:
    Ref error_;
};

/// What a slot of a Python type returns to say that an exception is set.
template <class R>
inline constexpr R kFailed = static_cast<R>(-1);
template <class T>
inline constexpr T* kFailed<T*> = nullptr;

/// The C function for a C++ function that may throw: the one place where C++ exceptions stop.
template <auto Function>
struct Entry;
template <class R, class... A, R (*Function)(A...)>
struct Entry<Function> {
    static R call(A... arguments) noexcept {
        try {
            return Function(arguments...);
        } catch (const PythonError&) {
        } catch (const std::bad_alloc&) {
            PyErr_NoMemory();
        } catch (const std::logic_error& broken) {
            PyErr_SetString(PyExc_AssertionError, broken.what());
        }
        return kFailed<R>;
    }
};

template <auto Function>
PyCFunction method() {
    return reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(&Entry<Function>::call));
}
template <auto Function>
void* slot() {
    return reinterpret_cast<void*>(&Entry<Function>::call);
}

/// Throws if `object` is null, because then an exception is set.
inline PyObject* checked(PyObject* object) {
    if (!object) throw PythonError{};
    return object;
}

[[noreturn]] inline void raise_key_error(PyObject* key) {
    // A tuple would be taken for the exception's arguments.
    Ref arguments = Ref::steal(checked(PyTuple_Pack(1, key)));
    PyErr_SetObject(PyExc_KeyError, arguments.get());
    throw PythonError{};
}

/// The arguments of a METH_FASTCALL | METH_KEYWORDS call, put in order: `required` first, then optional ones by place or name.
template <int kMost>
class Arguments {
 public:
    Arguments(const char* function, PyObject* const* given, Py_ssize_t count, PyObject* names, int required,
              int positional, const char* const (&parameters)[kMost]) {
        if (count > positional)
            fail(function, "takes at most %d positional arguments, got %zd", positional, count);
        for (Py_ssize_t i = 0; i < count; ++i) values_[i] = given[i];
        Py_ssize_t named = names ? PyTuple_GET_SIZE(names) : 0;
        for (Py_ssize_t i = 0; i < named; ++i)
            by_name(function, PyTuple_GET_ITEM(names, i), given[count + i], required, parameters);
        for (int i = 0; i < required; ++i)
            if (!values_[i]) fail(function, "misses its argument %d, '%s'", i + 1, parameters[i]);
    }

    PyObject* operator[](int i) const { return values_[i]; }
    PyObject* get(int i, PyObject* otherwise) const { return values_[i] ? values_[i] : otherwise; }

 private:
    void by_name(const char* function, PyObject* name, PyObject* value, int required,
                 const char* const (&parameters)[kMost]) {
        for (int i = required; i < kMost; ++i) {
            if (PyUnicode_CompareWithASCIIString(name, parameters[i]) != 0) continue;
            if (values_[i]) fail(function, "got its argument '%s' twice%s", parameters[i], "");
            values_[i] = value;
            return;
        }
        PyErr_Format(PyExc_TypeError, "%s() has no argument named '%U'", function, name);
        throw PythonError{};
    }

    template <class A, class B>
    [[noreturn]] static void fail(const char* function, const char* format, A a, B b) {
        Ref what = Ref::steal(PyUnicode_FromFormat(format, a, b));
        if (what) PyErr_Format(PyExc_TypeError, "%s() %U", function, what.get());
        throw PythonError{};
    }

    PyObject* values_[kMost] = {};
};

// ---- versions

#ifdef Py_GIL_DISABLED
inline constexpr bool kThreads = true;
#else
inline constexpr bool kThreads = false;
#endif

#ifdef Py_GIL_DISABLED
/// A reference to an object that another thread may be dropping; false if only its lock can tell. The object
/// may even be dead: CPython keeps its memory typed and mapped until every thread that might be looking has
/// moved on, which dict and list rely on as well (_Py_TryIncrefCompare in pycore_object.h, QSBR in
/// InternalDocs).
TP_HOT bool try_incref(PyObject* object) {
    // relaxed, all: as CPython counts
    std::uint32_t local = __atomic_load_n(&object->ob_ref_local, __ATOMIC_RELAXED);
    if (local == _Py_IMMORTAL_REFCNT_LOCAL) return true;
    if (_Py_IsOwnedByCurrentThread(object)) {
        __atomic_store_n(&object->ob_ref_local, local + 1, __ATOMIC_RELAXED);
        return true;
    }
    Py_ssize_t shared = __atomic_load_n(&object->ob_ref_shared, __ATOMIC_RELAXED);
    do {
        // no other thread may count here yet, or nobody any more
        if (shared == 0 || shared == _Py_REF_MERGED) return false;
    } while (!__atomic_compare_exchange_n(&object->ob_ref_shared, &shared,
                                          shared + (1 << _Py_REF_SHARED_SHIFT), true, __ATOMIC_ACQ_REL,
                                          __ATOMIC_RELAXED));
    return true;
}
inline void allow_try_incref(PyObject* object) { PyUnstable_EnableTryIncRef(object); }

/// Holds an object's own lock, the one that its methods take. CPython lets go of it where the thread waits
/// for anything.
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
/// The interpreter's lock is that of every object.
struct CriticalSection {
    explicit CriticalSection(PyObject*) {}
};

TP_HOT bool try_incref(PyObject* object) {
    Py_INCREF(object);
    return true;
}
inline void allow_try_incref(PyObject*) {}
#endif

/// This thread's state, if it holds the interpreter.
inline PyThreadState* attached_thread() {
#if PY_VERSION_HEX >= 0x030D0000
    return PyThreadState_GetUnchecked();
#else
    // in 3.11 the process's, which can be another thread's
    PyThreadState* current = _PyThreadState_UncheckedGet();
    return current == PyGILState_GetThisThreadState() ? current : nullptr;
#endif
}

/// How a thread of Python waits a little: without the interpreter, for whoever it waits for may need it.
inline void wait_detached(unsigned round) {
    PyThreadState* thread = attached_thread();
    if (thread) PyEval_SaveThread();
    yield_or_nap(round);
    if (thread) outliving([&] { PyEval_RestoreThread(thread); });
}

/// An exact str, int, bool, float or bytes, or None: to hash it, and to compare it with another, calls
/// nothing but CPython.
inline bool is_atom(PyObject* object) {
    PyTypeObject* type = Py_TYPE(object);
    return type == &PyUnicode_Type || type == &PyLong_Type || type == &PyFloat_Type || type == &PyBytes_Type
           || type == &PyBool_Type || object == Py_None;
}

}  // namespace threadproof::ext
