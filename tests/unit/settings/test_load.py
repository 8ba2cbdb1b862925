"""Settings: the nearest source wins, and whatever is wrong is said, with its place."""

from collections.abc import Mapping
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis.asyncio

from botocache._errors import ConfigError
from botocache._settings.load import _ARGUMENTS, _PARSERS, Settings, load_settings
from botocache._settings.tables import OFF, READS, TableOptions, TablePolicy
from botocache.stores import options
from botocache.stores.memory import MemoryStore

STORE = MemoryStore()
OFF_OPTIONS = TableOptions(enabled=False)


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
    "tables": _Row(
        (),
        "{ a = 1, b = false }",
        (("a", TableOptions(ttl=1.0)), ("b", OFF_OPTIONS)),
        "a=2,b=off",
        (("a", TableOptions(ttl=2.0)), ("b", OFF_OPTIONS)),
        {"b": "off", "a": 3},
        (("a", TableOptions(ttl=3.0)), ("b", OFF_OPTIONS)),
    ),
    "namespace": _Row("default", '"one"', "one", "two", "two", "three", "three"),
    "scope": _Row("auto", '"one"', "one", "two", "two", "three", "three"),
    "settle": _Row(1.0, "2", 2.0, "0", 0.0, 3.5, 3.5),
    "write_hold_off": _Row(5.0, "6", 6.0, "7", 7.0, 3600, 3600.0),
    "size_limit": _Row(
        None, '"2 MiB"', 2 * 1024**2, "3MB", 3 * 1024**2, 4194304, 4 * 1024**2
    ),
    "write_through": _Row(True, "false", False, "1", True, "off", False),
    "reads_after_write": _Row(
        "consistent",
        '"uncached"',
        "uncached",
        "consistent",
        "consistent",
        "Uncached",
        "uncached",
    ),
    "scan_size_limit": _Row(64 * 1024, "0", 0, "32KiB", 32 * 1024, "1M", 1024**2),
    "precise_index_eviction": _Row(False, "true", True, "off", False, 1, True),
    "timeout": _Row(0.02, "0.5", 0.5, "0.001", 0.001, 10, 10.0),
    "on_eviction_failure": _Row(
        "send", '"refuse"', "refuse", "send", "send", "Refuse", "refuse"
    ),
    "client_tracking": _Row(False, "true", True, "off", False, "On", True),
    "near": _Row("on", "false", "off", "Untraced", "untraced", True, "on"),
    "near_size_limit": _Row(
        64 * 1024**2, "0", 0, "1MiB", 1024**2, "32 MB", 32 * 1024**2
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
    names = {field.name for field in fields(Settings)}
    assert names == set(_PARSERS) | set(_ARGUMENTS)
    assert set(ROWS) == set(_PARSERS)
    assert set(_ARGUMENTS) == {"store"}


def test_settings_cannot_be_changed_and_are_equal_when_they_say_the_same() -> None:
    settings = _load({"ttl": 7})
    assert settings == _load({}, {"BOTOCACHE_TTL": "7"})
    assert hash(settings) == hash(_load({"ttl": "7"}))
    assert settings != _load({"ttl": 8})
    with pytest.raises(FrozenInstanceError):
        settings.ttl = 8.0  # type: ignore[misc]  # that is what is tested


# --- precedence --------------------------------------------------------------------


@pytest.mark.parametrize("name", ROWS)
def test_what_nobody_sets_has_its_default(name: str) -> None:
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


# --- good values -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1048576", 1024**2),
        (" 1048576 ", 1024**2),
        ("1048576B", 1024**2),
        ("1024K", 1024**2),
        ("1024KB", 1024**2),
        ("1024kib", 1024**2),
        ("5M", 5 * 1024**2),
        ("5 MB", 5 * 1024**2),
        ("5MiB", 5 * 1024**2),
        ("2g", 2 * 1024**3),
        ("2GB", 2 * 1024**3),
        ("2 GiB", 2 * 1024**3),
        (1048576, 1024**2),
    ],
)
def test_a_size_is_bytes_or_has_a_unit(text: Any, size: int) -> None:
    assert _load({"size_limit": text}).size_limit == size


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), (0, 0), ("1", 1), ("64KiB", 65536), ("1 k", 1024), (10**12, 10**12)],
)
def test_a_scans_size_is_bytes_or_has_a_unit_and_may_be_nothing(
    text: Any, size: int
) -> None:
    assert _load({"scan_size_limit": text}).scan_size_limit == size


