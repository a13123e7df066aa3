/// TypeBuilder: a C++ struct as a Python type. AlignedStorage: a C++ object inside a Python object.
#pragma once

#include <structmember.h>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

#include "ext/python/entry.hpp"

namespace threadproof::ext {

/// Storage inside a Python object for a T of any alignment, which Python's allocator does not give, and
/// whether the T has been constructed. Zeroed memory, as tp_alloc returns it, is empty storage.
template <class T>
class AlignedStorage {
 public:
    template <class... A>
    void construct(A&&... arguments) {
        new (&get()) T(std::forward<A>(arguments)...);
        constructed_ = true;
    }
    /// Destroys the T, if there is one.
    void destroy() noexcept {
        if (std::exchange(constructed_, false)) get().~T();
    }
    bool constructed() const { return constructed_; }

    TP_HOT T& get() {
        auto address = reinterpret_cast<std::uintptr_t>(room_);
        return *reinterpret_cast<T*>((address + alignof(T) - 1) & ~(std::uintptr_t{alignof(T)} - 1));
    }

 private:
    bool constructed_;
    alignas(16) unsigned char room_[sizeof(T) + alignof(T)];
};

/// A new object of the type, whose C++ part fill(object) has made. Throws what it throws; the memory goes then without
/// deallocation, which would call a subclass's __del__ with an object that has no C++ part.
template <class Fill>
Ref new_object(PyTypeObject* type, Fill fill) {
    PyObject* object = checked(type->tp_alloc(type, 0));
    try {
        fill(object);
    } catch (...) {
        if (PyObject_IS_GC(object)) PyObject_GC_UnTrack(object);
        type->tp_free(object);
        Py_DECREF(type);  // tp_alloc took it
        throw;
    }
    return Ref::steal(object);
}

/// The part of a type's full name behind the last dot.
inline const char* last_name(const char* full_name) {
    const char* dot = std::strrchr(full_name, '.');
    return dot ? dot + 1 : full_name;
}

/// Makes a heap type whose instances are Objects: immutable, and known to the garbage collector. Object
/// begins with PyObject_HEAD, is right as zeroed memory, and may have these members, none of which throws:
///
///     int traverse(visitproc, void*) noexcept    visits the references it owns; its type is visited anyway
///     void clear() noexcept                      releases the references through which cycles can go
///     void destroy() noexcept                    releases all it owns; called once, before its memory goes
///     PyObject* weak_references                  makes weak references to it possible
///     PyObject* attributes                       its __dict__; it belongs to the object, as any other reference
///     vectorcallfunc vectorcall                  calls of it go there
///
/// Methods, doc and name have to live as long as the process, as the type does.
template <class Object>
class TypeBuilder {
 public:
    /// full_name: with the module in which Python shows the type.
    TypeBuilder(const char* full_name, const char* doc) : name_(full_name) {
        set(Py_tp_dealloc, reinterpret_cast<void*>(&dealloc));
        set(Py_tp_traverse, reinterpret_cast<void*>(&traverse));
        if (doc) set(Py_tp_doc, const_cast<char*>(doc));
        if constexpr (requires(Object& object) { object.clear(); })
            set(Py_tp_clear, reinterpret_cast<void*>(&clear));
        if (offsets()->name) set(Py_tp_members, offsets());
    }

