/// The core's CacheMap as a Python type: native_map/, and the methods that only Cache has.
#include "ext/maps/cache.hpp"

#include <array>

#include "core/maps/cache/map.hpp"
#include "ext/maps/native_map/type.hpp"
#include "ext/python/postponed.hpp"

namespace threadproof::ext {
namespace {

using Map = CacheOfPython;

constexpr std::array kCauses{"size", "expired", "replaced", "removed", "cleared"};

/// Calls the object's method _departed(key, value, cause), which does not raise, and releases the two. An exception
/// that is set stays: an entry may leave at the end of a call that has failed.
void send_departure(void* context, Word key, Word value, Cause cause) {
    NextValue of_its_own;
    Raised raised;
    raised.fetch();
    {
        Postponed::Aside aside;
        Ref result = Ref::steal(PyObject_CallMethod(static_cast<PyObject*>(context), "_departed", "OOs",
                                                    Policy::object(key), Policy::object(value),
                                                    kCauses[static_cast<std::size_t>(cause)]));
        if (!result) Postponed::report_or_postpone(static_cast<PyObject*>(context));
    }
    Map::release_key(key);
    Policy::release(value);
    raised.restore();
}

PyObject* cache_send_departures(MapObject<Map>& self, PyObject*) {
    self.core().send_departures(send_departure, self.object());
    Py_RETURN_NONE;
}

/// Calls the object's method _now(), which returns ns. Where that raises, the clock stands.
std::int64_t read_clock(void* context) {
    NextValue of_its_own;
    Raised raised;
    raised.fetch();
    constexpr auto kEarliest = std::int64_t{-1} << 61;
    long long now = kEarliest;
    {
        Postponed::Aside aside;
        Ref result = Ref::steal(PyObject_CallMethod(static_cast<PyObject*>(context), "_now", nullptr));
        if (result) now = PyLong_AsLongLong(result.get());
        if (PyErr_Occurred()) {
            Postponed::report_or_postpone(static_cast<PyObject*>(context));
            now = kEarliest;
        }
    }
    raised.restore();
    return now;
}

PyObject* cache_set_expiry(MapObject<Map>& self, PyObject* arguments) {
    Lifetimes lives;
    int own, has_clock;
    unsigned long long write, access, refresh;
    if (!PyArg_ParseTuple(arguments, "KKKIpp:_set_expiry", &write, &access, &refresh, &lives.jitter, &own,
                          &has_clock))
        throw PythonError{};
    lives.write = write;
    lives.access = access;
    lives.refresh = refresh;
    lives.own = own != 0;
    self.core().set_expiry(lives, has_clock ? read_clock : nullptr, self.object(), fresh_secret());
    Py_RETURN_NONE;
}

/// Seconds until entries may expire, or None.
PyObject* cache_expire(MapObject<Map>& self, PyObject*) {
    self.share();
    self.expire();
    std::int64_t left = self.core().until_due();
    if (left < 0) Py_RETURN_NONE;
    return PyFloat_FromDouble(static_cast<double>(left) / 1e9);
}

PyObject* cache_claim_refresh(MapObject<Map>& self, PyObject* key) {
    self.share();
    return PyBool_FromLong(self.core().claim_refresh(Lookup(key)));
}

PyObject* cache_stop_sending(MapObject<Map>& self, PyObject*) {
    self.core().stop_sending();
    Py_RETURN_NONE;
}

PyObject* cache_count_nothing(MapObject<Map>& self, PyObject*) {
    self.core().count_nothing();
    Py_RETURN_NONE;
}

PyObject* cache_weigh_values(MapObject<Map>& self, PyObject*) {
    self.core().set_weighs();
    Py_RETURN_NONE;
}

/// None: no bound.
PyObject* cache_set_max(MapObject<Map>& self, PyObject* argument) {
    self.share();
    std::uint64_t max = Map::kUnbounded;
    if (argument != Py_None) {
        max = PyLong_AsUnsignedLongLong(argument);
        if (PyErr_Occurred()) throw PythonError{};
    }
    self.core().set_max(max);
    Py_RETURN_NONE;
}

/// The entries, as a list of pairs; releases them.
Ref list_of(Map::Entries& entries) {
    OwnedEntries<Map, Map::Entries> owned;
    owned.entries.swap(entries);
    Ref list = Ref::steal(checked(PyList_New(0)));
    for (const auto& entry : owned.entries) {
        Ref pair =
            Ref::steal(checked(PyTuple_Pack(2, Policy::object(entry.key), Policy::object(entry.value))));
        if (PyList_Append(list.get(), pair.get()) < 0) throw PythonError{};
    }
    return list;
}

PyObject* cache_ranks(MapObject<Map>& self, PyObject* arguments) {
    unsigned long long hottest, coldest, oldest;
    if (!PyArg_ParseTuple(arguments, "KKK:_ranks", &hottest, &coldest, &oldest)) throw PythonError{};
    self.share();
    self.expire();
    Map::Ranks ranks = self.core().ranks(hottest, coldest, oldest);
    OwnedEntries<Map, Map::Entries> owned[3];  // the rest is released if one list cannot be made
    owned[0].entries.swap(ranks.hottest);
    owned[1].entries.swap(ranks.coldest);
    owned[2].entries.swap(ranks.oldest);
    Ref lists[] = {list_of(owned[0].entries), list_of(owned[1].entries), list_of(owned[2].entries)};
    return checked(PyTuple_Pack(3, lists[0].get(), lists[1].get(), lists[2].get()));
}

PyObject* cache_stats(MapObject<Map>& self, PyObject*) {
    self.share();
    self.expire();
    Map::CacheStats s = self.core().cache_stats();
    return Py_BuildValue("(LKKKKKKdKddKKKKOKK)", static_cast<long long>(s.table.size), s.weight, s.hits,
                         s.misses, s.evictions, s.expired, s.lost_departures, s.window_share, s.sketch_resets,
                         s.half_ratio, s.double_ratio, s.table.buckets, s.table.overflow_buckets,
                         s.table.longest_chain, s.table.resizes, s.table.resizing ? Py_True : Py_False,
                         s.bytes, s.table.lock_waits);
}

}  // namespace

void add_cache(PyObject* module) {
    add_native_map<Map>(
        module, "threadproof._core.Cache", "threadproof._core.CacheIterator",
        "The native base of threadproof.maps.Cache, where the methods are explained.",
        {
            {"_set_max", method<cache_set_max>(), METH_O,
             "_set_max($self, bound, /)\n--\n\nAnother bound on the weight of all entries, or "
             "None. What is above it is "
             "gone on return."},
            {"_send_departures", method<cache_send_departures>(), METH_NOARGS,
             "_send_departures($self, /)\n--\n\nFrom now on call self._departed(key, value, cause) for every "
             "entry and value that leaves, with no lock held.\nBefore the cache is shared."},
            {"_set_expiry", method<cache_set_expiry>(), METH_VARARGS,
             "_set_expiry($self, write, access, refresh, jitter, own, clock, /)\n--\n\nLifetimes in ns, 0 "
             "for "
             "none; the jitter in 65,536ths; whether self._describe() returns deadlines;\nwhether "
             "self._now() is "
             "the clock. Before the cache is shared."},
            {"_expire", method<cache_expire>(), METH_NOARGS,
             "_expire($self, /)\n--\n\nRemove what has expired; return the seconds until the next does, or "
             "None."},
            {"_claim_refresh", method<cache_claim_refresh>(), METH_O,
             "_claim_refresh($self, key, /)\n--\n\nWhether the caller should load the key again."},
            {"_stop_sending", method<cache_stop_sending>(), METH_NOARGS,
             "_stop_sending($self, /)\n--\n\nThe end of _send_departures()."},
            {"_weigh_values", method<cache_weigh_values>(), METH_NOARGS,
             "_weigh_values($self, /)\n--\n\nFrom now on call self._describe(key, value) before a value is "
             "stored: its "
             "weight and its deadline.\nBefore the cache is shared."},
            {"_count_nothing", method<cache_count_nothing>(), METH_NOARGS,
             "_count_nothing($self, /)\n--\n\nFrom now on count no reads, and estimate no hit ratios. Before "
             "the cache is shared."},
            {"_ranks", method<cache_ranks>(), METH_VARARGS,
             "_ranks($self, hottest, coldest, oldest, /)\n--\n\nThree lists of pairs: that many entries "
             "that would be evicted last, that would be first, and that expire first."},
            {"_stats", method<cache_stats>(), METH_NOARGS,
             "_stats($self, /)\n--\n\nMetrics, from which CacheStats is made."},
        });
}

}  // namespace threadproof::ext
