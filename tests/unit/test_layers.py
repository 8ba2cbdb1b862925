"""The rooms of the design: who may import whom, and what a pure room never does."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import botocache

PACKAGE = Path(botocache.__file__).parent

ROOMS: dict[str, tuple[str, ...]] = {
    "ground": (
        "_errors",
        "_forks",
        "_exits",
        "_coherence",
        "_digests",
        "_log",
        "_counting",
    ),
    "_dynamodb": ("_dynamodb",),
    "stores": ("stores",),
    "_settings": ("_settings",),
    "_cache": ("_cache",),
    "_streams": ("_streams",),
    "_observe": ("_observe",),
    "_explain": ("_explain",),
    "_botocore": ("_botocore",),
    "_near": ("_near",),
    "_aiobotocore": ("_aiobotocore",),
    "_install": ("_install",),
    "botocache": ("",),
    "doors": ("plugin", "_run", "streams"),
    "_cli": ("_cli",),
    "command line": ("__main__",),
}
"""From the lowest to the highest: files import from their own room and those above it
in this list. Each is named by the modules or packages of `botocache` that it holds."""

PURE = (
    "botocache._coherence",
    "botocache._digests",
    "botocache._dynamodb",
    "botocache._settings.tables",
    "botocache._settings.values",
    "botocache._cache.comparison",
    "botocache._cache.encryption",
    "botocache._cache.entries",
    "botocache._cache.prepare",
    "botocache._cache.read_mode",
    "botocache._streams.changes",
    "botocache._streams.source",
    "botocache._near.call_keys",
    "botocache._near.copies",
    "botocache._near.request_bodies",
    "botocache.stores.urls",
)
"""Modules, and packages with all their modules, that only compute values."""

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

HOMES: dict[str, tuple[str, ...]] = {
    "boto3": (),
    "botocore": (
        "botocache._botocore",
        "botocache._near",
        "botocache._aiobotocore",
        "botocache._install",
        "botocache.plugin",
        "botocache._cli.explain",
    ),
    "aioboto3": (),
    "aiobotocore": ("botocache._aiobotocore",),
    "diskcache": ("botocache.stores.disk",),
    "opentelemetry": (
        "botocache._observe.open_telemetry",
        "botocache._observe.spans",
    ),
    "prometheus_client": ("botocache._observe.prometheus",),
    "redis": ("botocache.stores.redis",),
    "cryptography": ("botocache._cache.encryption",),
    "zstandard": ("botocache.stores.redis.compression",),
    "rich": ("botocache._cli.live_view", "botocache._cli.rich_face"),
    "shtab": ("botocache._cli.completion",),
    "pickle": (),
    "marshal": ("botocache._near.call_keys",),  # which loads nothing
}
"""Which rooms alone may import a package."""


def _module(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


FILES = {_module(path): path for path in sorted(PACKAGE.rglob("*.py"))}

TREES = {
    name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()
}


def _is_in(module: str, homes: tuple[str, ...]) -> bool:
    return any(module == home or module.startswith(f"{home}.") for home in homes)


def _room(module: str) -> str:
    top = module.removeprefix("botocache").removeprefix(".").partition(".")[0]
    return next(room for room, members in ROOMS.items() if top in members)


PURE_FILES = [name for name in FILES if _is_in(name, PURE)]


@cache
def _imports(module: str) -> tuple[str, ...]:
    """Return what a module imports, anywhere in it, as dotted names."""
    return tuple(_imported(module))


def _imported(module: str) -> Iterator[str]:
    for node in ast.walk(TREES[module]):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=str(source), names=names, level=0):
                for name in names:
                    whole = f"{source}.{name.name}"
                    yield whole if whole in FILES else source
            case ast.ImportFrom():
                raise AssertionError(f"{module} imports relatively")


def _own_imports(module: str) -> set[str]:
    return {name for name in _imports(module) if _is_in(name, ("botocache",))}


def _packages(module: str) -> set[str]:
    return {name.partition(".")[0] for name in _imports(module)}


def test_an_ls_of_the_package_tells_its_architecture() -> None:
    entries = {path.name for path in PACKAGE.iterdir()} - {"__pycache__"}
    assert len(entries) <= 25


def test_every_file_belongs_to_one_room() -> None:
    named = [member for members in ROOMS.values() for member in members]
    assert len(set(named)) == len(named)
    assert {_room(module) for module in FILES} == set(ROOMS)


@pytest.mark.parametrize("module", FILES)
def test_a_file_imports_only_from_its_own_room_and_those_below(module: str) -> None:
    order = list(ROOMS)
    allowed = order[: order.index(_room(module)) + 1]
    upwards = {name for name in _own_imports(module) if _room(name) not in allowed}
    # The names of the package are resolved on first use, from the rooms below it.
    assert upwards == set()


def _depends_on(module: str) -> set[str]:
    """Return the modules that a module imports, however far away."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        for name in _own_imports(waiting.pop()) & FILES.keys():
            if name not in found:
                found.add(name)
                waiting.append(name)
    return found


@pytest.mark.parametrize("module", FILES)
def test_no_file_depends_on_itself(module: str) -> None:
    assert module not in _depends_on(module)


@pytest.mark.parametrize("package", HOMES)
def test_a_package_is_imported_at_its_home_alone(package: str) -> None:
    importers = {name for name in FILES if package in _packages(name)}
    assert {name for name in importers if not _is_in(name, HOMES[package])} == set()


def test_diskcache_and_botocore_are_found_where_they_belong() -> None:
    assert "diskcache" in _packages("botocache.stores.disk.entry_database")
    assert "botocore" in _packages("botocache._botocore.hooks")


def test_every_pure_home_holds_a_file() -> None:
    assert {
        home for home in PURE if not any(_is_in(f, (home,)) for f in FILES)
    } == set()


@pytest.mark.parametrize("module", PURE_FILES)
def test_a_pure_file_imports_nothing_that_acts(module: str) -> None:
    assert _packages(module).isdisjoint(IMPURE_MODULES)


@pytest.mark.parametrize("module", PURE_FILES)
def test_a_pure_file_calls_nothing_that_acts(module: str) -> None:
    called = {
        node.func.id
        for node in ast.walk(TREES[module])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert called.isdisjoint(IMPURE_CALLS)


@pytest.mark.parametrize("module", PURE_FILES)
def test_a_pure_file_imports_pure_files_and_errors_alone(module: str) -> None:
    allowed = {*PURE_FILES, "botocache._errors"}
    assert _own_imports(module) <= allowed


@pytest.mark.parametrize("module", FILES)
def test_every_file_opens_with_its_law(module: str) -> None:
    assert ast.get_docstring(TREES[module])


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
    imported = _modules_after("import botocache._cache.cache, botocache.stores.memory")
    packages = {name.partition(".")[0] for name in imported}
    assert packages.isdisjoint({"boto3", "botocore", "diskcache"})
