/// The methods of a native map for all its entries.
#pragma once

#include <vector>

#include "ext/maps/contract.hpp"
#include "ext/maps/native_map/map_object.hpp"
#include "ext/maps/native_map/watched.hpp"
#include "ext/python/postponed.hpp"

namespace threadproof::ext {

template <class Map>
Py_ssize_t map_length(MapObject<Map>& self) {
    self.share();
    if (map_is_watched()) about_to_read(self.object());
    self.expire();
    auto size = static_cast<Py_ssize_t>(self.core().size());
    if (map_is_watched()) read_map(self.object());
    return size;
}

template <class Map>
PyObject* map_clear(MapObject<Map>& self, PyObject*) {
    self.share();
    if (map_is_watched()) change_map(self.object());
    self.expire();
    self.core().clear();
    Py_RETURN_NONE;
}

template <class Map>
PyObject* map_check(MapObject<Map>& self, PyObject*) {
    self.core().check();
    Py_RETURN_NONE;
}

template <class Map>
PyObject* map_count_references(MapObject<Map>& self, PyObject*) {
    self.sharing.count_references();
    Py_RETURN_NONE;
}

template <class Map>
PyObject* map_computations(MapObject<Map>& self, PyObject*) {
    return self.computations.describe();
}

/// Puts entries, which keep their references, into a new dict. Throws.
template <class Container>
Ref dict_of(Ref dict, const Container& entries) {
    for (const auto& entry : entries) {
        if (PyDict_SetItem(dict.get(), Policy::object(entry.key), Policy::object(entry.value)) < 0)
            throw PythonError{};
    }
    return dict;
}

// ---- snapshot

/// Owns entries: a reference to each key and value.
template <class Map, class Container = std::vector<typename Map::Entry>>
class OwnedEntries {
 public:
    OwnedEntries() = default;
    ~OwnedEntries() { Map::release_all(entries); }
    OwnedEntries(const OwnedEntries&) = delete;
    OwnedEntries& operator=(const OwnedEntries&) = delete;

    Container entries;
};

template <class Map>
PyObject* map_snapshot(MapObject<Map>& self, PyObject*) {
    self.share();
    OwnedEntries<Map, typename Map::Entries> owned;
    if (map_is_watched()) about_to_read(self.object());
    self.expire();
    self.core().snapshot().swap(owned.entries);
    if (map_is_watched()) read_map(self.object());
    Ref dict = Ref::steal(checked(PyObject_CallNoArgs(frozen_dict_type())));
    return dict_of(std::move(dict), owned.entries).release();
}

// ---- drain

/// Owns entries that were taken out of a detached table, with the references that their slots had.
template <class Map>
class DrainedEntries {
 public:
    using Entry = typename Map::TakenEntry;

    DrainedEntries() = default;
    DrainedEntries(const DrainedEntries&) = delete;
    DrainedEntries& operator=(const DrainedEntries&) = delete;
    ~DrainedEntries() {
        for (const Entry& entry : entries) release(entry);
    }

    /// Replaces reservations by what their computations have come to, after waiting for them; removes the
    /// entries that have no value then. Throws when a wait is interrupted: the other reservations stay.
    void resolve_reservations() {
        for (Entry& entry : entries) {
            if (!Map::is_reservation(entry.value)) continue;
            auto* reservation = reservation_of(entry);
            reservation->wait(Deadline());
            Word value = Policy::value(Py_XNewRef(reservation->outcome()));
            release_value(std::exchange(entry.value, value));
        }
        remove_absent();
    }

    static Reservation* reservation_of(const Entry& entry) {
        return reinterpret_cast<Reservation*>(Policy::object(entry.value));
    }

    std::vector<Entry> entries;

 private:
    static void release(const Entry& entry) {
        Map::release_key(entry.key);
        release_value(entry.value);
    }

