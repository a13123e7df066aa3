/// Threads by number: 0 for the first that asks, and so on. Unlike the system's ids, no number is used twice.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/base/hints.hpp"

namespace threadproof {

using ThreadNumber = std::uint64_t;

TP_HOT ThreadNumber thread_number() {
    static std::atomic<ThreadNumber> next{0};
    // relaxed: the numbers only have to differ
    static thread_local ThreadNumber mine = next.fetch_add(1, std::memory_order_relaxed);
    return mine;
}

}  // namespace threadproof
