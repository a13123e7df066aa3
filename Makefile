# Every target does its own set-up: it takes python3 >= 3.11, make and a C++20 compiler. CONTRIBUTING.md says which is for what.

export PYTHON
export THREADPROOF_STRESS

.DEFAULT_GOAL := help
.PHONY: help check test test-quick demo demo-watch bench bench-quick lint tidy format native fuzz clean

help:  ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo 'Times are for two cores, after the first call, which makes an environment and builds: two minutes more.'
	@echo 'PYTHON=python3.15t chooses the interpreter; else a free-threaded one is found, or fetched.'
	@echo 'ARGS="..." goes to the command, as in: make test ARGS="tests/maps -k snapshot"'
	@echo 'THREADPROOF_STRESS=1 shrinks every constant of the native code, so that rare paths become common.'

check:  ## all that CI does, in the same way: 15 minutes; ARGS="lint native" does only those parts
	@.ci/run $(ARGS)

test:  ## the tests, on every core: 5 minutes; ARGS goes to pytest
	@venv=$$(tools/make-venv test) && $$venv/bin/python -m pytest -n auto $(ARGS)

test-quick:  ## the tests but for the slow ones: under 3 minutes
	@venv=$$(tools/make-venv test) && $$venv/bin/python -m pytest -n auto -m "not slow" $(ARGS)

demo:  ## index the standard library with many threads; ARGS goes to `threadproof demo`
	@venv=$$(tools/make-venv) && $$venv/bin/threadproof demo $(ARGS)

demo-watch:  ## a service with four planted illnesses and a healthy twin, found by the health checks: half a minute
	@venv=$$(tools/make-venv) && $$venv/bin/python examples/watch/service.py $(ARGS)

