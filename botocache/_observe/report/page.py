"""The page of a report: one file that loads nothing, with no script.

Its Content-Security-Policy allows its own style sheet and nothing else: a browser would
not run what got into it against all escaping.
"""

import os
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

from botocache._log import package_version
from botocache._observe.advice import advise
from botocache._observe.records import Overview
from botocache._observe.report.advices import advices
from botocache._observe.report.charts import moment
from botocache._observe.report.cost import cost
from botocache._observe.report.evictions import evictions, staleness
from botocache._observe.report.figures import figures
from botocache._observe.report.followed import followed
from botocache._observe.report.head import answer, nothing
from botocache._observe.report.markup import Html, element, raw
from botocache._observe.report.style import STYLE
from botocache._observe.report.subject import Subject
from botocache._observe.report.traffic import capacity, hot_keys, latencies, ratio
from botocache._settings.load import Settings
from botocache._settings.prices import Prices
from botocache.stores.urls import local_place

_STYLE_HASH: Final = b64encode(sha256(STYLE.encode()).digest()).decode()

DEFAULT_SIZE_LIMIT: Final = 1024**3
"""Of a disk store, in bytes. A test compares it: the store itself imports SQLite."""

POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; "
    "form-action 'none'"
)


def subject_of(
    overview: Overview,
    prices: Prices,
    *,
    settings: Settings | None = None,
    days: float | None = None,
    show_keys: bool = False,
) -> Subject:
    """Return what a report is about.

    overview: of the store.
    prices: that money is computed by.
    settings: that the advice goes by; None for the defaults.
    days: show this many, up to the time of the overview; None for all.
    show_keys: show hot keys as they are, and not their digests.
    """
    shown = figures(overview, prices, days)
    settings = settings or Settings()
    advice = advise(shown, settings, size_limit_of(settings))
    return Subject(shown, prices, advice, show_keys)


def page(subject: Subject) -> str:
    """Return the HTML of a report."""
    body = (
        (nothing(subject),)
        if subject.figures.is_empty
        else (
            answer(subject),
            capacity(subject),
            ratio(subject),
            latencies(subject),
            evictions(subject),
            staleness(subject),
            cost(subject),
            followed(subject),
            hot_keys(subject),
            advices(subject),
        )
    )
    when = moment(subject.figures.read_at, "%d %B %Y")
    document = element(
        "html",
        {"lang": "en"},
        element(
            "head",
            None,
            element("meta", {"charset": "utf-8"}),
            element(
                "meta",
                {"http-equiv": "Content-Security-Policy", "content": POLICY},
            ),
            element(
                "meta",
                {"name": "viewport", "content": "width=device-width, initial-scale=1"},
            ),
            element("meta", {"name": "color-scheme", "content": "light dark"}),
            element("meta", {"name": "referrer", "content": "no-referrer"}),
            element("title", None, f"botocache report, {when}"),
            element("style", None, raw(STYLE)),
        ),
        element(
            "body",
            None,
            element(
                "div",
                {"class": "page"},
                element("main", None, *body),
                _footer(subject),
            ),
        ),
    )
    return f"<!DOCTYPE html>\n{document}\n"


def _footer(subject: Subject) -> Html:
    read_at = moment(subject.figures.read_at, "%d %B %Y, %H:%M:%S")
    return element(
        "footer",
        None,
        element(
            "p",
            None,
            f"Made by botocache {package_version()} from what the processes have left "
            f"on their store, read on {read_at} UTC.",
        ),
        element(
            "p",
            None,
            "Read units are counted by DynamoDB's own rules from the size of each "
            "answer. Money is units times the prices in this page, and no bill.",
        ),
        element(
            "p",
            None,
            "This page loads nothing from anywhere, and runs no script.",
        ),
    )


def size_limit_of(settings: Settings) -> int | None:
    """Return how many bytes the store of these settings may hold; None if unknown."""
    url = settings.url
    place = local_place(url) if isinstance(url, str) and url else None
    if place is None:
        return None
    return place.size_limit or (DEFAULT_SIZE_LIMIT if place.scheme == "disk" else None)


def replace_file(path: Path, text: str) -> None:
    """Write a file in one step: a reader sees the old one or the new one."""
    # As any program would write it, and not for this user alone as temporary files are.
    # To set it is the only way to read it. A thread that made a file in between would
    # make it for everyone; a command has no other thread by now.
    mask = os.umask(0)
    os.umask(mask)
    with NamedTemporaryFile(
        "w", dir=path.parent, prefix=".botocache-", delete=False, encoding="utf-8"
    ) as file:
        try:
            file.write(text)
            file.close()
            Path(file.name).chmod(0o666 & ~mask)
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
