/// Which accesses of a run matter: those whose variable two threads use while there are two, one of them to write.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/explore/steps.hpp"

namespace threadproof::explore {

/// What the steps do to one variable.
struct Users {
    Threads threads = 0;
    bool written = false;

    bool share() const { return written && (threads & (threads - 1)) != 0; }
};

/// The sites of these accesses, ascending, each once; only steps from `first` on count.
inline std::vector<std::uint64_t> shared_sites(const std::vector<Step>& log, std::size_t first) {
    std::vector<Users> users;
    for (std::size_t i = first; i < log.size(); ++i) {
        if (log[i].variable >= users.size()) users.resize(log[i].variable + 1);
        users[log[i].variable].threads |= only(log[i].thread);
        users[log[i].variable].written |= log[i].write;
    }
    std::vector<std::uint64_t> sites;
    for (std::size_t i = first; i < log.size(); ++i)
        if (log[i].site && log[i].variable && users[log[i].variable].share()) sites.push_back(log[i].site);
    std::sort(sites.begin(), sites.end());
    sites.erase(std::unique(sites.begin(), sites.end()), sites.end());
    return sites;
}

}  // namespace threadproof::explore
