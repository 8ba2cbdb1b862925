"""Environments that lack something, in real processes: the application always runs.

With the toggle, and by `install()` in code. What the environment lacks is one line.
"""

import os
import re
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from botocache.stores.opening import DISKCACHE
from tests.support.environment import ROOT, Environment
from tests.support.valkey_server import ValkeyServer
from tests.wheel.test_startup import CACHED, UNCACHED, arguments, check

__all__ = ["arguments"]  # a fixture

ON = {"BOTOCACHE": "1"}
NO_DIRECTORY = """
import botocache.stores.disk.store as disk
disk._TEMPORARY = ()
"""
NO_BOOT_ID = """
import pathlib, botocache.stores.options as options
options.BOOT_ID = pathlib.Path("/nowhere")
"""


WITHOUT = """
import sys
class Finder:
    def find_spec(self, name, *_):
        if name == "{0}":
            raise ModuleNotFoundError("No module named '{0}'", name="{0}")
sys.meta_path.insert(0, Finder())
"""
NO_REDIS = WITHOUT.format("redis")
NO_DISKCACHE = WITHOUT.format("diskcache")
NEEDED = (
    "pip install 'diskcache>=5.6.3,<6', or use 'memory:' in a single process, or a "
    "server"
)


def without(module: str) -> str:
    """Return a program after which a module cannot be imported."""
    return f"import sys; sys.modules[{module!r}] = None\n"


class Lack(NamedTuple):
    """Something that an environment lacks.

    program: makes it so, at the start of the process.
    line: what stands on standard error.
    raised: what `install()` in code raises; "" if it does not raise.
    reached: what the application's operations reach.
    """

    program: str
    line: str = ""
    raised: str = ""
    reached: Mapping[str, int] = UNCACHED


LACKS = {
    "a directory": Lack(
        NO_DIRECTORY,
        "botocache: url 'disk:' finds no directory that can be written, and that no "
        "other user can replace, neither XDG_CACHE_HOME nor HOME, TMPDIR or /tmp; "
        "mount one and name it, as 'disk:///path', or use a server, or 'memory:' in a "
        "single process; running uncached",
    ),
    "SQLite": Lack(
        without("_sqlite3"),
        "botocache: url 'disk:' needs the module '_sqlite3', which this Python lacks "
        "(ModuleNotFoundError: import of _sqlite3 halted; None in sys.modules); "
        "install it, or use 'memory:' in a single process, or a server; "
        "running uncached",
    ),
    "diskcache": Lack(
        NO_DISKCACHE,
        f"botocache: url 'disk:' needs the package diskcache: {NEEDED}; running "
        "uncached",
        f"url 'disk:' needs the package diskcache: {NEEDED}",
    ),
    "a whole diskcache": Lack(
        without("diskcache.core"),
        "botocache: url 'disk:' needs the package diskcache, which cannot be imported "
        "(ModuleNotFoundError: import of diskcache.core halted; None in sys.modules): "
        f"{NEEDED}; running uncached",
        "url 'disk:' needs the package diskcache, which cannot be imported "
        "(ModuleNotFoundError: import of diskcache.core halted; None in sys.modules): "
        f"{NEEDED}",
    ),
    "msgspec": Lack(
        without("msgspec"),
        "botocache: cannot start (ModuleNotFoundError: import of msgspec halted; None "
        "in sys.modules); running uncached",
        "import of msgspec halted; None in sys.modules",
    ),
    "a boot id": Lack(NO_BOOT_ID, reached=CACHED),
}

lacks = pytest.mark.parametrize("lack", LACKS.values(), ids=LACKS.keys())


@pytest.fixture(autouse=True)
def _home_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the processes a HOME that is a file, and a directory for temporary files."""
    (tmp_path / "home").write_text("")
    (tmp_path / "temporary").mkdir()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))


def beginning_with(lack: Lack, tmp_path: Path) -> dict[str, str]:
    """Return the variables of a process that lacks something."""
    (tmp_path / "start").mkdir()
    (tmp_path / "start" / "sitecustomize.py").write_text(lack.program)
    variables = {"PYTHONPATH": str(tmp_path / "start")}
    if lack.program == NO_DIRECTORY:
        variables["TMPDIR"] = str(tmp_path / "home" / "in a file")
    return variables


@lacks
def test_with_the_toggle_the_application_runs_and_one_line_says_what_is_missing(
    lack: Lack, environment: Environment, arguments: list[str], tmp_path: Path
) -> None:
    variables = beginning_with(lack, tmp_path)
    done = environment.run(*arguments, env={**ON, **variables})
    assert done.stderr.splitlines() == [lack.line] * bool(lack.line)
    check(done.stdout, dict(lack.reached))


@lacks
def test_in_code_install_raises_only_for_a_package_that_is_missing(
    lack: Lack, environment: Environment, tmp_path: Path
) -> None:
    code = """
