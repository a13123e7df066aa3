/// The events as Python code names them.
#pragma once

#include <cstdint>

#include "ext/probe/events.hpp"

namespace threadproof::probe {

/// X(constant, name, interest): the keywords of threadproof.probe.subscribe().
#define TP_EVENTS(X)                                   \
    X(kAcquiring, "acquiring", kLockAttempts)          \
    X(kAbandoned, "abandoned", kLockAttempts)          \
    X(kAcquired, "acquired", kLocks)                   \
    X(kReleasing, "releasing", kLocks)                 \
    X(kPublishing, "publishing", kOrder)               \
    X(kObserved, "observed", kOrder)                   \
    X(kSending, "sending", kItems)                     \
    X(kUnsent, "unsent", kItems)                       \
    X(kReceived, "received", kItems)                   \
    X(kGivingPermits, "giving_permits", kPermits)      \
    X(kTookPermit, "took_permit", kPermits)            \
    X(kWaiting, "waiting", kWaits)                     \
    X(kWaited, "waited", kWaits)                       \
    X(kCreatingThread, "creating_thread", kThreadLife) \
    X(kThreadBegan, "thread_began", kThreadLife)       \
    X(kThreadEnding, "thread_ending", kThreadLife)     \
    X(kJoined, "joined", kThreadLife)                  \
    X(kAccessing, "accessing", kAccesses)              \
    X(kReadKey, "read_key", kMaps)                     \
    X(kChangingKey, "changing_key", kMaps)             \
    X(kReadMap, "read_map", kMaps)                     \
    X(kChangingMap, "changing_map", kMaps)             \
    X(kComputing, "computing", kMaps)                  \
    X(kComputed, "computed", kMaps)                    \
    X(kAllocated, "allocated", kAllocations)           \
    X(kOwned, "owned", kOwnership)                     \
    X(kModuleRan, "module_ran", kModules)              \
    X(kModuleSeen, "module_seen", kModules)

#define TP_EVENT_CONSTANT(constant, name, interest) constant,
enum class EventKind : std::uint8_t { TP_EVENTS(TP_EVENT_CONSTANT) };
#undef TP_EVENT_CONSTANT
#define TP_EVENT_NAME(constant, name, interest) name,
inline constexpr const char* kEventNames[] = {TP_EVENTS(TP_EVENT_NAME)};
#undef TP_EVENT_NAME
#define TP_EVENT_INTEREST(constant, name, interest) interest,
inline constexpr std::uint32_t kEventInterests[] = {TP_EVENTS(TP_EVENT_INTEREST)};
#undef TP_EVENT_INTEREST

}  // namespace threadproof::probe
