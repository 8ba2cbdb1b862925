"""The page of a report: valid, complete, and safe whatever the store holds."""

import json
import re
from base64 import b64encode
from dataclasses import replace
from functools import cache
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import pytest

from botocache._counting.stats import Stats, TableStats
from botocache._observe.records import Overview
from botocache._observe.report.document import report_document
from botocache._observe.report.markup import LONGEST_TEXT, element, raw, visible
from botocache._observe.report.page import (
    DEFAULT_SIZE_LIMIT,
    page,
    replace_file,
    size_limit_of,
    subject_of,
)
from botocache._observe.report.style import DARK, LIGHT
from botocache._settings.load import Settings
from botocache._settings.prices import Prices, parse_prices
from botocache.stores.disk import store as disk_store
from tests.support.pages import Node, read_page
from tests.support.report_overviews import (
    NOW,
    OVERVIEWS,
    hostile,
    process,
    stats_of,
    twenty_seconds,
    two_weeks,
    write_report,
)


@cache
def html_of(name: str, *, show_keys: bool = False) -> str:
    return page(subject_of(OVERVIEWS[name](), Prices(), show_keys=show_keys))


@cache
def page_of(name: str, *, show_keys: bool = False) -> Node:
    return read_page(html_of(name, show_keys=show_keys))


def shown(overview: Overview, prices: Prices = Prices()) -> Node:  # noqa: B008 - frozen
    return read_page(page(subject_of(overview, prices)))


EVERY = pytest.mark.parametrize("name", OVERVIEWS)

# --- what a page is ----------------------------------------------------------------

TAGS = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "section"),
    *("footer", "div", "p", "a", "b", "strong", "span", "bdi", "code", "pre", "ul"),
    *("li", "dl", "dt", "dd", "h1", "h2", "h3", "figure", "figcaption", "details"),
    *("summary", "table", "caption", "thead", "tbody", "tr", "th", "td"),
    *("svg", "g", "path", "line", "rect", "circle", "text"),
}
ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "content", "name", "id", "class", "title"),
    *("href", "role", "scope", "data-label", "data-advice", "aria-label"),
    *("aria-labelledby", "aria-hidden", "width", "height", "x", "y", "x1", "x2", "y1"),
    *("y2", "cx", "cy", "r", "rx", "d", "text-anchor", "viewbox"),
    "preserveaspectratio",
}


@EVERY
def test_a_page_has_only_elements_and_attributes_of_ours(name: str) -> None:
    nodes = page_of(name).all()
    assert {node.tag for node in nodes} <= TAGS
    assert {each for node in nodes for each in node.attributes} <= ATTRIBUTES
    # No link but within the page, and nothing that is loaded.
    links = {n.attributes["href"] for n in nodes if "href" in n.attributes}
    assert links <= {"#advice"}
    assert {n.attributes.get("id") for n in nodes} >= {
        link[1:] for link in links if link
    }


@EVERY
def test_its_policy_allows_its_own_style_and_nothing_else(name: str) -> None:
    document = page_of(name)
    (style,) = document.all("style")
    digest = b64encode(sha256(style.text.encode()).digest()).decode()
    policy = document.all("meta")[1].attributes
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert policy["content"] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; "
        "form-action 'none'"
    )
    assert not re.search(r"url\(|@import|expression|</", style.text)


@EVERY
def test_headings_go_down_one_step_at_a_time(name: str) -> None:
    levels = [int(node.tag[1]) for node in page_of(name).all("h1", "h2", "h3")]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


@EVERY
def test_those_who_do_not_see_it_can_read_it(name: str) -> None:
    document = page_of(name)
    (root,) = document.all("html")
    assert root.attributes["lang"] == "en"
    ids = [n.attributes["id"] for n in document.all() if "id" in n.attributes]
    assert len(set(ids)) == len(ids)
    for section in document.all("section"):
        labelled = section.attributes["aria-labelledby"]
        assert labelled
        assert document.by_id(labelled).tag == "h2"
    figures = document.all("figure")
    for figure in figures:
        (chart,) = [n for n in figure.all("svg") if n.attributes.get("role") == "img"]
        assert len(chart.attributes["aria-label"] or "") > 40
        assert figure.all("figcaption")
        assert figure.all("table")
    inside = {id(n) for figure in figures for n in figure.all("svg")}
    for drawing in document.all("svg"):
        if id(drawing) not in inside:
            assert drawing.attributes["aria-hidden"] == "true"
    for table in document.all("table"):
        assert table.all("caption")
        columns = table.all("thead")[0].all("th")
        assert all(th.attributes["scope"] == "col" for th in columns)
        for row in table.all("tbody")[0].all("tr"):
            cells = row.all("th", "td")
            assert [cell.tag for cell in cells] == ["th"] + ["td"] * (len(columns) - 1)
            assert cells[0].attributes["scope"] == "row"


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_and_shapes_have_contrast(scheme: dict[str, str]) -> None:
    for ground in ("page", "surface"):
        for text in ("ink", "muted", "saved", "used", "bad", "note"):
            assert _contrast(scheme[text], scheme[ground]) >= 4.5, (text, ground)
        for shape in ("near", "store", "used", "saved", "bad"):
            assert _contrast(scheme[shape], scheme[ground]) >= 3, (shape, ground)
    for kind in ("bad", "note"):
        assert _contrast(scheme[kind], scheme[f"{kind}-soft"]) >= 4.5
    assert _contrast(scheme["ink"], scheme["note-soft"]) >= 4.5
    for line in ("saved", "used"):
        assert _contrast(scheme[line], scheme[f"{line}-soft"]) >= 3


