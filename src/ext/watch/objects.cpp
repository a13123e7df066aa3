/// Which object a thread is about to block at; CPython's frames are read in ext/probe.

#include "ext/probe/internals.hpp"

#include "ext/watch/objects.hpp"

#ifdef THREADPROOF_PROBE

#include <stdexcept>

#include "ext/probe/blocking.hpp"
#include "ext/probe/entry.hpp"

namespace threadproof::ext {

using probe::checked;
using probe::PythonError;

namespace {

constexpr std::size_t kLibraryFrames =
    8;  // Semaphore.acquire, Condition.wait: twice the deepest of the library

std::string text(PyObject* object) {
    const char* utf8 = PyUnicode_AsUTF8(object);
    if (!utf8) throw PythonError{};
    return utf8;
}

/// "lock" of "_thread.lock".
std::string name_of(PyTypeObject* type) {
    std::string name = type->tp_name;
    return name.substr(name.rfind('.') + 1);
}

/// A weak reference to the object; null if it can have none.
Ref weak_reference(PyObject* object) {
    Ref weak = Ref::steal(PyWeakref_NewRef(object, nullptr));
    if (!weak) PyErr_Clear();
    return weak;
}

bool is_alive(PyObject* weak) {
    PyObject* object = nullptr;
    if (PyWeakref_GetRef(weak, &object) < 0) PyErr_Clear();
    drop_reference(object);
    return object != nullptr;
}

}  // namespace

void WaitObjects::set_rows(PyObject* rows) {
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(rows); ++i) {
        PyObject* path;
        const char *file, *function, *kind, *step;
        int waits, names;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(rows, i), "ssssO!pp", &file, &function, &kind, &step,
                              &PyTuple_Type, &path, &waits, &names))
            throw PythonError{};
        WaitRow row{kind, step, {}, waits != 0, names != 0};
        for (Py_ssize_t each = 0; each < PyTuple_GET_SIZE(path); ++each)
            row.path.push_back(text(PyTuple_GET_ITEM(path, each)));
        rows_.insert_or_assign(std::string(file) + ':' + function, std::move(row));
    }
}

/// Null for code that is in no row. A module of the library may be imported after the session has begun, so rows
/// have names, and a code object is looked up when it is first seen.
const WaitRow* WaitObjects::row_of(PyObject* code) {
    {
        std::lock_guard hold(mutex_);
        auto known = by_code_.find(code);
        if (known != by_code_.end()) return known->second;
    }
    auto* object = reinterpret_cast<PyCodeObject*>(code);
    auto row = rows_.find(text(object->co_filename) + ':' + text(object->co_qualname));
    if (row == rows_.end()) return nullptr;
    Ref kept = Ref::borrow(code);  // so that no other code has its address
    std::lock_guard hold(mutex_);
    if (by_code_.try_emplace(code, &row->second).second) kept.release();
    return &row->second;
}

/// The rows of the innermost frames: the first says for what the thread waits, the last at which object.
WaitObjects::Key WaitObjects::key_of(PyObject* object) {
    Key key{object, nullptr, true};
    auto* frame = probe::python_frame(probe::innermost_frame());
    for (std::size_t depth = 0; frame && depth < kLibraryFrames; ++depth, frame = probe::caller_of(frame)) {
        const WaitRow* row = row_of(probe::code_of(frame));
        if (!row) break;
        if (!key.row) key.waits = row->waits;
        key.row = row;
        PyObject* first = row->names ? probe::local_in(frame, 0) : nullptr;
        if (first) key.object = first;
    }
    // the lock of a Condition, which its wait() acquires again; the lock at which it waits is a mutex
    if (!key.row || Py_IS_TYPE(object, probe::lock_types.reentrant)) key.waits = false;
    return key;
}

watch::LockNumber WaitObjects::number_of(PyObject* object) {
    Key key = key_of(object);
    Ref weak;
    watch::LockNumber number = 0;
    {
        std::lock_guard hold(mutex_);
        auto found = known_.find(key);
        if (found != known_.end()) {
            number = found->second.number;
            weak = Ref::borrow(found->second.weak);
            if (!weak) return number;
        }
    }
    if (weak && is_alive(weak.get())) return number;
    probe::Suspension suspension;
    WaitObject made = describe(key);
    Ref reference = weak_reference(key.object), old;
    std::lock_guard hold(mutex_);
    objects_.push_back(std::move(made));
    Entry& entry = known_.try_emplace(key, Entry{nullptr, 0}).first->second;
    old = Ref::steal(entry.weak);
    entry = {reference.release(), static_cast<watch::LockNumber>(objects_.size() - 1)};
    number = entry.number;
    return number;
}

WaitObject WaitObjects::describe(const Key& key) {
    if (!key.row) return {name_of(Py_TYPE(key.object)), "", key.waits, creation_of(key.object)};
    return {key.row->kind, key.row->step, key.waits, creation_at(key.object, key.row->path)};
}

void WaitObjects::note_creation(PyObject* object, std::uint32_t stack) {
    Shelf& shelf = shelf_of(object);
    std::lock_guard hold(shelf.mutex);
    if (shelf.created.size() < kMostCreated
        || shelf.created.contains(reinterpret_cast<std::uintptr_t>(object)))
        shelf.created[reinterpret_cast<std::uintptr_t>(object)] = stack;
}

std::uint32_t WaitObjects::creation_of(PyObject* object) {
    Shelf& shelf = shelf_of(object);
    std::lock_guard hold(shelf.mutex);
    auto found = shelf.created.find(reinterpret_cast<std::uintptr_t>(object));
    return found == shelf.created.end() ? 0 : found->second;
}

/// Of the lock that the path leads to: the object was created with it.
std::uint32_t WaitObjects::creation_at(PyObject* object, const std::vector<std::string>& path) {
    Ref at = Ref::borrow(object);
    for (const std::string& name : path) {
        at = Ref::steal(PyObject_GetAttrString(at.get(), name.c_str()));
        if (!at) {
            PyErr_Clear();
            return 0;
        }
    }
    return creation_of(at.get());
}

void WaitObjects::check() const {
    std::lock_guard hold(mutex_);
    for (const auto& [key, entry] : known_)
        if (entry.number >= objects_.size()) throw std::logic_error("a known object has no description");
}

}  // namespace threadproof::ext

#endif
