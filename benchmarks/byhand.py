"""Caching by hand, and the least that a fresh object can cost.

None of these evicts anything, or keeps principals apart.
"""

import copy
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import cachetools
import msgspec

from benchmarks import names
from benchmarks.places import TTL
from benchmarks.work import Work

TAGS_OF_GET = 3
"""A GetItem depends on its item, its table and everything."""


def by_hand(bare: Any, work: Work) -> dict[str, Callable[[], object]]:
    """Return calls that cache by hand, and one that only decodes.

    bare: a client of redis-py, connected to the server.
    """
    key = f"by-hand:{work.name}"
    bare.set(key, json.dumps(work.answer))
    packed = msgspec.msgpack.encode(work.answer)
    cache: Any = cachetools.TTLCache(maxsize=100_000, ttl=TTL)
    cache[key] = work.answer
    entries, decode = {key: packed}, msgspec.msgpack.Decoder(dict[str, Any]).decode
    return {
        names.BY_HAND_REDIS: lambda: json.loads(bare.get(key)),
        names.BY_HAND_TTL: lambda: copy.deepcopy(cache[key]),
        names.LIMIT: lambda: decode(entries[key]),
        names.MGET: partial(bare.mget, _keys_for_mget(bare, work, packed)),
    }


def _keys_for_mget(bare: Any, work: Work, packed: bytes) -> list[str]:
    """Set the keys that a load of the Redis store reads: an entry, its tags' states."""
    keys = [f"mget:{work.name}:{number}" for number in range(1 + TAGS_OF_GET)]
    values = (packed, *(b"0123456789abcdef" for _ in range(TAGS_OF_GET)))
    bare.mset(dict(zip(keys, values, strict=True)))
    return keys
