"""What the store on Redis keeps, for how long, and what it does when that is harmed."""

import contextlib
import logging
import os
import random
import re
import string
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import pytest
import redis as redis_py
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from botocache._cache.encryption import EncryptedEntries
from botocache._cache.entries import encode_answer
from botocache._coherence import Eviction, EvictionRequest, Held
from botocache._errors import ConfigError
from botocache.stores.protocol import Fill
from botocache.stores.redis.commands import ENTRY_LIMIT
from botocache.stores.redis.compression import MARK, UNPACKED_LIMIT
from botocache.stores.redis.keys import Keys
from botocache.stores.redis.scripts import STATE
from botocache.stores.redis.store import RedisStore
from botocache.stores.redis.urls import connections_of_url
from tests.support.clock import FakeClock
from tests.support.digests import key, tag, tags
from tests.support.evictions import left_by
from tests.support.opening import open_store_at
from tests.support.processes import TIMEOUT
from tests.support.redis_stores import redis_store
from tests.support.valkey_server import ValkeyServer

Client: TypeAlias = "redis_py.Redis"

KEY, OTHER_KEY = key("an entry"), key("another entry")
A, B = tag("a"), tag("b")
TTL = 60.0
WINDOW, SETTLE = 5.0, 1.0
SLACK = 60.0
DATABASE = 7
"""Nobody else's."""


def database(server: ValkeyServer) -> str:
    return f"{server.url.removesuffix('0')}{DATABASE}"


@pytest.fixture
def client(valkey: ValkeyServer) -> Iterator[Client]:
    """A client of a database that is empty."""
    with redis_py.Redis.from_url(database(valkey)) as made:
        made.flushdb()
        yield made
        made.flushdb()


@pytest.fixture
def stores(valkey: ValkeyServer, clock: FakeClock) -> Iterator["Stores"]:
    with contextlib.closing(Stores(valkey, clock)) as made:
        yield made


@pytest.fixture
def store(stores: "Stores", client: Client) -> RedisStore:
    return stores.open("mine")


class Stores:
    """Opens stores in the database, and closes them."""

    def __init__(self, server: ValkeyServer, clock: FakeClock) -> None:
        self._url = database(server)
        self._clock = clock
        self._open = contextlib.ExitStack()

    def open(self, namespace: str, **more: Any) -> RedisStore:
        name, make = connections_of_url(self._url, TIMEOUT)
        usual = {"settle": 0.0, "timeout": TIMEOUT, "clock": self._clock}
        made = redis_store(make, name=name, namespace=namespace, **{**usual, **more})
        return self._open.enter_context(contextlib.closing(made))

    def close(self) -> None:
        self._open.close()


def generations(store: RedisStore, *asked: bytes) -> tuple[int, ...]:
    return store.load(KEY, asked).snapshot


def held(store: RedisStore, *asked: bytes) -> Held:
    return store.load(KEY, asked).held


def use(store: RedisStore) -> None:
    """Use it in every way."""
    store.load(KEY, [A, B])
    store.fill(KEY, b"entry", TTL, [A, B])
    store.fill_many([Fill(OTHER_KEY, b"large" * 5000, TTL, [A])])
    store.load_many([(KEY, [A]), (OTHER_KEY, [A, tag("c")])])
    first = store.evict(EvictionRequest([A, B], WINDOW, watch=[tag("d")]))
    store.evict(EvictionRequest([A, B], SETTLE, first_eviction=first, restore=[B]))
    store._probe()


def all_keys(client: Client) -> list[str]:
    found: Any = client.keys()
    return sorted(each.decode() for each in found)


# --- its keys ------------------------------------------------------------------------

DOCUMENTED = [
    r"botocache:mine:1:e:[0-9a-f]{32}",
    r"botocache:mine:1:g:\{[0-9a-f]{2}\}[0-9a-f]{30}",
    r"botocache:mine:1:h:\{[0-9a-f]{2}\}",
    r"botocache:mine:1:runs",
]


