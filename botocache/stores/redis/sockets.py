"""Sockets that keep a deadline and a limit, and that leave descriptors of others alone.

redis-py's time-outs bound each `recv`, so a reply that drips in takes as long as it
likes. Here each `recv` gets the time that is left until a deadline. And nothing is
received beyond the bytes that the replies to a request can have.

A program may close all descriptors and open its own, which get the old numbers. So each
socket remembers which file its number stood for. A number that stands for another file
is neither written to nor closed.
"""

import math
import os
import socket
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from redis.exceptions import ConnectionError as LostError
from redis.sentinel import MasterNotFoundError

from botocache._errors import StoreError, pass_on
from botocache.stores.redis.deadlines import CONNECT_TIMEOUT
from botocache.stores.redis.parser import BoundedParser
from botocache.stores.redis.types import Connection, Reply

REPLY_LIMIT = 4 * 1024**2
"""Bytes of the replies to a request, unless its sender sets another limit."""

_NOTIFICATIONS = ("maint_", "oss_", "orig_")
"""How settings begin of redis-py's notifications of maintenance, which need a parser of
redis-py's."""


class OversizedError(StoreError):
    """More arrives than the limit. The connection has to be closed."""


_File: TypeAlias = tuple[int, int]

if TYPE_CHECKING:

    class _Base:
        """What a kind of connection of redis-py inherits; see `guarded`."""

        socket_timeout: float | None
        _parser: BoundedParser

        def __init__(self, **settings: object) -> None: ...
        def connect(self) -> None: ...
        def _connect(self) -> socket.socket: ...
        def send_command(self, *words: Any, **settings: object) -> None: ...

else:
    _Base = object


class GuardedSocket:
    """A connected socket, plain or encrypted, that passes for one.

    until: moment of `time.monotonic` after which nothing is sent or received.
    limit: bytes that are received at most after each time that something is sent.
    """

    # Kept here: `__del__` may run when the interpreter has cleared its modules.
    _fstat = staticmethod(os.fstat)

    def __init__(self, connected: socket.socket, until: float = math.inf) -> None:
        self._socket = connected
        self._timeout = connected.gettimeout()
        self._fd = connected.fileno()
        self._file = self._file_now()
        self.until = until
        self.limit = self._left = REPLY_LIMIT

    def __getattr__(self, name: str) -> Any:
        if name == "_socket":  # `__init__` did not come that far
            raise AttributeError(name)
        return getattr(self._socket, name)

    def is_ours(self) -> bool:
        """Tell whether the number still stands for this socket. Takes 0.5 us."""
        return self._file is None or self._file_now() == self._file

    def settimeout(self, timeout: float | None) -> None:
        """Set the time-out of each step; the deadline may be earlier."""
        self._timeout = timeout
        self._socket.settimeout(timeout)

    def gettimeout(self) -> float | None:
        """Return the time-out of each step."""
        return self._timeout

    def recv(self, *args: Any) -> bytes:
        """See socket.recv. Raises TimeoutError at the deadline."""
        self._set_time_left()
        chunk = self._socket.recv(*args)
        self._count(len(chunk))
        return chunk

    def recv_into(self, *args: Any, **settings: Any) -> int:
        """See socket.recv_into. Raises TimeoutError at the deadline."""
        self._set_time_left()
        received = self._socket.recv_into(*args, **settings)
        self._count(received)
        return received

    def sendall(self, *args: Any) -> None:
        """See socket.sendall. Raises TimeoutError at the deadline."""
        self._set_time_left()
        self._left = self.limit
        self._socket.sendall(*args)

    def shutdown(self, how: int) -> None:
        """See socket.shutdown."""
        if self.is_ours():
            self._socket.shutdown(how)

    def close(self) -> None:
        """Close the socket, or forget its number if that is no longer ours."""
        if self.is_ours():
            self._socket.close()
        else:
            self._socket.detach()

    def __del__(self) -> None:
        # The socket itself would close the number, whatever it stands for.
        if "_socket" in self.__dict__:
            self.close()

    def _set_time_left(self) -> None:
        left, timeout = self.until - time.monotonic(), self._timeout
        if left <= 0.0 and timeout != 0.0:  # what does not wait is not late
            raise TimeoutError("the deadline has passed")
        is_first = left < math.inf if timeout is None else timeout and left < timeout
        self._socket.settimeout(left if is_first else timeout)

    def _count(self, received: int) -> None:
        self._left -= received
        if self._left < 0:
            raise OversizedError("the server sends more than it was asked for")

    def _file_now(self) -> _File | None:
        """Return what the number stands for now; None if it is closed.

        None as well where sockets are no descriptors.
        """
        try:
            found = self._fstat(self._fd)
        except OSError as error:
            if pass_on is not None:  # the interpreter has cleared its modules
                pass_on(error)  # a time limit may be a TimeoutError
            return None
        return found.st_dev, found.st_ino


