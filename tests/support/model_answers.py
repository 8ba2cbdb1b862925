"""Bodies of answers, made from the shapes of botocore's model by chance."""

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

Noise = Callable[[Random], bool]
"""Returns whether the next value is to be one that no DynamoDB sends."""

_DEEPEST = 6

_STRINGS = (
    "",
    "a",
    "user#1",
    "é",
    "日本",
    "\U0001f600",
    "\x00",
    '"\\/',
    "1.50",
    "M",
    "S",
)
_WRONG: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 1e300, 10**25, "", "x", [], [None], {}, {"S": "a"},
    {"a": None}, [[{}]], "QQ", "\ud800", {"S": 1}, {"N": 1}, {"S": None},
)  # fmt: skip


def never(_rng: Random) -> bool:
    """Make no noise."""
    return False


def noise(share: float) -> Noise:
    """Make noise of a share of the values."""
    return lambda rng: rng.random() < share


def answer_of(  # noqa: PLR0911 - a case for each kind of shape
    shape: Any, rng: Random, is_noise: Noise, depth: int = 0
) -> Any:
    """Return what JSON may have for a shape of botocore's model.

    depth: of the value.
    """
    if is_noise(rng):
        return rng.choice(_WRONG)
    match shape.type_name:
        case "structure":
            return _structure_of(shape, rng, is_noise, depth)
        case "list":
            count = rng.choice((0, 1, 2, 5)) if depth < _DEEPEST else 0
            return [
                answer_of(shape.member, rng, is_noise, depth + 1) for _ in range(count)
            ]
        case "map":
            names = rng.sample(_STRINGS, rng.randrange(5)) if depth < _DEEPEST else []
            return {
                name: answer_of(shape.value, rng, is_noise, depth + 1) for name in names
            }
        case "string":
            return rng.choice(_STRINGS)
        case "blob":
            return rng.choice(("", "QQ==", "QUI=", "QUJD", "/+8="))
        case "boolean":
            return rng.random() < 0.5
        case "timestamp":
            return rng.choice((0, 1.5, 1700000000))
        case "double" | "float":
            return rng.choice((0.0, 0.5, 1e-7, 3))
        case _:
            return rng.choice((0, 1, 20, 2**40, -5))


def _structure_of(shape: Any, rng: Random, is_noise: Noise, depth: int) -> Any:
    names = list(shape.members)
    rng.shuffle(names)
    if shape.name == "AttributeValue":
        names = names[:1]
        if depth >= _DEEPEST:
            names = ["S"]
    elif rng.random() < 0.3:
        names = names[: rng.randrange(len(names) + 1)]
    made = {
        name: answer_of(shape.members[name], rng, is_noise, depth + 1) for name in names
    }
    if is_noise(rng):
        made[rng.choice(("Unknown", "S", "B", "L", "item", "__type"))] = rng.choice(
            _WRONG
        )
    return made


def body_of(answer: Any, rng: Random) -> bytes:
    """Return an answer in one of the ways in which servers write JSON."""
    text = json.dumps(
        answer,
        ensure_ascii=rng.random() < 0.5,
        indent=rng.choice((None, None, 1)),
        separators=rng.choice(((",", ":"), (", ", ": "))),
    )
    return text.encode(errors="surrogatepass")


def changed(body: bytes, rng: Random) -> Iterator[bytes]:
    """Yield bodies that differ from this one in a few bytes."""
    at = rng.randrange(len(body) + 1)
    end = at + rng.choice((0, 1, 1, 2, 7))
    put = rng.choice(
        (b"", b"0", b"}", b"]", b",", b'"', b"null", b"\xff", b"\\u0053", b"\\ud800",
         b" ", b"1e5", b"NaN", b"-", b"\x00", b"=", b"S", b'"S":"a",', b"[]", b"{}")
    )  # fmt: skip
    yield body[:at] + put + body[end:]
    yield body[:at] + body[at:end] * 2 + body[end:]
    yield body[:at]
