/// Entry: the C function that CPython calls for a C++ function, and the one place where C++ exceptions stop.
///
/// An exception that leaves a function called from C ends the process. So every function that CPython calls
/// (methods, slots, getters, setters, module initialisation) is registered by method<f>(), slot<f>(),
/// getter_of<f>() or setter_of<f>(). The exceptions are functions that cannot throw: they are noexcept.
/// tests/package/test_entries.py holds this.
#pragma once

#include <exception>
#include <new>
#include <stdexcept>
#include <type_traits>

#include "ext/python/errors.hpp"
#include "ext/python/postponed.hpp"

namespace threadproof::ext {

/// The value by which a function of each kind reports to CPython that an exception is set.
template <class R>
inline constexpr R kFailed = static_cast<R>(-1);
template <class T>
inline constexpr T* kFailed<T*> = nullptr;

/// Sets the Python exception for the C++ exception that is being handled.
inline void set_python_error() noexcept {
    try {
        throw;
    } catch (const PythonError&) {  // it is set already
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
    } catch (const std::logic_error& broken) {
        PyErr_SetString(PyExc_AssertionError, broken.what());
    } catch (const std::exception& other) {
        PyErr_SetString(PyExc_SystemError, other.what());
    }
}

template <class Function, Function kFunction>
struct EntryOf;

template <class R, class... A, R (*kFunction)(A...)>
struct EntryOf<R (*)(A...), kFunction> {
    static R call(A... arguments) noexcept {
        try {
            return kFunction(arguments...);
        } catch (...) {
            set_python_error();
            return kFailed<R>;
        }
    }
};

/// A function whose first parameter is a reference takes the Python object as that C++ type.
template <class R, class Self, class... A, R (*kFunction)(Self&, A...)>
struct EntryOf<R (*)(Self&, A...), kFunction> {
    static R call(PyObject* self, A... arguments) noexcept {
        try {
            R result = kFunction(reinterpret_cast<Self&>(*self), arguments...);
            if constexpr (kMayPostpone<Self>)
                if (TP_UNLIKELY(Postponed::any())) return interrupted(result);
            return result;
        } catch (...) {
            set_python_error();
            if constexpr (kMayPostpone<Self>)
                if (Postponed::any()) Postponed::restore();
            return kFailed<R>;
        }
    }

 private:
    /// The call has ended, and an interrupt that came meanwhile is raised now.
    TP_COLD static R interrupted(R result) noexcept {
        if constexpr (std::is_same_v<R, PyObject*>) drop_reference(result);
        Postponed::restore();
        return kFailed<R>;
    }
};

template <auto kFunction>
using Entry = EntryOf<decltype(kFunction), kFunction>;

/// For a PyMethodDef.
template <auto kFunction>
PyCFunction method() {
    return reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(&Entry<kFunction>::call));
}
/// For a PyType_Slot or a PyModuleDef_Slot.
template <auto kFunction>
void* slot() {
    return reinterpret_cast<void*>(&Entry<kFunction>::call);
}
/// For a PyGetSetDef.
template <auto kFunction>
::getter getter_of() {
    return &Entry<kFunction>::call;
}
template <auto kFunction>
::setter setter_of() {
    return &Entry<kFunction>::call;
}

/// The flags of a method that takes arguments by place and by name: see Arguments.
inline constexpr int kNamed = METH_FASTCALL | METH_KEYWORDS;

}  // namespace threadproof::ext
