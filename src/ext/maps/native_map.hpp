/// A map of the core as a Python type. Each method does three things: it makes words of its arguments, makes
/// one call on the core (again, after waiting, while another thread computes the key's value), and gives up
/// references outside all locks.
#pragma once

#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "ext/maps/map_parts.hpp"
#include "ext/maps/tally.hpp"
#include "ext/python/sharing.hpp"

namespace threadproof::ext {

/// The type of maps with this core: HashMap and SyncMap differ in nothing else.
template <class Map>
struct NativeMap {
    using Entry = typename Map::Entry;
    using Chain = typename Map::Chain;
    using Walk = typename Map::Walk;

    static inline PyTypeObject* map_type;
    static inline PyTypeObject* iterator_type;

    struct MapObject {
        PyObject_HEAD Sharing sharing;
        TurnCount turns;                      ///< computations running
        std::atomic<std::uint64_t> pop_from;  ///< the position where popitem() last found something
        bool built;                           ///< the core below has been constructed
        // Room for the core, which wants an alignment that Python's allocator does not give.
        alignas(16) unsigned char room[sizeof(Map) + alignof(Map)];
    };

    static MapObject* as_map(PyObject* self) { return reinterpret_cast<MapObject*>(self); }

    static TP_HOT Map& core(PyObject* self) {
        auto address = reinterpret_cast<std::uintptr_t>(as_map(self)->room);
        return *reinterpret_cast<Map*>((address + alignof(Map) - 1) & ~(std::uintptr_t{alignof(Map)} - 1));
    }

    static TP_HOT void share(PyObject* self) { as_map(self)->sharing.note(self); }

    // ---- words and references

    /// change(), again and again until no computation is in the way. `decide` may be called once for each
    /// try.
    template <class Decide>
    static TP_HOT Outcome change(PyObject* self, const Probe& probe, const Deadline& deadline,
                                 Decide decide) {
        for (;;) {
            Word turn = 0;
            Outcome outcome = core(self).change(probe, decide, &turn);
            if (TP_LIKELY(outcome != Outcome::kBusy)) return answered(outcome);
            wait_and_drop(self, probe, turn, deadline);
        }
    }

    template <class Decide>
    static TP_HOT Outcome change(PyObject* self, const Probe& probe, Decide decide) {
        return change(self, probe, Deadline(), decide);
    }

    /// The value of a key, or null.
    static Ref look_up(PyObject* self, const Probe& probe) {
        Word value;
        return answered(core(self).get(probe, &value)) == Outcome::kPresent ? taken(value) : Ref();
    }

    /// Removes a key; returns its value, or null.
    static TP_APART Ref remove(PyObject* self, Probe probe) {
        Word old = 0;
        change(self, probe, [&](Word current) { return old = current, Word{0}; });
        return taken(old);
    }

    static TP_APART Ref store_any(PyObject* self, Probe probe, PyObject* value) {
        Incoming fresh(value);
        Word old = 0;
        change(self, probe, [&](Word current) { return old = current, fresh.word(); });
        fresh.give();
        return taken(old);
    }

    /// Stores a value; returns the one it replaced, or null.
    static TP_HOT Ref store(PyObject* self, const Probe& probe, PyObject* value) {
        Word old;
        // GCC makes a call of Py_NewRef
        auto held = [value](Word) { return Py_INCREF(value), Policy::value(value); };
        if (TP_LIKELY(core(self).overwrite(probe, held, &old))) return taken(old);
        return store_any(self, probe, value);
    }

    // ---- one key

    static TP_HOT PyObject* map_subscript(PyObject* self, PyObject* key) {
        share(self);
        Word value;
        if (TP_LIKELY(answered(core(self).get(Probe(key), &value)) == Outcome::kPresent))
            return Policy::object(value);
        raise_key_error(key);
    }

    static TP_HOT int map_ass_subscript(PyObject* self, PyObject* key, PyObject* value) {
        share(self);
        Probe probe(key);
        if (TP_LIKELY(value != nullptr)) store(self, probe, value);
        else if (!remove(self, probe)) raise_key_error(key);
        return 0;
    }

    static TP_HOT int map_contains(PyObject* self, PyObject* key) {
        share(self);
        return answered(core(self).contains(Probe(key))) == Outcome::kPresent;
    }

    static TP_HOT PyObject* map_get(PyObject* self, PyObject* const* given, Py_ssize_t count,
                                    PyObject* names) {
        share(self);
        if (TP_LIKELY(!names && (count == 1 || count == 2))) {
            Word value;
            if (answered(core(self).get(Probe(given[0]), &value)) == Outcome::kPresent)
                return Policy::object(value);
            return Py_NewRef(count == 2 ? given[1] : Py_None);
        }
        Arguments<2> arguments("get", given, count, names, 1, 2, {"key", "default"});
        Ref found = look_up(self, Probe(arguments[0]));
        return found ? found.release() : Py_NewRef(arguments.get(1, Py_None));
    }

    static PyObject* map_swap(PyObject* self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
        share(self);
        Arguments<3> arguments("swap", given, count, names, 2, 3, {"key", "value", "default"});
        Ref old = store(self, Probe(arguments[0]), arguments[1]);
        return old ? old.release() : Py_NewRef(arguments.get(2, Py_None));
    }

