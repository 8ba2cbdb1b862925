"""Make the store that StoreOptions name, by URL or by client.

A store's module, and the package that it needs, are imported only for its own URL.
"""

import importlib
import re
import sys
from pathlib import Path

from botocache._errors import ConfigError, StoreUnavailableError, pass_on, suggestion
from botocache._log import describe
from botocache.stores.options import BOOT_ID, StoreOptions, has_boot_id
from botocache.stores.protocol import Store
from botocache.stores.urls import LocalPlace, local_place, scheme_of

_SERVERS = tuple(
    server + setup
    # With an `s`: by TLS. Redis and Valkey speak one protocol.
    for server in ("redis", "rediss", "valkey", "valkeys")
    for setup in ("", "+cluster", "+sentinel")
)
_SCHEMES = ("memory", "disk", "unix", *_SERVERS)

DISKCACHE = "'diskcache>=5.6.3,<6'"
"""What `pip install` takes. Some leave this dependency out: scanners refuse it."""

_OTHER_STORES = ", or use 'memory:' in a single process, or a server"


def open_store(options: StoreOptions) -> Store:
    """Return the store that `options` name. Accesses neither disk nor network.

    Raises ConfigError if they name no store, and StoreUnavailableError if the
    environment lacks what the store needs.
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
    if not has_boot_id():
        raise _no_boot_id()
    try:
        from botocache.stores.disk import store as disk_store
    except Exception as error:
        raise _not_importable(pass_on(error)) from error
    root = (
        Path(place.path)
        if place.path
        else disk_store.default_directory(options.environ)
    )
    return disk_store.DiskStore(
        root,
        namespace=options.namespace,
        size_limit=place.size_limit or disk_store.DEFAULT_SIZE_LIMIT,
        is_behind=True,
    )


def _no_boot_id() -> Exception:
    message = (
        f"without {BOOT_ID}, files from before a power loss cannot be detected; use "
        "'memory:'"
    )
    if sys.platform == "linux":  # of which a part is missing: a sandbox without /proc
        return StoreUnavailableError(f"url 'disk:': {message}")
    return ConfigError(f"url 'disk:' needs Linux: {message}")


def _not_importable(error: Exception) -> Exception:
    """Return the error to raise where the disk store's modules cannot be imported."""
    if not _can_import("sqlite3") or _name(error) in sys.stdlib_module_names:
        # Python was built without it. No package can bring it.
        return StoreUnavailableError(
            f"url 'disk:' needs the module {_name(error) or 'sqlite3'!r}, which this "
            f"Python lacks ({describe(error)}); install it{_OTHER_STORES}"
        )
    return _package_missing("disk:", error, "diskcache", DISKCACHE, _OTHER_STORES)


def _package_missing(
    scheme: str, error: Exception, package: str, distribution: str, instead: str = ""
) -> ConfigError:
    """Return the error to raise where a store's package cannot be imported.

    scheme: of the URL.
    error: of the import.
    package: the one that the store is built on.
    distribution: what to install.
    instead: what else the user can do, to end the sentence.
    """
    package = (_name(error) or package).partition(".")[0]
    # A package that is there, but built for another machine, needs its own error.
    is_absent = isinstance(error, ModuleNotFoundError) and _name(error) == package
    cause = "" if is_absent else f", which cannot be imported ({describe(error)})"
    return ConfigError(
        f"url '{scheme}' needs the package {package}{cause}: "
        f"pip install {distribution}{instead}"
    )


def _can_import(name: str) -> bool:
    try:
        importlib.import_module(name)
    except Exception as error:  # noqa: BLE001 - a damaged module may raise anything
        pass_on(error)
        return False
    return True


def _name(error: Exception) -> str | None:
    """Return the module that an import error names, if it names one."""
    return getattr(error, "name", None)


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
    except Exception as error:
        extra = "'botocache-dynamodb[redis]'"
        raise _package_missing(
            f"{scheme_of(options.url)}:", pass_on(error), "redis", extra
        ) from error
    if names_cluster(options.url, options.client):
        return open_cluster(options)
    return open_redis(options)
