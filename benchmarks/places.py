"""What the benchmarks run against: servers, a directory, and the settings of stores.

All of it is real and on this machine, and starts when a benchmark first uses it.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import redis

from benchmarks import names
from benchmarks.rival import Rival, running_rival
from tests.support.dynamodb import DynamoDB, running_dynamodb
from tests.support.valkey_server import ValkeyServer, running_valkey

TTL = 3600.0
_numbers = count()


class Places:
    """Servers and directories that end with a stack.

    wheel: of this version, if it was built before.
    """

    def __init__(self, stack: ExitStack, wheel: Path | None) -> None:
        self._stack = stack
        self.wheel = wheel

    @cached_property
    def directory(self) -> Path:
        """A temporary directory."""
        return Path(self._stack.enter_context(tempfile.TemporaryDirectory()))

    @cached_property
    def moto(self) -> DynamoDB:
        """A DynamoDB of moto's, in another process."""
        return self._stack.enter_context(running_dynamodb("benchmarks.server"))

    @cached_property
    def valkey(self) -> ValkeyServer:
        """A Valkey server."""
        return self._stack.enter_context(running_valkey())

    @cached_property
    def bare(self) -> Any:
        """A client of redis-py, of the same server."""
        return self._stack.enter_context(redis.Redis(port=self.valkey.port))

    @cached_property
    def rival(self) -> Rival:
        """The process that runs botocache 0.0.6."""
        return self._stack.enter_context(running_rival())

    def stores(self) -> dict[str, dict[str, Any]]:
        """Return the settings of each store, new and empty, by its name."""
        common = {"ttl": TTL, "namespace": f"bench-{next(_numbers)}"}
        # A busy machine must not cause store errors, hence the long timeout.
        redis = {**common, "url": self.valkey.url, "timeout": 1.0, "settle": 0.0}
        return {
            names.MEMORY: {**common, "url": "memory:?size_limit=4GiB"},
            names.DISK: {**common, "url": f"disk://{self.directory}?size_limit=4GiB"},
            names.REDIS: redis,
        }

    def variants(self) -> dict[str, dict[str, Any]]:
        """Return `stores`, client tracking, and memory without the near cache."""
        stores = self.stores()
        return {
            **stores,
            names.TRACKING: {**stores[names.REDIS], "client_tracking": True},
            names.NEAR_OFF: {**stores[names.MEMORY], "near": "off"},
        }


@contextmanager
def running_places(wheel: Path | None = None) -> Iterator[Places]:
    """Yield the places; end what they started."""
    with ExitStack() as stack:
        yield Places(stack, wheel)
