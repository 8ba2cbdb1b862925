# On a fresh machine with Python 3.10 or later, `make demo` and `make test` set up what
# they need below this directory, and do it.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DEMO   := .venv-demo
OLDEST := .venv-oldest
WHEEL  := .venv-wheel
MINISTACK := .venv-ministack
DYNALITE := .venv-dynalite
AIO    := .venv-aio
AIO_OLDEST := .venv-aio-oldest
AIOBOTO3 := .venv-aioboto3
DEMO_ASYNC := .venv-demo-async
RIVAL  := .venv-rival
DOCS   := .venv-docs
RELEASE := .venv-release
SHIPPED := .venv-shipped

# All extras but the demo's. An SBOM lists what they bring, and an audit looks it up.
EXTRAS := async,redis,encryption,cli,otel,prometheus

ENVIRONMENT := .ci/environment
CONSTRAINTS := constraints.txt

# The oldest boto3 that is supported; pyproject.toml says the same of botocore.
OLDEST_BOTO3 := 1.35.68

# aiobotocore pins botocore narrowly, so that each line of it has an environment. The
# newest one is what pip gives an application; pyproject.toml says the same of the oldest.
# aioboto3 pins one in between.
NEWEST_AIOBOTOCORE := "aiobotocore>=3.10,<4" boto3
OLDEST_AIOBOTOCORE := "aiobotocore[boto3]==2.22.0"
AIOBOTO3_TESTED := aioboto3==15.5.0

# What meets boto3's and botocore's insides.
OLDEST_TESTS := tests/unit/dynamodb/test_operations.py $(addprefix tests/integration/test_, \
	batches.py clients.py deserializers.py early_lookups.py install.py modes.py near.py \
	reads.py refusal.py scope.py throttled.py) tests/streams/test_source.py

# The newest aiobotocore runs all of tests/aio. The oldest runs what meets its insides, and
# aioboto3's what meets those of aioboto3.
AIO_OLDEST_TESTS := $(addprefix tests/aio/test_, cancellation.py credentials.py hooks.py sending.py \
	throttled.py)
AIOBOTO3_TESTS := $(addprefix tests/aio/test_, example_fastapi.py install.py near_resource.py page.py)

# Half a minute of tests for each Python that is supported; of properties fewer examples.
QUICK := tests/unit/settings/test_load.py tests/unit/test_doors.py tests/unit/near \
	tests/stores/disk/test_connections.py tests/stores/disk/test_entry_database.py \
	tests/stores/disk/test_slots_harmed.py tests/stores/test_memory.py \
	tests/integration/test_modes.py tests/integration/test_scope.py \
	tests/unit/test_interruptions.py tests/unit/test_roads.py

# One more than the two cores of CI: tests wait for servers, timeouts and processes for a
# fifth of their time.
PYTEST := $(BIN)/python -m pytest -n $(or $(WORKERS),3) --dist worksteal

# The tests start hundreds of processes. Each would compile boto3 anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo demo-async environments test test-aio test-aio-newest test-aio-oldest test-aioboto3 test-long test-pythons test-pythons-quick lint types
.PHONY: wheel-test oldest-test explore soak fuzz fuzz-inputs bench bench-quick bench-compare performance docs
.PHONY: report-sample docs-serve constraints format clean dist audit sbom

help:           ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 22

demo: $(DEMO)/.ready  ## the story, run for real: a crawl without and with the cache
	$(DEMO)/bin/python examples/crawl/demo.py

demo-async: $(DEMO_ASYNC)/.ready  ## the same for a service of FastAPI and aioboto3, under load
	$(DEMO_ASYNC)/bin/python examples/fastapi/compare.py

environments: $(addsuffix /.ready,$(VENV) $(MINISTACK) $(DYNALITE) $(OLDEST) $(DOCS) \
	$(AIO) $(AIO_OLDEST) $(AIOBOTO3))  ## what .ci/run needs

# What only tests of aiobotocore reach counts as well: --cov-append adds to their .coverage.
test: $(VENV)/.ready $(MINISTACK)/.ready $(DYNALITE)/.ready  ## all tests but the long ones, with coverage
	rm -f .coverage .coverage.*
	$(if $(ARGS),,$(MAKE) --no-print-directory test-aio COVERAGE="--cov --cov-report= --cov-fail-under=0")
	$(PYTEST) $$($(BIN)/python -m tests.measured) -m "measured and not long" \
		--cov --cov-append --cov-report=term-missing:skip-covered $(ARGS)
	$(PYTEST) tests -m "not measured and not long" \
		$$($(BIN)/python -m tests.measured --whole | sed 's/[^ ]* */--ignore=&/g') $(ARGS)

test-aio: $(VENV)/.ready  ## tests/aio, on each line of aiobotocore that is supported
	$(MAKE) --no-print-directory --output-sync=target -j 3 \
		test-aio-newest test-aio-oldest test-aioboto3

test-aio-newest: $(AIO)/.ready
	$(AIO)/bin/python -m pytest -q -n 2 --dist worksteal $(COVERAGE) tests/aio $(ARGS)

