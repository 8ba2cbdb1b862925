"""The handler of a Lambda function: what it evicts, and what it answers."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from botocache import Cache, ConfigError, streams
from botocache._cache.pending_evictions import TAGS_PER_EVICTION
from botocache._cache.tickets import Hit
from botocache._coherence import Eviction, EvictionRequest, Held
from botocache._digests import EVERYTHING_DIGEST
from botocache._settings.load import load_settings
from botocache._streams.changes import change_of, tags_of, tags_of_table
from botocache._streams.events import EventEvictor
from botocache.stores.memory import MemoryStore
from botocache.stores.opening import open_store
from tests.support.calls import ask
from tests.support.clock import FakeClock
from tests.support.dynamodb import DynamoDB
from tests.support.failing_store import FailingStore
from tests.support.keys import key_text
from tests.support.stream_events import (
    create_streamed,
    kinesis_event,
    lambda_event,
    record,
    records_of,
)
from tests.support.valkey_server import ValkeyServer

DONE: dict[str, Any] = {"batchItemFailures": []}


class Recording(FailingStore):
    """Remembers what it was asked to evict. Fails from one request on.

    fails_at: how many evictions succeed.
    """

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(MemoryStore(clock=clock))
        self.requests: list[EvictionRequest] = []
        self.fails_at = 1_000_000

    def evict(self, request: EvictionRequest) -> Eviction:
        if len(self.requests) >= self.fails_at:
            self.failing.add("evict")
        done = super().evict(request)
        self.requests.append(request)
        return done

    @property
    def evicted(self) -> set[bytes]:
        return {tag for request in self.requests for tag in request.tags}


@pytest.fixture
def recording(clock: FakeClock) -> Recording:
    return Recording(clock)


def evictor(store: Recording, **settings: object) -> EventEvictor:
    return EventEvictor(store, load_settings(settings, {}, "memory:"))


def numbered(count: int) -> list[dict[str, Any]]:
    """Return records of that many items, whose sequence numbers are 1, 2, ..."""
    return [record({"id": {"S": str(n)}}, number=str(n)) for n in range(1, count + 1)]


def tags(records: Sequence[Mapping[str, Any]], *, precise: bool = False) -> set[bytes]:
    return {
        tag
        for each in records
        for tag in tags_of(change_of(each, "t"), precise=precise)
    }


def failed(number: str) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": number}]}


# --- what it evicts ----------------------------------------------------------------


@pytest.mark.parametrize("make_event", [lambda_event, kinesis_event])
def test_an_event_evicts_the_items_of_its_records(
    recording: Recording, make_event: Any
) -> None:
    records = numbered(3)
    assert evictor(recording).evict(make_event(records, "t")) == DONE
    assert recording.evicted == tags(records)
    assert len(recording.requests) == 1


@pytest.mark.parametrize("make_event", [lambda_event, kinesis_event])
def test_an_event_of_a_real_stream_evicts_its_items(
    recording: Recording, make_event: Any, dynamodb: DynamoDB
) -> None:
    table = create_streamed(dynamodb, "id:S", "at:N")
    key = {"id": {"S": "7"}, "at": {"N": "10"}}
    client = dynamodb.client()
    client.put_item(TableName=table, Item={**key, "photo": {"B": b"\xff"}})
    client.delete_item(TableName=table, Key=key)
    records = records_of(dynamodb, table)
    of_index = evictor(recording, precise_index_eviction=True)
    assert of_index.evict(make_event(records, table)) == DONE
    assert recording.evicted == {
        tag for each in records for tag in tags_of(change_of(each, table), precise=True)
    }


def test_an_eviction_settles_for_as_long_as_the_setting_says(
    recording: Recording, clock: FakeClock
) -> None:
    records = numbered(1)
    evictor(recording, settle=2.0).evict(lambda_event(records, "t"))
    asked = [*tags(records)]
    assert recording.load(bytes(16), asked).held is Held.SETTLING
    clock.advance(2.0)
    assert recording.load(bytes(16), asked).held is Held.FREE


def test_index_queries_are_evicted_precisely_if_the_setting_says_so(
    recording: Recording,
) -> None:
    key = {"id": {"S": "7"}}
    records = [record(key, kind="INSERT", new={**key, "age": {"N": "42"}})]
    evictor(recording, precise_index_eviction=True).evict(lambda_event(records, "t"))
    assert recording.evicted == tags(records, precise=True) != tags(records)


def test_a_record_that_comes_again_is_evicted_again(recording: Recording) -> None:
    event = lambda_event(numbered(1), "t")
    each = evictor(recording)
    assert [each.evict(event), each.evict(event)] == [DONE, DONE]
    assert len(recording.requests) == 2


def test_an_event_without_records_evicts_nothing(recording: Recording) -> None:
    assert evictor(recording).evict({"Records": []}) == DONE
    assert not recording.requests


@pytest.mark.parametrize("event", [{}, None, [], {"Records": None}, {"key1": "value1"}])
def test_what_is_no_event_of_a_stream_is_an_error(
    recording: Recording, event: Any
) -> None:
    with pytest.raises(ValueError, match="expected an event of DynamoDB Streams"):
        evictor(recording).evict(event)


# --- damaged records ---------------------------------------------------------------


def damaged(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event whose second record of three names no item."""
    if "kinesis" in event["Records"][1]:
        event["Records"][1]["kinesis"]["data"] = "damaged"
    else:
        event["Records"][1]["dynamodb"]["Keys"] = {"id": {"BOOL": True}}
    return event


