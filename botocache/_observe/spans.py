"""A hit in traces: what OpenTelemetry's current span says of it.

A hit has no request, so it has no span of its own. In the span that the instrumentation
of botocore has begun for this very call, attributes say that the cache answered. In any
other span, the application's, each hit is an event: there may be several.
"""

from collections.abc import Callable, Mapping  # noqa: TC003 - loaded in any case
from contextvars import ContextVar
from typing import Any

from botocache._observe.metrics import ATTRIBUTES

EVENT = "botocache.hit"

_BATCH = "BatchGetItem"

_INSTRUMENTATION = "opentelemetry.instrumentation.botocore"


class HitSpans:
    """Adds hits to the current span, once `begin` was called.

    A near hit finds the span by `context().get(key)`, which may be None: the public way
    to it takes ten times as long.

    context: returns OpenTelemetry's current context.
    key: of the span in it.
    """

    def __init__(self) -> None:
        self.context: Callable[[], Mapping[str, Any]] = dict
        self.key = ""

    def begin(self) -> None:
        """Import OpenTelemetry. Raises ImportError."""
        from opentelemetry import context, trace

        runtime = getattr(context, "_RUNTIME_CONTEXT", None)
        variable = getattr(runtime, "_current_context", None)
        key = getattr(trace.propagation, "_SPAN_KEY", None)
        if isinstance(variable, ContextVar) and isinstance(key, str):
            self.key = key
            self.context = variable.get
        else:  # another version, or a runtime context of the application's
            self.context = lambda: {self.key: trace.get_current_span()}

    def add(  # noqa: PLR0913, PLR0917 - what a hit is
        self,
        table: str,
        operation: str,
        tier: str,
        age: float,
        hits: int = 1,
        result: str = "hit",
    ) -> None:
        """Add hits to the current span. May raise what a tracer raises.

        See CallObserver.on_hit. result: `hit`, or `stale` for answers over their TTL.
        """
        span = self.context().get(self.key)
        if span is None or not span.is_recording():
            return
        own: dict[str, str | float] = {
            "botocache.result": result,
            "botocache.tier": tier,
            "botocache.age": age,
        }
        # As an event: attributes of a batch would speak of its last table alone.
        if operation == _BATCH:  # of which some keys may be hits
            own["botocache.hits"] = hits
        elif _is_of_call(span):
            span.set_attributes(own)
            return
        named = {ATTRIBUTES["table"]: (table,), ATTRIBUTES["operation"]: operation}
        span.add_event(EVENT, {**named, **own})


def _is_of_call(span: object) -> bool:
    """Return whether the instrumentation of botocore began the span, for one call."""
    scope = getattr(span, "instrumentation_scope", None)
    return str(getattr(scope, "name", "")).startswith(_INSTRUMENTATION)
