"""A program: moto's DynamoDB as tests/support has it, made right and made slow.

One request is carried out at a time: moto takes no lock, and rolls a whole table back
when a transaction is refused. Some requests take long to arrive, some answers to leave,
so that they overlap and overtake each other. Some answers are a server error, whether
the request was carried out or not. For a while every few seconds, most reads are
refused for lack of capacity.
"""

import random
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from werkzeug.exceptions import ClientDisconnected

from tests.support.moto_server import new_app, serve
from tests.support.wsgi_server import Server

_SLOW = 0.3
"""How many requests take their time to arrive, and answers to leave."""

_LONGEST = 0.02
"""Seconds that one may take."""

_FAILING = 0.003
"""How many requests end in a server error."""


_CYCLE, _BUSY = 3.0, 0.5
"""Seconds, and for how many of them reads are throttled."""

_THROTTLED = 0.7
"""How many of them."""

_READS = {"GetItem", "Query", "Scan", "BatchGetItem"}

_ERROR = b'{"__type": "InternalServerError", "message": "on purpose"}'

_REFUSAL = (
    b'{"__type": "com.amazonaws.dynamodb.v20120810#'
    b'ProvisionedThroughputExceededException", "message": "on purpose"}'
)


class Slow:
    """Delays, fails, and passes on one at a time."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app
        self._turn = threading.Lock()

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        operation = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
        if operation in _READS and _is_throttled():
            return _refusal(start)
        is_operation = bool(operation)
        fails = is_operation and random.random() < _FAILING
        if fails and random.random() < 0.5:
            return _server_error(start)
        _dawdle()
        try:
            with self._turn:
                answer = self._app(environ, _ignored if fails else start)
        except ClientDisconnected:  # a call was cancelled while it was sent
            return _server_error(start)
        _dawdle()
        return _server_error(start) if fails else answer


def _is_throttled() -> bool:
    is_busy = time.monotonic() % _CYCLE < _BUSY
    return is_busy and random.random() < _THROTTLED


def _dawdle() -> None:
    if random.random() < _SLOW:
        time.sleep(random.uniform(0.0, _LONGEST))  # real: the network is slow


def _ignored(*_: object) -> None:
    """Ignore the status of an answer that is not sent."""


def _server_error(start: Any) -> Iterable[bytes]:
    return _answer(start, "500 Internal Server Error", _ERROR)


def _refusal(start: Any) -> Iterable[bytes]:
    return _answer(start, "400 Bad Request", _REFUSAL)


def _answer(start: Any, status: str, body: bytes) -> Iterable[bytes]:
    headers = [
        ("Content-Type", "application/x-amz-json-1.0"),
        ("Content-Length", str(len(body))),
    ]
    start(status, headers)
    return [body]


if __name__ == "__main__":
    serve(Server(Slow(new_app())))
