"""What a report is about, and the pieces that its sections share."""

from typing import Final, NamedTuple

from botocache._counting.stats import TableStats
from botocache._errors import shows
from botocache._observe.advice import Advice
from botocache._observe.numbers import exact, units
from botocache._observe.report.figures import SHADOW, Figures
from botocache._observe.report.markup import Content, Html, element
from botocache._settings.prices import Prices

MOST_ROWS: Final = 60
"""Rows of a table; the JSON has all."""


@shows("prices")
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


def paragraph(*content: Content, kind: str | None = None) -> Html:
    """Return a paragraph. kind: its class."""
    return element("p", {"class": kind}, *content)


def card(*content: Content) -> Html:
    """Return a frame around some content."""
    return element("div", {"class": "card"}, *content)


def legend(*entries: tuple[Html, str] | None) -> Html:
    """Return what each colour of a chart means: samples with their texts."""
    shown = [element("li", None, *entry) for entry in entries if entry is not None]
    return element("ul", {"class": "keys"}, shown)


def fold(summary: str, content: Html) -> Html:
    """Return content that a click unfolds, without a script."""
    return element("details", None, element("summary", None, summary), content)


def bold(text: str, title: str | None = None) -> Html:
    """Return a bold text. title: it exactly."""
    return element("b", {"title": title}, text)


_LONGEST_NAME: Final = 80


def name_of(text: str) -> Html:
    """Return the name of a table, apart from the direction of the text around it."""
    shown = text
    if len(text) > _LONGEST_NAME:
        shown = f"{text[:50]}\N{HORIZONTAL ELLIPSIS}{text[-25:]}"
    return element("bdi", {"title": text if shown != text else None}, shown)


def operation_of(row: TableStats) -> list[Content]:
    """Return a table and an operation, as the heading of a row."""
    operation = element("span", {"class": "op"}, name_of(row.operation))
    return [name_of(row.table), " ", operation]


def rounded(number: float) -> Html:
    """Return a number that is easy to read; its title has it exactly."""
    return element("span", {"title": exact(number)}, units(number))
