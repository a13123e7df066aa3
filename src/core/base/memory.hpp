/// Memory for bucket arrays: zeroed, aligned to a bucket, and freed in steps, without a long pause.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>

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

/// Zeroed memory, or null. `bytes` is a multiple of kNoSharing. Ask for alignment only where it is needed: it
/// leaves small free pieces behind, which glibc now and then walks all at once (measured: 20 ms after 60,000
/// tables of 4 KB).
inline void* allocate_zeroed(std::size_t bytes, bool aligned = true) {
    if (stress::starve()) return nullptr;
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

    /// Frees at most kReleaseStep bytes if the memory was mapped, else all; false once nothing is left.
    bool step() {
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
