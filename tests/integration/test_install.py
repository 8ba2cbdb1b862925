"""Which clients an installation reaches, and how it ends."""

import inspect
import re
import socket
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import botocore.handlers
import botocore.session
import pytest
import redis

import botocache
from botocache import Cache, ConfigError, _install
from botocache._settings.load import Settings, load_settings
from botocache.stores.memory import MemoryStore
from botocache.stores.options import StoreOptions, default_url
from botocache.stores.protocol import Store
from botocache.stores.redis import store as redis_store
from tests.integration.app import (
    KEY_ID,
    WINDOW,
    World,
    get,
    put,
    query,
    set_n,
)
from tests.support.clock import FakeClock
from tests.support.dynamodb import MADE, REGION, DynamoDB, new_botocore_session
from tests.support.network import intercept


@pytest.fixture
def store(clock: FakeClock) -> Store:
    """Return one store: nothing here depends on which."""
    return MemoryStore(clock=clock)


_ALL_OBJECTS = _install._all_objects


@pytest.fixture(autouse=True)
def _objects_of_the_tests(
    monkeypatch: pytest.MonkeyPatch, dynamodb: DynamoDB, outside: Any
) -> None:
    """Show a process-wide installation only the objects that the tests have made.

    Looking through all objects of this process takes longer than most tests here.
    """
    monkeypatch.setattr(_install, "_all_objects", lambda: [*MADE])


@pytest.fixture
def all_objects(monkeypatch: pytest.MonkeyPatch, _objects_of_the_tests: None) -> None:
    """Show a process-wide installation all objects, as in an application."""
    monkeypatch.setattr(_install, "_all_objects", _ALL_OBJECTS)


# --- targets -----------------------------------------------------------------------


class Target(NamedTuple):
    """A target of an installation.

    target: what to install on.
    read: reads the item a through the target, by a client that it makes when it is
        called if the target has none.
    """

    target: Any
    read: Callable[[str], Any]


def _process(world: World) -> Target:
    return Target(None, lambda t: get(world.client(world.session()), t, pk="a"))


def _boto3_session(world: World) -> Target:
    session = world.session()
    return Target(session, lambda t: get(world.client(session), t, pk="a"))


def _botocore_session(world: World) -> Target:
    inner = new_botocore_session()
    session = world.session(botocore_session=inner)
    return Target(inner, lambda t: get(world.client(session), t, pk="a"))


def _client(world: World) -> Target:
    client = world.client(world.session())
    return Target(client, lambda t: get(client, t, pk="a"))


def _resource(world: World) -> Target:
    resource = world.resource(world.session())
    return Target(resource, lambda t: resource.Table(t).get_item(Key={"pk": "a"}))


def _table(world: World) -> Target:
    resource = world.resource(world.session())
    table = resource.Table("whatever")
    return Target(table, lambda t: resource.Table(t).get_item(Key={"pk": "a"}))


TARGETS = {
    "the process": _process,
    "a boto3 session": _boto3_session,
    "a botocore session": _botocore_session,
    "a client": _client,
    "a resource": _resource,
    "a Table": _table,
}

targets = pytest.mark.parametrize("make", TARGETS.values(), ids=TARGETS.keys())


def reaching(world: World, target: Target, table: str, *, reads: int = 2) -> int:
    """Return how many of some equal reads reach DynamoDB."""
    with world.counting() as reached:
        for _ in range(reads):
            target.read(table)
    return int(reached["GetItem"])


@targets
def test_reads_through_the_target_are_cached(
    make: Callable[[World], Target], world: World, table: str
) -> None:
    target = make(world)
    cache = botocache.install(target.target, url=world.store)
    assert isinstance(cache, Cache)
    assert reaching(world, target, table) == 1
    assert (cache.stats().misses, cache.stats().hits) == (1, 1)


@targets
def test_what_is_installed_can_be_looked_at(
    make: Callable[[World], Target], world: World
) -> None:
    target = make(world)
    assert botocache.installed(target.target) is None
    cache = botocache.install(target.target, url=world.store)
    assert botocache.installed(target.target) is cache
    botocache.uninstall(target.target)
    assert botocache.installed(target.target) is None


