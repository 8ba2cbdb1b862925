"""The report in a real browser: nothing is loaded, complained of, or cut off."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from botocache._settings.prices import Prices
from tests.support import browser
from tests.support.report_overviews import OVERVIEWS, write_report

NEEDED = f"needs a browser: {', '.join(browser.NAMES)}, of which none is installed"
pytestmark = pytest.mark.skipif(browser.program() is None, reason=NEEDED)

WIDTHS = (320, 375, 640, 650, 768, 896, 1200)
FEW_WIDTHS = (320, 650)
A4 = 718
"""Pixels between the margins of a sheet."""


@pytest.fixture(scope="module")
def page() -> Iterator[browser.Browser]:
    with browser.running_browser() as running:
        yield running


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("reports")
    found = {name: directory / f"{name}.html" for name in OVERVIEWS}
    for name, path in found.items():
        write_report(OVERVIEWS[name](), Prices(), path, show_keys=name == "hostile")
    return found


WORST = ("two-weeks", "hostile")

EVERY = pytest.mark.parametrize(
    "name",
    [
        name if name in WORST else pytest.param(name, marks=pytest.mark.long)
        for name in OVERVIEWS
    ],
)


@EVERY
def test_it_loads_nothing_and_the_browser_has_no_complaint(
    name: str, page: browser.Browser, reports: dict[str, Path]
) -> None:
    page.show(reports[name])
    assert page.complaints() == []
    assert page.requests() == [reports[name].as_uri()]
    # The style sheet is applied, so the policy has its digest.
    assert page.evaluate("getComputedStyle(document.body).margin") == "0px"
    assert page.evaluate("document.scripts.length") == 0


def widths_of(page: browser.Browser, path: Path, widths: Sequence[int]) -> list[int]:
    """Return how wide a page is in windows of these widths, and on paper."""
    found = []
    for width in widths:
        page.show(path, width=width)
        found.append(page.evaluate("document.documentElement.scrollWidth"))
    page.show(path, width=A4, paper=True)
    return [*found, page.evaluate("document.documentElement.scrollWidth")]


@pytest.mark.parametrize("name", WORST)
def test_no_page_scrolls_sideways(
    name: str, page: browser.Browser, reports: dict[str, Path]
) -> None:
    assert widths_of(page, reports[name], FEW_WIDTHS) == [*FEW_WIDTHS, A4]


@pytest.mark.long
@pytest.mark.parametrize("name", OVERVIEWS)
def test_no_page_scrolls_sideways_at_any_width(
    name: str, page: browser.Browser, reports: dict[str, Path]
) -> None:
    assert widths_of(page, reports[name], WIDTHS) == [*WIDTHS, A4]


def test_it_is_dark_where_the_reader_wants_it_and_paper_is_light(
    page: browser.Browser, reports: dict[str, Path]
) -> None:
    def ground() -> object:
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    path = reports["two-weeks"]
    page.show(path)
    assert ground() == "rgb(246, 247, 245)"
    page.show(path, dark=True)
    assert ground() == "rgb(15, 21, 19)"
    page.show(path, dark=True, paper=True)
    assert ground() == "rgb(255, 255, 255)"


def test_a_row_is_a_block_on_a_phone_and_still_a_row_to_a_screen_reader(
    page: browser.Browser, reports: dict[str, Path]
) -> None:
    page.show(reports["two-weeks"], width=375)
    cell = "document.querySelector('#ratio tbody td')"
    assert page.evaluate(f"getComputedStyle({cell}).display") == "grid"
    assert page.evaluate(f"{cell}.getAttribute('role')") == "cell"
    label = f"getComputedStyle({cell}, '::before').content"
    assert page.evaluate(label) == '"Hit ratio"'


def test_the_policy_stops_what_got_into_a_page_all_the_same(
    page: browser.Browser, reports: dict[str, Path], tmp_path: Path
) -> None:
    """As if the escaping had failed."""
    harm = (
        "<script>window.harmed = 1</script>"
        "<img src='https://example.invalid/x' onerror='window.harmed = 1'>"
        "<style>body { margin: 7px }</style>"
    )
    path = tmp_path / "harmed.html"
    html = reports["two-weeks"].read_text(encoding="utf-8")
    path.write_text(html.replace("<main>", f"<main>{harm}"), encoding="utf-8")
    page.show(path)
    assert page.evaluate("window.harmed") is None
    assert page.evaluate("getComputedStyle(document.body).margin") == "0px"
    assert len(page.complaints()) >= 3


def test_the_browser_that_tests_use_reports_what_is_wrong(
    page: browser.Browser, tmp_path: Path
) -> None:
    """Else the tests above would pass whatever a page does."""
    path = tmp_path / "wrong.html"
    path.write_text(
        "<!DOCTYPE html><body><p style='width: 3000px'>x</p>"
        "<svg><path d='M0 1L'/></svg><script>undefined_name()</script>"
        "<img src='other.png'>"
    )
    page.show(path, width=375)
    complaints = " ".join(page.complaints())
    assert "attribute d" in complaints
    assert "undefined_name" in complaints
    assert len(page.requests()) == 2
    assert page.evaluate("document.documentElement.scrollWidth") > 3000
