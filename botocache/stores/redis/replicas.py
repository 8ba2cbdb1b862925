"""Evictions that replicas have as well before they are done: WAIT.

Replication is asynchronous. A primary that fails may have evicted, and said so, and
its replica never heard of it. Whoever asks for it waits, after each eviction and in
the same round trip, until so many replicas have it. That makes its loss unlikely, and
not impossible: a failover may choose a replica that is not among them.
"""

from typing import Any

from redis.exceptions import ResponseError

from botocache.stores.redis.connections import Connection, Exchange, exchange, pack
from botocache.stores.redis.scripts import EVICT


class TooFewReplicasError(ResponseError):
    """An eviction was carried out, and too few replicas have it."""


def exchange_with(replicas: int, timeout: float) -> Exchange:
    """Return an `exchange` after whose evictions that many replicas have them.

    timeout: seconds that a call may be made to wait; replicas get half of it, so that
    the server still answers in time. An eviction that too few have has an error for a
    reply: its outcome is as unknown as that of any other that fails.
    """
    patience = max(1, round(timeout * 1000 / 2))
    wait = pack((b"WAIT", b"%d" % replicas, b"%d" % patience))

    def exchange_and_wait(
        connection: Connection, packed: bytes, count: int
    ) -> list[Any]:
        if EVICT.sha not in packed and EVICT.source not in packed:
            return exchange(connection, packed, count)
        *replies, reached = exchange(connection, packed + wait, count + 1)
        if isinstance(reached, Exception):
            return [reached, *replies[1:]]
        if reached < replicas and not isinstance(replies[0], Exception):
            replies[0] = TooFewReplicasError(f"{reached} of {replicas} replicas")
        return replies

    return exchange_and_wait
