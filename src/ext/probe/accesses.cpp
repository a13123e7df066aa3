/// The variables that the steps of accesses.hpp read and write.

#include "ext/probe/internals.hpp"

#ifdef THREADPROOF_PROBE

#include <algorithm>
#include <array>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "ext/probe/accesses.hpp"
#include "ext/probe/api.hpp"
#include "ext/probe/entry.hpp"
#include "ext/probe/objects.hpp"
#include "ext/probe/possible.hpp"
#include "ext/probe/stacks.hpp"
#include "ext/python/compat.hpp"

namespace threadproof::probe {
namespace {

constexpr unsigned kChange = kWrite | kStructure | kAtomic;
constexpr unsigned kWholeStep = kIterate | kAtomic;

/// What a call does to its arguments, from `first` on: it reads their size, or goes over them.
struct Reader {
    PyObject* callable;
    bool size;
    unsigned one_step;
    std::size_t first;
};

/// Which callable is a reader; entries stay for ever.
///
/// Field      | written              | read      | guard
/// -----------|----------------------|-----------|-----------------------------------------
/// entries    | release, under mutex | acquire   | none: publishes the reader's fields
class Readers {
 public:
    /// Null if the callable is none.
    const Reader* of(PyObject* callable) { return entry_of(callable).load(std::memory_order_acquire); }

    /// std::logic_error if there is no room for another one.
    void add(const Reader& reader) {
        std::lock_guard hold(mutex_);
        auto& entry = entry_of(reader.callable);
        if (entry.load(std::memory_order_relaxed)) return;
        if (++count_ == kEntries) throw std::logic_error("too many callables read their arguments");
        Py_INCREF(reader.callable);
        // release: pairs with the acquire loads in entry_of() and of(); makes the reader visible
        entry.store(new Reader(reader), std::memory_order_release);
    }

 private:
    static constexpr std::size_t kEntries = 256;  // several times what consumers.py has: searches end soon
    using Entry = std::atomic<const Reader*>;

    /// The callable's entry, or the free one that it would take.
    Entry& entry_of(PyObject* callable) {
        std::size_t at = mixed(address_of(callable));
        for (;; ++at) {
            const Reader* there = entries_[at % kEntries].load(std::memory_order_acquire);
            if (!there || there->callable == callable) return entries_[at % kEntries];
        }
    }

