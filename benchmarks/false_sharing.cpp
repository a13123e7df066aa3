/// The speed at which one thread reads a SyncMap's settled keys while another inserts new keys, deletes them
/// and misses them. The values are numbers without reference counts, so that only the map's own memory is
/// shared. Prints reads per second; see false_sharing.py.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>

#include "core/maps/sync_map/map.hpp"

using threadproof::Match;
using threadproof::Word;

namespace {

struct Numbers {
    static constexpr bool kThreads = true;
    struct Lookup {
        std::uint64_t hash;
    };
    static Match match(Word stored, const Lookup& lookup) {
        return stored == lookup.hash << 3 ? Match::kYes : Match::kNo;
    }
    static Match equal(Word, const Lookup&) { return Match::kNo; }
    static bool as_good(Word, const Lookup&) { return true; }
    static Word key_to_store(const Lookup& lookup) { return lookup.hash << 3; }
    static void retain(Word) {}
    static bool try_retain(Word) { return true; }
    static void enable_try_retain(Word) {}
    static void release(Word) {}
    static std::size_t weight(Word) { return 0; }
    static bool deferred(Word) { return false; }
    static Word old_value(Word reservation) { return reservation & ~Word{1}; }
};

using Map = threadproof::SyncMap<Numbers>;

constexpr std::uint64_t kSettled = 64;  // one part, in a first-level cache: so only sharing can be slow

void put(Map& map, std::uint64_t key, Word value) {
    map.change({key}, [&](Word) { return value; });
}

void come_and_go(Map& map, const std::atomic<bool>& done) {
    for (std::uint64_t key = kSettled; !done.load(std::memory_order_relaxed);
         key = kSettled + (key + 1) % 16) {
        Word value;
        put(map, key, 8);
        map.get({key}, &value);
        put(map, key, 0);
    }
}

}  // namespace

int main() {
    Map map(12345);
    Word value;
    for (std::uint64_t key = 0; key < kSettled; ++key) put(map, key, 8);
    for (std::uint64_t key = 0; map.stats().dirty_cells; ++key) map.get({key % kSettled}, &value);
    std::atomic<bool> done{false};
    std::thread writer([&] { come_and_go(map, done); });
    auto begin = std::chrono::steady_clock::now();
    std::uint64_t reads = 0;
    for (; std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(500); reads += 1024)
        for (std::uint64_t i = 0; i < 1024; ++i) map.get({i % kSettled}, &value);
    done.store(true);
    writer.join();
    std::printf("%.0f\n", 2.0 * static_cast<double>(reads));
    map.clear();
}
