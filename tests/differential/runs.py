"""What programs run on: each server, with each store, under several settings."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocache.stores.disk.store import DiskStore
from botocache.stores.memory import MemoryStore
from botocache.stores.protocol import Store
from tests.differential.pairs import Pair, pair_of
from tests.differential.tables import Traits
from tests.support.clock import FakeClock
from tests.support.dynamodb import DynamoDB, running_dynamodb

MINISTACK = Path(__file__).parents[2] / ".venv-ministack" / "bin" / "python"

SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "defaults": {},
    "no negative entries": {"negative_ttl": 0.0},
    "no settling": {"settle": 0.0},
    "as DynamoDB goes": {"reads_after_write": "uncached"},
    "precise index eviction": {"precise_index_eviction": True},
    "through the hooks": {"near": "off"},
    "as botocore parses": {"fast_parsing": False},
    "large scans": {"tables": {"*": {"scan_size_limit": "1KiB"}}},
    "short-lived": {"ttl": 4.0, "negative_ttl": 1.0},
}
"""Keyword arguments of `botocache.install`, by what they are for."""

TRAITS: Mapping[str, Traits] = {
    # ministack 1.5: `1` and `1.0` are two items.
    "ministack": Traits(equates_numbers=False),
    # moto 5.2: `1` and `1.0` are two items; `#a[0]` in a projection is refused as
    # unused while `a[0]`, the same path, is not; size() of an attribute that an item
    # lacks is a server error, as are INSERT and DELETE with parameters, a parallel
    # Scan of binary keys, and `r BETWEEN :a AND :b AND h = :c`; a GetItem with
    # AttributesToGet is answered with the whole item.
    "moto": Traits(
        equates_numbers=False,
        has_list_paths=False,
        has_size_of_absent=False,
        has_partiql_writes=False,
        has_binary_segments=False,
        has_between_first=False,
        gets_attributes=False,
    ),
}


@dataclass(frozen=True, slots=True)
class Run:
    """A server, a store and settings, each by its name."""

    server: str
    store: str
    settings: str

    def __str__(self) -> str:
        return f"{self.server}, {self.store}, {self.settings}"


RUNS = [
    Run("ministack", "memory", "defaults"),
    Run("ministack", "disk", "defaults"),
    Run("ministack", "memory", "precise index eviction"),
    Run("ministack", "memory", "through the hooks"),
    Run("ministack", "memory", "no settling"),
    Run("ministack", "disk", "short-lived"),
    Run("ministack", "disk", "as DynamoDB goes"),
    Run("moto", "disk", "precise index eviction"),
]
"""What `make test` runs."""

ALL_RUNS = [
    Run(server, store, settings)
    for server in ("ministack", "moto")
    for store in ("memory", "disk")
    for settings in SETTINGS
]
"""What `make fuzz` runs."""


@contextmanager
def running(server: str) -> Iterator[DynamoDB]:
    """Run a server by its name."""
    assert MINISTACK.exists(), "`make test` makes the environment of ministack"
    if server == "moto":
        with running_dynamodb() as dynamodb:
            yield dynamodb
    else:
        program = "tests.support.ministack_server"
        with running_dynamodb(program, python=str(MINISTACK)) as dynamodb:
            yield dynamodb


@contextmanager
def pair_for(run: Run, dynamodb: DynamoDB, directory: Path) -> Iterator[Pair]:
    """Return the two sides of a run. directory: of a store on disk."""
    clock = FakeClock()
    stores = _STORES[run.store](directory, clock)
    yield pair_of(dynamodb, stores, clock, SETTINGS[run.settings], TRAITS[run.server])
    for store in stores:
        store.close()


def _memory(_directory: Path, clock: FakeClock) -> list[Store]:
    return [MemoryStore(clock=clock)] * 2


def _disk(directory: Path, clock: FakeClock) -> list[Store]:
    return [DiskStore(directory / "store", clock=clock) for _ in range(2)]


_STORES: Mapping[str, Callable[[Path, FakeClock], list[Store]]] = {
    "memory": _memory,
    "disk": _disk,
}
