"""Whether two answers to one read say the same. Pure.

Values are compared as DynamoDB compares them. What belongs to one call alone is left
out: ResponseMetadata and ConsumedCapacity. The items of a page are compared without
their order: where they are the same, so is the order, except of items with equal sort
keys on an index, and of a Scan, for which DynamoDB promises none.
"""

from collections import Counter
from collections.abc import Hashable
from typing import Any, TypeAlias

from botocache._dynamodb.types import Answer, AttributeValue, Item
from botocache._dynamodb.values import canonical_number

_OF_THE_CALL = ("ResponseMetadata", "ConsumedCapacity")

_Canonical: TypeAlias = Hashable | Counter[Hashable]


def say_the_same(one: Answer, other: Answer) -> bool:
    """Return whether two answers to the same GetItem, Query or Scan say the same."""
    left, right = _without_call(one), _without_call(other)
    # The common case, in a tenth of the time.
    return left == right or _canonical_answer(left) == _canonical_answer(right)


def _without_call(answer: Answer) -> Answer:
    return {name: part for name, part in answer.items() if name not in _OF_THE_CALL}


def _canonical_answer(answer: Answer) -> dict[str, _Canonical]:
    return {name: _canonical_part(name, part) for name, part in answer.items()}


def _canonical_part(name: str, part: Any) -> _Canonical:
    if name == "Items":
        return Counter(map(_canonical_item, part))
    if name in ("Item", "LastEvaluatedKey"):
        return _canonical_item(part)
    return repr(part)


def _canonical_item(item: Item) -> Hashable:
    return frozenset((name, _canonical_value(value)) for name, value in item.items())


def _canonical_value(value: AttributeValue) -> Hashable:
    """Return what is equal for equal values, and for no others."""
    ((kind, content),) = value.items()
    match kind:
        case "N":
            return kind, canonical_number(content)
        case "SS" | "BS":
            return kind, frozenset(content)
        case "NS":
            return kind, frozenset(map(canonical_number, content))
        case "L":
            return kind, tuple(map(_canonical_value, content))
        case "M":
            return kind, _canonical_item(content)
        case _:
            return kind, content
