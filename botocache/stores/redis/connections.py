"""How commands get to a Redis or Valkey server, and replies back.

redis-py makes the connections: addresses, TLS, authentication, RESP and Sentinel are
its business. A command passes by its client, whose pool, retries and telemetry take as
long as the server does. Idle connections lie in a stack of our own.
"""

import contextlib
import encodings.idna  # noqa: F401 - connecting needs it: see `_begin`
import threading
import time
from collections import deque
from collections.abc import Callable

from redis.exceptions import ConnectionError as LostError
from redis.exceptions import RedisError
from redis.sentinel import SentinelManagedConnection

from botocache._errors import StoreConnectingError, StoreError, pass_on
from botocache._forks import renew_after_fork
from botocache.stores.clock import machine_clock
from botocache.stores.redis.deadlines import (
    CONNECTING,
    call_deadline,
    extended_deadline,
    is_apart,
)
from botocache.stores.redis.owed import (
    MOST_OWED,
    OWED_LIMIT,
    Owed,
    discard,
    read_owed,
)
from botocache.stores.redis.sentinel import PrimaryLease
from botocache.stores.redis.sockets import REPLY_LIMIT, require_ours, set_deadline
from botocache.stores.redis.types import Connection, Reply

_LATE = "connecting takes longer than a call may wait"

MOST_LEFT = 4
"""Attempts to connect that may go on behind calls. With more, a call does not begin
another: a server that accepts nothing would gather threads."""


