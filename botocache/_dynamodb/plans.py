"""Plans: what a call to DynamoDB reads from the cache or evicts. Pure.

Read      may be served from the cache and may fill it; depends on `tags`
BatchRead one Read for each of its keys
Write     may change data; evicts `tags` before it is sent and after it
Describe  a bypass whose answer names the table's key attributes
Bypass    neither reads the cache nor evicts

Each says why, in sentences for `explain`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, TypeAlias

from botocache._dynamodb.projections import Projection
from botocache._dynamodb.tags import Tag
from botocache._dynamodb.types import Answer, Body, Item
from botocache._errors import shows

KeyAttributes: TypeAlias = frozenset[str]
"""The names of a table's key attributes: one or two."""

KeysOf: TypeAlias = Callable[[str], KeyAttributes | None]
"""Returns the learned key attributes of a table, by the request's TableName.

None: not learned yet. None at all in the set: they are not known for certain, because
tables of one name cannot be told apart.
"""


class Kind(Enum):
    """The kinds of reads that a table's policy can treat differently."""

    __hash__ = object.__hash__  # Enum's is a function in Python, on the path of a hit

    ITEM = "item"
    QUERY = "query"
    INDEX_QUERY = "index query"
    SCAN = "scan"


class CachingMode(Enum):
    """How long a table's policy lets entries of one kind of read be served."""

    COHERENT = "coherent"
    """Until a write evicts them, or the TTL ends."""

    TTL_ONLY = "ttl_only"
    """Until the TTL ends. Only an eviction of the whole table comes before that."""

    OFF = "off"
    """Never: the reads are a bypass."""


# `Read.tags` is (everything, the table, narrow tags...). A snapshot of the tags has the
# same order, so these positions serve for both.
TABLE_TAG, ITEM_TAG = 1, 2
"""Positions of the table's tag, and of the tag of a single item, in `Read.tags`."""


# Each call makes one of these. A frozen dataclass takes four times as long to create.
@shows("operation", "kind", "table", "is_consistent", "named")
class Read(NamedTuple):
    """A read that may be served from the cache.

    operation: of the entry: GetItem for each key of a BatchGetItem.
    kind: of the read, for the table's policy.
    table: its name.
    table_parameter: the request's TableName, which may be an ARN.
    tags: of the entry: everything, the table, and the narrow tags.
    question: bytes that no other read of the operation has.
    is_consistent: strongly consistent, so DynamoDB must answer it.
    capacity: its ReturnConsumedCapacity.
    named: key attributes that the request names, to learn if DynamoDB accepts it.
    names_all: `named` are all key attributes of the table.
    is_on_index: it is a Query or Scan of an index.
    rests_on_schema: the narrow tags come from learned key attributes.
    precise_tags: replace the narrow tags with the setting precise_index_eviction. Only
        an index query whose key has one value has them.
    whole: the question of the whole item, if the read is a projection of one.
    projection: turns the whole item into the answer.
    why: it has these tags.
    digests: of `tags`; empty where the plan has not made them.
    """

    operation: str
    kind: Kind
    table: str
    table_parameter: str
    tags: tuple[Tag, ...]
    question: bytes
    is_consistent: bool
    capacity: str
    named: KeyAttributes = frozenset()
    names_all: bool = False
    is_on_index: bool = False
    rests_on_schema: bool = False
    precise_tags: tuple[Tag, ...] = ()
    whole: bytes | None = None
    projection: Projection | None = None
    why: str = ""
    digests: tuple[bytes, ...] = ()

    def depends_on(
        self,
        mode: CachingMode,
        precise_index_eviction: bool,  # noqa: FBT001 - by position, as every hit does
    ) -> tuple[Tag, ...]:
        """Return the tags that the entry depends on.

        mode: by the table's policy.
        precise_index_eviction: the setting.
        """
        if mode is CachingMode.TTL_ONLY:
            return self.broad_tags
        if self.precise_tags and precise_index_eviction:
            return (*self.broad_tags, *self.precise_tags)
        return self.tags

    def why_it_depends(self, mode: CachingMode, *, precise_index_eviction: bool) -> str:
        """Return the reason for the tags that `depends_on` returns."""
        if mode is CachingMode.TTL_ONLY:
            return "By the table's policy no write evicts it before its TTL ends."
        if self.precise_tags and precise_index_eviction:
            return (
                "It reads an index, and precise_index_eviction is on. So it depends on "
                "the items with the value that its key condition names."
            )
        return self.why

    @property
    def broad_tags(self) -> tuple[Tag, ...]:
        """The tag of everything, and the tag of the table."""
        return self.tags[: TABLE_TAG + 1]

    @property
    def item_tag(self) -> Tag:
        """The tag of the item. Only the read of a single item has it."""
        return self.tags[ITEM_TAG]


