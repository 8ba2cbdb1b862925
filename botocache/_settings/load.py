"""Settings: one frozen object, from arguments, environment and a TOML file.

Precedence: argument, `BOTOCACHE_*` variable, TOML file named by `BOTOCACHE_CONFIG`,
default. All three spell a setting the same way and mean the same by it. Whatever is
unknown or wrong is a ConfigError that says where, what was expected, and the nearest
valid name; nothing is silently dropped.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from botocache._coherence import LONGEST_HOLD_OFF
from botocache._errors import ConfigError, hint
from botocache._settings import values as settings_values
from botocache._settings.tables import (
    TablePolicy,
    Tables,
    longest_ttl,
    parse_tables,
    table_policy,
)
from botocache.stores.options import is_client
from botocache.stores.protocol import Store
from botocache.stores.urls import without_secrets

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PREFIX = "BOTOCACHE_"

_LONGEST_TIMEOUT = 10.0
"""Seconds: botocore's own patience with DynamoDB is a minute."""


@dataclass(frozen=True, repr=False)
class Settings:
    """What an installation was configured with.

    url: which store; "" where there is an object.
    ttl: seconds that an entry lives.
    negative_ttl: seconds that "no such item" lives; 0 does not cache it.
    tables: options per table or pattern; see tables.py.
    namespace: keeps applications that share a store apart.
    scope: `auto`, or a name under which all callers share answers.
    settle: seconds of hold-off after the end of a write.
    write_hold_off: seconds of hold-off after the beginning of a write.
    size_limit: bytes; None is the default of the store.
    write_through: fill an item's entry from a write that returns or names all of it.
    reads_after_write: an eventually consistent read of a base table within `settle` of
        a write is sent strongly consistent and filled (`consistent`), or not filled
        (`uncached`).
    scan_size_limit: bytes of the largest Scan page that is kept at its first read.
    precise_index_eviction: ask DynamoDB for the old item of a write, and evict only the
        index queries that the old or the new item belongs to.
    timeout: seconds that a store across the network may delay a call.
    on_eviction_failure: `send` or `refuse` a write whose evictions the store cannot do.
    client_tracking: have the server announce writes of other processes.
    near: `on`, `off`, or `untraced`, which also skips wrappers of botocore's method.
    near_size_limit: bytes of the near cache.
    store: a store object or a client of redis-py.
    """

    url: str = ""
    ttl: float = 60.0
    negative_ttl: float = 5.0
    tables: Tables = ()
    namespace: str = "default"
    scope: str = "auto"
    settle: float = 1.0
    write_hold_off: float = 5.0
    size_limit: int | None = None
    write_through: bool = True
    reads_after_write: str = "consistent"
    scan_size_limit: int = 64 * 1024
    precise_index_eviction: bool = False
    timeout: float = 0.02
    on_eviction_failure: str = "send"
    client_tracking: bool = False
    near: str = "on"
    near_size_limit: int = 64 * 1024**2
    store: Any = None

    def __repr__(self) -> str:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["url"] = without_secrets(self.url)
        values["store"] = self.store and type(self.store).__name__
        return f"Settings({', '.join(f'{n}={v!r}' for n, v in values.items())})"

    def longest_ttl(self) -> float:
        """Return the longest that any answer is kept."""
        return longest_ttl(self.tables, self.ttl)

    def policy(self, table: str) -> TablePolicy:
        """Return what is done for a table; the caller remembers it."""
        return table_policy(
            self.tables, table, ttl=self.ttl, negative_ttl=self.negative_ttl
        )


# --- sources -----------------------------------------------------------------------


class _Given(NamedTuple):
    """A setting as some source has it. where: how that source calls it."""

    name: str
    value: Any
    where: str


def load_settings(
    arguments: Mapping[str, Any], environ: Mapping[str, str], default_url: str
) -> Settings:
    """Return the settings of all sources together. Raises ConfigError.

    arguments: by name. environ: of the process. default_url: of the store.
    """
    if arguments.get("url") is not None and arguments.get("store") is not None:
        raise ConfigError("url and store are both given; expected one of them")
    values: dict[str, Any] = {"url": default_url}
    for given in (
        *_from_file(environ),
        *_from_environment(environ),
        *_from_arguments(arguments),
    ):
        values[given.name] = _parse(given)
    if not isinstance(values["url"], str):  # the same, said in another way
        values["store"] = values["url"]
    if values.get("store") is not None:
        values["url"] = ""  # of some other source, and not what is used
    return Settings(**values)


