/// Maps of chains: the steps during which a key is reserved, or entries are in no map, for every map that
/// stores chains. They are native because in Python an interrupt can come between any two instructions, also
/// inside `finally`, and would leave a key reserved for good, or lose entries.
///
/// A Store is a Python object that has
///
///     ComputationList computations             those that are running
///     std::uint64_t home                       a number of its own, by which it knows its reservations
///     Owned chain_of(hash)                     the word of the chain of a hash
///     bool replace(hash, seen, next, growth)   puts `next` in the place of exactly `seen`; throws bad_alloc
///     using Detached                           all chains, taken out of the map; it has
///         each(visit)                              calls visit(word) for each
///         retire()                                 the chains are needed no more
///     bool detach(Detached&, bool refusing)    takes all chains out in one atomic step; false, and nothing
///                                              has changed, if refusing and a computation is running there
///     bool reattach(Detached&)                 puts them back in one step, if the map is still empty
///
/// A computation's reservation is in the key's entry. One that is over counts as none: then no thread of this
/// process will store its result, for want of memory or because its thread stayed behind in a fork.
#pragma once

#include <utility>

#include "ext/maps/computation_list.hpp"
#include "ext/maps/contract.hpp"
#include "ext/maps/trie.hpp"
#include "ext/maps/values.hpp"
#include "ext/probe/structures.hpp"
#include "ext/python/arguments.hpp"

namespace threadproof::ext {

/// A new number for a map: never 0.
inline std::uint64_t new_home() {
    static std::atomic<std::uint64_t> last{0};
    return last.fetch_add(1, std::memory_order_relaxed) + 1;  // relaxed: only has to be new
}

/// The reservation in an entry of a map, also when it is over; null for one of another map, of which this is a
/// copy.
inline Reservation* reservation_in(const EntryObject* entry, std::uint64_t home) {
    auto* reservation = reinterpret_cast<Reservation*>(entry ? entry->computation : nullptr);
    // relaxed: only whether it is this map's
    return reservation && reservation->home.load(std::memory_order_relaxed) == home ? reservation : nullptr;
}

/// The reservation that writers of the entry have to wait for, or null.
inline Reservation* running_in(const EntryObject* entry, std::uint64_t home) {
    Reservation* reservation = reservation_in(entry, home);
    return reservation && !reservation->over() ? reservation : nullptr;
}

inline PyObject* value_of(const EntryObject* entry) {
    return entry && entry->value ? NodePolicy::object(entry->value) : nullptr;
}

/// Whether a computation is running at an entry of a chain.
inline bool any_running(Word word, std::uint64_t home) {
    Chain chain(word);
    for (Py_ssize_t i = 0; i < chain.size(); ++i)
        if (running_in(chain[i], home)) return true;
    return false;
}

/// Stores the result of a settled reservation in the entry that has it. There is none after clear() or drain().
/// Two threads may do it. Throws bad_alloc; then the entry keeps the old value, and the reservation, which is
/// over soon.
template <class Store>
void store_result(Store& store, std::uint64_t hash, Reservation* reservation) {
    for (;;) {
        Owned seen = store.chain_of(hash);
        Chain chain(seen.word());
        EntryObject* entry = nullptr;
        for (Py_ssize_t i = 0; i < chain.size() && !entry; ++i)
            if (chain[i]->computation == reservation->object()) entry = chain[i];
        if (!entry) return;
        PyObject* value = reservation->result;
        Owned fresh = value ? make_entry(entry->hash, entry->key, value) : Owned();
        Owned next = chain.with(entry, NodePolicy::entry_object(fresh.word()));
        std::int64_t growth = (value != nullptr) - (value_of(entry) != nullptr);
        if (store.replace(hash, seen.word(), next.word(), growth)) return;
    }
}

/// One computation of the calling thread. Its reservation is in the map from place() to settle(), unless
/// clear() or drain() take it away.
template <class Store>
class ChainComputation {
 public:
    ChainComputation(Store& store, const PythonPolicy::Lookup& lookup, PyObject* key)
        : store_(store), lookup_(lookup), reservation_(Reservation::make(key)) {
        reservation_->home.store(store.home, std::memory_order_relaxed);  // relaxed: published with the entry
        store.computations.begin(reservation_);
    }
    /// Without settle(), the old value stays.
    ~ChainComputation() {
        if (placed_) put_old_back();
        reservation_->end();
        store_.computations.end(reservation_);
        drop_reference(reservation_->object());
    }
    ChainComputation(const ChainComputation&) = delete;
    ChainComputation& operator=(const ChainComputation&) = delete;

