/// TabledMap: chains in dicts, each under its own lock. LockedMap has one dict, ShardedMap has many.
///
/// A lock is held for one look at a dict, or for one change. The dicts' keys are plain ints, and what is taken
/// out of a dict has another owner meanwhile, so no user code runs under a lock, not even a finalizer: nothing
/// that the collector follows is allocated there. A thread that holds a lock never waits, so there is no cycle;
/// and a forked child takes over the locks of threads that are not there.
///
/// Field                   | written              | read
/// ------------------------|----------------------|--------------------
/// home, bits, shards      | when made            | plain
/// shard.chains            | under all locks      | under its lock
/// shard.size, .contended  | under its lock       | under its lock
/// shard.hint              | under its lock       | under its lock
#include "ext/maps/tabled_map.hpp"

#include <bit>
#include <memory>
#include <mutex>
#include <vector>

#include "core/base/locks.hpp"
#include "core/base/memory.hpp"
#include "ext/maps/chain_map.hpp"
#include "ext/probe/structures.hpp"
#include "ext/python/types.hpp"

namespace threadproof::ext {
namespace {

PyTypeObject* iterator_type;

/// The word of a chain that a dict has as a value.
Word word_of(PyObject* chain) {
    return reinterpret_cast<Word>(chain) | (PyTuple_CheckExact(chain) ? NodePolicy::kSeveral : 0);
}

struct alignas(kCacheLine) Shard {
    Ref chains;                   ///< a dict: hash -> chain
    std::int64_t size = 0;        ///< entries with a value
    std::uint64_t contended = 0;  ///< how often the lock was found taken
    Py_ssize_t hint = 0;          ///< where some_chain() found the last one
    PatientLock mutex;

    void lock() {
        if (mutex.try_lock()) return;
        mutex.lock();
        ++contended;
    }
    void unlock() { mutex.unlock(); }

    /// The chain's object, borrowed, or null. Throws.
    PyObject* find(PyObject* code) {
        PyObject* chain = PyDict_GetItemWithError(chains.get(), code);
        if (!chain && PyErr_Occurred()) throw PythonError{};
        return chain;
    }
    template <class Visit>
    void each(Visit visit) {
        PyObject *code, *chain;
        for (Py_ssize_t position = 0; PyDict_Next(chains.get(), &position, &code, &chain);)
            visit(word_of(chain));
    }
};

struct TabledMapObject {
    PyObject_HEAD ComputationList computations;
    std::uint64_t home;
    unsigned bits;  ///< of a spread hash, which choose the shard
    std::size_t count;
    Shard* shards;

    PyObject* object() { return reinterpret_cast<PyObject*>(this); }
    Shard& shard(std::uint64_t hash) {
        // 2^64 / the golden ratio: multiples of it spread evenly (Knuth, TAOCP 3, 6.4)
        return shards[bits ? hash * 0x9e3779b97f4a7c15 >> (64 - bits) : 0];
    }

    // ---- as a Store of chain_map.hpp

    Owned chain_of(std::uint64_t hash) {
        Ref code = Ref::steal(checked(PyLong_FromSsize_t(static_cast<Py_ssize_t>(hash))));
        Shard& shard = this->shard(hash);
        std::lock_guard hold(shard);
        PyObject* chain = shard.find(code.get());
        return chain ? Owned::share(word_of(chain)) : Owned();
    }

    bool replace(std::uint64_t hash, Word seen, Word next, std::int64_t growth) {
        Ref code = Ref::steal(checked(PyLong_FromSsize_t(static_cast<Py_ssize_t>(hash))));
        Shard& shard = this->shard(hash);
        std::lock_guard hold(shard);
        PyObject* there = shard.find(code.get());
        if ((there ? word_of(there) : 0) != seen) return false;  // the caller owns what it has seen
        int failed = 0;
        if (stress::starve()) throw std::bad_alloc();
        if (next) failed = PyDict_SetItem(shard.chains.get(), code.get(), NodePolicy::object(next));
        else if (seen) failed = PyDict_DelItem(shard.chains.get(), code.get());
        if (failed < 0) throw PythonError{};
        shard.size += growth;
        return true;
    }

    /// All chains, taken out of the map.
    struct Detached {
        std::vector<Owned> words;
        std::vector<Ref> dicts;
        std::vector<std::int64_t> sizes;

