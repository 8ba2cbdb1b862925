"""Replies that nothing waits for: a connection owes them until its next use.

A server replies in the order of commands. So whatever uses the connection next reads
what is owed first, most often out of the same packet. If the connection is lost before,
so are these replies: then it is not known whether the commands were carried out.
"""

from collections.abc import Callable
from typing import NamedTuple

from botocache.stores.redis.types import Connection, Reply

MOST_OWED = 4
"""Requests of one connection whose replies are owed. The next one is waited for."""

OWED_LIMIT = 4096
"""Bytes of the replies to one request that is not waited for."""


class Owed(NamedTuple):
    """The replies to one request.

    number: of them.
    settle: called with the replies, errors among them, or with the error that has lost
        them. It must neither raise nor send anything.
    """

    number: int
    settle: Callable[[list[Reply] | BaseException], object]


def read_owed(connection: Connection) -> None:
    """Read what a connection owes, and settle it."""
    while connection.owed:
        first = connection.owed[0]
        replies = connection.read_replies(first.number)
        connection.owed = connection.owed[1:]
        first.settle(replies)


def discard(connection: Connection, error: BaseException) -> None:
    """Disconnect; settle what is owed as lost. error: why."""
    connection.disconnect()
    owed, connection.owed = connection.owed, ()
    for each in owed:
        each.settle(error)
