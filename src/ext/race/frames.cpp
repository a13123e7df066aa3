/// Reads the interpreter's frames: the operands of an instruction that is about to run, and the call stack.
///
/// sys.monitoring calls race_instruction() before each instruction of the program's code. What the
/// instruction will touch is on the value stack of the frame; race_internals.hpp says where.
///
/// A code object of the program carries CodeSites: for each instruction, what kind it is and what it names.
/// Operands are borrowed: the frame holds them until the instruction runs, and it runs only after we return.

#include "ext/race/internals.hpp"

#ifdef THREADPROOF_RACE

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <mutex>
#include <shared_mutex>

namespace threadproof::ext {
namespace {

using race::Thread;

constexpr race::Sync kModules = 1;  // what imports synchronise by: no object's address

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
    kCallNamed,
    kLoadSlice,
    kStoreSlice,
    kImported,
    kFinalise,
    kLoadDict,
    kStoreDict,
    kLoadOnce,
    kCombine,
    kTruth,
    kSpread,
    kGenerate,
};
constexpr const char* kKindNames[] = {
    "none",        "load_attribute", "load_method", "store_attribute", "load_item",  "store_item",
    "delete_item", "contains",       "load_global", "store_global",    "load_cell",  "store_cell",
    "iterate",     "unpack",         "call",        "call_named",      "load_slice", "store_slice",
    "imported",    "finalise",       "load_dict",   "store_dict",      "load_once",  "combine",
    "truth",       "spread",         "generate"};

/// Where an attribute of a type's instances lives, as far as it can race.
enum class Home : std::uint8_t { kNowhere, kSlot, kDict, kModule, kClass, kDefault };

/// Where an operand is when the watched instruction is about to run.
struct Source {
    enum From : std::uint8_t { kNothing, kStack, kLocal, kConstant, kGlobals };
    From from = kNothing;
    std::uint32_t index = 0;  // from the top of the stack, 1 is the top; or of the local
};

/// One instruction, watched at itself or at one before it. `seen` is the type version last met here and its
/// Home, in one word so that threads cannot tear it.
struct Site {
    Kind kind = Kind::kNone;
    std::uint16_t traits = 0;
    std::uint16_t argument = 0;
    std::array<Source, 5> operands;  // as many as placement.py gives a call: the function, and arguments
    std::int32_t instruction = 0;    // where it is, in code units
    PyObject* name = nullptr;
    PyObject* constant = nullptr;
    std::atomic<std::uint64_t> seen{0};  // relaxed: a cache of what home_of() would say
    std::atomic<std::uint32_t> idle{0};  // how often nothing was touched that threads can share
    race::Bursts bursts;
};

/// Lives as long as the process: reports name its code.
struct CodeSites {
    CodeSites(bool muted, Py_ssize_t units, std::size_t count)
        : muted(muted), places(static_cast<std::size_t>(units)), sites(count) {}

    /// The site watched at this code unit, or null.
    TP_HOT Site* at(std::size_t unit) {
        std::uint16_t place = unit < places.size() ? places[unit] : 0;
        return place ? &sites[place - 1] : nullptr;
    }

    const bool muted;                   // library code whose locks are no synchronisation of the program's
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
PyObject *getattr_function, *hasattr_function, *setattr_function, *delattr_function, *vars_function;
PyObject* restart_events;  // sys.monitoring.restart_events

CodeSites* sites_of(PyObject* code) {
    void* extra = nullptr;
    PyUnstable_Code_GetExtra(code, race_state().extra, &extra);
    return static_cast<CodeSites*>(extra);
}

/// A site's operands, which the frame holds until the watched instruction has run.
class Operands {
 public:
    static constexpr std::size_t kMost = std::tuple_size_v<decltype(Site::operands)>;

    Operands(const Site& site, Running* frame) : site_(site), frame_(frame) {}

    /// Null where there is none, as in a variable that is not bound.
    TP_HOT PyObject* operator[](std::size_t number) const {
        Source source = site_.operands[number];
        switch (source.from) {
            case Source::kStack: return on_stack(frame_, source.index);
            case Source::kLocal: return local_in(frame_, source.index);
            case Source::kConstant: return site_.constant;
            case Source::kGlobals: return globals_in(frame_);
            default: return nullptr;
        }
    }