    static PyObject* map_pop(PyObject* self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
        share(self);
        Arguments<2> arguments("pop", given, count, names, 1, 2, {"key", "default"});
        Ref old = remove(self, Probe(arguments[0]));
        if (old) return old.release();
        if (!arguments[1]) raise_key_error(arguments[0]);
        return Py_NewRef(arguments[1]);
    }

    static PyObject* map_setdefault(PyObject* self, PyObject* const* given, Py_ssize_t count,
                                    PyObject* names) {
        share(self);
        Arguments<2> arguments("setdefault", given, count, names, 1, 2, {"key", "default"});
        Probe probe(arguments[0]);
        if (Ref present = look_up(self, probe)) return present.release();
        PyObject* value = arguments.get(1, Py_None);
        Incoming fresh(value);
        Word present = 0;
        change(self, probe, [&](Word current) {
            if (!current) return fresh.word();
            Policy::hold(current);  // for our caller
            return present = current;
        });
        if (present) return Policy::object(present);
        fresh.give();
        return Py_NewRef(value);
    }

    /// Puts `next` (null: nothing) in the place of exactly `seen`; false when something else is there by now.
    static bool replace_seen(PyObject* self, const Probe& probe, PyObject* seen, PyObject* next) {
        Word old = 0, wanted = Policy::value(seen);
        auto put = [&](Word fresh) {
            return change(self, probe, [&](Word current) {
                old = current == wanted ? current : 0;
                return old ? fresh : current;
            });
        };
        if (!next) put(0);
        else {
            Incoming fresh(next);
            put(fresh.word());
            if (old) fresh.give();
        }
        return static_cast<bool>(taken(old));
    }

    static PyObject* compare_and(PyObject* self, const char* method, PyObject* key, PyObject* expected,
                                 PyObject* next, PyObject* equal) {
        if (equal != Py_None && !PyCallable_Check(equal)) refuse("check_function", self, method, equal);
        for (Probe probe(key);;) {
            Ref seen = look_up(self, probe);
            if (!seen || !values_equal(seen.get(), expected, equal)) Py_RETURN_FALSE;
            if (replace_seen(self, probe, seen.get(), next)) Py_RETURN_TRUE;
        }
    }

    static PyObject* map_compare_and_swap(PyObject* self, PyObject* const* given, Py_ssize_t count,
                                          PyObject* names) {
        share(self);
        Arguments<4> arguments("compare_and_swap", given, count, names, 3, 3,
                               {"key", "expected", "new", "equal"});
        return compare_and(self, "compare_and_swap", arguments[0], arguments[1], arguments[2],
                           arguments.get(3, Py_None));
    }

    static PyObject* map_compare_and_delete(PyObject* self, PyObject* const* given, Py_ssize_t count,
                                            PyObject* names) {
        share(self);
        Arguments<3> arguments("compare_and_delete", given, count, names, 2, 2, {"key", "expected", "equal"});
        return compare_and(self, "compare_and_delete", arguments[0], arguments[1], nullptr,
                           arguments.get(2, Py_None));
    }

    // ---- computing

    /// Which keys a computation takes a turn at; at the others it leaves what is there, or is not.
    enum class When { kAlways, kAbsent, kPresent };

    /// Puts a value (null: nothing) in the place of a turn, if the turn still has one: clear() and drain()
    /// take it away.
    static void replace_turn(PyObject* self, const Probe& probe, TurnObject* turn, PyObject* value) {
        Word next = Policy::value(Py_XNewRef(value));
        // the slot's
        if (core(self).replace_exact(probe.hash, 0, Policy::turn(turn), next))
            Policy::drop(Policy::turn(turn));
        else if (next) Policy::drop(next);
    }

    /// A turn that is in the map, until it is settled by what it came to.
    class Computation {
     public:
        Computation(PyObject* self, const Probe& probe, PyObject* key)
            : self_(self), probe_(probe), turn_(begin_turn(key)) {
            as_map(self)->turns.begin();
        }
        /// Without settle(), the old value stays.
        ~Computation() {
            if (placed_) settle(Ref::borrow(turn_->old));
            else if (!settled_) turn_->old = nullptr;  // of a try that another thread overtook: never ours
            end_turn(turn_);
            as_map(self_)->turns.end();
            drop_reference(reinterpret_cast<PyObject*>(turn_));
        }
        Computation(const Computation&) = delete;
        Computation& operator=(const Computation&) = delete;

        /// Waits for the turn. False when the key is not one `when` asks for; `*present` is then what is
        /// there, or null.
        bool place(When when, const Deadline& deadline, Ref* present) {
            Word left = 0;
            bool taking = false;
            Ref mine = Ref::borrow(reinterpret_cast<PyObject*>(turn_));  // for the slot, if it gets there
            change(self_, probe_, deadline, [&](Word current) {
                taking = !(when == When::kAbsent && current) && !(when == When::kPresent && !current);
                if (!taking) {
                    if (current) Policy::hold(current);
                    return left = current;
                }
                // the slot's reference is the turn's once it is placed
                turn_->old = current ? Policy::object(current) : nullptr;
                return Policy::turn(turn_);
            });
            if (taking) mine.release();  // it is the slot's now
            placed_ = taking;
            *present = taken(left);
            return placed_;
        }

