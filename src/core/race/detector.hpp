/// Which accesses race: two to one variable, one of them a write, that no synchronisation the program used
/// puts in order.
///
/// This is FastTrack. Each thread has a clock. Synchronising hands clocks on: a release adds the thread's
/// clock to the synchronisation object's, an acquire takes that over. An access races with one remembered in
/// the variable's cell if the thread's clock does not cover it. What the threads really did, and when, plays
/// no part: a race is found also in a run in which nothing went wrong.
///
/// Invariants: 1. a thread's own count is in its clock, and only its own thread raises it, at each release; so an epoch
///                names all its steps between two releases, and the second access to a variable in one epoch tells nothing
///                new: the thread's cache (Looks) answers it without a lock, or else the cell before a stack is captured;
///             2. a thread that reads what another wrote without order between them is reported once, and then counts
///                as having seen that write: what follows from one mistake is not reported again;
///             3. no lock of ours is held while another is taken, but for the depots', which are innermost.
///
/// Field             | written | read | guard
/// ------------------|---------|------|---------------------------------------------------------------
/// thread.*          | plain   | plain| its own thread; start() fills it before the thread runs, and join()
///                   |         |      | reads it after finish(), which the caller puts in order
/// clocks, permits,  | plain   | plain| their shard's mutex
/// parcels           |         |      |
/// threads, races    | plain   | plain| mutex_
/// running           | relaxed | relaxed| none: a thread that starts another has raised it before
///
/// Threads, variables and synchronisation objects are numbers here; call stacks and sets of locks are numbers
/// of a Depot.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/base/hints.hpp"
#include "core/race/clock.hpp"
#include "core/race/depot.hpp"
#include "core/race/shadow.hpp"

namespace threadproof::race {

using Sync = std::uintptr_t;

/// What of a synchronisation object orders: an item of a channel, a key of a map.
using Topic = std::uint64_t;

/// Two accesses with no order between them. `then` is what the later thread wrote there next, if it did.
struct Race {
    Object object;
    Field field;
    Access earlier, later, then;
    std::uint64_t times = 1;
};

/// The variables a thread looked at in this epoch, and in which ways: a cache of the last few thousand.
///
/// An entry is a hash of 64 bits and, in one word, the count of the epoch and the ways. Two variables of one
/// hash would be taken for one, which leaves one access unchecked; with 64 bits that is not worth a longer
/// entry.
class Looks {
 public:
    static constexpr std::uint32_t kWrite = 1 << 8, kRead = 1 << 9;  // beside the traits

    /// Whether the thread has looked at it in all these `ways`, at this count of its own; else it has from
    /// now on.
    TP_HOT bool again(std::uint64_t tag, std::uint64_t count, std::uint32_t ways) {
        Set& set = sets_[tag >> 32 & (kSets - 1)];
        for (Entry& entry : set.entries)
            if (entry.tag == tag && entry.seen >> kWayBits == count) {
                if (TP_LIKELY((entry.seen & ways) == ways)) return true;
                entry.seen |= ways;
                return false;
            }
        set.entries[set.next++ % kPerSet] = {tag, count << kWayBits | ways};
        return false;
    }

    /// In which ways the thread has looked at it, at this count, as far as that is remembered.
    std::uint32_t ways(std::uint64_t tag, std::uint64_t count) const {
        for (const Entry& entry : sets_[tag >> 32 & (kSets - 1)].entries)
            if (entry.tag == tag && entry.seen >> kWayBits == count)
                return entry.seen & ((1u << kWayBits) - 1);
        return 0;
    }

    void free() { sets_ = {}; }

 private:
    static constexpr int kWayBits = 16;        // an epoch's count has 48
    static constexpr std::size_t kPerSet = 3;  // as many as share a cache line with whose turn it is
    // 64 kB a thread: a quarter of a small second-level cache
    static constexpr std::size_t kSets = stress::shrunk<std::size_t>(1024, 2);

