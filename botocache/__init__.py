"""Answers boto3's DynamoDB reads from a cache that its own writes keep coherent.

The public names, nothing else. They are resolved on first use, so that importing
this package, which the start-up file does in every interpreter that has the toggle
set, costs next to nothing and never imports botocore by itself.
"""

TYPE_CHECKING = False  # type checkers know it; importing typing takes milliseconds
if TYPE_CHECKING:
    from typing import Any

    from botocache._cache.cache import Cache
    from botocache._cache.modes import bypass, refresh
    from botocache._errors import BotocacheError, ConfigError, EvictionError
    from botocache._install import install, uninstall
    from botocache._stats import Stats

__version__ = "0.1.0"

__all__ = [
    "BotocacheError",
    "Cache",
    "ConfigError",
    "EvictionError",
    "Stats",
    "bypass",
    "install",
    "refresh",
    "uninstall",
]

_HOMES = {
    "BotocacheError": "_errors",
    "Cache": "_cache.cache",
    "ConfigError": "_errors",
    "EvictionError": "_errors",
    "Stats": "_stats",
    "bypass": "_cache.modes",
    "install": "_install",
    "refresh": "_cache.modes",
    "uninstall": "_install",
}


def __getattr__(name: str) -> "Any":
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
