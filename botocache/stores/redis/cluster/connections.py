"""Connections of redis-py's cluster client that keep two promises of ours.

A call waits for no longer than its deadline: redis-py connects and reads with a
time-out for each step, and a call in a cluster takes many steps. And no command reaches
a server before `verify` knows whether this primary is a new one.

redis-py connects wherever it needs a connection, in the caller's thread. Nothing
bounds how long a name is looked up there. So a thread of its own connects, and the
caller waits for it until the deadline. A caller that comes later finds the connection.
"""

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from redis.exceptions import ConnectionError as LostError
from redis.exceptions import MovedError, ResponseError
from redis.exceptions import TimeoutError as LateError

from botocache._errors import pass_on
from botocache.stores.redis.deadlines import extended_deadline, is_apart
from botocache.stores.redis.sockets import REPLY_LIMIT, guarded, is_ours, set_deadline
from botocache.stores.redis.types import Address, Command, Connection, Reply

if TYPE_CHECKING:

    class _Base:
        """What a kind of connection of redis-py inherits; see `bounded`."""

        host: str
        port: int
        protocol: int
        socket_timeout: float | None
        owed: tuple[Any, ...]
        _sock: object

        def __init__(self, **settings: object) -> None: ...
        def connect(self) -> None: ...
        def disconnect(self) -> None: ...
        def can_read(self, timeout: float = 0) -> bool: ...
        def send_packed_command(self, command: Command, check: bool = ...) -> None: ...  # noqa: FBT001 - the parameters are redis-py's
        def read_replies(self, count: int) -> list[Reply]: ...
        def read_response(self, *args: bool, **settings: object) -> Reply: ...

else:
    _Base = object

SLOTS = 16384
"""Of a cluster."""

_SHORTEST = 0.001
"""Seconds. A shorter wait would miss a reply that has arrived already."""


_LONGEST = 5.0
"""Seconds to wait for another thread that connects, where there is no time-out."""


class _Thread(threading.local):
    """What the current thread may do.

    deadline: moment of `time.monotonic` at which it stops waiting for replies.
    connect_deadline: the moment at which it stops waiting for a connection.
    limit: bytes of all replies of a server to what is sent next.
    extension: seconds for replies, if it has waited to connect beyond the deadline;
        0.0 if it must not.
    is_background: it may connect, for no call waits for it without a deadline.
    is_discovering: it asks for the map of the cluster, which any server may tell.
    """

    deadline = math.inf
    connect_deadline = math.inf
    limit = REPLY_LIMIT
    extension = 0.0
    is_background = False
    is_discovering = False


_here = _Thread()


def wait_until(
    deadline: float, connect_deadline: float | None = None, extension: float = 0.0
) -> None:
    """Let this thread wait for replies until then, and for connections.

    connect_deadline: another moment for connections, if there is one.
    extension: seconds for replies after a connection that came beyond the deadline.
    """
    _here.deadline = deadline
    _here.connect_deadline = deadline if connect_deadline is None else connect_deadline
    _here.extension = extension


def limit_replies(limit: int) -> None:
    """Let this thread receive so many bytes from a server for what it sends next."""
    _here.limit = limit


def deadline_now() -> float:
    """Return the moment at which this thread stops waiting for replies."""
    return _here.deadline


def extend_deadline() -> None:
    """Call it after waiting to connect: an eviction may wait for replies from now."""
    if _here.extension and time.monotonic() >= _here.deadline:
        _here.deadline = extended_deadline(_here.extension)
        _here.extension = 0.0  # once


@contextlib.contextmanager
def in_background(*, is_discovering: bool = False) -> Iterator[None]:
    """Let this thread connect, and wait as long as a connection's own time-outs."""
    before = _here.__dict__.copy()
    _here.is_background, _here.is_discovering = True, is_discovering
    _here.deadline = _here.connect_deadline = math.inf
    try:
        yield
    finally:
        _here.__dict__.clear()
        _here.__dict__.update(before)


class UnreachableError(LostError):
    """A server cannot be connected to, or not in time. address: host and port."""

    def __init__(self, trouble: str, address: Address) -> None:
        super().__init__(trouble)
        self.address = address


class ConnectingError(UnreachableError):
    """A server is still being connected to, behind the call."""


