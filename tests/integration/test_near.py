"""The near cache answers before botocore's pipeline what the hooks would answer."""

from decimal import Decimal
from typing import Any
from unittest import mock

import boto3
import pytest
from boto3.dynamodb.conditions import Attr, Key
from boto3.dynamodb.types import Binary, TypeDeserializer
from botocore.client import BaseClient
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import (
    ClientError,
    NoCredentialsError,
    ParamValidationError,
)
from botocore.stub import Stubber

import botocache
from botocache import Cache
from botocache._near import answers
from botocache._near.client import NearClient
from botocache._near.client_state import OPERATIONS, emitter_of, state_of
from botocache._settings.tables import TableOptionsArgument
from tests.integration.app import (
    KEY_ID,
    NEGATIVE_TTL,
    TTL,
    World,
    answer_of,
    delete,
    every_store,
    get,
    put,
    query,
    query_index,
    query_parameters,
    set_n,
    wire,
    without_number,
)
from tests.integration.pipeline import past_the_pipeline, through_the_pipeline
from tests.support.clients import credentials_for_clients, real_client
from tests.support.failing_store import FailingStore
from tests.support.processes import forked, in_threads

ITEM: dict[str, Any] = {
    "pk": "a",
    "n": Decimal("1.5"),
    "flag": True,
    "none": None,
    "binary": Binary(b"\x00\x01"),
    "texts": {"x", "y"},
    "numbers": {Decimal(1), Decimal(2)},
    "binaries": {Binary(b"x"), Binary(b"y")},
    "list": ["x", {"deep": [Decimal(1), {"er": Binary(b"z")}]}],
    "map": {"x": {"y": []}},
}

local = pytest.mark.parametrize("store", ["memory", "disk"], indirect=True)
"""Runs a test with the stores that know their generations without a round trip."""


def warm(client: Any, table: str, **item: Any) -> dict[str, Any]:
    """Read an item until it is in memory; return the last answer."""
    for _ in range(2):
        get(client, table, **item)
    answer: dict[str, Any] = client.get_item(TableName=table, Key=wire(item))
    return answer


@pytest.fixture
def item_table(world: World) -> str:
    """Return a table with an item of every type."""
    table = world.table("pk:S")
    world.outside.put_item(TableName=table, Item=wire(ITEM))
    return table


# --- a hit -------------------------------------------------------------------------


@every_store
def test_the_third_read_does_not_reach_the_pipeline(
    world: World, client: Any, item_table: str
) -> None:
    first = warm(client, item_table, pk="a")
    with past_the_pipeline(client), world.counting() as reached:
        answer = client.get_item(TableName=item_table, Key=wire({"pk": "a"}))
    assert answer_of(answer) == answer_of(first) == {"Item": wire(ITEM)}
    assert reached == {}


@local
def test_where_generations_are_known_a_near_hit_loads_nothing(
    world: World, client: Any, cache: Cache, item_table: str
) -> None:
    warm(client, item_table, pk="a")
    before = cache.stats()
    with mock.patch.object(world.store, "load", side_effect=AssertionError):
        get(client, item_table, pk="a")
    after = cache.stats()
    assert (after.hits, after.near_hits) == (before.hits + 1, before.near_hits + 1)
    assert after.failures == {}


