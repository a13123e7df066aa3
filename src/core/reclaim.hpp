/// When may memory that readers can still see be freed?
///
/// A reader pins itself: it makes its own counter odd on entry and even on exit, with plain stores, and shares nothing.
/// Whoever unlinks memory retires it: after a barrier that every thread takes part in, it notes which counters are odd;
/// once each of those has moved on, no reader can hold what was unlinked before, and it is freed.
///
/// Invariants: 1. a slot's counter is odd exactly while its thread is inside a Pin, and only its thread changes it;
///             2. pins do not nest: no user code runs inside one;
///             3. what is retired was unlinked before, so a Pin that begins after retire() cannot reach it.
///
/// Field       | written                                    | read                            | guard
/// ------------|--------------------------------------------|---------------------------------|---------------------
/// slot.pins   | relaxed + barrier on entry, release on exit | acquire, by retire() and poll() | its own thread
/// slot.writing| relaxed, before a pin                      | relaxed, after pins             | its own thread
/// slot.limbo  | plain                                      | plain                           | its own thread, or the
///             |                                            |                                 | registry for a free slot
/// slot.taken  | release                                    | acquire                         | registry
///
/// The barrier is membarrier(2), which makes a full fence out of every running thread's next instruction, so that pins
/// cost no fence (0.5 to 1 ns instead of 4 to 12). Where it is missing, pins are sequentially consistent exchanges.
/// Sources: seize (Rust), folly's asymmetric fences, McKenney's RCU.
#pragma once

#include <pthread.h>
#include <sched.h>
#include <time.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

#if defined(__linux__)
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "core/hints.hpp"
#include "core/memory.hpp"

