"""`botocache report`: one HTML page of what the cache saves, and what to do."""

import argparse
import os
from pathlib import Path

from botocache._cli.commands import Parser, WrongUsage
from botocache._cli.console import Console

NAME = "report"
SUMMARY = "write an HTML page: what it saves, what it costs, and what to do"

DEFAULT_OUTPUT = "botocache-report.html"

LONGEST_DAYS = 400.0


def add_arguments(parser: Parser) -> None:
    """Take a file, the days to show, prices, and whether to show keys."""
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        default=DEFAULT_OUTPUT,
        help=f"where to write the page; '-' is standard output; default: "
        f"{DEFAULT_OUTPUT}",
    )
    parser.add_argument(
        "--days",
        metavar="NUMBER",
        type=_days,
        help="show only the last days, as 0.5 or 14; tables count all all the same",
    )
    parser.add_argument(
        "--prices",
        metavar="NAME=VALUE,...",
        help="as the setting prices, as on_demand=0.142,region=eu-west-1",
    )
    parser.add_show_keys()
    parser.add_json()
    parser.epilog = (
        "The page is one file: it loads nothing and runs no script. With --json the\n"
        "figures and the advice go to standard output, and no page is written.\n\n"
        "exit status: 0 written, 1 the store or the file failed, 2 wrong usage\n\n"
        "examples:\n"
        f"  {parser.prog} --output savings.html --days 7\n"
        f"  {parser.prog} --prices on_demand=0.142,region=eu-west-1,as_of=2026-11\n"
        f"  {parser.prog} --json | jq '.advice[].title'"
    )


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = 0.0
    if not 0.0 < days <= LONGEST_DAYS:
        raise argparse.ArgumentTypeError(
            f"expected days, up to {LONGEST_DAYS:g}, not {text!r}"
        )
    return days


def run(options: argparse.Namespace, console: Console) -> int:
    """Write the page, or print the figures."""
    from botocache._cli.environment import check_shared, patient, read_settings
    from botocache._observe.overview import open_board, read_overview
    from botocache._observe.report.document import report_document
    from botocache._observe.report.page import page, replace_file, subject_of
    from botocache._settings.prices import parse_prices

    settings = read_settings()
    prices = settings.prices
    if options.prices is not None:
        try:
            prices = parse_prices(options.prices)
        except ValueError as error:
            raise WrongUsage(f"--prices: {error}") from None
    check_shared(settings)
    with open_board(patient(settings), os.environ) as board:
        overview = read_overview(
            board.store, board.codec, trusted_until=board.trusted_until
        )
    subject = subject_of(
        overview,
        prices,
        settings=settings,
        days=options.days,
        show_keys=options.show_keys,
    )
    if console.is_json:
        console.json(report_document(subject))
        return 0
    text = page(subject)
    if options.output == "-":
        console.text(text)
        return 0
    replace_file(Path(options.output), text)
    # Not resolved: the user knows the file by the name that they gave.
    console.lines(f"wrote {os.path.abspath(options.output)}")  # noqa: PTH100 - resolve() would follow links
    if subject.figures.is_empty:
        console.finding(
            "warning",
            "no process has left its counters on this store",
            "see in the page what to check",
        )
    elif overview.unreadable:
        console.finding(
            "warning",
            f"{overview.unreadable} records could not be read, and are left out",
            "set the encryption keys that the application has",
        )
    return 0
