/// The methods of a native map that compute a value by a function of the user's: reserve the key, run the
/// function with no lock held, store the result.
#pragma once

#include "ext/maps/contract.hpp"
#include "ext/maps/native_map/map_object.hpp"
#include "ext/maps/native_map/watched.hpp"
#include "ext/python/arguments.hpp"

namespace threadproof::ext {

/// Which keys a computation reserves: all, absent ones or present ones.
enum class When { kAlways, kAbsent, kPresent };

/// One computation of the calling thread. Its reservation is in the map from place() to settle(), unless
/// clear() or drain() take it away.
///
/// Invariant: old_value of a reservation that is in the map, or has been, is the slot's reference from
/// before. The attempt to place it can be repeated; until it succeeds, old_value belongs to other threads.
template <class Map>
class Computation {
 public:
    Computation(MapObject<Map>& map, const Lookup& lookup, PyObject* key)
        : map_(map), lookup_(lookup), reservation_(Reservation::make(key)) {
        map_.computations.begin(reservation_);
    }
    /// Without settle(), the old value is stored again.
    ~Computation() {
        NextValue the_old(NextValue::kRestored);
        if (placed_) settle(Ref::borrow(reservation_->old_value));
        reservation_->end();
        map_.computations.end(reservation_);
        drop_reference(reservation_->object());
    }
    Computation(const Computation&) = delete;
    Computation& operator=(const Computation&) = delete;

    /// Puts the reservation in the key's place, after waiting for another there. False when the key is not
    /// one that `when` asks for; `*present` is then its value, or null.
    bool place(When when, const Deadline& deadline, Ref* present) {
        Word found = 0;
        bool taking = false;
        Ref for_slot = Ref::borrow(reservation_->object());
        map_.change(lookup_, deadline, [&](Word current) {
            taking = !(when == When::kAbsent && current) && !(when == When::kPresent && !current);
            if (!taking) {
                if (current) Policy::retain(current);
                return found = current;
            }
            // the slot's reference becomes the reservation's when that is in the slot
            reservation_->old_value = current ? Policy::object(current) : nullptr;
            return Policy::reservation(reservation_);
        });
        if (taking) for_slot.release();  // the slot has it now
        placed_ = reservation_->owns_old = taking;
        *present = into_ref(found);
        return placed_;
    }

    Reservation* reservation() const { return reservation_; }
    PyObject* old_value() const { return reservation_->old_value; }

    /// Puts the result in the reservation's place. After clear() or drain() it has no place any more; drain()
    /// reads the result from it.
    void settle(Ref result) {
        stress::reach(stress::Window::kSettle);
        placed_ = false;
        reservation_->settle(result.release());
        map_.replace_reservation(lookup_, reservation_, reservation_->result);
    }

 private:
    MapObject<Map>& map_;
    const Lookup& lookup_;
    Reservation* reservation_;
    bool placed_ = false;
};

/// The result of step(old), or null; it is published around it, also where it raises.
template <class Map, class Step>
PyObject* run_published(MapObject<Map>& self, PyObject* key, PyObject* old, Step& step) {
    if (map_is_watched()) probe::begin_computation(self.object(), key);
    PyObject* result = step(old);
    if (map_is_watched()) probe::end_computation(self.object(), key, old != nullptr);
    return result;
}

/// Calls step(old), with old possibly null, once, with the key reserved, and stores its result; REMOVE
/// removes the key. Returns the value that is there afterwards, or null. Throws.
template <class Map, class Step>
Ref compute(MapObject<Map>& self, const Lookup& lookup, PyObject* key, When when, const Deadline& deadline,
            Step step) {
    Computation<Map> computation(self, lookup, key);
    if (map_is_watched()) about_to_change(self.object());
    Ref present;
    if (!computation.place(when, deadline, &present)) {
        if (map_is_watched()) read_key(self.object(), key, Use::kAtomic, static_cast<bool>(present));
        return present;
    }
    Ref old = Ref::borrow(computation.old_value());
    Ref result = checked_result(run_published(self, key, old.get(), step));
    if (result.get() == remove_sentinel) {
        computation.settle(Ref());
        return Ref();
    }
    [[maybe_unused]] auto weighing = self.weigh(lookup, result.get());
    computation.settle(Ref::borrow(result.get()));
    return result;
}

/// The deadline of a method called with this function and timeout. Throws if one of them is wrong.
template <class Map>
Deadline check_computation(MapObject<Map>& self, const char* method, PyObject* fn, PyObject* timeout) {
    check_function_of(self.object(), method, fn);
    return Deadline::after(self.object(), method, timeout);
}

template <class Map>
PyObject* map_compute(MapObject<Map>& self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    self.share();
    Arguments<4> arguments("compute", given, count, names, 2, 3, {"key", "fn", "default", "timeout"});
    PyObject *key = arguments[0], *fn = arguments[1], *otherwise = arguments.get(2, Py_None);
    Deadline deadline = check_computation(self, "compute", fn, arguments.get(3, Py_None));
    Ref value = compute(self, Lookup(key), key, When::kAlways, deadline,
                        [&](PyObject* old) { return call(fn, old ? old : otherwise); });
    return value ? value.release() : Py_NewRef(otherwise);
}

template <class Map>
PyObject* map_compute_if_absent(MapObject<Map>& self, PyObject* const* given, Py_ssize_t count,
                                PyObject* names) {
    self.share();
    Arguments<3> arguments("compute_if_absent", given, count, names, 2, 2, {"key", "fn", "timeout"});
    PyObject *key = arguments[0], *fn = arguments[1];
    if (is_container_type(fn)) refuse_function(self.object(), "compute_if_absent", fn);
    Deadline deadline = check_computation(self, "compute_if_absent", fn, arguments.get(2, Py_None));
    Lookup lookup(key);
    if (map_is_watched()) about_to_read(self.object());
    if (Ref present = self.look_up(lookup)) {
        if (map_is_watched()) read_key(self.object(), key, Use::kAtomic, true);
        return present.release();
    }
    return or_none(
        compute(self, lookup, key, When::kAbsent, deadline, [&](PyObject*) { return call(fn, key); }));
}

template <class Map>
PyObject* map_compute_if_present(MapObject<Map>& self, PyObject* const* given, Py_ssize_t count,
                                 PyObject* names) {
    self.share();
    Arguments<3> arguments("compute_if_present", given, count, names, 2, 2, {"key", "fn", "timeout"});
    PyObject *key = arguments[0], *fn = arguments[1];
    Deadline deadline = check_computation(self, "compute_if_present", fn, arguments.get(2, Py_None));
    Lookup lookup(key);
    if (map_is_watched()) about_to_read(self.object());
    if (checked(self.core().contains(lookup)) == Outcome::kAbsent) {
        if (map_is_watched()) read_key(self.object(), key, Use::kAtomic, false);
        Py_RETURN_NONE;
    }
    return or_none(
        compute(self, lookup, key, When::kPresent, deadline, [&](PyObject* old) { return call(fn, old); }));
}

template <class Map>
PyObject* map_merge(MapObject<Map>& self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    self.share();
    Arguments<4> arguments("merge", given, count, names, 3, 3, {"key", "value", "fn", "timeout"});
    PyObject *key = arguments[0], *value = arguments[1], *fn = arguments[2];
    Deadline deadline = check_computation(self, "merge", fn, arguments.get(3, Py_None));
    return or_none(compute(self, Lookup(key), key, When::kAlways, deadline,
                           [&](PyObject* old) { return old ? call(fn, old, value) : Py_NewRef(value); }));
}

}  // namespace threadproof::ext
