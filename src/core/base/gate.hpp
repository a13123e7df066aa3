/// A gate that many writers pass and a step on the whole structure closes: while it is closed, no writer is
/// inside.
///
/// Passing costs a writer two plain stores and a load: it publishes its pin and the gate that it is inside
/// of, and checks that the gate is open. Closing is for rare steps of a few instructions: store `closed`, run
/// the heavy barrier, and wait for the writers inside.
///
/// Why no writer is inside then. The writer stores its pin and loads `closed`; the closer stores `closed` and
/// loads the pin. The light barrier in announce() and the heavy barrier order the store before the load on
/// the two sides. Take the moment at which the heavy barrier fences the writer's thread.
///  - If the writer's store comes before it: the closer loads the pin after its barrier, sees it, and waits
///    until the writer is outside.
///  - If the writer's store comes after it: so does its load, which then sees the gate closed. The writer
///    withdraws its pin and waits outside.
/// (threads.hpp says why the barriers give one of these two.)
///
/// Field        | written                  | read                      | guard
/// -------------|--------------------------|---------------------------|--------------
/// closed_by_   | seq_cst, then a barrier  | acquire, by WriterSection | closing_
/// slot.writing, slot.pins: see threads.hpp
#pragma once

#include <atomic>
#include <cstdint>
#include <stdexcept>

#include "core/base/hints.hpp"
#include "core/base/locks.hpp"
#include "core/base/threads.hpp"

namespace threadproof {

class Gate {
 public:
    /// While this lives, the thread is pinned and inside the gate: a Quiesce waits for it. Code inside
    /// neither waits for user code nor runs any.
    class WriterSection {
     public:
        TP_HOT explicit WriterSection(Gate& gate)
            : slot_(Threads::mine()),
              pins_(slot_.pins.load(std::memory_order_relaxed) + 1) {  // relaxed: only this thread writes it
            slot_.writing.store(&gate, std::memory_order_relaxed);     // relaxed: published with the pin
            Threads::announce(slot_.pins, pins_);  // pairs with the heavy barrier in Quiesce
            if (TP_UNLIKELY(gate.closed())) wait_outside(gate);
        }
        TP_HOT ~WriterSection() {
            // release: pairs with the acquire in Wait::over(); makes the changes visible to a Quiesce
            slot_.pins.store(pins_ + 1, std::memory_order_release);
        }
        WriterSection(const WriterSection&) = delete;
        WriterSection& operator=(const WriterSection&) = delete;

     private:
        TP_COLD void wait_outside(const Gate& gate) {
            for (unsigned round = 0; gate.closed(); ++round) {
                slot_.pins.store(pins_ + 1, std::memory_order_release);  // release: as in the destructor
                pause_round(round);
                pins_ += 2;
                Threads::announce(slot_.pins, pins_);
            }
        }

        ThreadSlot& slot_;
        std::uint64_t pins_;
    };

    /// While this lives, no thread is inside a WriterSection of the gate. The thread that makes it must not
    /// be inside one.
    class Quiesce {
     public:
        explicit Quiesce(Gate& gate) : gate_(gate) {
            gate_.closing_.lock();
            gate_.closed_by_.store(process_generation.load(std::memory_order_relaxed),
                                   std::memory_order_seq_cst);
            Threads::heavy_barrier();  // pairs with announce() in WriterSection
            Threads::each([&](ThreadSlot& s) {
                Wait inside(s);
                // relaxed: read after the pin, whose acquire pairs with the release in announce()
                if (s.writing.load(std::memory_order_relaxed) == &gate_) inside.until_over();
            });
        }
        ~Quiesce() {
            // release: pairs with the acquire in closed(); makes the whole-map step visible to writers
            gate_.closed_by_.store(0, std::memory_order_release);
            gate_.closing_.unlock();
        }
        Quiesce(const Quiesce&) = delete;
        Quiesce& operator=(const Quiesce&) = delete;

     private:
        Gate& gate_;
    };

    /// A gate that a thread of the parent process closed before a fork counts as open.
    TP_HOT bool closed() const {
        // acquire: pairs with the release in ~Quiesce; makes the whole-map step visible
        std::uint32_t by = closed_by_.load(std::memory_order_acquire);
        return TP_UNLIKELY(by != 0) && by == process_generation.load(std::memory_order_relaxed);
    }

    /// Asserts that the gate is open, and that no thread is about to close it; std::logic_error if not.
    void check() {
        if (closed()) throw std::logic_error("a gate is closed");
        if (!closing_.try_lock()) throw std::logic_error("the lock of an open gate is held");
        closing_.unlock();
    }

 private:
    std::atomic<std::uint32_t> closed_by_{0};  ///< 0: open; else the generation of the process that closed it
    PatientLock closing_;                      ///< one Quiesce at a time
};

/// The gate for builds where a global lock keeps all other threads out.
class NoGate {
 public:
    struct WriterSection {
        explicit WriterSection(NoGate&) {}
        ~WriterSection() {}
    };
    using Quiesce = WriterSection;
    bool closed() const { return false; }
    void check() {}
};

}  // namespace threadproof
