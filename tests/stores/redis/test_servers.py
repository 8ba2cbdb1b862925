"""The store on Redis and its server: every way to it, and what may become of it."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import redis as redis_py
from redis.credentials import CredentialProvider

from botocache._coherence import EvictionRequest, Held, may_serve
from botocache._dynamodb.tags import EVERYTHING, tag_digest
from botocache._errors import StoreError
from botocache.stores.protocol import Store
from botocache.stores.redis.circuit_breaker import FAILURES
from botocache.stores.redis.keys import Keys
from botocache.stores.redis.scripts import US
from botocache.stores.redis.store import RedisStore
from tests.support.digests import key, tag
from tests.support.opening import open_store_at
from tests.support.processes import TIMEOUT, eventually, forked, in_thread, in_threads
from tests.support.valkey_server import ValkeyServer, running_valkey

KEY = key("an entry")
A, B = tag("a"), tag("b")
TTL = 60.0
LONG = 3000.0
"""Seconds of hold-off that no test lives to see end: servers have a real clock."""


@pytest.fixture
def servers() -> Iterator[contextlib.ExitStack]:
    """Servers of the test's own, to be harmed."""
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def server(servers: contextlib.ExitStack) -> ValkeyServer:
    return servers.enter_context(running_valkey())


@pytest.fixture
def opened(namespace: str) -> Iterator[Callable[..., Store]]:
    """Opens stores, as an installation does, and closes them."""
    with contextlib.ExitStack() as stack:

        def opened(url: str = "", **more: Any) -> Store:
            usual: dict[str, Any] = {
                "namespace": namespace,
                "timeout": TIMEOUT,
                "settle": 0.0,
                "longest_ttl": TTL,
            }
            made = open_store_at(url, **{**usual, **more})
            return stack.enter_context(contextlib.closing(made))

        yield opened


def assert_it_works(store: Store) -> None:
    """Assert that a store does what is wanted of it, also if others were there."""
    first = store.evict(EvictionRequest([A, B], LONG))
    assert store.load(KEY, [A]).held is Held.WRITING
    second = store.evict(EvictionRequest([A, B], 0.0, first_eviction=first))
    assert [mark.was_alone for mark in second.evicted.values()] == [True, True]
    snapshot = store.load(KEY, [A, B]).snapshot
    assert snapshot == tuple(mark.generation for mark in second.evicted.values())
    for entry in (b"small", b"large" * 5000):
        store.fill(KEY, entry, TTL, [A, B])
        assert store.load(KEY, [A, B]) == (entry, snapshot, Held.FREE)
        assert store.load_many([(KEY, [B])]) == [(entry, snapshot[1:], Held.FREE)]
    store.clear()
    assert store.load(KEY, [A, B]) == (None, snapshot, Held.FREE)


def fails(call: Callable[[], object]) -> bool:
    try:
        call()
    except StoreError:
        return True
    return False


# --- ways to it ----------------------------------------------------------------------

CLIENTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "decoding": {"decode_responses": True},
    "decoding what is no text": {"decode_responses": True, "encoding": "ascii"},
    "RESP2": {"protocol": 2},
    "RESP3": {"protocol": 3},
    "RESP3, decoding": {"protocol": 3, "decode_responses": True},
    "another database": {"db": 3},
    "a name": {"client_name": "shop"},
    "health checks": {"health_check_interval": 1},
    "one connection": {"single_connection_client": True},
    "waits for ever": {"socket_timeout": None},
    "at once": {"socket_timeout": 1e-9},
}


@pytest.mark.parametrize("options", CLIENTS.values(), ids=CLIENTS)
def test_any_client_of_redis_py_will_do(
    valkey: ValkeyServer, opened: Callable[..., Store], options: dict[str, Any]
) -> None:
    with redis_py.Redis(port=valkey.port, **options) as client:
        assert_it_works(opened(client=client))


