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
/// A thread that has the baton and waits for what is not controlled, such as a socket, is put *outside*: the
/// caller takes the baton from it, and others go on. When its wait is over it calls come_back(), and then waits
/// for the baton like the others; that it continues is a step. If only threads outside are left, announce()
/// and leave() return null in a run that is not over: the caller keeps the baton, and calls resume() until a
/// thread is back, or let_time_pass(), or abandon().
///
/// Field                | written                    | read                       | guard
/// ---------------------|----------------------------|----------------------------|-------
/// returned_            | fetch_or, release, by any  | acquire, with the baton    | none
/// everything else      | plain, with the baton      | plain, with the baton      | the baton: a semaphore's
///                      |                            |                            | release and acquire
#pragma once

#include <algorithm>
#include <atomic>
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

/// A read of a variable, and the writes of the variable before.
struct SpinRead {
    std::uint64_t site, item;
    VariableId variable;
    std::uint32_t writes;
    friend bool operator==(const SpinRead&, const SpinRead&) = default;
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
    std::uint32_t created_at = 0;   // the number of the parent's next step in the log
    std::vector<SpinRead> reads{};  // since a step that was none, and none of them has other results by now
    bool spins = false;             // has repeated one of them, and no other thread has taken a step since
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
    /// Reads of a loop that are remembered to find repetitions: a loop of more is none that waits.
    static constexpr std::size_t kSpinReads = 16;
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
        writes_.clear();
        now_ = kEpoch;
        ending_ = Ending::kNotOver;
        asleep_ = 0;
        diverged_at_ = 0;
        outside_ = 0;
        uncontrolled_ = false;
        returned_.store(0, std::memory_order_relaxed);  // nothing depends on it: no thread is outside
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
        if (parent) threads_[parent->id]->reads.clear();  // a loop that starts threads does not wait
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
    /// and gets it also if it has ended itself and waits for the others in finish(). Null: no thread is left
    /// but those outside.
    Thread* leave(Thread& me) {
        me.ended = true;
        if (!is_over())
            if (Thread* next = choose(nullptr)) return next;
        return is_over() ? next_to_unwind(me) : nullptr;
    }

    // ---- threads outside of control: called with the baton, but for come_back()

    /// The thread waits for what is not controlled. Returns the one that gets the baton, or null.
    Thread* put_outside(Thread& thread) {
        thread.next = {.kind = StepKind::kReturn};
        outside_ |= only(thread.id);
        uncontrolled_ = true;
        if (!is_over())
            if (Thread* next = choose(&thread)) return next;
        return is_over() ? next_to_unwind(thread) : nullptr;
    }

    /// The wait of this thread is over; called by the thread itself, which then waits for its baton.
    void come_back(ThreadId id) {
        // release: pairs with the load in away(); whatever the thread did outside is visible to the others
        returned_.fetch_or(only(id), std::memory_order_release);
    }

    /// The thread that gets the baton now, if one is back; else null.
    Thread* resume() {
        if (!is_over())
            if (Thread* next = choose(nullptr)) return next;
        if (!is_over()) return nullptr;
        Thread* next = next_to_unwind(*threads_[0]);
        return next || outside_ ? next : threads_[0].get();  // which waits, also if it has ended
    }

    /// The threads outside have been waited for long enough: the first timeout passes. False if there is none.
    bool let_time_pass() { return !is_over() && advance(); }

    /// As if this thread had ended. The caller ensures that it never comes back; it does not run the test.
    void abandon(ThreadId id) {
        threads_[id]->ended = true;
        outside_ &= ~only(id);
    }

