"""Answers boto3's DynamoDB reads from a cache that its own writes keep coherent.

This file holds the public names and nothing else. A name is imported on first use: the
start-up file imports this package in every interpreter that has the toggle set, and
that must cost almost nothing and must not import botocore.
"""

TYPE_CHECKING = False  # type checkers take it as True; importing typing takes time
if TYPE_CHECKING:
    from botocache._cache.cache import Cache
    from botocache._cache.invalidation import Invalidation
    from botocache._cache.modes import bypass, refresh
    from botocache._counting.stats import Stats
    from botocache._errors import BotocacheError, ConfigError, EvictionError
    from botocache._install import install, installed, uninstall

__version__ = "0.1.0"

__all__ = [
    "BotocacheError",
    "Cache",
    "ConfigError",
    "EvictionError",
    "Invalidation",
    "Stats",
    "bypass",
    "install",
    "installed",
    "refresh",
    "uninstall",
]

_HOMES = {
    "BotocacheError": "_errors",
    "Cache": "_cache.cache",
    "ConfigError": "_errors",
    "EvictionError": "_errors",
    "Invalidation": "_cache.invalidation",
    "Stats": "_counting.stats",
    "bypass": "_cache.modes",
    "install": "_install",
    "installed": "_install",
    "refresh": "_cache.modes",
    "uninstall": "_install",
}


if not TYPE_CHECKING:  # to a type checker, a misspelt name must be an error

    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
