/// MapObject: a map of the core as a Python object, and the operations that its methods are made of.
///
/// Each method does three things: it makes words of its arguments; makes one call on the core, and repeats
/// it, after waiting, while another thread computes the key's value; and releases references outside all
/// locks. HashMap, SyncMap and LockedMap differ in nothing but their core.
///
///     map_object.hpp  the object, and what its methods share: change, look up, store, remove
///     one_key.hpp     m[k], get, swap, pop, setdefault, compare_and_swap, compare_and_delete
///     compute.hpp     compute and its relatives: reserve the key, run the function, store the result
///     add.hpp         add
///     many_keys.hpp   get_many, set_many, delete_many, count_many; of sequence.hpp and tally.hpp
///     whole_map.hpp   len, clear, snapshot, drain, popitem
///     iterate.hpp     iterators
///     type.hpp        the Python types
#pragma once

#include <atomic>
#include <cstdint>

#include "ext/maps/computation_list.hpp"
#include "ext/maps/native_map/weighing.hpp"
#include "ext/maps/reservation.hpp"
#include "ext/maps/values.hpp"
#include "ext/python/refcount.hpp"
#include "ext/python/types.hpp"

namespace threadproof::ext {

template <class Map>
struct MapObject {
    PyObject_HEAD Sharing sharing;
    ComputationList computations;
    std::atomic<std::uint64_t> pop_from;  ///< the position where popitem() last found an entry; a hint
    AlignedStorage<Map> storage;

    static constexpr Py_ssize_t kGroup = Map::kGroup;

    static constexpr bool kWeighs = requires { Map::kWeighs; };
    static constexpr bool kExpires = requires(Map& map) { map.expire_due(); };
    static constexpr bool kPostpones = requires(Map& map) { map.stop_sending(); };  ///< it has listeners

    static inline PyTypeObject* type;
    static inline PyTypeObject* iterator_type;

    TP_HOT Map& core() { return storage.get(); }
    TP_HOT PyObject* object() { return reinterpret_cast<PyObject*>(this); }
    const char* name() { return Py_TYPE(object())->tp_name; }
    /// Called first by every method: see Sharing.
    TP_HOT void share() { sharing.note_access(object()); }

    // ---- one key

    /// Calls change() on the core until no computation is in the way. `decide` may be called once each time.
    template <class Decide>
    TP_HOT Outcome change(const Lookup& lookup, const Deadline& deadline, Decide decide) {
        for (;;) {
            Word reservation = 0;
            Outcome outcome = core().change(lookup, decide, &reservation);
            if (TP_LIKELY(outcome != Outcome::kBusy)) return checked(outcome);
            wait_for(lookup, into_ref(reservation), deadline);
        }
    }
    template <class Decide>
    TP_HOT Outcome change(const Lookup& lookup, Decide decide) {
        return change(lookup, Deadline(), decide);
    }

    /// Before a step on the whole map, outside all locks: a cache removes the entries that have expired.
    void expire() {
        if constexpr (kExpires) core().expire_due();
    }

    /// Before a value is stored, outside all locks: a cache may have a weigher. Its result has to live until the
    /// value is stored. Throws.
    TP_HOT auto weigh(const Lookup& lookup, PyObject* value) {
        if constexpr (kWeighs)
            return Weighing(weighs() ? object() : nullptr, Policy::object(lookup.word), value);
        else return Unweighed();
    }
    TP_HOT bool weighs() {
        if constexpr (kWeighs) return core().weighs();
        return false;
    }

    /// The value of a key, or null.
    Ref look_up(const Lookup& lookup) {
        Word value;
        return checked(core().get(lookup, &value)) == Outcome::kPresent ? into_ref(value) : Ref();
    }

    /// Removes a key; returns its value, or null.
    TP_APART Ref remove(Lookup lookup) {
        Word old = 0;
        if constexpr (requires { core().erase(lookup, &old); })
            if (TP_LIKELY(core().erase(lookup, &old))) return into_ref(old);
        change(lookup, [&](Word current) { return old = current, Word{0}; });
        return into_ref(old);
    }

