/// The system's threads that run the program's threads, one after another.
///
/// A free-threaded interpreter needs 0.2 ms for the start of a thread, and a run of a small test 0.1 ms. So a
/// thread whose function has returned waits for another one. In between, what the interpreter keeps for a thread
/// is cleared, such as the values of a threading.local.

#include "ext/explore/explore.hpp"

#ifdef THREADPROOF_PROBE

#include <mutex>
#include <stdexcept>
#include <vector>

#include "ext/probe/entry.hpp"
#include "ext/probe/stacks.hpp"

namespace threadproof::ext {
namespace {

using explore::Baton;
using explore::Thread;

/// Field             | written                     | read                    | guard
/// ------------------|-----------------------------|-------------------------|----------------------------------
/// thread, function  | plain, by start_thread()    | plain, by the worker    | the baton, which comes afterwards
/// ident             | plain, once, by the worker  | plain                   | the mutex of the pool
struct Worker {
    Baton baton;
    Baton running;  // given once, when the system's thread runs
    Thread* thread = nullptr;
    Ref function;
    unsigned long ident = 0;
};

/// The workers without a thread. Workers are never deallocated: a process has as many as its largest run.
struct Pool {
    std::mutex mutex;
    std::vector<Worker*> idle;
    std::vector<Worker*> starting;  // made, and not running yet
};
Pool& pool = *new Pool;

/// Null if there is none.
Worker* take(std::vector<Worker*>& from) {
    std::lock_guard hold(pool.mutex);
    if (from.empty()) return nullptr;
    Worker* worker = from.back();
    from.pop_back();
    return worker;
}

/// Starts a system's thread that the probe does not publish, and waits until it runs.
Worker* start_worker() {
    static PyObject* start = nullptr;
    static PyObject* entry = nullptr;
    if (!start) {
        Ref module = Ref::steal(checked(PyImport_ImportModule("_thread")));
        start = checked(PyObject_GetAttrString(module.get(), "start_joinable_thread"));
        static PyMethodDef definition = {"work", method<work>(), METH_NOARGS, nullptr};
        entry = checked(PyCFunction_New(&definition, nullptr));
    }
    auto* worker = new Worker;
    {
        std::lock_guard hold(pool.mutex);
        pool.starting.push_back(worker);
    }
    probe::Suspension suspension;
    Ref::steal(checked(PyObject_CallOneArg(start, entry)));
    PyThreadState* state = PyEval_SaveThread();
    worker->running.wait();
    PyEval_RestoreThread(state);
    return worker;
}

void wait_for_thread(Worker& worker) {
    PyThreadState* state = PyEval_SaveThread();
    worker.baton.wait();
    PyEval_RestoreThread(state);
}

/// False if the thread was abandoned, and then its baton may still be given: the worker is of no use any more.
bool run(Worker& worker) {
    if (control().enter(*worker.thread)) {
        probe::this_thread.suspended = 0;
        Ref result = Ref::steal(PyObject_CallNoArgs(worker.function.get()));
        probe::this_thread.suspended = 1;
        if (!result && !probe::clear_unwinding()) PyErr_WriteUnraisable(worker.function.get());
    }
    if (PyObject* values = PyThreadState_GetDict()) PyDict_Clear(values);
    probe::forget_thread_locals();
    worker.function = Ref();
    bool attended = true;
    probe::contained([&] { attended = control().announce_end(); });
    if (!attended) return false;
    {
        std::lock_guard hold(pool.mutex);
        pool.idle.push_back(&worker);
    }
    control().leave();
    return true;
}

}  // namespace

/// A worker's life.
PyObject* work(PyObject*, PyObject*) {
    Worker* worker = take(pool.starting);
    if (!worker) Py_RETURN_NONE;
    worker->ident = PyThread_get_thread_ident();
    probe::this_thread.suspended = 1;  // but in run()
    worker->running.give();
    do wait_for_thread(*worker);
    while (run(*worker));
    Py_RETURN_NONE;
}

PyObject* start_thread(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
    if (count != 2 || !PyCallable_Check(arguments[0])) {
        PyErr_SetString(PyExc_TypeError,
                        "start() takes a function and the object that stands for the thread");
        throw PythonError{};
    }
    Handler handler(control());
    if (!handler) throw std::logic_error("a thread is started outside of a run");
    Worker* worker = take(pool.idle);
    if (!worker) worker = start_worker();
    worker->function = Ref::borrow(arguments[0]);
    worker->thread = &control().create(worker->baton, worker->ident, arguments[1]);
    return Py_BuildValue("ik", worker->thread->id, worker->ident);
}

PyObject* forget_workers(PyObject*, PyObject*) {
    pool.idle.clear();
    pool.starting.clear();
    Py_RETURN_NONE;
}

}  // namespace threadproof::ext

#endif
