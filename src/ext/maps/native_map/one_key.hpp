/// The methods of a native map for one key that call no function of the user's, except to compare values.
#pragma once

#include "ext/maps/contract.hpp"
#include "ext/maps/native_map/map_object.hpp"
#include "ext/maps/native_map/watched.hpp"
#include "ext/python/arguments.hpp"

namespace threadproof::ext {

template <class Map>
TP_HOT PyObject* map_subscript(MapObject<Map>& self, PyObject* key) {
    self.share();
    if (map_is_watched()) return watched_subscript(self, key);
    Word value;
    if (TP_LIKELY(checked(self.core().get(Lookup(key), &value)) == Outcome::kPresent))
        return Policy::object(value);
    raise_key_error(key);
}

template <class Map>
TP_HOT int map_ass_subscript(MapObject<Map>& self, PyObject* key, PyObject* value) {
    self.share();
    if (map_is_watched()) return watched_ass_subscript(self, key, value);
    Lookup lookup(key);
    if (TP_LIKELY(value != nullptr)) self.store(lookup, value);
    else if (!self.remove(lookup)) raise_key_error(key);
    return 0;
}

template <class Map>
TP_HOT int map_contains(MapObject<Map>& self, PyObject* key) {
    self.share();
    if (map_is_watched()) return static_cast<bool>(watched_look_up(self, key, Use::kCheck));
    return checked(self.core().contains(Lookup(key))) == Outcome::kPresent;
}

template <class Map>
TP_HOT PyObject* map_get(MapObject<Map>& self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    self.share();
    if (map_is_watched()) return watched_get(self, given, count, names);
    if (TP_LIKELY(!names && (count == 1 || count == 2))) {
        Word value;
        if (checked(self.core().get(Lookup(given[0]), &value)) == Outcome::kPresent)
            return Policy::object(value);
        return Py_NewRef(count == 2 ? given[1] : Py_None);
    }
    Arguments<2> arguments("get", given, count, names, 1, 2, {"key", "default"});
    Ref found = self.look_up(Lookup(arguments[0]));
    return found ? found.release() : Py_NewRef(arguments.get(1, Py_None));
}

template <class Map>
PyObject* map_swap(MapObject<Map>& self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    self.share();
    Arguments<3> arguments("swap", given, count, names, 2, 3, {"key", "value", "default"});
    Lookup lookup(arguments[0]);
    WatchedChange change(self, lookup, arguments[0]);
    Ref old = self.store(lookup, arguments[1]);
    return old ? old.release() : Py_NewRef(arguments.get(2, Py_None));
}

template <class Map>
PyObject* map_pop(MapObject<Map>& self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    self.share();
    Arguments<2> arguments("pop", given, count, names, 1, 2, {"key", "default"});
    Lookup lookup(arguments[0]);
    WatchedChange change(self, lookup, arguments[0]);
    Ref old = self.remove(lookup);
    if (old) return old.release();
    if (!arguments[1]) raise_key_error(arguments[0]);
    return Py_NewRef(arguments[1]);
}

template <class Map>
PyObject* map_setdefault(MapObject<Map>& self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    self.share();
    Arguments<2> arguments("setdefault", given, count, names, 1, 2, {"key", "default"});
    Lookup lookup(arguments[0]);
    if (map_is_watched()) about_to_change(self.object());
    if (Ref present = self.look_up(lookup)) {
        if (map_is_watched()) read_key(self.object(), arguments[0], Use::kAtomic, true);
        return present.release();
    }
    PyObject* value = storable(arguments.get(1, Py_None));
    [[maybe_unused]] auto weighing = self.weigh(lookup, value);
    WatchedChange change(self, lookup, arguments[0]);
    Incoming fresh(value);
    Word present = 0;
    self.change(lookup, [&](Word current) {
        if (!current) return fresh.word();
        Policy::retain(current);  // for our caller
        return present = current;
    });
    if (present) return Policy::object(present);
    fresh.release();
    return Py_NewRef(value);
}

/// Puts `next` (null: nothing) in the place of a value that is equal to `expected`. Compares with nothing
/// reserved and no lock held, and again if the value has been replaced meanwhile.
template <class Map>
PyObject* compare_and_replace(MapObject<Map>& self, const char* method, PyObject* key, PyObject* expected,
                              PyObject* next, PyObject* equal) {
    if (equal != Py_None) check_function_of(self.object(), method, equal);
    for (Lookup lookup(key);;) {
        if (map_is_watched()) about_to_read(self.object());
        Ref seen = self.look_up(lookup);
        if (map_is_watched()) read_key(self.object(), key, Use::kAtomic, static_cast<bool>(seen));
        if (!seen || !values_equal(seen.get(), expected, equal)) Py_RETURN_FALSE;
        if (map_is_watched()) change_key(self.object(), key, Use::kAtomic, true);
        if (self.replace_seen(lookup, seen.get(), next)) Py_RETURN_TRUE;
    }
}

template <class Map>
PyObject* map_compare_and_swap(MapObject<Map>& self, PyObject* const* given, Py_ssize_t count,
                               PyObject* names) {
    self.share();
    Arguments<4> arguments("compare_and_swap", given, count, names, 3, 3,
                           {"key", "expected", "new", "equal"});
    return compare_and_replace(self, "compare_and_swap", arguments[0], arguments[1], arguments[2],
                               arguments.get(3, Py_None));
}

template <class Map>
PyObject* map_compare_and_delete(MapObject<Map>& self, PyObject* const* given, Py_ssize_t count,
                                 PyObject* names) {
    self.share();
    Arguments<3> arguments("compare_and_delete", given, count, names, 2, 2, {"key", "expected", "equal"});
    return compare_and_replace(self, "compare_and_delete", arguments[0], arguments[1], nullptr,
                               arguments.get(2, Py_None));
}

}  // namespace threadproof::ext
