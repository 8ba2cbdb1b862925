"""The source that reads streams by botocore: moto's, the stand-in's, broken ones."""

import json
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import datetime
from typing import Any

import pytest
from botocore.parsers import JSONParser
from botocore.stub import Stubber

import botocache
from botocache._botocore import streams
from botocache._botocore.stream_records import decode_page
from botocache._botocore.streams import BotocoreSource, new_streams_client, region_of
from botocache._errors import ConfigError
from botocache._streams.source import (
    IteratorExpiredError,
    RecordsTrimmedError,
    Shard,
    StreamError,
    StreamForbiddenError,
    StreamGoneError,
    StreamThrottledError,
)
from tests.differential.runs import running
from tests.support.clock import FakeClock
from tests.support.dynamodb import DynamoDB, new_botocore_session
from tests.support.dynamodb_streams import StreamsServer, serving
from tests.support.stand_in_streams import StandInStream
from tests.support.streamed_table import StreamedTable

SourceAt = Callable[[str], BotocoreSource]


@pytest.fixture
def stream(clock: FakeClock) -> StandInStream:
    """A stream of the table `users`."""
    return StandInStream(clock=clock)


@pytest.fixture
def server(stream: StandInStream) -> Iterator[StreamsServer]:
    """A server of that stream."""
    with serving(stream) as server:
        yield server


@pytest.fixture
def source(server: StreamsServer, source_at: SourceAt) -> BotocoreSource:
    """A source that reads it."""
    return source_at(server.url)


ITEM = {"id": {"S": "a"}}

# --- streams of servers that others wrote ------------------------------------------


@pytest.fixture(scope="module")
def ministack() -> Iterator[DynamoDB]:
    with running("ministack") as server:
        yield server


@pytest.fixture(params=["moto", "ministack"])
def emulator(request: pytest.FixtureRequest) -> DynamoDB:
    """Each server that others wrote. Its streams have one shard that never splits."""
    name = "dynamodb" if request.param == "moto" else request.param
    found: DynamoDB = request.getfixturevalue(name)
    return found


@pytest.fixture
def theirs(emulator: DynamoDB, source_at: SourceAt) -> BotocoreSource:
    """A source that reads its streams."""
    return source_at(emulator.url)


def streamed_table(server: DynamoDB, view: str = "NEW_AND_OLD_IMAGES") -> str:
    specification = {"StreamEnabled": True, "StreamViewType": view}
    return server.create_table("id:S", StreamSpecification=specification)


def test_a_stream_is_found_by_the_name_and_the_arn_of_its_table(
    emulator: DynamoDB, theirs: BotocoreSource
) -> None:
    table = streamed_table(emulator, "KEYS_ONLY")
    client = emulator.client()
    description = client.describe_table(TableName=table)["Table"]
    found = theirs.find(table)
    assert found is not None
    assert tuple(found) == (description["LatestStreamArn"], "KEYS_ONLY", True)
    assert theirs.find(description["TableArn"]) == found
    assert theirs.is_enabled(found.arn)


def test_a_table_without_a_stream_and_no_table_have_none(
    emulator: DynamoDB, theirs: BotocoreSource
) -> None:
    assert theirs.find(emulator.create_table()) is None
    assert theirs.find("no-such-table") is None


def test_their_one_shard_is_open_and_has_no_children(
    emulator: DynamoDB, theirs: BotocoreSource
) -> None:
    found = theirs.find(streamed_table(emulator))
    assert found is not None
    (shard,) = theirs.shards(found.arn)
    assert (shard.parent, shard.is_closed) == ("", False)
    assert theirs.children(found.arn, shard.id) == []


def test_records_are_read_from_each_place(
    emulator: DynamoDB, theirs: BotocoreSource
) -> None:
    table = streamed_table(emulator)
    found = theirs.find(table)
    assert found is not None
    (shard,) = theirs.shards(found.arn)
    client = emulator.client()
    put = {"TableName": table, "Item": {**ITEM, "b": {"B": b"\xff"}}}
    client.put_item(**put)
    latest = theirs.open_latest(found.arn, shard.id)
    client.delete_item(TableName=table, Key=ITEM)
    everything = theirs.read(theirs.open_oldest(found.arn, shard.id))
    assert [each["eventName"] for each in everything.records] == ["INSERT", "REMOVE"]
    assert everything.records[0]["dynamodb"]["NewImage"] == put["Item"]
    number = everything.records[0]["dynamodb"]["SequenceNumber"]
    for iterator in (latest, theirs.open_after(found.arn, shard.id, number)):
        page = theirs.read(iterator)
        assert [each["dynamodb"]["Keys"] for each in page.records] == [ITEM]
        assert [each["eventName"] for each in page.records] == ["REMOVE"]
        assert page.next_iterator
        assert theirs.read(page.next_iterator).records == []
    assert everything.created_at is not None
    assert -1 <= time.time() - everything.created_at < 60
    # The tests' own server of moto sends no `Date`.
    if everything.answered_at is not None:
        assert -1 <= everything.answered_at - everything.created_at < 60