    void remove_absent() {
        for (const Entry& entry : entries)
            if (!entry.value) Map::release_key(entry.key);
        std::erase_if(entries, [](const Entry& entry) { return !entry.value; });
    }
};

/// Stores a drained entry again if its key is absent by now. A computation that is running continues, and
/// stores its result there. Throws.
template <class Map>
void put_back(MapObject<Map>& self, const typename Map::TakenEntry& entry) {
    Word value = entry.value;
    Reservation* running = nullptr;
    if (Map::is_reservation(value)) {
        running = DrainedEntries<Map>::reservation_of(entry);
        if (running->over()) {
            value = Policy::value(running->outcome());
            running = nullptr;
        }
    }
    if (!value) return;
    Policy::retain(value);
    Lookup lookup(entry.hash, entry.key);
    bool stored;
    try {
        stored =
            self.change(lookup, [&](Word current) { return current ? current : value; }) == Outcome::kAbsent;
    } catch (...) {
        Policy::release(value);
        throw;
    }
    if (!stored) Policy::release(value);
    else if (running && running->is_settled()) self.replace_reservation(lookup, running, running->result);
}

/// Puts drained entries back because no dict could be made of them, and throws again what that was. A key that
/// cannot be compared with a newer one of the same hash is reported as unraisable, and lost.
template <class Map>
[[noreturn]] void undo_drain(MapObject<Map>& self, const DrainedEntries<Map>& drained) {
    Raised raised;
    raised.fetch();
    KnownDistinct distinct(drained.entries.size());
    for (const auto& entry : drained.entries) distinct.add(Policy::object(entry.key));
    distinct.begin();
    for (const auto& entry : drained.entries) {
        try {
            put_back(self, entry);
        } catch (const PythonError&) {
            PyErr_WriteUnraisable(Policy::object(entry.key));
        } catch (const std::bad_alloc&) {
            PyErr_NoMemory();
            PyErr_WriteUnraisable(Policy::object(entry.key));
        }
    }
    raised.rethrow();
    throw PythonError{};  // not reached: there was an error
}

template <class Map>
[[noreturn]] void refuse_drain(MapObject<Map>& self) {
    PyErr_Format(
        deadlock_error(),
        "%s.drain() inside a computation could wait for itself, as this map has computations running; "
        "drain after fn has returned",
        self.name());
    throw PythonError{};
}

/// Detaches all entries and takes them out. Memory for them is reserved first, because nothing can be undone
/// after that. Throws.
template <class Map>
void detach_into(MapObject<Map>& self, DrainedEntries<Map>& drained) {
    self.expire();
    auto& entries = drained.entries;
    bool refused = false;
    typename Map::Detached detached = nullptr;
    // 64 more: entries that come meanwhile
    for (std::int64_t room = self.core().size() + 64; !detached && !refused;) {
        entries.reserve(static_cast<std::size_t>(room));
        detached = self.core().detach([&](std::int64_t count) {
            std::int64_t computing = self.computations.running();
            refused = computing > 0 && holds_reservation();
            room = 2 * (count + computing);
            return !refused && count + computing <= static_cast<std::int64_t>(entries.capacity());
        });
    }
    if (refused) refuse_drain(self);
    self.core().take_all(detached, [&](const auto& entry) { entries.push_back(entry); });
    self.core().retire(detached);
}

template <class Map>
PyObject* map_drain(MapObject<Map>& self, PyObject*) {
    self.share();
    DrainedEntries<Map> drained;
    if (map_is_watched()) change_map(self.object());
    detach_into(self, drained);
    try {
        drained.resolve_reservations();
        Postponed::raise();  // here, where the entries can be put back
        if (map_is_watched()) read_map(self.object());
        return dict_of(Ref::steal(checked(PyDict_New())), drained.entries).release();
    } catch (const PythonError&) {
        undo_drain(self, drained);
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
        undo_drain(self, drained);
    }
}

// ---- popitem

/// Removes one entry whose key is not reserved, beginning at a position; null if there is none from there on.
/// `*busy` is then some key that was there and could not be removed, if there was one.
template <class Map>
PyObject* pop_from(MapObject<Map>& self, std::uint64_t position, Ref* busy) {
    self.expire();
    OwnedEntries<Map> batch;
    typename Map::Walk walk{position}, next = walk;
    for (; self.core().next_batch(next, batch.entries); walk = next, Map::release_all(batch.entries)) {
        for (const auto& entry : batch.entries) {
            PyObject *key = Policy::object(entry.key), *value = Policy::object(entry.value);
            Lookup lookup(key);
            Ref popped = Ref::steal(checked(PyTuple_Pack(2, key, value)));  // first: it can fail
            WatchedChange change(self, lookup, key);
            if (self.core().replace_exact(lookup.hash, entry.key, entry.value, 0)) {
                self.pop_from.store(walk.position, std::memory_order_relaxed);  // relaxed: a hint
                Policy::release(entry.value);  // the slot's reference; the batch has its own
                return popped.release();
            }
            *busy = Ref::borrow(key);
        }
    }
    return nullptr;
}

/// Continues where the last one found an entry: popping all entries, each from the map's beginning, would
/// take quadratic time.
template <class Map>
PyObject* map_popitem(MapObject<Map>& self, PyObject*) {
    self.share();
    for (;;) {
        Ref busy;
        std::uint64_t from = self.pop_from.exchange(0, std::memory_order_relaxed);  // relaxed: a hint
        if (PyObject* popped = pop_from(self, from, &busy)) return popped;
        if (from) continue;
        if (!busy) break;
        Ref popped = Ref::steal(checked(PyTuple_New(2)));  // first: it can fail
        // waits for the computation; throws if that would never end
        Lookup lookup(busy.get());
        WatchedChange change(self, lookup, busy.get());
        Ref old = self.remove(lookup);
        if (old) {
            PyTuple_SET_ITEM(popped.get(), 0, busy.release());
            PyTuple_SET_ITEM(popped.get(), 1, old.release());
            return popped.release();
        }
    }
    PyErr_Format(PyExc_KeyError, "%s.popitem(): the map is empty", self.name());
    throw PythonError{};
}

}  // namespace threadproof::ext