class GuardedConnection(_Base):
    """A connection of redis-py on a GuardedSocket, with a BoundedParser.

    owed: replies that nothing waits for; see owed.py.
    """

    owed: tuple[Any, ...] = ()

    def __init__(self, **settings: object) -> None:
        ours = {
            name: value
            for name, value in settings.items()
            if not name.startswith(_NOTIFICATIONS)
        }
        super().__init__(**{**ours, "parser_class": BoundedParser})

    def connect(self) -> None:
        """Connect. The error of Sentinels without a primary shows no password."""
        try:
            super().connect()
        except MasterNotFoundError as error:
            # Behind the service's name it has the clients of the Sentinels, with all
            # their settings; redis-py 6 and 7.0 show passwords among them.
            text = str(error).partition(" : ")[0]
        else:
            return
        # Outside of the handler, so that the first error is no context of this one.
        raise MasterNotFoundError(text)

    def send_command(self, *words: Any, **settings: object) -> None:
        """Send a command. Its errors do not show the password, if it has one."""
        # Passwords are taken from here: a credential provider's is known nowhere else.
        if words[0] == "AUTH" or (words[0] == "HELLO" and "AUTH" in words):
            self._parser.hide(words[-1])
        super().send_command(*words, **settings)

    def read_replies(self, count: int) -> list[Reply]:
        """Return replies; those that are errors as exceptions, not raised."""
        # Not by redis-py's `read_response`, which takes as long again for each of them.
        read = self._parser.read_reply
        return [read() for _ in range(count)]

    def _connect(self) -> Any:
        # The handshake has as long as one of its steps, so that it cannot drip either.
        # Early versions of redis-py 5 drop the time-out of a Unix socket.
        patience = self.socket_timeout or CONNECT_TIMEOUT
        return GuardedSocket(super()._connect(), time.monotonic() + patience)


@lru_cache(32)
def guarded(kind: type) -> type:
    """Return the kind of connection that is one of `kind` on a GuardedSocket."""
    if issubclass(kind, GuardedConnection):
        return kind
    return type(f"Guarded{kind.__name__}", (GuardedConnection, kind), {})


def is_ours(connection: Connection) -> bool:
    """Tell whether a connection still has its own socket, or has none."""
    connected = connection._sock  # noqa: SLF001 - redis-py has no other name for it
    return not isinstance(connected, GuardedSocket) or connected.is_ours()


def require_ours(connection: Connection) -> None:
    """Raise LostError if a connection's number stands for another file now."""
    if not is_ours(connection):
        raise LostError("the application has closed the connection's descriptor")


def set_deadline(
    connection: Connection, until: float, limit: int = REPLY_LIMIT
) -> None:
    """Let whatever a connection sends and receives from now on end at a moment.

    limit: bytes of all replies to what is sent next.
    """
    connected = connection._sock  # noqa: SLF001 - redis-py has no other name for it
    if isinstance(connected, GuardedSocket):
        connected.until, connected.limit = until, limit