test-aio-oldest: $(AIO_OLDEST)/.ready
	$(AIO_OLDEST)/bin/python -m pytest -q $(AIO_OLDEST_TESTS) $(ARGS)

test-aioboto3: $(AIOBOTO3)/.ready
	$(AIOBOTO3)/bin/python -m pytest -q $(AIOBOTO3_TESTS) $(ARGS)

test-long: $(VENV)/.ready $(MINISTACK)/.ready $(DYNALITE)/.ready $(RIVAL)/.ready $(AIO)/.ready  ## what takes minutes, or says most on a quiet machine
	$(PYTEST) -m long -v tests $(ARGS)
	$(AIO)/bin/python -m pytest -m long -v tests/aio $(ARGS)
	EXAMPLES=new $(PYTEST) -m hypothesis -q tests $(ARGS)

test-pythons: $(VENV)/.ready  ## unit, integration and store tests on each supported Python
	$(BIN)/python -m tests.pythons $(ARGS)

test-pythons-quick: $(VENV)/.ready  ## half a minute of them on each, but for that of make test
	EXAMPLES=few $(BIN)/python -m tests.pythons --others $(QUICK)

lint: $(VENV)/.ready  ## ruff, vermin for the oldest Python, and zizmor for the workflows
	$(BIN)/zizmor --offline --no-progress --quiet --pedantic .github
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/vermin --quiet --no-tips --eval-annotations -t=3.10- --violations botocache

types: $(VENV)/.ready  ## mypy --strict
	$(BIN)/mypy

# The time of all files in the distributions: that of the commit.
dist sbom: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 315532800)

dist: $(VENV)/.ready  ## the sdist, and the wheel built from it: the same bytes each time
	rm -rf build dist *.egg-info
	$(BIN)/python -m build --no-isolation --outdir dist .

audit: $(RELEASE)/.ready $(SHIPPED)/.ready  ## the dependencies in the advisory databases; STRICT=1
	$(RELEASE)/bin/python -m release.audit $(SHIPPED)/bin/python $(if $(STRICT),--strict)

sbom: dist $(RELEASE)/.ready $(SHIPPED)/.ready  ## an SBOM and VEX statements beside the distributions
	$(RELEASE)/bin/python -m release.sbom $(SHIPPED)/bin/python dist

