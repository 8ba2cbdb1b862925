"""What is read of a cluster's URL, and of what its servers say."""

import pytest
from redis.connection import SSLConnection
from redis.exceptions import AskError, MovedError

from botocache._errors import ConfigError, StoreError
from botocache.stores.opening import open_store
from botocache.stores.protocol import Store
from botocache.stores.redis.cluster.store import ClusterStore
from botocache.stores.redis.cluster.topology import (
    Places,
    holders,
    redirection,
    slot_of,
)
from botocache.stores.redis.cluster.urls import places_of_url

ASKED = ("asked", 1)
PLACES = Places((), make=list)


def opened(url: str, size_limit: int | None = None) -> Store:
    return open_store(
        url,
        namespace="mine",
        size_limit=size_limit,
        environ={},
        timeout=0.5,
        settle=1.0,
        longest_ttl=60.0,
    )


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
    _, places = places_of_url(f"redis+cluster://{hosts}", 0.5)
    assert list(places.seeds) == seeds


@pytest.mark.parametrize("server", ["redis", "rediss", "valkey", "valkeys"])
def test_a_url_says_how_to_connect(server: str) -> None:
    url = f"{server}+cluster://user:p%40ss@h:1,k:2?client_name=me"
    _, places = places_of_url(url, 0.5)
    made = places.make(("elsewhere", 7))
    assert (made.host, made.port) == ("elsewhere", 7)
    assert (made.username, made.password, made.client_name) == ("user", "p@ss", "me")
    assert (made.socket_timeout, made.socket_connect_timeout) == (0.5, 0.5)
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


def test_opening_asks_nobody_and_closing_needs_no_use() -> None:
    store = opened("redis+cluster://h.invalid:1")
    assert isinstance(store, ClusterStore)
    assert not store.is_current([b"tag"], [1])
    assert repr(store._nodes) == "<Nodes []>"
    store.close()


def test_a_cluster_takes_no_size_limit() -> None:
    with pytest.raises(ConfigError, match="maxmemory"):
        opened("redis+cluster://h", size_limit=1)


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
    [(b"h", ("h", 7)), (b"", ("asked", 7)), (None, ("asked", 7)), (b"?", ("asked", 7))],
)
def test_who_holds_slots_is_read_without_its_replicas(
    host: bytes | None, expected: tuple[str, int]
) -> None:
    primary: list[object] = [host, 7, b"id", []]
    replica: list[object] = [b"replica", 8, b"id", []]
    reply = [[0, 9, primary, replica], [10, 10, [b"k", 9]]]
    assert [*holders(reply, ASKED, PLACES)] == [
        (expected, range(10)),
        (("k", 9), range(10, 11)),
    ]


@pytest.mark.parametrize("reply", [[[0, 9]], [[0]], [7], [[b"a", b"b", [b"h", 7]]]])
def test_a_map_that_cannot_be_read_is_a_store_error(reply: list[object]) -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        list(holders(reply, ASKED, PLACES))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MovedError("7 h:1"), ("h", 1)),
        (AskError("7 ::1:1"), ("::1", 1)),
        (MovedError("7 :1"), ("asked", 1)),
    ],
)
def test_a_redirection_says_where(error: AskError, expected: tuple[str, int]) -> None:
    assert redirection(error, ASKED, PLACES) == expected


def test_a_server_is_where_the_user_sees_it() -> None:
    places = Places((), make=list, seen=lambda address: (f"near-{address[0]}", 5))
    assert redirection(MovedError("7 h:1"), ASKED, places) == ("near-h", 5)
    assert [*holders([[0, 1, [b"h", 7]]], ASKED, places)] == [(("near-h", 5), range(2))]
