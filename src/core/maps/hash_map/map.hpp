/// A concurrent hash map: reads take no lock, writes lock one bucket, resizes are shared out among the
/// writers, and a step on the whole map (clear, drain, snapshot) happens at one instant.
///
/// How it works. A key's position (position.hpp) names its home bucket in every table. A reader pins itself,
/// scans the chain, takes a reference to the value and then looks at the chain's version again: unchanged, so
/// the value was the key's at that moment. A writer locks the home bucket and changes one word last. When the
/// table is too full or too empty a second one is made, and each writer moves a few buckets into it; whoever
/// meets a moved bucket goes on in the next table. A step on the whole map closes a gate, waits for the
/// writers inside (microseconds), acts, and opens it.
///
/// Invariants
///  1. A key is in at most one slot of the map; its home is Table::home(hash) of the first table of the chain
///     root -> next whose bucket for that hash is not moved.
///  2. key == 0 if and only if value == 0, except inside the lock; such a slot is free.
///  3. Only the holder of a home's lock changes its chain. A moved home never changes again (except when emptied by
///     whoever detached the table).
///  4. Between two equal reads of a home's meta word no key came to the chain, went from it or moved on.
///  5. A bucket with entries has the map's parity, except while a snapshot is open and has not copied the bucket.
///  6. At most one resize is under way: root.next is set once, and root is replaced only when all its buckets have moved.
///  7. No policy code that can run a user's code (equal, drop) runs with a lock held, inside a Pin or inside a Section.
///
/// Field         | written                       | read                        | guard
/// --------------|-------------------------------|-----------------------------|-------------------------------
/// root_         | release, by the last mover,   | acquire                     | none; the gate, for detach
///               | or with the gate closed       |                             |
/// parity_       | relaxed, with the gate closed | relaxed, inside a Section   | the gate
/// shot_         | release, gate closed          | acquire, inside a Section   | the gate
/// count_, gate_ | see count.hpp, gate.hpp       |                             |
/// lock order    | whole_ -> the gate's; whole_ -> one bucket -> (shrinking: its target, only tried) -> Snapshot::lock
///
/// Ancestors: CLHT and xsync (cache-line buckets, lock-free reads), F14 (stored hashes), papaya and
/// java.util.concurrent.ConcurrentHashMap (incremental moves), seize (pins).
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "core/base/hints.hpp"
#include "core/base/reclaim.hpp"
#include "core/base/stress.hpp"
#include "core/maps/hash_map/position.hpp"
#include "core/maps/hash_map/table.hpp"
#include "core/maps/map_base.hpp"

namespace threadproof {

template <class P>
class HashMap : public MapBase<P> {
    using Base = MapBase<P>;
    using Base::ask, Base::look_behind, Base::require, Base::visible;
    using typename Base::Answers, typename Base::Closed, typename Base::Gate, typename Base::Guard,
        typename Base::Lock, typename Base::Section;
    using Table = threadproof::Table<Lock>;
    using Bucket = typename Table::Bucket;

 public:
    using Base::drop_all, Base::is_turn;
    using typename Base::Entry, typename Base::Probe;

    static constexpr bool kKeepsDeleted = false;
    /// so that overwrite()'s `next` may look into the current value
    static constexpr bool kOverwritesLocked = true;
    using Chain = Table*;  ///< tables taken out of a map by detach()

    // Keys a bucket on average before growing: as many as it has room for. Then 4 in 10 chains have a second
    // bucket, with a sixth of the keys (Poisson), and a table of n keys takes about as many bytes as a
    // dict's.
    static constexpr unsigned kLoad = Bucket::kSlots;
    // Tables of less than 2^7 buckets, which are 16 KiB, grow by 4: copying a table once more costs more than
    // its room.
    static constexpr unsigned kSmall = 7;
    // Shrink below a key in 4 buckets, to 1/8 of the table, which then has 2 keys a bucket: no resize back
    // and forth around one size, and emptying a map visits few more buckets than it has.
    static constexpr unsigned kSparse = 4, kShrinkBits = 3;
    // 2^5 buckets are one page: there is nothing to give back below.
    static constexpr unsigned kNotWorth = stress::shrunk(5u, 0u);
    // Buckets a writer moves: a table has moved after 1/9 of a write per bucket, and filling the next takes
    // 5.
    static constexpr unsigned kHelp = stress::shrunk(8u, 1u);
    // 2 buckets hold 10 keys before they grow; the smallest dict holds 5.
    static constexpr unsigned kFirstBits = stress::shrunk(1u, 0u);
    // Room that writers who keep meeting in buckets get: up to 8 buckets a key, and up to 2^12 buckets, which
    // are half a MiB.
    static constexpr unsigned kRoom = 8, kRoomiest = 12;
    // For each time that writers meet, thousands of writes have waited for a cache line to come from the
    // other core (docs/decisions.md), so that a few meetings pay for moving all of so small a table.
    static constexpr unsigned kMeetings = stress::shrunk(4u, 1u);
    // A stripe's changes between two looks at the load: a look reads 8 cache lines.
    static constexpr unsigned kLookEvery = stress::shrunk(16u, 1u);

    /// How many keys 2^bits buckets hold before they grow.
    static std::uint64_t capacity(unsigned bits) { return kLoad * (std::uint64_t{1} << bits); }

    explicit HashMap(std::uint64_t secret) : placement_(secret) {
        Table* first = Table::make(kFirstBits, placement_.multiplier(), next_id());
        if (!first) throw std::bad_alloc();
        root_.store(first, std::memory_order_relaxed);  // nobody else has the map yet
    }

    /// Nobody may be using the map, and take_all(detached or root) has emptied it.
    ~HashMap() { free_chain(root_.load(std::memory_order_relaxed)); }

    HashMap(const HashMap&) = delete;
    HashMap& operator=(const HashMap&) = delete;

    // ---- one key

    /// Takes out a copy of the value: on kPresent *value is held for the caller. Lock-free; kAbsent,
    /// kPresent, kError, kNoMemory.
    TP_HOT Outcome get(const Probe& probe, Word* value) {
        Word found;  // not *value, which has an address and so lives in memory
        if (TP_UNLIKELY(!glance<true>(probe, &found))) return look<true>(probe, value);
        *value = found;
        return TP_LIKELY(!is_turn(found)) ? Outcome::kPresent : look_behind(value);
    }

    TP_HOT Outcome contains(const Probe& probe) {
        Word value;
        return TP_LIKELY(glance<false>(probe, &value)) ? Outcome::kPresent : look<false>(probe, &value);
    }

