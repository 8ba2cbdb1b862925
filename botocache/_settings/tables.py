"""Table policies: what is done for each table, from the setting `tables`. Pure.

A policy is stated for a name or a pattern, by options. What it does not state comes
from the general settings, never from another policy. Every source is parsed into the
same form, so that settings which mean the same are equal.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, TypeAlias

from botocache._dynamodb.values import table_name
from botocache._errors import hint, suggestion
from botocache._settings import values

_READS = ("GetItem", "BatchGetItem", "Query", "Scan")
READS = frozenset(_READS)
"""The operations that can be cached."""

KEEPING = ("coherent", "ttl", "off")
"""How long answers are kept: until a write may have changed them, until the TTL
whatever is written (a whole-table eviction still evicts), not at all."""


class TablePolicy(NamedTuple):
    """What is done for one table.

    ttl, negative_ttl: seconds; a negative_ttl of 0 keeps none; it is never above ttl.
    operations: those of READS that are cached. index_queries, scans: one of KEEPING.
    scans is `off` if and only if operations lack Scan; index_queries is `off` if they
    lack Query. A Scan of an index is a scan.
    """

    enabled: bool
    ttl: float
    negative_ttl: float
    operations: frozenset[str]
    index_queries: str
    scans: str


OFF = TablePolicy(
    enabled=False,
    ttl=0.0,
    negative_ttl=0.0,
    operations=frozenset(),
    index_queries="off",
    scans="off",
)
"""The policy of a table that is not cached."""


def keeping_of(policy: TablePolicy, operation: str, kind: str) -> str:
    """Return how long answers are kept: one of KEEPING.

    operation: one of READS. kind: "item", "query", "index query" or "scan".
    """
    if not policy.enabled or operation not in policy.operations:
        return "off"
    if kind == "scan":
        return policy.scans
    return policy.index_queries if kind == "index query" else "coherent"


class TableOptions(NamedTuple):
    """What is stated for a name. ttl, negative_ttl: None leaves them to the settings.

    Its str() is the text that states it.
    """

    enabled: bool = True
    ttl: float | None = None
    negative_ttl: float | None = None
    operations: frozenset[str] = READS
    index_queries: str = "coherent"
    scans: str = "coherent"

    def __str__(self) -> str:
        return " ".join(_spelled(self))

    def __repr__(self) -> str:
        return f"TableOptions({str(self)!r})"


Tables: TypeAlias = tuple[tuple[str, TableOptions], ...]
"""Options per name or pattern, sorted by it; no name is there twice."""


# --- which policy a table has ------------------------------------------------------


def table_policy(
    tables: Tables, table: str, *, ttl: float, negative_ttl: float
) -> TablePolicy:
    """Return a table's policy. ttl, negative_ttl: what options that state none get."""
    options = _options_for(tables, table)
    if not options.enabled:
        return OFF
    ttl = ttl if options.ttl is None else options.ttl
    if options.negative_ttl is not None:
        negative_ttl = options.negative_ttl
    return TablePolicy(
        enabled=True,
        ttl=ttl,
        negative_ttl=min(ttl, negative_ttl),
        operations=options.operations,
        index_queries=options.index_queries,
        scans=options.scans,
    )


def longest_ttl(tables: Tables, ttl: float) -> float:
    """Return the longest TTL that any table has. ttl: where none is stated."""
    return max([ttl, *(options.ttl or 0.0 for _, options in tables)])


def _options_for(tables: Tables, table: str) -> TableOptions:
    matching = [pair for pair in tables if fnmatchcase(table, pair[0])]
    if not matching:
        return TableOptions()
    return min(matching, key=lambda pair: _rank(pair[0]))[1]


def _rank(name: str) -> tuple[bool, int, bool, str]:
    """Return what sorts the names that match a table; the first one has the say."""
    wildcards = name.count("*") + name.count("?")
    return wildcards > 0, wildcards - len(name), name == "*", name


# --- the setting -------------------------------------------------------------------

_EXPECTED_TABLES = "expected 'name=seconds,other=off,*=60'"
_NAME = re.compile(r"[A-Za-z0-9_.*?-]+")


def parse_tables(value: Any) -> Tables:
    """Return the options per name that text or a mapping states. Raises ValueError."""
    tables: dict[str, TableOptions] = {}
    for given, policy in _pairs(value):
        name = _name(given)
        if name in tables:
            raise ValueError(f"table {name!r} is named twice")
        try:
            tables[name] = parse_options(policy)
        except ValueError as error:
            raise ValueError(f"table {name!r}: {error}") from None
    return tuple(sorted(tables.items()))


def _pairs(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, str):
        return _pairs_of_text(value)
    if isinstance(value, Mapping):
        return value.items()
    raise ValueError(f"{_EXPECTED_TABLES}, not {value!r}")


