"""How long the verbs of one call may wait for a server."""

import threading
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from botocache._coherence import Held, Loaded
from botocache.stores.redis.deadlines import BoundedVerbs, allow_slack, call_deadline

TIMEOUT = 100.0
SLACK = 1000.0


class Noting:
    """A store that notes until when it may wait."""

    def __init__(self) -> None:
        self.deadlines: list[float] = []

    def load(self, key: bytes, tags: Sequence[bytes]) -> Loaded:
        self.deadlines.append(call_deadline(0.0))
        return Loaded(None, (), Held.FREE)


def seconds_left(*, slack: float = 0.0) -> SimpleNamespace:
    """Return for how long two verbs of a call may wait, in a thread of their own."""
    store = Noting()

    def call() -> None:
        if slack:
            allow_slack(slack)
        verbs = BoundedVerbs(cast("Any", store), TIMEOUT)
        verbs.load(b"key", ())
        verbs.load(b"key", ())

    began = time.monotonic()
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    first, second = store.deadlines
    return SimpleNamespace(first=first - began, is_one=first == second)


def test_the_verbs_of_a_call_share_one_deadline() -> None:
    left = seconds_left()
    assert left.is_one
    assert TIMEOUT <= left.first < SLACK


def test_the_calls_of_a_thread_with_slack_may_take_longer() -> None:
    left = seconds_left(slack=SLACK)
    assert left.is_one
    assert left.first >= TIMEOUT + SLACK
