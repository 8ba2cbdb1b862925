"""A batch of remembered keys is answered before botocore's pipeline, key by key."""

import contextlib
import json
import threading
from typing import Any
from unittest import mock

import pytest
from botocore.exceptions import ClientError, ParamValidationError
from botocore.history import get_global_history_recorder

import botocache
from botocache import Cache
from botocache._cache.tickets import pipeline_call
from botocache._near import batches, call_keys
from botocache._near import client as near_client
from tests.integration.app import (
    NEGATIVE_TTL,
    TTL,
    World,
    answer_of,
    every_store,
    get,
    put,
    set_n,
    wire,
    without_number,
)
from tests.integration.batched import Sent, Throttling, batch, fill, keys_of
from tests.integration.pipeline import past_the_pipeline
from tests.support.failing_store import FailingStore
from tests.support.network import intercept, intercepted

local = pytest.mark.parametrize("store", ["memory", "disk"], indirect=True)
"""Runs a test with the stores that know their generations without a round trip."""


def remember(world: World, client: Any, table: str, *keys: str, **options: Any) -> None:
    """Have a batch of keys remembered: filled, then loaded."""
    fill(world, table, *keys)
    for _ in range(3):
        batch(client, table, *keys, **options)


@every_store
def test_any_batch_of_remembered_keys_does_not_reach_the_pipeline(
    world: World, client: Any, table: str
) -> None:
    remember(world, client, table, "a", "b", "c")
    with past_the_pipeline(client), world.counting() as reached:
        assert [item["pk"] for item in batch(client, table, "c", "a")] == ["c", "a"]
        assert [item["pk"] for item in batch(client, table, "b")] == ["b"]
    assert reached == {}


@local
def test_where_generations_are_known_nothing_is_loaded_and_each_key_counts(
    world: World, client: Any, cache: Cache, table: str
) -> None:
    remember(world, client, table, "a", "b", "c")
    before = cache.stats()
    with mock.patch.object(world.store, "load_many", side_effect=AssertionError):
        batch(client, table, "b", "a")
    after = cache.stats()
    assert (after.hits, after.near_hits) == (before.hits + 2, before.near_hits + 2)
    assert after.failures == {}


