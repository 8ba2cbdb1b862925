"""What the cache takes of a service with many threads; docs/how-to/workers.md tells it.

The service is a process of its own (long_run.py), so that it can measure itself.
"""

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest

from tests.integration.long_run import AT_A_TIME, THREADS
from tests.support.places import ROOT
from tests.support.valkey_server import ValkeyServer

SECONDS = 120
"""After which the service is ended; it needs a few."""

MEMORY = 8 * 1024
"""KiB by which a process may grow while 800 threads come and go: for the allocator."""

OWN_FILES = 4
"""Descriptors without the cache: three streams, and the one that lists the others."""


class Bound(NamedTuple):
    """What the cache may take with one store, as docs/how-to/workers.md has it.

    files: descriptors.
    threads: while many threads are at work.
    threads_at_rest: when they have ended, and no entries have come for a while.
    hits_per_thread: at least.
    """

    files: int
    threads: int
    threads_at_rest: int
    hits_per_thread: float


BOUNDS = {
    # Eight connections to SQLite, the index of its log, and the table of generations.
    # Threads that open SQLite, write entries and post; at rest the last one alone.
    "disk": Bound(2 * 8 + 2, 3, 1, 3),
    "memory": Bound(0, 1, 1, 3),
    # Two for each thread at work: its connection, and one that is made meanwhile.
    "redis": Bound(2 * AT_A_TIME, AT_A_TIME, 2, 0.5),
}


class _Items(http.server.BaseHTTPRequestHandler):
    """As little of DynamoDB as the service needs: GetItem and PutItem by `id`."""

    protocol_version = "HTTP/1.1"
    items: ClassVar[dict[str, Any]] = {}

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        answer: dict[str, Any] = {}
        if self.headers["x-amz-target"].endswith(".PutItem"):
            self.items[body["Item"]["id"]["S"]] = body["Item"]
        elif item := self.items.get(body["Key"]["id"]["S"]):
            answer = {"Item": item}
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/x-amz-json-1.0")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    request_queue_size = 2 * AT_A_TIME
    daemon_threads = True


@pytest.fixture
def items() -> Iterator[str]:
    """The URL of a fresh DynamoDB."""
    _Items.items.clear()
    with _Server(("127.0.0.1", 0), _Items) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def urls(tmp_path: Path, valkey: ValkeyServer) -> dict[str, str]:
    return {
        "disk": f"disk://{tmp_path}/cache",
        "memory": "memory:",
        "redis": valkey.url,
    }


def report_of(items: str, store: str, mode: str) -> Any:
    """Run the service; return its report."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.integration.long_run", items, store, mode],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    print(ran.stdout)
    return json.loads(ran.stdout)


@pytest.mark.long("a thousand threads")
@pytest.mark.parametrize("store", BOUNDS)
def test_a_thousand_threads_leave_nothing_behind(
    items: str, urls: dict[str, str], store: str
) -> None:
    bound = BOUNDS[store]
    report = report_of(items, urls[store], "on")
    assert report["wrong"] == []
    assert report["hits"] >= bound.hits_per_thread * THREADS
    for moment in ("before", "most", "after"):
        assert report[moment]["files"] <= OWN_FILES + bound.files
        assert report[moment]["threads"] <= bound.threads
    assert report["after"]["threads"] <= bound.threads_at_rest
    assert report["after"]["memory"] - report["before"]["memory"] <= MEMORY


@pytest.mark.parametrize("store", BOUNDS)
def test_idle_threads_leave_an_application_its_descriptors(
    items: str, urls: dict[str, str], store: str
) -> None:
    report = report_of(items, urls[store], "idle")
    assert report["wrong"] == []
    assert report["files"] <= OWN_FILES + BOUNDS[store].files