@every_store
def test_where_generations_are_unknown_a_hit_loads_once_from_the_store(
    world: World, item_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FailingStore(world.store)
    monkeypatch.setattr(store, "is_current", lambda *_: False)
    session = world.session()
    cache = botocache.install(session, url=store)
    client = world.client(session)
    warm(client, item_table, pk="a")
    store.asked.clear()
    with past_the_pipeline(client):
        get(client, item_table, pk="a")
    assert store.asked["load"] == 1
    assert cache.stats().near_hits == 0
    assert cache.stats().hits == 3


def test_a_near_hit_equals_a_hit_through_the_hooks(
    world: World, item_table: str
) -> None:
    near, far = world.cached_client(), world.cached_client(near="off")
    for _ in range(2):
        get(near, item_table, pk="a")
    world.clock.advance(7)
    parameters = {"TableName": item_table, "Key": wire({"pk": "a"})}
    answers = [
        without_number(each.get_item(**parameters)) for each in (near, near, far)
    ]
    assert answers[0] == answers[1] == answers[2]
    assert list(answers[0]) == list(answers[1]) == list(answers[2])
    assert answers[1]["ResponseMetadata"]["HTTPHeaders"] == {
        "x-botocache": "hit",
        "age": "7",
    }


@pytest.mark.parametrize("capacity", ["TOTAL", "INDEXES", "NONE"])
def test_its_consumed_capacity_equals_that_of_a_hit_through_the_hooks(
    capacity: str, world: World, item_table: str
) -> None:
    near, far = world.cached_client(), world.cached_client(near="off")
    parameters = {
        "TableName": item_table,
        "Key": wire({"pk": "a"}),
        "ReturnConsumedCapacity": capacity,
    }
    _, *hits = [each.get_item(**parameters) for each in (near, near, near, far)]
    first, second, third = map(without_number, hits)
    assert first == second == third


def test_changing_an_answer_does_not_change_the_next(
    client: Any, item_table: str
) -> None:
    for _ in range(4):
        answer = client.get_item(TableName=item_table, Key=wire({"pk": "a"}))
        assert answer["Item"] == wire(ITEM)
        answer["Item"]["list"]["L"].clear()
        answer["ResponseMetadata"]["HTTPHeaders"].clear()
        del answer["Item"]["pk"]


def test_a_missing_item_and_an_empty_page_are_near_hits_too(
    client: Any, table: str
) -> None:
    for _ in range(2):
        assert get(client, table, pk="a") is None
        assert query(client, table, pk="a") == []
    with past_the_pipeline(client):
        assert get(client, table, pk="a") is None
        assert query(client, table, pk="a") == []


def test_a_projection_is_answered_from_the_whole_item(
    world: World, client: Any, item_table: str
) -> None:
    warm(client, item_table, pk="a")
    parameters = {
        "TableName": item_table,
        "Key": wire({"pk": "a"}),
        "ProjectionExpression": "n, flag",
    }
    with world.counting() as reached:
        answers = [client.get_item(**parameters)["Item"] for _ in range(4)]
    assert answers == [wire({"n": Decimal("1.5"), "flag": True})] * 4
    assert reached == {}


def test_pages_of_a_paginator_are_near_hits(world: World, client: Any) -> None:
    table = world.table("pk:S", "sk:N")
    for number in range(5):
        put(world.outside, table, pk="a", sk=number)
    parameters = query_parameters(table, None, pk="a")
    paginator = client.get_paginator("query")

    def pages() -> list[Any]:
        found = paginator.paginate(**parameters, PaginationConfig={"PageSize": 2})
        return [page["Items"] for page in found]

    first = [pages(), pages()][1]
    with past_the_pipeline(client):
        assert pages() == first
    assert [len(page) for page in first] == [2, 2, 1]


def test_a_scan_is_a_near_hit(client: Any, item_table: str) -> None:
    for _ in range(2):
        client.scan(TableName=item_table)
    with past_the_pipeline(client):
        assert client.scan(TableName=item_table)["Items"] == [wire(ITEM)]


@every_store
def test_a_miss_loads_from_the_store_once(world: World, item_table: str) -> None:
    store = FailingStore(world.store)
    session = world.session()
    botocache.install(session, url=store)
    client = world.client(session)
    warm(client, item_table, pk="a")
    world.clock.advance(TTL)
    get(client, item_table, pk="b")  # confirms the table's key attributes
    store.asked.clear()
    get(client, item_table, pk="a")
    assert store.asked["load"] == 1
    with past_the_pipeline(client):
        get(client, item_table, pk="a")


# --- resources ---------------------------------------------------------------------


def test_a_near_hit_of_a_resource_equals_a_hit_through_the_hooks(
    world: World, item_table: str
) -> None:
    near, far = world.session(), world.session()
    botocache.install(near, url=world.store)
    botocache.install(far, url=world.store, near="off")
    tables = [world.resource(each).Table(item_table) for each in (near, far)]
    for table in tables * 2:
        assert table.get_item(Key={"pk": "a"})["Item"] == ITEM
    with past_the_pipeline(tables[0].meta.client):
        answers = [without_number(each.get_item(Key={"pk": "a"})) for each in tables]
    assert answers[0] == answers[1]
    assert list(answers[0]) == list(answers[1])
    assert repr(answers[0]["Item"]["n"]) == "Decimal('1.5')"
    assert type(answers[0]["Item"]["binary"]) is Binary


def test_changing_an_answer_of_a_resource_does_not_change_the_next(
    resource: Any, item_table: str
) -> None:
    table = resource.Table(item_table)
    for _ in range(4):
        item = table.get_item(Key={"pk": "a"})["Item"]
        assert item == ITEM
        item["texts"].clear()
        item["binary"].value = b"spoilt"
        for each in item["binaries"]:
            each.value = b"spoilt"
        item["list"][1]["deep"].clear()
        item["map"]["x"]["y"].append("spoilt")


def test_queries_and_scans_with_conditions_are_near_hits(
    world: World, resource: Any
) -> None:
    name = world.table("pk:S", "sk:N")
    for number in range(3):
        put(world.outside, name, pk="a", sk=number)
    table = resource.Table(name)

    def answers() -> list[Any]:
        return [
            table.query(KeyConditionExpression=Key("pk").eq("a") & Key("sk").gt(0)),
            table.scan(FilterExpression=Attr("sk").is_in([1, 2])),
            table.query(
                KeyConditionExpression=Key("pk").eq("a"),
                ExclusiveStartKey={"pk": "a", "sk": Decimal(1)},
            ),
        ]

    answers(), answers()
    with past_the_pipeline(table.meta.client):
        last = answers()
    assert [each["Count"] for each in last] == [2, 2, 1]
    assert last[0]["Items"][0] == {"pk": "a", "sk": Decimal(1)}


def test_keys_that_look_alike_have_answers_of_their_own(
    world: World, session: boto3.Session, cache: Cache
) -> None:
    name = world.table("pk:N")
    put(world.outside, name, pk=1)
    at_once = Config(retries={"max_attempts": 0})  # some are a server error of moto's
    cached, direct = (
        world.resource(each, config=at_once).Table(name)
        for each in (session, world.session())
    )

    def outcome(table: Any, key: Any) -> Any:
        try:
            return answer_of(table.get_item(Key={"pk": key}))
        except ClientError as error:
            return error.response["Error"]

    keys = [1, "1", Decimal("1.0"), True, b"1", Binary(b"1"), {1}, [1], Decimal(1)]
    for key in keys * 3:
        assert outcome(cached, key) == outcome(direct, key)


@pytest.mark.parametrize("place", ["copier_for", "cost_of"])
def test_a_bug_while_an_answer_is_remembered_is_counted_and_fails_no_call(
    place: str,
    resource: Any,
    cache: Cache,
    item_table: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        f"botocache._near.delivery.{place}", mock.Mock(side_effect=KeyError)
    )
    table = resource.Table(item_table)
    for _ in range(3):
        assert table.get_item(Key={"pk": "a"})["Item"] == ITEM
    assert cache.stats().failures == {"near_failed": 2}


def test_numbers_of_the_users_own_type_are_made_anew_each_time(
    resource: Any, cache: Cache, item_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Number(float):
        pass

    monkeypatch.setattr(
        TypeDeserializer, "_deserialize_n", lambda _, text: Number(text)
    )
    table = resource.Table(item_table)
    found = [table.get_item(Key={"pk": "a"})["Item"]["n"] for _ in range(3)]
    assert found == [1.5] * 3
    assert {type(each) for each in found} == {Number}
    assert (cache.stats().hits, cache.stats().near_hits) == (2, 0)
    assert cache.stats().failures == {}


def test_a_client_and_a_resource_each_get_their_own_form(
    client: Any, resource: Any, item_table: str
) -> None:
    table = resource.Table(item_table)
    for _ in range(4):
        assert table.get_item(Key={"pk": "a"})["Item"] == ITEM
        answer = client.get_item(TableName=item_table, Key=wire({"pk": "a"}))
        assert answer["Item"] == wire(ITEM)


# --- coherence ---------------------------------------------------------------------


@every_store
def test_a_write_evicts_what_another_client_remembers(
    world: World, client: Any, table: str
) -> None:
    other = world.cached_client(write_hold_off=4.0)  # another cache, as elsewhere
    for n in range(4):
        set_n(other, table, n, pk="a")
        for _ in range(3):
            assert get(client, table, pk="a") == {"pk": "a", "n": n}
            assert query(client, table, pk="a") == [{"pk": "a", "n": n}]
    delete(other, table, pk="a")
    assert get(client, table, pk="a") is None
    assert query(client, table, pk="a") == []


@local
def test_a_forked_child_evicts_what_its_parent_remembers_and_the_reverse(
    world: World, client: Any, table: str
) -> None:
    set_n(client, table, 1, pk="a")
    world.settle()
    warm(client, table, pk="a")

    def child(pipe: Any) -> None:
        own = world.client(world.session())
        botocache.install(own, url=world.store)
        assert get(client, table, pk="a") == {"pk": "a", "n": 1}
        set_n(client, table, 2, pk="a")
        pipe.send("written")
        assert pipe.recv() == "written too"
        assert get(client, table, pk="a") == {"pk": "a", "n": 3}

    with forked(child) as pipe:
        assert pipe.recv() == "written"
        assert get(client, table, pk="a") == {"pk": "a", "n": 2}
        set_n(client, table, 3, pk="a")
        pipe.send("written too")
        assert get(client, table, pk="a") == {"pk": "a", "n": 3}


@every_store
def test_an_answer_lives_no_longer_than_its_entry(
    world: World, client: Any, item_table: str
) -> None:
    warm(client, item_table, pk="a")
    warm(client, item_table, pk="none")
    set_n(world.outside, item_table, 7, pk="a")
    put(world.outside, item_table, pk="none")
    assert get(client, item_table, pk="none") is None
    world.clock.advance(NEGATIVE_TTL)
    assert get(client, item_table, pk="none") == {"pk": "none"}
    assert (get(client, item_table, pk="a") or {})["n"] == Decimal("1.5")
    world.clock.advance(TTL - NEGATIVE_TTL)
    assert (get(client, item_table, pk="a") or {})["n"] == 7


@every_store
@pytest.mark.parametrize("what", ["invalidate", "invalidate an item", "clear", "close"])
def test_what_the_cache_drops_is_no_near_hit(
    what: str, world: World, client: Any, cache: Cache, item_table: str
) -> None:
    warm(client, item_table, pk="a")
    set_n(world.outside, item_table, 7, pk="a")
    {
        "invalidate": lambda: cache.invalidate(item_table),
        "invalidate an item": lambda: cache.invalidate(item_table, {"pk": "a"}),
        "clear": cache.clear,
        "close": cache.close,
    }[what]()
    assert cache.near is not None
    is_memory = type(world.store).__name__ == "MemoryStore"
    if what != "close" or is_memory:
        assert (get(client, item_table, pk="a") or {})["n"] == 7
    else:  # the store keeps its entries
        assert (get(client, item_table, pk="a") or {})["n"] == Decimal("1.5")


@every_store
@pytest.mark.parametrize("how", ["refresh", "consistent", "another client"])
def test_an_entry_that_this_process_refills_is_served_as_refilled(
    how: str, world: World, client: Any, session: boto3.Session, item_table: str
) -> None:
    warm(client, item_table, pk="a")
    set_n(world.outside, item_table, 7, pk="a")
    if how == "consistent":
        client.get_item(
            TableName=item_table, Key=wire({"pk": "a"}), ConsistentRead=True
        )
    else:
        with botocache.refresh():
            get(
                client if how == "refresh" else world.client(session),
                item_table,
                pk="a",
            )
    for _ in range(3):
        assert (get(client, item_table, pk="a") or {})["n"] == 7


def test_a_projection_is_renewed_with_the_whole_item(
    world: World, client: Any, item_table: str
) -> None:
    parameters = {
        "TableName": item_table,
        "Key": wire({"pk": "a"}),
        "ProjectionExpression": "n",
    }
    warm(client, item_table, pk="a")
    for _ in range(3):
        client.get_item(**parameters)
    set_n(world.outside, item_table, 7, pk="a")
    with botocache.refresh():
        get(client, item_table, pk="a")
    assert client.get_item(**parameters)["Item"] == wire({"n": 7})


def test_bypass_and_consistent_reads_are_answered_by_dynamodb(
    world: World, client: Any, item_table: str
) -> None:
    warm(client, item_table, pk="a")
    with world.counting() as reached, botocache.bypass():
        get(client, item_table, pk="a")
    assert reached["GetItem"] == 1
    parameters = {"TableName": item_table, "Key": wire({"pk": "a"})}
    with world.counting() as reached:
        for _ in range(3):
            client.get_item(**parameters, ConsistentRead=True)
    assert reached["GetItem"] == 3


@every_store
def test_an_index_query_of_a_table_recreated_with_other_keys_is_no_stale_hit(
    world: World, client: Any
) -> None:
    index = {
        "IndexName": "by-g",
        "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"},
    }

    def create(key: str, by: Any, name: str = "") -> str:
        other = {"AttributeName": "g", "AttributeType": "S"}
        return world.dynamodb.create_table(
            key,
            name=name,
            client=by,
            GlobalSecondaryIndexes=[index],
            AttributeDefinitions=[other],
        )

    table = create("pk:S", client)
    put(client, table, pk="a", g="x")
    world.settle()
    for _ in range(3):
        assert query_index(client, table, "by-g", g="x") == [{"pk": "a", "g": "x"}]
    client.delete_table(TableName=table)
    create("other:S", client, table)
    put(client, table, other="b", g="x")
    for _ in range(3):
        found = query_index(client, table, "by-g", g="x")
        assert found == [{"other": "b", "g": "x"}]
        world.settle()


def test_a_thread_never_reads_less_than_was_written_before_it_began(
    client: Any, resource: Any, table: str
) -> None:
    written = [0]
    set_n(client, table, 0, pk="a")

    def write() -> None:
        for n in range(1, 60):
            set_n(client, table, n, pk="a")
            written[0] = n

    def read(get_n: Any) -> Any:
        def reading() -> None:
            while written[0] < 59:
                least = written[0]
                assert get_n() >= least

        return reading

    item = resource.Table(table)
    in_threads(
        [
            write,
            *[read(lambda: (get(client, table, pk="a") or {})["n"])] * 2,
            *[read(lambda: item.get_item(Key={"pk": "a"})["Item"]["n"])] * 2,
        ]
    )


# --- who may be served -------------------------------------------------------------


def of(session: boto3.Session) -> Any:
    """Return the credentials that a session's clients have."""
    inner: Any = session._session
    return inner._credentials


def test_a_client_whose_access_key_changed_is_served_for_the_new_one(
    world: World, session: boto3.Session, client: Any, item_table: str
) -> None:
    warm(client, item_table, pk="a")
    for key in ("AKIAOTHER", KEY_ID):
        of(session).access_key = key
        with world.counting() as reached:
            get(client, item_table, pk="a")
        assert reached["GetItem"] == (1 if key == "AKIAOTHER" else 0)


def test_a_client_with_new_credentials_is_not_served_answers_of_the_old_ones(
    world: World, client: Any, item_table: str
) -> None:
    warm(client, item_table, pk="a")
    other = credentials_for_clients(Credentials("AKIAOTHER", "secret"))
    client._request_signer._credentials = other
    with world.counting() as reached:
        get(client, item_table, pk="a")
    assert reached["GetItem"] == 1


def test_a_client_that_lost_its_credentials_is_refused(
    client: Any, item_table: str
) -> None:
    warm(client, item_table, pk="a")
    client._request_signer._credentials = None
    with pytest.raises(NoCredentialsError):
        get(client, item_table, pk="a")


def test_a_client_with_credentials_of_an_unknown_class_uses_the_pipeline(
    client: Any, item_table: str
) -> None:
    class Own(Credentials):
        pass

    warm(client, item_table, pk="a")
    client._request_signer._credentials = Own(KEY_ID, "secret")
    warm(client, item_table, pk="a")
    with through_the_pipeline(client):
        get(client, item_table, pk="a")


# --- handlers and methods of others ------------------------------------------------

EVENTS_BEFORE_THE_REQUEST = [
    "provide-client-params.dynamodb.GetItem",
    "before-parameter-build.dynamodb",
    "before-call.dynamodb.GetItem",
    "before-call.*.*",
]


@pytest.mark.parametrize("event", EVENTS_BEFORE_THE_REQUEST)
def test_a_handler_that_may_change_a_request_is_called_for_each_call(
    event: str, client: Any, item_table: str
) -> None:
    warm(client, item_table, pk="a")
    calls: list[str] = []

    def handler(*, event_name: str, **_: Any) -> None:
        calls.append(event_name)

    client.meta.events.register(event, handler)
    for count in (1, 2, 3):
        get(client, item_table, pk="a")
        assert len(calls) == count
    client.meta.events.unregister(event, handler)
    warm(client, item_table, pk="a")
    with past_the_pipeline(client):
        get(client, item_table, pk="a")
    assert len(calls) == 3


def test_a_hit_is_for_the_request_as_a_handler_has_changed_it(
    world: World, client: Any, item_table: str
) -> None:
    put(world.outside, item_table, pk="b", n=2)
    warm(client, item_table, pk="a")

    def ask_for_b(*, params: dict[str, Any], **_: Any) -> None:
        params["Key"] = wire({"pk": "b"})

    client.meta.events.register("provide-client-params.dynamodb.GetItem", ask_for_b)
    for _ in range(3):
        assert get(client, item_table, pk="a") == {"pk": "b", "n": 2}


def test_a_handler_of_one_operation_does_not_slow_another(
    client: Any, item_table: str
) -> None:
    client.meta.events.register("before-call.dynamodb.Query", lambda **_: None)
    for _ in range(2):
        get(client, item_table, pk="a")
        query(client, item_table, pk="a")
    with past_the_pipeline(client):
        get(client, item_table, pk="a")
    with through_the_pipeline(client):
        query(client, item_table, pk="a")


@pytest.mark.parametrize("kind", ["client", "resource"])
def test_handlers_of_after_call_are_called_and_may_change_the_answer(
    kind: str, client: Any, resource: Any, item_table: str
) -> None:
    caller = client if kind == "client" else resource.meta.client
    key = wire({"pk": "a"}) if kind == "client" else {"pk": "a"}
    seen: list[Any] = []

    def handler(
        *, http_response: Any, parsed: Any, model: Any, context: Any, **_: Any
    ) -> None:
        seen.append((http_response.status_code, model.name, context["client_region"]))
        assert http_response.content == b"" or len(seen) == 1
        parsed["Item"]["extra"] = {"S": f"call {len(seen)}"}  # as the wire has it

    caller.meta.events.register("after-call.dynamodb.GetItem", handler)
    for number in range(1, 5):
        item = caller.get_item(TableName=item_table, Key=key)["Item"]
        extra = f"call {number}"
        assert item.pop("extra") == ({"S": extra} if kind == "client" else extra)
        assert item == (wire(ITEM) if kind == "client" else ITEM)
    assert seen == [(200, "GetItem", "us-east-1")] * 4


def test_an_exception_of_an_after_call_handler_reaches_the_application(
    client: Any, cache: Cache, item_table: str
) -> None:
    warm(client, item_table, pk="a")

    def handler(**_: Any) -> None:
        raise ZeroDivisionError("theirs")

    client.meta.events.register("after-call.dynamodb", handler)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError, match="theirs"):
            get(client, item_table, pk="a")
    assert cache.stats().failures == {}


