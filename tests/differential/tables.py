"""Shapes of tables, and the pools that keys and items are drawn from.

The pools are small, so that reads repeat and writes change what was read. Every
value is of the wire.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar

Value: TypeAlias = Mapping[str, Any]
Item: TypeAlias = dict[str, Value]
Choice = TypeVar("Choice")


class Dice(random.Random):
    """Random choices of a program: the same seed makes the same calls."""

    def often(self) -> bool:
        """Return True half of the time."""
        return self.random() < 0.5

    def sometimes(self) -> bool:
        """Return True a quarter of the time."""
        return self.random() < 0.25

    def rarely(self) -> bool:
        """Return True a twelfth of the time."""
        return self.random() < 1 / 12

    def among(self, choices: Sequence[Choice]) -> Choice:
        """Return one of the choices; more often one of the first."""
        return choices[int(len(choices) * self.random() ** 2)]

    def some(self, choices: Sequence[Choice], least: int, most: int) -> list[Choice]:
        """Return some of the choices, each once, in any order."""
        return self.sample(choices, self.randint(least, min(most, len(choices))))


@dataclass(frozen=True, slots=True)
class Index:
    """An index by its key attributes; range_: "" when it has none."""

    name: str
    hash_: str
    range_: str = ""
    projection: str = "ALL"
    is_local: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """A table's key attributes, as `name:type`, and its indexes."""

    hash_: str
    range_: str = ""
    indexes: tuple[Index, ...] = ()

    @property
    def keys(self) -> dict[str, str]:
        """The key attributes with their types, the hash key first."""
        return dict(key.split(":", 1) for key in (self.hash_, self.range_) if key)

    @property
    def types(self) -> dict[str, str]:
        """The type of each key attribute of the table and its indexes."""
        used = {i.hash_ for i in self.indexes} | {i.range_ for i in self.indexes}
        others = {name: kind for name, kind in INDEXED.items() if name in used}
        return {**others, **self.keys}

    def sources(self) -> list[tuple[str, str, str]]:
        """Return what can be queried: name ("": the table), hash and range key."""
        hash_, range_ = [*self.keys, ""][:2]
        return [
            ("", hash_, range_),
            *((i.name, i.hash_, i.range_) for i in self.indexes),
        ]

    def creation(self) -> dict[str, Any]:
        """Return the parameters of CreateTable, apart from the name."""
        parameters: dict[str, Any] = {
            "KeySchema": _schema(*self.keys),
            "AttributeDefinitions": [
                {"AttributeName": name, "AttributeType": kind}
                for name, kind in self.types.items()
            ],
            "BillingMode": "PAY_PER_REQUEST",
        }
        for is_local, name in ((True, "Local"), (False, "Global")):
            indexes = [_index(i) for i in self.indexes if i.is_local is is_local]
            if indexes:
                parameters[f"{name}SecondaryIndexes"] = indexes
        return parameters


def _schema(*names: str) -> list[dict[str, str]]:
    return [
        {"AttributeName": name, "KeyType": kind}
        for name, kind in zip(filter(None, names), ("HASH", "RANGE"), strict=False)
    ]


def _index(index: Index) -> dict[str, Any]:
    projection: dict[str, Any] = {"ProjectionType": index.projection}
    if index.projection == "INCLUDE":
        projection["NonKeyAttributes"] = ["a", "doc"]
    return {
        "IndexName": index.name,
        "KeySchema": _schema(index.hash_, index.range_),
        "Projection": projection,
    }


INDEXED = {"g": "S", "r": "N", "l": "N"}
"""Attributes that indexes are made on, and their types."""

SHAPES = (
    Shape(
        "pk:S",
        "sk:N",
        (
            Index("by-l", "pk", "l", is_local=True),
            Index("by-g", "g", "r"),
            Index("flipped", "sk", "pk"),
        ),
    ),
    Shape(
        "pk:N",
        "sk:S",
        (
            Index("by-l", "pk", "l", "INCLUDE", is_local=True),
            Index("by-g-sk", "g", "sk", "INCLUDE"),
            Index("of-pk", "pk", "g", "KEYS_ONLY"),
        ),
    ),
    Shape("pk:B", "sk:B", (Index("flipped", "sk", "pk"), Index("by-r", "r"))),
    # The same names the other way around, for a table that is created anew.
    Shape("sk:S", "pk:S", (Index("by-g", "g", "pk"),)),
    Shape("pk:S", indexes=(Index("by-g", "g"),)),
    Shape("pk:N", indexes=(Index("by-g-r", "g", "r", "KEYS_ONLY"),)),
    Shape("pk:B"),
)
"""Tables with a range key come first, since their queries find several items."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What a server does as DynamoDB does; programs avoid the rest.

    equates_numbers: `1` and `1.0` are one key. has_list_paths: `#a[0]` is a path
    wherever `a[0]` is. has_size_of_absent: size() of what an item lacks is no failure.
    has_partiql_writes: all of INSERT, UPDATE and DELETE, with parameters.
    has_binary_segments: a parallel Scan of a table whose hash key is binary.
    has_between_first: a key condition that begins with BETWEEN. gets_attributes: a
    GetItem heeds AttributesToGet.
    """

    equates_numbers: bool = True
    has_list_paths: bool = True
    has_size_of_absent: bool = True
    has_partiql_writes: bool = True
    has_binary_segments: bool = True
    has_between_first: bool = True
    gets_attributes: bool = True


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of a program, and what their server can do.

    favourite: the name of one that is drawn more often, if any; hot: an item, whose
    key is drawn more often.
    """

    shapes: tuple[Shape, ...]
    traits: Traits
    favourite: str = ""
    hot: Mapping[str, Value] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Their names."""
        return [table_name(number) for number in range(len(self.shapes))]

    def preferring(self, favourite: str, hot: Mapping[str, Value]) -> "Tables":
        """Return the same, with a table and an item that are drawn more often."""
        return replace(self, favourite=favourite, hot=hot)

    @property
    def unknown(self) -> str:
        """The name of a table that never was."""
        return table_name(len(self.shapes))

    def shape(self, name: str) -> Shape:
        """Return the shape of a table; any, of the one that never was."""
        return self.shapes[int(name.removeprefix(NAME)) % len(self.shapes)]


