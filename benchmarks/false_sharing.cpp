/// How fast one thread reads a SyncMap's settled keys while another puts new keys into it, deletes them and
/// misses them. The values are numbers that nobody counts, so that only the map's own memory is shared.
/// Prints reads a second; see false_sharing.py.
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
    struct Probe {
        std::uint64_t hash;
    };
    static Match match(Word stored, const Probe& probe) {
        return stored == probe.hash << 3 ? Match::kYes : Match::kNo;
    }
    static Match equal(Word, const Probe&) { return Match::kNo; }
    static Word stored(const Probe& probe) { return probe.hash << 3; }
    static void hold(Word) {}
    static bool try_hold(Word) { return true; }
    static void open(Word) {}
    static void drop(Word) {}
    static std::size_t weight(Word) { return 0; }
    static bool deferred(Word) { return false; }
    static Word behind(Word turn) { return turn & ~Word{1}; }
};

using Map = threadproof::SyncMap<Numbers>;

constexpr std::uint64_t kSettled = 64;  // one part, in a first-level cache: what is slow then is the sharing

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