SWITCHED = ("write_through", "precise_index_eviction", "client_tracking")
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
        ("size_limit", 1024**2),
        ("timeout", 10),
        ("timeout", 0.0001),
    ],
)
def test_the_limits_themselves_are_good(name: str, value: Any) -> None:
    assert getattr(_load({name: value}), name) == value


# --- bad values --------------------------------------------------------------------

SECONDS = "expected a number of seconds from 0"
TTL = "expected a number of seconds from 0.001 to 2592000"
AT_MOST = "expected at most 3600 seconds"
PAIRS = "expected 'name=seconds,other=off,*=60'"
NAME = "expected 1 to 64 letters, digits"
SIZE = "expected bytes as 268435456 or '256MiB', at least 1 MiB"
SCAN_SIZE = "expected bytes as 65536 or '64KiB'"
SWITCH = "expected 'on' or 'off'"
SETTLE_READS = "expected 'consistent' or 'uncached'"
TIMEOUT = "expected a number of seconds from 0 to 10"
UNEVICTED = "expected 'send' or 'refuse'"
NEAR = "expected 'on', 'off' or 'untraced'"

BAD_TEXTS = [
    *(
        ("ttl", text, TTL)
        for text in ("", "x", "0", "-1", "1m", "nan", "inf", "1e9", "60 s", "1,5")
    ),
    *(("negative_ttl", text, SECONDS) for text in ("", "off", "-1", "nan", "1e9")),
    *(("settle", text, SECONDS) for text in ("", "x", "-0.1", "nan", "inf")),
    *(("write_hold_off", text, SECONDS) for text in ("", "x", "-0.1", "nan", "1e9")),
    ("settle", "3600.1", AT_MOST),
    ("write_hold_off", "3601", AT_MOST),
    *(("tables", text, PAIRS) for text in ("users", "=60", "users=", "a=1,b")),
    *(("tables", text, TTL) for text in ("a=x", "a=0", "a=1;b", "a=nan")),
    *(
        ("namespace", text, NAME)
        for text in ("", "-a", ".a", "a b", "a/b", "ü", "a" * 65, "a\n")
    ),
    ("scope", "", "expected 'auto' or a name"),
    *(
        ("size_limit", text, SIZE)
        for text in ("", "x", "0", "1K", "1048575", "-5M", "1.5G", "5T", "5000\u212a")
    ),
    *(("scan_size_limit", text, SCAN_SIZE) for text in ("", "x", "-1", "1.5K")),
    *(
        (name, text, SWITCH)
        for name in SWITCHED
        for text in ("", "x", "2", "1.0", "-1", "yes", "on off")
    ),
    *(("near", text, NEAR) for text in ("", "x", "2", "traced")),
    *(("near_size_limit", text, "expected bytes") for text in ("", "x", "-1")),
    *(("reads_after_write", text, SETTLE_READS) for text in ("", "x", "on", "0")),
    ("reads_after_write", "cached", "'cached'; did you mean 'uncached'?"),
    *(("timeout", text, TIMEOUT) for text in ("", "x", "-1", "10.1", "nan", "20ms")),
    *(("timeout", text, "expected more than 0 seconds") for text in ("0", "0.0")),
    *(("on_eviction_failure", text, UNEVICTED) for text in ("", "x", "on", "0")),
    ("on_eviction_failure", "refused", "did you mean 'refuse'?"),
]