def test_an_iterator_that_ministack_did_not_make_counts_as_expired(
    ministack: DynamoDB, source_at: SourceAt
) -> None:
    with pytest.raises(IteratorExpiredError):
        source_at(ministack.url).read("strange")


def test_a_stream_that_is_switched_off_at_ministack_ends(
    ministack: DynamoDB, source_at: SourceAt
) -> None:
    table = streamed_table(ministack)
    source, client = source_at(ministack.url), ministack.client()
    found = source.find(table)
    assert found is not None
    client.put_item(TableName=table, Item=ITEM)
    (shard,) = source.shards(found.arn)
    iterator = source.open_oldest(found.arn, shard.id)
    off = {"StreamEnabled": False}
    client.update_table(TableName=table, StreamSpecification=off)
    assert not source.is_enabled(found.arn)
    page = source.read(iterator)
    assert (len(page.records), page.next_iterator) == (1, None)
    on = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    client.update_table(TableName=table, StreamSpecification=on)
    again = source.find(table)
    assert again is not None
    assert again.arn != found.arn


def test_writes_at_moto_come_into_a_stand_in(
    dynamodb: DynamoDB, clock: FakeClock, source_at: SourceAt
) -> None:
    stream = StandInStream(dynamodb.create_table("id:S"), clock=clock)
    table = StreamedTable(dynamodb.client(), stream)
    table.put(ITEM)
    table.update(
        ITEM,
        UpdateExpression="SET n = :n",
        ExpressionAttributeValues={":n": {"N": "1"}},
    )
    with serving(stream) as server:
        source = source_at(server.url)
        (shard,) = source.shards(stream.arn)
        page = source.read(source.open_oldest(stream.arn, shard.id))
    assert [each["dynamodb"]["NewImage"] for each in page.records] == [
        ITEM,
        {**ITEM, "n": {"N": "1"}},
    ]


# --- pages -------------------------------------------------------------------------


def test_all_pages_of_shards_are_read(
    stream: StandInStream, source: BotocoreSource
) -> None:
    for _ in range(5):
        stream.roll_over()
    stream.shards_on_page = 2
    found = source.shards(stream.arn)
    assert [each.id for each in found] == [each.id for each in stream.newest.shards]
    assert stream.requests("DescribeStream") == 3


def test_the_newest_stream_of_all_pages_is_found(
    stream: StandInStream, source: BotocoreSource, clock: FakeClock
) -> None:
    for _ in range(2):
        stream.disable()
        clock.advance(1)
        stream.enable()
    stream.streams.reverse()
    stream.streams_on_page = 1
    newest = stream.streams[0]
    assert source.find("users") == (newest.arn, newest.view, True)
    assert stream.counts == {("ListStreams", ""): 3, ("DescribeStream", ""): 1}


def test_a_stream_that_goes_while_it_is_looked_for_is_none(
    stream: StandInStream, source: BotocoreSource
) -> None:
    def forget(action: str, _shard: str) -> None:
        if action == "DescribeStream":
            stream.streams.clear()

    stream.before = forget
    assert source.find("users") is None


# --- children ----------------------------------------------------------------------


_SHAPE: Any = (
    new_botocore_session()
    .get_service_model("dynamodbstreams")
    .operation_model("DescribeStream")
    .input_shape
)

needs_filter = pytest.mark.skipif(  # the oldest botocore that is supported lacks it
    "ShardFilter" not in _SHAPE.members,
    reason="this botocore knows no filter of shards",
)


def _split_often(stream: StandInStream) -> tuple[str, list[str]]:
    for _ in range(4):
        stream.roll_over()
    parent = stream.open_shards[0].id
    return parent, stream.split(parent)


