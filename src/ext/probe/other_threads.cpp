/// Reads the interpreter's structures as a debugger does, but in its own process.

#include "ext/probe/internals.hpp"

#include "ext/probe/other_threads.hpp"

#ifdef THREADPROOF_SAMPLER

#include <sys/uio.h>
#include <unistd.h>

namespace threadproof::probe {
namespace {

constexpr std::size_t kMostThreads = 4096;  // of a list that changes while it is read
constexpr std::size_t kMostSections = 32;   // nested: C code seldom has more than three

bool copy(std::uint64_t from, void* to, std::size_t size) {
    iovec here{to, size}, there{reinterpret_cast<void*>(from), size};
    return process_vm_readv(getpid(), &here, 1, &there, 1, 0) == static_cast<ssize_t>(size);
}

/// A structure's bytes, without construction: CPython's are plain.
template <class Structure>
union Copied {
    Copied() {}
    Structure value;
};

bool is_code(std::uint64_t object) {
    auto type = word_at(object + offsetof(PyObject, ob_type));
    return type && *type == reinterpret_cast<std::uint64_t>(&PyCode_Type);
}

/// In bytes; nothing where the copies do not fit together.
std::optional<std::int64_t> offset_of(std::uint64_t code, const RunningFrame& frame) {
    auto array = word_at(code + offsetof(PyCodeObject, co_tlbc));
    auto size = array ? word_at(*array) : std::nullopt;
    if (!size || frame.tlbc_index < 0 || static_cast<std::uint64_t>(frame.tlbc_index) >= *size) return {};
    auto index = static_cast<std::uint64_t>(frame.tlbc_index);
    auto first = word_at(*array + offsetof(_PyCodeArray, entries) + index * sizeof(char*));
    if (!first) return {};
    auto offset = static_cast<std::int64_t>(reinterpret_cast<std::uint64_t>(frame.instr_ptr) - *first);
    return offset < 0 || offset > 1 << 24 ? std::nullopt : std::optional(offset);
}

}  // namespace

std::optional<std::uint64_t> word_at(std::uint64_t address) {
    std::uint64_t word;
    if (!copy(address, &word, sizeof word)) return {};
    return word;
}

std::vector<OtherThread> other_threads() {
    std::vector<OtherThread> threads;
    auto next = reinterpret_cast<std::uint64_t>(PyInterpreterState_ThreadHead(PyInterpreterState_Main()));
    Copied<PyThreadState> thread;
    while (next && threads.size() < kMostThreads && copy(next, &thread, sizeof thread)) {
        const PyThreadState& value = thread.value;
        threads.push_back({next, next + offsetof(PyThreadState, state), value.thread_id,
                           static_cast<int>(value.native_thread_id),
                           reinterpret_cast<std::uint64_t>(value.current_frame), value.critical_section});
        next = reinterpret_cast<std::uint64_t>(value.next);
    }
    return threads;
}

std::vector<std::uint64_t> object_locks(const OtherThread& thread) {
    std::vector<std::uint64_t> locks;
    // again: the copy in the list may be older than the fact that the caller compares it with
    auto now = word_at(thread.address + offsetof(PyThreadState, critical_section));
    std::uint64_t next = now ? *now : 0;
    Copied<PyCriticalSection2> section;
    for (std::size_t depth = 0; depth < kMostSections; ++depth) {
        std::uint64_t address = next & ~std::uint64_t{_Py_CRITICAL_SECTION_MASK};
        if (!address || !copy(address, &section, sizeof section)) break;
        locks.push_back(reinterpret_cast<std::uint64_t>(section.value._cs_base._cs_mutex));
        if (next & _Py_CRITICAL_SECTION_TWO_MUTEXES)
            locks.push_back(reinterpret_cast<std::uint64_t>(section.value._cs_mutex2));
        next = section.value._cs_base._cs_prev;
    }
    return locks;
}

std::uint64_t object_of_mutex(std::uint64_t mutex) { return mutex - offsetof(PyObject, ob_mutex); }

std::string type_of_object(std::uint64_t object) {
    if (object % alignof(PyObject)) return {};
    auto type = word_at(object + offsetof(PyObject, ob_type));
    auto meta = type ? word_at(*type + offsetof(PyObject, ob_type)) : std::nullopt;
    auto flags = meta ? word_at(*meta + offsetof(PyTypeObject, tp_flags)) : std::nullopt;
    if (!flags || !(*flags & Py_TPFLAGS_TYPE_SUBCLASS)) return {};
    auto name = word_at(*type + offsetof(PyTypeObject, tp_name));
    char text[64] = {};
    for (std::size_t i = 0; name && i < sizeof text - 8; i += 8)
        if (!copy(*name + i, text + i, 8) || std::memchr(text + i, 0, 8)) break;
    return text;
}

std::vector<Frame> frames_of(const OtherThread& thread, std::size_t most) {
    std::vector<Frame> frames;
    Copied<RunningFrame> frame;
    auto now = word_at(thread.address + offsetof(PyThreadState, current_frame));
    std::uint64_t next = now ? *now : 0;
    while (next && frames.size() < most && copy(next, &frame, offsetof(RunningFrame, localsplus))) {
        next = reinterpret_cast<std::uint64_t>(frame.value.previous);
        if (frame.value.owner == FRAME_OWNED_BY_INTERPRETER) continue;
        auto code = reinterpret_cast<std::uint64_t>(PyStackRef_AsPyObjectBorrow(frame.value.f_executable));
        if (!is_code(code)) continue;
        if (auto offset = offset_of(code, frame.value)) frames.push_back({code, *offset});
    }
    return frames;
}

std::uint32_t number_of_stack(const std::vector<Frame>& frames) {
    Depot<Frame>::Sequence kept;
    for (const Frame& frame : frames)
        if (is_code(frame.code)) kept.push_back(frame);
    return call_stacks().number_of(kept, [](const auto& first) {
        for (const Frame& frame : first) Py_INCREF(reinterpret_cast<PyObject*>(frame.code));
    });
}

}  // namespace threadproof::probe

#endif
