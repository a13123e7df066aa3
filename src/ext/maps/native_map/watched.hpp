/// What the methods of a native map publish while a subscriber is interested: see ext/probe/structures.hpp.
#pragma once

#include "ext/maps/native_map/map_object.hpp"
#include "ext/probe/structures.hpp"
#include "ext/python/arguments.hpp"

namespace threadproof::ext {

using probe::about_to_change;
using probe::about_to_read;
using probe::change_key;
using probe::change_map;
using probe::map_is_watched;
using probe::read_key;
using probe::read_map;
using probe::Use;

/// The value of a key, or null; published as read. Throws.
template <class Map>
TP_COLD Ref watched_look_up(MapObject<Map>& self, PyObject* key, Use use) {
    Lookup lookup(key);
    about_to_read(self.object());
    Ref found = self.look_up(lookup);
    read_key(self.object(), key, use, static_cast<bool>(found));
    return found;
}

template <class Map>
TP_COLD PyObject* watched_subscript(MapObject<Map>& self, PyObject* key) {
    Ref found = watched_look_up(self, key, Use::kPlain);
    if (!found) raise_key_error(key);
    return found.release();
}

template <class Map>
TP_COLD PyObject* watched_get(MapObject<Map>& self, PyObject* const* given, Py_ssize_t count,
                              PyObject* names) {
    Arguments<2> arguments("get", given, count, names, 1, 2, {"key", "default"});
    Ref found = watched_look_up(self, arguments[0], Use::kCheck);
    return found ? found.release() : Py_NewRef(arguments.get(1, Py_None));
}

/// Whether a key is present. Leaves no trace in the map, because it must not differ by who watches.
template <class Map>
bool is_present(Map& map, const Lookup& lookup) {
    if constexpr (Map::kKeepsDeleted) return map.has_uncounted(lookup);
    else return map.contains(lookup) == Outcome::kPresent;
}

/// Publishes that a key is about to change. A key whose comparison is user code counts as absent: that must not
/// run more often because somebody watches.
template <class Map>
TP_COLD void announce_change(MapObject<Map>& self, const Lookup& lookup, PyObject* key, Use use) {
    bool found = probe::is_native_key(key) && is_present(self.core(), lookup);
    change_key(self.object(), key, use, found);
}

template <class Map>
TP_COLD int watched_ass_subscript(MapObject<Map>& self, PyObject* key, PyObject* value) {
    Lookup lookup(key);
    announce_change(self, lookup, key, Use::kPlain);
    if (value) return self.store(lookup, value), 0;
    Ref old = self.remove(lookup);
    read_key(self.object(), key, Use::kAtomic, static_cast<bool>(old));
    if (!old) raise_key_error(key);
    return 0;
}

/// An atomic step that changes a key and shows what was there: publishes before it and after it.
template <class Map>
class WatchedChange {
 public:
    WatchedChange(MapObject<Map>& map, const Lookup& lookup, PyObject* key) : map_(map), key_(key) {
        if (map_is_watched()) announce_change(map, lookup, key, Use::kAtomic);
    }
    ~WatchedChange() {
        if (map_is_watched()) read_key(map_.object(), key_, Use::kAtomic, true);
    }
    WatchedChange(const WatchedChange&) = delete;
    WatchedChange& operator=(const WatchedChange&) = delete;

 private:
    MapObject<Map>& map_;
    PyObject* key_;
};

}  // namespace threadproof::ext