class ServerConnections:
    """Connections to one server, as many as are used at a time.

    make: returns a connection that is not connected yet.
    handshake: called with each new connection before its first command.
    patience: seconds that a request waits, unless its call has a deadline. Connecting
        goes on behind the call, and a later call finds the connection.
    failed: called with the error of a connection that failed behind a call.

    A read that finds no connection in time raises StoreConnectingError. An eviction
    waits longer for the first connection, and for the first after one that worked:
    others would be served what the write changes. So a process that begins with a
    write evicts, and a server that is down delays one write.
    """

    def __init__(
        self,
        make: Callable[[], Connection],
        handshake: Callable[[Connection], object],
        patience: float,
        failed: Callable[[Exception], object] = repr,
    ) -> None:
        self._make = make
        self._handshake = handshake
        self._patience = patience
        self._failed = failed
        self._idle: deque[Connection] = deque()
        self._left: list[Attempt] = []
        # Moment at which evictions stop waiting; None if none has waited since a
        # connection worked.
        self._eviction_deadline: float | None = None
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
        self,
        packed: bytes,
        count: int,
        again: Callable[[], bytes] | None = None,
        *,
        is_eviction: bool = False,
        limit: int = REPLY_LIMIT,
    ) -> list[Reply]:
        """Send commands and return their replies, in one round trip.

        packed: the commands as they are on the wire.
        count: of the replies.
        again: returns what to send if it must be sent a second time; the server may
            have carried out the first already. By default the same is sent.
        is_eviction: it may wait longer for a connection.
        limit: bytes of all replies.

        A reply may be a ResponseError. Raises StoreError if there are none; it is an
        OversizedError if more arrives than the limit.
        """
        deadline = call_deadline(self._patience)
        lease = self._lease
        if lease is not None and not lease.lasts(deadline):
            self.close()
        idle = self._idle
        connection = None
        try:
            if idle:
                try:
                    connection = idle.pop()
                    replies = exchange(connection, packed, count, deadline, limit)
                    idle.append(connection)
                except (LostError, IndexError) as error:
                    pass_on(error)  # a socket's TimeoutError may be a time limit
                    # It was idle for too long, or the server restarted. The other
                    # idle ones are as old, so each would cost a failure of its own.
                    self.drop()
                    packed = again() if again else packed
                else:
                    return replies
            if is_eviction:
                connection, deadline = self._connect_for_eviction(deadline)
            else:
                connection = self._connect_for_read(deadline)
            replies = exchange(connection, packed, count, deadline, limit)
        except (RedisError, OSError) as error:
            pass_on(error)
            raise _as_store_error(error) from error
        idle.append(connection)
        return replies

    def send(
        self,
        packed: bytes,
        count: int,
        settle: Callable[[list[Reply] | BaseException], object],
        again: Callable[[], bytes] | None = None,
    ) -> None:
        """Send commands, and do not wait for their replies if a connection is idle.

        settle: see Owed.

        For the other arguments, see `ask`. Raises StoreError; then `settle` is not
        called.
        """
        deadline = call_deadline(self._patience)
        lease = self._lease
        idle = self._idle
        connection = None
        if lease is None or lease.lasts(deadline):
            with contextlib.suppress(IndexError):
                connection = idle.pop()
        if connection is not None and len(connection.owed) >= MOST_OWED:
            idle.append(connection)
            connection = None
        if connection is not None:
            try:
                require_ours(connection)
                set_deadline(connection, deadline)
                connection.send_packed_command((packed,), check_health=False)
                connection.owed = (*connection.owed, Owed(count, settle))
            except LostError as error:  # as in `ask`
                discard(connection, pass_on(error))
                self.drop()
                packed = again() if again else packed
            except BaseException as error:
                discard(connection, error)
                _require_known(error)
                raise _as_store_error(error) from error
            else:
                idle.append(connection)
                if idle is not self._idle:  # closed meanwhile
                    _disconnect(idle)
                return
        settle(self.ask(packed, count, again))

    def is_idle(self) -> bool:
        """Return whether `send` finds a connection, unless another thread takes it."""
        return bool(self._idle)

    def settle(self, deadline: float) -> None:
        """Read what idle connections owe. deadline: moment of `time.monotonic`."""
        idle = self._idle
        for _ in range(len(idle)):
            try:
                connection = idle.popleft()
            except IndexError:  # another thread took the last one
                return
            if connection.owed:
                try:
                    require_ours(connection)
                    set_deadline(connection, deadline)
                    read_owed(connection)
                except BaseException as error:
                    discard(connection, error)
                    if not isinstance(pass_on(error), Exception):
                        raise
                    continue
            idle.append(connection)

    def try_out(self, packed: bytes, count: int) -> list[Reply]:
        """Do the same with a new connection, however long it takes to make."""
        # Taken before connecting: `close` replaces it, and then drops a connection that
        # was begun before.
        idle = self._idle
        try:
            connection = self._connect()
            deadline = time.monotonic() + self._patience
            replies = exchange(connection, packed, count, deadline)
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
        _disconnect(idle)

    def _connect_for_read(self, deadline: float) -> Connection:
        """Return a new connection. Raises StoreConnectingError if it is late."""
        self._left = [attempt for attempt in self._left if not attempt.is_over]
        if len(self._left) >= MOST_LEFT:
            raise StoreConnectingError(_LATE)
        try:
            attempt = self._begin()
        except RuntimeError as error:  # no thread can be started now
            pass_on(error)
            if is_apart():
                # The last post, perhaps: see `_connect_for_eviction`.
                return self._connect()
            raise StoreError(f"cannot connect: {error}") from error
        connection = self._wait_for(attempt, deadline)
        if connection is None:
            raise StoreConnectingError(_LATE)
        if deadline - time.monotonic() < self._patience / 2:
            # A reply that came too late would cost the connection, again and again.
            self._idle.append(connection)
            raise StoreConnectingError(_LATE)
        return connection

    def _connect_for_eviction(self, deadline: float) -> tuple[Connection, float]:
        """Return a new connection, and the deadline for the replies."""
        # Read once: another thread sets it to None when its connection works.
        until = self._eviction_deadline
        if until is None:
            until = self._eviction_deadline = time.monotonic() + CONNECTING
        try:
            attempt = self._begin()
        except RuntimeError as error:
            pass_on(error)
            # No thread can be started while the interpreter ends (Python 3.12). What
            # this process owes must be evicted all the same.
            return self._connect(), extended_deadline(self._patience)
        connection = self._wait_for(attempt, max(deadline, until))
        if connection is None:
            raise StoreError(_LATE)
        if time.monotonic() >= deadline:
            deadline = extended_deadline(self._patience)
        return connection, deadline

    def _wait_for(self, attempt: "Attempt", deadline: float) -> Connection | None:
        connection = attempt.result(max(0.0, deadline - time.monotonic()))
        if connection is None:
            self._left.append(attempt)
        return connection

    def _begin(self) -> "Attempt":
        # In a thread, because nothing bounds how long a name is looked up. It must
        # import nothing: a child forked meanwhile could never import that module.
        attempt = Attempt(self._connect, self._idle, self._failed)
        threading.Thread(target=attempt.run, daemon=True).start()
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
        self._eviction_deadline = None
        return connection

    def _reset(self) -> None:
        """Start as if nothing had been connected, as a child of a fork has to."""
        self._idle = deque()
        self._left = []
        self._eviction_deadline = None