@needs_filter
def test_children_are_asked_for_by_a_filter(
    stream: StandInStream, source: BotocoreSource
) -> None:
    parent, children = _split_often(stream)
    stream.shards_on_page = 2
    found = source.children(stream.arn, parent)
    assert found == [Shard(each, parent, is_closed=False) for each in children]
    assert stream.requests("DescribeStream") == 1


@needs_filter
def test_a_server_that_refuses_the_filter_is_asked_once(
    stream: StandInStream, source: BotocoreSource
) -> None:
    parent, children = _split_often(stream)
    stream.knows_filter = False
    for asked in (2, 3):
        found = source.children(stream.arn, parent)
        assert [each.id for each in found] == children
        assert stream.requests("DescribeStream") == asked


def test_a_server_that_ignores_the_filter_makes_no_difference(
    stream: StandInStream, source: BotocoreSource
) -> None:
    parent, children = _split_often(stream)
    stream.ignores_filter = True
    found = source.children(stream.arn, parent)
    assert [each.id for each in found] == children


def test_a_botocore_without_the_filter_reads_all_shards(
    stream: StandInStream,
    server: StreamsServer,
    source_at: SourceAt,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = source_at(server.url)._client
    shapes = client.meta.service_model._shape_resolver._shape_map
    older = deepcopy(shapes["DescribeStreamInput"])
    older["members"].pop("ShardFilter", None)
    monkeypatch.setitem(shapes, "DescribeStreamInput", older)
    parent, children = _split_often(stream)
    found = BotocoreSource(client).children(stream.arn, parent)
    assert [each.id for each in found] == children
    assert stream.requests("DescribeStream") == 1


# --- records -----------------------------------------------------------------------

_VALUES: dict[str, Any] = {
    "s": {"S": "\u00e9\n"},
    "n": {"N": "-1.50"},
    "b": {"B": b"\x00\xff"},
    "t": {"BOOL": False},
    "z": {"NULL": True},
    "ss": {"SS": ["b", "a"]},
    "ns": {"NS": ["2", "1"]},
    "bs": {"BS": [b"", b"A"]},
    "m": {"M": {"l": {"L": [{"M": {}}, {"L": []}, {"B": b"\xfe"}]}}},
}


def _page(stream: StandInStream, *records: dict[str, Any]) -> bytes:
    written = [each.json() for each in stream.newest.shards[0].records]
    written += [json.dumps(each).encode() for each in records]
    return b'{"Records":[%b],"NextShardIterator":"next"}' % b",".join(written)


def _by_botocore(body: bytes) -> Any:
    session = new_botocore_session()
    model = session.get_service_model("dynamodbstreams")
    shape: Any = model.operation_model("GetRecords").output_shape
    answer = {"status_code": 200, "headers": {}, "body": body, "context": {}}
    made = JSONParser().parse(answer, shape)
    for each in made["Records"]:
        created: datetime = each["dynamodb"]["ApproximateCreationDateTime"]
        each["dynamodb"]["ApproximateCreationDateTime"] = created.timestamp()
    del made["ResponseMetadata"]
    return made


def test_records_are_those_that_botocore_parses_but_for_the_type_of_times(
    stream: StandInStream,
) -> None:
    stream.put({**ITEM, **_VALUES}, old={**ITEM, **_VALUES})
    stream.delete({"id": {"B": b"\xff"}})
    by_ttl = {
        "eventName": "REMOVE",
        "userIdentity": {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"},
        "dynamodb": {"ApproximateCreationDateTime": 17.0, "Keys": ITEM},
    }
    body = _page(stream, by_ttl)
    made = decode_page(200, body)
    assert made is not None
    assert made == _by_botocore(body)
    assert made["Records"][0]["dynamodb"]["NewImage"]["b"] == {"B": b"\x00\xff"}


def test_a_member_that_dynamodb_will_add_does_not_harm(stream: StandInStream) -> None:
    stream.put(ITEM)
    body = _page(stream).replace(b'"eventName"', b'"new":{"a":[1]},"eventName"')
    assert decode_page(200, body) == _by_botocore(body)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"Records":{}}', b'{"Records":[{"dynamodb":{"Keys":{"a":1}}}]}'],
)
def test_what_is_not_a_page_is_left_to_botocore(body: bytes) -> None:
    assert decode_page(200, body) is None


def test_an_error_is_left_to_botocore() -> None:
    assert decode_page(400, b'{"Records":[]}') is None
    assert decode_page(200, None) is None


