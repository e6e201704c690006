.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# What the build needs. It stays in the environment, so that a second build compiles only what
# changed (an isolated build would start from nothing each time).
BUILD_TOOLS := "scikit-build-core>=0.11" "cython>=3.1,<4" "picows==2.3.1" cmake ninja
SOURCES := pyproject.toml README.md $(shell find setup_ext src/fastbook src/runtime -type f \
             ! -name '*.py[cod]' ! -name '*.so' ! -name '*.c' ! -path 'src/fastbook/runtime/*')
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
INSTALL := $(PIP_INSTALL) --no-build-isolation

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/.runtime  ## Build, install, and trade against the bundled exchange (ARGS="--seconds 10")
	@$(BIN)/fastbook demo $(ARGS)

test: $(VENV)/.test  ## Build, install, and run every test (ARGS="-k book" chooses)
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.check  ## What CI refuses: lint, format, types, stubs against the binaries
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	ln -sfn ../runtime src/fastbook/runtime
	$(BIN)/mypy src/fastbook tests examples
	cd build && ../$(BIN)/python -m mypy.stubtest $(STUBS) --allowlist ../stubtest.allow --concise

conserve: $(VENV)/.test  ## A million orders of 300 agents: money, positions and books balance
	$(BIN)/python -m tests.reference.agents $(ARGS)

SEEDS ?= 200
FIRST_SEED ?= 1
MINUTES ?= 2
simulate-faults: $(VENV)/.test  ## Whole engine, virtual time, seeded faults (SEEDS=10000 FIRST_SEED=1; SEED=7 shows one)
	$(BIN)/python -m tests.simulation $(SEEDS) --first $(FIRST_SEED) --minutes $(MINUTES) \
	  $(if $(SEED),--seed $(SEED)) $(ARGS)

planted-bugs: $(VENV)/.test  ## Each planted bug, and how many seeds find it (SEEDS=40)
	$(BIN)/python -m tests.simulation.bugs --seeds $(if $(filter-out 200,$(SEEDS)),$(SEEDS),40) $(ARGS)

gate-million: $(VENV)/.test  ## A million random orders through the risk gate: none beyond a limit
	$(BIN)/python -m tests.reference.gate_world $(ARGS)

mutants: $(VENV)/.test  ## Small mistakes put into gate, orders and limiter: are they found? (slow)
	$(BIN)/python -m tests.mutation $(ARGS)

COUNT ?= 1000
kill-tests: $(VENV)/.test  ## kill -9 of real engines at named points and random moments (COUNT=1000)
	FASTBOOK_KILLS=$(COUNT) $(BIN)/python -m pytest -q -s tests/kill/test_kill.py

ORDERS ?= 100000
storm: $(VENV)/.test  ## Orders of which three in ten lose their answer: all end, none twice (ORDERS=100000)
	$(BIN)/python -m tests.kill.storm $(ORDERS)

dev: $(VENV)/.check  ## Install editable; rebuilds the extensions on import
	ln -sfn ../runtime src/fastbook/runtime
	$(INSTALL) -Ceditable.rebuild=true -Cbuild-dir=build/dev -e '.[test]'
	rm -f $(VENV)/.runtime $(VENV)/.test

bench: $(VENV)/.bench  ## The benchmark suite under pytest-benchmark (ARGS="-k frames" chooses)
	$(BIN)/python -m pytest bench --benchmark-group-by=group --benchmark-max-time=0.3 \
	  --benchmark-columns=median,iqr,rounds $(ARGS)

benchmarks-doc: $(VENV)/.bench  ## Everything with peers, a few minutes; writes docs/benchmarks.md
	mkdir -p build
	$(BIN)/python -m bench.run --json build/benchmarks.json --page docs/benchmarks.md $(ARGS) \
	  || test $$? -eq 4  # a missed target is on the page, and no reason not to write it

bench-stores: $(VENV)/.bench  ## Stores: rows/s, cache lag, what an outage costs; two minutes
	$(BIN)/python -m bench.stores $(ARGS)

DATA ?= $(or $(FASTBOOK_DATA),../shared/data)
chart: $(VENV)/.bench  ## Simulated beside recorded distributions; writes docs/distributions.svg
	$(BIN)/python -m bench.distributions --recorded $(DATA)/feed-statistics.json \
	  --chart docs/distributions.svg $(ARGS)

wheel: $(VENV)/.tools  ## Build the wheel and the source distribution into dist/
	$(PIP_INSTALL) build
	rm -rf dist && $(BIN)/python -m build --no-isolation

annotate: $(VENV)/.tools  ## Cython's yellow pages: where the hot path touches Python
	mkdir -p build/annotate
	for f in src/fastbook/core/*.pyx src/fastbook/bybit/*.pyx; do \
	  $(BIN)/cython -3 -a -I src $$f -o build/annotate/$$(basename $$f .pyx).c || exit 1; done

instructions: $(VENV)/.test  ## Compare instructions a frame with bench/instructions.json
	$(BIN)/python bench/instructions.py

instructions-update: $(VENV)/.test  ## Count them anew, after a change that is meant
	$(BIN)/python bench/instructions.py --update

# PyMem goes through malloc so that every block has its own borders. The interpreter is not built
# for leak detection. What a test starts as a process of its own inherits the preloaded library.
ASAN := build/asan
asan: $(BIN)/python  ## The tests on extensions with sanitizers and bounds checks (ARGS="-k book")
	test -x $(ASAN)/venv/bin/python || $(PYTHON) -m venv $(ASAN)/venv
	$(ASAN)/venv/bin/python -m pip install --quiet --disable-pip-version-check $(BUILD_TOOLS)
	$(ASAN)/venv/bin/python -m pip install --quiet --disable-pip-version-check \
	  --no-build-isolation -Cbuild-dir=$(ASAN)/cmake -Ccmake.define.FASTBOOK_SANITIZE=ON \
	  -Cinstall.strip=false '.[test]'
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so)" PYTHONMALLOC=malloc \
	  ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 FASTBOOK_ASAN=1 \
	  $(ASAN)/venv/bin/python -m pytest -p no:cacheprovider $(ARGS)

clean:  ## Remove everything that was built
	rm -rf $(VENV) build dist src/fastbook/runtime .mypy_cache .ruff_cache .pytest_cache

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fastbook needs Python 3.11 or newer; name one with PYTHON=")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.tools: $(BIN)/python Makefile
	@echo "installing build tools into $(VENV)"
	@$(PIP_INSTALL) $(BUILD_TOOLS)
	@touch $@

$(VENV)/.runtime: $(VENV)/.tools $(SOURCES)
	@echo "building and installing fastbook (the first build takes a minute)"
	@$(INSTALL) '.[runtime]'
	@touch $@

$(VENV)/.test: $(VENV)/.tools $(SOURCES)
	@echo "building and installing fastbook with what the tests need"
	@$(INSTALL) '.[test]'
	@touch $@ $(VENV)/.runtime

$(VENV)/.check: $(VENV)/.test requirements-dev.txt
	@$(PIP_INSTALL) -r requirements-dev.txt
	@touch $@

$(VENV)/.bench: $(VENV)/.test bench/requirements.txt
	@$(PIP_INSTALL) -r bench/requirements.txt
	@touch $@

STUBS = fastbook.core fastbook.bybit.frames fastbook.replay

.PHONY: help demo test check conserve kill-tests storm gate-million mutants simulate-faults planted-bugs dev bench benchmarks-doc chart bench-stores instructions instructions-update asan wheel annotate clean