def _pairs_of_text(text: str) -> Iterator[tuple[str, str]]:
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, policy = (piece.strip() for piece in part.partition("="))
        if not (name and equals and policy):
            raise ValueError(f"{_EXPECTED_TABLES}, not {part!r}")
        yield name, policy


def _name(given: Any) -> str:
    name = table_name(given) if isinstance(given, str) else ""
    if not _NAME.fullmatch(name):
        raise ValueError(
            "expected a table's name or ARN, which may have '*' and '?' as wildcards, "
            f"not {given!r}"
        )
    return name


# --- one policy --------------------------------------------------------------------

_EXPECTED_OPTIONS = f"{values.EXPECTED_TTL}, 'on', 'off' or options"


def parse_options(value: Any) -> TableOptions:
    """Return the options that a policy states in any form. Raises ValueError.

    value: seconds, a truth value, text of one or more words, or a mapping of options.
    """
    options: dict[str, Any] = {}
    for option, given in _stated(value):
        if option not in _OPTIONS:
            raise ValueError(f"unknown option {option!r}{hint(option, _OPTIONS)}")
        if option in options:
            raise ValueError(f"{option} is stated twice")
        try:
            options[option] = _OPTIONS[option](given)
        except ValueError as error:
            raise ValueError(f"{option}: {error}") from None
    _refuse_contradictions(options)
    return _completed(TableOptions(**options))


def _stated(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return value.items()
    if isinstance(value, str):
        return map(_word, value.split() or [value])
    return [_bare(value)]


def _word(word: str) -> tuple[str, Any]:
    option, colon, value = word.partition(":")
    return (option, value) if colon else _bare(word)


_ALONE = ("on", "off", "true", "false")


def _bare(value: Any) -> tuple[str, Any]:
    """Return the option that is stated by its value alone, and the value."""
    if isinstance(value, (bool, str)) and str(value).lower() in _ALONE:
        return "enabled", value
    try:
        return "ttl", values.ttl(value)
    except ValueError:
        near = suggestion(value, (*_ALONE, *_OPTIONS))
        raise ValueError(f"{_EXPECTED_OPTIONS}, not {value!r}{near}") from None


def _operations(value: Any) -> frozenset[str]:
    names = value.split("+") if isinstance(value, str) else value
    expected = f"expected some of {', '.join(_READS)}, once each"
    if not isinstance(names, (list, tuple, set, frozenset)) or not names:
        raise ValueError(f"{expected}, not {value!r}")
    for name in names:
        if name not in _READS:
            raise ValueError(f"{expected}, not {name!r}{suggestion(name, _READS)}")
    if len(set(names)) < len(names):
        raise ValueError(f"{expected}, not {value!r}")
    return frozenset(names)


_OPTIONS: Mapping[str, Callable[[Any], Any]] = {
    "enabled": values.switch,
    "ttl": values.ttl,
    "negative_ttl": values.negative_ttl,
    "operations": _operations,
    "index_queries": values.choice(*KEEPING),
    "scans": values.choice(*KEEPING),
}
"""Every option; a test holds it against the fields of TablePolicy and TableOptions."""


def _refuse_contradictions(options: Mapping[str, Any]) -> None:
    others = [option for option in options if option != "enabled"]
    if not options.get("enabled", True) and others:
        raise ValueError(f"it is off, but states {', '.join(others)}")
    if "operations" not in options:
        return
    for option, operation in (("index_queries", "Query"), ("scans", "Scan")):
        is_kept = options.get(option, "off") != "off"
        if is_kept and operation not in options["operations"]:
            raise ValueError(f"it states {option}, but operations lack {operation}")
    if options.get("scans") == "off" and "Scan" in options["operations"]:
        raise ValueError("scans are off, but operations have Scan")


def _completed(options: TableOptions) -> TableOptions:
    """Return options of which operations, index_queries and scans say the same."""
    operations = options.operations
    if options.scans == "off":
        operations -= {"Scan"}
    return options._replace(
        operations=operations,
        index_queries=options.index_queries if "Query" in operations else "off",
        scans=options.scans if "Scan" in operations else "off",
    )


def _spelled(options: TableOptions) -> Iterator[str]:
    """Yield the words that state the options: no more than it takes."""
    if not options.enabled:
        yield "off"
        return
    yield "on" if options.ttl is None else _number(options.ttl)
    if options.negative_ttl is not None:
        yield f"negative_ttl:{_number(options.negative_ttl)}"
    if options.operations != READS:
        kept = (operation for operation in _READS if operation in options.operations)
        yield f"operations:{'+'.join(kept)}"
    if options.index_queries != "coherent" and "Query" in options.operations:
        yield f"index_queries:{options.index_queries}"
    if options.scans != "coherent" and "Scan" in options.operations:
        yield f"scans:{options.scans}"


def _number(seconds: float) -> str:
    return repr(seconds).removesuffix(".0")
