"""DynamoDB Streams over HTTP: the stand-in, as a server in threads of this process.

Also a program, for benchmarks: `python -m tests.support.dynamodb_streams --records
100000` prints `{"port": ...}`, serves a stream of the table `users` that has that many
records, and ends when its standard input does. A line `RATE SECONDS` on it adds as many
records a second; `{"written": ..., "counts": ...}` tells when it has.
"""

import argparse
import json
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from email.utils import formatdate
from typing import Any

from tests.support.stand_in_streams import (
    ACTIONS,
    MOST_BYTES,
    MOST_RECORDS,
    RefusedError,
    StandInShard,
    StandInStream,
    StoredRecord,
    StreamOfTable,
)

_TARGET = b"DynamoDBStreams_20120810."


class StreamsServer:
    """Serves the streams of several tables.

    streams: of the tables; their pages get DynamoDB's limit of bytes.

    url: its endpoint.
    latency: seconds that pass before each answer.
    date: the `Date` of all answers, in place of the clock's; None for the clock's.
    """

    def __init__(self, *streams: StandInStream) -> None:
        self.streams = streams
        self.latency = 0.0
        self.date: str | None = None
        for each in streams:
            each.most_bytes = each.most_bytes or MOST_BYTES
        self._going_on = threading.Event()
        self._going_on.set()
        self._ended = threading.Event()
        self._server = _Server(self)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self._thread.start()

    def hang(self) -> None:
        """Take requests, and answer none until `go_on`."""
        self._going_on.clear()

    def go_on(self) -> None:
        """Answer what waits, and all that comes."""
        self._going_on.set()

    def close(self) -> None:
        """End it, and all connections."""
        self._ended.set()
        self._going_on.set()
        self._server.shutdown()
        for each in list(self._server.connections):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._server.server_close()
        self._thread.join()

    def answer(self, action: str, body: bytes) -> tuple[int, bytes, str | None]:
        """Return status, body and `Date` of an answer."""
        self._going_on.wait()
        if self.latency:
            self._ended.wait(self.latency)
        asked = json.loads(body or b"{}")
        stream = self._stream_of(asked)
        if stream is None:
            if action == "ListStreams":
                return 200, b'{"Streams":[]}', None
            return 400, _refusal("ResourceNotFoundException"), None
        try:
            return 200, _ANSWERS[action](stream, asked), self._date(stream)
        except RefusedError as error:
            return 400, _refusal(error.code, error.message), self._date(stream)

    def _date(self, stream: StandInStream | None) -> str | None:
        if self.date is not None or stream is None or stream.date_offset is None:
            return self.date
        return formatdate(int(stream.clock() + stream.date_offset), usegmt=True)

    def _stream_of(self, asked: Mapping[str, Any]) -> StandInStream | None:
        arn = asked.get("StreamArn") or asked.get("ShardIterator") or ""
        for each in self.streams:
            if asked.get("TableName") == each.table or arn.startswith(
                f"{each.table_arn}/"
            ):
                return each
        # An iterator that no stream has made is refused by any of them.
        return self.streams[0] if "ShardIterator" in asked else None


# --- the four actions --------------------------------------------------------------


def _list_streams(stream: StandInStream, asked: Mapping[str, Any]) -> bytes:
    page, last = stream.list_streams(asked.get("ExclusiveStartStreamArn", ""))
    listed = [
        {
            "StreamArn": each.arn,
            "TableName": stream.table,
            "StreamLabel": each.label,
        }
        for each in page
    ]
    return _encode({"Streams": listed, "LastEvaluatedStreamArn": last})


def _describe_stream(stream: StandInStream, asked: Mapping[str, Any]) -> bytes:
    wanted = asked.get("ShardFilter")
    found, page, last = stream.describe(
        asked["StreamArn"],
        asked.get("ExclusiveStartShardId", ""),
        None if wanted is None else wanted["ShardId"],
        asked.get("Limit", 100),
    )
    described = {
        **_described(stream, found),
        "Shards": [_shard(each) for each in page],
        **({"LastEvaluatedShardId": last} if last else {}),
    }
    return _encode({"StreamDescription": described})


def _described(stream: StandInStream, found: StreamOfTable) -> dict[str, Any]:
    kinds = ("HASH", "RANGE")
    return {
        "StreamArn": found.arn,
        "StreamLabel": found.label,
        "StreamStatus": "ENABLED" if found.is_enabled else "DISABLED",
        "StreamViewType": found.view,
        "TableName": stream.table,
        "KeySchema": [
            {"AttributeName": name, "KeyType": kind}
            for name, kind in zip(stream.keys, kinds, strict=False)
        ],
    }


def _shard(shard: StandInShard) -> dict[str, Any]:
    numbers = {"StartingSequenceNumber": str(shard.first_number)}
    if shard.last_number is not None:
        numbers["EndingSequenceNumber"] = str(shard.last_number)
    described: dict[str, Any] = {"ShardId": shard.id, "SequenceNumberRange": numbers}
    if shard.parent:
        described["ParentShardId"] = shard.parent
    return described


def _get_shard_iterator(stream: StandInStream, asked: Mapping[str, Any]) -> bytes:
    iterator = stream.open(
        asked["StreamArn"],
        asked["ShardId"],
        asked["ShardIteratorType"],
        asked.get("SequenceNumber", ""),
    )
    return _encode({"ShardIterator": iterator})


