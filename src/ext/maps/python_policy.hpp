/// PythonPolicy: Python's keys and values as words, compared natively if that calls no user code.
///
/// A key's word is its address with a kind in the two lowest bits:
///
///     kSmall    an exact int, |v| < 2^60 and not -1: its hash is its value, so equal hashes are equal ints
///     kString   an exact str: equal if length, width and bytes are equal
///     kPlain    an exact bytes, float, bool or other int, or a short exact tuple of these, str, int and
///               None: compared by value, as Python does
///     kObject   any other object: only == can decide
///
/// -1 is kPlain because Python hashes it like -2. A tuple is kObject until it is stored: its items are read
/// only then, or when they have to be compared. Readers read a stored kString or kPlain key without retaining
/// it, so it outlives those that were pinned when it was removed (deferred()). A value's word is its address;
/// that of a reservation has the lowest bit set.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/maps/equality_cache.hpp"
#include "ext/maps/reservation.hpp"
#include "ext/python/atoms.hpp"
#include "ext/python/numbers.hpp"
#include "ext/python/refcount.hpp"

namespace threadproof::ext {

/// Keys that were in one map together, so that no two of them are equal: while this lives, its thread does not
/// ask the user's comparison about two of them. For putting entries back after that comparison has raised.
class KnownDistinct {
 public:
    explicit KnownDistinct(std::size_t count) : outer_(current_) {
        try {
            keys_.reserve(count);
        } catch (const std::bad_alloc&) {  // then the user's comparison is asked
        }
    }
    ~KnownDistinct() { current_ = outer_; }
    KnownDistinct(const KnownDistinct&) = delete;
    KnownDistinct& operator=(const KnownDistinct&) = delete;

    void add(PyObject* key) {
        if (keys_.size() < keys_.capacity()) keys_.push_back(key);
    }
    void begin() {
        std::sort(keys_.begin(), keys_.end());
        current_ = this;
    }

    static bool known(PyObject* a, PyObject* b) {
        return TP_UNLIKELY(current_ != nullptr) && current_->has(a) && current_->has(b);
    }

 private:
    bool has(PyObject* key) const { return std::binary_search(keys_.begin(), keys_.end(), key); }

    std::vector<PyObject*> keys_;  ///< borrowed, sorted by address
    KnownDistinct* const outer_;
    static inline thread_local KnownDistinct* current_ __attribute__((tls_model("initial-exec"))) = nullptr;
};

struct PythonPolicy {
    static constexpr bool kThreads = ext::kThreads;

    enum Kind : Word { kObject = 0, kSmall = 1, kString = 2, kPlain = 3 };
    static constexpr Word kKindBits = 3;

    static Kind kind(Word key) { return static_cast<Kind>(key & kKindBits); }
    static PyObject* object(Word word) { return reinterpret_cast<PyObject*>(word & ~kKindBits); }
    static Word value(PyObject* object) { return reinterpret_cast<Word>(object); }
    static Word reservation(Reservation* reservation) { return reinterpret_cast<Word>(reservation) | 1; }

    /// The key of a call, borrowed from the caller.
    struct Lookup {
        std::uint64_t hash;
        Word word;

        Lookup() = default;
        /// Throws if the key cannot be hashed.
        TP_HOT explicit Lookup(PyObject* key) { set(key); }
        /// Of a stored key, whose hash is known.
        Lookup(std::uint64_t known_hash, Word stored) : hash(known_hash), word(stored) {}

        TP_HOT void set(PyObject* key) {
            if (!set_quickly(key)) *this = of_other(key);
        }

        /// The same for a str whose hash is known or a small int, which most keys are; false for others.
        TP_HOT bool set_quickly(PyObject* key) {
            PyTypeObject* type = Py_TYPE(key);
            if (TP_LIKELY(type == &PyUnicode_Type)) {
                // relaxed: as CPython
                Py_hash_t known =
                    __atomic_load_n(&reinterpret_cast<PyASCIIObject*>(key)->hash, __ATOMIC_RELAXED);
                return TP_LIKELY(known != -1) && assign(known, key, kString);
            }
            std::int64_t number;
            return TP_LIKELY(type == &PyLong_Type && small_int(key, &number) && number != -1)
                   && assign(number, key, kSmall);
        }

     private:
        TP_HOT bool assign(Py_hash_t h, PyObject* key, Kind kind) {
            hash = static_cast<std::uint64_t>(h);
            word = reinterpret_cast<Word>(key) | kind;
            return true;
        }

        /// Returned, not filled in: so it stays in registers.
        TP_APART static Lookup of_other(PyObject* key) {
            Lookup lookup;
            Py_hash_t hash;
            if (hash_of_number(key, &hash)) lookup.assign(hash, key, kPlain);
            else if (PyUnicode_CheckExact(key)) lookup.assign(hash_of(key), key, kString);
            else lookup.assign(hash_of(key), key, is_atom(key) && key != Py_None ? kPlain : kObject);
            return lookup;
        }

