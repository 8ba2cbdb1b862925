"""Changes: a record evicts what a write of ours to the same item evicts."""

import base64
import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botocache import Cache
from botocache._coherence import Eviction, EvictionRequest
from botocache._dynamodb.items import MOST_ATTRIBUTES
from botocache._dynamodb.operations import plan
from botocache._dynamodb.plans import Write
from botocache._dynamodb.tags import (
    partition_tag,
    precise_writes_tag,
    table_tag,
    tag_digest,
    writes_tag,
)
from botocache._settings.load import load_settings
from botocache._streams.changes import (
    Change,
    change_in_kinesis,
    change_of,
    tags_of,
    tags_of_table,
)
from botocache.stores.memory import MemoryStore
from tests.support.calls import ask
from tests.support.dynamodb import DynamoDB
from tests.support.forwarding_store import ForwardingStore
from tests.support.stream_events import (
    STREAM,
    create_streamed,
    kinesis_event,
    lambda_event,
    plain,
    record,
    records_of,
)

WRITES, PRECISE = tag_digest(writes_tag("t")), tag_digest(precise_writes_tag("t"))
KEY = {"id": {"S": "7"}}


def partition(name: str, value: Mapping[str, Any]) -> bytes:
    return tag_digest(partition_tag("t", name, value))


def written(operation: str, body: Mapping[str, Any], key: Mapping[str, Any]) -> Write:
    """Return the plan of a write to the table, whose key attributes are learned."""
    planned = plan(operation, body, lambda _: frozenset(key))
    assert isinstance(planned, Write)
    return planned


def digests(write: Write) -> set[bytes]:
    return {*map(tag_digest, write.tags)}


# --- what a write evicts -----------------------------------------------------------


def _spellings_of(number: int, exponent: int) -> st.SearchStrategy[tuple[str, str]]:
    """Two spellings of one number: as a writer sends it, and as DynamoDB returns it."""
    whole = f"{number}{'0' * exponent}"
    spelled = [whole, f"{whole}.0", f"{number}e{exponent}", f"{number}.00E+{exponent}"]
    return st.tuples(st.sampled_from(spelled), st.just(whole))


_values = (
    st.text(min_size=1, max_size=3).map(lambda text: ({"S": text}, {"S": text}))
    | st.builds(_spellings_of, st.integers(-999, 999), st.integers(0, 3))
    .flatmap(lambda each: each)
    .map(lambda pair: ({"N": pair[0]}, {"N": pair[1]}))
    | st.binary(min_size=1, max_size=4).map(
        lambda raw: ({"B": base64.b64encode(raw).decode()}, {"B": raw})
    )
)
"""Values of key attributes: as a request has them, and as botocore parses a record."""

_keys = st.dictionaries(
    st.text(min_size=1, max_size=3), _values, min_size=1, max_size=2
)


@settings(max_examples=60)
@given(_keys, st.sampled_from(["t", "arn:aws:dynamodb:eu-central-1:1:table/t"]))
def test_a_record_evicts_what_a_write_of_the_same_item_evicts(
    values: dict[str, tuple[dict[str, str], dict[str, Any]]], parameter: str
) -> None:
    sent = {name: pair[0] for name, pair in values.items()}
    stored = {name: pair[1] for name, pair in values.items()}
    put = written("PutItem", {"TableName": parameter, "Item": sent}, sent)
    delete = written("DeleteItem", {"TableName": parameter, "Key": sent}, sent)
    parsed = record(stored)
    for found in (parsed, plain(parsed)):  # of GetRecords, and of Lambda
        evicted = tags_of(change_of(found, STREAM.format("t")), precise=False)
        assert {*evicted} == digests(put) == digests(delete)
        assert len({*evicted}) == len(evicted)


@pytest.mark.parametrize("kind", ["INSERT", "MODIFY", "REMOVE"])
def test_without_precise_index_eviction_images_do_not_matter(kind: str) -> None:
    old, new = {**KEY, "age": {"N": "1"}}, {**KEY, "age": {"N": "2"}}
    shown = change_of(record(KEY, kind=kind, old=old, new=new), "t")
    hidden = change_of(record(KEY, kind=kind), "t")
    assert tags_of(shown, precise=False) == tags_of(hidden, precise=False)


# --- index partitions --------------------------------------------------------------

OLD = {**KEY, "age": {"N": "41"}, "city": {"S": "Bern"}}
NEW = {**KEY, "age": {"N": "42.0"}, "photo": {"B": b"\1"}, "tags": {"SS": ["a"]}}

NEW_SENT = {**NEW, "photo": {"B": "AQ=="}}

OF_ITEM = {*tags_of(change_of(record(KEY), "t"), precise=False)} - {WRITES}
OF_OLD = {partition("age", {"N": "41"}), partition("city", {"S": "Bern"})}
OF_NEW = {partition("age", {"N": "42"}), partition("photo", {"B": "AQ=="})}


