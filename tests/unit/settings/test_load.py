"""Settings: the nearest source wins, and whatever is wrong is said, with its place."""

import json
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis.asyncio

from botocache._dynamodb.plans import CachingMode
from botocache._errors import ConfigError
from botocache._settings import load
from botocache._settings.encryption_keys import EncryptionKeys
from botocache._settings.load import (
    _PARSERS,
    Settings,
    load_settings,
    trace_settings,
)
from botocache._settings.prices import UNSTATED, Prices
from botocache._settings.tables import OFF, READS, TableOptions, TablePolicy
from botocache.stores import options
from botocache.stores.memory import MemoryStore
from tests.support.keys import key, key_text

STORE = MemoryStore()


class _Row(NamedTuple):
    """One setting as each source writes it, and as it is meant."""

    default: Any
    toml: str
    from_file: Any
    variable: str
    from_environment: Any
    argument: Any
    from_argument: Any


ROWS = {
    "url": _Row(
        "disk:",
        '"disk:///a"',
        "disk:///a",
        "memory:",
        "memory:",
        "disk:///b",
        "disk:///b",
    ),
    "ttl": _Row(60.0, "61", 61.0, "62.5", 62.5, 63, 63.0),
    "negative_ttl": _Row(5.0, "0", 0.0, "7", 7.0, 8, 8.0),
    "stale_if_throttled": _Row(0.0, "300", 300.0, "60.5", 60.5, 8, 8.0),
    "tables": _Row(
        (),
        '{ a = 1, b = "Off" }',
        (("a", TableOptions(ttl=1.0)), ("b", OFF)),
        "a=2,b=off",
        (("a", TableOptions(ttl=2.0)), ("b", OFF)),
        {"b": "off", "a": 3},
        (("a", TableOptions(ttl=3.0)), ("b", OFF)),
    ),
    "namespace": _Row("default", '"one"', "one", "two", "two", "three", "three"),
    "scope": _Row("auto", '"one"', "one", "two", "two", "three", "three"),
    "settle": _Row(1.0, "2", 2.0, "0", 0.0, 3.5, 3.5),
    "write_hold_off": _Row(5.0, "6", 6.0, "7", 7.0, 3600, 3600.0),
    "reads_after_write": _Row(
        "consistent",
        '"uncached"',
        "uncached",
        "consistent",
        "consistent",
        "Uncached",
        "uncached",
    ),
    "precise_index_eviction": _Row(False, "true", True, "off", False, 1, True),
    "streams": _Row(
        (),
        '["users", "arn:aws:dynamodb:eu-west-1:1:table/a"]',
        ("users", "arn:aws:dynamodb:eu-west-1:1:table/a"),
        "users, orders,",
        ("users", "orders"),
        ["b"],
        ("b",),
    ),
    "ttl_unfollowed": _Row(None, "0", 0.0, "7", 7.0, 8.5, 8.5),
    "miss_leases": _Row(False, "true", True, "off", False, 1, True),
    "timeout": _Row(0.02, "0.5", 0.5, "0.001", 0.001, 10, 10.0),
    "on_eviction_failure": _Row(
        "send", '"refuse"', "refuse", "send", "send", "Refuse", "refuse"
    ),
    "client_tracking": _Row(False, "true", True, "off", False, "On", True),
    "fast_parsing": _Row(True, "false", False, "on", True, 0, False),
    "coalesce": _Row(True, "false", False, "on", True, 0, False),
    "near": _Row("on", "false", "off", "Untraced", "untraced", True, "on"),
    "encryption_keys": _Row(
        None,
        f'["{key_text(1)}", "plain"]',
        EncryptionKeys((key(1), None)),
        f"{key_text(2)}, {key_text(3)}",
        EncryptionKeys((key(2), key(3))),
        [key(4), key_text(5)],
        EncryptionKeys((key(4), key(5))),
    ),
    "shadow": _Row(False, "true", True, "off", False, 1, True),
    "audit": _Row(0.0, "0.5", 0.5, "1", 1.0, 0.01, 0.01),
    "metrics": _Row(
        (),
        '["otel", "prometheus"]',
        ("otel", "prometheus"),
        "CloudWatch, otel",
        ("cloudwatch", "otel"),
        "prometheus",
        ("prometheus",),
    ),
    "stats_interval": _Row(10.0, "2", 2.0, "0", 0.0, 3.5, 3.5),
    "prices": _Row(
        Prices(),
        '{ on_demand = 0.142, region = "eu-west-1", as_of = "2026-11" }',
        Prices(on_demand=0.142, region="eu-west-1", as_of="2026-11"),
        "store=12.5, currency=EUR",
        Prices(store=12.5, currency="EUR", **UNSTATED),
        {"dax_nodes": 5},
        Prices(dax_nodes=5.0, **UNSTATED),
    ),
}


