"""The streams of a region, read by a `dynamodbstreams` client of botocore.

Four actions are sent, and no other: ListStreams, DescribeStream, GetShardIterator and
GetRecords. botocore's errors become those of `_streams/source.py`. Their messages name
actions, codes of errors and the endpoint, and never what a server wrote: that may show
keys of items or parts of credentials.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError
from botocore.session import Session, get_session

from botocache._botocore.stream_records import decode_page
from botocache._dynamodb.refusals import CODES as _REFUSALS
from botocache._errors import ConfigError, pass_on
from botocache._streams.source import (
    IteratorExpiredError,
    Page,
    RecordsTrimmedError,
    Shard,
    Stream,
    StreamError,
    StreamForbiddenError,
    StreamGoneError,
    StreamThrottledError,
)

# --- clients -----------------------------------------------------------------------

_CONNECT_TIMEOUT = 2.0
_READ_TIMEOUT = 5.0

_CONNECTIONS = 10
"""As botocore has it: requests that are sent at once."""

_BEFORE_PARSE = "before-parse.dynamodb-streams.GetRecords"


def new_streams_client(
    session: Session | None = None,
    *,
    region: str | None = None,
    connections: int = _CONNECTIONS,
) -> Any:
    """Return a client for BotocoreSource. It waits seconds at most, and never retries.

    Region, credentials and endpoint are those that botocore finds: AWS_REGION,
    AWS_ENDPOINT_URL_DYNAMODB_STREAMS, AWS_ENDPOINT_URL, profiles, roles.

    session: a new one by default.
    region: in place of the one that botocore finds; see `region_of`.
    connections: as many as requests are sent at once.

    Raises ConfigError.
    """
    config = Config(
        connect_timeout=_CONNECT_TIMEOUT,
        read_timeout=_READ_TIMEOUT,
        # A follower decides itself when to ask again, and may have to stop.
        retries={"total_max_attempts": 1},
        max_pool_connections=connections,
        # botocore refuses sequence numbers that are shorter than DynamoDB's. What is
        # wrong with a position is DynamoDB's to say: see `open_after`.
        parameter_validation=False,
    )
    try:
        session = session or get_session()
        client = session.create_client(
            "dynamodbstreams", region_name=region or None, config=config
        )
    except NoRegionError as error:
        raise ConfigError("streams: no region is configured; set AWS_REGION") from error
    except (BotoCoreError, ValueError) as error:
        # Without botocore's message: an endpoint may have a password in it.
        kind = type(error).__name__
        raise ConfigError(f"streams: botocore makes no client: {kind}") from error
    client.meta.events.register(_BEFORE_PARSE, _parse)
    return client


def region_of(table: str) -> str:
    """Return the region of a table that is named by its ARN; "" if it is not."""
    return table.split(":", 5)[3] if _is_arn(table) else ""


def _is_arn(table: str) -> bool:
    return table.startswith("arn:") and table.count(":") >= 5  # noqa: PLR2004 - of every ARN


def _parse(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object
) -> None:
    """Parse a page in botocore's place, which takes 0.1 ms for a record with images."""
    made = decode_page(response_dict["status_code"], response_dict["body"])
    if made is not None:
        response_dict["body"] = b"{}"
        customized_response_dict.update(made)


# --- the source --------------------------------------------------------------------

_METHODS: Final = {
    "ListStreams": "list_streams",
    "DescribeStream": "describe_stream",
    "GetShardIterator": "get_shard_iterator",
    "GetRecords": "get_records",
}
"""botocore's names for the actions."""