    /// Stores a value; returns the value that it replaces, or null.
    TP_HOT Ref store(const Lookup& lookup, PyObject* value) {
        Word old;
        [[maybe_unused]] auto weighing = weigh(lookup, storable(value));
        // Py_INCREF: GCC makes a call of Py_NewRef
        auto retained = [value](Word) { return Py_INCREF(value), Policy::value(value); };
        if constexpr (requires { core().store(lookup, retained, &old); }) {
            if (TP_LIKELY(core().store(lookup, retained, &old))) return into_ref(old);
        } else {
            if (TP_LIKELY(core().overwrite(lookup, retained, &old))) return into_ref(old);
        }
        return store_anywhere(lookup, value);
    }

    /// Puts `next` (null: nothing) in the place of exactly `seen`; false when another value is there by now.
    bool replace_seen(const Lookup& lookup, PyObject* seen, PyObject* next) {
        if (!next) return exchange_seen(lookup, seen, 0);
        [[maybe_unused]] auto weighing = weigh(lookup, storable(next));
        Incoming fresh(next);
        bool replaced = exchange_seen(lookup, seen, fresh.word());
        if (replaced) fresh.release();
        return replaced;
    }

    /// Puts a value (null: nothing) in the place of a reservation, if that still has one: clear() and drain()
    /// take it away.
    void replace_reservation(const Lookup& lookup, Reservation* reservation, PyObject* value) {
        Word next = Policy::value(Py_XNewRef(value));
        // on success, the slot's reference to the reservation is ours
        if (core().replace_exact(lookup.hash, 0, Policy::reservation(reservation), next))
            Policy::release(Policy::reservation(reservation));
        else release_value(next);
    }

    // ---- for TypeBuilder

    /// Keys of the kinds that are compared natively have nothing that a collector could follow.
    int traverse(visitproc visit, void* arg) noexcept {
        if (!storage.constructed()) return 0;
        return core().visit_stopped([&](Word key, Word value) {
            if (Policy::kind(key) == Policy::kObject) Py_VISIT(Policy::object(key));
            Py_VISIT(Policy::object(value));
            return 0;
        });
    }
    void clear() noexcept {
        if (!storage.constructed()) return;
        if constexpr (requires { core().stop_sending(); }) core().stop_sending();
        try {
            core().clear();
        } catch (const std::bad_alloc&) {
            core().release_contents();
        }
    }
    void destroy() noexcept {
        if (storage.constructed()) core().release_contents();
        storage.destroy();
    }

 private:
    TP_APART Ref store_anywhere(Lookup lookup, PyObject* value) {
        Incoming fresh(value);
        Word old = 0;
        change(lookup, [&](Word current) { return old = current, fresh.word(); });
        renew_same(lookup, old, fresh.word());
        fresh.release();
        return into_ref(old);
    }

    /// replace_seen() by a word, whose reference goes to the slot.
    bool exchange_seen(const Lookup& lookup, PyObject* seen, Word next) {
        const Word wanted = Policy::value(seen);
        Word old = 0;
        change(lookup, [&](Word current) {
            old = current == wanted ? current : 0;
            return old ? next : current;
        });
        renew_same(lookup, old, next);
        release_value(old);
        return old != 0;
    }

    /// After `next` has been put in the place of `old`: a cache keeps the time of that, also where they are the same.
    TP_HOT void renew_same(const Lookup& lookup, Word old, Word next) {
        if constexpr (kExpires)
            if (TP_UNLIKELY(old && old == next)) core().renew(lookup);
    }

    /// Waits for another thread's reservation. In a forked child the other threads of the parent are gone,
    /// and their reservations are replaced.
    void wait_for(const Lookup& lookup, Ref reservation, const Deadline& deadline) {
        auto* wanted = reinterpret_cast<Reservation*>(reservation.get());
        if (!wanted->orphaned()) return wanted->wait(deadline);
        NextValue the_old(NextValue::kRestored);
        replace_reservation(lookup, wanted, wanted->old_value);
    }
};

}  // namespace threadproof::ext
