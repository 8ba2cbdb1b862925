"""Audits: hits that DynamoDB answers, to compare its answer with the entry.

In shadow mode every hit is audited, else the share of them that `audit` says. An audit
sends the request that the application made, and the application gets what DynamoDB
answers. It fills nothing: an outdated entry stays as outdated as it would be if it were
served, and that is what is measured.

What a difference means. Each write through botocache changes the generations of its
tags before it is sent. So an answer that shows a write that the entry does not show
proves one of these:

- The generations have changed since the load: the write came in between, and the entry
  is unreachable. The answer proves nothing, and is not counted.
- A tag was on hold-off at the load: `settling`. DynamoDB may have answered from a
  replica that lags behind a write of ours, which the entry shows already.
- By the table's policy no write evicts the entry: `ttl_only`.
- Else a writer has gone around botocache, or the answer is from a replica that lags
  behind such a writer. It is `unconfirmed`, and the read is suspect. If `settle`
  seconds later the same entry still differs, no replica lags any more: `lasting`. Of an
  index, which has no such bound, it is `lasting_on_index`.

If the table is followed when an entry is first seen to differ, a follower is expected
to evict it: the difference is `followed`, and `lasting` only after TRUST seconds, not
after `settle`. A later call looks once more whether the entry was evicted by then, so
that what followers promise is measured, too. No thread does: it may come late, and then
it counts only what it can still tell.

Outside of shadow mode, a suspect read is always audited until its entry is equal or the
difference lasting. Then the entry is evicted, so that all processes are right again.
"""

import random
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Final, NamedTuple

from botocache._cache.call_store import CallStore
from botocache._cache.comparison import say_the_same
from botocache._cache.evictions import Evictions
from botocache._cache.heartbeats import Heartbeats
from botocache._cache.tickets import AuditTicket
from botocache._coherence import TRUST, Held
from botocache._counting.counters import Counters
from botocache._counting.stats import EVICTED, FOLLOWED, LASTING, NOT_EVICTED
from botocache._dynamodb.plans import TABLE_TAG
from botocache._dynamodb.types import Answer
from botocache._errors import pass_on, shows
from botocache._forks import renew_after_fork
from botocache._log import LOG_INTERVAL, log, printable
from botocache._settings.load import Settings

MOST_SUSPECTS = 10_000
"""Reads that are suspect; at one more, the oldest is forgotten."""

MOST_EXPECTED = 1000
"""Evictions that are expected of followers; more are not looked for."""

_MOST_TABLES = 1000
"""Tables that the log has named; at one more, all are forgotten."""

_drawn: ContextVar[tuple[bool, ...]] = ContextVar("botocache_drawn", default=())
"""What the near cache has drawn for the next hits of the calling thread or task."""


@shows("stored_at", "seen_at", "is_followed")
class Suspect(NamedTuple):
    """An entry that has differed from DynamoDB's answer.

    stored_at: when its read was sent, which tells it from the entry after it.
    seen_at: when the first answer came that differed.
    is_followed: its table was followed then.
    """

    stored_at: float
    seen_at: float
    is_followed: bool = False


@shows("stored_at", "seen_at", "table", "operation")
class _ExpectedEviction(NamedTuple):
    """An entry that a follower should evict within TRUST seconds.

    key: of the entry.
    stored_at: see Suspect.
    seen_at: see Suspect.
    snapshot: of its tags, as it was when the entry was seen to differ.
    """

    key: bytes
    tags: tuple[bytes, ...]
    snapshot: Sequence[int]
    stored_at: float
    seen_at: float
    table: str
    operation: str


class _TableLog(NamedTuple):
    """The lasting differences of a table since the last line on the log.

    logged_at: when that line was written.
    times: how many they are.
    """

    logged_at: float
    times: int


