"""StoreOptions stores: from options to the Store that their URL names.

A store and the package that it needs are imported when a URL names them.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

from botocache._errors import ConfigError, suggestion
from botocache.stores.options import BOOT_ID, StoreOptions
from botocache.stores.protocol import Store
from botocache.stores.urls import scheme_of


def open_store(  # noqa: PLR0913 - what a store is opened with
    url: str,
    *,
    namespace: str,
    size_limit: int | None,
    environ: Mapping[str, str],
    timeout: float,
    settle: float,
    longest_ttl: float,
    client: Any = None,
    client_tracking: bool = False,
) -> Store:
    """Return the store that a URL names. Touches neither disk nor network yet.

    See StoreOptions; with a client the URL is ignored. Raises ConfigError when the URL
    names no store.
    """
    opening = StoreOptions(
        "" if client is not None else url,
        namespace,
        size_limit,
        environ,
        timeout,
        settle,
        longest_ttl,
        client,
        client_tracking,
    )
    if client is not None:
        return _open_redis(opening)
    scheme = scheme_of(url)
    opener = _OPENERS.get(scheme or "")
    if opener is None:
        named = "" if scheme is None else f" {scheme + ':'!r}..."
        near = "" if scheme is None else suggestion(scheme, _OPENERS)
        raise ConfigError(
            f"url{named} names no store of this version; expected 'memory:', 'disk:', "
            f"'disk:///path' or 'redis://host:port/0'{near}"
        )
    return opener(opening)


def is_remote(url: str) -> bool:
    """Tell whether a URL names a store across the network."""
    return _OPENERS.get(scheme_of(url) or "") is _open_redis


def _open_memory(opening: StoreOptions) -> Store:
    from botocache.stores import memory

    if opening.url not in ("memory:", "memory://"):
        raise ConfigError("url: nothing is expected after 'memory:'")
    return memory.MemoryStore(
        size_limit=opening.size_limit or memory.DEFAULT_SIZE_LIMIT
    )


def _open_disk(opening: StoreOptions) -> Store:
    if not BOOT_ID.exists():
        raise ConfigError(
            f"url 'disk:' needs Linux: without {BOOT_ID} nobody knows whether what is "
            "on disk is from before a power cut; use 'memory:'"
        )
    from botocache.stores.disk import store as disk_store

    try:
        parts = urlsplit(opening.url)
    except ValueError as error:  # of a network's address
        raise ConfigError(f"url 'disk:...': {error}") from None
    path = unquote(parts.path)
    if parts.netloc or parts.query or parts.fragment or (path and path[0] != "/"):
        raise ConfigError(
            "url 'disk:...' names no directory; expected 'disk:' or 'disk:///path' "
            "with an absolute path"
        )
    root = Path(path) if path else disk_store.default_directory(opening.environ)
    return disk_store.DiskStore(
        root,
        namespace=opening.namespace,
        size_limit=opening.size_limit or disk_store.DEFAULT_SIZE_LIMIT,
    )


def _open_redis(opening: StoreOptions) -> Store:
    try:
        from botocache.stores.redis.cluster.store import open_cluster
        from botocache.stores.redis.cluster.urls import names_cluster
        from botocache.stores.redis.store import open_redis
    except ImportError as error:
        raise ConfigError(
            f"url '{scheme_of(opening.url)}:' needs the package redis: pip install "
            "'botocache-dynamodb[redis]'"
        ) from error
    if names_cluster(opening.url, opening.client):
        return open_cluster(opening)
    return open_redis(opening)


_Opener: TypeAlias = Callable[[StoreOptions], Store]

_SERVERS = ("redis", "rediss", "valkey", "valkeys")
"""With an `s`: by TLS. Redis and Valkey speak one protocol."""

_OPENERS: Mapping[str, _Opener] = {
    "memory": _open_memory,
    "disk": _open_disk,
    "unix": _open_redis,
    **{
        server + setup: _open_redis
        for server in _SERVERS
        for setup in ("", "+cluster", "+sentinel")
    },
}
