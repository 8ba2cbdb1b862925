"""benchmarks/page.py makes the pages on performance from the JSON of a run."""

from typing import Any

import pytest

from benchmarks import page
from benchmarks.targets import TARGETS

FIGURE = {"micros": 2.5, "ratio": 0.5, "low": 0.4, "high": 0.6, "rounds": [2.5]}
TARGET = {"what": "a hit", "of": "a call", "at_most": 0.5, "group": "hit"}
PROFILE = {
    "what": "a hit",
    "of": "a call",
    "functions": [["_near/client.py:get", 0.25], ["_log.py:log", 0.011]],
    "inside": 0.3,
}


def content(load: str = "0.1", **target: Any) -> dict[str, Any]:
    """Return the JSON of a run with one target and one group."""
    measured = {"measured": 0.61, "low": 0.6, "high": 0.62, "verdict": "missed"}
    machine = {"processor": "a fast one", "cores": "2", "load at the start": load}
    return {
        "command": "python -m benchmarks",
        "machine": machine,
        "versions": {"python": "3.14.0"},
        "rival": {"botocache": "0.0.6"},
        "targets": [{**TARGET, **measured, **target}],
        "profiles": [PROFILE],
        "groups": [
            {
                "name": "hit",
                "title": "Hit: a read",
                "base": "base",
                "unit": "µs",
                "note": "Noted.",
                "figures": [{"name": "memory", **FIGURE}],
            }
        ],
    }


def test_a_missed_target_is_written_as_missed() -> None:
    row = "| a hit | a call | 0.500 | 0.610 [0.600 .. 0.620] | **missed** |\n"
    assert row in page.text(content())


def test_a_missed_target_shows_where_its_time_goes() -> None:
    row = "| a hit | 30% | `_near/client.py:get` 25.0%, `_log.py:log` 1.1% |\n"
    assert row in page.text(content())
    assert "Where the time" not in page.text({**content(), "profiles": []})


def test_a_target_that_was_not_measured_has_no_figure() -> None:
    made = page.text(
        content(measured=None, low=None, high=None, verdict="not measured")
    )
    assert "| a hit | a call | 0.500 |  | not measured |\n" in made


def test_a_table_shows_its_base_its_note_and_each_figure() -> None:
    made = page.figures_text(content())
    assert "## Hit\n" in made
    assert "**A read.** Ratio to: base.\nNoted.\n" in made
    assert "| memory | 2.50 | 0.500 | [0.400 .. 0.600] |\n" in made


def test_the_page_names_machine_versions_and_command() -> None:
    made = page.text(content())
    assert "processor a fast one, cores 2" in made
    assert "python 3.14.0" in made
    assert "`python -m benchmarks`" in made


@pytest.mark.parametrize(("load", "expected"), [("0.9", False), ("1.0", True)])
def test_the_page_warns_of_a_busy_machine(load: str, expected: bool) -> None:
    assert ("busy with other things" in page.text(content(load))) is expected


def test_targets_and_what_is_missed_come_before_the_method() -> None:
    made = page.text(content())
    positions = [
        made.index(f"\n## {title}") for title in ("Targets", "Where", "Method")
    ]
    assert positions == sorted(positions)


def test_a_run_without_the_rival_names_no_environment_of_it() -> None:
    made = page.text({**content(), "rival": {}})
    assert "In the environment of botocache 0.0.6" not in made


def test_the_page_in_the_repository_names_every_target() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    for target in TARGETS:
        assert f"| {target.what} | {target.of} | " in text
