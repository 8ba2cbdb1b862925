"""Following one table: its share of the shards, the evictions, and the heartbeat.

A follower has two kinds of steps, and its caller decides when each is due. `read` and
`evict` move on in the shards that this process leads. `beat` writes into the ledger how
far they have come, renews the leases, and tells readers up to when the table is
followed: in this order, so that no reader trusts what is not evicted.

Whatever goes wrong, a place does not move, and readers fall back to their short TTL.
What waiting cannot put right begins a new epoch: all open shards are opened behind
their newest records first, and then the table is evicted.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from botocache._cache.services import CacheServices
from botocache._counting.stats import StreamStats
from botocache._dynamodb.values import table_name
from botocache._errors import CodecError, shows
from botocache._log import log, text_of
from botocache._streams import ledger as ledgers
from botocache._streams.ledger import LEASE, FollowerSeen, Ledger
from botocache._streams.page_evictions import PageEvictions
from botocache._streams.shard_reader import ShardReader
from botocache._streams.source import (
    Stream,
    StreamError,
    StreamGoneError,
    StreamSource,
)
from botocache._streams.troubles import Troubles
from botocache.stores.protocol import Board

BEAT = 1.0
"""Seconds between two changes of the ledger."""

LOOK = 10.0
"""Seconds between two looks of a follower that stands by; half as many at least."""

CHECK = 60.0
"""Seconds between two looks whether the stream is still switched on.

And whether it has a shard that no follower reads: DynamoDB may show a shard that goes
on from another one later than its sibling.
"""

RETRY = 5.0
"""Seconds from the begin of an epoch to the next, at least. Each one evicts the table.

