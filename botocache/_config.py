"""Settings: one frozen object, from arguments, environment and a TOML file.

Precedence: argument, `BOTOCACHE_*` variable, TOML file named by `BOTOCACHE_CONFIG`,
default. All three spell a setting the same way and mean the same by it. Whatever is
unknown or wrong is a ConfigError that says where, what was expected, and the nearest
valid name; nothing is silently dropped.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from botocache._coherence import LONGEST_HOLD_OFF
from botocache._errors import ConfigError
from botocache._keys import table_name
from botocache.stores import Store

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PREFIX = "BOTOCACHE_"
LONGEST = 30 * 24 * 3600.0
"""Seconds: more than this is taken for a mistake in units."""


class TablePolicy(NamedTuple):
    """What is done for one table. ttl, negative_ttl: seconds."""

    enabled: bool
    ttl: float
    negative_ttl: float


@dataclass(frozen=True)
class Settings:
    """What an installation was configured with.

    url: which store, or a store object. ttl: seconds that an entry lives.
    negative_ttl: the same for "no such item"; 0 keeps none. tables: per table a TTL
    in seconds, or None for off; `*` stands for all others. namespace: keeps
    applications that share a store apart. scope: `auto`, or a name under which
    answers are shared whoever asks. settle, write_window: seconds of hold-off after
    a write's end and after its begin. size_limit: bytes; None is the store's default.
    """

    url: Any = ""
    ttl: float = 60.0
    negative_ttl: float = 5.0
    tables: tuple[tuple[str, float | None], ...] = ()
    namespace: str = "default"
    scope: str = "auto"
    settle: float = 1.0
    write_window: float = 5.0
    size_limit: int | None = None

    def policy(self, table: str) -> TablePolicy:
        """Return what is done for a table."""
        ttls = dict(self.tables)  # the caller remembers the answer
        ttl = ttls.get(table, ttls.get("*", self.ttl))
        if ttl is None:
            return TablePolicy(enabled=False, ttl=0.0, negative_ttl=0.0)
        return TablePolicy(
            enabled=True, ttl=ttl, negative_ttl=min(ttl, self.negative_ttl)
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
    values: dict[str, Any] = {"url": default_url}
    for given in (
        *_from_file(environ),
        *_from_environment(environ),
        *_from_arguments(arguments),
    ):
        values[given.name] = _parse(given)
    return Settings(**values)


def _from_arguments(arguments: Mapping[str, Any]) -> Iterator[_Given]:
    for name, value in arguments.items():
        _require_known(name, name, _PARSERS, "argument")
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
        _require_known(name, where, _PARSERS, "setting")
        yield _Given(name, value, where)


def _require_known(name: str, where: str, known: Iterable[str], what: str) -> None:
    if name in known:
        return
    spellings = {other.lower(): other for other in known}
    near = get_close_matches(name.lower(), spellings, n=1)
    hint = f"known: {', '.join(known)}"
    if near:
        hint = f"did you mean {spellings[near[0]]!r}?"
    raise ConfigError(f"unknown {what} {where!r}; {hint}")


# --- values ------------------------------------------------------------------------


def _parse(given: _Given) -> Any:
    try:
        return _PARSERS[given.name](given.value)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{given.where}: {error}") from None


def _url(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, Store):
        return value
    raise ValueError(f"expected a URL or a store object, not {value!r}")


def _seconds(least: float) -> Callable[[Any], float]:
    def parse(value: Any) -> float:
        expected = f"expected a number of seconds from {least:g} to {LONGEST:.0f}"
        try:
            seconds = float(value)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"{expected}, not {value!r}") from None
        if isinstance(value, bool) or not least <= seconds <= LONGEST:
            raise ValueError(f"{expected}, not {value!r}")
        return seconds

    return parse


_ttl = _seconds(least=0.001)


def _hold_off(value: Any) -> float:
    seconds = _seconds(least=0.0)(value)
    if seconds > LONGEST_HOLD_OFF:
        raise ValueError(f"expected at most {LONGEST_HOLD_OFF:g} seconds")
    return seconds


def _tables(value: Any) -> tuple[tuple[str, float | None], ...]:
    expected = "expected 'name=seconds,other=off,*=60'"
    if isinstance(value, str):
        ttls: dict[str, str] = {}
        for name, ttl in _table_pairs(value):
            if name in ttls:
                raise ValueError(f"{expected}; {name!r} is named twice")
            ttls[name] = ttl
        value = ttls
    if not isinstance(value, Mapping):
        raise TypeError(f"{expected}, not {value!r}")
    for name in value:
        if not isinstance(name, str) or not name:
            raise TypeError(f"{expected}; {name!r} is no table's name")
    return tuple(
        sorted((table_name(name), _table_ttl(name, ttl)) for name, ttl in value.items())
    )


def _table_pairs(text: str) -> Iterator[tuple[str, str]]:
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, ttl = part.partition("=")
        if not (name.strip() and equals and ttl.strip()):
            raise ValueError(f"expected 'name=seconds,other=off,*=60', not {part!r}")
        yield name.strip(), ttl.strip()


def _table_ttl(name: str, value: Any) -> float | None:
    if value is False or (isinstance(value, str) and value.lower() == "off"):
        return None
    try:
        return _ttl(value)
    except ValueError as error:
        raise ValueError(f"table {name!r}: {error}, or 'off'") from None


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


_SIZE = re.compile(r"([0-9]+)\s*(|K|M|G)(?:i?B)?", re.IGNORECASE | re.ASCII)
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
_LEAST_SIZE = 1024**2


def _size(value: Any) -> int:
    expected = "expected bytes as 268435456 or '256MiB', at least 1 MiB"
    match = _SIZE.fullmatch(str(value).strip())
    if match is None or isinstance(value, bool):
        raise ValueError(f"{expected}, not {value!r}")
    size = int(match[1]) * _UNITS[match[2].upper()]
    if size < _LEAST_SIZE:
        raise ValueError(f"{expected}, not {value!r}")
    return size


_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "url": _url,
    "ttl": _ttl,
    "negative_ttl": _seconds(least=0.0),
    "tables": _tables,
    "namespace": _namespace,
    "scope": _scope,
    "settle": _hold_off,
    "write_window": _hold_off,
    "size_limit": _size,
}
"""Every setting; a test holds it against the fields of Settings."""