def test_it_has_the_keys_that_are_documented_and_no_others(
    store: RedisStore, client: Client
) -> None:
    use(store)
    found = {
        pattern: [each for each in all_keys(client) if re.fullmatch(pattern, each)]
        for pattern in DOCUMENTED
    }
    assert sorted(each for of in found.values() for each in of) == all_keys(client)
    assert [pattern for pattern, of in found.items() if not of] == []


def test_every_key_of_its_own_ends_by_itself(store: RedisStore, client: Client) -> None:
    use(store)
    store.close()
    generations(store, A)
    lives = {each: client.pttl(each) for each in all_keys(client)}
    assert all(life > 0 for life in lives.values()), lives


FOREIGN = [
    "x",
    "botocache",
    "botocache:mine",
    "botocache:mine:1",
    "botocache:mine:2:e:" + KEY.hex(),
    "botocache:mine2:1:e:" + KEY.hex(),
    "botocache:nine:1:e:" + KEY.hex(),
    "botocache:*:1:e:" + KEY.hex(),
    "e:" + KEY.hex(),
    "mine:1:e:" + KEY.hex(),
]
PUT: dict[str, Callable[[Any, Any], object]] = {
    "string": lambda client, at: client.set(at, "text"),
    "list": lambda client, at: client.rpush(at, "a", "b"),
    "set": lambda client, at: client.sadd(at, "a", "b"),
    "hash": lambda client, at: client.hset(at, "a", "b"),
    "sorted set": lambda client, at: client.zadd(at, {"a": 1}),
    "stream": lambda client, at: client.xadd(at, {"a": "b"}),
    "bits": lambda client, at: client.setbit(at, 100, 1),
    "places": lambda client, at: client.geoadd(at, (1, 2, "a")),
}


def test_what_others_have_in_the_database_is_never_touched(
    store: RedisStore, client: Client
) -> None:
    for name in FOREIGN:
        for kind, put in PUT.items():
            put(client, f"{name}{kind}")
    client.set("one", "that ends", ex=10_000)
    before = {each: client.dump(each) for each in all_keys(client)}
    use(store)
    store.clear()
    store.close()
    use(store)
    after = {each: client.dump(each) for each in before}
    assert after == before
    assert [client.ttl(each) for each in before].count(-1) == len(before) - 1


def test_clear_finds_every_entry_among_many_keys_of_others(
    store: RedisStore, client: Client
) -> None:
    client.mset({f"other:{number}": "x" for number in range(5000)})
    keys = [key(f"{number} of many") for number in range(2500)]
    store.fill_many([Fill(each, b"entry", TTL) for each in keys])
    store.clear()
    assert {loaded.entry for loaded in store.load_many([(k, []) for k in keys])} == {
        None
    }
    assert len([each for each in all_keys(client) if each.startswith("other:")]) == 5000


def test_namespaces_share_nothing(
    stores: Stores, store: RedisStore, client: Client
) -> None:
    other = stores.open("min")
    store.fill(KEY, b"mine", TTL)
    assert other.load(KEY, [A]).entry is None
    assert generations(other, A) != generations(store, A)
    before = generations(other, A, B)
    store.evict(EvictionRequest([A, B], WINDOW))
    assert (generations(other, A, B), held(other, A)) == (before, Held.FREE)
    other.fill(KEY, b"other's", TTL)
    store.clear()
    assert (store.load(KEY, []).entry, other.load(KEY, []).entry) == (None, b"other's")


# --- damage --------------------------------------------------------------------------

HARMED = Keys("mine")
PLACES = {
    "entry": HARMED.entry(KEY),
    "generation": HARMED.generation(A),
    "hold-offs": HARMED.held(A),
    "runs": HARMED.runs,
}


