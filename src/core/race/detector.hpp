/// The race detector: finds two accesses to one variable, one of them a write, that no synchronisation of the
/// program orders.
///
/// The algorithm is FastTrack. Each thread has a clock. A release adds the thread's clock to that of a
/// synchronisation object, an acquire adds the object's clock to the thread's. An access races with one in
/// the variable's cell if the thread's clock does not cover that one. The time at which the threads really
/// ran is irrelevant, so a race is found also in a run in which nothing went wrong.
///
/// The file is long because it is one class: the steps of a thread, each a few lines over the parts in the files
/// beside it.
///
/// Invariants:
/// 1. A thread's own count is in its clock, and only the thread itself raises it, at each release and after the
///    adoption of another thread. So an epoch names all its steps between two releases, and a second access to
///    a variable in one epoch is no news: the thread's EpochCache answers it without a lock, or else the cell
///    does, before the stack is captured.
/// 2. A thread that reads a value which another thread wrote without order between them is reported once, and
///    then counts as ordered after that write: consequences of one mistake are not reported.
/// 3. No lock of the detector is held while another one is taken, except those of the depots, which are
///    innermost.
///
/// Field          | written | read    | guard
/// ---------------|---------|---------|-----------------------------------------------------------------
/// thread.*       | plain   | plain   | only its own thread. create_thread() fills it before the thread runs;
///                |         |         | join_thread() reads it after end_thread(), which the caller orders
/// threads, slots | plain   | plain   | mutex_; of a thread, `ended` and `awaited`, too
/// ended_, races  | plain   | plain   | mutex_
/// running        | relaxed | relaxed | none: a thread that creates another has raised it before
///
/// Threads, variables and synchronisation objects are numbers here; call stacks and lock sets are numbers of
/// a Depot.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/base/hints.hpp"
#include "core/probe/depot.hpp"
#include "core/race/clock.hpp"
#include "core/race/shadow.hpp"
#include "core/race/slots.hpp"
#include "core/race/sync_objects.hpp"
#include "core/race/thread.hpp"
#include "core/race/updates.hpp"

namespace threadproof::race {

using probe::Depot;

class Detector {
 public:
    /// `filter` counts the objects for which the detector has state: report their deallocation with forget().
    explicit Detector(ObjectFilter& filter) : shadow_(filter), updates_(filter), sync_objects_(filter) {}

    // ---- threads

    /// A thread whose creation was not published: C code has started it. Null when there were too many threads.
    /// What orders its begin and its end is not known, so all that others have done is taken to be ordered
    /// before it, and all that it did is taken to be ordered before what others do after its end. That can hide
    /// a race, not invent one.
    Thread* adopt_thread() {
        std::lock_guard hold(mutex_);
        Thread* thread = add_thread(Clock{}, false);
        if (!thread) return nullptr;
        for (const auto& [serial, other] : threads_) thread->clock.learn(other->published_now());
        slots_.each_ended([&](Epoch last) { thread->clock.learn(last); });
        // what others do from now on is of another epoch: their next access begins one (relaxed: late is harmless)
        thread->adoptions = adoptions_.fetch_add(1, std::memory_order_relaxed) + 1;
        shadow_.outdate_caches();
        // relaxed: the program's other threads, if any, have been adopted or created
        if (adopted_++ > 0) running_.fetch_add(1, std::memory_order_relaxed);
        return thread;
    }

    /// An adopted thread does nothing more.
    void end_adopted_thread(Thread& me) {
        std::lock_guard hold(mutex_);
        adopted_ended_.learn(me.now());
        me.last_access = 0;
        end(me);
        threads_.erase(me.serial);
    }

    /// A thread that `parent` is about to start: all that the parent did is ordered before it. Null when
    /// there were too many threads. `awaited`: it may be joined until forget_thread().
    Thread* create_thread(Thread& parent, bool awaited = true) {
        std::unique_lock hold(mutex_);
        Thread* child = add_thread(parent.clock, awaited);
        hold.unlock();
        if (!child) return nullptr;
        child->clock.join(parent.clock);
        if (alone()) std::erase_if(parent.held, is_guard);  // nobody listened to its locks meanwhile
        tick(parent);
        running_.fetch_add(1, std::memory_order_relaxed);
        return child;
    }

    /// A thread runs that has not come here yet.
    void assume_thread() { running_.fetch_add(1, std::memory_order_relaxed); }