import boto3, botocache
client = boto3.client("dynamodb", region_name="us-east-1")
try:
    for _ in range(2):  # one line
        cache = botocache.install()
    for target in (client, boto3.Session(), boto3.resource("dynamodb", "us-east-1")):
        botocache.install(target)
    cache.invalidate("table")
    print(cache.stats(), botocache.installed() is cache, botocache.installed(client))
    botocache.uninstall()
except Exception as error:
    print(type(error).__name__, error, sep=": ")
"""
    done = environment.run("-c", code, env=beginning_with(lack, tmp_path))
    if lack.raised:
        kind = "ConfigError" if "pip" in lack.raised else "ModuleNotFoundError"
        assert (done.stdout, done.stderr) == (f"{kind}: {lack.raised}\n", "")
        return
    assert done.stderr.splitlines() == [lack.line] * bool(lack.line)
    is_on = not lack.line
    assert done.stdout.startswith("Stats(hits=0, ")
    assert done.stdout.split(") ")[-1].startswith(f"{is_on} ")
    assert done.stdout.endswith(" None\n") is not is_on


def test_what_needs_no_cache_works_without_the_dependencies(
    environment: Environment, tmp_path: Path
) -> None:
    code = """
import boto3, botocache
with botocache.bypass(), botocache.refresh():
    print(botocache.installed())
botocache.uninstall()
session = boto3.Session()
for target in (session, session.client("dynamodb", region_name="eu-west-1")):
    print(botocache.installed(target))
    botocache.uninstall(target)
"""
    variables = beginning_with(LACKS["msgspec"], tmp_path)
    done = environment.run("-c", code, env={**ON, **variables})
    assert (done.returncode, done.stdout) == (0, "None\n" * 3)
    assert done.stderr.splitlines() == [LACKS["msgspec"].line]


def test_without_redis_py_a_server_is_one_line(
    environment: Environment, arguments: list[str], tmp_path: Path
) -> None:
    variables = beginning_with(Lack(NO_REDIS), tmp_path)
    variables["BOTOCACHE_URL"] = "redis://:s3cret@127.0.0.1:1"
    done = environment.run(*arguments, env={**ON, **variables})
    assert done.stderr.splitlines() == [
        "botocache: url 'redis:' needs the package redis: pip install "
        "'botocache-dynamodb[redis]'; running uncached"
    ]
    check(done.stdout, UNCACHED)


@pytest.mark.parametrize("store", ["memory", "redis"])
def test_the_other_stores_cache_where_diskcache_was_left_out(
    store: str,
    environment: Environment,
    arguments: list[str],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    variables = beginning_with(Lack(NO_DISKCACHE), tmp_path)
    variables["BOTOCACHE_URL"] = "memory:"
    if store == "redis":
        server: ValkeyServer = request.getfixturevalue("valkey")
        variables |= {"BOTOCACHE_URL": server.url, "BOTOCACHE_TIMEOUT": "1"}
    done = environment.run(*arguments, env={**ON, **variables})
    assert done.stderr == ""
    check(done.stdout, CACHED)


def test_all_of_the_package_but_the_disk_store_can_be_imported_without_diskcache(
    environment: Environment, tmp_path: Path
) -> None:
    code = """