Twice as many after each one, until all has been well for some time.
"""

LONGEST_RETRY = 80.0
"""Seconds from one attempt to begin an epoch to the next, at most."""

PAUSE = 0.5
"""Seconds after which an eviction is tried again that the store failed to do."""

HOPELESS = 30.0
"""Seconds without a page of any shard, after which others may try to read them."""

_ATTEMPTS = 5
"""Times that a change of the ledger is tried while others change it."""


class NoStreamError(StreamGoneError):
    """A table has no stream that is switched on. The message says how to do that."""

    def __init__(self, table: str) -> None:
        super().__init__(
            f"table {table!r} has no stream that is switched on; switch one on: aws "
            f"dynamodb update-table --table-name {table} --stream-specification "
            "StreamEnabled=true,StreamViewType=KEYS_ONLY"
        )


@shows("process", "host", "pid")
class Identity(NamedTuple):
    """What a follower is known by.

    process: a random id, in hex.
    """

    process: str
    host: str
    pid: int

    def seen(self, now: float) -> FollowerSeen:
        """Return how it stands in a ledger."""
        return FollowerSeen(self.process, self.host, self.pid, now + LEASE)


@shows("records", "evicted", "requests", "gaps")
class Counts(NamedTuple):
    """What a follower has done in a table. See Ledger, which has the sums of all."""

    records: int = 0
    evicted: int = 0
    requests: int = 0
    gaps: int = 0


class TableFollower:
    """Follows one table. One thread at a time may use it.

    table: its name or ARN.
    region: of DynamoDB.
    services: of the cache whose store it evicts in.
    board: of that store.
    most: followers that the table has, if this one shall share the shards; with more,
        it stands by.
    wall_clock: seconds since the epoch.
    random: as os.urandom.

    table: its name.
    readers: of the shards that this process leads, by their ids.
    ledger: as it was seen last; None before the first beat.
    troubles: what fails.
    counts: of this process, since it began to follow.
    """

    def __init__(  # noqa: PLR0913 - a follower consists of these
        self,
        table: str,
        region: str,
        source: StreamSource,
        *,
        services: CacheServices,
        board: Board,
        identity: Identity,
        most: int = ledgers.MOST_FOLLOWERS,
        wall_clock: Callable[[], float],
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.table: Final = table_name(table)
        self.readers: dict[str, ShardReader] = {}
        self.ledger: Ledger | None = None
        self.counts = Counts()
        self._region: Final = region
        self._source: Final = source
        self._heartbeats: Final = services.heartbeats
        self._codec: Final = services.records
        self._board: Final = board
        self._parameter: Final = table
        self._name: Final = ledgers.ledger_name(region, self.table)
        self._me: Final = identity
        self._most: Final = most
        self._wall_clock: Final = wall_clock
        self._random: Final = random
        self._now: Final = services.store.now
        self.troubles: Final = Troubles(self.table, self._now)
        self._evictions: Final = PageEvictions(self.table, services, self.troubles)
        self._sealed: bytes | None = None
        self._epoch = ""  # of the readers
        self._next_beat = self._next_check = self._next_epoch = 0.0
        self._next_eviction = 0.0
        self._retry = RETRY
        self._posted_until = self._written_until = 0.0
        self._strays: frozenset[str] = frozenset()
        self._written = Counts()  # those that the ledger has

    def __repr__(self) -> str:
        return f"<TableFollower {self.table!r} leads {len(self.readers)} shards>"

    def stats(self) -> StreamStats:
        """Return what this process has done, and how far behind the table is."""
        lag = None
        # A process that stands by does not know it. By what was written last, also
        # while the store or the stream fails: then the lag grows, as it should.
        if self.readers:
            lag = max(0.0, self._now() - self._written_until)
        return StreamStats(self.table, lag, *self.counts)

    def check(self) -> Stream:
        """Return the stream of the table. Raises StreamError if it has none."""
        stream = self._source.find(self._parameter)
        if stream is None or not stream.is_enabled:
            raise NoStreamError(self.table)
        return stream

    # --- records ---------------------------------------------------------------------

    def due(self, now: float) -> list[ShardReader]:
        """Return the readers that should read now, in the order of their times."""
        due = [
            reader
            for reader in self.readers.values()
            if _is_over(reader.due_at, now)
            and reader.page is None
            and not reader.children
        ]
        return sorted(due, key=lambda reader: reader.due_at)

    def next_due(self) -> float:
        """Return when something is to be done, in seconds on the store's clock."""
        reads = [
            # A page that could not be evicted waits for the store.
            r.due_at if r.page is None else self._next_eviction
            for r in self.readers.values()
            if not r.children
        ]
        return min((self._next_beat, *reads))

    def note_failure(self, error: StreamError) -> None:
        """Note that a reader has failed; the log says so once for each trouble."""
        self.troubles.note(text_of(error))

    def evict(self, readers: Iterable[ShardReader]) -> bool:
        """Evict what has been read; return False if the store failed.

        The readers keep their pages then, and the next call tries again.
        """
        # An iterator would be used up by the first of these two.
        readers = [*readers]
        self._count(requests=sum(reader.new_requests() for reader in readers))
        waiting = [reader for reader in readers if reader.page is not None]
        if not waiting:
            return True
        if not _is_over(self._next_eviction, self._now()):
            return False
        pages = [reader.page for reader in waiting if reader.page is not None]
        tags = self._evictions.tags_of(pages)
        if not self._evictions.evict(tags):
            self._next_eviction = self._now() + PAUSE
            return False
        records = sum(len(page.records) for page in pages)
        self._count(records=records, evicted=len(tags))
        for reader in waiting:
            could_be_resumed = reader.can_be_resumed
            reader.conclude()
            if reader.can_be_resumed and not could_be_resumed:
                # At once: until it is in the ledger, who takes over evicts the table.
                self._next_beat = 0.0
        return True

    def _count(
        self, records: int = 0, evicted: int = 0, requests: int = 0, gaps: int = 0
    ) -> None:
        before = self.counts
        self.counts = Counts(
            before.records + records,
            before.evicted + evicted,
            before.requests + requests,
            before.gaps + gaps,
        )

    # --- the ledger ------------------------------------------------------------------

    def beat(self) -> None:
        """Write how far this process has come; renew and take leases. Raises nothing.

        Does nothing before it is due.
        """
        now = self._now()
        if not _is_over(self._next_beat, now):
            return
        self._next_beat = now + BEAT
        try:
            self._beat(now)
        except Exception as error:  # noqa: BLE001 - the follower goes on, and tries again
            self.troubles.note(text_of(error))

    def release(self) -> None:
        """Give back what this process leads, so that others need not wait for it."""
        try:
            self.evict(self.readers.values())
            for _ in range(_ATTEMPTS):
                found = self._current_ledger()
                if found is None:
                    return
                if self._write(
                    ledgers.release(self._advanced(found), self._me.process)
                ):
                    break
        except Exception as error:  # noqa: BLE001 - its leases end by themselves
            self.troubles.note(text_of(error))
        self._forget()

    def _beat(self, now: float) -> None:
        if any(reader.has_gap for reader in self.readers.values()):
            self._begin_epoch(now)
            return
        if self._is_hopeless(now):
            # Its network may be at fault, or its credentials. Others may have better.
            self.release()
            self._next_beat = now + LOOK
            return
        me = self._me.seen(now)
        for _ in range(_ATTEMPTS):
            found = self._current_ledger()
            if found is None:
                self._begin_epoch(now)
                return
            if not ledgers.may_join(found, me.process, now, self._most):
                self._forget()
                pause = LOOK * (0.5 + self._random(1)[0] / 512)
                self._next_beat = now + pause
                return
            new = ledgers.lease(self._advanced(found), me, now)
            if ledgers.has_gap(new, now):
                self._begin_epoch(now)
                return
            if self._write(new):
                self._adopt(new, {})
                self._check_stream(now)
                if self.troubles.are_over():
                    self._retry = RETRY
                return
        self.troubles.note("other followers change the ledger all the time")

    def _is_hopeless(self, now: float) -> bool:
        """Return whether this process leads shards, and cannot read any of them."""
        readers = self.readers.values()
        if not readers or any(r.page is not None or r.children for r in readers):
            return False  # what was read waits for the store
        return now > max(reader.read_at for reader in readers) + HOPELESS

    def _current_ledger(self) -> Ledger | None:
        """Return the ledger as this process has left it, or else as it is now."""
        if self.ledger is None:
            found = self._board.posted([self._name]).get(self._name)
            self._sealed = found
            if found is None:
                return None
            try:
                self.ledger = ledgers.open_ledger(self._codec, self._name, found)
            except CodecError as error:
                # No follower can use it. A new epoch takes its place.
                self.troubles.note(f"the ledger is damaged: {text_of(error)}")
                return None
            if self.ledger.epoch != self._epoch:
                self.readers.clear()  # what they have read counts for nothing
                self._epoch = self.ledger.epoch
        return self.ledger

    def _advanced(self, ledger: Ledger) -> Ledger:
        """Return the ledger with what this process has done since its last change."""
        ledger = ledgers.without_future(ledger, self._now())
        progress = {reader.id: reader.progress for reader in self.readers.values()}
        changes = [reader.last_change for reader in self.readers.values()]
        counts, written = self.counts, self._written
        return replace(
            ledgers.advance(ledger, self._me.process, progress),
            records=ledger.records + counts.records - written.records,
            evicted=ledger.evicted + counts.evicted - written.evicted,
            requests=ledger.requests + counts.requests - written.requests,
            last_change=max((ledger.last_change, *changes)),
        )

    def _write(self, new: Ledger) -> bool:
        """Put a ledger in the place of the one that was seen; False if it is another.

        Then the next look reads it anew.
        """
        sealed = ledgers.seal_ledger(self._codec, new, self._wall_clock())
        parts = {} if self._sealed is None else {self._name: self._sealed}
        self.ledger = None  # first: if this raises, it is not known what is there
        if not self._board.merge(parts, self._name, sealed, ledgers.LIFE):
            return False
        self._sealed, self.ledger, self._epoch = sealed, new, new.epoch
        self._written = self.counts
        return True

    def _adopt(self, ledger: Ledger, iterators: Mapping[str, str]) -> None:
        """Read the shards that this process leads by a ledger, and no others.

        iterators: of shards that were opened behind their newest records.
        """
        self._written_until = ledger.followed_until
        led = {shard.id: shard for shard in ledger.led_by(self._me.process)}
        for shard in [*self.readers]:
            if shard not in led:
                del self.readers[shard]
        for shard, place in led.items():
            if shard not in self.readers:
                self.readers[shard] = ShardReader(
                    self._source,
                    ledger.arn,
                    place,
                    iterator=iterators.get(shard),
                    now=self._now,
                    wall_clock=self._wall_clock,
                )
        # After the write: who reads this trusts that others go on from there.
        until = ledger.followed_until
        if self._posted_until > self._now():  # the store's clock was set back
            self._posted_until = 0.0
        if self.readers and until > self._posted_until:
            self._heartbeats.post(self._region, self.table, until)
            self._posted_until = until

    # --- epochs ----------------------------------------------------------------------

    def _begin_epoch(self, now: float) -> None:
        """Evict the table, with all open shards opened behind their newest records."""
        if not _is_over(self._next_epoch, now, LONGEST_RETRY):
            return
        self._next_epoch = now + RETRY
        former = self._epoch
        stream = self.check()
        shards = [s.id for s in self._source.shards(stream.arn) if not s.is_closed]
        # First: what is changed from now on is read. Then the eviction covers all that
        # was changed before.
        opened = {
            shard: self._source.open_latest(stream.arn, shard) for shard in shards
        }
        if not 0 < len(opened) <= ledgers.MOST_SHARDS:
            raise StreamError(f"the stream has {len(opened)} open shards")
        until = self._now()
        if not self._evictions.evict_table():
            return
        self._next_epoch = now + self._retry
        self._retry = min(2 * self._retry, LONGEST_RETRY)
        for _ in range(_ATTEMPTS):
            # Anew: others change it every second. What they change is of no more use,
            # unless one of them has begun an epoch, too.
            self.ledger = None
            found = self._current_ledger()
            if found is not None and found.epoch != former:
                return
            new = ledgers.begin_epoch(
                found,
                table=self.table,
                region=self._region,
                arn=stream.arn,
                view=stream.view,
                epoch=self._random(8).hex(),
                shards=opened,
                leader=self._me.seen(self._now()),
                now=self._now(),
                followed_until=until,
            )
            if self._write(new):
                self._count(gaps=found is not None)
                log.info(_BEGUN, self.table, len(opened))
                self.readers.clear()
                self._adopt(new, opened)
                return

    def _check_stream(self, now: float) -> None:
        """Begin a new epoch if the stream was switched off and another one is on."""
        has_lost = any(r.has_ended and not r.children for r in self.readers.values())
        if self.ledger is None or not _is_over(self._next_check, now):
            return
        self._next_check = now + (RETRY if has_lost else CHECK)
        leads_first = self.ledger.shards[0].id in self.readers
        if not (leads_first or has_lost):
            return
        if not self._source.is_enabled(self.ledger.arn):
            self.check()  # raises if there is none
            self._begin_epoch(now)
        elif leads_first and self._has_strays(self.ledger):
            self.troubles.note("shards came up that no follower knew of")
            self._begin_epoch(now)

    def _has_strays(self, ledger: Ledger) -> bool:
        """Return whether two looks have found a shard that no follower reads.

        Two, because DynamoDB may show a shard as open that has just ended.
        """
        found = ledgers.strays(ledger, self._source.shards(ledger.arn))
        again, self._strays = found & self._strays, found
        return bool(again)

    def _forget(self) -> None:
        self.readers.clear()
        self.ledger = None


def _is_over(moment: float, now: float, longest: float = CHECK) -> bool:
    """Return whether a pause is over, on the store's clock.

    moment: its end. One that lies further ahead than any pause lasts was set before the
        clock was set back.
    longest: seconds that the pause may last.
    """
    return not now < moment <= now + longest


_BEGUN = (
    "stream_followed: the stream of table %r is followed from now on (shards: %d); the "
    "table was evicted, because changes from before are not known"
)