def test_a_stubber_answers_in_place_of_the_near_cache(
    client: Any, item_table: str
) -> None:
    warm(client, item_table, pk="a")
    stubbed = {"Item": wire({"pk": "stubbed"})}
    with Stubber(client) as stubber:
        stubber.add_response("get_item", stubbed)
        assert get(client, item_table, pk="a") == {"pk": "stubbed"}
        stubber.assert_no_pending_responses()
    assert (get(client, item_table, pk="a") or {})["n"] == Decimal("1.5")


def test_arguments_that_botocore_refuses_are_refused_each_time(
    client: Any, item_table: str
) -> None:
    warm(client, item_table, pk="a")
    for _ in range(3):
        with pytest.raises(ParamValidationError):
            client.get_item(TableName=item_table, Key={"pk": {"S": 1}})
        with pytest.raises(ParamValidationError):
            client.get_item(TableName=item_table, Key={"pk": {"B": memoryview(b"a")}})
        with pytest.raises(TypeError):
            client.get_item(item_table)


def test_a_method_that_replaces_botocores_is_called(
    client: Any, item_table: str
) -> None:
    warm(client, item_table, pk="a")
    answer = {"Item": wire({"pk": "theirs"})}
    with mock.patch.object(BaseClient, "_make_api_call", return_value=answer) as made:
        for _ in range(2):
            assert get(client, item_table, pk="a") == {"pk": "theirs"}
    assert made.call_count == 2
    with past_the_pipeline(client):
        get(client, item_table, pk="a")


