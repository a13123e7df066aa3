/// Where keys belong: the same hash in tables of all sizes. The first argument sets the seed, which is
/// printed.
#include <random>

#include "core/maps/hash_map/position.hpp"
#include "kit/claims.hpp"

using namespace cells;
using threadproof::coarser_index;
using threadproof::index_of_prefix;
using threadproof::Placement;

namespace {

std::mt19937_64 random_number;

/// Calls check(placement, hash) with hashes that are dense, random, and equal in their low or high bits.
template <class Check>
void many_hashes(Check check) {
    for (int secrets = 0; secrets < 20; ++secrets) {
        Placement placement(random_number());
        for (std::uint64_t i = 0; i < 1000; ++i) {
            std::uint64_t any = random_number();
            for (std::uint64_t hash : {i, any, any << 32, any & 0xffff}) check(placement, hash);
        }
    }
}

std::size_t bucket(const Placement& placement, std::uint64_t hash, unsigned bits) {
    return bits == 0 ? 0 : index_of_prefix(placement.position(hash) >> (64 - bits), bits);
}

void a_bucket_is_in_the_table() {
    many_hashes([](const Placement& placement, std::uint64_t hash) {
        for (unsigned bits = 0; bits <= 30; ++bits)
            CHECK(bucket(placement, hash, bits) < std::size_t{1} << bits);
    });
}

void the_home_that_a_reader_computes_owns_the_position() {
    for (unsigned bits : {0, 1, 5, 10, 11, 13}) {
        Placement placement(random_number());
        auto* table = threadproof::Table<threadproof::ByteLock>::make(bits, placement.multiplier(), 1);
        for (std::uint64_t i = 0; i < 10000; ++i) {
            std::uint64_t hash = i % 2 ? i : random_number();
            CHECK(&table->home(hash) == &table->at_position(placement.position(hash)));
        }
        table->free_now();
    }
}

void what_lies_in_one_bucket_goes_to_one_bucket_of_a_smaller_table() {
    many_hashes([](const Placement& placement, std::uint64_t hash) {
        for (unsigned bits = 0; bits <= 24; ++bits)
            for (unsigned fewer = 0; fewer <= bits; ++fewer)
                CHECK(coarser_index(bucket(placement, hash, bits), bits, fewer)
                      == bucket(placement, hash, fewer));
    });
}

void a_large_table_shrinks_and_loses_nothing() {
    Map map(1);
    std::set<std::uint64_t> left;
    for (std::uint64_t key = 0; key < 40'000; ++key) put(map, key, key);
    std::uint64_t resizes = map.stats().resizes, buckets = map.stats().buckets;
    for (std::uint64_t key = 0; key < 40'000; ++key)
        key % 32 == 0 ? (void)left.insert(key) : (void)remove(map, key);
    while (map.stats().resizing) remove(map, 1);
    CHECK(map.stats().resizes > resizes && map.stats().buckets < buckets);
    map.check();
    CHECK(iterate(map) == left);
    map.release_contents();
}

}  // namespace

int main(int argc, char** argv) {
    std::uint64_t seed = argc > 1 ? std::stoull(argv[1]) : std::random_device()();
    std::printf("position_test: seed %llu\n", static_cast<unsigned long long>(seed));
    random_number.seed(seed);
    return run_claims(1, argv,
                      {
                          CLAIM(a_bucket_is_in_the_table),
                          CLAIM(the_home_that_a_reader_computes_owns_the_position),
                          CLAIM(what_lies_in_one_bucket_goes_to_one_bucket_of_a_smaller_table),
                          CLAIM(a_large_table_shrinks_and_loses_nothing),
                      });
}