@targets
def test_a_look_installs_nothing(
    make: Callable[[World], Target], world: World, table: str
) -> None:
    target = make(world)
    client = world.client(world.session())
    kind = type(client)
    handlers = list(botocore.handlers.BUILTIN_HANDLERS)
    for each in (None, client, target.target):
        assert botocache.installed(each) is None
    assert handlers == botocore.handlers.BUILTIN_HANDLERS
    assert type(client) is kind
    assert reaching(world, target, table) == 2


@targets
def test_a_part_of_the_process_has_the_cache_of_the_process(
    make: Callable[[World], Target], world: World
) -> None:
    target = make(world)
    cache = botocache.install(url=world.store)
    assert botocache.installed(target.target) is cache
    botocache.uninstall()
    assert botocache.installed(target.target) is None


def test_the_process_does_not_have_the_cache_of_a_part(world: World) -> None:
    session = world.session()
    cache = botocache.install(session, url=world.store)
    assert botocache.installed() is None
    assert botocache.installed(world.client(session)) is cache
    assert botocache.installed(world.client(world.session())) is None


def test_a_look_at_a_wrong_target_is_refused() -> None:
    with pytest.raises(ConfigError, match="not str"):
        botocache.installed("dynamodb")


@targets
def test_uninstall_undoes_an_installation(
    make: Callable[[World], Target], world: World, table: str
) -> None:
    target = make(world)
    cache = botocache.install(target.target, url=world.store)
    target.read(table)
    botocache.uninstall(target.target)
    assert reaching(world, target, table) == 2
    assert cache.stats().hits == 0


@targets
def test_installing_twice_is_one_installation(
    make: Callable[[World], Target], world: World, table: str
) -> None:
    target = make(world)
    cache = botocache.install(target.target, url=world.store)
    assert botocache.install(target.target, url=world.store) is cache
    assert reaching(world, target, table) == 1
    assert (cache.stats().misses, cache.stats().hits) == (1, 1)
    botocache.uninstall(target.target)
    assert reaching(world, target, table) == 2
    botocache.uninstall(target.target)  # once undone, nothing


@targets
def test_an_installation_can_be_repeated_after_uninstall(
    make: Callable[[World], Target], world: World, table: str
) -> None:
    target = make(world)
    for ttl in (60, 61, 60):
        cache = botocache.install(target.target, url=world.store, ttl=ttl)
        assert cache.settings.ttl == ttl
        before = cache.stats()
        cache.invalidate(table)
        world.settle()
        assert reaching(world, target, table) == 1
        after = cache.stats()
        assert (after.misses - before.misses, after.hits - before.hits) == (1, 1)
        botocache.uninstall(target.target)
        assert reaching(world, target, table) == 2


@targets
def test_uninstall_without_an_installation_does_nothing(
    make: Callable[[World], Target], world: World, table: str
) -> None:
    target = make(world)
    botocache.uninstall(target.target)
    assert reaching(world, target, table) == 2


@targets
def test_other_settings_are_refused_and_the_first_ones_stay(
    make: Callable[[World], Target], world: World, table: str
) -> None:
    target = make(world)
    cache = botocache.install(target.target, url=world.store)
    with pytest.raises(ConfigError, match=r"ttl=60.*7"):
        botocache.install(target.target, url=world.store, ttl=7)
    assert reaching(world, target, table) == 1
    assert (cache.stats().misses, cache.stats().hits) == (1, 1)