    std::mutex mutex_;
    std::array<Entry, kEntries> entries_{};
    std::size_t count_ = 0;
};
Readers& readers = *new Readers;
PyObject *getattr_function, *hasattr_function, *setattr_function, *delattr_function, *vars_function;
PyObject* local_type;      // threading.local
PyObject* restart_events;  // sys.monitoring.restart_events

PyObject* import_name(const char* module_name, const char* name) {
    Ref module = Ref::steal(checked(PyImport_ImportModule(module_name)));
    return checked(PyObject_GetAttrString(module.get(), name));
}

}  // namespace

// ---- attributes

namespace {

bool is_value(PyTypeObject* type) {
    return type == &PyUnicode_Type || type == &PyLong_Type || type == &PyFloat_Type || type == &PyTuple_Type
           || type == &PyBytes_Type || type == &PyList_Type || type == &PyDict_Type || type == &PySet_Type
           || type == &PyFunction_Type;
}

void record_class(PyTypeObject* type, PyObject* name, unsigned flags) {
    PyObject* owner = flags & kWrite ? reinterpret_cast<PyObject*>(type) : class_that_has(type, name);
    record_access(attribute_of(owner, name), flags);
}

/// Names of globals that some file stores as attributes of another module.
std::vector<PyObject*>& stored_from_outside = *new std::vector<PyObject*>;
std::mutex
    stored_mutex;  // no shared_mutex: glibc unlocks one by thread id, which is another in a forked child

/// Reads of a global that its own file stores only once are instrumented after the first store from another
/// file.
void note_stored_from_outside(PyObject* name) {
    if (is_stored_from_outside(name)) return;
    {
        std::lock_guard hold(stored_mutex);
        stored_from_outside.push_back(Py_NewRef(name));
    }
    Ref result = Ref::steal(PyObject_CallNoArgs(restart_events));
    if (!result) PyErr_Clear();
}

void record_module(PyObject* module, PyObject* name, unsigned flags) {
    if (flags & kWrite) note_stored_from_outside(name);
    record_access(global_of(PyModule_GetDict(module), name), flags);
}

}  // namespace

bool is_thread_local(PyTypeObject* type) {
    return PyType_IsSubtype(type, reinterpret_cast<PyTypeObject*>(local_type));
}

AttributeHome home_of(PyTypeObject* type, PyObject* name, bool store) {
    if (is_value(type) || is_thread_local(type)) return AttributeHome::kNowhere;
    if (type == &PyModule_Type) return AttributeHome::kModule;
    if (PyType_FastSubclass(type, Py_TPFLAGS_TYPE_SUBCLASS)) return AttributeHome::kClass;
    if (!is_tracked(type)) return AttributeHome::kNowhere;
    PyObject* found = _PyType_Lookup(type, name);
    if (!found)
        return type->tp_flags & Py_TPFLAGS_HEAPTYPE || type->tp_dictoffset ? AttributeHome::kDict
                                                                           : AttributeHome::kNowhere;
    if (Py_IS_TYPE(found, &PyMemberDescr_Type)) return AttributeHome::kSlot;
    if (Py_TYPE(found)->tp_descr_set) return AttributeHome::kNowhere;  // a property: its own code is watched
    if (store) return AttributeHome::kDict;
    return Py_TYPE(found)->tp_descr_get ? AttributeHome::kNowhere : AttributeHome::kDefault;
}

bool is_stored_from_outside(PyObject* name) {
    std::lock_guard hold(stored_mutex);
    return std::find(stored_from_outside.begin(), stored_from_outside.end(), name)
           != stored_from_outside.end();
}

void record_own_attribute(PyObject* object, PyObject* name, unsigned flags) {
    PyObject* dict = attribute_dict(object);
    PyObject* owner = owner_of_dict(dict, nullptr);
    if (TP_LIKELY(!owner)) {
        record_access(attribute_of(object, name), flags);
        return;
    }
    if (flags & kWrite && !has_own_attribute(object, name)) record_change(dict);
    record_access(owner == dict ? item_of(dict, name) : attribute_of(owner, name), flags);
}

void record_attribute_elsewhere(PyObject* object, PyObject* name, AttributeHome home, unsigned flags,
                                bool method) {
    switch (home) {
        case AttributeHome::kNowhere:
            if (TP_UNLIKELY(records_possible())) record_possible_attribute(object, name, flags);
            return;
        case AttributeHome::kModule: return record_module(object, name, flags);
        case AttributeHome::kSlot: record_access(attribute_of(object, name), flags); return;
        case AttributeHome::kDict: return record_own_attribute(object, name, flags);
        case AttributeHome::kClass:
            if (!method || flags & kWrite) record_class(reinterpret_cast<PyTypeObject*>(object), name, flags);
            else if (TP_UNLIKELY(records_possible()))
                record_possible_method(reinterpret_cast<PyTypeObject*>(object), name);
            return;
        case AttributeHome::kDefault:
            record_own_attribute(object, name, flags);
            if (!has_own_attribute(object, name)) record_class(Py_TYPE(object), name, flags);
            return;
    }
}

namespace {

void record_attribute_call(PyObject* function, PyObject* object, PyObject* name) {
    bool write = function == setattr_function || function == delattr_function;
    if (!write && function != getattr_function && function != hasattr_function) return;
    PyObject* interned = Py_NewRef(name);
    // the interpreter would do it next; never released: its address is the variable's field
    PyUnicode_InternInPlace(&interned);
    unsigned flags = write ? kWrite : function == hasattr_function ? kCheck : 0;
    record_attribute(object, interned, home_of(Py_TYPE(object), interned, write), flags, false);
}

void record_attribute_named(PyObject* object, PyObject* name) {
    if (PyUnicode_CheckExact(name)) record_attribute_call(getattr_function, object, name);
}

}  // namespace

// ---- containers

void record_change(PyObject* container) { record_access(structure_of(container), kChange); }

// keys that are compared one by one; a larger dict is asked itself, whose user-defined keys seldom have a
// plain key's hash
constexpr Py_ssize_t kFewKeys = 32;

Ref plain_value(PyObject* dict, PyObject* key) {
    PyObject *each, *value = nullptr;
    if (PyDict_GET_SIZE(dict) > kFewKeys) {
        if (PyDict_GetItemRef(dict, key, &value) < 0) PyErr_Clear();
        return Ref::steal(value);
    }
    ext::CriticalSection section(dict);  // its table is not replaced meanwhile
    for (Py_ssize_t place = 0; PyDict_Next(dict, &place, &each, &value);)
        if (each == key || (is_plain_key(each) && PyObject_RichCompareBool(each, key, Py_EQ) == 1))
            return Ref::borrow(value);
    return Ref();
}

void record_store(PyObject* dict, PyObject* key, unsigned flags) {
    // no news: it was stored in this epoch, so the key is present
    if (!record_access(key_of(dict, key), flags | kWrite) || !is_plain_key(key)) return;
    if (!plain_value(dict, key)) record_change(dict);
}

void record_item(PyObject* object, PyObject* key, unsigned flags) {
    if (PyList_CheckExact(object) && PyLong_CheckExact(key)) {  // the most frequent ones first
        record_access(index_of(object, key), flags);
        return;
    }
    if (is_value(Py_TYPE(object)) && !PyList_CheckExact(object) && !PyDict_CheckExact(object)) return;
    object = behind_proxy(object);
    if (TP_UNLIKELY(records_possible())) record_possible_item(object, flags);
    if (!runs_built_in_code(object, flags & kWrite ? Operation::kStore : Operation::kLoad)) return;
    if (PyDict_Check(object)) {
        if (flags & kWrite) record_store(object, key, flags);
        else record_access(key_of(object, key), flags);
    } else if (is_indexed(object) && PySlice_Check(key)) {
        record_access(structure_of(object), flags & kWrite ? kChange : kWholeStep);
    } else if (is_indexed(object)) {
        record_access(index_of(object, key), flags);
    }
}

void record_deletion(PyObject* object, PyObject* key) {
    if (TP_UNLIKELY(records_possible())) record_possible_item(object, kWrite);
    if (!is_container(object) || !runs_built_in_code(object, Operation::kDelete)) return;
    if (PyDict_Check(object)) record_access(key_of(object, key), kWrite | kStructure);
    record_change(object);
}

void record_membership(PyObject* object, PyObject* key) {
    bool values = PyDictValues_Check(object), items = PyDictItems_Check(object);
    if (TP_UNLIKELY(records_possible())) record_possible_item(object, 0);
    object = behind_view(object);
    if (items) {  // of (key, value), only the key is looked for
        if (!PyTuple_Check(key) || PyTuple_GET_SIZE(key) != 2) return;
        key = PyTuple_GET_ITEM(key, 0);
    }
    if (!is_container(object) || !runs_built_in_code(object, Operation::kContains)) return;
    if (PyDict_Check(object) && !values) record_access(key_of(object, key), kCheck);
    else if (PyAnySet_Check(object)) record_access(item_of(object, key), kCheck);
    else record_access(structure_of(object), kIterate);
}

void record_slice_store(PyObject* object) {
    if (is_indexed(object) && runs_built_in_code(object, Operation::kStore)) record_change(object);
}

void record_combination(PyObject* left, PyObject* right, bool in_place, unsigned one_step) {
    constexpr unsigned kViews = kKeys | kValues | kItemsViews;
    record_consumed(right, one_step & ~kViews);
    if (!in_place) record_consumed(left, one_step);
    else if (is_container(left) && !PyFrozenSet_Check(left)) record_change(left);
}

void record_comparison(PyObject* left, PyObject* right, unsigned one_step) {
    if (!left || !right || !is_container(behind_view(left)) || !is_container(behind_view(right))) return;
    record_consumed(left, one_step);
    record_consumed(right, one_step);
}

void record_match_keys(PyObject* mapping, PyObject* keys) {
    mapping = behind_proxy(mapping);
    if (!PyDict_Check(mapping) || !keys || !PyTuple_CheckExact(keys)) return;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(keys); ++i)
        record_access(key_of(mapping, PyTuple_GET_ITEM(keys, i)), kCheck);
}

