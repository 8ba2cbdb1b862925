"""Nothing that a store holds is executed: CVE-2025-69872 of diskcache, and its like.

The pickle in these tests makes a file when it is loaded. It lies in every place where
diskcache keeps something. Plain diskcache is the control: the table says which of the
places make it load the pickle. botocache is to load none, and to answer with a miss.
"""

import ast
import contextlib
import pickle
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import diskcache
import pytest
import redis
from diskcache.core import MODE_BINARY, MODE_PICKLE, MODE_RAW, MODE_TEXT

import botocache
from botocache._coherence import EvictionRequest
from botocache._errors import EntryError, StoreError
from botocache._near.call_keys import arguments_in, quick_key
from botocache.stores.disk.store import DiskStore
from botocache.stores.protocol import Store
from botocache.stores.redis.urls import connections_of_url
from tests.support.clock import FakeClock
from tests.support.digests import key, tag
from tests.support.processes import TIMEOUT
from tests.support.redis_stores import redis_store
from tests.support.valkey_server import ValkeyServer

KEY, A = key("an entry"), tag("a")
TTL = 60.0
ENTRY = b"entry"


class Exploit:
    """Makes a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path, bytes]]:
        return Path.write_bytes, (self._trace, b"executed")


class Place(NamedTuple):
    """A place for pickles.

    plant: SQL that puts them there. It has the parameters :exploit and :mode.
    mode: of the values; a file named "pickle" holds the exploit, too.
    executes: whether plain diskcache loads a pickle there.
    """

    plant: str
    mode: int = MODE_RAW
    executes: bool = False


IN_FILE = "UPDATE Cache SET mode = :mode, filename = 'pickle', value = NULL"
SETTINGS = (
    "CREATE TABLE IF NOT EXISTS Settings (key TEXT NOT NULL UNIQUE, value); "
    "INSERT OR IGNORE INTO Settings VALUES ('disk_pickle_protocol', 0); "
    "INSERT OR IGNORE INTO Settings VALUES ('disk_min_file_size', 0)"
)
"""A table that diskcache makes, and that botocache does without."""

PLACES = {
    "a value": Place(
        "UPDATE Cache SET mode = :mode, value = :exploit", MODE_PICKLE, executes=True
    ),
    "a value in a file": Place(IN_FILE, MODE_PICKLE, executes=True),
    "a value and its file": Place(
        "UPDATE Cache SET mode = :mode, filename = 'pickle', value = :exploit",
        MODE_PICKLE,
        executes=True,
    ),
    "bytes": Place("UPDATE Cache SET mode = :mode, value = :exploit"),
    "bytes in a file": Place(IN_FILE, MODE_BINARY),
    "text in a file": Place(IN_FILE, MODE_TEXT),
    "raw bytes in a file": Place(IN_FILE, MODE_RAW),
    "a mode of no meaning": Place("UPDATE Cache SET mode = 'pickle', value = :exploit"),
    "a key": Place("UPDATE Cache SET key = :exploit, raw = 0", executes=True),
    "a key as of an entry": Place(
        "UPDATE Cache SET raw = 0, mode = :mode, value = :exploit", MODE_PICKLE
    ),
    "a raw key": Place("UPDATE Cache SET key = :exploit, raw = 1"),
    "a tag": Place(
        "UPDATE Cache SET tag = :exploit, mode = :mode, value = :exploit",
        MODE_PICKLE,
        executes=True,
    ),
    "times": Place(
        "UPDATE Cache SET store_time = :exploit, access_time = :exploit, "
        "access_count = :exploit, expire_time = NULL, value = :exploit"
    ),
    "every setting": Place(f"{SETTINGS}; UPDATE Settings SET value = :exploit"),
    "settings of pickling": Place(
        f"{SETTINGS}; UPDATE Settings SET value = 0 WHERE key LIKE 'disk%'; "
        "UPDATE Cache SET mode = :mode, value = :exploit",
        MODE_PICKLE,
        executes=True,
    ),
    "a value beside another": Place(
        "INSERT INTO Cache (key, raw, store_time, expire_time, access_time, tag, "
        "size, mode, filename, value) SELECT :exploit, 0, store_time, expire_time, "
        "access_time, :exploit, 0, :mode, 'pickle', :exploit FROM Cache LIMIT 1; "
        "UPDATE Cache SET mode = :mode, value = :exploit",
        MODE_PICKLE,
        executes=True,
    ),
}

places = pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """The file that a loaded pickle makes."""
    return tmp_path / "trace"


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> Iterator[DiskStore]:
    """A disk store with one entry."""
    with contextlib.closing(DiskStore(tmp_path / "disk", clock=clock)) as opened:
        opened.load(KEY, [A])
        opened.fill(KEY, ENTRY, TTL, [A])
        assert found(opened) == ENTRY
        yield opened


def found(store: Store) -> bytes | None:
    """Return the entry of a load. An error of the entries is a miss of the call."""
    try:
        return store.load(KEY, [A]).entry
    except EntryError:
        return None


def database_of(tmp_path: Path) -> Path:
    (path,) = (tmp_path / "disk").rglob("cache.db")
    return path


def plant(place: Place, directory: Path, trace: Path) -> None:
    exploit = pickle.dumps(Exploit(trace), protocol=0)
    (directory / "pickle").write_bytes(exploit)
    with contextlib.closing(
        sqlite3.connect(directory / "cache.db", isolation_level=None, timeout=TIMEOUT)
    ) as connection:
        for statement in place.plant.split(";"):
            names = {"exploit": exploit, "mode": place.mode}
            connection.execute(
                statement, {k: v for k, v in names.items() if f":{k}" in statement}
            )


def plain_database(tmp_path: Path) -> Path:
    """Return the directory of a database of diskcache's own with one entry."""
    directory = tmp_path / "plain"
    with diskcache.Cache(str(directory)) as plain:
        plain[KEY] = ENTRY
    return directory


