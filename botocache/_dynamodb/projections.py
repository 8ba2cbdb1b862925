"""Answers a projection from a whole item, as DynamoDB would have. Pure.

A projection is answered exactly or not at all: where anything is unusual, and where
DynamoDB might refuse the request, every function returns None and the caller asks
DynamoDB. What is refused never becomes an answer here.

Sources: "Using projection expressions" and "Referring to item attributes" in the
Amazon DynamoDB Developer Guide, and what others have recorded of DynamoDB itself:

- what is absent is left out; so is a map or a list of which nothing is left;
- elements of a list come as a list of just these, in the order of their indexes,
  whatever the order of the paths. So an answer depends on the set of paths alone;
- paths that overlap (`a, a.b`) or conflict (`a.b, a[0]`) are refused, and so is a path
  into a key attribute of the table or of any of its indexes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

from botocache._dynamodb.expressions import Token, UnreadableError, read_tokens
from botocache._dynamodb.reserved_words import RESERVED_WORDS

Path: TypeAlias = tuple[str | int, ...]
"""A document path: an attribute's name, then names of members and indexes."""

_Tree: TypeAlias = dict[str | int, Any]
"""Paths by their steps: `{"a": {"b": None, "c": {0: None}}}`; a path ends at None."""


class _Branch(NamedTuple):
    """What is wanted of a map or of a list.

    kind: "M" or "L". parts: members or indexes, in order, with what is wanted of
    each; all of it at None.
    """

    kind: str
    parts: tuple[tuple[Any, "_Branch | None"], ...]


@dataclass(frozen=True, slots=True)
class Projection:
    """What a request wants of an item.

    attributes: the top-level attributes that it names. paths: all of its paths,
    sorted: two projections with the same paths have the same answers. whole: the
    attributes that it wants whole. nested: those that it wants parts of. When there
    is one, DynamoDB may refuse the request even if the item does not exist.
    """

    attributes: frozenset[str]
    paths: tuple[Path, ...]
    whole: tuple[str, ...]
    nested: tuple[tuple[str, _Branch], ...]


# --- reading -----------------------------------------------------------------------

_LONGEST_EXPRESSION = 4096
"""Characters, as it is sent: DynamoDB's limit, 4 KB."""

_LONGEST_NAME = 255
"""Bytes: DynamoDB's limit for placeholders and names of key attributes."""

_DEEPEST_PATH = 32
"""Steps: DynamoDB's limit for paths, and for what it stores."""

_LONGEST_INDEX = 9
"""Digits. No list is that long; what has more may be refused."""

_BLANKS = " \t\r\n"


