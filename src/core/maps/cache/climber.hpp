/// Climber: finds the window share with which a cache has the most hits.
///
/// No share is right for every program: LOOP takes the narrowest window, Corda a wide one, and with the other's
/// each has almost no hits. A classic climber changes the share a little, compares the hits before and after, and
/// continues in the better direction. It cannot tell the effect of a step from a change of the workload, and
/// where a step makes no difference (Corda has no hits at all below a twelfth) it stands still.
///
/// This one sees the curve. For each of some shares there is a shadow: a small cache without values that gets a
/// sample of the keys, chosen by their hashes, and has the same part of the bound. The shadows see the same uses,
/// so they differ in the share alone, and the climber goes to the best of them, at once, however flat the way is.
/// Two more shadows have half and twice the bound: they say how many hits that would bring.
///
/// It compares by sums of hits that decay, and goes only to a share that is better by more than chance.
///
/// Shadows cost time, so they see only some uses for each miss: see policy.hpp. And while no shadow has a hit, there is
/// nothing to compare: then they see a smaller sample, until one has.
///
/// One thread at a time uses it: the holder of the policy's lock.
///
/// Sources: Einziger, Eytan, Friedman and Manes, Adaptive software cache management (what a window does, and
/// hill climbing); Waldspurger, Saemundsson, Ahmad and Park, Cache modeling and optimization using miniature
/// simulations (the sampling).
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#include "core/maps/cache/segments.hpp"
#include "core/maps/cache/sketch.hpp"

namespace threadproof {

/// A cache without values: which keys of a sample it would have. Keys are their hashes.
///
/// Invariants: 1. table_ finds each node in a list by its hash, by linear probing, and is at most half full;
///             2. a node is in a list of segments_, or in the list of free nodes, which `older` links.
class Shadow {
 public:
    struct Nodes {
        using Node = SegmentNode;
        Node& operator[](std::uint32_t i) { return all[i]; }
        const Node& operator[](std::uint32_t i) const { return all[i]; }
        std::vector<Node> all = std::vector<Node>(1);
    };

    Shadow(std::uint64_t max, double share) : segments_(nodes_, max), table_(16) { set_window(share); }
    Shadow(const Shadow&) = delete;
    Shadow& operator=(const Shadow&) = delete;

    void set_window(double share) { segments_.set_window(share); }
    void set_max(std::uint64_t max) { segments_.set_max(max); }

    /// Whether it has the key; after that it has, or has refused it. Throws bad_alloc, with nothing changed.
    bool use(std::uint64_t hash, std::uint32_t weight, const FrequencySketch& sketch) {
        std::uint32_t found = table_[place_of(hash)];
        if (found) segments_.use(found);
        else segments_.insert(add(hash, weight));
        segments_.settle(sketch, [&](std::uint32_t loser) { drop(loser); });
        return found != 0;
    }

    std::uint64_t bytes() const {
        return nodes_.all.capacity() * sizeof(SegmentNode) + table_.capacity() * sizeof(std::uint32_t);
    }
    void check() const { segments_.check(); }

 private:
    std::uint32_t add(std::uint64_t hash, std::uint32_t weight) {
        if (2 * (segments_.count() + 1) > table_.size()) rehash();
        if (!free_) {
            nodes_.all.push_back({});
            free_ = static_cast<std::uint32_t>(nodes_.all.size() - 1);
        }
        std::uint32_t i = free_;
        free_ = nodes_[i].older;
        nodes_[i] = {hash, 0, 0, weight, Segment::kNone};
        table_[place_of(hash)] = i;
        return i;
    }