        PyObject* old() const { return turn_->old; }

        /// Puts the result in the turn's place. After clear() or drain() the turn has no place any more;
        /// drain() reads the result.
        void settle(Ref result) {
            stress::reach(stress::Window::kSettle);
            placed_ = false;
            settled_ = true;
            turn_->result = result.release();
            replace_turn(self_, probe_, turn_, turn_->result);
        }

     private:
        PyObject* self_;
        const Probe& probe_;
        TurnObject* turn_;
        bool placed_ = false, settled_ = false;
    };

    /// One computation: step(old), with old possibly null, is called once, in a turn, and its result is
    /// stored; REMOVE removes. Returns what is there afterwards, or null.
    template <class Step>
    static Ref compute(PyObject* self, const Probe& probe, PyObject* key, When when, const Deadline& deadline,
                       Step step) {
        Computation computation(self, probe, key);
        Ref present;
        if (!computation.place(when, deadline, &present)) return present;
        Ref old = Ref::borrow(computation.old());
        Ref result = Ref::steal(checked(step(old.get())));
        if (result.get() == remove_sentinel) result = Ref();
        computation.settle(Ref::borrow(result.get()));
        return result;
    }

    /// Waits for another thread's turn. In a forked child the parent's other threads are gone, and their
    /// turns make way.
    static void wait_and_drop(PyObject* self, const Probe& probe, Word turn_word, const Deadline& deadline) {
        TurnObject* turn = reinterpret_cast<TurnObject*>(Policy::object(turn_word));
        Ref held = Ref::steal(reinterpret_cast<PyObject*>(turn));
        if (orphaned(turn)) replace_turn(self, probe, turn, turn->old);
        else wait_for_turn(turn, deadline);
    }

    static Deadline checked_call(PyObject* self, const char* method, PyObject* fn, PyObject* timeout) {
        if (!PyCallable_Check(fn)) refuse("check_function", self, method, fn);
        return Deadline::after(self, method, timeout);
    }

    static PyObject* map_compute(PyObject* self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
        share(self);
        Arguments<4> arguments("compute", given, count, names, 2, 3, {"key", "fn", "default", "timeout"});
        PyObject *key = arguments[0], *fn = arguments[1], *otherwise = arguments.get(2, Py_None);
        Deadline deadline = checked_call(self, "compute", fn, arguments.get(3, Py_None));
        Ref value = compute(self, Probe(key), key, When::kAlways, deadline,
                            [&](PyObject* old) { return call(fn, old ? old : otherwise); });
        return value ? value.release() : Py_NewRef(otherwise);
    }

    static PyObject* map_compute_if_absent(PyObject* self, PyObject* const* given, Py_ssize_t count,
                                           PyObject* names) {
        share(self);
        Arguments<3> arguments("compute_if_absent", given, count, names, 2, 2, {"key", "fn", "timeout"});
        PyObject *key = arguments[0], *fn = arguments[1];
        Deadline deadline = checked_call(self, "compute_if_absent", fn, arguments.get(2, Py_None));
        Probe probe(key);
        if (Ref present = look_up(self, probe)) return present.release();
        return or_none(
            compute(self, probe, key, When::kAbsent, deadline, [&](PyObject*) { return call(fn, key); }));
    }

    static PyObject* map_compute_if_present(PyObject* self, PyObject* const* given, Py_ssize_t count,
                                            PyObject* names) {
        share(self);
        Arguments<3> arguments("compute_if_present", given, count, names, 2, 2, {"key", "fn", "timeout"});
        PyObject *key = arguments[0], *fn = arguments[1];
        Deadline deadline = checked_call(self, "compute_if_present", fn, arguments.get(2, Py_None));
        Probe probe(key);
        if (answered(core(self).contains(probe)) == Outcome::kAbsent) Py_RETURN_NONE;
        return or_none(compute(self, probe, key, When::kPresent, deadline,
                               [&](PyObject* old) { return call(fn, old); }));
    }

    static PyObject* map_merge(PyObject* self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
        share(self);
        Arguments<4> arguments("merge", given, count, names, 3, 3, {"key", "value", "fn", "timeout"});
        PyObject *key = arguments[0], *value = arguments[1], *fn = arguments[2];
        Deadline deadline = checked_call(self, "merge", fn, arguments.get(3, Py_None));
        return or_none(compute(self, Probe(key), key, When::kAlways, deadline,
                               [&](PyObject* old) { return old ? call(fn, old, value) : Py_NewRef(value); }));
    }

    /// The sum of a small int and a value, or null: the value is none, or there is no memory, and then an
    /// exception is set.
    static TP_HOT PyObject* small_sum(PyObject* base, std::int64_t delta) {
        std::int64_t number = 0;
        bool small = PyLong_CheckExact(base) && small_int(base, &number);
        return small ? PyLong_FromLongLong(number + delta) : nullptr;  // below 2^61: no overflow
    }

