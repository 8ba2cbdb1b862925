"""The command line as a process: on a terminal, in a pipe, on a full disk."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import botocache
from botocache._cache.sealed import seal
from botocache._observe.overview import open_board
from botocache._observe.sealing import process_name
from botocache._settings.load import Settings
from botocache.stores.protocol import Board
from tests.support.posted import record
from tests.support.processes import TIMEOUT
from tests.support.terminals import on_terminal

ROOT = Path(botocache.__file__).parents[1]
COMMAND = (sys.executable, "-m", "botocache")


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of an application, two processes of which have posted."""
    url = f"disk://{tmp_path_factory.mktemp('store')}"
    now = time.time()
    records = (
        record("a1", 20, started=now - 600, updated=now),
        record("b2", 10, started=now - 600, updated=now),
    )
    with open_board(Settings(url=url), os.environ) as board:
        assert isinstance(board.store, Board)
        for each in records:
            name = process_name(each.process)
            sealed = seal(board.codec, name, replace(each, host="web-1"), now, 600.0)
            board.store.post(name, sealed, 600.0)
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    # With the longest interval, no process falls silent while the tests run.
    ours = {"BOTOCACHE_URL": url, "BOTOCACHE_STATS_INTERVAL": "3600"}
    return {**kept, **ours, "PYTHONPATH": path}


def is_drawn(raw: str) -> bool:
    return "keys" in raw and "daa66d2c7ddf7441" in raw


# --- the live view -------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"q", b"\x03", signal.SIGTERM])
def test_the_live_view_ends_and_gives_the_terminal_back(
    env: dict[str, str], end: bytes | signal.Signals
) -> None:
    shown = on_terminal(
        [*COMMAND, "stats", "--watch", "60"], env, until=is_drawn, then=end
    )
    assert shown.status == 0
    assert shown.modes[0] == shown.modes[1]
    assert "\x1b[?1049h" in shown.raw
    assert shown.raw.rstrip().endswith("\x1b[?25h\x1b[?1049l")  # cursor and screen
    assert "2 processes running; waiting for a post of 2; q ends" in shown.text
    assert "Traceback" not in shown.raw


def test_other_keys_do_not_end_it(env: dict[str, str]) -> None:
    shown = on_terminal(
        [*COMMAND, "stats", "--watch", "60"], env, until=is_drawn, then=b"x\x1b[Aq"
    )
    assert shown.status == 0


def test_stats_on_a_terminal_has_colours_and_the_same_words(
    env: dict[str, str],
) -> None:
    shown = on_terminal([*COMMAND, "stats"], env, size=(100, 40))
    assert shown.status == 0
    assert "\x1b[1;36mTotals" in shown.raw
    assert "hit ratio         67.1 % (near 57.1 %, store 10.0 %)" in shown.text
    assert "9e3779b97f4a7c15" in shown.text


def test_a_user_can_do_without_colours(env: dict[str, str]) -> None:
    shown = on_terminal([*COMMAND, "stats"], {**env, "NO_COLOR": "1"})
    assert shown.status == 0
    assert "\x1b[3" not in shown.raw
    assert ";3" not in shown.raw
    assert "hit ratio         67.1 %" in shown.text


def test_a_narrow_terminal_gets_one_row_after_the_other(env: dict[str, str]) -> None:
    shown = on_terminal([*COMMAND, "stats"], env, size=(30, 24))
    assert shown.status == 0
    lines = shown.text.splitlines()
    tables = lines[lines.index("Tables (units: read units)") :]
    assert "  users GetItem" in [line.rstrip() for line in tables]
    assert "    hits 2,520" in [line.rstrip() for line in tables]


def test_watching_on_a_dumb_terminal_prints_blocks_until_ctrl_c(
    env: dict[str, str],
) -> None:
    shown = on_terminal(
        [*COMMAND, "stats", "--watch", "0.5"],
        {**env, "TERM": "dumb"},
        until=lambda raw: raw.count("units saved/s") >= 2,
        then=b"\x03",
    )
    assert shown.status == 0
    assert "\x1b[" not in shown.raw
    assert "Traceback" not in shown.raw


def test_ctrl_c_at_a_question_is_no_traceback_and_ends_by_the_signal(
    env: dict[str, str],
) -> None:
    shown = on_terminal(
        [*COMMAND, "clear"], env, until=lambda raw: "Go on?" in raw, then=b"\x03"
    )
    assert shown.status == -signal.SIGINT
    assert shown.text.splitlines()[1:] == ["^C"]


# --- pipes and files -----------------------------------------------------------------


def run(*arguments: str, **more: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, *arguments],
        check=False,
        stderr=subprocess.PIPE,
        text=True,
        timeout=TIMEOUT,
        **more,
    )


def test_in_a_pipe_it_is_plain_text_and_json(env: dict[str, str]) -> None:
    text = run("stats", env=env, stdout=subprocess.PIPE)
    assert (text.returncode, text.stderr) == (0, "")
    assert "\x1b" not in text.stdout
    assert "Totals\n  hit ratio         67.1 %" in text.stdout
    document = run("stats", "--json", env=env, stdout=subprocess.PIPE)
    assert json.loads(document.stdout)["totals"]["hits"] == 30 * 94


@pytest.mark.parametrize(
    "arguments", [["stats", "--json"], ["stats", "--watch", "0.5"]]
)
def test_a_pipe_that_has_read_enough_ends_it_quietly(
    env: dict[str, str], arguments: list[str]
) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        done = run(*arguments, env=env, stdout=theirs)
    finally:
        os.close(theirs)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("arguments", [["stats"], ["-V"]])
def test_a_full_disk_is_one_sentence(env: dict[str, str], arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = run(*arguments, env=env, stdout=full)
    assert done.returncode == 1
    assert done.stderr == (
        "botocache: cannot write to standard output: [Errno 28] No space left on "
        "device\n"
    )


@pytest.mark.parametrize(("redirections", "status"), [(">&- 2>&-", 1), ("<&-", 0)])
def test_streams_that_are_closed_are_no_traceback(
    env: dict[str, str], redirections: str, status: int
) -> None:
    line = f'"{sys.executable}" -m botocache stats {redirections}'
    done = subprocess.run(
        ["/bin/sh", "-c", line],
        capture_output=True,
        check=False,
        env=env,
        text=True,
        timeout=TIMEOUT,
    )
    assert done.returncode == status
    assert "Traceback" not in done.stderr + done.stdout
    assert ("Totals" in done.stdout) == (status == 0)


# --- without Rich --------------------------------------------------------------------


def test_without_rich_a_terminal_gets_blocks_of_plain_text(
    env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "rich.py").write_text("raise ImportError('it is not installed')\n")
    path = os.pathsep.join([str(tmp_path), env["PYTHONPATH"]])
    shown = on_terminal(
        [*COMMAND, "stats", "--watch", "0.5"],
        {**env, "PYTHONPATH": path},
        until=lambda raw: "units saved/s" in raw,
        then=b"\x03",
    )
    assert shown.status == 0
    assert "\x1b[" not in shown.raw
