/// Describes variables; see descriptions.hpp.

#include "ext/race/descriptions.hpp"

#ifdef THREADPROOF_PROBE

#include "ext/probe/entry.hpp"

namespace threadproof::ext {
namespace {

using probe::Part;
using probe::Variable;

const char* name_of(Part part) {
    static constexpr const char* kNames[] = {"item", TP_PARTS(TP_NAME)};
    return kNames[static_cast<std::size_t>(part)];
}

PyObject* owner_of(const Variable& variable) {
    if (variable.part == Part::kGlobal) {
        PyObject* module = PyDict_GetItemString(variable.object, "__name__");
        return module && PyUnicode_CheckExact(module) ? Py_NewRef(module) : PyUnicode_FromString("?");
    }
    auto* type = PyType_Check(variable.object) ? reinterpret_cast<PyTypeObject*>(variable.object)
                                               : Py_TYPE(variable.object);
    return PyType_GetQualName(type);
}

/// A key's repr, only if that runs no user code.
PyObject* text_of(PyObject* key) {
    if (!key) return Py_NewRef(Py_None);
    return probe::is_plain_key(key) ? PyObject_Repr(key)
                                    : PyUnicode_FromFormat("<%s>", Py_TYPE(key)->tp_name);
}

PyObject* name_in(const Variable& variable) {
    bool by_key =
        variable.part == Part::kItem || variable.part == Part::kIndex || variable.part == Part::kValue;
    return by_key ? text_of(variable.name) : Py_XNewRef(variable.name);
}

}  // namespace

void Descriptions::add(std::size_t race, const Variable& variable, race::Origin origin) {
    // a C method may be on its way out with an exception
    probe::with_exception_aside([&] {
        Description made{owner_of(variable), name_in(variable), name_of(variable.part), origin};
        PyErr_Clear();
        std::lock_guard hold(mutex_);
        by_race_.insert_or_assign(race, made);
    });
}

Description Descriptions::of(std::size_t race) const {
    std::lock_guard hold(mutex_);
    auto found = by_race_.find(race);
    return found == by_race_.end() ? Description{nullptr, nullptr, name_of(Part::kNone), {}} : found->second;
}

}  // namespace threadproof::ext

#endif