 private:
    const Site& site_;
    Running* frame_;
};

// ---- attributes

/// Only objects whose death we hear of are watched: an address used again must not look like the old object.
bool death_is_known(PyTypeObject* type) {
    while (type && type->tp_dealloc == race_state().subtype_dealloc) type = type->tp_base;
    return type && counts_death(type);
}

bool is_value(PyTypeObject* type) {
    return type == &PyUnicode_Type || type == &PyLong_Type || type == &PyFloat_Type || type == &PyTuple_Type
           || type == &PyBytes_Type || type == &PyList_Type || type == &PyDict_Type || type == &PySet_Type
           || type == &PyFunction_Type;
}

Home home_of(PyTypeObject* type, PyObject* name, bool store) {
    if (is_value(type) || PyType_IsSubtype(type, race_state().local_type)) return Home::kNowhere;
    if (type == &PyModule_Type) return Home::kModule;
    if (PyType_FastSubclass(type, Py_TPFLAGS_TYPE_SUBCLASS)) return Home::kClass;
    if (!death_is_known(type)) return Home::kNowhere;
    PyObject* found = _PyType_Lookup(type, name);
    if (!found)
        return type->tp_flags & Py_TPFLAGS_HEAPTYPE || type->tp_dictoffset ? Home::kDict : Home::kNowhere;
    if (Py_IS_TYPE(found, &PyMemberDescr_Type)) return Home::kSlot;
    if (Py_TYPE(found)->tp_descr_set) return Home::kNowhere;  // a property: its own code is watched
    if (store) return Home::kDict;
    return Py_TYPE(found)->tp_descr_get ? Home::kNowhere : Home::kDefault;
}

Home home_at(Site& site, PyTypeObject* type, bool store) {
    std::uint64_t version = type->tp_version_tag;
    std::uint64_t seen = site.seen.load(std::memory_order_relaxed);
    if (version && seen >> 8 == version) return static_cast<Home>(seen & 0xff);
    Home home = home_of(type, site.name, store);
    site.seen.store(version << 8 | static_cast<std::uint8_t>(home), std::memory_order_relaxed);
    return home;
}

/// An attribute in an object's own dict: one variable by either name, o.x and o.__dict__["x"].
void touch_own(PyObject* object, PyObject* name, bool write, unsigned traits) {
    PyObject* dict = attribute_dict(object);
    PyObject* owner = owner_of_dict(dict, nullptr);
    if (!owner) return touch(attribute_of(object, name), write, traits);
    if (write && !has_own_attribute(object, name))
        touch(structure_of(dict), true, race::kStructure | race::kAtomic);
    touch(owner == dict ? item_of(dict, name) : attribute_of(owner, name), write, traits);
}

void touch_class(PyTypeObject* type, PyObject* name, bool write, unsigned traits) {
    PyObject* owner = write ? reinterpret_cast<PyObject*>(type) : class_that_has(type, name);
    touch(attribute_of(owner, name), write, traits);
}

/// Names of globals that somebody stored as attributes of their module: their readers must be watched.
std::vector<PyObject*>& stored_from_outside = *new std::vector<PyObject*>;
std::shared_mutex stored_mutex;

bool is_stored_from_outside(PyObject* name) {
    std::shared_lock hold(stored_mutex);
    return std::find(stored_from_outside.begin(), stored_from_outside.end(), name)
           != stored_from_outside.end();
}

/// Reads of a global that its own file stores but once are watched from its second store on.
void note_stored_from_outside(PyObject* name) {
    if (is_stored_from_outside(name)) return;
    {
        std::unique_lock hold(stored_mutex);
        stored_from_outside.push_back(Py_NewRef(name));
    }
    Ref result = Ref::steal(PyObject_CallNoArgs(restart_events));
    if (!result) PyErr_Clear();
}

void touch_module(PyObject* module, PyObject* name, bool write, unsigned traits) {
    if (write) note_stored_from_outside(name);
    touch(global_of(PyModule_GetDict(module), name), write, traits);
}

void touch_attribute(PyObject* object, PyObject* name, Home home, bool write, unsigned traits, bool method) {
    switch (home) {
        case Home::kNowhere: return;
        case Home::kModule: return touch_module(object, name, write, traits);
        case Home::kSlot: return touch(attribute_of(object, name), write, traits);
        case Home::kDict: return touch_own(object, name, write, traits);
        case Home::kClass:
            return method && !write
                       ? void()
                       : touch_class(reinterpret_cast<PyTypeObject*>(object), name, write, traits);
        case Home::kDefault:  // the class's, for instances that have none of their own
            touch_own(object, name, write, traits);
            return has_own_attribute(object, name) ? void()
                                                   : touch_class(Py_TYPE(object), name, write, traits);
    }
}

// ---- containers

bool keyed(PyObject* container) { return PyDict_Check(container) || PyAnySet_Check(container); }
/// What has items by position: a list, a deque, a bytearray, an array.
bool indexed(PyObject* container) {
    if (PyList_Check(container)) return true;
    const auto& others = race_state().indexed;
    return std::any_of(others.begin(), others.end(),
                       [&](PyTypeObject* type) { return PyObject_TypeCheck(container, type); });
}

bool container(PyObject* object) { return keyed(object) || indexed(object); }

void touch_item(PyObject* object, PyObject* key, bool write, unsigned traits) {
    // mostly
    if (PyList_CheckExact(object) && PyLong_CheckExact(key))
        return touch(index_of(object, key), write, traits);
    if (is_value(Py_TYPE(object)) && !PyList_CheckExact(object) && !PyDict_CheckExact(object)) return;
    if (!runs_own_code(object, write ? Access::kStore : Access::kLoad)) return;
    if (PyDict_Check(object))
        return write ? touch_store(object, key, traits) : touch(key_of(object, key), false, traits);
    if (!indexed(object)) return;
    if (PySlice_Check(key))
        return touch(structure_of(object), write,
                     race::kAtomic | (write ? race::kStructure : race::kIterate));
    touch(index_of(object, key), write, traits);
}

void touch_deletion(PyObject* object, PyObject* key) {
    if (!container(object) || !runs_own_code(object, Access::kDelete)) return;
    if (PyDict_Check(object)) touch(key_of(object, key), true, race::kStructure);
    touch(structure_of(object), true, race::kStructure | race::kAtomic);
}

void touch_membership(PyObject* object, PyObject* key) {
    bool values = PyDictValues_Check(object);
    object = behind_view(object);
    if (!container(object) || !runs_own_code(object, Access::kContains)) return;
    if (PyDict_Check(object) && !values) touch(key_of(object, key), false, race::kCheck);
    else if (PyAnySet_Check(object)) touch(item_of(object, key), false, race::kCheck);
    else touch(structure_of(object), false, race::kIterate);
}

/// `l += x` and `s |= x` change the left one; every other operation, and all of the right one, is read.
void touch_combined(PyObject* left, PyObject* right, bool inplace) {
    touch_whole(right, race::kIterate | race::kAtomic);
    if (!inplace) touch_whole(left, race::kIterate | race::kAtomic);
    else if (container(left) && !PyFrozenSet_Check(left))
        touch(structure_of(left), true, race::kStructure | race::kAtomic);
}

}  // namespace

void touch_whole(PyObject* object, unsigned traits) {
    if (!object) return;
    object = behind_view(object);
    if (container(object)) {
        Access access = traits & race::kIterate ? Access::kIterate : Access::kLength;
        if (runs_own_code(object, access)) touch(structure_of(object), false, traits);
    } else if (is_shared_iterator(object)) {
        touch(iterator_of(object), true, race::kUpdate);
    }
}

namespace {

/// A builtin called with `count` arguments, the last of which is `above` the top of the stack.
void touch_call(const Operands& operands, std::uint32_t count) {
    PyObject *function = operands[0], *first = operands[1], *second = operands[2];
    for (const Reader& reader : readers)
        if (reader.function == function) {
            for (std::size_t i = 1; i <= std::min<std::size_t>(count, Operands::kMost - 1); ++i)
                touch_whole(operands[i], reader.traits);
            return;
        }
    if (function == vars_function && first) return note_own_dict(first);
    if (!first || !second || !PyUnicode_CheckExact(second)) return;
    bool write = function == setattr_function || function == delattr_function;
    if (!write && function != getattr_function && function != hasattr_function) return;
    PyObject* name = Py_NewRef(second);
    // the interpreter would do it next; kept, because variables are told apart by it
    PyUnicode_InternInPlace(&name);
    unsigned traits = function == hasattr_function ? race::kCheck : 0;
    touch_attribute(first, name, home_of(Py_TYPE(first), name, write), write, traits, false);
}

// ---- instructions

/// What the modules did at their tops comes before what their importers do; a module is known by its name
/// here.
void see_modules(PyObject* names) {
    Thread* me = race_thread();
    for (Py_ssize_t i = 0; me && i < PyTuple_GET_SIZE(names); ++i)
        race_state().detector.acquire(*me, kModules, number_of_key(PyTuple_GET_ITEM(names, i)));
}

/// Whether it is the function of a generator expression, whose one argument is what it goes over.
bool generates(PyObject* function) {
    if (!function || !PyFunction_Check(function)) return false;
    auto* code = reinterpret_cast<PyCodeObject*>(PyFunction_GET_CODE(function));
    return PyUnicode_CompareWithASCIIString(code->co_name, "<genexpr>") == 0;
}

/// Whoever runs `__del__` has the object for itself.
void begin_finaliser(PyObject* object) {
    Thread* me = race_thread();
    if (!me || !object) return;
    if (PyCell_Check(object)) object = PyCell_GET(object);
    race_state().detector.last_use(*me, reinterpret_cast<race::Object>(object));
    if (PyObject* dict = attribute_dict(object))
        race_state().detector.last_use(*me, reinterpret_cast<race::Object>(dict));
}

/// What does more than the few instructions that programs are made of.
TP_APART void judge_rare(Site& site, const Operands& operands, PyObject* object) {
    unsigned traits = site.traits;
    switch (site.kind) {
        case Kind::kDeleteItem: return touch_deletion(object, operands[1]);
        case Kind::kContains: return touch_membership(object, operands[1]);
        case Kind::kLoadOnce:
        case Kind::kLoadGlobal: return touch(global_of(object, site.name), false, traits);
        case Kind::kStoreGlobal: return touch(global_of(object, site.name), true, traits);
        case Kind::kLoadCell: return touch(cell_of(object, site.name), false, traits);
        case Kind::kStoreCell: return touch(cell_of(object, site.name), true, traits);
        case Kind::kIterate: return touch_whole(object, race::kIterate);
        case Kind::kUnpack: return touch_whole(object, race::kIterate | race::kAtomic);
        case Kind::kCall:
        case Kind::kCallNamed: return touch_call(operands, site.argument);
        case Kind::kLoadDict: return note_own_dict(object);
        case Kind::kStoreDict: return note_dict(object, operands[1], true);
        case Kind::kCombine: return touch_combined(object, operands[1], site.argument != 0);
        case Kind::kTruth: return touch_whole(object, race::kCheck);
        case Kind::kSpread:
            return touch_whole(object, race::kIterate | race::kAtomic),
                   touch_whole(operands[1], race::kIterate | race::kAtomic);
        case Kind::kLoadSlice: return touch_whole(object, race::kIterate | race::kAtomic);
        case Kind::kStoreSlice:
            if (indexed(object) && runs_own_code(object, Access::kStore))
                touch(structure_of(object), true, race::kStructure | race::kAtomic);
            return;
        case Kind::kImported: return see_modules(site.name);
        case Kind::kFinalise: return begin_finaliser(object);
        case Kind::kGenerate: return generates(object) ? touch_whole(operands[1], race::kIterate) : void();
        default: return;
    }
}

void judge(Site& site, const Operands& operands) {
    PyObject* object = operands[0];
    if (!object) return;
    switch (site.kind) {
        case Kind::kLoadAttribute:
        case Kind::kLoadMethod:
            return touch_attribute(object, site.name, home_at(site, Py_TYPE(object), false), false,
                                   site.traits, site.kind == Kind::kLoadMethod);
        case Kind::kStoreAttribute:
            return touch_attribute(object, site.name, home_at(site, Py_TYPE(object), true), true, site.traits,
                                   false);
        case Kind::kLoadItem: return touch_item(object, operands[1], false, site.traits);
        case Kind::kStoreItem: return touch_item(object, operands[1], true, site.traits);
        default: return judge_rare(site, operands, object);
    }
}

/// Sites that are kept only if they have to do with a container the first time, or with a global that is
/// stored again.
bool is_worth_watching(const Site& site, const Operands& operands) {
    switch (site.kind) {
        case Kind::kCombine:
            return (operands[0] && container(operands[0])) || (operands[1] && container(operands[1]));
        case Kind::kTruth: return operands[0] && container(operands[0]);
        case Kind::kGenerate: return generates(operands[0]);
        case Kind::kLoadOnce: return is_stored_from_outside(site.name);
        default: return true;
    }
}

/// For the self-test: (kind, what the instruction is about to use).
void write_down(const Site& site, const Operands& operands) {
    PyObject *first = operands[0], *second = operands[1];
    Ref entry = Ref::steal(Py_BuildValue("sOO", kKindNames[static_cast<int>(site.kind)],
                                         first ? first : Py_None, second ? second : Py_None));
    if (!entry || PyList_Append(watched, entry.get()) < 0) PyErr_Clear();
}

/// What orders, or says whose a dict is, counts each time.
bool tells_of_order(Kind kind) {
    return kind == Kind::kImported || kind == Kind::kFinalise || kind == Kind::kLoadDict
           || kind == Kind::kStoreDict;
}

// times: an instruction that met only values and methods until then, meets nothing else
constexpr std::uint32_t kIdle = 1000;

/// Whether there is no more to be learned at this site, now that it has been judged.
bool done_with(Site& site, const Operands& operands) {
    if (tells_of_order(site.kind)) return false;
    if (!is_worth_watching(site, operands)) return true;
    if (!this_thread.touched && race::counted(site.idle) >= kIdle) return true;
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
    std::int64_t offset;
    Site* site = code && small_int(arguments[1], &offset)
                     ? code->at(static_cast<std::size_t>(offset) / kCodeUnit)
                     : nullptr;
    if (TP_UNLIKELY(!site)) return no_more();
    if (TP_UNLIKELY(watched != nullptr)) {
        write_down(*site, Operands(*site, innermost()));
    } else if (TP_LIKELY(watching())) {
        this_thread.touched = false;
        Operands operands(*site, innermost());
        judge(*site, operands);
        if (TP_UNLIKELY(done_with(*site, operands))) return no_more();
    }
    Py_RETURN_NONE;
}

// ---- for Python

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
                      : Source{*of == 's' ? Source::kStack : Source::kLocal,
                               static_cast<std::uint32_t>(PyLong_AsUnsignedLong(value))};
}

/// Where the first operand is of an instruction that finds it by itself.
Source implied(Kind kind, std::uint32_t argument) {
    switch (kind) {
        case Kind::kImported:
        case Kind::kLoadOnce:
        case Kind::kLoadGlobal:
        case Kind::kStoreGlobal: return {Source::kGlobals, 0};
        case Kind::kFinalise: return {Source::kLocal, 0};
        case Kind::kLoadCell:
        case Kind::kStoreCell: return {Source::kLocal, argument};
        default: return {};
    }
}

/// One placement.Placed becomes the site; returns the offset of the instruction to watch.
Py_ssize_t fill(Site& site, PyObject* description) {
    Py_ssize_t watched_at, offset;
    const char* kind;
    PyObject *name, *operands;
    if (!PyArg_ParseTuple(description, "nnsHHOO!", &watched_at, &offset, &kind, &site.traits, &site.argument,
                          &name, &PyTuple_Type, &operands))
        throw PythonError{};
    static std::atomic<std::uint32_t> sites{0};
    site.bursts.number = sites.fetch_add(1, std::memory_order_relaxed);  // relaxed: different is enough
    site.kind = kind_named(kind);
    site.instruction = static_cast<std::int32_t>(offset / static_cast<Py_ssize_t>(kCodeUnit));
    site.operands[0] = implied(site.kind, site.argument);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(operands); ++i)
        site.operands.at(static_cast<std::size_t>(i)) = source_in(PyTuple_GET_ITEM(operands, i), site);
    if (name != Py_None) {
        site.name = Py_NewRef(name);
        if (PyUnicode_CheckExact(name)) PyUnicode_InternInPlace(&site.name);
    }
    return watched_at;
}

