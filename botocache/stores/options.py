"""StoreOptions: how to open a store. Also the default URL, and a store's identity."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeGuard

from botocache.stores.urls import LocalPlace, local_place

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Differs after each boot of a Linux machine. A store on disk needs it."""


class DefaultUrl(str):
    """A URL that no setting names. It equals the same URL in a setting."""

    __slots__ = ()


def default_url() -> DefaultUrl:
    """Return the URL of the store to open if the settings name none."""
    return DefaultUrl("disk:" if has_boot_id() else "memory:")


def has_boot_id() -> bool:
    """Return whether boots of this machine can be told apart. Never raises."""
    return os.access(BOOT_ID, os.R_OK)  # Path.exists() raises PermissionError


class RedisClient(Protocol):
    """A `redis.Redis` or `redis.RedisCluster`, for type checkers.

    redis-py is an optional dependency, so this file cannot import its classes.
    """

    def get_connection_kwargs(self) -> dict[str, Any]:
        """Return the keyword arguments of the client's connections."""

    def close(self) -> None:
        """Close its connections."""


def is_client(candidate: object) -> TypeGuard[RedisClient]:
    """Return True if an object is a client of redis-py; never import redis-py."""
    # An object of a class of redis-py exists only if the application imported it.
    redis = sys.modules.get("redis")
    kinds = (getattr(redis, "Redis", None), getattr(redis, "RedisCluster", None))
    return isinstance(candidate, tuple(kind for kind in kinds if kind is not None))


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """How to open a store.

    url: with its scheme; "" if there is a client.
    namespace: keeps applications that share a store apart.
    environ: variables that name the default directory.
    timeout: seconds that a store across the network may delay a call.
    settle: seconds of hold-off after a write.
    longest_ttl: seconds that the longest-lived entry lives.
    client: a redis-py client that the user has built.
    client_tracking: the server announces which generations changed.
    is_encrypted: entries are encrypted before they get to the store.
    """

    url: str = field(repr=False)
    namespace: str
    environ: Mapping[str, str] = field(repr=False, compare=False)
    timeout: float
    settle: float
    longest_ttl: float
    client: RedisClient | None = field(default=None, repr=False)
    client_tracking: bool = False
    is_encrypted: bool = False


class StoreIdentity(NamedTuple):
    """The identity of a store. Installations of a process with equal ones share it.

    A store on this machine is identified by its place. Two memory stores with different
    options would share no entries. A server's store is identified by all options. Two
    store objects for one server share their entries on the server anyway.

    namespace: as in StoreOptions.
    place: of a store on this machine.
    server: the options of a server's store.
    """

    namespace: str
    place: LocalPlace | None
    server: StoreOptions | None

    def differs_in_size_limit(self, other: "StoreIdentity") -> bool:
        """Return True if only the size limits of the same local place differ."""
        if self.place is None or other.place is None or self == other:
            return False
        same_limit = other.place._replace(size_limit=self.place.size_limit)
        return self == other._replace(place=same_limit)


def identity_of(options: StoreOptions) -> StoreIdentity:
    """Return the identity of the store that `options` open. Raises ConfigError."""
    place = None if options.client is not None else local_place(options.url)
    server = options if place is None else None
    return StoreIdentity(options.namespace, place, server)