@pytest.mark.parametrize("kind", ["ConnectionPool", "BlockingConnectionPool"])
def test_the_pool_of_a_client_is_left_to_its_owner(
    valkey: ValkeyServer, opened: Callable[..., Store], kind: str
) -> None:
    pool = getattr(redis_py, kind)(port=valkey.port, max_connections=1)
    with contextlib.closing(pool), redis_py.Redis(connection_pool=pool) as client:
        used = client.connection_pool.get_connection()
        assert_it_works(opened(client=client))  # although there is none left
        client.connection_pool.release(used)
        assert client.ping()


def test_a_client_over_a_unix_socket_will_do(
    valkey: ValkeyServer, opened: Callable[..., Store]
) -> None:
    with redis_py.Redis(unix_socket_path=str(valkey.socket_path)) as client:
        assert_it_works(opened(client=client))


URLS = {
    "valkey": "valkey://127.0.0.1:{port}",
    "a database": "redis://127.0.0.1:{port}/3",
    "a database, asked for": "redis://127.0.0.1:{port}?db=3",
    "a Unix socket": "unix://{socket}",
    "a Unix socket, a database": "unix://{socket}?db=3",
}


@pytest.mark.parametrize("url", URLS.values(), ids=URLS)
def test_a_url_leads_to_it(
    valkey: ValkeyServer, opened: Callable[..., Store], url: str
) -> None:
    assert_it_works(opened(url.format(port=valkey.port, socket=valkey.socket_path)))


def test_databases_of_one_server_share_nothing(
    valkey: ValkeyServer, opened: Callable[..., Store]
) -> None:
    one, other = (opened(f"redis://127.0.0.1:{valkey.port}/{n}") for n in (3, 4))
    one.fill(KEY, b"one's", TTL)
    assert other.load(KEY, [A]).entry is None
    assert one.load(KEY, [A]).snapshot != other.load(KEY, [A]).snapshot


# --- who may -------------------------------------------------------------------------


@pytest.fixture
def allow(valkey: ValkeyServer, namespace: str) -> Iterator[Callable[..., str]]:
    """Makes a user with some rights; returns a URL with its password."""

    def allow(*rights: str) -> str:
        answer = valkey.command("ACL", "SETUSER", namespace, "on", ">s3:cret/", *rights)
        assert answer == b"+OK\r\n"
        return f"redis://{namespace}:s3%3Acret%2F@127.0.0.1:{valkey.port}/0"

    yield allow
    valkey.command("ACL", "DELUSER", namespace)


def test_a_user_needs_no_more_than_its_own_keys(
    opened: Callable[..., Store], allow: Callable[..., str], namespace: str
) -> None:
    store = opened(allow(f"~botocache:{namespace}:*", "+@all"))
    assert_it_works(store)
    assert "s3" not in repr(store)


def test_a_user_of_a_client_will_do(
    valkey: ValkeyServer,
    opened: Callable[..., Store],
    allow: Callable[..., str],
    namespace: str,
) -> None:
    allow("~*", "+@all")
    with redis_py.Redis(
        port=valkey.port, username=namespace, password="s3:cret/"
    ) as client:
        assert_it_works(opened(client=client))


NEEDED = [
    *("mget", "set", "unlink", "scan", "time", "info", "eval", "evalsha"),
    *("getrange", "pttl", "pexpire"),  # and on are those of the scripts
    *("zcard", "zadd", "zscore", "zremrangebyscore", "scard", "sadd"),
]


def test_a_user_needs_no_more_than_these_commands(
    opened: Callable[..., Store], allow: Callable[..., str]
) -> None:
    assert_it_works(opened(allow("~*", *(f"+{command}" for command in NEEDED))))


LACKING: dict[str, Callable[[Store], object]] = {
    "mget": lambda store: store.load(KEY, [A]),
    "evalsha": lambda store: store.evict(EvictionRequest([A], LONG)),
    "getrange": lambda store: store.evict(EvictionRequest([A], LONG)),
    "zadd": lambda store: store.evict(EvictionRequest([A], LONG)),
}
"""A command, and what needs it: some are called by a script."""


