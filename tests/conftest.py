"""What all tests share: a server, a clock, the stores, and a clean process."""

import gc
import os
import shutil
import threading
from collections.abc import Generator, Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import is_hypothesis_test, settings

import botocache
from botocache import _install
from botocache.stores.protocol import Store
from tests.measured import measured_files
from tests.support import unsuitable
from tests.support.clients import AIOBOTOCORE
from tests.support.clock import FakeClock
from tests.support.dynamodb import DynamoDB, running_dynamodb
from tests.support.environment import Distributions, Environment, build_once
from tests.support.processes import TIMEOUT
from tests.support.refusing_server import RefusingServer, refusing_server
from tests.support.stores import opened_store
from tests.support.threads import workers
from tests.support.valkey_cluster import ValkeyCluster, running_cluster
from tests.support.valkey_server import ValkeyServer, running_valkey

# `make test` tries the same examples each time, so that a change fails for what it
# changed. `make test-long` tries new ones, and other Pythons try fewer.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("few", derandomize=True, max_examples=20)
if os.environ.get("EXAMPLES") != "new":
    settings.load_profile(os.environ.get("EXAMPLES", "repeatable"))

LONGEST = ("tests/examples/", "tests/soak/test_soak.py", "tests/integration/test_hosts")
"""Ten to twenty seconds each, of which the processor is idle for most."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect the tests without looking for garbage: that takes a third longer."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests: one that begins last is waited for by itself.

    Mark those that `make test` measures coverage on: see tests/measured.py. Properties,
    with their many examples, are not.
    """
    measured = frozenset(measured_files())
    for item in items:
        if AIOBOTOCORE and (why := unsuitable.reason(item.nodeid)):
            item.add_marker(pytest.mark.skip(reason=why))
        # Hypothesis's own mark comes later: it is not there yet.
        is_property = is_hypothesis_test(getattr(item, "obj", None))
        if not is_property and item.nodeid.partition("::")[0] in measured:
            item.add_marker("measured")
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


def pytest_collection_finish() -> None:
    """Keep what there is by now, the tests themselves, from being looked through.

    `install()` looks for clients among all that the garbage collector lists. Those of
    tests are made later.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def dynamodb() -> Iterator[DynamoDB]:
    """A DynamoDB server; one per test process, so tests use tables of their own."""
    with running_dynamodb() as server:
        yield server


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """The sdist and the wheel that is built from it, one for all test processes."""
    return build_once(_shared(tmp_path_factory) / "wheel")


@pytest.fixture(scope="session")
def wheel(distributions: Distributions) -> Path:
    """The built wheel, one for all test processes."""
    return distributions.wheel


@pytest.fixture(scope="session")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the wheel installed, one for all test processes."""
    return Environment(_shared(tmp_path_factory) / "environment", wheel)


def _shared(factory: pytest.TempPathFactory) -> Path:
    """Return a directory that all test processes of this run have."""
    base = factory.getbasetemp()
    # Each process of xdist has a directory of its own in the shared one.
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture
def clock() -> FakeClock:
    """The clock of the stores."""
    return FakeClock()


@pytest.fixture(scope="session")
def _refusing() -> Iterator[RefusingServer]:
    with refusing_server() as made:
        yield made


@pytest.fixture
def refusing(_refusing: RefusingServer) -> RefusingServer:
    """A DynamoDB that refuses whom a test tells it to; one per test process."""
    _refusing.reset()
    return _refusing


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyServer]:
    """A Valkey server; one per test process, so tests use namespaces of their own."""
    with running_valkey() as server:
        yield server


@pytest.fixture(scope="session")
def cluster() -> Iterator[ValkeyCluster]:
    """A cluster of three primaries; one per test process, as the server."""
    with running_cluster() as servers:
        yield servers


@pytest.fixture
def namespace() -> str:
    """A namespace of the test's own."""
    return f"test-{next(_numbers)}"


_numbers = count()


@pytest.fixture(params=["memory", "disk", "redis"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock
) -> Iterator[Store]:
    """Each store in turn, on the test's clock."""
    with opened_store(request.param, request) as made:
        yield made


_stuck: list[threading.Thread] = []
"""Threads of caches that no test has closed."""


@pytest.fixture(autouse=True)
def _clean_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Give each test an environment without settings, and no cache installed."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "BOTOCACHE")):
            monkeypatch.delenv(name)
    # Not made, and not tmp_path, which is: few tests use either.
    home = tmp_path_factory.getbasetemp() / f"home-{next(_numbers)}"
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", f"{home}/no-config")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", f"{home}/no-credentials")
    monkeypatch.setenv("XDG_CACHE_HOME", f"{home}/cache")
    yield
    botocache.uninstall()
    for cache in _install._caches.values():
        cache.close()
    _install._caches.clear()
    _install._stores.clear()
    for worker in workers():  # one that has nothing left to do is about to go
        if worker not in _stuck:  # one test has failed for it already
            worker.join(TIMEOUT)
            if worker.is_alive():
                _stuck.append(worker)
                pytest.fail("a cache was not closed")
    if home.exists():
        shutil.rmtree(home)
