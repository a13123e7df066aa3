/// No memory, at every allocation in turn: each step is taken with n allocations left, for n = 0, 1, 2, ...
/// until that is enough. After each, the map passes its own check, has its old content or the promised one,
/// has lost no reference, and works once there is memory again. Allocations can fail only in the stress
/// build.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <new>
#include <semaphore>

#include "kit/actor.hpp"
#include "kit/claims.hpp"

namespace stress = threadproof::stress;

// The core allocates by allocate_zeroed(), which asks starve() itself, and by these. Apart, so that the
// compiler does not see through them and take a delete for the wrong one.
#define APART __attribute__((noinline))
APART void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
    return stress::starve() ? nullptr : std::malloc(bytes);
}
APART void* operator new(std::size_t bytes) {
    if (void* memory = operator new(bytes, std::nothrow)) return memory;
    throw std::bad_alloc();
}
APART void* operator new(std::size_t bytes, std::align_val_t alignment) {
    if (void* memory =
            stress::starve() ? nullptr : std::aligned_alloc(static_cast<std::size_t>(alignment), bytes))
        return memory;
    throw std::bad_alloc();
}
APART void operator delete(void* memory) noexcept { std::free(memory); }
APART void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
APART void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
APART void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

using namespace cells;

namespace {

/// That many allocations succeed, and no more while this lives.
class Scarce {
 public:
    explicit Scarce(std::int64_t allocations) { stress::allocations_left.store(allocations); }
    ~Scarce() { end(); }
    /// How many were not needed.
    std::int64_t end() { return stress::allocations_left.exchange(-1); }
};

/// A second thread the core knows of, which does nothing: with it, what is retired has to be noted down.
class Company {
 public:
    Company()
        : thread_([this] {
              threadproof::Threads::mine();
              ready_.release();
              over_.acquire();
          }) {
        ready_.acquire();
    }
    ~Company() {
        over_.release();
        thread_.join();
    }

 private:
    std::binary_semaphore ready_{0}, over_{0};
    std::thread thread_;
};

// of one hash, more than the room for overflow that a table of 32 buckets has at first
constexpr std::uint64_t kKeys = 60;

/// What the map should hold; not on the heap.
struct Model {
    std::array<std::int64_t, kKeys> values;

    Model() { values.fill(kNone); }
    std::size_t size() const {
        return kKeys - static_cast<std::size_t>(std::count(values.begin(), values.end(), kNone));
    }