@pytest.mark.parametrize("kind", PUT)
@pytest.mark.parametrize("place", PLACES)
def test_another_type_at_a_key_of_its_own_costs_at_most_a_miss(
    store: RedisStore, client: Client, clock: FakeClock, place: str, kind: str
) -> None:
    use(store)
    clock.advance(WINDOW)
    client.delete(PLACES[place])
    PUT[kind](client, PLACES[place])
    store.close()  # so that it is greeted again
    store.load(KEY, [A, B])
    assert_it_works(store)


@pytest.mark.parametrize("size", [*range(16), 17, 31, 32, 33, 1000])
@pytest.mark.parametrize("place", ["entry", "generation"])
def test_damage_of_any_length_costs_at_most_a_miss(
    store: RedisStore, client: Client, place: str, size: int
) -> None:
    before = generations(store, A, B)
    client.set(PLACES[place], b"\xc1" * size)
    seen = store.load(KEY, [A, B])
    assert len(seen.snapshot) == 2
    assert seen.snapshot[1] == before[1]
    assert store.load_many([(KEY, [A, B])]) == [seen]
    assert_it_works(store)


def test_two_states_that_are_as_long_as_two_whole_ones_are_damage_still(
    store: RedisStore, client: Client
) -> None:
    client.mset({HARMED.generation(A): b"x" * 15, HARMED.generation(B): b"y" * 17})
    generations(store, A, B)
    assert client.strlen(HARMED.generation(A)) == STATE.size
    assert client.strlen(HARMED.generation(B)) == STATE.size


def assert_it_works(store: RedisStore) -> None:
    first = store.evict(EvictionRequest([A, B], WINDOW))
    assert held(store, A) is Held.WRITING
    second = store.evict(EvictionRequest([A, B], 0.0, first_eviction=first))
    assert [mark.was_alone for mark in second.evicted.values()] == [True, True]
    loaded = store.load(KEY, [A, B])
    assert loaded.snapshot == tuple(mark.generation for mark in second.evicted.values())
    assert loaded.held is Held.FREE
    store.fill(KEY, b"as new", TTL, [A, B])
    assert store.load(KEY, [A, B]) == (b"as new", loaded.snapshot, Held.FREE)


def test_a_packed_entry_that_is_damaged_is_a_miss(
    store: RedisStore, client: Client
) -> None:
    store.fill(KEY, b"large" * 5000, TTL)
    sent: Any = client.get(HARMED.entry(KEY))
    assert sent[:1] == MARK
    assert len(sent) < 1000
    client.set(HARMED.entry(KEY), sent[:-1])
    assert store.load(KEY, [A]).entry is None
    assert store.load_many([(KEY, [A])])[0].entry is None
    assert_it_works(store)


def test_scripts_that_the_server_forgot_are_brought_again(
    store: RedisStore, client: Client
) -> None:
    for _ in range(2):
        client.script_flush()
        before = generations(store, *tags(3, f"new {os.urandom(4)!r}"))
        assert len(set(before)) == 3
        client.script_flush()
        evicted = store.evict(EvictionRequest([A, B], WINDOW, watch=[A, B]))
        assert evicted.watched == left_by(evicted)
        client.script_flush()
        store.fill(KEY, b"entry", TTL, [A, B])
        assert store.load(KEY, [A, B]).entry == b"entry"
        store.clear()


@pytest.mark.parametrize("lost", ["generation", "hold-offs"])
def test_a_hold_off_outlives_what_is_lost_of_it(
    store: RedisStore, client: Client, clock: FakeClock, lost: str
) -> None:
    first = store.evict(EvictionRequest([A], WINDOW))
    client.delete(PLACES[lost])
    assert held(store, A) is Held.WRITING
    clock.advance(WINDOW)
    assert held(store, A) is Held.FREE
    assert (generations(store, A) != (first.evicted[A].generation,)) == (
        lost == "generation"
    )