    /// get() for up to kGroup keys at once: the memory of all is asked for before the first is read. After an
    /// outcome that is an error there are no more.
    static constexpr unsigned kGroup = 16;  // outstanding cache misses a core can keep
    template <class Each>
    void get_group(const Probe* probes, unsigned count, Each each) {
        Word values[kGroup];
        Step steps[kGroup];
        {
            Guard guard;
            // acquire: pairs with the last mover's and detach's release
            Table* table = root_.load(std::memory_order_acquire);
            prefetch_all(table, probes, count);
            for (unsigned i = 0; i < count; ++i) {
                Spot at;
                arrive(at, probes[i].hash);
                steps[i] = read<true>(at, probes[i], nullptr, &values[i]);
                // and ask with this pin given up
                if (TP_UNLIKELY(steps[i] == Step::kAsk)) steps[i] = Step::kRetry;
            }
        }
        Spot nothing_asked;
        bool failed = false;
        for (unsigned i = 0; i < count; ++i) {
            if (failed) {  // an error is on its way to the user: nothing may be asked any more
                if (steps[i] == Step::kHit || steps[i] == Step::kDrop) P::drop(values[i]);
                continue;
            }
            Outcome outcome = steps[i] == Step::kMiss ? Outcome::kAbsent
                              : steps[i] != Step::kHit
                                  ? read_slow<true>(steps[i], nothing_asked, probes[i], &values[i])
                              : is_turn(values[i]) ? look_behind(&values[i])
                                                   : Outcome::kPresent;
            failed = outcome > Outcome::kPresent;
            each(i, outcome, values[i]);
        }
    }

    /// Asks for the memory of keys that are about to be changed.
    void prefetch_group(const Probe* probes, unsigned count) {
        Guard guard;
        Table* table = root_.load(std::memory_order_acquire);             // acquire: as in arrive()
        if (table->bits() >= kSmall) prefetch_all(table, probes, count);  // smaller ones are in a cache
    }

    /// The one way to change a key. `decide(current)` gets the value, or 0, under the bucket's lock, and
    /// returns the value to have: `current` to leave it, 0 to remove the key. It runs no user code.
    /// References: the one in the slot goes to the caller when the value is replaced or removed; the one to
    /// the new value goes to the slot. kBusy puts a held turn into *turn. With kThrough, decide() is shown
    /// turns as well.
    template <bool kThrough = false, class Decide>
    TP_HOT Outcome change(const Probe& probe, Decide&& decide, Word* turn = nullptr) {
        Leftovers left;
        Attempt attempt;
        {
            Section section(gate_);
            Spot at;
            attempt = try_change<kThrough>(at, probe, nullptr, decide, turn, left);
        }
        dispose(left);
        if (TP_LIKELY(attempt != Attempt::kAsk)) return static_cast<Outcome>(attempt);
        return change_slow<kThrough>(probe, decide, turn);
    }

    /// The commonest change, in the commonest case: a key in its home bucket gets another value. False, and
    /// nothing is done, in every other case: then change() it. `next(current)` is called under the bucket's
    /// lock and runs no user code; it returns the new value with a reference for the slot, or 0 to leave it.
    /// The old one's reference goes to the caller. It says nothing that change() does not, but in registers:
    /// an overwrite took 18 ns instead of 20.
    template <class Next>
    TP_HOT bool overwrite(const Probe& probe, Next next, Word* old) {
        Section section(gate_);
        Table* table = root_.load(std::memory_order_acquire);  // acquire: as in arrive()
        if (TP_UNLIKELY(table->next.load(std::memory_order_acquire) || shot_.load(std::memory_order_acquire)))
            return false;
        Bucket& home = table->home(probe.hash);
        // a hint, looked at again below: a new key need not lock twice
        std::intptr_t slot = home.first_match(probe.hash);
        if (TP_UNLIKELY(slot < 0 || !home.lock.try_lock())) return false;
        bool moved = home.meta.load(std::memory_order_relaxed) & kMoved;  // ours, all of it: we hold the lock
        bool found = false;
        if (TP_LIKELY(!moved && home.hash[slot].load(std::memory_order_relaxed) == probe.hash)) {
            Word key = home.key[slot].load(std::memory_order_relaxed),
                 current = home.value[slot].load(std::memory_order_relaxed);
            found = key && !is_turn(current) && P::match(key, probe) == Match::kYes;
            Word fresh = found ? next(current) : 0;
            found = fresh != 0;
            if (found) {
                *old = current;
                home.value[slot].store(fresh, std::memory_order_release);  // release: pairs with read()
            }
        }
        home.lock.unlock();
        return found;
    }

    /// Puts `next` in the place of exactly this value (and key, unless 0): an identity, compared with nothing
    /// else. False when it is no longer there; references as in change(); kNoMemory cannot happen.
    bool replace_exact(std::uint64_t hash, Word key, Word value, Word next) {
        Leftovers left;
        bool found = false;
        {
            Section section(gate_);
            Spot at;
            int grown = 0;
            {
                Locked home(*this, at, hash, left);
                found = seek_exact(at, key, value);
                // before: replacing it gives up what keeps a turn alive
                if (found) grown = visible(next) - visible(value);
                if (found) overwrite_or_remove(at, value, next, left);
            }
            if (grown) consider_resize(at.table, grown);
        }
        dispose(left);
        return found;
    }

    // ---- the whole map

    /// The number of keys at one instant within this call.
    std::int64_t size() { return Base::exact(count_, gate_); }

    /// Detaches all entries in one atomic step and leaves an empty map; the caller owns what it returns and
    /// passes it to take_all() and then retire_chain(). `allowed(count)` has the last word, with the map
    /// stopped: false, and null is returned and nothing has changed. Throws bad_alloc, with nothing changed.
    template <class Allowed>
    Chain detach(Allowed allowed) {
        std::lock_guard whole(whole_);
        Table* fresh = Table::make(kFirstBits, placement_.multiplier(), next_id());
        if (!fresh) throw std::bad_alloc();
        Closed closed(gate_);
        std::int64_t count = 0;
        count_.try_read(&count);
        if (!allowed(count)) {
            fresh->free_now();
            return nullptr;
        }
        stress::reach(stress::Window::kGateClosed);
        CountChange gone(count_.stripe(0), -count);
        reserved_bits_.store(0, std::memory_order_relaxed);  // a floor for shrinking: a hint
        // release: publishes the new table; acquire: the old one's content
        return root_.exchange(fresh, std::memory_order_acq_rel);
    }

    /// Takes every entry out of a detached chain and hands it, with its references, to sink(entry), outside
    /// all locks. The key's is to be given up with drop_key().
    template <class Sink>
    void take_all(Chain chain, Sink sink) {
        Some batch;
        for (Table* table = chain; table; table = table->next.load(std::memory_order_acquire)) {
            for (std::size_t i = 0; i < table->size(); ++i) {
                while (take_some(*table, table->at(i), batch)) {
                    for (const Entry& entry : batch) sink(entry);
                }
            }
        }
    }

    void retire_chain(Chain chain) {
        while (chain) {
            Table* next = chain->next.load(std::memory_order_acquire);
            chain->retire();
            chain = next;
        }
    }

    /// Removes everything. One atomic step; the old entries are dropped afterwards, by this thread.
    void clear() {
        Chain chain = detach([](std::int64_t) { return true; });
        take_all(chain, [](Entry entry) {
            drop_key(entry.key);
            P::drop(entry.value);
        });
        retire_chain(chain);
    }

    using Entries = std::deque<Entry>;  ///< grows without moving what it holds: writers wait for that, too

