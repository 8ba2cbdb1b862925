"""A DynamoDB on this machine that throttles reads: moto behind provisioned capacity.

Owns the HTTP side: moto's WSGI application, and in front of it what moto leaves out,
the enforcement of ProvisionedThroughput for GetItem and Query. Other operations pass
through. The arithmetic is in `capacity.py`, the bookkeeping in `meter.py`.

    GET  /_meter         the recording as JSON
    POST /_meter/reset   begin a new recording with full buckets
"""

from __future__ import annotations

import argparse
import io
import json
import threading
import time
import uuid
import zlib
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from capacity import item_size, read_units
from meter import Meter
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    create_backend_app,
)
from process import serve_until_parent_ends
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

BUCKET_SECONDS = 1.0
METERED_READS = ("GetItem", "Query")
JSON_TYPE = "application/x-amz-json-1.0"
THROTTLED = {
    "__type": (
        "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"
    ),
    "message": (
        "The level of configured provisioned throughput for the table was exceeded. "
        "Consider increasing your provisioning level with the UpdateTable API."
    ),
}


class ReadCapacityFront:
    """WSGI middleware that meters what reaches DynamoDB and throttles its reads."""

    def __init__(self, app: WSGIApplication, meter: Meter) -> None:
        self._app = app
        self._meter = meter
        # moto's tables are plain dicts without locks; one request at a time.
        self._lock = threading.Lock()

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer one HTTP request."""
        return self._respond(Request(environ))(environ, start_response)

    def _respond(self, request: Request) -> Response:
        if request.path == "/_meter":
            return _json(self._meter.report())
        if request.path == "/_meter/reset":
            self._meter.reset()
            return _json({})
        operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        self._meter.count(operation)
        body = request.get_data()
        if operation in METERED_READS:
            return self._read(json.loads(body), request, body)
        response = self._forward(request, body)
        if operation == "CreateTable" and response.status_code == HTTPStatus.OK:
            self._provision(json.loads(body))
        return response

    def _read(
        self, parameters: dict[str, Any], request: Request, body: bytes
    ) -> Response:
        table = parameters["TableName"]
        if not self._meter.admits(table):
            return _throttled()
        response = self._forward(request, body)
        if response.status_code == HTTPStatus.OK:
            consistent = parameters.get("ConsistentRead", False)
            sizes = map(item_size, _items(json.loads(response.get_data())))
            self._meter.charge(table, read_units(sizes, consistent=consistent))
        return response

    def _provision(self, parameters: dict[str, Any]) -> None:
        rate = parameters.get("ProvisionedThroughput", {}).get("ReadCapacityUnits")
        if rate:
            self._meter.provision(parameters["TableName"], float(rate))

    def _forward(self, request: Request, body: bytes) -> Response:
        environ = {**request.environ, "wsgi.input": io.BytesIO(body)}
        with self._lock:
            return Response.from_app(self._app, environ, buffered=True)


class QuietHandler(WSGIRequestHandler):
    """werkzeug's handler without a log line per request, and without Nagle's delay."""

    disable_nagle_algorithm = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Write nothing."""


def _items(answer: dict[str, Any]) -> list[Any]:
    """Return the items of a GetItem's or a Query's answer."""
    if "Items" in answer:
        return list(answer["Items"])
    return [answer["Item"]] if "Item" in answer else []


def _json(value: object) -> Response:
    return Response(json.dumps(value), content_type="application/json")


def _throttled() -> Response:
    body = json.dumps(THROTTLED).encode()
    headers = {
        "x-amzn-RequestId": str(uuid.uuid4()),
        "x-amz-crc32": str(zlib.crc32(body)),
    }
    return Response(
        body, status=HTTPStatus.BAD_REQUEST, headers=headers, content_type=JSON_TYPE
    )


def main() -> None:
    """Serve on a free port of this machine until the parent process ends."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--burst-seconds", type=float, default=5.0)
    arguments = parser.parse_args()
    meter = Meter(
        burst_seconds=arguments.burst_seconds,
        bucket_seconds=BUCKET_SECONDS,
        clock=time.monotonic,
    )
    app = ReadCapacityFront(DomainDispatcherApplication(create_backend_app), meter)
    server = make_server(
        "127.0.0.1", 0, app, threaded=True, request_handler=QuietHandler
    )
    serve_until_parent_ends(server)


if __name__ == "__main__":
    main()