    /// `child` has ended, and `me` knows it: all that it did is ordered before what `me` does now.
    void join_thread(Thread& me, Thread& child) {
        me.learn().join(child.clock);
        // relaxed: counted once, by whichever thread joins it first
        if (!child.joined.exchange(true, std::memory_order_relaxed))
            running_.fetch_sub(1, std::memory_order_relaxed);
    }

    /// The same for all threads that could be joined and have ended.
    void join_ended_threads(Thread& me) {
        std::lock_guard hold(mutex_);
        me.learn().join(ended_clock_);
    }

    /// The thread does nothing more. Its clock stays for the threads that will join it.
    void end_thread(Thread& me) {
        std::lock_guard hold(mutex_);
        end(me);
        if (!me.awaited) threads_.erase(me.serial);
    }

    /// Nobody joins the thread any more; the reference must not be used any more.
    void forget_thread(Thread& thread) {
        std::lock_guard hold(mutex_);
        thread.awaited = false;
        if (thread.ended) threads_.erase(thread.serial);
    }

    /// Whether only one thread runs: nothing can race then, for all that it does is ordered before the next
    /// thread's start.
    TP_HOT bool alone() const { return running_.load(std::memory_order_relaxed) <= 1; }

    // ---- order

    /// All that was done before a release() of this object is ordered before what `me` does now.
    void acquire(Thread& me, Sync sync) { sync_objects_.acquire(me.learn(), sync); }

    void release(Thread& me, Sync sync) {
        sync_objects_.release(me.clock, sync);
        tick(me);
    }

    /// As acquire() and release(), for one key of the object.
    void acquire(Thread& me, Sync sync, SyncKey key) { sync_objects_.acquire(me.learn(), sync, key); }
    void release(Thread& me, Sync sync, SyncKey key) { send(me, sync, key, 0); }

    /// An item goes into a channel together with the sender's clock, which its receiver acquires.
    void send(Thread& me, Sync channel, SyncKey item, std::size_t items = 1) {
        sync_objects_.release(me.clock, channel, item, items);
        tick(me);
    }

    void receive(Thread& me, Sync channel, SyncKey item) {
        acquire(me, channel, item);
        unsend(channel, item);
    }

    /// The item did not go in after all.
    void unsend(Sync channel, SyncKey item) { sync_objects_.remove_item(channel, item); }

    /// Only `me` has the object from now on: all accesses to it are ordered before what `me` does now.
    void own(Thread& me, Object object) {
        Clock& clock = me.learn();
        shadow_.each_cell(object, [&](const Cell& cell) {
            clock.learn(cell.write.epoch);
            cell.each_read([&](const Access& read) { clock.learn(read.epoch); });
        });
    }

    void give_permits(Thread& me, Sync sync, std::size_t initial, std::size_t permits) {
        sync_objects_.give_permits(me.clock, me.now(), sync, initial, permits);
        tick(me);
    }

    /// The permits that `me` gave last were not given after all.
    void withdraw_permits(Thread& me, Sync sync, std::size_t permits) {
        sync_objects_.withdraw_permits(me.slot, sync, permits);
    }

    /// Whether there was a permit.
    bool take_permit(Thread& me, Sync sync, std::size_t initial) {
        return sync_objects_.take_permit(me.learn(), sync, initial);
    }

    // ---- locks

    /// A non-reentrant lock that its holder acquires again has been released by another thread: it is used as
    /// a signal (as threading.Condition does), not as a mutex, so it leaves the lock set.
    void acquire_lock(Thread& me, Sync lock, bool reentrant = false) {
        acquire(me, lock);
        bool again = !reentrant && std::find(me.held.begin(), me.held.end(), lock) != me.held.end();
        if (again) drop_lock(me, lock);
        else add_lock(me, lock);
    }

    void release_lock(Thread& me, Sync lock) {
        remove_lock(me, lock);
        release(me, lock);
    }

    /// The lock is in the thread's lock set, or once more, whatever it orders.
    void add_lock(Thread& me, Sync lock) { me.held.push_back(lock); }

    /// Undoes the last add_lock() of this lock; does nothing if there is none.
    void remove_lock(Thread& me, Sync lock) {
        auto last = std::find(me.held.rbegin(), me.held.rend(), lock);
        if (last != me.held.rend()) me.held.erase(std::next(last).base());
    }

    /// The lock is not in the set any more, however often it was added.
    void drop_lock(Thread& me, Sync lock) {
        std::erase(me.held, lock);
        std::erase(me.held, guard_of(lock));
    }

