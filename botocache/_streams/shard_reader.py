"""Reading one shard: its iterator, its pace, and up to when it was followed.

A page is read, then its evictions are done elsewhere, then it is concluded. Until that
the reader stays where it is: a page whose evictions fail is not lost.
"""

from collections.abc import Callable
from typing import Final

from botocache._streams.changes import sequence_number_of
from botocache._streams.ledger import Progress, ShardPlace
from botocache._streams.source import (
    IteratorExpiredError,
    Page,
    RecordsTrimmedError,
    StreamForbiddenError,
    StreamGoneError,
    StreamSource,
    StreamThrottledError,
)

BUSY_PAUSE = 0.25
"""Seconds between two pages of a shard that has records.

DynamoDB allows five requests a second for each shard, which others may want as well.
"""

QUIET_PAUSE = 2.0
"""Seconds between two pages of a shard that had no record for some time."""

LONGEST_PAUSE = 5.0
"""Seconds between two attempts, at most, while requests fail."""

UNSURE_PAGES = 5
"""Empty pages behind which a shard counts as read to its end.

DynamoDB may return an empty page though records are to come.
"""

_KEPT = 23 * 3600.0
"""Seconds for which records are kept for certain: DynamoDB says 24 hours."""

_SLACK = 1.0
"""Seconds. Streams know the time of a change to the second."""

_MOST_FAILURES = 10
"""Failures in a row after which an iterator is given up."""

_RECENT = 5.0
"""Seconds. Behind a record that is younger, an empty page is the end for now."""

_GROWTH = 1.5


class ShardReader:
    """Reads one shard that this process leads.

    place: where to begin.
    iterator: of a shard that was opened behind its newest record; None to open it.
    now: the store's clock, in seconds.
    wall_clock: seconds since the epoch; used where DynamoDB does not say its own time.

    due_at: when to read the next page, in seconds on the store's clock.
    read_at: when a request succeeded last, on the same clock; at first, when it began.
    page: that was read and is not concluded; None if there is none.
    has_gap: changes were missed, and cannot be read any more.
    children: the shards that go on, once `has_ended`; empty while none is known.
    requests: GetRecords that it has sent. Only `read` changes it.
    """

    def __init__(  # noqa: PLR0913 - a reader consists of these
        self,
        source: StreamSource,
        arn: str,
        place: ShardPlace,
        *,
        iterator: str | None,
        now: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self.id: Final = place.id
        self.due_at = 0.0
        self.read_at = now()
        self.page: Page | None = None
        self.has_gap = False
        self.has_ended = place.has_ended
        self.children: tuple[str, ...] = ()
        self.last_change = 0.0
        self.requests = 0
        self._reported = 0
        self._source: Final = source
        self._arn: Final = arn
        self._now: Final = now
        self._wall_clock: Final = wall_clock
        self._is_whole: Final = place.is_whole
        self._after = place.after
        self._followed_until = place.followed_until
        self._iterator = iterator
        self._unsure = 0 if iterator is not None else UNSURE_PAGES
        self._began = 0.0
        self._failures = 0
        self._pause = BUSY_PAUSE

    def __repr__(self) -> str:
        state = "ended" if self.has_ended else f"due at {self.due_at:.2f}"
        return f"<ShardReader {self.id!r} {state}>"

    @property
    def progress(self) -> Progress:
        """How far it has come."""
        return Progress(
            self._after, self._followed_until, self.has_ended, self.children
        )

    @property
    def can_be_resumed(self) -> bool:
        """Whether another follower could go on here. See ShardPlace."""
        return self._is_whole or bool(self._after)

    def new_requests(self) -> int:
        """Return how many GetRecords it has sent since the last call of this."""
        # Another thread may be in `read`, so `requests` is not set back.
        new, self._reported = self.requests - self._reported, self.requests
        return new

    def read(self) -> None:
        """Read the next page, or look for the shards that go on after the end.

        Raises StreamError; then `due_at` is later.
        """
        try:
            if self.has_ended:
                self._find_children()
            elif self.page is None:
                self._began = self._now()
                self.page = self._next_page()
        except (RecordsTrimmedError, StreamGoneError):
            self.has_gap = True
            self._wait(LONGEST_PAUSE)
            raise
        except (StreamThrottledError, StreamForbiddenError):
            self._wait(LONGEST_PAUSE)
            raise
        except Exception:
            self._wait(LONGEST_PAUSE)
            self._note_failure()
            raise
        self.read_at = self._now()

    def _note_failure(self) -> None:
        """Open the shard again after some failures: its iterator may be the reason."""
        self._failures += 1
        if self._failures < _MOST_FAILURES or self.has_ended:
            return
        self._failures, self._iterator = 0, None
        self.has_gap = not self.can_be_resumed

    def conclude(self) -> None:
        """Go on behind the page, whose evictions have succeeded."""
        page, self.page = self.page, None
        if page is None:
            return
        self._iterator, self._failures = page.next_iterator, 0
        if page.records:
            self._after = sequence_number_of(page.records[-1]) or self._after
            self.last_change = max(self.last_change, page.created_at or 0.0)
            lag = self._lag_of(page)
            self._unsure = 0 if lag < _RECENT else UNSURE_PAGES
            self._note_followed(self._began - lag - _SLACK)
            self._pause = BUSY_PAUSE
            self.due_at = self._now() + BUSY_PAUSE
        else:
            self._unsure = max(0, self._unsure - 1)
            # The end of a closed shard says nothing of the time after it: changes go to
            # its children now.
            if not self._unsure and self._iterator is not None:
                self._note_followed(self._began)
            self._wait(QUIET_PAUSE)
        if self._iterator is None:
            self.has_ended, self.due_at, self._pause = True, 0.0, BUSY_PAUSE

    def _note_followed(self, until: float) -> None:
        # A moment of the future is of a clock that was set back.
        if self._followed_until > self._now():
            self._followed_until = 0.0
        self._followed_until = max(self._followed_until, until)

    def _next_page(self) -> Page:
        if self._iterator is None:
            self._iterator = self._open()
        try:
            self.requests += 1
            return self._source.read(self._iterator)
        except IteratorExpiredError:
            # Once: an iterator that expires at once does not become better.
            self._iterator = None
            self._iterator = self._open()
            self.requests += 1
            return self._source.read(self._iterator)

    def _open(self) -> str:
        self._unsure = UNSURE_PAGES
        if self._after:
            return self._source.open_after(self._arn, self.id, self._after)
        if self._is_whole:
            # DynamoDB does not say that the oldest record is not the first one.
            if self._now() - self._followed_until > _KEPT:
                raise RecordsTrimmedError(
                    f"shard {self.id!r} may have lost its first records"
                )
            return self._source.open_oldest(self._arn, self.id)
        raise RecordsTrimmedError(
            f"shard {self.id!r} had no record yet, so it cannot be opened again at the "
            "place where it was left"
        )

    def _find_children(self) -> None:
        found = self._source.children(self._arn, self.id)
        self.children = tuple(shard.id for shard in found)
        if not self.children:
            self._wait(LONGEST_PAUSE)

    def _wait(self, longest: float) -> None:
        self._pause = min(self._pause * _GROWTH, longest)
        self.due_at = self._now() + self._pause

    def _lag_of(self, page: Page) -> float:
        """Return how old the newest record of a page is, in seconds.

        By DynamoDB's clock where it is known: this machine's may be wrong.
        """
        if page.created_at is None:
            return self._began - self._followed_until  # nothing is known
        now = page.answered_at
        return max(0.0, (self._wall_clock() if now is None else now) - page.created_at)
