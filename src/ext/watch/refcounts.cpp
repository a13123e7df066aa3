/// Candidates from the frames of running threads, and a look at their counts.

#include "ext/probe/internals.hpp"

#include "ext/watch/refcounts.hpp"

#ifdef THREADPROOF_SAMPLER

#include <time.h>

#include <algorithm>

#include "core/base/locks.hpp"
#include "ext/probe/stacks.hpp"
#include "ext/python/ref.hpp"

namespace threadproof::ext {
namespace {

constexpr std::size_t kMostCandidates = 8;  // looked at in one round: 8 times 20 us in 50 ms
constexpr std::size_t kMostNames = 64;      // of one function
constexpr std::int64_t kLook = 20'000;  // ns at one count; a change takes some 50 ns where it is contended
constexpr std::uint64_t kFewestChanges =
    10;                               // in that time: 0.5 a microsecond, which costs a loop some percent
constexpr std::size_t kDeepest = 64;  // frames

std::int64_t clock_now() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * std::int64_t{1'000'000'000} + time.tv_nsec;
}

/// What one thread has within reach: its objects, by the names that its code has for them.
using Reach = std::unordered_map<PyObject*, std::string>;

std::string text(PyObject* name) {
    const char* utf8 = PyUnicode_AsUTF8(name);
    if (!utf8) PyErr_Clear();
    return utf8 ? utf8 : "";
}

void add(Reach& reach, PyObject* object, const std::string& name) {
    if (object && probe::has_shared_count(object) && !PyType_Check(object) && !PyModule_Check(object))
        reach.try_emplace(object, name);
}

/// The values of the names that the function uses: of globals, and of attributes of its first argument.
void add_names(Reach& reach, PyCodeObject* code, PyObject* globals, PyObject* self) {
    PyObject* attributes = self ? probe::attribute_dict(self) : nullptr;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(code->co_names) && i < static_cast<Py_ssize_t>(kMostNames);
         ++i) {
        PyObject* name = PyTuple_GET_ITEM(code->co_names, i);
        add(reach, PyDict_GetItemWithError(globals, name), text(name));
        if (attributes) add(reach, PyDict_GetItemWithError(attributes, name), "self." + text(name));
        else if (self) add(reach, probe::inline_value(self, name), "self." + text(name));
    }
}

Reach reach_of(PyThreadState* thread) {
    Reach reach;
    auto* frame = probe::python_frame(thread->current_frame);
    if (!frame) return reach;
    auto* code = reinterpret_cast<PyCodeObject*>(probe::code_of(frame));
    PyObject* self = code->co_argcount > 0 ? probe::local_in(frame, 0) : nullptr;
    PyObject* globals = probe::globals_in(frame);
    // first: other code has the object by that name, too
    if (globals && PyDict_CheckExact(globals)) add_names(reach, code, globals, self);
    int locals = code->co_nlocalsplus;
    for (int i = 0; i < locals; ++i) {
        PyObject* value = probe::local_in(frame, static_cast<std::uint32_t>(i));
        std::string name = text(PyTuple_GET_ITEM(code->co_localsplusnames, i));
        if (value && PyCell_Check(value)) value = reinterpret_cast<PyCellObject*>(value)->ob_ref;
        add(reach, value, name);
    }
    return reach;
}

struct Candidate {
    Ref object;
    SampledCount which;
};

/// Objects within reach of two threads that run.
std::vector<Candidate> candidates(const std::vector<int>& running, std::int64_t& stopped) {
    struct First {
        std::string name;
        std::uint32_t stack;
    };
    std::unordered_map<PyObject*, First> first;
    std::vector<Candidate> found;
    // threads that have stopped wait for those that have not: that counts, too
    std::int64_t begin = clock_now();
    probe::StoppedWorld world;
    auto runs = [&](PyThreadState* thread) {
        int task = static_cast<int>(thread->native_thread_id);
        return probe::was_running(thread) && std::find(running.begin(), running.end(), task) != running.end();
    };
    world.each_thread([&](PyThreadState* thread) {
        if (!runs(thread) || found.size() >= kMostCandidates) return;
        Reach reach = reach_of(thread);
        if (reach.empty()) return;
        std::uint32_t stack = probe::capture_stack_of(thread, kDeepest);
        for (const auto& [object, name] : reach) {
            auto [other, fresh] = first.try_emplace(object, First{name, stack});
            if (fresh || found.size() >= kMostCandidates) continue;
            found.push_back({Ref::borrow(object),
                             {reinterpret_cast<std::uint64_t>(object), Py_TYPE(object)->tp_name, name,
                              std::min(stack, other->second.stack), std::max(stack, other->second.stack)}});
        }
    });
    stopped += clock_now() - begin;
    return found;
}

ChangingCount look_at(const Candidate& candidate) {
    std::uint64_t changes = 0;
    std::int64_t begin = clock_now(), end;
    Py_ssize_t last = probe::shared_count(candidate.object.get());
    do {
        for (int i = 0; i < 32; ++i) {
            Py_ssize_t count = probe::shared_count(candidate.object.get());
            changes += count != last;
            last = count;
            relax();
        }
        end = clock_now();
    } while (end - begin < kLook);
    return {candidate.which, changes, static_cast<std::uint64_t>(end - begin)};
}

}  // namespace

std::vector<ChangingCount> changing_counts(const std::vector<int>& running, std::int64_t& stopped) {
    std::vector<ChangingCount> changing;
    for (const Candidate& each : candidates(running, stopped)) {
        ChangingCount looked = look_at(each);
        if (looked.changes >= kFewestChanges) changing.push_back(looked);
    }
    return changing;
}

}  // namespace threadproof::ext

#endif
