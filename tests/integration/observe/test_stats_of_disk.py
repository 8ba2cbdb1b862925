"""`botocache stats` of a store on disk that no process has open."""

import json
from pathlib import Path

import pytest

from botocache._cli.main import run_command
from botocache.stores.disk.store import DiskStore
from tests.support.digests import key, tag


def test_stats_counts_the_entries_that_ended_processes_have_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BOTOCACHE_URL", f"disk://{tmp_path}")
    store = DiskStore(tmp_path)
    for name in ("one", "two", "three"):
        store.fill(key(name), b"entry", 60.0, [tag("a")])
    store.close()
    assert run_command(["stats", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["store"]["entries"] == 3
