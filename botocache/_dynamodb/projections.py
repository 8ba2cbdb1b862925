"""Applies a projection to a whole item, as DynamoDB does. Pure.

The result is exactly DynamoDB's, or None: then the caller sends the request. Every
function returns None where anything is unusual, and where DynamoDB might refuse the
request.

Sources: "Using projection expressions" and "Referring to item attributes" in the
Amazon DynamoDB Developer Guide, and recorded answers of DynamoDB itself:

- DynamoDB leaves out an absent path, and a map or a list of which nothing remains;
- it returns elements of a list as a list of just these, in the order of their indexes,
  not of the paths. So the answer depends on the set of paths alone;
- it refuses paths that overlap (`a, a.b`) or conflict (`a.b, a[0]`);
- it refuses a path into a key attribute of the table or of any of its indexes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple, TypeAlias

from botocache._dynamodb.limits import EXPRESSION_BYTES, NAME_BYTES
from botocache._dynamodb.reserved_words import NO_NAMES
from botocache._dynamodb.tokens import Token, TokenCursor, UnreadableError
from botocache._dynamodb.types import AttributeValue, Body, Item, Names

Path: TypeAlias = tuple[str | int, ...]
"""A document path: an attribute's name, then names of members and indexes."""

_Tree: TypeAlias = dict[str | int, "_Tree | None"]
"""Paths by their steps: `{"a": {"b": None, "c": {0: None}}}`; a path ends at None."""


class _Branch(NamedTuple):
    """The members of a map, or the elements of a list, that paths go to.

    members: of a map, in order; empty for a list.
    elements: indexes of a list, in order; empty for a map.

    Each has the branch below it, or None: its whole value is projected.
    """

    members: tuple[tuple[str, "_Branch | None"], ...]
    elements: tuple[tuple[int, "_Branch | None"], ...]


@dataclass(frozen=True, slots=True)
class Projection:
    """The parts of an item that a request projects.

    attributes: the top-level attributes that it names.
    paths: all of its paths, sorted. Two projections with equal paths have equal
        answers.
    whole: the attributes that it projects whole.
    nested: the attributes that it projects parts of. If there is one, DynamoDB may
        refuse the request even if the item does not exist.
    """

    attributes: frozenset[str]
    paths: tuple[Path, ...]
    whole: tuple[str, ...]
    nested: tuple[tuple[str, _Branch], ...]


# --- reading -----------------------------------------------------------------------

_DEEPEST_PATH = 32
"""Steps: DynamoDB's limit for paths, and for what it stores."""

_LONGEST_INDEX = 9
"""Digits. No list is longer, and DynamoDB may refuse a longer index."""

_BLANKS = " \t\r\n"


def read_projection(body: Body) -> Projection | None:
    """Read a request's projection; None if it has none or it is not understood.

    body: of a GetItem, or of one table of a BatchGetItem. Only ProjectionExpression,
        ExpressionAttributeNames and the legacy AttributesToGet are read.

    Never raises.
    """
    try:
        paths = list(_paths(body))
        tree = _tree(paths)
    except UnreadableError:
        return None
    return Projection(
        attributes=frozenset(map(str, tree)),
        paths=tuple(sorted(paths)),
        whole=tuple(str(name) for name, parts in tree.items() if parts is None),
        nested=tuple(
            (str(name), _branch(parts))
            for name, parts in tree.items()
            if parts is not None
        ),
    )


def _paths(body: Body) -> Iterator[Path]:
    has_names = "ExpressionAttributeNames" in body
    match ("ProjectionExpression" in body, "AttributesToGet" in body):
        case (True, False):
            names = _names(body["ExpressionAttributeNames"]) if has_names else {}
            yield from _expression_paths(body["ProjectionExpression"], names)
        case (False, True) if not has_names:
            yield from _legacy_paths(body["AttributesToGet"])
        # DynamoDB refuses both parameters together, and names without an expression.
        case _:
            raise UnreadableError


def _legacy_paths(attributes: object) -> Iterator[Path]:
    if not isinstance(attributes, list) or not attributes:
        raise UnreadableError
    for attribute in attributes:
        name = _checked_name(attribute)
        # The legacy parameter has no paths: this is a name, though it looks like one.
        if "." in name or "[" in name:
            raise UnreadableError
        yield (name,)


def _expression_paths(expression: object, names: Names) -> Iterator[Path]:
    if not isinstance(expression, str) or len(expression) > EXPRESSION_BYTES:
        raise UnreadableError
    unused = set(names)
    for text in expression.split(","):
        yield _path(text.strip(_BLANKS), names, unused)
    # DynamoDB refuses a name that no expression uses.
    if unused:
        raise UnreadableError


def _names(names: object) -> dict[str, str]:
    if not isinstance(names, Mapping) or not names:
        raise UnreadableError
    return {_checked_name(key): _checked_name(name) for key, name in names.items()}


def _checked_name(name: object) -> str:
    if not isinstance(name, str):
        raise UnreadableError
    try:
        size = len(name.encode())
    # A lone surrogate has no UTF-8, so no request can hold it.
    except UnicodeEncodeError:
        raise UnreadableError from None
    if not 0 < size <= NAME_BYTES:
        raise UnreadableError
    return name


