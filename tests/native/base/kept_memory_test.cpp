/// Memory that is freed and comes again: zeroed, aligned, of the size asked for, and in one thread at a time.
#include <cstring>
#include <thread>
#include <vector>

#include "core/base/memory.hpp"
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
    void* memory = allocate_zeroed(bytes);
    CHECK(memory && is_zeroed(memory, bytes));
    CHECK(reinterpret_cast<std::uintptr_t>(memory) % kNoSharing == 0);
    return std::memset(memory, 0xff, bytes);
}

void free_at_once(void* memory, std::size_t bytes) { Released{memory, bytes}.all(); }

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
    threads_do_not_share_it();
}
