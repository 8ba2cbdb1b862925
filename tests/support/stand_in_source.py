"""The stand-in for DynamoDB Streams as a StreamSource, without a server."""

from collections.abc import Sequence

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
from tests.support.stand_in_streams import RefusedError, StandInShard, StandInStream

_ERRORS: dict[str, type[StreamError]] = {
    "ExpiredIteratorException": IteratorExpiredError,
    "TrimmedDataAccessException": RecordsTrimmedError,
    "ResourceNotFoundException": StreamGoneError,
    "LimitExceededException": StreamThrottledError,
    "ProvisionedThroughputExceededException": StreamThrottledError,
    "ThrottlingException": StreamThrottledError,
    "AccessDeniedException": StreamForbiddenError,
}


class StandInSource:
    """The streams of several tables as a StreamSource, without a server.

    streams: of the tables.
    """

    def __init__(self, *streams: StandInStream) -> None:
        self._streams = {each.table: each for each in streams}

    def find(self, table: str) -> Stream | None:
        """Return the newest stream of a table; None if there is none."""
        found = self._streams.get(table.rpartition("/")[2])
        if found is None:
            return None
        with _Translated():
            streams, following = found.list_streams()
            while following:
                more, following = found.list_streams(following)
                streams += more
            newest = max(streams, key=lambda each: each.label, default=None)
            if newest is None:
                return None
            stream, _, _ = found.describe(newest.arn)
            return Stream(stream.arn, stream.view, stream.is_enabled)

    def shards(self, arn: str) -> Sequence[Shard]:
        """Return all shards of a stream."""
        return self._shards(arn, None)

    def children(self, arn: str, parent: str) -> Sequence[Shard]:
        """Return the shards that follow a closed one."""
        return self._shards(arn, parent)

    def is_enabled(self, arn: str) -> bool:
        """Return whether a stream takes up changes."""
        with _Translated():
            return self._of(arn).describe(arn)[0].is_enabled

    def open_latest(self, arn: str, shard: str) -> str:
        """Return an iterator behind the newest record of a shard."""
        return self._open(arn, shard, "LATEST")

    def open_oldest(self, arn: str, shard: str) -> str:
        """Return an iterator before the oldest record of a shard."""
        return self._open(arn, shard, "TRIM_HORIZON")

    def open_after(self, arn: str, shard: str, sequence_number: str) -> str:
        """Return an iterator behind a record of a shard."""
        try:
            return self._open(arn, shard, "AFTER_SEQUENCE_NUMBER", sequence_number)
        except _InvalidError as error:
            raise StreamGoneError(str(error)) from error

    def read(self, iterator: str) -> Page:
        """Return the next records."""
        stream = self._of(iterator.partition("|")[0])
        try:
            with _Translated():
                records, following = stream.read(iterator)
        except _InvalidError as error:
            raise IteratorExpiredError(str(error)) from error
        offset = stream.date_offset
        return Page(
            [each.content for each in records],
            following,
            records[-1].created_at if records else None,
            None if offset is None else float(int(stream.clock() + offset)),
        )

    def _of(self, arn: str) -> StandInStream:
        for each in self._streams.values():
            if arn.startswith(f"{each.table_arn}/"):
                return each
        raise StreamGoneError("no such stream")

    def _open(self, arn: str, shard: str, kind: str, number: str = "") -> str:
        with _Translated():
            return self._of(arn).open(arn, shard, kind, number)

    def _shards(self, arn: str, parent: str | None) -> Sequence[Shard]:
        found = self._of(arn)
        shards: list[StandInShard] = []
        following = ""
        with _Translated():
            while True:
                _, page, following = found.describe(arn, following, parent)
                shards += page
                if not following:
                    break
        return [Shard(each.id, each.parent, each.is_closed) for each in shards]


class _InvalidError(StreamError):
    """The service calls a parameter invalid."""


class _Translated:
    """Turns what the model raises into the errors of a source."""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, RefusedError):
            if error.code == "ValidationException":
                raise _InvalidError(str(error)) from error
            raise _ERRORS.get(error.code, StreamError)(str(error)) from error