    struct Entry {
        std::uint64_t tag = 0;
        std::uint64_t seen = 0;
    };
    struct alignas(kCacheLine) Set {
        std::array<Entry, kPerSet> entries;
        std::uint32_t next = 0;
    };

    std::vector<Set> sets_ = std::vector<Set>(kSets);
};

/// What an access came to: the same was known of this epoch, or it was news, or a race that had not been
/// found before.
enum class Found { kRepeated, kNothing, kRace };

/// What the detector knows of one thread of the program.
class Thread {
 public:
    explicit Thread(ThreadId id) : id(id) { clock.learn(now()); }

    Epoch now() const { return Epoch(id, count); }

    const ThreadId id;
    int quiet = 0;  // > 0: accesses and synchronisation are not the program's
    // > 0: the program says that its accesses need not be looked at; they still synchronise
    int ignored = 0;
    std::vector<Sync> held;  // locks, in the order they were taken
    // for whoever captures them: 128 kB a thread, for recursion makes many of few places
    Memo<8192> stacks;

 private:
    friend class Detector;

    std::atomic<bool> joined{false};  // so that a thread several others wait for is counted once

    /// A read that was reported: if a write follows, the report gets it.
    struct Doubt {
        Object object = 0;
        Field field = 0;
        std::uint32_t generation = 0;
        std::size_t race = 0;
    };

    // a write follows its read soon, or the two have little to do with each other
    static constexpr std::size_t kDoubts = 16;

    Clock clock;
    std::uint64_t count = 1;
    Looks looks;
    Memo<64> lock_sets;
    std::array<Doubt, kDoubts> doubts;
    std::size_t next_doubt = 0;
};

class Detector {
 public:
    // ---- threads

    /// A thread that nobody of ours started.
    Thread* adopt() {
        std::lock_guard hold(mutex_);
        return add_thread();
    }

    /// A thread that `parent` is about to start; everything the parent did so far comes before all it does.
    /// Null when there were too many.
    Thread* start(Thread& parent) {
        std::unique_lock hold(mutex_);
        Thread* child = add_thread();
        hold.unlock();
        if (!child) return nullptr;
        child->clock.join(parent.clock);
        tick(parent);
        running_.fetch_add(1, std::memory_order_relaxed);
        return child;
    }

    /// `child` has finished, and `me` knows; everything it did comes before all that `me` does now.
    void join(Thread& me, Thread& child) {
        me.clock.join(child.clock);
        if (!child.joined.exchange(true)) running_.fetch_sub(1, std::memory_order_relaxed);
    }

    /// The thread does nothing more: its clock stays for those who will join it.
    void finish(Thread& me) {
        me.quiet = 1;
        me.looks.free();
        me.stacks.free();
        me.held = {};
    }

    /// Whether only one thread runs: nothing can race then, for whatever it does comes before the next
    /// thread's start.
    TP_HOT bool alone() const { return running_.load(std::memory_order_relaxed) <= 1; }

    // ---- order

    /// All that was done before a release() of this object comes before what `me` does now.
    void acquire(Thread& me, Sync sync) {
        if (me.quiet) return;
        SyncShard& shard = shard_of(sync);
        std::lock_guard hold(shard.mutex);
        if (auto place = shard.clocks.find(sync); place != shard.clocks.end()) me.clock.join(place->second);
    }

    void release(Thread& me, Sync sync) {
        if (me.quiet) return;
        {
            SyncShard& shard = shard_of(sync);
            std::lock_guard hold(shard.mutex);
            shard.clocks[sync].join(me.clock);
        }
        tick(me);
    }

    /// As acquire() and release(), for one topic of the object.
    void acquire(Thread& me, Sync sync, Topic topic) {
        if (me.quiet) return;
        SyncShard& shard = shard_of(sync);
        std::lock_guard hold(shard.mutex);
        if (Parcel* parcel = shard.parcel(sync, topic)) me.clock.join(parcel->clock);
    }

