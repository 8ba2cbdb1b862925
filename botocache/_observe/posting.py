"""Each process posts its counters on the store, for `botocache stats` and `report`.

A process has one Posting, with one daemon thread. It has one Poster for each store that
its caches use, because an application may install a cache for each of its tenants.

The thread starts with the first call that the near cache does not answer, and posts if
something was counted. It ends when nothing was counted for as long as a near hit can
come without such a call. Calls start it again, also where it was frozen and is late: on
Lambda. Before a fork it ends: Python warns of forks in a process that has threads.

Nothing here is on the path of a call, and no failure here is one of a call.
"""

import contextlib
import math
import os
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from botocache._cache.sealed import seal
from botocache._cache.worker import Start, Worker
from botocache._counting.stats import Stats
from botocache._errors import StoreError, StoreSkippedError, pass_on
from botocache._exits import deliver_after_fork, deliver_last
from botocache._forks import renew_after_fork
from botocache._log import describe, log, package_version
from botocache._observe.differences import bounded as bounded_stats
from botocache._observe.differences import difference
from botocache._observe.points import HOUR, MINUTE, bounded, points_of
from botocache._observe.records import Point, ProcessRecord
from botocache._observe.sealing import hour_name, process_name, sane
from botocache._observe.tidying import Tidying, life_of
from botocache._settings.tables import longest_ttl
from botocache.stores.boards import board_of
from botocache.stores.clock import machine_clock
from botocache.stores.memory import MemoryStore
from botocache.stores.protocol import Board, Clock, Store, Usage

if TYPE_CHECKING:
    from botocache._cache.cache import Cache
    from botocache._cache.entries import EntryCodec

NAME = "botocache-stats"
"""Of the thread."""

RECORD_LIFE = 30 * 86400.0
"""Seconds for which a process's record is kept after its last post."""

TIDY_INTERVAL = 600.0
"""Seconds between two times that a process tidies a board that few others use."""

TIDIERS = 16
"""Processes that tidy a board in each TIDY_INTERVAL, however many there are."""

TIDY_SHARE = 8
"""One in so many processes tidies the board as it ends."""

USAGE_INTERVAL = 60.0
"""Seconds between two times that a process asks for the usage of a store."""

_LATE = 1.5
"""Intervals after which a call wakes the thread, which should have posted by then."""

_LOOK_INTERVAL = 1.0
"""Seconds between two looks of a child that a thread has forked."""

_LOCK_PATIENCE = 1.0
_STOP_PATIENCE = 0.1
"""Seconds to wait for the thread at a fork."""

_NOT_POSTED = (
    "stats_not_posted: the counters of this process could not be posted on the store, "
    "so `botocache stats` lacks them until they can (%s). Said once"
)


class _Source:
    """The counts of one cache in this process alone: a child of a fork has none."""

    def __init__(self, cache: "Cache") -> None:
        self._cache = weakref.ref(cache)
        self._counters = cache.services.counters
        self._pending = cache.services.evictions.pending
        self._before: Stats | None = None
        # After those of the counters, which are older.
        renew_after_fork(self, _Source._after_fork)

    @property
    def is_gone(self) -> bool:
        """Whether its cache is garbage, so that it counts nothing any more."""
        return self._cache() is None

    def read(self) -> Stats:
        """Return what was counted since the process began."""
        stats = self._read()
        return stats if self._before is None else difference(stats, self._before)

    def _read(self) -> Stats:
        return self._counters.read(undelivered=len(self._pending))

    def _after_fork(self) -> None:
        self._before = self._read()