    /// All entries as they were at one instant, each held for the caller. Writers go on meanwhile: whoever
    /// changes a bucket that is not copied yet copies it first. Throws bad_alloc, holding nothing.
    Entries snapshot() {
        Entries entries;  // made first: making one can throw, swapping two cannot
        // not on the stack: a forked child keeps the map, but not this thread's stack
        auto shot = std::make_unique<Snapshot>();
        {
            std::lock_guard whole(whole_);
            forget_stale_snapshot();
            {
                Closed closed(gate_);
                parity_.fetch_xor(kParity, std::memory_order_relaxed);  // published by opening the gate
                shot_.store(shot.get(), std::memory_order_release);
            }
            stress::reach(stress::Window::kSnapshotOpen);
            each_home([&](Table& table, Bucket& home) { save(table, home); });
            Closed closed(gate_);
            shot_.store(nullptr, std::memory_order_release);
        }
        entries.swap(shot->entries);
        if (!shot->failed) return entries;
        drop_all(entries);
        throw std::bad_alloc();
    }

    /// How far an iteration has come. Everything before `position` has been seen.
    struct Walk {
        std::uint64_t position = 0;
        bool done = false;
    };

    /// Copies the next bucket with entries into `batch`, each held for the caller; false at the end. A key
    /// that is there throughout an iteration is seen exactly once, and none is seen twice. Throws bad_alloc,
    /// holding nothing.
    bool next_batch(Walk& walk, std::vector<Entry>& batch) {
        batch.clear();
        while (batch.empty() && !walk.done) {
            Guard guard;
            Walk next = walk;
            LockedAt home(*this, next);
            copy_chain(*home.table, *home.bucket, batch, [&](std::uint64_t hash) {
                std::uint64_t position = placement_.position(hash);
                return position >= walk.position && (next.done || position < next.position);
            });
            stress::reach(stress::Window::kIterateBatch);
            walk = next;
        }
        return !batch.empty();
    }

    /// A key that a pinned reader may still be comparing waits for it. For the reference that a slot had.
    static void drop_key(Word key) {
        if (P::kThreads && P::deferred(key)) Reclaimer::retire(Retired{key, P::drop}, P::weight(key));
        else P::drop(key);
    }

    /// Makes room for `count` keys now, so that no insert up to there starts a resize. Throws bad_alloc;
    /// nothing has changed.
    void reserve(std::uint64_t count) {
        unsigned bits = bits_for(count);
        std::uint64_t in_vain = 0;  // rounds since a bucket was moved: there may be no memory to move one
        for (unsigned round = 0;; ++round) {
            Leftovers left;
            bool another_begins = false;
            {
                Section section(gate_);
                Table* root = root_.load(std::memory_order_acquire);  // acquire, both: as in arrive()
                if (!root->next.load(std::memory_order_acquire)) {
                    if (root->bits() >= bits) break;
                    if (!resize(root, bits)) throw std::bad_alloc();
                }
                another_begins = !root->next.load(std::memory_order_acquire);
                if (!another_begins) {
                    // relaxed, both: only whether it has changed
                    std::uint64_t moved = root->moved.load(std::memory_order_relaxed);
                    left.table = help(root, 0);
                    in_vain = root->moved.load(std::memory_order_relaxed) == moved ? in_vain + 1 : 0;
                    if (in_vain > root->size()) throw std::bad_alloc();  // every bucket has been tried since
                }
            }
            dispose(left);
            if (another_begins) pause_round(round);
        }
        reserved_bits_.store(bits, std::memory_order_relaxed);  // a floor for shrinking: a hint
    }

    /// Calls visit(key, value) for every entry, turns included, with no lock. Nobody may be changing the map:
    /// for a garbage collector that has stopped the world.
    template <class Visit>
    int visit_stopped(Visit visit) {
        for (Table* table = root_.load(std::memory_order_acquire); table;
             table = table->next.load(std::memory_order_acquire)) {
            for (std::size_t i = 0; i < table->size(); ++i) {
                if (table->at(i).meta.load(std::memory_order_relaxed) & kMoved) continue;
                for (Bucket* b = &table->at(i); b; b = table->after(*b)) {
                    for (int slot = 0; slot < Bucket::kSlots; ++slot) {
                        // relaxed, both: the world is stopped
                        Word key = b->key[slot].load(std::memory_order_relaxed);
                        if (!key) continue;
                        if (int stop = visit(key, b->value[slot].load(std::memory_order_relaxed)))
                            return stop;
                    }
                }
            }
        }
        return 0;
    }

    /// Empties a map that nobody uses any more: what is dropped here must not come back to it. For its
    /// destruction.
    void empty() {
        for (Table* table = root_.load(std::memory_order_relaxed); table;
             table = table->next.load(std::memory_order_relaxed)) {
            Some batch;
            for (std::size_t i = 0; i < table->size(); ++i) {
                while (take_some(*table, table->at(i), batch)) {
                    CountChange gone(count_.stripe(0), -visible_in(batch));
                    for (const Entry& entry : batch) {
                        drop_key(entry.key);
                        P::drop(entry.value);
                    }
                }
            }
        }
    }

    struct Stats {
        std::int64_t size;
        std::uint64_t buckets, capacity, overflow_buckets, longest_chain, resizes, moved_buckets, bytes,
            retired_bytes, lock_waits;
        bool resizing;
    };

    /// Cheap but for the longest chain, which is looked for in at most 1,024 buckets.
    Stats stats() {
        Stats s{};
        s.size = size();
        Guard guard;
        Table* root = root_.load(std::memory_order_acquire);
        Table* next = root->next.load(std::memory_order_acquire);
        s.buckets = root->size();
        s.capacity = capacity(root->bits());
        s.overflow_buckets = root->spare_used();
        s.bytes = sizeof(*this) + root->bytes();
        s.resizing = next != nullptr;
        if (next) {
            s.moved_buckets = root->moved.load(std::memory_order_relaxed);  // relaxed from here: figures
            s.overflow_buckets += next->spare_used();
            s.bytes += next->bytes();
        }
        s.resizes = resizes_.load(std::memory_order_relaxed);
        s.lock_waits = lock_waits_.load(std::memory_order_relaxed);
        s.retired_bytes = Reclaimer::bytes();
        s.longest_chain = longest_chain(*root);
        return s;
    }

    /// Asserts the invariants; nobody may be changing the map. Throws logic_error naming the one that does
    /// not hold.
    void check() {
        forget_stale_snapshot();
        std::int64_t seen = 0;
        for (Table* table = root_.load(std::memory_order_acquire); table;
             table = table->next.load(std::memory_order_acquire)) {
            std::uint64_t moved = 0;
            for (std::size_t i = 0; i < table->size(); ++i) {
                if (table->at(i).meta.load(std::memory_order_relaxed) & kMoved) ++moved;
                else seen += check_chain(*table, table->at(i));
            }
            require(moved == table->moved.load(std::memory_order_relaxed), "moved buckets are counted");
            require(moved == 0 || table->next.load(std::memory_order_relaxed),
                    "a moved bucket has a next table");
            require(moved < table->size(), "a table whose buckets have all moved is unlinked");
        }
        std::int64_t count = -1;
        require(count_.try_read(&count), "no change is under way");
        require(count == seen, "len() is the number of keys");
        require(!gate_.closed() && !shot_.load(std::memory_order_relaxed), "no whole-map step is under way");
    }

 private:
    // ---- scopes

    /// Where a search stands in a chain, and enough to know the chain again.
    struct Spot {
        Table* table;
        std::uint64_t id;    ///< the table's, kept because the table may be gone when we come back
        Bucket* home;        ///< null: a search that has not begun, and the rest is not set
        std::uint32_t meta;  ///< home's, as it was when we came
        Bucket* bucket;
        int slot;
        Word key;
    };