def _file(tmp_path: Path, content: str) -> dict[str, str]:
    """Return the environment that names a settings file."""
    path = tmp_path / "botocache.toml"
    path.write_text(content, encoding="utf-8")
    return {"BOTOCACHE_CONFIG": str(path)}


def _load(
    arguments: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    return load_settings(arguments or {}, environ or {}, "disk:")


def _message(
    arguments: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> str:
    """Return what the ConfigError says that these settings raise."""
    with pytest.raises(ConfigError) as raised:
        _load(arguments, environ)
    return str(raised.value)


# --- which settings there are ------------------------------------------------------


def test_every_setting_has_a_parser_and_a_row_of_these_tests() -> None:
    names = [field.name for field in fields(Settings)]
    assert names == list(_PARSERS)
    assert set(names) == set(ROWS)


def test_settings_stay_few_and_the_usual_ones_come_first() -> None:
    names = [field.name for field in fields(Settings)]
    assert names[:6] == ["url", "ttl", "negative_ttl", "tables", "scope", "timeout"]
    assert len(names) <= 27


def test_settings_cannot_be_changed_and_are_equal_when_they_say_the_same() -> None:
    settings = _load({"ttl": 7})
    assert settings == _load({}, {"BOTOCACHE_TTL": "7"})
    assert hash(settings) == hash(_load({"ttl": "7"}))
    assert settings != _load({"ttl": 8})
    with pytest.raises(FrozenInstanceError):
        settings.ttl = 8.0  # type: ignore[misc]  # that is what is tested


# --- precedence --------------------------------------------------------------------


@pytest.mark.parametrize("name", ROWS)
def test_a_setting_that_no_source_has_is_its_default(name: str) -> None:
    assert getattr(_load(), name) == ROWS[name].default


@pytest.mark.parametrize("name", ROWS)
def test_the_file_wins_over_the_default(name: str, tmp_path: Path) -> None:
    environ = _file(tmp_path, f"{name} = {ROWS[name].toml}")
    assert getattr(_load({}, environ), name) == ROWS[name].from_file


@pytest.mark.parametrize("name", ROWS)
def test_a_variable_wins_over_the_file(name: str, tmp_path: Path) -> None:
    environ = _file(tmp_path, f"{name} = {ROWS[name].toml}")
    environ[f"BOTOCACHE_{name.upper()}"] = ROWS[name].variable
    assert getattr(_load({}, environ), name) == ROWS[name].from_environment


@pytest.mark.parametrize("name", ROWS)
def test_an_argument_wins_over_all(name: str, tmp_path: Path) -> None:
    environ = _file(tmp_path, f"{name} = {ROWS[name].toml}")
    environ[f"BOTOCACHE_{name.upper()}"] = ROWS[name].variable
    settings = _load({name: ROWS[name].argument}, environ)
    assert getattr(settings, name) == ROWS[name].from_argument


def test_each_setting_comes_from_its_own_nearest_source(tmp_path: Path) -> None:
    environ = _file(tmp_path, 'ttl = 1\nsettle = 2\nscope = "file"')
    environ |= {"BOTOCACHE_TTL": "3", "BOTOCACHE_SETTLE": "4"}
    settings = _load({"ttl": 5}, environ)
    assert (settings.ttl, settings.settle, settings.scope) == (5.0, 4.0, "file")


def test_tables_may_stand_in_a_section_of_the_file(tmp_path: Path) -> None:
    environ = _file(tmp_path, 'ttl = 9\n[tables]\nusers = 300\nsessions = "off"')
    assert _load({}, environ) == _load({"tables": "users=300,sessions=off", "ttl": 9})


@pytest.mark.parametrize(("file", "url"), [("boot_id", "disk:"), ("absent", "memory:")])
def test_the_default_store_is_on_disk_where_boots_can_be_told_apart(
    file: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "boot_id").touch()
    monkeypatch.setattr(options, "BOOT_ID", tmp_path / file)
    assert options.default_url() == url


def test_the_default_store_is_the_one_that_the_caller_names() -> None:
    assert load_settings({}, {}, "memory:").url == "memory:"


@pytest.mark.parametrize("url", ["memory:", "disk:///a b", "redis://host:6379/0"])
def test_a_url_may_have_blanks_around_it(url: str) -> None:
    assert _load({}, {"BOTOCACHE_URL": f" {url}\n"}) == _load({"url": url})


# --- good values -------------------------------------------------------------------


SWITCHED = (
    "miss_leases",
    "precise_index_eviction",
    "client_tracking",
    "fast_parsing",
    "coalesce",
)
SWITCHES = {
    True: ["on", "ON", "1", "true", "True", 1, True],
    False: ["off", "Off", "0", "false", "False", 0, False],
}


@pytest.mark.parametrize("name", SWITCHED)
@pytest.mark.parametrize("position", SWITCHES)
def test_a_switch_is_on_or_off_in_the_usual_words(name: str, position: bool) -> None:
    positions = {getattr(_load({name: v}), name) for v in SWITCHES[position]}
    assert positions == {position}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ttl", 0.001),
        ("ttl", 30 * 24 * 3600),
        ("negative_ttl", 0),
        ("settle", 3600),
        ("write_hold_off", 0),
        ("namespace", "A" * 64),
        ("namespace", "0.x_y-z"),
        ("scope", "any name, ü"),
        ("timeout", 10),
        ("timeout", 0.001),
    ],
)
def test_the_limits_themselves_are_good(name: str, value: Any) -> None:
    assert getattr(_load({name: value}), name) == value


