"""Commands of the stores on Redis: RESP, arguments and results. Pure.

RESP is written here, and not by redis-py's `pack_command`, because names of keys that
are used again and again are kept as they are on the wire (`Keys.packed`).
"""

from collections.abc import Mapping, Sequence

from redis.exceptions import (
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)

from botocache._dynamodb.tags import EVERYTHING, tag_digest
from botocache._errors import StoreError
from botocache.stores.protocol import Fill
from botocache.stores.redis.compression import UNPACKED_LIMIT
from botocache.stores.redis.compression import pack as pack_entry
from botocache.stores.redis.scripts import (
    BOARD,
    EVICT,
    LOOK,
    PROLONG,
    STATE,
    US,
)
from botocache.stores.redis.types import Command, Reply

ENTRY_LIMIT = 3 * 1024**2 // 2
"""Bytes. An entry that is larger, as it is sent, is not kept.

A full page of DynamoDB has a megabyte of names and values. MessagePack adds a quarter
of that where values have a dozen bytes, and encrypted pages are not compressed.
"""

RANGE_END = b"%d" % ENTRY_LIMIT
"""The last byte that is asked for of a value: one more than an entry may have."""

MGET_LIMIT = 8 * 1024**2
"""Bytes of the values of one MGET. If there are more, each is asked for by itself."""

SLACK = 60.0
"""Seconds that a generation lives longer than any entry needs it: a read may last."""

PROBED_DIGEST = tag_digest(EVERYTHING._replace(kind="probe"))
"""The tag that a probe evicts. No entry depends on it."""

_EARLIEST = 1_000_000_000 * US
"""The year 2001. A server's clock shows no earlier time."""

_LONGEST_LIFE = 1e14
"""Milliseconds. A server refuses more."""


# --- on the wire ---------------------------------------------------------------------


def bulk(text: bytes) -> bytes:
    """Return an argument as it is on the wire."""
    return b"$%d\r\n%b\r\n" % (len(text), text)


def pack(command: Command) -> bytes:
    """Return a command as it is on the wire."""
    # Without `bulk`, which would be called seventy times for a write.
    words = [b"$%d\r\n%b\r\n" % (len(word), word) for word in command]
    return b"*%d\r\n%b" % (len(words), b"".join(words))


def pack_mget(packed: Sequence[bytes]) -> bytes:
    """Return an MGET as it is on the wire. packed: its keys, as they are there."""
    return b"*%d\r\n$4\r\nMGET\r\n%b" % (len(packed) + 1, b"".join(packed))


def pack_ranges(packed: Sequence[bytes]) -> bytes:
    """Return GETRANGEs as they are on the wire. packed: the keys, as they are there.

    They reply at most a byte more than the largest entry has.
    """
    head, tail = b"*4\r\n$8\r\nGETRANGE\r\n", bulk(b"0") + bulk(RANGE_END)
    return b"".join([head + key + tail for key in packed])


def unpack_bulk(packed: bytes) -> bytes:
    """Return an argument that `bulk` has packed."""
    return packed[packed.index(b"\n") + 1 : -2]


def with_source(command: Command) -> Command:
    """Return a call of a script with the script's source instead of its digest."""
    if command[0] != b"EVALSHA":
        return command
    return (b"EVAL", SOURCES[command[1]], *command[2:])


SOURCES: Mapping[bytes, bytes] = {
    script.sha: script.source for script in (LOOK, EVICT, PROLONG, BOARD)
}


# --- results -------------------------------------------------------------------------


def value_of_range(reply: Reply) -> Reply:
    """Return the value that a GETRANGE has replied; None if there is none.

    An error is returned as it is, unless it says that the key has another type.
    """
    is_wrong = isinstance(reply, ResponseError) and str(reply).startswith("WRONGTYPE")
    return None if is_wrong or reply == b"" else reply


def server_time(seconds: bytes | int, microseconds: bytes | int) -> int:
    """Return the microseconds of a reply to TIME. Raises ValueError if it is absurd."""
    now = int(seconds) * US + int(microseconds)
    # Lua counts in floats. From 2**53 on, no microsecond would differ from the next.
    if not _EARLIEST <= now < 2**53:
        raise ValueError("not a time of these years")
    return now


class FullError(StoreError):
    """The server is full, and is configured to evict nothing."""


class ReplicaError(StoreError):
    """The server was the primary, and has become a replica."""


def require_no_errors(replies: Sequence[Reply]) -> None:
    """Raise StoreError if one of the replies is an error.

    A script that the server does not know is none: the caller sends it.
    """
    for reply in replies:
        if isinstance(reply, OutOfMemoryError):
            raise FullError(str(reply))
        if isinstance(reply, ReadOnlyError):
            raise ReplicaError(str(reply))
        if _is_not_permitted(reply):
            raise StoreError(
                f"NoPermissionError: {reply}; give the server's user what the "
                "documentation lists in 'The ACL user'"
            )
        if isinstance(reply, Exception) and not isinstance(reply, NoScriptError):
            raise StoreError(f"{type(reply).__name__}: {reply}")


def require_replies(replies: Sequence[Reply] | BaseException) -> Sequence[Reply]:
    """Return replies that were not waited for. Raises StoreError unless all are good.

    replies: or the error that has lost them. An unknown script is an error as well.
    """
    if isinstance(replies, BaseException):
        raise StoreError(f"the reply is lost: {type(replies).__name__}")
    require_no_errors(replies)
    if any(isinstance(reply, NoScriptError) for reply in replies):
        raise StoreError("the server has lost the script")
    return replies


_NOT_PERMITTED_IN_A_SCRIPT = (
    "ACL failure in script",
    "user executing the script can't",
)
"""How Valkey and Redis 7 say it, and Redis 6.2."""


def _is_not_permitted(reply: Reply) -> bool:
    if not isinstance(reply, ResponseError):
        return False
    text = str(reply)  # a script does not pass the kind of an error on
    return isinstance(reply, NoPermissionError) or any(
        words in text for words in _NOT_PERMITTED_IN_A_SCRIPT
    )


def compressed_fill(fill: Fill) -> Fill | None:
    """Return a fill with its entry as it is sent; None if that is too large."""
    if len(fill.entry) > UNPACKED_LIMIT:
        return None
    entry = pack_entry(fill.entry)
    return fill._replace(entry=entry) if len(entry) <= ENTRY_LIMIT else None


def are_whole(states: Sequence[bytes | None]) -> bool:
    """Tell whether each tag has a state of the right length."""
    try:
        return [*map(len, states)].count(STATE.size) == len(states)  # type: ignore[arg-type]  # None has none
    except TypeError:
        return False


def generation_number(generation: bytes) -> int:
    """Return a generation as it stands in a snapshot."""
    return int.from_bytes(generation, "little")


def milliseconds(seconds: float) -> bytes:
    """Return a time to live as an argument."""
    return b"%d" % min(max(1.0, seconds * 1000), _LONGEST_LIFE)