@pytest.mark.parametrize(
    ("make_event", "whole"),
    [
        (lambda_event, {*tags_of_table("t")}),
        (kinesis_event, {EVERYTHING_DIGEST}),  # it does not name the table
    ],
)
def test_a_damaged_record_evicts_all_that_it_can_stand_for_and_is_done(
    recording: Recording,
    caplog: pytest.LogCaptureFixture,
    make_event: Any,
    whole: set[bytes],
) -> None:
    records = numbered(3)
    assert evictor(recording).evict(damaged(make_event(records, "t"))) == DONE
    assert recording.evicted == tags([records[0], records[2]]) | whole
    (line,) = caplog.messages
    assert line.startswith("botocache: record_damaged: ")


@pytest.mark.parametrize(
    "lacking",
    [
        *(None, 7, "text", [], {}),
        {"kinesis": None},
        {"kinesis": {"sequenceNumber": 7, "data": 7}},
        {"dynamodb": {"Keys": {"id": {"S": "7"}}}},
        {"dynamodb": {"Keys": {"id": {"S": "7"}}}, "eventSourceARN": None},
        {"dynamodb": {"Keys": {"id": {"S": "7"}}}, "eventSourceARN": "arn:aws:sqs:::q"},
    ],
)
def test_a_record_that_names_no_table_evicts_everything(
    recording: Recording, lacking: Any
) -> None:
    assert evictor(recording).evict({"Records": [lacking]}) == DONE
    assert recording.evicted == {EVERYTHING_DIGEST}


# --- a store that fails ------------------------------------------------------------


