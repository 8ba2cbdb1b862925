"""What a process that follows streams exports, and what it does not."""

import json
from dataclasses import replace

from botocache._counting.stats import Stats, StreamStats
from botocache._observe.cloudwatch import CloudWatchExporter
from botocache._observe.readings import Totals
from botocache._streams.embedded import EmbeddedFollower
from tests.support import followers
from tests.support.clock import FakeClock
from tests.support.counted import Counted, readings_of
from tests.support.followers import item
from tests.support.stand_in_source import StandInSource

USERS = StreamStats("users", 1.5, 120, 240, 60, 2)


def of_streams(totals: Totals) -> dict[str, object]:
    """Return the values of the table `users`, without the beginning of their names."""
    return {
        name.removeprefix("botocache.streams."): value
        for (name, labels), value in totals.items()
        if name.startswith("botocache.streams.") and labels == ("users",)
    }


def test_a_process_exports_what_it_does_itself() -> None:
    cache = Counted()
    cache.now = Stats(streams=(USERS,))
    readings = readings_of(cache)
    assert of_streams(readings.read()) == {
        "lag": 1.5,
        "records": 120.0,
        "evictions": 240.0,
        "requests": 60.0,
        "gaps": 2.0,
    }
    cache.now = Stats(streams=(replace(USERS, lag=3.0, records=130),))
    found = of_streams(readings.read())
    assert (found["lag"], found["records"]) == (3.0, 130.0)


def test_the_counters_are_there_with_zeros_and_the_lag_only_where_it_is_known() -> None:
    cache = Counted()
    cache.now = Stats(streams=(StreamStats("users"),))
    found = of_streams(readings_of(cache).read())
    assert found == {"records": 0.0, "evictions": 0.0, "requests": 0.0, "gaps": 0.0}


def test_of_several_caches_the_greatest_lag_counts() -> None:
    one, other = Counted(), Counted()
    one.now = Stats(streams=(USERS,))
    other.now = Stats(streams=(replace(USERS, lag=9.0),))
    readings = readings_of(one)
    readings.add(other, other)
    assert of_streams(readings.read())["lag"] == 9.0


def test_cloudwatch_has_the_table_as_their_only_dimension() -> None:
    cache = Counted()
    cache.now = Stats(streams=(USERS,))
    lines: list[str] = []

    def write(line: str) -> bool:
        lines.append(line)
        return True

    CloudWatchExporter(readings_of(cache), lambda: 1.0, write).export()
    (line,) = [json.loads(each) for each in lines]
    (about,) = line["_aws"]["CloudWatchMetrics"]
    assert about["Dimensions"] == [["table"]]
    assert (line["table"], line["streams.lag"], line["streams.gaps"]) == (
        "users",
        1.5,
        2,
    )
    assert "operation" not in line


def test_a_sum_of_processes_has_no_streams() -> None:
    one = Stats(streams=(USERS,))
    assert (one + one).streams == ()


# --- of a follower -------------------------------------------------------------------


def test_the_lag_grows_while_the_store_fails() -> None:
    table = followers.FollowedTable()
    follower = table.follower()
    table.run(follower, seconds=10)
    (before,) = follower.stream_stats()
    assert before.lag is not None
    assert before.lag < 4.0

    def fail(*_: object) -> bool:
        raise OSError("the store is down")

    table.store.merge = fail  # type: ignore[method-assign, assignment]  # it fails
    table.run(follower, seconds=30)
    (after,) = follower.stream_stats()
    assert after.lag is not None
    assert after.lag > 29.0


def test_a_process_that_stands_by_exports_no_lag() -> None:
    table = followers.FollowedTable()
    leader, other = table.follower(), table.follower(most=1)
    table.run(leader, seconds=5)
    table.stream.put(item("7"))
    table.run(leader, other, seconds=5)
    (led,), (stands_by,) = leader.stream_stats(), other.stream_stats()
    assert led.lag is not None
    assert (led.records, led.evicted) == (1, 3)
    assert stands_by == StreamStats(table.stream.table)


def test_a_service_that_follows_again_goes_on_counting() -> None:
    table = followers.FollowedTable()
    embedded = EmbeddedFollower(table.follower, table.clock, start=lambda _: None)
    assert embedded.stream_stats() == ()

    def run(name: str) -> None:
        for at in range(200):
            if at == 100:
                table.stream.put(item(name))
            embedded._work()
            assert isinstance(table.clock, FakeClock)
            table.clock.advance(0.1)

    run("7")
    embedded.rest()
    (ended,) = embedded.stream_stats()
    assert (ended.lag, ended.records) == (None, 1)
    run("8")
    (again,) = embedded.stream_stats()
    assert again.lag is not None
    assert again.records == 2
    assert again.requests > ended.requests


def test_requests_are_counted_also_where_they_fail() -> None:
    table = followers.FollowedTable()
    source = StandInSource(table.stream)
    follower = table.follower(source)
    table.run(follower, seconds=5)
    (before,) = follower.stream_stats()
    table.stream.throttle(5)
    table.run(follower, seconds=10)
    (after,) = follower.stream_stats()
    assert after.requests > before.requests