class BoundedConnection(_Base):
    """A connection whose waits end at the deadline and whose server is verified.

    verify: called with each new connection before its first command; raises if the
        server must not be used.
    patience: seconds for each request in the background.
    """

    def __init__(
        self,
        *,
        verify: Callable[[Connection], object],
        patience: float = _LONGEST,
        **settings: object,
    ) -> None:
        super().__init__(**settings)
        self._verify = verify
        self._patience = patience
        self._is_connecting = False
        self._verified_socket: object = None
        self._attempt: _Attempt | None = None
        self._connecting = threading.Lock()

    @property
    def is_ready(self) -> bool:
        """Whether it is connected, and to a server that was verified."""
        return self._verified_socket is not None and self._verified_socket is self._sock

    def connect(self) -> None:
        """Connect and verify, unless that is done. Raises UnreachableError."""
        if self.is_ready:
            if is_ours(self):
                return
            self.disconnect()
        if _here.is_background:
            self._connect_now()
            return
        attempt = self._attempt
        # What went wrong behind a call fails the next one, without a wait. Otherwise it
        # would count for nothing. An eviction tries again.
        is_news = attempt is not None and attempt.failed_behind and not _here.extension
        if attempt is None or (attempt.is_over and not is_news):
            attempt = self._attempt = _Attempt(self._connect_now)
        error = attempt.result(_here.connect_deadline)
        extend_deadline()
        if is_news:
            self._attempt = None
        if error is not None:
            kind = UnreachableError if attempt.is_over else ConnectingError
            trouble = str(error) or type(error).__name__
            raise kind(trouble, (self.host, self.port)) from error

    def send_packed_command(
        self,
        command: Command,
        check_health: bool = True,  # noqa: FBT001, FBT002 - the parameters are redis-py's
    ) -> None:
        """Send commands. Raises LostError if the connection was closed meanwhile."""
        # redis-py would connect anew here, without `connect`, and so unverified.
        if not _here.is_background and not self.is_ready:
            raise LostError("the connection was closed")
        if not _here.is_background:
            self._set_deadline()
        elif not self._is_connecting:  # else it has that of its handshake
            set_deadline(self, time.monotonic() + self._patience)
        super().send_packed_command(command, check_health)

    def read_response(self, *args: bool, **settings: object) -> Reply:
        """Return a reply. Raises LateError at the deadline, and disconnects."""
        if not _here.is_background:
            self._set_deadline()
        try:
            return _checked(super().read_response(*args, **settings))
        except MovedError:
            # The server may have become a replica. Before it is a primary again it
            # can miss evictions, so it must be verified anew.
            self._verified_socket = None
            raise
        except (ResponseError, LostError, LateError):
            raise
        except Exception as error:
            # Parsers raise anything on what is no reply, and a pipeline would go on
            # reading after some of that.
            self.disconnect()
            pass_on(error)
            raise LostError(f"not understood: {type(error).__name__}") from error

    def _set_deadline(self) -> None:
        until = max(_here.deadline, time.monotonic() + _SHORTEST)
        set_deadline(self, until, _here.limit)

    def _connect_now(self) -> None:
        # Another thread may connect it too, if a caller that did not wait any longer
        # gave it back to the pool.
        patience = self.socket_timeout or _LONGEST
        if not self._connecting.acquire(timeout=patience):
            raise LateError("another thread connects it")
        try:
            if self.is_ready:
                return
            self._is_connecting = True
            super().connect()
            if not _here.is_discovering:
                self._verify(self)
                self._verified_socket = self._sock
        except BaseException:
            self.disconnect()
            raise
        finally:
            self._is_connecting = False
            self._connecting.release()


def _checked(reply: Reply) -> Reply:
    """Return a reply. Raises ValueError if it should be a map of slots, and is none.

    redis-py walks through all slots of each part, however many the server says.
    """
    if _here.is_discovering and isinstance(reply, list):
        sizes = [int(part[1]) - int(part[0]) + 1 for part in reply]
        first = [int(part[0]) for part in reply]
        if min(sizes + first, default=0) < 0 or sum(sizes) > SLOTS:
            raise ValueError("there are not so many slots")
    return reply


@lru_cache(16)
def bounded(kind: type) -> type:
    """Return the kind of connection that is one of `kind`, and bounded."""
    return type(f"Bounded{kind.__name__}", (BoundedConnection, guarded(kind)), {})


class _Attempt:
    """A thread that connects. error: what went wrong, if it is over."""

    def __init__(self, connect: Callable[[], None]) -> None:
        self._connect = connect
        self._done = threading.Event()
        self.error: Exception | None = None
        self._is_left = False
        try:
            threading.Thread(target=self._run, daemon=True).start()
        except RuntimeError as error:  # no thread can be started now
            # An eviction or a post, perhaps while the interpreter ends.
            if _here.extension or is_apart():
                self._run()
            else:
                self.error = error
                self._done.set()

    @property
    def is_over(self) -> bool:
        """Whether the thread has ended."""
        return self._done.is_set()

    @property
    def failed_behind(self) -> bool:
        """Whether it has failed after its caller did not wait any longer."""
        return self._is_left and self.error is not None

    def result(self, deadline: float) -> Exception | None:
        """Wait until the deadline; return what went wrong."""
        left = None if deadline == math.inf else max(0.0, deadline - time.monotonic())
        if not self._done.wait(left):
            self._is_left = True
            return LateError("connecting takes longer than a call may wait")
        return self.error

    def _run(self) -> None:
        try:
            with in_background():
                self._connect()
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            self.error = error
        finally:
            self._done.set()
