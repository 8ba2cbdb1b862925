"""What encryption costs: hits and misses with and without, small items and large ones.

A near hit decodes what was decrypted before. A hit of the store, and a miss that fills,
do all of it. The answer is one item, of words of a service, which do not compress well.
"""

import base64
import os
import random
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

from benchmarks import names
from benchmarks.clients import Transport, client, getting, getting_new
from benchmarks.hits import always_hit
from benchmarks.measure import Contender, Group, timed_group
from benchmarks.places import Places
from benchmarks.scale import Scale
from benchmarks.work import SMALL
from botocache._near import answers

SIZES = {"1 KB": 900, "100 KB": 99_000}
"""Bytes of the text in an item."""

CLEAR, ENCRYPTED = "in clear", "encrypted"

KEYS = {CLEAR: None, ENCRYPTED: base64.b64encode(os.urandom(32)).decode()}


def answer_of(size: int) -> dict[str, Any]:
    """Return an answer with one item of about that size, in values of 90 bytes."""
    chance = random.Random(size)
    texts = {
        f"text{number}": {"S": base64.b64encode(chance.randbytes(67)).decode()}
        for number in range(size // 100)
    }
    return {"Item": {**SMALL, **texts}}


def measure(scale: Scale, places: Places) -> Iterator[Group]:
    """Compare each kind of read with and without encryption, on each store."""
    for store in (names.MEMORY, names.DISK):
        for size, count in SIZES.items():
            answer = answer_of(count)
            for kind, make in KINDS.items():
                contenders = {
                    name: make(answer, {**places.stores()[store], **_keys(name)})
                    for name in KEYS
                }
                yield timed_group(
                    f"encryption-{kind.replace(' ', '-')}-{size[:-3]}-{store}",
                    f"Encryption: {kind}, {size}, {store}",
                    CLEAR,
                    contenders,
                    scale,
                )


def _keys(name: str) -> dict[str, Any]:
    key = KEYS[name]
    return {} if key is None else {"encryption_keys": key}


def near_hit(answer: dict[str, Any], settings: dict[str, Any]) -> Contender:
    """Return a hit that is remembered."""
    transport = Transport(answer)
    return always_hit(getting(client(transport, **settings)), transport)


def store_hit(answer: dict[str, Any], settings: dict[str, Any]) -> Contender:
    """Return a hit that is looked up each time."""
    transport = Transport(answer)
    with patch.object(answers, "SIZE_LIMIT", 0):
        made = client(transport, **settings)
    return always_hit(getting(made), transport)


def miss(answer: dict[str, Any], settings: dict[str, Any]) -> Callable[[], object]:
    """Return a read of another item each time, which is filled."""
    return getting_new(client(Transport(answer), **settings))


KINDS: dict[str, Callable[[dict[str, Any], dict[str, Any]], Any]] = {
    "near hit": near_hit,
    "store hit": store_hit,
    "miss": miss,
}
