"""A report shows the followed tables, and what their streams cost a month."""

import json
from dataclasses import replace

import pytest

from botocache._observe.prices import HOURS_A_MONTH, stream_cost
from botocache._observe.report.document import report_document
from botocache._observe.report.page import page, subject_of
from botocache._settings.prices import Prices
from botocache._streams.followed import FollowedTable
from tests.support.followed import followed
from tests.support.pages import Node, read_page
from tests.support.report_overviews import twenty_seconds


def page_of(*tables: FollowedTable, prices: Prices = Prices()) -> Node:  # noqa: B008 - frozen
    overview = replace(twenty_seconds(), followed=tables)
    return read_page(page(subject_of(overview, prices)))


def test_without_followed_tables_there_is_no_section_and_no_price() -> None:
    html = page(subject_of(twenty_seconds(), Prices()))
    assert 'id="followed"' not in html
    assert "requests to streams" not in html


def test_each_followed_table_has_its_lag_its_changes_and_its_cost() -> None:
    text = page_of(followed(gaps=3)).by_id("followed").text
    assert "In time." in text
    for shown in ("users", "1.5 seconds", "1,200", "2,400", "3"):
        assert shown in text
    # A request a second for a month of 730 hours, at 0.2 dollars a million.
    assert "$0.53" in text
    assert "the first 2.5 million" in text


def test_a_table_that_is_late_is_named_as_such() -> None:
    section = page_of(followed("orders", lag=90.0), followed()).by_id("followed")
    assert "Not in time: 1 of 2 tables." in section.text


def test_a_price_of_the_users_own_is_taken() -> None:
    prices = Prices(stream_reads=20.0, currency="EUR", region="eu-west-1")
    document = page_of(followed(), prices=prices)
    assert "52.56\N{NARROW NO-BREAK SPACE}EUR" in document.by_id("followed").text
    assert "A million requests to streams" in document.by_id("cost").text


def test_the_document_has_the_same_figures() -> None:
    overview = replace(twenty_seconds(), followed=(followed(),))
    document = json.loads(json.dumps(report_document(subject_of(overview, Prices()))))
    (table,) = document["followed"]
    assert (table["table"], table["requests"], table["records"]) == (
        "users",
        3600,
        1200,
    )
    assert table["cost"] == pytest.approx(0.2 * 3600 * HOURS_A_MONTH / 1e6)
    assert table["is_fresh"] is True


def test_no_time_has_no_cost() -> None:
    assert stream_cost(Prices(), 5, 0.0) is None