void record_match_class(PyObject* object, PyObject* type, PyObject* names, std::size_t positional) {
    if (!type || !PyType_Check(type) || !PyObject_TypeCheck(object, reinterpret_cast<PyTypeObject*>(type)))
        return;
    auto read = [&](PyObject* tuple, std::size_t count) {
        if (!tuple || !PyTuple_CheckExact(tuple)) return;
        count = std::min(count, static_cast<std::size_t>(PyTuple_GET_SIZE(tuple)));
        for (std::size_t i = 0; i < count; ++i)
            record_attribute_named(object, PyTuple_GET_ITEM(tuple, static_cast<Py_ssize_t>(i)));
    };
    static PyObject* match_args = PyUnicode_InternFromString("__match_args__");
    if (positional > 0) read(_PyType_Lookup(reinterpret_cast<PyTypeObject*>(type), match_args), positional);
    if (names) read(names, SIZE_MAX);
}

namespace {

unsigned kind_of(PyObject* object) {
    PyTypeObject* type = Py_TYPE(object);
    if (type == &PyList_Type) return kLists;
    if (type == &PyDict_Type) return kDicts;
    if (PyAnySet_CheckExact(object)) return kSets;
    if (type == &PyDictKeys_Type) return kKeys;
    if (type == &PyDictValues_Type) return kValues;
    if (type == &PyDictItems_Type) return kItemsViews;
    if (PyList_Check(object)) return kListSubclasses;
    if (PyAnySet_Check(object)) return kSetSubclasses;
    return PyDict_Check(object) && type->tp_iter == PyDict_Type.tp_iter ? unsigned{kDictSubclasses} : 0;
}

}  // namespace

