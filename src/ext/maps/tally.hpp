/// What count_many counts in, before it goes to the map.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <utility>
#include <vector>

#include "ext/maps/map_parts.hpp"

namespace threadproof::ext {

/// Counts of the last keys seen, so that a key that comes often reaches the map seldom: threads that count
/// the same words would otherwise wait for each other's cache lines all the time. A key has two places; who
/// finds both taken sets the older one aside, and those set aside go to the map together. Keys of one hash go
/// in the order they came, for it is the first that a map keeps.
///
/// Keys are counted where they are, in a list with its lock held, and a reference is taken only to what is
/// counted for the first time: it is the references that cost, most of all to keys that other threads count,
/// too. Nothing is called then that could run any code, so what is set aside waits for the end of the piece.
/// Before each piece, a piece's keys find room there.
template <class Native>
class Tally {
 public:
    /// For so many keys. Throws bad_alloc.
    Tally(PyObject* self, PyObject* delta, Py_ssize_t keys)
        : self_(self),
          delta_(delta),
          pairs_(std::bit_ceil(std::clamp<std::size_t>(static_cast<std::size_t>(keys), 1, kMostPairs))),
          mask_(pairs_.size() - 1) {
        // a thread's first step in a map can fail for want of memory: now, with nothing to lose
        core().prefetch_group(aside_, 0);
    }

    /// Counts keys, or, where there is an error, those before it.
    void count_all(Sequence& keys) {
        for (Py_ssize_t done = 0; done < keys.size();) {
            Py_ssize_t end = std::min(done + Sequence::kPiece, keys.size());
            done += keys.in_place(
                done, [&](PyObject* const* items, Py_ssize_t size) { return count_atoms(items, size); });
            for (; done < end; ++done) count(Probe(keys[done]));  // from a copy of the rest
            if (asides_ > kRoom - Sequence::kPiece) put_asides();
        }
    }

    /// Brings what is left into the map, all of it, and then goes on with the first error: `error`, or one
    /// met here.
    void finish(Raised& error) {
        put_all(error);
        for (Pair& pair : pairs_) {
            for (Counted* counted : {&pair.older, &pair.newer}) {
                set_aside(*counted);
                if (asides_ == kRoom) put_all(error);
            }
        }
        put_all(error);
        error.rethrow();
    }

 private:
    struct Counted {
        Probe probe;  ///< its key is held, if times is not 0
        std::int64_t times;

        TP_HOT bool counts(const Probe& other) const {
            return times && probe.hash == other.hash && Policy::match(probe.word, other) == Match::kYes;
        }
    };
    struct alignas(64) Pair {  // 64: a cache line
        Counted newer, older;
    };
    static constexpr unsigned kGroup = Native::kGroup;
    // 256 KiB, part of a second-level cache. With 1,000 keys at random, 1 in 40 finds its places taken; with
    // one place for a key and the same memory, 1 in 15.
    static constexpr std::size_t kMostPairs = stress::shrunk(std::size_t{4096}, std::size_t{4});
    static constexpr std::int64_t kSmallDelta = 1 << 20;  // times 2^39 keys still fits a small int
    // 4 groups: then the last one, not full, is one of many
    static constexpr unsigned kRoom = Sequence::kPiece + 4 * kGroup;

    decltype(auto) core() const { return Native::core(self_); }

    /// Counts keys as long as hashing and comparing them calls nobody; returns how many.
    Py_ssize_t count_atoms(PyObject* const* keys, Py_ssize_t size) {
        for (Py_ssize_t i = 0; i < size; ++i) {
            __builtin_prefetch(keys[std::min<Py_ssize_t>(i + kGroup, size - 1)]);
            Probe probe;
            if (TP_UNLIKELY(!probe.look_quickly(keys[i]))) {
                if (!is_atom(keys[i])) return i;
                probe.look_at(keys[i]);
            }
            count(probe);
        }
        return size;
    }

    TP_HOT void count(const Probe& probe) {
        Pair& pair = pairs_[probe.hash & mask_];
        if (TP_LIKELY(pair.newer.counts(probe))) return void(++pair.newer.times);
        count_another(pair, probe);
    }

    /// A key that is not the pair's newer one.
    TP_APART void count_another(Pair& pair, Probe probe) {
        if (pair.older.counts(probe)) return void(++pair.older.times);
        set_aside(pair.older);
        pair.older = pair.newer;
        pair.newer = {probe, 1};
        pair.newer.probe.word = Policy::stored(probe);
    }

    void set_aside(Counted& counted) {
        if (!counted.times) return;
        aside_[asides_] = counted.probe;
        times_[asides_++] = std::exchange(counted.times, 0);
    }

    /// Raises the first error, and then there may be some left.
    void put_asides() {
        while (put_ < asides_) {
            unsigned end = std::min(put_ + kGroup, asides_);
            core().prefetch_group(aside_ + put_, end - put_);
            while (put_ < end) {
                const Probe& probe = aside_[put_];
                Ref key = Ref::steal(Policy::object(probe.word));
                put(key.get(), probe, times_[put_++]);
            }
        }
        asides_ = put_ = 0;
    }

    /// Notes the first error, and goes on.
    void put_all(Raised& first) {
        while (asides_) {  // again after an error
            Raised another;
            try {
                put_asides();
            } catch (const PythonError&) {
                another.fetch();
            } catch (const std::bad_alloc&) {
                PyErr_NoMemory();
                another.fetch();
            }
            if (!first) first = std::move(another);
        }
    }

    /// Many small ints are added as one; other numbers, which could round, and other objects, one by one.
    void put(PyObject* key, const Probe& probe, std::int64_t times) {
        std::int64_t number;
        if (PyLong_CheckExact(delta_) && small_int(delta_, &number) && std::abs(number) <= kSmallDelta) {
            if (Native::add_small(self_, probe, number * times, zero)) return;
        }
        for (std::int64_t i = 0; i < times; ++i) Native::add(self_, probe, key, delta_, zero);
    }

    PyObject* self_;
    PyObject* delta_;
    std::vector<Pair> pairs_;
    std::size_t mask_;
    Probe aside_[kRoom];
    std::int64_t times_[kRoom];
    unsigned asides_ = 0, put_ = 0;  ///< how many were set aside, and how many of them are in the map
};

}  // namespace threadproof::ext
