"""The public names: these, no others, each where it says."""

import ast
import inspect
import sys
from importlib import import_module
from pathlib import Path

import pytest

import botocache

NAMES = {
    "BotocacheError": "botocache._errors",
    "Cache": "botocache._cache.cache",
    "ConfigError": "botocache._errors",
    "EvictionError": "botocache._errors",
    "Invalidation": "botocache._cache.invalidation",
    "Stats": "botocache._counting.stats",
    "bypass": "botocache._cache.modes",
    "install": "botocache._install",
    "installed": "botocache._install",
    "refresh": "botocache._cache.modes",
    "uninstall": "botocache._install",
}


def test_these_names_are_public_and_no_others() -> None:
    assert botocache.__all__ == sorted(NAMES)


@pytest.mark.parametrize(("name", "home"), NAMES.items())
def test_each_public_name_is_the_one_of_its_home(name: str, home: str) -> None:
    value = getattr(botocache, name)
    assert value is getattr(import_module(home), name)
    assert value.__module__ == home


@pytest.mark.parametrize("name", NAMES)
def test_each_public_name_says_what_it_is_and_so_does_its_module(name: str) -> None:
    value = getattr(botocache, name)
    assert inspect.getdoc(value)
    assert sys.modules[value.__module__].__doc__


def test_the_handler_for_lambda_is_the_one_public_name_of_its_module() -> None:
    streams = import_module("botocache.streams")
    assert streams.__all__ == ["handler"]
    assert inspect.getdoc(streams.handler)


def test_a_name_is_resolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(botocache, "install", raising=False)
    value = botocache.install
    assert vars(botocache)["install"] is value


def test_dir_tells_the_public_names_and_the_version() -> None:
    assert dir(botocache) == sorted([*NAMES, "__version__"])


def test_all_names_can_be_imported_at_once() -> None:
    names: dict[str, object] = {}
    exec("from botocache import *", names)
    assert set(NAMES) <= set(names)


@pytest.mark.parametrize(
    "name", ["Install", "caches", "_hooks_", "near", "__path", "TYPE_CHECKING_", ""]
)
def test_an_unknown_name_is_an_attribute_error_as_of_any_module(name: str) -> None:
    with pytest.raises(AttributeError, match="has no attribute") as raised:
        getattr(botocache, name)
    assert repr(name) in str(raised.value)
    assert not hasattr(botocache, name)


def test_type_checkers_see_the_same_names_in_the_same_places() -> None:
    source = Path(botocache.__file__).read_text(encoding="utf-8")
    seen = {
        alias.name: node.module
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("botocache")
        for alias in node.names
    }
    assert seen == NAMES


def test_the_errors_are_a_tree_of_one_root() -> None:
    assert issubclass(botocache.ConfigError, botocache.BotocacheError)
    assert issubclass(botocache.ConfigError, ValueError)
    assert issubclass(botocache.EvictionError, botocache.BotocacheError)
    assert issubclass(botocache.EvictionError, RuntimeError)
    assert issubclass(botocache.BotocacheError, Exception)


def test_the_package_says_that_it_is_typed() -> None:
    assert Path(botocache.__file__).with_name("py.typed").exists()


def test_the_version_is_a_version() -> None:
    numbers = botocache.__version__.split(".")
    assert len(numbers) == 3
    assert all(number.isdigit() for number in numbers)
