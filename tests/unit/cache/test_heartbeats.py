"""Heartbeats: posted by followers, trusted by readers for a while, asked for seldom."""

from collections.abc import Callable

import pytest

from botocache._cache.call_store import CallStore
from botocache._cache.entries import ClearEntries, encode_body
from botocache._cache.heartbeats import (
    _MOST_TABLES,
    TTL,
    Heartbeats,
    _decode,
    heartbeat_key,
)
from botocache._cache.services import CacheServices, services_of
from botocache._coherence import TRUST, served_until
from botocache._settings.load import load_settings
from botocache.stores.memory import MemoryStore
from tests.support.clock import FakeClock
from tests.support.failing_store import FailingStore
from tests.support.keys import key_text

REGION, TABLE = "us-east-1", "users"
SKEW = 60.0


@pytest.fixture
def store(clock: FakeClock) -> FailingStore:
    return FailingStore(MemoryStore(clock=clock))


class Process:
    """A process that shares the store."""

    def __init__(self, store: FailingStore, **settings: object) -> None:
        loaded = load_settings(settings, {}, "memory:")
        self.services: CacheServices = services_of(store, loaded)
        self.store = self.services.store

    @property
    def heartbeats(self) -> Heartbeats:
        return self.services.heartbeats

    def trusted_until(self, table: str = TABLE, region: str = REGION) -> float:
        """Return what a call that begins now is told."""
        call = CallStore(self.store)
        return self.heartbeats.trusted_until(region, table, self.store.now(), call)

    def failures(self) -> int:
        return self.services.counters.read(0).failures.get("heartbeat_failed", 0)


@pytest.fixture
def process(store: FailingStore) -> Process:
    return Process(store)


def test_a_table_without_a_heartbeat_is_not_followed(process: Process) -> None:
    assert process.trusted_until() == 0.0
    assert process.failures() == 0


def test_what_one_process_posts_another_trusts_for_ten_seconds(
    process: Process, store: FailingStore, clock: FakeClock
) -> None:
    Process(store).heartbeats.post(REGION, TABLE, clock() - 2.0)
    assert process.trusted_until() == clock() - 2.0 + TRUST
    assert TRUST == 10.0


def test_a_heartbeat_is_of_one_table_in_one_region(
    process: Process, clock: FakeClock
) -> None:
    process.heartbeats.post(REGION, TABLE, clock())
    assert process.trusted_until("orders") == 0.0
    assert process.trusted_until(region="eu-west-1") == 0.0


def test_the_store_is_asked_when_what_is_known_ends_and_once_a_second_at_most(
    process: Process, store: FailingStore, clock: FakeClock
) -> None:
    process.heartbeats.post(REGION, TABLE, clock())
    process.trusted_until()
    clock.advance(TRUST - 0.1)
    process.trusted_until()
    assert store.asked["load"] == 1
    for _ in range(4):  # the follower is dead
        clock.advance(0.4)
        for _ in range(5):
            process.trusted_until()
    # 0.3 s after the end of what was known, and 1.5 s after it.
    assert store.asked["load"] == 3
    process.heartbeats.post(REGION, TABLE, clock())
    clock.advance(1.0)
    assert process.trusted_until() == clock() - 1.0 + TRUST


def test_a_store_that_fails_means_unfollowed_and_is_not_asked_again_at_once(
    process: Process, store: FailingStore, clock: FakeClock
) -> None:
    process.heartbeats.post(REGION, TABLE, clock())
    store.failing = {"load"}
    assert process.trusted_until() == process.trusted_until() == 0.0
    assert store.failures == process.failures() == 1
    store.failing = set()
    clock.advance(1.0)
    assert process.trusted_until() > clock()


def test_a_call_whose_store_has_failed_does_not_ask_it(
    process: Process, store: FailingStore, clock: FakeClock
) -> None:
    call = CallStore(store)
    call.skip(OSError("no"))
    assert process.heartbeats.trusted_until(REGION, TABLE, clock(), call) == 0.0
    assert not store.asked["load"]


