/// Everything that the stress build changes: constants shrink, so that rare paths are common; named windows
/// in the algorithms call a hook, so that a test can hold a thread there; and any allocation can be made to
/// fail.
///
/// In an ordinary build the functions here are empty, and the constants are as given.
#pragma once

#include <atomic>
#include <cstdint>

namespace threadproof::stress {

#ifdef THREADPROOF_STRESS
inline constexpr bool kOn = true;
#else
inline constexpr bool kOn = false;
#endif

/// `normal`, or the smallest value that still works in the stress build.
template <class T>
constexpr T shrunk(T normal, T smallest) {
    return kOn ? smallest : normal;
}

/// The windows between two atomic steps where another thread's step matters most.
enum class Window : std::uint8_t {
    kReadArrived,     ///< a reader has found the bucket and not yet scanned it
    kReadHashed,      ///< a reader has found a slot with the hash and not yet read its key
    kReadMatched,     ///< a reader has matched a key and not yet read the value
    kReadLoaded,      ///< a reader has read the value's word and not yet retained it
    kReadHeld,        ///< a reader has retained the value and not yet read the version again
    kReadMissed,      ///< a reader has not found the key in a chain and not yet read the version again
    kPublishing,      ///< a slot has its hash and its value, and no key that readers could find
    kVacating,        ///< a home has its new version, and the key that is going is still there
    kChanged,         ///< a key has come or gone, and its count, or the hold of its table, has not ended
    kOverflowLinked,  ///< a chain has a new, empty bucket and the entry is not in it yet
    kReadAsked,       ///< a reader has given its table up to call the user's comparison
    kWriteAsked,      ///< a writer has released the bucket to call the user's comparison
    kMigrateCopying,  ///< the next of a bucket's entries is about to be copied to the next table
    kMigrateCopied,   ///< a bucket's entries are in the next table and the bucket is not yet marked as moved
    kMigrated,        ///< the last bucket of a table is moved, and the next table is not yet the root
    kGateClosed,      ///< a whole-map step has quiesced the map
    kWriteHashed,     ///< a writer has looked for the hash and not yet locked the bucket
    kFilled,          ///< a private table is filled and not yet the map's
    kSnapshotOpen,    ///< a snapshot is open and has copied nothing yet
    kIterateBatch,    ///< an iteration has copied a bucket and not yet passed it
    kAmending,        ///< a new key is in the dirty table, and the view is not yet amended
    kExchanging,      ///< a writer has retained a value and computed the one that is to replace it
    kPromoting,       ///< a part's cells are in its next read table, or tables, which no thread can reach yet
    kSettle,          ///< a computation has its result and has not yet stored it
    kStamping,        ///< an entry of a cache has its new value and not yet that value's deadline
    kPuttingOff,      ///< a reader has judged an entry of a cache and not yet put its deadline off
    kRenewing,        ///< a value is about to begin a new life in a cache, and its entry has been read
    kEvicted,         ///< a thread has evicted entries of a cache, and other threads still leave theirs to it
    kGivingBack,      ///< memory that a cache has unlinked is about to be retired
    kCount,
};

using Hook = void (*)(Window);

/// Relaxed on both sides: a test installs its hook before it starts the threads that reach it.
inline std::atomic<Hook> hook{nullptr};

inline void reach(Window window) {
    if constexpr (kOn) {
        if (Hook call = hook.load(std::memory_order_relaxed)) call(window);
    }
}

/// How many more allocations succeed; negative: all of them. Relaxed: a plain counter.
inline std::atomic<std::int64_t> allocations_left{-1};

/// Whether this allocation is to fail.
inline bool starve() {
    if constexpr (kOn) {
        std::int64_t left = allocations_left.load(std::memory_order_relaxed);
        while (left >= 0) {
            if (left == 0) return true;
            if (allocations_left.compare_exchange_weak(left, left - 1, std::memory_order_relaxed))
                return false;
        }
    }
    return false;
}

}  // namespace threadproof::stress
