"""Who holds what in a cluster of Redis or Valkey, and what its servers say of it. Pure.

Nothing here asks anybody.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS
from redis.crc import key_slot
from redis.exceptions import AskError

from botocache._errors import StoreError
from botocache.stores.redis.connections import Command, Connection

Address: TypeAlias = tuple[str, int]
"""Host and port, as one connects to them."""

__all__ = ["SLOTS", "Address", "Places", "holders", "redirection", "slot_of"]


@dataclass(frozen=True, slots=True)
class Places:
    """How a cluster is found: what its user said.

    seeds: some of its servers. make: returns a connection to a server, not connected.
    seen: where a server is for us that calls itself so; behind a proxy it is elsewhere.
    """

    seeds: tuple[Address, ...]
    make: Callable[[Address], Connection]
    seen: Callable[[Address], Address] = lambda address: address


_KEY_AT: Mapping[bytes, int] = {b"EVALSHA": 3, b"EVAL": 3}


def slot_of(command: Command) -> int:
    """Return the slot of a command's first key; all others must share it."""
    slot: int = key_slot(command[_KEY_AT.get(command[0], 1)])
    return slot


def holders(
    reply: Sequence[Any], asked: Address, places: Places
) -> Iterator[tuple[Address, range]]:
    """Yield primaries and slots that they hold, by a reply to CLUSTER SLOTS.

    asked: who replied; a host that is not known is this one's. Raises StoreError.
    """
    try:
        for first, last, (host, port, *_), *_ in reply:
            yield _address(host, port, asked, places), range(first, last + 1)
    except (TypeError, ValueError) as error:
        raise StoreError(f"CLUSTER SLOTS cannot be read: {error}") from error


def redirection(error: AskError, asked: Address, places: Places) -> Address:
    """Return where MOVED or ASK sends whoever asked `asked`."""
    return _address(error.host.encode(), error.port, asked, places)


def _address(host: bytes | None, port: int, asked: Address, places: Places) -> Address:
    if not host or host == b"?":  # as one that is reached by a name says of itself
        return asked[0], int(port)
    return places.seen((host.decode(), int(port)))