    /// Adds a small int to a key's value where that is a small int too, or absent and `initial` is: in one
    /// step, for making an int calls nobody. Returns the sum, or null where the numbers are others.
    static Ref add_small(PyObject* self, const Probe& probe, std::int64_t delta, PyObject* initial) {
        if constexpr (Map::kOverwritesLocked) {
            Word old;
            Ref sum;
            auto added = [&](Word current) {
                sum = Ref::steal(small_sum(Policy::object(current), delta));
                return Policy::value(Py_XNewRef(sum.get()));
            };
            if (TP_LIKELY(core(self).overwrite(probe, added, &old))) return taken(old), std::move(sum);
            if (TP_UNLIKELY(PyErr_Occurred() != nullptr)) throw PythonError{};
        }
        return add_small_anywhere(self, probe, delta, initial);
    }

    static TP_APART Ref add_small_anywhere(PyObject* self, Probe probe, std::int64_t delta,
                                           PyObject* initial) {
        Word old = 0;
        Ref sum;
        // made before the sum is stored: then another thread may give up the slot's reference at once
        std::optional<Incoming> fresh;
        change(self, probe, [&](Word current) {
            old = 0;
            fresh.reset();
            sum = Ref::steal(small_sum(current ? Policy::object(current) : initial, delta));
            if (!sum) return current;
            old = current;
            return fresh.emplace(sum.get()).word();
        });
        if (!sum && PyErr_Occurred()) throw PythonError{};
        if (fresh) fresh->give();
        taken(old);
        return sum;
    }

    /// Adds plain numbers outside the lock, and stores the sum if the value is still the one added to. Null
    /// for other values.
    static Ref add_numbers(PyObject* self, const Probe& probe, PyObject* delta, PyObject* initial) {
        for (;;) {
            Ref old = look_up(self, probe);
            PyObject* base = old ? old.get() : initial;
            if (!is_number(base) || !is_number(delta)) return Ref();
            Ref sum = Ref::steal(checked(PyNumber_Add(base, delta)));
            Incoming fresh(sum.get());
            Word seen = Policy::value(old.get()), replaced = 0;
            bool stored = false;
            change(self, probe, [&](Word current) {
                stored = current == seen;
                return stored ? (replaced = current, fresh.word()) : current;
            });
            if (!stored) continue;
            fresh.give();
            taken(replaced);
            return sum;
        }
    }

    /// Adds to a key's value and returns the sum: plain numbers at once, other values by their own +, once,
    /// in a turn.
    static Ref add(PyObject* self, const Probe& probe, PyObject* key, PyObject* delta, PyObject* initial) {
        std::int64_t number;
        if (PyLong_CheckExact(delta) && small_int(delta, &number)) {
            if (Ref sum = add_small(self, probe, number, initial)) return sum;
        }
        if (Ref sum = add_numbers(self, probe, delta, initial)) return sum;
        return compute(self, probe, key, When::kAlways, Deadline(), [&](PyObject* old) {
            return outliving([&] { return PyNumber_Add(old ? old : initial, delta); });
        });
    }

    static PyObject* map_add(PyObject* self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
        share(self);
        Arguments<3> arguments("add", given, count, names, 1, 3, {"key", "delta", "initial"});
        PyObject* key = arguments[0];
        return or_none(add(self, Probe(key), key, arguments.get(1, one), arguments.get(2, zero)));
    }

    // ---- many keys

    static constexpr Py_ssize_t kGroup = Map::kGroup;
    static_assert(Sequence::kPiece % kGroup == 0,
                  "the keys of a group are in one piece: a Sequence lends them until the next");

    /// Calls each(i, probe) for every key, in groups, whose buckets are asked for together. A key that cannot
    /// be hashed raises when those before it are done.
    template <class Each>
    static void each_key(PyObject* self, Sequence& keys, Each each) {
        Probe probes[kGroup];
        for (Py_ssize_t first = 0; first < keys.size(); first += kGroup) {
            unsigned wanted = static_cast<unsigned>(std::min(kGroup, keys.size() - first)), count = 0;
            Raised error;
            try {
                for (; count < wanted; ++count) probes[count].look_at(keys[first + count]);
            } catch (const PythonError&) {
                error.fetch();
            }
            core(self).prefetch_group(probes, count);
            for (unsigned i = 0; i < count; ++i) each(first + i, probes[i]);
            error.rethrow();
        }
    }

    static PyObject* map_get_many(PyObject* self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
        share(self);
        Arguments<2> arguments("get_many", given, count, names, 1, 2, {"keys", "default"});
        Sequence keys(arguments[0]);
        PyObject* otherwise = arguments.get(1, Py_None);
        Ref list = Ref::steal(checked(PyList_New(keys.size())));
        PyObject_GC_UnTrack(list.get());  // nobody finds it while it has holes
        Probe probes[kGroup];
        for (Py_ssize_t first = 0; first < keys.size(); first += kGroup) {
            unsigned group = static_cast<unsigned>(std::min(kGroup, keys.size() - first));
            for (unsigned i = 0; i < group; ++i) {
                keys.prefetch(first + kGroup + i);
                probes[i].look_at(keys[first + i]);
            }
            Outcome worst = Outcome::kPresent;
            core(self).get_group(probes, group, [&](unsigned i, Outcome outcome, Word value) {
                PyObject* item = outcome == Outcome::kPresent ? Policy::object(value) : Py_NewRef(otherwise);
                PyList_SET_ITEM(list.get(), first + i, item);
                worst = std::max(worst, outcome);
            });
            answered(worst);
        }
        PyObject_GC_Track(list.get());
        return list.release();
    }

