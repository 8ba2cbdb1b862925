"""Client tracking: the server announces which generations change.

One connection in a thread of its own enables `CLIENT TRACKING` in broadcast mode. It
redirects the messages to itself and reads them as a subscriber in RESP2. So there is no
second connection that could be lost alone. It works with Redis 6.2 and Valkey 7.2 and
later, whatever protocol the store's own connections speak.

Invalidations lag by network latency (docs/coherence.md says what that means), not by
thread scheduling: `is_current` polls the socket, and returns False while unread
messages are pending.

The same connection carries the PINGs of lease.py. So a network that drops everything,
or a server or a thread that is stopped, makes nothing stale for longer than a lease.

If a connection or a PONG is lost, or the server changes, all generations are dropped.
So are those that were looked up on another server than the tracked one: a name may lead
some connections to a new primary already.
"""

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence

from redis.exceptions import ConnectionError as LostError
from redis.exceptions import ResponseError

from botocache._errors import pass_on
from botocache._forks import renew_after_fork
from botocache._log import log
from botocache.stores.clock import machine_clock
from botocache.stores.protocol import Clock, StillCurrent
from botocache.stores.redis.circuit_breaker import PAUSES
from botocache.stores.redis.commands import pack
from botocache.stores.redis.connections import exchange
from botocache.stores.redis.keys import Keys
from botocache.stores.redis.tracking.generations import LIMIT, LocalGenerations
from botocache.stores.redis.tracking.lease import (
    HEARTBEAT,
    NEVER,
    PATIENCE,
    TrackingLease,
)
from botocache.stores.redis.tracking.messages import Listener, Refusal
from botocache.stores.redis.types import Connection, Reply

NAME = "botocache-client-tracking"

_SUBSCRIBE = pack((b"SUBSCRIBE", b"__redis__:invalidate"))

_PING = pack((b"PING",))


class InvalidationTracker:
    """Tells which generations of a namespace are current on one server.

    make: returns a connection of redis-py, not connected.
    keys: of the namespace.
    identify: returns the run id of a connection's server; empty without permission.
    restart: called whenever tracking begins, before anything is current. A look-up that
        begins after it must not use a connection that was made before it.

    Safe for threads and across a fork.
    """

    _session: "_Session | None"

    def __init__(  # noqa: PLR0913 - what it stands on
        self,
        make: Callable[[], Connection],
        keys: Keys,
        identify: Callable[[Connection], bytes],
        restart: Callable[[], object],
        *,
        clock: Clock = machine_clock,
        limit: int = LIMIT,
    ) -> None:
        self._make = make
        self._keys = keys
        self._identify = identify
        self._restart = restart
        self._clock = clock
        self._limit = limit
        self._is_refused = False
        self._reset()
        renew_after_fork(self, InvalidationTracker._reset)
        me = id(self)
        _trackers[me] = weakref.ref(self, lambda _: _trackers.pop(me, None))

    def __repr__(self) -> str:
        state = "refused" if self._is_refused else self._session or "not begun"
        return f"<InvalidationTracker {state}, {len(self._generations)} tags>"

    def is_current(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> bool:
        """Tell whether the tags are known to have these generations."""
        session = self._session
        if session is None or session.lease.until <= self._clock():
            return False
        return not session.has_unread() and self._generations.match(tags, snapshot)

    def watch(
        self,
        tags: Sequence[bytes],
        snapshot: Sequence[int],
        is_confirmed: Callable[[], bool],
    ) -> StillCurrent:
        """Return a function that tells what `is_current` would tell.

        is_confirmed: called first.

        It returns False for good when this session of tracking ends.
        """
        session, clock = self._session, self._clock
        if session is None:
            return _never
        lease, get = session.lease, self._generations.get
        asked, wanted = tuple(tags), [*snapshot]
        # One expression: each function call in here would cost a twentieth of a hit.
        return lambda: (
            is_confirmed()
            and self._session is session
            and lease.until > clock()
            and not session.has_unread()
            and [*map(get, asked)] == wanted
        )

    def begin(self) -> int:
        """Return the mark of a look-up that begins now. The first starts tracking."""
        if self._session is None:
            self._start()
        return self._generations.mark()

    def learn(self, mark: int, tags: Sequence[bytes], snapshot: Sequence[int]) -> None:
        """Keep what a look-up found. mark: what `begin` returned for it."""
        session = self._session
        if session is not None and session.lease.until > NEVER:
            self._generations.learn(mark, tags, snapshot)

    def forget(self, keys: Keys, tags: Sequence[bytes]) -> None:
        """Drop generations that a store with these keys may have changed."""
        if keys.generations == self._keys.generations:
            self._generations.forget(tags)

    def on_server_changed(self, server: bytes) -> None:
        """End the session if a new connection of the store leads to another server."""
        with self._lock:
            session = self._session
            if session is not None and session.server not in (None, server):
                session.ended.set()
                self._session = None
                self._attempts = len(PAUSES)  # slowly: servers may alternate

    def end_session(self) -> None:
        """Begin anew: nothing that is watched now is current from here on."""
        with self._lock:
            session, self._session = self._session, None
        if session is not None:
            session.ended.set()

    def close(self) -> None:
        """End tracking. The next look-up starts it again."""
        with self._lock:
            session, self._session = self._session, None
            self._attempts = 0
        self._generations.forget_all()
        if session is not None:
            session.ended.set()
            session.thread.join(PATIENCE)

    # --- the thread ------------------------------------------------------------------

    def _start(self) -> None:
        with self._lock:
            if self._session is not None or self._is_refused:
                return
            session = _Session(self._attempts)
            session.thread = threading.Thread(
                target=self._run, args=(session,), name=NAME, daemon=True
            )
            try:
                self._session = session
                session.thread.start()
            except BaseException as error:
                if session.thread.ident is None:
                    self._session = None
                # No thread can be started now.
                if not isinstance(pass_on(error), RuntimeError):
                    raise

    def _run(self, session: "_Session") -> None:
        """Track, and connect again after each loss, until the end or a refusal."""
        while not session.is_ended_after_a_pause() and not self._is_refused:
            self._track_until_lost(session)

    def _track_until_lost(self, session: "_Session") -> None:
        try:
            with self._connected() as connection:
                self._track(session, connection)
        except _RefusedError as error:
            self._is_refused = True
            _report(error)
        except Exception as error:  # noqa: BLE001 - any error ends the connection
            session.trouble = type(error).__name__
        finally:
            session.server = None
            session.lease.end()
            self._generations.forget_all()

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Connection]:
        connection = self._make()
        connection.protocol = 2  # which Listener reads
        try:
            connection.connect()
            yield connection
        finally:
            connection.disconnect()

    def _track(self, session: "_Session", connection: Connection) -> None:
        server = self._identify(connection)
        lease = session.lease
        lease.ping_sent(self._clock())
        # The PING counts from here: what changes from now on is announced.
        _enable_tracking(connection, self._keys.generations)
        listener = Listener(connection)
        session.has_unread = listener.has_unread
        listener.send(_SUBSCRIBE)  # before its reply no message comes
        while not session.ended.is_set():
            for message in listener.read_messages(HEARTBEAT):
                self._process(session, server, message)
            now = self._clock()
            if lease.is_pong_overdue(now):
                raise LostError("no PONG")
            if lease.is_ping_due(now):
                lease.ping_sent(now)
                listener.send(_PING)

    def _process(self, session: "_Session", server: bytes, message: Reply) -> None:
        if isinstance(message, Refusal):
            if session.server is not None:  # then it is no reply to SUBSCRIBE
                raise LostError("an error instead of a message")
            raise _RefusedError("SUBSCRIBE", message.partition(" ")[0][:20])
        kind, *_, content = message
        if kind == b"message":
            self._invalidate(content)
        elif kind == b"pong":
            session.lease.pong_received()
            session.attempts = self._attempts = 0
        else:  # the reply to SUBSCRIBE
            self._begin_session(session, server)

    def _begin_session(self, session: "_Session", server: bytes) -> None:
        with self._lock:
            session.server = server
        # In this order. First no look-up uses a connection from before tracking: it may
        # lead to another server. Then what such look-ups have learned is dropped. Only
        # then the lease makes generations current.
        self._restart()
        self._generations.forget_all()
        session.lease.pong_received()

    def _invalidate(self, changed: Sequence[bytes] | None) -> None:
        """Drop generations. changed: their keys; None for all (FLUSHALL, FLUSHDB)."""
        if changed is None:
            self._generations.forget_all()
        else:
            self._generations.forget(map(self._keys.tag, changed))

    def _reset(self) -> None:
        """Start as if nothing had begun, as a child of a fork has to."""
        self._generations = LocalGenerations(self._limit)
        self._lock = threading.RLock()  # a signal handler may make calls in here
        self._session = None
        self._attempts = 0


