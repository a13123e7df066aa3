/// A thread that is Alone, in a HashMap; see alone_windows.hpp.
#include "maps/alone_windows.hpp"

using namespace cells;

namespace {

void a_table_is_filled_while_another_thread_is_alone() {
    Filled map(4), empty(0);
    one_after_the_other([&] { put(map, 5, 50); }, Window::kPublishing,
                        [&] {
                            CHECK(!fill(map, {7, 8}, 1));
                            CHECK(fill(empty, {7, 8}, 1));
                        });
    alone([&] { CHECK(map.size() == 5 && empty.size() == 2); });
}

}  // namespace

int main(int argc, char** argv) {
    return run_alone(argc, argv, {CLAIM(a_table_is_filled_while_another_thread_is_alone)});
}
