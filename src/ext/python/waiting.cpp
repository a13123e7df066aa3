#include "ext/python/waiting.hpp"

#include <time.h>

#include <algorithm>

#include "ext/python/entry.hpp"
#include "ext/python/postponed.hpp"

namespace threadproof::ext {
namespace {

PyObject* deadlock;

// Beyond 30 years a deadline is never.
constexpr double kForever = 1e9;

std::int64_t monotonic_nanoseconds() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
}

[[noreturn]] void refuse_type(PyObject* owner, const char* method, PyObject* timeout) {
    PyErr_Format(PyExc_TypeError,
                 "%U.%s() wants timeout in seconds, got %U; to wait as long as it takes, leave it None",
                 type_name(owner).get(), method, type_name(timeout).get());
    throw PythonError{};
}

[[noreturn]] void refuse_value(PyObject* owner, const char* method, PyObject* timeout) {
    PyErr_Format(
        PyExc_ValueError,
        "%U.%s() wants timeout in seconds, at least 0, got %R; to wait as long as it takes, leave it "
        "None",
        type_name(owner).get(), method, timeout);
    throw PythonError{};
}

/// A number of seconds, at least 0; throws for anything else.
double seconds_from(PyObject* owner, const char* method, PyObject* timeout) {
    if (!PyFloat_Check(timeout) && !PyLong_Check(timeout)) refuse_type(owner, method, timeout);
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1 && PyErr_Occurred()) {  // an int beyond the range of a float
        PyErr_Clear();
        Ref zero = Ref::steal(checked(PyLong_FromLong(0)));
        int negative = PyObject_RichCompareBool(timeout, zero.get(), Py_LT);
        if (negative < 0) throw PythonError{};
        seconds = negative ? -1 : kForever;
    }
    if (!(seconds >= 0)) refuse_value(owner, method, timeout);  // also NaN
    return seconds;
}

PyObject* check_timeout(PyObject*, PyObject* const* given, Py_ssize_t count) {
    const char* method = count == 3 ? PyUnicode_AsUTF8(given[1]) : nullptr;
    if (count != 3) PyErr_Format(PyExc_TypeError, "check_timeout() takes 3 arguments, got %zd", count);
    if (!method) throw PythonError{};
    Deadline::after(given[0], method, given[2]);
    Py_RETURN_NONE;
}

PyMethodDef functions[] = {
    {"check_timeout", method<check_timeout>(), METH_FASTCALL,
     "check_timeout(owner, method, timeout, /)\n--\n\nTypeError or ValueError for a timeout that is neither "
     "None nor a number of seconds, at least 0.\n\nThe message names the method of the owner's type."},
    {nullptr, nullptr, 0, nullptr},
};

/// Acquires the lock and releases it, so that the next waiting thread can pass, too.
PyLockStatus pass(PyThread_type_lock gate, long long microseconds) {
    PyThreadState* thread = PyEval_SaveThread();
    PyLockStatus status = PyThread_acquire_lock_timed(gate, microseconds, 1);
    if (status == PY_LOCK_ACQUIRED) PyThread_release_lock(gate);
    outliving([&] { PyEval_RestoreThread(thread); });
    return status;
}

}  // namespace

void add_waiting(PyObject* module) {
    deadlock = checked(PyErr_NewExceptionWithDoc(
        "threadproof.DeadlockError",
        "Waiting would never end: the thread would wait for itself, directly or through other threads.",
        PyExc_RuntimeError, nullptr));
    if (PyModule_AddObjectRef(module, "DeadlockError", deadlock) < 0
        || PyModule_AddFunctions(module, functions) < 0)
        throw PythonError{};
}

PyObject* deadlock_error() { return deadlock; }

Deadline Deadline::after(PyObject* owner, const char* method, PyObject* timeout) {
    Deadline deadline;
    if (timeout == Py_None) return deadline;
    double seconds = seconds_from(owner, method, timeout);
    if (seconds < kForever) {
        deadline.never_ = false;
        deadline.nanoseconds_ = monotonic_nanoseconds() + static_cast<std::int64_t>(seconds * 1e9);
    }
    return deadline;
}

std::int64_t Deadline::microseconds_left() const {
    return std::max<std::int64_t>(0, (nanoseconds_ - monotonic_nanoseconds()) / 1000);
}

GateWait wait_at_gate(PyThread_type_lock gate, const Deadline& deadline) {
    const std::uint32_t generation = process_generation.load(std::memory_order_relaxed);
    if (Postponed::any()) {  // it has come already, and no signal follows that would end the wait
        Postponed::restore();
        return GateWait::kRaised;
    }
    for (;;) {
        PyLockStatus status = pass(gate, deadline.never() ? -1 : deadline.microseconds_left());
        if (status == PY_LOCK_ACQUIRED) return GateWait::kOpen;
        if (status == PY_LOCK_FAILURE) return GateWait::kTimeout;
        // interrupted by a signal
        if (Py_MakePendingCalls() < 0 || PyErr_CheckSignals() < 0) return GateWait::kRaised;
        // the handler has forked: the thread that would open the gate may not be in the child
        if (generation != process_generation.load(std::memory_order_relaxed)) return GateWait::kOpen;
    }
}

}  // namespace threadproof::ext
