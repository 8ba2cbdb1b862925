"""What a request may mean for the cache. Pure.

    Read      may be answered from the cache and may fill it; depends on `tags`
    BatchRead one Read for each of its keys
    Write     may change data; evicts `tags` before it is sent and after it
    Describe  passes through; its answer names the table's key attributes
    Bypass    passes through

What every call makes are NamedTuples: a frozen dataclass takes four times as long.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, TypeAlias

from botocache._dynamodb.projections import Projection
from botocache._dynamodb.tags import Tag

Body: TypeAlias = Mapping[str, Any]
"""The JSON body of a request, decoded."""

KeyAttributes: TypeAlias = frozenset[str]
"""The names of a table's key attributes: one or two."""

KeysOf: TypeAlias = Callable[[str], KeyAttributes | None]
"""The key attributes of a table by name, as learned; None when not known."""


class Kind(Enum):
    """What a read asks for; a table's policy may treat each otherwise."""

    ITEM = "item"
    QUERY = "query"
    INDEX_QUERY = "index query"
    SCAN = "scan"


class CachingMode(Enum):
    """How long the answers to a kind of read are served, by a table's policy."""

    COHERENT = "coherent"
    """Until a write may have changed them, or the TTL ends."""

    TTL_ONLY = "ttl_only"
    """Until the TTL ends; of all writes, those of the whole table alone evict them."""

    OFF = "off"
    """Not at all."""


TABLE_TAG, ITEM_TAG = 1, 2
"""Where the table's tag, and that of a single item, stand in a Read's tags, and their
generations in a snapshot of them. The tag of everything comes first."""


class Read(NamedTuple):
    """A read that may be answered from the cache.

    operation: whose answer it is; GetItem for each key of a BatchGetItem.
    kind: what it asks for; a table's policy may treat each kind otherwise.
    table: its name.
    table_parameter: the request's TableName, which may be an ARN.
    tags: what its answer depends on: everything, its table, and the narrow tags.
    question: what distinguishes it from other reads of the operation, as bytes.
    is_consistent: it must see DynamoDB itself.
    capacity: the ReturnConsumedCapacity that it asks for, of `table_parameter`.
    named: key attributes that the request names, in case DynamoDB accepts it.
    names_all: `named` are all key attributes of the table.
    is_on_index: it is a Query or Scan of an index.
    rests_on_schema: the narrow tags rest on learned key attributes.
    precise_tags: of an index query whose key has one value; what it depends on in place
        of the narrow tags with the setting precise_index_eviction.
    whole: the question of the whole item.
    projection: makes the answer out of the whole item.
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

    def depends_on(
        self,
        mode: CachingMode,
        precise_index_eviction: bool,  # noqa: FBT001 - a setting
    ) -> tuple[Tag, ...]:
        """Return the tags of its entry, by its table's policy and the settings."""
        if mode is CachingMode.TTL_ONLY:
            return self.broad_tags
        if self.precise_tags and precise_index_eviction:
            return (*self.broad_tags, *self.precise_tags)
        return self.tags

    @property
    def broad_tags(self) -> tuple[Tag, ...]:
        """The tags of everything and of the table."""
        return self.tags[: TABLE_TAG + 1]

    @property
    def item_tag(self) -> Tag:
        """The tag of its item, if this is the read of one item."""
        return self.tags[ITEM_TAG]


class BatchRead(NamedTuple):
    """A BatchGetItem. reads: one for each key, by TableName, in the request's order."""

    reads: Mapping[str, tuple[Read, ...]]
    capacity: str


class Item(NamedTuple):
    """One item, as a request names it. key: of the wire, every key attribute."""

    table: str
    table_parameter: str
    key: Mapping[str, Any]


class Write(NamedTuple):
    """A call that may change data.

    tags: what it evicts. named: per table, the key attributes that the request names
    in full, in case DynamoDB accepts it. assumed: the tables whose learned key
    attributes the tags rest on. described: the table that the answer may describe.
    item: the one that it writes, if it is a write of one item.
    """

    tags: tuple[Tag, ...]
    named: tuple[tuple[str, KeyAttributes], ...] = ()
    assumed: tuple[str, ...] = ()
    described: str = ""
    item: Item | None = None


@dataclass(frozen=True, slots=True)
class Describe:
    """A call whose answer names the key attributes of a table."""

    table: str


@dataclass(frozen=True, slots=True)
class Bypass:
    """A call that is none of the cache's business."""


CallPlan: TypeAlias = Read | BatchRead | Write | Describe | Bypass

Planner: TypeAlias = Callable[[Body, KeysOf], CallPlan]
"""Says what a request of one operation means."""

BYPASS = Bypass()


# --- what answers tell -------------------------------------------------------------


def last_key_attributes(read: Read, answer: Mapping[str, Any]) -> KeyAttributes | None:
    """Return a table's key attributes from a page's LastEvaluatedKey, if it has one."""
    last = answer.get("LastEvaluatedKey")
    if read.is_on_index or not last:
        return None
    return frozenset(last)


def described_keys(answer: Mapping[str, Any]) -> tuple[str, KeyAttributes] | None:
    """Return table and key attributes from an answer that describes a table."""
    table = answer.get("Table") or answer.get("TableDescription") or {}
    elements = table.get("KeySchema")
    if not elements or "TableName" not in table:
        return None
    names = frozenset(element["AttributeName"] for element in elements)
    return table["TableName"], names
