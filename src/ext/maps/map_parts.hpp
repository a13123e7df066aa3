/// What the native maps are put together from, besides their cores: words, references and numbers.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <utility>
#include <vector>

#include "core/maps/map_base.hpp"
#include "ext/maps/python_policy.hpp"
#include "ext/maps/turn.hpp"

namespace threadproof::ext {

using Policy = PythonPolicy;
using Probe = Policy::Probe;

/// How many computations run in a map, in this process: those of a parent's other threads do not count in a
/// forked child. Relaxed: drain() reads it with the map stopped, and placing a turn in the map, which comes
/// later, orders it.
class TurnCount {
 public:
    void begin() {
        for (std::uint64_t seen = packed_.load(std::memory_order_relaxed);;) {
            std::uint64_t next = (seen >> 32 == now() ? seen : now() << 32) + 1;
            if (packed_.compare_exchange_weak(seen, next, std::memory_order_relaxed)) return;
        }
    }
    void end() {
        std::uint64_t seen = packed_.load(std::memory_order_relaxed);
        while (seen >> 32 == now() && (seen & 0xffffffff)
               && !packed_.compare_exchange_weak(seen, seen - 1, std::memory_order_relaxed)) {
        }
    }
    std::int64_t running() const {
        std::uint64_t seen = packed_.load(std::memory_order_relaxed);
        return seen >> 32 == now() ? static_cast<std::int64_t>(seen & 0xffffffff) : 0;
    }

 private:
    static std::uint64_t now() { return process_generation.load(std::memory_order_relaxed); }
    std::atomic<std::uint64_t> packed_;  ///< [generation of the process][count]
};

/// A value on its way into the map: counted once for the slot, given back if it does not get there.
class Incoming {
 public:
    explicit Incoming(PyObject* value) : object_(Py_NewRef(value)) {}
    ~Incoming() { drop_reference(object_); }
    Incoming(const Incoming&) = delete;
    Incoming& operator=(const Incoming&) = delete;

    Word word() const { return Policy::value(object_); }
    Word give() { return Policy::value(std::exchange(object_, nullptr)); }

 private:
    PyObject* object_;
};

inline Ref taken(Word value) { return Ref::steal(value ? Policy::object(value) : nullptr); }

/// Turns what cannot be answered into an exception.
TP_HOT Outcome answered(Outcome outcome) {
    if (TP_LIKELY(outcome <= Outcome::kPresent)) return outcome;
    if (outcome == Outcome::kNoMemory) throw std::bad_alloc();
    throw PythonError{};
}

/// Identity and then ==, or what the user's function says.
bool values_equal(PyObject* current, PyObject* expected, PyObject* equal);

inline PyObject* or_none(Ref value) { return value ? value.release() : Py_NewRef(Py_None); }

inline PyObject* call(PyObject* fn, PyObject* first, PyObject* second = nullptr) {
    PyObject* arguments[] = {first, second};
    return outliving([&] { return PyObject_Vectorcall(fn, arguments, second ? 2 : 1, nullptr); });
}

/// Whether adding it to its like calls nothing but CPython.
inline bool is_number(PyObject* object) { return PyLong_CheckExact(object) || PyFloat_CheckExact(object); }

inline PyObject* one;   ///< the int 1
inline PyObject* zero;  ///< the int 0

/// The elements of an iterable, to be asked for one after the other. A list is copied piece by piece, or
/// looked at in_place(), for a copy has to give its elements up, too: of a whole list of a million keys, they
/// have left the cache by then. What is neither list nor tuple is read to its end first.
class Sequence {
 public:
    // Objects of 64 bytes and more: so many fit a first-level cache. A multiple of what is looked up
    // together.
    static constexpr Py_ssize_t kPiece = stress::shrunk(256, 16);

    explicit Sequence(PyObject* iterable)
        : all_(PyList_CheckExact(iterable)
                   ? Ref::borrow(iterable)
                   : Ref::steal(checked(outliving([&] { return PySequence_Tuple(iterable); })))),
          size_(PySequence_Size(all_.get())) {
        if (PyTuple_CheckExact(all_.get())) show(all_.get(), 0);
    }

    Py_ssize_t size() const { return size_; }

    /// Borrowed, until an element of another piece has been copied. Raises RuntimeError, and what was lent
    /// before stays lent, where the list has become too short for the next piece.
    PyObject* operator[](Py_ssize_t i) {
        if (TP_UNLIKELY(i < first_ || i >= end_)) copy_from(i);
        return items_[i - first_];
    }

    /// Shows the elements of a piece, or what is left, from `first` on where they are: returns see(items,
    /// count). A list is locked meanwhile, so see() runs no code of the user's, and does not wait. Raises as
    /// [] does.
    template <class See>
    Py_ssize_t in_place(Py_ssize_t first, See see) {
        Py_ssize_t end = std::min(first + kPiece, size_), there;
        {
            std::optional<CriticalSection> locked;
            if (!PyTuple_CheckExact(all_.get())) locked.emplace(all_.get());
            there = PySequence_Fast_GET_SIZE(all_.get());
            if (TP_LIKELY(there >= end)) return see(PySequence_Fast_ITEMS(all_.get()) + first, end - first);
        }
        raise_too_short(first, there);
    }

    /// Asks for the memory of an element, if it is not the next piece's.
    void prefetch(Py_ssize_t i) const {
        if (i < end_) __builtin_prefetch(items_[i - first_]);
    }

 private:
    void show(PyObject* sequence, Py_ssize_t first) {
        items_ = PySequence_Fast_ITEMS(sequence);
        first_ = first;
        end_ = first + PySequence_Fast_GET_SIZE(sequence);
    }

    /// To the end of the piece: what comes behind it may be another element by the time it is asked for.
    void copy_from(Py_ssize_t first) {
        Py_ssize_t end = std::min(first - first % kPiece + kPiece, size_);
        Ref piece = Ref::steal(checked(PyList_GetSlice(all_.get(), first, end)));
        PyObject_GC_UnTrack(piece.get());  // nobody finds it, and changes it
        if (PyList_GET_SIZE(piece.get()) < end - first) raise_too_short(first, PySequence_Size(all_.get()));
        show(piece.get(), first);
        piece_ = std::move(piece);  // after it: giving up the last piece can run any code
    }

    [[noreturn]] void raise_too_short(Py_ssize_t read, Py_ssize_t now) const {
        PyErr_Format(PyExc_RuntimeError,
                     "the list had %zd items at first, and has %zd now that %zd of them have been read",
                     size_, now, read);
        throw PythonError{};
    }

    Ref all_, piece_;
    Py_ssize_t size_;
    PyObject** items_ = nullptr;
    Py_ssize_t first_ = 0, end_ = 0;  ///< which of the elements items_ has
};

/// What a turn has come to, or, if it has not ended, the value from before it: a value of its own, or 0.
inline Word outcome_of(TurnObject* turn) {
    bool ended = turn->ended.load(std::memory_order_acquire);  // acquire: pairs with end_turn()
    return Policy::value(Py_XNewRef(ended ? turn->result : turn->old));
}

/// A secret for each map, so that nobody can aim keys at one bucket. Source of the mixer: Steele and others,
/// splitmix64.
std::uint64_t fresh_secret();

inline PyObject* remove_sentinel;  ///< threadproof.REMOVE

bool add_map_parts(PyObject* module);

/// The type, added to the module and made known to adopt_methods(); null: an exception is set.
PyTypeObject* add_native_map(PyObject* module, PyType_Spec* spec, const PyMethodDef* methods);

}  // namespace threadproof::ext
