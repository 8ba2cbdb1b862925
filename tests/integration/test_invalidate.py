"""The public methods of the cache: invalidate, clear, close, stats."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import Binary

import botocache
from botocache import Cache, Invalidation
from tests.integration.app import World, every_store, get, put, query, set_n, wire
from tests.support.network import intercept


@pytest.fixture
def ranged(world: World, client: Any) -> str:
    """The name of a table with a number as range key, changed around botocache.

    The items and partitions a and b are cached with n=1, and have n=2 by now.
    """
    table = world.table("pk:S", "sk:N")
    for n in (1, 2):
        for pk in "ab":
            put(world.outside, table, pk=pk, sk=7, n=n)
        if n == 1:
            read_all(client, table)
    return table


def read_all(client: Any, table: str) -> list[int]:
    """Return `n` of the item a, the partition a, the item b and the partition b."""
    found = []
    for pk in "ab":
        item = get(client, table, pk=pk, sk=7)
        assert item is not None
        found += [int(item["n"]), int(query(client, table, pk=pk)[0]["n"])]
    return found


@every_store
def test_an_item_that_changed_around_botocache_is_served_until_it_is_invalidated(
    client: Any, ranged: str, cache: Cache
) -> None:
    assert read_all(client, ranged) == [1, 1, 1, 1]
    cache.invalidate(ranged)
    assert read_all(client, ranged) == [2, 2, 2, 2]


def test_a_table_is_invalidated_by_its_arn(
    client: Any, ranged: str, cache: Cache
) -> None:
    cache.invalidate(f"arn:aws:dynamodb:us-east-1:123456789012:table/{ranged}")
    assert read_all(client, ranged) == [2, 2, 2, 2]


KEYS: dict[str, dict[str, Any]] = {
    "as a client has it": {"pk": {"S": "a"}, "sk": {"N": "7"}},
    "as a resource has it": {"pk": "a", "sk": 7},
    "with a Decimal": {"pk": "a", "sk": Decimal("7.0")},
    "mixed": {"pk": "a", "sk": {"N": "07"}},
}


@every_store
@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS.keys())
def test_one_item_is_invalidated_with_its_partition_and_nothing_else_is(
    key: dict[str, Any], client: Any, ranged: str, cache: Cache, world: World
) -> None:
    cache.invalidate(ranged, key)
    with world.counting() as reached:
        assert read_all(client, ranged)[:2] == [2, 2]
    # Both are of one range key too, but nothing cached depends on that.
    assert reached == {"GetItem": 1, "Query": 1}
    assert read_all(client, ranged) == [2, 2, 1, 1]


@pytest.mark.parametrize(
    "key",
    [
        {"b": b"\x00\xff"},
        {"b": bytearray(b"\x00\xff")},
        {"b": Binary(b"\x00\xff")},
        {"b": {"B": b"\x00\xff"}},
    ],
    ids=["bytes", "bytearray", "Binary", "as a client has it"],
)
def test_a_binary_key_is_invalidated_in_every_form(
    key: dict[str, Any], client: Any, world: World, cache: Cache
) -> None:
    table = world.table("b:B")

    def read() -> Any:
        answer = client.get_item(TableName=table, Key={"b": {"B": b"\x00\xff"}})
        return answer["Item"]["n"]["N"]

    for n in ("1", "2"):
        item = {"b": {"B": b"\x00\xff"}, "n": {"N": n}}
        world.outside.put_item(TableName=table, Item=item)
        assert read() == "1"
    cache.invalidate(table, key)
    assert read() == "2"


BAD_KEYS: dict[str, dict[str, Any]] = {
    "a float": {"pk": 1.5},
    "a boolean": {"pk": True},
    "None": {"pk": None},
    "a list": {"pk": ["a"]},
    "a set": {"pk": {"SS": ["a"]}},
    "a number that is none": {"pk": {"N": 7}},
    "a map": {"pk": {"M": {}}},
    "two types": {"pk": {"S": "a", "N": "1"}},
}


@pytest.mark.parametrize("key", BAD_KEYS.values(), ids=BAD_KEYS.keys())
def test_a_value_that_cannot_be_a_key_is_refused(
    key: dict[str, Any], client: Any, ranged: str, cache: Cache
) -> None:
    with pytest.raises(ValueError, match="key attribute"):
        cache.invalidate(ranged, key)
    assert read_all(client, ranged) == [1, 1, 1, 1]


OTHER_KEYS: dict[str, tuple[Any, str]] = {
    "a misspelt name": ({"PK": "a", "sk": 7}, "not {'PK': S, 'sk': N}"),
    "a name too few": ({"pk": "a"}, "not {'pk': S}"),
    "a name too many": (
        {"pk": "a", "sk": 7, "n": 1},
        "not {'n': N, 'pk': S, 'sk': N}",
    ),
    "another type": ({"pk": "a", "sk": "7"}, "not {'pk': S, 'sk': S}"),
    "another type, as a client has it": (
        {"pk": {"B": b"a"}, "sk": {"N": "7"}},
        "not {'pk': B, 'sk': N}",
    ),
}


@every_store
@pytest.mark.parametrize(("key", "given"), OTHER_KEYS.values(), ids=list(OTHER_KEYS))
def test_a_key_that_the_table_does_not_have_is_refused_and_evicts_nothing(
    key: dict[str, Any], given: str, client: Any, ranged: str, cache: Cache
) -> None:
    with pytest.raises(ValueError, match="evict the whole table") as raised:
        cache.invalidate(ranged, key)
    assert f"key: the key of {ranged!r} is {{'pk': S, 'sk': N}}, {given};" in str(
        raised.value
    )
    assert read_all(client, ranged) == [1, 1, 1, 1]


@every_store
def test_a_process_that_has_read_nothing_refuses_such_a_key_as_well(
    world: World, client: Any, ranged: str, cache: Cache
) -> None:
    read_all(client, ranged)
    operator = botocache.install(world.session("AKIAOTHERCALLER0"), url=world.store)
    with pytest.raises(ValueError, match=r"is {.pk.: S, .sk.: N}, not {.id.: S};"):
        operator.invalidate(ranged, {"id": "a"})
    done = operator.invalidate(ranged, {"pk": "a", "sk": 7})
    assert done == (ranged, {"pk": {"S": "a"}, "sk": {"N": "7"}}, True, True)
    assert read_all(client, ranged) == [2, 2, 1, 1]


def test_a_table_that_no_call_has_named_is_evicted_as_given_and_said_to_be_unknown(
    cache: Cache,
) -> None:
    done = cache.invalidate("Users", {"Id": "7"})
    assert done == Invalidation("Users", {"Id": {"S": "7"}}, False, True)
    assert cache.invalidate("Users") == Invalidation("Users", None, False, True)


def test_a_table_that_is_evicted_as_a_whole_is_known_and_then_learned_anew(
    client: Any, ranged: str, cache: Cache
) -> None:
    assert cache.invalidate(ranged).is_table_known
    assert not cache.invalidate(ranged).is_table_known
    read_all(client, ranged)
    assert cache.invalidate(ranged).is_table_known


@pytest.mark.parametrize(
    ("table", "key", "error", "message"),
    [
        (None, None, TypeError, "table: expected a name or an ARN, as text, not None"),
        (7, None, TypeError, "table: expected a name or an ARN, as text, not int"),
        ("", None, ValueError, "table: expected a name or an ARN, not ''"),
        ("", {"id": "7"}, ValueError, "table: expected a name or an ARN, not ''"),
        (" users", None, ValueError, "table: expected a name or an ARN, not ' users'"),
        ("arn:aws:s3:::users", None, ValueError, "table: expected a name or an ARN"),
        ("arn:aws:dynamodb:a:1:table/", None, ValueError, "table: expected a name or"),
        ("users", "7", TypeError, "key: expected every key attribute with its value"),
        ("users", ["id"], TypeError, "not list"),
        ("users", {}, ValueError, "a key has at least one attribute"),
        ("users", {1: "7"}, ValueError, "key: expected the name of an attribute"),
        ("users", {"": "7"}, ValueError, "key: expected the name of an attribute"),
        ("users", {"id": ""}, ValueError, "value of the key attribute 'id' is empty"),
        ("users", {"id": {"B": b""}}, ValueError, "key attribute 'id' is empty"),
        ("users", {"id": Decimal("NaN")}, ValueError, "no number that DynamoDB takes"),
        ("users", {"id": 10**38}, ValueError, "39 digits; DynamoDB allows 38"),
    ],
)
def test_what_can_be_no_table_or_no_key_is_one_clear_sentence(
    table: Any, key: Any, error: type[Exception], message: str, cache: Cache
) -> None:
    with pytest.raises(error) as raised:
        cache.invalidate(table, key)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_result_shows_no_values_and_cannot_be_changed(cache: Cache) -> None:
    done = cache.invalidate("users", {"id": "secret", "at": {"N": "12345"}})
    assert repr(done) == (
        "Invalidation(table='users', key=<id, at>, is_table_known=False, "
        "is_delivered=True)"
    )
    with pytest.raises(AttributeError):
        done.table = "other"  # type: ignore[misc]  # that is what is tested


def test_an_empty_key_is_refused(ranged: str, cache: Cache) -> None:
    with pytest.raises(ValueError, match="key"):
        cache.invalidate(ranged, {})


@every_store
def test_an_invalidation_reaches_all_caches_that_share_the_store(
    world: World, ranged: str, cache: Cache
) -> None:
    other = world.cached_client("AKIAOTHERCALLER0", ttl=30)
    read_all(other, ranged)
    for pk in "ab":
        put(world.outside, ranged, pk=pk, sk=7, n=3)
    cache.invalidate(ranged)
    assert read_all(other, ranged) == [3, 3, 3, 3]


@every_store
def test_nothing_is_filled_right_after_an_invalidation(
    world: World, client: Any, ranged: str, cache: Cache
) -> None:
    cache.invalidate(ranged)
    with world.counting() as reached:
        read_all(client, ranged)
        read_all(client, ranged)
    assert reached == {"GetItem": 4, "Query": 4}
    world.settle()
    with world.counting() as reached:
        read_all(client, ranged)
        read_all(client, ranged)
    assert reached == {"GetItem": 2, "Query": 2}


def test_invalidating_an_unknown_table_or_item_does_nothing(
    client: Any, ranged: str, cache: Cache
) -> None:
    cache.invalidate("no-such-table")
    cache.invalidate(ranged, {"pk": "z", "sk": 1})
    assert read_all(client, ranged) == [1, 1, 1, 1]
    assert cache.stats().failures == {}


@every_store
def test_clear_drops_every_entry_of_all_caches(
    world: World, client: Any, ranged: str, cache: Cache
) -> None:
    other = world.cached_client("AKIAOTHERCALLER0", ttl=30)
    read_all(other, ranged)
    for pk in "ab":
        put(world.outside, ranged, pk=pk, sk=7, n=3)
    cache.clear()
    assert read_all(client, ranged) == [3, 3, 3, 3]
    assert read_all(other, ranged) == [3, 3, 3, 3]
    world.settle()
    with world.counting() as reached:
        read_all(client, ranged)
        read_all(client, ranged)
    assert reached == {"GetItem": 2, "Query": 2}


@every_store
def test_a_closed_cache_works_again_with_the_next_call(
    world: World, client: Any, ranged: str, cache: Cache
) -> None:
    for _ in range(2):
        cache.close()
        cache.close()
        read_all(client, ranged)
        set_n(client, ranged, 5, pk="a", sk=7)
        set_n(client, ranged, 5, pk="b", sk=7)
        assert read_all(client, ranged) == [5, 5, 5, 5]
    world.settle()
    read_all(client, ranged)
    with world.counting() as reached:
        read_all(client, ranged)
    assert reached == {}
    assert cache.stats().failures == {}


@every_store
def test_a_write_under_way_when_the_cache_is_closed_evicts(
    world: World, client: Any, ranged: str, cache: Cache
) -> None:
    intercept(client, "before-send", lambda **_: cache.close())
    set_n(client, ranged, 5, pk="a", sk=7)
    assert read_all(client, ranged)[:2] == [5, 5]


# --- counts and repr ----------------------------------------------------------------


def test_stats_count_what_happened(
    world: World, table: str, client: Any, cache: Cache
) -> None:
    assert cache.stats() == botocache.Stats()
    assert cache.stats().hit_ratio == 0.0
    get(client, table, pk="a")
    for _ in range(3):
        get(client, table, pk="a")
    set_n(client, table, 1, pk="a")
    get(client, table, pk="a")
    with botocache.bypass():
        get(client, table, pk="a")
    stats = cache.stats()
    assert replace(stats, tables=(), hot_keys=()) == botocache.Stats(
        hits=3,
        near_hits=stats.near_hits,  # as the store allows: see test_near.py
        misses=2,
        bypassed=1,
        fills=2,
        writes=1,
        evicted=3,  # the item, its partition, the writes of the table
    )
    assert stats.hit_ratio == pytest.approx(0.6)


def test_an_answer_that_must_not_be_filled_is_counted_as_held(
    world: World, table: str
) -> None:
    session = world.session()
    cache = botocache.install(session, url=world.store, reads_after_write="uncached")
    client = world.client(session)
    set_n(client, table, 1, pk="a")
    get(client, table, pk="a")
    assert (cache.stats().held, cache.stats().fills) == (1, 0)


def test_stats_do_not_change_after_they_were_read(
    table: str, client: Any, cache: Cache
) -> None:
    before = cache.stats()
    get(client, table, pk="a")
    assert before == botocache.Stats()
    assert cache.stats().misses == 1


def test_repr_shows_the_state_and_no_contents(
    world: World, table: str, client: Any, cache: Cache
) -> None:
    client.put_item(TableName=table, Item=wire({"pk": "s3cret", "text": "s3cret"}))
    world.settle()
    get(client, table, pk="s3cret")
    text = repr(cache)
    assert text.startswith(f"<Cache <{type(world.store).__name__}")
    assert "misses=1" in text
    assert "s3cret" not in text


def test_the_settings_can_be_read(world: World) -> None:
    cache = botocache.install(world.session(), url=world.store, ttl=7, scope="team")
    assert cache.settings.ttl == 7.0
    assert cache.settings.scope == "team"
    assert cache.settings.url is world.store