    /// What a change leaves to be thrown away once it is outside its Section.
    struct Leftovers {
        Table* table = nullptr;  ///< unlinked: nobody can reach it any more but those pinned
        Word key = 0;            ///< removed
    };

    /// A home bucket's lock, and the table it lives in now.
    class Locked {
     public:
        TP_HOT Locked(HashMap& map, Spot& at, std::uint64_t hash, Leftovers& left) : at_(at) {
            Table* table = map.root_.load(std::memory_order_acquire);  // acquire: as in arrive()
            if (TP_UNLIKELY(table->next.load(std::memory_order_acquire) != nullptr)) {
                left.table = map.help(table, hash);
                table = map.root_.load(std::memory_order_acquire);
            }
            for (;;) {
                at.home = &table->home(hash);
                if (TP_UNLIKELY(!at.home->lock.try_lock())) map.meet(table, at.home->lock);
                at.meta = at.home->meta.load(std::memory_order_relaxed);  // ours: we hold the lock
                if (TP_LIKELY(!(at.meta & kMoved))) break;
                at.home->lock.unlock();
                table = table->next.load(std::memory_order_acquire);
                table->home(hash).touch();
            }
            at.table = table;
            at.bucket = at.home;
            at.slot = 0;
        }
        TP_HOT ~Locked() { at_.home->lock.unlock(); }
        Locked(const Locked&) = delete;
        Locked& operator=(const Locked&) = delete;

     private:
        Spot& at_;
    };

    /// The lock of the bucket that owns a position, and the walk moved on behind what that bucket answers
    /// for.
    class LockedAt {
     public:
        LockedAt(HashMap& map, Walk& walk) {
            table = map.root_.load(std::memory_order_acquire);  // acquire: as in arrive()
            unsigned bits = table->bits();
            for (;;) {
                bucket = &table->at_position(walk.position);
                map.lock(bucket->lock);
                // ours: we hold the lock
                if (TP_LIKELY(!(bucket->meta.load(std::memory_order_relaxed) & kMoved))) break;
                bucket->lock.unlock();
                table = table->next.load(std::memory_order_acquire);
                bits = table->bits() > bits ? table->bits() : bits;
            }
            std::uint64_t rest = bits == 0 ? ~std::uint64_t{0} : (~std::uint64_t{0} >> bits);
            // the first position behind the finest bucket on the way
            walk.position = (walk.position | rest) + 1;
            walk.done = walk.position == 0;
            if (!walk.done) prefetch(table->at_position(walk.position));
        }
        ~LockedAt() { bucket->lock.unlock(); }
        LockedAt(const LockedAt&) = delete;
        LockedAt& operator=(const LockedAt&) = delete;

        Table* table;
        Bucket* bucket;
    };

    TP_HOT void dispose(Leftovers& left) {
        if (TP_UNLIKELY(left.table != nullptr)) left.table->retire();
        if (left.key) drop_key(left.key);
        Reclaimer::poll();
    }

    TP_HOT void lock(Lock& mutex) {
        if (TP_LIKELY(mutex.try_lock())) return;
        lock_waits_.fetch_add(1, std::memory_order_relaxed);  // a figure for stats()
        mutex.lock();
    }

    /// lock(), for a writer of a key that finds another writer in its bucket.
    TP_COLD void meet(Table* table, Lock& mutex) {
        std::uint64_t met = table->met.fetch_add(1, std::memory_order_relaxed) + 1;  // relaxed: a hint
        if (met % kMeetings == 0) spread(table);
        lock(mutex);
    }

    // ---- searching

    enum class Found : std::uint8_t { kNo, kYes, kAsk };

    /// Finds the bucket that holds a hash now; pinned.
    TP_HOT void arrive(Spot& at, std::uint64_t hash) const {
        // acquire: pairs with the last mover's and detach's release
        at.table = root_.load(std::memory_order_acquire);
        for (;;) {
            at.home = &at.table->home(hash);
            // acquire: pairs with publish(): a new version shows its hash
            at.meta = at.home->meta.load(std::memory_order_acquire);
            if (TP_LIKELY(!(at.meta & kMoved))) break;
            at.table = at.table->next.load(std::memory_order_acquire);  // acquire: pairs with resize()
        }
        at.bucket = at.home;
        at.slot = 0;
    }

    /// Goes on where a search stood, if nothing in the chain has changed; else begins again. Whether it
    /// stands at an equal key.
    static bool resume(Spot& at, const Spot& before, Answers& answers) {
        if (before.home == nullptr) return false;
        if (before.id != at.table->id() || before.home != at.home || before.meta != at.meta) {
            answers.restart();
            return false;
        }
        at.bucket = before.bucket;
        at.slot = before.slot;
        at.key = before.key;
        return answers.recall(at.key) == Match::kYes;
    }

    /// Looks on through the chain, from the spot, for a slot that holds the key.
    TP_HOT Found seek(Spot& at, const Probe& probe, const Answers* answers) const {
        for (;;) {
            for (unsigned hits = at.bucket->matches(probe.hash) >> at.slot << at.slot; TP_LIKELY(hits != 0);
                 hits &= hits - 1) {
                int slot = std::countr_zero(hits);
                stress::reach(stress::Window::kReadHashed);
                // acquire: pairs with publish(); later looks at value and version stay later
                Word key = at.bucket->key[slot].load(std::memory_order_acquire);
                if (!key) continue;
                Match match = P::match(key, probe);
                if (TP_UNLIKELY(match == Match::kAsk) && answers) match = answers->recall(key);
                if (match == Match::kNo) continue;
                at.slot = slot;
                at.key = key;
                return TP_LIKELY(match == Match::kYes) ? Found::kYes : Found::kAsk;
            }
            // acquire: pairs with extend()
            std::uint32_t meta =
                at.bucket == at.home ? at.meta : at.bucket->meta.load(std::memory_order_acquire);
            Bucket* next = at.table->after(*at.bucket, meta);
            if (TP_LIKELY(!next)) return Found::kNo;
            at.bucket = next;
            at.slot = 0;
        }
    }

    /// Looks through a locked chain for a slot with exactly this value (and key, unless 0).
    static bool seek_exact(Spot& at, Word key, Word value) {
        for (; at.bucket; at.bucket = at.table->after(*at.bucket)) {
            for (at.slot = 0; at.slot < Bucket::kSlots; ++at.slot) {
                // ours, both: we hold the lock
                at.key = at.bucket->key[at.slot].load(std::memory_order_relaxed);
                if (at.bucket->value[at.slot].load(std::memory_order_relaxed) == value
                    && (!key || at.key == key))
                    return true;
            }
        }
        return false;
    }

    // ---- reading

    /// What one look came to. kDrop, kVain: look again, but first drop the value, or the key, that is held
    /// for nothing. kLock: only under the lock. kAsk: only the user's comparison can tell.
    enum class Step : std::uint8_t { kHit, kMiss, kRetry, kDrop, kVain, kLock, kAsk };

