/// Tests by name: each is a function, whose name is the claim that it holds.
#pragma once

#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <initializer_list>
#include <random>
#include <string>

#include "maps/operations.hpp"

namespace cells {

struct Claim {
    const char* name;
    void (*test)();
};
#define CLAIM(function) \
    cells::Claim { #function, function }

/// Runs those whose name contains the first argument, or all; the name printed last is the one that failed,
/// or hangs.
inline int run_claims(int argc, char** argv, std::initializer_list<Claim> claims) {
    int run = 0;
    for (const Claim& claim : claims) {
        if (argc > 1 && !std::strstr(claim.name, argv[1])) continue;
        std::printf("%s\n", claim.name);
        std::fflush(stdout);
        alarm(300);  // a step that hangs fails
        Policy::hash_of = Policy::itself;
        claim.test();
        nothing_is_left();
        ++run;
    }
    std::printf("%d claims hold\n", run);
    return run == 0;
}

}  // namespace cells
