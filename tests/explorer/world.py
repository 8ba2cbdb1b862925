"""The world of one schedule: real caches and a real store, and a model of DynamoDB.

One item, and one partition that holds it. Each commit is a new version of the item, so
a version says at once how old an answer is. Time stands still unless an action moves
it. `promise` states what must hold of a hit.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocache._cache import Cache, Hit, Request, Ticket
from botocache._coherence import Eviction, Loaded
from botocache._config import Settings
from botocache._errors import StoreError, StoreLostError
from botocache.stores.memory import MemoryStore
from tests.support.clock import FakeClock

SETTINGS = Settings(ttl=60.0, settle=1.0, write_window=5.0)
SCOPE = b"scope"
ORIGIN = "origin"
KEY = {"pk": {"S": "a"}, "sk": {"S": "b"}}

BODIES: dict[str, dict[str, Any]] = {
    "GetItem": {"TableName": "t", "Key": KEY},
    "Query": {
        "TableName": "t",
        "KeyConditionExpression": "pk = :p",
        "ExpressionAttributeValues": {":p": {"S": "a"}},
    },
    "Query by range": {
        "TableName": "t",
        "IndexName": "inverted",
        "KeyConditionExpression": "sk = :s",
        "ExpressionAttributeValues": {":s": {"S": "b"}},
    },
    "UpdateItem": {"TableName": "t", "Key": KEY},
    "PutItem": {"TableName": "t", "Item": KEY},
}


class PromiseBroken(Exception):  # noqa: N818 - it is what is looked for
    """A hit was older than a write that had completed before it began."""


class Useless(Exception):  # noqa: N818 - it is what is looked for
    """After everything settled, a repeated read was not a hit."""


class FaultyStore:
    """A store, one of whose next calls fails if it is told to."""

    def __init__(self, store: MemoryStore, on_failure: Callable[[str], None]) -> None:
        self.store = store
        self.now = store.now
        self.failing = ""
        self._on_failure = on_failure
        self.lost_by: set[int] = set()  # clients that have not noticed the loss yet
        self.current = 0

    def _may_fail(self, verb: str) -> None:
        if self.current in self.lost_by:
            self.lost_by.remove(self.current)
            raise StoreLostError("generations were lost")
        if self.failing == verb:
            self.failing = ""
            self._on_failure(verb)
            raise StoreError(f"{verb} was told to fail")

    def load(self, key: bytes, tags: Any) -> Loaded:
        self._may_fail("load")
        return self.store.load(key, tags)

    def fill(self, key: bytes, entry: bytes, ttl: float) -> None:
        self._may_fail("fill")
        self.store.fill(key, entry, ttl)

    def evict(self, tags: Any, hold_off: float, **options: Any) -> Eviction:
        self._may_fail("evict")
        return self.store.evict(tags, hold_off, **options)

    def clear(self) -> None:
        self.store.clear()

    def close(self) -> None:
        self.store.close()


@dataclass(slots=True)
class Server:
    """DynamoDB: `version` is the last commit's; `committed_at` its time."""

    version: int = 0
    committed_at: float = float("-inf")


class World:
    """The server, the clock, the store, and a cache for each client."""

    def __init__(self, clients: int) -> None:
        self.clock = FakeClock()
        numbers = iter(range(1, 1 << 60))
        self.store = FaultyStore(
            MemoryStore(
                clock=self.clock,
                random=lambda size: b"".join(
                    next(numbers).to_bytes(8, "little") for _ in range(size // 8)
                ),
            ),
            self._failed,
        )
        self.caches = [Cache(self.store, SETTINGS) for _ in range(clients)]
        self.server = Server()
        self.completed = 0
        self.undelivered_by: int | None = None
        self.has_late_commit = (
            False  # of a killed writer, after its window: not covered
        )
        self.trace: list[str] = []

    # --- what operations do ----------------------------------------------------------

    def begin(self, client: int, operation: str) -> Hit | Ticket | None:
        """Begin a call; check the promise where it is a hit."""
        floor = self.completed
        self.store.current = client
        name = operation.partition(" ")[0]
        body = json.dumps(BODIES[operation]).encode()
        request = Request(name, body, ORIGIN, lambda: SCOPE)
        outcome = self.caches[client].begin(request)
        if isinstance(outcome, Hit):
            self._check(client, version_of(outcome.answer), floor)
        return outcome

    def cache_of(self, client: int) -> Cache:
        """Return the cache that a client is about to use."""
        self.store.current = client
        return self.caches[client]

    def commit(self) -> int:
        """Carry out a write at the server; return the item's new version."""
        self.server.version += 1
        self.server.committed_at = self.clock()
        return self.server.version

    def complete(self, version: int) -> None:
        """Note that a write has ended, so that nothing older may be a hit."""
        self.completed = max(self.completed, version)

    def may_lag(self) -> bool:
        """Tell whether an eventually consistent read may still miss the last commit."""
        age = self.clock() - self.server.committed_at
        return self.server.version > 0 and age < SETTINGS.settle

    def _check(self, client: int, version: int, floor: int) -> None:
        if self.undelivered_by not in (None, client):
            return  # another process could not evict: bounded by the TTL
        if version < floor:
            raise PromiseBroken(
                f"client {client} was served version {version} when {floor} had "
                f"been completed:\n  " + "\n  ".join(self.trace)
            )

    def _failed(self, verb: str) -> None:
        if verb == "evict":
            self.undelivered_by = self.store.current

    # --- faults ----------------------------------------------------------------------

    def lose_entries(self) -> None:
        """Lose the entries, as an eviction or a restart of the store does."""
        self.store.clear()

    def lose_generations(self) -> None:
        """Lose the generations, as a restart of the store does."""
        old = self.store.store
        fresh = MemoryStore(clock=self.clock, random=old._slots._random)
        old._slots = fresh._slots
        self.store.lost_by = set(range(len(self.caches)))


def version_of(answer: dict[str, Any]) -> int:
    """Return the version that an answer shows."""
    item = answer["Item"] if "Item" in answer else answer["Items"][0]
    return int(item["v"]["N"])


def answer_of(operation: str, version: int) -> dict[str, Any]:
    """Return what the server answers to a read."""
    item = {**KEY, "v": {"N": str(version)}}
    if operation == "GetItem":
        return {"Item": item}
    return {"Items": [item], "Count": 1}


Action = tuple[str, Callable[[], None]]