class BotocoreSource:
    """A StreamSource. Safe for threads, as botocore's clients are.

    client: of `new_streams_client`.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        shape = client.meta.service_model.operation_model("DescribeStream").input_shape
        # botocore knows it since July 2025. A server may still refuse it.
        self._filters = "ShardFilter" in shape.members

    def __repr__(self) -> str:
        return f"<BotocoreSource endpoint={_endpoint_of(self._client)!r}>"

    def find(self, table: str) -> Stream | None:
        """Return the newest stream of a table; None if it never had one of late.

        table: its name or its ARN, of the client's region and the caller's account.
        """
        if _is_arn(table) and region_of(table) != self._client.meta.region_name:
            raise StreamError(f"the table is in the region {region_of(table)}")
        try:
            listed = self._list(table.rpartition("/")[2])
            newest = max(listed, key=_label, default=None)
            if newest is None:
                return None
            arn = _text(newest, "StreamArn")
            if _is_arn(table) and not arn.startswith(f"{table}/"):
                raise StreamError(
                    "the table is in another account, whose streams ListStreams does"
                    " not show"
                )
            described = self._describe(arn, Limit=1)
        except StreamGoneError:
            return None
        return Stream(arn, _text(described, "StreamViewType"), _is_enabled(described))

    def shards(self, arn: str) -> Sequence[Shard]:
        """Return all shards of a stream that have records, or may get some."""
        return self._shards(arn)

    def children(self, arn: str, parent: str) -> Sequence[Shard]:
        """Return the shards that follow a closed one; none may be known yet."""
        shards: Sequence[Shard] | None = None
        if self._filters:
            kind = {"Type": "CHILD_SHARDS", "ShardId": parent}
            try:
                shards = self._shards(arn, ShardFilter=kind)
            except _InvalidRequestError:
                # An emulator. It will refuse the next one, too.
                self._filters = False
        if shards is None:
            shards = self._shards(arn)
        # Other emulators ignore what they do not know, and return all.
        return [each for each in shards if each.parent == parent]

    def is_enabled(self, arn: str) -> bool:
        """Return whether a stream takes up changes."""
        return _is_enabled(self._describe(arn, Limit=1))

    def open_latest(self, arn: str, shard: str) -> str:
        """Return an iterator behind the newest record of a shard."""
        return self._open(arn, shard, ShardIteratorType="LATEST")

    def open_oldest(self, arn: str, shard: str) -> str:
        """Return an iterator before the oldest record of a shard."""
        return self._open(arn, shard, ShardIteratorType="TRIM_HORIZON")

    def open_after(self, arn: str, shard: str, sequence_number: str) -> str:
        """Return an iterator behind a record of a shard."""
        try:
            return self._open(
                arn,
                shard,
                ShardIteratorType="AFTER_SEQUENCE_NUMBER",
                SequenceNumber=sequence_number,
            )
        except _InvalidRequestError as error:
            # A number that the shard never had. Asking again would change nothing.
            raise StreamGoneError(f"no such record: {error}") from error

    def read(self, iterator: str) -> Page:
        """Return the next records. An iterator expires after some minutes."""
        try:
            answer = self._call("GetRecords", ShardIterator=iterator)
        except _InvalidRequestError as error:
            # As one that a server which was started anew did not make.
            raise IteratorExpiredError(str(error)) from error
        records = answer.get("Records", [])
        return Page(
            records,
            answer.get("NextShardIterator") or None,
            _created_at(records[-1]) if records else None,
            _answered_at(answer),
        )

    # --- requests -------------------------------------------------------------

    def _list(self, table: str) -> Iterator[Mapping[str, Any]]:
        start: dict[str, str] = {}
        while True:
            answer = self._call("ListStreams", TableName=table, **start)
            for each in answer.get("Streams", ()):
                if each.get("TableName") == table:
                    yield each
            last = answer.get("LastEvaluatedStreamArn")
            if not last:
                return
            start = {"ExclusiveStartStreamArn": last}

    def _shards(self, arn: str, **options: Any) -> list[Shard]:
        shards: list[Shard] = []
        while True:
            described = self._describe(arn, **options)
            shards += map(_shard, described.get("Shards", ()))
            last = described.get("LastEvaluatedShardId")
            if not last:
                return shards
            options["ExclusiveStartShardId"] = last

    def _describe(self, arn: str, **options: Any) -> Mapping[str, Any]:
        answer = self._call("DescribeStream", StreamArn=arn, **options)
        described: Mapping[str, Any] = _member(answer, "StreamDescription")
        return described

    def _open(self, arn: str, shard: str, **options: str) -> str:
        answer = self._call("GetShardIterator", StreamArn=arn, ShardId=shard, **options)
        return _text(answer, "ShardIterator")

    def _call(self, action: str, **arguments: Any) -> Mapping[str, Any]:
        try:
            send = getattr(self._client, _METHODS[action])
            answer: Mapping[str, Any] = send(**arguments)
        except Exception as error:
            _raise(action, self._client, pass_on(error))
        return answer


# --- answers -----------------------------------------------------------------------


def _member(answer: Mapping[str, Any], name: str) -> Any:
    """Return a member that DynamoDB's answers always have; a proxy's may lack it."""
    if name not in answer:
        raise StreamError(f"an answer without {name}: it is not DynamoDB's")
    return answer[name]


def _text(answer: Mapping[str, Any], name: str) -> str:
    return str(_member(answer, name))


def _label(listed: Mapping[str, Any]) -> str:
    """Return a stream's label: the moment at which it was made, so that texts sort."""
    return _text(listed, "StreamLabel")