def test_a_class_between_the_near_cache_and_botocore_is_called(
    world: World, session: boto3.Session, cache: Cache, item_table: str
) -> None:
    calls: list[str] = []

    class Between:
        def _make_api_call(self, name: str, params: Any) -> Any:
            calls.append(name)
            return super()._make_api_call(name, params)  # type: ignore[misc]

    def add(*, base_classes: list[type], **_: Any) -> None:
        base_classes.insert(len(base_classes) - 1, Between)

    session.events.register_last("creating-client-class.dynamodb", add)
    client = world.client(session)
    assert isinstance(client, NearClient)
    warm(client, item_table, pk="a")
    assert calls == ["GetItem"] * 3
    assert cache.stats().hits == 2


@pytest.mark.parametrize("kind", ["client", "resource"])
def test_all_handlers_of_botocore_and_boto3_themselves_are_known(
    kind: str, world: World, client: Any, resource: Any
) -> None:
    caller = real_client(client if kind == "client" else resource.meta.client)
    emitter = emitter_of(caller)
    assert emitter is not None
    state = state_of(caller, emitter)
    assert state.operations == OPERATIONS
    assert state.emitting == frozenset()
    assert state.is_plain is (kind == "client")


# --- what goes wrong ---------------------------------------------------------------


@every_store
def test_a_failing_store_is_loaded_from_once_per_call(
    world: World, item_table: str
) -> None:
    store = FailingStore(world.store)
    session = world.session()
    cache = botocache.install(session, url=store)
    client = world.client(session)
    warm(client, item_table, pk="a")
    assert cache.near is not None
    world.clock.advance(TTL)
    store.failing = {"load"}
    store.asked.clear()
    assert (get(client, item_table, pk="a") or {})["n"] == Decimal("1.5")
    assert store.asked["load"] == 1
    assert cache.stats().failures == {"begin_failed": 1}