    /// Reserves the key, after waiting for another computation there.
    void place(const Deadline& deadline) {
        while (!placed_) {
            Owned seen = store_.chain_of(lookup_.hash);
            Chain chain(seen.word());
            EntryObject* entry = chain.find(lookup_);
            if (Reservation* running = running_in(entry, store_.home)) {
                running->wait(deadline);  // `seen` has a reference to it
                continue;
            }
            old_ = Ref::borrow(value_of(entry));
            Owned fresh =
                make_entry(static_cast<Py_hash_t>(lookup_.hash), value_of(entry) ? entry->key : lookup_.word,
                           old_.get(), reservation_->object());
            Owned next = chain.with(entry, NodePolicy::entry_object(fresh.word()));
            placed_ = store_.replace(lookup_.hash, seen.word(), next.word(), 0);
        }
    }

    PyObject* old_value() const { return old_.get(); }

    /// Stores the result. Throws when there is no memory: then the old value stays, in an entry without a computation.
    void settle(Ref result) {
        placed_ = false;
        reservation_->settle(result.release());
        try {
            store_result(store_, lookup_.hash, reservation_);
        } catch (...) {                                              // no memory
            reservation_->home.store(0, std::memory_order_relaxed);  // relaxed: published by end()
            throw;
        }
    }

 private:
    /// The exception that is set comes out of the call.
    void put_old_back() noexcept {
        Raised raised;
        raised.fetch();
        try {
            settle(Ref::borrow(old_.get()));
        } catch (const std::bad_alloc&) {  // the entry has the old value
        } catch (const PythonError&) {     // the same
        }
        raised.restore();
    }

