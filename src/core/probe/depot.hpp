/// Recurring sequences, such as call stacks and lock sets, each stored once and named by a number.
///
/// Invariants:
/// 1. Number 0 is the empty sequence.
/// 2. Equal sequences have equal numbers.
/// 3. Nothing is removed, so a number stays valid. A sequence that finds the depot full gets number 0.
///
/// Field               | written             | read                | guard
/// --------------------|---------------------|---------------------|----------------------------------------
/// numbers, by_number  | plain               | plain               | mutex; only slow paths come here
#pragma once

#include <cstdint>
#include <mutex>
#include <stdexcept>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <vector>

namespace threadproof::probe {

template <class Item>
class Depot {
 public:
    static_assert(std::has_unique_object_representations_v<Item>, "sequences are hashed as bytes");
    using Sequence = std::vector<Item>;

    explicit Depot(std::uint32_t most = ~std::uint32_t{0}) : most_(most) {}

    /// The sequence's number. Calls on_first(sequence), under the mutex, if the sequence is new.
    template <class OnFirst>
    std::uint32_t number_of(const Sequence& sequence, OnFirst&& on_first) {
        if (sequence.empty()) return 0;
        std::lock_guard hold(mutex_);
        if (by_number_.size() == most_ && !numbers_.contains(sequence)) return 0;
        auto [entry, fresh] =
            numbers_.try_emplace(sequence, static_cast<std::uint32_t>(by_number_.size()) + 1);
        if (fresh) {
            by_number_.push_back(&entry->first);  // the nodes of the table do not move
            on_first(entry->first);
        }
        return entry->second;
    }
    std::uint32_t number_of(const Sequence& sequence) {
        return number_of(sequence, [](const Sequence&) {});
    }

    Sequence get(std::uint32_t number) const {
        std::lock_guard hold(mutex_);
        return number == 0 ? Sequence{} : *by_number_[number - 1];
    }

    /// The sequences in it.
    std::size_t count() const {
        std::lock_guard hold(mutex_);
        return by_number_.size();
    }

    /// Around a fork: no other thread is in the middle of a step.
    void lock_for_fork() { mutex_.lock(); }
    void unlock_after_fork() { mutex_.unlock(); }

    /// Asserts the invariants; std::logic_error if one is broken.
    void check() const {
        std::lock_guard hold(mutex_);
        if (numbers_.size() != by_number_.size()) throw std::logic_error("a sequence has no number");
        for (const auto& [sequence, number] : numbers_) {
            if (sequence.empty()) throw std::logic_error("the empty sequence has a number other than 0");
            if (number == 0 || number > by_number_.size() || by_number_[number - 1] != &sequence)
                throw std::logic_error("a number is not that of its sequence");
        }
    }

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

/// One thread's cache in front of a depot: from the 64-bit hash of a sequence to its number. Two sequences of
/// one hash would get one number, which 64 bits make too rare to guard against.
template <std::size_t kEntries>
class NumberCache {
 public:
    /// The number cached for this hash; otherwise the result of look_up(), which is then cached.
    template <class LookUp>
    std::uint32_t number_of(std::uint64_t hash, LookUp&& look_up) {
        Entry& entry = entries_[hash % kEntries];
        if (entry.number == 0 || entry.hash != hash) entry = {hash, look_up()};
        return entry.number;
    }

    /// Releases the memory; number_of() must not be called any more.
    void free() { std::vector<Entry>().swap(entries_); }  // assigning {} would keep the memory

 private:
    struct Entry {
        std::uint64_t hash = 0;
        std::uint32_t number = 0;
    };
    std::vector<Entry> entries_ = std::vector<Entry>(kEntries);
};

}  // namespace threadproof::probe
