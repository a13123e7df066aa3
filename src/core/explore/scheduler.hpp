/// One run of a program whose threads run one at a time, in the order that a plan gives.
///
/// A controlled thread announces each operation before it executes it. announce() chooses the thread that
/// takes the next step, among those whose operation could be executed now, and writes a line of the log. The
/// caller then wakes that thread, and waits until another one wakes it: the *baton* is with exactly one
/// thread. All other functions are called by the thread that has the baton.
///
/// A run is over at its end, at a deadlock, after too many steps, when the search has seen all that can
/// follow, or when the program has failed. From then on every announcement answers kAbort, and each thread in
/// turn unwinds to its end: leave() hands the baton on, to the thread that runs the test last.
///
/// Time is virtual. It passes only when no thread could run otherwise: then up to the first deadline.
///
/// Field                | written                    | read                       | guard
/// ---------------------|----------------------------|----------------------------|-------
/// everything           | plain, with the baton      | plain, with the baton      | the baton: a semaphore's
///                      |                            |                            | release and acquire
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <memory>
#include <semaphore>
#include <stdexcept>
#include <unordered_map>
#include <vector>

#include "core/explore/chooser.hpp"
#include "core/explore/plan.hpp"
#include "core/explore/steps.hpp"

namespace threadproof::explore {

/// A thread's turn: given by one thread, waited for by another.
class Baton {
 public:
    void give() { there_.release(); }
    void wait() { there_.acquire(); }

