/// CacheLoads: the loads of a cache that threads run, each one of a missing key. The native part of
/// threadproof.maps.cache_loads.Loads, which has the loads of tasks, of many keys, and again.
///
/// All loads of a cache are in one HashMap, `running`: a thread's load as its Reservation, and those of Python's as a
/// Load. The thread that puts its reservation there reserves the key in the cache with the same one, calls the
/// loader, decides whether the value is stored, stores it, and takes the reservation out again. A thread or a task
/// that finds the reservation attaches a Load of Python's to it, which gets the outcome. Nearly always there is none.
#pragma once

#include <time.h>

#include <atomic>
#include <cstdint>

#include "core/maps/hash_map/map.hpp"
#include "ext/maps/cache.hpp"
#include "ext/maps/native_map/compute.hpp"

namespace threadproof::ext {

struct CacheLoads {
    using Running = MapObject<HashMap<PythonPolicy>>;
    static constexpr bool kPostpones = true;  ///< listeners of the cache
    static inline PyTypeObject* type;

    PyObject_HEAD PyObject* running;  ///< a HashMap: key -> Reservation or Load
    std::atomic<std::uint64_t> loaded, failed, nanoseconds;

    Running& running_loads() { return *reinterpret_cast<Running*>(running); }

    /// One call of a loader has ended.
    void count(bool failure, std::uint64_t took) {
        (failure ? failed : loaded).fetch_add(1, std::memory_order_relaxed);
        nanoseconds.fetch_add(took, std::memory_order_relaxed);
    }

    int traverse(visitproc visit, void* arg) noexcept {
        Py_VISIT(running);
        return 0;
    }
    void destroy() noexcept { Py_XDECREF(running); }
};

/// One load of the calling thread's, which is in `running` until succeed() or fail().
class RunningLoad {
 public:
    RunningLoad(CacheLoads& loads, const Lookup& lookup, Reservation* reservation)
        : running_(loads.running_loads()), hash_(lookup.hash), reservation_(reservation) {
        running_.share();
        if (map_is_watched()) about_to_change(running_.object());
        mine_ = put(lookup);
    }
    RunningLoad(const RunningLoad&) = delete;
    RunningLoad& operator=(const RunningLoad&) = delete;

    /// False: another load of the key is running.
    bool mine() const { return mine_; }

    /// The load is over: its follower gets the value. Throws.
    void succeed(PyObject* value) {
        take_out();
        if (Ref follower = reservation_->close()) send(follower.get(), "succeed", value);
    }
    /// The same with the exception that is set, and stays so.
    TP_COLD void fail() noexcept;

 private:
    bool put(const Lookup& lookup);
    void take_out() noexcept {
        if (map_is_watched()) about_to_change(running_.object());
        Word word = Policy::value(reservation_->object());
        // by identity: no comparison of the user's, and nothing that can fail
        if (std::exchange(mine_, false) && running_.core().replace_exact(hash_, 0, word, 0))
            release_value(word);
    }
    TP_COLD static void send(PyObject* follower, const char* method, PyObject* outcome);

    CacheLoads::Running& running_;
    const std::uint64_t hash_;
    Reservation* const reservation_;
    bool mine_ = false;
};

inline std::uint64_t load_clock() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

/// Loads a key that this thread has reserved, or finds the value that another has stored meanwhile. Throws.
template <class Loader>
Ref load_reserved(CacheLoads& loads, MapObject<CacheOfPython>& cache, const Lookup& lookup,
                  Computation<CacheOfPython>& computation, const Deadline& deadline, Loader& loader) {
    PyObject* const key = computation.reservation()->key;
    if (map_is_watched()) about_to_change(cache.object());
    Ref present;
    if (!computation.place(When::kAbsent, deadline, &present)) {
        if (map_is_watched()) read_key(cache.object(), key, Use::kAtomic, true);
        return present;
    }
    const std::uint64_t begun = load_clock();
    auto step = [&](PyObject*) { return loader(); };
    PyObject* returned = run_published(cache, key, nullptr, step);
    loads.count(!returned, load_clock() - begun);
    Ref value = checked_result(returned);
    if (!computation.reservation()->decide() || value.get() == remove_sentinel) {
        computation.settle(Ref());
        return value.get() == remove_sentinel ? Ref::borrow(Py_None) : std::move(value);
    }
    [[maybe_unused]] auto weighing = cache.weigh(lookup, value.get());
    computation.settle(Ref::borrow(value.get()));
    return value;
}

/// The value of a missing key: loader() is called, unless another thread has stored one; null: another thread or task
/// is loading it. Throws.
template <class Loader>
Ref load_missing(CacheLoads& loads, MapObject<CacheOfPython>& cache, const Lookup& lookup, PyObject* key,
                 const Deadline& deadline, Loader loader) {
    Computation<CacheOfPython> computation(cache, lookup, key);
    RunningLoad load(loads, lookup, computation.reservation());
    if (!load.mine()) return Ref();
    try {
        Ref value = load_reserved(loads, cache, lookup, computation, deadline, loader);
        load.succeed(value.get());
        return value;
    } catch (...) {
        set_python_error();
        load.fail();
        throw PythonError{};
    }
}

/// Adds the type to the module. Throws.
void add_cache_loads(PyObject* module);

}  // namespace threadproof::ext
