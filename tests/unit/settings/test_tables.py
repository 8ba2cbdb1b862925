"""Table policies: every source means the same, and the closest name wins."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from botocache._dynamodb.plans import CachingMode, Kind
from botocache._settings.load import load_settings
from botocache._settings.tables import (
    _OPTIONS,
    OFF,
    READS,
    TableOptions,
    TablePolicy,
    caching_mode,
    parse_options,
    parse_tables,
    policy_in_mode,
    table_policy,
)

LONGEST = 30 * 24 * 3600.0
"""Seconds of the longest TTL."""

ON = TableOptions()
TTL_ONLY, NEVER = CachingMode.TTL_ONLY, CachingMode.OFF
GETS = frozenset({"GetItem", "BatchGetItem"})
QUERIES = frozenset({"Query"})


def policy(tables: Any, table: str = "users") -> TablePolicy:
    """Return the policy of a table, with the defaults of the other settings."""
    return table_policy(parse_tables(tables), table, ttl=60.0, negative_ttl=5.0)


def message(tables: Any) -> str:
    """Return what is said of a bad setting."""
    with pytest.raises(ValueError, match=r"\w") as raised:
        parse_tables(tables)
    return str(raised.value)


def test_every_option_has_a_parser_and_its_place_in_a_policy() -> None:
    assert tuple(_OPTIONS) == TableOptions._fields == TablePolicy._fields


# --- the options of one name -------------------------------------------------------

GOOD: list[tuple[Any, TableOptions]] = [
    ("off", OFF),
    ("OFF", OFF),
    (300, TableOptions(ttl=300.0)),
    ("300", TableOptions(ttl=300.0)),
    (0.5, TableOptions(ttl=0.5)),
    (" 3e2 ", TableOptions(ttl=300.0)),
    ({}, ON),
    ({"ttl": "0.5", "negative_ttl": 400}, TableOptions(ttl=0.5, negative_ttl=400.0)),
    ({"negative_ttl": 0}, TableOptions(negative_ttl=0.0)),
    (
        {"index_queries": "ttl_only", "scans": "Off"},
        TableOptions(index_queries=TTL_ONLY, scans=NEVER),
    ),
    ({"index_queries": "coherent", "scans": "coherent"}, ON),
    ({"operations": ["Scan", "Query", "GetItem", "BatchGetItem"]}, ON),
    ({"operations": ("GetItem", "BatchGetItem")}, TableOptions(operations=GETS)),
    ({"operations": {"Query"}}, TableOptions(operations=QUERIES)),
    (
        {"operations": frozenset({"Query"}), "index_queries": "ttl_only"},
        TableOptions(operations=QUERIES, index_queries=TTL_ONLY),
    ),
    (
        {"operations": ["Query"], "index_queries": "off", "scans": "off"},
        TableOptions(operations=QUERIES, index_queries=NEVER, scans=NEVER),
    ),
    ({"scan_size_limit": "1 MiB"}, TableOptions(scan_size_limit=1024**2)),
    ({"scan_size_limit": 0}, TableOptions(scan_size_limit=0)),
]


@pytest.mark.parametrize(("value", "options"), GOOD)
def test_a_name_has_seconds_off_or_options(value: Any, options: TableOptions) -> None:
    assert parse_options(value) == options


def test_options_show_what_is_not_as_usual() -> None:
    assert repr(ON) == "TableOptions()"
    assert repr(OFF) == "TableOptions(operations=frozenset())"
    assert repr(TableOptions(ttl=7.0)) == "TableOptions(ttl=7.0)"


TTL = "expected a number of seconds from 0.001 to 2592000"
POLICY = f"{TTL}, 'off', or options as a table of TOML or a mapping"
NEGATIVE_TTL = "expected a number of seconds from 0 to 2592000"
OPERATIONS = "expected a list of some of GetItem, BatchGetItem, Query, Scan"
MODE = "expected 'coherent' or 'ttl_only' or 'off'"

BAD: list[tuple[Any, str]] = [
    # neither seconds nor off nor options
    (None, f"{POLICY}, not None"),
    ("", f"{POLICY}, not ''"),
    (0, f"{POLICY}, not 0"),
    ("0", f"{POLICY}, not '0'"),
    (-1, f"{POLICY}, not -1"),
    ("nan", f"{POLICY}, not 'nan'"),
    (LONGEST + 1, f"{POLICY}, not 2592001.0"),
    (True, f"{POLICY}, not True"),
    (False, f"{POLICY}, not False"),
    ([], f"{POLICY}, not []"),
    (["off"], f"{POLICY}, not ['off']"),
    ("never", f"{POLICY}, not 'never'"),
    ("on", f"{POLICY}, not 'on'"),
    ("of", f"{POLICY}, not 'of'; did you mean 'off'?"),
    ("300 scans:off", f"{POLICY}, not '300 scans:off'"),
    # names of options
    ({"negativ_ttl": 5}, "unknown option 'negativ_ttl'; did you mean 'negative_ttl'?"),
    ({"TTL": 5}, "unknown option 'TTL'; did you mean 'ttl'?"),
    (
        {"xyzzy": 5},
        "unknown option 'xyzzy'; known: ttl, negative_ttl, operations, index_queries, "
        "scans, scan_size_limit, ttl_unfollowed",
    ),
    ({5: 5}, "unknown option 5; known: ttl"),
    ({"enabled": False}, "unknown option 'enabled'; known: ttl"),
    # values of options
    ({"ttl": "0"}, f"ttl: {TTL}, not '0'"),
    ({"ttl": ""}, f"ttl: {TTL}, not ''"),
    ({"ttl": False}, f"ttl: {TTL}, not False"),
    ({"ttl": 10**400}, f"ttl: {TTL}, not 1000"),
    ({"negative_ttl": -1}, f"negative_ttl: {NEGATIVE_TTL}, not -1"),
    (
        {"stale_if_throttled": "on"},
        f"stale_if_throttled: {NEGATIVE_TTL}, not 'on'",
    ),
    ({"negative_ttl": {}}, f"negative_ttl: {NEGATIVE_TTL}, not {{}}"),
    ({"scans": "of"}, f"scans: {MODE}, not 'of'; did you mean 'off'?"),
    ({"scans": False}, f"scans: {MODE}, not False"),
    ({"index_queries": "never"}, f"index_queries: {MODE}, not 'never'"),
    ({"index_queries": "ttl"}, f"index_queries: {MODE}, not 'ttl'"),
    ({"operations": "Query"}, f"operations: {OPERATIONS}, not 'Query'"),
    ({"operations": []}, f"operations: {OPERATIONS}, not []"),
    ({"operations": {"GetItem": True}}, f"operations: {OPERATIONS}, not {{'GetItem'"),
    ({"operations": None}, f"operations: {OPERATIONS}, not None"),
    ({"operations": [5]}, f"operations: {OPERATIONS}, not 5"),
    ({"operations": [[]]}, f"operations: {OPERATIONS}, not []"),
    (
        {"operations": ["GetItems"]},
        f"operations: {OPERATIONS}, not 'GetItems'; did you mean 'GetItem'?",
    ),
    ({"operations": ["PutItem"]}, f"operations: {OPERATIONS}, not 'PutItem'"),
    ({"scan_size_limit": "5T"}, "scan_size_limit: expected bytes as 65536 or '64KiB'"),
    ({"scan_size_limit": True}, "scan_size_limit: expected bytes as 65536 or '64KiB'"),
    # options that contradict each other
    (
        {"operations": ["Query"], "scans": "ttl_only"},
        "scans is 'ttl_only', but operations lack 'Scan'; add it, or leave scans out",
    ),
    (
        {"operations": ["GetItem", "Scan"], "index_queries": "coherent"},
        "index_queries is 'coherent', but operations lack 'Query'; add it, or leave",
    ),
]


@pytest.mark.parametrize(("value", "said"), BAD, ids=lambda value: ascii(value)[:30])
def test_bad_options_are_refused_with_their_name_and_what_was_expected(
    value: Any, said: str
) -> None:
    found = message({"good": 5, "bad-*": value})
    assert found.startswith(f"table 'bad-*': {said}")
    assert "\n" not in found


# --- how a read is cached ----------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "items", "queries", "index_queries", "scans"),
    [
        ({}, "coherent", "coherent", "coherent", "coherent"),
        ("off", "off", "off", "off", "off"),
        ({"operations": ["Query"]}, "off", "coherent", "coherent", "off"),
        ({"operations": ["GetItem"]}, "coherent", "off", "off", "off"),
        ({"index_queries": "ttl_only"}, "coherent", "coherent", "ttl_only", "coherent"),
        ({"index_queries": "off"}, "coherent", "coherent", "off", "coherent"),
        ({"scans": "ttl_only"}, "coherent", "coherent", "coherent", "ttl_only"),
        ({"scans": "off"}, "coherent", "coherent", "coherent", "off"),
        # the narrower one counts
        (
            {"operations": ["Query", "Scan"], "scans": "off"},
            "off",
            "coherent",
            "coherent",
            "off",
        ),
    ],
)
def test_a_read_is_cached_as_its_operation_and_its_kind_say(
    value: Any, items: str, queries: str, index_queries: str, scans: str
) -> None:
    found = policy({"users": value})
    modes = [
        caching_mode(found, operation, kind).value
        for operation, kind in (
            ("GetItem", Kind.ITEM),
            ("Query", Kind.QUERY),
            ("Query", Kind.INDEX_QUERY),
            ("Scan", Kind.SCAN),
        )
    ]
    assert modes == [items, queries, index_queries, scans]


# --- names -------------------------------------------------------------------------

ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        (" , ,", []),
        ("users=300,", ["users"]),
        (" users = 0.5 , b=off ", ["b", "users"]),
        ("my.table-1_X=1", ["my.table-1_X"]),
        (f"{ARN}users=1", ["users"]),
        (f"{ARN}users/index/by-date=1", ["users"]),
        (f"{ARN}logs-*=1,arn:aws:dynamodb:*:*:table/a?=1", ["a?", "logs-*"]),
        ("b=1,*=1,a=1,?=1", ["*", "?", "a", "b"]),
    ],
)
def test_names_are_of_tables_or_arns_or_patterns_in_one_order(
    text: str, names: list[str]
) -> None:
    assert [name for name, _ in parse_tables(text)] == names


NAME = "expected a table's name or ARN, which may have '*' and '?' as wildcards, not "
PAIRS = "expected 'name=seconds,other=off,*=60', not "

BAD_TABLES = [
    *((value, f"{PAIRS}{value!r}") for value in (None, 5, True, [], [("a", 60)], b"a")),
    *((text, f"{PAIRS}{text!r}") for text in ("users", "=60", "users=", "users:60")),
    ("a=1;b", f"table 'a': {POLICY}, not '1;b'"),
    *(
        ({name: 60}, f"{NAME}{name!r}")
        for name in ("", " a", "a b", "a[bc]", "[!a]", "a/b", "ü", "a\n", 5, None)
    ),
    ({"arn:aws:dynamodb": 60}, f"{NAME}'arn:aws:dynamodb'"),
    ({ARN: 60}, f"{NAME}'{ARN}'"),
    ("users=5,users=off", "table 'users' is named twice"),
    ("users=5,users=5", "table 'users' is named twice"),
    ({"users": 5, f"{ARN}users": 5}, "table 'users' is named twice"),
]


@pytest.mark.parametrize(("tables", "said"), BAD_TABLES, ids=lambda v: ascii(v)[:30])
def test_bad_tables_are_refused_with_what_was_expected(tables: Any, said: str) -> None:
    assert message(tables) == said


# --- which policy a table has ------------------------------------------------------


@pytest.mark.parametrize(
    ("tables", "table", "ttl"),
    [
        ("", "users", 60.0),
        ("user=1,userss=2,Users=3", "users", 60.0),
        ("users=1,*=2", "users", 1.0),
        ("users=1,*=2", "others", 2.0),
        # exact before all patterns, even with as many characters or more
        ("users=1,users*=2,?users*=3", "users", 1.0),
        ("user?=1,users=2", "users", 2.0),
        # then the most literal characters
        ("u*=1,use*=2,us*=3", "users", 2.0),
        ("*s=1,us*s=2,u*=3", "users", 2.0),
        ("user*=1,?????=2", "users", 1.0),
        ("prod-*=1,*-logs-eu=2", "prod-logs-eu", 2.0),
        # then the one that sorts first
        ("u*=1,*s=2", "users", 2.0),
        ("u?ers=1,us?rs=2", "users", 1.0),
        ("user?=1,user*=2", "users", 2.0),
        # a lone star is for what nothing else matches
        ("*=1,?????=2", "users", 2.0),
        ("*=1,??=2", "users", 1.0),
        # wildcards
        ("user?=1", "user", 60.0),
        ("users*=1", "users", 1.0),
        ("*users=1", "users", 1.0),
        ("U*=1", "users", 60.0),
        ("a.c=1", "abc", 60.0),
        ("a.c*=1", "abc", 60.0),
        ("a-?=1", "a-b", 1.0),
        (f"{ARN}us*=1", "users", 1.0),
    ],
)
def test_the_name_that_is_closest_to_the_tables_wins(
    tables: str, table: str, ttl: float
) -> None:
    assert policy(tables, table).ttl == ttl


def test_a_policy_takes_nothing_from_a_wider_one() -> None:
    users = {"negative_ttl": 7}
    wider = {"user*": {"ttl": 9, "scans": "off"}, "*": {"index_queries": "ttl_only"}}
    found = policy({"users": users, **wider})
    assert found == policy({"users": users})
    assert found == policy({})._replace(negative_ttl=7.0)


def test_what_no_option_says_is_as_the_general_settings_say() -> None:
    assert policy({}) == TablePolicy(
        ttl=60.0,
        negative_ttl=5.0,
        operations=READS,
        index_queries=CachingMode.COHERENT,
        scans=CachingMode.COHERENT,
        scan_size_limit=65536,
    )


@pytest.mark.parametrize(
    ("options", "ttl", "negative_ttl"),
    [
        (300, 300.0, 5.0),
        (2, 2.0, 2.0),
        ({"negative_ttl": 0}, 60.0, 0.0),
        ({"negative_ttl": 61}, 60.0, 60.0),
        ({"ttl": 300, "negative_ttl": 61}, 300.0, 61.0),
        ({"ttl": 30, "negative_ttl": 61}, 30.0, 30.0),
    ],
)
def test_no_such_item_is_kept_as_stated_but_no_longer_than_an_item(
    options: Any, ttl: float, negative_ttl: float
) -> None:
    found = policy({"users": options})
    assert (found.ttl, found.negative_ttl) == (ttl, negative_ttl)


@pytest.mark.parametrize(
    ("options", "general", "expected"),
    [
        ({}, None, None),
        ({}, 20.0, 20.0),
        ({"ttl_unfollowed": 0}, 20.0, 0.0),
        ({"ttl": 300, "ttl_unfollowed": 200}, None, 200.0),
        ({"ttl": 20}, 20.0, None),
        ({"ttl_unfollowed": 61}, 20.0, None),
    ],
)
def test_an_unfollowed_table_has_a_ttl_of_its_own_if_that_is_shorter(
    options: Any, general: float | None, expected: float | None
) -> None:
    tables = parse_tables({"users": options})
    found = table_policy(
        tables, "users", ttl=60.0, negative_ttl=5.0, ttl_unfollowed=general
    )
    assert found.ttl_unfollowed == expected


def test_what_no_write_evicts_lives_as_if_its_table_were_unfollowed() -> None:
    found = policy({"users": {"ttl": 300, "negative_ttl": 9, "ttl_unfollowed": 7}})
    assert policy_in_mode(found, CachingMode.COHERENT) == found
    bounded = policy_in_mode(found, CachingMode.TTL_ONLY)
    assert (bounded.ttl, bounded.negative_ttl, bounded.ttl_unfollowed) == (7, 7, None)
    unbounded = policy({})
    assert policy_in_mode(unbounded, CachingMode.TTL_ONLY) == unbounded


@pytest.mark.parametrize(
    ("options", "stale"),
    [(300, 20.0), ({"stale_if_throttled": 7}, 7.0), ({"stale_if_throttled": 0}, 0.0)],
)
def test_a_table_may_have_stale_answers_of_its_own(options: Any, stale: float) -> None:
    tables = parse_tables({"users": options})
    found = table_policy(
        tables, "users", ttl=60.0, negative_ttl=5.0, stale_if_throttled=20.0
    )
    assert found.stale_if_throttled == stale


# --- one meaning -------------------------------------------------------------------

_modes = st.sampled_from(["coherent", "ttl_only", "off"])
_ttls = st.one_of(st.integers(1, int(LONGEST)), st.floats(0.001, LONGEST))
_options = st.fixed_dictionaries(
    {},
    optional={
        "ttl": _ttls,
        "negative_ttl": _ttls | st.just(0),
        "operations": st.permutations([*sorted(READS)]),
        "index_queries": _modes,
        "scans": _modes,
        "scan_size_limit": st.integers(0, 2**40),
        "ttl_unfollowed": _ttls | st.just(0),
    },
)
_names = st.text("aB.-_?*", min_size=1, max_size=5)
_simple = st.dictionaries(_names, st.just("off") | _ttls, max_size=4)
_tables = st.dictionaries(_names, st.just("off") | _ttls | _options, max_size=4)


def _as_toml(value: Any) -> str:
    """Return a value as TOML spells it: as JSON does, but for tables."""
    if isinstance(value, dict):
        pairs = (f"{option} = {json.dumps(each)}" for option, each in value.items())
        return f"{{ {', '.join(pairs)} }}"
    return json.dumps(value)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A settings file, written anew for each example."""
    return tmp_path_factory.mktemp("policies") / "botocache.toml"


