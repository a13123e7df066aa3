#include "ext/maps/cache_loads.hpp"

#include "ext/python/arguments.hpp"
#include "ext/python/types.hpp"

namespace threadproof::ext {

bool RunningLoad::put(const Lookup& lookup) {
    Word old = 0;
    bool busy = false;
    auto word_for = [&](Word current) -> Word {
        busy = current != 0;
        return busy ? 0 : Policy::value(Py_NewRef(reservation_->object()));
    };
    if (TP_LIKELY(running_.core().store(lookup, word_for, &old))) return true;
    if (busy) return false;
    Incoming fresh(reservation_->object());
    running_.change(lookup, [&](Word current) {
        busy = current != 0;
        return busy ? current : fresh.word();
    });
    if (!busy) fresh.release();
    return !busy;
}

void RunningLoad::send(PyObject* follower, const char* method, PyObject* outcome) {
    NextValue of_its_own;
    Postponed::Aside aside;
    Ref done = Ref::steal(checked(PyObject_CallMethod(follower, method, "O", outcome)));
}

void RunningLoad::fail() noexcept {
    Raised error;
    error.fetch();
    take_out();
    if (Ref follower = reservation_->close()) {
        try {
            send(follower.get(), "fail", error.get());
        } catch (...) {
            set_python_error();
            PyErr_WriteUnraisable(follower.get());
        }
    }
    error.restore();
}

namespace {

using Cache = MapObject<CacheOfPython>;

PyObject* loads_new(PyTypeObject* type, PyObject* positional, PyObject* named) {
    static const char* kNames[] = {"", nullptr};
    PyObject* running;
    if (!PyArg_ParseTupleAndKeywords(positional, named, "O!:CacheLoads", const_cast<char**>(kNames),
                                     CacheLoads::Running::type, &running))
        throw PythonError{};
    Ref self = Ref::steal(checked(type->tp_alloc(type, 0)));
    reinterpret_cast<CacheLoads*>(self.get())->running = Py_NewRef(running);
    return self.release();
}

PyObject* loads_load(CacheLoads& self, PyObject* const* given, Py_ssize_t count, PyObject* names) {
    Arguments<5> arguments("load", given, count, names, 5, 5, {"cache", "key", "loader", "busy", "timeout"});
    if (!PyObject_TypeCheck(arguments[0], Cache::type)) {
        PyErr_Format(PyExc_TypeError, "load() wants a Cache, got %R", arguments[0]);
        throw PythonError{};
    }
    auto& cache = *reinterpret_cast<Cache*>(arguments[0]);
    cache.share();
    PyObject *key = arguments[1], *loader = arguments[2];
    Deadline deadline = Deadline::after(cache.object(), "get_or_load", arguments[4]);
    Ref value = load_missing(self, cache, Lookup(key), key, deadline, [&] { return call(loader, key); });
    return value ? value.release() : Py_NewRef(arguments[3]);
}

PyObject* loads_count(CacheLoads& self, PyObject* arguments) {
    double seconds;
    int failure;
    if (!PyArg_ParseTuple(arguments, "dp:count", &seconds, &failure)) throw PythonError{};
    self.count(failure != 0, static_cast<std::uint64_t>(seconds * 1e9));
    Py_RETURN_NONE;
}

PyObject* loads_metrics(CacheLoads& self, PyObject*) {
    // relaxed, all: metrics
    return Py_BuildValue("(KKd)", self.loaded.load(std::memory_order_relaxed),
                         self.failed.load(std::memory_order_relaxed),
                         static_cast<double>(self.nanoseconds.load(std::memory_order_relaxed)) / 1e9);
}

const PyMethodDef kMethods[] = {
    {"load", method<loads_load>(), kNamed,
     "load($self, cache, key, loader, busy, timeout, /)\n--\n\nThe value of `key`: loader(key) is called and "
     "its result stored, unless there is one by now. `busy` if it is\nbeing loaded already."},
    {"count", method<loads_count>(), METH_VARARGS,
     "count($self, seconds, failed, /)\n--\n\nCount a call of a loader that Python has made."},
    {"metrics", method<loads_metrics>(), METH_NOARGS, "metrics($self, /)\n--\n\nLoads, failures, seconds."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

void add_cache_loads(PyObject* module) {
    CacheLoads::type =
        TypeBuilder<CacheLoads>("threadproof._core.CacheLoads",
                                "CacheLoads(running, /)\n--\n\nThe loads of a cache that threads run.")
            .with<loads_new>(Py_tp_new)
            .methods(kMethods)
            .add_to(module);
}

}  // namespace threadproof::ext