    /// Whether these are all its entries; gives them up.
    void must_be(Map::Entries& entries) const {
        CHECK(entries.size() == size());
        for (const Map::Entry& e : entries) {
            CHECK(key_of(e.value) == Policy::number(e.key));
            CHECK(low_of(e.value) == values[key_of(e.value)]);
        }
        Map::release_all(entries);
    }
};

void compare(Map& map, const Model& model) {
    map.check();
    CHECK(map.size() == static_cast<std::int64_t>(model.size()));
    for (std::uint64_t key = 0; key < kKeys; ++key) CHECK(look(map, key) == model.values[key]);
    Map::Entries all = map.snapshot();
    model.must_be(all);
}

/// By writes to another bucket than the one that could not be moved.
void finish_resizing(Map& map) {
    for (int writes = 0; map.stats().resizing; ++writes) {
        remove(map, kKeys);
        CHECK(writes < 1000);
    }
}

/// With memory again: a resize that got stuck comes to its end, everything can be removed and stored, and the
/// table grows.
void must_work_on(Map& map, Model& model) {
    finish_resizing(map);
    compare(map, model);
    for (std::uint64_t key = 0; key < kKeys; ++key) remove(map, key), model.values[key] = kNone;
    compare(map, model);
    for (std::uint64_t key = 0; key < kKeys; ++key)
        put(map, key, key + 500), model.values[key] = static_cast<std::int64_t>(key + 500);
    finish_resizing(map);
    compare(map, model);
    CHECK(map.stats().buckets * Map::Tables::kLoad >= kKeys);
}

/// A step is taken with `scarce` memory, and notes in the model what it has done.
using Step = void (*)(Map& map, Model& model, Scarce& scarce);

/// Returns how many allocations the step left over.
std::int64_t take(Step step, std::uint64_t filled, std::int64_t allocations) {
    Map map(1);
    Model model;
    for (std::uint64_t key = 0; key < filled; ++key)
        put(map, key, key), model.values[key] = static_cast<std::int64_t>(key);
    Scarce scarce(allocations);
    step(map, model, scarce);
    std::int64_t left = scarce.end();
    compare(map, model);
    must_work_on(map, model);
    map.release_contents();
    return left;
}

void short_of_memory(Step step) {
    for (bool one_hash : {false, true}) {
        if (one_hash) Policy::hash_of = [](std::uint64_t key) { return key < kKeys ? 7 : key; };
        for (std::uint64_t filled : {std::uint64_t{0}, std::uint64_t{3}, std::uint64_t{17}, kKeys}) {
            for (std::int64_t allocations = 0; take(step, filled, allocations) <= 0; ++allocations)
                nothing_is_left();
            Company company;
            for (std::int64_t allocations = 0; take(step, filled, allocations) <= 0; ++allocations)
                nothing_is_left();
        }
    }
}

// ---- claims

/// First of all, while no former thread has left its slot for another.
void a_thread_that_gets_no_slot_does_nothing_and_tries_again() {
    Map map(1);
    put(map, 1, 1);
    bool failed = false;
    std::thread([&] {
        stress::allocations_left.store(0);
        try {
            look(map, 1);
        } catch (const std::bad_alloc&) {
            failed = true;
        }
        stress::allocations_left.store(-1);
        CHECK(look(map, 1) == 1);
    }).join();
    CHECK(failed);
    map.release_contents();
}

void no_map_is_made_where_there_is_no_memory_for_it() {
    Scarce scarce(0);
    bool failed = false;
    try {
        Map map(1);
    } catch (const std::bad_alloc&) {
        failed = true;
    }
    CHECK(failed);
}

void a_value_is_stored_or_nothing_has_changed() {
    short_of_memory([](Map& map, Model& model, Scarce&) {
        for (std::uint64_t key = 0; key < kKeys; ++key)
            if (try_put(map, key, key + 100) != Outcome::kNoMemory)
                model.values[key] = static_cast<std::int64_t>(key + 100);
    });
}

void a_key_is_removed_or_nothing_has_changed() {
    short_of_memory([](Map& map, Model& model, Scarce&) {
        for (std::uint64_t key = 0; key < kKeys; ++key)
            if (try_remove(map, key) != Outcome::kNoMemory) model.values[key] = kNone;
    });
}

void a_value_is_read_or_there_is_no_answer() {
    short_of_memory([](Map& map, Model& model, Scarce&) {
        for (std::uint64_t key = 0; key < kKeys; ++key) {
            Word value = 0;
            Outcome outcome = map.get(Policy::Lookup(key), &value);
            if (outcome != Outcome::kNoMemory)
                CHECK(spend(key, outcome == Outcome::kPresent ? value : 0) == model.values[key]);
            outcome = map.contains(Policy::Lookup(key));
            if (outcome != Outcome::kNoMemory)
                CHECK((outcome == Outcome::kPresent) == (model.values[key] != kNone));
        }
    });
}

void a_computation_takes_place_or_nothing_has_changed() {
    short_of_memory([](Map& map, Model& model, Scarce&) {
        for (std::uint64_t key = 0; key < kKeys; ++key) {
            Computation computation(map, key);
            if (!computation.begun()) CHECK(computation.outcome() == Outcome::kNoMemory);
            else if (key % 3 == 0) CHECK(computation.store(9)), model.values[key] = 9;
            else if (key % 3 == 1) CHECK(computation.remove()), model.values[key] = kNone;
            else CHECK(computation.restore());
        }
    });
}

void a_clear_takes_place_or_nothing_has_changed() {
    short_of_memory([](Map& map, Model& model, Scarce&) {
        try {
            map.clear();
            model.values.fill(kNone);
        } catch (const std::bad_alloc&) {
        }
    });
}

void a_refused_clear_changes_nothing() {
    short_of_memory([](Map& map, Model&, Scarce&) {
        try {
            CHECK(map.detach([](std::int64_t) { return false; }) == nullptr);
        } catch (const std::bad_alloc&) {
        }
    });
}

void a_snapshot_is_whole_or_there_is_none() {
    short_of_memory([](Map& map, Model& model, Scarce&) {
        try {
            Map::Entries all = map.snapshot();
            model.must_be(all);
        } catch (const std::bad_alloc&) {
        }
    });
}

void an_iteration_goes_on_when_there_is_memory_again() {
    short_of_memory([](Map& map, Model& model, Scarce& scarce) {
        std::vector<Map::Entry> batch;
        Map::Walk walk;
        std::array<bool, kKeys> seen{};
        std::int64_t left = 0;
        for (bool more = true; more;) {
            try {
                more = map.next_batch(walk, batch);
            } catch (const std::bad_alloc&) {
                CHECK(batch.empty());
                left = scarce.end();
                continue;
            }
            for (const Map::Entry& e : batch) CHECK(!std::exchange(seen[key_of(e.value)], true));
            Map::release_all(batch);
        }
        for (std::uint64_t key = 0; key < kKeys; ++key) CHECK(seen[key] == (model.values[key] != kNone));
        // it did fail
        if (left == 0 && stress::allocations_left.load() < 0) stress::allocations_left.store(0);
    });
}

void a_filled_table_is_published_or_nothing_has_changed() {
    short_of_memory([](Map& map, Model& model, Scarce&) {
        try {
            std::vector<std::uint64_t> keys;
            keys.reserve(kKeys);
            for (std::uint64_t key = 0; key < kKeys; key += 2) keys.push_back(key);
            const bool empty = model.size() == 0;
            CHECK(fill(map, keys, 7) == empty);
            for (std::uint64_t key : keys)
                if (empty && has(map, key)) model.values[key] = 7;
            map.trim();
        } catch (const std::bad_alloc&) {
        }
    });
}

void a_table_that_is_too_large_stays_where_there_is_no_memory_for_another() {
    short_of_memory([](Map& map, Model&, Scarce&) {
        if (map.expect(50 * kKeys)) map.trim();
    });
}

void room_is_made_or_there_is_an_error() {
    short_of_memory([](Map& map, Model&, Scarce&) {
        try {
            map.reserve(Map::Tables::capacity(5));
            CHECK(map.stats().buckets >= 32 && !map.stats().resizing);
        } catch (const std::bad_alloc&) {
        }
    });
}

void a_writer_is_not_harmed_by_a_snapshot_that_has_no_memory() {
    Map map(1);
    map.reserve(2 * kKeys);
    for (std::uint64_t key = 0; key < kKeys; ++key) put(map, key, 1);
    bool failed = false;
    Actor copier(
        [&] {
            try {
                snapshot(map);
            } catch (const std::bad_alloc&) {
                failed = true;
            }
        },
        Window::kSnapshotOpen);
    copier.must_be_held();
    Scarce scarce(0);
    for (std::uint64_t key = 0; key < kKeys; ++key) put(map, key, 2);
    scarce.end();
    copier.finish();
    CHECK(failed);
    for (std::uint64_t key = 0; key < kKeys; ++key) CHECK(look(map, key) == 2);
    CHECK(snapshot(map).size() == kKeys);
    map.check();
    map.release_contents();
}

/// After a clear a table grows by 16, to 16 buckets first; here there is memory for 4 only.
void a_table_grows_less_where_there_is_no_memory_for_much() {
    Map map(1);
    for (std::uint64_t key = 0; key < 200; ++key) put(map, key, key);
    map.clear();
    stress::most_bytes.store(2048);
    for (std::uint64_t key = 0; key < 12; ++key) put(map, key, key);
    finish_resizing(map);
    stress::most_bytes.store(~std::size_t{0});
    CHECK(map.stats().buckets == 4);
    map.check();
    map.release_contents();
}

}  // namespace

