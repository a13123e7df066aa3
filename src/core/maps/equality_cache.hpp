/// The answers of a user's comparison for the keys that one search has compared.
///
/// A search releases everything while it calls the comparison. If the chain has changed afterwards, the
/// search begins again, and finds the answers here instead of calling again. So the number of calls is
/// bounded by the number of keys, whatever the comparison does to the map meanwhile.
#pragma once

#include <cstdint>
#include <new>
#include <vector>

#include "core/base/threads.hpp"

namespace threadproof {

/// Whether a stored key equals the one looked for. kAsk: only a user's code can decide.
enum class Match : std::uint8_t { kNo, kYes, kAsk, kError };

/// Belongs to one search, in one thread. Retains the keys, so that no other key can be allocated at the
/// address of one of them.
template <class P>
class EqualityCache {
 public:
    EqualityCache() = default;
    EqualityCache(const EqualityCache&) = delete;
    EqualityCache& operator=(const EqualityCache&) = delete;
    ~EqualityCache() {
        if (last_.key) P::release(last_.key);
        for (const Answer& each : earlier_) P::release(each.key);
    }

    /// Takes over the reference to the key. False when there is no memory; the reference is released.
    bool add(Word key, bool equal) {
        try {
            if (last_.key) earlier_.push_back(last_);
            last_ = {key, equal ? Match::kYes : Match::kNo};
            return true;
        } catch (const std::bad_alloc&) {
            P::release(key);
            return false;
        }
    }

    /// The answer about a key, or kAsk.
    Match recall(Word key) const {
        if (last_.key == key) return last_.match;
        if (!restarted_) return Match::kAsk;  // a search that was not restarted sees only new keys
        for (const Answer& each : earlier_)
            if (each.key == key) return each.match;
        return Match::kAsk;
    }

    /// From now on the search may see the same keys again.
    void restart() { restarted_ = true; }

 private:
    struct Answer {
        Word key = 0;
        Match match = Match::kAsk;
    };

    Answer last_;  // most searches ask about one key: no allocation for that
    std::vector<Answer> earlier_;
    bool restarted_ = false;
};

}  // namespace threadproof
