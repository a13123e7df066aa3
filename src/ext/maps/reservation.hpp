/// Reservation: the object in a key's place while a function computes the key's value. It carries the old
/// value for readers, and lets other writers of the key wait. java.util.concurrent has it under this name.
///
/// A wait that would be a deadlock is refused. One waits-for graph covers all maps of the process: a thread
/// waits for one reservation, and a reservation belongs to one thread. Before an edge is added, the edges
/// from the wanted reservation are followed. If they lead back to the thread that wants to wait, it gets
/// DeadlockError instead. Following and adding are one step under the graph's lock, so exactly one thread of
/// a cycle, the last, is refused.
///
/// Field      | written                              | read                        | guard
/// -----------|--------------------------------------|-----------------------------|---------------------
/// key, owner | once, by make()                      | plain, by any thread        | never change
/// generation | once, by make()                      | plain, by any thread        | never changes
/// old_value  | before the reservation is in the map | plain, by threads that have | constant while there
///            |                                      | a reference to it           |
/// result     | by the owner, before end()           | plain, by drain()           | published by `ended`
/// ended      | release, under the graph's lock      | acquire                     | the graph's lock
/// gate       | plain                                | plain                       | the graph's lock
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
    /// the generation of the process in which it was made: a forked child has no thread that would end the
    /// reservations of its parent's other threads
    std::uint32_t generation;
    std::atomic<bool> ended;
    PyThread_type_lock gate;  ///< made and locked by the first thread that waits, opened by end()

    /// A new reference to a reservation of the calling thread. Throws.
    static Reservation* make(PyObject* key);

    PyObject* object() { return reinterpret_cast<PyObject*>(this); }

    /// Lets the threads that wait continue. Calling it again does nothing.
    void end() noexcept;

    /// Waits until it has ended, or returns at once if it is orphaned. Throws with TimeoutError,
    /// DeadlockError, or the exception of a signal handler.
    void wait(const Deadline& deadline);

    /// Whether its thread exists only in a parent process, so that no thread here will end it.
    bool orphaned() const;

    int traverse(visitproc visit, void* arg) noexcept;
    void clear() noexcept;
    void destroy() noexcept;
};

/// Whether the calling thread is computing a value now, at any key of any map.
bool holds_reservation();

/// Adds the type to the module. Throws.
void add_reservation(PyObject* module);

}  // namespace threadproof::ext
