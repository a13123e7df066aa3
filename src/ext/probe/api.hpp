/// The functions of threadproof._core.probe, for the table in api.cpp; each throws where it fails.
#pragma once

#include "ext/probe/events.hpp"
#include "ext/probe/structures.hpp"

namespace threadproof::probe {

// publish.cpp: the functions by which Python code publishes
PyObject* publish_order(PyObject*, PyObject* object);
PyObject* observe_order(PyObject*, PyObject* object);
template <ItemStep kStep>
PyObject* item_step(PyObject*, PyObject* const* arguments, Py_ssize_t count);  // channel, item
PyObject* give_permits(PyObject*, PyObject* arguments);                        // object, initial, count
PyObject* withdraw_permits(PyObject*, PyObject* arguments);                    // object, count
PyObject* take_permit(PyObject*, PyObject* arguments);                         // object, initial, or_observe
PyObject* key_was_read(PyObject*, PyObject* const* arguments, Py_ssize_t count);  // map, key, found, check
PyObject* key_was_observed(PyObject*, PyObject* const* arguments, Py_ssize_t count);  // map, key
template <Use kUse>
PyObject* key_will_change(PyObject*, PyObject* const* arguments, Py_ssize_t count);    // map, key, found
PyObject* computation_began(PyObject*, PyObject* const* arguments, Py_ssize_t count);  // map, key
PyObject* computation_ended(PyObject*, PyObject* const* arguments, Py_ssize_t count);  // map, key, found
PyObject* map_will_be_read(PyObject*, PyObject* map);
PyObject* map_was_read(PyObject*, PyObject* map);
PyObject* map_will_change(PyObject*, PyObject* map);
PyObject* joining_begins(PyObject*, PyObject* const* arguments, Py_ssize_t count);  // thread, timeout
PyObject* joining_ends(PyObject*, PyObject* thread);
PyObject* own(PyObject*, PyObject* address);
PyObject* allocated(PyObject*, PyObject* object);
PyObject* modules_seen(PyObject*, PyObject* names);
void publish_modules_seen(PyObject* names);  // a tuple
/// The meaning of the arguments `blocking` and `timeout` of a function that may wait; null for an omitted
/// one.
Attempt attempt_of(PyObject* blocking, PyObject* timeout);
/// A timeout as a number; -1 if it is none.
double seconds_of(PyObject* timeout);

// threads.cpp
PyObject* intercept_starts(PyObject*, PyObject* starting);
PyObject* intercept_exit(PyObject*, PyObject* leaving);
PyObject* intercept_crashes(PyObject*, PyObject* function);                         // crashes.cpp
PyObject* call_outermost(PyObject*, PyObject* const* arguments, Py_ssize_t count);  // outermost.cpp
PyObject* print_exception(PyObject*, PyObject* error);
PyObject* join_thread(PyObject*, PyObject* handle);
PyObject* join_ended_threads(PyObject*, PyObject*);
PyObject* number_of_thread(PyObject*, PyObject*);
PyObject* is_new_thread(PyObject*, PyObject*);
/// The object is deallocated.
void forget_thread(PyObject* handle);
/// 0 if it is no handle of a thread whose start was published.
ThreadNumber number_of_handle(PyObject* handle);
void lock_threads();  // around a fork
void unlock_threads();

// instructions.cpp: callbacks of sys.monitoring, and the self-test
PyObject* instruction(PyObject*, PyObject* const* arguments, Py_ssize_t count);      // code, offset
PyObject* module_returned(PyObject*, PyObject* const* arguments, Py_ssize_t count);  // code, offset, value
PyObject* sites_given_up(PyObject*, PyObject*);
PyObject* sites_sampled(PyObject*, PyObject*);
PyObject* count_sites(PyObject*, PyObject*);  // sites.cpp
PyObject* record_operands(PyObject*, PyObject* list);
PyObject* read_object(PyObject*, PyObject* arguments);  // object, attribute
void set_disable(PyObject* sentinel);
/// For the self-test: a str, or None where this interpreter has the structures of the build's headers.
PyObject* different_structure_name(PyObject*, PyObject*);
/// For the self-test: whether take_interrupts() finds an interrupt that was just sent to this thread.
PyObject* takes_interrupts(PyObject*, PyObject*);

// sites.cpp
PyObject* register_code(PyObject*, PyObject* arguments);  // code, placements
PyObject* is_registered(PyObject*, PyObject* code);

// methods.cpp, functions.cpp, deallocations.cpp
PyObject* intercept_method(PyObject*,
                           PyObject* arguments);  // owner, name, action, Containers, first argument
PyObject* order_bytes(PyObject*, PyObject* by);   // an object that is never deallocated, or None: no order
PyObject* intercept_consumer(PyObject*, PyObject* arguments);  // function, Containers, first argument
PyObject* add_reader(PyObject*, PyObject* arguments);  // accesses.cpp: callable, size, Containers, first
PyObject* exclude_lock(PyObject*, PyObject* lock);
PyObject* replace_list_append(PyObject*, PyObject*);
/// For the self-test: function(list) is called, and the calls of the list's append() that the trampoline saw.
PyObject* count_appends(PyObject*, PyObject* arguments);
PyObject* intercept_function(PyObject*, PyObject* arguments);
PyObject* intercept_caches(PyObject*, PyObject* type);
PyObject* ordered(PyObject*, PyObject* const* arguments, Py_ssize_t count);  // object, function
PyObject* undisturbed(PyObject*, PyObject* callable);
PyObject* intercept_deallocation(PyObject*, PyObject* type);

// blocking.cpp
PyObject* intercept_creation(PyObject*, PyObject* type);
PyObject* set_lock_types(PyObject*,
                         PyObject* arguments);    // of a mutex, reentrant, SimpleQueue, thread handle
PyObject* lock_state(PyObject*, PyObject* lock);  // for the self-test

// python_subscriber.cpp
PyObject* set_event_classes(PyObject*, PyObject* by_name);
PyObject* subscribe_python(PyObject*, PyObject* by_name);
PyObject* unsubscribe_python(PyObject*, PyObject* slot);

// api.cpp
bool add_probe(PyObject* module);

}  // namespace threadproof::probe
