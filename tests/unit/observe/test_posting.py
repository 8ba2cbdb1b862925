"""What a process posts of itself, when, and that nothing of it is lost or doubled."""

import gc
import logging
import os
from collections.abc import Callable
from random import Random

import pytest

from botocache import Cache
from botocache._counting.stats import Stats
from botocache._errors import StoreError
from botocache._observe import posting as posting_module
from botocache._observe.posting import post_counts_of
from botocache._observe.records import Point
from botocache._observe.tidying import DEAD_AFTER, MOST_PROCESSES, Tidying
from botocache._settings.load import Settings
from botocache.stores.memory import MemoryStore
from tests.support.clock import FakeClock
from tests.support.forwarding_store import ForwardingStore
from tests.support.posts import CLEAR, WALL, Poster, overview
from tests.support.processes import forked

MINUTE = int(WALL) // 60


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(WALL)


@pytest.fixture
def store(clock: FakeClock) -> MemoryStore:
    return MemoryStore(clock=clock)


def misses(store: MemoryStore, clock: FakeClock) -> int:
    """Return the misses of all processes, which must be those of the points."""
    seen = overview(store, clock)
    assert seen.unreadable == 0
    assert sum(point.misses for point in seen.points) == seen.total.misses
    return seen.total.misses


def pause(process: Poster, clock: FakeClock, seconds: float = 10.0) -> bool:
    """Let an interval pass, and the thread do its round."""
    clock.advance(seconds)
    return process.posting.work()


# --- when it posts -------------------------------------------------------------------


def test_a_process_that_counts_nothing_posts_nothing(
    store: MemoryStore, clock: FakeClock
) -> None:
    process = Poster(store, clock)
    for _ in range(3):
        pause(process, clock)
    process.end()
    assert store.posted() == {}


def test_the_first_post_comes_an_interval_after_the_first_call(
    store: MemoryStore, clock: FakeClock
) -> None:
    process = Poster(store, clock)
    process.count(3)
    assert pause(process, clock, 9.0), "the thread goes on"
    assert store.posted() == {}
    pause(process, clock, 1.0)
    assert misses(store, clock) == 3


def test_a_post_has_all_that_was_counted_and_replaces_the_one_before(
    store: MemoryStore, clock: FakeClock
) -> None:
    process = Poster(store, clock)
    process.count(3)
    pause(process, clock)
    process.count(2)
    assert misses(store, clock) == 3
    pause(process, clock)
    assert misses(store, clock) == 5
    (record,) = overview(store, clock).processes
    assert (record.pid, record.host) == (os.getpid(), os.uname().nodename)
    assert (record.started, record.updated) == (WALL, WALL + 20.0)
    assert (record.has_ended, record.shadow) == (False, False)
    assert record.stats == process.cache.stats()
    assert (record.entries, record.size) == (0, 0)


def test_a_process_posts_only_news(store: MemoryStore, clock: FakeClock) -> None:
    process = Poster(store, clock)
    process.count()
    pause(process, clock)
    before = store.posted()
    pause(process, clock)
    assert store.posted() == before


def test_the_thread_ends_when_no_near_hit_can_come_without_a_call(
    store: MemoryStore, clock: FakeClock
) -> None:
    process = Poster(store, clock, ttl=60.0)
    process.count()
    assert pause(process, clock)
    assert pause(process, clock, 60.0)
    assert pause(process, clock, 20.0)
    assert not pause(process, clock, 20.0), "the TTL and two intervals are over"


def test_a_table_with_a_longer_ttl_keeps_the_thread_longer(
    store: MemoryStore, clock: FakeClock
) -> None:
    process = Poster(store, clock, ttl=60.0)
    process.add(ttl=600.0)
    process.count()
    assert pause(process, clock)
    assert pause(process, clock, 600.0)
    assert not pause(process, clock, 30.0)


def test_a_call_wakes_a_thread_that_is_late(
    store: MemoryStore, clock: FakeClock
) -> None:
    """As on Lambda, which freezes all threads between two calls."""
    process = Poster(store, clock)
    woken: list[float] = []
    process.posting._worker.wake = lambda: woken.append(clock())  # type: ignore[method-assign]  # no thread
    process.count()
    assert woken == [WALL]
    process.count()
    clock.advance(14.0)
    process.count()
    assert woken == [WALL], "the thread may still be on its way"
    clock.advance(1000.0)
    process.count()
    assert woken == [WALL, WALL + 1014.0]
    process.posting.work()
    assert misses(store, clock) == 4