    /// One look, pinned. kTake: the value is wanted, and held on kHit. `there`: at an equal key already.
    template <bool kTake>
    TP_HOT Step read(Spot& at, const Probe& probe, const Answers* answers, Word* value,
                     bool there = false) const {
        stress::reach(stress::Window::kReadArrived);
        Found found = there ? Found::kYes : seek(at, probe, answers);
        if (TP_UNLIKELY(found == Found::kAsk)) return Step::kAsk;
        if (found == Found::kNo) {
            stress::reach(stress::Window::kReadMissed);
            // the hashes were read before the version below
            std::atomic_thread_fence(std::memory_order_acquire);
            return TP_LIKELY(unchanged(*at.home, at.meta)) ? Step::kMiss : Step::kRetry;
        }
        Taken taken = take<kTake>(*at.home, at.meta, at.bucket->value[at.slot]);
        *value = taken.value;
        return taken.step;
    }

    /// Whether no key came, went or moved on since we arrived. Relaxed: every caller's acquire comes before.
    TP_HOT static bool unchanged(const Bucket& home, std::uint32_t meta) {
        return home.meta.load(std::memory_order_relaxed) == meta;
    }

    /// What a look at one slot came to, and on kHit and kDrop the value that is held.
    struct Taken {
        Word value;
        Step step;
    };

    /// look() in the commonest case: an equal key in the first two buckets of its chain. False in every
    /// other. It says nothing that look() does not, but in registers: 15 instructions less for a Python int
    /// (by Callgrind).
    template <bool kTake>
    TP_HOT bool glance(Probe probe, Word* value) {
        Taken taken;
        {
            Guard guard;
            Table* table = root_.load(std::memory_order_acquire);  // acquire, all: as in arrive() and seek()
            Bucket& home = table->home(probe.hash);
            std::uint32_t meta = home.meta.load(std::memory_order_acquire);
            stress::reach(stress::Window::kReadArrived);
            if (TP_UNLIKELY(meta & kMoved)) return false;
            Bucket* bucket = &home;
            std::intptr_t slot = home.first_match(probe.hash);
            if (TP_UNLIKELY(slot < 0)) {
                bucket = table->after(home, meta);
                if (!bucket) return false;
                // its second line: which value is wanted is not known before its hashes have come
                __builtin_prefetch(&bucket->meta);
                if ((slot = bucket->first_match(probe.hash)) < 0) return false;
            }
            stress::reach(stress::Window::kReadHashed);
            Word key = bucket->key[slot].load(std::memory_order_acquire);
            if (TP_UNLIKELY(!P::same(key, probe)) && (!key || P::match(key, probe) != Match::kYes))
                return false;
            taken = take<kTake>(home, meta, bucket->value[slot]);
        }
        *value = taken.value;
        if (TP_LIKELY(taken.step == Step::kHit)) return true;
        if (kTake && taken.step == Step::kDrop) P::drop(taken.value);
        return false;
    }

    /// Holds the value in a slot that has the key, if it is wanted, and makes sure that it is the key's:
    /// kHit. `meta` was read before.
    template <bool kTake>
    TP_HOT static Taken take(const Bucket& home, std::uint32_t meta, const std::atomic<Word>& slot) {
        stress::reach(stress::Window::kReadMatched);
        // acquire: pairs with the release of whoever stored it
        Word word = slot.load(std::memory_order_acquire);
        if (TP_UNLIKELY(!word)) return {0, Step::kRetry};  // removed since
        if constexpr (!kTake) {
            // what lies behind a turn can only be seen by holding it
            if (TP_UNLIKELY(is_turn(word))) return {0, Step::kLock};
            return {0, TP_LIKELY(unchanged(home, meta)) ? Step::kHit : Step::kRetry};
        }
        stress::reach(stress::Window::kReadLoaded);
        if (TP_UNLIKELY(!P::try_hold(word))) return {0, Step::kLock};
        stress::reach(stress::Window::kReadHeld);
        // The reference is good for something; it was this key's value if neither the slot nor the version
        // has changed.
        return {word, TP_LIKELY(slot.load(std::memory_order_acquire) == word && unchanged(home, meta))
                          ? Step::kHit
                          : Step::kDrop};
    }

    /// The value of a key, held, or whether there is one: a look without help of the user's comparison, and
    /// what must follow it.
    template <bool kTake>
    TP_APART Outcome look(Probe probe, Word* value) {
        Step step;
        Spot asked;
        {
            Guard guard;
            Spot at;
            arrive(at, probe.hash);
            step = read<kTake>(at, probe, nullptr, value);
            if (TP_UNLIKELY(step == Step::kAsk))
                step = hold_key(asked, at.table, at.home, at.meta, at.bucket, at.slot, at.key);
        }
        if (TP_LIKELY(step == Step::kHit))
            return kTake && is_turn(*value) ? look_behind(value) : Outcome::kPresent;
        if (TP_LIKELY(step == Step::kMiss)) return Outcome::kAbsent;
        return read_slow<kTake>(step, asked, probe, value);
    }

    /// Goes on from a look that has not settled the matter; `asked` is where it stood, on kAsk and kVain.
    template <bool kTake>
    TP_APART Outcome read_slow(Step step, Spot& asked, Probe probe, Word* value) {
        Answers answers;
        if (step != Step::kAsk && step != Step::kVain) asked.home = nullptr;
        for (;;) {
            if (step == Step::kDrop) P::drop(*value);
            if (step == Step::kVain) P::drop(asked.key);
            if (step == Step::kLock) return read_locked<kTake>(probe, value);
            if (step == Step::kAsk) {
                if (Outcome failed = ask(asked.key, probe, answers); failed != Outcome::kPresent)
                    return failed;
            }
            {
                Guard guard;
                Spot at;
                arrive(at, probe.hash);
                step = read<kTake>(at, probe, &answers, value, resume(at, asked, answers));
                if (step == Step::kAsk)
                    step = hold_key(asked, at.table, at.home, at.meta, at.bucket, at.slot, at.key);
            }
            if (step == Step::kMiss) return Outcome::kAbsent;
            if (step == Step::kHit) return kTake && is_turn(*value) ? look_behind(value) : Outcome::kPresent;
        }
    }

    /// Holds the key under comparison, so that it can be compared with no pin, and remembers the place. (In
    /// single words: a reader's own Spot stays in registers as long as nobody takes its address.)
    TP_APART static Step hold_key(Spot& asked, Table* table, Bucket* home, std::uint32_t meta, Bucket* bucket,
                                  int slot, Word key) {
        asked.table = table;
        asked.id = table->id();
        asked.home = home;
        asked.meta = meta;
        asked.bucket = bucket;
        asked.slot = slot;
        asked.key = key;
        if (!P::try_hold(key)) return Step::kLock;
        if (bucket->key[slot].load(std::memory_order_acquire) == key && unchanged(*home, meta))
            return Step::kAsk;
        return Step::kVain;  // something may have taken its place before we held it
    }

    /// The first look by a thread other than its maker at an object that nobody shared before: it takes the
    /// lock once, so that later ones need not.
    template <bool kTake>
    TP_APART Outcome read_locked(Probe probe, Word* value) {
        *value = 0;
        Outcome outcome = change<true>(probe, [&](Word current) {
            if (current && (kTake || is_turn(current))) {
                P::open(current);
                P::hold(current);
                *value = current;
            }
            return current;
        });
        if (outcome != Outcome::kPresent || !is_turn(*value)) return outcome;
        outcome = look_behind(value);
        if (!kTake && outcome == Outcome::kPresent) P::drop(*value);
        return outcome;
    }

    // ---- writing

