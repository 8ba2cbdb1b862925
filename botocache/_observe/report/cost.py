"""The section of a report about money."""

from typing import Final

from botocache._observe.numbers import amount, duration, exact, percent, units
from botocache._observe.prices import Cost
from botocache._observe.report.markup import Content, Html, element
from botocache._observe.report.subject import Subject, card, paragraph, section
from botocache._observe.report.tables import Column, table
from botocache._settings.prices import DEFAULT_DATE, DEFAULT_REGION, Prices

# --- cost --------------------------------------------------------------------------


_DAY: Final = 86400.0


def cost(subject: Subject) -> Html | None:
    """Return what reads cost by each price model."""
    figures, prices = subject.figures, subject.prices
    money = figures.money
    if money is None:
        return None
    rows = [_cost_row("On demand", money.on_demand, prices)]
    if money.provisioned is not None:
        rows.append(
            _cost_row("Provisioned, with auto scaling", money.provisioned, prices)
        )
    short = (
        paragraph(
            element("strong", None, "A short time. "),
            f"A month is projected from {duration(figures.seconds)}. Let it run for a "
            "day or more, and over a weekend, before you rest on it.",
            kind="banner",
        )
        if figures.seconds < _DAY
        else None
    )
    return section(
        "cost",
        "What the reads cost a month",
        paragraph(
            "If the same goes on for a month of 730 hours. Only reads: not writes, "
            "storage, or what else is on the bill."
        ),
        short,
        card(
            table(
                f"By the prices below, in {prices.currency}.",
                [
                    Column("Price model", is_number=False),
                    Column("Without a cache"),
                    Column("With botocache"),
                    Column("With DAX"),
                    Column(
                        "botocache would save" if subject.would else "botocache saves"
                    ),
                ],
                rows,
            ),
            paragraph(
                "On demand, each read unit has its price. Provisioned capacity is paid "
                "by the hour: in each hour what the busiest minute needs, with "
                f"{percent(prices.utilization, 1)} of it used. That is "
                f"{units(money.capacity_without)} units on average without a cache, "
                f"and {units(money.capacity_with)} with botocache.",
                kind="sub",
            ),
            paragraph(
                f"DAX is {prices.dax_nodes:g} nodes of {prices.dax_type}, "
                f"{amount(money.dax, prices.currency)} a month, supposed to have the "
                "same hits. Its queries may be as old as their TTL.",
                kind="sub",
            ),
        ),
        _prices(subject),
    )


def _cost_row(name: str, cost: Cost, prices: Prices) -> tuple[Content, ...]:
    return (
        name,
        *(
            element("span", {"title": exact(value)}, amount(value, prices.currency))
            for value in (cost.without, cost.with_cache, cost.with_dax, cost.saved)
        ),
    )


def _prices(subject: Subject) -> Html:
    prices, default = subject.prices, Prices()
    currency = prices.currency
    rows = [
        ("A million read units on demand", prices.on_demand, default.on_demand),
        ("A provisioned read unit, an hour", prices.provisioned, default.provisioned),
        (f"A node {prices.dax_type}, an hour", prices.dax_node, default.dax_node),
        ("The store's server, a month", prices.store, default.store),
    ]
    # The price counts for nothing else on the page.
    if subject.figures.followed:
        rows.append(
            (
                "A million requests to streams",
                prices.stream_reads,
                default.stream_reads,
            )
        )
    default_place = f"{DEFAULT_REGION}, {DEFAULT_DATE}"
    own = f"{prices.region}, {prices.as_of}"
    return card(
        element("h3", None, "Prices"),
        table(
            [
                "Prices change, and these may be out of date: compare them with ",
                "AWS's. Set your own in the table ",
                element("code", {"class": "o"}, "[prices]"),
                " of the TOML file, or with ",
                element("code", {"class": "o"}, "--prices"),
                ".",
            ],
            [
                Column("What", is_number=False),
                Column("Price"),
                Column("Region and date", is_number=False),
            ],
            [
                (
                    name,
                    f"{price:.7f}".rstrip("0").rstrip(".") + f" {currency}",
                    default_place
                    if price == usual and own != default_place and price
                    else own,
                )
                for name, price, usual in rows
            ],
        ),
    )
