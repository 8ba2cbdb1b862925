"""What several workers of gunicorn export is what they were asked to read."""

import contextlib
import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from prometheus_client.parser import text_string_to_metric_families

from tests.support.dynamodb import DynamoDB
from tests.support.processes import TIMEOUT, eventually

ROOT = Path(__file__).parents[3]
WORKERS = 2
SERVICE = "tests.integration.observe.service"
CONFIG = "tests.integration.observe.gunicorn_config"


class Collector:
    """A collector of OpenTelemetry: keeps the last points of each process."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v1/metrics"
        self.points: dict[tuple[str, ...], Any] = {}

    def add(self, request: ExportMetricsServiceRequest) -> None:
        """Note the points; they are cumulative."""
        for of_resource in request.resource_metrics:
            process = _attributes(of_resource.resource)["service.instance.id"]
            for of_scope in of_resource.scope_metrics:
                for metric in of_scope.metrics:
                    for point in (
                        *metric.sum.data_points,
                        *metric.histogram.data_points,
                    ):
                        labels = _attributes(point)
                        key = (process, metric.name, *sorted(labels.values()))
                        self.points[key] = (labels, point)

    def requests(self) -> Counter[str]:
        """Return the reads of all processes by result and tier."""
        counts: Counter[str] = Counter()
        for (_, name, *_), (labels, point) in list(self.points.items()):
            if name == "botocache.requests":
                assert labels["db.operation.name"] == "GetItem"
                result = f"{labels['result']} {labels.get('tier', '')}"
                counts[result] += int(point.as_double or point.as_int)
        return +counts

    def timed_misses(self) -> int:
        """Return how many misses the histograms of all processes have."""
        return sum(
            point.count
            for (_, name, *_), (labels, point) in list(self.points.items())
            if name == "botocache.request.duration" and labels["result"] == "miss"
        )


@contextlib.contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            collector.add(ExportMetricsServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(server.server_port)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _attributes(holder: Any) -> dict[str, str]:
    return {
        each.key: each.value.string_value
        or ",".join(value.string_value for value in each.value.array_value.values)
        for each in holder.attributes
    }


class Service:
    """A running gunicorn."""

    def __init__(self, port: int, process: "subprocess.Popen[bytes]") -> None:
        self._port = port
        self._process = process

    def get(self, path: str) -> bytes:
        url = f"http://127.0.0.1:{self._port}{path}"
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
            body: bytes = answer.read()
            return body

    def is_up(self) -> bool:
        with contextlib.suppress(OSError):
            self.get("/read?n=0")
            return True
        return False

    def read_in_all_workers(self) -> int:
        """Read until all workers have; return how many reads there were."""
        pids: set[int] = set()
        reads = 0
        # All: gunicorn does not end a worker that is still being started.
        while len(pids) < WORKERS:
            pids.add(json.loads(self.get("/read?n=20")))
            reads += 20
        return reads

    def scraped(self) -> Counter[str]:
        """Return the reads by result and tier, as Prometheus sees them."""
        with contextlib.suppress(HTTPError):  # a file that is just being made
            return reads_in(self.get("/metrics").decode())
        return Counter()

    def stop(self) -> None:
        """End it as gunicorn is ended."""
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(TIMEOUT) == 0


def reads_in(text: str) -> Counter[str]:
    """Return the reads by result and tier of an exposition."""
    return +Counter(
        {
            f"{sample.labels['result']} {sample.labels['tier']}": int(sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "botocache_requests_total"
        }
    )


def reads_in_files(directory: Path) -> Counter[str]:
    """Return the reads by result and tier of what the processes left behind."""
    program = f"""
from prometheus_client import CollectorRegistry, generate_latest, multiprocess
registry = CollectorRegistry()
multiprocess.MultiProcessCollector(registry, {str(directory)!r})
print(generate_latest(registry).decode())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return reads_in(done.stdout)


@contextlib.contextmanager
def running_service(variables: dict[str, str], *options: str) -> Iterator[Service]:
    """Run the service with several workers."""
    # Bound here, so that no other test takes the port meanwhile.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        descriptor = listener.fileno()
        command = [
            *(sys.executable, "-m", "gunicorn", f"{SERVICE}:app"),
            *("--config", f"python:{CONFIG}", "--workers", str(WORKERS)),
            *("--bind", f"fd://{descriptor}", "--log-level", "warning"),
            *("--no-control-socket", *options),
        ]
        with subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **variables},
            pass_fds=[descriptor],
            stdin=subprocess.DEVNULL,
        ) as process:
            service = Service(listener.getsockname()[1], process)
            try:
                eventually(service.is_up)
                yield service
            finally:
                process.terminate()
                process.wait(TIMEOUT)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--preload"], id="preload"),
        pytest.param([], id="lazy", marks=pytest.mark.long("two forks are alike")),
    ],
)
def test_the_workers_export_each_read_once(
    options: list[str], dynamodb: DynamoDB, tmp_path: Path
) -> None:
    table = dynamodb.create_table("pk:S")
    dynamodb.client().put_item(TableName=table, Item={"pk": {"S": "a"}})
    directory = tmp_path / "prometheus"
    directory.mkdir()
    with collecting() as collector:
        variables = {
            "AWS_ENDPOINT_URL_DYNAMODB": dynamodb.url,
            "BOTOCACHE_METRICS": "otel,prometheus",
            "BOTOCACHE_STATS_INTERVAL": "0.2",
            "BOTOCACHE_URL": f"disk://{tmp_path}/cache",
            "COLLECTOR": collector.url,
            "PROMETHEUS_MULTIPROC_DIR": str(directory),
            "TABLE": table,
        }
        before = dynamodb.counts()["GetItem"]
        with running_service(variables, *options) as service:
            reads = service.read_in_all_workers()
            at_start = 1 if options else WORKERS
            eventually(lambda: service.scraped().total() == reads + at_start)
            misses = dynamodb.counts()["GetItem"] - before
            scraped = service.scraped()
            assert scraped["miss "] == misses
            assert scraped["hit near"] > reads - 10 * WORKERS
            # A parent that preloads reads, too, but sends nothing to the collector.
            elsewhere = 1 if options else 0
            eventually(
                lambda: collector.requests().total() == reads + at_start - elsewhere
            )
            assert collector.requests()["miss "] == misses - elsewhere
            assert collector.timed_misses() == misses - elsewhere
            # What comes last is exported by the end of the processes.
            service.get("/read?n=7")
            service.stop()
        expected = scraped + Counter({"hit near": 7})
        assert reads_in_files(directory).total() == expected.total()
        eventually(lambda: collector.requests().total() == expected.total() - elsewhere)