 private:
    std::binary_semaphore there_{0};
};

struct Thread {
    ThreadId id = 0;
    Baton* baton = nullptr;  // of the system's thread that runs it
    Operation next;
    bool ended = false;
    bool timed_out = false;    // its deadline has come
    std::uint32_t steps = 0;   // without a step of another thread in between
    std::uint64_t object = 0;  // the address by which the program names it, such as a threading.Thread
    std::uint64_t system_id = 0;
    ThreadId parent = kNobody;
    std::uint32_t created_at = 0;  // the number of the parent's next step in the log
};

enum class Answer : std::uint8_t { kExecute, kTimedOut, kAbort };

/// Why a run is over. X(constant, name in Python).
#define TP_ENDINGS(X)        \
    X(kNotOver, "")          \
    X(kComplete, "complete") \
    X(kDeadlock, "deadlock") \
    X(kTooLong, "too long")  \
    X(kExplored, "explored") \
    X(kDiverged, "diverged") \
    X(kFailed, "failed")

#define TP_ENDING_CONSTANT(constant, name) constant,
enum class Ending : std::uint8_t { TP_ENDINGS(TP_ENDING_CONSTANT) };
#undef TP_ENDING_CONSTANT

class Scheduler {
 public:
    /// Steps of one thread in a row after which others go first: a loop that waits for another thread would
    /// never end otherwise. No test that is small enough to explore has as many steps between two waits.
    static constexpr std::uint32_t kFairness = 200;
    static constexpr Time kEpoch =
        1'000'000 * Time{1'000'000'000};  // of the virtual clock; any other would do

    // ---- a run

    /// The thread that calls it has the baton, and is thread 0.
    Thread& begin(Plan plan, Baton& baton) {
        plan_ = std::move(plan);
        chooser_.begin(plan_);
        threads_.clear();
        log_.clear();
        variables_.clear();
        now_ = kEpoch;
        ending_ = Ending::kNotOver;
        asleep_ = 0;
        diverged_at_ = 0;
        return create(baton, 0, nullptr);
    }

    /// A new thread, which has not begun. std::length_error if there are too many.
    Thread& create(Baton& baton, std::uint64_t object, const Thread* parent) {
        if (threads_.size() == kMostThreads)
            throw std::length_error("a test of more than 64 threads at once cannot be explored");
        auto id = static_cast<ThreadId>(threads_.size());
        auto& made = *threads_.emplace_back(std::make_unique<Thread>());
        made.id = id;
        made.baton = &baton;
        made.object = object;
        made.parent = parent ? parent->id : kNobody;
        made.created_at = static_cast<std::uint32_t>(log_.size());
        made.next = {.kind = StepKind::kBegin};
        chooser_.add(id);
        return made;
    }

    /// The thread that takes the next step; `me` is about to execute the operation. Null: the run is over.
    Thread* announce(Thread& me, const Operation& operation) {
        me.next = operation;
        me.timed_out = false;
        return is_over() ? nullptr : choose(&me);
    }

    /// After announce(), with the baton again.
    Answer answer(const Thread& me) const {
        if (is_over()) return Answer::kAbort;
        return me.timed_out && !is_ready(me) ? Answer::kTimedOut : Answer::kExecute;
    }

    /// The thread has ended. Returns the one that gets the baton: the thread that runs the test unwinds last,
    /// and gets it also if it has ended itself and waits for the others in finish(). Null: no thread is left.
    Thread* leave(Thread& me) {
        me.ended = true;
        if (!is_over())
            if (Thread* next = choose(nullptr)) return next;
        return next_to_unwind(me);
    }

    /// The run is over for this reason, unless it is over already.
    void end(Ending ending) {
        if (!is_over()) ending_ = ending;
    }

    bool is_over() const { return ending_ != Ending::kNotOver; }
    Ending ending() const { return ending_; }

    // ---- what operations are about

    /// The same number for the same part of the same object within a run.
    VariableId variable(std::uint64_t object, std::uint64_t part) {
        auto next = static_cast<VariableId>(variables_.size() + 1);
        return variables_.try_emplace(Key{object, part}, next).first->second;
    }

    /// The thread that the program names so; null if it is not controlled.
    Thread* find(std::uint64_t object) {
        // the newest first: an earlier object may have had the same address
        for (auto each = threads_.rbegin(); each != threads_.rend(); ++each)
            if ((*each)->object == object && object != 0) return each->get();
        return nullptr;
    }

    Time now() const { return now_; }
    /// The deadline of an operation that may take so long; kNever for a time beyond the clock's range.
    Time deadline(double seconds) const {
        constexpr double kLongest = 1e9;
        if (!(seconds < kLongest)) return kNever;
        return now_ + static_cast<Time>(seconds > 0 ? seconds * 1e9 : 0);
    }
    /// A program that waits by reading the clock sees it advance.
    Time read_clock() { return now_ += kTick; }

    const std::vector<Step>& log() const { return log_; }
    const std::vector<std::unique_ptr<Thread>>& threads() const { return threads_; }
    /// The step at which the plan named a thread that could not run.
    std::size_t diverged_at() const { return diverged_at_; }

    /// std::logic_error if the fields do not agree.
    void check() const {
        for (const Step& step : log_) {
            if (step.thread >= threads_.size()) throw std::logic_error("a step of no thread");
            if (!(step.enabled & only(step.thread)))
                throw std::logic_error("a step of a thread that could not run");
            if (step.variable > variables_.size()) throw std::logic_error("a step on no variable");
        }
        for (std::size_t id = 0; id < threads_.size(); ++id)
            if (threads_[id]->id != id) throw std::logic_error("a thread has another's number");
    }

 private:
    static constexpr Time kTick = 1000;  // a microsecond: what reading the clock takes, roughly

    struct Key {
        std::uint64_t object, part;
        friend bool operator==(const Key&, const Key&) = default;
    };
    struct Hash {
        std::size_t operator()(const Key& key) const {
            std::uint64_t mixed = (key.object ^ std::rotl(key.part, 32)) * 0x9e3779b97f4a7c15;
            return mixed ^ (mixed >> 32);
        }
    };

    const Operation& next(ThreadId id) const { return threads_[id]->next; }

    static bool is_ready(const Thread& thread) {
        return !thread.next.is_ready || thread.next.is_ready(thread.next.subject);
    }
    bool is_enabled(const Thread& thread) const {
        if (thread.ended) return false;
        if (thread.timed_out || (plan_.timeouts_any && thread.next.deadline != kNever)) return true;
        return thread.next.kind != StepKind::kSleep && is_ready(thread);
    }

    Threads enabled() const {
        Threads found = 0;
        for (const auto& each : threads_)
            if (is_enabled(*each)) found |= only(each->id);
        return found;
    }

    /// Nobody can run: time passes up to the first deadline. False if there is none.
    bool advance() {
        Time first = kNever;
        for (const auto& each : threads_)
            if (!each->ended) first = std::min(first, each->next.deadline);
        if (first == kNever) return false;
        now_ = std::max(now_, first);
        for (const auto& each : threads_)
            if (!each->ended && each->next.deadline <= now_) each->timed_out = true;
        return true;
    }

    /// Whether the search may choose another thread than the running one before this step.
    bool is_choice(const Operation& operation) const {
        if (plan_.everywhere) return true;
        if (operation.kind == StepKind::kAccess && operation.site && !plan_.sites.empty())
            return std::binary_search(plan_.sites.begin(), plan_.sites.end(), operation.site);
        return operation.kind != StepKind::kRelease && operation.kind != StepKind::kEnd
               && operation.kind != StepKind::kBegin;
    }

    /// Null, and the run is over, if there is no thread to choose. `running` is null if it has ended.
    Thread* choose(Thread* running) {
        Threads can = enabled();
        while (!can && advance()) can = enabled();
        if (!can) return stop(nothing_left() ? Ending::kComplete : Ending::kDeadlock);
        if (log_.size() >= plan_.most_steps) return stop(Ending::kTooLong);
        bool goes_on = running && (can & only(running->id));
        bool choice = !goes_on || is_choice(running->next);
        ThreadId chosen = chosen_among(can, running, goes_on && !choice);
        if (chosen == kNobody) return nullptr;
        take(*threads_[chosen], running, can, choice);
        return threads_[chosen].get();
    }

    Thread* stop(Ending ending) {
        end(ending);
        return nullptr;
    }

    bool nothing_left() const {
        for (const auto& each : threads_)
            if (!each->ended) return false;
        return true;
    }

    /// kNobody, and the run is over, if the plan cannot be followed, or has seen all that follows.
    ThreadId chosen_among(Threads can, const Thread* running, bool has_to_continue) {
        ThreadId before = running ? running->id : kNobody;
        std::size_t step = log_.size();
        if (step < plan_.prefix.size()) {
            ThreadId wanted = plan_.prefix[step];
            if (step + 1 == plan_.prefix.size()) asleep_ = plan_.asleep;
            if (wanted < kMostThreads && (can & only(wanted))) return wanted;
            diverged_at_ = step;
            end(Ending::kDiverged);
            return kNobody;
        }
        if (has_to_continue) return before;
        Threads awake = can & ~asleep_;
        if (!awake) {
            end(Ending::kExplored);
            return kNobody;
        }
        if (running && running->steps >= kFairness && (awake & ~only(before))) awake &= ~only(before);
        return chooser_.choose(awake, before, [this](ThreadId id) -> const Operation& { return next(id); });
    }

    /// Writes the step down, and whatever follows from it for the next choices.
    void take(Thread& thread, Thread* running, Threads can, bool choice) {
        const Operation& operation = thread.next;
        if (plan_.timeouts_any && operation.deadline != kNever && !thread.timed_out && !is_ready(thread)) {
            thread.timed_out = true;
            now_ = std::max(now_, operation.deadline);
        }
        log_.push_back({.thread = thread.id,
                        .kind = operation.kind,
                        .write = operation.write,
                        .timed_out = thread.timed_out,
                        .choice = choice,
                        .running = running ? running->id : kNobody,
                        .variable = operation.variable,
                        .stack = operation.stack,
                        .site = operation.site,
                        .enabled = can,
                        .asleep = asleep_ & can});
        thread.steps = &thread == running ? thread.steps + 1 : 1;
        Threads pending = 0;
        for (const auto& each : threads_)
            if (!each->ended) pending |= only(each->id);
        chooser_.took(thread.id, pending, [this](ThreadId id) -> const Operation& { return next(id); });
        wake_dependent(thread);
    }

    /// What a sleeping thread would do is explored anew after a step on which it depends.
    void wake_dependent(const Thread& taken) {
        asleep_ &= ~only(taken.id);
        for (Threads rest = asleep_; rest; rest &= rest - 1) {
            auto id = static_cast<ThreadId>(std::countr_zero(rest));
            if (id >= threads_.size() || are_dependent(next(id), taken.next)) asleep_ &= ~only(id);
        }
    }

    Thread* next_to_unwind(const Thread& me) {
        for (std::size_t id = 1; id < threads_.size(); ++id)
            if (!threads_[id]->ended) return threads_[id].get();
        return me.id == 0 ? nullptr : threads_[0].get();
    }

    Plan plan_;
    Chooser chooser_;
    std::vector<std::unique_ptr<Thread>> threads_;
    std::vector<Step> log_;
    std::unordered_map<Key, VariableId, Hash> variables_;
    Time now_ = kEpoch;
    Ending ending_ = Ending::kNotOver;
    Threads asleep_ = 0;
    std::size_t diverged_at_ = 0;
};

}  // namespace threadproof::explore
