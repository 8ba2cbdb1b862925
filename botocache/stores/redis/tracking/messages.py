"""Messages that a server sends without being asked, read from a redis-py connection.

redis-py connects, encrypts and authenticates. The messages are read here, because its
parsers are made for replies: each of its versions handles in another way what comes in
between, the parser of RESP3 cannot read RESP2's null (FLUSHALL sends one), and all of
them take half a message for an error.

One thread reads. Any other thread can ask whether something is unread. So it does not
depend on the reading thread's turn: it misses only what is still on the network.
"""

import contextlib
import math
import select
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

from redis.exceptions import ConnectionError as LostError

from botocache.stores.redis.sockets import require_ours, set_deadline
from botocache.stores.redis.types import Connection, Reply

_AT_A_TIME = 1 << 16

_LONGEST = 1 << 20
"""Bytes of a message."""

_LONGEST_LINE = 1 << 12
"""Bytes of a line: of a size, of a number, or of an error."""

_NOT_RESP2 = "a message is not RESP2"

_DEEPEST = 8
"""Arrays in arrays. A message about keys has two."""


class Refusal(str):
    """A reply that is an error: its text."""

    __slots__ = ()


class Listener:
    """A connection in RESP2 from which only messages are read from now on."""

    def __init__(self, connection: Connection) -> None:
        set_deadline(connection, math.inf)  # that of its handshake is over
        self._connection = connection
        self._socket = connection._sock  # noqa: SLF001 - redis-py has no other name for it
        self._wait = _waiting_for(self._socket.fileno())
        self._parser = MessageParser()
        self._is_reading = False

    def send(self, packed: bytes) -> None:
        """Send a command. Its reply is read as a message."""
        require_ours(self._connection)
        self._socket.sendall(packed)

    def read_messages(self, timeout: float) -> Iterator[Reply]:
        """Wait for messages; yield all that have arrived, or none after the timeout.

        timeout: seconds.

        A message counts as unread until the next one is requested. Raises LostError and
        OSError.
        """
        if not self._wait(timeout):
            return
        require_ours(self._connection)
        self._is_reading = True  # before data leaves the socket: see has_unread
        yield from self._parser.feed(self._receive(timeout))
        self._is_reading = self._parser.is_within

    def has_unread(self) -> bool:
        """Tell whether a message has arrived that was not processed yet.

        If it returns False, every message that had arrived has been processed.
        """
        # The socket first: data leaves it before `_is_reading` is reset. In the other
        # order a message could arrive, and be on its way through, between the two.
        return bool(self._wait(0)) or self._is_reading

    def _receive(self, timeout: float) -> bytes:
        self._socket.settimeout(timeout)
        with contextlib.suppress(TimeoutError):  # of TLS, half a record is there
            piece = self._socket.recv(_AT_A_TIME)
            if not piece:
                raise LostError("the server has closed the connection")
            return bytes(piece)
        return b""


class _Poll(threading.local):
    """A poll object for each thread, because two must not share one.

    Not epoll, which takes a descriptor of its own. If the application closes that, and
    opens a file that gets its number, the end of the epoll object closes the file.
    """

    def __init__(self, fd: int) -> None:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        self.poll = poll.poll


def _waiting_for(fd: int) -> Callable[[float], object]:
    """Return a function that waits, in seconds, and tells whether there is data.

    Any number of threads may call it. It takes half a microsecond.
    """
    local = _Poll(fd)
    return lambda timeout: local.poll(timeout * 1000)


class _UnfinishedError(Exception):
    """The rest of a message has not arrived yet."""


class MessageParser:
    """Reads messages in RESP2 from pieces of any size, each byte once.

    A server that sends garbage, or a message that never ends, costs a connection. So
    both the length of a message and its depth are bounded.
    """

    def __init__(self) -> None:
        self._data = bytearray()
        self._at = 0  # of what is not read yet
        # Arrays that are still open, the outermost first, each with its size.
        self._arrays: list[tuple[int, list[Reply]]] = []
        self._size = 0  # of the message so far

    @property
    def is_within(self) -> bool:
        """Whether a part of a message has arrived."""
        return bool(self._data or self._arrays)

    def feed(self, piece: bytes) -> Iterator[Reply]:
        """Take a piece; yield each message that is whole now. Raises LostError."""
        self._data += piece
        try:
            while len(self._data) > self._at:
                value = self._value()
                if self._is_whole(value):
                    yield self._message
                    self._size = 0
        except _UnfinishedError:
            if self._size + len(self._data) - self._at > _LONGEST:
                raise LostError("a message is too long") from None
        except ValueError as error:  # of int()
            raise LostError(_NOT_RESP2) from error
        finally:
            del self._data[: self._at]
            self._at = 0

    def _is_whole(self, value: "Reply | _Array") -> bool:
        """Add a value to its array; return whether it ends a message."""
        if isinstance(value, _Array):
            if value.size > 0:
                if len(self._arrays) >= _DEEPEST:
                    raise LostError(_NOT_RESP2)
                self._arrays.append((value.size, []))
                return False
            value = [] if value.size == 0 else None
        while self._arrays:
            size, items = self._arrays[-1]
            items.append(value)
            if len(items) < size:
                return False
            self._arrays.pop()
            value = items
        self._message: Reply = value
        return True

    def _value(self) -> "Reply | _Array":
        """Read a value, or the beginning of an array."""
        data, at = self._data, self._at
        end = data.find(b"\r\n", at, at + _LONGEST_LINE)
        if end < 0:
            if len(data) - at >= _LONGEST_LINE:
                raise LostError(_NOT_RESP2)
            raise _UnfinishedError
        line, after = bytes(data[at:end]), end + 2
        kind, text = line[:1], line[1:]
        value: Reply | _Array
        if kind == b"$":
            value, after = self._string(after, int(text))
        elif kind == b"*":
            value = _Array(int(text))
        elif kind == b"-":
            value = Refusal(text.decode(errors="replace"))
        elif kind in (b"+", b":"):
            value = text
        else:
            raise LostError(_NOT_RESP2)
        self._size += after - at
        if self._size > _LONGEST:
            raise LostError("a message is too long")
        self._at = after
        return value

    def _string(self, at: int, size: int) -> tuple[bytes | None, int]:
        """Return the text of a size that begins at an index, and the index after it."""
        if size < 0:
            return None, at
        end = at + size
        if len(self._data) < end + 2:
            raise _UnfinishedError
        return bytes(self._data[at:end]), end + 2


class _Array(NamedTuple):
    """The beginning of an array. size: of its elements; negative for none."""

    size: int
