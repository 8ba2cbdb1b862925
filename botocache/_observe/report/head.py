"""The head of a report: what was saved. Without figures, what to check."""

from botocache._counting.stats import TableStats
from botocache._observe.advice import FIX, SAVE, Advice
from botocache._observe.numbers import (
    UNKNOWN,
    amount,
    count,
    duration,
    exact,
    latency,
    percent,
    short,
    units,
)
from botocache._observe.prices import Cost
from botocache._observe.report.charts import moment
from botocache._observe.report.figures import BOTH, Figures
from botocache._observe.report.markup import Content, Html, element
from botocache._observe.report.subject import Subject, bold, card, paragraph

# --- the answer --------------------------------------------------------------------


def answer(subject: Subject) -> Html:
    """Return the head of the page: what was saved."""
    figures = subject.figures
    return element(
        "header",
        None,
        _eyebrow(figures),
        element("h1", None, _headline(subject)),
        paragraph(*_lead(subject), kind="lead"),
        _pointer(subject.advice),
        _mode_banner(subject),
        _tiles(subject),
    )


def _eyebrow(figures: Figures) -> Html:
    read_at = moment(figures.read_at, "%d %B %Y, %H:%M")
    name = element("strong", None, "botocache report")
    return paragraph(name, f" \N{MIDDLE DOT} {read_at} UTC", kind="eyebrow")


def _headline(subject: Subject) -> str:
    figures = subject.figures
    # No share of nothing: it would be called 0 %, or not known.
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
            bold(duration(figures.seconds)),
            f": {_period(figures)}. {_processes(figures)}",
        ]
    end = (
        " would have come from the cache, "
        if subject.would
        else " came from the cache instead of DynamoDB, "
    )
    return [
        bold(f"{units(figures.saved)} of {units(whole)}", exact(figures.saved)),
        " read units",
        end,
        "in ",
        bold(duration(figures.seconds)),
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
    return paragraph(element("a", {"href": "#advice"}, text), kind="todo")


def _mode_banner(subject: Subject) -> Html | None:
    if subject.would:
        return paragraph(
            element("strong", None, "Shadow mode. "),
            "Nothing was served from the cache: DynamoDB answered every read. Hits, "
            "units and money are what the cache would have saved.",
            kind="banner",
        )
    if subject.figures.mode == BOTH:
        return paragraph(
            element("strong", None, "Partly shadow mode. "),
            "Some of the processes served hits, and some only compared them with "
            "DynamoDB's answers. Of the latter, the figures are what the cache would "
            "have saved.",
            kind="banner",
        )
    return None


def _tiles(subject: Subject) -> Html:
    figures, prices = subject.figures, subject.prices
    total = figures.total
    money = figures.money
    saved = "would be saved" if subject.would else "saved"
    tiles = [
        _money_tile(
            "On demand, a month",
            money.on_demand if money else None,
            prices.currency,
            saved,
        ),
        _money_tile(
            "Provisioned, a month",
            money.provisioned if money else None,
            prices.currency,
            saved,
        ),
        _tile(
            "Would-be hit ratio" if subject.would else "Hit ratio",
            percent(total.hits, total.looked_up),
            f"{short(total.hits)} of {short(total.looked_up)} reads",
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
    # Near hits are a sample of one in a hundred; the mean weighs both kinds.
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
        (
            "A process posts its counters every few seconds, and when it ends. Wait "
            "for stats_interval seconds (10 by default) after its first read."
        ),
        (
            "The report reads the store that BOTOCACHE_URL, BOTOCACHE_NAMESPACE and "
            "BOTOCACHE_CONFIG name here. The application must have the same."
        ),
        "The store 'memory:' is of one process, so no other can read its counters.",
        "BOTOCACHE_STATS_INTERVAL=0 turns the counters' posts off.",
        "'botocache doctor' shows whether the cache is on, and which settings it has.",
    ]
    return element(
        "header",
        None,
        _eyebrow(figures),
        element("h1", None, "No figures yet"),
        paragraph(text, kind="lead"),
        card(
            element("h2", None, "What to check"),
            element(
                "ul", {"class": "checks"}, [element("li", None, c) for c in checks]
            ),
        ),
    )
