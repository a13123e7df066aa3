/// The rules of a reader-writer lock: which thread may enter next. Nothing here waits.
///
/// Threads enter and leave under a mutex of the caller. A thread that has to wait is put into a queue, and
/// the thread that makes room lets it in: threads do not compete for a lock that has become free, so they
/// enter in the order given here.
///
///     a reader enters            while there is no writer inside, and none waiting
///     a writer enters            while no thread is inside
///     when a writer leaves       all readers that wait enter; if there are none, the first writer
///     when the last reader leaves    the first writer that waits enters
///     when a writer gives up waiting, and no writer is inside    the readers that wait enter, up to the
///                                first writer that still waits
///
/// So a writer goes before readers that come later, and a reader waits for at most one writer besides the one
/// inside: neither starves. A thread that is inside enters again at once, except a reader that wants to
/// write: it would wait for itself to leave.
///
/// A thread that waits can be interrupted by a signal handler or a finalizer that enters the same lock: a
/// nested wait. The outer wait can be let in only after the nested one has entered and left. Until then it is
/// set aside: it keeps its place in the queue, and is skipped.
///
/// Invariants
///  1. A thread inside has one hold, and a hold has reads or writes.
///  2. If a hold has writes, it is the only hold.
///  3. While a thread waits, another is inside. While only readers are inside, a reader that waits has a
///     writer before it, or is set aside.
///  4. holds_ has room for all threads in the queue, so that letting them in cannot fail.
///
/// All fields are guarded by the caller's mutex. Source: Brandenburg and Anderson's phase-fair locks.
#pragma once

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstdint>
#include <vector>

#include "core/base/thread_number.hpp"

namespace threadproof {

enum class Side : std::uint8_t { kRead, kWrite };

class RWQueue {
 public:
    using Thread = ThreadNumber;

    /// A thread that wants to enter. It belongs to the caller, and is in the queue until it is let in or
    /// gives up.
    struct Waiter {
        Thread thread;
        Side side;
        void* gate = nullptr;  ///< for `wake`
        bool chosen = false;   ///< used by let_in_readers() only
        /// also read without the mutex, relaxed, as a hint: the reader locks before it acts
        std::atomic<bool> inside{false};
    };

    enum class Answer : std::uint8_t { kInside, kWait, kUpgrade };

    /// Enters; kWait or kUpgrade if that is not possible, and then nothing has changed.
    Answer try_enter(Thread thread, Side side) {
        if (Hold* mine = find(thread)) {
            if (side == Side::kWrite && mine->writes == 0) return Answer::kUpgrade;
            mine->add(side);
            return Answer::kInside;
        }
        if (!admits(thread, side)) return Answer::kWait;
        reserve();
        add_hold(thread, side);
        return Answer::kInside;
    }

    /// Enters, or queues up. Throws bad_alloc, and then nothing has changed.
    Answer enter(Waiter& waiter) {
        Answer answer = try_enter(waiter.thread, waiter.side);
        // relaxed: the mutex orders it
        if (answer == Answer::kInside) waiter.inside.store(true, std::memory_order_relaxed);
        if (answer != Answer::kWait) return answer;
        queue_.push_back(&waiter);
        try {
            reserve();
        } catch (...) {
            queue_.pop_back();
            throw;
        }
        return answer;
    }

    /// Leaves once; false if the thread is not inside on that side. Calls wake(waiter) for every thread that
    /// it lets in.
    template <class Wake>
    bool leave(Thread thread, Side side, Wake wake) {
        Hold* mine = find(thread);
        if (!mine || mine->depth(side) == 0) return false;
        --mine->depth(side);
        bool writes_still = mine->writes > 0;
        if (mine->reads == 0 && !writes_still) holds_.erase(holds_.begin() + (mine - holds_.data()));
        if (!writes_still) let_in(side, wake);
        return true;
    }

    /// Takes a waiter out of the queue; false if it is inside already.
    template <class Wake>
    bool give_up(Waiter& waiter, Wake wake) {
        if (waiter.inside.load(std::memory_order_relaxed)) return false;  // relaxed: under the mutex
        queue_.erase(std::find(queue_.begin(), queue_.end(), &waiter));
        if (!writing()) let_in_readers(wake, first_writer());  // those that waited only for this writer
        return true;
    }

    /// In a forked child: of the threads that were inside or waiting, only this one is left.
    template <class Wake>
    void forget_others(Thread thread, Wake wake) {
        std::erase_if(holds_, [&](const Hold& hold) { return hold.thread != thread; });
        std::erase_if(queue_, [&](const Waiter* waiter) { return waiter->thread != thread; });
        if (holds_.empty()) let_in(Side::kRead, wake);
    }

