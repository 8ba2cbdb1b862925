"""The cache for software that knows nothing of it: an eager one.

Eager: moto's reads never lag behind its writes, and no writer dies here. So there need
be no hold-off, everything is kept at once, and a stale entry would be served the very
next moment. Clocks are real; nothing here waits for one, and nothing expires.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import botocore.session
import pytest
from botocore.loaders import Loader

import botocache
from botocache import Cache
from tests.support.dynamodb import REGION, DynamoDB, running_dynamodb

NEVER = 3600
"""Seconds that an entry lives: longer than the slowest test."""

LOADER = Loader()
"""botocore's models, read from disk once for all sessions."""


@pytest.fixture(scope="session", autouse=True)
def _read_once() -> Iterator[None]:
    """Give it to the sessions of the software, too: each would read for 0.2 s."""
    with mock.patch.object(botocore.session, "create_loader", return_value=LOADER):
        yield


@pytest.fixture(scope="session")
def dynamodb() -> Iterator[DynamoDB]:
    """A DynamoDB server with atomic writes."""
    with running_dynamodb("tests.software.server") as server:
        yield server


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch, _clean_process: None) -> None:
    """Give software that makes sessions of its own what an application would."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASOFTWARE00000000")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)


@pytest.fixture(params=["memory", "disk"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Each store in turn, for a test that installs the cache itself."""
    url = "memory:" if request.param == "memory" else f"disk://{tmp_path}/store"
    eager = {"settle": 0, "write_hold_off": 0}
    return {"url": url, **eager, "ttl": NEVER, "negative_ttl": NEVER}


@pytest.fixture
def session(dynamodb: DynamoDB) -> boto3.Session:
    """A session; with the cache if the test also uses the `cache` fixture."""
    return _new_session(dynamodb)


@pytest.fixture
def cache(session: boto3.Session, settings: dict[str, Any]) -> Iterator[Cache]:
    """The cache, installed on the session.

    Not on the process where that is not the point: it looks at every object there is.
    """
    yield botocache.install(session, **settings)
    botocache.uninstall(session)


@pytest.fixture
def client(dynamodb: DynamoDB, session: boto3.Session, cache: Cache) -> Any:
    """A client with the cache."""
    return dynamodb.client(session)


@pytest.fixture
def resource(dynamodb: DynamoDB, session: boto3.Session, cache: Cache) -> Any:
    """A resource with the cache."""
    return dynamodb.resource(session)


@pytest.fixture
def outside(dynamodb: DynamoDB) -> Any:
    """A client without the cache."""
    return dynamodb.client(_new_session(dynamodb))


def _new_session(dynamodb: DynamoDB) -> boto3.Session:
    session = botocore.session.Session()
    session.register_component("data_loader", LOADER)
    return dynamodb.session(botocore_session=session)