        template <class Visit>
        void each(Visit visit) {
            for (const Owned& each : words) visit(each.word());
        }
        void retire() {
            words.clear();
            dicts.clear();
        }
    };
    bool detach(Detached& taken, bool refusing);
    bool reattach(Detached& taken);

    /// Calls act() with all locks held and all words in the vector, which is made as big as that takes.
    template <class Act>
    void with_all(std::vector<Owned>& words, Act act);

    int traverse(visitproc visit, void* arg) noexcept {
        for (std::size_t i = 0; i < count; ++i) Py_VISIT(shards[i].chains.get());
        return 0;
    }
    void clear() noexcept {
        for (std::size_t i = 0; i < count; ++i) {
            shards[i].size = 0;
            PyDict_Clear(shards[i].chains.get());
        }
    }
    void destroy() noexcept {
        count = 0;
        delete[] std::exchange(shards, nullptr);
    }
};

/// Holds all locks.
class AllLocks {
 public:
    explicit AllLocks(TabledMapObject& map) : map_(map) {
        for (std::size_t i = 0; i < map_.count; ++i) map_.shards[i].lock();
    }
    ~AllLocks() {
        for (std::size_t i = map_.count; i-- > 0;) map_.shards[i].unlock();
    }
    AllLocks(const AllLocks&) = delete;
    AllLocks& operator=(const AllLocks&) = delete;

 private:
    TabledMapObject& map_;
};

template <class Act>
void TabledMapObject::with_all(std::vector<Owned>& words, Act act) {
    for (std::size_t room = 16;; room += room / 8 + 16) {  // more may come before all locks are held again
        words.reserve(room);
        AllLocks hold(*this);
        room = 0;
        for (std::size_t i = 0; i < count; ++i)
            room += static_cast<std::size_t>(PyDict_Size(shards[i].chains.get()));
        if (room > words.capacity()) continue;
        for (std::size_t i = 0; i < count; ++i)
            shards[i].each([&](Word word) { words.push_back(Owned::share(word)); });
        return act();
    }
}

bool TabledMapObject::detach(Detached& taken, bool refusing) {
    std::vector<Ref> fresh;
    for (std::size_t i = 0; i < count; ++i) fresh.push_back(Ref::steal(checked(PyDict_New())));
    taken.sizes.resize(count);
    bool refused = false;
    with_all(taken.words, [&] {
        for (const Owned& word : taken.words)
            refused = refused || (refusing && any_running(word.word(), home));
        if (refused) return;
        for (std::size_t i = 0; i < count; ++i) {
            std::swap(shards[i].chains, fresh[i]);
            taken.sizes[i] = std::exchange(shards[i].size, 0);
        }
    });
    if (!refused) taken.dicts = std::move(fresh);
    return !refused;
}

bool TabledMapObject::reattach(Detached& taken) {
    AllLocks hold(*this);
    for (std::size_t i = 0; i < count; ++i)
        if (PyDict_Size(shards[i].chains.get()) > 0) return false;
    for (std::size_t i = 0; i < count; ++i) {
        std::swap(shards[i].chains, taken.dicts[i]);
        shards[i].size = taken.sizes[i];
    }
    return true;
}

// ---- iterating

/// An iteration over the chains of one instant. Threads may share it; each gets other entries.
struct ChainIterator {
    PyObject_HEAD std::vector<Owned>* words;
    PatientLock lock;  ///< guards what follows; held for a few steps that call nothing
    std::size_t next;  ///< the chains before this one have been yielded
    Py_ssize_t place;  ///< and the entries before this one of that

