"""Money: what each price model makes of units, hours and peaks."""

import pytest

from botocache._observe.prices import HOURS_A_MONTH, HourlyPeak, money
from botocache._settings.prices import Prices

PRICES = Prices(
    on_demand=0.25, provisioned=0.0001, utilization=0.5, dax_node=0.1, dax_nodes=2
)
HOUR = 3600.0


def test_a_month_on_demand_is_the_units_of_the_time_as_often_as_it_fits() -> None:
    found = money(PRICES, saved=3e6, consumed=1e6, seconds=HOUR, peaks={}, hours=0)
    assert found is not None
    cost = found.on_demand
    assert cost.without == pytest.approx(4 * 0.25 * HOURS_A_MONTH)
    assert cost.with_cache == pytest.approx(1 * 0.25 * HOURS_A_MONTH)
    assert cost.saved == pytest.approx(3 * 0.25 * HOURS_A_MONTH)
    assert cost.with_dax == pytest.approx((0.25 + 0.2) * HOURS_A_MONTH)
    assert found.provisioned is None


def test_provisioned_capacity_follows_the_busiest_minute_of_each_hour() -> None:
    peaks = {
        "a": [HourlyPeak(10.0, 2.0), HourlyPeak(4.1, 1.0)],
        "b": [HourlyPeak(0.1, 0.0)],
    }
    found = money(PRICES, saved=1, consumed=1, seconds=2 * HOUR, peaks=peaks, hours=2)
    assert found is not None
    assert found.provisioned is not None
    # Half of it is used: 20 and 9 units for a, and 1 unit for b in each of two hours.
    assert found.capacity_without == (20 + 9 + 1 + 1) / 2
    assert found.capacity_with == (4 + 2 + 1 + 1) / 2
    month = 0.0001 * HOURS_A_MONTH
    assert found.provisioned.without == pytest.approx(15.5 * month)
    assert found.provisioned.with_cache == pytest.approx(4 * month)
    assert found.provisioned.with_dax == pytest.approx(4 * month + 0.2 * HOURS_A_MONTH)


def test_the_server_of_the_entries_is_paid_from_what_is_saved() -> None:
    prices = Prices(on_demand=1.0, store=100.0)
    found = money(
        prices, saved=1e6, consumed=0, seconds=HOURS_A_MONTH * HOUR, peaks={}, hours=0
    )
    assert found is not None
    assert found.on_demand.saved == pytest.approx(1.0 - 100.0)


def test_no_time_has_no_price() -> None:
    assert money(PRICES, saved=1, consumed=1, seconds=0, peaks={}, hours=0) is None
