"""Tracers wrap botocore's method, and see hits unless the user excludes them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.instrumentation.botocore import BotocoreInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.integration.app import World, get, put, set_n


@contextmanager
def tracing() -> Iterator[InMemorySpanExporter]:
    """Trace with OpenTelemetry's instrumentation of botocore."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor: Any = BotocoreInstrumentor()  # type: ignore[no-untyped-call]
    instrumentor.instrument(tracer_provider=provider)
    yield exporter
    instrumentor.uninstrument()
    provider.shutdown()


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """Return the spans of what is traced."""
    with tracing() as exporter:
        yield exporter


def names(spans: InMemorySpanExporter) -> list[str]:
    """Return the names of the spans since the last call of this function."""
    found = [span.name for span in spans.get_finished_spans()]
    spans.clear()
    return found


def read(client: Any, table: str, times: int) -> None:
    """Read an item so many times."""
    for _ in range(times):
        assert get(client, table, pk="a") == {"pk": "a", "n": 1}


@pytest.fixture
def full_table(world: World) -> str:
    """Return a table with an item."""
    table = world.table("pk:S")
    put(world.outside, table, pk="a", n=1)
    return table


def test_each_near_hit_is_a_span_as_a_hit_through_the_hooks_is(
    spans: InMemorySpanExporter, world: World, full_table: str
) -> None:
    for near in ("on", "off"):
        client = world.cached_client(near=near)
        names(spans)
        read(client, full_table, 4)
        assert names(spans) == ["DynamoDB.GetItem"] * 4


def test_with_near_untraced_only_misses_and_writes_are_spans(
    spans: InMemorySpanExporter, world: World, full_table: str
) -> None:
    client = world.cached_client(near="untraced")
    read(client, full_table, 1)
    set_n(client, full_table, 1, pk="a")
    names(spans)
    with world.counting() as reached:
        read(client, full_table, 4)
    assert reached["GetItem"] == 1
    assert names(spans) == ["DynamoDB.GetItem"]
    set_n(client, full_table, 1, pk="a")
    assert names(spans) == ["DynamoDB.UpdateItem"]


def test_tracing_may_begin_and_end_while_a_client_is_in_use(
    world: World, full_table: str
) -> None:
    client = world.cached_client()
    read(client, full_table, 3)
    with tracing() as exporter:
        read(client, full_table, 2)
    assert names(exporter) == ["DynamoDB.GetItem"] * 2
    read(client, full_table, 2)
    assert names(exporter) == []
