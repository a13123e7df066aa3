/// The map's operations as tests call them: numbers in, numbers out, each value proving its key, every
/// reference given back.
#pragma once

#include <set>
#include <vector>

#include "maps/cell_policy.hpp"

namespace cells {

using threadproof::Outcome;

/// A value shows its key in the high half of its number; the low half is what tests call the value.
inline Word value_for(std::uint64_t key, std::uint64_t low) {
    return word(Pool::make(key << 32 | (low & 0xffffffff)));
}
inline std::uint64_t key_of(Word value) { return cell(value)->number.load() >> 32; }
inline std::int64_t low_of(Word value) {
    return static_cast<std::int64_t>(cell(value)->number.load() & 0xffffffff);
}

/// Gives up a value that must have been the key's; returns what it was, or kNone.
inline constexpr std::int64_t kNone = -1;
inline std::int64_t spend(std::uint64_t key, Word value) {
    if (!value) return kNone;
    CHECK(key_of(value) == key);
    std::int64_t low = low_of(value);
    Policy::release(value);
    return low;
}

/// The short ways, in maps that have them.
template <class AnyMap>
bool removed_quickly(AnyMap& map, std::uint64_t key, Word* old) {
    if constexpr (requires { map.erase(Policy::Lookup(key), old); })
        return map.erase(Policy::Lookup(key), old);
    else return false;
}
template <class AnyMap, class Next>
bool stored_quickly(AnyMap& map, std::uint64_t key, Next next, Word* old) {
    if constexpr (requires { map.store(Policy::Lookup(key), next, old); })
        return map.store(Policy::Lookup(key), next, old);
    else return map.overwrite(Policy::Lookup(key), next, old);
}

/// Stores a value as the binding does, first by the short way. Never kError; on kBusy and kNoMemory nothing
/// is stored.
inline Outcome try_put(Map& map, std::uint64_t key, std::uint64_t low) {
    Policy::Lookup lookup(key);
    Word fresh = value_for(key, low), old = 0, reservation = 0;
    Outcome outcome = Outcome::kPresent;
    auto held = [&](Word) { return Policy::retain(fresh), fresh; };
    if (stored_quickly(map, key, held, &old))
        Policy::release(fresh), outcome = old ? Outcome::kPresent : Outcome::kAbsent;
    else outcome = map.change(lookup, [&](Word current) { return old = current, fresh; }, &reservation);
    CHECK(outcome != Outcome::kError);
    if (reservation) Policy::release(reservation);
    if (outcome > Outcome::kPresent) old = 0, Policy::release(fresh);
    CHECK((spend(key, old) != kNone) == (outcome == Outcome::kPresent));
    return outcome;
}

inline bool put(Map& map, std::uint64_t key, std::uint64_t low) {
    Outcome outcome = try_put(map, key, low);
    CHECK(outcome != Outcome::kNoMemory);
    return outcome != Outcome::kBusy;
}

inline Outcome try_remove(Map& map, std::uint64_t key) {
    Word old = 0, reservation = 0;
    Outcome outcome;
    if (removed_quickly(map, key, &old)) outcome = Outcome::kPresent;
    else
        outcome = map.change(
            Policy::Lookup(key), [&](Word current) { return old = current, Word{0}; }, &reservation);
    CHECK(outcome != Outcome::kError);
    if (reservation) Policy::release(reservation);
    if (outcome <= Outcome::kPresent) spend(key, old);
    return outcome;
}

/// Fills a private table with the keys, as far as it can, and publishes it; whether that could be done.
template <class AnyMap>
bool fill(AnyMap& map, const std::vector<std::uint64_t>& keys, std::uint64_t low, bool allowed = true) {
    auto filled = map.make_private(keys.size());
    for (std::uint64_t key : keys) {
        Word old = 0, value = value_for(key, low);
        if (filled.put(Policy::Lookup(key), value, &old)) spend(key, old);
        else Policy::release(value);
    }
    return map.publish(filled, [&] { return allowed; });
}

/// Whether it was there.
inline bool remove(Map& map, std::uint64_t key) {
    Outcome outcome = try_remove(map, key);
    CHECK(outcome != Outcome::kNoMemory);
    return outcome == Outcome::kPresent;
}

/// The key's value, or kNone.
inline std::int64_t look(Map& map, std::uint64_t key) {
    Word value = 0;
    Outcome outcome = map.get(Policy::Lookup(key), &value);
    CHECK(outcome <= Outcome::kPresent);
    return outcome == Outcome::kPresent ? spend(key, value) : kNone;
}

inline bool has(Map& map, std::uint64_t key) {
    Outcome outcome = map.contains(Policy::Lookup(key));
    CHECK(outcome <= Outcome::kPresent);
    return outcome == Outcome::kPresent;
}

/// A computation: from its beginning to its settling it has the key's reservation.
class Computation {
 public:
    Computation(Map& map, std::uint64_t key)
        : map_(map), key_(key), reservation_(Pool::make(0)), mine_(word(reservation_, Map::kReservation)) {
        Policy::retain(mine_);  // for the slot
        Word other = 0;
        outcome_ = map.change(
            Policy::Lookup(key), [&](Word current) { return reservation_->old_value.store(current), mine_; },
            &other);
        if (other) Policy::release(other);
        if (outcome_ > Outcome::kPresent) reservation_->old_value.store(0), Policy::release(mine_);
        if (Word old = reservation_->old_value.load()) CHECK(key_of(old) == key);
    }
    ~Computation() { Policy::release(mine_); }
    Computation(const Computation&) = delete;
    Computation& operator=(const Computation&) = delete;