@every_store
def test_keys_that_are_not_remembered_are_loaded_by_one_request(
    world: World, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FailingStore(world.store)
    monkeypatch.setattr(store, "is_current", lambda *_: False)
    session = world.session()
    cache = botocache.install(session, url=store)
    client = world.client(session)
    remember(world, client, table, "a", "b")
    store.asked.clear()
    with past_the_pipeline(client):
        batch(client, table, "b", "a")
    del store.asked["now"]
    assert store.asked == {"load_many": 1}
    assert cache.stats().near_hits == 0


@pytest.mark.parametrize("capacity", [None, "NONE", "TOTAL", "INDEXES"])
def test_a_near_hit_equals_a_hit_through_the_hooks(
    world: World, capacity: str | None
) -> None:
    near, far = world.cached_client(), world.cached_client(near="off")
    one, other = world.table("pk:S"), world.table("pk:S")
    fill(world, one, "a", "b")
    fill(world, other, "a")
    asked: dict[str, Any] = {
        "RequestItems": {
            other: keys_of("x", "a", ProjectionExpression="pk"),
            one: keys_of("b", "a", "x"),
        }
    }
    if capacity is not None:
        asked["ReturnConsumedCapacity"] = capacity
    for _ in range(3):
        near.batch_get_item(**asked)
    world.clock.advance(3)
    with past_the_pipeline(near):
        hit = without_number(near.batch_get_item(**asked))
    expected = without_number(far.batch_get_item(**asked))
    assert hit == expected
    assert list(hit) == list(expected)
    assert list(hit["Responses"]) == list(expected["Responses"])


def test_changing_an_answer_does_not_change_the_next(
    world: World, client: Any, table: str
) -> None:
    remember(world, client, table, "a")
    asked = {"RequestItems": {table: keys_of("a")}}
    client.batch_get_item(**asked)["Responses"][table][0]["n"]["N"] = "changed"
    assert batch(client, table, "a")[0]["n"] == 97


@pytest.mark.parametrize("near", [True, False])
def test_a_resource_gets_its_own_form(world: World, table: str, near: bool) -> None:
    session = world.session()
    botocache.install(session, url=world.store, near=near)
    resource = world.resource(session)
    fill(world, table, "a", "b")
    asked = {table: {"Keys": [{"pk": "b"}, {"pk": "a"}]}}
    for _ in range(4):
        answer = resource.batch_get_item(RequestItems=asked)
        assert answer["Responses"][table] == [
            {"pk": "b", "n": 98, "text": "item b"},
            {"pk": "a", "n": 97, "text": "item a"},
        ]
    if near:
        with past_the_pipeline(resource.meta.client):
            resource.batch_get_item(RequestItems=asked)


def test_handlers_of_after_call_see_near_hits(
    world: World, client: Any, table: str
) -> None:
    remember(world, client, table, "a")
    seen = []
    client.meta.events.register(
        "after-call.dynamodb.BatchGetItem",
        lambda parsed, **_: seen.append(parsed["Responses"]),
    )
    for _ in range(3):
        batch(client, table, "a")
    assert seen == [{table: [wire({"pk": "a", "n": 97, "text": "item a"})]}] * 3


# --- the law, for each key ---------------------------------------------------------


@every_store
def test_a_write_evicts_its_key_and_that_key_alone_is_asked_again(
    world: World, table: str
) -> None:
    client = world.cached_client(writes_through=False)
    remember(world, client, table, "a", "b", "c")
    set_n(client, table, 7, pk="b")
    sent = Sent(client)
    assert [item["n"] for item in batch(client, table, "a", "b", "c")] == [97, 7, 99]
    assert sent.requests == [{table: ["b"]}]
    with world.counting() as reached:
        assert [item["n"] for item in batch(client, table, "c", "a")] == [99, 97]
    assert reached == {}


@every_store
def test_a_write_between_the_look_up_and_the_request_leaves_nothing_that_is_served(
    world: World, table: str
) -> None:
    client, writer = world.cached_client(settle=0), world.cached_client(settle=0)
    remember(world, client, table, "a")
    fill(world, table, "b")

    def write(**_: Any) -> None:
        set_n(writer, table, 1, pk="a")

    def write_and_lag(**_: Any) -> None:
        set_n(writer, table, 2, pk="b")

    with intercepted(client, "before-send.dynamodb.BatchGetItem", write):
        # `a` was current when the call began.
        assert [item["n"] for item in batch(client, table, "a", "b")] == [97, 98]
    with intercepted(client, "response-received.dynamodb.BatchGetItem", write_and_lag):
        batch(client, table, "a", "b")
    assert [item["n"] for item in batch(client, table, "a", "b")] == [1, 2]


def test_while_an_eviction_is_pending_nothing_is_served_from_memory(
    world: World, table: str
) -> None:
    store = FailingStore(world.store)
    session = world.session()
    botocache.install(session, url=store)
    client = world.client(session)
    remember(world, client, table, "a", "b")
    store.failing = {"evict"}
    set_n(client, table, 7, pk="a")
    set_n(world.outside, table, 8, pk="a")
    for _ in range(3):
        assert [item["n"] for item in batch(client, table, "a", "b")] == [8, 98]
    store.failing = set()


@local
def test_a_key_that_this_process_refills_is_served_as_refilled(
    world: World, client: Any, table: str
) -> None:
    remember(world, client, table, "a", "b")
    put(world.outside, table, pk="b", n=1)
    with botocache.refresh():
        get(client, table, pk="b")
    assert [item["n"] for item in batch(client, table, "a", "b")] == [97, 1]


def test_a_key_lives_no_longer_than_its_entry(
    world: World, client: Any, cache: Cache, table: str
) -> None:
    remember(world, client, table, "a")
    for _ in range(3):
        batch(client, table, "a", "x")
    sent = Sent(client)
    world.clock.advance(NEGATIVE_TTL)
    batch(client, table, "a", "x")
    world.clock.advance(TTL - NEGATIVE_TTL)
    batch(client, table, "a")
    assert sent.requests == [{table: ["x"]}, {table: ["a"]}]


def test_bypass_and_refresh_ask_dynamodb(world: World, client: Any, table: str) -> None:
    remember(world, client, table, "a", "b")
    put(world.outside, table, pk="a", n=1)
    sent = Sent(client)
    with botocache.bypass():
        assert batch(client, table, "a", "b")[0]["n"] == 1
    assert batch(client, table, "a", "b")[0]["n"] == 97
    with botocache.refresh():
        assert batch(client, table, "a", "b")[0]["n"] == 1
    assert sent.requests == [{table: ["a", "b"]}] * 2


def test_each_remembered_key_is_drawn_for_an_audit_once(
    world: World, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = world.session()
    cache = botocache.install(session, url=world.store, audit=0.5)
    client = world.client(session)
    audits = cache.services.audits
    monkeypatch.setattr(audits, "_draw", lambda: 0.9)
    remember(world, client, table, "a", "b", "c")
    before = cache.stats()
    assert before.near_hits > 0
    draws = [0.9, 0.1, 0.1]
    monkeypatch.setattr(audits, "_draw", lambda: draws.pop(0))
    sent = Sent(client)
    batch(client, table, "c", "a", "b")
    assert sent.requests == [{table: ["a", "b"]}]
    assert cache.stats().near_hits == before.near_hits
    assert cache.stats().tables[0].compared == 2


def test_what_is_remembered_is_of_the_key_that_was_asked(
    world: World, client: Any, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread changes the arguments between two looks at them."""
    fill(world, table, "a", "b")
    batch(client, table, "a", "b")
    asked = {table: keys_of("a")}
    quick_key = call_keys.quick_key

    def changing(*arguments: Any) -> Any:
        asked[table]["Keys"][0] = wire({"pk": "b"})
        return quick_key(*arguments)

    monkeypatch.setattr(batches, "quick_key", changing)
    client.batch_get_item(RequestItems=asked)
    monkeypatch.undo()
    for _ in range(2):
        assert [item["pk"] for item in batch(client, table, "a")] == ["a"]


def test_a_thread_never_reads_less_than_was_written_before_it_began(
    world: World, table: str
) -> None:
    client = world.cached_client(settle=0)
    remember(world, client, table, "a", "b")
    written, is_over, stale = [0], threading.Event(), []

    def read() -> None:
        while not is_over.is_set():
            least = written[0]
            found = batch(client, table, "a", "b")[1]["n"]
            if least and found < least:
                stale.append((least, found))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for each in readers:
        each.start()
    for n in range(1000, 1025):
        set_n(client, table, n, pk="b")
        written[0] = n
    is_over.set()
    for each in readers:
        each.join()
    assert stale == []


class SentKeys:
    """The keys of one table that a client sends."""

    def __init__(self, client: Any, table: str) -> None:
        self.requests: list[Any] = []
        self._table = table
        intercept(client, "before-send.dynamodb.BatchGetItem", self._note)

    def _note(self, request: Any, **_: Any) -> None:
        body = json.loads(request.body)
        self.requests.append(body["RequestItems"][self._table]["Keys"])


# --- a batch of which some keys are remembered -------------------------------------


class Loads:
    """How many keys each request to a store loads."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.keys: list[int] = []
        self._load_many = world.store.load_many
        monkeypatch.setattr(world.store, "load_many", self._note)

    def _note(self, lookups: Any) -> Any:
        self.keys.append(len(lookups))
        return self._load_many(lookups)


@local
def test_keys_that_are_remembered_are_not_loaded_beside_others(
    world: World,
    client: Any,
    cache: Cache,
    table: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    remember(world, client, table, "a", "b", "c")
    fill(world, table, "d", "e")
    before, loads, sent = cache.stats(), Loads(world, monkeypatch), Sent(client)
    found = batch(client, table, "d", "a", "x", "c", "e")
    assert [item["pk"] for item in found] == ["d", "a", "c", "e"]
    assert loads.keys == [3]
    assert sent.requests == [{table: ["d", "x", "e"]}]
    after = cache.stats()
    assert (after.near_hits, after.hits) == (before.near_hits + 2, before.hits + 2)
    assert (after.misses, after.fills) == (before.misses + 3, before.fills + 3)
    assert after.failures == {}


@local
def test_a_batch_that_memory_and_the_store_have_together_is_a_hit(
    world: World,
    client: Any,
    cache: Cache,
    table: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    remember(world, client, table, "a", "b")
    fill(world, table, "c")
    get(client, table, pk="c")
    before, loads = cache.stats(), Loads(world, monkeypatch)
    with past_the_pipeline(client), world.counting() as reached:
        for _ in range(2):
            assert [each["n"] for each in batch(client, table, "b", "c", "a")] == [
                98,
                99,
                97,
            ]
    assert reached == {}
    assert loads.keys == [1]
    after = cache.stats()
    assert (after.hits, after.near_hits) == (before.hits + 6, before.near_hits + 5)


@pytest.mark.parametrize("capacity", [None, "TOTAL", "INDEXES"])
def test_an_answer_of_which_some_is_remembered_equals_that_of_the_hooks(
    world: World, capacity: str | None
) -> None:
    one, other = world.table("pk:S"), world.table("pk:S")
    near, far = world.cached_client(), world.cached_client(near="off", scope="far")
    fill(world, one, "a", "b", "c", "d")
    fill(world, other, "a")
    for client in (near, far):
        for _ in range(3):
            batch(client, one, "a", "b", "x")
            batch(client, other, "a", ProjectionExpression="pk")
    asked: dict[str, Any] = {
        "RequestItems": {
            other: keys_of("a", ProjectionExpression="pk"),
            one: keys_of("c", "b", "x", "d", "a"),
        }
    }
    if capacity is not None:
        asked["ReturnConsumedCapacity"] = capacity
    answers, requests, seen = [], [], []
    for client in (near, far):
        sent = Sent(client)
        client.meta.events.register(
            "after-call.dynamodb.BatchGetItem",
            lambda parsed, **_: seen.append(answer_of(parsed)),
        )
        answers.append(answer_of(client.batch_get_item(**asked)))
        requests.append(sent.requests)
    assert requests == [[{one: ["c", "d"]}]] * 2
    assert answers[0] == answers[1] == seen[0] == seen[1]
    assert [*answers[0]["Responses"]] == [*answers[1]["Responses"]]


@local
def test_what_no_longer_holds_of_a_remembered_key_leaves_that_key_to_the_store(
    world: World, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = world.cached_client(writes_through=False)
    fill(world, table, "a", "b")
    for _ in range(3):
        batch(client, table, "a", "b", "x")
    put(world.outside, table, pk="a", n=1)
    set_n(client, table, 7, pk="b")
    with botocache.refresh():
        get(client, table, pk="a")
    loads = Loads(world, monkeypatch)
    # Refilled, evicted, and one that memory may answer.
    assert [item["n"] for item in batch(client, table, "a", "x", "b")] == [1, 7]
    assert loads.keys == [2]
    world.clock.advance(NEGATIVE_TTL)
    fill(world, table, "x")
    sent = Sent(client)
    batch(client, table, "a", "x", "y")
    assert sent.requests == [{table: ["x", "y"]}]


def test_while_an_eviction_is_pending_no_part_is_served_from_memory(
    world: World, table: str
) -> None:
    store = FailingStore(world.store)
    session = world.session()
    botocache.install(session, url=store)
    client = world.client(session)
    remember(world, client, table, "a", "b")
    store.failing = {"evict"}
    set_n(client, table, 7, pk="a")
    set_n(world.outside, table, 8, pk="a")
    for _ in range(3):
        assert [each["n"] for each in batch(client, table, "a", "b", "c")] == [8, 98]
    store.failing = set()


@local
def test_where_hits_are_audited_a_batch_in_part_is_the_stores(
    world: World, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = world.session()
    cache = botocache.install(session, url=world.store, audit=0.5)
    client = world.client(session)
    audits = cache.services.audits
    monkeypatch.setattr(audits, "_draw", lambda: 0.9)
    remember(world, client, table, "a", "b")
    draws = [0.9, 0.1]
    monkeypatch.setattr(audits, "_draw", lambda: draws.pop(0))
    sent = Sent(client)
    batch(client, table, "x", "a", "b")
    assert sent.requests == [{table: ["x", "b"]}]
    assert cache.stats().tables[0].compared == 1


def test_what_memory_answers_is_of_the_keys_that_are_asked(
    world: World, client: Any, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread changes the arguments between two looks at them."""
    remember(world, client, table, "a", "b")
    fill(world, table, "c")
    asked = {table: keys_of("a", "c")}
    quick_key = call_keys.quick_key

    def changing(*arguments: Any) -> Any:
        asked[table]["Keys"][0] = wire({"pk": "b"})
        return quick_key(*arguments)

    monkeypatch.setattr(batches, "quick_key", changing)
    found = client.batch_get_item(RequestItems=asked)["Responses"][table]
    assert [item["pk"]["S"] for item in found] == ["b", "c"]


def test_a_batch_that_is_current_again_at_a_second_look_is_the_stores(
    world: World, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with client tracking, when its connection is confirmed in between."""
    store = FailingStore(world.store)
    looks: list[bool] = []
    is_current = store.is_current
    monkeypatch.setattr(
        store, "is_current", lambda *asked: looks.pop() if looks else is_current(*asked)
    )
    session = world.session()
    botocache.install(session, url=store)
    client = world.client(session)
    remember(world, client, table, "a", "b")
    sent = Sent(client)
    looks.append(False)
    assert [item["pk"] for item in batch(client, table, "a", "b")] == ["a", "b"]
    assert looks == []
    assert sent.requests == []


def test_a_remembered_key_that_comes_again_is_refused_by_dynamodb(
    world: World, client: Any, cache: Cache
) -> None:
    """In another spelling, or with other attributes: beside a key that is not known."""
    table = world.table("pk:N")
    one, again, other = ({"pk": {"N": n}} for n in ("1", "1.0", "2"))
    for _ in range(3):
        client.batch_get_item(RequestItems={table: {"Keys": [one]}})
    before, sent = cache.stats(), SentKeys(client, table)
    for keys in ([one, again], [again, other, one], [one, {"sk": {"N": "1"}}]):
        sent.requests.clear()
        with contextlib.suppress(ClientError):  # the emulator does not know 1 as 1.0
            client.batch_get_item(RequestItems={table: {"Keys": keys}})
        assert sent.requests == [keys]
    assert cache.stats().near_hits == before.near_hits
    bypassed = cache.stats().tables[0].bypassed
    assert bypassed == {"uncacheable": 7}


def test_a_resource_gets_its_own_form_of_a_batch_that_is_remembered_in_part(
    world: World, table: str
) -> None:
    session = world.session()
    botocache.install(session, url=world.store)
    resource = world.resource(session)
    fill(world, table, "a", "b")
    for _ in range(3):
        resource.batch_get_item(RequestItems={table: {"Keys": [{"pk": "a"}]}})
    asked = {table: {"Keys": [{"pk": "b"}, {"pk": "a"}]}}
    for _ in range(2):
        answer = resource.batch_get_item(RequestItems=asked)
        assert answer["Responses"][table] == [
            {"pk": "b", "n": 98, "text": "item b"},
            {"pk": "a", "n": 97, "text": "item a"},
        ]


@local
def test_unprocessed_keys_come_back_beside_what_is_remembered(
    world: World, client: Any, table: str
) -> None:
    remember(world, client, table, "a", "c")
    Throttling(client, table, "d")
    answer = client.batch_get_item(RequestItems={table: keys_of("d", "a", "b", "c")})
    assert [item["pk"]["S"] for item in answer["Responses"][table]] == ["a", "b", "c"]
    assert answer["UnprocessedKeys"] == {table: keys_of("d")}


# --- what DynamoDB, or botocore, refuses -------------------------------------------


def test_keys_that_dynamodb_refuses_together_are_refused_though_remembered(
    world: World, client: Any
) -> None:
    table = world.table("pk:N")
    keys = [{"pk": {"N": str(n)}} for n in range(1, 102)]
    for part in (keys[:51], keys[51:], [{"pk": {"N": "1.0"}}]):
        for _ in range(3):
            client.batch_get_item(RequestItems={table: {"Keys": part}})
    sent = SentKeys(client, table)
    for refused in (keys[:2] + keys[:1], [keys[0], {"pk": {"N": "1.0"}}], keys):
        sent.requests.clear()
        with contextlib.suppress(ClientError):  # not from the emulator, for 1 and 1.0
            client.batch_get_item(RequestItems={table: {"Keys": refused}})
        assert sent.requests == [refused]


def test_two_kinds_of_projections_go_to_dynamodb_though_remembered(
    world: World, client: Any
) -> None:
    one, other = world.table("pk:S"), world.table("pk:S")
    fill(world, one, "a")
    fill(world, other, "a")
    parts = {
        one: keys_of("a", ProjectionExpression="pk"),
        other: keys_of("a", AttributesToGet=["pk"]),
    }
    for table, part in parts.items():
        for _ in range(3):
            client.batch_get_item(RequestItems={table: part})
    with world.counting() as reached:
        try:
            client.batch_get_item(RequestItems=parts)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "ValidationException"  # noqa: PT017 - moto accepts it
    assert reached == {"BatchGetItem": 1}


@pytest.mark.parametrize(
    "part",
    [
        {"Keys": [wire({"pk": "a"}), {"pk": {"S": 7}}]},
        {"Keys": [wire({"pk": "a"}), {"pk": "b"}]},
        {"Keys": [wire({"pk": "a"}), {"pk": {"S": "b", "X": "c"}}]},
        {"Keys": []},
        {"Keys": [wire({"pk": "a"})], "AttributesToGet": []},
        {"Keys": [wire({"pk": "a"})], "Unknown": 1},
        {"Keys": [wire({"pk": "a"})], "ConsistentRead": "no"},
    ],
)
def test_arguments_that_botocore_refuses_are_refused_in_the_same_words(
    world: World, client: Any, table: str, part: dict[str, Any]
) -> None:
    remember(world, client, table, "a")
    messages = []
    for each in (world.outside, client):
        with pytest.raises(ParamValidationError) as caught:
            each.batch_get_item(RequestItems={table: part})
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


# --- a batch that goes through the pipeline with one key ---------------------------


def test_the_pipeline_handles_one_key_and_all_that_is_missing_is_sent(
    world: World, client: Any, table: str
) -> None:
    remember(world, client, table, "a")
    fill(world, table, "b", "c")
    handled = []
    sent = Sent(client)
    make = client._convert_to_request_dict

    def convert(api_params: Any, *arguments: Any, **options: Any) -> Any:
        handled.append(api_params["RequestItems"][table]["Keys"])
        return make(api_params, *arguments, **options)

    # A test that interrupts a call between two statements may leave one behind.
    pipeline_call.set(None)
    with mock.patch.object(client, "_convert_to_request_dict", convert):
        items = batch(client, table, "c", "a", "b")
    assert [item["pk"] for item in items] == ["c", "a", "b"]
    assert handled == [[wire({"pk": "c"})]]
    assert sent.requests == [{table: ["c", "b"]}]
    assert pipeline_call.get() is None


def test_a_cache_that_is_uninstalled_meanwhile_leaves_the_whole_answer(
    world: World, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look-up and the hooks: then none of them completes the request."""
    client = world.client(world.session())
    botocache.install(client, url=world.store)
    remember(world, client, table, "a")
    fill(world, table, "b", "c")
    send = near_client._send_shortened

    def uninstall_and_send(*arguments: Any) -> Any:
        botocache.uninstall(client)
        return send(*arguments)

    monkeypatch.setattr(near_client, "_send_shortened", uninstall_and_send)
    sent = Sent(client)
    items = batch(client, table, "a", "b", "c")
    assert [item["pk"] for item in items] == ["a", "b", "c"]
    assert sent.requests[-1] == {table: ["a", "b", "c"]}


def test_new_keys_of_the_client_get_no_hit_of_the_old_ones(
    world: World, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look-up and the hooks: the new principal asks for all keys."""
    client = world.cached_client()
    remember(world, client, table, "a")
    fill(world, table, "b")
    send = near_client._send_shortened

    def change_and_send(*arguments: Any) -> Any:
        client._request_signer._credentials.access_key = "AKIAANOTHERPRINCIPAL"
        return send(*arguments)

    monkeypatch.setattr(near_client, "_send_shortened", change_and_send)
    sent = Sent(client)
    assert [item["pk"] for item in batch(client, table, "a", "b")] == ["a", "b"]
    assert sent.requests == [{table: ["a", "b"]}]


def test_an_error_of_dynamodb_is_that_of_the_whole_request(
    world: World, client: Any, table: str
) -> None:
    remember(world, client, table, "a")
    absent = "no-such-table"
    with pytest.raises(ClientError) as caught:
        client.batch_get_item(
            RequestItems={table: keys_of("a"), absent: keys_of("a", "b")}
        )
    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"


def test_a_table_named_by_an_arn_goes_through_the_hooks(
    world: World, client: Any, table: str
) -> None:
    remember(world, client, table, "a")
    arn = world.outside.describe_table(TableName=table)["Table"]["TableArn"]
    asked = {"RequestItems": {arn: keys_of("a")}}
    with mock.patch.object(near_client, "_send_shortened", side_effect=AssertionError):
        answers = [answer_of(client.batch_get_item(**asked)) for _ in range(3)]
    assert [len(each["Responses"]) for each in answers] == [1, 1, 1]


def test_a_batch_of_nothing_goes_to_dynamodb(
    world: World, client: Any, table: str
) -> None:
    remember(world, client, table, "a")
    with world.counting() as reached:
        for _ in range(2):
            with contextlib.suppress(ClientError):  # not from the emulator
                client.batch_get_item(RequestItems={})
    assert reached == {"BatchGetItem": 2}


def test_botocores_history_has_the_batch_as_the_application_made_it(
    world: World, client: Any, table: str
) -> None:
    remember(world, client, table, "a")
    fill(world, table, "b", "c")
    recorder: Any = get_global_history_recorder()
    seen = mock.Mock()
    recorder.add_handler(seen)
    recorder.enable()
    try:
        batch(client, table, "a", "b", "c")
    finally:
        recorder.disable()
        recorder._handlers.remove(seen)
    (params,) = [
        each.args[1]["params"]
        for each in seen.emit.call_args_list
        if each.args[0] == "API_CALL"
    ]
    assert params == {"RequestItems": {table: keys_of("a", "b", "c")}}
