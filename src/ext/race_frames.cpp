/// Reads the interpreter's frames: the operands of an instruction that is about to run, and the call stack.
///
/// sys.monitoring calls race_instruction() before each instruction of the program's code. What the instruction will touch is
/// on the value stack of the frame, which CPython has saved by then. No public function shows it, so this file, and no
/// other, relies on CPython's internal headers. Python code checks at start-up that what is read here is what a
/// known program really has there (race/selftest.py), and refuses to go on otherwise.
///
/// A code object of the program carries CodeSites: for each instruction, what kind it is and what it names. Operands are
/// borrowed: the frame holds them until the instruction runs, and it runs only after we return.

#define Py_BUILD_CORE_MODULE 1  // what CPython's own modules say to see its internals; before Python.h
#include "ext/race.hpp"

#ifdef THREADPROOF_RACE

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
extern "C" {
#include "internal/pycore_frame.h"
#include "internal/pycore_interp.h"
#include "internal/pycore_interpframe.h"
}
#pragma GCC diagnostic pop

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

namespace threadproof::ext {
namespace {

enum class Kind : std::uint8_t {
    kNone,
    kLoadAttribute,
    kLoadMethod,
    kStoreAttribute,
    kLoadItem,
    kStoreItem,
    kDeleteItem,
    kContains,
    kLoadGlobal,
    kStoreGlobal,
    kLoadCell,
    kStoreCell,
    kIterate,
    kUnpack,
    kCall,
    kLoadSlice,
    kStoreSlice,
};
constexpr const char* kKindNames[] = {"none",      "load_attribute", "load_method",  "store_attribute", "load_item",  "store_item",
                                      "delete_item", "contains",     "load_global",  "store_global",    "load_cell",  "store_cell",
                                      "iterate",   "unpack",         "call",         "load_slice",      "store_slice"};

/// Where an attribute of a type's instances lives, as far as it can race.
enum class Home : std::uint8_t { kNowhere, kSlot, kDict, kModule, kClass };

/// Where an operand is when the watched instruction is about to run.
struct Source {
    enum From : std::uint8_t { kNothing, kStack, kLocal, kConstant };
    From from = kNothing;
    std::uint32_t index = 0;  // from the top of the stack, 1 is the top; or of the local
};

/// One instruction, watched at itself or at one before it. `seen` is the type version last met here and its Home, in one word
/// so that threads cannot tear it.
struct Site {
    Kind kind = Kind::kNone;
    std::uint16_t traits = 0;
    std::uint16_t argument = 0;
    std::array<Source, 3> operands;
    std::int32_t instruction = 0;  // where it is, in code units
    PyObject* name = nullptr;
    PyObject* constant = nullptr;
    std::atomic<std::uint64_t> seen{0};  // relaxed: a cache of what home_of() would say
    std::atomic<std::uint32_t> idle{0};  // how often nothing was touched that threads can share
    race::Bursts bursts;
};

/// Lives as long as the process: reports name its code.
struct CodeSites {
    CodeSites(bool muted, Py_ssize_t units, std::size_t count) : muted(muted), places(static_cast<std::size_t>(units)), sites(count) {}

    /// The site watched at this code unit, or null.
    TP_HOT Site* at(std::size_t unit) {
        std::uint16_t place = unit < places.size() ? places[unit] : 0;
        return place ? &sites[place - 1] : nullptr;
    }

