/// Segments: the order in which a cache evicts. Window, probation and protected are LRU lists; an entry that
/// leaves the window has to be used more often than the one that it would replace.
///
///     new entry -> window --(its last)--> probation --(used again)--> protected
///                                             ^---------(its last)--------'
///     evicted: the last of probation, or the one that comes from the window, whichever was used less often
///
/// The window takes in bursts of new keys, the admission keeps scans out, and the protected segment has the
/// entries that were used at least twice. A wide window makes this LRU, a narrow one LFU.
///
/// The entries are nodes, which an array has: Nodes[i], from 1, is a struct with the fields of SegmentNode.
/// Weight 0 pins an entry: it is in no list that is evicted from, and does not count.
///
/// Invariants
///  1. An entry is in the list that its `segment` names, once.
///  2. Each list's weight is the sum of its entries' weights; total() is that of all three, and at most max()
///     after add(), reweigh() and set_max().
///  3. Pinned entries have weight 0, and only they.
///
/// One thread at a time uses it: the holder of the policy's lock.
///
/// Source: Einziger, Friedman and Manes, TinyLFU; Einziger, Eytan, Friedman and Manes, Adaptive software cache
/// management (W-TinyLFU).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <stdexcept>

#include "core/base/hints.hpp"
#include "core/maps/cache/sketch.hpp"

namespace threadproof {

enum class Segment : std::uint8_t { kNone, kWindow, kProbation, kProtected, kPinned };

/// What Segments needs of a node.
struct SegmentNode {
    std::uint64_t hash;
    std::uint32_t newer, older;  ///< neighbours in the list; 0: none
    std::uint32_t weight;
    Segment segment;
};

template <class Nodes>
class Segments {
 public:
    using Index = std::uint32_t;  ///< of a node; 0: none

    struct List {
        Index newest = 0, oldest = 0;
        std::uint64_t weight = 0, count = 0;
    };

    explicit Segments(Nodes& nodes, std::uint64_t max) : nodes_(nodes), max_(max) {}

    std::uint64_t max() const { return max_; }
    std::uint64_t total() const { return window().weight + probation().weight + kept().weight; }
    std::uint64_t count() const { return window().count + probation().count + kept().count + pinned().count; }
    const List& list(Segment segment) const { return lists_[static_cast<unsigned>(segment)]; }

    /// The share of the bound that the window may have.
    void set_window(double share) {
        share_ = share;
        std::uint64_t wanted = static_cast<std::uint64_t>(share * static_cast<double>(max_));
        window_max_ = std::clamp<std::uint64_t>(wanted, std::min<std::uint64_t>(1, max_), max_);
        protected_max_ = (max_ - window_max_) * kProtected / 100;
    }
    double window_share() const { return share_; }

    void set_max(std::uint64_t max) {
        max_ = max;
        set_window(share_);
    }

    /// Puts a new node, which is in no list, into the window.
    void insert(Index i) { push(i, nodes_[i].weight ? Segment::kWindow : Segment::kPinned); }

    /// The entry was used.
    void use(Index i) {
        switch (nodes_[i].segment) {
            case Segment::kWindow: return move(i, Segment::kWindow);
            case Segment::kProbation: move(i, Segment::kProtected); return demote();
            case Segment::kProtected: return move(i, Segment::kProtected);
            default: return;
        }
    }

    void remove(Index i) {
        if (nodes_[i].segment != Segment::kNone) unlink(i);
    }

    void reweigh(Index i, std::uint32_t weight) {
        Node& node = nodes_[i];
        if (node.weight == weight) return;
        bool changes_list = !node.weight || !weight;
        if (!changes_list) {
            lists_[static_cast<unsigned>(node.segment)].weight += weight;
            lists_[static_cast<unsigned>(node.segment)].weight -= node.weight;
            node.weight = weight;
            return demote();
        }
        unlink(i);
        node.weight = weight;
        insert(i);
    }

    /// Moves entries out of a window that is too wide, and then removes entries from the lists until the bound
    /// holds; calls evict(i) for each. A bound of 0 evicts everything that is not pinned. Returns false after
    /// `most` evictions: then call it again.
    template <class Evict>
    bool settle(const FrequencySketch& sketch, Evict evict, unsigned most = ~0u) {
        for (unsigned moved = 0;; ++moved) {
            Index candidate = 0;
            if (window().weight > window_max_ && (total() > max_ || moved < kMostMoved)) {
                candidate = window().oldest;
                move(candidate, Segment::kProbation);
            }
            if (total() > max_) {
                Index loser = choose(candidate, sketch);
                unlink(loser);
                evict(loser);
                if (--most == 0) return false;
            } else if (!candidate) {
                return true;
            }
        }
    }

