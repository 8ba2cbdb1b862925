"""What a store is opened with, and which store is the default."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeGuard

from botocache.stores.urls import LocalPlace, local_place

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Where Linux tells one boot of a machine from another; a store on disk needs it."""


def default_url() -> str:
    """Return the store that is used unless the user names one."""
    return "disk:" if BOOT_ID.exists() else "memory:"


class RedisClient(Protocol):
    """A `redis.Redis` or `redis.RedisCluster`, as type checkers see one.

    redis-py is an optional dependency, so its classes cannot be named here.
    """

    def get_connection_kwargs(self) -> dict[str, Any]:
        """Return how the client connects."""

    def close(self) -> None:
        """Close its connections."""


def is_client(candidate: object) -> TypeGuard[RedisClient]:
    """Tell whether an object is a client of redis-py, without importing redis-py."""
    redis = sys.modules.get("redis")
    kinds = (getattr(redis, "Redis", None), getattr(redis, "RedisCluster", None))
    return isinstance(candidate, tuple(kind for kind in kinds if kind is not None))


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """What a store is opened with.

    url: with its scheme; "" if there is a client.
    namespace: keeps applications that share a store apart.
    environ: variables that name the default directory.
    timeout: seconds that a store across the network may delay a call.
    settle: seconds of hold-off after a write.
    longest_ttl: seconds that the longest-lived entry lives.
    client: a redis-py client that the user has built.
    client_tracking: the server announces which generations changed.
    """

    url: str = field(repr=False)
    namespace: str
    environ: Mapping[str, str] = field(repr=False, compare=False)
    timeout: float
    settle: float
    longest_ttl: float
    client: RedisClient | None = field(default=None, repr=False)
    client_tracking: bool = False


class StoreIdentity(NamedTuple):
    """Two installations of a process share a store object if these are equal.

    On this machine the place alone counts: in memory, two objects for one place would
    share nothing. A server's store depends on more of its options, and two objects for
    one server see each other's evictions, so there all options count.

    namespace: as in StoreOptions.
    place: of a store on this machine.
    server: the options of a server's store.
    """

    namespace: str
    place: LocalPlace | None
    server: StoreOptions | None

    def differs_in_size_limit(self, other: "StoreIdentity") -> bool:
        """Tell whether both are one place on this machine with two size limits."""
        if self.place is None or other.place is None or self == other:
            return False
        same_limit = other.place._replace(size_limit=self.place.size_limit)
        return self == other._replace(place=same_limit)


def identity_of(options: StoreOptions) -> StoreIdentity:
    """Return the identity of the store that options open. Raises ConfigError."""
    place = None if options.client is not None else local_place(options.url)
    server = options if place is None else None
    return StoreIdentity(options.namespace, place, server)
