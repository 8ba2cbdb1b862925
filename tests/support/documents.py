"""Items with documents in them, and projections of them, for Hypothesis to draw."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from hypothesis import strategies as st

from botocache._dynamodb.reserved_words import RESERVED_WORDS

Path: TypeAlias = tuple[str | int, ...]

SCALARS = st.sampled_from([{"S": "text"}, {"S": ""}, {"N": "7"}, {"BOOL": False}])
OTHERS = st.sampled_from(
    [{"B": b"\x00"}, {"NULL": True}, {"SS": ["s", "t"]}, {"NS": ["1"]}, {"BS": [b"b"]}]
)
NAMES = st.sampled_from(["a", "b", "c", "D_1", "name", "a.b", "b[0]", "0", "größe"])
"""Plain names, a reserved word, and such as only a placeholder can name."""


def values(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw attribute values: leaves, and maps and lists of them."""
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.dictionaries(NAMES, inner, max_size=3).map(lambda m: {"M": m}),
            st.lists(inner, max_size=3).map(lambda elements: {"L": elements}),
        ),
        max_leaves=12,
    )


def items(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Draw items."""
    return st.dictionaries(NAMES, values(leaves), max_size=5)


def addresses(item: Mapping[str, Any]) -> list[Path]:
    """Return the path of everything in an item that is one, in order."""
    found: list[Path] = []
    waiting: list[tuple[Path, Any]] = [((name,), v) for name, v in item.items()]
    while waiting:
        path, value = waiting.pop(0)
        found.append(path)
        waiting += [((*path, name), v) for name, v in value.get("M", {}).items()]
        waiting += [((*path, at), v) for at, v in enumerate(value.get("L", []))]
    return found


def paths_into(item: Mapping[str, Any]) -> st.SearchStrategy[list[Path]]:
    """Draw some paths, of attributes that the item has or may lack."""
    steps = NAMES | st.integers(0, 4)
    anywhere = st.tuples(NAMES, st.lists(steps, max_size=3)).map(
        lambda p: (p[0], *p[1])
    )
    known = addresses(item)
    within = st.sampled_from(known) if known else anywhere
    beyond = st.tuples(within, steps).map(lambda p: (*p[0], p[1]))
    return st.lists(within | within | beyond | anywhere, min_size=1, max_size=5)


def begins(path: Path, other: Path) -> bool:
    """Return whether one path is equal to, inside or around the other."""
    return other[: len(path)] == path


def agree(path: Path, other: Path) -> bool:
    """Return whether DynamoDB accepts both paths in one expression."""
    for step, another in zip(path, other, strict=False):
        if type(step) is not type(another):
            return False
        if step != another:
            return True
    return False


class Writer:
    """Writes paths as some expression that means them."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data
        self.names: dict[str, str] = {}

    def body(self, paths: Iterable[Path]) -> dict[str, Any]:
        """Return the parameters of a projection of the paths, in their order."""
        commas = st.sampled_from([",", ", ", " ,\n\t"])
        text = ""
        for path in paths:
            text += (self._data.draw(commas) if text else "") + self._path(path)
        body: dict[str, Any] = {"ProjectionExpression": text}
        return {**body, "ExpressionAttributeNames": self.names} if self.names else body

    def _path(self, path: Path) -> str:
        first, *more = path
        text = self._name(str(first))
        for step in more:
            text += f"[{step}]" if isinstance(step, int) else f".{self._name(step)}"
        return text

    def _name(self, name: str) -> str:
        is_plain = name.isascii() and name.isalpha()
        is_reserved = name.upper() in RESERVED_WORDS
        if is_plain and not is_reserved and self._data.draw(st.booleans()):
            return name
        for placeholder, meant in self.names.items():
            if meant == name and self._data.draw(st.booleans()):
                return placeholder
        placeholder = f"#n{len(self.names)}"
        self.names[placeholder] = name
        return placeholder