class Poster:
    """What this process posts on one board.

    interval: seconds between two posts.
    shadow: its caches serve nothing.
    wall_clock: seconds since the epoch.
    random: as os.urandom.

    next_at: when to post, by the clock of its Posting; None before the first call.
    changed_at: when something was counted last, by the same clock.
    """

    def __init__(  # noqa: PLR0913 - a post consists of these
        self,
        board: Board,
        codec: "EntryCodec",
        interval: float,
        *,
        shadow: bool,
        wall_clock: Clock,
        random: Callable[[int], bytes],
    ) -> None:
        self.board: Final = board
        self.interval: Final = interval
        self.next_at: float | None = None
        self.changed_at = -math.inf
        self._longest_ttl = 0.0
        self._codec = codec
        self._shadow = shadow
        self._wall_clock = wall_clock
        self._random = random
        self._sources: list[_Source] = []
        self._host = sane(os.uname().nodename if hasattr(os, "uname") else "")
        self._has_complained = False
        self.renew()

    def __repr__(self) -> str:
        return f"<Poster {self._id} on {self.board!r}>"

    @property
    def lingers(self) -> float:
        """Seconds without news after which the thread need not look any more.

        After that no near hit can come without a call that wakes the thread.
        """
        return self._longest_ttl + 2 * self.interval

    @property
    def is_over(self) -> bool:
        """Whether no cache is left that could count something."""
        return not self._sources and self._gone == self._confirmed

    def renew(self) -> None:
        """Begin as another process: at the start, and in a child of a fork."""
        self.next_at, self.changed_at = None, -math.inf
        self._gone = Stats()  # of caches that are garbage
        self._confirmed = Stats()  # what was posted last, of all ids of this process
        self._seen = Stats()  # what the points contain
        self._pending: tuple[Point, ...] = ()  # points that were not posted
        self._part: tuple[str, bytes, tuple[Point, ...]] | None = None
        self._unconfirmed = ""  # the name of a part whose post seemed to fail
        self._has_ended = False
        self._usage, self._usage_at = Usage(None, None), -USAGE_INTERVAL
        self._tidy_at: float | None = None
        self._begin_anew()

    def add(self, cache: "Cache") -> None:
        """Post the counts of one more cache."""
        self._sources.append(_Source(cache))
        settings = cache.settings
        ttl = longest_ttl(settings.tables, settings.ttl)
        self._longest_ttl = max(self._longest_ttl, ttl)

    def post(self, *, has_ended: bool = False) -> bool:
        """Post what was counted since the last post; return whether anything was.

        has_ended: this is the last post.

        Raises StoreError or CodecError; the next post makes up for it.
        """
        now, total = self._wall_clock(), self._total()
        done = difference(total, self._seen)
        self._pending += points_of(done, int(now // MINUTE))
        self._seen = total
        # Points that failed count as news, or they would wait for the next call.
        has_news = total != self._confirmed or bool(self._pending)
        if not has_news and (self._last is None or has_ended == self._has_ended):
            return False
        # In this order: an overview without points is right, only shorter.
        self._post_counts(total, now, has_ended=has_ended)
        self._post_points(now)
        return has_news

    def tidy_if_due(self, now: float, *, has_ended: bool = False) -> None:
        """Merge records of ended processes now and then. Raises StoreError.

        now: by the clock of the Posting.
        """
        # By chance: processes that were started together must not tidy together.
        chance = self._random(1)[0] / 256
        if has_ended:
            if chance >= 1 / TIDY_SHARE:
                return
        elif self._tidy_at is None:
            self._tidy_at = now + chance * TIDY_INTERVAL
            return
        elif now < self._tidy_at:
            return
        # Set first: a board that fails is left alone as long.
        self._tidy_at = now + (0.5 + chance) * TIDY_INTERVAL
        tidying = Tidying(self.board, self._codec, self._wall_clock(), self._new_id)
        processes = tidying.tidy()
        # With many processes each tidies less often, so the board sees as many.
        pause = (0.5 + chance) * TIDY_INTERVAL * max(1.0, processes / TIDIERS)
        self._tidy_at = now + pause

    def complain(self, error: Exception) -> None:
        """Log that a post failed, once."""
        # Without keys, that is on the log already.
        if not self._has_complained and not isinstance(error, StoreSkippedError):
            self._has_complained = True
            log.info(_NOT_POSTED, describe(error))

    def _total(self) -> Stats:
        total = self._gone
        for source in [*self._sources]:
            is_gone = source.is_gone  # first: it may count until it is
            stats = source.read()
            total = total + stats
            if is_gone:
                self._gone = replace(self._gone + stats, undelivered=0)
                self._sources.remove(source)
        return total

    # --- the record of the process -------------------------------------------------

    def _begin_anew(self) -> None:
        """Go on under another id, with what is counted from the last post on."""
        self._id = self._new_id()
        self._started = self._wall_clock()
        # What was posted under the former id is counted there, and not here again.
        self._base = self._confirmed
        self._last: bytes | None = None

    def _post_counts(self, total: Stats, now: float, *, has_ended: bool) -> None:
        self._ask_for_usage(now)
        sealed = self._seal_counts(total, now, has_ended=has_ended)
        name = process_name(self._id)
        # The record is another, or gone: a process has merged it, or the store lost it.
        if self._last is not None and not self._replace(name, self._last, sealed):
            self._begin_anew()
            sealed = self._seal_counts(total, now, has_ended=has_ended)
            name = process_name(self._id)
        if self._last is None:
            self.board.post(name, sealed, RECORD_LIFE)
        self._last, self._confirmed, self._has_ended = sealed, total, has_ended

    def _seal_counts(self, total: Stats, now: float, *, has_ended: bool) -> bytes:
        record = ProcessRecord(
            process=self._id,
            host=self._host,
            pid=os.getpid(),
            version=package_version(),
            started=self._started,
            updated=now,
            stats=bounded_stats(difference(total, self._base)),
            has_ended=has_ended,
            shadow=self._shadow,
            entries=self._usage.entries,
            size=self._usage.size,
        )
        return seal(self._codec, process_name(self._id), record, now, RECORD_LIFE)

    def _replace(
        self, name: str, last: bytes, sealed: bytes, ttl: float = RECORD_LIFE
    ) -> bool:
        """Replace a record of this process; return False if another one merged it."""
        if self.board.merge({name: last}, name, sealed, ttl):
            return True
        # The store may have carried out a post that seemed to fail.
        found = self.board.posted([name]).get(name)
        return (
            found is not None
            and found != last
            and self.board.merge({name: found}, name, sealed, ttl)
        )

    def _ask_for_usage(self, now: float) -> None:
        if abs(now - self._usage_at) >= USAGE_INTERVAL:
            self._usage_at = now
            with contextlib.suppress(StoreError):
                self._usage = self.board.usage()

    # --- its points ----------------------------------------------------------------

    def _post_points(self, now: float) -> None:
        hours = sorted({int(point.minute * MINUTE // HOUR) for point in self._pending})
        for hour in hours:
            is_mine = [int(p.minute * MINUTE // HOUR) == hour for p in self._pending]
            some = [p for p, mine in zip(self._pending, is_mine, strict=True) if mine]
            self._post_hour(hour, some, life_of(hour, now), now)
            # After each hour: what is posted must not be pending if a later one fails.
            self._pending = tuple(
                p for p, mine in zip(self._pending, is_mine, strict=True) if not mine
            )

    def _post_hour(
        self, hour: int, points: list[Point], life: float, now: float
    ) -> None:
        if self._part is not None and self._part[0].startswith(f"{hour_name(hour)}-"):
            name, last, before = self._part
            both = bounded((*before, *points))
            sealed = seal(self._codec, name, both, now, life)
            if self._replace(name, last, sealed, life):
                self._part = name, sealed, both
                return
        name, few = self._unconfirmed, bounded(points)
        if not name.startswith(f"{hour_name(hour)}-"):
            name = hour_name(hour, self._new_id())
        sealed = seal(self._codec, name, few, now, life)
        # The store may carry out a post that seems to fail. Under another name the next
        # one would count its points twice.
        self._unconfirmed = name
        self.board.post(name, sealed, life)
        self._part, self._unconfirmed = (name, sealed, few), ""

    def _new_id(self) -> str:
        return self._random(8).hex()


class Posting:
    """Posts for all caches of a process. See CountsPoster and Debtor.

    clock: in seconds; it also runs while the machine sleeps.
    wall_clock: seconds since the epoch.
    random: as os.urandom.
    start: starts the thread; see Worker.
    """

    def __init__(
        self,
        *,
        clock: Clock = machine_clock,
        wall_clock: Clock = time.time,
        random: Callable[[int], bytes] = os.urandom,
        start: Start = threading.Thread.start,
    ) -> None:
        self._clock = clock
        self._wall_clock = wall_clock
        self._random = random
        self._posters: dict[object, Poster] = {}
        self._main = threading.main_thread().ident
        self._worker = Worker(self.work, 10.0, start, NAME)
        self._renew()
        renew_after_fork(self, Posting._after_fork)

    def __repr__(self) -> str:
        return f"<Posting {[*self._posters.values()]}, {self._worker!r}>"

    def attach(self, cache: "Cache", board: Board) -> None:
        """Post the counts of a cache from now on. board: its store."""
        settings = cache.settings
        kind = (
            *(id(board), settings.namespace, settings.encryption_keys),
            *(settings.shadow, settings.stats_interval),
        )
        with self._lock:
            poster = self._posters.get(kind)
            if poster is None:
                poster = self._posters[kind] = Poster(
                    board,
                    cache.services.records,
                    settings.stats_interval,
                    shadow=settings.shadow,
                    wall_clock=self._wall_clock,
                    random=self._random,
                )
            poster.add(cache)
            each = [poster.interval for poster in self._posters.values()]
            self._worker.interval = min(each)
        cache.poster = self
        deliver_last(self)

    def note_call(self) -> None:
        """See CountsPoster."""
        if self._clock() >= self._due:
            self._wake()

    def rest(self, *, is_closing: bool) -> None:
        """See CountsPoster."""
        if is_closing:
            self._worker.stop(_STOP_PATIENCE)
            self._due = -math.inf
            self._post_all(time.monotonic() + _LOCK_PATIENCE, has_ended=True)
        elif self._worker.is_at_work:
            self._is_resting = True
            self._worker.wake()

    def work(self) -> bool:
        """Post what is due; return whether to go on. Raises nothing."""
        now, is_resting, self._is_resting = self._clock(), self._is_resting, False
        goes_on = False
        for kind, poster in [*self._posters.items()]:
            if poster.next_at is None or now >= poster.next_at or is_resting:
                self._post(poster, now)
            goes_on |= now - poster.changed_at <= poster.lingers
            if poster.is_over:
                self._posters.pop(kind, None)
        if _is_over():
            # Only this thread keeps the process, and nothing else shows it the end.
            self._post_all(time.monotonic() + _LOCK_PATIENCE, has_ended=True)
            goes_on = False
        goes_on = goes_on and not is_resting
        # Before it ends: a call that comes from now on starts it again.
        self._due = now + _LATE * self._worker.interval if goes_on else -math.inf
        return goes_on

    def deliver_until(self, deadline: float) -> None:
        """Post while the process ends. See Debtor."""
        self._post_all(deadline, has_ended=True)

    def _wake(self) -> None:
        now = self._clock()
        self._due = now + _LATE * self._worker.interval
        for poster in [*self._posters.values()]:
            if poster.next_at is None:
                poster.next_at = now + poster.interval
                poster.changed_at = now
        self._worker.wake()

    def _post(self, poster: Poster, now: float) -> None:
        """Post, in the thread."""
        with self._turn:
            poster.next_at = now + poster.interval
            try:
                if poster.post():
                    poster.changed_at = now
                    poster.tidy_if_due(now)
            except Exception as error:  # noqa: BLE001 - the thread has no caller
                poster.complain(error)

    def _post_all(self, deadline: float, *, has_ended: bool) -> None:
        """Post, in the place of the thread. deadline: of `time.monotonic`."""
        for poster in [*self._posters.values()]:
            patience = deadline - time.monotonic()
            if patience <= 0.0 or not self._turn.acquire(timeout=patience):
                return
            try:
                poster.post(has_ended=has_ended)
                poster.tidy_if_due(self._clock(), has_ended=has_ended)
            except Exception as error:  # noqa: BLE001 - it is passed on if it is not ours
                poster.complain(pass_on(error))
            finally:
                self._turn.release()

    def stop_before_fork(self) -> None:
        """End the thread, if it is not posting just now. A call starts another one."""
        if self._worker.is_at_work:
            self._worker.stop(_STOP_PATIENCE)
            self._due = -math.inf

    def _renew(self) -> None:
        self._lock = threading.RLock()  # a signal handler may make calls in here
        self._turn = threading.RLock()
        self._due = -math.inf
        self._is_resting = False

    def _after_fork(self) -> None:
        self._renew()
        self._worker.renew()
        if threading.get_ident() != self._main:
            # A thread has forked. It may end, and the process with it: see _is_over.
            self._worker.interval = min(self._worker.interval, _LOOK_INTERVAL)
        for poster in self._posters.values():
            poster.renew()
        deliver_after_fork(self, deliver_last)


def _is_over() -> bool:
    """Return whether no thread is left that the process runs for.

    So it is in a child that a thread has forked, when that thread has ended in it:
    Python then ends the process with its last thread, whichever that is.
    """
    return not threading.main_thread().is_alive() and all(
        thread.daemon for thread in threading.enumerate()
    )


_posting: Posting | None = None


def post_counts_of(cache: "Cache", store: Store) -> None:
    """Post a new cache's counts, unless that is off or no process could read them.

    store: of the cache, without keyed names. What is in memory no other process reads.
    """
    global _posting  # noqa: PLW0603 - a process has one
    if not cache.settings.stats_interval or isinstance(store, MemoryStore):
        return
    board = board_of(store)
    if board is None:
        return
    if _posting is None:
        _posting = Posting()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=_posting.stop_before_fork)
    _posting.attach(cache, board)
