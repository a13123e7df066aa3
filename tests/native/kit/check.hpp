/// CHECK(condition) ends the program with the place if the condition is false, in every build.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace checks {

[[noreturn]] inline void fail(const char* what) {
    std::fprintf(stderr, "FAILED: %s\n", what);
    std::abort();
}

}  // namespace checks

#define CHECK(condition) \
    ((condition) ? (void)0 : checks::fail(#condition " at " __FILE__ ":" TP_STRING(__LINE__)))
#define TP_STRING(x) TP_STRING2(x)
#define TP_STRING2(x) #x
