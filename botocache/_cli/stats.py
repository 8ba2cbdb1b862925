"""`botocache stats`: what the processes that share the store have saved and served."""

import argparse
import contextlib
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from botocache._cli.commands import Parser, WrongUsage
from botocache._cli.console import Console

if TYPE_CHECKING:
    from botocache._cli.stats_view import View

NAME = "stats"
SUMMARY = "show what the cache has saved, of all processes that share the store"

SHORTEST, LONGEST = 0.5, 3600.0
"""Seconds between two views of `--watch`."""

_NO_KEY = bytes(16)
"""A key that no entry has."""


def add_arguments(parser: Parser) -> None:
    """Take a table, and how to look."""
    parser.add_argument("--table", metavar="NAME", help="of this table alone")
    parser.add_argument(
        "--watch",
        metavar="SECONDS",
        nargs="?",
        const=2.0,
        type=_interval,
        help="look again every 2 or SECONDS seconds, until Ctrl-C or q",
    )
    parser.add_show_keys()
    parser.add_json()
    parser.epilog = (
        "Each process posts its counts on the store at its end, and every 10 seconds;\n"
        "the setting stats_interval changes that. A process that is killed loses the\n"
        "counts since its last post. Latency is the upper bound of a bucket: 1, 2, 5,\n"
        "10 microseconds and so on.\n\n"
        "exit status: 0 shown, 1 the store failed, 2 wrong usage or a wrong setting\n\n"
        "examples:\n"
        f"  {parser.prog}\n"
        f"  {parser.prog} --table users --show-keys\n"
        f"  {parser.prog} --watch 5\n"
        f"  {parser.prog} --json | jq .totals.hit_ratio"
    )


def _interval(text: str) -> float:
    try:
        interval = float(text)
    except ValueError:
        interval = 0.0
    if not SHORTEST <= interval <= LONGEST:
        raise argparse.ArgumentTypeError(
            f"expected seconds, from {SHORTEST:g} to {LONGEST:g}, not {text!r}"
        )
    return interval


def run(options: argparse.Namespace, console: Console) -> int:
    """Show the stats once, or again and again."""
    from botocache._cli.environment import (
        check_shared,
        is_absent,
        patient,
        read_settings,
        shown_store,
    )
    from botocache._cli.stats_view import StoreContent, View, show
    from botocache._errors import StoreError
    from botocache._observe.overview import open_board, read_overview
    from botocache.stores.boards import board_of
    from botocache.stores.protocol import Usage

    if options.table == "":
        raise WrongUsage("--table: expected the name of a table")
    settings = read_settings()
    check_shared(settings)
    with open_board(patient(settings), os.environ) as board:

        def read() -> StoreContent:
            overview = read_overview(
                board.store, board.codec, trusted_until=board.trusted_until
            )
            records = board_of(board.store)
            if records is None:
                return StoreContent(overview, Usage(None, None))
            usage = records.usage()
            if usage == Usage(None, None) and not is_absent(board.store):
                # The disk store counts what is open, and a load opens it. It would
                # make a store that is not there.
                with contextlib.suppress(StoreError):
                    board.store.load(_NO_KEY, ())
                    usage = records.usage()
            return StoreContent(overview, usage)

        name = shown_store(settings, board.store)
        view = View(
            read,
            name,
            settings.stats_interval,
            options.table,
            shows_keys=options.show_keys,
        )
        if options.watch is None:
            show(view, console)
        else:
            watch(view, console, options.watch)
    return 0


def watch(
    view: "View",
    console: Console,
    seconds: float,
    wait: Callable[[float], object] | None = None,
) -> None:
    """Show the rates every some seconds, until Ctrl-C; in a live view also until q.

    wait: waits for that many seconds. A live view ends if it returns True.
    """
    from botocache._cli.rates_view import Watch, watch_in_blocks

    watched = Watch(view)  # if this fails, the command ends; a later failure is shown
    try:
        if console.is_live:
            from botocache._cli.live_view import run_live

            run_live(watched, seconds, wait)
        else:
            watch_in_blocks(watched, console, seconds, wait or time.sleep)
    except KeyboardInterrupt:
        return
