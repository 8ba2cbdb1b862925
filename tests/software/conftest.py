"""The cache for software that knows nothing of it: on the process, and eager.

Eager: moto's reads never lag behind its writes, and no writer dies here. So there need
be no hold-off, everything is kept at once, and a stale entry would be served the very
next moment. Clocks are real; nothing here waits for one.
"""

from pathlib import Path
from typing import Any

import botocore.session
import pytest

import botocache
from botocache import Cache
from tests.support.dynamodb import REGION, DynamoDB


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
def outside(dynamodb: DynamoDB) -> Any:
    """A client that an installation on the process does not reach."""
    session = botocore.session.Session(include_builtin_handlers=False)
    return dynamodb.client(dynamodb.session(botocore_session=session))
