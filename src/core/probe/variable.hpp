/// The identity of a variable of the program, and the properties of an access to it.
#pragma once

#include <cstdint>

namespace threadproof::probe {

/// Which variable of an object: a hash of its name or key, or a position.
using Field = std::uint64_t;

/// A field with this bit is a position: its other bits are small, and neighbours are accessed together.
inline constexpr Field kPosition = Field{1} << 63;

/// The properties of an access: X(constant, value, name in Python).
/// The probe sets the flags. The race detector adds kUpdate and kCheck to a write that follows a read of the
/// same variable, and kLocked.
#define TP_ACCESS_FLAGS(X)                                                                        \
    X(kUpdate, 1, UPDATE)        /* part of a read-modify-write */                                \
    X(kCheck, 2, CHECK)          /* a read that a decision depends on, or the write decided on */ \
    X(kAtomic, 4, ATOMIC)        /* one atomic step of a container */                             \
    X(kIterate, 8, ITERATE)      /* goes over the whole container */                              \
    X(kStructure, 16, STRUCTURE) /* changes which elements there are */                           \
    X(kLocked, 32, LOCKED)       /* at least one lock was held */                                 \
    X(kWrite, 256, WRITE)        /* a write; else it is a read */

enum AccessFlag : std::uint16_t {
#define TP_FLAG(constant, value, name) constant = (value),
    TP_ACCESS_FLAGS(TP_FLAG)
#undef TP_FLAG
};

}  // namespace threadproof::probe
