"""What a store is opened with, and which store is the default."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Where Linux tells one boot of a machine from another; a store on disk needs it."""


def default_url() -> str:
    """Return the store that is used unless the user names one."""
    return "disk:" if BOOT_ID.exists() else "memory:"


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """What a store is opened with.

    url: with its scheme; "" where there is a client.
    namespace: keeps applications that share a store apart.
    size_limit: bytes; None is the store's own default.
    environ: where the default directory is looked up.
    timeout: seconds that the store may delay a call.
    settle: seconds of hold-off after a write.
    longest_ttl: the longest time in seconds that any entry lives.
    client: of redis-py, built by the user.
    client_tracking: have the server announce which generations changed.
    """

    url: str = field(repr=False)
    namespace: str
    size_limit: int | None
    environ: Mapping[str, str] = field(repr=False)
    timeout: float
    settle: float
    longest_ttl: float
    client: Any = field(default=None, repr=False)
    client_tracking: bool = False


def is_client(candidate: object) -> bool:
    """Tell whether an object is a client of redis-py, without importing that."""
    redis = sys.modules.get("redis")
    kinds = (getattr(redis, "Redis", None), getattr(redis, "RedisCluster", None))
    return isinstance(candidate, tuple(kind for kind in kinds if kind is not None))
