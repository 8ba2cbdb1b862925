"""The rooms of the design: who may import whom, and what a pure room never does."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import botocache

PACKAGE = Path(botocache.__file__).parent

ROOMS = [
    "botocache._errors",
    "botocache._forks",
    "botocache._reserved",
    "botocache._expressions",
    "botocache._projections",
    "botocache._keys",
    "botocache._coherence",
    "botocache._codec",
    "botocache._values",
    "botocache._urls",
    "botocache._policies",
    "botocache._planned",
    "botocache._plan_reads",
    "botocache._plan_writes",
    "botocache._plan",
    "botocache._updates",
    "botocache._images",
    "botocache.stores",
    "botocache.stores.slots",
    "botocache.stores.slotfile",
    "botocache.stores.entryfile",
    "botocache.stores.memory",
    "botocache.stores.disk",
    "botocache.stores.breaker",
    "botocache.stores.compression",
    "botocache.stores.redisscripts",
    "botocache.stores.redissentinel",
    "botocache.stores.redislink",
    "botocache.stores.redistopology",
    "botocache.stores.redisnode",
    "botocache.stores.redisround",
    "botocache.stores.redisnodes",
    "botocache.stores.redisreplicas",
    "botocache.stores.redisurl",
    "botocache.stores.known",
    "botocache.stores.lease",
    "botocache.stores.listening",
    "botocache.stores.following",
    "botocache.stores.redisseeds",
    "botocache.stores.rediscommands",
    "botocache.stores.redis",
    "botocache.stores.rediscluster",
    "botocache._config",
    "botocache._stats",
    "botocache._failures",
    "botocache._worker",
    "botocache._undelivered",
    "botocache._schemas",
    "botocache._evictions",
    "botocache._learning",
    "botocache._parts",
    "botocache._modes",
    "botocache._tickets",
    "botocache._plans",
    "botocache._batches",
    "botocache._lookups",
    "botocache._reads",
    "botocache._writes",
    "botocache._nearbodies",
    "botocache._nearkeys",
    "botocache._nearmemory",
    "botocache._nearanswers",
    "botocache._cache",
    "botocache._scopes",
    "botocache._hooks",
    "botocache._templates",
    "botocache._nearviews",
    "botocache._neardelivery",
    "botocache._near",
    "botocache._install",
    "botocache",
    "botocache.plugin",
    "botocache._explain",
    "botocache.__main__",
    "botocache._run.sitecustomize",
]
"""From the lowest to the highest: a room imports from those above it in this list."""

OPENED_WHEN_ASKED_FOR = {
    ("botocache.stores", "botocache.stores.memory"),
    ("botocache.stores", "botocache.stores.disk"),
    ("botocache.stores", "botocache.stores.redis"),
    ("botocache.stores", "botocache.stores.rediscluster"),
    ("botocache.stores", "botocache.stores.redisseeds"),
}
"""The only imports upwards: a store is loaded when a URL names it."""

PURE = [
    "botocache._reserved",
    "botocache._expressions",
    "botocache._projections",
    "botocache._keys",
    "botocache._coherence",
    "botocache._codec",
    "botocache._values",
    "botocache._urls",
    "botocache._policies",
    "botocache._planned",
    "botocache._plan_reads",
    "botocache._plan_writes",
    "botocache._plan",
    "botocache._updates",
    "botocache._images",
    "botocache._nearbodies",
    "botocache._nearkeys",
    "botocache._templates",
]

IMPURE_MODULES = {
    "asyncio",
    "datetime",
    "io",
    "logging",
    "mmap",
    "multiprocessing",
    "os",
    "pathlib",
    "random",
    "secrets",
    "shutil",
    "signal",
    "socket",
    "sqlite3",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "time",
    "uuid",
}

IMPURE_CALLS = {"open", "print", "input", "exec", "eval", "compile", "__import__"}

HOMES = {
    "boto3": set[str](),
    "botocore": {
        "botocache._near",
        "botocache._nearviews",
        "botocache._scopes",
        "botocache._hooks",
        "botocache._install",
        "botocache.plugin",
        "botocache.__main__",
    },
    "diskcache": {"botocache.stores.entryfile"},
    "redis": {
        "botocache.stores.following",
        "botocache.stores.listening",
        "botocache.stores.redis",
        "botocache.stores.rediscommands",
        "botocache.stores.rediscluster",
        "botocache.stores.redislink",
        "botocache.stores.redisnodes",
        "botocache.stores.redisround",
        "botocache.stores.redisseeds",
        "botocache.stores.redistopology",
        "botocache.stores.redisreplicas",
        "botocache.stores.redissentinel",
        "botocache.stores.redisurl",
    },
    "zstandard": {"botocache.stores.compression"},
    "pickle": set[str](),
    "marshal": {"botocache._nearkeys"},  # which loads nothing
}
"""Which rooms alone may import a package."""


def _path(room: str) -> Path:
    path = PACKAGE.joinpath(*room.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _room(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


FILES = {_room(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def _tree(room: str) -> ast.Module:
    return ast.parse(_path(room).read_text(encoding="utf-8"))


def _imports(room: str) -> Iterator[str]:
    """Yield what the room imports, anywhere in it, as dotted names."""
    for node in ast.walk(_tree(room)):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                for name in names:
                    whole = f"{module}.{name.name}"
                    yield whole if whole in FILES else module
            case ast.ImportFrom():
                raise AssertionError(f"{room} imports relatively")


def _packages(room: str) -> set[str]:
    return {name.partition(".")[0] for name in _imports(room)}


def test_every_room_has_its_place() -> None:
    assert set(FILES) - {"botocache._run"} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_rooms_below_it(room: str) -> None:
    below = ROOMS[: ROOMS.index(room)]
    upwards = {
        name
        for name in _imports(room)
        if name.partition(".")[0] == "botocache"
        and name not in below
        and (room, name) not in OPENED_WHEN_ASKED_FOR
    }
    # The names of the package are resolved on first use, from the rooms below it.
    assert upwards == set()


@pytest.mark.parametrize("package", HOMES)
def test_a_package_is_imported_at_its_home_alone(package: str) -> None:
    importers = {room for room in FILES if package in _packages(room)}
    assert importers <= HOMES[package]


def test_diskcache_and_botocore_are_found_where_they_belong() -> None:
    assert "diskcache" in _packages("botocache.stores.entryfile")
    assert "botocore" in _packages("botocache._hooks")


@pytest.mark.parametrize("room", PURE)
def test_a_pure_room_imports_nothing_that_acts(room: str) -> None:
    assert _packages(room).isdisjoint(IMPURE_MODULES)


@pytest.mark.parametrize("room", PURE)
def test_a_pure_room_calls_nothing_that_acts(room: str) -> None:
    called = {
        node.func.id
        for node in ast.walk(_tree(room))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert called.isdisjoint(IMPURE_CALLS)


@pytest.mark.parametrize("room", PURE)
def test_a_pure_room_imports_pure_rooms_and_errors_alone(room: str) -> None:
    own = {name for name in _imports(room) if name.startswith("botocache")}
    assert own <= {*PURE, "botocache._errors"}


@pytest.mark.parametrize("room", FILES)
def test_every_room_opens_with_its_law(room: str) -> None:
    is_empty = not FILES[room].read_text(encoding="utf-8").strip()
    assert is_empty or ast.get_docstring(_tree(room))


def _modules_after(program: str) -> set[str]:
    """Return the modules that a fresh interpreter has after the program."""
    result = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        check=True,
        text=True,
    )
    return set(result.stdout.split())


def test_importing_the_package_imports_nothing_else_of_it_and_no_dependency() -> None:
    imported = _modules_after("import botocache")
    packages = {name.partition(".")[0] for name in imported}
    assert {name for name in imported if name.startswith("botocache")} == {"botocache"}
    assert packages.isdisjoint({"boto3", "botocore", "diskcache", "msgspec"})


def test_the_cache_itself_runs_without_botocore_and_diskcache() -> None:
    imported = _modules_after("import botocache._cache, botocache.stores.memory")
    packages = {name.partition(".")[0] for name in imported}
    assert packages.isdisjoint({"boto3", "botocore", "diskcache"})
