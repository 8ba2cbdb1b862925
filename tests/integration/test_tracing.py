"""Tracers wrap botocore's method, and see hits unless the user excludes them."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from opentelemetry.instrumentation.botocore import BotocoreInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, use_span

from tests.integration.app import World, get, put, set_n
from tests.support.network import intercepted


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


# --- hits in spans -------------------------------------------------------------------


@contextmanager
def span_of_application(exporter: InMemorySpanExporter) -> Iterator[None]:
    """Begin a span of the application's own."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("application").start_as_current_span("work"):
        yield


def traced_client(world: World, near: str) -> Any:
    """Return a client whose hits show in spans."""
    return world.cached_client(near=near, metrics="otel")


def shown(span: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return what a span says of hits: its events, and its own attributes."""
    own = {
        name: value
        for name, value in span.attributes.items()
        if name.startswith("botocache.")
    }
    events = [(event.name, dict(event.attributes)) for event in span.events]
    return [*events, *([("attributes", own)] if own else [])]


@pytest.mark.parametrize("near", ["on", "off"])
def test_a_hit_is_an_event_of_the_application_s_span(
    world: World, full_table: str, near: str
) -> None:
    client = traced_client(world, near)
    exporter = InMemorySpanExporter()
    with span_of_application(exporter):
        read(client, full_table, 1)  # a miss
        world.clock.advance(7)
        read(client, full_table, 3)
    [span] = exporter.get_finished_spans()
    of_table = {
        "aws.dynamodb.table_names": (full_table,),
        "db.operation.name": "GetItem",
        "botocache.result": "hit",
        "botocache.age": 7,
    }
    tiers = ["store", "near", "near"] if near == "on" else ["store"] * 3
    assert shown(span) == [
        ("botocache.hit", {**of_table, "botocache.tier": tier}) for tier in tiers
    ]


@pytest.mark.parametrize("near", ["on", "off", "untraced"])
def test_a_hit_shows_in_the_span_that_the_instrumentation_began_for_it(
    spans: InMemorySpanExporter, world: World, full_table: str, near: str
) -> None:
    client = traced_client(world, near)
    read(client, full_table, 1)
    spans.clear()
    exporter = InMemorySpanExporter()
    with span_of_application(exporter):
        read(client, full_table, 2)
    of_hits = [shown(span) for span in spans.get_finished_spans()]
    [own] = exporter.get_finished_spans()
    if near == "untraced":  # then no span of the instrumentation is there
        assert of_hits == []
        assert [name for name, _ in shown(own)] == ["botocache.hit"] * 2
        return
    hit = {"botocache.result": "hit", "botocache.tier": "store", "botocache.age": 0}
    assert of_hits == [[("attributes", hit)]] * 2
    assert shown(own) == []


@pytest.mark.parametrize("near", ["on", "off"])
def test_a_stale_answer_shows_in_the_span_of_its_request(
    spans: InMemorySpanExporter, world: World, full_table: str, near: str
) -> None:
    client = world.cached_client(
        near=near, metrics="otel", ttl=60, stale_if_throttled=30
    )
    read(client, full_table, 1)
    world.clock.advance(60)
    spans.clear()
    with intercepted(client, "before-send", refuse):
        read(client, full_table, 1)
    [span] = spans.get_finished_spans()
    stale = {"botocache.result": "stale", "botocache.tier": "store"}
    assert shown(span) == [("attributes", {**stale, "botocache.age": 60})]


def refuse(request: Any, **_: Any) -> AWSResponse:
    body = b'{"__type":"x#ProvisionedThroughputExceededException","message":"slow"}'
    raw = SimpleNamespace(stream=lambda *_, **__: (body,))
    return AWSResponse(request.url, 400, HTTPHeaders(), raw)


def test_a_batch_says_how_many_keys_of_each_table_are_hits(
    world: World, full_table: str
) -> None:
    client = traced_client(world, "on")
    read(client, full_table, 1)
    exporter = InMemorySpanExporter()
    keys = [{"pk": {"S": pk}} for pk in ("a", "b")]
    with span_of_application(exporter):
        client.batch_get_item(RequestItems={full_table: {"Keys": keys}})
    [span] = exporter.get_finished_spans()
    [(name, attributes)] = shown(span)
    assert (name, attributes["botocache.hits"]) == ("botocache.hit", 1)
    assert attributes["db.operation.name"] == "BatchGetItem"
    assert attributes["aws.dynamodb.table_names"] == (full_table,)


@pytest.mark.parametrize("near", ["on", "off"])
@pytest.mark.parametrize("sampled", [True, False])
def test_a_span_that_does_not_record_gets_nothing(
    world: World, full_table: str, sampled: bool, near: str
) -> None:
    client = traced_client(world, near)
    read(client, full_table, 2)
    recorded: list[object] = []

    class Span(NonRecordingSpan):
        def is_recording(self) -> bool:
            return sampled

        def add_event(self, *arguments: object, **_: object) -> None:
            recorded.append(arguments)

    context = SpanContext(1, 1, is_remote=False)
    with use_span(Span(context)):
        read(client, full_table, 3)
    assert len(recorded) == (3 if sampled else 0)


def test_without_the_setting_no_span_says_anything(
    world: World, full_table: str
) -> None:
    client = world.cached_client()
    exporter = InMemorySpanExporter()
    with span_of_application(exporter):
        read(client, full_table, 4)
    [span] = exporter.get_finished_spans()
    assert shown(span) == []


def test_of_audited_hits_those_that_were_served_show(
    world: World, full_table: str
) -> None:
    client = world.cached_client(metrics="otel", audit=0.5)
    read(client, full_table, 1)
    exporter = InMemorySpanExporter()
    with world.counting() as reached, span_of_application(exporter):
        read(client, full_table, 40)
    [span] = exporter.get_finished_spans()
    assert 5 < reached["GetItem"] < 35  # half of 40, but for one time in a million
    assert len(shown(span)) == 40 - reached["GetItem"]
