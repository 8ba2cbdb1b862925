"""`clear`: what it evicts, what it says, and what it refuses."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from botocache.__main__ import main
from botocache._cache.cache import Cache
from botocache._cache.tickets import Hit
from botocache._cli.environment import read_settings
from botocache.stores.opening import open_store
from tests.support.calls import begin, end

GET = {"TableName": "users", "Key": {"id": {"S": "7"}}}
OTHER = {"TableName": "users", "Key": {"id": {"S": "8"}}}
ORDER = {"TableName": "orders", "Key": {"id": {"S": "7"}}}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cache]:
    """A cache of another process, so to speak, that has three entries."""
    monkeypatch.setenv("BOTOCACHE_URL", f"disk://{tmp_path}")
    monkeypatch.setenv("BOTOCACHE_SETTLE", "0")
    settings = read_settings()
    made = Cache(open_store(settings.store_options({})), settings)
    for body in (GET, OTHER, ORDER):
        fill(made, body)
    assert [is_hit(made, body) for body in (GET, OTHER, ORDER)] == [True] * 3
    yield made
    made.close()
