/// CachedFunction: a function whose results are in a Cache. A hit makes the key of the arguments and reads the cache,
/// without a frame of Python's. So does a miss of a plain function, which is loaded here; another miss, and one that has
/// to wait for another thread's load, calls a function of Python's.
#include "ext/maps/cached_function.hpp"

#include "ext/maps/cache.hpp"
#include "ext/maps/cache_loads.hpp"
#include "ext/maps/native_map/map_object.hpp"
#include "ext/maps/native_map/watched.hpp"
#include "ext/python/arguments.hpp"

namespace threadproof::ext {
namespace {

using Cache = MapObject<CacheOfPython>;

struct CachedFunction {
    static constexpr bool kPostpones = Cache::kPostpones;

    PyObject_HEAD vectorcallfunc vectorcall;
    PyObject* attributes;  ///< its __dict__
    PyObject* weak_references;
    PyObject* cache;   ///< a Cache
    PyObject* miss;    ///< miss(key, args, kwargs) -> the result
    PyObject* key_of;  ///< key_of(*args, **kwargs) -> the key; null: the arguments are the key
    PyObject* mark;    ///< stands in a key between positional and keyword arguments
    PyObject* loads;   ///< the CacheLoads of the cache; null: each miss goes to `miss`
    PyObject* fn;      ///< the function
    bool typed;        ///< arguments of different types are different keys
    bool peeks;        ///< whether a hit needs no more than a read

    int traverse(visitproc visit, void* arg) noexcept {
        Py_VISIT(attributes);
        Py_VISIT(cache);
        Py_VISIT(miss);
        Py_VISIT(key_of);
        Py_VISIT(mark);
        Py_VISIT(loads);
        Py_VISIT(fn);
        return 0;
    }
    // No clear(): each cycle goes through an object that has one, and code that runs then may call this one.
    void destroy() noexcept {
        for (PyObject* mine : {attributes, cache, miss, key_of, mark, loads, fn}) Py_XDECREF(mine);
    }
};

/// The arguments of a call, as vectorcall has them.
struct Call {
    PyObject* const* arguments;
    Py_ssize_t count;  ///< of positional ones
    PyObject* names;   ///< of the rest; null: there are none