    static PyObject* map_set_many(PyObject* self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
        share(self);
        Arguments<2> arguments("set_many", given, count, names, 2, 2, {"keys", "values"});
        Sequence keys(arguments[0]), values(arguments[1]);
        if (keys.size() != values.size()) {
            Ref contract = Ref::steal(checked(PyImport_ImportModule("threadproof.maps.contract")));
            checked(PyObject_CallMethod(contract.get(), "check_lengths", "Onn", self, keys.size(),
                                        values.size()));
        }
        each_key(self, keys, [&](Py_ssize_t i, const Probe& probe) { store(self, probe, values[i]); });
        Py_RETURN_NONE;
    }

    static PyObject* map_delete_many(PyObject* self, PyObject* iterable) {
        share(self);
        Sequence keys(iterable);
        Py_ssize_t deleted = 0;
        each_key(self, keys,
                 [&](Py_ssize_t, const Probe& probe) { deleted += static_cast<bool>(remove(self, probe)); });
        return PyLong_FromSsize_t(deleted);
    }

    static PyObject* map_count_many(PyObject* self, PyObject* const* given, Py_ssize_t count,
                                    PyObject* names) {
        share(self);
        Arguments<2> arguments("count_many", given, count, names, 1, 2, {"keys", "delta"});
        Sequence keys(arguments[0]);
        PyObject* delta = arguments.get(1, one);
        // not on the stack: `delta` may count, too, and so on
        auto tally = std::make_unique<Tally<NativeMap>>(self, delta, keys.size());
        Raised error;
        try {
            tally->count_all(keys);
        } catch (const PythonError&) {
            error.fetch();
        } catch (const std::bad_alloc&) {
            PyErr_NoMemory();
            error.fetch();
        }
        tally->finish(error);
        Py_RETURN_NONE;
    }

    // ---- the whole map

    static Py_ssize_t map_length(PyObject* self) {
        share(self);
        return static_cast<Py_ssize_t>(core(self).size());
    }

    static PyObject* map_clear(PyObject* self, PyObject*) {
        share(self);
        core(self).clear();
        Py_RETURN_NONE;
    }

    /// Entries that this owner holds, key and value each.
    template <class Container = std::vector<Entry>>
    class Held {
     public:
        Held() = default;
        ~Held() { Map::drop_all(entries_); }
        Held(const Held&) = delete;
        Held& operator=(const Held&) = delete;
        Container& entries() { return entries_; }

     private:
        Container entries_;
    };

    /// Entries taken out of a detached table, with the references that their slots had.
    struct Taken {
        std::vector<Entry> entries;

        Taken() = default;
        Taken(const Taken&) = delete;
        Taken& operator=(const Taken&) = delete;
        ~Taken() {
            for (const Entry& entry : entries) drop(entry);
        }
        static void drop(const Entry& entry) {
            Map::drop_key(entry.key);
            if (entry.value) Policy::drop(entry.value);
        }
    };

    template <class Container>
    static Ref dict_of(const Container& entries) {
        Ref dict = Ref::steal(checked(PyDict_New()));
        for (const Entry& entry : entries) {
            if (PyDict_SetItem(dict.get(), Policy::object(entry.key), Policy::object(entry.value)) < 0)
                throw PythonError{};
        }
        return dict;
    }

    static PyObject* map_snapshot(PyObject* self, PyObject*) {
        share(self);
        Held<typename Map::Entries> held;
        core(self).snapshot().swap(held.entries());
        return PyDictProxy_New(dict_of(held.entries()).get());
    }

    /// Puts entries back where their keys are absent, after what was to be made of them has failed, and lets
    /// that error go on.
    [[noreturn]] static void put_back(PyObject* self, const std::vector<Entry>& entries) {
        Raised raised;
        raised.fetch();
        for (const Entry& entry : entries) {
            try {
                Incoming fresh(Policy::object(entry.value));
                Probe probe(Policy::object(entry.key));
                if (change(self, probe, [&](Word current) { return current ? current : fresh.word(); })
                    == Outcome::kAbsent)
                    fresh.give();
            } catch (const PythonError&) {
                // a key that cannot even be hashed or compared any more
                PyErr_WriteUnraisable(Policy::object(entry.key));
            } catch (const std::bad_alloc&) {
                PyErr_NoMemory();
                PyErr_WriteUnraisable(Policy::object(entry.key));
            }
        }
        raised.rethrow();
        throw PythonError{};  // never: there was an error
    }

    /// Replaces the turn in a drained entry by its outcome.
    static void settle(Entry& entry) {
        Ref turn = taken(std::exchange(entry.value, 0));
        entry.value = outcome_of(reinterpret_cast<TurnObject*>(turn.get()));
    }

