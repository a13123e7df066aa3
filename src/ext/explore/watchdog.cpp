/// Threads that wait for what is not controlled: a socket, a file, a process, a lock in C code.
///
/// Such a thread has the baton, and does not come to its next step, maybe because that needs a step of another
/// thread. It is detached from the interpreter, as a thread that only computes is not. The watchdog sees that,
/// takes the baton by a CAS on the thread's seat, and lets the others go on. To take it wrongly, from a thread
/// that was only slow, is safe: in its next step the thread finds out, and waits for its baton. It costs the
/// run its repeatability.

#include "ext/explore/explore.hpp"

#ifdef THREADPROOF_PROBE

#include <utility>

#include "ext/probe/entry.hpp"

namespace threadproof::ext {

using explore::Ending;
using explore::Thread;
using explore::ThreadId;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr milliseconds kLook{10};  // between two looks: their cost is below one in a thousand
// Looks without a step, of a detached thread: below 100 ms, the reads of a file on a busy machine would count.
constexpr unsigned kStill = 10;
// In which a thread outside may return before time passes, or before the run ends without it.
constexpr milliseconds kPatience{100};
constexpr milliseconds kReminder{500};  // between two interrupts: the first may come before the wait

/// CPython's _Py_THREAD_DETACHED, the same from 3.13 to 3.15.
constexpr int kDetached = 0;

bool is_detached(PyThreadState* state) {
    return state && __atomic_load_n(&state->state, __ATOMIC_RELAXED) == kDetached;
}

/// The calling thread, which is none of Python's, may call Python while there is one.
class Attached {
 public:
    Attached() : before_(PyGILState_Ensure()) { ++probe::this_thread.suspended; }
    ~Attached() {
        --probe::this_thread.suspended;
        PyGILState_Release(before_);
    }
    Attached(const Attached&) = delete;
    Attached& operator=(const Attached&) = delete;

 private:
    PyGILState_STATE before_;
};

}  // namespace

// ---- the thread

void Control::start_watchdog() {
    watchdog_ = new Watchdog;
    watchdog_->thread = std::thread([this] { watch(); });
}

void Control::stop_watchdog() {
    if (!watchdog_) return;
    {
        std::lock_guard hold(watchdog_->mutex);
        watchdog_->stopping = true;
    }
    watchdog_->changed.notify_one();
    PyThreadState* state = PyEval_SaveThread();
    watchdog_->thread.join();
    PyEval_RestoreThread(state);
    // now nobody reads it: a thread that was abandoned never comes to wake_watchdog()
    delete std::exchange(watchdog_, nullptr);
}

void Control::wake_watchdog() {
    if (!watchdog_) return;  // in a forked child
    {
        std::lock_guard hold(watchdog_->mutex);
        watchdog_->woken = true;
    }
    watchdog_->changed.notify_one();
}

void Control::watch() {
    Watchdog& mine = *watchdog_;
    for (;;) {
        {
            std::unique_lock hold(mine.mutex);
            mine.changed.wait_for(hold, kLook, [&] { return mine.stopping || mine.woken; });
            mine.woken = false;
            if (mine.stopping) return;
        }
        // acquire: pairs with the release store in give(); the baton is with this thread
        if (unattended_.load(std::memory_order_acquire)) attend();
        else look();
    }
}

// ---- a thread that has the baton

void Control::look() {
    Watchdog& mine = *watchdog_;
    mine.since = {};
    ThreadId id = running_.load(std::memory_order_relaxed);
    std::uint64_t progress = progress_.load(std::memory_order_relaxed);
    // acquire: pairs with the release store in leave_handler(); makes the seat's state visible
    std::uint64_t word = seats_[id].word.load(std::memory_order_acquire);
    bool blocked = where_in(word) == Where::kProgram && progress == mine.seen
                   && is_detached(seats_[id].state.load(std::memory_order_relaxed));
    mine.seen = progress;
    mine.still = blocked ? mine.still + 1 : 0;
    if (mine.still >= kStill) take_from(id, word);
}

void Control::take_from(ThreadId id, std::uint64_t word) {
    Attached attached;
    watchdog_->still = 0;
    // acquire-release: pairs with enter_handler(); only one of the two has the baton
    if (!seats_[id].word.compare_exchange_strong(word, word_of(word >> 8, Where::kTaken),
                                                 std::memory_order_acq_rel))
        return;
    call(blocked_, "i", static_cast<int>(id));
    bool over = scheduler_.is_over();
    Thread* next = scheduler_.put_outside(*scheduler_.threads()[id]);
    if (!over) notice_deadlock();
    if (next) next->baton->give();
    else unattended_.store(true, std::memory_order_relaxed);  // this thread has the baton, and keeps it
}

template <class... Arguments>
void Control::call(PyObject* function, const char* format, Arguments... arguments) {
    if (!function) return;
    probe::contained([&] { Ref::steal(checked(PyObject_CallFunction(function, format, arguments...))); });
}

// ---- only threads outside are left

void Control::attend() {
    Watchdog& mine = *watchdog_;
    auto now = steady_clock::now();
    if (mine.since == steady_clock::time_point{}) mine.since = now;
    auto waited = now - mine.since;
    bool back = (scheduler_.outside() & ~scheduler_.away()) != 0;
    if (!back && waited < kPatience) return;
    Attached attached;
    bool over = scheduler_.is_over();
    Thread* next = scheduler_.resume();
    if (!next && !back) {
        bool ended = scheduler_.threads()[0]->ended || scheduler_.is_over();
        if (ended) abandon_all();
        else if (!scheduler_.let_time_pass() && waited > std::chrono::duration<double>(hang_))
            scheduler_.end(Ending::kDeadlock);
        next = scheduler_.resume();
    }
    if (!over) notice_deadlock();
    if (!next) return interrupt();
    mine.since = {};
    // relaxed: the baton's release makes it visible
    unattended_.store(false, std::memory_order_relaxed);
    next->baton->give();
}

/// The test has ended, and threads that it has started have not: they end some day, or with the process.
void Control::abandon_all() {
    for (ThreadId id = 1; id < explore::kMostThreads; ++id) {
        if (!(scheduler_.away() & explore::only(id))) continue;
        std::uint64_t run = run_.load(std::memory_order_relaxed);
        std::uint64_t expected = word_of(run, Where::kTaken);
        // acquire-release: pairs with enter_handler(); a thread that is on its way back is not abandoned
        if (!seats_[id].word.compare_exchange_strong(expected, word_of(run, Where::kAbandoned),
                                                     std::memory_order_acq_rel))
            continue;
        scheduler_.abandon(id);
        ++abandoned_;
    }
}

/// The run is over, and the thread that runs the test has to end: a signal ends its wait.
void Control::interrupt() {
    auto now = steady_clock::now();
    if (!scheduler_.is_over() || !(scheduler_.away() & explore::only(0))) return;
    if (now - watchdog_->reminded < kReminder) return;
    watchdog_->reminded = now;
    call(blocked_, "i", -1);
}

}  // namespace threadproof::ext

#endif
