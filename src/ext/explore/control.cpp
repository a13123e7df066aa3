/// From events to announcements.
///
/// Only one controlled thread runs at a time, so the state of a real lock is what the scheduler needs to know:
/// an operation asks the lock itself whether it is free, and the real acquisition that follows never blocks.

#include "ext/explore/explore.hpp"

#ifdef THREADPROOF_PROBE

#include <stdexcept>

#include "ext/probe/entry.hpp"
#include "ext/probe/objects.hpp"
#include "ext/probe/stacks.hpp"

namespace threadproof::ext {

using explore::Answer;
using explore::Operation;
using explore::StepKind;
using explore::Thread;
using probe::Verdict;

namespace {

/// The controlled thread that the calling one is; null: it is none.
constinit thread_local Thread* me = nullptr;
constinit thread_local std::uint64_t my_run = 0;     // its number
constinit thread_local explore::ThreadId my_id = 0;  // the thread's; `me` is not there after its run
constinit thread_local unsigned my_depth = 0;        // of handlers

probe::Variable whole(PyObject* object) { return {object, 0, probe::Part::kNone, nullptr}; }

bool has_ended(void* thread) { return static_cast<Thread*>(thread)->ended; }

}  // namespace

// ---- objects

std::uint64_t ObjectNumbers::of(const void* object) {
    std::lock_guard hold(mutex_);
    auto [entry, fresh] = numbers_.try_emplace(object, last_ + 1);
    if (fresh) {
        ++last_;
        probe::object_filter().add(reinterpret_cast<probe::Object>(object), probe::ObjectFilter::kNoted);
    }
    return entry->second;
}

void ObjectNumbers::forget(const void* object) {
    std::lock_guard hold(mutex_);
    if (numbers_.erase(object) > 0)
        probe::object_filter().remove(reinterpret_cast<probe::Object>(object), probe::ObjectFilter::kNoted);
}

void ObjectNumbers::clear() {
    std::lock_guard hold(mutex_);
    for (const auto& [object, number] : numbers_)
        probe::object_filter().remove(reinterpret_cast<probe::Object>(object), probe::ObjectFilter::kNoted);
    numbers_.clear();
    last_ = 0;
}

Control& control() {
    static auto& instance = *new Control;  // never destroyed: a thread may be publishing
    return instance;
}

void Control::start(PyObject* wait_code, PyObject* scope) {
    Py_XSETREF(scope_, Py_NewRef(scope));
    wait_code_ = wait_code;
    slot_ = probe::subscribe(*this);
    if (slot_ == probe::kMostSubscribers) {
        PyErr_SetString(PyExc_RuntimeError,
                        "there are too many subscribers of the probe; end one of them first");
        throw PythonError{};
    }
    probe::set_interests(slot_, probe::kLockAttempts | probe::kLocks | probe::kWaits | probe::kStates
                                    | probe::kClocks | probe::kAccesses | probe::kPossible
                                    | probe::kDeallocations | probe::kForks);
    start_watchdog();
}

void Control::stop() {
    stop_watchdog();
    objects_.clear();
    release_kept();
    if (slot_ != probe::kMostSubscribers) probe::unsubscribe(std::exchange(slot_, probe::kMostSubscribers));
}

// ---- a run

void Control::begin(explore::Plan plan, std::size_t stack, PyObject* stuck, PyObject* recorder,
                    PyObject* blocked, double hang) {
    if (me && my_run == run_.load(std::memory_order_relaxed)) throw std::logic_error("a run within a run");
    stack_ = stack;
    Py_XSETREF(stuck_, Py_XNewRef(stuck));
    Py_XSETREF(recorder_, Py_XNewRef(recorder));
    Py_XSETREF(blocked_, Py_XNewRef(blocked));
    Py_CLEAR(checker_);
    hang_ = hang;
    abandoned_ = 0;
    opaque_.clear();
    release_kept();
    holders_.clear();
    objects_.clear();
    std::uint64_t run = run_.load(std::memory_order_relaxed) + 1;
    run_.store(run, std::memory_order_relaxed);
    for (Seat& seat : seats_) seat.word.store(word_of(run, Where::kHandler), std::memory_order_relaxed);
    Thread& main = scheduler_.begin(std::move(plan), main_);
    main.system_id = PyThread_get_thread_ident();
    sit_down(main);
    leave_handler();
}

void Control::sit_down(Thread& thread) {
    me = &thread;
    my_run = run_.load(std::memory_order_relaxed);
    my_id = thread.id;
    my_depth = 1;
    seats_[my_id].state.store(PyThreadState_Get(), std::memory_order_relaxed);
}

void Control::finish() {
    enter_handler();
    Thread& mine = *std::exchange(me, nullptr);
    probe::take_verdict();  // the test may have ended by itself meanwhile
    Thread* next = next_after(mine);
    if (next || scheduler_.outside()) hand_to(next, mine);
    if (!scheduler_.is_over()) throw std::logic_error("the run has ended, and its schedule has not");
}

const Thread* Control::holder_of(const void* lock) const {
    auto found = holders_.find(lock);
    return found == holders_.end() ? nullptr : scheduler_.threads().at(found->second).get();
}

// ---- the handler

bool Control::enter_handler() {
    if (TP_LIKELY(!me)) return false;
    if (my_depth > 0) return ++my_depth;
    std::atomic<std::uint64_t>& word = seats_[my_id].word;
    std::uint64_t found = word_of(my_run, Where::kProgram);
    // acquire-release: pairs with the watchdog's CAS; only one of the two has the baton
    if (TP_LIKELY(word.compare_exchange_strong(found, word_of(my_run, Where::kHandler),
                                               std::memory_order_acq_rel))) {
        my_depth = 1;
        return true;
    }
    // the baton was taken; a CAS fails if the thread is abandoned
    found = word_of(my_run, Where::kTaken);
    if (!word.compare_exchange_strong(found, word_of(my_run, Where::kBack), std::memory_order_acq_rel)) {
        me = nullptr;
        probe::this_thread.verdict = Verdict::kUnwind;
        return false;
    }
    my_depth = 1;
    explore::Baton& baton = *me->baton;
    PyThreadState* state = PyEval_SaveThread();
    scheduler_.come_back(my_id);
    wake_watchdog();
    baton.wait();
    PyEval_RestoreThread(state);
    word.store(word_of(my_run, Where::kHandler), std::memory_order_relaxed);
    return true;
}

void Control::leave_handler() {
    if (--my_depth > 0 || !me) return;
    running_.store(my_id, std::memory_order_relaxed);
    progress_.store(progress_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    // release: pairs with the watchdog's CAS; whatever was done with the baton is visible there
    seats_[my_id].word.store(word_of(my_run, Where::kProgram), std::memory_order_release);
}

// ---- threads

bool Control::is_controlled() { return static_cast<bool>(Handler(*this)); }

int Control::calling_number() { return me ? my_id : -1; }

Thread& Control::create(explore::Baton& baton, unsigned long system_id, PyObject* object) {
    Thread& made = scheduler_.create(baton, probe::address_of(object), me);
    made.system_id = system_id;
    return made;
}

bool Control::enter(Thread& thread) {
    sit_down(thread);
    if (scheduler_.answer(thread) == Answer::kAbort) return false;
    leave_handler();
    return true;
}

bool Control::announce_end() {
    if (my_depth == 0 && !enter_handler()) {
        probe::take_verdict();
        return false;
    }
    if (me->object != 0)
        step({.kind = StepKind::kEnd,
              .write = true,
              .variable = variable_of(reinterpret_cast<const void*>(me->object))},
             {});
    probe::take_verdict();  // it ends in any case
    return true;
}

void Control::leave() {
    Thread& mine = *std::exchange(me, nullptr);
    my_depth = 0;
    probe::take_verdict();
    Thread* next = next_after(mine);
    if (next || scheduler_.outside()) give(next);
}

Thread* Control::next_after(Thread& ended) {
    bool over = scheduler_.is_over();
    Thread* next = scheduler_.leave(ended);
    if (!over) notice_deadlock();
    return next;
}

void Control::hand_to(Thread* next, Thread& mine) {
    PyThreadState* state = PyEval_SaveThread();
    give(next);
    mine.baton->wait();
    PyEval_RestoreThread(state);
}

void Control::give(Thread* next) {
    if (next) return next->baton->give();
    // release: pairs with the acquire load in look(); the watchdog has the baton
    unattended_.store(true, std::memory_order_release);
    wake_watchdog();
}

/// The program's names for a step are asked for before it, because its objects may not be there afterwards.
void Control::record(const Operation& operation, const probe::Variable& about) {
    probe::Suspension suspension;
    probe::with_exception_aside([&] {
        Ref::steal(checked(PyObject_CallFunction(
            recorder_, "iiIOiOO", me->id, static_cast<int>(operation.kind), operation.variable,
            operation.write ? Py_True : Py_False, static_cast<int>(about.part),
            about.object ? about.object : Py_None, about.name ? about.name : Py_None)));
    });
}

void Control::step(Operation operation, const probe::Variable& about) {
    if (checker_ && !scheduler_.is_over()) {
        probe::Suspension suspension;
        probe::with_exception_aside([&] { Ref::steal(checked(PyObject_CallNoArgs(checker_))); });
    }
    if (recorder_ && !scheduler_.is_over()) {
        operation.stack = probe::capture_stack(stack_);
        record(operation, about);
    }
    bool over = scheduler_.is_over();
    Thread* next = scheduler_.announce(*me, operation);
    if (!over) notice_deadlock();
    if (next != me && (next || !scheduler_.is_over())) hand_to(next, *me);
    switch (scheduler_.answer(*me)) {
        case Answer::kExecute: return;
        case Answer::kTimedOut: probe::this_thread.verdict = Verdict::kGiveUp; return;
        case Answer::kAbort: probe::this_thread.verdict = Verdict::kUnwind; return;
    }
}

void Control::notice_deadlock() {
    if (!stuck_ || scheduler_.ending() != explore::Ending::kDeadlock) return;
    probe::Suspension suspension;
    probe::with_exception_aside([&] { Ref::steal(checked(PyObject_CallNoArgs(stuck_))); });
}

explore::VariableId Control::variable_of(const void* object, std::uint64_t part) {
    return scheduler_.variable(objects_.of(object), part);
}

// ---- events

void Control::on(const probe::LockEvent& event) {
    if (event.excluded || probe::this_thread.suspended) return;
    Handler handler(*this);
    if (!handler) return;
    switch (event.step) {
        case probe::LockStep::kAcquiring: return acquire(event);
        case probe::LockStep::kAcquired: holders_.insert_or_assign(event.lock, me->id); return;
        case probe::LockStep::kAbandoned: return;
        case probe::LockStep::kReleasing: return release(event);
    }
}

/// Condition.wait() makes a lock, and acquires it before another thread can see it.
bool Control::is_new_waiter(const probe::LockEvent& event) const {
    return event.attempt == probe::Attempt::kBlocking && probe::innermost_code() == wait_code_
           && event.is_ready(event.lock);
}

void Control::acquire(const probe::LockEvent& event) {
    if (event.reentered || is_new_waiter(event)) return;
    const Thread* holder = holder_of(event.lock);
    // Condition asks its lock so whether this very thread has it
    if (event.attempt == probe::Attempt::kTry && holder == me && !event.is_ready(event.lock)) return;
    Operation operation{.kind = StepKind::kAcquire,
                        .write = event.kind != probe::LockKind::kShared,
                        .variable = variable_of(event.lock),
                        .subject = event.lock};
    if (event.attempt == probe::Attempt::kTry) operation.kind = StepKind::kTry;
    else operation.is_ready = event.is_ready;
    if (event.attempt == probe::Attempt::kTimed) operation.deadline = scheduler_.deadline(event.timeout);
    step(operation, whole(event.lock));
}

void Control::release(const probe::LockEvent& event) {
    step({.kind = StepKind::kRelease,
          .write = event.kind != probe::LockKind::kShared,
          .variable = variable_of(event.lock),
          .subject = event.lock},
         whole(event.lock));
    holders_.erase(event.lock);
}

void Control::on(const probe::WaitEvent& event) {
    if (event.step != probe::WaitStep::kBegin || probe::this_thread.suspended) return;
    Handler handler(*this);
    if (!handler) return;
    Operation operation{.kind = StepKind::kWait, .write = true, .subject = event.object};
    operation.is_ready = event.is_ready;
    if (event.attempt == probe::Attempt::kTimed) operation.deadline = scheduler_.deadline(event.timeout);
    switch (event.reason) {
        case probe::WaitReason::kJoin: {
            Thread* joined = scheduler_.find(probe::address_of(event.object));
            if (!joined || joined == me) return;
            operation.kind = StepKind::kJoin;
            operation.write = false;
            operation.subject = joined;
            operation.is_ready = has_ended;
            break;
        }
        case probe::WaitReason::kItem:
            operation.kind = StepKind::kReceive;
            // one that does not wait is any other step
            if (event.attempt == probe::Attempt::kTry) operation.is_ready = nullptr;
            break;
        case probe::WaitReason::kComputation: break;
        case probe::WaitReason::kSleep: operation.kind = StepKind::kSleep; break;
    }
    if (operation.kind != StepKind::kSleep) operation.variable = variable_of(event.object);
    step(operation, whole(event.object));
    // the virtual clock has slept
    if (operation.kind == StepKind::kSleep && probe::this_thread.verdict == Verdict::kExecute)
        probe::this_thread.verdict = Verdict::kGiveUp;
}

void Control::on(const probe::StateEvent& event) {
    if (probe::this_thread.suspended) return;
    Handler handler(*this);
    if (!handler) return;
    step({.kind = StepKind::kAccess,
          .write = event.write,
          .variable = variable_of(event.object, event.part),
          .subject = event.object},
         whole(event.object));
}

void Control::on(const probe::ObjectEvent& event) {
    if (event.step == probe::ObjectStep::kDeallocated)
        objects_.forget(reinterpret_cast<const void*>(event.object));
}

void Control::on(probe::ForkStep step) {
    if (step == probe::ForkStep::kBefore) objects_.mutex().lock();
    else objects_.mutex().unlock();
    if (step == probe::ForkStep::kInChild) watchdog_ = nullptr;  // its thread does not exist here
}

void Control::on(const probe::ClockEvent& event) {
    if (probe::this_thread.suspended) return;
    if (Handler handler(*this); handler) *event.time = scheduler_.read_clock();
}

/// All items of a container are one variable, and so is its size: whatever changes one may move the others.
bool Control::access(const probe::Variable& variable, unsigned flags) {
    if (probe::this_thread.suspended) return false;
    Handler handler(*this);
    if (!handler) return false;
    bool of_container = variable.part == probe::Part::kItem || variable.part == probe::Part::kStructure
                        || variable.part == probe::Part::kIndex || variable.part == probe::Part::kIterator;
    bool of_iteration = variable.part == probe::Part::kIterator || (flags & probe::kIterate) != 0;
    step({.kind = StepKind::kAccess,
          .write = (flags & probe::kWrite) != 0,
          .variable = variable_of(variable.object, of_container ? 0 : variable.field),
          .subject = variable.object,
          .site = probe::innermost_call(),
          // an iteration ends by itself: each of its steps is another read
          .item = of_iteration ? scheduler_.log().size() : variable.field},
         variable);
    return false;
}

bool Control::is_in_scope(PyObject* code) {
    probe::Suspension suspension;
    bool inside = false;
    probe::with_exception_aside([&] {
        inside = PySequence_Contains(scope_, reinterpret_cast<PyCodeObject*>(code)->co_filename) == 1;
    });
    return inside;
}

void Control::possible(const probe::Variable& variable, unsigned flags, PyTypeObject* opaque,
                       PyObject* code) {
    if (probe::this_thread.suspended) return;
    Handler handler(*this);
    if (!handler) return;
    PyObject* object = variable.object;
    if (opaque && code && is_in_scope(code)) {
        if (variable.part == probe::Part::kStructure) return;  // a call, whose own steps are all
        opaque = nullptr;
    }
    // its deallocation would not be published, and its address stand for another object
    if (!probe::is_tracked(Py_TYPE(object)) && kept_.insert(object).second) Py_INCREF(object);
    if (opaque) {
        bool of_container = variable.part == probe::Part::kStructure;
        opaque_.emplace_back(variable_of(object, of_container ? 0 : variable.field), opaque->tp_name);
    }
    access(variable, opaque ? flags | probe::kWrite : flags);
}

void Control::release_kept() {
    probe::Suspension suspension;
    for (PyObject* each : std::exchange(kept_, {})) Py_DECREF(each);
}

}  // namespace threadproof::ext

#endif
