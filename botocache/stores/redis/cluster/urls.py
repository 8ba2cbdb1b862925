"""What a URL or a client of redis-py says about a cluster: how to connect to it.

Nothing is connected here. A password gets into no name and no message.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import redis.cluster
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool
from redis.retry import Retry

from botocache.stores.redis.deadlines import CONNECT_TIMEOUT
from botocache.stores.redis.types import Address
from botocache.stores.redis.urls import check_names, refuse_unknown_options, wrong_url

try:
    from redis.maint_notifications import MaintNotificationsConfig
except ImportError:  # before redis-py 7
    _QUIET: Mapping[str, Any] = {}
else:
    # They would keep a pool from noticing that a server has closed a connection.
    _QUIET = {"maint_notifications_config": MaintNotificationsConfig(enabled=False)}

# Early versions of redis-py 5 read MOVED and ASK with a parser of their own only.
_PARSER = getattr(redis.cluster, "ClusterParser", None)

_PORT = 6379

_NO_LIMIT = 2**31


@dataclass(frozen=True, slots=True)
class ClusterEndpoints:
    """How a cluster is found and connected to, as its user said.

    seeds: addresses of some of its servers.
    connection_class: the class of redis-py's connections.
    settings: arguments of each connection, but for host and port.
    remap: returns where a server is for us that announces an address; behind a proxy it
        is elsewhere.
    """

    seeds: tuple[Address, ...]
    connection_class: type
    settings: Mapping[str, Any] = field(repr=False)
    remap: Callable[[Address], Address] | None = None

    @property
    def cluster_settings(self) -> Mapping[str, Any]:
        """Arguments of redis-py's cluster client, beside those of connections."""
        return _QUIET

    def seen(self, address: tuple[str | None, int]) -> Address:
        """Return where a server is that announces an address.

        One that is configured to announce no host is reached as the first seed is.
        """
        host, port = address
        if not host or host == "?":
            return self.seeds[0][0], port
        return self.remap((host, port)) if self.remap else (host, port)


def names_cluster(url: str, client: Any) -> bool:
    """Tell whether these name a cluster."""
    if client is not None:
        return isinstance(client, redis.RedisCluster)
    return url.partition(":")[0].lower().endswith("+cluster")


def endpoints_of_url(url: str, timeout: float) -> tuple[str, ClusterEndpoints]:
    """Read `redis+cluster://user:password@host:port,host:port?...`.

    timeout: seconds that a call waits. Each step of connecting may take longer, behind
        the call; see CONNECT_TIMEOUT.

    Raises ConfigError.
    """
    refuse_unknown_options(url)
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
            socket_timeout=max(timeout, CONNECT_TIMEOUT),
            socket_connect_timeout=max(timeout, CONNECT_TIMEOUT),
        )
        if plain:
            check_names(pool.connection_kwargs)
        endpoints = _endpoints(seeds, pool, {})
        host, port = seeds[0]
        pool_at(endpoints, host, port).make_connection()
    except (TypeError, ValueError):
        raise wrong_url(scheme) from None
    return f"{scheme}://{hosts}", endpoints


def endpoints_of_client(client: Any, timeout: float) -> tuple[str, ClusterEndpoints]:
    """Return the same for a client that the user built.

    Its settings are its own, but for how long an answer is waited for: what suits other
    uses of it is too long here.
    """
    manager = client.nodes_manager
    seeds = tuple([(node.host, node.port) for node in client.get_nodes()])
    node = client.get_redis_connection(client.get_default_node())
    # Its own would let connections read from replicas, if the client does.
    own = {"redis_connect_func": client.user_on_connect_func}
    own["socket_timeout"] = own["socket_connect_timeout"] = max(
        timeout, CONNECT_TIMEOUT
    )
    remap = getattr(manager, "address_remap", None)
    return "of a client", _endpoints(seeds, node.connection_pool, own, remap)


def pool_at(
    endpoints: ClusterEndpoints, host: str, port: int, **more: Any
) -> ConnectionPool:
    """Return a pool of connections to one server.

    more: arguments that take the place of the endpoints'.
    """
    settings = {**endpoints.settings, "connection_class": endpoints.connection_class}
    settings |= {"max_connections": _NO_LIMIT, "host": host, "port": port}
    return ConnectionPool(**{**settings, **more})


def _endpoints(
    seeds: tuple[Address, ...],
    pool: ConnectionPool,
    own: Mapping[str, Any],
    remap: Callable[[Address], Address] | None = None,
) -> ClusterEndpoints:
    settings = {
        name: value
        for name, value in {**pool.connection_kwargs, **own}.items()
        if not name.startswith(("maint_", "oss_", "orig_"))  # of notifications
    }
    settings |= {"retry": Retry(NoBackoff(), 0), "decode_responses": False}
    settings |= {**_QUIET, **({"parser_class": _PARSER} if _PARSER else {})}
    return ClusterEndpoints(seeds, pool.connection_class, settings, remap)


def _address(text: str) -> Address:
    """Read `host`, `host:port`, or `[address]:port`. Raises ValueError."""
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.path or parts.query:
        raise ValueError(text)
    return parts.hostname, parts.port or _PORT