class Audits:
    """The audits of one cache.

    saved_per_block: read units that an audited hit counts as saved, for each block of
        its item. In shadow mode, what it would save. Else none: DynamoDB has read them.
    outdate: called with the key of each read that becomes suspect, so that the near
        cache forgets its answer.
    """

    def __init__(
        self,
        settings: Settings,
        counters: Counters,
        evictions: Evictions,
        heartbeats: Heartbeats,
        draw: Callable[[], float] | None = None,
    ) -> None:
        self.is_shadow: Final = settings.shadow
        self.saved_per_block: Final = 0.5 if settings.shadow else 0.0
        self.outdate: Callable[[bytes], None] = _ignore
        self._share: Final = settings.audit
        self._settle: Final = settings.settle
        self._counters: Final = counters
        self._evictions: Final = evictions
        self._heartbeats: Final = heartbeats
        self._suspects: Final[dict[bytes, Suspect]] = {}
        self._expected: Final[dict[bytes, _ExpectedEviction]] = {}
        # Its parent looks again, and both would count.
        renew_after_fork(self, Audits._expect_nothing)
        self._logged: Final[dict[tuple[str, str], _TableLog]] = {}
        if draw is None:
            self._seed()
            renew_after_fork(self, Audits._seed)
        else:
            self._draw = draw

    def _seed(self) -> None:
        # Not the module's own: an application that seeds it counts on its numbers.
        self._draw = random.Random().random  # noqa: S311 - it draws samples, no secrets

    def _expect_nothing(self) -> None:
        self._expected.clear()

    # --- which hits ----------------------------------------------------------------

    def is_due(self, key: bytes, held: Held) -> bool:
        """Return whether a hit is audited instead of served.

        key: of its read.
        held: of its tags, at the load.
        """
        if self.is_shadow:
            return True
        drawn, is_drawn = _drawn.get(), None
        if drawn:  # one draw for each hit, not another one behind the near cache
            is_drawn = drawn[0]
            _drawn.set(drawn[1:])
        if key in self._suspects:
            return True
        # Within a hold-off a replica may lag behind a write of ours that the hit shows.
        # An audit must not give the application an older answer than the cache has.
        if held is not Held.FREE:
            return False
        return self.draw() if is_drawn is None else is_drawn

    def is_suspect(self, key: bytes) -> bool:
        """Return whether the entry of a read has differed from DynamoDB's answer."""
        return key in self._suspects

    def draw(self) -> bool:
        """Draw whether a near hit is audited."""
        return self._draw() < self._share

    def pass_on_draws(self, drawn: Sequence[bool]) -> None:
        """Audit those of the next hits of the calling thread or task that are drawn."""
        _drawn.set(tuple(drawn))

    # --- what their answers mean ---------------------------------------------------

    def finish(self, ticket: AuditTicket, answer: Answer) -> None:
        """Compare a hit with DynamoDB's answer; count and report the difference."""
        # First: a difference that lasts may evict the entry that is looked at here.
        if self._expected:
            self._look_again(ticket.store)
        if say_the_same(ticket.hit.answer, answer):
            key = ticket.prepared.key
            self._suspects.pop(key, None)
            expected = self._expected.get(key)
            if expected is not None and expected.stored_at == ticket.stored_at:
                # The other answer was of a replica that lagged: the entry is right.
                self._expected.pop(key, None)
            self._count(ticket, None, 0.0)
        elif not self._is_overtaken(ticket):
            self._count(ticket, *self._judge(ticket))

    def _count(
        self, ticket: AuditTicket, difference: str | None, seconds: float
    ) -> None:
        read, call = ticket.prepared.read, ticket.prepared.call
        series = self._counters.series(read.table, call.operation)
        series.add_comparison(difference, seconds)

    def _is_overtaken(self, ticket: AuditTicket) -> bool:
        """Return whether a write may have come between the load and the answer.

        Asks the store for the generations once more. So does nothing else here.
        """
        tags = ticket.prepared.tags
        if self._evictions.pending.includes(tags):
            return True
        try:
            loaded = ticket.store.load(ticket.hit.key, tags)
        except Exception as error:
            pass_on(error)
            self._evictions.report(
                "load_failed", "an answer that differs is not counted", error
            )
            return True
        return loaded.snapshot != ticket.loaded.snapshot

    def _judge(self, ticket: AuditTicket) -> tuple[str, float]:
        """Return what a difference is, and for how many seconds it was seen."""
        if ticket.loaded.held is not Held.FREE:
            return "settling", 0.0
        prepared = ticket.prepared
        if prepared.is_ttl_only:
            return "ttl_only", 0.0
        now = ticket.store.now()
        suspect = self._suspects.get(prepared.key)
        if suspect is None or suspect.stored_at != ticket.stored_at:
            is_followed = self._is_followed(ticket, now)
            self._suspect(prepared.key, Suspect(ticket.stored_at, now, is_followed))
            if not is_followed:
                return "unconfirmed", 0.0
            self._expect_eviction(ticket, now)
            return FOLLOWED, 0.0
        seconds = now - suspect.seen_at
        patience, kind = self._settle, "unconfirmed"
        if suspect.is_followed:
            patience, kind = max(TRUST, self._settle), FOLLOWED
        # From the first answer to the second request, not to its answer: whatever the
        # second one shows, a replica had that long to catch up.
        if ticket.began - suspect.seen_at < patience:
            return kind, seconds
        # Before the entry is evicted for the difference.
        expected = self._expected.pop(prepared.key, None)
        if expected is not None:
            self._count_eviction(expected, NOT_EVICTED)
        is_on_index = prepared.read.is_on_index
        self._report(prepared.read.table, seconds, now, is_on_index=is_on_index)
        if not self.is_shadow:
            self._heal(ticket)
        return ("lasting_on_index" if is_on_index else LASTING), seconds

    # --- what followers should evict -----------------------------------------------

    def _is_followed(self, ticket: AuditTicket, now: float) -> bool:
        """Return whether a follower is expected to evict what has changed."""
        call, read = ticket.prepared.call, ticket.prepared.read
        region = call.origin.partition(" ")[0]
        store = ticket.store
        return self._heartbeats.trusted_until(region, read.table, now, store) > now

    def _expect_eviction(self, ticket: AuditTicket, now: float) -> None:
        prepared = ticket.prepared
        # Not the oldest for the newest, as with suspects: under a load that stales many
        # entries, none would ever be old enough to be looked at.
        if len(self._expected) >= MOST_EXPECTED:
            return
        expected = _ExpectedEviction(
            ticket.hit.key,
            tuple(prepared.tags),
            ticket.loaded.snapshot,
            ticket.stored_at,
            now,
            prepared.read.table,
            prepared.call.operation,
        )
        # An earlier entry of the same read is due sooner.
        self._expected.setdefault(prepared.key, expected)

    def _look_again(self, store: CallStore) -> None:
        """Count whether one entry was evicted that differed TRUST seconds ago."""
        try:
            key, expected = next(iter(self._expected.items()))
        except (StopIteration, RuntimeError):  # another thread has changed it
            return
        late = store.now() - expected.seen_at - TRUST
        # Of two threads, the one that takes it out counts it.
        if late < 0 or self._expected.pop(key, None) is None:
            return
        try:
            loaded = store.load(expected.key, expected.tags)
        except Exception as error:
            pass_on(error)
            self._evictions.report(
                "load_failed", "what a follower has evicted is not counted", error
            )
            return
        if loaded.snapshot == expected.snapshot:
            self._count_eviction(expected, NOT_EVICTED)
        elif late < TRUST:  # much later it is not known whether it came in time
            self._count_eviction(expected, EVICTED)

    def _count_eviction(self, expected: _ExpectedEviction, outcome: str) -> None:
        series = self._counters.series(expected.table, expected.operation)
        series.add_follow_up(outcome)

    # --- suspects ------------------------------------------------------------------

    def _suspect(self, key: bytes, suspect: Suspect) -> None:
        self._suspects[key] = suspect
        if len(self._suspects) > MOST_SUSPECTS:
            # A list: another thread's suspect would end an iteration over the dict.
            for oldest in [*self._suspects][:-MOST_SUSPECTS]:
                self._suspects.pop(oldest, None)
        # After it is a suspect: a load in between would be remembered and served.
        self.outdate(key)

    def _heal(self, ticket: AuditTicket) -> None:
        """Evict an entry that is outdated, in all processes that share the store."""
        self._suspects.pop(ticket.prepared.key, None)
        self._evictions.evict_tags(_narrow(ticket.prepared.tags), ticket.store)

    def _report(
        self, table: str, seconds: float, now: float, *, is_on_index: bool
    ) -> None:
        """Log which table is written around botocache, at most once a minute each."""
        event, cause = "written_around", _WRITTEN_AROUND
        if is_on_index:
            event, cause = "index_behind", _INDEX_BEHIND
        if len(self._logged) >= _MOST_TABLES:
            self._logged.clear()
        # Without a lock: two threads may both log, but neither waits.
        seen = self._logged.get((event, table), _TableLog(-LOG_INTERVAL, 0))
        seen = seen._replace(times=seen.times + 1)
        if now - seen.logged_at >= LOG_INTERVAL:
            log.warning(_LINE, event, printable(table), seconds, seen.times, cause)
            seen = _TableLog(now, 0)
        self._logged[event, table] = seen


_LINE = (
    "%s: table '%s': an entry still differs from DynamoDB's answer %.0f s after it was "
    "first seen to (since the last line: %d times); %s"
)
_WRITTEN_AROUND = (
    "a writer that does not use this cache changes the table: call cache.invalidate() "
    "after its writes, or give the table a shorter ttl"
)
_INDEX_BEHIND = (
    "a writer that does not use this cache changes the table, or the index lags by "
    "more than settle: give the table a shorter ttl, or raise settle"
)


def _narrow(tags: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the tags that are neither everything's, the table's, nor the reader's."""
    return tuple(tags[TABLE_TAG + 1 : -1])


def _ignore(_key: bytes) -> None:
    """Stand in for `outdate` if there is no near cache."""
