/// Memory for bucket arrays: zeroed, aligned to a bucket, and freed in steps, without a long pause.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "core/base/stress.hpp"

namespace threadproof {

/// Data that different threads write must be this far apart: two cache lines, because x86 prefetches them in
/// pairs.
inline constexpr std::size_t kCacheLine = 64;
inline constexpr std::size_t kNoSharing = 2 * kCacheLine;

/// From this size on, memory is mapped: the kernel gives it zeroed. Below, a system call costs more than
/// clearing (measured: mapping small tables made building 1,000 keys 3 times slower).
inline constexpr std::size_t kMapFrom = 256 * 1024;

/// The most memory freed in one step: unmapping 168 MB at once stopped a thread for 11 ms; this is 1/640 of
/// it.
inline constexpr std::size_t kReleaseStep = 256 * 1024;

/// Frees a piece of memory: at most kReleaseStep bytes if it was mapped, else all; false once nothing is left.
inline bool release_step(void*& memory, std::size_t& bytes, bool mapped) {
    if (!mapped) {
        std::free(memory);
        return false;
    }
    const std::size_t part = std::min(bytes, kReleaseStep);
    munmap(memory, part);
    memory = static_cast<char*>(memory) + part;
    bytes -= part;
    return bytes > 0;
}

/// Freed memory that the next table gets: one piece of each size, for the whole process. A map that grows and shrinks,
/// or is made again and again, would else get fresh pages each time, and a page fault costs more than clearing 4 KiB
/// (docs/decisions.md). Only for memory that is allocated and freed with no lock held: clearing a piece takes up to
/// 50 us, and freeing one that does not fit takes longer.
///
/// Field   | written                           | read                   | guard
/// --------|-----------------------------------|------------------------|------
/// pieces_ | release, by the thread that frees | acquire, by exchange() | none
/// bytes_  | relaxed                           | relaxed: a metric      | none
/// a piece's Head: plain, its bytes; only the thread that has the piece
class KeptMemory {
 public:
#if defined(__SANITIZE_ADDRESS__)
#define THREADPROOF_FINDS_FREED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define THREADPROOF_FINDS_FREED 1
#endif
#endif
#ifdef THREADPROOF_FINDS_FREED
    static constexpr bool kOn = false;  // it finds accesses to memory that has been freed
#else
    static constexpr bool kOn = true;
#endif

    /// Memory of so many bytes, with any content, or null.
    static void* take(std::size_t bytes) {
        if (!keeps(bytes)) return nullptr;
        Head* piece = take_from(place(bytes));
        if (!piece) return nullptr;
        if (piece->bytes == bytes) return piece;
        release(piece);  // nothing of its size has been asked for since
        return nullptr;
    }

    /// Keeps the memory, if there is room; false: it is the caller's.
    static bool keep(void* memory, std::size_t bytes) {
        if (!keeps(bytes) || reinterpret_cast<std::uintptr_t>(memory) % kNoSharing != 0) return false;
        if (place(bytes).load(std::memory_order_relaxed)) return false;  // relaxed: a hint
        return put_back(new (memory) Head{bytes, false});
    }

    /// Frees the pieces that no table has needed since the call before this one.
    static void free_unused() {
        for (auto& place : pieces_) {
            if (!place.load(std::memory_order_relaxed)) continue;  // relaxed: a hint
            Head* piece = take_from(place);
            if (piece && (std::exchange(piece->seen, true) || !put_back(piece))) release(piece);
        }
    }

    /// Bytes that are kept now.
    static std::uint64_t bytes() { return bytes_.load(std::memory_order_relaxed); }

 private:
    struct Head {
        std::size_t bytes;
        bool seen;  ///< by free_unused(), since it has been kept
    };

    // From one page on, as smaller pieces share pages with others. To 2 MiB, which take some 50 us to clear: all pieces
    // together are at most 4 MiB.
    static constexpr int kFromBits = stress::shrunk(12, 9), kToBits = 21;

