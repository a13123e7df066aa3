/// Another map than HashMap, composed of the same parts: at most kMost keys; keys that were read lately stay.
/// The slot's data is one bit for that. The test shows that the parts can be composed: with data in the
/// slots, and with own steps when a key is read, added and removed.
///
/// The first argument chooses the claims by a part of their names.
#include <random>
#include <thread>

#include "core/maps/hash_map/bucket_map.hpp"
#include "kit/claims.hpp"

using namespace cells;

namespace {

struct BoundedPolicy : Policy {
    using SlotData = std::uint8_t;  ///< 1: read since the hand of the clock came by
};

/// Source of the rule: the CLOCK algorithm (Corbató). Keys that only equal() can compare are not for it.
class BoundedMap : public threadproof::BucketMap<BoundedPolicy> {
    using Base = threadproof::BucketMap<BoundedPolicy>;

 public:
    using Lookup = Policy::Lookup;
    static constexpr int kSlots = Bucket::kSlots;

    explicit BoundedMap(std::int64_t most) : Base(1), most_(most) {}
    ~BoundedMap() { release_contents(); }

    /// The value, retained, or 0.
    Word get(const Lookup& lookup) {
        for (;;) {
            Word value = 0;
            Chains::Step step;
            {
                Guard guard;
                Cursor at;
                tables_.arrive(at, lookup.hash);
                step = Chains::read<true>(at, lookup, nullptr, &value);
                if (step == Chains::Step::kHit)
                    at.bucket->data.of[at.slot].store(1, std::memory_order_relaxed);
            }
            if (step == Chains::Step::kHit) return value;
            if (step == Chains::Step::kMiss) return 0;
            if (step == Chains::Step::kReleaseValue) Policy::release(value);
        }
    }

    /// Exchanges the data of a key's slot.
    std::uint8_t mark(const Lookup& lookup, std::uint8_t data) {
        Guard guard;
        Cursor at;
        tables_.arrive(at, lookup.hash);
        CHECK(Chains::seek(at, lookup, nullptr) == Chains::Found::kYes);
        return at.bucket->data.of[at.slot].exchange(data, std::memory_order_relaxed);
    }

    /// Stores a value, whose reference goes to the map; another key may be evicted.
    void put(const Lookup& lookup, Word value) {
        DeferredCleanup cleanup;
        Word old = 0;
        {
            WriterSection section(gate_);
            Cursor at;
            {
                Tables::Locked home(host(), tables_, at, lookup.hash, &cleanup.emptied);
                if (Chains::seek(at, lookup, nullptr) == Chains::Found::kYes) {
                    old = at.bucket->value[at.slot].load(std::memory_order_relaxed);
                    overwrite_or_remove(at, old, value, cleanup);
                } else {
                    int slot;
                    Bucket* bucket = insert(*at.table, *at.home, lookup, value, &slot);
                    CHECK(bucket);
                    bucket->data.of[slot].store(1, std::memory_order_relaxed);
                }
            }
            if (!old) consider_resize(at.table, 1);
        }
        if (old) Policy::release(old);
        dispose(cleanup);
        while (size() > most_) evict_from_next_bucket();
    }

 private:
    void evict_from_next_bucket() {
        DeferredCleanup cleanup;
        Word gone = 0;
        {
            WriterSection section(gate_);
            Walk walk{hand_.load()};
            Table* table;
            {
                Tables::LockedAt home(tables_, walk);
                table = home.table;
                Cursor victim{};
                Chains::each_slot(
                    *home.table, *home.bucket, [&](Bucket& bucket, int slot, Word key, Word value) {
                        if (bucket.data.of[slot].exchange(0, std::memory_order_relaxed) || victim.bucket)
                            return;
                        victim = {home.table, 0, home.bucket, 0, &bucket, slot, key};
                        gone = value;
                    });
                if (victim.bucket) overwrite_or_remove(victim, gone, 0, cleanup);
            }
            hand_.store(walk.position);
            if (gone) consider_resize(table, -1);
        }
        if (gone) Policy::release(gone);
        dispose(cleanup);
    }