def _path(text: str, names: Names, unused: set[str]) -> Path:
    """Read `name(.name|[n])*`, and remove the names that it uses from `unused`."""
    # Blanks inside a path are a case that DynamoDB's documentation does not cover.
    if not text or any(blank in text for blank in _BLANKS):
        raise UnreadableError
    tokens = TokenCursor(text)
    path: list[str | int] = [_step(tokens.next(), names, unused)]
    while not tokens.is_at_end:
        if tokens.accept("."):
            path.append(_step(tokens.next(), names, unused))
        else:
            tokens.expect("[")
            path.append(_index(tokens.next()))
            tokens.expect("]")
    if len(path) > _DEEPEST_PATH:
        raise UnreadableError
    return tuple(path)


def _step(token: Token, names: Names, unused: set[str]) -> str:
    kind, text = token
    if kind == "name" and text in names:
        unused.discard(text)
        return names[text]
    if kind == "word" and text.upper() not in NO_NAMES:
        return _checked_name(text)
    raise UnreadableError


def _index(token: Token) -> int:
    kind, text = token
    if kind != "number" or len(text) > _LONGEST_INDEX:
        raise UnreadableError
    # `a[01]` and `a[1]` would be one path here; DynamoDB may refuse the first.
    if text[0] == "0" and text != "0":
        raise UnreadableError
    return int(text)


def _tree(paths: list[Path]) -> _Tree:
    """Join paths into a tree; raise UnreadableError if two overlap or conflict."""
    root: _Tree = {}
    for path in paths:
        tree = root
        for step in path[:-1]:
            _check_kind(tree, step)
            below = tree.setdefault(step, {})
            # `a, a.b`: the first path already ends here.
            if below is None:
                raise UnreadableError
            tree = below
        _check_kind(tree, path[-1])
        # `a.b, a`: another path goes on from here. Or `a, a`.
        if path[-1] in tree:
            raise UnreadableError
        tree[path[-1]] = None
    return root


def _check_kind(tree: _Tree, step: str | int) -> None:
    # `a.b, a[0]`: one is a map's member, the other a list's element. Steps that are
    # there already are of one kind, so the first one stands for all.
    if type(step) is not type(next(iter(tree), step)):
        raise UnreadableError


def _branch(tree: _Tree) -> _Branch:
    below = {step: None if t is None else _branch(t) for step, t in tree.items()}
    members = [(step, part) for step, part in below.items() if isinstance(step, str)]
    elements = [(step, part) for step, part in below.items() if isinstance(step, int)]
    return _Branch(
        members=tuple(sorted(members, key=itemgetter(0))),
        elements=tuple(sorted(elements, key=itemgetter(0))),
    )


# --- projecting --------------------------------------------------------------------

_KEY_KINDS = frozenset({"S", "N", "B"})
"""The types that a key attribute may have."""


class _UncertainError(Exception):
    """DynamoDB's answer to the request is not certain."""


def project(item: Item, projection: Projection) -> dict[str, AttributeValue] | None:
    """Return the projected parts of a whole item; None if they are not certain.

    item: as botocore has parsed it. The result shares values with it.

    An empty projection is not certain either. Never raises.
    """
    projected = {name: item[name] for name in projection.whole if name in item}
    if projection.nested:
        try:
            for name, branch in projection.nested:
                part = _part(_document(item, name), branch)
                if part is not None:
                    projected[name] = part
        except _UncertainError:
            return None
    # Without any part, DynamoDB's answer may have an empty `Item` or none.
    return projected or None


def _document(item: Item, name: str) -> AttributeValue:
    """Return the attribute that a nested path goes into."""
    value = item.get(name)
    # An absent attribute or a scalar may be the key of an index. DynamoDB refuses a
    # path into such an attribute, whatever the item holds.
    if not isinstance(value, dict) or not _KEY_KINDS.isdisjoint(value):
        raise _UncertainError
    return value


def _part(value: object, branch: _Branch | None) -> AttributeValue | None:
    """Return the projected parts of a value; None if it has none of them."""
    if not isinstance(value, dict) or len(value) != 1:
        raise _UncertainError
    if branch is None:
        return value
    # A value of another type has none of the parts: `a.b` where `a` is a list.
    if branch.members:
        content = value.get("M")
        kept = None if content is None else _members(content, branch)
        return {"M": kept} if kept else None
    content = value.get("L")
    elements = None if content is None else _elements(content, branch)
    return {"L": elements} if elements else None


def _members(content: object, branch: _Branch) -> dict[str, AttributeValue]:
    if not isinstance(content, dict):
        raise _UncertainError
    parts = (
        (name, _part(content[name], below))
        for name, below in branch.members
        if name in content
    )
    return {name: part for name, part in parts if part is not None}


def _elements(content: object, branch: _Branch) -> list[AttributeValue]:
    if not isinstance(content, list):
        raise _UncertainError
    parts = (
        _part(content[index], below)
        for index, below in branch.elements
        if index < len(content)
    )
    return [part for part in parts if part is not None]