BAD_ARGUMENTS = [
    *((name, None, "expected") for name in ROWS if name != "size_limit"),
    *((name, True, "expected") for name in ROWS if name not in (*SWITCHED, "near")),
    *((name, [], "expected") for name in ROWS),
    *(
        (name, 10**400, SECONDS)
        for name in ("negative_ttl", "settle", "write_hold_off")
    ),
    ("ttl", 10**400, TTL),
    ("url", 5, "expected a URL or a store object"),
    ("url", object, "expected a URL or a store object"),
    ("tables", {"a": None}, TTL),
    ("tables", {"a": 0}, TTL),
    ("tables", {"a": 10**400}, TTL),
    ("tables", {"a": {"ttl": 0}}, TTL),
    ("tables", {"": 60}, "expected"),
    ("tables", {5: 60}, "expected"),
    ("tables", [("a", 60)], PAIRS),
    ("namespace", b"a", NAME),
    ("scope", 5, "expected 'auto' or a name"),
    ("size_limit", 1024**2 - 1, SIZE),
    ("size_limit", 2.0 * 1024**2, SIZE),
    ("scan_size_limit", 1.0, SCAN_SIZE),
    ("write_through", 2, SWITCH),
    ("precise_index_eviction", 1.0, SWITCH),
    ("client_tracking", None, SWITCH),
    ("reads_after_write", False, SETTLE_READS),
    ("timeout", 0, "expected more than 0 seconds"),
    ("timeout", 10**400, TIMEOUT),
    ("on_eviction_failure", False, UNEVICTED),
]

BAD_LITERALS = [
    *((name, "[]", "expected") for name in ROWS),
    *((name, "true", "expected") for name in ROWS if name not in (*SWITCHED, "near")),
    ("near", '"yes"', NEAR),
    *((name, "2024-01-01", "expected") for name in ROWS),
    ("ttl", "0", TTL),
    ("ttl", "1" + "0" * 400, TTL),
    ("ttl", '"one minute"', TTL),
    ("settle", "3601", AT_MOST),
    ("tables", '"users"', PAIRS),
    ("tables", "{ users = 0 }", TTL),
    ("tables", "{ users = { ttl = 0 } }", TTL),
    ("tables", "{ my.users = 5 }", "unknown option 'users'"),
    ("url", "5", "expected a URL"),
    ("namespace", "5", NAME),
    ("scope", "5", "expected 'auto' or a name"),
    ("size_limit", "1000", SIZE),
    ("scan_size_limit", "-1", SCAN_SIZE),
    ("write_through", "2", SWITCH),
    ("precise_index_eviction", '"yes"', SWITCH),
    ("client_tracking", '"no"', SWITCH),
    ("reads_after_write", "false", SETTLE_READS),
    ("timeout", "11", TIMEOUT),
    ("on_eviction_failure", "true", UNEVICTED),
]


def _short(value: Any) -> str:
    return ascii(value)[:20]


@pytest.mark.parametrize(("name", "value", "expected"), BAD_ARGUMENTS, ids=_short)
def test_a_bad_argument_is_named_with_what_was_expected(
    name: str, value: Any, expected: str
) -> None:
    message = _message({name: value})
    assert message.startswith(f"{name}: ")
    assert expected in message


@pytest.mark.parametrize(("name", "text", "expected"), BAD_TEXTS, ids=_short)
def test_a_bad_text_is_named_with_what_was_expected_as_argument_too(
    name: str, text: str, expected: str
) -> None:
    message = _message({name: text})
    assert message.startswith(f"{name}: ")
    assert expected in message


@pytest.mark.parametrize(("name", "text", "expected"), BAD_TEXTS, ids=_short)
def test_a_bad_variable_is_named_with_what_was_expected(
    name: str, text: str, expected: str
) -> None:
    variable = f"BOTOCACHE_{name.upper()}"
    message = _message({}, {variable: text})
    assert message.startswith(f"{variable}: ")
    assert expected in message


@pytest.mark.parametrize(("name", "literal", "expected"), BAD_LITERALS, ids=_short)
def test_a_bad_setting_of_the_file_is_named_with_what_was_expected(
    name: str, literal: str, expected: str, tmp_path: Path
) -> None:
    environ = _file(tmp_path, f"{name} = {literal}")
    message = _message({}, environ)
    assert message.startswith(f"{name} in {environ['BOTOCACHE_CONFIG']}: ")
    assert expected in message


def test_a_bad_value_is_an_error_even_where_another_source_wins() -> None:
    assert "BOTOCACHE_TTL" in _message({"ttl": 5}, {"BOTOCACHE_TTL": "x"})


