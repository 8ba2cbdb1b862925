"""A WSGI service, whose workers gunicorn runs: it reads an item, and shows metrics.

`BOTOCACHE_METRICS` and the other settings come from the environment.
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
