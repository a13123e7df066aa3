/// Subscribers, their interests, and the serial numbers of threads.

#include "ext/probe/events.hpp"

#include <mutex>

namespace threadproof::probe {

constinit Interests interests;
constinit thread_local ThisThread this_thread;

namespace {

std::mutex subscribing;
std::array<bool, kMostSubscribers> taken{};  // under the mutex
std::atomic<ThreadNumber> last_thread{0};

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

void set_interests(std::size_t slot, std::uint32_t mask) {
    std::lock_guard hold(subscribing);
    // release: pairs with the acquire load in each_subscriber(); makes the subscriber visible
    interests.of[slot].store(mask, std::memory_order_release);
    std::uint32_t all = 0;
    for (const auto& each : interests.of) all |= each.load(std::memory_order_relaxed);
    interests.all.store(all, std::memory_order_relaxed);
}

void lock_subscribers() { subscribing.lock(); }
void unlock_subscribers() { subscribing.unlock(); }

ThreadNumber new_thread_number() {
    return last_thread.fetch_add(1, std::memory_order_relaxed) + 1;  // relaxed: only has to be different
}

}  // namespace threadproof::probe