@pytest.mark.parametrize("lacking", LACKING)
def test_a_user_who_lacks_a_command_is_said_what_to_do(
    lacking: str, opened: Callable[..., Store], allow: Callable[..., str]
) -> None:
    store = opened(allow("~*", *(f"+{each}" for each in NEEDED if each != lacking)))
    with pytest.raises(StoreError, match=rf"^NoPermissionError: .*'{lacking}'.*ACL"):
        LACKING[lacking](store)


def test_a_user_who_may_not_ask_for_info_will_do(
    opened: Callable[..., Store], allow: Callable[..., str], namespace: str
) -> None:
    store = opened(allow("~*", "+@all", "-info"))
    assert_it_works(store)


@pytest.mark.parametrize(
    "rights",
    [
        ("~*", "+@read", "+@connection", "+info", "+time"),
        ("~*", "+@all", "-@write"),
        ("~*", "+@all", "-@scripting"),
        ("%R~*", "+@all"),
        ("~else:*", "+@all"),
        (),
    ],
    ids=["only reads", "no writes", "no scripts", "reads keys", "others' keys", "none"],
)
def test_a_user_who_may_not_write_gets_store_errors_and_nothing_worse(
    opened: Callable[..., Store], allow: Callable[..., str], rights: tuple[str, ...]
) -> None:
    store = opened(allow(*rights))
    assert fails(lambda: store.evict(EvictionRequest([A], LONG)))
    assert fails(lambda: store.load(KEY, [A]))
    fails(lambda: store.fill(KEY, b"entry", TTL, [A]))
    assert not store.is_current([A], (1,))


def test_a_user_who_gets_its_rights_later_is_served_then(
    opened: Callable[..., Store], allow: Callable[..., str]
) -> None:
    store = opened(allow("~*", "+@read", "+@connection", "+info"))
    for _ in range(FAILURES):
        assert fails(lambda: store.evict(EvictionRequest([A], LONG)))
    allow("+@all")
    eventually(lambda: not fails(lambda: store.evict(EvictionRequest([A], 0.0))))
    assert_it_works(store)


def test_a_wrong_password_is_a_store_error_without_the_password(
    opened: Callable[..., Store], allow: Callable[..., str]
) -> None:
    store = opened(allow("~*", "+@all").replace("s3", "wr0ng"))
    with pytest.raises(StoreError) as raised:
        store.load(KEY, [A])
    assert "wr0ng" not in str(raised.value)


class Broken(CredentialProvider):
    """What finds no credentials; raises an error of its own kind."""

    def get_credentials(self) -> tuple[str]:
        raise LookupError("no credentials: s3cret")


def test_credentials_that_cannot_be_had_are_a_store_error(
    valkey: ValkeyServer, opened: Callable[..., Store]
) -> None:
    with redis_py.Redis(port=valkey.port, credential_provider=Broken()) as client:
        store = opened(client=client)
        for _ in range(FAILURES + 2):
            with pytest.raises(StoreError) as raised:
                store.load(KEY, [A])
            assert "s3cret" not in str(raised.value)


# --- forks and threads ---------------------------------------------------------------


def test_parent_and_child_each_have_answers_of_their_own(
    valkey: ValkeyServer, opened: Callable[..., Store]
) -> None:
    store = opened(valkey.url)
    assert_it_works(store)  # so there is a connection to share, if it were shared

    def use(name: str) -> None:
        own = tag(name)
        for turn in range(200):
            evicted = store.evict(EvictionRequest([own], 0.0))
            store.fill(key(name), b"%d" % turn, TTL)
            loaded = store.load(key(name), [own])
            assert loaded.snapshot == (evicted.evicted[own].generation,)
            assert loaded.entry == b"%d" % turn

    def child(pipe: Any) -> None:
        before = store.load(KEY, [A]).snapshot
        use("child")
        pipe.send(before)
        assert pipe.recv() == "evicted"
        pipe.send(store.load(KEY, [A]).snapshot)

    with forked(child) as pipe:
        use("parent")
        assert pipe.poll(TIMEOUT)
        before = pipe.recv()
        (mark,) = store.evict(EvictionRequest([A], 0.0)).evicted.values()
        pipe.send("evicted")
        assert pipe.poll(TIMEOUT)
        assert pipe.recv() == (mark.generation,) != before
    assert_it_works(store)


