"""Money: what reads cost by each price model, with the cache and without. Pure.

Nothing here is a bill: units and rates are what botocache counted, and a month is 730
hours of the same.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final

from botocache._settings.prices import Prices

HOURS_A_MONTH: Final = 730.0
"""As AWS's own calculator counts."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What the reads of a month cost by one price model.

    without: the cache.
    with_cache: with botocache, its server included.
    with_dax: with a DAX cluster that has the same hits.
    """

    without: float
    with_cache: float
    with_dax: float

    @property
    def saved(self) -> float:
        """What botocache saves a month."""
        return self.without - self.with_cache


@dataclass(frozen=True, slots=True)
class Money:
    """What the reads cost a month.

    on_demand: by read request units.
    provisioned: by capacity that auto scaling provides; None without times.
    capacity_without: read capacity units that it provides on average without a cache.
    capacity_with: the same with botocache.
    dax: what the nodes of a DAX cluster cost a month.
    store: what the server of the entries costs a month.
    """

    on_demand: Cost
    provisioned: Cost | None
    capacity_without: float
    capacity_with: float
    dax: float
    store: float


@dataclass(frozen=True, slots=True)
class HourlyPeak:
    """The busiest minute of a table in one hour.

    without: read units a second, without a cache.
    with_cache: read units a second, with the cache. It may be of another minute.
    """

    without: float
    with_cache: float


def money(  # noqa: PLR0913 - each is a figure of its own, given by name
    prices: Prices,
    *,
    saved: float,
    consumed: float,
    seconds: float,
    peaks: Mapping[str, Iterable[HourlyPeak]],
    hours: int,
) -> Money | None:
    """Return what reads cost a month; None if they took no time.

    saved: read units.
    consumed: read units.
    seconds: in which both happened.
    peaks: of each table.
    hours: in which they happened, begun ones included.
    """
    if seconds <= 0.0:
        return None
    months = seconds / (HOURS_A_MONTH * 3600.0)
    dax = prices.dax_node * prices.dax_nodes * HOURS_A_MONTH
    million = prices.on_demand / 1e6 / months
    on_demand = Cost(
        without=(saved + consumed) * million,
        with_cache=consumed * million + prices.store,
        with_dax=consumed * million + dax,
    )
    provisioned = None
    capacity = (0.0, 0.0)
    if hours:
        capacity = _capacity(peaks, hours, prices.utilization)
        month = prices.provisioned * HOURS_A_MONTH
        provisioned = Cost(
            without=capacity[0] * month,
            with_cache=capacity[1] * month + prices.store,
            with_dax=capacity[1] * month + dax,
        )
    return Money(on_demand, provisioned, *capacity, dax, prices.store)


def stream_cost(prices: Prices, requests: int, seconds: float) -> float | None:
    """Return what following a table costs a month; None if that is not known.

    requests: GetRecords that were sent.
    seconds: in which they were.
    """
    if seconds <= 0.0:
        return None
    # What AWS gives away is of an account and a region, which are not known here.
    months = seconds / (HOURS_A_MONTH * 3600.0)
    return requests * prices.stream_reads / 1e6 / months


def _capacity(
    peaks: Mapping[str, Iterable[HourlyPeak]], hours: int, utilization: float
) -> tuple[float, float]:
    """Return the read capacity units provided on average, without and with the cache.

    In each hour auto scaling provides what the busiest minute of it needs, and at least
    one unit for each table.
    """
    without = with_cache = 0
    for of_table in peaks.values():
        counted = 0
        for peak in of_table:
            counted += 1
            without += _provided(peak.without, utilization)
            with_cache += _provided(peak.with_cache, utilization)
        # A table without a call has its least capacity all the same.
        idle = max(0, hours - counted)
        without += idle
        with_cache += idle
    return without / hours, with_cache / hours


def _provided(rate: float, utilization: float) -> int:
    """Return the whole units that are provided for a rate."""
    # Less a trifle: 350 / 0.7 is a little more than 500.
    return max(1, ceil(rate / utilization - 1e-6))
