/// Threads of the program: the numbers by which events name them, their starts, begins and ends.
///
/// The two functions of _thread that start a thread are intercepted in their method definitions, so every
/// reference to one of them counts, however early it was taken.

#include "ext/probe/api.hpp"
#include "ext/probe/events.hpp"

#ifdef THREADPROOF_PROBE

#include <mutex>
#include <unordered_map>

#include "ext/probe/entry.hpp"
#include "ext/probe/objects.hpp"

namespace threadproof::probe {
namespace {

/// The numbers of the threads that can be joined, by their handles, which threading.Thread has, too; each handle
/// is counted in the filter, so that its deallocation is published.
///
/// Field   | written | read  | guard
/// --------|---------|-------|-------
/// numbers | plain   | plain | mutex
struct Joinable {
    std::mutex mutex;
    std::unordered_map<PyObject*, ThreadNumber> numbers;
};
Joinable& joinable = *new Joinable;

/// 0 if it is no handle of a thread whose start was published.
ThreadNumber number_of(PyObject* handle) {
    std::lock_guard hold(joinable.mutex);
    auto found = joinable.numbers.find(handle);
    return found == joinable.numbers.end() ? 0 : found->second;
}

/// Returns the number that the object has had, or 0.
ThreadNumber take_number(PyObject* thread) {
    std::lock_guard hold(joinable.mutex);
    auto found = joinable.numbers.find(thread);
    if (found == joinable.numbers.end()) return 0;
    ThreadNumber number = found->second;
    joinable.numbers.erase(found);
    object_filter().remove(address_of(thread), ObjectFilter::kNoted);
    return number;
}

void set_number(PyObject* thread, ThreadNumber number) {
    std::lock_guard hold(joinable.mutex);
    if (joinable.numbers.insert_or_assign(thread, number).second)
        object_filter().add(address_of(thread), ObjectFilter::kNoted);
}

// ---- what runs in the new thread

/// Reports the exception that a thread's function leaves behind, as CPython does.
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

// ---- starts

/// starting() -> whether anybody watches, called before a thread starts; null until it is set.
PyObject* starting_function = nullptr;
PyCFunctionWithKeywords start_joinable = nullptr;
PyCFunction start_bare = nullptr;

/// The thread that starts is about to run `function`, a method of this threading.Thread; null if of none.
PyObject* thread_of(PyObject* function) {
    return PyMethod_Check(function) ? PyMethod_GET_SELF(function) : nullptr;
}

/// What the reports call the thread. Runs no code of the program but a class's own __getattribute__.
Ref name_of(PyObject* function, PyObject* thread) {
    Ref name = thread ? Ref::steal(PyObject_GetAttrString(thread, "_name"))
                      : Ref::borrow(PyFunction_Check(function)
                                        ? reinterpret_cast<PyFunctionObject*>(function)->func_name
                                        : nullptr);
    PyErr_Clear();
    if (name && PyUnicode_CheckExact(name.get())) return name;
    return Ref::steal(checked(PyUnicode_FromString("a thread")));
}

/// A start that is published: the number of the new thread, and the arguments with a function around the
/// program's.
struct Start {
    ThreadNumber number = 0;  // 0: nobody watches
    Ref arguments;
};

Start published(PyObject* arguments, bool awaited) {
    Start start;
    PyObject* function = PyTuple_GET_SIZE(arguments) > 0 ? PyTuple_GET_ITEM(arguments, 0) : nullptr;
    if (!function || !PyCallable_Check(function) || this_thread.suspended) return start;
    Ref watched = Ref::steal(checked(PyObject_CallNoArgs(starting_function)));
    if (watched.get() != Py_True) return start;
    start.number = new_thread_number();
    Ref name = name_of(function, awaited ? thread_of(function) : nullptr);
    publish(ThreadEvent{ThreadStep::kCreate, start.number, name.get(), awaited});
    Ref self =
        Ref::steal(checked(Py_BuildValue("KO", static_cast<unsigned long long>(start.number), function)));
    Ref run = Ref::steal(checked(PyCFunction_New(&run_thread_definition, self.get())));
    start.arguments = Ref::steal(checked(PySequence_Concat(
        Ref::steal(checked(PyTuple_Pack(1, run.get()))).get(),
        Ref::steal(checked(PyTuple_GetSlice(arguments, 1, PyTuple_GET_SIZE(arguments)))).get())));
    return start;
}

/// The thread could not be started.
void withdraw(const Start& start, PyObject* handle) {
    with_exception_aside([&] {
        if (handle) take_number(handle);
        publish(ThreadEvent{ThreadStep::kForgotten, start.number});
    });
}

/// A handle that is given comes by name.
PyObject* handle_in(PyObject* names) {
    PyObject* handle = names ? PyDict_GetItemString(names, "handle") : nullptr;
    return handle == Py_None ? nullptr : handle;
}

PyObject* intercepted_joinable(PyObject* module, PyObject* arguments, PyObject* names) {
    // the function may come by name, which threading does not do
    Start start = published(arguments, true);
    if (start.number == 0) return start_joinable(module, arguments, names);
    PyObject* handle = handle_in(names);
    if (handle) set_number(handle, start.number);
    PyObject* result = start_joinable(module, start.arguments.get(), names);
    if (!result) withdraw(start, handle);
    else if (!handle) set_number(result, start.number);
    return result;
}

PyObject* intercepted_bare(PyObject* module, PyObject* arguments) {
    Start start = published(arguments, false);
    if (start.number == 0) return start_bare(module, arguments);
    PyObject* result = start_bare(module, start.arguments.get());
    if (!result) withdraw(start, nullptr);
    return result;
}

PyMethodDef* definition_in_thread(const char* name, int flags) {
    Ref module = Ref::steal(checked(PyImport_ImportModule("_thread")));
    Ref function = Ref::steal(checked(PyObject_GetAttrString(module.get(), name)));
    PyMethodDef* definition = PyCFunction_CheckExact(function.get())
                                  ? reinterpret_cast<PyCFunctionObject*>(function.get())->m_ml
                                  : nullptr;
    if (definition && definition->ml_flags == flags) return definition;
    PyErr_Format(PyExc_TypeError, "_thread.%s cannot be intercepted", name);
    throw PythonError{};
}

}  // namespace

PyObject* intercept_starts(PyObject*, PyObject* starting) {
    PyMethodDef* bare = definition_in_thread("start_new_thread", METH_VARARGS);
    PyMethodDef* awaited = definition_in_thread("start_joinable_thread", METH_VARARGS | METH_KEYWORDS);
    if (starting_function) Py_RETURN_NONE;
    starting_function = Py_NewRef(starting);
    start_bare = std::exchange(bare->ml_meth, ext::method<intercepted_bare>());
    start_joinable = reinterpret_cast<PyCFunctionWithKeywords>(
        reinterpret_cast<void*>(std::exchange(awaited->ml_meth, ext::method<intercepted_joinable>())));
    Py_RETURN_NONE;
}

namespace {

/// leaving(code) -> code, called before the process ends by os._exit(); null until it is set.
PyObject* leaving_function = nullptr;
PyMethodDef* exit_definition = nullptr;
PyCFunctionFastWithKeywords exit_process = nullptr;

PyObject* intercepted_exit(PyObject* module, PyObject* const* arguments, Py_ssize_t count, PyObject* names) {
    bool one = count == 1 && !names && PyLong_Check(arguments[0]);
    if (!one || this_thread.suspended) return exit_process(module, arguments, count, names);
    Suspension suspension;
    Ref code = Ref::steal(PyObject_CallOneArg(leaving_function, arguments[0]));
    if (!code) PyErr_WriteUnraisable(leaving_function);
    PyObject* with[] = {code && PyLong_Check(code.get()) ? code.get() : arguments[0]};
    return exit_process(module, with, 1, nullptr);
}

}  // namespace

PyObject* intercept_exit(PyObject*, PyObject* leaving) {
    if (!leaving_function) {
        Ref module = Ref::steal(checked(PyImport_ImportModule("posix")));
        Ref function = Ref::steal(checked(PyObject_GetAttrString(module.get(), "_exit")));
        exit_definition = PyCFunction_CheckExact(function.get())
                              ? reinterpret_cast<PyCFunctionObject*>(function.get())->m_ml
                              : nullptr;
        if (!exit_definition || exit_definition->ml_flags != (METH_FASTCALL | METH_KEYWORDS)) Py_RETURN_NONE;
        leaving_function = Py_NewRef(leaving);
        exit_process = reinterpret_cast<PyCFunctionFastWithKeywords>(reinterpret_cast<void*>(
            std::exchange(exit_definition->ml_meth, ext::method<intercepted_exit>())));
    }
    Py_SETREF(leaving_function, Py_NewRef(leaving));
    Py_RETURN_NONE;
}

PyObject* join_thread(PyObject*, PyObject* handle) {
    if (ThreadNumber number = number_of(handle)) publish(ThreadEvent{ThreadStep::kJoin, number});
    Py_RETURN_NONE;
}

PyObject* join_ended_threads(PyObject*, PyObject*) {
    publish(ThreadEvent{ThreadStep::kJoinEnded, 0});
    Py_RETURN_NONE;
}

PyObject* number_of_thread(PyObject*, PyObject*) { return PyLong_FromUnsignedLongLong(thread_number()); }

PyObject* is_new_thread(PyObject*, PyObject*) {
    if (this_thread.number != 0 || this_thread.suspended) Py_RETURN_FALSE;
    publish(ThreadEvent{ThreadStep::kBegin, thread_number()});
    Py_RETURN_TRUE;
}

ThreadNumber number_of_handle(PyObject* handle) { return number_of(handle); }

void forget_thread(PyObject* thread) {
    if (!object_filter().has(address_of(thread), ObjectFilter::kNoted)) return;
    if (ThreadNumber number = take_number(thread)) publish(ThreadEvent{ThreadStep::kForgotten, number});
}

void lock_threads() { joinable.mutex.lock(); }
void unlock_threads() { joinable.mutex.unlock(); }

}  // namespace threadproof::probe

#endif
