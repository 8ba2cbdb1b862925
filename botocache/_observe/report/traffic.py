"""Sections of a report about reads: units over time, hit ratio, latency, hot keys."""

from botocache._counting.stats import TableStats
from botocache._observe.numbers import count, duration, exact, latency, percent, units
from botocache._observe.report.charts import (
    capacity_chart,
    latency_chart,
    moment,
    ratio_bar,
    sample_box,
    sample_line,
)
from botocache._observe.report.figures import Figures, Step
from botocache._observe.report.markup import Content, Html, element
from botocache._observe.report.subject import (
    MOST_ROWS,
    Subject,
    card,
    fold,
    legend,
    name_of,
    operation_of,
    paragraph,
    rounded,
    section,
)
from botocache._observe.report.tables import Column, table

# --- read units over time ----------------------------------------------------------


def capacity(subject: Subject) -> Html | None:
    """Return the two curves."""
    figures = subject.figures
    steps = figures.steps
    if not steps:
        return None
    if subject.would:
        upper, lower, between = "consumed", "left with the cache", "would be saved"
    else:
        upper, lower, between = "without the cache", "consumed", "saved"
    throttled = sum(step.throttled for step in steps)
    refused = (
        f" DynamoDB refused {count(throttled)} requests for lack of capacity; the red "
        "bars show when."
        if throttled
        else " DynamoDB refused no request for lack of capacity."
    )
    stale = figures.total.answered_stale
    if stale:
        refused += f" Entries over their TTL answered {count(stale)} refused reads."
    long = _step_name(figures.step_minutes)
    return section(
        "capacity",
        "Read units over time",
        paragraph(
            "Read units a second: what DynamoDB answers, and what it need not answer."
        ),
        element(
            "figure",
            {"class": "card"},
            legend(
                (sample_line("saved-line"), upper),
                (sample_line("used-line"), lower),
                (sample_box("saved-area"), between),
                (sample_box("bad-bar"), "refused requests") if throttled else None,
            ),
            capacity_chart(steps, (upper, lower, between)),
            element(
                "figcaption",
                None,
                (
                    f"The average of {duration(figures.seconds)}, in UTC."
                    if len(steps) == 1
                    else f"Each step is the average of {long}, in UTC."
                )
                + refused,
            ),
            _steps_table(steps, long),
        ),
    )


def _step_name(minutes: int) -> str:
    for length, name in ((10080, "week"), (1440, "day"), (60, "hour")):
        if minutes >= length and minutes % length == 0:
            number = minutes // length
            return (
                f"a{'n' if name == 'hour' else ''} {name}"
                if number == 1
                else f"{number} {name}s"
            )
    return "a minute" if minutes == 1 else f"{minutes} minutes"


def _steps_table(steps: tuple[Step, ...], long: str) -> Html:
    busy = [step for step in steps if step.saved or step.consumed or step.throttled]
    return fold(
        "The figures of this chart",
        table(
            f"Read units and requests, in steps of {long}. Empty steps are left out.",
            [
                Column("Begin (UTC)", is_number=False),
                Column("Consumed"),
                Column("Saved"),
                Column("Refused"),
            ],
            [
                (
                    moment(step.began, "%d %b, %H:%M"),
                    exact(step.consumed),
                    exact(step.saved),
                    count(step.throttled),
                )
                for step in busy
            ],
        ),
    )


# --- hit ratio ---------------------------------------------------------------------


def _ratio_columns(subject: Subject) -> tuple[Column, ...]:
    saved, consumed = "Units saved", "Units consumed"
    if subject.would:
        saved, consumed = "Units to save", "Units left"
    return (
        Column("Table and operation", is_number=False),
        Column("Hit ratio", is_number=False, kind="ratio"),
        *map(
            Column, ("Near hits", "Store hits", "Misses", "Bypassed", saved, consumed)
        ),
    )