    // ---- guards: a library's own locks. They order nothing, or two threads that log would be in order by that.
    // But while a thread holds one (in Handler.emit(), say), no other thread does: two accesses do not race if
    // both were made under it.

    void acquire_guard(Thread& me, Sync lock, bool reentrant) {
        sync_objects_.add(
            lock);  // one that is deallocated while it is held, as a Condition's are, guards no more
        bool again = !reentrant && std::find(me.held.begin(), me.held.end(), guard_of(lock)) != me.held.end();
        if (again) std::erase(me.held, guard_of(lock));  // a signal, as in acquire_lock()
        else me.held.push_back(guard_of(lock));
    }

    void release_guard(Thread& me, Sync lock) {
        remove_lock(me, guard_of(lock));
        tick(me);  // what follows is not under it, and so it is news
    }

    // ---- objects handed over

    /// `me` puts the item into a container. That orders what came before it, and not what follows. A new epoch for
    /// each item would cost too much while the container is the thread's own: so an access that repeats one of
    /// before the put is taken for that one, unless the object is the item, or one of the few before it.
    void put(Thread& me, Object container, Object item) {
        if (shadow_.outdate_if_known(item)) me.note_put(item);
        if (me.cache.has_or_add(tag_of(container, kHandOver), me.clock_version(), EpochCache::kWrite)) return;
        if (sync_objects_.put(me.clock, me.slot, container, item)) tick(me);
        else me.has_put = true;
    }

    /// `me` has got the item from the container, and has taken it out if `out`: what came before it was put
    /// there is ordered before.
    void take(Thread& me, Object container, Object item, bool out) {
        if (sync_objects_.take(me.clock, me.slot, container, item, out)) me.learn();
    }

    // ---- accesses

    /// Whether the thread's cache has an access of this kind (AccessFlags) in this epoch. Afterwards it has.
    TP_HOT bool is_cached(Thread& me, Object object, Field field, unsigned flags) {
        return me.cache.has_or_add(tag_of(object, field), me.began, kind_of(flags));
    }

    /// An access for which is_cached() was false. capture() returns the number of the call stack; it is called
    /// only where the access is new.
    template <class Capture>
    TP_APART Outcome access_uncached(Thread& me, Object object, Field field, unsigned flags,
                                     Capture&& capture) {
        bool write = flags & kWrite;
        flags &= ~kWrite;
        if (std::uint32_t adoptions = adoptions_.load(std::memory_order_relaxed);
            TP_UNLIKELY(me.adoptions != adoptions)) {
            me.adoptions = adoptions;
            tick(me);
        }
        me.last_access = me.count;
        if (shadow_.has_seen(object, field, me.since(object), write, flags)) return Outcome::kRepeated;
        if (me.has_put) advance(me);
        me.last_access = me.count;
        Access access{me.now(), capture(), lock_set(me), flags, write};
        if (!std::all_of(me.held.begin(), me.held.end(), is_guard)) access.flags |= kLocked;
        unsigned kinds = write ? me.cache.kinds(tag_of(object, field), me.began) : 0;
        if (kinds & EpochCache::kRead) follow(access, kinds);
        return check(me, object, field, access) ? Outcome::kRace : Outcome::kNew;
    }

    /// One access.
    template <class Capture>
    Outcome access(Thread& me, Object object, Field field, unsigned flags, Capture&& capture) {
        if (me.excluded || is_cached(me, object, field, flags)) return Outcome::kRepeated;
        return access_uncached(me, object, field, flags, capture);
    }

    /// A step on a value whose every step is atomic and orders: after a read, or before a write, whose release
    /// has come already. True if it has found two updates that another schedule interleaves, or has interleaved
    /// them.
    template <class Capture>
    bool step(Thread& me, Object object, Field field, unsigned flags, Capture&& capture) {
        if (me.excluded) return false;
        bool write = flags & kWrite;
        if (flags & kAtomic && !write)
            return me.reads.take(object, field), false;  // it has seen a newer value
        if (me.has_put) advance(me);
        me.last_access = me.count;
        Access access{me.now(), capture(), lock_set(me), flags & ~kWrite, write};
        if (!std::all_of(me.held.begin(), me.held.end(), is_guard)) access.flags |= kLocked;
        return write ? write_value(me, object, field, access) : read_value(me, object, field, access);
    }

