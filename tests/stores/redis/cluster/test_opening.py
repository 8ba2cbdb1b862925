"""What is read of a cluster's URL, and of what its servers say."""

from dataclasses import replace
from typing import Any

import pytest
import redis
from redis.connection import Connection, SSLConnection
from redis.exceptions import AskError, MovedError

from botocache._errors import ConfigError, StoreError
from botocache.stores.protocol import Store
from botocache.stores.redis.cluster.batch import slot_of
from botocache.stores.redis.cluster.client import ClusterClient, server_at
from botocache.stores.redis.cluster.store import ClusterStore
from botocache.stores.redis.cluster.urls import (
    ClusterEndpoints,
    endpoints_of_url,
    pool_at,
)
from botocache.stores.redis.commands import with_source
from botocache.stores.redis.deadlines import CONNECT_TIMEOUT
from tests.support.opening import open_store_at

ENDPOINTS = ClusterEndpoints((("seed", 6379),), Connection, {})


def opened(url: str) -> Store:
    return open_store_at(url, namespace="mine", timeout=0.5)


@pytest.mark.parametrize(
    ("hosts", "seeds"),
    [
        ("h", [("h", 6379)]),
        ("h:1", [("h", 1)]),
        ("h:1,10.0.0.2,k:3", [("h", 1), ("10.0.0.2", 6379), ("k", 3)]),
        ("[::1]:7,[::2]", [("::1", 7), ("::2", 6379)]),
        ("user:p%40ss@h:1,k:2", [("h", 1), ("k", 2)]),
        ("h:1/0", [("h", 1)]),
        ("h:1/", [("h", 1)]),
    ],
)
def test_a_url_names_servers_to_begin_with(
    hosts: str, seeds: list[tuple[str, int]]
) -> None:
    _, endpoints = endpoints_of_url(f"redis+cluster://{hosts}", 0.5)
    assert list(endpoints.seeds) == seeds


@pytest.mark.parametrize("server", ["redis", "rediss", "valkey", "valkeys"])
def test_a_url_says_how_to_connect(server: str) -> None:
    url = f"{server}+cluster://user:p%40ss@h:1,k:2?client_name=me"
    _, endpoints = endpoints_of_url(url, 0.5)
    made: Any = pool_at(endpoints, "elsewhere", 7).make_connection()
    assert (made.host, made.port) == ("elsewhere", 7)
    assert (made.username, made.password, made.client_name) == ("user", "p@ss", "me")
    assert (made.socket_timeout, made.socket_connect_timeout) == (CONNECT_TIMEOUT,) * 2
    assert isinstance(made, SSLConnection) is (server in ("rediss", "valkeys"))


@pytest.mark.parametrize(
    "hosts", ["", ",h", "h,", "h:x", "h:1/3", "h:99999999", "[::1", "h?no_setting=1"]
)
def test_a_url_that_cannot_be_read_is_said_without_its_password(hosts: str) -> None:
    with pytest.raises(ConfigError) as raised:
        opened(f"redis+cluster://user:s3cret@{hosts}")
    assert "s3cret" not in str(raised.value)
    expected = "expected 'redis+cluster://user:password@host:6379,host:6379'"
    assert expected in str(raised.value)


def test_a_store_shows_where_it_is_and_no_password() -> None:
    shown = repr(opened("valkey+cluster://user:s3cret@h:1,k:2"))
    assert "valkey+cluster://h:1,k:2 namespace 'mine'" in shown
    assert "s3cret" not in shown


def test_opening_sends_nothing_and_an_unused_store_can_be_closed() -> None:
    store = opened("redis+cluster://h.invalid:1")
    assert isinstance(store, ClusterStore)
    assert not store.is_current([b"tag"], [1])
    assert repr(store._cluster) == "<ClusterClient []>"
    store.close()


def test_a_cluster_takes_no_size_limit() -> None:
    with pytest.raises(ConfigError, match="maxmemory"):
        opened("redis+cluster://h?size_limit=1GiB")


@pytest.mark.parametrize(
    ("command", "same_as"),
    [
        ((b"MGET", b"a{x}b"), b"x"),
        ((b"EVALSHA", b"sha", b"1", b"{x}", b"argument"), b"x"),
        ((b"EVAL", b"source", b"2", b"{x}1", b"{x}2"), b"x"),
        ((b"SET", b"a{}b", b"x"), b"a{}b"),
    ],
)
def test_a_command_goes_where_its_first_key_is(
    command: tuple[bytes, ...], same_as: bytes
) -> None:
    assert slot_of(command) == slot_of((b"GET", same_as))


@pytest.mark.parametrize(
    ("host", "expected"),
    [("h", ("h", 7)), ("", ("seed", 7)), (None, ("seed", 7)), ("?", ("seed", 7))],
)
def test_a_server_that_announces_no_host_is_where_the_first_seed_is(
    host: str | None, expected: tuple[str, int]
) -> None:
    assert ENDPOINTS.seen((host, 7)) == expected


def test_a_server_is_where_the_user_sees_it() -> None:
    endpoints = replace(ENDPOINTS, remap=lambda address: (f"near-{address[0]}", 5))
    assert endpoints.seen(("h", 7)) == ("near-h", 5)


@pytest.mark.parametrize(
    "reply", [[[0, 9]], [[0]], [7], [[b"a", b"b", [b"h", 7]]], b"x", [], None]
)
def test_a_map_that_cannot_be_read_is_a_store_error(
    reply: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis.Redis, "execute_command", lambda *_, **__: reply)
    store = opened("redis+cluster://127.0.0.1:1")
    with pytest.raises(StoreError, match="no server returned the map"):
        store.load(b"key", [b"tag"])
    store.close()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MovedError("7 h:1"), ("h", 1)),
        (AskError("7 ::1:1"), ("::1", 1)),
        (MovedError("7 :1"), ("asked", 1)),
    ],
)
def test_a_redirection_says_where(error: AskError, expected: tuple[str, int]) -> None:
    client = ClusterClient(ENDPOINTS, print, 0.5, with_source)
    assert client._address(error, server_at("asked", 9)) == expected
