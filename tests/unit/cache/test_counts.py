"""What each call counts: per table and operation, and each read once."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import botocache
from botocache import Cache
from botocache._cache.tickets import Hit
from botocache._counting.counters import STORE_SAMPLED
from botocache._counting.stats import TableStats
from botocache._settings.load import Settings, load_settings
from botocache.stores.memory import MemoryStore
from tests.support.calls import ask, begin, call_of
from tests.support.clock import FakeClock
from tests.support.failing_store import FailingStore

SETTLE = 1.0
KEY = {"TableName": "t", "Key": {"pk": {"S": "a"}}}
ITEM = {"Item": {"pk": {"S": "a"}, "text": {"S": "x" * 5000}}}  # 2 blocks
QUERY = {
    "TableName": "t",
    "KeyConditionExpression": "pk = :v",
    "ExpressionAttributeValues": {":v": {"S": "a"}},
}
DESCRIBED = {
    "TableName": "t",
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
}
CONSISTENT = {**KEY, "ConsistentRead": True}


@pytest.fixture
def store(clock: FakeClock) -> FailingStore:
    return FailingStore(MemoryStore(clock=clock))


@pytest.fixture
def cache(store: FailingStore) -> Iterator[Cache]:
    made = Cache(store, Settings(settle=SETTLE))
    yield made
    made.close()  # with what is still pending


def counts(cache: Cache, operation: str, table: str = "t") -> dict[str, Any]:
    """Return all counts of an operation that are not zero, without its latencies."""
    for each in cache.stats().tables:
        if (each.table, each.operation) == (table, operation):
            return {
                name: value
                for name in TableStats.__slots__
                if name not in ("table", "operation") and not name.endswith("_latency")
                if (value := getattr(each, name))
            }
    return {}


def latencies(cache: Cache, operation: str) -> dict[str, int]:
    """Return how many calls the latencies of an operation are of."""
    (table,) = (each for each in cache.stats().tables if each.operation == operation)
    return {
        "store": table.store_latency.count,
        "miss": table.miss_latency.count,
    }


# --- hits and misses ---------------------------------------------------------------


def test_a_miss_and_its_hits(cache: Cache) -> None:
    for _ in range(3):
        ask(cache, "GetItem", KEY, ITEM)
    assert counts(cache, "GetItem") == {
        "misses": 1,
        "store_hits": 2,
        "fills": 1,
        "units_consumed": 1.0,
        "units_saved": 2.0,
    }
    assert latencies(cache, "GetItem") == {"store": 2, "miss": 1}
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.units_saved) == (2, 1, 2.0)


def test_a_consistent_read_consumes_double_and_its_entry_saves_single(
    cache: Cache,
) -> None:
    ask(cache, "GetItem", CONSISTENT, ITEM)
    ask(cache, "GetItem", KEY, ITEM)
    assert counts(cache, "GetItem") == {
        "misses": 1,
        "consistent": 1,
        "store_hits": 1,
        "fills": 1,
        "units_consumed": 2.0,
        "units_saved": 1.0,
    }


def test_what_dynamodb_reports_is_what_a_hit_saves(cache: Cache) -> None:
    query = {**QUERY, "ReturnConsumedCapacity": "TOTAL"}
    reported = {"ConsumedCapacity": {"TableName": "t", "CapacityUnits": 12.5}}
    ask(cache, "Query", query, {"Items": [], "Count": 0, **reported})
    ask(cache, "Query", query, {})
    assert counts(cache, "Query") == {
        "misses": 1,
        "store_hits": 1,
        "fills": 1,
        "units_consumed": 12.5,
        "units_saved": 12.5,
    }


def test_a_projection_is_estimated_and_of_a_whole_item_exact(cache: Cache) -> None:
    projected = {**KEY, "ProjectionExpression": "pk"}
    part = {"Item": {"pk": {"S": "a"}}}
    for _ in range(2):
        ask(cache, "GetItem", projected, part)
    assert counts(cache, "GetItem") == {
        "misses": 1,
        "store_hits": 1,
        "fills": 1,
        "units_consumed": 0.5,
        "units_saved": 0.5,
        "units_estimated": 0.5,
    }
    other = {"TableName": "t", "Key": {"pk": {"S": "b"}}}
    ask(cache, "GetItem", other, {"Item": {**ITEM["Item"], "pk": {"S": "b"}}})
    before = counts(cache, "GetItem")
    assert isinstance(ask(cache, "GetItem", {**projected, **other}, part), Hit)
    after = counts(cache, "GetItem")
    assert after["units_saved"] == before["units_saved"] + 1.0
    assert after["units_estimated"] == before["units_estimated"]


def test_the_cost_of_an_entry_reaches_other_processes(
    store: FailingStore, cache: Cache
) -> None:
    ask(cache, "GetItem", KEY, ITEM)
    other = Cache(store, Settings(settle=SETTLE))
    ask(other, "GetItem", KEY, {})
    assert counts(other, "GetItem") == {"store_hits": 1, "units_saved": 1.0}


def test_a_hit_in_so_many_has_its_key_noted(cache: Cache) -> None:
    ask(cache, "GetItem", KEY, ITEM)
    for _ in range(STORE_SAMPLED * 2):
        hit = begin(cache, "GetItem", KEY)
    assert isinstance(hit, Hit)
    (key,) = cache.stats().hot_keys
    assert (key.table, key.operation, key.digest) == ("t", "GetItem", hit.key.hex())
    assert (key.key, key.hits) == ('{"pk":{"S":"a"}}', 2 * STORE_SAMPLED)
    assert key.units_saved == 2 * STORE_SAMPLED * 1.0


# --- batches -----------------------------------------------------------------------


def _batch(*keys: str, **options: object) -> dict[str, Any]:
    return {"Keys": [{"pk": {"S": key}} for key in keys], **options}


def _small(key: str) -> dict[str, Any]:
    return {"pk": {"S": key}}


def test_a_batch_counts_key_by_key(cache: Cache) -> None:
    ask(cache, "GetItem", KEY, ITEM)  # teaches the table's key, and fills one of three
    body = {"RequestItems": {"t": _batch("a", "b", "c"), "u": _batch("x")}}
    big = {"pk": {"S": "b"}, "text": {"S": "x" * 9000}}
    answer = {"Responses": {"t": [big], "u": []}, "UnprocessedKeys": {}}
    ask(cache, "BatchGetItem", body, answer)
    assert counts(cache, "BatchGetItem") == {
        "store_hits": 1,
        "misses": 2,
        "fills": 2,
        "units_saved": 1.0,
        "units_consumed": 1.5 + 0.5,
    }
    assert counts(cache, "BatchGetItem", "u") == {
        "misses": 1,
        "fills": 1,
        "units_consumed": 0.5,
    }
    assert isinstance(begin(cache, "BatchGetItem", body), Hit)
    after = counts(cache, "BatchGetItem")
    assert (after["store_hits"], after["units_saved"]) == (4, 1.0 + 1.0 + 1.5 + 0.5)


def test_keys_that_were_not_processed_are_not_filled(cache: Cache) -> None:
    body = {"RequestItems": {"t": _batch("a", "b")}}
    answer = {
        "Responses": {"t": [_small("a")]},
        "UnprocessedKeys": {"t": _batch("b")},
    }
    ask(cache, "BatchGetItem", body, answer)
    assert counts(cache, "BatchGetItem") == {
        "misses": 2,
        "fills": 1,
        "unfilled": {"unprocessed": 1},
        "units_consumed": 0.5,
    }


def test_items_that_do_not_show_their_key_are_not_filled(cache: Cache) -> None:
    body = {"RequestItems": {"t": _batch("a", "b", ProjectionExpression="text")}}
    answer = {"Responses": {"t": [{"text": {"S": "x"}}] * 2}, "UnprocessedKeys": {}}
    ask(cache, "BatchGetItem", body, answer)
    assert counts(cache, "BatchGetItem") == {
        "misses": 2,
        "unfilled": {"unmatched": 2},
        "units_consumed": 1.0,
    }


def test_the_units_of_a_batch_are_those_that_dynamodb_reports(cache: Cache) -> None:
    body = {
        "RequestItems": {"t": _batch("a", "b")},
        "ReturnConsumedCapacity": "TOTAL",
    }
    reported = [{"TableName": "t", "CapacityUnits": 7.0}]
    answer = {"Responses": {"t": [_small("a")]}, "ConsumedCapacity": reported}
    ask(cache, "BatchGetItem", body, answer)
    assert counts(cache, "BatchGetItem")["units_consumed"] == 7.0


# --- bypasses ----------------------------------------------------------------------


def _off() -> Settings:
    tables = {"t": {"enabled": False}}
    return load_settings({"tables": tables}, {}, "memory:")


def test_reads_within_bypass(cache: Cache) -> None:
    with botocache.bypass():
        ask(cache, "GetItem", KEY, ITEM)
        ask(
            cache,
            "BatchGetItem",
            {"RequestItems": {"t": _batch("a", "b")}},
            {"Responses": {"t": [ITEM["Item"]]}},
        )
    assert counts(cache, "GetItem") == {
        "bypassed": {"bypass": 1},
        "units_consumed": 1.0,
    }
    assert counts(cache, "BatchGetItem") == {
        "bypassed": {"bypass": 2},
        "units_consumed": 1.5,
    }


def test_reads_of_a_caller_who_is_not_known(cache: Cache) -> None:
    ticket = cache.begin(call_of("GetItem")._replace(scope=None), KEY)
    assert ticket is not None
    assert not isinstance(ticket, Hit)
    cache.finish(ticket, ITEM, succeeded=True, certain=True)
    assert counts(cache, "GetItem") == {
        "bypassed": {"no_scope": 1},
        "units_consumed": 1.0,
    }


def test_reads_while_an_eviction_is_pending(cache: Cache, store: FailingStore) -> None:
    store.failing.add("evict")
    ask(cache, "UpdateItem", KEY, {})
    ask(cache, "GetItem", KEY, ITEM)
    assert counts(cache, "GetItem") == {
        "bypassed": {"pending": 1},
        "units_consumed": 1.0,
    }


UNCACHEABLE: dict[str, tuple[dict[str, Any], dict[str, Any], int, float]] = {
    "TransactGetItems": (
        {"TransactItems": [{"Get": KEY}, {"Get": KEY}]},
        {"Responses": [ITEM, {}]},
        2,
        4.0 + 2.0,
    ),
    "ExecuteStatement": (
        {"Statement": "SELECT * FROM t WHERE pk = 'a'"},
        {"Items": [ITEM["Item"]]},
        1,
        1.0,
    ),
}


@pytest.mark.parametrize("operation", UNCACHEABLE)
def test_reads_of_another_kind(cache: Cache, operation: str) -> None:
    body, answer, reads, units = UNCACHEABLE[operation]
    ask(cache, operation, body, answer)
    assert counts(cache, operation) == {
        "bypassed": {"uncacheable": reads},
        "units_consumed": units,
    }


@pytest.mark.parametrize(
    ("place", "body"),
    [
        ("botocache._dynamodb.item_shapes.new_tag", KEY),
        ("botocache._cache.cache.plan", {**KEY, "ProjectionExpression": "pk"}),
    ],
)
def test_reads_that_begin_with_a_failure(
    place: str, body: dict[str, Any], cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(place, fail)
    ask(cache, "GetItem", body, ITEM)
    assert counts(cache, "GetItem") == {
        "bypassed": {"failed": 1},
        "units_consumed": 1.0,
    }
    cache.begin_unplanned("Query", RuntimeError())
    assert counts(cache, "Query", "(unknown)") == {"bypassed": {"failed": 1}}


def test_calls_that_are_no_reads_are_no_bypass(cache: Cache) -> None:
    ask(cache, "ListTables", {}, {"TableNames": ["t"]})
    ask(cache, "DescribeTable", {"TableName": "t"}, {"Table": {"TableName": "t"}})
    assert cache.stats().tables == ()


# --- what is not filled ------------------------------------------------------------


def _held(cache: Cache, store: FailingStore) -> None:
    write = begin(cache, "UpdateItem", KEY)
    ask(cache, "GetItem", KEY, ITEM)
    assert write is not None


def _failed_store(cache: Cache, store: FailingStore) -> None:
    ask(cache, "DescribeTable", {"TableName": "t"}, {"Table": DESCRIBED})
    store.failing.add("fill")
    ask(cache, "GetItem", KEY, ITEM)


def _unencodable(cache: Cache, store: FailingStore) -> None:
    ask(cache, "GetItem", KEY, {"Item": {"pk": {"S": "a"}, "n": {"N": 7}}})


def _error(cache: Cache, store: FailingStore) -> None:
    ticket = begin(cache, "GetItem", KEY)
    assert ticket is not None
    assert not isinstance(ticket, Hit)
    cache.fail(ticket)


def _foreign(cache: Cache, store: FailingStore) -> None:
    ticket = begin(cache, "GetItem", KEY)
    assert ticket is not None
    assert not isinstance(ticket, Hit)
    cache.finish(ticket, ITEM, succeeded=False, certain=True, unfilled="foreign")


UNFILLED: dict[str, tuple[Callable[[Cache, FailingStore], None], float, int]] = {
    "held": (_held, 1.0, 1),
    "store_error": (_failed_store, 1.0, 1),
    "unencodable": (_unencodable, 0.5, 1),
    "error": (_error, 0.0, 0),
    "foreign": (_foreign, 1.0, 1),
}


@pytest.mark.parametrize("reason", UNFILLED)
def test_a_miss_that_is_not_filled_says_why(
    cache: Cache, store: FailingStore, reason: str
) -> None:
    act, units, timed = UNFILLED[reason]
    act(cache, store)
    counted = counts(cache, "GetItem")
    assert counted.pop("units_consumed", 0.0) == units
    assert counted == {"misses": 1, "unfilled": {reason: 1}}
    assert latencies(cache, "GetItem")["miss"] == timed
    assert cache.stats().held == (reason == "held")


SETTINGS: dict[str, tuple[dict[str, Any], str, dict[str, Any], dict[str, Any]]] = {
    "ttl": ({"negative_ttl": 0}, "GetItem", KEY, {}),
    "too_large": (
        {"scan_size_limit": 1000},
        "Scan",
        {"TableName": "t"},
        {"Items": [ITEM["Item"]]},
    ),
}


@pytest.mark.parametrize("reason", SETTINGS)
def test_a_policy_may_keep_answers_out(store: FailingStore, reason: str) -> None:
    policy, operation, body, answer = SETTINGS[reason]
    cache = Cache(store, load_settings({"tables": {"t": policy}}, {}, "memory:"))
    ask(cache, operation, body, answer)
    counted = counts(cache, operation)
    assert counted.pop("units_consumed") > 0.0
    assert counted == {"misses": 1, "unfilled": {reason: 1}}


def test_every_miss_is_filled_or_says_why_not(
    cache: Cache, store: FailingStore, clock: FakeClock
) -> None:
    for act, _, _ in UNFILLED.values():
        act(cache, store)
        store.failing.clear()
        ask(cache, "GetItem", CONSISTENT, ITEM)
        cache.clear()
        clock.advance(1000.0)
    counted = counts(cache, "GetItem")
    assert counted["misses"] == counted["fills"] + sum(counted["unfilled"].values())
    assert counted["fills"] == len(UNFILLED) - 1  # a write may still be under way


# --- writes ------------------------------------------------------------------------


def test_a_write_counts_its_tags(cache: Cache) -> None:
    ask(cache, "UpdateItem", KEY, {})
    assert counts(cache, "UpdateItem") == {"writes": 1, "evicted": 3}
    stats = cache.stats()
    assert (stats.writes, stats.evicted) == (1, 3)


def test_what_a_write_leaves_is_a_fill_of_the_write(cache: Cache) -> None:
    ask(cache, "DescribeTable", {"TableName": "t"}, {"Table": DESCRIBED})
    ask(cache, "PutItem", {"TableName": "t", **ITEM}, {})
    assert counts(cache, "PutItem") == {"writes": 1, "evicted": 3, "fills": 1}
    ask(cache, "GetItem", KEY, {})
    assert counts(cache, "GetItem") == {"store_hits": 1, "units_saved": 1.0}


def test_a_write_counts_once_for_each_table(cache: Cache) -> None:
    put = {"PutRequest": ITEM}
    body = {"RequestItems": {"t": [put], "u": [put, put]}}
    ask(cache, "BatchWriteItem", body, {})
    stats = cache.stats()
    assert stats.writes == 2
    assert {each.table: each.writes for each in stats.tables} == {"t": 1, "u": 1}
    assert stats.evicted == sum(each.evicted for each in stats.tables)


def test_a_write_of_an_unknown_table(cache: Cache) -> None:
    cache.begin_unplanned("PutItem", RuntimeError())
    assert counts(cache, "PutItem", "(unknown)") == {"writes": 1, "evicted": 1}


# --- throttled ---------------------------------------------------------------------

THROTTLED: dict[str, dict[str, Any]] = {
    "GetItem": KEY,
    "Query": QUERY,
    "UpdateItem": KEY,
    "BatchGetItem": {"RequestItems": {"t": _batch("b")}},
    "TransactGetItems": {"TransactItems": [{"Get": KEY}]},
}


@pytest.mark.parametrize("operation", THROTTLED)
def test_a_throttled_answer_counts_for_the_table(cache: Cache, operation: str) -> None:
    ticket = begin(cache, operation, json.loads(json.dumps(THROTTLED[operation])))
    assert ticket is not None
    assert not isinstance(ticket, Hit)
    cache.count_throttled(ticket)
    cache.count_throttled(ticket)
    assert counts(cache, operation)["throttled"] == 2
