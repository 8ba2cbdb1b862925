"""DynamoDB's read-capacity arithmetic: item sizes, read units, the token bucket.

Pure: no I/O, no HTTP, and no clock of its own (the bucket is given one). The rules
are those of the developer guide: "DynamoDB item sizes and formats", "Capacity unit
consumption for read operations" and "Burst capacity".
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

AttributeValue = Mapping[str, Any]
"""One value as it travels: `{"S": "text"}`, `{"N": "12"}`, `{"L": [...]}`."""

Item = Mapping[str, AttributeValue]

UNIT_BYTES = 4096
CONTAINER_BYTES = 3
ELEMENT_BYTES = 1


def item_size(item: Item) -> int:
    """Bytes that DynamoDB counts for an item: attribute names and their values."""
    return sum(_text(name) + value_size(value) for name, value in item.items())


def value_size(value: AttributeValue) -> int:
    """Bytes that DynamoDB counts for one typed value; KeyError for no known type."""
    ((kind, content),) = value.items()
    return _SIZES[kind](content)


def read_units(sizes: Iterable[int], *, consistent: bool) -> float:
    """Units for one read request: all its items' bytes together, in steps of 4 KB.

    A read that finds nothing costs the minimum; an eventually consistent one half.
    """
    steps = max(1, -(-sum(sizes) // UNIT_BYTES))
    return steps * (1.0 if consistent else 0.5)


class TokenBucket:
    """A table's read capacity: refilled at `rate` units a second up to the burst.

    A read is charged when its size is known, that is afterwards: the level may fall
    below zero, and then nothing is admitted until it has been refilled above it.
    """

    def __init__(
        self, rate: float, *, burst_seconds: float, clock: Callable[[], float]
    ) -> None:
        self.rate = rate
        self._limit = rate * burst_seconds
        self._clock = clock
        self._level = self._limit
        self._refilled_at = clock()

    def __repr__(self) -> str:
        return f"TokenBucket(level={self._level:.1f}, rate={self.rate:g}/s)"

    def admits(self) -> bool:
        """Whether a read may be served now."""
        now = self._clock()
        gained = self.rate * (now - self._refilled_at)
        self._level = min(self._limit, self._level + gained)
        self._refilled_at = now
        return self._level > 0

    def charge(self, units: float) -> None:
        """Take away what a served read has cost."""
        self._level -= units


def _text(text: str) -> int:
    return len(text.encode())


def _number(text: str) -> int:
    digits = "".join(map(str, Decimal(text).as_tuple().digits)).strip("0")
    sign = 1 if digits and text.startswith("-") else 0
    return 1 + (len(digits) + 1) // 2 + sign


def _binary(encoded: str) -> int:
    return len(base64.b64decode(encoded))


def _one_byte(_: object) -> int:
    return 1


def _each(size: Callable[[str], int]) -> Callable[[Iterable[str]], int]:
    return lambda members: sum(map(size, members))


def _list(elements: Iterable[AttributeValue]) -> int:
    return CONTAINER_BYTES + sum(ELEMENT_BYTES + value_size(v) for v in elements)


def _map(members: Item) -> int:
    return CONTAINER_BYTES + ELEMENT_BYTES * len(members) + item_size(members)


_SIZES: Mapping[str, Callable[[Any], int]] = {
    "S": _text,
    "N": _number,
    "B": _binary,
    "BOOL": _one_byte,
    "NULL": _one_byte,
    "SS": _each(_text),
    "NS": _each(_number),
    "BS": _each(_binary),
    "L": _list,
    "M": _map,
}