/// race_register(code, [placement.Placed, ...], muted).
PyObject* race_register(PyObject*, PyObject* arguments) {
    PyObject *code, *descriptions;
    int muted;
    if (!PyArg_ParseTuple(arguments, "O!O!p:race_register", &PyCode_Type, &code, &PyList_Type, &descriptions,
                          &muted))
        return nullptr;
    if (sites_of(code)) Py_RETURN_NONE;
    std::size_t count =
        std::min<std::size_t>(static_cast<std::size_t>(PyList_GET_SIZE(descriptions)), UINT16_MAX);
    auto made = std::make_unique<CodeSites>(muted != 0, muted ? 0 : Py_SIZE(code), count);
    for (std::size_t i = 0; i < count; ++i) {
        Py_ssize_t offset = fill(made->sites[i], PyList_GET_ITEM(descriptions, static_cast<Py_ssize_t>(i)));
        made->places.at(static_cast<std::size_t>(offset) / kCodeUnit) = static_cast<std::uint16_t>(i + 1);
    }
    if (PyUnstable_Code_SetExtra(code, race_state().extra, made.get()) < 0) return nullptr;
    made.release();
    Py_RETURN_NONE;
}

PyObject* race_registered(PyObject*, PyObject* code) {
    return PyBool_FromLong(PyCode_Check(code) && sites_of(code));
}

