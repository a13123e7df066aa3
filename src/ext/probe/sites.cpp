/// Registers the sites of code objects.

#include "ext/probe/internals.hpp"

#ifdef THREADPROOF_PROBE

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>

#include "ext/probe/api.hpp"
#include "ext/probe/entry.hpp"
#include "ext/probe/sites.hpp"

namespace threadproof::probe {

Py_ssize_t code_extra = -1;

namespace {

std::atomic<std::uint32_t> sites{0};  // of all code; relaxed: their numbers only have to be different

std::vector<std::string>& uninstrumented_prefixes = *new std::vector<std::string>;

/// The mark of code that has no sites, so that its file is checked only once.
CodeSites& library_code = *new CodeSites(Caller::kLibrary, 0, 0);
CodeSites& uninstrumented_code = *new CodeSites(Caller::kUninstrumented, 0, 0);

bool has_sites(PyObject* code) {
    CodeSites* known = sites_of(code);
    return known && known->owner == Caller::kProgram;
}

bool is_uninstrumented(PyObject* code) {
    const char* file = PyUnicode_AsUTF8(reinterpret_cast<PyCodeObject*>(code)->co_filename);
    if (!file) PyErr_Clear();
    return file
           && std::any_of(uninstrumented_prefixes.begin(), uninstrumented_prefixes.end(),
                          [&](const std::string& prefix) {
                              return std::strncmp(file, prefix.c_str(), prefix.size()) == 0;
                          });
}

TP_APART Caller classify(PyObject* code) {
    PyObject* raised = PyErr_GetRaisedException();
    CodeSites& found = is_uninstrumented(code) ? uninstrumented_code : library_code;
    if (PyUnstable_Code_SetExtra(code, code_extra, &found) < 0) PyErr_Clear();
    PyErr_SetRaisedException(raised);
    return found.owner;
}

SiteKind kind_named(const char* name) {
    for (std::size_t i = 0; i < std::size(kSiteKindNames); ++i)
        if (std::strcmp(kSiteKindNames[i], name) == 0) return static_cast<SiteKind>(i);
    PyErr_Format(PyExc_ValueError, "there is no kind of site '%s'", name);
    throw PythonError{};
}

/// A placement.Source of Python.
Source source_in(PyObject* described, Site& site) {
    const char* of;
    PyObject* value;
    if (!PyArg_ParseTuple(described, "sO", &of, &value)) throw PythonError{};
    if (std::strcmp(of, "constant") == 0) {
        site.constant = Py_NewRef(value);
        return {Source::kConstant, 0};
    }
    auto index = static_cast<std::uint32_t>(PyLong_AsUnsignedLong(value));
    return {std::strcmp(of, "stack") == 0 ? Source::kStack : Source::kLocal, index};
}

/// The first operand of an instruction that has none on the stack.
Source implied(SiteKind kind, std::uint32_t argument) {
    switch (kind) {
        case SiteKind::kImported:
        case SiteKind::kLoadOnce:
        case SiteKind::kLoadGlobal:
        case SiteKind::kStoreGlobal: return {Source::kGlobals, 0};
        case SiteKind::kFinalise: return {Source::kLocal, 0};
        case SiteKind::kLoadCell:
        case SiteKind::kStoreCell: return {Source::kLocal, argument};
        default: return {};
    }
}

bool is_store(SiteKind kind) {
    return kind == SiteKind::kStoreAttribute || kind == SiteKind::kStoreItem || kind == SiteKind::kStoreGlobal
           || kind == SiteKind::kStoreCell;
}

Stay stay_of(SiteKind kind) {
    switch (kind) {
        case SiteKind::kCombine:
        case SiteKind::kTruth:
        case SiteKind::kShow:
        case SiteKind::kCompare:
        case SiteKind::kGenerate:
        case SiteKind::kAdvance:
        case SiteKind::kLoadOnce: return Stay::kIfUseful;
        case SiteKind::kImported:
        case SiteKind::kFinalise:
        case SiteKind::kLoadDict:
        case SiteKind::kStoreDict: return Stay::kAlways;
        default: return Stay::kUnlessIdle;
    }
}

/// Fills the site from a placement.Placement of Python; returns the offset at which it is instrumented.
Py_ssize_t fill(Site& site, PyObject* described) {
    Py_ssize_t instrumented, offset;
    const char* kind;
    PyObject *name, *operands;
    if (!PyArg_ParseTuple(described, "nnsHHOO!", &instrumented, &offset, &kind, &site.flags, &site.argument,
                          &name, &PyTuple_Type, &operands))
        throw PythonError{};
    site.number = sites.fetch_add(1, std::memory_order_relaxed);
    site.kind = kind_named(kind);
    site.stay = stay_of(site.kind);
    if (is_store(site.kind)) site.flags |= kWrite;
    site.instruction = static_cast<std::int32_t>(offset / static_cast<Py_ssize_t>(kCodeUnit));
    site.operands[0] = implied(site.kind, site.argument);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(operands); ++i)
        site.operands.at(static_cast<std::size_t>(i)) = source_in(PyTuple_GET_ITEM(operands, i), site);
    if (name != Py_None) {
        site.name = Py_NewRef(name);
        if (PyUnicode_CheckExact(name)) PyUnicode_InternInPlace(&site.name);
    }
    return instrumented;
}

}  // namespace

Caller owner_of_code(PyObject* code) {
    CodeSites* known = sites_of(code);
    return TP_LIKELY(known != nullptr) ? known->owner : classify(code);
}

PyObject* count_sites(PyObject*, PyObject*) {
    return PyLong_FromUnsignedLong(sites.load(std::memory_order_relaxed));
}

void set_uninstrumented(PyObject* prefixes) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(prefixes); ++i) {
        const char* prefix = PyUnicode_AsUTF8(PyTuple_GET_ITEM(prefixes, i));
        if (!prefix) throw PythonError{};
        uninstrumented_prefixes.emplace_back(prefix);
    }
    if (code_extra < 0) code_extra = PyUnstable_Eval_RequestCodeExtraIndex(nullptr);
}

PyObject* register_code(PyObject*, PyObject* arguments) {
    PyObject *code, *descriptions;
    int replace = 0;
    if (!PyArg_ParseTuple(arguments, "O!O!|p:register", &PyCode_Type, &code, &PyList_Type, &descriptions,
                          &replace))
        throw PythonError{};
    if (has_sites(code) && !replace)
        Py_RETURN_NONE;  // an earlier list stays in memory: a thread may be using it
    std::size_t count =
        std::min<std::size_t>(static_cast<std::size_t>(PyList_GET_SIZE(descriptions)), UINT16_MAX);
    auto made = std::make_unique<CodeSites>(Caller::kProgram, Py_SIZE(code), count);
    for (std::size_t i = 0; i < count; ++i) {
        Py_ssize_t offset = fill(made->sites[i], PyList_GET_ITEM(descriptions, static_cast<Py_ssize_t>(i)));
        made->numbers.at(static_cast<std::size_t>(offset) / kCodeUnit) = static_cast<std::uint16_t>(i + 1);
    }
    if (PyUnstable_Code_SetExtra(code, code_extra, made.get()) < 0) throw PythonError{};
    made.release();
    Py_RETURN_NONE;
}

PyObject* is_registered(PyObject*, PyObject* code) {
    return PyBool_FromLong(PyCode_Check(code) && has_sites(code));
}

}  // namespace threadproof::probe

#endif
