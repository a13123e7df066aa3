/// The persistent trie as two Python types: Trie, the atomic reference, and TrieVersion.
#pragma once

#include "ext/py.hpp"

namespace threadproof::ext {

bool add_trie(PyObject* module);

}  // namespace threadproof::ext
