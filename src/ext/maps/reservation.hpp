/// Reservation: the object in a key's place while a function computes the key's value. It carries the old
/// value for readers, and lets other writers of the key wait. java.util.concurrent has it under this name.
///
/// A wait that would be a deadlock is refused. One waits-for graph covers all maps of the process: a thread
/// waits for one reservation, and a reservation belongs to one thread. Before an edge is added, the edges
/// from the wanted reservation are followed. If they lead back to the thread that wants to wait, it gets
/// DeadlockError instead. Following and adding are one step under the graph's lock, so exactly one thread of
/// a cycle, the last, is refused.
///
/// A drain takes reservations out of a map, and puts them back if it is interrupted. So two threads may have to
/// store the result: the owner, and the thread that puts the reservation back after the owner has looked for it.
/// The owner settles (stores `settled`, then looks for the reservation in the map), the other puts it back and
/// then looks whether it is settled, with a full fence in between on both sides: one of them sees the other.
///
/// Field      | written                              | read                        | guard
/// -----------|--------------------------------------|-----------------------------|---------------------
/// key, owner,| once, by make()                      | plain, by any thread        | never change
/// began      |                                      |                             |
/// generation | once, by make()                      | plain, by any thread        | never changes
/// home       | relaxed, by the owner                | relaxed                     | published by an entry, `ended`
/// old_value  | before the reservation is in the map | plain, by threads that have | constant while there
///            |                                      | a reference to it           |
/// owns_old   | by the owner, after it is in the map | plain, by the collector     | the stopped world
/// result     | by the owner, before `settled`       | plain                       | published by `settled`
/// settled    | release, then a fence                | acquire, after a fence      | none
/// ended      | release, under the graph's lock      | acquire                     | the graph's lock
/// gate       | plain                                | plain                       | the graph's lock
/// follower,  | plain                                | plain                       | the graph's lock; the
/// closed     |                                      |                             | collector: the stopped world
/// storing    | relaxed compare-and-swap             | relaxed                     | none: the map orders the rest
#pragma once

#include <atomic>
#include <cstdint>

#include "ext/python/waiting.hpp"

namespace threadproof::ext {

struct Reservation {
    PyObject_HEAD PyObject* key;
    PyObject* old_value;  ///< of the key, for readers; null: the key was absent
    PyObject* result;     ///< of the computation; null: none, or the key is to be removed
    unsigned long owner;  ///< the thread that computes
    /// the number of the map of chains to which it belongs; 0: a map of another kind, or the result was not stored
    std::atomic<std::uint64_t> home;
    /// Whether old_value is a reference of its own. Before that it may be a value of a failed attempt to place
    /// the reservation, which belongs to other threads and may be dead: the collector must not see it.
    bool owns_old;
    std::atomic<bool> settled;
    /// of the process in which it was made: in a forked child, no thread is left to end the others of the
    /// parent
    std::uint32_t generation;
    std::atomic<bool> ended;
    std::int64_t began;          ///< nanoseconds of the monotonic clock, coarse
    Reservation *newer, *older;  ///< see ComputationList
    PyThread_type_lock gate;     ///< made and locked by the first thread that waits, opened by end()
    // Only of loads, see cache_loads.hpp:
    PyObject* follower;  ///< the Load of Python's that gets the outcome; null: none
    bool closed;         ///< the outcome is there, and no follower can come any more
    enum class Storing : std::uint8_t { kUndecided, kYes, kNo };
    std::atomic<Storing> storing;

    /// A new reference to a reservation of the calling thread. Throws.
    static Reservation* make(PyObject* key);

    PyObject* object() { return reinterpret_cast<PyObject*>(this); }

    /// Publishes the result, before the owner looks for the place in which to store it. Steals the reference.
    void settle(PyObject* new_result) noexcept {
        result = new_result;
        settled.store(true, std::memory_order_release);       // release: pairs with is_settled()
        std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with the fence in is_settled()
    }
    /// Whether there is a result, for a thread that has put the reservation into a map just now.
    bool is_settled() const {
        std::atomic_thread_fence(std::memory_order_seq_cst);
        return settled.load(std::memory_order_acquire);
    }

    /// What its computation has come to, once it is over: the result, or the old value if the owner stayed behind
    /// in a fork; borrowed, or null.
    PyObject* outcome() const {
        // acquire: pairs with the release in settle(); makes the result visible
        return settled.load(std::memory_order_acquire) ? result : old_value;
    }

    /// Decides whether the value that was loaded is stored; the first of the two calls does. Returns whether it is.
    bool decide() { return decide(Storing::kYes) == Storing::kYes; }
    /// Returns whether it is not: the key has been invalidated in time.
    bool discard() { return decide(Storing::kNo) == Storing::kNo; }

    /// The follower: this one, if there is none; null if it is closed. A new reference.
    Ref attach(PyObject* new_follower);
    /// From now on it is closed. Returns the follower.
    Ref close() noexcept;

    /// Lets the threads that wait continue. Calling it again does nothing.
    void end() noexcept;

    /// Seconds since it was made.
    double seconds() const;

    /// Whether no thread has to wait for it: it has ended, or is orphaned.
    bool over() const;

    /// Waits until it has ended, or returns at once if it is orphaned. Throws with TimeoutError,
    /// DeadlockError, or the exception of a signal handler.
    void wait(const Deadline& deadline);

    /// Whether its thread exists only in a parent process, so that no thread here will end it.
    bool orphaned() const;

    int traverse(visitproc visit, void* arg) noexcept;
    void clear() noexcept;
    void destroy() noexcept;

 private:
    Storing decide(Storing wanted) {
        Storing found = Storing::kUndecided;
        // relaxed, both: only the decision itself counts, which is the same for all
        return storing.compare_exchange_strong(found, wanted, std::memory_order_relaxed) ? wanted : found;
    }
};

/// The object as a Reservation; null for another.
Reservation* as_reservation(PyObject* object);

/// Whether the calling thread is computing a value now, at any key of any map.
bool holds_reservation();

/// Adds the type to the module. Throws.
void add_reservation(PyObject* module);

}  // namespace threadproof::ext
