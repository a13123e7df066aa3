/// Intercepts functions written in Python, without a frame of the probe between a function and its caller. So
/// tracebacks and stacks are the same as without the probe, and a function of the standard library stays the
/// same object.
///
/// intercept_function() permanently changes the pointer through which CPython calls the function. Around each
/// call, an *interceptor* publishes the events that the class promises. Most interceptors are rows of
/// probe/library: steps before and after the call. If a row is not enough, a generator function with the same
/// parameters runs up to its one yield, then the intercepted function runs, then the rest of the generator,
/// which gets the result or the exception.

#include "ext/probe/internals.hpp"

#ifdef THREADPROOF_PROBE

#include <array>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

#include "ext/probe/accesses.hpp"
#include "ext/probe/api.hpp"
#include "ext/probe/entry.hpp"
#include "ext/probe/interrupts.hpp"

namespace threadproof::probe {
namespace {

/// One step of a row: publish or observe the first argument, or one of its attributes.
struct RowStep {
    OrderStep order;
    PyObject* attribute;  // null: the argument itself
    PyObject* condition;  // null: always; True: where the result is true; else a predicate of the argument
};

struct Interceptor {
    PyObject* function;
    std::vector<RowStep> before, after;
    bool internal = false;               // locks that the function acquires are a library's own
    bool always = false;                 // `after` also where the function raises
    PyObject* generator = nullptr;       // instead of steps
    bool reads = false, writes = false;  // the state of its first argument, at once
    bool consumes = false;               // it goes over its arguments, from `first` on
    unsigned one_step = 0;               // the Containers that it goes over in one step
    Py_ssize_t first = 0;
};

/// The interceptor of each function; entries are never removed.
///
/// Field      | written              | read      | guard
/// -----------|----------------------|-----------|-----------------------------------------------
/// entries    | release, under mutex | acquire   | none: publishes the interceptor's fields
class Interceptors {
 public:
    /// Null if the function has none.
    const Interceptor* of(PyObject* function) { return entry_of(function).load(std::memory_order_acquire); }

    /// std::logic_error if there is no room for another function.
    void add(std::unique_ptr<const Interceptor> interceptor) {
        std::lock_guard hold(mutex_);
        auto& entry = entry_of(interceptor->function);
        if (entry.load(std::memory_order_relaxed)) return;
        // one entry stays free: there a search ends
        if (count_ + 1 == kEntries) throw std::logic_error("too many functions are intercepted");
        ++count_;
        // release: pairs with the acquire loads in entry_of() and of(); makes the interceptor visible
        entry.store(interceptor.release(), std::memory_order_release);
    }

 private:
    static constexpr std::size_t kEntries = 256;  // several times what probe/library has: searches end soon
    using Entry = std::atomic<const Interceptor*>;

    /// The function's entry, or the free one that it would get.
    Entry& entry_of(PyObject* function) {
        std::size_t at = mixed(reinterpret_cast<std::uintptr_t>(function));
        for (;; ++at) {
            const Interceptor* there = entries_[at % kEntries].load(std::memory_order_acquire);
            if (!there || there->function == function) return entries_[at % kEntries];
        }
    }

    std::mutex mutex_;
    std::array<Entry, kEntries> entries_{};
    std::size_t count_ = 0;
};
Interceptors& interceptors = *new Interceptors;

vectorcallfunc run_function = nullptr;  // how CPython calls any function written in Python

// ---- rows

bool holds(const RowStep& step, PyObject* self, PyObject* result) {
    if (!step.condition) return true;
    if (step.condition == Py_True) return result && PyObject_IsTrue(result) == 1;
    Ref answer = Ref::steal(PyObject_CallOneArg(step.condition, self));
    return answer && PyObject_IsTrue(answer.get()) == 1;
}

void take(const RowStep& step, PyObject* self, PyObject* result) {
    if (holds(step, self, result)) {
        Ref object = step.attribute ? Ref::steal(PyObject_GetAttr(self, step.attribute)) : Ref::borrow(self);
        if (object) publish(OrderEvent{step.order, object.get()});
    }
    PyErr_Clear();
}

void take_all(const std::vector<RowStep>& steps, PyObject* self, PyObject* result) {
    InterruptsHeld held;
    for (const RowStep& step : steps) take(step, self, result);
}

bool has_to_take(const std::vector<RowStep>& steps) {
    return !steps.empty() && listening(kOrder) && in_program();
}

/// While it lives, locks that the thread acquires count as a library's own.
class InternalScope {
 public:
    explicit InternalScope(bool internal) : internal_(internal) { this_thread.internal += internal_; }
    ~InternalScope() { this_thread.internal -= internal_; }
    InternalScope(const InternalScope&) = delete;
    InternalScope& operator=(const InternalScope&) = delete;