namespace threadproof {

/// One word of a policy's making: a key or a value, possibly a tagged pointer; 0 is none.
using Word = std::uint64_t;

/// A word whose last reference is dropped once no reader can be looking at it.
struct Retired {
    Word word;
    void (*drop)(Word);
};

/// How a thread waits for another without holding anybody up; `round` counts the attempts so far.
/// A binding replaces it by one that lets go of its interpreter meanwhile. Relaxed: set once, at start-up.
inline void yield_or_nap(unsigned round) {
    if (round < 32) {  // a whole-map step lasts microseconds: yielding is enough
        sched_yield();
    } else {           // the thread waited for has lost its core: 50 us is a small part of what it takes to come back
        timespec nap{0, 50'000};
        nanosleep(&nap, nullptr);
    }
}
inline std::atomic<void (*)(unsigned)> wait_a_little{yield_or_nap};
inline void pause_round(unsigned round) { wait_a_little.load(std::memory_order_relaxed)(round); }

/// A lock of one byte, held for some dozen instructions and never while its holder waits for anything. Zeroed memory is an
/// unlocked one. Nobody queues, so nobody is handed the lock while asleep: a process that forks while its other threads are
/// stopped finds every such lock free, or held by a thread in the middle of those instructions, which cannot be stopped there.
class ByteLock {
 public:
    TP_HOT bool try_lock() {
        return locked_.load(std::memory_order_relaxed) == 0 && locked_.exchange(1, std::memory_order_acquire) == 0;  // acquire: pairs with unlock()
    }
    void lock() {
        for (unsigned round = 0; !try_lock(); ++round) {
            // 100 looks take about as long as the longest section; after that the holder has lost its core
            for (int look = 0; look < 100 && locked_.load(std::memory_order_relaxed); ++look) relax();
            if (locked_.load(std::memory_order_relaxed)) pause_round(round);
        }
    }
    TP_HOT void unlock() { locked_.store(0, std::memory_order_release); }  // release: pairs with try_lock()

 private:
    static void relax() {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        asm volatile("yield");
#endif
    }

    std::atomic<std::uint8_t> locked_;
};

/// The lock where a global lock serialises all calls anyway.
struct NoLock {
    std::uint8_t unused;
    bool try_lock() { return true; }
    void lock() {}
    void unlock() {}
};

/// Which fork of the process this is; never 0. What threads of an earlier one held has no owner any more.
/// Relaxed everywhere: it changes only right after a fork, while one thread runs.
inline std::atomic<std::uint32_t> process_generation{1};

/// A lock for rare, short steps: it naps instead of queueing, may be held while its owner waits for
/// others, and counts as free in a child process whose parent's thread held it.
class PatientLock {
 public:
    void lock() {
        for (unsigned round = 0; !try_lock(); ++round) pause_round(round);
    }
    bool try_lock() {
        std::uint32_t seen = owner_.load(std::memory_order_relaxed);
        std::uint32_t mine = process_generation.load(std::memory_order_relaxed);
        return seen != mine && owner_.compare_exchange_strong(seen, mine, std::memory_order_acquire);  // acquire: pairs with unlock()
    }
    void unlock() { owner_.store(0, std::memory_order_release); }  // release: pairs with try_lock()

 private:
    std::atomic<std::uint32_t> owner_{0};  ///< 0: free; else the generation of the process that holds it
};

/// What one thread shows the others.
struct alignas(kNoSharing) ThreadSlot {
    std::atomic<std::uint64_t> pins{0};
    std::atomic<const void*> writing{nullptr};  ///< the map this thread changes in this pin, or changed in an earlier one
    unsigned index = 0;
    std::atomic<bool> taken{false};
    ThreadSlot* next = nullptr;  ///< constant once the slot is in the list

    /// Retired words wait here until there are enough of them to be worth a barrier.
    static constexpr unsigned kLimbo = stress::shrunk(512u, 1u);  // a barrier costs up to 12 us: 25 ns a key
    static constexpr std::size_t kHeavy = 256 * 1024;             // and bytes, so that few large keys do not wait for many
    std::array<Retired, kLimbo> limbo;
    unsigned limbo_size = 0;
    std::size_t limbo_weight = 0;

    /// Counts this thread's changes, to look for what can be freed once in a while. Only its own thread uses it.
    unsigned polls = 0;
};

class Threads {
 public:
    /// The calling thread's slot, made on its first use.
    TP_HOT static ThreadSlot& mine() {
        ThreadSlot* slot = mine_;
        return TP_LIKELY(slot != nullptr) ? *slot : enroll();
    }

    /// Orders everything this thread did before with everything any pinned thread does after its pin, and conversely.
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
            pins.store(value, std::memory_order_relaxed);  // ordered with heavy_barrier(), which fences this thread too
            std::atomic_signal_fence(std::memory_order_seq_cst);
        } else {
            pins.exchange(value, std::memory_order_seq_cst);  // pairs with the fence in heavy_barrier()
            std::atomic_thread_fence(std::memory_order_seq_cst);
        }
    }

    /// Whether no other thread has ever to be waited for. A thread that enrolls runs a heavy barrier before it reads
    /// anything, so either it is counted here, or it sees what this thread unlinked before asking.
    TP_HOT static bool alone() {
        light_barrier();
        return enrolled_.load(std::memory_order_relaxed) <= 1;
    }

    template <class Visit>
    static void each(Visit visit) {
        for (ThreadSlot* s = first_.load(std::memory_order_acquire); s; s = s->next) visit(*s);  // acquire: pairs with enroll()
    }

    static PatientLock& registry() { return registry_; }

