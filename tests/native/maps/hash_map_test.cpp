/// HashMap's core: random operations; see random_test.hpp.
#include "maps/random_test.hpp"

int main(int argc, char** argv) { return cells::run_random_test("hash_map_test", argc, argv); }
