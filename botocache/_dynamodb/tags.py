"""Tags: names of what a write can change. Pure.

A read depends on tags, a write evicts tags; both make them here, so that they agree.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from botocache._digests import digest
from botocache._dynamodb.values import canonical_value


class Tag(NamedTuple):
    """Names something that a write can change.

    Tables are told apart by name alone, not by origin: every way to a table (account,
    FIPS, dual-stack and VPC endpoints, a proxy, another region of a global table)
    evicts the same tags, and `invalidate` need not be told where the table is. What
    it costs is an eviction too many where one store serves equal keys of equally
    named tables of several regions or accounts.
    """

    kind: str
    table: str = ""
    detail: tuple[str | bytes, ...] = ()


EVERYTHING = Tag("everything")
"""Every entry depends on it; evicted by what may have changed nobody knows what."""


def table_tag(table: str) -> Tag:
    """Return the tag of every entry of the table."""
    return Tag("table", table)


def writes_tag(table: str) -> Tag:
    """Return the tag that every write of an item evicts.

    A write that knows the item's old and new image restores it at its end, and evicts
    `precise_writes_tag` and the partitions of both images instead. So no read may
    depend on this tag without one of these.
    """
    return Tag("writes", table)


def precise_writes_tag(table: str) -> Tag:
    """Return the tag that a write evicts which restores `writes_tag`."""
    return Tag("precise writes", table)


def any_write_tags(table: str) -> tuple[Tag, Tag]:
    """Return the tags of a read that may show any item: each write evicts one."""
    return writes_tag(table), precise_writes_tag(table)


def partition_tag(table: str, attribute: str, value: Mapping[str, Any]) -> Tag:
    """Return the tag of the items whose key attribute has this value."""
    return Tag("partition", table, (attribute, *canonical_value(value)))


def item_tag(table: str, key: Mapping[str, Mapping[str, Any]]) -> Tag:
    """Return the tag of one item, named by all of its key attributes."""
    detail: tuple[str | bytes, ...] = ()
    for attribute in sorted(key):
        detail += (attribute, *canonical_value(key[attribute]))
    return Tag("item", table, detail)


@lru_cache(maxsize=8192)
def tag_digest(tag: Tag) -> bytes:
    """Return the tag's digest.

    Memoised: every call names its table, and hot items come again and again.
    """
    return digest("tag", *tag)