def _get_records(stream: StandInStream, asked: Mapping[str, Any]) -> bytes:
    records, following = stream.read(
        asked["ShardIterator"], asked.get("Limit", MOST_RECORDS)
    )
    end = "" if following is None else f',"NextShardIterator":"{following}"'
    each = b",".join([record.json() for record in records])
    return b'{"Records":[%b]%b}' % (each, end.encode())


def _encode(answer: Mapping[str, Any]) -> bytes:
    given = {name: value for name, value in answer.items() if value != ""}
    return json.dumps(given).encode()


def _refusal(code: str, message: str = "") -> bytes:
    kind = f"com.amazonaws.dynamodb.v20120810#{code}"
    return json.dumps({"__type": kind, "message": message}).encode()


_ANSWERS = dict(
    zip(
        ACTIONS,
        (_list_streams, _describe_stream, _get_shard_iterator, _get_records),
        strict=True,
    )
)


# --- HTTP --------------------------------------------------------------------------


class _Server(socketserver.ThreadingTCPServer):
    # http.server's handler would take longer than all the rest of an answer.
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, streams: StreamsServer) -> None:
        self.streams = streams
        self.connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Connection)


class _Connection(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True
    wbufsize = -1

    def handle(self) -> None:
        """Answer the requests of a connection."""
        server = self.server
        assert isinstance(server, _Server)
        server.connections.add(self.connection)
        try:
            self._answer_all(server)
        finally:
            server.connections.discard(self.connection)

    def _answer_all(self, server: _Server) -> None:
        with suppress(OSError):  # the client has gone
            while self.rfile.readline():
                headers = dict(self._headers())
                body = self.rfile.read(int(headers.get(b"content-length", 0)))
                action = headers[b"x-amz-target"].removeprefix(_TARGET).decode()
                status, answer, date = server.streams.answer(action, body)
                self._send(status, answer, date)

    def _headers(self) -> Iterator[tuple[bytes, bytes]]:
        while line := self.rfile.readline().strip():
            name, _, value = line.partition(b":")
            yield name.lower(), value.strip()

    def _send(self, status: int, answer: bytes, date: str | None) -> None:
        dated = f"Date: {date}\r\n" if date else ""
        head = (
            f"HTTP/1.1 {status} OK\r\nContent-Type: application/x-amz-json-1.0\r\n"
            f"x-amzn-RequestId: 1\r\n{dated}Content-Length: {len(answer)}\r\n\r\n"
        )
        self.wfile.write(head.encode() + answer)
        self.wfile.flush()


def _template(stream: StandInStream, padding: int) -> bytes:
    """Return the bytes of a record, without its time, item and number."""
    images: dict[str, Any] = {
        "OldImage": {"id": {"S": "item"}, "n": {"N": "7"}, "p": {"S": "x" * padding}},
        "NewImage": {"id": {"S": "item"}, "n": {"N": "8"}, "p": {"S": "x" * padding}},
    }
    shown = images if stream.view == "NEW_AND_OLD_IMAGES" else {}
    return (
        '{"eventID":"1","eventName":"MODIFY","eventVersion":"1.1",'
        '"eventSource":"aws:dynamodb","awsRegion":"us-east-1","dynamodb":{'
        '"ApproximateCreationDateTime":%.1f,"Keys":{"id":{"S":"item-%d"}},'
        f"{json.dumps(shown)[1:-1]}{',' if shown else ''}"
        f'"SequenceNumber":"%d","SizeBytes":100,"StreamViewType":"{stream.view}"}}}}'
    ).encode()


@contextmanager
def serving(*streams: StandInStream) -> Iterator[StreamsServer]:
    """Serve the streams of tables for as long as the context lasts."""
    server = StreamsServer(*streams)
    try:
        yield server
    finally:
        server.close()


# --- a program ---------------------------------------------------------------------


def main() -> None:
    """Serve a stream that is full of records, or that fills."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=0)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--view", default="NEW_AND_OLD_IMAGES")
    parser.add_argument("--padding", type=int, default=0, help="bytes of an image")
    arguments = parser.parse_args()
    stream = StandInStream(view=arguments.view, shards=arguments.shards)
    for number in range(arguments.records):
        item = {"id": {"S": f"item-{number % arguments.items}"}, "n": {"N": "7"}}
        stream.put(item, old=item)
    for shard in stream.newest.shards:
        for record in shard.records:
            record.json()
    with serving(stream) as server:
        print(json.dumps({"port": server.port}), flush=True)
        for line in sys.stdin:
            rate, seconds = map(float, line.split())
            before = {each: stream.requests(each) for each in ACTIONS}
            written = _write(stream, rate, seconds, arguments)
            counts = {each: stream.requests(each) - before[each] for each in ACTIONS}
            print(json.dumps({"written": written, "counts": counts}), flush=True)


def _write(
    stream: StandInStream, rate: float, seconds: float, arguments: argparse.Namespace
) -> int:
    """Add records at a rate; return how many. Slower if the machine is."""
    template = _template(stream, arguments.padding)
    shards = stream.open_shards
    began, written = time.monotonic(), 0
    while (passed := time.monotonic() - began) < seconds:
        # A hundredth of a second's at a time: readers want the lock, too.
        for _ in range(min(int(rate * passed) - written, int(rate / 100) + 1)):
            # The bytes alone: to make records of them would take a whole processor.
            number = 2 * 10**21 + written
            item = written % arguments.items
            record = StoredRecord(number, {}, time.time(), is_shown=True)
            record.encoded(template % (record.created_at, item, number))
            shards[item % len(shards)].records.append(record)
            written += 1
        time.sleep(0.002)  # real: the rate is one of real time
    return written


if __name__ == "__main__":
    main()