NAME = "TABLE-"
"""What tables' names begin with in a program; each side has a name of its own."""


def table_name(number: int) -> str:
    """Return the name of a program's table."""
    return f"{NAME}{number}"


_KEYS: Mapping[str, list[Value]] = {
    "S": [{"S": "a"}, {"S": "b"}, {"S": "ab"}],
    "N": [{"N": "1"}, {"N": "2"}, {"N": "-3.5"}],
    "B": [{"B": b"\x00"}, {"B": b"\xff\x00"}, {"B": b"a"}],
}
_OTHER_SPELLINGS: list[Value] = [{"N": "1.0"}, {"N": "02"}, {"N": "1e0"}]

_DOCUMENTS: list[Value] = [
    {"M": {"b": {"L": [{"N": "0"}, {"M": {"c": {"S": "deep"}}}, {"S": "x"}]}}},
    {"M": {"b": {"L": []}, "c": {"SS": ["p", "q"]}, "name": {"BOOL": True}}},
    {"M": {"b": {"M": {"c": {"N": "1"}}}, "c": {"NULL": True}}},
    {"M": {}},
    {"L": [{"M": {"c": {"B": b"\x01"}}}, {"L": [{"N": "5"}]}]},
]
_ATTRIBUTES: Mapping[str, list[Value]] = {
    "g": [{"S": "x"}, {"S": "y"}],
    "r": [{"N": "1"}, {"N": "2"}],
    "l": [{"N": "10"}, {"N": "9"}],
    "a": [
        {"S": ""},
        {"S": "x"},
        {"N": "7"},
        {"B": b"\x00\x01"},
        {"BOOL": False},
        {"NULL": True},
        {"L": [{"N": "1"}, {"S": "x"}]},
    ],
    "n": [{"N": "0"}, {"N": "41"}, {"N": "-1.5"}],
    "doc": _DOCUMENTS,
    "name": [{"S": "x"}, {"BOOL": True}],
    "ss": [{"SS": ["p"]}, {"SS": ["p", "q"]}],
    "ns": [{"NS": ["1", "2"]}],
    "bs": [{"BS": [b"\x00", b"\x01"]}],
}
NAMES = [*_ATTRIBUTES]
"""The attributes that are no key of every table."""

ALL_VALUES = [value for values in _ATTRIBUTES.values() for value in values]
NUMBERS = _ATTRIBUTES["n"]


def draw_name(dice: Dice, tables: Tables) -> str:
    """Draw the name of a table; rarely of one that never was."""
    if dice.rarely() and dice.rarely():
        return tables.unknown
    if tables.favourite and not dice.sometimes():
        return tables.favourite
    return dice.choice(tables.names)


def draw_key_value(dice: Dice, tables: Tables, kind: str) -> Value:
    """Draw a value of a key attribute of a type."""
    values = _KEYS[kind]
    if kind == "N" and tables.traits.equates_numbers and dice.sometimes():
        values = _OTHER_SPELLINGS
    return dice.among(values)


def draw_key(dice: Dice, tables: Tables, shape: Shape, *, odd: bool = True) -> Item:
    """Draw a key; rarely, if it may be `odd`, one that the table cannot have."""
    key = {
        name: draw_key_value(dice, tables, kind) for name, kind in shape.keys.items()
    }
    if tables.hot and not dice.sometimes():
        for name, kind in shape.keys.items():
            if kind in tables.hot.get(name, {}):
                key[name] = tables.hot[name]
    if odd and dice.rarely() and dice.sometimes():
        name = dice.choice(["pk", "sk", "g"])
        if len(key) > 1 and name in key:
            del key[name]
        else:
            key[name] = {"S": "odd"}
    return key


def draw_item(dice: Dice, tables: Tables, shape: Shape) -> Item:
    """Draw an item with some attributes; rarely one with an odd key."""
    names = [*dice.some(NAMES, 0, 5), *dice.some([*INDEXED], 0, 3)]
    item = {name: draw_value(dice, name) for name in names}
    return {**item, **draw_key(dice, tables, shape)}


def draw_value(dice: Dice, name: str) -> Value:
    """Draw a value for an attribute; rarely, if no index has it, of any type."""
    if name not in _ATTRIBUTES:
        return dice.choice(ALL_VALUES)
    if dice.rarely() and (name not in INDEXED or dice.rarely()):
        return dice.choice(ALL_VALUES)
    return dice.choice(_ATTRIBUTES[name])
