"""The doors that need no code, on the built wheel in a fresh environment."""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from botocache._settings.load import Settings
from tests.docs.pages import DOCS, files_of
from tests.support.dynamodb import DynamoDB
from tests.support.environment import Environment

START_UP = DOCS / "explanation" / "start-up.md"
STARTUP_FILES = ("botocache.pth", "botocache.start", "botocache_startup.py")
APPLICATION = Path(__file__).with_name("application.py")
LOADED = """
import sys
print(sorted(m for m in sys.modules if m.split('.')[0] in ('botocache', 'botocore')))
"""
CACHED = {"GetItem": 2, "Query": 2, "UpdateItem": 1}
UNCACHED = {"GetItem": 3, "Query": 3, "UpdateItem": 1}


@pytest.fixture
def arguments(dynamodb: DynamoDB, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The application's command line, with a table that has one item."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAAPPLICATION")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    table = dynamodb.create_table("pk:S")
    item = {"pk": {"S": "a"}, "n": {"N": "1"}}
    dynamodb.client().put_item(TableName=table, Item=item)
    return [str(APPLICATION), dynamodb.url, table]


def check(output: str, reached: dict[str, int]) -> None:
    """Check that the application read what is true, and what it took."""
    answer: dict[str, Any] = json.loads(output)
    assert answer["values"] == [[1, 1], [1, 1], [2, 2]]
    assert answer["reached"] == reached


def test_the_wheel_has_the_package_and_the_startup_files(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if "dist-info" not in name} == {
        "botocache",
        "botocache.pth",
        "botocache.start",
        "botocache_startup.py",
    }
    assert "botocache/py.typed" in names
    scripts = {name for name in names if name.endswith(".lua")}
    assert {Path(name).stem for name in scripts} == {
        *("common", "look", "evict", "prolong", "arrive", "return", "board")
    }
    assert "botocache/_observe/report/report.css" in names
    assert "botocache/_run/sitecustomize.py" in names


def test_the_startup_files_are_a_name_each_and_what_the_documentation_shows(
    environment: Environment,
) -> None:
    files = {name: environment.site_packages / name for name in STARTUP_FILES}
    assert files["botocache.pth"].read_bytes() == b"import botocache_startup\n"
    assert files["botocache.start"].read_bytes() == b"botocache_startup:start\n"
    assert files_of(START_UP) == {name: f.read_text() for name, f in files.items()}


def test_the_entry_point_of_python_3_15_resolves(environment: Environment) -> None:
    entry = (environment.site_packages / "botocache.start").read_text().strip()
    code = f"import pkgutil; print(callable(pkgutil.resolve_name({entry!r})))"
    assert environment.output("-c", code) == "True\n"


PROCESS_SITE = """
import os, site, sys
before = set(sys.modules), list(sys.meta_path), dict(os.environ)
site.addsitedir(sys.argv[1])
print(sorted(set(sys.modules) - before[0]), before[1:] == (sys.meta_path, os.environ))
"""


@pytest.fixture
def site_directory(wheel: Path, tmp_path: Path) -> Path:
    """A directory with the files of the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    return tmp_path / "site"


def process_site(directory: Path, toggle: str) -> subprocess.CompletedProcess[str]:
    """Start a Python that processes the start-up files in a directory."""
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", PROCESS_SITE, str(directory)],
        env={**os.environ, "BOTOCACHE": toggle},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


@pytest.mark.parametrize("toggle", ["", "0"])
def test_without_the_toggle_the_startup_file_brings_its_module_and_nothing_else(
    site_directory: Path, toggle: str
) -> None:
    done = process_site(site_directory, toggle)
    assert (done.stdout, done.stderr) == ("['botocache_startup'] True\n", "")


def test_with_the_toggle_it_brings_a_finder_of_botocore(site_directory: Path) -> None:
    done = process_site(site_directory, "1")
    assert done.stdout.endswith(" False\n")
    assert "'botocache.plugin', 'botocache_startup'" in done.stdout


@pytest.mark.parametrize("value", ["off", "OFF", "no", "false"])
def test_a_toggle_that_says_off_brings_none(site_directory: Path, value: str) -> None:
    done = process_site(site_directory, value)
    assert done.stdout.endswith(" True\n")
    assert done.stderr == ""


BROKEN: dict[str, Callable[[Path], object]] = {
    "a package that is gone": shutil.rmtree,
    "a package that lacks a file": lambda package: (package / "plugin.py").unlink(),
    "a file that is cut": lambda package: (package / "plugin.py").write_text("def ("),
    "a function that is gone": lambda package: (package / "plugin.py").write_text(""),
}


@pytest.mark.parametrize("harm", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_installation_is_silent_without_the_toggle_and_else_one_line(
    harm: Callable[[Path], object], site_directory: Path
) -> None:
    harm(site_directory / "botocache")
    done = process_site(site_directory, "")
    assert (done.stdout, done.stderr) == ("['botocache_startup'] True\n", "")
    done = process_site(site_directory, "1")
    assert done.stdout.endswith(" True\n")
    assert re.fullmatch(r"botocache: [^\n]+; running uncached\n", done.stderr)


def test_nothing_of_the_package_is_imported_unless_the_toggle_is_set(
    environment: Environment,
) -> None:
    assert environment.output("-c", LOADED) == "[]\n"


def test_the_toggle_does_not_import_botocore(environment: Environment) -> None:
    loaded = environment.output("-c", LOADED, env={"BOTOCACHE": "1"})
    assert loaded == "['botocache', 'botocache.plugin']\n"


def test_the_toggle_alone_answers_repeated_reads_and_sees_writes(
    environment: Environment, arguments: list[str]
) -> None:
    check(environment.output(*arguments, env={"BOTOCACHE": "1"}), CACHED)


def test_the_toggle_can_say_off(environment: Environment, arguments: list[str]) -> None:
    check(environment.output(*arguments, env={"BOTOCACHE": "off"}), UNCACHED)


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        (
            {"BOTOCACHE": "maybe"},
            "botocache: BOTOCACHE='maybe' is not known; expected 1, on, shadow, 0 or "
            "off; "
            "running uncached",
        ),
        (
            {"BOTOCACHE": "1", "BOTOCACHE_TTL": "soon"},
            "botocache: BOTOCACHE_TTL: expected a number of seconds from 0.001 to "
            "2592000, not 'soon'; running uncached",
        ),
        (
            {"BOTOCACHE": "1", "BOTOCACHE_URL": "memcached://host"},
            "botocache: url 'memcached:'... names no store of this version; "
            "expected 'memory:', 'disk:', "
            "'disk:///path' or 'redis://host:port/0'; running uncached",
        ),
    ],
)
def test_a_wrong_environment_is_one_line_and_the_application_runs_uncached(
    environment: Environment,
    arguments: list[str],
    variables: dict[str, str],
    complaint: str,
) -> None:
    done = environment.run(*arguments, env=variables)
    assert done.stderr.splitlines() == [complaint]
    check(done.stdout, UNCACHED)


def test_a_variable_of_another_version_is_one_line_and_the_cache_is_on(
    environment: Environment, arguments: list[str]
) -> None:
    done = environment.run(*arguments, env={"BOTOCACHE": "1", "BOTOCACHE_FOLLOW": "on"})
    assert done.stderr.splitlines() == [
        "botocache: variable 'BOTOCACHE_FOLLOW' is unknown and ignored; it is "
        "'BOTOCACHE_CLIENT_TRACKING' now"
    ]
    check(done.stdout, CACHED)


def test_empty_variables_are_not_set(
    environment: Environment, arguments: list[str]
) -> None:
    names = [field.name.upper() for field in fields(Settings)] + ["CONFIG"]
    names.remove("ENCRYPTION_KEYS")  # an empty secret is an error
    empty = {f"BOTOCACHE_{name}": "" for name in names}
    done = environment.run(*arguments, env={"BOTOCACHE": "1", **empty})
    assert done.stderr == ""
    check(done.stdout, CACHED)


def test_botocore_looks_as_after_an_import_without_botocache(
    environment: Environment,
) -> None:
    code = """
import botocore.session, inspect, sys
print(type(botocore.session.__loader__).__name__,
      type(botocore.session.__spec__.loader).__name__,
      "class Session" in inspect.getsource(botocore.session),
      [finder._name for finder in sys.meta_path if hasattr(finder, "_name")])
"""
    printed = environment.output("-c", code, env={"BOTOCACHE": "1"})
    # What waits for aiobotocore, which may be imported at any time, stays.
    left = ["aiobotocore.session"]
    assert printed == f"SourceFileLoader SourceFileLoader True {left}\n"


def test_an_interpreter_with_the_toggle_but_without_botocore_runs(
    environment: Environment,
) -> None:
    code = """
import sys
sys.path = [entry for entry in sys.path if "site-packages" not in entry]
try:
    import botocore.session
except ModuleNotFoundError as error:
    print(error.name)
"""
    printed = environment.output("-c", code, env={"BOTOCACHE": "1"})
    assert printed == "botocore\n"


# --- python -m botocache run ---------------------------------------------------------


def test_run_switches_the_cache_on_for_a_command(
    environment: Environment, arguments: list[str]
) -> None:
    output = environment.output(
        "-m", "botocache", "run", "--", environment.python, *arguments
    )
    check(output, CACHED)


@pytest.fixture
def unprocessed(
    wheel: Path, environment: Environment, tmp_path: Path
) -> dict[str, str]:
    """Variables of an environment whose start-up files Python does not process."""
    target = tmp_path / "target"
    environment.pip("install", "--no-deps", "--target", str(target), str(wheel))
    return {"PYTHONPATH": str(target), "PYTHONNOUSERSITE": "1"}


@pytest.fixture
def bare(environment: Environment, tmp_path: Path) -> str:
    """A Python that has boto3 but no installed botocache."""
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    home = Path(environment.python).parents[1]
    dependencies = environment.site_packages / "zz-dependencies.pth"
    place = tmp_path / "bare" / dependencies.relative_to(home)
    place.write_text(dependencies.read_text())
    return str(tmp_path / "bare" / "bin" / "python")


def test_run_works_where_startup_files_are_not_processed_and_in_child_processes(
    environment: Environment,
    unprocessed: dict[str, str],
    bare: str,
    arguments: list[str],
) -> None:
    child = f"import subprocess, sys; subprocess.run([sys.executable, *{arguments!r}])"
    done = subprocess.run(
        [bare, "-m", "botocache", "run", bare, "-c", child],
        env={**os.environ, **unprocessed},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stderr == ""
    check(done.stdout, CACHED)


def test_run_imports_the_hidden_sitecustomize_too(
    environment: Environment, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('hidden one')")
    command = ["-m", "botocache", "run", environment.python, "-c"]
    code = "import sys, sitecustomize; print(sitecustomize.__file__)"
    printed = environment.output(*command, code, env={"PYTHONPATH": str(tmp_path)})
    assert printed.splitlines() == [
        "hidden one",  # in the process that runs the command
        "hidden one",
        str(tmp_path / "sitecustomize.py"),
    ]


def test_run_passes_the_exit_status_on(environment: Environment) -> None:
    command = ["-m", "botocache", "run", "--", environment.python, "-c"]
    assert environment.run(*command, "raise SystemExit(7)").returncode == 7


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (["run", "--"], 2, "botocache: run: expected a command after 'run --'\n"),
        (
            ["run", "no-such-command"],
            127,
            "botocache: cannot run 'no-such-command': No such file or directory\n",
        ),
    ],
)
def test_run_says_what_is_wrong_with_its_command(
    environment: Environment, arguments: list[str], status: int, complaint: str
) -> None:
    done = environment.run("-m", "botocache", *arguments)
    assert (done.returncode, done.stderr) == (status, complaint)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--help"], 0, "usage: python -m botocache COMMAND"),
        ([], 2, "usage: python -m botocache COMMAND"),
        (["x"], 2, "botocache: unknown command 'x'; known: "),
    ],
)
def test_the_command_line_shows_its_usage(
    environment: Environment, arguments: list[str], status: int, said: str
) -> None:
    done = environment.run("-m", "botocache", *arguments)
    assert done.returncode == status
    assert (done.stderr if status else done.stdout).startswith(said)


def test_the_script_behaves_as_the_module(environment: Environment) -> None:
    script = str(Path(environment.python).with_name("botocache"))
    for arguments in (["--version"], ["run", "--"], ["x"], ["run", "echo", "-n", "a"]):
        module = environment.run("-m", "botocache", *arguments)
        done = subprocess.run(
            [script, *arguments],
            capture_output=True,
            check=False,
            text=True,
            timeout=120,
        )
        assert (done.returncode, done.stdout, done.stderr) == (
            module.returncode,
            module.stdout,
            module.stderr,
        )