# --- bad values --------------------------------------------------------------------

NUMBER = "expected a number of seconds from"
TTL = f"{NUMBER} 0.001 to 2592000"
NEGATIVE_TTL = f"{NUMBER} 0 to 2592000"
HOLD_OFF = f"{NUMBER} 0 to 3600"
TIMEOUT = f"{NUMBER} 0.001 to 10"
PAIRS = "expected 'name=seconds,other=off,*=60'"
NAME = "expected 1 to 64 letters, digits"
SCOPE = "expected 'auto' or a name"
URL = "expected a URL as 'redis://host:6379/0' (install() also takes a store object, "
SWITCH = "expected 'on' or 'off'"
NEAR = "expected 'on', 'off' or 'untraced'"
READS_AFTER_WRITE = "expected 'consistent' or 'uncached'"
SHARE = "expected a share from 0 to 1"
METRICS = "expected some of 'otel', 'prometheus', 'cloudwatch'"
PRICES = "expected prices as 'on_demand=0.125,region=us-east-1'"
STREAMS = "expected names or ARNs of tables, with commas in between"
ON_FAILURE = "expected 'send' or 'refuse'"

_NO_SECONDS = ("", "x", "-0.1", "nan", "inf", "1e9", "60 s", "1,5", 10**400)

BAD: dict[str, tuple[str, tuple[Any, ...]]] = {
    "url": (URL, (5, 0.5)),
    "ttl": (TTL, (*_NO_SECONDS, "1m", "0", 0)),
    "negative_ttl": (NEGATIVE_TTL, (*_NO_SECONDS, "off")),
    "stale_if_throttled": (NEGATIVE_TTL, (*_NO_SECONDS, "on", "off", -1)),
    "tables": (PAIRS, ("users", "=60", "users=", "a=1,b", 5)),
    "scope": (SCOPE, ("", 5)),
    "timeout": (TIMEOUT, (*_NO_SECONDS, "20ms", "0", "0.0", 0, "10.1", 11)),
    "namespace": (NAME, ("", "-a", ".a", "a b", "a/b", "ü", "a" * 65, "a\n", 5)),
    "settle": (HOLD_OFF, (*_NO_SECONDS, "3600.1", 3601)),
    "write_hold_off": (HOLD_OFF, (*_NO_SECONDS, "3601")),
    "reads_after_write": (READS_AFTER_WRITE, ("", "x", "on", "0", False)),
    "on_eviction_failure": (ON_FAILURE, ("", "x", "on", "0", False)),
    "client_tracking": (SWITCH, ("", "x", "2", "1.0", "-1", "yes", "on off", 2, 1.0)),
    "streams": (STREAMS, ("a b", "users,ord*", "/", 5)),
    "miss_leases": (SWITCH, ("", "x", "2", "yes", "on off", 2, 1.0)),
    "precise_index_eviction": (SWITCH, ("", "x", "2", "yes", "on off", 2, 1.0)),
    "fast_parsing": (SWITCH, ("", "x", "2", "yes", "on off", 2, 1.0)),
    "coalesce": (SWITCH, ("", "x", "2", "yes", "on off", 2, 1.0)),
    "near": (NEAR, ("", "x", "2", "traced", "yes", 2)),
    "shadow": (SWITCH, ("", "x", "2", "yes", "on off", 2, 1.0)),
    "audit": (SHARE, ("", "x", "-0.1", "nan", "1.1", "1%", 2)),
    "metrics": (METRICS, ("x", "otel prometheus", "otel;prometheus", 5)),
    "stats_interval": (HOLD_OFF, (*_NO_SECONDS, "3600.1", 3601)),
    "prices": (PRICES, ("x", "on_demand", "=1", 5)),
}
"""What is expected of each setting, and values that are wrong in every source."""