@pytest.mark.parametrize(
    ("ahead", "trusted"), [(-3.0, 7.0), (0.0, 10.0), (SKEW - 1, 10.0), (SKEW + 1, None)]
)
def test_a_moment_of_the_future_counts_as_now_or_far_ahead_as_damage(
    process: Process, clock: FakeClock, ahead: float, trusted: float | None
) -> None:
    process.heartbeats.post(REGION, TABLE, clock() + ahead)
    found = process.trusted_until()
    assert found == (0.0 if trusted is None else clock() + trusted)


@pytest.mark.parametrize("until", [float("nan"), float("inf"), -1.0, 0.0])
def test_an_impossible_moment_is_no_heartbeat(
    process: Process, store: FailingStore, clock: FakeClock, until: float
) -> None:
    key, now = heartbeat_key(REGION, TABLE), clock()
    packed = encode_body({"followed_until": until}, lambda _: {"followed_until": until})
    entry = ClearEntries().encode(key, packed, (), now, now + TTL)
    store.fill(key, entry, TTL)
    assert process.trusted_until() == 0.0


def _cut(entry: bytes) -> bytes:
    return entry[:-1]


def _turn_a_bit(entry: bytes) -> bytes:
    return entry[:-9] + bytes([entry[-9] ^ 1]) + entry[-8:]


@pytest.mark.parametrize("harm", [_cut, _turn_a_bit, lambda _: b"", lambda _: b"\2\1"])
def test_a_damaged_heartbeat_counts_as_none_and_is_reported(
    process: Process,
    store: FailingStore,
    clock: FakeClock,
    harm: Callable[[bytes], bytes],
) -> None:
    process.heartbeats.post(REGION, TABLE, clock())
    key = heartbeat_key(REGION, TABLE)
    entry = store.load(key, ()).entry
    assert entry is not None
    store.fill(key, harm(entry), TTL)
    assert process.trusted_until() == 0.0
    assert process.failures() == 1


def test_the_heartbeat_of_another_table_in_its_place_counts_as_none(
    process: Process, store: FailingStore, clock: FakeClock
) -> None:
    process.heartbeats.post(REGION, "orders", clock())
    entry = store.load(heartbeat_key(REGION, "orders"), ()).entry
    assert entry is not None
    store.fill(heartbeat_key(REGION, TABLE), entry, TTL)
    assert process.trusted_until() == 0.0


def test_with_a_key_a_heartbeat_in_clear_counts_as_none(
    store: FailingStore, clock: FakeClock
) -> None:
    locked = Process(store, encryption_keys=[key_text(1)])
    locked.heartbeats.post(REGION, TABLE, clock())
    assert locked.trusted_until() == clock() + TRUST
    assert Process(store).trusted_until() == 0.0
    # As one without the key would forge it, under the very name.
    key, now = heartbeat_key(REGION, "orders"), clock()
    packed = encode_body({"followed_until": now}, _decode)
    locked.store.fill(key, ClearEntries().encode(key, packed, (), now, now + TTL), TTL)
    assert locked.trusted_until("orders") == 0.0


def test_a_clock_that_is_set_back_ends_what_is_known(
    process: Process, store: FailingStore, clock: FakeClock
) -> None:
    process.heartbeats.post(REGION, TABLE, clock())
    process.trusted_until()
    clock.advance(-3600.0)
    assert process.trusted_until() == 0.0
    assert store.asked["load"] == 2


def test_a_process_remembers_a_bounded_number_of_tables(process: Process) -> None:
    for number in range(_MOST_TABLES + 5):
        process.trusted_until(f"table-{number}")
    assert len(process.heartbeats._known) <= _MOST_TABLES


def test_whatever_the_tables_name_it_has_a_heartbeat(
    process: Process, clock: FakeClock
) -> None:
    for name in ("", "\ud800", "x" * 3000, "a/b"):
        process.heartbeats.post(REGION, name, clock())
        assert process.trusted_until(name) == clock() + TRUST


@pytest.mark.parametrize(
    ("trusted_until", "expected"),
    [(0.0, 120.0), (119.0, 120.0), (130.0, 130.0), (170.0, 160.0)],
)
def test_an_entry_lives_as_long_as_it_may_unfollowed_or_while_it_is_followed(
    trusted_until: float, expected: float
) -> None:
    assert served_until(100.0, 60.0, 20.0, trusted_until) == expected
