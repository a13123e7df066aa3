/// The policy of a cache: its lists compared with a slow and simple model, its sketch with exact counts, and the
/// share of hits on made-up workloads, each of a kind that another policy fails on.
///
/// The first argument chooses the claims by a part of their names, the second sets the seed, which is printed.
#include <cstdlib>
#include <list>
#include <map>
#include <random>
#include <vector>

#include "core/maps/cache/policy.hpp"
#include "kit/claims.hpp"

using namespace cells;
using threadproof::CachePolicy;
using threadproof::FrequencySketch;
using threadproof::Segment;
using threadproof::SegmentNode;
using threadproof::Segments;

namespace {

std::uint64_t seed = std::random_device{}();

struct Nodes {
    using Node = SegmentNode;
    Node& operator[](std::uint32_t i) { return all[i]; }
    std::vector<Node> all;
};

Nodes nodes_of(std::uint32_t count) {
    Nodes nodes{std::vector<SegmentNode>(count + 1)};
    for (std::uint32_t i = 1; i <= count; ++i) nodes[i] = {i, 0, 0, 1, Segment::kNone};
    return nodes;
}

// ---- the lists

/// Segments as lists that are searched from one end to the other.
class SlowSegments {
 public:
    SlowSegments(std::uint64_t max, double share) { set(max, share); }

    void set(std::uint64_t max, double share) {
        max_ = max;
        window_max_ = std::clamp<std::uint64_t>(static_cast<std::uint64_t>(share * static_cast<double>(max)),
                                                max > 0 ? 1 : 0, max);
        protected_max_ = (max - window_max_) * 80 / 100;
    }
    bool has(std::uint32_t i) const { return weights_.contains(i); }
    void insert(std::uint32_t i, std::uint32_t weight) {
        weights_[i] = weight;
        (weight ? window_ : pinned_).push_front(i);
    }
    void use(std::uint32_t i) {
        if (in(window_, i)) to_front(window_, window_, i);
        else if (in(protected_, i)) to_front(protected_, protected_, i);
        else if (in(probation_, i)) to_front(probation_, protected_, i), demote();
    }
    void remove(std::uint32_t i) {
        for (auto* list : {&window_, &probation_, &protected_, &pinned_}) list->remove(i);
        weights_.erase(i);
    }
    void reweigh(std::uint32_t i, std::uint32_t weight) {
        bool other_list = !weight != !weights_[i];
        if (other_list) remove(i), insert(i, weight);
        if (weights_[i] == weight) return;
        weights_[i] = weight;
        demote();
    }
    std::vector<std::uint32_t> settle(const FrequencySketch& sketch) {
        std::vector<std::uint32_t> evicted;
        for (int moved = 0;; ++moved) {
            std::uint32_t candidate = 0;
            if (weight(window_) > window_max_ && (total() > max_ || moved < 16)) {
                candidate = window_.back();
                to_front(window_, probation_, candidate);
            }
            if (total() <= max_ && !candidate) return evicted;
            if (total() <= max_) continue;
            evicted.push_back(loser(candidate, sketch));
            remove(evicted.back());
        }
    }

 private:
    using List = std::list<std::uint32_t>;

    static bool in(const List& list, std::uint32_t i) {
        return std::find(list.begin(), list.end(), i) != list.end();
    }
    static void to_front(List& from, List& to, std::uint32_t i) {
        from.remove(i);
        to.push_front(i);
    }
    std::uint64_t weight(const List& list) const {
        std::uint64_t sum = 0;
        for (std::uint32_t i : list) sum += weights_.at(i);
        return sum;
    }
    std::uint64_t total() const { return weight(window_) + weight(probation_) + weight(protected_); }
    void demote() {
        while (weight(protected_) > protected_max_) to_front(protected_, probation_, protected_.back());
    }
    std::uint32_t loser(std::uint32_t candidate, const FrequencySketch& sketch) const {
        // the order in which entries have to go, the candidate last of its list
        List order;
        for (const List* list : {&probation_, &protected_, &window_})
            order.insert(order.end(), list->rbegin(), list->rend());
        std::uint32_t victim = order.front();
        if (victim == candidate && !protected_.empty()) victim = protected_.back();
        if (!candidate || victim == candidate) return victim;
        if (weights_.at(candidate) > max_) return candidate;
        unsigned theirs = sketch.frequency(victim);
        return sketch.frequency(candidate) > theirs + theirs / 4 ? victim : candidate;
    }

