"""The demo fails where botocache and DynamoDB count differently."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PATH = Path(__file__).parents[2] / "examples" / "crawl" / "report.py"


def load_report() -> ModuleType:
    """Load the file by its path: the demo is no package, and is not installed."""
    spec = importlib.util.spec_from_file_location("crawl_report", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["crawl_report"] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


REPORT = load_report()

COUNTED = REPORT.Counted(
    hits=60, sent=40, units_saved=30.0, units_consumed=20.0, compared=60
)


def ran(answered: int, units: float) -> Any:
    """Return a run of which DynamoDB saw so much."""
    reads = REPORT.TableReads(10.0, answered, (units,), ())
    crawl = (1, 1, 0, 1.0, 1.0, 1.0, 0, 0, 0, 0)
    return REPORT.Run(*crawl, 1.0, answered, {"t": reads}, 0.5)


@pytest.mark.parametrize(
    ("answered", "units", "is_shadow", "complaints"),
    [
        (40, 20.0, False, 0),
        (40, 20.1, False, 0),
        (40, 20.5, False, 1),
        (41, 20.0, False, 1),
        (100, 50.0, True, 0),
        (100, 20.0, True, 1),
        (40, 50.0, True, 1),
    ],
)
def test_the_crawl_complains_where_botocache_and_dynamodb_count_differently(
    answered: int, units: float, is_shadow: bool, complaints: int
) -> None:
    found = REPORT.disagreements(ran(answered, units), COUNTED, is_shadow=is_shadow)
    assert len(list(found)) == complaints


@pytest.mark.parametrize(
    ("counted", "complaints"),
    [
        (COUNTED, 0),
        (replace(COUNTED, stale=1), 1),
        (replace(COUNTED, compared=56), 1),
        (replace(COUNTED, units_saved=10.0), 1),
    ],
)
def test_the_crawl_complains_of_what_it_tried_in_vain(
    counted: Any, complaints: int
) -> None:
    assert len(list(REPORT.tried_in_vain(counted))) == complaints


def test_time_and_processor_time_of_both_runs_are_shown_and_written() -> None:
    plain, cached = ran(100, 1.0), replace(ran(10, 1.0), seconds=0.5, cpu_seconds=0.25)
    lines = REPORT.table(plain, cached).splitlines()
    (row,) = (line.split() for line in lines if line.startswith("CPU time"))
    assert row[-2:] == ["0.50", "0.25"]
    written = REPORT.figures(plain, cached)
    taken = {which: (of["seconds"], of["cpu_seconds"]) for which, of in written.items()}
    assert taken == {"without": (1.0, 0.5), "with": (0.5, 0.25)}