    /// Takes a node out of the table, and moves those behind it that would not be found any more. Source: Knuth,
    /// TAOCP 3, section 6.4, algorithm R.
    void drop(std::uint32_t i) {
        std::size_t hole = place_of(nodes_[i].hash), mask = table_.size() - 1;
        for (std::size_t at = (hole + 1) & mask; table_[at]; at = (at + 1) & mask) {
            std::size_t home = home_of(nodes_[table_[at]].hash);
            if (((at - home) & mask) < ((at - hole) & mask)) continue;
            table_[hole] = table_[at];
            hole = at;
        }
        table_[hole] = 0;
        nodes_[i].older = free_;
        free_ = i;
    }

    void rehash() {
        std::vector<std::uint32_t> old(2 * table_.size());
        old.swap(table_);
        for (std::uint32_t i : old)
            if (i) table_[place_of(nodes_[i].hash)] = i;
    }

    std::size_t home_of(std::uint64_t hash) const { return spread(hash) >> 32 & (table_.size() - 1); }
    /// Where the key is, or an empty place where it can be put.
    std::size_t place_of(std::uint64_t hash) const {
        std::size_t at = home_of(hash);
        while (table_[at] && nodes_[table_[at]].hash != hash) at = (at + 1) & (table_.size() - 1);
        return at;
    }

    Nodes nodes_;
    Segments<Nodes> segments_;
    std::vector<std::uint32_t> table_;
    std::uint32_t free_ = 0;
};

class Climber {
 public:
    Climber(std::uint64_t max, std::uint64_t secret) : secret_(secret) { set_max(max); }

    /// The share that the window should have.
    double share() const { return kShares[best_]; }

    /// After another bound, what the shadows have is worth nothing.
    void set_max(std::uint64_t max) {
        max_ = max;
        // Larger samples cost more time, and a shadow of fewer than kLeast entries has the hits of chance. From a
        // sample of 1/8 on, time is no reason for a shadow of fewer than kMost.
        shift_ = max >= kLeast / 2;
        while (max >> (shift_ + 1) >= (shift_ < 3 ? kLeast : kMost)) ++shift_;
        sleep();
    }

    /// One use of a key; `hit`: the cache had it. Returns whether share() has changed.
    bool use(std::uint64_t hash, std::uint32_t weight, const FrequencySketch& sketch) noexcept {
        if (TP_LIKELY((spread(hash ^ secret_) & sampled_) != 0)) return false;
        bool any = false;
        try {
            if (!shadows_[0]) wake();
            for (unsigned i = 0; i < shadows(); ++i) {
                bool hit = shadows_[i]->use(hash, weight, sketch);
                hits_[i] += hit;
                any |= hit;
            }
        } catch (const std::bad_alloc&) {
            sleep();
            return false;
        }
        without_ = any ? 0 : without_ + 1;
        if (bool idle = without_ > kIdle * mini(); TP_UNLIKELY(idle != idle_)) return set_idle(idle), false;
        ++uses_;
        return ++since_choice_ >= period() && choose();
    }

    /// About the share of hits with half of the bound, and with twice the bound; -1 while they are not known.
    /// From now on they stay unknown: two shadows less. Before the first use.
    void estimate_nothing() { estimates_ = false; }
    double half_ratio() const { return ratio(kHalf); }
    double double_ratio() const { return ratio(kDouble); }

    std::uint64_t bytes() const {
        std::uint64_t sum = 0;
        for (const auto& shadow : shadows_) sum += shadow ? sizeof(Shadow) + shadow->bytes() : 0;
        return sum;
    }
    void check() const {
        for (const auto& shadow : shadows_)
            if (shadow) shadow->check();
    }

    /// Frees the shadows, and forgets their hits; share() stays.
    void sleep() {
        for (auto& shadow : shadows_) shadow.reset();
        hits_ = {};
        uses_ = 0;
        since_choice_ = 0;
        without_ = 0;
        idle_ = false;
        sampled_ = (std::uint64_t{1} << shift_) - 1;
    }

