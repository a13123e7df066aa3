/// The end of C++ exceptions for calls that cannot report one: CPython calls the probe in the middle of the
/// program's own steps, and a failure of the probe must not become one of the program.
#pragma once

#include "ext/probe/events.hpp"

#ifdef THREADPROOF_PROBE

namespace threadproof::probe {

using ext::checked;
using ext::PythonError;
using ext::Raised;
using ext::Ref;

/// Reports the C++ exception that is being handled to sys.unraisablehook; a Python exception that the program
/// has on its way stays set.
TP_COLD void report_unraisable() noexcept;

/// Runs step(); its exception goes to sys.unraisablehook.
template <class Step>
TP_HOT void contained(Step&& step) noexcept {
    try {
        step();
    } catch (...) {
        report_unraisable();
    }
}

/// Runs step() with no Python exception set, and restores the earlier one afterwards.
template <class Step>
void with_exception_aside(Step&& step) noexcept {
    PyObject* raised = PyErr_GetRaisedException();
    contained(step);
    PyErr_SetRaisedException(raised);
}

}  // namespace threadproof::probe

#endif
