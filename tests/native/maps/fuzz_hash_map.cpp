/// One list of operations, replayed on a HashMap and on a std::map, which must agree after each. As a
/// libFuzzer target (`make fuzz`) the fuzzer makes the list; without libFuzzer, main() makes random lists:
/// the first argument is the seed, the second the number of lists.
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "maps/operations.hpp"

using namespace cells;

namespace {

/// Numbers from a list of bytes; zeroes after its end.
class Bytes {
 public:
    Bytes(const std::uint8_t* data, std::size_t size) : at_(data), end_(data + size) {}
    bool done() const { return at_ == end_; }
    std::uint8_t next() { return done() ? 0 : *at_++; }

 private:
    const std::uint8_t *at_, *end_;
};

/// Both maps, and what is under way on them.
class Replay {
 public:
    explicit Replay(Bytes bytes) : bytes_(bytes) {
        using Hash = std::uint64_t (*)(std::uint64_t);
        static const Hash hashes[] = {Policy::itself, [](std::uint64_t) { return std::uint64_t{7}; },
                                      [](std::uint64_t k) { return k % 4; },
                                      [](std::uint64_t k) { return k << 40; }};
        Policy::hash_of = hashes[bytes_.next() % 4];
    }
    ~Replay() {
        settle_all();
        map_.check();
        CHECK(iterate(map_) == model_keys());
        map_.release_contents();
    }

    void run() {
        while (!bytes_.done()) step();
    }

 private:
    void step() {
        std::uint8_t operation = bytes_.next();
        std::uint64_t key = bytes_.next();
        switch (operation % 16) {
            case 0:
            case 1: return store(key);
            case 2: return erase(key);
            case 3: return read(key);
            case 4: return read_group(key);
            case 5: return begin(key);
            case 6: return settle(key);
            case 7: return replace(key);
            case 8: return walk();
            case 9: return empty_both(key);
            case 10: return must_match(map_.snapshot());
            case 11: return many(key, true);
            case 12: return many(key, false);
            case 13: return map_.reserve(key);
            case 14: return map_.check();
            case 15: return fill_all(key);
            default: return look_at_the_whole();
        }
    }

    // ---- one key

    void store(std::uint64_t key) {
        bool busy = computations_.contains(key);
        CHECK(put(map_, key, ++value_) == !busy);
        if (!busy) set(key, value_);
    }
    void erase(std::uint64_t key) {
        bool busy = computations_.contains(key);
        CHECK(remove(map_, key) == (!busy && model_.contains(key)));
        if (!busy) unset(key);
    }
    void read(std::uint64_t key) const {
        CHECK(look(map_, key) == expected(key));
        CHECK(has(map_, key) == model_.contains(key));
    }
    void read_group(std::uint64_t first) const {
        std::vector<Policy::Lookup> lookups;
        for (std::uint64_t i = 0; i < Map::kGroup; ++i) lookups.emplace_back((first + i) % 256);
        map_.prefetch_group(lookups.data(), Map::kGroup);
        map_.get_group(lookups.data(), Map::kGroup, [&](unsigned i, Outcome outcome, Word value) {
            CHECK(outcome <= Outcome::kPresent);
            CHECK(spend(lookups[i].key, outcome == Outcome::kPresent ? value : 0)
                  == expected(lookups[i].key));
        });
    }
    /// A compare-and-swap, or a deletion, by identity.
    void replace(std::uint64_t key) {
        Word seen = 0;
        if (map_.get(Policy::Lookup(key), &seen) != Outcome::kPresent) return CHECK(!model_.contains(key));
        bool swap = bytes_.next() % 2, busy = computations_.contains(key);
        Word next = swap ? value_for(key, ++value_) : 0;
        CHECK(map_.replace_exact(Policy::hash_of(key), 0, seen, next) == !busy);
        if (busy && next) Policy::release(next);
        Policy::release(seen);  // ours
        if (busy) return;
        Policy::release(seen);  // the slot's
        swap ? set(key, value_) : unset(key);
    }

    void begin(std::uint64_t key) {
        auto computation = std::make_unique<Computation>(map_, key);
        CHECK(computation->begun() == !computations_.contains(key));
        if (computation->begun()) computations_[key] = std::move(computation);
    }
    void settle(std::uint64_t key) {
        auto found = computations_.lower_bound(key);
        if (found == computations_.end()) return;
        key = found->first;
        switch (bytes_.next() % 3) {
            case 0: CHECK(found->second->store(++value_)), set(key, value_); break;
            case 1: CHECK(found->second->remove()), unset(key); break;
            default: CHECK(found->second->restore());
        }
        computations_.erase(found);
    }
    void settle_all() {
        for (auto& [key, computation] : computations_) CHECK(computation->restore());
        computations_.clear();
    }

