/// The last releases of contended locks, so that a thread that has waited finds who held the lock meanwhile.
///
/// A wait from t0 to t1 may have seen several holders. Each release between t0 and t1 ends the part of its
/// holder, so the wait is divided at the releases. Go's mutex profile charges the releasing thread, too.
///
/// Invariants:
/// 1. A shelf has at most kKept releases, in the order of their times, the oldest first.
/// 2. Two locks may share a shelf; a release names its lock.
///
/// Field            | written | read  | guard
/// -----------------|---------|-------|-------------------------------
/// Shelf::releases  | plain   | plain | Shelf::mutex, for a few steps
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>

#include "core/base/locks.hpp"

namespace threadproof::watch {

using Nanoseconds = std::int64_t;  // of the monotonic clock

/// A thread that lets others go on, and where.
struct Holder {
    std::uint32_t stack = 0;   // 0: not known
    std::uint64_t thread = 0;  // 0: not known
    friend bool operator==(const Holder&, const Holder&) = default;
};

class Releases {
 public:
    void note(std::uintptr_t lock, Nanoseconds time, Holder by) {
        Shelf& shelf = shelf_of(lock);
        shelf.mutex.lock();
        shelf.releases[shelf.next++ % kKept] = {lock, time, by};
        shelf.mutex.unlock();
    }

    /// Calls part(begin, end, holder) for each part of the wait, the first first. What follows the last release
    /// belongs to the last holder, too: the thread was being woken. Without any release the holder is unknown.
    template <class Part>
    void divide(std::uintptr_t lock, Nanoseconds begin, Nanoseconds end, Part&& part) {
        std::array<Release, kKept> kept;
        std::size_t count = copy(lock, begin, end, kept);
        if (count == 0) return part(begin, end, Holder{});
        for (std::size_t i = 0; i < count; ++i) {
            Nanoseconds until = i + 1 == count ? end : kept[i].time;
            part(begin, until, kept[i].by);
            begin = until;
        }
    }

    /// No release is kept any more.
    void clear() {
        for (Shelf& shelf : shelves_) {
            shelf.mutex.lock();
            shelf.releases.fill({});
            shelf.mutex.unlock();
        }
    }

 private:
    static constexpr std::size_t kKept = 16;  // holders that a wait is divided among: more are seldom read
    static constexpr std::size_t kShelves =
        1024;  // 400 kB; few programs have as many contended locks at once

    struct Release {
        std::uintptr_t lock = 0;
        Nanoseconds time = 0;
        Holder by;
    };
    struct alignas(64) Shelf {
        ByteLock mutex;
        std::size_t next = 0;
        std::array<Release, kKept> releases{};
    };

    Shelf& shelf_of(std::uintptr_t lock) {
        // locks are 16 bytes apart or more; Fibonacci hashing spreads what is left
        return shelves_[(lock >> 4) * 0x9E3779B97F4A7C15u >> 54 & (kShelves - 1)];
    }

    std::size_t copy(std::uintptr_t lock, Nanoseconds begin, Nanoseconds end,
                     std::array<Release, kKept>& to) {
        Shelf& shelf = shelf_of(lock);
        std::size_t count = 0;
        shelf.mutex.lock();
        for (std::size_t i = 0; i < kKept; ++i) {
            const Release& each = shelf.releases[(shelf.next + i) % kKept];
            if (each.lock == lock && each.time >= begin && each.time <= end) to[count++] = each;
        }
        shelf.mutex.unlock();
        // the clock is read before the mutex is locked
        std::sort(to.begin(), to.begin() + static_cast<std::ptrdiff_t>(count),
                  [](const Release& one, const Release& other) { return one.time < other.time; });
        return count;
    }

    std::array<Shelf, kShelves> shelves_;
};

}  // namespace threadproof::watch