    const bool muted;  // library code whose locks are no synchronisation of the program's
    std::vector<std::uint16_t> places;  // for each code unit, 1 + its place in sites, or 0
    std::vector<Site> sites;
};

PyObject* watched = nullptr;  // during the self-test, where operands are written down instead of judged
PyObject* disable = nullptr;  // sys.monitoring.DISABLE

/// What a call of a builtin does to its first argument.
struct Reader {
    PyObject* function;
    unsigned traits;
};
std::vector<Reader>& readers = *new std::vector<Reader>;
PyObject *getattr_function, *hasattr_function, *setattr_function, *delattr_function;
destructor subtype_dealloc;

CodeSites* sites_of(PyObject* code) {
    void* extra = nullptr;
    PyUnstable_Code_GetExtra(code, race_state().extra, &extra);
    return static_cast<CodeSites*>(extra);
}

PyObject* code_of(const _PyInterpreterFrame* frame) {
    if (frame->owner == FRAME_OWNED_BY_INTERPRETER) return nullptr;
    PyObject* code = PyStackRef_AsPyObjectBorrow(frame->f_executable);
    return code && PyCode_Check(code) ? code : nullptr;
}

/// The innermost frame of Python code, at or below `frame`.
_PyInterpreterFrame* python_frame(_PyInterpreterFrame* frame) {
    while (frame && (!code_of(frame) || _PyFrame_IsIncomplete(frame))) frame = frame->previous;
    return frame;
}

_PyInterpreterFrame* current_frame() { return python_frame(PyThreadState_Get()->current_frame); }

// ------------------------------------------------------------------------------------------------ attributes

/// Only objects whose death we hear of are watched: an address used again must not look like the old object.
bool death_is_known(PyTypeObject* type) {
    while (type && type->tp_dealloc == subtype_dealloc) type = type->tp_base;
    return type && counts_death(type);
}

bool is_value(PyTypeObject* type) {
    return type == &PyUnicode_Type || type == &PyLong_Type || type == &PyFloat_Type || type == &PyTuple_Type || type == &PyBytes_Type
        || type == &PyList_Type || type == &PyDict_Type || type == &PySet_Type || type == &PyFunction_Type;
}

Home home_of(PyTypeObject* type, PyObject* name, bool store) {
    if (is_value(type) || PyType_IsSubtype(type, race_state().local_type)) return Home::kNowhere;
    if (type == &PyModule_Type) return Home::kModule;
    if (PyType_FastSubclass(type, Py_TPFLAGS_TYPE_SUBCLASS)) return Home::kClass;
    if (!death_is_known(type)) return Home::kNowhere;
    PyObject* found = _PyType_Lookup(type, name);
    if (!found) return type->tp_flags & Py_TPFLAGS_HEAPTYPE || type->tp_dictoffset ? Home::kDict : Home::kNowhere;
    if (Py_IS_TYPE(found, &PyMemberDescr_Type)) return Home::kSlot;
    if (Py_TYPE(found)->tp_descr_set) return Home::kNowhere;  // a property: its own code is watched
    return !store && Py_TYPE(found)->tp_descr_get ? Home::kNowhere : Home::kDict;
}

Home home_at(Site& site, PyTypeObject* type, bool store) {
    std::uint64_t version = type->tp_version_tag;
    std::uint64_t seen = site.seen.load(std::memory_order_relaxed);
    if (version && seen >> 8 == version) return static_cast<Home>(seen & 0xff);
    Home home = home_of(type, site.name, store);
    site.seen.store(version << 8 | static_cast<std::uint8_t>(home), std::memory_order_relaxed);
    return home;
}

/// The dict that holds the object's attributes, if it has been asked for; until then nobody can touch them through it.
PyObject* attribute_dict(PyObject* object) {
    if (!(Py_TYPE(object)->tp_flags & Py_TPFLAGS_MANAGED_DICT)) return nullptr;
    auto* managed = reinterpret_cast<PyDictObject**>(reinterpret_cast<char*>(object) + MANAGED_DICT_OFFSET);
    return reinterpret_cast<PyObject*>(__atomic_load_n(managed, __ATOMIC_ACQUIRE));  // acquire: as _PyObject_GetManagedDict
}

void touch_attribute(PyObject* object, PyObject* name, Home home, bool write, unsigned traits, bool method) {
    if (home == Home::kNowhere || (home == Home::kClass && method && !write)) return;
    if (home == Home::kModule) return touch(global_of(PyModule_GetDict(object), name), write, traits);
    Variable variable = attribute_of(object, name);
    if (home == Home::kDict)
        if (PyObject* dict = attribute_dict(object)) {  // one variable by either name: o.x and o.__dict__["x"]
            Variable item = item_of(dict, name);
            return touch({dict, item.field, Part::kItem, name}, write, traits);
        }
    touch(variable, write, traits);
}

// ------------------------------------------------------------------------------------------------ containers

bool keyed(PyObject* container) { return PyDict_Check(container) || PyAnySet_Check(container); }
bool container(PyObject* object) { return PyList_Check(object) || keyed(object) || Py_TYPE(object) == race_state().deque_type; }

void touch_item(PyObject* object, PyObject* key, bool write, unsigned traits) {
    if (PyList_CheckExact(object)) {
        if (PySlice_Check(key)) return touch(structure_of(object), write, race::kAtomic | (write ? race::kStructure : race::kIterate));
        touch(index_of(object, key), write, traits);
    } else if (PyDict_Check(object)) {
        write ? touch_store(object, key, traits) : touch(item_of(object, key), false, traits);
    }
}

void touch_deletion(PyObject* object, PyObject* key) {
    if (PyList_CheckExact(object)) touch(structure_of(object), true, race::kStructure | race::kAtomic);
    if (!PyDict_Check(object)) return;
    touch(item_of(object, key), true, race::kStructure);
    touch(structure_of(object), true, race::kStructure | race::kAtomic);
}

void touch_membership(PyObject* object, PyObject* key) {
    if (keyed(object)) touch(item_of(object, key), false, race::kCheck);
    else if (PyList_CheckExact(object)) touch(structure_of(object), false, race::kIterate);
}

/// What dict.keys(), values() and items() return; CPython declares it in no header.
struct DictView {
    PyObject base;
    PyObject* dict;
};

/// The container behind one of its views; itself if it is none.
PyObject* behind_view(PyObject* object) {
    bool view = PyDictViewSet_Check(object) || PyDictValues_Check(object);
    return view ? reinterpret_cast<DictView*>(object)->dict : object;
}

void touch_whole(PyObject* object, unsigned traits) {
    if (!object) return;
    object = behind_view(object);
    if (container(object)) touch(structure_of(object), false, traits);
}

/// A builtin called with `count` arguments, of which `arguments` is the first.
void touch_call(PyObject* function, PyObject* first, PyObject* second, std::uint32_t count) {
    for (const Reader& reader : readers)
        if (reader.function == function) return touch_whole(first, reader.traits);
    if (count < 2 || !PyUnicode_CheckExact(second)) return;
    bool write = function == setattr_function || function == delattr_function;
    if (!write && function != getattr_function && function != hasattr_function) return;
    PyObject* name = Py_NewRef(second);
    PyUnicode_InternInPlace(&name);  // the interpreter would do it next; kept, because variables are told apart by it
    unsigned traits = function == hasattr_function ? race::kCheck : 0;
    touch_attribute(first, name, home_of(Py_TYPE(first), name, write), write, traits, false);
}

// ------------------------------------------------------------------------------------------------ instructions

/// A site's operands, which the frame holds until the watched instruction has run.
class Operands {
 public:
    Operands(const Site& site, _PyInterpreterFrame* frame) : site_(site), frame_(frame) {}

