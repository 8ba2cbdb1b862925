"""The races that other caches lost in public, played on ours.

Each schedule is the one that is described at its source, in the steps of our own
reads and writes. `play` judges each hit and each fill on the way, and at the end reads
again and again. For google-cloud-ndb, which locks where botocache holds off, "lock" is
to be read as first eviction, and "delete" as second.
"""

import logging
from collections.abc import Iterator

import pytest

from tests.explorer.explore import follow
from tests.explorer.programs import Program, Run

MISS = "all entries are lost"
R, W, W2 = "client 0 get", "client 1 update", "client 2 update"
OLD = "the server reads version 1"


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)  # failures are meant
    yield
    logging.disable(logging.NOTSET)


def play(operations: str, *schedule: str) -> Run:
    """Play a schedule to its end; operations by client 0, 1, ... in their order."""
    names = tuple(operations.split(", "))
    run = Program(names, tuple(range(len(names))), faults=3, moves=3).start()
    follow(run, schedule)
    run.world.faults = run.world.moves = 0
    while choices := run.choices():
        run.take(choices[0])
    run.conclude()
    return run


def hits(run: Run, client: int = 0) -> int:
    return run.world.caches[client].stats().hits


# --- google-cloud-ndb and its predecessor --------------------------------------------


def test_ndb_651_a_reader_cannot_overwrite_what_a_writer_left() -> None:
    """googleapis/python-ndb #651: a reader blindly sets its lock over the writer's.

    Ours leaves no trace that a writer must undo: it takes a snapshot. The writer's
    first eviction stands, so the fill is born dead though the second one fails.
    """
    run = play(
        "get, update",
        *(MISS, f"{R}: load", f"{W}: evict", f"{R}: {OLD}"),
        *(f"{W}: the server commits", f"{W}: evict fails", f"{R}: fill"),
    )
    assert run.world.caches[1].stats().failures["evict_failed"] == 1


def test_ndb_652_a_reader_that_could_not_take_its_snapshot_fills_nothing() -> None:
    """googleapis/python-ndb #652: a reader's lock fails, and the reader continues.

    Ours has no ticket then, and nothing to fill with.
    """
    run = play(
        "get, update",
        *(MISS, f"{W}: evict", f"{R}: load fails", f"{R}: {OLD}"),
        *(f"{W}: the server commits", f"{W}: evict fails"),
    )
    assert run.world.caches[0].stats().failures == {"begin_failed": 1}


TWO_WRITERS = (
    *(f"{W}: evict", f"{W}: the server commits", f"{W2}: evict", f"{W}: evict"),
    *(f"{R}: load", f"{R}: the server reads version 2", f"{W2}: the server commits"),
)


@pytest.mark.parametrize("end", ["evict", "evict fails"])
def test_ndb_653_the_end_of_one_write_does_not_reopen_filling_during_another(
    end: str,
) -> None:
    """googleapis/python-ndb #653, examples 1 and 2: a writer deletes another's lock.

    Ours shortens a hold-off only if it finds its own generation there: the second
    writer's hold-off stands, so the read in between is not filled at all.
    """
    run = play("get, update, update", *TWO_WRITERS, f"{W2}: {end}")
    assert run.world.caches[0].stats().held >= 1


def test_ndb_692_writers_that_overlap_in_any_way_both_end_well() -> None:
    """googleapis/python-ndb #692: a lock's list of owners is read, changed, written.

    Ours replaces a generation by a random one, whatever was there: nothing that a
    writer has read is written back, so no write can be undone.
    """
    run = play(
        "get, update, update",
        *(f"{W}: evict", f"{W2}: evict", f"{W}: the server commits"),
        *(f"{W2}: the server commits", f"{W2}: evict", f"{W}: evict"),
    )
    assert not any(cache.stats().failures for cache in run.world.caches)


@pytest.mark.parametrize("lost", [MISS, "all generations are lost"])
def test_ndb_649_losing_the_whole_cache_during_a_write_only_causes_misses(
    lost: str,
) -> None:
    """googleapis/python-ndb #649 and #654: a flush takes all locks with it.

    Ours keeps nothing in an entry that a write depends on; and where generations are
    lost, a new one is one that no entry has.
    """
    play(
        "get, update",
        *(MISS, f"{R}: load", f"{W}: evict", f"{R}: {OLD}", lost),
        *(f"{W}: the server commits", f"{R}: fill", f"{W}: evict"),
    )


def test_ndb_84_a_read_from_before_a_write_never_becomes_a_hit() -> None:
    """GoogleCloudPlatform/datastore-ndb-python #84: a lock read back as one's own.

    The value was the writer's; its delete then fails, and the old value is set.
    Ours compares what was current before the read with what is current at a hit.
    """
    play(
        "get, update",
        *(MISS, f"{R}: load", f"{R}: {OLD}", f"{W}: evict"),
        *(f"{W}: the server commits", f"{R}: fill", f"{W}: evict fails"),
    )


# --- AWS -----------------------------------------------------------------------------


