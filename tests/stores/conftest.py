"""Fixtures of the store tests."""

import pytest

from botocache.stores.disk import entry_database, store
from tests.support.processes import TIMEOUT


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a slow machine take its time; the tests of patience set their own."""
    monkeypatch.setattr(store, "OPEN_PATIENCE", TIMEOUT)
    monkeypatch.setattr(entry_database, "LOCK_PATIENCE", TIMEOUT)
