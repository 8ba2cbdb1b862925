"""The ledger of a followed table: who reads which shard, and up to where. Pure.

All followers of a table share one record on the store's board, and change it by
compare-and-set. So whatever one of them decides here holds for all, or not at all.

- The *frontier* are the shards that have records to come. A shard that has ended leaves
  it only in exchange for the shards that go on from it, so nothing is skipped.
- A follower leads a shard by a *lease*, which it renews with each change. Any other may
  take a lease that is over. Two followers may read one shard for a moment, because one
  of them was paused. That does no harm: evictions come twice, and the one that was
  paused finds the record changed.
- A place only moves forward once the evictions of its records have succeeded.
- An *epoch* begins when the table was evicted as a whole, with all of its shards opened
  first. Then nothing of the time before matters: at the start, and after a gap.

*Followed until* F, a moment on the store's clock, says that each change that DynamoDB
made before it has been evicted. Once true it stays true: a gap evicts the table before
a newer F is written. So a follower that was paused may even post an old F: it can only
make readers more careful, until the next one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import NamedTuple

import msgspec

from botocache._cache.entries import EntryCodec
from botocache._cache.sealed import seal, unseal
from botocache._digests import digest
from botocache._errors import CodecError
from botocache._streams.source import Shard

LEASE = 5.0
"""Seconds for which a lease is good. Another follower takes over after that."""

LIFE = 86400.0
"""Seconds for which a ledger is kept: streams keep records as long."""

MOST_FOLLOWERS = 8
"""Followers of a table that share its shards; others stand by and look now and then."""

MOST_SHARDS = 4000
"""Shards of a frontier. The record of more would be larger than a board takes."""

_LONGEST_TEXT = 2048

_LARGEST_NUMBER = 2**53

_PREFIX = "stream-"


@dataclass(frozen=True, slots=True)
class ShardPlace:
    """How far a shard of the frontier was read.

    after: the sequence number of the last record whose eviction has succeeded; "" if
        there is none yet.
    is_whole: it is read from its oldest record on, as a child of another shard is. If
        not, it was opened behind its newest record, by the follower that leads it.
    followed_until: F of this shard; see the opening.
    leader: the id of a follower; "" if it has none.
    leased_until: in seconds on the store's clock.
    has_ended: all of its records are read, and no shard is known yet that goes on.
    """

    id: str
    after: str = ""
    is_whole: bool = False
    followed_until: float = 0.0
    leader: str = ""
    leased_until: float = 0.0
    has_ended: bool = False

    @property
    def can_be_resumed(self) -> bool:
        """Whether another follower can go on here without missing a record."""
        return self.is_whole or bool(self.after)


@dataclass(frozen=True, slots=True)
class FollowerSeen:
    """A follower of a table.

    process: a random id, in hex.
    host: the name of its machine.
    pid: its number there.
    seen_until: when it counts as gone, in seconds on the store's clock.
    """

    process: str
    host: str
    pid: int
    seen_until: float


@dataclass(frozen=True, slots=True)
class Ledger:
    """The record of a followed table.

    region: of DynamoDB. A store may serve clients of several, which have a table of one
        name each.
    arn: of its stream.
    view: what its records show; see Stream.
    epoch: a random id, another one for each epoch.
    shards: the frontier.
    records: that were read, by all followers since the ledger began.
    evicted: tags that were evicted for them.
    gaps: epochs that began because changes may have been missed.
    last_change: when DynamoDB made the newest change that was read, in seconds since
        the epoch of Unix; 0.0 if none was.
    requests: GetRecords that were sent, which AWS charges for.
    counted_since: when the ledger began, in seconds on the store's clock; 0.0 if that
        is not known.
    region: of DynamoDB; "" if it is not known.
    """

    table: str
    arn: str
    view: str
    epoch: str
    shards: tuple[ShardPlace, ...]
    followers: tuple[FollowerSeen, ...] = ()
    records: int = 0
    evicted: int = 0
    gaps: int = 0
    last_change: float = 0.0
    requests: int = 0
    counted_since: float = 0.0
    region: str = ""

    @property
    def followed_until(self) -> float:
        """F of the table: the least of its shards'."""
        return min((shard.followed_until for shard in self.shards), default=0.0)

    def led_by(self, process: str) -> tuple[ShardPlace, ...]:
        """Return the shards that a follower leads."""
        return tuple(shard for shard in self.shards if shard.leader == process)