    /// The object is deallocated: neither its variables nor its clocks count for the next object at its
    /// address. True if it may have been a synchronisation object.
    bool forget(Object object) {
        shadow_.forget(object);
        bool handed_over = false;
        bool may_order = sync_objects_.forget(object, handed_over);
        updates_.forget(object);  // relaxed steps of an atomic order nothing
        if (handed_over) shadow_.outdate(object);
        return may_order;
    }

    // ---- fork

    /// Around a fork: no other thread is in the middle of a step.
    void lock_for_fork() {
        sync_objects_.lock_for_fork();
        updates_.lock_for_fork();
        shadow_.lock_for_fork();
        mutex_.lock();
        lock_sets_.lock_for_fork();
    }

    void unlock_after_fork() {
        lock_sets_.unlock_after_fork();
        mutex_.unlock();
        shadow_.unlock_after_fork();
        updates_.unlock_after_fork();
        sync_objects_.unlock_after_fork();
    }

    /// `me` is the only thread of a forked child; all that other threads did before the fork is ordered
    /// before.
    void continue_in_child(Thread& me) {
        std::lock_guard hold(mutex_);
        for (auto each = threads_.begin(); each != threads_.end();) {
            Thread& other = *each->second;
            if (&other != &me) {
                other.joined.store(true, std::memory_order_relaxed);  // it does not run here
                if (!other.ended) end(other);
            }
            each = &other == &me || other.awaited ? std::next(each) : threads_.erase(each);
        }
        slots_.each_ended([&](Epoch last) { me.learn().learn(last); });
        running_.store(1, std::memory_order_relaxed);  // relaxed: there is no other thread
    }

    // ---- results

    /// Races that were found before count as new ones from now on.
    void report_anew() {
        std::lock_guard hold(mutex_);
        races_by_stacks_.clear();
        updates_by_stacks_.clear();
    }

    /// The race with this number, which is its position in races().
    Race race(std::size_t number) const {
        std::lock_guard hold(mutex_);
        return races_[number];
    }

    std::size_t race_count() const {
        std::lock_guard hold(mutex_);
        return races_.size();
    }

    std::vector<Race> races() const {
        std::lock_guard hold(mutex_);
        return races_;
    }

    /// The locks of a lock set, without guards.
    std::vector<Sync> locks(std::uint32_t number) const {
        std::vector<Sync> locks = lock_sets_.get(number);
        std::erase_if(locks, is_guard);
        return locks;
    }

    // ---- memory

    /// Remember about so many variables, and forget some of them when there are more.
    void limit(std::size_t variables) { shadow_.limit(variables); }

    /// How much there is of everything that a long run could add to.
    struct Counts {
        std::size_t threads, slots, cells, sync_objects, values, lock_sets, races;
    };
    Counts counts() {
        std::size_t cells = shadow_.count(), sync_objects = sync_objects_.count(), values = updates_.count();
        std::size_t lock_sets = lock_sets_.count();
        std::lock_guard hold(mutex_);
        return {threads_.size(), slots_.count(), cells, sync_objects, values, lock_sets, races_.size()};
    }

    /// Asserts the invariants of the parts; std::logic_error if one is broken. No other thread may be in a
    /// step.
    void check() {
        shadow_.check();
        sync_objects_.check();
        updates_.check();
        lock_sets_.check();
        std::lock_guard hold(mutex_);
        slots_.check();
    }

 private:
    static constexpr Field kHandOver = 1;  // in the caches; no variable has this field

    static Sync guard_of(Sync lock) { return lock | 1; }  // objects are aligned, so no lock has this address
    static bool is_guard(Sync lock) { return lock & 1; }

    /// Whether both accesses were made under one guard.
    bool exclude_each_other(const Access& one, const Access& other) const {
        if (!one.locks || !other.locks) return false;
        std::vector<Sync> of_one = lock_sets_.get(one.locks), of_other = lock_sets_.get(other.locks);
        return std::any_of(of_one.begin(), of_one.end(), [&](Sync lock) {
            return is_guard(lock) && std::find(of_other.begin(), of_other.end(), lock) != of_other.end();
        });
    }

    // races of one access that are reported apart; more of them have the same cause
    static constexpr std::size_t kAtOnce = 4;

    /// A variable in the caches: forgetting it changes the tag.
    TP_HOT std::uint64_t tag_of(Object object, Field field) const {
        std::uint32_t generation = shadow_.generation(mixed(object));
        // odd factors: no bit is lost
        return object * 0x9E3779B97F4A7C15u ^ field * 0xC2B2AE3D27D4EB4Fu ^ generation * 0x165667B19E3779F9u;
    }

