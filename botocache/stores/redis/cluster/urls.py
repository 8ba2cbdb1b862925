"""What a URL or a client of redis-py says about a cluster: how to connect to it.

Nothing is connected here. A password gets into no name and no message.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool
from redis.retry import Retry

from botocache.stores.redis.cluster.topology import Address, Places
from botocache.stores.redis.connections import Connection
from botocache.stores.redis.urls import wrong_url

_PORT = 6379


def names_cluster(url: str, client: Any) -> bool:
    """Tell whether these name a cluster."""
    if client is not None:
        return isinstance(client, redis.RedisCluster)
    return url.partition(":")[0].lower().endswith("+cluster")


def places_of_url(url: str, timeout: float) -> tuple[str, Places]:
    """Read `redis+cluster://user:password@host:port,host:port?...`.

    timeout: seconds for connecting, and for each answer. Raises ConfigError.
    """
    scheme, _, rest = url.partition(":")
    plain = "rediss" if scheme.lower() in ("rediss+cluster", "valkeys+cluster") else ""
    try:
        parts = urlsplit(rest)
        login, at, hosts = parts.netloc.rpartition("@")
        seeds = tuple([_address(host) for host in hosts.split(",")])
        if parts.path.strip("/") not in ("", "0"):  # a cluster has one database
            raise wrong_url(scheme)
        pool = ConnectionPool.from_url(
            f"{plain or 'redis'}://{login}{at}host?{parts.query}",
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
        )
        places = _places(seeds, pool, {})
        places.make(seeds[0])
    except (TypeError, ValueError):
        raise wrong_url(scheme) from None
    return f"{scheme}://{hosts}", places


def places_of_client(client: Any, timeout: float) -> tuple[str, Places]:
    """Return the same for a client that the user built.

    Its settings are its own, but for how long an answer is waited for: what suits other
    uses of it is too long here.
    """
    manager = client.nodes_manager
    seeds = tuple([(node.host, node.port) for node in client.get_nodes()])
    node = client.get_redis_connection(client.get_default_node())
    # Its own would let connections read from replicas, if the client does.
    own = {"redis_connect_func": client.user_on_connect_func}
    own["socket_timeout"] = own["socket_connect_timeout"] = timeout
    seen = getattr(manager, "address_remap", None)
    return "of a client", _places(seeds, node.connection_pool, own, seen)


def _places(
    seeds: tuple[Address, ...],
    pool: ConnectionPool,
    own: Mapping[str, Any],
    seen: Any = None,
) -> Places:
    settings = {**pool.connection_kwargs, **own}

    def make(address: Address) -> Connection:
        host, port = address
        return pool.connection_class(**{**settings, "host": host, "port": port})

    return Places(seeds, make, seen) if seen else Places(seeds, make)


def _address(text: str) -> Address:
    """Read `host`, `host:port`, or `[address]:port`. Raises ValueError."""
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.path or parts.query:
        raise ValueError(text)
    return parts.hostname, parts.port or _PORT