@pytest.mark.parametrize(
    ("kind", "old", "new", "of_images"),
    [
        ("MODIFY", OLD, NEW, OF_OLD | OF_NEW),
        ("INSERT", None, NEW, OF_NEW),
        ("REMOVE", OLD, None, OF_OLD),
        # A MODIFY that names one item twice has changed no index partition.
        ("MODIFY", OLD, OLD, OF_OLD),
    ],
)
def test_with_both_images_a_record_evicts_their_partitions_in_place_of_all_writes(
    kind: str, old: Any, new: Any, of_images: set[bytes]
) -> None:
    change = change_of(record(KEY, kind=kind, old=old, new=new), "t")
    assert {*tags_of(change, precise=True)} == OF_ITEM | of_images | {PRECISE}


class Recording(ForwardingStore):
    """Remembers what it was last asked to evict."""

    last: EvictionRequest

    def evict(self, request: EvictionRequest) -> Eviction:
        self.last = request
        return super().evict(request)

    def _before(self, verb: str) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("kind", "old", "new", "operation", "more"),
    [
        ("MODIFY", OLD, NEW_SENT, "PutItem", {"Item": NEW_SENT}),
        ("INSERT", None, NEW_SENT, "PutItem", {"Item": NEW_SENT}),
        ("REMOVE", OLD, None, "DeleteItem", {"Key": KEY}),
        (
            *("MODIFY", OLD, {**OLD, "age": {"N": "42"}}, "UpdateItem"),
            {
                "Key": KEY,
                "UpdateExpression": "SET age = :new",
                "ExpressionAttributeValues": {":new": {"N": "42"}},
            },
        ),
    ],
)
def test_a_record_evicts_what_a_precise_write_has_evicted_at_its_end(
    kind: str, old: Any, new: Any, operation: str, more: dict[str, Any]
) -> None:
    store = Recording(MemoryStore())
    cache = Cache(store, load_settings({"precise_index_eviction": True}, {}, ""))
    ask(cache, "DeleteItem", {"TableName": "t", "Key": KEY}, {})  # it learns the key
    answer = {} if old is None else {"Attributes": old}
    ask(cache, operation, {"TableName": "t", **more}, answer)
    cache.close()
    left = {*store.last.tags} - {*store.last.restore}
    change = change_of(record(KEY, kind=kind, old=old, new=new), "t")
    assert {*tags_of(change, precise=True)} == left
    assert {*store.last.restore} == {WRITES}


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("MODIFY", None, None),  # KEYS_ONLY
        ("MODIFY", None, NEW),  # NEW_IMAGE
        ("MODIFY", OLD, None),  # OLD_IMAGE
        ("INSERT", None, None),
        ("REMOVE", None, None),
        ("INSERT", {"age": {"N": "1"}}, NEW),  # no item, for it lacks the key
        ("MODIFY", {}, NEW),  # an item has its key at least
        ("", None, NEW),
        ("SOMETHING NEW", None, NEW),
    ],
)
def test_an_image_that_is_not_known_lets_a_record_evict_all_index_queries(
    kind: str, old: Any, new: Any
) -> None:
    change = change_of(record(KEY, kind=kind, old=old, new=new), "t")
    assert {*tags_of(change, precise=True)} == OF_ITEM | {WRITES}


def test_many_attributes_let_a_record_evict_all_index_queries() -> None:
    image = {**KEY, **{f"a{n}": {"N": "1"} for n in range(MOST_ATTRIBUTES)}}
    change = change_of(record(KEY, kind="INSERT", new=image), "t")
    assert WRITES in tags_of(change, precise=True)


@pytest.mark.parametrize("value", ["text", {}, {"S": "a", "N": "1"}, {"S": 1}, None])
def test_a_damaged_image_lets_a_record_evict_all_index_queries(value: Any) -> None:
    change = change_of(record(KEY, kind="INSERT", new={**KEY, "age": value}), "t")
    assert {*tags_of(change, precise=True)} == OF_ITEM | {WRITES}


# --- records of a server -----------------------------------------------------------


def test_the_records_of_a_server_tell_the_changes_that_were_made(
    dynamodb: DynamoDB,
) -> None:
    table = create_streamed(dynamodb, "id:S", "at:N")
    key = {"id": {"S": "7"}, "at": {"N": "10"}}
    old, new = {**key, "n": {"N": "1"}}, {**key, "n": {"N": "2"}}
    client = dynamodb.client()
    client.put_item(TableName=table, Item=old)
    client.put_item(TableName=table, Item=new)
    client.delete_item(TableName=table, Key=key)
    records = records_of(dynamodb, table)
    events = [*lambda_event(records, table)["Records"]]
    by_kinesis = [
        change_in_kinesis(each["kinesis"]["data"])
        for each in kinesis_event(records, table)["Records"]
    ]
    changes = [change_of(each, table) for each in records]
    assert [(c.old, c.new) for c in changes] == [({}, old), (old, new), (new, {})]
    assert {c.table for c in changes} == {table}
    assert [c.keys for c in changes] == [key] * 3
    assert len({c.sequence_number for c in changes}) == 3
    assert [change_of(each, table) for each in events] == changes
    assert [c._replace(sequence_number="") for c in changes] == by_kinesis


