"""Messages that a server sends without being asked, read from a redis-py connection.

redis-py connects, encrypts and authenticates. The messages are read here, because what
waits for replies takes half a message for an error.

One thread reads. Any other thread can ask whether something is unread. So it does not
depend on the reading thread's turn: it misses only what is still on the network.
"""

import contextlib
import math
import select
import threading
from collections.abc import Callable, Iterator

from redis.exceptions import ConnectionError as LostError
from redis.exceptions import InvalidResponse

from botocache._forks import is_renewed
from botocache.stores.redis.replies import UNFINISHED, ReplyReader
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
        self._reader = ReplyReader(Refusal, protocol=2)
        self._is_reading = False

    def send(self, packed: bytes) -> None:
        """Send a command. Its reply is read as a message."""
        require_ours(self._connection)
        self._socket.sendall(packed)

    def read_messages(self, timeout: float) -> Iterator[Reply]:
        """Wait for messages; yield all that have arrived, or none after the timeout.

        timeout: seconds.

        A message counts as unread until the next one is requested. Raises LostError,
        StoreError and OSError.
        """
        if not self._wait(timeout):
            return
        require_ours(self._connection)
        self._is_reading = True  # before data leaves the socket: see has_unread
        self._receive(timeout)
        while (reply := self._next_reply()) is not UNFINISHED:
            yield reply
        self._is_reading = self._reader.has_data

    def has_unread(self) -> bool:
        """Tell whether a message has arrived that was not processed yet.

        If it returns False, every message that had arrived has been processed.
        """
        # The socket first: data leaves it before `_is_reading` is reset. In the other
        # order a message could arrive, and be on its way through, between the two.
        # In a child that was forked from C, the parent's thread takes the messages.
        return bool(self._wait(0)) or self._is_reading or not is_renewed()

    def _next_reply(self) -> Reply:
        try:
            return self._reader.next_reply()
        except InvalidResponse as error:
            raise LostError(f"a message cannot be read: {error}") from error

    def _receive(self, timeout: float) -> None:
        self._socket.settimeout(timeout)
        with contextlib.suppress(TimeoutError):  # of TLS, half a record is there
            chunk = self._socket.recv(_AT_A_TIME)
            if not chunk:
                raise LostError("the server has closed the connection")
            self._reader.feed(chunk)


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