def test_what_is_wrong_with_a_table_names_source_table_and_what_is_good(
    tmp_path: Path,
) -> None:
    sentence = (
        "table 'sessions': expected a number of seconds from 0.001 to 2592000, "
        "'on', 'off' or options, not 'never'"
    )
    text = "users=5,sessions=never"
    environ = _file(tmp_path, "[tables]\nsessions = 'never'")
    in_file = f"tables in {environ['BOTOCACHE_CONFIG']}"
    assert _message({"tables": text}) == f"tables: {sentence}"
    assert _message({}, {"BOTOCACHE_TABLES": text}) == f"BOTOCACHE_TABLES: {sentence}"
    assert _message({}, environ) == f"{in_file}: {sentence}"


# --- a store that is an object ------------------------------------------------------


def test_a_store_may_be_given_instead_of_a_url() -> None:
    settings = _load({"store": STORE}, {"BOTOCACHE_URL": "redis://host"})
    assert settings.store is STORE
    assert settings.url == ""
    assert settings == _load({"store": STORE})
    assert settings != _load({"store": MemoryStore()})
    assert hash(settings) == hash(_load({"store": STORE}))


def test_a_store_may_be_given_as_url_and_is_the_same() -> None:
    assert _load({"url": STORE}) == _load({"store": STORE})


def test_no_store_is_none_given() -> None:
    assert _load({"store": None}) == _load()
    assert _load({"store": None, "url": "memory:"}).url == "memory:"


@pytest.mark.parametrize("url", ["memory:", STORE])
def test_a_store_and_a_url_are_one_too_many(url: Any) -> None:
    message = _message({"store": STORE, "url": url})
    assert message == "url and store are both given; expected one of them"


def test_a_client_of_redis_is_a_store_whatever_its_class_of_theirs() -> None:
    class Mine(redis.Redis):
        pass

    for client in (redis.Redis(), Mine(), redis.Redis.from_url("redis://:pw@host")):
        assert _load({"store": client}).store is client


@pytest.mark.parametrize(
    "bad",
    [
        "redis://user:s3cret@host",
        b"x",
        5,
        True,
        MemoryStore,
        redis.Redis,
        redis.asyncio.Redis(),
        redis.ConnectionPool(password="s3cret"),
    ],
    ids=_short,
)
def test_nothing_else_is_a_store(bad: Any) -> None:
    message = _message({"store": bad})
    assert message.startswith("store: expected a store object or a client of redis-py")
    assert type(bad).__name__ in message
    assert "s3cret" not in message


def test_a_client_of_redis_as_url_is_refused_without_its_password() -> None:
    message = _message({"url": redis.Redis(password="s3cret")})
    assert message.startswith("url: expected a URL or a store object")
    assert "s3cret" not in message


def test_no_variable_and_no_file_names_a_store(tmp_path: Path) -> None:
    sentence = "an object, for install() alone; expected 'url'"
    environ = {"BOTOCACHE_STORE": "redis://:s3cret@host"}
    assert _message({}, environ) == f"BOTOCACHE_STORE: {sentence}"
    environ = _file(tmp_path, "store = 'redis://:s3cret@host'")
    where = f"store in {environ['BOTOCACHE_CONFIG']}"
    assert _message({}, environ) == f"{where}: {sentence}"


# --- what settings tell of themselves ------------------------------------------------


def test_settings_show_all_but_passwords() -> None:
    shown = repr(_load({"url": "redis://user:s3cret@host:1/0", "ttl": 7}))
    assert "s3cret" not in shown
    assert "user" not in shown
    assert "url='redis://***@host:1/0'" in shown
    assert "ttl=7.0" in shown
    for name in ROWS:
        assert f"{name}=" in shown
    shown = repr(_load({"store": redis.Redis(password="s3cret")}))
    assert "store='Redis'" in shown
    assert "s3cret" not in shown
    assert "store='MemoryStore'" in repr(_load({"url": STORE}))


