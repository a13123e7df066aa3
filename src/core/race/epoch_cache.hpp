/// The same-epoch access cache: which variables one thread has accessed since its last release, and how. Most
/// accesses of a program end here, without a lock.
///
/// An entry is a 64-bit hash of the variable and, in one word, the epoch's count and the kinds of access.
/// Variables with the same hash are mistaken for each other, which leaves one access unchecked; 64 bits make
/// that too rare to pay for a longer entry. Only its own thread uses a cache.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#include "core/base/hints.hpp"
#include "core/base/memory.hpp"
#include "core/base/stress.hpp"

namespace threadproof::race {

class EpochCache {
 public:
    /// A kind of access: its AccessFlags, and one of these.
    static constexpr std::uint32_t kWrite = 1 << 8, kRead = 1 << 9;

    /// Whether the cache has an access of this `kind` at this count. Afterwards it has.
    TP_HOT bool has_or_add(std::uint64_t tag, std::uint64_t count, std::uint32_t kind) {
        Set& set = sets_[tag >> 32 & (kSets - 1)];
        for (Entry& entry : set.entries)
            if (entry.tag == tag && entry.seen >> kKindBits == count) {
                if (TP_LIKELY((entry.seen & kind) == kind)) return true;
                entry.seen |= kind;
                return false;
            }
        set.entries[set.next++ % kPerSet] = {tag, count << kKindBits | kind};
        return false;
    }

    /// The kinds of access to the variable at this count, as far as they are still cached.
    std::uint32_t kinds(std::uint64_t tag, std::uint64_t count) const {
        for (const Entry& entry : sets_[tag >> 32 & (kSets - 1)].entries)
            if (entry.tag == tag && entry.seen >> kKindBits == count)
                return entry.seen & ((1u << kKindBits) - 1);
        return 0;
    }

    /// Releases the memory; the cache must not be used any more.
    void free() {
        memory_.reset();
        sets_ = nullptr;
    }

 private:
    static constexpr int kKindBits = 16;       // an epoch's count has 48
    static constexpr std::size_t kPerSet = 3;  // they share a cache line with the number of the next to go
    // 64 kB a thread: a quarter of a small second-level cache
    static constexpr std::size_t kSets = stress::shrunk<std::size_t>(1024, 2);

    struct Entry {
        std::uint64_t tag = 0;
        std::uint64_t seen = 0;
    };
    struct alignas(kCacheLine) Set {
        std::array<Entry, kPerSet> entries;
        std::uint32_t next = 0;
    };

    struct Free {
        void operator()(void* memory) const { std::free(memory); }
    };

    /// Zeroes. Aligned here and not by the allocator: glibc finds no room for a second aligned block where the
    /// first one was, so memory would grow with each thread.
    static void* allocate() {
        void* memory = std::calloc(kSets + 1, sizeof(Set));
        if (!memory) throw std::bad_alloc();
        return memory;
    }
    static Set* aligned(void* memory) {
        std::size_t room = (kSets + 1) * sizeof(Set);
        return static_cast<Set*>(std::align(alignof(Set), kSets * sizeof(Set), memory, room));
    }

    std::unique_ptr<void, Free> memory_{allocate()};
    Set* sets_ = aligned(memory_.get());  // an unused entry is all zeroes
};

}  // namespace threadproof::race