    /// Null where there is none, as in a variable that is not bound.
    PyObject* operator[](std::size_t number) const {
        Source source = site_.operands[number];
        switch (source.from) {
            case Source::kStack: return object(frame_->stackpointer[-static_cast<std::ptrdiff_t>(source.index)]);
            case Source::kLocal: return local(source.index);
            case Source::kConstant: return site_.constant;
            default: return nullptr;
        }
    }
    PyObject* local(std::uint32_t index) const { return object(frame_->localsplus[index]); }
    PyObject* globals() const { return frame_->f_globals; }

 private:
    static PyObject* object(_PyStackRef operand) {
        return PyStackRef_IsNull(operand) ? nullptr : PyStackRef_AsPyObjectBorrow(operand);
    }

    const Site& site_;
    _PyInterpreterFrame* frame_;
};

/// What the instruction is about to use first.
PyObject* subject(const Site& site, const Operands& operands) {
    switch (site.kind) {
        case Kind::kLoadGlobal:
        case Kind::kStoreGlobal: return operands.globals();
        case Kind::kLoadCell:
        case Kind::kStoreCell: return operands.local(site.argument);
        default: return operands[0];
    }
}

void judge(Site& site, const Operands& operands) {
    unsigned traits = site.traits;
    PyObject* object = subject(site, operands);
    if (!object) return;
    switch (site.kind) {
        case Kind::kLoadAttribute:
        case Kind::kLoadMethod:
            return touch_attribute(object, site.name, home_at(site, Py_TYPE(object), false), false, traits, site.kind == Kind::kLoadMethod);
        case Kind::kStoreAttribute: return touch_attribute(object, site.name, home_at(site, Py_TYPE(object), true), true, traits, false);
        case Kind::kLoadItem: return touch_item(object, operands[1], false, traits);
        case Kind::kStoreItem: return touch_item(object, operands[1], true, traits);
        case Kind::kDeleteItem: return touch_deletion(object, operands[1]);
        case Kind::kContains: return touch_membership(object, operands[1]);
        case Kind::kLoadGlobal: return touch(global_of(object, site.name), false, traits);
        case Kind::kStoreGlobal: return touch(global_of(object, site.name), true, traits);
        case Kind::kLoadCell: return touch(cell_of(object, site.name), false, traits);
        case Kind::kStoreCell: return touch(cell_of(object, site.name), true, traits);
        case Kind::kIterate: return touch_whole(object, race::kIterate);
        case Kind::kUnpack: return touch_whole(object, race::kIterate | race::kAtomic);
        case Kind::kCall: return touch_call(object, operands[1], operands[2], site.argument);
        case Kind::kLoadSlice: return touch_whole(object, race::kIterate | race::kAtomic);
        case Kind::kStoreSlice:
            if (PyList_CheckExact(object)) touch(structure_of(object), true, race::kStructure | race::kAtomic);
            return;
        case Kind::kNone: return;
    }
}

/// For the self-test: (kind, what the instruction is about to use).
void write_down(const Site& site, const Operands& operands) {
    PyObject *first = subject(site, operands), *second = operands[1];
    Ref entry = Ref::steal(Py_BuildValue("sOO", kKindNames[static_cast<int>(site.kind)], first ? first : Py_None, second ? second : Py_None));
    if (!entry || PyList_Append(watched, entry.get()) < 0) PyErr_Clear();
}

constexpr std::uint32_t kIdle = 1000;  // times: an instruction that met only values and methods until then, meets nothing else

/// Whether there is no more to be learned at this site, now that it has been judged.
bool done_with(Site& site) {
    if (!this_thread.touched) return race::counted(site.idle) >= kIdle;
    race::Sampling& sampling = race_state().sampling;
    return TP_UNLIKELY(sampling.on()) && sampling.last_look(site.bursts);
}

PyObject* no_more() {
    race_state().sampling.give_up();
    return Py_NewRef(disable);
}

/// The callback of sys.monitoring: (code, offset of the instruction).
PyObject* race_instruction(PyObject*, PyObject* const* arguments, Py_ssize_t) {
    CodeSites* code = sites_of(arguments[0]);
    std::size_t offset = static_cast<std::size_t>(PyLong_AsSsize_t(arguments[1]));
    Site* site = code ? code->at(offset / sizeof(_Py_CODEUNIT)) : nullptr;
    if (TP_UNLIKELY(!site)) return no_more();
    if (TP_UNLIKELY(watched != nullptr)) {
        write_down(*site, Operands(*site, PyThreadState_Get()->current_frame));
    } else if (TP_LIKELY(watching())) {
        this_thread.touched = false;
        judge(*site, Operands(*site, PyThreadState_Get()->current_frame));
        if (TP_UNLIKELY(done_with(*site))) return no_more();
    }
    Py_RETURN_NONE;
}

// ------------------------------------------------------------------------------------------------ for Python

Kind kind_named(const char* name) {
    for (std::size_t i = 1; i < std::size(kKindNames); ++i)
        if (std::strcmp(kKindNames[i], name) == 0) return static_cast<Kind>(i);
    PyErr_Format(PyExc_ValueError, "an instruction of the race detector has no kind '%s'", name);
    throw PythonError{};
}

Source source_in(PyObject* described, Site& site) {
    const char* of;
    PyObject* value;
    if (!PyArg_ParseTuple(described, "sO", &of, &value)) throw PythonError{};
    if (*of == 'c') site.constant = Py_NewRef(value);
    return *of == 'c' ? Source{Source::kConstant, 0}
                      : Source{*of == 's' ? Source::kStack : Source::kLocal, static_cast<std::uint32_t>(PyLong_AsUnsignedLong(value))};
}

/// One placement.Placed becomes the site; returns the offset of the instruction to watch.
Py_ssize_t fill(Site& site, PyObject* description) {
    Py_ssize_t watched_at, offset;
    const char* kind;
    PyObject *name, *operands;
    if (!PyArg_ParseTuple(description, "nnsHHOO!", &watched_at, &offset, &kind, &site.traits, &site.argument, &name, &PyTuple_Type, &operands))
        throw PythonError{};
    static std::atomic<std::uint32_t> sites{0};
    site.bursts.number = sites.fetch_add(1, std::memory_order_relaxed);  // relaxed: different is enough
    site.kind = kind_named(kind);
    site.instruction = static_cast<std::int32_t>(offset / static_cast<Py_ssize_t>(sizeof(_Py_CODEUNIT)));
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(operands); ++i)
        site.operands.at(static_cast<std::size_t>(i)) = source_in(PyTuple_GET_ITEM(operands, i), site);
    if (name != Py_None) {
        site.name = Py_NewRef(name);
        PyUnicode_InternInPlace(&site.name);
    }
    return watched_at;
}

/// race_register(code, [placement.Placed, ...], muted).
PyObject* race_register(PyObject*, PyObject* arguments) {
    PyObject *code, *descriptions;
    int muted;
    if (!PyArg_ParseTuple(arguments, "O!O!p:race_register", &PyCode_Type, &code, &PyList_Type, &descriptions, &muted)) return nullptr;
    if (sites_of(code)) Py_RETURN_NONE;
    std::size_t count = std::min<std::size_t>(static_cast<std::size_t>(PyList_GET_SIZE(descriptions)), UINT16_MAX);
    auto made = std::make_unique<CodeSites>(muted != 0, muted ? 0 : Py_SIZE(code), count);
    for (std::size_t i = 0; i < count; ++i) {
        Py_ssize_t offset = fill(made->sites[i], PyList_GET_ITEM(descriptions, static_cast<Py_ssize_t>(i)));
        made->places.at(static_cast<std::size_t>(offset) / sizeof(_Py_CODEUNIT)) = static_cast<std::uint16_t>(i + 1);
    }
    if (PyUnstable_Code_SetExtra(code, race_state().extra, made.get()) < 0) return nullptr;
    made.release();
    Py_RETURN_NONE;
}

PyObject* race_registered(PyObject*, PyObject* code) { return PyBool_FromLong(PyCode_Check(code) && sites_of(code)); }

/// race_configure(DISABLE, instance of a plain class, deque, {builtin: traits}).
PyObject* race_configure(PyObject*, PyObject* arguments) {
    PyObject *sentinel, *instance, *deque, *builtins;
    if (!PyArg_ParseTuple(arguments, "OOO!O!:race_configure", &sentinel, &instance, &PyType_Type, &deque, &PyDict_Type, &builtins))
        return nullptr;
    disable = Py_NewRef(sentinel);
    subtype_dealloc = Py_TYPE(instance)->tp_dealloc;
    race_state().deque_type = reinterpret_cast<PyTypeObject*>(Py_NewRef(deque));
    PyObject *function, *traits;
    for (Py_ssize_t place = 0; PyDict_Next(builtins, &place, &function, &traits);)
        readers.push_back({Py_NewRef(function), static_cast<unsigned>(PyLong_AsUnsignedLong(traits))});
    Ref module = Ref::steal(checked(PyImport_ImportModule("builtins")));
    getattr_function = checked(PyObject_GetAttrString(module.get(), "getattr"));
    hasattr_function = checked(PyObject_GetAttrString(module.get(), "hasattr"));
    setattr_function = checked(PyObject_GetAttrString(module.get(), "setattr"));
    delattr_function = checked(PyObject_GetAttrString(module.get(), "delattr"));
    Py_RETURN_NONE;
}

/// A list to write operands into instead of judging them; None to end that.
PyObject* race_watch(PyObject*, PyObject* list) {
    Py_XDECREF(std::exchange(watched, list == Py_None ? nullptr : Py_NewRef(list)));
    Py_RETURN_NONE;
}

/// CPython has a shortcut for list.append that no method definition sees: this takes it away.
PyObject* race_forget_list_append(PyObject*, PyObject*) {
    PyInterpreterState_Get()->callable_cache.list_append = Py_None;
    Py_RETURN_NONE;
}

}  // namespace

