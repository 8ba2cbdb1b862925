"""Commands of the stores on servers, and what is made of the replies. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from redis.exceptions import NoScriptError, OutOfMemoryError, ReadOnlyError

from botocache._coherence import TagEviction
from botocache._dynamodb.tags import EVERYTHING, tag_digest
from botocache._errors import StoreError
from botocache.stores.protocol import Fill
from botocache.stores.redis.compression import UNPACKED_LIMIT
from botocache.stores.redis.compression import pack as pack_entry
from botocache.stores.redis.connections import Command
from botocache.stores.redis.scripts import EVICT, GENERATION, LOOK, PROLONG, STATE, US

ENTRY_LIMIT = 1024**2
"""Bytes; an entry that is larger, as it is sent, is not kept."""

SLACK = 60.0
"""Seconds that a generation lives beyond what is known to need it: for a read."""

EVERYTHING_DIGEST = tag_digest(EVERYTHING)
PROBED_DIGEST = tag_digest(EVERYTHING._replace(kind="probe"))

_LONGEST_LIFE = 1e14
"""Milliseconds; a server takes no more."""


class FullError(StoreError):
    """The server has no room, and may not make any."""


class ReplicaError(StoreError):
    """The server was the primary, and is a replica now."""


def require_answers(replies: Sequence[Any]) -> None:
    """Raise StoreError if one of the replies is an error, but for a lacking script."""
    for reply in replies:
        if isinstance(reply, OutOfMemoryError):
            raise FullError(str(reply))
        if isinstance(reply, ReadOnlyError):
            raise ReplicaError(str(reply))
        if isinstance(reply, Exception) and not isinstance(reply, NoScriptError):
            raise StoreError(f"{type(reply).__name__}: {reply}")


def with_source(command: Command) -> Command:
    """Return a call of a script that brings the script."""
    if command[0] != b"EVALSHA":
        return command
    return (b"EVAL", SOURCES[command[1]], *command[2:])


SOURCES: Mapping[bytes, bytes] = {
    script.sha: script.source for script in (LOOK, EVICT, PROLONG)
}


def to_send(fill: Fill) -> Fill | None:
    """Return what is to be sent; None where that is too large."""
    if len(fill.entry) > UNPACKED_LIMIT:
        return None
    entry = pack_entry(fill.entry)
    return fill._replace(entry=entry) if len(entry) <= ENTRY_LIMIT else None


def encode_first(first: TagEviction | None, *, is_restored: bool) -> tuple[bytes, ...]:
    """Return the arguments of EVICT that say what a first eviction did to a tag."""
    if first is None:
        return b"", b"", b"", b""
    word = 2 * round(first.held_until * US) + first.is_settling
    return (
        first.generation.to_bytes(GENERATION, "little"),
        b"%d" % word,
        first.previous_generation.to_bytes(GENERATION, "little"),
        b"1" if is_restored else b"",
    )


def decode_eviction(
    found: bytes, left: bytes, first: TagEviction | None
) -> TagEviction:
    """Return what an eviction did to a tag.

    found, left: the tag's states before and after it.
    first: what the first eviction of the same write did to the tag.
    """
    generation, word = STATE.unpack(found)
    return TagEviction(
        STATE.unpack(left)[0],
        (word >> 1) / US,
        bool(word & 1),
        generation,
        was_alone=first is not None and first.generation == generation,
    )


def are_whole(states: Sequence[bytes | None]) -> bool:
    """Tell whether each tag has a state, and that is one by its length."""
    try:
        return [*map(len, states)].count(STATE.size) == len(states)  # type: ignore[arg-type]  # None has none
    except TypeError:
        return False


def number(generation: bytes) -> int:
    """Return a generation as a snapshot has it."""
    return int.from_bytes(generation, "little")


def milliseconds(seconds: float) -> bytes:
    """Return a time to live as a server takes it."""
    return b"%d" % min(max(1.0, seconds * 1000), _LONGEST_LIFE)
