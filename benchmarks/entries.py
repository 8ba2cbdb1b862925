"""Fills a store directly with entries like the cache's own, to have many of them soon.

The cache's own functions make the keys and tags. A benchmark that reads such an entry
fails if the client does not find it.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

from benchmarks.clients import ENDPOINT, REGION, SCOPE
from benchmarks.places import TTL
from benchmarks.work import SMALL
from botocache._botocore.credentials import named_scope
from botocache._botocore.requests import origin
from botocache._cache.entries import ClearEntries, encode_answer
from botocache._cache.prepare import entry_keys, reader_tag
from botocache._dynamodb.operations import plan
from botocache._dynamodb.plans import CachingMode, Read
from botocache._dynamodb.tags import tag_digest
from botocache._errors import StoreError
from botocache.stores.protocol import Fill, Store
from tests.support.opening import open_store_at
from tests.support.processes import eventually

TABLE = "many"
_AT_ONCE = 500

_PASSES = 6
"""Times that entries are filled at most. The disk store may lose some where its
database stays locked, on a busy machine."""


def opened(settings: dict[str, Any]) -> Store:
    """Open the store that a cache with these settings would use."""
    return open_store_at(
        settings["url"],
        namespace=settings["namespace"],
        timeout=1.0,
        settle=0.0,
        longest_ttl=TTL,
        client_tracking=settings.get("client_tracking", False),
    )


def key_of(number: int) -> dict[str, Any]:
    """Return the key of the item with that number."""
    return {"pk": {"S": f"user#{number}"}, "sk": SMALL["sk"]}


def answer_of(number: int) -> dict[str, Any]:
    """Return DynamoDB's answer with the item of that number."""
    return {"Item": {**SMALL, **key_of(number)}}


def put_entries(store: Store, count: int) -> None:
    """Fill the answers to `count` GetItem calls on TABLE."""
    for _ in range(_PASSES):
        if not _put_absent(store, count):
            return
    raise AssertionError(f"the store loses some of {count} entries each time")


def _put_absent(store: Store, count: int) -> int:
    """Fill those that are not there; return how many these were."""
    filled, numbers = 0, iter(range(count))
    while some := list(islice(numbers, _AT_ONCE)):
        lookups = [_lookup(number) for number in some]
        loaded = store.load_many(lookups)
        now = store.now()
        fills = [
            Fill(key, entry_of(key, answer_of(number), each.snapshot, now), TTL, tags)
            for number, (key, tags), each in zip(some, lookups, loaded, strict=True)
            if each.entry is None
        ]
        if fills:
            eventually(partial(_are_filled, store, fills))
            filled += len(fills)
    return filled


def _are_filled(store: Store, fills: Sequence[Fill]) -> bool:
    """Fill them; return False while the disk store still opens its database."""
    try:
        store.fill_many(fills)
    except StoreError:
        return False
    return True


def entry_of(
    key: bytes, answer: dict[str, Any], snapshot: tuple[int, ...], now: float
) -> bytes:
    """Return an entry that was stored now."""
    return ClearEntries().encode(key, encode_answer(answer), snapshot, now, now + TTL)


def _lookup(number: int) -> tuple[bytes, list[bytes]]:
    """Return an entry's key and tags."""
    read = plan("GetItem", {"TableName": TABLE, "Key": key_of(number)}, _unknown)
    assert isinstance(read, Read)
    where = origin(f"{ENDPOINT}/", REGION)
    scope = named_scope(SCOPE)
    key = entry_keys(scope, where, "GetItem").end(read.question)
    tags = read.depends_on(CachingMode.COHERENT, False)  # noqa: FBT003 - a setting
    return key, [*map(tag_digest, tags), reader_tag(scope, TABLE)]


def _unknown(_table: str) -> None:
    return None


def in_turn(count: int, step: int) -> Iterator[int]:
    """Yield all numbers below `count`, endlessly, in an order without neighbours.

    step: a prime that does not divide `count`.
    """
    number = 0
    while True:
        yield number
        number = (number + step) % count
