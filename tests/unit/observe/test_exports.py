"""The exporters of a process: made at the first call, and harmless if they fail."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext
from opentelemetry.trace import NonRecordingSpan, SpanContext, use_span

from botocache import _log
from botocache._observe import exports
from botocache._observe.exports import Exports
from botocache._observe.readings import Readings
from botocache._observe.spans import HitSpans
from tests.support.counted import Counted

ROOT = Path(__file__).parents[3]


class Recording:
    """An exporter that notes what is asked of it."""

    def __init__(self, *, is_asked: bool = False, fails: bool = False) -> None:
        self.is_asked = is_asked
        self.exported = self.ended = 0
        self._fails = fails

    def export(self) -> bool:
        self.exported += 1
        if self._fails:
            raise OSError("the system is away")
        return False

    def end(self) -> None:
        self.ended += 1
        if self._fails:
            raise OSError("the system is away")


@pytest.fixture(autouse=True)
def _nothing_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_log, "_logged", set())


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return what returns the lines of the log."""
    caplog.set_level("INFO", "botocache")
    return lambda: caplog.messages


def exports_of(
    monkeypatch: pytest.MonkeyPatch, is_lambda: bool = True, **made: Any
) -> Exports:
    """Return exports whose exporters are these, or raise these."""

    def maker(exporter: Any) -> Any:
        def make(_: Readings) -> Any:
            if isinstance(exporter, Exception):
                raise exporter
            return exporter

        return make

    makers = {name: maker(exporter) for name, exporter in made.items()}
    monkeypatch.setattr(exports, "_MAKERS", makers)
    found = Exports(is_lambda=is_lambda, interval=60.0)
    for name in made:
        found.want(name)
    return found


def test_an_exporter_is_made_at_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = Recording()
    of = exports_of(monkeypatch, cloudwatch=exporter)
    assert of._exporters == {}
    of.on_call()
    assert of._exporters == {"cloudwatch": exporter}
    assert exporter.exported == 1


def test_exporters_that_are_asked_need_no_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    of = exports_of(monkeypatch, False, otel=Recording(is_asked=True))
    of.on_call()
    assert list(of._exporters) == ["otel"]
    assert not of.ticker._worker.is_at_work
    assert not of.ticker.is_resting
    of.want("cloudwatch")  # of another cache
    assert of.ticker.is_resting


def test_an_exporter_that_fails_disturbs_neither_calls_nor_others(
    monkeypatch: pytest.MonkeyPatch, lines: Callable[[], list[str]]
) -> None:
    failing, other = Recording(fails=True), Recording()
    of = exports_of(
        monkeypatch, otel=failing, prometheus=ValueError("no dir"), cloudwatch=other
    )
    of.on_call()  # which exports, too: there is no thread
    of._export()
    assert (failing.exported, other.exported) == (2, 2)
    of._end()
    assert (failing.ended, other.ended) == (1, 1)
    event = "botocache: metrics_not_exported"
    assert lines() == [
        f"{event}: metrics=prometheus: ValueError: no dir",
        f"{event}: metrics=otel: OSError: the system is away",
    ]


@pytest.mark.parametrize("name", ["otel", "prometheus"])
def test_a_library_that_is_missing_is_one_line(
    name: str, monkeypatch: pytest.MonkeyPatch, lines: Callable[[], list[str]]
) -> None:
    monkeypatch.setattr(exports, "_NEEDED", {name: f"no_such_{name}.of_any"})
    of = Exports(is_lambda=True, interval=60.0)
    for _ in range(2):
        of.want(name)
    of.on_call()
    assert of._exporters == {}
    assert lines() == [
        f"botocache: metrics_not_exported: metrics={name} needs a library: "
        f"pip install 'botocache-dynamodb[{name}]'"
    ]


def test_a_tracer_that_fails_disturbs_no_call(
    monkeypatch: pytest.MonkeyPatch, lines: Callable[[], list[str]]
) -> None:
    def raising(*_: Any) -> None:
        raise RuntimeError("in the tracer")

    of = exports_of(monkeypatch)
    monkeypatch.setattr(of.spans, "add", raising)
    of.on_hit("users", "GetItem", "near", 1.0)
    assert lines() == [
        "botocache: metrics_not_exported: metrics=otel: RuntimeError: in the tracer"
    ]


def test_the_installation_imports_no_library() -> None:
    program = """
import sys, botocache
cache = botocache.install(url="memory:", metrics="otel,prometheus,cloudwatch")
loaded = {"opentelemetry.context", "opentelemetry.metrics", "prometheus_client"}
assert not loaded & {*sys.modules}
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, cwd=ROOT, check=False
    )
    assert (done.returncode, done.stdout) == (0, b""), done.stderr


def test_counts_of_a_cache_reach_every_exporter() -> None:
    of = Exports(is_lambda=True, interval=60.0)
    cache = Counted(near_hits=3)
    of.readings.add(cache, cache)
    labels = ("users", "GetItem", "hit", "near")
    assert of.readings.read()["botocache.requests", labels] == 3


def is_recording(span: Any) -> bool:
    return span is not None and span.is_recording()


@pytest.mark.parametrize("is_known", [True, False])
def test_the_current_span_is_found_in_every_version_of_opentelemetry(
    is_known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_known:
        contexts = ContextVarsRuntimeContext()

        class Own:
            attach, detach = contexts.attach, contexts.detach
            get_current = contexts.get_current

        monkeypatch.setattr("opentelemetry.context._RUNTIME_CONTEXT", Own())
    spans = HitSpans()
    assert spans.context().get(spans.key) is None
    spans.begin()
    assert not is_recording(spans.context().get(spans.key))
    assert (spans.key != "") is is_known  # else the near hits take the long way
    span = NonRecordingSpan(SpanContext(1, 1, is_remote=False))
    with use_span(span):
        assert spans.context().get(spans.key) is span
