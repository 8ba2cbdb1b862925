"""The short road of a plain miss, `Fills.finish`: it does what `_finish_any` does."""

from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any, TypeAlias

import pytest

from botocache import Cache
from botocache._cache.fills import Fills
from botocache._cache.key_schemas import Schema, place_of
from botocache._cache.modes import refresh
from botocache._cache.tickets import Hit, ReadTicket
from botocache._counting.stats import TableStats
from botocache._settings.load import load_settings
from botocache.stores.memory import MemoryStore
from tests.support.calls import ORIGIN, call_of
from tests.support.clock import FakeClock
from tests.support.failing_store import FailingStore

KEY = {"TableName": "t", "Key": {"pk": {"S": "a"}}}
PLAIN = {"Item": {"pk": {"S": "a"}, "n": {"N": "1"}}}
METADATA = {"HTTPStatusCode": 200, "RetryAttempts": 0}
HEAVY = {"Item": {"pk": {"S": "a"}, "text": {"S": "x" * 5000}}}

Outcome: TypeAlias = dict[str, Any]


def body(**options: Any) -> dict[str, Any]:
    return {**KEY, **options}


REQUESTS: dict[str, dict[str, Any]] = {
    "plain": KEY,
    "a number": {"TableName": "t", "Key": {"pk": {"N": "1.0"}}},
    "two key attributes": {"TableName": "t", "Key": {"pk": {"S": ""}, "sk": {"B": ""}}},
    "an ARN": body(TableName="arn:aws:dynamodb:eu-west-1:123456789012:table/t"),
    "consistent": body(ConsistentRead=True),
    "said to be eventual": body(ConsistentRead=False),
    "a projection": body(ProjectionExpression="pk"),
    "with its capacity": body(ReturnConsumedCapacity="TOTAL"),
    "of a table that is not cached": {**KEY, "TableName": "off"},
    "of a table that caches no absence": {**KEY, "TableName": "brief"},
}

ANSWERS: dict[str, dict[str, Any]] = {
    "an item": {**PLAIN, "ResponseMetadata": METADATA},
    "none": {"ResponseMetadata": METADATA},
    "nothing at all": {},
    "no metadata": PLAIN,
    "a null": {"Item": None},
    "an empty item": {"Item": {}},
    "its capacity": {
        **PLAIN,
        "ConsumedCapacity": {"TableName": "t", "CapacityUnits": 3.5},
        "ResponseMetadata": METADATA,
    },
    "a heavy item": HEAVY,
    "a set": {"Item": {"pk": {"SS": {"a"}}}},
    "text in the place of bytes": {"Item": {"pk": {"B": "YQ=="}}},
    "bytes": {"Item": {"pk": {"B": b"a"}}},
    "a lone surrogate": {"Item": {"pk": {"S": "\ud800"}}},
    "an unknown member": {**PLAIN, "More": 1},
    "a deep value": {"Item": {"pk": {"L": [{"M": {"x": {"L": [{"NULL": True}]}}}]}}},
}


def recorded(
    *, is_short: bool, course: Callable[["Course"], None]
) -> tuple[Outcome, int]:
    """Return what a course of calls leaves, and how many took the short road.

    is_short: let them; else all take the other one.
    """
    with pytest.MonkeyPatch.context() as patch:
        asked = {"_finish_any": 0, "finish": 0}
        whole, short = Fills._finish_any, Fills.finish

        def finish_any(fills: Fills, *arguments: Any, **options: Any) -> None:
            asked["_finish_any"] += 1
            whole(fills, *arguments, **options)

        def finish(fills: Fills, ticket: ReadTicket, answer: Any, **how: Any) -> None:
            asked["finish"] += 1
            if is_short:
                short(fills, ticket, answer, **how)
                return
            length, is_plain = how["length"], how["is_plain"]
            fills._finish_any(
                ticket, answer, how["unfilled"], length, is_plain=is_plain
            )

        patch.setattr(Fills, "_finish_any", finish_any)
        patch.setattr(Fills, "finish", finish)
        # Equal latencies, so that the histograms can be compared as well.
        ticks = count()
        for module in ("fills", "reads", "call_store"):
            name = f"botocache._cache.{module}.perf_counter"
            patch.setattr(name, lambda: float(next(ticks) < 0))
        run = Course()
        course(run)
        return run.outcome(), asked["finish"] - asked["_finish_any"]


