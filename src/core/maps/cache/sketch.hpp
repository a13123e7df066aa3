/// FrequencySketch: about how often each of many keys was used lately, in 8 bytes for each entry of a cache.
///
/// A count-min sketch of 4-bit counters. A key has one counter in each of 4 rows, and its frequency is the least
/// of them. Only the least counters are incremented (conservative update). All counters of a key are in one
/// block, which is a cache line: 4 rows of 32 counters. After kPeriod uses for each entry all counters are
/// halved, some blocks with each use: no call takes long.
///
/// A doorkeeper, a Bloom filter that takes the first use of a key, is often put before such a sketch. Here, its
/// bits do more as a fourth row: OLTP at 1,000 entries has 0.4 points of hits more, 2_POOLS at 100 has 0.8.
///
/// Invariants: 1. blocks before `aging_` are halved in the present period; blocks_.size() when all are;
///             2. a frequency is at least the smaller of kMost and the number of uses since its block was last
///                halved.
///
/// One thread at a time uses a sketch: the holder of the policy's lock.
///
/// Sources: Cormode and Muthukrishnan, An improved data stream summary; Estan and Varghese (conservative
/// update); Einziger, Friedman and Manes, TinyLFU: a highly efficient cache admission policy (ageing).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "core/base/hints.hpp"
#include "core/base/stress.hpp"

namespace threadproof {

/// Spreads a hash over all bits: the hash of an int is the int. Source: Steele and others, splitmix64.
inline std::uint64_t spread(std::uint64_t hash) {
    hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9;
    hash = (hash ^ hash >> 27) * 0x94d049bb133111eb;
    return hash ^ hash >> 31;
}

class FrequencySketch {
 public:
    /// The highest frequency: a counter has 4 bits.
    static constexpr unsigned kMost = 15;

    /// For at most that many entries; it begins small and grows with them. `secret`: hashes cannot be crafted to
    /// share counters without it. Throws bad_alloc.
    FrequencySketch(std::uint64_t most, std::uint64_t secret) : secret_(secret) { set_most(most); }

    /// Makes room for `entries`, if that is not more than was announced. Frequencies stay. Without memory the
    /// sketch stays as it is, only less exact.
    void grow_for(std::uint64_t entries) noexcept {
        try {
            while (TP_UNLIKELY(entries > blocks_.size() * kEntries && blocks_.size() < most_)) grow();
        } catch (const std::bad_alloc&) {  // another insert tries again
        }
    }

    /// The most entries from now on: a larger cache grows into a larger sketch. Throws bad_alloc.
    void set_most(std::uint64_t entries) {
        most_ = std::max<std::uint64_t>((entries + kEntries - 1) / kEntries, kLeast / kEntries);
        if (!blocks_.empty()) return;
        blocks_.resize(first_blocks());
        aging_ = blocks_.size();
    }

    /// Notes one use of the key with this hash.
    void use(std::uint64_t hash) {
        Place place(hash ^ secret_, blocks_.size());
        Block& block = blocks_[place.block];
        unsigned least = block.least(place);
        if (least == kMost) return;
        block.increment(place, least);
        if (++uses_ >= period() && aging_ == blocks_.size()) begin_aging();
        if (TP_UNLIKELY(aging_ < blocks_.size())) age_some();
    }

    /// About how often the key was used: from 0 to kMost.
    unsigned frequency(std::uint64_t hash) const {
        Place place(hash ^ secret_, blocks_.size());
        return blocks_[place.block].least(place);
    }

    std::uint64_t bytes() const { return blocks_.size() * sizeof(Block); }
    /// How many times all counters have been halved.
    std::uint64_t resets() const { return resets_; }

    /// Forgets everything and gives the memory back, if that is more than it begins with.
    void shrink() {
        std::uint64_t first = first_blocks();
        if (blocks_.size() <= first) return;
        blocks_.resize(first);
        blocks_.shrink_to_fit();
        std::fill(blocks_.begin(), blocks_.end(), Block{});
        aging_ = first;
        uses_ = 0;
    }

