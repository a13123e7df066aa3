/// What a user's comparison said of the keys it was asked about.
///
/// A search lets go of everything while it asks. If the chain has changed when it comes back it begins again,
/// and need not ask again: so the number of calls is bounded by the number of keys, whatever the comparison
/// does to the map meanwhile.
#pragma once

#include <cstdint>
#include <new>
#include <vector>

#include "core/base/threads.hpp"

namespace threadproof {

/// Whether a stored key is the one looked for. kAsk: only a user's code can tell.
enum class Match : std::uint8_t { kNo, kYes, kAsk, kError };

/// Used by one search, in one thread. Holds the keys, so that no other key can come to have the address of
/// one of them.
template <class P>
class Answers {
 public:
    Answers() = default;
    Answers(const Answers&) = delete;
    Answers& operator=(const Answers&) = delete;
    ~Answers() {
        if (last_.key) P::drop(last_.key);
        for (const Answer& a : earlier_) P::drop(a.key);
    }

    /// Takes over the reference to the key. False when there is no memory; the reference is dropped.
    bool add(Word key, bool same) {
        try {
            if (last_.key) earlier_.push_back(last_);
            last_ = {key, same ? Match::kYes : Match::kNo};
            return true;
        } catch (const std::bad_alloc&) {
            P::drop(key);
            return false;
        }
    }

    /// What was said of a key, or kAsk.
    Match recall(Word key) const {
        if (last_.key == key) return last_.said;
        if (!restarted_) return Match::kAsk;  // a search that goes on meets only new keys
        for (const Answer& a : earlier_)
            if (a.key == key) return a.said;
        return Match::kAsk;
    }

    /// From now on keys may come again.
    void restart() { restarted_ = true; }

 private:
    struct Answer {
        Word key = 0;
        Match said = Match::kAsk;
    };

    Answer last_;  // mostly the only one: no allocation for it
    std::vector<Answer> earlier_;
    bool restarted_ = false;
};

}  // namespace threadproof
