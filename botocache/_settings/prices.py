"""Prices, for `botocache report`: of reads, and of what would cache them instead. Pure.

The defaults are those of one region at one time. A report shows both, because prices
change.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from botocache._errors import hint
from botocache.stores.urls import shown

DEFAULT_REGION: Final = "us-east-1"
DEFAULT_DATE: Final = "2026-04"
"""The date of the default prices.

AWS's own pages could not be read. These are second-hand, from pages that agree:
`on_demand`: airbyte.com/data-engineering-resources/dynamodb-pricing, July 2025;
    usage.ai, April 2026, confirms the cut of November 2024 on which it rests.
`provisioned`: calcbee.com/calculators/tech/cloud/dynamodb-capacity-calculator and
    zeonedge.com/en/blog/dynamodb-cost-optimization-on-demand-provisioned-dax-single-table.
`stream_reads`: AWS's page of prices as it is known, 0.02 for 100,000; its Developer
    Guide ("Evaluate your DynamoDB streams usage") says what counts, and what is free.
`dax_node`: usage.ai/blog/aws-reserved-instances-dynamodb-dax-pricing, April 2026.
"""


@dataclass(frozen=True, slots=True)
class Prices:
    """What reads cost, and a DAX cluster, in one region at one time.

    on_demand: of a million read request units.
    provisioned: of a read capacity unit, an hour.
    utilization: the share of provisioned capacity that auto scaling aims to use.
    dax_node: of a node of DAX, an hour.
    dax_nodes: how many nodes a cluster has.
    dax_type: of these nodes.
    store: of the server that holds the entries, a month; 0 for a store on disk.
    stream_reads: of a million requests to DynamoDB Streams (GetRecords).
    currency: of all prices.
    region: that the prices are of.
    as_of: when they were looked up.
    """

    on_demand: float = 0.125
    provisioned: float = 0.00013
    utilization: float = 0.7
    dax_node: float = 0.04
    dax_nodes: float = 3
    dax_type: str = "dax.t3.small"
    store: float = 0.0
    stream_reads: float = 0.2
    currency: str = "USD"
    region: str = DEFAULT_REGION
    as_of: str = DEFAULT_DATE

    def __str__(self) -> str:
        return f"of {self.region}, {self.as_of}"


DEFAULT_PRICES: Final = Prices()

UNSTATED: Final[Mapping[str, Any]] = {"region": "unstated region", "as_of": "undated"}
"""What prices of the user's bear that come without a region or a date."""


def parse_prices(value: object) -> Prices:
    """Return prices from `on_demand=0.142,region=eu-west-1` or a mapping.

    Raises ValueError.
    """
    if isinstance(value, Prices):
        return value
    given: dict[str, Any] = {}
    for name, price in _pairs(value):
        if name not in _PARSERS:
            raise ValueError(
                f"expected the name of a price, not {shown(name)}{hint(name, _PARSERS)}"
            )
        if name in given:
            raise ValueError(f"{name} is given twice")
        try:
            given[name] = _PARSERS[name](price)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return Prices(**({**UNSTATED, **given} if given else {}))


def _pairs(value: object) -> list[tuple[Any, object]]:
    expected = "expected prices as 'on_demand=0.125,region=us-east-1'"
    if isinstance(value, Mapping):
        return [*value.items()]
    if not isinstance(value, str):
        raise ValueError(f"{expected}, not {shown(value)}")  # noqa: TRY004 - as all parsers
    pairs: list[tuple[Any, object]] = []
    for part in filter(None, (part.strip() for part in value.split(","))):
        name, equals, price = (piece.strip() for piece in part.partition("="))
        if not (name and equals and price):
            raise ValueError(f"{expected}, not {shown(part)}")
        pairs.append((name, price))
    return pairs


def _number(least: float, most: float) -> Callable[[object], float]:
    def parse(value: object) -> float:
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            try:
                number = float(value)
            except (ValueError, OverflowError):
                number = math.nan
            if least <= number <= most:  # false for NaN
                return number
        raise ValueError(
            f"expected a number from {least:g} to {most:.0f}, not {shown(value)}"
        )

    return parse


_TEXT = re.compile(r"[\w.][\w .:/()-]{0,39}", re.ASCII)


def _text(value: object) -> str:
    if isinstance(value, str) and _TEXT.fullmatch(value):
        return value
    raise ValueError(
        f"expected 1 to 40 letters, digits or some of ' .:/()-', not {shown(value)}"
    )


_PARSERS: Final[Mapping[str, Callable[[object], object]]] = {
    field.name: _text if field.type in (str, "str") else _number(0.0, 1_000_000.0)
    for field in fields(Prices)
} | {"utilization": _number(0.1, 1.0), "dax_nodes": _number(0, 100)}
