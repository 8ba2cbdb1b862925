"""Which codec an entry's body is kept in: decoding and encoding, side by side.

Only codecs that can hold nothing but data are in question, and that keep bytes and
str apart; JSON does not and is here for scale.
"""

import json
from collections.abc import Callable, Iterator
from functools import partial

import msgpack
import msgspec

from benchmarks.measure import Group, time_rounds
from benchmarks.places import Places
from benchmarks.scale import Scale
from benchmarks.work import GET, QUERY_20

OURS = "msgspec, MessagePack"

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode


def measure(scale: Scale, _places: Places) -> Iterator[Group]:
    """Compare, for an item and for a page."""
    for work in (GET, QUERY_20):
        answer = json.loads(json.dumps(work.answer))  # shares no object with itself
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
            times = time_rounds(coders, rounds=scale.rounds, seconds=scale.seconds)
            title = f"Codec: {what} the answer to a {work.title}"
            yield Group(f"codec-{what}-{work.name}", title, OURS, times)