 private:
    const bool internal_;
};

/// A subscriber's decision about a wait may end the call before the function runs.
PyObject* run(const Interceptor& interceptor, PyObject* const* arguments, std::size_t count,
              PyObject* names) {
    Verdict verdict = take_verdict();
    if (TP_UNLIKELY(verdict == Verdict::kUnwind)) {
        raise_unwinding();
        return nullptr;
    }
    if (TP_UNLIKELY(verdict == Verdict::kGiveUp)) Py_RETURN_NONE;
    InternalScope scope(interceptor.internal);
    return run_function(interceptor.function, arguments, count, names);
}

void publish_state(const Interceptor& row, PyObject* const* arguments, std::size_t count) {
    if (PyVectorcall_NARGS(count) == 0) return;
    contained([&] { publish(StateEvent{.object = arguments[0], .write = row.writes}); });
}

PyObject* call_with_row(const Interceptor& row, PyObject* const* arguments, std::size_t count,
                        PyObject* names) {
    Ref self = Ref::borrow(PyVectorcall_NARGS(count) > 0 ? arguments[0] : nullptr);
    if (self && has_to_take(row.before)) contained([&] { take_all(row.before, self.get(), nullptr); });
    PyObject* result = run(row, arguments, count, names);
    if (!self || !has_to_take(row.after)) return result;
    if (result) contained([&] { take_all(row.after, self.get(), result); });
    else if (row.always) with_exception_aside([&] { take_all(row.after, self.get(), nullptr); });
    return result;
}

// ---- generators

/// Runs the generator up to its yield. Null if the arguments are wrong: the function itself raises for them.
Ref begin(PyObject* generator, PyObject* const* arguments, std::size_t count, PyObject* names) {
    InterruptsHeld held;
    Ref running = Ref::steal(PyObject_Vectorcall(generator, arguments,
                                                 static_cast<std::size_t>(PyVectorcall_NARGS(count)), names));
    if (!running) PyErr_Clear();
    else if (!Ref::steal(PyIter_Next(running.get()))) PyErr_WriteUnraisable(generator);
    return running;
}

void end_well(PyObject* running, PyObject* result) {
    InterruptsHeld held;
    PyObject* last = nullptr;
    if (PyIter_Send(running, result, &last) == PYGEN_ERROR) PyErr_WriteUnraisable(running);
    Py_XDECREF(last);
}

/// Throws the exception that is set into the generator, and sets it again as it was.
void end_badly(PyObject* running) {
    InterruptsHeld held;
    PyObject* error = PyErr_GetRaisedException();
    Ref trace = Ref::steal(PyException_GetTraceback(error));
    PyObject* context = PyException_GetContext(error);
    Ref name = Ref::steal(PyUnicode_InternFromString("throw"));
    Ref raised = Ref::steal(PyObject_CallMethodOneArg(running, name.get(), error));
    PyErr_Clear();  // this very exception again
    PyException_SetTraceback(error, trace ? trace.get() : Py_None);
    PyException_SetContext(error, context);
    PyErr_SetRaisedException(error);
}

/// The events that generators publish.
constexpr std::uint32_t kOfGenerators =
    kOrder | kItems | kPermits | kWaits | kThreadLife | kModules | kOwnership;

PyObject* call_with_generator(const Interceptor& interceptor, PyObject* const* arguments, std::size_t count,
                              PyObject* names) {
    Ref running;
    if (listening(kOfGenerators)) running = begin(interceptor.generator, arguments, count, names);
    PyObject* result = run(interceptor, arguments, count, names);
    if (running && result) end_well(running.get(), result);
    else if (running) end_badly(running.get());
    return result;
}

PyObject* call_consumer(const Interceptor& consumer, PyObject* const* arguments, std::size_t count,
                        PyObject* names) {
    contained([&] {
        if (records_calls())
            record_arguments(arguments, PyVectorcall_NARGS(count), consumer.first, consumer.one_step);
    });
    return run(consumer, arguments, count, names);
}

PyObject* call_intercepted(PyObject* function, PyObject* const* arguments, std::size_t count,
                           PyObject* names) {
    const Interceptor* interceptor = interceptors.of(function);
    if (!interceptor) return run_function(function, arguments, count, names);
    if (interceptor->reads || interceptor->writes) publish_state(*interceptor, arguments, count);
    if (interceptor->consumes) return call_consumer(*interceptor, arguments, count, names);
    return interceptor->generator ? call_with_generator(*interceptor, arguments, count, names)
                                  : call_with_row(*interceptor, arguments, count, names);
}

// ---- caches of functools.lru_cache

ternaryfunc call_cache = nullptr;  // of their type, which is one

/// A cached function runs: the cache had no result.
PyObject* compute_for_cache(PyObject* function, PyObject* const* arguments, std::size_t count,
                            PyObject* names) {
    PyObject* result = run_function(function, arguments, count, names);
    this_thread.computed = function;
    return result;
}

/// The function behind a cache, made to note its runs; null if it is not a plain one.
PyObject* noting_function_of(PyObject* cache) {
    static PyObject* name = PyUnicode_InternFromString("__wrapped__");
    Ref wrapped = Ref::steal(PyObject_GetAttr(cache, name));
    if (!wrapped) PyErr_Clear();
    if (!wrapped || !PyFunction_Check(wrapped.get())) return nullptr;
    auto* function = reinterpret_cast<PyFunctionObject*>(wrapped.get());
    vectorcallfunc noting = ext::Entry<compute_for_cache>::call;
    if (function->vectorcall == run_function) PyFunction_SetVectorcall(function, noting);
    return function->vectorcall == noting ? wrapped.get() : nullptr;  // the cache holds it
}

PyObject* intercepted_cache(PyObject* cache, PyObject* arguments, PyObject* named) noexcept {
    if (!listening(kHandOvers) || !in_program()) return call_cache(cache, arguments, named);
    PyObject* function = nullptr;
    contained([&] { function = noting_function_of(cache); });
    this_thread.computed = nullptr;
    PyObject* result = call_cache(cache, arguments, named);
    OrderStep step = function && this_thread.computed == function ? OrderStep::kPublish : OrderStep::kObserve;
    if (function && result) contained([&] { publish(OrderEvent{step, cache}); });
    return result;
}

void add_interceptor(std::unique_ptr<Interceptor> interceptor) {
    auto* function = reinterpret_cast<PyFunctionObject*>(Py_NewRef(interceptor->function));
    vectorcallfunc intercepting = ext::Entry<call_intercepted>::call;
    if (!run_function) run_function = function->vectorcall;
    interceptors.add(std::move(interceptor));
    PyFunction_SetVectorcall(function, intercepting);
}

/// A tuple of rows.Step: ("publish" or "observe", attribute or None, condition or None).
std::vector<RowStep> steps_in(PyObject* described) {
    std::vector<RowStep> steps;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(described); ++i) {
        const char* order;
        PyObject *attribute, *condition;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(described, i), "sOO", &order, &attribute, &condition))
            throw PythonError{};
        steps.push_back({std::strcmp(order, "publish") == 0 ? OrderStep::kPublish : OrderStep::kObserve,
                         attribute == Py_None ? nullptr : Py_NewRef(attribute),
                         condition == Py_None ? nullptr : Py_NewRef(condition)});
    }
    return steps;
}