    bool begun() const { return outcome_ <= Outcome::kPresent; }
    Outcome outcome() const { return outcome_; }

    /// Each is the end of it: false when the reservation is no longer in the map.
    bool store(std::uint64_t low) { return settle(value_for(key_, low)); }
    bool remove() { return settle(0); }
    bool restore() {
        Word old = reservation_->old_value.load();
        if (old) Policy::retain(old);
        return settle(old);
    }

 private:
    bool settle(Word next) {
        bool in_place = map_.replace_exact(Policy::hash_of(key_), 0, mine_, next);
        if (in_place) Policy::release(mine_);  // the slot's
        else if (next)
            Policy::release(next);  // cleared meanwhile: the clearing thread releases the slot's reference
        return in_place;
    }

    Map& map_;
    std::uint64_t key_;
    Cell* reservation_;
    Word mine_;
    Outcome outcome_;
};

/// The keys of entries that are given up; none may come twice, and each value must be its key's.
template <class Entries>
std::set<std::uint64_t> keys_of(Entries& entries) {
    std::set<std::uint64_t> keys;
    for (const Map::Entry& e : entries) {
        CHECK(key_of(e.value) == Policy::number(e.key));
        CHECK(keys.insert(Policy::number(e.key)).second);
    }
    Map::release_all(entries);
    return keys;
}

/// The keys an iteration meets.
inline std::set<std::uint64_t> iterate(Map& map) {
    std::set<std::uint64_t> seen;
    std::vector<Map::Entry> batch;
    for (Map::Walk walk; map.next_batch(walk, batch);)
        for (std::uint64_t key : keys_of(batch)) CHECK(seen.insert(key).second);
    return seen;
}

inline std::set<std::uint64_t> snapshot(Map& map) {
    Map::Entries all = map.snapshot();
    return keys_of(all);
}

/// Takes everything out in one step; of keys under computation, what was there before.
inline std::set<std::uint64_t> drain(Map& map) {
    std::vector<Map::Entry> all;
    Map::Detached chain = map.detach([](std::int64_t) { return true; });
    map.take_all(chain, [&](Map::Entry entry) {
        Policy::retain(entry.key);  // ours; a reader may still be looking into the slot's
        Map::release_key(entry.key);
        all.push_back(entry);
    });
    map.retire(chain);
    std::erase_if(all, [](Map::Entry& entry) {
        if (!Map::is_reservation(entry.value)) return false;
        Word reservation = entry.value;
        entry.value = Policy::old_value(reservation);
        if (entry.value) Policy::retain(entry.value);
        else Policy::release(entry.key);
        Policy::release(reservation);
        return entry.value == 0;
    });
    return keys_of(all);
}

inline void nothing_is_left() {
    threadproof::Reclaimer::collect();
    CHECK(Pool::living() == 0);
    CHECK(Policy::keys_living.load() == 0);
    CHECK(threadproof::Reclaimer::bytes() == 0);
}

}  // namespace cells