    int traverse(visitproc visit, void* arg) noexcept {
        if (!words) return 0;
        for (const Owned& each : *words) Py_VISIT(NodePolicy::object(each.word()));
        return 0;
    }
    void clear() noexcept { delete std::exchange(words, nullptr); }
    void destroy() noexcept { clear(); }
};

/// The next entry with a value, for the caller; none at the end. The words go to *done then.
Owned advance(ChainIterator& it, std::unique_ptr<std::vector<Owned>>* done) {
    std::lock_guard hold(it.lock);
    for (; it.words && it.next < it.words->size(); ++it.next, it.place = 0) {
        Chain chain((*it.words)[it.next].word());
        while (it.place < chain.size()) {
            EntryObject* entry = chain[it.place++];
            if (entry->value) return Owned::share(reinterpret_cast<Word>(entry));
        }
    }
    done->reset(std::exchange(it.words, nullptr));
    return Owned();
}

PyObject* iterator_next(ChainIterator& it) {
    std::unique_ptr<std::vector<Owned>> done;
    Owned owned = advance(it, &done);
    if (!owned) return nullptr;
    EntryObject* entry = NodePolicy::entry_object(owned.word());
    return checked(PyTuple_Pack(2, PythonPolicy::object(entry->key), value_of(entry)));
}

PyObject* map_entries(TabledMapObject& self, PyObject*) {
    auto words = std::make_unique<std::vector<Owned>>();
    self.with_all(*words, [] {});
    if (probe::map_is_watched()) probe::read_map(self.object());  // iteration sees the map as it is now
    PyObject* object = checked(iterator_type->tp_alloc(iterator_type, 0));
    auto* iterator = reinterpret_cast<ChainIterator*>(object);
    new (&iterator->lock) PatientLock;
    iterator->words = words.release();
    return object;
}

// ---- the methods that ChainedMap is made of

PyObject* map_chain(TabledMapObject& self, PyObject* code) {
    return Chain(self.chain_of(hash_from(code)).word()).tuple();
}

PyObject* map_put(TabledMapObject& self, PyObject* const* arguments, Py_ssize_t count) {
    check_count("_put", count, 4);
    auto growth = static_cast<std::int64_t>(hash_from(arguments[3]));
    return PyBool_FromLong(
        self.replace(hash_from(arguments[0]), word_from(arguments[1]), word_from(arguments[2]), growth));
}

PyObject* map_all_chains(TabledMapObject& self, PyObject*) {
    std::vector<Owned> words;
    self.with_all(words, [] {});
    Ref list = Ref::steal(checked(PyList_New(0)));
    for (const Owned& each : words) {
        Ref chain = Ref::steal(checked(Chain(each.word()).tuple()));
        if (PyList_Append(list.get(), chain.get()) < 0) throw PythonError{};
    }
    return list.release();
}

/// Looks behind the last one first: popping all entries, each from a dict's beginning, would take quadratic
/// time, because dicts keep the places of removed keys.
Owned some_chain(Shard& shard) {
    std::lock_guard hold(shard);
    PyObject *code, *chain;
    for (Py_ssize_t from : {shard.hint, Py_ssize_t{0}}) {
        Py_ssize_t position = from;
        if (!PyDict_Next(shard.chains.get(), &position, &code, &chain)) continue;
        shard.hint = position - 1;
        return Owned::share(word_of(chain));
    }
    return Owned();
}

PyObject* map_some_chain(TabledMapObject& self, PyObject*) {
    Owned found;
    for (std::size_t i = 0; i < self.count && !found; ++i) found = some_chain(self.shards[i]);
    return Chain(found.word()).tuple();
}

Py_ssize_t map_length(TabledMapObject& self) {
    std::int64_t size = 0;
    {
        AllLocks hold(self);
        for (std::size_t i = 0; i < self.count; ++i) size += self.shards[i].size;
    }
    if (probe::map_is_watched()) probe::read_map(self.object());
    return static_cast<Py_ssize_t>(size);
}

/// Bytes of a dict, which other threads may change meanwhile.
std::int64_t bytes_of(PyObject* dict) {
    Ref bytes = Ref::steal(checked(PyObject_CallMethod(dict, "__sizeof__", nullptr)));
    return PyLong_AsLongLong(bytes.get());
}

PyObject* map_stats(TabledMapObject& self, PyObject*) {
    std::vector<std::int64_t> sizes(self.count);
    std::vector<Ref> dicts(self.count);
    std::int64_t hashes = 0, contended = 0, bytes = static_cast<std::int64_t>(self.count * sizeof(Shard));
    {
        AllLocks hold(self);
        for (std::size_t i = 0; i < self.count; ++i) {
            sizes[i] = self.shards[i].size;
            contended += static_cast<std::int64_t>(self.shards[i].contended);
            dicts[i] = Ref::borrow(self.shards[i].chains.get());
            hashes += PyDict_Size(dicts[i].get());
        }
    }
    Ref all = Ref::steal(checked(PyTuple_New(static_cast<Py_ssize_t>(self.count))));
    for (std::size_t i = 0; i < self.count; ++i) {
        PyTuple_SET_ITEM(all.get(), static_cast<Py_ssize_t>(i), checked(PyLong_FromLongLong(sizes[i])));
        bytes += bytes_of(dicts[i].get());
    }
    return checked(Py_BuildValue("(OLLL)", all.get(), static_cast<long long>(hashes),
                                 static_cast<long long>(contended), static_cast<long long>(bytes)));
}

// ---- the types

/// The attribute `shards` of the class is their number.
std::size_t shards_of(PyTypeObject* type) {
    Ref wanted = Ref::steal(checked(PyObject_GetAttrString(reinterpret_cast<PyObject*>(type), "shards")));
    std::size_t count = PyLong_AsSize_t(wanted.get());
    if (PyErr_Occurred()) throw PythonError{};
    if (std::has_single_bit(count)) return count;
    PyErr_Format(PyExc_ValueError, "%s.shards must be a power of two, got %R", type->tp_name, wanted.get());
    throw PythonError{};
}

PyObject* map_new(PyTypeObject* type, PyObject*, PyObject*) {
    std::size_t count = shards_of(type);
    Ref self = Ref::steal(checked(type->tp_alloc(type, 0)));
    auto* map = reinterpret_cast<TabledMapObject*>(self.get());
    auto shards = std::make_unique<Shard[]>(count);
    for (std::size_t i = 0; i < count; ++i) shards[i].chains = Ref::steal(checked(PyDict_New()));
    map->home = new_home();
    map->bits = static_cast<unsigned>(std::bit_width(count) - 1);
    map->shards = shards.release();
    map->count = count;
    return self.release();
}

PyMethodDef map_methods[] = {
    {"clear", method<chain_clear<TabledMapObject>>(), METH_NOARGS,
     "clear($self, /)\n--\n\nAs the contract has it."},
    {"drain", method<chain_drain<TabledMapObject>>(), METH_NOARGS,
     "drain($self, /)\n--\n\nAs the contract has it."},
    {"_entries", method<map_entries>(), METH_NOARGS,
     "_entries($self, /)\n--\n\nThe entries, as iteration sees them."},
    {"_chain", method<map_chain>(), METH_O,
     "_chain($self, code, /)\n--\n\nThe chain of a hash; () if there is none."},
    {"_put", method<map_put>(), METH_FASTCALL,
     "_put($self, code, seen, chain, growth, /)\n--\n\nPut `chain`, with `growth` more values, in the place "
     "of `seen`; return whether `seen` was still there.\n\n() is no chain."},
    {"_all_chains", method<map_all_chains>(), METH_NOARGS,
     "_all_chains($self, /)\n--\n\nAll chains at one instant."},
    {"_some_chain", method<map_some_chain>(), METH_NOARGS,
     "_some_chain($self, /)\n--\n\nSome chain; () if there is none."},
    {"_compute", method<chain_compute<TabledMapObject>>(), METH_FASTCALL,
     "_compute($self, key, step, timeout, /)\n--\n\n"},
    {"_running", method<chain_running<TabledMapObject>>(), METH_O, "_running($self, entry, /)\n--\n\n"},
    {"_computations", method<chain_computations<TabledMapObject>>(), METH_NOARGS,
     "_computations($self, /)\n--\n\nThe running computations: (key, thread, seconds) for each."},
    {"_stats", method<map_stats>(), METH_NOARGS,
     "_stats($self, /)\n--\n\nThe sizes of the shards, and how many hashes, waits for locks and bytes there "
     "are."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "__class_getitem__($type, item, /)\n--\n\n"},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

void add_tabled_map(PyObject* module) {
    iterator_type = TypeBuilder<ChainIterator>("threadproof._core.ChainIterator", nullptr)
                        .not_callable()
                        .with_cpython(Py_tp_iter, PyObject_SelfIter)
                        .with<iterator_next>(Py_tp_iternext)
                        .make(module);
    TypeBuilder<TabledMapObject>("threadproof._core.TabledMap",
                                 "The native base of threadproof.maps.LockedMap and ShardedMap, where the "
                                 "methods are explained.")
        .subclassable()
        .with<map_new>(Py_tp_new)
        .with_cpython(Py_tp_hash, PyObject_HashNotImplemented)
        .with<map_length>(Py_mp_length)
        .methods(map_methods)
        .add_to(module);
}

}  // namespace threadproof::ext
