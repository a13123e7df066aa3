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

void Control::start(PyObject* wait_code) {
    wait_code_ = wait_code;
    slot_ = probe::subscribe(*this);
    if (slot_ == probe::kMostSubscribers) {
        PyErr_SetString(PyExc_RuntimeError,
                        "there are too many subscribers of the probe; end one of them first");
        throw PythonError{};
    }
    probe::set_interests(slot_, probe::kLockAttempts | probe::kLocks | probe::kWaits | probe::kStates
                                    | probe::kClocks | probe::kAccesses | probe::kDeallocations
                                    | probe::kForks);
}

void Control::stop() {
    objects_.clear();
    if (slot_ != probe::kMostSubscribers) probe::unsubscribe(std::exchange(slot_, probe::kMostSubscribers));
}

// ---- a run

void Control::begin(explore::Plan plan, std::size_t stack, PyObject* stuck, PyObject* recorder) {
    if (me) throw std::logic_error("a run within a run");
    stack_ = stack;
    Py_XSETREF(stuck_, Py_XNewRef(stuck));
    Py_XSETREF(recorder_, Py_XNewRef(recorder));
    holders_.clear();
    objects_.clear();
    me = &scheduler_.begin(std::move(plan), main_);
    me->system_id = PyThread_get_thread_ident();
}

void Control::finish() {
    Thread& mine = *me;
    me = nullptr;
    probe::take_verdict();  // the test may have ended by itself meanwhile
    if (Thread* next = next_after(mine)) hand_to(*next, mine);
    if (!scheduler_.is_over()) throw std::logic_error("the run has ended, and its schedule has not");
}

const Thread* Control::holder_of(const void* lock) const {
    auto found = holders_.find(lock);
    return found == holders_.end() ? nullptr : scheduler_.threads().at(found->second).get();
}

bool Control::is_in_run() const { return me != nullptr && probe::this_thread.suspended == 0; }

// ---- threads

const Thread* Control::calling_thread() { return me; }

Thread& Control::create(explore::Baton& baton, unsigned long system_id, PyObject* object) {
    if (!me) throw std::logic_error("a thread is started outside of a run");
    Thread& made = scheduler_.create(baton, probe::address_of(object), me);
    made.system_id = system_id;
    return made;
}

bool Control::enter(Thread& thread) {
    me = &thread;
    return scheduler_.answer(thread) != Answer::kAbort;
}

void Control::announce_end() {
    if (!me || me->object == 0) return;
    step({.kind = StepKind::kEnd,
          .write = true,
          .variable = variable_of(reinterpret_cast<const void*>(me->object))},
         {});
    probe::take_verdict();  // it ends in any case
}

void Control::leave() {
    Thread& mine = *std::exchange(me, nullptr);
    probe::take_verdict();
    if (Thread* next = next_after(mine)) next->baton->give();
}

Thread* Control::next_after(Thread& ended) {
    bool over = scheduler_.is_over();
    Thread* next = scheduler_.leave(ended);
    if (!over) notice_deadlock();
    return next;
}

void Control::hand_to(Thread& next, Thread& mine) {
    PyThreadState* state = PyEval_SaveThread();
    next.baton->give();
    mine.baton->wait();
    PyEval_RestoreThread(state);
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
    if (recorder_ && !scheduler_.is_over()) {
        operation.stack = probe::capture_stack(stack_);
        record(operation, about);
    }
    bool over = scheduler_.is_over();
    Thread* next = scheduler_.announce(*me, operation);
    if (!over) notice_deadlock();
    if (next && next != me) hand_to(*next, *me);
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
    if (!is_in_run() || event.excluded) return;
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
    if (!is_in_run() || event.step != probe::WaitStep::kBegin) return;
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
    if (!is_in_run()) return;
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
}

void Control::on(const probe::ClockEvent& event) {
    if (is_in_run()) *event.time = scheduler_.read_clock();
}

/// All items of a container are one variable, and so is its size: whatever changes one may move the others.
bool Control::access(const probe::Variable& variable, unsigned flags) {
    if (!is_in_run()) return false;
    bool of_container = variable.part == probe::Part::kItem || variable.part == probe::Part::kStructure
                        || variable.part == probe::Part::kIndex || variable.part == probe::Part::kIterator;
    step({.kind = StepKind::kAccess,
          .write = (flags & probe::kWrite) != 0,
          .variable = variable_of(variable.object, of_container ? 0 : variable.field),
          .subject = variable.object,
          .site = probe::innermost_call()},
         variable);
    return false;
}

}  // namespace threadproof::ext

#endif
