"""One-line mistakes in the core, each of which breaks a promise, and the tests that are to notice."""

from dataclasses import dataclass

WINDOWS = "windows_test"
OUT_OF_MEMORY = "out_of_memory_test"
POSITION = "position_test"


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
GATE = "src/core/base/gate.hpp"
COUNT = "src/core/base/count.hpp"
RECLAIM = "src/core/base/reclaim.hpp"
SYNC_MAP = "src/core/maps/sync_map/map.hpp"
SYNC_PARTS = "src/core/maps/sync_map/parts.hpp"
SYNC_WINDOWS = "sync_windows_test"

MUTANTS = [
    # --- reading
    Mutant(
        "hit-unchecked",
        MAP,
        "return {word, TP_LIKELY(slot.load(std::memory_order_acquire) == word && unchanged(home, meta)) ?",
        "return {word, true ?",
        "what a reader holds was the key's value: looked at again after holding it",
    ),
    Mutant(
        "hit-without-version",
        MAP,
        "TP_LIKELY(slot.load(std::memory_order_acquire) == word && unchanged(home, meta))",
        "TP_LIKELY(slot.load(std::memory_order_acquire) == word)",
        "a slot may have been given to another key since",
    ),
    Mutant(
        "hit-without-slot",
        MAP,
        "TP_LIKELY(slot.load(std::memory_order_acquire) == word && unchanged(home, meta))",
        "TP_LIKELY(unchanged(home, meta))",
        "an overwritten value may have become another key's before it was held",
    ),
    Mutant(
        "glance-at-moved",
        MAP,
        "            if (TP_UNLIKELY(meta & kMoved)) return false;\n",
        "",
        "what a moved bucket still holds may have changed in the next table",
    ),
    Mutant(
        "glance-by-the-wrong-version",
        MAP,
        "taken = take<kTake>(home, meta, bucket->value[slot]);",
        "taken = take<kTake>(*bucket, bucket->meta.load(), bucket->value[slot]);",
        "the home's version speaks for its whole chain",
    ),
    Mutant(
        "come-without-version",
        MAP,
        "home.meta.store(next_version(home), std::memory_order_release);",
        "home.meta.store(next_version(home) - kVersion, std::memory_order_release);",
        "the version changes whenever a key comes",
    ),
    Mutant(
        "key-before-version",
        MAP,
        "bucket.value[slot].store(value, std::memory_order_release);\n"
        "        stress::reach(stress::Window::kPublishing);",
        "bucket.value[slot].store(value, std::memory_order_release);\n"
        "        bucket.key[slot].store(key, std::memory_order_release);\n"
        "        stress::reach(stress::Window::kPublishing);",
        "whoever sees a new key sees the new version",
    ),
    Mutant(
        "resumed-in-a-changed-chain",
        MAP,
        "if (before.id != at.table->id() || before.home != at.home || before.meta != at.meta) {",
        "if (before.id != at.table->id() || before.home != at.home) {",
        "a search goes on after asking only where nothing has changed",
    ),
    Mutant(
        "answers-forgotten",
        "src/core/maps/answers.hpp",
        "if (a.key == key) return a.said;",
        "if (a.key == key) return Match::kAsk;",
        "nobody is asked twice about a key in one call",
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
        "who is pinned is waited for",
    ),
    Mutant(
        "always-alone",
        "src/core/base/threads.hpp",
        "return enrolled_.load(std::memory_order_relaxed) <= (mine_ ? 1 : 0);",
        "return true;",
        "a removed key is dropped at once only where no other thread can be comparing it",
    ),
    Mutant(
        "key-dropped-at-once",
        MAP,
        "if (P::kThreads && P::deferred(key)) Reclaimer",
        "if (false) Reclaimer",
        "a key that readers look into outlives those pinned",
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
        "(void)&Section::wait_outside;",
        "no writer enters while the gate is closed",
    ),
    Mutant(
        "clear-uncounted",
        MAP,
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
        "if (by_ > 0) stripe_.begun_add.fetch_add(static_cast<std::uint64_t>(by_));",
        "",
        "changes are begun as often as they are ended",
    ),
    Mutant(
        "snapshot-parity-kept",
        MAP,
        "parity_.fetch_xor(kParity, std::memory_order_relaxed);",
        "parity_.fetch_xor(0, std::memory_order_relaxed);",
        "at a snapshot's instant no bucket counts as copied",
    ),
    Mutant(
        "overwritten-unsaved",
        MAP,
        "        save(*at.table, *at.home);\n        int by",
        "        int by",
        "a bucket is copied for the snapshot before a value in it changes",
    ),
    Mutant(
        "inserted-unsaved",
        MAP,
        "        save(table, home);\n        int slot;",
        "        int slot;",
        "a bucket is copied for the snapshot before a key comes into it",
    ),
    Mutant(
        "moved-unsaved",
        MAP,
        "            save(from, home);\n",
        "",
        "a bucket is copied for the snapshot before it is moved",
    ),
    Mutant(
        "target-unsaved",
        MAP,
        "            if (target) save(to, *target);\n",
        "",
        "a bucket is copied for the snapshot before another is moved into it",
    ),
    Mutant(
        "iteration-unfiltered",
        MAP,
        "return position >= walk.position && (next.done || position < next.position);",
        "return position + 1 > 0 || next.done;",
        "an iteration takes from a bucket only the positions it has come to",
    ),
    Mutant(
        "iteration-too-coarse",
        MAP,
        "bits = table->bits() > bits ? table->bits() : bits;",
        "bits = table->bits();",
        "an iteration goes on by the finest bucket on its way",
    ),
    # --- moving
    Mutant(
        "marked-before-copied",
        MAP,
        "if (copy_entries(from, to, home)) {",
        "if (home.meta.fetch_or(kMoved, std::memory_order_release), copy_entries(from, to, home)) {",
        "a bucket is marked moved when its entries are in the next table",
    ),
    Mutant(
        "target-unlocked",
        MAP,
        "lock_both(home, target);",
        "lock_both(home, nullptr);",
        "only the holder of a home's lock changes its chain, also when tables shrink",
    ),
    Mutant(
        "moved-bucket-written",
        MAP,
        "if (TP_LIKELY(!(at.meta & kMoved))) break;\n                at.home->lock.unlock();",
        "break;\n                at.home->lock.unlock();",
        "a moved home never changes again",
    ),
    Mutant(
        "cursor-goes-round-once",
        MAP,
        "last |= move(*table, next, (first + i) & (table->size() - 1));",
        "if (first + i < table->size()) last |= move(*table, next, first + i);",
        "a bucket that could not be moved is tried again",
        OUT_OF_MEMORY,
    ),
    Mutant(
        "copies-not-taken-back",
        MAP,
        "if (bucket == end && i == end_slot) return;",
        "if (end_slot >= 0) return;",
        "a key is in one slot only, also when a move has failed halfway",
        OUT_OF_MEMORY,
    ),
    Mutant(
        "growth-given-up",
        MAP,
        "table->resizing.store(false, std::memory_order_release);",
        "",
        "a table that had no memory to grow tries again",
        OUT_OF_MEMORY,
    ),
    Mutant(
        "half-a-snapshot",
        MAP,
        "shot.failed = true;",
        "",
        "a snapshot that a writer had no memory to copy for fails",
        OUT_OF_MEMORY,
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
        "src/ext/maps/turn.cpp",
        "if (turn->gate) PyThread_release_lock(turn->gate);",
        "",
        "who waits for a turn goes on when it ends",
        "tests/maps/test_turns.py",
    ),
    Mutant(
        "turn-never-given-up",
        "src/ext/maps/turn.cpp",
        "    --turns_held;\n",
        "",
        "a thread holds a turn until it ends",
        "tests/maps/test_turns.py",
    ),
    Mutant(
        "turn-left-behind",
        "src/ext/maps/native_map.hpp",
        "if (placed_) settle(Ref::borrow(turn_->old));",
        "",
        "after an error the old value is back",
        "tests/maps/test_contract_compute.py",
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
        "src/ext/maps/tally.hpp",
        "                if (!is_atom(keys[i])) return i;\n",
        "",
        "no code of the user's runs while a list's keys are looked at in place",
        "tests/maps/test_count_many.py",
    ),
    Mutant(
        "list-not-locked",
        "src/ext/maps/map_parts.hpp",
        "if (!PyTuple_CheckExact(all_.get())) locked.emplace(all_.get());",
        "",
        "nobody takes a key out of a list that is looked at in place",
        "tests/maps/test_count_many.py",
    ),
    Mutant(
        "newer-before-older",
        "src/ext/maps/tally.hpp",
        "{&pair.older, &pair.newer}",
        "{&pair.newer, &pair.older}",
        "keys of one hash go into the map in the order they came",
        "tests/maps/test_count_many.py",
    ),
    # --- SyncMap
    Mutant(
        "sync-hit-unchecked",
        SYNC_MAP,
        "return TP_LIKELY(cell.value.load(std::memory_order_acquire) == word) ? Step::kHit : Step::kDrop;",
        "return Step::kHit;",
        "what a reader holds was the key's value: looked at again after holding it",
        SYNC_WINDOWS,
    ),
    Mutant(
        "sync-miss-in-an-old-view",
        SYNC_MAP,
        "        if (!parts_.current(at, parts_.spread(search.probe.hash))) return Step::kRetry;\n",
        "        if (!at.part->dirty) return Step::kMiss;\n",
        "a key missed in the read table is looked for in the dirty table that belongs to it",
        SYNC_WINDOWS,
    ),
    Mutant(
        "sync-dropped-unexpunged",
        SYNC_PARTS,
        "if (!expunge(cell, left)) made",
        "if (cell.value.load()) made",
        "a cell that is left out of the new table can no longer be brought back",
        SYNC_WINDOWS,
    ),
    Mutant(
        "sync-key-asked-in-vain",
        SYNC_MAP,
        "return !(cell.value.load(std::memory_order_acquire) & kExpunged);",
        "return true;",
        "a key is asked about only while its cell has it",
        SYNC_WINDOWS,
    ),
    Mutant(
        "sync-snapshot-overtaken",
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
        "a change that another thread overtook is not counted",
        SYNC_WINDOWS,
    ),
    Mutant(
        "sync-clear-without-mutex",
        SYNC_MAP,
        "        std::lock_guard hold(parts_.mutex);  // readers, who promote too, do not pass the gate\n",
        "",
        "no promotion is under way while the map is cleared",
        SYNC_WINDOWS,
    ),
]