    /// In the caches, a read has a bit of its own: a write does not stand for it.
    TP_HOT static unsigned kind_of(unsigned flags) {
        static_assert(EpochCache::kWrite == kWrite && EpochCache::kRead == 2 * kWrite);
        return flags + 2 * (~flags & kWrite);
    }

    std::uint32_t lock_set(Thread& me) {
        if (me.held.empty()) return 0;
        std::uint64_t hash = probe::kHashSeed;
        for (Sync lock : me.held) hash = probe::hash_on(hash, lock);
        return me.lock_sets.number_of(hash, [&] { return lock_sets_.number_of(me.held); });
    }

    Thread* add_thread(const Clock& creator, bool awaited) {
        Epoch first = slots_.take(creator, serial_ + 1);
        if (!first) return nullptr;
        auto made = std::make_unique<Thread>(first, ++serial_);
        made->awaited = awaited;
        made->adoptions = adoptions_.load(std::memory_order_relaxed);
        return (threads_[made->serial] = std::move(made)).get();
    }

    void end(Thread& me) {
        me.cache.free();
        me.lock_sets.free();
        std::vector<Sync>().swap(me.held);
        me.ended = true;
        if (me.awaited) ended_clock_.join(me.clock);
        slots_.end(me.now(), me.last_access);
    }

    /// A new epoch, in which every access is news.
    void tick(Thread& me) {
        advance(me);
        me.began = me.count;
    }

    /// A new epoch. The accesses of the former stand for its own still.
    void advance(Thread& me) {
        me.has_put = false;
        ++me.count;
        me.published.store(me.count, std::memory_order_relaxed);
        me.clock.learn(me.now());
    }

    /// Compares the access with those in the cell, and puts it there.
    bool check(Thread& me, Object object, Field field, Access access) {
        std::array<Access, kAtOnce> unordered;
        std::size_t found = 0;
        auto compare = [&](const Access& other) {
            if (found < kAtOnce && !me.clock.covers(other.epoch) && !exclude_each_other(access, other))
                unordered[found++] = other;
        };
        shadow_.with_cell(object, field, [&](Cell& cell) {
            compare(cell.write);
            if (access.write) {
                if (const Access* read = cell.reads.since(me.since(object))) follow(access, read->flags);
                cell.reads.each(compare);
                cell.reads.clear();
                cell.write = access;
            } else {
                if (const Access* before = cell.reads.since(me.since(object))) access.flags |= before->flags;
                cell.reads.remember(access, me.clock);
            }
        });
        me.news.clear();
        std::uint32_t generation = shadow_.generation(mixed(object));
        if (access.write) resolve_pending_read(me, object, field, generation, access);
        for (std::size_t i = 0; i < found; ++i)
            report(me, {object, field, unordered[i], access, {}, 0, me.serial}, generation);
        return !me.news.empty();
    }

    /// A write that follows a read of the same variable in the same epoch probably depends on it. Both the
    /// thread's cache and the cell may have that read: the cache until other accesses replace it, the cell
    /// until any thread writes.
    static void follow(Access& write, std::uint32_t read) {
        write.flags |= read & kCheck;
        if (!(write.flags & kAtomic)) write.flags |= kUpdate;
    }

    void report(Thread& me, Race race, std::uint32_t generation) {
        if (has_ended_elsewhere(race.earlier.epoch)) return;
        // invariant 2
        if (!race.later.write && !(race.later.flags & kUpdate)) me.clock.learn(race.earlier.epoch);
        std::lock_guard hold(mutex_);
        auto [known, fresh] =
            races_by_stacks_.try_emplace({race.earlier.stack, race.later.stack}, races_.size());
        if (fresh) {
            race.earlier_thread = slots_.thread_of(race.earlier.epoch);
            races_.push_back(race);
            me.news.push_back(known->second);
        } else {
            ++races_[known->second].times;
        }
        if (race.later.write) return;
        std::size_t place = me.next_pending++ % Thread::kPendingReads;
        me.pending_reads[place] = {race.object, race.field, generation, known->second};
        me.pending_races.resize(Thread::kPendingReads);
        me.pending_races[place] = race;
    }

    /// Whether a thread that C code started has made the step, and has ended.
    bool has_ended_elsewhere(Epoch step) const {
        std::lock_guard hold(mutex_);
        return adopted_ended_.covers(step);
    }

