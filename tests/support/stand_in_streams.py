"""A stand-in for DynamoDB Streams, in memory: shards that a test splits and harms.

`StandInStream` is the model: the streams of one table, and what goes wrong with them.
`stand_in_source.py` reads it as a follower does, without a server;
`dynamodb_streams.py` serves the same model over HTTP.

Time passes only by the clock that a stream gets.
"""

import json
import threading
import time
import zlib
from base64 import b64encode
from collections import Counter, deque
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from itertools import count
from math import inf
from typing import Any, NamedTuple

from tests.support.stream_records import Item, stream_record

ACTIONS = ("ListStreams", "DescribeStream", "GetShardIterator", "GetRecords")

MOST_RECORDS = 1000
"""Of one page, at DynamoDB."""

MOST_BYTES = 1 << 20
"""Of one page, at DynamoDB."""

ITERATOR_LIFE = 900.0
"""Seconds after which DynamoDB's iterators expire."""

_FIRST_NUMBER = 999_999_999_999_999_999_990
"""The numbers soon have one digit more, so that their order is not that of text."""


class RefusedError(Exception):
    """The service refuses a request. code: of the error, as AWS names it."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class StoredRecord:
    """A record of a shard.

    number: its sequence number.
    content: as botocore returns it.
    created_at: seconds since the epoch, in whole seconds.
    is_shown: readers may see it.
    """

    __slots__ = ("_json", "content", "created_at", "is_shown", "number")

    def __init__(
        self, number: int, content: dict[str, Any], created_at: float, *, is_shown: bool
    ) -> None:
        self.number = number
        self.content = content
        self.created_at = float(int(created_at))
        self.is_shown = is_shown
        self._json = b""

    def encoded(self, content: bytes) -> None:
        """Set what `json` returns, in place of the content."""
        self._json = content

    def json(self) -> bytes:
        """Return it as DynamoDB writes it; made once."""
        if not self._json:
            compact = (",", ":")
            self._json = json.dumps(
                self.content, default=_on_the_wire, separators=compact
            ).encode()
        return self._json


def _on_the_wire(value: Any) -> Any:
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(type(value).__name__)


class StandInShard:
    """A shard, and all records that it ever got. Positions are places among these.

    trimmed: how many of the oldest records are gone.
    is_listed: DescribeStream returns it.
    is_gone: no request finds it any more.
    readings: moment and reader of the latest requests for its records.
    """

    def __init__(self, name: str, parent: str, first_number: int) -> None:
        self.id = name
        self.parent = parent
        self.first_number = first_number
        self.last_number: int | None = None
        self.records: list[StoredRecord] = []
        self.children: list[StandInShard] = []
        self.trimmed = 0
        self.is_listed = True
        self.is_gone = False
        self.readings: deque[tuple[float, str]] = deque()

    @property
    def is_closed(self) -> bool:
        """Whether it has its last record already."""
        return self.last_number is not None

    def place_after(self, number: int) -> int:
        """Return the place behind the record of a number."""
        low, high = 0, len(self.records)
        while low < high:
            middle = (low + high) // 2
            if self.records[middle].number < number:
                low = middle + 1
            else:
                high = middle
        if low == len(self.records) or self.records[low].number != number:
            raise RefusedError("ValidationException", "Invalid SequenceNumber")
        if low < self.trimmed:
            raise RefusedError("TrimmedDataAccessException")
        return low + 1


class StandInIterator(NamedTuple):
    """What an iterator stands for.

    reader: one for each GetShardIterator.
    epoch: how often all iterators had expired when it was made.
    """

    shard: StandInShard
    place: int
    reader: str
    made_at: float
    epoch: int


class StreamOfTable:
    """One stream: a table has another one each time that it is switched on."""

    def __init__(self, arn: str, label: str, view: str) -> None:
        self.arn = arn
        self.label = label
        self.view = view
        self.is_enabled = True
        self.shards: list[StandInShard] = []
        self.roots: list[StandInShard] = []

    def shard(self, name: str) -> StandInShard:
        """Return a shard that is not gone."""
        for each in self.shards:
            if each.id == name and not each.is_gone:
                return each
        raise RefusedError("ResourceNotFoundException", "no such shard")

    def leaf_of(self, key: bytes) -> StandInShard:
        """Return the open shard that gets the records of an item."""
        at, digest = self.roots, zlib.crc32(key)
        while True:
            shard = at[digest % len(at)]
            if not shard.children:
                return shard
            # The rest of the digest: children must share what their parent had.
            digest //= len(at)
            at = shard.children


class StandInStream:
    """The streams of a table, as a test wants them. Safe for threads.

    table: its name.
    keys: the names of its key attributes.
    clock: of the service, in seconds since the epoch.
    shards: how many a new stream has.
    is_enabled: the table has a stream from the start.

    counts: requests by action and shard; the shard is "" for those of none.
    before: called with the action and the shard before each request is looked at, and
        outside the lock, so that it may change anything.
    iterator_life: seconds after which iterators expire.
    rate: requests for records a second of a shard, beyond which they are throttled.
    readers: of a shard in the same second, beyond which they are throttled.
    most_records: of one page.
    most_bytes: of one page; None if it does not matter.
    shards_on_page: of one answer to DescribeStream.
    streams_on_page: of one answer to ListStreams.
    knows_filter: DescribeStream filters by `CHILD_SHARDS`; else it refuses to.
    ignores_filter: it returns all shards instead.
    date_offset: seconds by which the `Date` of answers is ahead of the clock; None if
        they have none.
    """

    def __init__(  # noqa: PLR0913 - what tests vary
        self,
        table: str = "users",
        *,
        view: str = "NEW_AND_OLD_IMAGES",
        keys: Sequence[str] = ("id",),
        clock: Callable[[], float] = time.time,
        shards: int = 1,
        region: str = "us-east-1",
        account: str = "123456789012",
        is_enabled: bool = True,
    ) -> None:
        self.table = table
        self.view = view
        self.keys = tuple(keys)
        self.clock = clock
        self.region = region
        self.table_arn = f"arn:aws:dynamodb:{region}:{account}:table/{table}"
        self.counts: Counter[tuple[str, str]] = Counter()
        self.before: Callable[[str, str], None] = lambda _action, _shard: None
        self.iterator_life = ITERATOR_LIFE
        self.rate: float = inf
        self.readers: float = inf
        self.most_records = MOST_RECORDS
        self.most_bytes: int | None = None
        self.shards_on_page = 100
        self.streams_on_page = 100
        self.knows_filter = True
        self.ignores_filter = False
        self.date_offset: float | None = 0.0
        self.streams: list[StreamOfTable] = []
        self._shards = shards
        self._failures: dict[str, deque[RefusedError]] = {}
        self._denied: dict[str, RefusedError] = {}
        self._empty_pages = 0
        self._is_hiding = False
        self._iterators: dict[str, StandInIterator] = {}
        self._epoch = 0
        self._numbers = count(_FIRST_NUMBER)
        self._names = count(1)
        self._lock = threading.RLock()
        if is_enabled:
            self.enable()

    # --- the table ------------------------------------------------------------

    @property
    def newest(self) -> StreamOfTable:
        """The newest stream."""
        return self.streams[-1]

    @property
    def arn(self) -> str:
        """Of the newest stream."""
        return self.newest.arn

    @property
    def open_shards(self) -> list[StandInShard]:
        """The shards of the newest stream that get records."""
        return [each for each in self.newest.shards if not each.is_closed]

    @property
    def written(self) -> int:
        """How many records all streams of the table ever got."""
        with self._lock:
            return sum(
                len(shard.records) for each in self.streams for shard in each.shards
            )

    def enable(self, view: str = "") -> str:
        """Switch the stream on; return the ARN, which is a new one."""
        with self._lock:
            if self.streams and self.newest.is_enabled:
                raise ValueError("the stream is on already")
            moment = datetime.fromtimestamp(self.clock(), timezone.utc)
            label = f"{moment:%Y-%m-%dT%H:%M:%S}.{len(self.streams):03}"
            arn = f"{self.table_arn}/stream/{label}"
            self.view = view or self.view
            stream = StreamOfTable(arn, label, self.view)
            self.streams.append(stream)
            stream.roots = [self._add_shard("") for _ in range(self._shards)]
            return arn

    def disable(self) -> None:
        """Switch the stream off: its shards close and have no children."""
        with self._lock:
            self.newest.is_enabled = False
            for each in self.open_shards:
                each.last_number = next(self._numbers)

    def forget_streams(self) -> None:
        """Let all streams that are off go, as a day after they were switched off."""
        with self._lock:
            self.streams = [each for each in self.streams if each.is_enabled]

    def write(
        self, old: Item | None, new: Item | None, *, created_at: float | None = None
    ) -> str:
        """Add the record of a write of an item; return its sequence number.

        While the stream is off there is none: "".
        """
        with self._lock:
            if not self.streams or not self.newest.is_enabled:
                return ""
            either = new if old is None else old
            assert either is not None
            key = repr([either[name] for name in self.keys]).encode()
            shard = self.newest.leaf_of(key)
            number = next(self._numbers)
            moment = self.clock() if created_at is None else created_at
            record = stream_record(
                old,
                new,
                view=self.newest.view,
                keys=self.keys,
                sequence_number=str(number),
                created_at=moment,
                region=self.region,
            )
            self._add(shard, number, record, moment)
            return str(number)

    def put(self, item: Item, old: Item | None = None) -> str:
        """Add the record of a put. old: the item that was there."""
        return self.write(old, item)

    def delete(self, old: Item) -> str:
        """Add the record of a delete. old: the item that was there."""
        return self.write(old, None)

    def repeat(self, shard: str, *, back: int = 1) -> str:
        """Add a record of a shard once more, under a new sequence number.

        back: 1 for the last record, 2 for the one before it.
        """
        with self._lock:
            found = self.newest.shard(shard)
            again = found.records[-back]
            number = next(self._numbers)
            inner = {**again.content["dynamodb"], "SequenceNumber": str(number)}
            record = {**again.content, "dynamodb": inner}
            self._add(found, number, record, again.created_at)
            return str(number)

    def _add(
        self,
        shard: StandInShard,
        number: int,
        content: dict[str, Any],
        created_at: float,
    ) -> None:
        shown = not self._is_hiding
        shard.records.append(StoredRecord(number, content, created_at, is_shown=shown))

    def _add_shard(self, parent: str) -> StandInShard:
        number = next(self._numbers)
        name = f"shardId-{int(self.clock()):020}-{next(self._names):08x}"
        shard = StandInShard(name, parent, number)
        self.newest.shards.append(shard)
        return shard

    # --- what happens to shards -----------------------------------------------

    def split(
        self, shard: str = "", children: int = 2, *, are_listed: bool = True
    ) -> list[str]:
        """Close a shard and open its children; return their ids.

        shard: its id; the first open one if none is given.
        are_listed: DescribeStream knows the children at once; else after `list_shards`.
        """
        with self._lock:
            found = self.newest.shard(shard) if shard else self.open_shards[0]
            if found.is_closed or children < 1:
                raise ValueError("an open shard is split into one or more")
            found.last_number = next(self._numbers)
            found.children = [self._add_shard(found.id) for _ in range(children)]
            for each in found.children:
                each.is_listed = are_listed
            return [each.id for each in found.children]

    def list_shards(self) -> None:
        """Let DescribeStream know all children."""
        for each in self.newest.shards:
            each.is_listed = True

    def roll_over(self, shard: str = "") -> str:
        """Close a shard, with one child that goes on; return its id."""
        return self.split(shard, 1)[0]

    def vanish(self, shard: str) -> None:
        """Let a shard be gone, with its records."""
        with self._lock:
            self.newest.shard(shard).is_gone = True

    def trim(self, shard: str = "", records: int | None = None) -> None:
        """Remove the oldest records. records: how many; all that are there by default.

        shard: its id; every shard if none is given.
        """
        with self._lock:
            for each in self.newest.shards:
                if shard in ("", each.id):
                    most = len(each.records)
                    more = most if records is None else each.trimmed + records
                    each.trimmed = min(most, more)

    def hide(self) -> None:
        """Let records that come from now on be late: `show` shows them."""
        with self._lock:
            self._is_hiding = True

    def show(self, records: int | None = None, shard: str = "") -> None:
        """Show the oldest hidden records of each shard.

        records: how many; all by default, and then records are no longer late.
        """
        with self._lock:
            for each in self.newest.shards:
                if shard in ("", each.id):
                    hidden = [one for one in each.records if not one.is_shown]
                    for one in hidden[:records]:
                        one.is_shown = True
            if records is None and not shard:
                self._is_hiding = False

    # --- what goes wrong ------------------------------------------------------

    def expire_iterators(self) -> None:
        """Let all iterators that there are expire."""
        with self._lock:
            self._epoch += 1

    def refuse(self, action: str, code: str, times: int = 1, message: str = "") -> None:
        """Refuse the next requests of an action. code: as AWS names the error."""
        with self._lock:
            failures = self._failures.setdefault(action, deque())
            failures += [RefusedError(code, message)] * times

    def throttle(self, times: int = 1, action: str = "GetRecords") -> None:
        """Throttle the next requests of an action."""
        self.refuse(action, "ProvisionedThroughputExceededException", times)

    def deny(self, *actions: str, code: str = "AccessDeniedException") -> None:
        """Deny these actions, or all, until `allow`."""
        for action in actions or ACTIONS:
            self._denied[action] = RefusedError(code, f"not allowed: {action}")

    def allow(self) -> None:
        """Deny nothing any more."""
        self._denied.clear()

    def return_empty_pages(self, pages: int) -> None:
        """Return no records on the next pages, also where there are some."""
        with self._lock:
            self._empty_pages = pages

    # --- the four actions -----------------------------------------------------

    def list_streams(self, start: str = "") -> tuple[list[StreamOfTable], str]:
        """Return a page of the streams, and the ARN behind which the next starts."""
        self._enter("ListStreams")
        with self._lock:
            names = [each.arn for each in self.streams]
            return _page(self.streams, names, start, self.streams_on_page)

    def describe(
        self, arn: str, start: str = "", parent: str | None = None, limit: int = 100
    ) -> tuple[StreamOfTable, list[StandInShard], str]:
        """Return a stream, a page of its shards, and the one where the next starts.

        parent: return its children alone.
        """
        self._enter("DescribeStream")
        with self._lock:
            stream = self._stream(arn)
            shards = [
                each for each in stream.shards if each.is_listed and not each.is_gone
            ]
            if parent is not None and not self.ignores_filter:
                if not self.knows_filter:
                    raise RefusedError("ValidationException", "ShardFilter")
                shards = [each for each in shards if each.parent == parent]
            size = min(limit, self.shards_on_page)
            page, following = _page(shards, [each.id for each in shards], start, size)
            return stream, page, following

    def open(self, arn: str, shard: str, kind: str, number: str = "") -> str:
        """Return an iterator. kind: as `ShardIteratorType`."""
        self._enter("GetShardIterator", shard)
        with self._lock:
            found = self._stream(arn).shard(shard)
            if kind == "LATEST":
                place = _shown(found)
            elif kind == "TRIM_HORIZON":
                place = found.trimmed
            else:
                place = found.place_after(int(number))
                place -= kind == "AT_SEQUENCE_NUMBER"
            return self._iterator(arn, found, place, "")

    def read(
        self, iterator: str, limit: int = MOST_RECORDS
    ) -> tuple[list[StoredRecord], str | None]:
        """Return the next records, and the next iterator."""
        at = self._iterators.get(iterator)
        self._enter("GetRecords", at.shard.id if at else "")
        with self._lock:
            if at is None:
                raise RefusedError("ValidationException", "Invalid ShardIterator")
            shard, now = at.shard, self.clock()
            if at.epoch < self._epoch or at.made_at + self.iterator_life < now:
                raise RefusedError("ExpiredIteratorException")
            stream = self._stream(iterator.partition("|")[0])
            stream.shard(shard.id)
            self._check_rate(at, now)
            if at.place < shard.trimmed:
                raise RefusedError("TrimmedDataAccessException")
            records = self._records_at(shard, at.place, min(limit, self.most_records))
            place = at.place + len(records)
            if shard.is_closed and place == len(shard.records):
                return records, None
            return records, self._iterator(stream.arn, shard, place, at.reader)

    def _records_at(
        self, shard: StandInShard, place: int, limit: int
    ) -> list[StoredRecord]:
        if self._empty_pages:
            self._empty_pages -= 1
            return []
        records = shard.records[place : place + limit]
        size = 0
        for at, each in enumerate(records):
            if self.most_bytes is not None:
                size += len(each.json())
            if not each.is_shown or (at and size > (self.most_bytes or 0)):
                return records[:at]
        return records

    def _check_rate(self, at: StandInIterator, now: float) -> None:
        if self.rate == self.readers == inf:
            return
        recent = at.shard.readings
        while recent and recent[0][0] <= now - 1:
            recent.popleft()
        others = {reader for _, reader in recent} - {at.reader}
        if len(recent) >= self.rate or len(others) >= self.readers:
            raise RefusedError("ProvisionedThroughputExceededException")
        recent.append((now, at.reader))

    def _enter(self, action: str, shard: str = "") -> None:
        self.before(action, shard)
        with self._lock:
            self.counts[action, shard] += 1
            if action in self._denied:
                raise self._denied[action]
            if failures := self._failures.get(action):
                raise failures.popleft()

    def requests(self, action: str) -> int:
        """Return how many requests of an action there were."""
        with self._lock:
            return sum(
                many for (name, _), many in self.counts.items() if name == action
            )

    def _stream(self, arn: str) -> StreamOfTable:
        for each in self.streams:
            if each.arn == arn:
                return each
        raise RefusedError("ResourceNotFoundException", "no such stream")

    def _iterator(self, arn: str, shard: StandInShard, place: int, reader: str) -> str:
        name = f"{arn}|1|{next(self._names):08x}"
        self._iterators[name] = StandInIterator(
            shard, place, reader or name, self.clock(), self._epoch
        )
        # A follower that reads for hours must not fill the memory.
        if len(self._iterators) > 10_000:
            del self._iterators[next(iter(self._iterators))]
        return name


def _shown(shard: StandInShard) -> int:
    """Return the place before the first hidden record."""
    for at in range(shard.trimmed, len(shard.records)):
        if not shard.records[at].is_shown:
            return at
    return len(shard.records)


def _page(
    values: list[Any], names: list[str], start: str, size: int
) -> tuple[list[Any], str]:
    """Return a page of values, and the name of its last one if more follow."""
    first = names.index(start) + 1 if start in names else 0
    page = values[first : first + size]
    return page, names[first + size - 1] if first + size < len(values) else ""
