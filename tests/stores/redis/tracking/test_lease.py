"""For how long nothing was missed: it counts from the question, not from the answer."""

import pytest

from botocache.stores.redis.tracking.lease import (
    HEARTBEAT,
    LEASE,
    NEVER,
    PATIENCE,
    TrackingLease,
)

NOW = 1000.0


@pytest.fixture
def lease() -> TrackingLease:
    return TrackingLease()


def test_nothing_is_known_before_the_first_answer(lease: TrackingLease) -> None:
    assert lease.until == NEVER
    lease.ping_sent(NOW)
    assert lease.until == NEVER


def test_what_is_known_lasts_from_the_question_on(lease: TrackingLease) -> None:
    lease.ping_sent(NOW)
    assert not lease.is_ping_due(NOW + 2 * LEASE)  # it comes late
    lease.pong_received()
    assert lease.until == NOW + LEASE


def test_the_next_question_waits_for_the_answer_and_a_heartbeat(
    lease: TrackingLease,
) -> None:
    assert lease.is_ping_due(NOW)
    lease.ping_sent(NOW)
    assert not lease.is_ping_due(NOW + 10 * HEARTBEAT)
    lease.pong_received()
    assert not lease.is_ping_due(NOW + HEARTBEAT / 2)
    assert lease.is_ping_due(NOW + 2 * HEARTBEAT)


def test_what_is_not_answered_for_long_is_pong_overdue(lease: TrackingLease) -> None:
    assert not lease.is_pong_overdue(NOW)
    lease.ping_sent(NOW)
    assert not lease.is_pong_overdue(NOW + PATIENCE / 2)
    assert lease.is_pong_overdue(NOW + PATIENCE)
    lease.pong_received()
    assert not lease.is_pong_overdue(NOW + 2 * PATIENCE)


def test_what_has_ended_is_unknown_and_waits_for_nothing(lease: TrackingLease) -> None:
    lease.ping_sent(NOW)
    lease.pong_received()
    lease.ping_sent(NOW + HEARTBEAT)
    lease.end()
    assert lease.until == NEVER
    assert not lease.is_pong_overdue(NOW + 10 * PATIENCE)
    assert lease.is_ping_due(NOW + 10 * PATIENCE)


def test_a_lease_outlives_some_heartbeats_and_patience_some_leases() -> None:
    assert 3 * HEARTBEAT < LEASE < PATIENCE
