"""What the store on Redis keeps there, and the scripts that change it.

    botocache:<namespace>:1:e:<32 hex digits>          an entry
    botocache:<namespace>:1:g:{<2 digits>}<30 digits>  a tag's generation and hold-off
    botocache:<namespace>:1:h:{<2 digits>}             hold-offs of the tags with them
    botocache:<namespace>:1:runs                       runs of primaries that are known
    botocache:<namespace>:1:runs:{<2 digits>}          the same in a cluster
    botocache:<namespace>:1:board                      posts of processes, see board.py
    botocache:<namespace>:1:l:{<an entry's name>}      a lease of it, see leases.py

Nothing else in the database is touched. A generation and its hold-off are one value of
16 bytes, little endian: the generation, and a word that is twice the microsecond until
which the tag is held, plus one if the tag is settling. So no reader sees one without
the other.

A server may lose any key: it is full and evicts, or a key expires. A lost generation
does no harm, but its hold-off is lost with it. So hold-offs are kept a second time, in
one sorted set for each shard of the tags. There are 256 shards, by the first byte; the
keys of a shard share a slot of a cluster. A tag without a generation is looked up in
the set. If the set itself is lost, all tags of the shard settle for `settle` seconds:
what was lost may have been the hold-off of a write that just ended.

The scripts stand in the `*.lua` files beside this one. They carry out what
_coherence.py states, and a test compares the two. Each write of a script to a key is a
whole step, so a script that is stopped between two of them leaves nothing wrong.
"""

from hashlib import sha1
from pkgutil import get_data
from struct import Struct
from typing import NamedTuple

VERSION = 1
"""Of all that is kept. Another version has keys of its own."""

US = 1_000_000
"""Microseconds in a second."""

GENERATION = 8
"""Bytes of a generation."""

STATE = Struct("<QQ")
"""A tag's value: its generation and the word of its hold-off."""


class Script(NamedTuple):
    """A Lua script.

    source: its text.
    sha: the digest by which a server knows it.
    """

    source: bytes
    sha: bytes


def _script(name: str, *, with_common: bool = True) -> Script:
    files = ("common.lua", name) if with_common else (name,)
    code = b"\n".join([get_data(__name__, file) or b"" for file in files])
    return Script(code, sha1(code, usedforsecurity=False).hexdigest().encode())


LOOK = _script("look.lua")
EVICT = _script("evict.lua")
PROLONG = _script("prolong.lua")
ARRIVE = _script("arrive.lua")
BOARD = _script("board.lua", with_common=False)
RETURN = _script("return.lua", with_common=False)
