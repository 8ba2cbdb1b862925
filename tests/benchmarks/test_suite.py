"""Every benchmark runs, and its JSON has the shape that page.py reads.

The scale is the smallest, so the figures mean nothing here.
"""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import aio, page
from benchmarks.__main__ import SUITE
from benchmarks.targets import TARGETS

ROOT = Path(__file__).parents[2]

# What is made of figures is what test_page.py and test_targets.py hold.
pytestmark = pytest.mark.long("every benchmark runs, beside the other cache")


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> dict[str, Any]:
    """The JSON of one run of the suite, shared by all test processes."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # then each worker has a folder in it
        base = base.parent
    out = base / "benchmarks.json"
    with (base / "benchmarks.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not out.exists():
            run_suite(out, wheel)
    loaded: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return loaded


def run_suite(out: Path, wheel: Path) -> None:
    """Run the suite."""
    command = [sys.executable, "-m", "benchmarks", "--scale", "tiny"]
    done = subprocess.run(
        [*command, "--out", str(out), "--wheel", str(wheel)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_module_measures_something(content: dict[str, Any]) -> None:
    sections = {group["title"].partition(":")[0] for group in content["groups"]}
    assert sections == {
        *("Hit", "Server", "Batch", "Miss", "Write", "Threads", "Processes"),
        *("Entries", "Memory", "Mix", "Writes", "Start", "Import", "Codec"),
        "Observing",
    } | ({"Async"} if aio.PYTHON.exists() else set())
    assert len(sections) >= len(SUITE) - 1  # without the environment of async


def test_every_figure_has_its_rounds_and_a_ratio_to_its_base(
    content: dict[str, Any],
) -> None:
    for group in content["groups"]:
        assert {"name", "title", "base", "unit", "note", "figures"} == set(group)
        figures = {figure["name"]: figure for figure in group["figures"]}
        assert figures[group["base"]]["ratio"] == 1.0
        for figure in figures.values():
            assert figure["rounds"], figure
            assert all(isinstance(each, float) for each in figure["rounds"])
            assert figure["low"] <= figure["ratio"] <= figure["high"]


def test_every_target_has_a_verdict(content: dict[str, Any]) -> None:
    targets = content["targets"]
    assert len(targets) == len(TARGETS)
    for target in targets:
        assert target["verdict"] in ("met", "missed", "not measured")
    missing = {t["what"] for t in targets if t["verdict"] == "not measured"}
    # Two at this scale; and what needs an environment of its own.
    assert all("4 processes" in what or "aiobotocore" in what for what in missing)


def test_the_json_names_versions_and_no_host_name_or_path(
    content: dict[str, Any],
) -> None:
    assert content["format"] == 2
    assert content["command"] == "python -m benchmarks --scale tiny"
    assert set(content["machine"]) == {
        *("processor", "cores", "system", "load at the start"),
    }
    assert content["rival"]["botocache"] == "0.0.6"
    assert content["rival"]["botocore"] == content["versions"]["botocore"]
    assert str(ROOT) not in json.dumps(content)


def test_the_pages_show_every_figure_and_target(content: dict[str, Any]) -> None:
    text, figures = page.text(content), page.figures_text(content)
    for group in content["groups"]:
        for figure in group["figures"]:
            assert f"| {figure['name']} | " in figures
    for target in content["targets"]:
        assert f"| {target['what']} | {target['of']} | " in text


def test_what_misses_a_target_in_this_process_has_a_profile(
    content: dict[str, Any],
) -> None:
    profiled = {profile["what"] for profile in content["profiles"]}
    elsewhere = ("processes", "start", "import", "async-near")
    contenders: dict[tuple[str, str], bool] = {}
    for target in content["targets"]:
        if target["verdict"] == "missed" and target["group"] not in elsewhere:
            which = target["group"], target["own"]
            contenders[which] = contenders.get(which, False) or (
                target["what"] in profiled
            )
    assert all(contenders.values()), contenders
    for profile in content["profiles"]:
        assert 0 < profile["functions"][0][1] <= profile["inside"] <= 1