_ALSO_BAD: list[tuple[str, Any, str]] = [
    *(
        (name, [], expected)
        for name, (expected, _) in BAD.items()
        if name not in ("metrics", "streams")  # a list of none
    ),
    *(
        (name, True, expected)
        for name, (expected, _) in BAD.items()
        if name not in (*SWITCHED, "near", "shadow")
    ),
    *(("tables", text, TTL) for text in ("a=x", "a=0", "a=1;b", "a=nan", "a=on")),
    ("tables", {"a": 0}, TTL),
    ("tables", {"a": 10**400}, TTL),
    ("tables", {"a": {"ttl": 0}}, f"ttl: {TTL}"),
    (
        "prices",
        "ondemand=1",
        "expected the name of a price, not 'ondemand'; did you mean 'on_demand'?",
    ),
    ("prices", "on_demand=x", "on_demand: expected a number from 0 to 1000000"),
    ("prices", "on_demand=nan", "on_demand: expected a number from 0 to 1000000"),
    ("prices", {"on_demand": -1}, "on_demand: expected a number from 0 to 1000000"),
    ("prices", {"on_demand": True}, "on_demand: expected a number from 0 to 1000000"),
    ("prices", "utilization=0", "utilization: expected a number from 0.1 to 1"),
    ("prices", "region=<b>", "region: expected 1 to 40 letters"),
    ("prices", {"region": "x" * 41}, "region: expected 1 to 40 letters"),
    ("prices", "store=1,store=2", "store is given twice"),
    ("tables", {"a": {"tll": 5}}, "unknown option 'tll'; did you mean 'ttl'?"),
    ("tables", {"": 60}, "expected a table's name"),
    ("reads_after_write", "cached", "'cached'; did you mean 'uncached'?"),
    ("on_eviction_failure", "refused", "did you mean 'refuse'?"),
]

BAD_ROWS = [
    *((n, value, said) for n, (said, values) in BAD.items() for value in values),
    *_ALSO_BAD,
]


def _short(value: Any) -> str:
    return ascii(value)[:20]


def _toml(value: Any) -> str:
    """Return a value as TOML spells it: as JSON does, but for tables."""
    if isinstance(value, dict):
        pairs = (f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items())
        return f"{{ {', '.join(pairs)} }}"
    return json.dumps(value)


@pytest.mark.parametrize(("name", "value", "expected"), BAD_ROWS, ids=_short)
def test_a_bad_value_is_named_with_its_place_and_what_was_expected(
    name: str, value: Any, expected: str, tmp_path: Path
) -> None:
    file = _file(tmp_path, f"{name} = {_toml(value)}")
    said = {
        name: _message({name: value}),
        f"{name} in {file['BOTOCACHE_CONFIG']}": _message({}, file),
    }
    if isinstance(value, str) and value:  # an empty variable is not set
        variable = f"BOTOCACHE_{name.upper()}"
        said[variable] = _message({}, {variable: value})
    for where, message in said.items():
        assert message.startswith(f"{where}: ")
        assert expected in message
        assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("url", object(), URL),
        ("url", b"memory:", f"{URL}a redis.Redis or a redis.RedisCluster), not a "),
        ("tables", [("a", 60)], PAIRS),
        ("tables", {"a": None}, TTL),
        ("tables", {5: 60}, "expected a table's name"),
        ("namespace", b"a", NAME),
        ("ttl", b"5", TTL),
    ],
    ids=_short,
)
def test_a_bad_object_is_named_with_what_was_expected(
    name: str, value: Any, expected: str
) -> None:
    message = _message({name: value})
    assert message.startswith(f"{name}: ")
    assert expected in message


