"""`botocache follow-streams`: evict what other programs change, by DynamoDB Streams."""

import argparse
import os
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from botocache._cli.commands import FailedCommand, Parser, WrongUsage
from botocache._cli.console import Console
from botocache._log import log

if TYPE_CHECKING:
    from botocache._cache.cache import Cache
    from botocache._counting.stats import StreamStats
    from botocache._streams.follower import Follower
    from botocache.stores.protocol import Clock, Store

NAME = "follow-streams"
SUMMARY = "evict what other programs change, as DynamoDB Streams tell it"


def add_arguments(parser: Parser) -> None:
    """Take the tables."""
    parser.add_argument(
        "--table",
        metavar="NAME",
        action="append",
        help="follow this table: its name or ARN; may be given several times. Without "
        "it, those of BOTOCACHE_STREAMS",
    )
    parser.description = (
        "Read the streams of tables, and evict what each change concerns, for all\n"
        "processes that share the store. It runs until it is ended (SIGTERM, Ctrl-C).\n"
        "Several may run: they share the work, and one takes over from another within\n"
        "seconds.\n\n"
        "Settings, region and credentials are those of the application's environment.\n"
        "The credentials need dynamodb:ListStreams, DescribeStream, GetShardIterator\n"
        "and GetRecords."
    )
    parser.epilog = (
        "At the start a table is evicted once, unless another follower leads it: what\n"
        "was changed before is not known. botocache never switches a stream on.\n\n"
        "exit status: 0 ended as asked, 1 a stream cannot be followed or the store\n"
        "failed, 2 wrong usage or a wrong setting\n\n"
        "examples:\n"
        f"  {parser.prog} --table users --table orders\n"
        f"  {parser.prog} --table arn:aws:dynamodb:eu-west-1:123456789012:table/users"
    )


def run(options: argparse.Namespace, console: Console) -> int:
    """Follow until a signal ends it."""
    from botocache._botocore.following import new_follower
    from botocache._cache.cache import Cache
    from botocache._cli.environment import (
        check_shared,
        patient,
        read_settings,
        shown_store,
    )
    from botocache._streams.follower import Fetchers
    from botocache.stores.opening import open_store

    settings = read_settings()
    tables = _checked(options.table) or settings.streams
    if not tables:
        raise WrongUsage("name a table with --table, or set BOTOCACHE_STREAMS")
    check_shared(settings)
    store = open_store(patient(settings).store_options(os.environ))
    cache = Cache(store, settings)
    tick = _export(cache, store)
    fetchers = Fetchers()
    log.print_all()  # with times: this runs for days
    try:
        follower = new_follower(tables, cache.services, store, fetch=fetchers.fetch)
        _check(follower)
        cache.follower = _Following(follower)
        where = f"{shown_store(settings, store)}, namespace {settings.namespace!r}"
        for table in follower.tables:
            console.finding("good", f"following {table.table!r}; evicting in {where}")
        _follow(follower, store.now, tick)
    finally:
        fetchers.stop()
        cache.close()
    return 0


def _checked(given: "list[str] | None") -> "tuple[str, ...]":
    """Return the tables of the arguments. Raises WrongUsage."""
    from botocache._settings.tables import parse_streams

    try:
        return parse_streams(given or "")
    except ValueError as error:
        raise WrongUsage(f"--table: {error}") from None


def _check(follower: "Follower") -> None:
    """Raise FailedCommand if a table cannot be followed, so that a start shows it."""
    from botocache._streams.source import StreamError

    for table in follower.tables:
        try:
            table.check()
        except StreamError as error:  # noqa: PERF203 - each may have none
            raise FailedCommand(f"{table.table!r}: {error}") from error


class _Following:
    """What the cache of this command knows of its follower. See StreamCompanion."""

    def __init__(self, follower: "Follower") -> None:
        self._follower = follower

    def note_call(self) -> None:
        """Do nothing: this command makes no calls."""

    def stream_stats(self) -> "tuple[StreamStats, ...]":
        """See StreamCompanion."""
        return self._follower.stream_stats()

    def rest(self) -> None:
        """Do nothing: the follower has ended by itself."""


def _export(cache: "Cache", store: "Store") -> Callable[[], None]:
    """Export what the setting `metrics` names; return what to call now and then."""
    metrics, interval = cache.settings.metrics, cache.settings.stats_interval
    if not metrics:
        return _ignore
    from botocache._observe.exports import exports_for

    # Without the calls of an application, the loop says that there is something new.
    exports = exports_for(metrics, interval)
    exports.readings.add(cache, store)
    return exports.on_call


def _ignore() -> None:
    """Stand in for exports that are off."""


def _follow(follower: "Follower", now: "Clock", tick: Callable[[], None]) -> None:
    ended = threading.Event()

    def end(_signal: int, _frame: object) -> None:
        ended.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, end)

    def wait(seconds: float) -> bool:
        tick()
        return ended.wait(seconds)

    follower.run(now, wait)
