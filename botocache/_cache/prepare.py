"""From a planned read to what the store is asked for it. Pure.

A PreparedRead holds all that a load needs. It stays good as long as the settings do, so
the near cache may keep one and load it again.
"""

from enum import Enum
from typing import NamedTuple

from botocache._digests import digest
from botocache._dynamodb.plans import ITEM_TAG, TABLE_TAG, CachingMode, Read
from botocache._dynamodb.tags import tag_digest
from botocache._dynamodb.types import Body
from botocache._settings.tables import TablePolicy


class Mode(Enum):
    """How reads are treated."""

    NORMAL = "normal"
    BYPASS = "bypass"
    REFRESH = "refresh"


class Call(NamedTuple):
    """One call: who asks which DynamoDB, and how.

    operation: as the service model spells it, `GetItem`.
    origin: which DynamoDB: region and endpoint.
    scope: whose answers may be served; None when the call cannot be signed.
    mode: of the calling thread or task.
    """

    operation: str
    origin: str
    scope: bytes | None
    mode: Mode


class TableCaching(NamedTuple):
    """How one kind of read of a table is cached.

    policy: of the table.
    mode: for this kind of read.
    is_precise: the setting `precise_index_eviction`.
    """

    policy: TablePolicy
    mode: CachingMode
    is_precise: bool


class PreparedRead(NamedTuple):
    """A read, ready to be loaded from the store.

    call: the call that it belongs to, or is one key of.
    parameters: the body of the call's request.
    read: what it asks for.
    policy: of the table.
    key: of its entry.
    tags: digests of what the entry depends on; everything and the table come first.
    whole_item_key: of the entry that a projection can be answered from, if any.
    """

    call: Call
    parameters: Body
    read: Read
    policy: TablePolicy
    key: bytes
    tags: tuple[bytes, ...]
    whole_item_key: bytes | None

    @property
    def may_hit(self) -> bool:
        """Whether an entry may answer it: DynamoDB itself is not asked for."""
        return self.call.mode is Mode.NORMAL and not self.read.is_consistent

    @property
    def broad_tags(self) -> tuple[bytes, ...]:
        """Digests of the tags of everything and of the table."""
        return self.tags[: TABLE_TAG + 1]

    @property
    def item_tag(self) -> bytes:
        """The digest of the tag of its item, if this is the read of one item."""
        return self.tags[ITEM_TAG]


def prepare(
    call: Call, parameters: Body, read: Read, caching: TableCaching
) -> PreparedRead | None:
    """Return the prepared read; None when the cache has nothing to do with it."""
    scope, mode = call.scope, caching.mode
    if scope is None or mode is CachingMode.OFF or call.mode is Mode.BYPASS:
        return None
    tags = read.tags
    if mode is not CachingMode.COHERENT or read.precise_tags:
        tags = read.depends_on(mode, caching.is_precise)
    origin, operation = call.origin, read.operation
    whole = None
    if read.whole is not None:
        whole = entry_key(scope, origin, operation, read.whole)
    return PreparedRead(
        call,
        parameters,
        read,
        caching.policy,
        entry_key(scope, origin, operation, read.question),
        tuple(map(tag_digest, tags)),
        whole,
    )


def entry_key(scope: bytes, origin: str, operation: str, question: bytes) -> bytes:
    """Return the key under which the answer to a question is stored.

    scope: whose answer it is. Tags have neither scope nor origin: a write evicts for
        all of them.
    origin: which DynamoDB is asked, exactly.
    """
    return digest("entry", scope, origin, operation, question)
