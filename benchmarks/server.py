"""A program: moto's DynamoDB behind Werkzeug's server, which can be filled quickly.

`GET /_fill?table=...&keys=...` puts items with the keys `key#0`, `key#1`, ... without a
request for each. See tests/support/moto_server.py for the rest. Its server takes less
time for a request, so figures of revisions that lack it could not be compared.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends
from moto.moto_server.werkzeug_app import create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from benchmarks.work import SMALL
from tests.support.moto_server import Counting, serve

REGION = "us-east-1"


class _KeepAlive(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"


def _threaded(app: Callable[..., Iterable[bytes]]) -> Any:
    """Return a server on a free port."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    return make_server("127.0.0.1", 0, app, threaded=True, request_handler=_KeepAlive)


class Filling:
    """Fills, and passes all other requests on."""

    def __init__(self, app: Counting) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        """Answer one request."""
        if environ["PATH_INFO"] != "/_fill":
            return self._app(environ, start)
        query = parse_qs(environ["QUERY_STRING"])
        backend = dynamodb_backends[DEFAULT_ACCOUNT_ID][REGION]
        for number in range(int(query["keys"][0])):
            item = {**SMALL, "pk": {"S": f"key#{number}"}}
            backend.put_item(query["table"][0], item)
        start("200 OK", [])
        return []


if __name__ == "__main__":
    serve(_threaded(Filling(Counting(create_backend_app("dynamodb")))))
