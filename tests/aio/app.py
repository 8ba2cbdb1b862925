"""What the tests of the async adapter have in common: sessions, clients and stores."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiobotocore.session import AioSession, get_session
from botocore.loaders import Loader

from botocache._coherence import Eviction, EvictionRequest
from botocache.stores.memory import MemoryStore
from botocache.stores.protocol import Store
from tests.support.dynamodb import REGION
from tests.support.forwarding_store import ForwardingStore

KEY_ID = "AKIAAPPLICATION00000"
LONG = 60
"""Seconds after which a test has failed."""

_loader = Loader()
"""botocore's models, read from disk once for all sessions."""


def new_session(key: str | None = KEY_ID) -> AioSession:
    """Return a new session with static credentials, or with none."""
    session = get_session()
    session.register_component("data_loader", _loader)
    if key is not None:
        session.set_credentials(key, "secret")
    return session


@asynccontextmanager
async def client_of(
    url: str, session: AioSession, **options: Any
) -> AsyncIterator[Any]:
    """Yield a client of the DynamoDB at a URL."""
    making = session.create_client(
        "dynamodb", region_name=REGION, endpoint_url=url, **options
    )
    async with making as client:
        yield client


async def get(client: Any, table: str, pk: str = "a") -> str | None:
    """Return the attribute `n` of an item; None when there is no item."""
    answer = await client.get_item(TableName=table, Key={"pk": {"S": pk}})
    return answer["Item"]["n"]["N"] if "Item" in answer else None


async def put(client: Any, table: str, n: int, pk: str = "a") -> None:
    """Put an item."""
    await client.put_item(TableName=table, Item={"pk": {"S": pk}, "n": {"N": str(n)}})


class GatedStore(ForwardingStore):
    """A store whose verbs wait while it is shut.

    entered: released by each verb that waits.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.entered = threading.Semaphore(0)
        self._open = threading.Event()
        self._open.set()

    def shut(self) -> None:
        """Let verbs wait from now on."""
        self._open.clear()

    def open(self) -> None:
        """Let them go on."""
        self._open.set()

    def _before(self, verb: str) -> None:
        # Its clock is local, as that of each store.
        if verb != "now" and not self._open.is_set():
            self.entered.release()
            assert self._open.wait(LONG)


class WatchedMemory(MemoryStore):
    """A store that never waits, and notes what it evicts.

    evictions: the requests, the oldest first.
    """

    waits = False

    def __init__(self) -> None:
        super().__init__()
        self.evictions: list[EvictionRequest] = []

    def evict(self, request: EvictionRequest) -> Eviction:
        """See Store.evict."""
        self.evictions.append(request)
        return super().evict(request)


class WatchedWaiting(WatchedMemory):
    """The same store, if it may wait."""

    waits = True