class Attempt:
    """A connection that is being made. It becomes idle if its caller does not wait.

    failed: called with its error if its caller does not wait.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        idle: deque[Connection],
        failed: Callable[[Exception], object],
    ) -> None:
        self._connect = connect
        self._idle = idle
        self._failed = failed
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._is_left = False
        self._connection: Connection | None = None
        self._error: Exception | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing is being made any more."""
        return self._done.is_set()

    def run(self) -> None:
        """Make it. For a thread."""
        connection = error = None
        try:
            connection = self._connect()
        except Exception as raised:  # noqa: BLE001 - raised where it is waited for
            error = raised
        with self._lock:
            is_left = self._is_left
            self._connection, self._error = connection, error
        self._done.set()
        if is_left and connection is not None:
            self._idle.append(connection)
        if is_left and error is not None:
            self._failed(error)

    def result(self, patience: float) -> Connection | None:
        """Return the connection, or None if it is late. Raises its error."""
        try:
            self._done.wait(patience)
        finally:  # also when the caller is interrupted
            with self._lock:
                self._is_left = self._connection is None and self._error is None
        if self._error is not None:
            raise self._error
        return None if self._is_left else self._connection


def exchange(
    connection: Connection,
    packed: bytes,
    count: int,
    deadline: float | None = None,
    limit: int = REPLY_LIMIT,
) -> list[Reply]:
    """Send commands on a connection and return their replies; errors among them.

    deadline: moment of `time.monotonic`; None for that of the connection's handshake.
    limit: bytes of all replies.

    Raises LostError if its descriptor has become another file's.

    On any other failure, even an interruption, it is disconnected. Otherwise its next
    user would read the replies to these commands.
    """
    owed = connection.owed
    try:
        require_ours(connection)
        if deadline is not None:
            limit += len(owed) * OWED_LIMIT
            set_deadline(connection, deadline, limit)
        connection.send_packed_command((packed,), check_health=False)
        if owed:
            read_owed(connection)
        return connection.read_replies(count)
    except BaseException as error:
        discard(connection, error)
        _require_known(error)
        raise


def _require_known(error: BaseException) -> None:
    """Raise StoreError instead of an error that neither redis-py nor a socket defines.

    Parsers raise such errors on malformed replies, and so may a user's own credential
    provider. An interruption passes.
    """
    known = (RedisError, OSError, StoreError)
    pass_on(error)
    if isinstance(error, Exception) and not isinstance(error, known):
        raise StoreError(f"not understood: {type(error).__name__}") from error


def _as_store_error(error: BaseException) -> StoreError:
    """Return the StoreError for what redis-py or a socket has raised."""
    if isinstance(error, OSError) and not isinstance(error, RedisError):
        return StoreError(f"cannot be reached: {error}")
    return StoreError(f"{type(error).__name__}: {error}")


def _disconnect(idle: deque[Connection]) -> None:
    with contextlib.suppress(IndexError):  # another thread may take the last one
        while idle:
            discard(idle.pop(), LostError("the connection was closed"))
