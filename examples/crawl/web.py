"""What the demo's two small HTTP servers share: the site's and the graph service's.

Keep-alive, no delay for small answers, no line per request, a quiet end of a
connection that its caller has left. What is served is theirs.
"""

from __future__ import annotations

import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class WebHandler(BaseHTTPRequestHandler):
    """One kept-alive connection; subclasses answer with `send`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def send(self, status: HTTPStatus, content_type: str, data: bytes) -> None:
        """Send a whole answer."""
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Write no line per request."""


class WebServer(ThreadingHTTPServer):
    """A server on a free port of this machine, a thread for each connection."""

    request_queue_size = 64

    def __init__(self, handler: type[WebHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)

    # The base class names what it passes on only as "request".
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report what went wrong, unless it is only that the caller has gone."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)