        TP_HOT static Py_hash_t hash_of(PyObject* key) {
            hashfunc known = Py_TYPE(key)->tp_hash;
            Py_hash_t hash =
                outliving([&] { return TP_LIKELY(known != nullptr) ? known(key) : PyObject_Hash(key); });
            if (TP_UNLIKELY(hash == -1)) throw PythonError{};
            return hash;
        }
    };

    TP_HOT static bool same(Word stored, const Lookup& lookup) {
        // The words of one object differ in the kind at most. Two small ints with equal hashes are equal.
        Word differ = stored ^ lookup.word;
        return differ <= kKindBits || (kind(differ) == 0 && kind(stored) == kSmall);
    }

    TP_HOT static Match match(Word stored, const Lookup& lookup) {
        if (same(stored, lookup)) return Match::kYes;
        Kind theirs = kind(stored), ours = kind(lookup.word);
        if (TP_LIKELY(theirs == kString && ours == kString))
            return yes_or_no(same_string(object(stored), object(lookup.word)));
        if (theirs == kObject) return Match::kAsk;  // a user's class may equal anything
        if (theirs == kSmall) return match_small(static_cast<std::int64_t>(lookup.hash), object(lookup.word));
        return match_plain(object(stored), object(lookup.word));
    }

    static Match equal(Word stored, const Lookup& lookup) {
        if (KnownDistinct::known(object(stored), object(lookup.word))) return Match::kNo;
        int same =
            outliving([&] { return PyObject_RichCompareBool(object(stored), object(lookup.word), Py_EQ); });
        return same < 0 ? Match::kError : same ? Match::kYes : Match::kNo;
    }

    /// Whether nobody can tell the equal keys apart, but by `is`: a key that comes back is the object stored last.
    static bool as_good(Word stored, const Lookup& lookup) {
        if (((stored ^ lookup.word) | kKindBits) == kKindBits) return true;
        Kind theirs = kind(stored);
        if (theirs == kObject) return false;  // not retained: it must not be read
        if (theirs == kSmall) return kind(lookup.word) == kSmall;
        return alike(object(stored), object(lookup.word));
    }

    TP_HOT static Word key_to_store(const Lookup& lookup) {
        Py_INCREF(object(lookup.word));
        if (TP_LIKELY(kind(lookup.word) != kObject)) return lookup.word;
        return is_plain_tuple(object(lookup.word)) ? lookup.word | kPlain : lookup.word;
    }
    TP_HOT static void retain(Word word) { Py_INCREF(object(word)); }
    TP_HOT static bool try_retain(Word word) { return try_incref(object(word)); }
    static void enable_try_retain(Word word) { enable_try_incref(object(word)); }
    TP_HOT static void release(Word word) { drop_reference(object(word)); }
    static bool deferred(Word key) { return kind(key) >= kString; }
    static std::size_t weight(Word key) { return weight_of(object(key)); }
    static Word old_value(Word reservation) {
        return value(reinterpret_cast<Reservation*>(object(reservation))->old_value);
    }
    static void prefetch(Word key, Word value) {
        if (kind(key) == kString) {
            __builtin_prefetch(object(key));
            // most strings have their characters there
            __builtin_prefetch(reinterpret_cast<PyASCIIObject*>(object(key)) + 1);
        }
        __builtin_prefetch(object(value), 1);  // 1: its reference count is about to be written
    }

 private:
    static bool alike(PyObject* a, PyObject* b) {
        if (a == b) return true;
        if (Py_TYPE(a) != Py_TYPE(b)) return false;
        if (PyFloat_CheckExact(a))
            return std::signbit(PyFloat_AS_DOUBLE(a)) == std::signbit(PyFloat_AS_DOUBLE(b));
        for (Py_ssize_t i = 0; PyTuple_CheckExact(a) && i < PyTuple_GET_SIZE(a); ++i)
            if (!alike(PyTuple_GET_ITEM(a, i), PyTuple_GET_ITEM(b, i))) return false;
        return is_atom(a) || PyTuple_CheckExact(a);
    }

    static std::size_t weight_of(PyObject* key) {
        if (PyUnicode_CheckExact(key))
            return static_cast<std::size_t>(PyUnicode_GET_LENGTH(key)) * PyUnicode_KIND(key);
        if (PyBytes_CheckExact(key)) return static_cast<std::size_t>(PyBytes_GET_SIZE(key));
        std::size_t all = 0;  // floats and big ints are small
        for (Py_ssize_t i = 0; PyTuple_CheckExact(key) && i < PyTuple_GET_SIZE(key); ++i)
            all += weight_of(PyTuple_GET_ITEM(key, i));
        return all;
    }

    static bool is_plain_tuple(PyObject* key) {
        if (!PyTuple_CheckExact(key) || PyTuple_GET_SIZE(key) > kShort) return false;
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(key); ++i)
            if (!is_atom(PyTuple_GET_ITEM(key, i))) return false;
        return true;
    }
    // Items are compared under a bucket's lock: this many take less time than a resize holds it.
    static constexpr Py_ssize_t kShort = 16;

    TP_HOT static const void* ascii(PyObject* string) { return reinterpret_cast<PyASCIIObject*>(string) + 1; }