OTHER_SETTINGS: dict[str, tuple[Any, str]] = {
    "url": ("redis://user:s3cret@host:1/0", "'redis://***@host:1/0' here"),
    "ttl": (7, "7"),
    "negative_ttl": (7, "7"),
    "tables": ({"users": {"ttl": 7}}, "'users', TableOptions(ttl=7.0)"),
    "scope": ("team", "team"),
    "timeout": (7, "7"),
    "stale_if_throttled": (7, "7"),
    "namespace": ("mine", "mine"),
    "settle": (7, "7"),
    "write_hold_off": (7, "7"),
    "reads_after_write": ("uncached", "uncached"),
    "on_eviction_failure": ("refuse", "refuse"),
    "client_tracking": (True, "True"),
    "precise_index_eviction": (True, "True"),
    "streams": ("users", "('users',)"),
    "ttl_unfollowed": (7, "7"),
    "miss_leases": (True, "True"),
    "near": ("off", "off"),
    "fast_parsing": (False, "False"),
    "coalesce": (False, "False"),
    "encryption_keys": (["s3cret".ljust(32, "=").encode()], "<key>"),
    "shadow": (True, "True"),
    "audit": (0.5, "0.5"),
    "metrics": ("otel", "('otel',)"),
    "stats_interval": (7, "7"),
    "prices": ("on_demand=7", "on_demand=7.0"),
}
"""A value of each setting that is not the default, and what shows it."""

SETTINGS = [field.name for field in fields(Settings)]


@pytest.mark.parametrize("name", SETTINGS)
def test_the_refusal_names_the_difference_and_no_password(
    name: str, world: World
) -> None:
    session = world.session()
    botocache.install(session, url=world.store)
    value, shown = OTHER_SETTINGS[name]
    more: dict[str, Any] = {"url": world.store, name: value}
    with pytest.raises(ConfigError) as refused:
        botocache.install(session, **more)
    message = str(refused.value)
    assert message.startswith(f"already installed with other settings ({name}=")
    assert shown in message
    assert "s3cret" not in message
    assert message.count(" there and ") == 1


def test_two_logins_of_one_server_are_two_settings(world: World) -> None:
    session = world.session()
    botocache.install(session, url="redis://:s3cret@host")
    with pytest.raises(ConfigError, match=r"'another redis://\*\*\*@host' here"):
        botocache.install(session, url="redis://:other@host")


# --- the settings of install() -----------------------------------------------------


def test_install_has_a_keyword_for_each_setting_and_each_is_not_given() -> None:
    target, *keywords = inspect.signature(botocache.install).parameters.values()
    assert (target.name, target.default) == ("target", None)
    assert [keyword.name for keyword in keywords] == SETTINGS
    for keyword in keywords:
        assert keyword.kind is inspect.Parameter.KEYWORD_ONLY
        assert keyword.default is None


def test_install_describes_each_setting() -> None:
    described = re.findall(
        r"^(\w+): ", inspect.getdoc(botocache.install) or "", re.MULTILINE
    )
    assert described == ["target", *SETTINGS]
    assert (
        re.findall(r"^(\w+): ", inspect.getdoc(Settings) or "", re.MULTILINE)
        == SETTINGS
    )


@pytest.mark.parametrize("name", SETTINGS)
def test_install_hands_each_setting_on(name: str, world: World) -> None:
    value = OTHER_SETTINGS[name][0]
    keywords: dict[str, Any] = {"url": world.store, name: value}
    cache = botocache.install(world.session(), **keywords)
    expected = load_settings(keywords, {}, default_url())
    assert cache.settings == expected
    assert getattr(expected, name) != getattr(Settings(), name)


def test_an_unknown_setting_is_no_keyword(session: boto3.Session) -> None:
    install: Any = botocache.install
    with pytest.raises(TypeError, match="'tll'"):
        install(session, tll=5)


@pytest.mark.parametrize(
    "url",
    [
        "nosql://user:s3cret@host/0",
        "nosql://:s3cret@host/0",
        "nosql://:p@s3cret@host/0",
        "nosql://user:a/s3cret@host/0",
        "nosql://host/0?password=s3cret",
        "memory://user:s3cret@host",
        "disk://user:s3cret@host/path",
    ],
)
def test_a_url_that_names_no_store_is_refused_without_showing_its_password(
    url: str, session: boto3.Session
) -> None:
    with pytest.raises(ConfigError) as refused:
        botocache.install(session, url=url)
    assert "s3cret" not in str(refused.value)


# --- which store -------------------------------------------------------------------