bool race_knows_death(PyTypeObject* type) { return death_is_known(type); }

Caller race_caller() {
    _PyInterpreterFrame* frame = current_frame();
    CodeSites* code = frame ? sites_of(code_of(frame)) : nullptr;
    if (!code) return Caller::kLibrary;
    return code->muted ? Caller::kMuted : Caller::kProgram;
}

namespace {

/// Calls visit(frame) for the frames of Python code, the innermost first.
template <class Visit>
void each_frame(std::size_t deepest, Visit&& visit) {
    std::size_t depth = 0;
    for (_PyInterpreterFrame* frame = current_frame(); frame && depth < deepest; frame = python_frame(frame->previous), ++depth)
        visit(frame);
}

/// The offset of the instruction that the frame is at: if it is watched in another's place, the other's.
std::int64_t offset_in(_PyInterpreterFrame* frame) {
    std::int64_t unit = _PyInterpreterFrame_LASTI(frame);
    CodeSites* code = sites_of(code_of(frame));
    Site* site = code ? code->at(static_cast<std::size_t>(unit)) : nullptr;
    return (site ? site->instruction : unit) * static_cast<std::int64_t>(sizeof(_Py_CODEUNIT));
}

std::uint32_t capture_stack(std::size_t deepest) {
    race::Depot<Frame>::Sequence frames;
    each_frame(deepest, [&](_PyInterpreterFrame* frame) { frames.push_back({reinterpret_cast<std::uintptr_t>(code_of(frame)), offset_in(frame)}); });
    return race_state().stacks.number_of(frames, [](const auto& kept) {
        for (const Frame& frame : kept) Py_INCREF(reinterpret_cast<PyObject*>(frame.code));  // for ever: a report names it
    });
}

}  // namespace

