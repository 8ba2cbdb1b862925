"""Listening on a connection of redis-py's: what a server says without being asked.

It is connected, encrypted and authenticated by redis-py, and read here, because its
parsers are made for answers: what comes in between is handled in another way by each
version, the one for RESP3 cannot read RESP2's null, which FLUSHALL sends, and a message
that is half there is an error to all.

One thread listens. Any other can ask whether there is something that was not heard yet:
it need not wait until the listening thread has its turn, only what is still on its way
is unknown to it.
"""

import contextlib
import select
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from redis.exceptions import ConnectionError as LostError

from botocache.stores.redis.connections import Connection

_AT_A_TIME = 1 << 16


class Refusal(str):
    """A reply that is an error: what the server says."""

    __slots__ = ()


class Listener:
    """A connection in RESP2 that is only listened to from now on."""

    def __init__(self, connection: Connection) -> None:
        self._socket = connection._sock  # noqa: SLF001 - redis-py has no name for it
        self._wait = _waiting_for(self._socket.fileno())
        self._heard = b""
        self._is_hearing = False

    def send(self, packed: bytes) -> None:
        """Send a command. The reply is heard like everything else."""
        self._socket.sendall(packed)

    def hear(self, timeout: float) -> Iterator[Any]:
        """Wait for what the server says; yield all of it that is there.

        Nothing after `timeout` seconds. What was yielded counts as heard when the next
        is asked for. Raises LostError and OSError.
        """
        if not self._wait(timeout):
            return
        self._is_hearing = True  # before it is taken out of the socket
        self._receive(timeout)
        with contextlib.suppress(_UnfinishedError):
            while self._heard:
                reply, end = _parsed(self._heard, 0)
                self._heard = self._heard[end:]
                yield reply
        self._is_hearing = bool(self._heard)

    def has_unheard(self) -> bool:
        """Tell whether the server has said something that was not heard yet.

        Whoever then looks at what was heard knows all that had arrived here. In this
        order: what is no longer in the socket is being heard, or was.
        """
        return bool(self._wait(0)) or self._is_hearing

    def _receive(self, timeout: float) -> None:
        self._socket.settimeout(timeout)
        with contextlib.suppress(TimeoutError):  # encrypted, and half there
            chunk = self._socket.recv(_AT_A_TIME)
            if not chunk:
                raise LostError("the server has closed the connection")
            self._heard += chunk


def _waiting_for(fd: int) -> Callable[[float], object]:
    """Return what waits for some seconds, and tells whether there is something to read.

    Any number of threads may call it. With epoll it takes half a microsecond.
    """
    if hasattr(select, "epoll"):
        epoll = select.epoll()
        epoll.register(fd, select.EPOLLIN)
        return partial(epoll.poll, maxevents=1)
    return partial(_poll, fd)


def _poll(fd: int, timeout: float) -> object:
    poll = select.poll()  # one for each call: no two threads may share it
    poll.register(fd, select.POLLIN)
    return poll.poll(timeout * 1000)


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
