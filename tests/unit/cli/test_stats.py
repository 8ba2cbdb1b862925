"""`stats`: what it shows of made-up overviews, on each face."""

import io
import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console as RichConsole

from botocache._cli import formats, live_view
from botocache._cli.console import Console
from botocache._cli.rates_view import Watch
from botocache._cli.stats import watch
from botocache._cli.stats_view import StoreContent, View, show
from botocache._counting.stats import Stats, TableStats
from botocache._errors import StoreError
from botocache._observe.records import Overview
from botocache.stores.protocol import Usage
from tests.support.posted import NOW, key, orders, overview_of, record, users

USAGE = Usage(1234, 12_345_678)

FOUR = replace(
    overview_of(
        record("a1", 20, failures={"load_failed": 2}),
        record("b2", 10, started=NOW - 7200, updated=NOW - 8),
        record("c3", 1, has_ended=True, shadow=True),
        record("d4", 2, updated=NOW - 400),
    ),
    past_processes=12,
    unreadable=3,
)


def view_of(
    *overviews: Overview,
    table: str | None = None,
    shows_keys: bool = False,
    interval: float = 10.0,
    usage: Usage = USAGE,
) -> View:
    """Return a view that reads these, one after the other; then the last again."""
    waiting = list(overviews)

    def read() -> StoreContent:
        return StoreContent(waiting.pop(0) if len(waiting) > 1 else waiting[0], usage)

    return View(read, "redis://cache:6379/0", interval, table, shows_keys=shows_keys)


def shown(capsys: pytest.CaptureFixture[str], view: View) -> str:
    show(view, Console())
    return capsys.readouterr().out


ALL = """\
botocache on redis://cache:6379/0: 2 processes running, 1 silent, 13 ended

Totals
  hit ratio         67.1 % (near 57.1 %, store 10.0 %)
  reads             3,102 hits, 1,518 misses, 66 bypassed
  read units saved  2,228 of 5,016 (44.4 %); 7.4 % of them estimated
  evictions         495 tags, by 165 writes
  throttled         99 requests
  coalesced         0 reads
  store holds       1,234 entries, 11.8 MiB

Tables (units: read units)
  table   operation   hit ratio   hits  misses  units saved  consumed  writes
  users   GetItem        84.0 %  2,772     528        1,386       264       0
  users   UpdateItem          -      0       0            0         0     165
  orders  Query          25.0 %    330     990        841.5     2,524       0

Latency (half of the calls, 99 of 100)
  table   operation  near p50    p99  store p50     p99  miss p50     p99
  users   GetItem        5 µs  50 µs     200 µs  200 µs      5 ms  100 ms
  orders  Query         10 µs  10 µs          -       -     10 ms   10 ms

Reads that filled nothing
  table  operation  what        why
  users  GetItem    not filled  held 33
  users  GetItem    bypassed    refresh 66

Staleness
bad      orders Query: 66 of 330 compared hits were stale, up to 31 s
         A writer goes around botocache: find what else writes orders, and let it evict.

Keys by reads saved (estimated from a sample)
  table  operation  key               reads saved  units saved
  users  GetItem    9e3779b97f4a7c15        1,617        808.5
  users  GetItem    3c6ef372fe94f82b        1,584          792
  users  GetItem    daa66d2c7ddf7441        1,551        775.5

Processes
  process     state              ran  posted ago  hit ratio  units saved  version
  web-1:4242  running         60 min         4 s     67.1 %        1,350    0.1.0
  web-1:4242  running        120 min         8 s     67.1 %          675    0.1.0
  web-1:4242  ended, shadow   60 min         4 s     67.1 %         67.5    0.1.0
  web-1:4242  silent          53 min       7 min     67.1 %          135    0.1.0
  In shadow mode the cache has served none of its hits.

Failures inside the cache (the application sees none of them)
warning  load_failed: 2
warning  3 records of processes cannot be read
         Another version wrote them, or a process with other encryption keys.
"""