    void release(Thread& me, Sync sync, Topic topic) { send(me, sync, topic, 0); }

    /// An item goes into a channel with the sender's clock, and whoever gets it takes that over. Equal items
    /// are one topic: nobody can tell which of them it got, so it is ordered after all who sent one that was
    /// on its way.
    void send(Thread& me, Sync channel, Topic item, std::size_t count = 1) {
        if (me.quiet) return;
        {
            SyncShard& shard = shard_of(channel);
            std::lock_guard hold(shard.mutex);
            Parcel& parcel = shard.parcels[channel][item];
            parcel.clock.join(me.clock);
            parcel.items += count;
        }
        tick(me);
    }

    void receive(Thread& me, Sync channel, Topic item) {
        acquire(me, channel, item);
        unsend(me, channel, item);
    }

    /// The item did not go in after all.
    void unsend(Thread& me, Sync channel, Topic item) {
        if (me.quiet) return;
        SyncShard& shard = shard_of(channel);
        std::lock_guard hold(shard.mutex);
        if (Parcel* parcel = shard.parcel(channel, item); parcel && parcel->items <= 1)
            shard.parcels[channel].erase(item);
        else if (parcel) --parcel->items;
    }

    /// The object is in nobody's hands any more but `me`'s: all that was done to it comes before what `me`
    /// does now.
    void last_use(Thread& me, Object object) {
        if (me.quiet) return;
        shadow_.each_cell(object, [&](const Cell& cell) {
            me.clock.learn(cell.write.epoch);
            cell.each_read([&](const Access& read) { me.clock.learn(read.epoch); });
        });
    }

    /// One that is taken again before it was given back, and is not made for that, is no mutex: somebody else
    /// gave it back, to wake this thread. Conditions wait so.
    void take_lock(Thread& me, Sync lock, bool reentrant = false) {
        acquire(me, lock);
        if (me.quiet) return;
        bool again = !reentrant && std::find(me.held.begin(), me.held.end(), lock) != me.held.end();
        again ? drop_lock(me, lock) : me.held.push_back(lock);
    }

    /// It is held no more, however often it was taken.
    void drop_lock(Thread& me, Sync lock) { std::erase(me.held, lock); }

    void give_lock(Thread& me, Sync lock) {
        forget_lock(me, lock);
        release(me, lock);
    }

    /// From now on reports say that `me` holds it, whatever that orders.
    void note_lock(Thread& me, Sync lock) {
        if (!me.quiet) me.held.push_back(lock);
    }

    void forget_lock(Thread& me, Sync lock) {
        if (me.quiet) return;
        auto last = std::find(me.held.rbegin(), me.held.rend(), lock);
        if (last != me.held.rend()) me.held.erase(std::next(last).base());
    }

    /// A permit comes with the clock of whoever gave it, and the oldest is taken first; `initial` were there
    /// from the start.
    void give_permits(Thread& me, Sync sync, std::size_t initial, std::size_t permits) {
        if (me.quiet) return;
        {
            SyncShard& shard = shard_of(sync);
            std::lock_guard hold(shard.mutex);
            auto& queue = shard.permits.try_emplace(sync, initial).first->second;
            queue.insert(queue.end(), permits, me.clock);
        }
        tick(me);
    }

    /// Whether there was one.
    bool take_permit(Thread& me, Sync sync, std::size_t initial) {
        if (me.quiet) return false;
        SyncShard& shard = shard_of(sync);
        std::lock_guard hold(shard.mutex);
        auto& queue = shard.permits.try_emplace(sync, initial).first->second;
        if (queue.empty()) return false;
        me.clock.join(queue.front());
        queue.pop_front();
        return true;
    }

    // ---- accesses

