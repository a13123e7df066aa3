/// The core's LockedMap as a Python type: native_map/, how many tables and which locks a class wants, and its
/// statistics. Classes differ in their attributes `shards` and `lock` only.
#include "ext/maps/locked_map.hpp"

#include <bit>

#include "core/maps/locked_map/map.hpp"
#include "ext/maps/native_map/type.hpp"

namespace threadproof::ext {
namespace {

using Map = threadproof::LockedMap<PythonPolicy>;

/// 2^16: more locks than any machine has threads; the numbers of entries have the other 48 bits.
constexpr std::size_t kMostShards = 65536;

Ref attribute_of(PyTypeObject* type, const char* name) {
    return Ref::steal(checked(PyObject_GetAttrString(reinterpret_cast<PyObject*>(type), name)));
}

unsigned shard_bits_of(PyTypeObject* type) {
    Ref wanted = attribute_of(type, "shards");
    const auto count = static_cast<std::size_t>(PyLong_AsSsize_t(wanted.get()));
    if (PyErr_Occurred()) throw PythonError{};
    if (std::has_single_bit(count) && count <= kMostShards)
        return static_cast<unsigned>(std::bit_width(count) - 1);
    PyErr_Format(PyExc_ValueError, "%s.shards must be a power of two, at most %zu, got %R", type->tp_name,
                 kMostShards, wanted.get());
    throw PythonError{};
}

/// Whether the class wants reader-writer locks.
bool shares_reads(PyTypeObject* type) {
    Ref wanted = attribute_of(type, "lock");
    for (const char* kind : {"mutex", "rw"})
        if (PyUnicode_Check(wanted.get()) && PyUnicode_CompareWithASCIIString(wanted.get(), kind) == 0)
            return kind[0] == 'r';
    PyErr_Format(PyExc_ValueError, "%s.lock must be 'mutex' or 'rw', got %R", type->tp_name, wanted.get());
    throw PythonError{};
}

PyObject* map_stats(MapObject<Map>& self, PyObject*) {
    self.share();
    Map::Stats s = self.core().stats();
    const auto count = static_cast<Py_ssize_t>(s.sizes.size());
    Ref sizes = Ref::steal(checked(PyTuple_New(count)));
    for (Py_ssize_t i = 0; i < count; ++i)
        PyTuple_SET_ITEM(sizes.get(), i, checked(PyLong_FromLongLong(s.sizes[static_cast<std::size_t>(i)])));
    return Py_BuildValue("(OKK)", sizes.get(), s.contended, s.bytes);
}

}  // namespace

template <>
void construct_core(MapObject<Map>& self, PyTypeObject* type) {
    const unsigned shard_bits = shard_bits_of(type);
    self.storage.construct(fresh_secret(), shard_bits, shares_reads(type));
}

void add_locked_map(PyObject* module) {
    add_native_map<Map>(
        module, "threadproof._core.LockedMap", "threadproof._core.LockedMapIterator",
        "The native base of threadproof.maps.LockedMap and ShardedMap, where the methods are explained.",
        {
            {"_stats", method<map_stats>(), METH_NOARGS,
             "_stats($self, /)\n--\n\nThe sizes of the shards, how many waits for locks there were, and how "
             "many bytes there are."},
        });
}

}  // namespace threadproof::ext
