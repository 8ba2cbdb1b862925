"""Make the store that StoreOptions name, by URL or by client.

A store's module, and the package that it needs, are imported only for its own URL.
"""

import re
from pathlib import Path

from botocache._errors import ConfigError, suggestion
from botocache.stores.options import BOOT_ID, StoreOptions
from botocache.stores.protocol import Store
from botocache.stores.urls import LocalPlace, local_place, scheme_of

_SERVERS = tuple(
    server + setup
    # With an `s`: by TLS. Redis and Valkey speak one protocol.
    for server in ("redis", "rediss", "valkey", "valkeys")
    for setup in ("", "+cluster", "+sentinel")
)
_SCHEMES = ("memory", "disk", "unix", *_SERVERS)


def open_store(options: StoreOptions) -> Store:
    """Return the store that `options` name. Accesses neither disk nor network.

    Raises ConfigError if they name no store.
    """
    if options.client is not None:
        return _open_redis(options)
    place = local_place(options.url)
    if place is not None:
        return _open_local(place, options)
    scheme = scheme_of(options.url)
    if scheme in ("unix", *_SERVERS):
        _refuse_size_limit(options.url, scheme)
        return _open_redis(options)
    # Of a wrong URL only the scheme is shown: the rest may hold a password.
    named = "" if scheme is None else f" {scheme + ':'!r}..."
    near = "" if scheme is None else suggestion(scheme, _SCHEMES)
    raise ConfigError(
        f"url{named} names no store of this version; expected 'memory:', 'disk:', "
        f"'disk:///path' or 'redis://host:port/0'{near}"
    )


def _open_local(place: LocalPlace, options: StoreOptions) -> Store:
    if place.scheme == "memory":
        from botocache.stores import memory

        return memory.MemoryStore(
            size_limit=place.size_limit or memory.DEFAULT_SIZE_LIMIT
        )
    # A power loss can undo evictions that were not yet on the disk. The store drops all
    # entries of an earlier boot, and the boot id is how it finds out.
    if not BOOT_ID.exists():
        raise ConfigError(
            f"url 'disk:' needs Linux: without {BOOT_ID}, files from before a power "
            "loss cannot be detected; use 'memory:'"
        )
    from botocache.stores.disk import store as disk_store

    root = (
        Path(place.path)
        if place.path
        else disk_store.default_directory(options.environ)
    )
    return disk_store.DiskStore(
        root,
        namespace=options.namespace,
        size_limit=place.size_limit or disk_store.DEFAULT_SIZE_LIMIT,
    )


def _refuse_size_limit(url: str, scheme: str | None) -> None:
    if re.search(r"[?&]size_limit=", url):
        raise ConfigError(
            f"url '{scheme}:...': size_limit is an option of 'memory:' and 'disk:' "
            "alone; limit a server by its own 'maxmemory'"
        )


def _open_redis(options: StoreOptions) -> Store:
    try:
        from botocache.stores.redis.cluster.store import open_cluster
        from botocache.stores.redis.cluster.urls import names_cluster
        from botocache.stores.redis.store import open_redis
    except ImportError as error:
        raise ConfigError(
            f"url '{scheme_of(options.url)}:' needs the package redis: pip install "
            "'botocache-dynamodb[redis]'"
        ) from error
    if names_cluster(options.url, options.client):
        return open_cluster(options)
    return open_redis(options)
