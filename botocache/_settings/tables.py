"""Table policies: how each table is cached, from the setting `tables`. Pure.

A name or a pattern has options. What its options leave out comes from the general
settings, never from another name or pattern. All sources are parsed into one form.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple, TypeAlias, TypedDict

from botocache._dynamodb.plans import CachingMode, Kind
from botocache._dynamodb.values import table_name
from botocache._errors import hint, suggestion
from botocache._settings import values
from botocache.stores.urls import parse_size, shown

_READS = ("GetItem", "BatchGetItem", "Query", "Scan")
READS = frozenset(_READS)
"""The operations that can be cached."""

SCAN_SIZE_LIMIT = 64 * 1024
"""Bytes. One pass over a large table must not push all other entries out."""


class TablePolicy(NamedTuple):
    """How one table is cached.

    ttl: seconds that an entry lives.
    negative_ttl: seconds that "no such item" lives, at most `ttl`; 0 does not cache it.
    operations: those of READS that are cached; the other ones go to DynamoDB.
    index_queries: the mode of a Query of an index.
    scans: the mode of a Scan, also of an index.
    scan_size_limit: bytes; a larger page of a Scan is not filled.
    ttl_unfollowed: seconds that an entry lives unless the table is followed; None if
        that makes no difference.
    stale_if_throttled: seconds after its TTL in which an entry may still answer a read
        that DynamoDB refuses for lack of capacity, or does not answer.
    """

    ttl: float
    negative_ttl: float
    operations: frozenset[str]
    index_queries: CachingMode
    scans: CachingMode
    scan_size_limit: int
    ttl_unfollowed: float | None = None
    stale_if_throttled: float = 0.0


def caching_mode(policy: TablePolicy, operation: str, kind: Kind) -> CachingMode:
    """Return how a read of a table is cached. operation: one of READS."""
    if operation not in policy.operations:
        return CachingMode.OFF
    if kind is Kind.SCAN:
        return policy.scans
    return policy.index_queries if kind is Kind.INDEX_QUERY else CachingMode.COHERENT


def policy_in_mode(policy: TablePolicy, mode: CachingMode) -> TablePolicy:
    """Return a table's policy for reads of this mode.

    No change evicts a `ttl_only` read. So its table counts as unfollowed.
    """
    unfollowed = policy.ttl_unfollowed
    if unfollowed is None or mode is not CachingMode.TTL_ONLY:
        return policy
    return policy._replace(
        ttl=unfollowed,
        negative_ttl=min(policy.negative_ttl, unfollowed),
        ttl_unfollowed=None,
    )


class TableOptions(NamedTuple):
    """The options of one name, as in TablePolicy; None: as in the general settings."""

    ttl: float | None = None
    negative_ttl: float | None = None
    operations: frozenset[str] = READS
    index_queries: CachingMode = CachingMode.COHERENT
    scans: CachingMode = CachingMode.COHERENT
    scan_size_limit: int = SCAN_SIZE_LIMIT
    ttl_unfollowed: float | None = None
    stale_if_throttled: float | None = None

    def __repr__(self) -> str:
        options = (
            f"{name}={value!r}"
            for name, value in self._asdict().items()
            if value != self._field_defaults[name]
        )
        return f"TableOptions({', '.join(options)})"


OFF = TableOptions(operations=frozenset())
"""The options of a table that is not cached."""

Tables: TypeAlias = tuple[tuple[str, TableOptions], ...]
"""Options per name or pattern, sorted by the name; each name stands there once."""


_ModeName: TypeAlias = Literal["coherent", "ttl_only", "off"]


class TableOptionsArgument(TypedDict, total=False):
    """The options of one name, as install() takes them and TOML states them."""

    ttl: float
    negative_ttl: float
    operations: Collection[Literal["GetItem", "BatchGetItem", "Query", "Scan"]]
    index_queries: _ModeName
    scans: _ModeName
    scan_size_limit: int | str
    ttl_unfollowed: float
    stale_if_throttled: float


TablesArgument: TypeAlias = (
    str | Mapping[str, float | Literal["off"] | TableOptionsArgument]
)
"""The setting `tables`, as install() takes it and TOML states it."""


# --- which policy a table has ------------------------------------------------------


def table_policy(  # noqa: PLR0913 - each option has a general setting
    tables: Tables,
    table: str,
    *,
    ttl: float,
    negative_ttl: float,
    ttl_unfollowed: float | None = None,
    stale_if_throttled: float = 0.0,
) -> TablePolicy:
    """Return a table's policy.

    ttl: seconds, for options that have none.
    negative_ttl: seconds, for options that have none.
    ttl_unfollowed: seconds, for options that have none.
    stale_if_throttled: seconds, for options that have none.
    """
    options = _options_for(tables, table)
    ttl = ttl if options.ttl is None else options.ttl
    if options.negative_ttl is not None:
        negative_ttl = options.negative_ttl
    if options.ttl_unfollowed is not None:
        ttl_unfollowed = options.ttl_unfollowed
    if ttl_unfollowed is not None and ttl_unfollowed >= ttl:
        ttl_unfollowed = None  # so that a read of such a table pays nothing for it
    if options.stale_if_throttled is not None:
        stale_if_throttled = options.stale_if_throttled
    return TablePolicy(
        ttl=ttl,
        negative_ttl=min(ttl, negative_ttl),
        operations=options.operations,
        index_queries=options.index_queries,
        scans=options.scans,
        scan_size_limit=options.scan_size_limit,
        ttl_unfollowed=ttl_unfollowed,
        stale_if_throttled=stale_if_throttled,
    )


def longest_ttl(tables: Tables, ttl: float) -> float:
    """Return the longest TTL of all tables, in seconds. ttl: of all other tables."""
    return max([ttl, *(options.ttl or 0.0 for _, options in tables)])


def longest_life(tables: Tables, ttl: float, stale_if_throttled: float) -> float:
    """Return the longest that an entry of any table may be of use, in seconds.

    ttl: of all other tables.
    stale_if_throttled: of all other tables.
    """
    stale = [options.stale_if_throttled or 0.0 for _, options in tables]
    return longest_ttl(tables, ttl) + max([stale_if_throttled, *stale])


def _options_for(tables: Tables, table: str) -> TableOptions:
    matching = [pair for pair in tables if fnmatchcase(table, pair[0])]
    if not matching:
        return TableOptions()
    return min(matching, key=lambda pair: _rank(pair[0]))[1]


def _rank(name: str) -> tuple[bool, int, bool, str]:
    """Return a sort key for the names that match a table: the closest one is least.

    A name without wildcards is closest. Among patterns the one with the most other
    characters is; `*` alone comes last.
    """
    wildcards = name.count("*") + name.count("?")
    return wildcards > 0, wildcards - len(name), name == "*", name


# --- the setting -------------------------------------------------------------------

_EXPECTED_TABLES = "expected 'name=seconds,other=off,*=60'"
_NAME = re.compile(r"[A-Za-z0-9_.*?-]+")


def parse_tables(value: object) -> Tables:
    """Return the options per name, from text or a mapping. Raises ValueError."""
    tables: dict[str, TableOptions] = {}
    for given, options in _pairs(value):
        name = _name(given)
        if name in tables:
            raise ValueError(f"table {name!r} is named twice")
        try:
            tables[name] = parse_options(options)
        except ValueError as error:
            raise ValueError(f"table {name!r}: {error}") from None
    return tuple(sorted(tables.items()))


def _pairs(value: object) -> Iterable[tuple[object, object]]:
    if isinstance(value, str):
        return _pairs_of_text(value)
    if isinstance(value, Mapping):
        return value.items()
    raise ValueError(f"{_EXPECTED_TABLES}, not {shown(value)}")


def _pairs_of_text(text: str) -> Iterator[tuple[str, str]]:
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, options = (piece.strip() for piece in part.partition("="))
        if not (name and equals and options):
            raise ValueError(f"{_EXPECTED_TABLES}, not {shown(part)}")
        yield name, options


def _name(given: object) -> str:
    name = table_name(given) if isinstance(given, str) else ""
    if not _NAME.fullmatch(name):
        raise ValueError(
            "expected a table's name or ARN, which may have '*' and '?' as wildcards, "
            f"not {shown(given)}"
        )
    return name


def parse_streams(value: object) -> tuple[str, ...]:
    """Return the tables whose streams are followed. Raises ValueError.

    value: names or ARNs, as text with commas in between, or as a list.
    """
    expected = "expected names or ARNs of tables, with commas in between"
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)):
        raise ValueError(f"{expected}, not {shown(value)}")  # noqa: TRY004 - as all parsers
    found: list[str] = []
    for part in parts:
        table = part.strip() if isinstance(part, str) else part
        if table == "":
            continue
        if not isinstance(table, str) or not _PLAIN_NAME.fullmatch(table_name(table)):
            raise ValueError(f"{expected}, and without wildcards, not {shown(part)}")
        found.append(table)
    return tuple(dict.fromkeys(found))


_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]+")


# --- the options of one name -------------------------------------------------------


def parse_options(value: object) -> TableOptions:
    """Return the options of one name: seconds, `off` or a mapping. Raises ValueError.

    Text as in `name=seconds` has room for seconds or `off`, so only TOML and install()
    can give a mapping.
    """
    if isinstance(value, Mapping):
        return _options_of_mapping(value)
    if isinstance(value, str) and value.lower() == "off":
        return OFF
    try:
        return TableOptions(ttl=values.ttl(value))
    except ValueError as error:
        expected = str(error).partition(", not ")[0]
        raise ValueError(
            f"{expected}, 'off', or options as a table of TOML or a mapping, "
            f"not {shown(value)}{suggestion(value, ['off'])}"
        ) from None


def _options_of_mapping(mapping: Mapping[Any, object]) -> TableOptions:
    options: dict[str, Any] = {}
    for option, given in mapping.items():
        if option not in _OPTIONS:
            raise ValueError(f"unknown option {shown(option)}{hint(option, _OPTIONS)}")
        try:
            options[option] = _OPTIONS[option](given)
        except ValueError as error:
            raise ValueError(f"{option}: {error}") from None
    made = TableOptions(**options)
    for option, operation in (("index_queries", "Query"), ("scans", "Scan")):
        mode = options.get(option, CachingMode.OFF)
        if mode is not CachingMode.OFF and operation not in made.operations:
            raise ValueError(
                f"{option} is {mode.value!r}, but operations lack {operation!r}; add "
                f"it, or leave {option} out"
            )
    return made


def _operations(value: object) -> frozenset[str]:
    expected = f"expected a list of some of {', '.join(_READS)}"
    if not isinstance(value, (list, tuple, set, frozenset)) or not value:
        raise ValueError(f"{expected}, not {shown(value)}")
    for name in value:
        if name not in _READS:
            raise ValueError(f"{expected}, not {shown(name)}{suggestion(name, _READS)}")
    return frozenset(value)


_mode_name = values.choice(*(mode.value for mode in CachingMode))


def _mode(value: object) -> CachingMode:
    return CachingMode(_mode_name(value))


_OPTIONS: Mapping[str, Callable[[object], object]] = {
    "ttl": values.ttl,
    "negative_ttl": values.negative_ttl,
    "operations": _operations,
    "index_queries": _mode,
    "scans": _mode,
    "scan_size_limit": parse_size,
    "ttl_unfollowed": values.ttl_unfollowed,
    "stale_if_throttled": values.stale_if_throttled,
}
"""Each option; a test holds it against the fields of TablePolicy and TableOptions."""
