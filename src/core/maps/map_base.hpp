/// What the maps of the core have in common: what they ask of a policy, what they answer, and how they look
/// at values.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <type_traits>

#include "core/base/count.hpp"
#include "core/base/gate.hpp"
#include "core/base/hints.hpp"
#include "core/base/reclaim.hpp"
#include "core/maps/answers.hpp"

namespace threadproof {

/// What became of a call on one key.
enum class Outcome : std::uint8_t {
    kAbsent,    ///< there was no such key
    kPresent,   ///< there was
    kBusy,      ///< a computation has its turn at the key; nothing was changed
    kError,     ///< the policy's equal() failed; nothing was changed
    kNoMemory,  ///< nothing was changed
};

/// What a map needs to know about its keys and values, which are words (0 is none; a value's lowest bit marks
/// a turn, and its second is never set).
///
///     kThreads                     false where a global lock serialises all calls: locks, pins and the gate vanish
///     Probe                        the key looked for; has .hash
///     same(word, probe)            whether the words alone, and the equal hashes, tell that the keys are equal
///     match(word, probe)           native comparison, may look into the stored key without holding it
///     equal(word, probe)           the user's comparison, of a held key: kNo, kYes or kError
///     stored(probe)                the word to store for the key, with a reference of its own
///     hold(word)                   one more reference, to something that cannot go away meanwhile
///     try_hold(word)               one more reference to something that may be dying; false: only under its lock
///     open(word)                   makes try_hold succeed from now on, until it dies; for what cannot go away meanwhile
///     drop(word)                   one reference less; may run any code
///     deferred(word)               whether match() looks into such keys, so that they must outlive the pinned readers
///     weight(word)                 about how many bytes such a key keeps alive
///     behind(turn)                 the value that readers see while a computation has its turn, or 0
template <class P>
class MapBase {
 public:
    using Probe = typename P::Probe;

    struct Entry {
        Word key, value;
    };

    static constexpr Word kTurn = 1;
    TP_HOT static bool is_turn(Word value) { return value & kTurn; }

    /// For references of the caller's own.
    template <class Container>
    static void drop_all(Container& entries) {
        for (const Entry& entry : entries) {
            P::drop(entry.key);
            if (entry.value) P::drop(entry.value);
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
    using Section = typename Gate::Section;
    using Closed = typename Gate::Closed;
    using Answers = threadproof::Answers<P>;

    /// Whether readers see something there. A turn must be held, or be locked in its place.
    TP_HOT static int visible(Word value) { return value && (!is_turn(value) || P::behind(value)) ? 1 : 0; }

    /// Replaces a held turn by the held value that readers see behind it.
    TP_COLD static Outcome look_behind(Word* value) {
        Word turn = *value, seen = P::behind(turn);
        if (seen) P::hold(seen);
        P::drop(turn);
        *value = seen;
        return seen ? Outcome::kPresent : Outcome::kAbsent;
    }

    /// Asks the user's comparison about a held key; kPresent when the answer is known now.
    TP_HOT static Outcome ask(Word key, const Probe& probe, Answers& answers) {
        Match match = P::equal(key, probe);
        if (match == Match::kError) {
            P::drop(key);
            return Outcome::kError;
        }
        return answers.add(key, match == Match::kYes) ? Outcome::kPresent : Outcome::kNoMemory;
    }

    static unsigned my_stripe() {
        if constexpr (P::kThreads) return Threads::mine().index;
        else return 0;
    }

    /// The count at one instant within this call.
    static std::int64_t exact(const StripedCount& counted, Gate& gate) {
        std::int64_t count = 0;
        for (int tries = 0; tries < 64;
             ++tries)  // one try fails only when a change overlaps its few nanoseconds
            if (counted.try_read(&count)) return count;
        Closed closed(gate);
        counted.try_read(&count);
        return count;
    }

    static void require(bool holds, const char* invariant) {
        if (!holds) throw std::logic_error(invariant);
    }
};

}  // namespace threadproof
