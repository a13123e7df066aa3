/// Keys and values for testing the map without Python: counted cells that notice when they are used after
/// their death.
///
/// Three kinds of key, as the Python policy has: numbers in the word itself; cells that match() reads without
/// retaining them, and that must outlive the pinned readers (they are deleted for real, for ASan to see); and
/// cells that only equal() can compare.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

#include "core/maps/hash_map/map.hpp"
#include "kit/check.hpp"

namespace cells {

using threadproof::Match;
using threadproof::Word;

/// One byte, spins then yields: fair enough for tests, and understood by TSan.
struct SpinMutex {
    std::atomic<std::uint8_t> locked{0};
    bool try_lock() {
        return locked.exchange(1, std::memory_order_acquire) == 0;
    }  // acquire: pairs with unlock()
    void lock() {
        while (!try_lock()) sched_yield();
    }
    void unlock() { locked.store(0, std::memory_order_release); }  // release: pairs with try_lock()
};

/// A counted object. A dead one keeps its memory, as CPython's objects do while a thread may be reading them,
/// so that try_retain() can get one.
struct alignas(16) Cell {
    Cell* next_free = nullptr;
    std::atomic<std::int64_t> references{0};
    std::atomic<std::uint64_t> number{0};     ///< values: what was stored; keys: which key
    std::atomic<std::uint64_t> old_value{0};  ///< reservations: the value readers see

    // Not by the global operators, which out_of_memory_test.cpp lets fail: making a cell is no step of the
    // map.
    static void* operator new(std::size_t bytes) { return std::aligned_alloc(alignof(Cell), bytes); }
    static void operator delete(void* cell) { std::free(cell); }
};

class Pool {
 public:
    static Cell* make(std::uint64_t number) {
        Cell* cell;
        {
            std::lock_guard hold(lock_);
            cell = free_;
            if (cell) free_ = cell->next_free;
        }
        if (!cell) cell = new Cell;
        cell->number.store(number);
        cell->old_value.store(0);
        cell->references.store(1);
        living_.fetch_add(1);
        return cell;
    }
    static void release(Cell* cell) {
        std::int64_t before = cell->references.fetch_sub(1);
        CHECK(before > 0);
        if (before > 1) return;
        living_.fetch_sub(1);
        // a reservation's old value dies with it
        if (Word old_value = cell->old_value.load()) release(reinterpret_cast<Cell*>(old_value));
        std::lock_guard hold(lock_);
        cell->next_free = free_;
        free_ = cell;
    }
    static std::int64_t living() { return living_.load(); }

 private:
    static inline SpinMutex lock_;
    /// the last to die first, so that an address comes again soon; all stay readable
    static inline Cell* free_ = nullptr;
    static inline std::atomic<std::int64_t> living_{0};
};

inline Cell* cell(Word word) { return reinterpret_cast<Cell*>(word & ~Word{15}); }
inline Word word(Cell* cell, Word tag = 0) { return reinterpret_cast<Word>(cell) | tag; }

struct Policy {
    static constexpr bool kThreads = true;

    // in bits 1 and 2; bit 0 marks reservations, of values
    enum Kind : Word { kAsked = 0, kNumber = 2, kRead = 4 };
    /// match() looks into a key
    static constexpr threadproof::stress::Window kComparing = threadproof::stress::Window::kCount;

    static std::uint64_t itself(std::uint64_t key) { return key; }
    static inline std::uint64_t (*hash_of)(std::uint64_t) = itself;
    static inline std::atomic<std::int64_t> keys_living{0}, asked{0};

    struct Lookup {
        std::uint64_t hash, key;
        explicit Lookup(std::uint64_t k) : hash(hash_of(k)), key(k) {}
        Kind kind() const { return key % 3 == 0 ? kAsked : key % 3 == 1 ? kNumber : kRead; }
    };

    static Kind kind(Word stored) { return static_cast<Kind>(stored & 6); }
    static std::uint64_t number(Word key) {
        return kind(key) == kNumber ? key >> 4 : cell(key)->number.load();
    }

    /// Trusts the hash, as Python's policy does with ints.
    static bool same(Word stored, const Lookup& lookup) {
        return kind(stored) == kNumber && lookup.kind() == kNumber && hash_of == itself;
    }

    static Match match(Word stored, const Lookup& lookup) {
        if (same(stored, lookup)) return Match::kYes;
        if (kind(stored) != lookup.kind()) return Match::kNo;
        if (kind(stored) == kAsked) return Match::kAsk;
        if (kind(stored) == kRead) threadproof::stress::reach(kComparing);
        return number(stored) == lookup.key ? Match::kYes : Match::kNo;
    }
    static Match equal(Word stored, const Lookup& lookup) {
        CHECK(cell(stored)->references.load() > 0);
        asked.fetch_add(1);
        return number(stored) == lookup.key ? Match::kYes : Match::kNo;
    }
    /// Keys of one number are alike; tests/maps/test_everyday.py has others.
    static bool as_good(Word, const Lookup&) { return true; }
    static bool consecutive(const Lookup&) { return true; }
    static Word key_to_store(const Lookup& lookup) {
        if (lookup.kind() == kAsked) return word(Pool::make(lookup.key), kAsked);  // the pool counts these
        keys_living.fetch_add(1);
        if (lookup.kind() == kNumber) return lookup.key << 4 | kNumber;
        Cell* fresh = new Cell;
        fresh->number.store(lookup.key);
        fresh->references.store(1);
        return word(fresh, kRead);
    }
    static void retain(Word w) {
        if (kind(w) == kNumber) return (void)keys_living.fetch_add(1);
        CHECK(cell(w)->references.fetch_add(1) > 0);
        if (kind(w) == kRead) keys_living.fetch_add(1);
    }
    static bool try_retain(Word w) {
        if (kind(w) == kNumber) return keys_living.fetch_add(1), true;
        if (kind(w) == kRead) return retain(w), true;  // readers are pinned, and it outlives them
        std::int64_t seen = cell(w)->references.load();
        while (seen > 0)
            if (cell(w)->references.compare_exchange_weak(seen, seen + 1)) return true;
        return false;
    }
    static void enable_try_retain(Word) {}
    static void release(Word w) {
        if (kind(w) == kNumber) return (void)keys_living.fetch_sub(1);
        if (kind(w) == kRead) {
            keys_living.fetch_sub(1);
            if (cell(w)->references.fetch_sub(1) == 1) delete cell(w);
            return;
        }
        Pool::release(cell(w));
    }
    static std::size_t weight(Word) { return 1; }
    static bool deferred(Word key) { return kind(key) == kRead; }
    static Word old_value(Word reservation) { return cell(reservation)->old_value.load(); }
    static void prefetch(Word, Word) {}
};

#ifdef CELLS_MAP
using Map = CELLS_MAP<Policy>;
#else
using Map = threadproof::HashMap<Policy>;
#endif

}  // namespace cells
