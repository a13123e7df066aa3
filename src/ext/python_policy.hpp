/// How the map's core sees Python's keys and values: as words, compared natively wherever no user's code has a say.
///
/// A key's word is its address with a kind in the two lowest bits:
///
///     kSmall    an exact int, |v| < 2^60 and not -1: its hash is its value, so equal hashes are equal ints
///     kString   an exact str: equal if length, width and bytes are
///     kPlain    an exact bytes, float, bool or other int: compared by value, as Python would
///     kObject   anything else: only == can tell
///
/// -1 is kPlain because Python hashes it like -2. A stored kString or kPlain key is looked into by readers that hold no
/// reference, so it outlives those pinned when it goes (deferred()). A value's word is its address, with kTurn for a turn.
#pragma once

#include <cmath>
#include <cstring>

#include "core/answers.hpp"
#include "ext/py.hpp"
#include "ext/turn.hpp"

namespace threadproof::ext {

struct PythonPolicy {
    static constexpr bool kThreads = ext::kThreads;

    enum Kind : Word { kObject = 0, kSmall = 1, kString = 2, kPlain = 3 };
    static constexpr Word kKindBits = 3;

    static Kind kind(Word key) { return static_cast<Kind>(key & kKindBits); }
    static PyObject* object(Word word) { return reinterpret_cast<PyObject*>(word & ~kKindBits); }
    static Word value(PyObject* object) { return reinterpret_cast<Word>(object); }
    static Word turn(TurnObject* turn) { return reinterpret_cast<Word>(turn) | 1; }

    /// The key looked for: borrowed from the caller.
    struct Probe {
        std::uint64_t hash;
        Word word;

        Probe() = default;
        TP_HOT explicit Probe(PyObject* key) { look_at(key); }

        TP_HOT void look_at(PyObject* key) {
            PyTypeObject* type = Py_TYPE(key);
            if (TP_LIKELY(type == &PyUnicode_Type)) {
                Py_hash_t known = __atomic_load_n(&reinterpret_cast<PyASCIIObject*>(key)->hash, __ATOMIC_RELAXED);  // relaxed: as CPython
                return set(TP_LIKELY(known != -1) ? known : hash_of(key), key, kString);
            }
            if (TP_LIKELY(type == &PyLong_Type)) {
                std::int64_t number;
                if (TP_LIKELY(small_int(key, &number) && number != -1)) return set(number, key, kSmall);
                return set(hash_of(key), key, kPlain);
            }
            bool plain = type == &PyFloat_Type || type == &PyBytes_Type || type == &PyBool_Type;
            set(hash_of(key), key, plain ? kPlain : kObject);
        }

     private:
        TP_HOT void set(Py_hash_t h, PyObject* key, Kind kind) {
            hash = static_cast<std::uint64_t>(h);
            word = reinterpret_cast<Word>(key) | kind;
        }
        TP_APART static Py_hash_t hash_of(PyObject* key) {
            Py_hash_t hash = outliving([&] { return PyObject_Hash(key); });
            if (hash == -1) throw PythonError{};
            return hash;
        }
    };

    TP_HOT static bool opaque(const Probe& probe) { return kind(probe.word) == kObject; }
    TP_HOT static bool same(Word stored, const Probe& probe) {
        return stored == probe.word || (kind(stored) == kSmall && kind(stored ^ probe.word) == 0);  // the hashes are equal, and so are the ints
    }

    TP_HOT static Match match(Word stored, const Probe& probe) {
        if (same(stored, probe)) return Match::kYes;
        Kind theirs = kind(stored), ours = kind(probe.word);
        if (theirs == ours) {
            if (theirs == kString) return same_string(object(stored), object(probe.word)) ? Match::kYes : Match::kNo;
            if (theirs == kPlain) return match_plain(object(stored), object(probe.word));
            return Match::kAsk;
        }
        if (theirs == kObject || ours == kObject) return Match::kAsk;  // a class of the user's may equal anything
        if (theirs == kString || ours == kString) return Match::kNo;
        return match_plain(object(stored), object(probe.word));
    }

