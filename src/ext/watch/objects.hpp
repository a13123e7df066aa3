/// The objects that threads wait at, as the program knows them.
///
/// A thread blocks at a lock of CPython, but the program may have called Queue.get(). The standard library's
/// functions that wait are rows, given by Python: the outermost row of the innermost frames names the object, which
/// is the function's first argument.
#pragma once

#include "ext/probe/events.hpp"

#ifdef THREADPROOF_PROBE

#include <array>
#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/watch/ledger.hpp"
#include "ext/python/ref.hpp"

namespace threadproof::ext {

/// A function of a library that waits.
struct WaitRow {
    std::string kind;               // "Queue"
    std::string step;               // "get"
    std::vector<std::string> path;  // the attributes from the object to the lock that was created with it
    bool waits;                     // for another thread's step; false: for a lock of the object
    bool names;                     // its first argument is the object
};

/// An object that a thread has waited at, by one kind of step.
struct WaitObject {
    std::string kind, step;
    bool waits;
    std::uint32_t created;  // the stack of its creation; 0: not known
};

/// Invariants:
/// 1. An entry of `known` has the number of an element of `objects`.
/// 2. An entry is of the object at its address as long as its weak reference is alive; without one, for ever.
///
/// Field            | written                   | read  | guard
/// -----------------|---------------------------|-------|---------------------------------------------
/// rows             | once, before the session  | plain | never changes
/// by_code, known,  | plain                     | plain | mutex, under which no function of CPython runs
/// objects          |                           |       |
/// Shelf::created   | plain                     | plain | Shelf::mutex
class WaitObjects {
 public:
    void set_rows(PyObject* rows);  // [(file, function, kind, step, path, waits, names), ...]; throws

    /// The number of the object at which the calling thread is about to block: `object`, or that of a row.
    watch::LockNumber number_of(PyObject* object);

    void note_creation(PyObject* object, std::uint32_t stack);

    std::vector<WaitObject> objects() const {
        std::lock_guard hold(mutex_);
        return objects_;
    }

    /// Asserts the invariants; std::logic_error if one is broken.
    void check() const;

 private:
    struct Key {
        PyObject* object;
        const WaitRow* row;
        bool waits;
        friend bool operator==(const Key&, const Key&) = default;
    };
    struct Hash {
        std::size_t operator()(const Key& key) const {
            auto hash =
                reinterpret_cast<std::uintptr_t>(key.object) >> 4 ^ reinterpret_cast<std::uintptr_t>(key.row);
            return hash * 2 + key.waits;
        }
    };
    struct Entry {
        PyObject* weak;  // owned, or null
        watch::LockNumber number;
    };
    struct alignas(64) Shelf {
        std::mutex mutex;
        std::unordered_map<std::uintptr_t, std::uint32_t> created;
    };

    Key key_of(PyObject* object);
    const WaitRow* row_of(PyObject* code);
    WaitObject describe(const Key& key);
    std::uint32_t creation_of(PyObject* object);
    std::uint32_t creation_at(PyObject* object, const std::vector<std::string>& path);
    Shelf& shelf_of(PyObject* object) {
        return shelves_[reinterpret_cast<std::uintptr_t>(object) >> 6 & (kShelves - 1)];
    }

    static constexpr std::size_t kShelves = 64;  // more than threads create locks at once
    static constexpr std::size_t kMostCreated =
        4096;  // of a shelf: 10 MB in all; later creations are not known

    std::unordered_map<std::string, WaitRow> rows_;  // by file:function
    mutable std::mutex mutex_;
    std::unordered_map<PyObject*, const WaitRow*> by_code_;  // owned, as far as there are rows
    std::unordered_map<Key, Entry, Hash> known_;
    std::vector<WaitObject> objects_;
    std::array<Shelf, kShelves> shelves_;
};

}  // namespace threadproof::ext

#endif