def _never() -> bool:
    return False


_trackers: "dict[int, weakref.ref[InvalidationTracker]]" = {}


def forget(keys: Keys, tags: Sequence[bytes]) -> None:
    """Drop generations that a store of this process may have changed, in all trackers.

    So the process's own writes take effect without the network's latency, whichever of
    its stores they went through.
    """
    for reference in _trackers.copy().values():
        tracker = reference()
        if tracker is not None:
            tracker.forget(keys, tags)


class _Session:
    """One thread that tracks, and its state.

    attempts: to connect, that failed in a row.
    lease: for how long generations are trusted.
    has_unread: tells whether a message has arrived that was not processed yet.
    server: run id of the tracked server, if there is one.
    trouble: the name of the last error.
    """

    thread: threading.Thread

    def __init__(self, attempts: int) -> None:
        self.attempts = attempts
        self.ended = threading.Event()
        self.lease = TrackingLease()
        self.has_unread: Callable[[], bool] = lambda: True
        self.server: bytes | None = None
        self.trouble = ""

    def __repr__(self) -> str:
        if self.lease.until > NEVER:
            return "at work"
        return f"lost: {self.trouble}" if self.trouble else "beginning"

    def is_ended_after_a_pause(self) -> bool:
        """Wait before the next attempt; tell whether the session has ended."""
        pause = PAUSES[min(self.attempts, len(PAUSES) - 1)]
        self.attempts += 1
        return self.ended.wait(pause)


def _enable_tracking(connection: Connection, prefix: bytes) -> None:
    """Have changes announced to a connection, once it has subscribed."""
    me = b"%d" % _done(connection, b"CLIENT", b"ID")
    how = (b"REDIRECT", me, b"BCAST", b"PREFIX", prefix)
    _done(connection, b"CLIENT", b"TRACKING", b"ON", *how)


def _done(connection: Connection, *command: bytes) -> Reply:
    """Return the reply to a command that tracking needs. Raises _RefusedError."""
    (reply,) = exchange(connection, pack(command), 1)
    if isinstance(reply, ResponseError):
        name = b" ".join(command[:2]).decode()
        raise _RefusedError(name, type(reply).__name__)
    return reply


class _RefusedError(Exception):
    """The server refuses client tracking. Its arguments: the command, and the error."""


def _report(refusal: _RefusedError) -> None:
    # Without the text of the error: it names the user.
    log.warning(
        "client_tracking_refused: the server does not announce changes to us, so every "
        "hit asks it (%s: %s); allow the command, or remove client_tracking",
        *refusal.args,
    )