    /// An Outcome, or: only a user's comparison can tell.
    enum class Attempt : std::uint8_t { kAbsent, kPresent, kBusy, kError, kNoMemory, kAsk };

    /// One attempt at a change, inside a Section. On kAsk with answers given, at.key is held.
    template <bool kThrough, class Decide>
    TP_HOT Attempt try_change(Spot& at, const Probe& probe, Answers* answers, Decide&& decide, Word* turn,
                              Leftovers& left) {
        int grown = 0;
        Attempt attempt;
        {
            Spot before = at;
            Locked home(*this, at, probe.hash, left);
            if (answers) {
                at.id = at.table->id();
                resume(at, before, *answers);
            }
            Found found = seek(at, probe, answers);
            if (TP_UNLIKELY(found == Found::kAsk)) {
                if (answers) P::hold(at.key);
                return Attempt::kAsk;
            }
            // ours: we hold the lock
            Word current =
                found == Found::kYes ? at.bucket->value[at.slot].load(std::memory_order_relaxed) : 0;
            if (!kThrough && TP_UNLIKELY(is_turn(current))) {
                P::hold(current);
                *turn = current;
                return Attempt::kBusy;
            }
            attempt = current ? Attempt::kPresent : Attempt::kAbsent;
            Word next = decide(current);
            if (next == current) return attempt;
            grown = visible(next) - visible(current);
            if (current) overwrite_or_remove(at, current, next, left);
            else if (!insert(*at.table, *at.home, probe, next)) return Attempt::kNoMemory;
        }
        if (grown) consider_resize(at.table, grown);
        return attempt;
    }

    template <bool kThrough, class Decide>
    TP_APART Outcome change_slow(Probe probe, Decide&& decide, Word* turn) {
        Answers answers;
        Spot at;
        at.home = nullptr;
        for (;;) {
            Leftovers left;
            Attempt attempt;
            {
                Section section(gate_);
                attempt = try_change<kThrough>(at, probe, &answers, decide, turn, left);
            }
            dispose(left);
            if (attempt != Attempt::kAsk) return static_cast<Outcome>(attempt);
            stress::reach(stress::Window::kWriteAsked);
            if (Outcome failed = ask(at.key, probe, answers); failed != Outcome::kPresent) return failed;
        }
    }

    template <class Batch>
    static std::int64_t visible_in(const Batch& batch) {
        std::int64_t count = 0;
        for (const Entry& entry : batch) count += visible(entry.value);
        return count;
    }

    StripedCount::Stripe& stripe() { return count_.stripe(Base::my_stripe()); }

    TP_HOT void overwrite_or_remove(Spot& at, Word current, Word next, Leftovers& left) {
        save(*at.table, *at.home);
        int by = visible(next) - visible(current);
        if (TP_LIKELY(next && by == 0)) {
            // release: publishes the value to read()
            at.bucket->value[at.slot].store(next, std::memory_order_release);
            return;
        }
        CountChange counted(stripe(), by);
        if (next) {
            at.bucket->value[at.slot].store(next, std::memory_order_release);  // as above
        } else {
            left.key = at.key;
            vacate(*at.home, *at.bucket, at.slot);
        }
        stress::reach(stress::Window::kChanged);
    }

    bool insert(Table& table, Bucket& home, Probe probe, Word value) {
        save(table, home);
        int slot;
        Bucket* bucket = free_slot(table, home, &slot);
        if (!bucket) return false;
        CountChange counted(stripe(), visible(value));
        publish(home, *bucket, slot, probe.hash, P::stored(probe), value);
        stress::reach(stress::Window::kChanged);
        return true;
    }

    /// A free slot of the chain, made if there is none; null when there is no memory.
    static Bucket* free_slot(Table& table, Bucket& home, int* slot) {
        for (Bucket* bucket = &home;;) {
            for (int i = 0; i < Bucket::kSlots; ++i) {
                if (bucket->key[i].load(std::memory_order_relaxed)) continue;  // ours: we hold the lock
                *slot = i;
                return bucket;
            }
            Bucket* next = table.after(*bucket);
            if (!next) {
                next = table.extend(*bucket);
                if (!next) return nullptr;
                stress::reach(stress::Window::kOverflowLinked);
            }
            bucket = next;
        }
    }

    /// Fills a free slot. The order is what readers rely on: hash and value, then the version, then the key.
    /// A reader that came before the version and sees the new key sees the version change too; one that came
    /// after it sees the new hash.
    void publish(Bucket& home, Bucket& bucket, int slot, std::uint64_t hash, Word key, Word value) {
        bucket.hash[slot].store(hash, std::memory_order_relaxed);  // published by the version
        // release: a reader of the slot's last key that sees it sees that key's going
        bucket.value[slot].store(value, std::memory_order_release);
        stress::reach(stress::Window::kPublishing);
        // release: pairs with arrive(); publishes the hash
        home.meta.store(next_version(home), std::memory_order_release);
        // release: pairs with seek(); publishes the version and the value
        bucket.key[slot].store(key, std::memory_order_release);
    }

    /// Frees a slot: the version first, so that whoever sees an empty word sees that the version has changed.
    void vacate(Bucket& home, Bucket& bucket, int slot) {
        home.meta.store(next_version(home), std::memory_order_relaxed);  // published by the key
        stress::reach(stress::Window::kVacating);
        bucket.key[slot].store(0, std::memory_order_release);    // release: pairs with seek()
        bucket.value[slot].store(0, std::memory_order_release);  // release: pairs with read()
    }

    std::uint32_t next_version(const Bucket& home) const {
        std::uint32_t meta = home.meta.load(std::memory_order_relaxed);  // ours: we hold the lock
        return ((meta + kVersion) & ~kParity) | parity_.load(std::memory_order_relaxed);
    }

    // ---- resizing

    std::uint64_t next_id() {
        return ids_.fetch_add(1, std::memory_order_relaxed) + 1;
    }  // only has to be new

    static unsigned bits_for(std::uint64_t count) {
        unsigned bits = kFirstBits;
        while (capacity(bits) < count && bits < 40) ++bits;
        return bits;
    }

    /// After a key has come (+1) or gone (-1): is the table too full or too empty? A look in every few
    /// changes is enough, because what is missed is found by the next.
    void consider_resize(Table* table, int by) {
        StripedCount::Stripe& mine = stripe();
        // no order: a hint
        std::uint64_t changes = (by > 0 ? mine.added : mine.removed).load(std::memory_order_relaxed);
        // below 2^6 buckets 16 keys more are a quarter more
        if (table->bits() >= 6 && changes % kLookEvery) return;
        std::uint64_t size = table->size(),
                      count = static_cast<std::uint64_t>(std::max<std::int64_t>(count_.estimate(), 0));
        bool full = count > capacity(table->bits()) || (count > size && table->crowded());
        if (by > 0 && full) resize(table, grown(table->bits()));
        if (by < 0 && count < size / kSparse) {
            unsigned least =
                std::max({kFirstBits, kNotWorth, reserved_bits_.load(std::memory_order_relaxed)});
            if (table->bits() > least)
                resize(table, std::max(least, table->bits() - std::min(kShrinkBits, table->bits())));
        }
    }

    static unsigned grown(unsigned bits) { return bits + (bits < kSmall ? 2 : 1); }

