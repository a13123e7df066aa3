/// One access as the race detector remembers it: 16 bytes, two of which make a variable's cell.
#pragma once

#include <cstdint>

#include "core/probe/variable.hpp"
#include "core/race/clock.hpp"

namespace threadproof::race {

using probe::AccessFlag;
using probe::Field;
using probe::kPosition;
using enum probe::AccessFlag;

struct Access {
    static constexpr int kLockBits = 23;  // the rest of the word; a lock set beyond 8 million is not kept

    Epoch epoch;
    std::uint32_t stack = 0;              // a number of the probe's depot of call stacks
    std::uint32_t locks : kLockBits = 0;  // a number of the detector's depot of lock sets
    std::uint32_t flags : 8 = 0;          // of AccessFlag
    std::uint32_t write : 1 = 0;

    bool has(std::uint32_t wanted) const { return (flags & wanted) == wanted; }
};
static_assert(sizeof(Access) == 16, "the cell of every accessed variable has two of them");

}  // namespace threadproof::race
