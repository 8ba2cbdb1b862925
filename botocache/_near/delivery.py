"""A hit of the near cache on its way to the application.

`after-call` is emitted as botocore does, where there is somebody to hear it: for
boto3's resource layer, which changes the answer, and for everybody else. An answer is
kept as the wire has it where others are told each time; else as the resource layer has
made it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from botocache._botocore.hooks import http_response
from botocache._cache.tickets import Plan, response_metadata
from botocache._near.answers import Found, Keep, packed
from botocache._near.client_state import View
from botocache._near.copies import NoTemplateError, cost_of, maker_of

_METADATA = "ResponseMetadata"

Delivered: TypeAlias = dict[str, Any]
"""An answer as the application gets it."""


class Asking(NamedTuple):
    """A call. origin: which DynamoDB it asks."""

    client: Any
    view: View
    operation: str
    origin: str


@dataclass(slots=True)
class Delivery:
    """A hit that others are told of before the application gets it, and may change.

    event: what they are told. keep: keeps the answer as it is then, and returns one for
    the application.
    """

    answer: Delivered
    event: dict[str, Any]
    view: View
    keep: Callable[[Delivered], Delivered] | None = None

    def deliver(self, events: Any) -> Delivered:
        """Return the answer. Raises what a handler of somebody else raises."""
        events.emit(**self.event)
        if self.keep is None:
            return self.answer
        try:
            return self.keep(self.answer)
        except Exception as error:  # noqa: BLE001 - a failure in here is never the application's
            self.view.report(error)
            return self.answer


def told(asking: Asking, answer: Delivered) -> Delivery:
    """Return an answer out of memory, of which others are to be told."""
    return Delivery(answer, _event(asking, answer), asking.view)


def delivered(asking: Asking, plan: Plan, found: Found) -> Delivered | Delivery:
    """Return a hit of the store, by the plan; keep it, if it may be."""
    view, hit, keep = asking.view, found.hit, found.keep
    is_told = asking.operation in view.emitting
    if keep is not None and (is_told or view.is_plain):
        keep(*packed(plan, hit))
        keep = None
    answer = hit.answer
    answer[_METADATA] = response_metadata(hit.key.hex(), hit.age)
    if view.is_plain and not is_told:
        return answer
    template = None if keep is None else partial(_kept_template, view.kinds, keep)
    return Delivery(answer, _event(asking, answer), view, template)


def _kept_template(kinds: frozenset[type], keep: Keep, answer: Delivered) -> Delivered:
    """Keep an answer as a resource has it, and return a copy."""
    body = {name: value for name, value in answer.items() if name != _METADATA}
    try:
        make = maker_of(body, kinds)
    except NoTemplateError:
        return answer
    copy: Delivered = make()
    copy[_METADATA] = answer[_METADATA]
    keep(make, cost_of(body))
    return copy


def _event(asking: Asking, answer: Delivered) -> dict[str, Any]:
    """Return what `after-call` says of a hit."""
    client, _, operation, origin = asking
    model = client.meta.service_model.operation_model(operation)
    _, _, url = origin.partition(" ")
    return {
        "event_name": f"after-call.dynamodb.{operation}",
        "http_response": http_response(url, answer[_METADATA]["HTTPHeaders"]),
        "parsed": answer,
        "model": model,
        "context": {
            "client_region": client.meta.region_name,
            "client_config": client.meta.config,
            "has_streaming_input": model.has_streaming_input,
            "auth_type": model.auth_type,
        },
    }
