/// Threads that a test holds at a window of an algorithm while it takes another step itself.
///
/// An actor runs one step in a thread of its own. It stops when it reaches the chosen window, when it waits
/// for another thread (a lock, the gate), or when its step is done. The test waits for that, reads the
/// reason, and releases the actor. Nothing depends on time.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "maps/operations.hpp"

namespace cells {

using threadproof::stress::Window;

class Actor {
 public:
    enum State { kRunning, kWaiting, kHeld, kDone };

    /// Begins the step; it is held when it reaches the window for the `nth` time.
    explicit Actor(std::function<void()> step, Window hold_at = kNowhere, int nth = 1)
        : Actor(std::move(step), hold_at, nth, true) {}
    /// The same, in a thread that has no slot (core/base/threads.hpp) before its step takes one.
    static Actor without_slot(std::function<void()> step) {
        return Actor(std::move(step), kNowhere, 1, false);
    }
    ~Actor() { finish(); }
    Actor(const Actor&) = delete;
    Actor& operator=(const Actor&) = delete;

    /// The reason of its stop.
    State stopped() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return state_ != kRunning; });
        return state_;
    }

    /// It is in its window now.
    void must_be_held() { CHECK(stopped() == kHeld); }
    /// It waits for another thread.
    void must_wait() { CHECK(stopped() == kWaiting); }

    /// Releases it from its window, if it is there, to run to the end of its step.
    void finish() {
        {
            std::lock_guard lock(mutex_);
            released_ = true;
            changed_.notify_all();
        }
        if (thread_.joinable()) thread_.join();
    }

 private:
    static constexpr Window kNowhere = static_cast<Window>(255);

    Actor(std::function<void()> step, Window hold_at, int nth, bool with_slot)
        : hold_at_(hold_at), arrivals_left_(nth) {
        threadproof::stress::hook.store(arrive);
        threadproof::wait_a_little.store(wait_a_little);
        thread_ = std::thread([this, step, with_slot] {
            mine_ = this;
            if (with_slot) forget_other_maps();
            step();
            set(kDone);
            mine_ = nullptr;
        });
    }

    static void arrive(Window window) {
        if (mine_ && window == mine_->hold_at_ && --mine_->arrivals_left_ == 0) mine_->hold();
    }
    static void wait_a_little(unsigned round) {
        if (mine_) mine_->set(kWaiting);
        threadproof::yield_or_nap(round);
    }

    void hold() {
        std::unique_lock lock(mutex_);
        state_ = kHeld;
        changed_.notify_all();
        changed_.wait(lock, [&] { return released_; });
        state_ = kRunning;
    }
    void set(State state) {
        std::lock_guard lock(mutex_);
        state_ = state;
        changed_.notify_all();
    }

    /// A thread shows the map it changed last, and has to be waited for by steps on that whole map even while
    /// it only reads. A new thread may take over what a former one showed: not here.
    static void forget_other_maps() {
        static Map& elsewhere = *new Map(1);
        elsewhere.replace_exact(0, 1, 1, 1);
    }

    static inline thread_local Actor* mine_ = nullptr;

    const Window hold_at_;
    int arrivals_left_;  ///< its own thread's
    std::mutex mutex_;
    std::condition_variable changed_;
    State state_ = kRunning;
    bool released_ = false;
    std::thread thread_;
};

}  // namespace cells
