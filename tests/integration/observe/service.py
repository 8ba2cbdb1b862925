"""A WSGI service, whose workers gunicorn runs: it reads an item, and shows metrics.

Also gunicorn's configuration. `BOTOCACHE_METRICS` and the other settings come from the
environment; the test's collector is at `COLLECTOR`.
"""

import json
import os
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

import boto3
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    generate_latest,
    multiprocess,
)

import botocache

TABLE = os.environ.get("TABLE", "")

cache = botocache.install()
users = boto3.Session("AKIATEST", "secret", region_name="us-east-1").client("dynamodb")
users.get_item(TableName=TABLE, Key={"pk": {"S": "a"}})  # in the parent, if it preloads


def app(environ: dict[str, Any], start: Callable[..., object]) -> Iterable[bytes]:
    """Read `n` times and return the worker's pid; or return the metrics."""
    if environ["PATH_INFO"] == "/metrics":
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        start("200 OK", [("Content-Type", CONTENT_TYPE_LATEST)])
        return [generate_latest(registry)]
    for _ in range(int(parse_qs(environ["QUERY_STRING"])["n"][0])):
        users.get_item(TableName=TABLE, Key={"pk": {"S": "a"}})
    start("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(os.getpid()).encode()]


def post_fork(server: object, worker: object) -> None:
    """Set OpenTelemetry's providers, in each worker: gunicorn calls this."""
    from opentelemetry import metrics
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (
        OTLPMetricExporter,
    )
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource

    reader = PeriodicExportingMetricReader(
        OTLPMetricExporter(os.environ["COLLECTOR"]), export_interval_millis=300
    )
    resource = Resource.create({"service.instance.id": str(os.getpid())})
    metrics.set_meter_provider(MeterProvider([reader], resource=resource))


def child_exit(server: object, worker: Any) -> None:
    """Forget the gauges of a worker that has ended: gunicorn calls this."""
    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
