"""gunicorn's configuration for the service; see test_gunicorn.py.

A file of its own: gunicorn imports it in its parent process, and the service must be
imported there only with `--preload`.
"""

import os
from typing import Any


def post_fork(server: object, worker: object) -> None:
    """Set OpenTelemetry's provider, in each worker."""
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
    """Forget the gauges of a worker that has ended."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