    /// Calls see(i) for the entries, first those that would be evicted first, as long as it returns true.
    template <class See>
    void each_coldest(See see) const {
        for (Segment s : kFromColdest)
            for (Index i = list(s).oldest; i; i = nodes_[i].newer)
                if (!see(i)) return;
    }
    /// The same from the other end.
    template <class See>
    void each_hottest(See see) const {
        for (unsigned s = kFromColdest.size(); s-- > 0;)
            for (Index i = list(kFromColdest[s]).newest; i; i = nodes_[i].older)
                if (!see(i)) return;
    }

    /// Asserts the invariants.
    void check() const {
        for (Segment s : {Segment::kWindow, Segment::kProbation, Segment::kProtected, Segment::kPinned})
            check(s);
        if (total() > max_) throw std::logic_error("the weight of the entries is above the bound");
    }

 private:
    using Node = typename Nodes::Node;

    // Of the main space, which the window leaves: W-TinyLFU's paper.
    static constexpr std::uint64_t kProtected = 80;
    // Counts differ by chance: a candidate has to be used more by this part of the victim's frequency. It has just
    // been used, and the victim is about to be, if uses come round in a circle: LOOP at 512 has 3 points more.
    static constexpr unsigned kDoubt = 4;
    // Entries that leave a window that has become narrower with one new entry: bounds the time of a call.
    static constexpr unsigned kMostMoved = 16;

    static constexpr std::array kFromColdest{Segment::kProbation, Segment::kWindow, Segment::kProtected,
                                             Segment::kPinned};

    const List& window() const { return list(Segment::kWindow); }
    const List& probation() const { return list(Segment::kProbation); }
    const List& kept() const { return list(Segment::kProtected); }
    const List& pinned() const { return list(Segment::kPinned); }

    /// Which entry has to go: the candidate, which is the newest of probation, or the oldest.
    Index choose(Index candidate, const FrequencySketch& sketch) {
        Index victim = probation().oldest;
        if (!victim || (victim == candidate && kept().oldest)) victim = kept().oldest;
        if (!victim) victim = window().oldest;
        if (!candidate || victim == candidate) return victim;
        // one that no other entry can make room for
        if (nodes_[candidate].weight > max_) return candidate;
        unsigned theirs = sketch.frequency(nodes_[victim].hash);
        bool wins = sketch.frequency(nodes_[candidate].hash) > theirs + theirs / kDoubt;
        return wins ? victim : candidate;
    }

    /// Moves entries out of a protected segment that is too large.
    void demote() {
        while (kept().weight > protected_max_) move(kept().oldest, Segment::kProbation);
    }

    void move(Index i, Segment to) {
        unlink(i);
        push(i, to);
    }

    void push(Index i, Segment to) {
        List& list = lists_[static_cast<unsigned>(to)];
        Node& node = nodes_[i];
        node.segment = to;
        node.newer = 0;
        node.older = list.newest;
        (list.newest ? nodes_[list.newest].newer : list.oldest) = i;
        list.newest = i;
        list.weight += node.weight;
        ++list.count;
    }

    void unlink(Index i) {
        Node& node = nodes_[i];
        List& list = lists_[static_cast<unsigned>(node.segment)];
        (node.newer ? nodes_[node.newer].older : list.newest) = node.older;
        (node.older ? nodes_[node.older].newer : list.oldest) = node.newer;
        list.weight -= node.weight;
        --list.count;
        node.segment = Segment::kNone;
    }

    void check(Segment segment) const {
        const List& list = this->list(segment);
        std::uint64_t weight = 0, count = 0;
        Index newer = 0;
        for (Index i = list.newest; i; newer = i, i = nodes_[i].older, ++count) {
            require(nodes_[i].segment == segment, "an entry is in the list that its segment names");
            require(nodes_[i].newer == newer, "neighbours in a list agree");
            require((nodes_[i].weight == 0) == (segment == Segment::kPinned), "weight 0 is pinned");
            weight += nodes_[i].weight;
        }
        require(list.oldest == newer, "a list ends with its oldest entry");
        require(list.weight == weight && list.count == count, "a list's weight is that of its entries");
    }
    static void require(bool holds, const char* invariant) {
        if (!holds) throw std::logic_error(invariant);
    }

    Nodes& nodes_;
    std::uint64_t max_, window_max_ = 0, protected_max_ = 0;
    double share_ = 0;
    List lists_[5];
};

}  // namespace threadproof
