/// Code objects of other threads' frames, as copies: the names and the lines, and no reference.
///
/// A frame is read while its thread goes on, so the word that should be its code may be of another moment: the address
/// of code that is being freed, a word of a frame that is gone, no address at all. Therefore no address that was read is
/// dereferenced, and no reference is counted: the kernel copies the bytes, and fails where no memory is. So a crash is
/// impossible, whatever was read. The bytes are checked before they are used: types, lengths, widths of characters.
///
/// Bytes that changed between two copies can make a name wrong, in one sample, and no more. A thread that waits is asleep
/// before and after its frames are read, so they are exact. The holder of a lock may run on: of the frames that it has
/// pushed since it took the lock, one sample may show two moments.
///
/// A code object is copied once. It is found again by its address, its version, which CPython gives once, and the
/// addresses of its names and lines. So another one that is allocated in its place is copied again.
///
/// Field    | written            | read  | guard
/// ---------|--------------------|-------|-------
/// numbers_ | find(), clear()    | find()| mutex_
/// copies_  | find(), clear()    | get() | mutex_
///
/// Invariant: numbers_ and copies_ are of one size, and the numbers are 0, 1, ...
#pragma once

#include "ext/probe/events.hpp"

#if defined(THREADPROOF_PROBE) && defined(Py_GIL_DISABLED) && defined(__linux__) && defined(__x86_64__)
#define THREADPROOF_SAMPLER 1

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>

namespace threadproof::probe {

/// The bytes at this address of this process; false where no memory is.
bool copy_memory(std::uint64_t from, void* to, std::size_t size);

/// A word of this process; nothing where no memory is.
std::optional<std::uint64_t> word_at(std::uint64_t address);

/// A structure's bytes, without construction: CPython's are plain.
template <class Structure>
union Copied {
    Copied() {}
    Structure value;
};

/// The characters of a str, each of `width` bytes.
struct TextCopy {
    int width = 1;
    std::string bytes;
};

struct CodeCopy {
    TextCopy file, function;  // function: the qualified name
    int first_line = 0;
    std::string lines;  // co_linetable
};

class CodeCopies {
 public:
    struct Found {
        std::uint32_t number;
        std::uint64_t bytecode;  // the address of the array of the threads' instructions (co_tlbc)
    };

    /// The code object at this address, copied if it is new; nothing if no code object is there.
    std::optional<Found> find(std::uint64_t address);
    CodeCopy get(std::uint32_t number) const;
    void clear();
    /// Asserts the invariant; std::logic_error if it is broken.
    void check() const;

 private:
    using Key = std::array<std::uint64_t, 5>;

    mutable std::mutex mutex_;
    std::map<Key, std::uint32_t> numbers_;
    std::deque<CodeCopy> copies_;
};

}  // namespace threadproof::probe

#endif