def test_aws_shim_a_put_during_a_miss_does_not_leave_the_old_item() -> None:
    """The AWS sample CacheClient sets what it read after the put had deleted nothing.

    Ours fills with the snapshot of before the put, which nothing ever equals again.
    """
    play(
        "get, put",
        *(MISS, f"{R}: load", f"{R}: {OLD}"),
        *("client 1 put: evict", "client 1 put: the server commits"),
        *("client 1 put: evict", f"{R}: fill"),
    )


def test_aws_dax_a_query_shows_the_write_that_came_before_it() -> None:
    """DAX keeps items and queries apart: a query does not see one's own write.

    Ours evicts the partitions that an item belongs to with the item.
    """
    play(
        "query, put",
        *("client 1 put: evict", "client 1 put: the server commits"),
        *("client 1 put: evict", "client 0 query: load"),
        "client 0 query: the server reads version 2",
    )


# --- Facebook ------------------------------------------------------------------------


def test_facebook_a_stale_set_after_a_fresh_one_is_not_served() -> None:
    """Scaling Memcache at Facebook, 3.2.1: a slow reader sets what it read long ago.

    It does so over what a fast one has set since. Their lease is our snapshot.
    The fresh entry is overwritten, which costs a miss.
    """
    fast = "client 2 get"
    play(
        "get, update, get",
        *(MISS, f"{R}: load", f"{R}: {OLD}"),
        *(f"{W}: evict", f"{W}: the server commits", f"{W}: evict", "1.1 s pass"),
        *(f"{fast}: load", f"{fast}: the server reads version 2", f"{fast}: fill"),
        f"{R}: fill",
    )


def test_facebook_an_answer_of_a_lagging_replica_is_not_kept() -> None:
    """Scaling Memcache at Facebook, 5: after a write a replica has the old value.

    A remote marker says so, until another writer's replication removes it.
    Ours holds off filling for as long as a replica may lag, and no writer shortens
    what another one needs.
    """
    run = play(
        "get, update, update",
        *(f"{W}: evict", f"{W2}: evict", f"{W}: the server commits", f"{W}: evict"),
        *(f"{W2}: the server commits", f"{W2}: evict"),
        *(f"{R}: load", f"{R}: the server reads version 2"),
    )
    assert run.world.caches[0].stats().held >= 1


def test_facebook_a_value_from_elsewhere_is_not_added_during_the_hold_off() -> None:
    """Scaling Memcache at Facebook, 4.3: a cold cluster is filled from a warm one.

    The delete is late there, and outlasts the two seconds of hold-off.
    Ours does not rest on the hold-off alone: a write that takes longer than its window
    evicts what was filled meanwhile when it ends.
    """
    play(
        "get, update",
        *(MISS, f"{W}: evict", "5.1 s pass", f"{R}: load", f"{R}: {OLD}", f"{R}: fill"),
        *(f"{W}: the server commits", f"{W}: evict"),
    )


# --- Hibernate and others ------------------------------------------------------------


def test_hibernate_losing_the_timestamps_makes_no_old_entry_current() -> None:
    """Hibernate's UpdateTimestampsCache: no timestamp of a table, no change of it.

    So evicting that region brings old query results back.
    With us missing never means unchanged: what replaces a generation is in no entry.
    """
    run = play(
        "query, update",
        *(f"{W}: evict", f"{W}: the server commits", f"{W}: evict"),
        "all generations are lost",
    )
    assert hits(run) > 0


def test_hibernate_a_different_clock_changes_nothing() -> None:
    """hazelcast-hibernate #28 and #79: timestamps of drifting or delayed clocks.

    Generations are compared for equality. An hour that passes between the halves of a
    write changes no more than what expires.
    """
    play(
        "get, update",
        *(f"{R}: load", f"{W}: evict", "60.1 s pass"),
        *(f"{W}: the server commits", f"{W}: evict"),
    )


def test_cacheops_478_a_missing_item_is_not_served_after_its_creation() -> None:
    """django-cacheops #478: "does not exist" is cached after the row was created.

    A missing item is an answer like any other, with a snapshot.
    """
    reader = "client 2 get"
    play(
        "delete, put, get",
        *("client 0 delete: evict", "client 0 delete: the server commits"),
        *("client 0 delete: evict", "1.1 s pass"),
        *(f"{reader}: load", f"{reader}: the server reads version 2"),
        *("client 1 put: evict", "client 1 put: the server commits"),
        *("client 1 put: evict", f"{reader}: fill"),
    )


def test_symfony_43301_a_lost_version_does_not_begin_at_zero_again() -> None:
    """symfony/symfony #43301: a tag's version is evicted, and reads as the first one.

    An entry that had been stored under the first one is valid again.
    A generation is random: the one that an entry of before the write has is gone.
    """
    play(
        "get, update, get",
        *(f"{W}: evict", f"{W}: the server commits", f"{W}: evict", "60.1 s pass"),
        *("all generations are lost", "client 2 get: load"),
    )
