"""Table policies: every source means the same, and the closest name has the say."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from botocache._settings.load import load_settings
from botocache._settings.tables import (
    _OPTIONS,
    OFF,
    READS,
    TableOptions,
    TablePolicy,
    parse_options,
    parse_tables,
    table_policy,
)
from botocache._settings.values import LONGEST

ON = TableOptions()
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


# --- one policy --------------------------------------------------------------------

GOOD = [
    ("on", True, {}, ON),
    ("ON", "true", {"enabled": True}, ON),
    ("enabled:on", "True", {"enabled": "on"}, ON),
    ("off", False, {"enabled": False}, TableOptions(enabled=False)),
    ("OFF", "false", {"enabled": "off"}, TableOptions(enabled=False)),
    ("300", 300, {"ttl": 300}, TableOptions(ttl=300.0)),
    ("0.5", 0.5, {"ttl": "0.5"}, TableOptions(ttl=0.5)),
    ("ttl:300", "on 300", {"enabled": True, "ttl": 3e2}, TableOptions(ttl=300.0)),
    (
        "300 negative_ttl:0",
        "negative_ttl:0  300 ",
        {"ttl": 300, "negative_ttl": 0},
        TableOptions(ttl=300.0, negative_ttl=0.0),
    ),
    (
        "negative_ttl:400 300",
        "300\tnegative_ttl:4e2",
        {"negative_ttl": 400, "ttl": 300},
        TableOptions(ttl=300.0, negative_ttl=400.0),
    ),
    (
        "index_queries:ttl scans:TTL",
        "on scans:ttl index_queries:ttl",
        {"index_queries": "ttl", "scans": "Ttl"},
        TableOptions(index_queries="ttl", scans="ttl"),
    ),
    (
        "scans:coherent index_queries:coherent",
        "operations:Scan+Query+GetItem+BatchGetItem",
        {"operations": ["Scan", "Query", "GetItem", "BatchGetItem"]},
        ON,
    ),
    (
        "index_queries:off",
        "on index_queries:off",
        {"index_queries": "off"},
        TableOptions(index_queries="off"),
    ),
    (
        "scans:off",
        "operations:GetItem+BatchGetItem+Query",
        {"operations": ("GetItem", "BatchGetItem", "Query"), "scans": "off"},
        TableOptions(operations=READS - {"Scan"}, scans="off"),
    ),
    (
        "operations:GetItem+BatchGetItem",
        "operations:BatchGetItem+GetItem scans:off index_queries:off",
        {"operations": {"GetItem", "BatchGetItem"}},
        TableOptions(operations=GETS, index_queries="off", scans="off"),
    ),
    (
        "operations:Query index_queries:ttl",
        "index_queries:ttl operations:Query",
        {"operations": frozenset({"Query"}), "index_queries": "ttl"},
        TableOptions(operations=QUERIES, index_queries="ttl", scans="off"),
    ),
]


@pytest.mark.parametrize(("text", "other", "mapping", "options"), GOOD)
def test_a_policy_is_seconds_a_switch_words_or_options(
    text: str, other: Any, mapping: Mapping[str, Any], options: TableOptions
) -> None:
    assert parse_options(text) == options
    assert parse_options(other) == options
    assert parse_options(mapping) == options


@pytest.mark.parametrize("options", [row[-1] for row in GOOD], ids=str)
def test_a_policy_is_spelled_as_the_text_that_states_it(options: TableOptions) -> None:
    assert parse_options(str(options)) == options
    assert str(options) in repr(options)


TTL = "expected a number of seconds from 0.001 to 2592000"
POLICY = f"{TTL}, 'on', 'off' or options"
NEGATIVE_TTL = "expected a number of seconds from 0 to 2592000"
OPERATIONS = "expected some of GetItem, BatchGetItem, Query, Scan, once each"
KEEPING = "expected 'coherent' or 'ttl' or 'off'"

BAD: list[tuple[Any, str]] = [
    # no policy at all
    (None, f"{POLICY}, not None"),
    ("", f"{POLICY}, not ''"),
    (" ", f"{POLICY}, not ' '"),
    (0, f"{POLICY}, not 0"),
    ("0", f"{POLICY}, not '0'"),
    (-1, f"{POLICY}, not -1"),
    ("nan", f"{POLICY}, not 'nan'"),
    (LONGEST + 1, f"{POLICY}, not 2592001.0"),
    ([], f"{POLICY}, not []"),
    (["on"], f"{POLICY}, not ['on']"),
    ("never", f"{POLICY}, not 'never'"),
    ("onn", f"{POLICY}, not 'onn'; did you mean 'on'?"),
    ("scan", f"{POLICY}, not 'scan'; did you mean 'scans'?"),
    ("300 users=5", f"{POLICY}, not 'users=5'"),
    ("300, scans:off", f"{POLICY}, not '300,'"),
    # names of options
    ("negativ_ttl:5", "unknown option 'negativ_ttl'; did you mean 'negative_ttl'?"),
    ({"TTL": 5}, "unknown option 'TTL'; did you mean 'ttl'?"),
    (
        {"xyzzy": 5},
        "unknown option 'xyzzy'; known: enabled, ttl, negative_ttl, operations, "
        "index_queries, scans",
    ),
    ({5: 5}, "unknown option 5; known: enabled"),
    (":5", "unknown option ''; known: enabled"),
    # values of options
    ("enabled:maybe", "enabled: expected 'on' or 'off', not 'maybe'"),
    ({"enabled": None}, "enabled: expected 'on' or 'off', not None"),
    ("ttl:0", f"ttl: {TTL}, not '0'"),
    ("ttl:", f"ttl: {TTL}, not ''"),
    ("ttl: 5", f"ttl: {TTL}, not ''"),
    ({"ttl": False}, f"ttl: {TTL}, not False"),
    ({"ttl": 10**400}, f"ttl: {TTL}, not 1000"),
    ("negative_ttl:-1", f"negative_ttl: {NEGATIVE_TTL}, not '-1'"),
    ({"negative_ttl": {}}, f"negative_ttl: {NEGATIVE_TTL}, not {{}}"),
    ("scans:of", f"scans: {KEEPING}, not 'of'; did you mean 'off'?"),
    ({"scans": False}, f"scans: {KEEPING}, not False"),
    ("index_queries:never", f"index_queries: {KEEPING}, not 'never'"),
    ("operations:", f"operations: {OPERATIONS}, not ''"),
    ({"operations": []}, f"operations: {OPERATIONS}, not []"),
    ({"operations": {"GetItem": True}}, f"operations: {OPERATIONS}, not {{'GetItem'"),
    ({"operations": None}, f"operations: {OPERATIONS}, not None"),
    ({"operations": [5]}, f"operations: {OPERATIONS}, not 5"),
    ({"operations": [[]]}, f"operations: {OPERATIONS}, not []"),
    (
        "operations:GetItems",
        f"operations: {OPERATIONS}, not 'GetItems'; did you mean 'GetItem'?",
    ),
    ("operations:query", f"operations: {OPERATIONS}, not 'query'; did you mean 'Quer"),
    ("operations:PutItem", f"operations: {OPERATIONS}, not 'PutItem'"),
    ("operations:Query,Scan", f"operations: {OPERATIONS}, not 'Query,Scan'"),
    # repeats
    ("operations:Query+Query", f"operations: {OPERATIONS}, not 'Query+Query'"),
    ({"operations": ["Scan"] * 2}, f"operations: {OPERATIONS}, not ['Scan', 'Scan']"),
    ("300 60", "ttl is stated twice"),
    ("300 300", "ttl is stated twice"),
    ("300 ttl:300", "ttl is stated twice"),
    ("on off", "enabled is stated twice"),
    ("off enabled:off", "enabled is stated twice"),
    ("scans:off scans:off", "scans is stated twice"),
    # contradictions
    ("off 300", "it is off, but states ttl"),
    ("scans:ttl off", "it is off, but states scans"),
    ({"enabled": False, "ttl": 5, "scans": "off"}, "it is off, but states ttl, scans"),
    ("operations:Query scans:ttl", "it states scans, but operations lack Scan"),
    ("scans:coherent operations:Query", "it states scans, but operations lack Scan"),
    (
        {"operations": ["GetItem", "Scan"], "index_queries": "ttl"},
        "it states index_queries, but operations lack Query",
    ),
    ("operations:Query+Scan scans:off", "scans are off, but operations have Scan"),
]


@pytest.mark.parametrize(("value", "said"), BAD, ids=lambda value: ascii(value)[:30])
def test_a_bad_policy_is_refused_with_its_table_and_what_was_expected(
    value: Any, said: str
) -> None:
    found = message({"good": 5, "bad-*": value})
    assert found.startswith(f"table 'bad-*': {said}")
    assert "\n" not in found


# --- names -------------------------------------------------------------------------

ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        (" , ,", []),
        ("users=300,", ["users"]),
        (" users = 0.5 on , b=off ", ["b", "users"]),
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
def test_the_name_that_is_closest_to_the_tables_has_the_say(
    tables: str, table: str, ttl: float
) -> None:
    assert policy(tables, table).ttl == ttl


def test_a_policy_takes_nothing_from_a_wider_one() -> None:
    found = policy("users=negative_ttl:7,user*=9 scans:off,*=300 index_queries:ttl")
    assert found == policy("users=negative_ttl:7")
    assert found == policy("")._replace(negative_ttl=7.0)


def test_what_no_policy_states_is_cached_coherently_as_the_settings_say() -> None:
    assert policy("") == TablePolicy(
        enabled=True,
        ttl=60.0,
        negative_ttl=5.0,
        operations=READS,
        index_queries="coherent",
        scans="coherent",
    )


@pytest.mark.parametrize(
    ("tables", "ttl", "negative_ttl"),
    [
        ("users=300", 300.0, 5.0),
        ("users=2", 2.0, 2.0),
        ("users=negative_ttl:0", 60.0, 0.0),
        ("users=negative_ttl:61", 60.0, 60.0),
        ("users=300 negative_ttl:61", 300.0, 61.0),
        ("users=30 negative_ttl:61", 30.0, 30.0),
    ],
)
def test_no_such_item_is_kept_as_stated_but_no_longer_than_an_item(
    tables: str, ttl: float, negative_ttl: float
) -> None:
    found = policy(tables)
    assert (found.ttl, found.negative_ttl) == (ttl, negative_ttl)


def test_a_table_that_is_off_caches_nothing_whatever_is_asked_of_its_policy() -> None:
    found = policy("users=off")
    assert found == OFF
    assert not found.enabled
    assert (found.ttl, found.negative_ttl, found.operations) == (0.0, 0.0, frozenset())
    assert (found.index_queries, found.scans) == ("off", "off")


@pytest.mark.parametrize(
    ("tables", "operations", "index_queries", "scans"),
    [
        ("users=index_queries:off", READS, "off", "coherent"),
        ("users=scans:off", READS - {"Scan"}, "coherent", "off"),
        ("users=operations:GetItem", {"GetItem"}, "off", "off"),
        ("users=operations:Scan scans:ttl", {"Scan"}, "off", "ttl"),
        ("users=operations:Query", QUERIES, "coherent", "off"),
        ("users=index_queries:ttl scans:ttl", READS, "ttl", "ttl"),
    ],
)
def test_operations_index_queries_and_scans_say_the_same(
    tables: str, operations: frozenset[str], index_queries: str, scans: str
) -> None:
    found = policy(tables)
    assert found.operations == operations
    assert (found.index_queries, found.scans) == (index_queries, scans)


# --- one meaning -------------------------------------------------------------------

_keeping = st.sampled_from(["coherent", "ttl", "off"])
_ttls = st.one_of(st.integers(1, int(LONGEST)), st.floats(0.001, LONGEST))
_orders = st.permutations(sorted(READS))


@st.composite
def _stated(draw: st.DrawFn) -> dict[str, Any]:
    """Draw options that do not contradict each other, as a mapping states them."""
    if draw(st.booleans()) and draw(st.booleans()):
        return {"enabled": False}
    operations = draw(_orders)[: draw(st.integers(1, len(READS)))]
    options: dict[str, Any] = {
        "enabled": True,
        "ttl": draw(_ttls),
        "negative_ttl": draw(_ttls | st.just(0)),
        "operations": operations,
        "index_queries": draw(_keeping) if "Query" in operations else "off",
        "scans": draw(_keeping.filter("off".__ne__)) if "Scan" in operations else "off",
    }
    kept = draw(st.sets(st.sampled_from(sorted(options))))
    if "operations" not in kept:
        options |= {"index_queries": draw(_keeping), "scans": draw(_keeping)}
    return {option: options[option] for option in draw(st.permutations(sorted(kept)))}


_names = st.text("aB.-_?*", min_size=1, max_size=5)
_policies = st.dictionaries(_names, _stated(), max_size=4)


def _as_words(options: Mapping[str, Any]) -> str:
    """Return the options as the environment states them."""
    words = []
    for option, value in options.items():
        spelled = str(value)
        if isinstance(value, bool):
            spelled = "on" if value else "off"
        elif isinstance(value, list):
            spelled = "+".join(value)
        words.append(f"{option}:{spelled}")
    return " ".join(words) or "on"


def _as_toml(options: Mapping[str, Any]) -> str:
    """Return the options as an inline table; JSON spells its values as TOML does."""
    pairs = (f"{option} = {json.dumps(value)}" for option, value in options.items())
    return f"{{ {', '.join(pairs)} }}"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A settings file, written anew for each example."""
    return tmp_path_factory.mktemp("policies") / "botocache.toml"


