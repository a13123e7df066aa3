/// Sequence: the elements of an iterable that a method was called with.
#pragma once

#include <algorithm>
#include <optional>

#include "core/base/stress.hpp"
#include "ext/python/errors.hpp"

namespace threadproof::ext {

/// The elements of an iterable, read one after the other. A list is copied in pieces, or read in_place(): a
/// copy holds references, which have to be released too, and those of a whole list of a million keys have
/// left the cache by then. An iterable that is neither list nor tuple is read to its end first.
class Sequence {
 public:
    // Objects of 64 bytes and more: a first-level cache holds that many. A multiple of the keys that are
    // looked up together (MapObject::kGroup).
    static constexpr Py_ssize_t kPiece = stress::shrunk(256, 16);

    /// Throws.
    explicit Sequence(PyObject* iterable)
        : all_(PyList_CheckExact(iterable)
                   ? Ref::borrow(iterable)
                   : Ref::steal(checked(outliving([&] { return PySequence_Tuple(iterable); })))),
          size_(PySequence_Size(all_.get())) {
        if (PyTuple_CheckExact(all_.get())) show(all_.get(), 0);
    }

    Py_ssize_t size() const { return size_; }

    /// Borrowed, until an element of another piece is read. Throws with RuntimeError if the list has become
    /// too short for the next piece; the elements of the last piece stay borrowed then.
    PyObject* operator[](Py_ssize_t i) {
        if (TP_UNLIKELY(i < first_ || i >= end_)) copy_from(i);
        return items_[i - first_];
    }

    /// Calls see(items, count) with the elements from `first` to the end of a piece, where they are, and
    /// returns its result. A list is locked meanwhile, so see() runs no user code, and does not wait. Throws
    /// as [] does.
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

    /// Prefetches an element, if it is in the present piece.
    void prefetch(Py_ssize_t i) const {
        if (i < end_) __builtin_prefetch(items_[i - first_]);
    }

 private:
    void show(PyObject* sequence, Py_ssize_t first) {
        items_ = PySequence_Fast_ITEMS(sequence);
        first_ = first;
        end_ = first + PySequence_Fast_GET_SIZE(sequence);
    }

    /// Copies to the end of a piece, not further: the list can change before the next piece is read.
    void copy_from(Py_ssize_t first) {
        Py_ssize_t end = std::min(first - first % kPiece + kPiece, size_);
        Ref piece = Ref::steal(checked(PyList_GetSlice(all_.get(), first, end)));
        PyObject_GC_UnTrack(piece.get());  // user code cannot find and change it
        if (PyList_GET_SIZE(piece.get()) < end - first) raise_too_short(first, PySequence_Size(all_.get()));
        show(piece.get(), first);
        piece_ = std::move(piece);  // last: releasing the piece before can run any code
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

}  // namespace threadproof::ext
