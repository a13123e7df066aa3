/// Publishes the deallocation of objects, so that state of a deallocated object is not attributed to the next
/// object at its address.
///
/// A type's tp_dealloc is replaced by a function here that calls the original. The function has to know its
/// original, and C function pointers carry no data. So there is one function for each number, made by a
/// template. A class written in Python calls the tp_dealloc of its built-in base, so tracking the base is
/// enough.

#include "ext/probe/api.hpp"
#include "ext/probe/entry.hpp"
#include "ext/probe/objects.hpp"

#ifdef THREADPROOF_PROBE

#include <array>

namespace threadproof::probe {
namespace {

constexpr std::size_t kMostTypes = 96;  // twice what interceptors.py tracks

std::array<destructor, kMostTypes> originals;
std::array<destructor, kMostTypes> replacements;
std::size_t type_count = 0;

TP_APART void publish_deallocation(PyObject* object) noexcept {
    contained([&] {
        forget_dicts(object);
        forget_thread(object);
        publish(ObjectEvent{ObjectStep::kDeallocated, address_of(object)});
    });
}

template <std::size_t kNumber>
void deallocate(PyObject* object) noexcept {
    if (object_filter().any(address_of(object))) publish_deallocation(object);
    originals[kNumber](object);
}

template <std::size_t... kNumbers>
destructor replacement(std::size_t number, std::index_sequence<kNumbers...>) {
    static const destructor all[] = {&deallocate<kNumbers>...};
    return all[number];
}

}  // namespace

bool is_tracked(PyTypeObject* type) {
    destructor dealloc = built_in_base(type)->tp_dealloc;
    for (std::size_t i = 0; i < type_count; ++i)
        if (replacements[i] == dealloc) return true;
    return false;
}

PyObject* intercept_deallocation(PyObject*, PyObject* object) {
    if (!PyType_Check(object) || type_count == kMostTypes) {
        PyErr_Format(PyExc_TypeError, "the deallocation of %R cannot be intercepted", object);
        throw PythonError{};
    }
    auto* type = reinterpret_cast<PyTypeObject*>(object);
    originals[type_count] = type->tp_dealloc;
    replacements[type_count] = replacement(type_count, std::make_index_sequence<kMostTypes>{});
    type->tp_dealloc = replacements[type_count++];
    Py_RETURN_NONE;
}

}  // namespace threadproof::probe

#endif
