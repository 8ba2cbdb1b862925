"""plugin.py and __main__.py in this process; tests/wheel has them in real ones."""

import importlib.abc
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import botocache
from botocache import __main__ as command_line
from botocache import _install, plugin


@pytest.fixture(autouse=True)
def _not_started(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(plugin, "_started", False)
    before = list(sys.meta_path)
    yield
    sys.meta_path[:] = before


@pytest.fixture
def installations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each time that the toggle installed."""
    made: list[str] = []
    monkeypatch.setattr(
        _install, "install_before_first_session", lambda: made.append("installed")
    )
    return made


def watchers() -> list[Any]:
    return [f for f in sys.meta_path if isinstance(f, plugin._AfterImport)]


@pytest.mark.parametrize("value", [None, "", "0", "off", "No", " false "])
def test_a_toggle_that_is_off_does_nothing(
    monkeypatch: pytest.MonkeyPatch, installations: list[str], value: str | None
) -> None:
    if value is not None:
        monkeypatch.setenv("BOTOCACHE", value)
    plugin.start()
    assert (installations, watchers()) == ([], [])


@pytest.mark.parametrize("value", ["1", "on", "ON", "yes", " true "])
def test_a_toggle_that_is_on_installs_where_botocore_is_imported_already(
    monkeypatch: pytest.MonkeyPatch, installations: list[str], value: str
) -> None:
    monkeypatch.setenv("BOTOCACHE", value)
    plugin.start()
    plugin.start()
    assert installations == ["installed"]


def test_the_toggle_waits_for_the_application_to_import_botocore(
    monkeypatch: pytest.MonkeyPatch, installations: list[str]
) -> None:
    monkeypatch.setenv("BOTOCACHE", "1")
    monkeypatch.setattr(plugin, "_BOTOCORE", "colorsys")
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    plugin.start()
    assert (installations, len(watchers())) == ([], 1)
    module: ModuleType = importlib.import_module("colorsys")
    assert (installations, watchers()) == (["installed"], [])
    assert type(module.__loader__).__name__ == "SourceFileLoader"
    assert module.__spec__ is not None
    assert module.__spec__.loader is module.__loader__


def test_a_module_that_does_not_exist_is_still_not_found(
    monkeypatch: pytest.MonkeyPatch, installations: list[str]
) -> None:
    monkeypatch.setenv("BOTOCACHE", "1")
    monkeypatch.setattr(plugin, "_BOTOCORE", "no_such_module_at_all")
    plugin.start()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("no_such_module_at_all")
    assert installations == []


def test_the_loader_that_stands_in_is_otherwise_the_loader() -> None:
    class Loader(importlib.abc.Loader):
        path = "somewhere"

    assert plugin._Loader(Loader(), lambda: None).path == "somewhere"


@pytest.mark.parametrize("logging_is_configured", [True, False])
def test_an_unknown_toggle_is_one_line_on_standard_error_and_on_the_log(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    logging_is_configured: bool,
) -> None:
    monkeypatch.setenv("BOTOCACHE", "shadow")
    log = logging.getLogger("botocache")
    monkeypatch.setattr(log, "hasHandlers", lambda: logging_is_configured)
    plugin.start()
    line = (
        "botocache: BOTOCACHE='shadow' is not known; expected 1, on, 0 or off; "
        "running uncached"
    )
    assert capsys.readouterr().err == f"{line}\n"
    assert caplog.messages == [line] * logging_is_configured


def test_whatever_is_wrong_the_application_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise ImportError("no msgspec for this Python")

    monkeypatch.setenv("BOTOCACHE", "1")
    monkeypatch.setattr(_install, "install_before_first_session", fail)
    plugin.start()
    complaint = "botocache: no msgspec for this Python; running uncached\n"
    assert capsys.readouterr().err == complaint


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("BOTOCACHE_TTL", "soon", "BOTOCACHE_TTL: expected a number of seconds"),
        ("BOTOCACHE_URL", "nosql://u:s3cret@h", "url 'nosql:'... names no store"),
        ("BOTOCACHE_TLL", "60", "unknown variable 'BOTOCACHE_TLL'; did you mean"),
        ("BOTOCACHE_CONFIG", "/no/such/file", "BOTOCACHE_CONFIG names '/no/such/file'"),
    ],
)
def test_a_wrong_setting_is_one_line_and_nothing_is_installed(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
    said: str,
) -> None:
    monkeypatch.setenv("BOTOCACHE", "1")
    monkeypatch.setenv(variable, value)
    plugin.start()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"botocache: {said}")
    assert line.endswith("; running uncached")
    assert "s3cret" not in line
    assert _install._process is None or _install._process.cache is None


def test_an_installation_of_the_application_stays_in_force(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_install, "_all_objects", list)
    cache = botocache.install(url="memory:", ttl=7)
    monkeypatch.setenv("BOTOCACHE", "1")
    monkeypatch.setenv("BOTOCACHE_URL", "memory:")
    plugin.start()
    assert "ttl=7.0 there and 60.0 here" in capsys.readouterr().err
    assert _install._process is not None
    assert _install._process.cache is cache


# --- the command line ----------------------------------------------------------------


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str], Any]]:
    """What was executed in place of this process."""
    calls: list[tuple[str, list[str], Any]] = []
    monkeypatch.setattr(os, "execvpe", lambda *call: calls.append(call))
    return calls


@pytest.mark.parametrize("separator", [[], ["--"]])
def test_run_becomes_the_command_with_the_toggle_on(
    executed: list[tuple[str, list[str], Any]],
    monkeypatch: pytest.MonkeyPatch,
    separator: list[str],
) -> None:
    monkeypatch.setenv("PYTHONPATH", "mine")
    command_line.main(["run", *separator, "gunicorn", "app:app", "--", "x"])
    ((program, arguments, environment),) = executed
    assert (program, arguments) == ("gunicorn", ["gunicorn", "app:app", "--", "x"])
    assert environment["BOTOCACHE"] == "1"
    startup, *others = environment["PYTHONPATH"].split(os.pathsep)
    assert (os.path.basename(startup), others) == ("_run", ["mine"])  # noqa: PTH119


@pytest.mark.parametrize(("before", "after"), [("off", "1"), ("yes", "yes")])
def test_run_says_on_unless_that_was_said(
    executed: list[tuple[str, list[str], Any]],
    monkeypatch: pytest.MonkeyPatch,
    before: str,
    after: str,
) -> None:
    monkeypatch.setenv("BOTOCACHE", before)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    command_line.main(["run", "true"])
    assert executed[0][2]["BOTOCACHE"] == after
    assert os.pathsep not in executed[0][2]["PYTHONPATH"]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["-h"], 0), (["help"], 0), ([], 2), (["walk"], 2), (["run"], 2)],
)
def test_the_command_line_says_how_it_is_used(
    capsys: pytest.CaptureFixture[str], arguments: list[str], status: int
) -> None:
    assert command_line.main(arguments) == status
    printed = capsys.readouterr()
    assert "botocache" in (printed.err if status else printed.out)


def test_a_command_that_does_not_exist_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command_line.main(["run", "no-such-command"]) == 127
    assert "cannot run 'no-such-command'" in capsys.readouterr().err


# --- passwords -----------------------------------------------------------------------

SECRET_URLS = [
    "nosql://user:s3cret@host:1/0",
    "redi://user:s3cret@host",
    "s3cret@host:6379",
    "redis//user:s3cret@host",
    "disk://user:s3cret@host/x",
    "memory:s3cret",
]
"""Each is wrong, so something must be said."""


@pytest.mark.parametrize("url", SECRET_URLS)
def test_no_door_tells_the_password_of_a_url_that_is_wrong(
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("BOTOCACHE", "1")
    monkeypatch.setenv("BOTOCACHE_URL", url)
    plugin.start()
    captured = capsys.readouterr()
    assert captured.err.startswith("botocache: url")
    assert "s3cret" not in captured.err + captured.out + caplog.text


@pytest.mark.parametrize("url", [*SECRET_URLS, "redis://user:s3cret@host:1/0"])
def test_what_is_explained_and_what_is_run_do_not_tell_it_either(
    url: str, tmp_path: Path
) -> None:
    call = tmp_path / "call.json"
    call.write_text('{"TableName": "t", "Key": {"pk": {"S": "a"}}}')
    environ = {**os.environ, "BOTOCACHE_URL": url, "BOTOCACHE_TIMEOUT": "soon"}
    for arguments in (
        ["explain", "GetItem", str(call)],
        ["run", "--", sys.executable, "-c", "import botocore.session"],
        ["run", "no-such-command"],
    ):
        ended = subprocess.run(
            [sys.executable, "-m", "botocache", *arguments],
            capture_output=True,
            check=False,
            cwd=Path(__file__).parents[2],
            env=environ,
            text=True,
        )
        assert ended.stderr.startswith("botocache: ")
        assert "s3cret" not in ended.stderr + ended.stdout