# --- what it says ------------------------------------------------------------------


def test_the_answer_comes_first() -> None:
    document = page_of("two-weeks")
    assert document.all("h1")[0].text == "48.8\u202f% of the read capacity saved"
    header = document.all("header")[0].text
    for part in (
        "6.89M of 14.1M",
        "14 days",
        "6 processes run now",
        "1 process has ended",
    ):
        assert part in header
    tiles = document.all("dl")[0].text
    assert re.search(r"On demand, a month\$1\.8\dsaved, of \$3\.8\d", tiles)
    assert re.search(r"Provisioned, a month\$1\d\.\d\dsaved, of \$26\.\d\d", tiles)
    assert "9.95M of 15.9M reads" in tiles
    assert "Half of all hits take at most5\u202fµs" in tiles


def test_the_sections_come_in_the_order_in_which_they_are_needed() -> None:
    ids = [node.attributes["id"] for node in page_of("two-weeks").all("section")]
    assert ids == [
        *("capacity", "ratio", "latency", "evictions", "staleness", "cost", "keys"),
        "advice",
    ]


def test_a_shadow_run_says_what_would_have_been() -> None:
    document = page_of("shadow")
    assert "would have been saved" in document.all("h1")[0].text
    assert "Nothing was served from the cache" in document.text
    assert "would be saved, of" in document.all("dl")[0].text
    assert "botocache saves" not in document.text
    assert "left with the cache" in document.by_id("capacity").text


def test_a_run_that_is_partly_shadow_says_so() -> None:
    row = TableStats("t", "GetItem", store_hits=5, units_saved=5)
    overview = Overview(
        tuple(
            process(stats_of(row), started=NOW - 60, number=n, shadow=n == 1)
            for n in (1, 2)
        ),
        read_at=NOW,
    )
    assert "Partly shadow mode." in shown(overview).text


def test_a_short_run_is_called_short() -> None:
    document = page_of("twenty-seconds")
    assert "20 seconds" in document.all("header")[0].text
    assert "A month is projected from 20 seconds" in document.by_id("cost").text
    assert "The average of 20 seconds" in document.by_id("capacity").text
    assert "projected from" not in page_of("two-weeks").text


def test_a_store_without_counters_says_what_to_check() -> None:
    document = page_of("nothing")
    assert document.all("h1")[0].text == "No figures yet"
    assert "No process has left its counters" in document.text
    assert "BOTOCACHE_STATS_INTERVAL" in document.text
    assert not document.all("svg", "table")


def test_processes_that_have_done_nothing_are_named() -> None:
    overview = Overview((process(stats_of(), started=NOW - 5),), read_at=NOW)
    text = shown(overview).text
    assert "1 process runs now" in text
    assert "None of them has made a call" in text


def test_staleness_that_was_not_measured_says_how_to_measure_it() -> None:
    text = page_of("twenty-seconds").by_id("staleness").text
    assert "Not measured" in text
    assert "BOTOCACHE_AUDIT=0.01" in text
    assert "BOTOCACHE=shadow" in text


@pytest.mark.parametrize(
    ("differing", "verdict"),
    [
        ({}, "No difference in 70 compared hits"),
        ({"settling": 2}, "None that lasted in 70 compared hits. 2 differed"),
        ({"lasting": 1}, "Yes. 1 of 70 compared hits differed for good"),
    ],
)
def test_staleness_has_a_verdict(differing: dict[str, int], verdict: str) -> None:
    row = TableStats("t", "GetItem", store_hits=900, compared=70, differing=differing)
    overview = Overview((process(stats_of(row), started=NOW - 60),), read_at=NOW)
    assert verdict in shown(overview).by_id("staleness").text


