/// Of which objects something may be remembered, and what kind of thing: most objects die unknown, and then
/// one look is all that a death costs.
///
/// Objects share counts. So it can say that something may be known of one of which nothing is, never that
/// nothing is where something is.
///
/// Everything is relaxed: what is added for an object, its users do before its death, and they are ordered by
/// its life.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace threadproof::race {

using Object = std::uintptr_t;

/// The bits of an address that tell objects apart, well mixed.
inline std::uint64_t mixed(std::uint64_t value) {
    value = (value >> 4) * 0x9E3779B97F4A7C15u;  // 2^64 / the golden ratio; objects are aligned to 16 bytes
    return value ^ value >> 32;
}

class Known {
 public:
    /// What may be known, each with a part of the word.
    enum What : unsigned { kCells, kOrder, kOrigin, kDict };

    void add(Object object, What what) { counts_of(object).fetch_add(one(what), std::memory_order_relaxed); }
    void remove(Object object, What what) {
        counts_of(object).fetch_sub(one(what), std::memory_order_relaxed);
    }

    /// For what is never removed.
    void mark(Object object, What what) {
        if (!has(object, what)) add(object, what);
    }

    bool any(Object object) const { return counts_of(object).load(std::memory_order_relaxed) != 0; }
    bool has(Object object, What what) const {
        return (counts_of(object).load(std::memory_order_relaxed) & kMost * one(what)) != 0;
    }

 private:
    static constexpr std::size_t kCounts = 1 << 16;  // most dying objects find a 0; 512 kB
    // so many objects of one kind share a word only if there are 4 billion
    static constexpr int kBits = 16;
    static constexpr std::uint64_t kMost = (std::uint64_t{1} << kBits) - 1;

    static std::uint64_t one(What what) { return std::uint64_t{1} << kBits * what; }

    std::atomic<std::uint64_t>& counts_of(Object object) { return counts_[mixed(object) % kCounts]; }
    const std::atomic<std::uint64_t>& counts_of(Object object) const {
        return counts_[mixed(object) % kCounts];
    }

    std::vector<std::atomic<std::uint64_t>> counts_ = std::vector<std::atomic<std::uint64_t>>(kCounts);
};

}  // namespace threadproof::race