 private:
    // Steps of 2 to 6: between two neighbours no public trace has its best share by more than a point of hits.
    static constexpr std::array<double, 5> kShares{0.01, 0.06, 0.2, 0.45, 0.8};
    static constexpr unsigned kHalf = kShares.size(), kDouble = kHalf + 1, kShadows = kDouble + 1;
    static constexpr std::uint64_t kLeast = 128, kMost = 512;
    // Uses of a shadow between two choices, for each of its entries, and for how long a hit counts. A choice on
    // less follows chance (LOOP), one on more comes too late (OLTP).
    static constexpr double kPeriod = 0.5, kHorizon = 16;
    // A better share has more hits than the present one by half a percent of the uses, and by a standard deviation
    // of a count that large; by less, if it is narrower: with nothing known, a narrow window is right more often.
    static constexpr double kMargin = 0.005, kDeviations = 1, kDeviationsBack = 0.25;

    // Uses without any hit, for each entry of a shadow, after which the sample is smaller by 2^kIdleShift. ZIGZAG has
    // no hit for ten times the bound and many after that: with 4 it can lose 10 points, with 16 it loses none. With a
    // larger shift the shadows would see too little to notice the first hit.
    static constexpr std::uint64_t kIdle = 16;
    static constexpr unsigned kIdleShift = 3;

    /// After it, the shadows of the larger sample begin anew: the others have seen too little for their size.
    void set_idle(bool idle) {
        if (!idle) return sleep();
        idle_ = true;
        sampled_ = (std::uint64_t{1} << (shift_ + kIdleShift)) - 1;
    }

    unsigned shadows() const { return estimates_ ? kShadows : static_cast<unsigned>(kShares.size()); }
    std::uint64_t mini() const { return std::max<std::uint64_t>(max_ >> shift_, 1); }
    std::uint64_t period() const {
        return std::max<std::uint64_t>(16, static_cast<std::uint64_t>(kPeriod * static_cast<double>(mini())));
    }

    void wake() {
        for (unsigned i = 0; i < kShares.size(); ++i)
            shadows_[i] = std::make_unique<Shadow>(mini(), kShares[i]);
        if (!estimates_) return;
        shadows_[kHalf] = std::make_unique<Shadow>(std::max<std::uint64_t>(mini() / 2, 1), share());
        shadows_[kDouble] = std::make_unique<Shadow>(2 * mini(), share());
    }

    bool choose() {
        since_choice_ = 0;
        unsigned best = best_;
        for (unsigned i = 0; i < kShares.size(); ++i)
            if (hits_[i] > hits_[best]) best = i;
        double chance = (best > best_ ? kDeviations : kDeviationsBack) * std::sqrt(uses_);
        bool better = hits_[best] - hits_[best_] > kMargin * uses_ + chance;
        for (double& hits : hits_) hits *= 1 - kPeriod / kHorizon;
        uses_ *= 1 - kPeriod / kHorizon;
        if (!better) return false;
        best_ = best;
        if (!estimates_) return true;
        shadows_[kHalf]->set_window(share());
        shadows_[kDouble]->set_window(share());
        return true;
    }

    double ratio(unsigned shadow) const {
        return !estimates_ || uses_ < static_cast<double>(2 * mini()) ? -1 : hits_[shadow] / uses_;
    }

    const std::uint64_t secret_;
    std::uint64_t max_ = 0;
    unsigned shift_ = 0;         ///< one of 2^shift_ keys is in the sample
    unsigned best_ = 0;          ///< of kShares
    std::uint64_t sampled_ = 0;  ///< a key is in the sample if these bits of its hash are 0
    std::uint64_t since_choice_ = 0;
    std::uint64_t without_ = 0;  ///< uses of the shadows since the last hit of one
    bool idle_ = false;
    bool estimates_ = true;
    std::array<std::unique_ptr<Shadow>, kShadows> shadows_;  ///< the first shadows() of them, or none
    std::array<double, kShadows> hits_{};                    ///< decayed
    double uses_ = 0;                                        ///< decayed in the same way
};

}  // namespace threadproof
