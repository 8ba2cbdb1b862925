"""From a planned read to a PreparedRead: the key and tags to load it with. Pure.

A PreparedRead holds all that a load needs, and nothing that changes between calls. The
near cache keeps one for each call that it has seen, and loads it again.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

from botocache._cache.read_mode import Mode
from botocache._digests import DigestBeginning, digest
from botocache._dynamodb.plans import ITEM_TAG, TABLE_TAG, CachingMode, Read
from botocache._dynamodb.tags import any_write_tags, precise_writes_tag, tag_digest
from botocache._dynamodb.types import Body
from botocache._errors import shows
from botocache._settings.tables import TablePolicy


class Call(NamedTuple):
    """One call, without its parameters.

    operation: as the service model spells it, `GetItem`.
    origin: which DynamoDB, by region and endpoint.
    scope: of the principal that signs the call; None if the call cannot be signed.
    mode: of the calling thread or task.
    account: of the principal, twelve digits; "" if it is not known.
    """

    operation: str
    origin: str
    scope: bytes | None
    mode: Mode
    account: str = ""


class TableCaching(NamedTuple):
    """How one kind of read of a table is cached.

    policy: of the table.
    mode: the caching mode of this kind of read.
    is_precise: the setting `precise_index_eviction`.
    """

    policy: TablePolicy
    mode: CachingMode
    is_precise: bool


@shows("call", "policy", "key")
class PreparedRead(NamedTuple):
    """A read, ready to be loaded from the store.

    call: the call that makes the read; a BatchGetItem makes one for each key.
    parameters: the body of the call's request.
    read: what the request means.
    policy: of the table.
    key: of the read's entry.
    tags: digests of the entry's tags. Those of everything and of the table come first,
        and that of the reader last.
    whole_item_key: of the whole item's entry, from which a projection can be served;
        None if the read is no projection.
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
        """Whether the cache may answer: the caller did not ask for DynamoDB's word."""
        return self.call.mode is Mode.NORMAL and not self.read.is_consistent

    @property
    def broad_tags(self) -> tuple[bytes, ...]:
        """Digests of the tags of everything and of the table."""
        return self.tags[: TABLE_TAG + 1]

    @property
    def item_tag(self) -> bytes:
        """The digest of the item's tag. For reads of one item only."""
        return self.tags[ITEM_TAG]

    @property
    def reader_tag(self) -> bytes:
        """The tag that ends what this scope is served of the table."""
        return self.tags[-1]

    @property
    def is_ttl_only(self) -> bool:
        """Whether no write evicts the entry, by the table's policy."""
        return len(self.tags) == len(("everything", "table", "reader"))

    @property
    def is_coarse(self) -> bool:
        """Whether any write to the table evicts the entry, or none at all does."""
        if self.is_ttl_only:
            return True
        return tag_digest(precise_writes_tag(self.read.table)) in self.tags


new_prepared: Callable[[tuple[object, ...]], PreparedRead] = partial(
    tuple.__new__, PreparedRead
)
"""Makes a PreparedRead of all of its fields, in a third of its class's time."""


def prepare(
    call: Call,
    parameters: Body,
    read: Read,
    caching: TableCaching,
    *,
    is_coarse: bool = False,
) -> PreparedRead | None:
    """Return the prepared read; None if the read must bypass the cache.

    is_coarse: the read depends on any write to the table.
    """
    scope, mode = call.scope, caching.mode
    if scope is None or mode is CachingMode.OFF or call.mode is Mode.BYPASS:
        return None
    tags, digests = read.tags, read.digests
    if mode is not CachingMode.COHERENT or read.precise_tags:
        tags = read.depends_on(mode, caching.is_precise)
    if is_coarse and mode is CachingMode.COHERENT:
        tags = (*read.broad_tags, *any_write_tags(read.table))
    if tags is not read.tags or not digests:
        digests = tuple(map(tag_digest, tags))
    key_of = entry_keys(scope, call.origin, read.operation).end
    return new_prepared(
        (
            call,
            parameters,
            read,
            caching.policy,
            key_of(read.question),
            (*digests, reader_tag(scope, read.table)),
            None if read.whole is None else key_of(read.whole),
        )
    )


@lru_cache(maxsize=1024)
def reader_tag(scope: bytes, table: str) -> bytes:
    """Return the digest of the tag that a refused read evicts.

    Every entry of this scope and of the table with this name depends on it, and no
    other entry does. So a principal that DynamoDB refuses ends what is served to itself
    alone. Writes do not evict the tag.
    """
    return digest("reader", scope, table)


@lru_cache(maxsize=1024)
def entry_keys(scope: bytes, origin: str, operation: str) -> DigestBeginning:
    """Return what makes the key of an entry, when its question ends it.

    Tags, unlike keys, have neither scope nor origin. A write evicts for all of them.
    The one exception is `reader_tag`, which no write evicts. A question is the request
    in canonical form, without what does not change its answer.

    scope: of the principal that may be served.
    origin: which DynamoDB, by region and endpoint.
    operation: as the service model spells it.
    """
    return DigestBeginning(5, "entry", scope, origin, operation)
