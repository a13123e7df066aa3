/// The common parts of the core's maps: their policy, the outcomes of their operations, and the frames of the
/// steps on a whole map.
#pragma once

#include <cstdint>
#include <deque>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include "core/base/count.hpp"
#include "core/base/gate.hpp"
#include "core/base/hints.hpp"
#include "core/base/reclaim.hpp"
#include "core/maps/equality_cache.hpp"

namespace threadproof {

/// The outcome of an operation on one key.
enum class Outcome : std::uint8_t {
    kAbsent,    ///< there was no such key
    kPresent,   ///< there was
    kBusy,      ///< a computation has reserved the key; nothing was changed
    kError,     ///< the policy's equal() failed; nothing was changed
    kNoMemory,  ///< nothing was changed
};

/// A map's policy defines its keys and values. Both are words; 0 is none. A value's lowest bit marks a
/// reservation, an object that replaces the value while a computation runs; its second bit is never set. A
/// policy P has:
///
///     kThreads                 false where a global lock serialises all calls: locks, pins and the gate vanish
///     Lookup                   the key of a call; has .hash
///     same(word, lookup)       whether the words alone, with equal hashes, show that the keys are equal
///     match(word, lookup)      native comparison; may read the stored key without retaining it
///     equal(word, lookup)      the user's comparison, of a retained key: kNo, kYes or kError
///     as_good(word, lookup)    whether storing the key of the call may keep the equal stored key instead; pinned
///     key_to_store(lookup)     the word to store for the key, with a reference of its own
///     retain(word)             one more reference, to an object that cannot go away meanwhile
///     try_retain(word)         one more reference to an object that may be dying; false: only under its lock
///     enable_try_retain(word)  makes try_retain succeed until the object dies, which it does not meanwhile
///     release(word)            one reference less; may run any code
///     deferred(word)           whether match() reads such keys: they must outlive the pinned readers
///     weight(word)             about how many bytes such a key keeps alive
///     old_value(word)          the value that readers see during a reservation's computation, or 0
///     prefetch(key, value)     fetches the objects into the processor's cache; the words may be wrong
template <class P>
class MapBase {
 public:
    using Lookup = typename P::Lookup;

    struct Entry {
        Word key, value;
    };
    /// An entry taken out of a map, with the hash of its key.
    struct TakenEntry : Entry {
        std::uint64_t hash;
    };
    using Entries = std::deque<Entry>;  ///< grows without moving its entries: writers wait for a push_back

    static constexpr Word kReservation = 1;
    TP_HOT static bool is_reservation(Word value) { return value & kReservation; }

    /// The position of an iteration: it has passed every key whose position is below `position`.
    struct Walk {
        std::uint64_t position = 0;
        bool done = false;

        /// Passes all positions that have the first `bits` bits of the present one; bits < 64.
        void pass(unsigned bits) {
            position = (position | ~std::uint64_t{0} >> bits) + 1;
            done = position == 0;
        }
    };

    /// Releases the key and the value of each entry, for references that the caller owns.
    template <class Container>
    static void release_all(Container& entries) {
        for (const Entry& entry : entries) {
            P::release(entry.key);
            if (entry.value) P::release(entry.value);
        }
        entries.clear();
    }

 protected:
    struct NoGuard {
        NoGuard() {}
        ~NoGuard() {}
    };
    using Guard = std::conditional_t<P::kThreads, Pin, NoGuard>;
    using Lock = std::conditional_t<P::kThreads, ByteLock, NoLock>;
    using Gate = std::conditional_t<P::kThreads, threadproof::Gate, NoGate>;
    using WriterSection = typename Gate::WriterSection;
    using Quiesce = typename Gate::Quiesce;
    using EqualityCache = threadproof::EqualityCache<P>;

    /// 1 if readers see a value there, else 0. A reservation must be retained, or locked in its place.
    TP_HOT static int visible(Word value) {
        return value && (!is_reservation(value) || P::old_value(value)) ? 1 : 0;
    }

