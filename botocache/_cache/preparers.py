"""What a planned read is prepared with, found once and kept: `Preparers`.

A table's policy is found by matching patterns, and what the reads of its items share is
made of digests. Neither changes while a cache lives.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from botocache._cache.key_schemas import (
    LONGEST_ARN,
    KeySchemas,
    Place,
    place_of,
)
from botocache._cache.prepare import (
    Call,
    PreparedRead,
    TableCaching,
    entry_keys,
    new_prepared,
    prepare,
    reader_tag,
)
from botocache._cache.read_mode import Mode
from botocache._digests import Hash, pack
from botocache._dynamodb.item_shapes import item_shape
from botocache._dynamodb.operations import REFUSED
from botocache._dynamodb.plans import BatchRead, CachingMode, Kind, Read
from botocache._dynamodb.types import Body, Item
from botocache._dynamodb.values import table_name
from botocache._errors import shows
from botocache._settings.load import Settings
from botocache._settings.tables import TablePolicy, caching_mode, policy_in_mode

PLAIN_READ: Final = len(("TableName", "Key"))
"""Parameters of a GetItem without options."""

_MOST_TABLES = 10_000
"""Kinds of reads of tables whose policy is kept; at one more, all are found anew."""

_MOST_PREPARERS = 1000
"""Preparers of reads of items that are kept; at one more, all are made anew."""

_KEY_ATTRIBUTES = 2
"""That a table has at most."""


@shows("policy")
class ItemPreparer(NamedTuple):
    """What the reads of whole items share that differ only in their keys' values.

    read: returns the read of a key; see `ItemShape.read`.
    policy: of the table, whose items are cached until a write evicts them.
    begin: begins the digest of an entry's key, which the question ends.
    reader_tag: of these reads.
    """

    read: Callable[[Item], Read]
    policy: TablePolicy
    begin: Callable[[], Hash]
    reader_tag: bytes


class Preparers:
    """Prepares the reads of one cache."""

    def __init__(self, settings: Settings, key_schemas: KeySchemas) -> None:
        self._settings: Final = settings
        self._key_schemas: Final = key_schemas
        self._ambiguous: Final = key_schemas.ambiguous
        self._caching: Final[dict[tuple[str, str, Kind], TableCaching]] = {}
        self._of_items: Final[dict[tuple[str | bytes, ...], ItemPreparer]] = {}

    def prepare(self, call: Call, parameters: Body, read: Read) -> PreparedRead | None:
        """Return the prepared read; None if the read must bypass the cache."""
        place = (read.table, call.operation, read.kind)
        caching = self._caching.get(place) or self._add_caching(place)
        is_coarse = self.is_ambiguous(call, read)
        return prepare(call, parameters, read, caching, is_coarse=is_coarse)

    def prepare_item(self, call: Call, parameters: Body) -> PreparedRead | None:
        """Do what a plan and `prepare` do for a GetItem without options, in one step.

        None if it takes these two: for another caching mode, a table that is ambiguous,
        a request that is not understood.
        """
        if self._ambiguous or call.scope is None or call.mode is Mode.BYPASS:
            return None
        try:
            parameter, key = parameters["TableName"], parameters["Key"]
            place = (call.scope, call.origin, parameter, *key)
            preparer = self._of_items.get(place)
            if preparer is None:
                preparer = self._add_preparer(call, parameter, key, place)
                if preparer is None:
                    return None
            read_of, policy, begin, reader = preparer
            read = read_of(key)
            # As `prepare` does it, in this function: it is on the path of every miss.
            entry_key = begin()
            entry_key.update(pack(read.question))
            tags = (*read.digests, reader)
            return new_prepared(
                (call, parameters, read, policy, entry_key.digest(), tags, None)
            )
        except REFUSED:
            return None  # the plan says why

    def _add_preparer(
        self, call: Call, parameter: str, key: Item, place: tuple[str | bytes, ...]
    ) -> ItemPreparer | None:
        """Return what prepares such reads; None if no entry of theirs is coherent."""
        of_table = (table_name(parameter), call.operation, Kind.ITEM)
        caching = self._caching.get(of_table) or self._add_caching(of_table)
        if call.scope is None or caching.mode is not CachingMode.COHERENT:
            return None
        preparer = item_preparer(call, call.scope, parameter, key, caching.policy)
        # DynamoDB refuses longer names, and more of them. Such reads leave nothing.
        if len(key) <= _KEY_ATTRIBUTES and max(map(len, place)) <= LONGEST_ARN:
            if len(self._of_items) >= _MOST_PREPARERS:
                self._of_items.clear()
            self._of_items[place] = preparer
        return preparer

    def prepare_batch(
        self, call: Call, parameters: Body, batch: BatchRead
    ) -> list[PreparedRead | None]:
        """Do what `prepare` does for each read of a batch."""
        prepared: list[PreparedRead | None] = []
        for part in batch.reads.values():
            # Of all keys of a table alike.
            place = (part[0].table, call.operation, part[0].kind)
            caching = self._caching.get(place) or self._add_caching(place)
            is_coarse = self.is_ambiguous(call, part[0])
            prepared += [
                prepare(call, parameters, read, caching, is_coarse=is_coarse)
                for read in part
            ]
        return prepared

    def _add_caching(self, place: tuple[str, str, Kind]) -> TableCaching:
        # A policy is found by matching patterns: too slow for each call.
        table, operation, kind = place
        if len(self._caching) >= _MOST_TABLES:
            self._caching.clear()
        policy = self._settings.policy(table)
        mode = caching_mode(policy, operation, kind)
        if policy.ttl_unfollowed is not None:
            policy = policy_in_mode(policy, mode)
        caching = self._caching[place] = TableCaching(
            policy,
            mode,
            self._settings.precise_index_eviction,
        )
        return caching

    def is_ambiguous(self, call: Call, read: Read) -> bool:
        """Return whether tables of different key attributes are at a read's place."""
        return bool(self._ambiguous) and self._key_schemas.is_ambiguous(
            place_of_read(call, read)
        )


def place_of_read(call: Call, read: Read) -> Place:
    """Return the place of the table that a read names."""
    return place_of(call.origin, call.account, read.table_parameter[:LONGEST_ARN])


def item_preparer(
    call: Call, scope: bytes, parameter: str, key: Item, policy: TablePolicy
) -> ItemPreparer:
    """Return what prepares a read and its like.

    call: that makes the read.
    scope: of the call.
    parameter: its TableName, which may be an ARN.
    key: of the item.
    policy: of the table.
    """
    shape = item_shape(parameter, key)
    beginning = entry_keys(scope, call.origin, call.operation)
    tag = reader_tag(scope, shape.table)
    return ItemPreparer(shape.read, policy, beginning.begun.copy, tag)
