"""`python -m benchmarks compare` measures two trees in turns."""

from pathlib import Path

import pytest

from benchmarks import compare
from benchmarks.compare import Results

CALLS = (
    *("near hit", "hit through hooks", "near miss", "miss through hooks"),
    *("update", "put", "batch of 50, half hits", "bytes of an entry"),
)


def test_the_worker_measures_every_kind_of_call_on_both_local_stores() -> None:
    results = compare.run_worker(compare.ROOT, 0.0)
    assert set(results) == {
        f"{c}, {store}" for c in CALLS for store in ("memory", "disk")
    }
    assert all(value > 0 for value in results.values())


def test_processes_of_the_two_trees_run_in_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran: list[str] = []

    def run_worker(tree: Path, _seconds: float) -> Results:
        ran.append(tree.name)
        return {"hit": float(len(ran))}

    monkeypatch.setattr(compare, "run_worker", run_worker)
    before, after = compare.measured((Path("a"), Path("b")), 3, 0.1)
    assert "".join(ran) == "abbaab"
    assert [run["hit"] for run in before] == [1.0, 4.0, 5.0]
    assert [run["hit"] for run in after] == [2.0, 3.0, 6.0]


def test_a_row_has_the_ratio_of_the_medians_and_the_quartiles_of_the_ratios() -> None:
    before = [{"hit": 2.0, "gone": 1.0}, {"hit": 4.0}, {"hit": 100.0}]
    after = [{"hit": 1.0, "new": 1.0}, {"hit": 2.0}, {"hit": 300.0}]
    assert compare.table(before, after) == {"hit": (4.0, 2.0, 0.5, 0.5, 3.0)}