    std::uint64_t max_, window_max_, protected_max_;
    std::map<std::uint32_t, std::uint32_t> weights_;
    List window_, probation_, protected_, pinned_;  ///< the newest first
};

void the_lists_evict_as_a_simple_model_does() {
    std::mt19937_64 random(seed);
    for (int round = 0; round < 60; ++round) {
        constexpr std::uint32_t kKeys = 60;
        std::uint64_t max = random() % 40;
        double share = static_cast<double>(random() % 101) / 100;
        Nodes nodes = nodes_of(kKeys);
        FrequencySketch sketch(kKeys, random());
        Segments<Nodes> fast(nodes, max);
        fast.set_window(share);
        SlowSegments slow(max, share);
        for (int step = 0; step < 1500; ++step) {
            auto i = static_cast<std::uint32_t>(random() % kKeys + 1);
            auto weight = static_cast<std::uint32_t>(round % 2 ? 1 : random() % 5);
            bool there = nodes[i].segment != Segment::kNone;
            CHECK(there == slow.has(i));
            sketch.use(i);
            switch (random() % 12) {
                case 0:
                    if (there) fast.remove(i), slow.remove(i);
                    break;
                case 1:
                    if (there) fast.reweigh(i, weight), slow.reweigh(i, weight);
                    break;
                case 2:
                    if (random() % 20 == 0) {
                        max = random() % 40;
                        share = static_cast<double>(random() % 101) / 100;
                        fast.set_window(share);
                        fast.set_max(max);
                        slow.set(max, share);
                    }
                    break;
                default:
                    if (there) {
                        fast.use(i), slow.use(i);
                    } else {
                        nodes[i].weight = weight;
                        fast.insert(i), slow.insert(i, weight);
                    }
            }
            std::vector<std::uint32_t> evicted;
            fast.settle(sketch, [&](std::uint32_t loser) { evicted.push_back(loser); });
            CHECK(evicted == slow.settle(sketch));
            fast.check();
        }
    }
}

// ---- the sketch

void a_frequency_is_never_too_low_before_it_is_halved() {
    std::mt19937_64 random(seed);
    FrequencySketch sketch(1000, random());
    std::map<std::uint64_t, unsigned> exact;
    sketch.grow_for(1000);
    for (int i = 0; i < 4000 && sketch.resets() == 0; ++i) {
        std::uint64_t key = random() % 700;
        sketch.use(key);
        if (sketch.resets() == 0)
            CHECK(sketch.frequency(key) >= std::min(++exact[key], FrequencySketch::kMost));
    }
}

void frequencies_are_about_right() {
    std::mt19937_64 random(seed);
    FrequencySketch sketch(1000, random());
    sketch.grow_for(1000);
    for (std::uint64_t key = 0; key < 400; ++key)
        for (std::uint64_t use = 0; use <= key % 4; ++use) sketch.use(key);
    int wrong = 0;
    for (std::uint64_t key = 0; key < 400 && sketch.resets() == 0; ++key)
        wrong += sketch.frequency(key) != key % 4 + 1;
    CHECK(wrong < 20);
}

void old_uses_count_less_and_less() {
    FrequencySketch sketch(100, seed);
    for (int i = 0; i < 15; ++i) sketch.use(1);
    CHECK(sketch.frequency(1) == (threadproof::stress::kOn ? sketch.frequency(1) : 15));
    for (std::uint64_t other = 2; sketch.resets() < 6; ++other) sketch.use(other);
    CHECK(sketch.frequency(1) < 8);
}

void a_sketch_that_grows_forgets_nothing() {
    FrequencySketch sketch(100000, seed);
    std::uint64_t bytes = sketch.bytes();
    for (int i = 0; i < 5; ++i) sketch.use(7);
    unsigned before = sketch.frequency(7);
    for (std::uint64_t entries = 1; entries <= 100000; entries *= 10) sketch.grow_for(entries);
    CHECK(sketch.frequency(7) >= before && sketch.bytes() > 100 * bytes && sketch.bytes() <= 820000);
}

// ---- the hits

struct Replay {
    double hits, share;
};

/// Keys from 1 to `keys` are requested as `next()` says.
template <class Next>
Replay replay(std::uint64_t max, std::uint32_t keys, int requests, Next next) {
    Nodes nodes = nodes_of(keys);
    CachePolicy<Nodes> policy(nodes, max, seed);
    int hits = 0;
    for (int i = 0; i < requests; ++i) {
        std::uint32_t key = next(i);
        if (nodes[key].segment != Segment::kNone) {
            ++hits;
            policy.use(key);
        } else {
            policy.insert(key);
            policy.settle([](std::uint32_t) {});
        }
        CHECK(policy.weight() <= max);
    }
    policy.check();
    return {static_cast<double>(hits) / requests, policy.window_share()};
}

/// LRU and ARC have no hit here; the optimum is one half.
void a_loop_of_twice_the_bound_has_hits_for_half() {
    if (threadproof::stress::kOn) return;  // a sketch that forgets after two uses cannot know it
    Replay loop = replay(500, 1000, 200000, [](int i) { return static_cast<std::uint32_t>(i % 1000 + 1); });
    CHECK(loop.hits > 0.46);
}

/// A narrow window has no hit here, and neither has one that is a little wider: each key comes three times, at a
/// distance, and never again.
void bursts_have_the_hits_of_lru() {
    auto burst = [](int i) { return static_cast<std::uint32_t>(std::max(0, i / 3 - i % 3 * 100) + 1); };
    Replay bursts = replay(512, 100001, 300000, burst);
    CHECK(bursts.hits > 0.6 && bursts.share > 0.1);
}

/// One workload after the other: the share goes from one end to the other and back.
void the_share_follows_a_change_of_the_workload() {
    if (threadproof::stress::kOn) return;
    auto mixed = [](int i) {
        int part = i / 100000;
        if (part == 1) return static_cast<std::uint32_t>(100000 + i % 1000);
        int at = i % 100000 + (part ? 150000 : 0);
        return static_cast<std::uint32_t>(std::max(0, at / 3 - at % 3 * 100) + 1);
    };
    Replay all = replay(500, 101000, 300000, mixed);
    CHECK(all.hits > 0.5 && all.share > 0.1);
}

// ---- weights

void pinned_entries_stay_and_too_heavy_ones_go() {
    Nodes nodes = nodes_of(1000);
    CachePolicy<Nodes> policy(nodes, 50, seed);
    for (std::uint32_t i = 1; i <= 1000; ++i) {
        nodes[i].weight = i <= 10 ? 0 : i % 100 == 0 ? 51 : i % 4 + 1;
        policy.insert(i);
        policy.settle([&](std::uint32_t loser) { CHECK(nodes[loser].weight != 0); });
        CHECK(policy.weight() <= 50 && (nodes[i].weight <= 50 || nodes[i].segment == Segment::kNone));
    }
    for (std::uint32_t i = 1; i <= 10; ++i) CHECK(nodes[i].segment == Segment::kPinned);
    policy.check();
}

void another_bound_holds_at_once() {
    Nodes nodes = nodes_of(1000);
    CachePolicy<Nodes> policy(nodes, 800, seed);
    for (std::uint32_t i = 1; i <= 700; ++i) policy.insert(i);
    policy.settle([](std::uint32_t) {});
    for (std::uint64_t max : {300, 900, 0, 5}) {
        std::uint64_t before = policy.weight(), evicted = 0;
        policy.set_max(max);
        policy.settle([&](std::uint32_t) { ++evicted; });
        CHECK(policy.weight() == std::min(before, max) && evicted == before - policy.weight());
        policy.check();
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc > 2) seed = std::strtoull(argv[2], nullptr, 10);
    std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
    return run_claims(argc, argv,
                      {
                          CLAIM(the_lists_evict_as_a_simple_model_does),
                          CLAIM(a_frequency_is_never_too_low_before_it_is_halved),
                          CLAIM(frequencies_are_about_right),
                          CLAIM(old_uses_count_less_and_less),
                          CLAIM(a_sketch_that_grows_forgets_nothing),
                          CLAIM(a_loop_of_twice_the_bound_has_hits_for_half),
                          CLAIM(bursts_have_the_hits_of_lru),
                          CLAIM(the_share_follows_a_change_of_the_workload),
                          CLAIM(pinned_entries_stay_and_too_heavy_ones_go),
                          CLAIM(another_bound_holds_at_once),
                      });
}