@given(_tables)
@example({"*": {}})
@example({"a.b": {"ttl": 0.001, "negative_ttl": 5e-324}, "a*": "off"})
def test_argument_and_file_mean_the_same(file: Path, tables: dict[str, Any]) -> None:
    lines = (f'"{name}" = {_as_toml(value)}' for name, value in tables.items())
    file.write_text("[tables]\n" + "\n".join(lines), encoding="utf-8")
    by_argument = load_settings({"tables": tables}, {}, "memory:")
    by_file = load_settings({}, {"BOTOCACHE_CONFIG": str(file)}, "memory:")
    assert by_argument == by_file
    assert hash(by_argument) == hash(by_file)


@given(_simple)
def test_text_and_mapping_mean_the_same(tables: dict[str, Any]) -> None:
    text = ",".join(f"{name}={value}" for name, value in tables.items())
    by_argument = load_settings({"tables": tables}, {}, "memory:")
    by_text = load_settings({"tables": text}, {}, "memory:")
    by_variable = load_settings({}, {"BOTOCACHE_TABLES": text}, "memory:")
    assert by_argument == by_text == by_variable


@given(_tables, st.text("aB.-_", min_size=1, max_size=5), st.randoms())
def test_the_order_in_which_tables_are_named_means_nothing(
    tables: dict[str, Any], table: str, random: Any
) -> None:
    names = list(tables)
    random.shuffle(names)
    shuffled = {name: tables[name] for name in names}
    assert parse_tables(shuffled) == parse_tables(tables)
    assert policy(shuffled, table) == policy(tables, table)
    assert policy(tables, table).negative_ttl <= policy(tables, table).ttl