def test_a_page_that_botocore_parses_tells_the_same(
    stream: StandInStream, source: BotocoreSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream.put({**ITEM, **_VALUES})
    (shard,) = source.shards(stream.arn)
    ours = source.read(source.open_oldest(stream.arn, shard.id))
    monkeypatch.setattr(streams, "decode_page", lambda _status, _body: None)
    theirs = source.read(source.open_oldest(stream.arn, shard.id))
    assert (theirs.created_at, theirs.answered_at) == (
        ours.created_at,
        ours.answered_at,
    )
    assert [each["dynamodb"]["NewImage"] for each in theirs.records] == [
        each["dynamodb"]["NewImage"] for each in ours.records
    ]


@pytest.mark.parametrize("date", ["yesterday", "Mon, 99 Xyz 2026", "\u00e9"])
def test_a_date_that_cannot_be_read_is_none(
    stream: StandInStream, server: StreamsServer, source: BotocoreSource, date: str
) -> None:
    server.date = date
    (shard,) = source.shards(stream.arn)
    assert source.read(source.open_latest(stream.arn, shard.id)).answered_at is None


# --- errors ------------------------------------------------------------------------

_KINDS = [
    ("ExpiredIteratorException", IteratorExpiredError),
    ("TrimmedDataAccessException", RecordsTrimmedError),
    ("ResourceNotFoundException", StreamGoneError),
    ("LimitExceededException", StreamThrottledError),
    ("ProvisionedThroughputExceededException", StreamThrottledError),
    ("ThrottlingException", StreamThrottledError),
    ("Throttling", StreamThrottledError),
    ("RequestLimitExceeded", StreamThrottledError),
    ("AccessDeniedException", StreamForbiddenError),
    ("AccessDenied", StreamForbiddenError),
    ("UnrecognizedClientException", StreamForbiddenError),
    ("ExpiredTokenException", StreamForbiddenError),
    ("InvalidSignatureException", StreamForbiddenError),
    ("MissingAuthenticationTokenException", StreamForbiddenError),
    ("InternalServerError", StreamError),
    ("SerializationException", StreamError),
]


@pytest.mark.parametrize(("code", "kind"), _KINDS)
def test_each_error_of_dynamodb_becomes_one_of_the_source(
    stream: StandInStream, source: BotocoreSource, code: str, kind: type[StreamError]
) -> None:
    requests: dict[str, Callable[[], object]] = {
        "DescribeStream": lambda: source.shards(stream.arn),
        "GetShardIterator": lambda: source.open_latest(stream.arn, "shard"),
        "GetRecords": lambda: source.read(f"{stream.arn}|1|a"),
    }
    for action, request in requests.items():
        stream.refuse(action, code, message="the item secret-key")
        with pytest.raises(StreamError) as caught:
            request()
        assert type(caught.value) is kind
        assert action in str(caught.value)
        assert code in str(caught.value)
        assert "secret-key" not in str(caught.value)
        # botocore would have sent it again.
        assert stream.requests(action) == 1


@needs_filter
def test_a_filter_is_not_given_up_for_another_failure(
    stream: StandInStream, source: BotocoreSource
) -> None:
    parent, _ = _split_often(stream)
    stream.throttle(1, "DescribeStream")
    with pytest.raises(StreamThrottledError):
        source.children(stream.arn, parent)
    stream.shards_on_page = 2
    source.children(stream.arn, parent)
    assert stream.requests("DescribeStream") == 2


def test_a_server_that_hangs_is_an_error_after_seconds(
    server: StreamsServer, source_at: SourceAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_READ_TIMEOUT", 0.05)
    source = source_at(server.url)
    server.hang()
    with pytest.raises(StreamError, match=r"ListStreams at .+: ReadTimeoutError"):
        source.find("users")


def test_a_server_that_is_slow_is_waited_for(
    stream: StandInStream, server: StreamsServer, source: BotocoreSource
) -> None:
    server.latency = 0.05
    assert source.is_enabled(stream.arn)


def test_a_server_that_is_down_is_an_error(
    server: StreamsServer, source: BotocoreSource
) -> None:
    assert source.find("users")
    server.close()
    with pytest.raises(StreamError, match=f"127.0.0.1:{server.port}: "):
        source.find("users")


def test_credentials_that_are_missing_are_an_error(
    source: BotocoreSource, server: StreamsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    source = BotocoreSource(new_streams_client(new_botocore_session()))
    with pytest.raises(StreamError, match="NoCredentialsError"):
        source.find("users")


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("list_streams", {"Streams": [{"TableName": "users"}]}),
        ("describe_stream", {}),
        ("describe_stream", {"StreamDescription": {"Shards": [{}]}}),
        ("get_shard_iterator", {}),
    ],
)
def test_an_answer_that_is_not_dynamodbs_is_an_error_of_the_stream(
    stream: StandInStream, source: BotocoreSource, method: str, answer: dict[str, Any]
) -> None:
    requests: dict[str, Callable[[], object]] = {
        "list_streams": lambda: source.find("users"),
        "describe_stream": lambda: source.shards(stream.arn),
        "get_shard_iterator": lambda: source.open_latest(stream.arn, "shard"),
    }
    with Stubber(source._client) as stubber:
        stubber.add_response(method, answer)
        with pytest.raises(StreamError, match="an answer without"):
            requests[method]()


# --- regions and accounts ----------------------------------------------------------


def test_a_table_of_another_region_is_an_error_without_a_request(
    stream: StandInStream, source: BotocoreSource
) -> None:
    arn = stream.table_arn.replace("us-east-1", "eu-west-1")
    with pytest.raises(StreamError, match="eu-west-1"):
        source.find(arn)
    assert not stream.counts


def test_a_table_of_another_account_is_an_error_that_says_why(
    stream: StandInStream, source: BotocoreSource
) -> None:
    arn = stream.table_arn.replace("123456789012", "999999999999")
    with pytest.raises(StreamError, match="another account"):
        source.find(arn)
    assert source.find(stream.table_arn) is not None


def test_the_region_of_a_table_is_that_of_its_arn(stream: StandInStream) -> None:
    assert region_of(stream.table_arn) == "us-east-1"
    assert region_of("users") == ""


# --- clients -----------------------------------------------------------------------


def test_a_client_waits_for_seconds_and_sends_once() -> None:
    client = new_streams_client(
        new_botocore_session(), region="eu-west-1", connections=3
    )
    config = client.meta.config
    assert (config.connect_timeout, config.read_timeout) == (2, 5)
    assert config.retries["total_max_attempts"] == 1
    assert config.max_pool_connections == 3
    assert client.meta.region_name == "eu-west-1"
    assert repr(BotocoreSource(client)) == (
        "<BotocoreSource endpoint='https://streams.dynamodb.eu-west-1.amazonaws.com'>"
    )


@pytest.mark.parametrize(
    "variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB_STREAMS"]
)
def test_a_client_has_the_endpoint_of_the_environment(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv(variable, "http://127.0.0.1:2")
    client = new_streams_client(new_botocore_session(), region="us-east-1")
    assert client.meta.endpoint_url == "http://127.0.0.1:2"


def test_a_client_without_a_region_is_a_wrong_configuration() -> None:
    with pytest.raises(ConfigError, match="set AWS_REGION"):
        new_streams_client(new_botocore_session())


def test_an_endpoint_that_is_none_is_a_wrong_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://user:password@not a host")
    with pytest.raises(ConfigError, match="ValueError") as caught:
        new_streams_client(new_botocore_session(), region="us-east-1")
    assert "password" not in str(caught.value)


def test_an_endpoint_is_shown_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://user:password@127.0.0.1:1")
    client = new_streams_client(new_botocore_session(), region="us-east-1")
    assert "http://127.0.0.1:1" in repr(BotocoreSource(client))
    assert "password" not in repr(BotocoreSource(client))


def test_a_cache_that_is_installed_leaves_the_client_alone(
    stream: StandInStream, server: StreamsServer, source_at: SourceAt
) -> None:
    cache = botocache.install(url="memory:")
    source = source_at(server.url)
    stream.put(ITEM)
    for _ in range(2):
        (shard,) = source.shards(stream.arn)
        page = source.read(source.open_oldest(stream.arn, shard.id))
        assert len(page.records) == 1
    assert stream.requests("GetRecords") == 2
    assert not cache.stats().tables


def test_base64_that_is_lenient_is_left_to_botocore(stream: StandInStream) -> None:
    good = b64encode(b"\xff").decode()
    page = {"Records": [{"dynamodb": {"Keys": {"a": {"B": good}}}}]}
    assert decode_page(200, json.dumps(page).encode()) is not None
    page["Records"][0]["dynamodb"]["Keys"]["a"]["B"] = f"{good}!"
    assert decode_page(200, json.dumps(page).encode()) is None
