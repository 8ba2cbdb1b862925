"""What an application does in a process to which only the environment gives a cache."""

from functools import cache
from typing import Any

from botocache import _install
from tests.integration.app import get, put
from tests.support.dynamodb import DynamoDB
from tests.support.processes import eventually


@cache
def _client(url: str) -> Any:
    return DynamoDB(url).client()


def read(url: str, table: str) -> int:
    """Return the number of the item."""
    item = get(_client(url), table, pk="a")
    assert item is not None
    return int(item["n"])


def write(url: str, table: str, n: int) -> None:
    """Put the item."""
    put(_client(url), table, pk="a", n=n)


def deliver() -> None:
    """Wait until nothing is left to evict: a busy machine may miss the time limit."""
    eventually(
        lambda: not any(c.stats().undelivered for c in _install._caches.values())
    )


def failures() -> int:
    """Return how much has gone wrong inside."""
    (only,) = _install._caches.values()
    return sum(only.stats().failures.values())
