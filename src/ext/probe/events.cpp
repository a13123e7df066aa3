/// Subscribers, their interests, and the serial numbers of threads.

#include "ext/probe/events.hpp"

#include <mutex>
#include <stdexcept>

namespace threadproof::probe {

constinit Interests interests;
constinit thread_local ThisThread this_thread;

namespace {

std::mutex subscribing;
std::array<bool, kMostSubscribers> taken{};  // under the mutex
std::atomic<ThreadNumber> last_thread{0};

/// The events of structures that are written in Python.
constexpr std::uint32_t kOfStructures = kOrder | kItems | kMaps | kAccesses;
PyObject* listening_module = nullptr;  // borrowed: it lives as long as the process

}  // namespace

std::size_t subscribe(Subscriber& subscriber) {
    std::lock_guard hold(subscribing);
    std::size_t slot = 0;
    while (slot < kMostSubscribers && taken[slot]) ++slot;
    if (slot == kMostSubscribers) return slot;
    taken[slot] = true;
    interests.subscribers[slot].store(&subscriber, std::memory_order_relaxed);
    return slot;
}

void unsubscribe(std::size_t slot) {
    set_interests(slot, 0);
    std::lock_guard hold(subscribing);
    taken[slot] = false;  // the pointer stays: a thread that publishes now may still follow it
}

namespace {

void change_interests(std::size_t slot, std::uint32_t mask) {
    std::lock_guard hold(subscribing);
    // release: pairs with the acquire load in each_subscriber(); makes the subscriber visible
    interests.of[slot].store(mask, std::memory_order_release);
    std::uint32_t all = 0;
    auto* next = interests.of_accesses.data();
    for (std::size_t each = 0; each < kMostSubscribers; ++each) {
        std::uint32_t of_each = interests.of[each].load(std::memory_order_relaxed);
        all |= of_each;
        // release: pairs with the acquire load in each_access_subscriber(); makes the subscriber visible
        if (of_each & kAccesses)
            next++->store(interests.subscribers[each].load(std::memory_order_relaxed),
                          std::memory_order_release);
    }
    while (next != &interests.of_accesses.back()) next++->store(nullptr, std::memory_order_relaxed);
    interests.all.store(all, std::memory_order_relaxed);
}

/// Two threads may be here at once, so each checks again after it has stored.
void show_listening() {
    if (!listening_module) return;
    bool shown;
    do {
        shown = listening(kOfStructures);
        if (PyObject_SetAttrString(listening_module, "listening", shown ? Py_True : Py_False) < 0)
            PyErr_Clear();
    } while (shown != listening(kOfStructures));
}

}  // namespace

void set_interests(std::size_t slot, std::uint32_t mask) {
    bool before = listening(kOfStructures);
    change_interests(slot, mask);
    if (listening(kOfStructures) != before) show_listening();
}

void check_interests() {
    std::lock_guard hold(subscribing);
    std::uint32_t all = 0;
    std::size_t next = 0;
    // relaxed, all: they are written under the mutex
    for (std::size_t slot = 0; slot < kMostSubscribers; ++slot) {
        std::uint32_t of_slot = interests.of[slot].load(std::memory_order_relaxed);
        Subscriber* subscriber = interests.subscribers[slot].load(std::memory_order_relaxed);
        all |= of_slot;
        if (of_slot && (!taken[slot] || !subscriber))
            throw std::logic_error("a slot without a subscriber has interests");
        if (of_slot & kAccesses
            && interests.of_accesses[next++].load(std::memory_order_relaxed) != subscriber)
            throw std::logic_error("a subscriber does not get the accesses that it wants");
    }
    if (interests.of_accesses[next].load(std::memory_order_relaxed))
        throw std::logic_error("a subscriber gets accesses that it does not want");
    if (all != interests.all.load(std::memory_order_relaxed))
        throw std::logic_error("the interests of all are not those of each");
}

void show_listening_in(PyObject* module) {
    listening_module = module;
    show_listening();
}

void lock_subscribers() { subscribing.lock(); }
void unlock_subscribers() { subscribing.unlock(); }

namespace {

TP_APART bool record_for_several(const Variable& variable, unsigned flags) {
    bool news = false;
    each_access_subscriber([&](Subscriber& subscriber) { news |= subscriber.access(variable, flags); });
    return news;
}

}  // namespace

bool record_access(const Variable& variable, unsigned flags) {
    this_thread.accessed = true;  // first: a site inside a library's function is not an idle one
    if (TP_UNLIKELY(!in_program())) return false;
    // acquire: pairs with the release store in set_interests()
    Subscriber* first = interests.of_accesses[0].load(std::memory_order_acquire);
    bool alone = !interests.of_accesses[1].load(std::memory_order_relaxed);
    if (TP_LIKELY(first && alone)) return first->access(variable, flags);
    return record_for_several(variable, flags);
}

namespace {
PyObject* unwinding = nullptr;
}

void set_unwinding(PyObject* exception) { unwinding = Py_NewRef(exception); }
void raise_unwinding() { PyErr_SetNone(unwinding); }

bool clear_unwinding() {
    bool set = unwinding && PyErr_ExceptionMatches(unwinding);
    if (set) PyErr_Clear();
    return set;
}

ThreadNumber new_thread_number() {
    return last_thread.fetch_add(1, std::memory_order_relaxed) + 1;  // relaxed: only has to be different
}

}  // namespace threadproof::probe