def _is_enabled(described: Mapping[str, Any]) -> bool:
    # While it is ENABLING, changes may not come into it yet.
    return bool(described.get("StreamStatus") == "ENABLED")


def _shard(described: Mapping[str, Any]) -> Shard:
    return Shard(
        _text(described, "ShardId"),
        described.get("ParentShardId") or "",
        bool(described.get("SequenceNumberRange", {}).get("EndingSequenceNumber")),
    )


def _created_at(record: Mapping[str, Any]) -> float | None:
    created = record.get("dynamodb", {}).get("ApproximateCreationDateTime")
    if isinstance(created, datetime):
        return created.timestamp()
    return float(created) if isinstance(created, int | float) else None


def _answered_at(answer: Mapping[str, Any]) -> float | None:
    """Return the `Date` of an answer; None if it has none that can be read."""
    try:
        date = answer["ResponseMetadata"]["HTTPHeaders"]["date"]
        return parsedate_to_datetime(date).timestamp()
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


# --- errors ------------------------------------------------------------------------


class _InvalidRequestError(StreamError):
    """DynamoDB calls an argument invalid."""


_KINDS: Final[Mapping[str, type[StreamError]]] = {
    "ExpiredIteratorException": IteratorExpiredError,
    "TrimmedDataAccessException": RecordsTrimmedError,
    "ResourceNotFoundException": StreamGoneError,
    **dict.fromkeys(
        (
            "LimitExceededException",
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
            "SlowDown",
            "RequestThrottled",
            "RequestThrottledException",
            "ThrottledException",
            "Throttling",
            "ThrottlingException",
            "TooManyRequestsException",
        ),
        StreamThrottledError,
    ),
    "ValidationException": _InvalidRequestError,
}
"""By the code of DynamoDB's error."""


def _raise(action: str, client: Any, error: Exception) -> NoReturn:
    """Raise the error of a source that stands for one of botocore's."""
    if not isinstance(error, ClientError):
        what = type(error).__name__
        raise StreamError(f"{action} at {_endpoint_of(client)}: {what}") from error
    details: Mapping[str, Any] = error.response.get("Error", {})
    code = str(details.get("Code", ""))
    if code.removesuffix("Exception") in _REFUSALS:
        raise StreamForbiddenError(
            f"these credentials may not call dynamodb:{action} ({code})"
        ) from error
    kind = _KINDS.get(code, StreamError)
    raise kind(f"{action} at {_endpoint_of(client)}: {code}") from error


def _endpoint_of(client: Any) -> str:
    """Return scheme, host and port of a client's endpoint."""
    parts = urlsplit(str(client.meta.endpoint_url))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
