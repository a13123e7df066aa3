/// threadproof._core.contention: the functions that threadproof/watch/contention calls.

#include "ext/watch/contention.hpp"

#ifndef THREADPROOF_PROBE

bool threadproof::ext::add_contention(PyObject*) { return true; }

#else

#include "ext/probe/entry.hpp"
#include "ext/python/submodule.hpp"
#include "ext/watch/sampler.hpp"

namespace threadproof::ext {
namespace {

PyObject* start(PyObject*, PyObject* rows) {
    if (!PyList_Check(rows)) {
        PyErr_Format(PyExc_TypeError, "start() wants a list of rows, got %R", rows);
        throw PythonError{};
    }
    contention_subscriber().start(rows);
    Py_RETURN_NONE;
}

PyObject* stop(PyObject*, PyObject*) {
    contention_subscriber().stop();
    Py_RETURN_NONE;
}

Session& recorded() {
    if (Session* session = contention_subscriber().session()) return *session;
    PyErr_SetString(PyExc_RuntimeError,
                    "there was no session of the contention profiler; start() begins one");
    throw PythonError{};
}

void append(const Ref& list, PyObject* item) {
    Ref owned = Ref::steal(checked(item));
    if (PyList_Append(list.get(), owned.get()) < 0) throw PythonError{};
}

Ref new_list() { return Ref::steal(checked(PyList_New(0))); }

/// (begin, end) in nanoseconds of the monotonic clock; end is the present time while it runs.
PyObject* times(PyObject*, PyObject*) {
    Session& session = recorded();
    return Py_BuildValue("LL", static_cast<long long>(session.begin),
                         static_cast<long long>(session.end ? session.end : now()));
}

/// [(kind, step, waits, stack of the creation), ...]: by the numbers that waits have.
PyObject* objects(PyObject*, PyObject*) {
    Ref list = new_list();
    for (const WaitObject& each : recorded().objects.objects())
        append(list, Py_BuildValue("ssOI", each.kind.c_str(), each.step.c_str(),
                                   each.waits ? Py_True : Py_False, each.created));
    return list.release();
}

/// What threads() returns of a member, copied under the session's mutex.
struct About {
    probe::ThreadNumber number;
    unsigned long ident;
    std::string name;
    watch::Nanoseconds begin, end;
    std::uint32_t started;
};

/// The members stay as long as the session, so the pointers are valid.
std::vector<std::pair<About, Member*>> members() {
    Session& session = recorded();
    std::vector<std::pair<About, Member*>> all;
    std::lock_guard hold(session.mutex);
    for (const auto& [number, member] : session.members)
        all.push_back({{number, member->ident, member->name, member->begin, member->end, member->started},
                       member.get()});
    return all;
}

/// [(number, identifier, name, begin, end or 0, stack of its start), ...].
PyObject* threads(PyObject*, PyObject*) {
    Ref list = new_list();
    for (const auto& [about, member] : members())
        append(list, Py_BuildValue("KksLLI", static_cast<unsigned long long>(about.number), about.ident,
                                   about.name.c_str(), static_cast<long long>(about.begin),
                                   static_cast<long long>(about.end), about.started));
    return list.release();
}

/// [(thread, object, stack, holder's stack, holder's thread, count, nanoseconds, most), ...].
PyObject* sums(PyObject*, PyObject*) {
    Ref list = new_list();
    for (const auto& [about, member] : members())
        for (const auto& [path, sum] : member->ledger.sums())
            append(list, Py_BuildValue("KIIIKKLL", static_cast<unsigned long long>(about.number), path.lock,
                                       path.stack, path.holder.stack,
                                       static_cast<unsigned long long>(path.holder.thread),
                                       static_cast<unsigned long long>(sum.count),
                                       static_cast<long long>(sum.delay), static_cast<long long>(sum.most)));
    return list.release();
}

PyObject* of_wait(const About& about, const watch::Wait& wait, const char* outcome) {
    const watch::Path& path = wait.path;
    return Py_BuildValue("KIIIKLLs", static_cast<unsigned long long>(about.number), path.lock, path.stack,
                         path.holder.stack, static_cast<unsigned long long>(path.holder.thread),
                         static_cast<long long>(wait.begin), static_cast<long long>(wait.end), outcome);
}

/// [(thread, object, stack, holder's stack, holder's thread, begin, end, outcome), ...]: the longest waits.
PyObject* waits(PyObject*, PyObject*) {
    Ref list = new_list();
    for (const auto& [about, member] : members())
        for (const watch::Wait& wait : member->ledger.longest())
            append(list, of_wait(about, wait, wait.got ? "got" : "gave up"));
    return list.release();
}

/// The same of the waits that have not ended.
PyObject* open_waits(PyObject*, PyObject*) {
    Session& session = recorded();
    watch::Nanoseconds end = session.end ? session.end : now();
    Ref list = new_list();
    for (const auto& [about, member] : members()) {
        std::vector<OpenWait> open;
        {
            std::lock_guard hold(member->mutex);
            open = member->open;
        }
        for (const OpenWait& each : open)
            append(list, of_wait(about, {{each.lock, each.stack, {}}, each.begin, end, false}, "waits"));
    }
    return list.release();
}

// ---- the sampler

#ifdef THREADPROOF_SAMPLER
/// The type's name was cut off after some bytes, maybe within a character.
PyObject* name_of_type(const std::string& type) {
    return PyUnicode_DecodeUTF8(type.data(), static_cast<Py_ssize_t>(type.size()), "replace");
}

PyObject* text_of(const probe::TextCopy& text) {
    auto characters = static_cast<Py_ssize_t>(text.bytes.size()) / text.width;
    return PyUnicode_FromKindAndData(text.width, text.bytes.data(), characters);
}
#endif

PyObject* start_sampler(PyObject*, PyObject*) {
#ifdef THREADPROOF_SAMPLER
    if (!Sampler::works()) Py_RETURN_FALSE;
    sampler().start();
    Py_RETURN_TRUE;
#else
    Py_RETURN_FALSE;
#endif
}

PyObject* stop_sampler(PyObject*, PyObject*) {
#ifdef THREADPROOF_SAMPLER
    sampler().stop();
#endif
    Py_RETURN_NONE;
}

PyObject* forget_samples(PyObject*, PyObject*) {
#ifdef THREADPROOF_SAMPLER
    sampler().forget();
#endif
    Py_RETURN_NONE;
}

/// [(thread's identifier, address, type, stack, holder's stack, holder's identifier, nanoseconds, samples), ...].
PyObject* sampled_waits(PyObject*, PyObject*) {
    Ref list = new_list();
#ifdef THREADPROOF_SAMPLER
    for (const auto& [wait, sum] : sampler().waits())
        append(list, Py_BuildValue("kKNIIkKK", wait.thread, static_cast<unsigned long long>(wait.object),
                                   name_of_type(wait.type), wait.stack, wait.holder_stack, wait.holder,
                                   static_cast<unsigned long long>(sum.nanoseconds),
                                   static_cast<unsigned long long>(sum.samples)));
#endif
    return list.release();
}

/// [(file, function, first line, line table, offset of the instruction), ...], the innermost first.
PyObject* sampled_frames(PyObject*, PyObject* number) {
    unsigned long stack = PyLong_AsUnsignedLong(number);
    if (stack == static_cast<unsigned long>(-1) && PyErr_Occurred()) throw PythonError{};
    Ref list = new_list();
#ifdef THREADPROOF_SAMPLER
    // a number of no stack is one of an earlier session: no frames
    for (const auto& [code, offset] : sampler().frames(static_cast<std::uint32_t>(stack)))
        append(list, Py_BuildValue("NNiy#L", text_of(code.file), text_of(code.function), code.first_line,
                                   code.lines.data(), static_cast<Py_ssize_t>(code.lines.size()),
                                   static_cast<long long>(offset)));
#endif
    return list.release();
}

/// [(address, type, name, stack, other stack, samples, changes, nanoseconds of looking), ...].
PyObject* sampled_counts(PyObject*, PyObject*) {
    Ref list = new_list();
#ifdef THREADPROOF_SAMPLER
    for (const auto& [which, sum] : sampler().counts())
        append(list, Py_BuildValue("KssIIKKK", static_cast<unsigned long long>(which.object),
                                   which.type.c_str(), which.name.c_str(), which.stack, which.other_stack,
                                   static_cast<unsigned long long>(sum.samples),
                                   static_cast<unsigned long long>(sum.changes),
                                   static_cast<unsigned long long>(sum.nanoseconds)));
#endif
    return list.release();
}

PyObject* check(PyObject*, PyObject*) {
    Session& session = recorded();
    session.objects.check();
    for (const auto& [about, member] : members()) member->ledger.check();
#ifdef THREADPROOF_SAMPLER
    sampler().check();
#endif
    Py_RETURN_NONE;
}

PyMethodDef functions[] = {
    {"start", method<start>(), METH_O, "start($module, rows, /)\n--\n\n"},
    {"stop", method<stop>(), METH_NOARGS, "stop($module, /)\n--\n\n"},
    {"times", method<times>(), METH_NOARGS, "times($module, /)\n--\n\n"},
    {"objects", method<objects>(), METH_NOARGS, "objects($module, /)\n--\n\n"},
    {"threads", method<threads>(), METH_NOARGS, "threads($module, /)\n--\n\n"},
    {"sums", method<sums>(), METH_NOARGS, "sums($module, /)\n--\n\n"},
    {"waits", method<waits>(), METH_NOARGS, "waits($module, /)\n--\n\n"},
    {"open_waits", method<open_waits>(), METH_NOARGS, "open_waits($module, /)\n--\n\n"},
    {"check", method<check>(), METH_NOARGS, "check($module, /)\n--\n\n"},
    {"start_sampler", method<start_sampler>(), METH_NOARGS, "start_sampler($module, /)\n--\n\n"},
    {"stop_sampler", method<stop_sampler>(), METH_NOARGS, "stop_sampler($module, /)\n--\n\n"},
    {"forget_samples", method<forget_samples>(), METH_NOARGS, "forget_samples($module, /)\n--\n\n"},
    {"sampled_waits", method<sampled_waits>(), METH_NOARGS, "sampled_waits($module, /)\n--\n\n"},
    {"sampled_frames", method<sampled_frames>(), METH_O, "sampled_frames($module, stack, /)\n--\n\n"},
    {"sampled_counts", method<sampled_counts>(), METH_NOARGS, "sampled_counts($module, /)\n--\n\n"},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition = submodule_definition("threadproof._core.contention",
                                              "What threadproof.watch.contention is made of.", functions);

}  // namespace

bool add_contention(PyObject* module) {
    add_submodule(module, definition, "contention");
    return true;
}

}  // namespace threadproof::ext

#endif