@pytest.mark.parametrize("literal", ["2024-01-01", "[1]", "{ a = [] }"])
@pytest.mark.parametrize("name", ROWS)
def test_what_toml_alone_can_say_is_refused_too(
    name: str, literal: str, tmp_path: Path
) -> None:
    environ = _file(tmp_path, f"{name} = {literal}")
    assert "expected" in _message({}, environ)


@pytest.mark.parametrize("name", ROWS)
def test_none_is_not_given(name: str) -> None:
    environ = {f"BOTOCACHE_{name.upper()}": ROWS[name].variable}
    assert _load({name: None}) == _load()
    assert _load({name: None}, environ) == _load({}, environ)


def test_a_bad_value_is_an_error_even_where_another_source_wins() -> None:
    assert "BOTOCACHE_TTL" in _message({"ttl": 5}, {"BOTOCACHE_TTL": "x"})


def test_what_is_wrong_with_a_table_names_source_table_and_what_is_good(
    tmp_path: Path,
) -> None:
    sentence = (
        "table 'sessions': expected a number of seconds from 0.001 to 2592000, 'off', "
        "or options as a table of TOML or a mapping, not 'never'"
    )
    text = "users=5,sessions=never"
    environ = _file(tmp_path, "[tables]\nsessions = 'never'")
    in_file = f"tables in {environ['BOTOCACHE_CONFIG']}"
    assert _message({"tables": text}) == f"tables: {sentence}"
    assert _message({}, {"BOTOCACHE_TABLES": text}) == f"BOTOCACHE_TABLES: {sentence}"
    assert _message({}, environ) == f"{in_file}: {sentence}"


# --- a store that is an object ------------------------------------------------------


def test_the_url_may_be_a_store_object() -> None:
    settings = _load({"url": STORE}, {"BOTOCACHE_URL": "redis://host"})
    assert settings.url is STORE
    assert settings == _load({"url": STORE})
    assert settings != _load({"url": MemoryStore()})
    assert hash(settings) == hash(_load({"url": STORE}))


def test_the_url_may_be_a_client_of_redis_py_whatever_its_class_of_theirs() -> None:
    class Mine(redis.Redis):
        pass

    for client in (redis.Redis(), Mine(), redis.Redis.from_url("redis://:pw@host")):
        settings = _load({"url": client})
        assert settings.url is client
        assert settings == _load({"url": client})


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (b"redis://:s3cret@host", "a builtins.bytes"),
        (5, "a builtins.int"),
        (MemoryStore, "the class botocache.stores.memory.MemoryStore"),
        (redis.Redis, "the class redis.client.Redis"),
        (redis.asyncio.Redis(password="s3cret"), "a redis.asyncio.client.Redis"),
        (redis.ConnectionPool(password="s3cret"), "a redis.connection.ConnectionPool"),
    ],
    ids=_short,
)
def test_nothing_else_is_a_store(bad: Any, kind: str) -> None:
    message = _message({"url": bad})
    assert message.startswith("url: expected a URL as 'redis://host:6379/0' (install()")
    assert message.endswith(f", not {kind}")
    assert "s3cret" not in message


def test_a_store_is_opened_with_what_matters_to_it() -> None:
    environ = {"HOME": "/nowhere"}
    more = {"timeout": 0.5, "settle": 2, "namespace": "mine", "client_tracking": True}
    settings = _load({"url": "redis://h", "tables": "a=300", **more})
    assert settings.store_options(environ) == options.StoreOptions(
        url="redis://h",
        namespace="mine",
        environ=environ,
        timeout=0.5,
        settle=2.0,
        longest_ttl=300.0,
        client_tracking=True,
    )
    assert settings.store_options(environ).environ is environ
    client = redis.Redis()
    opened = _load({"url": client}).store_options(environ)
    assert (opened.url, opened.client) == ("", client)


# --- what settings tell of themselves ------------------------------------------------