@given(_policies)
@example({"*": {}})
@example({"a.b": {"ttl": 0.001, "negative_ttl": 5e-324}, "a*": {"enabled": False}})
def test_argument_environment_and_file_mean_the_same(
    file: Path, policies: dict[str, dict[str, Any]]
) -> None:
    text = ",".join(f"{name}={_as_words(stated)}" for name, stated in policies.items())
    lines = (f'"{name}" = {_as_toml(stated)}' for name, stated in policies.items())
    file.write_text("[tables]\n" + "\n".join(lines), encoding="utf-8")
    by_argument = load_settings({"tables": policies}, {}, "memory:")
    by_text = load_settings({"tables": text}, {}, "memory:")
    by_variable = load_settings({}, {"BOTOCACHE_TABLES": text}, "memory:")
    by_file = load_settings({}, {"BOTOCACHE_CONFIG": str(file)}, "memory:")
    assert by_argument == by_text == by_variable == by_file
    assert len({by_argument, by_text, by_variable, by_file}) == 1


@given(_stated())
def test_the_text_of_a_policy_states_it_again(stated: dict[str, Any]) -> None:
    options = parse_options(stated)
    text = str(options)
    assert parse_options(text) == options
    assert str(parse_options(text)) == text


@given(_policies, st.text("aB.-_", min_size=1, max_size=5))
def test_a_policys_parts_never_disagree(
    policies: dict[str, dict[str, Any]], table: str
) -> None:
    found = policy(policies, table)
    assert (found == OFF) is not found.enabled
    assert (found.scans == "off") is ("Scan" not in found.operations)
    assert found.index_queries == "off" or "Query" in found.operations
    assert found.negative_ttl <= found.ttl


@given(_policies, st.text("aB.-_", min_size=1, max_size=5), st.randoms())
def test_the_order_in_which_tables_are_named_means_nothing(
    policies: dict[str, dict[str, Any]], table: str, random: Any
) -> None:
    names = list(policies)
    random.shuffle(names)
    shuffled = {name: policies[name] for name in names}
    assert parse_tables(shuffled) == parse_tables(policies)
    assert policy(shuffled, table) == policy(policies, table)
