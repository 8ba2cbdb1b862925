"""From arguments to a command, and to an exit status; and never a traceback."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import botocache
from botocache import __main__ as door
from botocache._cli import main as command_line
from botocache._cli.commands import COMMANDS, Parser, load_command, whole_parser
from botocache._cli.console import Console
from botocache._errors import BotocacheError, ConfigError, StoreError

ROOT = Path(botocache.__file__).parents[1]


def run(*arguments: str) -> int:
    return door.main(arguments)


def one_line(captured: Any) -> str:
    """Return what was said on standard error, which is one line, and all there is."""
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return str(line)


# --- commands ------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_what_the_table_needs(name: str) -> None:
    command = load_command(name)
    assert name == command.NAME
    assert command.SUMMARY[0].islower()
    assert not command.SUMMARY.endswith(".")
    assert len(command.SUMMARY) <= 75
    assert callable(command.add_arguments)
    assert callable(command.run)


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["help"]])
def test_the_help_lists_each_command(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run(*arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "usage: botocache COMMAND [OPTION ...]"
    for name in COMMANDS:
        assert f"  {name:<16}{load_command(name).SUMMARY}" in lines
    assert max(map(len, lines)) <= 88


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("asked", [["--help"], ["-h"]])
def test_each_command_has_help_with_examples_and_exit_statuses(
    capsys: pytest.CaptureFixture[str], name: str, asked: list[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(name, *asked)
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: botocache {name} ")
    assert f"botocache {name}" in text.partition("\nexample")[2]
    assert "exit status" in text.lower()
    assert max(map(len, text.splitlines())) <= 88


def test_help_of_a_command_can_be_asked_for_in_both_ways(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for arguments in (["help", "stats"], ["stats", "--help"]):
        with pytest.raises(SystemExit):
            run(*arguments)
    texts = capsys.readouterr().out.split("usage: ")
    assert texts[1] == texts[2]


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_the_version_is_that_of_the_package(
    capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert run(option) == 0
    assert capsys.readouterr().out == f"botocache {botocache.__version__}\n"


def test_without_a_command_the_help_is_an_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run() == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("usage: botocache COMMAND")


# --- wrong usage ---------------------------------------------------------------------

WRONG: list[tuple[list[str], str]] = [
    (["stat"], "botocache: unknown command 'stat'; did you mean 'stats'?"),
    (
        ["xyz"],
        f"botocache: unknown command 'xyz'; known: {', '.join(COMMANDS)}",
    ),
    (["--verzion"], "botocache: unknown option '--verzion'; did you mean '--version'?"),
    (["-x"], "botocache: unknown option '-x'; see botocache --help"),
    (
        ["stats", "--tabel", "users"],
        "botocache: stats: unknown option '--tabel'; did you mean '--table'?; "
        "see botocache stats --help",
    ),
    (
        ["stats", "--tabel=secret"],
        "botocache: stats: unknown option '--tabel'; did you mean '--table'?; "
        "see botocache stats --help",
    ),
    (
        ["stats", "--jso"],
        "botocache: stats: unknown option '--jso'; did you mean '--json'?; "
        "see botocache stats --help",
    ),
    (
        ["stats", "secret", "secret"],
        "botocache: stats: 2 arguments too many; see botocache stats --help",
    ),
    (
        ["stats", "secret"],
        "botocache: stats: 1 argument too many; see botocache stats --help",
    ),
    (
        ["stats", "--watch", "soon"],
        "botocache: stats: argument --watch: expected seconds, from 0.5 to 3600, not "
        "'soon'; see botocache stats --help",
    ),
    (
        ["stats", "--table"],
        "botocache: stats: argument --table: expected one argument; "
        "see botocache stats --help",
    ),
    (
        ["explain"],
        "botocache: explain: the following arguments are required: operation; "
        "see botocache explain --help",
    ),
    (
        ["run", "--verbose", "true"],
        "botocache: run: unknown option '--verbose'; see botocache run --help",
    ),
    (
        ["completion", "tcsh"],
        "botocache: completion: argument {bash,zsh,fish}: invalid choice: 'tcsh' "
        "(choose from bash, zsh, fish); see botocache completion --help",
    ),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG)
def test_a_wrong_usage_is_one_sentence_with_the_nearest_right_word(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert run(*arguments) == 2
    line = one_line(capsys.readouterr())
    # Before Python 3.12, argparse quotes the choices.
    assert line.replace("'bash', 'zsh', 'fish'", "bash, zsh, fish") == said
    assert "secret" not in line


def test_a_wrong_setting_is_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTOCACHE_TTL", "soon")
    assert run("stats") == 2
    assert one_line(capsys.readouterr()).startswith("botocache: stats: BOTOCACHE_TTL: ")


# --- errors --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ConfigError("ttl is wrong"), 2, "botocache: stats: ttl is wrong"),
        (StoreError("the store is down"), 1, "botocache: stats: the store is down"),
        (BotocacheError("anything"), 1, "botocache: stats: anything"),
        (OSError(13, "denied", "/x"), 1, "botocache: stats: [Errno 13] denied: '/x'"),
        (
            TypeError("of ours"),
            1,
            "botocache: stats: failed (TypeError: of ours)",
        ),
        (RecursionError(), 1, "botocache: stats: failed (RecursionError)"),
    ],
)
def test_whatever_a_command_raises_is_one_line(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    said: str,
) -> None:
    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr("botocache._cli.stats.run", fail)
    assert run("stats") == status
    assert one_line(capsys.readouterr()) == said


def test_a_module_that_cannot_be_imported_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "botocache._cli.stats_view", None)
    assert run("stats") == 1
    said = one_line(capsys.readouterr())
    assert said.startswith("botocache: stats: failed (ModuleNotFoundError: ")


def test_ctrl_c_is_a_status_and_no_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("botocache._cli.stats.run", interrupt)
    assert run("stats") == 128 + signal.SIGINT
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "output",
    [None, BrokenPipeError(32, "Broken pipe"), OSError(28, "No space left")],
)
@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["stats", "-h"]])
def test_an_output_that_fails_is_status_1_and_at_most_a_line(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    output: OSError | None,
) -> None:
    class Failing(io.StringIO):
        def write(self, _: str) -> int:
            assert output is not None
            raise output

    monkeypatch.setattr(sys, "stdout", Failing() if output is not None else None)
    assert run(*arguments) == 1
    said = capsys.readouterr().err
    if isinstance(output, BrokenPipeError):
        assert said == ""
    else:
        assert said.startswith("botocache: cannot write to standard output: ")
        assert said.count("\n") == 1


def test_the_name_of_the_program_is_how_it_was_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["/x/botocache/__main__.py"])
    assert command_line.program() == "python -m botocache"
    monkeypatch.setattr(sys, "argv", ["/usr/bin/botocache"])
    assert command_line.program() == "botocache"


# --- the script ----------------------------------------------------------------------


def python(*arguments: str, **more: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        check=False,
        cwd=ROOT,
        text=True,
        **more,
    )


def test_the_script_exits_with_the_status_of_the_command() -> None:
    code = "import sys; sys.argv[1:] = {!r}; import botocache.__main__ as m; m.script()"
    done = python("-c", code.format(["--version"]))
    assert (done.returncode, done.stdout[:10]) == (0, "botocache ")
    done = python("-c", code.format(["stat"]))
    assert (done.returncode, done.stderr[-2:]) == (2, "?\n")


def test_ctrl_c_ends_the_script_by_the_signal_itself() -> None:
    code = """
