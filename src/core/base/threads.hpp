/// The threads of the process, and what each shows the others: whether it looks at shared memory now, and
/// what it changes.
///
/// A reader pins itself: it makes its own counter odd on entry and even on exit, with plain stores, and
/// shares nothing. Who wants to know runs a heavy barrier, a full fence in every running thread
/// (membarrier(2)), so that pins cost no fence (0.5 to 1 ns instead of 4 to 12). Where it is missing, pins
/// are sequentially consistent exchanges.
///
/// Invariants: 1. a slot's counter is odd exactly while its thread is inside a Pin, and only its thread changes it;
///             2. pins do not nest: no user code runs inside one;
///             3. a slot belongs to one thread at a time, and its limbo to that thread, or to the registry while it is free.
///
/// Field       | written                                     | read                       | guard
/// ------------|---------------------------------------------|----------------------------|---------------------
/// slot.pins   | relaxed + barrier on entry, release on exit | acquire, by Wait           | its own thread
/// slot.writing| relaxed, before a pin                       | relaxed, after pins        | its own thread
/// slot.limbo, limbo_size, limbo_weight | plain              | plain                      | its thread, or the registry
/// slot.polls  | plain                                       | plain                      | its own thread
/// slot.taken  | release                                     | acquire                    | registry
///
/// Sources: seize (Rust), folly's asymmetric fences, McKenney's RCU.
#pragma once

#include <pthread.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>

#if defined(__linux__)
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "core/base/hints.hpp"
#include "core/base/locks.hpp"
#include "core/base/memory.hpp"

namespace threadproof {

/// One word of a policy's making: a key or a value, possibly a tagged pointer; 0 is none.
using Word = std::uint64_t;

/// A word whose last reference is dropped once no reader can be looking at it.
struct Retired {
    Word word;
    void (*drop)(Word);
};

/// What one thread shows the others.
struct alignas(kNoSharing) ThreadSlot {
    std::atomic<std::uint64_t> pins{0};
    /// the map this thread changes in this pin, or changed in an earlier one
    std::atomic<const void*> writing{nullptr};
    unsigned index = 0;
    std::atomic<bool> taken{false};
    ThreadSlot* next = nullptr;  ///< constant once the slot is in the list

    /// Retired words wait here until there are enough of them to be worth a barrier.
    static constexpr unsigned kLimbo = stress::shrunk(512u, 1u);  // a barrier costs up to 12 us: 25 ns a key
    // and bytes, so that few large keys do not wait for many
    static constexpr std::size_t kHeavy = 256 * 1024;
    std::array<Retired, kLimbo> limbo;
    unsigned limbo_size = 0;
    std::size_t limbo_weight = 0;

    /// Counts this thread's changes, to look for what can be freed once in a while. Only its own thread uses
    /// it.
    unsigned polls = 0;
};

class Threads {
 public:
    /// The calling thread's slot, made on its first use.
    TP_HOT static ThreadSlot& mine() {
        ThreadSlot* slot = mine_;
        return TP_LIKELY(slot != nullptr) ? *slot : enroll();
    }