    bool has(Thread thread) const {
        return std::any_of(holds_.begin(), holds_.end(),
                           [&](const Hold& hold) { return hold.thread == thread; });
    }
    std::size_t readers() const { return writing() ? 0 : holds_.size(); }
    bool writing() const { return !holds_.empty() && holds_.front().writes > 0; }
    std::size_t waiting() const { return queue_.size(); }

    void check() const {
        for ([[maybe_unused]] const Hold& hold : holds_) {
            assert(hold.reads + hold.writes > 0);            // invariant 1
            assert(hold.writes == 0 || holds_.size() == 1);  // invariant 2
            assert(std::count_if(holds_.begin(), holds_.end(),
                                 [&](const Hold& h) { return h.thread == hold.thread; })
                   == 1);
        }
        assert(queue_.empty() || !holds_.empty());  // invariant 3
        [[maybe_unused]] auto writer = std::find_if(queue_.begin(), queue_.end(), is_writer);
        assert(writing()
               || std::all_of(queue_.begin(), writer, [&](const Waiter* w) { return set_aside(*w); }));
        assert(holds_.capacity() >= holds_.size() + queue_.size());  // invariant 4
    }

 private:
    struct Hold {
        Thread thread;
        std::uint32_t reads = 0, writes = 0;

        std::uint32_t& depth(Side side) { return side == Side::kRead ? reads : writes; }
        void add(Side side) { ++depth(side); }
    };

    Hold* find(Thread thread) {
        auto mine = std::find_if(holds_.begin(), holds_.end(),
                                 [&](const Hold& hold) { return hold.thread == thread; });
        return mine == holds_.end() ? nullptr : &*mine;
    }

    bool admits(Thread thread, Side side) const {
        if (side == Side::kWrite) return holds_.empty();
        return !writing() && std::none_of(queue_.begin(), queue_.end(), [&](const Waiter* w) {
            return is_writer(w) && w->thread != thread;
        });
    }

    /// Whether the thread of this waiter is inside, or waits once more.
    bool set_aside(const Waiter& waiter) const {
        auto last = std::find_if(queue_.rbegin(), queue_.rend(),
                                 [&](const Waiter* w) { return w->thread == waiter.thread; });
        return *last != &waiter || std::any_of(holds_.begin(), holds_.end(), [&](const Hold& h) {
            return h.thread == waiter.thread;
        });
    }

    static bool is_writer(const Waiter* waiter) { return waiter->side == Side::kWrite; }

    using Place = std::vector<Waiter*>::iterator;

    Place first_writer() { return std::find_if(queue_.begin(), queue_.end(), is_writer); }

    void reserve() {
        std::size_t needed = holds_.size() + queue_.size() + 1;
        if (holds_.capacity() < needed) holds_.reserve(2 * needed);
    }

    void add_hold(Thread thread, Side side) { holds_.emplace_back(Hold{thread}).add(side); }

    /// After a thread has left that side: lets in the next ones.
    template <class Wake>
    void let_in(Side left, Wake wake) {
        let_in_readers(wake, left == Side::kWrite ? queue_.end() : first_writer());
        if (holds_.empty()) let_in_first_writer(wake);
        if (holds_.empty()) let_in_readers(wake, queue_.end());
    }

    /// All readers before that position.
    template <class Wake>
    void let_in_readers(Wake wake, Place end) {
        std::for_each(queue_.begin(), end, [&](Waiter* w) { w->chosen = !is_writer(w) && !set_aside(*w); });
        Place readers =
            std::stable_partition(queue_.begin(), end, [](const Waiter* w) { return !w->chosen; });
        std::for_each(readers, end, [&](Waiter* waiter) { admit(*waiter, wake); });
        queue_.erase(readers, end);
    }

    template <class Wake>
    void let_in_first_writer(Wake wake) {
        Place writer = std::find_if(queue_.begin(), queue_.end(),
                                    [&](const Waiter* w) { return is_writer(w) && !set_aside(*w); });
        if (writer == queue_.end()) return;
        Waiter& first = **writer;
        queue_.erase(writer);
        admit(first, wake);
    }

    template <class Wake>
    void admit(Waiter& waiter, Wake wake) {
        add_hold(waiter.thread, waiter.side);
        waiter.inside.store(true, std::memory_order_relaxed);  // relaxed: the mutex orders it
        wake(waiter);
    }

    std::vector<Hold> holds_;     ///< of the threads inside; few, so that a search is cheap
    std::vector<Waiter*> queue_;  ///< in the order in which they came
};

}  // namespace threadproof
