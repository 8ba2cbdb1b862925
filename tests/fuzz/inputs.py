r"""Inputs: a case of a corpus, and edits that change it.

A corpus is a small text file. A line of `*.txt` is a case: text in which `\x00` stands
for a byte. A line of `*.jsonl` is a document. An edit is three numbers, so that
Hypothesis, a random generator and a coverage-guided fuzzer can all make them, and an
edit can be left out to make an input smaller.
"""

import json
import random
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

Edit: TypeAlias = tuple[int, int, int]
"""What is done, where, and with which material. Any numbers from 0."""

CORPUS = Path(__file__).with_name("corpus")

LARGEST = 20_000
"""Characters of an input. Greater ones have tests of their own."""

_Made: TypeAlias = Callable[[], object]


@lru_cache
def cases_of(name: str) -> tuple[Any, ...]:
    """Return the cases of a corpus: bytes of a `.txt`, documents of a `.jsonl`."""
    lines = CORPUS.joinpath(name).read_text("utf-8").splitlines()
    if name.endswith(".jsonl"):
        return tuple(json.loads(line) for line in lines if line)
    return tuple(map(read_case, lines))


def read_case(line: str) -> bytes:
    """Return the bytes of a line of a `.txt`."""
    return line.encode("latin-1").decode("unicode_escape").encode("latin-1")


def written_case(case: bytes) -> str:
    """Return the line of a `.txt` for bytes."""
    return case.decode("latin-1").encode("unicode_escape").decode("ascii")


def random_edits(source: random.Random, most: int = 4) -> list[Edit]:
    """Return some edits."""
    return [
        (source.getrandbits(8), source.getrandbits(24), source.getrandbits(24))
        for _ in range(source.randint(0, most))
    ]


# --- bytes -------------------------------------------------------------------------


def edited_bytes(case: bytes, edits: Sequence[Edit], others: Sequence[bytes]) -> bytes:
    """Return a case after edits. others: cases to take material from."""
    made = case
    for kind, place, pick in edits:
        made = _edited(made, kind, place, pick, others)[:LARGEST]
    return made