    /// Gives a small table more buckets than its keys fill, for the sake of its writers. It keeps them until
    /// it is cleared.
    void spread(Table* table) {
        std::uint64_t count = static_cast<std::uint64_t>(std::max<std::int64_t>(count_.estimate(), 0));
        unsigned bits = grown(table->bits());
        if (bits > kRoomiest || std::uint64_t{1} << bits > kRoom * count) return;
        reserve_bits(bits);
        resize(table, bits);
    }

    /// A table of at least that many bits is not shrunk below. Relaxed: a hint.
    void reserve_bits(unsigned bits) {
        unsigned least = reserved_bits_.load(std::memory_order_relaxed);
        while (least < bits
               && !reserved_bits_.compare_exchange_weak(least, bits, std::memory_order_relaxed)) {
        }
    }

    /// Starts moving to a table of 2^bits buckets, unless a resize is under way, or another thread is making
    /// the table for one. False when there is no memory: the map then works on with longer chains, and tries
    /// again later.
    bool resize(Table* table, unsigned bits) {
        if (root_.load(std::memory_order_acquire) != table
            || table->resizing.exchange(true, std::memory_order_acquire))
            return true;
        Table* next = Table::make(bits, placement_.multiplier(), next_id());
        if (!next) {
            table->resizing.store(false, std::memory_order_release);
            return false;
        }
        resizes_.fetch_add(1, std::memory_order_relaxed);
        // release: pairs with arrive(); publishes the new table
        table->next.store(next, std::memory_order_release);
        return true;
    }

    /// Moves the hash's bucket and kHelp more. Returns the table if that was the last of it: it is unlinked,
    /// retire it.
    TP_APART Table* help(Table* table, std::uint64_t hash) {
        Table& next = *table->next.load(std::memory_order_acquire);  // acquire: pairs with resize()
        bool last = move(*table, next, table->index(table->home(hash)));
        // Relaxed: it only shares out the work. It goes round again, so that a bucket a thread took and left
        // is moved too.
        std::uint64_t first = table->cursor.fetch_add(kHelp, std::memory_order_relaxed);
        for (unsigned i = 0; i < kHelp; ++i) prefetch(table->at((first + i) & (table->size() - 1)));
        for (unsigned i = 0; i < kHelp; ++i) last |= move(*table, next, (first + i) & (table->size() - 1));
        return last ? table : nullptr;
    }

    /// Moves one bucket's entries to the next table, if nobody has and there is memory for it. True if it was
    /// the last bucket: the next table is the root now.
    bool move(Table& from, Table& to, std::size_t index) {
        Bucket& home = from.at(index);
        // relaxed: looked at again under the lock
        if (home.meta.load(std::memory_order_relaxed) & kMoved) return false;
        // Growing, the children can be reached only through this bucket and need no lock. Shrinking, the
        // other parents' keys may be in use in the target already.
        Bucket* target =
            to.bits() < from.bits() ? &to.at(coarser_index(index, from.bits(), to.bits())) : nullptr;
        lock_both(home, target);
        bool last = false;
        if (!(home.meta.load(std::memory_order_relaxed) & kMoved)) {  // ours: we hold the lock
            save(from, home);
            if (target) save(to, *target);
            if (copy_entries(from, to, home)) {
                stress::reach(stress::Window::kMigrateCopied);
                // release: pairs with arrive(); publishes the copies
                home.meta.fetch_or(kMoved, std::memory_order_release);
                // Counted here and now: nothing can come between a bucket and its count, not even a fork.
                // acq_rel: the last mover has seen all the others' moves, and root_ publishes them.
                last = from.moved.fetch_add(1, std::memory_order_acq_rel) + 1 == from.size();
                if (last) root_.store(&to, std::memory_order_release);  // release: pairs with arrive()
            }
        }
        home.lock.unlock();
        if (target) target->lock.unlock();
        return last;
    }

    /// Locks both without ever waiting for one while holding the other: a thread that waits can be stopped
    /// there, by a collector or a fork, and must then hold nothing.
    void lock_both(Bucket& home, Bucket* target) {
        lock(home.lock);
        if (!target) return;
        target->touch();
        for (Bucket *held = &home, *wanted = target; !wanted->lock.try_lock(); std::swap(held, wanted)) {
            held->lock.unlock();
            lock(wanted->lock);
        }
    }

    bool copy_entries(Table& from, Table& to, Bucket& home) {
        for (Bucket* bucket = &home; bucket; bucket = from.after(*bucket)) {
            for (int i = 0; i < Bucket::kSlots; ++i) {
                // ours, all of it: we hold the lock
                Word key = bucket->key[i].load(std::memory_order_relaxed);
                if (!key) continue;
                std::uint64_t hash = bucket->hash[i].load(std::memory_order_relaxed);
                Bucket& child = to.home(hash);
                child.touch();
                int slot;
                Bucket* place = free_slot(to, child, &slot);
                if (!place) {
                    take_back(from, to, home, bucket, i);
                    return false;
                }
                stress::reach(stress::Window::kMigrateCopying);
                publish(child, *place, slot, hash, key, bucket->value[i].load(std::memory_order_relaxed));
            }
        }
        return true;
    }

    /// Undoes copy_entries() up to a slot. Nobody has seen the copies: their keys are still looked for in
    /// `from`.
    void take_back(Table& from, Table& to, Bucket& home, const Bucket* end, int end_slot) {
        for (Bucket* bucket = &home;; bucket = from.after(*bucket)) {
            for (int i = 0; i < Bucket::kSlots; ++i) {
                if (bucket == end && i == end_slot) return;
                // ours, all of it: we hold the locks
                Word key = bucket->key[i].load(std::memory_order_relaxed);
                if (!key) continue;
                Spot copy;
                copy.table = &to;
                copy.home = copy.bucket = &to.home(bucket->hash[i].load(std::memory_order_relaxed));
                if (seek_exact(copy, key, bucket->value[i].load(std::memory_order_relaxed)))
                    vacate(*copy.home, *copy.bucket, copy.slot);
            }
        }
    }

    // ---- many entries

    /// What a snapshot has copied so far, by its own thread and by writers that were about to change a
    /// bucket.
    struct Snapshot {
        const std::uint32_t generation = process_generation.load(std::memory_order_relaxed);
        ByteLock lock{};
        Entries entries;
        bool failed = false;

        /// Whether it was begun before a fork, in the parent: nobody waits for it here.
        bool stale() const { return generation != process_generation.load(std::memory_order_relaxed); }
    };

    /// Calls visit(table, home) for every home bucket in turn, under its lock. Every key of the map is in one
    /// of them meanwhile.
    template <class Visit>
    void each_home(Visit visit) {
        for (Walk walk; !walk.done;) {
            Guard guard;
            LockedAt home(*this, walk);
            visit(*home.table, *home.bucket);
        }
    }

    /// In a child process: a snapshot that the parent had open at the fork is over. Brings all buckets to the
    /// map's parity.
    void forget_stale_snapshot() {
        Snapshot* shot = shot_.load(std::memory_order_acquire);  // acquire: as in save()
        if (TP_LIKELY(!shot || !shot->stale())) return;
        // its memory stays: there is nobody left who knows what else points there
        shot_.store(nullptr, std::memory_order_release);
        each_home([&](Table&, Bucket& home) { set_parity(home); });
    }

