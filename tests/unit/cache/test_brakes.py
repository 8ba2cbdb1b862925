"""A table that was throttled is braked for some seconds, and no longer."""

from botocache._cache.brakes import BRAKED_FOR, MOST_TABLES, Brakes

NOW = 1000.0


def test_a_table_is_braked_for_some_seconds_after_its_last_refusal() -> None:
    brakes = Brakes()
    assert not brakes.is_braked("users", NOW)
    brakes.brake("users", NOW)
    assert brakes.is_braked("users", NOW)
    assert not brakes.is_braked("orders", NOW)
    brakes.brake("users", NOW + 3.0)
    assert brakes.is_braked("users", NOW + BRAKED_FOR + 2.9)
    assert not brakes.is_braked("users", NOW + BRAKED_FOR + 3.0)
    assert not brakes.until


def test_a_clock_that_is_set_back_releases_the_brake() -> None:
    brakes = Brakes()
    brakes.brake("users", NOW)
    assert not brakes.is_braked("users", NOW - 3600.0)


def test_the_tables_that_were_throttled_last_are_remembered() -> None:
    brakes = Brakes()
    for number in range(MOST_TABLES + 3):
        brakes.brake(f"t{number}", NOW)
        brakes.brake("t1", NOW)
    assert len(brakes.until) == MOST_TABLES
    assert not brakes.is_braked("t2", NOW)
    assert brakes.is_braked("t1", NOW)
    assert brakes.is_braked(f"t{MOST_TABLES + 2}", NOW)
    assert repr(brakes) == f"<Brakes of {MOST_TABLES} tables>"