    /// Waits for the computations whose turns are among drained entries; entries without a value fall out.
    /// When a wait is interrupted, the others count as not begun.
    static void settle_all(std::vector<Entry>& entries) {
        Raised interrupted;
        for (Entry& entry : entries) {
            if (!Map::is_turn(entry.value)) continue;
            try {
                if (!interrupted)
                    wait_for_turn(reinterpret_cast<TurnObject*>(Policy::object(entry.value)), Deadline());
            } catch (const PythonError&) {
                interrupted.fetch();
            } catch (const std::bad_alloc&) {
                PyErr_NoMemory();
                interrupted.fetch();
            }
            settle(entry);
        }
        std::erase_if(entries,
                      [](const Entry& entry) { return entry.value ? false : (Taken::drop(entry), true); });
        interrupted.rethrow();
    }

    static PyObject* map_drain(PyObject* self, PyObject*) {
        share(self);
        Taken taken_out;
        std::vector<Entry>& entries = taken_out.entries;
        bool refused = false;
        Chain chain = nullptr;
        // 64: what may come meanwhile
        for (std::int64_t room = core(self).size() + 64; !chain && !refused;) {
            entries.reserve(static_cast<std::size_t>(room));
            chain = core(self).detach([&](std::int64_t count) {
                std::int64_t turns = as_map(self)->turns.running();
                refused = turns > 0 && holds_turn();
                room = 2 * (count + turns);
                return !refused && count + turns <= static_cast<std::int64_t>(entries.capacity());
            });
        }
        if (refused) {
            PyErr_Format(deadlock_error(),
                         "%s.drain() inside a computation could wait for itself, as this map has "
                         "computations running; drain after fn has "
                         "returned",
                         Py_TYPE(self)->tp_name);
            return nullptr;
        }
        core(self).take_all(chain, [&](Entry entry) { entries.push_back(entry); });
        core(self).retire_chain(chain);
        try {
            settle_all(entries);
            return dict_of(entries).release();
        } catch (const PythonError&) {
            put_back(self, entries);
        }
    }

    static PyObject* pair(Word key, Word value) {
        return checked(PyTuple_Pack(2, Policy::object(key), Policy::object(value)));
    }

    /// Removes one entry that no computation is at, beginning at a position; null if there is none from there
    /// on. `*busy` is then some key that was there and could not be removed, if there was one.
    static PyObject* pop_some(PyObject* self, std::uint64_t position, Ref* busy) {
        Held<> batch;
        Walk walk{position}, next = walk;
        for (; core(self).next_batch(next, batch.entries()); walk = next, Map::drop_all(batch.entries())) {
            for (const Entry& entry : batch.entries()) {
                Probe probe(Policy::object(entry.key));
                Ref popped = Ref::steal(pair(entry.key, entry.value));  // first: it can fail
                if (core(self).replace_exact(probe.hash, entry.key, entry.value, 0)) {
                    as_map(self)->pop_from.store(walk.position, std::memory_order_relaxed);  // a hint
                    // the slot's reference; the batch has its own
                    Policy::drop(entry.value);
                    return popped.release();
                }
                *busy = Ref::borrow(Policy::object(entry.key));
            }
        }
        return nullptr;
    }

    /// Goes on where the last one found something: popping a map empty from its beginning each time would be
    /// quadratic.
    static PyObject* map_popitem(PyObject* self, PyObject*) {
        share(self);
        for (;;) {
            Ref busy;
            std::uint64_t from = as_map(self)->pop_from.exchange(0, std::memory_order_relaxed);  // a hint
            if (PyObject* popped = pop_some(self, from, &busy)) return popped;
            if (from) continue;
            if (!busy) break;
            Ref popped = Ref::steal(checked(PyTuple_New(2)));  // first: it can fail
            // waits for the computation, or learns that it would never end
            Ref old = remove(self, Probe(busy.get()));
            if (old) {
                PyTuple_SET_ITEM(popped.get(), 0, busy.release());
                PyTuple_SET_ITEM(popped.get(), 1, old.release());
                return popped.release();
            }
        }
        PyErr_Format(PyExc_KeyError, "%s.popitem(): the map is empty", Py_TYPE(self)->tp_name);
        return nullptr;
    }

    static PyObject* map_check(PyObject* self, PyObject*) {
        core(self).check();
        Py_RETURN_NONE;
    }

    // ---- iterating

    /// kDeletedToo: (key,) for a key that is deleted and not yet forgotten.
    enum class Yield { kKeys, kItems, kDeletedToo };

    /// An iteration: copies one bucket, or part, at a time, and hands its entries out. Threads may share it;
    /// each gets other entries.
    struct IteratorObject {
        PyObject_HEAD PyObject* map;  ///< null once it is exhausted
        Yield yield;
        PatientLock lock;  ///< for what follows; held while a bucket is waited for
        Walk walk;
        std::size_t next;  ///< the entries before this one have been handed out
        std::vector<Entry> batch;
    };

    static IteratorObject* as_iterator(PyObject* self) { return reinterpret_cast<IteratorObject*>(self); }

    static PyObject* iterate(PyObject* self, Yield yield) {
        share(self);
        auto* iterator = as_iterator(checked(iterator_type->tp_alloc(iterator_type, 0)));
        new (&iterator->batch) std::vector<Entry>();  // the rest is right as zeroes
        iterator->map = Py_NewRef(self);
        iterator->yield = yield;
        return reinterpret_cast<PyObject*>(iterator);
    }