    /// kRace also where there is more to say of one. `capture()` is the number of the call stack; it is asked
    /// only for news.
    template <class Capture>
    TP_HOT Found access(Thread& me, Object object, Field field, bool write, std::uint16_t traits,
                        Capture&& capture) {
        if (TP_UNLIKELY(me.quiet | me.ignored)) return Found::kRepeated;
        std::uint32_t generation = shadow_.generation(mixed(object));
        // odd: nothing is lost
        std::uint64_t tag =
            object * 0x9E3779B97F4A7C15u ^ field * 0xC2B2AE3D27D4EB4Fu ^ generation * 0x165667B19E3779F9u;
        if (TP_LIKELY(me.looks.again(tag, me.count, traits | (write ? Looks::kWrite : Looks::kRead))))
            return Found::kRepeated;
        if (shadow_.knows(object, field, me.now(), write, traits)) return Found::kRepeated;
        Access access{me.now(), capture(), lock_set(me), traits, write};
        if (!me.held.empty()) access.traits |= kLocked;
        if (std::uint32_t ways = write ? me.looks.ways(tag, me.count) : 0; ways & Looks::kRead)
            follow(access, ways);
        return check(me, object, field, access, generation) ? Found::kRace : Found::kNothing;
    }

    /// The object is no more: neither its variables, nor its clock. True if it may have been one to
    /// synchronise by.
    bool forget(Object object) {
        shadow_.forget(object);
        if (!known_.has(object, Known::kOrder)) return false;
        SyncShard& shard = shards_[mixed(object) % kSyncShards];
        std::lock_guard hold(shard.mutex);
        shard.clocks.erase(object);
        shard.permits.erase(object);
        shard.parcels.erase(object);
        return true;
    }

    // ---- fork

    /// So that nobody is in the middle of a step when the process forks; after it, let_go() in both
    /// processes.
    void hold_still() {
        for (SyncShard& shard : shards_) shard.mutex.lock();
        shadow_.hold_still();
        mutex_.lock();
        locks_.hold_still();
    }

    void let_go() {
        locks_.let_go();
        mutex_.unlock();
        shadow_.let_go();
        for (SyncShard& shard : shards_) shard.mutex.unlock();
    }

    /// `me` is the only thread of a forked child; what the others did before the fork is done.
    void survive_fork(Thread& me) {
        std::lock_guard hold(mutex_);
        for (const auto& thread : threads_) me.clock.learn(thread->now());
        running_.store(1, std::memory_order_relaxed);  // relaxed: nobody else is there
    }

    // ---- results

    /// From now on, what was reported before is news again.
    void report_anew() {
        std::lock_guard hold(mutex_);
        known_races_.clear();
    }

    std::vector<Race> races() const {
        std::lock_guard hold(mutex_);
        return races_;
    }

    std::vector<Sync> locks(std::uint32_t number) const { return locks_.get(number); }

    // ---- memory

    /// Remember about so many variables, and forget some of them when there are more.
    void limit(std::size_t variables) { shadow_.limit(variables); }

    void check() { shadow_.check(); }

    /// For others who remember something of objects, too.
    Known& known() { return known_; }

 private:
    static constexpr std::size_t kSyncShards = 64;
    // races of one access that are told apart; more have the same cause
    static constexpr std::size_t kAtOnce = 4;

    /// The clock that goes with a topic, and how many items of a channel it stands for.
    struct Parcel {
        Clock clock;
        std::size_t items = 0;
    };

    struct alignas(kCacheLine) SyncShard {
        std::mutex mutex;
        std::unordered_map<Sync, Clock> clocks;
        std::unordered_map<Sync, std::deque<Clock>> permits;
        std::unordered_map<Sync, std::unordered_map<Topic, Parcel>> parcels;

        Parcel* parcel(Sync sync, Topic topic) {
            auto object = parcels.find(sync);
            if (object == parcels.end()) return nullptr;
            auto place = object->second.find(topic);
            return place == object->second.end() ? nullptr : &place->second;
        }
    };

