"""The promises of every board, tested through the Board protocol and a fake clock."""

from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path

import pytest

from botocache._coherence import EvictionRequest
from botocache._errors import StoreError
from botocache.stores.boards import LARGEST_RECORD, LONGEST_LIFE, MOST_PARTS
from botocache.stores.protocol import Board, Fill, Store
from tests.support.clock import FakeClock
from tests.support.digests import key, tag
from tests.support.processes import in_threads
from tests.support.stores import opened_store

TTL = 60.0
DAY = 86400.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["memory", "keyed", "disk", "redis", "cluster"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock
) -> Iterator[Store]:
    with opened_store(request.param, request) as made:
        yield made


@pytest.fixture
def board(store: Store) -> Board:
    assert isinstance(store, Board)
    return store


def posted(board: Board) -> dict[str, bytes]:
    """Return all records, which must be those that `names` names."""
    found = board.posted()
    assert {*board.names()} == {*found}
    return found


def test_a_new_board_is_empty(board: Board) -> None:
    assert posted(board) == {}


@pytest.mark.parametrize(
    "record",
    [b"", b"\0", b"record", bytes(range(256)), b"\xff" * LARGEST_RECORD],
    ids=["empty", "zero", "text", "every byte", "a megabyte"],
)
def test_a_record_comes_back_as_it_was_posted(board: Board, record: bytes) -> None:
    board.post("a", record, TTL)
    assert posted(board) == {"a": record}


def test_a_record_replaces_the_one_with_its_name_alone(board: Board) -> None:
    board.post("a", b"an older and longer one", TTL)
    board.post("b", b"b", TTL)
    board.post("a", b"newer", TTL)
    assert posted(board) == {"a": b"newer", "b": b"b"}


def test_posted_returns_the_records_that_are_asked_for_and_there(board: Board) -> None:
    for name in ("a", "b", "c"):
        board.post(name, name.encode(), TTL)
    assert board.posted(["c", "a", "missing"]) == {"a": b"a", "c": b"c"}
    assert board.posted([]) == {}


@pytest.mark.parametrize("name", ["a", "A.b-c_9", "past", "9" * 100])
def test_names_of_records_may_have_letters_digits_and_some_signs(
    board: Board, name: str
) -> None:
    board.post(name, b"record", TTL)
    assert board.merge({name: b"record"}, name, b"next", TTL)
    assert posted(board) == {name: b"next"}


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../a", "a/b", "-a", "a b", "a\n", "é", "٣", "a" * 101]
)
def test_other_names_are_refused(board: Board, name: str) -> None:
    with pytest.raises(StoreError):
        board.post(name, b"record", TTL)
    with pytest.raises(StoreError):
        board.merge({}, name, b"record", TTL)
    assert board.posted([name]) == {}
    assert board.merge({name: b""}, "a", b"record", TTL) is False
    assert posted(board) == {}


def test_a_record_that_is_too_large_is_refused(board: Board) -> None:
    large = bytes(LARGEST_RECORD + 1)
    with pytest.raises(StoreError):
        board.post("a", large, TTL)
    with pytest.raises(StoreError):
        board.merge({}, "a", large, TTL)
    assert posted(board) == {}


def test_a_record_is_there_until_its_life_ends(board: Board, clock: FakeClock) -> None:
    board.post("short", b"short", 60.0)
    board.post("long", b"long", 120.0)
    clock.advance(59.0)
    assert posted(board) == {"short": b"short", "long": b"long"}
    clock.advance(2.0)
    assert board.posted() == {"long": b"long"}
    assert {*board.names()} == {"long"}, "what has expired is dropped when it is read"


def test_a_record_lives_as_long_as_the_last_post_says(
    board: Board, clock: FakeClock
) -> None:
    board.post("posted", b"a", 60.0)
    board.post("merged", b"b", 60.0)
    clock.advance(50.0)
    board.post("posted", b"a", 60.0)
    assert board.merge({"merged": b"b"}, "merged", b"b", 60.0)
    clock.advance(50.0)
    assert posted(board) == {"posted": b"a", "merged": b"b"}


@pytest.mark.parametrize("ttl", [0.0, -1.0])
def test_a_record_without_a_life_is_not_there(
    board: Board, clock: FakeClock, ttl: float
) -> None:
    board.post("a", b"record", ttl)
    clock.advance(0.125)
    assert board.posted() == {}


def test_no_record_lives_longer_than_the_longest_life(
    board: Board, clock: FakeClock
) -> None:
    board.post("a", b"record", 1e12)
    clock.advance(LONGEST_LIFE - DAY)
    assert board.posted() == {"a": b"record"}
    clock.advance(2 * DAY)
    assert board.posted() == {}


# --- merging -------------------------------------------------------------------------


def test_a_merge_puts_one_record_in_the_place_of_several(board: Board) -> None:
    for name in ("a", "b", "other"):
        board.post(name, name.encode(), TTL)
    assert board.merge({"a": b"a", "b": b"b"}, "sum", b"a+b", TTL)
    assert posted(board) == {"sum": b"a+b", "other": b"other"}


def test_a_merge_may_replace_one_of_its_parts(board: Board) -> None:
    board.post("a", b"a", TTL)
    board.post("sum", b"before", TTL)
    assert board.merge({"a": b"a", "sum": b"before"}, "sum", b"before+a", TTL)
    assert posted(board) == {"sum": b"before+a"}