    static PyObject* map_iter(PyObject* self) { return iterate(self, Yield::kKeys); }
    static PyObject* map_entries(PyObject* self, PyObject*) { return iterate(self, Yield::kItems); }
    static PyObject* map_all_entries(PyObject* self, PyObject*) { return iterate(self, Yield::kDeletedToo); }

    static bool refill(IteratorObject* it) {
        if constexpr (Map::kKeepsDeleted) {
            if (it->yield == Yield::kDeletedToo)
                return core(it->map).template next_batch<true>(it->walk, it->batch);
        }
        return core(it->map).next_batch(it->walk, it->batch);
    }

    /// The next entry, held for the caller; false at the end. The map's reference goes to *done then.
    static bool advance(IteratorObject* it, Entry* entry, Ref* done) {
        std::lock_guard hold(it->lock);
        if (!it->map) return false;
        if (it->next >= it->batch.size()) {
            it->batch.clear();
            it->next = 0;
            if (!refill(it)) {
                *done = Ref::steal(std::exchange(it->map, nullptr));
                return false;
            }
        }
        *entry = it->batch[it->next++];
        return true;
    }

    static PyObject* iterator_next(PyObject* self) {
        IteratorObject* it = as_iterator(self);
        Entry entry;
        Ref done;
        if (!advance(it, &entry, &done)) return nullptr;
        Ref key = Ref::steal(Policy::object(entry.key)), value = Ref::steal(Policy::object(entry.value));
        return it->yield == Yield::kKeys ? key.release()
                                         : checked(PyTuple_Pack(value ? 2 : 1, key.get(), value.get()));
    }

    static int iterator_traverse(PyObject* self, visitproc visit, void* arg) {
        IteratorObject* it = as_iterator(self);
        Py_VISIT(Py_TYPE(self));
        Py_VISIT(it->map);
        for (std::size_t i = it->next; i < it->batch.size(); ++i) {
            Py_VISIT(Policy::object(it->batch[i].key));
            Py_VISIT(Policy::object(it->batch[i].value));
        }
        return 0;
    }

    static int iterator_clear(PyObject* self) {
        IteratorObject* it = as_iterator(self);
        std::vector<Entry> rest;
        rest.swap(it->batch);
        rest.erase(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(std::min(it->next, rest.size())));
        it->next = 0;
        Map::drop_all(rest);
        Py_CLEAR(it->map);
        return 0;
    }

    static void iterator_dealloc(PyObject* self) {
        PyObject_GC_UnTrack(self);
        PyTypeObject* type = Py_TYPE(self);
        iterator_clear(self);
        as_iterator(self)->batch.~vector();
        type->tp_free(self);
        Py_DECREF(type);
    }

    // ---- life and death

    static PyObject* map_new(PyTypeObject* type, PyObject*, PyObject*) {
        if (type == map_type) {  // the subclass also spares deeply nested maps a deep recursion when they die
            PyErr_Format(PyExc_TypeError, "%s is a base class; use threadproof.%s instead", map_type->tp_name,
                         std::strrchr(map_type->tp_name, '.') + 1);
            return nullptr;
        }
        Ref self = Ref::steal(checked(type->tp_alloc(type, 0)));
        new (&core(self.get())) Map(fresh_secret());
        as_map(self.get())->built = true;
        return self.release();
    }

    /// Keys of the fast kinds hold nothing a collector could follow.
    static int map_traverse(PyObject* self, visitproc visit, void* arg) {
        Py_VISIT(Py_TYPE(self));
        if (!as_map(self)->built) return 0;
        return core(self).visit_stopped([&](Word key, Word value) {
            if (Policy::kind(key) == Policy::kObject) Py_VISIT(Policy::object(key));
            Py_VISIT(Policy::object(value));
            return 0;
        });
    }

    static int map_tp_clear(PyObject* self) {
        if (!as_map(self)->built) return 0;
        try {
            core(self).clear();
        } catch (const std::bad_alloc&) {
            core(self).empty();
        }
        return 0;
    }

    static void map_dealloc(PyObject* self) {
        PyObject_GC_UnTrack(self);
        PyTypeObject* type = Py_TYPE(self);
        if (as_map(self)->built) {
            core(self).empty();
            core(self).~Map();
        }
        type->tp_free(self);
        Py_DECREF(type);
    }

    static PyObject* map_count_references(PyObject* self, PyObject*) {
        as_map(self)->sharing.count_references();
        Py_RETURN_NONE;
    }

    // ---- the type

    static constexpr int kNamed = METH_FASTCALL | METH_KEYWORDS;

