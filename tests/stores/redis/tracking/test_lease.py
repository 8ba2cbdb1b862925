"""For how long nothing was missed: it counts from the question, not from the answer."""

import pytest

from botocache.stores.redis.tracking.lease import (
    HEARTBEAT,
    LEASE,
    NEVER,
    PATIENCE,
    Lease,
)

NOW = 1000.0


@pytest.fixture
def lease() -> Lease:
    return Lease()


def test_nothing_is_known_before_the_first_answer(lease: Lease) -> None:
    assert lease.until == NEVER
    lease.asks(NOW)
    assert lease.until == NEVER


def test_what_is_known_lasts_from_the_question_on(lease: Lease) -> None:
    lease.asks(NOW)
    assert not lease.is_to_ask(NOW + 2 * LEASE)  # it comes late
    lease.is_answered()
    assert lease.until == NOW + LEASE


def test_the_next_question_waits_for_the_answer_and_a_heartbeat(lease: Lease) -> None:
    assert lease.is_to_ask(NOW)
    lease.asks(NOW)
    assert not lease.is_to_ask(NOW + 10 * HEARTBEAT)
    lease.is_answered()
    assert not lease.is_to_ask(NOW + HEARTBEAT / 2)
    assert lease.is_to_ask(NOW + 2 * HEARTBEAT)


def test_what_is_not_answered_for_long_is_hopeless(lease: Lease) -> None:
    assert not lease.is_hopeless(NOW)
    lease.asks(NOW)
    assert not lease.is_hopeless(NOW + PATIENCE / 2)
    assert lease.is_hopeless(NOW + PATIENCE)
    lease.is_answered()
    assert not lease.is_hopeless(NOW + 2 * PATIENCE)


def test_what_has_ended_is_unknown_and_waits_for_nothing(lease: Lease) -> None:
    lease.asks(NOW)
    lease.is_answered()
    lease.asks(NOW + HEARTBEAT)
    lease.ends()
    assert lease.until == NEVER
    assert not lease.is_hopeless(NOW + 10 * PATIENCE)
    assert lease.is_to_ask(NOW + 10 * PATIENCE)


def test_a_lease_outlives_some_heartbeats_and_patience_some_leases() -> None:
    assert 3 * HEARTBEAT < LEASE < PATIENCE
