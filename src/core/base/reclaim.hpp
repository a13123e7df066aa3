/// Frees memory that readers may still be reading, after they have left.
///
/// The thread that unlinks memory retires it: after a heavy barrier it notes which threads are pinned
/// (threads.hpp). Once each of them has left that pin, no reader has the memory, and it is freed. A Pin that
/// begins later cannot reach it. Words wait in the slot of the thread that retired them until there are
/// enough of them to pay for a barrier. Then they wait in a batch, in a queue that all threads poll.
///
/// Invariants: 1. a batch frees only words that were unlinked before its barrier, and waits for all threads
///             that were pinned at its barrier;
///             2. a batch is in the queue, or belongs to the one thread that took it out;
///             3. no function here is called by a pinned thread or under a lock: releasing can run any code.
///
/// Field      | written              | read                    | guard
/// -----------|----------------------|-------------------------|------------
/// queue_     | plain                | plain                   | queue_lock_
/// waiting_   | relaxed              | relaxed: only a hint    | none
/// bytes_     | relaxed              | relaxed: a metric       | none
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <new>
#include <stdexcept>
#include <vector>

#include "core/base/hints.hpp"
#include "core/base/locks.hpp"
#include "core/base/memory.hpp"
#include "core/base/threads.hpp"

namespace threadproof {

/// Frees unlinked memory after the readers that were pinned when it was unlinked. One for the whole process.
class Reclaimer {
 public:
    /// Releases a word when no reader can be reading it. `weight`: the bytes that it keeps alive.
    static void retire(Retired retired, std::size_t weight) {
        if (Threads::alone()) return retired.release(retired.word);
        ThreadSlot& slot = Threads::mine();
        slot.limbo[slot.limbo_size++] = retired;
        slot.limbo_weight += weight;
        if (slot.limbo_size == ThreadSlot::kLimbo || slot.limbo_weight >= ThreadSlot::kHeavy) flush(slot);
    }

    /// Frees memory when no reader can be reading it.
    static void retire(Released memory) {
        // as a word; mapped memory is freed in steps all the same
        if (!memory.mapped && Threads::alone()) return memory.all();
        Batch* batch = new (std::nothrow) Batch;
        if (!batch || !batch->note_pinned()) {
            delete batch;
            wait_for_pinned();
            memory.all();
            return;
        }
        bytes_.fetch_add(memory.bytes, std::memory_order_relaxed);  // relaxed: a metric
        batch->memory = memory;
        enqueue(batch);
    }

    /// Called after every change: once in a number of changes it checks whether anything can be freed, and
    /// frees a bounded amount.
    TP_HOT static void poll() {
        // relaxed: a hint; a later poll sees what this one has missed
        if (TP_LIKELY(waiting_.load(std::memory_order_relaxed) == 0)) return;
        if (++Threads::mine().polls % kPollEvery == 0) poll_queue();
    }

    /// Frees everything that can be freed now, whichever thread retired it, and the memory that was kept before the
    /// collection before this one.
    static void collect() {
        flush(Threads::mine());
        flush_free_slots();
        while (waiting_.load(std::memory_order_relaxed) && poll_queue()) {
        }
        KeptMemory::free_unused();
    }

    /// Bytes of memory retired and not yet freed, in the whole process.
    static std::uint64_t bytes() { return bytes_.load(std::memory_order_relaxed); }

    /// Asserts that the counts cover what is in the queue; std::logic_error if not.
    static void check() {
        std::lock_guard hold(queue_lock_);
        unsigned batches = 0;
        std::uint64_t bytes = 0;
        for (const Batch* each = queue_; each; each = each->next) {
            ++batches;
            bytes += each->memory.bytes;
            if (each->count > ThreadSlot::kLimbo) throw std::logic_error("a batch has too many words");
        }
        // relaxed, both: raised before the batch is in the queue or under its lock, lowered after it has left it
        if (batches > waiting_.load(std::memory_order_relaxed))
            throw std::logic_error("more batches wait than are counted");
        if (bytes > bytes_.load(std::memory_order_relaxed))
            throw std::logic_error("more bytes wait than are counted");
    }

 private:
    struct Batch {
        std::array<Retired, ThreadSlot::kLimbo> words;
        unsigned count = 0;
        Released memory;
        std::vector<Wait> waits;
        Batch* next = nullptr;

        /// Notes which threads are pinned; false when there is no memory for that.
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

        void release_words() {
            for (unsigned i = 0; i < count; ++i) words[i].release(words[i].word);
            count = 0;
        }
    };

    /// Empties a slot's limbo into a batch. The words are copied out first: releasing them can retire more
    /// into the same slot.
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
        batch->release_words();
        if (noted) delete batch;
    }

    static void flush_free_slots() {
        std::vector<Retired> found;
        {
            std::lock_guard hold(Threads::registry());
            Threads::each([&](ThreadSlot& s) {
                // acquire: pairs with the release in Threads::leave(); makes the limbo visible
                if (s.taken.load(std::memory_order_acquire)) return;
                try {
                    found.insert(found.end(), s.limbo.begin(), s.limbo.begin() + s.limbo_size);
                    s.limbo_size = 0;
                } catch (const std::bad_alloc&) {  // the words stay where they are
                }
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

    /// Frees the words of one batch, or one step of its memory, if there is a batch whose readers have left;
    /// false if there is none.
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
        ready->release_words();
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

    /// Changes between two checks of the queue: its lock is shared by all threads.
    static constexpr unsigned kPollEvery = stress::shrunk(64u, 1u);

    static inline PatientLock queue_lock_;
    static inline Batch* queue_ = nullptr;
    static inline std::atomic<unsigned> waiting_{0};
    static inline std::atomic<std::uint64_t> bytes_{0};
};

}  // namespace threadproof