    Py_ssize_t named() const { return names ? PyTuple_GET_SIZE(names) : 0; }
    PyObject* name(Py_ssize_t i) const { return PyTuple_GET_ITEM(names, i); }
};

/// As functools.lru_cache: positional arguments; the mark and the keyword arguments in their order, if there are any;
/// the types, if they count.
Ref tuple_key(const CachedFunction& self, const Call& call) {
    const Py_ssize_t named = call.named(), all = call.count + named;
    const Py_ssize_t plain = call.count + (named ? 1 + 2 * named : 0);
    Ref key = Ref::steal(checked(PyTuple_New(plain + (self.typed ? all : 0))));
    Py_ssize_t next = 0;
    auto add = [&](PyObject* item) { PyTuple_SET_ITEM(key.get(), next++, Py_NewRef(item)); };
    for (Py_ssize_t i = 0; i < call.count; ++i) add(call.arguments[i]);
    if (named) add(self.mark);
    for (Py_ssize_t i = 0; i < named; ++i) {
        add(call.name(i));
        add(call.arguments[call.count + i]);
    }
    if (self.typed)
        for (Py_ssize_t i = 0; i < all; ++i) add(reinterpret_cast<PyObject*>(Py_TYPE(call.arguments[i])));
    return key;
}

TP_HOT Ref key_for(const CachedFunction& self, const Call& call) {
    if (self.key_of)
        return Ref::steal(checked(PyObject_Vectorcall(self.key_of, call.arguments,
                                                      static_cast<std::size_t>(call.count), call.names)));
    // their hashes are fast, and no other type has equal objects that count as different arguments
    bool alone = call.count == 1 && !call.named() && !self.typed;
    if (alone && (PyLong_CheckExact(call.arguments[0]) || PyUnicode_CheckExact(call.arguments[0])))
        return Ref::borrow(call.arguments[0]);
    return tuple_key(self, call);
}

TP_APART PyObject* call_miss(const CachedFunction& self, const Ref& key, const Call& call) {
    Ref arguments = Ref::steal(checked(PyTuple_New(call.count)));
    for (Py_ssize_t i = 0; i < call.count; ++i)
        PyTuple_SET_ITEM(arguments.get(), i, Py_NewRef(call.arguments[i]));
    Ref named = Ref::steal(checked(PyDict_New()));
    for (Py_ssize_t i = 0; i < call.named(); ++i)
        if (PyDict_SetItem(named.get(), call.name(i), call.arguments[call.count + i]) < 0)
            throw PythonError{};
    PyObject* given[] = {key.get(), arguments.get(), named.get()};
    return checked(PyObject_Vectorcall(self.miss, given, 3, nullptr));
}

/// The result for a key that is not in the cache; null: another thread is computing it.
TP_APART Ref load_here(const CachedFunction& self, const Ref& key, const Lookup& lookup, const Call& call) {
    auto& loads = *reinterpret_cast<CacheLoads*>(self.loads);
    return load_missing(loads, *reinterpret_cast<Cache*>(self.cache), lookup, key.get(), Deadline(), [&] {
        auto count = static_cast<std::size_t>(call.count);
        return outliving([&] { return PyObject_Vectorcall(self.fn, call.arguments, count, call.names); });
    });
}

TP_HOT PyObject* call_cached(CachedFunction& self, PyObject* const* arguments, std::size_t flags,
                             PyObject* names) {
    Call call{arguments, PyVectorcall_NARGS(flags), names};
    Ref key = key_for(self, call);
    if (TP_LIKELY(self.peeks && !map_is_watched())) {
        auto& cache = *reinterpret_cast<Cache*>(self.cache);
        cache.share();
        Lookup lookup(key.get());
        Word value;
        if (TP_LIKELY(checked(cache.core().get(lookup, &value)) == Outcome::kPresent))
            return Policy::object(value);
        if (TP_LIKELY(self.loads != nullptr))
            if (Ref loaded = load_here(self, key, lookup, call)) return loaded.release();
    }
    return call_miss(self, key, call);
}

void check_type(const char* wanted, PyObject* given, PyTypeObject* type) {
    if (PyObject_TypeCheck(given, type)) return;
    PyErr_Format(PyExc_TypeError, "CachedFunction() wants a %s, got %R", wanted, given);
    throw PythonError{};
}

PyObject* new_cached_function(PyTypeObject* type, PyObject* positional, PyObject* named) {
    static const char* kNames[] = {"", "", "", "", "", "", "", "", nullptr};
    PyObject *cache, *miss, *key_of, *mark, *loads, *fn;
    int typed, peeks;
    if (!PyArg_ParseTupleAndKeywords(positional, named, "OOOOppOO:CachedFunction", const_cast<char**>(kNames),
                                     &cache, &miss, &key_of, &mark, &typed, &peeks, &loads, &fn))
        throw PythonError{};
    check_type("Cache", cache, Cache::type);
    if (loads != Py_None) check_type("CacheLoads or None", loads, CacheLoads::type);
    Ref self = Ref::steal(checked(type->tp_alloc(type, 0)));
    auto& object = *reinterpret_cast<CachedFunction*>(self.get());
    object.vectorcall = Entry<call_cached>::call;
    object.cache = Py_NewRef(cache);
    object.miss = Py_NewRef(miss);
    object.key_of = key_of == Py_None ? nullptr : Py_NewRef(key_of);
    object.mark = Py_NewRef(mark);
    object.loads = loads == Py_None ? nullptr : Py_NewRef(loads);
    object.fn = Py_NewRef(fn);
    object.typed = typed != 0;
    object.peeks = peeks != 0;
    return self.release();
}

/// Of an instance: the method of it.
PyObject* bind(CachedFunction& self, PyObject* instance, PyObject*) {
    auto* object = reinterpret_cast<PyObject*>(&self);
    return !instance || instance == Py_None ? Py_NewRef(object) : checked(PyMethod_New(object, instance));
}

/// Like a function it is pickled by its name.
PyObject* reduce(CachedFunction& self, PyObject*) {
    return checked(PyObject_GetAttrString(reinterpret_cast<PyObject*>(&self), "__qualname__"));
}
/// Like a function it is its own copy.
PyObject* copy(CachedFunction& self, PyObject*) { return Py_NewRef(reinterpret_cast<PyObject*>(&self)); }

const PyMethodDef kMethods[] = {
    {"__reduce__", method<reduce>(), METH_NOARGS, nullptr},
    {"__copy__", method<copy>(), METH_NOARGS, nullptr},
    {"__deepcopy__", method<copy>(), METH_O, nullptr},
    {nullptr, nullptr, 0, nullptr},
};
PyGetSetDef kAttributes[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

}  // namespace

void add_cached_function(PyObject* module) {
    TypeBuilder<CachedFunction>("threadproof._core.CachedFunction",
                                "What threadproof.cached makes of a function.")
        .with<new_cached_function>(Py_tp_new)
        .with<bind>(Py_tp_descr_get)
        .with_cpython(Py_tp_call, PyVectorcall_Call)
        .methods(kMethods)
        .attributes(kAttributes)
        .method_descriptor()
        .add_to(module);
}

}  // namespace threadproof::ext
