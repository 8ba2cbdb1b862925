"""Settings: one frozen object, from arguments, environment and a TOML file.

An argument wins over a `BOTOCACHE_*` variable, a variable over the TOML file that
`BOTOCACHE_CONFIG` names, and the file over the default. All three sources spell a
setting in the same way. A wrong value is a ConfigError, and so is an unknown name in
the file. Its message names the source, the expected value, and the nearest valid name.
An unknown variable is a warning: while a newer version is rolled out, processes of the
older one have its variables, too. No source is ignored silently, but for a variable
that is empty: compose files and templates write one for what is not set.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from botocache._coherence import LONGEST_HOLD_OFF
from botocache._errors import ConfigError, hint, shows
from botocache._log import log
from botocache._settings import values
from botocache._settings.encryption_keys import EncryptionKeys, parse_encryption_keys
from botocache._settings.prices import DEFAULT_PRICES, Prices, parse_prices
from botocache._settings.tables import (
    TablePolicy,
    Tables,
    longest_life,
    parse_streams,
    parse_tables,
    table_policy,
)
from botocache.stores.options import RedisClient, StoreOptions, is_client
from botocache.stores.protocol import Store
from botocache.stores.urls import shown, without_secrets

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PREFIX = "BOTOCACHE_"

_LONGEST_INTERVAL = 3600.0

_LONGEST_TIMEOUT = 10.0
"""Seconds. botocore itself waits a minute for DynamoDB."""

StoreLocation: TypeAlias = str | Store | RedisClient
"""Where the cache is: a URL, a store object, or a redis-py client."""


@dataclass(frozen=True, repr=False)
class Settings:
    """What an installation was configured with.

    url: the store, as a URL; or a store object, or a redis-py client.
    ttl: seconds that an entry lives.
    negative_ttl: seconds that "no such item" lives; 0 does not cache it.
    tables: options per table or pattern; see tables.py.
    scope: `auto`, or a name: then all callers with that name share entries.
    timeout: seconds that a store across the network may delay a call.
    stale_if_throttled: seconds after its TTL in which an entry may still answer a read
        that DynamoDB refuses for lack of capacity, or does not answer; 0 for never.
    namespace: keeps applications that share a store apart.
    settle: seconds of hold-off after the end of a write.
    write_hold_off: seconds of hold-off after the beginning of a write.
    reads_after_write: what happens to an eventually consistent read of a base table
        within `settle` seconds of a write: it is sent strongly consistent and filled
        (`consistent`), or sent as it is and not filled (`uncached`).
    on_eviction_failure: `send` or `refuse` a write whose eviction failed.
    client_tracking: a Redis server announces the writes of other processes.
    precise_index_eviction: ask DynamoDB for the old item of a write, and evict only the
        index queries that the old or the new item belongs to.
    streams: names or ARNs of tables whose streams this process follows.
    ttl_unfollowed: seconds that an entry lives unless its table is followed; None for
        `ttl`.
    miss_leases: of all processes that miss an entry, one asks DynamoDB.
    near: `on`, `off`, or `untraced`, which also skips wrappers of botocore's method.
    fast_parsing: parse DynamoDB's answers in C, in place of botocore's parser.
    coalesce: of reads that miss the same entry at the same time, send one; the others
        wait for its answer, for a quarter of a second at most.
    encryption_keys: under which entries are encrypted and named; None for clear ones.
    shadow: serve nothing; fill and evict, and compare each hit with DynamoDB's answer.
    audit: the share of hits that are compared with DynamoDB's answer instead of served.
    metrics: where the counters are exported to: `otel`, `prometheus`, `cloudwatch`.
    stats_interval: seconds between two times that a process posts its counters on the
        store, for `botocache stats` and `botocache report`; 0 for never.
    prices: of read units, with their region and date, for `botocache report`.
    """

    url: StoreLocation = ""
    ttl: float = 60.0
    negative_ttl: float = 5.0
    tables: Tables = ()
    scope: str = "auto"
    timeout: float = 0.02
    stale_if_throttled: float = 0.0
    namespace: str = "default"
    settle: float = 1.0
    write_hold_off: float = 5.0
    reads_after_write: str = "consistent"
    on_eviction_failure: str = "send"
    client_tracking: bool = False
    precise_index_eviction: bool = False
    streams: tuple[str, ...] = ()
    ttl_unfollowed: float | None = None
    miss_leases: bool = False
    near: str = "on"
    fast_parsing: bool = True
    coalesce: bool = True
    encryption_keys: EncryptionKeys | None = None
    shadow: bool = False
    audit: float = 0.0
    metrics: tuple[str, ...] = ()
    stats_interval: float = 10.0
    prices: Prices = DEFAULT_PRICES

    def __repr__(self) -> str:
        shown = {field.name: getattr(self, field.name) for field in fields(self)}
        shown["url"] = without_secrets(self.url)
        return f"Settings({', '.join(f'{n}={v!r}' for n, v in shown.items())})"

    def policy(self, table: str) -> TablePolicy:
        """Return how a table is cached; callers remember it."""
        return table_policy(
            self.tables,
            table,
            ttl=self.ttl,
            negative_ttl=self.negative_ttl,
            ttl_unfollowed=self.ttl_unfollowed,
            stale_if_throttled=self.stale_if_throttled,
        )

    def store_options(self, environ: Mapping[str, str]) -> StoreOptions:
        """Return what the store that `url` names is opened with.

        environ: of the process. `url` must not be a store object.
        """
        keys = self.encryption_keys
        url, client = (self.url, None) if isinstance(self.url, str) else ("", self.url)
        return StoreOptions(
            url=url,
            namespace=self.namespace,
            environ=environ,
            timeout=self.timeout,
            settle=self.settle,
            longest_ttl=longest_life(self.tables, self.ttl, self.stale_if_throttled),
            client=client if is_client(client) else None,
            client_tracking=self.client_tracking,
            is_encrypted=keys is not None and keys.may_encrypt,
        )


# --- sources -----------------------------------------------------------------------


@shows("name", "where")
class _Given(NamedTuple):
    """A setting as one source has it.

    name: of the setting.
    value: not yet parsed.
    where: the source's own name for the setting, for messages.
    """

    name: str
    value: object
    where: str


def load_settings(
    arguments: Mapping[str, object], environ: Mapping[str, str], default_url: str
) -> Settings:
    """Return the settings of all sources together. Raises ConfigError.

    arguments: by the setting's name; None is not given.
    environ: of the process.
    default_url: of the store.
    """
    found: dict[str, Any] = {"url": default_url}
    # The source that wins comes last.
    sources = (
        *_from_file(environ),
        *_from_environment(environ),
        *(_Given(n, v, n) for n, v in arguments.items() if v is not None),
    )
    _warn_of_unknown(environ)
    # Each value is parsed, so that a wrong one is an error even if another source wins.
    for given in sources:
        found[given.name] = _parsed(given)
    return Settings(**found)


class TracedSettings(NamedTuple):
    """What `load_settings` would return, each value with its source.

    settings: of the values that can be read; a wrong one leaves the next source's.
    sources: by the setting's name, as messages name the source; defaults have none.
    troubles: messages of the ConfigErrors that `load_settings` would raise one by one.
    unknown: variables with the prefix and no such setting, each with a hint.
    """

    settings: Settings
    sources: Mapping[str, str]
    troubles: tuple[str, ...]
    unknown: Mapping[str, str]


def trace_settings(environ: Mapping[str, str], default_url: str) -> TracedSettings:
    """Return the settings of file and environment with their sources. Never raises.

    environ: of the process.
    default_url: of the store.
    """
    found: dict[str, Any] = {"url": default_url}
    sources: dict[str, str] = {}
    troubles: list[str] = []
    for source in (_from_file, _from_environment):
        try:
            given_here = [*source(environ)]
        except ConfigError as error:
            troubles.append(str(error))
            continue
        for given in given_here:
            try:
                found[given.name] = _parsed(given)
                sources[given.name] = given.where
            except ConfigError as error:  # noqa: PERF203 - each value may be wrong
                troubles.append(str(error))
    unknown = dict(_unknown_variables(environ))
    return TracedSettings(Settings(**found), sources, tuple(troubles), unknown)


def variable_names() -> tuple[str, ...]:
    """Return the variable of each setting, and that of the file."""
    return (*(PREFIX + name.upper() for name in _PARSERS), CONFIG)


def _parsed(given: _Given) -> object:
    parse = _PARSERS.get(given.name)
    if parse is None:
        near = _hint(given.name, _PARSERS)
        raise ConfigError(f"unknown setting {given.where!r}{near}")
    try:
        return parse(given.value)
    except ValueError as error:
        raise ConfigError(f"{given.where}: {error}") from None


# Kubernetes sets these in every pod of a namespace that has a service of such a name.
_SERVICE_LINK = re.compile(
    PREFIX + r"(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT\w*|PORT|PORT_[0-9]+_\w+)"
)
CONFIG = PREFIX + "CONFIG"


_RENAMED = {
    "follow": "client_tracking",
    "old_images": "precise_index_eviction",
    "settle_reads": "reads_after_write",
    "store": "url",
    "unevicted_writes": "on_eviction_failure",
    "write_window": "write_hold_off",
}
"""Settings by their names in earlier versions."""

_warned: set[str] = set()
"""The unknown variables that the log names already; there is one line for each."""


_TOGGLE = PREFIX.removesuffix("_")
"""The variable that installs the cache without code; plugin.py reads it, too."""

_KEYS = PREFIX + "ENCRYPTION_KEYS"
"""Not to be empty: a secret that a deployment failed to fill in would mean in clear."""


def _from_environment(environ: Mapping[str, str]) -> Iterator[_Given]:
    for name in _PARSERS:
        variable = PREFIX + name.upper()
        value = environ.get(variable)
        if value is not None and (value.strip() or variable == _KEYS):
            yield _Given(name, value, variable)
    # After BOTOCACHE_SHADOW: of two that contradict each other, the harmless one. Here,
    # and not as an argument of the start-up, so that it holds for `install()` as well.
    if environ.get(_TOGGLE, "").strip().lower() == "shadow":
        yield _Given("shadow", "on", _TOGGLE)


def _unknown_variables(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each variable that names no setting, with the end of its message."""
    known = variable_names()
    for variable, value in environ.items():
        if not variable.startswith(PREFIX) or _SERVICE_LINK.fullmatch(variable):
            continue
        if variable not in known and value.strip():
            former = variable.removeprefix(PREFIX).lower()
            yield variable, _hint(former, (*_PARSERS, "config"), PREFIX, str.upper)