class Progress(NamedTuple):
    """How far a follower has come in a shard since its last change of the ledger.

    See ShardPlace for the fields; `children` are the shards that go on from one that
    has ended, if they are known.
    """

    after: str
    followed_until: float
    has_ended: bool = False
    children: tuple[str, ...] = ()


# --- changes -----------------------------------------------------------------------


def begin_epoch(  # noqa: PLR0913 - what an epoch consists of
    former: Ledger | None,
    *,
    table: str,
    region: str,
    arn: str,
    view: str,
    epoch: str,
    shards: Iterable[str],
    leader: FollowerSeen,
    now: float,
    followed_until: float,
) -> Ledger:
    """Return the ledger of a table that was evicted with its shards opened before.

    former: the ledger before; None if there was none.
    shards: the ids of those that `leader` has opened behind their newest records.
    followed_until: a moment before the table was evicted.
    """
    places = tuple(
        ShardPlace(
            shard,
            followed_until=followed_until,
            leader=leader.process,
            leased_until=now + LEASE,
        )
        for shard in shards
    )
    new = Ledger(
        table, arn, view, epoch, places, (leader,), counted_since=now, region=region
    )
    if former is None:
        return new
    return replace(
        new,
        followers=(*_others_seen(former, leader.process, now), leader),
        records=former.records,
        evicted=former.evicted,
        gaps=former.gaps + 1,
        last_change=former.last_change,
        requests=former.requests,
        counted_since=former.counted_since or now,
    )


def advance(ledger: Ledger, process: str, progress: Mapping[str, Progress]) -> Ledger:
    """Return the ledger with what a follower has done in the shards that it leads.

    progress: by shard. What it has done in a shard that another one leads by now is
        left out: that one has begun where the ledger says.
    """
    known = {shard.id for shard in ledger.shards}
    shards: dict[str, ShardPlace] = {}
    for shard in ledger.shards:
        done = progress.get(shard.id) if shard.leader == process else None
        if done is None:
            shards[shard.id] = shard
            continue
        until = max(shard.followed_until, done.followed_until)
        if not done.children:
            shards[shard.id] = replace(
                shard,
                after=done.after or shard.after,
                followed_until=until,
                has_ended=done.has_ended,
            )
            continue
        for child in done.children:
            if child not in known:
                place = ShardPlace(child, is_whole=True, followed_until=until)
                shards.setdefault(child, place)
    return replace(ledger, shards=tuple(shards.values()))


def without_future(ledger: Ledger, now: float) -> Ledger:
    """Return the ledger without moments that the store's clock has not reached.

    They are from before it was set back, and say nothing about its time now.
    """
    if not any(shard.followed_until > now for shard in ledger.shards):
        return ledger
    shards = tuple(
        replace(shard, followed_until=0.0) if shard.followed_until > now else shard
        for shard in ledger.shards
    )
    return replace(ledger, shards=shards)


def lease(ledger: Ledger, me: FollowerSeen, now: float) -> Ledger:
    """Return the ledger with a follower's leases renewed, and new ones taken.

    It takes shards without a leader, up to its fair share, and gives back what is more.
    A shard that cannot be resumed is neither taken nor given back.
    """
    others = _others_seen(ledger, me.process, now)
    share = ceil(len(ledger.shards) / (len(others) + 1))
    mine = [shard for shard in ledger.shards if shard.leader == me.process]
    spare = [shard.id for shard in mine if shard.can_be_resumed]
    surplus = set(spare[: max(0, len(mine) - share)]) if others else set()
    held = len(mine) - len(surplus)
    shards: list[ShardPlace] = []
    for shard in ledger.shards:
        changed = shard
        if shard.leader == me.process:
            if shard.id in surplus:
                changed = replace(shard, leader="", leased_until=0.0)
            else:
                changed = replace(shard, leased_until=now + LEASE)
        elif is_free(shard, now) and shard.can_be_resumed and held < share:
            held += 1
            changed = replace(shard, leader=me.process, leased_until=now + LEASE)
        shards.append(changed)
    return replace(ledger, shards=tuple(shards), followers=(*others, me))


def release(ledger: Ledger, process: str) -> Ledger:
    """Return the ledger without a follower, which ends."""
    shards = tuple(
        replace(shard, leader="", leased_until=0.0)
        if shard.leader == process
        else shard
        for shard in ledger.shards
    )
    others = tuple(each for each in ledger.followers if each.process != process)
    return replace(ledger, shards=shards, followers=others)