def test_what_is_lost_whole_is_in_doubt_until_the_time_has_passed(
    stores: Stores, client: Client, clock: FakeClock
) -> None:
    store = stores.open("mine", settle=SETTLE)
    store.evict(
        EvictionRequest(
            [A], SETTLE, first_eviction=store.evict(EvictionRequest([A], WINDOW))
        )
    )
    clock.advance(SETTLE)
    assert held(store, A) is Held.FREE
    client.delete(PLACES["generation"], PLACES["hold-offs"])
    assert held(store, A) is Held.SETTLING
    clock.advance(SETTLE)
    assert held(store, A) is Held.FREE


SHARED = tag("one")
SIBLING = SHARED[:1] + tag("two")[1:]
LOAD_2 = ("load", "2")
_STEPS = st.one_of(
    st.tuples(st.sampled_from(["write", "load", "lose"]), st.sampled_from("12")),
    st.just(("lose", "shard")),
    st.tuples(st.just("pass"), st.sampled_from([0.125, 0.25, 0.5, 1.0])),
)


@given(st.lists(_STEPS, max_size=14))
@settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@example([("write", "2"), ("lose", "shard"), ("write", "1"), ("lose", "2"), LOAD_2])
@example([("write", "2"), ("lose", "2"), ("lose", "shard"), LOAD_2])
def test_whatever_is_lost_no_tag_is_free_while_its_last_write_settles(
    stores: Stores, client: Client, clock: FakeClock, steps: Sequence[tuple[str, Any]]
) -> None:
    client.flushdb()
    store = stores.open("mine", settle=SETTLE)
    named = {"1": SHARED, "2": SIBLING}
    written = dict.fromkeys(named, -1000.0)
    spent: set[tuple[int, ...]] = set()
    for verb, what in steps:
        if verb == "write":
            spent.add(generations(store, named[what]))
            first = store.evict(EvictionRequest([named[what]], WINDOW))
            spent.add(tuple(mark.generation for mark in first.evicted.values()))
            store.evict(EvictionRequest([named[what]], SETTLE, first_eviction=first))
            written[what] = clock()
        elif verb == "load":
            generations(store, named[what])
        elif verb == "pass":
            clock.advance(what)
        elif what == "shard":
            client.delete(HARMED.held(SHARED))
        else:
            client.delete(HARMED.generation(named[what]))
        for name, each in named.items() if verb != "lose" else ():
            loaded = store.load(KEY, [each])
            assert loaded.snapshot not in spent
            assert loaded.held or clock() >= written[name] + SETTLE
    store.close()


# --- how long it lives ---------------------------------------------------------------


def life(client: Client, at: bytes) -> float:
    left: Any = client.pttl(at)
    return float(left) / 1000


@pytest.mark.parametrize("longest", [1.0, 60.0, 86_400.0])
def test_a_generation_lives_twice_as_long_as_any_entry(
    stores: Stores, client: Client, longest: float
) -> None:
    generations(stores.open("mine", longest_ttl=longest), A)
    assert longest * 2 < life(client, HARMED.generation(A)) <= longest * 2 + SLACK


@pytest.mark.parametrize("ttl", [1.0, 30.0, 300.0, 86_400.0])
@pytest.mark.parametrize("made_by", ["load", "evict"])
def test_no_generation_ends_before_the_entries_that_depend_on_it(
    store: RedisStore, client: Client, made_by: str, ttl: float
) -> None:
    if made_by == "evict":
        store.evict(EvictionRequest([A, B], 0.0))
    generations(store, A, B)
    store.fill(KEY, b"entry", ttl, [A, B])
    entry = life(client, HARMED.entry(KEY))
    assert 0 < entry <= ttl
    assert min(life(client, HARMED.generation(each)) for each in (A, B)) >= entry


def test_a_generation_lives_beyond_its_hold_off(
    store: RedisStore, client: Client
) -> None:
    store.evict(EvictionRequest([A], 3000.0))
    assert life(client, HARMED.generation(A)) > 3000.0
    assert life(client, HARMED.held(A)) > 3000.0


