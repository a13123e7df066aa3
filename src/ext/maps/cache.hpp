/// The native base of threadproof.maps.Cache.
#pragma once

#include "core/maps/cache/map.hpp"
#include "ext/maps/python_policy.hpp"
#include "ext/python/compat.hpp"

namespace threadproof::ext {

/// As other maps', but that each slot has the index of its node.
struct CachePolicyOfPython : PythonPolicy {
    using SlotData = std::uint32_t;
};
using CacheOfPython = CacheMap<CachePolicyOfPython>;

/// Adds the type to the module. Throws.
void add_cache(PyObject* module);

}  // namespace threadproof::ext