int main(int argc, char** argv) {
    threadproof::Threads::mine();  // this thread's slot, so that only the other's can be missing
    return run_claims(argc, argv,
                      {
                          CLAIM(a_thread_that_gets_no_slot_does_nothing_and_tries_again),
                          CLAIM(no_map_is_made_where_there_is_no_memory_for_it),
                          CLAIM(a_value_is_stored_or_nothing_has_changed),
                          CLAIM(a_key_is_removed_or_nothing_has_changed),
                          CLAIM(a_value_is_read_or_there_is_no_answer),
                          CLAIM(a_computation_takes_place_or_nothing_has_changed),
                          CLAIM(a_clear_takes_place_or_nothing_has_changed),
                          CLAIM(a_refused_clear_changes_nothing),
                          CLAIM(a_snapshot_is_whole_or_there_is_none),
                          CLAIM(an_iteration_goes_on_when_there_is_memory_again),
                          CLAIM(a_writer_is_not_harmed_by_a_snapshot_that_has_no_memory),
                          CLAIM(a_filled_table_is_published_or_nothing_has_changed),
                          CLAIM(a_table_that_is_too_large_stays_where_there_is_no_memory_for_another),
                          CLAIM(room_is_made_or_there_is_an_error),
                          CLAIM(a_table_grows_less_where_there_is_no_memory_for_much),
                      });
}
