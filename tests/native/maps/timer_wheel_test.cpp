/// The timer wheel of a cache, compared with a list of deadlines that is searched from one end to the other.
///
/// The first argument chooses the claims by a part of their names, the second sets the seed, which is printed.
#include "core/maps/cache/timer_wheel.hpp"

#include <cstdlib>
#include <map>
#include <random>
#include <vector>

#include "kit/claims.hpp"

using namespace cells;
using threadproof::Instant;
using threadproof::TimerWheel;
using threadproof::WheelLinks;

namespace {

std::uint64_t seed = std::random_device{}();
constexpr Instant kTick = Instant{1} << 20;

struct LinksOf {
    std::vector<WheelLinks>* all;
    WheelLinks& operator()(std::uint32_t i) const { return (*all)[i]; }
};

/// A wheel, and beside it the deadline of each of its entries.
struct Both {
    explicit Both(std::uint32_t count) : links(count), wheel({&links}) {}

    void schedule(std::uint32_t i, Instant deadline) {
        wheel.schedule(i, deadline);
        deadlines[i] = deadline;
    }
    void remove(std::uint32_t i) {
        wheel.remove(i);
        deadlines.erase(i);
    }
    /// Takes what is due, `most` at a time, and checks that it is.
    void advance(Instant now, unsigned most, bool exactly) {
        auto due = [&](std::uint32_t i) -> Instant {
            CHECK(deadlines.contains(i));
            if (deadlines[i] > now) return deadlines[i];
            deadlines.erase(i);
            return 0;
        };
        while (!wheel.advance(now, due, most, exactly)) {
        }
        for (auto [i, deadline] : deadlines)
            CHECK(exactly ? deadline > now : deadline / kTick >= now / kTick);
        CHECK(wheel.check() == deadlines.size());
        Instant next = wheel.next_due();
        CHECK((next == 0) == deadlines.empty());
        for (auto [i, deadline] : deadlines) CHECK(next <= deadline);
    }

    std::vector<WheelLinks> links;
    TimerWheel<LinksOf> wheel;
    std::map<std::uint32_t, Instant> deadlines;
};

/// A time that is small, or large, by chance.
Instant some_time(std::mt19937_64& random) { return random() >> (10 + random() % 50); }

void entries_are_due_when_a_simple_model_has_them_due() {
    for (unsigned round = 0; round < 60; ++round) {
        std::mt19937_64 random(seed + round);
        Both both(400);
        Instant now = some_time(random);
        for (unsigned step = 0; step < 1500; ++step) {
            std::uint32_t i = 1 + static_cast<std::uint32_t>(random() % 399);
            unsigned dice = random() % 10;
            if (dice < 6) both.schedule(i, now + 1 + some_time(random));
            else if (dice < 8) both.remove(i);
            else both.advance(now += some_time(random) >> random() % 20, 1 + random() % 5, random() % 2);
        }
    }
}

/// A deadline that has become later is noticed when the entry is due.
void an_entry_whose_deadline_is_later_by_then_comes_again() {
    Both both(3);
    both.schedule(1, 5 * kTick);
    both.deadlines[1] = 900 * kTick;
    both.advance(100 * kTick, 1, true);
    CHECK(both.deadlines.size() == 1);
    both.advance(900 * kTick, 1, true);
    CHECK(both.deadlines.empty());
}

void an_entry_can_have_any_deadline() {
    Both both(10);
    const Instant deadlines[] = {1, kTick - 1, kTick, 64 * kTick, Instant{1} << 63, ~Instant{0} - 1};
    for (std::uint32_t i = 0; i < 6; ++i) both.schedule(i + 1, deadlines[i]);
    for (Instant now : deadlines) both.advance(now, 1, true);
    CHECK(both.deadlines.empty());
}

}  // namespace

int main(int argc, char** argv) {
    if (argc > 2) seed = std::strtoull(argv[2], nullptr, 10);
    std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
    return run_claims(argc, argv,
                      {
                          CLAIM(entries_are_due_when_a_simple_model_has_them_due),
                          CLAIM(an_entry_whose_deadline_is_later_by_then_comes_again),
                          CLAIM(an_entry_can_have_any_deadline),
                      });
}