def test_a_merge_of_no_parts_puts_a_record_that_is_not_there(board: Board) -> None:
    assert board.merge({}, "a", b"first", TTL)
    assert not board.merge({}, "a", b"second", TTL)
    assert posted(board) == {"a": b"first"}


def test_a_merge_that_is_repeated_changes_nothing(board: Board) -> None:
    board.post("a", b"a", TTL)
    board.post("sum", b"1", TTL)
    parts = {"a": b"a", "sum": b"1"}
    assert board.merge(parts, "sum", b"2", TTL)
    assert not board.merge(parts, "sum", b"3", TTL)
    assert posted(board) == {"sum": b"2"}


@pytest.mark.parametrize(
    "parts",
    [
        {"a": b"a", "missing": b""},
        {"a": b"a", "b": b"another"},
        {"a": b"a", "b": b"B"},
        {"a": b"a", "b": b"b "},
        {"a": b"a", "b": b""},
    ],
    ids=["missing", "longer", "as long", "one byte more", "empty"],
)
def test_a_merge_changes_nothing_if_a_part_is_not_as_given(
    board: Board, parts: dict[str, bytes]
) -> None:
    there = {"a": b"a", "b": b"b"}
    for name, record in there.items():
        board.post(name, record, TTL)
    assert not board.merge(parts, "sum", b"sum", TTL)
    assert not board.merge(parts, "a", b"sum", TTL)
    assert posted(board) == there


def test_a_merge_changes_nothing_if_its_name_is_taken_by_no_part(board: Board) -> None:
    board.post("a", b"a", TTL)
    board.post("sum", b"of others", TTL)
    assert not board.merge({"a": b"a"}, "sum", b"a", TTL)
    assert posted(board) == {"a": b"a", "sum": b"of others"}


def test_a_part_that_has_expired_is_not_there(board: Board, clock: FakeClock) -> None:
    board.post("a", b"a", 60.0)
    clock.advance(61.0)
    assert not board.merge({"a": b"a"}, "sum", b"a", TTL)
    assert board.posted() == {}


def test_a_name_whose_record_has_expired_is_free(
    board: Board, clock: FakeClock
) -> None:
    board.post("sum", b"old", 60.0)
    clock.advance(61.0)
    assert board.merge({}, "sum", b"new", TTL)
    assert posted(board) == {"sum": b"new"}


def test_a_hundred_records_are_merged_at_once_and_no_more(board: Board) -> None:
    parts = {f"part-{n}": b"%d" % n for n in range(MOST_PARTS + 1)}
    for name, record in parts.items():
        board.post(name, record, TTL)
    with pytest.raises(StoreError):
        board.merge(parts, "sum", b"sum", TTL)
    last = parts.popitem()
    assert board.merge(parts, "sum", b"sum", TTL)
    assert posted(board) == dict([last, ("sum", b"sum")])


def test_threads_that_merge_at_once_count_each_record_once(board: Board) -> None:
    """Each thread adds its records to the sum until none is left."""
    everything = [f"part-{n}" for n in range(24)]

    def post_and_merge(number: int) -> None:
        for name in everything[number::4]:
            board.post(name, b"1", TTL)
            while name in (there := board.posted()):
                some = [n for n in there if n != "sum"][:3]
                parts = {n: there[n] for n in [*some, "sum"] if n in there}
                total = sum(map(int, parts.values()))
                board.merge(parts, "sum", b"%d" % total, TTL)

    in_threads([partial(post_and_merge, n) for n in range(4)])
    assert posted(board) == {"sum": b"24"}


# --- beside the entries --------------------------------------------------------------


def test_records_stay_when_entries_are_evicted_and_cleared(
    store: Store, board: Board
) -> None:
    board.post("a", b"a", TTL)
    store.fill_many([Fill(key("an entry"), b"entry", TTL, [tag("a")])])
    store.evict(EvictionRequest([tag("a")], 5.0))
    store.clear()
    assert posted(board) == {"a": b"a"}


def test_a_closed_store_opens_its_board_again(store: Store, board: Board) -> None:
    board.post("a", b"a", TTL)
    store.close()
    assert board.merge({"a": b"a"}, "a", b"b", TTL)
    assert posted(board) == {"a": b"b"}


def test_usage_counts_entries_or_says_that_it_does_not_know(
    store: Store, board: Board
) -> None:
    empty = board.usage()
    for name in ("one", "two", "three"):
        store.fill(key(name), bytes(10_000), TTL, [tag("a")])
    full = board.usage()
    assert (empty.entries, full.entries) in [(0, 3), (None, None)]
    if full.size is not None:
        assert full.size >= 30_000


def test_usage_is_known_on_this_machine(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock
) -> None:
    for kind in ("memory", "keyed", "disk"):
        with opened_store(kind, request) as store:
            assert isinstance(store, Board)
            usage = store.usage()
            assert usage.entries == 0
            assert usage.size is not None


def test_all_kinds_of_bytes_may_follow_each_other_under_one_name(board: Board) -> None:
    records = [b"", b"a", b"\0" * 9, b"ab", b"a", b""]
    board.post("a", records[0], TTL)
    for before, after in zip(records, chain(records[1:], [b"end"]), strict=True):
        assert board.merge({"a": before}, "a", after, TTL)
    assert posted(board) == {"a": b"end"}