def test_a_fill_does_not_prolong_what_lives_long_enough(
    store: RedisStore, client: Client
) -> None:
    generations(store, A)
    client.pexpire(HARMED.generation(A), 100_000)
    store.fill(KEY, b"entry", TTL, [A])
    assert life(client, HARMED.generation(A)) <= 100.0


# --- how large it may be -------------------------------------------------------------


def test_an_entry_that_is_too_large_as_it_is_sent_is_not_kept(
    store: RedisStore, client: Client
) -> None:
    store.fill(KEY, os.urandom(ENTRY_LIMIT + 1), TTL, [A])
    assert not client.exists(HARMED.entry(KEY))
    entry = b"\1" + os.urandom(ENTRY_LIMIT - 1)
    store.fill(KEY, entry, TTL, [A])
    assert store.load(KEY, [A]).entry == entry


def full_page() -> dict[str, Any]:
    """Return as many small attributes as DynamoDB puts in a page: a megabyte."""
    values = random.Random(1)
    size, items = 0, []
    while size < 1024**2:
        item = {
            f"attribute{n}": {"S": "".join(values.choices(string.printable, k=12))}
            for n in range(20)
        }
        size += sum(len(name) + 12 for name in item)
        items.append(item)
    return {"Items": items, "Count": len(items), "ScannedCount": len(items)}


def test_a_full_page_is_kept_also_if_it_is_encrypted(store: RedisStore) -> None:
    encrypted = EncryptedEntries(bytes(32), "default", os.urandom, time.time)
    body = encode_answer(full_page())
    entry = encrypted.encode(KEY, body, (1, 2, 3), 0.0, TTL)
    assert len(entry) > 1.2 * 1024**2
    store.fill(KEY, entry, TTL, [A])
    assert store.load(KEY, [A]).entry == entry
    assert store._careful_until < 0.0


def test_an_entry_that_is_small_enough_when_packed_is_kept(store: RedisStore) -> None:
    entry = b"text" * (UNPACKED_LIMIT // 4)
    store.fill(KEY, entry, TTL)
    assert store.load(KEY, [A]).entry == entry
    store.fill(OTHER_KEY, entry + b"x", TTL)
    assert store.load(OTHER_KEY, [A]).entry is None


def test_of_many_fills_those_that_are_too_large_are_left_out_and_one_line_says_so(
    store: RedisStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocache._log._logged", set())
    large = os.urandom(ENTRY_LIMIT + 1)
    small = Fill(OTHER_KEY, b"small", TTL, [A])
    with caplog.at_level(logging.INFO, "botocache"):
        store.fill_many([small])
        assert caplog.messages == []
        for _ in range(2):
            store.fill_many([Fill(KEY, large, TTL, [A]), small])
    (line,) = caplog.messages
    assert "answer_too_large: an answer has more than 1.5 MiB" in line
    loaded = store.load_many([(KEY, [A]), (OTHER_KEY, [A])])
    assert [each.entry for each in loaded] == [None, b"small"]


def test_a_size_limit_is_the_servers_own_business(valkey: ValkeyServer) -> None:
    with pytest.raises(ConfigError, match="maxmemory"):
        open_store_at(f"{valkey.url}?size_limit=1GiB")


def test_it_tells_where_it_is_and_how_it_is(store: RedisStore, namespace: str) -> None:
    assert re.fullmatch(
        r"<RedisStore redis://127.0.0.1:\d+/7 namespace 'mine', <Breaker closed>>",
        repr(store),
    )


def test_an_eviction_of_many_tags_is_one_of_each(store: RedisStore) -> None:
    many = tags(500, "many")
    first: Eviction = store.evict(EvictionRequest(many, WINDOW))
    second = store.evict(
        EvictionRequest(many, SETTLE, first_eviction=first, restore=many[:250])
    )
    assert all(mark.was_alone for mark in second.evicted.values())
    assert [held(store, each) for each in (many[0], many[-1])] == [
        Held.FREE,
        Held.SETTLING,
    ]
