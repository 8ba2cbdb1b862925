"""Following a server's invalidations: what is current, known without asking.

One connection, in a thread of its own, has the server say which generations change
(`CLIENT TRACKING` in broadcast mode). It redirects the tracking to itself and listens
as a subscriber in RESP2. So there is no second connection that could be lost alone, and
it works from Redis 6.2 and Valkey 7.2 on, whatever protocol the store's own connections
speak.

What is heard is late by the way that it takes; docs/coherence.md says what that means.
It is not late by the turns that threads take: who asks what is current looks whether
something has arrived, and then nothing is, until that was heard.

The same connection answers the PINGs of lease.py, so a network that swallows all, or a
server or thread that is stopped, makes nothing stale for longer than a lease.

Whatever is lost, a connection, a PONG, a server, everything is forgotten with it, and
so is what was looked up on another server than the one that is followed: where a name
leads to another primary, some may be there already.
"""

import contextlib
import functools
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from redis.exceptions import ConnectionError as LostError
from redis.exceptions import ResponseError

from botocache._forks import renew_after_fork
from botocache.stores.protocol import Clock, StillCurrent
from botocache.stores.redis.circuit_breaker import PAUSES
from botocache.stores.redis.connections import Connection, exchange, pack
from botocache.stores.redis.scripts import Keys
from botocache.stores.redis.tracking.generations import LIMIT, Known
from botocache.stores.redis.tracking.lease import HEARTBEAT, NEVER, PATIENCE, Lease
from botocache.stores.redis.tracking.messages import Listener, Refusal

NAME = "botocache-following"

_SUBSCRIBE = pack((b"SUBSCRIBE", b"__redis__:invalidate"))

_PING = pack((b"PING",))

log = logging.getLogger("botocache")


def _clock_of_the_machine() -> Clock:
    """Return one that also runs while the machine sleeps, where there is such."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return functools.partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    return time.monotonic


class Following:
    """What is current of a namespace's generations on one server.

    make: returns a connection of redis-py, not connected. identify: asks a connection
    for its server's name; empty where it may not be asked. restart: is called whenever
    following begins, before anything is current; a connection that was made before it
    is used for no look-up that begins after it. Safe for threads and across a fork.
    """

    _session: "_Session | None"

    def __init__(  # noqa: PLR0913 - what it stands on
        self,
        make: Callable[[], Connection],
        keys: Keys,
        identify: Callable[[Connection], bytes],
        restart: Callable[[], object],
        *,
        clock: Clock | None = None,
        limit: int = LIMIT,
    ) -> None:
        self._make = make
        self._keys = keys
        self._identify = identify
        self._restart = restart
        self._clock = clock or _clock_of_the_machine()
        self._limit = limit
        self._is_refused = False
        self._reset()
        renew_after_fork(self, Following._reset)
        me = id(self)
        _all_of_us[me] = weakref.ref(self, lambda _: _all_of_us.pop(me, None))

    def __repr__(self) -> str:
        state = "refused" if self._is_refused else self._session or "not begun"
        return f"<Following {state}, {len(self._known)} tags>"

    def is_current(self, tags: Sequence[bytes], snapshot: Sequence[int]) -> bool:
        """Tell whether the tags are known to have these generations."""
        session = self._session
        if session is None or session.lease.until <= self._clock():
            return False
        return not session.has_unheard() and self._known.are(tags, snapshot)

    def watch(
        self,
        tags: Sequence[bytes],
        snapshot: Sequence[int],
        is_confirmed: Callable[[], bool],
    ) -> StillCurrent:
        """Return what says, whenever it is called, what `is_current` would.

        Until it is ended, or followed by another thread. is_confirmed: is asked first.
        """
        session, clock = self._session, self._clock
        if session is None:
            return _never
        lease, get = session.lease, self._known.get
        asked, wanted = tuple(tags), [*snapshot]
        # All in one: each call in here would be a twentieth of a hit.
        return lambda: (
            is_confirmed()
            and self._session is session
            and lease.until > clock()
            and not session.has_unheard()
            and [*map(get, asked)] == wanted
        )

    def begin(self) -> int:
        """Return the mark of a look-up that begins now. The first one begins it all."""
        if self._session is None:
            self._start()
        return self._known.mark()

    def learn(self, mark: int, tags: Sequence[bytes], snapshot: Sequence[int]) -> None:
        """Note what was found by the look-up with that mark."""
        session = self._session
        if session is not None and session.lease.until > NEVER:
            self._known.learn(mark, tags, snapshot)

    def forget(self, keys: Keys, tags: Sequence[bytes]) -> None:
        """Note that a store with these keys may have changed the tags' generations."""
        if keys.generations == self._keys.generations:
            self._known.forget(tags)

    def meet(self, server: bytes) -> None:
        """Hear to which server a new connection of the store's own leads."""
        with self._lock:
            session = self._session
            if session is not None and session.server not in (None, server):
                session.ended.set()
                self._session = None
                self._attempts = len(PAUSES)  # it may go on like that

    def close(self) -> None:
        """End it; the next look-up begins anew."""
        with self._lock:
            session, self._session = self._session, None
            self._attempts = 0
        self._known.forget_all()
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
            with contextlib.suppress(RuntimeError):  # no thread can be started now
                session.thread.start()
                self._session = session

    def _run(self, session: "_Session") -> None:
        """Follow until it is ended or refused, whatever is lost meanwhile."""
        while not session.is_ended_after_a_pause() and not self._is_refused:
            self._follow_while_it_lasts(session)

    def _follow_while_it_lasts(self, session: "_Session") -> None:
        try:
            with self._connected() as connection:
                self._follow(session, connection)
        except _RefusedError as error:
            self._is_refused = True
            _report(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is lost
            session.trouble = type(error).__name__
        finally:
            session.server = None
            session.lease.ends()
            self._known.forget_all()

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Connection]:
        connection = self._make()
        connection.protocol = 2  # what a listener reads
        try:
            connection.connect()
            yield connection
        finally:
            connection.disconnect()

    def _follow(self, session: "_Session", connection: Connection) -> None:
        server = self._identify(connection)
        lease = session.lease
        lease.asks(self._clock())
        _track(connection, self._keys.generations)
        listener = Listener(connection)
        session.has_unheard = listener.has_unheard
        listener.send(_SUBSCRIBE)  # until that is answered, nothing is said
        while not session.ended.is_set():
            for heard in listener.hear(HEARTBEAT):
                self._hear(session, server, heard)
            now = self._clock()
            if lease.is_hopeless(now):
                raise LostError("no PONG")
            if lease.is_to_ask(now):
                lease.asks(now)
                listener.send(_PING)

    def _hear(self, session: "_Session", server: bytes, heard: Any) -> None:
        if isinstance(heard, Refusal):
            raise _RefusedError("SUBSCRIBE", heard.partition(" ")[0])
        kind, *_, content = heard
        if kind == b"message":
            self._take_in(content)
        elif kind == b"pong":
            session.lease.is_answered()
            session.attempts = self._attempts = 0
        else:  # to SUBSCRIBE
            self._begin_to_follow(session, server)

    def _begin_to_follow(self, session: "_Session", server: bytes) -> None:
        with self._lock:
            session.server = server
        self._restart()
        self._known.forget_all()  # what is learned from now on, changes are heard of
        session.lease.is_answered()

    def _take_in(self, changed: Sequence[bytes] | None) -> None:
        """Forget what was changed; None is everything, by FLUSHALL or FLUSHDB."""
        if changed is None:
            self._known.forget_all()
        else:
            self._known.forget(map(self._keys.tag, changed))

    def _reset(self) -> None:
        """Start as if nothing had begun, as a child of a fork has to."""
        self._known = Known(self._limit)
        self._lock = threading.Lock()
        self._session = None
        self._attempts = 0


