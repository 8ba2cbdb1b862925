"""A program: moto's DynamoDB over HTTP, which takes its time and counts its requests.

Each request first waits `--latency-ms`, together with others; then moto answers one
after the other. It prints where it listens.

    GET  /_counts   requests by operation, since this was last asked
"""

import argparse
import io
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    create_backend_app,
)
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response


class SlowFront:
    """WSGI middleware that counts what reaches DynamoDB, and lets it wait."""

    def __init__(self, app: Any, latency: float) -> None:
        self._app = app
        self._latency = latency
        self._counts: Counter[str] = Counter()
        # moto's tables are plain dicts without locks; one request at a time.
        self._lock = threading.Lock()

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer one HTTP request."""
        return self._respond(Request(environ))(environ, start_response)

    def _respond(self, request: Request) -> Response:
        if request.path == "/_counts":
            with self._lock:
                counts, self._counts = self._counts, Counter()
            return Response(json.dumps(counts), content_type="application/json")
        operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        body = io.BytesIO(request.get_data())
        time.sleep(self._latency)
        with self._lock:
            self._counts[operation] += 1
            environ = {**request.environ, "wsgi.input": body}
            return Response.from_app(self._app, environ, buffered=True)


class QuietHandler(WSGIRequestHandler):
    """werkzeug's handler without a log line per request, and without Nagle's delay."""

    disable_nagle_algorithm = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Write nothing."""


def main() -> None:
    """Serve on a free port of this machine."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--latency-ms", type=float, required=True)
    latency = parser.parse_args().latency_ms / 1000
    app = SlowFront(DomainDispatcherApplication(create_backend_app), latency)
    server = make_server(
        "127.0.0.1", 0, app, threaded=True, request_handler=QuietHandler
    )
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
