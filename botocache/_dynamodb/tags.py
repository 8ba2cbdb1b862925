"""Tags: names of what a write can change. Pure.

An entry depends on tags, and a write evicts tags. Both are made here, so that they
agree: every write of an item must evict a tag of each entry that shows the item.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Final, NamedTuple, TypeAlias

from botocache._digests import DigestBeginning, digest, pack
from botocache._dynamodb.types import AttributeValue, Item
from botocache._dynamodb.values import LONGEST_VALUE, canonical_value, check_key
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


# --- the tags of writes of one shape -----------------------------------------------

Detail: TypeAlias = tuple[str | bytes, ...]
"""Attributes of a key, each with its type and canonical value."""

new_tag: Callable[[tuple[str, str, Detail]], Tag] = partial(tuple.__new__, Tag)
"""Makes a Tag of its fields, in half of the time that its class takes."""


class ItemTagMaker:
    """Makes the tags that writes of one table's items evict, with their digests.

    All that does not depend on an item's key is made once: a write takes a third of
    the time that the functions above take, and each tag has the same digest.

    table: its name.
    attributes: of the key.

    Raises ValueError if UTF-8 has no such name.
    """

    __slots__ = ("_attributes", "_item", "_partition", "_writes", "table")

    def __init__(self, table: str, attributes: frozenset[str]) -> None:
        "".join((table, *attributes)).encode()  # UTF-8 has no lone surrogates
        self.table: Final = table
        self._attributes: Final = sorted(attributes)
        writes = writes_tag(table)
        self._writes: Final = tag_digest(writes), writes
        self._item: Final = DigestBeginning(4, "tag", "item", table).begun
        self._partition: Final = DigestBeginning(4, "tag", "partition", table).begun

    def tags(self, key: Item) -> dict[bytes, Tag]:
        """Return each tag by its digest.

        key: every key attribute, as on the wire. Raises ValueError if DynamoDB may
            refuse it.
        """
        digest, writes = self._writes
        table = self.table
        whole: Detail = ()
        begin, partitions = self._partition.copy, {}
        # Also by the sort key: it may be the partition key of an index.
        for attribute in self._attributes:
            value = key[attribute]
            text = value.get("S")
            # The common case. UTF-8 has no lone surrogates; `pack` raises at them.
            if type(text) is str and len(value) == 1 and len(text) <= LONGEST_VALUE:
                detail: Detail = attribute, "S", text
            else:
                check_key({attribute: value})
                detail = (attribute, *canonical_value(value))
            whole += detail
            # `end_packed`, written out: each write takes it two or three times.
            begun = begin()
            begun.update(pack(detail))
            partitions[begun.digest()] = new_tag(("partition", table, detail))
        begun = self._item.copy()
        begun.update(pack(whole))
        item = begun.digest()
        return {digest: writes, item: new_tag(("item", table, whole)), **partitions}
