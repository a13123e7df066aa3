# Each target does all its set-up: it needs python3 >= 3.11, make and a C++20 compiler.
#
#   make test PYTHON=python3.15t ARGS="tests/maps -k snapshot"

export PYTHON
export CI

.DEFAULT_GOAL := help
.PHONY: help test demo lint clean

help:  ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16
	@echo 'PYTHON=... chooses the interpreter, ARGS="..." goes to the command.'

test:  ## the tests; ARGS goes to pytest
	@venv=$$(tools/make-venv test) && exec $$venv/bin/python -m pytest $(ARGS)

demo:  ## index the standard library with many threads; ARGS goes to threadproof demo
	@venv=$$(tools/make-venv) && exec $$venv/bin/threadproof demo $(ARGS)

lint:  ## style and types
	@venv=$$(tools/make-venv lint) && bin=$$venv/bin && set -x && \
	$$bin/ruff check . && $$bin/ruff format --check . && \
	$$bin/mypy && $$bin/pyright --pythonpath $$bin/python && \
	MYPYPATH=src $$bin/python -m mypy.stubtest threadproof._core

clean:  ## forget everything built
	rm -rf build
