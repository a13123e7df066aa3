/// Objects whose reference counts several threads change at once: an estimate.
///
/// Free-threaded CPython counts the references of other threads than the object's first one in one word, with atomic
/// steps; threads that use one object in a tight loop fight for its cache line. The frames of the threads that run
/// give the candidates: objects that two of them have within reach. Then each candidate's word is read again and again
/// for some microseconds: a word that changes all the time is contended.
#pragma once

#include "ext/watch/sampler.hpp"

#ifdef THREADPROOF_SAMPLER

namespace threadproof::ext {

struct ChangingCount {
    SampledCount which;
    std::uint64_t changes, nanoseconds;
};

/// Of the present moment, among the threads that run, by the kernel's numbers; adds to `stopped` the nanoseconds for
/// which the world was stopped. The caller is attached.
std::vector<ChangingCount> changing_counts(const std::vector<int>& running, std::int64_t& stopped);

}  // namespace threadproof::ext

#endif