def _warn_of_unknown(environ: Mapping[str, str]) -> None:
    for variable, near in _unknown_variables(environ):
        if variable not in _warned:
            _warned.add(variable)
            log.warning("variable %r is unknown and ignored%s", variable, near)


def _from_file(environ: Mapping[str, str]) -> Iterator[_Given]:
    path = environ.get(CONFIG, "")
    if not path.strip():
        return
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"{CONFIG} names {path!r}, which cannot be read as TOML: {error}"
        ) from error
    for name, value in content.items():
        where = f"{name if name.isidentifier() else shown(name)} in {path}"
        yield _Given(name, value, where)


def _hint(
    name: str,
    known: Iterable[str],
    prefix: str = "",
    spelling: Callable[[str], str] = str,
) -> str:
    """Return the end of a message about an unknown name.

    name: of a setting.
    known: the names of settings.
    prefix: of all names in the source.
    spelling: returns a setting's name as the source writes it, without the prefix.
    """
    now = _RENAMED.get(name)
    if now is not None:
        return f"; it is {prefix + spelling(now)!r} now"
    names = [prefix + spelling(each) for each in known]
    return hint(prefix + spelling(name), names)


# --- values ------------------------------------------------------------------------


def _url(value: object) -> StoreLocation:
    if isinstance(value, str):
        return value.strip()  # a variable from a file may end with a line break
    if is_client(value):
        return value
    # A class has the methods of its instances, so it looks like a Store as well.
    if isinstance(value, Store) and not isinstance(value, type):
        return value
    what, kind = ("the class", value) if isinstance(value, type) else ("a", type(value))
    raise ValueError(
        "expected a URL as 'redis://host:6379/0' (install() also takes a store object, "
        "a redis.Redis or a redis.RedisCluster), not "
        f"{what} {kind.__module__}.{kind.__qualname__}"
    )