def test_settings_show_all_but_passwords() -> None:
    shown = repr(_load({"url": "redis://user:s3cret@host:1/0", "ttl": 7}))
    assert "s3cret" not in shown
    assert "user" not in shown
    assert "url='redis://***@host:1/0'" in shown
    assert "ttl=7.0" in shown
    for name in ROWS:
        assert f"{name}=" in shown
    shown = repr(_load({"url": redis.Redis(password="s3cret")}))
    assert "url='Redis'" in shown
    assert "s3cret" not in shown
    assert "url='MemoryStore'" in repr(_load({"url": STORE}))


@pytest.mark.parametrize(
    ("arguments", "longest"),
    [
        ({}, 60.0),
        ({"ttl": 7}, 7.0),
        ({"ttl": 7, "negative_ttl": 100}, 7.0),
        ({"ttl": 7, "stale_if_throttled": 100}, 107.0),
        ({"ttl": 7, "tables": {"a": {"ttl": 9, "stale_if_throttled": 5}}}, 14.0),
        ({"ttl": 7, "tables": "a=5,b=off"}, 7.0),
        ({"ttl": 7, "tables": "a=5,b=300,c*=8"}, 300.0),
        ({"tables": {"a": {"scans": "ttl_only"}}}, 60.0),
    ],
)
def test_the_longest_ttl_is_that_of_settings_or_tables(
    arguments: dict[str, Any], longest: float
) -> None:
    assert _load(arguments).store_options({}).longest_ttl == longest


