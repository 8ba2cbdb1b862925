"""plugin.py and __main__.py in this process; tests/wheel has them in real ones."""

import importlib.abc
import importlib.util
import logging
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec, SourceFileLoader
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import botocache
from botocache import __main__ as command_line
from botocache import _install, plugin


@pytest.fixture(autouse=True)
def _not_started(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(plugin, "_started_in", None)
    before = list(sys.meta_path)
    yield
    sys.meta_path[:] = before


@pytest.fixture
def installations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each time that the toggle installed."""
    made: list[str] = []
    monkeypatch.setattr(
        _install,
        "install_before_first_session",
        lambda *, is_forked: made.append("forked" if is_forked else "installed"),
    )
    return made


def watchers() -> list[Any]:
    """Return what waits for botocore; what waits for aiobotocore stays."""
    return [
        f
        for f in sys.meta_path
        if isinstance(f, plugin._AfterImport) and f._name != plugin._AIOBOTOCORE
    ]


@pytest.mark.parametrize("value", [None, "", "0", "off", "No", " false "])
def test_a_toggle_that_is_off_does_nothing(
    monkeypatch: pytest.MonkeyPatch, installations: list[str], value: str | None
) -> None:
    if value is not None:
        monkeypatch.setenv("BOTOCACHE", value)
    plugin.start()
    assert (installations, watchers()) == ([], [])


@pytest.mark.parametrize("value", ["1", "on", "ON", "yes", " true ", " Shadow"])
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


@pytest.fixture
def late(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, installations: list[str]
) -> Iterator[Path]:
    """The file of a module for which the toggle waits; it is not imported yet."""
    name = f"late_module_{next(_numbers)}"
    path = tmp_path / f"{name}.py"
    path.write_text("value = 7\n")
    monkeypatch.setenv("BOTOCACHE", "1")
    monkeypatch.setattr(plugin, "_BOTOCORE", name)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    plugin.start()
    yield path
    sys.modules.pop(name, None)


_numbers = count()


def found(path: Path) -> ModuleSpec:
    spec = importlib.util.find_spec(path.stem)
    assert spec is not None
    return spec


@pytest.mark.parametrize("times", [1, 2, 5])
def test_a_search_alone_installs_nothing_and_the_import_after_it_does(
    late: Path, installations: list[str], times: int
) -> None:
    for _ in range(times):
        found(late)
    assert installations == []
    module = importlib.import_module(late.stem)
    assert (module.value, installations, watchers()) == (7, ["installed"], [])
    loader: Any = module.__loader__
    assert type(loader) is SourceFileLoader
    assert module.__spec__ is not None
    assert module.__spec__.loader is loader


def test_what_a_search_finds_looks_as_without_the_toggle(late: Path) -> None:
    ours = found(late)
    sys.meta_path.remove(watchers()[0])
    theirs = found(late)
    assert (ours == theirs, theirs == ours) == (True, True)
    assert "loader=<_frozen_importlib_external.SourceFileLoader object" in repr(ours)
    assert (ours.loader == theirs.loader, theirs.loader == ours.loader) == (True, True)
    assert hash(ours.loader) == hash(theirs.loader)
    assert isinstance(ours.loader, SourceFileLoader)
    assert ours.loader.get_source(late.stem) == "value = 7\n"
    assert ours.loader.get_data(str(late)) == b"value = 7\n"
    assert ours.loader.path == str(late)
    with pytest.raises(AttributeError):
        ours.loader.no_such_attribute  # type: ignore[attr-defined]  # noqa: B018 - it raises


def test_a_module_that_is_executed_from_its_spec_installs_once(
    late: Path, installations: list[str]
) -> None:
    specs = [found(late), found(late)]
    for spec in specs:
        module = importlib.util.module_from_spec(spec)
        assert spec.loader is not None
        spec.loader.exec_module(module)
        assert module.value == 7
    assert installations == ["installed"]


def test_an_import_that_fails_and_is_tried_again_installs(
    late: Path, installations: list[str]
) -> None:
    late.write_text("raise ImportError('not yet')\n")
    for _ in range(2):
        with pytest.raises(ImportError, match="not yet"):
            importlib.import_module(late.stem)
    assert installations == []
    late.write_text("value = 8 # now\n")
    importlib.invalidate_caches()
    assert importlib.import_module(late.stem).value == 8
    assert (installations, watchers()) == (["installed"], [])


class TimeLimit(Exception):  # noqa: N818 - as applications name theirs
    """An application's time limit."""


def test_a_time_limit_passes_on_and_the_next_import_installs(
    late: Path, installations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def handle(*_: object) -> None:
        raise TimeLimit

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(
                _install,
                "install_before_first_session",
                lambda **_: signal.raise_signal(signal.SIGUSR1),
            )
            with pytest.raises(TimeLimit):
                importlib.import_module(late.stem)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert installations == []
    importlib.import_module(late.stem)
    assert (installations, watchers()) == (["installed"], [])


def test_a_module_that_is_loaded_again_installs_no_second_time(
    late: Path, installations: list[str]
) -> None:
    module = importlib.import_module(late.stem)
    importlib.reload(module)
    assert installations == ["installed"]


class Asking:
    """A finder that asks all others, as tracers' do, and wraps what they find."""

    def __init__(self) -> None:
        self.is_asking = False
        self.executed: list[str] = []

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        if self.is_asking:
            return None
        self.is_asking = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.is_asking = False
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                self.executed.append(name)

            spec.loader = Wrapping(spec.loader, exec_module)
        return spec


class Wrapping(importlib.abc.Loader):
    def __init__(self, loader: Any, execute: Callable[[ModuleType], None]) -> None:
        methods = {"create_module": loader.create_module, "exec_module": execute}
        vars(self).update(methods)


@pytest.mark.parametrize("place", [0, 1])
def test_finders_that_ask_all_others_see_the_module_and_so_do_we(
    late: Path, installations: list[str], place: int
) -> None:
    asking = Asking()
    sys.meta_path.insert(place, asking)
    found(late)
    assert importlib.import_module(late.stem).value == 7
    assert installations == ["installed"]
    assert asking.executed == [late.stem]


class Old:
    """A loader of the old protocol, which has `load_module` alone."""

    def load_module(self, name: str) -> ModuleType:
        module = sys.modules.setdefault(name, ModuleType(name))
        vars(module)["value"] = 9
        return module


class Answering:
    """A finder that has one loader for everything."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        return ModuleSpec(name, self.loader) if name.startswith("late_") else None


@pytest.mark.filterwarnings("ignore")  # the old protocol is deprecated
def test_a_loader_of_the_old_protocol_loads_and_the_toggle_installs(
    late: Path, installations: list[str]
) -> None:
    sys.meta_path.insert(1, Answering(Old()))
    assert importlib.import_module(late.stem).value == 9
    assert installations == ["installed"]


def test_a_module_in_an_archive_installs(
    late: Path, installations: list[str], tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(late, late.name)
    late.unlink()
    sys.path.insert(0, str(tmp_path / "all.zip"))
    try:
        module = importlib.import_module(late.stem)
    finally:
        sys.path.remove(str(tmp_path / "all.zip"))
    assert type(module.__loader__).__name__ == "zipimporter"
    assert (module.value, installations) == (7, ["installed"])


def test_a_process_that_was_forked_before_the_import_knows_it(
    monkeypatch: pytest.MonkeyPatch, late: Path, installations: list[str]
) -> None:
    monkeypatch.setattr(plugin, "_started_in", -1)
    importlib.import_module(late.stem)
    assert installations == ["forked"]


# --- complaints ----------------------------------------------------------------------


class Refusing:
    """Standard error that refuses whatever is written to it.

    error: is raised.
    """

    def __init__(self, error: Exception) -> None:
        self._error = error

    def write(self, _: str) -> int:
        raise self._error

    flush = write


REFUSING = [OSError(5, "EIO"), ValueError("closed"), RuntimeError("?"), TypeError()]


@pytest.mark.parametrize("stream", [None, *map(Refusing, REFUSING)])
def test_a_complaint_that_cannot_be_printed_goes_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stream: Any
) -> None:
    monkeypatch.setenv("BOTOCACHE", "maybe")
    monkeypatch.setattr(sys, "stderr", stream)
    plugin.start()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("No module named 'msgspec._core'"),
        SyntaxError("invalid syntax", ("m.py", 1, 1, "x", 1, 2)),
        SystemError("built for\nanother Python"),
        AttributeError("module 'botocore' has no attribute 'x'"),
    ],
)
def test_an_import_that_fails_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
) -> None:
    class Broken:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "botocache._install":
                raise error

    monkeypatch.setenv("BOTOCACHE", "1")
    monkeypatch.delitem(sys.modules, "botocache._install")
    monkeypatch.delattr(botocache, "_install")
    sys.meta_path.insert(0, Broken())
    plugin.start()
    said = " ".join(str(error).split())
    assert capsys.readouterr().err == (
        f"botocache: cannot start ({type(error).__name__}: {said}); running uncached\n"
    )


@pytest.mark.parametrize("logging_is_configured", [True, False])
def test_an_unknown_toggle_is_one_line_on_standard_error_and_on_the_log(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    logging_is_configured: bool,
) -> None:
    monkeypatch.setenv("BOTOCACHE", "maybe")
    log = logging.getLogger("botocache")
    monkeypatch.setattr(log, "hasHandlers", lambda: logging_is_configured)
    plugin.start()
    line = (
        "botocache: BOTOCACHE='maybe' is not known; "
        "expected 1, on, shadow, 0 or off; running uncached"
    )
    assert capsys.readouterr().err == f"{line}\n"
    assert caplog.messages == [line] * logging_is_configured


def test_whatever_is_wrong_the_application_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise ImportError("no msgspec for this Python")

    monkeypatch.setenv("BOTOCACHE", "1")
    monkeypatch.setattr(_install, "install_before_first_session", fail)
    plugin.start()
    assert capsys.readouterr().err == (
        "botocache: cannot start (ImportError: no msgspec for this Python); "
        "running uncached\n"
    )


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("BOTOCACHE_TTL", "soon", "BOTOCACHE_TTL: expected a number of seconds"),
        ("BOTOCACHE_URL", "nosql://u:s3cret@h", "url 'nosql:'... names no store"),
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
@pytest.mark.parametrize("command", ["explain", "run"])
def test_what_is_explained_and_what_cannot_be_run_do_not_tell_it_either(
    command: str,
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    call = tmp_path / "call.json"
    call.write_text('{"TableName": "t", "Key": {"pk": {"S": "a"}}}')
    arguments = {
        "explain": ["explain", "GetItem", str(call)],
        "run": ["run", "no-such-command"],
    }
    monkeypatch.setenv("BOTOCACHE_URL", url)
    monkeypatch.setenv("BOTOCACHE_TIMEOUT", "soon")
    assert command_line.main(arguments[command]) != 0
    captured = capsys.readouterr()
    assert captured.err.startswith("botocache: ")
    assert "s3cret" not in captured.err + captured.out


# What the process says comes out of `plugin.start`, which met all of them further up.
@pytest.mark.parametrize("url", [SECRET_URLS[0], "redis://user:s3cret@host:1/0"])
def test_what_is_run_does_not_tell_it_either(url: str) -> None:
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "botocache"),
            *("run", "--", sys.executable, "-c", "import botocore.session"),
        ],
        capture_output=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "BOTOCACHE_URL": url, "BOTOCACHE_TIMEOUT": "soon"},
        text=True,
    )
    assert ended.stderr.startswith("botocache: ")
    assert "s3cret" not in ended.stderr + ended.stdout
