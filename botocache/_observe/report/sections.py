"""The sections of a report, each from the figures to HTML."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from botocache._observe.advice import FIX, KNOW, SAVE, Advice
from botocache._observe.prices import Cost
from botocache._observe.report.charts import (
    capacity_chart,
    latency_chart,
    moment,
    ratio_bar,
    sample_box,
    sample_line,
    share_bar,
)
from botocache._observe.report.figures import BOTH, SHADOW, Figures, Step
from botocache._observe.report.markup import Content, Html, element
from botocache._observe.report.numbers import (
    UNKNOWN,
    amount,
    count,
    duration,
    exact,
    latency,
    percent,
    short,
    size,
    units,
)
from botocache._observe.report.tables import Column, table
from botocache._settings.prices import (
    DEFAULT_DATE,
    DEFAULT_REGION,
    Prices,
)
from botocache._stats import TableStats

MOST_ROWS: Final = 60
"""Rows of a table; the JSON has all."""


class Subject(NamedTuple):
    """What a report is about.

    figures: of it.
    prices: that money is computed by.
    advice: drawn from the figures.
    show_keys: hot keys are shown as they are.
    """

    figures: Figures
    prices: Prices
    advice: tuple[Advice, ...]
    show_keys: bool

    @property
    def would(self) -> bool:
        """Whether nothing was served, so that all savings are what would have been."""
        return self.figures.mode == SHADOW


def section(name: str, heading: str, *content: Content) -> Html:
    """Return a section. name: of its place in the page."""
    return element(
        "section",
        {"id": name, "aria-labelledby": f"{name}-h"},
        element("h2", {"id": f"{name}-h"}, heading),
        *content,
    )


def _p(*content: Content, kind: str | None = None) -> Html:
    return element("p", {"class": kind}, *content)


def _b(text: str, title: str | None = None) -> Html:
    return element("b", {"title": title}, text)


_LONGEST_NAME: Final = 80


def name_of(text: str) -> Html:
    """Return the name of a table, apart from the direction of the text around it."""
    shown = text
    if len(text) > _LONGEST_NAME:
        shown = f"{text[:50]}\N{HORIZONTAL ELLIPSIS}{text[-25:]}"
    return element("bdi", {"title": text if shown != text else None}, shown)


# --- the answer --------------------------------------------------------------------


def answer(subject: Subject) -> Html:
    """Return the head of the page: what was saved."""
    figures = subject.figures
    return element(
        "header",
        None,
        _p(
            element("strong", None, "botocache report"),
            f" \N{MIDDLE DOT} {moment(figures.read_at, '%d %B %Y, %H:%M')} UTC",
            kind="eyebrow",
        ),
        element("h1", None, _headline(subject)),
        _p(*_lead(subject), kind="lead"),
        _pointer(subject.advice),
        _mode_banner(subject),
        _tiles(subject),
    )


def _headline(subject: Subject) -> str:
    figures = subject.figures
    if not figures.saved:
        return "Nothing would have been saved yet" if subject.would else "Nothing saved"
    share = percent(figures.saved, figures.saved + figures.consumed)
    if subject.would:
        return f"{share} of the read capacity would have been saved"
    return f"{share} of the read capacity saved"


def _lead(subject: Subject) -> list[Content]:
    figures = subject.figures
    whole = figures.saved + figures.consumed
    if not whole:
        return [
            "No read unit was counted in ",
            _b(duration(figures.seconds)),
            f": {_period(figures)}. {_processes(figures)}",
        ]
    end = (
        " would have come from the cache, "
        if subject.would
        else " came from the cache instead of DynamoDB, "
    )
    return [
        _b(f"{units(figures.saved)} of {units(whole)}", exact(figures.saved)),
        " read units",
        end,
        "in ",
        _b(duration(figures.seconds)),
        f": {_period(figures)}. {_processes(figures)}",
    ]


def _period(figures: Figures) -> str:
    began, ended = figures.began, figures.ended
    last = "%d %B %Y, %H:%M"
    first = "%d %B, %H:%M" if figures.seconds < 180 * 86400 else last
    if figures.seconds < 120:
        return (
            f"{moment(began, '%d %B %Y, %H:%M:%S')} to {moment(ended, '%H:%M:%S')} UTC"
        )
    if moment(began, "%d %B") == moment(ended, "%d %B") and figures.seconds < 90000:
        return f"{moment(began, last)} to {moment(ended, '%H:%M')} UTC"
    return f"{moment(began, first)} to {moment(ended, last)} UTC"


def _plural(number: int, one: str, several: str) -> str:
    return f"{count(number)} {one if number == 1 else several}"


def _processes(figures: Figures) -> str:
    hosts = _plural(figures.hosts, "machine", "machines")
    running = _plural(figures.processes, "process runs", "processes run")
    ended = _plural(
        figures.ended_processes, "process has ended", "processes have ended"
    )
    if not figures.processes:
        return f"{ended[0].upper()}{ended[1:]}." if figures.ended_processes else ""
    more = f"; {ended}" if figures.ended_processes else ""
    return f"{running} now, on {hosts}{more}."


def _pointer(advice: tuple[Advice, ...]) -> Html | None:
    if not advice:
        return None
    wrong = sum(each.kind == FIX for each in advice)
    more = sum(each.kind == SAVE for each in advice)
    parts = [
        f"{count(wrong)} to fix" if wrong else "",
        f"{count(more)} to save more" if more else "",
        f"{count(len(advice) - wrong - more)} to know"
        if len(advice) - wrong - more
        else "",
    ]
    text = f"Advice: {', '.join(filter(None, parts))}"
    return _p(element("a", {"href": "#advice"}, text), kind="todo")


def _mode_banner(subject: Subject) -> Html | None:
    if subject.would:
        return _p(
            element("strong", None, "Shadow mode. "),
            "Nothing was served from the cache: DynamoDB answered every read. Hits, "
            "units and money are what the cache would have saved.",
            kind="banner",
        )
    if subject.figures.mode == BOTH:
        return _p(
            element("strong", None, "Partly shadow mode. "),
            "Some of the processes served hits, and some only compared them with "
            "DynamoDB's answers. Of the latter, the figures are what the cache would "
            "have saved.",
            kind="banner",
        )
    return None


_DAY: Final = 86400.0


def _tiles(subject: Subject) -> Html:
    figures, prices = subject.figures, subject.prices
    total = figures.total
    money = figures.money
    saved = "would be saved" if subject.would else "saved"
    tiles = [
        _money_tile(
            "On demand, a month", money and money.on_demand, prices.currency, saved
        ),
        _money_tile(
            "Provisioned, a month",
            money and money.provisioned,
            prices.currency,
            saved,
        ),
        _tile(
            "Would-be hit ratio" if subject.would else "Hit ratio",
            percent(total.hits, total.hits + total.misses),
            f"{short(total.hits)} of {short(total.hits + total.misses)} reads",
        ),
        _latency_tile(total),
    ]
    return element("dl", {"class": "tiles"}, tiles)


def _tile(name: str, big: str, small: str) -> Html:
    return element(
        "div",
        None,
        element("dt", None, name),
        element("dd", {"class": "big"}, big),
        element("dd", {"class": "small"}, small),
    )


def _money_tile(name: str, cost: Cost | None, currency: str, saved: str) -> Html:
    if cost is None or not cost.without:
        return _tile(name, UNKNOWN, "no read units yet")
    if cost.saved < 0:
        return _tile(
            name,
            amount(cost.saved, currency),
            f"the store costs more than it saves of {amount(cost.without, currency)}",
        )
    return _tile(
        name,
        amount(cost.saved, currency),
        f"{saved}, of {amount(cost.without, currency)}",
    )


def _latency_tile(total: TableStats) -> Html:
    hit = total.near_latency + total.store_latency
    miss = total.miss_latency
    # Near hits are a sample of one in sixteen; the mean weighs both kinds.
    name, took = "Half of all hits take at most", UNKNOWN
    weight = total.near_hits + total.store_hits
    if hit.count and weight:
        near = total.near_hits >= total.store_hits and total.near_latency.count
        kind = total.near_latency if near else total.store_latency
        took = latency((kind if kind.count else hit).quantile(0.5))
    small = (
        f"and half of all misses {latency(miss.quantile(0.5))}"
        if miss.count
        else "no miss was timed"
    )
    return _tile(name, took, small)


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
    long = _step_name(figures.step_minutes)
    return section(
        "capacity",
        "Read units over time",
        _p("Read units a second: what DynamoDB answers, and what it need not answer."),
        element(
            "figure",
            {"class": "card"},
            element(
                "ul",
                {"class": "keys"},
                element("li", None, sample_line("saved-line"), upper),
                element("li", None, sample_line("used-line"), lower),
                element("li", None, sample_box("saved-area"), between),
                element("li", None, sample_box("bad-bar"), "refused requests")
                if throttled
                else None,
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
    return element(
        "details",
        None,
        element("summary", None, "The figures of this chart"),
        table(
            f"Read units and requests in steps of {long}; steps without any are left out.",
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

_RATIO_COLUMNS: Final = (
    Column("Table and operation", is_number=False),
    Column("Hit ratio", is_number=False, kind="ratio"),
    Column("Near hits"),
    Column("Store hits"),
    Column("Misses"),
    Column("Bypassed"),
    Column("Units saved"),
    Column("Units consumed"),
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
        _p(
            "Of the reads that the cache looked up. Near hits come from the process's "
            "own memory, store hits from the store that the processes share.",
            _since(figures),
        ),
        element(
            "div",
            {"class": "card"},
            element(
                "ul",
                {"class": "keys"},
                element("li", None, sample_box("near-f"), "near hits"),
                element("li", None, sample_box("store-f"), "store hits"),
                element("li", None, sample_box("rest"), "misses"),
            ),
            table(
                caption,
                _RATIO_COLUMNS,
                [_ratio_row(row) for row in rows[:MOST_ROWS]],
                total=_ratio_cells("All", figures.total) if len(rows) > 1 else None,
            ),
            _p(
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
    head = [
        name_of(row.table),
        " ",
        element("span", {"class": "op"}, name_of(row.operation)),
    ]
    return _ratio_cells(head, row)


def _ratio_cells(head: Content, row: TableStats) -> tuple[Content, ...]:
    looked_up = row.hits + row.misses
    return (
        head,
        (element("span", None, percent(row.hits, looked_up)), ratio_bar(row)),
        _rounded(row.near_hits),
        _rounded(row.store_hits),
        _rounded(row.misses),
        _rounded(sum(row.bypassed.values())),
        _rounded(row.units_saved),
        _rounded(row.units_consumed),
    )


def _rounded(number: float) -> Html:
    """Return a number that is easy to read; its title has it exactly."""
    return element("span", {"title": exact(number)}, units(number))


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
        _p(
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
                "A hit's time is that of the call inside the application; of near hits, "
                "one in sixteen is timed. A miss's time includes the network. The "
                "figures are upper bounds of classes of 1, 2, 5, 10 and so on.",
            ),
            element(
                "details",
                None,
                element("summary", None, "The figures of this chart"),
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


# --- evictions ---------------------------------------------------------------------

REASONS: Final[Mapping[str, str]] = {
    "bypass": "the application has asked for it",
    "error": "DynamoDB has answered with an error",
    "failed": "the cache has failed",
    "foreign": "other code has changed the answer",
    "held": "a write was too recent",
    "no_scope": "the caller is not known for certain",
    "off": "the table or the operation is off",
    "pending": "an eviction waits to be delivered",
    "schema": "the table's key is not known",
    "store_failed": "the store has failed",
    "too_large": "the answer is too large",
    "ttl": "its TTL is 0",
    "uncacheable": "a read of this kind is not cached",
    "unencodable": "the answer cannot be encoded",
    "unmatched": "no key asked for this item",
    "unprocessed": "DynamoDB has left the key unprocessed",
}
"""What the reasons mean for which an answer is not kept, or a read not looked up."""


def evictions(subject: Subject) -> Html | None:
    """Return what was evicted, and what was not filled or not looked up."""
    figures = subject.figures
    writes = sorted(
        (row for row in figures.rows if row.writes or row.evicted),
        key=lambda row: -row.writes,
    )
    total = figures.total
    if not (writes or total.unfilled or total.bypassed or total.fills):
        return None
    shown = table(
        "Writes by table and operation. A write evicts tags: an item, the queries that "
        "it belongs to, the scans of its table.",
        [
            Column("Table and operation", is_number=False),
            Column("Writes"),
            Column("Tags evicted"),
        ],
        [
            (
                [
                    name_of(row.table),
                    " ",
                    element("span", {"class": "op"}, name_of(row.operation)),
                ],
                count(row.writes),
                count(row.evicted),
            )
            for row in writes[:MOST_ROWS]
        ],
    )
    return section(
        "evictions",
        "Evictions, and answers that were not kept",
        _p(_store_sentence(figures)),
        element(
            "div",
            {"class": "card"},
            shown if writes else _p("No write went through botocache."),
        ),
        element(
            "div",
            {"class": "two"},
            _causes(
                "Answers that were not kept",
                total.unfilled,
                f"{count(total.fills)} entries were filled. ",
                "Every answer was kept.",
            ),
            _causes(
                "Reads that bypassed the cache",
                total.bypassed,
                "",
                "Every read was looked up.",
            ),
        ),
        _failures(figures),
    )


def _store_sentence(figures: Figures) -> str:
    parts = []
    if figures.entries is not None:
        parts.append(f"{count(figures.entries)} entries")
    if figures.size is not None:
        parts.append(size(figures.size))
    kept = f"The store holds {' in '.join(parts)}." if parts else ""
    waiting = (
        f" {count(figures.undelivered)} evictions wait to be delivered."
        if figures.undelivered
        else " No eviction waits to be delivered."
    )
    return kept + waiting


def _causes(heading: str, reasons: Mapping[str, int], before: str, none: str) -> Html:
    whole = sum(reasons.values())
    ordered = sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))
    return element(
        "div",
        {"class": "card"},
        element("h3", None, heading),
        table(
            f"{before}By reason:",
            [
                Column("Reason", is_number=False),
                Column("", is_number=False, kind="ratio"),
                Column("Count"),
            ],
            [
                (
                    name_of(REASONS.get(reason, reason.replace("_", " "))),
                    (share_bar(number / whole, "store-f"),),
                    count(number),
                )
                for reason, number in ordered[:12]
            ],
        )
        if ordered
        else _p(before, none, kind="sub"),
    )


def _failures(figures: Figures) -> Html | None:
    if not figures.failures:
        return None
    ordered = sorted(figures.failures.items(), key=lambda pair: (-pair[1], pair[0]))
    return element(
        "div",
        {"class": "card"},
        element("h3", None, "Failures inside the cache"),
        table(
            "The application sees none of them: such a call goes to DynamoDB.",
            [Column("Event", is_number=False), Column("Count")],
            [
                (element("code", None, name_of(kind)), count(n))
                for kind, n in ordered[:12]
            ],
        ),
    )


# --- staleness ---------------------------------------------------------------------


def staleness(subject: Subject) -> Html:
    """Return what shadow mode or an audit found."""
    figures = subject.figures
    total = figures.total
    if not total.compared:
        found: Content = element(
            "div",
            {"class": "card"},
            _p(
                element("strong", None, "Not measured: "),
                "neither shadow mode nor an audit has compared a hit.",
            ),
            _p(
                "An audit sends a share of the hits to DynamoDB and compares the "
                "answers; the rest is served. One in a hundred costs one per cent of "
                "what is saved:",
                kind="sub",
            ),
            element("pre", None, element("code", None, "BOTOCACHE_AUDIT=0.01")),
            _p(
                "Shadow mode serves nothing, and compares every would-be hit:",
                kind="sub",
            ),
            element("pre", None, element("code", None, "BOTOCACHE=shadow")),
        )
    else:
        found = element(
            "div", {"class": "card"}, _verdict(total), _differences(figures)
        )
    return section(
        "staleness",
        "Is it ever wrong?",
        _p("Hits that were compared with DynamoDB's own answer, at no extra request."),
        found,
    )


def _verdict(total: TableStats) -> Html:
    lasting = total.differing.get("lasting", 0)
    if lasting:
        return _p(
            element("strong", {"class": "wrong"}, "\N{BALLOT X} Yes. "),
            f"{count(lasting)} of {count(total.compared)} compared hits differed for "
            f"good, the longest for {duration(total.stale_seconds)}. A writer goes "
            "around botocache; the advice names the table.",
        )
    different = sum(total.differing.values())
    if not different:
        return _p(
            element("strong", {"class": "good"}, "\N{CHECK MARK} No difference"),
            f" in {count(total.compared)} compared hits.",
        )
    return _p(
        element("strong", {"class": "good"}, "\N{CHECK MARK} None that lasted"),
        f" in {count(total.compared)} compared hits. {count(different)} differed for a "
        "moment, as DynamoDB's own replicas do after a write.",
    )


def _differences(figures: Figures) -> Html:
    rows = [row for row in figures.rows if row.compared]
    rows.sort(
        key=lambda row: (-row.differing.get("lasting", 0), -row.compared, row.table)
    )
    return table(
        "Settling: within moments of a write of ours. Unconfirmed: seen once. Lasting: "
        "seen again later.",
        [
            Column("Table and operation", is_number=False),
            Column("Compared"),
            Column("Settling"),
            Column("Unconfirmed"),
            Column("Lasting"),
            Column("Longest"),
        ],
        [
            (
                [
                    name_of(row.table),
                    " ",
                    element("span", {"class": "op"}, name_of(row.operation)),
                ],
                count(row.compared),
                count(row.differing.get("settling", 0)),
                count(row.differing.get("unconfirmed", 0)),
                element(
                    "span",
                    {"class": "wrong" if row.differing.get("lasting") else None},
                    count(row.differing.get("lasting", 0)),
                ),
                duration(row.stale_seconds) if row.stale_seconds else UNKNOWN,
            )
            for row in rows[:MOST_ROWS]
        ],
    )


# --- cost --------------------------------------------------------------------------


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
        _p(
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
        _p(
            "If the same goes on for a month of 730 hours. Only reads: not writes, "
            "storage, or what else is on the bill."
        ),
        short,
        element(
            "div",
            {"class": "card"},
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
            _p(
                "On demand, each read unit has its price. Provisioned capacity is paid "
                "by the hour: in each hour what the table's busiest minute needs, with "
                f"{percent(prices.utilization, 1)} of it used. That is "
                f"{units(money.capacity_without)} units on average without a cache, and "
                f"{units(money.capacity_with)} with botocache.",
                kind="sub",
            ),
            _p(
                f"DAX is {prices.dax_nodes:g} nodes of {prices.dax_type}, "
                f"{amount(money.dax, prices.currency)} a month, supposed to have the "
                "same hits. Its queries may be as old as their TTL.",
                kind="sub",
            ),
        ),
        _prices(prices),
    )


def _cost_row(name: str, cost: Cost, prices: Prices) -> tuple[Content, ...]:
    return (
        name,
        *(
            element("span", {"title": exact(value)}, amount(value, prices.currency))
            for value in (cost.without, cost.with_cache, cost.with_dax, cost.saved)
        ),
    )


def _prices(prices: Prices) -> Html:
    default = Prices()
    currency = prices.currency
    rows = [
        ("A million read units on demand", prices.on_demand, default.on_demand),
        ("A provisioned read unit, an hour", prices.provisioned, default.provisioned),
        (f"A node {prices.dax_type}, an hour", prices.dax_node, default.dax_node),
        ("The store's server, a month", prices.store, default.store),
    ]
    default_place = f"{DEFAULT_REGION}, {DEFAULT_DATE}"
    own = f"{prices.region}, {prices.as_of}"
    return element(
        "div",
        {"class": "card"},
        element("h3", None, "Prices"),
        table(
            [
                "Prices change, and these may be out of date: compare them with AWS's. "
                "Set your own in the table ",
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
        _p(
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
        element(
            "div",
            {"class": "card"},
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


# --- advice ------------------------------------------------------------------------

_KINDS: Final[Mapping[str, str]] = {
    FIX: "To fix",
    SAVE: "To save more",
    KNOW: "Good to know",
}


def advices(subject: Subject) -> Html:
    """Return what to do."""
    advice = subject.advice
    if not advice:
        return section(
            "advice",
            "Advice",
            element(
                "div",
                {"class": "card"},
                _p(
                    "None. No table is written too often to be cached, no entry ends "
                    "too early, no writer was seen to go around botocache, and nothing "
                    "has failed; or there were too few reads to tell."
                ),
            ),
        )
    return section(
        "advice",
        "Advice",
        _p("Drawn from these figures. Each says on what it rests."),
        element("ul", {"class": "advice"}, [_advice_item(each) for each in advice]),
    )


def _advice_item(advice: Advice) -> Html:
    return element(
        "li",
        {"data-advice": advice.name},
        element("span", {"class": f"tag {advice.kind}"}, _KINDS[advice.kind]),
        element(
            "h3",
            None,
            advice.title,
            [
                element("span", {"class": "about"}, ": "),
                element("code", None, name_of(advice.table)),
            ]
            if advice.table
            else None,
        ),
        _p(advice.evidence, kind="evidence"),
        _p(advice.action),
        element("pre", None, element("code", None, advice.setting))
        if advice.setting
        else None,
    )


# --- nothing to show ---------------------------------------------------------------


def nothing(subject: Subject) -> Html:
    """Return the page of a store without any counters."""
    figures = subject.figures
    there = figures.processes or figures.ended_processes
    if there:
        text = (
            f"{_processes(figures)} None of them has made a call to DynamoDB yet, or "
            "their first counters are still to come."
        )
    else:
        text = "No process has left its counters on this store."
    checks = [
        "A process posts its counters every few seconds, and when it ends. Wait for "
        "stats_interval seconds (10 by default) after its first read.",
        "The report reads the store that BOTOCACHE_URL, BOTOCACHE_NAMESPACE and "
        "BOTOCACHE_CONFIG name here. The application must have the same.",
        "The store 'memory:' is of one process, so no other can read its counters.",
        "BOTOCACHE_STATS_INTERVAL=0 turns the counters' posts off.",
        "'botocache doctor' shows whether the cache is on, and which settings it has.",
    ]
    return element(
        "header",
        None,
        _p(
            element("strong", None, "botocache report"),
            f" \N{MIDDLE DOT} {moment(figures.read_at, '%d %B %Y, %H:%M')} UTC",
            kind="eyebrow",
        ),
        element("h1", None, "No figures yet"),
        _p(text, kind="lead"),
        element(
            "div",
            {"class": "card"},
            element("h2", None, "What to check"),
            element(
                "ul", {"class": "checks"}, [element("li", None, c) for c in checks]
            ),
        ),
    )
