"""CloudWatch's embedded metric format: what lines hold, and how they are written."""

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from botocache._counting.stats import Stats, TableStats
from botocache._observe import cloudwatch
from botocache._observe.cloudwatch import LONGEST_LINE, CloudWatchExporter
from tests.support.counted import (
    BoardStore,
    Counted,
    durations,
    everything,
    readings_of,
)
from tests.support.embedded_metrics import check_line


class Written:
    """A cache that is exported, and the lines."""

    def __init__(self) -> None:
        self.cache, self._store = Counted(), BoardStore(5, 600)
        self.takes = True
        self.lines: list[str] = []
        readings = readings_of(self.cache, store=self._store)
        self.exporter = CloudWatchExporter(readings, lambda: 1700000000.5, self._write)

    def _write(self, line: str) -> bool:
        if self.takes:
            self.lines.append(line)
        return self.takes

    def export(self) -> dict[tuple[str, ...], dict[str, Any]]:
        """Return the metrics of the new lines by table and operation."""
        self.lines.clear()
        self.exporter.export()
        found: dict[tuple[str, ...], dict[str, Any]] = {}
        for line in self.lines:
            assert len(line.encode()) < LONGEST_LINE
            document = check_line(line)
            [directive] = document["_aws"]["CloudWatchMetrics"]
            assert document["_aws"]["Timestamp"] == 1700000000500
            assert directive["Namespace"] == "botocache"
            [dimensions] = directive["Dimensions"]
            group = found.setdefault(tuple(document[each] for each in dimensions), {})
            group |= {
                each["Name"]: document[each["Name"]] for each in directive["Metrics"]
            }
        return found


def test_a_line_has_all_that_grew_for_one_table_and_operation() -> None:
    written = Written()
    written.cache.now = everything()
    found = written.export()
    assert set(found) == {
        ("users", "GetItem"),
        ("users", "PutItem"),
        ("users",),
        (),
    }
    reads = found["users", "GetItem"]
    assert reads["requests.hit.near"] == 1000
    assert reads["requests.hit.store"] == 191
    assert reads["requests.held"] == 6
    assert reads["bypasses.off"] == 5
    assert reads["read_units.saved"] == 600.5
    assert reads["staleness"] == 47.5
    assert max(reads["request.duration.miss"]) == pytest.approx(20, rel=0.01)
    assert found["users", "PutItem"] == {"writes": 13, "evictions": 52}
    assert found[()] == {
        "failures.load_failed": 7,
        "failures.evict_failed": 1,
        "undelivered_evictions": 4,
        "store.entries": 5,
        "store.size": 600,
    }


def test_units_are_those_of_cloudwatch() -> None:
    written = Written()
    written.cache.now = everything()
    written.export()
    units = {
        metric["Name"]: metric["Unit"]
        for line in written.lines
        for metric in json.loads(line)["_aws"]["CloudWatchMetrics"][0]["Metrics"]
    }
    assert units["request.duration.miss"] == "Seconds"
    assert units["store.size"] == "Bytes"
    assert set(units.values()) == {"Seconds", "Bytes", "Count"}


def test_lines_have_what_grew_since_the_last_ones() -> None:
    written = Written()
    written.cache.set(near_hits=3, units_saved=1.5)
    assert written.export()["users", "GetItem"] == {
        "requests.hit.near": 3,
        "read_units.saved": 1.5,
    }
    assert written.export() == {}
    written.cache.set(near_hits=10, units_saved=5.0)
    assert written.export() == {
        ("users", "GetItem"): {"requests.hit.near": 7, "read_units.saved": 3.5}
    }


def test_what_could_not_be_written_is_in_the_next_lines() -> None:
    written = Written()
    written.cache.set(near_hits=3, misses=1)
    written.takes = False
    assert written.export() == {}
    written.takes = True
    written.cache.set(near_hits=5, misses=1)
    found = written.export()["users", "GetItem"]
    assert found == {"requests.hit.near": 5, "requests.miss": 1}


