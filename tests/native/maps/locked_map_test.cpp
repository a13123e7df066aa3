/// LockedMap's core: random operations, with one table and with several, and with both kinds of lock; see
/// random_test.hpp.
#define CELLS_MAP Configured
#include "core/maps/locked_map/map.hpp"

template <class P>
struct Configured : threadproof::LockedMap<P> {
    static inline unsigned shard_bits = 0;
    static inline bool sharing = false;
    explicit Configured(std::uint64_t secret) : threadproof::LockedMap<P>(secret, shard_bits, sharing) {}
};

#include "maps/random_test.hpp"

// There are four kinds of map. A longer run: the second argument.
constexpr std::uint64_t kOperations = threadproof::stress::shrunk(15000, 8000);

int main(int argc, char** argv) {
    for (unsigned shard_bits : {0u, 2u}) {
        for (bool sharing : {false, true}) {
            cells::Map::shard_bits = shard_bits;
            cells::Map::sharing = sharing;
            cells::run_random_test("locked_map_test", argc, argv, kOperations);
        }
    }
    return 0;
}
