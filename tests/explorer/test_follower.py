"""No schedule of a follower makes a hit break its promise; without a rule, one does."""

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from botocache._cache import reads as cache_reads
from botocache._cache.call_store import CallStore
from botocache._cache.heartbeats import Heartbeats
from botocache._cache.reads import Reads
from tests.explorer.explore import follow, sample
from tests.explorer.follower import FollowedProgram, FollowedRun, Follower
from tests.explorer.mutations import Patch
from tests.explorer.programs import Run
from tests.explorer.samples import with_seed
from tests.explorer.world import Violation

SEED = 20_261_129

READS = FollowedProgram(("get", "get", "get", "query"), (0, 0, 0, 1), 0, 3)
CONSISTENT = FollowedProgram(
    ("get", "get", "consistent get", "get"), (0, 1, 1, 0), 0, 3
)
PROGRAMS = [
    READS,
    CONSISTENT,
    FollowedProgram(("get", "get", "get", "get"), (0, 0, 0, 0), 0, 3, has_near=True),
    FollowedProgram(("get", "consistent get", "put", "get"), (0, 1, 1, 0), 1, 3),
    FollowedProgram(
        ("get", "get", "put", "update"), (0, 1, 1, 2), 1, 2, features=("through",)
    ),
    FollowedProgram(
        ("query", "get", "unanswered update", "delete"),
        (0, 0, 1, 1),
        1,
        2,
        has_near=True,
    ),
    FollowedProgram(
        ("scan", "index 1", "move", "get"), (0, 0, 1, 0), 1, 2, features=("images",)
    ),
    FollowedProgram(
        ("get", "get", "put", "get"), (0, 0, 1, 1), 0, 2, features=("consistent",)
    ),
]


def run_some(program: FollowedProgram, number: int) -> int:
    """Run schedules at random; return how many hits in them were trusted."""
    trusted = 0
    for seed in range(SEED, SEED + number):
        choose = Random(seed)
        run = program.start()
        assert isinstance(run, FollowedRun)
        with_seed(seed, program, lambda run=run, choose=choose: sample(run, choose))
        trusted += run.world.trusted
    return trusted


def test_no_sampled_schedule_with_a_follower_breaks_a_promise() -> None:
    assert sum(run_some(program, 15) for program in PROGRAMS) > 15


@pytest.mark.long
@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_no_schedule_of_many_with_a_follower_breaks_a_promise(
    program: FollowedProgram,
) -> None:
    assert run_some(program, 500) > 10


# --- that it would be seen ---------------------------------------------------------

_trusted_until = Reads._trusted_until
_make_hit = Reads._make_hit


def _posts_before_it_evicts(patch: pytest.MonkeyPatch) -> None:
    def handle(follower: Follower, versions: Sequence[int], until: float) -> None:
        follower.post(until)
        follower.evict(versions)
        follower.move_on(versions)

    patch.setattr(Follower, "handle", handle)


def _notes_its_position_before_it_evicts(patch: pytest.MonkeyPatch) -> None:
    def handle(follower: Follower, versions: Sequence[int], until: float) -> None:
        follower.move_on(versions)
        follower.evict(versions)
        follower.post(until)

    patch.setattr(Follower, "handle", handle)


def _passes_over_a_gap(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Follower, "evict_table", lambda *_: None)


def _evicts_a_gap_before_it_opens(patch: pytest.MonkeyPatch) -> None:
    def begin_anew(follower: Follower, asked_at: float) -> None:
        server = follower._world.server
        follower.evict_table(len(server.records))
        follower.post(asked_at)
        follower.position = len(server.records)

    patch.setattr(Follower, "begin_anew", begin_anew)


def _holds_nothing_off(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Follower, "SETTLE", 0.0)


def _takes_an_empty_page_for_the_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Follower, "is_end", lambda _, first, last: first == last)


def _trusts_for_ever(patch: pytest.MonkeyPatch) -> None:
    trusted = Heartbeats.trusted_until

    def trusted_until(*asked: Any) -> float:
        return float("inf") if trusted(*asked) else 0.0

    patch.setattr(Heartbeats, "trusted_until", trusted_until)


