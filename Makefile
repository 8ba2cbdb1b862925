# On a fresh machine with Python 3.10 or later, `make demo` and `make test` set up what
# they need below this directory, and do it.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DEMO   := .venv-demo
OLDEST := .venv-oldest
WHEEL  := .venv-wheel
MINISTACK := .venv-ministack
RIVAL  := .venv-rival

# The oldest boto3 that is supported; pyproject.toml says the same of botocore.
OLDEST_BOTO3 := 1.35.68

# What coverage is measured on. All of the tests are not: it makes botocore twice as slow.
COVERED := tests/unit tests/stores $(addprefix tests/integration/test_, \
	ahead.py batches.py install.py invalidate.py modes.py near.py scope.py tracing.py)

# What meets boto3's and botocore's insides.
OLDEST_TESTS := tests/unit/dynamodb/test_operations.py $(addprefix tests/integration/test_, \
	ahead.py batches.py install.py modes.py near.py reads.py refusal.py scope.py)

PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal
PIP := python -m pip --disable-pip-version-check install --quiet --no-compile

.PHONY: help demo environments test lint types wheel-test oldest-test explore soak fuzz
.PHONY: bench bench-quick performance docs format clean

help:           ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 22

demo: $(DEMO)/.ready  ## the story, run for real: a crawl without and with the cache
	$(DEMO)/bin/python examples/crawl/demo.py

environments: $(VENV)/.ready $(MINISTACK)/.ready $(OLDEST)/.ready $(RIVAL)/.ready

test: $(VENV)/.ready $(MINISTACK)/.ready $(RIVAL)/.ready  ## all tests, with coverage
	rm -f .coverage .coverage.*
	$(PYTEST) $(COVERED) --cov --cov-report=term-missing:skip-covered $(ARGS)
	$(PYTEST) tests $(addprefix --ignore=,$(COVERED)) $(ARGS)

lint: $(VENV)/.ready  ## ruff, and vermin for the oldest Python
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/vermin --quiet --no-tips --eval-annotations -t=3.10- --violations botocache

types: $(VENV)/.ready  ## mypy --strict
	$(BIN)/mypy

wheel-test:     ## the built wheel and the quickstart, in an environment of their own
	rm -rf $(WHEEL) build dist
	$(PYTHON) -m venv $(WHEEL)
	$(WHEEL)/bin/$(PIP) --upgrade pip build
	$(WHEEL)/bin/python -m build --wheel --outdir dist .
	$(WHEEL)/bin/$(PIP) dist/*.whl boto3 "moto[dynamodb,server]"
	cd $(WHEEL) && bin/python ../examples/quickstart.py

oldest-test: $(OLDEST)/.ready  ## what meets boto3, against the oldest one
	$(OLDEST)/bin/python -m pytest -n 2 --dist worksteal -q -k "not disk and not redis" $(OLDEST_TESTS)

explore: $(VENV)/.ready  ## all schedules of small programs; MINUTES=20 SEED=...
	$(BIN)/python -m tests.explorer --minutes $(or $(MINUTES),20) $(if $(SEED),--seed $(SEED))

soak: $(VENV)/.ready  ## real processes that are killed and stopped; STORE=redis FOR=300 SEED=...
	$(BIN)/python -m tests.soak --store $(or $(STORE),disk) --seconds $(or $(FOR),300) $(if $(SEED),--seed $(SEED))

fuzz: $(VENV)/.ready $(MINISTACK)/.ready  ## random programs, cached and not; FOR=300 SEED=...
	$(BIN)/python -m tests.differential --seconds $(or $(FOR),300) $(if $(SEED),--seed $(SEED))

bench: $(VENV)/.ready $(RIVAL)/.ready  ## benchmarks, minutes; figures are ratios
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.hot_item
	$(BIN)/python -m benchmarks.redis_store
	$(BIN)/python -m benchmarks.redis_scale
	$(BIN)/python -m benchmarks.cluster
	$(BIN)/python -m benchmarks.client_tracking
	$(BIN)/python -m benchmarks.compression

bench-quick: $(VENV)/.ready $(RIVAL)/.ready  ## the same in under a minute
	$(BIN)/python -m benchmarks --scale quick

performance: $(VENV)/.ready  ## docs/performance.md, from what `make bench` measured
	$(BIN)/python -m benchmarks.page

docs: $(VENV)/.ready   ## docs/operations.md, from the table of operations
	$(BIN)/python docs/make_operations.py

format: $(VENV)/.ready  ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:          ## remove what the targets above made
	rm -rf $(VENV) $(DEMO) $(OLDEST) $(WHEEL) $(MINISTACK) $(RIVAL) build dist demo-out bench-out *.egg-info
	rm -rf .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.ready: pyproject.toml setup.cfg
	$(PYTHON) -m venv $(VENV)
	$(BIN)/$(PIP) --upgrade pip
	$(BIN)/$(PIP) --editable . --group dev
	touch $@

# As a user has it: the wheel, with its start-up file.
$(DEMO)/.ready: pyproject.toml setup.cfg $(shell find botocache startup -name '*.p*')
	$(PYTHON) -m venv $(DEMO)
	$(DEMO)/bin/$(PIP) --upgrade pip
	$(DEMO)/bin/$(PIP) --force-reinstall --no-deps .
	$(DEMO)/bin/$(PIP) ".[demo]"
	touch $@

$(OLDEST)/.ready: pyproject.toml setup.cfg
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/$(PIP) --upgrade pip
	$(OLDEST)/bin/$(PIP) --editable . --group dev \
		"boto3==$(OLDEST_BOTO3)" "botocore==$(OLDEST_BOTO3)"
	touch $@

# A DynamoDB to test against, beside moto's.
$(MINISTACK)/.ready: pyproject.toml
	$(PYTHON) -m venv $(MINISTACK)
	$(MINISTACK)/bin/$(PIP) --upgrade pip
	$(MINISTACK)/bin/$(PIP) --group ministack
	touch $@

# What the benchmarks compare with and cannot import beside ours: it has the same name.
$(RIVAL)/.ready: $(VENV)/.ready
	$(PYTHON) -m venv $(RIVAL)
	$(RIVAL)/bin/$(PIP) --upgrade pip
	$(RIVAL)/bin/$(PIP) "botocache==0.0.6" \
		"boto3==$$($(BIN)/python -c 'import boto3; print(boto3.__version__)')"
	touch $@