def test_a_gauge_is_written_when_it_changes_and_when_it_falls_to_zero() -> None:
    written = Written()
    written.export()
    for undelivered, shown in ((4, True), (4, False), (0, True), (0, False)):
        written.cache.now = Stats(undelivered=undelivered)
        found = written.export().get((), {})
        assert found == ({"undelivered_evictions": undelivered} if shown else {})


def test_durations_are_at_most_a_hundred_and_in_proportion() -> None:
    written = Written()
    many = [3e-6] * 90_000 + [7e-6] * 9_999 + [0.004]
    written.cache.set(near_latency=durations(*many))
    values = written.export()["users", "GetItem"]["request.duration.hit.near"]
    assert len(values) <= 100
    assert sum(value <= 5e-6 for value in values) == pytest.approx(69, abs=2)
    assert max(values) > 0.001


def test_a_line_is_cut_where_it_would_be_too_long() -> None:
    written = Written()
    reasons = {f"reason-{number}-{'x' * 60}": number + 1 for number in range(120)}
    written.cache.set(bypassed=reasons)
    group = written.export()["users", "GetItem"]
    assert len(written.lines) > 1
    assert group == {
        "requests.bypass": sum(reasons.values()),
        **{f"bypasses.{reason}": count for reason, count in reasons.items()},
    }


def test_a_line_has_at_most_a_hundred_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloudwatch, "LONGEST_LINE", 10**6)
    written = Written()
    written.cache.set(bypassed={f"r{number}": 1 for number in range(150)})
    written.exporter.export()
    lines = [check_line(line) for line in written.lines]  # which counts them
    assert len(lines) == 3  # 150 reasons and their sum, and the store


def test_names_of_tables_and_operations_are_dimensions() -> None:
    written = Written()
    table = TableStats("a.table-with_all", "Query", misses=1)
    written.cache.now = replace(Stats(), tables=(table,))
    assert ("a.table-with_all", "Query") in written.export()


# --- standard output -----------------------------------------------------------------

PROGRAM = """
import sys
from botocache._observe.cloudwatch import write_line
{program}
print(*done, file=sys.stderr)
"""


def run(program: str, stdout: Any) -> tuple[int, str]:
    """Return the status and the standard error of a program."""
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(program=program)],
        env={**os.environ, "PYTHONUNBUFFERED": ""},
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=20,
        check=False,
    )
    return result.returncode, result.stderr.decode().strip()


def test_a_pipe_that_is_full_is_not_waited_for() -> None:
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(theirs, b"x" * 4096):
            pass
    os.set_blocking(theirs, True)
    done = run("done = [write_line('x') for _ in range(3)]", theirs)
    assert done == (0, "False False False")
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize(
    "program",
    [
        "sys.stdout.close(); done = [write_line('x')]",
        "sys.stdout = None; done = [write_line('x')]",
        "import os; os.close(1); done = [write_line('x')]; sys.stdout = None",
        """
class Own:
    def write(self, text): raise OSError
    def flush(self): pass
sys.stdout = Own(); done = [write_line('x')]
""",
    ],
    ids=["closed", "none", "descriptor", "own"],
)
def test_an_output_that_takes_nothing_disturbs_nothing(program: str) -> None:
    assert run(program, subprocess.DEVNULL) == (0, "False")


def test_a_pipe_whose_reader_is_gone_disturbs_nothing() -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    assert run("done = [write_line('x')]", theirs) == (0, "False")
    os.close(theirs)


def test_a_full_disk_disturbs_nothing() -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        assert run("done = [write_line('x')]", full) == (0, "False")


def test_a_line_comes_after_what_the_application_has_printed(tmp_path: Path) -> None:
    program = "print('first'); done = [write_line('second')]; print('third')"
    printed = tmp_path / "printed"
    with printed.open("wb") as file:  # Python keeps lines back from a file
        assert run(program, file) == (0, "True")
    assert printed.read_text() == "first\nsecond\nthird\n"
