"""One-line mistakes in the core, each of which breaks a promise, and the tests that must fail."""

from dataclasses import dataclass

WINDOWS = "windows_test"
OUT_OF_MEMORY = "out_of_memory_test"
POSITION = "position_test"
COMPOSED = "composed_test"
ALONE = "alone_windows_test"
BIASED = "biased_lock_test"
KEPT = "kept_memory_test"


@dataclass(frozen=True)
class Mutant:
    """`old` stands in `file` exactly once; with `new` in its place, `breaks` is broken.

    `tests` is a program of tests/native, or what pytest is to run.
    """

    name: str
    file: str
    old: str
    new: str
    breaks: str
    tests: str = WINDOWS


MAP = "src/core/maps/hash_map/map.hpp"
BUCKET_MAP = "src/core/maps/hash_map/bucket_map.hpp"
BUCKETS = "src/core/maps/hash_map/buckets.hpp"
RESIZE = "src/core/maps/hash_map/resize.hpp"
SNAPSHOT = "src/core/maps/snapshot.hpp"
GATE = "src/core/base/gate.hpp"
COUNT = "src/core/base/count.hpp"
THREADS = "src/core/base/threads.hpp"
MEMORY = "src/core/base/memory.hpp"
BIASED_LOCK = "src/core/base/biased_lock.hpp"
RECLAIM = "src/core/base/reclaim.hpp"
SYNC_MAP = "src/core/maps/sync_map/map.hpp"
SYNC_PART_MAP = "src/core/maps/sync_map/part_map.hpp"
SYNC_PARTS = "src/core/maps/sync_map/parts.hpp"
THREAD_COUNTS = "src/core/maps/sync_map/thread_counts.hpp"
TRIE_CELL = "src/core/maps/trie_cell.hpp"
SYNC_WINDOWS = "sync_windows_test"
TRIE_WINDOWS = "trie_windows_test"
TABLE_LOCK = "src/core/maps/locked_map/lock.hpp"
LOCKED_TABLE = "src/core/maps/locked_map/table.hpp"
SHARD_MAP = "src/core/maps/locked_map/shard_map.hpp"
LOCKED_MAP = "src/core/maps/locked_map/map.hpp"
LOCKED_WINDOWS = "locked_windows_test"
SCHEDULER = "src/core/explore/scheduler.hpp"
SCHEDULES = "scheduler_test"
REPLAY = "tests/explore/test_replay.py"
POSSIBLE = "src/ext/probe/possible.cpp"
UNSEEN = "tests/explore/test_unseen.py"
STRUCTURES = "tests/explore/test_structures.py"
CACHE = "src/core/maps/cache/"
CACHE_POLICY = "cache_policy_test"
CACHE_MAP = "cache_map_test"
CACHE_WINDOWS = "cache_windows_test"
CACHE_LOADS = "src/threadproof/maps/cache_loads.py"
CACHE_NATIVE_LOADS = "src/ext/maps/cache_loads.hpp"