std::uint32_t race_capture_stack(race::Thread& me, std::size_t more) {
    std::size_t deepest = race_state().deepest + more;
    std::uint64_t hash = race::kHashSeed;
    each_frame(deepest, [&](_PyInterpreterFrame* frame) {
        hash = race::hash_on(hash, reinterpret_cast<std::uintptr_t>(code_of(frame)));
        hash = race::hash_on(hash, reinterpret_cast<std::uintptr_t>(frame->instr_ptr));
    });
    return me.stacks.number_of(hash, [deepest] { return capture_stack(deepest); });
}

PyMethodDef race_frame_functions[] = {
    {"race_instruction", method<race_instruction>(), METH_FASTCALL, "race_instruction(code, offset, /)\n--\n\n"},
    {"race_register", method<race_register>(), METH_VARARGS, "race_register($module, code, sites, muted, /)\n--\n\n"},
    {"race_registered", race_registered, METH_O, "race_registered($module, code, /)\n--\n\n"},
    {"race_configure", method<race_configure>(), METH_VARARGS, "race_configure($module, disable, instance, deque, builtins, /)\n--\n\n"},
    {"race_watch", race_watch, METH_O, "race_watch($module, into, /)\n--\n\n"},
    {"race_forget_list_append", race_forget_list_append, METH_NOARGS, "race_forget_list_append($module, /)\n--\n\n"},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace threadproof::ext

#endif
