"""A program: moto's DynamoDB over HTTP, on a free port, which counts its requests.

Prints `{"port": ...}`. `GET /_counts` answers how often each operation was asked.
Ends when its standard input does, so that nothing outlives the tests.
"""

import json
import logging
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server


class _KeepAlive(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"


class Counting:
    """Counts operations by the header that names them, and passes them on."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app
        self._counts: Counter[str] = Counter()

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/_counts":
            start("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(self._counts).encode()]
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        self._counts[target.rpartition(".")[2]] += 1
        return self._app(environ, start)


def new_app() -> Counting:
    """Return moto's DynamoDB, with nothing in it.

    Itself, and not behind moto's choice of a service, a quarter of a call's time.
    """
    return Counting(create_backend_app("dynamodb"))


def serve(app: Callable[..., Iterable[bytes]]) -> None:
    """Serve until standard input ends."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_KeepAlive)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"port": server.port}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    serve(new_app())
