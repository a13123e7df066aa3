/// ChunkArray: an array that grows while other threads read it. Its elements do not move, and begin as zeroes.
///
/// Invariants
///  1. The chunks are one after the other: an index is in one. Up to kEven elements each of them doubles the
///     array, as a small array has few; from there on it becomes an eighth larger than at the last power of two, so
///     that at most a ninth of it is unused.
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
    // 2 KiB of nodes
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

    /// How many chunks an array has at the most.
    static constexpr unsigned most() { return kChunks; }

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
    // An eighth of it is 16 KiB of nodes: an allocation of its own for smaller pieces would not pay.
    static constexpr unsigned kEvenBits = 12;
    static constexpr Index kEven = Index{1} << kEvenBits;
    static constexpr unsigned kDoubling = std::bit_width(kEven / kFirst);  ///< chunks below kEven
    static constexpr unsigned kStepBits = 3, kSteps = 1 << kStepBits;
    // 2^31 elements
    static constexpr unsigned kChunks = kDoubling + (31 - kEvenBits) * kSteps;

    static unsigned chunk_of(Index i) {
        if (i < kEven) return static_cast<unsigned>(std::bit_width(i / kFirst));
        const unsigned bits = static_cast<unsigned>(std::bit_width(i)) - 1;
        return kDoubling + (bits - kEvenBits) * kSteps + (i >> (bits - kStepBits) & (kSteps - 1));
    }
    static Index first_of(unsigned chunk) {
        if (chunk < kDoubling) return chunk ? kFirst << (chunk - 1) : 0;
        return (kSteps + (chunk - kDoubling) % kSteps) << (bits_of(chunk) - kStepBits);
    }
    static std::size_t size_of(unsigned chunk) {
        if (chunk < kDoubling) return chunk ? std::size_t{kFirst} << (chunk - 1) : kFirst;
        return std::size_t{1} << (bits_of(chunk) - kStepBits);
    }
    /// Of the indices in a chunk from kEven on.
    static unsigned bits_of(unsigned chunk) { return kEvenBits + (chunk - kDoubling) / kSteps; }

    std::array<std::atomic<T*>, kChunks> chunks_{};
};

}  // namespace threadproof
