/// Threads of the program: the numbers by which events name them, and their begin and end.

#include "ext/probe/api.hpp"
#include "ext/probe/events.hpp"

#ifdef THREADPROOF_PROBE

#include "ext/probe/entry.hpp"

namespace threadproof::probe {
namespace {

/// Reports the exception that a thread's function has raised, as CPython does.
void report_of_thread(PyObject* function) {
    if (PyErr_ExceptionMatches(PyExc_SystemExit)) PyErr_Clear();
    else PyErr_FormatUnraisable("Exception ignored in thread started by %R", function);
}

/// Runs self, (number of the thread, function).
PyObject* run_thread(PyObject* self, PyObject* arguments, PyObject* names) {
    PyObject* function = PyTuple_GET_ITEM(self, 1);
    this_thread.number = PyLong_AsUnsignedLongLongMask(PyTuple_GET_ITEM(self, 0));
    contained([] { publish(ThreadEvent{ThreadStep::kBegin, this_thread.number}); });
    Ref result = Ref::steal(PyObject_Call(function, arguments, names));
    if (!result) report_of_thread(function);
    contained([] { publish(ThreadEvent{ThreadStep::kEnd, this_thread.number}); });
    ++this_thread.suspended;  // never decremented: the rest is CPython's
    Py_RETURN_NONE;
}

PyMethodDef run_thread_definition = {"run", ext::method<run_thread>(), METH_VARARGS | METH_KEYWORDS, nullptr};

ThreadNumber number_in(PyObject* number) {
    ThreadNumber thread = PyLong_AsUnsignedLongLong(number);
    if (thread == static_cast<ThreadNumber>(-1) && PyErr_Occurred()) throw PythonError{};
    return thread;
}

}  // namespace

PyObject* create_thread(PyObject*, PyObject* name) {
    ThreadNumber child = new_thread_number();
    publish(ThreadEvent{ThreadStep::kCreate, child, name});
    return PyLong_FromUnsignedLongLong(child);
}

PyObject* in_thread(PyObject*, PyObject* arguments) {
    PyObject *number, *function;
    if (!PyArg_ParseTuple(arguments, "OO:in_thread", &number, &function)) throw PythonError{};
    number_in(number);  // raises for a value that is not a number
    return PyCFunction_New(&run_thread_definition, arguments);
}

PyObject* join_thread(PyObject*, PyObject* number) {
    publish(ThreadEvent{ThreadStep::kJoin, number_in(number)});
    Py_RETURN_NONE;
}

PyObject* number_of_thread(PyObject*, PyObject*) { return PyLong_FromUnsignedLongLong(thread_number()); }

}  // namespace threadproof::probe

#endif
