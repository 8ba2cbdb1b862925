"""A DynamoDB that refuses whom it is told to refuse, over HTTP in this process.

It knows a few items, and reads alone. Everything else is answered with an empty object.
"""

import json
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

_KEY_ID = re.compile(r"Credential=([^/]+)/")


class Refusal(NamedTuple):
    """An answer in the place of items. code: of the error."""

    code: str = "AccessDeniedException"
    status: int = 400
    prefix: str = "com.amazon.coral.service#"


class RefusingServer:
    """The server.

    url: its endpoint.
    asked: how many requests came, by access key id and operation.
    refuses: returns how to refuse an access key id an operation; None to answer it.
    value: the number that each item has as its attribute `n`.
    is_empty: whether there is no item.
    before_answer: called with the operation once a request was carried out.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: Counter[tuple[str, str]] = Counter()
        self.refuses: Callable[[str, str], Refusal | None]
        self.before_answer: Callable[[str], None]
        self.reset()

    def reset(self) -> None:
        """Be as a new one: for the next test."""
        self.value, self.is_empty = "0", False
        self.refuses = lambda _key, _what: None
        self.before_answer = lambda _what: None
        self.asked.clear()

    def refuse(self, *key_ids: str, refusal: Refusal | None = None) -> None:
        """Refuse these access key ids everything, and no other."""
        answer = refusal or Refusal()
        self.refuses = lambda key, _what: answer if key in key_ids else None

    def answer(self, key_id: str, what: str, body: Any) -> tuple[int, Any]:
        """Return status and body of an answer."""
        self.asked[key_id, what] += 1
        refusal = self.refuses(key_id, what)
        status, answer = 200, None
        if refusal is None:
            found = _nothing if self.is_empty else _answers.get(what, _nothing)
            make: Callable[[Any], Any] = found
            answer = _with_value(make(body), {"N": self.value})
        elif what == "BatchExecuteStatement":
            error = {"Code": "AccessDenied", "Message": "refused"}
            answer = {"Responses": [{"Error": error} for _ in body["Statements"]]}
        else:
            status = refusal.status
            answer = {"__type": refusal.prefix + refusal.code, "message": "refused"}
        self.before_answer(what)
        return status, answer


def _nothing(_body: Any) -> dict[str, Any]:
    return {}


def _item(key: Any) -> dict[str, Any]:
    return {**key, "secret": {"S": "of the table"}}


def _with_value(answer: Any, value: Any) -> Any:
    """Give the items of an answer their attribute `n`."""
    for each in (answer.get("Item"), *answer.get("Items", ())):
        if each is not None:
            each["n"] = value
    return answer


def _page(_body: Any) -> dict[str, Any]:
    return {"Items": [_item({"pk": {"S": "a"}})], "Count": 1, "ScannedCount": 1}


def _batch(body: Any) -> dict[str, Any]:
    found = {
        table: [_item(key) for key in part["Keys"]]
        for table, part in body["RequestItems"].items()
    }
    return {"Responses": found, "UnprocessedKeys": {}}


def _transaction(body: Any) -> dict[str, Any]:
    gets = [each["Get"] for each in body["TransactItems"]]
    return {"Responses": [{"Item": _item(each["Key"])} for each in gets]}


_answers: dict[str, Callable[[Any], Any]] = {
    "BatchExecuteStatement": lambda body: {
        "Responses": [{} for _ in body["Statements"]]
    },
    "BatchGetItem": _batch,
    "GetItem": lambda body: {"Item": _item(body["Key"])},
    "Query": _page,
    "Scan": _page,
    "TransactGetItems": _transaction,
}


@contextmanager
def refusing_server() -> Iterator[RefusingServer]:
    """Run a server for as long as the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            connections.add(self.connection)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found = _KEY_ID.search(self.headers.get("Authorization", ""))
            what = self.headers["X-Amz-Target"].rpartition(".")[2]
            status, answer = made.answer(found[1] if found else "", what, body)
            sent = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_: Any) -> None:
            """Write nothing."""

    connections: set[socket.socket] = set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made = RefusingServer(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        # Clients keep theirs open. Each would leave a thread behind.
        for connection in connections:
            with suppress(OSError):  # its client has closed it
                connection.shutdown(socket.SHUT_RDWR)