def test_threads_have_as_many_connections_as_ask_at_once(
    valkey: ValkeyServer, opened: Callable[..., Store], namespace: str
) -> None:
    with redis_py.Redis(port=valkey.port, client_name=namespace) as client:
        store = opened(client=client)

        def use(number: int) -> None:
            for turn in range(100):
                own, entry = key(f"of {number}"), b"%d %d" % (number, turn)
                store.fill(own, entry, TTL)
                assert store.load(own, [A]).entry == entry

        in_threads([partial(use, number) for number in range(6)])
        names: Any = [each["name"] for each in client.client_list()]
        assert 1 <= names.count(namespace) <= 6 + 1  # and the client's own
        store.close()
        eventually(lambda: count_of(client, namespace) == 1)


def count_of(client: Any, name: str) -> int:
    return [each["name"] for each in client.client_list()].count(name)


# --- what may become of it -----------------------------------------------------------


def test_after_a_restart_it_goes_on_with_nothing_that_was_there(
    server: ValkeyServer, opened: Callable[..., Store]
) -> None:
    store = opened(server.url)
    assert_it_works(store)
    before = store.load(KEY, [A, B]).snapshot
    store.fill(KEY, b"entry", TTL)
    server.kill()
    server.start()
    loaded = store.load(KEY, [A, B])
    assert loaded.entry is None
    assert not set(loaded.snapshot) & set(before)
    assert_it_works(store)


def test_after_a_restart_everything_is_in_doubt_until_it_has_settled(
    server: ValkeyServer, opened: Callable[..., Store]
) -> None:
    store = opened(server.url, settle=LONG)
    store.load(KEY, [A])
    server.kill()
    server.start()
    assert store.load(KEY, [A]).held is Held.SETTLING


@pytest.fixture
def everything() -> bytes:
    """The tag that every entry depends on."""
    return tag_digest(EVERYTHING)


def test_a_restart_from_a_file_brings_no_entry_back_that_was_evicted_since(
    server: ValkeyServer, opened: Callable[..., Store], everything: bytes
) -> None:
    store, tags = opened(server.url), [everything, A]
    snapshot = store.load(KEY, tags).snapshot
    store.fill(KEY, b"old", TTL, tags)
    assert server.command("SAVE") == b"+OK\r\n"
    store.evict(EvictionRequest([A], 0.0))
    server.kill()
    server.start()
    loaded = store.load(KEY, tags)
    assert loaded.entry == b"old"
    assert loaded.snapshot[1] == snapshot[1], "the eviction was not lost"
    assert not may_serve(snapshot, loaded.snapshot, 1.0, 0.0)


def test_a_restart_from_a_file_leaves_what_others_have_filled_since(
    server: ValkeyServer, opened: Callable[..., Store], everything: bytes
) -> None:
    one, other = opened(server.url), opened(server.url)
    one.load(KEY, [everything])
    server.command("SAVE")
    server.kill()
    server.start()
    since = one.load(KEY, [everything]).snapshot
    assert other.load(KEY, [everything]).snapshot == since
    one.close()
    assert one.load(KEY, [everything]).snapshot == since


def test_everything_is_evicted_when_the_servers_run_is_forgotten(
    server: ValkeyServer,
    opened: Callable[..., Store],
    everything: bytes,
    namespace: str,
) -> None:
    store = opened(server.url)
    before = store.load(KEY, [everything]).snapshot
    server.command("DEL", Keys(namespace).runs.decode())
    assert store.load(KEY, [everything]).snapshot == before  # on the old connection
    store.close()
    assert store.load(KEY, [everything]).snapshot != before


