/// Where a key belongs.
///
/// Every hash has a 64-bit position, and a table of 2^b buckets gives each bucket the keys whose positions
/// begin with the same b bits. So when a table doubles, one bucket becomes two neighbours; when it halves,
/// two become one; and an iteration needs no more than the position it has reached, whatever the table does
/// meanwhile.
///
///     position(hash) = [10 bits of the line, reversed][54 bits of the page]
///         page = (hash >> 10) * multiplier             which group of 1024 buckets, by its top bits
///         line = (hash ^ page >> 40) mod 1024          which bucket of the group
///
/// Consecutive ints share a page and differ in the line: they fill neighbouring buckets, one key each, and
/// two threads that write neighbouring keys do not wait for each other. In memory the line is the low part of
/// the bucket's index and the page the high part; the reversal only serves to make small tables prefixes of
/// large ones.
///
/// The multiplier is a map's secret: crafted keys cannot be aimed at one bucket without it. It is a badly
/// approximable number (its continued fraction holds only ones and twos), so that dense ranges of ints, whose
/// pages are 0, 1, 2, ..., spread as evenly as with the golden ratio. Source: three-distance theorem; Knuth,
/// TAOCP 3, section 6.4.
#pragma once

#include <cstddef>
#include <cstdint>

namespace threadproof {

// 1024 buckets of 128 bytes: a group spans 128 KiB, within reach of the TLB
inline constexpr unsigned kLineBits = 10;
inline constexpr std::uint64_t kLineMask = (1u << kLineBits) - 1;

/// The low `bits` bits of x in reverse order; bits <= 10. Bits of x above those do not count.
constexpr std::uint64_t reverse_line(std::uint64_t x, unsigned bits) {
    // of 16 bits: neighbours change places, then pairs, fours and bytes
    x = (x >> 1 & 0x5555) | (x & 0x5555) << 1;
    x = (x >> 2 & 0x3333) | (x & 0x3333) << 2;
    x = (x >> 4 & 0x0f0f) | (x & 0x0f0f) << 4;
    x = (x >> 8 & 0x00ff) | (x & 0x00ff) << 8;
    return x >> (16 - bits);
}

class Placement {
 public:
    /// A multiplier from 62 secret bits: one continued-fraction digit, 1 or 2, for each.
    explicit Placement(std::uint64_t secret) {
        std::uint64_t numerator = 0, denominator = 1;
        while (denominator < (std::uint64_t{1} << 61)) {  // x -> 1 / (digit + x), until 64 bits are settled
            std::uint64_t next = (1 + (secret & 1)) * denominator + numerator;
            numerator = denominator;
            denominator = next;
            secret = secret >> 1 | secret << 63;
        }
        multiplier_ =
            static_cast<std::uint64_t>((static_cast<unsigned __int128>(numerator) << 64) / denominator) | 1;
    }

    std::uint64_t page(std::uint64_t hash) const { return (hash >> kLineBits) * multiplier_; }

    static std::uint64_t line(std::uint64_t hash, std::uint64_t page) {
        return (hash ^ page >> 40) & kLineMask;
    }

    std::uint64_t position(std::uint64_t hash) const {
        std::uint64_t page = this->page(hash);
        return reverse_line(line(hash, page), kLineBits) << (64 - kLineBits) | page >> kLineBits;
    }

    std::uint64_t multiplier() const { return multiplier_; }

 private:
    std::uint64_t multiplier_;
};

/// The index in memory of a bucket whose keys' positions begin with the `bits` bits `prefix`.
constexpr std::size_t index_of_prefix(std::uint64_t prefix, unsigned bits) {
    if (bits <= kLineBits) return reverse_line(prefix, bits);
    unsigned page_bits = bits - kLineBits;
    std::uint64_t page = prefix & ((std::uint64_t{1} << page_bits) - 1);
    return page << kLineBits | reverse_line(prefix >> page_bits, kLineBits);
}

/// The index in a table of 2^to_bits buckets of the bucket that takes in bucket `index` of 2^bits; to_bits <=
/// bits.
constexpr std::size_t coarser_index(std::size_t index, unsigned bits, unsigned to_bits) {
    if (to_bits <= kLineBits) return index & ((std::size_t{1} << to_bits) - 1);
    std::size_t page = index >> kLineBits >> (bits - to_bits);
    return page << kLineBits | (index & kLineMask);
}

/// The index in a table of twice as many buckets of the first of the two that take in bucket `index`, for tables of
/// whole groups; the second is a group further.
constexpr std::size_t finer_index(std::size_t index) {
    return (index & ~static_cast<std::size_t>(kLineMask)) << 1 | (index & kLineMask);
}

}  // namespace threadproof
