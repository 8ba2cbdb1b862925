"""The leases that a process holds on a server.

A lease is a key with a random token, which the server drops when its time is over. Its
holder removes it by its token: by then it may be another reader's.

To take one is a round trip. To give it back is none: the command goes behind the fill
in the same packet, so no one finds the lease free and the entry missing. A lease whose
answer was not filled is given back on an idle connection, and its reply is read later.
Where there is none, and in destructors, it is noted, and goes with the next command
that has to do with leases; or its time ends.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

from botocache._forks import renew_after_fork
from botocache.stores.protocol import Fill
from botocache.stores.redis.keys import Keys
from botocache.stores.redis.scripts import RETURN
from botocache.stores.redis.types import Command

TOKEN = 16
"""Bytes of a token."""

MOST_DROPPED = 100
"""Leases that were dropped and wait for a command to go with."""


class ServerLeases:
    """The leases of one store of this process.

    keys: names of keys.
    send: sends commands that end leases, and waits for a moment at most; False if it
        could not. Raises nothing.
    """

    def __init__(self, keys: Keys, send: Callable[[Sequence[Command]], bool]) -> None:
        self._keys: Final = keys
        self._send: Final = send
        self._reset()
        renew_after_fork(self, ServerLeases._reset)

    def __repr__(self) -> str:
        return f"<ServerLeases {len(self.held)} held>"

    def _reset(self) -> None:
        self.held: dict[bytes, bytes] = {}
        self._dropped: deque[tuple[bytes, bytes]] = deque(maxlen=MOST_DROPPED)

    def hold(self, key: bytes, token: bytes) -> "ServerLease":
        """Return a lease that the server has granted."""
        self.held[key] = token
        return ServerLease(self, key, token)

    def has_ended(self, key: bytes, token: bytes) -> bool:
        """End a lease in this process; return True if that was done before."""
        # Another reader of this process may have it by now: its time was over.
        if self.held.get(key) != token:
            return True
        return self.held.pop(key, None) is None

    def returns_for(self, fills: Iterable[Fill]) -> list[Command]:
        """End the leases of what is filled; return the commands that tell the server.

        They must be sent. Those of dropped leases are among them.
        """
        held = self.held
        ended = [(f.key, token) for f in fills if (token := held.pop(f.key, None))]
        with suppress(IndexError):
            while self._dropped:
                ended.append(self._dropped.popleft())
        return [self._return(key, token) for key, token in ended]

    def note_dropped(self, key: bytes, token: bytes) -> None:
        """Note that a lease has ended, and the server is yet to hear of it."""
        self._dropped.append((key, token))

    def send_return(self, key: bytes, token: bytes) -> None:
        """Tell the server that a lease has ended."""
        if not self._send([self._return(key, token)]):
            self.note_dropped(key, token)

    def _return(self, key: bytes, token: bytes) -> Command:
        return (b"EVAL", RETURN.source, b"1", self._keys.lease(key), token)


class ServerLease:
    """See Lease."""

    __slots__ = ("_key", "_leases", "_token")

    def __init__(self, leases: ServerLeases, key: bytes, token: bytes) -> None:
        self._leases = leases
        self._key = key
        self._token = token

    def __repr__(self) -> str:
        is_held = self._leases.held.get(self._key) == self._token
        return f"<ServerLease {'held' if is_held else 'ended'}>"

    def give_back(self) -> bool:
        """See Lease.give_back."""
        if self._leases.has_ended(self._key, self._token):
            return False
        self._leases.send_return(self._key, self._token)
        return True

    def drop(self) -> None:
        """See Lease.drop."""
        if not self._leases.has_ended(self._key, self._token):
            self._leases.note_dropped(self._key, self._token)
