/// Goes between functions written in Python and their callers, with no frame of ours between the two:
/// tracebacks and stacks show what they show without the detector, and a function of the standard library
/// stays the object it is.
///
/// race_around() has the calls of a function come here, by the pointer through which CPython makes them.
/// Around a call runs a *context*: a generator of the same arguments that yields once, where the function is
/// to run, and is told there what the function returned or raised.

#include "ext/race/race.hpp"

#ifdef THREADPROOF_RACE

#include <array>

namespace threadproof::ext {
namespace {

/// Which function has which context. Rows stay, and so does what they hold: another thread may be about to
/// call it.
class Contexts {
 public:
    /// Null if the function has none.
    PyObject* of(PyObject* function) {
        // acquire, with the release in set(): who sees a context sees all of it
        return row_of(function).context.load(std::memory_order_acquire);
    }

    /// Called by one thread at a time; throws if there is no room for another function.
    void set(PyObject* function, PyObject* context) {
        Row& row = row_of(function);
        if (!row.function.load(std::memory_order_relaxed)) {
            if (++count_ == kRows) throw std::logic_error("too many functions have contexts");
            row.function.store(Py_NewRef(function), std::memory_order_relaxed);
        }
        row.context.store(Py_XNewRef(context), std::memory_order_release);
    }

 private:
    struct Row {
        std::atomic<PyObject*> function;  // relaxed: an address that is only compared
        std::atomic<PyObject*> context;
    };
    static constexpr std::size_t kRows = 256;  // four times what race/edges asks for: look-ups end soon

    /// The function's, or the free one that it would take.
    Row& row_of(PyObject* function) {
        std::size_t place = race::mixed(reinterpret_cast<std::uintptr_t>(function));
        for (;; ++place) {
            PyObject* there = rows_[place % kRows].function.load(std::memory_order_relaxed);
            if (!there || there == function) return rows_[place % kRows];
        }
    }

    std::array<Row, kRows> rows_{};
    std::size_t count_ = 0;
};
Contexts& contexts = *new Contexts;

vectorcallfunc run_function = nullptr;  // how CPython calls any function written in Python

/// Makes the context of a call, and lets it run up to its yield. Null where the arguments are wrong: the
/// function says so itself.
Ref begin(PyObject* context, PyObject* const* arguments, std::size_t count, PyObject* names) {
    Undisturbed undisturbed;
    Ref running = Ref::steal(
        PyObject_Vectorcall(context, arguments, static_cast<std::size_t>(PyVectorcall_NARGS(count)), names));
    if (!running) PyErr_Clear();
    else if (!Ref::steal(PyIter_Next(running.get()))) PyErr_WriteUnraisable(context);
    return running;
}

void end_well(PyObject* running, PyObject* result) {
    Undisturbed undisturbed;
    PyObject* last = nullptr;
    if (PyIter_Send(running, result, &last) == PYGEN_ERROR) PyErr_WriteUnraisable(running);
    Py_XDECREF(last);
}

/// The exception that is set goes through the context, and on to the caller as it was.
void end_badly(PyObject* running) {
    Undisturbed undisturbed;
    PyObject* error = PyErr_GetRaisedException();
    Ref trace = Ref::steal(PyException_GetTraceback(error));
    PyObject* context = PyException_GetContext(error);
    Ref name = Ref::steal(PyUnicode_InternFromString("throw"));
    Ref swallowed = Ref::steal(PyObject_CallMethodOneArg(running, name.get(), error));
    PyErr_Clear();  // this very exception again
    PyException_SetTraceback(error, trace ? trace.get() : Py_None);
    PyException_SetContext(error, context);
    PyErr_SetRaisedException(error);
}

PyObject* call_around(PyObject* function, PyObject* const* arguments, std::size_t count, PyObject* names) {
    PyObject* context = contexts.of(function);
    Ref running = context ? begin(context, arguments, count, names) : Ref();
    PyObject* result = run_function(function, arguments, count, names);
    if (running) result ? end_well(running.get(), result) : end_badly(running.get());
    return result;
}

/// race_around(function, context): from now on, calls of the function run in the context, a generator
/// function; None for none.
PyObject* race_around(PyObject*, PyObject* arguments) {
    PyObject *function, *context;
    if (!PyArg_ParseTuple(arguments, "O!O:race_around", &PyFunction_Type, &function, &context))
        return nullptr;
    contexts.set(function, context == Py_None ? nullptr : context);
    vectorcallfunc now = reinterpret_cast<PyFunctionObject*>(function)->vectorcall;
    if (now == call_around) Py_RETURN_NONE;
    run_function = now;
    PyFunction_SetVectorcall(reinterpret_cast<PyFunctionObject*>(function), call_around);
    Py_RETURN_NONE;
}

/// What a thread does with an exception that its function leaves behind.
void tell_of_error(PyObject* function) {
    if (PyErr_ExceptionMatches(PyExc_SystemExit)) PyErr_Clear();
    else PyErr_FormatUnraisable("Exception ignored in thread started by %R", function);
}

/// From here to finish_thread(), what the thread does is the token's.
void begin_thread(PyObject* token) {
    this_thread.thread = race_thread_at(token);
    this_thread.over = !this_thread.thread;
}

void finish_thread() {
    if (this_thread.thread) race_state().detector.finish(*this_thread.thread);
    this_thread.thread = nullptr;
    this_thread.over = true;
}

/// Runs (the detector's thread, function).
PyObject* run_thread(PyObject* about, PyObject* arguments, PyObject* names) {
    PyObject* function = PyTuple_GET_ITEM(about, 1);
    begin_thread(PyTuple_GET_ITEM(about, 0));
    Ref result = Ref::steal(PyObject_Call(function, arguments, names));
    if (!result) tell_of_error(function);
    finish_thread();
    Py_RETURN_NONE;
}

PyMethodDef run_thread_definition = {"run", method<run_thread>(), METH_VARARGS | METH_KEYWORDS, nullptr};

/// race_in_thread(token, function): the function, as the detector's thread of that token runs it.
PyObject* race_in_thread(PyObject*, PyObject* about) {
    return PyTuple_GET_SIZE(about) == 2 ? PyCFunction_New(&run_thread_definition, about)
                                        : PyErr_Format(PyExc_TypeError, "a token and a function are wanted");
}

}  // namespace

PyMethodDef race_call_functions[] = {
    {"race_around", method<race_around>(), METH_VARARGS,
     "race_around($module, function, context, /)\n--\n\n"},
    {"race_in_thread", method<race_in_thread>(), METH_VARARGS,
     "race_in_thread($module, token, function, /)\n--\n\n"},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace threadproof::ext

#endif