    /// The methods that every native map has, and some more. They live as long as the process, as the type
    /// does.
    static PyMethodDef* methods(std::initializer_list<PyMethodDef> more) {
        auto* all = new std::vector<PyMethodDef>{
            {"get", method<map_get>(), kNamed, "get($self, key, /, default=None)\n--\n\n"},
            {"swap", method<map_swap>(), kNamed, "swap($self, key, value, /, default=None)\n--\n\n"},
            {"pop", method<map_pop>(), kNamed, "pop($self, key, /, default=...)\n--\n\n"},  // ...: none
            {"popitem", method<map_popitem>(), METH_NOARGS, "popitem($self, /)\n--\n\n"},
            {"setdefault", method<map_setdefault>(), kNamed,
             "setdefault($self, key, /, default=None)\n--\n\n"},
            {"compare_and_swap", method<map_compare_and_swap>(), kNamed,
             "compare_and_swap($self, key, expected, new, /, *, equal=None)\n--\n\n"},
            {"compare_and_delete", method<map_compare_and_delete>(), kNamed,
             "compare_and_delete($self, key, expected, /, *, equal=None)\n--\n\n"},
            {"compute", method<map_compute>(), kNamed,
             "compute($self, key, fn, /, default=None, *, timeout=None)\n--\n\n"},
            {"compute_if_absent", method<map_compute_if_absent>(), kNamed,
             "compute_if_absent($self, key, fn, /, *, timeout=None)\n--\n\n"},
            {"compute_if_present", method<map_compute_if_present>(), kNamed,
             "compute_if_present($self, key, fn, /, *, timeout=None)\n--\n\n"},
            {"merge", method<map_merge>(), kNamed,
             "merge($self, key, value, fn, /, *, timeout=None)\n--\n\n"},
            {"add", method<map_add>(), kNamed, "add($self, key, /, delta=1, initial=0)\n--\n\n"},
            {"get_many", method<map_get_many>(), kNamed, "get_many($self, keys, /, default=None)\n--\n\n"},
            {"set_many", method<map_set_many>(), kNamed, "set_many($self, keys, values, /)\n--\n\n"},
            {"delete_many", method<map_delete_many>(), METH_O, "delete_many($self, keys, /)\n--\n\n"},
            {"count_many", method<map_count_many>(), kNamed, "count_many($self, keys, /, delta=1)\n--\n\n"},
            {"clear", method<map_clear>(), METH_NOARGS, "clear($self, /)\n--\n\n"},
            {"drain", method<map_drain>(), METH_NOARGS, "drain($self, /)\n--\n\n"},
            {"snapshot", method<map_snapshot>(), METH_NOARGS, "snapshot($self, /)\n--\n\n"},
            {"check", method<map_check>(), METH_NOARGS,
             "check($self, /)\n--\n\nAssert the invariants; no other thread may write meanwhile."},
            {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS,
             "__class_getitem__($type, item, /)\n--\n\n"},
            {"_entries", method<map_entries>(), METH_NOARGS,
             "_entries($self, /)\n--\n\nThe entries, as iteration sees them."},
            {"_count_references", method<map_count_references>(), METH_NOARGS,
             "_count_references($self, /)\n--\n\nNever defer reference counting; see the class method "
             "counted()."},
        };
        all->insert(all->end(), more);
        all->push_back({nullptr, nullptr, 0, nullptr});
        return all->data();
    }

    /// Adds the type, `threadproof._core.NAME`, and that of its iterators.
    static bool add(PyObject* module, const char* name, const char* iterator_name, const char* doc,
                    std::initializer_list<PyMethodDef> more) {
        PyMethodDef* all = methods(more);
        PyType_Slot slots[] = {
            {Py_tp_doc, const_cast<char*>(doc)},
            {Py_tp_new, slot<map_new>()},
            {Py_tp_dealloc, reinterpret_cast<void*>(map_dealloc)},
            {Py_tp_traverse, reinterpret_cast<void*>(map_traverse)},
            {Py_tp_clear, reinterpret_cast<void*>(map_tp_clear)},
            {Py_tp_iter, slot<map_iter>()},
            {Py_tp_hash, reinterpret_cast<void*>(PyObject_HashNotImplemented)},
            {Py_mp_subscript, slot<map_subscript>()},
            {Py_mp_ass_subscript, slot<map_ass_subscript>()},
            {Py_mp_length, slot<map_length>()},
            {Py_sq_contains, slot<map_contains>()},
            {Py_tp_methods, all},
            {0, nullptr},
        };
        PyType_Spec spec = {
            .name = name,
            .basicsize = sizeof(MapObject),
            .itemsize = 0,
            .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
            .slots = slots,
        };
        PyType_Slot iterator_slots[] = {
            {Py_tp_dealloc, reinterpret_cast<void*>(iterator_dealloc)},
            {Py_tp_traverse, reinterpret_cast<void*>(iterator_traverse)},
            {Py_tp_clear, reinterpret_cast<void*>(iterator_clear)},
            {Py_tp_iter, reinterpret_cast<void*>(PyObject_SelfIter)},
            {Py_tp_iternext, slot<iterator_next>()},
            {0, nullptr},
        };
        PyType_Spec iterator_spec = {
            .name = iterator_name,
            .basicsize = sizeof(IteratorObject),
            .itemsize = 0,
            .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE
                     | Py_TPFLAGS_DISALLOW_INSTANTIATION,
            .slots = iterator_slots,
        };
        iterator_type =
            reinterpret_cast<PyTypeObject*>(PyType_FromModuleAndSpec(module, &iterator_spec, nullptr));
        map_type = iterator_type ? add_native_map(module, &spec, all) : nullptr;
        return map_type;
    }
};

}  // namespace threadproof::ext
