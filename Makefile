# `make demo` and `make test` install everything that they need. Requirements: Python 3.11 to 3.13 and a package index.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# The lock lists all packages with the hash of every file, so pip resolves nothing (--no-deps) and newer releases on the
# index are not installed. peewee has no wheel in the range that empyrical-reloaded allows; it is built with the locked
# setuptools (--no-build-isolation), without its SQLite extension.
PIP_INSTALL := NO_SQLITE=1 $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation
LOCKED := $(PIP_INSTALL) --no-deps --require-hashes
# Number of test processes. Tests of one file run in one process (--dist loadfile), so that its fixtures are built once.
TEST_JOBS ?= 2

.PHONY: help install install-jax install-torch demo test test-fast test-lowest check lint types imports slow faults \
  bench bench-peers rates lock clean

help:            ## list of targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP) ## install into a virtual environment from the hash-pinned lock

$(STAMP): requirements.lock requirements-build.lock pyproject.toml
	@$(PYTHON) .ci/check_python.py
	$(PYTHON) -m venv $(VENV)
	$(LOCKED) -r requirements-build.lock
	$(LOCKED) -r requirements.lock
	$(PIP_INSTALL) --no-deps -e .
	@$(BIN)/python -m pip check --disable-pip-version-check
	@touch $@

install-jax install-torch: install-%: $(STAMP) ## install an optional Keras backend from its own hash-pinned list
	$(LOCKED) -r requirements-$*.lock
	@$(BIN)/python -m pip check --disable-pip-version-check

demo: $(STAMP)   ## run the preset demo on simulated prices, offline; prints the path of the report
	$(BIN)/rnn-strategies init build/demo/demo.toml --preset demo --force
	$(BIN)/rnn-strategies run build/demo/demo.toml --out build/demo/run

test: $(STAMP)   ## run the tests without those marked slow or faults, in TEST_JOBS processes
	$(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadfile

test-fast: $(STAMP) ## run the tests without those marked slow, faults or long
	$(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadfile -m 'not slow and not faults and not long'

# Direct dependencies are installed at their lower bounds, transitive ones in their newest releases.
test-lowest: $(STAMP) ## run the tests at the lower bounds of pyproject.toml
	PATH=$(BIN):$$PATH uv pip compile pyproject.toml --extra dev --resolution lowest-direct --only-binary :all: \
	  --no-binary peewee --python $(BIN)/python --quiet -o build/lowest.txt
	PATH=$(BIN):$$PATH uv venv --quiet --clear --python $(BIN)/python build/lowest
	PATH=$(BIN):$$PATH NO_SQLITE=1 uv pip install --quiet --compile-bytecode --python build/lowest/bin/python \
	  --no-binary peewee -r build/lowest.txt
	PATH=$(BIN):$$PATH uv pip install --quiet --python build/lowest/bin/python --no-deps --no-build-isolation -e .
	build/lowest/bin/python -m pytest -n $(TEST_JOBS) --dist loadfile

check: lint types imports test ## run all checks that a change must pass

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

slow: $(STAMP)   ## run the slow tests: long runs on real data, statistics
	$(BIN)/python -m pytest -m slow

faults: $(STAMP) ## run the fault tests: kill -9, full disks, damaged files
	$(BIN)/python -m pytest -m faults

bench: $(STAMP)  ## run the benchmarks; writes build/bench.json (a selection: make bench LEGS="backtests growth")
	$(BIN)/python -m tests.benchmarks.run $(LEGS)

bench-peers: $(STAMP) ## benchmark other engines, each in an environment under build/peers
	$(BIN)/python -m tests.benchmarks.peers

rates: $(STAMP)  ## compare learning rates and batch sizes; writes build/rates.json (with real prices: make rates DATA=DIR)
	$(BIN)/python -m tests.benchmarks.rates $(if $(DATA),--data $(DATA))

# With an empty UPGRADE= only changes of pyproject.toml are resolved; other packages keep their locked versions.
UPGRADE ?= --upgrade
COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes --only-binary :all: --no-emit-index-url \
  --no-annotate --custom-compile-command "make lock"
lock: $(STAMP)   ## update the hash-pinned lists
	PATH=$(BIN):$$PATH $(COMPILE) pyproject.toml --extra dev --no-binary peewee $(UPGRADE) -o requirements.lock
	printf 'setuptools\nwheel\n' | PATH=$(BIN):$$PATH $(COMPILE) - -c requirements.lock -o requirements-build.lock
	for extra in jax torch; do \
	  PATH=$(BIN):$$PATH $(COMPILE) pyproject.toml --extra $$extra --no-binary peewee -c requirements.lock $(UPGRADE) \
	    $$(sed -nE 's/^([A-Za-z0-9._-]+)==.*/--no-emit-package \1/p' requirements.lock | sort -u) \
	    -o requirements-$$extra.lock || exit 1; \
	done

clean:           ## delete generated files
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
