"""A program: moto's DynamoDB over HTTP, on a free port, which counts its requests.

Prints `{"port": ...}`. `GET /_counts` answers how often each operation was called.
Ends when its standard input does, so that nothing outlives the tests.
"""

import functools
import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from moto.core import responses
from moto.core.request import Request
from moto.core.utils import method_names_from_class
from moto.dynamodb.responses import DynamoHandler
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    create_backend_app,
)

from tests.support.wsgi_server import Server

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
    """Return moto without its search for a service, where that is plainly DynamoDB."""
    any_service = DomainDispatcherApplication(create_backend_app)
    # moto lists them for each request, which is an eighth of the time it takes.
    names = functools.cache(method_names_from_class)
    vars(responses)["method_names_from_class"] = names

    def app(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        is_plain = "HTTP_AUTHORIZATION" in environ and _target(environ).startswith(
            "DynamoDB_"
        )
        answer: Iterable[bytes] = (_dynamodb if is_plain else any_service)(
            environ, start
        )
        return answer

    return app


def _dynamodb(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
    """Answer as moto's application in Flask does, at two thirds of the time."""
    request = Request(environ)
    status, headers, body = DynamoHandler.dispatch(request)
    start(f"{status} of moto", [(name, str(value)) for name, value in headers.items()])
    return [body.encode() if isinstance(body, str) else body]


def _target(environ: dict[str, Any]) -> str:
    target: str = environ.get("HTTP_X_AMZ_TARGET", "")
    return target


def serve(server: Any) -> None:
    """Serve until standard input ends. server: has a `port` and `serve_forever()`."""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"port": server.port}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    serve(Server(new_app()))
