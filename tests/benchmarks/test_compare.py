"""`python -m benchmarks compare` measures two trees in turns."""

import statistics
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import compare
from benchmarks.compare import Results
from tests.support.valkey_server import ValkeyServer

CALLS = (
    *("near hit", "resource near hit", "hit looked up early", "hit through hooks"),
    *("near miss", "miss through hooks", "update", "put"),
    *("batch of 50, all hits", "batch of 50, half hits", "batch of 50, no hits"),
)


def test_the_worker_measures_every_kind_of_call_and_its_base_on_every_store(
    valkey: ValkeyServer,
) -> None:
    results = compare.run_worker(
        compare.ROOT, 0.0, ["--redis", valkey.url, "--entries", "100"]
    )
    timed = {f"{c}, {store}" for c in CALLS for store in ("memory", "disk", "redis")}
    weighed = {f"bytes of an entry, {store}" for store in ("memory", "disk")}
    assert set(results) == timed | weighed
    assert all(value > 0 for value, _ in results.values())
    assert {name for name, (_, base) in results.items() if base} == timed


def test_processes_of_the_two_trees_run_in_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran: list[str] = []

    def run_worker(tree: Path, _seconds: float, options: Sequence[str]) -> Results:
        ran.append(tree.name)
        assert options == ["--cpu"]
        return {"hit": (float(len(ran)), None)}

    monkeypatch.setattr(compare, "run_worker", run_worker)
    before, after = compare.measured((Path("a"), Path("b")), 3, 0.1, ["--cpu"])
    assert "".join(ran) == "abbaab"
    assert [run["hit"][0] for run in before] == [1.0, 4.0, 5.0]
    assert [run["hit"][0] for run in after] == [2.0, 3.0, 6.0]


BEFORE: list[Results] = [
    {"hit": (2.0, 4.0), "size": (1.0, None), "gone": (1.0, None)},
    {"hit": (4.0, 5.0), "size": (1.0, None)},
    {"hit": (100.0, 50.0), "size": (1.0, None)},
]
AFTER: list[Results] = [
    {"hit": (1.0, 4.0), "size": (2.0, None), "new": (1.0, None)},
    {"hit": (2.0, 10.0), "size": (2.0, None)},
    {"hit": (300.0, 20.0), "size": (2.0, None)},
]


def test_a_row_has_the_ratio_of_the_medians_and_the_quartiles_of_the_ratios() -> None:
    assert compare.table(BEFORE, AFTER, statistics.median) == {
        "hit": compare.Row(4.0, 2.0, 0.5, 0.5, 3.0, 0.8, 0.2),
        "size": compare.Row(1.0, 2.0, 2.0, 2.0, 2.0, None, None),
    }


def test_of_processor_time_the_least_of_all_rounds_counts() -> None:
    row = compare.table(BEFORE, AFTER, min)["hit"]
    assert row == compare.Row(2.0, 1.0, 0.5, 0.5, 3.0, 0.5, 0.25)
