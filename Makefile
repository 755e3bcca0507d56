# Two commands on a fresh machine: `make demo` and `make test`. Needs Python >= 3.11 and a package index.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# A file is one process's: its fixtures are made once.
TEST_JOBS ?= 2
SOURCES := rnn_strategies signals backtests reports

.PHONY: help install demo test check lint types imports slow faults bench bench-peers rates lock clean

help:            ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP) ## virtual environment from the hash-pinned lock

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; found " + sys.version.split()[0] + "; set PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	PEEWEE_NO_SQLITE_EXTENSIONS=1 NO_SQLITE=1 $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

demo: $(STAMP)   ## the main job on simulated prices, offline; ends with the path of the report
	$(BIN)/rnn-strategies init build/demo/demo.toml --preset demo --force
	$(BIN)/rnn-strategies run build/demo/demo.toml --out build/demo/run

test: $(STAMP)   ## the tests, without the slow ones, in TEST_JOBS processes
	$(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadfile

check: lint types imports test ## everything a change must pass

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

slow: $(STAMP)   ## long runs: real data, statistics
	$(BIN)/python -m pytest -m slow

faults: $(STAMP) ## kill -9, full disks, damaged files
	$(BIN)/python -m pytest -m faults

bench: $(STAMP)  ## the benchmark table; writes build/bench.json (some: make bench LEGS="backtests growth")
	$(BIN)/python -m tests.benchmarks.run $(LEGS)

bench-peers: $(STAMP) ## other engines for the benchmark table, each in an environment under build/peers
	$(BIN)/python -m tests.benchmarks.peers

rates: $(STAMP)  ## learning rates and batch sizes compared; writes build/rates.json (real prices too: make rates DATA=DIR)
	$(BIN)/python -m tests.benchmarks.rates $(if $(DATA),--data $(DATA))

lock:            ## refresh requirements.lock (needs uv)
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --only-binary :all: --no-binary peewee --no-emit-index-url --no-annotate --custom-compile-command "make lock" --upgrade -o requirements.lock

clean:           ## generated files
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