 private:
    TP_COLD static ThreadSlot& enroll() {
        std::call_once(started_, start);
        ThreadSlot* slot = nullptr;
        {
            std::lock_guard hold(registry());
            each([&](ThreadSlot& s) { if (!slot && !s.taken.load(std::memory_order_relaxed)) slot = &s; });  // under the registry
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
        static_cast<ThreadSlot*>(slot)->taken.store(false, std::memory_order_release);  // release: its limbo is the registry's now
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
        use_membarrier();
        enrolled_.store(mine_ ? 1 : 0);
        each([](ThreadSlot& s) {
            if (&s == mine_) return;
            std::uint64_t pins = s.pins.load(std::memory_order_relaxed);
            s.pins.store(pins + (pins & 1), std::memory_order_relaxed);  // relaxed here and below: one thread runs
            s.taken.store(false, std::memory_order_relaxed);
        });
    }

    static inline thread_local ThreadSlot* mine_ __attribute__((tls_model("initial-exec"))) = nullptr;
    static inline std::atomic<ThreadSlot*> first_{nullptr};
    static inline std::atomic<int> enrolled_{0};
    static inline bool asymmetric_ = false;  // written once, before any thread has a slot
    static inline std::once_flag started_;
    static inline pthread_key_t key_;
    static inline PatientLock registry_;
};

/// The calling thread may look at shared memory while this lives.
class Pin {
 public:
    TP_HOT Pin() : slot_(Threads::mine()), pins_(slot_.pins.load(std::memory_order_relaxed) + 1) { Threads::announce(slot_.pins, pins_); }
    TP_HOT ~Pin() { slot_.pins.store(pins_ + 1, std::memory_order_release); }  // release: pairs with the acquire in Wait::over()
    Pin(const Pin&) = delete;
    Pin& operator=(const Pin&) = delete;

 private:
    ThreadSlot& slot_;
    const std::uint64_t pins_;
};

/// A thread's pin, if it had one when this was made.
class Wait {
 public:
    explicit Wait(ThreadSlot& slot) : slot_(&slot), pins_(slot.pins.load(std::memory_order_acquire)) {}  // acquire: pairs with ~Pin

    bool over() const { return !(pins_ & 1) || slot_->pins.load(std::memory_order_acquire) != pins_; }  // acquire: as above

    void until_over() const {
        for (unsigned round = 0; !over(); ++round) pause_round(round);
    }

 private:
    ThreadSlot* slot_;
    std::uint64_t pins_;
};

/// What has been unlinked and waits for the readers that were pinned then.
class Reclaimer {
 public:
    /// Drops a word when no reader can hold it. Call it unpinned and unlocked: dropping can run any code.
    static void retire(Retired retired, std::size_t weight) {
        if (Threads::alone()) return retired.drop(retired.word);
        ThreadSlot& slot = Threads::mine();
        slot.limbo[slot.limbo_size++] = retired;
        slot.limbo_weight += weight;
        if (slot.limbo_size == ThreadSlot::kLimbo || slot.limbo_weight >= ThreadSlot::kHeavy) flush(slot);
    }

    /// Gives memory back when no reader can hold it. Call it unpinned.
    static void retire(Released memory) {
        Batch* batch = new (std::nothrow) Batch;
        if (!batch || !batch->note_pinned()) {
            delete batch;
            wait_for_pinned();
            memory.all();
            return;
        }
        bytes_.fetch_add(memory.bytes, std::memory_order_relaxed);  // a figure for stats()
        batch->memory = memory;
        enqueue(batch);
    }

    /// A cheap look, after every change, at whether anything can be freed; then a bounded piece of it.
    TP_HOT static void poll() {
        if (TP_LIKELY(waiting_.load(std::memory_order_relaxed) == 0)) return;  // a hint: a later poll sees what this one missed
        if (++Threads::mine().polls % kPollEvery == 0) poll_queue();
    }

    /// Drops everything that can be dropped now, whichever thread retired it.
    static void collect() {
        flush(Threads::mine());
        flush_free_slots();
        while (waiting_.load(std::memory_order_relaxed) && poll_queue()) {}
    }

    /// Bytes of bucket arrays retired and not yet given back.
    static std::uint64_t bytes() { return bytes_.load(std::memory_order_relaxed); }

