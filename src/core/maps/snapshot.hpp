/// How a map is copied as it is at one instant while writers continue.
///
/// A map consists of pieces (buckets, or parts). Taking a snapshot quiesces the map only to open it: that
/// moment is its instant. From then on a writer saves a piece, by copying it for the snapshot, before it
/// changes the piece. The thread that takes the snapshot saves all the others. So each piece is saved exactly
/// once, and as it was at the instant. Each map has its own way of marking the saved pieces.
///
/// Invariants
///  1. At most one snapshot is open in a map: `whole` is held meanwhile.
///  2. While one is open, a piece that is not saved has not changed since the instant.
///  3. A snapshot that was open at a fork is stale in the child: its thread is not there. Nothing is saved
///     for it, and its memory is not freed, because other references to it may be anywhere.
///
/// Field           | written                        | read                             | guard
/// ----------------|--------------------------------|----------------------------------|--------------------
/// open_           | release, with the map quiesced | acquire, inside a WriterSection  | the gate
/// entries, failed | plain, by the savers           | plain, after the snapshot is     | the lock under which
///                 |                                | closed                           | the map saves
#pragma once

#include <memory>
#include <mutex>
#include <new>

#include "core/base/stress.hpp"
#include "core/maps/map_base.hpp"

namespace threadproof {

template <class P>
class SnapshotSlot : MapBase<P> {
    using Base = MapBase<P>;
    using typename Base::Gate, typename Base::Quiesce;

 public:
    using typename Base::Entries;

    /// The pieces saved so far, by the snapshot's own thread and by writers.
    struct Snapshot {
        const std::uint32_t generation = process_generation.load(std::memory_order_relaxed);
        std::uint64_t number = 0;  ///< for a map that marks the pieces it has saved
        ByteLock lock{};           ///< for a map whose pieces are saved under different locks
        Entries entries{};         ///< each retained
        bool failed = false;       ///< there was no memory: the snapshot fails, the writer does not

        /// Whether it was opened before a fork, in the parent: no thread waits for it in this process.
        bool stale() const { return generation != process_generation.load(std::memory_order_relaxed); }
    };

    /// The open snapshot, stale or not, or null. A writer calls it inside a WriterSection, so the snapshot
    /// stays until the section ends, because closing the snapshot waits for the section.
    TP_HOT Snapshot* any() const {
        return open_.load(std::memory_order_acquire);  // acquire: pairs with the release in take()
    }
    /// The open snapshot, or null; a stale one counts as none.
    TP_HOT Snapshot* current() const {
        Snapshot* open = any();
        return TP_LIKELY(!open) || open->stale() ? nullptr : open;
    }

    /// All entries at one instant, each retained for the caller. prepare(snapshot) runs with `whole` held,
    /// begin() at the instant, with no writer inside, and save_all() afterwards, beside the writers. Throws
    /// bad_alloc, with nothing retained.
    template <class Prepare, class Begin, class SaveAll>
    Entries take(Gate& gate, PatientLock& whole, Prepare prepare, Begin begin, SaveAll save_all) {
        Entries entries;  // made first: making one can throw, swapping two cannot
        // not on the stack: a forked child keeps the map, but not this thread's stack
        auto snapshot = std::make_unique<Snapshot>();
        {
            std::lock_guard one_at_a_time(whole);
            prepare(*snapshot);
            {
                Quiesce quiesce(gate);
                begin();
                open_.store(snapshot.get(), std::memory_order_release);  // release: pairs with any()
            }
            stress::reach(stress::Window::kSnapshotOpen);
            save_all();
            Quiesce quiesce(gate);  // waits for the writers that save for this snapshot
            open_.store(nullptr, std::memory_order_release);
        }
        entries.swap(snapshot->entries);
        if (!snapshot->failed) return entries;
        Base::release_all(entries);
        throw std::bad_alloc();
    }

    /// Closes a stale snapshot, if there is one. No other thread uses the map, or the caller holds `whole`.
    bool forget_stale() {
        Snapshot* open = any();
        if (TP_LIKELY(!open || !open->stale())) return false;
        open_.store(nullptr, std::memory_order_release);
        return true;
    }

 private:
    std::atomic<Snapshot*> open_{nullptr};
};

}  // namespace threadproof
