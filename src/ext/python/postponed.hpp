/// Postponed: an interrupt that came where nothing can be raised.
///
/// A map runs functions of its user's, such as a cache's listener, after it has changed and before its call returns.
/// An exception of the function's own is reported there. An interrupt is another matter: KeyboardInterrupt, which a
/// handler raises in any Python code, or another exception that is no Exception. Its caller waits for it, so that it
/// is raised when the call of the map ends, or begins to wait for another thread.
///
/// Types whose methods call such functions say so by kPostpones; see Entry.
#pragma once

#include "ext/python/errors.hpp"

namespace threadproof::ext {

class Postponed {
 public:
    TP_HOT static bool any() { return first_ != nullptr; }

    /// Takes the exception that is set. Of several interrupts in a call, the first is raised.
    static void report_or_postpone(PyObject* where) noexcept {
        if (PyErr_ExceptionMatches(PyExc_Exception)) return PyErr_WriteUnraisable(where);
        Raised interrupt;
        interrupt.fetch();
        if (!first_) first_ = interrupt.release();
    }

    /// Sets it, with the exception that is set as its context.
    TP_COLD static void restore() noexcept {
        Raised context;
        context.fetch();
        PyObject* const interrupt = std::exchange(first_, nullptr);
        if (context && context.get() != interrupt) PyException_SetContext(interrupt, context.release());
        Raised(interrupt).restore();
    }
    /// Throws, if there is one.
    static void raise() {
        if (TP_LIKELY(!any())) return;
        restore();
        throw PythonError{};
    }

    /// While it lives the thread has none: for calls of functions that use maps themselves.
    class Aside {
     public:
        Aside() = default;
        ~Aside() {
            if (!outer_) return;
            PyObject* newer = std::exchange(first_, outer_);
            drop_reference(newer);
        }
        Aside(const Aside&) = delete;
        Aside& operator=(const Aside&) = delete;

     private:
        PyObject* const outer_ = std::exchange(first_, nullptr);
    };

 private:
    static inline thread_local PyObject* first_ __attribute__((tls_model("initial-exec"))) = nullptr;
};

template <class Self>
inline constexpr bool kMayPostpone = requires { requires Self::kPostpones; };

}  // namespace threadproof::ext