def read_projection(body: Mapping[str, Any]) -> Projection | None:
    """Read what a request projects; None when nothing, or not for certain.

    body: of the wire, of a GetItem or of one table of a BatchGetItem, with a
    ProjectionExpression or the legacy AttributesToGet. Other parameters are not
    looked at. Never raises.
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


def canonical_projection(body: Mapping[str, Any]) -> list[Path] | None:
    """Return what tells a request's projection from others: its paths, sorted.

    Whatever their order, their placeholders, and the parameters that hold them
    (ProjectionExpression and ExpressionAttributeNames, or AttributesToGet), requests
    with the same paths have the same answers. None as in `read_projection`.
    """
    projection = read_projection(body)
    return None if projection is None else list(projection.paths)


def _paths(body: Mapping[str, Any]) -> Iterator[Path]:
    has_names = "ExpressionAttributeNames" in body
    match ("ProjectionExpression" in body, "AttributesToGet" in body):
        case (True, False):
            names = _names(body["ExpressionAttributeNames"]) if has_names else {}
            yield from _expression_paths(body["ProjectionExpression"], names)
        case (False, True) if not has_names:
            yield from _legacy_paths(body["AttributesToGet"])
        case _:
            raise UnreadableError


def _legacy_paths(attributes: Any) -> Iterator[Path]:
    if not isinstance(attributes, list) or not attributes:
        raise UnreadableError
    for attribute in attributes:
        name = _checked_name(attribute)
        if "." in name or "[" in name:  # meant as a path; DynamoDB has none here
            raise UnreadableError
        yield (name,)


def _expression_paths(expression: Any, names: Mapping[str, str]) -> Iterator[Path]:
    if not isinstance(expression, str) or len(expression) > _LONGEST_EXPRESSION:
        raise UnreadableError
    unused = set(names)
    for text in expression.split(","):
        yield _path(text.strip(_BLANKS), names, unused)
    if unused:
        raise UnreadableError


def _names(names: Any) -> dict[str, str]:
    if not isinstance(names, Mapping) or not names:
        raise UnreadableError
    return {_checked_name(key): _checked_name(name) for key, name in names.items()}


def _checked_name(name: Any) -> str:
    if not isinstance(name, str):
        raise UnreadableError
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise UnreadableError from None
    if not 0 < size <= _LONGEST_NAME:
        raise UnreadableError
    return name


def _path(text: str, names: Mapping[str, str], unused: set[str]) -> Path:
    """Read `name(.name|[n])*`. What it uses of `names` leaves `unused`."""
    if not text or any(blank in text for blank in _BLANKS):
        raise UnreadableError
    tokens = list(read_tokens(text))
    path: list[str | int] = [_step(tokens[0], names, unused)]
    at = 1
    while at < len(tokens):
        match tokens[at : at + 3]:
            case [("symbol", "."), name, *_]:
                path.append(_step(name, names, unused))
                at += 2
            case [("symbol", "["), ("number", index), ("symbol", "]")]:
                path.append(_index(index))
                at += 3
            case _:
                raise UnreadableError
    if len(path) > _DEEPEST_PATH:
        raise UnreadableError
    return tuple(path)


def _step(token: Token, names: Mapping[str, str], unused: set[str]) -> str:
    kind, text = token
    if kind == "name" and text in names:
        unused.discard(text)
        return names[text]
    if kind == "word" and text.upper() not in RESERVED_WORDS:
        return _checked_name(text)
    raise UnreadableError


def _index(text: str) -> int:
    if len(text) > _LONGEST_INDEX or (text[0] == "0" and text != "0"):
        raise UnreadableError
    return int(text)


def _tree(paths: list[Path]) -> _Tree:
    """Join paths; none may be another's beginning, or take for a list what is a map."""
    root: _Tree = {}
    for path in paths:
        tree = root
        for step in path[:-1]:
            _check_kind(tree, step)
            tree = tree.setdefault(step, {})
            if tree is None:
                raise UnreadableError
        _check_kind(tree, path[-1])
        if path[-1] in tree:
            raise UnreadableError
        tree[path[-1]] = None
    return root


def _check_kind(tree: _Tree, step: str | int) -> None:
    if type(step) is not type(next(iter(tree), step)):  # the others are of one kind
        raise UnreadableError


def _branch(tree: _Tree) -> _Branch:
    parts = sorted(tree.items(), key=itemgetter(0))
    return _Branch(
        kind="M" if isinstance(parts[0][0], str) else "L",
        parts=tuple(
            (step, None if below is None else _branch(below)) for step, below in parts
        ),
    )


# --- answering ---------------------------------------------------------------------

_KEY_KINDS = frozenset({"S", "N", "B"})
"""The types that a key attribute may have."""


class _UncertainError(Exception):
    """What DynamoDB would answer cannot be said."""


def project(item: Mapping[str, Any], projection: Projection) -> dict[str, Any] | None:
    """Return what the projection leaves of a whole item, None when it is uncertain.

    item: as botocore has parsed it. The result shares parts with it. Nothing of the
    item left is uncertain too. Never raises.
    """
    projected = {name: item[name] for name in projection.whole if name in item}
    if projection.nested:
        try:
            for name, branch in projection.nested:
                part = _part(_nesting(item, name), branch)
                if part is not None:
                    projected[name] = part
        except _UncertainError:
            return None
    return projected or None


def _nesting(item: Mapping[str, Any], name: str) -> Any:
    """Return an attribute that a path may go into.

    One that is absent or a scalar may be a key of an index; DynamoDB refuses a path
    into such a one, whatever the item is.
    """
    value = item.get(name)
    if not isinstance(value, dict) or not _KEY_KINDS.isdisjoint(value):
        raise _UncertainError
    return value


def _part(value: Any, branch: _Branch | None) -> Any:
    """Return what is wanted of a value; None when it has none of it."""
    if not isinstance(value, dict) or len(value) != 1:
        raise _UncertainError
    if branch is None:
        return value
    kind = branch.kind
    content = value.get(kind)
    if content is None:  # of another type
        return None
    kept = _members(content, branch) if kind == "M" else _elements(content, branch)
    return {kind: kept} if kept else None


def _members(content: Any, branch: _Branch) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise _UncertainError
    parts = (
        (name, _part(content[name], below))
        for name, below in branch.parts
        if name in content
    )
    return {name: part for name, part in parts if part is not None}


def _elements(content: Any, branch: _Branch) -> list[Any]:
    if not isinstance(content, list):
        raise _UncertainError
    parts = (
        _part(content[index], below)
        for index, below in branch.parts
        if index < len(content)
    )
    return [part for part in parts if part is not None]