    TP_HOT static bool same_string(PyObject* a, PyObject* b) {
        Py_ssize_t length = PyUnicode_GET_LENGTH(a);
        if (TP_LIKELY(PyUnicode_IS_COMPACT_ASCII(a) && PyUnicode_IS_COMPACT_ASCII(b)))
            return length == PyUnicode_GET_LENGTH(b)
                   && same_bytes(ascii(a), ascii(b), static_cast<std::size_t>(length));
        unsigned kind = PyUnicode_KIND(a);
        return length == PyUnicode_GET_LENGTH(b) && kind == PyUnicode_KIND(b)
               && same_bytes(PyUnicode_DATA(a), PyUnicode_DATA(b), static_cast<std::size_t>(length) * kind);
    }

    /// memcmp, without a call for the lengths that most keys have: 4 to 16 bytes, by a word from each end.
    TP_HOT static bool same_bytes(const void* a, const void* b, std::size_t size) {
        if (TP_LIKELY(size >= 8 && size <= 16)) return same_ends<std::uint64_t>(a, b, size);
        if (TP_LIKELY(size >= 4 && size < 8)) return same_ends<std::uint32_t>(a, b, size);
        return std::memcmp(a, b, size) == 0;
    }

    template <class Number>
    TP_HOT static bool same_ends(const void* a, const void* b, std::size_t size) {
        Number first[2], last[2];
        std::memcpy(&first[0], a, sizeof(Number));
        std::memcpy(&first[1], b, sizeof(Number));
        std::memcpy(&last[0], static_cast<const char*>(a) + size - sizeof(Number), sizeof(Number));
        std::memcpy(&last[1], static_cast<const char*>(b) + size - sizeof(Number), sizeof(Number));
        return ((first[0] ^ first[1]) | (last[0] ^ last[1])) == 0;
    }

    static Match yes_or_no(bool same) { return same ? Match::kYes : Match::kNo; }

    /// A stored small int, whose hash is its value, and a key that is not a small int. The stored object is
    /// not read: it may be freed.
    TP_APART static Match match_small(std::int64_t number, PyObject* other) {
        if (PyFloat_CheckExact(other)) return yes_or_no(same_number(PyFloat_AS_DOUBLE(other), number));
        if (PyBool_Check(other)) return yes_or_no(number == (other == Py_True));
        return is_atom(other) || PyTuple_CheckExact(other) ? Match::kNo : Match::kAsk;
    }

    static bool same_number(double real, std::int64_t number) {
        return std::fabs(real) < 0x1p60 && static_cast<double>(static_cast<std::int64_t>(real)) == real
               && static_cast<std::int64_t>(real) == number;
    }

    /// A stored str or plain key, and any other key with the same hash.
    TP_APART static Match match_plain(PyObject* stored, PyObject* other) {
        PyTypeObject* type = Py_TYPE(stored);
        if (type != Py_TYPE(other)) return match_numbers(stored, other);
        if (type == &PyTuple_Type) return match_items(stored, other);
        if (type == &PyFloat_Type) return yes_or_no(PyFloat_AS_DOUBLE(stored) == PyFloat_AS_DOUBLE(other));
        if (type == &PyBytes_Type) {
            Py_ssize_t size = PyBytes_GET_SIZE(stored);
            return yes_or_no(size == PyBytes_GET_SIZE(other)
                             && same_bytes(PyBytes_AS_STRING(stored), PyBytes_AS_STRING(other),
                                           static_cast<std::size_t>(size)));
        }
        if (type == &PyUnicode_Type) return yes_or_no(same_string(stored, other));
        return yes_or_no(same_int(stored, other));
    }

    static bool same_int(PyObject* a, PyObject* b) {
        // compares digits, calls nothing
        return Ref::steal(PyLong_Type.tp_richcompare(a, b, Py_EQ)).get() == Py_True;
    }

    static Match match_items(PyObject* stored, PyObject* other) {
        if (PyTuple_GET_SIZE(stored) != PyTuple_GET_SIZE(other)) return Match::kNo;
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(stored); ++i) {
            PyObject *a = PyTuple_GET_ITEM(stored, i), *b = PyTuple_GET_ITEM(other, i);
            Match match = a == b ? Match::kYes : match_plain(a, b);
            if (match != Match::kYes) return match;
        }
        return Match::kYes;
    }

    /// Keys of two types: only numbers can be equal, or a user's class can decide.
    static Match match_numbers(PyObject* stored, PyObject* other) {
        if (!is_atom(other)) return PyTuple_CheckExact(other) ? Match::kNo : Match::kAsk;
        bool real_a = PyFloat_CheckExact(stored), real_b = PyFloat_CheckExact(other);
        if (!(real_a || PyLong_Check(stored)) || !(real_b || PyLong_Check(other))) return Match::kNo;
        if (!real_a && !real_b) return yes_or_no(same_int(stored, other));
        std::int64_t number;
        if (!small_int(real_a ? other : stored, &number)) return Match::kAsk;
        return yes_or_no(same_number(PyFloat_AS_DOUBLE(real_a ? stored : other), number));
    }
};

}  // namespace threadproof::ext
