"""What the tests of the stores share."""

import pytest

from botocache.stores import disk, entryfile
from tests.support.processes import TIMEOUT


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a slow machine take its time; the tests of patience set their own."""
    monkeypatch.setattr(disk, "OPEN_PATIENCE", TIMEOUT)
    monkeypatch.setattr(entryfile, "LOCK_PATIENCE", TIMEOUT)