def test_the_sum_of_all_processes_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, view_of(FOUR)) == ALL


def test_reads_that_were_answered_stale_stand_beside_the_refusals(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = TableStats("users", "GetItem", misses=9, throttled=3, answered_stale=2)
    posted = replace(record(), stats=Stats(tables=(table,)))
    text = shown(capsys, view_of(overview_of(posted)))
    assert "throttled         3 requests; 2 reads answered stale" in text


def test_of_one_table_its_own_counts_are_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = shown(capsys, view_of(FOUR, table="orders"))
    assert "botocache on redis://cache:6379/0, table orders: 2 processes" in text
    assert "hit ratio         25.0 % (near 25.0 %, store 0.0 %)" in text
    assert "reads             330 hits, 990 misses, 0 bypassed" in text
    assert "users" not in text


def test_keys_are_shown_only_to_a_user_who_asks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hidden = shown(capsys, view_of(FOUR))
    assert "user-1" not in hidden
    text = shown(capsys, view_of(FOUR, shows_keys=True))
    assert '{"id": {"S": "user-1"}}        1,617' in text
    for shows_keys in (False, True):
        show(view_of(FOUR, shows_keys=shows_keys), Console(is_json=True))
        assert ("user-1" in capsys.readouterr().out) == shows_keys


@pytest.mark.parametrize(
    ("interval", "advice"),
    [
        (10.0, "Is the cache on, with the same store and namespace? See: botocache"),
        (0.0, "stats_interval is 0, so no process posts its counts"),
    ],
)
def test_a_store_without_posts_says_why(
    capsys: pytest.CaptureFixture[str], interval: float, advice: str
) -> None:
    text = shown(capsys, view_of(overview_of(), interval=interval))
    assert "warning  no process has posted its counts on this store\n" in text
    assert advice in text


def test_a_table_without_calls_is_shown_with_the_nearest_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = shown(capsys, view_of(FOUR, table="user"))
    assert "no call has named the table 'user'; did you mean 'users'?" in text


def test_compared_hits_that_were_right_are_good_news(
    capsys: pytest.CaptureFixture[str],
) -> None:
    right = replace(orders(), differing={"settling": 3}, stale_seconds=0.0)
    made = replace(record("a"), stats=Stats(tables=(right,)))
    text = shown(capsys, view_of(overview_of(made)))
    assert (
        "ok       none of 10 compared hits was stale for good; 3 differed shortly"
    ) in text
    assert "goes around" not in text


def test_without_comparisons_nothing_is_said_of_staleness(
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = replace(record("a"), stats=Stats(tables=(users(),)))
    assert "Staleness" not in shown(capsys, view_of(overview_of(made)))


def test_many_processes_are_cut_off_for_people_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    many = overview_of(*(record(f"p{number}") for number in range(25)))
    text = shown(capsys, view_of(many))
    assert text.count("web-1:4242") == 20
    assert "  and 5 more; --json has all\n" in text
    show(view_of(many), Console(is_json=True))
    assert len(json.loads(capsys.readouterr().out)["processes"]) == 25


@pytest.mark.parametrize(
    ("usage", "said"),
    [
        (Usage(None, None), "an unknown number of entries"),
        (Usage(7, None), "7 entries"),
        (Usage(0, 999), "0 entries, 999 bytes"),
    ],
)
def test_what_the_store_holds_is_said_as_far_as_it_is_known(
    capsys: pytest.CaptureFixture[str], usage: Usage, said: str
) -> None:
    assert f"store holds       {said}\n" in shown(capsys, view_of(FOUR, usage=usage))


# --- JSON ----------------------------------------------------------------------------


def test_the_document_has_the_same_figures(capsys: pytest.CaptureFixture[str]) -> None:
    show(view_of(FOUR, shows_keys=True), Console(is_json=True))
    document = json.loads(capsys.readouterr().out)
    assert list(document) == [
        *("read_at", "totals", "tables", "keys", "failures", "unreadable"),
        *("processes", "past_processes", "store", "followed"),
    ]
    assert document["read_at"] == NOW
    totals = document["totals"]
    assert (totals["hits"], totals["misses"], totals["hit_ratio"]) == (
        3102,
        1518,
        pytest.approx(94 / 140),
    )
    assert (totals["units_saved"], totals["units_consumed"]) == (2227.5, 2788.5)
    assert totals["undelivered"] == 0
    names = [(each["table"], each["operation"]) for each in document["tables"]]
    assert names == [("orders", "Query"), ("users", "GetItem"), ("users", "UpdateItem")]
    assert document["tables"][2]["hit_ratio"] is None
    assert document["tables"][2]["writes"] == 165
    assert document["tables"][1]["unfilled"] == {"held": 33}
    assert document["tables"][1]["latency"]["near"]["p50"] == pytest.approx(5e-6)
    assert document["tables"][0]["latency"]["store"] == {
        "count": 0,
        "mean": None,
        "p50": None,
        "p90": None,
        "p99": None,
    }
    assert document["tables"][0]["differing"] == {"settling": 33, "lasting": 66}
    assert document["keys"][0] == {
        "table": "users",
        "operation": "GetItem",
        "digest": key(1).digest,
        "reads_saved": 1617,
        "units_saved": 808.5,
        "key": '{"id": {"S": "user-1"}}',
    }
    assert document["failures"] == {"load_failed": 2}
    assert document["unreadable"] == 3
    assert document["processes"][3] == {
        "process": "d4",
        "host": "web-1",
        "pid": 4242,
        "version": "0.1.0",
        "started": NOW - 3600,
        "updated": NOW - 400,
        "silent_for": 400.0,
        "state": "silent",
        "shadow": False,
        "hits": 188,
        "misses": 92,
        "units_saved": 135.0,
        "units_consumed": 169.0,
    }
    assert document["past_processes"] == 12
    assert document["store"] == {"entries": 1234, "bytes": 12_345_678}


def test_a_duration_beyond_all_buckets_is_null(
    capsys: pytest.CaptureFixture[str],
) -> None:
    slow = replace(users(), miss_latency=replace(users().miss_latency, counts=ONE_SLOW))
    made = replace(record("a"), stats=Stats(tables=(slow,)))
    show(view_of(overview_of(made)), Console(is_json=True))
    (table,) = json.loads(capsys.readouterr().out)["tables"]
    assert (table["latency"]["miss"]["count"], table["latency"]["miss"]["p99"]) == (
        1,
        None,
    )
    assert "> 10 s" in shown(capsys, view_of(overview_of(made)))


ONE_SLOW = (*(0,) * (len(users().miss_latency.counts) - 1), 1)

# --- again and again -----------------------------------------------------------------


def course(*times: int) -> list[Overview]:
    """Return overviews that are read every ten seconds, of one process."""
    return [
        overview_of(record("a1", n, updated=NOW + 10 * i), at=NOW + 10 * i)
        for i, n in enumerate(times)
    ]


def waits(number: int) -> Callable[[float], object]:
    """Return a wait that ends by Ctrl-C after some times."""
    left = [number]

    def wait(_: float) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1

    return wait


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "localtime", time.gmtime)


BLOCK = """\

08:00:10  1 process running
  hit ratio      67.1 %
  units saved/s  67.5
  consumed/s     84.5
  near hit       p50 5 µs, p99 50 µs
  store hit      p50 200 µs, p99 200 µs
  miss           p50 10 ms, p99 100 ms
  table   hit ratio  hits/s  misses/s  saved/s  consumed/s
  users      84.0 %      84        16       42           8
  orders     25.0 %      10        30     25.5        76.5
  table  key               reads saved/s
  users  9e3779b97f4a7c15             49
  users  3c6ef372fe94f82b             48
  users  daa66d2c7ddf7441             47
"""


def test_without_a_terminal_each_interval_is_a_block(
    capsys: pytest.CaptureFixture[str],
) -> None:
    watch(view_of(*course(10, 20, 50)), Console(), 10.0, waits(2))
    text = capsys.readouterr().out
    assert text.startswith(f"botocache on redis://cache:6379/0\n{BLOCK}\n08:00:20  ")
    assert "units saved/s  202.5\n" in text


def test_the_first_block_waits_for_a_second_post(
    capsys: pytest.CaptureFixture[str],
) -> None:
    watch(view_of(*course(10)), Console(), 2.0, waits(1))
    text = capsys.readouterr().out
    assert "1 process running; waiting for a post of 1\n" in text
    assert re.search(r"units saved/s +-\n", text)


def test_json_is_one_line_for_each_interval(capsys: pytest.CaptureFixture[str]) -> None:
    watch(view_of(*course(10, 20, 50)), Console(is_json=True), 10.0, waits(2))
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["totals"]["hits"] == 20 * 94
    assert first["rates"] == {
        "running": 1,
        "measured": 1,
        "hits": pytest.approx(94),
        "misses": pytest.approx(46),
        "hit_ratio": pytest.approx(94 / 140),
        "units_saved": pytest.approx(67.5),
        "units_consumed": pytest.approx(84.5),
        "tables": first["rates"]["tables"],
    }
    assert first["rates"]["tables"]["orders"]["units_saved"] == pytest.approx(25.5)
    assert second["rates"]["hits"] == pytest.approx(3 * 94)


def failing(*outcomes: Overview | StoreError) -> View:
    waiting = list(outcomes)

    def read() -> StoreContent:
        outcome = waiting.pop(0)
        if isinstance(outcome, StoreError):
            raise outcome
        return StoreContent(outcome, USAGE)

    return view_of(overview_of())._replace(read=read)


def test_a_store_that_fails_meanwhile_is_asked_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second = course(10, 20)
    view = failing(first, StoreError("the store is down"), second)
    watch(view, Console(), 10.0, waits(2))
    captured = capsys.readouterr()
    assert captured.err == "botocache: stats: the store is down; trying again\n"
    assert BLOCK in captured.out


def test_a_store_that_fails_at_first_ends_the_command() -> None:
    with pytest.raises(StoreError, match="down"):
        watch(failing(StoreError("it is down")), Console(), 1.0, waits(1))


# --- the live view -------------------------------------------------------------------


def drawn(
    watched: Watch, *, width: int = 80, height: int = 24, trouble: str = ""
) -> list[str]:
    """Return the lines of the live view on a terminal of some size."""
    file = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    console = RichConsole(file=file, width=width, height=height, legacy_windows=False)
    with console.capture() as captured:
        console.print(live_view.draw(watched, trouble, console))
    return [line.rstrip() for line in captured.get().splitlines()]


def watched_of(*overviews: Overview, **more: Any) -> Watch:
    watched = Watch(view_of(*overviews, **more))
    for _ in overviews[1:]:
        watched.look()
    return watched


LIVE = """\
botocache on redis://cache:6379/0
08:00:40  1 process running; q ends

hit ratio      67.1 %                                                       ▆▆▆▆
units saved/s  135                                                          ▃▆█▆
consumed/s     169                                                          ▃▆█▆
near hit       p50 5 µs, p99 50 µs                                          ▆▆▆▆
store hit      p50 200 µs, p99 200 µs                                       ▆▆▆▆
miss           p50 10 ms, p99 100 ms                                        ▆▆▆▆

tables                       hit ratio    saved/s  consumed/s
users                           84.0 %         84          16               ▃▆█▆
orders                          25.0 %         51         153               ▃▆█▆

keys                                         saved    reads/s
users 9e3779b97f4a7c15                       4,410         98               ▃▆█▆
users 3c6ef372fe94f82b                       4,320         96               ▃▆█▆
users daa66d2c7ddf7441                       4,230         94               ▃▆█▆
"""


def test_the_live_view_shows_each_figure_with_its_course() -> None:
    lines = drawn(watched_of(*course(10, 20, 40, 70, 90)))
    assert lines == LIVE.splitlines()


def many_tables(number: int, times: int) -> Stats:
    tables = tuple(
        replace(users(times), table=f"a-long-name-of-a-table-{each:03}")
        for each in range(number)
    )
    return Stats(tables=tables, hot_keys=tuple(key(n, times) for n in range(20)))


@pytest.mark.parametrize(
    ("width", "height"),
    [(80, 24), (80, 25), (40, 24), (59, 24), (60, 16), (132, 43), (200, 50)],
)
def test_the_live_view_fits_the_terminal(width: int, height: int) -> None:
    overviews = [
        overview_of(
            replace(record("a", updated=NOW + 10 * i), stats=many_tables(40, i)),
            at=NOW + 10 * i,
        )
        for i in range(6)
    ]
    lines = drawn(watched_of(*overviews), width=width, height=height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert len(lines) >= height - 2  # the space is used
    assert any(line.startswith("a-long") for line in lines)
    assert any(line.startswith("users") for line in lines)


def test_trouble_takes_the_place_of_the_time() -> None:
    lines = drawn(watched_of(*course(1, 2)), trouble="it is down; trying again")
    assert lines[1] == "it is down; trying again"


def test_keys_in_the_live_view_are_digests_unless_asked() -> None:
    overviews = course(1, 2)
    assert "user-1" not in "".join(drawn(watched_of(*overviews)))
    assert "user-1" in "".join(drawn(watched_of(*overviews, shows_keys=True)))


def test_no_sparkline_has_a_value_before_the_first_rate() -> None:
    lines = drawn(watched_of(*course(10)))
    assert lines[4].split() == ["units", "saved/s", "-"]


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_a_live_view_reads_draws_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    for name, value in (("COLUMNS", "80"), ("LINES", "24"), ("TERM", "xterm")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stdin", None)
    first, second = course(10, 20)
    view = failing(first, StoreError("the store is down"), second)
    ends = iter([False, False, True])
    watch(view, Console(), 10.0, lambda _: next(ends))
    raw = stream.getvalue()
    assert "the store is down; trying again" in raw
    assert "67.5" in raw.partition("trying again")[2]
    assert raw.index("\x1b[?1049h") == 0  # the other screen, and back
    assert raw.endswith("\x1b[?1049l")


# --- formats -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (formats.count(0), "0"),
        (formats.count(12.25), "12.2"),
        (formats.count(1234567), "1,234,567"),
        (formats.count(1234.5), "1,234"),
        (formats.rate(0.0), "0"),
        (formats.rate(0.01), "<0.1"),
        (formats.rate(0.06), "0.1"),
        (formats.rate(12.0), "12"),
        (formats.share(None), "-"),
        (formats.share(0.8412), "84.1 %"),
        (formats.part(1, 0), "-"),
        (formats.part(1, 4), "25.0 %"),
        (formats.seconds(5e-6), "5 µs"),
        (formats.seconds(2e-4), "200 µs"),
        (formats.seconds(1e-3), "1 ms"),
        (formats.seconds(10.0), "10 s"),
        (formats.seconds(float("inf")), "> 10 s"),
        (formats.seconds(0.0), "0"),
        (formats.ago(0.4), "0 s"),
        (formats.ago(119), "119 s"),
        (formats.ago(400), "7 min"),
        (formats.ago(7200), "2 h"),
        (formats.ago(1e6), "12 d"),
        (formats.size(999), "999 bytes"),
        (formats.size(12_345_678), "11.8 MiB"),
        (formats.size(5e13), "45.5 TiB"),
    ],
)
def test_numbers_are_spelled_for_people(made: str, text: str) -> None:
    assert made == text
