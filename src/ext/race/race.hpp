/// What the files of the race detector's front end share: the detector, the calling thread's part in it, and
/// variables.
///
/// race.cpp is what Python calls, order.cpp that part of it which says what comes before what, frames.cpp
/// judges instructions by the operands in the interpreter's frames, objects.cpp knows whose dict it is that
/// is being asked, hooks.cpp goes between C methods and their callers, calls.cpp between functions written in
/// Python and theirs. Where the interpreter is not one whose frames we know, only add_race() is left, and
/// adds nothing.
#pragma once

#include "ext/python/numbers.hpp"
#include "ext/python/py.hpp"

namespace threadproof::ext {

bool add_race(PyObject* module);

#if PY_VERSION_HEX >= 0x030E0000 && PY_VERSION_HEX < 0x03100000
#define THREADPROOF_RACE 1
#endif

}  // namespace threadproof::ext

#ifdef THREADPROOF_RACE

#include <string>

#include "core/race/detector.hpp"
#include "core/race/origins.hpp"
#include "core/race/sampling.hpp"

namespace threadproof::ext {

/// One line of a call stack: a code object and the offset of its current instruction.
struct Frame {
    std::uintptr_t code;
    std::int64_t offset;
    friend bool operator==(const Frame&, const Frame&) = default;
};

/// What of an object a variable is. A global is an item of its module's dict that has a name.
enum class Part : std::uint64_t {
    kAttribute = 1,
    kItem,
    kGlobal,
    kStructure,
    kCell,
    kIterator,
    kIndex = race::kPosition >> 60
};

/// `name` is what a report calls it: an attribute's name, a key, or null. Borrowed.
struct Variable {
    PyObject* object;
    race::Field field;
    Part part;
    PyObject* name;
};

struct RaceState {
    race::Detector detector;
    race::Sampling sampling;
    race::Depot<Frame> stacks;
    race::Origins origins{detector.known()};
    // frames of a stack: enough to tell callers apart, few enough to keep for every access
    std::size_t deepest = 16;
    // called with nothing when there is a race that was not there before, or more to say of one
    PyObject* on_race = nullptr;
    // relaxed: hooks that stay in place look at it, and being late is harmless
    std::atomic<bool> armed{false};
    Py_ssize_t extra = -1;               // where a code object keeps its CodeSites
    PyTypeObject* local_type = nullptr;  // threading.local
    std::vector<PyTypeObject*> indexed;  // what has items by position, besides list
    std::vector<PyTypeObject*> iterators;
    destructor subtype_dealloc = nullptr;  // of every class written in Python
};

/// Made when first asked for, under the import lock or by the thread that arms the detector, and never
/// destroyed: objects die, and tell us so, until the very end of the process.
inline RaceState* the_race_state = nullptr;
TP_COLD RaceState& make_race_state();
TP_HOT RaceState& race_state() {
    return TP_LIKELY(the_race_state != nullptr) ? *the_race_state : make_race_state();
}

inline race::Sync sync_of(PyObject* object) { return reinterpret_cast<race::Sync>(object); }

/// The calling thread; null after its end, while its last Python objects go.
struct ThisThread {
    race::Thread* thread = nullptr;
    bool over = false;
    bool touched = false;     // something that threads can share, since this was last put to false
    std::uint32_t calls = 0;  // of methods, while sampling
};
// Two words that every watched instruction looks at: initial-exec spares a call, and takes little of what
// dlopen() has left.
extern constinit thread_local ThisThread this_thread __attribute__((tls_model("initial-exec")));
race::Thread* adopt_thread();
TP_HOT race::Thread* race_thread() {
    return TP_LIKELY(this_thread.thread != nullptr) ? this_thread.thread : adopt_thread();
}

/// The thread that Python knows by this number.
inline race::Thread* race_thread_at(PyObject* token) {
    return static_cast<race::Thread*>(PyLong_AsVoidPtr(token));
}

/// Whether there is anything to watch now.
inline bool watching() {
    RaceState& state = race_state();
    return state.armed.load(std::memory_order_relaxed) && !state.detector.alone();
}

inline race::Field field_of(Part part, std::uint64_t rest) {
    return static_cast<std::uint64_t>(part) << 60 | (rest & ((std::uint64_t{1} << 60) - 1));
}

inline Variable attribute_of(PyObject* object, PyObject* name) {
    return {object, field_of(Part::kAttribute, reinterpret_cast<std::uintptr_t>(name) >> 4), Part::kAttribute,
            name};
}
inline Variable structure_of(PyObject* container) {
    return {container, field_of(Part::kStructure, 0), Part::kStructure, nullptr};
}
inline Variable iterator_of(PyObject* iterator) {
    return {iterator, field_of(Part::kIterator, 0), Part::kIterator, nullptr};
}
inline Variable cell_of(PyObject* cell, PyObject* name) {
    return {cell, field_of(Part::kCell, 0), Part::kCell, name};
}

TP_HOT Variable index_of(PyObject* list, PyObject* index) {
    std::int64_t place;
    if (!PyLong_CheckExact(index) || !small_int(index, &place)) return structure_of(list);
    Py_ssize_t size = Py_SIZE(list);  // of a deque and an array, too
    if (place < 0) place += size;
    if (place < 0 || place >= size) return structure_of(list);  // an IndexError is about to come
    return {list, field_of(Part::kIndex, static_cast<std::uint64_t>(place)), Part::kIndex, index};
}

Variable item_of(PyObject* container, PyObject* key);
Variable key_of(PyObject* dict, PyObject* key);
Variable global_of(PyObject* globals, PyObject* name);

/// Equal keys have equal numbers. Keys whose equality is user code go by identity: that can miss a race, not
/// invent one.
std::uint64_t number_of_key(PyObject* key);

/// Whether hashing and comparing the key runs no code of the user's.
bool plain_key(PyObject* key);

void touch(const Variable& variable, bool write, unsigned traits);

/// d[k] = v, also where it is a method that does it: a new key changes the structure, too.
void touch_store(PyObject* dict, PyObject* key, unsigned traits);

// ---- objects.cpp

/// The object whose attributes the dict holds, or the dict itself where it is several objects'; `otherwise`
/// if not known.
PyObject* owner_of_dict(PyObject* dict, PyObject* otherwise);

/// The program is about to ask for the object's `__dict__`, or to give it one.
void note_own_dict(PyObject* object);
void note_dict(PyObject* object, PyObject* dict, bool given);
void forget_dicts(PyObject* object);

/// Whether the object itself has the attribute, which its class has too; no code of the user's runs.
bool has_own_attribute(PyObject* object, PyObject* name);

/// The class, of the type and its bases, whose attribute it is.
PyObject* class_that_has(PyTypeObject* type, PyObject* name);

/// Whether such an access to a container runs the code of the built-in type, and not of a subclass that
/// replaces it.
enum class Access { kLoad, kStore, kDelete, kContains, kLength, kIterate };
bool runs_own_code(PyObject* container, Access access);

/// An iterator, of those that are not safe to share, that somebody besides this thread's frame may have.
bool is_shared_iterator(PyObject* object);

/// Takes what an access reads of the containers among the operands; false if there is none, and will hardly
/// ever be.
void touch_whole(PyObject* object, unsigned traits);

// ---- frames.cpp

/// The caller of the C function that is running: in frames.cpp.
enum class Caller { kProgram, kLibrary, kMuted };
Caller race_caller();

/// The number of the thread's call stack, `more` calls deeper than a report keeps of an access.
std::uint32_t race_capture_stack(race::Thread& me, std::size_t more = 0);
extern PyMethodDef race_frame_functions[];

/// While there is one, no signal's handler, nor an exception that another thread has sent, comes to this
/// thread: they come when the program goes on, as they would have without us.
class Undisturbed {
 public:
    Undisturbed();
    ~Undisturbed();
    Undisturbed(const Undisturbed&) = delete;

 private:
    std::uintptr_t pending_;
};

extern PyMethodDef race_hook_functions[];
extern PyMethodDef race_call_functions[];
extern PyMethodDef race_order_functions[];
bool counts_death(PyTypeObject* type);
bool race_knows_death(PyTypeObject* type);  // also of a class of the program's, by its base

}  // namespace threadproof::ext

#endif