@places
def test_plain_diskcache_executes_what_is_planted(
    place: Place, tmp_path: Path, trace: Path
) -> None:
    """The control: without it, the tests below could pass for another reason."""
    directory = plain_database(tmp_path)
    plant(place, directory, trace)
    # Some of the places break diskcache, before or after it has loaded the pickle.
    with contextlib.suppress(Exception), diskcache.Cache(str(directory)) as plain:
        for each in plain:
            plain.get(each, tag=True)
        plain.peekitem()
    assert trace.exists() is place.executes


@places
@pytest.mark.parametrize("is_open", [True, False], ids=["open", "opened later"])
def test_no_planted_pickle_is_executed_and_each_is_a_miss(  # noqa: PLR0913, PLR0917 - six fixtures
    place: Place,
    is_open: bool,
    store: DiskStore,
    tmp_path: Path,
    trace: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    directory = database_of(tmp_path).parent
    if not is_open:
        store.close()
    plant(place, directory, trace)
    loads = no_loads(monkeypatch)
    # Where the entry itself is not touched, it is still what was filled.
    untouched = {ENTRY} if "Cache" not in place.plant else set()
    assert found(store) in {None, *untouched}
    assert found(store) in {None, *untouched}
    with contextlib.suppress(EntryError):
        store.evict(EvictionRequest((A,), 0.0))
    with contextlib.suppress(EntryError):
        store.fill(KEY, b"new", TTL, [A])
    assert found(store) in {None, b"new"}
    with contextlib.suppress(EntryError):
        store.clear()
    assert found(store) is None
    store.close()
    assert loads == []
    assert not trace.exists()


def no_loads(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return a list that grows with each call of a function that loads a pickle."""
    loads: list[object] = []

    def noting(name: str) -> Callable[..., object]:
        really = getattr(pickle, name)

        def load(*arguments: Any, **named: Any) -> object:
            loads.append(name)
            return really(*arguments, **named)

        return load

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, noting(name))
    return loads


def test_a_loaded_pickle_is_noted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trace: Path
) -> None:
    directory = plain_database(tmp_path)
    plant(PLACES["a value"], directory, trace)
    loads = no_loads(monkeypatch)
    with diskcache.Cache(str(directory)) as plain:
        plain.peekitem()
    assert loads == ["load"]


def test_no_pickle_on_a_server_is_executed_and_each_is_a_miss(
    valkey: ValkeyServer,
    namespace: str,
    clock: FakeClock,
    trace: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exploit = pickle.dumps(Exploit(trace), protocol=0)
    name, make = connections_of_url(valkey.url, TIMEOUT)
    options: dict[str, Any] = {
        "namespace": namespace,
        "clock": clock,
        "timeout": TIMEOUT,
    }
    with contextlib.closing(redis_store(make, name=name, **options)) as store:
        store.load(KEY, [A])
        store.fill(KEY, ENTRY, TTL, [A])
        assert found(store) == ENTRY
        with redis.Redis.from_url(valkey.url) as client:
            planted = list(client.scan_iter(match=f"*{namespace}*"))
            for each in planted:
                plant_on_server(client, each, exploit)
        assert planted
        loads = no_loads(monkeypatch)
        for _ in range(2):
            with contextlib.suppress(StoreError):
                assert store.load(KEY, [A]).entry != ENTRY
    assert loads == []
    assert not trace.exists()


def plant_on_server(client: Any, name: bytes, exploit: bytes) -> None:
    """Replace what a key of a server holds, in the form that it has."""
    if client.type(name) == b"hash":
        client.hset(name, mapping=dict.fromkeys(client.hkeys(name), exploit))
    else:
        client.set(name, exploit)


# --- what the package could execute with ---------------------------------------------

FORBIDDEN_IMPORTS = frozenset(
    {
        *("pickle", "_pickle", "cPickle", "dill", "cloudpickle", "jsonpickle"),
        *("pickletools", "shelve", "dbm", "copyreg", "marshal", "yaml", "ruamel"),
        *("code", "codeop", "runpy", "ctypes", "subprocess", "pty", "jsonschema"),
    }
)
"""Modules that make code or objects of bytes, or start programs."""

ALLOWED_IMPORTS = {
    # It writes a key in memory by dumps(), and loads nothing: the test below.
    ("_near/call_keys.py", "marshal"),
    # It counts one reference more to objects that must outlive a closed descriptor.
    ("stores/disk/connections.py", "ctypes"),
    # It starts this Python to see whether the toggle has an effect. It runs in the
    # command line alone, and nothing that a store holds reaches it.
    ("_observe/doctor/start.py", "subprocess"),
}

FORBIDDEN_CALLS = frozenset(
    {
        *("eval", "exec", "compile", "__import__"),
        *("system", "popen", "execv", "execvp", "execve", "execvpe", "fork"),
        *("spawnv", "posix_spawn", "load_extension", "enable_load_extension"),
        *("Unpickler", "import_module", "exec_module", "load_module"),
    }
)

ALLOWED_CALLS = {
    # `botocache run -- COMMAND` becomes the command of its user.
    ("_cli/run.py", "execvpe"),
    # The import of botocore itself, at which the toggle installs the cache.
    ("plugin.py", "exec_module"),
    ("plugin.py", "load_module"),
    # Of a name in its own table, when the name is used first.
    ("__init__.py", "import_module"),
    ("_cli/commands.py", "import_module"),
    # Of the constant "sqlite3", to name what an environment lacks.
    ("stores/opening.py", "import_module"),
}

PACKAGE = Path(botocache.__file__).parent
TREES = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
}


def imports_of(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name.partition(".")[0] for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def calls_of(tree: ast.AST) -> Iterator[str]:
    """Yield the names of called functions and methods, and of attributes passed on."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


def test_the_package_imports_nothing_that_makes_objects_or_code_of_bytes() -> None:
    found = {
        (name, module)
        for name, tree in TREES.items()
        for module in imports_of(tree)
        if module in FORBIDDEN_IMPORTS
    }
    assert found == ALLOWED_IMPORTS


def test_the_package_calls_nothing_that_executes_what_it_reads() -> None:
    found = {
        (name, function)
        for name, tree in TREES.items()
        for function in calls_of(tree)
        # A compiled pattern is no code.
        if function in FORBIDDEN_CALLS and not is_of_re(name, function)
    }
    assert found == ALLOWED_CALLS


def is_of_re(name: str, function: str) -> bool:
    """Return whether all `compile` of a file are `re.compile`."""
    if function != "compile":
        return False
    owners = [
        node.value
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Attribute) and node.attr == "compile"
    ]
    names = [node for node in ast.walk(TREES[name]) if isinstance(node, ast.Name)]
    return all(isinstance(each, ast.Name) and each.id == "re" for each in owners) and (
        "compile" not in {each.id for each in names}
    )


def test_marshal_writes_keys_and_reads_nothing_else() -> None:
    used = {
        node.attr
        for node in ast.walk(TREES["_near/call_keys.py"])
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "marshal"
    } | {
        each.name
        for node in ast.walk(TREES["_near/call_keys.py"])
        if isinstance(node, ast.ImportFrom) and node.module == "marshal"
        for each in node.names
    }
    assert used == {"dumps", "loads"}
    # It reads what it has written, in this process's memory: never a store's bytes.
    takers = {
        name
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and "arguments_in" in {each.name for each in node.names}
    }
    assert takers == {"_near/batches.py", "_near/request_bodies.py"}
    made = quick_key(7, {"TableName": "t", "Key": {"id": {"S": "a"}}})
    assert isinstance(made, bytes)
    assert arguments_in(made) == {"TableName": "t", "Key": {"id": {"S": "a"}}}


def test_the_package_decodes_no_extension_types_and_into_no_classes() -> None:
    """MessagePack can carry a number for a type; msgspec calls `ext_hook` for it."""
    hooks = [
        (name, keyword.arg)
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg in {"ext_hook", "dec_hook", "object_hook", "object_pairs_hook"}
    ]
    # It refuses a name that comes twice, and makes dicts.
    assert hooks == [("_botocore/handouts.py", "object_pairs_hook")]