def test_keys_are_digests_unless_they_are_asked_for() -> None:
    assert "product-1" not in html_of("two-weeks")
    text = page_of("two-weeks", show_keys=True).by_id("keys").text
    assert "id=S:product-1" in text


def test_prices_have_their_region_and_date() -> None:
    text = page_of("twenty-seconds").by_id("cost").text
    assert "may be out of date" in text
    assert text.count("us-east-1, 2026-04") == 4
    own = parse_prices("on_demand=0.142,region=eu-west-1,as_of=2026-11,currency=EUR")
    text = shown(twenty_seconds(), own).by_id("cost").text
    assert "0.142 EUReu-west-1, 2026-11" in text
    assert "0.00013 EURus-east-1, 2026-04" in text


# --- what is not to be trusted -----------------------------------------------------


def test_what_a_store_holds_is_text_in_every_place() -> None:
    """The elements are the same as with harmless names: see the test of elements."""
    document = page_of("hostile", show_keys=True)
    names = [row.table for row in hostile().processes[0].stats.tables]
    text = document.text
    assert names[0] in text
    assert names[1] in text
    assert html_of("hostile").count("<script") == 0
    assert html_of("hostile").count("<style") == 1
    for harm in ("\u202e", "\u2066", "\x00", "\x1b", "\u2028", "\ud800"):
        assert harm not in html_of("hostile", show_keys=True)
        assert visible(harm) == harm.encode("unicode_escape").decode()
    html_of("hostile").encode()  # a lone surrogate would fail


def test_no_text_is_longer_than_a_bound() -> None:
    assert len(visible("x" * 10**6)) == LONGEST_TEXT + 1
    assert max(map(len, html_of("hostile", show_keys=True).split(">"))) < 20_000


@pytest.mark.parametrize("value", ["<b>", "&lt;", '"', "'", "</td>"])
def test_texts_and_attributes_are_escaped(value: str) -> None:
    (node,) = read_page(element("p", {"title": value}, value)).all("p")
    assert node.attributes["title"] == value
    assert node.text == value
    assert element("p", None, raw("<b>x</b>")) == "<p><b>x</b></p>"


# --- the file, and the document ----------------------------------------------------


def test_a_report_is_one_file_that_replaces_another(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text("before")
    figures = write_report(twenty_seconds(), Prices(), path)
    assert figures.saved == 1106
    assert path.read_text(encoding="utf-8") == page(
        subject_of(twenty_seconds(), Prices())
    )
    assert [each.name for each in tmp_path.iterdir()] == ["a.html"]


def test_a_file_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text("before")
    with pytest.raises(UnicodeEncodeError):
        replace_file(path, "\ud800")
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["a.html"]


@EVERY
def test_the_document_is_json(name: str) -> None:
    subject = subject_of(OVERVIEWS[name](), Prices())
    document = json.loads(json.dumps(report_document(subject), allow_nan=False))
    assert document["units_saved"] == subject.figures.saved
    assert all("key" not in key for key in document["hot_keys"])
    assert [each["name"] for each in document["advice"]] == [
        each.name for each in subject.advice
    ]


def test_the_document_has_keys_if_they_are_asked_for() -> None:
    subject = subject_of(two_weeks(), Prices(), show_keys=True)
    assert report_document(subject)["hot_keys"][0]["key"] == "id=S:product-1"


@pytest.mark.parametrize(
    ("url", "limit"),
    [
        ("disk:", disk_store.DEFAULT_SIZE_LIMIT),
        ("disk:///a?size_limit=2GiB", 2 * 1024**3),
        ("memory:", None),
        ("redis://host", None),
        ("", None),
    ],
)
def test_the_limit_of_a_store_is_known_for_a_disk(url: str, limit: int | None) -> None:
    assert size_limit_of(replace(Settings(), url=url)) == limit
    assert DEFAULT_SIZE_LIMIT == disk_store.DEFAULT_SIZE_LIMIT


def test_the_report_says_how_many_reads_were_answered_stale() -> None:
    table = TableStats("users", "GetItem", misses=9, throttled=3, answered_stale=2)
    overview = two_weeks()
    posted = replace(overview.processes[0], stats=Stats(tables=(table,)))
    text = str(page(subject_of(replace(overview, processes=(posted,)), Prices())))
    assert "Entries over their TTL answered 2 refused reads." in text
    assert "Entries over their TTL" not in html_of("two-weeks")