def test_a_failure_is_answered_by_the_first_record_that_is_not_evicted(
    recording: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    records = numbered(1000)
    each = evictor(recording)
    for done in range(3):  # requests that succeed; there are some of 500 tags at most
        recording.requests.clear()
        recording.failing.clear()
        recording.fails_at = done
        answer = each.evict(lambda_event(records, "t"))
        (failure,) = answer["batchItemFailures"]
        first = int(failure["itemIdentifier"])
        assert recording.evicted == tags(records[: first - 1])
        assert (first == 1) == (done == 0)
    assert [line.partition(": ")[2][:12] for line in caplog.messages] == [
        "evict_failed"
    ]


def test_what_lambda_delivers_again_is_evicted_in_the_end(recording: Recording) -> None:
    records = numbered(1000)
    each = evictor(recording)
    recording.fails_at = 2
    (failure,) = each.evict(lambda_event(records, "t"))["batchItemFailures"]
    again = [
        r
        for r in records
        if int(r["dynamodb"]["SequenceNumber"]) >= int(failure["itemIdentifier"])
    ]
    recording.fails_at, recording.failing = 1_000_000, set()
    assert each.evict(lambda_event(again, "t")) == DONE
    assert recording.evicted == tags(records)
    assert max(len(request.tags) for request in recording.requests) <= TAGS_PER_EVICTION


@pytest.mark.parametrize("make_event", [lambda_event, kinesis_event])
def test_a_failure_names_the_record_as_its_kind_of_stream_does(
    recording: Recording, make_event: Any
) -> None:
    recording.fails_at = 0
    assert evictor(recording).evict(make_event(numbered(3), "t")) == failed("1")


def test_a_failure_at_a_record_without_a_number_lets_all_be_delivered_again(
    recording: Recording,
) -> None:
    recording.fails_at = 0
    assert evictor(recording).evict({"Records": [{}]}) == failed("")


def test_a_failure_shows_nothing_of_an_item(
    recording: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    recording.fails_at = 0
    secret = [record({"secret-name": {"S": "secret-value"}}), record({"x": {"S": 7}})]
    evictor(recording).evict(lambda_event(secret, "t"))
    assert len(caplog.messages) == 2
    assert "secret" not in caplog.text


# --- the door ----------------------------------------------------------------------


@pytest.fixture
def variables(
    valkey: ValkeyServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """The environment of a function, which its readers have, too."""
    made = {
        "BOTOCACHE_URL": valkey.url,
        "BOTOCACHE_NAMESPACE": namespace,
        "BOTOCACHE_TIMEOUT": "10",
        "BOTOCACHE_TTL": "3600",
    }
    for name, value in made.items():
        monkeypatch.setenv(name, value)
    streams._evictor.cache_clear()
    yield made
    if streams._evictor.cache_info().currsize:
        streams._evictor()._store.close()
    streams._evictor.cache_clear()


READ = {"TableName": "t", "Key": {"id": {"S": "1"}}}
STALE, FRESH = ({"Item": {"id": {"S": "1"}, "v": {"S": v}}} for v in ("old", "new"))


@pytest.mark.parametrize("keys", ["", f"{key_text(1)},{key_text(2)}"])
def test_a_reader_of_the_same_server_no_longer_has_what_a_record_has_changed(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, keys: str
) -> None:
    if keys:
        monkeypatch.setenv("BOTOCACHE_ENCRYPTION_KEYS", keys)
        variables["BOTOCACHE_ENCRYPTION_KEYS"] = keys
    settings = load_settings({}, variables, "")
    reader = Cache(open_store(settings.store_options(variables)), settings)
    try:
        ask(reader, "GetItem", READ, STALE)
        assert isinstance(ask(reader, "GetItem", READ, FRESH), Hit)
        event = lambda_event(numbered(1), "t")
        assert streams.handler(event, object()) == DONE
        # The hold-off settles: a consistent read is filled during it.
        consistent = {**READ, "ConsistentRead": True}
        assert not isinstance(ask(reader, "GetItem", READ, FRESH), Hit)
        ask(reader, "GetItem", consistent, FRESH)
        assert isinstance(ask(reader, "GetItem", READ, FRESH), Hit)
        assert streams.handler(event, None) == DONE
        assert streams._evictor.cache_info().misses == 1  # opened once
    finally:
        reader.close()


def test_a_server_that_is_down_is_an_answer_and_one_line(
    variables: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("BOTOCACHE_URL", "redis://127.0.0.1:1/0")
    for _ in range(2):
        assert streams.handler(lambda_event(numbered(3), "t"), None) == failed("1")
    (line,) = caplog.messages
    assert "evict_failed" in line


@pytest.mark.parametrize("url", ["", "memory:", "disk:", "disk:///tmp/botocache"])
def test_a_store_of_one_machine_is_a_config_error(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("BOTOCACHE_URL", url)
    for _ in range(2):  # it is not remembered
        with pytest.raises(ConfigError, match="set BOTOCACHE_URL to the server"):
            streams.handler({"Records": []}, None)


def test_a_wrong_setting_is_a_config_error(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTOCACHE_SETTLE", "soon")
    with pytest.raises(ConfigError, match="BOTOCACHE_SETTLE"):
        streams.handler({"Records": []}, None)


PROGRAM = """
import json, sys
from botocache.streams import handler
at_import = {name.partition(".")[0] for name in sys.modules}
answer = handler(json.loads(sys.argv[1]), None)
after = {name.partition(".")[0] for name in sys.modules}
print(json.dumps([answer, sorted(at_import), sorted(after)]))
"""


def test_neither_the_door_nor_an_event_imports_botocore(
    variables: dict[str, str],
) -> None:
    event = json.dumps(lambda_event(numbered(1), "t"))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, event],
        env={**variables, "PYTHONPATH": ":".join(sys.path)},
        check=True,
        capture_output=True,
        text=True,
    )
    answer, at_import, after = json.loads(done.stdout)
    assert answer == DONE
    assert {"botocore", "boto3", "diskcache", "sqlite3"}.isdisjoint(after)
    assert {"redis", "cryptography"}.isdisjoint(at_import)