wheel-test: dist  ## the quickstart, in an environment that has the wheel
	$(ENVIRONMENT) $(WHEEL) $(PYTHON) --constraint $(CONSTRAINTS) \
		dist/*.whl boto3 "moto[dynamodb,server]"
	cd $(WHEEL) && bin/python ../examples/quickstart.py

oldest-test: $(OLDEST)/.ready $(MINISTACK)/.ready  ## what meets boto3, against the oldest one
	$(OLDEST)/bin/python -m pytest -n 2 --dist worksteal -q -k "not disk and not redis" $(OLDEST_TESTS)

explore: $(VENV)/.ready  ## all schedules of small programs; MINUTES=20 SEED=...
	$(BIN)/python -m tests.explorer --minutes $(or $(MINUTES),20) $(if $(SEED),--seed $(SEED))

soak: $(VENV)/.ready  ## real processes that are killed and stopped; STORE=redis FOR=300 SEED=... FOLLOWED=1
	$(BIN)/python -m tests.soak --store $(or $(STORE),disk) --seconds $(or $(FOR),300) $(if $(SEED),--seed $(SEED)) $(if $(FOLLOWED),--followed)

fuzz: $(VENV)/.ready $(MINISTACK)/.ready  ## random programs, cached and not; FOR=300 SEED=...
	$(BIN)/python -m tests.differential --seconds $(or $(FOR),300) $(if $(SEED),--seed $(SEED))

fuzz-inputs: $(VENV)/.ready  ## random inputs for all that reads; FOR=300 SEED=... ARGS="--target entry"
	$(BIN)/python -m tests.fuzz --seconds $(or $(FOR),300) $(if $(SEED),--seed $(SEED)) $(ARGS)

bench: $(VENV)/.ready $(RIVAL)/.ready  ## benchmarks, minutes; figures are ratios
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks hot_item redis_store cluster tracking compression encryption overload

bench-quick: $(VENV)/.ready  ## the same in two minutes, without botocache 0.0.6
	$(BIN)/python -m benchmarks --scale quick

bench-compare: $(VENV)/.ready  ## this tree beside another revision; REV=main ARGS=--cpu
	$(BIN)/python -m benchmarks compare $(or $(REV),HEAD) $(ARGS)

report-sample: $(VENV)/.ready  ## a page of `botocache report` from made-up figures, into report-out/
	$(BIN)/python -m tests.support.report_overviews report-out

performance: $(VENV)/.ready  ## docs/performance.md and its tables, from what `make bench` measured
	$(BIN)/python -m benchmarks.page

docs: $(VENV)/.ready $(DOCS)/.ready  ## the documentation site, with warnings as errors, into site/
	$(BIN)/python docs/make_operations.py
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict

docs-serve: $(DOCS)/.ready  ## the same at http://127.0.0.1:8000, built anew at each change
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs serve --strict

format: $(VENV)/.ready  ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

constraints: .venv-uv/.ready  ## constraints.txt: the newest of nearly everything
	.venv-uv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.10 \
		--no-annotate --no-header --group aio --group dev --group release --group service $(addprefix --extra ,async cli demo encryption otel prometheus redis) \
		$(addprefix --no-emit-package ,aiobotocore boto3 botocore s3transfer) \
		pyproject.toml --output-file $(CONSTRAINTS)

clean:          ## remove what the targets above made
	rm -rf .venv .venv-* build dist site demo-out bench-out report-out *.egg-info
	rm -rf .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis

# uv makes environments sooner than pip. Without it pip makes them.
UV := $(if $(shell command -v uv),,.venv-uv/.ready)

.venv-uv/.ready:
	$(PYTHON) -m venv .venv-uv
	-.venv-uv/bin/python -m pip --disable-pip-version-check install --quiet uv
	touch $@

$(VENV)/.ready: pyproject.toml setup.cfg $(CONSTRAINTS) | $(UV)
	$(ENVIRONMENT) $(VENV) $(PYTHON) --constraint $(CONSTRAINTS) \
		--editable . --group dev
	touch $@

# As a user has it: the wheel, with its start-up file.
$(DEMO)/.ready: pyproject.toml setup.cfg $(shell find botocache startup -name '*.p*') | $(UV)
	$(ENVIRONMENT) $(DEMO) $(PYTHON) ".[demo]"
	touch $@

$(DEMO_ASYNC)/.ready: pyproject.toml setup.cfg $(shell find botocache startup -name '*.p*') | $(UV)
	$(ENVIRONMENT) $(DEMO_ASYNC) $(PYTHON) ".[async,redis]" --group demo-async
	touch $@

$(OLDEST)/.ready: pyproject.toml setup.cfg $(CONSTRAINTS) | $(UV)
	$(ENVIRONMENT) $(OLDEST) $(PYTHON) --constraint $(CONSTRAINTS) \
		--editable . --group test "boto3==$(OLDEST_BOTO3)" "botocore==$(OLDEST_BOTO3)" \
		pynamodb
	touch $@

# Half of what the other tests need. Their DynamoDB runs in $(VENV).
$(AIO)/.ready: pyproject.toml setup.cfg $(CONSTRAINTS) | $(UV)
	$(ENVIRONMENT) $(AIO) $(PYTHON) --constraint $(CONSTRAINTS) \
		--editable . --group aio $(NEWEST_AIOBOTOCORE)
	touch $@

$(AIO_OLDEST)/.ready: pyproject.toml setup.cfg $(CONSTRAINTS) | $(UV)
	$(ENVIRONMENT) $(AIO_OLDEST) $(PYTHON) --constraint $(CONSTRAINTS) \
		--editable . --group aio $(OLDEST_AIOBOTOCORE)
	touch $@

$(AIOBOTO3)/.ready: pyproject.toml setup.cfg $(CONSTRAINTS) | $(UV)
	$(ENVIRONMENT) $(AIOBOTO3) $(PYTHON) --constraint $(CONSTRAINTS) \
		--editable . --group aio --group service $(AIOBOTO3_TESTED)
	touch $@

# What makes an audit and an SBOM, apart from what they are about.
$(RELEASE)/.ready: pyproject.toml $(CONSTRAINTS) | $(UV)
	$(ENVIRONMENT) $(RELEASE) $(PYTHON) --constraint $(CONSTRAINTS) --group release
	touch $@

# What a user gets, built in isolation: the build needs what pyproject.toml says, and no more.
$(SHIPPED)/.ready: pyproject.toml setup.cfg $(CONSTRAINTS) | $(UV)
	$(ENVIRONMENT) $(SHIPPED) $(PYTHON) --constraint $(CONSTRAINTS) ".[$(EXTRAS)]"
	touch $@

# A DynamoDB to test against, beside moto's.
$(MINISTACK)/.ready: pyproject.toml | $(UV)
	$(ENVIRONMENT) $(MINISTACK) $(PYTHON) --group ministack
	touch $@

# A DynamoDB that computes the read units of each answer. npm's registry has it; where that
# cannot be reached, the tests that need it say so and are skipped.
$(DYNALITE)/.ready: .ci/npm-environment tests/support/dynalite/package-lock.json | $(UV)
	.ci/npm-environment $(DYNALITE) $(PYTHON) tests/support/dynalite || \
		{ rm -rf $(DYNALITE) && mkdir $(DYNALITE); \
		echo "dynalite is not installed, so its tests are skipped; rm -r $(DYNALITE) to try again"; }
	touch $@

# What the benchmarks compare with and cannot import beside ours: it has the same name.
$(RIVAL)/.ready: $(VENV)/.ready | $(UV)
	$(ENVIRONMENT) $(RIVAL) $(PYTHON) "botocache==0.0.6" \
		"boto3==$$($(BIN)/python -c 'import boto3; print(boto3.__version__)')"
	touch $@

# What makes the documentation site.
$(DOCS)/.ready: pyproject.toml | $(UV)
	$(ENVIRONMENT) $(DOCS) $(PYTHON) --group docs
	touch $@
