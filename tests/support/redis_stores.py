"""Stores on Redis, with connections, a clock and random numbers of the test."""

import os
from collections.abc import Callable
from typing import Any

from botocache.stores.options import StoreOptions
from botocache.stores.protocol import Clock, Random
from botocache.stores.redis.cluster.store import ClusterStore
from botocache.stores.redis.cluster.urls import ClusterEndpoints
from botocache.stores.redis.store import RedisStore


def redis_store(
    make: Callable[[], Any],
    *,
    name: str = "",
    clock: Clock | None = None,
    random: Random = os.urandom,
    **options: Any,
) -> RedisStore:
    """Return a store on a server. options: fields of StoreOptions."""
    return RedisStore(make, _options(options), name=name, clock=clock, random=random)


def cluster_store(
    endpoints: ClusterEndpoints,
    *,
    name: str = "",
    clock: Clock | None = None,
    random: Random = os.urandom,
    **options: Any,
) -> ClusterStore:
    """Return a store in a cluster. options: fields of StoreOptions."""
    return ClusterStore(
        endpoints, _options(options), name=name, clock=clock, random=random
    )


def _options(given: dict[str, Any]) -> StoreOptions:
    usual: dict[str, Any] = {
        "namespace": "default",
        "environ": {},
        "timeout": 0.02,
        "settle": 1.0,
        "longest_ttl": 60.0,
    }
    return StoreOptions("", **{**usual, **given})
