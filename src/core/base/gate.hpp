/// A gate that many writers pass and a step on the whole structure closes: while it is closed, nobody is
/// inside.
///
/// Going in costs a writer two plain stores and a load: it shows which gate it is inside of, together with
/// its pin, and looks whether the gate is closed. Closing is for rare steps of a few instructions: close, run
/// the heavy barrier, and wait for those inside. Either a writer's stores came before the barrier, and it is
/// waited for, or its look comes after, and it sees the gate closed and goes back.
///
/// Field        | written                  | read                | guard
/// -------------|--------------------------|---------------------|--------------
/// closed_by_   | seq_cst, then a barrier  | acquire, by Section | closing_
/// slot.writing, slot.pins: see threads.hpp
#pragma once

#include <atomic>
#include <cstdint>

#include "core/base/hints.hpp"
#include "core/base/locks.hpp"
#include "core/base/threads.hpp"

namespace threadproof {

class Gate {
 public:
    /// A writer is inside: pinned, and waited for by whoever closes the gate. It neither waits for a user nor
    /// calls one here.
    class Section {
     public:
        TP_HOT explicit Section(Gate& gate)
            : slot_(Threads::mine()),
              pins_(slot_.pins.load(std::memory_order_relaxed) + 1) {  // ours: no other thread writes it
            slot_.writing.store(&gate, std::memory_order_relaxed);     // published with the pin
            Threads::announce(slot_.pins, pins_);  // pairs with the heavy barrier in Closed
            if (TP_UNLIKELY(gate.closed())) wait_outside(gate);
        }
        TP_HOT ~Section() {
            slot_.pins.store(pins_ + 1, std::memory_order_release);
        }  // release: pairs with Wait::over()
        Section(const Section&) = delete;
        Section& operator=(const Section&) = delete;

     private:
        TP_COLD void wait_outside(const Gate& gate) {
            for (unsigned round = 0; gate.closed(); ++round) {
                slot_.pins.store(pins_ + 1, std::memory_order_release);  // release: as in ~Section
                pause_round(round);
                pins_ += 2;
                Threads::announce(slot_.pins, pins_);
            }
        }

        ThreadSlot& slot_;
        std::uint64_t pins_;
    };

    /// While this lives nobody is inside a Section of the gate. Its owner must not be in one.
    class Closed {
     public:
        explicit Closed(Gate& gate) : gate_(gate) {
            gate_.closing_.lock();
            gate_.closed_by_.store(process_generation.load(std::memory_order_relaxed),
                                   std::memory_order_seq_cst);
            Threads::heavy_barrier();  // pairs with announce() in Section
            Threads::each([&](ThreadSlot& s) {
                Wait inside(s);
                // read after pins, by its acquire
                if (s.writing.load(std::memory_order_relaxed) == &gate_) inside.until_over();
            });
        }
        ~Closed() {
            // release: pairs with closed(); publishes what was done inside
            gate_.closed_by_.store(0, std::memory_order_release);
            gate_.closing_.unlock();
        }
        Closed(const Closed&) = delete;
        Closed& operator=(const Closed&) = delete;

     private:
        Gate& gate_;
    };

    /// A gate that a thread of the parent process closed before a fork counts as open.
    TP_HOT bool closed() const {
        std::uint32_t by = closed_by_.load(std::memory_order_acquire);  // acquire: pairs with ~Closed
        return TP_UNLIKELY(by != 0) && by == process_generation.load(std::memory_order_relaxed);
    }

 private:
    std::atomic<std::uint32_t> closed_by_{0};  ///< 0: open; else the generation of the process that closed it
    PatientLock closing_;                      ///< one closed gate at a time
};

/// The gate where a global lock keeps everybody else out anyway.
class NoGate {
 public:
    struct Section {
        explicit Section(NoGate&) {}
        ~Section() {}
    };
    using Closed = Section;
    bool closed() const { return false; }
};

}  // namespace threadproof
