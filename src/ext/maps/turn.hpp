/// A thread's turn at a key, while user code decides the key's new value; and who waits for whose turn.
///
/// One graph covers all maps of the process: a thread waits for one turn, and a turn belongs to one thread.
/// An edge is added only after following the edges from the turn that is wanted; if they lead back to the
/// thread that wants to wait, it gets DeadlockError instead. Looking and adding are one step under the
/// graph's lock, so of the threads of a cycle exactly one, the last, is refused.
///
/// Field    | written                 | read                     | guard
/// ---------|-------------------------|--------------------------|---------------------------------------------
/// key, owner, generation | once, when made | anybody            | never change
/// old      | once, under the bucket's lock, before the turn is put there | readers holding the turn | never changes
/// result   | by the owner, before end() | drain, after wait()   | the graph's lock orders them
/// ended    | under the graph's lock  | under it, or acquire     | the graph
/// gate     | under the graph's lock  | under it                 | the graph
#pragma once

#include "ext/python/py.hpp"

namespace threadproof::ext {

struct TurnObject {
    PyObject_HEAD PyObject* key;
    PyObject* old;     ///< what readers see meanwhile; null: nothing
    PyObject* result;  ///< what it came to; null: nothing
    unsigned long owner;
    /// of the process: in a child, the parent's other turns have nobody to end them
    std::uint32_t generation;
    std::atomic<bool> ended;
    PyThread_type_lock gate;  ///< made and locked by the first who waits, opened by end()
};

bool add_turn(PyObject* module);
PyObject* deadlock_error();

/// A turn of the calling thread. Throws.
TurnObject* begin_turn(PyObject* key);

/// Whether the turn's thread stayed behind in a parent process: nobody will end it here.
bool orphaned(const TurnObject* turn);

/// Ends it and wakes who waits. Ending it again does nothing.
void end_turn(TurnObject* turn);

/// Whether the calling thread has a turn now, at any key of any map.
bool holds_turn();

/// When a wait is over: never, or at a moment of the monotonic clock.
class Deadline {
 public:
    Deadline() = default;
    /// From `timeout` seconds, or None. Throws for anything that is neither None nor a number >= 0, naming
    /// owner.method().
    static Deadline after(PyObject* owner, const char* method, PyObject* timeout);
    bool never() const { return never_; }
    std::int64_t microseconds_left() const;

 private:
    bool never_ = true;
    std::int64_t nanoseconds_ = 0;
};

/// How a wait ended: a signal handler may have raised an exception.
enum class GateWait { kOpen, kTimeout, kRaised };

/// Waits until somebody releases the lock, and leaves it open, letting go of the interpreter meanwhile.
GateWait wait_at_gate(PyThread_type_lock gate, const Deadline& deadline);

/// Waits until the turn has ended. Throws with TimeoutError, DeadlockError or what a signal handler raised.
void wait_for_turn(TurnObject* turn, const Deadline& deadline);

/// Calls threadproof.maps.contract.NAME(...), which raises: the words of an error stand in one place.
[[noreturn]] void refuse(const char* name, PyObject* owner, const char* method, PyObject* argument);

}  // namespace threadproof::ext
