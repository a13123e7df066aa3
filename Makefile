# Every target does its own set-up: it takes python3 >= 3.11, make and a C++20 compiler.

export PYTHON
export THREADPROOF_STRESS

.DEFAULT_GOAL := help
.PHONY: help test demo bench bench-quick lint format native fuzz clean

help:  ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16
	@echo
	@echo 'PYTHON=python3.15t chooses the interpreter; else a free-threaded one is found, or fetched.'
	@echo 'ARGS="..." goes to the command, as in: make test ARGS="tests/maps -k snapshot"'
	@echo 'THREADPROOF_STRESS=1 shrinks every constant of the native code, so that rare paths become common.'

test:  ## the tests; ARGS goes to pytest
	@venv=$$(tools/make-venv test) && $$venv/bin/python -m pytest $(ARGS)

demo:  ## index the standard library with many threads; ARGS goes to `threadproof demo`
	@venv=$$(tools/make-venv) && $$venv/bin/threadproof demo $(ARGS)

bench:  ## measure everything, and write it into README.md, docs/benchmarks.md and docs/maps.md: an hour
	@venv=$$(tools/make-venv bench) && bin=$${venv#$$PWD/}/bin && set -x && \
	$$bin/python benchmarks/page.py && \
	$$bin/python benchmarks/family.py && \
	$$bin/python benchmarks/ratios.py --write

bench-quick:  ## the same on small maps and with few rounds, on the terminal only: three minutes
	@venv=$$(tools/make-venv bench) && bin=$${venv#$$PWD/}/bin && set -x && \
	$$bin/threadproof bench --quick && \
	{ $$bin/python benchmarks/targets.py --quick || test $$? = 3; } && \
	$$bin/python benchmarks/ratios.py --quick

CPP = $(shell find src tests benchmarks -name '*.[ch]pp')

lint:  ## style, types, and the stub against the binary
	@venv=$$(tools/make-venv lint) && bin=$${venv#$$PWD/}/bin && set -x && \
	$$bin/ruff check . && \
	$$bin/ruff format --check . && \
	$$bin/clang-format --dry-run --Werror $(CPP) && \
	$$bin/mypy && \
	$$bin/mypy --scripts-are-modules tools/get-python && \
	$$bin/pyright --pythonpath $$bin/python && \
	MYPYPATH=src $$bin/python -m mypy.stubtest threadproof._core

format:  ## lay out Python and C++ as lint wants it
	@venv=$$(tools/make-venv lint) && bin=$${venv#$$PWD/}/bin && set -x && \
	$$bin/ruff format . && $$bin/ruff check --fix . && $$bin/clang-format -i $(CPP)

clean:  ## forget everything built
	rm -rf build .mypy_cache .pytest_cache .ruff_cache

# --- the core without Python: every *_test.cpp of tests/native by itself, as it is and under the sanitizers ---

NATIVE_TESTS := $(basename $(notdir $(wildcard tests/native/*/*_test.cpp tests/native/*/fuzz_*.cpp)))
vpath %.cpp $(wildcard tests/native/*/)
# These need what only the stress build has: windows to hold a thread in, and allocations that fail.
STRESS_TESTS := windows_test sync_windows_test out_of_memory_test
ifneq ($(THREADPROOF_STRESS),1)
NATIVE_TESTS := $(filter-out $(STRESS_TESTS),$(NATIVE_TESTS))
endif
NATIVE_BUILD := build/native$(if $(filter 1,$(THREADPROOF_STRESS)),-stress)
NATIVE_FLAGS := -std=c++20 -g -O1 -pthread -Isrc -Itests/native -Wall -Wextra -Werror \
	$(if $(filter 1,$(THREADPROOF_STRESS)),-DTHREADPROOF_STRESS=1)
NATIVE_HEADERS := $(shell find src/core tests/native -name '*.hpp')
# TSan sees no fences, of which GCC warns and Clang does not; what they order must be atomic all the same.
NO_FENCES := -Wno-tsan -Wno-unknown-warning-option
COMPILE = mkdir -p $(@D) && $(CXX) $(NATIVE_FLAGS) $< -o $@

native: $(foreach kind,plain thread address,$(NATIVE_TESTS:%=run/$(kind)/%))  ## the core under TSan, ASan and UBSan

run/%: $(NATIVE_BUILD)/%
	$< $(ARGS)

$(NATIVE_BUILD)/plain/%: %.cpp $(NATIVE_HEADERS)
	$(COMPILE)

$(NATIVE_BUILD)/thread/%: %.cpp $(NATIVE_HEADERS)
	$(COMPILE) -fsanitize=thread $(NO_FENCES)

$(NATIVE_BUILD)/address/%: %.cpp $(NATIVE_HEADERS)
	$(COMPILE) -fsanitize=address,undefined -fno-sanitize-recover=all

# libFuzzer comes with Clang. The same lists of operations, made up at random, run under `make native` without it.
CLANG ?= $(firstword $(foreach version,19 18 17 16 15 14,$(shell command -v clang++-$(version))) $(shell command -v clang++))

fuzz: build/fuzz/fuzz_hash_map  ## operations made up by libFuzzer, on the core and on std::map; ARGS=-max_total_time=30
	mkdir -p build/fuzz/corpus && $< $(ARGS) -artifact_prefix=build/fuzz/ build/fuzz/corpus

build/fuzz/%: %.cpp $(NATIVE_HEADERS)
	@test -n "$(CLANG)" || { echo 'fuzzing takes Clang and its runtime: apt-get install clang-14 libclang-rt-14-dev' >&2; exit 2; }
	mkdir -p $(@D) && $(CLANG) $(NATIVE_FLAGS) -DTHREADPROOF_STRESS=1 -DTHREADPROOF_LIBFUZZER $< -o $@ \
		-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all

.SECONDARY:  # executables stay, to be run by hand