 private:
    struct Batch {
        std::array<Retired, ThreadSlot::kLimbo> words;
        unsigned count = 0;
        Released memory;
        std::vector<Wait> waits;
        Batch* next = nullptr;

        /// Notes who might still be looking; false when there is no memory for the note.
        bool note_pinned() {
            Threads::heavy_barrier();
            try {
                Threads::each([&](ThreadSlot& s) {
                    if (Wait wait(s); !wait.over()) waits.push_back(wait);
                });
                return true;
            } catch (const std::bad_alloc&) {
                return false;
            }
        }

        bool over() {
            while (!waits.empty() && waits.back().over()) waits.pop_back();
            return waits.empty();
        }

        void drop_words() {
            for (unsigned i = 0; i < count; ++i) words[i].drop(words[i].word);
            count = 0;
        }
    };

    /// Hands a slot's limbo on. The words are copied out first: dropping them can retire more into the same slot.
    static void flush(ThreadSlot& slot) {
        if (slot.limbo_size == 0) return;
        Batch on_stack;
        Batch* batch = new (std::nothrow) Batch;
        bool noted = batch && batch->note_pinned();
        if (!noted) {
            delete batch;
            batch = &on_stack;
            wait_for_pinned();
        }
        batch->words = slot.limbo;
        batch->count = slot.limbo_size;
        slot.limbo_size = 0;
        slot.limbo_weight = 0;
        if (noted && !batch->over()) return enqueue(batch);
        batch->drop_words();
        if (noted) delete batch;
    }

    static void flush_free_slots() {
        std::vector<Retired> found;
        {
            std::lock_guard hold(Threads::registry());
            Threads::each([&](ThreadSlot& s) {
                if (s.taken.load(std::memory_order_acquire)) return;  // acquire: pairs with Threads::leave()
                try {
                    found.insert(found.end(), s.limbo.begin(), s.limbo.begin() + s.limbo_size);
                    s.limbo_size = 0;
                } catch (const std::bad_alloc&) {}  // they stay where they are
            });
        }
        for (const Retired& retired : found) retire(retired, 0);
        flush(Threads::mine());
    }

    static void wait_for_pinned() {
        Threads::heavy_barrier();
        Threads::each([](ThreadSlot& s) { Wait(s).until_over(); });
    }

    static void enqueue(Batch* batch) {
        std::lock_guard hold(queue_lock_);
        batch->next = queue_;
        queue_ = batch;
        waiting_.fetch_add(1, std::memory_order_relaxed);
    }

    /// Frees the words of one batch, or one step of one array, whose readers have left; false when there is none.
    TP_APART static bool poll_queue() {
        Batch* ready = nullptr;
        {
            std::unique_lock hold(queue_lock_, std::try_to_lock);
            if (!hold) return false;
            for (Batch** at = &queue_; *at; at = &(*at)->next) {
                if ((*at)->over()) {
                    ready = *at;
                    *at = ready->next;
                    break;
                }
            }
        }
        if (!ready) return false;
        ready->drop_words();
        if (ready->memory.memory && step(ready->memory)) {
            std::lock_guard hold(queue_lock_);
            ready->next = queue_;
            queue_ = ready;
            return true;
        }
        delete ready;
        waiting_.fetch_sub(1, std::memory_order_relaxed);
        return true;
    }

    static bool step(Released& memory) {
        std::size_t before = memory.bytes;
        bool more = memory.step();
        bytes_.fetch_sub(more ? before - memory.bytes : before, std::memory_order_relaxed);
        return more;
    }

    /// Changes between two looks: the queue's lock is shared by all threads, and looking each time halved their throughput.
    static constexpr unsigned kPollEvery = stress::shrunk(64u, 1u);

    static inline PatientLock queue_lock_;
    static inline Batch* queue_ = nullptr;
    static inline std::atomic<unsigned> waiting_{0};
    static inline std::atomic<std::uint64_t> bytes_{0};
};

}  // namespace threadproof
