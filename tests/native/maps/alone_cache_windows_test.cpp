/// A thread that is Alone, in a cache; see alone_windows.hpp.
#include "core/maps/cache/map.hpp"

namespace cells {
template <class P>
struct WithNodes : P {
    using SlotData = std::uint32_t;
};
template <class P>
using Cache = threadproof::CacheMap<WithNodes<P>>;
}  // namespace cells

#define CELLS_MAP cells::Cache
#include "maps/alone_windows.hpp"

using namespace cells;

namespace {

/// The second thread takes its slot under the policy's lock, which the first one wants next.
void a_thread_that_evicts_waits_for_one_that_is_alone() {
    for (Window window : {Window::kPublishing, Window::kChanged}) {
        Filled map(4);
        one_after_the_other([&] { put(map, 5, 50); }, window, [&] { map.set_max(2); });
        alone([&] { CHECK(map.size() == 2 && map.cache_stats().weight == 2); });
    }
}

void what_a_thread_that_is_alone_has_stored_is_evicted() {
    Filled map(4);
    alone([&] { map.set_max(5); });
    one_after_the_other([&] { put(map, 5, 50); }, Window::kChanged,
                        [&] { put(map, 6, 60), put(map, 7, 70), put(map, 8, 80); });
    alone([&] { CHECK(map.size() == 5); });
}

}  // namespace

int main(int argc, char** argv) {
    return run_alone(argc, argv,
                     {CLAIM(a_thread_that_evicts_waits_for_one_that_is_alone),
                      CLAIM(what_a_thread_that_is_alone_has_stored_is_evicted)});
}
