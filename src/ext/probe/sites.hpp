/// Sites: the instructions of a code object at which the program may access something that threads share.
///
/// probe/instrument.py finds them in the bytecode, and probe/placement.py decides at which instruction each
/// is instrumented: at itself, or at the one before.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <tuple>
#include <vector>

#include "ext/probe/events.hpp"
#include "ext/probe/stacks.hpp"

namespace threadproof::probe {

/// The operation of a site's instruction: X(constant, name in Python).
#define TP_SITE_KINDS(X)                               \
    X(kLoadAttribute, "load_attribute")                \
    X(kLoadMethod, "load_method")                      \
    X(kStoreAttribute, "store_attribute")              \
    X(kLoadItem, "load_item")                          \
    X(kStoreItem, "store_item")                        \
    X(kDeleteItem, "delete_item")                      \
    X(kContains, "contains")                           \
    X(kLoadGlobal, "load_global")                      \
    X(kStoreGlobal, "store_global")                    \
    X(kLoadCell, "load_cell")                          \
    X(kStoreCell, "store_cell")                        \
    X(kConsume, "consume")                             \
    X(kLoadSlice, "load_slice")                        \
    X(kCall, "call")                                   \
    X(kCallNamed, "call_named")                        \
    X(kAnyCall, "any_call") /* of whatever function */ \
    X(kAnyCallNamed, "any_call_named")                 \
    X(kStoreSlice, "store_slice")                      \
    X(kImported, "imported")                           \
    X(kFinalise, "finalise")                           \
    X(kLoadDict, "load_dict")                          \
    X(kStoreDict, "store_dict")                        \
    X(kLoadOnce, "load_once")                          \
    X(kCombine, "combine")                             \
    X(kTruth, "truth")                                 \
    X(kSpread, "spread")                               \
    X(kShow, "show")                                   \
    X(kCompare, "compare")                             \
    X(kMatchKeys, "match_keys")                        \
    X(kMatchClass, "match_class")                      \
    X(kGenerate, "generate")                           \
    X(kAdvance, "advance") /* a loop's iterator */
enum class SiteKind : std::uint8_t { TP_SITE_KINDS(TP_CONSTANT) };
inline constexpr const char* kSiteKindNames[] = {TP_SITE_KINDS(TP_NAME)};

/// The place of an operand when the instrumented instruction is about to run.
struct Source {
    enum From : std::uint8_t { kNothing, kStack, kLocal, kConstant, kGlobals };
    From from = kNothing;
    std::uint32_t index = 0;  // from the top of the stack, which is 1; or of the local variable
};

/// Whether a site stays instrumented, once it has been judged.
enum class Stay : std::uint8_t {
    kUnlessIdle,
    kIfUseful,  // only if its first operand was a container, or a global that is stored again
    kAlways,    // it orders, or determines the owner of a dict: each execution counts
};

struct Site {
    SiteKind kind{};
    Stay stay{};
    std::uint16_t flags = 0;  // of AccessFlag
    std::uint16_t argument = 0;
    // as many as placement.py describes of a call: the function, self, four arguments
    std::array<Source, 6> operands;
    std::int32_t instruction = 0;  // its position, in code units
    std::uint32_t number = 0;      // of all sites of the process
    PyObject* name = nullptr;
    PyObject* constant = nullptr;
    /// The version of the operand's type at the last execution, and where that type has the attribute, in
    /// one word so that threads cannot tear it. Relaxed: a cache of what home_of() returns.
    std::atomic<std::uint64_t> home{0};
    /// Executions that published no access. Relaxed: threads may lose counts of each other.
    std::atomic<std::uint32_t> idle{0};
    /// Whether executions were not judged because a subscriber judges only some. Relaxed: a count orders nothing.
    std::atomic<bool> sampled{false};
};

/// The sites of a code object. Lives as long as the process: reports name its code.
struct CodeSites {
    CodeSites(Caller owner, Py_ssize_t units, std::size_t count)
        : owner(owner), numbers(static_cast<std::size_t>(units)), sites(count) {}

    /// The site that is instrumented at this code unit, or null.
    TP_HOT Site* at(std::size_t unit) {
        std::uint16_t number = unit < numbers.size() ? numbers[unit] : 0;
        return number ? &sites[number - 1] : nullptr;
    }
    const Site* at(std::size_t unit) const { return const_cast<CodeSites*>(this)->at(unit); }

    const Caller owner;
    std::vector<std::uint16_t> numbers;  // for each code unit, 1 + its position in sites, or 0
    std::vector<Site> sites;
};

extern Py_ssize_t code_extra;  // the index under which a code object keeps its CodeSites

/// Null for code that is not known yet.
TP_HOT CodeSites* sites_of(PyObject* code) {
    void* extra = nullptr;
    PyUnstable_Code_GetExtra(code, code_extra, &extra);
    return static_cast<CodeSites*>(extra);
}

/// The owner of the code. Code that is not registered belongs to a library; the names of its file decide
/// which kind.
Caller owner_of_code(PyObject* code);

/// Prefixes of the names of files whose code is uninstrumented.
void set_uninstrumented(PyObject* prefixes);

}  // namespace threadproof::probe