def test_another_store_is_another_installation(world: World, clock: FakeClock) -> None:
    session = world.session()
    botocache.install(session, url=world.store)
    for other, shown in (
        (MemoryStore(clock=clock), "another MemoryStore"),
        (redis.Redis(password="s3cret"), "Redis"),
        ("redis://:s3cret@host", "redis://***@host"),
    ):
        expected = f"url='MemoryStore' there and {shown!r} here"
        with pytest.raises(ConfigError, match=re.escape(expected)) as refused:
            botocache.install(session, url=other)
        assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("url", ["memory:", "disk:"])
def test_one_place_has_one_size_limit(url: str, world: World) -> None:
    sessions = [world.session() for _ in range(3)]
    large, small = f"{url}?size_limit=2MiB", f"{url}?size_limit=1MiB"
    first = botocache.install(sessions[0], url=large)
    with pytest.raises(ConfigError) as refused:
        botocache.install(sessions[1], url=small)
    assert str(refused.value) == (
        f"url {small!r}: this process uses the same place already with another "
        "size_limit; give both the same one"
    )
    second = botocache.install(sessions[1], url=f"{url}?size_limit=2048KiB")
    assert second is not first
    assert len(_install._stores) == 1
    botocache.install(sessions[2], url=small, namespace="another")


@pytest.fixture
def openings(monkeypatch: pytest.MonkeyPatch) -> list[StoreOptions]:
    """What the store of Redis is opened with."""
    made: list[StoreOptions] = []

    def open_redis(opening: StoreOptions) -> Store:
        made.append(opening)
        return MemoryStore()

    monkeypatch.setattr(redis_store, "open_redis", open_redis)
    return made


def test_a_client_of_redis_is_opened_as_the_settings_say(
    world: World, openings: list[StoreOptions]
) -> None:
    client = redis.Redis()
    more: dict[str, Any] = {"timeout": 0.5, "settle": 2, "tables": "a=300"}
    cache = botocache.install(world.session(), url=client, **more)
    assert botocache.install(world.session(), url=client, **more) is cache
    (opening,) = openings
    assert opening.client is client
    assert (opening.timeout, opening.settle) == (0.5, 2.0)
    assert (opening.namespace, opening.longest_ttl) == ("default", 300.0)


@pytest.mark.parametrize(
    ("other", "count"),
    [
        ({"scope": "another"}, 1),
        ({"ttl": 59}, 2),
        ({"timeout": 7}, 2),
        ({"settle": 7}, 2),
        ({"client_tracking": True}, 2),
        ({"namespace": "another"}, 2),
        ({"on_eviction_failure": "refuse"}, 1),
    ],
    ids=str,
)
@pytest.mark.parametrize("by_client", [False, True])
def test_a_server_is_opened_anew_for_settings_that_matter_to_it(
    other: dict[str, Any],
    count: int,
    by_client: bool,
    world: World,
    openings: list[StoreOptions],
) -> None:
    url = redis.Redis() if by_client else "redis://host"
    one = botocache.install(world.session(), url=url)
    two = botocache.install(world.session(), url=url, **other)
    assert one is not two
    assert len(openings) == count


def test_a_store_of_this_machine_is_one_whatever_else_is_set(
    world: World, table: str
) -> None:
    one, other = world.session(), world.session()
    botocache.install(one, url="memory:", timeout=1, settle=1, ttl=60)
    botocache.install(other, url="memory:", timeout=2, settle=2, ttl=50)
    get(world.client(one), table, pk="a")
    with world.counting() as reached:
        get(world.client(other), table, pk="a")
    assert reached == {}


# --- sessions and clients, earlier and later ---------------------------------------


@pytest.mark.usefixtures("all_objects")
def test_a_process_wide_installation_reaches_existing_and_later_clients(
    world: World, table: str
) -> None:
    session = world.session()
    old = {
        "client": world.client(session),
        "resource": world.resource(session).meta.client,
    }
    cache = botocache.install(url=world.store)
    new = {
        "client of an old session": world.client(session),
        "client of a new session": world.client(world.session()),
    }
    put(world.outside, table, pk="a", n=1)  # that client existed, too
    world.settle()
    with world.counting() as reached:
        get(old["client"], table, pk="a")
        old["resource"].get_item(TableName=table, Key={"pk": "a"})
        for client in new.values():
            get(client, table, pk="a")
    assert reached == {"GetItem": 1}
    assert (cache.stats().misses, cache.stats().hits) == (1, 3)
    botocache.uninstall()
    with world.counting() as reached:
        get(old["client"], table, pk="a")
        for client in new.values():
            get(client, table, pk="a")
        get(world.client(world.session()), table, pk="a")
    assert reached == {"GetItem": 4}


