"""Async sessions and clients of libraries that botocache does not know.

They are passed over. Nothing raises, all is awaited.
"""

import gc
import sys
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

import botocache
from botocache import ConfigError, _install
from botocache.stores.memory import MemoryStore
from botocache.stores.protocol import Store
from tests.integration.app import World
from tests.integration.test_install import _process as process_target
from tests.integration.test_install import reaching
from tests.support.async_sessions import AsyncClient, AsyncSession, Resource, Wrapped
from tests.support.clock import FakeClock


@pytest.fixture
def store(clock: FakeClock) -> Store:
    """Return one store: nothing here depends on which."""
    return MemoryStore(clock=clock)


@pytest.fixture(autouse=True)
def _all_is_awaited(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test that leaves a coroutine behind that was never awaited."""
    left: list[str] = []
    monkeypatch.setattr(
        sys, "unraisablehook", lambda each: left.append(str(each.exc_value))
    )
    yield
    gc.collect(1)  # what this test made is young; all of the heap would take a second
    assert left == []


def among(monkeypatch: pytest.MonkeyPatch, *objects: object) -> None:
    """Let a process-wide installation find these objects."""
    monkeypatch.setattr(_install, "_all_objects", lambda: objects)


@pytest.mark.parametrize("make", [AsyncSession, AsyncClient])
def test_a_process_with_async_objects_is_cached_and_they_are_passed_over(
    make: Callable[[], Any], world: World, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = world.session()
    client = world.client(session)
    among(monkeypatch, make(), client, make())
    cache = botocache.install(url=world.store)
    assert botocache.installed(client) is cache
    assert reaching(world, process_target(world), table) == 1
    botocache.uninstall()
    assert botocache.installed(client) is None
    assert reaching(world, process_target(world), table) == 2


def test_async_sessions_that_are_made_later_are_passed_over_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    among(monkeypatch)
    botocache.install(url=world.store)
    later = AsyncSession()  # has our handlers, from botocore's list
    among(monkeypatch, later)
    botocache.uninstall()
    cache = botocache.install(url=world.store)
    assert botocache.installed() is cache


@pytest.mark.parametrize(
    "make",
    [
        AsyncSession,
        AsyncClient,
        lambda: Wrapped(AsyncSession()),
        lambda: Resource(AsyncClient()),
    ],
)
@pytest.mark.parametrize(
    "door", [botocache.install, botocache.uninstall, botocache.installed]
)
def test_an_async_target_is_refused_in_one_clear_sentence(
    make: Callable[[], Any], door: Callable[[object], object]
) -> None:
    target = make()
    with pytest.raises(ConfigError) as raised:
        door(target)
    assert str(raised.value) == (
        f"{type(target).__name__} is asynchronous, and not of a supported version of "
        "aiobotocore or aioboto3; expected a session, client, resource or Table of "
        "these, or of boto3 or botocore"
    )


class AioThing:
    """An object of a class of aiobotocore that is neither a session nor a client."""

    __module__ = "aiobotocore.session"


def test_what_aiobotocore_makes_before_a_client_is_refused_as_async() -> None:
    with pytest.raises(ConfigError, match="AioThing is asynchronous"):
        botocache.install(AioThing())


def test_a_session_of_a_library_that_raises_is_passed_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Odd(type(boto3.Session()._session)):  # type: ignore[misc]  # botocore's Session
        def get_component(self, name: str) -> Any:
            raise RuntimeError(name)

    among(monkeypatch, Odd.__new__(Odd))
    assert botocache.install(url=world.store) is botocache.installed()
