/// Reads the interpreter's structures as a debugger does, but in its own process.

#include "ext/probe/internals.hpp"

#include "ext/probe/other_threads.hpp"

#ifdef THREADPROOF_SAMPLER

namespace threadproof::probe {
namespace {

constexpr std::size_t kMostThreads = 4096;  // of a list that changes while it is read
constexpr std::size_t kMostSections = 32;   // nested: C code seldom has more than three

/// In bytes; nothing where the copies do not fit together.
std::optional<std::int64_t> offset_of(std::uint64_t array, const RunningFrame& frame) {
    auto size = word_at(array);
    if (!size || frame.tlbc_index < 0 || static_cast<std::uint64_t>(frame.tlbc_index) >= *size) return {};
    auto index = static_cast<std::uint64_t>(frame.tlbc_index);
    auto first = word_at(array + offsetof(_PyCodeArray, entries) + index * sizeof(char*));
    if (!first) return {};
    auto offset = static_cast<std::int64_t>(reinterpret_cast<std::uint64_t>(frame.instr_ptr) - *first);
    return offset < 0 || offset > 1 << 24 ? std::nullopt : std::optional(offset);
}

}  // namespace

std::vector<OtherThread> other_threads() {
    std::vector<OtherThread> threads;
    auto next = reinterpret_cast<std::uint64_t>(PyInterpreterState_ThreadHead(PyInterpreterState_Main()));
    Copied<PyThreadState> thread;
    while (next && threads.size() < kMostThreads && copy_memory(next, &thread, sizeof thread)) {
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
        if (!address || !copy_memory(address, &section, sizeof section)) break;
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
        if (!copy_memory(*name + i, text + i, 8) || std::memchr(text + i, 0, 8)) break;
    return text;
}

std::vector<Frame> frames_of(const OtherThread& thread, std::size_t most, CodeCopies& codes) {
    std::vector<Frame> frames;
    Copied<RunningFrame> frame;
    auto now = word_at(thread.address + offsetof(PyThreadState, current_frame));
    std::uint64_t next = now ? *now : 0;
    while (next && frames.size() < most && copy_memory(next, &frame, offsetof(RunningFrame, localsplus))) {
        next = reinterpret_cast<std::uint64_t>(frame.value.previous);
        if (frame.value.owner == FRAME_OWNED_BY_INTERPRETER) continue;
        auto code = codes.find(frame.value.f_executable.bits & ~std::uint64_t{Py_TAG_BITS});
        auto offset = code ? offset_of(code->bytecode, frame.value) : std::nullopt;
        if (offset) frames.push_back({code->number, *offset});
    }
    return frames;
}

}  // namespace threadproof::probe

#endif
