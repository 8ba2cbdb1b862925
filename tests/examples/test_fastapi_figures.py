"""What the demo of the async service shows and what it complains about."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PATH = Path(__file__).parents[2] / "examples" / "fastapi" / "figures.py"


def load_figures() -> ModuleType:
    """Load the file by its path: the demo is no package, and is not installed."""
    spec = importlib.util.spec_from_file_location("fastapi_figures", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fastapi_figures"] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


FIGURES = load_figures()


def turn(per_second: int, reads: int, failed: int = 0, stale: int = 0) -> Any:
    """Return a turn in which clients read a hundred times. reads: DynamoDB's."""
    seen = {
        "per_second": per_second,
        "p50_ms": 1,
        "p99_ms": 2,
        "requests": 100,
        "reads": 100,
        "failed": failed,
        "stale": stale,
    }
    counts = {"GetItem": reads - 1, "Query": 1, "UpdateItem": 5}
    return FIGURES.Turn(seen, counts, 0.25, 20.0, 10.0)


def runs(*turns: Any) -> list[Any]:
    """Return a run without the cache, and one with it that has these turns."""
    plain = FIGURES.Run("without", [turn(10, 100)])
    return [plain, FIGURES.Run("memory", list(turns))]


def test_the_best_turn_is_shown_and_what_went_wrong_in_any() -> None:
    lines = FIGURES.table(runs(turn(30, 3), turn(20, 60, failed=2))).splitlines()
    shown = {line[:36].strip(): line[36:].split() for line in lines}
    assert shown["requests a second"] == ["10", "30"]
    assert shown["reads that DynamoDB saw"] == ["100", "3"]
    assert shown["CPU of the service, a request (ms)"] == ["2.50", "2.50"]
    assert shown["failed requests, all turns"] == ["0", "2"]


@pytest.mark.parametrize(
    ("turns", "complaints"),
    [
        ([turn(30, 3)], []),
        ([turn(30, 50)], []),
        ([turn(30, 51)], ["The cache was not active, memory."]),
        ([turn(30, 3), turn(20, 3, failed=2)], ["Requests that failed, memory: 2."]),
        ([turn(30, 3), turn(20, 3, stale=1)], ["Stale answers, memory: 1."]),
    ],
)
def test_the_demo_complains_of_what_must_not_be(
    turns: list[Any], complaints: list[str]
) -> None:
    assert list(FIGURES.complaints(runs(*turns))) == complaints
