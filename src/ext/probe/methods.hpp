/// The events and accesses of an intercepted method of a C type.
#pragma once

#include <cstdint>

#include "ext/probe/events.hpp"

namespace threadproof::probe {

/// X(constant, name in Python).
#define TP_METHOD_ACTIONS(X)                                                                   \
    X(kAcquire, "acquire") /* a lock */                                                        \
    X(kRelease, "release")                                                                     \
    X(kEnter, "enter") /* one side of an RWLock */                                             \
    X(kLeave, "leave")                                                                         \
    X(kSend, "send") /* its argument through a channel */                                      \
    X(kReceive, "receive")                                                                     \
    X(kPublish, "publish") /* what the thread did before, to later observers of self */        \
    X(kLoad, "load")       /* of an atomic, and so the next three */                           \
    X(kStore, "store")                                                                         \
    X(kExchange, "exchange")                                                                   \
    X(kUpdate, "update")  /* by a function */                                                  \
    X(kLoadAt, "load_at") /* of an array of atomics, and so the next three */                  \
    X(kStoreAt, "store_at")                                                                    \
    X(kExchangeAt, "exchange_at")                                                              \
    X(kUpdateAt, "update_at")                                                                  \
    X(kChange, "change")      /* what a container holds */                                     \
    X(kRead, "read")          /* all of a container */                                         \
    X(kReadItem, "read_item") /* of the key that is the first argument, and so the next two */ \
    X(kStoreItem, "store_item")                                                                \
    X(kChangeItem, "change_item")                                                              \
    X(kExtend, "extend") /* by what the argument holds */                                      \
    X(kUpdateDict, "update_dict")                                                              \
    X(kReadArgument, "read_argument")     /* all of the first argument */                      \
    X(kChangeArgument, "change_argument") /* what the first argument holds */

enum class MethodAction : std::uint8_t { TP_METHOD_ACTIONS(TP_CONSTANT) };
inline constexpr const char* kMethodActionNames[] = {TP_METHOD_ACTIONS(TP_NAME)};

}  // namespace threadproof::probe