    /// Replaces a retained reservation by the value that readers see, retained.
    TP_COLD static Outcome resolve(Word* value) {
        Word reservation = *value, seen = P::old_value(reservation);
        if (seen) P::retain(seen);
        P::release(reservation);
        *value = seen;
        return seen ? Outcome::kPresent : Outcome::kAbsent;
    }

    /// Calls the user's comparison for a retained key, which the cache takes over. kPresent: the answer is in
    /// the cache.
    TP_HOT static Outcome ask(Word key, const Lookup& lookup, EqualityCache& cache) {
        Match match = P::equal(key, lookup);
        if (match == Match::kError) {
            P::release(key);
            return Outcome::kError;
        }
        return cache.add(key, match == Match::kYes) ? Outcome::kPresent : Outcome::kNoMemory;
    }

    static unsigned my_stripe() {
        if constexpr (P::kThreads) return Threads::mine().index;
        else return 0;
    }

    /// The count at one instant within this call.
    static std::int64_t exact(const StripedCount& counted, Gate& gate) {
        // A try fails only when a change overlaps its few nanoseconds: 64 that fail are a storm of changes.
        std::int64_t count = 0;
        for (int tries = 0; tries < 64; ++tries)
            if (counted.try_read(&count)) return count;
        Quiesce quiesce(gate);
        counted.try_read(&count);
        return count;
    }

    /// Detaches all entries of a map in one atomic step, and releases them afterwards, in this thread.
    template <class Map>
    static void clear(Map& map) {
        release_detached(map, map.detach([](std::int64_t) { return true; }));
    }

    /// Releases the entries of a detached part of a map, and frees it.
    template <class Map, class Detached>
    static void release_detached(Map& map, Detached detached) {
        map.take_all(detached, [](Entry entry) {
            Map::release_key(entry.key);
            P::release(entry.value);
        });
        map.retire(detached);
    }

    /// The frame of next_batch(): calls copy(walk, batch), which appends one piece of the map and passes it,
    /// until there are as many entries as wanted. False at the end. The walk advances only when a piece has been
    /// copied; if there is no memory for a piece, those before it are the result.
    template <class Copy>
    static bool next_batch(Walk& walk, std::vector<Entry>& batch, std::size_t wanted, Copy copy) {
        batch.clear();
        while (batch.size() < wanted && !walk.done) {
            Walk next = walk;
            const std::size_t before = batch.size();
            try {
                copy(next, batch);
            } catch (const std::bad_alloc&) {
                if (before == 0 || batch.size() != before) throw;  // nothing whole has been copied
                break;
            }
            walk = next;
        }
        return !batch.empty();
    }

    /// get_group() of a map that prefetches nothing: get() for each key; calls each(i, outcome, value) for them in
    /// order. After an outcome that is an error there are no more calls.
    template <class Map, class Each>
    static void get_each(Map& map, const Lookup* lookups, unsigned count, Each each) {
        Outcome outcome = Outcome::kPresent;
        for (unsigned i = 0; i < count && outcome <= Outcome::kPresent; ++i) {
            Word value = 0;
            outcome = map.get(lookups[i], &value);
            each(i, outcome, value);
        }
    }

    /// Asserts what every map that counts by stripes promises while no thread is changing it: its length is
    /// the number of keys `seen`, and no thread is in the middle of a step on the whole map.
    template <class Count, class MapGate>
    static void check_at_rest(Count& count, MapGate& gate, std::int64_t seen) {
        std::int64_t read = -1;
        require(count.check(), "no more changes of the count have ended than begun");
        require(count.try_read(&read), "no change is under way");
        require(read == seen, "len() is the number of keys");
        gate.check();
        Threads::check();
        Reclaimer::check();
    }

    static void require(bool holds, const char* invariant) {
        if (!holds) throw std::logic_error(invariant);
    }
};

}  // namespace threadproof