@every_store
def test_while_an_eviction_is_pending_nothing_is_served_from_memory(
    world: World, item_table: str
) -> None:
    store = FailingStore(world.store)
    session = world.session()
    botocache.install(session, url=store)
    client = world.client(session)
    warm(client, item_table, pk="a")
    store.failing = {"evict"}
    set_n(client, item_table, 7, pk="a")
    set_n(world.outside, item_table, 8, pk="a")
    for _ in range(3):
        assert (get(client, item_table, pk="a") or {})["n"] == 8
    store.failing = set()


def test_a_client_with_an_unknown_emitter_uses_the_pipeline(
    world: World, session: boto3.Session, cache: Cache, item_table: str
) -> None:
    client = world.client(session)

    class Events:
        def __init__(self, events: Any) -> None:
            self._events = events

        def __getattr__(self, name: str) -> Any:
            return getattr(self._events, name)

    client.meta.events = Events(client.meta.events)
    warm(client, item_table, pk="a")
    with through_the_pipeline(client):
        get(client, item_table, pk="a")
    assert cache.stats().hits == 3
    assert cache.stats().failures == {}


def test_a_bug_while_a_clients_state_is_made_is_counted_and_fails_no_call(
    client: Any, cache: Cache, item_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm(client, item_table, pk="a")
    monkeypatch.setattr(
        "botocache._near.client.state_of", mock.Mock(side_effect=KeyError)
    )
    client.meta.events.register("nothing", lambda **_: None)
    assert (get(client, item_table, pk="a") or {})["n"] == Decimal("1.5")
    assert cache.stats().failures == {"near_failed": 1}


# --- installing --------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["client", "resource", "table"])
def test_an_existing_client_gets_the_near_cache_and_loses_it(
    kind: str, world: World, item_table: str
) -> None:
    resource = world.resource(world.session())
    client = resource.meta.client
    target = {
        "client": client,
        "resource": resource,
        "table": resource.Table(item_table),
    }[kind]
    before = type(client)
    botocache.install(target, url=world.store)
    assert type(client).__name__ == before.__name__
    table = resource.Table(item_table)
    for _ in range(2):
        table.get_item(Key={"pk": "a"})
    with past_the_pipeline(client):
        assert table.get_item(Key={"pk": "a"})["Item"] == ITEM
    botocache.uninstall(target)
    assert type(client) is before
    assert not [name for name in vars(client) if "botocache" in name]
    with world.counting() as reached:
        table.get_item(Key={"pk": "a"})
    assert reached["GetItem"] == 1


def test_clients_of_the_process_get_the_near_cache_and_lose_it(
    world: World, item_table: str
) -> None:
    existing = world.client(world.session())
    before = type(existing)
    botocache.install(url=world.store)
    made = world.client(world.session())
    for client in (existing, made):
        warm(client, item_table, pk="a")
        with past_the_pipeline(client):
            get(client, item_table, pk="a")
    botocache.uninstall()
    assert type(existing) is before
    for client in (existing, made):
        with world.counting() as reached:
            get(client, item_table, pk="a")
        assert reached["GetItem"] == 1
    botocache.install(url=world.store)
    for client in (existing, made):
        warm(client, item_table, pk="a")
        with past_the_pipeline(client):
            get(client, item_table, pk="a")


def test_a_call_under_way_while_the_near_cache_is_removed_is_answered(
    world: World, item_table: str
) -> None:
    client = world.client(world.session())
    botocache.install(client, url=world.store)
    method = client._make_api_call  # looked up, and not called yet
    botocache.uninstall(client)
    answer = method("GetItem", {"TableName": item_table, "Key": wire({"pk": "a"})})
    assert answer["Item"] == wire(ITEM)


@pytest.mark.parametrize("how", ["argument", "variable"])
def test_the_near_cache_can_be_switched_off(
    how: str, world: World, item_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "variable":
        monkeypatch.setenv("BOTOCACHE_NEAR", "off")
    session = world.session()
    near = False if how == "argument" else None
    cache = botocache.install(session, url=world.store, near=near)
    client = world.client(session)
    assert not isinstance(client, NearClient)
    warm(client, item_table, pk="a")
    with through_the_pipeline(client):
        get(client, item_table, pk="a")
    assert cache.near is None
    assert (cache.stats().hits, cache.stats().near_hits) == (3, 0)
    cache.close()
    cache.clear()


def test_without_room_every_hit_is_loaded_from_the_store(
    world: World, item_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "SIZE_LIMIT", 0)
    session = world.session()
    cache = botocache.install(session, url=world.store)
    client = world.client(session)
    warm(client, item_table, pk="a")
    get(client, item_table, pk="a")
    assert (cache.stats().hits, cache.stats().near_hits) == (3, 0)


def test_a_near_hit_follows_the_tables_policy(world: World, item_table: str) -> None:
    session = world.session()
    policy: TableOptionsArgument = {"operations": ["GetItem"], "ttl": 10}
    botocache.install(session, url=world.store, tables={item_table: policy})
    client = world.client(session)
    warm(client, item_table, pk="a")
    with world.counting() as reached:
        get(client, item_table, pk="a")
        for _ in range(3):
            query(client, item_table, pk="a")
        world.clock.advance(10.1)
        get(client, item_table, pk="a")
    assert reached == {"Query": 3, "GetItem": 1}
