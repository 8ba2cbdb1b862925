"""Tags: names of what a write can change. Pure.

An entry depends on tags, and a write evicts tags. Both are made here, so that they
agree: every write of an item must evict a tag of each entry that shows the item.
"""

from functools import lru_cache
from typing import NamedTuple

from botocache._digests import digest
from botocache._dynamodb.types import AttributeValue, Item
from botocache._dynamodb.values import canonical_value
from botocache._errors import shows


@shows("kind", "table")
class Tag(NamedTuple):
    """The name of something that a write can change.

    kind: "item", "partition", "table", and so on.
    table: its name, not an ARN; "" for the tag of everything.
    detail: attributes of the key, each with its type and canonical value.

    A tag has no origin. So a write evicts through any endpoint of the table (FIPS,
    dual-stack, VPC, a proxy, another region of a global table). `invalidate` needs only
    a name. The price: tables with one name in several regions or accounts that
    share a store evict each other's items of equal keys.
    """

    kind: str
    table: str = ""
    detail: tuple[str | bytes, ...] = ()


EVERYTHING = Tag("everything")
"""Every entry depends on it. A write evicts it if its tables are not known."""


def table_tag(table: str) -> Tag:
    """Return the tag of every entry of the table."""
    return Tag("table", table)


def writes_tag(table: str) -> Tag:
    """Return the tag that every write of an item evicts.

    A write that knows the item's old and new image restores this tag at its end. It
    evicts `precise_writes_tag` and the partitions of both images instead. So an entry
    that depends on this tag must also depend on one of those.
    """
    return Tag("writes", table)


def precise_writes_tag(table: str) -> Tag:
    """Return the tag that a write evicts if it restores `writes_tag`."""
    return Tag("precise writes", table)


def any_write_tags(table: str) -> tuple[Tag, Tag]:
    """Return the tags of a read that may show any item. Each write evicts one."""
    return writes_tag(table), precise_writes_tag(table)


def partition_tag(table: str, attribute: str, value: AttributeValue) -> Tag:
    """Return the tag of the items whose key attribute has this value."""
    return Tag("partition", table, (attribute, *canonical_value(value)))


def item_tag(table: str, key: Item) -> Tag:
    """Return the tag of one item. key: with every key attribute of the table."""
    detail: list[str | bytes] = []
    # Two requests may name the attributes of one key in different orders.
    for attribute in sorted(key):
        detail += (attribute, *canonical_value(key[attribute]))
    return Tag("item", table, tuple(detail))


@lru_cache(maxsize=8192)
def tag_digest(tag: Tag) -> bytes:
    """Return the tag's digest, under which a store keeps its generation.

    Memoised: every call names its table, and applications read hot items repeatedly.
    """
    return digest("tag", *tag)