    /// A write after a reported read makes the read part of a check-then-act, or of an update. The races of
    /// two stacks are reported as one, so that one becomes this one: its accesses are those of one object.
    void resolve_pending_read(Thread& me, Object object, Field field, std::uint32_t generation,
                              const Access& write) {
        for (std::size_t place = 0; place < Thread::kPendingReads; ++place) {
            Thread::PendingRead& read = me.pending_reads[place];
            if (read.object != object || read.field != field || read.generation != generation) continue;
            read.object = 0;
            std::lock_guard hold(mutex_);
            Race& reported = races_[read.number];
            if (reported.then.epoch) continue;
            std::uint64_t times = reported.times;
            reported = me.pending_races[place];
            reported.times = times;
            reported.earlier_thread = slots_.thread_of(reported.earlier.epoch);
            reported.then = write;
            me.news.push_back(read.number);
        }
    }

    // ---- values whose steps order

    /// Whether another thread wrote the value last, and neither a clock puts that before `access`, which `me`
    /// makes now, nor a common guard keeps the two apart.
    bool is_unordered(const Thread& me, const Access& access, const Access& write) const {
        return write.epoch && write.epoch.thread() != me.slot && !me.clock.covers(write.epoch)
               && !exclude_each_other(access, write);
    }

    /// A thread that finds a value where another had found none, and stored one, will not act (and so where the
    /// other had found one, and removed it). If the two have made the same check, only the schedule decided
    /// which of them acts.
    bool read_value(Thread& me, Object object, Field field, const Access& read) {
        Value seen = updates_.get(object, field);
        bool unordered = is_unordered(me, read, seen.last.write);
        me.reads.add({object, field, seen, unordered, read});
        bool decided = seen.last.read.epoch && seen.last.read.has(kAbsent) != read.has(kAbsent);
        if (!unordered || !decided) return false;
        return report_update(me, {object, field, seen.last.write, read, {}, 0, me.serial, seen.last.read});
    }

    bool write_value(Thread& me, Object object, Field field, Access write) {
        RecentReads::Read read = me.reads.take(object, field);
        bool depends =
            read.object != 0 && !write.has(kAtomic) && read.seen.first == updates_.get(object, field).first;
        if (depends) write.flags |= kUpdate | (read.access.flags & kCheck);
        Update update{depends ? read.access : Access{}, write};
        Value before = updates_.put(object, field, update);
        const Access& other = before.last.write;
        if (!depends) {
            return before.last.read.epoch && is_unordered(me, write, other)
                   && report_update(me, {object, field, other, write, {}, 0, me.serial, before.last.read});
        }
        bool foreign = other.epoch && other.epoch.thread() != me.slot;
        if (foreign && before.version != read.seen.version)
            return report_update(
                me, {object, field, other, read.access, write, 0, me.serial, before.last.read, true});
        return read.unordered
               && report_update(me, {object, field, read.seen.last.write, read.access, write, 0, me.serial,
                                     read.seen.last.read});
    }

    bool report_update(Thread& me, Race race) {
        me.news.clear();
        if (has_ended_elsewhere(race.earlier.epoch)) return false;
        std::array<std::uint32_t, 5> stacks{race.before.stack, race.earlier.stack, race.later.stack,
                                            race.then.stack, race.between};
        std::lock_guard hold(mutex_);
        auto [known, fresh] = updates_by_stacks_.try_emplace(stacks, races_.size());
        if (!fresh) return ++races_[known->second].times, false;
        race.earlier_thread = slots_.thread_of(race.earlier.epoch);
        races_.push_back(race);
        me.news.push_back(known->second);
        return true;
    }

    Shadow shadow_;
    Updates updates_;
    SyncObjects sync_objects_;
    Depot<Sync> lock_sets_{(1u << Access::kLockBits) - 1};
    std::atomic<int> running_{1};
    std::atomic<std::uint32_t> adoptions_{0};

    mutable std::mutex mutex_;
    std::unordered_map<Serial, std::unique_ptr<Thread>> threads_;
    Slots slots_;
    Clock ended_clock_;  // of all threads that could be joined and have ended
    Serial serial_ = 0;
    int adopted_ = 0;
    Clock adopted_ended_;
    std::vector<Race> races_;
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::size_t> races_by_stacks_;
    std::map<std::array<std::uint32_t, 5>, std::size_t> updates_by_stacks_;
};

}  // namespace threadproof::race
