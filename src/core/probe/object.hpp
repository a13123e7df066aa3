/// Objects of the program as numbers, and the hash functions that the probe and its subscribers share.
#pragma once

#include <cstdint>

namespace threadproof::probe {

/// An object's address. It names the object only while the object lives: later objects reuse it.
using Object = std::uintptr_t;

/// The bits of an address that differ between objects, spread over the whole word.
inline std::uint64_t mixed(std::uint64_t value) {
    value = (value >> 4) * 0x9E3779B97F4A7C15u;  // 2^64 / the golden ratio; objects are aligned to 16 bytes
    return value ^ value >> 32;
}

/// The hash of a sequence of words, one step for each word; the first step starts with kHashSeed.
inline constexpr std::uint64_t kHashSeed = 0x9E3779B97F4A7C15u;
inline std::uint64_t hash_on(std::uint64_t hash, std::uint64_t word) {
    hash = (hash ^ word) * 0xD6E8FEB86659FD93u;  // odd, and half of its bits are set
    return hash ^ hash >> 32;
}

}  // namespace threadproof::probe
