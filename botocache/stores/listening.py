"""Listening on a connection of redis-py's: what a server says without being asked.

It is connected, encrypted and authenticated by redis-py, and read here, because its
parsers are made for answers: what comes in between is handled in another way by each
version, the one for RESP3 cannot read RESP2's null, which FLUSHALL sends, and a message
that is half there is an error to all.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from redis.exceptions import ConnectionError as LostError

from botocache.stores.redislink import Connection

_AT_A_TIME = 1 << 16


class Refusal(str):
    """A reply that is an error: what the server says."""

    __slots__ = ()


class Listener:
    """A connection in RESP2 that is only listened to from now on."""

    def __init__(self, connection: Connection) -> None:
        self._socket = connection._sock  # noqa: SLF001 - redis-py has no name for it
        self._heard = b""

    def send(self, packed: bytes) -> None:
        """Send a command. The reply is heard like everything else."""
        self._socket.sendall(packed)

    def hear(self, timeout: float) -> Iterator[Any]:
        """Wait for what the server says; yield all of it that is there.

        Nothing after `timeout` seconds. Raises LostError and OSError.
        """
        self._socket.settimeout(timeout)
        with contextlib.suppress(TimeoutError):
            chunk = self._socket.recv(_AT_A_TIME)
            if not chunk:
                raise LostError("the server has closed the connection")
            self._heard += chunk
        with contextlib.suppress(_UnfinishedError):
            while self._heard:
                reply, end = _parsed(self._heard, 0)
                self._heard = self._heard[end:]
                yield reply


class _UnfinishedError(Exception):
    """The rest is still to come."""


def _parsed(data: bytes, at: int) -> tuple[Any, int]:
    """Return the value that begins there, and where it ends."""
    end = data.find(b"\r\n", at)
    if end < 0:
        raise _UnfinishedError
    kind, text, at = data[at : at + 1], data[at + 1 : end], end + 2
    if kind == b"$":
        return _string(data, at, int(text))
    if kind == b"*":
        return _array(data, at, int(text))
    if kind == b"-":
        return Refusal(text.decode(errors="replace")), at
    if kind in (b"+", b":"):
        return text, at
    raise LostError("what the server says is no RESP2")


def _string(data: bytes, at: int, size: int) -> tuple[bytes | None, int]:
    if size < 0:
        return None, at
    end = at + size
    if len(data) < end + 2:
        raise _UnfinishedError
    return data[at:end], end + 2


def _array(data: bytes, at: int, count: int) -> tuple[list[Any] | None, int]:
    if count < 0:
        return None, at
    items = []
    for _ in range(count):
        item, at = _parsed(data, at)
        items.append(item)
    return items, at
