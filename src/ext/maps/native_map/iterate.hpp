/// The iterators of a native map.
#pragma once

#include <algorithm>
#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

#include "ext/maps/native_map/watched.hpp"
#include "ext/maps/native_map/whole_map.hpp"

namespace threadproof::ext {

/// What an iterator yields. kDeletedToo: items, and (key,) for a key that is deleted and still in a table.
enum class Yield { kKeys, kValues, kItems, kDeletedToo };

/// An iteration: copies some buckets, or a part, at a time, and yields their entries. Threads may share it; each
/// gets other entries.
///
/// Invariant: the entries of batch from `next` on have references of their own. One without a key has a
/// reference that was taken for nothing: it is released without the lock.
template <class Map>
struct MapIterator {
    using Entry = typename Map::Entry;
    static constexpr bool kPostpones = MapObject<Map>::kPostpones;

    PyObject_HEAD MapObject<Map>* map;  ///< owned; null once it is exhausted
    Yield yield;
    PatientLock lock;  ///< guards map and what follows; held while a bucket is waited for
    typename Map::Walk walk;
    std::size_t next;  ///< the entries before this one have been yielded
    std::vector<Entry> batch;

    int traverse(visitproc visit, void* arg) noexcept {
        Py_VISIT(reinterpret_cast<PyObject*>(map));
        for (std::size_t i = next; i < batch.size(); ++i) {
            Py_VISIT(Policy::object(batch[i].key));
            Py_VISIT(Policy::object(batch[i].value));
        }
        return 0;
    }
    void clear() noexcept {
        std::vector<Entry> rest;
        rest.swap(batch);
        rest.erase(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(std::min(next, rest.size())));
        next = 0;
        Map::release_all(rest);
        drop_reference(reinterpret_cast<PyObject*>(std::exchange(map, nullptr)));
    }
    void destroy() noexcept {
        clear();
        batch.~vector();
    }
};

template <class Map, Yield kYield>
PyObject* map_iterate(MapObject<Map>& self) {
    self.share();
    PyTypeObject* type = MapObject<Map>::iterator_type;
    PyObject* object = checked(type->tp_alloc(type, 0));
    auto* iterator = reinterpret_cast<MapIterator<Map>*>(object);
    new (&iterator->batch) std::vector<typename Map::Entry>();  // the rest is right as zeroes
    iterator->map = reinterpret_cast<MapObject<Map>*>(Py_NewRef(self.object()));
    iterator->yield = kYield;
    return object;
}

template <class Map>
PyObject* map_entries(MapObject<Map>& self, PyObject*) {
    return map_iterate<Map, Yield::kItems>(self);
}
template <class Map>
PyObject* map_iterate_values(MapObject<Map>& self, PyObject*) {
    return map_iterate<Map, Yield::kValues>(self);
}
template <class Map>
PyObject* map_all_entries(MapObject<Map>& self, PyObject*) {
    return map_iterate<Map, Yield::kDeletedToo>(self);
}

/// Under the iterator's lock: runs no code of a user's. Each time twice as many entries, so that a loop that ends
/// early has copied few for nothing, and up to 128: 2 KiB.
template <class Map>
bool refill(MapIterator<Map>& it) {
    [[maybe_unused]] const std::size_t wanted =
        std::clamp<std::size_t>(2 * it.batch.size(), stress::shrunk(8, 1), stress::shrunk(128, 2));
    it.batch.clear();
    it.next = 0;
    if constexpr (Map::kKeepsDeleted) {
        if (it.yield == Yield::kDeletedToo)
            return it.map->core().template next_raw_batch<true>(it.walk, it.batch);
        return it.map->core().template next_raw_batch<false>(it.walk, it.batch);
    } else {
        return it.map->core().next_batch(it.walk, it.batch, wanted);
    }
}

/// Before a batch is copied: a cache removes the entries that have expired. Runs user code, so not under the lock.
template <class Map>
void expire_before(MapIterator<Map>& it) {
    if constexpr (MapObject<Map>::kExpires) {
        Ref map;
        {
            std::lock_guard hold(it.lock);
            if (it.map && it.next >= it.batch.size()) map = Ref::borrow(it.map->object());
        }
        if (map) reinterpret_cast<MapObject<Map>*>(map.get())->expire();
    }
}

/// The next entry, with references for the caller; false at the end. The map goes to *done then. Throws
/// bad_alloc; what has been copied goes to *dropped.
template <class Map>
bool advance(MapIterator<Map>& it, typename Map::Entry* entry, Ref* done, OwnedEntries<Map>* dropped) {
    std::lock_guard hold(it.lock);
    if (!it.map) return false;
    if (it.next >= it.batch.size()) {
        bool more;
        try {
            more = refill(it);
        } catch (const std::bad_alloc&) {
            dropped->entries.swap(it.batch);
            throw;
        }
        if (!more) {
            *done = Ref::steal(reinterpret_cast<PyObject*>(std::exchange(it.map, nullptr)));
            return false;
        }
    }
    *entry = it.batch[it.next++];
    return true;
}

/// The map stays alive: the iterator has it, or another thread that shares the iterator has come to its end.
template <class Map>
TP_COLD void publish_entry(MapIterator<Map>& it, PyObject* key) {
    Ref map;
    {
        std::lock_guard hold(it.lock);
        map = Ref::borrow(reinterpret_cast<PyObject*>(it.map));
    }
    if (map) read_key(map.get(), key, Use::kAtomic, true);
}

/// (key, value), or (key,) without a value. Throws.
inline PyObject* pair_of(Ref key, Ref value) {
    PyObject* pair = checked(PyTuple_New(value ? 2 : 1));
    PyTuple_SET_ITEM(pair, 0, key.release());
    if (value) PyTuple_SET_ITEM(pair, 1, value.release());
    return pair;
}

template <class Map>
PyObject* iterator_next(MapIterator<Map>& it) {
    typename Map::Entry entry;
    Ref done;
    OwnedEntries<Map> dropped;
    expire_before(it);
    do {
        if (!advance(it, &entry, &done, &dropped)) {
            if (done && map_is_watched()) read_map(done.get());
            return nullptr;
        }
        if (!entry.key) release_value(entry.value);
    } while (!entry.key);
    Ref key = Ref::steal(Policy::object(entry.key)), value = into_ref(entry.value);
    if (map_is_watched()) publish_entry(it, key.get());
    if (it.yield == Yield::kKeys) return key.release();
    if (it.yield == Yield::kValues) return value.release();
    return pair_of(std::move(key), std::move(value));
}

}  // namespace threadproof::ext
