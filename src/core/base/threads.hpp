/// The threads of the process, and the state that each publishes to the others: whether it is reading shared
/// memory now, and which structure it is changing.
///
/// A reader pins itself: it makes its own counter odd on entry and even on exit, with plain stores to memory
/// that no other thread writes. A thread that needs to know who is pinned runs a heavy barrier, which is a
/// full fence in every running thread of the process (membarrier(2)). So pins cost no fence: 0.5 to 1 ns
/// instead of 4 to 12. Where membarrier is missing, pins are sequentially consistent exchanges.
///
/// Why that is enough. Let a reader store its pin and then load a pointer P; let another thread unlink what P
/// leads to, run heavy_barrier(), and then load the reader's pin, to free what it has unlinked if the reader
/// is not pinned. The compiler keeps the reader's store and load in order (the signal fence in announce()),
/// but a processor may do the load first and keep the store in its store buffer. The heavy barrier executes a
/// full fence on the reader's processor at some moment between the two instructions, before both, or after
/// both.
///  - If the reader's store comes before that fence: the fence makes the pin visible to the other thread,
///    which loads it afterwards, sees it, and waits for the reader.
///  - If the reader's store comes after that fence: so does its load. The unlinking came before
///    heavy_barrier() was called, so before the fence, and the load sees it: P does not lead there any more.
/// A processor on which the reader is not running has been fenced by the switch to another thread. On the
/// fallback path, announce() and heavy_barrier() execute the full fences themselves: if the reader's fence
/// comes first, the other thread sees its pin; if the other's comes first, the reader sees the unlinking.
/// gate.hpp uses the same pair, with the closed gate in the place of the unlinked pointer.
///
/// Invariants
///  1. A slot's counter is odd exactly while its thread is inside a Pin, and only its thread changes it.
///  2. Pins do not nest: no user code runs inside one.
///  3. A slot belongs to one thread at a time, and its limbo to that thread, or to the registry while the
///     slot is free.
///
/// Field        | written                                     | read                       | guard
/// -------------|---------------------------------------------|----------------------------|----------------
/// slot.pins    | release + barrier on entry, release on exit | acquire, by Wait           | its thread
/// slot.writing | relaxed, before a pin                       | relaxed, after pins        | its thread
/// slot.limbo*  | plain                                       | plain                      | its thread, or
///              |                                             |                            | the registry
/// slot.polls   | plain                                       | plain                      | its thread
/// slot.taken   | release                                     | acquire                    | the registry
/// enrolled_    | seq_cst, then a heavy barrier               | relaxed, after a light one | the registry
///
/// Sources: seize (Rust), folly's asymmetric fences, McKenney's RCU.
#pragma once

#include <pthread.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <stdexcept>

#if defined(__linux__)
#include <errno.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "core/base/hints.hpp"
#include "core/base/locks.hpp"
#include "core/base/memory.hpp"

namespace threadproof {

/// A key or a value of a policy, possibly a tagged pointer; 0 is none.
using Word = std::uint64_t;

/// A word to be released once no reader can be looking at it.
struct Retired {
    Word word;
    void (*release)(Word);
};

/// The state that one thread publishes to the others.
struct alignas(kNoSharing) ThreadSlot {
    std::atomic<std::uint64_t> pins{0};
    /// the gate that this thread is inside of in this pin, or was in an earlier one
    std::atomic<const void*> writing{nullptr};
    unsigned index = 0;
    std::atomic<bool> taken{false};
    ThreadSlot* next = nullptr;  ///< constant once the slot is in the list

    /// Retired words wait here until there are enough of them to be worth a barrier.
    static constexpr unsigned kLimbo = stress::shrunk(512u, 1u);  // a barrier costs up to 12 us: 25 ns a key
    // or until they keep that many bytes alive, so that large keys do not wait for many others
    static constexpr std::size_t kHeavy = 256 * 1024;
    std::array<Retired, kLimbo> limbo;
    unsigned limbo_size = 0;
    std::size_t limbo_weight = 0;

    /// This thread's changes: once in a number of them it checks whether anything can be freed.
    unsigned polls = 0;
};

class Threads {
 public:
    /// The calling thread's slot, made on its first use. Throws bad_alloc then.
    TP_HOT static ThreadSlot& mine() {
        ThreadSlot* slot = mine_;
        return TP_LIKELY(slot != nullptr) ? *slot : enroll();
    }

