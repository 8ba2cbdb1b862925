"""Followed tables for aiobotocore: a heartbeat is asked for where the call waits."""

import asyncio
from collections.abc import Iterator

import pytest

import botocache
from botocache.stores.protocol import Store
from tests.aio.near_world import (
    SETTINGS,
    client_of,
    get,
    item,
    new_session,
    past_the_pipeline,
    run,
)
from tests.support.clock import FakeClock
from tests.support.dynamodb import REGION, DynamoDB
from tests.support.forwarding_store import ForwardingStore
from tests.support.stores import opened_store

UNFOLLOWED, TRUST = 20, 10


@pytest.fixture(params=["memory", "disk", "redis"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """Each store, on the test's clock."""
    with opened_store(request.param, request) as made:
        yield made


class WatchedStore(ForwardingStore):
    """Notes whether an event loop has waited for a store that may wait."""

    has_blocked = False

    def _before(self, verb: str) -> None:
        if verb == "now":
            return
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        self.has_blocked = True


def test_an_entry_outlives_the_short_ttl_only_while_its_table_is_followed(
    dynamodb: DynamoDB, store: Store, clock: FakeClock
) -> None:
    table = dynamodb.create_table("pk:S")
    outside = dynamodb.client()
    outside.put_item(TableName=table, Item=item("a", 1))

    async def application() -> None:
        session, watched = new_session(), WatchedStore(store)
        cache = botocache.install(
            session, url=watched, ttl=3600, ttl_unfollowed=UNFOLLOWED, **SETTINGS
        )
        async with client_of(dynamodb, session) as client:
            assert await get(client, table) == item("a", 1)
            outside.put_item(TableName=table, Item=item("a", 2))
            clock.advance(UNFOLLOWED + 0.1)
            post = cache._services.heartbeats.post
            await asyncio.to_thread(post, REGION, table, clock())
            with past_the_pipeline():
                for _ in range(3):
                    assert await get(client, table) == item("a", 1)
            clock.advance(TRUST)
            assert await get(client, table) == item("a", 2)
        assert not watched.has_blocked

    run(application)