void take_types(PyObject* tuple, std::vector<PyTypeObject*>& into) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); ++i)
        into.push_back(reinterpret_cast<PyTypeObject*>(Py_NewRef(PyTuple_GET_ITEM(tuple, i))));
}

/// race_configure(DISABLE, restart_events, instance of a plain class, types with items by position,
/// iterators, {builtin: traits}).
PyObject* race_configure(PyObject*, PyObject* arguments) {
    PyObject *sentinel, *restart, *instance, *indexed, *iterators, *builtins;
    if (!PyArg_ParseTuple(arguments, "OOOO!O!O!:race_configure", &sentinel, &restart, &instance,
                          &PyTuple_Type, &indexed, &PyTuple_Type, &iterators, &PyDict_Type, &builtins))
        return nullptr;
    disable = Py_NewRef(sentinel);
    restart_events = Py_NewRef(restart);
    race_state().subtype_dealloc = Py_TYPE(instance)->tp_dealloc;
    take_types(indexed, race_state().indexed);
    take_types(iterators, race_state().iterators);
    PyObject *function, *traits;
    for (Py_ssize_t place = 0; PyDict_Next(builtins, &place, &function, &traits);)
        readers.push_back({Py_NewRef(function), static_cast<unsigned>(PyLong_AsUnsignedLong(traits))});
    Ref module = Ref::steal(checked(PyImport_ImportModule("builtins")));
    getattr_function = checked(PyObject_GetAttrString(module.get(), "getattr"));
    hasattr_function = checked(PyObject_GetAttrString(module.get(), "hasattr"));
    setattr_function = checked(PyObject_GetAttrString(module.get(), "setattr"));
    delattr_function = checked(PyObject_GetAttrString(module.get(), "delattr"));
    vars_function = checked(PyObject_GetAttrString(module.get(), "vars"));
    Py_RETURN_NONE;
}

