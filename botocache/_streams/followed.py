"""The followed tables of a store, as their ledgers and their heartbeats show them.

A ledger says what the followers have done, and a heartbeat what readers trust. The two
differ where the store has dropped one of them. The store is not trusted: a ledger that
is damaged or forged is left out.
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from botocache._cache.entries import CLOCK_SKEW, EntryCodec
from botocache._coherence import TRUST
from botocache._errors import CodecError
from botocache._streams import ledger as ledgers
from botocache._streams.ledger import FollowerSeen, Ledger, ShardPlace

TrustedUntil: TypeAlias = Callable[[str, str, float], float]
"""Returns until when a table counts as followed, from its region, its name and the
time; 0.0 if there is no heartbeat. See Heartbeats.trusted_until."""


@dataclass(frozen=True, slots=True)
class FollowedTable:
    """A table that is or was followed, at one moment of the store's clock.

    ledger: of all its followers.
    read_at: the moment.
    has_heartbeat: whether the store has a heartbeat that readers trust just now.
    """

    ledger: Ledger
    read_at: float
    has_heartbeat: bool

    @property
    def table(self) -> str:
        """Its name."""
        return self.ledger.table

    @property
    def lag(self) -> float:
        """Seconds since the moment before which each change has been evicted."""
        return self._since(self.ledger.followed_until)

    @property
    def is_fresh(self) -> bool:
        """Whether readers take the table as followed: they serve entries for `ttl`."""
        return self.has_heartbeat and self.lag < TRUST

    @property
    def followers(self) -> tuple[FollowerSeen, ...]:
        """Those that are there, the leaders and those that stand by."""
        # A follower that was killed stays in the ledger until another one changes it.
        return tuple(
            each for each in self.ledger.followers if self.read_at < each.seen_until
        )

    @property
    def leaders(self) -> tuple[FollowerSeen, ...]:
        """The followers that lead a shard."""
        # A lease that is over leads nothing, though its follower may be there yet.
        leading = {
            shard.leader
            for shard in self.ledger.shards
            if not ledgers.is_free(shard, self.read_at)
        }
        return tuple(each for each in self.followers if each.process in leading)

    @property
    def seconds(self) -> float:
        """Since the ledger began to count; 0.0 if that is not known."""
        # A ledger that has none began with a version that did not count.
        since = self.ledger.counted_since
        return max(0.0, self.read_at - since) if since else 0.0

    def lag_of(self, shard: ShardPlace) -> float:
        """Return the lag of one shard, in seconds."""
        return self._since(shard.followed_until)

    def _since(self, until: float) -> float:
        # Two processes may differ a little in their estimates of the store's time. What
        # lies further ahead is of another clock: readers do not trust it either.
        if until > self.read_at + CLOCK_SKEW:
            return self.read_at
        return max(0.0, self.read_at - until)


def read_followed(
    posted: Mapping[str, bytes],
    codec: EntryCodec,
    now: float,
    trusted_until: TrustedUntil | None = None,
) -> tuple[FollowedTable, ...]:
    """Return the followed tables among the records of a board, by their names.

    codec: of the records.
    now: in seconds on the store's clock.
    trusted_until: without it, each table counts as one that has its heartbeat.

    Raises StoreSkippedError if there are no keys.
    """
    found = []
    for name in filter(ledgers.is_ledger, posted):
        # A follower replaces what it cannot read, so nothing more is to be done here.
        with contextlib.suppress(CodecError):
            ledger = ledgers.open_ledger(codec, name, posted[name])
            place = ledger.region, ledger.table
            has_heartbeat = trusted_until is None or trusted_until(*place, now) > now
            found.append(FollowedTable(ledger, now, has_heartbeat))
    return tuple(sorted(found, key=lambda each: each.table))