def _never() -> bool:
    return False


_all_of_us: "dict[int, weakref.ref[Following]]" = {}


def forget(keys: Keys, tags: Sequence[bytes]) -> None:
    """Tell all who follow in this process that the tags' generations may have changed.

    By the process itself: its own writes are never late, whichever of its stores they
    went through.
    """
    for reference in _all_of_us.copy().values():
        following = reference()
        if following is not None:
            following.forget(keys, tags)


class _Session:
    """One thread, and what it knows.

    has_unheard: tells whether something has arrived that it does not know yet.
    attempts: to connect that came to nothing, so far. server: the name of the one that
    is followed, if any is. trouble: what was lost last.
    """

    thread: threading.Thread

    def __init__(self, attempts: int) -> None:
        self.attempts = attempts
        self.ended = threading.Event()
        self.lease = Lease()
        self.has_unheard: Callable[[], bool] = lambda: True
        self.server: bytes | None = None
        self.trouble = ""

    def __repr__(self) -> str:
        if self.lease.until > NEVER:
            return "at work"
        return f"lost: {self.trouble}" if self.trouble else "beginning"

    def is_ended_after_a_pause(self) -> bool:
        """Wait before the next attempt; tell whether there is to be none."""
        pause = PAUSES[min(self.attempts, len(PAUSES) - 1)]
        self.attempts += 1
        return self.ended.wait(pause)


def _track(connection: Connection, prefix: bytes) -> None:
    """Have a connection told of changes, once it has subscribed."""
    me = b"%d" % _done(connection, b"CLIENT", b"ID")
    how = (b"REDIRECT", me, b"BCAST", b"PREFIX", prefix)
    _done(connection, b"CLIENT", b"TRACKING", b"ON", *how)


def _done(connection: Connection, *command: bytes) -> Any:
    """Return the reply to a command without which there is no following.

    Raises _RefusedError.
    """
    (reply,) = exchange(connection, pack(command), 1)
    if isinstance(reply, ResponseError):
        name = b" ".join(command[:2]).decode()
        raise _RefusedError(name, type(reply).__name__)
    return reply


class _RefusedError(Exception):
    """The server lets nobody follow. Its arguments: the command, and the error."""


def _report(refusal: _RefusedError) -> None:
    # Without what the server says: it names the user.
    log.warning(
        "follow_refused: changes cannot be followed, so every hit asks the server "
        "(%s: %s)",
        *refusal.args,
    )
