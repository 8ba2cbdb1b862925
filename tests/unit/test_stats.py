"""Every outcome is counted; a failure is counted, logged at intervals, not raised."""

import contextlib
import io
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import botocache
from botocache._cache.cache import Cache
from botocache._cache.tickets import Hit
from botocache._counting.counters import Counters
from botocache._log import LOG_INTERVAL, FailureLog, describe, log, say
from botocache._settings.load import Settings
from botocache.stores.memory import MemoryStore
from tests.support.calls import begin
from tests.support.clock import FakeClock
from tests.support.failing_store import FailingStore
from tests.support.forwarding_store import VERBS

# --- failures ----------------------------------------------------------------------


class _Reports:
    """A FailureLog on a clock that the test moves, and the lines that it logged."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.clock = FakeClock()
        self.counters = Counters()
        self._failures = FailureLog(self.counters, self.clock)
        self._caplog = caplog
        caplog.set_level(logging.DEBUG, logger="botocache")

    def report(self, kind: str, error: Exception | None = None) -> None:
        self._failures.report(kind, "a miss", error or OSError("disk full"))

    @property
    def lines(self) -> list[str]:
        return [record.getMessage() for record in self._caplog.records]


@pytest.fixture
def reports(caplog: pytest.LogCaptureFixture) -> _Reports:
    return _Reports(caplog)


def test_a_failure_is_a_warning_that_names_its_consequence(
    reports: _Reports, caplog: pytest.LogCaptureFixture
) -> None:
    reports.report("load_failed")
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("botocache", logging.WARNING)
    assert record.getMessage() == "botocache: load_failed: a miss (OSError: disk full)"


def test_a_failure_is_logged_once_in_a_minute_and_counted_each_time(
    reports: _Reports,
) -> None:
    for _ in range(3):
        reports.report("load_failed")
        reports.clock.advance(LOG_INTERVAL / 3 - 0.001)
    assert len(reports.lines) == 1
    assert reports.counters.read(undelivered=0).failures == {"load_failed": 3}


def test_a_failure_is_logged_again_after_a_minute(reports: _Reports) -> None:
    for _ in range(3):
        reports.report("load_failed")
        reports.clock.advance(LOG_INTERVAL)
    assert len(reports.lines) == 3


def test_a_line_has_the_count_of_its_kind_since_the_last_line(
    reports: _Reports,
) -> None:
    first = "botocache: load_failed: a miss (OSError: disk full)"
    for failures in (1, 4, 1):
        for _ in range(failures):
            reports.report("load_failed")
        reports.report("fill_failed")  # of another kind: not counted with these
        reports.clock.advance(LOG_INTERVAL)
    assert [line for line in reports.lines if "load_failed" in line] == [
        first,
        first,  # the other three came after it, in the same minute
        "botocache: load_failed: a miss; 4 failures since the last line "
        "(OSError: disk full)",
    ]


def test_each_kind_of_failure_is_logged_by_itself(reports: _Reports) -> None:
    for kind in ("load_failed", "fill_failed", "load_failed", "fill_failed"):
        reports.report(kind)
    assert [line.split(": ")[1] for line in reports.lines] == [
        "load_failed",
        "fill_failed",
    ]


def test_the_first_failure_is_logged_whatever_the_clock_shows(
    caplog: pytest.LogCaptureFixture,
) -> None:
    FailureLog(Counters(), FakeClock(0.0)).report("load_failed", "a miss", OSError())
    assert len(caplog.records) == 1


def test_a_message_with_percent_signs_is_logged_as_it_is(reports: _Reports) -> None:
    reports.report("load_failed", OSError("100 %s %d"))
    assert reports.lines == ["botocache: load_failed: a miss (OSError: 100 %s %d)"]


# --- the log -----------------------------------------------------------------------


@pytest.mark.parametrize("level", ["info", "warning", "error"])
def test_each_line_begins_with_the_name_of_the_package(
    level: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="botocache")
    getattr(log, level)("%s %% of %r", 7, "x")
    (record,) = caplog.records
    assert record.getMessage() == "botocache: 7 % of 'x'"
    assert record.levelname == level.upper()


class _Failing(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError(record.getMessage())


def test_a_handler_of_the_application_that_fails_disturbs_nothing(
    reports: _Reports,
) -> None:
    handler = _Failing()
    logging.getLogger("botocache").addHandler(handler)
    try:
        reports.report("load_failed")
    finally:
        logging.getLogger("botocache").removeHandler(handler)
    assert reports.counters.read(undelivered=0).failures == {"load_failed": 1}


class _Refusing:
    """Standard error that refuses whatever is written to it."""

    def write(self, _: str) -> int:
        raise ValueError("I/O operation on closed file")

    flush = write


@pytest.mark.parametrize("stream", [None, _Refusing()])
def test_a_line_without_handlers_and_without_standard_error_goes_nowhere(
    stream: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging.getLogger("botocache"), "propagate", False)
    monkeypatch.setattr(sys, "stderr", stream)
    log.warning("a line")
    say("a line")
    assert capsys.readouterr().out == ""


def test_standard_error_takes_a_line() -> None:
    stream = io.StringIO()
    with contextlib.redirect_stderr(stream):
        say("a line")
    assert stream.getvalue() == "a line\n"


class _MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "described"),
    [
        (OSError("disk\n  full"), "OSError: disk full"),
        (OSError(), "OSError"),
        (OSError("/tempor\xe4r/\udce4"), r"OSError: /tempor\xe4r/\udce4"),
        (_MuteError(), "_MuteError"),
    ],
)
def test_an_error_is_described_in_one_line(error: Exception, described: str) -> None:
    assert describe(error) == described


def test_one_place_alone_writes_to_the_log() -> None:
    """Else a line might begin without the name of the package."""
    package = Path(botocache.__file__).parent
    users = {
        path.name
        for path in package.rglob("*.py")
        if "getLogger" in path.read_text(encoding="utf-8")
    }
    assert users == {"_log.py"}


# --- in the cache ------------------------------------------------------------------

ITEM = b'{"TableName":"t","Item":{"pk":{"S":"a"}}}'
KEY = b'{"TableName":"t","Key":{"pk":{"S":"a"}}}'
REQUESTS = {
    "GetItem": KEY,
    "UpdateItem": KEY,
    "PutItem": ITEM,
    "DescribeTable": b'{"TableName":"t"}',
}


class _Damaging(FailingStore):
    """A store that changes the entries that are filled."""

    damage: bytes | None = None

    def fill(
        self, key: bytes, entry: bytes, ttl: float, tags: Sequence[bytes] = ()
    ) -> None:
        super().fill(key, entry if self.damage is None else self.damage, ttl, tags)


def _ask(cache: Cache, operation: str) -> Hit | None:
    """Do as the hooks do, with a DynamoDB that has one item; return the hit if any."""
    ticket = begin(cache, operation, json.loads(REQUESTS[operation]))
    if isinstance(ticket, Hit):
        return ticket
    if ticket is not None:
        cache.finish(ticket, {"Item": {}}, succeeded=True, certain=True)
        cache.fail(ticket)
    return None


@pytest.mark.parametrize("failing", [*([verb] for verb in VERBS), VERBS], ids=str)
@pytest.mark.parametrize("operation", REQUESTS)
def test_every_failure_of_a_store_is_counted_and_reaches_no_caller(
    operation: str, failing: Sequence[str], clock: FakeClock
) -> None:
    store = FailingStore(MemoryStore(clock=clock))
    cache = Cache(store, Settings())
    _ask(cache, "UpdateItem")  # so that the key attributes are known
    clock.advance(60.0)
    store.failing.update(failing)
    assert _ask(cache, operation) is None
    cache.invalidate("t")
    cache.clear()
    cache.close()
    assert bool(cache.stats().failures) == bool(store.failures)


@pytest.mark.parametrize(
    "damage",
    [b"", b"\xff" * 40, b"\x02" * 40],
    ids=["nothing", "noise", "another version"],
)
def test_a_damaged_entry_is_a_miss_that_is_filled_anew(
    damage: bytes, clock: FakeClock
) -> None:
    store = _Damaging(MemoryStore(clock=clock))
    cache = Cache(store, Settings())
    store.damage = damage
    assert _ask(cache, "GetItem") is None
    store.damage = None
    assert _ask(cache, "GetItem") is None
    hit = _ask(cache, "GetItem")
    assert hit is not None
    assert hit.answer == {"Item": {}}