    std::uint32_t lock_set(Thread& me) {
        if (me.held.empty()) return 0;
        std::uint64_t hash = kHashSeed;
        for (Sync lock : me.held) hash = hash_on(hash, lock);
        return me.lock_sets.number_of(hash, [&] { return locks_.number_of(me.held); });
    }

    Thread* add_thread() {
        if (threads_.size() + 1 >= Epoch::kMostThreads) return nullptr;
        return threads_.emplace_back(std::make_unique<Thread>(static_cast<ThreadId>(threads_.size() + 1)))
            .get();
    }

    void tick(Thread& me) {
        ++me.count;
        me.clock.learn(me.now());
    }

    SyncShard& shard_of(Sync sync) {
        known_.mark(sync, Known::kOrder);
        return shards_[mixed(sync) % kSyncShards];
    }

    /// Compares the access with what the cell remembers, and has it remembered in turn.
    TP_APART bool check(Thread& me, Object object, Field field, Access access, std::uint32_t generation) {
        std::array<Access, kAtOnce> unordered;
        std::size_t found = 0;
        auto compare = [&](const Access& other) {
            if (found < kAtOnce && !me.clock.covers(other.epoch)) unordered[found++] = other;
        };
        shadow_.with_cell(object, field, [&](Cell& cell) {
            compare(cell.write);
            if (access.write) {
                if (const Access* read = cell.reads.at(access.epoch)) follow(access, read->traits);
                cell.reads.each(compare);
                cell.reads.clear();
                cell.write = access;
            } else {
                if (const Access* before = cell.reads.at(access.epoch)) access.traits |= before->traits;
                cell.reads.remember(access, me.clock);
            }
        });
        bool news = access.write && resolve_doubt(me, object, field, generation, access);
        for (std::size_t i = 0; i < found; ++i)
            news |= report(me, {object, field, unordered[i], access, {}}, generation);
        return news;
    }

    /// A write that follows the thread's own read of the same variable, in one epoch, depends on it as far as
    /// we can tell. Both the thread and the cell may remember that read: the one until others push it out,
    /// the other until somebody writes.
    static void follow(Access& write, std::uint32_t read) {
        write.traits |= read & kCheck;
        if (!(write.traits & kAtomic)) write.traits |= kUpdate;
    }

    bool report(Thread& me, const Race& race, std::uint32_t generation) {
        // invariant 2
        if (!race.later.write && !(race.later.traits & kUpdate)) me.clock.learn(race.earlier.epoch);
        std::lock_guard hold(mutex_);
        auto [place, fresh] = known_races_.try_emplace({race.earlier.stack, race.later.stack}, races_.size());
        if (fresh) races_.push_back(race);
        else ++races_[place->second].times;
        if (!race.later.write)
            me.doubts[me.next_doubt++ % Thread::kDoubts] = {race.object, race.field, generation,
                                                            place->second};
        return fresh;
    }

    /// The write after a reported read makes the read part of a check-then-act, or of an update.
    bool resolve_doubt(Thread& me, Object object, Field field, std::uint32_t generation,
                       const Access& write) {
        bool resolved = false;
        for (Thread::Doubt& doubt : me.doubts) {
            if (doubt.object != object || doubt.field != field || doubt.generation != generation) continue;
            std::lock_guard hold(mutex_);
            races_[doubt.race].then = write;
            doubt.object = 0;
            resolved = true;
        }
        return resolved;
    }

    Known known_;
    Shadow shadow_{known_};
    Depot<Sync> locks_{(1u << Access::kLockBits) - 1};
    std::array<SyncShard, kSyncShards> shards_;
    std::atomic<int> running_{1};

    mutable std::mutex mutex_;
    std::vector<std::unique_ptr<Thread>> threads_;
    std::vector<Race> races_;
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::size_t> known_races_;
};

}  // namespace threadproof::race
