"""What `Cache.invalidate` takes and returns: checks that need no store, and the result.

An invalidation that can evict nothing must not look like one that did. A table or a key
that cannot exist is an error. Where botocache knows a table's key attributes, so is
another set of names, or a value of another type. Errors name attributes and types, and
never a value.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from botocache._dynamodb.values import check_key, table_name, wire_key

WireKey: TypeAlias = Mapping[str, Mapping[str, str]]
"""An item's key as on the wire: `{"id": {"S": "7"}}`."""

KeyTypes: TypeAlias = Mapping[str, str]
"""A table's key attributes with their types; "" where the type is not known."""


class Invalidation(NamedTuple):
    """What `Cache.invalidate` has evicted.

    table: the name of the table.
    key: of the item, as on the wire; None if all of the table was evicted.
    is_table_known: botocache knows the table's key attributes from a call of a process
        that shares the store, so it has checked the key against them. False: it knows
        of no such call since the table was last evicted as a whole, so the name may be
        wrong; or the store could not be asked.
    is_delivered: the store has it. False: the store failed. Then botocache retries, and
        until it succeeds this process serves nothing of what was to be evicted.
    """

    table: str
    key: WireKey | None
    is_table_known: bool
    is_delivered: bool

    def __repr__(self) -> str:
        # Without values: people print and log it.
        key = None if self.key is None else f"<{', '.join(self.key)}>"
        return (
            f"Invalidation(table={self.table!r}, key={key}, "
            f"is_table_known={self.is_table_known}, is_delivered={self.is_delivered})"
        )


_TABLE_NAME = re.compile(r"[A-Za-z0-9_.-]+").fullmatch
"""The characters that DynamoDB allows. Servers for tests also take short names."""


def checked_table(table: object) -> str:
    """Return the name of a table. Raises TypeError or ValueError if it has none."""
    if not isinstance(table, str):
        raise TypeError(
            f"table: expected a name or an ARN, as text, not {type(table).__name__}"
        )
    name = table_name(table)
    if not _TABLE_NAME(name):
        raise ValueError(f"table: expected a name or an ARN, not {table!r}")
    return name


def checked_key(key: object) -> dict[str, dict[str, str]]:
    """Return an item's key as on the wire. Raises TypeError or ValueError."""
    if not isinstance(key, Mapping):
        raise TypeError(
            "key: expected every key attribute with its value, as {'id': '7'}, not "
            f"{type(key).__name__}"
        )
    for name in key:
        if not isinstance(name, str) or not name:
            raise ValueError(f"key: expected the name of an attribute, not {name!r}")
    wire = wire_key(key)
    check_key(wire)
    for name, value in wire.items():
        if "" in value.values():
            raise ValueError(f"key: the value of the key attribute {name!r} is empty")
    return wire


def check_against(table: str, key: WireKey, known: Sequence[KeyTypes]) -> None:
    """Raise ValueError if a key is none of its table's.

    table: its name.
    known: the key attributes that tables of this name have; several endpoints may have
        a table of this name.
    """
    if not known or any(_agree(key, types) for types in known):
        return
    same_names = [types for types in known if types.keys() == key.keys()]
    expected = " or ".join(map(_described, same_names or known))
    given = _described({name: next(iter(value)) for name, value in key.items()})
    raise ValueError(
        f"key: the key of {table!r} is {expected}, not {given}; if the table was made "
        "anew with another key, evict the whole table"
    )


def _agree(key: WireKey, types: KeyTypes) -> bool:
    if key.keys() != types.keys():
        return False
    return all(types[name] in ("", *value) for name, value in key.items())


def _described(types: KeyTypes) -> str:
    """Return key attributes as text: `{'id': S}`."""
    members = (
        f"{name!r}: {kind}" if kind else repr(name)
        for name, kind in sorted(types.items())
    )
    return f"{{{', '.join(members)}}}"
