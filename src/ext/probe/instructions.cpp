/// The callback of sys.monitoring: judges each instrumented instruction before it runs.
///
/// The instruction's operands are on the value stack of the interpreter's frame, at the places that sites.hpp
/// gives. They are borrowed: the frame holds them until the instruction runs, which is after the callback
/// returns.

#include "ext/probe/internals.hpp"

#ifdef THREADPROOF_PROBE

#include <algorithm>

#include "ext/probe/accesses.hpp"
#include "ext/probe/api.hpp"
#include "ext/probe/entry.hpp"
#include "ext/probe/objects.hpp"
#include "ext/probe/possible.hpp"
#include "ext/probe/sites.hpp"

namespace threadproof::probe {
namespace {

PyObject* disable = Py_None;   // sys.monitoring.DISABLE, once it is set
PyObject* recorder = nullptr;  // during the self-test: a list that gets the operands, which are not judged
std::atomic<std::uint64_t> given_up{0};  // relaxed: a count orders nothing
std::atomic<std::uint64_t> sampled{0};   // sites of which some executions were not judged; relaxed likewise

/// A site's operands, which the frame holds until the instruction has run.
class Operands {
 public:
    static constexpr std::size_t kMost = std::tuple_size_v<decltype(Site::operands)>;

    Operands(const Site& site, RunningFrame* frame) : site_(site), frame_(frame) {}

    /// Null if there is none, as for an unbound variable.
    TP_HOT PyObject* operator[](std::size_t number) const {
        Source source = site_.operands[number];
        // the most frequent ones first; a switch tests the others before them
        if (TP_LIKELY(source.from == Source::kLocal)) return local_in(frame_, source.index);
        if (source.from == Source::kStack) return on_stack(frame_, source.index);
        if (source.from == Source::kConstant) return site_.constant;
        return source.from == Source::kGlobals ? globals_in(frame_) : nullptr;
    }

