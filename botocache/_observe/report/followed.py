"""The section of a report about followed tables: how far behind, and what it costs."""

from botocache._observe.numbers import (
    UNKNOWN,
    amount,
    count,
    duration,
    exact,
    units,
)
from botocache._observe.report.figures import FollowedFigures
from botocache._observe.report.markup import Html, element
from botocache._observe.report.subject import (
    MOST_ROWS,
    Subject,
    card,
    name_of,
    paragraph,
    section,
)
from botocache._observe.report.tables import Column, table


def followed(subject: Subject) -> Html | None:
    """Return the followed tables; None if there are none."""
    rows = subject.figures.followed
    if not rows:
        return None
    return section(
        "followed",
        "Changes by other programs",
        paragraph(
            "Of these tables, DynamoDB Streams tells of each change by any program, "
            "and a follower evicts what it concerns."
        ),
        card(
            _verdict(rows),
            table(
                "Since each follower's record of its table began.",
                [
                    Column("Table", is_number=False),
                    Column("Behind"),
                    Column("Shards"),
                    Column("Changes read"),
                    Column("Tags evicted"),
                    Column("Gaps"),
                    Column("Cost a month"),
                ],
                [_row(row, subject) for row in rows[:MOST_ROWS]],
            ),
            _cost(subject),
        ),
    )


def _verdict(rows: tuple[FollowedFigures, ...]) -> Html:
    # By what readers trust, not by the lag: a heartbeat may be lost.
    late = [row for row in rows if not row.is_fresh]
    if not late:
        return paragraph(
            element("strong", {"class": "good"}, "\N{CHECK MARK} In time. "),
            "Readers know it, so entries live for their whole TTL.",
        )
    return paragraph(
        element("strong", {"class": "wrong"}, "\N{BALLOT X} Not in time: "),
        f"{count(len(late))} of {count(len(rows))} tables. Their entries live for "
        "ttl_unfollowed, if it is set. Ask botocache doctor.",
    )


def _row(row: FollowedFigures, subject: Subject) -> tuple[Html | str, ...]:
    return (
        name_of(row.table),
        element(
            "span", {"class": None if row.is_fresh else "wrong"}, duration(row.lag)
        ),
        count(row.shards),
        count(row.records),
        count(row.evicted),
        count(row.gaps),
        UNKNOWN
        if row.cost is None
        else element(
            "span",
            {"title": exact(row.cost)},
            amount(row.cost, subject.prices.currency),
        ),
    )


def _cost(subject: Subject) -> Html:
    prices, money = subject.prices, subject.figures.money
    # None where a ledger does not say since when it counts.
    costs = [row.cost for row in subject.figures.followed if row.cost is not None]
    sums = (
        f"Together {amount(sum(costs), prices.currency)} a month"
        + (
            ""
            if money is None
            else f", beside {amount(money.on_demand.saved, prices.currency)} that the "
            "cache saves on demand"
        )
        + ". "
        if costs
        else ""
    )
    return paragraph(
        f"{sums}A request to a stream costs by the price of a million, "
        f"{units(prices.stream_reads)} {prices.currency}, and so do those that bring "
        "nothing. "
        "AWS gives the first 2.5 million of an account and a region away each month, "
        "and those of Lambda; neither is taken off here.",
        kind="sub",
    )
