/// Tally: the counts of count_many before they go to the map.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <utility>
#include <vector>

#include "ext/maps/native_map/add.hpp"
#include "ext/maps/native_map/sequence.hpp"

namespace threadproof::ext {

/// Counts of the keys seen last, so that a frequent key reaches the map seldom: otherwise threads that count
/// the same words would wait for each other's cache lines all the time. A key has two places; if both are
/// taken, the count in the older one is set aside, and the counts set aside go to the map together. Keys of
/// one hash go in the order in which they came, because the map keeps the first of equal keys.
///
/// Keys are counted where they are, in a list with its lock held, and a reference is taken only to a key that
/// is counted for the first time: references are expensive, most of all to keys that other threads count too.
/// No user code can run then, so the counts set aside wait until the end of the piece. Before each piece
/// there is room for all its keys among them.
template <class Map>
class Tally {
 public:
    /// For that many keys. Throws bad_alloc.
    Tally(MapObject<Map>& map, PyObject* delta, Py_ssize_t keys)
        : map_(map),
          delta_(delta),
          pairs_(std::bit_ceil(std::clamp<std::size_t>(static_cast<std::size_t>(keys), 1, kMostPairs))),
          mask_(pairs_.size() - 1) {
        // the first step of a thread in a map can fail for want of memory: now there is nothing to lose
        map_.core().prefetch_group(aside_, 0);
    }

    /// Counts keys; if it throws, those before the error.
    void count_all(Sequence& keys) {
        for (Py_ssize_t done = 0; done < keys.size();) {
            Py_ssize_t end = std::min(done + Sequence::kPiece, keys.size());
            done += keys.in_place(
                done, [&](PyObject* const* items, Py_ssize_t size) { return count_atoms(items, size); });
            for (; done < end; ++done) count(Lookup(keys[done]));  // from a copy of the rest
            if (asides_ > kRoom - Sequence::kPiece) put_asides();
        }
    }

    /// Brings all counts into the map, and then throws the first error: `error`, or one that comes up here.
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
        Lookup lookup;  ///< has a reference to its key, if times is not 0
        std::int64_t times;

        TP_HOT bool counts(const Lookup& other) const {
            return times && lookup.hash == other.hash && Policy::match(lookup.word, other) == Match::kYes;
        }
    };
    struct alignas(64) Pair {  // 64: a cache line
        Counted newer, older;
    };
    static constexpr unsigned kGroup = Map::kGroup;
    // 256 KiB, part of a second-level cache. With 1,000 keys at random, 1 in 40 finds its places taken; with
    // one place for a key and the same memory, 1 in 15.
    static constexpr std::size_t kMostPairs = stress::shrunk(std::size_t{4096}, std::size_t{4});
    static constexpr std::int64_t kSmallDelta = 1 << 20;  // times 2^39 keys still fits a small int
    // a piece, and 4 groups: then the last group, which is not full, is one of many
    static constexpr unsigned kRoom = Sequence::kPiece + 4 * kGroup;

    /// Counts keys until one comes that user code has to hash or compare; returns how many.
    Py_ssize_t count_atoms(PyObject* const* keys, Py_ssize_t size) {
        for (Py_ssize_t i = 0; i < size; ++i) {
            __builtin_prefetch(keys[std::min<Py_ssize_t>(i + kGroup, size - 1)]);
            Lookup lookup;
            if (TP_UNLIKELY(!lookup.set_quickly(keys[i]))) {
                if (!is_atom(keys[i])) return i;
                lookup.set(keys[i]);
            }
            count(lookup);
        }
        return size;
    }

    TP_HOT void count(const Lookup& lookup) {
        Pair& pair = pairs_[lookup.hash & mask_];
        if (TP_LIKELY(pair.newer.counts(lookup))) ++pair.newer.times;
        else count_another(pair, lookup);
    }

    /// A key that is not the pair's newer one.
    TP_APART void count_another(Pair& pair, Lookup lookup) {
        if (pair.older.counts(lookup)) {
            ++pair.older.times;
            return;
        }
        set_aside(pair.older);
        pair.older = pair.newer;
        pair.newer = {lookup, 1};
        pair.newer.lookup.word = Policy::key_to_store(lookup);
    }

    void set_aside(Counted& counted) {
        if (!counted.times) return;
        aside_[asides_] = counted.lookup;
        times_[asides_++] = std::exchange(counted.times, 0);
    }

    /// Adds the counts set aside. Throws at the first error; some may be left then.
    void put_asides() {
        while (put_ < asides_) {
            unsigned end = std::min(put_ + kGroup, asides_);
            map_.core().prefetch_group(aside_ + put_, end - put_);
            while (put_ < end) {
                const Lookup& lookup = aside_[put_];
                Ref key = Ref::steal(Policy::object(lookup.word));
                put(key.get(), lookup, times_[put_++]);
            }
        }
        asides_ = put_ = 0;
    }

    /// The same, but continues after errors, and keeps the first.
    void put_all(Raised& first) {
        while (asides_) {
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

    /// Many small ints are added as one. Other numbers could round, and other objects have their own +: those
    /// are added one by one.
    void put(PyObject* key, const Lookup& lookup, std::int64_t times) {
        WatchedChange change(map_, lookup, key);
        std::int64_t number;
        bool small =
            PyLong_CheckExact(delta_) && small_int(delta_, &number) && std::abs(number) <= kSmallDelta;
        if (small && !map_.weighs()) {
            if (add_small(map_, lookup, number * times, zero)) return;
        }
        for (std::int64_t i = 0; i < times; ++i) add(map_, lookup, key, delta_, zero);
    }

    MapObject<Map>& map_;
    PyObject* delta_;
    std::vector<Pair> pairs_;
    std::size_t mask_;
    Lookup aside_[kRoom];
    std::int64_t times_[kRoom];
    unsigned asides_ = 0, put_ = 0;  ///< how many are set aside, and how many of them are in the map
};

}  // namespace threadproof::ext
