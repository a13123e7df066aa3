/// CachePolicy: which entries of a bounded cache stay. Adaptive W-TinyLFU, as a plain class that a trace can drive.
///
///     sketch.hpp    how often keys were used lately
///     segments.hpp  the lists of entries, and who is evicted
///     climber.hpp   how wide the window is
///
/// The entries are nodes of the caller's array, see segments.hpp. settle() is called after every insert(),
/// reweigh() and set_max(), and evicts until the bound holds.
///
/// One thread at a time uses it. It calls no code of a user's.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/maps/cache/climber.hpp"
#include "core/maps/cache/segments.hpp"
#include "core/maps/cache/sketch.hpp"

namespace threadproof {

template <class Nodes>
class CachePolicy {
 public:
    using Index = std::uint32_t;

    /// `max`: the most weight, which is the number of entries where each weighs 1. `secret`: see
    /// FrequencySketch. Throws bad_alloc.
    CachePolicy(Nodes& nodes, std::uint64_t max, std::uint64_t secret)
        : nodes_(nodes), sketch_(entries_for(max), secret), segments_(nodes, max), climber_(max, secret + 1) {
        segments_.set_window(climber_.share());
    }

    std::uint64_t max() const { return segments_.max(); }
    std::uint64_t weight() const { return segments_.total(); }
    std::uint64_t count() const { return segments_.count(); }
    std::uint64_t evictions() const { return evictions_; }
    double window_share() const { return segments_.window_share(); }
    /// Before the first use.
    void estimate_nothing() { climber_.estimate_nothing(); }
    double half_ratio() const { return climber_.half_ratio(); }
    double double_ratio() const { return climber_.double_ratio(); }
    std::uint64_t sketch_resets() const { return sketch_.resets(); }
    std::uint64_t bytes() const { return sketch_.bytes() + climber_.bytes(); }
    const auto& segments() const { return segments_; }

    /// A new entry, whose node is in no list.
    void insert(Index i) {
        segments_.insert(i);
        sketch_.grow_for(segments_.count());
        seen_left_ = std::min(seen_left_ + kSeen, kSeen * kSeen);
        note(i);
    }

    /// An entry was used.
    void use(Index i) {
        segments_.use(i);
        note(i);
    }

    void remove(Index i) { segments_.remove(i); }
    void reweigh(Index i, std::uint32_t weight) { segments_.reweigh(i, weight); }

    /// Another bound. Throws bad_alloc, with nothing changed.
    void set_max(std::uint64_t max) {
        sketch_.set_most(entries_for(max));
        climber_.set_max(max);
        segments_.set_max(max);
    }

    /// Whether nearly all uses are hits: then a sample of them keeps the lists in order.
    bool calm() const { return seen_left_ == 0; }

    /// Evicts until the bound holds: calls evict(i) for each, which is in no list then. Returns false after `most`
    /// evictions: then call it again.
    template <class Evict>
    bool settle(Evict evict, unsigned most = ~0u) {
        return segments_.settle(
            sketch_,
            [&](Index loser) {
                ++evictions_;
                evict(loser);
            },
            most);
    }

    /// Gives memory back when there are no entries: what is known of the keys goes with it, if that is much.
    void shrink() {
        sketch_.shrink();
        climber_.sleep();
    }

    /// Asserts the invariants. Throws logic_error naming the broken one.
    void check() const {
        segments_.check();
        climber_.check();
    }

 private:
    // Uses that the shadows see for each new entry, which was a miss: making the value costs more than that. At a
    // hit ratio above 63 in 64 there is little to gain, and they see only some of the uses.
    static constexpr std::uint64_t kSeen = 64;

    /// With weights, the number of entries is known only as they come.
    static std::uint64_t entries_for(std::uint64_t max) { return max < kMostEntries ? max : kMostEntries; }
    static constexpr std::uint64_t kMostEntries = std::uint64_t{1} << 32;

    void note(Index i) {
        const auto& node = nodes_[i];
        sketch_.use(node.hash);
        if (!seen_left_) return;
        --seen_left_;
        if (climber_.use(node.hash, node.weight, sketch_)) segments_.set_window(climber_.share());
    }

    Nodes& nodes_;
    FrequencySketch sketch_;
    Segments<Nodes> segments_;
    Climber climber_;
    std::uint64_t evictions_ = 0;
    std::uint64_t seen_left_ = 0;  ///< uses that the shadows see before the next new entry
};

}  // namespace threadproof