 private:
    // Entries for each block: 8 bytes an entry. With half of the memory OLTP loses half a point of hits.
    static constexpr std::uint64_t kEntries = 8;
    // Uses for each entry between two halvings: fewer forget sooner. Of the public traces, MULTI2 and P3 would take 5
    // (a point more of hits than with 8), LOOP 8 or more (with 5 it has 4 points less, with 6 half a point).
    static constexpr std::uint64_t kPeriod = stress::shrunk(std::uint64_t{6}, std::uint64_t{2});
    // A sketch of 2 KiB is made at once: growing to there would save nothing.
    static constexpr std::uint64_t kLeast = 256;
    // Blocks that one use ages: 1 KiB, which takes less than a cache miss.
    static constexpr std::uint64_t kAgeStep = 16;
    static constexpr unsigned kRows = 4;

    /// Where a key's bits and counters are.
    struct Place {
        Place(std::uint64_t hash, std::uint64_t blocks) {
            std::uint64_t mixed = spread(hash);
            // by the highest bits: a sketch of twice the size has the block's keys in two neighbours
            block = static_cast<std::uint64_t>((static_cast<unsigned __int128>(mixed) * blocks) >> 64);
            bits = static_cast<std::uint32_t>(mixed * 0x9e3779b97f4a7c15 >> 32);
        }
        unsigned counter(unsigned row) const { return bits >> (5 * row) & 31; }

        std::uint64_t block;
        std::uint32_t bits;
    };

    struct alignas(64) Block {
        std::array<std::array<std::uint64_t, 2>, kRows> rows{};

        unsigned count(const Place& place, unsigned row) const {
            unsigned counter = place.counter(row);
            return rows[row][counter >> 4] >> (4 * (counter & 15)) & 15;
        }
        unsigned least(const Place& place) const {
            return std::min({count(place, 0), count(place, 1), count(place, 2), count(place, 3)});
        }
        void increment(const Place& place, unsigned least) {
            for (unsigned row = 0; row < kRows; ++row) {
                unsigned counter = place.counter(row);
                if (count(place, row) == least)
                    rows[row][counter >> 4] += std::uint64_t{1} << (4 * (counter & 15));
            }
        }
        void halve() {
            for (auto& row : rows)
                for (std::uint64_t& word : row) word = word >> 1 & 0x7777777777777777;
        }
    };

    /// How many to begin with, so that doubling comes to most_, or a little more.
    std::uint64_t first_blocks() const {
        std::uint64_t first = most_;
        while (first > kLeast / kEntries) first = (first + 1) / 2;
        return first;
    }

    /// By the entries there may be, and not by the blocks, of which there can be twice as many: P3 at 50,000 lost a
    /// point by that.
    std::uint64_t period() const {
        return kPeriod * kEntries * std::min<std::uint64_t>(most_, blocks_.size());
    }

    void begin_aging() {
        aging_ = 0;
        uses_ = 0;
        ++resets_;
    }

    void age_some() {
        std::uint64_t end = std::min<std::uint64_t>(aging_ + kAgeStep, blocks_.size());
        for (; aging_ < end; ++aging_) blocks_[aging_].halve();
    }

    /// Each block becomes two, both with what it had: no frequency falls.
    void grow() {
        std::vector<Block> larger(2 * blocks_.size());
        for (std::size_t i = 0; i < larger.size(); ++i) larger[i] = blocks_[i / 2];
        aging_ *= 2;
        blocks_.swap(larger);
    }

    const std::uint64_t secret_;
    std::vector<Block> blocks_;
    std::uint64_t most_ = 0;   ///< blocks
    std::uint64_t aging_ = 0;  ///< the next block to be halved
    std::uint64_t uses_ = 0;   ///< in this period
    std::uint64_t resets_ = 0;
};

}  // namespace threadproof