bench:  ## measure everything, and write the tables and pictures of README.md and docs: half an hour
	@venv=$$(tools/make-venv bench) && bin=$${venv#$$PWD/}/bin && set -x && \
	$$bin/python benchmarks/measure.py && \
	$$bin/python benchmarks/write.py && \
	$$bin/python benchmarks/picture.py

bench-quick:  ## the same on small maps and with few rounds, on the terminal only: three minutes
	@venv=$$(tools/make-venv bench) && bin=$${venv#$$PWD/}/bin && set -x && \
	$$bin/threadproof bench --quick && \
	{ $$bin/threadproof bench targets --quick || test $$? = 3; }

CPP = $(shell find src tests benchmarks -name '*.[ch]pp')
SCRIPTS = .ci/run $(filter-out tools/get-python,$(wildcard tools/*))

lint:  ## style, types, and the stub against the binary: half a minute
	@venv=$$(tools/make-venv lint) && bin=$${venv#$$PWD/}/bin && set -x && \
	$$bin/ruff check . && \
	$$bin/ruff format --check . && \
	$$bin/clang-format --dry-run --Werror $(CPP) && \
	$$bin/shellcheck $(SCRIPTS) && \
	$$bin/mypy && \
	$$bin/mypy --scripts-are-modules tools/get-python && \
	$$bin/pyright --pythonpath $$bin/python && \
	MYPYPATH=src $$bin/python -m mypy.stubtest threadproof._core

# The extension as CMake compiles it, but that warnings are GCC's; the native tests as the stress build, which has all.
tidy:  ## clang-tidy on the C++, checks in .clang-tidy: half a minute
	@venv=$$(tools/make-venv lint) && bin=$${venv#$$PWD/}/bin && build=build/cmake-$${venv##*/venv-} && \
	find src -name '*.cpp' | xargs -P $(CORES) -n 1 $$bin/clang-tidy --quiet -p $$build --extra-arg=-Wno-error && \
	find tests/native benchmarks -name '*.cpp' | xargs -P $(CORES) -I {} \
		$$bin/clang-tidy --quiet {} -- -std=c++20 -Isrc -Itests/native -DTHREADPROOF_STRESS=1

format:  ## lay out Python and C++ as lint wants it
	@venv=$$(tools/make-venv lint) && bin=$${venv#$$PWD/}/bin && set -x && \
	$$bin/ruff format . && $$bin/ruff check --fix . && $$bin/clang-format -i $(CPP)

clean:  ## forget everything built
	rm -rf build .mypy_cache .pytest_cache .ruff_cache

# --- the core without Python: every *_test.cpp of tests/native by itself, as it is and under the sanitizers ---

CORES := $(shell nproc)
NATIVE_TESTS := $(basename $(notdir $(wildcard tests/native/*/*_test.cpp tests/native/*/fuzz_*.cpp)))
vpath %.cpp $(wildcard tests/native/*/)
# One thread, or threads that are held and let go by the test: speed changes no schedule there, and TSan sees them in
# order. So they run once, under ASan and UBSan; the others also as they are, for the speed, and under TSan.
IN_ORDER := cache_policy_test cache_windows_test fuzz_hash_map locked_windows_test out_of_memory_test position_test \
  rw_queue_test sync_windows_test timer_wheel_test trie_windows_test windows_test
# These need what only the stress build has: windows to hold a thread in, and allocations that fail.
STRESS_TESTS := cache_windows_test locked_windows_test out_of_memory_test sync_windows_test trie_windows_test \
  windows_test
# And these are the same there: they use no constant that shrinks.
UNSHRUNK := atomic_cell_test position_test rw_queue_test
NATIVE_TESTS := $(filter-out $(if $(filter 1,$(THREADPROOF_STRESS)),$(UNSHRUNK),$(STRESS_TESTS)),$(NATIVE_TESTS))
FREE_TESTS := $(filter-out $(IN_ORDER),$(NATIVE_TESTS))
NATIVE_BUILD := build/native$(if $(filter 1,$(THREADPROOF_STRESS)),-stress)
# -g1: the lines that reports name, in three quarters of the time that -g takes.
NATIVE_FLAGS := -std=c++20 -g1 -O1 -pthread -Isrc -Itests/native -Wall -Wextra -Werror -MMD -MP \
	$(if $(filter 1,$(THREADPROOF_STRESS)),-DTHREADPROOF_STRESS=1)
# TSan sees no fences, of which GCC warns and Clang does not; what they order must be atomic all the same.
NO_FENCES := -Wno-tsan -Wno-unknown-warning-option
THREAD := -fsanitize=thread $(NO_FENCES)
ADDRESS := -fsanitize=address,undefined -fno-sanitize-recover=all
COMPILE = mkdir -p $(@D) && $(CCACHE) $(CXX) $(NATIVE_FLAGS) -c $< -o $@
LINK = $(CXX) -pthread $< -o $@
CCACHE := $(shell command -v ccache)

native: $(NATIVE_TESTS:%=run/address/%) $(foreach kind,plain thread,$(FREE_TESTS:%=run/$(kind)/%))  ## the core under TSan, ASan and UBSan: three minutes, with -j2

run/%: $(NATIVE_BUILD)/%
	$< $(ARGS)

$(NATIVE_BUILD)/plain/%.o: %.cpp
	$(COMPILE)

$(NATIVE_BUILD)/thread/%.o: %.cpp
	$(COMPILE) $(THREAD)

$(NATIVE_BUILD)/address/%.o: %.cpp
	$(COMPILE) $(ADDRESS)

$(NATIVE_BUILD)/plain/%: $(NATIVE_BUILD)/plain/%.o
	$(LINK)

$(NATIVE_BUILD)/thread/%: $(NATIVE_BUILD)/thread/%.o
	$(LINK) $(THREAD)

$(NATIVE_BUILD)/address/%: $(NATIVE_BUILD)/address/%.o
	$(LINK) $(ADDRESS)

-include $(wildcard $(NATIVE_BUILD)/*/*.d)  # which headers each was compiled with

# libFuzzer comes with Clang. The same lists of operations, made up at random, run under `make native` without it.
CLANG ?= $(firstword $(foreach version,19 18 17 16 15 14,$(shell command -v clang++-$(version))) $(shell command -v clang++))

fuzz: build/fuzz/fuzz_hash_map  ## operations made up by libFuzzer, on the core and on std::map; ARGS=-max_total_time=30
	mkdir -p build/fuzz/corpus && $< $(ARGS) -artifact_prefix=build/fuzz/ build/fuzz/corpus

build/fuzz/%: %.cpp $(shell find src/core tests/native -name '*.hpp')
	@test -n "$(CLANG)" || { echo 'fuzzing takes Clang and its runtime: apt-get install clang-14 libclang-rt-14-dev' >&2; exit 2; }
	mkdir -p $(@D) && $(CLANG) $(NATIVE_FLAGS) -DTHREADPROOF_STRESS=1 -DTHREADPROOF_LIBFUZZER $< -o $@ \
		-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all

.SECONDARY:  # executables stay, to be run by hand