def is_free(shard: ShardPlace, now: float) -> bool:
    """Return whether a shard has no leader at a moment of the store's clock."""
    # A lease that lies further ahead than any can have been given is damage, or of
    # before the store's clock was set back.
    return not shard.leader or not now < shard.leased_until <= now + 2 * LEASE


def has_gap(ledger: Ledger, now: float) -> bool:
    """Return whether a shard has lost its leader, and no other can go on there."""
    return any(
        is_free(shard, now) and not shard.can_be_resumed for shard in ledger.shards
    )


def strays(ledger: Ledger, shards: Sequence[Shard]) -> frozenset[str]:
    """Return the open shards that the frontier does not lead to.

    shards: of the stream, as DynamoDB shows them.

    A shard of the frontier stands for those that go on from it, and for those that it
    goes on from: these were read to their ends.
    """
    parents = {shard.id: shard.parent for shard in shards}
    frontier = {shard.id for shard in ledger.shards}
    covered = set(frontier)
    for each in frontier:
        at = parents.get(each, "")
        while at and at not in covered:
            covered.add(at)
            at = parents.get(at, "")
    found: set[str] = set()
    for shard in shards:
        if shard.is_closed or shard.id in covered:
            continue
        at = shard.parent
        while at and at not in frontier:
            at = parents.get(at, "")
        if not at:
            found.add(shard.id)
    return frozenset(found)


def may_join(ledger: Ledger, process: str, now: float, most: int) -> bool:
    """Return whether a follower is one of those that share the shards.

    most: followers that a table has, if this one shall be among them.
    """
    if any(each.process == process for each in ledger.followers):
        return True
    return len(_others_seen(ledger, process, now)) < min(most, MOST_FOLLOWERS)


def _others_seen(ledger: Ledger, process: str, now: float) -> tuple[FollowerSeen, ...]:
    return tuple(
        each
        for each in ledger.followers
        if each.process != process and now < each.seen_until <= now + 2 * LEASE
    )


# --- bytes -------------------------------------------------------------------------


def ledger_name(region: str, table: str) -> str:
    """Return the name of a table's ledger on the board."""
    return _PREFIX + digest("stream", region, table).hex()


def is_ledger(name: str) -> bool:
    """Return whether a record of the board is a ledger, by its name."""
    return name.startswith(_PREFIX)


def seal_ledger(codec: EntryCodec, ledger: Ledger, now: float) -> bytes:
    """Return a ledger's bytes. now: seconds since the epoch of Unix.

    Raises StoreSkippedError if there are no keys, and CodecError if it is too large.
    """
    name = ledger_name(ledger.region, ledger.table)
    return seal(codec, name, ledger, now, LIFE)


def open_ledger(codec: EntryCodec, name: str, sealed: bytes) -> Ledger:
    """Return a ledger. Raises CodecError or StoreSkippedError."""
    ledger = unseal(codec, name, sealed, _decode)
    if ledger_name(ledger.region, ledger.table) != name:
        raise CodecError("a ledger is of another table")
    texts = (ledger.table, ledger.arn, ledger.view, ledger.epoch, ledger.region)
    shards = [text for shard in ledger.shards for text in (shard.id, shard.after)]
    _check_texts((*texts, *shards, *(each.host for each in ledger.followers)))
    if not 0 < len(ledger.shards) <= MOST_SHARDS:
        raise CodecError("a ledger has an impossible number of shards")
    _check_numbers(ledger)
    return ledger


def _check_texts(texts: Sequence[str]) -> None:
    """Raise CodecError at what no follower writes: commands print these texts."""
    for text in texts:
        if len(text) > _LONGEST_TEXT or not text.isprintable():
            raise CodecError("a ledger has an impossible name")


def _check_numbers(ledger: Ledger) -> None:
    """Raise CodecError at what no follower writes: NaN, and what no clock shows."""
    # Written so that it is false for NaN, with which no comparison is true.
    moments = [at for s in ledger.shards for at in (s.followed_until, s.leased_until)]
    counts = (ledger.records, ledger.evicted, ledger.gaps, ledger.requests)
    numbers = (*moments, *counts, ledger.last_change, ledger.counted_since)
    if not all(0 <= number <= _LARGEST_NUMBER for number in numbers):
        raise CodecError("a ledger has an impossible number")


_decode = msgspec.msgpack.Decoder(Ledger).decode