    const std::int64_t most_;
    std::atomic<std::uint64_t> hand_{0};
};

/// Of the kinds that are compared natively.
std::uint64_t key_number(std::uint64_t i) { return i + i / 2 + 1; }

void put(BoundedMap& map, std::uint64_t key) { map.put(BoundedMap::Lookup(key), word(Pool::make(key))); }
bool has(BoundedMap& map, std::uint64_t key) {
    Word value = map.get(BoundedMap::Lookup(key));
    if (!value) return false;
    CHECK(cell(value)->number.load() == key);
    Policy::release(value);
    return true;
}

void a_slot_with_data_leaves_room_for_one_slot_less() {
    CHECK(BoundedMap::kSlots == 4);
    CHECK((threadproof::Bucket<threadproof::ByteLock>::kSlots == 5));
}

void it_has_no_more_keys_than_it_may_have() {
    constexpr std::uint64_t kKeys = 3000;
    BoundedMap map(500);
    for (std::uint64_t i = 0; i < kKeys; ++i) {
        put(map, key_number(i));
        CHECK(map.size() <= 500 && has(map, key_number(i)));
    }
    map.check();
    std::int64_t found = 0;
    for (std::uint64_t i = 0; i < kKeys; ++i) found += has(map, key_number(i));
    CHECK(found == map.size() && found == 500);
}

void a_key_that_is_read_again_and_again_stays() {
    BoundedMap map(100);
    for (std::uint64_t i = 0; i < 5000; ++i) {
        put(map, key_number(i));
        for (std::uint64_t favourite = 0; favourite < 5 && favourite <= i; ++favourite)
            CHECK(has(map, key_number(favourite)));
    }
    map.check();
}

void the_data_of_a_slot_moves_with_its_key() {
    BoundedMap map(1000);
    auto data_of = [](std::uint64_t i) { return static_cast<std::uint8_t>(i % 100 + 2); };
    for (std::uint64_t i = 0; i < 1000; ++i) {
        put(map, key_number(i));
        CHECK(map.mark(BoundedMap::Lookup(key_number(i)), data_of(i)) == 1);
    }
    CHECK(map.stats().resizes > 1);
    for (std::uint64_t i = 0; i < 1000; ++i)
        CHECK(map.mark(BoundedMap::Lookup(key_number(i)), 0) == data_of(i));
}

void the_steps_on_the_whole_map_are_those_of_every_map() {
    BoundedMap map(300);
    for (std::uint64_t i = 0; i < 400; ++i) put(map, key_number(i));
    auto copied = map.snapshot();
    CHECK(copied.size() == 300);
    BoundedMap::release_all(copied);
    std::vector<BoundedMap::Entry> batch;
    std::size_t seen = 0;
    for (BoundedMap::Walk walk; map.next_batch(walk, batch); BoundedMap::release_all(batch))
        seen += batch.size();
    CHECK(seen == 300);
    map.clear();
    CHECK(map.size() == 0);
    map.check();
}

void threads_may_share_it() {
    BoundedMap map(200);
    auto work = [&](unsigned seed) {
        std::mt19937_64 random(seed);
        for (int i = 0; i < 20000; ++i) {
            std::uint64_t key = key_number(random() % 600);
            switch (random() % 8) {
                case 0:
                case 1: put(map, key); break;
                case 2:
                    if (random() % 200 == 0) map.clear();
                    break;
                default: has(map, key);
            }
        }
    };
    std::thread a(work, 1), b(work, 2), c(work, 3);
    for (std::thread* each : {&a, &b, &c}) each->join();
    map.check();
    CHECK(map.size() <= 200);
}

}  // namespace

int main(int argc, char** argv) {
    return run_claims(argc, argv,
                      {
                          CLAIM(a_slot_with_data_leaves_room_for_one_slot_less),
                          CLAIM(it_has_no_more_keys_than_it_may_have),
                          CLAIM(a_key_that_is_read_again_and_again_stays),
                          CLAIM(the_data_of_a_slot_moves_with_its_key),
                          CLAIM(the_steps_on_the_whole_map_are_those_of_every_map),
                          CLAIM(threads_may_share_it),
                      });
}
