"""Events of Lambda: evict what their records say, and answer what was not evicted.

An event has the records of one shard, in their order. Lambda delivers the rest of it
again, from the record on that the answer names. So the answer names the first record
whose eviction has failed, and all before it are evicted. A record may come twice:
to evict it again costs a miss.

A failure of the store is an answer, and never an exception. A damaged record evicts
all that it can stand for, and then counts as done: to deliver it again would not help.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias, TypedDict

from botocache._cache.pending_evictions import TAGS_PER_EVICTION
from botocache._cache.services import services_of
from botocache._digests import EVERYTHING_DIGEST
from botocache._errors import pass_on, shows
from botocache._log import log
from botocache._settings.load import Settings
from botocache._streams.changes import (
    Change,
    change_in_kinesis,
    change_of,
    eviction_of,
    tags_of,
    tags_of_table,
)
from botocache.stores.protocol import Store

Event: TypeAlias = Mapping[str, Any]
"""What Lambda calls a handler with: `{"Records": [...]}`."""

Record: TypeAlias = Mapping[str, Any]
"""A record of an event: of DynamoDB Streams, or of Kinesis Data Streams."""


class FailedRecord(TypedDict):
    """A record, by its sequence number. Empty: all records of the event."""

    itemIdentifier: str


class BatchResponse(TypedDict):
    """What Lambda reads of an answer to an event, with `ReportBatchItemFailures`."""

    batchItemFailures: list[FailedRecord]


@shows("tags")
class _Evicted(NamedTuple):
    """What some records evict, in one request to the store.

    first: the sequence number of the first one.
    tags: of all of them.
    """

    first: str
    tags: tuple[bytes, ...]


class EventEvictor:
    """Evicts what events say has changed.

    store: which the readers share.
    settings: of the readers. May raise ConfigError.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        services = services_of(store, settings)
        self._store: Final = services.store
        self._report: Final = services.evictions.report
        self._settle: Final = settings.settle
        self._is_precise: Final = settings.precise_index_eviction

    def evict(self, event: Event) -> BatchResponse:
        """Evict what the records of an event change.

        Raises ValueError for what is no event of a stream.
        """
        records = event.get("Records") if isinstance(event, Mapping) else None
        if not isinstance(records, list):
            raise ValueError(  # noqa: TRY004 - a wrong event is data, not a wrong program
                "expected an event of DynamoDB Streams or Kinesis Data Streams, with "
                "'Records'; an event source mapping of the table's stream sends such"
            )
        for evicted in _in_requests(map(self._evicted_by, records)):
            if not self._has_evicted(evicted.tags):
                return {"batchItemFailures": [{"itemIdentifier": evicted.first}]}
        return {"batchItemFailures": []}

    def _has_evicted(self, tags: tuple[bytes, ...]) -> bool:
        """Evict; return False if the store has failed."""
        try:
            self._store.evict(eviction_of(tags, self._settle))
        except Exception as error:  # noqa: BLE001 - whatever fails, Lambda tries again
            own = pass_on(error)
            self._report("evict_failed", "Lambda delivers the rest again", own)
            return False
        return True

    def _evicted_by(self, record: Record) -> _Evicted:
        number = _identifier_of(record)
        try:
            return _Evicted(
                number, tags_of(_change_in(record), precise=self._is_precise)
            )
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            pass_on(error)
            tags = _all_of(record)
            what = "everything" if EVERYTHING_DIGEST in tags else "its whole table"
            log.warning("record_damaged: a record names no item; %s is evicted", what)
            return _Evicted(number, tags)


def _change_in(record: Record) -> Change:
    """Return the change that a record describes. Raises ValueError and the like."""
    if "kinesis" in record:
        return change_in_kinesis(record["kinesis"]["data"])
    return change_of(record, _stream_of(record))


_TABLE = ":table/"
"""Precedes the name of the table in the ARN of a stream."""


def _stream_of(record: Record) -> str:
    """Return the ARN of a record's stream, which names its table."""
    arn = record["eventSourceARN"]
    if not isinstance(arn, str) or _TABLE not in arn:
        raise ValueError("a record names no table")
    return arn


def _all_of(record: Record) -> tuple[bytes, ...]:
    """Return the tags of all that a damaged record can stand for."""
    try:
        return tags_of_table(_stream_of(record))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        pass_on(error)
        return (EVERYTHING_DIGEST,)


def _identifier_of(record: Record) -> str:
    """Return the sequence number by which Lambda knows a record; "" if it has none."""
    try:
        number = (
            record["kinesis"]["sequenceNumber"]
            if "kinesis" in record
            else record["dynamodb"]["SequenceNumber"]
        )
    except (LookupError, TypeError) as error:
        pass_on(error)
        return ""
    return number if isinstance(number, str) else ""


def _in_requests(records: Iterable[_Evicted]) -> Iterator[_Evicted]:
    """Yield requests to the store, in the order of the records.

    A record is never in two of them: it is evicted, or it is not.
    """
    first, tags = "", dict[bytes, None]()
    for record in records:
        if tags and len(tags) + len(record.tags) > TAGS_PER_EVICTION:
            yield _Evicted(first, tuple(tags))
            tags.clear()
        if not tags:
            first = record.first
        tags |= dict.fromkeys(record.tags)
    if tags:
        yield _Evicted(first, tuple(tags))