import botocache.__main__ as door
def interrupt(_): raise KeyboardInterrupt
door.main.__globals__["sys"].argv[1:] = ["stats"]
import botocache._cli.main as line
line.run_command = interrupt
door.script()
"""
    done = python("-c", code)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


NEEDLESS = ("botocore", "msgspec", "rich", "diskcache", "redis", "sqlite3", "json")
"""What takes long to import, and `run` and `--version` do without."""


@pytest.mark.parametrize(
    "arguments", [["--version"], ["run", "no-such-command"], ["stats", "--tabel"]]
)
def test_little_is_imported_to_begin_with(arguments: list[str]) -> None:
    code = (
        "import sys; from botocache.__main__ import main; "
        f"main({arguments!r}); print(*sys.modules)"
    )
    # Coverage, which starts in each process, imports much itself.
    env = {name: value for name, value in os.environ.items() if "COV" not in name}
    done = python("-c", code, env=env)
    imported = {name.partition(".")[0] for name in done.stdout.split()}
    assert "argparse" in imported
    assert imported.isdisjoint(NEEDLESS)


# --- parsers -------------------------------------------------------------------------


def test_one_parser_has_all_commands_with_their_options() -> None:
    parser = whole_parser(Console())
    (commands,) = (
        action.choices for action in parser._actions if isinstance(action.choices, dict)
    )
    assert list(commands) == list(COMMANDS)
    for name, command in commands.items():
        own = Parser(f"botocache {name}", Console())
        load_command(name).add_arguments(own)
        assert command.options() == own.options()


def test_options_are_never_abbreviated(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("clear", "--y") == 2
    assert "unknown option '--y'" in one_line(capsys.readouterr())


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["true"], ["true"]),
        (["--", "true"], ["true"]),
        (["--", "--version"], ["--version"]),
        (["env", "--", "x", "-h"], ["env", "--", "x", "-h"]),
        (["--"], []),
        ([], []),
    ],
)
def test_the_arguments_of_a_command_are_none_of_ours(
    arguments: list[str], command: list[str]
) -> None:
    parser = Parser("botocache run", Console())
    load_command("run").add_arguments(parser)
    assert parser.read(arguments).command == command
