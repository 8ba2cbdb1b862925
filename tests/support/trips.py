"""The trip of one client call through botocache: its calls, files and types."""

import gc
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

import botocache
from tests.support.network import intercepted

_PACKAGE = str(Path(botocache.__file__).parent)


class Trip(NamedTuple):
    """A way through the package.

    calls: how many of its functions were called, each as often as it was.
    files: how many files these are in.
    types: how many of its classes had instances among their arguments, locals and
        results.
    functions: `file:function` of each call, in order.
    """

    calls: int
    files: int
    types: int
    functions: tuple[str, ...]
    type_names: tuple[str, ...]


def trip_of(call: Callable[[], object]) -> Trip:
    """Make a call, and return its trip. Comprehensions do not count as functions."""
    functions: list[str] = []
    types: set[type] = set()

    def note(value: object) -> None:
        kind = type(value)
        if kind.__module__.startswith("botocache"):
            types.add(kind)

    def profile(frame: FrameType, event: str, result: Any) -> None:
        code = frame.f_code
        if not code.co_filename.startswith(_PACKAGE):
            return
        if code.co_name in {"<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>"}:
            return
        if event == "call":
            file = code.co_filename[len(_PACKAGE) + 1 :]
            functions.append(f"{file}:{code.co_name}")
        elif event == "return":
            note(result)
        else:
            return
        for value in frame.f_locals.values():
            note(value)

    with _without_collections():
        sys.setprofile(profile)
        try:
            call()
        finally:
            sys.setprofile(None)
    files = {function.partition(":")[0] for function in functions}
    names = sorted(f"{kind.__module__}.{kind.__qualname__}" for kind in types)
    return Trip(len(functions), len(files), len(types), tuple(functions), tuple(names))


COUNTS_INSTRUCTIONS = hasattr(sys, "monitoring")
"""Whether this Python can count them: from 3.12 on."""


def instructions_of(call: Callable[[], object]) -> int:
    """Make a call; return how many bytecode instructions of the package it takes.

    Those of other threads do not count.
    """
    monitoring: Any = vars(sys)["monitoring"]
    tool, here, count = monitoring.PROFILER_ID, threading.get_ident(), 0

    def note(code: CodeType, _offset: int) -> object:
        nonlocal count
        if not code.co_filename.startswith(_PACKAGE):
            return monitoring.DISABLE
        count += threading.get_ident() == here
        return None

    monitoring.use_tool_id(tool, "trips")
    monitoring.register_callback(tool, monitoring.events.INSTRUCTION, note)
    try:
        with _without_collections():
            monitoring.set_events(tool, monitoring.events.INSTRUCTION)
            try:
                call()
            finally:
                monitoring.set_events(tool, monitoring.events.NO_EVENTS)
    finally:
        monitoring.register_callback(tool, monitoring.events.INSTRUCTION, None)
        monitoring.free_tool_id(tool)
    return count


@contextmanager
def _without_collections() -> Iterator[None]:
    """Let no finalizers of stores run that earlier tests have dropped."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def answering(
    client: Any, bodies: Mapping[str, bytes | Callable[[bytes], bytes]]
) -> Iterator[None]:
    """Answer a client's requests in its process, by operation.

    bodies: of the answers, or functions that make them from the request's body.
    """

    def send(request: Any, event_name: str, **_: Any) -> AWSResponse:
        body = bodies[event_name.rpartition(".")[2]]
        if callable(body):
            body = body(request.body)
        raw = type("Raw", (), {"stream": lambda *_, **__: (body,)})()
        return AWSResponse(request.url, 200, HTTPHeaders(), raw)

    with intercepted(client, "before-send", send):
        yield