    static int bits(std::size_t bytes) { return std::bit_width(bytes) - 1; }
    static bool keeps(std::size_t bytes) { return kOn && bits(bytes) >= kFromBits && bits(bytes) < kToBits; }
    static std::atomic<Head*>& place(std::size_t bytes) { return pieces_[bits(bytes) - kFromBits]; }

    static Head* take_from(std::atomic<Head*>& place) {
        // acquire: pairs with the release in put_back(); the memory is this thread's
        Head* piece = place.exchange(nullptr, std::memory_order_acquire);
        if (piece) bytes_.fetch_sub(piece->bytes, std::memory_order_relaxed);
        return piece;
    }
    static bool put_back(Head* piece) {
        const std::size_t bytes = piece->bytes;
        bytes_.fetch_add(bytes, std::memory_order_relaxed);  // before another thread can take it
        Head* none = nullptr;
        // release: pairs with the acquire in take_from(); hands the memory over
        if (place(bytes).compare_exchange_strong(none, piece, std::memory_order_release,
                                                 std::memory_order_relaxed))
            return true;
        bytes_.fetch_sub(bytes, std::memory_order_relaxed);
        return false;
    }

    static void release(Head* piece) {
        std::size_t bytes = piece->bytes;
        void* memory = piece;
        for (const bool mapped = bytes >= kMapFrom; release_step(memory, bytes, mapped);) {
        }
    }

    static inline std::atomic<Head*> pieces_[kToBits - kFromBits] = {};
    static inline std::atomic<std::uint64_t> bytes_{0};
};

/// Whether memory may be a kept piece, or become one. Not where a lock is held.
enum class Reuse : bool { kNo, kYes };

/// Zeroed memory, or null. `bytes` is a multiple of kNoSharing. Ask for alignment only where it is needed: it
/// leaves small free pieces behind, which glibc now and then walks all at once (measured: 20 ms after 60,000
/// tables of 4 KB).
inline void* allocate_zeroed(std::size_t bytes, bool aligned = true, Reuse reuse = Reuse::kNo) {
    if (stress::starve(bytes)) return nullptr;
    if (reuse == Reuse::kYes)
        if (void* kept = KeptMemory::take(bytes)) return std::memset(kept, 0, bytes);
    if (bytes >= kMapFrom) {
        void* mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return mapped == MAP_FAILED ? nullptr : mapped;
    }
    if (!aligned) return std::calloc(1, bytes);
    void* memory = std::aligned_alloc(kNoSharing, bytes);
    if (memory) std::memset(memory, 0, bytes);
    return memory;
}

/// Where large pages pay: they are 2 MiB, and a table of several is filled at once.
inline constexpr std::size_t kLargeFrom = 4 * 1024 * 1024;

/// Asks for large pages, for memory that is written at once: the kernel then clears 2 MiB at a time, and address
/// translation seldom misses. Not for a table that grows: clearing that much can take a thread milliseconds.
inline void use_large_pages([[maybe_unused]] void* memory, [[maybe_unused]] std::size_t bytes) {
#if defined(MADV_HUGEPAGE)
    if (bytes >= kLargeFrom) madvise(memory, bytes, MADV_HUGEPAGE);  // a hint: it may fail
#endif
}

/// A piece of memory to be freed.
struct Released {
    void* memory = nullptr;
    std::size_t bytes = 0;
    Reuse reuse = Reuse::kNo;
    bool mapped = bytes >= kMapFrom;

    /// Frees at most kReleaseStep bytes if the memory was mapped, else all; false once nothing is left.
    bool step() {
        if (std::exchange(reuse, Reuse::kNo) == Reuse::kYes && KeptMemory::keep(memory, bytes)) return false;
        return release_step(memory, bytes, mapped);
    }

    void all() {
        while (step()) {
        }
    }
};

}  // namespace threadproof