void record_consumed(PyObject* object, unsigned one_step) {
    if (object)
        record_whole(object, one_step & kind_of(object) ? kWholeStep : static_cast<unsigned>(kIterate));
}

void record_whole(PyObject* object, unsigned flags) {
    if (!object || PyFrozenSet_Check(object)) return;
    object = behind_view(object);
    if (is_container(object)) {
        Operation operation = flags & kIterate ? Operation::kIterate : Operation::kLength;
        if (runs_built_in_code(object, operation)) record_access(structure_of(object), flags);
    } else if (is_shared_iterator(object)) {
        record_access(iterator_of(object), kWrite | kUpdate);
    }
}

// ---- calls

void record_call(PyObject* function, PyObject* const* arguments, std::size_t count) {
    if (const Reader* reader = function ? readers.of(function) : nullptr) {
        for (std::size_t i = reader->first; i < count; ++i) {
            if (reader->size) record_whole(arguments[i], kCheck);
            else record_consumed(arguments[i], reader->one_step);
        }
        return;
    }
    if (count == 0 || !arguments[0]) return;
    if (function == vars_function) return note_own_dict(arguments[0]);
    if (count > 1 && arguments[1] && PyUnicode_CheckExact(arguments[1]))
        record_attribute_call(function, arguments[0], arguments[1]);
}

bool is_reader(PyObject* function) { return readers.of(function) != nullptr; }

bool records_calls() {
    if (!listening(kAccesses) || !in_program()) return false;
    bool wanted = false;
    each_access_subscriber([&](Subscriber& subscriber) { wanted |= subscriber.wants_call(); });
    return wanted && caller() == Caller::kProgram;
}

void record_arguments(PyObject* const* arguments, Py_ssize_t count, Py_ssize_t first, unsigned one_step) {
    for (Py_ssize_t i = first; i < count; ++i) record_consumed(arguments[i], one_step);
}

PyObject* add_reader(PyObject*, PyObject* arguments) {
    Reader reader;
    int size;
    if (!PyArg_ParseTuple(arguments, "OpIn:add_reader", &reader.callable, &size, &reader.one_step,
                          &reader.first))
        throw PythonError{};
    reader.size = size != 0;
    readers.add(reader);
    Py_RETURN_NONE;
}

void set_readers() {
    getattr_function = import_name("builtins", "getattr");
    hasattr_function = import_name("builtins", "hasattr");
    setattr_function = import_name("builtins", "setattr");
    delattr_function = import_name("builtins", "delattr");
    vars_function = import_name("builtins", "vars");
    local_type = import_name("_thread", "_local");
    Ref monitoring = Ref::steal(import_name("sys", "monitoring"));
    restart_events = checked(PyObject_GetAttrString(monitoring.get(), "restart_events"));
}

void lock_accesses() { stored_mutex.lock(); }
void unlock_accesses() { stored_mutex.unlock(); }

}  // namespace threadproof::probe

#endif