    /// A thread has been outside: another run under the same plan may differ.
    bool uncontrolled() const { return uncontrolled_; }
    Threads outside() const { return outside_; }
    /// Those that are outside, and not back.
    Threads away() const {
        return outside_ & ~returned_.load(std::memory_order_acquire);  // acquire: pairs with come_back()
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
        if (thread.ended || (outside_ && (away() & only(thread.id)))) return false;
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
        // a thread outside may be about to return, and time passes last
        while (!can && !outside_ && advance()) can = enabled();
        if (!can && outside_) return nullptr;
        if (!can) return stop(nothing_left() ? Ending::kComplete : Ending::kDeadlock);
        if (log_.size() >= plan_.most_steps) return stop(Ending::kTooLong);
        can = without_spinning(can);
        bool goes_on = running && (can & only(running->id));
        bool choice = !goes_on || is_choice(running->next);
        ThreadId chosen = chosen_among(can, running, goes_on && !choice);
        if (chosen == kNobody) return nullptr;
        take(*threads_[chosen], running, can, choice);
        return threads_[chosen].get();
    }

    /// A thread that repeats a read whose result cannot have changed waits for another thread. So it goes on only
    /// after a step of another, if any other can take one; and to choose that one is no preemption. Not in a
    /// search by partial order, for which a thread that can run is enabled.
    Threads without_spinning(Threads can) const {
        if (plan_.everywhere) return can;
        Threads others = can;
        for (const auto& each : threads_)
            if (each->spins) others &= ~only(each->id);
        std::size_t step = log_.size();
        bool wanted = step >= plan_.prefix.size() || plan_.prefix[step] >= kMostThreads
                      || (others & only(plan_.prefix[step]));
        return others && wanted ? others : can;
    }

    void notice_spinning(Thread& thread) {
        const Operation& operation = thread.next;
        for (const auto& each : threads_) each->spins = false;
        if (operation.variable >= writes_.size()) writes_.resize(operation.variable + 1);
        std::uint32_t& writes = writes_[operation.variable];
        writes += operation.write;
        if (operation.kind != StepKind::kAccess || operation.write || !operation.site)
            return thread.reads.clear();
        SpinRead read{operation.site, operation.item, operation.variable, writes};
        if (std::find(thread.reads.begin(), thread.reads.end(), read) != thread.reads.end()) {
            thread.spins = true;
            return;
        }
        bool news = std::any_of(thread.reads.begin(), thread.reads.end(), [&](const SpinRead& each) {
            return each.variable == read.variable && each.writes != read.writes;
        });
        if (news || thread.reads.size() == kSpinReads) thread.reads.clear();
        thread.reads.push_back(read);
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
        if (!awake && uncontrolled_) awake = can;  // what was explored from here may have been otherwise
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
        if (outside_ & only(thread.id)) {
            outside_ &= ~only(thread.id);
            // relaxed: the same thread sets it again, and has the baton before
            returned_.fetch_and(~only(thread.id), std::memory_order_relaxed);
        }
        thread.steps = &thread == running ? thread.steps + 1 : 1;
        Threads pending = 0;
        for (const auto& each : threads_)
            if (!each->ended) pending |= only(each->id);
        chooser_.took(thread.id, pending, [this](ThreadId id) -> const Operation& { return next(id); });
        notice_spinning(thread);
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

    /// Null if the caller is the last one, or has to wait for a thread outside.
    Thread* next_to_unwind(const Thread& me) {
        Threads absent = outside_ ? away() : 0;
        for (std::size_t id = 1; id < threads_.size(); ++id)
            if (!threads_[id]->ended && !(absent & only(threads_[id]->id))) return threads_[id].get();
        if (absent) return nullptr;
        return me.id == 0 && !outside_ ? nullptr : threads_[0].get();
    }

    Plan plan_;
    Chooser chooser_;
    std::vector<std::unique_ptr<Thread>> threads_;
    std::vector<Step> log_;
    std::unordered_map<Key, VariableId, Hash> variables_;
    std::vector<std::uint32_t> writes_;  // of each variable
    Time now_ = kEpoch;
    Ending ending_ = Ending::kNotOver;
    Threads asleep_ = 0;
    std::size_t diverged_at_ = 0;
    Threads outside_ = 0;
    bool uncontrolled_ = false;
    std::atomic<Threads> returned_{0};
};

}  // namespace threadproof::explore
