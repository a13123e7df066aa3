/// Calls a program's code as the interpreter calls it: no frame of the caller is visible to it.

#include "ext/probe/internals.hpp"

#ifdef THREADPROOF_PROBE
#include <vector>

#include "ext/probe/api.hpp"
#include "ext/python/errors.hpp"
#include "ext/python/ref.hpp"

namespace threadproof::probe {
namespace {

using ext::checked;
using ext::PythonError;
using ext::Ref;

/// Whether this thread's functions for tracing and profiling are suspended, because the program's last call
/// has returned: what the command does then is not the program's.
thread_local bool tracing_suspended = false;

/// Without this thread's frames and its count of calls, while it exists.
///
/// The collector of a free-threaded build finds the references of frames by walking over the frames, as it
/// does not count those to functions, modules and code. So this one holds what the hidden frames refer to.
class NoCallers {
 public:
    NoCallers() {
        for (RunningFrame* frame = innermost_frame(); frame; frame = frame->previous)
            each_reference(frame, [&](PyObject* object) { kept_.push_back(Ref::borrow(object)); });
        PyThreadState* thread = PyThreadState_Get();
        calls_ = thread->py_recursion_limit - thread->py_recursion_remaining;
        thread->py_recursion_remaining = thread->py_recursion_limit;
        innermost_ = hide_frames();
        if (std::exchange(tracing_suspended, false)) PyThreadState_LeaveTracing(thread);
    }
    NoCallers(const NoCallers&) = delete;
    NoCallers& operator=(const NoCallers&) = delete;
    ~NoCallers() {
        PyThreadState* thread = PyThreadState_Get();
        if (!std::exchange(tracing_suspended, true)) PyThreadState_EnterTracing(thread);
        show_frames(innermost_);
        thread->py_recursion_remaining = thread->py_recursion_limit - calls_;
    }

 private:
    std::vector<Ref> kept_;
    int calls_ = 0;
    RunningFrame* innermost_ = nullptr;
};

}  // namespace

/// function(*arguments)
PyObject* call_outermost(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
    if (count < 1) {
        PyErr_SetString(PyExc_TypeError, "call_outermost() wants a function and its arguments");
        throw PythonError{};
    }
    NoCallers outermost;
    std::size_t given = static_cast<std::size_t>(count - 1);
    return checked(PyObject_Vectorcall(arguments[0], arguments + 1, given, nullptr));
}

/// As the interpreter prints the exception that has ended the program. SystemExit ends the process.
PyObject* print_exception(PyObject*, PyObject* error) {
    if (!PyExceptionInstance_Check(error)) {
        PyErr_SetString(PyExc_TypeError, "print_exception() wants an exception");
        throw PythonError{};
    }
    NoCallers outermost;
    PyErr_SetRaisedException(Py_NewRef(error));
    PyErr_Print();
    Py_RETURN_NONE;
}

}  // namespace threadproof::probe

#endif