    static Match equal(Word stored, const Probe& probe) {
        int same = outliving([&] { return PyObject_RichCompareBool(object(stored), object(probe.word), Py_EQ); });
        return same < 0 ? Match::kError : same ? Match::kYes : Match::kNo;
    }

    static Word stored(const Probe& probe) {
        Py_INCREF(object(probe.word));
        return probe.word;
    }
    TP_HOT static void hold(Word word) { Py_INCREF(object(word)); }
    TP_HOT static bool try_hold(Word word) { return try_incref(object(word)); }
    static void open(Word word) { allow_try_incref(object(word)); }
    TP_HOT static void drop(Word word) { drop_reference(object(word)); }
    static bool deferred(Word key) { return kind(key) >= kString; }
    static std::size_t weight(Word key) {
        if (kind(key) == kString) return static_cast<std::size_t>(PyUnicode_GET_LENGTH(object(key))) * PyUnicode_KIND(object(key));
        return PyBytes_CheckExact(object(key)) ? static_cast<std::size_t>(PyBytes_GET_SIZE(object(key))) : 0;  // floats, big ints: small
    }
    static Word behind(Word turn) { return value(reinterpret_cast<TurnObject*>(object(turn))->old); }
    static void prefetch(Word key, Word value) {
        if (kind(key) == kString) __builtin_prefetch(object(key));
        __builtin_prefetch(object(value), 1);  // 1: its reference count is about to be written
    }

 private:
    TP_HOT static bool same_string(PyObject* a, PyObject* b) {
        Py_ssize_t length = PyUnicode_GET_LENGTH(a);
        unsigned kind = PyUnicode_KIND(a);
        return length == PyUnicode_GET_LENGTH(b) && kind == PyUnicode_KIND(b)
            && std::memcmp(PyUnicode_DATA(a), PyUnicode_DATA(b), static_cast<std::size_t>(length) * kind) == 0;
    }

    /// Two keys with equal hashes, each an exact int, bool, float or bytes.
    TP_APART static Match match_plain(PyObject* a, PyObject* b) {
        if (PyBytes_CheckExact(a) || PyBytes_CheckExact(b)) {
            bool same = PyBytes_CheckExact(a) && PyBytes_CheckExact(b) && PyBytes_GET_SIZE(a) == PyBytes_GET_SIZE(b)
                     && std::memcmp(PyBytes_AS_STRING(a), PyBytes_AS_STRING(b), static_cast<std::size_t>(PyBytes_GET_SIZE(a))) == 0;
            return same ? Match::kYes : Match::kNo;
        }
        bool real_a = PyFloat_CheckExact(a), real_b = PyFloat_CheckExact(b);
        if (real_a && real_b) return PyFloat_AS_DOUBLE(a) == PyFloat_AS_DOUBLE(b) ? Match::kYes : Match::kNo;
        std::int64_t number;
        if (real_a || real_b) {
            if (!small_int(real_a ? b : a, &number)) return Match::kAsk;
            double real = PyFloat_AS_DOUBLE(real_a ? a : b);
            bool same = std::fabs(real) < 0x1p60 && static_cast<double>(static_cast<std::int64_t>(real)) == real
                     && static_cast<std::int64_t>(real) == number;
            return same ? Match::kYes : Match::kNo;
        }
        std::int64_t other;
        bool small_a = small_int(a, &number), small_b = small_int(b, &other);
        if (small_a && small_b) return number == other ? Match::kYes : Match::kNo;
        if (small_a != small_b) return Match::kNo;
        return PyLong_Type.tp_richcompare(a, b, Py_EQ) == Py_True ? Match::kYes : Match::kNo;  // compares digits, calls nothing
    }
};

}  // namespace threadproof::ext
