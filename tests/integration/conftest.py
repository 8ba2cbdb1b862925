"""An application with the cache on, against DynamoDB."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest

import botocache
from botocache import Cache, _install
from botocache.stores.protocol import Store
from tests.integration.app import World
from tests.support.clock import FakeClock
from tests.support.dynamodb import DynamoDB
from tests.support.stores import opened_store


@pytest.fixture(autouse=True)
def _no_installation_left_over(_clean_process: None) -> Iterator[None]:
    """End what other tests installed on sessions that are garbage, but still there."""
    _end_installations()
    yield
    _end_installations()


def _end_installations() -> None:
    for events, hooks in list(_install._installed.items()):
        hooks.cache = None
        hooks.unregister(events)
    _install._installed.clear()


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """The store in memory, or the one that the test asks for, on the test's clock."""
    with opened_store(getattr(request, "param", "memory"), request) as made:
        yield made


@pytest.fixture(scope="session")
def outside(dynamodb: DynamoDB) -> Any:
    """A client that goes around every cache; one per test process."""
    session = dynamodb.session("AKIAOUTSIDE000000000")
    return dynamodb.client(session)


@pytest.fixture
def world(dynamodb: DynamoDB, store: Store, clock: FakeClock, outside: Any) -> World:
    """A DynamoDB, a store, its clock, and sessions without a cache."""
    return World(dynamodb, store, clock, outside)


@pytest.fixture
def session(world: World) -> boto3.Session:
    """The application's session; it has the cache where a test asks for that too."""
    return world.session()


@pytest.fixture
def cache(world: World, session: boto3.Session) -> Cache:
    """The cache, installed on the session."""
    return botocache.install(session, url=world.store)


@pytest.fixture
def client(world: World, session: boto3.Session, cache: Cache) -> Any:
    """A client with the cache."""
    return world.client(session)


@pytest.fixture
def resource(world: World, session: boto3.Session, cache: Cache) -> Any:
    """A resource with the cache."""
    return world.resource(session)


@pytest.fixture
def table(world: World) -> str:
    """The name of an empty table with the key `pk`, a string."""
    return world.table("pk:S")