@shows("capacity")
class BatchRead(NamedTuple):
    """A BatchGetItem.

    reads: one for each key, by TableName, in the request's order.
    capacity: its ReturnConsumedCapacity.
    """

    reads: Mapping[str, tuple[Read, ...]]
    capacity: str
    why: str = "Each key is a GetItem of its own."


@shows("table")
class WrittenItem(NamedTuple):
    """The item that a write names.

    table: its name.
    table_parameter: the request's TableName, which may be an ARN.
    key: every key attribute, as on the wire.
    """

    table: str
    table_parameter: str
    key: Item


@shows("tags", "named", "assumed", "described")
class Write(NamedTuple):
    """A call that may change data.

    tags: that it evicts.
    named: tables with all their key attributes, as the request names them. They are
        learned if DynamoDB accepts the request.
    assumed: the tables whose learned key attributes the tags come from.
    described: the table that the answer may describe, or "". Like all tables here, by
        the request's TableName, which may be an ARN.
    item: that it writes; None unless it is the write of a single item.
    why: it evicts these tags.
    digests: of the tags, if the plan has them at hand; else empty.
    """

    tags: tuple[Tag, ...]
    named: tuple[tuple[str, KeyAttributes], ...] = ()
    assumed: tuple[str, ...] = ()
    described: str = ""
    item: WrittenItem | None = None
    why: str = ""
    digests: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Describe:
    """A call whose answer names the key attributes of a table.

    table: the request's TableName, which may be an ARN.
    """

    table: str
    why: str = "Its answer names the table's key attributes."


@dataclass(frozen=True, slots=True)
class Bypass:
    """A call that neither reads the cache nor evicts.

    why: a sentence. Two plans that differ in it alone are equal.
    """

    why: str = field(default="", compare=False)


CallPlan: TypeAlias = Read | BatchRead | Write | Describe | Bypass

Planner: TypeAlias = Callable[[Body, KeysOf], CallPlan]
"""Plans the requests of one operation."""


# --- key attributes in answers -----------------------------------------------------


def last_key_attributes(read: Read, answer: Answer) -> KeyAttributes | None:
    """Return a table's key attributes from a page's LastEvaluatedKey, if it has one."""
    last = answer.get("LastEvaluatedKey")
    # On an index it holds the key attributes of the index, too.
    if read.is_on_index or not last:
        return None
    return frozenset(last)


def described_keys(answer: Answer) -> tuple[str, KeyAttributes] | None:
    """Return table and key attributes from an answer that describes a table."""
    table = answer.get("Table") or answer.get("TableDescription") or {}
    elements = table.get("KeySchema")
    if not elements or "TableName" not in table:
        return None
    names = frozenset(element["AttributeName"] for element in elements)
    return table["TableName"], names


def described_types(answer: Answer) -> dict[str, str]:
    """Return the types of attributes from an answer that describes a table."""
    table = answer.get("Table") or answer.get("TableDescription") or {}
    return {
        definition["AttributeName"]: definition["AttributeType"]
        for definition in table.get("AttributeDefinitions", ())
    }
