"""The examples run, as their own programs, and show what they promise."""

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.support.environment import Environment

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_quickstart_prints_which_read_was_a_hit() -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "quickstart.py")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "first read:        from DynamoDB, visits = 1",
        "second read:       from the cache, visits = 1",
        "after the update:  from DynamoDB, visits = 2",
        "after the put:     from the cache, visits = 0",
    ]


def test_the_crawl_reads_less_with_the_cache_and_serves_nothing_revoked(
    environment: Environment, tmp_path: Path
) -> None:
    demo = str(EXAMPLES / "crawl" / "demo.py")
    options = ["--pages", "20", "--read-capacity", "5", "--out", str(tmp_path)]
    done = environment.run(demo, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    answered = next(row for row in rows if row[:3] == ["of", "these", "answered"])
    assert int(answered[-1]) * 3 < int(answered[-2])
    assert ["served", "after", "that", "0", "0"] in rows
    assert (tmp_path / "read-capacity.png").stat().st_size > 10_000
    took = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert 0 < took["with"]["cpu_seconds"] < took["with"]["seconds"] * 100
    # What botocache says of itself is what DynamoDB saw.
    tried, kept = re.findall(
        r"botocache (?:would have )?answered ([\d,]+) of ([\d,]+) reads, (\d+)%",
        done.stdout,
    )
    hits, reads, share = (int(number.replace(",", "")) for number in kept)
    assert abs(reads - hits - int(answered[-1])) <= 0.01 * int(answered[-1])
    assert int(tried[2]) > 50
    assert share > 50
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert "credentials" in page
