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

from redis.exceptions import ConnectionError as LostError

from botocache.stores.redis.sockets import require_ours, set_deadline
from botocache.stores.redis.types import Connection, Reply

_AT_A_TIME = 1 << 16


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
        self._unparsed = b""
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
        self._receive(timeout)
        with contextlib.suppress(_UnfinishedError):
            while self._unparsed:
                reply, end = _parsed(self._unparsed, 0)
                self._unparsed = self._unparsed[end:]
                yield reply
        self._is_reading = bool(self._unparsed)

    def has_unread(self) -> bool:
        """Tell whether a message has arrived that was not processed yet.

        If it returns False, every message that had arrived has been processed.
        """
        # The socket first: data leaves it before `_is_reading` is reset. In the other
        # order a message could arrive, and be on its way through, between the two.
        return bool(self._wait(0)) or self._is_reading

    def _receive(self, timeout: float) -> None:
        self._socket.settimeout(timeout)
        with contextlib.suppress(TimeoutError):  # of TLS, half a record is there
            chunk = self._socket.recv(_AT_A_TIME)
            if not chunk:
                raise LostError("the server has closed the connection")
            self._unparsed += chunk


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


def _parsed(data: bytes, at: int) -> tuple[Reply, int]:
    """Return the value that begins at an index, and the index after it."""
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
    raise LostError("a message is not RESP2")


def _string(data: bytes, at: int, size: int) -> tuple[bytes | None, int]:
    if size < 0:
        return None, at
    end = at + size
    if len(data) < end + 2:
        raise _UnfinishedError
    return data[at:end], end + 2


def _array(data: bytes, at: int, count: int) -> tuple[list[Reply] | None, int]:
    if count < 0:
        return None, at
    items = []
    for _ in range(count):
        item, at = _parsed(data, at)
        items.append(item)
    return items, at