    /// Orders everything this thread did before with everything any pinned thread does after its pin, and
    /// conversely.
    static void heavy_barrier() {
#if defined(__linux__) && !defined(THREADPROOF_FENCES)
        if (asymmetric_) syscall(__NR_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
#endif
        std::atomic_thread_fence(std::memory_order_seq_cst);
    }

    /// The other half of heavy_barrier(): free where membarrier does the work.
    TP_HOT static void light_barrier() {
        if (TP_LIKELY(asymmetric_)) {
            std::atomic_signal_fence(std::memory_order_seq_cst);
        } else {
            std::atomic_thread_fence(std::memory_order_seq_cst);
        }
    }

    /// Shows a pin, and what was stored before it, to whoever runs a heavy barrier.
    TP_HOT static void announce(std::atomic<std::uint64_t>& pins, std::uint64_t value) {
        if (TP_LIKELY(asymmetric_)) {
            // ordered with heavy_barrier(), which fences this thread too; release:
            pins.store(value, std::memory_order_release);
            // pairs with Wait::over(), as the ~Pin before this
            // one did
            std::atomic_signal_fence(std::memory_order_seq_cst);
        } else {
            pins.exchange(value, std::memory_order_seq_cst);  // pairs with the fence in heavy_barrier()
            std::atomic_thread_fence(std::memory_order_seq_cst);
        }
    }

    /// Whether no other thread has to be waited for. A thread that enrolls runs a heavy barrier before it
    /// reads anything, so either it is counted here, or it sees what this thread unlinked before asking. This
    /// thread may not be enrolled itself.
    TP_HOT static bool alone() {
        light_barrier();
        return enrolled_.load(std::memory_order_relaxed) <= (mine_ ? 1 : 0);
    }

    /// The thread that made this process by forking, if its generation is not the first: the only one of the
    /// parent's here.
    static pthread_t survivor() { return survivor_; }

    template <class Visit>
    static void each(Visit visit) {
        // acquire: pairs with enroll()
        for (ThreadSlot* s = first_.load(std::memory_order_acquire); s; s = s->next) visit(*s);
    }

    static PatientLock& registry() { return registry_; }

 private:
    TP_COLD static ThreadSlot& enroll() {
        std::call_once(started_, start);
        ThreadSlot* slot = nullptr;
        {
            std::lock_guard hold(registry());
            // under the registry
            each([&](ThreadSlot& s) {
                if (!slot && !s.taken.load(std::memory_order_relaxed)) slot = &s;
            });
            if (!slot) slot = add_slot();
            slot->taken.store(true, std::memory_order_release);
            enrolled_.fetch_add(1);
        }
        heavy_barrier();  // pairs with alone(): it counts this thread, or this thread sees what it unlinked
        pthread_setspecific(key_, slot);
        mine_ = slot;
        return *slot;
    }

    static ThreadSlot* add_slot() {
        static unsigned count = 0;  // under the registry
        ThreadSlot* slot = new ThreadSlot;
        slot->index = count++;
        slot->next = first_.load(std::memory_order_relaxed);
        first_.store(slot, std::memory_order_release);  // release: publishes the slot to each()
        return slot;
    }

    static void leave(void* slot) {
        mine_ = nullptr;
        std::lock_guard hold(registry());
        // release: its limbo is the registry's now
        static_cast<ThreadSlot*>(slot)->taken.store(false, std::memory_order_release);
        enrolled_.fetch_sub(1);
    }

    static void start() {
        pthread_key_create(&key_, leave);
        use_membarrier();
        pthread_atfork(nullptr, nullptr, after_fork);
    }

    static void use_membarrier() {
#if defined(__linux__) && !defined(THREADPROOF_FENCES)
        asymmetric_ = syscall(__NR_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
#endif
    }

    /// In the child only the forking thread lives on: what the others showed is void.
    static void after_fork() {
        process_generation.fetch_add(1, std::memory_order_relaxed);
        survivor_ = pthread_self();
        use_membarrier();
        enrolled_.store(mine_ ? 1 : 0);
        each([](ThreadSlot& s) {
            if (&s == mine_) return;
            std::uint64_t pins = s.pins.load(std::memory_order_relaxed);
            // relaxed here and below: one thread runs
            s.pins.store(pins + (pins & 1), std::memory_order_relaxed);
            s.taken.store(false, std::memory_order_relaxed);
        });
    }

    static inline thread_local ThreadSlot* mine_ __attribute__((tls_model("initial-exec"))) = nullptr;
    static inline std::atomic<ThreadSlot*> first_{nullptr};
    static inline std::atomic<int> enrolled_{0};
    static inline bool asymmetric_ = false;  // written once, before any thread has a slot
    static inline pthread_t survivor_{};     // written while one thread runs
    static inline std::once_flag started_;
    static inline pthread_key_t key_;
    static inline PatientLock registry_;
};

/// The calling thread may look at shared memory while this lives.
class Pin {
 public:
    TP_HOT Pin() : slot_(Threads::mine()), pins_(slot_.pins.load(std::memory_order_relaxed) + 1) {
        Threads::announce(slot_.pins, pins_);
    }
    TP_HOT ~Pin() {
        slot_.pins.store(pins_ + 1, std::memory_order_release);
    }  // release: pairs with the acquire in Wait::over()
    Pin(const Pin&) = delete;
    Pin& operator=(const Pin&) = delete;

 private:
    ThreadSlot& slot_;
    const std::uint64_t pins_;
};

/// A thread's pin, if it had one when this was made.
class Wait {
 public:
    explicit Wait(ThreadSlot& slot)
        : slot_(&slot), pins_(slot.pins.load(std::memory_order_acquire)) {}  // acquire: pairs with ~Pin

    bool over() const {
        return !(pins_ & 1) || slot_->pins.load(std::memory_order_acquire) != pins_;
    }  // acquire: as above

    void until_over() const {
        for (unsigned round = 0; !over(); ++round) pause_round(round);
    }

 private:
    ThreadSlot* slot_;
    std::uint64_t pins_;
};

}  // namespace threadproof
