/// Updates of values whose every step is atomic and orders: a key of a concurrent map, an atomic.
///
/// No two steps on such a value race. But a read and the write that depends on it are two steps, and another
/// thread may write in between: that update is lost, or that check is outdated. So for each value its last
/// write is kept, with the read that this may depend on; and for each thread, which values it has read lately
/// and not written since.
///
/// Two updates are in order if a clock orders them without the edges of the value itself, for those come of
/// any schedule of two racing updates, too. No second clock is needed for that: a write's epoch is that after
/// the release which the write makes, so the value's own edge never covers its last write. Only a later release
/// of the writer does: of a lock, of a queue, of another key.
///
/// Invariants:
/// 1. A value's version grows with each write, and no two versions of all values are equal. So a value that was
///    forgotten, and is there again, has another first version.
/// 2. After forget(object) none of its values is left. `filter` counts every object that has any.
/// 3. An object has at most kMostFields values, read ones included. When it would have more, all of them are
///    forgotten. That can hide an update, not invent one: a value that is there again has another first version,
///    so no write depends on a read of before.
///
/// Field   | written | read  | guard
/// --------|---------|-------|---------------------
/// values  | plain   | plain | their shard's mutex
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <stdexcept>
#include <unordered_map>
#include <utility>

#include "core/base/memory.hpp"
#include "core/base/stress.hpp"
#include "core/probe/object.hpp"
#include "core/probe/object_filter.hpp"
#include "core/race/access.hpp"

namespace threadproof::race {

using probe::Object;
using probe::ObjectFilter;

/// A write of a value, and the read before it by the same thread; without one, it depends on nothing.
struct Update {
    Access read, write;
};

struct Value {
    std::uint64_t first = 0, version = 0;  // the version with which it was made, and that of its last write
    Update last;
};

class Updates {
 public:
    /// `filter` counts the objects that have values here.
    explicit Updates(ObjectFilter& filter) : filter_(filter) {}

    Value get(Object object, Field field) {
        Shard& shard = shard_of(object);
        std::lock_guard hold(shard.mutex);
        return value_in(shard, object, field);
    }

    /// Returns the value as it was before.
    Value put(Object object, Field field, const Update& update) {
        Shard& shard = shard_of(object);
        std::lock_guard hold(shard.mutex);
        Value& value = value_in(shard, object, field);
        return std::exchange(value, Value{value.first, new_version(), update});
    }

    /// The object is deallocated.
    void forget(Object object) {
        if (!filter_.has(object, ObjectFilter::kOrder)) return;
        Shard& shard = shard_of(object);
        std::lock_guard hold(shard.mutex);
        if (shard.values.erase(object) != 0) filter_.remove(object, ObjectFilter::kOrder);
    }

    /// The values of all objects.
    std::size_t count() {
        std::size_t all = 0;
        for (Shard& shard : shards_) {
            std::lock_guard hold(shard.mutex);
            for (const auto& [object, values] : shard.values) all += values.size();
        }
        return all;
    }

    /// Asserts the invariants; std::logic_error if one is broken. No other thread may be in a step.
    void check() {
        for (Shard& shard : shards_) {
            std::lock_guard hold(shard.mutex);
            for (const auto& [object, values] : shard.values) {
                if (&shard != &shard_of(object) || !filter_.has(object, ObjectFilter::kOrder))
                    throw std::logic_error("an object with values is not in the filter");
                if (values.size() > kMostFields) throw std::logic_error("an object has too many values");
                for (const auto& [field, value] : values)
                    if (value.first == 0 || value.version < value.first
                        || value.version > versions_.load(std::memory_order_relaxed))
                        throw std::logic_error("a value has an impossible version");
            }
        }
    }

    /// Around a fork: no other thread is in the middle of a step.
    void lock_for_fork() {
        for (Shard& shard : shards_) shard.mutex.lock();
    }
    void unlock_after_fork() {
        for (Shard& shard : shards_) shard.mutex.unlock();
    }

 private:
    static constexpr std::size_t kShards = 64;  // several times the threads that use maps at once
    // keys of one map whose updates are judged: some 150 bytes each
    static constexpr std::size_t kMostFields = stress::shrunk<std::size_t>(1 << 16, 4);

    struct alignas(kCacheLine) Shard {
        std::mutex mutex;
        std::unordered_map<Object, std::unordered_map<Field, Value>> values;
    };

    Shard& shard_of(Object object) { return shards_[probe::mixed(object) % kShards]; }

    Value& value_in(Shard& shard, Object object, Field field) {
        auto [place, fresh] = shard.values.try_emplace(object);
        if (fresh) filter_.add(object, ObjectFilter::kOrder);
        auto& values = place->second;
        if (values.size() == kMostFields && !values.contains(field)) values.clear();
        Value& value = values[field];
        if (value.first == 0) value.first = value.version = new_version();
        return value;
    }

    std::uint64_t new_version() {
        // relaxed: only has to be different
        return versions_.fetch_add(1, std::memory_order_relaxed) + 1;
    }

    ObjectFilter& filter_;
    std::array<Shard, kShards> shards_;
    std::atomic<std::uint64_t> versions_{0};
};

/// The values that one thread has read and not written since, as it saw them. Only its own thread uses it.
class RecentReads {
 public:
    struct Read {
        Object object = 0;
        Field field = 0;
        Value seen;
        bool unordered =
            false;  // the last write, when it was read, was another thread's, and no clock covered it
        Access access;
    };

    /// In the place of an earlier read of the value, or else of the oldest one.
    void add(const Read& read) {
        Read* known = find(read.object, read.field);
        (known ? *known : reads_[next_++ % kMost]) = read;
    }

    /// Removes and returns the read of the value; an empty one if there is none.
    Read take(Object object, Field field) {
        Read* known = find(object, field);
        return known ? std::exchange(*known, Read{}) : Read{};
    }

 private:
    // a write that depends on a read follows it soon, with few other values read in between
    static constexpr std::size_t kMost = 16;

    Read* find(Object object, Field field) {
        for (Read& read : reads_)
            if (read.object == object && read.field == field && object != 0) return &read;
        return nullptr;
    }

    std::array<Read, kMost> reads_;
    std::size_t next_ = 0;
};

}  // namespace threadproof::race