def test_the_end_of_a_process_is_a_post(store: MemoryStore, clock: FakeClock) -> None:
    process = Poster(store, clock)
    process.count(7)
    process.end()
    assert misses(store, clock) == 7
    (record,) = overview(store, clock).processes
    assert record.has_ended


def test_the_end_is_posted_without_news_too(
    store: MemoryStore, clock: FakeClock
) -> None:
    process = Poster(store, clock)
    process.count()
    pause(process, clock)
    process.end()
    assert [record.has_ended for record in overview(store, clock).processes] == [True]
    before = store.posted()
    process.end()
    assert store.posted() == before, "once is enough"


def test_a_cache_that_is_closed_posts_before_and_goes_on_after(
    store: MemoryStore, clock: FakeClock
) -> None:
    process = Poster(store, clock)
    process.count(2)
    process.cache.close()
    assert misses(store, clock) == 2
    assert [record.has_ended for record in overview(store, clock).processes] == [True]
    process.count(3)
    pause(process, clock)
    assert misses(store, clock) == 5
    assert [record.has_ended for record in overview(store, clock).processes] == [False]


def test_after_an_uninstall_the_thread_posts_and_ends(
    store: MemoryStore, clock: FakeClock
) -> None:
    process = Poster(store, clock)
    process.count(2)
    process.posting._is_resting = True  # what `rest` sets if there is a thread
    assert not process.posting.work()
    assert misses(store, clock) == 2


# --- several caches ------------------------------------------------------------------


def test_caches_of_one_store_are_one_record(
    store: MemoryStore, clock: FakeClock
) -> None:
    process = Poster(store, clock)
    other = process.add(scope="another")
    other.services.counters.series("t", "Query").add_miss(0.1, 1.0)
    process.count(2)
    pause(process, clock)
    assert misses(store, clock) == 3
    assert len(overview(store, clock).processes) == 1


def test_a_cache_in_shadow_mode_has_a_record_of_its_own(
    store: MemoryStore, clock: FakeClock
) -> None:
    process = Poster(store, clock)
    shadow = process.add(shadow=True)
    shadow.services.counters.series("t", "Query").add_miss(0.1, 1.0)
    process.count(2)
    pause(process, clock)
    found = {r.shadow: r.stats.misses for r in overview(store, clock).processes}
    assert found == {False: 2, True: 1}


def test_what_a_cache_has_counted_outlives_it(
    store: MemoryStore, clock: FakeClock
) -> None:
    process = Poster(store, clock)
    other: Cache | None = process.add(scope="a tenant")
    assert other is not None
    other.services.counters.series("t", "Query").add_miss(0.1, 1.0)
    process.count(2)
    other = None
    gc.collect()
    pause(process, clock)
    assert misses(store, clock) == 3
    (poster,) = process.posting._posters.values()
    assert len(poster._sources) == 1, "nothing is kept of it but its counts"
    process.count()
    pause(process, clock)
    assert misses(store, clock) == 4


def test_a_store_whose_caches_are_gone_is_let_go(
    store: MemoryStore, clock: FakeClock
) -> None:
    process = Poster(store, clock)
    process.count(2)
    del process.cache
    gc.collect()
    pause(process, clock)
    assert misses(store, clock) == 2
    assert process.posting._posters == {}


# --- records that others have merged -------------------------------------------------


def merge_all(store: MemoryStore, clock: FakeClock) -> None:
    """Merge every process, as others do once it is dead."""
    tidying = Tidying(store, CLEAR, clock() + 30 * 86400.0, lambda: os.urandom(8).hex())
    posted = store.posted()
    names = [name for name in posted if name.startswith("process-")]
    tidying._merge_processes(names, [n for n in posted if n.startswith("past")])


