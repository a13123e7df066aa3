/// Provided: a Python object that the extension uses and the package defines.
///
/// The extension imports no module of the package: the arrows go the other way. The module that defines the
/// object hands it over, once, by _core.provide(name, object) when it is imported.
#pragma once

#include "ext/python/errors.hpp"

namespace threadproof::ext {

class Provided {
 public:
    /// `wanted` names the kind of object in an error; accepts() decides. Both live as long as the process, as
    /// a Provided itself does.
    Provided(const char* name, const char* wanted, bool (*accepts)(PyObject*));
    Provided(const Provided&) = delete;
    Provided& operator=(const Provided&) = delete;

    /// Borrowed. Throws with SystemError if it has not been handed over.
    PyObject* get() const {
        if (!object_) raise_missing();
        return object_;
    }

    /// For provide(): takes a reference of its own. Throws with TypeError if the object is not accepted.
    void set(PyObject* object);
    const char* name() const { return name_; }

 private:
    [[noreturn]] void raise_missing() const;

    const char* const name_;
    const char* const wanted_;
    bool (*const accepts_)(PyObject*);
    PyObject* object_ = nullptr;  ///< written once, while the package is imported
};

/// Adds provide() to the module. Throws.
void add_provided(PyObject* module);

}  // namespace threadproof::ext
