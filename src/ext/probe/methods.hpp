/// The events and accesses of an intercepted method of a C type.
#pragma once

#include <cstdint>

#include "ext/probe/events.hpp"

namespace threadproof::probe {

/// X(constant, name in Python).
#define TP_METHOD_ACTIONS(X)                                                                             \
    X(kAcquire, "acquire") /* a lock */                                                                  \
    X(kRelease, "release")                                                                               \
    X(kSend, "send") /* its argument through a channel */                                                \
    X(kReceive, "receive")                                                                               \
    X(kReceiveNow, "receive_now")     /* likewise, or raise */                                           \
    X(kPublish, "publish")            /* what the thread did before, to later observers of self */       \
    X(kSendBytes, "send_bytes")       /* through a socket, a pipe or a file */                           \
    X(kReceiveBytes, "receive_bytes") /* of whoever has sent some before */                              \
    X(kChange, "change")              /* what a container holds */                                       \
    X(kPut, "put")                    /* its argument into a container */                                \
    X(kInsert, "insert")              /* its second argument */                                          \
    X(kPutItem, "put_item")           /* its argument, which is the key, too */                          \
    X(kTake, "take")                  /* its result out of a container */                                \
    X(kTakePair, "take_pair")         /* a key and a value */                                            \
    X(kTakeItem, "take_item")         /* of the key that is the first argument */                        \
    X(kPutArgument, "put_argument")   /* its second argument into the first */                           \
    X(kTakeArgument, "take_argument") /* its result out of the first argument */                         \
    X(kRead, "read")                  /* all of a container */                                           \
    X(kLoadItem, "load_item")         /* of the key that is the first argument, and so the next three */ \
    X(kReadItem, "read_item")         /* that may be missing */                                          \
    X(kStoreItem, "store_item")                                                                          \
    X(kChangeItem, "change_item")                                                                        \
    X(kExtend, "extend")      /* by what the arguments hold */                                           \
    X(kReadWith, "read_with") /* all of a container and of the arguments */                              \
    X(kGoOver, "go_over")     /* all of a container, item by item */                                     \
    X(kConsume, "consume")    /* all of the arguments */                                                 \
    X(kUpdateDict, "update_dict")                                                                        \
    X(kChangeArgument, "change_argument") /* what the first argument holds */                            \
    X(kReadState, "read_state")           /* of self, in one step */                                     \
    X(kSleep, "sleep")                                                                                   \
    X(kReadClock, "read_clock")                                                                          \
    X(kReadClockNs, "read_clock_ns") /* in nanoseconds */                                                \
    X(kJoin, "join")                 /* waits for the end of a thread */                                 \
    X(kCreate, "create")             /* its result is a new lock */

enum class MethodAction : std::uint8_t { TP_METHOD_ACTIONS(TP_CONSTANT) };
inline constexpr const char* kMethodActionNames[] = {TP_METHOD_ACTIONS(TP_NAME)};

/// Whether it publishes events of its own.
bool is_intercepted(const PyMethodDef* definition);

/// A method of a C type that takes no arguments, to be called directly: an interception changes nothing. Throws.
PyCFunction original_method(PyObject* type, const char* name);

}  // namespace threadproof::probe
