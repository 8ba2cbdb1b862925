"""The items of the soak, and its calls.

A few hot items in two tables: one with a sort key and two indexes, one of which has an
attribute of the table's key. The calls are chosen in reads.py and writes.py; making
one is the caller's business.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple, TypeAlias

from tests.support.dynamodb import DynamoDB

GROUP = "g0"
"""The attribute `g` of every item: the one partition of an index."""


class Item(NamedTuple):
    """An item. key: plain values. name: as journals have it."""

    table: str
    key: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        return "/".join([self.table, *(value for _, value in self.key)])

    def wire(self) -> dict[str, Any]:
        """Return the key as a client takes it."""
        return wire(**dict(self.key))

    def with_value(self, value: str) -> dict[str, Any]:
        """Return the item as a client takes it."""
        return self.wire() | wire(g=GROUP, v=value)


class Tables(NamedTuple):
    """The names of the tables."""

    pairs: str
    singles: str

    def items(self) -> list[Item]:
        return [
            *(
                Item(self.pairs, (("pk", pk), ("sk", sk)))
                for pk in ("p0", "p1")
                for sk in ("s0", "s1")
            ),
            *(Item(self.singles, (("id", one),)) for one in ("a", "b")),
        ]


def create_tables(dynamodb: DynamoDB) -> Tables:
    """Create them, around every cache."""
    everything = {"ProjectionType": "ALL"}
    keys = {"by-group": ["g"], "by-sk": ["sk", "pk"]}
    pairs = dynamodb.create_table(
        "pk:S",
        "sk:S",
        AttributeDefinitions=[{"AttributeName": "g", "AttributeType": "S"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": index,
                "KeySchema": [
                    {"AttributeName": name, "KeyType": kind}
                    for name, kind in zip(names, ("HASH", "RANGE"), strict=False)
                ],
                "Projection": everything,
            }
            for index, names in keys.items()
        ],
    )
    return Tables(pairs, dynamodb.create_table("id:S"))


@dataclass(frozen=True, slots=True)
class Call:
    """One call. kind: the operation's name.

    covers: the items that a read answers for. wrote, if_there: as in a journal.
    may_be_refused: it has a condition.
    """

    kind: str
    parameters: dict[str, Any]
    covers: tuple[Item, ...] = ()
    wrote: tuple[tuple[Item, str | None], ...] = ()
    if_there: tuple[Item, ...] = ()
    may_be_refused: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """The choices of a caller.

    items: of all tables.
    random: the caller's.
    new_value: returns a value that no other call writes.
    last_seen: values by item, for conditions; they may have changed since.
    """

    items: Sequence[Item]
    random: Random
    new_value: Callable[[], str]
    last_seen: dict[str, str | None]

    def item(self) -> Item:
        return self.random.choice(self.items)

    def two(self) -> list[Item]:
        return self.random.sample(self.items, 2)

    def of_pairs(self) -> Item:
        return self.random.choice([item for item in self.items if len(item.key) > 1])


Maker: TypeAlias = Callable[[Choice], Call]


def choose(choice: Choice, makers: dict[Maker, int]) -> Call:
    """Choose a call."""
    (maker,) = choice.random.choices([*makers], [*makers.values()])
    return maker(choice)


def wire(**values: str) -> dict[str, Any]:
    return {name: {"S": value} for name, value in values.items()}