class Course:
    """Calls of one cache, and what they have left."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.memory = MemoryStore(clock=self.clock, random=Random(7).randbytes)
        self.store = FailingStore(self.memory)
        tables = {
            "off": {"operations": ["Query"]},
            "brief": {"negative_ttl": 0},
        }
        options: dict[str, Any] = {"settle": 5, "write_hold_off": 9}
        settings = load_settings({**options, "tables": tables}, {}, "memory:")
        self.cache = Cache(self.store, settings)
        self.filled: list[bytes] = []
        self.tickets: list[str] = []
        self.schemas: list[list[Schema]] = []
        self.cache._fills.on_fill = self.filled.append

    def ask(
        self,
        request: dict[str, Any],
        answer: dict[str, Any],
        *,
        length: int | None = 100,
        between: Callable[["Course"], object] = lambda _: None,
        **how: Any,
    ) -> None:
        outcome = self.cache.begin(call_of("GetItem"), request)
        between(self)
        if outcome is None or isinstance(outcome, Hit):
            self.tickets.append(repr(outcome and outcome.answer))
            return
        self.tickets.append(repr(outcome))
        how = {"succeeded": True, "certain": True, "length": length, **how}
        self.cache.finish(outcome, {**answer}, **how)
        known = self.cache._services.key_schemas._known.values()
        self.schemas.append([*known])

    def outcome(self) -> Outcome:
        return {
            "entries": dict(self.memory._entries),
            "stats": [
                {name: getattr(each, name) for name in TableStats.__slots__}
                for each in self.cache.stats().tables
            ],
            "failures": self.cache.stats().failures,
            "filled": self.filled,
            "tickets": self.tickets,
            "pending": set(self.cache._evictions.pending.tags),
            "schemas": self.schemas,
            "refused": dict(self.cache._refusals.tags),
        }


def both(course: Callable[[Course], None]) -> int:
    """Check that a course leaves the same by both roads; return how many were short."""
    expected, none = recorded(is_short=False, course=course)
    outcome, short = recorded(is_short=True, course=course)
    assert outcome == expected
    assert none == 0
    return short


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("request_", REQUESTS)
def test_both_roads_leave_the_same(request_: str, answer: str) -> None:
    def course(run: Course) -> None:
        for length in (None, 100, 5000):
            for is_plain in (False, answer == "an item"):
                run.ask(REQUESTS[request_], {**PLAIN, "ResponseMetadata": METADATA})
                run.memory.clear()  # of its entries; generations stay
                run.ask(
                    REQUESTS[request_],
                    ANSWERS[answer],
                    length=length,
                    is_plain=is_plain,
                )
                run.ask(REQUESTS[request_], ANSWERS[answer], length=length)
                run.clock.advance(6)

    both(course)


def write(run: Course) -> None:
    put = {"TableName": "t", "Item": {"pk": {"S": "a"}, "n": {"N": "2"}}}
    ticket: Any = run.cache.begin(call_of("PutItem"), put)
    run.cache.finish(ticket, {}, succeeded=True, certain=True)


def update_and_wait(run: Course) -> None:
    """Leave an entry that is outdated: unlike a put, the write does not fill it."""
    update = {
        **KEY,
        "UpdateExpression": "SET n = :n",
        "ExpressionAttributeValues": {":n": {"N": "2"}},
    }
    ticket: Any = run.cache.begin(call_of("UpdateItem"), update)
    run.cache.finish(ticket, {}, succeeded=True, certain=True)
    run.clock.advance(10)


def evict_and_learn_anew(run: Course) -> None:
    run.cache.invalidate("t")
    run.clock.advance(10)
    run.ask({"TableName": "t", "Key": {"pk": {"S": "c"}}}, PLAIN)


def make_ambiguous(run: Course) -> None:
    place = place_of(ORIGIN, "", "t")
    run.cache._services.key_schemas.ambiguous[place] = run.clock() + 1000


def fail_fills(run: Course) -> None:
    run.store.failing.add("fill")


def refuse(run: Course) -> None:
    ticket: Any = run.cache.begin(call_of("GetItem"), KEY)
    run.cache.refuse(ticket, {"Error": {"Code": "AccessDeniedException"}})


BETWEEN: dict[str, Callable[[Course], object]] = {
    "a write": write,
    "a write, and a while": update_and_wait,
    "a place that gets ambiguous": make_ambiguous,
    "a table that is evicted": lambda run: run.cache.invalidate("t"),
    "a table that is learned anew": evict_and_learn_anew,
    "a store that fails": fail_fills,
    "a refusal": refuse,
    "a long time": lambda run: run.clock.advance(100_000),
}


@pytest.mark.parametrize("event", BETWEEN)
@pytest.mark.parametrize("moment", ["before", "between", "after"])
def test_both_roads_leave_the_same_when_something_happens(
    event: str, moment: str
) -> None:
    def course(run: Course) -> None:
        happen = BETWEEN[event]
        run.ask({"TableName": "t", "Key": {"pk": {"S": "b"}}}, PLAIN)
        if moment == "before":
            happen(run)
        if moment == "between":
            run.ask(KEY, PLAIN, between=happen)
        else:
            run.ask(KEY, PLAIN)
        if moment == "after":
            happen(run)
        for succeeded in (True, False):
            run.ask(KEY, PLAIN, succeeded=succeeded)
        with refresh():
            run.ask(KEY, PLAIN)
        run.ask({"TableName": "t", "Key": {"other": {"S": "b"}}}, PLAIN)

    both(course)


def test_a_plain_miss_takes_the_short_road() -> None:
    def course(run: Course) -> None:
        for number in range(5):
            key = {"TableName": "t", "Key": {"pk": {"S": f"{number}"}}}
            run.ask(key, {**PLAIN, "ResponseMetadata": METADATA})

    assert both(course) == 4  # the first one teaches the table's key attributes
