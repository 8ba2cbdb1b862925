"""The board on a server: what others plant there, and what the user may not do."""

import os
import struct
import time
from collections.abc import Iterator
from typing import Any

import pytest

from botocache._errors import StoreError
from botocache.stores.boards import LARGEST_RECORD, MOST_RECORDS
from botocache.stores.redis.store import RedisStore
from tests.support.digests import key, tag
from tests.support.opening import open_store_at
from tests.support.processes import TIMEOUT
from tests.support.valkey_server import ValkeyServer

TTL = 60.0
FAR = struct.pack("<d", 4e9)
SOON = struct.pack("<d", time.time() + 1e6)


@pytest.fixture
def store(server: Any, namespace: str) -> Iterator[RedisStore]:
    made = open_store_at(server.url, namespace=namespace, timeout=TIMEOUT, settle=0.0)
    assert isinstance(made, RedisStore)
    yield made
    made.close()


@pytest.fixture
def board(namespace: str) -> bytes:
    """The key of the board."""
    return f"botocache:{namespace}:1:board".encode()


def works(store: RedisStore) -> bool:
    """Do all that a process does with a board; return whether it is there after."""
    store.post("a", b"a", TTL)
    store.post("b", b"b", TTL)
    return (
        store.merge({"a": b"a", "b": b"b"}, "b", b"ab", TTL)
        and "b" in store.names()
        and store.posted(["b"]) == {"b": b"ab"}
    )


def test_the_board_expires_long_after_the_last_post(
    store: RedisStore, client: Any, board: bytes
) -> None:
    assert works(store)
    days = client.pttl(board) / 86_400_000
    assert 300 < days < 500


@pytest.mark.parametrize("kind", ["string", "list", "set", "sorted set"])
def test_a_key_of_another_type_is_replaced(
    store: RedisStore, client: Any, board: bytes, kind: str
) -> None:
    plant = {
        "string": lambda: client.set(board, b"x" * 100),
        "list": lambda: client.rpush(board, *range(1000)),
        "set": lambda: client.sadd(board, *range(1000)),
        "sorted set": lambda: client.zadd(board, {"a": 1.0}),
    }
    plant[kind]()
    with pytest.raises(StoreError):
        store.posted()
    assert works(store)


def test_a_board_with_too_many_records_is_emptied_by_the_next_post(
    store: RedisStore, client: Any, board: bytes
) -> None:
    fields = {b"f%d" % number: FAR + b"x" for number in range(2 * MOST_RECORDS + 1)}
    client.hset(board, mapping=fields)
    with pytest.raises(StoreError, match="too many"):
        store.posted()
    assert works(store)
    assert store.posted() == {"b": b"ab"}


def test_a_full_board_takes_no_new_record_and_changes_those_that_it_has(
    store: RedisStore, client: Any, board: bytes
) -> None:
    now = struct.pack("<d", store.now() + 1000.0)
    fields = {b"f%d" % number: now + b"x" for number in range(MOST_RECORDS)}
    client.hset(board, mapping=fields)
    with pytest.raises(StoreError, match="takes no more"):
        store.post("new", b"new", TTL)
    store.post("f0", b"y", TTL)
    assert store.merge({"f0": b"y", "f1": b"x"}, "f0", b"z", TTL)
    store.post("new", b"new", TTL)


@pytest.mark.parametrize(
    "field",
    [
        b"",
        b"x",
        b"x" * 7,
        b"x" * 8,
        struct.pack("<d", float("nan")) + b"x",
        struct.pack("<d", float("inf")) + b"x",
        struct.pack("<d", -1.0) + b"x",
        FAR + b"x",
        SOON * (LARGEST_RECORD // 8 + 2),
    ],
    ids=[
        "empty",
        "1",
        "7",
        "8",
        "NaN",
        "infinite",
        "negative",
        "a century",
        "too large",
    ],
)
def test_a_field_that_is_none_of_ours_is_no_record(
    store: RedisStore, client: Any, board: bytes, field: bytes
) -> None:
    client.hset(board, "planted", field)
    store.post("own", b"own", TTL)
    assert not store.merge({"planted": field}, "own", b"new", TTL)
    assert not store.merge({"planted": field[8:]}, "planted", b"new", TTL)
    assert store.posted() == {"own": b"own"}
    assert client.hkeys(board) == [b"own"]
    client.hset(board, "planted", field)
    assert store.merge({}, "planted", b"mine", TTL), "its name is free"
    client.hset(board, "planted", field)
    store.post("planted", b"mine", TTL)
    assert store.posted() == {"own": b"own", "planted": b"mine"}


def test_a_name_that_is_none_of_ours_is_passed_over(
    store: RedisStore, client: Any, board: bytes
) -> None:
    for name in (b"", b"../x", b"\xff\xfe", b"a" * 5000, b"a\n"):
        client.hset(board, name, FAR + b"x")
    assert works(store)
    assert store.posted() == {"b": b"ab"}


def test_records_that_are_too_large_together_are_not_read(
    store: RedisStore, client: Any, board: bytes
) -> None:
    for number in range(65):
        client.hset(board, b"large-%d" % number, FAR + bytes(LARGEST_RECORD))
    with pytest.raises(StoreError, match="too large together"):
        store.posted()
    client.delete(board)


def test_many_large_records_come_in_several_replies(store: RedisStore) -> None:
    records = {f"r{number}": os.urandom(LARGEST_RECORD) for number in range(7)}
    for name, record in records.items():
        store.post(name, record, TTL)
    assert store.posted() == records


def test_the_source_of_the_script_is_sent_where_it_is_not_known(
    store: RedisStore, client: Any
) -> None:
    assert works(store)
    client.script_flush()
    store.post("c", b"c", TTL)
    assert store.posted(["c"]) == {"c": b"c"}


# --- a server that refuses, or does not answer ---------------------------------------


def test_without_permission_a_post_says_so_and_calls_are_not_disturbed(
    valkey: ValkeyServer, namespace: str
) -> None:
    rules = "on >password ~botocache:* +@all -@hash"
    assert valkey.command("ACL", "SETUSER", "no-hash", *rules.split()) == b"+OK\r\n"
    url = f"redis://no-hash:password@127.0.0.1:{valkey.port}/0"
    store = open_store_at(url, namespace=namespace, timeout=TIMEOUT)
    try:
        for _ in range(5):  # more failures than open the breaker
            with pytest.raises(StoreError, match="'The ACL user'"):
                store.post("a", b"a", TTL)  # type: ignore[attr-defined]  # a Board
            with pytest.raises(StoreError, match="NoPermissionError"):
                store.posted()  # type: ignore[attr-defined]  # the same
        store.fill(key("k"), b"entry", TTL, [tag("t")])
        assert store.load(key("k"), [tag("t")]).entry == b"entry"
    finally:
        store.close()


def test_an_open_breaker_is_not_asked_to_wait(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert works(store)
    monkeypatch.setattr(store._breaker, "_trouble", "it is down")

    def ask(*_: object, **__: object) -> None:
        raise AssertionError("the server is asked")

    monkeypatch.setattr(store, "_ask_quietly", ask)
    with pytest.raises(StoreError, match="left alone"):
        store.post("a", b"a", TTL)
    monkeypatch.undo()


def test_posts_that_fail_do_not_open_the_breaker(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*_: object, **__: object) -> None:
        raise StoreError("a large record is late")

    with monkeypatch.context() as patched:
        patched.setattr(store, "_ask_quietly", ask)
        for _ in range(5):
            with pytest.raises(StoreError, match="late"):
                store.post("a", b"a", TTL)
    assert not store._breaker.is_open
    assert works(store)