def _from_arguments(arguments: Mapping[str, Any]) -> Iterator[_Given]:
    for name, value in arguments.items():
        _require_known(name, name, (*_PARSERS, *_ARGUMENTS), "argument")
        yield _Given(name, value, name)


# Kubernetes sets these in every pod of a namespace that has a service of such a name.
_SERVICE_LINK = re.compile(
    PREFIX + r"(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT\w*|PORT|PORT_[0-9]+_\w+)"
)
_NOT_SETTINGS = (PREFIX + "CONFIG",)


def _from_environment(environ: Mapping[str, str]) -> Iterator[_Given]:
    known = {PREFIX + name.upper(): name for name in _PARSERS}
    for variable, value in environ.items():
        if not variable.startswith(PREFIX) or _SERVICE_LINK.fullmatch(variable):
            continue
        if variable in _NOT_SETTINGS:
            continue
        _require_no_argument(variable.removeprefix(PREFIX).lower(), variable)
        _require_known(variable, variable, (*known, *_NOT_SETTINGS), "variable")
        yield _Given(known[variable], value, variable)


def _from_file(environ: Mapping[str, str]) -> Iterator[_Given]:
    path = environ.get(PREFIX + "CONFIG")
    if not path:
        return
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{PREFIX}CONFIG names {path!r}, which cannot be read as TOML: {error}"
        ) from error
    for name, value in content.items():
        where = f"{name} in {path}"
        _require_no_argument(name, where)
        _require_known(name, where, _PARSERS, "setting")
        yield _Given(name, value, where)


def _require_no_argument(name: str, where: str) -> None:
    if name in _ARGUMENTS:
        raise ConfigError(f"{where}: an object, for install() alone; expected 'url'")


def _require_known(name: str, where: str, known: Iterable[str], what: str) -> None:
    if name in known:
        return
    raise ConfigError(f"unknown {what} {where!r}{hint(name, known)}")


# --- values ------------------------------------------------------------------------


def _parse(given: _Given) -> Any:
    try:
        return {**_PARSERS, **_ARGUMENTS}[given.name](given.value)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{given.where}: {error}") from None


def _url(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, Store):
        return value
    raise ValueError(
        f"expected a URL or a store object, not an object of {type(value).__name__}"
    )


def _store(value: Any) -> Any:
    if value is None or isinstance(value, Store) or is_client(value):
        return value
    raise ValueError(
        "expected a store object or a client of redis-py, not an object of "
        f"{type(value).__name__}; a URL is given as 'url'"
    )


def _timeout(value: Any) -> float:
    seconds = settings_values.seconds(least=0.0, most=_LONGEST_TIMEOUT)(value)
    if not seconds:
        raise ValueError("expected more than 0 seconds")
    return seconds


def _hold_off(value: Any) -> float:
    seconds = settings_values.seconds(least=0.0)(value)
    if seconds > LONGEST_HOLD_OFF:
        raise ValueError(f"expected at most {LONGEST_HOLD_OFF:g} seconds")
    return seconds


def _near(value: Any) -> str:
    if isinstance(value, str) and value.lower() == "untraced":
        return "untraced"
    try:
        return "on" if settings_values.switch(value) else "off"
    except ValueError:
        raise ValueError(f"expected 'on', 'off' or 'untraced', not {value!r}") from None


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def _namespace(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(
            "expected 1 to 64 letters, digits, '.', '_' or '-', not starting with a "
            f"sign, not {value!r}"
        )
    return value


def _scope(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"expected 'auto' or a name, not {value!r}")
    return value


_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "url": _url,
    "ttl": settings_values.ttl,
    "negative_ttl": settings_values.negative_ttl,
    "tables": parse_tables,
    "namespace": _namespace,
    "scope": _scope,
    "settle": _hold_off,
    "write_hold_off": _hold_off,
    "size_limit": settings_values.size(
        1024**2, "expected bytes as 268435456 or '256MiB', at least 1 MiB"
    ),
    "write_through": settings_values.switch,
    "reads_after_write": settings_values.choice("consistent", "uncached"),
    "scan_size_limit": settings_values.size(0, "expected bytes as 65536 or '64KiB'"),
    "precise_index_eviction": settings_values.switch,
    "timeout": _timeout,
    "on_eviction_failure": settings_values.choice("send", "refuse"),
    "client_tracking": settings_values.switch,
    "near": _near,
    "near_size_limit": settings_values.size(0, "expected bytes as 67108864 or '64MiB'"),
}
"""Every setting that is text too; a test holds it against the fields of Settings."""

_ARGUMENTS: Mapping[str, Callable[[Any], Any]] = {"store": _store}
"""Those that are objects, which no variable and no file can name."""
