/// Memory that is freed and comes again: zeroed, aligned, of the size asked for, and in one thread at a time.
#include <cstring>
#include <thread>
#include <vector>

#include "core/base/memory.hpp"
#include "core/base/reclaim.hpp"
#include "core/maps/cache/chunks.hpp"
#include "core/maps/hash_map/table.hpp"
#include "kit/check.hpp"

using namespace threadproof;

namespace {

constexpr std::size_t kPiece = 64 * 1024;

bool is_zeroed(const void* memory, std::size_t bytes) {
    const auto* at = static_cast<const unsigned char*>(memory);
    for (std::size_t i = 0; i < bytes; ++i)
        if (at[i]) return false;
    return true;
}

void* filled(std::size_t bytes) {
    void* memory = allocate_zeroed(bytes, true, Reuse::kYes);
    CHECK(memory && is_zeroed(memory, bytes));
    CHECK(reinterpret_cast<std::uintptr_t>(memory) % kNoSharing == 0);
    return std::memset(memory, 0xff, bytes);
}

void free_at_once(void* memory, std::size_t bytes) { Released{memory, bytes, Reuse::kYes}.all(); }

void the_next_of_its_size_gets_it_zeroed() {
    for (std::size_t bytes : {kPiece, kMapFrom, 4 * kMapFrom}) {
        void* first = filled(bytes);
        free_at_once(first, bytes);
        void* second = filled(bytes);
        CHECK(!KeptMemory::kOn || second == first);
        free_at_once(second, bytes);
    }
}

void another_size_does_not() {
    free_at_once(filled(kPiece), kPiece);
    free_at_once(filled(kPiece + kNoSharing),
                 kPiece + kNoSharing);  // the piece is freed for it, and it is kept
    CHECK(!KeptMemory::take(kPiece));
    void* kept = KeptMemory::take(kPiece + kNoSharing);
    CHECK(!kept);  // so was the other by the last take()
}

void one_of_each_size_is_kept() {
    void *a = filled(kPiece), *b = filled(kPiece);
    CHECK(KeptMemory::keep(a, kPiece) == KeptMemory::kOn);
    CHECK(!KeptMemory::keep(b, kPiece));
    CHECK(KeptMemory::take(kPiece) == (KeptMemory::kOn ? a : nullptr));
    free_at_once(a, kPiece);
    free_at_once(b, kPiece);
}

void small_large_and_unaligned_memory_is_not_kept() {
    alignas(kNoSharing) static char place[kPiece];
    CHECK(!KeptMemory::keep(place, kNoSharing) && !KeptMemory::keep(place, 64 * kMapFrom));
    CHECK(!KeptMemory::keep(place + 16, kPiece / 2));
}

void empty() {
    KeptMemory::free_unused();
    KeptMemory::free_unused();
    CHECK(KeptMemory::bytes() == 0);
}

/// Until the second collection in which no table has needed it.
void unused_memory_is_given_back() {
    empty();
    free_at_once(filled(kPiece), kPiece);
    free_at_once(filled(kMapFrom), kMapFrom);
    CHECK(!KeptMemory::kOn || KeptMemory::bytes() == kPiece + kMapFrom);
    Reclaimer::collect();
    CHECK(!KeptMemory::kOn || KeptMemory::bytes() == kPiece + kMapFrom);
    free_at_once(filled(kPiece), kPiece);  // needed meanwhile
    Reclaimer::collect();
    CHECK(!KeptMemory::kOn || KeptMemory::bytes() == kPiece);
    Reclaimer::collect();
    CHECK(KeptMemory::bytes() == 0);
}

/// The rest of a chain, and a cache's nodes, are allocated under a bucket's lock: clearing takes too long there.
void what_is_allocated_under_a_lock_is_fresh() {
    using Table = Table<ByteLock>;
    constexpr unsigned kBits = 13;                            // its first segment is a piece that is kept
    constexpr std::uint32_t kSpare = (1u << kBits) / 32 + 1;  // as Table::make() has it
    constexpr std::size_t kSegment = kSpare * sizeof(Table::Bucket);
    empty();
    free_at_once(filled(kSegment), kSegment);
    const std::uint64_t kept = KeptMemory::bytes();
    Table* table = Table::make(kBits, 1, 1);
    Table::Bucket* last = &table->at(0);
    for (std::uint32_t i = 0; i <= kSpare; ++i) CHECK((last = table->extend(*last)) != nullptr);
    CHECK(KeptMemory::bytes() == kept);
    empty();
    const std::size_t all = table->bytes();
    table->free_now();
    CHECK(!KeptMemory::kOn || KeptMemory::bytes() == all - kSegment);

    using Chunks = ChunkArray<std::uint64_t>;
    constexpr Chunks::Index kElement = 1 << 15;  // of a chunk of 32 KiB
    empty();
    free_at_once(filled(kPiece / 2), kPiece / 2);
    const std::uint64_t before = KeptMemory::bytes();
    {
        Chunks chunks;
        CHECK(chunks.make(kElement) && chunks.bytes() == kPiece / 2);
        CHECK(KeptMemory::bytes() == before);
        empty();
    }
    CHECK(KeptMemory::bytes() == 0);
}

void threads_do_not_share_it() {
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i)
        threads.emplace_back([] {
            for (int round = 0; round < 2'000; ++round) {
                const std::size_t bytes = 8 * 1024 << round % 2;
                free_at_once(filled(bytes), bytes);
            }
        });
    for (auto& each : threads) each.join();
}

}  // namespace

int main() {
    the_next_of_its_size_gets_it_zeroed();
    another_size_does_not();
    one_of_each_size_is_kept();
    small_large_and_unaligned_memory_is_not_kept();
    unused_memory_is_given_back();
    what_is_allocated_under_a_lock_is_fresh();
    threads_do_not_share_it();
}