import importlib, pkgutil, sys, botocache
failed = []
for module in pkgutil.walk_packages(botocache.__path__, "botocache."):
    if module.name != "botocache.__main__":
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            failed.append((module.name, error.name))
print(failed, "diskcache" in sys.modules)
"""
    printed = environment.output(
        "-c", code, env=beginning_with(Lack(NO_DISKCACHE), tmp_path)
    )
    rooms = {
        "aiobotocore": "_aiobotocore: adapter clients near_client responses sending",
        "diskcache": "stores.disk: entry_database store",
    }
    failed = [
        (f"botocache.{room}.{name}", lacking)
        for lacking, (room, names) in (
            (lacking, text.split(": ")) for lacking, text in rooms.items()
        )
        for name in names.split()
    ]
    assert printed == f"{failed} False\n"


def test_the_line_names_the_versions_of_diskcache_that_the_wheel_asks_for(
    wheel: Path,
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith("/METADATA")]
        metadata = archive.read(name).decode()
    (wanted,) = re.findall(r"^Requires-Dist: diskcache(.*)$", metadata, re.MULTILINE)
    _, _, versions = DISKCACHE.strip("'").partition("diskcache")
    assert set(wanted.split(",")) == set(versions.split(","))


def test_a_package_for_another_machine_is_one_line_with_run_too(
    environment: Environment, arguments: list[str], tmp_path: Path
) -> None:
    (tmp_path / "msgspec").mkdir()
    (tmp_path / "msgspec" / "__init__.py").write_text("from ._core import json\n")
    done = environment.run(
        *("-m", "botocache", "run", "--", environment.python, *arguments),
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert done.stderr.splitlines() == [
        "botocache: cannot start (ModuleNotFoundError: No module named "
        "'msgspec._core'); running uncached"
    ]
    check(done.stdout, UNCACHED)


# --- what is not needed --------------------------------------------------------------


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"HOME": "", "PYTHONIOENCODING": "ascii:strict"},
        {
            "HOME": "/no/such/home",
            "XDG_CACHE_HOME": "no/absolute/path",
            "PYTHONWARNINGS": "error",
        },
        {
            "LC_ALL": "C",
            "PYTHONUTF8": "0",
            "PYTHONCOERCECLOCALE": "0",
            "PYTHONOPTIMIZE": "2",
        },
    ],
    ids=repr,
)
def test_an_unusual_environment_is_cached_without_a_line(
    variables: dict[str, str],
    environment: Environment,
    arguments: list[str],
    tmp_path: Path,
) -> None:
    place = tmp_path / "tempor\xe4r"
    place.mkdir()
    variables = {"TMPDIR": str(place), **variables}
    done = environment.run(*arguments, env={**ON, **variables})
    assert done.stderr == ""
    check(done.stdout, CACHED)
    assert [each.name for each in place.iterdir()] == [f"botocache-{os.getuid()}"]


@pytest.mark.parametrize("door", ["toggle", "run"])
def test_a_current_directory_that_is_gone_is_cached_without_a_line(
    door: str, environment: Environment, arguments: list[str], tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    run = ["-m", "botocache", "run", "--", environment.python]
    command = [environment.python, *(run if door == "run" else ()), *arguments]
    done = subprocess.run(
        ["sh", "-c", 'cd "$0" && rmdir "$0" && exec "$@"', str(gone), *command],
        env={**os.environ, **(ON if door == "toggle" else {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stderr == ""
    check(done.stdout, CACHED)


def test_a_path_that_leads_nowhere_is_run_without_a_line(
    environment: Environment, tmp_path: Path
) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "sitecustomize.py").write_text("print('hidden one')")
    done = environment.run(
        *("-m", "botocache", "run", "--", environment.python, "-c", "print(7)"),
        env={"PYTHONPATH": f"{tmp_path / 'loop'}:{tmp_path}"},
    )
    # In the process that runs the command, and in the command.
    assert done.stdout == "hidden one\nhidden one\n7\n"
    assert done.stderr == ""


def test_installing_writes_nothing(environment: Environment, tmp_path: Path) -> None:
    place = tmp_path / "temporary"
    before = place.stat()
    code = "import botocache; botocache.install(); print(botocache.installed())"
    printed = environment.output("-c", code)
    assert f"DiskStore {place}/botocache-{os.getuid()}/v1/default" in printed
    assert place.stat().st_mtime_ns == before.st_mtime_ns
    assert list(place.iterdir()) == []


# --- standard error and output -------------------------------------------------------

REDIRECTIONS = {"full": "2>/dev/full", "closed": "2>&-"}


@pytest.fixture
def _buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Python have its buffers: what is left in one at exit becomes status 120."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


buffered = pytest.mark.usefixtures("_buffers")


@buffered
@pytest.mark.parametrize("redirection", REDIRECTIONS.values(), ids=REDIRECTIONS.keys())
@pytest.mark.parametrize(
    "variables",
    [
        {"BOTOCACHE": "maybe"},
        {"BOTOCACHE": "1", "BOTOCACHE_TTL": "sixty"},
        {"BOTOCACHE": "1", "BOTOCACHE_NO_SUCH": "1"},
    ],
    ids=repr,
)
def test_a_line_that_cannot_be_printed_is_printed_nowhere_else(
    redirection: str,
    variables: dict[str, str],
    environment: Environment,
) -> None:
    code = "import boto3; boto3.Session(); print([1, 2, 3])"
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", environment.python, "-c", code],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "[1, 2, 3]\n")


@buffered
@pytest.mark.parametrize("redirection", REDIRECTIONS.values(), ids=REDIRECTIONS.keys())
def test_run_says_nothing_elsewhere_if_it_cannot_import_botocache(
    redirection: str, environment: Environment, tmp_path: Path
) -> None:
    startup = tmp_path / "botocache" / "_run"
    startup.mkdir(parents=True)
    (tmp_path / "botocache" / "__init__.py").write_text("raise SyntaxError('no')\n")
    ours = ROOT / "botocache" / "_run" / "sitecustomize.py"
    (startup / "sitecustomize.py").write_text(ours.read_text())
    variables = {**os.environ, "PYTHONPATH": f"{startup}:{tmp_path}"}
    command = ["sh", "-c", f'exec "$@" {redirection}', "sh", environment.python]
    done = subprocess.run(
        [*command, "-c", "print([1, 2, 3])"],
        env=variables,
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "[1, 2, 3]\n")
    seen = environment.run("-c", "print([1, 2, 3])", env=variables)
    assert seen.stderr == "botocache: no; running uncached\n"


WARNS = "from botocache._log import log; log.warning('a line of %s', 'two parts')"
LEVEL = "import logging; logging.getLogger('botocache').setLevel(40)"
SILENT = "import logging; logging.lastResort = None; logging.raiseExceptions = False"
FILTER = (
    "import logging; logging.getLogger('botocache').addFilter(lambda record: False)"
)


@buffered
@pytest.mark.parametrize("redirection", REDIRECTIONS.values(), ids=REDIRECTIONS.keys())
def test_a_line_of_the_log_that_cannot_be_printed_changes_no_exit_status(
    redirection: str, environment: Environment
) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"$1" -c "$2" {redirection}', "sh", environment.python, WARNS],
        timeout=120,
        check=False,
    )
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("first", "printed"),
    [
        ("pass", "botocache: a line of two parts\n"),
        (LEVEL, ""),
        (SILENT, ""),
        (FILTER, ""),
        ("import logging; logging.basicConfig(format='ours: %(message)s')",
         "ours: botocache: a line of two parts\n"),
    ],
)  # fmt: skip
def test_a_line_of_the_log_is_printed_as_logging_is_configured(
    first: str, printed: str, environment: Environment
) -> None:
    assert environment.run("-c", f"{first}\n{WARNS}").stderr == printed


CALL = '{"TableName": "users", "Key": {"id": {"S": "7"}}}'


@pytest.mark.parametrize(
    ("arguments", "redirection", "status", "said"),
    [
        ("--help", ">&-", 1, "it is closed"),
        ("--help", ">/dev/full", 1, "[Errno 28] No space left on device"),
        ("explain GetItem", ">&-", 1, "it is closed"),
        ("explain GetItem", ">/dev/full", 1, "[Errno 28] No space left on device"),
        ("explain GetItem", "| true", 1, ""),
        ("run -- true", ">&-", 0, ""),
        ("run -- true", ">/dev/full", 0, ""),
    ],
)
def test_a_command_whose_output_goes_nowhere_says_it_in_one_line(
    arguments: str,
    redirection: str,
    status: int,
    said: str,
    environment: Environment,
) -> None:
    command = f'"$1" -m botocache {arguments}; echo "status $?" >&2'
    done = subprocess.run(
        ["sh", "-c", f"({command}) {redirection}", "sh", environment.python],
        input=CALL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    lines = [f"botocache: cannot write to standard output: {said}"] * bool(said)
    assert done.stderr.splitlines() == [*lines, f"status {status}"]


@pytest.mark.parametrize(
    "arguments", ["", "walk", "run", "run no-such-command", "explain", "explain X 7 8"]
)
def test_a_mistake_is_never_said_on_standard_output(
    arguments: str, environment: Environment
) -> None:
    command = f'exec "$1" -m botocache {arguments} 2>&- </dev/null'
    done = subprocess.run(
        ["sh", "-c", command, "sh", environment.python],
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == ""
    assert done.returncode in (2, 127)
