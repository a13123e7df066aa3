/// Ref: one strong reference to a Python object.
#pragma once

#include <utility>

#include "ext/python/compat.hpp"

namespace threadproof::ext {

/// Releases a reference, which can run any code.
TP_HOT void drop_reference(PyObject* object) {
    outliving([&] { Py_XDECREF(object); });
}

/// Owns one reference, or none.
class Ref {
 public:
    Ref() = default;
    static Ref steal(PyObject* object) { return Ref(object); }
    static Ref borrow(PyObject* object) { return Ref(Py_XNewRef(object)); }
    Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
    Ref& operator=(Ref&& other) noexcept {
        Ref old(std::exchange(object_, std::exchange(other.object_, nullptr)));
        return *this;
    }
    ~Ref() { drop_reference(object_); }

    PyObject* get() const { return object_; }
    PyObject* release() { return std::exchange(object_, nullptr); }
    explicit operator bool() const { return object_ != nullptr; }

 private:
    explicit Ref(PyObject* object) : object_(object) {}
    PyObject* object_ = nullptr;
};

}  // namespace threadproof::ext