def _edited(  # noqa: PLR0911 - one for each kind
    case: bytes, kind: int, place: int, pick: int, others: Sequence[bytes]
) -> bytes:
    at = place % (len(case) + 1)
    length = pick % 9 if kind & 8 else pick % (len(case) + 1)
    part = case[at : at + length]
    other = others[pick % len(others)]
    match kind % 8:
        case 0:
            return case[:at] + case[at + length :]
        case 1:
            return case[:at] + part * (2 + pick % 40) + case[at + length :]
        case 2:
            return case[:at] + bytes([pick % 256]) + case[at + 1 :]
        case 3:
            return case[:at] + other[pick // 7 % (len(other) + 1) :]
        case 4:
            return case[:at] + other + case[at:]
        case 5:
            return case[:at]
        case _:
            return case[:at] + _TOKENS[pick % len(_TOKENS)] + case[at + length % 2 :]


_TOKENS: Sequence[bytes] = [
    *(b"(", b")", b"[", b"]", b",", b".", b"=", b"<>", b"<=", b" ", b"\t", b"\n"),
    *(b"AND ", b" OR ", b"NOT ", b" BETWEEN ", b" IN ", b"begins_with(", b"size("),
    *(b"SET ", b"REMOVE ", b"ADD ", b"DELETE ", b"if_not_exists(", b"list_append("),
    *(b"#n", b":v", b"#k", b":w", b"a", b"0", b"01", b"-1", b"999999999", b"+"),
    *(b"\0", b"\xff", b"\xed\xa0\x80", b"\xc3\xa9", b"\\", b'"', b"'", b"%00", b"%"),
    *(b"INSERT INTO ", b"UPDATE ", b"DELETE FROM ", b"SELECT ", b"--", b"/*"),
    *(
        b"\r\n",
        b"*1\r\n",
        b"*-1\r\n",
        b"$-1\r\n",
        b"$9\r\n",
        b"*99999999\r\n",
        b":1\r\n",
    ),
    *(b"\xc1\0", b"\xc1\1", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\x81"),
    *(b"\xc7\x08\xff", b"\xd6\xff", b"\xcb\x7f\xf8\0\0\0\0\0\0", b"\x91" * 60),
    *(b"redis://", b"memory:", b"disk:", b"@", b"?", b"#", b"//", b":", b"&", b"nan"),
    *(b"inf", b"1e999", b"9" * 400, b"off", b"TRUE", b"{", b"}", b"[" * 200, b"=60"),
]


# --- documents ---------------------------------------------------------------------


def edited_document(
    case: object,
    edits: Sequence[Edit],
    others: Sequence[object],
    leaves: Sequence[_Made],
) -> object:
    """Return a document after edits.

    others: documents to take parts from.
    leaves: make values to put in.
    """
    # In a list, so that the whole document has a place, too.
    root = [_copied(case)]
    for kind, place, pick in edits:
        places = _places(root)
        holder, name = places[place % len(places)]
        value = holder[name]
        match kind % 8:
            case 0 if holder is not root:
                del holder[name]
            case 1:
                parts = _places([others[pick % len(others)]])
                part_holder, part_name = parts[pick // 7 % len(parts)]
                holder[name] = _copied(part_holder[part_name])
            case 2 if type(holder) is dict:
                holder[_NAMES[pick % len(_NAMES)]] = holder.pop(name)
            case 3:
                holder[name] = [value]
            case 4:
                holder[name] = {_NAMES[pick % len(_NAMES)]: value}
            case 5 if type(holder) is list and holder is not root:
                holder.insert(0, _copied(value))
            case 6 if type(value) is str:
                text = value.encode("utf-8", "surrogatepass")
                texts = list(cases_of("expressions.txt"))
                holder[name] = edited_bytes(text, [(pick, place, pick)], texts).decode(
                    "latin-1"
                )
            case _:
                holder[name] = leaves[pick % len(leaves)]()
    return root[0]


def _copied(value: Any) -> Any:
    """Return a value with dicts and lists of its own; what nests deeply is shared."""
    try:
        if type(value) is dict:
            return {name: _copied(member) for name, member in value.items()}
        return [*map(_copied, value)] if type(value) is list else value
    except RecursionError:
        return value


def _places(root: list[object]) -> list[tuple[Any, Any]]:
    """Return each value of a document, as its container and its name there."""
    found: list[tuple[Any, Any]] = []
    waiting: list[Any] = [root]
    while waiting and len(found) < 1000:
        holder = waiting.pop()
        names = holder if type(holder) is dict else range(len(holder))
        for name in names:
            found.append((holder, name))
            if type(holder[name]) in (dict, list):
                waiting.append(holder[name])
    return found


_NAMES = [
    *("S", "N", "B", "SS", "NS", "BS", "M", "L", "BOOL", "NULL", "id", "", "#n", ":v"),
    *("TableName", "Key", "Keys", "Item", "RequestItems", "PutRequest", "Expected"),
    *("ConsistentRead", "IndexName", "ExpressionAttributeNames", "ResourceArn"),
    *("ExpressionAttributeValues", "ProjectionExpression", "AttributesToGet", "\ud800"),
]


def _nested(make: Callable[[object], object], depth: int) -> _Made:
    def nested() -> object:
        value: object = {"S": "x"}
        for _ in range(depth):
            value = make(value)
        return value

    return nested


def _same(value: object) -> _Made:
    return lambda: value


JSON_LEAVES: Sequence[_Made] = (
    *map(_same, (None, True, False, 0, -1, 1.5, 10**18, 1e308, "", "a", "é", "\ud800")),
    *map(_same, ("a" * 300, "9" * 50, "9" * 5000, "1e999999999", "-0", "NaN", "٣")),
    *map(
        _same, ("arn:aws:dynamodb:eu-west-1:1:table/t", "arn::table/", "YQ==", "YR==")
    ),
    *map(_same, ("TOTAL", "ALL_OLD", "begins_with(#n, :v)", "a[0].b", "#n = :v")),
    dict,
    list,
    lambda: {"S": 1},
    lambda: {"S": "x", "N": "1"},
    lambda: {"N": "1.0"},
    lambda: {"B": "YR=="},
    lambda: {"L": [{"M": {"a": {"NULL": True}}}]},
    lambda: [{"S": "x"}] * 130,
    lambda: {f"a{n}": {"S": "x"} for n in range(130)},
    _nested(lambda value: {"M": {"a": value}}, 40),
    _nested(lambda value: [value], 300),
)
"""What JSON can hold and a reader may not expect."""


class HostileError(Exception):
    """What a hostile object raises."""


class _Hostile:
    """Raises at whatever is asked of it."""

    def __getattribute__(self, name: str) -> object:
        if name in ("__class__", "__dict__"):
            raise HostileError
        return super().__getattribute__(name)

    def __eq__(self, other: object) -> bool:
        raise HostileError

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        raise HostileError

    __len__ = __iter__ = __str__ = __bool__ = __repr__


class _Text(str):
    __slots__ = ()


class _Dict(dict[str, object]):
    pass


def _cyclic() -> object:
    made: dict[str, object] = {}
    made["itself"] = [made]
    return made


OBJECT_LEAVES: Sequence[_Made] = (
    *JSON_LEAVES,
    *map(
        _same, (b"bytes", Decimal("1.0"), Decimal("NaN"), Decimal("1E+999"), 10**5000)
    ),
    *map(_same, (float("nan"), float("inf"), -0.0, 1j, ..., range(3), object, len)),
    *map(_same, (frozenset({"a"}), ("a", 1), _Text("a"), memoryview(b"abc"))),
    _Hostile,
    _Dict,
    lambda: bytearray(b"abc"),
    lambda: {"a", 1},
    lambda: {1: "a"},
    lambda: {b"S": "a"},
    lambda: iter([1]),
    lambda: {("a",): {None: 1}},
    _nested(lambda value: (value,), 3000),
    _nested(lambda value: {"M": {"a": value}}, 3000),
)
"""What a program may pass to a client."""