def test_an_installation_on_a_session_reaches_clients_made_afterwards(
    world: World, table: str
) -> None:
    session = world.session()
    before = world.client(session)
    botocache.install(session, url=world.store)
    after = world.client(session)
    with world.counting() as reached:
        for client in (after, after, before, before):
            get(client, table, pk="a")
    assert reached == {"GetItem": 3}


def test_an_installation_reaches_no_other_session(world: World, table: str) -> None:
    botocache.install(world.session(), url=world.store)
    other = world.client(world.session())
    with world.counting() as reached:
        get(other, table, pk="a")
        get(other, table, pk="a")
    assert reached == {"GetItem": 2}


def test_an_installation_on_a_client_reaches_no_other_client(
    world: World, table: str
) -> None:
    session = world.session()
    mine, other = world.client(session), world.client(session)
    botocache.install(mine, url=world.store)
    with world.counting() as reached:
        for client in (mine, mine, other, other, world.client(session)):
            get(client, table, pk="a")
    assert reached == {"GetItem": 4}


@pytest.mark.usefixtures("all_objects")
def test_the_default_session_of_boto3_is_reached(
    world: World, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    boto3.setup_default_session(
        aws_access_key_id=KEY_ID,
        aws_secret_access_key="secret",
        region_name=REGION,
        botocore_session=new_botocore_session(),
    )
    botocache.install(url=world.store)
    client = boto3.client("dynamodb", endpoint_url=world.dynamodb.url)
    with world.counting() as reached:
        get(client, table, pk="a")
        get(client, table, pk="a")
    assert reached == {"GetItem": 1}


def test_a_later_session_without_botocores_own_handlers_is_not_reached(
    world: World, table: str
) -> None:
    botocache.install(url=world.store)
    session = botocore.session.Session(include_builtin_handlers=False)
    session.set_credentials(KEY_ID, "secret")
    client = session.create_client(
        "dynamodb", region_name=REGION, endpoint_url=world.dynamodb.url
    )
    with world.counting() as reached:
        get(client, table, pk="a")
        get(client, table, pk="a")
    assert reached == {"GetItem": 2}


@pytest.mark.usefixtures("all_objects")
@pytest.mark.parametrize("kind", ["session", "client"])
def test_a_half_made_object_does_not_disturb_an_installation(
    kind: str, world: World, table: str
) -> None:
    model: Any = new_botocore_session() if kind == "session" else world.outside
    made_of: Any = type(model)
    half_made = made_of.__new__(made_of)
    client = world.client(world.session())
    try:
        botocache.install(url=world.store)
        with world.counting() as reached:
            get(client, table, pk="a")
            get(client, table, pk="a")
        botocache.uninstall()
    finally:
        vars(half_made).update(vars(model))  # or it would disturb the other tests
    assert reached == {"GetItem": 1}


def test_a_read_under_way_when_the_cache_is_uninstalled_goes_on(
    world: World, table: str
) -> None:
    session = world.session()
    botocache.install(session, url=world.store)
    client = world.client(session)
    put(world.outside, table, pk="a", n=1)
    intercept(client, "before-send", lambda **_: botocache.uninstall(session))
    assert get(client, table, pk="a") == {"pk": "a", "n": 1}
    set_n(client, table, 2, pk="a")
    assert get(client, table, pk="a") == {"pk": "a", "n": 2}


def test_a_read_under_way_when_another_store_is_installed_is_not_filled(
    world: World, table: str
) -> None:
    """The process-wide hooks are the same object, which has another cache then."""
    botocache.install(url=world.store)
    client = world.client(world.session())
    put(world.outside, table, pk="a", n=1)

    def install_elsewhere(**_: Any) -> None:
        botocache.uninstall()
        botocache.install(url=MemoryStore(clock=world.clock))

    intercept(client, "before-send", install_elsewhere)
    assert get(client, table, pk="a") == {"pk": "a", "n": 1}
    botocache.uninstall()
    with world.counting() as reached:
        get(world.cached_client(), table, pk="a")
    assert reached == {"GetItem": 1}


def test_a_write_under_way_when_the_cache_is_uninstalled_evicts_for_the_others(
    world: World, table: str
) -> None:
    session = world.session()
    botocache.install(session, url=world.store)
    writer, other = world.client(session), world.cached_client(ttl=30)
    put(world.outside, table, pk="a", n=1)

    def uninstall_and_take_long(**_: Any) -> None:
        botocache.uninstall(session)
        world.clock.advance(WINDOW)
        assert get(other, table, pk="a") == {"pk": "a", "n": 1}

    intercept(writer, "before-send", uninstall_and_take_long)
    set_n(writer, table, 2, pk="a")
    assert get(other, table, pk="a") == {"pk": "a", "n": 2}


def test_a_client_made_between_two_process_wide_installations_is_reached(
    world: World, table: str
) -> None:
    botocache.install(url=world.store)
    botocache.uninstall()
    session = world.session()
    client = world.client(session)
    botocache.install(url=world.store)
    with world.counting() as reached:
        for each in (client, client, world.client(session)):
            get(each, table, pk="a")
    assert reached == {"GetItem": 1}


# --- several installations ---------------------------------------------------------


@targets
def test_a_process_wide_installation_and_then_one_on_a_part_are_one(
    make: Callable[[World], Target], world: World, table: str
) -> None:
    target = make(world)
    cache = botocache.install(url=world.store)
    assert botocache.install(target.target, url=world.store) is cache
    assert reaching(world, target, table) == 1
    assert (cache.stats().misses, cache.stats().hits) == (1, 1)
    botocache.uninstall()
    assert reaching(world, target, table) == 2


@targets
def test_an_installation_on_a_part_and_then_a_process_wide_one_are_one(
    make: Callable[[World], Target], world: World, table: str
) -> None:
    target = make(world)
    cache = botocache.install(target.target, url=world.store)
    assert botocache.install(url=world.store) is cache
    assert reaching(world, target, table) == 1
    assert (cache.stats().misses, cache.stats().hits) == (1, 1)


def test_ending_a_process_wide_installation_leaves_the_narrower_one(
    world: World, table: str
) -> None:
    target = _boto3_session(world)
    botocache.install(target.target, url=world.store)
    botocache.install(url=world.store)
    botocache.uninstall()
    assert reaching(world, target, table) == 1
    assert reaching(world, _process(world), table) == 2
    botocache.uninstall(target.target)
    assert reaching(world, target, table) == 2


def test_other_settings_for_a_part_of_the_process_are_refused(world: World) -> None:
    session = world.session()
    client = world.client(session)
    botocache.install(url=world.store)
    for target in (session, client, world.client(session)):
        with pytest.raises(ConfigError, match="ttl=60"):
            botocache.install(target, url=world.store, ttl=7)


def test_other_settings_for_the_process_than_for_a_part_of_it_are_refused(
    world: World, table: str
) -> None:
    target = _boto3_session(world)
    botocache.install(target.target, url=world.store)
    with pytest.raises(ConfigError, match="ttl=60"):
        botocache.install(url=world.store, ttl=7)
    assert reaching(world, target, table) == 1
    assert reaching(world, _process(world), table) == 2  # nothing was half done


def test_uninstalling_a_part_of_a_wider_installation_names_what_to_undo(
    world: World, table: str
) -> None:
    session = world.session()
    botocache.install(session, url=world.store)
    client = world.client(session)
    with pytest.raises(ConfigError, match=r"install\(\) on its session"):
        botocache.uninstall(client)
    botocache.uninstall(session)
    botocache.install(url=world.store)
    other = _boto3_session(world)
    for target in (other.target, world.client(world.session())):
        with pytest.raises(ConfigError, match=r"from install\(\)"):
            botocache.uninstall(target)
    assert reaching(world, other, table) == 1


def test_sessions_with_other_settings_that_share_a_store_evict_for_each_other(
    world: World, table: str
) -> None:
    clients = [world.cached_client(ttl=ttl) for ttl in (30, 60)]
    for n, writer in enumerate(clients * 2):
        set_n(writer, table, n, pk="a")
        world.settle()
        for reader in clients * 2:
            assert get(reader, table, pk="a") == {"pk": "a", "n": n}
            assert query(reader, table, pk="a") == [{"pk": "a", "n": n}]


@pytest.mark.usefixtures("all_objects")
def test_an_installation_on_a_collected_session_disturbs_no_other(
    world: World, table: str
) -> None:
    botocache.install(world.session(), url=world.store, ttl=7)  # garbage at once
    botocache.install(url=world.store)
    assert reaching(world, _process(world), table) == 1


# --- what is refused ---------------------------------------------------------------

WRONG_TARGETS: dict[str, tuple[Callable[[World], Any], str]] = {
    "a string": (lambda _: "dynamodb", "str"),
    "a number": (lambda _: 7, "int"),
    "a module": (lambda _: boto3, "module"),
    "a class": (lambda _: boto3.Session, "type"),
    "a client of S3": (lambda world: world.session().client("s3"), "s3"),
    "a resource of S3": (lambda world: world.session().resource("s3"), "s3"),
    "a client of DynamoDB Streams": (
        lambda world: world.session().client("dynamodbstreams"),
        "dynamodbstreams",
    ),
}


@pytest.mark.parametrize("do", [botocache.install, botocache.uninstall])
@pytest.mark.parametrize(
    ("make", "named"), WRONG_TARGETS.values(), ids=WRONG_TARGETS.keys()
)
def test_a_wrong_target_is_refused_in_one_clear_sentence(
    do: Callable[[Any], Any],
    make: Callable[[World], Any],
    named: str,
    world: World,
) -> None:
    with pytest.raises(ConfigError) as refused:
        do(make(world))
    message = str(refused.value)
    assert message.startswith("expected a ")
    assert named in message
    assert "\n" not in message


# --- what an installation leaves alone ---------------------------------------------


class UntouchableStore:
    """A store that fails the test when it is used."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was used")

    def now(self) -> float:
        raise AssertionError("now was used")

    load = load_many = is_current = fill = fill_many = evict = clear = now

    def close(self) -> None:
        """Do nothing: every store is closed when the test ends."""


def test_installing_uses_no_store_and_no_network(
    monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    session = world.session()
    client = world.client(session)

    def no_network(*_: Any) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    store: Any = UntouchableStore()
    assert isinstance(store, Store)
    for target in (client, session, None):
        botocache.install(target, url=store)
    for target in (client, session, None):
        botocache.uninstall(target)


def test_installing_makes_no_directory(tmp_path: Path, session: boto3.Session) -> None:
    directory = tmp_path / "not" / "yet"
    botocache.install(session, url=f"disk://{directory}")
    assert not directory.parent.exists()


OTHER_SERVICES: dict[str, Callable[[Any], Any]] = {
    "s3": lambda client: client.list_buckets()["Buckets"],
    "sqs": lambda client: client.list_queues().get("QueueUrls"),
    "dynamodbstreams": lambda client: client.list_streams()["Streams"],
}


@pytest.mark.parametrize("service", OTHER_SERVICES)
@pytest.mark.parametrize("target", ["session", "process"])
def test_clients_of_other_services_are_left_alone(
    service: str, target: str, world: World
) -> None:
    session: Any = world.session()
    cache = botocache.install(session if target == "session" else None, url=world.store)
    client = session.client(service, endpoint_url=world.dynamodb.url)
    answers = [OTHER_SERVICES[service](client) for _ in range(2)]
    assert answers[0] == answers[1]
    stats = cache.stats()
    assert (stats.misses, stats.bypassed, stats.writes) == (0, 0, 0)
    assert stats.failures == {}
