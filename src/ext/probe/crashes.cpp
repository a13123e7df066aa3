/// Crashes: a function that is called before a signal such as SIGSEGV ends the process.
///
/// The handler runs Python, by the thread that has crashed. That is more than a signal handler may do, so it can
/// fail: it crashes again, or waits for a lock that this thread holds. Then the process ends as it would have
/// without it: a second crash ends it at once, and after kPatience seconds an alarm does.

#include "ext/probe/events.hpp"

#ifdef THREADPROOF_PROBE
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>

#include "ext/probe/api.hpp"
#include "ext/python/errors.hpp"

namespace threadproof::probe {
namespace {

using ext::PythonError;

constexpr std::array kSignals{SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
constexpr unsigned kPatience = 20;  // seconds: a report of a thousand findings takes less

PyObject* crashing = nullptr;  // the function; set once
std::array<struct sigaction, kSignals.size()> former;
std::atomic<int> caught = 0;  // the signal of the first thread that has crashed

/// As if there had been no handler: the signal is delivered to the former one, or ends the process.
void raise_as_before(int number) noexcept {
    for (std::size_t i = 0; i < kSignals.size(); ++i)
        if (kSignals[i] == number) sigaction(number, &former[i], nullptr);
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, number);
    pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
    raise(number);
}

void give_up(int) noexcept {
    // relaxed: the handler that has stored it has set the alarm afterwards
    raise_as_before(caught.load(std::memory_order_relaxed));
}

void call_crashing() noexcept {
    PyGILState_STATE state = PyGILState_Ensure();  // C code may have crashed without a thread state
    PyObject* raised = PyErr_GetRaisedException();
    if (PyObject* done = PyObject_CallNoArgs(crashing)) Py_DECREF(done);
    else PyErr_WriteUnraisable(crashing);
    if (raised) PyErr_SetRaisedException(raised);
    PyGILState_Release(state);
}

/// CPython compares the stack's address with the thread's limits, so Python cannot run on another stack.
bool on_another_stack() noexcept {
    stack_t current{};
    return sigaltstack(nullptr, &current) == 0 && current.ss_flags & SS_ONSTACK;
}

void handle(int number) noexcept {
    int none = 0;
    // relaxed: it only chooses the thread that calls
    if (!on_another_stack() && caught.compare_exchange_strong(none, number, std::memory_order_relaxed)) {
        signal(SIGALRM, give_up);
        alarm(kPatience);
        call_crashing();
        alarm(0);
    } else if (none && !on_another_stack()) {
        poll(nullptr, 0, kPatience * 1000);  // another thread reports, and then ends the process
    }
    raise_as_before(number);
}

}  // namespace

/// From now on the function is called before a crash ends the process; the last one that was given.
PyObject* intercept_crashes(PyObject*, PyObject* function) {
    if (!PyCallable_Check(function)) {
        PyErr_SetString(PyExc_TypeError, "intercept_crashes() wants a function");
        throw PythonError{};
    }
    bool first = !crashing;
    Py_XSETREF(crashing, Py_NewRef(function));
    struct sigaction ours{};
    ours.sa_handler = handle;
    for (std::size_t i = 0; first && i < kSignals.size(); ++i) sigaction(kSignals[i], &ours, &former[i]);
    Py_RETURN_NONE;
}

}  // namespace threadproof::probe

#endif
