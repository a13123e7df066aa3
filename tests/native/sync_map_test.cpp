/// SyncMap's core: random operations; see random_test.hpp.
#define CELLS_MAP threadproof::SyncMap
#include "core/sync_map.hpp"
#include "random_test.hpp"

// In the stress build hardly an operation is without a new table: under TSan 30,000 take minutes.
int main(int argc, char** argv) { return cells::run_random_test("sync_map_test", argc, argv, threadproof::stress::shrunk(30000, 8000)); }
