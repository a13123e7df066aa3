/// Sequences that occur again and again, such as call stacks, kept once each and named by a number.
///
/// Invariants: 1. number 0 is the empty sequence; 2. equal sequences get equal numbers; 3. nothing is ever taken out, so a
/// number stays good. One lock guards it: only the detector's slow path comes here.
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

    /// The sequence's number; `on_first(sequence)` is called, under the lock, if it was not there before.
    template <class OnFirst>
    std::uint32_t number_of(const Sequence& sequence, OnFirst&& on_first) {
        if (sequence.empty()) return 0;
        std::lock_guard hold(mutex_);
        auto [place, fresh] = numbers_.try_emplace(sequence, static_cast<std::uint32_t>(by_number_.size()) + 1);
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

    mutable std::mutex mutex_;
    std::unordered_map<Sequence, std::uint32_t, Hash> numbers_;
    std::vector<const Sequence*> by_number_;
};

}  // namespace threadproof::race