def _near(value: object) -> str:
    if isinstance(value, str) and value.lower() == "untraced":
        return "untraced"
    try:
        return "on" if values.switch(value) else "off"
    except ValueError:
        raise ValueError(
            f"expected 'on', 'off' or 'untraced', not {shown(value)}"
        ) from None


_NAMESPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def _namespace(value: object) -> str:
    if not isinstance(value, str) or not _NAMESPACE.fullmatch(value):
        raise ValueError(
            "expected 1 to 64 letters, digits, '.', '_' or '-', not starting with a "
            f"sign, not {shown(value)}"
        )
    return value


def _scope(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"expected 'auto' or a name, not {shown(value)}")
    return value


_PARSERS: Mapping[str, Callable[[object], object]] = {
    "url": _url,
    "ttl": values.ttl,
    "negative_ttl": values.negative_ttl,
    "tables": parse_tables,
    "scope": _scope,
    "timeout": values.seconds(0.001, _LONGEST_TIMEOUT),
    "stale_if_throttled": values.stale_if_throttled,
    "namespace": _namespace,
    "settle": values.seconds(0.0, LONGEST_HOLD_OFF),
    "write_hold_off": values.seconds(0.0, LONGEST_HOLD_OFF),
    "reads_after_write": values.choice("consistent", "uncached"),
    "on_eviction_failure": values.choice("send", "refuse"),
    "client_tracking": values.switch,
    "precise_index_eviction": values.switch,
    "streams": parse_streams,
    "ttl_unfollowed": values.ttl_unfollowed,
    "miss_leases": values.switch,
    "near": _near,
    "fast_parsing": values.switch,
    "coalesce": values.switch,
    "encryption_keys": parse_encryption_keys,
    "shadow": values.switch,
    "audit": values.share,
    "metrics": values.words("otel", "prometheus", "cloudwatch"),
    "stats_interval": values.seconds(0.0, _LONGEST_INTERVAL),
    "prices": parse_prices,
}
"""Each setting; a test holds it against the fields of Settings."""
