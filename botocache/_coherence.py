"""The laws of coherence: what may be served, what may be filled, what a write changes.

Pure: no I/O, clock, randomness or logging; those come in as arguments.

Theory of operation
-------------------
A *tag* names something that a write can change. The store that processes share keeps
two words for each tag: its *generation*, an opaque random 64-bit value, and the moment
until which the tag is on *hold-off*. An entry carries its *snapshot*: the generations
that its tags had before its read was sent.

    An entry is served only while its snapshot equals the current generations.

A write evicts its tags twice: it gives them new generations. The first eviction comes
before the request is sent, so no entry from before the write is served once the write
has begun. The second one comes after the response, also after an error, so no read
that ran during the write leaves an entry that can be served. A generation is never
reused. So an entry that is served proves that no write of its tags began or ended
between its read's start and now: it is as new as the last write that completed before
the present read began. Evictions search for nothing and delete nothing. A lost
generation (by eviction, restart, a removed directory) can only cost a miss.

*Hold-off* covers two cases for which new generations are not enough:

- DynamoDB's own reads lag. An eventually consistent read that is sent just after a
  write may still see the old item, with a snapshot that stays current. So nothing
  that depends on a tag is filled until `settle` seconds after the write's end.
- A writer may die between DynamoDB's commit and its second eviction. So nothing is
  filled until `write_hold_off` seconds after the write's begin.

A hold-off that lies further ahead than any can have been set is damage, and ignored.

A hold-off is *settling* when no write can be under way any more, so that it waits for
DynamoDB's replicas alone. During a settling hold-off, and no other, two things may be
filled. One is a strongly consistent answer. The other is the item that a write has
left, if the write was *alone*: no other write was under way at its first eviction, and
no other eviction came between its two. Otherwise two writers may end in another order
than the one in which DynamoDB carried their writes out.

The second eviction shortens the hold-off from `write_hold_off` to `settle` only if it
finds the generation that the first one left: then no other write has begun or ended
since. It never goes below the hold-off that the first one found, because that may
belong to a writer that began earlier and is still under way. And it does so only if
DynamoDB answered: a request that timed out may still be carried out.

Late second evictions
---------------------
A second eviction need not have arrived when its write returns, if it has been sent. The
first one left a generation and a hold-off that is not settling. Entries from before the
write are dead by that generation, and under it nothing is filled until the hold-off
ends. So a late arrival can cost misses alone. It is different in these cases, in which
the write waits:

- Something rests on what the second eviction returns: restoring, learning key
  attributes, or tags that follow from learned ones. Write-through rests on it as well,
  unless the store itself puts the entry, in one step with the eviction and only if
  that finds the write alone. Or the first eviction failed.
- DynamoDB gave no certain answer, or the write took half of `settle` or longer, or
  longer than `write_hold_off` exceeds `settle`. Then a hold-off might be over before
  the eviction arrives, and an older answer be filled.

Whatever is not confirmed becomes pending: an error, a connection that is lost, a reply
that never comes. A store that loses generations and hold-offs during such a write may
let a strongly consistent read of the old item be filled. It is served until the
eviction arrives.

Restoring
---------
A write may *restore* a tag: its second eviction puts back the generation and hold-off
that the first one found. This is the one case in which a generation comes again. Three
conditions make it safe:

- The write was alone on the tag. An eviction by another writer is never undone.
- DynamoDB answered, and its answer proves which entries the write concerns. Each of
  them depends on another tag, too, which the same eviction gives a new generation.
- The restored tag is written last. A writer that dies before leaves the tag evicted.

Precise index eviction restores the *writes* tag of a table, which every write of an
item evicts. The answer holds the item's old image, from which the new one follows. In
place of the writes tag the second eviction evicts two kinds of tags:

- the partition of each attribute value in the two images;
- *precise writes* of the table, which stands for all writes that restore.

A read that may show any item (a Scan, for example) depends on writes and on precise
writes. An index query whose key attribute has one value depends on writes and on that
value's partition instead, with the setting. No read depends on the writes tag without
one of the other two. A process without the setting evicts the writes tag and restores
nothing, so processes with and without the setting can share a store.

Readers
-------
Each entry depends on one tag that no write evicts: that of its reader, which is a scope
and a table. A read that DynamoDB refuses evicts it. So an entry that is served also
proves that its reader has not been refused since its read was sent. For coherence it is
a tag as any other: it can only cost misses.

Following streams
-----------------
A *follower* reads of every change of a table, by any program, and evicts what a write
of ours would have evicted. Its eviction is the second half of a write that had no first
half: the write is over, and DynamoDB's replicas may lag. So it asks for `settle`
seconds of hold-off, which are settling, and never shortens another hold-off.

The follower posts a *heartbeat* F once the evictions have succeeded: every change that
DynamoDB made before F is evicted. F is true for ever. Before it can be wrong, because
changes were missed, the follower evicts the whole table.

    An entry that was stored at s is served at t only if t < s + ttl, and either
    t < s + ttl_unfollowed or t < F + TRUST.

So what others have overwritten is served no longer than the follower takes to evict it,
nor longer than TRUST: an entry that is older than ttl_unfollowed, and still current,
proves that no change before F concerns it. This needs an order: a reader reads F first
and the generations second. In the other order, a follower that was late might evict
and post F in between. Then F would vouch for generations from before the eviction.

`ttl_unfollowed` is a setting of the reader. Entries whose tags no change evicts, those
of `ttl_only` reads, are never followed.

Coalescing
----------
A reader that misses may take the entry that another one's read is about to fill, if its
own look, made after its read began, gave the generations of that entry's snapshot. Then
no write of the tags began or ended between the two looks. The other read was sent after
its own look. So a write that was over when this reader began was over when that read
was sent, as if the reader had found the entry. Which look came first does not matter.
No reader takes what may not be filled: of two replicas, one may lag.

Stale answers
-------------
With `stale_if_throttled`, an entry outlives its TTL in the store. It may answer a read
that DynamoDB has refused for lack of capacity, or has not answered at all:

    Its snapshot equals the generations of a look after that read began, and it is over
    its end by no more than the user allowed.

The first half is the law of a hit, word for word. So no write of its tags began or
ended between its own read's start and the look, and a stale answer is as new as the
last write that completed before the present read began. Only the TTL is stretched,
which bounds what is written around botocache. Writes that come between the look and the
refusal run beside the read, as they would beside DynamoDB's own answer. The end is what
a hit goes by: the earliest of what the entry, the policy of the table here, and the
heartbeat say that was read before the look.

Memory
------
Where the two words are memory shared between processes, a writer stores the hold-off
first and the generation second; a reader looks at the generation first and the
hold-off second. So a reader that gets the new generation also sees its hold-off.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

from botocache._errors import shows

LONGEST_HOLD_OFF = 3600.0
"""Seconds. No hold-off may be set longer than this."""

TRUST = 10.0
"""Seconds for which a heartbeat vouches, from the moment up to which it is followed."""

_DAMAGE = 2 * LONGEST_HOLD_OFF
"""Seconds. A hold-off that lies further ahead than this can only be damage."""


class Held(IntEnum):
    """Whether, and for what, some tags are on hold-off. True when they are."""

    FREE = 0
    SETTLING = 1
    WRITING = 2


class TagState(NamedTuple):
    """What a store holds of one tag.

    generation: opaque, random, 64 bits.
    held_until: seconds on the store's clock; 0.0 when the tag never was on hold-off.
    is_settling: no write was under way when the hold-off was set.
    """

    generation: int
    held_until: float
    is_settling: bool = False


class TagEviction(NamedTuple):
    """What an eviction did to one tag. The second eviction of a write compares with it.

    generation: the one that the eviction left.
    held_until: the end of the hold-off that the eviction found.
    is_settling: that hold-off was settling.
    previous_generation: the generation that the eviction found.
    was_alone: true in a second eviction that found what the first one had left.
    """

    generation: int
    held_until: float
    is_settling: bool = False
    previous_generation: int = 0
    was_alone: bool = False


@shows("snapshot", "held")
class Loaded(NamedTuple):
    """The answer to a store's `load`.

    entry: the bytes last filled under the key, valid or not; None when absent.
    snapshot: the generations of the tags, in their order, from before `entry` was
        looked up.
    held: whether any of the tags is on hold-off, and for what.
    """

    entry: bytes | None
    snapshot: tuple[int, ...]
    held: Held


class Eviction(NamedTuple):
    """The answer to a store's `evict`.

    evicted: what was done to each tag of the request.
    watched: the generation that each watched tag has after the eviction.
    held: whether any watched tag is on hold-off after the eviction, and for what.
    has_put: the store has put the entry of the request.
    """

    evicted: Mapping[bytes, TagEviction]
    watched: Mapping[bytes, int]
    held: Held = Held.FREE
    has_put: bool = False


@shows()
class LeftEntry(NamedTuple):
    """The entry of what a write has left, which a second eviction may put.

    A store puts it if the second eviction finds what the first one has left: of the
    item, and of each other tag. Any store may leave that to its caller.

    key: of the entry.
    item: the tag of the item; the request evicts it.
    others: the other tags of the entry, which the request watches, and the generations
        that they had at the first eviction.
    made: given the generation that the second eviction gives to the item, returns the
        entry and the seconds that it lives; or None.
    """

    key: bytes
    item: bytes
    others: Mapping[bytes, int]
    made: Callable[[int], tuple[bytes, float] | None]


class EvictionRequest(NamedTuple):
    """What a store's `evict` is asked for.

    tags: digests of what gets a new generation.
    hold_off: seconds from now during which nothing that depends on them is filled.
    watch: digests of tags whose generations and hold-off are returned.
    first_eviction: of the same write, if this is its second and DynamoDB answered.
    restore: those of `tags` that go back to what the first eviction found, if no other
        write has evicted them since.
    left: the entry that the store may put, if this is the second eviction.
    """

    # A NamedTuple: each write makes two; a frozen dataclass takes 2.5 times as long.

    tags: Sequence[bytes]
    hold_off: float
    watch: Sequence[bytes] = ()
    first_eviction: Eviction | None = None
    restore: Collection[bytes] = ()
    left: LeftEntry | None = None

    def as_first(self) -> "EvictionRequest":
        """Return the request of a write whose first eviction counts for nothing."""
        return self._replace(first_eviction=None, restore=(), left=None)


def next_state(
    found: TagState, fresh: int, now: float, hold_off: float, first: TagEviction | None
) -> TagState:
    """Return what an eviction at `now` leaves of a tag.

    fresh: a generation that was never used.
    hold_off: seconds from now that this eviction asks for.
    first: what the first eviction of the same write did to the tag, if this is its
        second and DynamoDB answered; else None.
    """
    return TagState(
        fresh,
        next_held_until(found, now, hold_off, first),
        next_is_settling(found, now, first),
    )


def restored_state(found: TagState, first: TagEviction | None) -> TagState | None:
    """Return what a tag was before its write's first eviction.

    None if another write has evicted the tag since: its eviction must not be undone.
    """
    if first is None or first.generation != found.generation:
        return None
    # With its hold-off: it may belong to a write that is still under way.
    return TagState(first.previous_generation, first.held_until, first.is_settling)


def next_held_until(
    found: TagState, now: float, hold_off: float, first: TagEviction | None
) -> float:
    """Return until when a tag is held after an eviction at `now`.

    hold_off: seconds from now that this eviction asks for.
    first: as for `next_state`.
    """
    others = found.held_until
    # Only its own generation proves that no other write came between. Without the
    # comparison a short write nested in a long one would end the long one's hold-off.
    if first is not None and first.generation == found.generation:
        # The hold-off is this write's own, and may be shortened; but not below what the
        # first eviction found: the writer that set it may still be under way.
        others = first.held_until
    if others - now > _DAMAGE:
        others = 0.0
    return max(others, now + hold_off)


def next_is_settling(found: TagState, now: float, first: TagEviction | None) -> bool:
    """Return whether no write is under way after an eviction at `now`.

    True only at the end of a write that DynamoDB answered, and only if the hold-off
    of every other writer is settling, or over.
    """
    if first is None:
        return False  # the write begins, or DynamoDB may still carry it out
    others: TagState | TagEviction = found
    if first.generation == found.generation:
        others = first
    return others.is_settling or not is_held(others.held_until, now)


def is_held(held_until: float, now: float) -> bool:
    """Tell whether a tag is on hold-off: nothing that depends on it may be filled."""
    return 0.0 < held_until - now <= _DAMAGE


def may_serve(
    snapshot: Sequence[int], current: Sequence[int], expires_at: float, now: float
) -> bool:
    """Tell whether an entry with `snapshot` may answer a read that begins now."""
    return now < expires_at and snapshot == current


def served_until(
    stored_at: float, ttl: float, ttl_unfollowed: float, trusted_until: float
) -> float:
    """Return from when on an entry is not served, if a follower may vouch for it.

    stored_at: when its read was sent.
    ttl: seconds that it is served while its table is followed.
    ttl_unfollowed: seconds that it is served otherwise.
    trusted_until: TRUST after the heartbeat that was read before the generations.
    """
    return min(stored_at + ttl, max(stored_at + ttl_unfollowed, trusted_until))


def may_serve_stale(
    snapshot: Sequence[int],
    current: Sequence[int],
    expires_at: float,
    now: float,
    stale_for: float,
) -> bool:
    """Tell whether an entry with `snapshot` may answer a read that DynamoDB refused.

    current: generations of a look after that read began.
    expires_at: until when the entry may be a hit.
    now: the moment of the answer.
    stale_for: seconds that the user allows after `expires_at`; 0 for none.
    """
    return stale_for > 0.0 and now < expires_at + stale_for and snapshot == current


def may_fill(held: Held, *, is_consistent: bool) -> bool:
    """Tell whether an answer may be filled by the hold-off that its read saw.

    is_consistent: it was read strongly consistent, so no replica's lag is in it.
    """
    return held is Held.FREE or (is_consistent and held is Held.SETTLING)