def ratio(subject: Subject) -> Html | None:
    """Return hits and misses by table and operation."""
    figures = subject.figures
    rows = [
        row
        for row in figures.rows
        if row.hits or row.misses or row.bypassed or row.units_consumed
    ]
    if not rows:
        return None
    rows.sort(key=lambda row: -(row.units_saved + row.units_consumed))
    left = len(rows) - MOST_ROWS
    caption = "The tables that consume the most read units come first."
    if left > 0:
        caption += f" {count(left)} more rows are in botocache report --json."
    estimated = figures.total.units_estimated
    return section(
        "ratio",
        "Hit ratio by table and operation",
        paragraph(
            "Of the reads that the cache looked up. Near hits come from the process's "
            "own memory, store hits from the store that the processes share.",
            _since(figures),
        ),
        card(
            legend(
                (sample_box("near-f"), "near hits"),
                (sample_box("store-f"), "store hits"),
                (sample_box("rest"), "misses"),
            ),
            table(
                caption,
                _ratio_columns(subject),
                [_ratio_row(row) for row in rows[:MOST_ROWS]],
                total=_ratio_cells("All", figures.total) if len(rows) > 1 else None,
            ),
            paragraph(
                f"{percent(estimated, figures.total.units_saved)} of the units saved "
                "rest on an estimate: those answers show only parts of their items.",
                kind="sub",
            )
            if estimated
            else None,
        ),
    )


def _since(figures: Figures) -> str:
    if not figures.is_part:
        return ""
    return (
        f" This table counts all that the store remembers ({units(figures.all_saved)} "
        "units saved), also from before the time above."
    )


def _ratio_row(row: TableStats) -> tuple[Content, ...]:
    head = operation_of(row)
    return _ratio_cells(head, row)


def _ratio_cells(head: Content, row: TableStats) -> tuple[Content, ...]:
    return (
        head,
        (element("span", None, percent(row.hits, row.looked_up)), ratio_bar(row)),
        rounded(row.near_hits),
        rounded(row.store_hits),
        rounded(row.misses),
        rounded(sum(row.bypassed.values())),
        rounded(row.units_saved),
        rounded(row.units_consumed),
    )


# --- latency -----------------------------------------------------------------------


def latencies(subject: Subject) -> Html | None:
    """Return how long hits and misses took."""
    total = subject.figures.total
    rows = [
        (name, kind, each)
        for name, kind, each in (
            ("Near hit", "near", total.near_latency),
            ("Store hit", "store", total.store_latency),
            ("Miss", "miss", total.miss_latency),
        )
        if each.count
    ]
    if not rows:
        return None
    return section(
        "latency",
        "Latency of hits and misses",
        paragraph(
            "The dot is the median: half of the calls took no longer. The line goes on "
            "to what 99 % of them took. Each step of the scale is ten times the one "
            "before."
        ),
        element(
            "figure",
            {"class": "card"},
            latency_chart(rows),
            element(
                "figcaption",
                None,
                "A hit's time is that of the call inside the application. One near hit "
                "in a hundred is timed. A miss's time includes the network. The "
                "figures are upper bounds of classes of 1, 2, 5, 10 and so on.",
            ),
            fold(
                "The figures of this chart",
                table(
                    "How long calls took.",
                    [
                        Column("Kind of call", is_number=False),
                        *map(
                            Column, ("Timed", "Mean", "50 %", "90 %", "99 %", "99.9 %")
                        ),
                    ],
                    [
                        (
                            name,
                            count(each.count),
                            latency(each.mean),
                            *(
                                latency(each.quantile(share))
                                for share in (0.5, 0.9, 0.99, 0.999)
                            ),
                        )
                        for name, _, each in rows
                    ],
                ),
            ),
        ),
    )


# --- hot keys ----------------------------------------------------------------------


def hot_keys(subject: Subject) -> Html | None:
    """Return the keys that are read the most."""
    figures = subject.figures
    keys = [key for key in figures.hot_keys if key.hits][:20]
    if not keys:
        return None
    head = "Key" if subject.show_keys else "Key, as a digest"
    return section(
        "keys",
        "Hot keys",
        paragraph(
            "The keys with the most read units saved, estimated from a sample of the "
            "reads.",
            None
            if subject.show_keys
            else [
                " ",
                element("code", {"class": "o"}, "--show-keys"),
                " shows the keys themselves.",
            ],
        ),
        card(
            table(
                "The most useful keys come first.",
                [
                    Column(head, is_number=False),
                    Column("Table", is_number=False),
                    Column("Operation", is_number=False),
                    Column("Hits, about"),
                    Column("Units saved, about"),
                ],
                [
                    (
                        element(
                            "bdi",
                            {"class": "mono"},
                            key.key if subject.show_keys else key.digest[:16],
                        ),
                        name_of(key.table),
                        name_of(key.operation),
                        count(key.hits),
                        units(key.units_saved),
                    )
                    for key in keys
                ],
            ),
        ),
    )
