/// Sequences that occur again and again, such as call stacks, kept once each and named by a number.
///
/// Invariants: 1. number 0 is the empty sequence; 2. equal sequences get equal numbers; 3. nothing is ever taken out, so a
/// number stays good; what comes when the depot is full counts as empty. One lock guards it: only the
/// detector's slow path comes here.
#pragma once

#include <cstdint>
#include <mutex>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <vector>

namespace threadproof::race {

template <class Item>
class Depot {
 public:
    static_assert(std::has_unique_object_representations_v<Item>, "sequences are hashed as bytes");
    using Sequence = std::vector<Item>;

    explicit Depot(std::uint32_t most = ~std::uint32_t{0}) : most_(most) {}

    /// The sequence's number; `on_first(sequence)` is called, under the lock, if it was not there before.
    template <class OnFirst>
    std::uint32_t number_of(const Sequence& sequence, OnFirst&& on_first) {
        if (sequence.empty()) return 0;
        std::lock_guard hold(mutex_);
        if (by_number_.size() == most_ && !numbers_.contains(sequence)) return 0;
        auto [place, fresh] =
            numbers_.try_emplace(sequence, static_cast<std::uint32_t>(by_number_.size()) + 1);
        if (fresh) {
            by_number_.push_back(&place->first);  // the nodes of the table do not move
            on_first(place->first);
        }
        return place->second;
    }
    std::uint32_t number_of(const Sequence& sequence) {
        return number_of(sequence, [](const Sequence&) {});
    }

    Sequence get(std::uint32_t number) const {
        std::lock_guard hold(mutex_);
        return number == 0 ? Sequence{} : *by_number_[number - 1];
    }

    /// For a fork: nobody is in the middle of a step from hold_still() to let_go().
    void hold_still() { mutex_.lock(); }
    void let_go() { mutex_.unlock(); }

 private:
    struct Hash {
        std::size_t operator()(const Sequence& sequence) const {
            const char* bytes = reinterpret_cast<const char*>(sequence.data());
            return std::hash<std::string_view>{}({bytes, sequence.size() * sizeof(Item)});
        }
    };

    const std::uint32_t most_;
    mutable std::mutex mutex_;
    std::unordered_map<Sequence, std::uint32_t, Hash> numbers_;
    std::vector<const Sequence*> by_number_;
};

/// What a thread remembers of a depot, so that it need not go there again for what it has just asked: a cache
/// by a hash of 64 bits, which is taken for the sequence itself.
template <std::size_t kEntries>
class Memo {
 public:
    /// The number that goes with this hash, or `ask()`'s, which is then remembered.
    template <class Ask>
    std::uint32_t number_of(std::uint64_t hash, Ask&& ask) {
        Entry& entry = entries_[hash % kEntries];
        if (entry.number == 0 || entry.hash != hash) entry = {hash, ask()};
        return entry.number;
    }

    /// It is asked no more.
    void free() { entries_ = {}; }

 private:
    struct Entry {
        std::uint64_t hash = 0;
        std::uint32_t number = 0;
    };
    std::vector<Entry> entries_ = std::vector<Entry>(kEntries);
};

/// The hash of a sequence that is seen word by word; start with kHashSeed.
inline constexpr std::uint64_t kHashSeed = 0x9E3779B97F4A7C15u;
inline std::uint64_t hash_on(std::uint64_t hash, std::uint64_t word) {
    hash = (hash ^ word) * 0xD6E8FEB86659FD93u;  // odd, and half of its bits set
    return hash ^ hash >> 32;
}

}  // namespace threadproof::race
