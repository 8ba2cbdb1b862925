"""What the log says when the cache starts, in real processes."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

import botocache
from tests.support.environment import Environment
from tests.wheel.test_lacking import NO_BOOT_ID, ON

VERSION = f"botocache: version {botocache.__version__} is on for"
DEFAULTS = "ttl=60, all tables, scope='auto'"
CONFIGURE = """
import logging, sys
logging.basicConfig(level="INFO", format="%(levelname)s %(message)s", stream=sys.stdout)
logging.getLogger("botocore").setLevel("WARNING")
"""
CLIENT = """
import boto3
boto3.client("dynamodb", region_name="us-east-1")
print("a client")
"""


def lines_of(
    environment: Environment, code: str, variables: Mapping[str, str] | None = None
) -> list[str]:
    """Return what a program prints and logs; nothing may stand on standard error."""
    done = environment.run("-c", code, env=variables)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def default_store() -> str:
    return f"store disk:{os.environ['XDG_CACHE_HOME']}/botocache/v1/default"


@pytest.mark.parametrize(
    "code",
    [CONFIGURE + CLIENT + CLIENT, "import boto3" + CONFIGURE + CLIENT + CLIENT],
    ids=["logging is configured first", "boto3 is imported first"],
)
def test_one_line_says_that_the_toggle_is_on(
    code: str, environment: Environment
) -> None:
    assert lines_of(environment, code, ON) == [
        f"INFO {VERSION} all sessions, {default_store()}, {DEFAULTS}",
        "a client",
        "a client",
    ]


def test_a_start_is_no_line_where_logging_is_not_configured(
    environment: Environment,
) -> None:
    assert lines_of(environment, CLIENT, ON) == ["a client"]


def test_an_installation_in_code_is_one_line_with_what_matters_and_is_not_default(
    environment: Environment,
) -> None:
    code = """
import botocache
for _ in range(2):
    botocache.install(
        url="redis://me:s3cret@host/1", ttl=7, tables={"a": 1, "b": 2}, near="off"
    )
botocache.uninstall()
botocache.install(url="memory:")
"""
    lines = lines_of(environment, CONFIGURE + code)
    # There is no such host, which is said if it is found out before the end.
    lines = [line for line in lines if "stats_not_posted" not in line]
    assert lines == [
        f"INFO {VERSION} all sessions, store redis://***@host/1, "
        "ttl=7, 2 tables set, scope='auto', near='off'",
        f"INFO {VERSION} all sessions, store memory:, {DEFAULTS}",
    ]


def test_a_directory_that_no_encoding_knows_is_escaped(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/tempor\udce4r")
    code = CONFIGURE + "import botocache; botocache.install()"
    store = r"store disk:/tempor\udce4r/botocache/v1/default"
    assert lines_of(environment, code, {"PYTHONIOENCODING": "ascii:strict"}) == [
        f"INFO {VERSION} all sessions, {store}, {DEFAULTS}"
    ]


def test_installations_on_several_targets_with_the_same_settings_are_one_line(
    environment: Environment,
) -> None:
    code = """
import boto3, botocache
for _ in range(2):
    botocache.install(boto3.client("dynamodb", region_name="us-east-1"), url="memory:")
botocache.install(boto3.Session(), url="memory:", scope="one")
"""
    assert lines_of(environment, CONFIGURE + code) == [
        f"INFO {VERSION} a DynamoDB, store memory:, {DEFAULTS}",
        f"INFO {VERSION} a Session, store memory:, ttl=60, all tables, scope='one'",
    ]


def test_an_installation_that_has_ended_is_announced_no_more(
    environment: Environment,
) -> None:
    code = """
import botocore.handlers
before = list(botocore.handlers.BUILTIN_HANDLERS)
import botocache
botocache.install()
botocache.uninstall()
print(botocore.handlers.BUILTIN_HANDLERS == before)
"""
    assert lines_of(environment, code + CONFIGURE + CLIENT) == ["True", "a client"]


# --- memory, because there is no boot id ---------------------------------------------

ALONE = (
    "WARNING botocache: this machine has no boot id, so entries are in memory, and "
    "each process caches alone; {}. Name a server by BOTOCACHE_URL to share one cache"
)
FORKED = ALONE.format("processes forked from now on see each other's writes")
WORKER = ALONE.format("a write of another process is seen after the TTL only")
INSTALL = "import botocache; botocache.install(); "
FORK = """
import os
for _ in range(2):
    if not os.fork():
        os._exit(0)
    os.wait()
"""
WORKERS = {
    "gunicorn": "import types; sys.modules['gunicorn.arbiter'] = types.ModuleType('x')",
    "uWSGI": "import types; sys.modules['uwsgi'] = types.SimpleNamespace(numproc=2)",
    "multiprocessing": "import multiprocessing.process as m; m._parent_process = 7",
}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (INSTALL, []),
        (INSTALL + FORK, [FORKED]),
        (INSTALL + INSTALL + FORK + FORK, [FORKED]),
        (INSTALL + "botocache.uninstall()" + FORK, []),
        (FORK + INSTALL, []),
        ("import botocache; botocache.install(url='memory:')" + FORK, []),
        *((f"{worker}\n{INSTALL}{FORK}", [WORKER]) for worker in WORKERS.values()),
        (WORKERS["uWSGI"].replace("2", "1") + "\n" + INSTALL, []),
    ],
)
def test_memory_that_no_setting_names_is_a_warning_with_several_workers(
    code: str, expected: list[str], environment: Environment
) -> None:
    printed = lines_of(environment, CONFIGURE + NO_BOOT_ID + code)
    assert [line for line in printed if line.startswith("WARNING")] == expected


def test_disk_is_shared_and_no_warning(environment: Environment) -> None:
    printed = lines_of(environment, CONFIGURE + INSTALL + FORK)
    assert printed == [f"INFO {VERSION} all sessions, {default_store()}, {DEFAULTS}"]


def test_with_the_toggle_workers_that_were_forked_before_the_import_are_warned(
    environment: Environment, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_BOOT_ID)
    code = """
import os
if not os.fork():
    import boto3
    sys.stdout.flush()
    os._exit(0)
os.wait()
"""
    variables = {**ON, "PYTHONPATH": str(tmp_path)}
    assert lines_of(environment, CONFIGURE + code, variables) == [
        f"INFO {VERSION} all sessions, store memory:, {DEFAULTS}",
        WORKER,
    ]


def test_a_memory_store_that_a_setting_names_warns_of_nothing(
    environment: Environment, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_BOOT_ID)
    variables = {**ON, "PYTHONPATH": str(tmp_path), "BOTOCACHE_URL": "memory:"}
    printed = lines_of(environment, CONFIGURE + "import boto3" + FORK, variables)
    assert printed == [f"INFO {VERSION} all sessions, store memory:, {DEFAULTS}"]