/// Calls self with the arguments, without interruption by signals.
PyObject* call_undisturbed(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
    InterruptsHeld held;
    return PyObject_Vectorcall(self, arguments, static_cast<std::size_t>(count), nullptr);
}

/// Calls the second of self with the arguments; what was published of the first is ordered before.
PyObject* call_ordered(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
    contained([&] { publish(OrderEvent{OrderStep::kObserve, PyTuple_GET_ITEM(self, 0)}); });
    return PyObject_Vectorcall(PyTuple_GET_ITEM(self, 1), arguments, static_cast<std::size_t>(count),
                               nullptr);
}

PyMethodDef ordered_definition = {"ordered", ext::method<call_ordered>(), METH_FASTCALL, nullptr};
PyMethodDef undisturbed_definition = {"undisturbed", ext::method<call_undisturbed>(), METH_FASTCALL, nullptr};

}  // namespace

InterruptsHeld::InterruptsHeld() : pending_(take_interrupts()) {}
InterruptsHeld::~InterruptsHeld() { restore_interrupts(pending_); }

PyObject* intercept_function(PyObject*, PyObject* arguments) {
    PyObject *function, *before, *after, *generator;
    int always, internal;
    const char* state = "";
    if (!PyArg_ParseTuple(arguments, "O!O!O!ppO|s:intercept_function", &PyFunction_Type, &function,
                          &PyTuple_Type, &before, &PyTuple_Type, &after, &always, &internal, &generator,
                          &state))
        throw PythonError{};
    auto made = std::make_unique<Interceptor>();
    made->function = function;
    made->before = steps_in(before);
    made->after = steps_in(after);
    made->always = always != 0;
    made->internal = internal != 0;
    made->reads = std::strcmp(state, "read") == 0;
    made->writes = std::strcmp(state, "write") == 0;
    made->generator = generator == Py_None ? nullptr : Py_NewRef(generator);
    add_interceptor(std::move(made));
    Py_RETURN_NONE;
}

PyObject* ordered(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "ordered() takes an object and a function");
        throw PythonError{};
    }
    Ref self = Ref::steal(checked(PyTuple_Pack(2, arguments[0], arguments[1])));
    return PyCFunction_New(&ordered_definition, self.get());
}

PyObject* intercept_caches(PyObject*, PyObject* object) {
    auto* type = reinterpret_cast<PyTypeObject*>(object);
    if (call_cache || !run_function || !PyType_Check(object) || !type->tp_call || type->tp_vectorcall_offset)
        Py_RETURN_NONE;
    call_cache = std::exchange(type->tp_call, intercepted_cache);
    Py_RETURN_NONE;
}

PyObject* intercept_consumer(PyObject*, PyObject* arguments) {
    auto made = std::make_unique<Interceptor>();
    made->consumes = true;
    if (!PyArg_ParseTuple(arguments, "O!In:intercept_consumer", &PyFunction_Type, &made->function,
                          &made->one_step, &made->first))
        throw PythonError{};
    add_interceptor(std::move(made));
    Py_RETURN_NONE;
}

PyObject* undisturbed(PyObject*, PyObject* callable) {
    return PyCFunction_New(&undisturbed_definition, callable);
}

}  // namespace threadproof::probe

#endif
