/// Reads code objects, and the str and bytes objects that belong to them, through the kernel.

#include "ext/probe/internals.hpp"

#include "ext/probe/code_copies.hpp"

#ifdef THREADPROOF_SAMPLER

#include <sys/uio.h>
#include <unistd.h>

#include <stdexcept>
#include <utility>

namespace threadproof::probe {
namespace {

constexpr std::size_t kMostCopies = 10'000;    // as many as different samples: about 10 MB
constexpr Py_ssize_t kLongestText = 4096;      // characters: as the paths of Linux
constexpr Py_ssize_t kLongestTable = 1 << 20;  // bytes: a function of some 100,000 lines

constexpr std::size_t kCodeHeader = offsetof(PyCodeObject, co_code_adaptive);

std::uint64_t address_of(const void* object) { return reinterpret_cast<std::uint64_t>(object); }

bool copy_bytes(std::uint64_t from, std::size_t size, std::string& to) {
    to.resize(size);
    return size == 0 || copy_memory(from, to.data(), size);
}

/// Whether each is a code point: the width of four bytes has room for more.
bool are_characters(const TextCopy& text) {
    for (std::size_t i = 0; text.width == 4 && i < text.bytes.size(); i += 4) {
        std::uint32_t character;
        std::memcpy(&character, text.bytes.data() + i, sizeof character);
        if (character > 0x10FFFF) return false;
    }
    return true;
}

std::optional<TextCopy> text_at(std::uint64_t address) {
    Copied<PyASCIIObject> text;
    if (!copy_memory(address, &text, sizeof text)) return {};
    const PyASCIIObject& value = text.value;
    int width = static_cast<int>(value.state.kind);
    bool plain = value.ob_base.ob_type == &PyUnicode_Type && value.state.compact;
    if (!plain || (width != 1 && width != 2 && width != 4)) return {};
    if (value.length < 0 || value.length > kLongestText) return {};
    std::size_t header = value.state.ascii ? sizeof(PyASCIIObject) : sizeof(PyCompactUnicodeObject);
    TextCopy copied{width, {}};
    std::size_t size = static_cast<std::size_t>(value.length) * static_cast<std::size_t>(width);
    if (!copy_bytes(address + header, size, copied.bytes) || !are_characters(copied)) return {};
    return copied;
}

std::optional<std::string> bytes_at(std::uint64_t address) {
    Copied<PyBytesObject> object;
    constexpr std::size_t header = offsetof(PyBytesObject, ob_sval);
    if (!copy_memory(address, &object, header)) return {};
    Py_ssize_t size = object.value.ob_base.ob_size;
    if (object.value.ob_base.ob_base.ob_type != &PyBytes_Type || size < 0 || size > kLongestTable) return {};
    std::string copied;
    if (!copy_bytes(address + header, static_cast<std::size_t>(size), copied)) return {};
    return copied;
}

std::optional<CodeCopy> copy_of(const PyCodeObject& code) {
    auto file = text_at(address_of(code.co_filename)), function = text_at(address_of(code.co_qualname));
    auto lines = bytes_at(address_of(code.co_linetable));
    if (!file || !function || !lines) return {};
    return CodeCopy{std::move(*file), std::move(*function), code.co_firstlineno, std::move(*lines)};
}

}  // namespace

bool copy_memory(std::uint64_t from, void* to, std::size_t size) {
    iovec here{to, size}, there{reinterpret_cast<void*>(from), size};
    return process_vm_readv(getpid(), &here, 1, &there, 1, 0) == static_cast<ssize_t>(size);
}

std::optional<std::uint64_t> word_at(std::uint64_t address) {
    std::uint64_t word;
    if (!copy_memory(address, &word, sizeof word)) return {};
    return word;
}

std::optional<CodeCopies::Found> CodeCopies::find(std::uint64_t address) {
    Copied<PyCodeObject> code;
    if (!copy_memory(address, &code, kCodeHeader)) return {};
    const PyCodeObject& value = code.value;
    if (value.ob_base.ob_base.ob_type != &PyCode_Type) return {};
    Key key{address, value.co_version, address_of(value.co_filename), address_of(value.co_qualname),
            address_of(value.co_linetable)};
    std::lock_guard hold(mutex_);
    auto known = numbers_.find(key);
    if (known == numbers_.end()) {
        if (copies_.size() == kMostCopies) return {};
        auto copied = copy_of(value);
        if (!copied) return {};
        known = numbers_.emplace(key, static_cast<std::uint32_t>(copies_.size())).first;
        copies_.push_back(std::move(*copied));
    }
    return Found{known->second, address_of(value.co_tlbc)};
}

CodeCopy CodeCopies::get(std::uint32_t number) const {
    std::lock_guard hold(mutex_);
    return copies_.at(number);
}

void CodeCopies::clear() {
    std::lock_guard hold(mutex_);
    numbers_.clear();
    copies_.clear();
}

void CodeCopies::check() const {
    std::lock_guard hold(mutex_);
    if (numbers_.size() != copies_.size()) throw std::logic_error("a copy of code has no number");
    for (const auto& [key, number] : numbers_)
        if (number >= copies_.size()) throw std::logic_error("a number is that of no copy of code");
}

}  // namespace threadproof::probe

#endif