MUTANTS = [
    # --- memory
    Mutant(
        "kept-memory-uncleared",
        MEMORY,
        "return std::memset(kept, 0, bytes);",
        "return kept;",
        "a table's memory is zeroed",
        KEPT,
    ),
    Mutant(
        "kept-memory-of-another-size",
        MEMORY,
        "if (piece->bytes == bytes) return piece;",
        "if (piece->bytes != 0) return piece;",
        "memory is as large as was asked for",
        KEPT,
    ),
    Mutant(
        "kept-memory-unaligned",
        MEMORY,
        "if (!keeps(bytes) || reinterpret_cast<std::uintptr_t>(memory) % kNoSharing != 0) return false;",
        "if (!keeps(bytes)) return false;",
        "a table's memory is aligned to a bucket",
        KEPT,
    ),
    Mutant(
        "kept-memory-never-freed",
        MEMORY,
        "std::exchange(piece->seen, true)",
        "piece->seen",
        "memory that no table needs is given back",
        KEPT,
    ),
    Mutant(
        "kept-memory-under-a-lock",
        CACHE + "chunks.hpp",
        "allocate_zeroed(size_of(chunk) * sizeof(T));",
        "allocate_zeroed(size_of(chunk) * sizeof(T), true, Reuse::kYes);",
        "no memory is cleared for long under a bucket's lock",
        KEPT,
    ),
    Mutant(
        "grows-by-much-or-not-at-all",
        RESIZE,
        "if (!resize(table, bits) && bits > least) resize(table, least);",
        "resize(table, std::max(bits, least));",
        "a table grows by less where there is no memory for much",
        OUT_OF_MEMORY,
    ),
    # --- a lock with an owner
    Mutant(
        "biased-lock-of-every-thread",
        BIASED_LOCK,
        "if (TP_UNLIKELY(!Threads::has(owner_))) return false;",
        "",
        "only the thread that made a lock enters as its owner",
        BIASED,
    ),
    Mutant(
        "biased-owner-unannounced",
        BIASED_LOCK,
        "busy_.store(true, std::memory_order_relaxed);",
        "busy_.store(false, std::memory_order_relaxed);",
        "a thread waits for the lock's owner inside",
        BIASED,
    ),
    Mutant(
        "biased-lock-shared-unseen",
        BIASED_LOCK,
        "if (TP_LIKELY(!shared_.load(std::memory_order_acquire))) return true;",
        "return true;",
        "the owner of a shared lock takes the ordinary one",
        BIASED,
    ),
    Mutant(
        "biased-lock-never-shared",
        BIASED_LOCK,
        "shared_.store(true, std::memory_order_relaxed);",
        "",
        "the owner sees that the lock is shared",
        BIASED,
    ),
    # --- a thread that is alone
    Mutant(
        "alone-unannounced",
        THREADS,
        "slot_.alone.store(true, std::memory_order_relaxed);",
        "slot_.alone.store(false, std::memory_order_relaxed);",
        "a thread that takes a slot waits for one that is alone",
        ALONE,
    ),
    Mutant(
        "alone-not-waited-for",
        THREADS,
        "&s != slot && s.alone.load(std::memory_order_acquire)",
        "&s != slot && round > 1",
        "a thread that takes a slot waits for one that is alone",
        ALONE,
    ),
    Mutant(
        "alone-beside-another",
        THREADS,
        "if (TP_LIKELY(enrolled_.load(std::memory_order_relaxed) != 1)) return;",
        "if ((alone_ = true)) return;",
        "a thread is alone only where no other has a slot",
        ALONE,
    ),
    Mutant(
        "alone-after-a-fork",
        THREADS,
        "s.alone.store(false, std::memory_order_relaxed);\n        });",
        "});",
        "a forked child does not wait for a thread that was alone",
        ALONE,
    ),
    # --- iterating
    Mutant(
        "empty-bucket-moved",
        RESIZE,
        "if (bucket.meta.load(std::memory_order_acquire) & (kMoved | kChained) ||",
        "if (bucket.meta.load(std::memory_order_acquire) & kChained ||",
        "an iteration follows a bucket that was moved when it was empty",
    ),
    Mutant(
        "empty-bucket-chained",
        RESIZE,
        "if (bucket.meta.load(std::memory_order_acquire) & (kMoved | kChained) ||",
        "if (bucket.meta.load(std::memory_order_acquire) & kMoved ||",
        "an iteration looks behind an empty bucket",
    ),
    # --- reading
    Mutant(
        "hit-unchecked",
        BUCKETS,
        "return {word, TP_LIKELY(slot.load(std::memory_order_acquire) == word && unchanged(home, meta)) ?",
        "return {word, true ?",
        "a retained value was the key's value: the slot is read again afterwards",
    ),
    Mutant(
        "hit-without-version",
        BUCKETS,
        "TP_LIKELY(slot.load(std::memory_order_acquire) == word && unchanged(home, meta))",
        "TP_LIKELY(slot.load(std::memory_order_acquire) == word)",
        "a slot may have been given to another key since",
    ),
    Mutant(
        "hit-without-slot",
        BUCKETS,
        "TP_LIKELY(slot.load(std::memory_order_acquire) == word && unchanged(home, meta))",
        "TP_LIKELY(unchanged(home, meta))",
        "an overwritten value may have become another key's before it was held",
    ),
    Mutant(
        "fast-read-of-a-moved-bucket",
        MAP,
        "            if (TP_UNLIKELY(meta & kMoved)) return false;\n",
        "",
        "the entries of a moved bucket may have changed in the next table",
    ),
    Mutant(
        "fast-read-by-the-wrong-version",
        MAP,
        "taken = Chains::template take<kTake>(home, meta, bucket->value[slot]);",
        "taken = Chains::template take<kTake>(*bucket, bucket->meta.load(), bucket->value[slot]);",
        "the home's version speaks for its whole chain",
    ),
    Mutant(
        "come-without-version",
        BUCKETS,
        "home.meta.store(next_version(home), std::memory_order_release);",
        "home.meta.store(next_version(home) - kVersion, std::memory_order_release);",
        "the version changes whenever a key comes",
    ),
    Mutant(
        "key-before-version",
        BUCKETS,
        "bucket.value[slot].store(value, std::memory_order_release);\n"
        "        stress::reach(stress::Window::kPublishing);",
        "bucket.value[slot].store(value, std::memory_order_release);\n"
        "        bucket.key[slot].store(key, std::memory_order_release);\n"
        "        stress::reach(stress::Window::kPublishing);",
        "a reader that sees a new key sees the new version",
    ),
    Mutant(
        "resumed-in-a-changed-chain",
        BUCKETS,
        "if (before.id != at.table->id() || before.home != at.home || before.meta != at.meta) {",
        "if (before.id != at.table->id() || before.home != at.home) {",
        "a search continues after a comparison only if nothing has changed",
    ),
    Mutant(
        "answers-forgotten",
        "src/core/maps/equality_cache.hpp",
        "if (each.key == key) return each.match;",
        "if (each.key == key) return Match::kAsk;",
        "the user's comparison is called once for each key in one call",
    ),
    # --- reclaiming
    Mutant(
        "table-freed-at-once",
        RECLAIM,
        "if (!batch || !batch->note_pinned()) {",
        "if (batch) {\n            delete batch;\n            return memory.all();\n        }\n        {",
        "a table is kept as long as a reader may be in it",
    ),
    Mutant(
        "pins-not-noted",
        RECLAIM,
        "if (Wait wait(s); !wait.over()) waits.push_back(wait);",
        "if (Wait wait(s); wait.over()) waits.push_back(wait);",
        "pinned threads are waited for",
    ),
    Mutant(
        "always-alone",
        "src/core/base/threads.hpp",
        "return enrolled_.load(std::memory_order_relaxed) <= (mine_ ? 1 : 0);",
        "return true;",
        "a removed key is released at once only if no other thread can be comparing it",
    ),
    Mutant(
        "key-released-at-once",
        BUCKET_MAP,
        "if (P::kThreads && P::deferred(key)) Reclaimer",
        "if (false) Reclaimer",
        "a key that readers read outlives the pinned readers",
    ),
    # --- steps on the whole map
    Mutant(
        "gate-without-waiting",
        GATE,
        "if (s.writing.load(std::memory_order_relaxed) == &gate_) inside.until_over();",
        "(void)inside;",
        "no writer is inside while the gate is closed",
    ),
    Mutant(
        "gate-unseen",
        GATE,
        "if (TP_UNLIKELY(gate.closed())) wait_outside(gate);",
        "(void)&WriterSection::wait_outside;",
        "no writer enters while the gate is closed",
    ),
    Mutant(
        "clear-uncounted",
        BUCKET_MAP,
        "CountChange gone(count_.stripe(0), -count);",
        "CountChange gone(count_.stripe(0), 0);",
        "the keys that a clear takes are counted as gone",
    ),
    Mutant(
        "count-of-coming-unchecked",
        COUNT,
        "if (stripes_[i].begun_add.load() != added[i] || stripes_[i].begun_remove",
        "if (stripes_[i].begun_remove",
        "a length is taken when no key is coming",
    ),
    Mutant(
        "count-of-going-unchecked",
        COUNT,
        " || stripes_[i].begun_remove.load() != removed[i]) return false;",
        ") return false;",
        "a length is taken when no key is going",
    ),
    Mutant(
        "coming-not-begun",
        COUNT,
        "if (by_ > 0) begin(stripe_.begun_add, static_cast<std::uint64_t>(by_));",
        "",
        "changes are begun as often as they are ended",
    ),
    Mutant(
        "snapshot-parity-kept",
        BUCKETS,
        "parity_.fetch_xor(kParity, std::memory_order_relaxed);",
        "parity_.fetch_xor(0, std::memory_order_relaxed);",
        "at a snapshot's instant no bucket counts as copied",
    ),
    Mutant(
        "overwritten-unsaved",
        BUCKET_MAP,
        "        before_change(*at.table, *at.home);\n        int by",
        "        int by",
        "a bucket is copied for the snapshot before a value in it changes",
    ),
    Mutant(
        "inserted-unsaved",
        BUCKET_MAP,
        "        before_change(table, home);\n        Bucket* bucket",
        "        Bucket* bucket",
        "a bucket is copied for the snapshot before a key comes into it",
    ),
    Mutant(
        "moved-unsaved",
        RESIZE,
        "            host.before_change(from, home);\n",
        "",
        "a bucket is copied for the snapshot before it is moved",
    ),
    Mutant(
        "target-unsaved",
        RESIZE,
        "            if (target) host.before_change(to, *target);\n",
        "",
        "a bucket is copied for the snapshot before another is moved into it",
    ),
    Mutant(
        "iteration-unfiltered",
        BUCKET_MAP,
        "return position >= from && (next.done || position < next.position);",
        "return position + 1 > 0 || next.done;",
        "an iteration takes from a bucket only the positions it has come to",
    ),
    Mutant(
        "iteration-too-coarse",
        RESIZE,
        "bits = table->bits() > bits ? table->bits() : bits;",
        "bits = table->bits();",
        "an iteration continues behind the finest bucket that it has passed",
    ),
    # --- storing and removing by the short way, and private tables
    Mutant(
        "new-key-by-an-old-search",
        MAP,
        "if (seen & kMoved || home.meta.load(std::memory_order_relaxed) != seen) return false;",
        "",
        "a key is new only if none has come since the search",
    ),
    Mutant(
        "removed-from-a-moved-bucket",
        MAP,
        "if (TP_UNLIKELY(home.meta.load(std::memory_order_relaxed) & kMoved)) return false;",
        "",
        "a moved home never changes again",
    ),
    Mutant(
        "another-key-removed",
        MAP,
        "if (TP_UNLIKELY(bucket.hash[slot].load(std::memory_order_relaxed) != lookup.hash)) return false;",
        "",
        "a slot may have been given to another key since the search",
    ),
    Mutant(
        "published-over-keys",
        BUCKET_MAP,
        "if (count != 0 || !allowed()) return false;",
        "if (!allowed()) return false;",
        "a private table takes the place of an empty one only",
    ),
    Mutant(
        "published-beside-computations",
        BUCKET_MAP,
        "if (count != 0 || !allowed()) return false;",
        "if (count != 0) return false;",
        "a publication does not end computations that it may not end",
    ),
    Mutant(
        "published-uncounted",
        BUCKET_MAP,
        "CountChange come(count_.stripe(0), filled.count());",
        "CountChange come(count_.stripe(0), 0);",
        "the keys of a private table count from its publication on",
    ),
    Mutant(
        "published-without-parity",
        BUCKET_MAP,
        "if (filled.parity() != tables_.chains.parity())",
        "if (filled.count() < 0)",
        "a bucket of a published table has the map's parity",
    ),
    Mutant(
        "published-during-a-snapshot",
        BUCKET_MAP,
        "            std::lock_guard one_at_a_time(whole_);  // no snapshot is open, and the parity stays\n",
        "",
        "a private table is published while no snapshot is open",
    ),
    Mutant(
        "private-key-twice",
        "src/core/maps/hash_map/private_table.hpp",
        "if (found == Found::kYes) {",
        "if (found == Found::kYes && count_ < 0) {",
        "a key is in one slot of a private table",
    ),
    Mutant(
        "whole-bucket-from-the-middle",
        RESIZE,
        "whole = bits == table->bits() && walk.position << bits == 0;",
        "whole = bits == table->bits();",
        "an iteration takes from a bucket only the positions it has come to",
        "fuzz_hash_map",
    ),
    # --- moving
    Mutant(
        "marked-before-copied",
        RESIZE,
        "if (copy_entries(from, to, home, alone || !target)) {",
        "if (home.meta.fetch_or(kMoved), copy_entries(from, to, home, alone || !target)) {",
        "a bucket is marked moved when its entries are in the next table",
    ),
    Mutant(
        "target-unlocked",
        RESIZE,
        "lock_both(home, target);",
        "lock_both(home, nullptr);",
        "only the holder of a home's lock changes its chain, also when tables shrink",
    ),
    Mutant(
        "moved-bucket-written",
        RESIZE,
        "if (TP_LIKELY(!(at.meta & kMoved))) break;\n                at.home->lock.unlock();",
        "break;\n                at.home->lock.unlock();",
        "a moved home never changes again",
    ),
    Mutant(
        "cursor-goes-round-once",
        RESIZE,
        "last |= move(host, *table, next, (first + i) & (size - 1), unlocked);",
        "if (first + i < size) last |= move(host, *table, next, first + i, unlocked);",
        "a bucket that could not be moved is tried again",
        OUT_OF_MEMORY,
    ),
    Mutant(
        "copies-not-taken-back",
        RESIZE,
        "if (bucket == end && i == end_slot) return;",
        "if (end_slot >= 0) return;",
        "a key is in one slot only, also when a move has failed halfway",
        OUT_OF_MEMORY,
    ),
    Mutant(
        "growth-given-up",
        RESIZE,
        "table->resizing.store(false, std::memory_order_release);",
        "",
        "a table that had no memory to grow tries again",
        OUT_OF_MEMORY,
    ),
    Mutant(
        "half-a-snapshot",
        BUCKET_MAP,
        "snapshot.failed = true;",
        "",
        "a snapshot that a writer had no memory to copy for fails",
        OUT_OF_MEMORY,
    ),
    Mutant(
        "slot-data-left-behind",
        RESIZE,
        "bucket->data.move_to(place->data, i, slot);",
        "",
        "the data of a slot moves with its key",
        COMPOSED,
    ),
    Mutant(
        "coarser-page-not-shifted",
        "src/core/maps/hash_map/position.hpp",
        "std::size_t page = index >> kLineBits >> (bits - to_bits);",
        "std::size_t page = index >> kLineBits;",
        "what is moved into a bucket of a smaller table has its home there",
        POSITION,
    ),
    Mutant(
        "coarser-line-shifted",
        "src/core/maps/hash_map/position.hpp",
        "return index & ((std::size_t{1} << to_bits) - 1);",
        "return index >> (bits - to_bits);",
        "what is moved into a bucket of a smaller table has its home there",
        POSITION,
    ),
    # --- computing
    Mutant(
        "wake-up-lost",
        "src/ext/maps/reservation.cpp",
        "if (gate) PyThread_release_lock(gate);",
        "",
        "threads that wait for a reservation continue when it ends",
        "tests/maps/test_reservations.py",
    ),
    Mutant(
        "reservation-never-given-up",
        "src/ext/maps/reservation.cpp",
        "    --reservations_held;\n",
        "",
        "a thread holds a reservation until it ends",
        "tests/maps/test_reservations.py",
    ),
    Mutant(
        "reservation-left-behind",
        "src/ext/maps/native_map/compute.hpp",
        "if (placed_) settle(Ref::borrow(reservation_->old_value));",
        "",
        "after an error the old value is back",
        "tests/maps/test_contract_compute.py",
    ),
    # --- events
    Mutant(
        "updates-never-in-order",
        "src/core/race/detector.hpp",
        "write.epoch.thread() != me.slot && !me.clock.covers(write.epoch)",
        "write.epoch.thread() != me.slot",
        "a lock puts two updates of a value in order",
        "tests/native/race/detector_test.cpp",
    ),
    Mutant(
        "write-between-unseen",
        "src/core/race/detector.hpp",
        "if (foreign && before.version != read.seen.version)",
        "if (false)",
        "a write between a read and its write is a lost update",
        "tests/native/race/detector_test.cpp",
    ),
    Mutant(
        "iteration-orders-nothing",
        "src/ext/maps/native_map/iterate.hpp",
        "if (map_is_watched() && key) publish_entry(it, key.get());",
        "",
        "who sees a key by iteration comes after its change",
        "tests/probe/test_structures.py",
    ),
    Mutant(
        "failed-computation-orders-nothing",
        "src/ext/maps/native_map/compute.hpp",
        "if (map_is_watched()) probe::end_computation(self.object(), key, old != nullptr);",
        "if (result && map_is_watched()) probe::end_computation(self.object(), key, old != nullptr);",
        "the next function of a key comes after one that raised",
        "tests/probe/test_structures.py",
    ),
    # --- keys
    Mutant(
        "float-turned-too-little",
        "src/ext/python/numbers.hpp",
        "(exponent + 23)",
        "(exponent + 22)",
        "a float is found by its equals of other types",
        "tests/maps/test_contract_keys.py",
    ),
    # --- counting
    Mutant(
        "tally-asks-under-the-lock",
        "src/ext/maps/native_map/tally.hpp",
        "                if (!is_atom(keys[i])) return i;\n",
        "",
        "no user code runs while a list's keys are read in place",
        "tests/maps/test_count_many.py",
    ),
    Mutant(
        "list-not-locked",
        "src/ext/maps/native_map/sequence.hpp",
        "if (!PyTuple_CheckExact(all_.get())) locked.emplace(all_.get());",
        "",
        "no thread removes a key from a list that is read in place",
        "tests/maps/test_count_many.py",
    ),
    Mutant(
        "newer-before-older",
        "src/ext/maps/native_map/tally.hpp",
        "{&pair.older, &pair.newer}",
        "{&pair.newer, &pair.older}",
        "keys of one hash go into the map in the order they came",
        "tests/maps/test_count_many.py",
    ),
    # --- SyncMap
    Mutant(
        "sync-hit-unchecked",
        SYNC_PART_MAP,
        "return TP_LIKELY(cell.value.load(std::memory_order_acquire) == word) ? Step::kHit"
        " : Step::kReleaseValue;",
        "return Step::kHit;",
        "a retained value was the key's value: the slot is read again afterwards",
        SYNC_WINDOWS,
    ),
    Mutant(
        "sync-miss-in-an-old-view",
        SYNC_MAP,
        "        if (!parts_.current(at, parts_.spread(search.lookup.hash))) return Step::kRetry;\n",
        "        if (!at.part->dirty) return Step::kMiss;\n",
        "a key missed in the read table is looked for in the dirty table that belongs to it",
        SYNC_WINDOWS,
    ),
    Mutant(
        "sync-dropped-unexpunged",
        SYNC_PARTS,
        "if (!expunge(cell, cleanup)) fresh",
        "if (cell.value.load()) fresh",
        "a cell that is left out of the new table can no longer be brought back",
        SYNC_WINDOWS,
    ),
    Mutant(
        "sync-key-of-an-expunged-cell",
        SYNC_PART_MAP,
        "return !(cell.value.load(std::memory_order_acquire) & kExpunged);",
        "return true;",
        "a key is compared only while its cell has it",
        SYNC_WINDOWS,
    ),
    Mutant(
        "sync-changed-before-saved",
        SYNC_MAP,
        "if (TP_LIKELY(found == Found::kYes) && TP_LIKELY(saved(*at.part))) {",
        "if (TP_LIKELY(found == Found::kYes)) {",
        "a part is saved before a value in it changes",
        SYNC_WINDOWS,
    ),
    Mutant(
        "sync-count-not-taken-back",
        SYNC_MAP,
        "                CountChange taken_back(stripe(), -by);\n",
        "",
        "a change that lost the exchange is not counted",
        SYNC_WINDOWS,
    ),
    Mutant(
        "sync-clear-without-mutex",
        SYNC_PART_MAP,
        "        std::lock_guard hold(parts_.mutex);  // readers promote too, and do not pass the gate\n",
        "",
        "no promotion is under way while the map is cleared",
        SYNC_WINDOWS,
    ),
    # --- a trie's changes in place
    Mutant(
        "mark-kept",
        TRIE_CELL,
        "        mark_.store(0, std::memory_order_relaxed);\n",
        "",
        "a version that was handed out is not changed in place",
        TRIE_WINDOWS,
    ),
    Mutant(
        "mark-kept-by-an-exchange",
        TRIE_CELL,
        "        drop_mark();\n        weight_.store(next.node()->weight",
        "        weight_.store(next.node()->weight",
        "a version that was taken out and put back is not changed in place",
        TRIE_WINDOWS,
    ),
    Mutant(
        "sums-not-handed-out",
        TRIE_CELL,
        "        root_now()->weight = weight_.load(std::memory_order_relaxed);\n",
        "",
        "a version has its own length when it is handed out",
        TRIE_WINDOWS,
    ),
    Mutant(
        "slot-not-read-again",
        TRIE_CELL,
        "&& place.slot->load() == place.word",
        "",
        "a word that was replaced may be another object's address before it is retained",
        TRIE_WINDOWS,
    ),
    Mutant(
        "moved-node-not-dead",
        TRIE_CELL,
        "            old.dead.store(true, std::memory_order_release);\n",
        "",
        "the words of a node that were moved are released by the next one",
        TRIE_WINDOWS,
    ),
    Mutant(
        "length-half-done",
        TRIE_CELL,
        "before % 2 == 0 && sequence_.load(std::memory_order_relaxed) == before)",
        "before != 1)",
        "the length waits for a change whose key readers may see already",
        TRIE_WINDOWS,
    ),
    # --- a SyncMap's counts, and its short way to a new key
    Mutant(
        "hits-of-a-place-lost",
        THREAD_COUNTS,
        "for (unsigned i = 0; i < size; ++i) all +=",
        "for (unsigned i = 1; i < size; ++i) all +=",
        "the reads of every thread are counted",
        SYNC_WINDOWS,
    ),
    Mutant(
        "misses-lost",
        SYNC_PARTS,
        "        ++sums.misses;\n",
        "",
        "every miss is counted",
        SYNC_WINDOWS,
    ),
    Mutant(
        "promoted-too-late",
        SYNC_PARTS,
        "if (++part.misses >= part.dirty->used())",
        "if (++part.misses > part.dirty->used())",
        "as many misses as there are new keys promote these",
        SYNC_WINDOWS,
    ),
    Mutant(
        "new-key-by-an-old-view",
        SYNC_MAP,
        "        if (!parts_.current(at, parts_.spread(lookup.hash))) return false;\n",
        "",
        "a key is added only where no other thread has added it since the read table was searched",
        SYNC_WINDOWS,
    ),
    # --- LockedMap
    Mutant(
        "locked-writer-beside-readers",
        TABLE_LOCK,
        "wait_until([&] { return holders(state_.load(std::memory_order_acquire)) == kWriter; });",
        "",
        "a writer that has claimed the lock waits for the readers inside",
        LOCKED_WINDOWS,
    ),
    Mutant(
        "locked-readers-overtake-a-writer",
        TABLE_LOCK,
        "if (others && seen & kWriter) return false; std::uint64_t next = others ? seen + kReader",
        "if (others && seen == (generation() | kWriter)) return false;"
        " std::uint64_t next = others ? seen + kReader",
        "a writer that waits keeps new readers out",
        LOCKED_WINDOWS,
    ),
    Mutant(
        "locked-by-the-parent-process",
        TABLE_LOCK,
        "return holders(state) && state >> kGeneration == generation() >> kGeneration;",
        "return holders(state);",
        "a lock that a thread of the parent process holds is free in a child",
        LOCKED_WINDOWS,
    ),
    Mutant(
        "locked-search-continued-in-other-entries",
        LOCKED_MAP,
        "if (changes == shard.changes) return;",
        "if (changes) return;",
        "a search begins again if the entries have moved while it compared a key",
        LOCKED_WINDOWS,
    ),
    Mutant(
        "locked-answers-asked-again",
        LOCKED_MAP,
        "if (changes) cache.restart();",
        "",
        "a search that begins again compares no key twice",
        LOCKED_WINDOWS,
    ),
    Mutant(
        "locked-insert-unnoticed",
        LOCKED_MAP,
        "++shard.changes; if (TP_UNLIKELY(!shard.table.make_room())) return false;",
        "if (TP_UNLIKELY(!shard.table.make_room())) return false;",
        "an insertion is a change that other searches notice",
        LOCKED_WINDOWS,
    ),
    Mutant(
        "locked-cells-behind-a-gap",
        LOCKED_TABLE,
        "if (passed < ((at - gap) & mask())) continue;",
        "if (passed <= ((at - gap) & mask())) continue;",
        "a cell that a search would not find behind the gap moves into it",
        LOCKED_WINDOWS,
    ),
    Mutant(
        "locked-iteration-without-end",
        SHARD_MAP,
        "if (slot->number >= walk.end) break;",
        "",
        "an iteration skips the entries that came after it had begun with their shard",
        LOCKED_WINDOWS,
    ),
    Mutant(
        "locked-numbers-given-twice",
        LOCKED_TABLE,
        "std::swap(limit_, other.limit_);",
        "std::swap(limit_, other.limit_); next_number_ = 1;",
        "a table that is cleared continues with the same numbers",
        LOCKED_WINDOWS,
    ),
    Mutant(
        "locked-length-without-locks",
        SHARD_MAP,
        "AllShared hold(*this); return sum();",
        "return sum();",
        "the length is that of one instant",
        LOCKED_WINDOWS,
    ),
    Mutant(
        "locked-clear-without-locks",
        SHARD_MAP,
        "AllExclusive hold(*this);",
        "",
        "no writer is inside while the map is cleared",
        LOCKED_WINDOWS,
    ),
    # --- the explorer of schedules
    Mutant(
        "baton-lost",
        SCHEDULER,
        "void give() { there_.release(); }",
        "void give() {}",
        "a thread that is given the baton continues",
        SCHEDULES,
    ),
    Mutant(
        "sleeper-not-woken",
        SCHEDULER,
        "if (id >= threads_.size() || are_dependent(next(id), taken.next)) asleep_ &= ~only(id);",
        "",
        "a sleeping thread wakes up by a step on which its own depends",
        SCHEDULES,
    ),
    Mutant(
        "lock-always-free",
        SCHEDULER,
        "return !thread.next.is_ready || thread.next.is_ready(thread.next.subject);",
        "return true;",
        "a thread whose lock is held is not chosen",
        SCHEDULES,
    ),
    Mutant(
        "clock-stands",
        SCHEDULER,
        "now_ = std::max(now_, first);",
        "",
        "time passes up to the first deadline",
        SCHEDULES,
    ),
    Mutant(
        "spinning-unnoticed",
        SCHEDULER,
        "if (each->spins) others &= ~only(each->id);",
        "if (each->spins) others &= can;",
        "a thread that repeats a read lets another take a step",
        SCHEDULES,
    ),
    Mutant(
        "spinning-for-ever",
        SCHEDULER,
        "for (const auto& each : threads_) each->spins = false;",
        "",
        "after a step of another thread, a thread that waits looks again",
        SCHEDULES,
    ),
    Mutant(
        "outside-as-deadlock",
        SCHEDULER,
        "if (!can && outside_) return nullptr;",
        "",
        "a run is not over while a thread waits outside of control",
        SCHEDULES,
    ),
    Mutant(
        "outside-chosen",
        SCHEDULER,
        "if (thread.ended || (outside_ && (away() & only(thread.id)))) return false;",
        "if (thread.ended) return false;",
        "a thread that waits outside of control is not chosen",
        SCHEDULES,
    ),
    Mutant(
        "reads-matter-alone",
        "src/core/explore/shared.hpp",
        "return written && (threads & (threads - 1)) != 0;",
        "return (threads & (threads - 1)) != 0;",
        "before an access to what nobody writes no thread is chosen",
        SCHEDULES,
    ),
    Mutant(
        "token-without-code",
        "src/threadproof/explore/token.py",
        "check(code_in(log, scope))",
        'check([""])',
        "a replay of other code than the token's is noticed",
        REPLAY,
    ),
    Mutant(
        "shrunk-to-a-pass",
        "src/threadproof/explore/api.py",
        "if run.failure and run.failure.signature == failure.signature:",
        "if run.ending != 'diverged':",
        "a shrunk schedule fails as the first one did",
        REPLAY,
    ),
    Mutant(
        "no-type-can-change",
        POSSIBLE,
        "bool is_settled(PyObject* object) {",
        "bool is_settled(PyObject* object) {\n    if (object) return true;\n",
        "an object of a type in C that is not known may change",
        UNSEEN,
    ),
    Mutant(
        "descriptor-without-a-step",
        POSSIBLE,
        "    publish_possible(variable, flags, descriptor, method ? PyFunction_GET_CODE(method) : nullptr);",
        "    (void)method;",
        "an attribute that a descriptor computes may take several steps that are not seen",
        UNSEEN,
    ),
    Mutant(
        "cache-taken-as-transparent",
        POSSIBLE,
        "publish_possible(structure_of(object), 0, type);\n    change_arguments(arguments, count);",
        "change_arguments(arguments, count);",
        "what a call of an object in C does is not seen, so nothing is called exhausted",
        UNSEEN,
    ),
    Mutant(
        "pool-batch-taken-twice",
        "src/threadproof/sync/pool.py",
        "if self._shared.compare_exchange(top, top.below):",
        "if self._shared.store(top.below) is None:",
        "a batch is taken by one thread only",
        STRUCTURES,
    ),
    Mutant(
        "once-begun-twice",
        "src/threadproof/sync/once.py",
        "if self._attempt.compare_exchange(None, mine):",
        "if self._attempt.store(mine) is None:",
        "one thread begins, and the others wait for it",
        STRUCTURES,
    ),
    # --- Cache
    Mutant(
        "cache-sketch-never-aged",
        CACHE + "sketch.hpp",
        "word = word >> 1 & 0x7777777777777777;",
        "word = word;",
        "a use that is long ago counts less",
        CACHE_POLICY,
    ),
    Mutant(
        "cache-sketch-forgets-as-it-grows",
        CACHE + "sketch.hpp",
        "larger[i] = blocks_[i / 2];",
        "larger[i] = i < blocks_.size() ? blocks_[i] : Block{};",
        "a sketch that grows has the frequencies of all keys",
        CACHE_POLICY,
    ),
    Mutant(
        "cache-weight-not-given-back",
        CACHE + "segments.hpp",
        "        list.weight -= node.weight;\n        --list.count;\n",
        "        --list.count;\n",
        "a list's weight is that of its entries",
        CACHE_POLICY,
    ),
    Mutant(
        "cache-every-candidate-admitted",
        CACHE + "segments.hpp",
        "return wins ? victim : candidate;",
        "return victim;",
        "an entry has to be used more often than the one that it replaces",
        CACHE_POLICY,
    ),
    Mutant(
        "cache-pinned-entry-in-the-window",
        CACHE + "segments.hpp",
        "push(i, nodes_[i].weight ? Segment::kWindow : Segment::kPinned);",
        "push(i, Segment::kWindow);",
        "an entry of weight 0 is not evicted",
        CACHE_POLICY,
    ),
    Mutant(
        "cache-one-step-of-evictions",
        CACHE + "map.hpp",
        "if (evicting_.try_lock()) evict_some();",
        "if (evicting_.try_lock()) return (void)evict_some();",
        "the thread that evicts looks at the queue again before it leaves",
        CACHE_MAP,
    ),
    Mutant(
        "cache-reservation-evicted",
        CACHE + "map.hpp",
        "if (!seek_node(at, i, &value) || is_reservation(value)) return;",
        "if (!seek_node(at, i, &value)) return;",
        "a key whose value is being computed is not evicted",
        CACHE_MAP,
    ),
    Mutant(
        "cache-cleared-nodes-kept",
        CACHE + "map.hpp",
        "tracker().removed(bucket.data.of[slot].load(std::memory_order_relaxed));",
        "",
        "the policy has the entries of the map, also after clear()",
        CACHE_MAP,
    ),
    Mutant(
        "cache-stale-load-stored",
        CACHE_LOADS,
        "return not self.stale",
        "return True",
        "a load is not stored if its key has been invalidated meanwhile",
        "tests/maps/test_cache.py",
    ),
    Mutant(
        "cached-stale-result-stored",
        CACHE_NATIVE_LOADS,
        "if (!computation.reservation()->decide() ||",
        "if (!computation.reservation() ||",
        "a computed result is not stored if its key has been invalidated meanwhile",
        "tests/maps/test_cached_loads.py",
    ),
    Mutant(
        "cache-load-cancelled-by-the-first",
        CACHE_LOADS,
        "last = self.waiting == 0 and",
        "last = self.waiting >= 0 and",
        "a cancelled task leaves the load to the others",
        "tests/maps/test_cache.py",
    ),
    # --- Cache and time
    Mutant(
        "cache-expired-entry-returned",
        CACHE + "expiry.hpp",
        "return deadline && deadline <= now;",
        "return deadline && deadline + 1000000000 <= now;",
        "an entry is absent from its deadline on",
        CACHE_MAP,
    ),
    Mutant(
        "cache-deadline-of-a-failed-computation-renewed",
        CACHE + "expiry.hpp",
        "if (next_value_is_restored) return;\n        stress::reach(stress::Window::kStamping);",
        "",
        "the old value of a computation that failed has its deadline",
        "tests/maps/test_cache_time.py",
    ),
    Mutant(
        "cache-unsettled-deadline-believed",
        CACHE + "expiry.hpp",
        "const bool settled = deadline == call.deadline;",
        "const bool settled = true;",
        "a replacement is not missing because the old value is over",
        CACHE_WINDOWS,
    ),
    Mutant(
        "cache-deadline-after-the-value",
        CACHE + "expiry.hpp",
        "times.deadline.store(first | kUnsettled, std::memory_order_relaxed);",
        ";",
        "no value is seen after its deadline",
        CACHE_WINDOWS,
    ),
    Mutant(
        "cache-node-of-the-last-key",
        "src/core/maps/hash_map/bucket_map.hpp",
        "bucket.data.set(slot, data);",
        "struct Late { ~Late() { bucket.data.set(slot, data); } Bucket& bucket; int slot; SlotData<P> data; }"
        " late{bucket, slot, data};",
        "a new key is judged by its own deadline",
        CACHE_WINDOWS,
    ),
    Mutant(
        "cache-expired-value-comes-back",
        CACHE + "expiry.hpp",
        "call.verdict == Verdict::kExpired && !mark_over(*times, deadline)",
        "false",
        "what was absent once does not come back",
        CACHE_WINDOWS,
    ),
    Mutant(
        "cache-access-beyond-the-limit",
        CACHE + "expiry.hpp",
        "Instant later = earlier(limit_of(i), after(now, lives_.access, i));",
        "Instant later = after(now, lives_.access, i);",
        "a read puts the deadline off up to the limit",
        CACHE_MAP,
    ),
    Mutant(
        "cache-wheel-list-left-behind",
        CACHE + "timer_wheel.hpp",
        "if (occupied_[level] >> digit(time_, level) & 1) return level * kLists + digit(time_, level);",
        ";",
        "a list that an advance() has begun is finished by the next",
        "timer_wheel_test",
    ),
    Mutant(
        "cache-departure-lost",
        CACHE + "map.hpp",
        "                tracker().replaced(key, value, 0);\n",
        "",
        "what clear() removes is sent",
        CACHE_MAP,
    ),
    Mutant(
        "cache-refresh-claimed-twice",
        CACHE + "expiry.hpp",
        "&& refresh_at->compare_exchange_strong(at, cache_call.now + lives_.refresh,\n"
        "                                                      std::memory_order_relaxed);",
        ";",
        "one call refreshes an old value",
        CACHE_MAP,
    ),
    Mutant(
        "cache-stale-refresh-stored",
        CACHE_LOADS,
        "cache.compare_and_swap(key, old, new, equal=operator.is_)",
        "cache[key] = new",
        "a refresh replaces exactly the value that was old",
        "tests/maps/test_cache_time.py",
    ),
    Mutant(
        "cache-memory-retired-under-a-lock",
        CACHE + "map.hpp",
        "evicting_.unlock();\n"
        "        std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with the fence in evict()\n"
        "        for (const Released& memory : evicted.unlinked) {\n"
        "            stress::reach(stress::Window::kGivingBack);\n"
        "            Reclaimer::retire(memory);\n"
        "        }",
        "for (const Released& memory : evicted.unlinked) {\n"
        "            stress::reach(stress::Window::kGivingBack);\n"
        "            Reclaimer::retire(memory);\n"
        "        }\n"
        "        evicting_.unlock();\n"
        "        std::atomic_thread_fence(std::memory_order_seq_cst);",
        "memory is given back with no lock held",
        CACHE_WINDOWS,
    ),
    Mutant(
        "cache-change-left-to-nobody",
        CACHE + "map.hpp",
        "return keep_bound();",
        "return;",
        "a change that is left to the thread that removes expired entries is passed to the policy",
        CACHE_WINDOWS,
    ),
    Mutant(
        "cache-jitter-of-a-freed-node",
        CACHE + "expiry.hpp",
        "spread(std::uint64_t{i} << 32 ^ now ^ secret_)",
        "spread(nodes_[i].hash ^ now ^ secret_)",
        "a reader may be later than the memory of its node",
        CACHE_WINDOWS,
    ),
    Mutant(
        "cache-renewal-of-another-key",
        CACHE + "map.hpp",
        "&& tracker().nodes()[node].hash == hash",
        "",
        "a renewal of a key is not that of another",
        CACHE_WINDOWS,
    ),
    Mutant(
        "cache-interrupt-lost",
        "src/ext/python/postponed.hpp",
        "if (PyErr_ExceptionMatches(PyExc_Exception)) return PyErr_WriteUnraisable(where);",
        "return PyErr_WriteUnraisable(where);",
        "an interrupt in a listener reaches the caller",
        "tests/maps/test_cache_interrupts.py",
    ),
]
