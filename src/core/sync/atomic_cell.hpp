/// One value that threads change together: each change is one atomic step, and the value has cache lines of
/// its own.
///
/// Every change that is not a plain exchange is a loop: read the value, compute the new one, and store it if
/// the value is still the one that was read; otherwise begin again. So a change can be refused (a sum that
/// does not fit) with nothing changed.
///
/// Invariant: a value that was computed from another replaces exactly that one.
///
/// Field     | written                     | read            | guard
/// ----------|-----------------------------|-----------------|--------------------------------------
/// value     | in the order of the caller  | likewise        | none
/// contended | relaxed, when a loop begins again | relaxed   | none: a metric
#pragma once

#include <atomic>
#include <cstdint>
#include <type_traits>

#include "core/base/hints.hpp"
#include "core/base/memory.hpp"

namespace threadproof {

template <class T>
struct alignas(kNoSharing) AtomicCell {
    static_assert(std::atomic<T>::is_always_lock_free, "a lock inside std::atomic would not survive a fork");

    std::atomic<T> value{};
    std::atomic<std::uint64_t> contended{0};
};

template <std::memory_order kOrder>
using Order = std::integral_constant<std::memory_order, kOrder>;

/// Calls `act` with the order as a constant: for an order that is not constant, the compiler assumes the
/// strongest.
template <class Act>
TP_HOT auto with_order(std::memory_order order, Act act) {
    switch (order) {
        case std::memory_order_relaxed: return act(Order<std::memory_order_relaxed>{});
        case std::memory_order_acquire: return act(Order<std::memory_order_acquire>{});
        case std::memory_order_release: return act(Order<std::memory_order_release>{});
        case std::memory_order_acq_rel: return act(Order<std::memory_order_acq_rel>{});
        default: return act(Order<std::memory_order_seq_cst>{});
    }
}

/// The order of a change that turns out to be only a read: the same without its release.
constexpr std::memory_order read_only(std::memory_order order) {
    if (order == std::memory_order_release) return std::memory_order_relaxed;
    return order == std::memory_order_acq_rel ? std::memory_order_acquire : order;
}

/// `order` is relaxed, acquire or seq_cst.
template <class T>
TP_HOT T load(const AtomicCell<T>& cell, std::memory_order order) {
    if (order == std::memory_order_relaxed) return cell.value.load(std::memory_order_relaxed);
    if (order == std::memory_order_acquire) return cell.value.load(std::memory_order_acquire);
    return cell.value.load(std::memory_order_seq_cst);
}

/// `order` is relaxed, release or seq_cst.
template <class T>
TP_HOT void store(AtomicCell<T>& cell, T value, std::memory_order order) {
    if (order == std::memory_order_relaxed) return cell.value.store(value, std::memory_order_relaxed);
    if (order == std::memory_order_release) return cell.value.store(value, std::memory_order_release);
    cell.value.store(value, std::memory_order_seq_cst);
}

template <class T>
TP_HOT T exchange(AtomicCell<T>& cell, T value, std::memory_order order) {
    return with_order(order, [&](auto o) { return cell.value.exchange(value, o.value); });
}

/// Whether a comparison treats two values as one. NaN is the same as NaN; otherwise a loop would never end.
template <class T>
constexpr bool same(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) return a == b || (a != a && b != b);
    else return a == b;
}

/// Stores `fresh` if the value is the same as `expected`; whether it was.
template <class T>
TP_HOT bool compare_exchange(AtomicCell<T>& cell, T expected, T fresh, std::memory_order order) {
    return with_order(order, [&](auto o) {
        T seen = cell.value.load(read_only(o.value));
        // repeated only for two values that differ in bits and are the same, such as 0.0 and -0.0
        while (same(seen, expected)) {
            if (cell.value.compare_exchange_strong(seen, fresh, o.value, read_only(o.value))) return true;
            cell.contended.fetch_add(1, std::memory_order_relaxed);
        }
        return false;
    });
}

/// Calls step(old, &fresh) and stores `fresh` if the value is still `old`; otherwise begins again. True if a
/// value was stored; false, with nothing changed, if step() returned false. `*old` is the value of the last
/// call.
template <class T, class Step>
TP_HOT bool change(AtomicCell<T>& cell, Step step, T* old, std::memory_order order) {
    return with_order(order, [&](auto o) {
        *old = cell.value.load(read_only(o.value));
        for (T fresh; step(*old, &fresh);) {
            if (cell.value.compare_exchange_strong(*old, fresh, o.value, read_only(o.value))) return true;
            cell.contended.fetch_add(1, std::memory_order_relaxed);
        }
        return false;
    });
}

}  // namespace threadproof