    // relaxed, all: ours, under its lock; readers only see a change where there is none
    void set_parity(Bucket& home) {
        std::uint32_t meta = home.meta.load(std::memory_order_relaxed);
        home.meta.store((meta & ~kParity) | parity_.load(std::memory_order_relaxed),
                        std::memory_order_relaxed);
    }

    /// Copies a bucket for the open snapshot, if there is one that has not got it; under the bucket's lock,
    /// before any change.
    TP_HOT void save(Table& table, Bucket& home) {
        // acquire: pairs with snapshot(), which waits for every Section before it goes
        if (Snapshot* shot = shot_.load(std::memory_order_acquire); TP_UNLIKELY(shot != nullptr))
            save_in(*shot, table, home);
    }

    TP_COLD void save_in(Snapshot& shot, Table& table, Bucket& home) {
        if (shot.stale()
            || ((home.meta.load(std::memory_order_relaxed) ^ parity_.load(std::memory_order_relaxed))
                & kParity)
                   == 0)
            return;
        // not pause_round(): who holds a bucket must not let go of the interpreter
        while (!shot.lock.try_lock()) sched_yield();
        try {
            copy_chain(table, home, shot.entries, [](std::uint64_t) { return true; });
        } catch (const std::bad_alloc&) {
            shot.failed = true;  // the snapshot fails, the writer does not
        }
        shot.lock.unlock();
        set_parity(home);
    }

    /// Appends the entries of a locked chain whose hashes are wanted, as readers see them, each held. Throws
    /// bad_alloc, and then has appended none.
    template <class Container, class Wanted>
    void copy_chain(Table& table, Bucket& home, Container& out, Wanted wanted) {
        const std::size_t before = out.size();
        try {
            for (Bucket* b = &home; b; b = table.after(*b)) {
                for (int i = 0; i < Bucket::kSlots; ++i) {
                    // ours, all of it: we hold the lock
                    Word key = b->key[i].load(std::memory_order_relaxed);
                    if (!key || !wanted(b->hash[i].load(std::memory_order_relaxed))) continue;
                    Word value = b->value[i].load(std::memory_order_relaxed);
                    if (is_turn(value)) value = P::behind(value);
                    if (!value) continue;
                    out.push_back({key, value});
                    P::hold(key);
                    P::hold(value);
                }
            }
        } catch (const std::bad_alloc&) {
            // not their last references: the slots have one each
            for (; out.size() > before; out.pop_back()) {
                P::drop(out.back().key);
                P::drop(out.back().value);
            }
            throw;
        }
    }

    /// Up to kSome entries, taken out of a chain.
    struct Some {
        static constexpr int kSome = 32;  // bounds the stack and the time under the lock
        Entry entries[kSome];
        int count = 0;
        const Entry* begin() const { return entries; }
        const Entry* end() const { return entries + count; }
    };

    /// Takes entries out of a chain of a detached table; false when it has none left.
    bool take_some(Table& table, Bucket& home, Some& some) {
        some.count = 0;
        lock(home.lock);
        bool moved = home.meta.load(std::memory_order_relaxed) & kMoved;  // then they are in the next table
        for (Bucket* b = moved ? nullptr : &home; b; b = table.after(*b)) {
            for (int i = 0; i < Bucket::kSlots && some.count < Some::kSome; ++i) {
                Word key = b->key[i].load(std::memory_order_relaxed);  // ours: we hold the lock
                if (!key) continue;
                some.entries[some.count++] = {key, b->value[i].load(std::memory_order_relaxed)};
                vacate(home, *b, i);
            }
        }
        home.lock.unlock();
        return some.count > 0;
    }

    static void free_chain(Table* chain) {
        while (chain) {
            Table* next = chain->next.load(std::memory_order_relaxed);
            chain->free_now();
            chain = next;
        }
    }

    // ---- small things

    static void prefetch(const Bucket& bucket) {
        __builtin_prefetch(&bucket);
        __builtin_prefetch(reinterpret_cast<const char*>(&bucket) + kCacheLine);
    }

    /// Asks for the memory of the keys' home buckets, of all before any is looked into, and then for the
    /// objects in them; pinned.
    static void prefetch_all(Table* table, const Probe* probes, unsigned count) {
        for (unsigned i = 0; i < count; ++i) prefetch(table->home(probes[i].hash));
        for (unsigned i = 0; i < count; ++i)
            prefetch_value(table, table->home(probes[i].hash), probes[i].hash);
    }

    /// Asks for the object a look-up of this hash would take a reference to, or for the next bucket of the
    /// chain. Only addresses are used.
    static void prefetch_value(Table* table, const Bucket& bucket, std::uint64_t hash) {
        if (unsigned hits = bucket.matches(hash)) {
            int slot = std::countr_zero(hits);
            P::prefetch(bucket.key[slot].load(std::memory_order_relaxed),
                        bucket.value[slot].load(std::memory_order_relaxed));
        } else if (Bucket* next = table->after(bucket)) {
            prefetch(*next);
        }
    }

    std::uint64_t longest_chain(Table& table) {
        std::uint64_t longest = 0, step = std::max<std::uint64_t>(1, table.size() / 1024);
        for (std::uint64_t i = 0; i < table.size(); i += step) {
            std::uint64_t length = 0;
            for (Bucket* b = &table.at(i); b; b = table.after(*b)) ++length;
            longest = std::max(longest, length);
        }
        return longest;
    }

    std::int64_t check_chain(Table& table, Bucket& home) {
        std::int64_t seen = 0;
        for (Bucket* b = &home; b; b = table.after(*b)) {
            for (int i = 0; i < Bucket::kSlots; ++i) {
                Word key = b->key[i].load(std::memory_order_relaxed),
                     value = b->value[i].load(std::memory_order_relaxed);
                require((key == 0) == (value == 0), "a key without a value, or the reverse");
                if (!key) continue;
                std::uint64_t hash = b->hash[i].load(std::memory_order_relaxed);
                require(&table.home(hash) == &home, "a key lies in its home chain");
                require(&table.at_position(placement_.position(hash)) == &home,
                        "a home owns its keys' positions");
                require(((home.meta.load(std::memory_order_relaxed) ^ parity_.load(std::memory_order_relaxed))
                         & kParity)
                            == 0,
                        "a bucket with entries has the map's parity");
                require(times_in_chain(table, home, key) == 1, "a key is in one slot only");
                seen += visible(value);
            }
        }
        return seen;
    }

    static int times_in_chain(Table& table, Bucket& home, Word key) {
        int times = 0;
        for (Bucket* b = &home; b; b = table.after(*b))
            for (int i = 0; i < Bucket::kSlots; ++i)
                times += b->key[i].load(std::memory_order_relaxed) == key;
        return times;
    }

    // Read by every call, written by hardly any: together, and apart from what is written.
    alignas(kNoSharing) std::atomic<Table*> root_{nullptr};
    Gate gate_;
    std::atomic<std::uint32_t> parity_{0};
    std::atomic<Snapshot*> shot_{nullptr};
    const Placement placement_;

    alignas(kNoSharing) StripedCount count_;
    PatientLock whole_;  ///< one clear, drain or snapshot at a time
    std::atomic<std::uint64_t> ids_{0}, resizes_{0}, lock_waits_{0};
    std::atomic<unsigned> reserved_bits_{0};
};

}  // namespace threadproof