    /// A full fence in this thread and in every other. For each thread that has announced a pin, one of two
    /// holds: it announced before, and this thread sees the pin from now on; or it sees, after its pin,
    /// everything that this thread did before. The head of this file says why.
    static void heavy_barrier() {
#if defined(__linux__) && !defined(THREADPROOF_FENCES)
        if (asymmetric_ && syscall(__NR_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0)
            visit_processors();
#endif
        std::atomic_thread_fence(std::memory_order_seq_cst);
    }

    /// The counterpart of heavy_barrier() in the other threads: between a store and a load here, it makes
    /// sure that either this store is seen after the heavy barrier, or this load sees what came before it. It
    /// costs nothing where membarrier executes the fence.
    TP_HOT static void light_barrier() {
        if (TP_LIKELY(asymmetric_)) {
            std::atomic_signal_fence(std::memory_order_seq_cst);
        } else {
            std::atomic_thread_fence(std::memory_order_seq_cst);
        }
    }

    /// Publishes a pin to the threads that run a heavy barrier, before the pinned thread loads anything.
    TP_HOT static void announce(std::atomic<std::uint64_t>& pins, std::uint64_t value) {
        if (TP_LIKELY(asymmetric_)) {
            // release: pairs with the acquire in Wait::over(), like that of the ~Pin before: a thread that
            // sees this pin also sees what was done inside earlier ones. It does not order the loads that
            // follow; heavy_barrier() does.
            pins.store(value, std::memory_order_release);
            // The compiler must not move those loads before the store.
            std::atomic_signal_fence(std::memory_order_seq_cst);
        } else {
            // seq_cst, both: pair with the fence in heavy_barrier()
            pins.exchange(value, std::memory_order_seq_cst);
            std::atomic_thread_fence(std::memory_order_seq_cst);
        }
    }

    /// Whether no other thread can be reading what this thread has unlinked. This thread may not be enrolled
    /// itself. A thread that enrolls counts itself and runs a heavy barrier before it reads anything:
    ///  - if its barrier comes before the light barrier here, its count is seen here: not alone;
    ///  - if it comes after, the new thread sees what this one had unlinked, and cannot reach it.
    TP_HOT static bool alone() {
        light_barrier();
        return enrolled_.load(std::memory_order_relaxed) <= (mine_ ? 1 : 0);
    }

    /// In a forked child: the thread that forked, the only one of the parent's threads that is here.
    static pthread_t survivor() { return survivor_; }

    template <class Visit>
    static void each(Visit visit) {
        // acquire: pairs with the release in add_slot(); makes the slot visible
        for (ThreadSlot* s = first_.load(std::memory_order_acquire); s; s = s->next) visit(*s);
    }

    /// How many threads are enrolled now: those that have used a structure and have not ended.
    static int enrolled() {
        // relaxed: a metric, which orders nothing
        return enrolled_.load(std::memory_order_relaxed);
    }

    static PatientLock& registry() { return registry_; }

    /// Asserts the invariants of the slots; std::logic_error if one is broken.
    static void check() {
        std::lock_guard hold(registry());
        int taken = 0;
        unsigned below = ~0u;  // the slots are listed from the last one to the first
        each([&](ThreadSlot& s) {
            if (s.index >= below) throw std::logic_error("two slots have one number");
            below = s.index;
            // relaxed, all: the registry's lock guards a free slot
            if (s.taken.load(std::memory_order_relaxed)) return void(++taken);
            if (s.pins.load(std::memory_order_relaxed) & 1) throw std::logic_error("a free slot is pinned");
            if (s.limbo_size >= ThreadSlot::kLimbo) throw std::logic_error("a free slot's limbo is full");
        });
        if (below != ~0u && below != 0) throw std::logic_error("a slot is not in the list");
        if (taken != enrolled_.load(std::memory_order_relaxed))
            throw std::logic_error("the count of threads is not that of the slots taken");
    }

 private:
    TP_COLD static ThreadSlot& enroll() {
        std::call_once(started_, start);
        ThreadSlot* slot = nullptr;
        {
            std::lock_guard hold(registry());
            each([&](ThreadSlot& s) {
                // relaxed: the registry's lock guards it
                if (!slot && !s.taken.load(std::memory_order_relaxed)) slot = &s;
            });
            if (!slot) slot = add_slot();
            slot->taken.store(true, std::memory_order_release);
            enrolled_.fetch_add(1);
        }
        heavy_barrier();  // pairs with the light barrier in alone()
        pthread_setspecific(key_, slot);
        mine_ = slot;
        return *slot;
    }

    static ThreadSlot* add_slot() {
        static unsigned count = 0;  // the registry's lock guards it
        ThreadSlot* slot = new ThreadSlot;
        slot->index = count++;
        slot->next = first_.load(std::memory_order_relaxed);
        first_.store(slot, std::memory_order_release);  // release: publishes the slot to each()
        return slot;
    }

    /// Called by the C library when the thread ends.
    static void leave(void* slot) noexcept {
        mine_ = nullptr;
        std::lock_guard hold(registry());
        // release: pairs with the acquire in Reclaimer; hands the limbo over to the registry
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

#if defined(__linux__) && !defined(THREADPROOF_FENCES)
    /// What membarrier does, where it fails after it has worked: a sandbox that the program has entered since
    /// forbids it, or the kernel has no memory for it. Runs this thread on every processor in turn: the thread of
    /// the process that was running there has been switched out, which is a full fence. Processors that it may
    /// not run on are not allowed to the process's other threads either. Ends the process if that is forbidden
    /// too: memory that a reader still uses would be freed.
    TP_COLD static void visit_processors() {
        constexpr std::size_t kMost = 8192;  // NR_CPUS of the largest kernels that distributions build
        alignas(cpu_set_t) unsigned long before[kMost / (8 * sizeof(long))] = {};
        alignas(cpu_set_t) unsigned long one[kMost / (8 * sizeof(long))];
        auto* set = reinterpret_cast<cpu_set_t*>(one);
        bool visited = sched_getaffinity(0, sizeof before, reinterpret_cast<cpu_set_t*>(before)) == 0;
        const long processors = sysconf(_SC_NPROCESSORS_CONF);
        bool any = false;
        for (long each = 0; visited && each < processors && each < static_cast<long>(kMost); ++each) {
            CPU_ZERO_S(sizeof one, set);
            CPU_SET_S(static_cast<std::size_t>(each), sizeof one, set);
            if (sched_setaffinity(0, sizeof one, set) == 0) any = true;
            else visited = errno == EINVAL;  // offline, or not in the process's set
        }
        visited =
            visited && any && sched_setaffinity(0, sizeof before, reinterpret_cast<cpu_set_t*>(before)) == 0;
        if (visited) return;
        static constexpr char kMessage[] =
            "threadproof: membarrier(2) and sched_setaffinity(2) are forbidden since the program began; "
            "without one "
            "of them memory would be freed that threads still read. Allow membarrier in the sandbox "
            "(seccomp).\n";
        [[maybe_unused]] auto written = ::write(STDERR_FILENO, kMessage, sizeof kMessage - 1);
        std::abort();
    }
#endif

    /// Called by the C library in a forked child, where only the forking thread remains: the pins of the
    /// others are void.
    static void after_fork() noexcept {
        process_generation.fetch_add(1, std::memory_order_relaxed);
        survivor_ = pthread_self();
        use_membarrier();
        enrolled_.store(mine_ ? 1 : 0);
        each([](ThreadSlot& s) {
            if (&s == mine_) return;
            std::uint64_t pins = s.pins.load(std::memory_order_relaxed);
            // relaxed, all: no other thread runs
            s.pins.store(pins + (pins & 1), std::memory_order_relaxed);
            s.taken.store(false, std::memory_order_relaxed);
        });
    }

    static inline thread_local ThreadSlot* mine_ __attribute__((tls_model("initial-exec"))) = nullptr;
    static inline std::atomic<ThreadSlot*> first_{nullptr};
    static inline std::atomic<int> enrolled_{0};
    static inline bool asymmetric_ = false;  // written before any thread has a slot, and after a fork
    static inline pthread_t survivor_{};     // written after a fork, while one thread runs
    static inline std::once_flag started_;
    static inline pthread_key_t key_;
    static inline PatientLock registry_;
};

/// While this lives the calling thread may read shared memory: nothing that it can reach is freed.
class Pin {
 public:
    TP_HOT Pin() : slot_(Threads::mine()), pins_(slot_.pins.load(std::memory_order_relaxed) + 1) {
        Threads::announce(slot_.pins, pins_);
    }
    TP_HOT ~Pin() {
        // release: pairs with the acquire in Wait::over(); the reads come before what is done after that
        slot_.pins.store(pins_ + 1, std::memory_order_release);
    }
    Pin(const Pin&) = delete;
    Pin& operator=(const Pin&) = delete;

 private:
    ThreadSlot& slot_;
    const std::uint64_t pins_;
};

/// A thread's pin, if it had one when this was made: over when it has left that pin, even if it is in
/// another.
class Wait {
 public:
    // acquire, both: pair with the release in ~Pin and ~WriterSection
    explicit Wait(ThreadSlot& slot) : slot_(&slot), pins_(slot.pins.load(std::memory_order_acquire)) {}

    bool over() const { return !(pins_ & 1) || slot_->pins.load(std::memory_order_acquire) != pins_; }

    void until_over() const {
        for (unsigned round = 0; !over(); ++round) pause_round(round);
    }

 private:
    ThreadSlot* slot_;
    std::uint64_t pins_;
};

}  // namespace threadproof