# --- unknown names -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("BOTOCACHE_TLL", "'BOTOCACHE_TTL'"),
        ("BOTOCACHE_STOER", "did you mean 'BOTOCACHE_SCOPE'?"),
        ("BOTOCACHE_STORE", "it is 'BOTOCACHE_URL' now"),
        ("BOTOCACHE_FOLLOW", "it is 'BOTOCACHE_CLIENT_TRACKING' now"),
        ("BOTOCACHE_OLD_IMAGES", "it is 'BOTOCACHE_PRECISE_INDEX_EVICTION' now"),
        ("BOTOCACHE_SETTLE_READS", "it is 'BOTOCACHE_READS_AFTER_WRITE' now"),
        ("BOTOCACHE_UNEVICTED_WRITES", "it is 'BOTOCACHE_ON_EVICTION_FAILURE' now"),
        ("BOTOCACHE_WRITE_WINDOW", "it is 'BOTOCACHE_WRITE_HOLD_OFF' now"),
        ("BOTOCACHE_TABLE", "'BOTOCACHE_TABLES'"),
        ("BOTOCACHE_CONFG", "'BOTOCACHE_CONFIG'"),
        ("BOTOCACHE_ttl", "did you mean 'BOTOCACHE_TTL'?"),
        ("BOTOCACHE_", "BOTOCACHE_"),
        ("BOTOCACHE_SERVICE", "BOTOCACHE_"),
        ("BOTOCACHE_PORTS", "BOTOCACHE_"),
        ("BOTOCACHE_TTL_SERVICE", "BOTOCACHE_"),
    ],
)
def test_an_unknown_variable_is_one_warning_with_the_nearest_name(
    variable: str,
    nearest: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(load, "_warned", set())
    environ = {variable: "60", "BOTOCACHE_TTL": "7"}
    assert _load({}, environ) == _load({}, environ) == _load({"ttl": 7})
    (record,) = caplog.records
    message = record.getMessage()
    assert (record.levelname, record.name) == ("WARNING", "botocache")
    start = f"botocache: variable {variable!r} is unknown and ignored; "
    assert message.startswith(start)
    assert nearest in message


@pytest.mark.parametrize("value", ["", " ", "\t\n"])
@pytest.mark.parametrize("name", sorted({*ROWS} - {"encryption_keys"}))
def test_an_empty_variable_is_not_set(name: str, value: str, tmp_path: Path) -> None:
    environ = _file(tmp_path, f"{name} = {ROWS[name].toml}")
    environ[f"BOTOCACHE_{name.upper()}"] = value
    assert getattr(_load({}, environ), name) == ROWS[name].from_file


@pytest.mark.parametrize("variable", ["BOTOCACHE_CONFIG", "BOTOCACHE_NO_SUCH"])
@pytest.mark.parametrize("value", ["", " "])
def test_no_line_speaks_of_another_variable_that_is_empty(
    variable: str, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert _load({}, {variable: value}) == _load()
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("old", "new"), [("follow", "client_tracking"), ("write_window", "write_hold_off")]
)
def test_a_former_name_in_the_file_is_an_error_that_names_the_new_one(
    old: str, new: str, tmp_path: Path
) -> None:
    message = _message({}, _file(tmp_path, f"{old} = 5"))
    assert message.endswith(f"; it is {new!r} now")


def test_an_unknown_setting_of_the_file_is_an_error_with_the_nearest_name(
    tmp_path: Path,
) -> None:
    environ = _file(tmp_path, "tll = 5")
    message = _message({}, environ)
    assert message.startswith("unknown setting 'tll in ")
    assert environ["BOTOCACHE_CONFIG"] in message
    assert message.endswith("did you mean 'ttl'?")


def test_where_no_name_is_near_all_are_told(tmp_path: Path) -> None:
    message = _message({}, _file(tmp_path, "xyzzy = 1"))
    assert all(name in message for name in _PARSERS)


@pytest.mark.parametrize(
    "variable",
    ["BOTOCACHE", "BOTOCACHES_TTL", "botocache_ttl", "MY_BOTOCACHE_TTL", "PATH", ""],
)
def test_a_variable_of_another_program_is_ignored(variable: str) -> None:
    assert _load({}, {variable: "x"}) == _load()


SHADOWED: dict[str, tuple[dict[str, Any], dict[str, str], bool]] = {
    "the toggle": ({}, {"BOTOCACHE": "shadow"}, True),
    "the toggle in another spelling": ({}, {"BOTOCACHE": " Shadow "}, True),
    "a variable that contradicts it": (
        {},
        {"BOTOCACHE": "shadow", "BOTOCACHE_SHADOW": "off"},
        True,
    ),
    "an argument that contradicts it": (
        {"shadow": False},
        {"BOTOCACHE": "shadow"},
        False,
    ),
    "another toggle": ({}, {"BOTOCACHE": "1"}, False),
    "another toggle and the variable": (
        {},
        {"BOTOCACHE": "1", "BOTOCACHE_SHADOW": "on"},
        True,
    ),
}


@pytest.mark.parametrize("name", SHADOWED)
def test_the_toggle_sets_shadow_for_install_as_well(name: str) -> None:
    arguments, environment, expected = SHADOWED[name]
    assert _load(arguments, environment).shadow is expected


SERVICE_LINKS = [
    "SERVICE_HOST",
    "SERVICE_PORT",
    "SERVICE_PORT_HTTP",
    "PORT",
    "PORT_6379_TCP",
    "PORT_6379_TCP_ADDR",
    "PORT_6379_TCP_PORT",
    "PORT_6379_TCP_PROTO",
]


@pytest.mark.parametrize("link", SERVICE_LINKS)
def test_what_kubernetes_sets_for_a_service_called_botocache_is_ignored(
    link: str,
) -> None:
    assert _load({}, {f"BOTOCACHE_{link}": "tcp://10.0.0.1:6379"}) == _load()


@pytest.mark.parametrize("link", SERVICE_LINKS)
def test_what_kubernetes_sets_for_a_service_called_botocache_redis_is_ignored(
    link: str,
) -> None:
    assert _load({}, {f"BOTOCACHE_REDIS_{link}": "tcp://10.0.0.1:6379"}) == _load()


# --- the file ----------------------------------------------------------------------


def test_an_empty_file_sets_nothing(tmp_path: Path) -> None:
    assert _load({}, _file(tmp_path, "")) == _load()


@pytest.mark.parametrize(
    "content",
    [b"ttl 5", b"ttl = ", b"[ttl", b"ttl = 1\nttl = 2", b"\xff\xfe", b"[]", b"\x00"],
)
def test_a_file_that_is_no_toml_is_an_error_that_names_it(
    content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    message = _message({}, {"BOTOCACHE_CONFIG": str(path)})
    assert "BOTOCACHE_CONFIG" in message
    assert repr(str(path)) in message
    assert "cannot be read as TOML" in message


@pytest.mark.parametrize("name", ["absent.toml", ".", "a\x00b"])
def test_a_file_that_cannot_be_read_is_an_error_that_names_it(
    name: str, tmp_path: Path
) -> None:
    path = f"{tmp_path}/{name}"
    message = _message({}, {"BOTOCACHE_CONFIG": path})
    assert repr(path) in message


# --- tables ------------------------------------------------------------------------


def _on(ttl: float, negative_ttl: float) -> TablePolicy:
    return TablePolicy(
        ttl=ttl,
        negative_ttl=negative_ttl,
        operations=READS,
        index_queries=CachingMode.COHERENT,
        scans=CachingMode.COHERENT,
        scan_size_limit=64 * 1024,
    )


def _off(ttl: float = 60.0) -> TablePolicy:
    return _on(ttl, 5.0)._replace(operations=frozenset())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, _on(60.0, 5.0)),
        ({"ttl": 300}, _on(300.0, 5.0)),
        ({"ttl": 2}, _on(2.0, 2.0)),
        ({"negative_ttl": 0}, _on(60.0, 0.0)),
        ({"negative_ttl": 300}, _on(60.0, 60.0)),
        ({"tables": "users=300"}, _on(300.0, 5.0)),
        ({"tables": "users=1"}, _on(1.0, 1.0)),
        ({"tables": "users=off"}, _off()),
        ({"tables": "others=off"}, _on(60.0, 5.0)),
        ({"tables": "Users=off"}, _on(60.0, 5.0)),
        ({"tables": "*=off"}, _off()),
        ({"tables": "*=7", "ttl": 300}, _on(7.0, 5.0)),
        ({"tables": "users=9,*=off"}, _on(9.0, 5.0)),
        ({"tables": "users=off,*=9"}, _off()),
        ({"tables": "user?=off"}, _off()),
        ({"tables": {"users": {}, "*": 7}, "ttl": 300}, _on(300.0, 5.0)),
        ({"tables": {"users": {"negative_ttl": 9}}}, _on(60.0, 9.0)),
    ],
)
def test_a_table_is_treated_as_the_settings_say(
    arguments: Mapping[str, Any], expected: TablePolicy
) -> None:
    assert _load(arguments).policy("users") == expected


