/// The sums of waits, and how a wait is divided among the threads that held the lock.
#include <memory>
#include <thread>
#include <vector>

#include "core/watch/ledger.hpp"
#include "kit/check.hpp"

using namespace threadproof::watch;

namespace {

struct Part {
    Nanoseconds begin, end;
    Holder holder;
    friend bool operator==(const Part&, const Part&) = default;
};

std::vector<Part> parts(Releases& releases, std::uintptr_t lock, Nanoseconds begin, Nanoseconds end) {
    std::vector<Part> all;
    releases.divide(lock, begin, end, [&](Nanoseconds from, Nanoseconds until, Holder holder) {
        all.push_back({from, until, holder});
    });
    return all;
}

constexpr std::uintptr_t kLock = 0x1000, kOther = 0x2000;

void a_wait_is_divided_at_the_releases() {
    auto releases = std::make_unique<Releases>();
    const Holder one{1, 10}, two{2, 20};
    releases->note(kLock, 90, two);  // before the wait
    releases->note(kLock, 130, one);
    releases->note(kOther, 140, two);
    releases->note(kLock, 150, two);
    releases->note(kLock, 300, one);  // after it
    CHECK((parts(*releases, kLock, 100, 160) == std::vector<Part>{{100, 130, one}, {130, 160, two}}));
    CHECK((parts(*releases, kOther, 0, 100) == std::vector<Part>{{0, 100, Holder{}}}));
}

void of_many_releases_the_last_ones_are_kept() {
    auto releases = std::make_unique<Releases>();
    for (std::uint32_t i = 1; i <= 100; ++i) releases->note(kLock, i, {i, i});
    std::vector<Part> all = parts(*releases, kLock, 0, 200);
    CHECK(all.size() == 16);
    CHECK(all.front().begin == 0 && all.front().holder.stack == 85);
    CHECK(all.back().end == 200 && all.back().holder.stack == 100);
}

void sums_have_every_wait_and_the_longest_stay() {
    Ledger ledger;
    const Path path{7, 1, {2, 3}};
    for (Nanoseconds i = 1; i <= 5000; ++i) {
        ledger.add_part(path, i);
        ledger.add_wait({path, 0, i, true});
    }
    ledger.check();
    Ledger::Sums sums = ledger.sums();
    CHECK(sums.size() == 1 && sums[path].count == 5000);
    CHECK(sums[path].delay == 5000 * 5001 / 2 && sums[path].most == 5000);
    auto longest = ledger.longest();
    Nanoseconds most = 0;
    for (const Wait& each : longest) most = std::max(most, each.delay());
    CHECK(most == 5000 && longest.size() >= 1024);
}

void paths_beyond_the_bound_are_summed_without_stack() {
    Ledger ledger;
    for (std::uint32_t i = 1; i <= 5000; ++i) ledger.add_part({1, i, {}}, 1);
    Ledger::Sums sums = ledger.sums();
    CHECK(sums.size() == 4097);
    CHECK((sums[Path{1, 0, {}}].delay == 5000 - 4096));
}

/// For the sanitizers: threads note and divide at once.
void several_threads_use_one_lock() {
    auto releases = std::make_unique<Releases>();
    std::vector<std::thread> threads;
    for (std::uint32_t id = 1; id <= 4; ++id)
        threads.emplace_back([&, id] {
            for (Nanoseconds i = 0; i < 2000; ++i) {
                releases->note(kLock, i, {id, id});
                for (const Part& part : parts(*releases, kLock, i - 10, i)) CHECK(part.begin <= part.end);
            }
        });
    for (std::thread& each : threads) each.join();
}

}  // namespace

int main() {
    a_wait_is_divided_at_the_releases();
    of_many_releases_the_last_ones_are_kept();
    sums_have_every_wait_and_the_longest_stay();
    paths_beyond_the_bound_are_summed_without_stack();
    several_threads_use_one_lock();
}
