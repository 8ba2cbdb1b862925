"""A server that answers something else: StoreErrors, and nothing else is raised."""

import contextlib
from collections.abc import Callable, Iterator

import pytest

from botocache._coherence import EvictionRequest
from botocache._errors import StoreError
from botocache.stores.protocol import Fill
from botocache.stores.redis.store import RedisStore
from botocache.stores.redis.urls import connections_of_url
from tests.support.digests import key, tag
from tests.support.processes import TIMEOUT, eventually
from tests.support.redis_stores import redis_store
from tests.support.tcp_proxy import TcpProxy, running_proxy
from tests.support.valkey_server import ValkeyServer

KEY, A, B = key("an entry"), tag("a"), tag("b")

ANSWERS = {
    "loading": b"-LOADING Valkey is loading the dataset in memory\r\n",
    "a replica": b"-READONLY You can't write against a read only replica.\r\n",
    "a replica without a primary": b"-MASTERDOWN Link with MASTER is down\r\n",
    "elsewhere": b"-MOVED 1 127.0.0.1:1\r\n",
    "elsewhere now": b"-ASK 1 127.0.0.1:1\r\n",
    "a cluster that is down": b"-CLUSTERDOWN The cluster is down\r\n",
    "full": b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    "busy": b"-BUSY Valkey is busy running a script.\r\n",
    "who are you": b"-NOAUTH Authentication required.\r\n",
    "wrong password": b"-WRONGPASS invalid username-password pair\r\n",
    "not allowed": b"-NOPERM this user has no permissions to run it\r\n",
    "no script, again and again": b"-NOSCRIPT No matching script.\r\n",
    "of another type": b"-WRONGTYPE Operation against a key of the wrong kind\r\n",
    "too few replicas": b"-NOREPLICAS Not enough good replicas to write.\r\n",
    "too many clients": b"-ERR max number of clients reached\r\n",
    "an error of no kind": b"-\r\n",
    "fine": b"+OK\r\n",
    "a number": b":7\r\n",
    "nothing": b"$-1\r\n",
    "no list": b"*-1\r\n",
    "an empty list": b"*0\r\n",
    "a list of nothing": b"*1\r\n$-1\r\n",
    "a list of numbers": b"*3\r\n:1\r\n:2\r\n:3\r\n",
    "a list of lists": b"*3\r\n*0\r\n*0\r\n*0\r\n",
    "short texts": b"*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n",
    "a long list": b"*9\r\n" + b"$16\r\n0123456789abcdef\r\n" * 9,
    "a list with an error in it": b"*2\r\n$1\r\n1\r\n-ERR inside\r\n",
    "a web server": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "no number": b"*many\r\n",
    "a byte": b"\x00",
}

VERBS: dict[str, Callable[[RedisStore], object]] = {
    "load": lambda store: store.load(KEY, [A, B]),
    "load_many": lambda store: store.load_many([(KEY, [A]), (KEY, [B])]),
    "fill": lambda store: store.fill(KEY, b"entry", 60.0, [A]),
    "fill_many": lambda store: store.fill_many([Fill(KEY, b"entry", 60.0)] * 2),
    "evict": lambda store: store.evict(EvictionRequest([A], 0.0, watch=[B])),
    "evict again": lambda store: store.evict(
        EvictionRequest(
            [A, B],
            0.0,
            first_eviction=store.evict(EvictionRequest([A, B], 5.0)),
            restore=[B],
        )
    ),
    "clear": lambda store: store.clear(),
}


@pytest.fixture
def proxy(valkey: ValkeyServer) -> Iterator[TcpProxy]:
    with running_proxy(valkey.port) as made:
        yield made


@pytest.fixture
def store(proxy: TcpProxy, namespace: str) -> Iterator[RedisStore]:
    """A store that has asked for everything once."""
    _, make = connections_of_url(proxy.url(), TIMEOUT)
    made = redis_store(make, namespace=namespace, timeout=TIMEOUT, settle=0.0)
    for verb in VERBS.values():
        verb(made)
    yield made
    made.close()


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
@pytest.mark.parametrize("sends_time", [False, True], ids=["", "time is asked for"])
def test_whatever_a_server_answers_is_a_result_or_a_storeerror(
    answer: bytes, sends_time: bool, proxy: TcpProxy, store: RedisStore
) -> None:
    for verb in VERBS.values():
        proxy.answer_always(answer)
        if sends_time:
            store._synced_at = -TIMEOUT
        for connection in store._connections._idle:
            connection._sock.settimeout(0.2)  # a byte is no answer
        store._connections._patience = 0.2
        with contextlib.suppress(StoreError):
            verb(store)
        proxy.heal()
        store._connections._patience = TIMEOUT
        eventually(lambda: not store._breaker.is_open)
        assert_works(store)


def assert_works(store: RedisStore) -> None:
    """An entry is found, and no longer once it was evicted."""
    snapshot = store.load(KEY, [A, B]).snapshot
    store.fill(KEY, b"right", 60.0, [A, B])
    assert store.load(KEY, [A, B]).entry == b"right"
    store.evict(EvictionRequest([A], 0.0))
    after = store.load(KEY, [A, B]).snapshot
    assert after[0] != snapshot[0]
    assert after[1] == snapshot[1]


def test_values_that_are_more_than_the_keys_are_no_answer(
    proxy: TcpProxy, store: RedisStore
) -> None:
    proxy.answer(ANSWERS["a long list"])
    with pytest.raises(StoreError, match="no answer"):
        store.load(KEY, [A, B])
    assert not store._connections._idle
    assert_works(store)