    // ---- the whole map

    void empty_both(std::uint64_t how) {
        if (how % 2) map_.clear();
        else CHECK(drain(map_) == model_keys());
        for (auto& [key, computation] : computations_) CHECK(!computation->restore());
        computations_.clear();
        while (!model_.empty()) unset(model_.begin()->first);
    }
    void many(std::uint64_t first, bool come) {
        for (std::uint64_t i = 0; i < 64; ++i) come ? store((first + i) % 256) : erase((first + i) % 256);
    }
    void fill_all(std::uint64_t first) {
        std::vector<std::uint64_t> keys;
        for (std::uint64_t i = 0; i < first % 64; ++i) keys.push_back((first + i) % 256);
        bool empty = model_.empty() && computations_.empty();
        CHECK(fill(map_, keys, ++value_, computations_.empty()) == empty);
        if (!empty) return;
        for (std::uint64_t key : keys)
            if (look(map_, key) != kNone) set(key, value_);  // but those that only equal() can tell apart
        map_.trim();
    }
    void must_match(Map::Entries entries) const {
        CHECK(entries.size() == model_.size());
        for (const Map::Entry& e : entries) CHECK(low_of(e.value) == expected(key_of(e.value)));
        Map::release_all(entries);
    }
    void look_at_the_whole() const {
        CHECK(map_.size() == static_cast<std::int64_t>(model_.size()));
        CHECK(map_.stats().size == map_.size());
        CHECK(iterate(map_) == model_keys());
    }

    /// One step of an iteration that goes on through everything else.
    void walk() {
        if (!walk_) walk_.emplace(), stayed_ = model_keys(), seen_.clear();
        std::vector<Map::Entry> batch;
        bool more = map_.next_batch(*walk_, batch);
        for (const Map::Entry& e : batch) CHECK(low_of(e.value) == expected(key_of(e.value)));
        for (std::uint64_t key : keys_of(batch)) {
            CHECK(seen_.insert(key).second);
            stayed_.erase(key);
        }
        if (more) return;
        CHECK(stayed_.empty());
        walk_.reset();
    }

    // ---- the model

    void set(std::uint64_t key, std::uint64_t value) { model_[key] = value; }
    void unset(std::uint64_t key) {
        model_.erase(key);
        stayed_.erase(key);
    }
    std::int64_t expected(std::uint64_t key) const {
        auto found = model_.find(key);
        return found == model_.end() ? kNone : static_cast<std::int64_t>(found->second);
    }
    std::set<std::uint64_t> model_keys() const {
        std::set<std::uint64_t> keys;
        for (auto& [key, value] : model_) keys.insert(key);
        return keys;
    }

    Bytes bytes_;
    mutable Map map_{1};
    std::map<std::uint64_t, std::uint64_t> model_;
    // one that is destroyed leaves its reservation to others
    std::map<std::uint64_t, std::unique_ptr<Computation>> computations_;
    std::uint64_t value_ = 0;

    std::optional<Map::Walk> walk_;
    std::set<std::uint64_t> seen_;    ///< by the walk: none may come twice
    std::set<std::uint64_t> stayed_;  ///< since the walk began, and has not been seen
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Replay(Bytes(data, size)).run();
    nothing_is_left();
    return 0;
}

#ifndef THREADPROOF_LIBFUZZER
int main(int argc, char** argv) {
    std::uint64_t seed = argc > 1 ? std::stoull(argv[1]) : std::random_device()();
    std::uint64_t lists = argc > 2 ? std::stoull(argv[2]) : 300;
    std::printf("fuzz_hash_map: seed %llu, %llu lists\n", static_cast<unsigned long long>(seed),
                static_cast<unsigned long long>(lists));
    std::mt19937_64 random(seed);
    for (std::uint64_t i = 0; i < lists; ++i) {
        std::vector<std::uint8_t> list(random() % 2000);
        for (std::uint8_t& byte : list) byte = static_cast<std::uint8_t>(random());
        LLVMFuzzerTestOneInput(list.data(), list.size());
    }
    std::printf("fuzz_hash_map: ok\n");
}
#endif
