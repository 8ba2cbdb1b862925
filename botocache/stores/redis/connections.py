"""How commands get to a Redis or Valkey server, and replies back.

The connections are redis-py's: addresses, TLS, authentication, RESP and Sentinel are
its business. A command goes past its client's pool, retries and telemetry, which take
as long as the server does; a connection that is idle lies in a stack of our own.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from redis.exceptions import ConnectionError as LostError
from redis.exceptions import RedisError, ResponseError

from botocache._errors import StoreError
from botocache._forks import renew_after_fork
from botocache.stores.redis.scripts import bulk
from botocache.stores.redis.sentinel import Lease

Command: TypeAlias = Sequence[bytes]

Connection: TypeAlias = Any
"""One of redis-py's, of which there are several kinds."""

Exchange: TypeAlias = Callable[[Connection, bytes, int], list[Any]]
"""Sends commands on a connection and returns that many replies; see `exchange`."""

_LATE = "connecting takes longer than a call may wait"


def pack(command: Command) -> bytes:
    """Return a command as it is on the wire."""
    return b"".join((b"*%d\r\n" % len(command), *map(bulk, command)))


class Link:
    """Connections to one server, as many as are used at a time.

    make: returns a connection that is not connected yet. greet: is called with the
    link and each that is, before anybody uses it. patience: seconds that a call waits
    for a new one; connecting goes on behind it, and who comes later finds it.
    exchanging: `exchange`, or what does more. is_confirmed: tells whether it is known
    to lead to the primary, and waits for nobody.
    """

    def __init__(
        self,
        make: Callable[[], Connection],
        greet: Callable[[Any, Connection], object],
        patience: float,
        exchanging: Exchange | None = None,
    ) -> None:
        self._make = make
        self._greet = greet
        self._patience = patience
        self._exchange = exchanging or exchange
        self._idle: deque[Connection] = deque()
        self._lease = Lease(self.close)
        self.is_confirmed: Final = partial(self._lease.lasts, 0.0)
        renew_after_fork(self, Link._reset)

    def __repr__(self) -> str:
        return f"<Link {len(self._idle)} idle connections>"

    def ask(
        self, packed: bytes, count: int, again: Callable[[], bytes] | None = None
    ) -> list[Any]:
        """Send commands and return their `count` replies, in one round trip.

        again: returns what to send where it must be sent a second time and may have
        been carried out already; unless given, the same. A reply may be a
        ResponseError. Raises StoreError when there is none.
        """
        deadline = time.monotonic() + self._patience
        if not self._lease.lasts(deadline):
            self.close()
        idle = self._idle
        connection = None
        try:
            if idle:
                try:
                    connection = idle.pop()
                    replies = self._exchange(connection, packed, count)
                    idle.append(connection)
                except (LostError, IndexError):
                    # It was idle for too long, or the server restarted: so did all.
                    self.drop()
                    packed = again() if again else packed
                else:
                    return replies
            connection, replies = self._ask_anew(packed, count, deadline)
        except RedisError as error:
            raise StoreError(f"{type(error).__name__}: {error}") from error
        except OSError as error:
            raise StoreError(f"cannot be reached: {error}") from error
        idle.append(connection)
        return replies

    def try_out(self, packed: bytes, count: int) -> list[Any]:
        """Do the same with a new connection, however long it takes to make."""
        idle = self._idle  # whoever closes meanwhile wants none that was made before
        try:
            connection = self._connect()
            replies = self._exchange(connection, packed, count)
        except (RedisError, OSError) as error:
            raise StoreError(f"{type(error).__name__}: {error}") from error
        idle.append(connection)
        return replies

    def close(self) -> None:
        """Close what is idle."""
        self._idle, idle = deque(), self._idle
        _disconnect(idle)

    def drop(self) -> None:
        """Disconnect what is idle: it leads nowhere, or to a server of the past."""
        idle = self._idle
        with contextlib.suppress(IndexError):  # another thread took the last one
            while idle:
                idle.pop().disconnect()

    def _ask_anew(
        self, packed: bytes, count: int, deadline: float
    ) -> tuple[Connection, list[Any]]:
        """Ask by a new connection. Making it and the answer are waited for as one."""
        replies: list[Any] = []

        def connect() -> Connection:
            connection = self._connect()
            if time.monotonic() < deadline:  # else nobody waits any more
                replies.extend(self._exchange(connection, packed, count))
            return connection

        attempt = self._begin(connect)
        connection = attempt.result(max(0.0, deadline - time.monotonic()))
        if not replies:
            self._idle.append(connection)
            raise StoreError(_LATE)
        return connection, replies

    def _begin_to_connect(self) -> "Attempt":
        return self._begin(self._connect)

    def _begin(self, connect: Callable[[], Connection]) -> "Attempt":
        # In a thread, because nothing bounds how long a name is looked up.
        attempt = Attempt(connect, self._idle)
        try:
            threading.Thread(target=attempt.run, daemon=True).start()
        except RuntimeError as error:  # no thread can be started now
            raise StoreError(f"cannot connect: {error}") from error
        return attempt

    def _connect(self) -> Connection:
        connection, asked_at = self._make(), time.monotonic()
        try:
            connection.connect()
            self._greet(self, connection)
            self._lease.met(connection, asked_at)
        except BaseException as error:
            connection.disconnect()
            _require_known(error)
            raise
        return connection

    def _reset(self) -> None:
        """Start as if nothing had been connected, as a child of a fork has to."""
        self._idle = deque()


class Attempt:
    """A connection that is being made. Whoever comes too late for it leaves it idle."""

    def __init__(
        self, connect: Callable[[], Connection], idle: deque[Connection]
    ) -> None:
        self._connect = connect
        self._idle = idle
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._is_left = False
        self._connection: Connection = None
        self._error: Exception | None = None

    def run(self) -> None:
        """Make it. For a thread."""
        try:
            connection = self._connect()
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            self._error = error
        else:
            with self._lock:
                if self._is_left:
                    self._idle.append(connection)
                else:
                    self._connection = connection
        self._done.set()

    def result(self, patience: float) -> Connection:
        """Return it; raise what it failed with, or StoreError if it takes too long."""
        try:
            self._done.wait(patience)
        finally:  # also when the caller is interrupted
            with self._lock:
                self._is_left = self._connection is None
        if self._error is not None:
            raise self._error
        if self._is_left:
            raise StoreError(_LATE)
        return self._connection


def exchange(connection: Connection, packed: bytes, count: int) -> list[Any]:
    """Send commands on a connection and return their replies; errors among them.

    Whatever else is raised, even an interruption, it is disconnected: who used it next
    would get the replies of this one.
    """
    replies: list[Any] = []
    try:
        connection.send_packed_command((packed,), check_health=False)
        while len(replies) < count:
            try:
                replies.append(connection.read_response(disable_decoding=True))
            except ResponseError as error:  # noqa: PERF203 - it is one of the replies
                replies.append(error)
    except BaseException as error:
        connection.disconnect()
        _require_known(error)
        raise
    return replies


def _require_known(error: BaseException) -> None:
    """Raise StoreError for what parsers raise, beside their own, on what is no reply.

    And for what a user's own credential provider does. An interruption stays one.
    """
    known = (RedisError, OSError, StoreError)
    if isinstance(error, Exception) and not isinstance(error, known):
        raise StoreError(f"not understood: {type(error).__name__}") from error


def _disconnect(idle: deque[Connection]) -> None:
    with contextlib.suppress(IndexError):  # an exchange may still give one back
        while idle:
            idle.pop().disconnect()
