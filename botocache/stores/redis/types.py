"""Types of what redis-py hands out, as far as the stores on Redis rely on it.

redis-py annotates some of its functions only, and its kinds of connections have no
common class in all versions.
"""

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

Command: TypeAlias = Sequence[bytes]
"""A command and its arguments."""

Reply: TypeAlias = Any
"""What a server replies: bytes, int, None, a ResponseError, or a list of these."""

Address: TypeAlias = tuple[str, int]
"""Host and port, as one connects to them."""


class Connection(Protocol):
    """A connection of redis-py: plain, encrypted, by a socket, or found by Sentinel."""

    host: str
    port: int
    protocol: int
    socket_timeout: float | None
    owed: tuple[Any, ...]  # see owed.py
    _sock: Any  # a socket, or TLS around one; None while it is not connected

    def connect(self) -> None:
        """Connect, unless that is done."""

    def disconnect(self) -> None:
        """Close the socket."""

    def can_read(self, timeout: float = 0) -> bool:
        """Wait for a reply; tell whether there is one."""

    def send_packed_command(
        self,
        command: Sequence[bytes],
        check_health: bool = True,  # noqa: FBT001, FBT002 - as redis-py has it
    ) -> None:
        """Send commands as they are on the wire."""

    def read_replies(self, count: int) -> list[Reply]:
        """Return replies; those that are errors as exceptions. See sockets.py."""


class ClusterServer(Protocol):
    """A server of a cluster: redis-py's ClusterNode."""

    name: str
    host: str
    port: int
    redis_connection: Any


class SlotMap(Protocol):
    """redis-py's NodesManager: which server holds which slot."""

    def initialize(self) -> None:
        """Ask the servers for the map."""

    def get_node_from_slot(self, slot: int) -> ClusterServer:
        """Return the primary of a slot. Raises RedisError if none is known."""