# --- with their sources ---------------------------------------------------------------


def test_a_trace_has_each_value_with_its_source(tmp_path: Path) -> None:
    file = tmp_path / "botocache.toml"
    file.write_text("ttl = 30\nsettle = 2\n")
    environ = {"BOTOCACHE_CONFIG": str(file), "BOTOCACHE_TTL": "5", "BOTOCACHE_X": "1"}
    traced = trace_settings(environ, "memory:")
    assert traced.settings == load_settings({}, environ, "memory:")
    assert traced.sources == {"ttl": "BOTOCACHE_TTL", "settle": f"settle in {file}"}
    assert traced.troubles == ()
    assert list(traced.unknown) == ["BOTOCACHE_X"]


def test_a_trace_has_all_troubles_and_the_next_source_instead(tmp_path: Path) -> None:
    file = tmp_path / "botocache.toml"
    file.write_text("ttl = 30\nsettel = 2\n")
    environ = {
        "BOTOCACHE_CONFIG": str(file),
        "BOTOCACHE_TTL": "often",
        "BOTOCACHE_NEAR": "maybe",
    }
    traced = trace_settings(environ, "memory:")
    assert (traced.settings.ttl, traced.settings.near) == (30.0, "on")
    assert [each.partition(":")[0] for each in traced.troubles] == [
        f"unknown setting 'settel in {file}'; did you mean 'settle'?",
        "BOTOCACHE_TTL",
        "BOTOCACHE_NEAR",
    ]
    # The first of them is what stops an installation.
    with pytest.raises(ConfigError) as raised:
        load_settings({}, environ, "memory:")
    assert str(raised.value) == traced.troubles[0]


def test_a_trace_writes_nothing_on_the_log(caplog: pytest.LogCaptureFixture) -> None:
    trace_settings({"BOTOCACHE_UNSEEN": "1"}, "memory:")
    assert caplog.messages == []


def test_a_file_that_cannot_be_read_leaves_the_environment() -> None:
    environ = {"BOTOCACHE_CONFIG": "/does/not/exist", "BOTOCACHE_TTL": "5"}
    traced = trace_settings(environ, "memory:")
    assert traced.settings.ttl == 5.0
    assert "cannot be read as TOML" in traced.troubles[0]


def test_shadow_by_the_toggle_has_a_source() -> None:
    traced = trace_settings({"BOTOCACHE": "shadow"}, "memory:")
    assert (traced.settings.shadow, traced.sources) == (True, {"shadow": "BOTOCACHE"})
