/// SyncMap's core: random operations; see random_test.hpp.
#define CELLS_MAP threadproof::SyncMap
#include "core/maps/sync_map/map.hpp"
#include "maps/random_test.hpp"

// Hashes that are all alike make chains of tables, which the sanitizers take minutes for; and in the stress
// build hardly an operation is without a new table. A longer run: the second argument.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr std::uint64_t kOperations = 5000;
#else
constexpr std::uint64_t kOperations = threadproof::stress::shrunk(30000, 8000);
#endif

int main(int argc, char** argv) { return cells::run_random_test("sync_map_test", argc, argv, kOperations); }
