"""The cache for software that knows nothing of it: on the process, and eager.

Eager: moto's reads never lag behind its writes, and no writer dies here. So there need
be no hold-off, everything is kept at once, and a stale entry would be served the very
next moment. Clocks are real; nothing here waits for one.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.loaders import Loader

import botocache
from botocache import Cache
from tests.support.dynamodb import REGION, DynamoDB, running_dynamodb

LOADER = Loader()
"""botocore's models, read from disk once for all sessions."""


@pytest.fixture(scope="session")
def dynamodb() -> Iterator[DynamoDB]:
    """A DynamoDB server whose writes are atomic."""
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
    return {"url": url, "settle": 0, "write_window": 0}


@pytest.fixture
def cache(settings: dict[str, Any], _clean_process: None) -> Cache:
    """The cache, installed on the process."""
    return botocache.install(**settings)


@pytest.fixture
def outside(dynamodb: DynamoDB, cache: Cache) -> Any:
    """A client that the installation on the process does not reach."""
    session = botocore.session.Session(include_builtin_handlers=False)
    session.register_component("data_loader", LOADER)
    return dynamodb.client(dynamodb.session(botocore_session=session))


@pytest.fixture
def session(dynamodb: DynamoDB, cache: Cache) -> boto3.Session:
    """A session with the cache."""
    session = botocore.session.Session()
    session.register_component("data_loader", LOADER)
    return dynamodb.session(botocore_session=session)


@pytest.fixture
def client(dynamodb: DynamoDB, session: boto3.Session) -> Any:
    """A client with the cache."""
    return dynamodb.client(session)


@pytest.fixture
def resource(dynamodb: DynamoDB, session: boto3.Session) -> Any:
    """A resource with the cache."""
    return dynamodb.resource(session)