 private:
    const Site& site_;
    RunningFrame* frame_;
};

// ---- the meaning of an instruction

AttributeHome home_at(Site& site, PyTypeObject* type) {
    std::uint64_t version = type->tp_version_tag;
    std::uint64_t cached = site.home.load(std::memory_order_relaxed);
    if (version && cached >> 8 == version) return static_cast<AttributeHome>(cached & 0xff);
    AttributeHome home = home_of(type, site.name, site.flags & kWrite);
    site.home.store(version << 8 | static_cast<std::uint8_t>(home), std::memory_order_relaxed);
    return home;
}

/// Whether it is the function of a generator expression, whose one argument is the iterable.
bool is_generator_expression(PyObject* function) {
    if (!function || !PyFunction_Check(function)) return false;
    auto* code = reinterpret_cast<PyCodeObject*>(PyFunction_GET_CODE(function));
    return PyUnicode_CompareWithASCIIString(code->co_name, "<genexpr>") == 0;
}

/// A thread that runs `__del__` is the object's only owner.
void begin_finaliser(PyObject* object) {
    if (PyCell_Check(object)) object = PyCell_GET(object);
    if (!object) return;
    publish(ObjectEvent{ObjectStep::kOwned, address_of(object)});
    if (PyObject* dict = attribute_dict(object)) publish(ObjectEvent{ObjectStep::kOwned, address_of(dict)});
}

void judge_call(const Site& site, const Operands& operands) {
    std::array<PyObject*, Operands::kMost - 2> arguments;
    std::size_t count = std::min<std::size_t>(site.flags, arguments.size());  // those by position
    for (std::size_t i = 0; i < count; ++i) arguments[i] = operands[i + 1];
    record_call(operands[0], arguments.data(), count);
}

/// A call of anything; the place for self is above the function.
void judge_any_call(const Site& site, const Operands& operands) {
    std::array<PyObject*, Operands::kMost - 2> arguments;
    std::size_t count = std::min<std::size_t>(site.flags, arguments.size());
    for (std::size_t i = 0; i < count; ++i) arguments[i] = operands[i + 2];
    record_call(operands[0], arguments.data(), count);
    if (records_possible()) record_possible_call(operands[0], operands[1], arguments.data(), count);
}

/// f(*arguments).
void judge_spread_call(const Operands& operands) {
    PyObject* arguments = operands[0];
    if (!records_possible() || !operands[2] || !PyTuple_CheckExact(arguments)) return;
    record_possible_call(operands[2], operands[3], reinterpret_cast<PyTupleObject*>(arguments)->ob_item,
                         static_cast<std::size_t>(PyTuple_GET_SIZE(arguments)));
}

/// The instructions besides the few that most programs consist of.
TP_APART void judge_rare(const Site& site, const Operands& operands, PyObject* object) {
    switch (site.kind) {
        case SiteKind::kDeleteItem: return record_deletion(object, operands[1]);
        case SiteKind::kContains: return record_membership(object, operands[1]);
        case SiteKind::kLoadOnce:
        case SiteKind::kLoadGlobal:
        case SiteKind::kStoreGlobal: record_access(global_of(object, site.name), site.flags); return;
        case SiteKind::kLoadCell:
        case SiteKind::kStoreCell: record_access(cell_of(object, site.name), site.flags); return;
        case SiteKind::kConsume:
        case SiteKind::kLoadSlice:
        case SiteKind::kShow: return record_consumed(object, site.argument);
        case SiteKind::kStoreSlice:
            record_consumed(operands[1], site.argument);
            return record_slice_store(object);
        case SiteKind::kCompare: return record_comparison(object, operands[1], site.argument);
        case SiteKind::kMatchKeys: return record_match_keys(object, operands[1]);
        case SiteKind::kMatchClass:
            return record_match_class(object, operands[1], operands[2], site.argument);
        case SiteKind::kCall:
        case SiteKind::kCallNamed: return judge_call(site, operands);
        case SiteKind::kLoadDict: return note_own_dict(object);
        case SiteKind::kStoreDict: return note_assigned_dict(object, operands[1]);
        case SiteKind::kCombine:
            return record_combination(object, operands[1], site.flags & kUpdate, site.argument);
        case SiteKind::kTruth: return record_whole(object, kCheck);
        case SiteKind::kSpread:
            record_consumed(object, site.argument);
            record_consumed(operands[1], kDicts | kDictSubclasses);
            return judge_spread_call(operands);
        case SiteKind::kImported: return publish_modules_seen(site.name);
        case SiteKind::kFinalise: return begin_finaliser(object);
        case SiteKind::kAdvance:
            if (records_possible()) record_possible_advance(object);
            return;
        case SiteKind::kAnyCall:
        case SiteKind::kAnyCallNamed: return judge_any_call(site, operands);
        case SiteKind::kGenerate:
            if (is_generator_expression(object)) record_whole(operands[1], kIterate);
            return;
        default: return;
    }
}

void judge(Site& site, const Operands& operands) {
    PyObject* object = operands[0];
    if (!object) return;
    switch (site.kind) {
        case SiteKind::kLoadAttribute:
        case SiteKind::kLoadMethod:
        case SiteKind::kStoreAttribute:
            return record_attribute(object, site.name, home_at(site, Py_TYPE(object)), site.flags,
                                    site.kind == SiteKind::kLoadMethod);
        case SiteKind::kStoreItem:
            if (TP_UNLIKELY(operands[1] && PySlice_Check(operands[1]))) record_consumed(operands[2], kLists);
            record_item(object, operands[1], site.flags);
            // after the access, for that is ordered before whoever takes the item out, too
            if (PyDict_CheckExact(object) && listening(kHandOvers) && operands[2])
                hand_over(HandOverStep::kPut, object, operands[2]);
            return;
        case SiteKind::kLoadItem: return record_item(object, operands[1], site.flags);
        default: return judge_rare(site, operands, object);
    }
}

// ---- which sites stay instrumented

bool is_useful(const Site& site, const Operands& operands) {
    switch (site.kind) {
        case SiteKind::kCombine:
            return (operands[0] && is_container(operands[0])) || (operands[1] && is_container(operands[1]));
        case SiteKind::kShow: return operands[0] && is_container(behind_view(operands[0]));
        case SiteKind::kCompare:
            return operands[0] && operands[1] && is_container(behind_view(operands[0]))
                   && is_container(behind_view(operands[1]));
        case SiteKind::kTruth: return operands[0] && is_container(operands[0]);
        case SiteKind::kGenerate: return is_generator_expression(operands[0]);
        case SiteKind::kLoadOnce: return is_stored_from_outside(site.name);
        default: return true;
    }
}

// executions: an instruction that had only values and methods as operands until then hardly ever has others
constexpr std::uint32_t kIdle = 1000;

bool is_idle(Site& site, const Operands& operands) {
    if (!is_useful(site, operands)) return true;
    if (this_thread.accessed) return false;
    // a load and a store, not an atomic addition: losing a count is cheaper than contending for it
    std::uint32_t count = site.idle.load(std::memory_order_relaxed) + 1;
    site.idle.store(count, std::memory_order_relaxed);
    return count >= kIdle;
}

TP_APART bool may_be_done(Site& site, const Operands& operands) {
    bool idle = is_idle(site, operands);
    if (!idle && !listening(kSites)) return false;
    SiteEvent event{site.number, idle};
    bool done = true;
    each_access_subscriber([&](Subscriber& subscriber) { done &= subscriber.done_with(event); });
    bool first = done && !idle && !site.sampled.exchange(true, std::memory_order_relaxed);
    if (first) sampled.fetch_add(1, std::memory_order_relaxed);
    return done;
}

/// Whether no subscriber needs more events of this site, now that it has been judged.
TP_HOT bool is_done(Site& site, const Operands& operands) {
    if (site.stay == Stay::kAlways) return false;
    bool stays = site.stay == Stay::kUnlessIdle && this_thread.accessed && !listening(kSites);
    return !TP_LIKELY(stays) && may_be_done(site, operands);
}

PyObject* give_up() {
    given_up.fetch_add(1, std::memory_order_relaxed);
    return Py_NewRef(disable);
}

/// For the self-test: (kind of site, first and second operand).
void record(const Site& site, const Operands& operands) {
    PyObject *first = operands[0], *second = operands[1];
    Ref entry = Ref::steal(Py_BuildValue("sOO", kSiteKindNames[static_cast<int>(site.kind)],
                                         first ? first : Py_None, second ? second : Py_None));
    if (!entry || PyList_Append(recorder, entry.get()) < 0) PyErr_Clear();
}

}  // namespace

PyObject* instruction(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
    if (TP_UNLIKELY(count != 2 || !PyCode_Check(arguments[0]) || !PyLong_CheckExact(arguments[1]))) {
        PyErr_SetString(PyExc_TypeError, "instruction() takes a code object and an offset");
        throw PythonError{};
    }
    CodeSites* code = sites_of(arguments[0]);
    std::size_t offset = ext::Digits(arguments[1]).digits[0];  // one digit: code has less than 2^30 bytes
    Site* site = TP_LIKELY(code != nullptr) ? code->at(offset / kCodeUnit) : nullptr;
    if (TP_UNLIKELY(!site)) return give_up();
    if (TP_UNLIKELY(recorder != nullptr)) {
        record(*site, Operands(*site, innermost_frame()));
    } else if (TP_LIKELY(listening(kAccesses))) {
        this_thread.accessed = false;
        Operands operands(*site, innermost_frame());
        judge(*site, operands);
        if (TP_UNLIKELY(take_verdict() == Verdict::kUnwind)) {
            raise_unwinding();
            throw PythonError{};
        }
        if (TP_UNLIKELY(is_done(*site, operands))) return give_up();
    }
    Py_RETURN_NONE;
}

PyObject* module_returned(PyObject*, PyObject* const*, Py_ssize_t) {
    PyObject* name = PyDict_GetItemString(globals_in(innermost_frame()), "__name__");
    if (name && PyUnicode_Check(name)) publish(ModuleEvent{ModuleStep::kRan, name});
    return Py_NewRef(disable);
}

void set_disable(PyObject* sentinel) { disable = Py_NewRef(sentinel); }

PyObject* sites_given_up(PyObject*, PyObject*) {
    return PyLong_FromUnsignedLongLong(given_up.load(std::memory_order_relaxed));
}

PyObject* sites_sampled(PyObject*, PyObject*) {
    return PyLong_FromUnsignedLongLong(sampled.load(std::memory_order_relaxed));
}

PyObject* record_operands(PyObject*, PyObject* list) {
    Py_XDECREF(std::exchange(recorder, list == Py_None ? nullptr : Py_NewRef(list)));
    Py_RETURN_NONE;
}

PyObject* different_structure_name(PyObject*, PyObject*) {
    const char* name = different_structure();
    if (!name) Py_RETURN_NONE;
    return PyUnicode_FromString(name);
}

PyObject* takes_interrupts(PyObject*, PyObject*) {
    std::uintptr_t before = take_interrupts();
    // one that the program has waiting would be lost; what has worked for it works
    bool taken = (before & _PY_ASYNC_EXCEPTION_BIT) != 0;
    if (!taken) {
        unsigned long thread = PyThread_get_thread_ident();
        PyThreadState_SetAsyncExc(thread, PyExc_KeyboardInterrupt);
        taken = (take_interrupts() & _PY_ASYNC_EXCEPTION_BIT) != 0;
        PyThreadState_SetAsyncExc(thread, nullptr);
    }
    restore_interrupts(before);
    return PyBool_FromLong(taken);
}

PyObject* read_object(PyObject*, PyObject* arguments) {
    PyObject *object, *name;
    if (!PyArg_ParseTuple(arguments, "OU:read_object", &object, &name)) throw PythonError{};
    PyObject* dict = attribute_dict(object);
    return Py_BuildValue("ONO", dict ? dict : Py_None, PyBool_FromLong(has_own_attribute(object, name)),
                         behind_view(object));
}

}  // namespace threadproof::probe

#endif