    Store& store_;
    const PythonPolicy::Lookup lookup_;
    Reservation* reservation_;
    Ref old_;
    bool placed_ = false;
};

/// Steps of Python: with the key reserved, stores step(old), or removes the key for REMOVE; MISSING stands for
/// no value. Returns the value that is there afterwards.
template <class Store>
PyObject* chain_compute(Store& self, PyObject* const* arguments, Py_ssize_t count) {
    check_count("_compute", count, 3);
    PyObject *key = arguments[0], *step = arguments[1];
    Deadline deadline = Deadline::after(self.object(), "compute", arguments[2]);
    PythonPolicy::Lookup lookup(key);
    ChainComputation<Store> computation(self, lookup, key);
    computation.place(deadline);
    PyObject* old = computation.old_value();
    if (probe::map_is_watched()) probe::begin_computation(self.object(), key);
    PyObject* returned = call(step, old ? old : missing_value());
    // also where it has raised: the next computation of the key comes after this one
    if (probe::map_is_watched()) probe::end_computation(self.object(), key, old != nullptr);
    Ref result = checked_result(returned);
    if (result.get() == remove_sentinel || result.get() == missing_value()) result = Ref();
    computation.settle(Ref::borrow(result.get()));
    return result ? result.release() : Py_NewRef(missing_value());
}

// ---- drain

template <class Visit>
void each_entry(Word word, Visit visit) {
    Chain chain(word);
    for (Py_ssize_t i = 0; i < chain.size(); ++i) visit(chain[i]);
}

/// Puts one chain back, without the entries whose keys have a value by now. Throws.
template <class Store>
void put_chain_back(Store& store, Word word) {
    const auto hash = static_cast<std::uint64_t>(Chain(word)[0]->hash);
    for (;;) {
        Owned seen = store.chain_of(hash), next = Owned::share(seen.word());
        std::int64_t growth = 0;
        if (!seen) {
            next = Owned::share(word);
            each_entry(word, [&](EntryObject* entry) { growth += value_of(entry) != nullptr; });
        } else {
            each_entry(word, [&](EntryObject* entry) {
                PythonPolicy::Lookup lookup(hash, entry->key);
                if (Chain(seen.word()).find(lookup)) return;
                next = Chain(next.word()).with(nullptr, entry);
                growth += value_of(entry) != nullptr;
            });
        }
        if (store.replace(hash, seen.word(), next.word(), growth)) return;
    }
}

/// After a drain that has failed: stores what it took again, at the keys that are absent by now. Computations
/// that are running continue. A key that cannot be compared with a newer one of the same hash is reported as
/// unraisable, and lost. Throws again what the failure was.
template <class Store>
[[noreturn]] void undo_drain(Store& store, typename Store::Detached& taken) {
    Raised raised;
    raised.fetch();
    auto report = [](Word word, auto step) {
        try {
            step();
        } catch (const PythonError&) {
            PyErr_WriteUnraisable(PythonPolicy::object(Chain(word)[0]->key));
        } catch (const std::bad_alloc&) {
            PyErr_NoMemory();
            PyErr_WriteUnraisable(PythonPolicy::object(Chain(word)[0]->key));
        }
    };
    if (!store.reattach(taken))
        taken.each([&](Word word) { report(word, [&] { put_chain_back(store, word); }); });
    taken.each([&](Word word) {
        each_entry(word, [&](EntryObject* entry) {
            Reservation* reservation = reservation_in(entry, store.home);
            if (reservation && reservation->is_settled())
                report(word,
                       [&] { store_result(store, static_cast<std::uint64_t>(entry->hash), reservation); });
        });
    });
    taken.retire();
    raised.rethrow();
    throw PythonError{};  // not reached: there was an error
}

/// Adds an entry of a drained chain to a dict: with its value, or the result of the computation there, after
/// waiting for it. Throws.
inline void add_outcome(PyObject* dict, EntryObject* entry, std::uint64_t home) {
    Ref value = Ref::borrow(value_of(entry));
    if (Reservation* reservation = reservation_in(entry, home)) {
        reservation->wait(Deadline());
        // acquire: pairs with the release in settle(); makes the result visible
        if (reservation_in(entry, home) && reservation->settled.load(std::memory_order_acquire))
            value = Ref::borrow(reservation->result);
    }
    if (value && PyDict_SetItem(dict, PythonPolicy::object(entry->key), value.get()) < 0) throw PythonError{};
}

template <class Store>
PyObject* chain_drain(Store& self, PyObject*) {
    Ref dict = Ref::steal(checked(PyDict_New()));
    typename Store::Detached taken;
    if (probe::map_is_watched()) probe::change_map(self.object());
    if (!self.detach(taken, holds_reservation())) {
        Ref name = type_name(self.object());
        PyErr_Format(deadlock_error(),
                     "%U.drain() inside a computation could wait for itself, as this map has computations "
                     "running; drain after fn has returned",
                     name.get());
        throw PythonError{};
    }
    try {
        taken.each([&](Word word) {
            each_entry(word, [&](EntryObject* entry) { add_outcome(dict.get(), entry, self.home); });
        });
    } catch (const PythonError&) {
        undo_drain(self, taken);
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
        undo_drain(self, taken);
    }
    if (probe::map_is_watched()) probe::read_map(self.object());
    taken.retire();
    return dict.release();
}

template <class Store>
PyObject* chain_computations(Store& self, PyObject*) {
    return self.computations.describe();
}

template <class Store>
PyObject* chain_clear(Store& self, PyObject*) {
    typename Store::Detached taken;
    if (probe::map_is_watched()) probe::change_map(self.object());
    self.detach(taken, false);
    taken.retire();
    Py_RETURN_NONE;
}

/// The computation at an entry that writers have to wait for, or None.
template <class Store>
PyObject* chain_running(Store& self, PyObject* entry) {
    Reservation* running = running_in(entry_from(entry), self.home);
    return Py_NewRef(running ? running->object() : Py_None);
}

}  // namespace threadproof::ext
