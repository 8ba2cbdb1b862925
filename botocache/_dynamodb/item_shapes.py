"""What reads of single items have in common: the shape of their requests. Pure.

An application reads many items of few tables. All that does not depend on the values of
the key is worked out once for a table and the names of the key's attributes: the
table's name and tags, and the beginnings of digests.
"""

from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

from botocache._digests import EVERYTHING_DIGEST, DigestBeginning, pack
from botocache._dynamodb.plans import KeyAttributes, Kind, Read
from botocache._dynamodb.tags import (
    EVERYTHING,
    Detail,
    new_tag,
    table_tag,
    tag_digest,
)
from botocache._dynamodb.types import Item
from botocache._dynamodb.values import (
    LONGEST_VALUE,
    canonical_value,
    check_key,
    table_name,
)

_MOST_SHAPES = 1000
"""Shapes that are kept; at one more, all are made anew."""

_LONGEST_PART = 2048
"""Characters of an ARN. A request with a longer name is refused, and leaves nothing."""

WHY_ITEM = "It depends on one item."

_read: Callable[[tuple[object, ...]], Read] = partial(tuple.__new__, Read)
"""Makes a Read of all of its fields, in a third of the time that its class takes."""


class ItemShape:
    """What the reads of items have in common, if they name a table and keys alike.

    table: its name.
    names: of the key's attributes.
    """

    __slots__ = (
        "_attributes",
        "_begun",
        "_broad",
        "_digests",
        "_parameter",
        "_question",
        "names",
        "table",
    )

    def __init__(self, parameter: str, attributes: tuple[str, ...]) -> None:
        self._parameter: Final = parameter
        self.table: Final = table_name(parameter)
        self.names: Final[KeyAttributes] = frozenset(attributes)
        # Two requests may name the attributes of one key in different orders.
        self._attributes: Final = sorted(attributes)
        self._broad: Final = EVERYTHING, table_tag(self.table)
        self._digests: Final = EVERYTHING_DIGEST, tag_digest(self._broad[1])
        self._begun: Final = DigestBeginning(4, "tag", "item", self.table).begun
        self._question: Final = pack([parameter])

    def read(self, key: Item) -> Read:
        """Return the read of a whole item, with its digests.

        key: as on the wire. Raises ValueError if DynamoDB may refuse it.
        """
        # One flat function: it is on the path of every hit and miss of an item.
        table = self.table
        detail: Detail = ()
        for attribute in self._attributes:
            value = key[attribute]
            text = value.get("S")
            # The common case. UTF-8 has no lone surrogates; `pack` raises at them.
            if type(text) is str and len(value) == 1 and len(text) <= LONGEST_VALUE:
                detail += (attribute, "S", text)
            else:
                check_key({attribute: value})
                detail += (attribute, *canonical_value(value))
        packed = pack(detail)
        digest = self._begun.copy()
        digest.update(packed)
        return _read(
            (
                "GetItem",
                Kind.ITEM,
                table,
                self._parameter,
                (*self._broad, new_tag(("item", table, detail))),
                self._question + packed,
                False,  # is_consistent
                "NONE",  # capacity
                self.names,
                True,  # names_all
                False,  # is_on_index
                False,  # rests_on_schema
                (),  # precise_tags
                None,  # whole
                None,  # projection
                WHY_ITEM,
                (*self._digests, digest.digest()),
            )
        )


Shapes: TypeAlias = dict[tuple[str, ...], ItemShape]

_shapes: Final[Shapes] = {}


def item_shape(parameter: str, key: Item) -> ItemShape:
    """Return the shape of the reads of an item.

    parameter: the request's TableName, which may be an ARN.
    key: of the item.
    """
    parts = (parameter, *key)
    shape = _shapes.get(parts)
    if shape is None:
        shape = ItemShape(parameter, tuple(key))
        if max(map(len, parts)) <= _LONGEST_PART and len(parts) <= _MOST_PARTS:
            if len(_shapes) >= _MOST_SHAPES:
                _shapes.clear()
            _shapes[parts] = shape
    return shape


_MOST_PARTS = 3
"""Parts of a shape: the table, its partition key, and perhaps its sort key."""
