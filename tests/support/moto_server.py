"""A program: moto's DynamoDB over HTTP, on a free port, which counts its requests.

Prints `{"port": ...}`. `GET /_counts` answers how often each operation was called.
Ends when its standard input does, so that nothing outlives the tests.
"""

import json
import logging
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    create_backend_app,
)
from werkzeug.serving import WSGIRequestHandler, make_server


class _KeepAlive(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"


_App: TypeAlias = "Callable[[dict[str, Any], Any], Iterable[bytes]]"


class Counting:
    """Counts operations by the header that names them, and passes them on."""

    def __init__(self, app: _App) -> None:
        self._app = app
        self._counts: Counter[str] = Counter()

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/_counts":
            start("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(self._counts).encode()]
        self._counts[_target(environ).rpartition(".")[2]] += 1
        return self._app(environ, start)


def new_app() -> Counting:
    """Return moto, with nothing in it."""
    return Counting(_moto())


def _moto() -> _App:
    """Return moto without its search for a service, where that is plainly DynamoDB.

    It costs a quarter of a call.
    """
    any_service = DomainDispatcherApplication(create_backend_app)
    dynamodb = create_backend_app("dynamodb")

    def app(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        is_plain = "HTTP_AUTHORIZATION" in environ and _target(environ).startswith(
            "DynamoDB_"
        )
        answer: Iterable[bytes] = (dynamodb if is_plain else any_service)(
            environ, start
        )
        return answer

    return app


def _target(environ: dict[str, Any]) -> str:
    target: str = environ.get("HTTP_X_AMZ_TARGET", "")
    return target


def serve(app: _App) -> None:
    """Serve until standard input ends."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_KeepAlive)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"port": server.port}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    serve(new_app())