    /// A slot with a function of this extension, which may throw.
    template <auto kFunction>
    TypeBuilder& with(int id) {
        return set(id, slot<kFunction>());
    }
    /// A slot with a function of CPython.
    template <class R, class... A>
    TypeBuilder& with_cpython(int id, R (*function)(A...)) {
        return set(id, reinterpret_cast<void*>(function));
    }
    TypeBuilder& methods(const PyMethodDef* table) {
        return set(Py_tp_methods, const_cast<PyMethodDef*>(table));
    }
    TypeBuilder& attributes(const PyGetSetDef* table) {
        return set(Py_tp_getset, const_cast<PyGetSetDef*>(table));
    }
    /// Deallocation for an object that Object::destroy() and tp_free do not suit.
    TypeBuilder& dealloc_by(void (*function)(PyObject*) noexcept) {
        slots_[0].pfunc = reinterpret_cast<void*>(function);
        return *this;
    }
    /// Instances have a tail of items of this size.
    TypeBuilder& items_of(std::size_t bytes) {
        item_bytes_ = static_cast<int>(bytes);
        return *this;
    }
    TypeBuilder& subclassable() { return flag(Py_TPFLAGS_BASETYPE); }
    /// Instances called as methods get the object as their first argument: no bound method is made.
    TypeBuilder& method_descriptor() {
        return flag(Py_TPFLAGS_METHOD_DESCRIPTOR | Py_TPFLAGS_HAVE_VECTORCALL);
    }
    /// Python cannot call the type.
    TypeBuilder& not_callable() { return flag(Py_TPFLAGS_DISALLOW_INSTANTIATION); }

    /// The type, which lives as long as the process. Throws.
    PyTypeObject* make(PyObject* module) {
        set(0, nullptr);
        PyType_Spec spec = {
            .name = name_,
            .basicsize = sizeof(Object),
            .itemsize = item_bytes_,
            .flags = flags_,
            .slots = slots_.data(),
        };
        return reinterpret_cast<PyTypeObject*>(checked(PyType_FromModuleAndSpec(module, &spec, nullptr)));
    }
    /// The same, and adds it to the module.
    PyTypeObject* add_to(PyObject* module) {
        PyTypeObject* type = make(module);
        if (PyModule_AddObjectRef(module, last_name(name_), reinterpret_cast<PyObject*>(type)) < 0)
            throw PythonError{};
        return type;
    }

    /// The deallocation of an Object, if dealloc_by() does not set another.
    static void dealloc(PyObject* self) noexcept {
        PyObject_GC_UnTrack(self);
        PyTypeObject* type = Py_TYPE(self);
        auto& object = reinterpret_cast<Object&>(*self);
        if constexpr (requires { object.weak_references; })
            if (object.weak_references) PyObject_ClearWeakRefs(self);
        if constexpr (requires { object.destroy(); }) {
            static_assert(noexcept(object.destroy()));
            object.destroy();
        }
        type->tp_free(self);
        Py_DECREF(type);
    }

 private:
    static int traverse(PyObject* self, visitproc visit, void* arg) noexcept {
        Py_VISIT(Py_TYPE(self));
        auto& object = reinterpret_cast<Object&>(*self);
        if constexpr (requires { object.traverse(visit, arg); }) {
            static_assert(noexcept(object.traverse(visit, arg)));
            return object.traverse(visit, arg);
        }
        return 0;
    }

    static int clear(PyObject* self) noexcept {
        static_assert(noexcept(reinterpret_cast<Object&>(*self).clear()));
        reinterpret_cast<Object&>(*self).clear();
        return 0;
    }

    TypeBuilder& set(int id, void* value) {
        slots_.push_back({id, value});
        return *this;
    }
    TypeBuilder& flag(unsigned long bit) {
        flags_ |= static_cast<unsigned>(bit);
        return *this;
    }

    /// Where the members are that CPython uses.
    static PyMemberDef* offsets() {
        static PyMemberDef all[4];
        [[maybe_unused]] PyMemberDef* next = all;
        auto offset = [](const char* name, std::size_t at) {
            return PyMemberDef{name, T_PYSSIZET, static_cast<Py_ssize_t>(at), READONLY, nullptr};
        };
        if constexpr (requires(Object& object) { object.weak_references; })
            *next++ = offset("__weaklistoffset__", offsetof(Object, weak_references));
        if constexpr (requires(Object& object) { object.attributes; })
            *next++ = offset("__dictoffset__", offsetof(Object, attributes));
        if constexpr (requires(Object& object) { object.vectorcall; })
            *next++ = offset("__vectorcalloffset__", offsetof(Object, vectorcall));
        return all;
    }

    const char* name_;
    std::vector<PyType_Slot> slots_;  ///< the first is tp_dealloc
    unsigned flags_ = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE;
    int item_bytes_ = 0;
};

}  // namespace threadproof::ext