def test_a_process_that_was_taken_for_dead_is_not_counted_twice(
    store: MemoryStore, clock: FakeClock
) -> None:
    process = Poster(store, clock)
    process.count(3)
    pause(process, clock)
    merge_all(store, clock)
    assert overview(store, clock).past_processes == 1
    process.count(2)
    pause(process, clock, 3600.0)
    assert misses(store, clock) == 5
    (record,) = overview(store, clock).processes
    assert record.stats.misses == 2


class Doubtful(ForwardingStore):
    """A board that may fail, before or after it has done what it was asked to."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.memory = store
        self.fails: str | None = None
        self.is_busy = False
        self.names, self.posted = store.names, store.posted
        self.usage = store.usage

    def _before(self, verb: str) -> None:
        pass

    def _do(self, change: Callable[[], bool | None]) -> bool | None:
        fails, self.fails = self.fails, None
        if fails == "before":
            raise StoreError("refused")
        done = change()
        if fails == "after":
            raise StoreError("the reply is lost")
        return done

    def post(self, name: str, record: bytes, ttl: float) -> None:
        self._do(lambda: self.memory.post(name, record, ttl))

    def merge(self, *arguments: object) -> bool:
        if self.is_busy:
            return False
        return bool(self._do(lambda: self.memory.merge(*arguments)))  # type: ignore[arg-type]  # passed on


@pytest.mark.parametrize("fails", ["before", "after"])
@pytest.mark.parametrize("at", range(6))
def test_a_post_that_fails_is_made_up_for(
    store: MemoryStore, clock: FakeClock, fails: str, at: int
) -> None:
    """The counts and the points are two posts; each of six rounds may fail."""
    doubtful = Doubtful(store)
    process = Poster(doubtful, clock)
    for number in range(6):
        process.count(10 + number)
        doubtful.fails = fails if number == at else None
        pause(process, clock)
    process.count()
    doubtful.fails = None
    pause(process, clock)
    assert misses(store, clock) == sum(range(10, 16)) + 1


def test_points_whose_reply_is_lost_are_not_counted_twice(
    store: MemoryStore, clock: FakeClock
) -> None:
    board = Doubtful(store)
    process = Poster(board, clock)
    process.count(3)

    def post(name: str, record: bytes, ttl: float) -> None:
        if name.startswith("hour-") and not lost:
            lost.append(name)
            board.fails = "after"
        Doubtful.post(board, name, record, ttl)

    lost: list[str] = []
    board.post = post  # type: ignore[method-assign]
    pause(process, clock)
    assert lost
    process.count(2)
    pause(process, clock)
    process.count()
    pause(process, clock)
    assert misses(store, clock) == 6


def test_a_board_that_another_process_keeps_busy_loses_nothing(
    store: MemoryStore, clock: FakeClock
) -> None:
    doubtful = Doubtful(store)
    process = Poster(doubtful, clock)
    process.count(3)
    pause(process, clock)
    doubtful.is_busy = True
    process.count(2)
    process.end()
    assert misses(store, clock) == 5


def test_a_failure_is_one_line_at_info_and_no_failure_of_a_call(
    store: MemoryStore, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "botocache")
    doubtful = Doubtful(store)
    process = Poster(doubtful, clock)
    for _ in range(3):
        process.count()
        doubtful.fails = "before"
        pause(process, clock)
    (line,) = caplog.records
    assert line.levelno == logging.INFO
    assert "stats_not_posted" in line.getMessage()
    assert "refused" in line.getMessage()
    assert process.cache.stats().failures == {}


# --- forks ---------------------------------------------------------------------------


def test_a_forked_child_is_a_process_of_its_own(clock: FakeClock) -> None:
    store = MemoryStore(clock=clock)
    process = Poster(store, clock)
    process.count(5)
    pause(process, clock)
    process.count(3)  # not posted before the fork: the parent posts it, not the child

    def count_and_end(pipe: "object") -> None:
        process.count(2)
        process.end()
        records = overview(store, clock).processes
        pipe.send([(r.pid, r.stats.misses) for r in records])  # type: ignore[attr-defined]  # a Connection

    with forked(count_and_end) as pipe:
        found = dict(pipe.recv())
    child = ({*found} - {os.getpid()}).pop()
    assert found == {os.getpid(): 5, child: 2}
    process.end()
    assert misses(store, clock) == 8


def test_the_thread_ends_before_a_fork(store: MemoryStore, clock: FakeClock) -> None:
    """Python 3.12 and later warn of a fork in a process that has threads."""
    process = posting_module.Posting(clock=clock, wall_clock=clock)
    cache = Cache(store, Settings(url="memory:"))
    process.attach(cache, store)
    process.note_call()
    assert process._worker.is_at_work
    process.stop_before_fork()
    assert not process._worker.is_at_work
    process.note_call()
    assert process._worker.is_at_work, "the next call starts another one"
    process._worker.stop(10.0)


# --- points --------------------------------------------------------------------------


def test_points_say_what_happened_in_a_minute(
    store: MemoryStore, clock: FakeClock
) -> None:
    process = Poster(store, clock)
    counters = process.cache.services.counters
    process.count(2, "a")
    series = counters.series("a", "Query")
    series.add_store_hit(0.001, 4.0)
    series.add_write(3)
    series.add_throttled()
    series.add_comparison("lasting", 7.0)
    pause(process, clock)
    clock.advance(60.0)
    process.count(1, "b")
    pause(process, clock, 0.0)
    assert overview(store, clock).points == (
        Point(MINUTE, "a", 4.0, 1.0, 1, 2, 1, 1, 1),
        Point(MINUTE + 1, "b", 0.0, 0.5, 0, 1, 0, 0, 0),
    )


def test_the_points_of_each_hour_have_a_record_of_their_own(
    store: MemoryStore, clock: FakeClock
) -> None:
    process = Poster(store, clock)
    for _ in range(4):
        process.count()
        pause(process, clock, 1800.0)
    hours = [name for name in store.names() if name.startswith("hour-")]
    assert len(hours) == 3
    assert misses(store, clock) == 4


# --- which installations post --------------------------------------------------------


@pytest.mark.parametrize("interval", [0.0, 10.0])
def test_what_no_other_process_could_read_is_not_posted(
    store: MemoryStore, interval: float
) -> None:
    cache = Cache(store, Settings(url="memory:", stats_interval=interval))
    post_counts_of(cache, store)
    assert cache.poster is None


def test_a_store_without_a_board_is_left_alone(store: MemoryStore) -> None:
    class Plain(ForwardingStore):
        def _before(self, verb: str) -> None:
            pass

    plain = Plain(store)
    cache = Cache(plain, Settings(url="memory:"))
    post_counts_of(cache, plain)
    assert cache.poster is None
    assert overview(plain, FakeClock(WALL)).total == Stats()


# --- tidying -------------------------------------------------------------------------


def test_many_short_processes_leave_few_records_and_exact_sums(
    store: MemoryStore, clock: FakeClock
) -> None:
    random = Random(7).randbytes  # when a process tidies is a matter of chance
    for number in range(400):
        process = Poster(store, clock, random=random)
        process.count(number % 7 + 1)
        process.end()
        clock.advance(1.0)
    assert misses(store, clock) == sum(number % 7 + 1 for number in range(400))
    seen = overview(store, clock)
    assert len(seen.processes) + seen.past_processes == 400
    assert len(store.names()) < 3 * MOST_PROCESSES


def test_living_processes_are_not_merged_while_they_post(
    store: MemoryStore, clock: FakeClock
) -> None:
    processes = [Poster(store, clock) for _ in range(MOST_PROCESSES + 10)]
    for _ in range(3):
        for process in processes:
            process.count()
            process.posting.work()
        clock.advance(10.0)
        Tidying(store, CLEAR, clock(), lambda: "new").tidy()
    for process in processes:
        process.posting.work()
    seen = overview(store, clock)
    assert len(seen.processes) == len(processes)
    assert misses(store, clock) == 3 * len(processes)


def test_dead_processes_are_merged_once_there_are_many(
    store: MemoryStore, clock: FakeClock
) -> None:
    for _ in range(MOST_PROCESSES + 10):
        process = Poster(store, clock)
        process.count(2)
        pause(process, clock)  # and it is killed
    clock.advance(DEAD_AFTER + 1.0)
    Tidying(store, CLEAR, clock(), lambda: "new").tidy()
    seen = overview(store, clock)
    assert (len(seen.processes), seen.past_processes) == (MOST_PROCESSES, 10)
    assert misses(store, clock) == 2 * (MOST_PROCESSES + 10)