/// race_ran_module(name): what it did at its top is done.
PyObject* race_ran_module(PyObject*, PyObject* name) {
    if (Thread* me = race_thread()) race_state().detector.release(*me, kModules, number_of_key(name));
    Py_RETURN_NONE;
}

PyObject* race_see_modules(PyObject*, PyObject* names) {
    if (PyTuple_Check(names)) see_modules(names);
    Py_RETURN_NONE;
}

/// Calls (callable, arguments...), and nothing comes in the middle of it.
PyObject* call_undisturbed(PyObject* callable, PyObject* const* arguments, Py_ssize_t count) {
    Undisturbed undisturbed;
    return PyObject_Vectorcall(callable, arguments, static_cast<std::size_t>(count), nullptr);
}

PyMethodDef undisturbed_definition = {"undisturbed", method<call_undisturbed>(), METH_FASTCALL, nullptr};

/// race_undisturbed(callable): a callable that does the same, undisturbed.
PyObject* race_undisturbed(PyObject*, PyObject* callable) {
    return PyCFunction_New(&undisturbed_definition, callable);
}

/// race_read_object(object, attribute), for the self-test: (the dict of its attributes or None, whether it
/// has this one itself, what it is a view of).
PyObject* race_read_object(PyObject*, PyObject* arguments) {
    PyObject *object, *name;
    if (!PyArg_ParseTuple(arguments, "OU:race_read_object", &object, &name)) return nullptr;
    PyObject* dict = attribute_dict(object);
    return Py_BuildValue("ONO", dict ? dict : Py_None, PyBool_FromLong(has_own_attribute(object, name)),
                         behind_view(object));
}