@pytest.mark.parametrize(
    ("view", "known"),
    [
        ("KEYS_ONLY", [(True, False), (False, False), (False, True)]),
        ("NEW_IMAGE", [(True, True), (False, True), (False, True)]),
        ("OLD_IMAGE", [(True, False), (True, False), (True, True)]),
        ("NEW_AND_OLD_IMAGES", [(True, True), (True, True), (True, True)]),
    ],
)
def test_a_view_shows_some_images_and_that_there_was_no_item_shows_in_each(
    dynamodb: DynamoDB, view: str, known: list[tuple[bool, bool]]
) -> None:
    table = create_streamed(dynamodb, "id:S", view=view)
    client = dynamodb.client()
    for number in "12":
        client.put_item(TableName=table, Item={**KEY, "n": {"N": number}})
    client.delete_item(TableName=table, Key=KEY)
    changes = [change_of(each, table) for each in records_of(dynamodb, table)]
    assert [(c.old is not None, c.new is not None) for c in changes] == known


# --- the rest of a record ----------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "moment"),
    [
        ({"ApproximateCreationDateTime": 1796000000}, 1796000000.0),
        (
            {
                "ApproximateCreationDateTime": datetime.fromtimestamp(
                    1796000000, timezone.utc
                )
            },
            1796000000.0,
        ),
        (
            {
                "ApproximateCreationDateTime": 1796000000250,
                "ApproximateCreationDateTimePrecision": "MILLISECOND",
            },
            1796000000.25,
        ),
        (
            {
                "ApproximateCreationDateTime": 1796000000250000,
                "ApproximateCreationDateTimePrecision": "MICROSECOND",
            },
            1796000000.25,
        ),
        ({"ApproximateCreationDateTime": "today"}, None),
        ({"ApproximateCreationDateTime": True}, None),
        ({}, None),
    ],
)
def test_a_change_has_the_moment_of_its_record_in_seconds(
    members: dict[str, Any], moment: float | None
) -> None:
    found = record(KEY)
    found["dynamodb"].update(members)
    assert change_of(found, "t").created_at == moment


def test_a_change_shows_nothing_of_its_item() -> None:
    shown = repr(change_of(record(KEY, old=OLD, new=NEW), "t"))
    assert "Bern" not in shown
    assert "'7'" not in shown


@pytest.mark.parametrize(
    "keys",
    [
        None,
        "text",
        {},
        {"id": None},
        {"id": "7"},
        {"id": {}},
        {"id": {"S": "7", "N": "7"}},
        {"id": {"S": 7}},
        {"id": {"S": ""}},
        {"id": {"S": b"7"}},
        {"id": {"N": "seven"}},
        {"id": {"N": "NaN"}},
        {"id": {"B": "no base64"}},
        {"id": {"BOOL": True}},
        {"id": {"M": {}}},
        {"id": {"S": "\ud800"}},
        {"\ud800": {"S": "7"}},
        {"": {"S": "7"}},
        {7: {"S": "7"}},
        {"a": {"S": "7"}, "b": {"S": "7"}, "c": {"S": "7"}},
    ],
)
def test_a_key_that_no_item_can_have_is_damage(keys: Any) -> None:
    damaged = record({})
    damaged["dynamodb"]["Keys"] = keys
    with pytest.raises(ValueError):  # noqa: PT011 - any; the caller evicts the table
        tags_of(change_of(damaged, "t"), precise=True)


@pytest.mark.parametrize("damaged", [{}, {"dynamodb": None}, {"dynamodb": {}}])
def test_a_record_without_a_key_is_damage(damaged: Any) -> None:
    with pytest.raises(ValueError, match="a part of a record is missing"):
        change_of(damaged, "t")


def encoded(value: object) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    "data",
    [
        None,
        "",
        "no base64",
        base64.b64encode(b"no JSON").decode(),
        base64.b64encode(b"\xff").decode(),
        base64.b64encode(b"[" * 100_000).decode(),
        encoded([]),
        encoded({"dynamodb": {"Keys": KEY}}),
        encoded({"tableName": "t"}),
    ],
)
def test_data_of_kinesis_that_is_no_record_is_damage(data: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any; the caller evicts everything
        change_in_kinesis(data)


def test_a_table_is_evicted_by_its_name_or_by_the_arn_of_its_stream() -> None:
    whole = (tag_digest(table_tag("t")),)
    assert tags_of_table("t") == tags_of_table(STREAM.format("t")) == whole


def test_a_change_of_an_unknown_sequence_has_an_empty_number() -> None:
    found = record(KEY)
    del found["dynamodb"]["SequenceNumber"]
    assert change_of(found, "t") == Change("t", KEY, None, None, "", None)
