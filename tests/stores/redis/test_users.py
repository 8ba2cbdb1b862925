"""The ACL user of docs/how-to/redis.md may do what the store does, and no more."""

import re
from collections.abc import Iterator

import pytest
import redis
from redis.exceptions import NoPermissionError

from botocache._coherence import EvictionRequest
from botocache.stores.redis.cluster.urls import endpoints_of_url
from botocache.stores.redis.store import RedisStore
from botocache.stores.redis.urls import connections_of_url
from tests.support.places import DOCS
from tests.support.processes import TIMEOUT
from tests.support.redis_stores import cluster_store, redis_store
from tests.support.valkey_cluster import ValkeyCluster
from tests.support.valkey_server import (
    ValkeyServer,
    redis_binary,
    running_valkey,
    valkey_binary,
)

DOC = DOCS / "how-to" / "redis.md"
KEY = b"key".ljust(16)
TAGS = (b"tag".ljust(16),)

BINARIES = [binary for binary in (valkey_binary(), redis_binary()) if binary]


@pytest.fixture(scope="module", params=BINARIES, ids=lambda binary: binary.name)
def server(request: pytest.FixtureRequest) -> Iterator[ValkeyServer]:
    """A server that has the user, and lets nobody else in."""
    (rule,) = re.findall(r"^(on >password .*)$", DOC.read_text(), re.MULTILINE)
    with running_valkey(request.param) as running:
        assert running.command("ACL", "SETUSER", "app", *rule.split()) == b"+OK\r\n"
        running.command("ACL", "SETUSER", "default", "off")
        yield running


def url_of(server: ValkeyServer) -> str:
    return f"redis://app:password@127.0.0.1:{server.port}/0"


def store_on(url: str) -> RedisStore:
    name, make = connections_of_url(url, TIMEOUT)
    return redis_store(make, name=name, timeout=TIMEOUT, settle=0.0)


def leave_records(store: RedisStore) -> None:
    """Do all that a process does with a board."""
    store.post("a", b"a", 60.0)
    store.post("b", b"b", 60.0)
    store.post("short", b"short", 1e-9)
    assert store.posted() == {"a": b"a", "b": b"b"}
    assert store.merge({"a": b"a", "b": b"b"}, "sum", b"ab", 60.0)
    assert [*store.names()] == ["sum"]


def test_the_user_may_do_all_that_the_store_does(server: ValkeyServer) -> None:
    store = store_on(url_of(server))
    try:
        before = store.load(KEY, TAGS).snapshot
        store.fill(KEY, b"entry", 60.0, TAGS)
        first = store.evict(EvictionRequest(TAGS, 5.0))
        store.evict(EvictionRequest(TAGS, 0.0, first_eviction=first))
        loaded = store.load(KEY, TAGS)
        assert loaded.entry == b"entry"
        assert loaded.snapshot != before
        store.clear()
        assert store.load(KEY, TAGS).entry is None
        leave_records(store)
    finally:
        store.close()


def rules_in_a_cluster(form: str) -> list[str]:
    """Return the documented rules for a user: by kinds of commands, or by commands."""
    blocks = re.findall(
        r"^```text\n(.*?)\n```", DOC.read_text(), re.MULTILINE | re.DOTALL
    )
    (by_kinds,) = [block.split() for block in blocks if "+@read" in block]
    (by_commands,) = [block.split() for block in blocks if "+mget" in block]
    (of_clusters,) = [block.split() for block in blocks if "+cluster|slots" in block]
    if form == "kinds":
        return [*by_kinds, "+cluster|slots"]
    return ["on", ">password", "~botocache:*", *by_commands, *of_clusters]


@pytest.mark.parametrize("form", ["kinds", "commands"])
def test_in_a_cluster_the_user_may_do_all_that_the_store_does(
    form: str, cluster: ValkeyCluster
) -> None:
    for node in cluster.nodes:
        node.command("ACL", "SETUSER", form, "reset", *rules_in_a_cluster(form))
    url = cluster.url.replace("//", f"//{form}:password@")
    name, endpoints = endpoints_of_url(url, TIMEOUT)
    store = cluster_store(endpoints, name=name, timeout=TIMEOUT, namespace=form)
    try:
        store.fill(KEY, b"entry", 60.0, TAGS)
        assert store.load(KEY, TAGS).entry == b"entry"
        before = store.load(KEY, TAGS).snapshot
        store.evict(EvictionRequest(TAGS, 0.0))
        assert store.load(KEY, TAGS).snapshot != before
        store.clear()
        assert store.load(KEY, TAGS).entry is None
        leave_records(store)
    finally:
        store.close()


def test_the_user_may_ask_which_server_it_is(server: ValkeyServer) -> None:
    with redis.Redis.from_url(url_of(server)) as client:
        assert client.info("server")["run_id"]
        assert client.info("replication")["master_replid"]


@pytest.mark.parametrize(
    "command", ["FLUSHALL", "FLUSHDB", "KEYS *", "CONFIG GET *", "GET theirs"]
)
def test_the_user_may_not_reach_anything_else(
    server: ValkeyServer, command: str
) -> None:
    with redis.Redis.from_url(url_of(server)) as client:
        assert client.ping()
        with pytest.raises(NoPermissionError):
            client.execute_command(*command.split())
