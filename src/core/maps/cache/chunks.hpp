/// ChunkArray: an array that grows while other threads read it. Its elements do not move, and begin as zeroes.
///
/// Invariants
///  1. Chunk 0 has kFirst elements, chunk i > 0 has kFirst << (i - 1): an index is in one chunk.
///  2. A chunk that is there stays, until release().
///
/// Field    | written                                | read    | guard
/// ---------|----------------------------------------|---------|------------------------------
/// chunks_  | release in make(), null in release()   | acquire | the caller's lock for writers
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>

#include "core/base/hints.hpp"
#include "core/base/memory.hpp"

namespace threadproof {

template <class T>
class ChunkArray {
 public:
    using Index = std::uint32_t;
    // 2 KiB of nodes; and 26 chunks have 2^31 elements
    static constexpr Index kFirst = 64;

    ChunkArray() = default;
    ~ChunkArray() {
        release([](Released memory) { memory.all(); });
    }
    ChunkArray(const ChunkArray&) = delete;
    ChunkArray& operator=(const ChunkArray&) = delete;

    /// An element of a chunk that is there.
    TP_HOT T& operator[](Index i) const {
        unsigned chunk = chunk_of(i);
        // acquire: pairs with the release in make(); makes the zeroed memory visible
        return chunks_[chunk].load(std::memory_order_acquire)[i - first_of(chunk)];
    }
    /// The element, or null if there is no memory for it.
    TP_HOT T* find(Index i) const {
        unsigned chunk = chunk_of(i);
        T* elements = chunks_[chunk].load(std::memory_order_acquire);
        return elements ? elements + (i - first_of(chunk)) : nullptr;
    }

    /// Makes the chunk of an element; false when there is no memory.
    bool make(Index i) {
        unsigned chunk = chunk_of(i);
        if (chunk >= kChunks) return false;
        if (chunks_[chunk].load(std::memory_order_relaxed)) return true;
        void* memory = allocate_zeroed(size_of(chunk) * sizeof(T));
        // release: pairs with the acquire in []; publishes the zeroed memory
        chunks_[chunk].store(static_cast<T*>(memory), std::memory_order_release);
        return memory != nullptr;
    }

    /// Passes the memory of all chunks to `free`; the array is empty.
    template <class Free>
    void release(Free free) {
        for (unsigned i = 0; i < kChunks; ++i)
            if (T* chunk = chunks_[i].exchange(nullptr, std::memory_order_relaxed))
                free(Released{chunk, size_of(i) * sizeof(T)});
    }

    std::uint64_t bytes() const {
        std::uint64_t sum = 0;
        for (unsigned i = 0; i < kChunks; ++i)
            if (chunks_[i].load(std::memory_order_relaxed)) sum += size_of(i) * sizeof(T);
        return sum;
    }

 private:
    static constexpr unsigned kChunks = 26;

    static unsigned chunk_of(Index i) { return static_cast<unsigned>(std::bit_width(i / kFirst)); }
    static Index first_of(unsigned chunk) { return chunk ? kFirst << (chunk - 1) : 0; }
    static std::size_t size_of(unsigned chunk) { return chunk ? std::size_t{kFirst} << (chunk - 1) : kFirst; }

    std::array<std::atomic<T*>, kChunks> chunks_{};
};

}  // namespace threadproof
