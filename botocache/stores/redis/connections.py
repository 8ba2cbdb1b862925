"""How commands get to a Redis or Valkey server, and replies back.

redis-py makes the connections: addresses, TLS, authentication, RESP and Sentinel are
its business. A command passes by its client, whose pool, retries and telemetry take as
long as the server does. Idle connections lie in a stack of our own.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable

from redis.exceptions import ConnectionError as LostError
from redis.exceptions import RedisError, ResponseError
from redis.sentinel import SentinelManagedConnection

from botocache._errors import StoreError, pass_on
from botocache._forks import renew_after_fork
from botocache.stores.clock import machine_clock
from botocache.stores.redis.sentinel import PrimaryLease
from botocache.stores.redis.types import Connection, Reply

_LATE = "connecting takes longer than a call may wait"


class ServerConnections:
    """Connections to one server, as many as are used at a time.

    make: returns a connection that is not connected yet.
    handshake: called with each new connection before its first command.
    patience: seconds that a call waits for a new connection. Connecting goes on behind
        the call, and a later call finds the connection.
    """

    def __init__(
        self,
        make: Callable[[], Connection],
        handshake: Callable[[Connection], object],
        patience: float,
    ) -> None:
        self._make = make
        self._handshake = handshake
        self._patience = patience
        self._idle: deque[Connection] = deque()
        self._lease: PrimaryLease | None = None  # unless Sentinels name the primary
        self._lease_of_sentinels = PrimaryLease(self.close)
        renew_after_fork(self, ServerConnections._reset)

    def __repr__(self) -> str:
        return f"<ServerConnections {len(self._idle)} idle connections>"

    def is_confirmed(self) -> bool:
        """Tell, without waiting, whether connections lead to the primary for sure."""
        lease = self._lease
        return lease is None or lease.lasts(0.0)

    def ask(
        self, packed: bytes, count: int, again: Callable[[], bytes] | None = None
    ) -> list[Reply]:
        """Send commands and return their replies, in one round trip.

        packed: the commands as they are on the wire.
        count: of the replies.
        again: returns what to send if it must be sent a second time; the server may
            have carried out the first already. By default the same is sent.

        A reply may be a ResponseError. Raises StoreError if there are none.
        """
        deadline = time.monotonic() + self._patience
        lease = self._lease
        if lease is not None and not lease.lasts(deadline):
            self.close()
        idle = self._idle
        connection = None
        try:
            if idle:
                try:
                    connection = idle.pop()
                    replies = exchange(connection, packed, count)
                    idle.append(connection)
                except (LostError, IndexError) as error:
                    pass_on(error)  # a socket's TimeoutError may be a time limit
                    # It was idle for too long, or the server restarted. The other
                    # idle ones are as old, so each would cost a failure of its own.
                    self.drop()
                    packed = again() if again else packed
                else:
                    return replies
            connection, replies = self._ask_anew(packed, count, deadline)
        except RedisError as error:
            pass_on(error)
            raise StoreError(f"{type(error).__name__}: {error}") from error
        except OSError as error:
            pass_on(error)
            raise StoreError(f"cannot be reached: {error}") from error
        idle.append(connection)
        return replies

    def try_out(self, packed: bytes, count: int) -> list[Reply]:
        """Do the same with a new connection, however long it takes to make."""
        # Taken before connecting: `close` replaces it, and then drops a connection that
        # was begun before.
        idle = self._idle
        try:
            connection = self._connect()
            replies = exchange(connection, packed, count)
        except (RedisError, OSError) as error:
            pass_on(error)
            raise StoreError(f"{type(error).__name__}: {error}") from error
        idle.append(connection)
        return replies

    def close(self) -> None:
        """Close what is idle."""
        self._idle, idle = deque(), self._idle
        _disconnect(idle)

    def drop(self) -> None:
        """Disconnect what is idle: it is broken, or leads to a server that is gone."""
        idle = self._idle
        with contextlib.suppress(IndexError):  # another thread took the last one
            while idle:
                idle.pop().disconnect()

    def _ask_anew(
        self, packed: bytes, count: int, deadline: float
    ) -> tuple[Connection, list[Reply]]:
        """Ask by a new connection. One deadline bounds connecting and the replies."""
        replies: list[Reply] = []

        def connect() -> Connection:
            connection = self._connect()
            if time.monotonic() < deadline:  # else the call has ended
                replies.extend(exchange(connection, packed, count))
            return connection

        attempt = self._begin(connect)
        connection = attempt.result(max(0.0, deadline - time.monotonic()))
        if not replies:
            self._idle.append(connection)
            raise StoreError(_LATE)
        return connection, replies

    def _begin(self, connect: Callable[[], Connection]) -> "Attempt":
        # In a thread, because nothing bounds how long a name is looked up.
        attempt = Attempt(connect, self._idle)
        try:
            threading.Thread(target=attempt.run, daemon=True).start()
        except RuntimeError as error:  # no thread can be started now
            pass_on(error)
            raise StoreError(f"cannot connect: {error}") from error
        return attempt

    def _connect(self) -> Connection:
        connection, asked_at = self._make(), machine_clock()
        try:
            connection.connect()
            self._handshake(connection)
            if isinstance(connection, SentinelManagedConnection):
                self._lease = self._lease_of_sentinels
                self._lease.confirm(connection, asked_at)
        except BaseException as error:
            connection.disconnect()
            _require_known(error)
            raise
        return connection

    def _reset(self) -> None:
        """Start as if nothing had been connected, as a child of a fork has to."""
        self._idle = deque()


class Attempt:
    """A connection that is being made. It becomes idle if its caller does not wait."""

    def __init__(
        self, connect: Callable[[], Connection], idle: deque[Connection]
    ) -> None:
        self._connect = connect
        self._idle = idle
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._is_left = False
        self._connection: Connection | None = None
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
        """Return the connection. Raises its error, or StoreError if it is late."""
        try:
            self._done.wait(patience)
        finally:  # also when the caller is interrupted
            with self._lock:
                self._is_left = self._connection is None
        if self._error is not None:
            raise self._error
        if self._connection is None:
            raise StoreError(_LATE)
        return self._connection


def exchange(connection: Connection, packed: bytes, count: int) -> list[Reply]:
    """Send commands on a connection and return their replies; errors among them.

    On any other failure, even an interruption, it is disconnected. Otherwise its next
    user would read the replies to these commands.
    """
    replies: list[Reply] = []
    try:
        connection.send_packed_command((packed,), check_health=False)
        while len(replies) < count:
            try:
                replies.append(connection.read_response(disable_decoding=True))
            except ResponseError as error:  # noqa: PERF203 - it is a reply
                replies.append(error)
    except BaseException as error:
        connection.disconnect()
        _require_known(error)
        raise
    return replies


def _require_known(error: BaseException) -> None:
    """Raise StoreError instead of an error that neither redis-py nor a socket defines.

    Parsers raise such errors on malformed replies, and so may a user's own credential
    provider. An interruption passes.
    """
    known = (RedisError, OSError, StoreError)
    pass_on(error)
    if isinstance(error, Exception) and not isinstance(error, known):
        raise StoreError(f"not understood: {type(error).__name__}") from error


def _disconnect(idle: deque[Connection]) -> None:
    with contextlib.suppress(IndexError):  # another thread may take the last one
        while idle:
            idle.pop().disconnect()