@pytest.mark.parametrize(
    ("arguments", "longest"),
    [
        ({}, 60.0),
        ({"ttl": 7}, 7.0),
        ({"ttl": 7, "negative_ttl": 100}, 7.0),
        ({"ttl": 7, "tables": "a=5,b=off"}, 7.0),
        ({"ttl": 7, "tables": "a=5,b=300 negative_ttl:5,c*=8"}, 300.0),
        ({"tables": {"a": {"scans": "ttl"}}}, 60.0),
    ],
)
def test_the_longest_ttl_is_that_of_settings_or_tables(
    arguments: dict[str, Any], longest: float
) -> None:
    assert _load(arguments).longest_ttl() == longest


# --- unknown names -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("tll", "ttl"),
        ("TTL", "did you mean 'ttl'?"),
        ("negativ_ttl", "negative_ttl"),
        ("table", "tables"),
        ("name_space", "namespace"),
        ("size", "known: "),
        ("", "known: "),
        ("config", "known: "),
    ],
)
def test_an_unknown_argument_is_an_error_with_the_nearest_name(
    name: str, nearest: str
) -> None:
    message = _message({name: "60"})
    assert message.startswith(f"unknown argument {name!r}; ")
    assert nearest in message


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("BOTOCACHE_TLL", "'BOTOCACHE_TTL'"),
        ("BOTOCACHE_TABLE", "'BOTOCACHE_TABLES'"),
        ("BOTOCACHE_CONFG", "'BOTOCACHE_CONFIG'"),
        ("BOTOCACHE_ttl", "did you mean 'BOTOCACHE_TTL'?"),
        ("BOTOCACHE_", "BOTOCACHE_"),
        ("BOTOCACHE_SERVICE", "BOTOCACHE_"),
        ("BOTOCACHE_PORTS", "BOTOCACHE_"),
        ("BOTOCACHE_TTL_SERVICE", "BOTOCACHE_"),
    ],
)
def test_an_unknown_variable_is_an_error_with_the_nearest_name(
    variable: str, nearest: str
) -> None:
    message = _message({}, {variable: "60"})
    assert message.startswith(f"unknown variable {variable!r}; ")
    assert nearest in message


def test_an_unknown_setting_of_the_file_is_an_error_with_the_nearest_name(
    tmp_path: Path,
) -> None:
    environ = _file(tmp_path, "tll = 5")
    message = _message({}, environ)
    assert message.startswith("unknown setting 'tll in ")
    assert environ["BOTOCACHE_CONFIG"] in message
    assert message.endswith("did you mean 'ttl'?")


def test_where_no_name_is_near_all_are_told() -> None:
    message = _message({"xyzzy": 1})
    assert all(name in message for name in _PARSERS)


@pytest.mark.parametrize(
    "variable",
    ["BOTOCACHE", "BOTOCACHES_TTL", "botocache_ttl", "MY_BOTOCACHE_TTL", "PATH", ""],
)
def test_a_variable_of_somebody_else_is_none_of_ours(variable: str) -> None:
    assert _load({}, {variable: "x"}) == _load()


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


def test_an_empty_name_of_a_file_names_none() -> None:
    assert _load({}, {"BOTOCACHE_CONFIG": ""}) == _load()


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
        enabled=True,
        ttl=ttl,
        negative_ttl=negative_ttl,
        operations=READS,
        index_queries="coherent",
        scans="coherent",
    )


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
        ({"tables": "users=off"}, OFF),
        ({"tables": "others=off"}, _on(60.0, 5.0)),
        ({"tables": "Users=off"}, _on(60.0, 5.0)),
        ({"tables": "*=off"}, OFF),
        ({"tables": "*=7", "ttl": 300}, _on(7.0, 5.0)),
        ({"tables": "users=9,*=off"}, _on(9.0, 5.0)),
        ({"tables": "users=off,*=9"}, OFF),
        ({"tables": {"users": False}}, OFF),
        ({"tables": "user?=off"}, OFF),
        ({"tables": "users=on,*=7", "ttl": 300}, _on(300.0, 5.0)),
        ({"tables": "users=negative_ttl:9"}, _on(60.0, 9.0)),
    ],
)
def test_a_table_is_treated_as_the_settings_say(
    arguments: Mapping[str, Any], expected: TablePolicy
) -> None:
    assert _load(arguments).policy("users") == expected
