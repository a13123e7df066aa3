/// All of ext/python, for ext/probe and ext/race. Other files include what they use.
#pragma once

#include "ext/python/arguments.hpp"
#include "ext/python/atoms.hpp"
#include "ext/python/entry.hpp"
#include "ext/python/refcount.hpp"
#include "ext/python/waiting.hpp"
// ext/probe and ext/race take the core's threads and reclaimer from here
#include "core/base/reclaim.hpp"
