"""What the script that evicts is given for each tag, and what it replies. Pure.

evict.lua describes both.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from struct import Struct, unpack
from typing import NamedTuple

from botocache._coherence import EvictionRequest, TagEviction
from botocache.stores.redis.scripts import STATE, US
from botocache.stores.redis.types import Command, Reply

_MARK = Struct("<QQQ?")
"""What a first eviction did to a tag, and whether the second one restores it."""

_MOST = (1 << 64) - 2
"""The word of a hold-off that lies as far ahead as any. That is damage."""

_EVICTED = STATE.size + 8
"""Bytes of the reply for each tag that was evicted."""


class Evicted(NamedTuple):
    """A reply of the script.

    evicted: what was done to the tags.
    watched: generation and word of each watched tag, in their order; empty if the
        server is full.
    has_put: the entry was put.
    """

    evicted: Mapping[bytes, TagEviction]
    watched: Sequence[tuple[int, int]]
    has_put: bool


def in_order(tags: Sequence[bytes], restore: Collection[bytes]) -> list[bytes]:
    """Return each tag once, restored ones last: a script may be stopped between two."""
    once = [*dict.fromkeys(tags)]
    return sorted(once, key=lambda tag: tag in restore) if restore else once


def encode_second(
    fresh: Sequence[bytes], tags: Sequence[bytes], request: EvictionRequest
) -> list[bytes]:
    """Return the arguments for the tags of a second eviction, and what is left.

    fresh: generations that were never used, for `tags` and for others.
    request: has the first eviction.
    """
    restore = request.restore
    first = request.first_eviction.evicted if request.first_eviction else {}
    arguments = [*fresh]
    for at, tag in enumerate(tags):
        if (mark := first.get(tag)) is not None:
            generation, held_until, is_settling, previous, _ = mark
            word = min(2 * round(held_until * US), _MOST) + is_settling
            arguments[at] += _MARK.pack(generation, word, previous, tag in restore)
    return arguments


def generation_word(generation: int | None) -> bytes:
    """Return a generation as it is sent; nothing for none."""
    return b"" if generation is None else generation.to_bytes(8, "little")


def has_entry(command: Command) -> bool:
    """Tell whether a call of EVICT puts an entry."""
    return int(command[2]) % 2 == 1


def states_in(reply: Sequence[Reply]) -> list[bytes]:
    """Return the states in a reply of LOOK. Raises if they are none."""
    _, states = reply
    if len(states) % STATE.size:
        raise ValueError("the reply to a look is none")
    size = STATE.size
    return [states[at : at + size] for at in range(0, len(states), size)]


def decode(
    reply: Sequence[Reply],
    tags: Sequence[bytes],
    request: EvictionRequest,
    fresh: Callable[[], int],
) -> Evicted:
    """Return what an eviction did.

    tags: that were evicted, in the order of the script's keys.
    request: of which the first eviction counts.
    fresh: returns a generation that was never used. Instead of one that was not there:
        else a tag that is restored twice would have one generation twice.
    """
    _, states, watched, has_put = reply
    if len(states) != _EVICTED * len(tags):
        raise ValueError("the reply to an eviction is none")
    first = request.first_eviction.evicted if request.first_eviction else {}
    words = iter(unpack(f"<{3 * len(tags)}Q", states))
    evicted = {}
    for tag, generation, word, left in zip(tags, words, words, words, strict=True):
        mark = first.get(tag)
        evicted[tag] = TagEviction(
            left,
            (word >> 1) / US,
            bool(word & 1),
            generation or fresh(),
            mark is not None and mark.generation == generation,
        )
    return Evicted(evicted, [*STATE.iter_unpack(watched)], has_put == 1)