@pytest.mark.parametrize("verb", ["load", "load_many", "fill", "evict", "clear"])
def test_a_server_that_is_gone_is_a_store_error_in_every_verb(
    server: ValkeyServer, opened: Callable[..., Store], verb: str
) -> None:
    store = opened(server.url)
    store.load(KEY, [A])
    server.kill()
    verbs: dict[str, Callable[[], object]] = {
        "load": lambda: store.load(KEY, [A]),
        "load_many": lambda: store.load_many([(KEY, [A])]),
        "fill": lambda: store.fill(KEY, b"entry", TTL, [A]),
        "evict": lambda: store.evict(EvictionRequest([A], LONG)),
        "clear": store.clear,
    }
    for _ in range(FAILURES + 1):
        with pytest.raises(StoreError):
            verbs[verb]()
    assert "open: " in repr(store)
    server.start()
    eventually(lambda: "closed" in repr(store))
    assert_it_works(store)


def test_no_call_waits_longer_than_the_timeout_for_a_stopped_server(
    server: ValkeyServer, opened: Callable[..., Store]
) -> None:
    with redis_py.Redis(port=server.port, socket_timeout=None) as client:
        store = opened(client=client, timeout=0.1)
        eventually(lambda: not fails(lambda: store.load(KEY, [A])))
        server.signal(signal.SIGSTOP)
        try:
            assert in_thread(partial(fails, lambda: store.load(KEY, [A])))
        finally:
            server.signal(signal.SIGCONT)
        eventually(lambda: not fails(lambda: store.load(KEY, [A])))


def test_closing_while_it_probes_ends_the_probing(
    server: ValkeyServer, opened: Callable[..., Store]
) -> None:
    store = opened(server.url)
    server.kill()
    for _ in range(FAILURES):
        assert fails(lambda: store.load(KEY, [A]))
    store.close()
    assert "closed" in repr(store)
    probes = [t for t in threading.enumerate() if t.name == "botocache-probe"]
    assert probes == []


# --- what time it is -----------------------------------------------------------------


@pytest.mark.parametrize("ahead", [-1e6, 0.0, 1e6])
def test_the_time_is_the_servers_whatever_it_is_here(
    valkey: ValkeyServer,
    opened: Callable[..., Store],
    monkeypatch: pytest.MonkeyPatch,
    ahead: float,
) -> None:
    with redis_py.Redis(port=valkey.port) as client, monkeypatch.context() as patch:
        real = time.time
        patch.setattr(time, "time", lambda: real() + ahead)
        store = opened(valkey.url)
        store.load(KEY, [A])
        seconds, micros = client.time()
        before = seconds + micros / US
        store.load(KEY, [A])
        now = store.now()
        seconds, micros = client.time()
        assert now <= seconds + micros / US  # never later than it is there
        assert now > before - TIMEOUT
        store.evict(EvictionRequest([A], LONG))
        assert store.load(KEY, [A]).held is Held.WRITING


def test_the_time_is_asked_for_again_after_a_while(
    valkey: ValkeyServer, opened: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    store: Any = opened(valkey.url)
    store.load(KEY, [A])
    assert isinstance(store, RedisStore)
    told = store._synced_at
    store._clock_offset += 1000.0  # as if the server's clock had been set back
    store.load(KEY, [A])
    assert store._synced_at == told
    store._synced_at -= 11.0
    store.load(KEY, [A])
    with redis_py.Redis(port=valkey.port) as client:
        assert store.now() <= client.time()[0] + 1


def test_a_hold_off_ends_by_the_servers_time(
    valkey: ValkeyServer, opened: Callable[..., Store]
) -> None:
    store = opened(valkey.url)
    store.evict(EvictionRequest([A], 0.2))
    assert store.evict(EvictionRequest([], 0.0, watch=[A])).held in (
        Held.WRITING,
        Held.FREE,
    )
    eventually(lambda: store.load(KEY, [A]).held is Held.FREE)
    store.evict(EvictionRequest([A], LONG))
    assert store.load(KEY, [A]).held is Held.WRITING
