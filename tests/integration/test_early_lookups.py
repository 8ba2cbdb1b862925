"""Reads that are looked up early: before botocore's pipeline, by their arguments alone.

After one call for a table, a client can load any item of that table from the store.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from typing import Any
from unittest import mock

import boto3
import pytest
from boto3.dynamodb.transform import TransformationInjector
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, ParamValidationError

import botocache
from botocache import Cache
from botocache._cache.prepare import new_prepared
from botocache._dynamodb.operations import plan
from botocache._near.delivery import copier_of_hit
from botocache.stores.memory import MemoryStore
from tests.integration.app import (
    World,
    answer_of,
    every_store,
    get,
    put,
    query,
    query_index,
    query_parameters,
    set_n,
    wire,
)
from tests.integration.pipeline import past_the_pipeline, through_the_pipeline
from tests.support.clients import credentials_for_clients
from tests.support.failing_store import FailingStore

OTHER_ID = "AKIAIOSFODNN7OTHERID"
OTHER = credentials_for_clients(Credentials(OTHER_ID, "secret"))

FALSE: list[Any] = [0, 0.0, "", [], {}, (), None]
"""Values that are false to Python, and not booleans to botocore."""

INDEX: dict[str, Any] = {
    "AttributeDefinitions": [{"AttributeName": "color", "AttributeType": "S"}],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "by_color",
            "KeySchema": [{"AttributeName": "color", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
}


@pytest.fixture
def items(world: World) -> str:
    """Return a table with the items a to d, all filled by another client."""
    table = world.table("pk:S")
    filler = world.cached_client()
    for number, name in enumerate("abcd"):
        put(world.outside, table, pk=name, n=number)
        get(filler, table, pk=name)
    return table


def client_of_a_failing_store(world: World) -> tuple[Any, Cache, FailingStore]:
    """Return a client, its cache, and its store, of which `failing` verbs fail."""
    store, session = FailingStore(world.store), world.session()
    cache = botocache.install(session, url=store)
    return world.client(session), cache, store


@contextmanager
def during_the_call(client: Any, do: Callable[[], None]) -> Iterator[None]:
    """Do something once, between a call's early look-up and botocore's pipeline."""
    convert = client._convert_to_request_dict

    def convert_after(*args: Any, **kwargs: Any) -> Any:
        del vars(client)["_convert_to_request_dict"]
        do()
        return convert(*args, **kwargs)

    client._convert_to_request_dict = convert_after
    yield
    assert "_convert_to_request_dict" not in vars(client)


# --- hits --------------------------------------------------------------------------


@every_store
def test_an_item_that_another_client_has_filled_is_a_hit_without_the_pipeline(
    world: World, client: Any, cache: Cache, items: str
) -> None:
    get(client, items, pk="a")
    with past_the_pipeline(client), world.counting() as reached:
        assert get(client, items, pk="b") == {"pk": "b", "n": 1}
        assert get(client, items, pk="c") == {"pk": "c", "n": 2}
    assert reached == {}
    assert (cache.stats().hits, cache.stats().near_hits) == (3, 0)


@every_store
def test_repeating_an_early_hit_is_a_hit_again_without_the_pipeline(
    client: Any, cache: Cache, items: str
) -> None:
    for name in "abb":
        get(client, items, pk=name)
    with past_the_pipeline(client):
        get(client, items, pk="b")
    assert cache.stats().hits == 4
    assert cache.stats().near_hits <= 2


def test_an_early_hit_equals_a_hit_through_the_hooks(world: World, items: str) -> None:
    near, far = world.cached_client(), world.cached_client(near="off")
    get(near, items, pk="a")
    world.clock.advance(3)
    for parameters in (
        {"TableName": items, "Key": wire({"pk": "b"})},
        {"Key": wire({"pk": "c"}), "TableName": items},
        {
            "TableName": items,
            "Key": wire({"pk": "d"}),
            "ReturnConsumedCapacity": "TOTAL",
            "ProjectionExpression": "#n, pk",
            "ExpressionAttributeNames": {"#n": "n"},
        },
    ):
        with past_the_pipeline(near):
            answer = near.get_item(**parameters)
        expected = far.get_item(**parameters)
        assert list(answer) == list(expected)
        assert list(answer["ResponseMetadata"]) == list(expected["ResponseMetadata"])
        for each in (answer, expected):
            del each["ResponseMetadata"]["RequestId"]  # each call has one of its own
        assert answer == expected


def test_queries_and_scans_are_looked_up_early(world: World) -> None:
    table = world.table("pk:S", "sk:S")
    for name in "ab":
        put(world.outside, table, pk=name, sk="1")
    filler, client = world.cached_client(), world.cached_client()
    pages = [filler.scan(TableName=table, Limit=limit) for limit in (1, 2)]
    for name in "ab":
        query(filler, table, pk=name)
    client.scan(TableName=table, Limit=1)
    query(client, table, pk="a")
    with past_the_pipeline(client):
        assert query(client, table, pk="b") == [{"pk": "b", "sk": "1"}]
        assert answer_of(client.scan(TableName=table, Limit=2)) == answer_of(pages[1])


def test_a_query_of_an_index_is_looked_up_early(world: World) -> None:
    table = world.table("pk:S", "sk:S", **INDEX)
    for color in ("red", "blue"):
        put(world.outside, table, pk="a", sk=color, color=color)
    filler, client = world.cached_client(), world.cached_client()
    for color in ("red", "blue"):
        query_index(filler, table, "by_color", color=color)
    query_index(client, table, "by_color", color="red")
    query(client, table, pk="a")
    with through_the_pipeline(client, 0):
        assert len(query_index(client, table, "by_color", color="blue")) == 1


def test_the_next_early_lookup_sees_a_write(
    world: World, client: Any, items: str
) -> None:
    get(client, items, pk="a")
    for n in range(3):
        set_n(client, items, n, pk="b")
        assert get(client, items, pk="b") == {"pk": "b", "n": n}
        world.settle()


def test_a_client_learns_nothing_from_the_calls_of_another_client(
    world: World, session: boto3.Session, items: str
) -> None:
    one, other = world.client(session), world.client(session)
    get(one, items, pk="a")
    with through_the_pipeline(other):
        get(other, items, pk="b")


def test_an_entry_that_is_refilled_while_its_answer_is_encoded_is_served_as_refilled(
    world: World, client: Any, items: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = world.cached_client()
    get(client, items, pk="a")

    def packed_late(*hit: Any) -> Any:
        monkeypatch.undo()
        put(world.outside, items, pk="b", n=99)
        with botocache.refresh():
            get(other, items, pk="b")
        return copier_of_hit(*hit)

    monkeypatch.setattr("botocache._near.delivery.copier_of_hit", packed_late)
    assert get(client, items, pk="b") == {"pk": "b", "n": 1}
    for _ in range(3):
        assert get(client, items, pk="b") == {"pk": "b", "n": 99}


# --- resources ---------------------------------------------------------------------


ONCE = Config(retries={"total_max_attempts": 1})
"""The oldest botocore sends what moto fails on ten times, for half a minute."""


@pytest.fixture
def numbered(world: World) -> str:
    """Return a table with items that have a string and a number as key, all filled."""
    table = world.table("pk:S", "sk:N")
    filler = world.cached_client()
    for name in "ab":
        for number in (0, 1, -2, 10**14):
            put(world.outside, table, pk=name, sk=number, n={"x": [number]})
            get(filler, table, pk=name, sk=number)
    return table


@every_store
def test_a_table_gets_what_another_client_has_filled_without_the_pipeline(
    world: World, session: boto3.Session, cache: Cache, numbered: str
) -> None:
    table = world.resource(session).Table(numbered)
    table.get_item(Key={"pk": "a", "sk": 0})
    with past_the_pipeline(table.meta.client), world.counting() as reached:
        for number in (1, -2, 10**14):
            for name in "ab":
                for _ in range(2):
                    answer = table.get_item(Key={"pk": name, "sk": number})
                    assert answer["Item"] == {
                        "pk": name,
                        "sk": Decimal(number),
                        "n": {"x": [Decimal(number)]},
                    }
    assert reached == {}
    assert cache.stats().failures == {}


@pytest.mark.parametrize(
    "key",
    [
        {"pk": "a", "sk": Decimal(1)},
        {"sk": Decimal("1.0"), "pk": "a"},
        {"pk": "a", "sk": 10**15},
    ],
    ids=str,
)
def test_other_numbers_of_a_resource_go_through_the_pipeline(
    key: dict[str, Any], world: World, session: boto3.Session, numbered: str
) -> None:
    table = world.resource(session).Table(numbered)
    table.get_item(Key={"pk": "a", "sk": 0})
    with through_the_pipeline(table.meta.client):
        table.get_item(Key=key)


@pytest.mark.parametrize(
    "key",
    [
        {"pk": {"S": "a"}, "sk": {"N": "1"}},
        {"pk": "a", "sk": True},
        {"pk": "a", "sk": "1"},
        {"pk": "a", "sk": None},
        {"pk": ["a"], "sk": 1},
        {"pk": "a", "sk": 1.0},
        {"pk": "a", "sk": 10**60},
    ],
    ids=str,
)
def test_bad_keys_of_a_resource_fail_as_without_a_cache(
    key: dict[str, Any], world: World, session: boto3.Session, numbered: str
) -> None:
    def outcome(session: boto3.Session) -> tuple[type, Any]:
        table = world.resource(session, config=ONCE).Table(numbered)
        table.get_item(Key={"pk": "a", "sk": 0})
        try:
            return dict, answer_of(table.get_item(Key=key))
        except Exception as error:  # noqa: BLE001 - whatever it is
            return type(error), str(error)

    assert outcome(session) == outcome(world.session())


def test_a_client_with_half_of_the_resource_layer_has_no_early_lookups(
    world: World, session: boto3.Session, items: str
) -> None:
    client = world.client(session, config=ONCE)
    injector = TransformationInjector()
    client.meta.events.register(
        "before-parameter-build.dynamodb", injector.inject_attribute_value_input
    )
    for _ in range(2):
        with through_the_pipeline(client):
            client.get_item(TableName=items, Key={"pk": "a"})
    with pytest.raises(ClientError):
        client.get_item(TableName=items, Key={"pk": {"S": "b"}})


# --- misses ------------------------------------------------------------------------


@every_store
def test_a_miss_loads_from_the_store_once_and_is_filled(
    world: World, items: str
) -> None:
    put(world.outside, items, pk="new", n=9)
    client, cache, store = client_of_a_failing_store(world)
    get(client, items, pk="none")  # a miss: the table's key attributes are learned
    before = cache.stats()
    store.asked.clear()
    with world.counting() as reached:
        assert get(client, items, pk="new") == {"pk": "new", "n": 9}
    after = cache.stats()
    assert reached == {"GetItem": 1}
    assert store.asked["load"] == 1
    assert (after.misses, after.fills) == (before.misses + 1, before.fills + 1)
    with past_the_pipeline(client):
        assert get(client, items, pk="new") == {"pk": "new", "n": 9}


def test_a_miss_soon_after_a_write_is_sent_consistent_and_filled(
    world: World, client: Any, cache: Cache, items: str
) -> None:
    get(client, items, pk="a")
    set_n(client, items, 7, pk="b")
    fills = cache.stats().fills
    with world.counting() as reached:
        assert get(client, items, pk="b") == {"pk": "b", "n": 7}
        assert get(client, items, pk="b") == {"pk": "b", "n": 7}
    assert reached == {"GetItem": 1}
    assert cache.stats().fills == fills + 1


def test_each_strongly_consistent_read_reaches_dynamodb(
    world: World, client: Any, items: str
) -> None:
    get(client, items, pk="a")
    parameters = {"TableName": items, "Key": wire({"pk": "b"}), "ConsistentRead": True}
    with world.counting() as reached:
        for _ in range(2):
            assert client.get_item(**parameters)["Item"] == wire({"pk": "b", "n": 1})
    assert reached == {"GetItem": 2}


def test_an_item_with_a_pending_eviction_is_read_from_dynamodb_and_others_are_hits(
    world: World, items: str
) -> None:
    client, cache, store = client_of_a_failing_store(world)
    get(client, items, pk="a")
    store.failing = {"evict"}
    set_n(client, items, 5, pk="b")
    assert cache.stats().undelivered
    with through_the_pipeline(client, 1):
        assert get(client, items, pk="b") == {"pk": "b", "n": 5}
    with through_the_pipeline(client, 0):
        assert get(client, items, pk="c") == {"pk": "c", "n": 2}


def test_a_failing_store_is_loaded_from_once(world: World, items: str) -> None:
    client, cache, store = client_of_a_failing_store(world)
    get(client, items, pk="a")
    store.failing = {"load"}
    store.asked.clear()
    assert get(client, items, pk="b") == {"pk": "b", "n": 1}
    assert store.asked["load"] == 1
    assert cache.stats().failures


# --- calls that are not as they seem -----------------------------------------------


@pytest.mark.parametrize("mode", ["strongly consistent", "of an index", "binary"])
def test_no_call_is_planned_twice(
    mode: str, world: World, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = world.table("pk:B" if mode == "binary" else "pk:S", **INDEX)
    key = {"pk": {"B": b"a"}} if mode == "binary" else {"pk": {"S": "a"}}
    more = {"ConsistentRead": True} if mode == "strongly consistent" else {}
    client.get_item(TableName=table, Key=key)
    query_index(client, table, "by_color", color="red")
    planned, prepared = mock.Mock(wraps=plan), mock.Mock(wraps=new_prepared)
    monkeypatch.setattr("botocache._cache.cache.plan", planned)
    monkeypatch.setattr("botocache._cache.preparers.new_prepared", prepared)
    if mode == "of an index":
        query_index(client, table, "by_color", color="blue")
    else:
        client.get_item(TableName=table, Key=key, **more)
    assert planned.call_count + prepared.call_count <= 1


def test_a_string_is_not_taken_for_the_base64_of_a_binary(world: World) -> None:
    table = world.table("pk:B")
    put(world.outside, table, pk=b"abc", n=1)
    client = world.cached_client()
    for value in (b"xyz", b"abc", b"abc"):
        client.get_item(TableName=table, Key={"pk": {"B": value}})
    answer = client.get_item(TableName=table, Key={"pk": {"B": "YWJj"}})
    assert "Item" not in answer
    answer = client.get_item(TableName=table, Key={"pk": {"B": "abc"}})
    assert answer["Item"]["n"] == {"N": "1"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"Key": {"pk": {"S": 1}}},
        {"Key": {"pk": "b"}},
        {"Key": [{"S": "b"}]},
        {"Key": None},
        {"Key": {"pk": {"X": "b"}}},
        {"ConsistentRead": "false"},
        {"Unknown": "b"},
        {"TableName": ""},
        {"ProjectionExpression": ["pk"]},
        {"ProjectionExpression": "n", "ConsistantRead": True},
        {"ProjectionExpression": "n", "Limit": 1},
        {"AttributesToGet": "n"},
        {"ProjectionExpression": "#n", "ExpressionAttributeNames": {"#n": 1}},
        *({"ConsistentRead": value} for value in FALSE),
    ],
    ids=str,
)
def test_bad_arguments_fail_as_without_a_cache(
    wrong: dict[str, Any], world: World, client: Any, cache: Cache, items: str
) -> None:
    get(client, items, pk="a")
    parameters = {"TableName": items, "Key": wire({"pk": "b"}), **wrong}
    errors = []
    for each in (client, world.outside):
        with pytest.raises(ParamValidationError) as caught:
            each.get_item(**parameters)
        errors.append(str(caught.value))
    assert errors[0] == errors[1]
    assert cache.stats().failures == {}


@pytest.mark.parametrize(
    "wrong",
    [
        *({"ConsistentRead": value} for value in FALSE),
        {"ProjectionExpression": "n", "ConsistantRead": True},
        {"ProjectionExpression": "n", "Limit": 1},
    ],
    ids=str,
)
def test_bad_arguments_of_a_resource_fail_as_without_a_cache(
    wrong: dict[str, Any], world: World, session: boto3.Session, items: str
) -> None:
    table = world.resource(session).Table(items)
    table.get_item(Key={"pk": "a"})
    table.get_item(Key={"pk": "a"}, ProjectionExpression="n")
    with pytest.raises(ParamValidationError):
        table.get_item(Key={"pk": "b"}, **wrong)


@pytest.mark.parametrize("value", FALSE, ids=repr)
def test_bad_arguments_of_a_query_and_a_scan_fail_as_without_a_cache(
    value: Any, client: Any, items: str
) -> None:
    pages = (
        partial(client.scan, TableName=items),
        partial(client.query, **query_parameters(items, None, pk="a")),
    )
    for page in pages:
        page()
        page(ConsistentRead=False)
        with pytest.raises(ParamValidationError):
            page(ConsistentRead=value)


def test_text_that_only_python_takes_for_a_number_is_no_hit(
    world: World, client: Any, cache: Cache
) -> None:
    table = world.table("pk:N")
    put(world.outside, table, pk=10, n=1)
    for _ in range(3):
        client.get_item(TableName=table, Key={"pk": {"N": "10"}})
    for number in ("1_0", " 10", "10 ", "\u0661\u0660", "Infinity", ""):
        with world.counting() as reached, contextlib.suppress(ClientError):
            client.get_item(TableName=table, Key={"pk": {"N": number}})
        assert reached == {"GetItem": 1}, number
    assert cache.stats().failures == {}


@pytest.mark.parametrize("known", ["nothing", "the table"])
def test_arguments_that_change_during_the_call_are_not_mixed_up_later(
    known: str, client: Any, items: str, world: World
) -> None:
    if known == "the table":
        get(client, items, pk="c")
        put(world.outside, items, pk="new", n=9)
    asked = {"pk": {"S": "new"}}
    with during_the_call(client, lambda: asked["pk"].update(S="b")):
        client.get_item(TableName=items, Key=asked)
    expected = {"pk": "new", "n": 9} if known == "the table" else None
    for _ in range(3):
        assert get(client, items, pk="new") == expected
        assert get(client, items, pk="b") == {"pk": "b", "n": 1}


def test_arguments_that_change_only_for_a_moment_are_not_mixed_up_later(
    client: Any, items: str
) -> None:
    """At the end they are as they were, and the call was another one."""
    asked = {"pk": {"S": "a"}}
    client.meta.events.register(
        "after-call.dynamodb.GetItem", lambda **_: asked["pk"].update(S="a")
    )
    with during_the_call(client, lambda: asked["pk"].update(S="b")):
        client.get_item(TableName=items, Key=asked)
    assert asked == {"pk": {"S": "a"}}
    for _ in range(3):
        assert get(client, items, pk="a") == {"pk": "a", "n": 0}


def test_a_call_whose_credentials_change_is_filled_for_the_new_ones(
    world: World, client: Any, items: str
) -> None:
    put(world.outside, items, pk="new", n=9)
    get(client, items, pk="a")

    def change() -> None:
        client._request_signer._credentials = OTHER

    with during_the_call(client, change):
        assert get(client, items, pk="new") == {"pk": "new", "n": 9}
    with world.counting() as reached:
        get(world.cached_client(), items, pk="new")
    assert reached == {"GetItem": 1}, "it was filled for the old credentials"
    with world.counting() as reached:
        get(world.cached_client(OTHER_ID), items, pk="new")
    assert reached == {}


@pytest.mark.parametrize("how", ["another object", "another key"])
def test_a_call_with_other_credentials_for_a_moment_teaches_the_client_nothing(
    how: str, world: World, client: Any, items: str
) -> None:
    put(world.outside, items, pk="secret", n=5)
    for name in ("secret", "other"):
        get(world.cached_client(OTHER_ID), items, pk=name)
    signer = client._request_signer
    mine, key = signer._credentials, signer._credentials.access_key

    def change() -> None:
        if how == "another key":
            mine.access_key = OTHER_ID
        else:
            signer._credentials = OTHER

    with during_the_call(client, change):
        get(client, items, pk="other")
    signer._credentials, mine.access_key = mine, key
    for name in ("secret", "other"):
        with world.counting() as reached:
            get(client, items, pk=name)
        assert reached == {"GetItem": 1}, "served an answer of another principal"


def test_a_failing_store_is_reported_also_if_botocore_refuses_the_call(
    world: World, items: str
) -> None:
    client, cache, store = client_of_a_failing_store(world)
    get(client, items, pk="a")
    convert, client._convert_to_request_dict = client._convert_to_request_dict, None
    store.failing = {"load"}
    with pytest.raises(TypeError):
        client.get_item(TableName=items, Key=wire({"pk": "b"}))
    client._convert_to_request_dict, store.failing = convert, set()
    assert sum(cache.stats().failures.values()) == 1


def test_a_failing_store_is_reported_once_and_before_the_call_goes_on(
    world: World, items: str
) -> None:
    """Meanwhile other threads must not be served entries that were lost."""
    client, cache, store = client_of_a_failing_store(world)
    get(client, items, pk="a")
    store.failing = {"load"}
    told: list[dict[str, int]] = []
    with during_the_call(client, lambda: told.append(cache.stats().failures)):
        assert get(client, items, pk="b") == {"pk": "b", "n": 1}
    assert told == [{"begin_failed": 1}]
    assert cache.stats().failures["begin_failed"] == 1


@pytest.mark.parametrize("store", ["disk"], indirect=True)
def test_lost_generations_are_handled_also_if_botocore_refuses_the_call(
    world: World, client: Any, cache: Cache, store: Any, items: str
) -> None:
    for name in "ab":
        get(client, items, pk=name)
    shutil.rmtree(store.directory)
    convert, client._convert_to_request_dict = client._convert_to_request_dict, None
    with pytest.raises(TypeError):
        client.get_item(TableName=items, Key=wire({"pk": "c"}))
    client._convert_to_request_dict = convert
    assert cache.stats().failures
    with world.counting() as reached:
        get(client, items, pk="b")
    assert reached == {"GetItem": 1}


def test_the_form_of_a_body_is_looked_up_for_each_operation(
    client: Any, items: str
) -> None:
    injector, events = TransformationInjector(), client.meta.events
    events.register(
        "before-parameter-build.dynamodb.Query", injector.inject_attribute_value_input
    )
    events.register("after-call.dynamodb.Query", injector.inject_attribute_value_output)
    get(client, items, pk="a")
    with pytest.raises(ParamValidationError):
        client.get_item(TableName=items, Key={"pk": "b"})
    with past_the_pipeline(client):
        assert get(client, items, pk="b") == {"pk": "b", "n": 1}


def test_a_call_during_which_the_cache_is_uninstalled_is_answered_and_not_filled(
    world: World, session: boto3.Session, cache: Cache, items: str
) -> None:
    put(world.outside, items, pk="new", n=9)
    client = world.client(session)
    get(client, items, pk="a")
    fills = cache.stats().fills
    with during_the_call(client, lambda: botocache.uninstall(session)):
        assert get(client, items, pk="new") == {"pk": "new", "n": 9}
    assert cache.stats().fills == fills
    with through_the_pipeline(client):
        get(client, items, pk="b")


def test_a_call_under_way_is_not_filled_by_an_installation_that_has_ended(
    world: World, session: boto3.Session, cache: Cache, items: str
) -> None:
    put(world.outside, items, pk="new", n=9)
    client = world.client(session)
    get(client, items, pk="a")

    def install_elsewhere() -> None:
        botocache.uninstall(session)
        botocache.install(client, url=MemoryStore(clock=world.clock))

    with during_the_call(client, install_elsewhere):
        assert get(client, items, pk="new") == {"pk": "new", "n": 9}
    with world.counting() as reached:
        get(world.cached_client(), items, pk="new")
    assert reached == {"GetItem": 1}
    with world.counting() as reached:
        get(client, items, pk="new")
    assert reached == {}


class Text(str):
    """A text that has no key in the near cache, because of its type."""

    __slots__ = ()


@pytest.mark.parametrize("how", ["refresh", "another type"])
def test_a_call_within_a_call_teaches_the_outer_one_nothing(
    how: str, world: World, client: Any, items: str
) -> None:
    """The near cache steps aside for the inner call, which reaches the hooks first."""

    def make_another_call() -> None:
        if how == "refresh":
            with botocache.refresh():
                get(client, items, pk="b")
        else:
            client.get_item(TableName=items, Key={"pk": {"S": Text("b")}})

    with during_the_call(client, make_another_call):
        assert get(client, items, pk="a") == {"pk": "a", "n": 0}
    for _ in range(3):
        assert get(client, items, pk="a") == {"pk": "a", "n": 0}
