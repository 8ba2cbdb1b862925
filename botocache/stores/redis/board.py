"""Small records that the processes of a server leave each other. See Board.

All records of a namespace are fields of one hash: the end of a record's life by the
server's clock, and its bytes. So a script can merge some at once, in a cluster, too.
The hash has a time to live, which each post renews.

Others can write to the server. So the number and the sizes of the fields are asked for
before the fields, and what is too large is not read.
"""

import struct
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from hashlib import sha1

from botocache._errors import StoreError
from botocache.stores.boards import (
    LARGEST_RECORD,
    LONGEST_LIFE,
    MOST_BYTES,
    MOST_RECORDS,
    check_merge,
    check_record,
    end_of_life,
    full_board,
    is_name,
    lives,
)
from botocache.stores.protocol import Clock
from botocache.stores.redis.commands import milliseconds
from botocache.stores.redis.scripts import BOARD
from botocache.stores.redis.types import Command, Reply

PATIENCE = 1.0
"""Seconds for each round trip. No call waits for it."""

_END = struct.Struct("<d")
_LARGEST_FIELD = _END.size + LARGEST_RECORD

_AT_ONCE = 2 * 1024**2
"""Bytes of records that are read in one round trip."""

_MOST_NAMES = 2 * MOST_RECORDS
"""Fields of a board that is read; see board.lua."""

_LONGEST_NAME = 100

_HEAD = 64
"""Bytes around a value in a reply."""

_SMALL = 4096
"""Bytes of a reply that is a number or an error."""

_Ask = Callable[[Sequence[Command], int], list[Reply]]
"""Returns the replies to commands. The number: bytes of all replies at most."""


class RedisBoard:
    """The records of one namespace.

    ask: sends commands. Raises StoreError.
    key: of the hash.
    now: the server's clock, in seconds.
    """

    def __init__(self, ask: _Ask, key: bytes, now: Clock) -> None:
        self._ask = ask
        self._key = key
        self._now = now

    def post(self, name: str, record: bytes, ttl: float) -> None:
        """See Board.post."""
        check_record(name, record)
        self._change(b"post", {}, name, record, ttl)

    def names(self) -> Collection[str]:
        """See Board.names."""
        # First, because HKEYS of a hash of millions would block the server.
        (count,) = self._ask([(b"HLEN", self._key)], _SMALL)
        if not 0 <= int(count) <= _MOST_NAMES:
            raise StoreError(f"the board has {count} records, which are too many")
        if not count:
            return []
        limit = (_MOST_NAMES + MOST_RECORDS) * (_LONGEST_NAME + _HEAD)
        (fields,) = self._ask([(b"HKEYS", self._key)], limit)
        # Another program may have put any bytes there; they make no name of ours.
        names = [bytes(field).decode("ascii", "replace") for field in fields]
        return sorted(filter(is_name, names))

    def posted(self, names: Collection[str] | None = None) -> dict[str, bytes]:
        """See Board.posted."""
        there = self.names()
        now = self._now()
        found = {}
        for name, field in self._read(
            [n for n in there if names is None or n in names]
        ):
            is_whole = len(field) >= _END.size
            if is_whole and lives(_END.unpack_from(field)[0], now):
                found[name] = field[_END.size :]
            else:
                # By its content: another process may have replaced it since.
                self._change(b"drop", {name: field}, "", b"", 0.0)
        return found

    def merge(
        self, parts: Mapping[str, bytes], name: str, record: bytes, ttl: float
    ) -> bool:
        """See Board.merge."""
        check_merge(parts, name, record)
        return all(map(is_name, parts)) and self._change(
            b"merge", parts, name, record, ttl
        )

    def _read(self, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the fields of some names that are there and not too large."""
        # Before the values: a field of 500 MB must never be sent.
        sizes = self._ask(
            [(b"HSTRLEN", self._key, name.encode()) for name in names],
            _SMALL * (len(names) + 1),
        )
        if sum(sizes) > MOST_BYTES:
            raise StoreError("the records of the board are too large together")
        some: list[str] = []
        waiting = 0
        for name, size in zip(names, sizes, strict=True):
            if size > _LARGEST_FIELD:
                self._ask([(b"HDEL", self._key, name.encode())], _SMALL)
                continue
            some.append(name)
            waiting += size
            if waiting > _AT_ONCE:
                yield from self._read_at_once(some)
                some, waiting = [], 0
        yield from self._read_at_once(some)

    def _read_at_once(self, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        if not names:
            return
        # A record may have grown since, or have been merged.
        limit = 2 * (_AT_ONCE + _LARGEST_FIELD) + _HEAD * len(names)
        command = (b"HMGET", self._key, *[name.encode() for name in names])
        (fields,) = self._ask([command], limit)
        for name, field in zip(names, fields, strict=True):
            if field is not None:
                yield name, bytes(field)

    def _change(
        self,
        mode: bytes,
        parts: Mapping[str, bytes],
        name: str,
        record: bytes,
        ttl: float,
    ) -> bool:
        """Call the script. parts: records; whole fields if they are to be dropped."""
        now = self._now()
        head = 0 if mode == b"drop" else _END.size
        arguments: list[bytes] = []
        for part, content in parts.items():
            # The script compares digests: redis.sha1hex is all that Lua has there.
            digest = sha1(content, usedforsecurity=False).hexdigest()
            size = b"%d" % (len(content) + head)
            arguments += (part.encode(), size, digest.encode())
        command = (
            *(b"EVALSHA", BOARD.sha, b"1", self._key),
            *(repr(now).encode(), b"%d" % LONGEST_LIFE, b"%d" % MOST_RECORDS),
            *(milliseconds(LONGEST_LIFE), mode, name.encode()),
            *(_END.pack(end_of_life(now, ttl)) + record, *arguments),
        )
        (reply,) = self._ask([command], _SMALL)
        if reply == -1:
            raise full_board()
        return bool(reply == 1)
