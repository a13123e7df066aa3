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

/// Freed memory that the next table gets: one piece of each size, for the whole process. A map that grows and shrinks,
/// or is made again and again, would else get fresh pages each time, and a page fault costs more than clearing 4 KiB
/// (docs/decisions.md).
///
/// Field   | written                           | read                   | guard
/// --------|-----------------------------------|------------------------|------
/// pieces_ | release, by the thread that frees | acquire, by exchange() | none
/// a piece's first word: plain, its bytes; only the thread that has the piece
class KeptMemory {
 public:
#if defined(__SANITIZE_ADDRESS__)
    static constexpr bool kOn = false;  // it finds accesses to memory that has been freed
#else
    static constexpr bool kOn = true;
#endif

    /// Memory of so many bytes, with any content, or null.
    static void* take(std::size_t bytes) {
        if (!keeps(bytes)) return nullptr;
        // acquire: pairs with the release in keep(); the memory is this thread's
        void* piece = place(bytes).exchange(nullptr, std::memory_order_acquire);
        if (!piece) return nullptr;
        const std::size_t found = *static_cast<std::size_t*>(piece);
        if (found == bytes) return piece;
        release(piece, found);  // nothing of its size has been asked for since
        return nullptr;
    }

    /// Keeps the memory, if there is room; false: it is the caller's.
    static bool keep(void* memory, std::size_t bytes) {
        if (!keeps(bytes) || reinterpret_cast<std::uintptr_t>(memory) % kNoSharing != 0) return false;
        std::atomic<void*>& to = place(bytes);
        if (to.load(std::memory_order_relaxed)) return false;  // relaxed: a hint
        *static_cast<std::size_t*>(memory) = bytes;
        void* none = nullptr;
        // release: pairs with the acquire in take(); hands the memory over
        return to.compare_exchange_strong(none, memory, std::memory_order_release, std::memory_order_relaxed);
    }

 private:
    // From one page on, as smaller pieces share pages with others. To 2 MiB, which take some 50 us to clear: all pieces
    // together are at most 4 MiB.
    static constexpr int kFromBits = stress::shrunk(12, 9), kToBits = 21;

    static int bits(std::size_t bytes) { return std::bit_width(bytes) - 1; }
    static bool keeps(std::size_t bytes) { return kOn && bits(bytes) >= kFromBits && bits(bytes) < kToBits; }
    static std::atomic<void*>& place(std::size_t bytes) { return pieces_[bits(bytes) - kFromBits]; }

    static void release(void* memory, std::size_t bytes) {
        if (bytes >= kMapFrom) munmap(memory, bytes);
        else std::free(memory);
    }

    static inline std::atomic<void*> pieces_[kToBits - kFromBits] = {};
};

/// Zeroed memory, or null. `bytes` is a multiple of kNoSharing. Ask for alignment only where it is needed: it
/// leaves small free pieces behind, which glibc now and then walks all at once (measured: 20 ms after 60,000
/// tables of 4 KB).
inline void* allocate_zeroed(std::size_t bytes, bool aligned = true) {
    if (stress::starve()) return nullptr;
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
    bool mapped = bytes >= kMapFrom;
    bool begun = false;

    /// Frees at most kReleaseStep bytes if the memory was mapped, else all; false once nothing is left.
    bool step() {
        if (!std::exchange(begun, true) && KeptMemory::keep(memory, bytes)) return false;
        if (!mapped) {
            std::free(memory);
            return false;
        }
        std::size_t part = std::min(bytes, kReleaseStep);
        munmap(memory, part);
        memory = static_cast<char*>(memory) + part;
        bytes -= part;
        return bytes > 0;
    }

    void all() {
        while (step()) {
        }
    }
};

}  // namespace threadproof
