"""How the crawler speaks HTTP: pages from the site, requests to the graph service.

Each worker has its own `GraphClient` and `SiteClient` (one kept-alive connection
each); all share one `Record` of how the graph service answered.
"""

from __future__ import annotations

import http.client
import json
import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from http import HTTPStatus
from typing import Any
from urllib.parse import urldefrag, urljoin

TIMEOUT = 60.0


class Record:
    """Latency of every graph request, and how many failed. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: list[float] = []
        self._failed = 0

    def add(self, seconds: float, *, failed: bool) -> None:
        """Note one request that has ended."""
        with self._lock:
            self._seconds.append(seconds)
            self._failed += failed

    def summary(self) -> dict[str, float]:
        """Return counts and latencies (ms, nearest rank) so far."""
        with self._lock:
            seconds, failed = sorted(self._seconds), self._failed
        return {
            "requests": len(seconds),
            "failed": failed,
            "p50_ms": 1000 * _percentile(seconds, 0.50),
            "p99_ms": 1000 * _percentile(seconds, 0.99),
        }


class GraphClient:
    """Posts to the graph service. One thread's; failures are recorded, not raised."""

    def __init__(self, port: int, record: Record) -> None:
        self._connection = _connect(port)
        self._record = record

    def warm_up(self) -> None:
        """Open the connection, so that no request is charged for that."""
        self._connection.request("GET", "/health")
        self._connection.getresponse().read()

    def post(
        self, path: str, api_key: str, body: Mapping[str, object]
    ) -> tuple[int, dict[str, Any]]:
        """Return status and answer; status 0 if there was none."""
        began = time.perf_counter()
        try:
            status, answer = self._post(path, api_key, body)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            status, answer = 0, {"error": str(error)}
        failed = status not in (HTTPStatus.OK, HTTPStatus.FORBIDDEN)
        self._record.add(time.perf_counter() - began, failed=failed)
        return status, answer

    def _post(
        self, path: str, api_key: str, body: Mapping[str, object]
    ) -> tuple[int, dict[str, Any]]:
        headers = {"Content-Type": "application/json", "X-Api-Key": api_key}
        self._connection.request("POST", path, json.dumps(body), headers)
        response = self._connection.getresponse()
        return response.status, json.loads(response.read())


@dataclass(frozen=True, slots=True)
class Page:
    """What the crawler wants to know of a page."""

    url: str
    title: str
    links: tuple[str, ...]


class SiteClient:
    """Fetches pages of the one site that is crawled. One thread's."""

    def __init__(self, port: int) -> None:
        self.root = f"http://127.0.0.1:{port}"
        self._connection = _connect(port)

    def fetch(self, url: str) -> Page:
        """Return the page; its links are absolute and each is named once."""
        self._connection.request("GET", url.removeprefix(self.root))
        reader = _PageReader()
        reader.feed(self._connection.getresponse().read().decode())
        absolute = (urldefrag(urljoin(url, link)).url for link in reader.links)
        return Page(url, reader.title, tuple(dict.fromkeys(absolute)))


class _PageReader(HTMLParser):
    """Collects the title and the targets of the links."""

    def __init__(self) -> None:
        super().__init__()
        self.title = ""
        self.links: list[str] = []
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_title = tag == "title"
        if tag == "a":
            self.links += [value for name, value in attrs if name == "href" and value]

    def handle_endtag(self, tag: str) -> None:
        self._in_title = self._in_title and tag != "title"

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data


def _connect(port: int) -> http.client.HTTPConnection:
    # Not urllib.request: it would send these through the user's HTTP proxy.
    return http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)


def _percentile(ordered: list[float], fraction: float) -> float:
    return ordered[math.ceil(fraction * len(ordered)) - 1] if ordered else 0.0