/// A list to write operands into instead of judging them; None to end that.
PyObject* race_watch(PyObject*, PyObject* list) {
    Py_XDECREF(std::exchange(watched, list == Py_None ? nullptr : Py_NewRef(list)));
    Py_RETURN_NONE;
}

PyObject* race_forget_list_append(PyObject*, PyObject*) {
    forget_list_append();
    Py_RETURN_NONE;
}

}  // namespace

bool race_knows_death(PyTypeObject* type) { return death_is_known(type); }

Undisturbed::Undisturbed() : pending_(hold_interrupts()) {}
Undisturbed::~Undisturbed() { let_interrupts_come(pending_); }

Caller race_caller() {
    Running* frame = python_frame(innermost());
    CodeSites* code = frame ? sites_of(code_of(frame)) : nullptr;
    if (!code) return Caller::kLibrary;
    return code->muted ? Caller::kMuted : Caller::kProgram;
}

namespace {

/// The offset of the instruction that the frame is at: if it is watched in another's place, the other's.
std::int64_t offset_in(Running* frame) {
    std::int64_t unit = unit_in(frame);
    CodeSites* code = sites_of(code_of(frame));
    Site* site = code ? code->at(static_cast<std::size_t>(unit)) : nullptr;
    return (site ? site->instruction : unit) * static_cast<std::int64_t>(kCodeUnit);
}

std::uint32_t capture_stack(std::size_t deepest) {
    race::Depot<Frame>::Sequence frames;
    frames.reserve(deepest);
    for (Running* frame = python_frame(innermost()); frame && frames.size() < deepest;
         frame = caller_of(frame))
        frames.push_back({reinterpret_cast<std::uintptr_t>(code_of(frame)), offset_in(frame)});
    return race_state().stacks.number_of(frames, [](const auto& kept) {
        // for ever: a report names it
        for (const Frame& frame : kept) Py_INCREF(reinterpret_cast<PyObject*>(frame.code));
    });
}

}  // namespace

