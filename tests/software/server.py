"""A program: moto's server, which does one thing after the other.

DynamoDB's writes are atomic; moto's are not, when threads ask it at the same time. A
transaction of its that is cancelled takes back what others have written meanwhile.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Any

from tests.support.moto_server import new_app, serve
from tests.support.wsgi_server import Server


class OneByOne:
    """Passes requests on, one at a time."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        with self._lock:
            return list(self._app(environ, start))


if __name__ == "__main__":
    serve(Server(OneByOne(new_app())))