def _forgets_the_short_ttl(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(cache_reads, "served_until", lambda at, ttl, *_: at + ttl)


def _reads_the_heartbeat_after_the_generations(patch: pytest.MonkeyPatch) -> None:
    stores: list[CallStore] = []

    def asks_later(_: Reads, __: Any, ___: float, store: CallStore) -> float:
        stores[:] = [store]
        return 0.0

    def make_hit(reads: Reads, prepared: Any, key: Any, loaded: Any, *at: float) -> Any:
        until = _trusted_until(reads, prepared, at[0], stores[0])
        return _make_hit(reads, prepared, key, loaded, at[0], until)

    patch.setattr(Reads, "_trusted_until", asks_later)
    patch.setattr(Reads, "_make_hit", make_hit)


_COMMIT, _KILL, _HEIR = (
    "somebody else commits",
    "the follower is killed",
    "another follower takes over",
)
_BEGIN, _EVICT, _POST = "follower: begins", "follower: evict", "follower: fill"
_LOADS = ("client 0 get: load", "client 0 get: load")
"""The heartbeat, then the entry."""

MUTATIONS: dict[str, tuple[Patch, tuple[str, ...]]] = {
    "a heartbeat is posted before the evictions": (
        _posts_before_it_evicts,
        # Of two records in a page, the second one vouches for the first.
        (
            *(_COMMIT, "9.0 s pass", _COMMIT, _BEGIN, "follower: it gets 2 records"),
            *(_POST, _KILL, "1.1 s pass"),
        ),
    ),
    "the position is noted before the evictions": (
        _notes_its_position_before_it_evicts,
        (
            *(_COMMIT, _BEGIN, "follower: it gets 1 records", _KILL, "9.0 s pass"),
            *(_HEIR, _BEGIN, "follower: it gets 0 records", _POST, "1.1 s pass"),
        ),
    ),
    "a gap evicts nothing": (
        _passes_over_a_gap,
        (
            *(_COMMIT, "the stream is trimmed", "9.0 s pass", _BEGIN),
            *("follower: its position is trimmed", _POST, "1.1 s pass"),
        ),
    ),
    "a gap is evicted before the shard is opened": (
        _evicts_a_gap_before_it_opens,
        (
            *(_COMMIT, "the stream is trimmed", _BEGIN),
            *("follower: its position is trimmed", _EVICT, "1.1 s pass"),
            *_LOADS,
            "client 0 get: the server reads version 2",
            *(
                "client 0 get: load",  # of the key attributes, which it learns anew
                *["client 0 get: fill"] * 2,
                _COMMIT,
                _POST,
                _KILL,
                "21.0 s pass",
                _HEIR,
            ),
            *(_BEGIN, "follower: it gets 0 records", _POST),
        ),
    ),
    "a record holds nothing off": (
        _holds_nothing_off,
        (
            *(_COMMIT, _BEGIN, "follower: it gets 1 records", _EVICT),
            *_LOADS,
            "client 0 get: the server reads version 1",
            "client 0 get: load",
            *("client 0 get: fill", "client 0 get: fill"),
        ),
    ),
    "an empty page is taken for the end": (
        _takes_an_empty_page_for_the_end,
        (
            *(_COMMIT, "9.0 s pass", _BEGIN, "follower: it gets 0 records", _POST),
            "1.1 s pass",
        ),
    ),
    "a heartbeat is trusted for ever": (_trusts_for_ever, ("11.0 s pass",)),
    "the short TTL is forgotten": (_forgets_the_short_ttl, ("11.0 s pass",)),
    "the heartbeat is read after the generations": (
        _reads_the_heartbeat_after_the_generations,
        (
            *(_COMMIT, "11.0 s pass", "client 0 get: load", _BEGIN),
            *("follower: it gets 1 records", _EVICT, _POST),
            *("follower: it gets 0 records", _POST, "client 0 get: load"),
        ),
    ),
}


def _follow_to_the_end(run: Run, schedule: Sequence[str]) -> None:
    follow(run, schedule)
    run.conclude()


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_follower_or_a_reader_with_a_fault_is_caught(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, schedule = MUTATIONS[name]
    change(monkeypatch)
    run = READS.start()
    with pytest.raises(Violation) as caught:
        _follow_to_the_end(run, schedule)
    print(f"{name}: {type(caught.value).__name__}: {caught.value}")