std::uint32_t race_capture_stack(race::Thread& me, std::size_t more) {
    std::size_t deepest = race_state().deepest + more;
    std::uint64_t hash = race::kHashSeed;
    each_place(deepest, [&](std::uint64_t place) { hash = race::hash_on(hash, place); });
    return me.stacks.number_of(hash, [deepest] { return capture_stack(deepest); });
}

PyMethodDef race_frame_functions[] = {
    {"race_instruction", method<race_instruction>(), METH_FASTCALL,
     "race_instruction(code, offset, /)\n--\n\n"},
    {"race_register", method<race_register>(), METH_VARARGS,
     "race_register($module, code, sites, muted, /)\n--\n\n"},
    {"race_registered", race_registered, METH_O, "race_registered($module, code, /)\n--\n\n"},
    {"race_configure", method<race_configure>(), METH_VARARGS,
     "race_configure($module, disable, restart, instance, indexed, iterators, builtins, /)\n--\n\n"},
    {"race_ran_module", race_ran_module, METH_O, "race_ran_module($module, name, /)\n--\n\n"},
    {"race_see_modules", race_see_modules, METH_O, "race_see_modules($module, names, /)\n--\n\n"},
    {"race_undisturbed", race_undisturbed, METH_O, "race_undisturbed($module, callback, /)\n--\n\n"},
    {"race_read_object", race_read_object, METH_VARARGS,
     "race_read_object($module, object, attribute, /)\n--\n\n"},
    {"race_watch", race_watch, METH_O, "race_watch($module, into, /)\n--\n\n"},
    {"race_forget_list_append", race_forget_list_append, METH_NOARGS,
     "race_forget_list_append($module, /)\n--\n\n"},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace threadproof::ext

#endif
