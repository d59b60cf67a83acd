# One command does its own set-up: each target needs only Python 3.11+ with venv, and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
NATIVE := build/native/ready
CORE := $(wildcard scheduler/core/*.py scheduler/core/rules/*.py scheduler/core/solvers/*.py)

.PHONY: demo native test test-native e2e e2e-kind bench soak lint lock clean

demo: $(READY)
	$(BIN)/dovetail demo

test: $(READY)
	$(BIN)/python -m pytest -n 2 -q tests

# The same tests with the core compiled, but for those that replace parts of it.
test-native: $(NATIVE)
	DOVETAIL_TEST_NATIVE=1 $(BIN)/python -m pytest -n 2 -q tests

e2e: $(NATIVE)
	$(BIN)/python -m pytest -v e2e

e2e-kind: $(NATIVE)
	DOVETAIL_E2E_PROVIDER=kind $(BIN)/python -m pytest -v e2e

bench: $(NATIVE)
	$(BIN)/python -m e2e.bench.engine
	$(BIN)/python -m e2e.bench.cel
	$(BIN)/python -m e2e.bench.search --timeout 2
	$(BIN)/python -m e2e.bench.fairness
	-$(BIN)/python -m e2e.bench.scoring
	$(BIN)/python -m e2e.bench.extender_http
	-$(BIN)/python -m e2e.bench.extender
	$(BIN)/python -m e2e.bench.optimum
	$(BIN)/python -m e2e.bench.share
	$(BIN)/python -m e2e.bench.quality $(if $(DOVETAIL_TRACES),,--scenario S6,S7,S8)
	$(BIN)/python -m e2e.bench.throughput --nodes 500 --devices 10 --pods 1000 --shape template
	$(BIN)/python -m e2e.bench.throughput --nodes 500 --devices 10 --pods 1000 --shape match

soak: $(NATIVE)
	$(BIN)/python -m pytest -n 2 -q tests --hypothesis-profile fresh
	$(BIN)/python -m e2e.soak --seeds 400
	$(BIN)/python -m e2e.sim --steps 2000000 --jobs 2
	$(BIN)/python -m e2e.sim --steps 200000 --jobs 2 --mode contested
	$(BIN)/python -m e2e.sim.plans
	$(BIN)/python -m e2e.sim.mutants
	$(BIN)/python -m e2e.bad
	$(BIN)/python -m e2e.oracle.plain --cases 50000
	$(BIN)/python -m e2e.siege --minutes 15
	$(BIN)/python -m e2e.siege --minutes 5 --contested

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Compiled in place, where it counts until a source is edited; DOVETAIL_PURE=1 has the sources count.
native: $(NATIVE)

$(NATIVE): $(READY) hatch_build.py $(CORE)
	mkdir -p $(@D) && touch $@.begun
	$(BIN)/python hatch_build.py
	mv $@.begun $@  # as old as its beginning: what is edited meanwhile is younger

# The environment is exactly the lock file: every archive is checked against its hash.
$(READY): requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --only-binary :all: -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $(READY)

lock:
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -o requirements.lock
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -o requirements-dev.lock

clean:
	rm -rf $(VENV) .cache dist build
	find . -name '*.so' -delete
