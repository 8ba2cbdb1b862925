"""Codecs for an entry's body: decoding and encoding, side by side.

A codec must hold nothing but data, and tell bytes from str. JSON does not; it is
measured for comparison.
"""

import json
from collections.abc import Callable, Iterator
from functools import partial

import msgpack
import msgspec

from benchmarks.measure import Group, timed_group
from benchmarks.places import Places
from benchmarks.scale import Scale
from benchmarks.work import GET, QUERY_20

OURS = "msgspec, MessagePack"

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode


def measure(scale: Scale, _places: Places) -> Iterator[Group]:
    """Compare, for an item and for a page."""
    for work in (GET, QUERY_20):
        answer = json.loads(json.dumps(work.answer))  # no object occurs in it twice
        packed, text = _pack(answer), json.dumps(answer)
        decoders: dict[str, Callable[[], object]] = {
            OURS: partial(_unpack, packed),
            "msgpack": partial(msgpack.unpackb, packed),
            "json": partial(json.loads, text),
        }
        encoders: dict[str, Callable[[], object]] = {
            OURS: partial(_pack, answer),
            "msgpack": partial(msgpack.packb, answer),
            "json": partial(json.dumps, answer),
        }
        for what, coders in (("decode", decoders), ("encode", encoders)):
            title = f"Codec: {what} the answer to a {work.title}"
            yield timed_group(f"codec-{what}-{work.name}", title, OURS, coders, scale)
