/// The computations that run in a map: how many, at which keys, by which threads, since when.
///
/// Those that other threads of a parent process had begun do not count in a forked child. A reservation is placed
/// in the map after it has entered the list, which orders the two for drain(), which counts with the map
/// quiesced.
///
/// Field                       | written        | read           | guard
/// ----------------------------|----------------|----------------|----------
/// newest_, reservation.newer, | plain          | plain          | the lock
/// .older                      |                |                |
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "core/base/locks.hpp"
#include "ext/maps/reservation.hpp"

namespace threadproof::ext {

/// Zeroed memory is an empty one.
class ComputationList {
 public:
    void begin(Reservation* reservation) {
        std::lock_guard hold(lock_);
        reservation->older = newest_;
        if (newest_) newest_->newer = reservation;
        newest_ = reservation;
    }
    void end(Reservation* reservation) {
        std::lock_guard hold(lock_);
        if (reservation->older) reservation->older->newer = reservation->newer;
        (reservation->newer ? reservation->newer->older : newest_) = reservation->older;
    }
    std::int64_t running() {
        std::int64_t count = 0;
        each([&](Reservation*) { ++count; });
        return count;
    }

    /// A list of tuples (key, the thread's identifier, seconds since the beginning), the newest first. Throws.
    PyObject* describe() {
        std::vector<Ref> found;
        for (std::size_t room = 4, count = 0;; room = count + 4) {
            found.reserve(room);
            count = 0;
            each([&](Reservation* reservation) {
                if (found.size() < found.capacity()) found.push_back(Ref::borrow(reservation->object()));
                ++count;
            });
            if (count == found.size()) break;
            found.clear();
        }
        Ref list = Ref::steal(checked(PyList_New(0)));
        for (const Ref& each : found) {
            auto* reservation = reinterpret_cast<Reservation*>(each.get());
            Ref row = Ref::steal(checked(
                Py_BuildValue("(Okd)", reservation->key, reservation->owner, reservation->seconds())));
            if (PyList_Append(list.get(), row.get()) < 0) throw PythonError{};
        }
        return list.release();
    }

 private:
    template <class Visit>
    void each(Visit visit) {
        std::lock_guard hold(lock_);
        for (Reservation* each = newest_; each; each = each->older)
            if (!each->orphaned()) visit(each);
    }

    ByteLock lock_;
    Reservation* newest_;  ///< borrowed: it leaves the list before it dies
};

}  // namespace threadproof::ext
